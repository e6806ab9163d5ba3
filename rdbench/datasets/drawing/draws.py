"""Random draws that are the same on every processor, from numpy's bit generators.

A uniform draw is a whole number times a power of 2. What numpy adds to that may be fused by a compiler, or call the
C library, so it is done here in exact steps.
"""

from __future__ import annotations

import math
from typing import Any, overload

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import ArrayLike, NDArray

__all__ = ["normal", "texture", "uniform", "white_noise"]

Floats = NDArray[np.float64]

_WHITE_MEAN = 4 * 255 // 2
_WHITE_DEVIATION = 147.801


@overload
def uniform(rng: np.random.Generator, low: float, high: float, size: None = None) -> float: ...
@overload
def uniform(
    rng: np.random.Generator, low: ArrayLike, high: ArrayLike, size: int | tuple[int, ...]
) -> Floats: ...
def uniform(rng: np.random.Generator, low: Any, high: Any, size: Any = None) -> Any:
    """Draw evenly from `low` to `high`."""
    return low + (high - low) * rng.random(size)


@overload
def normal(rng: np.random.Generator, mean: float, deviation: float, size: None = None) -> float: ...
@overload
def normal(
    rng: np.random.Generator, mean: float, deviation: float, size: int | tuple[int, ...]
) -> Floats: ...
def normal(rng: np.random.Generator, mean: float, deviation: float, size: Any = None) -> Any:
    """Draw from a normal distribution cut at 3.654 deviations.

    numpy's ziggurat returns a whole number times a constant within that distance, and beyond it what the C
    library's logarithm gives.
    """
    drawn = np.clip(rng.standard_normal(size), -3.654, 3.654)
    return mean + deviation * (drawn if size is not None else float(drawn))


def white_noise(rng: np.random.Generator, rows: int, columns: int) -> NDArray[np.int16]:
    """Draw whole numbers of mean 0 and a deviation of 147.8, nearly normal: each is the sum of four bytes."""
    words = rng.bit_generator.random_raw(-(-rows * columns // 2)).astype("<u8")
    four = words.view(np.uint8)[: 4 * rows * columns].reshape(4, rows, columns)
    return four.sum(axis=0, dtype=np.int16) - np.int16(_WHITE_MEAN)


def texture(rng: np.random.Generator, grain: tuple[int, int], shape: tuple[int, int]) -> Floats:
    """Return smooth noise of unit variance, drawn on `grain` rows and columns and enlarged to `shape`.

    Two moving means as wide as a grain make quadratic B-splines of it. What is random does not depend on the size
    of the picture, so that larger pictures show the same.
    """
    coarse = white_noise(rng, *grain)
    rows, columns = (np.arange(n) * g // n for n, g in zip(shape, grain, strict=True))
    whole: MatLike = coarse[rows][:, columns].astype(np.float64)
    box = tuple(n // g | 1 for n, g in zip(reversed(shape), reversed(grain), strict=True))
    if box != (1, 1):
        for _ in range(2):
            whole = cv2.boxFilter(whole, cv2.CV_64F, box, normalize=False)
    size = float((box[0] * box[1]) ** 2)
    tidy = np.rint(whole * (64 / size)).astype(np.int64)
    deviation = math.sqrt(int((tidy * tidy).sum()) / tidy.size)
    return np.multiply(whole, 64 / size / deviation, dtype=np.float64)
