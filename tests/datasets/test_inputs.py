"""What people hand in: one file, pictures, copies, odd names, shapes and fields; used rightly, or refused truly."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_videos import BT709, LOSSLESS, clip_of, ffmpeg, moving

from rdbench.datasets.delimited import parse
from rdbench.datasets.folder import FolderDataset, parse_labels
from rdbench.datasets.registry import open_dataset
from rdbench.errors import ClipError, InputError, NoFaceError
from rdbench.video import faces, source
from rdbench.video.clip import Boxes
from rdbench.video.prepared import prepare


def video(file: Path, *options: str, frames: int = 6) -> Path:
    """A short test pattern."""
    ffmpeg("-f", "lavfi", "-i", f"testsrc2=s=160x120:r=25,trim=end_frame={frames}", *options, file)
    return file


def count(file: Path) -> int:
    with source.decode(file, source.describe(file)) as frames:
        return sum(1 for _ in frames)


def test_a_file_is_a_set_of_one(tmp_path):
    file = tmp_path / "a b.mp4"
    shutil.copy(moving(), file)
    (tmp_path / "other.mp4").write_bytes(b"x")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a b.csv").write_text("time,valence\n0,0.1\n0.5,0.2\n")
    dataset = open_dataset(str(file))
    assert [info.name for info in dataset.index()] == ["a_b"]
    assert dataset.load("a_b").labels is not None
    assert dataset.notes() == []


def test_numbered_pictures_keep_the_times_of_their_numbers(tmp_path):
    folder = tmp_path / "face"
    folder.mkdir()
    video(folder / "f_%03d.png", frames=8)
    (folder / "f_004.png").unlink()
    (tmp_path / "manifest.csv").write_text("file,fps,subject\nface,10,NA\n")
    clip = FolderDataset(tmp_path).load("face")
    assert clip.subject == "face"
    assert clip.frame_times == pytest.approx([0, 0.1, 0.2, 0.4, 0.5, 0.6, 0.7])
    assert count(folder) == 7
    (tmp_path / "manifest.csv").write_text("file,fps\nface,fast\n")
    with pytest.raises(InputError, match="line 2: fps should be pictures a second"):
        FolderDataset(tmp_path).index()


def test_a_picture_is_a_recording_of_one_frame(tmp_path):
    video(tmp_path / "anna.jpg", "-frames:v", "1")
    assert count(FolderDataset(tmp_path).load("anna").file) == 1


def test_a_folder_tells_what_it_passes_over_and_what_is_twice(tmp_path):
    shutil.copy(moving(), tmp_path / "a.mp4")
    shutil.copy(moving(), tmp_path / "b.mp4")
    (tmp_path / "c.mp4").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "sound.wav").write_bytes(b"x")
    told = " ".join(FolderDataset(tmp_path).notes())
    assert "2 that are no clips (1 .txt, 1 .wav)" in told
    assert "The same recording is in 2 clips (a, b) under 2 subjects (a, b)" in told
    (tmp_path / "manifest.csv").write_text("file,subject,partition\na.mp4,x,train\nc.mp4,x,test\n")
    told = " ".join(FolderDataset(tmp_path).notes())
    assert "1 subject in more than one partition (x)" in told
    assert "not in manifest.csv (1 .mp4, 1 .txt, 1 .wav)" in told


def test_only_the_listed_words_are_missing():
    table = parse("time,expression\n0,none\n1,null\n2,n/a\n3,NA\n4,?\n", "t.csv")
    labels = parse_labels(table)
    assert labels.classes == ("n/a", "none", "null")
    assert np.isnan(labels.values[:, 0]).tolist() == [False, False, False, True, True]


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX alone")
def test_names_that_are_no_utf8(tmp_path):
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4"))
    shutil.copy(moving(), file)
    (clip,) = FolderDataset(tmp_path).index()
    clip.name.encode()
    assert count(FolderDataset(tmp_path).load(clip.name).file) == count(moving())
    file.write_bytes(b"no video")
    with pytest.raises(ClipError) as caught:
        source.describe(file)
    str(caught.value).encode()


@pytest.mark.parametrize(
    ("suffix", "options"), [("gif", ()), ("m2v", ()), ("mjpeg", ()), ("qt", ("-f", "mov"))]
)
def test_other_containers_are_used(tmp_path, suffix, options):
    file = video(tmp_path / f"a.{suffix}", *options)
    assert [info.name for info in FolderDataset(tmp_path).index()] == ["a"]
    assert count(file) == 6


@pytest.mark.parametrize(
    ("aspect", "size"), [("2/1", (320, 120)), ("1/2", (160, 240)), ("1281/1280", (160, 120))]
)
def test_pixels_are_made_square(tmp_path, aspect, size):
    file = video(tmp_path / "a.mp4", "-vf", f"setsar={aspect},format=yuv420p", *LOSSLESS, *BT709)
    description = source.describe(file)
    with source.decode(file, description) as frames:
        assert (frames.width, frames.height) == size
        assert sum(1 for _ in frames) == 6
    assert ("made square" in description.conversion) == (size != (160, 120))


def test_interlaced_pictures_are_told_and_done_as_asked(tmp_path):
    shot = ("-vf", "interlace,format=yuv420p", "-flags", "+ilme+ildct", "-c:v", "libx264", *BT709)
    file = video(tmp_path / "a.mp4", *shot, frames=24)
    assert "deinterlaced (bwdif)" in source.describe(file).conversion
    assert "left as it is" in source.describe(file, "keep").conversion
    with pytest.raises(ClipError, match="interlaced, which this experiment refuses"):
        source.describe(file, "refuse")
    kept = source.describe(file, "keep")
    with source.decode(file, kept) as frames:
        assert sum(1 for _ in frames) == count(file)


def test_boxes_as_shares_of_the_picture_are_refused():
    times = np.arange(25) * 0.04
    with pytest.raises(ClipError, match="most likely shares of the picture"):
        faces.track(Boxes(times, np.tile([0.2, 0.2, 0.4, 0.4], (25, 1))), times, 320, 240, "given")


def test_a_face_that_does_not_stay_is_not_called_none():
    times = np.arange(4) * 0.32
    with pytest.raises(NoFaceError, match="A face was seen in 1 of 4 pictures looked at"):
        faces.track(Boxes(times, np.full((4, 4), np.nan), fleeting=1), times, 320, 240)


def test_looks_are_counted_in_seconds():
    assert faces.looked_at(np.arange(32) / 25).tolist() == [0, 8, 16, 24]
    assert faces.looked_at(np.arange(4) / 1.0).tolist() == [0, 1, 2, 3]
    assert faces.looked_at(np.array([0, 0.04, 5.0, 5.04])).tolist() == [0, 2]


def test_the_cache_is_named_where_it_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("RDBENCH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError, match="set RDBENCH_CACHE"):
        prepare(clip_of(moving()))
