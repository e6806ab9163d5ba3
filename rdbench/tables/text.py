"""A table as people read it: few digits, no index, nothing cut off."""

from __future__ import annotations

from typing import Any

import pandas as pd
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["markdown", "plain"]


def plain(table: pd.DataFrame) -> str:
    """Columns under each other, as wide as they need to be; a narrow terminal gets one block a row."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    numbers = [pd.api.types.is_numeric_dtype(table[name]) for name in table.columns]
    cells = [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    needed = sum(
        max([cell_len(str(name)), *(cell_len(row[i]) for row in cells)]) + 2
        for i, name in enumerate(table.columns)
    )
    # What is not a terminal has no width to fit into.
    terminal = Console().is_terminal
    width = Console().width if terminal else max(needed, 80)
    console = Console(highlight=False, width=width)
    with console.capture() as capture:
        if needed > width:
            for row in cells:
                for name, text in zip(table.columns, row, strict=True):
                    if text:
                        console.print(Text(f"{name}: {text}"), soft_wrap=True)
                console.print()
        else:
            for name, number in zip(table.columns, numbers, strict=True):
                drawn.add_column(str(name), justify="right" if number else "left", no_wrap=True)
            for row in cells:
                drawn.add_row(*(Text(text) for text in row))
            console.print(drawn)
    return capture.get()


def markdown(table: pd.DataFrame) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(map(str, table.columns)) + " |", "|" + " --- |" * len(table.columns)]
    for row in table.itertuples(index=False):
        lines.append(
            "| " + " | ".join(_cell(value).replace("|", "\\|").replace("\n", " ") for value in row) + " |"
        )
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if pd.isna(value):
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
