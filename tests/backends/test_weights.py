from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from rdbench.backends import weights
from rdbench.backends.weights import Card, Recipe, content_hash, read_card, read_weights, write_weights
from rdbench.errors import InputError


def recipe(**changes):
    given = {"backend": "direct", "size": "lite", "factors": (4,), "targets": ("arousal", "valence")}
    return Recipe(**(given | changes))


def card(**changes):
    given = {
        "network": "Recogniser",
        "recipe": recipe(),
        "face_px": 24.0,
        "dataset": "synthetic",
        "content": "0" * 16,
        "frames": 10,
        "train_mean": {"arousal": 0.1, "valence": -0.1},
        "selection": {"arousal": 0.5, "valence": 0.4},
        "epoch": 3,
        "versions": {"torch": "2"},
        "command": "rdbench train direct@lite --factor 4",
    }
    return Card(**(given | changes))


TENSORS = {
    "a.weight": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4),
    "a.bias": np.zeros(3, np.float32),
}


def test_weights_come_back_as_float16_with_their_card(tmp_path):
    file = tmp_path / "new" / "w.safetensors"
    written = write_weights(file, TENSORS, card())
    read = read_weights(file)
    assert read.card == card() == read_card(file)
    assert read.hash == written
    assert set(read.tensors) == set(TENSORS)
    for name, value in read.tensors.items():
        assert value.dtype == np.float16
        np.testing.assert_array_equal(value, TENSORS[name].astype(np.float16))
    # Another reader sees the same, so the file is ordinary safetensors.
    np.testing.assert_array_equal(load_file(file)["a.weight"], read.tensors["a.weight"])


def test_writing_leaves_nothing_but_the_file(tmp_path):
    write_weights(tmp_path / "w.safetensors", TENSORS, card())
    write_weights(tmp_path / "w.safetensors", TENSORS, card())
    assert os.listdir(tmp_path) == ["w.safetensors"]


def test_a_failed_rename_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "w.safetensors"
    write_weights(file, TENSORS, card())
    before = file.read_bytes()

    def fails(part, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="No space left"):
        write_weights(file, {"a": np.ones(2, np.float32)}, card())
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["w.safetensors"]


def test_the_hash_follows_what_predicts_and_nothing_else():
    base = content_hash(TENSORS, card())
    assert len(base) == 16
    assert int(base, 16) >= 0
    assert content_hash(dict(reversed(TENSORS.items())), card()) == base
    assert content_hash(TENSORS, card(command="other", epoch=9)) == base
    assert content_hash(TENSORS | {"a.bias": np.ones(3, np.float32)}, card()) != base
    assert content_hash(TENSORS, card(face_px=48.0)) != base
    swapped = card(recipe=recipe(targets=("valence", "arousal")))
    assert content_hash(TENSORS, swapped) != base


@settings(max_examples=50)
@given(st.integers(0, 11), st.floats(-2, 2, width=16))
def test_any_changed_weight_changes_the_hash(position, value):
    changed = {name: array.copy() for name, array in TENSORS.items()}
    same = changed["a.weight"].flat[position] == np.float32(value)
    changed["a.weight"].flat[position] = value
    assert (content_hash(changed, card()) == content_hash(TENSORS, card())) == bool(same)


def truncated(file):
    write_weights(file, TENSORS, card())
    file.write_bytes(file.read_bytes()[:-5])


def foreign(file):
    save_file({"a": np.ones(2, np.float32)}, file)


def other_recipe(file):
    save_file({"a": np.ones(2, np.float32)}, file, {"rdbench": '{"network": "Recogniser"}'})


def not_finite(file):
    weights.write_tensors(file, {"a": np.array([np.nan], np.float16)}, card().model_dump_json())


def whole_numbers(file):
    weights.write_tensors(file, {"a": np.array([1])}, card().model_dump_json())


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda file: None, "is no file"),
        (lambda file: file.mkdir(), "is no file"),
        (lambda file: file.write_bytes(b""), "cannot be read as safetensors"),
        (
            lambda file: file.write_text("not weights at all, only a sentence"),
            "cannot be read as safetensors",
        ),
        (lambda file: file.write_bytes(b"\xff" * 64), "cannot be read as safetensors"),
        (truncated, "cannot be read as safetensors"),
        (foreign, "has no recipe of rdbench inside"),
        (other_recipe, "another version of rdbench: recipe of its recipe, Field required"),
        (not_finite, "'a' holds values that are no finite numbers"),
        (whole_numbers, "'a' holds values that are no finite numbers"),
    ],
    ids=["missing", "folder", "empty", "text", "noise", "truncated", "foreign", "recipe", "nan", "integers"],
)
def test_unusable_weights_give_one_sentence_with_the_files_name(tmp_path, damage, said):
    file = tmp_path / "w.safetensors"
    damage(file)
    with pytest.raises(InputError, match=said) as caught:
        read_weights(file)
    assert "w.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_diverged_weights_are_not_written(tmp_path):
    with pytest.raises(InputError, match="training diverged"):
        write_weights(tmp_path / "w.safetensors", {"a": np.array([1e6], np.float32)}, card())
    assert os.listdir(tmp_path) == []


def test_a_recipe_names_its_file():
    assert recipe().stem == "direct-lite-face-x4"
    assert recipe(backend="max-mix", factors=(3, 1)).stem == "max-mix-lite-face"
    assert recipe(factors=(3, 1)).factors == (1, 3)


@pytest.mark.parametrize(
    "changes",
    [
        {"factors": (0,)},
        {"factors": (2, 2)},
        {"factors": ()},
        {"rate": float("nan")},
        {"rate": -1.0},
        {"epochs": -1},
        {"backend": "../direct"},
        {"size": "a/b"},
        {"unknown": 1},
    ],
)
def test_senseless_recipes_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        recipe(**changes)
