"""Commands right of the tables: each is a pure function of what a run has stored, and never loads torch."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rdbench.errors import InputError

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
    """A tolerance such as ``1%`` or ``0.01``."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Give the share: 0.01 for 1 %."""
        from rdbench.check import parse_share

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
@tables_options
def plot(
    run: Path,
    out: Path | None,
    only: str | None,
    style: str,
    metric: str | None,
    bits: str,
    charge_boxes: bool,
    partition: str | None,
) -> None:
    """Draw a run's figures as PNG, PDF and SVG from its tables alone.

    \b
    rdbench plot results/quick
    rdbench plot results/quick --style paper --only rd,standalone
    """
    from rdbench.figures import draw_all
    from rdbench.runs import open_run

    kinds = None if only is None else {kind.strip() for kind in only.split(",") if kind.strip()}
    files = draw_all(
        open_run(run),
        out or run / "figures",
        metric=metric,
        style="paper" if style == "paper" else "screen",
        only=kinds,
        bits=bits,
        charge_boxes=charge_boxes,
        partition=partition,
        processes=min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1, 4),
    )
    for file in files:
        click.echo(str(file))


@click.command()
@click.argument("run", type=RUN)
@click.option("--anchor", required=True, metavar="KEY=VALUE,...", help="Such as codec=x264.")
@click.option("--test", required=True, metavar="KEY=VALUE,...", help="Such as codec=x265,factor=best.")
@click.option("--method", type=click.Choice(["akima", "pchip"]), default="akima", show_default=True)
@click.option("--larger", is_flag=True, help="Let points in that were coded larger than asked.")
@click.option(
    "--bootstrap", type=click.IntRange(0, 100_000), default=0, help="Resamples, as a second opinion."
)
@click.option("--format", "format_", type=click.Choice(FORMATS), default="table", show_default=True)
@tables_options
def bd(
    run: Path,
    anchor: str,
    test: str,
    method: str,
    larger: bool,
    bootstrap: int,
    format_: str,
    metric: str | None,
    bits: str,
    charge_boxes: bool,
    partition: str | None,
) -> int:
    """Bjøntegaard deltas between two sides of a run, with intervals over subjects.

    Keys are codec, variant, backend, factor, region, mode and target; factor=best is the envelope. One row for
    each combination of the keys left open that both sides have.

    \b
    rdbench bd results/quick --anchor codec=x264 --test codec=x265
    rdbench bd results/quick --anchor factor=1 --test factor=best --format json
    """
    from rdbench.bd_table import bd_table
    from rdbench.runs import open_run

    opened = open_run(run)
    table = bd_table(
        opened.encodes,
        opened.scores,
        anchor,
        test,
        metric=metric,
        method=method,
        bits=bits,
        charge_boxes=charge_boxes,
        partition=partition,
        larger=larger,
        boot=bootstrap,
    )
    print_table(table if format_ != "table" else _for_people(table), format_)
    for note in table.attrs.get("notes", []):
        click.echo(f"note: {note}", err=True)
    return 0 if len(table) and table["bd_accuracy"].notna().any() else 3


@click.command()
@click.argument("run", type=RUN)
@click.option("--against", required=True, type=RUN, metavar="REFERENCE", help="The run to compare with.")
@click.option("--max-bd-rate", type=Share(), default="1%", show_default=True, help="Tolerated loss of rate.")
@click.option("--max-accuracy-drop", type=Share(), default="0.01", show_default=True)
@click.option("--vary", "vary", multiple=True, type=click.Choice(["weights", "encoder", "profile"]))
@click.option("--rate-only", is_flag=True, help="Compare bits alone, exactly.")
@click.option("--allow-inconclusive", is_flag=True, help="Do not fail where the data cannot tell.")
@click.option("--format", "format_", type=click.Choice(["table", "json", "markdown"]), default="table")
@click.option("--junit", type=RUN, metavar="FILE", help="Write JUnit XML too, one case a curve.")
@click.option("--metric", type=click.Choice(["ccc", "pcc", "rmse", "accuracy", "f1"]))
@click.option("--bits", type=click.Choice(["payload", "stream"]), default="payload", show_default=True)
@click.option("--partition", type=click.Choice(["train", "dev", "test"]))
def check(
    run: Path,
    against: Path,
    max_bd_rate: float,
    max_accuracy_drop: float,
    vary: Sequence[str],
    rate_only: bool,
    allow_inconclusive: bool,
    format_: str,
    junit: Path | None,
    metric: str | None,
    bits: str,
    partition: str | None,
) -> int:
    """Give a verdict on a run against a reference, for CI: exit code 1 if accuracy per bit regressed.

    \b
    rdbench check results/quick --against results/main --max-bd-rate 3%
    """
    from rdbench import check as checking
    from rdbench import verdict_formats
    from rdbench.runs import open_run

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
        partition=partition,
        failed=failed,
    )
    markdown = verdict_formats.to_markdown(verdict)
    if format_ == "json":
        click.echo(verdict_formats.to_json(verdict))
    elif format_ == "markdown":
        click.echo(markdown)
    else:
        print_table(verdict.rows.drop(columns=["encodes", "encodes_changed", "payload_bits"]), "table")
        click.echo(f"{verdict.overall} (exit code {verdict.exit_code})")
        for note in verdict.notes:
            click.echo(f"note: {note}")
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
def report(runs: Sequence[Path], out: Path) -> None:
    """Write one self-contained page for one run, or for several side by side; it works offline.

    \b
    rdbench report results/quick -o report.html
    """
    from rdbench.report import build
    from rdbench.runs import open_run

    opened = [open_run(run) for run in runs]
    build([(run.name, run) for run in opened], out)
    click.echo(str(out))


