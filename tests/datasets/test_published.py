"""Sets in the layouts that others publish: every row meets its own picture, and what is wrong is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import published
import pytest
from published import FRAMES, LAYOUTS

from rdbench.datasets.registry import PACKAGES, inspect_package, open_dataset
from rdbench.errors import ClipError, InputError, NothingToScoreError
from rdbench.video.clip import Clip
from rdbench.video.labels import join

KEPT: dict[object, Path] = {}


@pytest.fixture
def layout(tmp_path, tmp_path_factory):
    """A set of a layout that a test may spoil; each is drawn once."""

    def make(name: str) -> Path:
        writer = LAYOUTS[name]
        if writer not in KEPT:
            KEPT[writer] = writer(tmp_path_factory.mktemp("published"))
        return Path(shutil.copytree(KEPT[writer], tmp_path / "set"))

    return make


def load(name: str, root: Path, clip: str) -> Clip:
    return open_dataset(name, root).load(clip)


def of_frames(clip: Clip) -> np.ndarray:
    """Gold of each picture; a video's are shown at 25 a second."""
    times = clip.frame_times if clip.frame_times is not None else np.arange(FRAMES) / 25
    return join(clip.labels, times).values


def test_every_set_has_a_layout_here():
    assert set(LAYOUTS) == set(PACKAGES) - {"avec2016", "recola"}


CLIPS = {
    "affwild2": [
        ("1-30-1280x720", "1-30-1280x720", "train"),
        ("10-60-1280x720_right", "10-60-1280x720_right", "dev"),
        ("video2", "video2", "dev"),
    ],
    "afew-va": [("001", "One_Actor", "test"), ("014", "Another", "test")],
    "ck+": [("S005_001", "S005", "test"), ("S010_002", "S010", "test")],
    "ravdess": [
        ("01-02-01-01-01-01", "01", "test"),
        ("01-03-01-01-01-01", "01", "test"),
        ("01-05-02-02-01-12", "12", "test"),
    ],
    "crema-d": [
        ("1001_DFA_ANG_XX", "1001", "test"),
        ("1001_IEO_HAP_LO", "1001", "test"),
        ("1002_TIE_NEU_XX", "1002", "test"),
    ],
    "mead": [
        ("M003_video_front_happy_level_1_001", "M003", "test"),
        ("W009_video_front_fear_level_3_002", "W009", "test"),
    ],
}


@pytest.mark.parametrize("name", CLIPS)
def test_names_subjects_and_partitions_are_those_of_the_layout(name, layout):
    index = open_dataset(name, layout(name)).index()
    assert sorted((info.name, info.subject, info.partition) for info in index) == CLIPS[name]


@pytest.mark.parametrize("name", LAYOUTS)
def test_doctor_finds_nothing_wrong(name, layout):
    seen = inspect_package(name, layout(name), look=False)
    assert seen.usable
    assert seen.problems == ()
    assert all(recording.frames in (FRAMES, FRAMES - 1) for recording in seen.recordings)


@pytest.mark.parametrize("clip", ["video2", "10-60-1280x720_right"])
def test_a_line_is_a_frame_and_minus_five_is_none(clip, layout):
    """The cropped pictures are numbered from 1 and lack the fourth."""
    values = of_frames(load("affwild2", layout("affwild2"), clip))
    wave = np.round(np.sin(np.arange(FRAMES)), 3)
    expected = np.column_stack([wave, -wave])
    expected[2] = np.nan
    if clip.endswith("_right"):
        expected = np.delete(expected, 3, axis=0)
    np.testing.assert_allclose(values, expected)


def test_one_of_two_people_is_told_by_the_cropped_pictures(layout):
    root = layout("affwild2")
    published.person(root / "batch1" / "10-60-1280x720.mp4", 5)
    assert load("affwild2", root, "10-60-1280x720_right").file.is_dir()
    assert load("affwild2", root, "10-60-1280x720_right").boxes.xywh[0].tolist() == [0, 0, 112, 112]


