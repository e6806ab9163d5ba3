from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_faces import blobs, recipe

from rdbench.backends.networks import Recogniser
from rdbench.backends.protocol import Context, detects_units
from rdbench.backends.recognisers import Recognisers
from rdbench.backends.weights import read_weights
from rdbench.errors import InputError
from rdbench.training import loop, tasks


class Nowhere:
    """A dataset that must not be touched, since faces are given."""

    name = "blobs"

    def index(self):
        raise AssertionError

    def load(self, name):
        raise AssertionError


def train(out, progress=lambda what: None, faces=None, start_from=None, **changes):
    faces = faces or (blobs(32, 0), blobs(16, 1))
    return loop.train(
        recipe(**changes), Nowhere(), out, "cpu", progress, command="again", faces=faces, start=start_from
    )


def test_a_recogniser_learns_what_is_in_the_picture(tmp_path):
    told = []
    faces = blobs(128, 0), blobs(32, 1)
    file = train(tmp_path, told.append, faces, epochs=10, shift=1, flip=False, average=0.8)
    read = read_weights(file)
    assert min(read.card.selection.values()) > 0.6
    # What the card says is what the written weights do.
    network = Recogniser("lite", 2)
    network.load_state_dict({k: torch.from_numpy(v.astype(np.float32)) for k, v in read.tensors.items()})
    again = tasks.score(network, faces[1], torch.device("cpu"))
    assert again == pytest.approx(read.card.selection, abs=1e-4)
    epochs = [what for what in told if isinstance(what, loop.Epoch)]
    assert [epoch.epoch for epoch in epochs] == list(range(1, 11))
    assert epochs[-1].seconds_left == 0
    assert "epoch 1 of 10" in str(epochs[0])
    best = max(epochs, key=lambda epoch: np.mean(list(epoch.scores.values())))
    assert read.card.epoch == best.epoch


def test_everything_that_made_the_weights_stands_in_the_file(tmp_path):
    card = read_weights(train(tmp_path)).card
    learn = blobs(32, 0)
    assert card.network == "Recogniser"
    assert card.recipe == recipe()
    assert (card.dataset, card.content, card.frames) == ("blobs", learn.content(), 32)
    assert card.face_px == pytest.approx(24)
    assert card.train_mean == pytest.approx(
        dict(zip(("up", "side"), learn.values.mean(0).tolist(), strict=True))
    )
    assert set(card.versions) == {"rdbench", "training", "torch", "numpy", "ffmpeg"}
    assert card.command == "again"


