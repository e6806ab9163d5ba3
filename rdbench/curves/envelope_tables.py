"""Envelopes, their switch points and gains as tables."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.curves.arrays import Arrays
from rdbench.curves.envelope import Envelope
from rdbench.curves.scope import KEYS, Scope, Scopes
from rdbench.curves.sides import GROUP
from rdbench.errors import InputError, NotComparableError
from rdbench.stats.bd import bd_accuracy
from rdbench.stats.interpolation import DEFAULT
from rdbench.stats.intervals import LEVEL, SCALE_OF, Interval, jackknife
from rdbench.stats.metrics import FROM_MOMENTS
from rdbench.tables.basis import Basis

__all__ = ["envelopes", "envelopes_of", "gains", "gains_of", "switch_points", "switch_points_of"]

_COLUMNS = (
    *GROUP,
    *("factor", "chosen_on", "chosen_factor", "agreement", "metric", "bitrate_kbps", "value", "low"),
    *("high", "reason", "n", "subjects", "clips"),
)


def envelopes(
    encodes: pd.DataFrame,
    scores: pd.DataFrame,
    metric: str | None = None,
    bits: str = "payload",
    charge_boxes: bool = False,
    *,
    partition: str | None = None,
    factor: str = "best",
    larger: bool = False,
    level: float = LEVEL,
) -> pd.DataFrame:
    """All envelopes, one row a rate; see `envelopes_of`.

    Parameters
    ----------
    encodes, scores, metric, bits, charge_boxes, partition
        As in `rdbench.curves.pooling.pooled`.
    factor : {"best", "oracle"}
        "oracle" chooses in-sample: for looking at how optimistic that is, never for a claim.
    larger, level
        As in `envelopes_of`.

    Raises
    ------
    InputError
        If `factor` is neither of the two.
    """
    if factor not in ("best", "oracle"):
        raise InputError(f"An envelope's factor is best or oracle, not {factor!r}.")
    arrays = Arrays(encodes, scores, Basis(metric, bits, charge_boxes, partition))
    return envelopes_of(Scopes(arrays, oracle=factor == "oracle"), larger=larger, level=level)


def envelopes_of(scopes: Scopes, *, larger: bool = False, level: float = LEVEL) -> pd.DataFrame:
    """All envelopes, one row a rate.

    Parameters
    ----------
    scopes : Scopes
    larger : bool
        Whether points coded larger than asked take part.
    level : float

    Returns
    -------
    DataFrame
        `GROUP`, ``factor`` ("best" or "oracle"), ``chosen_on``, ``chosen_factor``, ``agreement``, ``metric``,
        ``bitrate_kbps``, ``value``, ``low``, ``high``, ``reason``, ``n``, ``subjects``, ``clips``. The table
        of switch points is `switch_points`.
    """
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in _COLUMNS}
    for scope, envelope in _all(scopes, larger):
        interval = _interval(envelope, level)
        body = envelope.stats[..., 2:].sum(axis=0)
        n = body[:, 0] if envelope.metric in FROM_MOMENTS else body.sum(axis=-1)
        same = {
            **envelope.key,
            "factor": "oracle" if scopes.oracle else "best",
            "chosen_on": envelope.chosen_on,
            "metric": envelope.metric,
            "subjects": len(scope.points.subjects),
            "clips": len(scope.points.clips),
        }
        by_rate = {
            "chosen_factor": envelope.factor,
            "agreement": envelope.agreement,
            "bitrate_kbps": np.exp(envelope.side.log_rate),
            "value": envelope.side.value,
            "low": interval.low,
            "high": interval.high,
            "reason": interval.reason,
            "n": np.rint(n).astype(np.int64),
        }
        for name in _COLUMNS:
            values = by_rate[name] if name in by_rate else np.full(len(n), same[name], dtype=object)
            columns[name].append(values)
    if not columns["n"]:
        return pd.DataFrame(columns=list(_COLUMNS))
    table = pd.DataFrame({name: np.concatenate(parts) for name, parts in columns.items()})
    return table.infer_objects()


def _interval(envelope: Envelope, level: float) -> Interval:
    return jackknife(envelope.side.value, envelope.side.values, scale=SCALE_OF[envelope.metric], level=level)


_LARGE = 3000
"""Subjects times points of a group from which on threads gain something (measured: 1.5 times with 4800 on two cores,
a third lost with 1280)."""


def _all(scopes: Scopes, larger: bool) -> list[tuple[Scope, Envelope]]:
    asked = [(scope, *group) for scope in scopes.coded for group in scope.groups]

    def envelope(scope: Scope, key: dict[str, object]) -> Envelope | None:
        try:
            return scope.envelope(key, larger=larger)
        except NotComparableError:
            # A group with nothing to choose from has no envelope; the others still have theirs.
            return None

    size = sum(len(scope.points.subjects) * len(rows) for scope, _, rows in asked) / max(len(asked), 1)
    # Python lets other threads run during arithmetic on large arrays; on small ones they wait for each other.
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 4) if size > _LARGE else 1) as pool:
        made = list(pool.map(lambda group: envelope(*group[:2]), asked))
    return [
        (scope, envelope) for (scope, _, _), envelope in zip(asked, made, strict=True) if envelope is not None
    ]


def switch_points(
    encodes: pd.DataFrame,
    scores: pd.DataFrame,
    metric: str | None = None,
    bits: str = "payload",
    charge_boxes: bool = False,
    *,
    partition: str | None = None,
    larger: bool = False,
) -> pd.DataFrame:
    """Rates at which the best factor changes; see `switch_points_of`."""
    arrays = Arrays(encodes, scores, Basis(metric, bits, charge_boxes, partition))
    return switch_points_of(Scopes(arrays), larger=larger)


def switch_points_of(scopes: Scopes, *, larger: bool = False) -> pd.DataFrame:
    """Rates at which the best factor changes, on the data that it is chosen on.

    Returns
    -------
    DataFrame
        `GROUP`, ``metric``, ``chosen_on``, ``from_factor``, ``to_factor`` (by rising rate), ``kbps``, ``low``, ``high``
        (jackknife on log rate), ``reason``.
    """
    tables = []
    for _, envelope in _all(scopes, larger):
        switches = envelope.switches()
        named = pd.DataFrame(
            [{**envelope.key, "metric": envelope.metric, "chosen_on": envelope.chosen_on}] * len(switches)
        )
        tables.append(pd.concat([named, switches], axis=1))
    columns = [*GROUP, "metric", "chosen_on", "from_factor", "to_factor", "kbps", "low", "high", "reason"]
    tables = [table[columns] for table in tables if len(table)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def gains(
    encodes: pd.DataFrame,
    scores: pd.DataFrame,
    metric: str | None = None,
    bits: str = "payload",
    charge_boxes: bool = False,
    *,
    partition: str | None = None,
    larger: bool = False,
    method: str = DEFAULT,
) -> pd.DataFrame:
    """What choosing the factor by rate gains over keeping any one factor; see `gains_of`."""
    arrays = Arrays(encodes, scores, Basis(metric, bits, charge_boxes, partition))
    return gains_of(Scopes(arrays), larger=larger, method=method)


def gains_of(scopes: Scopes, *, larger: bool = False, method: str = DEFAULT) -> pd.DataFrame:
    """What choosing the factor by rate gains over keeping any one factor, at equal rate.

    Returns
    -------
    DataFrame
        `GROUP`, ``metric``, ``chosen_on``, ``factor`` (the one that is kept), ``gain`` (BD-accuracy of the envelope over
        it, in the range of rates that both cover), ``low``, ``high``, ``kbps_low``, ``kbps_high`` (that
        range), ``share`` (of the envelope's range), ``best_single`` (the smallest gain among factors that
        cover at least half of the envelope's range; since it is picked in-sample, the gain over it is
        understated rather than overstated), ``reason``.
    """
    columns = [
        *GROUP,
        *(
            "metric",
            "chosen_on",
            "factor",
            "gain",
            "low",
            "high",
            "kbps_low",
            "kbps_high",
            "share",
            "best_single",
        ),
        "reason",
    ]
    tables = [_gains_of_one(scope, envelope, larger, method) for scope, envelope in _all(scopes, larger)]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def _gains_of_one(scope: Scope, envelope: Envelope, larger: bool, method: str) -> pd.DataFrame:
    key = {name: str(value) for name, value in envelope.key.items() if name in KEYS}
    factors = sorted(int(curve["factor"]) for curve in scope.matching(key))
    width = np.ptp(envelope.side.log_rate)
    lines = []
    for factor in factors:
        side = scope.curve({**key, "factor": str(factor)}).side
        delta = bd_accuracy(side, envelope.side, method=method, larger=larger)
        share = float(np.log(delta.span[1] / delta.span[0]) / width) if not delta.reason else 0.0
        lines.append(
            {
                **envelope.key,
                "metric": envelope.metric,
                "chosen_on": envelope.chosen_on,
                "factor": factor,
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
    return table
