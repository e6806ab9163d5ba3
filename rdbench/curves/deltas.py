"""Bjøntegaard deltas of a run: one row for each pair of curves that two sides have in common."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.curves.arrays import Arrays
from rdbench.curves.envelope import Chooser
from rdbench.curves.points import Points, kbps, metric_of_sums
from rdbench.curves.scope import KEYS, Sides
from rdbench.curves.sides import resampled
from rdbench.errors import InputError, NotComparableError
from rdbench.stats import bd
from rdbench.stats.bd import Delta, Side, percent, relative_difference
from rdbench.stats.caveats import caveat
from rdbench.stats.interpolation import DEFAULT
from rdbench.stats.intervals import LEVEL, MIN_SUBJECTS, simultaneous
from rdbench.tables.reading import default_metric

__all__ = ["COLUMNS", "bd_table", "clips_are_subjects", "parse_side", "relative_differences"]


_MEASURES = ("bd_accuracy", "bd_rate")
_EACH = (
    *("", "_low", "_high", "_sim_low", "_sim_high", "_boot_low", "_boot_high", "_boot_reason"),
    *("_overlap", "_interpolation", "_reason", "_interval_reason"),
)
_CLIPS = ("", "_low", "_high", "_n")
COLUMNS = (
    *(f"anchor_{key}" for key in KEYS),
    *(f"test_{key}" for key in KEYS),
    *("gold", "scoring", "metric", "bits", "method", "subjects", "clips", "anchor_points", "test_points"),
    *(f"{measure}{part}" for measure in _MEASURES for part in _EACH),
    "displacement",
    *(f"clip_{measure}{part}" for measure in _MEASURES for part in _CLIPS),
    *("chosen_on", "warning"),
)
"""The columns of `bd_table`. ``bd_rate`` and its ends are in per cent, ``bd_accuracy`` and ``displacement``
in units of the metric, overlaps are shares, ``_interpolation`` is the largest change when one inner point is
left out, ``_sim_`` the simultaneous interval over the rows of the table, ``_boot_`` the bootstrap's, ``clip_``
the mean of per-clip deltas with ``_n`` clips that have one."""


def parse_side(text: str) -> dict[str, str]:
    """One side of a comparison from ``KEY=VALUE,...``.

    Parameters
    ----------
    text : str
        Such as ``codec=x265,factor=best``; keys are `KEYS`.

    Returns
    -------
    dict
        From key to value. ``factor`` is a whole number of 1 or more, or "best".

    Raises
    ------
    InputError
        If a key is unknown or there twice, a value is missing, or the factor is neither.
    """
    side: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            raise InputError(f"{part.strip()!r} in {text!r} is not KEY=VALUE, such as codec=x264.")
        if key not in KEYS:
            raise InputError(f"There is no key {key!r} in {text!r}; {_suggest(key, KEYS)}")
        if key in side:
            raise InputError(f"The key {key} is there twice in {text!r}; a side has one value for each key.")
        side[key] = _factor(value, text) if key == "factor" else value
    return side


def _factor(value: str, text: str) -> str:
    if value == "oracle":
        raise InputError(
            "factor=oracle is chosen on the data it is reported on, so it takes part in no comparison; "
            "use factor=best."
        )
    if value == "best":
        return value
    if not value.isdecimal() or int(value) < 1:
        raise InputError(f"The factor in {text!r} is a whole number of 1 or more, or best, not {value!r}.")
    return str(int(value))


def _suggest(word: str, known: tuple[str, ...] | list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    listed = ", ".join(known)
    return f"did you mean {close[0]}? There are {listed}." if close else f"there are {listed}."


def bd_table(
    encodes: pd.DataFrame,
    scores: pd.DataFrame,
    anchor: str | Mapping[str, str],
    test: str | Mapping[str, str],
    *,
    metric: str | None = None,
    method: str = DEFAULT,
    bits: str = "payload",
    charge_boxes: bool = False,
    partition: str | None = None,
    larger: bool = False,
    boot: int = 0,
    per_clip: bool = True,
    level: float = LEVEL,
    arrays: Arrays | None = None,
) -> pd.DataFrame:
    """Deltas of every pair of curves that `anchor` and `test` name.

    A key that one side leaves open takes the other side's value, so unlike variants (GOP policies, presets)
    or modes meet only where both sides name theirs. Keys that both leave open give one row for each
    combination that both sides have.

    Parameters
    ----------
    encodes, scores : DataFrame
        With the columns of `rdbench.tables`.
    anchor, test : str or mapping
        As `parse_side` takes or gives them; ``factor=best`` is the envelope.
    metric : str, optional
        By default CCC, or accuracy where everything is categorical.
    method : {"akima", "pchip", "cubic"}
    bits, charge_boxes, partition, arrays
        As in `rdbench.curves.pooling.pooled`.
    larger : bool
        Whether points coded larger than asked take part.
    boot : int
        Bootstrap replicates for a second opinion; 0 for none.
    per_clip : bool
        Whether the mean of per-clip deltas is computed too.
    level : float

    Returns
    -------
    DataFrame
        With the columns `COLUMNS`; ``attrs["notes"]`` lists what a reader must know besides.

    Raises
    ------
    InputError
        If a side names what the run does not have, or both name the same.
    NotComparableError
        If the sides share no curve, or are scored against different pristine references.
    """
    metric = default_metric(scores) if metric is None else metric
    options = {"bits": bits, "charge_boxes": charge_boxes, "partition": partition}
    if arrays is None:
        arrays = Arrays(encodes, scores, metric, **options)  # type: ignore[arg-type]
    parts = arrays.parts(uncoded=False)
    found = _found(encodes, scores, anchor, test, metric, partition, larger, arrays)
    of_clips = _of_clips(encodes, arrays) if per_clip else []
    rows: list[dict[str, object]] = []
    deltas: list[tuple[Points, Delta, Delta]] = []
    for number, sides, a, b in found:
        row, accuracy, rate = _row(sides, a, b, method, larger, level, boot)
        row |= {"metric": metric, "bits": bits + ("+boxes" if charge_boxes else ""), "method": method}
        if per_clip:
            row |= _clip_columns(of_clips[number], sides, a, b, method, larger, level)
        rows.append(row)
        deltas.append((sides.points, accuracy, rate))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    _simultaneous_columns(table, deltas, level)
    table.attrs["notes"] = _notes(parts, rows, boot)
    return table


def relative_differences(
    encodes: pd.DataFrame,
    scores: pd.DataFrame,
    anchor: str | Mapping[str, str],
    test: str | Mapping[str, str],
    *,
    metric: str | None = None,
    method: str = DEFAULT,
    bits: str = "payload",
    charge_boxes: bool = False,
    partition: str | None = None,
    larger: bool = False,
    arrays: Arrays | None = None,
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Where along the curves the pairs of `bd_table` differ.

    Parameters
    ----------
    encodes, scores, anchor, test, metric, method, bits, charge_boxes, partition, larger, arrays
        As in `bd_table`.

    Returns
    -------
    list of (accuracy, difference)
        As `rdbench.stats.bd.relative_difference` gives them, one for each row that `bd_table` gives for the same, in
        its order.

    Raises
    ------
    InputError, NotComparableError
        As `bd_table`.
    """
    metric = default_metric(scores) if metric is None else metric
    if arrays is None:
        arrays = Arrays(encodes, scores, metric, bits=bits, charge_boxes=charge_boxes, partition=partition)
    return [
        relative_difference(sides.get(a)[0], sides.get(b)[0], method=method, larger=larger)
        for _, sides, a, b in _found(encodes, scores, anchor, test, metric, partition, larger, arrays)
    ]


