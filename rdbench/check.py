"""A run against a reference: has recognition got worse, or dearer?

Each curve that both have gets a verdict from the simultaneous interval of its loss over all curves that are
judged: regressed where even the lower end is above the tolerance, improved where even the upper end is below
minus the tolerance, same where the interval lies within, else inconclusive. A gate that would miss losses larger
than its tolerance passes nothing, whatever the verdicts. Identical tables are the same before anything is asked of
them, so they need neither a metric nor a complete clip; the exact differences on this very set of clips are told
beside the verdict.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from rdbench.bd import Delta, Side, bd_accuracy, bd_rate, percent
from rdbench.envelope import side_of
from rdbench.errors import InputError, NotComparableError
from rdbench.interpolation import DEFAULT
from rdbench.intervals import LEVEL, MIN_SUBJECTS, simultaneous
from rdbench.metrics import FROM_CONFUSION, FROM_MOMENTS, METRICS, higher_is_better
from rdbench.points import BITS, CURVE, SCOPE, Points, codes, collect, default_partition
from rdbench.suggestion import did_you_mean
from rdbench.tables import CONDITION, ENCODES, SCORE_KEY, SCORES

__all__ = ["COLUMNS", "POWER", "VARY", "Verdict", "check", "judge", "parse_share"]

VARY = {"weights": "weights", "encoder": "build", "profile": "profile"}
"""What may be declared to differ, and the column that shows it."""
POWER = 0.8
"""The smallest detectable loss is the one that is found this often."""
VERDICTS = ("regressed", "improved", "same", "inconclusive", "not comparable")

_BITS = (*(f"{name}_bits" for name in BITS), "box_bits")
# What identical tables share: everything but names that hash what is declared to vary.
_ENCODE_VALUES = tuple(
    name
    for name in ENCODES
    if name not in ("encode", "clip", "partition", "source", "profile", "build", "command", *CONDITION)
)
_SCORE_VALUES = tuple(name for name in SCORES if name not in ("encode", "weights", *SCORE_KEY))
_RATE_CURVE = tuple(name for name in CONDITION if name != "rate")
_RATE, _ACCURACY = "rate", "accuracy"
_SIDES = ("run", "reference")
# The metric of each kind of score unless another is asked for, and those that it can give.
_DEFAULT = {"continuous": "ccc", "classes": "accuracy", "": ""}
_GIVES: dict[str, tuple[str, ...]] = {
    "continuous": tuple(FROM_MOMENTS),
    "classes": tuple(FROM_CONFUSION),
    "": (),
}

COLUMNS = (
    *CURVE,
    *("metric", "verdict", "reason", "decides", "identical", "points", "subjects", "clips"),
    *("bd_rate", "bd_rate_low", "bd_rate_high", "bd_rate_detectable"),
    *("bd_accuracy", "bd_accuracy_low", "bd_accuracy_high", "bd_accuracy_detectable"),
    "underpowered",
    *("encodes", "encodes_changed", "payload_bits", "payload_bits_change", "payload_change"),
    *("largest_value_change", "warning"),
)
"""The columns of `Verdict.rows`. ``decides`` is whether the curve counts for the exit code: one that only one side
has, or that has no value on either, does not. ``bd_rate`` is in per cent (positive: the run needs more bits),
``bd_accuracy`` in units of the metric (negative: the run recognises worse), their ends are simultaneous,
``_detectable`` is the smallest loss that is found 8 times in 10, and ``underpowered`` whether it exceeds the
tolerance. The last ones are exact: encodes in common and those that differ anywhere; the reference's bits (those
that are charged) over the encodes that have bits on both sides, the difference in bits and in per cent; and the
largest change of the pooled metric at any point."""


@dataclass(frozen=True)
class Verdict:
    """What `check` found.

    Parameters
    ----------
    rows : DataFrame
        One row a curve, with the columns `COLUMNS`.
    overall : str
        One of `VERDICTS`.
    exit_code : int
        0 good; 1 regressed; 3 nothing comparable, inconclusive, or a curve underpowered; 4 some units of the run
        had failed.
    settings : dict
        The tolerances and what may vary.
    notes : list of str
        What a reader must know besides the rows.
    left_out : list of str
        Clips and points that take no part, each with its reason.
    failed : int
        Units of the run that had failed.
    """

    rows: pd.DataFrame
    overall: str
    exit_code: int
    settings: dict[str, object]
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    failed: int = 0

    def counts(self) -> dict[str, int]:
        """How many curves have each verdict."""
        have = self.rows["verdict"].value_counts()
        return {name: int(have.get(name, 0)) for name in VERDICTS}


def parse_share(text: str) -> float | None:
    """A tolerance such as ``1%`` or ``0.01`` as a share; None for ``none``, where nothing is to be judged.

    Raises
    ------
    InputError
        If it is no number, negative, or not finite.
    """
    stripped = text.strip()
    if stripped.lower() == "none":
        return None
    try:
        value = float(stripped.removesuffix("%")) / (100 if stripped.endswith("%") else 1)
    except ValueError:
        value = np.nan
    if not np.isfinite(value) or value < 0:
        raise InputError(f"A tolerance is a number of 0 or more, such as 1% or 0.01, or none, not {text!r}.")
    return value


def check(
    run_tables: tuple[pd.DataFrame, pd.DataFrame],
    reference_tables: tuple[pd.DataFrame, pd.DataFrame],
    *,
    max_bd_rate: float | None = 0.01,
    max_accuracy_drop: float | None = 0.01,
    vary: Collection[str] = (),
    rate_only: bool = False,
    allow_inconclusive: bool = False,
    metric: str | None = None,
    method: str = DEFAULT,
    bits: str = "payload",
    charge_boxes: bool = False,
    partition: str | None = None,
    failed: int = 0,
    level: float = LEVEL,
) -> Verdict:
    """Compare a run with a reference, curve by curve.

    Parameters
    ----------
    run_tables, reference_tables : (encodes, scores)
        Tables with the columns of `rdbench.tables`.
    max_bd_rate : float or None
        Tolerated loss as a share of the rate (0.01 is 1 %); None: rate is not judged.
    max_accuracy_drop : float or None
        Tolerated loss in units of the metric; None: accuracy is not judged.
    vary : collection of {"weights", "encoder", "profile"}
        What is allowed to differ. Anything else that differs makes a curve not comparable.
    rate_only : bool
        Compare bits alone, exactly and without inference; scores are not looked at.
    allow_inconclusive : bool
        Inconclusive and underpowered curves do not fail the check, nor do single ones that are not comparable.
    metric : str, optional
        By default each curve's own: CCC, or accuracy where the target has classes. Curves that cannot give the
        metric that is asked for are listed and do not decide.
    method, bits, charge_boxes, partition
        As in `rdbench.bd_table.bd_table`.
    failed : int
        Units of the run that failed; the exit code is then 4.
    level : float

    Returns
    -------
    Verdict

    Raises
    ------
    InputError
        If `vary` names what cannot vary, the metric or the bits are unknown, or nothing is to be judged.
    """
    for name in vary:
        if name not in VARY:
            raise InputError(
                f"{name!r} cannot vary{did_you_mean(name, VARY) or '.'} There are {', '.join(VARY)}."
            )
    if metric is not None and metric not in METRICS:
        raise InputError(f"There is no metric {metric!r}; there are {', '.join(METRICS)}.")
    if bits not in BITS:
        raise InputError(f"There are no {bits!r} bits; there are {', '.join(BITS)}.")
    if max_bd_rate is None and (max_accuracy_drop is None or rate_only):
        raise InputError("Nothing is judged: give a tolerance for the rate or for accuracy.")
    tolerance = {
        _RATE: None if max_bd_rate is None else float(np.log1p(max_bd_rate)),
        _ACCURACY: None if rate_only else max_accuracy_drop,
    }
    settings: dict[str, object] = {
        "max_bd_rate": max_bd_rate,
        "max_accuracy_drop": None if rate_only else max_accuracy_drop,
        "vary": sorted(vary),
        "rate_only": rate_only,
        "allow_inconclusive": allow_inconclusive,
        "level": level,
        "bits": bits,
        "charge_boxes": charge_boxes,
    }
    chosen = default_partition(run_tables[0]) if partition is None else partition
    cells = _cells(run_tables, reference_tables, chosen, vary, scored=not rate_only)
    if not rate_only and cells.curves.empty:
        cells = _unscored(_cells(run_tables, reference_tables, chosen, vary, scored=False))
    charged = _Charged(cells, bits, charge_boxes)
    if rate_only:
        rows = _exact_rows(cells, charged, tolerance[_RATE] or 0.0)
        notes = ["Bits are compared exactly, on these clips alone; nothing is inferred about others."]
        left_out = cells.left_out
    else:
        rows, notes, left_out = _judged_rows(cells, charged, metric, method, tolerance, level)
        used = rows["metric"].dropna().unique()
        settings |= {"metric": metric or (str(used[0]) if len(used) == 1 else None), "method": method}
    return _verdict(rows, settings, notes, left_out, allow_inconclusive, failed)


@dataclass
class _Cells:
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


def _cells(
    run: tuple[pd.DataFrame, pd.DataFrame],
    reference: tuple[pd.DataFrame, pd.DataFrame],
    partition: str,
    vary: Collection[str],
    *,
    scored: bool,
) -> _Cells:
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
                reason[k] = f"every encode was refused in the {_SIDES[lacks]}"
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
    return _Cells(
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


def _unscored(cells: _Cells) -> _Cells:
    """Where neither side has a score, equal encodes are still the same, and others say nothing of recognition."""
    text = "nothing was scored on either side; --rate-only compares bits alone"
    reason = [why or ("" if same else text) for why, same in zip(cells.reason, cells.identical, strict=True)]
    return replace(cells, curves=cells.curves.reindex(columns=list(CURVE)), reason=reason)


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
    for side, one, name in zip(sides, cells, _SIDES, strict=True):
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
    for side, one, name in zip(sides, cells, _SIDES, strict=True):
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


class _Charged:
    """The bits that make the rate, of every cell in common.

    What an encoder refused has no bits; it is no encode of 0 bits, so sums hold only what has bits on both sides.
    """

    def __init__(self, cells: _Cells, bits: str, charge_boxes: bool) -> None:
        self.bits, self.charge_boxes = bits, charge_boxes
        self.cells = cells.bits[0][["curve", "point", "clip", "subject"]]
        self.value: list[NDArray[np.int64]] = []
        self.have: list[NDArray[np.bool_]] = []
        for table in cells.bits:
            count = table[f"{bits}_bits"]
            value = count.to_numpy(np.int64, na_value=0)
            if charge_boxes:
                value = value + table["box_bits"].to_numpy(np.int64, na_value=0)
            self.value.append(value)
            self.have.append(count.notna().to_numpy())
        self.both = self.have[0] & self.have[1]

    def columns(self, cells: _Cells) -> list[dict[str, object]]:
        """The exact differences of each curve."""
        number = len(cells.curves)
        curve = self.cells["curve"].to_numpy()[self.both]
        after, before = np.zeros((2, number), dtype=np.int64)
        for total, value in zip((after, before), self.value, strict=True):
            np.add.at(total, curve, value[self.both])
        with np.errstate(invalid="ignore", divide="ignore"):
            change = np.where(before > 0, 100 * (after - before) / np.maximum(before, 1), np.nan)
        return [
            {
                "identical": bool(cells.identical[i]),
                "encodes": int(cells.common[i]),
                "encodes_changed": int(cells.changed[i]),
                "payload_bits": int(before[i]),
                "payload_bits_change": int(after[i] - before[i]),
                "payload_change": float(change[i]),
            }
            for i in range(number)
        ]

    def log_ratio(self, use: NDArray[np.bool_]) -> float:
        """Mean over points of the log ratio of bits, run over reference, over these cells."""
        point = self.cells["point"].to_numpy()[use]
        label = np.unique(point, return_inverse=True)[1]
        after, before = (np.bincount(label, value[use]) for value in self.value)
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(np.log(after / before).mean())

    def sizes(self, cells: _Cells, use: NDArray[np.bool_] | None = None) -> list[dict[str, int]]:
        """How many points, subjects and clips the cells in common (or some of them) are of, for each curve."""
        table = self.cells if use is None else self.cells[use]
        number = table.groupby("curve").nunique().reindex(range(len(cells.curves)), fill_value=0)
        return [{f"{k}s": int(v) for k, v in row.items()} for row in number.to_dict("records")]


def _exact_rows(cells: _Cells, charged: _Charged, tolerance: float) -> pd.DataFrame:
    rows = _named_rows(cells, charged)
    curve = charged.cells["curve"].to_numpy()
    whole, with_bits = charged.sizes(cells), charged.sizes(cells, charged.both)
    for i, (row, same) in enumerate(zip(rows, cells.same(), strict=True)):
        if cells.reason[i]:
            continue
        own = curve == i
        use = own & charged.both
        row |= whole[i] if same else with_bits[i]
        alone = [
            f"{count} encode{'s have' if count != 1 else ' has'} bits in the {name} alone"
            for have, name in zip(charged.have, _SIDES, strict=True)
            if (count := int((own & have & ~charged.both).sum()))
        ]
        if same:
            row |= {"verdict": "same", "reason": "identical", "bd_rate": 0.0}
        elif alone:
            row |= {"verdict": "not comparable", "reason": " and ".join(alone)}
        elif not use.any():
            reason = "neither side has bits, so it does not decide"
            row |= {"verdict": "not comparable", "reason": reason, "decides": False}
        else:
            ratio = charged.log_ratio(use)
            row["bd_rate"] = float(percent(ratio))
            row |= dict(zip(("verdict", "reason"), _exact_verdict(ratio, tolerance), strict=True))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _named_rows(cells: _Cells, charged: _Charged) -> list[dict[str, object]]:
    """Each curve's key and exact differences, and the verdict of what is not comparable."""
    rows = []
    keys = cells.curves.to_dict("records")
    for key, exact, reason, one_sided in zip(
        keys, charged.columns(cells), cells.reason, cells.one_sided, strict=True
    ):
        row: dict[str, object] = {str(k): v for k, v in key.items()} | exact
        row |= {"underpowered": False, "decides": not one_sided}
        if reason:
            row |= {"verdict": "not comparable", "reason": reason}
        rows.append(row)
    return rows


