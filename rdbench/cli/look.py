"""Commands right of the tables: each is a pure function of what a run has stored, and never loads torch."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rdbench.cli.options import FORMATS, RUN, tables_options, words
from rdbench.cli.printing import few, print_table
from rdbench.errors import InputError

if TYPE_CHECKING:
    pass

__all__ = ["export", "inspect", "plot", "report", "status"]

SHOWN = (
    *("clip", "region", "factor", "codec", "mode", "rate", "rate_status", "payload_bits", "parameter_bits"),
    *("first_key_bits", "framing_bits", "informational_bits", "seconds", "psnr_coded", "psnr"),
)


@click.command()
@click.argument("run", type=RUN)
@click.option("--out", type=RUN, help="Folder  [RUN/figures].")
@click.option("--only", metavar="KIND,...", help="Some of the figures; an unknown kind lists them.")
@click.option("--style", type=click.Choice(["screen", "paper"]), default="screen", show_default=True)
@click.option(
    "--formats", default="png,pdf,svg", show_default=True, metavar="FORMAT,...", help="Some of them."
)
@tables_options
def plot(
    run: Path,
    out: Path | None,
    only: str | None,
    style: str,
    formats: str,
    metric: str | None,
    bits: str,
    charge_boxes: bool,
    partition: str | None,
) -> None:
    """Draw a run's figures as PNG, PDF and SVG from its tables alone.

    What is drawn for another metric than the run's own, other bits or another partition has that at the end of
    its name (rd_..._rmse.png), and captions.md gains the captions of what is drawn. What took no part is told.

    \b
    rdbench plot results/quick
    rdbench plot results/quick --style paper --only rd,standalone
    rdbench plot results/quick --metric rmse
    """
    from rdbench.curves.run import open_run
    from rdbench.figures.draw import draw_all
    from rdbench.machine import cores

    opened = open_run(run)
    files = draw_all(
        opened,
        out or run / "figures",
        basis=opened.basis(metric, bits=bits, charge_boxes=charge_boxes, partition=partition),
        style="paper" if style == "paper" else "screen",
        only=None if only is None else words(only),
        formats=words(formats),
        processes=min(cores(), 4),
        tell=lambda text: click.echo(f"note: {text}", err=True),
    )
    for file in files:
        click.echo(str(file))


@click.command()
@click.argument("runs", nargs=-1, required=True, type=RUN)
@click.option("-o", "--out", type=RUN, default=Path("report.html"), show_default=True)
@tables_options
def report(
    runs: Sequence[Path],
    out: Path,
    metric: str | None,
    bits: str,
    charge_boxes: bool,
    partition: str | None,
) -> None:
    """Write one self-contained page for one run, or for several side by side; it works offline.

    Runs are called by their folders, and by the folders around those where these are equal.

    \b
    rdbench report results/quick -o report.html
    rdbench report before/quick after/quick --metric rmse
    """
    from rdbench.curves.run import open_run
    from rdbench.report.page import build, run_names

    opened = [open_run(run) for run in runs]
    named = list(zip(run_names(runs), opened, strict=True))
    build(named, out, metric=metric, bits=bits, charge_boxes=charge_boxes, partition=partition)
    click.echo(str(out))


@click.command()
@click.argument("run", type=RUN)
@click.option("--format", "format_", type=click.Choice(["csv", "parquet"]), default="csv", show_default=True)
@click.option("--out", type=RUN, help="Folder  [RUN/export].")
def export(run: Path, format_: str, out: Path | None) -> None:
    """Write the tables encodes, scores and curves as files; with several factors, their envelopes too.

    \b
    rdbench export results/quick --format parquet
    """
    from rdbench.curves.export import export_run

    for file in export_run(run, out or run / "export", format_):
        click.echo(str(file))


@click.command()
@click.argument("run", type=RUN)
@click.option("--format", "format_", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--provenance", is_flag=True, help="Also what computed it: programs, experiment, calls.")
def status(run: Path, format_: str, provenance: bool) -> int:
    """Tell how far a run is, and what failed.

    \b
    rdbench status results/quick
    rdbench status results/quick --provenance
    """
    from rdbench.curves.run import run_provenance, run_status

    state = run_status(run)
    if provenance:
        state |= run_provenance(run)
    if format_ == "json":
        click.echo(json.dumps(state, indent=2, allow_nan=False))
    else:
        for key, value in state.items():
            if key in ("programs", "calls"):
                for line in _provenance_lines(key, value):
                    click.echo(line)
                continue
            if isinstance(value, dict):
                value = [", ".join(f"{count} {name}" for name, count in value.items())]
            shown = "; ".join(map(str, value or [])) or "none" if isinstance(value, list | None) else value
            click.echo(f"{key}: {shown}")
    return 4 if state["failures"] else 0


def _provenance_lines(key: str, value: Any) -> list[str]:
    if key == "programs":
        return [f"{name}: {text}" for name, text in value.items()] or ["programs: not noted"]
    return [f"{call['date']}: {call['command']} ({call['machine']}, {call['system']})" for call in value]


@click.command()
@click.argument("run", type=RUN)
@click.option("--clip", help="Only this clip.")
@click.option("--codec", help="Only this codec.")
@click.option("--factor", type=click.IntRange(1), help="Only this factor.")
@click.option("--format", "format_", type=click.Choice(FORMATS), default="table", show_default=True)
def inspect(run: Path, clip: str | None, codec: str | None, factor: int | None, format_: str) -> None:
    """Show every bit count of a run's encodes, one row each.

    \b
    rdbench inspect results/quick --clip test_01 --codec x264 --factor 4
    """
    from rdbench.curves.run import open_run

    table = open_run(run).encodes
    for column, wanted in (("clip", clip), ("codec", codec), ("factor", factor)):
        if wanted is not None:
            there = sorted(table[column].unique())
            table = table[table[column] == wanted]
            if table.empty:
                near = difflib.get_close_matches(str(wanted), map(str, there), n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise InputError(f"{run} has no encode with {column} {wanted!r}{hint}; it has {few(there)}.")
    if format_ == "table":
        table = table[list(SHOWN)]
    print_table(table.reset_index(drop=True), format_)
