"""The skin: its relief under a light, and its texture."""

from __future__ import annotations

import math

import numpy as np

from rdbench.datasets.drawing import exact
from rdbench.datasets.drawing.canvas import Canvas, Floats, Points, add_bump, bump, smoothstep
from rdbench.datasets.drawing.draws import texture, uniform
from rdbench.datasets.drawing.subject import Subject

__all__ = ["FACE", "LIGHT_REACH", "face_outline", "light", "relief", "skin"]

FACE = (-1.06, -1.46, 1.06, 1.4)
"""Left, top, right and bottom of a window that holds all skin of a face."""
LIGHT_SOFTNESS = 0.02
"""A relief is softened this much before it is lit, in half face widths."""
LIGHT_REACH = 5 * LIGHT_SOFTNESS
"""No further away does a change of a relief change how it is lit."""


def face_outline(who: Subject) -> Points:
    """Return the outline of the face, without hair and ears, as (n, 2) points."""
    right = [
        (0.0, -1.38), (0.52, -1.26), (0.84, -0.88), (0.97, -0.4), (0.985, 0.0), (0.95, 0.38),
        (who.jaw_width + 0.05, 0.76), (who.jaw_width * 0.7, 1.06), (0.28, who.chin - 0.02), (0.0, who.chin + 0.02),
    ]  # fmt: skip
    left = [(-x, y) for x, y in right[-2:0:-1]]
    corners = np.array([*right, *left, right[0]])
    steps = np.diff(corners, axis=0)
    lengths = np.sqrt(steps[:, 0] * steps[:, 0] + steps[:, 1] * steps[:, 1])
    along = np.concatenate(([0], np.cumsum(lengths)))
    return exact.periodic_spline(along, corners, np.linspace(0, along[-1], 160, endpoint=False))


def relief(who: Subject, x: Floats, y: Floats) -> Floats:
    """Return the height of the face towards the camera over (1, columns) of x and (rows, 1) of y."""
    outline = face_outline(who)
    half = outline[np.argsort(outline[:, 1], kind="stable")]
    half = half[half[:, 0] >= 0]
    width = exact.interpolate(y, half[:, 1], half[:, 0])
    across = np.clip(np.abs(x) / (np.maximum(width, 0.4) * 1.04), 0, 1)
    # The power of 2.25 takes square roots alone.
    dome = np.sqrt(1 - across * across * np.sqrt(np.sqrt(across)))
    far = np.abs(y + 0.05) / 1.9
    z = 0.85 * dome * np.clip(1 - far * far * far, 0.2, 1)
    down = np.clip((y + 0.25) / (0.25 + who.nose_length), 0, 1.4)
    ridge = x / (0.1 + 0.07 * down)
    z += _hill(ridge * ridge) * (0.15 * np.clip(down, 0, 1) * smoothstep(1.22, 0.8, down))
    tip = who.nose_length - 0.05
    mouth, chin = who.mouth_y, who.chin
    middle = [
        (0.1, tip, 0.13, 0.12),
        (0.08, mouth, 0.4, 0.24),
        (-0.02, mouth - 0.18, 0.05, 0.08),
        (-0.055, mouth + 0.21, 0.2, 0.055),
        (0.1, chin - 0.17, 0.22, 0.13),
    ]
    for amount, cy, wide, high in middle:
        add_bump(z, x, y, amount, (0, cy), (wide, high))
    both = [
        (0.06, who.nose_width * 0.78, tip + 0.05, 0.08, 0.075),
        (-0.11, who.eye_distance, who.eye_y - 0.02, 0.26, 0.15),
        (0.05, who.eye_distance, who.eye_y + 0.01, 0.17, 0.09),
        (0.05, 0.4, who.brow_y + 0.02, 0.34, 0.09),
        (0.09, 0.6, 0.3, 0.24, 0.2),
        (-0.05, 0.66, 0.66, 0.16, 0.2),
    ]
    for amount, cx, cy, wide, high in both:
        for side in (-1, 1):
            add_bump(z, x, y, amount, (side * cx, cy), (wide, high))
    return z


def _hill(square: Floats) -> Floats:
    """Return about exp(-square), in four products."""
    value = np.maximum(0, 1 - square / 16)
    for _ in range(4):
        value = value * value
    return value


