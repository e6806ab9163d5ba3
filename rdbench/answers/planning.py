"""How many subjects, rates and seeds a run must have, from a pilot.

A pilot tells how far subjects lie apart in a comparison, how much the interpolation between its rates decides, and how
far seeds lie apart. From that follows what a run of the same kind needs for an interval of a given half-width, or for a
gate that passes unchanged builds and finds losses. Subjects who were drawn for the pilot may lie closer together than
others would, so each number stands twice: as the pilot says, and as its upper 80 % bound (chi-squared) says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import chdtri, nctdtr, stdtrit

from rdbench.curves.deltas import pairs_of
from rdbench.curves.scope import KEYS, Scopes
from rdbench.errors import InputError
from rdbench.stats.bd import Delta, bd_accuracy, bd_rate, percent
from rdbench.stats.intervals import LEVEL, MIN_SUBJECTS, jackknife_error

__all__ = ["COLUMNS", "PASSES", "Wish", "planned", "subjects_for_gate", "subjects_for_width"]

PASSES = 0.95
"""How often a planned gate passes an unchanged build."""
_SAFE = 0.8
_MOST = 100_000
_SHARE = 0.25
"""Of the half-width that the interpolation may take."""

COLUMNS = (
    *(f"anchor_{key}" for key in KEYS),
    *(f"test_{key}" for key in KEYS),
    *("measure", "half_width", "tolerance", "curves"),
    *("pilot_subjects", "pilot_points", "value", "pilot_half_width", "sd", "sd_high"),
    *("subjects", "subjects_safe", "interpolation", "points", "reason"),
)
"""The columns of `planned`. ``sd`` is the standard deviation between subjects (of the natural log ratio for the rate),
``sd_high`` its upper bound; ``points`` is how many rates a curve needs, as far as a pilot can tell."""


@dataclass(frozen=True)
class Wish:
    """What is wanted of a run: a half-width, or a gate's tolerance, for a measure.

    Parameters
    ----------
    measure : {"rate", "accuracy"}
    amount : float
        A share of the rate (0.05 is 5 %), or units of the metric.
    gate : bool
        Whether it is a tolerance.
    curves : int
        Comparisons that are judged together.

    Raises
    ------
    InputError
        If the amount is not above 0.
    """

    measure: str
    amount: float
    gate: bool = False
    curves: int = 1

    def __post_init__(self) -> None:
        if not (np.isfinite(self.amount) and self.amount > 0):
            raise InputError(f"A half-width or a tolerance is above 0, not {self.amount:g}.")

    @property
    def on_scale(self) -> float:
        """The amount on the scale of the intervals."""
        return float(np.log1p(self.amount)) if self.measure == "rate" else self.amount


def subjects_for_width(sd: float, half_width: float, *, curves: int = 1, level: float = LEVEL) -> float:
    """The fewest subjects whose interval is that narrow; infinite above 100,000.

    Parameters
    ----------
    sd : float
        Standard deviation between subjects.
    half_width : float
    curves : int
        Comparisons that hold together, by Bonferroni's value, which max-t never exceeds.
    level : float
    """
    n = np.arange(MIN_SUBJECTS, _MOST + 1)
    half = stdtrit(n - 1, 1 - (1 - level) / (2 * curves)) * sd / np.sqrt(n)
    enough = np.flatnonzero(half <= half_width)
    return float(n[enough[0]]) if len(enough) else np.inf


def subjects_for_gate(
    sd: float, tolerance: float, *, curves: int = 1, level: float = LEVEL, passes: float = PASSES
) -> float:
    """The fewest subjects with whom an unchanged build is shown to be no worse that often, in all curves together.

    The upper end of a curve's interval must lie within the tolerance; its distance is a noncentral t. Curves that go
    together need fewer.

    Parameters
    ----------
    sd, tolerance, curves, level
        As in `subjects_for_width`.
    passes : float
    """
    n = np.unique(np.round(np.geomspace(MIN_SUBJECTS, _MOST, 4000)).astype(int))
    critical = stdtrit(n - 1, 1 - (1 - level) / (2 * curves))
    power = 1 - nctdtr(n - 1, np.minimum(tolerance * np.sqrt(n) / max(sd, 1e-12), 1e3), critical)
    enough = np.flatnonzero(power >= 1 - (1 - passes) / curves)
    return float(n[enough[0]]) if len(enough) else np.inf


def planned(
    scopes: Scopes, anchor: str | Mapping[str, str], test: str | Mapping[str, str], wishes: list[Wish]
) -> pd.DataFrame:
    """What each pair of curves of a pilot says that each wish needs.

    Parameters
    ----------
    scopes : Scopes
    anchor, test
        As in `rdbench.curves.deltas.deltas_of`.
    wishes : list of Wish

    Returns
    -------
    DataFrame
        With `COLUMNS`; infinite where more than 100,000 subjects would not do.

    Raises
    ------
    InputError, NotComparableError
        As `rdbench.curves.deltas.deltas_of`.
    """
    rows = []
    for _, scope, a, b in pairs_of(scopes, anchor, test):
        sides = [scope.curve(key).side for key in (a, b)]
        found = {"accuracy": bd_accuracy(*sides), "rate": bd_rate(*sides)}
        named = {f"anchor_{key}": a[key] for key in KEYS} | {f"test_{key}": b[key] for key in KEYS}
        rows += [named | _planned(wish, found[wish.measure], len(scope.points.subjects)) for wish in wishes]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _planned(wish: Wish, delta: Delta, subjects: int) -> dict[str, object]:
    points = min(delta.knots) if delta.knots else 0
    row: dict[str, object] = {
        "measure": wish.measure,
        "half_width": np.nan if wish.gate else wish.amount,
        "tolerance": wish.amount if wish.gate else np.nan,
        "curves": wish.curves,
        "pilot_subjects": subjects,
        "pilot_points": points,
        "value": float(percent(delta.value)) if wish.measure == "rate" else delta.value,
        "reason": delta.reason,
    }
    whole = len(delta.replicates) == subjects and bool(np.isfinite(delta.replicates).all())
    if delta.reason or subjects < 2 or not whole:
        return row | {"reason": delta.reason or delta.interval_reason or "a pilot needs 2 subjects"}
    error = float(jackknife_error(delta.replicates))
    sd = error * subjects**0.5
    high = sd * ((subjects - 1) / float(chdtri(subjects - 1, _SAFE))) ** 0.5
    rule = subjects_for_gate if wish.gate else subjects_for_width
    return row | {
        "pilot_half_width": float(stdtrit(subjects - 1, (1 + LEVEL) / 2)) * error,
        "sd": sd,
        "sd_high": high,
        "subjects": rule(sd, wish.on_scale, curves=wish.curves),
        "subjects_safe": rule(high, wish.on_scale, curves=wish.curves),
        "interpolation": delta.interpolation_error,
        "points": _points(delta.interpolation_error, wish.on_scale, points),
    }


def _points(error: float, amount: float, points: int) -> float:
    """Rates at which the interpolation takes a quarter of what is wanted.

    What a left-out point moves a delta by falls at least with the square of the distance between points.
    """
    if not np.isfinite(error) or points < 3:
        return np.nan
    return float(max(points, np.ceil(1 + (points - 1) * np.sqrt(error / (_SHARE * amount)))))
