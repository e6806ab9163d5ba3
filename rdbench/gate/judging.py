"""Verdicts by inference: each curve's loss against its tolerance, by intervals that hold for all curves at once.

A curve is regressed where even the lower end is above the tolerance; improved where even the upper end is below minus
the tolerance and no other measure may have got worse than its own; same where the interval lies within; not worse where
it excludes losses above the tolerance, but not gains; else inconclusive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import nctdtr, nctdtrinc, stdtr, stdtrit

from rdbench.curves.arrays import codes
from rdbench.curves.points import Points
from rdbench.curves.sides import side_of
from rdbench.errors import NotComparableError
from rdbench.gate.cells import Cells, both_sides
from rdbench.gate.exact import Charged, named_rows
from rdbench.gate.settings import ACCURACY, RATE, TARGET, Settings
from rdbench.gate.targeted import at_target, bare_curves
from rdbench.stats.bd import Delta, Side, bd_accuracy, bd_rate, percent
from rdbench.stats.components import over_subjects
from rdbench.stats.intervals import LEVEL, MIN_SUBJECTS
from rdbench.stats.metrics import KINDS, higher_is_better
from rdbench.tables.schema import CURVE, SCOPE

__all__ = ["POWER", "Judged", "judge", "judged_rows"]

POWER = 0.8
"""The detectable loss is called regressed this often, and a gate must pass an unchanged build as often."""

_COLUMN = {RATE: "bd_rate", ACCURACY: "bd_accuracy", TARGET: "target_rate"}


@dataclass
class Judged:
    """A curve's loss in one measure."""

    curve: int
    measure: str
    loss: Delta
    sign: float  # turns the delta into a loss
    subjects: tuple[str, ...]
    low: float = np.nan
    high: float = np.nan
    primary: bool = True
    reach: float = np.nan  # how far above the tolerance a loss is found 8 times in 10
    critical: float = np.nan
    error: float = np.nan
    detectable: float = np.nan
    passes: float = np.nan  # how often an unchanged build is shown to be no worse
    verdict: str = "inconclusive"
    no_worse: bool = False  # the interval excludes losses above the tolerance
    reason: str = ""


def judged_rows(
    cells: Cells, charged: Charged, asked: Settings
) -> tuple[list[dict[str, object]], list[str], list[str]]:
    """A row of `rows` of `rdbench.gate.check.Verdict` for each curve, judged by intervals.

    Parameters
    ----------
    cells : Cells
    charged : Charged
        Of the same cells.
    asked : Settings

    Returns
    -------
    rows : list of dict
    notes : list of str
        What losses would be found.
    left_out : list of str
        Clips and points that take no part, each with its reason.
    """
    tolerance = asked.tolerance()
    rows, sizes = named_rows(cells, charged), charged.sizes(cells)
    left_out = list(cells.left_out)
    judged: list[Judged] = []
    families: dict[tuple[str, ...], list[int]] = {}
    scopes = cells.curves[list(SCOPE)].itertuples(index=False, name=None)
    for i, (row, same, scope) in enumerate(zip(rows, cells.same(), scopes, strict=True)):
        kind = cells.kind[i]
        own = asked.metric or KINDS.get(kind, ("",))[0]
        row["metric"] = own or None
        if same:
            row |= sizes[i] | _unchanged(tolerance, row["codec"] != "none")
        elif not cells.reason[i] and own not in KINDS.get(kind, ()):
            row |= _no_value(own)
        elif not cells.reason[i]:
            families.setdefault((own, *scope), []).append(i)
    for (own, *_), members in families.items():
        try:
            bare = bare_curves(cells, members) if tolerance[TARGET] is not None else []
            parts = both_sides(cells, sorted({*members, *bare}), asked.basis(own))
        except NotComparableError as error:
            for i in members:
                rows[i] |= {"verdict": "not comparable", "reason": str(error)}
            continue
        for points in parts:
            clips = points.left_out[points.left_out["kind"] == "clip"]
            left_out += list(clips["kind"] + " " + clips["name"] + " " + clips["reason"])
            judged += _deltas(points, cells, members, rows, asked)
    primary = asked.is_primary(cells.curves)
    for one in judged:
        one.primary = bool(primary[one.curve])
    _intervals(judged, asked.level)
    _compare(judged, tolerance)
    weak = _underpowered(judged)
    of_curve: dict[int, list[Judged]] = {}
    for one in judged:
        of_curve.setdefault(one.curve, []).append(one)
    for i in (i for members in families.values() for i in members):
        if "verdict" not in rows[i]:
            _settle(rows[i], of_curve.get(i, []))
        rows[i]["underpowered"] = i in weak
        rows[i]["unchanged_passes"] = min((one.passes for one in of_curve.get(i, [])), default=np.nan)
    return rows, _power_notes(judged, tolerance), sorted(set(left_out))


