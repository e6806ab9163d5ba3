"""Face candidates: what a detector reports, joined over time to one face that stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rdbench.errors import InputError
from rdbench.files import digest_of

__all__ = [
    "CASCADE",
    "GAP",
    "PERSISTENT",
    "Box",
    "Detector",
    "Track",
    "associate",
    "choose",
    "detector_name",
    "looks_around",
    "open_detector",
]

CASCADE = "haarcascade_frontalface_default"
"""The detector that ships, in OpenCV."""

_SHORT_SIDE = 270
_MIN_FACE = 24
_CONFIDENCE, _OVERLAPPING = 0.6, 0.3

GAP = 2.0
"""Seconds: boxes are interpolated through shorter gaps, and a longer one starts a new scoring segment."""

PERSISTENT = 3
"""Looks that have to see a face, unless there are fewer between two pauses."""

_OVERLAP = 0.3

Box = tuple[float, float, float, float]

Detector = Callable[[NDArray[np.uint8]], list[Box]]
"""Takes the luma of one picture (H, W), gives left, top, width and height of each candidate in its pixels, sorted."""


def detector_name(file: Path | None) -> str:
    """What a detector is called in keys: a network in a file by its content.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    if file is None:
        return CASCADE
    try:
        return f"yunet-{digest_of(file)[:16]}"
    except OSError as error:
        raise InputError(
            f"The detector {file} cannot be read ({error.strerror or error}); --detector takes an ONNX file of YuNet."
        ) from error


def open_detector(file: Path | None) -> Detector:
    """OpenCV's frontal-face Haar cascade, or a network for its ``FaceDetectorYN`` (YuNet; Wu et al. 2023).

    Pictures are looked at with a short side of at most 270 pixels. The cascade wants faces of 24 pixels there.

    Parameters
    ----------
    file : Path or None
        ONNX.

    Raises
    ------
    InputError
        If there is no such file, or it is not such a network.
    """
    return _cascade() if file is None else _yunet(file)


def _reduced(luma: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float, float]:
    """A picture as detectors look at it, and by how much it is smaller in width and height."""
    height, width = luma.shape
    scale = min(1.0, _SHORT_SIDE / min(width, height))
    scale = min(scale, (2 * _SHORT_SIDE * _SHORT_SIDE / (width * height)) ** 0.5)
    w, h = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(cv2.resize(luma, (w, h), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return small, width / w, height / h


def _cascade() -> Detector:
    cascade = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / f"{CASCADE}.xml"))
    if cascade.empty():
        raise InputError(
            f"OpenCV has no {CASCADE}.xml, which finds faces; install opencv-python-headless>=4.14,<5."
        )

    def look(luma: NDArray[np.uint8]) -> list[Box]:
        small, sx, sy = _reduced(luma)
        if min(small.shape) < _MIN_FACE:
            return []
        least = (_MIN_FACE, _MIN_FACE)
        found = cascade.detectMultiScale(small, scaleFactor=1.1, minNeighbors=4, minSize=least)
        return sorted((float(x * sx), float(y * sy), float(a * sx), float(b * sy)) for x, y, a, b in found)

    return look


def _yunet(file: Path) -> Detector:
    name = detector_name(file)
    try:
        network = cv2.FaceDetectorYN.create(str(file), "", (320, 320), _CONFIDENCE, _OVERLAPPING)
        network.detect(np.zeros((320, 320, 3), np.uint8))
    except cv2.error as error:
        raise InputError(
            f"{file} ({name}) is no network that OpenCV's FaceDetectorYN takes ({' '.join(str(error).split())[-200:]}); "
            "--detector takes an ONNX file of YuNet."
        ) from error

    def look(luma: NDArray[np.uint8]) -> list[Box]:
        small, sx, sy = _reduced(luma)
        network.setInputSize((small.shape[1], small.shape[0]))
        _, found = network.detect(cv2.cvtColor(small, cv2.COLOR_GRAY2BGR))
        rows = [] if found is None else found[:, :4].tolist()
        return sorted((x * sx, y * sy, w * sx, h * sy) for x, y, w, h in rows)

    return look


@dataclass
class Track:
    """One face candidate: the samples that saw it."""

    first: int
    last: int
    time: float
    rows: dict[int, Box] = field(default_factory=dict)

    def add(self, sample: int, time: float, box: Box) -> None:
        """Go on with what a look saw."""
        self.rows[sample] = box
        self.last, self.time = sample, time

    @property
    def box(self) -> Box:
        """The last one."""
        return self.rows[self.last]

    @property
    def width(self) -> float:
        """Median width, pixels."""
        return float(np.median([box[2] for box in self.rows.values()]))

    @property
    def weight(self) -> float:
        """Sum of its widths: large for long."""
        return sum(box[2] for box in self.rows.values())

    def persists(self, looks: NDArray[np.int64]) -> bool:
        """Whether it was seen often enough: `looks` are those at the same stretch without a pause, by sample."""
        seen, span = len(self.rows), self.last - self.first + 1
        return seen >= min(PERSISTENT, int(looks[self.first])) and 3 * seen >= span

    def continues(self, other: Track) -> bool:
        """Whether it may be another one's face at another time."""
        apart = self.first > other.last or self.last < other.first
        return apart and 0.5 <= self.width / other.width <= 2


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / (a[2] * a[3] + b[2] * b[3] - w * h)


def associate(tracks: list[Track], boxes: list[Box], sample: int, time: float) -> list[Track]:
    """Continue live tracks with the boxes that overlap them most; begin new ones with the rest."""
    live = [t for t in tracks if time - t.time <= GAP]
    pairs = [(_overlap(t.box, box), i, j) for i, t in enumerate(live) for j, box in enumerate(boxes)]
    taken_tracks: set[int] = set()
    taken_boxes: set[int] = set()
    for overlap, i, j in sorted(pairs, key=lambda p: (-p[0], p[1], p[2])):
        if overlap < _OVERLAP or i in taken_tracks or j in taken_boxes:
            continue
        live[i].add(sample, time, boxes[j])
        taken_tracks.add(i)
        taken_boxes.add(j)
    new = [Track(sample, sample, time, {sample: b}) for j, b in enumerate(boxes) if j not in taken_boxes]
    return tracks + new


def looks_around(sampled: list[float]) -> NDArray[np.int64]:
    """For each sample, how many there are between the pauses of more than `GAP` around it."""
    stretch = np.concatenate(([0], np.cumsum(np.diff(sampled) > GAP + 1e-6)))
    return np.bincount(stretch)[stretch].astype(np.int64)


def choose(tracks: list[Track], looks: NDArray[np.int64]) -> dict[int, Box]:
    """The boxes of the face that is largest for longest, and of its returns after a long absence."""
    ranked = sorted((t for t in tracks if t.persists(looks)), key=lambda t: (-t.weight, t.first, t.box))
    chosen: list[Track] = []
    for candidate in ranked:
        if all(candidate.continues(other) for other in chosen):
            chosen.append(candidate)
    return {sample: box for t in chosen for sample, box in t.rows.items()}
