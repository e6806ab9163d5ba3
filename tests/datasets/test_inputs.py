"""What people hand in: one file, pictures, copies, odd names, shapes and fields; used rightly, or refused truly."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_videos import BT709, LOSSLESS, clip_of, ffmpeg, moving
from PIL import Image

from rdbench.datasets.delimited import parse
from rdbench.datasets.folder import FolderDataset, parse_labels
from rdbench.datasets.registry import open_dataset
from rdbench.errors import ClipError, InputError, NoFaceError
from rdbench.sweep.experiment import DatasetChoice
from rdbench.sweep.plan import select_clips
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
    (tmp_path / "manifest.csv").write_text("file,fps,subject\nface,10,\n")
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


def test_no_word_is_lost_but_those_that_say_nothing():
    table = parse("time,expression\n0,none\n1,null\n2,n/a\n3,NA\n4,?\n5,\n", "t.csv")
    labels = parse_labels(table)
    assert labels.classes == ("NA", "n/a", "none", "null")
    assert np.isnan(labels.values[:, 0]).tolist() == [False, False, False, False, True, True]
    with pytest.raises(InputError, match="line 3: expression is 'NaN', but holds words"):
        parse_labels(parse("time,expression\n0,none\n1,NaN\n", "t.csv"))
    numbers = parse_labels(parse("time,valence\n0,NA\n1,0.5\n2,?\n3,nan\n", "t.csv"))
    assert np.isnan(numbers.values[:, 0]).tolist() == [True, False, True, True]


def test_a_class_called_na_is_one_wherever_it_stands(tmp_path):
    (tmp_path / "labels").mkdir()
    rows = {"a": "none,NA,happy", "b": "NA,NA,NA", "c": "happy,,happy"}
    for name, cells in rows.items():
        shutil.copy(moving(), tmp_path / f"{name}.mp4")
        lines = [f"{number / 25},{cell}" for number, cell in enumerate(cells.split(","))]
        (tmp_path / "labels" / f"{name}.csv").write_text("\n".join(["time,mood", *lines]) + "\n")
    people = "file,subject,clip\na.mp4,NA,\nb.mp4,Nan,na\nc.mp4,,\n"
    (tmp_path / "manifest.csv").write_text(people)
    (tmp_path / "labels" / "b.csv").rename(tmp_path / "labels" / "na.csv")
    dataset = FolderDataset(tmp_path)
    assert {info.name: info.subject for info in dataset.index()} == {"a": "NA", "na": "Nan", "c": "c"}
    loaded = {name: dataset.load(name).labels for name in ("a", "na", "c")}
    assert {labels.classes for labels in loaded.values()} == {("NA", "happy", "none")}
    assert loaded["na"].values[:, 0].tolist() == [0, 0, 0]
    assert np.isnan(loaded["c"].values[:, 0]).tolist() == [False, True, False]


def test_one_file_is_what_its_manifest_says_whatever_the_others_are(tmp_path):
    for name in ("a", "b"):
        shutil.copy(moving(), tmp_path / f"{name}.mp4")
    (tmp_path / "manifest.csv").write_text("file,clip,subject,partition\na.mp4,first,ann,dev\n")
    for name, is_ in (("a", ("first", "ann", "dev")), ("b", ("b", "b", "test"))):
        (info,) = open_dataset(str(tmp_path / f"{name}.mp4")).index()
        assert (info.name, info.subject, info.partition) == is_
    (tmp_path / "manifest.csv").write_text("file,clip\na.mp4,first\nmissing.mp4,second\n")
    (info,) = open_dataset(str(tmp_path / "a.mp4")).index()
    assert info.name == "a"


def test_a_clip_that_is_named_is_found_in_any_partition(tmp_path):
    rows = ["file,partition"]
    for name, partition in (("a1", "train"), ("a2", "dev"), ("b1", "test"), ("b2", "test")):
        shutil.copy(moving(), tmp_path / f"{name}.mp4")
        rows.append(f"{name}.mp4,{partition}")
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    dataset = open_dataset(str(tmp_path))

    def chosen(*clips, partition=None):
        choice = DatasetChoice(name=str(tmp_path), clips=clips, partition=partition)
        found, where = select_clips(dataset, choice)
        return [info.name for info in found], where

    assert chosen("a1") == (["a1"], "train")
    assert chosen("a2") == (["a2"], "dev")
    assert chosen("b*") == (["b1", "b2"], "test")
    assert chosen("a*") == (["a2"], "dev")
    assert chosen("*") == (["a2"], "dev")  # test has no labels
    assert chosen("*", partition="dev") == (["a2"], "dev")
    for clips, said in (
        (("a1", "a2"), "several partitions"),
        (("c",), "no clip 'c'"),
    ):
        with pytest.raises(InputError, match=said):
            chosen(*clips)
    with pytest.raises(InputError, match="no clip 'a1' in partition test"):
        chosen("a1", partition="test")


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


@pytest.mark.parametrize(("aspect", "stored"), [("10/7", (112, 120)), ("7/10", (160, 84))])
def test_square_pixels_are_those_of_an_independent_lanczos(tmp_path, aspect, stored):
    squeeze = f"scale={stored[0]}:{stored[1]},setsar={aspect},format=yuv420p"
    file = video(tmp_path / "a.mkv", "-vf", squeeze, *LOSSLESS, *BT709)
    plain = video(
        tmp_path / "b.mkv", "-vf", squeeze.replace(f",setsar={aspect}", ",setsar=1"), *LOSSLESS, *BT709
    )
    lumas = []
    for each in (file, plain):
        with source.decode(each, source.describe(each)) as frames:
            size = frames.height, frames.width
            lumas.append([planes[: size[0] * size[1]].reshape(size).copy() for _, planes in frames])
    for ours, narrow in zip(*lumas, strict=True):
        wanted = np.asarray(Image.fromarray(narrow).resize((160, 120), Image.Resampling.LANCZOS), dtype=float)
        assert np.abs(ours - wanted).mean() < 0.3
        other = np.asarray(Image.fromarray(narrow).resize((160, 120), Image.Resampling.BICUBIC), dtype=float)
        assert np.abs(ours - wanted).mean() < np.abs(ours - other).mean()


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


def test_subjects_of_whom_nobody_is_named_are_people_of_their_own(tmp_path):
    for name in ("a", "b", "c"):
        shutil.copy(moving(), tmp_path / f"{name}.mp4")

    def subjects(*cells):
        rows = [f"{name}.mp4,{cell}" for name, cell in zip("abc", cells, strict=True)]
        (tmp_path / "manifest.csv").write_text("\n".join(["file,subject", *rows]) + "\n")
        return [info.subject for info in FolderDataset(tmp_path).index()]

    assert subjects("NA", "na", "") == ["a", "b", "c"]
    assert subjects("NA", "ann", "") == ["NA", "ann", "c"]


def test_a_manifest_says_what_is_done_with_damage(tmp_path):
    shutil.copy(moving(), tmp_path / "a.mp4")
    for cell, wanted in (("mask", "mask"), ("", "refuse"), ("Refuse", "refuse")):
        (tmp_path / "manifest.csv").write_text(f"file,damage\na.mp4,{cell}\n")
        assert FolderDataset(tmp_path).load("a").damage == wanted
    (tmp_path / "manifest.csv").write_text("file,damage\na.mp4,masc\n")
    with pytest.raises(
        InputError, match=r"line 2: damage should be refuse or mask, but is 'masc'; did you mean"
    ):
        FolderDataset(tmp_path).index()


def test_links_lead_out_of_a_folder_where_that_is_asked_for(tmp_path):
    store = tmp_path / "annex"
    store.mkdir()
    shutil.copy(moving(), store / "SHA256E-s1--0.mp4")
    (store / "labels.csv").write_text("time,valence\n0,0.5\n0.96,0.5\n")
    folder = tmp_path / "clips"
    (folder / "labels").mkdir(parents=True)
    (folder / "a.mp4").symlink_to(store / "SHA256E-s1--0.mp4")
    (folder / "labels" / "a.csv").symlink_to(store / "labels.csv")
    (folder / "gone.mp4").symlink_to(store / "not-fetched.mp4")
    with pytest.raises(
        ClipError, match=r"leads out of the folder .* or take links as they are with --follow-links"
    ):
        open_dataset(str(folder)).load("a")
    followed = open_dataset(str(folder), follow_links=True)
    clip = followed.load("a")
    assert (clip.subject, count(clip.file)) == ("a", 25)
    assert clip.labels is not None
    with pytest.raises(ClipError, match="no such file"):
        source.describe(followed.load("gone").file)
    (folder / "manifest.csv").write_text("file\na.mp4\n")
    assert [info.name for info in open_dataset(str(folder), follow_links=True).index()] == ["a"]
    (folder / "manifest.csv").write_text("file\ngone.mp4\n")
    with pytest.raises(InputError, match="is a link to a file that is not there; fetch it first"):
        open_dataset(str(folder), follow_links=True).index()
    for outside in ("../annex/SHA256E-s1--0.mp4", str(store / "SHA256E-s1--0.mp4")):
        (folder / "manifest.csv").write_text(f"file\n{outside}\n")
        with pytest.raises(InputError, match="leads out of the folder"):
            open_dataset(str(folder), follow_links=True).index()
