"""One recording as frames: everything drawn, moved, put together and seen by a camera."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from rdbench.datasets.drawing import exact
from rdbench.datasets.drawing.camera import Camera
from rdbench.datasets.drawing.canvas import Canvas, Image, lay_over
from rdbench.datasets.drawing.head import Head
from rdbench.datasets.drawing.layers import Sliding
from rdbench.datasets.drawing.pose import poses
from rdbench.datasets.drawing.scene import background
from rdbench.datasets.drawing.signals import FRAMES, Affect, Motion, affect, motion
from rdbench.datasets.drawing.subject import Subject, generator, subject
from rdbench.datasets.drawing.torso import torso
from rdbench.datasets.drawing.turning import Turning, place_of

__all__ = ["Recording"]

BOX_SIDE = 2.2
BOX_TOP = -0.8
SUPERSAMPLING = 2
SWAY = 0.3
"""The share of the head's moves that the shoulders follow."""


class Recording:
    """Everything about one recording: labels and boxes at once, frames when asked for."""

    def __init__(self, partition: str, index: int) -> None:
        self.partition, self.index = partition, index
        self.subject: Subject = subject(partition, index)
        self.affect: Affect = affect(generator(partition, index, "affect"))
        self.motion: Motion = motion(generator(partition, index, "motion"))

    def boxes(self, height: int) -> NDArray[np.float64]:
        """Return the face boxes as (FRAMES, 4): left, top, width, height in pixels.

        They follow the head as a rigid body, from the middle of the forehead to under the dropped chin, so that
        no expression can be read from them.
        """
        who, move = self.subject, self.motion
        unit = who.face_px / 2 * move.zoom
        side = BOX_SIDE * unit
        middle = BOX_TOP + BOX_SIDE / 2
        x, y = place_of(who, move, 1.0)
        cx = x - exact.sine(move.roll) * middle * unit
        cy = y + exact.cosine(move.roll) * middle * unit
        return np.stack([cx - side / 2, cy - side / 2, side, side], axis=1) * (height / 360)

    def frames(self, height: int, count: int = FRAMES) -> Iterator[Image]:
        """Yield the first `count` frames as (height, width, 3) uint8, blue, green, red; each bit is the same
        on every processor."""
        cv2.setNumThreads(1)
        studio = _Studio(self, height, count)
        for k in range(count):
            yield studio.shoot(k)


class _Studio:
    """What stays the same over a recording, drawn once, and the way from it to a frame."""

    def __init__(self, recording: Recording, height: int, count: int) -> None:
        who, move = recording.subject, recording.motion
        shape, scale = (height, height * 16 // 9), height / 360
        rng = generator(recording.partition, recording.index, "texture")
        pose = poses(recording.affect, move, who.expressiveness, count)
        unit = who.face_px / 2 * scale
        canvas = Canvas(unit * SUPERSAMPLING)
        self.head = Head(who, canvas, pose, rng)
        self.turning = Turning(who, move, pose, canvas, self.head.extent(), shape)
        self.room = background(who, height, rng)
        body = Canvas(unit, -3.0, 0.6, 3.0, 4.0)
        self.torso = Sliding(torso(who, body, rng))
        x, y = place_of(who, move, scale, SWAY)
        self.torso_left, self.torso_top = x + body.left * unit, y + body.top * unit
        roaming = generator(recording.partition, recording.index, "noise")
        self.camera = Camera(height, move.exposure[:count], who.noise, rng, roaming)

    def shoot(self, k: int) -> Image:
        """Return frame `k`."""
        picture = self.room.copy()
        self._lay_torso(picture, k)
        self.turning.lay(picture, self.head.draw(k), k)
        return self.camera.take(picture, k)

    def _lay_torso(self, picture: Image, k: int) -> None:
        left, top, layer = self.torso.at(self.torso_left[k], self.torso_top[k])
        view = picture[max(0, top) : top + layer.shape[0], max(0, left) : left + layer.shape[1]]
        row, column = max(0, -top), max(0, -left)
        seen = layer[row : row + view.shape[0], column : column + view.shape[1]]
        hidden = cv2.cvtColor(cv2.bitwise_not(cv2.extractChannel(seen, 3)), cv2.COLOR_GRAY2BGR)
        lay_over(view, cv2.cvtColor(seen, cv2.COLOR_BGRA2BGR), hidden)
