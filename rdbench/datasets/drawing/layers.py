"""Layers that move over a picture, in steps so small that they look continuous."""

from __future__ import annotations

import cv2
import numpy as np

from rdbench.datasets.drawing.canvas import Image

__all__ = ["Sliding"]

STEPS = 4
"""Positions in one pixel: a layer that slides is drawn once for each of them."""

_TABLE = 32
"""Steps of OpenCV's table of weights, in which it interpolates in whole numbers."""


class Sliding:
    """A layer that slides without turning; what it looks like between two pixels is kept."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.between: dict[tuple[int, int], Image] = {}

    def at(self, left: float, top: float) -> tuple[int, int, Image]:
        """Return the whole pixels of a position, from the left and from the top, and the layer as seen there."""
        across, down = round(left * STEPS), round(top * STEPS)
        steps = across % STEPS, down % STEPS
        if steps not in self.between:
            self.between[steps] = _moved(self.image, *steps)
        return across // STEPS, down // STEPS, self.between[steps]

    def cut(self, left: float, top: float, shape: tuple[int, int]) -> Image:
        """Return what a window of this shape shows that the layer covers with its corner outside of it."""
        column, row, image = self.at(left, top)
        return image[-row : shape[0] - row, -column : shape[1] - column]


def _moved(image: Image, across: int, down: int) -> Image:
    """Return a picture moved right and down by steps below one pixel; nothing comes in from outside."""
    if not across and not down:
        return image
    rows, columns = image.shape[:2]
    whole = np.empty((rows, columns, 2), np.int16)
    whole[..., 0] = np.arange(columns) - (across > 0)
    whole[..., 1] = (np.arange(rows) - (down > 0))[:, None]
    fine = _TABLE // STEPS
    weights = np.full((rows, columns), (-down % STEPS) * fine * _TABLE + (-across % STEPS) * fine, np.uint16)
    return cv2.remap(image, whole, weights, cv2.INTER_LINEAR)
