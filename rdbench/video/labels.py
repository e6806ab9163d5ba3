"""Labels joined to frames by time: every frame gets the gold value that belongs to it, or none."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rdbench.errors import ClipError, InputError, NothingToScoreError
from rdbench.tables.label_counts import LabelCounts
from rdbench.video.clip import Labels

__all__ = ["DELAYS", "EXACT", "ROUNDING", "Joined", "check_delay", "join", "require_seconds", "shift_labels"]

DELAYS = tuple(round(0.4 * i, 1) for i in range(21))
"""Annotation delays that are tried, in seconds: 0 to 8 in steps of 0.4."""

ROUNDING = 1e-6


EXACT = 5e-4
"""Seconds: times that differ by less are the same; times in files are rounded to milliseconds."""

_HOLE = 2.0


@dataclass(frozen=True)
class Joined:
    """Gold values by frame, and how they were come by.

    Parameters
    ----------
    values : (n, k) float64
        NaN where a frame has no label.
    exact, nearest, interpolated, missing : int
        Frames whose label has the same time, was the nearest within half a label period, was interpolated
        (categorical: held from the label before), or has no value for any target. They add up to n.
    """

    values: NDArray[np.float64]
    exact: int
    nearest: int
    interpolated: int
    missing: int

    def __str__(self) -> str:
        return LabelCounts(1, self.exact, self.nearest, self.interpolated, self.missing).note


def join(labels: Labels, times: NDArray[np.float64]) -> Joined:
    """Give each frame its label: exact, else the nearest within half a label period, else interpolated.

    The label period is the median distance of labels. Holes of more than 2 s and of more than two periods are
    not bridged, nothing is extrapolated (a label reaches half a period beyond itself, no further), and a
    missing label stays missing. Categorical labels and units are held from the label before instead of interpolated. A label of the
    whole recording is that of each frame.

    Parameters
    ----------
    labels : Labels
        n_labels times and (n_labels, k) values.
    times : (n,) float64
        Seconds of every frame.

    Raises
    ------
    ClipError
        If the labels cover less than half of the frames, or hold a number for less than half of them (where missing ones
        are marked: `NothingToScoreError` if for none).
    """
    times = np.asarray(times, dtype=np.float64)
    targets = len(labels.targets)
    if labels.whole:
        return _of_all(labels, len(times))
    if len(times) == 0 or len(labels.times) == 0:
        raise ClipError(f"There are {len(labels.times)} labels for {len(times)} frames; both are needed.")
    at = labels.times
    period = float(np.median(np.diff(at))) if len(at) > 1 else 0.0
    reach = period / 2 + EXACT

    after = np.clip(np.searchsorted(at, times), 0, len(at) - 1)
    before = np.maximum(after - 1, 0)
    near = np.where(np.abs(times - at[before]) <= np.abs(times - at[after]), before, after)
    distance = np.abs(times - at[near])
    exact = distance <= EXACT
    nearest = ~exact & (distance <= reach)
    between = (
        ~exact
        & ~nearest
        & (times > at[0])
        & (times < at[-1])
        & (at[after] - at[before] <= max(_HOLE, 2 * period) + EXACT)
    )

    covered = (times >= at[0] - reach) & (times <= at[-1] + reach)
    if covered.mean() < 0.5:
        raise ClipError(
            f"Labels cover {at[0]:.2f} s to {at[-1]:.2f} s, the video lasts from {times[0]:.2f} s to "
            f"{times[-1]:.2f} s: only {100 * covered.mean():.0f} % of its frames have labels, at least half "
            f"are needed; check that labels and video belong together and that times are in seconds."
        )

    values = np.full((len(times), targets), np.nan)
    direct = exact | nearest
    values[direct] = labels.values[near[direct]]
    if labels.classes or labels.units:
        values[between] = labels.values[before[between]]
    else:
        span = np.where(at[after] > at[before], at[after] - at[before], 1.0)
        share = ((times - at[before]) / span)[between, None]
        low, high = labels.values[before[between]], labels.values[after[between]]
        values[between] = low + share * (high - low)
    present = np.isfinite(values).any(axis=1)
    _require_values(labels, present)
    return Joined(
        values=values,
        exact=int((exact & present).sum()),
        nearest=int((nearest & present).sum()),
        interpolated=int((between & present).sum()),
        missing=int((~present).sum()),
    )


def _require_values(labels: Labels, present: NDArray[np.bool_]) -> None:
    """Refuse labels that hold next to nothing, unless they say of each frame that nobody annotated it."""
    at = labels.times
    if labels.marked and not present.any():
        raise NothingToScoreError(
            f"none of its {len(present)} frames is annotated ({', '.join(labels.targets)})"
        )
    if present.mean() < 0.5 and not labels.marked:
        raise ClipError(
            f"Labels from {at[0]:.2f} s to {at[-1]:.2f} s hold a value for only {100 * present.mean():.0f} % of the "
            f"video's frames ({', '.join(labels.targets)}), at least half are needed: the others are missing or no "
            "numbers."
        )


def _of_all(labels: Labels, frames: int) -> Joined:
    """The one row of a recording's labels, for each of its frames."""
    if len(labels.values) != 1 or not np.isfinite(labels.values).any():
        raise ClipError(
            f"One row of labels for the whole recording is needed, but there are {len(labels.values)} "
            f"({', '.join(labels.targets)})."
        )
    return Joined(np.repeat(labels.values, frames, axis=0), frames, 0, 0, 0)


