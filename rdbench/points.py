"""The tables as one array: subjects x points x sums that add.

A *point* is one index of a grid: everything fixed but the clip. What a subject adds to a point is a short
vector of sums (bits, seconds, and the moments of prediction and gold about a common centre, or a confusion
matrix), so pooling, jackknife, bootstrap and envelope are additions along the axis of subjects.

Moments are held as plain sums about a centre near the data. That is as exact as merging them pairwise (the
centre takes the offset away), and unlike moments about each own mean such sums can be subtracted and
weighted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench import metrics
from rdbench.errors import InputError, NotComparableError
from rdbench.tables import CONDITION, MOMENTS, SCORE_KEY

__all__ = [
    "BITS",
    "CURVE",
    "GRID",
    "SCOPE",
    "Points",
    "collect",
    "default_metric",
    "default_partition",
    "kbps",
]

Array = NDArray[np.float64]

GRID = (*SCORE_KEY, *CONDITION)
"""The columns that name a point."""
CURVE = tuple(column for column in GRID if column != "rate")
"""The columns that name a curve."""
SCOPE = ("target", "gold", "scoring")
"""Values are compared within these; each scope has its own set of clips."""
BITS = ("payload", "framing", "informational", "filler", "stream")
"""What may be charged; a curve charges payload unless told otherwise."""

_WORST = ("uncoded", "ok", "missed", "ceiling", "floor", "refused")
_RATE_MODES = ("abr", "2pass")
MISSED = 0.10
"""A pooled rate further from its target than this share is missed."""


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
        One of `rdbench.metrics.METRICS`.
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

    def select(self, points: NDArray[np.integer]) -> Points:
        """These points only, in this order."""
        keys = self.keys.iloc[points].reset_index(drop=True)
        return Points(
            keys,
            self.stats[:, points],
            self.centre[points],
            self.metric,
            self.subjects,
            self.clips,
            self.left_out,
        )


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
        vp = np.where(vp > 1e-12 * spp, vp, 0.0)
        vg = np.where(vg > 1e-12 * sgg, vg, 0.0)
        cov = np.where((vp > 0) & (vg > 0), spg - sp * g, 0.0)
    stats = np.stack([n, p + centre[..., 0], g + centre[..., 1], vp, vg, cov], axis=-1)
    return metrics.FROM_MOMENTS[metric](stats)


def default_metric(scores: pd.DataFrame) -> str:
    """CCC where anything is continuous, else accuracy."""
    return "ccc" if scores["confusion"].isna().any() else "accuracy"


def default_partition(encodes: pd.DataFrame) -> str:
    """The partition that is reported: test, else dev, else the only one there is."""
    present = list(pd.unique(encodes["partition"].dropna()))
    return next((name for name in ("test", "dev", *present) if name in present), "test")


def collect(
    encodes: pd.DataFrame,
    scores: pd.DataFrame,
    metric: str = "ccc",
    *,
    bits: str = "payload",
    charge_boxes: bool = False,
    partition: str | None = None,
    uncoded: bool = True,
) -> list[Points]:
    """Turn the tables into arrays, one for each scope that has the metric.

    Parameters
    ----------
    encodes, scores : DataFrame
        With the columns of `rdbench.tables`.
    metric : str
        One of `rdbench.metrics.METRICS`. Rows that cannot give it (a confusion matrix for CCC) are passed
        over.
    bits : str
        One of `BITS`.
    charge_boxes : bool
        Add what sending the face boxes would cost.
    partition : str, optional
        By default test, else dev, else the only one.
    uncoded : bool
        Whether rows that were never encoded take part.

    Returns
    -------
    list of Points
        Within each, all points cover the same clips: those that have a value at every point. A point that an
        encoder refused for any clip is left out, since it does not apply.

    Raises
    ------
    InputError
        If the metric or the bits are unknown, or a row is there twice.
    NotComparableError
        If no clip has a value at every point.
    """
    if metric not in metrics.METRICS:
        raise InputError(f"There is no metric {metric!r}; there are {', '.join(metrics.METRICS)}.")
    if bits not in BITS:
        raise InputError(f"There are no {bits!r} bits; there are {', '.join(BITS)}.")
    chosen = default_partition(encodes) if partition is None else partition
    encodes = encodes[encodes["partition"] == chosen]
    if not uncoded:
        encodes = encodes[encodes["codec"] != "none"]
    encodes = encodes.reset_index(drop=True)
    rows = _joined(encodes, scores, metric)
    if rows.empty:
        return []
    refused = encodes.loc[encodes["rate_status"] == "refused", list(CONDITION)].drop_duplicates()
    scope_code, scopes = codes(rows, SCOPE)
    return [
        _scope(rows[scope_code == i], encodes, refused, metric, bits, charge_boxes, chosen)
        for i in range(len(scopes))
    ]


def _joined(encodes: pd.DataFrame, scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    if encodes["encode"].duplicated().any():
        name = encodes.loc[encodes["encode"].duplicated(), "encode"].iloc[0]
        raise InputError(f"The table encodes has the encode {name} twice; each must be there once.")
    if metric in metrics.FROM_MOMENTS:
        scores = scores[scores["confusion"].isna() & (scores["n"] > 0) & scores["mean_pred"].notna()]
        columns = [*SCORE_KEY, *MOMENTS]
    else:
        scores = scores[scores["confusion"].notna()]
        columns = [*SCORE_KEY, "confusion"]
    where = pd.Index(encodes["encode"]).get_indexer(pd.Index(scores["encode"]))
    scores = scores.loc[where >= 0, columns].reset_index(drop=True)
    row = where[where >= 0]
    scores["_encode"] = row
    scores["_clip"] = pd.factorize(encodes["clip"], sort=True)[0][row]
    condition, _ = codes(encodes, CONDITION)
    scores["_condition"] = condition[row]
    doubled = scores.duplicated([*SCORE_KEY, "_clip", "_condition"])
    if doubled.any():
        at = scores[doubled].iloc[0]
        clip = encodes["clip"].iloc[at["_encode"]]
        raise InputError(
            f"Clip {clip!r} has two scores of {at['backend']}, {at['target']} for one condition; "
            "tables of different runs must not be put together."
        )
    return scores


def codes(frame: pd.DataFrame, columns: Sequence[str]) -> tuple[NDArray[np.int64], pd.DataFrame]:
    """Number the rows by the columns' values, in sorted order; the distinct values are the second answer."""
    combined = np.zeros(len(frame), dtype=np.int64)
    for column in columns:
        code, values = pd.factorize(frame[column], sort=True, use_na_sentinel=True)
        combined = combined * (len(values) + 1) + code + 1
        # Numbered afresh after every column, so that the product cannot overflow.
        _, combined = np.unique(combined, return_inverse=True)
    _, first, label = np.unique(combined, return_index=True, return_inverse=True)
    return label.astype(np.int64), frame[list(columns)].iloc[first].reset_index(drop=True)


