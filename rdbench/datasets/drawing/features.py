"""Eyes, brows, mouth and glasses: what is drawn anew in each frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rdbench.datasets.drawing.canvas import SHIFT, Canvas, Points, draw_line, fill
from rdbench.datasets.drawing.subject import Subject

__all__ = [
    "Brows",
    "Pose",
    "brow_hairs",
    "draw_brows",
    "draw_eyes",
    "draw_glasses",
    "draw_mouth",
    "eyeball",
    "mouth_opening",
]

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Pose:
    """What a face does in one frame.

    Parameters
    ----------
    felt : dict
        Action units by name, as they fold the skin.
    units : dict
        The same with idle movement, as they move brows, lids and mouth.
    closed, gaze_x, gaze_y, opening, rounding, lip_press : float
        Blink, gaze and speech.
    """

    felt: dict[str, float]
    units: dict[str, float]
    closed: float
    gaze_x: float
    gaze_y: float
    opening: float
    rounding: float
    lip_press: float


def _darker(who: Subject, factor: float) -> tuple[float, float, float, float]:
    blue, green, red = who.skin
    return (blue * factor, green * factor, red * min(1.0, factor * 1.05), 255.0)


def _blend(image: Image, mask: Any, colour: Any) -> None:
    """Lay a colour, or a picture of the same shape, over an image where the mask says so."""
    weight = cv2.merge([mask] * image.shape[2])
    kept = cv2.multiply(image, cv2.bitwise_not(weight), scale=1 / 255)
    layer = colour if isinstance(colour, np.ndarray) else np.full_like(image, np.array(colour, np.uint8))
    cv2.add(kept, cv2.multiply(layer, weight, scale=1 / 255), dst=image)


def eyeball(who: Subject, unit: float, rng: np.random.Generator) -> Image:
    """Return an eyeball looking straight ahead, 0.8 x 0.5 half face widths, four channels."""
    eye = Canvas(unit, -0.4, -0.25, 0.4, 0.25)
    x, y = eye.grid()
    radius = np.hypot(x, y)
    angle = np.arctan2(y, x)
    white = np.array([190, 198, 206], np.float32) * (1.02 - 1.6 * x**2 - 1.5 * y**2)[..., None]
    spokes = sum(np.cos(angle * n + p) for n, p in zip((7, 12, 19), rng.uniform(0, 6, 3), strict=True))
    iris = np.array(who.iris, np.float32) * (1.15 + 0.12 * spokes - 3.0 * (radius - 0.06))[..., None]
    iris *= (1 - 0.55 * np.clip((radius - 0.08) / 0.02, 0, 1))[..., None]
    inside = np.clip((0.104 - radius) * unit + 0.5, 0, 1)[..., None]
    ball = white * (1 - inside) + iris * inside
    pupil = np.clip((0.043 - radius) * unit + 0.5, 0, 1)[..., None]
    ball = ball * (1 - pupil) + 14 * pupil
    glint = np.clip((0.02 - np.hypot(x - 0.035 * np.sign(who.light_x), y + 0.035)) * unit + 0.5, 0, 1)[
        ..., None
    ]
    ball = ball * (1 - 0.85 * glint) + 240 * 0.85 * glint
    return np.dstack([np.clip(ball, 0, 255), np.full(x.shape, 255.0)]).astype(np.uint8)


def draw_eyes(image: Image, who: Subject, canvas: Canvas, pose: Pose, ball: Image) -> None:
    """Draw both eyes onto the head's patch (four channels)."""
    units = pose.units
    for side in (-1, 1):
        cx, cy, wide = side * who.eye_distance, who.eye_y, who.eye_width
        part = canvas.window(cx - 0.34, cy - 0.24, cx + 0.34, cy + 0.2)
        view = image[canvas.slices(part)]
        s = np.linspace(-1, 1, 25)
        outward = s * side
        high = who.eye_height * max(
            0.25, 1 + 0.55 * units["AU5"] - 0.55 * units["AU43"] - 0.12 * units["AU4"]
        )
        low = 0.6 * who.eye_height * max(0.2, 1 - 0.5 * units["AU6"] - 0.3 * units["AU7"])
        tilt = -who.eye_tilt * outward
        arch = (1 - np.abs(s) ** 2.1) ** 0.85
        lower = cy + tilt + low * (1 - s**2)
        upper = cy + tilt - high * arch * (1 - 0.12 * outward)
        upper = upper + pose.closed * (lower - upper + 0.012 * arch)
        x = cx + wide * s
        lid, under = np.stack([x, upper], axis=1), np.stack([x, lower], axis=1)
        mask = np.zeros(part.shape, np.uint8)
        fill(mask, part, np.concatenate([lid, under[::-1]]), 255)
        rows, columns = part.shape
        centre = (cx + 0.09 * pose.gaze_x, cy - 0.25 * who.eye_height + 0.06 * pose.gaze_y)
        shift = [(centre[0] - 0.4 - part.left) * part.unit, (centre[1] - 0.25 - part.top) * part.unit]
        move = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
        eye = cv2.warpAffine(
            ball, move, (columns, rows), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        _blend(view, mask, eye)
        # The upper lid and its lashes throw a shadow on the eyeball.
        shadow = np.zeros(part.shape, np.uint8)
        draw_line(shadow, part, lid + np.array([0, 0.018]), 120, 0.05)
        _blend(view, cv2.min(shadow, mask), (20, 20, 25, 255))
        crease = np.stack([x * 1.0, upper - 0.035 - 0.03 * arch * (1 - pose.closed)], axis=1)
        draw_line(view, part, crease[2:-2], _darker(who, 0.66), 0.012)
        draw_line(view, part, under[3:-3], _darker(who, 0.6), 0.01)
        lashes = _lash_colour(who)
        draw_line(view, part, lid, lashes, 0.026)
        outer = lid[-9:] if side > 0 else lid[:9]
        draw_line(view, part, outer + np.array([0.008 * side, -0.008]), lashes, 0.03)


def _lash_colour(who: Subject) -> tuple[float, float, float, float]:
    blue, green, red = (min(60.0, 0.5 * channel) for channel in who.hair)
    return (blue, green, red, 255.0)


@dataclass(frozen=True)
class Brows:
    """The hairs of one brow: where along it, where across it, and how they lie."""

    along: Points
    across: Points
    lean: Points


def brow_hairs(rng: np.random.Generator) -> Brows:
    """Draw the hairs of a brow."""
    return Brows(rng.uniform(0, 1, 90), rng.uniform(-0.5, 0.5, 90), rng.normal(0, 0.25, 90))


def draw_brows(image: Image, who: Subject, canvas: Canvas, pose: Pose, hairs: Brows) -> None:
    """Draw both brows onto the head's patch."""
    units = pose.units
    inner_lift = 0.09 * units["AU1"] - 0.07 * units["AU4"]
    outer_lift = 0.09 * units["AU2"] - 0.03 * units["AU4"]
    for side in (-1, 1):
        part = canvas.window(side * 0.45 - 0.42, who.brow_y - 0.32, side * 0.45 + 0.42, who.brow_y + 0.28)
        view = image[canvas.slices(part)]

        def spine(s: Points, side: int = side) -> Points:
            x = 0.17 + 0.54 * s - 0.035 * units["AU4"] * (1 - s)
            arch = who.brow_arch * np.sin(np.pi * np.clip(s, 0, 1) ** 1.3)
            lift = inner_lift * (1 - s) ** 1.4 + outer_lift * np.clip(s, 0, 1) ** 0.8 * (1.2 - 0.4 * s)
            y = who.brow_y - arch - lift + 0.04 * s**2
            return np.stack([side * x, y], axis=1)

        s = np.linspace(0, 1, 17)
        thick = who.brow_thickness * np.where(
            s < 0.15, 0.7 + 2 * s, 1 - 0.75 * np.clip((s - 0.15) / 0.85, 0, 1) ** 1.5
        )
        middle = spine(s)
        mask = np.zeros(part.shape, np.uint8)
        body = np.concatenate(
            [middle + np.stack([0 * s, -thick / 2], 1), (middle + np.stack([0 * s, thick / 2], 1))[::-1]]
        )
        fill(mask, part, body, 120)
        root = spine(hairs.along) + np.stack(
            [0 * hairs.along, hairs.across * 0.95 * np.interp(hairs.along, s, thick)], axis=1
        )
        direction = np.pi * (0.42 - 0.4 * hairs.along) * np.where(hairs.across > 0, 1, 0.5) + hairs.lean
        length = 0.075 * (0.7 + 0.3 * np.cos(7 * hairs.lean))
        tip = root + np.stack([side * length * np.cos(direction), -length * np.sin(direction) * 0.6], axis=1)
        ends = part.fixed(np.stack([root, tip], axis=1).reshape(-1, 2)).reshape(-1, 2, 2)
        cv2.polylines(mask, list(ends), False, 205, max(1, round(0.006 * part.unit)), cv2.LINE_AA, SHIFT)
        _blend(view, cv2.GaussianBlur(mask, (3, 3), 0), (*(0.8 * channel for channel in who.hair), 255))


def mouth_opening(pose: Pose) -> float:
    """Return how far the lips are apart, in half face widths."""
    units = pose.units
    jaw = 0.2 * pose.opening * (1 - 0.3 * pose.rounding) + 0.075 * units["AU26"]
    return float(np.clip(jaw + 0.05 * units["AU25"] - 0.06 * pose.lip_press - 0.02, 0, 0.34))


def draw_mouth(image: Image, who: Subject, canvas: Canvas, pose: Pose) -> None:
    """Draw lips, teeth and the dark between them onto the head's patch."""
    units = pose.units
    opened = mouth_opening(pose)
    part = canvas.window(-0.75, who.mouth_y - 0.3, 0.75, who.mouth_y + 0.5)
    view = image[canvas.slices(part)]
    spread = 1 + 0.16 * units["AU12"] + 0.13 * units["AU20"] - 0.28 * pose.rounding - 0.25 * opened
    wide = who.mouth_width * max(0.5, spread)
    corner = 0.12 * np.tanh((0.08 * units["AU15"] - 0.085 * units["AU12"]) / 0.12)
    s = np.linspace(-1, 1, 33)
    vault = 1 - s**2
    bend = corner * np.abs(s) ** 1.7 - 0.35 * corner
    inner_up = (
        who.mouth_y
        + bend
        - 0.3 * opened * vault**0.8
        - 0.03 * units["AU10"] * np.exp(-((np.abs(s) - 0.45) ** 2) / 0.06)
    )
    inner_low = who.mouth_y + bend + 0.7 * opened * vault**0.7 - 0.02 * max(0.0, units["AU17"]) * vault
    thin = max(0.35, 1 - 0.45 * max(0.0, units["AU23"]) - 0.2 * units["AU12"] - 0.3 * pose.lip_press)
    bow = 1 - 0.3 * np.exp(-((s / 0.13) ** 2))
    outer_up = inner_up - who.lip_upper * thin * vault**0.75 * bow * (1 + 0.4 * max(0.0, pose.rounding))
    outer_low = inner_low + who.lip_lower * thin * vault**0.65 * (1 + 0.3 * max(0.0, pose.rounding))
    x = wide * s
    up, low = np.stack([x, inner_up], 1), np.stack([x, inner_low], 1)
    top, bottom = np.stack([x * 1.02, outer_up], 1), np.stack([x * 1.02, outer_low], 1)
    soft = view.copy()
    lip = np.array(who.lips)
    fill(soft, part, np.concatenate([top, up[::-1]]), (*(0.82 * lip), 255))
    fill(soft, part, np.concatenate([low, bottom[::-1]]), (*lip, 255))
    shine = low[9:-9] * 0.55 + bottom[9:-9] * 0.45
    draw_line(soft, part, shine, (*np.minimum(255, 1.14 * lip + 8), 255), 0.022)
    if opened > 0.012:
        mouth = np.zeros(part.shape, np.uint8)
        fill(mouth, part, np.concatenate([up, low[::-1]]), 255)
        inside = np.zeros_like(view)
        inside[:] = (26, 20, 46, 255)
        if opened > 0.1:
            tongue = np.stack([0.55 * x, inner_low + 0.02 - 0.45 * (opened - 0.06) * vault], 1)
            fill(
                inside, part, np.concatenate([tongue, (low + np.array([0, 0.02]))[::-1]]), (70, 62, 132, 255)
            )
        teeth = np.stack([x, inner_up + np.minimum(0.085, 0.7 * opened) * np.clip(1.4 * vault, 0, 1)], 1)
        fill(inside, part, np.concatenate([up - (0, 0.03), teeth[::-1]]), (178, 192, 198, 255))
        for gap in np.linspace(-0.5, 0.5, 8) * 0.62:
            column = np.array(
                [[gap, who.mouth_y - 0.2], [gap, float(np.interp(gap, x, teeth[:, 1])) - 0.012]]
            )
            draw_line(inside, part, column, (138, 152, 162, 255), 0.004)
        _blend(soft, mouth, inside)
    draw_line(soft, part, up, (*(0.36 * lip), 255), 0.016)
    for end in (0, -1):
        dimple = np.stack([up[end] + (0.012 * np.sign(x[end]), 0.0), up[end] - (0.03 * np.sign(x[end]), 0.0)])
        draw_line(soft, part, dimple, (*(0.4 * np.array(who.skin)), 255), 0.02)
    cv2.GaussianBlur(soft, (3, 3), 0, dst=view)


def draw_glasses(image: Image, who: Subject, canvas: Canvas) -> None:
    """Draw the frame of a pair of glasses onto the head's patch."""
    part = canvas.window(-1.1, who.eye_y - 0.4, 1.1, who.eye_y + 0.45)
    view = image[canvas.slices(part)]
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    cos, sin = np.cos(turn), np.sin(turn)
    dark = (34, 30, 30, 255)
    for side in (-1, 1):
        ring = np.stack(
            [side * (who.eye_distance + 0.02) + 0.3 * np.sign(cos) * np.abs(cos) ** 0.7,
             who.eye_y + 0.04 + 0.21 * np.sign(sin) * np.abs(sin) ** 0.75], 1,
        )  # fmt: skip
        draw_line(view, part, ring, dark, 0.026, closed=True)
        temple = np.array([[side * (who.eye_distance + 0.32), who.eye_y], [side * 1.0, who.eye_y - 0.05]])
        draw_line(view, part, temple, dark, 0.03)
    inner = who.eye_distance - 0.27
    bridge = np.stack(
        [np.linspace(-inner, inner, 9), who.eye_y - 0.02 * np.cos(np.linspace(-1.5, 1.5, 9)) - 0.01], 1
    )
    draw_line(view, part, bridge, dark, 0.028)
