"""Figures of curves: accuracy against rate, against the factor, and the envelope of factors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from rdbench.errors import InputError
from rdbench.figures.canvas import (
    COLUMNS,
    FEW_SUBJECTS,
    METRIC_NAMES,
    Drawing,
    Style,
    box_words,
    describe,
    factor_axis,
    gold_phrase,
    interval_words,
    legend,
    only,
    panels,
    rate_axis,
    settings,
)
from rdbench.figures.style import Look, factor_look, looks

__all__ = ["envelope", "is_hollow", "methods", "rd", "standalone"]


def _draw_line(
    axes: Axes,
    x: NDArray[np.float64],
    rows: pd.DataFrame,
    look: Look,
    *,
    dots: pd.DataFrame | None = None,
    dot_x: str = "bitrate_kbps",
) -> None:
    """One curve with what is known of its uncertainty, hollow where the rate is not the one asked for."""
    y = rows["value"].to_numpy(dtype=float)
    few = int(rows["subjects"].min()) < FEW_SUBJECTS
    low, high = (rows[name].to_numpy(dtype=float) for name in ("low", "high"))
    if not few:
        _band(axes, x, low, high, color=look.colour, alpha=0.09, linewidth=0, zorder=1)
    axes.plot(x, y, color=look.colour, linestyle=look.dash, zorder=3)
    hollow = is_hollow(rows)
    for mask, face in ((~hollow, look.colour), (hollow, "white")):
        if not mask.any():
            continue
        axes.plot(
            *(x[mask], y[mask]),
            color=look.colour,
            linestyle="none",
            marker=look.marker,
            markerfacecolor=face,
            markeredgecolor=look.colour,
            markeredgewidth=0.9,
            zorder=4,
        )
    if few and dots is not None and len(dots):
        axes.plot(
            *(dots[dot_x].to_numpy(dtype=float), dots["value"].to_numpy(dtype=float)),
            color=look.colour,
            linestyle="none",
            marker=".",
            markersize=matplotlib.rcParams["lines.markersize"] * 0.8,
            markeredgewidth=0,
            alpha=0.5,
            zorder=2,
        )


def _band(
    axes: Axes, x: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64], **look: Any
) -> None:
    """The area between two curves, with gaps where an end is missing."""
    if np.isfinite([low, high]).all():
        # One polygon takes a quarter of the time of what can have gaps.
        axes.fill(np.append(x, x[::-1]), np.append(low, high[::-1]), **look)
    else:
        axes.fill_between(x, low, high, **look)


def is_hollow(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Which points are not what was asked for: the rate was missed, or the picture was coded larger."""
    off = ~rows["rate_status"].isin(["ok", "uncoded"]).to_numpy(dtype=bool)
    if "coded_larger" in rows:
        off = off | rows["coded_larger"].to_numpy(dtype=bool)
    return np.asarray(off, dtype=np.bool_)


