"""The challenge's scoring: annotation delay and post-processing, fitted apart from what is reported.

Raters lag behind the face by seconds, and a regressor's outputs have the wrong level and spread. Challenges
therefore shift and rescale predictions before they score them. All of it is computed from stored predictions,
fitted on other recordings than the reported ones. The scoring key names the procedure; what it chose belongs to one
back-end and stands beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from rdbench.errors import InputError
from rdbench.stats import metrics
from rdbench.typing import Array
from rdbench.video.labels import DELAYS, ROUNDING, check_delay

__all__ = [
    "FITTED_PARTITION",
    "MEDIANS",
    "PLAIN",
    "PROTOCOLS",
    "Fitted",
    "Recording",
    "Scoring",
    "Step",
    "apply",
    "fit",
    "procedure",
    "shift_predictions",
]

MEDIANS = (0.0, 0.2, 0.4, 0.8, 1.2, 1.6, 2.4, 3.2, 4.8, 6.4, 9.6, 12.8)
"""Lengths of the median filter that are tried, in seconds; 0 is no filter."""

FITTED_PARTITION = {"loso": "train", "avec2016": "dev"}
"""Where each protocol makes its choice."""

PROTOCOLS = tuple(FITTED_PARTITION)

_STEPS = ("delay", "median", "bias", "scale")
_CHOSEN = {"loso": "chosen by leave-one-subject-out on train", "avec2016": "chosen on dev as in AVEC 2016"}
_GAIN = 1e-9


@dataclass(frozen=True)
class Scoring:
    """What is done to the predictions of one target before they are scored.

    Parameters
    ----------
    delay : float
        Seconds that predictions are shifted forward.
    median : float
        Length of the median filter in seconds, 0 for none.
    bias, scale : bool
        Whether level and spread are corrected.
    gain, offset : float
        Both corrections together: ``gain * prediction + offset``.
    """

    delay: float = 0.0
    median: float = 0.0
    bias: bool = False
    scale: bool = False
    gain: float = 1.0
    offset: float = 0.0


PLAIN = Scoring()
"""Nothing is done."""


@dataclass(frozen=True)
class Recording:
    """Predictions and gold of one target in one recording, frame by frame.

    Parameters
    ----------
    clip, subject, partition : str
    times : (n,) float64
        Seconds, rising.
    pred, gold : (n,) float64
        NaN where there is none.
    """

    clip: str
    subject: str
    partition: str
    times: Array
    pred: Array
    gold: Array


@dataclass(frozen=True)
class Step:
    """One correction, tried: what it is, CCC without and with it where it is fitted, and whether it stays.

    Parameters
    ----------
    name : {"delay", "median", "bias", "scale"}
    value : float
        Seconds of delay or filter, the offset added, or the gain.
    before, after : float
        Pooled CCC; with protocol "loso", each subject is scored with what the others chose.
    kept : bool
        True only where `after` is above `before`.
    """

    name: str
    value: float
    before: float
    after: float
    kept: bool


@dataclass(frozen=True)
class Fitted:
    """A scoring, and how it came about.

    Parameters
    ----------
    scoring : Scoring
    steps : tuple of Step
        In the order in which they were tried.
    fitted_on : str
        For people.
    clips : tuple of str
        The recordings that it was fitted on.
    without : dict of str to Fitted
        For subjects that are reported too: what was chosen without any recording of theirs.
    """

    scoring: Scoring
    steps: tuple[Step, ...]
    fitted_on: str
    clips: tuple[str, ...]
    without: dict[str, Fitted] = field(default_factory=dict)

    def of(self, subject: str) -> Scoring:
        """The scoring of a subject's recordings: one in whose choice it had no say."""
        return self.without.get(subject, self).scoring

    def told(self, subjects: Sequence[str]) -> tuple[str, str]:
        """What reported subjects were scored with, and what that was fitted on; ranges where they differ."""
        fits = [self.without[subject] for subject in subjects if subject in self.without]
        if not fits:
            return _chosen([self]), self.fitted_on
        return _chosen(fits), f"{self.fitted_on}, each scored with what the others chose"


