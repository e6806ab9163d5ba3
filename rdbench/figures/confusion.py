"""Figures of confusion matrices: which class was taken for which, pristine and at the lowest rates."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.curves.arrays import collect
from rdbench.errors import InputError
from rdbench.figures.canvas import Drawing, Style, describe, grid_shape, new_figure, settings
from rdbench.figures.captions import gold_phrase, subject
from rdbench.stats.metrics import accuracy, parse_confusion
from rdbench.tables.kinds import kinds
from rdbench.tables.reading import default_partition
from rdbench.tables.schema import SCOPE

__all__ = ["confusion", "confusions"]

_COLUMNS = [
    "encode",
    "clip",
    "region",
    "factor",
    "codec",
    "variant",
    "mode",
    "rate",
    "payload_bits",
    "seconds",
]
_DARK = 0.55
"""Cells with a larger share are written on in white."""

Matrix = NDArray[np.float64]


def confusions(
    encodes: pd.DataFrame, scores: pd.DataFrame, style: Style = "screen", partition: str | None = None
) -> Iterator[tuple[tuple[str, ...], Callable[[], Drawing]]]:
    """A figure for each categorical target, back-end, gold and region: the words that name it, and how it is drawn.

    Its panels: uncoded pictures, and the lowest rate of each codec, both at the smallest factor, over the clips
    that curves are pooled over.
    """
    scores = scores[kinds(scores) == "classes"]
    if scores.empty:
        return
    where = encodes[encodes["partition"] == (partition or default_partition(encodes))]
    rows = scores.merge(where[_COLUMNS], on="encode")
    used = [
        rows[
            (rows[list(SCOPE)] == points.keys[list(SCOPE)].iloc[0]).all(axis=1)
            & rows["clip"].isin(points.clips)
        ]
        for points in collect(encodes, scores, "accuracy", partition=partition)
    ]
    rows = pd.concat(used) if used else rows.head(0)
    for key, group in rows.groupby(["target", "backend", "gold", "scoring", "region"], sort=True):
        near = group[group["factor"] == group["factor"].min()]
        panels = [
            (_title(part), np.sum([parse_confusion(text) for text in part["confusion"]], axis=0))
            for part in _parts(near)
        ]
        target, backend, gold, _, region = (str(part) for part in key)
        caption = (
            f"{gold_phrase(gold, 'accuracy')}. Rows: gold, columns: recognised as; per cent of each row, all clips "
            f"together. Region {region}, factor {near['factor'].min()}."
        )
        names = json.loads(group["classes"].iloc[0])
        title = subject(target, backend)
        yield (
            ("confusion", target, backend, region),
            partial(confusion, panels, names, title, caption, style),
        )


def _parts(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Uncoded rows, then those of each codec that cost least."""
    bare = rows[rows["codec"] == "none"]
    if len(bare):
        yield bare
    for _, coded in rows[rows["codec"] != "none"].groupby(["codec", "variant", "mode"], sort=True):
        cost = coded.groupby("rate")[["payload_bits", "seconds"]].sum()
        yield coded[coded["rate"] == (cost["payload_bits"] / cost["seconds"]).idxmin()]


def _title(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    if first["codec"] == "none":
        return "uncoded"
    rate = float(rows["payload_bits"].sum() / rows["seconds"].sum() / 1000)
    return f"{first['codec']} {first['variant']}, {rate:.3g} kbit/s"


def confusion(
    panels: Sequence[tuple[str, Matrix]],
    classes: Sequence[str],
    title: str = "",
    caption: str = "",
    style: Style = "screen",
) -> Drawing:
    """Confusion matrices side by side, as shares of each row; a class that never occurs has an empty row.

    Parameters
    ----------
    panels : sequence of (label, (k, k) counts)
        Rows gold, columns prediction.
    classes : sequence of str
        k names.
    title, caption : str
    style : {"screen", "paper"}

    Raises
    ------
    InputError
        If there is no panel, or a matrix does not fit the classes.
    """
    if not panels:
        raise InputError("There is no confusion matrix to draw.")
    rows, columns = grid_shape(len(panels))
    with settings(style):
        figure = new_figure(style, columns, rows)
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        for axes, (label, counts) in zip(grid, panels, strict=False):
            if counts.shape != (len(classes), len(classes)):
                raise InputError(f"A confusion matrix of {counts.shape} does not fit {len(classes)} classes.")
            total = counts.sum(axis=1, keepdims=True)
            share = np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0)
            axes.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
            axes.set_title(f"{label}: accuracy {float(accuracy(counts)):.2f}")
            axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right", rotation_mode="anchor")
            axes.set_yticks(range(len(classes)), classes)
            axes.grid(False)
            axes.tick_params(length=0)
            for (row, column), value in np.ndenumerate(share):
                if value >= 0.005:
                    colour = "white" if value > _DARK else "#333333"
                    text = f"{100 * value:.0f}"
                    axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
        describe(figure, title, caption)
    return figure
