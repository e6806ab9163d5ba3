"""Intervals over subjects: jackknife, bootstrap, families, and seeds crossed with subjects.

The unit of chance is the subject. Statistics that add make every resampling a matter of arithmetic: an array
``stats[subject, point, k]`` of sums (see `rdbench.curves.points`) gives all leave-one-out replicates by one
subtraction and all bootstrap replicates by one matrix product; no frame is touched.

The default is the delete-one-subject jackknife with Student's t on n - 1 degrees of freedom, on a scale on
which the metric has no ends (atanh for CCC). Simulated coverage is in docs/simulation.md: percentile
intervals fall well short of 95 % at the 4 to 32 subjects that are usual here, the jackknife does not.

Formulae: Efron and Stein (1981) for the jackknife, Owen (2007) for the crossed bootstrap, Westfall and Young
(1993) for max-t.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from rdbench.stats.max_t import new_samples, resolves
from rdbench.typing import Array

__all__ = [
    "FEW_SUBJECTS",
    "LEVEL",
    "MIN_SEEDS",
    "MIN_SUBJECTS",
    "SCALES",
    "SCALE_OF",
    "Family",
    "Interval",
    "Scale",
    "bootstrap",
    "crossed_bootstrap",
    "delete_one",
    "jackknife",
    "jackknife_error",
    "paired",
    "percentile",
    "simultaneous",
]

FEW_SUBJECTS = 6
"""Under so many subjects an interval says little; each subject is a dot instead."""


Statistic = Callable[[Array], Array]

LEVEL = 0.95
MIN_SUBJECTS = 6
"""Under this many subjects there is no band: show each subject's own value instead."""
MIN_SEEDS = 5
"""Claims about a way of training need at least this many seeds."""
UNBOUNDED = 0.025
"""Share of bootstrap replicates without a value above which an end of the interval is open."""


@dataclass(frozen=True)
class Scale:
    """A monotone map to where the metric has no ends, and back."""

    name: str
    to: Callable[[Array], Array]
    back: Callable[[Array], Array]


