"""Detectors in files, and what a receiver does where its detector misses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rdbench.errors import InputError
from rdbench.video import faces
from rdbench.video.candidates import detector_name, open_detector
from rdbench.video.clip import Boxes

SIZE = (270, 320)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It takes a bright cell of 32 pixels for the middle of a face of 64."""
    pytest.importorskip("onnx", reason="onnx writes the network that the test looks with")
    from made_detector import write_detector

    return write_detector(tmp_path_factory.mktemp("network") / "bright.onnx")


def bright(*cells: tuple[int, int], times: int = 1) -> np.ndarray:
    picture = np.full(SIZE, 60, np.uint8)
    for x, y in cells:
        picture[y : y + 32, x : x + 32] = 255
    return np.kron(picture, np.ones((times, times), np.uint8))


@pytest.mark.parametrize("times", [1, 2])
def test_a_network_sees_faces_in_pixels_of_the_picture(network, times):
    look = open_detector(network)
    assert look(bright(times=times)) == []
    found = look(bright((32, 64), (192, 128), times=times))
    expected = np.array([(16, 48, 64, 64), (176, 112, 64, 64)]) * times
    assert np.array(found) == pytest.approx(expected, abs=0.01 * times)


def test_a_recording_is_followed_by_a_network(network):
    frames = [bright((32 * (1 + index // 4), 96)) for index in range(12)]
    boxes = faces.find(frames, np.arange(12) / 4, step=1, detector=network)
    assert boxes.xywh[:, 0] == pytest.approx(16 + 32 * (np.arange(12) // 4), abs=0.1)


def test_a_network_is_known_by_its_content(network, tmp_path):
    same, other = tmp_path / "same.onnx", tmp_path / "other.onnx"
    same.write_bytes(network.read_bytes())
    other.write_bytes(network.read_bytes() + b"\n")
    assert detector_name(same) == detector_name(network) != detector_name(other)
    assert faces.detected_by(None) == faces.DETECTOR == "haarcascade_frontalface_default/3"


def test_what_is_no_such_network_is_told_in_a_sentence(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read .*; --detector takes an ONNX file of YuNet"):
        open_detector(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(InputError, match="is no network that OpenCV's FaceDetectorYN takes"):
        open_detector(tmp_path / "text.onnx")


def boxes(*left: float) -> Boxes:
    xywh = np.array([(x, 40.0, 80.0, 80.0) for x in left])
    xywh[np.isnan(xywh[:, 0])] = np.nan
    return Boxes(np.arange(len(left)) * 0.32, xywh)


def test_the_last_box_is_held_where_the_detector_misses():
    nan = float("nan")
    times = np.arange(0, 5 * 0.32, 0.04)
    found = faces.held(boxes(nan, 100, nan, nan, 180), times, 320, 240)
    same = faces.held(boxes(100, 100, 100, 100, 180), times, 320, 240)
    assert np.array_equal(found.centre, same.centre)
    assert found.mask.all()
    assert (found.side, found.crop().side) == (80, 80)


def test_without_any_box_it_is_the_middle_of_the_picture():
    times = np.arange(40) / 25
    found = faces.held(boxes(*[float("nan")] * 5), times, 320, 240)
    assert found.side == 240
    assert np.array_equal(found.crop().xy, np.tile([40, 0], (40, 1)))
