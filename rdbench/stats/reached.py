"""Where a curve reaches a level of accuracy, and what it has at a rate, with intervals over subjects.

Curves are those of Bjøntegaard deltas: a rate comes from the isotonic fit, each flat block kept as its lowest-rate
point, interpolated over accuracy in log rate; an accuracy comes from the points themselves. Nothing is extrapolated: a
curve that never reaches the level says up to which rate it did not, and one that is above it everywhere says from which
rate on it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import stdtrit

from rdbench.stats.bd import Side
from rdbench.stats.common_range import first_of_block
from rdbench.stats.interpolation import DEFAULT, evaluate, isotonic, slopes
from rdbench.stats.intervals import LEVEL, MIN_SUBJECTS, jackknife, jackknife_error
from rdbench.typing import Array

__all__ = ["Answer", "accuracy_at", "difference", "rate_at", "ratio"]

NOT_REACHED = "not reached"
BELOW = "reached below the lowest rate"
_LOWER = 1.15
"""By how much an interval of a rate is longer downwards. A curve is flatter towards its top, so that a rate by chance too high
comes with a jackknife error too small for the way back: with 1, the truth lies below an interval of 95 % up to 6 % of the
time, and above it 1 % (docs/simulation.md)."""
_BEYOND = float(np.log(2))
"""Where a curve has no rate without one subject, that end of the interval is open; for the other end the missing rate is
taken to lie an octave beyond the curve, since at the curve's end it would make the interval too short."""


@dataclass(frozen=True)
class Answer:
    """One number with its interval, or why there is none and between which ends it must lie.

    Parameters
    ----------
    value : float
        NaN with a `reason` where there is none.
    low, high : float
        95 % interval; infinite at an end at which some subject decides whether there is a value at all; NaN with
        `interval_reason` where there is none.
    least, most : float
        Where there is no value, all that is known: it is above `least`, or below `most`.
    replicates : (subjects,) float64
        Without each subject in turn, on the scale of the interval; infinite where the curve does not reach the level
        (+) or is above it everywhere (-).
    reason, interval_reason : str
    """

    value: float
    low: float = np.nan
    high: float = np.nan
    least: float = np.nan
    most: float = np.nan
    replicates: Array = field(default_factory=lambda: np.zeros(0))
    reason: str = ""
    interval_reason: str = ""


def rate_at(
    side: Side,
    level: float,
    levels: Array,
    *,
    larger: bool = False,
    confidence: float = LEVEL,
    min_subjects: int = MIN_SUBJECTS,
) -> Answer:
    """The lowest natural log of the rate at which a curve has an accuracy.

    Parameters
    ----------
    side : Side
    level : float
        In units of the metric.
    levels : (subjects,) float64
        The same without each subject: a share of an accuracy that was itself measured varies with the subjects.
    larger : bool
        Whether points coded larger than asked take part.
    confidence : float
    min_subjects : int

    Returns
    -------
    Answer
        Of the natural log of the rate, as are its ends.
    """
    curve = side.ready(larger)
    sign = 1.0 if side.rising else -1.0
    if not np.isfinite(level):
        return _nothing("there is no level to reach")
    if len(curve.value) < 2:
        return _nothing(f"the curve has {len(curve.value)} distinct points; 2 are needed")
    value = _crossing(curve.log_rate, curve.value, sign * level)
    replicates = np.array(
        [_crossing(*one) for one in zip(curve.log_rates, curve.values, sign * levels, strict=True)]
    )
    first, last = float(curve.log_rate[0]), float(curve.log_rate[-1])
    if not np.isfinite(value):
        beyond = {"least": last, "reason": NOT_REACHED} if value > 0 else {"most": first, "reason": BELOW}
        return Answer(np.nan, replicates=replicates, interval_reason=str(beyond["reason"]), **beyond)  # type: ignore[arg-type]
    held = np.where(np.isinf(replicates), np.clip(replicates, first - _BEYOND, last + _BEYOND), replicates)
    answer = _bounded(value, replicates, held, confidence, min_subjects)
    return replace(answer, low=value - _LOWER * (value - answer.low))


def accuracy_at(
    side: Side,
    log_rate: float,
    *,
    larger: bool = False,
    scale: str = "identity",
    confidence: float = LEVEL,
    min_subjects: int = MIN_SUBJECTS,
) -> Answer:
    """The accuracy that a curve has at a rate, in units of the metric.

    Parameters
    ----------
    side : Side
    log_rate : float
        Natural log of kbit/s.
    larger : bool
    scale : str
        A key of `rdbench.stats.intervals.SCALES`, on which the interval is made; replicates are in units of the metric.
    confidence : float
    min_subjects : int
    """
    curve = side.ready(larger)
    if len(curve.value) < 2:
        return _nothing(f"the curve has {len(curve.value)} distinct points; 2 are needed")
    ends = np.exp(curve.log_rate[[0, -1]])
    if not curve.log_rate[0] <= log_rate <= curve.log_rate[-1]:
        return _nothing(f"the curve covers {ends[0]:.3g} to {ends[1]:.3g} kbit/s")
    sign = 1.0 if side.rising else -1.0
    value = sign * _height(curve.log_rate, curve.value, log_rate)
    # Without a subject the ends of the curve move a little; the nearest rate that it has stands for the rate.
    replicates = sign * np.array(
        [
            _height(x, y, float(np.clip(log_rate, x.min(), x.max())))
            for x, y in zip(curve.log_rates, curve.values, strict=True)
        ]
    )
    interval = jackknife(value, replicates, scale=scale, level=confidence, min_subjects=min_subjects)
    return Answer(
        value,
        float(interval.low),
        float(interval.high),
        replicates=replicates,
        interval_reason=str(interval.reason[()]),
    )


