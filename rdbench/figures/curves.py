"""Figures of curves: accuracy against rate, against the factor, and the envelope of factors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from rdbench.errors import InputError
from rdbench.figures.axes import extent, factor_axis, rate_axis
from rdbench.figures.canvas import (
    COLUMNS,
    Drawing,
    Style,
    describe,
    draw_line,
    draw_rates,
    is_hollow,
    legend,
    panels,
    settings,
)
from rdbench.figures.captions import (
    box_words,
    gold_phrase,
    interval_words,
    only,
    rd_title,
    seed_words,
    sentences,
    spoken,
    y_label,
)
from rdbench.figures.source import PANEL, Named, Source, clip_words, matching, panel_rows, uncoded
from rdbench.figures.style import factor_look, looks
from rdbench.stats.metrics import METRIC_NAMES
from rdbench.tables.basis import Boxes
from rdbench.tables.names import split_seed

__all__ = [
    "MOST_BANDS",
    "methods",
    "methods_figures",
    "rd",
    "rd_by_factor",
    "rd_figures",
    "standalone",
    "standalone_figures",
]


MOST_BANDS = 4
"""So many bands in one panel can be told apart; with more lines each factor gets a panel of its own."""


def _coded(points: pd.DataFrame) -> pd.DataFrame:
    """The rows that curves of rate against accuracy are drawn of; a figure of none is refused."""
    coded = points[(points["codec"] != "none") & points["bitrate_kbps"].gt(0) & points["value"].notna()]
    if coded.empty:
        raise InputError("There is no coded point to draw rate-distortion curves of.")
    return coded


def _panels(
    coded: pd.DataFrame,
    metric: str,
    style: Style,
    draw: Callable[[Axes, pd.DataFrame], None],
    by: str = "codec",
) -> Drawing:
    """A figure with a panel for each codec (or factor), in which `draw` puts its rows, over one axis of rates."""
    names = sorted(coded[by].unique())
    figure, grid, first = panels(style, len(names), wide=len(names) > 1)
    for name, axes in zip(names, grid, strict=True):
        if len(names) > 1 or style == "screen":
            axes.set_title(f"factor {name}" if by == "factor" else str(name), loc="left")
        draw(axes, coded[coded[by] == name])
        rate_axis(axes, *extent(coded["bitrate_kbps"]), style, min(len(names), COLUMNS))
    for axes in first:
        axes.set_ylabel(y_label(coded, metric))
    return figure


def rd(
    points: pd.DataFrame,
    *,
    subjects: pd.DataFrame | None = None,
    metric: str = "ccc",
    style: Style = "screen",
    bits: str = "payload",
    boxes: Boxes = "sent",
    remark: str = "",
) -> Drawing:
    """Accuracy against achieved bitrate: a panel for each codec, a line for each factor.

    Parameters
    ----------
    points : DataFrame
        Rows of `rdbench.curves.pooling.pooled` with one backend, target, gold, scoring, region, variant and mode; rows
        of codec "none" become the level without any coding, a tick at the right edge.
    subjects : DataFrame, optional
        Rows of `rdbench.curves.pooling.per_subject`, drawn as dots where there are fewer than 6 subjects.
    metric : str
    style : {"screen", "paper"}
    bits : str
        What the rate consists of, for the caption.
    boxes : {"sent", "charged", "found"}
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
    coded = _coded(points)
    level = points[(points["codec"] == "none") & points["value"].notna()]
    factors = sorted(int(factor) for factor in coded["factor"].unique())

    banded = len(factors) <= MOST_BANDS

    def draw(axes: Axes, here: pd.DataFrame) -> None:
        for factor, line in here.groupby("factor", sort=True):
            own = None
            if subjects is not None:
                own = subjects[(subjects["codec"] == line["codec"].iloc[0]) & (subjects["factor"] == factor)]
            draw_rates(axes, line, factor_look(float(str(factor))), dots=own, banded=banded)
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
        figure = _panels(coded, metric, style, draw)
        legend(
            figure, "Factor", [(str(f), factor_look(f)) for f in factors], hollow=bool(is_hollow(coded).any())
        )
        caption = _caption(points, coded, level, metric, bits, boxes, banded=banded)
        describe(figure, rd_title(points, metric), sentences(caption, remark))
    return figure


