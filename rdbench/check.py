"""A run against a reference: has recognition got worse, or dearer?

Each curve that both have gets a verdict from the simultaneous interval of its loss over all curves that are
judged: regressed where even the lower end is above the tolerance, improved where even the upper end is below
minus the tolerance, same where the interval lies within, else inconclusive. A gate that would miss losses larger
than its tolerance passes nothing, whatever the verdicts. Identical tables are the same before any inference, and the
exact differences on this very set of clips are told beside it.
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
from rdbench.intervals import LEVEL, MIN_SUBJECTS, simultaneous
from rdbench.metrics import higher_is_better
from rdbench.points import CURVE, Points, codes, collect, default_metric, default_partition
from rdbench.suggestion import did_you_mean
from rdbench.tables import CONDITION, ENCODES, SCORE_KEY, SCORES

__all__ = ["COLUMNS", "POWER", "VARY", "Verdict", "check", "judge", "parse_share"]

VARY = {"weights": "weights", "encoder": "build", "profile": "profile"}
"""What may be declared to differ, and the column that shows it."""
POWER = 0.8
"""The smallest detectable loss is the one that is found this often."""
VERDICTS = ("regressed", "improved", "same", "inconclusive", "not comparable")

_BITS = ("payload_bits", "framing_bits", "informational_bits", "filler_bits", "stream_bits")
# What identical tables share: everything but names that hash what is declared to vary.
_ENCODE_VALUES = tuple(
    name
    for name in ENCODES
    if name not in ("encode", "clip", "partition", "source", "profile", "build", "command", *CONDITION)
)
_SCORE_VALUES = tuple(name for name in SCORES if name not in ("encode", "weights", *SCORE_KEY))
_RATE_CURVE = tuple(name for name in CONDITION if name != "rate")
_RATE, _ACCURACY = "rate", "accuracy"

COLUMNS = (
    *CURVE,
    *("verdict", "reason", "identical", "points", "subjects", "clips"),
    *("bd_rate", "bd_rate_low", "bd_rate_high", "bd_rate_detectable"),
    *("bd_accuracy", "bd_accuracy_low", "bd_accuracy_high", "bd_accuracy_detectable"),
    "underpowered",
    *("encodes", "encodes_changed", "payload_bits", "payload_bits_change", "payload_change"),
    *("largest_value_change", "warning"),
)
"""The columns of `Verdict.rows`. ``bd_rate`` is in per cent (positive: the run needs more bits),
``bd_accuracy`` in units of the metric (negative: the run recognises worse), their ends are simultaneous,
``_detectable`` is the smallest loss that is found 8 times in 10, and ``underpowered`` whether it exceeds the
tolerance. The last ones are exact: encodes in common
and those that differ anywhere, the reference's payload bits, the difference in bits and in per cent, and the
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
    """

    rows: pd.DataFrame
    overall: str
    exit_code: int
    settings: dict[str, object]
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """How many curves have each verdict."""
        have = self.rows["verdict"].value_counts()
        return {name: int(have.get(name, 0)) for name in VERDICTS}


def parse_share(text: str) -> float:
    """A tolerance such as ``1%`` or ``0.01`` as a share.

    Raises
    ------
    InputError
        If it is no number, negative, or not finite.
    """
    stripped = text.strip()
    try:
        value = float(stripped.removesuffix("%")) / (100 if stripped.endswith("%") else 1)
    except ValueError:
        value = np.nan
    if not np.isfinite(value) or value < 0:
        raise InputError(f"A tolerance is a number of 0 or more, such as 1% or 0.01, not {text!r}.")
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
    method: str = "akima",
    bits: str = "payload",
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
        Inconclusive and underpowered curves do not fail the check.
    metric, method, bits, partition
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
        If `vary` names what cannot vary, or nothing is to be judged.
    """
    for name in vary:
        if name not in VARY:
            raise InputError(
                f"{name!r} cannot vary{did_you_mean(name, VARY) or '.'} There are {', '.join(VARY)}."
            )
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
    }
    chosen = default_partition(run_tables[0]) if partition is None else partition
    if rate_only:
        cells = _cells(run_tables, reference_tables, chosen, vary, scored=False)
        rows = _exact_rows(cells, bits, tolerance[_RATE] or 0.0)
        notes = ["Bits are compared exactly, on these clips alone; nothing is inferred about others."]
        return _verdict(rows, settings, notes, [], allow_inconclusive, failed)
    metric = default_metric(run_tables[1]) if metric is None else metric
    settings |= {"metric": metric, "method": method}
    cells = _cells(run_tables, reference_tables, chosen, vary, scored=True)
    rows, notes, left_out = _judged_rows(cells, metric, method, bits, chosen, tolerance, level)
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
    run: tuple[pd.DataFrame, pd.DataFrame]
    reference: tuple[pd.DataFrame, pd.DataFrame]
    bits: tuple[pd.DataFrame, pd.DataFrame]  # curve, point and bit counts of the cells in common


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
    cells = [
        _Side(label[:split], point[:split], pair[0]),
        _Side(label[split:], point[split:], pair[1]),
    ]
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
        for i in (0, 1):
            old = cells[i]
            matched = np.where(old.pair[rows[i]] < 0, -1, old.pair[rows[i]] * number + key_of[i])
            cells[i] = _Side(
                old.curve[rows[i]] * number + key_of[i], old.point[rows[i]] * number + key_of[i], matched
            )
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
        curves = pd.concat(
            [
                keys.iloc[used % number].reset_index(drop=True),
                curves.iloc[used // number].reset_index(drop=True),
            ],
            axis=1,
        )[list(CURVE)]
        cells = [_Side(np.searchsorted(used, one.curve), one.point, one.pair) for one in cells]
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
    for k in range(number):
        if one_sided[k]:
            reason[k] = "only in the reference" if own[k] == 0 else "only in the run"
        elif common[k] == 0:
            reason[k] = "no clip and rate in common"
    counts = [
        one[list(_BITS)].assign(curve=shared, point=cells[0].point[at]).reset_index(drop=True)
        for one in (a, b)
    ]
    identical = (common == own) & (common == theirs) & (changed == 0)
    return _Cells(
        curves, reason, one_sided, identical, common, changed, run, reference, (counts[0], counts[1])
    )


@dataclass(frozen=True)
class _Side:
    """The rows of one side as numbers that both sides share; `pair` is -1 where the other lacks it."""

    curve: NDArray[np.int64]
    point: NDArray[np.int64]
    pair: NDArray[np.int64]


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


def _exact_columns(cells: _Cells, bits: str) -> list[dict[str, object]]:
    run, reference = cells.bits
    name = f"{bits}_bits"
    number = len(cells.curves)

    def total(table: pd.DataFrame) -> NDArray[np.int64]:
        out = np.zeros(number, dtype=np.int64)
        np.add.at(out, table["curve"].to_numpy(), table[name].to_numpy(np.int64, na_value=0))
        return out

    after, before = total(run), total(reference)
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


def _exact_rows(cells: _Cells, bits: str, tolerance: float) -> pd.DataFrame:
    exact = _exact_columns(cells, bits)
    run, reference = cells.bits
    rows = []
    for i, key in enumerate(cells.curves.to_dict("records")):
        row: dict[str, object] = {str(k): v for k, v in key.items()} | exact[i] | {"underpowered": False}
        if cells.reason[i]:
            row |= {"verdict": "not comparable", "reason": cells.reason[i]}
        else:
            ratio = _log_ratio(run[run["curve"] == i], reference[reference["curve"] == i], f"{bits}_bits")
            row |= {"bd_rate": float(percent(ratio)), "points": run.loc[run["curve"] == i, "point"].nunique()}
            row |= dict(zip(("verdict", "reason"), _exact_verdict(ratio, tolerance), strict=True))
            if cells.identical[i]:
                row |= {"verdict": "same", "reason": "identical"}
        rows.append(row)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table.attrs["one_sided"] = cells.one_sided
    return table


def _log_ratio(run: pd.DataFrame, reference: pd.DataFrame, name: str) -> float:
    """Mean over points of the log ratio of bits, over the clips that both have."""
    after = run.groupby("point")[name].sum().to_numpy(np.float64)
    before = reference.groupby("point")[name].sum().to_numpy(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.log(after / before).mean())


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
    metric: str,
    method: str,
    bits: str,
    partition: str,
    tolerance: dict[str, float | None],
    level: float,
) -> tuple[pd.DataFrame, list[str], list[str]]:
    rows = [
        {str(k): v for k, v in key.items()} | exact
        for key, exact in zip(cells.curves.to_dict("records"), _exact_columns(cells, bits), strict=True)
    ]
    notes: list[str] = []
    left_out: list[str] = []
    judged: list[Judged] = []
    comparable = [i for i, reason in enumerate(cells.reason) if not reason]
    for i, reason in enumerate(cells.reason):
        rows[i] |= {"verdict": "not comparable", "reason": reason} if reason else {}
    if comparable:
        try:
            parts = _both_sides(cells, comparable, metric, bits, partition)
        except NotComparableError as error:
            parts = []
            for i in comparable:
                rows[i] |= {"verdict": "not comparable", "reason": str(error)}
        for points in parts:
            left_out += list(
                points.left_out["kind"] + " " + points.left_out["name"] + " " + points.left_out["reason"]
            )
            judged += _deltas(points, cells, comparable, rows, metric, method, tolerance)
        for i in comparable:
            if "subjects" not in rows[i] and "verdict" not in rows[i]:
                rows[i] |= {"verdict": "not comparable", "reason": f"no value of {metric}"}
    _intervals(judged, level)
    _compare(judged, tolerance)
    of_curve: dict[int, list[Judged]] = {}
    for one in judged:
        of_curve.setdefault(one.curve, []).append(one)
    for i in comparable:
        if "verdict" not in rows[i]:
            _settle(rows[i], of_curve.get(i, []), bool(cells.identical[i]))
    weak = _underpowered(judged, cells.identical, tolerance)
    for i, row in enumerate(rows):
        row["underpowered"] = i in weak
    notes += _power_notes(judged, rows, tolerance)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table.attrs["one_sided"] = cells.one_sided
    return table, notes, sorted(set(left_out))


