"""Figures of comparisons: deltas with their intervals, and where along the curves two codecs differ."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import partial

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from rdbench.curves.deltas import deltas_of
from rdbench.curves.scope import KEYS, Scope
from rdbench.errors import InputError, NotComparableError
from rdbench.figures.axes import ratio_axis
from rdbench.figures.canvas import Drawing, Style, describe, legend, new_figure, panels, settings
from rdbench.figures.captions import box_words, boxes_of, gold_phrase, only, pair_names, spoken, subject
from rdbench.figures.source import Named, Source, panel_rows
from rdbench.figures.style import Look, factor_look
from rdbench.measures import within_sentence
from rdbench.stats.bd import Side, relative_difference
from rdbench.stats.metrics import METRIC_NAMES
from rdbench.tables.basis import Boxes
from rdbench.typing import Array

__all__ = ["MOST_PANELS", "Difference", "delta_figures", "difference", "differences", "forest"]

MOST_PANELS = 9
"""So many panels of differences can be read on one page."""


BEST = Look("#333333", "D")
"""How the envelope is drawn where it stands beside single factors."""

THIN = 0.45
"""How wide the bar of a simultaneous interval is, as a share of the bar of a plain one."""

_PLAIN, _ALL = ("_low", "_high"), ("_sim_low", "_sim_high")


Difference = tuple[str, Array, Array, NDArray[np.bool_]]
"""Factor ("1", "16", "best"), accuracy, the difference of rates in per cent, and where it can be told."""

FAINT = 0.25
"""How strongly the parts of a line are drawn in which rounding decides."""


def forest(table: pd.DataFrame, *, style: Style = "screen", boxes: Boxes | None = None) -> Drawing:
    """Deltas of one pair of codecs, a row for each target and factor, each with its intervals.

    Thick bars are intervals of each delta by itself, thin ones hold for all of a table at once.

    Parameters
    ----------
    table : DataFrame
        Rows of `rdbench.curves.deltas.bd_table` with one pair of codecs and one metric.
    style : {"screen", "paper"}
    boxes : {"sent", "charged", "found"}, optional

    Returns
    -------
    Drawing

    Raises
    ------
    InputError
        If there is no row.
    """
    if table.empty:
        raise InputError("There is no pair of curves to draw deltas of.")
    rows = table.assign(place=[_order(str(factor)) for factor in table["test_factor"]])
    rows = rows.sort_values(["test_target", "test_backend", "place"], kind="stable").reset_index(drop=True)
    groups = rows.groupby(["test_target", "test_backend"], sort=False).ngroup().to_numpy()
    # A heading above each group, and half a row of air between groups.
    heights = -(np.arange(len(rows)) + 1.5 * groups + 1.0)
    metric = within_sentence(only(rows, "metric"))
    with settings(style):
        figure = new_figure(style, 2)
        width = figure.get_size_inches()[0]
        tall = -heights.min() + 1.0
        row_height = 0.15 if style == "paper" else 0.19
        figure.set_size_inches(width, row_height * tall + (0.6 if style == "paper" else 1.5))
        left, right = figure.subplots(1, 2, sharey=True)
        _column(left, rows, heights, "bd_rate", f"BD-rate (%), at equal {metric}")
        _column(right, rows, heights, "bd_accuracy", f"BD-{metric}, at equal rate")
        left.set_yticks(heights, [_label(str(factor)) for factor in rows["test_factor"]])
        left.set_ylim(heights.min() - 0.8, 0.8)
        for group in np.unique(groups):
            first = int(np.flatnonzero(groups == group)[0])
            left.text(
                *(
                    0.01,
                    heights[first] + 1.0,
                    subject(rows["test_target"][first], rows["test_backend"][first]),
                ),
                transform=left.get_yaxis_transform(),
                va="center",
                fontweight="bold",
            )
        for axes in (left, right):
            axes.grid(axis="y", visible=False)
            axes.tick_params(axis="y", length=0)
        test, anchor = only(rows, "test_codec"), only(rows, "anchor_codec")
        describe(
            figure, f"{test} against {anchor}", _forest_caption(rows, test, anchor, boxes_of(rows, boxes))
        )
    return figure


def _order(factor: str) -> float:
    return float("inf") if factor == "best" else float(factor)


def _look(factor: str) -> Look:
    return BEST if factor == "best" else factor_look(int(factor))


def _label(factor: str) -> str:
    return "best factor" if factor == "best" else f"factor {factor}"


def _column(axes: Axes, rows: pd.DataFrame, heights: Array, name: str, label: str) -> None:
    axes.axvline(0, color="#777777", linewidth=0.8, zorder=1)
    ends = rows[[f"{name}{part}" for part in ("", *_PLAIN, *_ALL)]].to_numpy(dtype=float)
    if name == "bd_rate":
        ends = _log_ratio(ends)
    wide = float(matplotlib.rcParams["lines.linewidth"])
    for height, factor, (value, *bars) in zip(heights, rows["test_factor"], ends, strict=True):
        look = _look(str(factor))
        if not np.isfinite(value):
            axes.text(
                *(0.02, height, "not computable"),
                transform=axes.get_yaxis_transform(),
                color="#666666",
                va="center",
                fontsize=matplotlib.rcParams["font.size"] * 0.85,
            )
            continue
        for bar, width in ((bars[:2], wide), (bars[2:], THIN * wide)):
            if np.isfinite(bar).all():
                axes.plot(
                    *(bar, [height, height]),
                    color=look.colour,
                    linewidth=width,
                    solid_capstyle="butt",
                    zorder=2,
                )
        axes.plot([value], [height], look.marker, color=look.colour, markeredgewidth=0.9, zorder=3)
    axes.set_xlabel(label)
    if not np.isfinite(ends).any():
        # An axis without a value has no scale: ticks would be of its padding.
        axes.set_xlim(-1, 1)
        axes.set_xticks([0])
        return
    known = np.append(ends[np.isfinite(ends)], 0.0)
    pad = 0.06 * max(float(np.ptp(known)), 1e-9)
    limits = float(known.min() - pad), float(known.max() + pad)
    axes.set_xlim(limits)
    if name == "bd_rate":
        ratio_axis(axes.xaxis, *limits, label, most=9)
    else:
        # Small deltas have long numbers, which run into each other where there are more.
        axes.xaxis.set_major_locator(MaxNLocator(5))


def _log_ratio(percent: Array) -> Array:
    """Differences in per cent as natural log ratios; endless where nothing would be left."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log1p(percent / 100))


