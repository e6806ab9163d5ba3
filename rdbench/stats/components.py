"""Uncertainty from several samples at once: subjects, and the seeds of each way of training.

An estimate about ways of training rests on subjects who were drawn, and on seeds that were drawn for each way
by itself. Each sample is deleted one by one, all else kept, which gives one component of variance a sample;
they add up to the squared standard error. For a mean over seeds and subjects that is the variance of Owen's
(2007) pigeonhole bootstrap to the first order, for a difference of two means over seeds Welch's (1938). What
seeds and subjects do together is in the components of both, so the sum errs on the safe side.

Formulae: Tukey's jackknife for one sample, Arvesen (1969) for several, Satterthwaite (1946) for the degrees of
freedom, Cochran and Cox (1950) where those of few seeds are asked for far tails, Westfall and Young (1993) for families.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtrit

from rdbench.stats.intervals import LEVEL, MIN_SUBJECTS, jackknife_error, simultaneous
from rdbench.stats.max_t import new_samples, resolves
from rdbench.typing import Array

__all__ = [
    "Bounds",
    "Estimate",
    "Family",
    "Sample",
    "average",
    "bounds",
    "family",
    "over_subjects",
    "p_value",
    "together",
]

DRAWS = 4000
"""Of a family's largest deviation; its 95 % quantile is then known to about 2 % of its value."""

_SMALLEST = 1e-15
"""P-value: further out, nothing of this is exact."""


@dataclass(frozen=True)
class Sample:
    """One sample, as an estimate without each of its units in turn.

    Parameters
    ----------
    name : hashable
        Estimates with equal names rest on the same units in the same order: they go up and down together.
    replicates : (n,) float64
        n is 2 or more, but for subjects, of whom there may be one.
    units : tuple of hashable
        What each replicate leaves out. Samples of one name that have units need not have the same ones: what they
        have in common goes together. Without units, equal names of unlike numbers are samples of their own.
    """

    name: Hashable
    replicates: Array
    units: tuple[Hashable, ...] = ()

    @property
    def pool(self) -> tuple[Hashable, int]:
        """What is equal for samples that go together."""
        return self.name, 0 if self.units else len(self.replicates)

    @property
    def labels(self) -> tuple[Hashable, ...]:
        """The units, or their numbers where they have no names."""
        return self.units or tuple(range(len(self.replicates)))

    @property
    def influence(self) -> Array:
        """What each unit adds to the squared standard error, as a root with its sign: (n,)."""
        n = len(self.replicates)
        return np.sqrt((n - 1) / n) * (self.replicates - self.replicates.mean())

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