def test_log_and_picture_stand_beside_the_weights_and_no_state_is_left(tmp_path):
    train(tmp_path)
    stem = "direct-lite-face-x4"
    assert sorted(os.listdir(tmp_path)) == [f"{stem}.csv", f"{stem}.png", f"{stem}.safetensors"]
    with (tmp_path / f"{stem}.csv").open() as log:
        rows = list(csv.DictReader(log))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert list(rows[0]) == ["epoch", "loss", "up", "side"]
    assert (tmp_path / f"{stem}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.long)])
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path, dtype):
    hashes = [
        read_weights(train(tmp_path / name, epochs=2, seed=seed, dtype=dtype)).hash
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.long
def test_other_use_of_chance_in_the_process_changes_nothing(tmp_path):
    first = read_weights(train(tmp_path / "a", epochs=1)).hash
    torch.manual_seed(99)
    noisy = train(tmp_path / "b", progress=lambda what: torch.rand(7), epochs=1)
    assert read_weights(noisy).hash == first


class Stop(Exception):
    pass


def test_an_interrupted_training_goes_on_and_ends_with_the_same_weights(tmp_path):
    def stop(what):
        if getattr(what, "epoch", 0) == 2:
            raise KeyboardInterrupt

    whole = read_weights(train(tmp_path / "whole", epochs=4))
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", stop, epochs=4)
    assert not (tmp_path / "cut" / "direct-lite-face-x4.safetensors").exists()
    seen = []
    resumed = read_weights(train(tmp_path / "cut", seen.append, epochs=4))
    assert [what.epoch for what in seen] == [3, 4]
    assert resumed.hash == whole.hash
    assert resumed.card == whole.card
    log = "direct-lite-face-x4.csv"
    assert (tmp_path / "cut" / log).read_text() == (tmp_path / "whole" / log).read_text()


def test_a_state_of_another_recipe_or_a_damaged_one_is_not_taken_up(tmp_path):
    def stop(what):
        raise Stop

    whole = read_weights(train(tmp_path / "whole", epochs=2)).hash
    with pytest.raises(Stop):
        train(tmp_path / "other", stop, epochs=2, rate=0.005)
    state = tmp_path / "other" / ".direct-lite-face-x4.state"
    assert state.exists()
    assert read_weights(train(tmp_path / "other", epochs=2)).hash == whole
    (tmp_path / "third").mkdir()
    (tmp_path / "third" / state.name).write_bytes(b"half a state")
    assert read_weights(train(tmp_path / "third", epochs=2)).hash == whole


def test_finished_weights_are_not_made_twice_unless_something_changed(tmp_path):
    file = train(tmp_path, epochs=1)
    before = file.stat().st_mtime_ns
    told = []
    train(tmp_path, told.append, epochs=1)
    assert file.stat().st_mtime_ns == before
    assert told == ["direct-lite-face-x4.safetensors: made before from the same recipe, faces and versions"]
    train(tmp_path, epochs=1, seed=5)
    assert read_weights(file).card.recipe.seed == 5
    train(tmp_path, faces=(blobs(48, 0), blobs(32, 1)), epochs=1, seed=5)
    assert read_weights(file).card.frames == 48


KILLED = """
    import sys
    from pathlib import Path
    sys.path[:0] = [sys.argv[1], str(Path(sys.argv[1]).parent / "helpers")]
    from test_loop import train
    def told(what):
        print(what, flush=True)
    train(Path(sys.argv[2]), told, epochs=40)
"""


@pytest.mark.long
def test_kill_9_in_the_middle_costs_at_most_one_epoch(tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-c", textwrap.dedent(KILLED), os.path.dirname(__file__), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        while "epoch 2 of" not in line:
            assert line, "training ended before it could be killed"
            line = process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert not (out / "direct-lite-face-x4.safetensors").exists()
    seen = []

    def stop(what):
        seen.append(what)
        raise Stop

    with pytest.raises(Stop):
        train(out, stop, epochs=40)
    assert seen[0].epoch >= 3


@pytest.mark.long
def test_a_mixture_of_factors_is_one_model_that_sees_them_all(tmp_path):
    learn, choose = blobs(32, 0, (1, 4)), blobs(16, 1, (1, 4))
    dark = {1: np.full_like(learn.luma[1], 16), 4: learn.luma[4]}
    file = train(tmp_path, faces=(learn, choose), backend="direct-mix", factors=(1, 4), epochs=1)
    assert file.name == "direct-mix-lite-face.safetensors"
    read = read_weights(file)
    assert read.card.face_px == pytest.approx(48)
    other = replace(learn, luma=dark)
    changed = train(tmp_path / "dark", faces=(other, choose), backend="direct-mix", factors=(1, 4), epochs=1)
    assert read_weights(changed).hash != read.hash


def test_training_at_one_factor_looks_at_no_other(tmp_path):
    learn, choose = blobs(32, 0, (1, 4)), blobs(16, 1, (1, 4))
    dark = replace(learn, luma={1: np.full_like(learn.luma[1], 16), 4: learn.luma[4]})
    a = train(tmp_path / "a", faces=(learn, choose), epochs=1)
    b = train(tmp_path / "b", faces=(dark, choose), epochs=1)
    assert read_weights(a).hash == read_weights(b).hash


def test_the_process_is_left_as_it_was(tmp_path):
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    train(tmp_path, epochs=1, threads=2)
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def test_too_few_faces_are_refused(tmp_path):
    with pytest.raises(InputError, match="10 training faces are fewer than one batch of 16"):
        train(tmp_path, faces=(blobs(10, 0), blobs(10, 1)))


def test_diverging_training_is_told_and_leaves_no_weights(tmp_path):
    with pytest.raises(InputError, match="diverged"):
        train(tmp_path, rate=1e20, loss="mse", epochs=2)
    assert not (tmp_path / "direct-lite-face-x4.safetensors").exists()


def test_an_unknown_device_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot compute on 'abacus'"):
        loop.train(recipe(), Nowhere(), tmp_path, "abacus", faces=(blobs(64, 0), blobs(32, 1)))


def classified(faces, units):
    """The same faces labelled with which of two classes, or with two units, instead of two numbers."""
    there = (faces.values > 0).astype(np.float32)
    if units:
        return replace(faces, values=there, units=True)
    return replace(faces, values=there[:, :1], targets=("where",), classes=("down", "up"))


@pytest.mark.parametrize(
    "units", [False, pytest.param(True, marks=pytest.mark.long)], ids=["classes", "units"]
)
def test_classes_and_units_are_learned_and_answered_as_probabilities(units, tmp_path):
    faces = tuple(classified(blobs(n, seed), units) for n, seed in ((96, 0), (48, 1)))
    kind = {"units": True} if units else {"targets": ("where",), "classes": ("down", "up")}
    how = {"network": "ResidualRecogniser", "loss": "cross-entropy", "epochs": 8, **kind}
    file = train(tmp_path, faces=faces, **how)
    weights = read_weights(file)
    assert min(weights.card.selection.values()) > 0.8
    backend = Recognisers("direct@lite", [weights])
    assert (backend.classes, detects_units(backend)) == (kind.get("classes", ()), units)
    luma = tasks.as_input(torch.from_numpy(faces[1].luma[4]))[:, 0].numpy()
    said = backend.start(Context(4, "face", 24.0, 25.0))(luma)
    assert said.shape == (48, 2)
    assert said.min() >= 0
    assert said.max() <= 1
    right = (said > 0.5) == faces[1].values if units else said.argmax(axis=1) == faces[1].values[:, 0]
    assert right.mean() > 0.8


@pytest.mark.long
def test_training_goes_on_from_weights_of_the_same_name(tmp_path):
    first = train(tmp_path / "first", epochs=6)
    anew, on = (
        train(tmp_path / name, epochs=1, **how)
        for name, how in (("anew", {}), ("on", {"start_from": first.parent}))
    )
    losses = [next(csv.DictReader(file.with_suffix(".csv").open()))["loss"] for file in (anew, on)]
    assert float(losses[1]) < float(losses[0])
    assert read_weights(on).card.parents == {"direct-lite-face-x4": read_weights(first).hash}
    # Another kind of label: all but the last layer is taken over.
    faces = tuple(classified(blobs(n, seed), False) for n, seed in ((32, 0), (16, 1)))
    kind = {"targets": ("where",), "classes": ("down", "up"), "loss": "cross-entropy"}
    other = read_weights(train(tmp_path / "other", faces=faces, start_from=first.parent, **kind))
    assert other.card.recipe.classes == ("down", "up")
    with pytest.raises(InputError, match="another network"):
        train(tmp_path / "big", network="ResidualRecogniser", start_from=first.parent)
