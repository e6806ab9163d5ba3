"""The tables as one array: subjects x points x sums that add.

A *point* is one index of a grid: everything fixed but the clip. What a subject adds to a point is a short
vector of sums (bits, seconds, and the moments of prediction and gold about a common centre, or a confusion
matrix), so pooling, jackknife, bootstrap and envelope are additions along the axis of subjects.

Moments are held as plain sums about a centre near the data. That is as exact as merging them pairwise (the
centre takes the offset away), and unlike moments about each own mean such sums can be subtracted and
weighted.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

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
    "Arrays",
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
        vp *= vp > 1e-12 * spp
        vg *= vg > 1e-12 * sgg
        cov = (spg - sp * g) * ((vp > 0) & (vg > 0))
        p, g = p + centre[..., 0], g + centre[..., 1]
    return metrics.FROM_MOMENTS[metric]((n, p, g, vp, vg, cov))


def default_metric(scores: pd.DataFrame) -> str:
    """CCC where anything continuous was scored, else accuracy where anything categorical was."""
    continuous = scores["mean_pred"].notna().any()
    return "accuracy" if scores["confusion"].notna().any() and not continuous else "ccc"


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
    use = encodes["partition"] == chosen
    if not uncoded:
        use &= encodes["codec"] != "none"
    source = _Encodes(encodes[use].reset_index(drop=True), bits, charge_boxes, chosen)
    rows, row = _joined(source, scores, metric)
    if rows.empty:
        return []
    scope_code, scopes = codes(rows, SCOPE)
    out = []
    for i in range(len(scopes)):
        own = np.flatnonzero(scope_code == i)
        out.append(_scope(rows.iloc[own], row[own], source, metric, scopes.iloc[i].to_dict()))
    return out


class Arrays:
    """The arrays of a pair of tables, made once for as many curves, envelopes and deltas as are drawn from them.

    Parameters
    ----------
    encodes, scores, metric, bits, charge_boxes, partition
        As in `collect`.
    """

    def __init__(
        self,
        encodes: pd.DataFrame,
        scores: pd.DataFrame,
        metric: str = "ccc",
        *,
        bits: str = "payload",
        charge_boxes: bool = False,
        partition: str | None = None,
    ) -> None:
        self._tables = (encodes, scores, metric)
        self._options: dict[str, Any] = {"bits": bits, "charge_boxes": charge_boxes}
        self._partition = partition
        self._made: dict[tuple[bool, str | None], list[Points]] = {}
        self.kept: dict[Any, Any] = {}
        """What else was made of these arrays and may be asked for again."""

    def parts(self, *, uncoded: bool = True, partition: str | None = None) -> list[Points]:
        """What `collect` gives, of another partition where one is named."""
        key = (uncoded, partition or self._partition)
        if key not in self._made:
            self._made[key] = collect(*self._tables, uncoded=uncoded, partition=key[1], **self._options)
        return self._made[key]


class _Encodes:
    """The table of encodes as numbers: strings are compared once here, and not once for each score."""

    def __init__(self, table: pd.DataFrame, bits: str, charge_boxes: bool, partition: str) -> None:
        if table["encode"].duplicated().any():
            name = table.loc[table["encode"].duplicated(), "encode"].iloc[0]
            raise InputError(f"The table encodes has the encode {name} twice; each must be there once.")

        def numbers(name: str) -> Array:
            return table[name].to_numpy(dtype=np.float64, na_value=np.nan)

        self.table = table
        self.partition = partition
        self.condition, self.conditions = codes(table, CONDITION)
        self.clip, clips = pd.factorize(table["clip"], sort=True)
        self.clips = [str(name) for name in clips]
        subject = table["subject"].fillna(table["clip"])
        self.subject, subjects = pd.factorize(subject, sort=True)
        self.subjects = [str(name) for name in subjects]
        coded = (table["codec"] != "none").to_numpy()
        cost = numbers(f"{bits}_bits")
        if charge_boxes:
            cost = cost + np.nan_to_num(numbers("box_bits"))
        self.bits, self.seconds = np.where(coded, cost, 0.0), np.where(coded, numbers("seconds"), 0.0)
        rank = {name: i for i, name in enumerate(_WORST)}
        status, names = pd.factorize(table["rate_status"])
        self.status = np.array([*(rank.get(str(name), 1) for name in names), 1])[status]
        self.face_px, self.psnr = numbers("face_px"), numbers("psnr")
        with np.errstate(invalid="ignore"):
            self.larger = (numbers("coded_width") > numbers("width")) | (
                numbers("coded_height") > numbers("height")
            )
        refused = np.zeros(len(self.conditions), dtype=bool)
        refused[self.condition[self.status == rank["refused"]]] = True
        self.refused = refused

    def described(self, used: NDArray[np.integer]) -> pd.DataFrame:
        """What a condition's points say of themselves, over the encodes `used`; indexed by condition."""
        table = pd.DataFrame(
            {
                "rate_status": self.status[used],
                "face_px": self.face_px[used],
                "coded_larger": self.larger[used],
                "psnr": self.psnr[used],
            }
        ).groupby(self.condition[used])
        out = table.agg({"rate_status": "max", "face_px": "median", "coded_larger": "max", "psnr": "mean"})
        return out.assign(rate_status=[_WORST[i] for i in out["rate_status"]])


