"""How often the intervals hold the truth, by simulation with subjects whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from rdbench.curves.arrays import Arrays
from rdbench.curves.envelope import Chooser, envelope_of
from rdbench.curves.points import Points, kbps, metric_of_sums
from rdbench.curves.sides import GROUP
from rdbench.gate.population import CENTRE, FACTORS, POPULATIONS, RATES, Population, draw
from rdbench.stats import bd
from rdbench.stats.bd import Delta, Side, bd_accuracy, bd_rate
from rdbench.stats.intervals import LEVEL, MIN_SUBJECTS, bootstrap, delete_one, jackknife, paired, percentile
from rdbench.stats.reached import Answer, accuracy_at, difference, rate_at, ratio
from rdbench.tables.basis import Basis
from rdbench.typing import Array

__all__ = ["coverage", "envelope_coverage", "side_of_sums", "target_coverage"]


_POPULATION = 200_000


def side_of_sums(stats: Array, metric: str = "ccc") -> Side:
    """A curve with its replicates from sums (subjects, points, 8)."""
    total, without = stats.sum(axis=0), delete_one(stats)
    return Side(
        np.log(kbps(total)),
        metric_of_sums(total, CENTRE, metric),
        np.log(kbps(without)),
        metric_of_sums(without, CENTRE, metric),
    )


def _resampled(stats: Array, replicates: int, seed: int) -> Side:
    total, drawn = stats.sum(axis=0), bootstrap(stats, replicates=replicates, seed=seed)
    return Side(
        np.log(kbps(total)),
        metric_of_sums(total, CENTRE, "ccc"),
        np.log(kbps(drawn)),
        metric_of_sums(drawn, CENTRE, "ccc"),
    )


def _truth(population: Population, seed: int) -> dict[str, float]:
    stats = draw(population, _POPULATION, np.random.default_rng(seed)).sum(axis=0)
    value = metric_of_sums(stats, CENTRE, "ccc")
    none = np.zeros((0, len(RATES)))
    sides = [Side(np.log(kbps(stats[i])), value[i], none, none) for i in (0, 1)]
    return {
        "CCC": float(value[0, 2]),
        "paired difference": float(value[1, 2] - value[0, 1]),
        "BD-CCC": bd_accuracy(*sides).value,
        "BD-rate": bd_rate(*sides).value,
    }


def coverage(
    trials: int = 1000,
    subjects: Sequence[int] = (4, 8, 16, 32),
    *,
    population: Population | None = None,
    boot: int = 500,
    seed: int = 0,
    level: float = LEVEL,
) -> pd.DataFrame:
    """How often nominal 95 % intervals hold the population's value.

    Parameters
    ----------
    trials : int
    subjects : sequence of int
    population : Population, optional
    boot : int
        Bootstrap replicates in each trial; 0 leaves the bootstrap out.
    seed : int
    level : float

    Returns
    -------
    DataFrame
        ``quantity``, ``interval`` ("jackknife" or "bootstrap"), ``subjects``, ``held`` (share of the trials
        with an interval whose interval holds the truth), ``below``, ``above`` (share where the truth lies
        below or above it), ``width`` (median), ``without`` (share of trials without an interval).
    """
    population = population or POPULATIONS["alike"]
    truth = _truth(population, seed)
    rng = np.random.default_rng(seed + 1)
    found: dict[tuple[str, str, int], list[tuple[float, float]]] = {}
    for n in subjects:
        for trial in range(trials):
            stats = draw(population, n, rng)
            for name, kind, low, high in _one_trial(stats, boot, trial, level):
                found.setdefault((name, kind, n), []).append((low, high))
    rows = []
    for (name, kind, n), ends in found.items():
        rows.append(_coverage_row(name, kind, n, truth[name], ends))
    return pd.DataFrame(rows).sort_values(["quantity", "interval", "subjects"], ignore_index=True)


def _coverage_row(
    name: str, kind: str, n: int, truth: float, ends: list[tuple[float, float]]
) -> dict[str, object]:
    low, high = np.array(ends).T
    have = ~(np.isnan(low) | np.isnan(high))
    below, above = truth < low[have], truth > high[have]
    return {
        "quantity": name,
        "interval": kind,
        "subjects": n,
        "held": float(1 - (below | above).mean()) if have.any() else np.nan,
        "below": float(below.mean()) if have.any() else np.nan,
        "above": float(above.mean()) if have.any() else np.nan,
        "width": float(np.median(high[have] - low[have])) if have.any() else np.nan,
        "without": float(1 - have.mean()),
    }


def _one_trial(stats: Array, boot: int, trial: int, level: float) -> list[tuple[str, str, float, float]]:
    anchor, test = side_of_sums(stats[:, 0]), side_of_sums(stats[:, 1])
    few = {"level": level, "min_subjects": 2}
    one = jackknife(anchor.value[2], anchor.values[:, 2], scale="atanh", **few)  # type: ignore[arg-type]
    both = paired(anchor.value[1], anchor.values[:, 1], test.value[2], test.values[:, 2], **few)  # type: ignore[arg-type]
    accuracy = bd_accuracy(anchor, test, **few)  # type: ignore[arg-type]
    # Under 6 subjects the program judges no slopes, so nothing is cut off here either.
    rate = bd_rate(anchor, test, cut=len(stats) >= MIN_SUBJECTS, **few)  # type: ignore[arg-type]
    out = [
        ("CCC", "jackknife", float(one.low), float(one.high)),
        ("paired difference", "jackknife", float(both.low), float(both.high)),
        ("BD-CCC", "jackknife", accuracy.low, accuracy.high),
        ("BD-rate", "jackknife", rate.low, rate.high),
    ]
    if not boot:
        return out
    a, b = (_resampled(stats[:, i], boot, trial) for i in (0, 1))
    for name, interval in (
        ("CCC", percentile(a.values[:, 2], level=level)),
        ("paired difference", percentile(b.values[:, 2] - a.values[:, 1], level=level)),
        ("BD-CCC", bd.bootstrap_interval(a, b, measure="accuracy")),
        ("BD-rate", bd.bootstrap_interval(a, b, measure="rate")),
    ):
        out.append((name, "bootstrap", float(interval.low), float(interval.high)))
    return out


def _points(stats: Array) -> Points:
    """Sums (subjects, factors, points, 8) as the points of one envelope."""
    subjects, factors, count, k = stats.shape
    keys = pd.DataFrame(
        {
            **dict.fromkeys(GROUP, "one"),
            "factor": np.repeat(np.arange(1, factors + 1), count),
            "rate": np.tile(RATES, factors),
            "coded_larger": False,
        }
    )
    return Points(
        keys,
        stats.reshape(subjects, factors * count, k),
        np.zeros((len(keys), 2)),
        "ccc",
        [str(i) for i in range(subjects)],
        [],
        pd.DataFrame(),
    )


def _gain(stats: Array, *, oracle: bool, level: float) -> Delta:
    """BD-CCC of the envelope over the first factor."""
    points = _points(stats)
    nowhere = pd.DataFrame({"partition": ["test"]})
    chooser = Chooser(Arrays(nowhere, nowhere, Basis(partition="test")), oracle=oracle)
    envelope = envelope_of(points, np.arange(len(points.keys)), dict.fromkeys(GROUP, "one"), chooser)
    return bd_accuracy(side_of_sums(stats[:, 0]), envelope.side, level=level, min_subjects=2)


def envelope_coverage(
    trials: int = 1000,
    subjects: Sequence[int] = (4, 8, 16, 32),
    *,
    population: Population = FACTORS,
    seed: int = 0,
    level: float = LEVEL,
) -> pd.DataFrame:
    """How often the interval of an envelope's gain over one factor holds the population's gain.

    The factor is chosen for each subject on the others, and anew in every replicate; the truth is the gain of
    the envelope that is best in the population.

    Returns
    -------
    DataFrame
        As `coverage`.
    """
    whole = draw(population, _POPULATION, np.random.default_rng(seed)).sum(axis=0, keepdims=True)
    truth = _gain(whole, oracle=True, level=level).value
    rng = np.random.default_rng(seed + 1)
    rows = []
    for n in subjects:
        found = [_gain(draw(population, n, rng), oracle=False, level=level) for _ in range(trials)]
        ends = [(one.low, one.high) for one in found]
        rows.append(_coverage_row("BD-CCC of an envelope", "jackknife", n, truth, ends))
    return pd.DataFrame(rows)


_KBPS = 20.0


def _with_uncoded(population: Population, subjects: int, rng: np.random.Generator) -> Array:
    """Sums (subjects, anchor and test and uncoded, points, 8)."""
    # Uncoded pictures are a side that reaches half of its quality at once.
    three = replace(
        population, half=(*population.half, 1e-6), ceiling=(*population.ceiling, max(population.ceiling))
    )
    return draw(three, subjects, rng)


def _target_sides(stats: Array) -> tuple[list[Side], float, Array]:
    """Anchor and test, and the CCC of uncoded pictures, whole and without each subject."""
    total, without = stats.sum(axis=0), delete_one(stats)
    with np.errstate(invalid="ignore", divide="ignore"):
        log_rate, log_rates = np.log(kbps(total)), np.log(kbps(without))
    value, values = metric_of_sums(total, CENTRE, "ccc"), metric_of_sums(without, CENTRE, "ccc")
    sides = [Side(log_rate[i], value[i], log_rates[:, i], values[:, i]) for i in (0, 1)]
    return sides, float(value[2, -1]), values[:, 2, -1]


def _target_answers(stats: Array, shares: Sequence[float]) -> dict[str, Answer]:
    (anchor, test), uncoded, uncoded_without = _target_sides(stats)
    out = {}
    for share in shares:
        first, second = (
            rate_at(side, share * uncoded, share * uncoded_without, min_subjects=2) for side in (anchor, test)
        )
        out[f"rate that keeps {share:.0%}"] = first
        out[f"saving where {share:.0%} is kept"] = ratio(first, second, min_subjects=2)
    pair = [accuracy_at(side, float(np.log(_KBPS)), scale="atanh", min_subjects=2) for side in (anchor, test)]
    out[f"CCC at {_KBPS:g} kbit/s"] = pair[0]
    out[f"gain in CCC at {_KBPS:g} kbit/s"] = difference(*pair, min_subjects=2)
    return out


def target_coverage(
    trials: int = 1000,
    subjects: Sequence[int] = (6, 8, 16, 32),
    *,
    population: Population | None = None,
    shares: Sequence[float] = (0.7, 0.8, 0.9),
    seed: int = 0,
) -> pd.DataFrame:
    """How often nominal 95 % intervals hold the population's value.

    Parameters
    ----------
    trials : int
    subjects : sequence of int
    population : Population, optional
    shares : sequence of float
        Of the uncoded accuracy, that are to be kept.
    seed : int

    Returns
    -------
    DataFrame
        ``quantity``, ``subjects``, ``held`` (share of the trials with an interval whose interval holds the truth),
        ``below``, ``above`` (share where the truth lies below or above it), ``open`` (share whose interval is open at
        an end), ``width`` (median, of the closed ones), ``without`` (share of trials without a value).
    """
    population = population or POPULATIONS["alike"]
    whole = _with_uncoded(population, _POPULATION, np.random.default_rng(seed)).sum(axis=0, keepdims=True)
    truth = _target_answers(whole, shares)
    rng = np.random.default_rng(seed + 1)
    rows = []
    for n in subjects:
        drawn = [_target_answers(_with_uncoded(population, n, rng), shares) for _ in range(trials)]
        for name, true in truth.items():
            found = [one[name] for one in drawn]
            rows.append({"quantity": name, "subjects": n, **_target_row(true.value, found)})
    return pd.DataFrame(rows).sort_values(["quantity", "subjects"], ignore_index=True)


def _target_row(truth: float, found: list[Answer]) -> dict[str, float]:
    low, high = np.array([(one.low, one.high) for one in found]).T
    have = ~(np.isnan(low) | np.isnan(high))
    below, above = truth < low[have], truth > high[have]
    width = high[have] - low[have]
    closed = np.isfinite(width)
    return {
        "held": float(1 - (below | above).mean()),
        "below": float(below.mean()),
        "above": float(above.mean()),
        "open": float(1 - closed.mean()),
        "width": float(np.median(width[closed])) if closed.any() else np.nan,
        "without": float(1 - have.mean()),
    }
