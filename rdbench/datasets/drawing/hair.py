"""Hair: a cap of strands in several styles, drawn once for each recording."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from rdbench.datasets.drawing.canvas import SHIFT, Canvas, Points, fill
from rdbench.datasets.drawing.subject import Subject

__all__ = ["draw_back_hair", "draw_front_hair"]

Image = NDArray[np.uint8]

ENDS = {"long": 1.85, "bob": 1.0, "curly": 0.55}
"""How far down hanging hair reaches."""
HEIGHT = {"buzz": 0.05, "short": 0.16, "parted": 0.18, "long": 0.14, "bob": 0.16, "curly": 0.26}
"""How far hair stands above the skull."""
WIDEST = 1.95
"""The cap reaches this angle to either side of the top, in radians."""


def draw_back_hair(image: Image, who: Subject, canvas: Canvas, rng: np.random.Generator) -> None:
    """Draw what hangs behind the face; `image` has four channels, the last is opacity."""
    if who.hair_style not in ENDS:
        return
    end = ENDS[who.hair_style] * rng.uniform(0.9, 1.05)
    swing, volume = rng.uniform(-0.06, 0.08), rng.uniform(1.1, 1.25)
    run = np.linspace(0, 1, 16)
    for side in (-1, 1):
        for layer, tone in ((0, 0.5), (1, 1.0)):
            for _ in range(700):
                spread = rng.uniform(0, 1)
                length = end - 0.4 * rng.uniform(0, 1) ** 2 - 0.2 * (1 - spread)
                y = -1.2 + 0.4 * (1 - spread) + (length + 1.2 - 0.4 * (1 - spread)) * run
                skull = np.sqrt(1 - (np.clip(y, -1.4, 0) / 1.42) ** 2)
                down = np.clip(y, 0, None) / end
                x = (0.72 + 0.38 * spread) * skull + (volume - 1.1 + swing) * down * spread - 0.1 * down**3
                x = x + 0.02 * np.sin(run * rng.uniform(5, 9) + rng.uniform(0, 6)) * run
                shade = _shade(who, tone * rng.uniform(0.55, 1.0) * (0.75 + 0.35 * spread))
                _strand(image, canvas, np.stack([side * x, y], axis=1), shade, 0.012 if layer else 0.02)
    if who.hair_style == "curly":
        for _ in range(420):
            at = (rng.choice((-1, 1)) * rng.uniform(0.88, 1.22), rng.uniform(-0.8, end))
            _curl(image, who, canvas, rng, at)


def draw_front_hair(image: Image, who: Subject, canvas: Canvas, rng: np.random.Generator) -> None:
    """Draw the cap on top of the head, down to the hairline."""
    angle, inner, outer, part = _cap(who, rng)
    fill(image, canvas, np.concatenate([inner, outer[::-1]]), _shade(who, 0.55))
    for k in range({"buzz": 2600, "curly": 700}.get(who.hair_style, 2400)):
        start = rng.uniform(-WIDEST, WIDEST)
        points = _cap_strand(who, rng, start, angle, inner, outer, part)
        sheen = 0.4 * np.exp(-(((start - 0.9 * who.light_x) / 0.45) ** 2)) * rng.uniform(0, 1)
        layer = min(1.0, 0.5 + k / 1600)
        _strand(
            image,
            canvas,
            points,
            _shade(who, layer * rng.uniform(0.6, 1.05) + sheen),
            rng.uniform(0.004, 0.014),
        )
    if who.hair_style == "curly":
        for _ in range(700):
            at, depth = rng.uniform(-1.6, 1.6), rng.uniform(0.0, 1.0)
            _curl(
                image, who, canvas, rng, _between(angle, inner, outer, np.array([at]), np.array([depth]))[0]
            )


def _cap(who: Subject, rng: np.random.Generator) -> tuple[Points, Points, Points, float]:
    """Return the angles from the top of the head, hairline and outline at these angles, and the parting."""
    line = rng.uniform(-0.98, -0.86)
    part = float(rng.uniform(0.15, 0.5) * rng.choice((-1, 1)))
    lowest = 0.45 if who.hair_style in ENDS else rng.uniform(-0.15, 0.1)
    angle = np.linspace(-WIDEST, WIDEST, 81)
    side = np.clip((np.abs(angle) - 1.25) / (WIDEST - 1.25), 0, 1)
    inner_x = np.sin(np.clip(angle, -1.4, 1.4)) * (0.93 - 0.06 * np.sin(np.pi * side))
    inner_y = line * np.clip(np.cos(angle * 0.98), 0, 1) ** 0.55 + lowest * side
    if who.hair_style in ("parted", "bob"):
        inner_y = (
            inner_y
            + 0.14 * np.exp(-(((angle + 1.5 * part) / 0.6) ** 2))
            - 0.05 * np.exp(-(((angle - part) / 0.2) ** 2))
        )
    inner_y = inner_y + 0.012 * np.interp(angle, np.linspace(-2, 2, 40), rng.standard_normal(40))
    height = HEIGHT[who.hair_style]
    wide = 1.02 + height * 0.55
    outer_x = wide * np.sin(np.clip(angle, -1.57, 1.57)) * (1 - 0.05 * side**2)
    outer_y = -0.1 - (1.29 + height) * np.clip(np.cos(angle), 0, 1) + (lowest + 0.1) * side**1.5
    if who.hair_style not in ENDS:
        taper = np.clip((side - 0.35) / 0.65, 0, 1)
        outer_x = outer_x + (np.abs(inner_x) * np.sign(outer_x) - outer_x) * 0.9 * taper
    ripple = 0.03 * np.sin(angle * 13) if who.hair_style == "curly" else 0.01 * np.sin(angle * 5 + 9 * part)
    scale = 1 + ripple * (1 - side)
    return angle, np.stack([inner_x, inner_y], 1), np.stack([outer_x * scale, outer_y * scale], 1), part


def _cap_strand(
    who: Subject, rng: np.random.Generator, start: float,
    angle: Points, inner: Points, outer: Points, part: float,
) -> Points:  # fmt: skip
    run = np.linspace(0, 1, 9)
    if who.hair_style == "buzz":
        depth = rng.uniform(-0.05, 1.0) + 0.05 * run
        sweep = start + rng.normal(0, 0.02) * run
    elif who.hair_style == "short":
        depth = rng.uniform(0.1, 1.0) - rng.uniform(0.05, 0.35) * run
        sweep = start + (0.16 * np.sign(part) + rng.normal(0, 0.05)) * run
    else:
        away = 1.0 if start > part else -1.0
        depth = rng.uniform(0.3, 1.02) - rng.uniform(0.1, 0.6) * run**1.6
        sweep = start + away * rng.uniform(0.2, 0.8) * run * np.clip((WIDEST - abs(start)) / 1.4, 0.05, 1)
    return _between(angle, inner, outer, np.clip(sweep, -WIDEST, WIDEST), np.clip(depth, -0.06, 1.04))


def _between(angle: Points, inner: Points, outer: Points, at: Points, depth: Points) -> Points:
    """Return points between hairline (depth 0) and outline (depth 1) at the given angles."""
    low = np.stack([np.interp(at, angle, inner[:, axis]) for axis in (0, 1)], axis=1)
    high = np.stack([np.interp(at, angle, outer[:, axis]) for axis in (0, 1)], axis=1)
    return low + (high - low) * np.reshape(depth, (-1, 1))


def _curl(image: Image, who: Subject, canvas: Canvas, rng: np.random.Generator, centre: object) -> None:
    turn = np.linspace(0, 2 * np.pi, 14) * rng.uniform(0.5, 1) + rng.uniform(0, 2 * np.pi)
    points = np.array(centre) + rng.uniform(0.03, 0.08) * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    _strand(image, canvas, points, _shade(who, rng.uniform(0.5, 1.25)), rng.uniform(0.006, 0.018))


def _strand(image: Image, canvas: Canvas, points: Points, colour: tuple[float, ...], width: float) -> None:
    thickness = max(1, round(width * canvas.unit))
    cv2.polylines(image, [canvas.fixed(points)], False, colour, thickness, cv2.LINE_AA, SHIFT)


def _shade(who: Subject, factor: float) -> tuple[float, float, float, float]:
    blue, green, red = (min(255.0, channel * factor + 10 * max(0.0, factor - 0.7)) for channel in who.hair)
    return (blue, green, red, 255.0)
