"""One clock: times of labels count from the first shown frame, wherever a container starts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from made_videos import clip_of, ffmpeg

from rdbench.errors import ClipError
from rdbench.video.clip import Labels
from rdbench.video.labels import join, require_seconds
from rdbench.video.prepared import prepare

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
REORDERED = ("-c:v", "libx264", "-bf", "2", "-pix_fmt", "yuv420p")
MPEG4 = ("-c:v", "mpeg4", "-bf", "2", "-q:v", "3")
STARTS = {"zero": 0.0, "late": 0.48, "hours": 3600.0}
CASES = [
    *(
        (suffix, codec, start)
        for suffix, codec in (("mp4", X264), ("mov", REORDERED), ("mkv", REORDERED))
        for start in STARTS
    ),
    *(
        (suffix, codec, start)
        for suffix, codec in (("nut", X264), ("ts", REORDERED), ("m2ts", X264))
        for start in STARTS
    ),
    *(
        (suffix, codec, start)
        for suffix, codec in (("flv", X264), ("3gp", X264))
        for start in ("zero", "late")
    ),
    *(("avi", MPEG4, "zero"), ("avi", X264, "zero"), ("avi", REORDERED, "zero"), ("asf", MPEG4, "zero")),
    *(("webm", ("-c:v", "libvpx", "-b:v", "200k"), start) for start in ("zero", "late")),
    *(("mpg", ("-c:v", "mpeg2video", "-bf", "2"), "zero"), ("y4m", ("-pix_fmt", "yuv420p"), "zero")),
    *(
        ("gif", (), "zero"),
        ("h264", X264, "zero"),
        ("mp4", ("-c:v", "libx265", "-x265-params", "log-level=0"), "zero"),
    ),
]


def gold_mean(folder, suffix: str, codec: tuple[str, ...], start: str) -> tuple[int, float]:
    """Frames, and the mean of a ramp from 0 to 1 over 25 of them."""
    seconds = STARTS[start]
    file = folder / f"{start}.{suffix}"
    shifted = ("-vf", f"setpts=PTS+{seconds}/TB") if seconds else ()
    kept = ("-output_ts_offset", "0", "-copyts", "-avoid_negative_ts", "disabled") if seconds else ()
    sound = (
        ("-f", "lavfi", "-i", "sine=d=2", "-c:a", "aac")
        if start == "late" and suffix in ("mp4", "mov", "mkv")
        else ()
    )
    picture = ("-f", "lavfi", "-i", "testsrc2=s=96x96:r=25,trim=end_frame=25")
    inputs = (*picture, *sound[:4])
    ffmpeg(*inputs, *shifted, *kept, *codec, *sound[4:], file)
    times = np.arange(25) * 0.04
    labels = Labels(times, (times / 0.96)[:, None], ("valence",))
    prepared = prepare(dataclasses.replace(clip_of(file), labels=labels))
    values = join(labels, prepared.timeline.times).values
    return prepared.frames, float(values.mean())


@pytest.mark.parametrize(("suffix", "codec", "start"), [CASES[0], CASES[1], CASES[7], CASES[14]])
def test_a_ramp_has_its_mean(tmp_path, suffix, codec, start):
    assert gold_mean(tmp_path, suffix, codec, start) == (25, pytest.approx(0.5, abs=1e-9))


@pytest.mark.long
@pytest.mark.parametrize(("suffix", "codec", "start"), CASES)
def test_a_ramp_has_its_mean_in_every_container(tmp_path, suffix, codec, start):
    assert gold_mean(tmp_path, suffix, codec, start) == (25, pytest.approx(0.5, abs=1e-9))


@pytest.mark.parametrize(
    ("times", "unit"),
    [
        (np.arange(250) * 40.0, "milliseconds"),
        (np.arange(125) * 40.0, "milliseconds"),
        (np.arange(250.0), "frame numbers"),
        (np.arange(0, 250, 5.0), "frame numbers"),
        (np.arange(250) * 40000.0, "microseconds"),
    ],
)
def test_times_of_another_unit_are_refused_with_it(times, unit):
    with pytest.raises(ClipError, match=f"most likely {unit}"):
        require_seconds(times, "labels", 10.0, 250)


@pytest.mark.parametrize(
    "times",
    [np.arange(250) * 0.04, np.arange(7500) * 0.04, np.arange(0, 10, 5.0), np.arange(600.0), np.array([3.0])],
)
def test_seconds_are_taken_also_of_a_longer_recording(times):
    require_seconds(times, "labels", 10.0, 250)