def _forest_caption(rows: pd.DataFrame, test: str, anchor: str, boxes: Boxes) -> str:
    # The table names what its rates hold in one word, such as payload+boxes.
    bits = only(rows, "bits").partition("+")[0]
    parts = [
        f"{gold_phrase(only(rows, 'gold'), only(rows, 'metric'))}.",
        f"Negative BD-rate: {test} needs fewer bits than {anchor} for the same score.",
        f"Region {only(rows, 'test_region')}, variant {only(rows, 'test_variant')},",
        f"mode {only(rows, 'test_mode')}; {only(rows, 'method')}; {bits} bits.",
        box_words(only(rows, "test_region"), boxes),
        f"Bars: 95 % intervals over {int(rows['subjects'].max())} subjects, where there are any.",
        _simultaneous_words(rows),
    ]
    chosen = only(rows[rows["chosen_on"].fillna("") != ""], "chosen_on")
    if chosen:
        parts.append(f"The best factor is chosen on {chosen}.")
    return " ".join(part for part in parts if part)


def _simultaneous_words(rows: pd.DataFrame) -> str:
    """What the thin bars hold for, where there are any."""
    ends = [f"{name}{part}" for name in ("bd_rate", "bd_accuracy") for part in _ALL]
    if rows[ends].isna().all(axis=None):
        return ""
    # The envelopes are a table, and so a family, of their own.
    best = rows["test_factor"].astype(str) == "best"
    apart = ", best factors among themselves" if best.any() and not best.all() else ""
    return f"Thin bars: 95 % for all curves of the two codecs at once (max-t){apart}."