def _exact_verdict(ratio: float, tolerance: float) -> tuple[str, str]:
    if not np.isfinite(ratio):
        return "inconclusive", "there are no bits to compare"
    if ratio > tolerance:
        return "regressed", f"{percent(ratio):+.3f} % bits"
    if ratio < -tolerance:
        return "improved", f"{percent(ratio):+.3f} % bits"
    return "same", ""


@dataclass
class Judged:
    """A curve's loss in one measure."""

    curve: int
    measure: str
    loss: Delta
    sign: float  # turns the delta into a loss
    subjects: tuple[str, ...]
    low: float = np.nan
    high: float = np.nan
    detectable: float = np.nan
    verdict: str = "inconclusive"
    reason: str = ""


def _judged_rows(
    cells: _Cells,
    charged: _Charged,
    metric: str | None,
    method: str,
    tolerance: dict[str, float | None],
    level: float,
) -> tuple[pd.DataFrame, list[str], list[str]]:
    rows, sizes = _named_rows(cells, charged), charged.sizes(cells)
    left_out = list(cells.left_out)
    judged: list[Judged] = []
    families: dict[tuple[str, ...], list[int]] = {}
    scopes = cells.curves[list(SCOPE)].itertuples(index=False, name=None)
    for i, (row, same, scope) in enumerate(zip(rows, cells.same(), scopes, strict=True)):
        kind = cells.kind[i]
        own = metric or _DEFAULT[kind]
        row["metric"] = own or None
        if same:
            row |= sizes[i] | _unchanged(tolerance, row["codec"] != "none")
        elif not cells.reason[i] and own not in _GIVES[kind]:
            row |= _no_value(own)
        elif not cells.reason[i]:
            families.setdefault((own, *scope), []).append(i)
    for (own, *_), members in families.items():
        try:
            parts = _both_sides(cells, members, own, charged)
        except NotComparableError as error:
            for i in members:
                rows[i] |= {"verdict": "not comparable", "reason": str(error)}
            continue
        for points in parts:
            clips = points.left_out[points.left_out["kind"] == "clip"]
            left_out += list(clips["kind"] + " " + clips["name"] + " " + clips["reason"])
            judged += _deltas(points, cells, members, rows, own, method, tolerance)
    _intervals(judged, level)
    _compare(judged, tolerance)
    weak = _underpowered(judged, tolerance)
    of_curve: dict[int, list[Judged]] = {}
    for one in judged:
        of_curve.setdefault(one.curve, []).append(one)
    for i in (i for members in families.values() for i in members):
        if "verdict" not in rows[i]:
            _settle(rows[i], of_curve.get(i, []))
        rows[i]["underpowered"] = i in weak
    return pd.DataFrame(rows, columns=list(COLUMNS)), _power_notes(judged, tolerance), sorted(set(left_out))


