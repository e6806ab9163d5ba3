"""Hair: a cap of strands in several styles, drawn once for each recording."""

from __future__ import annotations

import numpy as np

from rdbench.datasets.drawing import exact
from rdbench.datasets.drawing.canvas import Canvas, Floats, Image, Points, fill, path, stroke
from rdbench.datasets.drawing.draws import normal, uniform
from rdbench.datasets.drawing.subject import Subject

__all__ = ["draw_back_hair", "draw_front_hair"]

ENDS = {"long": 1.85, "bob": 1.0, "curly": 0.55}
"""How far down hanging hair reaches."""
HEIGHT = {"buzz": 0.05, "short": 0.16, "parted": 0.18, "long": 0.14, "bob": 0.16, "curly": 0.26}
"""How far hair stands above the skull."""
WIDEST = 1.95
"""The cap reaches this angle to either side of the top, in radians."""

SHADES = 24
"""Steps of brightness of a strand, from 0 to 1."""
BUNCH = 120
"""Strands drawn together, those of one brightness and width at once."""


def draw_back_hair(image: Image, who: Subject, canvas: Canvas, rng: np.random.Generator) -> None:
    """Draw what hangs behind the face; `image` has four channels, the last is opacity."""
    if who.hair_style not in ENDS:
        return
    end = ENDS[who.hair_style] * uniform(rng, 0.9, 1.05)
    swing, volume = uniform(rng, -0.06, 0.08), uniform(rng, 1.1, 1.25)
    for side in (-1, 1):
        for count, tone, width in ((260, 0.5, 0.02), (480, 1.0, 0.012)):
            x, y, brightness = _hanging(rng, count, end, volume - 1.1 + swing)
            _draw_strands(image, who, canvas, path(side * x, y), tone * brightness, np.full(count, width))
    if who.hair_style == "curly":
        count = 420
        x = rng.choice((-1, 1), count) * uniform(rng, 0.88, 1.22, count)
        _draw_curls(image, who, canvas, path(x, uniform(rng, -0.8, end, count)), rng)


def _hanging(
    rng: np.random.Generator, count: int, end: float, sideways: float
) -> tuple[Floats, Floats, Floats]:
    """Return x and y of strands on the right, each (count, points), and their brightness."""
    run = np.linspace(0, 1, 12)
    spread = uniform(rng, 0, 1, (count, 1))
    shorter = uniform(rng, 0, 1, (count, 1))
    root = -1.2 + 0.4 * (1 - spread)
    y = root + (end - 0.4 * (shorter * shorter) - 0.2 * (1 - spread) - root) * run
    above = np.clip(y, -1.4, 0) / 1.42
    down = np.clip(y, 0, None) / end
    x = (0.72 + 0.38 * spread) * np.sqrt(1 - above * above)
    x = x + sideways * down * spread - 0.1 * down * down * down
    wave = exact.sine(run * uniform(rng, 5, 9, (count, 1)) + uniform(rng, 0, 6, (count, 1)))
    brightness = uniform(rng, 0.55, 1.0, count) * (0.75 + 0.35 * spread[:, 0])
    return x + 0.02 * wave * run, y, brightness


def draw_front_hair(image: Image, who: Subject, canvas: Canvas, rng: np.random.Generator) -> None:
    """Draw the cap on top of the head, down to the hairline."""
    cap = _Cap(who, rng)
    fill(image, canvas.fixed(np.concatenate([cap.inner, cap.outer[::-1]])), _shade(who, 0.55))
    count = {"buzz": 2600, "curly": 700}.get(who.hair_style, 2400)
    start = uniform(rng, -WIDEST, WIDEST, count)
    lit = (start - 0.9 * who.light_x) / 0.45
    sheen = 0.4 * exact.exp(-(lit * lit)) * uniform(rng, 0, 1, count)
    layer = np.minimum(1.0, 0.5 + np.arange(count) / 1600)
    brightness = layer * uniform(rng, 0.6, 1.05, count) + sheen
    strands = _cap_strands(who, rng, start, cap)
    _draw_strands(image, who, canvas, strands, brightness, uniform(rng, 0.004, 0.014, count))
    if who.hair_style == "curly":
        centres = cap.at(uniform(rng, -1.6, 1.6, 700), uniform(rng, 0.0, 1.0, 700))
        _draw_curls(image, who, canvas, centres, rng)


