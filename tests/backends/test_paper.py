from __future__ import annotations

import numpy as np
import pytest
import torch

from rdbench.backends import paper
from rdbench.backends.inference import _SharedRestorer
from rdbench.backends.networks import Restorer, build
from rdbench.backends.protocol import Context
from rdbench.backends.weights import read_weights
from rdbench.errors import InputError
from rdbench.training.examples import FaceSet
from rdbench.training.loop import train
from rdbench.training.models import MODELS
from rdbench.training.recipes import recipes_for

TARGETS = ("up", "side")
SINGLE = (
    "coded-mix",
    "hr",
    "direct-mix",
    "separate",
    "separate-tuned",
    "frozen",
    "max-mix",
    "mix-mix",
    "max-max",
    "wide-mix",
)


class Blurred:
    """Noise faces; their name is all that training asks of the dataset."""

    name = "blurred"

    def index(self):
        return []

    def load(self, name):
        raise AssertionError


def faces(seed, n=8):
    rng = np.random.default_rng(seed)
    pristine = rng.integers(16, 236, (n, 96, 96)).astype(np.uint8)
    luma = {
        f: pristine[:, f // 2 :: f, f // 2 :: f].repeat(f, 1).repeat(f, 2) if f > 1 else pristine
        for f in (1, 2, 4)
    }
    values = rng.uniform(-1, 1, (n, 2)).astype(np.float32)
    coded = {(f, v): np.roll(planes, v + 1, axis=2) for f, planes in luma.items() for v in (0, 1)}
    return FaceSet(
        luma, values, TARGETS, np.zeros(n, np.int64), ("a",), {f: 96 / f for f in luma}, coded=coded
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Every model, trained for an instant at factors 2 and 4."""
    out = tmp_path_factory.mktemp("weights")
    given = faces(0), faces(1)
    for name in MODELS:
        recipes = recipes_for(name, "lite", TARGETS, (2, 4), epochs=1, batch=4, dtype="float32", average=0)
        for recipe in recipes:
            train(recipe, Blurred(), out, "cpu", faces=given)
    return out


def opened(name, folder):
    return getattr(paper, name.replace("-", "_"))("lite", folder, "cpu")


def tensors(folder, stem):
    return read_weights(folder / f"{stem}.safetensors").tensors


def test_every_model_but_the_starting_points_has_a_back_end():
    names = {name.replace("_", "-") for name in paper.__all__}
    assert names == MODELS.keys() - {"sr-max", "sr-mix", "restorer"}


@pytest.mark.parametrize("name", [*SINGLE, "joint"])
def test_each_opens_and_predicts(folder, name):
    backend = opened(name, folder)
    frames = np.random.default_rng(2).random((3, 96, 96), np.float32)
    said = backend.start(Context(4, "face", 24.0, 25.0))(frames)
    assert said.shape == (3, 2)
    assert np.isfinite(said).all()
    assert backend.name == f"{name}@lite"
    assert backend.targets == TARGETS


@pytest.mark.parametrize("name", SINGLE)
def test_single_models_answer_alike_whatever_the_face_width(folder, name):
    backend = opened(name, folder)
    assert backend.nearest(96.0) == backend.nearest(6.0)


def test_joint_is_a_specialist_for_each_factor(folder):
    backend = opened("joint", folder)
    assert backend.nearest(48.0) != backend.nearest(24.0)


def test_separate_is_the_restorer_and_the_recogniser_of_pristine_faces_untouched(folder):
    joined = tensors(folder, "separate-lite-face")
    for prefix, stem in (("restorer.", "restorer-lite-face"), ("recogniser.", "hr-lite-face-x1")):
        own = {name.removeprefix(prefix): value for name, value in joined.items() if name.startswith(prefix)}
        parent = tensors(folder, stem)
        assert own.keys() == parent.keys()
        for name, value in parent.items():
            np.testing.assert_array_equal(own[name], value)
    card = read_weights(folder / "separate-lite-face.safetensors").card
    assert card.epoch == 0
    assert card.parents == {
        stem: read_weights(folder / f"{stem}.safetensors").hash
        for stem in ("restorer-lite-face", "hr-lite-face-x1")
    }


def test_separate_tuned_moves_the_recogniser_and_not_the_restorer(folder):
    before, after = tensors(folder, "separate-lite-face"), tensors(folder, "separate-tuned-lite-face")
    for name, value in before.items():
        assert np.array_equal(value, after[name]) == name.startswith("restorer."), name


def test_frozen_keeps_the_super_resolvers_convolutions(folder):
    parent, own = tensors(folder, "sr-max-lite-face-x4"), tensors(folder, "frozen-lite-face")
    for name in own:
        if name.startswith("trunk."):
            np.testing.assert_array_equal(own[name], parent[name])


@pytest.mark.parametrize(
    ("stem", "parent"),
    [
        ("joint-lite-face-x2", "sr-max-lite-face-x4"),
        ("max-mix-lite-face", "sr-max-lite-face-x4"),
        ("mix-mix-lite-face", "sr-mix-lite-face"),
        ("max-max-lite-face-x4", "sr-max-lite-face-x4"),
    ],
)
def test_the_others_start_from_the_super_resolver_and_go_on_learning_slowly(folder, stem, parent):
    torch.manual_seed(0)
    fresh = build("ResidualRecogniser", "lite", 2).state_dict()
    for name in ("trunk.stem.weight", "trunk.blocks.0.first.weight", "trunk.blocks.2.second.weight"):
        start = tensors(folder, parent)[name].astype(np.float32)
        moved = np.abs(tensors(folder, stem)[name] - start).mean()
        assert 0 < moved < 0.12 * np.abs(fresh[name].numpy() - start).mean()
    assert read_weights(folder / f"{stem}.safetensors").card.parents.keys() == {parent}


def test_what_each_model_saw_is_in_its_name_and_card(folder):
    saw = {
        stem: read_weights(folder / f"{stem}.safetensors").card.recipe.factors
        for stem in (
            "hr-lite-face-x1", "direct-mix-lite-face", "max-mix-lite-face", "max-max-lite-face-x4",
            "sr-max-lite-face-x4", "sr-mix-lite-face", "restorer-lite-face",
        )
    }  # fmt: skip
    assert saw == {
        "hr-lite-face-x1": (1,),
        "direct-mix-lite-face": (2, 4),
        "max-mix-lite-face": (2, 4),
        "max-max-lite-face-x4": (4,),
        "sr-max-lite-face-x4": (4,),
        "sr-mix-lite-face": (2, 4),
        "restorer-lite-face": (2, 4),
    }


def test_a_changed_parent_is_learned_from_anew(folder, tmp_path):
    (recipe,) = [r for r in recipes_for("max-mix", "lite", TARGETS, (2, 4), epochs=1, batch=4, dtype="float32")
                 if r.backend == "max-mix"]  # fmt: skip
    given = faces(0), faces(1)
    for source in ("a", "b"):
        (tmp_path / source).mkdir()
        parent = folder / "sr-max-lite-face-x4.safetensors"
        (tmp_path / source / parent.name).write_bytes(parent.read_bytes())
    first = train(recipe, Blurred(), tmp_path / "a", "cpu", faces=given)
    other = folder / "sr-mix-lite-face.safetensors"
    (tmp_path / "a" / "sr-max-lite-face-x4.safetensors").write_bytes(other.read_bytes())
    before = read_weights(first).hash
    assert read_weights(train(recipe, Blurred(), tmp_path / "a", "cpu", faces=given)).hash != before
    assert read_weights(train(recipe, Blurred(), tmp_path / "b", "cpu", faces=given)).hash == before


def test_back_ends_with_the_same_restorer_restore_once(folder, monkeypatch):
    calls = []
    forward = Restorer.forward

    def counted(self, faces):
        calls.append(len(faces))
        return forward(self, faces)

    frames = np.random.default_rng(3).random((3, 96, 96), np.float32)
    context = Context(4, "face", 24.0, 25.0)
    _SharedRestorer.latest.clear()
    alone = opened("separate-tuned", folder).start(context)(frames)
    _SharedRestorer.latest.clear()
    monkeypatch.setattr(Restorer, "forward", counted)
    opened("separate", folder).start(context)(frames)
    together = opened("separate-tuned", folder).start(context)(frames)
    assert len(calls) == 1
    np.testing.assert_array_equal(together, alone)
    opened("separate", folder).start(context)(frames[::-1])
    assert len(calls) == 2


@pytest.mark.long
def test_restored_pictures_are_those_that_the_recogniser_behind_sees(folder):
    frames = np.random.default_rng(4).random((70, 96, 96), np.float32)
    context = Context(4, "face", 24.0, 25.0)
    separate = opened("separate", folder)
    restored = separate.restored(frames, context)
    assert restored.shape == frames.shape
    assert restored.dtype == np.float32
    assert 0 <= restored.min() <= restored.max() <= 1
    assert not np.array_equal(restored, frames)
    behind = opened("hr", folder).start(context)(restored)
    np.testing.assert_allclose(separate.start(context)(frames), behind, atol=1e-5)
    assert opened("max-mix", folder).restored(frames, context) is None


def multiply_adds(network):
    """Counted by layer, for one face."""
    counts = []

    def add(module, _, out):
        places = out.shape[2] * out.shape[3] if out.dim() == 4 else 1
        counts.append(places * module.weight.numel())

    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            module.register_forward_hook(add)
    network.eval()(torch.zeros(1, 1, 96, 96))
    return sum(counts)


def test_the_wide_network_costs_at_most_twice_the_multiply_adds():
    usual = multiply_adds(build("ResidualRecogniser", "lite", 2))
    assert usual == 5_257_216
    assert 1.8 < multiply_adds(build("WideRecogniser", "lite", 2)) / usual <= 2


def test_the_wide_model_comes_in_one_size():
    with pytest.raises(InputError, match="'wide-mix@paper'; wide-mix comes in the size lite alone"):
        recipes_for("wide-mix", "paper", TARGETS)