def light(who: Subject, z: Floats, unit: float) -> Floats:
    """Return the brightness of a relief under the subject's light: wrapped Lambert, a fill, a little gloss."""
    slope_y, slope_x = np.gradient(exact.blurred(z, LIGHT_SOFTNESS * unit), 1 / unit)
    norm = np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
    towards = _unit_vector(who.light_x, who.light_y, 0.9)
    half = _unit_vector(towards[0], towards[1], towards[2] + 1)
    facing = (-slope_x * towards[0] - slope_y * towards[1] + towards[2]) / norm
    gloss = np.clip((-slope_x * half[0] - slope_y * half[1] + half[2]) / norm, 0, 1)
    gloss = gloss * gloss
    fourth = gloss * gloss
    sixteenth = fourth * fourth * fourth * fourth
    gloss = sixteenth * fourth * gloss
    diffuse = np.clip((facing + 0.35) / 1.35, 0, 1)
    return (1 - who.contrast) * (0.55 + 0.45 / norm) + who.contrast * 1.25 * diffuse + 0.1 * gloss


def _unit_vector(x: float, y: float, z: float) -> tuple[float, float, float]:
    length = math.sqrt(x * x + y * y + z * z)
    return x / length, y / length, z / length


def skin(who: Subject, canvas: Canvas, lit: Floats, rng: np.random.Generator) -> list[Floats]:
    """Return the textured skin of a resting face: blue, green and red, each (rows, columns) float64 in 0..255.

    Parameters
    ----------
    lit : (rows, columns) float64
        The brightness of the relief, as `light` returns it.
    """
    x, y = canvas.axes()
    shape = canvas.shape
    blotches = texture(rng, (29, 22), shape) * 0.018 + texture(rng, (10, 8), shape) * 0.02
    pores = texture(rng, (380, 280), shape)
    pores = pores - exact.blurred(pores, 0.02 * canvas.unit)
    tone = 1 + blotches + (0.012 + 0.012 * who.age) * pores
    darker = np.ones(shape)
    for _ in range(int(rng.integers(3, 12))):
        at = uniform(rng, -0.8, 0.8), uniform(rng, -0.5, 1.1)
        size = uniform(rng, 0.008, 0.02)
        add_bump(darker, x, y, -uniform(rng, 0.08, 0.3), at, (size, size))
    blush = np.zeros(shape)
    for side in (-1, 1):
        eye = side * who.eye_distance
        add_bump(blush, x, y, 1, (side * 0.58, 0.34), (0.28, 0.2))
        add_bump(darker, x, y, -(0.04 + 0.08 * who.age), (eye * 0.95, who.eye_y + 0.15), (0.2, 0.05))
        add_bump(darker, x, y, -0.07, (eye, who.eye_y - 0.06), (0.27, 0.11))
    add_bump(blush, x, y, 0.8, (0, who.nose_length - 0.03), (0.14, 0.12))
    brightness = lit * tone * np.maximum(darker, 0.2)
    dark = _nostrils(who, x, y)
    planes = []
    for channel, flush, depth in zip(who.skin, (0.07, 0.06, -0.02), (1.0, 0.98, 0.85), strict=True):
        planes.append(brightness * channel * (1 - blush * flush) * (1 - dark * depth))
    if who.beard:
        amount = _beard(who, x, y, texture(rng, (290, 78), shape))
        planes = [p + (1.15 * h - p) * amount for p, h in zip(planes, who.hair, strict=True)]
    return [np.clip(plane, 0, 255) for plane in planes]


def _nostrils(who: Subject, x: Floats, y: Floats) -> Floats:
    """Return how much the nostrils and the edges of the nose take away, 0..0.85."""
    below = who.nose_length + 0.04
    dark = np.zeros((len(y), x.shape[1]))
    for side in (-1, 1):
        add_bump(dark, x, y, 0.62, (side * who.nose_width * 0.42, below), (0.05, 0.024))
        add_bump(dark, x, y, 0.2, (side * who.nose_width * 1.08, below - 0.05), (0.022, 0.05))
    add_bump(dark, x, y, 0.16, (0, below + 0.03), (0.15, 0.03))
    return np.clip(dark, 0, 0.85)


def _beard(who: Subject, x: Floats, y: Floats, grain: Floats) -> Floats:
    """Return how much of the skin the beard covers, 0..1."""
    aside = np.abs(x)
    where = smoothstep(0.42, 0.72, y + 0.35 * aside - 0.12) * smoothstep(0.3, 0.62, aside + 0.5 * (y - 0.55))
    where = where + bump(x, y, 0, who.mouth_y - 0.17, 0.36, 0.075) + bump(x, y, 0, who.chin - 0.08, 0.42, 0.2)
    where = np.clip(where, 0, 1) * (1 - bump(x, y, 0, who.mouth_y + 0.02, 0.3, 0.1))
    return who.beard * where * np.clip(0.75 + 0.22 * grain, 0, 1)
