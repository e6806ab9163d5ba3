"""Colours and markers, the same in every figure and in the report.

Factors are ordered, so their colours are: from blue over magenta to orange, rising in lightness, which stays in
order for people without red, green or blue receptors. Neighbours are told apart by their markers too. Codecs and
back-ends have no order; theirs are the hues of Okabe and Ito (2008), with a line style and a marker each. All have a
contrast of 3:1 with white and with the report's cards, and are made lighter where the ground is dark.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["DARK", "Dash", "Look", "factor_look", "looks", "readable"]

Dash = Literal["-", "--", ":", "-.", "none"]
DARK = "#1e2228"
"""The lightest ground that lines have in the report's dark mode."""


@dataclass(frozen=True)
class Look:
    """How one line is drawn.

    Parameters
    ----------
    colour : str
        ``#rrggbb``.
    marker : str
        Matplotlib's name.
    dash : str
        Matplotlib's line style; "none" for markers alone.
    """

    colour: str
    marker: str
    dash: Dash = "-"

    @property
    def on_dark(self) -> str:
        """The colour on a dark page: so much lighter that it has a contrast of 3:1 there (WCAG 2.2, 1.4.11)."""
        share = 0.0
        while _contrast(_blend(self.colour, "#ffffff", share), DARK) < 3.0:
            share += 0.02
        return _blend(self.colour, "#ffffff", share)

    @property
    def symbol(self) -> str:
        """Plotly's name of the marker."""
        return _SYMBOLS[self.marker]

    @property
    def plotly_dash(self) -> str:
        """Plotly's name of the line style."""
        return {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}[self.dash]


# Evenly spaced in log2 of the factor only between neighbours: 1, 2, 3, 4, 6, 8, 12, 16.
_RAMP = (
    *((0.0, "#2a4b97"), (1.0, "#7340a6"), (1.585, "#a13d8f"), (2.0, "#ab447d")),
    *((2.585, "#cd4755"), (3.0, "#ca5940"), (3.585, "#cd6a1b"), (4.0, "#c37c05")),
)
_MARKERS = {1: "o", 2: "s", 3: "^", 4: "D", 6: "v", 8: "P", 12: "X", 16: "*"}
_OTHER_MARKERS = ("p", "<", ">", "h")
_SYMBOLS = {
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "D": "diamond",
    "v": "triangle-down",
    "P": "cross",
    "X": "x",
    "*": "star",
    "p": "pentagon",
    "<": "triangle-left",
    ">": "triangle-right",
    "h": "hexagon",
}

# Moved until each has 3:1 (orange, sky blue and purple as published have 2.1 to 2.8 on the lightest ground) and all stay
# apart for every eye.
_OKABE_ITO = ("#0771a4", "#ce5c25", "#049668", "#c773a5", "#bf8304", "#3796c8", "#818181")
_FIXED = {
    "x264": 0,
    "x265": 1,
    "kvazaar": 2,
    "svtav1": 3,
    "libaom": 4,
    "vp9": 5,
    "vvenc": 6,
}
# Families of models that ship: one look in all figures, whatever else is shown.
_MODELS = (
    *("max-mix", "separate", "direct", "hr", "direct-mix", "joint", "mix-mix", "max-max", "separate-tuned"),
    *("frozen", "constant"),
)
_DASHES: tuple[Dash, ...] = ("-", "--", "-.", ":")


def factor_look(factor: float) -> Look:
    """The look of a downsampling factor.

    Parameters
    ----------
    factor : float
        1 or more; beyond 16 the colour is that of 16.
    """
    at = min(max(math.log2(max(factor, 1)), 0.0), 4.0)
    colour = _RAMP[-1][1]
    for (left, low), (right, high) in itertools.pairwise(_RAMP):
        if at <= right + 1e-3:
            colour = _blend(low, high, max(at - left, 0.0) / (right - left))
            break
    marker = _MARKERS.get(int(factor) if factor == int(factor) else -1)
    return Look(colour, marker or _OTHER_MARKERS[round(factor) % len(_OTHER_MARKERS)])


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Looks for names without an order (codecs, back-ends, runs, targets), different from each other.

    The codecs and the models that ship keep theirs whatever else is shown; the others take what is left, in sorted
    order, so that a colour does not depend on the order of rows. Neighbours differ in mark and dash too, so that they
    are told apart without colour.

    Parameters
    ----------
    names : iterable of str
        All that a run has, where only some are drawn: a back-end then looks the same in all figures of the run.
    """
    wanted = sorted(set(names))
    given = {name: look for name in wanted if (look := _fixed(name)) is not None}
    taken = {look.colour for look in given.values()}
    free = [place for place, colour in enumerate(_OKABE_ITO) if colour not in taken] or list(
        range(len(_OKABE_ITO))
    )
    others = [name for name in wanted if name not in given]
    for count, name in enumerate(others):
        place, turn = free[count % len(free)], count // len(free)
        given[name] = _look(place, place + turn * len(_OKABE_ITO))
    return {name: given[name] for name in wanted}


def _fixed(name: str) -> Look | None:
    """The look that a name has everywhere."""
    if name in _FIXED:
        return _look(_FIXED[name], _FIXED[name])
    model, _, size = name.partition("#")[0].partition("@")
    if model not in _MODELS:
        return None
    place = _MODELS.index(model)
    # Another size of the same model has its colour, another mark and another dash.
    return _look(place % len(_OKABE_ITO), place if size in ("", "lite") else place + 5)


def _look(colour: int, place: int) -> Look:
    markers: Sequence[str] = tuple(_SYMBOLS)
    return Look(_OKABE_ITO[colour], markers[place % len(markers)], _DASHES[place % len(_DASHES)])


def readable(value: float) -> str:
    """A number on an axis or in a table, in plain digits: 0.5, 20, 1500."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.10f}".rstrip("0").rstrip(".") if abs(value) < 1000 else f"{value:.0f}"


def _blend(low: str, high: str, share: float) -> str:
    pairs = [(int(low[i : i + 2], 16), int(high[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def _contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    """Relative luminance of sRGB (WCAG 2.2)."""
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