def test_pictures_numbered_from_nought_meet_their_own_lines(layout):
    root = layout("affwild2")
    folder = root / "cropped_aligned" / "10-60-1280x720_right"
    for file in sorted(folder.iterdir()):
        file.rename(file.with_name(f"{int(file.stem) - 1:05d}.jpg"))
    values = of_frames(load("affwild2", root, folder.name))
    np.testing.assert_allclose(values[:2, 0], np.round(np.sin([0, 1]), 3))
    np.testing.assert_allclose(values[3, 0], round(float(np.sin(4)), 3))


def test_expressions_and_units_of_one_recording(layout):
    root = layout("affwild2")
    clip = load("affwild2:expr", root, "video2")
    assert clip.labels.classes == (
        "neutral",
        "angry",
        "disgusted",
        "fearful",
        "happy",
        "sad",
        "surprised",
        "other",
    )
    expected = np.arange(FRAMES) % 8.0
    expected[1] = np.nan
    np.testing.assert_array_equal(of_frames(clip)[:, 0], expected)
    clip = load("affwild2:au", root, "video2")
    assert (clip.labels.targets, clip.labels.units) == (("AU1", "AU2", "AU12"), True)
    i = np.arange(FRAMES)
    expected = np.column_stack([i % 2, i % 3 == 0, i > 5]).astype(float)
    expected[3] = np.nan
    np.testing.assert_array_equal(of_frames(clip), expected)


