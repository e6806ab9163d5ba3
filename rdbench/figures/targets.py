"""Figures of bits at a target: what each codec needs to keep a share of the uncoded accuracy, and the time that takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from rdbench.answers.targets import Goal, at_targets
from rdbench.errors import InputError, NotComparableError
from rdbench.figures.axes import log_ticks, rate_axis
from rdbench.figures.canvas import Drawing, Style, describe, legend, new_figure, settings
from rdbench.figures.captions import box_words, boxes_of, gold_phrase, only, sentences, subject
from rdbench.figures.source import Named, Source
from rdbench.figures.style import Look, looks, readable
from rdbench.measures import within_sentence
from rdbench.stats.intervals import FEW_SUBJECTS
from rdbench.tables.basis import Boxes
from rdbench.typing import Array

__all__ = ["GOALS", "cost", "cost_figures", "shown_factors", "target_figures", "targets"]

GOALS = (Goal(0.95, True), Goal(0.90, True))
"""What figures and reports ask for unless told otherwise."""

_PANEL = ["metric", "gold", "scoring", "region", "variant", "mode"]
_GREY = "#666666"


def targets(table: pd.DataFrame, *, style: Style = "screen", boxes: Boxes | None = None) -> Drawing:
    """Bits at each goal, a panel a goal and a row a codec, with intervals over subjects.

    Parameters
    ----------
    table : DataFrame
        Rows of `rdbench.answers.targets.at_targets` of one region, variant and mode, with one factor for each codec.
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
        raise InputError("There is no curve to draw bits at a target of.")
    goals = list(dict.fromkeys(table["goal"]))
    order = ["target", "backend", "codec"]
    names = table[order].drop_duplicates().sort_values(order, kind="stable").reset_index(drop=True)
    groups = names.groupby(order[:2], sort=False).ngroup().to_numpy()
    # A heading above each group, and half a row of air between groups.
    heights = -(np.arange(len(names)) + 1.5 * groups + 1.0)
    place = dict(zip(names.itertuples(index=False, name=None), heights, strict=True))
    with settings(style):
        figure = new_figure(style, len(goals))
        tall = -heights.min() + 1.0
        row_height = 0.17 if style == "paper" else 0.23
        figure.set_size_inches(
            figure.get_size_inches()[0], row_height * tall + (0.6 if style == "paper" else 1.5)
        )
        panels = list(figure.subplots(1, len(goals), sharey=True, sharex=True, squeeze=False)[0])
        ends = _extent(table)
        codecs = looks(names["codec"])
        for axes, goal in zip(panels, goals, strict=True):
            for row in table[table["goal"] == goal].to_dict("records"):
                height = place[row["target"], row["backend"], row["codec"]]
                _draw(axes, {str(name): value for name, value in row.items()}, height, codecs, ends)
            axes.set_xscale("log")
            axes.set_xlim(*ends)
            rate_axis(axes, *ends, style, len(goals))
            axes.set_title(f"to keep {goal}" if "%" in goal else f"to reach {goal}")
            axes.grid(axis="y", visible=False)
            axes.tick_params(axis="y", length=0)
        panels[0].set_yticks(heights, list(names["codec"]))
        panels[0].set_ylim(heights.min() - 0.8, 0.8)
        _headings(panels[0], names, groups, heights)
        describe(figure, "Bits that keep the accuracy", _caption(table, boxes_of(table, boxes)))
    return figure


def _headings(axes: Axes, names: pd.DataFrame, groups: NDArray[Any], heights: Array) -> None:
    for group in np.unique(groups):
        first = int(np.flatnonzero(groups == group)[0])
        axes.text(
            *(0.01, heights[first] + 1.0, subject(names["target"][first], names["backend"][first])),
            transform=axes.get_yaxis_transform(),
            va="center",
            fontweight="bold",
        )


def _extent(table: pd.DataFrame) -> tuple[float, float]:
    """Rates that all panels show: of the values and of what bounds them, and an interval at most thrice beyond."""
    known = table[["kbps", "kbps_least", "kbps_most"]].to_numpy(dtype=float)
    known = known[np.isfinite(known) & (known > 0)]
    if not len(known):
        return 1.0, 100.0
    ends = table[["kbps_low", "kbps_high"]].to_numpy(dtype=float)
    low, high = float(known.min()), float(known.max())
    ends = ends[np.isfinite(ends) & (ends > low / 3) & (ends < 3 * high)]
    return min(low, *ends, low) / 1.3, max(high, *ends, high) * 1.3


