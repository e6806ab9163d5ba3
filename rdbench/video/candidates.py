"""Face candidates joined over time: which of what a detector reports is one face that stays."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["GAP", "PERSISTENT", "Box", "Track", "associate", "choose", "looks_around"]

GAP = 2.0
"""Seconds: boxes are interpolated through shorter gaps, and a longer one starts a new scoring segment."""

PERSISTENT = 3
"""Looks that have to see a face, unless there are fewer between two pauses."""

_OVERLAP = 0.3

Box = tuple[float, float, float, float]


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
