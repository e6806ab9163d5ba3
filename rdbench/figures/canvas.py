"""What all figures share: the two styles, axes in plain numbers, and files that are equal when drawn twice."""

from __future__ import annotations

import contextlib
import math
import os
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator
from PIL import Image

from rdbench.errors import InputError
from rdbench.figures.style import Look, readable

__all__ = [
    "COLUMNS",
    "DOUBLE",
    "FEW_SUBJECTS",
    "FORMATS",
    "METRIC_NAMES",
    "SINGLE",
    "Drawing",
    "Style",
    "box_words",
    "describe",
    "factor_axis",
    "gold_phrase",
    "grid_shape",
    "interval_words",
    "legend",
    "log_ticks",
    "new_figure",
    "only",
    "panels",
    "rate_axis",
    "ratio_axis",
    "ratio_ticks",
    "save",
    "settings",
]

Style = Literal["screen", "paper"]
FORMATS = ("png", "pdf", "svg")
METRIC_NAMES = {"ccc": "CCC", "pcc": "PCC", "rmse": "RMSE", "accuracy": "Accuracy", "f1": "Macro F1"}
FEW_SUBJECTS = 6
"""Under so many subjects an interval says little; each subject is a dot instead."""

COLUMNS = 3
"""Panels beside each other at the most."""

SINGLE, DOUBLE = 3.5, 7.16
"""Column widths in inches."""

_COMMON: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "mathtext.fontset": "dejavusans",
    "path.simplify": False,
    # Outlines of the glyphs that occur: whole fonts, as publishers want them, take half of a figure's time.
    "pdf.fonttype": 3,
    "savefig.dpi": 150,
    "svg.fonttype": "path",
    "text.parse_math": False,
    "svg.hashsalt": "rdbench",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
}
_SIZES: dict[str, dict[str, Any]] = {
    "screen": {
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.labelsize": 9,
        "legend.fontsize": 8.5,
        "lines.linewidth": 1.5,
        "lines.markersize": 5,
    },
    "paper": {
        "font.size": 7,
        "axes.titlesize": 7.5,
        "axes.labelsize": 7.5,
        "legend.fontsize": 7,
        "lines.linewidth": 1.0,
        "lines.markersize": 3.5,
        "pdf.fonttype": 42,
        "savefig.dpi": 600,
    },
}


def settings(style: Style) -> AbstractContextManager[None]:
    if style not in _SIZES:
        raise InputError(f"There is no figure style {style!r}; choose screen or paper.")
    # From matplotlib's own defaults, so that a user's matplotlibrc does not change what is drawn.
    chosen: dict[Any, Any] = {}
    for some in (matplotlib.rcParamsDefault, _COMMON, _SIZES[style], {"backend": "agg"}):
        chosen.update(some)
    return matplotlib.rc_context(chosen)


def gold_phrase(gold: str, metric: str = "ccc") -> str:
    """What a score against this gold is, for captions and axes.

    Parameters
    ----------
    gold : str
        The column ``gold`` of the scores: "labels" or "pristine:NAME@SIZE".
    metric : str
    """
    name = METRIC_NAMES.get(metric, metric)
    if gold.startswith("pristine:"):
        return f"{name}: agreement with {gold.partition(':')[2]} on pristine frames, not truth"
    if gold == "labels":
        return f"{name} against the labels"
    return f"{name} against {gold}"


