"""Curves of a family of back-ends: the mean over its seeds, and Bjøntegaard deltas between two families.

At each point a family's accuracy is the mean over its seeds; all seeds are scored on the same encodes, so the
rate is common. Deltas between mean curves exist where those of noisy single pairs do not, and for BD-accuracy
the two are the same up to the interpolation, since it is a difference of two means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rdbench.stats import bd
from rdbench.stats.bd import Delta, Side

__all__ = ["at_common_rates", "delta_of_families", "deltas_of_pairs"]

Array = NDArray[np.float64]


Measure = Literal["accuracy", "rate"]


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


def delta_of_families(anchor: Sequence[Side], test: Sequence[Side], *, measure: Measure) -> Delta:
    """Bjøntegaard delta between the mean curves of two families.

    Parameters
    ----------
    anchor, test : sequence of Side
        One for each seed, over the same subjects and, within a family, at the same rates.
    measure : {"accuracy", "rate"}

    Returns
    -------
    Delta
        Its replicates are the deltas without each subject, then without each seed of `test`, then without each
        seed of `anchor` (where there is one seed: the delta itself). Its own interval is of no use.
    """
    a, b = len(anchor), len(test)
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
