from __future__ import annotations

import subprocess
from dataclasses import dataclass, replace

import numpy as np
import pytest

from rdbench import binary
from rdbench.errors import ClipError, InputError
from rdbench.training.examples import FaceSet, Sampling, hold_out, labelled_with, load_faces
from rdbench.video.clip import Boxes, Clip, ClipInfo, Labels

FRAMES = 12


def film(file, seed):
    """A lossless moving picture of 160x120, BT.709 limited range."""
    rng = np.random.default_rng(seed)
    base = rng.integers(16, 236, (15, 20)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    noise = rng.integers(-20, 20, base.shape)
    frames = [
        np.clip(np.roll(base, t, 1).astype(int) + np.roll(noise, 3 * t, 0), 16, 235).astype(np.uint8)
        for t in range(FRAMES)
    ]
    raw = b"".join(frame.tobytes() + bytes([128]) * (160 * 120 // 2) for frame in frames)
    tags = ["-color_range", "tv", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
    command = [
        binary.executable(),
        "-v",
        "error",
        "-y",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "yuv420p",
        "-s",
        "160x120",
    ]
    command += ["-framerate", "25", *tags, "-i", "-", "-c:v", "ffv1", *tags, str(file)]
    subprocess.run(command, input=raw, check=True)
    return np.stack(frames)


@dataclass
class Films:
    """Two train subjects and one of dev; the box is 60x60 at (40, 20) and never moves."""

    clips: dict[str, Clip]
    name: str = "films"

    def index(self):
        return [ClipInfo(clip.name, clip.subject, clip.partition) for clip in self.clips.values()]

    def load(self, name):
        if self.clips[name].file.name == "damaged":
            raise ClipError(f"{name}: damaged")
        return self.clips[name]

    def but(self, name, **changes):
        return Films(self.clips | {name: replace(self.clips[name], **changes)})


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RDBENCH_CACHE", str(folder / "cache"))
        clips, luma = {}, {}
        times = np.arange(FRAMES) / 25
        for number, (name, partition) in enumerate((("a", "train"), ("b", "train"), ("c", "dev"))):
            luma[name] = film(folder / f"{name}.mkv", number)
            values = np.stack([times + number, -times], axis=1)
            boxes = Boxes(times, np.tile([40.0, 20.0, 60.0, 60.0], (FRAMES, 1)))
            labels = Labels(times, values, ("arousal", "valence"))
            clips[name] = Clip(name, name.upper(), partition, folder / f"{name}.mkv", labels, boxes)
        yield Films(clips), luma


def scaled(planes, *sizes):
    """An independent way through swscale: raw grey pictures (no range conversion), one process a step."""
    for size in sizes:
        height, width = planes.shape[1:]
        command = [
            binary.executable(),
            "-v",
            "error",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "gray",
            "-s",
            f"{width}x{height}",
        ]
        command += [
            "-i",
            "-",
            "-vf",
            f"scale={size}:{size}:flags=bicubic+accurate_rnd+bitexact:param0=0:param1=0.5",
        ]
        command += ["-f", "rawvideo", "-pix_fmt", "gray", "-"]
        raw = subprocess.run(command, input=planes.tobytes(), capture_output=True, check=True).stdout
        planes = np.frombuffer(raw, np.uint8).reshape(-1, size, size)
    return planes


def test_faces_are_cropped_scaled_down_and_up_by_the_sweeps_scaler(films):
    dataset, luma = films
    faces = load_faces(dataset, "dev", (1, 2, 8), ("arousal",))
    crop = luma["c"][:, 20:80, 40:100]
    for factor, sizes in ((1, (96,)), (2, (96, 48, 96)), (8, (96, 12, 96))):
        made = faces.luma[factor].astype(int)
        assert made.shape == (FRAMES, 96, 96)
        assert abs(made - scaled(crop, *sizes).astype(int)).max() <= 1
    assert faces.face_px == {1: 96.0, 2: 48.0, 8: 12.0}


def test_labels_follow_their_frames_in_the_order_asked_for(films):
    dataset, _ = films
    faces = load_faces(dataset, "train", (4,), ("valence", "arousal"))
    times = np.arange(FRAMES) / 25
    np.testing.assert_allclose(faces.values[:, 0], np.concatenate([-times, -times]), atol=1e-6)
    np.testing.assert_allclose(faces.values[:, 1], np.concatenate([times, times + 1]), atol=1e-6)
    assert faces.targets == ("valence", "arousal")
    assert faces.subjects == ("A", "B")
    np.testing.assert_array_equal(faces.subject, [0] * FRAMES + [1] * FRAMES)
    assert len(faces) == 2 * FRAMES


def test_labels_are_moved_back_to_the_frames_that_they_are_about(films):
    dataset, _ = films
    plain = load_faces(dataset, "train", (4,), ("arousal",))
    moved = load_faces(dataset, "train", (4,), ("arousal",), Sampling(delay=0.08))
    late = np.tile(np.arange(FRAMES) < FRAMES - 2, 2)
    np.testing.assert_array_equal(moved.luma[4], plain.luma[4][late])
    np.testing.assert_allclose(moved.values, plain.values[late] + 0.08, atol=1e-6)
    assert moved.content() != plain.content()


def test_partitions_share_no_subject(films):
    dataset, _ = films
    train = load_faces(dataset, "train", (4,), ("arousal",))
    dev = load_faces(dataset, "dev", (4,), ("arousal",))
    assert not set(train.subjects) & set(dev.subjects)


def test_frames_without_label_or_face_are_left_out_and_a_stride_thins_the_rest(films):
    dataset, _ = films
    clip = dataset.clips["c"]
    values = clip.labels.values.copy()
    values[2, 1] = np.nan
    spoiled = dataset.but("c", labels=replace(clip.labels, values=values))
    times = clip.labels.times.astype(np.float32)
    both = load_faces(spoiled, "dev", (4,), ("arousal", "valence"))
    np.testing.assert_allclose(-both.values[:, 1], np.delete(times, 2), atol=1e-6)
    one = load_faces(spoiled, "dev", (4,), ("arousal",))
    assert len(one) == FRAMES
    thinned = load_faces(spoiled, "dev", (4,), ("arousal",), Sampling(5))
    np.testing.assert_array_equal(thinned.luma[4], one.luma[4][::5])
    np.testing.assert_array_equal(thinned.values, one.values[::5])


def test_a_damaged_recording_is_told_and_left_out(films, tmp_path):
    dataset, _ = films
    told = []
    damaged = dataset.but("a", file=tmp_path / "damaged")
    faces = load_faces(damaged, "train", (4,), ("arousal",), progress=told.append)
    assert len(faces) == FRAMES
    assert any(line.startswith("a is left out: a: damaged") for line in told)
    every = damaged.but("b", file=tmp_path / "damaged")
    with pytest.raises(InputError, match="No train recording of films"):
        load_faces(every, "train", (4,), ("arousal",))


def test_what_cannot_be_learned_is_named(films):
    dataset, _ = films
    with pytest.raises(InputError, match="no recordings in its test partition"):
        load_faces(dataset, "test", (1,), ("arousal",))
    with pytest.raises(InputError, match="no target 'joy'; it has arousal, valence"):
        load_faces(dataset, "train", (1,), ("joy",))
    with pytest.raises(InputError, match="a of films has no labels"):
        load_faces(dataset.but("a", labels=None), "train", (1,), ("arousal",))
    assert labelled_with(dataset).targets == ("arousal", "valence")


@pytest.mark.parametrize(
    "labels",
    [
        Labels(np.zeros(1), np.ones((1, 1)), ("expression",), ("happy", "sad"), whole=True),
        Labels(np.zeros(1), np.array([[1.0, 0.0]]), ("AU1", "AU12"), units=True, whole=True),
    ],
)
def test_faces_have_the_class_or_the_units_of_their_recording(films, labels):
    dataset, _ = films
    one = dataset.but("a", labels=labels)
    with pytest.raises(InputError, match=r"one network learns one kind of label|no target"):
        load_faces(one, "train", (4,), labels.targets)
    every = one.but("b", labels=labels)
    faces = load_faces(every, "train", (4,), labels.targets)
    assert (faces.targets, faces.classes, faces.units) == (labels.targets, labels.classes, labels.units)
    assert (faces.values == labels.values).all()
    assert faces.of((4,)).classes == faces.where(np.ones(len(faces), dtype=bool)).classes == labels.classes


def faces_of(subjects, frames=3):
    n = subjects * frames
    return FaceSet(
        {1: np.arange(n * 4, dtype=np.uint8).reshape(n, 2, 2), 2: np.zeros((n, 2, 2), np.uint8)},
        np.arange(n, dtype=np.float32)[:, None],
        ("arousal",),
        np.repeat(np.arange(subjects), frames),
        tuple(f"s{number}" for number in range(subjects)),
        {1: 96.0, 2: 48.0},
    )


@pytest.mark.parametrize(("subjects", "held"), [(2, [1]), (3, [2]), (4, [3]), (9, [3, 7]), (12, [3, 7, 11])])
def test_a_quarter_of_the_subjects_is_held_out_whole(subjects, held):
    faces = faces_of(subjects)
    learn, choose = hold_out(faces)
    assert sorted(set(choose.subject)) == held
    assert not set(learn.subject) & set(choose.subject)
    assert len(learn) + len(choose) == len(faces)
    np.testing.assert_array_equal(choose.luma[1], faces.luma[1][np.isin(faces.subject, held)])


def test_one_subject_cannot_be_split():
    with pytest.raises(InputError, match="there is only one; choose the epoch on dev"):
        hold_out(faces_of(1))


def test_the_content_hash_sees_faces_labels_and_subjects():
    base = faces_of(2)
    other = {factor: planes.copy() for factor, planes in base.luma.items()}
    other[1][0, 0, 0] ^= 1
    hashes = {
        base.content(),
        base.of([1]).content(),
        replace(base, luma=other).content(),
        replace(base, values=base.values + 1).content(),
        replace(base, subject=base.subject[::-1]).content(),
        replace(base, targets=("valence",)).content(),
    }
    assert len(hashes) == 6
    assert faces_of(2).content() == base.content()
