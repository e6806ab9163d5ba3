"""The best factor at each rate, chosen on data that is not reported.

A factor that is chosen where it is evaluated looks better than it is (the best of eight equal ones by 0.04 to
0.08 CCC). So it is chosen on another partition of the run where there is one, else for each subject on the
other subjects; the subject's own statistics are then taken at the factor that the others chose.

Factors are compared at the rates of all their points. Between two points of one factor its sums are mixed in
shares that are linear in log rate: a mixture of statistics is a statistic again, so no metric leaves its
range, which curves through the sums do not promise. Beyond its ends a factor is not available, since nothing
is extrapolated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.curves.arrays import Arrays
from rdbench.curves.points import Points, kbps, metric_of_sums
from rdbench.curves.sides import groups, side_of_sums
from rdbench.errors import NotComparableError
from rdbench.stats.bd import Side
from rdbench.stats.intervals import delete_one, jackknife
from rdbench.stats.metrics import higher_is_better
from rdbench.typing import Array

__all__ = ["Chooser", "Envelope", "envelope_of"]


NEAR = 0.02
"""Points of one factor whose rates differ by less than this share are one: slopes between them are noise."""


@dataclass(frozen=True)
class Envelope:
    """One envelope and how it was chosen.

    Parameters
    ----------
    key : dict
        Values of `GROUP`.
    chosen_on : str
        "partition dev" (or train), "other subjects", or "in-sample" (factor=oracle: too good to be true).
    factor : (points,) int
        The factor at each rate; the most common one where subjects differ.
    agreement : (points,) float64
        Share of the subjects for whom `factor` was chosen.
    stats : (subjects, points, 2 + k) float64
        As in `rdbench.curves.points.Points`.
    side : Side
        The envelope as a curve, with replicates in which the factor was chosen anew.
    centre : (2,) float64
    metric : str
    judged : Judged
        What the factors were chosen by; see `switches`.
    """

    key: dict[str, object]
    chosen_on: str
    factor: NDArray[np.int64]
    agreement: Array
    stats: Array
    side: Side
    centre: Array
    metric: str
    judged: Judged

    def switches(self) -> pd.DataFrame:
        """Where the best factor changes: ``from_factor to_factor kbps low high reason``."""
        return _switches(self.judged, self.metric)


@dataclass(frozen=True)
class Judged:
    """The factors' sums (factors, rates, 2 + k) on the data that they are chosen on, whole and without each
    subject in turn, with the rates at which each factor is available."""

    log_rate: Array
    factors: NDArray[np.int64]
    total: Array
    without: Array
    available: NDArray[np.bool_]
    centre: Array


@dataclass(frozen=True)
class _Factors:
    """The curves of a group on one grid of rates."""

    factors: NDArray[np.int64]
    sums: Array  # (subjects, factors, rates, 2 + k)
    available: NDArray[np.bool_]  # (factors, rates)


class Chooser:
    """Finds where the factors of an envelope are chosen; holds the other partition's points.

    Parameters
    ----------
    arrays : Arrays
    oracle : bool
        Choose in-sample.
    """

    def __init__(self, arrays: Arrays, *, oracle: bool = False) -> None:
        self.oracle = oracle
        self.partition: str | None = None
        self._groups: dict[tuple[object, ...], tuple[Points, NDArray[np.integer]]] = {}
        present = set(arrays.encodes["partition"].dropna())
        others = [
            name for name in ("dev", "train", "test") if name in present and name != arrays.basis.partition
        ]
        if oracle or not others:
            return
        try:
            parts = arrays.parts(partition=others[0], uncoded=False)
        except NotComparableError:
            return
        self.partition = others[0]
        for points in parts:
            for key, rows in groups(points):
                self._groups[tuple(key.values())] = (points, rows)

    def other(self, key: dict[str, object]) -> tuple[Points, NDArray[np.integer]] | None:
        """The same group in the other partition, if it has one."""
        return self._groups.get(tuple(key.values()))


def envelope_of(
    points: Points,
    rows: NDArray[np.integer],
    key: dict[str, object],
    chooser: Chooser,
    *,
    larger: bool = False,
) -> Envelope:
    """The envelope of one group of points.

    Parameters
    ----------
    points : Points
    rows : (n,) int
        Points of all factors of one group.
    key : dict
        The group's values of `GROUP`.
    chooser : Chooser
    larger : bool
        Whether points coded larger than asked take part.

    Raises
    ------
    NotComparableError
        If no factor could be chosen at any rate.
    """
    curves = _curves(points, rows, larger)
    if not curves:
        raise NotComparableError("An envelope needs points that were coded at the size asked for.")
    grid = _grid(points, curves)
    mine = _on_grid(points, curves, grid)
    centre, metric = points.centre[rows[0]], points.metric
    other = chooser.other(key)
    if chooser.oracle:
        choice = _in_sample(mine, grid, centre, metric)
    elif other is not None:
        theirs = _on_grid(other[0], _curves(*other, larger), grid, mine.factors)
        about = other[0].centre[other[1][0]]
        choice = _on_others(mine, theirs, grid, about, metric)
        choice = replace(choice, chosen_on=f"partition {chooser.partition}")
    else:
        choice = _without_oneself(mine, grid, centre, metric)
    good = (choice.choice >= 0).all(axis=0)
    if not good.any():
        raise NotComparableError(
            f"No factor can be chosen on {choice.chosen_on} at any rate; an envelope needs 2 subjects or more."
        )
    stats = _picked(mine.sums, choice.choice)[:, good]
    side = side_of_sums(stats.sum(axis=0), choice.replicates[:, good], centre, points, None)
    common, agreement = _most_common(choice.choice[:, good], len(mine.factors))
    return Envelope(
        key,
        choice.chosen_on,
        mine.factors[common],
        agreement,
        stats,
        side,
        centre,
        metric,
        choice.judged,
    )


@dataclass(frozen=True)
class _Choice:
    """Which factor each subject gets at each rate, and what the envelope becomes without each subject."""

    chosen_on: str
    choice: NDArray[np.int64]  # (subjects, rates), -1 where there is none
    replicates: Array  # (subjects, rates, 2 + k)
    judged: Judged


def _best(sums: Array, available: NDArray[np.bool_], centre: Array, metric: str) -> NDArray[np.int64]:
    """Index of the best factor for sums (..., factors, rates, 2 + k); -1 where there is none."""
    sign = 1.0 if higher_is_better(metric) else -1.0
    value = np.full(sums.shape[:-1], -np.inf)
    there = sign * metric_of_sums(sums[..., available, :], centre, metric)
    value[..., available] = np.where(np.isfinite(there), there, -np.inf)
    best = value.argmax(axis=-2)
    return np.where(np.isneginf(value.max(axis=-2)), -1, best)


def _in_sample(mine: _Factors, grid: Array, centre: Array, metric: str) -> _Choice:
    subjects = len(mine.sums)
    total, without = mine.sums.sum(axis=0), delete_one(mine.sums)
    choice = np.broadcast_to(_best(total, mine.available, centre, metric), (subjects, len(grid)))
    again = _best(without, mine.available, centre, metric)
    replicates = _picked_without(mine.sums, np.broadcast_to(again[:, None], (subjects, *choice.shape)))
    judged = Judged(grid, mine.factors, total, without, mine.available, centre)
    return _Choice("in-sample", choice, replicates, judged)


def _on_others(mine: _Factors, theirs: _Factors, grid: Array, centre: Array, metric: str) -> _Choice:
    available = mine.available & theirs.available
    total = theirs.sums.sum(axis=0)
    choice = np.broadcast_to(_best(total, available, centre, metric), (len(mine.sums), len(grid)))
    replicates = delete_one(_picked(mine.sums, choice))
    judged = Judged(grid, mine.factors, total, delete_one(theirs.sums), available, centre)
    return _Choice("", choice, replicates, judged)


def _without_oneself(mine: _Factors, grid: Array, centre: Array, metric: str) -> _Choice:
    subjects = len(mine.sums)
    without = delete_one(mine.sums)
    choice = _best(without, mine.available, centre, metric)
    again = np.empty((subjects, subjects, len(grid)), dtype=np.int64)
    again[np.arange(subjects), np.arange(subjects)] = choice
    for i in range(subjects - 1):
        # Without i and s is without s and i.
        again[i, i + 1 :] = _best(without[i] - mine.sums[i + 1 :], mine.available, centre, metric)
        again[i + 1 :, i] = again[i, i + 1 :]
    judged = Judged(grid, mine.factors, mine.sums.sum(axis=0), without, mine.available, centre)
    return _Choice("other subjects", choice, _picked_without(mine.sums, again), judged)


def _curves(
    points: Points, rows: NDArray[np.integer], larger: bool
) -> dict[int, tuple[NDArray[np.integer], Array]]:
    """Points and log rates of each factor, by rising rate, without near ties."""
    total = points.stats[:, rows].sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        log_rate = np.log(kbps(total))
    usable = np.isfinite(log_rate) & np.isfinite(metric_of_sums(total, points.centre[rows], points.metric))
    if not larger:
        usable &= ~points.keys["coded_larger"].to_numpy()[rows]
    factor = points.keys["factor"].to_numpy(dtype=np.int64)[rows]
    out = {}
    for one in np.unique(factor[usable]):
        own = np.flatnonzero(usable & (factor == one))
        own = own[np.argsort(log_rate[own], kind="stable")]
        kept: list[int] = []
        for i in own:
            if not kept or log_rate[i] - log_rate[kept[-1]] > NEAR:
                kept.append(int(i))
        out[int(one)] = (rows[kept], log_rate[kept])
    return out


def _grid(points: Points, curves: dict[int, tuple[NDArray[np.integer], Array]]) -> Array:
    rates = np.sort(np.concatenate([log_rate for _, log_rate in curves.values()]))
    grid: list[float] = []
    for rate in rates:
        if not grid or rate - grid[-1] > NEAR:
            grid.append(float(rate))
    return np.array(grid)


def _on_grid(
    points: Points,
    curves: dict[int, tuple[NDArray[np.integer], Array]],
    grid: Array,
    factors: NDArray[np.int64] | None = None,
) -> _Factors:
    names = np.array(sorted(curves), dtype=np.int64) if factors is None else factors
    sums = np.zeros((len(points.subjects), len(names), len(grid), points.stats.shape[-1]))
    available = np.zeros((len(names), len(grid)), dtype=bool)
    for i, factor in enumerate(names):
        if int(factor) not in curves:
            continue
        rows, log_rate = curves[int(factor)]
        # Half of what makes two rates one, so that the ends of a curve are still its own.
        inside = (grid >= log_rate[0] - NEAR) & (grid <= log_rate[-1] + NEAR)
        available[i] = inside
        at = np.clip(grid[inside], log_rate[0], log_rate[-1])
        own = points.stats[:, rows]
        # Bits by shares that are linear in the rate, so that the pooled rate is the grid's; the rest in its log.
        bits = np.einsum("gp,spk->sgk", _weights(np.exp(log_rate), np.exp(at)), own[..., :1])
        rest = np.einsum("gp,spk->sgk", _weights(log_rate, at), own[..., 1:])
        sums[:, i, inside] = np.concatenate([bits, rest], axis=-1)
    return _Factors(names, sums, available)


def _weights(x: Array, at: Array) -> Array:
    """How much each point of a curve counts at each place: (places, points), 0 to 1, adding up to 1."""
    return np.stack([np.interp(at, x, unit) for unit in np.eye(len(x))], axis=1)


def _picked(sums: Array, choice: NDArray[np.int64]) -> Array:
    """Each subject's sums at its chosen factor: (subjects, rates, 2 + k); NaN where nothing was chosen."""
    subject, rate = np.indices(choice.shape)
    out = sums[subject, np.maximum(choice, 0), rate]
    return np.where((choice < 0)[..., None], np.nan, out)