def ratio(
    anchor: Answer, test: Answer, *, confidence: float = LEVEL, min_subjects: int = MIN_SUBJECTS
) -> Answer:
    """The log ratio of two rates at one level, test over anchor, both without the same subjects in turn.

    Where one side alone has a rate, the answer still says what the ratio is below or above.
    """
    if np.isfinite(anchor.value) and np.isfinite(test.value):
        with np.errstate(invalid="ignore"):
            replicates = test.replicates - anchor.replicates
        lost = np.isnan(replicates)
        clipped = np.where(np.isfinite(replicates), replicates, np.nan)
        spread = np.nanmax(np.abs(clipped), initial=abs(test.value - anchor.value))
        held = np.clip(np.where(lost, 0.0, replicates), -spread, spread)
        answer = _bounded(test.value - anchor.value, replicates, held, confidence, min_subjects)
        if lost.any() and not answer.interval_reason:
            return Answer(
                answer.value,
                -np.inf,
                np.inf,
                replicates=replicates,
                interval_reason="without one subject neither side has a rate",
            )
        return answer
    why = "; ".join(
        f"{name}: {side.reason}" for name, side in (("anchor", anchor), ("test", test)) if side.reason
    )
    low, high = np.nan, np.nan
    if np.isfinite(test.value):
        # An anchor that does not reach the level needs more than its highest rate.
        high, low = test.value - anchor.least, test.value - anchor.most
    elif np.isfinite(anchor.value):
        low, high = test.least - anchor.value, test.most - anchor.value
    return Answer(np.nan, least=low, most=high, reason=why, interval_reason=why)


def difference(
    anchor: Answer, test: Answer, *, confidence: float = LEVEL, min_subjects: int = MIN_SUBJECTS
) -> Answer:
    """The accuracy of the test minus that of the anchor at one rate, paired."""
    if not (np.isfinite(anchor.value) and np.isfinite(test.value)):
        why = "; ".join(
            f"{name}: {side.reason}" for name, side in (("anchor", anchor), ("test", test)) if side.reason
        )
        return _nothing(why)
    replicates = test.replicates - anchor.replicates
    interval = jackknife(test.value - anchor.value, replicates, level=confidence, min_subjects=min_subjects)
    return Answer(
        test.value - anchor.value,
        float(interval.low),
        float(interval.high),
        replicates=replicates,
        interval_reason=str(interval.reason[()]),
    )


def _nothing(reason: str) -> Answer:
    return Answer(np.nan, reason=reason, interval_reason=reason)


def _bounded(value: float, replicates: Array, held: Array, confidence: float, min_subjects: int) -> Answer:
    """A jackknife interval whose ends are open where replicates have no value; `held` stands for these."""
    n = len(replicates)
    if n < max(min_subjects, 2) or np.isnan(held).any():
        interval = jackknife(value, held, level=confidence, min_subjects=min_subjects)
        return Answer(value, replicates=replicates, interval_reason=str(interval.reason[()]))
    half = float(stdtrit(n - 1, (1 + confidence) / 2) * jackknife_error(held))
    above, below = int(np.isposinf(replicates).sum()), int(np.isneginf(replicates).sum())
    reason = ""
    if above or below:
        reason = f"unbounded: {above + below} of {n} times there is no rate without one subject"
    low = -np.inf if below else value - half
    high = np.inf if above else value + half
    return Answer(value, low, high, replicates=replicates, interval_reason=reason)


def _knots(log_rate: Array, value: Array) -> tuple[Array, Array]:
    order = np.argsort(log_rate, kind="stable")
    level = isotonic(value[order])
    keep = first_of_block(level)
    return level[keep], log_rate[order][keep]


def _crossing(log_rate: Array, value: Array, level: float) -> float:
    """Log rate at which the rising fit has the level: +inf where it never does, -inf where it always has more."""
    if not (np.isfinite(value).all() and np.isfinite(log_rate).all() and np.isfinite(level)):
        return float(np.nan)
    levels, rates = _knots(log_rate, value)
    if level > levels[-1]:
        return float(np.inf)
    if level < levels[0]:
        return float(-np.inf)
    if len(levels) == 1:
        return float(rates[0])
    return float(evaluate(levels, rates, slopes(levels, rates, DEFAULT, rising=True), np.array([level]))[0])


def _height(log_rate: Array, value: Array, at: float) -> float:
    if not (np.isfinite(value).all() and np.isfinite(log_rate).all()):
        return float(np.nan)
    order = np.argsort(log_rate, kind="stable")
    x = log_rate[order] + 1e-12 * np.arange(len(order))
    return float(
        evaluate(x, value[order], slopes(x, value[order], DEFAULT), np.array([np.clip(at, x[0], x[-1])]))[0]
    )
