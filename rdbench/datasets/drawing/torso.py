"""Neck, shoulders and what is worn."""

from __future__ import annotations

import cv2
import numpy as np

from rdbench.datasets.drawing import exact
from rdbench.datasets.drawing.canvas import (
    Canvas,
    Floats,
    Image,
    Points,
    add_bump,
    blend,
    faded,
    fill,
    path,
    shaded,
    smoothstep,
)
from rdbench.datasets.drawing.draws import texture, uniform
from rdbench.datasets.drawing.subject import Subject

__all__ = ["torso"]


def torso(who: Subject, canvas: Canvas, rng: np.random.Generator) -> Image:
    """Return neck and shoulders on a patch in the head's coordinates: four channels, premultiplied opacity last."""
    x, y = canvas.axes()
    slope, broad = uniform(rng, 0.2, 0.34), uniform(rng, 2.1, 2.6)
    neck = 0.5 + 0.14 * (who.jaw_width - 0.66) / 0.18
    worn = np.zeros(canvas.shape, np.uint8)
    fill(worn, canvas.fixed(_shoulders(neck, broad, slope)), 255)
    bare = np.zeros(canvas.shape, np.uint8)
    for outline in _bare(neck, uniform(rng, 1.66, 2.0)):
        fill(bare, canvas.fixed(outline), 255)
    rim = cv2.GaussianBlur(bare, (0, 0), 0.05 * canvas.unit, hint=cv2.ALGO_HINT_ACCURATE) / 255
    cloth = shaded(who.cloth, _cloth(who, canvas, broad, rng) * (1 - 0.35 * rim))
    flesh = shaded(who.skin, 0.92 * _neck(who, canvas, x, y, neck, rng))
    blend(cloth, cv2.GaussianBlur(bare, (3, 3), 0, hint=cv2.ALGO_HINT_ACCURATE), flesh)
    opaque = cv2.max(worn, bare)
    return np.dstack([faded(cloth, cv2.cvtColor(opaque, cv2.COLOR_GRAY2BGR)), opaque])


def _shoulders(neck: float, broad: float, slope: float) -> Points:
    """Return the outline of what is worn."""
    t = np.linspace(0, 1, 20)[:, None]
    s = 1 - t
    edge = s * s * np.array([neck, 1.4]) + 2 * t * s * np.array([broad * 0.42, 1.68 + 0.3 * slope])
    edge = edge + t * t * np.array([broad, 1.78 + 1.2 * slope])
    arm = [
        (broad + 0.07, 1.83 + 1.27 * slope),
        (broad + 0.12, 1.92 + 1.34 * slope),
        (broad + 0.17, 2.1 + 1.5 * slope),
        (broad + 0.33, 4.0),
    ]
    right = np.concatenate([edge, arm])
    return np.concatenate([right, (right * (-1, 1))[::-1]])


def _bare(neck: float, depth: float) -> tuple[Points, Points]:
    """Return the outlines of the neck and of the neckline's opening."""
    right = [(neck * 0.6, 0.6), (neck * 0.95, 0.98), (neck * 0.93, 1.25), (neck + 0.03, 1.56)]
    column = np.array([*right, *((-x, y) for x, y in right[::-1])])
    around = np.linspace(0, np.pi, 24)
    low = exact.power(np.clip(exact.sine(around), 0, 1), 0.8)
    return column, path((neck + 0.02) * exact.cosine(around), 1.5 + (depth - 1.5) * low)


def _cloth(who: Subject, canvas: Canvas, broad: float, rng: np.random.Generator) -> Floats:
    """Return the brightness of the cloth."""
    x, y = canvas.axes()
    waves = 1 + 0.07 * texture(rng, (9, 14), canvas.shape)
    across = (1 - 0.16 * np.abs(x) / broad) * (1 + 0.13 * np.sign(who.light_x) * np.clip(x, -2, 2) / 2)
    return waves * across * _weave(who, canvas, x, y, rng)


def _neck(
    who: Subject, canvas: Canvas, x: Floats, y: Floats, neck: float, rng: np.random.Generator
) -> Floats:
    """Return the brightness of the neck, in the shadow of the chin."""
    side = float(np.sign(who.light_x))
    edge = np.clip(np.abs(x) / neck, 0, 1.2)
    tone = (1 - 0.32 * edge * edge + 0.15 * side * x) * (
        1 - 0.42 * smoothstep(1.75, 1.2, y + 0.15 * side * x)
    )
    cords = np.ones(canvas.shape)
    for sign in (-1, 1):
        add_bump(cords, x, y, -0.06, (sign * 0.22, 1.6), (0.03, 0.35))
        add_bump(cords, x, y, -0.1, (sign * 0.16, 1.78), (0.12, 0.025))
    return tone * cords * (1 + 0.015 * texture(rng, (60, 80), canvas.shape))


def _weave(who: Subject, canvas: Canvas, x: Floats, y: Floats, rng: np.random.Generator) -> Floats:
    """Return the pattern of the cloth."""
    grain = 1 + 0.025 * texture(rng, (160, 320), canvas.shape)
    if who.cloth_style == "stripes":
        stripes = exact.sine((y + 0.12 * np.abs(x)) * uniform(rng, 24, 40))
        return grain * (1 - 0.28 * smoothstep(0.1, 0.3, stripes))
    if who.cloth_style == "check":
        pitch = uniform(rng, 14, 24)
        lines = smoothstep(0.2, 0.4, exact.sine(x * pitch)) + smoothstep(0.2, 0.4, exact.sine(y * pitch))
        return grain * (1 - 0.14 * lines)
    if who.cloth_style == "knit":
        return grain * (1 + 0.09 * exact.sine(x * 52 + 2 * np.abs(exact.sine(y * 26))))
    return grain
