from __future__ import annotations

import numpy as np
import pytest

from rdbench.backends.constant import FILE, open_backend
from rdbench.backends.protocol import Context
from rdbench.backends.weights import Card, Recipe, write_weights
from rdbench.errors import InputError
from rdbench.stats import metrics

CONTEXT = Context(factor=1, region="face", face_px=96.0, fps=25.0)


def weights(folder, network="Constant", values=(0.25, -0.5), targets=("valence", "arousal")):
    recipe = Recipe(backend="constant", size="none", factors=(1,), targets=targets, epochs=1)
    card = Card(
        network=network,
        recipe=recipe,
        face_px=96,
        dataset="mine",
        content="0",
        frames=1,
        train_mean={},
        selection={},
        epoch=0,
        versions={},
        command="",
    )
    return write_weights(folder / FILE, {"mean": np.array(values)}, card)


def test_without_weights_it_says_zero_for_arousal_and_valence(tmp_path):
    backend = open_backend(None, tmp_path, "cpu")
    predictions = backend.start(CONTEXT)(np.zeros((3, 96, 96), np.float32))
    assert (backend.name, backend.targets, backend.weights) == ("constant", ("arousal", "valence"), "none")
    np.testing.assert_array_equal(predictions, np.zeros((3, 2)))
    assert predictions.dtype == np.float64


def test_with_weights_it_says_the_train_mean(tmp_path):
    made = weights(tmp_path)
    backend = open_backend(None, tmp_path, "cpu")
    session = backend.start(CONTEXT)
    assert backend.targets == ("valence", "arousal")
    assert backend.weights == made
    assert "mine" in backend.trained_on
    np.testing.assert_array_equal(session(np.zeros((2, 96, 96), np.float32)), [[0.25, -0.5]] * 2)
    assert session(np.zeros((0, 96, 96), np.float32)).shape == (0, 2)


def test_its_ccc_is_zero_whatever_the_gold(tmp_path):
    weights(tmp_path)
    predictions = open_backend(None, tmp_path, "cpu").start(CONTEXT)(np.zeros((50, 96, 96), np.float32))
    gold = np.random.default_rng(0).normal(size=50)
    assert metrics.ccc(metrics.moments(predictions[:, 0], gold)) == 0


@pytest.mark.parametrize("wrong", [{"network": "Recogniser"}, {"values": (0.1, 0.2, 0.3)}])
def test_weights_of_another_network_are_refused(tmp_path, wrong):
    weights(tmp_path, **wrong)
    with pytest.raises(InputError, match="weights of another network"):
        open_backend(None, tmp_path, "cpu")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere is no folder"):
        open_backend(None, tmp_path / "nowhere", "cpu")