def _scope(
    rows: pd.DataFrame,
    encodes: pd.DataFrame,
    refused: pd.DataFrame,
    metric: str,
    bits: str,
    charge_boxes: bool,
    partition: str,
) -> Points:
    rows = rows.reset_index(drop=True)
    encode = encodes.iloc[rows["_encode"].to_numpy()].reset_index(drop=True)
    left_out: list[dict[str, object]] = []
    scope = {name: rows[name].iloc[0] for name in SCOPE}

    if len(refused):
        condition, distinct = codes(pd.concat([encode[list(CONDITION)], refused]), CONDITION)
        gone = np.unique(condition[len(encode) :])
        keep = ~np.isin(condition[: len(encode)], gone)
        for index in gone:
            what = " ".join(str(value) for value in distinct.iloc[index])
            left_out.append({"kind": "point", "name": what, "reason": "refused by the encoder for a clip"})
        rows, encode = rows[keep].reset_index(drop=True), encode[keep].reset_index(drop=True)

    both = pd.concat([rows[["backend"]], encode[list(CONDITION)]], axis=1)
    point, _ = codes(both, ("backend", *CONDITION))
    points = int(point.max()) + 1 if len(point) else 0
    clip, clip_names = pd.factorize(encode["clip"], sort=True)
    have = np.bincount(clip, minlength=len(clip_names))
    for index in np.flatnonzero(have < points):
        reason = f"has no value at {points - have[index]} of {points} points"
        left_out.append({"kind": "clip", "name": str(clip_names[int(index)]), "reason": reason})
    known = set(clip_names)
    for name in sorted(set(encodes["clip"]) - known):
        left_out.append({"kind": "clip", "name": name, "reason": "has no value at any point"})
    keep = have[clip] == points
    if not keep.any():
        raise NotComparableError(
            f"No clip has a value at all {points} points of {scope['target']} against {scope['gold']}, so "
            "nothing can be pooled; finish the run, or leave out the conditions that are incomplete."
        )
    rows, encode, point = rows[keep], encode[keep], point[keep]
    clips = [str(name) for name in clip_names[have == points]]

    subject, subject_names = pd.factorize(encode["subject"].fillna(encode["clip"]), sort=True)
    first = np.unique(point, return_index=True)[1]
    keys = pd.concat(
        [
            rows[list(SCORE_KEY)].iloc[first].reset_index(drop=True),
            encode[list(CONDITION)].iloc[first].reset_index(drop=True),
        ],
        axis=1,
    )
    keys["partition"] = partition
    keys = pd.concat([keys, _described(encode, point)], axis=1)
    columns, centre = _summed(rows, metric, point)
    cost = encode[f"{bits}_bits"].to_numpy(dtype=np.float64, na_value=np.nan)
    if charge_boxes:
        cost = cost + np.nan_to_num(encode["box_bits"].to_numpy(dtype=np.float64, na_value=np.nan))
    seconds = encode["seconds"].to_numpy(dtype=np.float64, na_value=np.nan)
    coded = (encode["codec"] != "none").to_numpy()
    columns = [np.where(coded, cost, 0.0), np.where(coded, seconds, 0.0), *columns]
    shape = (len(subject_names), points)
    cell = subject * points + point
    stats = np.stack(
        [np.bincount(cell, column, shape[0] * shape[1]).reshape(shape) for column in columns], axis=-1
    ).astype(np.float64, copy=False)
    keys["rate_status"] = _pooled_status(keys, kbps(stats.sum(axis=0)))
    names = ["kind", "name", "reason"]
    gone_table = pd.DataFrame(left_out, columns=names).assign(**scope)
    return Points(keys, stats, centre, metric, [str(s) for s in subject_names], clips, gone_table)


