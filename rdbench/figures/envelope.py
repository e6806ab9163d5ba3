"""The figure of envelopes, with the rates where the best factor changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from rdbench.curves.envelope_tables import envelopes_of, switch_points_of
from rdbench.errors import InputError
from rdbench.figures.axes import extent, rate_axis
from rdbench.figures.canvas import COLUMNS, Drawing, Style, band, describe, legend, panels, settings
from rdbench.figures.captions import box_words, gold_phrase, interval_words, only, sentences, subject, y_label
from rdbench.figures.source import Named, Source, clip_words, matching, panel_rows
from rdbench.figures.style import Look, factor_look, looks
from rdbench.stats.intervals import FEW_SUBJECTS
from rdbench.tables.basis import Boxes

__all__ = ["envelope", "envelope_figures"]


def envelope(
    table: pd.DataFrame,
    *,
    points: pd.DataFrame | None = None,
    switches: pd.DataFrame | None = None,
    metric: str = "ccc",
    style: Style = "screen",
    bits: str = "payload",
    boxes: Boxes = "sent",
    remark: str = "",
) -> Drawing:
    """The best factor at each rate: a panel for each codec, and one with all of them where there are several.

    Parameters
    ----------
    table : DataFrame
        Rows of `rdbench.curves.envelope_tables.envelopes` with one backend, target, gold, scoring, region, variant, mode.
    points : DataFrame, optional
        The matching rows of `rdbench.curves.pooling.pooled`: the curves of single factors, drawn thin.
    switches : DataFrame, optional
        The matching rows of `rdbench.curves.envelope_tables.switch_points`, drawn below the curves with their intervals.
    metric : str
    style : {"screen", "paper"}
    bits : str
    boxes : {"sent", "charged", "found"}
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
            rate_axis(axes, *extent(rows["bitrate_kbps"]), style, min(count, COLUMNS))
        marked = switches is not None and _mark_switches(dict(zip(codecs, grid, strict=False)), switches)
        for axes in first:
            axes.set_ylabel(y_label(rows, metric))
        entries = [(f"factor {f}", replace(factor_look(f), dash="none")) for f in factors]
        if several:
            entries += [(codec, replace(given[codec], marker="none")) for codec in codecs]
        legend(figure, "Envelope", entries)
        describe(
            figure,
            f"{subject(only(rows, 'target'), only(rows, 'backend'))}: the factor that was chosen at each rate",
            sentences(
                _envelope_caption(rows, metric, bits, boxes, points is not None),
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
        band(axes, x, low, high, color=look.colour, alpha=0.14, linewidth=0, zorder=0)
    if not by_factor:
        return
    chosen = line["chosen_factor"].to_numpy(dtype=int)
    for factor in np.unique(chosen):
        own = factor_look(int(factor))
        here = chosen == factor
        axes.plot(x[here], y[here], own.marker, color=own.colour, markeredgewidth=0.9, zorder=4)


def _envelope_caption(rows: pd.DataFrame, metric: str, bits: str, boxes: Boxes, thin: bool) -> str:
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
    return sentences(*parts)


def envelope_figures(source: Source) -> Iterator[Named]:
    """Figures of envelopes, where something was coded at several factors."""
    table = source.pooled
    if table.loc[table["codec"] != "none", "factor"].nunique() < 2:
        return
    best, switches = envelopes_of(source.scopes), switch_points_of(source.scopes)
    for name, rows in panel_rows(best):
        if not rows["value"].notna().any():
            continue
        yield (
            ("envelope", *name),
            partial(
                envelope,
                rows,
                points=matching(table, rows),
                switches=matching(switches, rows),
                metric=only(rows, "metric"),
                style=source.style,
                bits=source.basis.bits,
                boxes=source.boxes,
                remark=clip_words(source.coded, rows),
            ),
        )