def _no_value(metric: str) -> dict[str, object]:
    reason = f"neither side has a {f'value of {metric}' if metric else 'score'}, so it does not decide"
    return {"verdict": "not comparable", "reason": reason, "decides": False}


def _unchanged(tolerance: dict[str, float | None], coded: bool) -> dict[str, object]:
    row: dict[str, object] = {"verdict": "same", "reason": "identical", "unchanged_passes": 1.0}
    row |= {"largest_value_change": 0.0, "warning": ""}
    for measure, name in _COLUMN.items():
        if tolerance[measure] is not None and (coded or measure == ACCURACY):
            row |= {f"{name}{part}": 0.0 for part in ("", "_low", "_high", "_detectable")}
    return row


def _deltas(
    points: Points,
    cells: Cells,
    members: list[int],
    rows: list[dict[str, object]],
    asked: Settings,
) -> list[Judged]:
    metric, method, tolerance = points.metric, asked.method, asked.tolerance()
    keys = points.keys.assign(side=points.keys["backend"].str[0], backend=points.keys["backend"].str[1:])
    label, names = codes(keys, ("side", *CURVE))
    at = {
        tuple(name): np.flatnonzero(label == i)
        for i, name in enumerate(names.itertuples(index=False, name=None))
    }
    out = []
    curves = cells.curves.iloc[members].itertuples(index=False, name=None)
    for i, name in zip(members, curves, strict=True):
        before, after = at.get(("A", *name)), at.get(("B", *name))
        if before is None or after is None:
            reason = f"no point has a value of {metric} on both sides"
            rows[i] |= {"verdict": "not comparable", "reason": reason}
            continue
        anchor, test = side_of(points, before), side_of(points, after)
        if not (np.isfinite(anchor.value).any() or np.isfinite(test.value).any()):
            rows[i] |= _no_value(metric)
            continue
        rows[i] |= {
            "points": len(after),
            "subjects": len(points.subjects),
            "clips": len(points.clips),
            "largest_value_change": _largest_change(keys, before, after, anchor, test),
        }
        uncoded = name[CURVE.index("codec")] == "none"
        subjects = tuple(points.subjects)
        warnings = []
        if tolerance[RATE] is not None and not uncoded:
            delta = bd_rate(anchor, test, method=method, leave_out=False)
            warnings.append(delta.warning)
            out.append(Judged(i, RATE, delta, 1.0, subjects))
            rows[i]["bd_rate"] = float(percent(delta.value))
        if tolerance[ACCURACY] is not None:
            delta = (
                _difference(anchor, test, metric)
                if uncoded
                else bd_accuracy(anchor, test, method=method, leave_out=False)
            )
            warnings.append(delta.warning)
            out.append(Judged(i, ACCURACY, delta, -1.0, subjects))
            rows[i]["bd_accuracy"] = delta.value
        if tolerance[TARGET] is not None and not uncoded:
            delta = at_target(asked.keep, points, at, ("A", *name), anchor, test)
            out.append(Judged(i, TARGET, delta, 1.0, subjects))
            rows[i]["target_rate"] = float(percent(delta.value))
        rows[i]["warning"] = "; ".join(dict.fromkeys(one for one in warnings if one))
    return out


