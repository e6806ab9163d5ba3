"""From sufficient statistics to CCC, PCC, RMSE, accuracy, F1 and what else recognition is measured by.

A recording's scores are kept as moments (n, means, centred second moments) or as a confusion matrix. Both
add: the statistics of any union of recordings come from those of its parts, so every pooling and every
resampling of subjects is arithmetic on a few numbers and never touches a frame again.

All moments are *population* moments (divided by n), as in the definition of the concordance correlation
coefficient (Lin 1989, doi:10.2307/2532051). `torchmetrics.ConcordanceCorrCoef` divides the variances and the
covariance by n - 1 but leaves the squared difference of the means as it is, so its values are slightly other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rdbench.measures import (
    CORRELATIONS,
    KIND_OF,
    KINDS,
    METRIC_NAMES,
    METRICS,
    higher_is_better,
    siblings,
)
from rdbench.typing import Array

__all__ = [
    "CORRELATIONS",
    "KINDS",
    "KIND_OF",
    "METRICS",
    "METRIC_NAMES",
    "MOMENTS",
    "accuracy",
    "ccc",
    "challenge_scores",
    "confusion_matrix",
    "higher_is_better",
    "macro_f1",
    "mean_prediction",
    "merge",
    "moments",
    "parse_confusion",
    "pcc",
    "rmse",
    "siblings",
    "unit_f1",
]

Columns = Sequence[Array]
"""The six moments, each an array by itself."""

MOMENTS = ("n", "mean_pred", "mean_gold", "m2_pred", "m2_gold", "cov")
"""n, means, and centred second moments (sums, not divided by n) of prediction and gold: they add by the
pairwise rule and so give CCC, PCC and RMSE over any union of rows."""


def moments(pred: ArrayLike, gold: ArrayLike) -> Array:
    """Sufficient statistics of one recording.

    Parameters
    ----------
    pred, gold : (frames,) array_like of float
        Frames where either is NaN are left out.

    Returns
    -------
    (6,) float64
        In the order of `MOMENTS`; without any frame, n is 0 and the rest NaN.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    p = np.asarray(pred, dtype=np.float64).ravel()
    g = np.asarray(gold, dtype=np.float64).ravel()
    if p.shape != g.shape:
        raise ValueError(f"{p.size} predictions cannot be scored against {g.size} gold values")
    both = ~(np.isnan(p) | np.isnan(g))
    p, g = p[both], g[both]
    if not p.size:
        return np.array([0.0, *[np.nan] * 5])
    mean_p, dev_p = _centre(p)
    mean_g, dev_g = _centre(g)
    return np.array([p.size, mean_p, mean_g, dev_p @ dev_p, dev_g @ dev_g, dev_p @ dev_g])


def _centre(values: Array) -> tuple[float, Array]:
    # Taken from the first value, a mean of 1e6 costs no digits, and a constant is exactly constant.
    dev = values - values[0]
    shift = float(dev.mean())
    return float(values[0]) + shift, dev - shift


