"""Bits at a target and accuracy at a rate: what each codec, factor and envelope needs, and what it saves there.

The question of whoever builds something is not a mean over a range: it is how many bits keep a recogniser working, or
how well it works in the bits there are. A target is a share of what the same back-end recognises in uncoded pictures at
factor 1, or an accuracy. It has an answer in many a place where BD-rate has none, since it needs one level that both
curves reach and not a range of them; where it has none, it still tells from which end of the curve.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rdbench.curves.deltas import parse_side
from rdbench.curves.points import Points, metric_of_sums
from rdbench.curves.scope import KEYS, Scope, Scopes
from rdbench.errors import InputError, NotComparableError
from rdbench.stats.bd import Side, bd_rate, percent
from rdbench.stats.goals import Goal
from rdbench.stats.intervals import SCALE_OF, delete_one
from rdbench.stats.reached import Answer, accuracy_at, difference, rate_at, ratio
from rdbench.typing import Array

__all__ = ["RATE_COLUMNS", "TARGET_COLUMNS", "Goal", "at_rates", "at_targets", "usual_anchor"]

_KEY = ("backend", "target", "gold", "scoring", "region", "codec", "variant", "mode", "factor")
_CHANGE = tuple(
    f"rate_difference{part}"
    for part in ("", "_low", "_high", "_least", "_most", "_reason", "_interval_reason")
)
_END = ("bd_rate", "bd_rate_reason", "subjects", "clips", "chosen_on")
TARGET_COLUMNS = (
    *_KEY,
    *("metric", "bits", "goal", "level", "uncoded"),
    *("kbps", "kbps_low", "kbps_high", "kbps_least", "kbps_most", "reason", "interval_reason"),
    *("anchor", *_CHANGE, *_END),
)
"""The columns of `at_targets`. Where there is no rate, `kbps_least` says what it is above and `kbps_most` what it is
below; `rate_difference` is in per cent of the anchor's rate, negative saves bits."""
RATE_COLUMNS = (
    *_KEY,
    *("metric", "bits", "kbps", "value", "low", "high", "uncoded", "kept", "reason", "interval_reason"),
    *("anchor", "gain", "gain_low", "gain_high", "gain_reason", *_CHANGE, *_END),
)
"""The columns of `at_rates`. `kept` is the share of the uncoded accuracy; `rate_difference` is what the accuracy that the
anchor has at this rate costs the test, in per cent of the rate."""


@dataclass(frozen=True)
class _Seen:
    """One curve with what is known of its back-end without a codec."""

    scope: Scope
    key: dict[str, str]
    side: Side
    chosen_on: str
    uncoded: float
    uncoded_without: Array

    def level(self, goal: Goal) -> tuple[float, Array]:
        metric = self.scope.points.metric
        return float(goal.level(np.array(self.uncoded), metric)), goal.level(self.uncoded_without, metric)

    def row(self, scopes: Scopes) -> dict[str, Any]:
        points = self.scope.points
        names = {name: points.keys[name].iloc[0] for name in ("gold", "scoring")}
        return {
            **{name: self.key[name] for name in _KEY if name in self.key},
            **names,
            "metric": points.metric,
            "bits": scopes.basis.charged,
            "uncoded": self.uncoded,
            "subjects": len(points.subjects),
            "clips": len(points.clips),
            "chosen_on": self.chosen_on,
        }


def usual_anchor(scopes: Scopes) -> dict[str, str]:
    """The first codec by name where there are several: what the others are held against; else nothing."""
    codecs = sorted({str(codec) for scope in scopes.coded for codec in scope.points.keys["codec"].unique()})
    return {"codec": codecs[0]} if len(codecs) > 1 else {}


