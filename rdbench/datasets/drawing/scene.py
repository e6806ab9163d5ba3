"""What stands behind the head: an out-of-focus room."""

from __future__ import annotations

import math

import cv2
import numpy as np

from rdbench.datasets.drawing import exact
from rdbench.datasets.drawing.canvas import Canvas, Image, fill, path, shaded, smoothstep
from rdbench.datasets.drawing.draws import texture, uniform
from rdbench.datasets.drawing.subject import Colour, Subject

__all__ = ["background"]

_FRAME = (222, 226, 228)


def background(who: Subject, height: int, rng: np.random.Generator) -> Image:
    """Return an out-of-focus room as (height, width, 3) uint8."""
    width = height * 16 // 9
    room = Canvas(height / 360, 0, 0, width * 360 / height, 360)
    x, y = room.axes()
    falloff = 1 - 0.2 * smoothstep(0, 640, x if who.light_x < 0 else 640 - x) - 0.12 * smoothstep(120, 360, y)
    plaster = 1 + 0.012 * texture(rng, (90, 160), room.shape) + 0.02 * texture(rng, (7, 12), room.shape)
    picture = shaded(who.wall, falloff * plaster)
    {"plain": _corner, "shelves": _shelves, "window": _window, "pictures": _pictures}[who.background](
        picture, room, who, rng
    )
    sigma = uniform(rng, 0.8, 2.6) * height / 360
    return cv2.GaussianBlur(picture, (0, 0), sigma, hint=cv2.ALGO_HINT_ACCURATE)


def _box(
    picture: Image, room: Canvas, left: float, top: float, right: float, bottom: float, colour: Colour
) -> None:
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)
    fill(picture, room.fixed(corners), colour)


def _toned(colour: Colour, factor: float) -> Colour:
    blue, green, red = (factor * channel for channel in colour)
    return blue, green, red


def _muted(rng: np.random.Generator, low: float, high: float) -> Colour:
    light = uniform(rng, low, high)
    blue, green, red = (float(np.clip(light * uniform(rng, 0.86, 1.14), 5, 245)) for _ in range(3))
    return blue, green, red


def _corner(picture: Image, room: Canvas, who: Subject, rng: np.random.Generator) -> None:
    at = uniform(rng, 40, 600)
    left, right = (at, 640.0) if at > 320 else (0.0, at)
    dim = picture.copy()
    _box(dim, room, left, 0, right, 360, _toned(who.wall, 0.82))
    cv2.addWeighted(dim, 0.75, picture, 0.25, 1 / 16, dst=picture)


def _shelves(picture: Image, room: Canvas, who: Subject, rng: np.random.Generator) -> None:
    wood = _muted(rng, 50, 120)
    _box(picture, room, 0, 0, 640, 360, _toned(who.wall, 0.62))
    first, pitch = uniform(rng, -40, 0), uniform(rng, 84, 104)
    for top in (first + k * pitch for k in range(math.ceil((360 - first) / pitch))):
        _box(picture, room, 0, top + 84, 640, top + 91, wood)
        at = uniform(rng, -10, 30)
        while at < 640:
            wide, tall = uniform(rng, 7, 20), uniform(rng, 46, 78)
            if rng.random() < 0.85:
                _box(picture, room, at, top + 84 - tall, at + wide, top + 84, _muted(rng, 40, 190))
                band = top + 84 - tall * uniform(rng, 0.6, 0.9)
                _box(picture, room, at, band, at + wide, band + 5, _muted(rng, 90, 220))
            at += wide + uniform(rng, 0, 2.5)
    for at in (uniform(rng, 60, 160), uniform(rng, 440, 600)):
        _box(picture, room, at, 0, at + 9, 360, wood)


def _window(picture: Image, room: Canvas, who: Subject, rng: np.random.Generator) -> None:
    left = uniform(rng, -60, 30) if who.light_x < 0 else uniform(rng, 400, 460)
    right, bottom = left + uniform(rng, 170, 230), uniform(rng, 200, 280)
    _box(picture, room, left - 8, -10, right + 8, bottom + 8, (225, 228, 230))
    _box(picture, room, left, -10, right, bottom, (238, 226, 208))
    turn = np.linspace(0, 2 * np.pi, 9)
    cos, sin = exact.cosine(turn), exact.sine(turn)
    for _ in range(260):
        cx, cy = uniform(rng, left, right), bottom * (1 - 0.6 * exact.power(uniform(rng, 0, 1), 1.5))
        leaf = path(cx + uniform(rng, 4, 9) * cos, cy + uniform(rng, 3, 7) * sin)
        colour = _toned((125, 165, 140), uniform(rng, 0.75, 1.1))
        fill(picture, room.fixed(np.clip(leaf, (left, -10), (right, bottom))), colour)
    middle = (left + right) / 2
    _box(picture, room, middle - 4, -10, middle + 4, bottom, _FRAME)
    _box(picture, room, left, bottom * 0.5 - 3, right, bottom * 0.5 + 3, _FRAME)
    curtain = _muted(rng, 120, 210)
    for k in range(9):
        at = (right if who.light_x < 0 else left - 45) + 5 * k
        _box(picture, room, at, -5, at + 5, 360, _toned(curtain, 0.85 + 0.1 * (k % 3)))


def _pictures(picture: Image, room: Canvas, who: Subject, rng: np.random.Generator) -> None:
    for left in (uniform(rng, 20, 110), uniform(rng, 430, 520)):
        top, wide, tall = uniform(rng, 20, 90), uniform(rng, 70, 130), uniform(rng, 70, 120)
        _box(picture, room, left - 5, top - 5, left + wide + 5, top + tall + 5, _muted(rng, 20, 60))
        _box(picture, room, left, top, left + wide, top + tall, _muted(rng, 170, 230))
        for _ in range(14):
            cx, cy = uniform(rng, left + 12, left + wide - 12), uniform(rng, top + 12, top + tall - 12)
            size = uniform(rng, 4, 12)
            high = 0.6 * size
            _box(picture, room, cx - size, cy - high, cx + size, cy + high, _muted(rng, 50, 200))
    ledge = uniform(rng, 235, 300)
    _box(picture, room, 0, ledge, 640, 360, _toned(who.wall, 0.7))
    _box(picture, room, -2, ledge - 1.5, 642, ledge + 1.5, _toned(who.wall, 0.55))
