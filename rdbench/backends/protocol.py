"""What a recogniser has to offer to be measured. Another package adds one by an entry point in the
group ``rdbench.backends`` whose object is an `Opener`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Backend",
    "Context",
    "Input",
    "Opener",
    "Restoring",
    "Session",
    "by_agreement",
    "descriptor_length",
    "detects_units",
    "outputs_of",
]


@dataclass(frozen=True)
class Input:
    """The pictures a back-end wants to see.

    Parameters
    ----------
    size : int
        Width and height in pixels.
    colour : {"luma", "rgb"}
        "luma": float32 (n, size, size), ``clip((Y - 16) / 219, 0, 1)`` of BT.709 limited-range video;
        "rgb": float32 (n, size, size, 3) in 0..1.
    margin : float
        The crop's side is ``(1 + margin)`` times the face box's; 0 is the box itself. In region ``face`` all
        back-ends of a run see one coded crop, so they must ask for the same.
    independent : bool
        A frame's answer depends on that frame alone: equal frames of a recording are asked for once.
    """

    size: int = 96
    colour: Literal["luma", "rgb"] = "luma"
    margin: float = 0.0
    independent: bool = False


@dataclass(frozen=True)
class Context:
    """What a receiver knows of a stream besides its pictures; nothing else may be used.

    Parameters
    ----------
    factor : int
        Downsampling factor, 1 or more.
    region : {"face", "frame"}
    face_px : float
        Width of the face in coded pixels, the recording's median.
    fps : float
        Frames a second.
    """

    factor: int
    region: str
    face_px: float
    fps: float


Session = Callable[[NDArray[np.float32]], NDArray[np.float64]]
"""Takes a batch of frames in order, gives (n, k) predictions; may carry state from batch to batch."""


class Backend(Protocol):
    """A recogniser: frames in, one prediction for each frame out."""

    name: str
    """As asked for, such as ``direct@lite``."""
    input: Input
    targets: tuple[str, ...]
    """Names of the k values for each frame; for a classifier the one categorical target."""
    classes: tuple[str, ...]
    """Class names where the k outputs are probabilities, else empty."""
    weights: str
    """Content hash of what it learned (16 hex digits), or "none"."""
    trained_on: str
    """Dataset, partition, region and recipe in a few words, for people."""

    def start(self, context: Context) -> Session:
        """Begin one scoring segment: state from earlier segments is gone."""
        ...


def descriptor_length(backend: Backend) -> int:
    """How long the descriptors are that a back-end gives instead of values; 0 for all that give values.

    A back-end says so by an attribute ``descriptor``. Its one target is the cosine similarity of a face's descriptor with that
    of the same pristine frame.
    """
    return int(getattr(backend, "descriptor", 0))


def detects_units(backend: Backend) -> bool:
    """Whether a back-end's values are probabilities that its targets are there, each by itself (action units), as it says by an
    attribute ``units``."""
    return bool(getattr(backend, "units", False))


def by_agreement(backend: Backend) -> bool:
    """Whether a back-end is measured by its own answers on pristine frames where labels do not have its targets, as it says by an
    attribute ``agreement``; others are refused by such labels."""
    return bool(getattr(backend, "agreement", False))


def outputs_of(backend: Backend) -> int:
    """How many numbers a back-end gives for each frame."""
    return descriptor_length(backend) or len(backend.classes or backend.targets)


@runtime_checkable
class Restoring(Protocol):
    """What a back-end may offer besides: the pictures that it recognises, where it restores them first."""

    def restored(self, frames: NDArray[np.float32], context: Context) -> NDArray[np.float32] | None:
        """Give a batch as it looks after restoring, luma in 0..1; None where nothing is restored."""
        ...


class Opener(Protocol):
    """What an entry point in ``rdbench.backends`` names."""

    def __call__(self, size: str | None, weights: Path | None, device: str) -> Backend:
        """Open a back-end.

        Parameters
        ----------
        size : str or None
            The part after ``@``, None for the default.
        weights : Path or None
            Folder given by ``--weights``; None for the weights that ship.
        device : str
            Torch's name of a device, "cpu" by default.

        Raises
        ------
        InputError
            If there is no such size, or the weights are missing or unreadable.
        """
        ...
