from __future__ import annotations

import numpy as np
import pytest

from rdbench.backends.double import SIZES, Double, open_backend
from rdbench.backends.protocol import Context, Input
from rdbench.errors import InputError

CONTEXT = Context(factor=4, region="frame", face_px=24.0, fps=25.0)


def test_values_are_the_brightness_of_bands():
    frames = np.zeros((2, 32, 32), np.float32)
    frames[1, :16] = 1
    said = Double().start(CONTEXT)(frames)
    np.testing.assert_allclose(said, [[-1, -1], [1, -1]])
    assert said.dtype == np.float64


def test_classes_are_ranges_of_brightness():
    double = open_backend("classes", None, "cpu")
    levels = np.array([0.1, 0.5, 0.9], np.float32)
    frames = np.broadcast_to(levels[:, None, None, None], (3, 40, 40, 3))
    said = double.start(CONTEXT)(frames)
    np.testing.assert_array_equal(said.argmax(axis=1), [0, 1, 2])
    np.testing.assert_allclose(said.sum(axis=1), 1)
    assert double.classes == ("dark", "dim", "bright")


def test_a_memory_lasts_from_batch_to_batch_and_ends_with_the_segment():
    double = Double(input=Input(4), targets=("valence",), memory=0.5)
    white, black = np.ones((1, 4, 4), np.float32), np.zeros((1, 4, 4), np.float32)
    session = double.start(CONTEXT)
    assert session(white)[0, 0] == 1
    assert session(black)[0, 0] == 0
    assert session(black)[0, 0] == -0.5
    assert double.start(CONTEXT)(black)[0, 0] == -1


@pytest.mark.parametrize("size", SIZES)
def test_every_kind_opens(size):
    double = open_backend(size, None, "cpu")
    assert double.name == f"double@{size}"
    assert double.input.colour == SIZES[size]


def test_other_kinds_are_refused():
    with pytest.raises(InputError, match="double comes as values, rgb, temporal, classes"):
        open_backend("paper", None, "cpu")