def _no_value(metric: str) -> dict[str, object]:
    reason = f"neither side has a {f'value of {metric}' if metric else 'score'}, so it does not decide"
    return {"verdict": "not comparable", "reason": reason, "decides": False}


def _unchanged(tolerance: dict[str, float | None], coded: bool) -> dict[str, object]:
    row: dict[str, object] = {"verdict": "same", "reason": "identical"}
    row |= {"largest_value_change": 0.0, "warning": ""}
    for measure, name in ((_RATE, "bd_rate"), (_ACCURACY, "bd_accuracy")):
        if tolerance[measure] is not None and (coded or measure == _ACCURACY):
            row |= {f"{name}{part}": 0.0 for part in ("", "_low", "_high", "_detectable")}
    return row


def _both_sides(cells: _Cells, members: list[int], metric: str, charged: _Charged) -> list[Points]:
    """Both sides of the curves of one scope as one set of points, so that everything covers the same clips."""
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
        bits=charged.bits,
        charge_boxes=charged.charge_boxes,
    )


def _deltas(
    points: Points,
    cells: _Cells,
    members: list[int],
    rows: list[dict[str, object]],
    metric: str,
    method: str,
    tolerance: dict[str, float | None],
) -> list[Judged]:
    keys = points.keys.assign(side=points.keys["backend"].str[0], backend=points.keys["backend"].str[1:])
    label, names = codes(keys, ("side", *CURVE))
    at = {
        tuple(name): np.flatnonzero(label == i)
        for i, name in enumerate(names.itertuples(index=False, name=None))
    }
    out = []
    curves = cells.curves.iloc[members].itertuples(index=False, name=None)
    for i, name in zip(members, curves, strict=True):
        before, after = at.get(("A", *name)), at.get(("B", *name))
        if before is None or after is None:
            reason = f"no point has a value of {metric} on both sides"
            rows[i] |= {"verdict": "not comparable", "reason": reason}
            continue
        anchor, test = side_of(points, before), side_of(points, after)
        if not (np.isfinite(anchor.value).any() or np.isfinite(test.value).any()):
            rows[i] |= _no_value(metric)
            continue
        rows[i] |= {
            "points": len(after),
            "subjects": len(points.subjects),
            "clips": len(points.clips),
            "largest_value_change": _largest_change(keys, before, after, anchor, test),
        }
        uncoded = name[CURVE.index("codec")] == "none"
        subjects = tuple(points.subjects)
        warnings = []
        if tolerance[_RATE] is not None and not uncoded:
            delta = bd_rate(anchor, test, method=method, leave_out=False)
            warnings.append(delta.warning)
            out.append(Judged(i, _RATE, delta, 1.0, subjects))
            rows[i]["bd_rate"] = float(percent(delta.value))
        if tolerance[_ACCURACY] is not None:
            delta = (
                _difference(anchor, test, metric)
                if uncoded
                else bd_accuracy(anchor, test, method=method, leave_out=False)
            )
            warnings.append(delta.warning)
            out.append(Judged(i, _ACCURACY, delta, -1.0, subjects))
            rows[i]["bd_accuracy"] = delta.value
        rows[i]["warning"] = "; ".join(dict.fromkeys(one for one in warnings if one))
    return out