def _found(
    encodes: pd.DataFrame,
    scores: pd.DataFrame,
    anchor: str | Mapping[str, str],
    test: str | Mapping[str, str],
    metric: str,
    partition: str | None,
    larger: bool,
    arrays: Arrays,
) -> list[tuple[int, Sides, dict[str, str], dict[str, str]]]:
    """Every pair of curves: the number of its scope, the scope's curves, and the two curves' keys."""
    first = dict(parse_side(anchor) if isinstance(anchor, str) else anchor)
    second = dict(parse_side(test) if isinstance(test, str) else test)
    first, second = {**second, **first}, {**first, **second}
    parts = arrays.parts(uncoded=False)
    if not parts:
        raise NotComparableError(f"The run has nothing coded that has a value of {metric}.")
    _known(parts, first, "anchor")
    _known(parts, second, "test")
    if first == second:
        raise InputError("Anchor and test name the same curves; give them different values of some key.")
    chooser = None
    if "best" in (first.get("factor"), second.get("factor")):
        chooser = Chooser(encodes, scores, metric, partition=partition, arrays=arrays)
    found = []
    for number, points in enumerate(parts):
        sides = Sides(points, chooser, larger)
        found += [(number, sides, a, b) for a, b in _pairs(points, first, second)]
    if not found:
        raise NotComparableError(_nothing(parts, first, second))
    return found


