from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_tables import made

from rdbench.errors import InputError
from rdbench.gate.check import check
from rdbench.gate.lost import parse_allowed

WIDE = {"max_bd_rate": 0.5, "max_accuracy_drop": 0.5}


@pytest.fixture(scope="module")
def tables():
    encodes, scores, _ = made(
        factors=(1, 4), subjects=8, mode="crf", uncoded=True, targets=("arousal", "valence")
    )
    return encodes, scores


def rows(**wanted):
    """Drops the encodes that have all of these values, and their scores."""

    def spoil(encodes, scores):
        gone = pd.Series(True, index=encodes.index)
        for name, value in wanted.items():
            gone &= encodes[name].isin(value if isinstance(value, list) else [value])
        return encodes[~gone], scores[~scores.encode.isin(encodes.encode[gone])]

    return spoil


def scores_of(**wanted):
    """Drops scores alone."""

    def spoil(encodes, scores):
        joined = scores.merge(encodes[["encode", "clip", "codec", "rate", "factor"]], on="encode", how="left")
        gone = np.ones(len(joined), dtype=bool)
        for name, value in wanted.items():
            gone &= (joined[name] == value).to_numpy()
        return encodes, scores[~gone]

    return spoil


def blank(column, value, **wanted):
    """Overwrites a column of the scores, or of the encodes where they have it."""

    def spoil(encodes, scores):
        joined = scores.merge(encodes[["encode", "clip", "codec", "rate", "factor"]], on="encode", how="left")
        table, keys = (scores, joined) if column in scores else (encodes, encodes)
        gone = np.ones(len(table), dtype=bool)
        for name, wish in wanted.items():
            gone &= (keys[name] == wish).to_numpy()
        assert gone.any()
        kind = "Int64" if column.endswith("_bits") or column == "n" else "float64"
        new = table.assign(**{column: table[column].astype(kind).mask(gone, value)})
        return (encodes, new) if table is scores else (new, scores)

    return spoil


ONE = {"clip": "test03a", "codec": "x265", "rate": 8, "factor": 4}

WAYS = {
    "a codec": rows(codec="x265"),
    "a codec at one factor": rows(codec="x264", factor=1),
    "a factor": rows(factor=4),
    "everything coded": rows(codec=["x264", "x265"]),
    "everything uncoded": rows(codec="none"),
    "the lowest rate": rows(rate=4),
    "the highest rate": rows(rate=64),
    "a middle rate of one codec": rows(rate=16, codec="x265"),
    "two rates": rows(rate=[4, 8]),
    "one clip": rows(clip="test03a"),
    "three clips": rows(clip=["test00a", "test03a", "test05a"]),
    "one clip of one codec": rows(clip="test03a", codec="x265"),
    "one clip at one rate": rows(clip="test03a", rate=8),
    "one encode": rows(**ONE),
    "one uncoded clip": rows(clip="test03a", codec="none", factor=1),
    "one subject": rows(subject="test02"),
    "six subjects": rows(subject=["test00", "test01", "test02", "test03", "test04", "test05"]),
    "one subject of one codec": rows(subject="test02", codec="x264"),
    "all but one encode": lambda encodes, scores: (encodes[:1], scores[scores.encode == encodes.encode[0]]),
    "all rows": lambda encodes, scores: (encodes[:0], scores[:0]),
    "all scores": lambda encodes, scores: (encodes, scores[:0]),
    "a target": scores_of(target="arousal"),
    "scores of a clip": scores_of(clip="test03a"),
    "one score": scores_of(target="valence", **ONE),
    "scores of a codec": scores_of(codec="x265"),
    "scores of a rate": scores_of(rate=64),
    "one value that is NaN": blank("mean_pred", np.nan, target="valence", **ONE),
    "one endless value": blank("cov", np.inf, target="valence", **ONE),
    "three clips that are NaN": lambda encodes, scores: (
        encodes,
        scores.assign(m2_pred=scores.m2_pred.where(~scores.encode.str.contains("test0[035]a"), np.nan)),
    ),
    "NaN gold": blank("mean_gold", np.nan, target="valence", **ONE),
    "NaN at one rate": blank("cov", np.nan, rate=16),
    "no frames": blank("n", 0, target="valence", **ONE),
    "fewer frames": blank("n", 3, target="valence", **ONE),
    "one bit count": blank("payload_bits", pd.NA, **ONE),
    "bit counts of a rate": blank("payload_bits", pd.NA, rate=4, codec="x264"),
    "bit counts of a clip": blank("payload_bits", pd.NA, clip="test03a"),
}


@pytest.mark.parametrize("way", WAYS)
def test_lost_data_fails_the_gate(tables, way):
    found = check(WAYS[way](*tables), tables, **WIDE)
    assert (found.overall, found.exit_code) == ("lost", 1)
    lost = found.rows[found.rows.verdict == "lost"]
    assert lost.reason.str.endswith(", which the reference has").all()
    assert lost.decides.all()


@pytest.mark.parametrize(
    ("way", "allow"),
    [
        ("a codec", "codec=x265"),
        ("the lowest rate", "rate=4"),
        ("one clip", "clip=test03a"),
        ("one subject", "subject=test02"),
        ("a target", "target=arousal"),
        ("one value that is NaN", "clip=test03a,codec=x265,factor=4,rate=8,value=score"),
        ("one bit count", "value=bits,clip=test03a"),
    ],
)
def test_what_was_named_beforehand_may_be_lost(tables, way, allow):
    found = check(WAYS[way](*tables), tables, allow_lost=[allow], **WIDE)
    assert (found.overall, found.exit_code) == ("same", 0)
    assert any("lost, and allowed" in line for line in found.left_out)
    assert check(WAYS[way](*tables), tables, allow_lost=["clip=test07a,rate=99"], **WIDE).exit_code == 1


@pytest.mark.parametrize("way", ["a codec", "one subject", "one value that is NaN", "all rows"])
def test_what_the_run_has_besides_is_not_lost(tables, way):
    assert "lost" not in set(check(tables, WAYS[way](*tables), **WIDE).rows.verdict)


def test_an_allowance_without_use_is_told(tables):
    found = check(tables, tables, allow_lost=["codec=x265"])
    assert (found.exit_code, found.left_out) == (0, ["--allow-lost codec=x265 names nothing that was lost"])


def test_what_the_reference_lacks_too_is_not_lost(tables):
    spoilt = WAYS["one value that is NaN"](*tables)
    assert check(spoilt, spoilt).exit_code == 0


def test_the_largest_things_are_told_first(tables):
    found = check(WAYS["one subject of one codec"](*tables), tables, **WIDE)
    assert set(found.rows.reason[found.rows.verdict == "lost"]) == {"subject test02, which the reference has"}
    found = check(WAYS["one value that is NaN"](*tables), tables, **WIDE)
    reason = found.rows.reason[found.rows.verdict == "lost"].item()
    assert reason == "score of clip test03a at rate 8, which the reference has"


@pytest.mark.parametrize(
    ("text", "says"),
    [("x265", "written name=value"), ("clip=", "written name=value"), ("clp=a", "did you mean 'clip'")],
)
def test_bad_allowances_are_said(tables, text, says):
    with pytest.raises(InputError, match=says):
        parse_allowed(text)
    with pytest.raises(InputError, match=says):
        check(tables, tables, allow_lost=[text])
