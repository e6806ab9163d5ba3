"""Bjøntegaard deltas between two curves, with intervals over subjects.

BD-accuracy is the mean difference of accuracy at equal rate, over the common range of log rate. BD-rate is the
mean log ratio of rates at equal accuracy, over the common range of accuracy. Recognition curves dip, saturate
and tie where PSNR never does, so before BD-rate accuracy is made rising (isotonic least squares), each flat
block is kept as its lowest-rate point, and ends whose slope cannot be told from zero are cut off.

Sources: Bjøntegaard, VCEG-M33 (2001); Herglotz et al., arXiv 2202.12565 and 2304.12852 (akima, and relative
curve differences). Nothing is extrapolated; what cannot be computed is NaN, with its reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdbench.stats.common_range import (
    TIE,
    first_of_block,
    levels,
    mean_difference,
    mean_log_ratio,
    telling_ends,
)
from rdbench.stats.interpolation import DEFAULT, evaluate, isotonic, slopes
from rdbench.stats.intervals import LEVEL, MIN_SUBJECTS, Interval, jackknife, percentile
from rdbench.typing import Array

__all__ = [
    "MIN_POINTS",
    "Delta",
    "Side",
    "bd_accuracy",
    "bd_rate",
    "bootstrap_interval",
    "many",
    "percent",
    "relative_difference",
]


MIN_POINTS = 4
"""Distinct points a side."""
MIN_KNOTS = 3
"""Distinct levels of accuracy a side that BD-rate needs after the isotonic fit."""
LOW_OVERLAP = 0.5
"""Curves that share less than this of the smaller range get a warning."""


@dataclass(frozen=True)
class Side:
    """One curve of a comparison: its points, and what they become without each subject in turn.

    Parameters
    ----------
    log_rate, value : (points,) float64
        Natural log of kbit/s, and the metric.
    log_rates, values : (subjects, points) float64
        Delete-one-subject replicates; row i of both sides of a comparison leaves out the same subject.
    larger : (points,) bool
        Coded larger than asked.
    correlation : bool
        Whether 0 of the metric means nothing recognised (CCC, PCC): BD-rate is then cut at 0.
    rising : bool
        Whether more is better (not so for RMSE).
    """

    log_rate: Array
    value: Array
    log_rates: Array
    values: Array
    larger: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    correlation: bool = True
    rising: bool = True

    def ready(self, larger: bool = False) -> Side:
        """Sorted by rate, ties joined, without points that have no value or (by default) are larger."""
        use = np.isfinite(self.log_rate) & np.isfinite(self.value)
        if len(self.larger) and not larger:
            use &= ~self.larger
        order = np.flatnonzero(use)[np.argsort(self.log_rate[use], kind="stable")]
        rate = self.log_rate[order]
        group = np.cumsum(np.diff(rate, prepend=rate[:1]) > TIE)
        mean = np.zeros((len(order), int(group[-1]) + 1 if len(order) else 0))
        mean[np.arange(len(order)), group] = 1
        mean /= np.maximum(mean.sum(axis=0), 1)
        sign = 1.0 if self.rising else -1.0
        return replace(
            self,
            log_rate=rate @ mean,
            value=sign * self.value[order] @ mean,
            log_rates=self.log_rates[:, order] @ mean,
            values=sign * self.values[:, order] @ mean,
            larger=np.zeros(0, bool),
            rising=True,
        )


@dataclass(frozen=True)
class Delta:
    """One Bjøntegaard delta.

    Parameters
    ----------
    value : float
        BD-accuracy in units of the metric (more is better, also for RMSE, whose sign is turned), or BD-rate
        as a natural log ratio (see `percent`); NaN with `reason` where there is none.
    low, high, error : float
        Jackknife interval and standard error; NaN with `interval_reason` where there is none.
    replicates : (subjects,) float64
        Without each subject in turn.
    overlap : float
        Common range over the smaller of the two ranges.
    span : tuple of float
        The common range: kbit/s for BD-accuracy, the metric for BD-rate.
    knots : tuple of int
        Points that carry the anchor's and the test's interpolation.
    displacement : float
        The furthest that the isotonic fit moved a point, in units of the metric (BD-rate only).
    interpolation_error : float
        The largest change of `value` when one inner point of either curve is left out.
    reason, interval_reason, warning : str
    """

    value: float
    low: float = np.nan
    high: float = np.nan
    error: float = np.nan
    replicates: Array = field(default_factory=lambda: np.zeros(0))
    overlap: float = np.nan
    span: tuple[float, float] = (np.nan, np.nan)
    knots: tuple[int, int] = (0, 0)
    displacement: float = np.nan
    interpolation_error: float = np.nan
    reason: str = ""
    interval_reason: str = ""
    warning: str = ""


def percent(log_ratio: Any) -> Any:
    """A log ratio of rates as a difference in per cent; negative means that the test side saves bits."""
    return 100 * np.expm1(log_ratio)


def bd_accuracy(
    anchor: Side,
    test: Side,
    *,
    method: str = DEFAULT,
    larger: bool = False,
    level: float = LEVEL,
    min_subjects: int = MIN_SUBJECTS,
    leave_out: bool = True,
) -> Delta:
    """Mean difference of accuracy at equal rate, test minus anchor.

    Parameters
    ----------
    anchor, test : Side
    method : {"akima", "pchip", "cubic"}
    larger : bool
        Whether points coded larger than asked take part.
    level : float
    min_subjects : int
    leave_out : bool
        Whether points are left out in turn for `Delta.interpolation_error`.

    Returns
    -------
    Delta
    """
    a, b = anchor.ready(larger), test.ready(larger)
    knots = (len(a.value), len(b.value))
    for name, count in zip(("anchor", "test"), knots, strict=True):
        if count < MIN_POINTS:
            return _none(f"the {name} has {count} distinct points; {MIN_POINTS} are needed", knots)
    value, overlap, span = mean_difference(a.log_rate, a.value, b.log_rate, b.value, method)
    if np.isnan(value):
        return _none("the curves share no range of rates", knots, overlap=float(overlap))
    replicates, _, _ = mean_difference(a.log_rates, a.values, b.log_rates, b.values, method)
    left = [mean_difference(*sides, method)[0] for sides in (_leave_points_out(a, b) if leave_out else ())]
    return _delta(value, replicates, overlap, np.exp(span), knots, level, min_subjects, left, np.nan)


def bd_rate(
    anchor: Side,
    test: Side,
    *,
    method: str = DEFAULT,
    larger: bool = False,
    level: float = LEVEL,
    min_subjects: int = MIN_SUBJECTS,
    cut: bool = True,
    judged: int | None = None,
    leave_out: bool = True,
) -> Delta:
    """Mean log ratio of rates at equal accuracy, test over anchor.

    Parameters
    ----------
    anchor, test : Side
    method : {"akima", "pchip", "cubic"}
    larger : bool
        Whether points coded larger than asked take part.
    level : float
    min_subjects : int
    cut : bool
        Cut off ends whose slope cannot be told from zero.
    judged : int, optional
        So many of the first replicates judge these slopes, where others follow that are not without a subject.
    leave_out : bool
        Whether points are left out in turn for `Delta.interpolation_error`.

    Returns
    -------
    Delta
        Of the natural log ratio; `percent` gives the usual number.
    """
    a, b = anchor.ready(larger), test.ready(larger)
    for name, side in (("anchor", a), ("test", b)):
        if len(side.value) < MIN_POINTS:
            reason = f"the {name} has {len(side.value)} distinct points; {MIN_POINTS} are needed"
            return _none(reason, (len(a.value), len(b.value)))
    moved = max(float(np.abs(isotonic(side.value) - side.value).max()) for side in (a, b))
    if cut:
        a, b = _cut(a, min_subjects, judged), _cut(b, min_subjects, judged)
    floor = 0.0 if anchor.correlation else -np.inf
    knots = (levels(a.value), levels(b.value))
    for name, count in zip(("anchor", "test"), knots, strict=True):
        if count < MIN_KNOTS:
            reason = (
                f"only {count} point{'s' * (count != 1)} of the {name} can be told to rise in accuracy, and BD-rate needs "
                f"{MIN_KNOTS}: more subjects, or rates further apart"
            )
            return _none(reason, knots, displacement=moved)
    value, overlap, span = mean_log_ratio(a.log_rate, a.value, b.log_rate, b.value, method, floor)
    if np.isnan(value):
        reason = "the curves share no range of accuracy" + (" above 0" if floor == 0 else "")
        return _none(reason, knots, displacement=moved, overlap=float(overlap))
    replicates, _, _ = mean_log_ratio(a.log_rates, a.values, b.log_rates, b.values, method, floor)
    left = [
        mean_log_ratio(*sides, method, floor)[0] for sides in (_leave_points_out(a, b) if leave_out else ())
    ]
    ends = span if anchor.rising else -span[::-1]
    return _delta(value, replicates, overlap, ends, knots, level, min_subjects, left, moved)


def bootstrap_interval(
    anchor: Side, test: Side, *, measure: str, method: str = DEFAULT, larger: bool = False
) -> Interval:
    """Percentile interval where the rows of `Side.values` are bootstrap replicates instead.

    Parameters
    ----------
    anchor, test : Side
    measure : {"accuracy", "rate"}
    method, larger
        As in `bd_rate`.

    Returns
    -------
    Interval
        A replicate without a common range counts at the end where it would fall: a test curve that lies
        wholly above saves bits without end.
    """
    a, b = anchor.ready(larger), test.ready(larger)
    if measure == "accuracy":
        replicates, _, _ = mean_difference(a.log_rates, a.values, b.log_rates, b.values, method)
        return percentile(replicates)
    floor = 0.0 if anchor.correlation else -np.inf
    replicates, _, _ = mean_log_ratio(a.log_rates, a.values, b.log_rates, b.values, method, floor)
    return percentile(replicates, missing_below=b.values.mean(axis=1) > a.values.mean(axis=1))


def relative_difference(
    anchor: Side, test: Side, *, method: str = DEFAULT, larger: bool = False, points: int = 101
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Where along the curves the two differ: rate of the test over that of the anchor, by accuracy.

    One number hides curves that cross (arXiv 2304.12852); this is what to plot beside it.

    Returns
    -------
    accuracy, difference : (points,) float64
        Evenly spaced over the common range, and the difference of rates in per cent; empty where the curves
        share no range.
    told : (points,) bool
        Where both curves can be told to rise, which is what BD-rate is made of: at a floor or at saturation rounding
        decides the rate.
    """
    a, b = anchor.ready(larger), test.ready(larger)
    floor = 0.0 if anchor.correlation else -np.inf
    nothing = np.zeros(0), np.zeros(0), np.zeros(0, bool)
    if min(levels(a.value), levels(b.value)) < 2:
        return nothing
    knots = []
    for side in (a, b):
        level = isotonic(side.value)
        keep = first_of_block(level)
        knots.append((level[keep], side.log_rate[keep]))
    low = max(knots[0][0][0], knots[1][0][0], floor)
    high = min(knots[0][0][-1], knots[1][0][-1])
    if high <= low:
        return nothing
    at = np.linspace(low, high, points)
    rate = [evaluate(x, y, slopes(x, y, method, rising=True), at) for x, y in knots]
    told = np.ones(points, bool)
    for side in (a, b):
        level = isotonic(_cut(side, MIN_SUBJECTS, None).value)
        told &= (at >= level[0]) & (at <= level[-1])
    return (at if anchor.rising else -at), percent(rate[1] - rate[0]), told


