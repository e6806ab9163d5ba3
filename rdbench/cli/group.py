"""The command line: it parses, calls, prints, and holds no logic."""

from __future__ import annotations

import errno
import math
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rdbench import __version__
from rdbench.cli.compare import METHODS
from rdbench.cli.look import COMMANDS
from rdbench.errors import RdbenchError

if TYPE_CHECKING:
    from rdbench.sweep.loop import Progress

__all__ = ["main"]

INTERRUPTED = 130

UNUSABLE = frozenset(
    (
        *(errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
        *(errno.EIO, errno.EFBIG, errno.EDQUOT, errno.ENAMETOOLONG, errno.ELOOP),
    )
)
"""Errors of the system that are about the place the user named, and none of ours."""


class FiniteRate(click.ParamType):
    """A rate: finite and not negative; click's own FloatRange takes NaN and infinity."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Give the number."""
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number.", param, ctx)
        if not math.isfinite(number) or number < 0:
            self.fail(f"{value!r} is not a finite rate of 0 or more.", param, ctx)
        return number


class Commands(click.Group):
    """A group that turns exceptions into one sentence and an exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run, and exit with the code that fits."""
        kwargs["standalone_mode"] = False
        try:
            code = super().main(*args, **kwargs)
        except click.exceptions.Exit as error:
            code = error.exit_code
        except click.UsageError as error:
            error.show()
            code = 2
        except (click.Abort, KeyboardInterrupt):
            # click makes an Abort of the other.
            code = _say(
                "Interrupted: what was finished is kept; the same command goes on from there.", INTERRUPTED
            )
        except click.ClickException as error:
            code = _say(error.format_message(), 2)
        except RdbenchError as error:
            code = _say(str(error), error.exit_code)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                where = f" ({error.filename})" if error.filename else ""
                code = _say(
                    f"No space left on the disk{where}: free some and run the same command again; "
                    "what was finished is kept.",
                    2,
                )
            elif error.errno in UNUSABLE:
                code = _say(f"{error.filename or 'A file'} cannot be used: {error.strerror}.", 2)
            else:
                code = _ours(error)
        except Exception as error:
            code = _ours(error)
        sys.exit(code if isinstance(code, int) else 0)


def _say(text: str, code: int) -> int:
    click.echo(f"rdbench: {text}", err=True)
    return code


def _ours(error: BaseException) -> int:
    traceback.print_exception(error)
    return _say(
        f"This is an error of rdbench ({type(error).__name__}); please report it with the lines above.", 70
    )


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="rdbench")
def main() -> None:
    """How much recognition accuracy does each bit of video buy?

    \b
    rdbench run                                 the quick experiment, into results/quick/
    rdbench run --dataset clips/ --out results/mine
    rdbench plot results/mine                   R-D curves from its tables
    """


