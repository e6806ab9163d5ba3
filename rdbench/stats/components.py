"""Uncertainty from several samples at once: subjects, and the seeds of each way of training.

An estimate about ways of training rests on subjects who were drawn, and on seeds that were drawn for each way
by itself. Each sample is deleted one by one, all else kept, which gives one component of variance a sample;
they add up to the squared standard error. For a mean over seeds and subjects that is the variance of Owen's
(2007) pigeonhole bootstrap to the first order, for a difference of two means over seeds Welch's (1938). What
seeds and subjects do together is in the components of both, so the sum errs on the safe side.

Formulae: Tukey's jackknife for one sample, Arvesen (1969) for several, Satterthwaite (1946) for the degrees of
freedom, Westfall and Young (1993) for families.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from rdbench.stats.intervals import LEVEL, MIN_SUBJECTS, jackknife_error
from rdbench.stats.max_t import new_samples
from rdbench.typing import Array

__all__ = ["Bounds", "Estimate", "Sample", "bounds", "together"]

DRAWS = 4000
"""Of a family's largest deviation; its 95 % quantile is then known to about 2 % of its value."""


@dataclass(frozen=True)
class Sample:
    """One sample, as an estimate without each of its units in turn.

    Parameters
    ----------
    name : hashable
        Estimates with equal names rest on the same units in the same order: they go up and down together.
    replicates : (n,) float64
        n is 2 or more, but for subjects, of whom there may be one.
    """

    name: Hashable
    replicates: Array

    @property
    def variance(self) -> float:
        """The component of variance; NaN from fewer than 2 units."""
        return float(jackknife_error(self.replicates) ** 2) if len(self.replicates) > 1 else np.nan


@dataclass(frozen=True)
class Estimate:
    """One estimate, with the samples that it rests on.

    Parameters
    ----------
    value : float
        On a scale on which it may be taken for normal; NaN where there is none.
    subjects : Sample
    seeds : tuple of Sample
        One for each way of training that has 2 seeds or more.
    reason : str
        Why there is no value.
    """

    value: float
    subjects: Sample
    seeds: tuple[Sample, ...] = ()
    reason: str = ""

    @property
    def samples(self) -> tuple[Sample, ...]:
        """Subjects first."""
        return (self.subjects, *self.seeds)


@dataclass(frozen=True)
class Bounds:
    """An interval and what it is made of.

    Parameters
    ----------
    low, high : float
        NaN where there is no interval.
    error : float
        Standard error.
    freedom : float
        Degrees of freedom of t.
    reason : str
        "" where there is an interval.
    """

    low: float
    high: float
    error: float
    freedom: float
    reason: str


def bounds(estimate: Estimate, *, level: float = LEVEL, min_subjects: int = MIN_SUBJECTS) -> Bounds:
    """Interval of one estimate.

    Parameters
    ----------
    estimate : Estimate
    level : float
    min_subjects : int
        Below 2 it is taken for 2: what varies between subjects cannot be seen in one.

    Returns
    -------
    Bounds
        ``value +- t(freedom) * error`` with ``error**2`` the sum of the components and
        ``freedom = error**4 / sum(component**2 / (n - 1))``. One missing replicate means no interval: leaving
        it out would hide the subject or seed that decides.
    """
    reason = _reason(estimate, min_subjects)
    if reason:
        return Bounds(np.nan, np.nan, np.nan, np.nan, reason)
    parts = np.array([sample.variance for sample in estimate.samples])
    free = np.array([len(sample.replicates) - 1 for sample in estimate.samples])
    total = float(parts.sum())
    if total == 0:
        return Bounds(estimate.value, estimate.value, 0.0, np.inf, "")
    error, freedom = total**0.5, float(total**2 / (parts**2 / free).sum())
    half = float(stdtrit(freedom, (1 + level) / 2)) * error
    return Bounds(estimate.value - half, estimate.value + half, error, freedom, "")


def _reason(estimate: Estimate, min_subjects: int) -> str:
    n, needed = len(estimate.subjects.replicates), max(min_subjects, 2)
    if estimate.reason or not np.isfinite(estimate.value):
        return estimate.reason or "there is no estimate"
    if n < needed:
        return f"only {n} subject{'s' * (n != 1)}: an interval needs {needed}"
    if not np.isfinite(estimate.subjects.replicates).all():
        return "a leave-one-subject-out value is missing"
    if not all(np.isfinite(sample.replicates).all() for sample in estimate.seeds):
        return "a leave-one-seed-out value is missing"
    return ""


def together(
    estimates: Sequence[Estimate],
    *,
    level: float = LEVEL,
    min_subjects: int = MIN_SUBJECTS,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[Bounds]:
    """Simultaneous intervals: all hold the truth together with the stated probability.

    New samples are drawn as Gaussian vectors with the covariance that the family's members were observed to
    have, each sample with its own means and standard errors. What all intervals are widened by is the quantile
    of the largest deviation, each member's measured against its own plain interval, and at most Bonferroni's.
    A family of one has its plain interval.

    Parameters
    ----------
    estimates : sequence of Estimate
    level, min_subjects
        As in `bounds`.
    draws, seed : int
        Of the simulation; the same input gives the same answer.

    Returns
    -------
    list of Bounds
        Members without an interval take no part.
    """
    plain = [bounds(one, level=level, min_subjects=min_subjects) for one in estimates]
    members = [i for i, one in enumerate(plain) if not one.reason and one.error > 0]
    if len(members) < 2:
        return plain
    freedom = np.array([plain[i].freedom for i in members])
    error = np.array([plain[i].error for i in members])
    single = stdtrit(freedom, (1 + level) / 2)
    bonferroni = stdtrit(freedom, 1 - (1 - level) / (2 * len(members)))
    mean, variance = _drawn([estimates[i] for i in members], draws, seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        largest = (np.abs(mean) / np.sqrt(variance) / single).max(axis=1)
    wider = max(float(np.quantile(largest, level)), 1.0)
    half = np.minimum(wider * single, bonferroni) * error
    out = list(plain)
    for i, h in zip(members, half, strict=True):
        value = estimates[i].value
        out[i] = Bounds(value - float(h), value + float(h), plain[i].error, plain[i].freedom, "")
    return out


def _drawn(estimates: Sequence[Estimate], draws: int, seed: int) -> tuple[Array, Array]:
    """Deviations of the members and the variances estimated with them, both (draws, members)."""
    rng = np.random.default_rng(seed)
    mean = np.zeros((draws, len(estimates)))
    variance = np.zeros_like(mean)
    names = dict.fromkeys((sample.name, len(sample.replicates)) for e in estimates for sample in e.samples)
    for name, units in names:
        influence = np.zeros((units, len(estimates)))
        for i, estimate in enumerate(estimates):
            for sample in estimate.samples:
                if (sample.name, len(sample.replicates)) == (name, units):
                    influence[:, i] = sample.replicates - sample.replicates.mean()
        moved = np.flatnonzero(influence.any(axis=0))
        if not len(moved):
            continue
        error = np.sqrt((units - 1) / units) * np.linalg.norm(influence[:, moved], axis=0)
        start = 0
        for means, errors in new_samples(influence[:, moved], draws, rng, paired=True):
            at = slice(start, start + len(means))
            mean[at, moved] += means[:, 0] * error
            variance[at, moved] += (errors * error) ** 2
            start = at.stop
    return mean, variance
