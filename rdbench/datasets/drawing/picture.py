"""One recording as frames: everything that is drawn."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from rdbench.datasets.drawing.action_units import activations
from rdbench.datasets.drawing.signals import FRAMES, Affect, Motion, affect, motion
from rdbench.datasets.drawing.subject import Subject, generator, subject

__all__ = ["Recording"]

BOX_SIDE = 2.2
BOX_TOP = -0.8


class Recording:
    """Everything about one recording: the labels and boxes at once, the frames when asked for."""

    def __init__(self, partition: str, index: int) -> None:
        self.partition, self.index = partition, index
        self.subject: Subject = subject(partition, index)
        self.affect: Affect = affect(generator(partition, index, "affect"))
        self.motion: Motion = motion(generator(partition, index, "motion"))

    def boxes(self, height: int) -> NDArray[np.float64]:
        """Return the face boxes as (FRAMES, 4): left, top, width, height in pixels."""
        who, move = self.subject, self.motion
        unit = who.face_px / 2 * move.zoom
        side = BOX_SIDE * unit
        x = who.centre_x + move.x * who.face_px / 2
        y = who.centre_y + move.y * who.face_px / 2
        middle = BOX_TOP + BOX_SIDE / 2
        cx = x - np.sin(move.roll) * middle * unit
        cy = y + np.cos(move.roll) * middle * unit
        return np.stack([cx - side / 2, cy - side / 2, side, side], axis=1) * (height / 360)

    def frames(self, height: int, count: int = FRAMES) -> Iterator[NDArray[np.uint8]]:
        """Yield the first `count` frames as (height, width, 3) uint8, blue, green, red."""
        cv2.setNumThreads(1)
        who, move, scale = self.subject, self.motion, height / 360
        units = activations(self.affect, move, who.expressiveness)
        rng = generator(self.partition, self.index, "noise")
        width = height * 16 // 9
        for k in range(count):
            picture = np.empty((height, width, 3), np.uint8)
            picture[:] = np.array(who.wall, np.uint8)
            unit = who.face_px / 2 * move.zoom[k] * scale
            cx = (who.centre_x + move.x[k] * who.face_px / 2) * scale
            cy = (who.centre_y + move.y[k] * who.face_px / 2) * scale

            def at(x: float, y: float, cx: float = cx, cy: float = cy, unit: float = unit) -> tuple[int, int]:
                return round((cx + x * unit) * 16), round((cy + y * unit) * 16)

            def size(x: float, unit: float = unit) -> int:
                return max(1, round(x * unit * 16))

            au = {name: float(values[k]) for name, values in units.items()}
            args = {"thickness": -1, "lineType": cv2.LINE_AA, "shift": 4}
            cv2.ellipse(picture, at(0, 3.2), (size(2.4), size(1.6)), 0, 0, 360, who.cloth, **args)
            cv2.ellipse(picture, at(0, 0), (size(1), size(who.chin)), 0, 0, 360, who.skin, **args)
            for side in (-1, 1):
                eye = at(side * who.eye_distance, who.eye_y)
                lid = 0.09 * (1 + 0.4 * au["AU5"] - 0.3 * au["AU43"]) * (1 - 0.9 * float(move.closed[k]))
                cv2.ellipse(picture, eye, (size(0.2), size(lid)), 0, 0, 360, (230, 235, 235), **args)
                cv2.circle(picture, eye, min(size(0.08), size(lid)), who.iris, **args)
                raised = 0.1 * (au["AU1"] - au["AU4"])
                brow = [at(side * 0.2, who.brow_y - raised), at(side * 0.65, who.brow_y - 0.1 * au["AU2"])]
                cv2.line(picture, *brow, who.hair, max(1, round(0.07 * unit)), cv2.LINE_AA, 4)
            s = np.linspace(-1, 1, 15)
            wide = who.mouth_width * (1 + 0.2 * au["AU12"] - 0.2 * float(move.rounding[k]))
            bend = 0.15 * (au["AU12"] - au["AU15"])
            opened = 0.03 + 0.2 * max(0.0, 0.6 * au["AU26"] + float(move.opening[k]))
            upper = [at(x * wide, who.mouth_y - bend * x * x) for x in s]
            lower = [at(x * wide, who.mouth_y - bend * x * x + opened * (1 - x * x)) for x in s[::-1]]
            cv2.fillPoly(picture, [np.array(upper + lower)], (50, 40, 90), cv2.LINE_AA, 4)
            noise = rng.standard_normal((height, width), np.float32)[..., None] * who.noise
            yield np.clip(picture + noise, 0, 255).astype(np.uint8)
