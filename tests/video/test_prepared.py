"""What is found out once about a clip, kept by its content, and the same the second time."""

from __future__ import annotations

import dataclasses
import os
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from made_videos import boxes_at, clip_of, lavfi, moving, seen

from rdbench.errors import ClipError, NoFaceError
from rdbench.machine import cache_dir, work_folder
from rdbench.video import faces
from rdbench.video import prepared as prepare
from rdbench.video.clip import Boxes, Labels
from rdbench.video.prepared import Prepared


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RDBENCH_CACHE", str(tmp_path / "cache"))


def assert_same(a: Prepared, b: Prepared) -> None:
    assert (a.source, a.width, a.height, a.conversion, a.folder) == (
        b.source,
        b.width,
        b.height,
        b.conversion,
        b.folder,
    )
    assert (a.timeline.fps, a.timeline.timing) == (b.timeline.fps, b.timeline.timing)
    assert np.array_equal(a.timeline.times, b.timeline.times)
    for field in dataclasses.fields(a.track):
        assert np.array_equal(getattr(a.track, field.name), getattr(b.track, field.name)), field.name


def test_what_is_found_out():
    boxes = boxes_at(np.arange(0, 1, 0.04), (40, 30, 50, 64), speed=10)
    prepared = prepare.prepare(clip_of(moving(), boxes))
    assert (prepared.width, prepared.height, prepared.frames) == (160, 120, 25)
    assert (prepared.timeline.fps, prepared.timeline.timing) == (Fraction(25), "constant")
    assert prepared.conversion == "none"
    assert (prepared.track.origin, prepared.track.face_px, prepared.track.side) == ("given", 50, 64)
    assert prepared.track.mask.all()
    assert prepared.track.box_bits == faces.box_bits(boxes, prepared.timeline.times)
    assert prepared.folder.parent == cache_dir() / "clips"


def test_the_second_time_is_the_first(monkeypatch):
    first = prepare.prepare(clip_of(moving()))
    monkeypatch.setattr(prepare, "_look", None)
    assert_same(first, prepare.prepare(clip_of(moving())))
    assert [file.name for file in first.folder.iterdir()] == ["track.npz", "track.npz.sha256"]


def test_a_cache_that_was_emptied_is_filled_again():
    first = prepare.prepare(clip_of(moving()))
    shutil.rmtree(cache_dir())
    assert_same(first, prepare.prepare(clip_of(moving())))


def test_all_that_changes_the_answer_changes_the_source(tmp_path):
    times = np.arange(25) / 25
    labels = Labels(times, np.zeros((25, 1)), ("valence",))
    clip = clip_of(moving(), labels=labels)
    others = [
        clip,
        clip_of(moving(26), labels=labels),
        clip_of(moving(), boxes_at(times, (41, 30, 64, 64)), labels),
        clip_of(moving(), boxes_at(times + 0.001, (41, 30, 64, 64)), labels),
        clip_of(moving(), frame_times=times * 1.001, labels=labels),
        dataclasses.replace(clip, labels=None),
        dataclasses.replace(clip, labels=Labels(times + 1e-3, labels.values, labels.targets)),
        dataclasses.replace(clip, labels=Labels(times, labels.values + 1e-9, labels.targets)),
        dataclasses.replace(clip, labels=Labels(times, labels.values, ("arousal",))),
        dataclasses.replace(clip, labels=Labels(times, labels.values, ("valence",), ("calm", "glad"))),
    ]
    sources = [prepare.prepare(other).source for other in others]
    sources.append(prepare.prepare(clip, 0.5).source)
    assert len(set(sources)) == len(sources)
    # Names, places and times of change do not.
    copy = tmp_path / "elsewhere.mp4"
    shutil.copyfile(moving(), copy)
    assert prepare.prepare(dataclasses.replace(clip, file=copy, name="x", subject="y")).source == sources[0]
    # What is found in the pictures does not hang on labels.
    assert prepare.prepare(others[5]).folder == prepare.prepare(clip).folder


def test_a_file_that_changes_in_place_is_another_source(tmp_path):
    file = tmp_path / "clip.mp4"
    shutil.copyfile(moving(20), file)
    first = prepare.prepare(clip_of(file))
    shutil.copyfile(moving(25), file)
    os.utime(file, ns=(1, first.folder.stat().st_mtime_ns + 10**9))
    second = prepare.prepare(clip_of(file))
    assert (first.frames, second.frames) == (20, 25)
    assert first.source != second.source


@pytest.mark.parametrize(("seconds", "frames"), [(0.4, 10), (0.41, 11), (0.039, 1), (1.0, 25), (9.0, 25)])
def test_only_the_first_seconds(seconds, frames):
    prepared = prepare.prepare(clip_of(moving()), seconds)
    assert prepared.frames == frames
    assert prepared.timeline.seconds == pytest.approx(frames / 25)
    wanted, _ = seen(moving())
    assert np.array_equal(list(prepare.source_frames(prepared)), wanted[:frames])