def require_seconds(times: NDArray[np.float64], what: str, seconds: float, frames: int) -> None:
    """Refuse times that cannot be seconds of a recording, with the unit that they most likely have.

    Times that go on after a recording are fine: it may be an excerpt. They are another unit's where hardly any falls
    into the recording, or where they count what it counts.

    Parameters
    ----------
    times : (n,) float64
        Of labels or boxes.
    what : str
        "labels" or "boxes".
    seconds : float
        Length of the whole recording.
    frames : int
        Of the whole recording.

    Raises
    ------
    ClipError
        Names the likely unit.
    """
    if len(times) < 2 or seconds <= 0:
        return
    period = float(np.median(np.diff(times)))
    length = float(times[-1]) + period
    whole = bool(np.all(times == np.rint(times)))
    unit = ""
    if length > 2 * seconds:
        if whole and length <= 1.1 * frames + 1:
            unit = "frame numbers"
        elif 0.8 <= length / seconds / 1e6 <= 1.25:
            unit = "microseconds"
        elif 0.8 <= length / seconds / 1e3 <= 1.25:
            unit = "milliseconds"
        elif 0.8 <= length / seconds / 1e2 <= 1.25 and len(times) <= 1.1 * frames + 1:
            # More rows than frames would be those of a longer recording.
            unit = "hundredths of a second"
        elif period > _HOLE and np.sum(times <= seconds) < 2:
            unit = "milliseconds"
    if unit:
        raise ClipError(
            f"The {what} have times from {times[0]:g} to {times[-1]:g}, {period:g} apart, but the video lasts "
            f"{seconds:.2f} s with {frames} frames: these are most likely {unit}; time should be seconds from the "
            f"first frame (rows after the video's end may be left out)."
        )


def shift_labels(labels: Labels, delay: float) -> Labels:
    """Labels for training: each moved back by the delay, to the frame that it is about.

    Those that would lie before 0 are about nothing that was filmed, and the last `delay` seconds of video have
    no label; they are left out, not invented.

    Parameters
    ----------
    labels : Labels
    delay : float
        Seconds, 0 or more.
    """
    check_delay(delay)
    if labels.whole:
        return labels
    times = labels.times - delay
    kept = times >= -ROUNDING
    return replace(labels, times=times[kept], values=labels.values[kept])


def check_delay(delay: float) -> None:
    if not (np.isfinite(delay) and 0 <= delay <= DELAYS[-1]):
        raise InputError(f"An annotation delay should be 0 to {DELAYS[-1]:g} s, but is {delay} s.")
