"""One decoder for everything: every frame with its time and its true colours, or one sentence why not."""

from __future__ import annotations

import functools
import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_videos import BT709, LOSSLESS, NEAR, ffmpeg, from_planes, lavfi, moving, seen

from rdbench import binary
from rdbench.errors import ClipError, EndedError
from rdbench.video import source

X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:qp=4")


def read(file: Path):
    """Everything that a clip gives: description, pictures, times, size, duration of the last frame."""
    description = source.describe(file)
    pictures, times = [], []
    with source.decode(file, description) as frames:
        for time, planes in frames:
            times.append(time)
            pictures.append(planes.copy())
    return description, pictures, np.array(times), (frames.width, frames.height), source.last_duration(file)


def refusal(file: Path) -> str:
    with pytest.raises(ClipError) as caught:
        read(file)
    text = str(caught.value)
    assert text.startswith(f"{file.name}: ")
    assert "\n" not in text
    assert text.endswith(".")
    assert not text.endswith("..")
    return text


# Frames and times


@pytest.mark.parametrize("rate", ["25", "30000/1001", "24000/1001", "50", "25/2"])
def test_constant_rates_are_exact_and_every_frame_is_kept(rate):
    file = moving(30, rate=rate)
    description, pictures, times, size, last = read(file)
    wanted, at = seen(file)
    assert size == (160, 120)
    assert description.as_wanted
    assert description.conversion == "none"
    assert len(pictures) == 30
    assert np.array_equal(pictures, wanted)
    assert np.allclose(times, at - at[0], atol=1e-6)
    line = source.timeline(times, last)
    assert (line.fps, line.timing) == (Fraction(rate), "constant")
    assert line.seconds == pytest.approx(30 / Fraction(rate))


def test_a_container_of_milliseconds_still_has_its_true_rate():
    file = lavfi(
        "testsrc2=s=64x64:r=30000/1001,trim=end_frame=90", *NEAR, "-pix_fmt", "yuv420p", suffix=".mkv"
    )
    _, pictures, times, _, last = read(file)
    assert len(pictures) == 90
    assert not np.allclose(np.diff(times), 1001 / 30000, atol=1e-4)
    assert source.timeline(times, last).fps == Fraction(30000, 1001)


@functools.cache
def uneven() -> tuple[Path, np.ndarray]:
    index = np.arange(50)
    times = index * 0.04 + 0.013 * (index % 3)
    file = lavfi(
        "testsrc2=s=160x120:r=25,trim=end_frame=50,settb=1/90000,setpts='(N*0.04+0.013*mod(N,3))/TB'",
        *("-fps_mode", "passthrough", "-enc_time_base", "1:90000", *NEAR, *BT709, "-pix_fmt", "yuv420p"),
    )
    return file, times


def test_a_variable_rate_keeps_every_frame_and_time():
    file, wanted = uneven()
    _, pictures, times, _, last = read(file)
    decoded, _ = seen(file)
    assert np.array_equal(pictures, decoded)
    assert len(pictures) == 50
    assert np.allclose(times, wanted, atol=1 / 90000)
    line = source.timeline(times, last)
    assert line.timing == "retimed"
    assert np.array_equal(line.times, times)
    assert line.seconds == pytest.approx(times[-1] + last, rel=1e-4)
    with av.open(str(file)) as container:
        assert float(container.duration / av.time_base) == pytest.approx(line.seconds, abs=2e-3)


def test_a_long_pause_is_kept_as_two_frames_and_no_more():
    file = lavfi(
        "testsrc2=s=64x64:r=25,trim=end_frame=40,settb=1/1000,setpts='(N*40+3000*gte(N,20))'",
        *("-fps_mode", "passthrough", "-enc_time_base", "1:1000", *NEAR, "-pix_fmt", "yuv420p"),
    )
    _, pictures, times, _, last = read(file)
    assert len(pictures) == 40
    assert np.max(np.diff(times)) == pytest.approx(3.04, abs=1e-3)
    assert last == pytest.approx(0.04, abs=2e-3)
    assert source.timeline(times, last).seconds == pytest.approx(4.6, abs=3e-3)


