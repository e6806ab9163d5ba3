"""The frame of a pair of glasses."""

from __future__ import annotations

import numpy as np

from rdbench.datasets.drawing import exact
from rdbench.datasets.drawing.canvas import Canvas, Image, path, stroke
from rdbench.datasets.drawing.subject import Subject

__all__ = ["DARK", "glasses"]

DARK = (34, 30, 30)
"""Blue, green and red of the frame."""


def glasses(who: Subject, canvas: Canvas) -> Image:
    """Return how much of each pixel of the patch the frame covers, as (rows, columns) uint8."""
    mask = np.zeros(canvas.shape, np.uint8)
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    cos, sin = exact.cosine(turn), exact.sine(turn)
    round_x = np.sign(cos) * exact.power(np.abs(cos), 0.7)
    round_y = np.sign(sin) * exact.power(np.abs(sin), 0.75)
    for side in (-1, 1):
        ring = path(side * (who.eye_distance + 0.02) + 0.3 * round_x, who.eye_y + 0.04 + 0.21 * round_y)
        stroke(mask, canvas.fixed(ring), 255, canvas.thickness(0.026), closed=True)
        temple = np.array([[side * (who.eye_distance + 0.32), who.eye_y], [side * 1.0, who.eye_y - 0.05]])
        stroke(mask, canvas.fixed(temple), 255, canvas.thickness(0.03))
    inner = who.eye_distance - 0.27
    arch = exact.cosine(np.linspace(-1.5, 1.5, 9))
    bridge = path(np.linspace(-inner, inner, 9), who.eye_y - 0.02 * arch - 0.01)
    stroke(mask, canvas.fixed(bridge), 255, canvas.thickness(0.028))
    return mask