def _both_sides(cells: _Cells, comparable: list[int], metric: str, bits: str, partition: str) -> list[Points]:
    """Both sides as one set of points, so that everything covers the same clips."""
    encodes, scores = [], []
    keep = cells.curves.iloc[comparable]
    for mark, tables in (("A", cells.reference), ("B", cells.run)):
        table = tables[0][tables[0]["partition"] == partition]
        conditions = pd.MultiIndex.from_frame(table[list(_RATE_CURVE)])
        wanted = pd.MultiIndex.from_frame(keep[list(_RATE_CURVE)])
        table = table[conditions.isin(wanted)]
        row = pd.Index(table["encode"]).get_indexer(pd.Index(tables[1]["encode"]))
        score = tables[1][row >= 0]
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
        partition=partition,
    )


def _deltas(
    points: Points,
    cells: _Cells,
    comparable: list[int],
    rows: list[dict[str, object]],
    metric: str,
    method: str,
    tolerance: dict[str, float | None],
) -> list[Judged]:
    keys = points.keys.assign(side=points.keys["backend"].str[0], backend=points.keys["backend"].str[1:])
    of_curve = {
        tuple(key): i
        for i, key in zip(
            comparable, cells.curves.iloc[comparable].itertuples(index=False, name=None), strict=True
        )
    }
    label, names = codes(keys, ("side", *CURVE))
    at = {
        tuple(name): np.flatnonzero(label == i)
        for i, name in enumerate(names.itertuples(index=False, name=None))
    }
    out = []
    for name, i in of_curve.items():
        before, after = at.get(("A", *name)), at.get(("B", *name))
        if before is None or after is None:
            continue
        if cells.identical[i]:
            rows[i] |= _unchanged(points, len(after), tolerance, name[CURVE.index("codec")] != "none")
            continue
        anchor, test = side_of(points, before), side_of(points, after)
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


