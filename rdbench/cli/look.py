"""Commands right of the tables: each is a pure function of what a run has stored, and never loads torch."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rdbench.errors import InputError, NotComparableError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COMMANDS"]

SHOWN = (
    *("clip", "region", "factor", "codec", "mode", "rate", "rate_status", "payload_bits", "parameter_bits"),
    *("first_key_bits", "framing_bits", "informational_bits", "seconds", "psnr_coded", "psnr"),
)
FORMATS = ("table", "csv", "json", "markdown")
RUN = click.Path(path_type=Path)


class Share(click.ParamType):
    """A tolerance such as ``1%`` or ``0.01``, or ``none``."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        """Give the share: 0.01 for 1 %; None for none."""
        from rdbench.gate.check import parse_share

        return parse_share(str(value))


def tables_options(command: Any) -> Any:
    """Options that every command on curves has."""
    for option in (
        click.option("--metric", type=click.Choice(["ccc", "pcc", "rmse", "accuracy", "f1"])),
        click.option(
            "--bits",
            type=click.Choice(["payload", "stream"]),
            default="payload",
            show_default=True,
            help="Bits that make the rate: what a decoder needs, or the whole elementary stream.",
        ),
        click.option(
            "--charge-boxes", is_flag=True, help="Add the face boxes' bits to the rate (region frame)."
        ),
        click.option("--partition", type=click.Choice(["train", "dev", "test"])),
    ):
        command = option(command)
    return command


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
    from rdbench.figures.draw import draw_all
    from rdbench.tables.reading import open_run

    files = draw_all(
        open_run(run),
        out or run / "figures",
        metric=metric,
        style="paper" if style == "paper" else "screen",
        only=None if only is None else _words(only),
        bits=bits,
        charge_boxes=charge_boxes,
        partition=partition,
        formats=_words(formats),
        processes=min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1, 4),
        tell=lambda text: click.echo(f"note: {text}", err=True),
    )
    for file in files:
        click.echo(str(file))


def _words(text: str) -> list[str]:
    """Words between commas, each once."""
    return list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


@click.command()
@click.argument("run", type=RUN)
@click.option("--anchor", required=True, metavar="KEY=VALUE,...", help="Such as codec=x264.")
@click.option("--test", required=True, metavar="KEY=VALUE,...", help="Such as codec=x265,factor=best.")
@click.option("--method", type=click.Choice(["akima", "pchip"]), default="akima", show_default=True)
@click.option("--larger", is_flag=True, help="Let points in that were coded larger than asked.")
@click.option(
    "--bootstrap", type=click.IntRange(0, 100_000), default=0, help="Resamples, as a second opinion."
)
@click.option("--plot", "picture", type=RUN, metavar="FILE", help="Draw where along the curves they differ.")
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
    """
    from rdbench.curves.deltas import bd_table, relative_differences
    from rdbench.curves.points import Arrays, default_metric
    from rdbench.tables.reading import open_run

    opened = open_run(run)
    tables = (opened.encodes, opened.scores)
    metric = metric or default_metric(opened.scores)
    options: dict[str, Any] = {"bits": bits, "charge_boxes": charge_boxes, "partition": partition}
    arrays = Arrays(*tables, metric, **options)
    options |= {"metric": metric, "method": method, "larger": larger, "arrays": arrays}
    if picture is not None:
        _known_format(picture)
    table = bd_table(*tables, anchor, test, boot=bootstrap, **options)
    drawing, nothing = None, None
    if picture is not None:
        from rdbench.figures.delta_figures import differences

        try:
            drawing = differences(table, relative_differences(*tables, anchor, test, **options))
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
@click.option("--vary", "vary", multiple=True, type=click.Choice(["weights", "encoder", "profile"]))
@click.option("--rate-only", is_flag=True, help="Compare bits alone, exactly.")
@click.option("--allow-inconclusive", is_flag=True, help="Do not fail where the data cannot tell.")
@click.option("--format", "format_", type=click.Choice(["table", "json", "markdown"]), default="table")
@click.option("--junit", type=RUN, metavar="FILE", help="Write JUnit XML too, one case a curve.")
@click.option(
    "--metric",
    type=click.Choice(["ccc", "pcc", "rmse", "accuracy", "f1"]),
    help="Instead of each target's own (ccc, or accuracy for classes); who lacks it does not decide.",
)
@click.option("--bits", type=click.Choice(["payload", "stream"]), default="payload", show_default=True)
@click.option("--charge-boxes", is_flag=True, help="Add the face boxes' bits to the rate (region frame).")
@click.option("--partition", type=click.Choice(["train", "dev", "test"]))
def check(
    run: Path,
    against: Path,
    max_bd_rate: float | None,
    max_accuracy_drop: float | None,
    vary: Sequence[str],
    rate_only: bool,
    allow_inconclusive: bool,
    format_: str,
    junit: Path | None,
    metric: str | None,
    bits: str,
    charge_boxes: bool,
    partition: str | None,
) -> int:
    """Give a verdict on a run against a reference, for CI: exit code 1 if accuracy per bit regressed.

    \b
    rdbench check results/quick --against results/main --max-bd-rate 3%
    """
    from rdbench.gate import check as checking
    from rdbench.gate import text as verdict_formats
    from rdbench.tables.reading import open_run

    ours, theirs = open_run(run), open_run(against)
    failed = len(ours.failures) + (int((ours.clips["state"] == "failed").sum()) if len(ours.clips) else 0)
    verdict = checking.check(
        (ours.encodes, ours.scores),
        (theirs.encodes, theirs.scores),
        max_bd_rate=max_bd_rate,
        max_accuracy_drop=max_accuracy_drop,
        vary=vary,
        rate_only=rate_only,
        allow_inconclusive=allow_inconclusive,
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
        with open(summary, "a", encoding="utf-8") as stream:
            stream.write(markdown + "\n")
    return int(verdict.exit_code)


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
    from rdbench.report.page import build, run_names
    from rdbench.tables.reading import open_run

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
def status(run: Path, format_: str) -> int:
    """Tell how far a run is, and what failed.

    \b
    rdbench status results/quick
    """
    from rdbench.curves.export import run_status

    state = run_status(run)
    if format_ == "json":
        click.echo(json.dumps(state, indent=2, allow_nan=False))
    else:
        for key, value in state.items():
            if isinstance(value, dict):
                value = [", ".join(f"{count} {name}" for name, count in value.items())]
            shown = "; ".join(map(str, value or [])) or "none" if isinstance(value, list | None) else value
            click.echo(f"{key}: {shown}")
    return 4 if state["failures"] else 0


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
    from rdbench.tables.reading import open_run

    table = open_run(run).encodes
    for column, wanted in (("clip", clip), ("codec", codec), ("factor", factor)):
        if wanted is not None:
            there = sorted(table[column].unique())
            table = table[table[column] == wanted]
            if table.empty:
                near = difflib.get_close_matches(str(wanted), map(str, there), n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise InputError(f"{run} has no encode with {column} {wanted!r}{hint}; it has {_few(there)}.")
    if format_ == "table":
        table = table[list(SHOWN)]
    print_table(table.reset_index(drop=True), format_)


@click.command()
@click.argument("run", type=RUN)
@click.option(
    "--fitted-on",
    type=RUN,
    metavar="OTHER_RUN",
    help="A run of the same back-ends over train (avec2016: over dev); without it, RUN itself.",
)
@click.option(
    "--protocol",
    type=click.Choice(["loso", "avec2016"]),
    default="loso",
    show_default=True,
    help="Fitted on train, leaving one subject out; or on dev, as the challenge did.",
)
@click.option("--plain", is_flag=True, help="Fit nothing: the challenge's two scores as they stand.")
@click.option(
    "--format", "format_", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True
)
def rescore(run: Path, fitted_on: Path | None, protocol: str, plain: bool, format_: str) -> None:
    """Add the challenge's scoring to a run: annotation delay, median filter, bias and scale.

    They are fitted on pristine pictures, kept only where they help where they are fitted, and stand beside the
    plain scores from then on. No subject is scored with what was chosen on it. Where there is nothing to fit on,
    both of the challenge's scores are told plainly. The table shows uncoded pictures; csv and json hold every
    condition.

    \b
    rdbench rescore results/dev --fitted-on results/train
    rdbench rescore results/dev --plain
    rdbench rescore results/test --protocol avec2016 --fitted-on results/dev --format json
    """
    from rdbench.sweep.challenge import rescore_run

    told = rescore_run(run, fitted_on, "avec2016" if protocol == "avec2016" else "loso", plain=plain)
    if format_ == "json":
        click.echo(told.json())
    elif format_ == "csv":
        print_table(told.scores, "csv")
    else:
        click.echo(f"Scores on {told.partition}, uncoded pictures:\n")
        print_table(told.pristine(), "table")
        if not told.steps.empty:
            click.echo("\nWhat was tried, in this order, and what it did to the CCC where it was fitted:\n")
            print_table(told.steps, "table")
    for note in told.notes:
        click.echo(f"note: {note}", err=True)
    if told.added:
        click.echo(f"{told.added} rows added to {run}; next: rdbench plot {run}", err=True)


def _known_format(picture: Path) -> None:
    """Refuse a picture that cannot be written before anything is computed for it."""
    if picture.suffix not in (".png", ".pdf", ".svg"):
        raise InputError(f"{picture} is none of .png, .pdf and .svg, which --plot writes.")


def _print_deltas(table: pd.DataFrame, format_: str) -> None:
    """Print a table of deltas; people get one table a measure, and below them why something is missing."""
    if format_ in ("csv", "json"):
        print_table(table, format_)
        return
    from rdbench.curves.deltas import for_people

    tables, footnotes = for_people(table)
    mark = "**" if format_ == "markdown" else ""
    for heading, shown in tables:
        click.echo(f"{mark}{heading}{mark}\n")
        print_table(shown, format_)
        click.echo()
    for footnote in footnotes:
        click.echo(f"- {footnote}" if format_ == "markdown" else footnote)


def _few(values: Sequence[Any]) -> str:
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


COMMANDS = (plot, bd, check, report, rescore, export, status, inspect)