def rd(
    points: pd.DataFrame,
    *,
    subjects: pd.DataFrame | None = None,
    metric: str = "ccc",
    style: Style = "screen",
    bits: str = "payload",
    boxes_charged: bool = False,
    remark: str = "",
) -> Drawing:
    """Accuracy against achieved bitrate: a panel for each codec, a line for each factor.

    Parameters
    ----------
    points : DataFrame
        Rows of `rdbench.curves.pooled` with one backend, target, gold, scoring, region, variant and mode; rows
        of codec "none" become the level without any coding, a tick at the right edge.
    subjects : DataFrame, optional
        Rows of `rdbench.curves.per_subject`, drawn as dots where there are fewer than 6 subjects.
    metric : str
    style : {"screen", "paper"}
    bits : str
        What the rate consists of, for the caption.
    boxes_charged : bool
    remark : str
        What the caption says besides, such as how many clips took no part.

    Returns
    -------
    Drawing

    Raises
    ------
    InputError
        If no row has a bitrate.
    """
    coded = points[(points["codec"] != "none") & points["bitrate_kbps"].gt(0) & points["value"].notna()]
    if coded.empty:
        raise InputError("There is no coded point to draw rate-distortion curves of.")
    level = points[(points["codec"] == "none") & points["value"].notna()]
    factors = sorted(int(factor) for factor in coded["factor"].unique())

    def draw(axes: Axes, here: pd.DataFrame) -> None:
        for factor, line in here.groupby("factor", sort=True):
            own = None
            if subjects is not None:
                own = subjects[(subjects["codec"] == line["codec"].iloc[0]) & (subjects["factor"] == factor)]
            _draw_rates(axes, line, factor_look(float(str(factor))), dots=own)
        for _, row in level[level["factor"].isin(factors)].iterrows():
            axes.plot(
                *([0.975, 1.0], [row["value"]] * 2),
                color=factor_look(row["factor"]).colour,
                transform=axes.get_yaxis_transform(),
                linewidth=1.6,
                solid_capstyle="butt",
                zorder=5,
            )

    with settings(style):
        figure = _codec_panels(coded, metric, style, draw)
        legend(
            figure, "Factor", [(str(f), factor_look(f)) for f in factors], hollow=bool(is_hollow(coded).any())
        )
        caption = _caption(points, coded, level, metric, bits, boxes_charged)
        describe(figure, _title(points, metric), _sentences(caption, remark))
    return figure


def _codec_panels(
    coded: pd.DataFrame, metric: str, style: Style, draw: Callable[[Axes, pd.DataFrame], None]
) -> Drawing:
    """A figure with a panel for each codec, in which `draw` puts its rows, over one axis of rates."""
    codecs = sorted(coded["codec"].unique())
    figure, grid, first = panels(style, len(codecs), wide=len(codecs) > 1)
    for codec, axes in zip(codecs, grid, strict=True):
        if len(codecs) > 1 or style == "screen":
            axes.set_title(codec, loc="left")
        draw(axes, coded[coded["codec"] == codec])
        rate_axis(axes, *_extent(coded["bitrate_kbps"]), style, min(len(codecs), COLUMNS))
    for axes in first:
        axes.set_ylabel(_y_label(coded, metric))
    return figure


def _draw_rates(axes: Axes, line: pd.DataFrame, look: Look, *, dots: pd.DataFrame | None = None) -> None:
    line = line.sort_values("bitrate_kbps")
    _draw_line(axes, line["bitrate_kbps"].to_numpy(dtype=float), line, look, dots=dots)


def _sentences(*sentences: str) -> str:
    """Sentences that are not empty, after each other."""
    return " ".join(sentence for sentence in sentences if sentence)


def _extent(values: pd.Series) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _y_label(points: pd.DataFrame, metric: str) -> str:
    gold = only(points, "gold")
    name = METRIC_NAMES.get(metric, metric)
    return f"{name} with pristine" if gold.startswith("pristine:") else name


def _title(points: pd.DataFrame, metric: str) -> str:
    gold = only(points, "gold")
    what = "agreement with pristine" if gold.startswith("pristine:") else METRIC_NAMES.get(metric, metric)
    return f"{only(points, 'target').capitalize()}, {only(points, 'backend')}: {what} against bitrate"


def _caption(
    points: pd.DataFrame, coded: pd.DataFrame, level: pd.DataFrame, metric: str, bits: str, boxes: bool
) -> str:
    region, mode = only(points, "region"), only(points, "mode")
    subjects = int(coded["subjects"].max())
    parts = [
        f"{gold_phrase(only(points, 'gold'), metric)}.",
        f"Region {region}, variant {only(points, 'variant')}, mode {mode}.",
        f"Rate: {bits} bits.",
        interval_words(subjects),
    ]
    if told := box_words(region, boxes):
        parts.insert(3, told)
    if is_hollow(coded).any():
        parts.append("Hollow: rate off its target, or coded larger than asked.")
    if len(level):
        parts.append("Ticks at the right edge: downsampled, not coded.")
    scoring = only(points, "scoring")
    if scoring and scoring != "plain":
        parts.append(f"Scoring: {scoring}.")
    return " ".join(parts)


