"""A package in the AVEC 2016 layout, from files to labels by frame, and the check before a long run."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from packages import arff_text, wander, write, write_avec

from rdbench.datasets.avec2016 import Avec2016Dataset, inspect_package
from rdbench.errors import ClipError, InputError
from rdbench.video.clip import ClipInfo
from rdbench.video.labels import join

MISSING = (10, 11, 30)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("avec")
    return write_avec(root, {"train": 2, "dev": 1, "test": 1}, frames=50, missing=MISSING)


@pytest.fixture
def package(made, tmp_path) -> Path:
    """A copy whose files are links but for the ones that a test writes anew."""
    shutil.copytree(made, tmp_path / "avec", copy_function=os.link)
    return tmp_path / "avec"


def rewrite(path: Path, text: str) -> None:
    path.unlink()  # else the original behind the link would change too
    write(path, text)


def test_recordings_by_partition_and_number(package):
    videos = package / "recordings_video"
    for name in ("train_10.mp4", "dev_2.mp4"):
        os.link(videos / "train_1.mp4", videos / name)
    write(videos / "readme.txt", "x")
    names = ["train_1", "train_2", "train_10", "dev_1", "dev_2", "test_1"]
    assert Avec2016Dataset(package).index() == [ClipInfo(n, n, n.split("_")[0]) for n in names]


def test_it_survives_pickling(made):
    dataset = pickle.loads(pickle.dumps(Avec2016Dataset(made)))
    assert dataset.name == "avec2016"
    assert dataset.load("dev_1").file.is_file()


@pytest.mark.parametrize("name", ["train_1", "train_2", "dev_1"])
def test_labels_meet_frames_by_time(made, name):
    clip = Avec2016Dataset(made).load(name)
    assert (clip.subject, clip.partition) == (name, name.split("_")[0])
    assert len(clip.frame_times) == 50
    taken = np.setdiff1d(np.arange(53), MISSING)
    np.testing.assert_allclose(clip.frame_times, taken / 25)
    assert clip.labels.targets == ("arousal", "valence")
    assert clip.boxes is None
    joined = join(clip.labels, clip.frame_times)
    assert (joined.exact, joined.missing) == (50, 0)
    seed = ["train_1", "train_2", "dev_1"].index(name)
    n = int(taken[-1]) + 26
    expected = np.column_stack([wander(7 * seed + j, n)[taken] for j in (0, 1)])
    np.testing.assert_allclose(joined.values, expected, atol=1e-6)


def test_the_first_frame_need_not_lie_at_zero(package):
    write(package / "boxes" / "dev_1.csv", "time,x,y,w,h\n0.12,1,2,30,40\n")
    before = Avec2016Dataset(package).load("dev_1")
    path = package / "recordings_video_frame_time" / "dev_1.csv"
    rewrite(path, "frame;time\n" + "".join(f"{i};{0.12 + i / 25}\n" for i in range(50)))
    clip = Avec2016Dataset(package).load("dev_1")
    assert clip.frame_times[0] == 0
    assert clip.boxes.times.tolist() == [0]
    values = join(clip.labels, clip.frame_times).values
    np.testing.assert_array_equal(values, before.labels.values[3:53])


def test_test_has_no_ratings(made):
    assert Avec2016Dataset(made).load("test_1").labels is None


def test_boxes_beside_the_package(package):
    write(package / "boxes" / "dev_1.csv", "time,x,y,w,h\n0,1,2,30,40\n")
    assert Avec2016Dataset(package).load("dev_1").boxes.xywh.tolist() == [[1, 2, 30, 40]]


def test_missing_values_stay_missing(package):
    path = package / "ratings_gold_standard" / "valence" / "dev_1.arff"
    times = np.arange(78) / 25
    values = np.where(np.arange(78) < 5, np.nan, 0.5)
    rewrite(path, arff_text("dev_1", times, values, style="quoted"))
    labels = Avec2016Dataset(package).load("dev_1").labels
    assert np.isnan(labels.values[:5, 1]).all()
    assert np.isfinite(labels.values[:5, 0]).all()


def gone(*parts: str):
    return lambda root: root.joinpath(*parts).unlink()


def text(value: str, *parts: str):
    return lambda root: rewrite(root.joinpath(*parts), value)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (gone("ratings_gold_standard", "valence", "dev_1.arff"), r"valence/dev_1.arff: cannot be read"),
        (gone("recordings_video_frame_time", "dev_1.csv"), r"frame_time/dev_1.csv: cannot be read"),
        (text("frame;time\n", "recordings_video_frame_time", "dev_1.csv"), "no frame times"),
        (
            text("frame;time\n0;0\n1;x\n", "recordings_video_frame_time", "dev_1.csv"),
            "line 3: time should be a number",
        ),
        (
            text("frame;time\n0;1\n1;0\n", "recordings_video_frame_time", "dev_1.csv"),
            "line 3: time should rise",
        ),
        (
            text(arff_text("dev_1", [0, 1], [0, 0]), "ratings_gold_standard", "valence", "dev_1.arff"),
            "its frameTime differs from that of .*arousal",
        ),
        (
            text(arff_text("dev_1", [0, 0], [0, 0]), "ratings_gold_standard", "arousal", "dev_1.arff"),
            "line 9: frameTime should be a number that rises",
        ),
        (
            text(arff_text("dev_1", [], []), "ratings_gold_standard", "arousal", "dev_1.arff"),
            "has a header, but no ratings",
        ),
        (text("oops\n", "ratings_gold_standard", "arousal", "dev_1.arff"), "is no ARFF header"),
    ],
)
def test_what_is_wrong_fails_its_recording_only(package, damage, said):
    damage(package)
    dataset = Avec2016Dataset(package)
    with pytest.raises(ClipError, match=said):
        dataset.load("dev_1")
    assert dataset.load("train_1").labels is not None
    inspection = inspect_package(package, look=False)
    assert not inspection.usable
    assert len(inspection.problems) == 1


def test_folders_that_are_no_package(tmp_path, package):
    with pytest.raises(InputError, match="There is no folder"):
        Avec2016Dataset(tmp_path / "nowhere").index()
    with pytest.raises(InputError, match="no folder recordings_video, so it is not the AVEC 2016 package"):
        Avec2016Dataset(tmp_path).index()
    (tmp_path / "recordings_video").mkdir()
    with pytest.raises(InputError, match=r"no recording such as train_1.mp4"):
        Avec2016Dataset(tmp_path).index()
    with pytest.raises(InputError, match=r"no recording 'dev_7'; did you mean 'dev_1'\?"):
        Avec2016Dataset(package).load("dev_7")


def test_a_package_without_faces_is_not_usable(made):
    """Seen before: usable, and training said afterwards that no recording has a face."""
    inspection = inspect_package(made)
    assert not inspection.usable
    assert [r.faces for r in inspection.recordings] == ["0 of 12"] * 4
    assert [problem.partition(",")[0] for problem in inspection.problems] == [
        f"no recording of {partition} shows a face in the 12 pictures of it that were looked at"
        for partition in ("train", "dev")
    ]
    assert any(note.startswith("no recording of test shows a face") for note in inspection.notes)


def test_boxes_stand_in_for_faces_that_are_not_seen(package):
    for name in ("train_2", "dev_1"):
        write(package / "boxes" / f"{name}.csv", "time,x,y,w,h\n0,10,8,20,24\n0.04,,,,\n")
    inspection = inspect_package(package)
    assert inspection.usable
    first, second, dev, _ = inspection.recordings
    assert (first.boxes, first.faced, first.notes) == (
        "to be found",
        None,
        ("no face in any of the pictures looked at",),
    )
    assert (second.boxes, second.notes) == ("given", ())
    assert second.faced == dev.faced == 1 / 50


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("0,,,,\n0.04,,,,\n", "No face was given in any of 50 frames of 64x48"),
        ("0,100,8,20,24\n", "No face was given in any of 50 frames of 64x48"),
        (
            "60,10,8,20,24\n61,10,8,20,24\n",
            "boxes are given from 60.00 s to 61.00 s, frames last from 0.00 s",
        ),
    ],
    ids=["empty", "outside", "later"],
)
def test_boxes_that_no_frame_can_use_are_a_problem(package, rows, said):
    write(package / "boxes" / "dev_1.csv", "time,x,y,w,h\n" + rows)
    (problem,) = inspect_package(package, look=False).problems
    assert problem.startswith("dev_1: its boxes cannot be used: No f")
    assert said in problem


def test_a_good_package_is_usable(made):
    inspection = inspect_package(made, look=False)
    assert inspection.usable
    assert [r.clip for r in inspection.recordings] == ["train_1", "train_2", "dev_1", "test_1"]
    first = inspection.recordings[0].row()
    assert (first["size"], first["frames"], first["labels"]) == ("64x48", 50, "arousal, valence")
    assert (first["exact"], first["nearest"], first["interpolated"], first["missing"]) == (50, 0, 0, 0)
    assert first["covered"] == 1
    assert first["fps"] == pytest.approx(49 / (52 / 25), abs=1e-3)
    assert first["seconds"] == pytest.approx(52 / 25)
    assert (first["boxes"], first["faced"], first["faces"]) == ("to be found", None, "")
    told = " / ".join(inspection.notes)
    assert "train has 2 of the 9 recordings" in told
    assert "4 of 4 recordings have no face boxes" in told
    assert "individual" not in told


def test_recordings_with_a_face_show_it(tmp_path):
    clip = Path(__file__).parents[3] / "shared" / "clips" / "laugh_640x360.mp4"
    if not clip.is_file():
        pytest.skip("the real clips (../shared/clips) are not here")
    root = write_avec(tmp_path, {"train": 1, "dev": 1}, frames=50, size="640x360", source=lambda name: clip)
    inspection = inspect_package(root)
    assert inspection.usable
    assert [r.faces for r in inspection.recordings] == ["12 of 12"] * 2


def test_optional_parts_are_only_told(package):
    shutil.rmtree(package / "ratings_individual")
    (package / "recordings_video" / "test_1.mp4").unlink()
    inspection = inspect_package(package, look=False)
    assert inspection.usable
    told = " / ".join(inspection.notes)
    assert "no individual ratings" in told
    assert "there is no recording in test" in told


def test_frames_without_times_are_a_problem(package):
    path = package / "recordings_video_frame_time" / "train_1.csv"
    rewrite(path, "\n".join(path.read_text().splitlines()[:-4]))
    inspection = inspect_package(package, look=False)
    assert inspection.problems == ("train_1: 46 frame times for 50 frames; one for each is needed.",)


@pytest.mark.parametrize("content", ["", "not a video"])
def test_a_damaged_video_is_a_problem(package, content):
    rewrite(package / "recordings_video" / "dev_1.mp4", content)
    inspection = inspect_package(package, look=False)
    assert len(inspection.problems) == 1
    assert "dev_1.mp4: cannot be read as video" in inspection.problems[0]


def test_a_package_without_dev_is_not_usable(package):
    (package / "recordings_video" / "dev_1.mp4").unlink()
    assert inspect_package(package, look=False).problems == ("there is no recording in dev",)
