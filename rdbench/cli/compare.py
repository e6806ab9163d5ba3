"""Commands that compare ways of training: pure functions of the tables of runs, which never load torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rdbench.cli.options import FORMATS, METRIC, RUN, Resamples, Share, tables_options
from rdbench.cli.printing import print_table, rendered, write
from rdbench.errors import InputError, NotComparableError

if TYPE_CHECKING:
    import pandas as pd

    from rdbench.methods.findings import Finding

__all__ = ["bd", "check", "claims", "methods"]


@click.command()
@click.argument("runs", nargs=-1, required=True, type=RUN, metavar="RUN...")
@click.option("--metric", "metrics", multiple=True, type=METRIC)
@click.option(
    "--bootstrap",
    type=Resamples(),
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
    from rdbench.curves.run import open_run
    from rdbench.curves.several import joined
    from rdbench.methods.table import method_table
    from rdbench.methods.text import for_people

    encodes, scores = joined([open_run(run) for run in runs])
    table = method_table(encodes, scores, metrics=metrics or None, partition=partition, boot=bootstrap)
    shown = for_people(table) if format_ in ("table", "markdown") else table
    if out is None:
        print_table(shown, format_)
    else:
        write(out, rendered(shown, format_))
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
    """Hold claims about ways of training against runs: each holds, holds on average, does not hold, or cannot be told.

    A claim finds its rows in whichever of the runs has them. All claims of a file are decided together, so that
    at most 5 % of files say anything wrong of a mean, of a sentence or of a comparison.

    \b
    rdbench claims results/standalone results/coded --claims paper.toml
    rdbench claims results/mine --claims mine.toml --format markdown -o claims.md
    """
    from rdbench.curves.run import open_run
    from rdbench.curves.several import joined
    from rdbench.methods import text as claims_formats
    from rdbench.methods.claims import load_claims
    from rdbench.methods.findings import evaluate_file

    listed = load_claims(file)
    encodes, scores = joined([open_run(run) for run in runs])
    found = evaluate_file(listed, encodes, scores, bits=bits, charge_boxes=charge_boxes, partition=partition)
    text = {
        "table": claims_formats.to_text,
        "csv": claims_formats.to_csv,
        "json": claims_formats.to_json,
        "markdown": claims_formats.to_markdown,
    }[format_](found)
    if out is None:
        click.echo(text, nl=not text.endswith("\n"))
    else:
        write(out, text)
    for note in dict.fromkeys(note for one in found for note in one.notes):
        click.echo(f"note: {note}", err=True)
    return _code(found)


def _code(found: Sequence[Finding]) -> int:
    """3 where no claim has a single comparison: nothing was comparable."""
    return 0 if any(one.members["value"].notna().any() for one in found) else 3


@click.command()
@click.argument("run", type=RUN)
@click.option("--anchor", required=True, metavar="KEY=VALUE,...", help="Such as codec=x264.")
@click.option("--test", required=True, metavar="KEY=VALUE,...", help="Such as codec=x265,factor=best.")
@click.option("--method", type=click.Choice(["akima", "pchip"]), default="akima", show_default=True)
@click.option("--larger", is_flag=True, help="Let points in that were coded larger than asked.")
@click.option("--bootstrap", type=Resamples(), default=0, help="Resamples, as a second opinion.")
@click.option("--plot", "picture", type=RUN, metavar="FILE", help="Draw where along the curves they differ.")
@click.option("--by", type=click.Choice(["subject"]), help="Who loses: each subject's own deltas instead.")
@click.option("--format", "format_", type=click.Choice(FORMATS), default="table", show_default=True)
@tables_options
def bd(
    run: Path,
    anchor: str,
    test: str,
    method: str,
    larger: bool,
    bootstrap: int,
    picture: Path | None,
    by: str | None,
    format_: str,
    metric: str | None,
    bits: str,
    charge_boxes: bool,
    partition: str | None,
) -> int:
    """Bjøntegaard deltas between two sides of a run, with intervals over subjects.

    Keys are codec, variant, backend, factor, region, mode and target; factor=best is the envelope. One row for
    each combination of the keys left open that both sides have. The tables show intervals of each row and of
    all rows together (95 % of all), and how far leaving out one point moves a delta (interpolation).

    --plot draws the relative difference of rates over accuracy for the very rows of the table, into a .png,
    .pdf or .svg: one number hides curves that cross.

    \b
    rdbench bd results/quick --anchor codec=x264 --test codec=x265
    rdbench bd results/quick --anchor factor=1 --test factor=best --format json
    rdbench bd results/quick --anchor codec=x264 --test codec=x265 --plot x265.png
    rdbench bd results/quick --anchor codec=x264 --test codec=x265 --by subject
    """
    from rdbench.answers.losers import losers_of
    from rdbench.curves.deltas import deltas_of, differences_of
    from rdbench.curves.run import open_run

    if picture is not None:
        _known_format(picture)
    opened = open_run(run)
    basis = opened.basis(metric, bits=bits, charge_boxes=charge_boxes, partition=partition)
    scopes = opened.scopes(basis)
    if by is not None:
        if picture is not None or bootstrap:
            raise click.UsageError("--by tells each subject's own deltas, without --plot and --bootstrap.")
        return _print_losers(losers_of(scopes, anchor, test, method=method, larger=larger), format_)
    table = deltas_of(scopes, anchor, test, method=method, larger=larger, boot=bootstrap)
    drawing, nothing = None, None
    if picture is not None:
        from rdbench.figures.deltas import differences

        try:
            along = differences_of(scopes, anchor, test, method=method, larger=larger)
            drawing = differences(table, along, boxes=basis.boxes(opened.encodes))
        except NotComparableError as error:
            nothing = error  # the table still says something
    _print_deltas(table, format_)
    for note in table.attrs.get("notes", []):
        click.echo(f"note: {note}", err=True)
    if nothing is not None:
        raise nothing
    if picture is not None and drawing is not None:
        from rdbench.figures.canvas import save

        save(drawing, picture.with_suffix(""), [picture.suffix[1:]])
        click.echo(f"drawn: {picture}", err=True)
    return 0 if len(table) and table["bd_accuracy"].notna().any() else 3


@click.command()
@click.argument("run", type=RUN)
@click.option("--against", required=True, type=RUN, metavar="REFERENCE", help="The run to compare with.")
@click.option(
    "--max-bd-rate",
    type=Share(),
    default="1%",
    show_default=True,
    metavar="SHARE|none",
    help="Tolerated loss of rate; none: the rate is not judged.",
)
@click.option(
    "--max-accuracy-drop",
    type=Share(),
    default="0.01",
    show_default=True,
    metavar="SHARE|none",
    help="Tolerated loss in units of the metric; none: accuracy is not judged.",
)
@click.option(
    "--max-target-rate",
    type=Share(),
    metavar="SHARE|none",
    help="Tolerated loss of rate where a curve reaches the target of --keep; not judged unless given.",
)
@click.option(
    "--keep",
    default="95%",
    show_default=True,
    metavar="SHARE|ACCURACY",
    help="The target: a share of the reference's uncoded accuracy, or an accuracy.",
)
@click.option("--vary", "vary", multiple=True, type=click.Choice(["weights", "encoder", "profile"]))
@click.option("--rate-only", is_flag=True, help="Compare bits alone, exactly.")
@click.option("--allow-inconclusive", is_flag=True, help="Do not fail where the data cannot tell.")
@click.option(
    "--allow-lost",
    multiple=True,
    metavar="NAME=VALUE,...",
    help="What the run may lack, such as clip=test03a or codec=x265,rate=8; else it exits with 1.",
)
@click.option(
    "--primary",
    multiple=True,
    metavar="NAME=VALUE,...",
    help="The curves that must be shown to be no worse, such as codec=x265,target=valence; all unless given.",
)
@click.option("--format", "format_", type=click.Choice(["table", "json", "markdown"]), default="table")
@click.option("--junit", type=RUN, metavar="FILE", help="Write JUnit XML too, one case a curve.")
@click.option(
    "--metric",
    type=METRIC,
    help="Instead of each target's own (ccc of values, accuracy of classes); who lacks it does not decide.",
)
@click.option("--bits", type=click.Choice(["payload", "stream"]), default="payload", show_default=True)
@click.option("--charge-boxes", is_flag=True, help="Add the face boxes' bits to the rate (region frame).")
@click.option("--partition", type=click.Choice(["train", "dev", "test"]))
def check(
    run: Path,
    against: Path,
    max_bd_rate: float | None,
    max_accuracy_drop: float | None,
    max_target_rate: float | None,
    keep: str,
    vary: Sequence[str],
    rate_only: bool,
    allow_inconclusive: bool,
    allow_lost: Sequence[str],
    primary: Sequence[str],
    format_: str,
    junit: Path | None,
    metric: str | None,
    bits: str,
    charge_boxes: bool,
    partition: str | None,
) -> int:
    """Give a verdict on a run against a reference, for CI: exit code 1 if accuracy per bit regressed or data were lost.

    \b
    rdbench check results/quick --against results/main --max-bd-rate 3%
    """
    from rdbench.curves.run import open_run
    from rdbench.gate import check as checking
    from rdbench.gate import text as verdict_formats

    ours, theirs = open_run(run), open_run(against)
    failed = len(ours.failures) + (int((ours.clips["state"] == "failed").sum()) if len(ours.clips) else 0)
    verdict = checking.check(
        (ours.encodes, ours.scores),
        (theirs.encodes, theirs.scores),
        max_bd_rate=max_bd_rate,
        max_accuracy_drop=max_accuracy_drop,
        max_target_rate=max_target_rate,
        keep=keep,
        vary=vary,
        rate_only=rate_only,
        allow_inconclusive=allow_inconclusive,
        allow_lost=allow_lost,
        primary=primary,
        metric=metric,
        bits=bits,
        charge_boxes=charge_boxes,
        partition=partition,
        failed=failed,
    )
    markdown = verdict_formats.to_markdown(verdict)
    if format_ == "json":
        click.echo(verdict_formats.to_json(verdict))
    elif format_ == "markdown":
        click.echo(markdown)
    else:
        print_table(verdict_formats.for_people(verdict), "table")
        click.echo(f"{verdict.overall} (exit code {verdict.exit_code})")
        for note in verdict.notes:
            click.echo(f"note: {note}")
        for one in verdict.left_out:
            click.echo(f"left out: {one}")
    if junit is not None:
        junit.parent.mkdir(parents=True, exist_ok=True)
        junit.write_text(verdict_formats.to_junit(verdict), encoding="utf-8")
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        try:
            with open(summary, "a", encoding="utf-8") as stream:
                stream.write(markdown + "\n")
        except OSError as error:
            click.echo(
                f"note: the summary {summary} (GITHUB_STEP_SUMMARY) cannot be written: {error.strerror}.",
                err=True,
            )
    return int(verdict.exit_code)


def _known_format(picture: Path) -> None:
    """Refuse a picture that cannot be written before anything is computed for it."""
    if picture.suffix not in (".png", ".pdf", ".svg"):
        raise InputError(f"{picture} is none of .png, .pdf and .svg, which --plot writes.")


def _print_deltas(table: pd.DataFrame, format_: str) -> None:
    """Print a table of deltas; people get one table a measure, and below them why something is missing."""
    if format_ in ("csv", "json"):
        print_table(table, format_)
        return
    from rdbench.curves.text import for_people

    tables, footnotes = for_people(table)
    mark = "**" if format_ == "markdown" else ""
    for heading, shown in tables:
        click.echo(f"{mark}{heading}{mark}\n")
        print_table(shown, format_)
        click.echo()
    for footnote in footnotes:
        click.echo(f"- {footnote}" if format_ == "markdown" else footnote)


def _print_losers(table: pd.DataFrame, format_: str) -> int:
    """Print each subject's own deltas; people get a sentence for each pair of curves below."""
    if format_ in ("csv", "json"):
        print_table(table, format_)
    else:
        from rdbench.answers.text import losers_for_people

        shown, lines = losers_for_people(table)
        print_table(shown, format_)
        for line in lines:
            click.echo(f"- {line}" if format_ == "markdown" else line)
    return 0 if table["bd_accuracy"].notna().any() else 3
