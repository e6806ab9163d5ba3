"""Back-ends that are one trained recogniser, or one for each of several downsampling factors."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rdbench.backends.arithmetic import TOLERANCE, choose_arithmetic
from rdbench.backends.networks import FACE, SIZES, RestoredRecogniser, build, choose_device
from rdbench.backends.protocol import Context, Input, Session
from rdbench.backends.weights import Weights, read_weights, weights_folder
from rdbench.errors import InputError

__all__ = ["Recognisers", "open_recognisers"]

BATCH = 64
"""Frames that are predicted at once. Shorter batches are filled up: torch's last digits change with the shape
of a batch, and a frame's prediction must not depend on how many others came with it."""

THREADS = 1

_RESTORERS = 8

NETWORKS = ("Recogniser", "RestoredRecogniser", "ResidualRecogniser", "RestoredResidualRecogniser")
"""Modules that take faces and give predictions."""


class Recognisers:
    """Trained recognisers, of which each recording gets the one trained nearest to its face width.

    Nearness is in log `face_px`: between 12 and 24 pixels is as far as between 24 and 48, and factor 4 means
    24 pixels in one recording and 40 in another.

    Parameters
    ----------
    name : str
        As asked for, such as "direct@lite".
    weights : sequence of Weights
        One or more, of one network, size and targets.
    device : torch.device

    Raises
    ------
    InputError
        If weights are of another network, or do not belong together.
    """

    def __init__(self, name: str, weights: Sequence[Weights], device: torch.device) -> None:
        first = weights[0]
        self.name = name
        self.input = Input(size=FACE, independent=True)
        self.targets = first.card.recipe.targets
        self.classes = first.card.recipe.classes
        self.units = first.card.recipe.units
        self.arithmetic = choose_arithmetic(name, weights, device)
        self._device = device
        self._networks: list[tuple[float, nn.Module]] = []
        for each in sorted(weights, key=lambda each: (-each.card.face_px, each.file.name)):
            own = each.card.recipe
            if (own.targets, own.classes, own.units) != (self.targets, self.classes, self.units):
                raise InputError(
                    f"{each.file} predicts {', '.join(each.card.recipe.targets)}, but {first.file.name} beside "
                    f"it {', '.join(self.targets)}; specialists of one back-end need the same targets and classes."
                )
            self._networks.append((each.card.face_px, _network(each).to(device)))
        hashes = sorted(each.hash for each in weights)
        self.weights = (
            first.hash if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]
        )
        self.trained_on = _described(weights)
        if self.arithmetic == "bfloat16":
            self.trained_on += f"; computed in bfloat16 (within {TOLERANCE} of float32 in CCC)"

    def start(self, context: Context) -> Session:
        """Begin a segment with the recogniser trained nearest in log `face_px`; frames are independent."""
        network = self.nearest(context.face_px)

        def session(frames: NDArray[np.float32]) -> NDArray[np.float64]:
            return self._predict(network, frames)

        return session

    def restored(self, frames: NDArray[np.float32], context: Context) -> NDArray[np.float32] | None:
        """What the recogniser looks at behind a restorer; None where there is none."""
        network = self.nearest(context.face_px)
        if not isinstance(network, RestoredRecogniser):
            return None
        return self._answered(network.restorer, frames)[:, 0].astype(np.float32)

    def nearest(self, face_px: float) -> nn.Module:
        """The recogniser for a coded face width in pixels; of two equally near, that of the larger face.

        Raises
        ------
        InputError
            If the width is no positive number.
        """
        if not (math.isfinite(face_px) and face_px > 0):
            raise InputError(f"{self.name}: a face cannot be {face_px} pixels wide; give a width above 0.")
        return min(self._networks, key=lambda each: abs(math.log(each[0] / face_px)))[1]

    def _predict(self, network: nn.Module, frames: NDArray[np.float32]) -> NDArray[np.float64]:
        if not len(frames):
            return np.empty((0, len(self.classes or self.targets)), np.float64)
        values = self._answered(network, frames)
        if self.units:
            return np.asarray(1 / (1 + np.exp(-values)))
        if self.classes:
            shares = np.exp(values - values.max(axis=1, keepdims=True))
            return np.asarray(shares / shares.sum(axis=1, keepdims=True))
        return values

    def _answered(self, network: nn.Module, frames: NDArray[np.float32]) -> NDArray[np.float64]:
        """Answers of a network to one frame or more, batch by batch."""
        if frames.ndim != 3 or frames.shape[1:] != (FACE, FACE) or frames.dtype != np.float32:
            raise InputError(
                f"{self.name} takes float32 frames of shape (n, {FACE}, {FACE}), not {frames.dtype} of shape "
                f"{frames.shape}; resize the faces and hand over their luma alone."
            )
        if not np.isfinite(frames).all():
            bad = int(np.flatnonzero(~np.isfinite(frames).all(axis=(1, 2)))[0])
            raise InputError(
                f"{self.name} was given NaN or infinite luma (frame {bad} of {len(frames)}); luma is 0 to 1."
            )
        parts = []
        rounded = torch.autocast(self._device.type, torch.bfloat16, enabled=self.arithmetic == "bfloat16")
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


