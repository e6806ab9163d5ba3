"""Tables as plain values of JSON, and the room that a page has for them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["CONDITION", "Json", "Room", "Told", "columns", "plain_value", "row_values", "some_names"]


Json = dict[str, Any]


Told = list[tuple[str, str]]


def columns(table: pd.DataFrame) -> Json:
    return {
        "columns": list(table.columns),
        "rows": [[plain_value(v) for v in row] for row in row_values(table)],
    }


def row_values(table: pd.DataFrame) -> Iterable[tuple[Any, ...]]:
    return table.astype(object).itertuples(index=False, name=None)


def plain_value(value: Any) -> Any:
    """What strict JSON can hold: numbers to 7 digits, None for what is missing."""
    if value is None or value is pd.NA:
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return float(f"{value:.7g}")
    return value


class Room:
    """How much may still go onto the page."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, size: int) -> bool:
        if size > self.left:
            return False
        self.left -= size
        return True


CONDITION = ("clip", "region", "codec", "variant", "factor", "mode", "rate", "rate_status")


def some_names(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
