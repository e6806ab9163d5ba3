"""Every curve of a scope, the envelope included, each made once.

Tables of deltas, figures, the report, claims and the gate ask here, so that one and the same curve stands in all of
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rdbench.curves.arrays import Arrays, codes
from rdbench.curves.envelope import Chooser, Envelope, envelope_of
from rdbench.curves.points import Points
from rdbench.curves.sides import groups, side_of
from rdbench.errors import NotComparableError
from rdbench.stats.bd import Side
from rdbench.tables.basis import Basis
from rdbench.typing import Array

__all__ = ["KEYS", "Curve", "Scope", "Scopes"]

KEYS = ("codec", "variant", "backend", "factor", "region", "mode", "target")
"""What a side of a comparison may fix."""

BEST = "best"
"""The factor of an envelope."""


@dataclass(frozen=True)
class Curve:
    """One curve of a scope.

    Parameters
    ----------
    side : Side
        Its points, with what is left of each subject out.
    stats : (subjects, points, 2 + k) float64
        As in `rdbench.curves.points.Points`.
    centre : (points, 2) float64
    chosen_on : str
        What an envelope's factors were chosen on, or why there is no envelope; empty for a single factor.
    """

    side: Side
    stats: Array
    centre: Array
    chosen_on: str = ""


class Scope:
    """The coded curves over one and the same set of clips, each computed when it is first asked for.

    Parameters
    ----------
    points : Points
    chooser : callable
        Gives what envelopes are chosen on; called once an envelope is asked for.
    """

    def __init__(self, points: Points, chooser: Callable[[], Chooser]) -> None:
        self.points = points
        self._chooser = chooser
        self._curves: dict[tuple[tuple[str, ...], bool], Curve] = {}
        self._envelopes: dict[tuple[tuple[str, ...], bool], Envelope | NotComparableError] = {}

    @cached_property
    def rows(self) -> dict[tuple[str, ...], NDArray[np.integer]]:
        """The points of each single curve, by its values of `KEYS`."""
        label, curves = codes(self.points.keys, KEYS)
        order = np.argsort(label, kind="stable")
        parts = np.split(order, np.cumsum(np.bincount(label))[:-1])
        names = curves.astype(str).itertuples(index=False, name=None)
        return dict(zip(names, parts, strict=True))

    @cached_property
    def groups(self) -> list[tuple[dict[str, object], NDArray[np.integer]]]:
        """What each envelope is made of: its values of `rdbench.curves.sides.GROUP`, and the points of all factors."""
        return groups(self.points)

    @cached_property
    def _group_of(self) -> dict[tuple[str, ...], int]:
        return {
            tuple(BEST if name == "factor" else str(key[name]) for name in KEYS): number
            for number, (key, _) in enumerate(self.groups)
        }

    def curve(self, key: Mapping[str, str], *, larger: bool = False) -> Curve:
        """The curve with these values of `KEYS`; factor "best" is the envelope.

        An envelope that cannot be chosen is a curve without points, and `Curve.chosen_on` says why.

        Parameters
        ----------
        key : mapping
            A value for each of `KEYS`; others are ignored.
        larger : bool
            Whether an envelope may take points that were coded larger than asked.

        Raises
        ------
        KeyError
            If the scope has no such curve.
        """
        name = tuple(str(key[part]) for part in KEYS)
        if (name, larger) not in self._curves:
            made = self._best(name, larger) if key["factor"] == BEST else self._single(name)
            self._curves[name, larger] = made
        return self._curves[name, larger]

    def _single(self, name: tuple[str, ...]) -> Curve:
        points, rows = self.points, self.rows[name]
        return Curve(side_of(points, rows), points.stats[:, rows], points.centre[rows])

    def _best(self, name: tuple[str, ...], larger: bool) -> Curve:
        try:
            envelope = self._envelope(name, larger)
        except NotComparableError as error:
            subjects = len(self.points.subjects)
            nothing = np.zeros((subjects, 0))
            stats = np.zeros((subjects, 0, self.points.stats.shape[-1]))
            side = Side(np.zeros(0), np.zeros(0), nothing, nothing)
            return Curve(side, stats, np.zeros((0, 2)), str(error))
        centre = np.broadcast_to(envelope.centre, (len(envelope.factor), 2))
        return Curve(envelope.side, envelope.stats, centre, envelope.chosen_on)

    def envelope(self, key: Mapping[str, object], *, larger: bool = False) -> Envelope:
        """The envelope of the group with these values of `KEYS`, whatever the factor.

        Raises
        ------
        NotComparableError
            If no factor can be chosen at any rate.
        """
        return self._envelope(tuple(BEST if part == "factor" else str(key[part]) for part in KEYS), larger)

    def _envelope(self, name: tuple[str, ...], larger: bool) -> Envelope:
        if (name, larger) not in self._envelopes:
            key, rows = self.groups[self._group_of[name]]
            try:
                made: Envelope | NotComparableError
                made = envelope_of(self.points, rows, key, self._chooser(), larger=larger)
            except NotComparableError as error:
                made = error
            self._envelopes[name, larger] = made
        found = self._envelopes[name, larger]
        if isinstance(found, NotComparableError):
            raise found
        return found

    def all(self, *, best: bool = True) -> Iterator[tuple[dict[str, object], Side]]:
        """Every curve with its key (`rdbench.curves.sides.GROUP` and the factor as a word): group by group, the
        envelope behind its factors where it can be chosen and `best` asks for it."""
        for key, rows in self.groups:
            factors = np.unique(self.points.keys["factor"].to_numpy()[rows])
            for factor in factors:
                named = {**key, "factor": str(factor)}
                yield named, self.curve({part: str(named[part]) for part in KEYS}).side
            if not best:
                continue
            try:
                yield {**key, "factor": BEST}, self.envelope(key).side
            except NotComparableError:
                continue

    def matching(self, side: Mapping[str, str]) -> list[dict[str, str]]:
        """The keys of all curves that have what a side fixes."""
        keys = self.points.keys[list(KEYS)].drop_duplicates().astype(str)
        for name, value in side.items():
            if (name, value) != ("factor", BEST):
                keys = keys[keys[name] == value]
        if side.get("factor") == BEST:
            keys = keys.assign(factor=BEST).drop_duplicates()
        return [{str(name): str(value) for name, value in row.items()} for row in keys.to_dict("records")]

    def pairs(
        self, anchor: Mapping[str, str], test: Mapping[str, str]
    ) -> list[tuple[dict[str, str], dict[str, str]]]:
        """The keys of the curves that two sides have in common: one pair for each combination of what both leave open.

        Both sides fix the same keys.
        """
        left_open = [name for name in KEYS if name not in anchor]
        tests = {tuple(curve[name] for name in left_open): curve for curve in self.matching(test)}
        of_anchor = (
            (curve, tests.get(tuple(curve[name] for name in left_open))) for curve in self.matching(anchor)
        )
        return [(first, second) for first, second in of_anchor if second is not None]


class Scopes:
    """All scopes of some arrays, coded points alone, and what their envelopes are chosen on; made once for all.

    Parameters
    ----------
    arrays : Arrays
    oracle : bool
        Choose the envelopes' factors in-sample: for looking at how optimistic that is, never for a claim.
    """

    def __init__(self, arrays: Arrays, *, oracle: bool = False) -> None:
        self.arrays = arrays
        self.oracle = oracle

    @property
    def basis(self) -> Basis:
        """What the curves are computed from."""
        return self.arrays.basis

    @cached_property
    def chooser(self) -> Chooser:
        """What envelopes are chosen on."""
        return Chooser(self.arrays, oracle=self.oracle)

    @cached_property
    def coded(self) -> list[Scope]:
        """One for each scope that has something coded."""
        return [Scope(points, lambda: self.chooser) for points in self.arrays.parts(uncoded=False)]
