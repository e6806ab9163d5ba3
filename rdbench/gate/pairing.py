"""Rows of a run and of its reference as pairs: which belong together, and in what they differ."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.curves.arrays import codes
from rdbench.stats.metrics import KINDS
from rdbench.tables.kinds import kinds
from rdbench.tables.schema import CONDITION, CURVE, ENCODES, SCORE_KEY, SCORES

__all__ = [
    "RATE_CURVE",
    "SIDES",
    "Paired",
    "Side",
    "all_refused",
    "alone",
    "must_match",
    "pair_encodes",
    "pair_scores",
    "refused_points",
]

SIDES = ("run", "reference")
"""How the two sides are called, in the order in which they are given."""

# What identical tables share: everything but names that hash what is declared to vary.
_ENCODE_VALUES = tuple(
    name
    for name in ENCODES
    if name not in ("encode", "clip", "partition", "source", "profile", "build", "command", *CONDITION)
)
_SCORE_VALUES = tuple(name for name in SCORES if name not in ("encode", "weights", *SCORE_KEY))
_ENCODER, _PROBED = "encoder", r" [0-9a-f]{12}$"
RATE_CURVE = tuple(name for name in CONDITION if name != "rate")
"""The columns that name a curve of encodes alone."""


@dataclass(frozen=True)
class Side:
    """The rows of one side as numbers that both sides share; `pair` is -1 where the other lacks it."""

    curve: NDArray[np.int64]
    point: NDArray[np.int64]
    pair: NDArray[np.int64]


@dataclass(frozen=True)
class Paired:
    """Both sides row by row.

    Parameters
    ----------
    sides : (Side, Side)
        The run's and the reference's.
    curves : DataFrame
        One row a curve.
    rate_curve : (curves,) int64
        The number that each curve has among those of encodes alone.
    at : (cells,) int64
        The rows of the run's side that the reference has too.
    differs : (cells,) bool
        Where the two are unequal in anything that identical tables share.
    wrong : mapping
        What must not differ and does, as a sentence: (cells,) bool.
    common : (DataFrame, DataFrame)
        The encodes of the cells, of either side.
    kind : (curves,) object
        "continuous", "classes", or "" where neither side has a score.
    """

    sides: tuple[Side, Side]
    curves: pd.DataFrame
    rate_curve: NDArray[np.int64]
    at: NDArray[np.int64]
    differs: NDArray[np.bool_]
    wrong: Mapping[str, NDArray[np.bool_]]
    common: tuple[pd.DataFrame, pd.DataFrame]
    kind: NDArray[np.object_] = field(default_factory=lambda: np.zeros(0, dtype=object))

    def per_curve(self, curve: NDArray[np.int64], flag: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """How many rows each curve has, of those that are flagged."""
        return np.bincount(curve if flag is None else curve[flag], minlength=len(self.curves))


def pair_encodes(tables: Sequence[pd.DataFrame], checks: Sequence[tuple[str, str]]) -> Paired:
    """Pair the encodes of both sides by clip and condition.

    Parameters
    ----------
    tables : (DataFrame, DataFrame)
        The run's encodes and the reference's.
    checks : sequence of (str, str)
        As `must_match` gives them.
    """
    split = len(tables[0])
    both = pd.concat([table[["clip", *CONDITION]] for table in tables], ignore_index=True)
    cell, _ = codes(both, ["clip", *CONDITION])
    _, at_run, at_reference = np.intersect1d(cell[:split], cell[split:], return_indices=True)
    mine, theirs = tables[0].iloc[at_run], tables[1].iloc[at_reference]
    label, curves = codes(both, RATE_CURVE)
    point = codes(both, CONDITION)[0]
    pair = [np.full(len(table), -1, dtype=np.int64) for table in tables]
    pair[0][at_run] = pair[1][at_reference] = np.arange(len(mine))
    return Paired(
        sides=(Side(label[:split], point[:split], pair[0]), Side(label[split:], point[split:], pair[1])),
        curves=curves,
        rate_curve=np.arange(len(curves)),
        at=at_run,
        differs=_any_differs(mine, theirs, _ENCODE_VALUES),
        wrong={
            text: _differs(_column(mine, name), _column(theirs, name))
            for name, text in checks
            if name in (*mine, _ENCODER)
        },
        common=(mine, theirs),
        kind=np.full(len(curves), "", dtype=object),
    )


def pair_scores(
    coded: Paired,
    tables: Sequence[pd.DataFrame],
    scores: Sequence[pd.DataFrame],
    checks: Sequence[tuple[str, str]],
) -> Paired:
    """Pair the scores of both sides; what encodes say was compared once for each encode, in `coded`."""
    rows, used_scores = [], []
    for table, all_scores in zip(tables, scores, strict=True):
        row = pd.Index(table["encode"]).get_indexer(pd.Index(all_scores["encode"]))
        rows.append(row[row >= 0])
        used_scores.append(all_scores.iloc[np.flatnonzero(row >= 0)])
    every = pd.concat([table[list(SCORE_KEY)] for table in used_scores], ignore_index=True)
    key, keys = codes(every, SCORE_KEY)
    number = max(len(keys), 1)
    sides = []
    for side, row, own_key in zip(coded.sides, rows, (key[: len(rows[0])], key[len(rows[0]) :]), strict=True):
        matched = np.where(side.pair[row] < 0, -1, side.pair[row] * number + own_key)
        sides.append(Side(side.curve[row] * number + own_key, side.point[row], matched))
    pairs = np.intersect1d(sides[0].pair[sides[0].pair >= 0], sides[1].pair[sides[1].pair >= 0])
    order = [_positions(side.pair, pairs) for side in sides]
    x, y = (table.iloc[at] for table, at in zip(used_scores, order, strict=True))
    encode = pairs // number
    wrong = {text: flag[encode] for text, flag in coded.wrong.items()}
    wrong |= {text: _differs(x[name], y[name]) for name, text in checks if name in ("weights", "n")}
    wrong |= {text: _gold_differs(x, y) for name, text in checks if name == "gold"}
    used = np.unique(np.concatenate([side.curve for side in sides]))
    rate_curve = used // number
    named = keys.iloc[used % number].reset_index(drop=True)
    curves = pd.concat([named, coded.curves.iloc[rate_curve].reset_index(drop=True)], axis=1)[list(CURVE)]
    mine, theirs = (Side(np.searchsorted(used, side.curve), side.point, side.pair) for side in sides)
    return Paired(
        sides=(mine, theirs),
        curves=curves,
        rate_curve=rate_curve,
        at=order[0],
        differs=coded.differs[encode] | _any_differs(x, y, _SCORE_VALUES),
        wrong=wrong,
        common=(coded.common[0].iloc[encode], coded.common[1].iloc[encode]),
        kind=_kinds((mine, theirs), used_scores, len(curves)),
    )


def must_match(vary: Collection[str], scored: bool) -> list[tuple[str, str]]:
    """Columns that both sides must have alike where only `vary` may differ, and what to say where they have not."""
    checks = [
        ("source", "the clips differ (another source, or other labels or boxes)"),
        ("subject", "a clip belongs to another subject"),
        ("frames", "the clips have another number of frames"),
        ("width", "the pictures were brought to another size before coding (--face-size)"),
    ]
    if "profile" not in vary:
        checks.append(("profile", "another codec profile (declare it: --vary profile)"))
    if "encoder" not in vary:
        # What an encoder makes of a few pictures follows the profile too, and may vary with it.
        column = _ENCODER if "profile" in vary else "build"
        checks.append((column, "another FFmpeg build (declare it: --vary encoder)"))
    if scored:
        if "weights" not in vary:
            checks.append(("weights", "other weights (declare them: --vary weights)"))
        checks += [("n", "other frames are scored"), ("gold", "the gold values differ")]
    return checks


def _column(rows: pd.DataFrame, name: str) -> pd.Series:
    """A column, or the build without what its encoder makes of a few pictures."""
    return (
        rows["build"].astype("string").str.replace(_PROBED, "", regex=True)
        if name == _ENCODER
        else rows[name]
    )


def _any_differs(a: pd.DataFrame, b: pd.DataFrame, names: Sequence[str]) -> NDArray[np.bool_]:
    out = np.zeros(len(a), dtype=bool)
    for name in names:
        out |= _differs(a[name], b[name])
    return out


def _differs(a: pd.Series, b: pd.Series) -> NDArray[np.bool_]:
    missing_a, missing_b = a.isna().to_numpy(), b.isna().to_numpy()
    if pd.api.types.is_numeric_dtype(a) and pd.api.types.is_numeric_dtype(b):
        # Bit counts stay whole numbers: as floats large ones would pass for equal.
        whole = pd.api.types.is_integer_dtype(a) and pd.api.types.is_integer_dtype(b)
        kind = np.int64 if whole else np.float64
        unequal = np.asarray(a.to_numpy(kind, na_value=0) != b.to_numpy(kind, na_value=0))
    else:
        unequal = np.asarray(a.astype(str).to_numpy() != b.astype(str).to_numpy())
    return (missing_a != missing_b) | (unequal & ~missing_a & ~missing_b)


def _gold_differs(a: pd.DataFrame, b: pd.DataFrame) -> NDArray[np.bool_]:
    out = np.zeros(len(a), dtype=bool)
    for name in ("mean_gold", "m2_gold"):
        x, y = (side[name].to_numpy(dtype=np.float64, na_value=np.nan) for side in (a, b))
        # Labels are resampled in floating point: another machine may have other last digits.
        out |= ~np.isclose(x, y, rtol=1e-6, atol=1e-9, equal_nan=True)
    return out


def _positions(pair: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    order = np.argsort(pair, kind="stable")
    return order[np.searchsorted(pair[order], wanted)]


def _kinds(cells: Sequence[Side], tables: Sequence[pd.DataFrame], number: int) -> NDArray[np.object_]:
    """What each curve was scored for, on either side; where that differs, the kind that comes first in `KINDS`."""
    kind = np.full(number, "", dtype=object)
    found = [kinds(table) for table in tables]
    for name in reversed(KINDS):
        for side, of_side in zip(cells, found, strict=True):
            kind[np.unique(side.curve[of_side == name])] = name
    return kind


def all_refused(encodes: pd.DataFrame, curve: NDArray[np.int64]) -> set[int]:
    """Rate curves of which the encoder refused every encode."""
    refused = (encodes["rate_status"] == "refused").to_numpy()
    return set(curve[refused].tolist()) - set(curve[~refused].tolist())


def refused_points(
    sides: Sequence[pd.DataFrame], cells: Sequence[Side], curves: NDArray[np.int64]
) -> list[str]:
    """Points of these rate curves that an encoder refused for a clip, with how often on either side."""
    told: dict[str, list[str]] = {}
    for table, side, name in zip(sides, cells, SIDES, strict=True):
        refused = (table["rate_status"] == "refused").to_numpy() & np.isin(side.curve, curves)
        number = np.bincount(side.point)
        for point, count in zip(*np.unique(side.point[refused], return_counts=True), strict=True):
            first = table.iloc[np.flatnonzero(side.point == point)[0]]
            text = f"{count} of {number[point]} clips in the {name}"
            told.setdefault(_point_name(first), []).append(text)
    return [f"point {point} was refused for {' and '.join(texts)}" for point, texts in sorted(told.items())]


def alone(sides: Sequence[pd.DataFrame], cells: Sequence[Side], curves: NDArray[np.int64]) -> list[str]:
    """Clips, and else points, that only one side has of these rate curves."""
    lines = []
    paired = set(sides[0]["clip"].to_numpy()[cells[0].pair >= 0])
    for table, side, name in zip(sides, cells, SIDES, strict=True):
        lonely = table[(side.pair < 0) & np.isin(side.curve, curves)]
        whole = ~lonely["clip"].isin(paired)
        lines += [f"clip {clip} is only in the {name}" for clip in sorted(lonely.loc[whole, "clip"].unique())]
        for _, rows in lonely[~whole].groupby(list(CONDITION)):
            clips = f"{len(rows)} clip{'s' * (len(rows) != 1)}"
            lines.append(f"point {_point_name(rows.iloc[0])} is only in the {name} for {clips}")
    return lines


def _point_name(row: pd.Series) -> str:
    return " ".join(f"{row[name]:g}" if name == "rate" else str(row[name]) for name in CONDITION)