def spoil(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


FAULTS = {
    "a value out of range": ("VA_Set", "0.000,-0.000", "1.5,0", "line 2: 1.5 is no label"),
    "a class too many": ("EXPR_Set", "\n2\n", "\n9\n", "line 4: 9 is no label; 0 to 7"),
    "a unit that is neither": ("AU_Set", "\n1,0,0\n", "\n2,0,0\n", "line 3: 2 is no label; 0, 1 or -1"),
    "an empty line": ("VA_Set", "-5,-5", "", "line 4: is empty"),
    "words": ("AU_Set", "\n1,0,0\n", "\none,0,0\n", "line 3: should hold 3 numbers"),
    "too few numbers": ("VA_Set", "-5,-5", "-5", "line 4: should hold 2 numbers"),
    "no header": ("VA_Set", "valence,arousal\n", "", "should begin with the columns' names"),
    "other columns": ("VA_Set", "valence,arousal", "time,arousal", "should name valence and arousal"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_lines_that_are_no_labels_fail_their_recording_alone(fault, layout):
    folder, old, new, says = FAULTS[fault]
    root = layout("affwild2")
    spoil(root / folder / "Validation_Set" / "video2.txt", old, new)
    name = {"VA_Set": "affwild2", "EXPR_Set": "affwild2:expr", "AU_Set": "affwild2:au"}[folder]
    with pytest.raises(ClipError, match=says):
        load(name, root, "video2")
    load(name, root, "1-30-1280x720")
    seen = inspect_package(name, root, look=False)
    assert not seen.usable
    assert any(says.split(":")[-1].strip() in problem for problem in seen.problems)


def test_lines_of_another_recording_are_refused(layout):
    root = layout("affwild2")
    file = root / "VA_Set" / "Validation_Set" / "video2.txt"
    file.write_text(file.read_text() + "0,0\n" * 40)
    with pytest.raises(ClipError, match=f"52 lines for the {FRAMES} frames of video2.mp4"):
        load("affwild2", root, "video2")


def test_recordings_in_two_partitions_or_in_none_that_there_is(layout):
    root = layout("affwild2")
    shutil.copy(root / "VA_Set/Validation_Set/video2.txt", root / "VA_Set/Train_Set/video2.txt")
    with pytest.raises(InputError, match="video2 is in train and in dev"):
        open_dataset("affwild2", root).index()
    (root / "VA_Set/Train_Set/video2.txt").unlink()
    (root / "VA_Set/Train_Set").rename(root / "VA_Set/Trian_Set")
    with pytest.raises(InputError, match=r"no partition 'Trian_Set'.*did you mean 'Train_Set'"):
        open_dataset("affwild2", root).index()


def test_labels_without_pictures_are_told(layout):
    root = layout("affwild2")
    (root / "batch1/video2.mp4").unlink()
    dataset = open_dataset("affwild2", root)
    assert "video2" not in [info.name for info in dataset.index()]
    assert dataset.notes() == ["1 labelled recording is without a video or pictures (video2)."]


@pytest.mark.parametrize("first", [0, 1])
def test_values_and_boxes_of_film_clips(first, tmp_path):
    root = published.write_afew(tmp_path, first=first)
    (root / "001" / f"{3 + first:05d}.png").unlink()
    clip = load("afew-va", root, "001")
    assert clip.labels.targets == ("arousal", "valence")
    expected = np.delete((np.arange(FRAMES) % 21 - 10) / 10, 3)
    np.testing.assert_allclose(of_frames(clip)[:, 1], expected)
    # Landmarks are 70 wide and 80 high: a tenth more on each side, a quarter more above.
    assert clip.boxes.xywh[0].tolist() == pytest.approx([103, 30, 84, 100])


def test_film_clips_whose_numbers_are_shifted_are_refused(layout):
    root = layout("afew-va")
    for file in sorted((root / "001").glob("*.png"), reverse=True):
        file.rename(file.with_name(f"{int(file.stem) + 1:05d}.png"))
    with pytest.raises(ClipError, match="numbered from 0, the pictures of 001 from 1"):
        load("afew-va", root, "001")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"arousal": 2.0', '"arousal": 11', "arousal of frame 0 is 11"),
        ('{"video_id"', '"video_id"', "is no JSON"),
        ('"frames"', '"pictures"', "has no frames"),
        ('"00000"', '"first"', "'first' is no numbered frame"),
    ],
)
def test_json_that_says_something_else(old, new, says, layout):
    root = layout("afew-va")
    spoil(root / "001/001.json", old, new)
    with pytest.raises((ClipError, InputError), match=says):
        load("afew-va", root, "001")


def test_sequences_have_one_answer_and_the_names_order_does_not_matter(layout):
    root = layout("ck+")
    clip = load("ck+", root, "S005_001")
    assert clip.labels.whole
    assert [clip.labels.classes[int(v)] for v in of_frames(clip)[:, 0]] == ["happy"] * FRAMES
    units = load("ck+:au", root, "S005_001").labels
    assert units.targets == ("AU1", "AU2", "AU6", "AU12")
    assert units.values.tolist() == [[0, 0, 1, 1]]
    # Without leading zeros "10" sorts before "9".
    folder = root / "cohn-kanade-images/S005/001"
    for file in folder.iterdir():
        file.rename(file.with_name(f"S005_001_{int(file.stem.split('_')[-1])}.png"))
    assert np.diff(load("ck+", root, "S005_001").frame_times) == pytest.approx(1 / 30)


@pytest.mark.parametrize("text", ["", "8\n", "1.5\n", "happy\n", "1 2\n", "3\n4\n"])
def test_an_emotion_that_is_none_fails_its_sequence(text, layout):
    root = layout("ck+")
    next((root / "Emotion/S005/001").iterdir()).write_text(text)
    with pytest.raises(ClipError, match=r"emotion\.txt"):
        load("ck+", root, "S005_001")
    load("ck+", root, "S010_002")


@pytest.mark.parametrize("name", ["ravdess", "crema-d", "mead"])
def test_names_say_the_class(name, layout):
    root = layout(name)
    clips = open_dataset(name, root).index()
    words = [
        one.labels.classes[int(one.labels.values[0, 0])] for one in (load(name, root, i.name) for i in clips)
    ]
    expected = {
        "ravdess": ["calm", "happy", "angry"],
        "crema-d": ["angry", "happy", "neutral"],
        "mead": ["happy", "fearful"],
    }
    assert words == expected[name]
    notes = open_dataset(name, root).notes()
    assert any("partitions.csv" in note for note in notes)
    assert any("1 other video takes no part" in note for note in notes) == (name != "crema-d")


@pytest.mark.parametrize("name", LAYOUTS)
def test_another_folder_is_not_the_set(name, tmp_path):
    with pytest.raises(InputError, match=r"--root names|no label file"):
        open_dataset(name, tmp_path).index()
    with pytest.raises(InputError, match="There is no folder"):
        open_dataset(name, tmp_path / "missing")


def test_partitions_of_ones_own(layout):
    root = layout("crema-d")
    (root / "partitions.csv").write_text("subject,partition\n1001,train\n1002,dev\n")
    index = open_dataset("crema-d", root).index()
    assert [info.partition for info in index] == ["train", "train", "dev"]
    (root / "partitions.csv").write_text("subject,partition\n1002,dev\n")
    assert [info.name for info in open_dataset("crema-d", root).index()] == ["1002_TIE_NEU_XX"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("subject,partition\n1001,eval\n", "line 2: partition should be train, dev or test"),
        ("subject,partition\n1003,train\n", "line 2: the set has no subject '1003'"),
        ("subject,partition\n1001,train\n1001,dev\n", "line 3: 1001 is in train too"),
        (
            "clip,partition\n1001_DFA_ANG_XX,train\n1001_IEO_HAP_LO,dev\n",
            "subject 1001 is in train and in dev",
        ),
        ("who,partition\n1001,train\n", "no column 'clip'"),
    ],
)
def test_partitions_that_cannot_be(text, says, layout):
    root = layout("crema-d")
    (root / "partitions.csv").write_text(text)
    with pytest.raises(InputError, match=says):
        open_dataset("crema-d", root).index()