def open_recognisers(family: str, size: str | None, weights: Path | None, device: str) -> Recognisers:
    """Open all weights of a back-end in a folder.

    Parameters
    ----------
    family : str
        Name of the back-end, such as "direct".
    size : str or None
        "lite" by default.
    weights : Path or None
        By default those that ship.
    device : str

    Raises
    ------
    InputError
        If there is no such size, folder or device, no weights for it, or unusable ones.
    """
    size = size or "lite"
    name = f"{family}@{size}"
    if size not in SIZES:
        raise InputError(f"There is no '{name}'; {family} comes in the sizes {' and '.join(SIZES)}.")
    folder = weights_folder(weights)
    pattern = re.compile(rf"{re.escape(family)}-{size}-[a-z]+(-x\d+)?\.safetensors")
    files = sorted(file for file in folder.iterdir() if pattern.fullmatch(file.name))
    if not files:
        raise InputError(
            f"There are no weights of {name} in {folder}; train them with "
            f"`rdbench train {name} --out {folder if weights else 'DIR'}`"
            f"{'.' if weights else ' and use them with --weights DIR.'}"
        )
    read = [read_weights(file) for file in files]
    seed = next((int(part) for part in re.findall(r"\Aseed-(\d{1,18})\Z", folder.name)), None)
    for each in read:
        if seed is not None and each.card.recipe.seed != seed:
            raise InputError(
                f"{each.file} was trained with seed {each.card.recipe.seed}, but lies in the folder of seed {seed}; "
                f"move it to where it belongs."
            )
        if (each.card.recipe.backend, each.card.recipe.size) != (family, size):
            raise InputError(
                f"{each.file} holds weights of {each.card.recipe.backend}@{each.card.recipe.size}, not of "
                f"{name}; give it its own name back, or train {name}."
            )
    return Recognisers(name, read, choose_device(device))


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


def _described(weights: Sequence[Weights]) -> str:
    def several(values: set[str]) -> str:
        return " and ".join(sorted(values))

    recipes = [each.card.recipe for each in weights]
    factors = sorted({factor for recipe in recipes for factor in recipe.factors})
    delays = several({f"{recipe.delay:g}" for recipe in recipes})
    kind = "a specialist for each of" if len(weights) > 1 else "one model for"
    return (
        f"{several({each.card.dataset for each in weights})}, train, "
        f"region {several({recipe.region for recipe in recipes})}, "
        f"{kind} factor{'s' if len(factors) > 1 else ''} {', '.join(map(str, factors))}, "
        f"seed {several({str(recipe.seed) for recipe in recipes})}"
        f"{f', labels moved back by {delays} s' if delays != '0' else ''}"
    )


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
