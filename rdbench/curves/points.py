"""The tables as one array: subjects x points x sums that add.

A *point* is one index of a grid: everything fixed but the clip. What a subject adds to a point is a short
vector of sums (bits, seconds, and the moments of prediction and gold about a common centre, or a confusion
matrix), so pooling, jackknife, bootstrap and envelope are additions along the axis of subjects.

Moments are held as plain sums about a centre near the data. That is as exact as merging them pairwise (the
centre takes the offset away), and unlike moments about each own mean such sums can be subtracted and
weighted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.stats import metrics
from rdbench.stats.intervals import MIN_SUBJECTS
from rdbench.typing import Array

__all__ = ["RARE", "Points", "kbps"]

RARE = f"fewer than {MIN_SUBJECTS} subjects show one of the classes"
"""Why F1 has no interval."""


@dataclass(frozen=True)
class Points:
    """All points of one scope over one and the same set of clips.

    Parameters
    ----------
    keys : DataFrame
        A row a point, sorted by `GRID`, with `partition`, `rate_status`, `face_px` (median over the clips),
        `coded_larger` (whether any clip was coded larger than asked) and `psnr` (mean over the clips, dB).
    stats : (subjects, points, 2 + k) float64
        Bits, seconds, then either n and the sums of prediction, gold, their squares and their product about
        `centre` (k = 6), or a confusion matrix (k = classes squared).
    centre : (points, 2) float64
        What prediction and gold are counted from.
    metric : str
        One of `rdbench.stats.metrics.METRICS`.
    subjects, clips : list of str
        The subjects of the first axis, and the clips they consist of.
    left_out : DataFrame
        Clips and points of the tables that take no part, each with the reason.
    """

    keys: pd.DataFrame
    stats: Array
    centre: Array
    metric: str
    subjects: list[str]
    clips: list[str]
    left_out: pd.DataFrame

    def value(self, sums: Array, points: slice | NDArray[np.integer] | None = None) -> Array:
        """The metric from sums (..., points, 2 + k); `points` names which they are, by default all."""
        return metric_of_sums(sums, self.centre if points is None else self.centre[points], self.metric)

    def frames(self) -> NDArray[np.int64]:
        """Scored frames of each point."""
        total = self.stats[..., 2:].sum(axis=0)
        n = total[:, 0] if self.metric in metrics.FROM_MOMENTS else total.sum(axis=-1)
        return n.astype(np.int64)

    def held(self, values: Array, points: slice | NDArray[np.integer] | None = None) -> Array:
        """Delete-one-subject values (subjects, points), missing where F1 rests on a class that few subjects show.

        The mean over classes then hangs on one or two people, whom no interval over subjects can speak for: nominal
        95 % held the truth in 71 to 76 % of trials (8 subjects).
        """
        if self.metric != "f1":
            return values
        stats = self.stats if points is None else self.stats[:, points]
        classes = round((stats.shape[-1] - 2) ** 0.5)
        shown = stats[..., 2:].reshape(*stats.shape[:2], classes, classes).sum(axis=-1) > 0
        count = shown.sum(axis=0)
        rare = ((count > 0) & (count < MIN_SUBJECTS)).any(axis=-1)
        return np.where(rare, np.nan, values)


def kbps(sums: Array) -> Array:
    """Bitrate in kbit/s from sums (..., 2 + k): bits over seconds, NaN for what was not coded."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums[..., 0] / sums[..., 1] / 1000


def metric_of_sums(sums: Array, centre: Array, metric: str) -> Array:
    """The metric from sums (..., 2 + k) about `centre` (..., 2)."""
    if metric in metrics.FROM_CONFUSION:
        classes = round((sums.shape[-1] - 2) ** 0.5)
        return metrics.FROM_CONFUSION[metric](sums[..., 2:].reshape(*sums.shape[:-1], classes, classes))
    n, sp, sg, spp, sgg, spg = (sums[..., i] for i in range(2, 8))
    with np.errstate(invalid="ignore", divide="ignore"):
        p, g = sp / n, sg / n
        vp, vg = spp - sp * p, sgg - sg * g
        # A constant leaves rounding, not variance; it must not pass for a signal.
        vp *= vp > 1e-12 * spp
        vg *= vg > 1e-12 * sgg
        cov = (spg - sp * g) * ((vp > 0) & (vg > 0))
        p, g = p + centre[..., 0], g + centre[..., 1]
    return metrics.FROM_MOMENTS[metric]((n, p, g, vp, vg, cov))