def bounds(
    estimate: Estimate, *, level: float = LEVEL, min_subjects: int = MIN_SUBJECTS, cautious: bool = False
) -> Bounds:
    """Interval of one estimate.

    Parameters
    ----------
    estimate : Estimate
    level : float
    min_subjects : int
        Below 2 it is taken for 2: what varies between subjects cannot be seen in one.
    cautious : bool
        Take the mean of the samples' own quantiles of t, each weighted by its component (Cochran and Cox, 1950). Degrees
        of freedom that are themselves estimated from five seeds come out too many where these are alike by chance, which at
        95 % does little, and at 99 % and beyond doubles how often an interval misses (docs/simulation.md).

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
    parts, free = _components(estimate)
    total = float(parts.sum())
    if total == 0:
        return Bounds(estimate.value, estimate.value, 0.0, np.inf, "")
    error, freedom = total**0.5, float(total**2 / (parts**2 / free).sum())
    half = _critical(parts, free, 1 - level, cautious) * error
    return Bounds(estimate.value - half, estimate.value + half, error, freedom, "")


def p_value(estimate: Estimate, *, min_subjects: int = MIN_SUBJECTS) -> float:
    """Two-sided, of 0: 1 less the level of the `cautious` interval that ends there, and at least 1e-15.

    NaN where there is no interval.
    """
    own = bounds(estimate, min_subjects=min_subjects)
    if own.reason:
        return np.nan
    if own.error == 0:
        return float(own.low == 0)
    wanted = abs(estimate.value) / own.error
    parts, free = _components(estimate)

    def beyond(log_p: float) -> float:
        return _critical(parts, free, float(np.exp(log_p)), cautious=True) - wanted

    smallest = np.log(_SMALLEST)
    return float(np.exp(brentq(beyond, smallest, 0.0))) if beyond(smallest) > 0 else _SMALLEST


def _components(estimate: Estimate) -> tuple[Array, Array]:
    """The components of variance that are not 0, and their degrees of freedom."""
    parts = np.array([sample.variance for sample in estimate.samples])
    free = np.array([len(sample.replicates) - 1.0 for sample in estimate.samples])
    return parts[parts > 0], free[parts > 0]


def _critical(parts: Array, free: Array, tails: float, cautious: bool) -> float:
    """What an estimate exceeds, over its standard error, in so large a share of samples if it is 0; see `bounds`."""
    if cautious:
        return float(-(parts * stdtrit(free, tails / 2)).sum() / parts.sum())
    return float(-stdtrit(parts.sum() ** 2 / (parts**2 / free).sum(), tails / 2))


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


def average(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of estimates, all of one weight, with the samples that they rest on.

    Parameters
    ----------
    estimates : sequence of Estimate
        One or more, none with a missing value or replicate. They may rest on unlike subjects or seeds.

    Returns
    -------
    Estimate
        Its components are those of the mean: what a unit does to the members is added up before it is squared.
    """
    value = float(np.mean([one.value for one in estimates]))
    pools: dict[tuple[Hashable, int], list[Sample]] = {}
    for one in estimates:
        for sample in one.samples:
            pools.setdefault(sample.pool, []).append(sample)
    merged = {}
    for pool, samples in pools.items():
        influence, units = _influence(list(enumerate(samples)), len(estimates))
        n = len(units)
        moved = influence.sum(axis=1) / len(estimates)
        merged[pool] = Sample(
            pool[0], value + moved * np.sqrt(n / max(n - 1, 1)), units if pool[1] == 0 else ()
        )
    first = estimates[0].subjects.pool
    return Estimate(value, merged.pop(first), tuple(merged.values()))


def _influence(samples: Sequence[tuple[int, Sample]], members: int) -> tuple[Array, tuple[Hashable, ...]]:
    """What the units of samples of one pool do to each member, (units, members), and the units."""
    units = tuple(dict.fromkeys(unit for _, sample in samples for unit in sample.labels))
    place = {unit: row for row, unit in enumerate(units)}
    influence = np.zeros((len(units), members))
    for i, sample in samples:
        influence[[place[unit] for unit in sample.labels], i] = sample.influence
    return influence, units


@dataclass(frozen=True)
class Family:
    """Estimates that are looked at together, with what a family of them would deviate by.

    Parameters
    ----------
    estimates : sequence of Estimate
    members : sequence of int
        Those with an interval that has a width.
    deviations : (draws, members) float64
        Of new samples, over their own standard errors.
    min_subjects : int
    """

    estimates: Sequence[Estimate]
    members: Sequence[int]
    deviations: Array
    min_subjects: int = MIN_SUBJECTS

    def at(self, level: float = LEVEL, *, cautious: bool = False) -> list[Bounds]:
        """Simultaneous intervals: all hold the truth together with the stated probability.

        All are widened by the quantile of the largest deviation, each member's measured against its own plain
        interval, and at most by Bonferroni's; by that alone where the level leaves too few draws beyond it to tell. A
        family of one has its plain interval; members without an interval take no part.
        """
        plain = [
            bounds(one, level=level, min_subjects=self.min_subjects, cautious=cautious)
            for one in self.estimates
        ]
        if len(self.members) < 2:
            return plain
        error = np.array([plain[i].error for i in self.members])
        components = [_components(self.estimates[i]) for i in self.members]
        single, bonferroni = (
            np.array([_critical(parts, free, tails, cautious) for parts, free in components])
            for tails in (1 - level, (1 - level) / len(self.members))
        )
        largest = (self.deviations / single).max(axis=1)
        told = resolves(len(largest), level)
        wider = max(float(np.quantile(largest, level)), 1.0) if told else np.inf
        half = np.minimum(wider * single, bonferroni) * error
        for i, h in zip(self.members, half, strict=True):
            value = self.estimates[i].value
            plain[i] = Bounds(value - float(h), value + float(h), plain[i].error, plain[i].freedom, "")
        return plain


