"""Envelopes, their switch points and gains as tables."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.curves.arrays import Arrays
from rdbench.curves.envelope import Chooser, Envelope
from rdbench.curves.points import Points
from rdbench.curves.sides import GROUP, groups, side_of
from rdbench.errors import InputError, NotComparableError
from rdbench.stats.bd import bd_accuracy
from rdbench.stats.interpolation import DEFAULT
from rdbench.stats.intervals import LEVEL, SCALE_OF, Interval, jackknife

__all__ = ["envelopes", "gains", "switch_points"]


def envelopes(
    encodes: pd.DataFrame,
    scores: pd.DataFrame,
    metric: str = "ccc",
    bits: str = "payload",
    charge_boxes: bool = False,
    *,
    partition: str | None = None,
    factor: str = "best",
    larger: bool = False,
    level: float = LEVEL,
    arrays: Arrays | None = None,
) -> pd.DataFrame:
    """All envelopes, one row a rate.

    Parameters
    ----------
    encodes, scores, metric, bits, charge_boxes, partition, arrays
        As in `rdbench.curves.pooling.pooled`.
    factor : {"best", "oracle"}
        "oracle" chooses in-sample: for looking at how optimistic that is, never for a claim.
    larger : bool
        Whether points coded larger than asked take part.
    level : float

    Returns
    -------
    DataFrame
        `GROUP`, ``factor`` ("best" or "oracle"), ``chosen_on``, ``chosen_factor``, ``agreement``, ``metric``,
        ``bitrate_kbps``, ``value``, ``low``, ``high``, ``reason``, ``n``, ``subjects``, ``clips``. The table
        of switch points is `switch_points`.

    Raises
    ------
    InputError
        If `factor` is neither of the two.
    """
    columns = [
        *GROUP,
        *("factor", "chosen_on", "chosen_factor", "agreement", "metric", "bitrate_kbps", "value", "low"),
        *("high", "reason", "n", "subjects", "clips"),
    ]
    found: dict[str, list[NDArray[Any]]] = {name: [] for name in columns}
    for points, envelope in _all(
        encodes, scores, metric, bits, charge_boxes, partition, factor, larger, arrays
    ):
        interval = _interval(envelope, level)
        body = envelope.stats[..., 2:].sum(axis=0)
        n = body[:, 0] if metric in ("ccc", "pcc", "rmse") else body.sum(axis=-1)
        same = {
            **envelope.key,
            "factor": factor,
            "chosen_on": envelope.chosen_on,
            "metric": metric,
            "subjects": len(points.subjects),
            "clips": len(points.clips),
        }
        each = {
            "chosen_factor": envelope.factor,
            "agreement": envelope.agreement,
            "bitrate_kbps": np.exp(envelope.side.log_rate),
            "value": envelope.side.value,
            "low": interval.low,
            "high": interval.high,
            "reason": interval.reason,
            "n": np.rint(n).astype(np.int64),
        }
        for name in columns:
            found[name].append(each[name] if name in each else np.full(len(n), same[name], dtype=object))
    if not found["n"]:
        return pd.DataFrame(columns=columns)
    table = pd.DataFrame({name: np.concatenate(parts) for name, parts in found.items()})
    return table.infer_objects()


def _interval(envelope: Envelope, level: float) -> Interval:
    return jackknife(envelope.side.value, envelope.side.values, scale=SCALE_OF[envelope.metric], level=level)


_LARGE = 3000
"""Subjects times points of a group from which on threads gain something (measured: 1.5 times with 4800 on two cores,
a third lost with 1280)."""


def _all(
    encodes: pd.DataFrame,
    scores: pd.DataFrame,
    metric: str,
    bits: str,
    charge_boxes: bool,
    partition: str | None,
    factor: str,
    larger: bool,
    arrays: Arrays | None,
) -> list[tuple[Points, Envelope]]:
    if factor not in ("best", "oracle"):
        raise InputError(f"An envelope's factor is best or oracle, not {factor!r}.")
    options = {"bits": bits, "charge_boxes": charge_boxes, "partition": partition}
    if arrays is None:
        arrays = Arrays(encodes, scores, metric, **options)  # type: ignore[arg-type]
    chooser = Chooser(encodes, scores, metric, oracle=factor == "oracle", arrays=arrays, **options)  # type: ignore[arg-type]
    asked = [(points, *group) for points in arrays.parts(uncoded=False) for group in groups(points)]

    def one(points: Points, key: dict[str, object], rows: NDArray[np.integer]) -> Envelope | None:
        try:
            return chooser.envelope(points, rows, key, larger=larger)
        except NotComparableError:
            # A group with nothing to choose from has no envelope; the others still have theirs.
            return None

    size = sum(len(points.subjects) * len(rows) for points, _, rows in asked) / max(len(asked), 1)
    # Python lets other threads run during arithmetic on large arrays; on small ones they wait for each other.
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 4) if size > _LARGE else 1) as pool:
        found = list(pool.map(lambda each: one(*each), asked))
    return [
        (points, envelope)
        for (points, _, _), envelope in zip(asked, found, strict=True)
        if envelope is not None
    ]


def switch_points(
    encodes: pd.DataFrame,
    scores: pd.DataFrame,
    metric: str = "ccc",
    bits: str = "payload",
    charge_boxes: bool = False,
    *,
    partition: str | None = None,
    larger: bool = False,
    arrays: Arrays | None = None,
) -> pd.DataFrame:
    """Rates at which the best factor changes, on the data that it is chosen on.

    Returns
    -------
    DataFrame
        `GROUP`, ``chosen_on``, ``from_factor``, ``to_factor`` (by rising rate), ``kbps``, ``low``, ``high``
        (jackknife on log rate), ``reason``.
    """
    tables = []
    for _, envelope in _all(encodes, scores, metric, bits, charge_boxes, partition, "best", larger, arrays):
        switches = envelope.switches()
        named = pd.DataFrame([{**envelope.key, "chosen_on": envelope.chosen_on}] * len(switches))
        tables.append(pd.concat([named, switches], axis=1))
    columns = [*GROUP, "chosen_on", "from_factor", "to_factor", "kbps", "low", "high", "reason"]
    tables = [table[columns] for table in tables if len(table)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def gains(
    encodes: pd.DataFrame,
    scores: pd.DataFrame,
    metric: str = "ccc",
    bits: str = "payload",
    charge_boxes: bool = False,
    *,
    partition: str | None = None,
    larger: bool = False,
    method: str = DEFAULT,
    arrays: Arrays | None = None,
) -> pd.DataFrame:
    """What choosing the factor by rate gains over keeping any one factor, at equal rate.

    Returns
    -------
    DataFrame
        `GROUP`, ``chosen_on``, ``factor`` (the one that is kept), ``gain`` (BD-accuracy of the envelope over
        it, in the range of rates that both cover), ``low``, ``high``, ``kbps_low``, ``kbps_high`` (that
        range), ``share`` (of the envelope's range), ``best_single`` (the smallest gain among factors that
        cover at least half of the envelope's range; since it is picked in-sample, the gain over it is
        understated rather than overstated), ``reason``.
    """
    tables = []
    for points, envelope in _all(
        encodes, scores, metric, bits, charge_boxes, partition, "best", larger, arrays
    ):
        rows_of = {tuple(one.values()): rows for one, rows in groups(points)}
        rows = rows_of[tuple(envelope.key.values())]
        factor = points.keys["factor"].to_numpy(dtype=np.int64)[rows]
        width = np.ptp(envelope.side.log_rate)
        lines = []
        for one in np.unique(factor):
            side = side_of(points, rows[factor == one])
            delta = bd_accuracy(side, envelope.side, method=method, larger=larger)
            share = float(np.log(delta.span[1] / delta.span[0]) / width) if not delta.reason else 0.0
            lines.append(
                {
                    **envelope.key,
                    "chosen_on": envelope.chosen_on,
                    "factor": int(one),
                    "gain": delta.value,
                    "low": delta.low,
                    "high": delta.high,
                    "kbps_low": delta.span[0],
                    "kbps_high": delta.span[1],
                    "share": share,
                    "best_single": False,
                    "reason": delta.reason or delta.interval_reason,
                }
            )
        table = pd.DataFrame(lines)
        wide = table[(table["share"] >= 0.5) & table["gain"].notna()]
        if len(wide):
            table.loc[wide["gain"].idxmin(), "best_single"] = True
        tables.append(table)
    columns = [
        *GROUP,
        *("chosen_on", "factor", "gain", "low", "high", "kbps_low", "kbps_high", "share", "best_single"),
        "reason",
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)