def rd_by_factor(
    points: pd.DataFrame,
    *,
    metric: str = "ccc",
    style: Style = "screen",
    bits: str = "payload",
    boxes: Boxes = "sent",
    remark: str = "",
) -> Drawing:
    """Accuracy against achieved bitrate: a panel for each factor, a line with its band for each codec.

    Parameters
    ----------
    points, metric, style, bits, boxes, remark
        As in `rd`; rows of codec "none" are not drawn.

    Returns
    -------
    Drawing

    Raises
    ------
    InputError
        If no row has a bitrate.
    """
    coded = _coded(points)
    codecs = sorted(coded["codec"].unique())
    given, banded = looks(codecs), len(codecs) <= MOST_BANDS

    def draw(axes: Axes, here: pd.DataFrame) -> None:
        for codec, line in here.groupby("codec", sort=True):
            draw_rates(axes, line, given[str(codec)], banded=banded)

    with settings(style):
        figure = _panels(coded, metric, style, draw, by="factor")
        legend(figure, "Codec", [(name, given[name]) for name in codecs], hollow=bool(is_hollow(coded).any()))
        caption = _caption(coded, coded, coded.head(0), metric, bits, boxes, banded=banded)
        describe(figure, f"{rd_title(coded, metric)}, by factor", sentences(caption, remark))
    return figure


