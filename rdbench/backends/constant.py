"""The honest floor: the mean of the train labels, whatever the picture shows. Its CCC is 0."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rdbench.backends.protocol import Backend, Context, Input, Session
from rdbench.backends.weights import read_weights, weights_folder
from rdbench.errors import InputError

__all__ = ["Constant", "open_backend"]

FILE = "constant.safetensors"
SIZE = 96


class Constant:
    """Predict the same values for every frame.

    Parameters
    ----------
    values : dict of str to float
        By target.
    weights, trained_on : str
        See `rdbench.backends.protocol.Backend`.
    """

    name = "constant"
    input = Input(size=SIZE)
    classes: tuple[str, ...] = ()

    def __init__(self, values: dict[str, float], weights: str = "none", trained_on: str = "nothing") -> None:
        self.targets = tuple(values)
        self.weights = weights
        self.trained_on = trained_on
        self._row = np.array(list(values.values()), np.float64)

    def start(self, context: Context) -> Session:
        """Begin a segment; there is nothing to forget."""

        def session(frames: NDArray[np.float32]) -> NDArray[np.float64]:
            return np.tile(self._row, (len(frames), 1))

        return session


def open_backend(size: str | None, weights: Path | None, device: str) -> Backend:
    """Open ``constant``; see `rdbench.backends.protocol.Opener`.

    Without its file in the folder it predicts 0 for arousal and valence, the middle of their scales.

    Raises
    ------
    InputError
        If a size is asked for, or the file is unreadable.
    """
    if size is not None:
        raise InputError(f"There is no 'constant@{size}': constant has no sizes; ask for 'constant'.")
    file = weights_folder(weights) / FILE
    if not file.is_file():
        return Constant({"arousal": 0.0, "valence": 0.0})
    read = read_weights(file)
    card = read.card
    values = read.tensors.get("mean")
    if card.network != "Constant" or values is None or values.shape != (len(card.recipe.targets),):
        raise InputError(f"{file} holds weights of another network ({card.network}), not of constant.")
    means = dict(zip(card.recipe.targets, values.astype(np.float64).tolist(), strict=True))
    return Constant(means, read.hash, f"{card.dataset}, train, mean of the labels")