def test_a_last_picture_that_stays_counts_as_long_as_it_is_shown(tmp_path):
    still = tmp_path / "still.mp4"
    ffmpeg(
        *(
            "-f",
            "lavfi",
            "-i",
            "testsrc2=s=64x64:r=25,trim=end_frame=10,settb=1/1000,setpts='N*40+N*mod(N,2)'",
        ),
        *("-fps_mode", "passthrough", "-enc_time_base", "1:1000", *NEAR, "-pix_fmt", "yuv420p"),
        *("-bsf:v", "setts=duration='if(gte(PTS*TB,0.36),2/TB,0.04/TB)'", still),
    )
    _, pictures, times, _, last = read(still)
    assert len(pictures) == 10
    assert last == pytest.approx(2, abs=1e-3)
    assert source.timeline(times, last).seconds == pytest.approx(times[-1] + 2, rel=1e-4)


def test_one_picture_is_a_recording():
    _, pictures, times, _, last = read(moving(1))
    line = source.timeline(times, last)
    assert (len(pictures), line.fps, line.timing) == (1, 25, "constant")


def test_b_frames_come_in_order_of_presentation():
    file = lavfi(
        "testsrc2=s=96x96:r=25,trim=end_frame=40",
        *("-c:v", "libx264", "-bf", "3", "-crf", "20", *BT709, "-pix_fmt", "yuv420p"),
    )
    _, pictures, times, _, _ = read(file)
    wanted, _ = seen(file)
    assert np.all(np.diff(times) > 0)
    assert np.array_equal(pictures, wanted)


def test_a_reader_may_leave_early():
    file = moving(100)
    with source.decode(file, source.describe(file)) as frames:
        for number, _ in enumerate(frames):
            if number == 3:
                break
    assert number == 3


@pytest.mark.parametrize("frames", [0, 40])
def test_a_decoder_that_is_killed_says_nothing_of_the_clip(tmp_path, monkeypatch, frames):
    """Before its first picture or in the midst of them: it is not the clip that cannot be used."""
    file = moving(100)
    description = source.describe(file)
    script = tmp_path / "ffmpeg"
    some = f'"{binary.executable()}" "$@" | head -c {frames * 160 * 120 * 3 // 2}; ' if frames else ""
    script.write_text(f"#!/bin/sh\n{some}kill -KILL $$\n")
    script.chmod(0o755)
    monkeypatch.setattr(binary, "executable", lambda: str(script))

    def read():
        with source.decode(file, description) as pictures:
            for _ in pictures:
                pass

    with pytest.raises(EndedError, match="killed by signal 9"):
        read()


@given(
    rate=st.sampled_from(source.COMMON_RATES),
    count=st.integers(2, 400),
    start=st.floats(0, 100),
    rounding=st.sampled_from([1000, 90_000, 12_800]),
)
def test_rounded_times_of_a_constant_rate_give_that_rate(rate, count, start, rounding):
    times = start + np.round(np.arange(count) / float(rate) * rounding) / rounding
    line = source.timeline(times, None)
    assert line.timing == "constant"
    # Two rates cannot be told apart before their frames are a rounding apart.
    apart = np.max(np.abs(np.arange(count) / float(rate) - np.arange(count) / float(line.fps)))
    assert apart <= 2.5 / rounding


@given(
    steps=st.lists(st.floats(0.005, 0.5), min_size=2, max_size=60),
    last=st.one_of(st.none(), st.floats(0.005, 0.5)),
)
def test_seconds_are_last_minus_first_plus_the_last_duration(steps, last):
    times = np.concatenate(([0.0], np.cumsum(steps)))
    line = source.timeline(times, last)
    tail = last or float(np.median(np.diff(times)))
    if line.timing == "retimed":
        assert line.seconds == pytest.approx(times[-1] + tail, rel=2e-3)
    assert np.array_equal(line.times, times)


@pytest.mark.parametrize("times", [[0.0, 0.04, 0.04], [0.0, 0.08, 0.04], [0.0, np.nan, 0.08], []])
def test_times_that_do_not_rise_are_refused(times):
    with pytest.raises(ClipError, match=r"do not rise|no frame"):
        source.timeline(np.array(times, dtype=np.float64), None)


