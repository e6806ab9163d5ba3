"""Deltas of single clips and their mean: the other common practice beside deltas of pooled curves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rdbench.stats.bd import MIN_POINTS, Delta, Side
from rdbench.stats.common_range import mean_difference, mean_log_ratio
from rdbench.stats.interpolation import DEFAULT
from rdbench.stats.intervals import LEVEL, jackknife
from rdbench.typing import Array

__all__ = ["clip_deltas", "mean_over_clips"]


def clip_deltas(
    anchor: Side, test: Side, *, measure: str, method: str = DEFAULT, larger: bool = False
) -> Array:
    """Deltas of single clips, where the rows of `Side.values` are clips instead of replicates.

    Returns
    -------
    (clips,) float64
        NaN where a clip's own curves give none.
    """
    a, b = anchor.ready(larger), test.ready(larger)
    out = np.full(len(a.values), np.nan)
    if min(len(a.value), len(b.value)) < MIN_POINTS:
        return out
    rows = np.isfinite(np.concatenate([a.log_rates, a.values, b.log_rates, b.values], axis=1)).all(axis=1)
    if not rows.any():
        return out
    sides = (a.log_rates[rows], a.values[rows], b.log_rates[rows], b.values[rows])
    if measure == "accuracy":
        out[rows] = mean_difference(*sides, method)[0]
    else:
        out[rows] = mean_log_ratio(*sides, method, 0.0 if anchor.correlation else -np.inf)[0]
    return out


def mean_over_clips(values: Array, subject: NDArray[np.integer], *, level: float = LEVEL) -> Delta:
    """Mean of per-clip deltas, the other common practice, with an interval over subjects.

    Parameters
    ----------
    values : (clips,) float64
        Each clip's own delta (log ratios for BD-rate); NaN where a clip has none.
    subject : (clips,) int
        Number of each clip's subject.
    level : float

    Returns
    -------
    Delta
        Of the clips that have a delta; `knots` is how many have one, and of how many.
    """
    have = np.isfinite(values)
    count = (int(have.sum()), len(values))
    if not have.any():
        reason = "no clip has a delta of its own"
        return Delta(np.nan, knots=count, reason=reason, interval_reason=reason)
    total = np.bincount(subject[have], values[have])
    number = np.bincount(subject[have])
    total, number = total[number > 0], number[number > 0]
    mean = float(total.sum() / number.sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        replicates = (total.sum() - total) / (number.sum() - number)
    interval = jackknife(mean, replicates, level=level)
    return Delta(
        mean,
        float(interval.low),
        float(interval.high),
        float(interval.error),
        replicates,
        knots=count,
        interval_reason=str(interval.reason[()]),
    )
