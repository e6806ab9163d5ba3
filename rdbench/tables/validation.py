"""Tables held against themselves: what no run can have measured is told before a number is made of it.

What is merely missing (a score, a bit count, a clip) is no fault here: curves leave it out and say so. Rules look at
whole columns at once, so that a million rows take about a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.faults import Faults, Inspection, first_of_group, shown
from rdbench.stats.metrics import parse_confusion
from rdbench.tables.kinds import ACCEPTED, units_of
from rdbench.tables.schema import BITS, CONDITION, SCORE_KEY
from rdbench.typing import Array

__all__ = ["MODES", "PARTITIONS", "REGIONS", "STATUSES", "faults_of_encodes", "faults_of_scores"]

PARTITIONS = ("train", "dev", "test")
REGIONS = ("face", "frame")
MODES = ("abr", "2pass", "crf", "qp", "none")
STATUSES = ("ok", "missed", "floor", "ceiling", "refused", "uncoded")

_ROUNDING = 1e-6
"""Moments of one gold that two machines computed differ by less, as a share."""


_FASTEST = 1e5
"""Frames a second; no camera that films faces is faster."""


def faults_of_encodes(encodes: pd.DataFrame) -> Faults:
    """What cannot be in a table of encodes.

    Parameters
    ----------
    encodes : DataFrame
        With the columns and types of `rdbench.tables.schema.ENCODES`.

    Returns
    -------
    Faults
    """
    names = encodes["encode"]
    table = Inspection("encodes", encodes, lambda i: f"encode {shown(names.iloc[i])}")
    table.require(("encode", "clip", "partition", "rate_status", *CONDITION))
    table.known("partition", PARTITIONS)
    table.known("region", REGIONS)
    table.known("mode", MODES)
    table.known("rate_status", STATUSES)
    table.within("factor", 1)
    table.within("rate", 0)
    _once(table)
    _sizes(table)
    _uncoded(table)
    _bits(table)
    _clips(table)
    _builds(table)
    return table.faults


def _once(table: Inspection) -> None:
    frame = table.frame
    table.unique(_numbered(frame, ("encode",)), "encode", "an encode's name is made of its content")
    named = frame[["clip", *CONDITION]].notna().all(axis=1).to_numpy(dtype=bool)
    cell = _numbered(frame, ("clip", *CONDITION))
    # What lacks a part of its key is told already.
    cell = np.where(named, cell, -1 - np.arange(len(frame)))
    table.unique(cell, "clip", "a clip is coded once in each condition")


def _sizes(table: Inspection) -> None:
    seconds = table.within("seconds", 0, above=True)
    frames = table.within("frames", 1)
    table.refuse(
        (seconds > 0) & (seconds < frames / _FASTEST),
        "seconds",
        lambda i: f"at least {frames[i] / _FASTEST:g}, as the {frames[i]:.0f} frames of the row take",
    )
    masked = table.within("masked_frames", 0)
    table.refuse(masked > frames, "masked_frames", lambda i: f"at most the {frames[i]:.0f} frames of the row")
    table.within("face_px", 0, above=True)
    for column in ("width", "height", "coded_width", "coded_height"):
        table.within(column, 1)
    for column in ("mean_qp", "psnr_coded", "psnr"):
        table.within(column, -np.inf)


def _uncoded(table: Inspection) -> None:
    frame = table.frame
    uncoded = _equal(frame["codec"], "none")
    for column, word in (("mode", "none"), ("rate_status", "uncoded")):
        same = _equal(frame[column], word)
        there = frame[column].notna().to_numpy(dtype=bool) & frame["codec"].notna().to_numpy(dtype=bool)
        table.refuse(uncoded & ~same & there, column, f"'{word}' where the codec is 'none'")
        table.refuse(same & ~uncoded & there, column, f"another than '{word}' where there is a codec")
    table.refuse(uncoded & (table.numbers("rate") > 0), "rate", "0 where the codec is 'none'")
    for kind in BITS:
        column = f"{kind}_bits"
        table.refuse(uncoded & (table.numbers(column) > 0), column, "missing where the codec is 'none'")


def _bits(table: Inspection) -> None:
    # No picture takes no bits, and a rate of 0 has no logarithm.
    coded = table.frame["codec"].notna().to_numpy(dtype=bool) & ~_equal(table.frame["codec"], "none")
    bits = {kind: table.within(f"{kind}_bits", 0) for kind in BITS}
    table.refuse(coded & (bits["payload"] == 0), "payload_bits", "above 0 where there is a codec")
    whole = bits["payload"] + bits["framing"] + bits["informational"] + bits["filler"]
    known = np.isfinite(whole) & np.isfinite(bits["stream"])
    table.refuse(
        known & (bits["stream"] != whole),
        "stream_bits",
        lambda i: f"{whole[i]:.0f}, the sum of payload, framing, informational and filler bits",
    )
    for part in ("parameter_bits", "first_key_bits"):
        share = table.within(part, 0)
        table.refuse(
            share > bits["payload"], part, lambda i: f"at most the payload's {bits['payload'][i]:.0f}"
        )
    table.within("box_bits", 0)
    looks = table.within("box_looks", 0)
    table.refuse(
        table.within("box_misses", 0) > looks, "box_misses", lambda i: f"at most the {looks[i]:.0f} looks"
    )


def _clips(table: Inspection) -> None:
    """What belongs to a clip, and not to how it was coded."""
    frame = table.frame
    clip = pd.factorize(frame["clip"])[0].astype(np.int64)
    for column in ("subject", "partition", "source", "frames"):
        table.constant(clip, column, lambda i: f"clip {shown(frame['clip'].iloc[i])}")
    seconds = table.numbers("seconds")
    first = first_of_group(clip, np.isfinite(seconds))
    other = (clip >= 0) & (np.abs(seconds - seconds[first]) > _ROUNDING * np.abs(seconds[first]))
    table.refuse(
        other,
        "seconds",
        lambda i: f"{seconds[first[i]]:.9g} as elsewhere for clip {shown(frame['clip'].iloc[i])}",
    )


def _builds(table: Inspection) -> None:
    frame = table.frame
    codec = pd.factorize(frame["codec"])[0].astype(np.int64)
    table.constant(codec, "build", lambda i: f"codec {frame['codec'].iloc[i]}")
    variant = _numbered(frame, ("codec", "variant", "mode"))
    table.constant(variant, "profile", lambda i: f"codec {frame['codec'].iloc[i]}")


def faults_of_scores(scores: pd.DataFrame, encodes: pd.DataFrame) -> Faults:
    """What cannot be in a table of scores, by itself and beside its encodes.

    Parameters
    ----------
    scores : DataFrame
        With the columns and types of `rdbench.tables.schema.SCORES`.
    encodes : DataFrame
        Of the same run; its own faults are not looked for.

    Returns
    -------
    Faults
    """
    key = scores[["encode", *SCORE_KEY]]

    def row(i: int) -> str:
        encode, *rest = key.iloc[i]
        return f"encode {shown(encode)} of {', '.join(map(str, rest))}"

    table = Inspection("scores", scores, row)
    table.require(("encode", *SCORE_KEY))
    table.within("n", 0)
    code, names = pd.factorize(scores["encode"])
    unique = encodes.drop_duplicates("encode")
    place = np.append(pd.Index(unique["encode"]).get_indexer(pd.Index(names)), -1)[code]
    table.refuse((place < 0) & (code >= 0), "encode", "one of the table encodes")
    group, _ = _coded(scores, SCORE_KEY)
    cell = np.where(code >= 0, group * (len(names) + 1) + code, -1 - np.arange(len(scores)))
    table.unique(cell, "encode", "it has one score of each back-end, target, gold and scoring")
    backend = pd.factorize(scores["backend"])[0].astype(np.int64)
    table.constant(backend, "weights", lambda i: f"back-end {scores['backend'].iloc[i]}")
    _moments(table)
    counts = _confusions(table, group)
    _beside(table, unique, place, group, counts)
    return table.faults


def _moments(table: Inspection) -> None:
    frame = table.frame
    n = table.numbers("n")
    mean = {kind: table.within(f"mean_{kind}", -np.inf) for kind in ("pred", "gold")}
    spread = {kind: table.within(f"m2_{kind}", 0) for kind in ("pred", "gold")}
    cov = table.within("cov", -np.inf)
    together = np.stack([*mean.values(), *spread.values(), cov])
    missing = np.isnan(together)
    scored = (n > 0) & ~np.isnan(mean["pred"])
    for column, lacks in zip(("mean_pred", "mean_gold", "m2_pred", "m2_gold", "cov"), missing, strict=True):
        table.refuse(scored & lacks, column, "there where the row is scored", lambda _: "missing")
    with np.errstate(invalid="ignore", over="ignore"):
        most = np.sqrt(spread["pred"]) * np.sqrt(spread["gold"])
        wrong = np.abs(cov) > most * (1 + 1e-9) + 1e-300
    table.refuse(
        wrong & ~missing.any(axis=0),
        "cov",
        lambda i: f"within ±{most[i]:.9g}, the root of m2_pred times m2_gold (else CCC and PCC exceed 1)",
    )
    for kind in spread:
        table.refuse((n == 1) & (spread[kind] > 0), f"m2_{kind}", "0 where n is 1")
    both = frame["confusion"].notna().to_numpy(dtype=bool) & scored
    table.refuse(both, "confusion", "missing where the row has moments", lambda _: "there")


def _confusions(table: Inspection, group: NDArray[np.int64]) -> Array:
    """Hold confusion matrices to rules; gives the frames of each class by the gold, (rows, classes), NaN without any."""
    frame = table.frame
    code, texts = pd.factorize(frame["confusion"])
    if not len(texts):
        return np.zeros((len(frame), 0))
    there = code >= 0
    total, side, why = np.full(len(texts) + 1, np.nan), np.zeros(len(texts) + 1), [""] * (len(texts) + 1)
    golds: list[Array] = [np.zeros(0)] * (len(texts) + 1)
    for i, text in enumerate(texts):
        try:
            matrix = parse_confusion(text)
            if not np.isfinite(matrix).all() or (matrix != np.floor(matrix)).any():
                raise ValueError("counts are whole and finite")
            total[i], side[i], golds[i] = matrix.sum(), len(matrix), matrix.sum(axis=1)
        except (ValueError, TypeError, RecursionError, OverflowError):
            why[i] = "wrong"
    wrong = np.array([bool(text) for text in why])[code] & there
    table.refuse(wrong, "confusion", "a square JSON table of counts, such as [[5, 1], [0, 4]]")
    good = there & ~wrong
    n = table.numbers("n")
    table.refuse(
        good & ~(n == total[code]),
        "n",
        lambda i: f"{total[code[i]]:.0f}, the sum of the confusion matrix",
    )
    named, lists = pd.factorize(frame["classes"])
    sizes = np.array([*(len(_names(text)) for text in lists), 0])[named]
    table.refuse(
        good & (sizes != side[code]),
        "classes",
        lambda i: f"a JSON list of the {side[code[i]]:.0f} classes of the confusion matrix",
    )
    with_classes = np.where(good & (sizes > 0), group, -1)
    table.constant(
        with_classes, "classes", lambda i: f"{frame['backend'].iloc[i]}, {frame['target'].iloc[i]}"
    )
    counts = np.full((len(texts) + 1, int(side.max())), np.nan)
    for i, gold in enumerate(golds):
        counts[i, : len(gold)] = gold
    verified = np.array([*(_names(text) == list(ACCEPTED) for text in lists), False])[named]
    strangers = np.array([*(sum(gold[1:]) for gold in golds)])[code] > 0
    table.refuse(good & verified & strangers, "confusion", "without gold of another class than 'accepted'")
    return np.where(good[:, None], counts[code], np.nan)


def _names(text: str) -> list[str]:
    """The names of classes, none where they are no JSON list of different words."""
    try:
        names = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return []
    good = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return names if good and len(set(names)) == len(names) else []


def _beside(
    table: Inspection,
    encodes: pd.DataFrame,
    place: NDArray[np.int64],
    group: NDArray[np.int64],
    counts: Array,
) -> None:
    """Scores beside the clips they are of: no more frames than there are, and one gold in all conditions."""

    def of_encode(column: str) -> Array:
        return np.append(encodes[column].to_numpy(dtype=np.float64, na_value=np.nan), np.nan)[place]

    n, frames = table.numbers("n"), of_encode("frames")
    units = units_of(table.frame)
    most = frames * units
    table.refuse(
        n > most, "n", lambda i: f"at most {most[i]:.0f}, one answer for each frame of its encode and unit"
    )
    source, sources = _coded(encodes, ("clip", "region"))
    clip = np.append(source, -1)[place]
    same = _in_each(clip, sources, group)
    gold, spread = table.numbers("mean_gold"), table.numbers("m2_gold")
    known = np.isfinite(gold) & (spread >= 0) & (n > 0)
    first = first_of_group(same, known)
    could = (frames - np.nan_to_num(of_encode("masked_frames"))) * units
    left_out = np.nan_to_num(np.maximum(could - n, 0))
    # Of frames that could have been scored and were not, two conditions may lack different ones: so far may that
    # move the mean. A frame is no further from the mean of its own frames than the root of m2.
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.maximum(left_out, left_out[first]) / n
        width = np.sqrt(spread) + np.sqrt(spread[first])
        room = np.where(share < 1, share / (1 - share), np.inf) * width
        room = np.where(share > 0, room, 0.0)
    full = (share == 0) & (n == n[first])
    alike = known & (same >= 0) & known[first]
    _one_gold(
        *(table, alike, first, room, full),
        lambda i: "in other conditions of the clip, whose gold does not depend on the codec",
    )
    # Nor on who predicts, where each back-end was scored in every frame.
    whole = known & (left_out == 0) & (n == could)
    anyones = _in_each(
        clip, sources, _numbered(table.frame, [name for name in SCORE_KEY if name != "backend"])
    )
    first_one = first_of_group(anyones, whole)
    backend = table.frame["backend"].to_numpy()
    _one_gold(
        *(table, whole & (anyones >= 0) & whole[first_one] & (n == n[first_one]), first_one, 0.0, whole),
        lambda i: (
            f"of back-end {shown(backend[first_one[i]])}: the gold of a frame does not depend on who predicts"
        ),
    )
    # Of classes the same: no more frames of one than another condition had, and could have lacked.
    first = first_of_group(same, np.asarray(np.isfinite(counts).any(axis=1)))
    more = counts - counts[first]
    with np.errstate(invalid="ignore"):
        strange = ((more > left_out[first, None]) | (-more > left_out[:, None])).any(axis=1)
    table.refuse(
        strange & (same >= 0),
        "confusion",
        lambda i: (
            "of as many frames of each class (rows) as in other conditions of the clip, whose gold does not depend on the codec"
        ),
    )


def _in_each(clip: NDArray[np.int64], sources: int, group: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each clip and region in each group, -1 where there is no clip."""
    same = np.where(clip >= 0, group * max(sources, 1) + clip, -1)
    return np.where(same >= 0, pd.factorize(same)[0], -1).astype(np.int64)