def _none(reason: str, knots: tuple[int, int], **known: float) -> Delta:
    return Delta(np.nan, knots=knots, reason=reason, interval_reason=reason, **known)  # type: ignore[arg-type]


def _delta(
    value: Array,
    replicates: Array,
    overlap: Array,
    span: Array,
    knots: tuple[int, int],
    level: float,
    min_subjects: int,
    left_out: list[Array],
    displacement: float,
) -> Delta:
    interval = jackknife(value, replicates, level=level, min_subjects=min_subjects)
    change = np.abs(np.concatenate([np.zeros(0), *left_out]) - float(value))
    warning = ""
    if overlap < LOW_OVERLAP:
        warning = f"the curves share only {100 * float(overlap):.0f} % of the smaller range"
    return Delta(
        float(value),
        float(interval.low),
        float(interval.high),
        float(interval.error),
        replicates,
        float(overlap),
        (float(span[0]), float(span[1])),
        knots,
        displacement,
        float(change.max()) if len(change) and np.isfinite(change).all() else np.nan,
        "",
        str(interval.reason[()]),
        warning,
    )


def _leave_points_out(a: Side, b: Side) -> list[tuple[Array, Array, Array, Array]]:
    """Both curves with each inner point of either left out, one batch a side."""
    out = []
    for side, other in ((a, b), (b, a)):
        k = len(side.value)
        if k < 3:
            continue
        keep = np.array([np.delete(np.arange(k), i) for i in range(1, k - 1)])
        less = (side.log_rate[keep], side.value[keep])
        shape = (len(keep), len(other.value))
        full = (np.broadcast_to(other.log_rate, shape), np.broadcast_to(other.value, shape))
        out.append((*less, *full) if side is a else (*full, *less))
    return out


