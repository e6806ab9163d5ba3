"""What stands around the head: background, neck and shoulders."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from rdbench.datasets.drawing.canvas import Canvas, Points, bump, draw_line, fill, resized_noise, smoothstep
from rdbench.datasets.drawing.subject import Subject

__all__ = ["background", "body"]

Image = NDArray[np.uint8]


def background(who: Subject, height: int, rng: np.random.Generator) -> Image:
    """Return an out-of-focus room as (height, width, 3) uint8."""
    width = height * 16 // 9
    room = Canvas(height / 360, 0, 0, width * 360 / height, 360)
    x, y = room.grid()
    falloff = 1 - 0.2 * smoothstep(0, 640, x if who.light_x < 0 else 640 - x) - 0.12 * smoothstep(120, 360, y)
    plaster = (
        1 + 0.012 * resized_noise(rng, (90, 160), room.shape) + 0.02 * resized_noise(rng, (7, 12), room.shape)
    )
    picture = np.clip((falloff * plaster)[..., None] * np.array(who.wall, np.float32), 0, 255).astype(
        np.uint8
    )
    {"plain": _corner, "shelves": _shelves, "window": _window, "pictures": _pictures}[who.background](
        picture, room, who, rng
    )
    sigma = rng.uniform(0.8, 2.6) * height / 360
    return cv2.GaussianBlur(picture, (0, 0), sigma)


def _box(left: float, top: float, right: float, bottom: float) -> Points:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)


def _muted(rng: np.random.Generator, low: float, high: float) -> tuple[float, float, float]:
    light = rng.uniform(low, high)
    blue, green, red = (float(np.clip(light * rng.uniform(0.86, 1.14), 5, 245)) for _ in range(3))
    return blue, green, red


def _corner(picture: Image, room: Canvas, who: Subject, rng: np.random.Generator) -> None:
    at = rng.uniform(40, 600)
    side = _box(at, 0, 640, 360) if at > 320 else _box(0, 0, at, 360)
    shaded = picture.copy()
    fill(shaded, room, side, tuple(0.82 * channel for channel in who.wall))
    cv2.addWeighted(shaded, 0.75, picture, 0.25, 0, dst=picture)


def _shelves(picture: Image, room: Canvas, who: Subject, rng: np.random.Generator) -> None:
    wood = _muted(rng, 50, 120)
    fill(picture, room, _box(0, 0, 640, 360), tuple(0.62 * channel for channel in who.wall))
    for top in np.arange(rng.uniform(-40, 0), 360, rng.uniform(84, 104)):
        fill(picture, room, _box(0, top + 84, 640, top + 91), wood)
        at = rng.uniform(-10, 30)
        while at < 640:
            wide, tall = rng.uniform(7, 20), rng.uniform(46, 78)
            if rng.random() < 0.85:
                colour = _muted(rng, 40, 190)
                fill(picture, room, _box(at, top + 84 - tall, at + wide, top + 84), colour)
                band = top + 84 - tall * rng.uniform(0.6, 0.9)
                fill(picture, room, _box(at, band, at + wide, band + 5), _muted(rng, 90, 220))
            at += wide + rng.uniform(0, 2.5)
    for at in (rng.uniform(60, 160), rng.uniform(440, 600)):
        fill(picture, room, _box(at, 0, at + 9, 360), wood)


def _window(picture: Image, room: Canvas, who: Subject, rng: np.random.Generator) -> None:
    left = rng.uniform(-60, 30) if who.light_x < 0 else rng.uniform(400, 460)
    right, bottom = left + rng.uniform(170, 230), rng.uniform(200, 280)
    fill(picture, room, _box(left - 8, -10, right + 8, bottom + 8), (225, 228, 230))
    fill(picture, room, _box(left, -10, right, bottom), (238, 226, 208))
    turn = np.linspace(0, 2 * np.pi, 9)
    for _ in range(260):
        cx, cy = rng.uniform(left, right), bottom * (1 - 0.6 * rng.uniform(0, 1) ** 1.5)
        leaf = np.stack([cx + rng.uniform(4, 9) * np.cos(turn), cy + rng.uniform(3, 7) * np.sin(turn)], 1)
        green = rng.uniform(0.75, 1.1)
        colour = (125 * green, 165 * green, 140 * green)
        fill(picture, room, np.clip(leaf, (left, -10), (right, bottom)), colour)
    middle = (left + right) / 2
    fill(picture, room, _box(middle - 4, -10, middle + 4, bottom), (222, 226, 228))
    fill(picture, room, _box(left, bottom * 0.5 - 3, right, bottom * 0.5 + 3), (222, 226, 228))
    curtain = _muted(rng, 120, 210)
    for k in range(9):
        at = (right if who.light_x < 0 else left - 45) + 5 * k
        fill(
            picture,
            room,
            _box(at, -5, at + 5, 360),
            tuple(channel * (0.85 + 0.1 * (k % 3)) for channel in curtain),
        )


def _pictures(picture: Image, room: Canvas, who: Subject, rng: np.random.Generator) -> None:
    for left in (rng.uniform(20, 110), rng.uniform(430, 520)):
        top, wide, tall = rng.uniform(20, 90), rng.uniform(70, 130), rng.uniform(70, 120)
        fill(picture, room, _box(left - 5, top - 5, left + wide + 5, top + tall + 5), _muted(rng, 20, 60))
        fill(picture, room, _box(left, top, left + wide, top + tall), _muted(rng, 170, 230))
        for _ in range(14):
            cx, cy = rng.uniform(left + 12, left + wide - 12), rng.uniform(top + 12, top + tall - 12)
            size = rng.uniform(4, 12)
            fill(
                picture,
                room,
                _box(cx - size, cy - size * 0.6, cx + size, cy + size * 0.6),
                _muted(rng, 50, 200),
            )
    ledge = rng.uniform(235, 300)
    fill(picture, room, _box(0, ledge, 640, 360), tuple(0.7 * channel for channel in who.wall))
    draw_line(
        picture, room, np.array([[0, ledge], [640, ledge]]), tuple(0.55 * channel for channel in who.wall), 3
    )


def body(who: Subject, canvas: Canvas, rng: np.random.Generator) -> Image:
    """Return neck and shoulders on a patch in the head's coordinates: four channels, opacity last."""
    x, y = canvas.grid()
    image = np.zeros((*canvas.shape, 4), np.uint8)
    slope = rng.uniform(0.2, 0.34)
    broad = rng.uniform(2.1, 2.6)
    neck = 0.5 + 0.14 * (who.jaw_width - 0.66) / 0.18
    t = np.linspace(0, 1, 20)[:, None]
    shoulder = (1 - t) ** 2 * np.array([neck, 1.4]) + 2 * t * (1 - t) * np.array(
        [broad * 0.42, 1.68 + 0.3 * slope]
    )
    shoulder = np.concatenate(
        [
            shoulder + t**2 * np.array([broad, 1.78 + 1.2 * slope]),
            [
                [broad + 0.07, 1.83 + 1.27 * slope],
                [broad + 0.12, 1.92 + 1.34 * slope],
                [broad + 0.17, 2.1 + 1.5 * slope],
                [broad + 0.33, 4.0],
            ],
        ]
    )
    torso = np.concatenate([shoulder, (shoulder * (-1, 1))[::-1]])
    fill(image, canvas, torso, (*who.cloth, 255))
    cloth_mask = image[..., 3].copy()
    waves = resized_noise(rng, (9, 14), canvas.shape) * 0.07
    shade = (
        (1 + waves)
        * (1 - 0.16 * np.abs(x) / broad)
        * (1 + 0.13 * np.sign(who.light_x) * np.clip(x, -2, 2) / 2)
    )
    shade = shade * _weave(who, x, y, canvas, rng)
    cloth = np.clip(image[..., :3] * shade[..., None], 0, 255)
    depth = rng.uniform(1.66, 2.0)
    around = np.linspace(0, np.pi, 24)
    opening = np.stack([(neck + 0.02) * np.cos(around), 1.5 + (depth - 1.5) * np.sin(around) ** 0.8], 1)
    bare = np.zeros(canvas.shape, np.uint8)
    column = np.array(
        [
            [-neck, 0.6],
            [neck, 0.6],
            [neck * 0.93, 1.25],
            [neck + 0.03, 1.56],
            [-neck - 0.03, 1.56],
            [-neck * 0.93, 1.25],
        ]
    )
    fill(bare, canvas, column, 255)
    fill(bare, canvas, opening, 255)
    round_off = 1 - 0.32 * np.clip(np.abs(x) / neck, 0, 1.2) ** 2 + 0.15 * np.sign(who.light_x) * x
    chin_shadow = 1 - 0.42 * smoothstep(1.75, 1.2, y + 0.15 * x * np.sign(who.light_x))
    cords = 1 - 0.06 * (bump(x, y, 0.22, 1.6, 0.03, 0.35) + bump(x, y, -0.22, 1.6, 0.03, 0.35))
    cords = cords - 0.1 * (bump(x, y, 0.16, 1.78, 0.12, 0.025) + bump(x, y, -0.16, 1.78, 0.12, 0.025))
    tone = round_off * chin_shadow * cords * (1 + 0.015 * resized_noise(rng, (60, 80), canvas.shape))
    flesh = np.clip(0.92 * tone[..., None] * np.array(who.skin, np.float32), 0, 255)
    share = (cv2.GaussianBlur(bare, (3, 3), 0) / np.float32(255))[..., None]
    rim = cv2.GaussianBlur(bare, (0, 0), 0.05 * canvas.unit).astype(np.float32)[..., None] / 255
    cloth = cloth * (1 - 0.35 * rim)
    out = cloth * (1 - share) + flesh * share
    opaque = np.maximum(cloth_mask, bare)
    out = out * (opaque[..., None] / np.float32(255))
    return np.dstack([out, opaque]).astype(np.uint8)


def _weave(
    who: Subject, x: NDArray[np.float32], y: NDArray[np.float32], canvas: Canvas, rng: np.random.Generator
) -> NDArray[np.float32]:
    grain = 1 + 0.025 * resized_noise(rng, (160, 320), canvas.shape)
    if who.cloth_style == "stripes":
        return grain * (1 - 0.28 * smoothstep(0.1, 0.3, np.sin((y + 0.12 * np.abs(x)) * rng.uniform(24, 40))))
    if who.cloth_style == "check":
        pitch = rng.uniform(14, 24)
        lines = smoothstep(0.2, 0.4, np.sin(x * pitch)) + smoothstep(0.2, 0.4, np.sin(y * pitch))
        return grain * (1 - 0.14 * lines)
    if who.cloth_style == "knit":
        return grain * (1 + 0.09 * np.sin(x * 52 + 2 * np.abs(np.sin(y * 26))))
    return grain
