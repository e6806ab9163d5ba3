"""A stand-in for a recogniser: it knows only how bright a picture is, and does all that a back-end may do.

What tests and authors of back-ends need is exactly that: answers that can be computed by hand, in luma or RGB,
as values or classes, with or without a memory, at any size and margin.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rdbench.backends.protocol import Backend, Context, Input, Session
from rdbench.errors import InputError

__all__ = ["SIZES", "Double", "open_backend"]

SHARP = 40.0
"""How sure the classifier is: at the middle of a class's range of brightness it gives it nearly all."""


class Double:
    """Values: the mean brightness of as many horizontal bands as there are targets, from -1 (black) to 1 (white).
    Classes: as many equal ranges of brightness as there are classes, the darkest first.

    Parameters
    ----------
    name : str
    input : Input
    targets : tuple of str
    classes : tuple of str
        Where there are any, `targets` names the one thing that they are classes of.
    memory : float
        Share of the last answer in the next one, 0 to below 1; a new segment starts without any.
    units : bool
        Whether each band's brightness, from 0 to 1, is the probability that its target is there.
    """

    weights = "none"
    trained_on = "nothing: it tells how bright a picture is"

    def __init__(
        self,
        name: str = "double",
        input: Input = Input(size=32),  # noqa: B008
        targets: tuple[str, ...] = ("arousal", "valence"),
        classes: tuple[str, ...] = (),
        memory: float = 0.0,
        units: bool = False,
    ) -> None:
        self.units = units
        self.name, self.input, self.targets, self.classes, self.memory = name, input, targets, classes, memory

    def start(self, context: Context) -> Session:
        """Begin a segment: the memory is empty."""
        last: NDArray[np.float64] | None = None

        def session(frames: NDArray[np.float32]) -> NDArray[np.float64]:
            nonlocal last
            values = self._probabilities(frames) if self.classes else self._bands(frames)
            for index in range(len(values)):
                if last is not None:
                    values[index] = self.memory * last + (1 - self.memory) * values[index]
                last = values[index]
            return values

        return session

    def _bands(self, frames: NDArray[np.float32]) -> NDArray[np.float64]:
        bands = np.array_split(np.arange(self.input.size), len(self.targets))
        light = np.stack([_brightness(frames[:, band]) for band in bands], axis=1)
        return light if self.units else 2 * light - 1

    def _probabilities(self, frames: NDArray[np.float32]) -> NDArray[np.float64]:
        brightness = _brightness(frames)
        middles = (np.arange(len(self.classes)) + 0.5) / len(self.classes)
        near = np.exp(-SHARP * (brightness[:, None] - middles) ** 2)
        shares: NDArray[np.float64] = near / near.sum(axis=1, keepdims=True)
        return shares


def _brightness(frames: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(frames.mean(axis=tuple(range(1, frames.ndim)), dtype=np.float64))


SIZES: dict[str, Literal["luma", "rgb"]] = {
    "values": "luma",
    "rgb": "rgb",
    "temporal": "luma",
    "classes": "rgb",
    "units": "luma",
}
"""What `open_backend` opens, and the colour that it sees."""


def open_backend(size: str | None, weights: Path | None, device: str) -> Backend:
    """Open ``double@values``, ``@rgb``, ``@temporal``, ``@classes`` or ``@units``; see `rdbench.backends.protocol.Opener`.

    It is not among the back-ends that rdbench declares; a test that needs it by name declares it.

    Raises
    ------
    InputError
        If there is no such size.
    """
    size = size or "values"
    if size not in SIZES:
        raise InputError(f"There is no 'double@{size}'; double comes as {', '.join(SIZES)}.")
    given = Input(size=40, colour=SIZES[size], margin=0.25 if size == "rgb" else 0.0)
    if size == "classes":
        return Double(f"double@{size}", given, ("light",), ("dark", "dim", "bright"))
    if size == "units":
        return Double(f"double@{size}", given, ("AU1", "AU12"), units=True)
    return Double(f"double@{size}", given, memory=0.9 if size == "temporal" else 0.0)
