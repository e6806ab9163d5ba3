"""The curves of one scope, each made once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rdbench.curves.arrays import codes
from rdbench.curves.envelope import Chooser
from rdbench.curves.points import Points
from rdbench.curves.sides import groups, side_of
from rdbench.errors import NotComparableError
from rdbench.stats.bd import Side

__all__ = ["KEYS", "CurveKey", "Sides"]


KEYS = ("codec", "variant", "backend", "factor", "region", "mode", "target")
"""What a side of a comparison may fix."""


CurveKey = tuple[str, ...]


class Sides:
    """The curves of one scope, each computed once."""

    def __init__(self, points: Points, chooser: Chooser | None, larger: bool) -> None:
        self.points = points
        self._chooser = chooser
        self._larger = larger
        label, curves = codes(points.keys, KEYS)
        order = np.argsort(label, kind="stable")
        parts = np.split(order, np.cumsum(np.bincount(label))[:-1])
        names = curves.astype(str).itertuples(index=False, name=None)
        self.rows: dict[CurveKey, NDArray[np.integer]] = dict(zip(names, parts, strict=True))
        self._sides: dict[CurveKey, tuple[Side, str, NDArray[np.float64], NDArray[np.float64]]] = {}
        self._groups: dict[CurveKey, tuple[dict[str, object], NDArray[np.integer]]] | None = None

    def get(self, curve: dict[str, str]) -> tuple[Side, str, NDArray[np.float64], NDArray[np.float64]]:
        """The curve, what its factor was chosen on, its sums by subject and their centres."""
        name = tuple(curve[key] for key in KEYS)
        if name not in self._sides:
            self._sides[name] = self._make(curve, name)
        return self._sides[name]

    def _make(
        self, curve: dict[str, str], name: CurveKey
    ) -> tuple[Side, str, NDArray[np.float64], NDArray[np.float64]]:
        points = self.points
        if curve["factor"] != "best":
            rows = self.rows[name]
            return side_of(points, rows), "", points.stats[:, rows], points.centre[rows]
        if self._groups is None:
            self._groups = {
                tuple("best" if key == "factor" else str(one[key]) for key in KEYS): (one, rows)
                for one, rows in groups(points)
            }
        key, rows = self._groups[name]
        assert self._chooser is not None
        try:
            envelope = self._chooser.envelope(points, rows, key, larger=self._larger)
        except NotComparableError as error:
            nothing = np.zeros((len(points.subjects), 0))
            stats = np.zeros((len(points.subjects), 0, points.stats.shape[-1]))
            side = Side(nothing[0], nothing[0], nothing, nothing)
            return side, str(error), stats, np.zeros((0, 2))
        centre = np.broadcast_to(envelope.centre, (len(envelope.factor), 2))
        return envelope.side, envelope.chosen_on, envelope.stats, centre