# Shape of the picture


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_a_rotated_recording_stands_upright(tmp_path, angle):
    file = tmp_path / "phone.mp4"
    lying = moving(6)
    ffmpeg("-display_rotation", str(angle), "-i", lying, "-c", "copy", file)
    description, pictures, _, size, _ = read(file)
    assert (description.width, description.height) == (160, 120)
    assert size == ((160, 120) if angle == 180 else (120, 160))
    for got, wanted in zip(pictures, seen(lying)[0], strict=True):
        luma = wanted[: 160 * 120].reshape(120, 160)
        assert np.array_equal(got[: 160 * 120].reshape(size[::-1]), np.rot90(luma, angle // 90))


def test_odd_sizes_stay_odd():
    file = lavfi("testsrc2=s=102x76:r=25,trim=end_frame=5,scale=101:75,format=yuv420p", "-c:v", "ffv1", *BT709, suffix=".mkv")  # fmt: skip
    _, pictures, _, size, _ = read(file)
    assert size == (101, 75)
    assert {len(planes) for planes in pictures} == {101 * 75 + 2 * 51 * 38} == {source.frame_bytes(101, 75)}
    assert np.array_equal(pictures, seen(file)[0])


# Colours, against the definitions of the standards

COLOURS = np.array(
    [
        *([255, 255, 255], [0, 0, 0], [128, 128, 128], [200, 30, 40], [30, 180, 60], [40, 60, 210]),
        *([220, 200, 30], [224, 172, 150], [90, 60, 45]),
    ]
)
KR_KB = {"bt709": (0.2126, 0.0722), "smpte170m": (0.299, 0.114), "bt470bg": (0.299, 0.114)}


def yuv(rgb: np.ndarray, matrix: str, full: bool, depth: int = 8) -> np.ndarray:
    """Non-linear R'G'B' 0..255 to quantised Y'CbCr (Rec. ITU-T H.273, 8.3)."""
    kr, kb = KR_KB[matrix]
    r, g, b = (rgb.astype(np.float64) / 255).T
    y = kr * r + (1 - kr - kb) * g + kb * b
    cb, cr = (b - y) / (2 - 2 * kb), (r - y) / (2 - 2 * kr)
    top = 2 ** (depth - 8)
    if full:
        codes = [255 * y, 255 * cb + 128, 255 * cr + 128]
    else:
        codes = [219 * y + 16, 224 * cb + 128, 224 * cr + 128]
    return np.clip(np.rint(np.array(codes).T * top), 0, 256 * top - 1)


def patches(values: np.ndarray, dtype: type = np.uint8) -> bytes:
    """Squares of 16 pixels side by side as 4:2:0 pictures, three of them."""
    planes = [
        np.tile(np.repeat(values[:, part], 16 // cut), (16 // cut, 1)).astype(dtype)
        for part, cut in ((0, 1), (1, 2), (2, 2))
    ]
    return b"".join(plane.tobytes() for plane in planes) * 3


def assert_colours(file: Path, within: float = 2.0) -> source.Description:
    description, pictures, _, (width, height), _ = read(file)
    wanted = yuv(COLOURS, "bt709", False)
    luma = pictures[1][: width * height].reshape(height, width)
    chroma = pictures[1][width * height :].reshape(2, height // 2, width // 2)
    for index, (y, cb, cr) in enumerate(wanted):
        left = 16 * index
        assert np.abs(luma[4:12, left + 4 : left + 12] - y).max() <= within
        assert np.abs(chroma[0, 2:6, left // 2 + 2 : left // 2 + 6] - cb).max() <= within
        assert np.abs(chroma[1, 2:6, left // 2 + 2 : left // 2 + 6] - cr).max() <= within
    return description


SIZE = (16 * len(COLOURS), 16)


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", ["bt709", "smpte170m", "bt470bg"])
def test_declared_colours_come_out_as_bt709(tmp_path, matrix, full):
    tags = ("-colorspace", matrix, "-color_range", "pc" if full else "tv")
    tagged = f"setparams=colorspace={matrix}:range={'pc' if full else 'tv'}"
    file = from_planes(
        patches(yuv(COLOURS, matrix, full)), *SIZE, tmp_path / "tagged.mp4", "-vf", tagged, *LOSSLESS, *tags
    )
    description = assert_colours(file)
    assert (description.matrix, description.declared, description.full_range) == (matrix, True, full)
    assert (description.conversion == "none") == (matrix == "bt709" and not full)


def test_colours_without_a_tag_are_taken_by_size_and_that_is_said(tmp_path):
    small = from_planes(patches(yuv(COLOURS, "smpte170m", False)), *SIZE, tmp_path / "small.mp4", *LOSSLESS)
    description = assert_colours(small)
    assert not description.declared
    assert "smpte170m (by size) limited to bt709" in description.conversion
    large = lavfi("testsrc2=s=1280x720:r=25,trim=end_frame=1", *NEAR, "-pix_fmt", "yuv420p")
    assert source.describe(large).matrix == "bt709"
    assert source.describe(large).conversion == "none"


def test_ten_bit_hevc(tmp_path):
    values = yuv(COLOURS, "bt709", False, depth=10)
    file = tmp_path / "ten.mp4"
    ffmpeg(
        *("-f", "rawvideo", "-pix_fmt", "yuv420p10le", "-s", f"{SIZE[0]}x{SIZE[1]}", "-i", "-"),
        *("-vf", "setparams=colorspace=bt709:range=tv"),
        *(*X265, *BT709, file),
        data=patches(values, np.dtype("<u2")),
    )
    description = assert_colours(file)
    assert (description.codec, description.pixel_format) == ("hevc", "yuv420p10le")


@pytest.mark.parametrize(
    ("codec", "pixels", "suffix"),
    [("libx264rgb", "rgb24", ".mp4"), ("png", "rgb24", ".mov"), ("rawvideo", "0rgb", ".nut"), ("ffv1", "bgr0", ".mkv")],
)  # fmt: skip
def test_rgb_sources(tmp_path, codec, pixels, suffix):
    picture = np.repeat(np.repeat(COLOURS[None], 16, 0), 16, 1).astype(np.uint8)
    file = tmp_path / f"rgb{suffix}"
    options = ("-qp", "0") if codec == "libx264rgb" else ("-pix_fmt", pixels)
    ffmpeg(
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{SIZE[0]}x{SIZE[1]}", "-i", "-"),
        *("-c:v", codec, *options, file),
        data=picture.tobytes() * 3,
    )
    description = assert_colours(file)
    assert description.rgb
    assert description.conversion.endswith("rgb full to bt709")


def test_full_chroma_and_motion_jpeg(tmp_path):
    wide = tmp_path / "444.mp4"
    values = yuv(COLOURS, "bt709", False)
    plane = [np.tile(np.repeat(values[:, part], 16), (16, 1)).astype(np.uint8).tobytes() for part in range(3)]
    ffmpeg(
        *("-f", "rawvideo", "-pix_fmt", "yuv444p", "-s", f"{SIZE[0]}x{SIZE[1]}", "-i", "-"),
        *("-vf", "setparams=colorspace=bt709:range=tv", *LOSSLESS, *BT709, wide),
        data=b"".join(plane) * 3,
    )
    assert assert_colours(wide).pixel_format == "yuv444p"
    still = tmp_path / "jpeg.avi"
    jpeg = patches(yuv(COLOURS, "bt470bg", True))
    full = ("-vf", "setparams=range=pc:colorspace=bt470bg", "-c:v", "mjpeg", "-q:v", "2")
    assert assert_colours(from_planes(jpeg, *SIZE, still, *full), within=4).full_range


@pytest.mark.parametrize(("transfer", "name"), [("smpte2084", "PQ"), ("arib-std-b67", "HLG")])
def test_a_high_dynamic_range_is_refused_by_name(tmp_path, transfer, name):
    file = tmp_path / "bright.mp4"
    tags = f"setparams=color_trc={transfer}:color_primaries=bt2020:colorspace=bt2020nc"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64:d=0.2", "-vf", tags, *X265, "-pix_fmt", "yuv420p10le", file)
    assert f"high dynamic range ({name}); tone-map it" in refusal(file)


# What cannot be used


def damaged(tmp_path: Path, at: float, length: int = 6000) -> Path:
    """Some pictures overwritten. (H.264 has no check sums: a few other bits may well be another picture.)"""
    data = bytearray(moving(50).read_bytes())
    start = int(len(data) * at)
    data[start : start + length] = np.random.default_rng(3).bytes(length)
    file = tmp_path / "damaged.mp4"
    file.write_bytes(data)
    return file


@pytest.mark.parametrize("at", [0.3, 0.5, 0.7])
def test_damaged_bytes_fail_the_clip(tmp_path, at):
    assert "damaged or truncated (" in refusal(damaged(tmp_path, at))


def test_a_truncated_recording_fails_whether_its_index_comes_first_or_last(tmp_path):
    late = tmp_path / "late.mp4"
    late.write_bytes(moving(50).read_bytes()[:-5000])
    assert "not a video that FFmpeg can read (the file is cut off at byte " in refusal(late)
    early = tmp_path / "early.mp4"
    ffmpeg("-i", moving(50), "-c", "copy", "-movflags", "+faststart", early)
    early.write_bytes(early.read_bytes()[:-5000])
    assert source.describe(early).width == 160
    assert "damaged or truncated (" in refusal(early)


def test_text_nothing_and_a_missing_file(tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("This is no video.\n" * 500)
    assert "not a video that FFmpeg can read (" in refusal(text)
    empty = tmp_path / "empty.mp4"
    empty.touch()
    assert "the file is empty (0 bytes)" in refusal(empty)
    assert "no such file" in refusal(tmp_path / "missing.mp4")
    assert "the folder has no pictures" in refusal(tmp_path)


def test_sound_is_no_video_and_neither_is_its_cover(tmp_path):
    sound = tmp_path / "sound.mp4"
    ffmpeg("-f", "lavfi", "-i", "sine=d=0.5", sound)
    assert "no video stream (it has audio only)" in refusal(sound)
    cover = tmp_path / "cover.m4a"
    ffmpeg(
        *("-i", sound, "-f", "lavfi", "-i", "testsrc2=s=64x64:r=1:d=1", "-map", "0", "-map", "1"),
        *("-c:a", "copy", "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-disposition:v:0", "attached_pic"),
        cover,
    )
    assert "no video stream (it has a cover and audio only)" in refusal(cover)


def test_sound_beside_the_video_changes_nothing(tmp_path):
    file = tmp_path / "talk.mkv"
    ffmpeg("-f", "lavfi", "-i", "sine=d=1", "-i", moving(), "-map", "0", "-map", "1", "-c:v", "copy", file)
    assert np.array_equal(read(file)[1], seen(moving())[0])


@pytest.mark.parametrize("name", ["list.m3u8", "list.mp4", "list.txt"])
def test_a_play_list_that_names_another_file_is_refused(tmp_path, name):
    ffmpeg("-i", moving(), "-c", "copy", tmp_path / "other.ts")
    file = tmp_path / name
    for text in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1.0,\n{tmp_path}/other.ts\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile '{tmp_path}/other.ts'\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    ):
        file.write_text(text)
        assert "not a video that FFmpeg can read (" in refusal(file)
        # The decoder's own list holds too, not only the one of the first look.
        with (
            pytest.raises(ClipError, match=re.escape(name)),
            source.decode(file, source.describe(moving())) as frames,
        ):
            list(frames)


def test_a_size_that_changes_on_the_way_fails_the_clip(tmp_path):
    parts = [
        lavfi(f"testsrc2=s={size}:d=0.3", *NEAR, "-pix_fmt", "yuv420p", "-f", "h264", suffix=".h264")
        for size in ("160x120", "128x96")
    ]
    file = tmp_path / "change.h264"
    file.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert "the picture size changes within the recording (after 160x120)" in refusal(file)


@pytest.mark.parametrize("name", ["a:b 'c'.mp4", "ünï%03d[x].mp4", "-y.mp4", "concat|x.mp4"])
def test_names_are_names_and_nothing_else(tmp_path, name):
    file = tmp_path / name
    file.write_bytes(moving(3).read_bytes())
    assert len(read(file)[1]) == 3


# Real recordings

FRAMES = {
    "near_lossless_512.mp4": (512, 512, 78, Fraction(25)),
    "laugh_640x360.mp4": (640, 360, 472, Fraction(24000, 1001)),
    "smile_640x360.mp4": (640, 360, 72, Fraction(30)),
    "face_then_none_hevc_vfr.mov": (960, 540, 169, None),
    "no_face_960x540.mp4": (960, 540, 95, None),
    "odd_rate_700_vfr.mp4": (700, 700, 135, None),
}


@pytest.mark.parametrize("name", FRAMES)
def test_real_recordings_have_all_their_frames(real_clips, name):
    width, height, count, rate = FRAMES[name]
    file = real_clips / name
    with source.decode(file, source.describe(file)) as frames:
        times = np.array([time for time, _ in frames])
    assert (frames.width, frames.height, len(times)) == (width, height, count)
    line = source.timeline(times, source.last_duration(file))
    if rate is not None:
        assert (line.fps, line.timing) == (rate, "constant")
    if "vfr" in name:
        assert line.timing == "retimed"
    with av.open(str(file)) as container:
        wanted = sorted(
            float(packet.pts * packet.time_base)
            for packet in container.demux(video=0)
            if packet.pts is not None and packet.size and not packet.is_discard
        )
    assert len(wanted) == count
    assert np.allclose(times, np.array(wanted) - wanted[0] + times[0], atol=1e-3)


@pytest.mark.parametrize(
    ("name", "size", "count"),
    [
        ("phone_720x1280_30fps.mp4", (720, 1280), 352),
        pytest.param("expressive_512_30fps.mp4", (512, 512), 354, marks=pytest.mark.long),
    ],
)
def test_a_real_portrait_and_a_long_one(real_clips, name, size, count):
    file = real_clips / name
    with source.decode(file, source.describe(file)) as frames:
        found = sum(1 for _ in frames)
    assert (frames.width, frames.height, found) == (*size, count)
