"""A curve as one side of a delta: its points with what resampling makes of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rdbench.curves.arrays import codes
from rdbench.curves.points import Points, kbps, metric_of_sums
from rdbench.stats.bd import Side
from rdbench.stats.intervals import bootstrap, delete_one
from rdbench.stats.metrics import CORRELATIONS, higher_is_better
from rdbench.tables.schema import CURVE
from rdbench.typing import Array

__all__ = ["GROUP", "groups", "resampled", "side_of", "side_of_sums"]


def resampled(
    points: Points, side: Side, stats: NDArray[np.float64], centre: NDArray[np.float64], boot: int
) -> Side:
    """The same curve with bootstrap replicates over subjects instead of those without one subject."""
    sums = bootstrap(stats, replicates=boot)
    with np.errstate(invalid="ignore", divide="ignore"):
        log_rates = np.log(kbps(sums))
    values = metric_of_sums(sums, centre, points.metric)
    return replace(side, log_rates=log_rates, values=values)


GROUP = tuple(column for column in CURVE if column != "factor")
"""The columns that name an envelope."""


def side_of(points: Points, rows: NDArray[np.integer]) -> Side:
    """The curve of these points, with its delete-one-subject replicates."""
    stats = points.stats[:, rows]
    return side_of_sums(stats.sum(axis=0), delete_one(stats), points.centre[rows], points, rows)


def side_of_sums(
    total: Array, without: Array, centre: Array, points: Points, rows: NDArray[np.integer] | None
) -> Side:
    """A curve from its sums (points, 2 + k), whole and without each subject; `rows` are the points it is made of."""
    with np.errstate(invalid="ignore", divide="ignore"):
        log_rate, log_rates = np.log(kbps(total)), np.log(kbps(without))
    metric = points.metric
    return Side(
        log_rate,
        metric_of_sums(total, centre, metric),
        log_rates,
        metric_of_sums(without, centre, metric)
        if rows is None
        else points.held(points.value(without, rows), rows),
        np.zeros(0, bool) if rows is None else points.keys["coded_larger"].to_numpy()[rows],
        metric in CORRELATIONS,
        higher_is_better(metric),
    )


def groups(points: Points) -> list[tuple[dict[str, object], NDArray[np.integer]]]:
    """The coded points of each envelope."""
    coded = np.flatnonzero((points.keys["codec"] != "none").to_numpy())
    label, keys = codes(points.keys.iloc[coded], GROUP)
    return [
        ({str(k): v for k, v in keys.iloc[i].to_dict().items()}, coded[label == i]) for i in range(len(keys))
    ]
