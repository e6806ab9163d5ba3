"""One recording as frames: everything drawn, moved, put together and seen by a camera."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rdbench.datasets.drawing.action_units import activations, idle
from rdbench.datasets.drawing.canvas import Canvas, Plane, bump, fill
from rdbench.datasets.drawing.features import (
    Pose,
    brow_hairs,
    draw_brows,
    draw_eyes,
    draw_glasses,
    draw_mouth,
    eyeball,
    mouth_opening,
)
from rdbench.datasets.drawing.hair import draw_back_hair, draw_front_hair
from rdbench.datasets.drawing.scene import background, body
from rdbench.datasets.drawing.signals import FRAMES, Affect, Motion, affect, motion
from rdbench.datasets.drawing.subject import Subject, generator, subject
from rdbench.datasets.drawing.surface import face_outline, folds, skin

__all__ = ["Recording"]

Image = NDArray[np.uint8]

BOX_SIDE = 2.2
BOX_TOP = -0.8
SUPERSAMPLING = 2
COARSE = 8
"""The map that moves the head is worked out on every eighth pixel and interpolated: it is smooth."""


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
        cx = who.centre_x + move.x * who.face_px / 2 - np.sin(move.roll) * middle * unit
        cy = who.centre_y + move.y * who.face_px / 2 + np.cos(move.roll) * middle * unit
        return np.stack([cx - side / 2, cy - side / 2, side, side], axis=1) * (height / 360)

    def frames(self, height: int, count: int = FRAMES) -> Iterator[Image]:
        """Yield the first `count` frames as (height, width, 3) uint8, blue, green, red."""
        cv2.setNumThreads(1)
        studio = _Studio(self, height)
        for k in range(count):
            yield studio.shoot(k)


class _Studio:
    """What stays the same over a recording, drawn once, and the way from it to a frame."""

    def __init__(self, recording: Recording, height: int) -> None:
        self.who, self.move = recording.subject, recording.motion
        self.height, self.width = height, height * 16 // 9
        self.felt = activations(recording.affect, self.who.expressiveness)
        self.units = idle(self.felt, self.move)
        self.scale = height / 360
        unit = self.who.face_px / 2 * self.scale
        self.unit = unit
        self.noise_rng = generator(recording.partition, recording.index, "noise")
        rng = generator(recording.partition, recording.index, "texture")
        self.canvas = Canvas(unit * SUPERSAMPLING)
        self._draw_head(rng)
        self.room = background(self.who, height, rng)
        self.ball = eyeball(self.who, self.canvas.unit, rng)
        self.hairs = brow_hairs(rng)
        self.torso_canvas = Canvas(unit, -3.0, 0.6, 3.0, 4.0)
        self.torso = body(self.who, self.torso_canvas, rng)
        self.grain = self._grain(rng)

    def _draw_head(self, rng: np.random.Generator) -> None:
        who, canvas = self.who, self.canvas
        head = np.zeros((*canvas.shape, 4), np.uint8)
        draw_back_hair(head, who, canvas, rng)
        ears = tuple(0.8 * channel for channel in who.skin)
        for side in (-1, 1):
            turn = np.linspace(0, 2 * np.pi, 24)
            for size, tone in ((1.0, 1.0), (0.62, 0.82)):
                ear = np.stack(
                    [side * 0.97 + 0.1 * size * np.cos(turn), 0.08 + 0.21 * size * np.sin(turn)], 1
                )
                fill(head, canvas, ear, (*(tone * channel for channel in ears), 255))
        mask = np.zeros(canvas.shape, np.uint8)
        fill(mask, canvas, face_outline(who), 255)
        share = mask[..., None] / np.float32(255)
        flesh = skin(who, canvas, rng)
        colour = head[..., :3] * (1 - share) + flesh * share
        head = np.dstack([colour, np.maximum(head[..., 3], mask)]).astype(np.uint8)
        before = head.copy()
        draw_front_hair(head, who, canvas, rng)
        covered = np.abs(head.astype(np.int16) - before).max(axis=2) > 2
        visible = share[..., 0] * (1 - cv2.GaussianBlur(covered.astype(np.float32), (3, 3), 0))
        self.face = canvas.window(-1.0, -1.0, 1.0, 1.4)
        place = canvas.slices(self.face)
        # Premultiplied, so that what is warped and blended has no halo.
        head[..., :3] = head[..., :3] * (head[..., 3:] / np.float32(255))
        self.head = head
        self.skin = np.ascontiguousarray(head[place][..., :3], np.float32)
        self.folds = [
            replace(fold, place=_within(fold.place, place))
            for fold in folds(who, canvas, visible)
            if fold.shade.size > 1
        ]

    def _grain(self, rng: np.random.Generator) -> NDArray[np.int16]:
        """Return sensor noise on a sheet larger than the picture, of which each frame takes another part."""
        fine = rng.standard_normal((360 + 64, 640 + 64)).astype(np.float32)
        fine = cv2.GaussianBlur(fine, (0, 0), 0.5) * 1.6
        sheet = cv2.resize(fine, None, fx=self.scale, fy=self.scale, interpolation=cv2.INTER_LINEAR)
        return np.rint(sheet * self.who.noise).astype(np.int16)

    def shoot(self, k: int) -> Image:
        """Return frame `k`."""
        pose = self._pose(k)
        head = self._express(pose)
        picture = self.room.copy()
        self._add_body(picture, k)
        self._add_head(picture, head, pose, k)
        top, left = (int(self.noise_rng.integers(0, 64) * self.scale) for _ in range(2))
        grain = self.grain[top : top + self.height, left : left + self.width]
        lit = cv2.convertScaleAbs(picture, alpha=float(self.move.exposure[k]))
        return np.asarray(cv2.add(lit, cv2.merge([grain] * 3), dtype=cv2.CV_8U), np.uint8)

    def _pose(self, k: int) -> Pose:
        move = self.move
        return Pose(
            felt={name: float(values[k]) for name, values in self.felt.items()},
            units={name: float(values[k]) for name, values in self.units.items()},
            closed=float(move.closed[k]),
            gaze_x=float(move.gaze_x[k]),
            gaze_y=float(move.gaze_y[k]),
            opening=float(move.opening[k]),
            rounding=float(move.rounding[k]),
            lip_press=float(move.lip_press[k]),
        )

    def _express(self, pose: Pose) -> Image:
        """Return the head's patch with the face of this frame."""
        gain = np.ones(self.skin.shape[:2], np.float32)
        for fold in self.folds:
            active = pose.felt if fold.fine else pose.units
            gain[fold.place] += fold.shade * max(0.0, active[fold.unit])
        head = self.head.copy()
        view = head[self.canvas.slices(self.face)]
        lit = cv2.multiply(self.skin, cv2.merge([gain] * 3))
        view[..., :3] = cv2.convertScaleAbs(lit)
        draw_mouth(head, self.who, self.canvas, pose)
        draw_eyes(head, self.who, self.canvas, pose, self.ball)
        draw_brows(head, self.who, self.canvas, pose, self.hairs)
        if self.who.glasses:
            draw_glasses(head, self.who, self.canvas)
        return head

    def _add_body(self, picture: Image, k: int) -> None:
        unit, move = self.unit, self.move
        left = self.who.centre_x * self.scale + (0.3 * move.x[k] + self.torso_canvas.left) * unit
        top = self.who.centre_y * self.scale + (0.3 * move.y[k] + self.torso_canvas.top) * unit
        first = max(0, int(top))
        shift = np.array([[1, 0, left], [0, 1, top - first]], np.float32)
        layer = cv2.warpAffine(self.torso, shift, (self.width, self.height - first), flags=cv2.INTER_LINEAR)
        _over(picture[first:], layer)

    def _add_head(self, picture: Image, head: Image, pose: Pose, k: int) -> None:
        """Turn, tilt and move the head, drop its jaw, and lay it over the picture."""
        move, unit = self.move, self.unit
        cx = (self.who.centre_x + move.x[k] * self.who.face_px / 2) * self.scale
        cy = (self.who.centre_y + move.y[k] * self.who.face_px / 2) * self.scale
        left, right = max(0, int(cx - 1.95 * unit)), min(self.width, int(cx + 1.95 * unit))
        top, bottom = max(0, int(cy - 2.0 * unit)), min(self.height, int(cy + 2.2 * unit))
        columns, rows = (right - left) * SUPERSAMPLING, (bottom - top) * SUPERSAMPLING
        x = (
            (np.arange(-(-columns // COARSE), dtype=np.float32) * COARSE + COARSE / 2) / SUPERSAMPLING
            + left
            - cx
        )
        y = (np.arange(-(-rows // COARSE), dtype=np.float32) * COARSE + COARSE / 2) / SUPERSAMPLING + top - cy
        cos, sin = np.cos(move.roll[k]), np.sin(move.roll[k])
        size = unit * move.zoom[k]
        u = (cos * x[None, :] + sin * y[:, None]) / size
        v = (-sin * x[None, :] + cos * y[:, None]) / size
        map_x, map_y = self._turned(u.astype(np.float32), v.astype(np.float32), pose, k)
        map_x = (map_x - self.canvas.left) * self.canvas.unit - 0.5
        map_y = (map_y - self.canvas.top) * self.canvas.unit - 0.5
        full = (map_x.shape[1] * COARSE, map_x.shape[0] * COARSE)
        warped = cv2.remap(
            head,
            cv2.resize(map_x.astype(np.float32), full)[:rows, :columns],
            cv2.resize(map_y.astype(np.float32), full)[:rows, :columns],
            cv2.INTER_LINEAR,
        )
        layer = cv2.resize(warped, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
        _over(picture[top:bottom, left:right], layer)

    def _turned(self, u: Plane, v: Plane, pose: Pose, k: int) -> tuple[Plane, Plane]:
        """Return where on the resting head each point of the turned head lies: near parts move further."""
        near = np.clip(1.15 - (u / 1.3) ** 2 - ((v - 0.1) / 1.7) ** 2, -0.2, 1.2)
        nose = bump(u, v, 0, self.who.nose_length - 0.1, 0.25, 0.3)
        depth = near + 0.35 * nose
        jaw = 0.42 * mouth_opening(pose)
        t = np.clip((v - jaw / 2 - self.who.mouth_y) / (self.who.chin - self.who.mouth_y), 0, 1)
        lower = t * t * (3 - 2 * t) * np.clip(2.6 - 2.2 * np.abs(u), 0, 1)
        return u - self.move.yaw[k] * depth, v - self.move.pitch[k] * depth - jaw * lower


def _within(place: tuple[slice, slice], window: tuple[slice, slice]) -> tuple[slice, slice]:
    """Return a place of the whole patch as a place of a window of it that holds it."""
    rows, columns = (slice(p.start - w.start, p.stop - w.start) for p, w in zip(place, window, strict=True))
    return rows, columns


def _over(picture: Image, layer: NDArray[Any]) -> None:
    """Lay a premultiplied four-channel layer over a picture, in place."""
    hidden = cv2.bitwise_not(layer[..., 3])
    kept = cv2.multiply(picture, cv2.merge([hidden] * 3), scale=1 / 255)
    cv2.add(kept, np.ascontiguousarray(layer[..., :3]), dst=picture)
