"""What all figures share: the two styles, axes in plain numbers, and files that are equal when drawn twice."""

from __future__ import annotations

import contextlib
import math
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
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from PIL import Image

from rdbench.errors import InputError
from rdbench.figures.style import Look
from rdbench.files import replacing
from rdbench.stats.intervals import FEW_SUBJECTS

__all__ = [
    "COLUMNS",
    "DOUBLE",
    "FORMATS",
    "SINGLE",
    "Drawing",
    "Style",
    "band",
    "describe",
    "draw_line",
    "draw_rates",
    "grid_shape",
    "is_hollow",
    "legend",
    "new_figure",
    "panels",
    "save",
    "settings",
]

Style = Literal["screen", "paper"]
FORMATS = ("png", "pdf", "svg")

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
    # Fonts as publishers want them: many refuse the outlines of Type 3.
    "pdf.fonttype": 42,
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
            with replacing(place) as part:
                _write(figure, part, name)
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


_LEFT = 0.012
"""Where title and caption begin, as a share of the figure's width."""

_GAP = 0.03
"""Room between title and legend, the same; text is a little wider at another resolution."""

_FEWEST = 20
"""Letters of a title that a line has at the least."""


def describe(figure: Drawing, title: str, caption: str) -> None:
    """Give a figure its caption, which begins with the title, and on screens draw both."""
    figure.caption = f"{title}. {caption}" if title else caption
    if figure.style == "paper":
        return
    if title:
        with _quiet():
            _title(figure, title)
    # 15 characters an inch at this size; a label of the whole figure is the one text that layout makes room for.
    lines = textwrap.wrap(caption, int(figure.get_size_inches()[0] * 15.5))
    if lines:
        text = "\n".join(lines)
        figure.supxlabel(text, x=_LEFT, ha="left", fontsize=7.5, color="#444444", linespacing=1.35)


def _title(figure: Drawing, title: str) -> None:
    """The title at the top, in so many lines that it ends before the legend, which is at the top right."""
    text = figure.suptitle(title, x=_LEFT, ha="left", fontsize=11, fontweight="bold")
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    beside = max((one.get_window_extent(renderer).width for one in figure.legends), default=0.0)
    room = figure.bbox.width * (1 - 2 * _LEFT - (_GAP if beside else 0)) - beside
    width = text.get_window_extent(renderer).width
    letters = max(int(len(title) * room / width), _FEWEST)
    while text.get_window_extent(renderer).width > room and letters >= _FEWEST:
        # Some lines have wider letters than the title has on average.
        text.set_text("\n".join(textwrap.wrap(title, letters)))
        letters -= 1


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


def grid_shape(count: int) -> tuple[int, int]:
    """Rows and columns for so many panels."""
    columns = min(count, COLUMNS)
    return math.ceil(count / columns), columns


def band(
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


def draw_line(
    axes: Axes,
    x: NDArray[np.float64],
    rows: pd.DataFrame,
    look: Look,
    *,
    dots: pd.DataFrame | None = None,
    dot_x: str = "bitrate_kbps",
    banded: bool = True,
) -> None:
    """One curve with what is known of its uncertainty, hollow where the rate is not the one asked for."""
    y = rows["value"].to_numpy(dtype=float)
    few = int(rows["subjects"].min()) < FEW_SUBJECTS
    low, high = (rows[name].to_numpy(dtype=float) for name in ("low", "high"))
    if banded and not few:
        band(axes, x, low, high, color=look.colour, alpha=0.09, linewidth=0, zorder=1)
        if len(x) == 1:
            # A band of one point has no area.
            axes.plot([x[0], x[0]], [low[0], high[0]], color=look.colour, linewidth=0.9, zorder=2)
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


def draw_rates(
    axes: Axes, line: pd.DataFrame, look: Look, *, dots: pd.DataFrame | None = None, banded: bool = True
) -> None:
    """One curve over achieved bitrate; its band only where `banded`."""
    line = line.sort_values("bitrate_kbps")
    draw_line(axes, line["bitrate_kbps"].to_numpy(dtype=float), line, look, dots=dots, banded=banded)