def standalone(
    points: pd.DataFrame,
    *,
    subjects: pd.DataFrame | None = None,
    metric: str = "ccc",
    style: Style = "screen",
    against: Literal["factor", "face_px"] = "factor",
    remark: str = "",
) -> Drawing:
    """Accuracy without a codec against the factor: a panel for each target, a line for each back-end.

    Parameters
    ----------
    points : DataFrame
        Rows of `rdbench.curves.pooled` or `rdbench.family_points.family_points` with codec "none", one gold,
        scoring and region for each line.
    subjects : DataFrame, optional
        Rows of `rdbench.curves.per_subject`, drawn as dots where there are fewer than 6 subjects.
    metric : str
    style : {"screen", "paper"}
    against : {"factor", "face_px"}
        The horizontal axis; the coded width of the face is what regions share.
    remark : str
        As in `rd`.

    Returns
    -------
    Drawing

    Raises
    ------
    InputError
        If there is no uncoded row.
    """
    rows = points[(points["codec"] == "none") & points["value"].notna()]
    if rows.empty:
        raise InputError("There is no uncoded point to draw accuracy against factor of.")
    names = _line_names(rows)
    given = looks(names)
    targets = sorted(rows["target"].unique())
    with settings(style):
        figure, grid, first = panels(style, len(targets), wide=len(targets) > 1)
        for target, axes in zip(targets, grid, strict=True):
            here = rows[rows["target"] == target]
            if len(targets) > 1 or style == "screen":
                axes.set_title(str(target), loc="left")
            for name in sorted(set(names)):
                line = here[_line_names(here) == name].sort_values(against)
                if line.empty:
                    continue
                own = None
                if subjects is not None and against == "factor":
                    own = subjects[(subjects["target"] == target) & (subjects["codec"] == "none")]
                    own = own[_line_names(own) == name]
                x = line[against].to_numpy(dtype=float)
                _draw_line(axes, x, line, given[name], dots=own, dot_x=against)
            factor_axis(axes, rows, against)
        for axes in first:
            axes.set_ylabel(_y_label(rows, metric))
        legend(figure, "Back-end", [(name, given[name]) for name in sorted(set(names))])
        what = "downsampling factor" if against == "factor" else "width of the face"
        describe(
            figure,
            f"{METRIC_NAMES.get(metric, metric)} against {what}, without a codec",
            _sentences(
                f"{gold_phrase(only(rows, 'gold'), metric)}. Region {only(rows, 'region')}; downsampled and back "
                "up, not coded.",
                interval_words(int(rows["subjects"].max())),
                _seed_words(rows) if "seeds" in rows else "",
                remark,
            ),
        )
    return figure


def _line_names(rows: pd.DataFrame) -> NDArray[np.object_]:
    """Back-ends, with the region where there are several."""
    names = rows["backend"].astype(str)
    if rows["region"].nunique() > 1:
        names = names + ", " + rows["region"].astype(str)
    return names.to_numpy(dtype=object)


def methods(
    points: pd.DataFrame,
    *,
    metric: str = "ccc",
    style: Style = "screen",
    bits: str = "payload",
    boxes_charged: bool = False,
    remark: str = "",
) -> Drawing:
    """Accuracy against achieved bitrate at one factor: a panel for each codec, a line for each family of back-ends.

    Parameters
    ----------
    points : DataFrame
        Rows of `rdbench.family_points.family_points` with one target, gold, scoring, region, variant, mode and
        factor.
    metric : str
    style : {"screen", "paper"}
    bits : str
    boxes_charged : bool
    remark : str
        As in `rd`.

    Returns
    -------
    Drawing

    Raises
    ------
    InputError
        If no row has a bitrate.
    """
    coded = points[points["bitrate_kbps"].gt(0) & points["value"].notna()]
    if coded.empty:
        raise InputError("There is no coded point to draw rate-distortion curves of.")
    families = sorted(coded["backend"].unique())
    given = looks(families)

    def draw(axes: Axes, here: pd.DataFrame) -> None:
        for family, line in here.groupby("backend", sort=True):
            _draw_rates(axes, line, given[str(family)])

    with settings(style):
        figure = _codec_panels(coded, metric, style, draw)
        legend(
            figure,
            "Back-end",
            [(name, given[name]) for name in families],
            hollow=bool(is_hollow(coded).any()),
        )
        title = (
            f"{only(coded, 'target').capitalize()}, factor {only(coded, 'factor')}: back-ends against bitrate"
        )
        nothing = coded.head(0)
        caption = _caption(coded, coded, nothing, metric, bits, boxes_charged)
        describe(figure, title, _sentences(caption, _seed_words(coded), remark))
    return figure