def test_of_a_variable_rate_the_last_frame_counts_until_the_next():
    file = lavfi(
        "testsrc2=s=160x120:r=25,trim=end_frame=20,settb=1/1000,setpts='N*40+500*gte(N,8)+9*mod(N,2)'",
        *("-fps_mode", "passthrough", "-enc_time_base", "1:1000", "-c:v", "libx264", "-pix_fmt", "yuv420p"),
    )
    whole, part = prepare.prepare(clip_of(file)), prepare.prepare(clip_of(file), 0.3)
    assert (whole.frames, part.frames) == (20, 8)
    assert whole.timeline.timing == part.timeline.timing == "retimed"
    assert part.timeline.seconds == pytest.approx(0.82, abs=1e-3)


def test_given_frame_times_take_the_place_of_the_files_own():
    given = 3.0 + np.arange(25) * 0.04
    prepared = prepare.prepare(clip_of(moving(), boxes_at(given), frame_times=given))
    assert np.array_equal(prepared.timeline.times, given)
    assert prepared.timeline.fps == 25
    short = prepare.prepare(clip_of(moving(), boxes_at(given), frame_times=given), 0.2)
    assert np.array_equal(short.timeline.times, given[:5])


@pytest.mark.parametrize("count", [24, 26, 0])
def test_frame_times_that_do_not_fit_the_video_fail_the_clip(count):
    with pytest.raises(ClipError) as caught:
        prepare.prepare(clip_of(moving(), frame_times=np.arange(count) / 25))
    assert str(caught.value) == (
        f"{moving().name}: 25 frames were decoded, but {count} frame times are given; one is needed for each frame."
    )
    with pytest.raises(ClipError, match="do not rise"):
        prepare.prepare(clip_of(moving(), frame_times=np.full(25, 1.0)))


def test_boxes_outside_the_picture_or_the_time_are_no_face():
    times = np.arange(25) / 25
    for boxes, reason in (
        (boxes_at(times, (500, 30, 64, 64)), "No face was given in any of 25 frames of 160x120"),
        (boxes_at(times, (np.nan, 30, 64, 64)), "No face was given"),
        (boxes_at(times + 60), "No frame has a face: boxes are given from 60.00 s"),
        (Boxes(np.empty(0), np.empty((0, 4))), "No face was given"),
    ):
        with pytest.raises(NoFaceError, match=reason) as caught:
            prepare.prepare(clip_of(moving(), boxes))
        assert str(caught.value).startswith(moving().name)
    assert not list((cache_dir() / "clips").glob("*/*"))


def test_frames_without_a_box_are_masked():
    times = np.arange(100) / 25
    boxes = boxes_at(times)
    boxes.xywh[20:90] = np.nan
    track = prepare.prepare(clip_of(moving(100), boxes)).track
    assert track.mask[:20].all()
    assert not track.mask[22:88].any()
    assert track.mask[90:].all()
    assert set(track.segment) == {0, 1, -1}


def test_without_boxes_the_detector_looks_at_the_upright_picture(monkeypatch):
    shapes = []

    def find(lumas, times, step=8, detector=None):
        shapes.extend(luma.shape for luma in lumas)
        return boxes_at([0.0], (40, 30, 64, 64))

    monkeypatch.setattr(faces, "find", find)
    clip = dataclasses.replace(clip_of(moving(5)), boxes=None)
    prepared = prepare.prepare(clip)
    assert prepared.track.origin == "found"
    assert shapes == [(120, 160)] * 5
    assert prepare.prepare(clip).track.origin == "found"


def test_a_picture_without_a_face_is_told_with_its_name():
    file = lavfi("color=c=gray:s=160x120:r=25:d=0.4")
    with pytest.raises(NoFaceError, match=rf"^{file.name}: No face was found in any of 10 frames"):
        prepare.prepare(dataclasses.replace(clip_of(file), boxes=None))


def test_frames_that_vanish_are_missed(tmp_path):
    file = tmp_path / "clip.mp4"
    shutil.copyfile(moving(25), file)
    prepared = prepare.prepare(clip_of(file))
    shutil.copyfile(moving(20), file)
    with pytest.raises(ClipError, match=r"clip\.mp4: 20 frames came, 25 the first time"):
        list(prepare.source_frames(prepared))


def test_damage_leaves_nothing_behind(tmp_path):
    file = tmp_path / "clip.mp4"
    data = bytearray(moving(50).read_bytes())
    data[40_000:50_000] = bytes(10_000)
    file.write_bytes(data)
    with pytest.raises(ClipError, match=r"clip\.mp4: damaged or truncated"):
        prepare.prepare(clip_of(file))
    assert not list((cache_dir() / "clips").glob("*/*"))


def test_work_is_done_in_a_folder_of_this_process_that_goes_away():
    with work_folder() as folder:
        path = Path(folder)
        assert path.parent == cache_dir() / "work"
        assert path.name.startswith(f"{os.getpid()}@")
        (path / "planes.yuv").write_bytes(bytes(10))
    assert not path.exists()


def test_a_real_face_is_found(real_clips):
    clip = dataclasses.replace(clip_of(real_clips / "smile_640x360.mp4"), boxes=None)
    prepared = prepare.prepare(clip)
    assert prepared.frames == 72
    assert prepared.track.face_px == pytest.approx(196, rel=0.05)
