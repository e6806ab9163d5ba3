"""Figures of a run, as pure functions of its tables: the same tables give the same bytes.

Two styles: "screen" has titles and a caption below; "paper" has neither, the widths of a single and a double
column, and embedded fonts. Captions of both are in ``captions.md`` beside the figures.
"""

from __future__ import annotations

import gc
import itertools
import math
import multiprocessing
import os
import re
import textwrap
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from rdbench import curves
from rdbench.bd import Side, relative_difference
from rdbench.bd_figures import Difference, difference, forest
from rdbench.bd_table import KEYS, bd_table, clips_are_subjects
from rdbench.canvas import (
    DOUBLE,
    FEW_SUBJECTS,
    FORMATS,
    METRIC_NAMES,
    Drawing,
    Style,
    box_words,
    describe,
    gold_phrase,
    new_figure,
    only,
    save,
    settings,
)
from rdbench.confusion_figures import confusions
from rdbench.curve_figures import envelope, methods, rd, standalone
from rdbench.envelope import GROUP, Chooser, envelopes, groups, side_of, switch_points
from rdbench.errors import InputError, NotComparableError
from rdbench.family_points import family_points
from rdbench.points import SCOPE, Arrays, Points, default_metric, default_partition
from rdbench.runs import Run
from rdbench.samples import read_picture, read_samples
from rdbench.seeds import FIRST, split_seed

__all__ = [
    "KINDS",
    "difference",
    "differences",
    "draw_all",
    "envelope",
    "forest",
    "methods",
    "rd",
    "save",
    "standalone",
    "strip",
]

KINDS = ("rd", "envelope", "methods", "standalone", "bd", "confusion", "strip")
"""What `draw_all` draws; "methods" only where it is asked for, or a back-end was trained with several seeds."""

MOST_PANELS = 9
"""So many panels of differences can be read on one page."""

_WITHOUT_METRIC = ("confusion", "strip")
"""Kinds that are the same whatever the metric."""

_WITHOUT_RATE = ("standalone", "confusion", "strip")
"""Kinds that are the same whatever makes the rate."""

_PANEL = ("target", "backend", "gold", "scoring", "region", "variant", "mode")

Named = tuple[tuple[str, ...], Callable[[], Drawing]]
"""The words that name a figure, and what draws it: plain enough to be sent to another process."""

_FEW = 4
"""So many figures are drawn sooner than other processes have started."""


