"""The skin: its relief under a light, its texture, and how folds and bulges of the action units shade it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from rdbench.datasets.drawing.canvas import SHIFT, Canvas, Plane, Points, bump, resized_noise, smoothstep
from rdbench.datasets.drawing.subject import Subject

__all__ = ["Fold", "face_outline", "folds", "skin"]


@dataclass(frozen=True)
class Fold:
    """How one action unit changes the brightness of the skin, as a share of it.

    Parameters
    ----------
    unit : str
        The action unit that drives it.
    fine : bool
        Whether these are fine lines, or a broad bulge.
    place : tuple of slice
        Rows and columns of the head's patch.
    shade : (rows, columns) float32
        Relative change at activation 1.
    """

    unit: str
    fine: bool
    place: tuple[slice, slice]
    shade: Plane


def face_outline(who: Subject) -> Points:
    """Return the outline of the face, without hair and ears, as (n, 2) points."""
    right = [
        (0.0, -1.38), (0.52, -1.26), (0.84, -0.88), (0.97, -0.4), (0.985, 0.0), (0.95, 0.38),
        (who.jaw_width + 0.05, 0.76), (who.jaw_width * 0.7, 1.06), (0.28, who.chin - 0.02), (0.0, who.chin + 0.02),
    ]  # fmt: skip
    left = [(-x, y) for x, y in right[-2:0:-1]]
    corners = np.array([*right, *left, right[0]])
    along = np.concatenate(([0], np.cumsum(np.hypot(*np.diff(corners, axis=0).T))))
    return CubicSpline(along, corners, bc_type="periodic")(np.linspace(0, along[-1], 160))


def relief(who: Subject, x: Plane, y: Plane) -> Plane:
    """Return the height of the face towards the camera."""
    outline = face_outline(who)
    half = outline[np.argsort(outline[:, 1])]
    half = half[half[:, 0] >= 0]
    width = np.interp(y[:, 0], half[:, 1], half[:, 0])[:, None]
    across = np.clip(np.abs(x) / (np.maximum(width, 0.4) * 1.04), 0, 1)
    z = 0.85 * np.sqrt(1 - across**2.3) * np.clip(1 - (np.abs(y + 0.05) / 1.9) ** 3, 0.2, 1)
    down = np.clip((y + 0.25) / (0.25 + who.nose_length), 0, 1.4)
    bridge = np.exp(-((x / (0.1 + 0.07 * down)) ** 2)) * np.clip(down, 0, 1)
    z = z + 0.15 * bridge * smoothstep(1.22, 0.8, down)
    tip = who.nose_length - 0.05
    z = z + 0.1 * bump(x, y, 0, tip, 0.13, 0.12)
    for side in (-1, 1):
        z = z + 0.06 * bump(x, y, side * who.nose_width * 0.78, tip + 0.05, 0.08, 0.075)
        z = z - 0.11 * bump(x, y, side * who.eye_distance, who.eye_y - 0.02, 0.26, 0.15)
        z = z + 0.05 * bump(x, y, side * who.eye_distance, who.eye_y + 0.01, 0.17, 0.09)
        z = z + 0.05 * bump(x, y, side * 0.4, who.brow_y + 0.02, 0.34, 0.09)
        z = z + 0.09 * bump(x, y, side * 0.6, 0.3, 0.24, 0.2)
        z = z - 0.05 * bump(x, y, side * 0.66, 0.66, 0.16, 0.2)
    z = z + 0.08 * bump(x, y, 0, who.mouth_y, 0.4, 0.24)
    z = z - 0.02 * bump(x, y, 0, who.mouth_y - 0.18, 0.05, 0.08)
    z = z - 0.055 * bump(x, y, 0, who.mouth_y + 0.21, 0.2, 0.055)
    return z + 0.1 * bump(x, y, 0, who.chin - 0.17, 0.22, 0.13)


def light(who: Subject, z: Plane, unit: float) -> Plane:
    """Return the brightness of a relief under the subject's light: wrapped Lambert, a fill, a little gloss."""
    slope_y, slope_x = np.gradient(cv2.GaussianBlur(z.astype(np.float32), (0, 0), 0.02 * unit), 1 / unit)
    norm = np.sqrt(1 + slope_x**2 + slope_y**2)
    towards = np.array([who.light_x, who.light_y, 0.9])
    towards /= np.linalg.norm(towards)
    facing = (-slope_x * towards[0] - slope_y * towards[1] + towards[2]) / norm
    half = towards + np.array([0, 0, 1])
    half /= np.linalg.norm(half)
    gloss = np.clip((-slope_x * half[0] - slope_y * half[1] + half[2]) / norm, 0, 1) ** 22
    diffuse = np.clip((facing + 0.35) / 1.35, 0, 1)
    return ((1 - who.contrast) * (0.55 + 0.45 / norm) + who.contrast * 1.25 * diffuse + 0.1 * gloss).astype(
        np.float32
    )