def judge(
    rate: tuple[NDArray[np.float64], NDArray[np.float64]],
    accuracy: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    *,
    tolerances: Sequence[tuple[float, float | None]],
    level: float = LEVEL,
    draws: int = 4000,
) -> list[list[str]]:
    """The verdicts of a family of curves over the same subjects, as `check` gives them.

    Parameters
    ----------
    rate : (curves,) and (curves, subjects) float64
        Log ratios of rates, and without each subject in turn, as `rdbench.stats.bd.many` gives them.
    accuracy : the same, optional
        Differences of accuracy; without them rates alone are judged.
    tolerances : sequence of (float, float or None)
        Pairs of `max_bd_rate` and `max_accuracy_drop`; the family is judged under each.
    level : float
    draws : int
        As in `rdbench.stats.intervals.simultaneous`.

    Returns
    -------
    list of list of str
        For each pair of tolerances and each curve "regressed", "improved", "same" or "inconclusive".
    """
    subjects = tuple(map(str, range(rate[1].shape[1])))
    judged: list[Judged] = []
    for measure, found, sign in ((RATE, rate, 1.0), (ACCURACY, accuracy, -1.0)):
        for i in range(len(rate[0]) if found is not None else 0):
            loss = Delta(float(found[0][i]), replicates=found[1][i])  # type: ignore[index]
            judged.append(Judged(i, measure, loss, sign, subjects))
    _intervals(judged, level, draws)
    out = []
    for limit, drop in tolerances:
        fresh = [replace(one) for one in judged]
        _compare(fresh, {RATE: float(np.log1p(limit)), ACCURACY: drop})
        rows: list[dict[str, object]] = [{} for _ in rate[0]]
        for i, row in enumerate(rows):
            _settle(row, [one for one in fresh if one.curve == i])
        out.append([str(row["verdict"]) for row in rows])
    return out


def _difference(anchor: Side, test: Side, metric: str) -> Delta:
    """Without a codec there is one point, and its difference."""
    sign = 1.0 if higher_is_better(metric) else -1.0
    value = sign * float(test.value[0] - anchor.value[0])
    if not np.isfinite(value):
        return Delta(np.nan, reason="there is no value", interval_reason="there is no value")
    return Delta(value, replicates=sign * (test.values[:, 0] - anchor.values[:, 0]))


def _largest_change(
    keys: pd.DataFrame,
    before: NDArray[np.integer],
    after: NDArray[np.integer],
    anchor: Side,
    test: Side,
) -> float:
    old = dict(zip(keys["rate"].iloc[before], anchor.value, strict=True))
    new = dict(zip(keys["rate"].iloc[after], test.value, strict=True))
    change = [abs(new[rate] - old[rate]) for rate in new if rate in old]
    return float(np.nanmax(change)) if change and not np.isnan(change).all() else np.nan


def _intervals(judged: list[Judged], level: float, draws: int = 4000) -> None:
    families: dict[bool, list[Judged]] = {}
    for one in judged:
        if len(one.loss.replicates) == len(one.subjects) and np.isfinite(one.loss.value):
            # A curve that does not move at all needs no room in the family.
            if np.any(one.loss.replicates != one.loss.value):
                families.setdefault(one.primary, []).append(one)
            elif len(one.subjects) >= MIN_SUBJECTS:
                one.low = one.high = one.sign * one.loss.value
                one.reach = one.critical = one.error = 0.0
    # Primary curves share the allowance for error with no others.
    for family in families.values():
        values = np.array([one.sign * one.loss.value for one in family])
        replicates = [one.sign * one.loss.replicates for one in family]
        found = over_subjects(values, replicates, [one.subjects for one in family], level=level, draws=draws)
        for one, own in zip(family, found, strict=True):
            one.low, one.high, one.error, one.reason = own.low, own.high, own.error, own.reason
            one.critical = (one.high - one.low) / 2 / one.error if one.error > 0 else 0.0
            freedom = max(len(one.subjects) - 1, 1)
            alone = not any(other.curve == one.curve and other is not one for other in family)
            critical = one.critical if alone else _where_one_is_lost(one.critical, freedom, level)
            # Of a noncentral t: the lower end is above the tolerance where the estimate exceeds it by the critical value.
            one.reach = float(nctdtrinc(freedom, 1 - POWER, critical)) * one.error


def _where_one_is_lost(critical: float, freedom: int, level: float) -> float:
    """The critical value of a family in one of whose curves something is lost.

    Rate and accuracy of a curve go together, and count once, as long as nothing is lost; a loss parts them. A family counts
    as many as Bonferroni's correction would have its critical value for.
    """
    allowance = 1 - level
    members = max(1.0, allowance / (2 * float(stdtr(freedom, -critical))))
    return float(stdtrit(freedom, 1 - allowance / (2 * (members + 1))))