def _cut(side: Side, min_subjects: int, judged: int | None) -> Side:
    first, last = telling_ends(
        side.log_rate[None], side.value[None], side.values[None, :judged], min_subjects
    )
    keep = slice(int(first[0]), int(last[0]) + 1)
    return replace(
        side,
        log_rate=side.log_rate[keep],
        value=side.value[keep],
        log_rates=side.log_rates[:, keep],
        values=side.values[:, keep],
    )


def many(
    anchor: Side, test: Side, *, measure: str, method: str = DEFAULT, min_subjects: int = MIN_SUBJECTS
) -> tuple[Array, Array]:
    """Deltas of many pairs of curves at once, and what they become without each subject in turn.

    The same numbers as `bd_accuracy` and `bd_rate`, without all that goes with them.

    Parameters
    ----------
    anchor, test : Side
        With one more axis in front, over the pairs; points in the order of rising rate, without ties.
    measure : {"accuracy", "rate"}
    method, min_subjects
        As in `bd_rate`.

    Returns
    -------
    value : (pairs,) float64
        NaN where there is none.
    replicates : (pairs, subjects) float64
    """
    pairs, subjects, _ = anchor.values.shape
    value, replicates = np.full(pairs, np.nan), np.full((pairs, subjects), np.nan)
    if min(anchor.value.shape[1], test.value.shape[1]) < MIN_POINTS:
        return value, replicates
    if measure == "accuracy":
        value = mean_difference(anchor.log_rate, anchor.value, test.log_rate, test.value, method)[0]
        sides = (anchor.log_rates, anchor.values, test.log_rates, test.values)
        return value, mean_difference(*sides, method)[0]
    floor = 0.0 if anchor.correlation else -np.inf
    ends = [end for s in (anchor, test) for end in telling_ends(s.log_rate, s.value, s.values, min_subjects)]
    patterns, group = np.unique(np.stack(ends, axis=1), axis=0, return_inverse=True)
    for i, (a0, a1, b0, b1) in enumerate(patterns):
        at = np.flatnonzero(group.ravel() == i)
        a, b = slice(a0, a1 + 1), slice(b0, b1 + 1)
        one = (anchor.log_rate[at, a], anchor.value[at, a], test.log_rate[at, b], test.value[at, b])
        knots = [first_of_block(isotonic(level)).sum(axis=1) for level in (one[1], one[3])]
        enough = np.minimum(*knots) >= MIN_KNOTS
        if not enough.any():
            continue
        xa, ya, xb, yb = (part[enough] for part in one)
        value[at[enough]] = mean_log_ratio(xa, ya, xb, yb, method, floor)[0]
        whole = (
            *(anchor.log_rates[at][..., a], anchor.values[at][..., a]),
            *(test.log_rates[at][..., b], test.values[at][..., b]),
        )
        xa, ya, xb, yb = (part[enough].reshape(-1, part.shape[-1]) for part in whole)
        replicates[at[enough]] = mean_log_ratio(xa, ya, xb, yb, method, floor)[0].reshape(-1, subjects)
    return value, replicates
