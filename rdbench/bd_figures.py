"""Figures of comparisons: deltas with their intervals, and where along the curves two codecs differ."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from rdbench.canvas import (
    METRIC_NAMES,
    Drawing,
    Style,
    describe,
    gold_phrase,
    legend,
    new_figure,
    only,
    settings,
)
from rdbench.errors import InputError
from rdbench.style import Look, factor_look

__all__ = ["Difference", "difference", "forest"]

BEST = Look("#333333", "D")
"""How the envelope is drawn where it stands beside single factors."""

Difference = tuple[str, NDArray[np.float64], NDArray[np.float64]]
"""Factor ("1", "16", "best"), accuracy, and the difference of rates in per cent."""


def forest(table: pd.DataFrame, *, style: Style = "screen") -> Drawing:
    """Deltas of one pair of codecs, a row for each target and factor, each with its interval.

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


def _column(axes: Axes, rows: pd.DataFrame, heights: NDArray[np.float64], name: str, label: str) -> None:
    axes.axvline(0, color="#777777", linewidth=0.8, zorder=1)
    for height, (_, row) in zip(heights, rows.iterrows(), strict=True):
        look = _look(str(row["test_factor"]))
        value, low, high = (float(row[column]) for column in (name, f"{name}_low", f"{name}_high"))
        if not np.isfinite(value):
            axes.text(
                *(0.02, height, "not computable"),
                transform=axes.get_yaxis_transform(),
                color="#666666",
                va="center",
                fontsize=matplotlib.rcParams["font.size"] * 0.85,
            )
            continue
        if np.isfinite(low) and np.isfinite(high):
            axes.plot([low, high], [height, height], color=look.colour, solid_capstyle="butt", zorder=2)
        axes.plot([value], [height], look.marker, color=look.colour, markeredgewidth=0.9, zorder=3)
    axes.set_xlabel(label)
    # An outlier's interval must not squeeze all others into a line.
    ends = rows[[name, f"{name}_low", f"{name}_high"]].to_numpy(dtype=float)
    ends = ends[np.isfinite(ends)]
    if len(ends):
        span = max(float(np.ptp(np.append(ends, 0.0))), 1e-9)
        axes.set_xlim(min(ends.min(), 0.0) - 0.06 * span, max(ends.max(), 0.0) + 0.06 * span)


def _forest_caption(rows: pd.DataFrame, test: str, anchor: str) -> str:
    parts = [
        f"{gold_phrase(only(rows, 'gold'), only(rows, 'metric'))}.",
        f"Negative BD-rate: {test} needs fewer bits than {anchor} for the same score.",
        f"Region {only(rows, 'test_region')}, variant {only(rows, 'test_variant')},",
        f"mode {only(rows, 'test_mode')}; {only(rows, 'method')}; {only(rows, 'bits')} bits.",
        f"Bars: 95 % intervals over {int(rows['subjects'].max())} subjects, where there are any.",
    ]
    chosen = only(rows[rows["chosen_on"].fillna("") != ""], "chosen_on")
    if chosen:
        parts.append(f"The best factor is chosen on {chosen}.")
    return " ".join(parts)


def difference(
    curves: Sequence[Difference],
    *,
    test: str,
    anchor: str,
    metric: str = "ccc",
    title: str = "",
    caption: str = "",
    style: Style = "screen",
) -> Drawing:
    """The relative difference of rates of two codecs over accuracy: a line for each factor.

    One BD-rate hides curves that cross; this shows them (arXiv 2304.12852).

    Parameters
    ----------
    curves : sequence of (factor, accuracy, difference)
        As `rdbench.bd.relative_difference` gives them, in per cent.
    test, anchor : str
        Names of the codecs.
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
    drawn = sorted((curve for curve in curves if len(curve[1])), key=lambda curve: _order(curve[0]))
    if not drawn:
        raise InputError(f"No curve of {test} shares a range of accuracy with one of {anchor}.")
    with settings(style):
        figure = new_figure(style, 1, wide=False)
        axes = figure.subplots()
        axes.axhline(0, color="#777777", linewidth=0.8, zorder=1)
        for factor, accuracy, percent in drawn:
            look = _look(factor)
            dash = "--" if factor == "best" else "-"
            axes.plot(accuracy, percent, color=look.colour, linestyle=dash, zorder=2)
            ends = [0, len(accuracy) // 2, len(accuracy) - 1]
            axes.plot(
                accuracy[ends], percent[ends], look.marker, color=look.colour, markeredgewidth=0.9, zorder=3
            )
        axes.set_xlabel(METRIC_NAMES.get(metric, metric))
        axes.set_ylabel(f"Rate of {test} over {anchor} (%)")
        legend(figure, "Factor", [(factor, _look(factor)) for factor, _, _ in drawn])
        describe(figure, title or f"{test} against {anchor}, along the curves", caption)
    return figure