def _picked_without(sums: Array, again: NDArray[np.int64]) -> Array:
    """Sums over all subjects but i, each at the factor chosen for it without i: (i, rates, 2 + k)."""
    out = []
    for i, choice in enumerate(again):
        keep = np.arange(len(sums)) != i
        out.append(_picked(sums[keep], choice[keep]).sum(axis=0))
    return np.stack(out)


def _most_common(choice: NDArray[np.int64], factors: int) -> tuple[NDArray[np.int64], Array]:
    votes = (choice[None] == np.arange(factors)[:, None, None]).sum(axis=1)
    return votes.argmax(axis=0), votes.max(axis=0) / len(choice)


def _switches(judged: Judged, metric: str) -> pd.DataFrame:
    sign = 1.0 if higher_is_better(metric) else -1.0

    def value(sums: Array) -> Array:
        v = sign * metric_of_sums(sums, judged.centre, metric)
        return np.where(judged.available & np.isfinite(v), v, -np.inf)

    estimate = _crossings(judged.log_rate, value(judged.total))
    replicates = [_crossings(judged.log_rate, one) for one in value(judged.without)]
    rows = []
    for (a, b), log_rate in estimate.items():
        reps = np.array([found.get((a, b), np.nan) for found in replicates])
        interval = jackknife(log_rate, reps)
        reason = str(interval.reason[()])
        missing = int(np.isnan(reps).sum())
        if missing and "only" not in reason:
            reason = f"without one subject there is no such switch ({missing} of {len(reps)} times)"
        rows.append(
            {
                "from_factor": int(judged.factors[a]),
                "to_factor": int(judged.factors[b]),
                "kbps": float(np.exp(log_rate)),
                "low": float(np.exp(interval.low)),
                "high": float(np.exp(interval.high)),
                "reason": reason,
            }
        )
    return pd.DataFrame(rows, columns=["from_factor", "to_factor", "kbps", "low", "high", "reason"])


def _crossings(grid: Array, value: Array) -> dict[tuple[int, int], float]:
    """Log rates at which the best of (factors, rates) changes; of repeated changes the first."""
    best = value.argmax(axis=0)
    none = np.isneginf(value.max(axis=0))
    out: dict[tuple[int, int], float] = {}
    for g in range(len(grid) - 1):
        a, b = int(best[g]), int(best[g + 1])
        if a == b or none[g] or none[g + 1] or (a, b) in out:
            continue
        before, after = value[a, g] - value[b, g], value[b, g + 1] - value[a, g + 1]
        # Where one of the two cannot be coded on the other side, it changes at the last rate of its range.
        share = before / (before + after) if np.isfinite(before + after) and before + after > 0 else np.nan
        if np.isnan(share):
            share = 0.0 if np.isfinite(before) else 1.0
        out[a, b] = float(grid[g] + share * (grid[g + 1] - grid[g]))
    return out