def _described(encode: pd.DataFrame, point: NDArray[np.int64]) -> pd.DataFrame:
    rank = encode["rate_status"].map({name: i for i, name in enumerate(_WORST)}).fillna(1).to_numpy(dtype=int)
    larger = (encode["coded_width"] > encode["width"]) | (encode["coded_height"] > encode["height"])
    table = pd.DataFrame(
        {
            "rank": rank,
            "face_px": encode["face_px"].to_numpy(dtype=np.float64, na_value=np.nan),
            "coded_larger": larger.fillna(False).to_numpy(dtype=bool),
            "psnr": encode["psnr"].to_numpy(dtype=np.float64, na_value=np.nan),
        }
    ).groupby(point)
    return pd.DataFrame(
        {
            "rate_status": [_WORST[i] for i in table["rank"].max()],
            "face_px": table["face_px"].median().to_numpy(),
            "coded_larger": table["coded_larger"].max().to_numpy(),
            "psnr": table["psnr"].mean().to_numpy(),
        }
    )


def _pooled_status(keys: pd.DataFrame, pooled: Array) -> list[str]:
    target = keys["rate"].to_numpy(dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        off = np.abs(pooled / target - 1) > MISSED
    far = off & keys["mode"].isin(_RATE_MODES).to_numpy() & (keys["rate_status"] == "ok").to_numpy()
    return list(np.where(far, "missed", keys["rate_status"]))


def _summed(rows: pd.DataFrame, metric: str, point: NDArray[np.int64]) -> tuple[list[Array], Array]:
    points = int(point.max()) + 1
    if metric in metrics.FROM_CONFUSION:
        texts, table = pd.factorize(rows["confusion"])
        parsed = [metrics.parse_confusion(text) for text in table]
        largest = max(len(matrix) for matrix in parsed)
        flat = np.stack([np.pad(m, (0, largest - len(m))).ravel() for m in parsed])
        return list(flat[texts].T), np.zeros((points, 2))
    n, p, g, m2p, m2g, cov = rows[list(MOMENTS)].to_numpy(dtype=np.float64).T
    backend, names = pd.factorize(rows["backend"])
    weight = np.bincount(backend, n, len(names))
    centre_p = (np.bincount(backend, n * p, len(names)) / weight)[backend]
    centre_g = np.full(len(rows), (n @ g) / n.sum())
    dp, dg = p - centre_p, g - centre_g
    columns = [n, n * dp, n * dg, m2p + n * dp * dp, m2g + n * dg * dg, cov + n * dp * dg]
    first = np.unique(point, return_index=True)[1]
    return columns, np.stack([centre_p[first], centre_g[first]], axis=-1)
