"""Back-ends that are one trained recogniser, or one for each of several downsampling factors."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rdbench.backends.arithmetic import TOLERANCE, choose_arithmetic, choose_device
from rdbench.backends.protocol import Context, Input, Session
from rdbench.backends.weights import FACE, SIZES, Weights, read_weights, weights_folder
from rdbench.cache import entry, is_sound
from rdbench.errors import InputError
from rdbench.files import digest_of
from rdbench.machine import cache_dir

if TYPE_CHECKING:
    from rdbench.backends.inference import Networks

__all__ = ["Recognisers", "open_recognisers"]


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
    device : str
        A name of torch's.

    Raises
    ------
    InputError
        If weights are of another network, or do not belong together.
    """

    def __init__(self, name: str, weights: Sequence[Weights], device: str = "cpu") -> None:
        first = weights[0]
        self.name = name
        self.input = Input(size=FACE, independent=True)
        self.targets = first.card.recipe.targets
        self.classes = first.card.recipe.classes
        self.units = first.card.recipe.units
        self.arithmetic = choose_arithmetic(name, weights, device)
        self._device = device
        self._ordered = sorted(weights, key=lambda each: (-each.card.face_px, each.file.name))
        for each in self._ordered:
            own = each.card.recipe
            if (own.targets, own.classes, own.units) != (self.targets, self.classes, self.units):
                raise InputError(
                    f"{each.file} predicts {', '.join(each.card.recipe.targets)}, but {first.file.name} beside "
                    f"it {', '.join(self.targets)}; specialists of one back-end need the same targets and classes."
                )
        hashes = sorted(each.hash for each in weights)
        self.weights = (
            first.hash if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]
        )
        self.trained_on = _described(weights)
        if self.arithmetic == "bfloat16":
            self.trained_on += f"; computed in bfloat16 (within {TOLERANCE} of float32 in CCC)"
        self._try_once()

    @functools.cached_property
    def _networks(self) -> Networks:
        from rdbench.backends.inference import Networks

        return Networks(self._ordered, self._device, self.arithmetic)

    def _try_once(self) -> None:
        """Build the networks, unless these weights were built before: who only describes them need not wait for torch."""
        code = digest_of(Path(__file__).with_name("networks.py"))
        key = f"{self.weights} {self.arithmetic} {self._device} {version('torch')} {code}"
        file = cache_dir() / "networks" / hashlib.sha256(key.encode()).hexdigest()[:24]
        if is_sound(file):
            return
        _ = self._networks
        with contextlib.suppress(OSError):  # who cannot keep it builds them again
            entry(file, lambda part: part.write_text(key, encoding="ascii"))

    def start(self, context: Context) -> Session:
        """Begin a segment with the recogniser trained nearest in log `face_px`; frames are independent."""
        place = self.nearest(context.face_px)

        def session(frames: NDArray[np.float32]) -> NDArray[np.float64]:
            return self._predict(place, frames)

        return session

    def restored(self, frames: NDArray[np.float32], context: Context) -> NDArray[np.float32] | None:
        """What the recogniser looks at behind a restorer; None where there is none."""
        place = self.nearest(context.face_px)
        self._check(frames)
        return self._networks.restored(place, frames)

    def nearest(self, face_px: float) -> int:
        """Which weights, largest faces first, serve a coded face width in pixels; of two equally near, the larger face's.

        Raises
        ------
        InputError
            If the width is no positive number.
        """
        if not (math.isfinite(face_px) and face_px > 0):
            raise InputError(f"{self.name}: a face cannot be {face_px} pixels wide; give a width above 0.")
        away = [abs(math.log(each.card.face_px / face_px)) for each in self._ordered]
        return away.index(min(away))

    def _predict(self, place: int, frames: NDArray[np.float32]) -> NDArray[np.float64]:
        if not len(frames):
            return np.empty((0, len(self.classes or self.targets)), np.float64)
        self._check(frames)
        values = self._networks.answers(place, frames)
        if self.units:
            return np.asarray(1 / (1 + np.exp(-values)))
        if self.classes:
            shares = np.exp(values - values.max(axis=1, keepdims=True))
            return np.asarray(shares / shares.sum(axis=1, keepdims=True))
        return values

    def _check(self, frames: NDArray[np.float32]) -> None:
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
    if device != "cpu":
        device = str(choose_device(device))
    return Recognisers(name, read, device)


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
