"""Weka's ARFF text files, as far as label files use it: numeric and text attributes, dense data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rdbench.datasets import delimited
from rdbench.errors import InputError

__all__ = ["Arff", "parse", "read"]

_NUMERIC = frozenset({"numeric", "real", "integer"})
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_ATTRIBUTE = re.compile(r"@attribute\s+(?P<rest>.+)", re.IGNORECASE)
# Blanks around a separator belong to it, so that a comma followed by a tab separates once.
_SEPARATOR = re.compile(r"[ \t]*[,\t][ \t]*")


@dataclass(frozen=True)
class Arff:
    """A relation: attributes in order, and rows of cells with the number of their line.

    Parameters
    ----------
    source : str
        How errors name the file.
    attributes : tuple of str
        Names without quotes.
    numeric : tuple of bool
        Whether the attribute is declared numeric, real or integer.
    rows : list of (int, tuple of str or None)
        None where a value is missing (``?``).
    """

    source: str
    attributes: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: list[tuple[int, tuple[str | None, ...]]]

    def find(self, name: str) -> int:
        """Index of an attribute, whatever its case.

        Raises
        ------
        InputError
            If there is none.
        """
        names = [a.casefold() for a in self.attributes]
        if name.casefold() not in names:
            raise InputError(
                f"{self.source}: there is no attribute {name!r}; the header has {', '.join(self.attributes)}."
            )
        return names.index(name.casefold())

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A numeric attribute as float64, NaN where missing.

        Raises
        ------
        InputError
            If there is no such attribute, it is not numeric, or a value is not a number.
        """
        i = self.find(name)
        if not self.numeric[i]:
            raise InputError(f"{self.source}: the attribute {name!r} is not declared numeric.")
        return np.array(
            [
                np.nan if cells[i] is None else delimited.number(str(cells[i]), self.source, line, name)
                for line, cells in self.rows
            ],
            dtype=np.float64,
        )


def _tokens(text: str, source: str, line: int) -> Iterator[tuple[str, bool]]:
    """Cells between commas or tabs, as Weka and scipy separate them, and whether each was quoted."""
    i = 0
    while True:
        quoted = text[i : i + 1] in ("'", '"')
        if quoted:
            cell, i = _quoted(text, i, source, line)
            found = _SEPARATOR.match(text, i)
            if found is None and i < len(text):
                raise InputError(
                    f"{source}, line {line}: a comma or a tab should follow the quoted value {cell[:40]!r}."
                )
        else:
            found = _SEPARATOR.search(text, i)
            cell = text[i : found.start() if found else len(text)]
        yield cell, quoted
        if found is None:
            return
        i = found.end()


def _quoted(text: str, i: int, source: str, line: int) -> tuple[str, int]:
    """The quoted text that begins at `i`, and where it ends; a backslash escapes."""
    quote, out, i = text[i], [], i + 1
    while i < len(text):
        if text[i] == "\\" and i + 1 < len(text):
            out.append(_ESCAPES.get(text[i + 1], text[i + 1]))
            i += 2
        elif text[i] == quote:
            return "".join(out), i + 1
        else:
            out.append(text[i])
            i += 1
    raise InputError(f"{source}, line {line}: a quote {quote} is not closed.")


def _attribute(rest: str, source: str, line: int) -> tuple[str, bool]:
    """Name of an attribute, and whether it is numeric."""
    if rest[0] in "'\"":
        name, end = _quoted(rest, 0, source, line)
        kind = rest[end:].strip()
    else:
        parts = rest.split(None, 1)
        name, kind = parts[0], parts[1] if len(parts) > 1 else ""
    if not name.strip() or not kind:
        raise InputError(f"{source}, line {line}: @attribute needs a name and a type, but has {rest[:40]!r}.")
    return name.strip(), kind.split("%")[0].strip().casefold() in _NUMERIC


def parse(text: str, source: str) -> Arff:
    """Read a relation from text.

    Comments (``%``), blank lines, either line end, either quote and any number of header lines are fine;
    cells are separated by commas or tabs. Sparse rows are refused.

    Raises
    ------
    InputError
        If the header or a row is not ARFF; names the line.
    """
    attributes: list[str] = []
    numeric: list[bool] = []
    rows: list[tuple[int, tuple[str | None, ...]]] = []
    data = False
    for line, raw in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        content = raw.strip()
        if not content or content.startswith("%"):
            continue
        if data:
            rows.append((line, _row(content, len(attributes), source, line)))
            continue
        word = content.split(None, 1)[0].casefold()
        if word == "@relation":
            continue
        if word == "@data":
            if not attributes:
                raise InputError(f"{source}, line {line}: @data comes before any @attribute.")
            data = True
            continue
        match = _ATTRIBUTE.fullmatch(content)
        if match is None:
            raise InputError(
                f"{source}, line {line}: {content[:40]!r} is no ARFF header; @relation, @attribute or @data "
                f"was expected."
            )
        name, is_numeric = _attribute(match["rest"].strip(), source, line)
        if name.casefold() in (a.casefold() for a in attributes):
            raise InputError(f"{source}, line {line}: the attribute {name!r} is declared twice.")
        attributes.append(name)
        numeric.append(is_numeric)
    if not data:
        raise InputError(f"{source}: has no @data line, so it is not a complete ARFF file.")
    return Arff(source, tuple(attributes), tuple(numeric), rows)


def _row(content: str, width: int, source: str, line: int) -> tuple[str | None, ...]:
    if content.startswith("{"):
        raise InputError(f"{source}, line {line}: sparse rows are not read; save the file in dense form.")
    cells = tuple(
        None if cell == "?" and not quoted else cell for cell, quoted in _tokens(content, source, line)
    )
    if len(cells) != width:
        raise InputError(f"{source}, line {line}: {len(cells)} values, but {width} attributes are declared.")
    return cells


def read(path: Path) -> Arff:
    """Read a relation from a file; see `parse`."""
    return parse(delimited.read_text(path), str(path))