class _Cap:
    """What lies between the hairline and the outline of the hair, by angles from the top of the head."""

    def __init__(self, who: Subject, rng: np.random.Generator) -> None:
        line = uniform(rng, -0.98, -0.86)
        self.part = uniform(rng, 0.15, 0.5) * int(rng.choice((-1, 1)))
        lowest = 0.45 if who.hair_style in ENDS else uniform(rng, -0.15, 0.1)
        self.angle = angle = np.linspace(-WIDEST, WIDEST, 81)
        side = np.clip((np.abs(angle) - 1.25) / (WIDEST - 1.25), 0, 1)
        inner_x = exact.sine(np.clip(angle, -1.4, 1.4)) * (0.93 - 0.06 * exact.sine(np.pi * side))
        inner_y = line * exact.power(np.clip(exact.cosine(angle * 0.98), 0, 1), 0.55) + lowest * side
        if who.hair_style in ("parted", "bob"):
            swept, parted = (angle + 1.5 * self.part) / 0.6, (angle - self.part) / 0.2
            inner_y = inner_y + 0.14 * exact.exp(-(swept * swept)) - 0.05 * exact.exp(-(parted * parted))
        inner_y = inner_y + 0.012 * exact.interpolate(angle, np.linspace(-2, 2, 40), normal(rng, 0, 1, 40))
        height = HEIGHT[who.hair_style]
        outer_x = (1.02 + height * 0.55) * exact.sine(np.clip(angle, -1.57, 1.57)) * (1 - 0.05 * side * side)
        top = (1.29 + height) * np.clip(exact.cosine(angle), 0, 1)
        outer_y = -0.1 - top + (lowest + 0.1) * exact.power(side, 1.5)
        if who.hair_style not in ENDS:
            taper = np.clip((side - 0.35) / 0.65, 0, 1)
            outer_x = outer_x + (np.abs(inner_x) * np.sign(outer_x) - outer_x) * 0.9 * taper
        curly = who.hair_style == "curly"
        ripple = 0.03 * exact.sine(angle * 13) if curly else 0.01 * exact.sine(angle * 5 + 9 * self.part)
        scale = 1 + ripple * (1 - side)
        self.inner, self.outer = path(inner_x, inner_y), path(outer_x * scale, outer_y * scale)

    def at(self, angle: Floats, depth: Floats) -> Points:
        """Return points between hairline (depth 0) and outline (depth 1)."""
        low, high = (
            path(*(exact.interpolate(angle, self.angle, edge[:, axis]) for axis in (0, 1)))
            for edge in (self.inner, self.outer)
        )
        return low + (high - low) * depth[..., None]


def _cap_strands(who: Subject, rng: np.random.Generator, start: Floats, cap: _Cap) -> Points:
    """Return strands of the cap from their first angles, as (strands, points, 2)."""
    run, shape = np.linspace(0, 1, 9), (len(start), 1)
    start = start[:, None]
    if who.hair_style == "buzz":
        depth = uniform(rng, -0.05, 1.0, shape) + 0.05 * run
        sweep = start + normal(rng, 0, 0.02, shape) * run
    elif who.hair_style == "short":
        depth = uniform(rng, 0.1, 1.0, shape) - uniform(rng, 0.05, 0.35, shape) * run
        sweep = start + (0.16 * np.sign(cap.part) + normal(rng, 0, 0.05, shape)) * run
    else:
        away = np.where(start > cap.part, 1.0, -1.0)
        depth = uniform(rng, 0.3, 1.02, shape) - uniform(rng, 0.1, 0.6, shape) * exact.power(run, 1.6)
        room = np.clip((WIDEST - np.abs(start)) / 1.4, 0.05, 1)
        sweep = start + away * uniform(rng, 0.2, 0.8, shape) * run * room
    return cap.at(np.clip(sweep, -WIDEST, WIDEST), np.clip(depth, -0.06, 1.04))


def _draw_curls(
    image: Image, who: Subject, canvas: Canvas, centres: Points, rng: np.random.Generator
) -> None:
    count = len(centres)
    turn = np.linspace(0, 2 * np.pi, 14) * uniform(rng, 0.5, 1, (count, 1))
    turn = turn + uniform(rng, 0, 2 * np.pi, (count, 1))
    radius = uniform(rng, 0.03, 0.08, (count, 1))
    curls = centres[:, None, :] + path(radius * exact.cosine(turn), radius * exact.sine(turn))
    brightness = uniform(rng, 0.5, 1.25, count)
    _draw_strands(image, who, canvas, curls, brightness, uniform(rng, 0.006, 0.018, count))


def _draw_strands(
    image: Image, who: Subject, canvas: Canvas, strands: Points, brightness: Floats, widths: Floats
) -> None:
    """Draw (strands, points, 2) in their order, but for those that are near each other in it."""
    fixed = canvas.fixed(strands)
    shades = np.rint(brightness * SHADES).astype(np.int64)
    thickness = np.maximum(1, np.rint(widths * canvas.unit)).astype(np.int64)
    kinds = shades * 64 + thickness
    for first in range(0, len(fixed), BUNCH):
        bunch = kinds[first : first + BUNCH]
        for kind in np.unique(bunch).tolist():
            chosen = list(fixed[first : first + BUNCH][bunch == kind])
            stroke(image, chosen, _shade(who, (kind // 64) / SHADES), kind % 64)


def _shade(who: Subject, factor: float) -> tuple[float, float, float, float]:
    blue, green, red = (min(255.0, channel * factor + 10 * max(0.0, factor - 0.7)) for channel in who.hair)
    return (blue, green, red, 255.0)
