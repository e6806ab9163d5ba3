from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from rdbench.backends.networks import (
    Norm,
    Recogniser,
    ResidualRecogniser,
    ResidualRestorer,
    RestoredRecogniser,
    Restorer,
    SuperResolver,
    build,
)
from rdbench.errors import InputError


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# Counted by hand from the paper's layers: filters x (5 x 5 x channels) + one bias a filter.
CONVOLUTIONS = {
    "paper": (64 * 25 * 1 + 64) + (128 * 25 * 64 + 128) + (256 * 25 * 128 + 256),
    "lite": (16 * 25 * 1 + 16) + (32 * 25 * 16 + 32) + (64 * 25 * 32 + 64),
}


@pytest.mark.parametrize(
    ("size", "expected"),
    [("paper", 1_026_048 + 1_920_300 + 602), ("lite", 64_512 + 102_464 + 130)],
)
def test_the_recogniser_has_the_papers_parameters(size, expected):
    network = Recogniser(size, 2)
    assert CONVOLUTIONS[size] == {"paper": 1_026_048, "lite": 64_512}[size]
    assert count(network) == expected


def test_fc4_of_the_paper_has_6400_times_300_weights():
    assert tuple(Recogniser("paper", 1).fc4.weight.shape) == (300, 6400)
    assert tuple(Recogniser("lite", 1).fc4.weight.shape) == (64, 1600)


@pytest.mark.parametrize("size", ["paper", "lite"])
def test_pooling_rounds_up_as_caffe_does(size):
    network = Recogniser(size, 2)
    x = torch.rand(2, 1, 96, 96)
    sides = []
    for layer, pool in zip((network.conv1, network.conv2, network.conv3), network.pools, strict=True):
        x = layer(x)
        sides.append(x.shape[-1])
        x = pool(x)
        sides.append(x.shape[-1])
    # Caffe: ceil((in - kernel) / stride) + 1; 17 pooled by 4 is 5 and not 4.
    assert sides == [92, 46, 42, 21, 17, 5]


def test_one_forward_pass_agrees_with_the_layers_written_out():
    torch.manual_seed(0)
    network = Recogniser("paper", 2).eval()
    faces = torch.rand(2, 1, 96, 96)
    w = network.state_dict()
    x = (faces - 0.5) * 4
    for name, pool in (("conv1", 2), ("conv2", 2), ("conv3", 4)):
        x = F.relu(F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"]))
        # Rounding up by hand: the edge is filled with what no maximum takes.
        short = -x.shape[-1] % pool
        x = F.max_pool2d(F.pad(x, (0, short, 0, short), value=float("-inf")), pool)
    x = F.relu(F.linear(x.reshape(2, 6400), w["fc4.weight"], w["fc4.bias"]))
    x = F.linear(x, w["fc5.weight"], w["fc5.bias"])
    torch.testing.assert_close(network(faces), x)


def test_memory_format_changes_nothing_but_rounding():
    torch.manual_seed(0)
    network = Recogniser("lite", 2).eval()
    faces = torch.rand(3, 1, 96, 96)
    plain = network(faces)
    last = network.to(memory_format=torch.channels_last)(faces.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(plain, last, rtol=1e-4, atol=1e-6)


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    network = Recogniser("lite", 1)
    faces = torch.rand(1, 1, 96, 96)
    assert not torch.equal(network(faces), network(faces))
    network.eval()
    assert torch.equal(network(faces), network(faces))


@pytest.mark.parametrize(
    ("size", "expected"), [("paper", 1_026_048 + 256 * 25 + 1), ("lite", 64_512 + 64 * 25 + 1)]
)
def test_the_super_resolver_has_the_papers_parameters_and_takes_8_pixels_from_each_side(size, expected):
    network = SuperResolver(size)
    assert count(network) == expected
    assert network(torch.rand(2, 1, 32, 32)).shape == (2, 1, 16, 16)
    assert network.margin == 8


def test_the_super_resolver_is_translation_equivariant():
    torch.manual_seed(0)
    network = SuperResolver("lite")
    face = torch.rand(1, 1, 48, 40)
    whole = network(face)
    torch.testing.assert_close(network(face[..., 3:35, 5:37]), whole[..., 3:19, 5:21], rtol=1e-4, atol=1e-6)


def test_a_recogniser_can_start_from_a_super_resolvers_convolutions():
    source, target = SuperResolver("lite").state_dict(), Recogniser("lite", 2)
    shared = {key: value for key, value in source.items() if not key.startswith("conv4")}
    missing, unexpected = target.load_state_dict(shared, strict=False)
    assert unexpected == []
    assert {key.partition(".")[0] for key in missing} == {"fc4", "fc5"}


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("paper", 1_026_048 + 256 * 25 + 1),
        ("lite", (32 * 25 + 32) + (16 * 25 * 32 + 16) + (16 * 25 * 16 + 16) + (16 * 25 + 1)),
    ],
)
def test_the_restorer_keeps_the_pictures_size_and_range(size, expected):
    torch.manual_seed(0)
    network = Restorer(size)
    assert count(network) == expected
    faces = torch.rand(2, 1, 40, 24)
    restored = network(faces)
    assert restored.shape == faces.shape
    assert restored.min() >= 0
    assert restored.max() <= 1


