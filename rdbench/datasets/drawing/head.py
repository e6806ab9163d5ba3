"""A head that looks straight ahead: what stays the same drawn once, and the face of each frame."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from rdbench.datasets.drawing import exact
from rdbench.datasets.drawing.brows import Brows
from rdbench.datasets.drawing.canvas import Canvas, Floats, Image, blend, faded, fill, lay_over, path
from rdbench.datasets.drawing.eyes import Eyes
from rdbench.datasets.drawing.folds import folds
from rdbench.datasets.drawing.glasses import DARK, glasses
from rdbench.datasets.drawing.hair import draw_back_hair, draw_front_hair
from rdbench.datasets.drawing.mouth import Mouth
from rdbench.datasets.drawing.pose import Pose
from rdbench.datasets.drawing.subject import Subject
from rdbench.datasets.drawing.surface import FACE, face_outline, light, relief, skin

__all__ = ["Head"]


class _Shading(NamedTuple):
    """A fold of the skin over time: how active it is, where and what it is, and room for what it is now."""

    active: NDArray[np.float64]
    place: tuple[slice, ...]
    shade: NDArray[np.float32]
    scaled: NDArray[np.float32]


class Head:
    """The head of one recording on its patch, worked out for all frames of a pose.

    Every pixel is the mean of four of the patch, so that the patch can be seen at half its size.
    """

    def __init__(self, who: Subject, canvas: Canvas, pose: Pose, rng: np.random.Generator) -> None:
        whole, rest, lit, visible = _resting(who, canvas, rng)
        wide = 1.14 if who.glasses else 1.0
        face = canvas.window(-wide, -1.0, wide, 1.4)
        self.place = canvas.slices(face)
        flesh = canvas.window(*FACE)
        corner = [
            at.start - origin.start for at, origin in zip(self.place, canvas.slices(flesh), strict=True)
        ]
        self.skin = [np.ascontiguousarray(whole[self.place][..., k], np.float32) for k in range(3)]
        self.gain = np.empty_like(self.skin[0])
        self.folds = [
            _Shading(
                (pose.felt if fold.fine else pose.units)[fold.unit],
                tuple(slice(p.start - at, p.stop - at) for p, at in zip(fold.place, corner, strict=True)),
                fold.shade,
                np.empty_like(fold.shade),
            )
            for fold in folds(who, flesh, rest, lit, visible)
        ]
        self.parts = (Mouth(who, face, pose), Eyes(who, face, pose, rng), Brows(who, face, pose, rng))
        self.frame = None
        if who.glasses:
            worn = glasses(who, face)
            opacity = whole[self.place][..., 3]
            np.maximum(opacity, worn, out=opacity)
            cover = cv2.cvtColor(worn, cv2.COLOR_GRAY2BGR)
            colour = np.full_like(cover, DARK)
            self.frame = faded(colour, cover), cv2.bitwise_not(cover)
        self.patch = np.zeros_like(whole)
        self.patch[1:, 1:] = _mean_of_four(whole)

    def extent(self) -> tuple[slice, slice]:
        """Return the rows and columns of the patch in which there is anything."""
        rows, columns = (np.flatnonzero(self.patch[..., 3].any(axis=axis)) for axis in (1, 0))
        return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)

    def draw(self, k: int) -> Image:
        """Return the patch with the face of frame `k`: four channels, premultiplied; good until the next call."""
        face = self._lit(k)
        for part in self.parts:
            part.draw(face, k)
        if self.frame:
            lay_over(face, *self.frame)
        inner = self.patch[self.place][1:, 1:]
        cv2.mixChannels([_mean_of_four(face)], [inner], [0, 0, 1, 1, 2, 2])
        return self.patch

    def _lit(self, k: int) -> Image:
        """Return the skin of frame `k` with its folds."""
        gain = self.gain
        gain.fill(1)
        for fold in self.folds:
            if fold.active[k] > 0:
                np.multiply(fold.shade, np.float32(fold.active[k]), out=fold.scaled)
                gain[fold.place] += fold.scaled
        planes = [cv2.convertScaleAbs(np.multiply(plane, gain)) for plane in self.skin]
        return cv2.merge(planes)


def _mean_of_four(image: Image) -> Image:
    """Return the mean of each pixel with those above, left, and above left of it; first row and column have none.

    Quarters that are added and taken away leave no half to round, and no bias.
    """
    rows = cv2.addWeighted(image[1:], 0.5, image[:-1], 0.5, 0.25)
    return cv2.addWeighted(rows[:, 1:], 0.5, rows[:, :-1], 0.5, -0.25)


def _resting(who: Subject, canvas: Canvas, rng: np.random.Generator) -> tuple[Image, Floats, Floats, Floats]:
    """Return the head without eyes, brows and mouth; the relief of its skin, how that is lit, and where it shows.

    The last three are of the window that holds the skin.
    What is drawn with smooth edges on nothing comes out premultiplied: its colour fades as its opacity does.
    """
    head = np.zeros((*canvas.shape, 4), np.uint8)
    draw_back_hair(head, who, canvas, rng)
    turn = np.linspace(0, 2 * np.pi, 24)
    cos, sin = exact.cosine(turn), exact.sine(turn)
    for side in (-1, 1):
        for size, tone in ((1.0, 0.8), (0.62, 0.656)):
            ear = path(side * 0.97 + 0.1 * size * cos, 0.08 + 0.21 * size * sin)
            fill(head, canvas.fixed(ear), (*(tone * channel for channel in who.skin), 255))
    face = canvas.window(*FACE)
    place = canvas.slices(face)
    mask = np.zeros(face.shape, np.uint8)
    fill(mask, face.fixed(face_outline(who)), 255)
    rest = relief(who, *face.axes())
    lit = light(who, rest, face.unit)
    flesh = cv2.merge([plane.astype(np.uint8) for plane in skin(who, face, lit, rng)])
    below = np.ascontiguousarray(head[place])
    colour = cv2.cvtColor(below, cv2.COLOR_BGRA2BGR)
    blend(colour, mask, flesh)
    head[place] = cv2.merge([*cv2.split(colour), cv2.max(cv2.extractChannel(below, 3), mask)])
    bare = head[place].copy()
    draw_front_hair(head, who, canvas, rng)
    changed = cv2.absdiff(head[place], bare).max(axis=2)
    hair = np.where(changed > 2, 255, 0).astype(np.uint8)
    covered = cv2.GaussianBlur(hair, (3, 3), 0, hint=cv2.ALGO_HINT_ACCURATE)
    return head, rest, lit, (mask / 255) * (1 - covered / 255)
