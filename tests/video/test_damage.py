"""What is lost of a recording is refused, or masked and counted where the clip asks for it; what is odd is told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import av
import numpy as np
import pytest
from made_videos import NEAR, clip_of, ffmpeg, lavfi, moving

from rdbench import containers
from rdbench.errors import ClipError
from rdbench.video import source
from rdbench.video.prepared import Combing, prepare

PATTERN = "testsrc2=s=96x64:r=25,format=yuv420p,trim=end_frame=40"
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "10")
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "10")
CONTAINERS = {
    "mp4": (*H264, "-movflags", "+faststart"),
    "mov": H264,
    "mkv": H264,
    "webm": VP9,
    "avi": ("-c:v", "mpeg4"),
    "ts": H264,
    "m2ts": H264,
    "mpg": ("-c:v", "mpeg2video"),
    "flv": H264,
    "asf": ("-c:v", "mpeg4"),
    "ogv": ("-c:v", "libtheora"),
    "ivf": VP9,
    "gif": ("-an",),
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RDBENCH_CACHE", str(tmp_path / "cache"))


def made(kind: str) -> bytes:
    return lavfi(PATTERN, *CONTAINERS[kind], suffix=f".{kind}").read_bytes()


def said(file: Path) -> str:
    """The refusal of a recording; empty where it is used."""
    try:
        with source.decode(file, source.describe(file)) as frames:
            for _ in frames:
                pass
    except ClipError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_recording_that_is_cut_off_anywhere_is_refused(tmp_path, kind):
    file = tmp_path / f"cut.{kind}"
    whole = made(kind)
    file.write_bytes(whole)
    assert containers.fault(file) == ""
    assert said(file) == ""
    for share in (0.45, 0.8):
        file.write_bytes(whole[: int(len(whole) * share) | 1])
        assert said(file).startswith(f"cut.{kind}: ")


@pytest.mark.parametrize("kind", [kind for kind in CONTAINERS if kind not in ("mp4", "mov")])
def test_the_last_bytes_count(tmp_path, kind):
    """A trailer or a last picture that lacks a few bytes shows whole pictures in some decoders."""
    file = tmp_path / f"cut.{kind}"
    whole = made(kind)
    file.write_bytes(whole[:-21] if kind != "gif" else whole[:-200])
    assert "cut off at byte" in containers.fault(file)


@pytest.mark.parametrize("kind", ["mkv", "webm"])
def test_flipped_bytes_that_a_decoder_shows_as_other_pictures_are_seen(tmp_path, kind):
    """By the check sums of Matroska, which WebM lacks, or by a decoder that counts the bits of each tile."""
    whole = made(kind)
    rng = np.random.default_rng(5)
    for number in range(4):
        data = bytearray(whole)
        at = int(len(data) * (0.3 + 0.15 * number))
        data[at : at + 40] = rng.bytes(40)
        file = tmp_path / f"flipped-{number}.{kind}"
        file.write_bytes(data)
        assert "damaged or truncated" in said(file)


@pytest.mark.parametrize("kind", ["mp4", "mkv", "ts", "avi"])
def test_damage_is_masked_where_the_clip_asks(tmp_path, kind):
    data = bytearray(made(kind))
    at = len(data) // 2
    data[at : at + 60] = np.random.default_rng(1).bytes(60)
    file = tmp_path / f"hit.{kind}"
    file.write_bytes(data)
    clip = clip_of(file)
    with pytest.raises(ClipError, match="damaged or truncated"):
        prepare(clip)
    prepared = prepare(dataclasses.replace(clip, damage="mask"))
    masked = np.flatnonzero(~prepared.track.mask)
    assert prepared.frames == 40
    assert 1 <= len(masked) <= 12
    assert np.array_equal(masked, np.arange(masked[0], masked[-1] + 1))
    assert f"{len(masked)} of 40 pictures damaged; 0 lost" in prepared.conversion
    keys = key_times(file)
    assert masked[-1] == 39 or round(prepared.timeline.times[masked[-1] + 1], 2) in keys


def key_times(file: Path) -> set[float]:
    with av.open(str(file)) as container:
        start = (container.start_time or 0) / av.time_base
        return {
            round(float(packet.pts * packet.time_base) - start, 2)
            for packet in container.demux(video=0)
            if packet.is_keyframe and packet.pts is not None
        }


def test_a_mask_hides_nothing_of_a_whole_recording():
    prepared = prepare(dataclasses.replace(clip_of(moving()), damage="mask"))
    assert prepared.track.mask.all()
    assert prepared.conversion == "damage masked; 0 of 25 pictures damaged; 0 lost"


def test_pictures_that_a_cut_left_without_their_start_are_told(tmp_path):
    whole = lavfi(PATTERN, "-c:v", "mpeg2video", "-bf", "2", "-g", "12", suffix=".ts").read_bytes()
    file = tmp_path / "open.ts"
    file.write_bytes(whole[188 * (len(whole) // 188 // 3) :])
    prepared = prepare(clip_of(file))
    with av.open(str(file)) as container:
        packets = sum(bool(packet.size) for packet in container.demux(video=0))
    lost = packets - prepared.frames
    assert lost > 0
    assert f"{lost} pictures before the first key frame lost" in prepared.conversion
    assert "lost" not in prepare(clip_of(moving())).conversion


def test_combing_that_no_flag_tells_is_told(tmp_path):
    woven = "tinterlace=mode=interleave_top,setfield=prog"
    texture = lavfi("testsrc2=s=160x120:r=50,format=yuv420p,trim=end_frame=70", *NEAR)
    file = tmp_path / "woven.mkv"
    ffmpeg("-i", texture, "-vf", woven, *NEAR, "-pix_fmt", "yuv420p", file)
    assert "combed like interlaced" in prepare(clip_of(file)).conversion
    assert "combed" not in prepare(clip_of(texture)).conversion


@pytest.mark.parametrize("name", ["laugh_640x360.mp4", "near_lossless_512.mp4", "no_face_960x540.mp4"])
def test_no_real_progressive_recording_is_called_combed(real_clips, name):
    watch = Combing()
    file = real_clips / name
    with source.decode(file, source.describe(file)) as frames:
        area = frames.width * frames.height
        luma = (planes[:area].reshape(frames.height, frames.width) for _, planes in frames)
        for number, _ in enumerate(watch.watch(luma)):
            if number > 100:
                break
    assert not watch.seen