def difference(
    pairs: Sequence[tuple[str, str, Sequence[Difference]]],
    *,
    metric: str = "ccc",
    title: str = "",
    caption: str = "",
    style: Style = "screen",
) -> Drawing:
    """The relative difference of rates of two codecs over accuracy: a panel for each pair, a line for each factor.

    One BD-rate hides curves that cross; this shows them (arXiv 2304.12852).

    Parameters
    ----------
    pairs : sequence of (test, anchor, curves)
        Names of two codecs, and their curves as `rdbench.stats.bd.relative_difference` gives them, in per cent.
    metric, title, caption : str
    style : {"screen", "paper"}

    Returns
    -------
    Drawing

    Raises
    ------
    InputError
        If no pair of curves shares a range.
    """
    drawn = [(test, anchor, [curve for curve in curves if len(curve[1])]) for test, anchor, curves in pairs]
    drawn = [pair for pair in drawn if pair[2]]
    if not drawn:
        raise InputError("No two curves of different codecs share a range of accuracy.")
    with settings(style):
        figure, grid, _ = panels(style, len(drawn), wide=len(drawn) > 1)
        for (_, _, curves), axes in zip(drawn, grid, strict=True):
            axes.axhline(0, color="#777777", linewidth=0.8, zorder=1)
            shown = [np.zeros(1)]
            for factor, accuracy, percent, told in sorted(curves, key=lambda curve: _order(curve[0])):
                ratio = _log_ratio(percent)
                _draw_difference(axes, factor, accuracy, ratio, told)
                shown.append(ratio[told])
            if not any(map(len, shown[1:])):
                shown += [_log_ratio(percent) for _, _, percent, _ in curves]
            low, high = np.concatenate(shown).min(), np.concatenate(shown).max()
            pad = 0.06 * max(high - low, 0.05)
            axes.set_ylim(float(low - pad), float(high + pad))
            axes.set_xlabel(METRIC_NAMES.get(metric, metric))
        for (test, anchor, _), axes in zip(drawn, grid, strict=True):
            ratio_axis(axes.yaxis, *axes.get_ylim(), f"Rate of {test} over {anchor} (%)")
        factors = sorted({curve[0] for _, _, curves in drawn for curve in curves}, key=_order)
        legend(figure, "Factor", [(factor, _look(factor)) for factor in factors])
        describe(figure, title, caption)
    return figure


