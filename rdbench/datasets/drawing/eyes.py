"""Eyes: eyeballs that look about under lids that open and close."""

from __future__ import annotations

import cv2
import numpy as np

from rdbench.datasets.drawing import exact
from rdbench.datasets.drawing.canvas import Canvas, Floats, Image, Points, blend, faded, fill, path, stroke
from rdbench.datasets.drawing.draws import uniform
from rdbench.datasets.drawing.layers import Sliding
from rdbench.datasets.drawing.pose import Pose
from rdbench.datasets.drawing.subject import Subject

__all__ = ["Eyes"]

BALL = (0.5, 0.4)
"""Half the width and half the height of the picture of an eyeball, in half face widths."""


class Eyes:
    """Both eyes of a recording, worked out for all frames."""

    def __init__(self, who: Subject, canvas: Canvas, pose: Pose, rng: np.random.Generator) -> None:
        ball = Sliding(_eyeball(who, canvas.unit, rng))
        self.both = [_Eye(who, canvas, pose, side, ball) for side in (-1, 1)]

    def draw(self, image: Image, k: int) -> None:
        """Draw the eyes of frame `k` onto the head's patch."""
        for eye in self.both:
            eye.draw(image, k)


class _Eye:
    def __init__(self, who: Subject, canvas: Canvas, pose: Pose, side: int, ball: Sliding) -> None:
        cx, cy = side * who.eye_distance, who.eye_y
        part = canvas.window(cx - 0.34, cy - 0.24, cx + 0.34, cy + 0.2)
        self.place, self.shape = canvas.slices(part), part.shape
        lid, under, crease = _lids(who, pose, side)
        self.opening = part.fixed(np.concatenate([lid, under[:, ::-1]], axis=1))
        self.shadow = part.fixed(lid + np.array([0, 0.018]))
        outer = (lid[:, -9:] if side > 0 else lid[:, :9]) + np.array([0.008 * side, -0.008])
        lashes = tuple(min(60.0, 0.5 * channel) for channel in who.hair)
        self.strokes = [
            (part.fixed(crease[:, 2:-2]), _darker(who, 0.66), part.thickness(0.012)),
            (part.fixed(under[:, 3:-3]), _darker(who, 0.6), part.thickness(0.01)),
            (part.fixed(lid), lashes, part.thickness(0.026)),
            (part.fixed(outer), lashes, part.thickness(0.03)),
        ]
        self.shade = part.thickness(0.05)
        self.ball = ball
        self.x = (cx + 0.09 * pose.gaze_x - BALL[0] - part.left) * part.unit
        self.y = (cy - 0.25 * who.eye_height + 0.06 * pose.gaze_y - BALL[1] - part.top) * part.unit

    def draw(self, image: Image, k: int) -> None:
        view = image[self.place]
        mask = np.zeros(self.shape, np.uint8)
        fill(mask, self.opening[k], 255)
        # The upper lid and its lashes throw a shadow on the eyeball.
        light = np.full(self.shape, 255, np.uint8)
        stroke(light, self.shadow[k], 145, self.shade)
        ball = self.ball.cut(self.x[k], self.y[k], self.shape)
        blend(view, mask, faded(ball, cv2.cvtColor(light, cv2.COLOR_GRAY2BGR)))
        for lines, colour, thickness in self.strokes:
            stroke(view, lines[k], colour, thickness)


def _lids(who: Subject, pose: Pose, side: int) -> tuple[Points, Points, Points]:
    """Return the edges of the upper and the lower lid and the crease above, each (frames, points, 2)."""
    units = {name: values[:, None] for name, values in pose.units.items()}
    closed = pose.closed[:, None]
    s = np.linspace(-1, 1, 25)
    outward = s * side
    arch = exact.power(1 - exact.power(np.abs(s), 2.1), 0.85)
    wide = 1 + 0.55 * units["AU5"] - 0.55 * units["AU43"] - 0.12 * units["AU4"]
    high = who.eye_height * np.maximum(0.25, wide)
    low = 0.6 * who.eye_height * np.maximum(0.2, 1 - 0.5 * units["AU6"] - 0.3 * units["AU7"])
    middle = who.eye_y - who.eye_tilt * outward
    lower = middle + low * (1 - s * s)
    upper = middle - high * arch * (1 - 0.12 * outward)
    upper = upper + closed * (lower - upper + 0.012 * arch)
    x = side * who.eye_distance + who.eye_width * s
    return path(x, upper), path(x, lower), path(x, upper - 0.035 - 0.03 * arch * (1 - closed))


def _darker(who: Subject, factor: float) -> tuple[float, float, float]:
    blue, green, red = who.skin
    return (blue * factor, green * factor, red * min(1.0, factor * 1.05))


def _eyeball(who: Subject, unit: float, rng: np.random.Generator) -> Image:
    """Return an eyeball looking straight ahead, twice `BALL` in size."""
    x, y = Canvas(unit, -BALL[0], -BALL[1], *BALL).axes()
    radius = np.sqrt(x * x + y * y)
    white = _shaded((190, 198, 206), 1.02 - 1.6 * (x * x) - 1.5 * (y * y))
    spokes = _spokes(x / radius, y / radius, dict(zip((7, 12, 19), uniform(rng, 0, 6, 3), strict=True)))
    rim = 1 - 0.55 * np.clip((radius - 0.08) / 0.02, 0, 1)
    iris = _shaded(who.iris, (1.15 + 0.12 * spokes - 3.0 * (radius - 0.06)) * rim)
    inside = np.clip((0.104 - radius) * unit + 0.5, 0, 1)[..., None]
    ball = white * (1 - inside) + iris * inside
    pupil = np.clip((0.043 - radius) * unit + 0.5, 0, 1)[..., None]
    ball = ball * (1 - pupil) + 14 * pupil
    aside, above = x - 0.035 * np.sign(who.light_x), y + 0.035
    glint = np.clip((0.02 - np.sqrt(aside * aside + above * above)) * unit + 0.5, 0, 1)[..., None]
    ball = ball * (1 - 0.85 * glint) + 240 * 0.85 * glint
    return np.clip(ball, 0, 255).astype(np.uint8)


def _shaded(colour: tuple[float, float, float], brightness: Floats) -> Floats:
    return brightness[..., None] * np.array(colour)


def _spokes(cos: Floats, sin: Floats, phases: dict[int, float]) -> Floats:
    """Return the sum of cosines of multiples of an angle, each with a phase, by adding up the angle."""
    total, c, s = np.zeros_like(cos), cos, sin
    for n in range(1, max(phases) + 1):
        if n in phases:
            total = total + (c * float(exact.cosine(phases[n])) - s * float(exact.sine(phases[n])))
        c, s = c * cos - s * sin, s * cos + c * sin
    return total
