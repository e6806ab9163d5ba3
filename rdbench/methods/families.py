"""Families of back-ends as curves: all seeds of a name as one line, with an interval over seeds and subjects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.curves.points import Points, kbps
from rdbench.stats import bd
from rdbench.stats.bd import Delta, Side
from rdbench.stats.components import Bounds, Estimate, Sample, bounds
from rdbench.stats.intervals import LEVEL, MIN_SEEDS, SCALE_OF, SCALES, delete_one
from rdbench.tables.names import split_seed
from rdbench.tables.schema import SCOPE
from rdbench.typing import Array

__all__ = [
    "COLUMNS",
    "Cell",
    "Measure",
    "at_common_rates",
    "cells",
    "delta_of_families",
    "deltas_of_pairs",
    "estimate",
    "family_points",
    "few_seeds",
    "interval_of",
]

Measure = Literal["accuracy", "rate"]


COLUMNS = (
    *("target", "gold", "scoring", "backend", "region", "factor", "codec", "variant", "mode", "rate"),
    *("bitrate_kbps", "metric", "value", "low", "high"),
    *("seeds", "subjects", "rate_status", "coded_larger", "face_px"),
)
"""The columns of `family_points`; those that `rdbench.curves.pooling.pooled` has mean the same."""


def family_points(parts: Sequence[Points], *, level: float = LEVEL) -> pd.DataFrame:
    """Every family at every point: the mean over its seeds, which were all scored on the same encodes.

    Parameters
    ----------
    parts : sequence of Points
        One for each scope, as `rdbench.curves.arrays.Arrays.parts` gives them.
    level : float

    Returns
    -------
    DataFrame
        With the columns `COLUMNS`.
    """
    rows = []
    for points in parts:
        rate = kbps(points.stats.sum(axis=0))
        of_point = points.keys[["rate_status", "coded_larger", "face_px"]].to_dict("records")
        for key, cell in cells(points):
            first = int(cell.rows[0])
            low, high = interval_of(cell, points.metric, level)[1:]
            rows.append(
                key
                | of_point[first]
                | {
                    "metric": points.metric,
                    "backend": cell.family,
                    "bitrate_kbps": float(rate[first]),
                    "value": cell.mean(),
                    "low": low,
                    "high": high,
                    "seeds": len(cell.seeds),
                    "subjects": len(points.subjects),
                }
            )
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({"value": np.float64, "low": np.float64, "high": np.float64})


def at_common_rates(sides: Sequence[Side]) -> list[Side]:
    """Envelopes of seeds, read at the same rates, so that they have a mean curve.

    Seeds may choose other factors, which moves the rates of an envelope; between its points accuracy goes in a
    straight line over the log of the rate, as an envelope's own does. Nothing is extrapolated, for no subject left
    out either.

    Parameters
    ----------
    sides : sequence of Side
        One for each seed, over the same subjects.

    Returns
    -------
    list of Side
        As they are (but `ready`) where they have common rates already; none where they share no range.
    """
    ready = [side.ready() for side in sides]
    if len(ready) < 2:
        return ready
    alike = len({len(side.log_rate) for side in ready}) == 1
    if alike and np.ptp([side.log_rate for side in ready], axis=0).max(initial=0) <= bd.TIE:
        return ready
    if min(len(side.log_rate) for side in ready) < 2:
        return []
    rates = [np.vstack([side.log_rate, side.log_rates]) for side in ready]
    low = max(float(rows.min(axis=1).max()) for rows in rates)
    high = min(float(rows.max(axis=1).min()) for rows in rates)
    if not high > low:
        return []
    grid = np.linspace(low, high, max(len(side.log_rate) for side in ready))
    return [
        replace(
            side,
            log_rate=grid,
            value=_read(grid, side.log_rate, side.value),
            log_rates=np.broadcast_to(grid, (len(side.values), len(grid))).copy(),
            values=np.array([_read(grid, *row) for row in zip(side.log_rates, side.values, strict=True)]),
        )
        for side in ready
    ]


def _read(grid: Array, log_rate: Array, value: Array) -> Array:
    order = np.argsort(log_rate, kind="stable")
    return np.asarray(np.interp(grid, log_rate[order], value[order]))


def delta_of_families(
    anchor: Sequence[Side], test: Sequence[Side], *, measure: Measure, paired: bool = False
) -> Delta:
    """Bjøntegaard delta between the mean curves of two families.

    Parameters
    ----------
    anchor, test : sequence of Side
        One for each seed, over the same subjects and, within a family, at the same rates.
    measure : {"accuracy", "rate"}
    paired : bool
        Leave out the seeds of both together; there are as many on both sides, in one order.

    Returns
    -------
    Delta
        Its replicates are the deltas without each subject, then without each seed of both if `paired`, else without
        each seed of `test`, then without each seed of `anchor` (where there is one seed: the delta itself). Its own
        interval is of no use.
    """
    a, b = (0, 0) if paired else (len(anchor), len(test))
    whole = _mean_side(anchor, before=b, after=0).ready(), _mean_side(test, before=0, after=a).ready()
    if measure == "accuracy":
        return bd.bd_accuracy(*whole, leave_out=False)
    # Seeds left out follow the subjects in the rows; which ends surely rise is a question of subjects.
    return bd.bd_rate(*whole, judged=len(anchor[0].values), leave_out=False)


def _mean_side(sides: Sequence[Side], *, before: int, after: int) -> Side:
    """The mean curve of seeds. After the rows without each subject come `before` rows of the whole curve, one
    row without each seed, and `after` rows of the whole curve."""
    n = len(sides)
    rate, value = (np.stack([getattr(s, name) for s in sides]) for name in ("log_rate", "value"))

    def rows(of_subjects: Array, of_seeds: Array) -> Array:
        whole = of_seeds.mean(axis=0)
        # One seed cannot be left out; its row is never used.
        without = (of_seeds.sum(axis=0) - of_seeds) / (n - 1) if n > 1 else of_seeds
        repeated = [np.broadcast_to(whole, (times, len(whole))) for times in (before, after)]
        return np.concatenate([of_subjects, repeated[0], without, repeated[1]])

    return replace(
        sides[0],
        log_rate=rate.mean(axis=0),
        value=value.mean(axis=0),
        log_rates=rows(np.mean([s.log_rates for s in sides], axis=0), rate),
        values=rows(np.mean([s.values for s in sides], axis=0), value),
    )


def deltas_of_pairs(anchor: Sequence[Side], test: Sequence[Side], *, measure: Measure) -> Array:
    """Bjøntegaard deltas of all pairs of single seeds.

    Parameters
    ----------
    anchor, test, measure
        As in `delta_of_families`.

    Returns
    -------
    (pairs,) float64
        Log ratios for "rate"; NaN where a pair has none.
    """
    ready = [[side.ready() for side in sides] for sides in (anchor, test)]
    return bd.many(
        _stacked([side for side in ready[0] for _ in ready[1]]),
        _stacked([side for _ in ready[0] for side in ready[1]]),
        measure=measure,
    )[0]


def _stacked(sides: Sequence[Side]) -> Side:
    def stack(name: str) -> Array:
        return np.stack([getattr(side, name) for side in sides])

    return replace(
        sides[0],
        log_rate=stack("log_rate"),
        value=stack("value"),
        log_rates=stack("log_rates"),
        values=stack("values"),
    )


@dataclass(frozen=True)
class Cell:
    """One family at one point: its seeds, and the metric of each.

    Parameters
    ----------
    family : str
        Back-end without seed, such as "max-mix@lite".
    seeds : tuple of int
    rows : (seeds,) int
        Their points.
    values : (seeds,) float64
        The metric pooled over all subjects.
    replicates : (subjects, seeds) float64
        Without each subject in turn.
    """

    family: str
    seeds: tuple[int, ...]
    rows: NDArray[np.integer]
    values: Array
    replicates: Array

    def mean(self) -> float:
        """Mean over the seeds."""
        return float(self.values.mean())

    def by_subject(self) -> Array:
        """The mean without each subject in turn."""
        return np.asarray(self.replicates.mean(axis=1))

    def by_seed(self) -> Array:
        """The mean without each seed in turn; empty where there is one seed."""
        n = len(self.values)
        return (self.values.sum() - self.values) / (n - 1) if n > 1 else np.zeros(0)


def cells(points: Points) -> Iterator[tuple[dict[str, object], Cell]]:
    """Every family at every point of a scope, with the point's key (without back-end).

    Yields
    ------
    key : dict
        ``region factor codec variant mode rate target gold scoring``.
    cell : Cell
    """
    values = points.value(points.stats.sum(axis=0))
    replicates = points.held(points.value(delete_one(points.stats)))
    named = [split_seed(str(name)) for name in points.keys["backend"]]
    own = points.keys.assign(family=[name for name, _ in named], seed=[seed for _, seed in named])
    by = ["family", "region", "factor", "codec", "variant", "mode", "rate", *SCOPE]
    own = own.sort_values([*by, "seed"], kind="stable")
    place, seed = own.index.to_numpy(), own["seed"].to_numpy()
    for key, rows in own.groupby(by, sort=False).indices.items():
        at = place[rows]
        family, *rest = cast(tuple[Any, ...], key)
        cell = Cell(str(family), tuple(int(s) for s in seed[rows]), at, values[at], replicates[:, at])
        yield dict(zip(by[1:], rest, strict=True)), cell


def few_seeds(seeds: int) -> str:
    """The mark of a family with too few seeds to speak for its way of training, or ""."""
    if seeds == 1:
        return "1 seed: subjects only"
    return f"{seeds} seeds: fewer than {MIN_SEEDS}" if seeds < MIN_SEEDS else ""


def interval_of(cell: Cell, metric: str, level: float = LEVEL) -> tuple[Bounds, float, float]:
    """Interval of a family's mean over seeds and subjects.

    Returns
    -------
    bounds : Bounds
        On the scale on which the metric has no ends, with the reason where there is none.
    low, high : float
        In units of the metric.
    """
    scale = SCALES[SCALE_OF[metric]]
    on_scale = bounds(estimate(cell, scale.to), level=level)
    low, high = scale.back(np.array([on_scale.low, on_scale.high]))
    return on_scale, float(low), float(high)


def estimate(cell: Cell, change: Callable[[Array], Array] = np.asarray) -> Estimate:
    samples = [Sample("subjects", change(cell.by_subject()))]
    samples += [Sample("seeds", change(cell.by_seed()))] if len(cell.seeds) > 1 else []
    return Estimate(float(change(np.array(cell.mean()))), samples[0], tuple(samples[1:]))
