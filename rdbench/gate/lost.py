"""What the reference has and the run lacks: curves, points, clips, subjects, or single values.

A verdict on what is left over would pass a run that lost its hardest clips, so what is lost decides, unless it was
named beforehand.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.curves.arrays import codes
from rdbench.errors import InputError
from rdbench.tables.schema import CONDITION, CURVE, MOMENTS, SCORE_KEY
from rdbench.words import did_you_mean

__all__ = ["NAMES", "Lost", "Tables", "lost_cells", "parse_allowed"]

Tables = tuple[pd.DataFrame, pd.DataFrame]
"""Encodes and scores, with the columns of `rdbench.tables.schema`."""

NAMES = (*CURVE, "rate", "clip", "subject", "value")
"""What an allowance may name; ``value`` is one of ``row``, ``score``, ``bits`` and ``frames``."""

_TOLD = 4  # single values that are named; more are counted


def parse_allowed(text: str) -> dict[str, str]:
    """An allowance such as ``codec=x265,rate=8`` or ``clip=test03a``: all of it must hold of what is lost.

    Raises
    ------
    InputError
        If a part is not ``name=value``, or its name none of `NAMES`.
    """
    allowed = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            raise InputError(f"What may be lost is written name=value, such as clip=test03a, not {part!r}.")
        if name not in NAMES:
            hint = did_you_mean(name, NAMES) or "."
            raise InputError(f"There is no {name!r} in {text!r}{hint} There are {', '.join(NAMES)}.")
        allowed[name] = value
    return allowed


@dataclass(frozen=True)
class Lost:
    """What a run has lost.

    Parameters
    ----------
    told : mapping
        What each curve has lost and may not, as a sentence, by its values of the columns of its kind as text.
    columns : tuple of str
        The columns that name a curve.
    run, reference : (encodes, scores)
        Without what may be lost.
    allowed : list of str
        What was lost and may be, a line a curve, and allowances that name nothing lost.
    """

    told: Mapping[tuple[str, ...], str]
    columns: tuple[str, ...]
    run: Tables
    reference: Tables
    allowed: list[str]


def lost_cells(
    run: Tables,
    reference: Tables,
    partition: str,
    *,
    bits: str = "payload",
    scored: bool = True,
    allow: Collection[str] = (),
) -> Lost:
    """Find what the reference has and the run lacks in one partition.

    Parameters
    ----------
    run, reference : (encodes, scores)
    partition : str
    bits : str
        Which bits an encode must have.
    scored : bool
        Look at scores; else at encodes alone, without uncoded ones.
    allow : collection of str
        What may be lost, as in `parse_allowed`.
    """
    columns = CURVE if scored else tuple(name for name in CONDITION if name != "rate")
    before, after = (_cells(tables, partition, bits, scored) for tables in (reference, run))
    key = [*columns, "rate", "clip"]
    label, _ = codes(pd.concat([before[key], after[key]], ignore_index=True), key)
    place = np.full(int(label.max(initial=-1)) + 1, -1)
    place[label[len(before) :]] = np.arange(len(after))
    at = place[label[: len(before)]]
    kind = _kinds(before, after, at)
    gone = before.assign(value=kind)[kind != ""]
    may, unused = _allowed(gone, allow)
    counterpart = at[gone.index[may]]
    kept = (
        _without(run, after["row"].to_numpy()[counterpart[counterpart >= 0]], scored),
        _without(reference, gone["row"].to_numpy()[may], scored),
    )
    allowed = [
        f"{' '.join(name for name in curve if name not in ('nan', '<NA>'))}: {text} (lost, and allowed)"
        for curve, text in _sentences(before, gone[may], columns).items()
    ]
    allowed += [f"--allow-lost {text} names nothing that was lost" for text in unused]
    return Lost(_sentences(before, gone[~may], columns), columns, kept[0], kept[1], allowed)


def _cells(tables: Tables, partition: str, bits: str, scored: bool) -> pd.DataFrame:
    encodes, scores = tables
    use = encodes["partition"] == partition
    if not scored:
        use &= encodes["codec"] != "none"
    encodes = encodes.assign(row=np.arange(len(encodes)))[use.to_numpy(bool, na_value=False)]
    out = encodes[["row", "clip", "subject", *CONDITION]]
    out = out.assign(has_bits=encodes[f"{bits}_bits"].notna() & (encodes["codec"] != "none"))
    if scored:
        at = pd.Index(encodes["encode"]).get_indexer(pd.Index(scores["encode"]))
        own = scores[at >= 0]
        out = out.iloc[at[at >= 0]].reset_index(drop=True)
        moments = own[list(MOMENTS)].to_numpy(dtype=np.float64, na_value=np.nan)
        count = own["n"].to_numpy(dtype=np.float64, na_value=0)
        has = (np.isfinite(moments).all(axis=1) & (count > 0)) | own["confusion"].notna().to_numpy()
        keys = {name: own[name].to_numpy() for name in SCORE_KEY}
        out = out.assign(row=np.flatnonzero(at >= 0), has_score=has, scored=count, **keys)
    else:
        out = out.assign(has_score=False, scored=0.0)
    return out.assign(subject=out["subject"].fillna(out["clip"])).reset_index(drop=True)


def _kinds(before: pd.DataFrame, after: pd.DataFrame, at: NDArray[np.int64]) -> NDArray[np.object_]:
    """What is lost of each cell of the reference, "" where it is all there."""
    there = at >= 0
    kind = np.full(len(before), "", dtype=object)

    def of_run(name: str) -> NDArray[np.float64]:
        out = np.zeros(len(before))
        out[there] = after[name].to_numpy(dtype=np.float64)[at[there]]
        return out

    has_score, has_bits = (before[name].to_numpy(bool) for name in ("has_score", "has_bits"))
    fewer = of_run("scored") < before["scored"].to_numpy()
    kind[has_score & fewer] = "frames"
    kind[has_bits & (of_run("has_bits") == 0)] = "bits"
    kind[has_score & (of_run("has_score") == 0)] = "score"
    kind[(has_score | has_bits) & ~there] = "row"
    return kind


def _allowed(gone: pd.DataFrame, allow: Collection[str]) -> tuple[NDArray[np.bool_], list[str]]:
    """Which of the lost cells may be lost, and the allowances that name none of them."""
    may = np.zeros(len(gone), dtype=bool)
    unused = []
    for text in allow:
        fits = np.ones(len(gone), dtype=bool)
        for name, value in parse_allowed(text).items():
            if name not in gone:
                fits[:] = False
            elif name == "rate":
                fits &= np.array([f"{rate:g}" == value or str(rate) == value for rate in gone[name]], bool)
            else:
                fits &= (gone[name].astype(str) == value).to_numpy()
        if not fits.any():
            unused.append(text)
        may |= fits
    return may, unused


def _without(tables: Tables, rows: NDArray[np.int64], scored: bool) -> Tables:
    encodes, scores = tables
    if not len(rows):
        return tables
    table = scores if scored else encodes
    keep = np.ones(len(table), dtype=bool)
    keep[rows] = False
    return (encodes, scores[keep]) if scored else (encodes[keep], scores)


def _sentences(
    before: pd.DataFrame, gone: pd.DataFrame, columns: tuple[str, ...]
) -> dict[tuple[str, ...], str]:
    """What each curve has lost, the largest things first: the whole of it, subjects, clips, points, single values."""
    if gone.empty:
        return {}
    label, curves = codes(before, list(columns))
    names = list(curves.astype(str).itertuples(index=False, name=None))
    lost = label[gone.index]
    real = (before["has_score"] | before["has_bits"]).to_numpy(bool)
    return {
        names[curve]: _sentence(before[(label == curve) & real], gone[lost == curve])
        for curve in np.unique(lost)
    }


def _sentence(whole: pd.DataFrame, gone: pd.DataFrame) -> str:
    if len(gone) == len(whole):
        kinds = set(gone["value"])
        return "the whole curve" if kinds == {"row"} else f"every {_words(kinds)}"
    parts = []
    for name in ("subject", "clip", "rate"):
        number = whole[name].value_counts()
        count = gone[name].value_counts()
        # One left of all that are no more than one another says nothing of the larger thing.
        all_of = [value for value in count.index if len(number) > 1 and count[value] == number[value]]
        alone = {value: rows["value"].unique() for value, rows in gone.groupby(name)} if all_of else {}
        for value in sorted(all_of):
            shown = f"{value:g}" if name == "rate" else str(value)
            what = "" if set(alone[value]) == {"row"} else f"{_words(set(alone[value]))} of "
            parts.append(f"{what}{name} {shown}")
        gone = gone[~gone[name].isin(all_of)]
        whole = whole[~whole[name].isin(all_of)]
    singles = [
        f"{_words({kind})} of clip {clip} at rate {rate:g}"
        for kind, clip, rate in gone[["value", "clip", "rate"]].itertuples(index=False, name=None)
    ]
    parts += singles[:_TOLD]
    if len(singles) > _TOLD:
        parts.append(f"{len(singles) - _TOLD} more single values")
    return ", ".join(parts)


def _words(kinds: set[str]) -> str:
    words = {"row": "row", "score": "score", "bits": "bit count", "frames": "scored frame count"}
    return " and ".join(words[kind] for kind in words if kind in kinds)