def clips_are_subjects(points: Points) -> bool:
    """Whether every clip is its own subject, so that nothing tells which clips show the same person."""
    return set(points.subjects) == set(points.clips)


def _notes(parts: list[Points], rows: list[dict[str, object]], boot: int) -> list[str]:
    notes = []
    for points in parts:
        for one in points.left_out.itertuples():
            notes.append(f"left out: {one.kind} {one.name} {one.reason}")
        if clips_are_subjects(points):
            notes.append("each clip is its own subject, so clips are treated as independent")
        if len(points.subjects) < MIN_SUBJECTS:
            notes.append(
                f"{points.keys['target'].iloc[0]}: no intervals, since there are only {len(points.subjects)} "
                f"subjects; {MIN_SUBJECTS} are needed"
            )
    for chosen_on in sorted({str(row["chosen_on"]) for row in rows} - {""}):
        notes.append(f"factor=best: the factor at each rate was chosen on {chosen_on}")
    if boot:
        subjects = {len(points.subjects) for points in parts}
        notes += [
            text
            for quantity in ("BD-CCC", "BD-rate")
            for n in subjects
            if (text := caveat(quantity, "bootstrap", n))
        ]
    return list(dict.fromkeys(notes))


def _of_clips(encodes: pd.DataFrame, arrays: Arrays) -> list[tuple[Points, NDArray[np.int64]]]:
    owner = encodes.drop_duplicates("clip").set_index("clip")["subject"]
    out = []
    for points in arrays.parts(uncoded=False, by_clip=True):
        subject = owner.reindex(points.subjects).fillna(pd.Series(points.subjects, index=points.subjects))
        out.append((points, pd.factorize(subject, sort=True)[0].astype(np.int64)))
    return out


def _known(parts: list[Points], side: dict[str, str], name: str) -> None:
    for key, value in side.items():
        have = sorted({str(one) for points in parts for one in points.keys[key].unique()})
        if value not in have and not (key == "factor" and value == "best"):
            raise InputError(f"The run has no {key} {value!r} for the {name}; {_suggest(value, have)}")


def _matching(points: Points, side: dict[str, str]) -> list[dict[str, str]]:
    keys = points.keys[list(KEYS)].drop_duplicates().astype(str)
    fixed = {key: value for key, value in side.items() if (key, value) != ("factor", "best")}
    for key, value in fixed.items():
        keys = keys[keys[key] == value]
    if side.get("factor") == "best":
        keys = keys.assign(factor="best").drop_duplicates()
    return [{str(k): str(v) for k, v in one.items()} for one in keys.to_dict("records")]


def _pairs(
    points: Points, first: dict[str, str], second: dict[str, str]
) -> list[tuple[dict[str, str], dict[str, str]]]:
    open_keys = [key for key in KEYS if key not in first]
    tests = {tuple(curve[key] for key in open_keys): curve for curve in _matching(points, second)}
    out = []
    for curve in _matching(points, first):
        other = tests.get(tuple(curve[key] for key in open_keys))
        if other is not None:
            out.append((curve, other))
    return out


def _nothing(parts: list[Points], first: dict[str, str], second: dict[str, str]) -> str:
    golds = [
        {str(points.keys["gold"].iloc[0]) for points in parts if _matching(points, side)}
        for side in (first, second)
    ]
    if golds[0] and golds[1] and not golds[0] & golds[1]:
        return (
            f"The anchor is scored against {', '.join(sorted(golds[0]))} and the test against "
            f"{', '.join(sorted(golds[1]))}, so their values say nothing of each other; give both one "
            "common --reference."
        )
    return "Anchor and test have no curve in common: for no combination of the open keys are both there."