def _chosen(fits: Sequence[Fitted]) -> str:
    """What was kept in one or more choices, with its range and how many of them kept it."""
    parts = []
    for name in _STEPS:
        values = sorted(step.value for fit in fits for step in fit.steps if step.name == name and step.kept)
        ends = list(dict.fromkeys(f"{value:.4g}" for value in (values[:1] + values[-1:])))
        counted = f" ({len(values)} of {len(fits)})" if len(values) < len(fits) else ""
        parts += [f"{name}={' to '.join(ends)}{counted}"] if values else []
    return ", ".join(parts) or "nothing"


def procedure(protocol: str) -> str:
    """Text for the column `scoring`: what is tried, and on what it is chosen, never the values that were chosen.

    Back-ends and regions are compared by the procedure that they all went through; with the values in the key,
    those that lag by unlike delays would share no curve and no delta.

    Parameters
    ----------
    protocol : {"loso", "avec2016"}

    Raises
    ------
    InputError
        If there is no such protocol.
    """
    if protocol not in PROTOCOLS:
        raise InputError(
            f"The scoring protocol should be one of {', '.join(PROTOCOLS)}, but is {protocol!r}."
        )
    return f"{'+'.join(_STEPS)}, {_CHOSEN[protocol]}"


def shift_predictions(values: Array, times: Array, delay: float) -> Array:
    """Predictions for scoring against the unshifted gold: frame t takes what was predicted at ``t - delay``.

    The value comes from the nearest frame within half a frame period, else it is interpolated. The first
    `delay` seconds take the first prediction (as challenge scripts do), and where there was no face `delay`
    before, the last prediction until then is held. Frames without a prediction of their own stay without: the
    mask does not move, so that every delay is scored over the same frames.

    Parameters
    ----------
    values : (n,) or (n, k) float64
        NaN where there is none.
    times : (n,) float64
        Seconds, rising.
    delay : float
        Seconds, 0 or more.
    """
    check_delay(delay)
    if delay == 0 or len(times) < 2:
        return values
    held = _hold(values)
    source = np.maximum(times - delay, times[0])
    after = np.clip(np.searchsorted(times, source), 1, len(times) - 1)
    before = after - 1
    share = np.clip((source - times[before]) / (times[after] - times[before]), 0, 1)
    near = np.where(share <= 0.5, before, after)
    half = np.median(np.diff(times)) / 2 + ROUNDING
    direct = np.abs(times[near] - source) <= half
    weight = share.reshape(-1, *[1] * (values.ndim - 1))
    between = held[before] + weight * (held[after] - held[before])
    shifted = np.where(direct.reshape(weight.shape), held[near], between)
    return np.where(np.isnan(values), np.nan, shifted)


def _hold(values: Array) -> Array:
    """The last prediction until then where there is none, and the first one before all others."""
    there = ~np.isnan(values)
    order = np.arange(len(values)).reshape(-1, *[1] * (values.ndim - 1))
    last = np.maximum.accumulate(np.where(there, order, -1), axis=0)
    filled = np.where(last < 0, there.argmax(axis=0), last)
    held: Array = np.take_along_axis(values, filled, axis=0)
    return held


def _smooth(values: Array, times: Array, seconds: float) -> Array:
    """Median filter over each run of predictions without a gap; the ends repeat the last value."""
    if seconds <= 0 or len(times) < 2:
        return values
    size = 2 * round(seconds / float(np.median(np.diff(times))) / 2) + 1
    there = np.isfinite(values)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], there, [False])).astype(np.int8)))
    out = values.copy()
    for start, stop in edges.reshape(-1, 2):
        out[start:stop] = median_filter(values[start:stop], size=size, mode="nearest")
    return out


def apply(scoring: Scoring, pred: Array, times: Array) -> Array:
    """Predictions of one target as they are to be scored: filtered, shifted, then rescaled.

    They are filtered before the shift, so that what is held through a long gap has no say in a median.

    Parameters
    ----------
    scoring : Scoring
    pred : (n,) float64
    times : (n,) float64
        Seconds, rising.
    """
    smooth = _smooth(pred, times, scoring.median)
    return scoring.gain * shift_predictions(smooth, times, scoring.delay) + scoring.offset


