"""Commands that answer what people ask of a run, and the one that holds its tables against themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rdbench.curves.run import Run

from rdbench.cli.options import FORMATS, RUN, Share, tables_options
from rdbench.cli.printing import print_table

__all__ = ["plan", "target", "validate"]


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


@click.command()
@click.argument("run", type=RUN)
@click.option("--anchor", metavar="KEY=VALUE,...", help="Such as codec=x264.")
@click.option("--test", metavar="KEY=VALUE,...", help="Such as codec=x265.")
@click.option("--better", metavar="NAME", help="A way of training, all its seeds, instead of curves.")
@click.option("--than", metavar="NAME", help="The other one.")
@click.option(
    "--factor", "factors", type=click.IntRange(1, 64), multiple=True, help="Of the ways of training  [1]."
)
@click.option("--half-width", "rate_width", type=Share(), metavar="SHARE", help="Of BD-rate, such as 5%.")
@click.option(
    "--accuracy-half-width",
    "accuracy_width",
    type=float,
    metavar="AMOUNT",
    help="Of BD of accuracy, such as 0.02.",
)
@click.option("--max-bd-rate", type=Share(), metavar="SHARE", help="A gate's tolerance.")
@click.option("--max-accuracy-drop", type=float, metavar="AMOUNT", help="A gate's tolerance.")
@click.option(
    "--curves", type=click.IntRange(1, 10_000), default=1, show_default=True, help="Judged together."
)
@click.option("--format", "format_", type=click.Choice(FORMATS), default="table", show_default=True)
@tables_options
def plan(
    run: Path,
    anchor: str | None,
    test: str | None,
    better: str | None,
    than: str | None,
    factors: Sequence[int],
    rate_width: float | None,
    accuracy_width: float | None,
    max_bd_rate: float | None,
    max_accuracy_drop: float | None,
    curves: int,
    format_: str,
    metric: str | None,
    bits: str,
    charge_boxes: bool,
    partition: str | None,
) -> int:
    """Tell how many subjects, rates and seeds a run needs, from a pilot run of the same kind.

    For an interval of BD-rate or BD of accuracy of a half-width, or for a gate that passes 95 % of unchanged builds (--curves
    of them judged together). A gate's pilot compares what a change might look like: two variants, two presets.
    For two ways of training without a codec (--better, --than), how many subjects each number of seeds needs.

    \b
    rdbench plan results/pilot --anchor codec=x264 --test codec=x265 --half-width 5%
    rdbench plan results/pilot --anchor variant=ra --test variant=ld --max-bd-rate 3% --curves 8
    rdbench plan results/pilot --better max-mix@lite --than direct@lite --factor 4 --accuracy-half-width 0.03
    """
    from rdbench.answers.planning import Wish, planned
    from rdbench.answers.text import plan_for_people
    from rdbench.curves.run import open_run

    asked = [
        ("rate", rate_width, False),
        ("accuracy", accuracy_width, False),
        ("rate", max_bd_rate, True),
        ("accuracy", max_accuracy_drop, True),
    ]
    wishes = [Wish(measure, amount, gate, curves) for measure, amount, gate in asked if amount is not None]
    if not wishes:
        raise click.UsageError(
            "Say what is wanted: --half-width, --accuracy-half-width, or a gate's tolerance."
        )
    opened = open_run(run)
    if better or than:
        return _plan_of_seeds(opened, better, than, factors, accuracy_width, metric, partition, format_)
    if not (anchor and test):
        raise click.UsageError("Name what is compared: --anchor and --test, or --better and --than.")
    basis = opened.basis(metric, bits=bits, charge_boxes=charge_boxes, partition=partition)
    table = planned(opened.scopes(basis), anchor, test, wishes)
    print_table(table if format_ in ("csv", "json") else plan_for_people(table), format_)
    return 0 if table["subjects"].notna().any() else 3


def _one_metric(run: Run, family: str) -> str:
    """What a back-end is measured by; several kinds of targets have no half-width in common."""
    from rdbench.tables.kinds import main_metrics

    own = run.scores[run.scores["backend"].str.partition("#")[0] == family]
    found = main_metrics(own) or ("ccc",)
    if len(found) > 1:
        raise click.UsageError(f"{family} is measured by {' and '.join(found)}; choose one with --metric.")
    return found[0]


def _plan_of_seeds(
    opened: Run,
    better: str | None,
    than: str | None,
    factors: Sequence[int],
    width: float | None,
    metric: str | None,
    partition: str | None,
    format_: str,
) -> int:
    from pydantic import ValidationError

    from rdbench.methods.claims import Claim
    from rdbench.methods.findings import evaluate
    from rdbench.methods.planning import seeds_and_subjects

    if not (better and than and width):
        raise click.UsageError("Seeds are planned for --better, --than and --accuracy-half-width.")
    said = {"sentence": "a plan", "better": better, "than": than, "factors": tuple(factors) or (1,)}
    try:
        claim = Claim.model_validate(said | {"measure": metric or _one_metric(opened, better)})
    except ValidationError as error:
        why = error.errors()[0]["msg"]
        raise click.UsageError(f"{better} and {than} cannot be planned for: {why}.") from None
    finding = evaluate(claim, opened.encodes, opened.scores, partition=partition)
    table = seeds_and_subjects(finding, width)
    print_table(table, format_)
    if not len(table):
        click.echo(
            finding.reason or "The pilot has one seed of a family, so nothing tells how far seeds lie apart.",
            err=True,
        )
    return 0 if len(table) else 3
