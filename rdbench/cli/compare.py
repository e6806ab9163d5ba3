"""Commands that compare ways of training: pure functions of the tables of runs, which never load torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rdbench.cli.look import FORMATS, RUN, print_table
from rdbench.errors import InputError

if TYPE_CHECKING:
    from rdbench.methods.findings import Finding

__all__ = ["METHODS"]


@click.command()
@click.argument("runs", nargs=-1, required=True, type=RUN, metavar="RUN...")
@click.option(
    "--metric", "metrics", multiple=True, type=click.Choice(["ccc", "pcc", "rmse", "accuracy", "f1"])
)
@click.option(
    "--bootstrap",
    type=click.IntRange(0, 100_000),
    default=0,
    help="Resamples of seeds and subjects, as a second opinion.",
)
@click.option("--partition", type=click.Choice(["train", "dev", "test"]))
@click.option("--format", "format_", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("-o", "--out", type=RUN, metavar="FILE", help="Write to a file instead.")
def methods(
    runs: Sequence[Path],
    metrics: Sequence[str],
    bootstrap: int,
    partition: str | None,
    format_: str,
    out: Path | None,
) -> int:
    """Compare ways of training without a codec: back-ends x factors, with seeds joined.

    Each row is the mean over the seeds of a back-end; its interval is over seeds and subjects, whose shares
    are told apart.

    \b
    rdbench methods results/standalone
    rdbench methods results/standalone --metric ccc --format markdown -o table.md
    """
    from rdbench.methods.table import for_people, method_table
    from rdbench.tables.reading import open_run
    from rdbench.tables.several import joined

    encodes, scores = joined([open_run(run) for run in runs])
    table = method_table(encodes, scores, metrics=metrics or None, partition=partition, boot=bootstrap)
    shown = for_people(table) if format_ in ("table", "markdown") else table
    if out is None:
        print_table(shown, format_)
    else:
        _write(out, _rendered(shown, format_))
    for note in table.attrs["notes"]:
        click.echo(f"note: {note}", err=True)
    return 0


@click.command()
@click.argument("runs", nargs=-1, required=True, type=RUN, metavar="RUN...")
@click.option(
    "--claims",
    "file",
    required=True,
    metavar="FILE.toml",
    help="A file of claims, or paper.toml, which ships.",
)
@click.option("--partition", type=click.Choice(["train", "dev", "test"]))
@click.option("--bits", type=click.Choice(["payload", "stream"]), default="payload", show_default=True)
@click.option("--charge-boxes", is_flag=True, help="Add the face boxes' bits to the rate (region frame).")
@click.option("--format", "format_", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("-o", "--out", type=RUN, metavar="FILE", help="Write to a file instead.")
def claims(
    runs: Sequence[Path],
    file: str,
    partition: str | None,
    bits: str,
    charge_boxes: bool,
    format_: str,
    out: Path | None,
) -> int:
    """Hold claims about ways of training against runs: each holds, does not hold, or cannot be told.

    A claim finds its rows in whichever of the runs has them.

    \b
    rdbench claims results/standalone results/coded --claims paper.toml
    rdbench claims results/mine --claims mine.toml --format markdown -o claims.md
    """
    from rdbench.methods import text as claims_formats
    from rdbench.methods.claims import load_claims
    from rdbench.methods.findings import evaluate
    from rdbench.tables.reading import open_run
    from rdbench.tables.several import joined

    listed = load_claims(file)
    encodes, scores = joined([open_run(run) for run in runs])
    options = {"bits": bits, "charge_boxes": charge_boxes, "partition": partition}
    found = [evaluate(claim, encodes, scores, **options) for claim in listed]  # type: ignore[arg-type]
    text = {
        "table": claims_formats.to_text,
        "csv": claims_formats.to_csv,
        "json": claims_formats.to_json,
        "markdown": claims_formats.to_markdown,
    }[format_](found)
    if out is None:
        click.echo(text, nl=not text.endswith("\n"))
    else:
        _write(out, text)
    for note in dict.fromkeys(note for one in found for note in one.notes):
        click.echo(f"note: {note}", err=True)
    return _code(found)


def _code(found: Sequence[Finding]) -> int:
    """3 where no claim has a single comparison: nothing was comparable."""
    return 0 if any(one.members["value"].notna().any() for one in found) else 3


def _rendered(table: object, format_: str) -> str:
    import contextlib
    import io

    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        print_table(table, format_)  # type: ignore[arg-type]
    return stream.getvalue()


def _write(file: Path, text: str) -> None:
    if not file.name or file.is_dir():
        raise InputError(f"{file} is a folder; name a file to write to.")
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        beside.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)
    click.echo(str(file))


METHODS = (methods, claims)