def _quiet(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    def quiet(x: Array) -> Array:
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return np.asarray(function(np.asarray(x, dtype=np.float64)))

    return quiet


SCALES = {
    "identity": Scale("identity", lambda x: x, lambda x: x),
    "atanh": Scale("atanh", _quiet(np.arctanh), np.tanh),
    "log": Scale("log", _quiet(np.log), _quiet(np.exp)),
    "logit": Scale("logit", _quiet(lambda x: np.log(x / (1 - x))), _quiet(lambda x: 1 / (1 + np.exp(-x)))),
}
SCALE_OF = {
    "ccc": "atanh",
    "pcc": "atanh",
    "rmse": "log",
    "similarity": "atanh",
    "accuracy": "logit",
    "f1": "logit",
    "tar": "logit",
    "unit_f1": "logit",
}
"""The scale on which each metric's interval is made."""


@dataclass(frozen=True)
class Interval:
    """Ends of intervals, with the reason where there is none.

    Parameters
    ----------
    low, high : (...) float64
        In the metric's own units; NaN where there is no interval, infinite where an end is open.
    error : (...) float64
        Standard error on the scale of the interval.
    reason : (...) object
        "" where there is an interval.
    """

    low: Array
    high: Array
    error: Array
    reason: NDArray[Any]


def delete_one(stats: Array) -> Array:
    """Sums without each subject in turn.

    Parameters
    ----------
    stats : (subjects, ...) float64
        Sums that add over subjects.

    Returns
    -------
    (subjects, ...) float64
    """
    return stats.sum(axis=0) - stats


def jackknife_error(replicates: Array) -> Array:
    """Standard error from delete-one replicates along the first axis (Efron and Stein 1981)."""
    n = len(replicates)
    return np.sqrt((n - 1) / n * ((replicates - replicates.mean(axis=0)) ** 2).sum(axis=0))


def jackknife(
    estimate: ArrayLike,
    replicates: ArrayLike,
    *,
    scale: str = "identity",
    level: float = LEVEL,
    min_subjects: int = MIN_SUBJECTS,
) -> Interval:
    """Intervals from delete-one-subject replicates, with t(n - 1).

    Parameters
    ----------
    estimate : (...) array_like
        From all subjects.
    replicates : (subjects, ...) array_like
        From all subjects but one.
    scale : str
        A key of `SCALES`.
    level : float
    min_subjects : int
        Below 2 it is taken for 2: what varies between subjects cannot be seen in one.

    Returns
    -------
    Interval
        One missing replicate means no interval: leaving it out would hide the subject who decides.
    """
    s = SCALES[scale]
    point = s.to(np.asarray(estimate, dtype=np.float64))
    reps = s.to(np.asarray(replicates, dtype=np.float64))
    n = len(reps)
    with np.errstate(invalid="ignore"):
        error = jackknife_error(reps) if n > 1 else np.full(point.shape, np.nan)
    missing = (~np.isfinite(reps)).sum(axis=0)
    reason = np.full(point.shape, "", dtype=object)
    reason[missing > 0] = "a leave-one-subject-out value is missing"
    reason[~np.isfinite(point)] = "there is no estimate"
    if few := _too_few(n, min_subjects, "subject"):
        reason[...] = few
    none = reason != ""
    half = np.where(none, np.nan, stdtrit(max(n - 1, 1), (1 + level) / 2) * error)
    low, high = s.back(point - half), s.back(point + half)
    return Interval(low, high, np.where(none, np.nan, error), reason)


def _too_few(number: int, least: int, what: str) -> str:
    needed = max(least, 2)
    return (
        "" if number >= needed else f"only {number} {what}{'s' * (number != 1)}: an interval needs {needed}"
    )


def paired(
    first: ArrayLike,
    first_replicates: ArrayLike,
    second: ArrayLike,
    second_replicates: ArrayLike,
    *,
    level: float = LEVEL,
    min_subjects: int = MIN_SUBJECTS,
) -> Interval:
    """Interval of ``second - first`` where the same subjects stand on both sides.

    Both are resampled together: what subjects have in common cancels.

    Parameters
    ----------
    first, second : (...) array_like
    first_replicates, second_replicates : (subjects, ...) array_like
        Row i of both leaves out the same subject.
    """
    return jackknife(
        np.asarray(second) - np.asarray(first),
        np.asarray(second_replicates) - np.asarray(first_replicates),
        level=level,
        min_subjects=min_subjects,
    )


def bootstrap(stats: Array, *, replicates: int = 2000, seed: int = 0) -> Array:
    """Sums over subjects drawn with replacement.

    Parameters
    ----------
    stats : (subjects, ...) float64
    replicates : int
    seed : int

    Returns
    -------
    (replicates, ...) float64
        One matrix product for all replicates and points.
    """
    n = len(stats)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=replicates).astype(np.float64)
    return np.tensordot(weights, stats, axes=1)


def percentile(
    replicates: ArrayLike,
    *,
    level: float = LEVEL,
    missing_below: ArrayLike = False,
) -> Interval:
    """Percentile interval from bootstrap replicates, counting those without a value.

    Parameters
    ----------
    replicates : (replicates, ...) array_like
        NaN where a replicate has no value.
    level : float
    missing_below : (replicates, ...) array_like of bool
        Whether a replicate without a value would fall below all others (else above).

    Returns
    -------
    Interval
        `reason` counts the replicates without a value; where they are more than 2.5 % on one side, that end
        is infinite and `reason` says "unbounded".
    """
    x = np.asarray(replicates, dtype=np.float64)
    below = np.broadcast_to(np.asarray(missing_below, dtype=bool), x.shape)
    missing = np.isnan(x)
    share_below = (missing & below).mean(axis=0)
    share_above = (missing & ~below).mean(axis=0)
    placed = np.where(missing, np.where(below, -np.inf, np.inf), x)
    tail = (1 - level) / 2
    low = np.quantile(placed, tail, axis=0, method="inverted_cdf")
    high = np.quantile(placed, 1 - tail, axis=0, method="inverted_cdf")
    low = np.where(share_below > UNBOUNDED, -np.inf, low)
    high = np.where(share_above > UNBOUNDED, np.inf, high)
    reason = np.full(low.shape, "", dtype=object)
    with np.errstate(invalid="ignore"):
        error = np.full(low.shape, np.nan)
        if not missing.any():
            error = x.std(axis=0, ddof=1)
    unbounded = (share_below > UNBOUNDED) | (share_above > UNBOUNDED)
    count = missing.sum(axis=0)
    for index in np.argwhere(count > 0):
        at = tuple(index)
        text = f"{count[at]} of {len(x)} replicates have no value"
        reason[at] = f"unbounded: {text}" if unbounded[at] else text
    nothing = missing.all(axis=0)
    reason[nothing] = "no replicate has a value"
    return Interval(np.where(nothing, np.nan, low), np.where(nothing, np.nan, high), error, reason)


