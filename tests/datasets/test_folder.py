"""Folders of clips: what is found, what is refused, and how it is said."""

from __future__ import annotations

import contextlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packages import write, write_folder, write_video

from rdbench.datasets import delimited
from rdbench.datasets.folder import FolderDataset, parse_boxes, parse_labels
from rdbench.errors import ClipError, InputError, RdbenchError
from rdbench.video.clip import ClipInfo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files with the names of videos; nothing here opens them."""
    for name in ("b.mp4", "a.MOV", "notes.txt", "sound.wav", ".hidden.mp4"):
        write(tmp_path / name, "x")
    (tmp_path / "c.mp4").mkdir()
    return tmp_path


def test_videos_are_found_by_suffix_in_order(folder):
    assert FolderDataset(folder).index() == [ClipInfo("a", "a", "test"), ClipInfo("b", "b", "test")]


def test_a_dataset_survives_pickling(folder):
    again = pickle.loads(pickle.dumps(FolderDataset(folder)))
    assert again == FolderDataset(folder)
    assert again.name == folder.name
    assert again.load("b").file == folder / "b.mp4"


def test_a_clip_without_anything_beside_it(folder):
    clip = FolderDataset(folder).load("a")
    assert (clip.labels, clip.boxes, clip.frame_times) == (None, None, None)


def test_labels_and_boxes_beside_a_clip(folder):
    write(folder / "labels" / "b.csv", "\ufefftime,valence,arousal\r\n0,0.5,\r\n\r\n0.04,-0.25,nan\r\n")
    write(folder / "boxes" / "b.csv", 'time;x;y;w;h\n0;1;2;"30";40\n0.04;;;;\n0.08;1;2;0;0\n')
    clip = FolderDataset(folder).load("b")
    assert clip.labels.targets == ("valence", "arousal")
    assert clip.labels.classes == ()
    np.testing.assert_array_equal(clip.labels.values, [[0.5, np.nan], [-0.25, np.nan]])
    np.testing.assert_array_equal(clip.boxes.times, [0, 0.04, 0.08])
    np.testing.assert_array_equal(clip.boxes.xywh, [[1, 2, 30, 40], [np.nan] * 4, [np.nan] * 4])
    assert FolderDataset(folder).load("a").labels is None


def test_classes_are_those_of_the_whole_folder(folder):
    write(folder / "labels" / "a.csv", "time,expression\n0,happy\n1,sad\n")
    write(folder / "labels" / "b.csv", "time,expression\n0,sad\n1,?\n2,angry\n")
    dataset = FolderDataset(folder)
    a, b = dataset.load("a").labels, dataset.load("b").labels
    assert a.classes == b.classes == ("angry", "happy", "sad")
    assert a.values[:, 0].tolist() == [1, 2]
    np.testing.assert_array_equal(b.values[:, 0], [2, np.nan, 0])
    write(folder / "labels" / "b.csv", "time,expression\n0,zen\n")
    assert dataset.load("a").labels.classes == ("happy", "sad", "zen")


def test_a_manifest_names_clips(folder):
    write(folder / "deep" / "x 1.mkv", "x")
    write(
        folder / "manifest.csv",
        "file,clip,subject,partition\ndeep/x 1.mkv,one,anna,Train\nb.mp4,,,\n",
    )
    dataset = FolderDataset(folder)
    assert dataset.index() == [ClipInfo("b", "b", "test"), ClipInfo("one", "anna", "train")]
    assert dataset.load("one").file == folder / "deep" / "x 1.mkv"


def test_names_become_safe_for_files(tmp_path):
    write(tmp_path / "Zoë at the lake (1).mp4", "x")
    write(tmp_path / "labels" / "Zoë at the lake (1).csv", "time,valence\n0,1\n")
    dataset = FolderDataset(tmp_path)
    assert [info.name for info in dataset.index()] == ["Zoë_at_the_lake_1"]
    assert dataset.load("Zoë_at_the_lake_1").labels is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("clip\nb\n", "there is no column 'file'"),
        ("file,fold\nb.mp4,1\n", "unknown column 'fold'"),
        ("file,subjekt\nb.mp4,1\n", "did you mean 'subject'?"),
        (
            "file,partition\nb.mp4,tran\n",
            "line 2: partition should be train, dev or test, but is 'tran'; did you mean",
        ),
        ("file\nz.mp4\n", "line 2: the file 'z.mp4' is not in"),
        ("file\n../z.mp4\n", "line 2: '../z.mp4' leads out of the folder"),
        ("file\n/etc/passwd\n", "leads out of the folder"),
        ("file,clip\nb.mp4,x/y\n", "such as 'x_y'"),
        ("file,clip\nb.mp4,..\n", "should have letters"),
        ("file,clip\nb.mp4,q\na.MOV,q\n", "Two clips .* are called 'q': b.mp4 and a.MOV"),
        ("file,clip\n,q\n", "line 2: file is empty"),
        ("file,clip\nb.mp4\n", "line 2: 1 cells, but the header has 2"),
        ("file\n", "lists no clip"),
        ("", "is empty"),
        ("file,file\nb.mp4,b.mp4\n", "comes twice"),
    ],
)
def test_wrong_manifests_are_refused_in_one_sentence(folder, text, said):
    write(folder / "manifest.csv", text)
    with pytest.raises(InputError, match=said) as caught:
        FolderDataset(folder).index()
    assert "manifest.csv" in str(caught.value) or "manifest" not in said
    assert "\n" not in str(caught.value)


def test_links_may_not_leave_the_folder(folder, tmp_path_factory):
    outside = write(tmp_path_factory.mktemp("outside") / "secret.csv", "time,valence\n0,1\n")
    os.symlink(outside.with_suffix(".mp4"), folder / "z.mp4")
    assert [info.name for info in FolderDataset(folder).index()] == ["a", "b", "z"]
    with pytest.raises(ClipError, match=r"'z.mp4' leads out of the folder"):
        FolderDataset(folder).load("z")
    (folder / "z.mp4").unlink()
    (folder / "labels").mkdir()
    os.symlink(outside, folder / "labels" / "b.csv")
    with pytest.raises(ClipError, match="leads out of the folder"):
        FolderDataset(folder).load("b")
    write(folder / "manifest.csv", "file\nlink/secret.mp4\n")
    os.symlink(outside.parent, folder / "link")
    with pytest.raises(InputError, match="leads out of the folder"):
        FolderDataset(folder).index()


def test_links_inside_the_folder_are_fine(folder):
    os.symlink("b.mp4", folder / "z.mp4")
    assert [info.name for info in FolderDataset(folder).index()] == ["a", "b", "z"]


def test_two_files_of_one_name(folder):
    write(folder / "b.mkv", "x")
    with pytest.raises(InputError, match=r"called 'b': b.mkv and b.mp4"):
        FolderDataset(folder).index()


def test_missing_empty_and_other_folders(tmp_path, folder):
    with pytest.raises(InputError, match="There is no folder"):
        FolderDataset(tmp_path / "nowhere").index()
    with pytest.raises(InputError, match="is not a folder"):
        FolderDataset(folder / "b.mp4").index()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has no video file; put video files"):
        FolderDataset(tmp_path / "empty").index()
    write(tmp_path / "empty" / "s1" / "take.mp4", "x")
    with pytest.raises(InputError, match=r"such as s1/take.mp4, must be named in manifest.csv"):
        FolderDataset(tmp_path / "empty").index()


def test_labels_of_nobody_are_told(folder):
    write(folder / "labels" / "bb.csv", "time,valence\n0,1\n")
    with pytest.raises(
        InputError, match=r"none of its 1 files belongs to a clip; bb.csv should be called a.csv"
    ):
        FolderDataset(folder).index()


def test_an_unknown_clip(folder):
    write(folder / "anna.mp4", "x")
    with pytest.raises(InputError, match=r"has no clip 'ana'; did you mean 'anna'\?"):
        FolderDataset(folder).load("ana")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time,valence\n0,high5\n1,2\n", "line 3: valence is '2', but holds words in other lines"),
        ("time,valence\n0,1\n1,high\n", "line 3: valence should be a number, but is 'high'"),
        ("time,valence\n0,1\n1,inf\n", "line 3: valence should be a number, but is 'inf'"),
        ("time,valence\n0,1\n0,1\n", "line 3: time should rise from row to row, but 0 comes after 0"),
        ("time,valence\n,1\n", "line 2: time is missing"),
        ("t,valence\n0,1\n", "there is no column 'time'; the header has t, valence"),
        ("time\n0\n", "no column beside time"),
        ("time,valence\n", "has a header, but no rows"),
        ("time,e,f\n0,happy,1\n", "must be the only column"),
        ("time,valence\n0,1,2\n", "line 2: 3 cells, but the header has 2"),
        ('time,valence\n0,"1\n', "line 2: unexpected end of data"),
    ],
)
def test_wrong_labels_fail_their_clip_with_file_and_line(folder, text, said):
    path = write(folder / "labels" / "b.csv", text)
    with pytest.raises(ClipError, match=said) as caught:
        FolderDataset(folder).load("b")
    assert str(path) in str(caught.value)
    FolderDataset(folder).load("a")


@pytest.mark.parametrize("content", [b"\xff\xfet\0i\0", b"time,valence\n0,\x001\n", b"\x80\x81"])
def test_files_that_are_not_text(folder, content):
    (folder / "boxes").mkdir()
    (folder / "boxes" / "b.csv").write_bytes(content)
    with pytest.raises(ClipError, match=r"not UTF-8 text|zero bytes"):
        FolderDataset(folder).load("b")


def test_real_videos_load(tmp_path):
    dataset = FolderDataset(write_folder(tmp_path / "clips", ["one", "two"], frames=3))
    assert [dataset.load(info.name).file.stat().st_size > 0 for info in dataset.index()] == [True, True]
    assert write_video(tmp_path / "x.mkv", 2).stat().st_size > 0


table_text = st.one_of(
    st.text(max_size=300),
    st.text(alphabet="timex,;\t\"'.0123456789\r\n -e?ahNy", max_size=300),
    st.builds(
        lambda head, body: head + body,
        st.sampled_from(
            ["time,valence\n", "time;x;y;w;h\r\n", "time,e\n0,happy\n", "\ufefftime\tv\n", "clip,file\n"]
        ),
        st.text(alphabet='0123456789.,;\n\r\t"-ab?', max_size=200),
    ),
)


@given(table_text)
@settings(max_examples=400)
def test_any_text_is_a_table_or_an_input_error(text):
    try:
        table = delimited.parse(text, "x.csv")
    except InputError:
        return
    assert all(len(cells) == len(table.header) for _, cells in table.rows)
    for reader in (parse_labels, parse_boxes):
        try:
            out = reader(table)
        except InputError:
            continue
        assert (np.diff(out.times) > 0).all()
        assert len(out.times) == len(table.rows)


@given(st.one_of(st.binary(max_size=300), table_text.map(str.encode)))
@settings(max_examples=200)
def test_any_bytes_beside_a_clip_raise_our_own_errors_only(tmp_path_factory, content):
    root = tmp_path_factory.getbasetemp() / "any_bytes"
    for kind in ("labels", "boxes"):
        (root / kind).mkdir(parents=True, exist_ok=True)
        (root / kind / "b.csv").write_bytes(content)
    (root / "b.mp4").write_bytes(b"x")
    with contextlib.suppress(RdbenchError):
        FolderDataset(root).load("b")
    (root / "manifest.csv").write_bytes(content)
    with contextlib.suppress(RdbenchError):
        FolderDataset(root).index()
    (root / "manifest.csv").unlink()
