from __future__ import annotations

import numpy as np
import pytest

from rdbench.backends.conformance import check_backend
from rdbench.backends.constant import Constant
from rdbench.backends.double import SIZES, Double, open_backend
from rdbench.backends.protocol import Input
from rdbench.backends.registry import find_backend


@pytest.mark.parametrize("size", SIZES)
def test_every_kind_of_double_keeps_to_the_protocol(size):
    assert check_backend(open_backend(size, None, "cpu")) == []


def test_what_ships_keeps_to_the_protocol():
    assert check_backend(Constant({"valence": 0.1})) == []
    assert check_backend(find_backend("direct@lite")) == []


class Broken(Double):
    """A back-end with one fault, which `wrong` puts into its answers."""

    def __init__(self, wrong, **given):
        super().__init__(**given)
        self.wrong = wrong
        self.calls = 0

    def start(self, context):
        session = super().start(context)

        def spoiled(frames):
            self.calls += 1
            return self.wrong(session(frames), frames, self.calls)

        return spoiled


def blackened(values, frames, calls):
    frames[:] = 0
    return values


FAULTS = {
    "for 70 frames it gave": lambda values, frames, calls: values[:, :1],
    "for no frame it gave": lambda values, frames, calls: values if len(frames) else np.empty((0, 9)),
    "NaN or infinite": lambda values, frames, calls: values * np.nan,
    "floating point": lambda values, frames, calls: np.round(values * 10).astype(int),
    "the same frames should give the same": lambda values, frames, calls: values + 1e-9 * calls,
    "batches of 1": lambda values, frames, calls: values - values.mean(axis=0) if len(values) else values,
    "it changes the frames": blackened,
}


@pytest.mark.parametrize(("said", "wrong"), FAULTS.items(), ids=FAULTS)
def test_each_fault_is_found(said, wrong):
    assert any(said in fault for fault in check_backend(Broken(wrong)))


def test_a_memory_that_outlives_its_segment_is_found():
    class Lasting(Double):
        def start(self, context):
            if not hasattr(self, "session"):
                self.session = super().start(context)
            return self.session

    assert any("a new segment" in fault for fault in check_backend(Lasting(memory=0.9)))


def test_probabilities_must_add_up():
    given = {"targets": ("mood",), "classes": ("low", "high")}
    assert check_backend(Double(**given)) == []
    broken = Broken(lambda values, frames, calls: 2 * values, **given)
    assert any("add up to 1" in fault for fault in check_backend(broken))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": ""}, "its name"),
        ({"input": Input(colour="bgr")}, "luma or rgb"),
        ({"targets": ()}, "should have a target"),
        ({"targets": ("a", "a")}, "should differ"),
        ({"targets": ["a"]}, "tuple of texts"),
        ({"classes": ("x", "y")}, "one target and at least two classes"),
    ],
)
def test_what_it_says_of_itself_is_checked_first(given, said):
    assert any(said in fault for fault in check_backend(Double(**given)))


def test_hashes_look_like_hashes():
    double = Double()
    double.weights = "version 3"
    assert check_backend(double) == ["its weights should be 16 hex digits or 'none', but are 'version 3'"]


def test_what_is_no_back_end_is_told():
    assert check_backend(object()) == ["it has no attribute 'name'"]
