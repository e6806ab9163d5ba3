"""Brows: a soft body and the hairs on it."""

from __future__ import annotations

import cv2
import numpy as np

from rdbench.datasets.drawing import exact
from rdbench.datasets.drawing.canvas import Canvas, Floats, Image, Points, blend, fill, path, stroke
from rdbench.datasets.drawing.draws import normal, uniform
from rdbench.datasets.drawing.pose import Pose
from rdbench.datasets.drawing.subject import Subject

__all__ = ["Brows"]

HAIRS = 90


class Brows:
    """Both brows of a recording, worked out for all frames."""

    def __init__(self, who: Subject, canvas: Canvas, pose: Pose, rng: np.random.Generator) -> None:
        along, across = uniform(rng, 0, 1, HAIRS), uniform(rng, -0.5, 0.5, HAIRS)
        lean = normal(rng, 0, 0.25, HAIRS)
        s = np.linspace(0, 1, 17)
        thick = who.brow_thickness * np.where(
            s < 0.15, 0.7 + 2 * s, 1 - 0.75 * exact.power(np.clip((s - 0.15) / 0.85, 0, 1), 1.5)
        )
        middle, foot = _spine(who, pose, s), _spine(who, pose, along)
        body = np.concatenate([middle - path(0, thick / 2), (middle + path(0, thick / 2))[:, ::-1]], axis=1)
        root = foot + path(0, across * 0.95 * exact.interpolate(along, s, thick))
        direction = np.pi * (0.42 - 0.4 * along) * np.where(across > 0, 1, 0.5) + lean
        length = 0.075 * (0.7 + 0.3 * exact.cosine(7 * lean))
        tip = root + path(length * exact.cosine(direction), -0.6 * length * exact.sine(direction))
        hairs = np.stack([root, tip], axis=2)
        self.both = []
        for side in (-1, 1):
            mirror = np.array([side, 1])
            middle_x = side * 0.45
            part = canvas.window(middle_x - 0.42, who.brow_y - 0.32, middle_x + 0.42, who.brow_y + 0.28)
            colour = np.full((*part.shape, 3), np.rint(0.8 * np.array(who.hair)), np.uint8)
            self.both.append(
                (canvas.slices(part), part.fixed(body * mirror), part.fixed(hairs * mirror), colour)
            )
        self.thickness = canvas.thickness(0.006)

    def draw(self, image: Image, k: int) -> None:
        """Draw the brows of frame `k` onto the head's patch."""
        for place, body, hairs, colour in self.both:
            mask = np.zeros(colour.shape[:2], np.uint8)
            fill(mask, body[k], 120)
            stroke(mask, list(hairs[k]), 205, self.thickness)
            soft = cv2.GaussianBlur(mask, (3, 3), 0, hint=cv2.ALGO_HINT_ACCURATE)
            blend(image[place], soft, colour)


def _spine(who: Subject, pose: Pose, s: Floats) -> Points:
    """Return the middle of the right brow at places from 0, inside, to 1, as (frames, places, 2)."""
    units = {name: values[:, None] for name, values in pose.units.items()}
    inner_lift = 0.09 * units["AU1"] - 0.07 * units["AU4"]
    outer_lift = 0.09 * units["AU2"] - 0.03 * units["AU4"]
    x = 0.17 + 0.54 * s - 0.035 * units["AU4"] * (1 - s)
    arch = who.brow_arch * exact.sine(np.pi * exact.power(s, 1.3))
    lift = inner_lift * exact.power(1 - s, 1.4) + outer_lift * (exact.power(s, 0.8) * (1.2 - 0.4 * s))
    return path(x, who.brow_y - arch - lift + 0.04 * (s * s))
