"""Rate against accuracy: pooled over clips, for each recording, for each subject.

A pooled point costs the sum of its clips' bits over the sum of their seconds, and its accuracy comes from
the summed statistics (the concatenation of all frames), over one and the same set of clips in everything
compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.curves.arrays import Arrays
from rdbench.curves.points import RARE, Points, kbps
from rdbench.stats.intervals import LEVEL, SCALE_OF, Interval, delete_one, jackknife
from rdbench.stats.metrics import FROM_MOMENTS, siblings
from rdbench.tables.basis import Basis
from rdbench.tables.schema import GRID

__all__ = [
    "CURVES",
    "curves_table",
    "left_out",
    "left_out_of",
    "per_recording",
    "per_recording_of",
    "per_subject",
    "per_subject_of",
    "pooled",
    "pooled_of",
    "pooled_points",
]

CURVES = [
    *("backend", "codec", "variant", "region", "factor", "mode", "rate", "target", "gold", "scoring"),
    *("metric", "bitrate_kbps", "value", "low", "high", "n"),
]
"""The columns of the exported table `curves`."""

_CHUNK = 4_000_000


def pooled(
    encodes: pd.DataFrame,
    scores: pd.DataFrame,
    metric: str | None = None,
    bits: str = "payload",
    charge_boxes: bool = False,
    *,
    partition: str | None = None,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Pooled points with intervals over subjects, one row a grid index; see `pooled_of`.

    Parameters
    ----------
    encodes, scores : DataFrame
        With the columns of `rdbench.tables.schema`.
    metric : str, optional
        One of `rdbench.stats.metrics.METRICS`; by default each target's main one.
    bits : {"payload", "framing", "informational", "filler", "stream"}
    charge_boxes : bool
        Add what sending the face boxes would cost to the rate.
    partition : str, optional
        By default test, else dev, else the only one there is.
    level : float

    Raises
    ------
    InputError
        If the metric or the bits are unknown, or a row is there twice.
    NotComparableError
        If no clip has a value at every point.
    """
    return pooled_of(Arrays(encodes, scores, Basis(metric, bits, charge_boxes, partition)), level=level)


def pooled_of(arrays: Arrays, *, level: float = LEVEL) -> pd.DataFrame:
    """Pooled points with intervals over subjects, one row a grid index.

    Returns
    -------
    DataFrame
        Columns: `rdbench.tables.schema.GRID`, ``partition``, ``rate_status`` (the worst of the clips; in abr
        and 2pass "ok" or "missed" by the pooled rate, which is within 10 % of its target or not), ``face_px``, ``coded_larger``,
        ``psnr``, ``metric``, ``bitrate_kbps`` (NaN where uncoded), ``value``, ``low``, ``high``, ``reason``
        (why there is no interval), ``n`` (frames), ``subjects``, ``clips``. Under 6 subjects there are no
        intervals: see `per_subject`. Rows of codec "none" give accuracy against factor without a codec.
        ``attrs["left_out"]`` lists what takes no part, as text; `left_out` has it as a table.

    Raises
    ------
    InputError, NotComparableError
        As `pooled`.
    """
    parts = arrays.parts()
    tables = [pooled_points(points, level=level) for points in parts]
    if not tables:
        nothing = pd.DataFrame(columns=[*GRID, *_EXTRA])
        nothing.attrs["left_out"] = []
        return nothing
    table = pd.concat(tables, ignore_index=True)
    missing = pd.concat([points.left_out for points in parts], ignore_index=True)
    lines = (missing["kind"] + " " + missing["name"] + " " + missing["reason"]).drop_duplicates()
    table.attrs["left_out"] = list(lines)
    return table


_EXTRA = [
    *("partition", "rate_status", "face_px", "coded_larger", "psnr", "metric", "bitrate_kbps"),
    *("value", "low", "high", "reason", "n", "subjects", "clips"),
]


def pooled_points(points: Points, *, level: float = LEVEL) -> pd.DataFrame:
    """The pooled table of one scope; see `pooled`."""
    total = points.stats.sum(axis=0)
    interval = _intervals(points, points.value(total), level)
    table = points.keys.copy()
    table["metric"] = points.metric
    table["bitrate_kbps"] = kbps(total)
    table["value"] = points.value(total)
    table["low"], table["high"], table["reason"] = interval.low, interval.high, interval.reason
    table["n"] = points.frames()
    table["subjects"] = len(points.subjects)
    table["clips"] = len(points.clips)
    return table[[*GRID, *_EXTRA]]