def at_targets(
    scopes: Scopes, goals: Sequence[Goal], anchor: str | Mapping[str, str] | None = None
) -> pd.DataFrame:
    """The bits that each curve needs to reach each goal, and what that is over the anchor's.

    Parameters
    ----------
    scopes : Scopes
    goals : sequence of Goal
    anchor : str or mapping, optional
        What the other side of each comparison fixes, as `rdbench.curves.deltas.parse_side` takes it; the rest it takes
        from the curve. By default `usual_anchor`; empty for no comparison.

    Returns
    -------
    DataFrame
        With `TARGET_COLUMNS`; a row for each curve (factors, and "best", the envelope) and goal.

    Raises
    ------
    InputError
        If no curve has what the anchor fixes.
    NotComparableError
        If nothing is coded.
    """
    fixed = _anchor(scopes, anchor)
    rows = []
    for curve, other in _with_anchors(scopes, fixed):
        bd = _bd(other, curve)
        for goal in goals:
            found = _needed(curve, goal)
            row = curve.row(scopes) | {
                "goal": str(goal),
                "level": curve.level(goal)[0],
                "anchor": _called(fixed, other),
            }
            row |= {
                "kbps": math.exp(found.value),
                **{f"kbps_{end}": math.exp(getattr(found, end)) for end in ("low", "high", "least", "most")},
                "reason": found.reason,
                "interval_reason": found.interval_reason,
            }
            if other is not None:
                row |= _change(ratio(_needed(other, goal), found)) | bd
            rows.append(row)
    return pd.DataFrame(rows, columns=list(TARGET_COLUMNS))


def _needed(curve: _Seen, goal: Goal) -> Answer:
    level, levels = curve.level(goal)
    if not np.isfinite(level):
        uncoded = curve.uncoded
        why = (
            "there are no uncoded pictures at factor 1 to take a share of"
            if np.isnan(uncoded)
            else f"the uncoded accuracy is {uncoded:.3f}, of which a share means nothing"
        )
        return Answer(np.nan, reason=why, interval_reason=why)
    return rate_at(curve.side, level, levels)


def at_rates(
    scopes: Scopes, rates: Sequence[float], anchor: str | Mapping[str, str] | None = None
) -> pd.DataFrame:
    """The accuracy that each curve has at some rates, its gain over the anchor there, and what that saves.

    Parameters
    ----------
    scopes : Scopes
    rates : sequence of float
        In kbit/s, above 0.
    anchor : str or mapping, optional
        As in `at_targets`.

    Returns
    -------
    DataFrame
        With `RATE_COLUMNS`.

    Raises
    ------
    InputError, NotComparableError
        As `at_targets`; also for a rate that is not above 0.
    """
    if any(not (math.isfinite(rate) and rate > 0) for rate in rates):
        raise InputError("A rate to have an accuracy at is finite and above 0 kbit/s.")
    fixed = _anchor(scopes, anchor)
    rows = []
    for curve, other in _with_anchors(scopes, fixed):
        bd = _bd(other, curve)
        scale = SCALE_OF[curve.scope.points.metric]
        for rate in rates:
            found = accuracy_at(curve.side, math.log(rate), scale=scale)
            row = curve.row(scopes) | {"kbps": float(rate), "anchor": _called(fixed, other)}
            row |= {"value": found.value, "low": found.low, "high": found.high}
            row |= {"reason": found.reason, "interval_reason": found.interval_reason}
            row["kept"] = found.value / curve.uncoded if curve.uncoded > 0 else np.nan
            if other is not None:
                theirs = accuracy_at(other.side, math.log(rate), scale=scale)
                gain = difference(theirs, found)
                row |= {"gain": gain.value, "gain_low": gain.low, "gain_high": gain.high}
                row |= {"gain_reason": gain.reason or gain.interval_reason}
                row |= _change(_same_accuracy(theirs, curve, rate)) | bd
            rows.append(row)
    return pd.DataFrame(rows, columns=list(RATE_COLUMNS))


def _same_accuracy(theirs: Answer, curve: _Seen, rate: float) -> Answer:
    """What the accuracy of the anchor at this rate costs a curve, as a log ratio to the rate."""
    if np.isnan(theirs.value):
        why = f"anchor: {theirs.reason}"
        return Answer(np.nan, reason=why, interval_reason=why)
    fixed = Answer(math.log(rate), replicates=np.full(len(theirs.replicates), math.log(rate)))
    return ratio(fixed, rate_at(curve.side, theirs.value, theirs.replicates))