def judge(
    rate: tuple[NDArray[np.float64], NDArray[np.float64]],
    accuracy: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    *,
    tolerances: Sequence[tuple[float, float | None]],
    level: float = LEVEL,
    draws: int = 4000,
) -> list[list[str]]:
    """The verdicts of a family of curves over the same subjects, as `check` gives them.

    Parameters
    ----------
    rate : (curves,) and (curves, subjects) float64
        Log ratios of rates, and without each subject in turn, as `rdbench.bd.many` gives them.
    accuracy : the same, optional
        Differences of accuracy; without them rates alone are judged.
    tolerances : sequence of (float, float or None)
        Pairs of `max_bd_rate` and `max_accuracy_drop`; the family is judged under each.
    level : float
    draws : int
        As in `rdbench.intervals.simultaneous`.

    Returns
    -------
    list of list of str
        For each pair of tolerances and each curve "regressed", "improved", "same" or "inconclusive".
    """
    subjects = tuple(map(str, range(rate[1].shape[1])))
    judged: list[Judged] = []
    for measure, found, sign in ((_RATE, rate, 1.0), (_ACCURACY, accuracy, -1.0)):
        for i in range(len(rate[0]) if found is not None else 0):
            loss = Delta(float(found[0][i]), replicates=found[1][i])  # type: ignore[index]
            judged.append(Judged(i, measure, loss, sign, subjects))
    _intervals(judged, level, draws)
    out = []
    for limit, drop in tolerances:
        fresh = [replace(one) for one in judged]
        _compare(fresh, {_RATE: float(np.log1p(limit)), _ACCURACY: drop})
        rows: list[dict[str, object]] = [{} for _ in rate[0]]
        for i, row in enumerate(rows):
            _settle(row, [one for one in fresh if one.curve == i])
        out.append([str(row["verdict"]) for row in rows])
    return out


