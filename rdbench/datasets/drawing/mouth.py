"""Mouth: lips that speak and smile, teeth, tongue and the dark between them."""

from __future__ import annotations

import cv2
import numpy as np

from rdbench.datasets.drawing import exact
from rdbench.datasets.drawing.canvas import Canvas, Floats, Image, Points, blend, fill, path, stroke
from rdbench.datasets.drawing.pose import Pose
from rdbench.datasets.drawing.subject import Subject

__all__ = ["Mouth"]

DARK, TONGUE, TEETH, BETWEEN = (26, 20, 46), (70, 62, 132), (178, 192, 198), (138, 152, 162)

_S = np.linspace(-1, 1, 33)
_VAULT = 1 - _S * _S


class Mouth:
    """The mouth of a recording, worked out for all frames."""

    def __init__(self, who: Subject, canvas: Canvas, pose: Pose) -> None:
        part = canvas.window(-0.75, who.mouth_y - 0.3, 0.75, who.mouth_y + 0.5)
        self.place, self.shape = canvas.slices(part), part.shape
        self.opened = pose.mouth
        x, inner_up, inner_low, outer_up, outer_low = _lips(who, pose)
        up, low, top, bottom = (
            path(x, inner_up),
            path(x, inner_low),
            path(1.02 * x, outer_up),
            path(1.02 * x, outer_low),
        )
        lip = np.array(who.lips)
        shine = low[:, 9:-9] * 0.55 + bottom[:, 9:-9] * 0.45
        self.lips = [
            (part.fixed(_around(top, up)), tuple(0.82 * lip)),
            (part.fixed(_around(low, bottom)), who.lips),
        ]
        self.shine = (part.fixed(shine), tuple(np.minimum(255, 1.14 * lip + 8)), part.thickness(0.022))
        self.seam = (part.fixed(up), tuple(0.36 * lip), part.thickness(0.016))
        across = np.array([[0.012, 0], [-0.03, 0]])
        dimples = [up[:, end, None] + side * across for end, side in ((0, -1), (-1, 1))]
        self.dimples = (
            part.fixed(np.stack(dimples, axis=1)),
            tuple(0.4 * channel for channel in who.skin),
            part.thickness(0.02),
        )
        self.between = part.fixed(_around(up, low))
        self._inside(part, x, inner_up, inner_low)

    def _inside(self, part: Canvas, x: Floats, inner_up: Floats, inner_low: Floats) -> None:
        opened = self.opened[:, None]
        tongue = path(0.55 * x, inner_low + 0.02 - 0.45 * (opened - 0.06) * _VAULT)
        self.tongue = part.fixed(_around(tongue, path(x, inner_low + 0.02)))
        edge = inner_up + np.minimum(0.085, 0.7 * opened) * np.clip(1.4 * _VAULT, 0, 1)
        self.teeth = part.fixed(_around(path(x, inner_up - 0.03), path(x, edge)))
        gaps = np.broadcast_to(np.linspace(-0.5, 0.5, 8) * 0.62, (len(x), 8))
        ends = _between(gaps / x[:, -1:], edge) - 0.012
        self.gaps = part.fixed(
            np.stack([path(gaps, inner_up.min(axis=1, keepdims=True) - 0.05), path(gaps, ends)], 2)
        )
        self.gap = part.thickness(0.004)

    def draw(self, image: Image, k: int) -> None:
        """Draw the mouth of frame `k` onto the head's patch."""
        view = image[self.place]
        for outline, colour in self.lips:
            fill(view, outline[k], colour)
        stroke(view, self.shine[0][k], *self.shine[1:])
        if self.opened[k] > 0.012:
            mask = np.zeros(self.shape, np.uint8)
            fill(mask, self.between[k], 255)
            blend(view, mask, self._draw_inside(k))
        stroke(view, self.seam[0][k], *self.seam[1:])
        stroke(view, list(self.dimples[0][k]), *self.dimples[1:])
        cv2.GaussianBlur(view, (3, 3), 0, dst=view, hint=cv2.ALGO_HINT_ACCURATE)

    def _draw_inside(self, k: int) -> Image:
        inside = np.empty((*self.shape, 3), np.uint8)
        cv2.rectangle(inside, (0, 0), self.shape[::-1], DARK, cv2.FILLED)
        if self.opened[k] > 0.1:
            fill(inside, self.tongue[k], TONGUE)
        fill(inside, self.teeth[k], TEETH)
        stroke(inside, list(self.gaps[k]), BETWEEN, self.gap)
        return inside


def _around(first: Points, second: Points) -> Points:
    """Return the outline between two lines, each (frames, points, 2)."""
    return np.concatenate([first, second[:, ::-1]], axis=1)


def _between(at: Floats, values: Floats) -> Floats:
    """Return values on a grid over -1..1 at other places, for each frame."""
    scaled = (np.clip(at, -1, 1) + 1) * ((values.shape[1] - 1) / 2)
    low = np.minimum(scaled.astype(np.int64), values.shape[1] - 2)
    first, second = (np.take_along_axis(values, low + shift, axis=1) for shift in (0, 1))
    return first + (second - first) * (scaled - low)


def _lips(who: Subject, pose: Pose) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Return x, and the inner and outer edges of upper and lower lip, each (frames, points)."""
    units = {name: values[:, None] for name, values in pose.units.items()}
    opened, rounding = pose.mouth[:, None], pose.rounding[:, None]
    spread = 1 + 0.16 * units["AU12"] + 0.13 * units["AU20"] - 0.28 * rounding - 0.25 * opened
    wide = who.mouth_width * np.maximum(0.5, spread)
    pull = (0.08 * units["AU15"] - 0.085 * units["AU12"]) / 0.12
    corner = 0.12 * (1 - 2 / (exact.exp(2 * pull) + 1))
    aside = np.abs(_S)
    bend = corner * (exact.power(aside, 1.7) - 0.35)
    off = aside - 0.45
    raised = exact.exp(-(off * off) / 0.06)
    inner_up = who.mouth_y + bend - 0.3 * opened * exact.power(_VAULT, 0.8) - 0.03 * units["AU10"] * raised
    chin = 0.02 * np.maximum(0.0, units["AU17"]) * _VAULT
    inner_low = who.mouth_y + bend + 0.7 * opened * exact.power(_VAULT, 0.7) - chin
    tight = 0.45 * np.maximum(0.0, units["AU23"]) + 0.2 * units["AU12"] + 0.3 * pose.lip_press[:, None]
    thin = np.maximum(0.35, 1 - tight)
    middle = _S / 0.13
    bow = exact.power(_VAULT, 0.75) * (1 - 0.3 * exact.exp(-(middle * middle)))
    pout = np.maximum(0.0, rounding)
    outer_up = inner_up - who.lip_upper * thin * bow * (1 + 0.4 * pout)
    outer_low = inner_low + who.lip_lower * thin * exact.power(_VAULT, 0.65) * (1 + 0.3 * pout)
    return wide * _S, inner_up, inner_low, outer_up, outer_low