def _change(answer: Answer) -> dict[str, Any]:
    name = "rate_difference"
    return {
        name: float(percent(answer.value)),
        **{f"{name}_{end}": float(percent(getattr(answer, end))) for end in ("low", "high", "least", "most")},
        f"{name}_reason": answer.reason,
        f"{name}_interval_reason": answer.interval_reason,
    }


def _bd(anchor: _Seen | None, test: _Seen) -> dict[str, Any]:
    """BD-rate of the same pair, or why there is none."""
    if anchor is None:
        return {}
    delta = bd_rate(anchor.side, test.side, leave_out=False)
    return {"bd_rate": float(percent(delta.value)), "bd_rate_reason": delta.reason}


def _called(fixed: Mapping[str, str], other: _Seen | None) -> str:
    return ", ".join(f"{key} {value}" for key, value in fixed.items()) if other is not None else ""


def _anchor(scopes: Scopes, anchor: str | Mapping[str, str] | None) -> dict[str, str]:
    if not scopes.arrays.parts(uncoded=False):
        raise NotComparableError(f"The run has nothing coded that has {scopes.basis.wanted}.")
    if anchor is None:
        return usual_anchor(scopes)
    fixed = dict(parse_side(anchor) if isinstance(anchor, str) and anchor else anchor or {})
    for key, value in fixed.items():
        have = {str(one) for scope in scopes.coded for one in scope.points.keys[key].unique()}
        if value not in have and (key, value) != ("factor", "best"):
            raise InputError(
                f"The run has no {key} {value!r} for the anchor; it has {', '.join(sorted(have))}."
            )
    return fixed


def _with_anchors(scopes: Scopes, fixed: Mapping[str, str]) -> Iterator[tuple[_Seen, _Seen | None]]:
    """Every curve, and the one that it is held against: with all its keys but those that the anchor fixes."""
    for scope, bare in _scopes(scopes):
        curves = {
            tuple(seen.key[name] for name in KEYS): seen
            for key, side in scope.all()
            for seen in (_seen(scope, bare, key, side),)
        }
        for name, curve in curves.items():
            wanted = tuple(fixed.get(part, curve.key[part]) for part in KEYS)
            yield curve, curves.get(wanted) if fixed and wanted != name else None


def _scopes(scopes: Scopes) -> Iterator[tuple[Scope, Points | None]]:
    """Each scope with the points that hold its uncoded pictures, over one and the same clips."""
    try:
        whole = scopes.arrays.parts()
    except NotComparableError:
        whole = []
    for scope in scopes.coded:
        points = scope.points
        names = _names(points)
        bare = next((one for one in whole if _names(one) == names), None)
        if bare is not None and bare.clips != points.clips:
            # A clip that lacks an uncoded value takes no part in a comparison with uncoded pictures.
            scope = Scope(bare, lambda: scopes.chooser)
        yield scope, bare


def _names(points: Points) -> tuple[str, ...]:
    return tuple(str(points.keys[name].iloc[0]) for name in ("target", "gold", "scoring"))


def _seen(scope: Scope, bare: Points | None, key: Mapping[str, object], side: Side) -> _Seen:
    named = {name: str(value) for name, value in key.items()}
    chosen_on = scope.curve(named).chosen_on
    value, without = np.nan, np.full(len(side.values), np.nan)
    if bare is not None:
        keys = bare.keys
        here = (keys["codec"] == "none") & (keys["factor"].astype(str) == "1")
        for name in ("backend", "region"):
            here &= keys[name].astype(str) == named[name]
        rows = np.flatnonzero(here.to_numpy(dtype=bool))
        if len(rows):
            stats, centre = bare.stats[:, rows[:1]], bare.centre[rows[:1]]
            value = float(metric_of_sums(stats.sum(axis=0), centre, bare.metric)[0])
            without = metric_of_sums(delete_one(stats), centre, bare.metric)[:, 0]
    return _Seen(scope, named, side, chosen_on, value, without)
