"""Commands left of the tables: run, train, rescore, fetch."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rdbench.cli.options import RUN, FiniteRate
from rdbench.cli.printing import print_table
from rdbench.cli.progress import ProgressLine, duration

if TYPE_CHECKING:
    from rdbench.sweep.experiment import Experiment
    from rdbench.sweep.loop import Summary

__all__ = ["fetch", "rescore", "run", "train"]


@click.command()
@click.argument("experiment", default="quick.toml")
@click.option(
    "--dataset",
    metavar="NAME|PATH",
    help="A set (rdbench list datasets), a folder, or a video.",
)
@click.option("--root", metavar="DIR", help="Where the package of a published set lies.")
@click.option("--partition", type=click.Choice(["train", "dev", "test"]))
@click.option("--clip", "clips", multiple=True, metavar="NAME|GLOB", help="Clips of the dataset  [all].")
@click.option("--seconds", type=FiniteRate(), help="Only the first seconds of each clip.")
@click.option("--follow-links", is_flag=True, help="Links may lead out of the folder (git-annex, DVC).")
@click.option("--region", "regions", multiple=True, type=click.Choice(["face", "frame"]))
@click.option("--face-size", type=click.IntRange(32, 1024), help="Pixels a side in region face  [96].")
@click.option("--factor", "factors", multiple=True, type=click.IntRange(1, 64), help="Downsampling factor.")
@click.option("--codec", "codecs", multiple=True, metavar="NAME", help="A codec profile.")
@click.option(
    "--variant", "variants", multiple=True, metavar="NAME", help="Of a profile: ra (default), ld, ..."
)
@click.option("--mode", type=click.Choice(["abr", "2pass", "crf", "qp", "flat"]))
@click.option(
    "--effort",
    type=click.Choice(["fast", "medium", "slow"]),
    help="Class of CPU time  [each profile's preset].",
)
@click.option("--rate", "rates", multiple=True, type=FiniteRate(), help="kbit/s, or the quantiser.")
@click.option("--backend", "backends", multiple=True, metavar="NAME[@SIZE]")
@click.option(
    "--reference", metavar="NAME[@SIZE]", help="Common pristine reference for clips without labels."
)
@click.option("--weights", type=click.Path(path_type=Path), help="Folder of trained weights.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run  [results/NAME].")
@click.option(
    "--boxes",
    type=click.Choice(["source", "decoded"]),
    help="Where region frame finds faces: in the source, sent beside the video, or in what was decoded  [source].",
)
@click.option(
    "--detector",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="An ONNX file of YuNet that finds faces  [OpenCV's Haar cascade].",
)
@click.option("--jobs", type=click.IntRange(1), help="Worker processes  [all cores].")
@click.option("--scheduler", metavar="ADDRESS", help="A Dask scheduler to work on, e.g. tcp://host:8786.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or mps.")
@click.option(
    "--time-limit", type=FiniteRate(), help="Seconds for one pass of an encoder or decoder  [by its size]."
)
@click.option("--keep-bitstreams", is_flag=True, help="Keep each encode in RUN/bitstreams/.")
@click.option("--dry-run", is_flag=True, help="Print what would be done.")
def run(
    experiment: str,
    dataset: str | None,
    root: str | None,
    partition: str | None,
    clips: Sequence[str],
    seconds: float | None,
    follow_links: bool,
    regions: Sequence[str],
    face_size: int | None,
    factors: Sequence[int],
    codecs: Sequence[str],
    variants: Sequence[str],
    mode: str | None,
    effort: str | None,
    rates: Sequence[float],
    backends: Sequence[str],
    reference: str | None,
    weights: Path | None,
    out: Path | None,
    boxes: str | None,
    detector: Path | None,
    jobs: int | None,
    scheduler: str | None,
    device: str,
    time_limit: float | None,
    keep_bitstreams: bool,
    dry_run: bool,
) -> int:
    """Encode, decode and score: fill the tables of a run.

    Options override the file. The same command again goes on where it stopped.

    \b
    rdbench run --dataset clips/ --codec x264 --mode crf --rate 23 --rate 33 --out results/mine
    """
    from rdbench.machine import cores
    from rdbench.sweep.experiment import load_experiment, override
    from rdbench.sweep.plan import make_plan, run_plan

    chosen = override(
        load_experiment(experiment),
        dataset=dataset,
        root=root,
        partition=partition,
        clips=clips,
        seconds=seconds,
        follow_links=follow_links,
        regions=regions,
        factors=factors,
        codecs=codecs,
        variants=variants,
        mode=mode,
        rates=rates,
        backends=backends,
        reference=reference,
        face_size=face_size,
        effort=effort,
        boxes=boxes,
    )
    _bring_weights(chosen, weights)
    plan = make_plan(chosen, weights=weights, device=device, time_limit=time_limit, detector=detector)
    out = out or Path("results") / chosen.name
    for note in plan.notes:
        click.echo(note, err=True)
    if dry_run:
        _print_plan(plan)
        _print_needs(plan, jobs or cores())
        return 0
    with ProgressLine(sys.stderr) as report:
        summary = run_plan(
            plan,
            out,
            jobs=jobs or cores(),
            scheduler=scheduler,
            keep_bitstreams=keep_bitstreams,
            report=report,
        )
    return _tell(out, summary)


def _bring_weights(experiment: Experiment, given: Path | None) -> None:
    """Fetch the weights of recognisers of real faces that a run asks for and that are nowhere yet."""
    from rdbench.faceapi.package import PACKAGE, fetch, missing

    if missing((*experiment.backends, experiment.reference or ""), given):
        click.echo(f"Fetching the weights of {PACKAGE} (MIT, a download of 13 MB) with npm, once.", err=True)
        fetch()


def _of(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _tell(out: Path, summary: Summary) -> int:
    """Print what became of a run; 4 where some of it failed."""
    from rdbench.tables.label_counts import NO_LABELS, counted

    used = [row for row in summary.clips if row["state"] == "used"]
    failed = [row for row in summary.clips if row["state"] == "failed"]
    skipped = sum(row["state"] == "skipped" for row in summary.clips)
    click.echo(
        f"{out}: {_of(len(used), 'clip')}, {_of(summary.encodes, 'encode')} done, {len(summary.failures)} failed, "
        f"{_of(skipped, 'clip')} skipped, {_of(len(failed), 'clip')} unusable."
    )
    # What several clips share is said once, whatever else is said of some of them.
    told = [str(row["labels"]) for row in used if str(row["labels"]).startswith(NO_LABELS)]
    for text in dict.fromkeys(part for whole in told for part in whole.split("; ")):
        click.echo(f"Gold: {text}.")
    labels = counted(row["labels"] for row in used)
    if labels.clips:
        click.echo(f"Gold: {labels}.")
    if summary.misses:
        shares = (f"factor {row['factor']}: {row['misses']} of {row['looks']}" for row in summary.misses)
        click.echo(f"Boxes in decoded pictures: looks that missed the face, {', '.join(shares)}.")
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
        f"{_of(len(plan.clips), 'clip')} x {_of(len(plan.conditions), 'condition')}, partition {plan.experiment.dataset.partition}:"
    )
    for (region, codec, variant, mode, factor), values in rates.items():
        what = (
            "uncoded" if codec == "none" else f"{codec} {variant} {mode} {' '.join(f'{v:g}' for v in values)}"
        )
        click.echo(f"  {region} factor {factor}: {what}")


def _print_needs(plan: Any, jobs: int) -> None:
    from rdbench.codecs.costs import seconds_per_pixel
    from rdbench.machine import cache_dir
    from rdbench.sweep.limits import needs

    setup = plan.setup
    names = [info.name for info in plan.clips]

    def speed(codec: str, variant: str, mode: str) -> float:
        return seconds_per_pixel(setup.profiles[codec], variant, mode)

    need = needs(setup.dataset, names, plan.conditions, speed, setup.seconds, setup.face_size)
    if need is None:
        click.echo("How long it takes is not known: no clip says how long it is before it is decoded.")
        return
    told = (
        f" ({need.unknown} clips of unknown length are taken for the mean of the others)"
        if need.unknown
        else ""
    )
    click.echo(
        f"About {duration(need.cpu_seconds / jobs)} with {jobs} {'worker' if jobs == 1 else 'workers'}{told}: one small encode "
        "of each codec was timed; drawing clips and looking for faces come on top, what is there already is not taken off."
    )
    click.echo(
        f"Each worker takes up to {need.memory / 1e9:.1f} GB of memory, and {need.disk / 1e9:.2f} GB of disk in {cache_dir()}, which "
        f"has {need.free / 1e9:.0f} GB free."
    )
    if need.disk * jobs > need.free:
        click.echo(
            f"That is too little for {jobs} workers; free some, name another folder in RDBENCH_CACHE, or give fewer --jobs."
        )


@click.command()
@click.argument("backends", nargs=-1, required=True, metavar="BACKEND[@SIZE]...")
@click.option("--dataset", default="synthetic", show_default=True, metavar="NAME|PATH")
@click.option("--root", metavar="DIR", help="Where the package of a published set lies.")
@click.option("--factor", "factors", multiple=True, type=click.IntRange(1, 64), help="Downsampling factor.")
@click.option("--target", "targets", multiple=True, metavar="T", help="Labels to learn  [all].")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--epochs", type=click.IntRange(1), help="By default each model's own.")
@click.option("--stride", type=click.IntRange(1), help="Learn from every n-th frame  [5].")
@click.option(
    "--people",
    type=click.IntRange(0),
    help="Train subjects, drawn by the seed; 0 for all  [96; wide-mix: 288].",
)
@click.option(
    "--delay", type=FiniteRate(), default=0.0, show_default=True, help="Seconds that labels are moved back."
)
@click.option("--device", default="auto", show_default=True)
@click.option(
    "--start", metavar="DIR", help="Go on from the weights in a folder; 'shipped': those that ship."
)
@click.option("--follow-links", is_flag=True, help="Links may lead out of the folder (git-annex, DVC).")
@click.option("--out", type=click.Path(path_type=Path), default=Path("weights"), show_default=True)
def train(
    backends: Sequence[str],
    dataset: str,
    root: str | None,
    factors: Sequence[int],
    targets: Sequence[str],
    seed: int,
    epochs: int | None,
    stride: int | None,
    people: int | None,
    delay: float,
    device: str,
    start: str | None,
    follow_links: bool,
    out: Path,
) -> None:
    """Train back-ends and write their weights; `rdbench run --weights DIR` uses them.

    What several of them start from is trained once. The same command again goes on where it stopped.

    \b
    rdbench train direct@lite --factor 4 --factor 8 --out weights
    rdbench train hr@lite max-mix@lite --seed 1 --out weights/seed-1
    rdbench train direct@lite --dataset affwild2:expr --root DIR --start shipped --out weights/affwild2
    """
    from rdbench.backends.weights import weights_folder
    from rdbench.datasets.registry import open_dataset
    from rdbench.machine import keep_memory
    from rdbench.training.loop import Epoch
    from rdbench.training.recipes import train_backends

    keep_memory()

    def progress(what: Epoch | str) -> None:
        click.echo(str(what), err=True)

    files = train_backends(
        tuple(dict.fromkeys(backends)),
        open_dataset(dataset, None if root is None else Path(root), follow_links=follow_links),
        out,
        factors=tuple(dict.fromkeys(factors)),
        targets=targets,
        seed=seed,
        epochs=epochs,
        stride=stride,
        people=people,
        delay=delay,
        device=device,
        start=None if start is None else weights_folder(None if start == "shipped" else Path(start)),
        progress=progress,
    )
    for file in files:
        click.echo(str(file))


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
    from rdbench.sweep.rescore import rescore_run

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


@click.command()
@click.option(
    "--from",
    "given",
    type=click.Path(path_type=Path, exists=True),
    help="A folder or archive of the package, where npm cannot reach its registry.",
)
def fetch(given: Path | None) -> None:
    """Fetch the weights of the recognisers of real faces: expression, landmarks, identity.

    They are files of the npm package @vladmandic/face-api (MIT), taken with your own npm, checked by SHA-256, and kept
    in the cache. `rdbench run` does this by itself where it needs them; without a network bring the package along.

    \b
    rdbench fetch
    rdbench fetch --from vladmandic-face-api-1.7.15.tgz
    """
    from rdbench.faceapi.package import fetch

    click.echo(str(fetch(given)))