def _one_gold(
    table: Inspection,
    use: NDArray[np.bool_],
    first: NDArray[np.int64],
    room: Array | float,
    full: NDArray[np.bool_],
    whose: Callable[[int], str],
) -> None:
    """Refuse gold whose mean is further than `room` from the first row's, or whose spread is another one though `full`."""
    n, gold, spread = (table.numbers(name) for name in ("n", "mean_gold", "m2_gold"))
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.maximum(np.abs(gold[first]), np.sqrt(spread[first] / n))
        moved = np.abs(gold - gold[first]) > room + _ROUNDING * size + 1e-9
        spread_out = full & (np.abs(spread - spread[first]) > _ROUNDING * spread[first] + 1e-9)
    for column, values, wrong in (("mean_gold", gold, moved), ("m2_gold", spread, spread_out)):
        table.refuse(
            use & wrong,
            column,
            lambda i, values=values: f"{values[first[i]]:.9g} as {whose(i)}",  # type: ignore[misc]
        )


def _equal(column: pd.Series, word: str) -> NDArray[np.bool_]:
    return column.eq(word).to_numpy(dtype=bool, na_value=False)


def _numbered(frame: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.int64]:
    return _coded(frame, columns)[0]


def _coded(frame: pd.DataFrame, columns: Sequence[str]) -> tuple[NDArray[np.int64], int]:
    """A number for each combination of the columns' values, and a bound of the numbers."""
    combined, room = np.zeros(len(frame), dtype=np.int64), 1
    for column in columns:
        code, values = pd.factorize(frame[column])
        if room > 2**62 // (len(values) + 1):
            combined, distinct = pd.factorize(combined)
            room = len(distinct)
        combined = combined * (len(values) + 1) + code + 1
        room *= len(values) + 1
    label, distinct = pd.factorize(combined)
    return label.astype(np.int64), len(distinct)
