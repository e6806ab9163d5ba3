"""Bits at targets and accuracies at rates as people read them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from rdbench.answers.losers import by_face, summary
from rdbench.curves.scope import KEYS
from rdbench.stats.metrics import METRIC_NAMES

__all__ = ["losers_for_people", "plan_for_people", "rates_for_people", "targets_for_people"]

_KEYS = ("backend", "target", "gold", "scoring", "region", "variant", "mode")
"""Shown where they tell rows apart, or are not what one would think."""

_USUAL = {"gold": "labels", "scoring": "plain"}

Row = Mapping[Hashable, Any]


class _Notes:
    """Reasons that cells name by number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def mark(self, cell: str, reason: object) -> str:
        """The cell, with the number of its reason where it has one."""
        if not isinstance(reason, str) or not reason:
            return cell
        return f"{cell} [{self._numbers.setdefault(reason, len(self._numbers) + 1)}]".strip()

    @property
    def lines(self) -> list[str]:
        return [f"[{number}] {text}" for text, number in self._numbers.items()]


def targets_for_people(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """A table of `rdbench.answers.targets.at_targets` as text, and the lines that its cells name as [1], [2], ...

    Where there is no rate, the cell says what it is above or below; where BD-rate has no value, its reason stands below
    and what can be said at the target beside it.
    """
    notes = _Notes()
    rows = []
    for row in table.to_dict("records"):
        shown = {**_keys(table, row), "to reach": _goal(row)}
        shown["kbit/s"] = notes.mark(_known(row, "kbps", _rate), row["reason"])
        shown["95 %"] = notes.mark(
            _between(row, "kbps_low", "kbps_high", _rate), _why(row, "kbps", "interval_reason")
        )
        rows.append(shown | _against(row, notes))
    return _filled(rows), notes.lines


def rates_for_people(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """A table of `rdbench.answers.targets.at_rates` as text, and the lines that its cells name as [1], [2], ..."""
    notes = _Notes()
    rows = []
    for row in table.to_dict("records"):
        name = METRIC_NAMES.get(str(row["metric"]), str(row["metric"]))
        shown = {**_keys(table, row), "at kbit/s": f"{row['kbps']:g}"}
        shown[name] = notes.mark("none" if pd.isna(row["value"]) else _value(row["value"]), row["reason"])
        shown["95 %"] = notes.mark(
            _between(row, "low", "high", _value), _why(row, "value", "interval_reason")
        )
        shown["of uncoded"] = "" if pd.isna(row["kept"]) else f"{100 * row['kept']:.0f} %"
        if row["anchor"]:
            gain = "" if pd.isna(row["gain"]) else f"{row['gain']:+.3f}"
            ends = _between(row, "gain_low", "gain_high", _value)
            shown[f"over {row['anchor']}"] = f"{gain} ({ends})" if ends else gain
        rows.append(shown | _against(row, notes))
    return _filled(rows), notes.lines


def plan_for_people(table: pd.DataFrame) -> pd.DataFrame:
    """A table of `rdbench.answers.planning.planned` as text."""
    rows = []
    for row in table.to_dict("records"):
        gate, rate = pd.notna(row["tolerance"]), row["measure"] == "rate"
        amount = row["tolerance"] if gate else row["half_width"]
        form = _share if rate else _value
        rows.append(
            {
                **_pair(table, row),
                "wanted": f"{'tolerance' if gate else '±'} {form(amount)} of {row['measure']}",
                "pilot": f"{row['pilot_subjects']} subjects, {row['pilot_points']} rates",
                "± now": "" if pd.isna(row["pilot_half_width"]) else form(row["pilot_half_width"]),
                "subjects": _whole(row["subjects"]),
                "to be safe": _whole(row["subjects_safe"]),
                "rates": _whole(row["points"]),
                "why": str(row["reason"] or ""),
            }
        )
    return _filled(rows)


def _share(value: float) -> str:
    return f"{100 * value:.3g} %"


def _whole(value: float) -> str:
    return "" if pd.isna(value) else "over 100000" if np.isinf(value) else f"{value:.0f}"


def losers_for_people(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """A table of `rdbench.answers.losers.losers_of` as text, and a sentence for each pair of curves below it."""
    rows = []
    for row in table.to_dict("records"):
        name = METRIC_NAMES.get(str(row["metric"]), str(row["metric"]))
        numbers = {
            "face px": (row["face_px"], "{:.0f}"),
            f"BD-{name}": (row["bd_accuracy"], "{:+.3f}"),
            "BD-rate": (row["bd_rate"], "{:+.1f} %"),
            "all others": (row["without_bd_accuracy"], "{:+.3f}"),
        }
        shown = {**_pair(table, row), "subject": str(row["subject"])}
        rows.append(shown | {k: "" if pd.isna(v) else form.format(v) for k, (v, form) in numbers.items()})
    lines = [_loss_sentence(table, row) for row in summary(table).to_dict("records")]
    bands = by_face(table).to_dict("records")
    return _filled(rows), lines + (
        [_band_sentence(table, row) for row in bands] if len(bands) > len(lines) else []
    )


def _band_sentence(table: pd.DataFrame, row: Row) -> str:
    faces = (
        f"{row['from_px']:.0f} px and more"
        if np.isinf(row["to_px"])
        else f"{row['from_px']:.0f} to {row['to_px']:.0f} px"
    )
    told = f"{', '.join(_pair(table, row).values())}, faces of {faces}: {row['losing']} of {row['subjects']} subjects lose"
    if pd.notna(row["bd_accuracy"]):
        told += f", mean {row['bd_accuracy']:+.3f}"
    return f"{told}; accuracy {row['anchor_value']:.3f} against {row['test_value']:.3f}."


def _pair(table: pd.DataFrame, row: Row) -> dict[str, str]:
    shown = {}
    for key in KEYS:
        anchor, test = table[f"anchor_{key}"].astype(str), table[f"test_{key}"].astype(str)
        if (anchor != test).any():
            shown[key] = f"{row[f'test_{key}']} over {row[f'anchor_{key}']}"
        elif test.nunique() > 1:
            shown[key] = str(row[f"test_{key}"])
    return shown


def _loss_sentence(table: pd.DataFrame, row: Row) -> str:
    told = f"{', '.join(_pair(table, row).values())}: {row['losing']} of {row['with_delta']} subjects lose"
    if row["worst"]:
        told += f", most {row['worst']} ({row['worst_bd_accuracy']:+.3f})"
    if row["most_influential"]:
        told += f"; {row['most_influential']} decides most: {row['without_bd_accuracy']:+.3f} without"
    if pd.notna(row["face_correlation"]):
        told += f"; rank correlation with the width of the face {row['face_correlation']:+.2f}"
    return told + "."


def _against(row: Row, notes: _Notes) -> dict[str, str]:
    """What the curve needs over the anchor, and what BD-rate says of the same pair."""
    if not row["anchor"]:
        return {}
    change = notes.mark(_known(row, "rate_difference", _per_cent), row["rate_difference_reason"])
    ends = notes.mark(
        _between(row, "rate_difference_low", "rate_difference_high", _per_cent),
        _why(row, "rate_difference", "rate_difference_interval_reason"),
    )
    bd: str = "none" if pd.isna(row["bd_rate"]) else _per_cent(row["bd_rate"])
    return {
        f"rate over {row['anchor']}": f"{change} ({ends})" if ends else change,
        "BD-rate": notes.mark(bd, row["bd_rate_reason"]),
    }


def _keys(table: pd.DataFrame, row: Row) -> dict[str, str]:
    shown = {}
    for name in _KEYS:
        if table[name].nunique() > 1 or (name in _USUAL and row[name] != _USUAL[name]):
            shown[name] = str(row[name])
    return {**shown, "codec": str(row["codec"]), "factor": str(row["factor"])}


def _goal(row: Row) -> str:
    level: str = "" if pd.isna(row["level"]) else _value(row["level"])
    goal = str(row["goal"])
    return f"{goal} ({level})" if level and "%" in goal else goal


def _why(row: Row, value: str, reason: str) -> object:
    """Why an interval is missing or open, of a value that is there."""
    return "" if pd.isna(row[value]) else row[reason]


def _known(row: Row, name: str, digits: Any) -> str:
    if pd.notna(row[name]):
        return str(digits(row[name]))
    if pd.notna(row[f"{name}_least"]):
        return f"above {digits(row[f'{name}_least'])}"
    if pd.notna(row[f"{name}_most"]):
        return f"below {digits(row[f'{name}_most'])}"
    return "none"


def _between(row: Row, low: str, high: str, digits: Any) -> str:
    ends = row[low], row[high]
    return "" if pd.isna(ends[0]) or pd.isna(ends[1]) else f"{digits(ends[0])} to {digits(ends[1])}"


def _rate(value: float) -> str:
    return "∞" if np.isinf(value) else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _value(value: float) -> str:
    return f"{value:.3f}"


def _per_cent(value: float) -> str:
    return "∞" if np.isinf(value) else f"{value:+.1f} %" if abs(value) < 100 else f"{value:+.0f} %"


def _filled(rows: list[dict[str, str]]) -> pd.DataFrame:
    table = pd.DataFrame(rows).fillna("")
    return table[[name for name in table.columns if table[name].astype(bool).any()]]
