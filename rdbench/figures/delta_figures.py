"""Which comparisons of curves are drawn, of a run or of a table of deltas, and what their captions say."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.curves.deltas import KEYS, bd_table
from rdbench.curves.envelope import GROUP, Chooser, groups, side_of
from rdbench.curves.points import Points
from rdbench.errors import InputError, NotComparableError
from rdbench.figures.canvas import METRIC_NAMES, Drawing, Style, box_words, gold_phrase, only, settings
from rdbench.figures.deltas import Difference, difference, forest
from rdbench.figures.source import Named, Source, panel_rows
from rdbench.stats.bd import Side, relative_difference

__all__ = ["MOST_PANELS", "deltas", "differences"]

MOST_PANELS = 9
"""So many panels of differences can be read on one page."""


def deltas(source: Source) -> Iterator[Named]:
    """Figures of every pair of codecs: deltas of their curves, then the differences along them."""
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


def _differences(source: Source, codecs: Sequence[str]) -> Iterator[Named]:
    if len(codecs) < 2:
        return
    chooser = Chooser(
        source.run.encodes, source.scores, source.metric, arrays=source.arrays, **source.options
    )
    for points in source.coded:
        of_envelope = {tuple(key.values()): (rows, key) for key, rows in groups(points)}
        for name, rows in panel_rows(points.keys):
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
        "Accuracy is made rising before rates are compared. Lines have no intervals: where a curve is nearly flat they "
        "say little, and more than BD-rate, which leaves such parts out.",
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