def _draw(
    axes: Axes, row: dict[str, object], height: float, codecs: dict[str, Look], ends: tuple[float, float]
) -> None:
    look = codecs[str(row["codec"])]
    value, low, high, least, most = (
        float(row[name])  # type: ignore[arg-type]
        for name in ("kbps", "kbps_low", "kbps_high", "kbps_least", "kbps_most")
    )
    if not np.isfinite(value):
        bound = least if np.isfinite(least) else most
        if not np.isfinite(bound):
            axes.text(
                *(0.02, height, "not computable"),
                transform=axes.get_yaxis_transform(),
                color=_GREY,
                va="center",
            )
            return
        # An open bracket at the curve's own end, and the side on which the rate must lie.
        beyond = ends[1] if np.isfinite(least) else ends[0]
        axes.plot([bound, beyond], [height, height], color=_GREY, linewidth=0.9, linestyle=":")
        axes.plot([bound], [height], ">" if np.isfinite(least) else "<", color=_GREY, markerfacecolor="white")
        return
    if not (np.isnan(low) or np.isnan(high)):
        bar = np.clip([low, high], *ends)
        axes.plot(bar, [height, height], color=look.colour, solid_capstyle="butt", zorder=2)
        for end, shown, marker in ((low, bar[0], "<"), (high, bar[1], ">")):
            if end != shown:
                axes.plot([shown], [height], marker, color=look.colour, clip_on=False, markersize=4)
    axes.plot([value], [height], look.marker, color=look.colour, markeredgewidth=0.9, zorder=3)


def _caption(table: pd.DataFrame, boxes: Boxes) -> str:
    metric = only(table, "metric")
    factor = only(table, "factor")
    subjects = int(table["subjects"].min())
    return sentences(
        f"Lowest rate ({only(table, 'bits').partition('+')[0]} bits) at which the curve of a codec has the share of what the same back-end has in "
        f"uncoded pictures at factor 1: {gold_phrase(only(table, 'gold'), metric)}.",
        f"Region {only(table, 'region')}, variant {only(table, 'variant')}, mode {only(table, 'mode')}, "
        + ("the best factor at each rate." if factor == "best" else f"factor {factor}."),
        f"Chosen on {only(table, 'chosen_on')}." if only(table, "chosen_on") else "",
        f"{subjects} subjects: too few for an interval."
        if subjects < FEW_SUBJECTS
        else f"Bars: 95 % intervals over {subjects} subjects (jackknife); an arrow goes on, at times without end.",
        "An open grey arrow: the curve does not reach it up to there, or is above it from there on.",
        f"Isotonic in {within_sentence(metric)}, nothing is extrapolated.",
        box_words(only(table, "region"), boxes),
    )


def shown_factors(table: pd.DataFrame) -> pd.DataFrame:
    """Of each codec the envelope, or its only factor where there is no choice."""
    several = table["factor"].nunique() > 1
    return table[table["factor"] == "best"] if several else table[table["factor"] != "best"]


def target_figures(source: Source, goals: Sequence[Goal] = GOALS) -> Iterator[Named]:
    """A figure for each region, variant and mode: every codec at its best factor."""
    try:
        table = shown_factors(at_targets(source.scopes, goals, {}))
    except NotComparableError:
        return
    for key, rows in table.groupby(_PANEL, sort=True):
        if rows[["kbps", "kbps_least", "kbps_most"]].notna().any(axis=None):
            telling = [str(v) for name, v in zip(_PANEL, key, strict=True) if table[name].nunique() > 1]
            words = dict.fromkeys([*telling, *map(str, key[3:])])
            yield ("target", *words), partial(targets, rows, style=source.style, boxes=source.boxes)


_SENDER = ["codec", "variant", "mode"]
_COST = [*_SENDER, "region", "factor"]