@click.command()
@click.argument("run", type=RUN)
@click.option("--format", "format_", type=click.Choice(["csv", "parquet"]), default="csv", show_default=True)
@click.option("--out", type=RUN, help="Folder  [RUN/export].")
def export(run: Path, format_: str, out: Path | None) -> None:
    """Write the tables encodes, scores and curves as files.

    \b
    rdbench export results/quick --format parquet
    """
    from rdbench.export import export_run

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
    from rdbench.export import run_status

    state = run_status(run)
    if format_ == "json":
        click.echo(json.dumps(state, indent=2, allow_nan=False))
    else:
        for key, value in state.items():
            shown = "; ".join(map(str, value)) or "none" if isinstance(value, list) else value
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
    from rdbench.runs import open_run

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
@click.option("--fitted-on", type=RUN, metavar="TRAIN_RUN", help="A run of the same back-ends over train.")
@click.option(
    "--protocol",
    type=click.Choice(["loso", "avec2016"]),
    default="loso",
    show_default=True,
    help="Fitted on train, leaving one subject out; or on dev, as the challenge did.",
)
@click.option(
    "--format", "format_", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True
)
def rescore(run: Path, fitted_on: Path | None, protocol: str, format_: str) -> None:
    """Add the challenge's scoring to a run: annotation delay, median filter, bias and scale.

    They are fitted on pristine pictures, kept only where they help where they are fitted, and stand beside the
    plain scores from then on. The table shows uncoded pictures; csv and json hold every condition.

    \b
    rdbench rescore results/dev --fitted-on results/train
    rdbench rescore results/dev --protocol avec2016 --format json
    """
    from rdbench.challenge import rescore_run

    told = rescore_run(run, fitted_on, "avec2016" if protocol == "avec2016" else "loso")
    if format_ == "json":
        click.echo(told.json())
    elif format_ == "csv":
        print_table(told.scores, "csv")
    else:
        click.echo(f"Scores on {told.partition}, uncoded pictures:\n")
        print_table(told.pristine(), "table")
        click.echo("\nWhat was tried, in this order, and what it did to the CCC where it was fitted:\n")
        print_table(told.steps, "table")
    for note in told.notes:
        click.echo(f"note: {note}", err=True)
    click.echo(f"{told.added} rows added to {run}; next: rdbench plot {run}", err=True)


def _for_people(table: pd.DataFrame) -> pd.DataFrame:
    """The columns of a table of deltas that say something, intervals in one cell."""
    import pandas as pd

    def interval(low: float, high: float) -> str:
        return "" if pd.isna(low) or pd.isna(high) else f"{low:.3g} to {high:.3g}"

    shown: dict[str, Any] = {}
    for name in table.columns:
        side, _, key = str(name).partition("_")
        if side in ("anchor", "test") and (table[name].nunique() > 1 or key in ("codec", "factor")):
            shown[str(name).replace("_", " ")] = table[name]
    for name, unit in (("bd_accuracy", ""), ("bd_rate", " %")):
        shown[name.replace("bd_", "BD-") + unit] = table[name].map(lambda v: "" if pd.isna(v) else f"{v:.3g}")
        low, high = table[f"{name}_low"], table[f"{name}_high"]
        shown["95 %" + " " * len(unit)] = [interval(a, b) for a, b in zip(low, high, strict=True)]
    shown["overlap"] = table["bd_rate_overlap"].map(lambda v: "" if pd.isna(v) else f"{100 * v:.0f} %")
    reasons = table["bd_accuracy_reason"].fillna("").astype(str)
    shown["why not"] = reasons.where(reasons != "", table["bd_rate_reason"].fillna("").astype(str))
    shown["warning"] = table["warning"].fillna("")
    frame = pd.DataFrame(shown)
    return frame.drop(columns=[name for name in ("why not", "warning") if not frame[name].str.len().sum()])


def _few(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values[:12])) + (", ..." if len(values) > 12 else "") or "none"


def print_table(table: pd.DataFrame, format_: str) -> None:
    """Print a table for people or for a program; a program gets nothing else on standard output."""
    if format_ == "csv":
        click.echo(table.to_csv(index=False, lineterminator="\n"), nl=False)
    elif format_ == "json":
        click.echo(table.to_json(orient="records", indent=2, double_precision=15))
    elif format_ == "markdown":
        from rdbench.text_table import markdown

        click.echo(markdown(table))
    else:
        from rdbench.text_table import plain

        click.echo(plain(table), nl=False)


COMMANDS = (plot, bd, check, report, rescore, export, status, inspect)