def log_ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Plain round numbers within a range of a logarithmic axis.

    At least 3 where the range has room for it, and at most `most`.
    """
    if not (0 < low < high):
        return [low] if low > 0 else []
    series: tuple[tuple[float, ...], ...] = (
        (1,),
        (1, 3),
        (1, 2, 5),
        (1, 1.5, 2, 3, 5, 7),
        (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8),
        tuple(1 + i / 10 for i in range(90)),
    )
    each = [_in_range(mantissas, low, high) for mantissas in series]
    fitting = [ticks for ticks in each[:3] if 3 <= len(ticks) <= most]
    if fitting:
        return fitting[-1]
    found = next((ticks for ticks in each[2:] if len(ticks) >= 3), each[-1])
    return found[:: math.ceil(len(found) / most)] if found else []


def _in_range(mantissas: Sequence[float], low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = (float(f"{mantissa * 10.0**power:.6g}") for power in powers for mantissa in mantissas)
    return [value for value in values if low <= value <= high]


def save(figure: Figure, stem: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write a figure in several formats, each beside its place and then renamed.

    Nothing in the files tells when or with which version they were written, so equal figures are equal files.

    Parameters
    ----------
    figure : Figure
    stem : Path
        Without suffix; the folder is made where it is missing.
    formats : sequence of {"png", "pdf", "svg"}

    Returns
    -------
    list of Path

    Raises
    ------
    InputError
        If there is no such format.
    """
    style = figure.style if isinstance(figure, Drawing) else "screen"
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        what = repr(unknown[0]) if unknown else "nothing at all"
        raise InputError(f"Figures cannot be written as {what}; choose from {', '.join(FORMATS)}.")
    stem.parent.mkdir(parents=True, exist_ok=True)
    written = []
    with settings(style), _quiet():
        # Laid out once: each format would do it again.
        figure.dpi = matplotlib.rcParams["savefig.dpi"]
        layout = figure.get_layout_engine()
        if layout is not None:
            layout.execute(figure)
        figure.set_layout_engine("none")
        for name in formats:
            place = stem.with_name(f"{stem.name}.{name}")
            beside = stem.with_name(f".{stem.name}.{os.getpid()}.{name}")
            try:
                _write(figure, beside, name)
                beside.replace(place)
            finally:
                beside.unlink(missing_ok=True)
            written.append(place)
    return written


def _write(figure: Figure, file: Path, name: str) -> None:
    # By the canvas itself: savefig draws everything once more beforehand, for layouts that are settled here.
    figure.dpi = matplotlib.rcParams["savefig.dpi"]
    if name == "png":
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        # Nothing shines through: without the alpha channel, and packed less hard, it takes half the time.
        Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).save(
            file, "PNG", compress_level=3, dpi=(figure.dpi, figure.dpi)
        )
    elif name == "svg":
        FigureCanvasSVG(figure).print_svg(file, metadata=_SILENT[name])
    else:
        FigureCanvasPdf(figure).print_pdf(file, metadata=_SILENT[name])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # A name in letters that the font lacks becomes boxes; the figure is still worth having.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


_SILENT: dict[str, dict[str, None]] = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}


class Drawing(Figure):
    """A figure that knows the style it was laid out for and its caption.

    Attributes
    ----------
    style : {"screen", "paper"}
    caption : str
        One line of plain text: what is shown, and what it must not be taken for.
    """

    style: Style = "screen"
    caption: str = ""


def new_figure(
    style: Style, columns: int, rows: int = 1, *, wide: bool = True, height: float = 3.1
) -> Drawing:
    """An empty figure for so many panels; "paper" is one column wide, or two if `wide`."""
    if style == "paper":
        size = (DOUBLE if wide else SINGLE, rows * (2.1 if wide else 2.3))
    else:
        size = (max(1.9 + 3.1 * columns, 6.0), height * rows + 0.9)
    figure = Drawing(figsize=size)
    FigureCanvasAgg(figure)
    figure.style = style
    return figure


def describe(figure: Drawing, title: str, caption: str) -> None:
    """Give a figure its caption, which begins with the title, and on screens draw both."""
    figure.caption = f"{title}. {caption}" if title else caption
    if figure.style == "paper":
        return
    if title:
        figure.suptitle(title, x=0.012, ha="left", fontsize=11, fontweight="bold")
    # 15 characters an inch at this size; a label of the whole figure is the one text that layout makes room for.
    lines = textwrap.wrap(caption, int(figure.get_size_inches()[0] * 15.5))
    if lines:
        text = "\n".join(lines)
        figure.supxlabel(text, x=0.012, ha="left", fontsize=7.5, color="#444444", linespacing=1.35)