def test_a_restorer_that_has_learned_nothing_hands_pictures_through():
    network = Restorer("lite")
    torch.nn.init.zeros_(network.conv4.weight)
    faces = torch.rand(2, 1, 32, 32)
    assert torch.equal(network(faces), faces)


def test_the_recogniser_behind_a_restorer_sees_restored_pictures():
    torch.manual_seed(0)
    network = build("RestoredResidualRecogniser", "lite", 2).eval()
    faces = torch.rand(2, 1, 96, 96)
    assert torch.equal(network(faces), network.recogniser(network.restorer(faces)))
    assert count(network) == count(network.restorer) + count(network.recogniser)


@pytest.mark.parametrize(
    "kind", [Recogniser, RestoredRecogniser, Restorer, SuperResolver, ResidualRecogniser, ResidualRestorer]
)
def test_networks_are_built_by_name(kind):
    assert type(build(kind.__name__, "lite", 2)) is kind
    with pytest.raises(InputError, match="no network of size 'huge'"):
        build(kind.__name__, "huge", 2)


def test_an_unknown_network_is_named():
    with pytest.raises(InputError, match="no network 'Perceptron'"):
        build("Perceptron", "lite", 2)


@pytest.mark.parametrize(
    "make", [lambda: Recogniser("huge", 1), lambda: SuperResolver("huge"), lambda: Restorer("huge")]
)
def test_an_unknown_size_is_named(make):
    with pytest.raises(InputError, match="no network of size 'huge'; sizes are paper and lite"):
        make()


def test_a_recogniser_without_outputs_is_refused():
    with pytest.raises(InputError, match="needs 1 output or more, not 0"):
        Recogniser("lite", 0)


def test_the_residual_networks_share_a_trunk_and_keep_a_faces_size():
    recogniser, restorer = build("ResidualRecogniser", "lite", 2), build("ResidualRestorer", "lite", 0)
    shapes = [
        {n: v.shape for n, v in each.state_dict().items() if n.startswith("trunk.")}
        for each in (recogniser, restorer)
    ]
    assert shapes[0] == shapes[1]
    faces = torch.rand(3, 1, 96, 96)
    assert restorer(faces).shape == faces.shape
    assert recogniser(faces).shape == (3, 2)
    assert [tuple(each.shape[1:]) for each in recogniser.trunk(faces)] == [
        (16, 32, 32), (24, 16, 16), (40, 8, 8), (64, 4, 4)
    ]  # fmt: skip


def test_normalisation_is_torchs_own_and_still_where_it_is_frozen():
    ours, theirs = Norm(3), torch.nn.BatchNorm2d(3)
    x = torch.randn(4, 3, 5, 5) * 2 + 1
    for training in (True, False):
        torch.testing.assert_close(ours.train(training)(x), theirs.train(training)(x))
    torch.testing.assert_close(ours.mean, theirs.running_mean)
    torch.testing.assert_close(ours.variance, theirs.running_var)
    ours.weight.requires_grad_(False)
    before = ours.mean.clone()
    ours.train()(x)
    assert torch.equal(ours.mean, before)


def test_a_recogniser_of_nothing_is_refused():
    with pytest.raises(InputError, match="1 output or more"):
        ResidualRecogniser(0)