def _underpowered(judged: list[Judged]) -> set[int]:
    """Curves that an unchanged build would often not be shown to be no worse in."""
    return {one.curve for one in judged if one.passes < POWER}


def _compare(judged: list[Judged], tolerance: dict[str, float | None]) -> None:
    for one in judged:
        limit = tolerance[one.measure]
        assert limit is not None
        one.no_worse = bool(one.high <= limit)
        one.detectable = limit + one.reach
        if one.error == 0:
            one.passes = 1.0
        elif np.isfinite(one.error):
            # The upper end lies within the tolerance, its distance being a noncentral t as well.
            one.passes = float(1 - nctdtr(max(len(one.subjects) - 1, 1), limit / one.error, one.critical))
        if np.isnan(one.low):
            one.reason = one.loss.reason or one.reason or one.loss.interval_reason
        elif one.low > limit:
            one.verdict = "regressed"
        elif one.high < -limit:
            one.verdict = "improved"
        elif one.low >= -limit and one.high <= limit:
            one.verdict = "same"
        else:
            one.reason = "the interval reaches beyond the tolerance"


def _settle(row: dict[str, object], judged: list[Judged]) -> None:
    for one in judged:
        name = _COLUMN[one.measure]
        ends = sorted((one.sign * one.low, one.sign * one.high))
        scale = float if one.measure == ACCURACY else percent
        row |= {
            f"{name}_low": float(scale(ends[0])),
            f"{name}_high": float(scale(ends[1])),
            f"{name}_detectable": float(scale(one.detectable)),
        }
    verdicts = {one.measure: one.verdict for one in judged}
    found = next((name for name in ("regressed", "improved") if name in verdicts.values()), None)
    unsure = [one.measure for one in judged if not one.no_worse]
    if found == "improved" and unsure:
        better = " and ".join(measure for measure, verdict in verdicts.items() if verdict == found)
        reason = f"{better} improved, but {' and '.join(unsure)} may have got worse than the tolerance"
        row |= {"verdict": "inconclusive", "reason": reason}
    elif found:
        which = [measure for measure, verdict in verdicts.items() if verdict == found]
        row |= {"verdict": found, "reason": " and ".join(which)}
    elif judged and set(verdicts.values()) == {"same"}:
        row |= {"verdict": "same", "reason": ""}
    elif judged and not unsure:
        row |= {"verdict": "not worse", "reason": "losses above the tolerance are excluded, gains are not"}
    elif judged:
        texts = [f"{one.measure}: {one.reason}" for one in judged if one.verdict == "inconclusive"]
        row |= {"verdict": "inconclusive", "reason": "; ".join(texts)}
    else:
        reason = "it was not coded, and accuracy is not judged, so it does not decide"
        row |= {"verdict": "not comparable", "reason": reason, "decides": False}


def _power_notes(judged: list[Judged], tolerance: dict[str, float | None]) -> list[str]:
    notes = []
    for measure in _COLUMN:
        some = [
            one.detectable
            for one in judged
            if one.measure == measure and one.primary and np.isfinite(one.detectable) and one.error > 0
        ]
        passes = [
            one.passes
            for one in judged
            if one.measure == measure and one.primary and one.error > 0 and np.isfinite(one.passes)
        ]
        limit = tolerance[measure]
        if not some or not passes or limit is None:
            continue
        scale, unit = (float, "") if measure == ACCURACY else (percent, " %")
        name = "BD-rate" if measure == RATE else measure
        text = (
            f"The loss of {name} that is called regressed {round(10 * POWER)} times in 10: "
            f"{scale(min(some)):.3g} to {scale(max(some)):.3g}{unit}; the tolerance is {scale(limit):.3g}{unit}. "
            f"An unchanged build is shown to be no worse in {min(passes):.0%} to {max(passes):.0%} of cases."
        )
        if min(passes) < POWER:
            text += (
                f" Where that is under {POWER:.0%} the gate cannot tell, whatever its verdict: it takes more "
                "subjects, fewer primary curves or a wider tolerance."
            )
        notes.append(text)
    return notes
