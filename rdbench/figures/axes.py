"""Axes and ticks: rates, ratios, factors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from rdbench.figures.canvas import Style
from rdbench.figures.style import readable

__all__ = ["extent", "factor_axis", "log_ticks", "rate_axis", "ratio_axis", "ratio_ticks"]


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


def extent(values: pd.Series) -> tuple[float, float]:
    return float(values.min()), float(values.max())