def merge(stats: ArrayLike, axis: int = 0) -> Array:
    """Statistics of the union of rows.

    The rule of Chan, Golub and LeVeque (1979) for any number of parts at once: means are merged as deviations
    from one part's mean, second moments gain the scatter of the means. Raw sums would lose all digits at an
    offset of 1e6.

    Parameters
    ----------
    stats : (..., 6) array_like
        Moments in the order of `MOMENTS`; rows with n = 0 add nothing.
    axis : int
        The axis to merge over; not the last.

    Returns
    -------
    (..., 6) float64
        With `axis` removed.
    """
    rows = np.moveaxis(np.asarray(stats, dtype=np.float64), axis, 0)
    n = rows[..., 0]
    used = n > 0
    parts = np.where(used[..., None], rows, 0.0)
    total = n.sum(axis=0)
    first = np.argmax(used, axis=0)[None, ..., None]
    anchor = np.take_along_axis(parts[..., 1:3], first, axis=0)
    offset = np.where(used[..., None], parts[..., 1:3] - anchor, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        shift = (n[..., None] * offset).sum(axis=0) / total[..., None]
    scatter = np.where(used[..., None], offset - shift, 0.0)
    weighted = n[..., None] * scatter
    second = parts[..., 3:].sum(axis=0)
    second[..., 0] += (weighted[..., 0] * scatter[..., 0]).sum(axis=0)
    second[..., 1] += (weighted[..., 1] * scatter[..., 1]).sum(axis=0)
    second[..., 2] += (weighted[..., 0] * scatter[..., 1]).sum(axis=0)
    out = np.concatenate([total[..., None], anchor[0] + shift, second], axis=-1)
    out[total == 0, 1:] = np.nan
    return out


def _columns(stats: ArrayLike) -> Columns:
    table = np.asarray(stats, dtype=np.float64)
    return [table[..., i] for i in range(len(MOMENTS))]


def ccc(stats: ArrayLike) -> Array:
    """Concordance correlation coefficient, from population moments.

    ``2 cov / (var_pred + var_gold + (mean_pred - mean_gold)^2)``, Lin (1989). A constant prediction of a
    varying gold scores 0; against a constant gold, or without frames, it is NaN.

    Parameters
    ----------
    stats : (..., 6) array_like

    Returns
    -------
    (...) float64
        In -1..1.
    """
    return _ccc(_columns(stats))


def challenge_scores(stats: Array) -> dict[str, float]:
    """The two ways in which challenges reported CCC, side by side.

    Parameters
    ----------
    stats : (recordings, 6) float64
        Moments in the order of `MOMENTS`.

    Returns
    -------
    dict
        ``ccc_concatenated`` (AVEC 2016: one CCC over all recordings one after the other),
        ``ccc_mean_of_recordings`` (AVEC 2018: the mean of the recordings' CCCs; those with constant gold have
        none and are left out) and how many ``recordings`` that mean is of.
    """
    by_recording = ccc(stats)
    there = np.isfinite(by_recording)
    return {
        "ccc_concatenated": float(ccc(merge(stats, axis=0))),
        "ccc_mean_of_recordings": float(by_recording[there].mean()) if there.any() else float("nan"),
        "recordings": float(there.sum()),
    }


def _ccc(columns: Columns) -> Array:
    n, p, g, vp, vg, cov = columns
    with np.errstate(invalid="ignore", divide="ignore"):
        value = 2 * cov / (vp + vg + n * (p - g) ** 2)
        return np.where((n > 0) & (vg > 0), value, np.nan)


def pcc(stats: ArrayLike) -> Array:
    """Pearson's correlation coefficient; NaN where prediction or gold is constant.

    Parameters
    ----------
    stats : (..., 6) array_like

    Returns
    -------
    (...) float64
        In -1..1.
    """
    return _pcc(_columns(stats))


def _pcc(columns: Columns) -> Array:
    n, _, _, vp, vg, cov = columns
    with np.errstate(invalid="ignore", divide="ignore"):
        value = cov / (np.sqrt(vp) * np.sqrt(vg))
        return np.where((n > 0) & (vp > 0) & (vg > 0), np.clip(value, -1, 1), np.nan)


def rmse(stats: ArrayLike) -> Array:
    """Root of the mean squared error, in the units of gold.

    Parameters
    ----------
    stats : (..., 6) array_like

    Returns
    -------
    (...) float64
        0 or more; NaN without frames. Differences of less than about 1e-8 standard deviations are rounding.
    """
    return _rmse(_columns(stats))


def _rmse(columns: Columns) -> Array:
    n, p, g, vp, vg, cov = columns
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(np.maximum((vp + vg - 2 * cov) / n, 0) + (p - g) ** 2)


def confusion_matrix(pred: ArrayLike, gold: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Counts of frames, rows gold and columns prediction.

    Parameters
    ----------
    pred, gold : (frames,) array_like of int
        Class indices from 0; a negative gold marks a frame without a label and is left out.
    classes : int

    Returns
    -------
    (classes, classes) int64
    """
    p = np.asarray(pred, dtype=np.int64).ravel()
    g = np.asarray(gold, dtype=np.int64).ravel()
    p, g = p[g >= 0], g[g >= 0]
    return np.bincount(g * classes + p, minlength=classes * classes).reshape(classes, classes)


def parse_confusion(text: str) -> Array:
    """A confusion matrix from the JSON that `scores.confusion` holds.

    Raises
    ------
    ValueError
        If it is not a square table of numbers of 0 or more.
    """
    table = np.asarray(json.loads(text), dtype=np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or not (table >= 0).all():
        raise ValueError("a confusion matrix is a square table of counts")
    return table


def accuracy(confusion: ArrayLike) -> Array:
    """Share of frames whose class is right.

    Parameters
    ----------
    confusion : (..., k, k) array_like

    Returns
    -------
    (...) float64
        In 0..1; NaN without frames.
    """
    c = np.asarray(confusion, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.trace(c, axis1=-2, axis2=-1) / c.sum(axis=(-2, -1))


def macro_f1(confusion: ArrayLike) -> Array:
    """Mean over classes of the F1 score.

    A class that occurs neither in gold nor in the predictions is left out of the mean; a class that is never
    right scores 0 (as scikit-learn's ``f1_score(average="macro")`` does over the labels that occur).

    Parameters
    ----------
    confusion : (..., k, k) array_like

    Returns
    -------
    (...) float64
        In 0..1; NaN without frames.
    """
    c = np.asarray(confusion, dtype=np.float64)
    right = np.diagonal(c, axis1=-2, axis2=-1)
    size = c.sum(axis=-1) + c.sum(axis=-2)
    with np.errstate(invalid="ignore", divide="ignore"):
        each = np.where(size > 0, 2 * right / size, 0.0)
        return each.sum(axis=-1) / (size > 0).sum(axis=-1)


def unit_f1(confusion: ArrayLike) -> Array:
    """Mean over binary units of the F1 score of "present", as ABAW reports action units.

    A unit that gold never has (or of which nothing was annotated) has no F1 and is left out of the mean. Gold alone decides
    that, so the mean is over the same units under every condition.

    Parameters
    ----------
    confusion : (..., 2 u, 2 u) array_like
        The units' own tables along the diagonal, "absent" before "present"; zeros elsewhere. A single unit is (2, 2).

    Returns
    -------
    (...) float64
        In 0..1; NaN where no unit ever occurs.
    """
    c = np.asarray(confusion, dtype=np.float64)
    right = np.diagonal(c, axis1=-2, axis2=-1)[..., 1::2]
    gold, found = c.sum(axis=-1)[..., 1::2], c.sum(axis=-2)[..., 1::2]
    with np.errstate(invalid="ignore", divide="ignore"):
        each = np.where(gold > 0, 2 * right / (gold + found), 0.0)
        return each.sum(axis=-1) / (gold > 0).sum(axis=-1)


def mean_prediction(stats: ArrayLike) -> Array:
    """Mean of the predictions: what counts where gold is one and the same, as in similarity to the pristine frame.

    Parameters
    ----------
    stats : (..., 6) array_like

    Returns
    -------
    (...) float64
        NaN without frames.
    """
    return _mean_prediction(_columns(stats))


def _mean_prediction(columns: Columns) -> Array:
    return np.where(columns[0] > 0, columns[1], np.nan)


FROM_MOMENTS: dict[str, Callable[[Columns], Array]] = {
    "ccc": _ccc,
    "pcc": _pcc,
    "rmse": _rmse,
    "similarity": _mean_prediction,
}
FROM_CONFUSION: dict[str, Callable[[ArrayLike], Array]] = {
    "accuracy": accuracy,
    "f1": macro_f1,
    "tar": accuracy,
    "unit_f1": unit_f1,
}
"""How the sums of each metric become a value. Verification's gold is all "accepted", so that accuracy is the true-accept rate."""
