"""Figures of a run, as pure functions of its tables: the same tables give the same bytes.

Two styles: "screen" has titles and a caption below; "paper" has neither, the widths of a single and a double
column, and embedded fonts. Captions of both are in ``captions.md`` beside the figures.
"""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import os
import re
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import BaseContext
from pathlib import Path

from rdbench.curves.run import Run
from rdbench.errors import InputError, NotComparableError
from rdbench.figures.canvas import FORMATS, Drawing, Style, save
from rdbench.figures.confusion import confusions
from rdbench.figures.curves import (
    methods,
    methods_figures,
    rd,
    rd_by_factor,
    rd_figures,
    standalone,
    standalone_figures,
)
from rdbench.figures.deltas import delta_figures
from rdbench.figures.envelope import envelope, envelope_figures
from rdbench.figures.source import Named, Source
from rdbench.figures.strip import strips
from rdbench.figures.targets import cost_figures, target_figures
from rdbench.files import replacing
from rdbench.machine import interrupts_held
from rdbench.tables.basis import Basis
from rdbench.tables.kinds import main_metrics
from rdbench.tables.reading import default_partition, require_partition

__all__ = ["KINDS", "draw_all", "envelope", "methods", "rd", "rd_by_factor", "save", "standalone"]

KINDS = ("rd", "envelope", "methods", "standalone", "bd", "target", "cost", "confusion", "strip")
"""What `draw_all` draws; "methods" only where it is asked for, or a back-end was trained with several seeds."""

_WITHOUT_METRIC = ("confusion", "strip")
"""Kinds that are the same whatever the metric."""

_WITHOUT_RATE = ("standalone", "confusion", "strip")
"""Kinds that are the same whatever makes the rate."""

_FEW = 4
"""So many figures are drawn sooner than other processes have started."""


def draw_all(
    run: Run,
    out: Path,
    *,
    basis: Basis | None = None,
    style: Style = "screen",
    only: Collection[str] | None = None,
    formats: Sequence[str] = FORMATS,
    processes: int = 1,
    tell: Callable[[str], None] | None = None,
) -> list[Path]:
    """Draw every figure that the tables of a run have the data for.

    What is drawn for another metric than the run's own, other bits or another partition has that at the end of its
    name, and ``captions.md`` keeps the captions of figures that were drawn before and are still there: neither
    takes the place of what it does not draw.

    Parameters
    ----------
    run : Run
    out : Path
        Folder; made where it is missing.
    basis : Basis, optional
        What the curves are computed from; by default each target's own metric and the payload bits.
    style : {"screen", "paper"}
    only : collection of str, optional
        Some of `KINDS`.
    formats : sequence of {"png", "pdf", "svg"}
    processes : int
        Of these, more than one draw where there are many figures; the files are the same. A script that asks for
        more than one must be importable (``if __name__ == "__main__":``).
    tell : callable, optional
        Is given a line for each clip and point that took no part in what was drawn, with the reason, and one if the
        run is unfinished.

    Returns
    -------
    list of Path
        The figures, then ``captions.md``.

    Raises
    ------
    InputError
        If a kind, style, metric or format is unknown, or the run has nothing of the partition.
    NotComparableError
        If there is nothing to draw.
    """
    wanted = set(KINDS if only is None else only)
    unknown = sorted(wanted - set(KINDS))
    if unknown:
        raise InputError(f"There is no figure {unknown[0]!r}; choose from {', '.join(KINDS)}.")
    chosen = run.basis() if basis is None else basis
    require_partition(run.encodes, chosen.partition, str(run.path))
    source = Source(run, chosen.settled(run.encodes), style)
    if only is None and not source.seeded:
        # Comparing every pair of recognisers is one question among many, unless they were trained to be compared.
        wanted.discard("methods")
    written: list[Path] = []
    captions: dict[str, str] = {}
    for files, caption in _drawn(_figures(source, out, wanted), formats, processes):
        written += files
        captions[files[0].stem] = caption
    if not written:
        raise NotComparableError(
            f"{run.path} has nothing to draw of {', '.join(sorted(wanted))}: its tables hold no scored encodes for it."
        )
    if tell:
        if run.unfinished:
            tell(f"the run is unfinished: {run.unfinished} of its encodes are still to be made")
        for name, reason in source.left_out.items():
            tell(f"left out: {name} {reason}")
    return [*written, _write_captions(out / "captions.md", captions)]


