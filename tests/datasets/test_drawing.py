"""The drawn faces: signals, action units and pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from rdbench.datasets.drawing.action_units import UNITS, activations
from rdbench.datasets.drawing.picture import Recording
from rdbench.datasets.drawing.signals import FRAMES
from rdbench.datasets.drawing.subject import generator
from rdbench.datasets.synthetic import COUNTS

EVERYONE = [(partition, index) for partition, count in COUNTS.items() for index in range(1, count + 1)]
FEW = [("train", 1), ("train", 7), ("dev", 2), ("test", 3)]


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    return [Recording(*key) for key in EVERYONE]


def test_no_two_recordings_share_a_seed() -> None:
    drawn = {
        (key, stream): generator(*key, stream).integers(2**62)
        for key in EVERYONE
        for stream in ("appearance", "affect", "motion", "texture", "noise")
    }
    assert len(set(drawn.values())) == len(drawn)


def test_labels_are_smooth_and_use_their_range(recordings: list[Recording]) -> None:
    for recording in recordings:
        for signal in (recording.affect.arousal, recording.affect.valence):
            assert signal.shape == (FRAMES,)
            assert np.abs(signal).max() <= 1
            assert signal.max() - signal.min() > 1.5
            assert signal.std() > 0.45
            assert signal[:150].std() > 0.35
            assert np.abs(np.diff(signal)).max() < 0.2


def test_labels_say_little_about_each_other(recordings: list[Recording]) -> None:
    pairs = [np.corrcoef(r.affect.arousal, r.affect.valence)[0, 1] for r in recordings]
    assert np.abs(pairs).max() < 0.3
    arousal = np.concatenate([r.affect.arousal for r in recordings])
    valence = np.concatenate([r.affect.valence for r in recordings])
    assert abs(np.corrcoef(arousal, valence)[0, 1]) < 0.1


def test_what_is_no_expression_carries_no_label(recordings: list[Recording]) -> None:
    """Some 400 independent stretches of signal: chance alone reaches 0.15 in 40 comparisons."""
    for target in ("arousal", "valence"):
        label = np.concatenate([getattr(r.affect, target) for r in recordings])
        for name in vars(recordings[0].motion):
            moved = np.concatenate([getattr(r.motion, name) for r in recordings])
            assert abs(np.corrcoef(label, moved)[0, 1]) < 0.18, (target, name)
        boxes = np.concatenate([r.boxes(360) - r.boxes(360).mean(axis=0) for r in recordings])
        for column in range(4):
            assert abs(np.corrcoef(label, boxes[:, column])[0, 1]) < 0.18, (target, column)


def test_each_target_drives_its_own_units(recordings: list[Recording]) -> None:
    expected = {
        "AU12": ("valence", 1),
        "AU6": ("valence", 1),
        "AU4": ("valence", -1),
        "AU15": ("valence", -1),
    }
    expected |= {
        "AU1": ("arousal", 1),
        "AU5": ("arousal", 1),
        "AU26": ("arousal", 1),
        "AU43": ("arousal", -1),
    }
    for recording in recordings[:8]:
        units = activations(recording.affect, recording.subject.expressiveness)
        assert set(units) == set(UNITS)
        for unit, (target, sign) in expected.items():
            assert sign * np.corrcoef(units[unit], getattr(recording.affect, target))[0, 1] > 0.7, unit


def test_boxes_hold_the_face_and_stay_in_the_picture(recordings: list[Recording]) -> None:
    for recording in recordings:
        boxes = recording.boxes(360)
        assert boxes.shape == (FRAMES, 4)
        assert np.array_equal(boxes[:, 2], boxes[:, 3])
        assert boxes[:, 2].min() > 120
        assert boxes[:, 2].max() < 200
        assert boxes[:, :2].min() >= 0
        assert (boxes[:, 0] + boxes[:, 2]).max() <= 640
        assert (boxes[:, 1] + boxes[:, 3]).max() <= 360
        assert recording.boxes(720) == pytest.approx(2 * boxes)


@pytest.mark.parametrize(("partition", "index"), FEW)
def test_a_face_is_found_where_it_is_said_to_be(partition: str, index: int) -> None:
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    recording = Recording(partition, index)
    picture = next(recording.frames(360, 1))
    found = cascade.detectMultiScale(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), 1.1, 4, minSize=(90, 90))
    x, y, w, h = recording.boxes(360)[0]
    centres = [(fx + fw / 2, fy + fh / 2) for fx, fy, fw, fh in found]
    assert any(abs(cx - x - w / 2) < w / 4 and abs(cy - y - h / 2) < h / 4 for cx, cy in centres)


def test_nothing_outside_the_box_shows_what_is_felt() -> None:
    """Two feelings in one and the same moment: the pictures differ in the box alone."""
    calm, excited = Recording("train", 5), Recording("train", 5)
    calm.affect.arousal[:], excited.affect.arousal[:] = -1, 1
    calm.affect.valence[:], excited.affect.valence[:] = -1, 1
    for first, second, box in zip(calm.frames(360, 3), excited.frames(360, 3), calm.boxes(360), strict=False):
        different = np.abs(first.astype(int) - second).max(axis=2)
        left, top = np.floor(box[:2]).astype(int)
        right, bottom = np.ceil(box[:2] + box[2:]).astype(int)
        assert different[top:bottom, left:right].max() > 60
        different[top:bottom, left:right] = 0
        assert different.max() == 0


def test_both_heights_show_the_same() -> None:
    recording = Recording("dev", 1)
    small, large = next(recording.frames(360, 1)), next(recording.frames(720, 1))
    assert large.shape == (720, 1280, 3)
    halved = cv2.resize(large, (640, 360), interpolation=cv2.INTER_AREA)
    assert np.abs(halved.astype(int) - small).mean() < 3
