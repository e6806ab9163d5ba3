"""Commands that answer what people ask of a run, and the one that holds its tables against themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from rdbench.cli.options import FORMATS, RUN, tables_options
from rdbench.cli.printing import print_table

__all__ = ["target", "validate"]


@click.command()
@click.argument("run", type=RUN)
@click.option(
    "--keep",
    "keep",
    multiple=True,
    metavar="SHARE|ACCURACY",
    help="Share of the uncoded accuracy (95%), or an accuracy (0.6); several times for several  [95%, 90%].",
)
@click.option(
    "--at", "rates", multiple=True, type=float, metavar="KBPS", help="The accuracy at this rate instead."
)
@click.option(
    "--anchor",
    metavar="KEY=VALUE,...",
    help="What others are held against  [the first codec by name].",
)
@click.option("--format", "format_", type=click.Choice(FORMATS), default="table", show_default=True)
@tables_options
def target(
    run: Path,
    keep: Sequence[str],
    rates: Sequence[float],
    anchor: str | None,
    format_: str,
    metric: str | None,
    bits: str,
    charge_boxes: bool,
    partition: str | None,
) -> int:
    """Tell the bits that keep a share of the accuracy, or the accuracy at a rate, and what a codec saves there.

    A share is one of what the same back-end recognises in uncoded pictures at factor 1. One row for each codec, factor and
    envelope (factor best), with intervals over subjects. Nothing is extrapolated: where a curve does not reach the
    target, the row says up to which rate it does not.

    \b
    rdbench target results/quick --keep 95%
    rdbench target results/quick --at 50 --anchor codec=x264
    """
    from rdbench.answers.targets import Goal, at_rates, at_targets
    from rdbench.answers.text import rates_for_people, targets_for_people
    from rdbench.curves.run import open_run

    if keep and rates:
        raise click.UsageError("--keep asks for a rate and --at for an accuracy; give one of them.")
    goals = [Goal.parse(text) for text in keep or ("95%", "90%")]
    opened = open_run(run)
    basis = opened.basis(metric, bits=bits, charge_boxes=charge_boxes, partition=partition)
    scopes = opened.scopes(basis)
    table = at_rates(scopes, rates, anchor) if rates else at_targets(scopes, goals, anchor)
    if format_ in ("csv", "json"):
        print_table(table, format_)
    else:
        shown, lines = rates_for_people(table) if rates else targets_for_people(table)
        print_table(shown, format_)
        for line in lines:
            click.echo(f"- {line}" if format_ == "markdown" else line)
    return 0 if table["value" if rates else "kbps"].notna().any() else 3


@click.command()
@click.argument("run", type=RUN)
def validate(run: Path) -> int:
    """Hold a run's tables against themselves: one sentence for each thing that cannot be.

    Other commands refuse a run with faults, so that no number is made of an impossible table.

    \b
    rdbench validate results/quick
    """
    from rdbench.curves.run import open_run

    opened = open_run(run)
    faults = opened.faults()
    for fault in faults.described:
        click.echo(str(fault))
    if faults.more:
        click.echo(f"And {faults.more} more of the same kinds.")
    if not len(faults):
        encodes, scores = len(opened.encodes), len(opened.scores)
        click.echo(f"{run}: {encodes} encodes and {scores} scores, nothing in them that cannot be.")
    return 2 if len(faults) else 0
