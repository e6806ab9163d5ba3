"""Bjøntegaard deltas of a run: one row for each pair of curves that two sides have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.curves.arrays import Arrays
from rdbench.curves.points import Points, kbps, metric_of_sums
from rdbench.curves.scope import KEYS, Scope, Scopes
from rdbench.curves.sides import resampled
from rdbench.errors import InputError, NotComparableError
from rdbench.stats import bd, by_clip
from rdbench.stats.bd import Delta, percent, relative_difference
from rdbench.stats.caveats import caveat, doubts
from rdbench.stats.components import over_subjects
from rdbench.stats.interpolation import DEFAULT
from rdbench.stats.intervals import LEVEL, MIN_SUBJECTS
from rdbench.tables.basis import Basis
from rdbench.typing import Array
from rdbench.words import nearest

__all__ = [
    "COLUMNS",
    "bd_table",
    "clips_are_subjects",
    "deltas_of",
    "differences_of",
    "pairs_of",
    "parse_side",
    "relative_differences",
]


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
    near = nearest(word, known)
    listed = ", ".join(known)
    return f"did you mean {near}? There are {listed}." if near else f"there are {listed}."


def bd_table(
    encodes: pd.DataFrame,
    scores: pd.DataFrame,
    anchor: str | Mapping[str, str],
    test: str | Mapping[str, str],
    *,
    metric: str | None = None,
    bits: str = "payload",
    charge_boxes: bool = False,
    partition: str | None = None,
    **settings: Any,
) -> pd.DataFrame:
    """Deltas of every pair of curves that `anchor` and `test` name; see `deltas_of`.

    Parameters
    ----------
    encodes, scores, bits, charge_boxes, partition
        As in `rdbench.curves.pooling.pooled`.
    anchor, test
        As in `deltas_of`.
    metric : str, optional
        By default each target's own: CCC, or accuracy of classes.
    **settings
        ``method``, ``larger``, ``boot``, ``per_clip`` and ``level`` of `deltas_of`.
    """
    basis = Basis(metric, bits, charge_boxes, partition)
    return deltas_of(Scopes(Arrays(encodes, scores, basis)), anchor, test, **settings)


def deltas_of(
    scopes: Scopes,
    anchor: str | Mapping[str, str],
    test: str | Mapping[str, str],
    *,
    method: str = DEFAULT,
    larger: bool = False,
    boot: int = 0,
    per_clip: bool = True,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Deltas of every pair of curves that `anchor` and `test` name.

    A key that one side leaves open takes the other side's value, so unlike variants (GOP policies, presets)
    or modes meet only where both sides name theirs. Keys that both leave open give one row for each
    combination that both sides have.

    Parameters
    ----------
    scopes : Scopes
    anchor, test : str or mapping
        As `parse_side` takes or gives them; ``factor=best`` is the envelope.
    method : {"akima", "pchip", "cubic"}
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
    settings = _Settings(method, larger, boot, level)
    clips = _of_clips(scopes.arrays) if per_clip else []
    rows: list[dict[str, object]] = []
    deltas: list[tuple[Points, Delta, Delta]] = []
    for number, scope, a, b in pairs_of(scopes, anchor, test):
        row, accuracy, rate = _row(scope, a, b, settings)
        row |= {"metric": scope.points.metric, "bits": scopes.basis.charged, "method": method}
        if per_clip:
            row |= _clip_columns(clips[number], scope, a, b, settings)
        rows.append(row)
        deltas.append((scope.points, accuracy, rate))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    _simultaneous_columns(table, deltas, level)
    table.attrs["notes"] = _notes([scope.points for scope in scopes.coded], rows, boot)
    return table


@dataclass(frozen=True)
class _Settings:
    """How deltas are computed: see `deltas_of`."""

    method: str
    larger: bool
    boot: int
    level: float


def relative_differences(
    encodes: pd.DataFrame,
    scores: pd.DataFrame,
    anchor: str | Mapping[str, str],
    test: str | Mapping[str, str],
    *,
    metric: str | None = None,
    bits: str = "payload",
    charge_boxes: bool = False,
    partition: str | None = None,
    **settings: Any,
) -> list[tuple[Array, Array, NDArray[np.bool_]]]:
    """Where along the curves the pairs of `bd_table` differ; see `differences_of`."""
    basis = Basis(metric, bits, charge_boxes, partition)
    return differences_of(Scopes(Arrays(encodes, scores, basis)), anchor, test, **settings)


def differences_of(
    scopes: Scopes,
    anchor: str | Mapping[str, str],
    test: str | Mapping[str, str],
    *,
    method: str = DEFAULT,
    larger: bool = False,
) -> list[tuple[Array, Array, NDArray[np.bool_]]]:
    """Where along the curves the pairs of `deltas_of` differ.

    Returns
    -------
    list of (accuracy, difference, told)
        As `rdbench.stats.bd.relative_difference` gives them, one for each row that `deltas_of` gives for the same, in
        its order.

    Raises
    ------
    InputError, NotComparableError
        As `deltas_of`.
    """
    return [
        relative_difference(
            *(scope.curve(key, larger=larger).side for key in (a, b)), method=method, larger=larger
        )
        for _, scope, a, b in pairs_of(scopes, anchor, test)
    ]


def pairs_of(
    scopes: Scopes, anchor: str | Mapping[str, str], test: str | Mapping[str, str]
) -> list[tuple[int, Scope, dict[str, str], dict[str, str]]]:
    """Every pair that `deltas_of` has a row for: the number of its scope, the scope, and the two curves' keys."""
    first = dict(parse_side(anchor) if isinstance(anchor, str) else anchor)
    second = dict(parse_side(test) if isinstance(test, str) else test)
    first, second = {**second, **first}, {**first, **second}
    if not scopes.arrays.parts(uncoded=False):
        raise NotComparableError(f"The run has nothing coded that has {scopes.basis.wanted}.")
    parts = [scope.points for scope in scopes.coded]
    _known(parts, first, "anchor")
    _known(parts, second, "test")
    if first == second:
        raise InputError("Anchor and test name the same curves; give them different values of some key.")
    pairs = [
        (number, scope, a, b)
        for number, scope in enumerate(scopes.coded)
        for a, b in scope.pairs(first, second)
    ]
    if not pairs:
        raise NotComparableError(_nothing(scopes.coded, first, second))
    return pairs


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


