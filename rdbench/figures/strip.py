"""Figures of pictures: one face in a row, as recorded and as the recogniser sees it at each factor."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from functools import partial

import matplotlib
import numpy as np
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from rdbench.errors import InputError
from rdbench.figures.canvas import DOUBLE, Drawing, Style, describe, new_figure, settings
from rdbench.figures.source import Named, Source
from rdbench.tables.pictures import read_picture, read_samples

__all__ = ["strip", "strips"]


def strips(source: Source) -> Iterator[Named]:
    """A strip of the samples of each region, and one more where they were restored."""
    samples = read_samples(source.run.path)
    rows = source.run.encodes[
        (source.run.encodes["codec"] == "none") & source.run.encodes["encode"].isin(list(samples))
    ]
    for region, of_region in rows.groupby("region", sort=True):
        clip = of_region["clip"].min()
        group = of_region[of_region["clip"] == clip].sort_values("factor")
        first = samples[group["encode"].iloc[0]]
        source_image = [("source", read_picture(first["source"]))] if "source" in first else []
        seen = {
            kind: [
                (f"{word} {factor}", read_picture(samples[encode][kind]))
                for encode, factor in zip(group["encode"], group["factor"], strict=True)
                if kind in samples[encode]
            ]
            for kind, word in (("input", "factor"), ("restored", "restored,"))
        }
        images = source_image + seen["input"]
        if images:
            caption = (
                f"One face of clip {clip}, region {region}: as recorded, and as the recogniser sees it after "
                "downsampling by each factor and back up, not coded."
            )
            yield ("strip", str(region)), partial(strip, images, style=source.style, caption=caption)
        if seen["restored"]:
            both = [*images, *source_image, *seen["restored"]]
            caption = caption.removesuffix(".") + "; below, the same restored before recognition."
            columns = len(both) // 2
            yield (
                ("strip", "restored", str(region)),
                partial(strip, both, style=source.style, caption=caption, columns=columns),
            )


def strip(
    images: Sequence[tuple[str, NDArray[np.uint8]]],
    *,
    style: Style = "screen",
    caption: str = "",
    columns: int | None = None,
) -> Drawing:
    """One face in a row of pictures, such as at each factor.

    Parameters
    ----------
    images : sequence of (label, (h, w) or (h, w, 3) uint8)
        Luma (0..255) or RGB, in display order.
    style : {"screen", "paper"}
    caption : str
    columns : int, optional
        By default all in one row up to nine, else two rows.

    Returns
    -------
    Drawing

    Raises
    ------
    InputError
        If there is no picture.
    """
    if not images:
        raise InputError("There is no picture to draw a strip of.")
    columns = columns or (len(images) if len(images) <= 9 else math.ceil(len(images) / 2))
    rows = math.ceil(len(images) / columns)
    with settings(style):
        width = DOUBLE if style == "paper" else max(1.15 * columns, 3.0)
        label_height = 0.17 if style == "paper" else 0.26
        words = textwrap.wrap(caption, int(width * 15.5)) if style == "screen" else []
        cell = width / columns
        figure = new_figure(style, columns)
        figure.set_size_inches(width, rows * (cell + label_height) + 0.16 * len(words) + 0.06)
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in grid:
            axes.set_axis_off()
        for axes, (label, picture) in zip(grid, images, strict=False):
            axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="equal")
            axes.set_title(label, fontsize=matplotlib.rcParams["legend.fontsize"], pad=3)
        describe(figure, "", caption)
        layout = figure.get_layout_engine()
        if isinstance(layout, ConstrainedLayoutEngine):
            layout.set(w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)
    return figure
