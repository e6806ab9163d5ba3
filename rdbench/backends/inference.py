"""How networks of recognisers answer: the only part of them that needs torch, loaded when the first face is shown."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rdbench.backends.arithmetic import Arithmetic
from rdbench.backends.networks import RestoredRecogniser, build
from rdbench.backends.weights import FACE, Weights
from rdbench.errors import InputError

__all__ = ["BATCH", "NETWORKS", "Networks"]

BATCH = 64
"""Frames that are predicted at once. Shorter batches are filled up: torch's last digits change with the shape
of a batch, and a frame's prediction must not depend on how many others came with it."""

THREADS = 1

_RESTORERS = 8

NETWORKS = (
    "Recogniser",
    "RestoredRecogniser",
    "ResidualRecogniser",
    "WideRecogniser",
    "RestoredResidualRecogniser",
)
"""Modules that take faces and give predictions."""


class Networks:
    """The networks of some weights, in their order, on one device.

    Parameters
    ----------
    weights : sequence of Weights
    device : str
    arithmetic : {"float32", "bfloat16"}

    Raises
    ------
    InputError
        If weights are of another network than their card says, or of none that recognises.
    """

    def __init__(self, weights: Sequence[Weights], device: str, arithmetic: Arithmetic) -> None:
        self._device = torch.device(device)
        self._arithmetic = arithmetic
        self.modules = [_network(each).to(self._device) for each in weights]

    def answers(self, place: int, frames: NDArray[np.float32]) -> NDArray[np.float64]:
        """Answers of one network to (n, 96, 96) faces, n at least 1, batch by batch."""
        return self._through(self.modules[place], frames)

    def restored(self, place: int, frames: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """What one network's recogniser looks at behind its restorer; None where there is none."""
        network = self.modules[place]
        if not isinstance(network, RestoredRecogniser):
            return None
        return self._through(network.restorer, frames)[:, 0].astype(np.float32)

    def _through(self, network: nn.Module, frames: NDArray[np.float32]) -> NDArray[np.float64]:
        parts = []
        rounded = torch.autocast(self._device.type, torch.bfloat16, enabled=self._arithmetic == "bfloat16")
        with _one_way(), rounded:
            for at in range(0, len(frames), BATCH):
                part = frames[at : at + BATCH]
                filled = torch.zeros(BATCH, 1, FACE, FACE)
                filled[: len(part), 0] = torch.from_numpy(np.ascontiguousarray(part))
                values = network(filled.to(self._device, memory_format=torch.channels_last))
                parts.append(values[: len(part)].float())
            # Brought here together: a device is waited for once, not for each batch.
            return torch.cat(parts).cpu().numpy().astype(np.float64)


class _SharedRestorer(nn.Module):
    """A restorer that does not restore the same faces again for the next back-end that holds the same one."""

    latest: ClassVar[dict[str, tuple[str, torch.Tensor]]] = {}
    """By content hash of a restorer: the faces that it saw last, by content hash, and what it made of them."""

    def __init__(self, restorer: nn.Module, weights: Weights) -> None:
        super().__init__()
        self.restorer = restorer
        digest = hashlib.sha256()
        for name in sorted(weights.tensors):
            if name.startswith("restorer."):
                digest.update(name.encode() + np.ascontiguousarray(weights.tensors[name]).tobytes())
        self._own = digest.hexdigest()

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        """Restore, or give what was restored a moment ago."""
        key = f"{self._own} {faces.device} {torch.is_autocast_enabled(faces.device.type)}"
        seen = hashlib.sha256(faces.cpu().contiguous().numpy().tobytes()).hexdigest()
        before = self.latest.get(key)
        if before is None or before[0] != seen:
            if key not in self.latest and len(self.latest) >= _RESTORERS:
                self.latest.pop(next(iter(self.latest)))
            self.latest[key] = before = (seen, self.restorer(faces))
        return before[1]


def _network(weights: Weights) -> nn.Module:
    recipe = weights.card.recipe
    outputs = recipe.outputs
    if weights.card.network not in NETWORKS or not outputs:
        raise InputError(
            f"{weights.file} holds weights of another network ({weights.card.network}); "
            f"a recogniser is one of {', '.join(NETWORKS)}."
        )
    network = build(weights.card.network, recipe.size, outputs)
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in weights.tensors.items()}
    if wanted != given:
        odd = min(name for name in wanted.keys() | given.keys() if wanted.get(name) != given.get(name))
        raise InputError(
            f"{weights.file} holds weights of another network ({weights.card.network}: '{odd}' is "
            f"{given.get(odd)}, not {wanted.get(odd)}); this is the place of a {recipe.size} recogniser with "
            f"{outputs} outputs."
        )
    tensors = {name: torch.from_numpy(value.astype(np.float32)) for name, value in weights.tensors.items()}
    network.load_state_dict(tensors)
    if isinstance(network, RestoredRecogniser):
        network.restorer = _SharedRestorer(network.restorer, weights)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval()


@contextmanager
def _one_way() -> Iterator[None]:
    """One thread and no gradients, so that the same frames give the same digits on one machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(threads)