def cost(table: pd.DataFrame, *, style: Style = "screen", boxes: Boxes | None = None) -> Drawing:
    """Bits at one goal against the encoder's CPU time: a mark for each codec, variant and factor.

    Parameters
    ----------
    table : DataFrame
        Rows of `rdbench.answers.targets.at_targets` of one target, back-end, goal and region that have a rate, and
        `cpu_seconds` of the encoder for each second of video.
    style : {"screen", "paper"}
    boxes : {"sent", "charged", "found"}, optional

    Raises
    ------
    InputError
        If there is no row.
    """
    if table.empty:
        raise InputError("There is no curve with a rate at the target and a CPU time to draw.")
    rows = table.assign(
        sender=table[_SENDER].agg(" ".join, axis=1),
        order=table["factor"].astype(int),
        low=np.fmax(table["kbps_low"], table["kbps"] / 5),
        high=np.fmin(table["kbps_high"], table["kbps"] * 5),
    )
    named = looks(rows["sender"] if rows["codec"].nunique() < rows["sender"].nunique() else rows["codec"])
    with settings(style):
        figure = new_figure(style, 1)
        axes = figure.subplots()
        for sender, group in rows.sort_values("order").groupby("sender", sort=True):
            look = named.get(str(sender)) or named[str(group["codec"].iloc[0])]
            for x, y, *bar in group[["cpu_seconds", "kbps", "low", "high"]].to_numpy(float):
                if group["kbps_low"].notna().all():
                    axes.plot([x, x], bar, color=look.colour, linewidth=0.8, alpha=0.6)
                axes.plot([x], [y], look.marker, color=look.colour, zorder=3)
            axes.plot(
                *(group["cpu_seconds"], group["kbps"]), color=look.colour, linestyle=look.dash, linewidth=0.8
            )
            for x, y, factor in group[["cpu_seconds", "kbps", "factor"]].to_numpy():
                axes.annotate(
                    str(factor), (x, y), xytext=(4, 3), textcoords="offset points", fontsize="small"
                )
        for axis, values, words in (
            (axes.xaxis, rows["cpu_seconds"].to_numpy(), "CPU seconds of the encoder for a second of video"),
            (axes.yaxis, rows[["low", "high"]].to_numpy(), f"kbit/s to keep {rows['goal'].iloc[0]}"),
        ):
            low, high = float(values.min()) / 1.3, float(values.max()) * 1.3
            (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
            (axes.set_xlim if axis is axes.xaxis else axes.set_ylim)(low, high)
            axis.set_major_locator(FixedLocator(log_ticks(low, high)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: readable(value)))
            axis.set_minor_locator(NullLocator())
            axis.set_label_text(words)
        legend(figure, "", named.items())
        describe(
            figure,
            "Bits at equal accuracy against the encoder's time",
            _cost_caption(table, boxes_of(table, boxes)),
        )
    return figure


def _cost_caption(table: pd.DataFrame, boxes: Boxes) -> str:
    metric = only(table, "metric")
    subjects = int(table["subjects"].min())
    return sentences(
        f"{subject(only(table, 'target'), only(table, 'backend'))}: lowest rate at which a curve has {only(table, 'goal')} "
        f"({gold_phrase(only(table, 'gold'), metric)}), against user and system time of the encoder over all rates of "
        "the curve; numbers are downsampling factors.",
        f"Region {only(table, 'region')}. Left and low is better; what does not reach the accuracy is not drawn.",
        ""
        if subjects < FEW_SUBJECTS
        else f"Bars: 95 % intervals of the rate over {subjects} subjects (jackknife), cut at a fifth and five times.",
        "Times are those of the machine that ran it, one thread.",
        box_words(only(table, "region"), boxes),
    )


def _seconds_of(source: Source) -> pd.DataFrame:
    """CPU seconds of the encoder for each second of video, by codec, variant, mode, region and factor."""
    timings = source.run.timings
    if timings.empty or "encode_cpu_seconds" not in timings:
        return pd.DataFrame(columns=[*_COST, "cpu_seconds"])
    both = source.run.encodes.merge(timings[["encode", "encode_cpu_seconds"]], on="encode")
    both = both[(both["encode_cpu_seconds"] > 0) & (both["seconds"] > 0)]
    summed = both.groupby(_COST, as_index=False)[["encode_cpu_seconds", "seconds"]].sum()
    summed["factor"] = summed["factor"].astype(str)
    return summed.assign(cpu_seconds=summed["encode_cpu_seconds"] / summed["seconds"])[
        [*_COST, "cpu_seconds"]
    ]


def cost_figures(source: Source, goal: Goal = GOALS[0]) -> Iterator[Named]:
    """A figure for each target, back-end and region where the run has CPU times of at least two encoders or presets."""
    seconds = _seconds_of(source)
    if seconds[_SENDER].drop_duplicates().shape[0] < 2:
        return
    try:
        table = at_targets(source.scopes, [goal], {})
    except NotComparableError:
        return
    table = table[(table["factor"] != "best") & table["kbps"].notna()].merge(seconds, on=_COST)
    keys = ["target", "backend", "gold", "scoring", "region"]
    for key, rows in table.groupby(keys, sort=True):
        if rows[_SENDER].drop_duplicates().shape[0] > 1:
            told = [
                str(v) for name, v in zip(keys, key, strict=True) if name in ("target", "backend", "region")
            ]
            told += [
                str(v)
                for name, v in zip(keys, key, strict=True)
                if name in ("gold", "scoring") and table[name].nunique() > 1
            ]
            yield ("cost", *told), partial(cost, rows, style=source.style, boxes=source.boxes)