@pytest.mark.parametrize("ending", ["one", "none"])
def test_any_number_of_frames_may_be_marked_as_not_annotated(ending, layout):
    """Of many recordings of Aff-Wild2 most frames have no expression."""
    root = layout("affwild2")
    file = root / "EXPR_Set" / "Validation_Set" / "video2.txt"
    rows = ["-1"] * FRAMES
    if ending == "one":
        rows[5] = "4"
    file.write_text("\n".join([published.CLASSES, *rows]) + "\n")
    clip = load("affwild2:expr", root, "video2")
    seen = inspect_package("affwild2:expr", root, look=False)
    assert seen.usable
    notes = {recording.clip: recording.notes for recording in seen.recordings}["video2"]
    if ending == "one":
        assert np.flatnonzero(np.isfinite(of_frames(clip))).tolist() == [5]
        assert notes == ()
    else:
        with pytest.raises(NothingToScoreError, match=f"none of its {FRAMES} frames is annotated"):
            of_frames(clip)
        assert notes == (f"none of its {FRAMES} frames is annotated (expression)",)


def test_texts_are_read_as_windows_writes_them_and_names_in_any_case(layout):
    """A byte order mark, CRLF, upper-case suffixes, what macOS leaves beside files."""
    root = layout("affwild2")
    expected = of_frames(load("affwild2", root, "video2"))
    file = root / "VA_Set" / "Validation_Set" / "video2.txt"
    text = file.read_text().replace("\n", "\r\n").replace("valence,arousal", "Valence, Arousal")
    file.unlink()
    file.with_name("Video2.TXT").write_bytes(text.encode("utf-8-sig"))
    file.with_name("._video2.txt").write_bytes(b"\0\5\26\7")
    np.testing.assert_array_equal(of_frames(load("affwild2", root, "Video2")), expected)
    assert [info.name for info in open_dataset("affwild2", root).index()] == [
        "1-30-1280x720",
        "10-60-1280x720_right",
        "Video2",
    ]