def _seed_words(points: pd.DataFrame) -> str:
    seeds = points.groupby("backend")["seeds"].max()
    if seeds.max() == 1:
        return "One seed of each."
    single = sorted(seeds.index[seeds == 1])
    most = int(seeds.max())
    alone = f", but one seed of {', '.join(single)}" if single else ""
    return f"Mean over up to {most} seeds, intervals over seeds and subjects{alone}."


def envelope(
    table: pd.DataFrame,
    *,
    points: pd.DataFrame | None = None,
    switches: pd.DataFrame | None = None,
    metric: str = "ccc",
    style: Style = "screen",
    bits: str = "payload",
    boxes_charged: bool = False,
    remark: str = "",
) -> Drawing:
    """The best factor at each rate: a panel for each codec, and one with all of them where there are several.

    Parameters
    ----------
    table : DataFrame
        Rows of `rdbench.envelope.envelopes` with one backend, target, gold, scoring, region, variant, mode.
    points : DataFrame, optional
        The matching rows of `rdbench.curves.pooled`: the curves of single factors, drawn thin.
    switches : DataFrame, optional
        The matching rows of `rdbench.envelope.switch_points`, drawn below the curves with their intervals.
    metric : str
    style : {"screen", "paper"}
    bits : str
    boxes_charged : bool
    remark : str
        As in `rd`.

    Returns
    -------
    Drawing

    Raises
    ------
    InputError
        If there is no envelope.
    """
    rows = table[table["value"].notna() & table["bitrate_kbps"].gt(0)]
    if rows.empty:
        raise InputError("There is no envelope to draw: no rate is covered by any factor.")
    codecs = sorted(rows["codec"].unique())
    given = looks(codecs)
    factors = sorted({int(factor) for factor in rows["chosen_factor"].unique()})
    several = len(codecs) > 1
    count = len(codecs) + several
    with settings(style):
        figure, grid, first = panels(style, count, wide=several)
        for place, axes in enumerate(grid):
            together = place == len(codecs)
            if several or style == "screen":
                axes.set_title("all codecs" if together else codecs[place], loc="left")
            for codec in codecs if together else [codecs[place]]:
                line = rows[rows["codec"] == codec].sort_values("bitrate_kbps")
                if not together and points is not None:
                    _thin(axes, points[points["codec"] == codec])
                _envelope_line(axes, line, given[codec], by_factor=not together)
            rate_axis(axes, *_extent(rows["bitrate_kbps"]), style, min(count, COLUMNS))
        marked = switches is not None and _mark_switches(dict(zip(codecs, grid, strict=False)), switches)
        for axes in first:
            axes.set_ylabel(_y_label(rows, metric))
        entries = [(f"factor {f}", replace(factor_look(f), dash="none")) for f in factors]
        if several:
            entries += [(codec, replace(given[codec], marker="none")) for codec in codecs]
        legend(figure, "Envelope", entries)
        describe(
            figure,
            f"{only(rows, 'target').capitalize()}, {only(rows, 'backend')}: the factor that was chosen at each rate",
            _sentences(
                _envelope_caption(rows, metric, bits, boxes_charged, points is not None),
                _SWITCH_WORDS if marked else "",
                remark,
            ),
        )
    return figure


_SWITCH_WORDS = (
    "Bars at the bottom: 95 % intervals of the rate from which another factor is the best, in that factor's "
    "colour; a tick alone has no interval."
)
_LANE = 0.035
"""Height of a lane of switch points, as a share of the panel."""