def family(
    estimates: Sequence[Estimate], *, min_subjects: int = MIN_SUBJECTS, draws: int = DRAWS, seed: int = 0
) -> Family:
    """Draw what a family of estimates would deviate by, once for intervals of any level.

    New samples are drawn as Gaussian vectors with the covariance that the family's members were observed to
    have, each sample with its own means and standard errors.

    Parameters
    ----------
    estimates : sequence of Estimate
    min_subjects
        As in `bounds`.
    draws, seed : int
        Of the simulation; the same input gives the same answer.
    """
    plain = [bounds(one, min_subjects=min_subjects) for one in estimates]
    members = [i for i, one in enumerate(plain) if not one.reason and one.error > 0]
    if len(members) < 2:
        return Family(estimates, members, np.zeros((0, len(members))), min_subjects)
    mean, variance = _drawn([estimates[i] for i in members], draws, seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Family(estimates, members, np.abs(mean) / np.sqrt(variance), min_subjects)


def together(
    estimates: Sequence[Estimate],
    *,
    level: float = LEVEL,
    min_subjects: int = MIN_SUBJECTS,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[Bounds]:
    """Simultaneous intervals of one level; see `Family.at` and `family`."""
    return family(estimates, min_subjects=min_subjects, draws=draws, seed=seed).at(level)


def over_subjects(
    values: Array,
    replicates: Sequence[Array],
    subjects: Sequence[Sequence[Hashable]],
    *,
    level: float = LEVEL,
    draws: int = DRAWS,
) -> list[Bounds]:
    """Simultaneous intervals of one family over subjects, which need not be the same for all members.

    Where they are, these are the intervals of `rdbench.stats.intervals.simultaneous`.

    Parameters
    ----------
    values : (members,) float64
    replicates : sequence of (subjects,) float64
        Of each member, without each of its own subjects in turn.
    subjects : sequence of sequence of hashable
        Who they are; members go together by whom they have in common.
    level, draws
        As in `together`.
    """
    if len({tuple(names) for names in subjects}) == 1:
        n = len(subjects[0])
        found = simultaneous(values, np.stack(replicates, axis=1), level=level, draws=draws).interval
        columns = (found.low, found.high, found.error, found.reason)
        return [
            Bounds(float(low), float(high), float(error), n - 1.0, str(reason))
            for low, high, error, reason in zip(*columns, strict=True)
        ]
    estimates = [
        Estimate(float(value), Sample("subjects", own, tuple(names)))
        for value, own, names in zip(values, replicates, subjects, strict=True)
    ]
    return together(estimates, level=level, draws=draws)


def _drawn(estimates: Sequence[Estimate], draws: int, seed: int) -> tuple[Array, Array]:
    """Deviations of the members and the variances estimated with them, both (draws, members)."""
    rng = np.random.default_rng(seed)
    mean = np.zeros((draws, len(estimates)))
    variance = np.zeros_like(mean)
    pools: dict[tuple[Hashable, int], list[tuple[int, Sample]]] = {}
    for i, estimate in enumerate(estimates):
        for sample in estimate.samples:
            pools.setdefault(sample.pool, []).append((i, sample))
    for samples in pools.values():
        influence, _ = _influence(samples, len(estimates))
        moved = np.flatnonzero(influence.any(axis=0))
        if not len(moved):
            continue
        error = np.linalg.norm(influence[:, moved], axis=0)
        start = 0
        for means, errors in new_samples(influence[:, moved], draws, rng, paired=True):
            at = slice(start, start + len(means))
            mean[at, moved] += means[:, 0] * error
            variance[at, moved] += (errors * error) ** 2
            start = at.stop
    return mean, variance