def skin(who: Subject, canvas: Canvas, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the lit and textured skin of a resting face as (rows, columns, 3) float32 in 0..255."""
    x, y = canvas.grid()
    shape = canvas.shape
    brightness = light(who, relief(who, x, y), canvas.unit)
    blotches = resized_noise(rng, (40, 36), shape) * 0.018 + resized_noise(rng, (14, 12), shape) * 0.02
    pores = resized_noise(rng, (520, 466), shape)
    pores = pores - cv2.GaussianBlur(pores, (0, 0), 0.02 * canvas.unit)
    brightness = brightness * (1 + blotches + (0.012 + 0.012 * who.age) * pores)
    for _ in range(int(rng.integers(3, 12))):
        spot = rng.uniform((-0.8, -0.5), (0.8, 1.1))
        size = rng.uniform(0.008, 0.02)
        brightness = brightness * (
            1 - rng.uniform(0.08, 0.3) * bump(x, y, float(spot[0]), float(spot[1]), size, size)
        )
    blush = np.zeros(shape, np.float32)
    for side in (-1, 1):
        blush += bump(x, y, side * 0.58, 0.34, 0.28, 0.2)
        tired = bump(x, y, side * who.eye_distance * 0.95, who.eye_y + 0.15, 0.2, 0.05)
        brightness = brightness * (1 - (0.04 + 0.08 * who.age) * tired)
        socket = bump(x, y, side * who.eye_distance, who.eye_y - 0.06, 0.27, 0.11)
        brightness = brightness * (1 - 0.07 * socket)
    blush += 0.8 * bump(x, y, 0, who.nose_length - 0.03, 0.14, 0.12)
    colour = brightness[..., None] * np.array(who.skin, np.float32)
    colour = colour * (1 - blush[..., None] * np.array([0.07, 0.06, -0.02], np.float32))
    colour = _nostrils(who, colour, x, y)
    if who.beard:
        colour = _beard(who, colour, x, y, rng)
    return np.clip(colour, 0, 255).astype(np.float32)


def _nostrils(who: Subject, colour: Plane, x: Plane, y: Plane) -> Plane:
    below = who.nose_length + 0.04
    dark = np.zeros(x.shape, np.float32)
    for side in (-1, 1):
        dark += 0.62 * bump(x, y, side * who.nose_width * 0.42, below, 0.05, 0.024)
        dark += 0.2 * bump(x, y, side * who.nose_width * 1.08, below - 0.05, 0.022, 0.05)
    dark += 0.16 * bump(x, y, 0, below + 0.03, 0.15, 0.03)
    return colour * (1 - np.clip(dark, 0, 0.85)[..., None] * np.array([1.0, 0.98, 0.85], np.float32))


def _beard(who: Subject, colour: Plane, x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    jaw = smoothstep(0.42, 0.72, y + 0.35 * np.abs(x) - 0.12) * smoothstep(
        0.3, 0.62, np.abs(x) + 0.5 * (y - 0.55)
    )
    moustache = bump(x, y, 0, who.mouth_y - 0.17, 0.36, 0.075)
    chin = bump(x, y, 0, who.chin - 0.08, 0.42, 0.2)
    where = np.clip(jaw + moustache + chin, 0, 1) * (1 - bump(x, y, 0, who.mouth_y + 0.02, 0.3, 0.1))
    grain = resized_noise(rng, (400, 130), x.shape)
    amount = (who.beard * where * np.clip(0.75 + 0.22 * grain, 0, 1))[..., None]
    return colour * (1 - amount) + amount * np.array(who.hair, np.float32) * 1.15


def folds(who: Subject, canvas: Canvas, visible: Plane) -> list[Fold]:
    """Return what the action units do to the skin.

    Broad bulges are what the subject's light makes of a changed relief; fine lines are one or two pixels wide
    in a face of 150 pixels, dark with a lit edge.

    Parameters
    ----------
    visible : (rows, columns) float32
        1 where skin shows, 0 where hair covers it.
    """
    x, y = canvas.grid()
    rest = relief(who, x, y)
    lit = light(who, rest, canvas.unit)
    made = []
    for unit, change in _bulges(who, x, y).items():
        shade = light(who, rest + change, canvas.unit) / lit - 1
        made.append(_cropped(unit, False, shade * visible))
    for unit, lines in _lines(who).items():
        made.append(_cropped(unit, True, _groove(who, canvas, lines) * visible))
    return made


def _bulges(who: Subject, x: Plane, y: Plane) -> dict[str, Plane]:
    def both(cx: float, cy: float, wide: float, high: float) -> Plane:
        return bump(x, y, cx, cy, wide, high) + bump(x, y, -cx, cy, wide, high)

    return {
        "AU4": 0.03 * bump(x, y, 0, who.brow_y - 0.06, 0.16, 0.1) + 0.02 * both(0.2, who.brow_y, 0.12, 0.06),
        "AU6": 0.035 * both(0.52, 0.2, 0.2, 0.1) - 0.02 * both(0.46, who.eye_y + 0.16, 0.2, 0.04),
        "AU9": 0.02 * both(0.14, 0.12, 0.08, 0.12),
        "AU12": 0.035 * both(0.55, 0.38, 0.17, 0.15)
        - 0.03 * both(who.mouth_width * 1.35, who.mouth_y - 0.08, 0.05, 0.08),
        "AU15": -0.03 * both(who.mouth_width * 1.1, who.mouth_y + 0.14, 0.1, 0.08),
        "AU17": 0.03 * bump(x, y, 0, who.chin - 0.2, 0.16, 0.08),
        "AU20": -0.025 * both(who.mouth_width * 1.45, who.mouth_y + 0.02, 0.06, 0.12),
    }


def _mirrored(lines: list[tuple[Points, float]]) -> list[tuple[Points, float]]:
    return lines + [(line * (-1, 1), depth) for line, depth in lines]


def _curve(*corners: tuple[float, float]) -> Points:
    """Return a quadratic Bézier curve through the ends of three corners."""
    a, b, c = (np.array(corner) for corner in corners)
    t = np.linspace(0, 1, 17)[:, None]
    return (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c


def _lines(who: Subject) -> dict[str, list[tuple[Points, float]]]:
    """Return for each action unit its fine lines, with their relative depths."""
    corner = who.eye_distance + who.eye_width
    eye, brow, mouth, wing = who.eye_y, who.brow_y, who.mouth_y, who.nose_width
    feet = [
        (
            _curve(
                (corner + 0.05, eye + dy),
                (corner + 0.13, eye + 1.3 * dy - 0.01),
                (corner + 0.22, eye + 2.4 * dy),
            ),
            1.0,
        )
        for dy in (-0.055, 0.0, 0.055)
    ]
    forehead = [
        (_curve((-0.55, brow - up - 0.02), (0.0, brow - up - lift), (0.55, brow - up - 0.02)), 1.15)
        for up, lift in ((0.17, 0.05), (0.26, 0.07), (0.35, 0.09))
    ]
    furrow = [(_curve((0.06, brow - 0.13), (0.045, brow - 0.02), (0.075, brow + 0.09)), 1.2)]
    root = [(_curve((-0.09, at), (0, at - 0.02), (0.09, at)), 0.8) for at in (eye - 0.06, eye + 0.0)]
    nose_side = [(_curve((0.1, eye + 0.12), (0.15, eye + 0.18), (0.17, eye + 0.27)), 0.9)]
    nasolabial = [
        (
            _curve(
                (wing + 0.05, who.nose_length - 0.06),
                (wing + 0.22, 0.58),
                (who.mouth_width + 0.12, mouth - 0.02),
            ),
            1.2,
        )
    ]
    sneer = [(_curve((wing + 0.03, who.nose_length - 0.1), (wing + 0.12, 0.5), (wing + 0.17, 0.62)), 1.0)]
    marionette = [
        (
            _curve(
                (who.mouth_width + 0.05, mouth + 0.06),
                (who.mouth_width + 0.11, mouth + 0.14),
                (who.mouth_width + 0.08, mouth + 0.27),
            ),
            1.0,
        )
    ]
    chin = [
        (
            _curve(
                (-0.14 + 0.05 * k, who.chin - 0.22 + 0.03 * k),
                (0.0, who.chin - 0.25 + 0.035 * k),
                (0.14 - 0.05 * k, who.chin - 0.22 + 0.03 * k),
            ),
            0.8,
        )
        for k in range(3)
    ]
    under = [
        (
            _curve(
                (who.eye_distance - 0.17, eye + 0.12 + down),
                (who.eye_distance, eye + 0.17 + down),
                (who.eye_distance + 0.17, eye + 0.12 + down),
            ),
            0.9,
        )
        for down in (0.0, 0.045)
    ]
    return {
        "AU6": _mirrored(feet),
        "AU1": forehead,
        "AU2": _mirrored([(_curve((0.3, brow - 0.13), (0.5, brow - 0.2), (0.72, brow - 0.11)), 0.9)]),
        "AU4": _mirrored(furrow),
        "AU7": _mirrored(under),
        "AU9": [*root, *_mirrored(nose_side)],
        "AU10": _mirrored(sneer),
        "AU12": _mirrored(nasolabial),
        "AU15": _mirrored(marionette),
        "AU17": chin,
    }


def _groove(who: Subject, canvas: Canvas, lines: list[tuple[Points, float]]) -> Plane:
    dark = np.zeros(canvas.shape, np.float32)
    for line, depth in lines:
        stroke = np.zeros(canvas.shape, np.float32)
        fixed = canvas.fixed(line)
        thickness = max(1, round(0.02 * canvas.unit))
        ends = np.minimum(np.linspace(0, 1, len(fixed) - 1), np.linspace(1, 0, len(fixed) - 1))
        for k in range(len(fixed) - 1):
            value = float(depth * (0.35 + 0.65 * min(1.0, 3 * ends[k])))
            cv2.line(stroke, fixed[k].tolist(), fixed[k + 1].tolist(), value, thickness, cv2.LINE_8, SHIFT)
        dark = np.maximum(dark, stroke)
    dark = np.asarray(cv2.GaussianBlur(dark, (0, 0), 0.009 * canvas.unit), np.float32)
    away = 0.022 * canvas.unit
    shift = np.array([[1, 0, -np.sign(who.light_x) * 0.5 * away], [0, 1, away]], np.float32)
    edge = cv2.warpAffine(dark, shift, dark.shape[::-1])
    return who.line_depth * (0.45 * edge - dark)


def _cropped(unit: str, fine: bool, shade: Plane) -> Fold:
    rows = np.flatnonzero(np.abs(shade).max(axis=1) > 0.002)
    columns = np.flatnonzero(np.abs(shade).max(axis=0) > 0.002)
    if not len(rows):
        return Fold(unit, fine, (slice(0, 1), slice(0, 1)), np.zeros((1, 1), np.float32))
    place = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    return Fold(unit, fine, place, np.ascontiguousarray(shade[place], np.float32))