def _difference(anchor: Side, test: Side, metric: str) -> Delta:
    """Without a codec there is one point, and its difference."""
    sign = 1.0 if higher_is_better(metric) else -1.0
    value = sign * float(test.value[0] - anchor.value[0])
    if not np.isfinite(value):
        return Delta(np.nan, reason="there is no value", interval_reason="there is no value")
    return Delta(value, replicates=sign * (test.values[:, 0] - anchor.values[:, 0]))


def _largest_change(
    keys: pd.DataFrame,
    before: NDArray[np.integer],
    after: NDArray[np.integer],
    anchor: Side,
    test: Side,
) -> float:
    old = dict(zip(keys["rate"].iloc[before], anchor.value, strict=True))
    new = dict(zip(keys["rate"].iloc[after], test.value, strict=True))
    change = [abs(new[rate] - old[rate]) for rate in new if rate in old]
    return float(np.nanmax(change)) if change and not np.isnan(change).all() else np.nan


def _intervals(judged: list[Judged], level: float, draws: int = 4000) -> None:
    families: dict[tuple[str, ...], list[Judged]] = {}
    for one in judged:
        if len(one.loss.replicates) == len(one.subjects) and np.isfinite(one.loss.value):
            # A curve that does not move at all needs no room in the family.
            if np.any(one.loss.replicates != one.loss.value):
                families.setdefault(one.subjects, []).append(one)
            elif len(one.subjects) >= MIN_SUBJECTS:
                one.low = one.high = one.sign * one.loss.value
                one.detectable = 0.0
    for subjects, family in families.items():
        # Families over different subjects share the allowance for error.
        own_level = 1 - (1 - level) / len(families)
        values = np.array([one.sign * one.loss.value for one in family])
        replicates = np.stack([one.sign * one.loss.replicates for one in family], axis=1)
        found = simultaneous(values, replicates, level=own_level, draws=draws)
        reach = found.critical + stdtrit(max(len(subjects) - 1, 1), POWER)
        for k, one in enumerate(family):
            one.low, one.high = float(found.interval.low[k]), float(found.interval.high[k])
            one.detectable = float(reach * found.interval.error[k])
            one.reason = str(found.interval.reason[k])