def rate_axis(axes: Axes, low: float, high: float, style: Style, panels: int) -> None:
    """A logarithmic axis of kbit/s with room at the right, and ticks as plain numbers."""
    axes.set_xscale("log")
    pad = (high / low) ** 0.04 if high > low else 1.3
    low, high = low / pad, high * pad**2
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(
        FixedLocator(log_ticks(low, high, 10 if style == "screen" else 12 // panels))
    )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: readable(value)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("Bitrate (kbit/s)")


def legend(figure: Figure, title: str, entries: Iterable[tuple[str, Look]], *, hollow: bool = False) -> None:
    """A legend beside the panels, where it can cover nothing; `hollow` explains hollow markers."""
    handles = [
        Line2D([], [], color=look.colour, marker=look.marker, linestyle=look.dash, label=label)
        for label, look in entries
    ]
    if hollow:
        grey: dict[str, Any] = {"color": "#555555", "linestyle": "none", "markeredgewidth": 0.9}
        handles.append(Line2D([], [], marker="o", markerfacecolor="white", label="off target", **grey))
    figure.legend(handles=handles, title=title, loc="outside right upper", alignment="left")


def panels(style: Style, count: int, *, wide: bool = True) -> tuple[Drawing, list[Axes], list[Axes]]:
    """A figure with so many panels on the same axes: the figure, the panels, and the first one of each row."""
    rows, columns = grid_shape(count)
    figure = new_figure(style, columns, rows, wide=wide)
    grid = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel())
    for axes in grid[count:]:
        axes.set_axis_off()
    for axes in grid[:count]:
        axes.xaxis.set_tick_params(labelbottom=True)
    return figure, grid[:count], grid[:count:columns]


def ratio_axis(axis: Axis, low: float, high: float, label: str, most: int = 7) -> None:
    """An axis of log ratios, with ticks in per cent: a half and a double are equally far from nothing.

    Parameters
    ----------
    axis : Axis
    low, high : float
        Natural logs of the ratios at its ends.
    label : str
    most : int
        Ticks at the most.
    """
    ticks = [float(math.log1p(tick / 100)) for tick in ratio_ticks(low, high, most)]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: _minus(readable(round(100 * math.expm1(value), 9))))
    )
    axis.set_minor_locator(NullLocator())
    axis.set_label_text(label)


def ratio_ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Differences in per cent to name on an axis of log ratios from `low` to `high`; 0 where it is inside."""
    ends = 100 * math.expm1(low), 100 * math.expm1(high)
    chosen: list[float] = []
    for tick in _RATIOS:
        at = math.log1p(tick / 100)
        apart = all(abs(at - math.log1p(other / 100)) > (high - low) / most for other in chosen)
        if low <= at <= high and apart:
            chosen.append(tick)
    if len(chosen) < 3 or (ends[0] > -40 and ends[1] < 60):
        # Within so little, per cent are as good as even.
        even = MaxNLocator(most, steps=[1, 2, 5, 10]).tick_values(*ends)
        chosen = [float(tick) for tick in even if ends[0] <= tick <= ends[1]]
    return sorted(chosen)


_RATIOS = (
    *(0, 100, -50, 1000, -90, 10_000, -99, 1e5, -99.9, 1e6, 300, -75, 50, -30, 3000, -97, 30_000),
    *(20, -20, 200, 500, 10, -10, -60, -80, -95, 5, -5),
)
"""From the ticks that are wanted first to those that only fill gaps."""


def _minus(text: str) -> str:
    return text.replace("-", "\u2212")


def grid_shape(count: int) -> tuple[int, int]:
    """Rows and columns for so many panels."""
    columns = min(count, COLUMNS)
    return math.ceil(count / columns), columns


def factor_axis(axes: Axes, rows: pd.DataFrame, against: str) -> None:
    """A logarithmic axis of downsampling factors, or of the coded width of the face."""
    values = rows[against].dropna()
    axes.set_xscale("log", base=2)
    if against == "factor":
        ticks = sorted(float(value) for value in values.unique())
        axes.set_xlabel("Downsampling factor")
    else:
        ticks = log_ticks(float(values.min()) / 1.1, float(values.max()) * 1.1, 8)
        axes.set_xlabel("Coded width of the face (pixels)")
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: readable(value)))
    axes.xaxis.set_minor_locator(NullLocator())


def only(points: pd.DataFrame, column: str) -> str:
    """The values of a column (one, as a rule) for a text."""
    values = points[column].dropna().unique()
    return ", ".join(sorted(str(value) for value in values if value != "none"))


def box_words(region: str, charged: bool) -> str:
    """Whether rates hold what sending the face boxes costs, for a caption; "" for a region that needs none."""
    if "frame" not in region:
        return ""
    return "Box bits are in the rate." if charged else "Box bits are not in the rate."


def interval_words(subjects: int) -> str:
    """What a figure shows of uncertainty, for a caption."""
    if subjects < FEW_SUBJECTS:
        people = "1 subject" if subjects == 1 else f"{subjects} subjects"
        return f"{people}: a dot for each; too few for an interval."
    return f"Bands: 95 % intervals over {subjects} subjects (jackknife)."
