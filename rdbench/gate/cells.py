"""Which rows of a run and its reference belong together: what differs, what is refused, and what stands alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.curves.arrays import codes, collect
from rdbench.curves.points import Points
from rdbench.tables.schema import BITS, CONDITION, CURVE, ENCODES, SCORE_KEY, SCORES

__all__ = ["SIDES", "Cells", "both_sides", "paired_cells", "unscored"]

SIDES = ("run", "reference")
"""How the two sides are called, in the order in which they are given."""

_BITS = (*(f"{name}_bits" for name in BITS), "box_bits")
# What identical tables share: everything but names that hash what is declared to vary.
_ENCODE_VALUES = tuple(
    name
    for name in ENCODES
    if name not in ("encode", "clip", "partition", "source", "profile", "build", "command", *CONDITION)
)
_SCORE_VALUES = tuple(name for name in SCORES if name not in ("encode", "weights", *SCORE_KEY))
_RATE_CURVE = tuple(name for name in CONDITION if name != "rate")


@dataclass
class Cells:
    """Both sides row by row: which curves they share, and where they differ."""

    curves: pd.DataFrame  # one row a curve
    reason: list[str]  # why a curve is not comparable, "" where it is
    one_sided: NDArray[np.bool_]
    identical: NDArray[np.bool_]
    common: NDArray[np.int64]  # cells in common
    changed: NDArray[np.int64]
    kind: NDArray[np.object_]  # "continuous", "classes", or "" where neither side has a score
    run: tuple[pd.DataFrame, pd.DataFrame]  # the partition's encodes, all scores
    reference: tuple[pd.DataFrame, pd.DataFrame]
    bits: tuple[pd.DataFrame, pd.DataFrame]  # curve, point, clip, subject, bit counts of the cells in common
    left_out: list[str]  # what takes no part because one side lacks it, or an encoder refused it

    def same(self) -> NDArray[np.bool_]:
        """Curves that are the same whatever is asked of them."""
        return self.identical & np.array([not reason for reason in self.reason], dtype=bool)


def paired_cells(
    run: tuple[pd.DataFrame, pd.DataFrame],
    reference: tuple[pd.DataFrame, pd.DataFrame],
    partition: str,
    vary: Collection[str],
    *,
    scored: bool,
) -> Cells:
    """Pair the rows of both sides of one partition, clip by clip and condition by condition.

    Parameters
    ----------
    run, reference : (encodes, scores)
        Tables with the columns of `rdbench.tables`.
    partition : str
    vary : collection of str
        What is allowed to differ, as in `rdbench.gate.check.check`.
    scored : bool
        Pair scores too, so that curves are those of `rdbench.tables.schema.CURVE`; else encodes alone, without uncoded ones.

    Returns
    -------
    Cells
    """
    sides = [_partition(tables[0], partition, scored) for tables in (run, reference)]
    split = len(sides[0])
    both = pd.concat([side[["clip", *CONDITION]] for side in sides], ignore_index=True)
    cell, _ = codes(both, ["clip", *CONDITION])
    _, at_run, at_reference = np.intersect1d(cell[:split], cell[split:], return_indices=True)
    a, b = sides[0].iloc[at_run], sides[1].iloc[at_reference]
    differs = _any_differs(a, b, _ENCODE_VALUES)
    checks = _must_match(vary, scored)
    wrong = {text: _differs(a[name], b[name]) for name, text in checks if name in a}
    label, curves = codes(both, _RATE_CURVE)
    point = codes(both, CONDITION)[0]
    pair = [np.full(len(side), -1, dtype=np.int64) for side in sides]
    pair[0][at_run] = pair[1][at_reference] = np.arange(len(a))
    coded = [
        _Side(label[:split], point[:split], pair[0]),
        _Side(label[split:], point[split:], pair[1]),
    ]
    cells = coded
    rate_curve = np.arange(len(curves))
    kind = np.full(len(curves), "", dtype=object)
    if scored:
        # Only now row by row of the scores: what encodes say was compared once for each encode.
        rows, tables = [], []
        for side, (_, scores) in zip(sides, (run, reference), strict=True):
            row = pd.Index(side["encode"]).get_indexer(pd.Index(scores["encode"]))
            rows.append(row[row >= 0])
            tables.append(scores.iloc[np.flatnonzero(row >= 0)])
        key, keys = codes(
            pd.concat([table[list(SCORE_KEY)] for table in tables], ignore_index=True), SCORE_KEY
        )
        key_of = [key[: len(rows[0])], key[len(rows[0]) :]]
        number = max(len(keys), 1)
        cells = []
        for one, row, own_key in zip(coded, rows, key_of, strict=True):
            matched = np.where(one.pair[row] < 0, -1, one.pair[row] * number + own_key)
            cells.append(_Side(one.curve[row] * number + own_key, one.point[row], matched))
        encode_pair = np.intersect1d(cells[0].pair[cells[0].pair >= 0], cells[1].pair[cells[1].pair >= 0])
        order = [_positions(one.pair, encode_pair) for one in cells]
        x, y = (table.iloc[at] for table, at in zip(tables, order, strict=True))
        from_encode = encode_pair // number
        differs = differs[from_encode] | _any_differs(x, y, _SCORE_VALUES)
        wrong = {text: flag[from_encode] for text, flag in wrong.items()}
        wrong |= {text: _differs(x[name], y[name]) for name, text in checks if name in ("weights", "n")}
        wrong |= {text: _gold_differs(x, y) for name, text in checks if name == "gold"}
        a, b = a.iloc[from_encode], b.iloc[from_encode]
        used = np.unique(np.concatenate([one.curve for one in cells]))
        rate_curve = used // number
        curves = pd.concat(
            [
                keys.iloc[used % number].reset_index(drop=True),
                curves.iloc[rate_curve].reset_index(drop=True),
            ],
            axis=1,
        )[list(CURVE)]
        cells = [_Side(np.searchsorted(used, one.curve), one.point, one.pair) for one in cells]
        kind = _kinds(cells, tables, len(curves))
        at = order[0]
    else:
        at = at_run
    number = len(curves)

    def per_curve(curve: NDArray[np.int64], flag: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        return np.bincount(curve if flag is None else curve[flag], minlength=number)

    own, theirs = per_curve(cells[0].curve), per_curve(cells[1].curve)
    shared = cells[0].curve[at]
    common, changed = per_curve(shared), per_curve(shared, differs)
    reason = [""] * number
    for text, flag in wrong.items():
        for at_curve in np.flatnonzero(per_curve(shared, flag)):
            reason[at_curve] = reason[at_curve] or text
    one_sided = (own == 0) | (theirs == 0)
    refused = [_all_refused(side, one.curve) for side, one in zip(sides, coded, strict=True)]
    for k in range(number):
        if one_sided[k]:
            lacks = 0 if own[k] == 0 else 1
            reason[k] = "only in the run" if lacks else "only in the reference"
            # It was asked for on both sides: what an encoder now refuses altogether must not drop out unseen.
            if rate_curve[k] in refused[lacks]:
                one_sided[k] = False
                reason[k] = f"every encode was refused in the {SIDES[lacks]}"
        elif common[k] == 0:
            reason[k] = "no clip and rate in common"
    identical = (common == own) & (common == theirs) & (changed == 0)
    compared = rate_curve[np.array([not text for text in reason], dtype=bool) & ~identical]
    left_out = _refused_points(sides, coded, compared)
    if not scored:
        left_out = _alone(sides, coded, compared) + left_out
    owner = a["subject"].fillna(a["clip"])
    names = {
        "curve": shared,
        "point": cells[0].point[at],
        "clip": pd.factorize(a["clip"])[0],
        "subject": pd.factorize(owner)[0],
    }
    counts = [one[list(_BITS)].reset_index(drop=True).assign(**names) for one in (a, b)]
    return Cells(
        curves,
        reason,
        one_sided,
        identical,
        common,
        changed,
        kind,
        (sides[0], run[1]),
        (sides[1], reference[1]),
        (counts[0], counts[1]),
        left_out,
    )


def unscored(cells: Cells) -> Cells:
    """Where neither side has a score, equal encodes are still the same, and others say nothing of recognition."""
    text = "nothing was scored on either side; --rate-only compares bits alone"
    reason = [why or ("" if same else text) for why, same in zip(cells.reason, cells.identical, strict=True)]
    return replace(cells, curves=cells.curves.reindex(columns=list(CURVE)), reason=reason)


def both_sides(cells: Cells, members: list[int], metric: str, bits: str, charge_boxes: bool) -> list[Points]:
    """Both sides of the curves of one scope as one set of points, so that everything covers the same clips.

    An A stands before the names of the reference's back-ends, a B before those of the run's.
    """
    encodes, scores = [], []
    keep = cells.curves.iloc[members]
    for mark, (table, all_scores) in (("A", cells.reference), ("B", cells.run)):
        conditions = pd.MultiIndex.from_frame(table[list(_RATE_CURVE)])
        wanted = pd.MultiIndex.from_frame(keep[list(_RATE_CURVE)])
        table = table[conditions.isin(wanted)]
        row = pd.Index(table["encode"]).get_indexer(pd.Index(all_scores["encode"]))
        score = all_scores[row >= 0]
        full = pd.concat(
            [score[list(SCORE_KEY)].reset_index(drop=True),
             table.iloc[row[row >= 0]][list(_RATE_CURVE)].reset_index(drop=True)],
            axis=1,
        )  # fmt: skip
        inside = pd.MultiIndex.from_frame(full[list(CURVE)]).isin(pd.MultiIndex.from_frame(keep[list(CURVE)]))
        score = score[inside]
        encodes.append(table.assign(encode=mark + table["encode"]))
        scores.append(score.assign(encode=mark + score["encode"], backend=mark + score["backend"]))
    return collect(
        pd.concat(encodes, ignore_index=True),
        pd.concat(scores, ignore_index=True),
        metric,
        bits=bits,
        charge_boxes=charge_boxes,
    )


@dataclass(frozen=True)
class _Side:
    """The rows of one side as numbers that both sides share; `pair` is -1 where the other lacks it."""

    curve: NDArray[np.int64]
    point: NDArray[np.int64]
    pair: NDArray[np.int64]


def _kinds(cells: Sequence[_Side], tables: Sequence[pd.DataFrame], number: int) -> NDArray[np.object_]:
    """What each curve was scored for, on either side; moments win, as they do for the whole of a table."""
    kind = np.full(number, "", dtype=object)
    classes = [table["confusion"].notna().to_numpy() for table in tables]
    moments = [
        (table["mean_pred"].notna() & (table["n"] > 0)).to_numpy(bool, na_value=False) for table in tables
    ]
    for name, flags in (
        ("classes", classes),
        ("continuous", [m & ~c for m, c in zip(moments, classes, strict=True)]),
    ):
        for one, flag in zip(cells, flags, strict=True):
            kind[np.unique(one.curve[flag])] = name
    return kind


def _all_refused(encodes: pd.DataFrame, curve: NDArray[np.int64]) -> set[int]:
    """Rate curves of which the encoder refused every encode."""
    refused = (encodes["rate_status"] == "refused").to_numpy()
    return set(curve[refused].tolist()) - set(curve[~refused].tolist())


def _refused_points(
    sides: Sequence[pd.DataFrame], cells: Sequence[_Side], curves: NDArray[np.int64]
) -> list[str]:
    """Points of these rate curves that an encoder refused for a clip, with how often on either side."""
    told: dict[str, list[str]] = {}
    for side, one, name in zip(sides, cells, SIDES, strict=True):
        refused = (side["rate_status"] == "refused").to_numpy() & np.isin(one.curve, curves)
        number = np.bincount(one.point)
        for point, count in zip(*np.unique(one.point[refused], return_counts=True), strict=True):
            first = side.iloc[np.flatnonzero(one.point == point)[0]]
            text = f"{count} of {number[point]} clips in the {name}"
            told.setdefault(_point_name(first), []).append(text)
    return [f"point {point} was refused for {' and '.join(texts)}" for point, texts in sorted(told.items())]


def _alone(sides: Sequence[pd.DataFrame], cells: Sequence[_Side], curves: NDArray[np.int64]) -> list[str]:
    """Clips, and else points, that only one side has of these rate curves."""
    lines = []
    paired = set(sides[0]["clip"].to_numpy()[cells[0].pair >= 0])
    for side, one, name in zip(sides, cells, SIDES, strict=True):
        alone = side[(one.pair < 0) & np.isin(one.curve, curves)]
        whole = ~alone["clip"].isin(paired)
        lines += [f"clip {clip} is only in the {name}" for clip in sorted(alone.loc[whole, "clip"].unique())]
        for _, rows in alone[~whole].groupby(list(CONDITION)):
            clips = f"{len(rows)} clip{'s' * (len(rows) != 1)}"
            lines.append(f"point {_point_name(rows.iloc[0])} is only in the {name} for {clips}")
    return lines


def _point_name(row: pd.Series) -> str:
    return " ".join(f"{row[name]:g}" if name == "rate" else str(row[name]) for name in CONDITION)


def _positions(pair: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    order = np.argsort(pair, kind="stable")
    return order[np.searchsorted(pair[order], wanted)]


def _any_differs(a: pd.DataFrame, b: pd.DataFrame, names: Sequence[str]) -> NDArray[np.bool_]:
    out = np.zeros(len(a), dtype=bool)
    for name in names:
        out |= _differs(a[name], b[name])
    return out


def _partition(encodes: pd.DataFrame, partition: str, scored: bool) -> pd.DataFrame:
    use = encodes["partition"] == partition
    if not scored:
        use &= encodes["codec"] != "none"
    return encodes[use].reset_index(drop=True)


def _must_match(vary: Collection[str], scored: bool) -> list[tuple[str, str]]:
    checks = [
        ("source", "the clips differ (another source, or other labels or boxes)"),
        ("subject", "a clip belongs to another subject"),
        ("frames", "the clips have another number of frames"),
        ("width", "the pictures were brought to another size before coding (--face-size)"),
    ]
    if "encoder" not in vary:
        checks.append(("build", "another FFmpeg build (declare it: --vary encoder)"))
    if "profile" not in vary:
        checks.append(("profile", "another codec profile (declare it: --vary profile)"))
    if scored:
        if "weights" not in vary:
            checks.append(("weights", "other weights (declare them: --vary weights)"))
        checks += [("n", "other frames are scored"), ("gold", "the gold values differ")]
    return checks


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