@dataclass(frozen=True)
class Family:
    """Simultaneous intervals: all hold the truth together with the stated probability.

    Parameters
    ----------
    interval : Interval
        One for each member.
    critical : float
        What the standard errors are multiplied by; t's own quantile for a family of one.
    """

    interval: Interval
    critical: float


def simultaneous(
    estimate: ArrayLike,
    replicates: ArrayLike,
    *,
    scale: str = "identity",
    level: float = LEVEL,
    min_subjects: int = MIN_SUBJECTS,
    draws: int = 4000,
    seed: int = 0,
) -> Family:
    """Max-t intervals of a family of estimates over the same subjects.

    The critical value is the quantile of the largest |t| of a family with the members' own correlations: the
    means and the standard errors that new Gaussian subjects with the observed covariance would have are drawn
    from their distributions (normal and Wishart), no subject by itself. For one member this is Student's t(n - 1) exactly; it never exceeds
    Bonferroni's value. Members that go together cost little, independent ones as much as Bonferroni.

    Parameters
    ----------
    estimate : (members,) array_like
    replicates : (subjects, members) array_like
    scale, level, min_subjects
        As in `jackknife`.
    draws, seed : int
        Of the simulation; the same input gives the same answer.

    Returns
    -------
    Family
        Members without an estimate or with a missing replicate take no part.
    """
    plain = jackknife(estimate, replicates, scale=scale, level=level, min_subjects=min_subjects)
    usable = (plain.reason == "") & (plain.error > 0)
    n = len(np.asarray(replicates))
    if not usable.any():
        return Family(plain, float(stdtrit(max(n - 1, 1), (1 + level) / 2)))
    reps = SCALES[scale].to(np.asarray(replicates, dtype=np.float64))[:, usable]
    critical = _critical(reps - reps.mean(axis=0), level, draws, seed)
    s = SCALES[scale]
    point = s.to(np.asarray(estimate, dtype=np.float64))
    half = critical * plain.error
    return Family(
        Interval(s.back(point - half), s.back(point + half), plain.error, plain.reason),
        critical,
    )


def _critical(influence: Array, level: float, draws: int, seed: int) -> float:
    n, members = influence.shape
    single = float(stdtrit(n - 1, (1 + level) / 2))
    if members == 1:
        return single
    bonferroni = float(stdtrit(n - 1, 1 - (1 - level) / (2 * members)))
    rng = np.random.default_rng(seed)
    largest = [
        np.abs(mean / error[:, None, :]).max(axis=-1).ravel()
        for mean, error in new_samples(influence, draws, rng)
    ]
    deviations = np.concatenate(largest)
    if not resolves(len(deviations), level):
        return bonferroni
    return float(np.clip(np.quantile(deviations, level), single, bonferroni))


def crossed_bootstrap(
    stats: Array, statistic: Statistic, *, replicates: int = 2000, seed: int = 0
) -> NDArray[np.float64]:
    """Means over seeds with seeds and subjects both drawn with replacement (Owen's pigeonhole bootstrap).

    Parameters
    ----------
    stats : (seeds, subjects, k) float64
        Sums that add over subjects.
    statistic : callable
        From sums (..., k) to the metric (...).
    replicates, seed : int

    Returns
    -------
    (replicates,) float64
    """
    seeds, subjects = stats.shape[:2]
    rng = np.random.default_rng(seed)
    of_subjects = rng.multinomial(subjects, np.full(subjects, 1 / subjects), size=replicates)
    of_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=replicates)
    sums = np.einsum("bs,msk->bmk", of_subjects.astype(np.float64), stats)
    return (of_seeds * statistic(sums)).sum(axis=1) / seeds
