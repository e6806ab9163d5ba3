"""How a head turns, tilts, moves and drops its jaw before the camera."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from rdbench.datasets.drawing import exact
from rdbench.datasets.drawing.canvas import Canvas, Floats, Image, lay_over
from rdbench.datasets.drawing.pose import Pose
from rdbench.datasets.drawing.signals import Motion
from rdbench.datasets.drawing.subject import Subject

__all__ = ["Turning", "place_of"]

COARSE = 4
"""The map that moves the head is worked out on every fourth pixel and interpolated: it is smooth."""
FINE = 1 << 7
"""Steps of the map in a pixel. Below 2048 pixels, with weights of eighths both ways, it keeps to 24 bits."""
JAW = 0.42
"""How far the jaw drops for an open mouth."""
DEEPEST = 1.6
"""No part of the head is further in front of or behind the axis that it turns about."""


def place_of(who: Subject, motion: Motion, scale: float, share: float = 1.0) -> tuple[Floats, Floats]:
    """Return where the point between the eyes is, or what follows a share of its moves, in pixels over time."""
    half = who.face_px / 2 * share
    return (who.centre_x + motion.x * half) * scale, (who.centre_y + motion.y * half) * scale


class Turning:
    """The way of one recording's head from its patch to the picture."""

    def __init__(
        self, who: Subject, motion: Motion, pose: Pose, canvas: Canvas,
        extent: tuple[slice, slice], shape: tuple[int, int],
    ) -> None:  # fmt: skip
        self.who, self.motion, self.canvas = who, motion, canvas
        scale = shape[0] / 360
        self.x, self.y = place_of(who, motion, scale)
        self.cos, self.sin = exact.cosine(motion.roll), exact.sine(motion.roll)
        self.size = who.face_px / 2 * scale * motion.zoom
        self.jaw = JAW * pose.mouth
        self.regions = self._regions(extent, shape)

    def _regions(self, extent: tuple[slice, slice], shape: tuple[int, int]) -> NDArray[np.int64]:
        """Return for each frame the pixels the head may reach: left, top, right, bottom."""
        count = len(self.jaw)
        motion, canvas = self.motion, self.canvas
        yaw, pitch = (DEEPEST * np.abs(angle[:count]) for angle in (motion.yaw, motion.pitch))
        rows, columns = extent
        left, right = (canvas.left + at / canvas.unit for at in (columns.start - 1, columns.stop + 1))
        top, bottom = (canvas.top + at / canvas.unit for at in (rows.start - 1, rows.stop + 1))
        u = np.stack([left - yaw, right + yaw, left - yaw, right + yaw])
        v = np.stack([top - pitch, top - pitch, bottom + pitch + self.jaw, bottom + pitch + self.jaw])
        cos, sin, size = self.cos[:count], self.sin[:count], self.size[:count]
        x, y = self.x[:count] + (cos * u - sin * v) * size, self.y[:count] + (sin * u + cos * v) * size
        first, last = np.floor([x.min(axis=0), y.min(axis=0)]), np.ceil([x.max(axis=0), y.max(axis=0)])
        limit = np.array([[shape[1]], [shape[0]]])
        return np.concatenate([np.clip(first, 0, limit), np.clip(last, 0, limit)]).T.astype(np.int64)

    def lay(self, picture: Image, head: Image, k: int) -> None:
        """Lay the head over the picture of frame `k`, in place.

        `head` is the patch, of which each pixel is the mean of four, two by two pixels of it to one of the picture.
        """
        left, top, right, bottom = self.regions[k].tolist()
        rows, columns = bottom - top, right - left
        x = np.arange(COARSE / 2, columns + COARSE / 2, COARSE) + (left - self.x[k])
        y = np.arange(COARSE / 2, rows + COARSE / 2, COARSE) + (top - self.y[k])
        maps = self._rested(x, y[:, None], k)
        full = len(x) * COARSE, len(y) * COARSE
        map_x, map_y = (cv2.resize(coarse, full)[:rows, :columns] for coarse in maps)
        whole, fine = cv2.convertMaps(map_x, map_y, cv2.CV_16SC2)
        layer = cv2.remap(head, whole, fine, cv2.INTER_LINEAR)
        hidden = cv2.cvtColor(cv2.bitwise_not(cv2.extractChannel(layer, 3)), cv2.COLOR_GRAY2BGR)
        lay_over(picture[top:bottom, left:right], cv2.cvtColor(layer, cv2.COLOR_BGRA2BGR), hidden)

    def _rested(self, x: Floats, y: Floats, k: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return which pixels of the patch are seen at x and y from the head's place, in columns and in rows."""
        who, canvas = self.who, self.canvas
        cos, sin = float(self.cos[k] / self.size[k]), float(self.sin[k] / self.size[k])
        u, v = cos * x + sin * y, cos * y - sin * x
        down = v - 0.1
        depth = np.clip(1.15 - u * u / (1.3 * 1.3) - down * down / (1.7 * 1.7), -0.2, 1.2)
        tip = v - (who.nose_length - 0.1)
        nose = np.maximum(0, 1 - u * u / (16 * 0.25 * 0.25) - tip * tip / (16 * 0.3 * 0.3))
        for _ in range(4):
            nose *= nose
        depth += 0.35 * nose
        jaw = float(self.jaw[k])
        t = np.clip((v - (jaw / 2 + who.mouth_y)) / (who.chin - who.mouth_y), 0, 1)
        drop = t * t * (3 - 2 * t) * np.clip(2.6 - 2.2 * np.abs(u), 0, 1)
        u -= float(self.motion.yaw[k]) * depth
        v -= float(self.motion.pitch[k]) * depth + jaw * drop
        fine = canvas.unit * FINE
        # The mean of four lies half a pixel up and left of the pixel that holds it.
        columns, rows = np.rint((u - canvas.left) * fine), np.rint((v - canvas.top) * fine)
        return (columns / FINE).astype(np.float32), (rows / FINE).astype(np.float32)
