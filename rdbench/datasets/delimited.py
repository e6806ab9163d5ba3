"""Small text tables as other tools write them: comma, semicolon or tab, with or without quotes and BOM."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rdbench.errors import InputError

__all__ = ["MISSING", "UNSAID", "Table", "number", "parse", "read", "read_text", "rising"]

MISSING = frozenset({"", "?", "nan", "na"})
"""What stands for a missing number in every table, whatever the case."""

UNSAID = frozenset({"", "?"})
"""What stands for a missing word: a class may be called na, and somebody Nan."""

_LIMIT = 256 * 1024 * 1024


@dataclass(frozen=True)
class Table:
    """A header and rows of text, each with the number of its line.

    Parameters
    ----------
    source : str
        How errors name the file.
    header : tuple of str
        Column names without surrounding spaces.
    rows : list of (int, tuple of str)
        Line number (from 1) and as many cells as the header has.
    """

    source: str
    header: tuple[str, ...]
    rows: list[tuple[int, tuple[str, ...]]]

    def column(self, name: str) -> int:
        """Index of a column, whatever its case.

        Raises
        ------
        InputError
            If there is none.
        """
        names = [h.casefold() for h in self.header]
        if name.casefold() not in names:
            raise InputError(
                f"{self.source}: there is no column {name!r}; the header has {', '.join(self.header)}."
            )
        return names.index(name.casefold())

    def numbers(self, column: int) -> NDArray[np.float64]:
        """One column as float64, NaN where missing.

        Raises
        ------
        InputError
            If a cell is neither a finite number nor a mark of a missing one; names the line.
        """
        return np.array(
            [number(cells[column], self.source, line, self.header[column]) for line, cells in self.rows],
            dtype=np.float64,
        )


def number(text: str, source: str, line: int, name: str) -> float:
    """One cell as a finite number, or NaN where it is a mark of a missing one.

    Raises
    ------
    InputError
        If it is neither.
    """
    if text.strip().casefold() in MISSING:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if not math.isfinite(value) or "_" in text:
        raise InputError(f"{source}, line {line}: {name} should be a number, but is {text.strip()[:40]!r}.")
    return value


def read_text(path: Path) -> str:
    """A text file as UTF-8, with or without a byte order mark.

    Raises
    ------
    InputError
        If it cannot be read, is not text, or is larger than 256 MiB.
    """
    try:
        if path.stat().st_size > _LIMIT:
            raise InputError(
                f"{path}: {path.stat().st_size} bytes are too many for a table of labels or boxes."
            )
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: byte {error.start} is not UTF-8 text; save the file as plain UTF-8 text."
        ) from error


def parse(text: str, source: str) -> Table:
    """Read a table from text; the header decides between semicolon, tab and comma.

    Blank lines are skipped; spaces around cells and empty cells at the end of a line are dropped.

    Raises
    ------
    InputError
        If there is no header, a column name comes twice, or a row has another number of cells.
    """
    if "\0" in text:
        raise InputError(f"{source}: holds zero bytes, so it is not a text table.")
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = next((d for d in ";\t," if d in first), ",")
    header: tuple[str, ...] = ()
    rows: list[tuple[int, tuple[str, ...]]] = []
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    try:
        for raw in reader:
            cells = tuple(cell.strip() for cell in raw)
            if not any(cells):
                continue
            if not header:
                header = _trimmed(cells)
                continue
            if len(cells) > len(header) and not any(cells[len(header) :]):
                cells = cells[: len(header)]
            if len(cells) != len(header):
                raise InputError(
                    f"{source}, line {reader.line_num}: {len(cells)} cells, but the header has {len(header)} "
                    f"({', '.join(header)})."
                )
            rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise InputError(f"{source}, line {reader.line_num}: {error}.") from error
    if not header:
        raise InputError(f"{source}: is empty; a header line with column names was expected.")
    folded = [h.casefold() for h in header]
    twice = next((h for h in header if folded.count(h.casefold()) > 1), None)
    if twice is not None:
        raise InputError(f"{source}: the column {twice!r} comes twice; give each column one name.")
    return Table(source, header, rows)


def _trimmed(cells: tuple[str, ...]) -> tuple[str, ...]:
    """Without the empty cells at the end that a trailing delimiter makes."""
    while cells and not cells[-1]:
        cells = cells[:-1]
    return cells


def read(path: Path) -> Table:
    """Read a table from a file; see `parse` and `read_text`."""
    return parse(read_text(path), str(path))


def rising(table: Table, column: int) -> NDArray[np.float64]:
    """A column of times: every one a number, each later than the one before.

    Raises
    ------
    InputError
        If one is missing or not later; names the line.
    """
    times = table.numbers(column)
    name = table.header[column]
    gaps = np.flatnonzero(np.isnan(times))
    if len(gaps):
        raise InputError(f"{table.source}, line {table.rows[gaps[0]][0]}: {name} is missing.")
    back = np.flatnonzero(np.diff(times) <= 0)
    if len(back):
        i = int(back[0]) + 1
        raise InputError(
            f"{table.source}, line {table.rows[i][0]}: {name} should rise from row to row, "
            f"but {times[i]:g} comes after {times[i - 1]:g}."
        )
    return times