def _figures(
    source: Source, out: Path, wanted: Collection[str]
) -> Iterator[tuple[Path, Callable[[], Drawing]]]:
    """The name of each figure of the wanted kinds, without suffix, and what draws it."""
    makers = {
        "rd": rd_figures,
        "envelope": envelope_figures,
        "methods": methods_figures,
        "standalone": standalone_figures,
        "bd": delta_figures,
        "target": target_figures,
        "cost": cost_figures,
        "confusion": _confusion,
        "strip": strips,
    }
    usual = main_metrics(source.run.scores)
    for kind in KINDS:
        if kind in wanted:
            for name, draw in makers[kind](source):
                yield out / _slug((*name, *_unusual(kind, source, usual))), draw


def _unusual(kind: str, source: Source, usual: Collection[str]) -> Iterator[str]:
    """Words that keep a figure of other options than the usual ones from taking the place of the usual one."""
    basis = source.basis
    if kind not in _WITHOUT_METRIC and basis.metric not in (None, *usual):
        yield str(basis.metric)
    if kind not in _WITHOUT_RATE and basis.bits != "payload":
        yield basis.bits
    if kind not in _WITHOUT_RATE and basis.charge_boxes:
        yield "boxes"
    if kind != "strip" and basis.partition != default_partition(source.run.encodes):
        yield str(basis.partition)


def _write_captions(file: Path, drawn: dict[str, str]) -> Path:
    """Put captions into a file of captions, which keeps those of other figures that are still there."""
    captions = dict(_CAPTION.findall(file.read_text("utf-8", "replace"))) if file.is_file() else {}
    captions = {
        stem: text
        for stem, text in captions.items()
        if any(file.with_name(f"{stem}.{suffix}").is_file() for suffix in FORMATS)
    }
    captions |= {stem: " ".join(text.split()) for stem, text in drawn.items()}
    lines = [f"**{stem}** {captions[stem]}\n" for stem in sorted(captions, key=_caption_order)]
    return _write(file, "\n".join(lines))


_CAPTION = re.compile(r"^\*\*([A-Za-z0-9._-]+)\*\* (.*)$", re.MULTILINE)


def _caption_order(stem: str) -> tuple[int, list[tuple[str, int]]]:
    """Kinds as they are drawn, then names with numbers by size: the file depends on its figures alone."""
    kind = stem.partition("_")[0]
    place = KINDS.index(kind) if kind in KINDS else KINDS.index("bd") + (kind != "difference")
    parts = re.findall(r"([^0-9]*)([0-9]{0,9})", stem)
    return place, [(text, int(number or -1)) for text, number in parts]


def _drawn(
    figures: Iterator[tuple[Path, Callable[[], Drawing]]], formats: Sequence[str], processes: int
) -> Iterator[tuple[list[Path], str]]:
    """Files and caption of each figure, in order."""
    first = list(itertools.islice(figures, _FEW + 1))
    if processes < 2 or len(first) <= _FEW:
        for stem, draw in itertools.chain(first, figures):
            yield _draw(stem, draw, formats)
        return
    with ProcessPoolExecutor(processes, _context(), initializer=_start_drawing) as pool:
        # Those that come first are drawn while the tables of the others are still being made.
        waiting = []
        try:
            for stem, draw in itertools.chain(first, figures):
                with interrupts_held():
                    waiting.append(pool.submit(_draw_alone, stem, draw, formats))
            for one in waiting:
                yield one.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _context() -> BaseContext:
    """Fresh processes, which share their imports where the system can do that."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [__name__, "matplotlib.backends.backend_pdf", "matplotlib.backends.backend_svg"]
    )
    return context


def _draw(stem: Path, draw: Callable[[], Drawing], formats: Sequence[str]) -> tuple[list[Path], str]:
    drawing = draw()
    return save(drawing, stem, formats), drawing.caption


def _draw_alone(stem: Path, draw: Callable[[], Drawing], formats: Sequence[str]) -> tuple[list[Path], str]:
    made = _draw(stem, draw, formats)
    gc.collect()
    return made


def _start_drawing() -> None:
    """Set up a process that does nothing but draw, and ends with the one that started it."""
    # A figure is many small objects that all live until it is saved: looking for garbage among them meanwhile takes an
    # eighth of the time.
    gc.freeze()
    gc.disable()
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _confusion(source: Source) -> Iterator[Named]:
    run, partition = source.run, source.basis.partition
    yield from confusions(run.encodes, run.scores, source.style, partition)


def _slug(parts: Sequence[str]) -> str:
    return "_".join(re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-.") for part in parts if part) or "figure"


def _write(file: Path, text: str) -> Path:
    with replacing(file) as part:
        part.write_text(text, encoding="utf-8")
    return file
