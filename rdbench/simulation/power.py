"""How often the gate finds a loss, and how often it sees one that is not there, by simulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from rdbench.curves.points import kbps, metric_of_sums
from rdbench.gate.judging import POWER, judge
from rdbench.simulation.population import CENTRE, PLANTED, POPULATIONS, Population, draw
from rdbench.stats import bd
from rdbench.stats.bd import Side
from rdbench.stats.intervals import LEVEL, MIN_SUBJECTS, jackknife_error
from rdbench.typing import Array

__all__ = [
    "ACCURACY_LIMITS",
    "RATE_LIMITS",
    "detection",
    "false_alarms",
    "needed",
    "power",
    "spreads",
    "subjects_needed",
]


RATE_LIMITS = {f"{tolerance:g} %": float(np.log1p(tolerance / 100)) for tolerance in (0.5, 1, 2, 3, 5, 10)}


ACCURACY_LIMITS = {f"{tolerance:g}": tolerance for tolerance in (0.005, 0.01, 0.02, 0.03, 0.05)}
"""Tolerances on the scales on which losses are judged, by what heads their columns."""


_BATCH = 50


_DRAWS = 1000
"""Of max-t in each trial; its noise averages out over the trials."""


def _family(
    curves: int, subjects: int, population: Population, rng: np.random.Generator, shared: float = 0.5
) -> Array:
    """Sums of a family over the same subjects: (curves, subjects, 2, points, 8).

    The subjects' own log ratios and reactions have a part in common over the curves.
    """
    ratio_sd = population.ratio_sd
    common = rng.normal(0, 1, (subjects, 1))
    out = []
    for _ in range(curves):
        plain = Population(**{**population.__dict__, "ratio_sd": 0.0})
        stats = draw(plain, subjects, rng)
        ratio = ratio_sd * (np.sqrt(shared) * common + np.sqrt(1 - shared) * rng.normal(0, 1, (subjects, 1)))
        stats[:, 1, :, 0] *= np.exp(ratio)
        out.append(stats)
    return np.stack(out)


def _side(stats: Array) -> Side:
    """Many curves as one `Side`, from sums (curves, subjects, points, 8)."""
    total = stats.sum(axis=1)
    without = total[:, None] - stats
    return Side(
        np.log(kbps(total)),
        metric_of_sums(total, CENTRE, "ccc"),
        np.log(kbps(without)),
        metric_of_sums(without, CENTRE, "ccc"),
    )


def _verdicts(
    families: list[Array], judged: Sequence[Sequence[tuple[float, float | None]]]
) -> list[list[list[list[str]]]]:
    """For each family (curves, subjects, 2, points, 8), list of pairs of tolerances, pair and curve the verdict.

    Where the first pair of a list has no tolerance of accuracy, the list is judged for rate alone.
    """
    stats = np.concatenate(families)
    sides = _side(stats[:, :, 0]), _side(stats[:, :, 1])
    both = any(pairs[0][1] is not None for pairs in judged)
    found = [bd.many(*sides, measure=measure) for measure in (("rate", "accuracy") if both else ("rate",))]
    out, start = [], 0
    for family in families:
        at = slice(start, start + len(family))
        start = at.stop
        own = [(value[at], replicates[at]) for value, replicates in found]
        out.append(
            [
                judge(*(own[:1] if pairs[0][1] is None else own), tolerances=pairs, draws=_DRAWS)
                for pairs in judged
            ]
        )
    return out


def false_alarms(
    trials: int = 1000,
    subjects: Sequence[int] = (8, 16, 32),
    families: Sequence[int] = (1, 8, 32),
    *,
    max_bd_rate: float = 0.0,
    max_accuracy_drop: float = 0.0,
    population: Population | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Share of runs with any regressed curve where anchor and test are swapped at random for each subject.

    Tolerances of 0 are the hardest case: any tolerance above makes false alarms rarer.

    Returns
    -------
    DataFrame
        ``subjects``, ``curves``, ``regressed`` (share of runs).
    """
    population = population or Population()
    rng = np.random.default_rng(seed)
    rows = []
    for n in subjects:
        for curves in families:
            alarms = 0
            for start in range(0, trials, _BATCH):
                batch: list[Array] = []
                for _ in range(min(_BATCH, trials - start)):
                    family = _family(curves, n, population, rng)
                    swap = rng.random(n) < 0.5
                    family[:, swap] = family[:, swap][:, :, ::-1]
                    batch.append(family)
                found = _verdicts(batch, [[(max_bd_rate, max_accuracy_drop)]])
                alarms += sum("regressed" in of_run[0][0] for of_run in found)
            rows.append({"subjects": n, "curves": curves, "regressed": alarms / trials})
    return pd.DataFrame(rows)