def _underpowered(judged: list[Judged], tolerance: dict[str, float | None]) -> set[int]:
    """Curves of which larger losses than the tolerance would often go unseen."""
    limits = [(one, tolerance[one.measure]) for one in judged]
    return {one.curve for one, limit in limits if limit is not None and one.detectable > limit}


def _compare(judged: list[Judged], tolerance: dict[str, float | None]) -> None:
    for one in judged:
        limit = tolerance[one.measure]
        assert limit is not None
        if np.isnan(one.low):
            one.reason = one.loss.reason or one.reason or one.loss.interval_reason
        elif one.low > limit:
            one.verdict = "regressed"
        elif one.high < -limit:
            one.verdict = "improved"
        elif one.low >= -limit and one.high <= limit:
            one.verdict = "same"
        else:
            one.reason = "the interval reaches beyond the tolerance"


def _settle(row: dict[str, object], judged: list[Judged]) -> None:
    for one in judged:
        name = "bd_rate" if one.measure == _RATE else "bd_accuracy"
        ends = sorted((one.sign * one.low, one.sign * one.high))
        scale = percent if one.measure == _RATE else float
        row |= {
            f"{name}_low": float(scale(ends[0])),
            f"{name}_high": float(scale(ends[1])),
            f"{name}_detectable": float(scale(one.detectable)),
        }
    verdicts = {one.measure: one.verdict for one in judged}
    found = next((name for name in ("regressed", "improved") if name in verdicts.values()), None)
    if found:
        which = [measure for measure, verdict in verdicts.items() if verdict == found]
        row |= {"verdict": found, "reason": " and ".join(which)}
    elif judged and set(verdicts.values()) == {"same"}:
        row |= {"verdict": "same", "reason": ""}
    elif judged:
        texts = [f"{one.measure}: {one.reason}" for one in judged if one.verdict == "inconclusive"]
        row |= {"verdict": "inconclusive", "reason": "; ".join(texts)}
    else:
        reason = "it was not coded, and accuracy is not judged, so it does not decide"
        row |= {"verdict": "not comparable", "reason": reason, "decides": False}


