"""Where things are drawn: a patch in its own coordinates, and the strokes and layers laid on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import ArrayLike, NDArray

from rdbench.datasets.drawing import exact

__all__ = [
    "SHIFT",
    "Canvas",
    "Fixed",
    "Floats",
    "Image",
    "Points",
    "add_bump",
    "blend",
    "bump",
    "faded",
    "fill",
    "lay_over",
    "path",
    "shaded",
    "smoothstep",
    "stroke",
]

SHIFT = 4
"""Fractional bits of the coordinates handed to OpenCV."""

Floats = NDArray[np.float64]
Points = NDArray[np.float64]
"""(..., n, 2) places, x before y."""
Fixed = NDArray[np.int32]
"""The same in pixels with `SHIFT` fractional bits."""
Image = MatLike
"""(rows, columns) or (rows, columns, channels) uint8."""


@dataclass(frozen=True)
class Canvas:
    """A patch of pixels around a head.

    Parameters
    ----------
    unit : float
        Pixels in half a face width.
    left, top, right, bottom : float
        What it covers, in half face widths from between the eyes; y points down.
    """

    unit: float
    left: float = -1.75
    top: float = -1.8
    right: float = 1.75
    bottom: float = 2.1

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return round((self.bottom - self.top) * self.unit), round((self.right - self.left) * self.unit)

    def axes(self) -> tuple[Floats, Floats]:
        """Return x of every column as (1, columns), and y of every row as (rows, 1), at pixel centres."""
        rows, columns = self.shape
        x = (np.arange(columns, dtype=np.float64) + 0.5) / self.unit + self.left
        y = (np.arange(rows, dtype=np.float64) + 0.5) / self.unit + self.top
        return x[None, :], y[:, None]

    def fixed(self, points: Points) -> Fixed:
        """Return (..., 2) points as OpenCV's fixed-point pixel coordinates."""
        pixels = (points - np.array([self.left, self.top])) * self.unit - 0.5
        return np.rint(pixels * (1 << SHIFT)).astype(np.int32)

    def thickness(self, width: float) -> int:
        """Return a line's width in whole pixels, at least one."""
        return max(1, round(width * self.unit))

    def window(self, left: float, top: float, right: float, bottom: float) -> Canvas:
        """Return the part of this patch on the same pixels that covers at least what is asked for."""
        rows, columns = self.shape
        first = _inside(math.floor((left - self.left) * self.unit), columns)
        last = _inside(math.ceil((right - self.left) * self.unit), columns)
        upper = _inside(math.floor((top - self.top) * self.unit), rows)
        lower = _inside(math.ceil((bottom - self.top) * self.unit), rows)
        return Canvas(
            self.unit,
            self.left + first / self.unit,
            self.top + upper / self.unit,
            self.left + last / self.unit,
            self.top + lower / self.unit,
        )

    def slices(self, part: Canvas) -> tuple[slice, slice]:
        """Return where a window of this patch lies in its pixels."""
        row = round((part.top - self.top) * self.unit)
        column = round((part.left - self.left) * self.unit)
        rows, columns = part.shape
        return slice(row, row + rows), slice(column, column + columns)


def _inside(at: int, size: int) -> int:
    return min(max(at, 0), size)


def path(x: ArrayLike, y: ArrayLike) -> Points:
    """Return points from their coordinates, which are broadcast."""
    return np.stack(np.broadcast_arrays(x, y), axis=-1)


def fill(image: Image, outline: Fixed, colour: object) -> None:
    """Fill a polygon with smooth edges; OpenCV works in whole numbers here."""
    cv2.fillPoly(image, [outline], colour, cv2.LINE_AA, SHIFT)  # type: ignore[call-overload]


def stroke(image: Image, lines: Any, colour: object, thickness: int, closed: bool = False) -> None:
    """Draw one line, or a list of lines, with smooth edges."""
    every = lines if isinstance(lines, list) else [lines]
    cv2.polylines(image, every, closed, colour, thickness, cv2.LINE_AA, SHIFT)  # type: ignore[call-overload]


def faded(image: Image, share: Image) -> Image:
    """Return a picture of which each byte is multiplied by a share of 0..255, of the same shape, over 255."""
    return _over_255(np.multiply(image, share, dtype=np.uint16))


def _over_255(product: NDArray[np.uint16]) -> Image:
    """Return what is at most 255 * 255 over 255, rounded: OpenCV's product with a scale is cut on some processors."""
    product += 128
    product += product >> 8
    product >>= 8
    return product.astype(np.uint8)


def blend(image: Image, mask: Image, layer: Image) -> None:
    """Lay a picture of three channels over another, in place, where the one channel of a mask says so."""
    weight = cv2.cvtColor(mask, cv2.COLOR_GRAY2BGR)
    mixed = np.multiply(image, cv2.bitwise_not(weight), dtype=np.uint16)
    mixed += np.multiply(layer, weight, dtype=np.uint16)
    image[:] = _over_255(mixed)


def lay_over(image: Image, colour: Image, hidden: Image) -> None:
    """Lay a premultiplied layer over a picture, in place; `hidden` is what it leaves of it, for each channel."""
    cv2.add(faded(image, hidden), colour, dst=image)


def shaded(colour: tuple[float, float, float], brightness: Floats) -> Image:
    """Return a picture of one colour under a light that differs from pixel to pixel."""
    planes = [np.clip(channel * brightness, 0, 255).astype(np.uint8) for channel in colour]
    return cv2.merge(planes)


def bump(x: Floats, y: Floats, cx: float, cy: float, wide: float, high: float) -> Floats:
    """Return a Gaussian hill of height 1 over (1, columns) of x and (rows, 1) of y."""
    across, down = (x - cx) / wide, (y - cy) / high
    return exact.exp(-(down * down)) * exact.exp(-(across * across))


def add_bump(
    plane: Floats, x: Floats, y: Floats, amount: float, at: tuple[float, float], size: tuple[float, float]
) -> None:
    """Add a Gaussian hill to a plane, in place, out to four of its widths."""
    columns = np.flatnonzero(np.abs(x[0] - at[0]) < 4 * size[0])
    rows = np.flatnonzero(np.abs(y[:, 0] - at[1]) < 4 * size[1])
    if len(rows) and len(columns):
        place = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        plane[place] += amount * bump(x[:, place[1]], y[place[0]], *at, *size)


def smoothstep(low: float, high: float, value: Floats) -> Floats:
    """Return a smooth rise from 0 at `low` to 1 at `high`."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
