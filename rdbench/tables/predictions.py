"""Predictions by frame, packed into one blob for each encode and back-end."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdbench.errors import InputError

__all__ = ["pack", "unpack"]


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
        head, _, body = zlib.decompress(blob).partition(b"\n")
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