def _intervals(points: Points, value: NDArray[np.float64], level: float) -> Interval:
    parts = []
    for at in _chunks(points):
        replicates = points.value(delete_one(points.stats[:, at]), at)
        held = points.held(replicates, at)
        interval = jackknife(value[at], held, scale=SCALE_OF[points.metric], level=level)
        interval.reason[np.isnan(held).any(axis=0) & np.isfinite(replicates).all(axis=0)] = RARE
        parts.append(interval)
    names = ("low", "high", "error", "reason")
    return Interval(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _chunks(points: Points) -> Iterator[slice]:
    # Replicates are as large as the statistics themselves, several times over: some points at a time.
    subjects, count, k = points.stats.shape
    step = max(1, _CHUNK // (subjects * k))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def per_subject(
    encodes: pd.DataFrame,
    scores: pd.DataFrame,
    metric: str | None = None,
    bits: str = "payload",
    charge_boxes: bool = False,
    *,
    partition: str | None = None,
) -> pd.DataFrame:
    """Each subject's own rate and value at each point, over the clips that `pooled` uses.

    Returns
    -------
    DataFrame
        Columns: `rdbench.tables.schema.GRID`, ``subject``, ``metric``, ``bitrate_kbps``, ``value``, ``n``.
    """
    return per_subject_of(Arrays(encodes, scores, Basis(metric, bits, charge_boxes, partition)))


def per_subject_of(arrays: Arrays, *, by_clip: bool = False) -> pd.DataFrame:
    """The table of `per_subject`; `by_clip` takes each clip for a subject."""
    tables = []
    for points in arrays.parts(by_clip=by_clip):
        subjects, count, _ = points.stats.shape
        table = points.keys.loc[np.tile(np.arange(count), subjects), list(GRID)].reset_index(drop=True)
        table["subject"] = np.repeat(points.subjects, count)
        table["metric"] = points.metric
        table["bitrate_kbps"] = kbps(points.stats).ravel()
        table["value"] = points.value(points.stats).ravel()
        body = points.stats[..., 2:]
        n = body[..., 0] if points.metric in FROM_MOMENTS else body.sum(axis=-1)
        table["n"] = n.ravel().astype(np.int64)
        tables.append(table)
    columns = [*GRID, "subject", "metric", "bitrate_kbps", "value", "n"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def per_recording(
    encodes: pd.DataFrame,
    scores: pd.DataFrame,
    metric: str | None = None,
    bits: str = "payload",
    charge_boxes: bool = False,
    *,
    partition: str | None = None,
) -> pd.DataFrame:
    """Each recording's own rate and value at each point (the mean of which is the score of some challenges).

    Returns
    -------
    DataFrame
        Columns: `rdbench.tables.schema.GRID`, ``clip``, ``subject``, ``metric``, ``bitrate_kbps``, ``value``, ``n``.
    """
    return per_recording_of(Arrays(encodes, scores, Basis(metric, bits, charge_boxes, partition)))


def per_recording_of(arrays: Arrays) -> pd.DataFrame:
    """The table of `per_recording`."""
    table = per_subject_of(arrays, by_clip=True).rename(columns={"subject": "clip"})
    subject = arrays.encodes.drop_duplicates("clip").set_index("clip")["subject"]
    table.insert(len(GRID) + 1, "subject", table["clip"].map(subject))
    return table


def left_out(
    encodes: pd.DataFrame, scores: pd.DataFrame, metric: str | None = None, *, partition: str | None = None
) -> pd.DataFrame:
    """Clips and points that pooling leaves out, each with its reason.

    Returns
    -------
    DataFrame
        Columns ``kind`` ("clip" or "point"), ``name``, ``reason``, ``target``, ``gold``, ``scoring``.
    """
    return left_out_of(Arrays(encodes, scores, Basis(metric, partition=partition)))


def left_out_of(arrays: Arrays) -> pd.DataFrame:
    """The table of `left_out`."""
    columns = ["kind", "name", "reason", "target", "gold", "scoring"]
    tables = [points.left_out for points in arrays.parts() if len(points.left_out)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def curves_table(
    encodes: pd.DataFrame, scores: pd.DataFrame, *, bits: str = "payload", charge_boxes: bool = False
) -> pd.DataFrame:
    """The exported table `curves`: pooled plain curves of everything coded, a row for each metric that a target gives."""
    parts = [
        pooled_points(replace(points, metric=metric))
        for points in Arrays(encodes, scores, Basis(None, bits, charge_boxes)).parts()
        for metric in siblings(points.metric)
    ]
    if not parts:
        return pd.DataFrame(columns=CURVES)
    table = pd.concat(parts, ignore_index=True)
    return table.loc[table["codec"] != "none", CURVES].reset_index(drop=True)