def draw_all(
    run: Run,
    out: Path,
    *,
    metric: str | None = None,
    style: Style = "screen",
    only: Collection[str] | None = None,
    bits: str = "payload",
    charge_boxes: bool = False,
    partition: str | None = None,
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
    metric : str, optional
        By default CCC, or accuracy where everything is categorical.
    style : {"screen", "paper"}
    only : collection of str, optional
        Some of `KINDS`.
    bits, charge_boxes, partition
        As in `rdbench.curves.pooled`.
    formats : sequence of {"png", "pdf", "svg"}
    processes : int
        Of these, more than one draw where there are many figures; the files are the same. A script that asks for
        more than one must be importable (``if __name__ == "__main__":``).
    tell : callable, optional
        Is given a line for each clip and point that took no part in what was drawn, with the reason.

    Returns
    -------
    list of Path
        The figures, then ``captions.md``.

    Raises
    ------
    InputError
        If a kind, style, metric or format is unknown.
    NotComparableError
        If there is nothing to draw.
    """
    wanted = set(KINDS if only is None else only)
    unknown = sorted(wanted - set(KINDS))
    if unknown:
        raise InputError(f"There is no figure {unknown[0]!r}; choose from {', '.join(KINDS)}.")
    usual = default_metric(run.scores)
    metric = metric or usual
    options: dict[str, Any] = {"bits": bits, "charge_boxes": charge_boxes, "partition": partition}
    source = _Source(run, metric, options, style)
    if only is None and not source.seeded:
        # Comparing every pair of recognisers is one question among many, unless they were trained to be compared.
        wanted.discard("methods")
    makers = {
        "rd": _rd,
        "envelope": _envelope,
        "methods": _methods,
        "standalone": _standalone,
        "bd": _bd,
        "confusion": _confusion,
        "strip": _strip,
    }
    figures = (
        (out / _slug((*name, *_unusual(kind, source, usual))), draw)
        for kind in KINDS
        if kind in wanted
        for name, draw in makers[kind](source)
    )
    written: list[Path] = []
    captions: dict[str, str] = {}
    for files, caption in _drawn(figures, formats, processes):
        written += files
        captions[files[0].stem] = caption
    if not written:
        raise NotComparableError(
            f"{run.path} has nothing to draw of {', '.join(sorted(wanted))}: its tables hold no scored encodes for it."
        )
    if tell:
        for name, reason in source.left_out.items():
            tell(f"left out: {name} {reason}")
    return [*written, _write_captions(out / "captions.md", captions)]


def _unusual(kind: str, source: _Source, metric: str) -> Iterator[str]:
    """Words that keep a figure of other options than the usual ones from taking the place of the usual one."""
    bits, boxes, partition = (source.options[name] for name in ("bits", "charge_boxes", "partition"))
    if kind not in _WITHOUT_METRIC and source.metric != metric:
        yield source.metric
    if kind not in _WITHOUT_RATE and bits != "payload":
        yield bits
    if kind not in _WITHOUT_RATE and boxes:
        yield "boxes"
    if kind != "strip" and partition not in (None, default_partition(source.run.encodes)):
        yield partition


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
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, spawn, initializer=_start_drawing) as pool:
        # Those that come first are drawn while the tables of the others are still being made.
        waiting = [
            pool.submit(_draw_alone, stem, draw, formats) for stem, draw in itertools.chain(first, figures)
        ]
        for one in waiting:
            yield one.result()


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


@dataclass
class _Source:
    """What the figures of one run are made from; tables are computed once, and only when asked for."""

    run: Run
    metric: str
    options: dict[str, Any]
    style: Style
    left_out: dict[str, str] = field(default_factory=dict)
    """What took no part in the points that were asked for so far, with the reason."""

    @cached_property
    def seeded(self) -> bool:
        """Whether a back-end was trained several times; its seeds are then drawn together, as a family."""
        return any(split_seed(str(name))[1] != FIRST for name in self.run.scores["backend"].unique())

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Of the first seeds: a further one by itself says nothing that its family does not."""
        scores = self.run.scores
        if not self.seeded:
            return scores
        first = {name: split_seed(str(name))[1] == FIRST for name in scores["backend"].unique()}
        return scores[scores["backend"].map(first).astype(bool)]

    @cached_property
    def points(self) -> list[Points]:
        """Of everything, one for each scope."""
        return self._used(self.arrays.parts())

    @cached_property
    def coded(self) -> list[Points]:
        """Of what was coded; more clips may be whole there than among `points`."""
        return self._used(self.arrays.parts(uncoded=False))

    @cached_property
    def of_families(self) -> list[Points]:
        """Of all seeds, whose clips need not be those of the first seeds."""
        if not self.seeded:
            return self.points
        return self._used(self.run.arrays(self.metric, **self.options).parts())

    def _used(self, parts: list[Points]) -> list[Points]:
        for points in parts:
            for one in points.left_out.itertuples():
                self.left_out.setdefault(f"{one.kind} {one.name}", str(one.reason))
        return parts

    @cached_property
    def families(self) -> pd.DataFrame:
        return family_points(self.of_families)

    @cached_property
    def arrays(self) -> Arrays:
        if not self.seeded:
            return self.run.arrays(self.metric, **self.options)
        return Arrays(self.run.encodes, self.scores, self.metric, **self.options)

    @cached_property
    def pooled(self) -> pd.DataFrame:
        table = curves.pooled(self.run.encodes, self.scores, self.metric, arrays=self.arrays, **self.options)
        table.attrs = {}  # each figure's rows would carry them along
        return table

    @cached_property
    def per_subject(self) -> pd.DataFrame:
        # Only drawn where subjects are few; with many it would be a large table for nothing.
        if self.pooled.empty or int(self.pooled["subjects"].min()) >= FEW_SUBJECTS:
            return self.pooled.head(0)
        return curves.per_subject(self.run.encodes, self.scores, self.metric, **self.options)


def _clip_words(parts: Sequence[Points], rows: pd.DataFrame) -> str:
    """What a caption says of the clips of these rows: how many took no part, and that each is its own subject."""
    scopes = set(rows[list(SCOPE)].itertuples(index=False, name=None))
    used = [points for points in parts if tuple(points.keys[list(SCOPE)].iloc[0]) in scopes]
    lost = {
        str(points.keys["target"].iloc[0]): (len(points.clips), int(points.left_out["kind"].eq("clip").sum()))
        for points in used
    }
    words = []
    if any(number for _, number in lost.values()):
        alike = len(set(lost.values())) == 1
        each = [
            f"{there} clip{'s' * (there != 1)}, {gone} left out" + ("" if alike else f" ({target})")
            for target, (there, gone) in sorted(lost.items())
        ]
        words.append(f"Over {each[0] if alike else '; '.join(each)}.")
    if used and all(clips_are_subjects(points) for points in used):
        words.append("Each clip is its own subject: clips are treated as independent.")
    return " ".join(words)


def _confusion(source: _Source) -> Iterator[Named]:
    run, partition = source.run, source.options["partition"]
    yield from confusions(run.encodes, run.scores, source.style, partition)


def _slug(parts: Sequence[str]) -> str:
    return "_".join(re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-.") for part in parts if part) or "figure"


def _write(file: Path, text: str) -> Path:
    beside = file.with_name(f".{file.name}.{os.getpid()}.part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(file)
    return file


def _panels(table: pd.DataFrame) -> Iterator[tuple[tuple[str, ...], pd.DataFrame]]:
    """Rows that share a figure, with the words that tell it from the others."""
    keys = table[list(_PANEL)].drop_duplicates()
    telling = [name for name in _PANEL if name not in ("gold", "scoring") or keys[name].nunique() > 1]
    for key, rows in table.groupby(list(_PANEL), sort=True):
        named = dict(zip(_PANEL, key, strict=True))
        yield tuple(str(named[name]) for name in telling), rows


def _uncoded(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of `table` without a codec that belong to the same recogniser and region."""
    use = table["codec"] == "none"
    for name in ("target", "backend", "gold", "scoring", "region"):
        use &= table[name] == rows[name].iloc[0]
    return table[use]


def _rd(source: _Source) -> Iterator[Named]:
    table, each = source.pooled, source.per_subject
    for name, rows in _panels(table[table["codec"] != "none"]):
        if not (rows["bitrate_kbps"].gt(0) & rows["value"].notna()).any():
            continue
        yield (
            ("rd", *name),
            partial(
                rd,
                pd.concat([rows, _uncoded(table, rows)]),
                subjects=_matching(each, rows),
                metric=source.metric,
                style=source.style,
                bits=str(source.options["bits"]),
                boxes_charged=bool(source.options["charge_boxes"]),
                remark=_clip_words(source.points, rows),
            ),
        )


def _matching(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    use = pd.Series(True, index=table.index)
    for name in _PANEL:
        use &= table[name] == rows[name].iloc[0]
    return table[use]


def _envelope(source: _Source) -> Iterator[Named]:
    table = source.pooled
    if table.loc[table["codec"] != "none", "factor"].nunique() < 2:
        return
    tables = (source.run.encodes, source.scores, source.metric)
    best = envelopes(*tables, arrays=source.arrays, **source.options)
    switches = switch_points(*tables, arrays=source.arrays, **source.options)
    for name, rows in _panels(best):
        if not rows["value"].notna().any():
            continue
        yield (
            ("envelope", *name),
            partial(
                envelope,
                rows,
                points=_matching(table, rows),
                switches=_matching(switches, rows),
                metric=source.metric,
                style=source.style,
                bits=str(source.options["bits"]),
                boxes_charged=bool(source.options["charge_boxes"]),
                remark=_clip_words(source.coded, rows),
            ),
        )


def _methods(source: _Source) -> Iterator[Named]:
    names = {split_seed(str(name))[0] for name in source.run.scores["backend"].unique()}
    if len(names) < 2 or not (source.run.encodes["codec"] != "none").any():
        return
    keys = [name for name in _PANEL if name != "backend"]
    coded = source.families[source.families["codec"] != "none"]
    telling = [name for name in keys if name not in ("gold", "scoring") or coded[name].nunique() > 1]
    for key, rows in coded.groupby([*keys, "factor"], sort=True):
        if rows["backend"].nunique() < 2 or not (rows["bitrate_kbps"].gt(0) & rows["value"].notna()).any():
            continue
        named = dict(zip([*keys, "factor"], key, strict=True))
        yield (
            ("methods", *(str(named[name]) for name in telling), f"x{named['factor']}"),
            partial(
                methods,
                rows,
                metric=source.metric,
                style=source.style,
                bits=str(source.options["bits"]),
                boxes_charged=bool(source.options["charge_boxes"]),
                remark=_clip_words(source.of_families, rows),
            ),
        )


def _standalone(source: _Source) -> Iterator[Named]:
    table, each, parts = source.pooled, source.per_subject, source.points
    if source.seeded:
        table, parts = source.families, source.of_families
    bare = table[(table["codec"] == "none") & table["value"].notna()]
    if bare.empty:
        return
    several = bare[["gold", "scoring"]].drop_duplicates().shape[0] > 1
    for (gold, scoring), rows in bare.groupby(["gold", "scoring"], sort=True):
        named = (str(gold), str(scoring)) if several else ()
        own = each[(each["codec"] == "none") & (each["gold"] == gold) & (each["scoring"] == scoring)]
        remark = _clip_words(parts, rows)
        if rows["factor"].nunique() > 1:
            yield (
                ("standalone", *named),
                partial(
                    standalone, rows, subjects=own, metric=source.metric, style=source.style, remark=remark
                ),
            )
        if rows["region"].nunique() > 1:
            yield (
                ("standalone", *named, "face_px"),
                partial(
                    standalone,
                    rows,
                    subjects=own,
                    metric=source.metric,
                    style=source.style,
                    against="face_px",
                    remark=remark,
                ),
            )


def _bd(source: _Source) -> Iterator[Named]:
    codecs = sorted(name for name in source.run.encodes["codec"].dropna().unique() if name != "none")
    for anchor, test in itertools.combinations(codecs, 2):
        tables = []
        for factor in ({}, {"factor": "best"}):
            try:
                tables.append(
                    bd_table(
                        source.run.encodes,
                        source.scores,
                        {"codec": anchor, **factor},
                        {"codec": test, **factor},
                        metric=source.metric,
                        per_clip=False,
                        arrays=source.arrays,
                        **source.options,
                    )
                )
            except NotComparableError:
                continue
        if not tables:
            continue
        table = pd.concat(tables, ignore_index=True)
        keys = ["gold", "scoring", "test_region", "test_variant", "test_mode"]
        for key, rows in table.groupby(keys, sort=True):
            yield (
                ("bd", test, "over", anchor, *map(str, key[2:]), *_telling(table, key)),
                partial(forest, rows, style=source.style),
            )
    yield from _differences(source, codecs)


def _telling(table: pd.DataFrame, key: tuple[object, ...]) -> tuple[str, ...]:
    return tuple(
        str(v) for name, v in zip(("gold", "scoring"), key, strict=False) if table[name].nunique() > 1
    )


def _differences(source: _Source, codecs: Sequence[str]) -> Iterator[Named]:
    if len(codecs) < 2:
        return
    chooser = Chooser(
        source.run.encodes, source.scores, source.metric, arrays=source.arrays, **source.options
    )
    for points in source.coded:
        of_envelope = {tuple(key.values()): (rows, key) for key, rows in groups(points)}
        for name, rows in _panels(points.keys):
            sides: dict[tuple[str, str], Side] = {}
            for (codec, factor), line in rows.groupby(["codec", "factor"], sort=True):
                sides[str(codec), str(factor)] = side_of(points, line.index.to_numpy())
            best, chosen_on = _best_sides(rows, points, of_envelope, chooser)
            sides |= best
            pairs = []
            for anchor, test in itertools.combinations(codecs, 2):
                found: list[Difference] = [
                    (factor, *relative_difference(side, sides[test, factor]))
                    for (codec, factor), side in sides.items()
                    if codec == anchor and (test, factor) in sides
                ]
                pairs.append((test, anchor, found))
            if not any(len(one[1]) for _, _, found in pairs for one in found):
                continue
            first = rows.iloc[0]
            what = f"{str(first['target']).capitalize()}, {first['backend']}"
            caption = _difference_caption(
                metric=source.metric,
                bits=str(source.options["bits"]),
                boxes=bool(source.options["charge_boxes"]),
                chosen_on=chosen_on,
                **{key: str(first[key]) for key in ("gold", "region", "variant", "mode")},
            )
            title = f"{what}: {f'{codecs[1]} against {codecs[0]}' if len(codecs) == 2 else 'codecs'} along the curves"
            yield (
                ("difference", *name),
                partial(
                    difference,
                    pairs,
                    metric=source.metric,
                    title=title,
                    caption=caption,
                    style=source.style,
                ),
            )


def _best_sides(
    rows: pd.DataFrame,
    points: Points,
    of_envelope: dict[tuple[object, ...], tuple[NDArray[np.integer], dict[str, object]]],
    chooser: Chooser,
) -> tuple[dict[tuple[str, str], Side], str]:
    """The envelopes of the codecs of one panel that have several factors, and what they were chosen on."""
    found: dict[tuple[str, str], Side] = {}
    chosen_on = ""
    for name, line in rows.groupby(list(GROUP), sort=True):
        if line["factor"].nunique() < 2:
            continue
        try:
            envelope = chooser.envelope(points, *of_envelope[name])
        except NotComparableError:
            continue
        found[str(envelope.key["codec"]), "best"] = envelope.side
        chosen_on = envelope.chosen_on
    return found, chosen_on


def _difference_caption(
    *, metric: str, bits: str, boxes: bool, chosen_on: str, gold: str, region: str, variant: str, mode: str
) -> str:
    what = METRIC_NAMES.get(metric, metric)
    parts = [
        f"{gold_phrase(gold, metric)}. Below 0: what is named first needs fewer bits at this {what}.",
        f"Region {region}, variant {variant}, mode {mode}; {bits} bits.",
        box_words(region, boxes),
        "Accuracy is made rising before rates are compared.",
    ]
    if chosen_on:
        parts.append(f"Dashed: the best factor at each rate, chosen on {chosen_on}.")
    return " ".join(part for part in parts if part)


def differences(
    table: pd.DataFrame,
    along: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]],
    *,
    style: Style = "screen",
) -> Drawing:
    """The relative difference of rates along the curves of a table of deltas: a line for each of its rows.

    Rows that differ in nothing but the factor, and have the same one on both sides, share a panel.

    Parameters
    ----------
    table : DataFrame
        As `rdbench.bd_table.bd_table` gives it.
    along : sequence of (accuracy, difference)
        One for each row: `rdbench.bd_table.relative_differences` for the same sides.
    style : {"screen", "paper"}

    Returns
    -------
    Drawing

    Raises
    ------
    InputError
        If that makes more than `MOST_PANELS` panels.
    NotComparableError
        If no pair shares a range of accuracy.
    """
    lines = table.reset_index(drop=True)[[len(accuracy) > 0 for accuracy, _ in along]]
    if lines.empty:
        raise NotComparableError("No two curves of the table share a range of accuracy, so nothing is drawn.")
    sides = [f"{side}_{key}" for side in ("anchor", "test") for key in KEYS if key != "factor"]
    panels = [rows for _, rows in lines.groupby([*sides, "gold", "scoring"], sort=False)]
    if len(panels) > MOST_PANELS:
        raise InputError(
            f"The table has {len(panels)} pairs of curves to draw, factors aside, and a figure holds {MOST_PANELS}; "
            "narrow the keys, such as by target=valence."
        )
    shared = [
        key for key in KEYS if key != "factor" and (lines[f"anchor_{key}"] == lines[f"test_{key}"]).all()
    ]
    common = [*(f"test_{key}" for key in shared), "gold", "scoring"]
    telling = [name for name in common if lines[name].nunique() > 1]
    one = [name for name in common if name not in telling]
    pairs = [
        (
            *_pair_names(rows.iloc[0]),
            [
                (str(factor), *along[i])
                for i, factor in zip(rows.index.to_numpy(), rows["test_factor"], strict=True)
            ],
        )
        for rows in panels
    ]
    metric, bits = only(lines, "metric"), only(lines, "bits")
    caption = _difference_caption(
        metric=metric,
        bits=bits.partition("+")[0],
        boxes="+" in bits,
        chosen_on=only(lines[lines["chosen_on"].fillna("") != ""], "chosen_on"),
        gold=only(lines, "gold"),
        **{key: only(lines, f"test_{key}") for key in ("region", "variant", "mode")},
    )
    test, anchor = _pair_names(lines.iloc[0])
    where = ", ".join(only(lines, name) for name in ("test_target", "test_backend") if name in one)
    title = f"{where[:1].upper()}{where[1:]}: {test} over {anchor}" if where else f"{test} over {anchor}"
    figure = difference(pairs, metric=metric, title=f"{title} along the curves", caption=caption, style=style)
    with settings(style):
        for rows, axes in zip(panels, figure.axes, strict=False):
            axes.set_title(", ".join(str(rows[name].iloc[0]) for name in telling), loc="left")
    return figure


def _pair_names(row: pd.Series) -> tuple[str, str]:
    """The test and the anchor by what they differ in."""
    names = []
    for side in ("test", "anchor"):
        words = [
            f"factor {row[f'{side}_{key}']}" if key == "factor" else str(row[f"{side}_{key}"])
            for key in KEYS
            if row[f"test_{key}"] != row[f"anchor_{key}"]
        ]
        names.append(" ".join(words).replace("factor best", "best factor"))
    return names[0], names[1]


def _strip(source: _Source) -> Iterator[Named]:
    samples = read_samples(source.run.path)
    rows = source.run.encodes[
        (source.run.encodes["codec"] == "none") & source.run.encodes["encode"].isin(list(samples))
    ]
    for region, of_region in rows.groupby("region", sort=True):
        clip = of_region["clip"].min()
        group = of_region[of_region["clip"] == clip].sort_values("factor")
        first = samples[group["encode"].iloc[0]]
        source_image = [("source", read_picture(first["source"]))] if "source" in first else []
        seen = {
            kind: [
                (f"{word} {factor}", read_picture(samples[encode][kind]))
                for encode, factor in zip(group["encode"], group["factor"], strict=True)
                if kind in samples[encode]
            ]
            for kind, word in (("input", "factor"), ("restored", "restored,"))
        }
        images = source_image + seen["input"]
        if images:
            caption = (
                f"One face of clip {clip}, region {region}: as recorded, and as the recogniser sees it after "
                "downsampling by each factor and back up, not coded."
            )
            yield ("strip", str(region)), partial(strip, images, style=source.style, caption=caption)
        if seen["restored"]:
            both = [*images, *source_image, *seen["restored"]]
            caption = caption.removesuffix(".") + "; below, the same restored before recognition."
            columns = len(both) // 2
            yield (
                ("strip", "restored", str(region)),
                partial(strip, both, style=source.style, caption=caption, columns=columns),
            )


def strip(
    images: Sequence[tuple[str, NDArray[np.uint8]]],
    *,
    style: Style = "screen",
    caption: str = "",
    columns: int | None = None,
) -> Drawing:
    """One face in a row of pictures, such as at each factor.

    Parameters
    ----------
    images : sequence of (label, (h, w) or (h, w, 3) uint8)
        Luma (0..255) or RGB, in display order.
    style : {"screen", "paper"}
    caption : str
    columns : int, optional
        By default all in one row up to nine, else two rows.

    Returns
    -------
    Drawing

    Raises
    ------
    InputError
        If there is no picture.
    """
    if not images:
        raise InputError("There is no picture to draw a strip of.")
    columns = columns or (len(images) if len(images) <= 9 else math.ceil(len(images) / 2))
    rows = math.ceil(len(images) / columns)
    with settings(style):
        width = DOUBLE if style == "paper" else max(1.15 * columns, 3.0)
        label_height = 0.17 if style == "paper" else 0.26
        words = textwrap.wrap(caption, int(width * 15.5)) if style == "screen" else []
        cell = width / columns
        figure = new_figure(style, columns)
        figure.set_size_inches(width, rows * (cell + label_height) + 0.16 * len(words) + 0.06)
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in grid:
            axes.set_axis_off()
        for axes, (label, picture) in zip(grid, images, strict=False):
            axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="equal")
            axes.set_title(label, fontsize=matplotlib.rcParams["legend.fontsize"], pad=3)
        describe(figure, "", caption)
        layout = figure.get_layout_engine()
        if isinstance(layout, ConstrainedLayoutEngine):
            layout.set(w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)
    return figure