def _draw_difference(axes: Axes, factor: str, accuracy: Array, ratio: Array, told: NDArray[np.bool_]) -> None:
    """One line: strong where the difference can be told, faint and without marks beyond."""
    look = _look(factor)
    dash = "--" if factor == "best" else "-"
    axes.plot(accuracy, ratio, color=look.colour, linestyle=dash, alpha=FAINT, zorder=2)
    strong = np.flatnonzero(told)
    if not len(strong):
        return
    axes.plot(accuracy[strong], ratio[strong], color=look.colour, linestyle=dash, zorder=2)
    ends = strong[[0, len(strong) // 2, -1]]
    axes.plot(accuracy[ends], ratio[ends], look.marker, color=look.colour, markeredgewidth=0.9, zorder=3)


def delta_figures(source: Source) -> Iterator[Named]:
    """Figures of every pair of codecs: deltas of their curves, then the differences along them."""
    codecs = sorted(name for name in source.run.encodes["codec"].dropna().unique() if name != "none")
    for anchor, test in itertools.combinations(codecs, 2):
        tables = []
        for factor in ({}, {"factor": "best"}):
            sides = {"codec": anchor, **factor}, {"codec": test, **factor}
            try:
                tables.append(deltas_of(source.scopes, *sides, per_clip=False))
            except NotComparableError:
                continue
        if not tables:
            continue
        table = pd.concat(tables, ignore_index=True)
        keys = ["gold", "scoring", "metric", "test_region", "test_variant", "test_mode"]
        for key, rows in table.groupby(keys, sort=True):
            yield (
                ("bd", test, "over", anchor, *map(str, key[3:]), *_telling(table, key)),
                partial(forest, rows, style=source.style, boxes=source.boxes),
            )
    yield from _differences(source, codecs)


def _telling(table: pd.DataFrame, key: tuple[object, ...]) -> tuple[str, ...]:
    return tuple(
        str(v)
        for name, v in zip(("gold", "scoring", "metric"), key, strict=False)
        if table[name].nunique() > 1
    )


def _differences(source: Source, codecs: Sequence[str]) -> Iterator[Named]:
    if len(codecs) < 2:
        return
    for scope, points in zip(source.scopes.coded, source.coded, strict=True):
        for name, rows in panel_rows(points.keys):
            sides, chosen_on = _sides(scope, rows)
            pairs = []
            for anchor, test in itertools.combinations(codecs, 2):
                lines: list[Difference] = [
                    (factor, *relative_difference(side, sides[test, factor]))
                    for (codec, factor), side in sides.items()
                    if codec == anchor and (test, factor) in sides
                ]
                pairs.append((test, anchor, lines))
            if not any(len(accuracy) for _, _, lines in pairs for _, accuracy, _, _ in lines):
                continue
            first = rows.iloc[0]
            what = subject(str(first["target"]), str(first["backend"]))
            caption = _difference_caption(
                metric=points.metric,
                bits=source.basis.bits,
                boxes=source.boxes,
                chosen_on=chosen_on,
                **{key: str(first[key]) for key in ("gold", "region", "variant", "mode")},
            )
            title = f"{what}: {f'{codecs[1]} against {codecs[0]}' if len(codecs) == 2 else 'codecs'} along the curves"
            named = {"metric": points.metric, "title": title, "caption": caption}
            yield ("difference", *name), partial(difference, pairs, style=source.style, **named)


def _sides(scope: Scope, rows: pd.DataFrame) -> tuple[dict[tuple[str, str], Side], str]:
    """The curves of one panel by codec and factor, and what the envelopes of codecs with several factors were chosen on."""
    keys = rows[list(KEYS)].drop_duplicates().astype(str).sort_values(["codec"], kind="stable")
    keys = keys.assign(number=keys["factor"].astype(int)).sort_values(["codec", "number"], kind="stable")
    curves = [{str(name): str(value) for name, value in key.items()} for key in keys.to_dict("records")]
    sides = {(key["codec"], key["factor"]): scope.curve(key).side for key in curves}
    chosen_on = ""
    for codec in dict.fromkeys(key["codec"] for key in curves):
        of_codec = [key for key in curves if key["codec"] == codec]
        if len(of_codec) < 2:
            continue
        try:
            envelope = scope.envelope(of_codec[0])
        except NotComparableError:
            continue
        sides[codec, "best"] = envelope.side
        chosen_on = envelope.chosen_on
    return sides, chosen_on


def _difference_caption(
    *, metric: str, bits: str, boxes: Boxes, chosen_on: str, gold: str, region: str, variant: str, mode: str
) -> str:
    what = within_sentence(metric)
    parts = [
        f"{gold_phrase(gold, metric)}. Below 0: what is named first needs fewer bits at this {what}.",
        f"Region {region}, variant {variant}, mode {mode}; {bits} bits.",
        box_words(region, boxes),
        "Accuracy is made rising before rates are compared. Lines have no intervals; faint: a curve cannot be told to rise "
        "there, rounding decides, and BD-rate leaves it out.",
    ]
    if chosen_on:
        parts.append(f"Dashed: the best factor at each rate, chosen on {chosen_on}.")
    return " ".join(part for part in parts if part)


def differences(
    table: pd.DataFrame,
    along: Sequence[tuple[Array, Array, NDArray[np.bool_]]],
    *,
    style: Style = "screen",
    boxes: Boxes | None = None,
) -> Drawing:
    """The relative difference of rates along the curves of a table of deltas: a line for each of its rows.

    Rows that differ in nothing but the factor, and have the same one on both sides, share a panel.

    Parameters
    ----------
    table : DataFrame
        As `rdbench.curves.deltas.bd_table` gives it.
    along : sequence of (accuracy, difference, told)
        One for each row: `rdbench.curves.deltas.relative_differences` for the same sides.
    style : {"screen", "paper"}
    boxes : {"sent", "charged", "found"}, optional

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
    lines = table.reset_index(drop=True)[[len(accuracy) > 0 for accuracy, *_ in along]]
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
            *pair_names(rows.iloc[0]),
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
        boxes=boxes_of(lines, boxes),
        chosen_on=only(lines[lines["chosen_on"].fillna("") != ""], "chosen_on"),
        gold=only(lines, "gold"),
        **{key: only(lines, f"test_{key}") for key in ("region", "variant", "mode")},
    )
    test, anchor = pair_names(lines.iloc[0])
    named = {name: only(lines, name) for name in ("test_target", "test_backend") if name in one}
    where = ", ".join(spoken(name) if key == "test_target" else name for key, name in named.items())
    title = f"{where[:1].upper()}{where[1:]}: {test} over {anchor}" if where else f"{test} over {anchor}"
    figure = difference(pairs, metric=metric, title=f"{title} along the curves", caption=caption, style=style)
    with settings(style):
        for rows, axes in zip(panels, figure.axes, strict=False):
            axes.set_title(", ".join(str(rows[name].iloc[0]) for name in telling), loc="left")
    return figure
