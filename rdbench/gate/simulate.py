"""How often the intervals hold the truth, and how often the gate finds a loss, by simulation.

Subjects are drawn from a population whose truth is known: each has an own gain and bias of prediction (skewed),
an own share of the variance, own bits, and what a codec does to each is partly common to anchor and test. The
tables that subjects would leave are drawn directly, as the sums that the rest of the program works on, and go
through the very functions that make the program's numbers.

``python -m rdbench.gate.simulate coverage``, ``... power`` and ``... needed`` print the tables of docs/simulation.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click
import numpy as np
import pandas as pd
from scipy.special import stdtrit

from rdbench.curves.arrays import Arrays
from rdbench.curves.envelope import Chooser, envelope_of
from rdbench.curves.points import Points, kbps, metric_of_sums
from rdbench.curves.sides import GROUP
from rdbench.gate.judging import POWER, judge
from rdbench.gate.population import CENTRE, FACTORS, PLANTED, POPULATIONS, RATES, Population, draw
from rdbench.stats import bd
from rdbench.stats.bd import Delta, Side, bd_accuracy, bd_rate
from rdbench.stats.intervals import (
    LEVEL,
    MIN_SUBJECTS,
    bootstrap,
    delete_one,
    jackknife,
    jackknife_error,
    paired,
    percentile,
)
from rdbench.tables.basis import Basis
from rdbench.typing import Array

__all__ = [
    "coverage",
    "detection",
    "envelope_coverage",
    "false_alarms",
    "needed",
    "power",
    "spreads",
    "subjects_needed",
]


RATE_LIMITS = {f"{tolerance:g} %": float(np.log1p(tolerance / 100)) for tolerance in (0.5, 1, 2, 3, 5, 10)}
ACCURACY_LIMITS = {f"{tolerance:g}": tolerance for tolerance in (0.005, 0.01, 0.02, 0.03, 0.05)}
"""Tolerances on the scales on which losses are judged, by what heads their columns."""
_POPULATION = 200_000
_BATCH = 50
_DRAWS = 1000
"""Of max-t in each trial; its noise averages out over the trials."""


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
    """Subjects from which on the smallest detectable loss is within the tolerance.

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


@click.group(help=__doc__)
def main() -> None:
    pass


@main.command("coverage", help="How often 95 % intervals hold the truth.")
@click.option("--trials", default=1000, show_default=True)
@click.option("--boot", default=500, show_default=True, help="Bootstrap replicates; 0 for none.")
@click.option("--seed", default=0, show_default=True)
def _coverage(trials: int, boot: int, seed: int) -> None:
    form = dict.fromkeys(("held", "below", "above", "without"), "{:.1%}")
    for name, population in POPULATIONS.items():
        table = coverage(trials, boot=boot, seed=seed, population=population)
        click.echo(f"\n{name}\n\n{_markdown(table, form)}")
    click.echo(f"\nenvelope\n\n{_markdown(envelope_coverage(trials, seed=seed), form)}")


@main.command("power", help="False alarms and detection of the gate.")
@click.option("--trials", default=1000, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--only", type=click.Choice(["false-alarms", "detection"]), help="One of the two.")
def _power(trials: int, seed: int, only: str | None) -> None:
    _print(power(trials, seed=seed, only=only))


@main.command("needed", help="Subjects that each tolerance of the gate needs.")
def _needed() -> None:
    _print(needed())


_FORM = {
    **dict.fromkeys(("regressed", "rate_alone", "both", "bd_rate"), "{:.1%}"),
    **dict.fromkeys(("max_bd_rate", "sd of the log ratio"), "{:.0%}"),
    **dict.fromkeys(("max_accuracy_drop", "sd of BD-CCC"), "{:g}"),
}


def _print(tables: dict[str, pd.DataFrame]) -> None:
    for name, table in tables.items():
        click.echo(f"\n{name}\n\n{_markdown(table, _FORM)}")


def _markdown(table: pd.DataFrame, form: dict[str, str]) -> str:
    def cell(name: str, value: object) -> str:
        if value is None or value != value:
            return "-"
        if name in form:
            return form[name].format(value)
        return f"{value:.3f}" if isinstance(value, float) else str(value)

    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    for row in table.to_dict("records"):
        lines.append("| " + " | ".join(cell(str(name), value) for name, value in row.items()) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