@main.command()
@click.argument("experiment", default="quick.toml")
@click.option(
    "--dataset", metavar="NAME|PATH", help="synthetic, synthetic:720p, avec2016, recola, or a folder."
)
@click.option("--root", metavar="DIR", help="Where the package of avec2016 or recola lies.")
@click.option("--partition", type=click.Choice(["train", "dev", "test"]))
@click.option("--region", "regions", multiple=True, type=click.Choice(["face", "frame"]))
@click.option("--face-size", type=click.IntRange(32, 1024), help="Pixels a side in region face  [96].")
@click.option("--factor", "factors", multiple=True, type=click.IntRange(1, 64), help="Downsampling factor.")
@click.option("--codec", "codecs", multiple=True, metavar="NAME", help="A codec profile.")
@click.option(
    "--variant", "variants", multiple=True, metavar="NAME", help="Of a profile: ra (default), ld, ..."
)
@click.option("--mode", type=click.Choice(["abr", "2pass", "crf", "qp"]))
@click.option("--rate", "rates", multiple=True, type=FiniteRate(), help="kbit/s, or the quantiser.")
@click.option("--backend", "backends", multiple=True, metavar="NAME[@SIZE]")
@click.option(
    "--reference", metavar="NAME[@SIZE]", help="Common pristine reference for clips without labels."
)
@click.option("--weights", type=click.Path(path_type=Path), help="Folder of trained weights.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run  [results/NAME].")
@click.option("--jobs", type=click.IntRange(1), help="Worker processes  [all cores].")
@click.option("--scheduler", metavar="ADDRESS", help="A Dask scheduler to work on, e.g. tcp://host:8786.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or mps.")
@click.option("--keep-bitstreams", is_flag=True, help="Keep each encode in RUN/bitstreams/.")
@click.option("--dry-run", is_flag=True, help="Print what would be done.")
def run(
    experiment: str,
    dataset: str | None,
    root: str | None,
    partition: str | None,
    regions: Sequence[str],
    face_size: int | None,
    factors: Sequence[int],
    codecs: Sequence[str],
    variants: Sequence[str],
    mode: str | None,
    rates: Sequence[float],
    backends: Sequence[str],
    reference: str | None,
    weights: Path | None,
    out: Path | None,
    jobs: int | None,
    scheduler: str | None,
    device: str,
    keep_bitstreams: bool,
    dry_run: bool,
) -> int:
    """Encode, decode and score: fill the tables of a run.

    Options override the file. The same command again goes on where it stopped.

    \b
    rdbench run --dataset clips/ --codec x264 --mode crf --rate 23 --rate 33 --out results/mine
    """
    from rdbench.sweep.experiment import load_experiment, override
    from rdbench.sweep.plan import cores, make_plan, run_plan
    from rdbench.tables.label_counts import counted

    chosen = override(
        load_experiment(experiment),
        dataset=dataset,
        root=root,
        partition=partition,
        regions=regions,
        factors=factors,
        codecs=codecs,
        variants=variants,
        mode=mode,
        rates=rates,
        backends=backends,
        reference=reference,
        face_size=face_size,
    )
    plan = make_plan(chosen, weights=weights, device=device)
    out = out or Path("results") / chosen.name
    for note in plan.notes:
        click.echo(note, err=True)
    if dry_run:
        _print_plan(plan)
        return 0
    with _progress(sys.stderr) as report:
        summary = run_plan(
            plan,
            out,
            jobs=jobs or cores(),
            scheduler=scheduler,
            keep_bitstreams=keep_bitstreams,
            report=report,
        )
    used = [row for row in summary.clips if row["state"] == "used"]
    failed = [row for row in summary.clips if row["state"] == "failed"]
    click.echo(
        f"{out}: {len(used)} clips, {summary.encodes} encodes done, {len(summary.failures)} failed, "
        f"{sum(row['state'] == 'skipped' for row in summary.clips)} clips without a face, "
        f"{len(failed)} clips unusable."
    )
    for text in dict.fromkeys(
        str(row["labels"]) for row in used if str(row["labels"]).startswith("no labels")
    ):
        click.echo(f"Gold: {text}.")
    labels = counted(row["labels"] for row in used)
    if labels.clips:
        click.echo(f"Gold: {labels}.")
    for failure in summary.failures[:10]:
        where = f"{failure['codec']} {failure['mode']} {failure['rate']:g} factor {failure['factor']}"
        click.echo(f"Failed: {failure['clip']}, {where}: {failure['reason']}", err=True)
    click.echo(f"Next: rdbench plot {out}")
    return 4 if summary.failures or failed else 0


def _print_plan(plan: Any) -> None:
    rates: dict[tuple[Any, ...], list[float]] = {}
    for c in plan.conditions:
        rates.setdefault((c.region, c.codec, c.variant, c.mode, c.factor), []).append(c.rate)
    click.echo(
        f"{len(plan.clips)} clips x {len(plan.conditions)} conditions, partition {plan.experiment.dataset.partition}:"
    )
    for (region, codec, variant, mode, factor), values in rates.items():
        what = (
            "uncoded" if codec == "none" else f"{codec} {variant} {mode} {' '.join(f'{v:g}' for v in values)}"
        )
        click.echo(f"  {region} factor {factor}: {what}")


