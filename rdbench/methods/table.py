"""Ways of training side by side, without a codec: accuracy against the factor, seeds joined.

A way of training is judged by what it gives on average over seeds, so a *family* (all seeds of one name, see
`rdbench.tables.names`) has one row for each factor, target and metric. Its value is the mean over the seeds of the
metric pooled over subjects; no predictions are averaged. Its interval crosses seeds and subjects (see
`rdbench.stats.components`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from rdbench.curves.arrays import collect
from rdbench.curves.points import Points, metric_of_sums
from rdbench.errors import InputError, NotComparableError
from rdbench.methods.families import Cell, cells, estimate, few_seeds, interval_of
from rdbench.stats.intervals import LEVEL, crossed_bootstrap
from rdbench.stats.metrics import KINDS, METRICS
from rdbench.tables.kinds import kinds_there
from rdbench.tables.reading import default_partition

__all__ = ["COLUMNS", "method_table"]


COLUMNS = (
    *("backend", "region", "factor", "target", "gold", "scoring", "metric"),
    *("value", "low", "high", "seeds", "subjects", "clips", "n"),
    *("seed_sd", "seed_variance", "subject_variance", "freedom"),
    *("boot_low", "boot_high", "remark", "reason"),
)
"""The columns of `method_table`. ``seed_sd`` is the standard deviation between seeds; ``seed_variance`` and
``subject_variance`` are the components of the variance of ``value``, in squared units of the metric; ``remark``
marks families with fewer than 5 seeds, ``reason`` is why there is no interval."""


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
        Of `rdbench.stats.metrics.METRICS`; by default all that the targets give: CCC, PCC and RMSE of
        values, accuracy and F1 of classes.
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
    given = [metric for kind in kinds_there(own) for metric in KINDS[kind]]
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
    return tuple(metric for kind in kinds_there(scores) for metric in KINDS[kind]) or KINDS["continuous"]


def _scopes(
    encodes: pd.DataFrame, scores: pd.DataFrame, wanted: Sequence[str], partition: str
) -> Iterator[Points]:
    for group in KINDS.values():
        own = [name for name in wanted if name in group]
        # The sums are the same for all metrics of a group; gathering them is what takes time.
        for points in collect(encodes, scores, own[0], partition=partition) if own else []:
            for name in own:
                yield replace(points, metric=name)


def _row(points: Points, key: dict[str, object], cell: Cell, level: float, boot: int) -> dict[str, object]:
    metric = points.metric
    seeds = len(cell.seeds)
    plain = estimate(cell)
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
