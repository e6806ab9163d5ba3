"""Tables of deltas as people read them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from rdbench.curves.scope import KEYS
from rdbench.measures import within_sentence
from rdbench.stats.bd import LOW_OVERLAP

__all__ = ["for_people"]


def for_people(table: pd.DataFrame) -> tuple[list[tuple[str, pd.DataFrame]], list[str]]:
    """A table of deltas as people read it: one table a measure, the primary one first, without empty columns.

    Parameters
    ----------
    table : DataFrame
        As `bd_table` gives it, with a row or more.

    Returns
    -------
    tables : list of (heading, DataFrame)
        Two for each metric. Cells are text. A key that the sides differ in reads "test over anchor".
    footnotes : list of str
        Why something is missing or to be doubted; cells name them as [1], [2], ...
    """
    footnotes = _Footnotes()
    tables = []
    for metric, rows in table.groupby("metric", sort=False):
        tables += _of_metric(str(metric), rows, footnotes)
    return tables, footnotes.lines


def _of_metric(metric: str, table: pd.DataFrame, footnotes: _Footnotes) -> list[tuple[str, pd.DataFrame]]:
    name = within_sentence(metric)
    over = f"over {_count(table['subjects'], 'subject')} in {_count(table['clips'], 'clip')}"
    headings = {
        "bd_accuracy": f"BD-{name}: gain of the test over the anchor in {name} at equal rate, {over}",
        "bd_rate": f"BD-rate: rate of the test over that of the anchor at equal {name}, per cent, {over}",
    }
    keys = _key_columns(table)
    return [
        (heading, pd.DataFrame(keys | _measure_columns(table, measure, footnotes)))
        for measure, heading in headings.items()
    ]


class _Footnotes:
    """Sentences that many cells share: each is told once, and cells give its number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def mark(self, text: str) -> str:
        return f"[{self._numbers.setdefault(text, len(self._numbers) + 1)}]" if text else ""

    @property
    def lines(self) -> list[str]:
        return [f"[{number}] {text}" for text, number in self._numbers.items()]


def _count(numbers: pd.Series, what: str) -> str:
    low, high = int(numbers.min()), int(numbers.max())
    return (f"{low}" if low == high else f"{low} to {high}") + f" {what}{'s' * (high != 1)}"


def _key_columns(table: pd.DataFrame) -> dict[str, list[str]]:
    """What tells the rows apart, with the codec and the factor in any case."""
    shown: dict[str, list[str]] = {}
    for key in KEYS:
        test, anchor = table[f"test_{key}"].astype(str), table[f"anchor_{key}"].astype(str)
        if (test != anchor).any():
            shown[key] = [f"{b} over {a}" for b, a in zip(test, anchor, strict=True)]
        elif key in ("codec", "factor") or test.nunique() > 1:
            shown[key] = list(test)
    for key, usual in (("gold", "labels"), ("scoring", "plain")):
        if (table[key] != usual).any():
            shown[key] = list(table[key].astype(str))
    return shown


def _measure_columns(table: pd.DataFrame, measure: str, footnotes: _Footnotes) -> dict[str, list[str]]:
    rows = [_cells(row, measure, footnotes) for row in table.to_dict("records")]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    if columns[_TOGETHER] == columns[_ALONE]:
        columns.pop(_TOGETHER)  # a family of one
    return {name: cells for name, cells in columns.items() if any(cells)}


_ALONE, _TOGETHER = "95 %", "95 % of all"


_ALONE, _TOGETHER = "95 %", "95 % of all"


_HALF = "the curves share less than half of the smaller range"


def _cells(row: Mapping[Hashable, Any], measure: str, footnotes: _Footnotes) -> dict[str, str]:
    """What is known of one delta, as text; "" where there is nothing to say."""
    metric = str(row["metric"])
    unit = "" if measure == "bd_rate" else metric

    def value(name: str, of: str = unit) -> str:
        return "" if pd.isna(row[name]) else _digits(float(row[name]), of)

    def interval(name: str) -> str:
        ends = value(f"{name}_low"), value(f"{name}_high")
        return " to ".join(ends) if all(ends) else ""

    def noted(text: str, reason: object) -> str:
        """The text, and the footnote that holds the reason, where there is one."""
        told = isinstance(reason, str) and reason != ""
        return f"{text} {footnotes.mark(str(reason))}".strip() if told else text

    there, overlap = value(measure), row[f"{measure}_overlap"]
    alone = interval(measure)
    clips = value(f"clip_{measure}")
    among = f"clip_{measure}"
    return {
        "BD-rate" if measure == "bd_rate" else f"BD-{within_sentence(metric)}": there
        or noted("none", row[f"{measure}_reason"]),
        _ALONE: alone if alone or not there else noted("none", row[f"{measure}_interval_reason"]),
        _TOGETHER: interval(f"{measure}_sim"),
        "bootstrap": noted(interval(f"{measure}_boot"), row[f"{measure}_boot_reason"]) if there else "",
        "overlap": ""
        if pd.isna(overlap)
        else noted(f"{100 * overlap:.0f} %", _HALF if there and overlap < LOW_OVERLAP else ""),
        "interpolation": value(f"{measure}_interpolation"),
        "displacement": value("displacement", metric) if measure == "bd_rate" else "",
        "mean of clips": f"{clips}{_within(interval(among))}, {row[f'{among}_n']:.0f} of {row['clips']}"
        if clips
        else "",
    }


def _within(interval: str) -> str:
    return f" ({interval})" if interval else ""


def _digits(value: float, metric: str) -> str:
    """A number with the digits that matter: of per cent where there is no metric."""
    if np.isinf(value):
        return "∞" if value > 0 else "-∞"
    if metric:
        # Errors have the units of the target; all other metrics lie within 1.
        text = f"{value:.3g}" if metric == "rmse" else f"{value:.3f}"
    else:
        size = abs(round(value, 1))
        text = f"{value:.1f}" if size < 100 else f"{value:.0f}" if size < 1e5 else f"{value:.0e}"
    return text.removeprefix("-") if float(text) == 0 else text
