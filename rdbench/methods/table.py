"""Ways of training side by side, without a codec: accuracy against the factor, seeds joined.

A way of training is judged by what it gives on average over seeds, so a *family* (all seeds of one name, see
`rdbench.seeds`) has one row for each factor, target and metric. Its value is the mean over the seeds of the
metric pooled over subjects; no predictions are averaged. Its interval crosses seeds and subjects (see
`rdbench.components`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.curves.points import SCOPE, Points, collect, default_metric, default_partition, metric_of_sums
from rdbench.errors import InputError, NotComparableError
from rdbench.stats.components import Bounds, Estimate, Sample, bounds
from rdbench.stats.intervals import LEVEL, MIN_SEEDS, SCALE_OF, SCALES, crossed_bootstrap, delete_one
from rdbench.stats.metrics import FROM_CONFUSION, FROM_MOMENTS, METRICS
from rdbench.tables.names import split_seed

__all__ = ["COLUMNS", "Cell", "cells", "few_seeds", "for_people", "interval_of", "method_table"]

Array = NDArray[np.float64]

COLUMNS = (
    *("backend", "region", "factor", "target", "gold", "scoring", "metric"),
    *("value", "low", "high", "seeds", "subjects", "clips", "n"),
    *("seed_sd", "seed_variance", "subject_variance", "freedom"),
    *("boot_low", "boot_high", "remark", "reason"),
)
"""The columns of `method_table`. ``seed_sd`` is the standard deviation between seeds; ``seed_variance`` and
``subject_variance`` are the components of the variance of ``value``, in squared units of the metric; ``remark``
marks families with fewer than 5 seeds, ``reason`` is why there is no interval."""


@dataclass(frozen=True)
class Cell:
    """One family at one point: its seeds, and the metric of each.

    Parameters
    ----------
    family : str
        Back-end without seed, such as "max-mix@lite".
    seeds : tuple of int
    rows : (seeds,) int
        Their points.
    values : (seeds,) float64
        The metric pooled over all subjects.
    replicates : (subjects, seeds) float64
        Without each subject in turn.
    """

    family: str
    seeds: tuple[int, ...]
    rows: NDArray[np.integer]
    values: Array
    replicates: Array

    def mean(self) -> float:
        """Mean over the seeds."""
        return float(self.values.mean())

    def by_subject(self) -> Array:
        """The mean without each subject in turn."""
        return np.asarray(self.replicates.mean(axis=1))

    def by_seed(self) -> Array:
        """The mean without each seed in turn; empty where there is one seed."""
        n = len(self.values)
        return (self.values.sum() - self.values) / (n - 1) if n > 1 else np.zeros(0)


def cells(points: Points) -> Iterator[tuple[dict[str, object], Cell]]:
    """Every family at every point of a scope, with the point's key (without back-end).

    Yields
    ------
    key : dict
        ``region factor codec variant mode rate target gold scoring``.
    cell : Cell
    """
    values = points.value(points.stats.sum(axis=0))
    replicates = points.value(delete_one(points.stats))
    named = [split_seed(str(name)) for name in points.keys["backend"]]
    own = points.keys.assign(family=[name for name, _ in named], seed=[seed for _, seed in named])
    by = ["family", "region", "factor", "codec", "variant", "mode", "rate", *SCOPE]
    own = own.sort_values([*by, "seed"], kind="stable")
    place, seed = own.index.to_numpy(), own["seed"].to_numpy()
    for key, rows in own.groupby(by, sort=False).indices.items():
        at = place[rows]
        family, *rest = cast(tuple[Any, ...], key)
        cell = Cell(str(family), tuple(int(s) for s in seed[rows]), at, values[at], replicates[:, at])
        yield dict(zip(by[1:], rest, strict=True)), cell


def few_seeds(seeds: int) -> str:
    """The mark of a family with too few seeds to speak for its way of training, or ""."""
    if seeds == 1:
        return "1 seed: subjects only"
    return f"{seeds} seeds: fewer than {MIN_SEEDS}" if seeds < MIN_SEEDS else ""


def method_table(
    encodes: pd.DataFrame,
    scores: pd.DataFrame,
    *,
    metrics: Sequence[str] | None = None,
    partition: str | None = None,
    level: float = LEVEL,
    boot: int = 0,
) -> pd.DataFrame:
    """Accuracy of every family at every factor, without a codec.

    Parameters
    ----------
    encodes, scores : DataFrame
        With the columns of `rdbench.tables`.
    metrics : sequence of str, optional
        Of `rdbench.metrics.METRICS`; by default CCC, PCC and RMSE, or accuracy and F1 where everything is
        categorical.
    partition : str, optional
        By default test, else dev, else the only one there is.
    level : float
    boot : int
        Replicates of the crossed bootstrap for a second opinion; 0 for none.

    Returns
    -------
    DataFrame
        With the columns `COLUMNS`. Within a region all families cover the same clips; ``attrs["notes"]`` names
        those left out. Intervals are made on a scale on which the metric has no ends.

    Raises
    ------
    InputError
        If a metric is unknown.
    NotComparableError
        If nothing uncoded was scored in the partition, or nothing that gives a metric.
    """
    wanted = tuple(metrics) if metrics is not None else _metrics(scores)
    unknown = [name for name in wanted if name not in METRICS]
    if unknown:
        raise InputError(f"There is no metric {unknown[0]!r}; there are {', '.join(METRICS)}.")
    reported = default_partition(encodes) if partition is None else partition
    bare = encodes[encodes["codec"] == "none"]
    rows: list[dict[str, object]] = []
    notes: list[str] = []
    for region in sorted(bare["region"].dropna().unique()):
        for points in _scopes(bare[bare["region"] == region], scores, wanted, reported):
            for key, cell in cells(points):
                rows.append(_row(points, key, cell, level, boot))
            notes += [
                f"left out of region {region}: {one.kind} {one.name} {one.reason}"
                for one in points.left_out.itertuples()
            ]
    if not rows:
        raise NotComparableError(_why_none(bare, scores, wanted, reported))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    order = {name: place for place, name in enumerate(wanted)}
    by = ["region", "target", "gold", "scoring", "metric", "backend", "factor"]
    table = table.sort_values(by, key=lambda c: c.map(order) if c.name == "metric" else c, kind="stable")
    table = table.reset_index(drop=True)
    table.attrs["notes"] = list(dict.fromkeys(notes))
    return table


def _why_none(bare: pd.DataFrame, scores: pd.DataFrame, wanted: Sequence[str], partition: str) -> str:
    """What keeps a table empty; `bare` are the encodes without a codec."""
    if bare.empty:
        return (
            "Nothing was downsampled only (codec none), so there is no stand-alone table; run an experiment with "
            "uncoded = true."
        )
    here = bare[bare["partition"] == partition]
    if here.empty:
        there = " and ".join(sorted(bare["partition"].dropna().unique())) or "none"
        return (
            f"Partition {partition} has nothing that was downsampled only (codec none); name a partition that "
            f"has ({there})."
        )
    own = scores[scores["encode"].isin(here["encode"])]
    categorical = own["confusion"].notna()
    continuous = ~categorical & (own["n"] > 0) & own["mean_pred"].notna()
    given = [
        *(FROM_MOMENTS if continuous.any() else ()),
        *(FROM_CONFUSION if categorical.any() else ()),
    ]
    if not given:
        return (
            f"Nothing of partition {partition} that was downsampled only (codec none) has been scored; run the "
            "experiment to its end."
        )
    return (
        f"No target of partition {partition} that was scored without a codec gives {' or '.join(wanted)}; name a "
        f"metric that they give ({', '.join(given)})."
    )


def _metrics(scores: pd.DataFrame) -> tuple[str, ...]:
    return tuple(FROM_MOMENTS if default_metric(scores) in FROM_MOMENTS else FROM_CONFUSION)


def _scopes(
    encodes: pd.DataFrame, scores: pd.DataFrame, wanted: Sequence[str], partition: str
) -> Iterator[Points]:
    for group in (FROM_MOMENTS, FROM_CONFUSION):
        own = [name for name in wanted if name in group]
        # The sums are the same for all metrics of a group; gathering them is what takes time.
        for points in collect(encodes, scores, own[0], partition=partition) if own else []:
            for name in own:
                yield replace(points, metric=name)


def interval_of(cell: Cell, metric: str, level: float = LEVEL) -> tuple[Bounds, float, float]:
    """Interval of a family's mean over seeds and subjects.

    Returns
    -------
    bounds : Bounds
        On the scale on which the metric has no ends, with the reason where there is none.
    low, high : float
        In units of the metric.
    """
    scale = SCALES[SCALE_OF[metric]]
    on_scale = bounds(_estimate(cell, scale.to), level=level)
    low, high = scale.back(np.array([on_scale.low, on_scale.high]))
    return on_scale, float(low), float(high)


def _estimate(cell: Cell, change: Callable[[Array], Array] = np.asarray) -> Estimate:
    samples = [Sample("subjects", change(cell.by_subject()))]
    samples += [Sample("seeds", change(cell.by_seed()))] if len(cell.seeds) > 1 else []
    return Estimate(float(change(np.array(cell.mean()))), samples[0], tuple(samples[1:]))


def _row(points: Points, key: dict[str, object], cell: Cell, level: float, boot: int) -> dict[str, object]:
    metric = points.metric
    seeds = len(cell.seeds)
    plain = _estimate(cell)
    on_scale, low, high = interval_of(cell, metric, level)
    row = {name: key[name] for name in ("region", "factor", "target", "gold", "scoring")}
    drawn = (np.nan, np.nan)
    if boot and not on_scale.reason:
        drawn = _bootstrapped(points, cell, level, boot)
    return row | {
        "backend": cell.family,
        "metric": metric,
        "value": cell.mean(),
        "low": low,
        "high": high,
        "seeds": seeds,
        "subjects": len(points.subjects),
        "clips": len(points.clips),
        "n": int(points.frames()[cell.rows[0]]),
        "seed_sd": float(cell.values.std(ddof=1)) if seeds > 1 else np.nan,
        "seed_variance": plain.seeds[0].variance if seeds > 1 else np.nan,
        "subject_variance": plain.subjects.variance,
        "freedom": on_scale.freedom,
        "boot_low": drawn[0],
        "boot_high": drawn[1],
        "remark": few_seeds(seeds),
        "reason": on_scale.reason,
    }


def _bootstrapped(points: Points, cell: Cell, level: float, boot: int) -> tuple[float, float]:
    stats = points.stats[:, cell.rows].swapaxes(0, 1)
    centre = points.centre[cell.rows]
    drawn = crossed_bootstrap(
        stats, lambda sums: metric_of_sums(sums, centre, points.metric), replicates=boot
    )
    if np.isnan(drawn).any():
        return np.nan, np.nan
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def for_people(table: pd.DataFrame) -> pd.DataFrame:
    """The table as it is read: the interval in one cell, standard errors instead of variances."""
    shown = pd.DataFrame({"back-end": table["backend"]})
    for name in ("region", "gold", "scoring"):
        if table[name].nunique() > 1:
            shown[name] = table[name]
    for name in ("target", "factor", "metric"):
        shown[name] = table[name]
    shown["value"] = [_number(v) for v in table["value"]]
    shown["95 %"] = [
        "" if np.isnan(a) or np.isnan(b) else f"{_number(a)} to {_number(b)}"
        for a, b in zip(table["low"], table["high"], strict=True)
    ]
    if table["boot_low"].notna().any():
        ends = zip(table["boot_low"], table["boot_high"], strict=True)
        shown["bootstrap"] = ["" if np.isnan(a) else f"{_number(a)} to {_number(b)}" for a, b in ends]
    shown["± seeds"] = [_number(v**0.5) for v in table["seed_variance"]]
    shown["± subjects"] = [_number(v**0.5) for v in table["subject_variance"]]
    shown["seeds"] = table["seeds"]
    shown["subjects"] = table["subjects"]
    remarks = [a or b for a, b in zip(table["remark"], table["reason"], strict=True)]
    return shown.assign(remark=remarks) if any(remarks) else shown


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"
