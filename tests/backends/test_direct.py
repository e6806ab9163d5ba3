from __future__ import annotations

import itertools
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rdbench.backends.networks import Recogniser
from rdbench.backends.paper import direct
from rdbench.backends.protocol import Context
from rdbench.backends.weights import Card, Recipe, read_card, weights_folder, write_weights
from rdbench.errors import InputError

FACTORS = (1, 4, 16)


def context(face_px, factor=1, region="face"):
    return Context(factor=factor, region=region, face_px=face_px, fps=25.0)


def specialist(folder, factor, *, named=None, network=None, **changes):
    torch.manual_seed(factor)
    network = network or Recogniser("lite", 2)
    given = {"backend": "direct", "size": "lite", "factors": (factor,), "targets": ("arousal", "valence")}
    recipe = Recipe(**(given | changes))
    card = Card(
        network=type(network).__name__,
        recipe=recipe,
        face_px=96 / factor,
        dataset="mine",
        content="0",
        frames=1,
        train_mean={},
        selection={},
        epoch=1,
        versions={},
        command="",
    )
    tensors = {name: value.numpy() for name, value in network.state_dict().items()}
    file = folder / f"{named or f'direct-lite-face-x{factor}'}.safetensors"
    write_weights(file, tensors, card)
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    for factor in FACTORS:
        specialist(folder, factor)
    return folder


@pytest.fixture(scope="module")
def backend(folder):
    return direct("lite", folder, "cpu")


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).random((70, 96, 96), np.float32)


def alone(factor, frames):
    """What the specialist of a factor says, computed without the back-end."""
    torch.manual_seed(factor)
    network = Recogniser("lite", 2).half().float().eval()
    with torch.no_grad():
        return network(torch.from_numpy(frames)[:, None]).numpy()


def test_it_says_what_it_is(backend):
    assert backend.name == "direct@lite"
    assert (backend.input.size, backend.input.colour, backend.input.margin) == (96, "luma", 0)
    assert backend.targets == ("arousal", "valence")
    assert backend.classes == ()
    assert len(backend.weights) == 16
    assert backend.trained_on == "mine, train, region face, a specialist for each of factors 1, 4, 16, seed 0"


@pytest.mark.parametrize(
    ("face_px", "chosen"),
    [
        (96, 1), (150, 1), (1000, 1), (49, 1),
        (47, 4), (24, 4), (12.5, 4),
        (11.5, 16), (6, 16), (0.5, 16),
    ],
)  # fmt: skip
def test_the_specialist_trained_nearest_in_log_face_width_answers(backend, frames, face_px, chosen):
    predictions = backend.start(context(face_px))(frames[:4])
    np.testing.assert_allclose(predictions, alone(chosen, frames[:4]), rtol=1e-3, atol=1e-5)
    assert predictions.dtype == np.float64


def test_region_and_factor_do_not_decide_the_face_width_does(backend, frames):
    a = backend.start(context(24.0, factor=4, region="face"))(frames[:2])
    b = backend.start(context(24.0, factor=6, region="frame"))(frames[:2])
    np.testing.assert_array_equal(a, b)


@pytest.mark.long
@settings(max_examples=8)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=4))
def test_a_frames_prediction_does_not_depend_on_its_batch(backend, frames, cuts):
    together = backend.start(context(96.0))(frames)
    session = backend.start(context(96.0))
    edges = [0, *[int(edge) for edge in np.cumsum(cuts) if edge < len(frames)], len(frames)]
    apart = [session(frames[low:high]) for low, high in itertools.pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate(apart), together)


def test_no_frames_give_no_predictions(backend):
    assert backend.start(context(96.0))(np.zeros((0, 96, 96), np.float32)).shape == (0, 2)


def test_torchs_threads_are_left_as_they_were(backend, frames):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        backend.start(context(96.0))(frames[:1])
        assert torch.get_num_threads() == 2
        assert torch.is_grad_enabled()
    finally:
        torch.set_num_threads(before)


def nan_in_frame_1():
    frames = np.zeros((3, 96, 96), np.float32)
    frames[1, 5, 5] = np.nan
    return frames


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (np.zeros((2, 95, 96), np.float32), r"shape \(n, 96, 96\), not float32 of shape \(2, 95, 96\)"),
        (np.zeros((96, 96), np.float32), r"not float32 of shape \(96, 96\)"),
        (np.zeros((2, 96, 96, 3), np.float32), r"not float32 of shape \(2, 96, 96, 3\)"),
        (np.zeros((2, 96, 96), np.uint8), "not uint8"),
        (np.zeros((2, 96, 96), np.float64), "not float64"),
        (nan_in_frame_1(), r"NaN or infinite luma \(frame 1 of 3\)"),
    ],
)
def test_wrong_frames_give_one_clear_error(backend, frames, said):
    with pytest.raises(InputError, match=said):
        backend.start(context(96.0))(frames)