def detection(
    trials: int = 1000,
    subjects: Sequence[int] = (8, 16, 32),
    families: Sequence[int] = (1, 8, 32),
    *,
    loss: float = 0.05,
    tolerances: Sequence[tuple[float, float]] = ((0.01, 0.01), (0.03, 0.02)),
    seed: int = 0,
) -> pd.DataFrame:
    """Share of runs in which a BD-rate loss planted in one curve of a family is found in that curve.

    The subjects are those of `PLANTED`.

    Parameters
    ----------
    trials, subjects, families
    loss : float
        The planted loss as a share of the rate.
    tolerances : sequence of (float, float)
        Of BD-rate, and of accuracy where that is judged too.
    seed : int

    Returns
    -------
    DataFrame
        ``max_bd_rate``, ``max_accuracy_drop``, ``subjects``, ``curves``, ``rate_alone`` (share of runs that find
        the loss where accuracy is not judged) and ``both`` (where it is).
    """
    alone = [(rate, None) for rate, _ in tolerances]
    rng = np.random.default_rng(seed)
    rows = []
    for n in subjects:
        for curves in families:
            hits = np.zeros((2, len(tolerances)), dtype=np.int64)
            for start in range(0, trials, _BATCH):
                batch: list[Array] = []
                for _ in range(min(_BATCH, trials - start)):
                    family = _family(curves, n, PLANTED, rng)
                    family[0, :, 1, :, 0] *= 1 + loss
                    batch.append(family)
                for of_run in _verdicts(batch, [alone, tolerances]):
                    hits += [[verdicts[0] == "regressed" for verdicts in judged] for judged in of_run]
            for (rate, drop), found in zip(tolerances, hits.T / trials, strict=True):
                row: dict[str, object] = {"max_bd_rate": rate, "max_accuracy_drop": drop}
                row |= {"subjects": n, "curves": curves, "rate_alone": found[0], "both": found[1]}
                rows.append(row)
    return _by_tolerance(pd.DataFrame(rows))


def _by_tolerance(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(["max_bd_rate", "subjects", "curves"], ignore_index=True)


def subjects_needed(
    limits: Mapping[str, float] = RATE_LIMITS,
    spreads: Sequence[float] = (0.02, 0.04, 0.08, 0.16),
    families: Sequence[int] = (1, 8, 32),
    *,
    measures: int = 1,
    level: float = LEVEL,
    limit: int = 20_000,
) -> pd.DataFrame:
    """Subjects from which on a curve of an unchanged build is shown to be no worse 8 times in 10.

    By formula: ``(c + t) * sd / sqrt(n)``, with t's quantile for the power and Bonferroni's critical value c,
    which max-t never exceeds; correlated curves need fewer.

    Parameters
    ----------
    limits : mapping from str to float
        Tolerances on the scale of the spread, by what heads their columns.
    spreads : sequence of float
        Standard deviations between subjects.
    families : sequence of int
        Numbers of curves that are judged together.
    measures : int
        Tolerances that each curve is judged by: 2 for rate and accuracy, 1 where one of them is none.
    level : float
    limit : int
        More subjects than this are not looked for.

    Returns
    -------
    DataFrame
        ``sd``, ``curves``, and a column for each tolerance.
    """
    n = np.arange(MIN_SUBJECTS, limit + 1)
    rows = []
    for sd in spreads:
        for curves in families:
            critical = stdtrit(n - 1, 1 - (1 - level) / (2 * curves * measures))
            detectable = (critical + stdtrit(n - 1, POWER)) * sd / np.sqrt(n)
            row: dict[str, object] = {"sd": sd, "curves": curves}
            for name, tolerance in limits.items():
                enough = np.flatnonzero(detectable <= tolerance)
                row[name] = int(n[enough[0]]) if len(enough) else None
            rows.append(row)
    return pd.DataFrame(rows)


def spreads(trials: int = 200, subjects: int = 32, *, seed: int = 0) -> pd.DataFrame:
    """How far the subjects of each population lie apart, as the gate sees it: which row of `subjects_needed` to read.

    Returns
    -------
    DataFrame
        ``population``, and the medians over the trials of the standard deviation between subjects (the
        jackknife's standard error times the root of their number) of BD-rate's log ratio, ``bd_rate``, and of
        BD-CCC, ``bd_ccc``.
    """
    rows = []
    for name, population in {**POPULATIONS, "planted": PLANTED}.items():
        rng = np.random.default_rng(seed)
        stats = np.stack([draw(population, subjects, rng) for _ in range(trials)])
        sides = _side(stats[:, :, 0]), _side(stats[:, :, 1])
        row: dict[str, object] = {"population": name}
        for measure, column in (("rate", "bd_rate"), ("accuracy", "bd_ccc")):
            replicates = bd.many(*sides, measure=measure)[1]
            row[column] = float(np.nanmedian(jackknife_error(replicates.T) * np.sqrt(subjects)))
        rows.append(row)
    return pd.DataFrame(rows)


def needed() -> dict[str, pd.DataFrame]:
    """The subjects that each tolerance needs, and the spreads that tell which row to read."""
    rate, accuracy = {"sd": "sd of the log ratio"}, {"sd": "sd of BD-CCC"}
    both = subjects_needed(ACCURACY_LIMITS, (0.005, 0.025, 0.05), measures=2)
    return {
        "spreads": spreads(),
        "max-bd-rate where accuracy is not judged": subjects_needed().rename(columns=rate),
        "max-bd-rate where accuracy is judged too": subjects_needed(measures=2).rename(columns=rate),
        "max-accuracy-drop where the rate is judged too": both.rename(columns=accuracy),
    }


def power(trials: int = 1000, *, seed: int = 0, only: str | None = None) -> dict[str, pd.DataFrame]:
    """The tables "false-alarms" and "detection", or `only` one of them."""
    cases = (((8, 16, 32), (1, 8)), ((16,), (32,)))
    out = {}
    for name, simulated in (("false-alarms", false_alarms), ("detection", detection)):
        if only in (None, name):
            tables = [simulated(trials, subjects, families, seed=seed) for subjects, families in cases]
            out[name] = pd.concat(tables, ignore_index=True)
    if "detection" in out:
        out["detection"] = _by_tolerance(out["detection"])
    return out