def _joined(source: _Encodes, scores: pd.DataFrame, metric: str) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """The scores that give the metric, and the row of `source` that each belongs to."""
    if metric in metrics.FROM_MOMENTS:
        usable = (scores["n"] > 0) & scores["mean_pred"].notna() & scores["confusion"].isna()
        columns = [*SCORE_KEY, *MOMENTS]
    else:
        usable = scores["confusion"].notna()
        columns = [*SCORE_KEY, "confusion"]
    known = usable.to_numpy(dtype=bool, na_value=False)
    if not known.any():
        return scores.head(0), np.zeros(0, dtype=np.int64)
    row = pd.Index(source.table["encode"]).get_indexer(pd.Index(scores["encode"]))
    use = known & (row >= 0)
    rows, row = scores.loc[use, columns].reset_index(drop=True), row[use].astype(np.int64)
    key, keys = codes(rows, SCORE_KEY)
    cell = (source.condition[row] * len(source.clips) + source.clip[row]) * max(len(keys), 1) + key
    # Sorting is several times faster here than np.unique, which hashes.
    if (np.diff(np.sort(cell)) == 0).any():
        order = np.argsort(cell, kind="stable")
        again = order[1:][np.diff(cell[order]) == 0].min()
        at = rows.iloc[again]
        raise InputError(
            f"Clip {source.clips[source.clip[row[again]]]!r} has two scores of {at['backend']}, "
            f"{at['target']} for one condition; tables of different runs must not be put together."
        )
    return rows, row


def codes(frame: pd.DataFrame, columns: Sequence[str]) -> tuple[NDArray[np.int64], pd.DataFrame]:
    """Number the rows by the columns' values, in sorted order; the distinct values are the second answer."""
    combined = np.zeros(len(frame), dtype=np.int64)
    room = 1
    for column in columns:
        code, values = pd.factorize(frame[column], sort=True, use_na_sentinel=True)
        if room > 2**62 // (len(values) + 1):
            combined, distinct = pd.factorize(combined, sort=True)
            room = len(distinct)
        combined = combined * (len(values) + 1) + code + 1
        room *= len(values) + 1
    label, distinct = pd.factorize(combined, sort=True)
    first = np.full(len(distinct), len(frame), dtype=np.int64)
    np.minimum.at(first, label, np.arange(len(frame)))
    return label.astype(np.int64), frame[list(columns)].iloc[first].reset_index(drop=True)


def _scope(
    rows: pd.DataFrame,
    row: NDArray[np.int64],
    source: _Encodes,
    metric: str,
    scope: dict[Hashable, Any],
) -> Points:
    left_out: list[dict[str, str]] = []
    gone = source.refused[source.condition[row]]
    for index in np.unique(source.condition[row[gone]]):
        what = " ".join(str(value) for value in source.conditions.iloc[index])
        left_out.append({"kind": "point", "name": what, "reason": "refused by the encoder for a clip"})
    rows, row = rows[~gone], row[~gone]

    backend, backends = pd.factorize(rows["backend"], sort=True)
    which, point = np.unique(backend * len(source.conditions) + source.condition[row], return_inverse=True)
    points = len(which)
    have = np.bincount(source.clip[row], minlength=len(source.clips))
    for index in np.flatnonzero(have < points):
        reason = f"has no value at {points - have[index]} of {points} points"
        left_out.append({"kind": "clip", "name": source.clips[index], "reason": reason})
    whole = (have == points) & (points > 0)
    if not whole.any():
        raise NotComparableError(
            f"No clip has a value at all {points} points of {scope['target']} against {scope['gold']}, so "
            "nothing can be pooled; finish the run, or leave out the conditions that are incomplete."
        )
    keep = whole[source.clip[row]]
    rows, row, point = rows[keep], row[keep], point[keep]

    condition = which % len(source.conditions)
    names = pd.Series(backends[which // len(source.conditions)], name="backend")
    keys = pd.concat([names, source.conditions.iloc[condition].reset_index(drop=True)], axis=1)
    keys = keys.assign(**{name: scope[name] for name in SCOPE})[list(GRID)]
    keys["partition"] = source.partition
    described = source.described(np.unique(row)).loc[condition].reset_index(drop=True)
    keys = pd.concat([keys, described], axis=1)

    own, subject = np.unique(source.subject[row], return_inverse=True)
    columns, centre = _summed(rows, metric, point)
    shape = (len(own), points)
    cell = subject * points + point
    stats = np.empty((*shape, 2 + len(columns)))
    for k, column in enumerate((source.bits[row], source.seconds[row], *columns)):
        stats[..., k] = np.bincount(cell, column, shape[0] * shape[1]).reshape(shape)
    keys["rate_status"] = _pooled_status(keys, kbps(stats.sum(axis=0)))
    return Points(
        keys,
        stats,
        centre,
        metric,
        [source.subjects[i] for i in own],
        [source.clips[i] for i in np.flatnonzero(whole)],
        pd.DataFrame(left_out, columns=["kind", "name", "reason"]).assign(**{k: scope[k] for k in SCOPE}),
    )


def _pooled_status(keys: pd.DataFrame, pooled: Array) -> list[str]:
    target = keys["rate"].to_numpy(dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        off = np.abs(pooled / target - 1) > MISSED
    far = off & keys["mode"].isin(_RATE_MODES).to_numpy() & (keys["rate_status"] == "ok").to_numpy()
    return list(np.where(far, "missed", keys["rate_status"]))


def _confusion(text: str) -> Array:
    try:
        return metrics.parse_confusion(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"The table scores holds a confusion matrix that is none ({error}): {str(text)[:40]!r}; it is a JSON table "
            "such as [[5, 1], [0, 4]]."
        ) from error


def _summed(rows: pd.DataFrame, metric: str, point: NDArray[np.int64]) -> tuple[list[Array], Array]:
    points = int(point.max()) + 1
    if metric in metrics.FROM_CONFUSION:
        texts, table = pd.factorize(rows["confusion"])
        parsed = [_confusion(text) for text in table]
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
