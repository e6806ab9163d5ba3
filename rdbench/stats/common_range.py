"""Two curves over what they have in common: mean differences, rising levels, and ends that tell nothing.

Rates are natural logs throughout; whole batches of curves are computed at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from rdbench.stats.interpolation import isotonic, mean_height
from rdbench.stats.intervals import jackknife_error
from rdbench.typing import Array

__all__ = ["TIE", "first_of_block", "levels", "mean_difference", "mean_log_ratio", "telling_ends"]

TIE = 1e-3
"""Points whose rates differ by less than this share are one point: their mean."""


def _sorted(x: Array, y: Array) -> tuple[Array, Array]:
    order = np.argsort(x, axis=-1, kind="stable")
    x = np.take_along_axis(x, order, axis=-1)
    # Resampling may bring two rates together exactly; a knot needs some width.
    return x + 1e-12 * np.arange(x.shape[-1]), np.take_along_axis(y, order, axis=-1)


def _overlap(low: Array, high: Array, ranges: list[Array]) -> Array:
    smaller = np.minimum(*ranges)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(smaller > 0, np.maximum(high - low, 0) / smaller, 0.0)


def mean_difference(xa: Array, ya: Array, xb: Array, yb: Array, method: str) -> tuple[Array, Array, Array]:
    """Mean height of curve b above curve a over their common range, its overlap, and its two ends.

    Parameters
    ----------
    xa, ya, xb, yb : (..., points) float64
        Log rates and accuracies of curves in any order; NaN comes out where there is no common range.
    method : {"akima", "pchip", "cubic"}
    """
    xa, ya = _sorted(xa, ya)
    xb, yb = _sorted(xb, yb)
    low = np.maximum(xa[..., 0], xb[..., 0])
    high = np.minimum(xa[..., -1], xb[..., -1])
    overlap = _overlap(low, high, [xa[..., -1] - xa[..., 0], xb[..., -1] - xb[..., 0]])
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = mean_height(xb, yb, low, high, method) - mean_height(xa, ya, low, high, method)
    return np.where(high > low, difference, np.nan), overlap, np.stack([low, high])


def mean_log_ratio(
    xa: Array, ya: Array, xb: Array, yb: Array, method: str, floor: float
) -> tuple[Array, Array, Array]:
    """Mean log rate of curve b above curve a over their common accuracies, made rising, as `mean_difference`.

    Parameters
    ----------
    xa, ya, xb, yb, method
        As in `mean_difference`.
    floor : float
        Accuracies below it take no part.
    """
    shape = xa.shape[:-1]
    sides = []
    for x, y in ((xa, ya), (xb, yb)):
        x, y = _sorted(np.atleast_2d(x), np.atleast_2d(y))
        sides.append((x, isotonic(y)))
    (xa, la), (xb, lb) = sides
    low = np.maximum(np.maximum(la[:, 0], lb[:, 0]), floor)
    high = np.minimum(la[:, -1], lb[:, -1])
    ranges = [np.maximum(level[:, -1] - np.maximum(level[:, 0], floor), 0) for level in (la, lb)]
    overlap = _overlap(low, high, ranges)
    means = [_mean_log_rate(level, x, low, high, method) for x, level in sides]
    value = np.where(high > low, means[1] - means[0], np.nan)
    return value.reshape(shape), overlap.reshape(shape), np.stack([low, high]).reshape(2, *shape)


def first_of_block(level: Array) -> NDArray[np.bool_]:
    """Of each flat block of rising levels (..., points), the first, which has the lowest rate."""
    first = np.ones((*level.shape[:-1], 1), dtype=bool)
    return np.concatenate([first, np.diff(level, axis=-1) > 0], axis=-1)


def _mean_log_rate(level: Array, x: Array, low: Array, high: Array, method: str) -> Array:
    keep = first_of_block(level)
    count = keep.sum(axis=-1)
    out = np.full(len(level), np.nan)
    # Curves with equally many knots form one batch; there are few different numbers.
    for k in np.unique(count):
        if k < (4 if method == "cubic" else 2):
            continue
        rows = np.flatnonzero((count == k) & (high > low))
        if not len(rows):
            continue
        picked = keep[rows]
        knots = level[rows][picked].reshape(len(rows), k)
        rates = x[rows][picked].reshape(len(rows), k)
        out[rows] = mean_height(knots, rates, low[rows], high[rows], method, rising=True)
    return out


def levels(value: Array) -> int:
    """How many distinct levels of accuracy are left of a curve once it is made rising."""
    return int(first_of_block(isotonic(value)).sum()) if len(value) else 0


def telling_ends(
    log_rate: Array, value: Array, values: Array, min_subjects: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last point of each curve that are left when ends without a significant rise are dropped.

    At a floor or at saturation the rate at a given accuracy is anybody's guess. The end's slope is judged over
    the last octave of rate (or to the next knot, where that is further), so that dense grids are not eaten
    up point by point; one-sided, at 5 %.

    Parameters
    ----------
    log_rate, value : (curves, points) float64
    values : (curves, subjects, points) float64
    min_subjects : int
    """
    curves, n, k = values.shape
    first, last = np.zeros(curves, dtype=np.int64), np.full(curves, k - 1)
    if n < min_subjects:
        return first, last
    critical = float(stdtrit(n - 1, 0.95))
    every, index = np.arange(curves), np.arange(k)
    octave = np.log(2) - TIE
    judged = np.isfinite(values).all(axis=(1, 2))

    def flat(low: NDArray[np.int64], high: NDArray[np.int64], active: NDArray[np.bool_]) -> NDArray[np.bool_]:
        step = value[every, high] - value[every, low]
        error = jackknife_error((values[every, :, high] - values[every, :, low]).T)
        return active & ~(step > critical * error)

    while True:
        active = judged & (last > first)
        near = log_rate <= log_rate[every, last][:, None] - octave
        low = np.where(near & (index < last[:, None]), index, -1).max(axis=1)
        drop = flat(np.where(low < 0, first, low), last, active)
        if not drop.any():
            break
        last = last - drop
        judged = drop
    judged = np.isfinite(values).all(axis=(1, 2))
    while True:
        active = judged & (last > first)
        near = log_rate >= log_rate[every, first][:, None] + octave
        inside = near & (index > first[:, None]) & (index <= last[:, None])
        high = np.where(inside, index, k).min(axis=1)
        drop = flat(first, np.where(high == k, last, high), active)
        if not drop.any():
            break
        first = first + drop
        judged = drop
    return first, last
