"""Tables as arrays: encodes and scores joined once, summed by point and subject."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.curves.points import Points, kbps
from rdbench.errors import InputError, NotComparableError
from rdbench.stats import metrics
from rdbench.tables.basis import Basis
from rdbench.tables.kinds import kinds
from rdbench.tables.schema import CONDITION, GRID, MOMENTS, SCOPE, SCORE_KEY
from rdbench.typing import Array

__all__ = ["MISSED", "Arrays", "codes", "collect"]


_WORST = ("uncoded", "ok", "missed", "ceiling", "floor", "refused")


_RATE_MODES = ("abr", "2pass")


MISSED = 0.10
"""A pooled rate further from its target than this share is missed."""


class Arrays:
    """The arrays of a pair of tables, made once for as many curves, envelopes and deltas as are drawn from them.

    Parameters
    ----------
    encodes, scores : DataFrame
        With the columns of `rdbench.tables.schema`. Rows that cannot give the metric (a confusion matrix for CCC)
        are passed over.
    basis : Basis
        What makes a rate and a value; it is carried along, so that nobody labels these arrays otherwise.

    Attributes
    ----------
    basis : Basis
        With the partition settled.
    """

    def __init__(self, encodes: pd.DataFrame, scores: pd.DataFrame, basis: Basis | None = None) -> None:
        self.encodes, self.scores = encodes, scores
        self.basis = (basis or Basis()).settled(encodes)
        self._joined: dict[str, list[_Joined]] = {}
        self._made: dict[tuple[bool, str, bool], list[Points]] = {}

    @cached_property
    def _kinds(self) -> NDArray[np.object_]:
        return kinds(self.scores)

    def _of_partition(self, partition: str) -> list[_Joined]:
        """The scores of a partition, joined for each metric that is asked for."""
        if partition not in self._joined:
            own = self.encodes[self.encodes["partition"] == partition].reset_index(drop=True)
            source = _Encodes(own, self.basis.bits, self.basis.charge_boxes, partition)
            every = {kind: given[0] for kind, given in metrics.KINDS.items()}
            metric = self.basis.metric
            asked = every if metric is None else {metrics.KIND_OF[metric]: metric}
            self._joined[partition] = [
                _Joined(source, self.scores, name, self._kinds == kind)
                for kind, name in asked.items()
                if metric is not None or (self._kinds == kind).any()
            ]
        return self._joined[partition]

    def parts(
        self, *, uncoded: bool = True, partition: str | None = None, by_clip: bool = False
    ) -> list[Points]:
        """One array for each scope and metric: that of the basis, or what each target is mainly measured by.

        Within each, all points cover the same clips: those that have a value at every point. A point that an
        encoder refused for any clip is left out, since it does not apply.

        Parameters
        ----------
        uncoded : bool
            Whether rows that were never encoded take part.
        partition : str, optional
            Another one than the basis has.
        by_clip : bool
            Take each clip for a subject.

        Raises
        ------
        InputError
            If a row is there twice.
        NotComparableError
            If no clip has a value at every point.
        """
        chosen = partition or str(self.basis.partition)
        key = (uncoded, chosen, by_clip)
        if key not in self._made:
            self._made[key] = [
                points
                for joined in self._of_partition(chosen)
                for points in _parts(joined, uncoded=uncoded, by_clip=by_clip)
            ]
        return self._made[key]


def collect(
    encodes: pd.DataFrame,
    scores: pd.DataFrame,
    metric: str | None = None,
    *,
    bits: str = "payload",
    charge_boxes: bool = False,
    partition: str | None = None,
    uncoded: bool = True,
) -> list[Points]:
    """Turn the tables into arrays, one for each scope and metric: `Arrays.parts` of a `Basis` in words.

    Parameters
    ----------
    encodes, scores : DataFrame
        With the columns of `rdbench.tables.schema`.
    metric, bits, charge_boxes, partition
        As in `rdbench.tables.basis.Basis`.
    uncoded : bool
        Whether rows that were never encoded take part.

    Raises
    ------
    InputError
        If the metric or the bits are unknown, or a row is there twice.
    NotComparableError
        If no clip has a value at every point.
    """
    basis = Basis(metric, bits, charge_boxes, partition)
    return Arrays(encodes, scores, basis).parts(uncoded=uncoded)


def _parts(joined: _Joined, *, uncoded: bool, by_clip: bool) -> list[Points]:
    use = np.ones(len(joined.row), dtype=bool) if uncoded else joined.source.coded[joined.row]
    out = []
    for i in np.unique(joined.scope[use]):
        own = np.flatnonzero(use & (joined.scope == i))
        out.append(_scope(own, joined, joined.scopes.iloc[i].to_dict(), by_clip=by_clip))
    return out


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
        self.coded = coded = (table["codec"] != "none").to_numpy(dtype=bool)
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


class _Joined:
    """The scores that give the metric as numbers, each with the row of the encodes that it belongs to.

    Strings are compared once here, whatever is then asked: of everything or of what was coded, by subject or by clip.

    Attributes
    ----------
    row, scope, backend : (scores,) int64
        Of `source`, `scopes` and `backends`.
    values : (scores, 6) float64 or (scores,) int64
        Moments, or which of `confusions`.
    """

    def __init__(
        self, source: _Encodes, scores: pd.DataFrame, metric: str, usable: NDArray[np.bool_]
    ) -> None:
        self.source, self.metric = source, metric
        moments = metric in metrics.FROM_MOMENTS
        code, names = pd.factorize(scores["encode"])
        row = np.append(pd.Index(source.table["encode"]).get_indexer(pd.Index(names)), -1)[code]
        use = usable & (row >= 0)
        self.row = row[use].astype(np.int64)
        key, keys = codes(scores.loc[use, list(SCORE_KEY)].reset_index(drop=True), SCORE_KEY)
        self._refuse_twice(key, keys)
        scope, self.scopes = codes(keys, SCOPE)
        backend, self.backends = pd.factorize(keys["backend"], sort=True)
        self.scope, self.backend = scope[key], backend.astype(np.int64)[key]
        self.confusions: list[str] = []
        self.values: NDArray[Any]
        if moments:
            self.values = scores.loc[use, list(MOMENTS)].to_numpy(dtype=np.float64)
        else:
            self.values, texts = pd.factorize(scores.loc[use, "confusion"])
            self.confusions = list(texts)

    def _refuse_twice(self, key: NDArray[np.int64], keys: pd.DataFrame) -> None:
        source, row = self.source, self.row
        cell = (source.condition[row] * len(source.clips) + source.clip[row]) * max(len(keys), 1) + key
        # Sorting is several times faster here than np.unique, which hashes.
        if (np.diff(np.sort(cell)) == 0).any():
            order = np.argsort(cell, kind="stable")
            again = order[1:][np.diff(cell[order]) == 0].min()
            at = keys.iloc[key[again]]
            raise InputError(
                f"Clip {source.clips[source.clip[row[again]]]!r} has two scores of {at['backend']}, "
                f"{at['target']} for one condition; tables of different runs must not be put together."
            )


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


def _scope(own: NDArray[np.int64], joined: _Joined, scope: dict[Hashable, Any], *, by_clip: bool) -> Points:
    source, row = joined.source, joined.row[own]
    left_out: list[dict[str, str]] = []
    gone = source.refused[source.condition[row]]
    for index in np.unique(source.condition[row[gone]]):
        what = " ".join(str(value) for value in source.conditions.iloc[index])
        left_out.append({"kind": "point", "name": what, "reason": "refused by the encoder for a clip"})
    own, row = own[~gone], row[~gone]

    backend = joined.backend[own]
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
    own, row, point = own[keep], row[keep], point[keep]

    condition = which % len(source.conditions)
    names = pd.Series(joined.backends[which // len(source.conditions)], name="backend")
    keys = pd.concat([names, source.conditions.iloc[condition].reset_index(drop=True)], axis=1)
    keys = keys.assign(**{name: scope[name] for name in SCOPE})[list(GRID)]
    keys["partition"] = source.partition
    described = source.described(np.unique(row)).loc[condition].reset_index(drop=True)
    keys = pd.concat([keys, described], axis=1)

    who, called = (source.clip, source.clips) if by_clip else (source.subject, source.subjects)
    present, subject = np.unique(who[row], return_inverse=True)
    columns, centre = _summed(joined, own, point)
    shape = (len(present), points)
    cell = subject * points + point
    stats = np.empty((*shape, 2 + len(columns)))
    for k, column in enumerate((source.bits[row], source.seconds[row], *columns)):
        stats[..., k] = np.bincount(cell, column, shape[0] * shape[1]).reshape(shape)
    keys["rate_status"] = _pooled_status(keys, kbps(stats.sum(axis=0)))
    return Points(
        keys,
        stats,
        centre,
        joined.metric,
        [called[i] for i in present],
        [source.clips[i] for i in np.flatnonzero(whole)],
        pd.DataFrame(left_out, columns=["kind", "name", "reason"]).assign(**{k: scope[k] for k in SCOPE}),
    )


def _pooled_status(keys: pd.DataFrame, pooled: Array) -> list[str]:
    """The status of points: whether the pooled rate is off its target, not whether any clip's own rate is."""
    target = keys["rate"].to_numpy(dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        off = np.abs(pooled / target - 1) > MISSED
    status = keys["rate_status"].to_numpy(dtype=object)
    asked = keys["mode"].isin(_RATE_MODES).to_numpy() & np.isin(status.astype(str), ("ok", "missed"))
    return list(np.where(asked, np.where(off, "missed", "ok"), status))


def _confusion(text: str) -> Array:
    try:
        return metrics.parse_confusion(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"The table scores holds a confusion matrix that is none ({error}): {str(text)[:40]!r}; it is a JSON table "
            "such as [[5, 1], [0, 4]]."
        ) from error


def _summed(joined: _Joined, own: NDArray[np.int64], point: NDArray[np.int64]) -> tuple[list[Array], Array]:
    points = int(point.max()) + 1
    if joined.metric in metrics.FROM_CONFUSION:
        used, texts = pd.factorize(joined.values[own])
        parsed = [_confusion(joined.confusions[i]) for i in texts]
        largest = max(len(matrix) for matrix in parsed)
        flat = np.stack([np.pad(m, (0, largest - len(m))).ravel() for m in parsed])
        return list(flat[used].T), np.zeros((points, 2))
    n, p, g, m2p, m2g, cov = joined.values[own].T
    present, backend = np.unique(joined.backend[own], return_inverse=True)
    weight = np.bincount(backend, n, len(present))
    centre_p = (np.bincount(backend, n * p, len(present)) / weight)[backend]
    centre_g = np.full(len(own), (n @ g) / n.sum())
    dp, dg = p - centre_p, g - centre_g
    columns = [n, n * dp, n * dg, m2p + n * dp * dp, m2g + n * dg * dg, cov + n * dp * dg]
    first = np.unique(point, return_index=True)[1]
    return columns, np.stack([centre_p[first], centre_g[first]], axis=-1)
