"""How folds and bulges of the action units shade the skin."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from rdbench.datasets.drawing import exact
from rdbench.datasets.drawing.canvas import SHIFT, Canvas, Floats, Image, Points, add_bump
from rdbench.datasets.drawing.subject import Subject
from rdbench.datasets.drawing.surface import LIGHT_REACH, light

__all__ = ["Fold", "folds"]

Hill = tuple[float, float, float, float, float]
"""Height, x and y of its middle, width and height of its base."""

LINE_DEPTH = 200
"""A line of depth 1 has this value while it is drawn in bytes."""

FINENESS = 1 << 12
"""Shades are whole multiples of one part of this, so that none is too small to be a normal float32."""


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
        Rows and columns of the patch.
    shade : (rows, columns) float32
        Relative change at activation 1.
    """

    unit: str
    fine: bool
    place: tuple[slice, slice]
    shade: NDArray[np.float32]


def folds(who: Subject, canvas: Canvas, rest: Floats, lit: Floats, visible: Floats) -> list[Fold]:
    """Return what the action units do to the skin.

    Broad bulges are what the subject's light makes of a changed relief; fine lines are one or two pixels wide
    in a face of 150 pixels, dark with a lit edge.

    Parameters
    ----------
    rest, lit : (rows, columns) float64
        The relief of the resting face and how it is lit.
    visible : (rows, columns) float64
        1 where skin shows, 0 where hair covers it.
    """
    made = []
    for unit, hills in _bulges(who).items():
        place, shade = _bulge(who, canvas, rest, lit, hills)
        made.append(_cropped(unit, False, place, shade * visible[place]))
    for unit, lines in _lines(who).items():
        place, shade = _groove(who, canvas, lines)
        made.append(_cropped(unit, True, place, shade * visible[place]))
    return [fold for fold in made if fold.shade.size]


def _bulge(
    who: Subject, canvas: Canvas, rest: Floats, lit: Floats, hills: list[Hill]
) -> tuple[tuple[slice, slice], Floats]:
    """Return the part of the patch that hills change, and the relative change of its brightness."""
    _, cx, cy, wide, high = np.array(hills).T
    reach = 3 * np.stack([wide, high])
    near, far = np.stack([cx, cy]) - reach, np.stack([cx, cy]) + reach
    left, top, right, bottom = (float(edge) for edge in (*near.min(axis=1), *far.max(axis=1)))
    place = canvas.slices(canvas.window(left, top, right, bottom))
    around = canvas.window(left - LIGHT_REACH, top - LIGHT_REACH, right + LIGHT_REACH, bottom + LIGHT_REACH)
    wider = canvas.slices(around)
    x, y = around.axes()
    changed = rest[wider].copy()
    for amount, *at, hill_wide, hill_high in hills:
        add_bump(changed, x, y, amount, (at[0], at[1]), (hill_wide, hill_high))
    inner = tuple(slice(p.start - w.start, p.stop - w.start) for p, w in zip(place, wider, strict=True))
    return place, light(who, changed, canvas.unit)[inner] / lit[place] - 1


def _bulges(who: Subject) -> dict[str, list[Hill]]:
    eye, brow, mouth, wide = who.eye_y, who.brow_y, who.mouth_y, who.mouth_width

    def both(amount: float, cx: float, cy: float, across: float, high: float) -> list[Hill]:
        return [(amount, side * cx, cy, across, high) for side in (-1, 1)]

    return {
        "AU4": [(0.03, 0, brow - 0.06, 0.16, 0.1), *both(0.02, 0.2, brow, 0.12, 0.06)],
        "AU6": [*both(0.035, 0.52, 0.2, 0.2, 0.1), *both(-0.02, 0.46, eye + 0.16, 0.2, 0.04)],
        "AU9": both(0.02, 0.14, 0.12, 0.08, 0.12),
        "AU12": [*both(0.035, 0.55, 0.38, 0.17, 0.15), *both(-0.03, wide * 1.35, mouth - 0.08, 0.05, 0.08)],
        "AU15": both(-0.03, wide * 1.1, mouth + 0.14, 0.1, 0.08),
        "AU17": [(0.03, 0, who.chin - 0.2, 0.16, 0.08)],
        "AU20": both(-0.025, wide * 1.45, mouth + 0.02, 0.06, 0.12),
    }


def _mirrored(lines: list[tuple[Points, float]]) -> list[tuple[Points, float]]:
    return lines + [(line * (-1, 1), depth) for line, depth in lines]


def _curve(*corners: tuple[float, float]) -> Points:
    """Return a quadratic Bézier curve through the ends of three corners."""
    a, b, c = (np.array(corner) for corner in corners)
    t = np.linspace(0, 1, 17)[:, None]
    return (1 - t) * (1 - t) * a + 2 * t * (1 - t) * b + t * t * c


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


def _groove(
    who: Subject, canvas: Canvas, lines: list[tuple[Points, float]]
) -> tuple[tuple[slice, slice], Floats]:
    """Return the part of the patch that lines fold, and the relative change of its brightness."""
    every = np.concatenate([line for line, _ in lines])
    (left, top), (right, bottom) = every.min(axis=0) - 0.1, every.max(axis=0) + 0.1
    part = canvas.window(float(left), float(top), float(right), float(bottom))
    dark: Image = np.zeros(part.shape, np.uint8)
    thickness = part.thickness(0.02)
    for line, depth in lines:
        drawn = np.zeros(part.shape, np.uint8)
        ends = part.fixed(line)
        middle = np.minimum(np.linspace(0, 1, len(ends) - 1), np.linspace(1, 0, len(ends) - 1))
        values = np.rint(LINE_DEPTH * depth * (0.35 + 0.65 * np.minimum(1.0, 3 * middle)))
        for k, value in enumerate(values.tolist()):
            cv2.line(drawn, ends[k].tolist(), ends[k + 1].tolist(), value, thickness, cv2.LINE_8, SHIFT)
        dark = cv2.max(dark, drawn)
    soft = exact.blurred(dark / LINE_DEPTH, 0.009 * canvas.unit)
    away = 0.022 * canvas.unit
    edge = _moved(soft, -float(np.sign(who.light_x)) * 0.5 * away, away)
    return canvas.slices(part), who.line_depth * (0.45 * edge - soft)


def _moved(plane: Floats, right: float, down: float) -> Floats:
    """Return a plane moved by less than its margin, interpolated between pixels."""
    for axis, distance in ((1, right), (0, down)):
        whole = int(np.floor(distance))
        share = distance - whole
        plane = np.roll(plane, whole, axis) * (1 - share) + np.roll(plane, whole + 1, axis) * share
    return plane


def _cropped(unit: str, fine: bool, place: tuple[slice, slice], shade: Floats) -> Fold:
    whole = np.rint(shade * FINENESS)
    rows, columns = (np.flatnonzero(np.abs(whole).max(axis=axis) > 0.002 * FINENESS) for axis in (1, 0))
    if not len(rows):
        return Fold(unit, fine, place, np.zeros((0, 0), np.float32))
    part = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    kept = tuple(slice(p.start + c.start, p.start + c.stop) for p, c in zip(place, part, strict=True))
    return Fold(unit, fine, (kept[0], kept[1]), np.ascontiguousarray(whole[part] / FINENESS, np.float32))