@pytest.mark.parametrize("face_px", [0.0, -3.0, float("nan"), float("inf")])
def test_a_senseless_face_width_is_refused(backend, face_px):
    with pytest.raises(InputError, match="a face cannot be"):
        backend.start(context(face_px))


def test_the_hash_follows_the_weights_and_not_their_folder(folder, backend, tmp_path):
    copied = shutil.copytree(folder, tmp_path / "copy")
    assert direct(None, copied, "cpu").weights == backend.weights
    (copied / "direct-lite-face-x4.safetensors").unlink()
    assert direct(None, copied, "cpu").weights != backend.weights


def test_files_of_other_back_ends_and_left_overs_are_not_taken(folder, backend, tmp_path):
    copied = shutil.copytree(folder, tmp_path / "copy")
    specialist(copied, 2, named="direct-mix-lite-face")
    specialist(copied, 2, named="direct-paper-face-x2")
    (copied / ".direct-lite-face-x2.safetensors.0f.part").write_bytes(b"half")
    (copied / ".direct-lite-face-x2.state").write_bytes(b"half")
    assert direct("lite", copied, "cpu").weights == backend.weights


def truncated(folder):
    file = specialist(folder, 1)
    file.write_bytes(file.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: None, "no weights of direct@lite in .*; train them with `rdbench train direct@lite"),
        (truncated, "x1.safetensors cannot be read as safetensors"),
        (
            lambda folder: (folder / "direct-lite-face-x1.safetensors").write_text("weights"),
            "x1.safetensors cannot be read as safetensors",
        ),
        (
            lambda folder: specialist(folder, 1, network=Recogniser("paper", 2)),
            r"weights of another network \(Recogniser: 'conv1.bias' is \(64,\), not \(16,\)\)",
        ),
        (
            lambda folder: specialist(folder, 1, network=Recogniser("lite", 3)),
            r"'fc5.bias' is \(3,\), not \(2,\)",
        ),
        (
            lambda folder: specialist(folder, 1, network=torch.nn.Linear(2, 2)),
            r"weights of another network \(Linear",
        ),
        (
            lambda folder: specialist(folder, 1, backend="joint"),
            "holds weights of joint@lite, not of direct@lite",
        ),
        (
            lambda folder: (specialist(folder, 1), specialist(folder, 2, targets=("valence", "arousal"))),
            "specialists of one back-end need the same targets",
        ),
    ],
    ids=["none", "truncated", "text", "paper", "outputs", "linear", "back-end", "targets"],
)
def test_unusable_weights_give_one_clear_error(tmp_path, spoil, said):
    spoil(tmp_path)
    with pytest.raises(InputError, match=said) as caught:
        direct("lite", tmp_path, "cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", ""])
def test_an_unknown_device_is_named(folder, device):
    with pytest.raises(InputError, match="cannot compute on"):
        direct("lite", folder, device)


def test_the_weights_that_ship_cover_every_factor_and_keep_within_four_megabytes():
    files = sorted(weights_folder(None).glob("direct-lite-*.safetensors"))
    cards = [read_card(file) for file in files]
    assert {card.recipe.factors for card in cards} == {(f,) for f in (1, 2, 3, 4, 6, 8, 12, 16)}
    assert sum(file.stat().st_size for file in files) < 4_000_000
    assert {card.dataset for card in cards} == {"synthetic"}
    alike = {card.recipe.model_copy(update={"factors": (1,)}) for card in cards}
    assert len(alike) == 1, "one recipe serves all factors"
    assert all(card.command.startswith("rdbench train direct@lite") for card in cards)


def test_accuracy_of_the_weights_that_ship_falls_with_the_factor():
    cards = [read_card(file) for file in weights_folder(None).glob("direct-lite-*.safetensors")]
    by_factor = {card.recipe.factors[0]: card.selection for card in cards}
    for target in ("arousal", "valence"):
        assert 0.6 <= by_factor[1][target] <= 0.95
        assert 0.1 < by_factor[16][target] < by_factor[1][target] - 0.3
        mean = [by_factor[factor][target] for factor in (1, 4, 8, 16)]
        assert mean == sorted(mean, reverse=True)