def _unchanged(
    points: Points, count: int, tolerance: dict[str, float | None], coded: bool
) -> dict[str, object]:
    nothing = {"points": count, "subjects": len(points.subjects), "clips": len(points.clips)}
    row: dict[str, object] = {**nothing, "largest_value_change": 0.0, "warning": ""}
    for measure, name in ((_RATE, "bd_rate"), (_ACCURACY, "bd_accuracy")):
        if tolerance[measure] is not None and (coded or measure == _ACCURACY):
            row |= {f"{name}{part}": 0.0 for part in ("", "_low", "_high", "_detectable")}
    return row


def judge(
    rate: tuple[NDArray[np.float64], NDArray[np.float64]],
    accuracy: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    *,
    max_bd_rate: Sequence[float],
    max_accuracy_drop: float = 0.0,
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
    max_bd_rate : sequence of float
        Tolerances; the family is judged under each.
    max_accuracy_drop, level
        As in `check`.
    draws : int
        As in `rdbench.intervals.simultaneous`.

    Returns
    -------
    list of list of str
        For each tolerance and each curve "regressed", "improved", "same" or "inconclusive".
    """
    subjects = tuple(map(str, range(rate[1].shape[1])))
    judged: list[Judged] = []
    for measure, found, sign in ((_RATE, rate, 1.0), (_ACCURACY, accuracy, -1.0)):
        for i in range(len(rate[0]) if found is not None else 0):
            loss = Delta(float(found[0][i]), replicates=found[1][i])  # type: ignore[index]
            judged.append(Judged(i, measure, loss, sign, subjects))
    _intervals(judged, level, draws)
    out = []
    for limit in max_bd_rate:
        fresh = [replace(one) for one in judged]
        _compare(fresh, {_RATE: float(np.log1p(limit)), _ACCURACY: max_accuracy_drop})
        rows: list[dict[str, object]] = [{} for _ in rate[0]]
        for i, row in enumerate(rows):
            _settle(row, [one for one in fresh if one.curve == i], identical=False)
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


def _underpowered(
    judged: list[Judged], identical: NDArray[np.bool_], tolerance: dict[str, float | None]
) -> set[int]:
    """Curves of which larger losses than the tolerance would often go unseen."""
    limits = [(one, tolerance[one.measure]) for one in judged if not identical[one.curve]]
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


def _settle(row: dict[str, object], judged: list[Judged], identical: bool) -> None:
    for one in judged:
        name = "bd_rate" if one.measure == _RATE else "bd_accuracy"
        ends = sorted((one.sign * one.low, one.sign * one.high))
        scale = percent if one.measure == _RATE else float
        row |= {
            f"{name}_low": float(scale(ends[0])),
            f"{name}_high": float(scale(ends[1])),
            f"{name}_detectable": float(scale(one.detectable)),
        }
    if identical:
        row |= {"verdict": "same", "reason": "identical"}
        return
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
        row |= {"verdict": "not comparable", "reason": "it was not coded, and accuracy is not judged"}


def _power_notes(
    judged: list[Judged], rows: list[dict[str, object]], tolerance: dict[str, float | None]
) -> list[str]:
    notes = []
    for measure in (_RATE, _ACCURACY):
        some = [
            one.detectable
            for one in judged
            if one.measure == measure and np.isfinite(one.detectable) and one.detectable > 0
            and not rows[one.curve]["identical"]
        ]  # fmt: skip
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
    one_sided = rows.attrs.pop("one_sided")
    verdicts = rows["verdict"]
    compared = verdicts.isin(("regressed", "improved", "same", "inconclusive"))
    # A curve that only one side has was never asked for there; one that both have must not drop out unseen.
    open_ends = (verdicts == "inconclusive") | ((verdicts == "not comparable") & ~one_sided)
    open_ends |= rows["underpowered"].to_numpy(dtype=bool)
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
    return Verdict(rows, overall, code, settings, notes, left_out)