def test_sequences_and_film_clips_as_windows_writes_them(tmp_path):
    root = published.write_ck(tmp_path / "ck")
    for file in [*root.glob("Emotion/*/*/*"), *root.glob("FACS/*/*/*")]:
        text = file.read_text().replace("\n", "\r\n")
        file.unlink()
        file.with_name(file.name.upper()).write_bytes(text.encode("utf-8-sig"))
    (root / "Emotion" / "S005").rename(root / "Emotion" / "s005")
    clip = load("ck+", root, "S005_001")
    assert clip.labels.classes[int(clip.labels.values[0, 0])] == "happy"
    assert load("ck+:au", root, "S005_001").labels.values.tolist() == [[0, 0, 1, 1]]
    root = published.write_afew(tmp_path / "afew")
    file = root / "001" / "001.json"
    (root / "001" / "001.JSON").write_bytes(file.read_text().encode("utf-8-sig"))
    file.unlink()
    assert load("afew-va", root, "001").labels.values[0].tolist() == [0.2, -1]


def test_two_videos_of_one_labelled_recording_are_refused(layout):
    root = layout("affwild2")
    (root / "batch2").mkdir()
    shutil.copy(root / "batch1/video2.mp4", root / "batch2/VIDEO2.mp4")
    with pytest.raises(InputError, match=r"are both video2; keep one"):
        open_dataset("affwild2", root).index()


def test_what_has_no_labels_or_no_pictures_is_told(layout):
    root = layout("ck+")
    notes = open_dataset("ck+", root).notes()
    assert notes[0] == "1 sequence takes no part: Emotion has no file of it (S010_004)."
    shutil.rmtree(root / "cohn-kanade-images/S005")
    assert any(
        note.startswith("1 file labels no sequence of pictures (S005_001_")
        for note in open_dataset("ck+", root).notes()
    )


def test_film_clips_without_json_or_pictures_are_told(layout):
    root = layout("afew-va")
    shutil.copytree(root / "001", root / "002")
    (root / "003").mkdir()
    shutil.copy(root / "001/001.json", root / "003/003.json")
    notes = open_dataset("afew-va", root).notes()
    assert notes[:2] == [
        "1 folder of pictures takes no part: there is no JSON file of its name (002).",
        "1 JSON file has no pictures beside it (003).",
    ]


def test_people_are_listed_by_the_names_that_the_set_has(layout):
    root = layout("afew-va")
    (root / "partitions.csv").write_text("subject,partition\nOne Actor,train\n")
    assert [(i.name, i.partition) for i in open_dataset("afew-va", root).index()] == [("001", "train")]
    root = published.write_affwild(root / "other")
    (root / "partitions.csv").write_text("subject,partition\nvideo2,test\n")
    dataset = open_dataset("affwild2", root)
    assert {info.partition for info in dataset.index()} == {"train", "dev"}
    assert dataset.notes() == ["partitions.csv is not read: the set has partitions of its own."]


def test_no_link_leads_out_of_a_set(layout, tmp_path):
    root = layout("crema-d")
    outside = shutil.move(root / "VideoFlash/1002_TIE_NEU_XX.mp4", tmp_path / "outside.mp4")
    (root / "VideoFlash/1002_TIE_NEU_XX.mp4").symlink_to(outside)
    with pytest.raises(InputError, match=r"leads out of the folder.*--follow-links"):
        open_dataset("crema-d", root).index()
    followed = open_dataset("crema-d", root, follow_links=True)
    assert len(followed.index()) == 3
    assert inspect_package("crema-d", root, look=False, follow_links=True).usable


def test_no_picture_is_read_through_a_link(layout, tmp_path):
    root = layout("ck+")
    picture = next((root / "cohn-kanade-images/S005/001").iterdir())
    outside = shutil.move(picture, tmp_path / "outside.png")
    picture.symlink_to(outside)
    with pytest.raises(ClipError, match="leads out of the folder"):
        load("ck+", root, "S005_001")


def test_json_is_not_read_through_a_link(layout, tmp_path):
    root = layout("afew-va")
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"frames": {}}))
    (root / "001/001.json").unlink()
    (root / "001/001.json").symlink_to(other)
    with pytest.raises(InputError, match="leads out of the folder"):
        open_dataset("afew-va", root).index()
