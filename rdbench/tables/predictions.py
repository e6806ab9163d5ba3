"""Predictions by frame, packed into one blob for each encode and back-end, and read by the names inside."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdbench.errors import InputError
from rdbench.typing import Array

__all__ = ["ByFrame", "pack", "read_by_frame", "unpack"]

MOST_BYTES = 1 << 28
"""What one encode's predictions may take unpacked: ten hours at 60 frames a second of 7 classes fit."""


def pack(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Named arrays as one compressed blob: a line of JSON, then little-endian data."""
    header = [(name, array.dtype.str, array.shape) for name, array in arrays.items()]
    body = b"".join(
        np.ascontiguousarray(a).astype(a.dtype.newbyteorder("<")).tobytes() for a in arrays.values()
    )
    return zlib.compress(json.dumps(header).encode() + b"\n" + body, 6)


def unpack(blob: bytes) -> dict[str, NDArray[Any]]:
    """Named arrays from `pack`.

    Raises
    ------
    InputError
        If it is no such blob.
    """
    try:
        whole = zlib.decompressobj()
        content = whole.decompress(blob, MOST_BYTES)
        if whole.unconsumed_tail:
            raise ValueError(f"it inflates to more than {MOST_BYTES >> 20} MiB")
        if not whole.eof:
            raise ValueError("it is cut off")
        head, _, body = content.partition(b"\n")
        arrays: dict[str, NDArray[Any]] = {}
        start = 0
        for name, kind, shape in json.loads(head):
            dtype = np.dtype(kind).newbyteorder("<")
            if not isinstance(kind, str) or dtype.hasobject or any(int(side) < 0 for side in shape):
                raise ValueError("a header that was not written here")
            size = int(np.prod(shape)) * dtype.itemsize
            arrays[name] = np.frombuffer(body[start : start + size], dtype).reshape(shape)
            start += size
        return arrays
    except (ValueError, TypeError, SyntaxError, OverflowError, RecursionError, zlib.error) as error:
        raise InputError(
            f"A stored prediction cannot be read ({error}); the run's store is damaged."
        ) from error


@dataclass(frozen=True)
class ByFrame:
    """What one back-end predicted of one encode, frame by frame.

    Parameters
    ----------
    outputs : tuple of str
        What the columns of `prediction` are: targets, or classes.
    targets : tuple of str
        What the columns of `gold` are.
    prediction : (n, outputs) float64
        NaN where nothing was scored.
    gold : (n, targets) float64
        Class indices of a categorical target.
    times : (n,) float64
        Seconds.
    bits : (n,) int64
        Of each frame; empty where the pictures were not coded.
    """

    outputs: tuple[str, ...]
    targets: tuple[str, ...]
    prediction: Array
    gold: Array
    times: Array
    bits: NDArray[np.int64]

    def of(self, target: str) -> tuple[Array, Array] | None:
        """Prediction and gold of a continuous target; None where one of them is not there."""
        if target not in self.outputs or target not in self.targets:
            return None
        return self.prediction[:, self.outputs.index(target)], self.gold[:, self.targets.index(target)]

    def of_class(self, target: str) -> tuple[Array, Array] | None:
        """Indices of the most likely output and of the gold class; None where there is no such target."""
        if target not in self.targets:
            return None
        seen = np.asarray(np.isfinite(self.prediction).all(axis=1))
        best = np.argmax(np.where(seen[:, None], self.prediction, 0.0), axis=1).astype(np.float64)
        return np.where(seen, best, np.nan), self.gold[:, self.targets.index(target)]


def read_by_frame(blob: bytes) -> ByFrame | None:
    """Read what the sweep stored of one encode and back-end.

    Returns
    -------
    ByFrame or None
        None where it does not say which column is what: earlier versions of rdbench wrote it so.

    Raises
    ------
    InputError
        If it cannot be read, or its arrays do not fit each other.
    """
    arrays = unpack(blob)
    if not {"prediction", "gold", "times", "outputs", "targets"} <= set(arrays):
        return None
    outputs, targets = (tuple(map(str, arrays[name].tolist())) for name in ("outputs", "targets"))
    try:
        prediction, gold, times = (
            np.asarray(arrays[name], np.float64) for name in ("prediction", "gold", "times")
        )
        read = ByFrame(
            outputs,
            targets,
            prediction.reshape(len(times), len(outputs)),
            gold.reshape(len(times), len(targets)),
            times,
            np.asarray(arrays.get("bits", ()), np.int64),
        )
    except (ValueError, TypeError) as error:
        raise InputError(
            f"A stored prediction cannot be read ({error}); the run's store is damaged."
        ) from error
    return read
