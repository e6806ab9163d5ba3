"""Tables printed for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rdbench.errors import InputError
from rdbench.files import replacing

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["few", "print_table", "rendered", "write"]


def rendered(table: object, format_: str) -> str:
    import contextlib
    import io

    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        print_table(table, format_)  # type: ignore[arg-type]
    return stream.getvalue()


def write(file: Path, text: str) -> None:
    if not file.name or file.is_dir():
        raise InputError(f"{file} is a folder; name a file to write to.")
    with replacing(file) as part:
        part.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
    click.echo(str(file))


def few(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values[:12])) + (", ..." if len(values) > 12 else "") or "none"


def print_table(table: pd.DataFrame, format_: str) -> None:
    """Print a table for people or for a program; a program gets nothing else on standard output."""
    if format_ == "csv":
        click.echo(table.to_csv(index=False, lineterminator="\n"), nl=False)
    elif format_ == "json":
        click.echo(table.to_json(orient="records", indent=2, double_precision=15))
    elif format_ == "markdown":
        from rdbench.tables.text import markdown

        click.echo(markdown(table))
    else:
        from rdbench.tables.text import plain

        click.echo(plain(table), nl=False)
