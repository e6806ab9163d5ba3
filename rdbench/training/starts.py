"""Where training starts: at chance, from other networks' parts, or from weights of the same name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from rdbench.backends.networks import build
from rdbench.backends.weights import SUFFIX, Recipe, Weights, read_card, read_weights
from rdbench.errors import InputError

__all__ = ["begun", "own_start"]

_RARE = 1e-3
"""A class or unit is taken for no rarer than this where training starts."""


def own_start(recipe: Recipe, folder: Path) -> Weights:
    """The weights of a recipe's own name in a folder, from which it goes on.

    Raises
    ------
    InputError
        If the folder has none, or they are of another network.
    """
    file = folder / f"{recipe.stem}{SUFFIX}"
    if not file.is_file():
        there = sorted(path.stem for path in folder.glob(f"{recipe.backend}-{recipe.size}-*{SUFFIX}"))
        hint = f"it has {', '.join(there)}" if there else f"it has none of {recipe.backend}@{recipe.size}"
        raise InputError(f"There is no {file.name} in {folder} to start from; {hint}.")
    card = read_card(file)
    if card.network != recipe.network:
        raise InputError(
            f"{file} holds weights of another network ({card.network}) than {recipe.backend}@{recipe.size} is now "
            f"({recipe.network}), so training cannot go on from them; leave out --start."
        )
    return read_weights(file)


def begun(recipe: Recipe, means: Sequence[float], parents: Mapping[str, Weights], seed: int) -> nn.Module:
    """A network as its training starts.

    Parameters
    ----------
    recipe : Recipe
    means : sequence of float
        Of each target's labels, or the share of each class; none where pictures are restored.
    parents : mapping of str to Weights
        By stem: what the recipe starts from, or weights of its own name to go on from.
    seed : int

    Raises
    ------
    InputError
        If a parent has nothing that fits.
    """
    torch.manual_seed(seed)
    network = build(recipe.network, recipe.size, max(1, recipe.outputs), recipe.dropout)
    head = getattr(network, "head", None)
    if head is not None:
        # A network that starts at the labels' mean has only their variation left to learn.
        mean = torch.tensor(means)
        if recipe.loss == "cross-entropy":
            share = mean.clamp(_RARE, 1 - _RARE)
            mean = share.log() if recipe.classes else share.logit()
        with torch.no_grad():
            head.bias.copy_(mean)
    for prefix, stem in recipe.start:
        if not _take(network, parents[stem], prefix):
            raise InputError(f"{parents[stem].file} has no weights that {recipe.stem} could start from.")
    if recipe.stem in parents:
        own = parents[recipe.stem]
        other = own.card.recipe
        # An output that means something else starts anew.
        same = (other.targets, other.classes, other.units) == (recipe.targets, recipe.classes, recipe.units)
        last = (
            {id(value) for value in head.state_dict(keep_vars=True).values()} if head is not None else set()
        )
        names = {name for name, value in network.state_dict(keep_vars=True).items() if id(value) not in last}
        if not names <= _take(network, own, "", None if same else names):
            raise InputError(f"{own.file} lacks weights that {recipe.stem} has; train it anew.")
    return network


def _take(network: nn.Module, source: Weights, prefix: str, only: set[str] | None = None) -> set[str]:
    """Load what fits by name and shape, and give the names."""
    own = network.state_dict()
    taken: dict[str, Tensor] = {
        prefix + name: torch.from_numpy(value.astype(np.float32))
        for name, value in source.tensors.items()
        if prefix + name in own
        and own[prefix + name].shape == value.shape
        and (only is None or prefix + name in only)
    }
    network.load_state_dict(taken, strict=False)
    return set(taken)
