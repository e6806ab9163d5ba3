"""Where the head is drawn: a patch in the head's own coordinates, finer than the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["SHIFT", "Canvas", "Points", "bump", "draw_line", "fill", "resized_noise", "smoothstep"]

SHIFT = 4
"""Fractional bits of the coordinates handed to OpenCV."""

Points = NDArray[np.float64]
Plane = NDArray[np.float32]


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

    def grid(self) -> tuple[Plane, Plane]:
        """Return x and y of every pixel centre, each (rows, columns) float32."""
        rows, columns = self.shape
        x = (np.arange(columns, dtype=np.float32) + 0.5) / np.float32(self.unit) + np.float32(self.left)
        y = (np.arange(rows, dtype=np.float32) + 0.5) / np.float32(self.unit) + np.float32(self.top)
        return np.broadcast_to(x, (rows, columns)), np.broadcast_to(y[:, None], (rows, columns))

    def fixed(self, points: Points) -> NDArray[np.int32]:
        """Return (n, 2) points as OpenCV's fixed-point pixel coordinates."""
        pixels = (np.asarray(points) - (self.left, self.top)) * self.unit - 0.5
        return np.rint(pixels * (1 << SHIFT)).astype(np.int32)

    def window(self, left: float, top: float, right: float, bottom: float) -> Canvas:
        """Return the part of this patch on the same pixels that covers at least what is asked for."""
        columns = np.clip(
            [np.floor((left - self.left) * self.unit), np.ceil((right - self.left) * self.unit)],
            0,
            self.shape[1],
        )
        rows = np.clip(
            [np.floor((top - self.top) * self.unit), np.ceil((bottom - self.top) * self.unit)],
            0,
            self.shape[0],
        )
        return Canvas(
            self.unit,
            self.left + float(columns[0]) / self.unit,
            self.top + float(rows[0]) / self.unit,
            self.left + float(columns[1]) / self.unit,
            self.top + float(rows[1]) / self.unit,
        )

    def slices(self, part: Canvas) -> tuple[slice, slice]:
        """Return where a window of this patch lies in its pixels."""
        row = round((part.top - self.top) * self.unit)
        column = round((part.left - self.left) * self.unit)
        rows, columns = part.shape
        return slice(row, row + rows), slice(column, column + columns)


def fill(image: NDArray[np.uint8], canvas: Canvas, points: Points, colour: object) -> None:
    """Fill a polygon of (n, 2) points, with smooth edges."""
    cv2.fillPoly(image, [canvas.fixed(points)], colour, cv2.LINE_AA, SHIFT)  # type: ignore[call-overload]


def draw_line(
    image: NDArray[np.uint8],
    canvas: Canvas,
    points: Points,
    colour: object,
    width: float,
    closed: bool = False,
) -> None:
    """Draw a line through (n, 2) points, `width` in half face widths, at least one pixel."""
    thickness = max(1, round(width * canvas.unit))
    cv2.polylines(image, [canvas.fixed(points)], closed, colour, thickness, cv2.LINE_AA, SHIFT)  # type: ignore[call-overload]


def bump(x: Plane, y: Plane, cx: float, cy: float, wide: float, high: float) -> Plane:
    """Return a Gaussian hill of height 1."""
    return np.exp(-(((x - cx) / wide) ** 2) - ((y - cy) / high) ** 2).astype(np.float32)


def smoothstep(low: float, high: float, value: NDArray[Any]) -> Plane:
    """Return a smooth rise from 0 at `low` to 1 at `high`."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def resized_noise(rng: np.random.Generator, grain: tuple[int, int], shape: tuple[int, int]) -> Plane:
    """Return noise of unit variance drawn on `grain` rows and columns and enlarged to `shape`.

    What is random does not depend on the size of the picture, so that larger pictures show the same.
    """
    coarse = rng.standard_normal(grain).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), np.float32)
