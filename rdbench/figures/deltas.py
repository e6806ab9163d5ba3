"""Figures of comparisons: deltas with their intervals, and where along the curves two codecs differ."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from rdbench.errors import InputError
from rdbench.figures.canvas import (
    METRIC_NAMES,
    Drawing,
    Style,
    box_words,
    describe,
    gold_phrase,
    legend,
    new_figure,
    only,
    panels,
    ratio_axis,
    settings,
)
from rdbench.figures.style import Look, factor_look

__all__ = ["Difference", "difference", "forest"]

BEST = Look("#333333", "D")
"""How the envelope is drawn where it stands beside single factors."""

THIN = 0.45
"""How wide the bar of a simultaneous interval is, as a share of the bar of a plain one."""

_PLAIN, _ALL = ("_low", "_high"), ("_sim_low", "_sim_high")

Array = NDArray[np.float64]

Difference = tuple[str, Array, Array]
"""Factor ("1", "16", "best"), accuracy, and the difference of rates in per cent."""


def forest(table: pd.DataFrame, *, style: Style = "screen") -> Drawing:
    """Deltas of one pair of codecs, a row for each target and factor, each with its intervals.

    Thick bars are intervals of each delta by itself, thin ones hold for all of a table at once.

    Parameters
    ----------
    table : DataFrame
        Rows of `rdbench.bd_table.bd_table` with one pair of codecs and one metric.
    style : {"screen", "paper"}

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
    metric = METRIC_NAMES.get(only(rows, "metric"), only(rows, "metric"))
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
                *(0.01, heights[first] + 1.0, f"{rows['test_target'][first]}, {rows['test_backend'][first]}"),
                transform=left.get_yaxis_transform(),
                va="center",
                fontweight="bold",
            )
        for axes in (left, right):
            axes.grid(axis="y", visible=False)
            axes.tick_params(axis="y", length=0)
        test, anchor = only(rows, "test_codec"), only(rows, "anchor_codec")
        describe(figure, f"{test} against {anchor}", _forest_caption(rows, test, anchor))
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


def _forest_caption(rows: pd.DataFrame, test: str, anchor: str) -> str:
    # The table names what its rates hold in one word, such as payload+boxes.
    bits, _, boxes = only(rows, "bits").partition("+")
    parts = [
        f"{gold_phrase(only(rows, 'gold'), only(rows, 'metric'))}.",
        f"Negative BD-rate: {test} needs fewer bits than {anchor} for the same score.",
        f"Region {only(rows, 'test_region')}, variant {only(rows, 'test_variant')},",
        f"mode {only(rows, 'test_mode')}; {only(rows, 'method')}; {bits} bits.",
        box_words(only(rows, "test_region"), bool(boxes)),
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
        Names of two codecs, and their curves as `rdbench.bd.relative_difference` gives them, in per cent.
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
            for factor, accuracy, percent in sorted(curves, key=lambda curve: _order(curve[0])):
                look = _look(factor)
                ratio = _log_ratio(percent)
                ends = [0, len(accuracy) // 2, len(accuracy) - 1]
                dash = "--" if factor == "best" else "-"
                axes.plot(accuracy, ratio, color=look.colour, linestyle=dash, zorder=2)
                axes.plot(
                    accuracy[ends], ratio[ends], look.marker, color=look.colour, markeredgewidth=0.9, zorder=3
                )
            axes.set_xlabel(METRIC_NAMES.get(metric, metric))
        for (test, anchor, _), axes in zip(drawn, grid, strict=True):
            ratio_axis(axes.yaxis, *axes.get_ylim(), f"Rate of {test} over {anchor} (%)")
        factors = sorted({curve[0] for _, _, curves in drawn for curve in curves}, key=_order)
        legend(figure, "Factor", [(factor, _look(factor)) for factor in factors])
        describe(figure, title, caption)
    return figure