def _row(
    sides: Sides,
    a: dict[str, str],
    b: dict[str, str],
    method: str,
    larger: bool,
    level: float,
    boot: int,
) -> tuple[dict[str, object], Delta, Delta]:
    points = sides.points
    anchor, chosen_a, stats_a, centre_a = sides.get(a)
    test, chosen_b, stats_b, centre_b = sides.get(b)
    accuracy = bd.bd_accuracy(anchor, test, method=method, larger=larger, level=level)
    rate = bd.bd_rate(anchor, test, method=method, larger=larger, level=level)
    row: dict[str, object] = {f"anchor_{key}": a[key] for key in KEYS}
    row |= {f"test_{key}": b[key] for key in KEYS}
    row |= {
        "gold": points.keys["gold"].iloc[0],
        "scoring": points.keys["scoring"].iloc[0],
        "subjects": len(points.subjects),
        "clips": len(points.clips),
        "anchor_points": accuracy.knots[0],
        "test_points": accuracy.knots[1],
        "displacement": rate.displacement,
        "chosen_on": chosen_a or chosen_b,
        "warning": "; ".join(dict.fromkeys(one for one in (accuracy.warning, rate.warning) if one)),
    }
    row |= _columns("bd_accuracy", accuracy) | _columns("bd_rate", rate)
    if boot and len(points.subjects) >= MIN_SUBJECTS:
        drawn = [
            resampled(points, side, stats, centre, boot)
            for side, stats, centre in ((anchor, stats_a, centre_a), (test, stats_b, centre_b))
        ]
        for measure in ("accuracy", "rate"):
            interval = bd.bootstrap_interval(*drawn, measure=measure, method=method, larger=larger)
            scale = percent if measure == "rate" else float
            row[f"bd_{measure}_boot_low"] = float(scale(interval.low))
            row[f"bd_{measure}_boot_high"] = float(scale(interval.high))
            row[f"bd_{measure}_boot_reason"] = str(interval.reason[()])
    return row, accuracy, rate


def _columns(name: str, delta: Delta) -> dict[str, object]:
    scale = percent if name.endswith("rate") else float
    return {
        name: float(scale(delta.value)),
        f"{name}_low": float(scale(delta.low)),
        f"{name}_high": float(scale(delta.high)),
        f"{name}_overlap": delta.overlap,
        f"{name}_interpolation": float(scale(delta.interpolation_error)),
        f"{name}_reason": delta.reason,
        f"{name}_interval_reason": delta.interval_reason,
    }


def _clip_columns(
    of_clips: tuple[Points, NDArray[np.int64]],
    whole: Sides,
    a: dict[str, str],
    b: dict[str, str],
    method: str,
    larger: bool,
    level: float,
) -> dict[str, object]:
    clips, subject = of_clips
    out: dict[str, object] = {}
    if "best" in (a["factor"], b["factor"]):
        return out
    sides = []
    for curve in (a, b):
        # The points of single clips are those of the subjects, in the same order.
        rows = whole.rows[tuple(curve[key] for key in KEYS)]
        pooled = whole.get(curve)[0]
        with np.errstate(invalid="ignore", divide="ignore"):
            log_rates = np.log(kbps(clips.stats[:, rows]))
        values = metric_of_sums(clips.stats[:, rows], clips.centre[rows], clips.metric)
        sides.append(
            Side(
                pooled.log_rate,
                pooled.value,
                log_rates,
                values,
                pooled.larger,
                pooled.correlation,
                pooled.rising,
            )
        )
    for measure in ("accuracy", "rate"):
        values = bd.clip_deltas(*sides, measure=measure, method=method, larger=larger)
        mean = bd.mean_over_clips(values, subject, level=level)
        scale = percent if measure == "rate" else float
        name = f"clip_bd_{measure}"
        out |= {
            name: float(scale(mean.value)),
            f"{name}_low": float(scale(mean.low)),
            f"{name}_high": float(scale(mean.high)),
            f"{name}_n": mean.knots[0],
        }
    return out


def _simultaneous_columns(
    table: pd.DataFrame, deltas: list[tuple[Points, Delta, Delta]], level: float
) -> None:
    families: dict[tuple[str, ...], list[int]] = {}
    for i, (points, _, _) in enumerate(deltas):
        families.setdefault(tuple(points.subjects), []).append(i)
    for name in _MEASURES:
        of_row = [accuracy if name == "bd_accuracy" else rate for _, accuracy, rate in deltas]
        scale = percent if name == "bd_rate" else np.asarray
        low, high = np.full(len(table), np.nan), np.full(len(table), np.nan)
        for subjects, members in families.items():
            some = [i for i in members if len(of_row[i].replicates) == len(subjects)]
            if not some:
                continue
            values = np.array([of_row[i].value for i in some])
            replicates = np.stack([of_row[i].replicates for i in some], axis=1)
            interval = simultaneous(values, replicates, level=level).interval
            low[some], high[some] = scale(interval.low), scale(interval.high)
        table[f"{name}_sim_low"], table[f"{name}_sim_high"] = low, high