class _progress:
    """A bar with the time left on a terminal, plain lines elsewhere."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._bar: Any = None
        self._told = 0.0

    def __enter__(self) -> Callable[[Progress, str | None], None]:
        if self._stream.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("encodes"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=Console(file=self._stream),
            )
            self._task = self._bar.add_task("encodes", total=None)
            self._bar.start()
        return self._report

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _report(self, progress: Progress, text: str | None) -> None:
        if self._bar is not None:
            self._bar.update(self._task, total=progress.total, completed=progress.done)
            if text:
                self._bar.console.print(text, markup=False, highlight=False)
            return
        if text:
            click.echo(text, err=True)
        now = time.monotonic()
        if now - self._told >= 10 or (progress.done == progress.total and text is None):
            self._told = now
            click.echo(f"{progress.done} of {progress.total} encodes", err=True)


@main.command("list")
@click.argument("what", required=False, type=click.Choice(["codecs", "backends", "datasets", "experiments"]))
def list_(what: str | None) -> None:
    """List codecs, back-ends, datasets and experiments.

    \b
    rdbench list codecs
    """
    from rdbench.cli import about

    for title, rows in about.everything().items():
        if what not in (None, title):
            continue
        click.echo(f"{title}:")
        width = max((len(name) for name, _ in rows), default=0)
        for name, text in rows:
            click.echo(f"  {name:<{width}}  {text}")


@main.command()
@click.option(
    "--dataset", type=click.Choice(["avec2016", "recola"]), help="Check a package before a long run."
)
@click.option("--root", type=click.Path(path_type=Path))
def doctor(dataset: str | None, root: Path | None) -> int:
    """Print what a bug report needs, and what is missing.

    \b
    rdbench doctor
    rdbench doctor --dataset avec2016 --root /data/AVEC2016
    """
    from rdbench.installed import installed, required

    packages, whole = installed(required())
    if not whole:
        for line in packages:
            click.echo(line)
        return 2
    from rdbench.cli import about

    if dataset is not None:
        if root is None:
            raise click.UsageError(f"--dataset {dataset} needs --root DIR.")
        lines, usable = about.package(dataset, root)
        for line in lines:
            click.echo(line)
        return 0 if usable else 2
    lines, good = about.diagnosis()
    for line in lines:
        click.echo(line)
    return 0 if good else 2


@main.command()
@click.argument("backends", nargs=-1, required=True, metavar="BACKEND[@SIZE]...")
@click.option("--dataset", default="synthetic", show_default=True, metavar="NAME|PATH")
@click.option("--root", metavar="DIR", help="Where the package of avec2016 or recola lies.")
@click.option("--factor", "factors", multiple=True, type=click.IntRange(1, 64), help="Downsampling factor.")
@click.option("--target", "targets", multiple=True, metavar="T", help="Labels to learn  [all].")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--epochs", type=click.IntRange(1))
@click.option(
    "--stride",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Learn from every n-th face: time and memory fall with it.",
)
@click.option(
    "--delay", type=FiniteRate(), default=0.0, show_default=True, help="Seconds that labels are moved back."
)
@click.option("--device", default="auto", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("weights"), show_default=True)
def train(
    backends: Sequence[str],
    dataset: str,
    root: str | None,
    factors: Sequence[int],
    targets: Sequence[str],
    seed: int,
    epochs: int | None,
    stride: int,
    delay: float,
    device: str,
    out: Path,
) -> None:
    """Train back-ends and write their weights; `rdbench run --weights DIR` uses them.

    What several of them start from is trained once. The same command again goes on where it stopped.

    \b
    rdbench train direct@lite --factor 4 --factor 8 --out weights
    rdbench train hr@lite max-mix@lite --seed 1 --out weights/seed-1
    """
    from rdbench.datasets.registry import open_dataset
    from rdbench.heap import keep_memory
    from rdbench.training.loop import Epoch
    from rdbench.training.recipes import train_backends

    keep_memory()

    def progress(what: Epoch | str) -> None:
        click.echo(str(what), err=True)

    files = train_backends(
        tuple(dict.fromkeys(backends)),
        open_dataset(dataset, None if root is None else Path(root)),
        out,
        factors=tuple(dict.fromkeys(factors)),
        targets=targets,
        seed=seed,
        epochs=epochs,
        stride=stride,
        delay=delay,
        device=device,
        progress=progress,
    )
    for file in files:
        click.echo(str(file))


@main.command()
@click.option("--clear", is_flag=True, help="Remove everything that can be made again.")
def cache(clear: bool) -> None:
    """Tell where the cache lies and how large it is.

    \b
    rdbench cache --clear
    """
    from rdbench.cli.about import cache_report

    for line in cache_report(clear):
        click.echo(line)


for _command in (*COMMANDS, *METHODS):
    main.add_command(_command)