def _of_clips(arrays: Arrays) -> list[tuple[Points, NDArray[np.int64]]]:
    """The points of single clips, one for each scope, and the number of each clip's subject."""
    owner = arrays.encodes.drop_duplicates("clip").set_index("clip")["subject"]
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


def _nothing(scopes: Sequence[Scope], first: dict[str, str], second: dict[str, str]) -> str:
    golds = [
        {str(scope.points.keys["gold"].iloc[0]) for scope in scopes if scope.matching(side)}
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
    scope: Scope, a: dict[str, str], b: dict[str, str], settings: _Settings
) -> tuple[dict[str, object], Delta, Delta]:
    points = scope.points
    anchor, test = (scope.curve(key, larger=settings.larger) for key in (a, b))
    how: dict[str, Any] = {"method": settings.method, "larger": settings.larger}
    accuracy = bd.bd_accuracy(anchor.side, test.side, level=settings.level, **how)
    rate = bd.bd_rate(anchor.side, test.side, level=settings.level, **how)
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
        "chosen_on": anchor.chosen_on or test.chosen_on,
        "warning": "; ".join(
            dict.fromkeys(text for text in (accuracy.warning, rate.warning, *doubts(accuracy, rate)) if text)
        ),
    }
    row |= _columns("bd_accuracy", accuracy) | _columns("bd_rate", rate)
    if settings.boot and len(points.subjects) >= MIN_SUBJECTS:
        drawn = [
            resampled(points, curve.side, curve.stats, curve.centre, settings.boot)
            for curve in (anchor, test)
        ]
        for measure in ("accuracy", "rate"):
            interval = bd.bootstrap_interval(*drawn, measure=measure, **how)
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
    scope: Scope,
    a: dict[str, str],
    b: dict[str, str],
    settings: _Settings,
) -> dict[str, object]:
    clips, subject = of_clips
    if "best" in (a["factor"], b["factor"]):
        return {}
    sides = []
    for key in (a, b):
        # The points of single clips are those of the subjects, in the same order.
        rows = scope.rows[tuple(key[name] for name in KEYS)]
        with np.errstate(invalid="ignore", divide="ignore"):
            log_rates = np.log(kbps(clips.stats[:, rows]))
        values = metric_of_sums(clips.stats[:, rows], clips.centre[rows], clips.metric)
        sides.append(
            replace(scope.curve(key, larger=settings.larger).side, log_rates=log_rates, values=values)
        )
    out: dict[str, object] = {}
    for measure in ("accuracy", "rate"):
        values = by_clip.clip_deltas(*sides, measure=measure, method=settings.method, larger=settings.larger)
        mean = by_clip.mean_over_clips(values, subject, level=settings.level)
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
    subjects = [tuple(points.subjects) for points, _, _ in deltas]
    for name in _MEASURES:
        of_row = [accuracy if name == "bd_accuracy" else rate for _, accuracy, rate in deltas]
        scale = percent if name == "bd_rate" else np.asarray
        low, high = np.full(len(table), np.nan), np.full(len(table), np.nan)
        some = [i for i, own in enumerate(subjects) if len(of_row[i].replicates) == len(own)]
        if some:
            values, own = np.array([of_row[i].value for i in some]), [of_row[i].replicates for i in some]
            found = over_subjects(values, own, [subjects[i] for i in some], level=level)
            low[some], high[some] = scale([b.low for b in found]), scale([b.high for b in found])
        table[f"{name}_sim_low"], table[f"{name}_sim_high"] = low, high
