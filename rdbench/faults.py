"""What is wrong with a table: a sentence for each fault, few of which are ever shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.errors import InputError

__all__ = ["SHOWN", "Fault", "Faults", "Inspection", "refuse"]

SHOWN = 5
"""So many faults are told where a table is refused."""

LARGEST = 1e100
"""No number of a table is as large; squares and sums of larger ones would overflow."""

MOST = 1000
"""Of faults of one kind so many are described; beyond, they are only counted."""


@dataclass(frozen=True)
class Fault:
    """One thing that cannot be.

    Parameters
    ----------
    table, row, column : str
        Where it is; `row` names the row by its key.
    expected, came : str
        What should stand there, and what does.
    """

    table: str
    row: str
    column: str
    expected: str
    came: str

    def __str__(self) -> str:
        return f"{self.table}, {self.row}: {self.column} should be {self.expected}, but is {self.came}."


@dataclass
class Faults:
    """The faults of a table or of several.

    Parameters
    ----------
    described : list of Fault
    more : int
        Further ones of the same kinds, counted only.
    """

    described: list[Fault] = field(default_factory=list)
    more: int = 0

    def __len__(self) -> int:
        return len(self.described) + self.more

    def __add__(self, other: Faults) -> Faults:
        return Faults([*self.described, *other.described], self.more + other.more)


class Inspection:
    """Holds the rows of one table to rules, and gathers what breaks them.

    Parameters
    ----------
    name : str
        Of the table.
    frame : DataFrame
    row : callable
        Names the row at a place.
    """

    def __init__(self, name: str, frame: pd.DataFrame, row: Callable[[int], str]) -> None:
        self.name, self.frame, self._row = name, frame, row
        self.faults = Faults()

    def numbers(self, column: str) -> NDArray[np.float64]:
        """A column as numbers, NaN where it has none."""
        return self.frame[column].to_numpy(dtype=np.float64, na_value=np.nan)

    def refuse(
        self,
        wrong: NDArray[np.bool_],
        column: str,
        expected: str | Callable[[int], str],
        came: Callable[[int], str] | None = None,
    ) -> None:
        """Note a fault for each row that is wrong."""
        if not wrong.any():
            return
        places = np.flatnonzero(wrong)
        for i in places[:MOST].tolist():
            wanted = expected if isinstance(expected, str) else expected(i)
            value = shown(self.frame[column].iloc[i]) if came is None else came(i)
            self.faults.described.append(Fault(self.name, self._row(i), column, wanted, value))
        self.faults.more += len(places) - min(len(places), MOST)

    def require(self, columns: Iterable[str]) -> None:
        """Every row has a value in these columns."""
        for column in columns:
            self.refuse(self.frame[column].isna().to_numpy(dtype=bool), column, "there", lambda _: "missing")

    def known(self, column: str, words: Iterable[str]) -> None:
        """A column holds some words and no others; what is missing is told by `require`."""
        code, values = pd.factorize(self.frame[column])
        strange = np.array([*(value not in words for value in values), False])
        self.refuse(strange[code], column, f"one of {', '.join(words)}")

    def within(
        self, column: str, low: float, high: float = np.inf, *, above: bool = False
    ) -> NDArray[np.float64]:
        """A column is finite (within `LARGEST`) and at least `low` (above it, if so said), at most `high`; gives its numbers."""
        values = self.numbers(column)
        wrong = (values <= low if above else values < low) | (values > high) | (np.abs(values) > LARGEST)
        ends = (
            f"within ±{LARGEST:g}"
            if np.isinf(low)
            else f"finite and {'above' if above else 'at least'} {low:g}",
            f" and at most {min(high, LARGEST):g}" if np.isfinite(high) or np.isfinite(low) else "",
        )
        self.refuse(wrong, column, "".join(ends))
        return values

    def unique(self, cell: NDArray[np.int64], column: str, what: str) -> None:
        """No number is there twice."""
        again = pd.Series(cell).duplicated().to_numpy()
        self.refuse(again, column, f"that of one row alone ({what})", lambda _: "there again")

    def constant(self, group: NDArray[np.int64], column: str, within: Callable[[int], str]) -> None:
        """A column has one value in all rows of a group (-1: of none); `within` names the group of a row."""
        code, values = pd.factorize(self.frame[column])
        first = first_of_group(group, code >= 0)
        other = (group >= 0) & (code >= 0) & (code[first] != code)
        self.refuse(
            other, column, lambda i: f"{shown(values[code[first[i]]])} as elsewhere for {within(i)}", None
        )


def first_of_group(group: NDArray[np.int64], use: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each row the first row of its group that is to be used; itself where there is none."""
    rows = np.flatnonzero(use & (group >= 0))[::-1]
    first = np.full(int(group.max(initial=-1)) + 1, -1, dtype=np.int64)
    first[group[rows]] = rows
    found = np.where(group >= 0, first[group] if len(first) else -1, -1)
    return np.where(found >= 0, found, np.arange(len(group)))


def shown(value: Any) -> str:
    """A value in a sentence, short."""
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return "missing"
    if isinstance(value, float | np.floating):
        return f"{float(value):.9g}"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def refuse(faults: Faults, where: str) -> None:
    """Let nothing be computed from tables with faults.

    Raises
    ------
    InputError
        With the first few, how many more there are, and how to see them.
    """
    if not len(faults):
        return
    few = " ".join(str(fault) for fault in faults.described[:SHOWN])
    left = len(faults) - min(len(faults.described), SHOWN)
    rest = f" And {left} more: see `rdbench validate`." if left else ""
    raise InputError(f"{where} holds what cannot be, so nothing is computed from it. {few}{rest}")