def _affine(stats: Array, gain: Array | float, offset: Array | float) -> Array:
    """Moments after ``gain * prediction + offset``, from the moments before."""
    out = np.array(stats, dtype=np.float64)
    out[..., 1] = gain * stats[..., 1] + offset
    out[..., 3] = np.square(gain) * stats[..., 3]
    out[..., 5] = gain * stats[..., 5]
    return out


def _bias(stats: Array) -> tuple[float, float]:
    """Gain and offset that give predictions the mean of gold."""
    return 1.0, float(stats[2] - stats[1])


def _scale(stats: Array) -> tuple[float, float]:
    """Gain and offset that give predictions the spread of gold, about their own mean."""
    gain = float(np.sqrt(stats[4] / stats[3])) if stats[3] > 0 else 1.0
    return gain, float(stats[1] * (1 - gain))


def _held_out(groups: list[NDArray[np.intp]], count: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """(recordings to fit on, recordings to score) for each group left out; one group is fitted and scored."""
    everything = np.arange(count)
    if len(groups) == 1:
        return [(everything, everything)]
    return [(np.setdiff1d(everything, group), group) for group in groups]


def _best(stats: Array) -> int:
    """The candidate with the highest pooled CCC; the first (mildest) of equals. stats: (candidates, clips, 6)."""
    pooled = metrics.ccc(metrics.merge(stats, axis=1))
    pooled = np.where(np.isfinite(pooled), pooled, -np.inf)
    return int(np.flatnonzero(pooled >= pooled.max() - _GAIN)[0])


def _pooled(rows: Sequence[Array]) -> float:
    return float(metrics.ccc(metrics.merge(np.concatenate(rows), axis=0)))


def _try_grid(stats: Array, groups: list[NDArray[np.intp]]) -> tuple[int, float, float]:
    """Best of candidates on all, and pooled CCC without (candidate 0) and with a choice made on the others."""
    scored = [stats[_best(stats[:, fitted]), held] for fitted, held in _held_out(groups, stats.shape[1])]
    return _best(stats), _pooled([stats[0]]), _pooled(scored)


def _try_affine(stats: Array, rule: Any, groups: list[NDArray[np.intp]]) -> tuple[float, float, float, float]:
    """Gain and offset fitted on all, and pooled CCC without and with those fitted on the others."""
    scored = [
        _affine(stats[held], *rule(metrics.merge(stats[fitted], axis=0)))
        for fitted, held in _held_out(groups, len(stats))
    ]
    return *rule(metrics.merge(stats, axis=0)), _pooled([stats]), _pooled(scored)


def fit(
    recordings: Sequence[Recording],
    protocol: Literal["loso", "avec2016"] = "loso",
    reported: Collection[str] = (),
) -> Fitted:
    """Choose delay, median filter, bias and scale for one target of one back-end.

    Each is tried in this order, on predictions as the ones before left them, and kept only where it raises the
    pooled CCC where it is fitted. Level and spread follow the challenge's rule: the mean of gold minus that of
    the predictions is added, and the spread about the mean is brought to that of gold.

    Parameters
    ----------
    recordings : sequence of Recording
        Of any partition; only those that the protocol fits on are looked at. Give pristine predictions: what
        is chosen on them is then used for every rate.
    protocol : {"loso", "avec2016"}
        "loso": the train recordings; every choice is judged on subjects that did not take part in it
        (leave one subject out), then made once more on all of them. "avec2016": the dev recordings, judged on
        themselves, as the challenge did; the key of `procedure` says so.
    reported : collection of str
        Subjects that are to be scored. For those that are fitted on as well, all is chosen once more without
        them; with "avec2016" they are only told of.

    Raises
    ------
    InputError
        If there is no such protocol, or no recordings to fit on, or too few subjects with "loso".
    """
    procedure(protocol)
    partition = FITTED_PARTITION[protocol]
    used = sorted((r for r in recordings if r.partition == partition and _scorable(r)), key=lambda r: r.clip)
    if not used:
        raise InputError(
            f"Delay and post-processing are fitted on the {partition} recordings, but none has both predictions "
            f"and labels; name a run over them with --fitted-on, or score plainly with --plain."
        )
    known: _Known = {}
    if protocol == "avec2016":
        scoring, steps = _choose(used, [np.arange(len(used))], known)
        told = f"{len(used)} dev recordings, as in the AVEC 2016 challenge"
        if any(r.subject in reported for r in used):
            told += ": chosen on what is reported"
        return Fitted(scoring, steps, told, tuple(r.clip for r in used))

    subjects = sorted({r.subject for r in used})
    both = [subject for subject in subjects if subject in reported]
    if len(subjects) < 2:
        raise InputError(
            f"Leaving one subject out needs at least 2 train subjects, but there is {subjects[0]!r} alone; "
            f"give more recordings, or score plainly with --plain."
        )
    if both and len(subjects) < 3:
        raise InputError(
            f"Scoring a train subject with what the others chose needs at least 3 train subjects, but there are "
            f"{len(subjects)}; give more recordings, or score plainly with --plain."
        )
    whole = _leaving_one_out(used, known)
    without = {
        subject: _leaving_one_out([r for r in used if r.subject != subject], known) for subject in both
    }
    return replace(whole, without=without)


_Known = dict[tuple[int, Scoring], Array]
"""Moments by recording and scoring: choices over overlapping sets of recordings share them."""


def _leaving_one_out(used: Sequence[Recording], known: _Known) -> Fitted:
    subjects = sorted({r.subject for r in used})
    groups = [np.flatnonzero([r.subject == s for r in used]) for s in subjects]
    scoring, steps = _choose(used, groups, known)
    told = f"leave-one-subject-out over {len(subjects)} train subjects"
    return Fitted(scoring, steps, told, tuple(r.clip for r in used))


def _choose(
    used: Sequence[Recording], groups: list[NDArray[np.intp]], known: _Known
) -> tuple[Scoring, tuple[Step, ...]]:
    """Try every correction on recordings of which one group after the other is left out."""
    scoring, steps = Scoring(), []

    delays = _tried(used, [replace(scoring, delay=d) for d in DELAYS], known)
    choice, before, after = _try_grid(delays, groups)
    steps.append(_step("delay", DELAYS[choice], 0.0, before, after))
    if steps[-1].kept:
        scoring = replace(scoring, delay=DELAYS[choice])

    medians = _tried(used, [replace(scoring, median=m) for m in MEDIANS], known)
    choice, before, after = _try_grid(medians, groups)
    steps.append(_step("median", MEDIANS[choice], 0.0, before, after))
    stats = medians[choice if steps[-1].kept else 0]
    if steps[-1].kept:
        scoring = replace(scoring, median=MEDIANS[choice])

    gain, offset, before, after = _try_affine(stats, _bias, groups)
    steps.append(_step("bias", offset, 0.0, before, after))
    if steps[-1].kept:
        stats = _affine(stats, gain, offset)
        scoring = replace(scoring, bias=True, offset=offset)

    gain, offset, before, after = _try_affine(stats, _scale, groups)
    steps.append(_step("scale", gain, 1.0, before, after))
    if steps[-1].kept:
        scoring = replace(scoring, scale=True, gain=gain, offset=gain * scoring.offset + offset)
    return scoring, tuple(steps)


def _tried(used: Sequence[Recording], candidates: Sequence[Scoring], known: _Known) -> Array:
    """Moments (candidates, recordings, 6)."""
    for recording in used:
        for scoring in candidates:
            key = (id(recording), scoring)
            if key not in known:
                known[key] = _stats(recording, scoring)
    return np.array([[known[id(recording), scoring] for recording in used] for scoring in candidates])


def _step(name: str, value: float, neutral: float, before: float, after: float) -> Step:
    return Step(name, value, before, after, bool(value != neutral and after > before + _GAIN))


def _stats(recording: Recording, scoring: Scoring) -> Array:
    return metrics.moments(apply(scoring, recording.pred, recording.times), recording.gold)


def _scorable(recording: Recording) -> bool:
    return bool((np.isfinite(recording.pred) & np.isfinite(recording.gold)).any())