def _power_notes(judged: list[Judged], tolerance: dict[str, float | None]) -> list[str]:
    notes = []
    for measure in (_RATE, _ACCURACY):
        some = [
            one.detectable
            for one in judged
            if one.measure == measure and np.isfinite(one.detectable) and one.detectable > 0
        ]
        limit = tolerance[measure]
        if not some or limit is None:
            continue
        scale, unit = (percent, " %") if measure == _RATE else (float, "")
        name = "BD-rate" if measure == _RATE else "accuracy"
        text = (
            f"The smallest loss of {name} that is found {round(10 * POWER)} times in 10: "
            f"{scale(min(some)):.3g} to {scale(max(some)):.3g}{unit}; the tolerance is {scale(limit):.3g}{unit}."
        )
        if max(some) > limit:
            text += (
                " Where it exceeds the tolerance the gate cannot tell, whatever its verdict: it takes more subjects, "
                "fewer curves or a wider tolerance."
            )
        notes.append(text)
    return notes


def _verdict(
    rows: pd.DataFrame,
    settings: dict[str, object],
    notes: list[str],
    left_out: list[str],
    allow_inconclusive: bool,
    failed: int,
) -> Verdict:
    verdicts = rows["verdict"]
    compared = verdicts.isin(("regressed", "improved", "same", "inconclusive"))
    # A curve that only one side has was never asked for there; one that both have must not drop out unseen.
    decides, weak = (rows[name].to_numpy(dtype=bool) for name in ("decides", "underpowered"))
    open_ends = (verdicts == "inconclusive") | ((verdicts == "not comparable") & decides) | weak
    if not compared.any():
        overall = "not comparable"
        notes = ["The run and the reference share nothing that may be compared.", *notes]
    elif (verdicts == "regressed").any():
        overall = "regressed"
    elif open_ends.any():
        overall = "inconclusive"
    elif (verdicts == "improved").any():
        overall = "improved"
    else:
        overall = "same"
    if failed:
        code = 4
    elif overall == "regressed":
        code = 1
    elif overall == "not comparable" or (open_ends.any() and not allow_inconclusive):
        code = 3
    else:
        code = 0
    if failed:
        notes = [f"{failed} units of the run had failed; what is compared is what is left.", *notes]
    return Verdict(rows, overall, code, settings, notes, left_out, failed)