def _mark_switches(panels: dict[str, Axes], switches: pd.DataFrame) -> bool:
    """Draw each codec's switch points in lanes below its curves; whether there is any."""
    lanes = {codec: _lanes(switches[switches["codec"] == codec], axes) for codec, axes in panels.items()}
    most = max((max(own, default=-1) + 1 for _, own in lanes.values()), default=0)
    if not most:
        return False
    # All panels have one vertical axis, so one of them makes room for all.
    some = next(iter(panels.values()))
    low, high = some.get_ylim()
    share = _LANE * (most + 0.5)
    some.set_ylim(low - (high - low) * share / (1 - share), high)
    for codec, (rows, own) in lanes.items():
        axes = panels[codec]
        for row, lane in zip(rows.to_dict("records"), own, strict=True):
            height = _LANE * (lane + 0.75)
            colour = factor_look(row["to_factor"]).colour
            where: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "color": colour, "zorder": 4}
            if np.isfinite([row["low"], row["high"]]).all():
                axes.plot([row["low"], row["high"]], [height] * 2, solid_capstyle="butt", **where)
            axes.plot([row["kbps"]], [height], "|", markeredgewidth=1.2, **where)
    return True


def _lanes(switches: pd.DataFrame, axes: Axes) -> tuple[pd.DataFrame, list[int]]:
    """Switch points that the panel shows, by rising rate, and for each the lowest lane where it covers no other."""
    left, right = axes.get_xlim()
    rows = switches[switches["kbps"].between(left, right)].sort_values("kbps")
    gap = (right / left) ** 0.02
    ends: list[float] = []
    lanes = []
    for kbps, low, high in rows[["kbps", "low", "high"]].to_numpy(dtype=float):
        start, end = np.nanmin([kbps, low]) / gap, np.nanmax([kbps, high]) * gap
        lane = next((i for i, taken in enumerate(ends) if taken < start), len(ends))
        ends[lane:] = [end, *ends[lane + 1 :]]
        lanes.append(lane)
    return rows, lanes


def _thin(axes: Axes, points: pd.DataFrame) -> None:
    for factor, line in points[points["bitrate_kbps"].gt(0)].groupby("factor"):
        line = line.sort_values("bitrate_kbps")
        colour = factor_look(float(str(factor))).colour
        axes.plot(line["bitrate_kbps"], line["value"], color=colour, linewidth=0.7, alpha=0.45, zorder=1)


def _envelope_line(axes: Axes, line: pd.DataFrame, look: Look, *, by_factor: bool) -> None:
    x, y, low, high = (line[name].to_numpy(dtype=float) for name in ("bitrate_kbps", "value", "low", "high"))
    axes.plot(x, y, color=look.colour, linestyle=look.dash, zorder=3)
    if int(line["subjects"].min()) >= FEW_SUBJECTS:
        _band(axes, x, low, high, color=look.colour, alpha=0.14, linewidth=0, zorder=0)
    if not by_factor:
        return
    chosen = line["chosen_factor"].to_numpy(dtype=int)
    for factor in np.unique(chosen):
        own = factor_look(int(factor))
        here = chosen == factor
        axes.plot(x[here], y[here], own.marker, color=own.colour, markeredgewidth=0.9, zorder=4)


def _envelope_caption(rows: pd.DataFrame, metric: str, bits: str, boxes: bool, thin: bool) -> str:
    region = only(rows, "region")
    parts = [
        f"{gold_phrase(only(rows, 'gold'), metric)}.",
        f"Markers: the factor chosen at each rate, on {only(rows, 'chosen_on')}; where few tell it, this may lie below "
        "single factors.",
        f"Region {region}, variant {only(rows, 'variant')}, mode {only(rows, 'mode')}. Rate: {bits} bits.",
    ]
    if (rows["factor"] == "oracle").any():
        parts.append("Chosen in-sample: better than it is.")
    parts.append(box_words(region, boxes))
    subjects = int(rows["subjects"].max())
    if subjects >= FEW_SUBJECTS:
        parts.append(interval_words(subjects))
    else:
        parts.append(f"{subjects} subjects: too few for an interval.")
    if thin:
        parts.append("Thin: each factor by itself.")
    return _sentences(*parts)