def _caption(
    points: pd.DataFrame,
    coded: pd.DataFrame,
    level: pd.DataFrame,
    metric: str,
    bits: str,
    boxes: Boxes,
    *,
    banded: bool = True,
) -> str:
    region, mode = only(points, "region"), only(points, "mode")
    subjects = int(coded["subjects"].max())
    parts = [
        f"{gold_phrase(only(points, 'gold'), metric)}.",
        f"Region {region}, variant {only(points, 'variant')}, mode {mode}.",
        f"Rate: {bits} bits.",
        interval_words(subjects) if banded else f"{subjects} subjects; intervals in the figure by factor.",
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
        Rows of `rdbench.curves.pooling.pooled` or `rdbench.methods.families.family_points` with codec "none", one gold,
        scoring and region for each line.
    subjects : DataFrame, optional
        Rows of `rdbench.curves.pooling.per_subject`, drawn as dots where there are fewer than 6 subjects.
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
                axes.set_title(spoken(str(target)), loc="left")
            for name in sorted(set(names)):
                line = here[_line_names(here) == name].sort_values(against)
                if line.empty:
                    continue
                own = None
                if subjects is not None and against == "factor":
                    own = subjects[(subjects["target"] == target) & (subjects["codec"] == "none")]
                    own = own[_line_names(own) == name]
                x = line[against].to_numpy(dtype=float)
                draw_line(axes, x, line, given[name], dots=own, dot_x=against)
            factor_axis(axes, rows, against)
        for axes in first:
            axes.set_ylabel(y_label(rows, metric))
        legend(figure, "Back-end", [(name, given[name]) for name in sorted(set(names))])
        what = "downsampling factor" if against == "factor" else "width of the face"
        describe(
            figure,
            f"{METRIC_NAMES.get(metric, metric)} against {what}, without a codec",
            sentences(
                f"{gold_phrase(only(rows, 'gold'), metric)}. Region {only(rows, 'region')}; downsampled and back "
                "up, not coded.",
                interval_words(int(rows["subjects"].max())),
                seed_words(rows) if "seeds" in rows else "",
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
    boxes: Boxes = "sent",
    remark: str = "",
    names: Sequence[str] = (),
) -> Drawing:
    """Accuracy against achieved bitrate at one factor: a panel for each codec, a line for each family of back-ends.

    Parameters
    ----------
    points : DataFrame
        Rows of `rdbench.methods.families.family_points` with one target, gold, scoring, region, variant, mode and
        factor.
    metric : str
    style : {"screen", "paper"}
    bits : str
    boxes : {"sent", "charged", "found"}
    remark : str
        As in `rd`.
    names : sequence of str
        All back-ends of the run, so that each looks the same in all its figures.

    Returns
    -------
    Drawing

    Raises
    ------
    InputError
        If no row has a bitrate.
    """
    coded = _coded(points)
    families = sorted(coded["backend"].unique())
    given = looks([*families, *names])

    def draw(axes: Axes, here: pd.DataFrame) -> None:
        for family, line in here.groupby("backend", sort=True):
            draw_rates(axes, line, given[str(family)])

    with settings(style):
        figure = _panels(coded, metric, style, draw)
        legend(
            figure,
            "Back-end",
            [(name, given[name]) for name in families],
            hollow=bool(is_hollow(coded).any()),
        )
        target = only(coded, "target")
        title = f"{target[:1].upper()}{target[1:]}, factor {only(coded, 'factor')}: back-ends against bitrate"
        nothing = coded.head(0)
        caption = _caption(coded, coded, nothing, metric, bits, boxes)
        describe(figure, title, sentences(caption, seed_words(coded), remark))
    return figure


def rd_figures(source: Source) -> Iterator[Named]:
    """Curves of rate against accuracy, for each recogniser, target and way of coding; by factor too where there are
    several codecs, or more factors than one panel holds bands."""
    table, each = source.pooled, source.per_subject
    for name, rows in panel_rows(table[table["codec"] != "none"]):
        if not (rows["bitrate_kbps"].gt(0) & rows["value"].notna()).any():
            continue
        options: dict[str, Any] = {
            "metric": only(rows, "metric"),
            "style": source.style,
            "bits": source.basis.bits,
            "boxes": source.boxes,
            "remark": clip_words(source.points, rows),
        }
        whole = pd.concat([rows, uncoded(table, rows)])
        yield ("rd", *name), partial(rd, whole, subjects=matching(each, rows), **options)
        factors, codecs = rows["factor"].nunique(), rows["codec"].nunique()
        if factors > 1 and (codecs > 1 or factors > MOST_BANDS):
            yield ("rd", *name, "by factor"), partial(rd_by_factor, rows, **options)


def methods_figures(source: Source) -> Iterator[Named]:
    """Recognisers against one another, a figure for each factor."""
    names = {split_seed(str(name))[0] for name in source.run.scores["backend"].unique()}
    if len(names) < 2 or not (source.run.encodes["codec"] != "none").any():
        return
    keys = [*(name for name in PANEL if name != "backend"), "metric"]
    coded = source.families[source.families["codec"] != "none"]
    silent = ("gold", "scoring", "metric")
    telling = [name for name in keys if name not in silent or coded[name].nunique() > 1]
    for key, rows in coded.groupby([*keys, "factor"], sort=True):
        if rows["backend"].nunique() < 2 or not (rows["bitrate_kbps"].gt(0) & rows["value"].notna()).any():
            continue
        named = dict(zip([*keys, "factor"], key, strict=True))
        yield (
            ("methods", *(str(named[name]) for name in telling), f"x{named['factor']}"),
            partial(
                methods,
                rows,
                metric=only(rows, "metric"),
                style=source.style,
                bits=source.basis.bits,
                boxes=source.boxes,
                remark=clip_words(source.of_families, rows),
                names=sorted(names),
            ),
        )


def standalone_figures(source: Source) -> Iterator[Named]:
    """Accuracy against the factor, without a codec."""
    table, each, parts = source.pooled, source.per_subject, source.points
    if source.seeded:
        table, parts = source.families, source.of_families
    bare = table[(table["codec"] == "none") & table["value"].notna()]
    if bare.empty:
        return
    several = bare[["gold", "scoring"]].drop_duplicates().shape[0] > 1
    for (metric, gold, scoring), rows in bare.groupby(["metric", "gold", "scoring"], sort=True):
        named: tuple[str, ...] = (str(gold), str(scoring)) if several else ()
        named += (str(metric),) if bare["metric"].nunique() > 1 else ()
        own = each[(each["codec"] == "none") & (each["gold"] == gold) & (each["scoring"] == scoring)]
        own = own[own["metric"] == metric]
        draw = partial(
            standalone,
            rows,
            subjects=own,
            metric=only(rows, "metric"),
            style=source.style,
            remark=clip_words(parts, rows),
        )
        if rows["factor"].nunique() > 1:
            yield ("standalone", *named), draw
        if rows["region"].nunique() > 1:
            yield ("standalone", *named, "face_px"), partial(draw, against="face_px")
