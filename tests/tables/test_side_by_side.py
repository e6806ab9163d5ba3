from __future__ import annotations

import numpy as np
import pytest
from made_runs import made_tables

from rdbench.curves.deltas import bd_table
from rdbench.curves.several import FIRST, SECOND, together

SMALL = {"subjects": 6, "factors": (1, 4), "rates": 5, "backends": ("direct@lite",), "targets": ("valence",)}


@pytest.fixture(scope="module")
def tables():
    return made_tables(**SMALL)


def delta(encodes, scores):
    return bd_table(
        encodes,
        scores,
        {"backend": FIRST + "direct@lite"},
        {"backend": SECOND + "direct@lite"},
        per_clip=False,
    )


def test_a_run_beside_itself_differs_nowhere(tables):
    encodes, scores, reasons = together(tables, tables)
    assert reasons == []
    assert len(encodes) == 2 * len(tables[0])
    table = delta(encodes, scores)
    assert len(table) == 4, "two codecs, two factors"
    assert table["bd_accuracy"].to_numpy() == pytest.approx(0)
    assert table["bd_rate"].to_numpy() == pytest.approx(0)


def test_a_saving_of_the_second_run_is_found(tables):
    encodes, scores = tables
    cheaper = encodes.assign(
        payload_bits=(encodes["payload_bits"].astype(float) * 0.9).round().astype("Int64")
    )
    table = delta(*together(tables, (cheaper, scores))[:2])
    assert table["bd_rate"].to_numpy() == pytest.approx(-10, abs=0.1)


def test_clips_of_one_run_or_of_another_source_take_no_part(tables):
    encodes, scores = tables
    other = encodes[encodes["clip"] != "clip00"].copy()
    other.loc[other["clip"] == "clip01", "source"] = "elsewhere"
    joined, _, reasons = together(tables, (other, scores[scores["encode"].isin(other["encode"])]))
    assert set(joined["clip"]) == {f"clip{i:02d}" for i in range(2, 6)}
    assert reasons == [
        "1 clips have another source and take no part",
        "1 clips are in one run only and take no part",
    ]


@pytest.mark.parametrize("column", ["n", "mean_gold"])
def test_what_is_scored_against_something_else_is_not_compared(tables, column):
    encodes, scores = tables
    joined, kept, reasons = together(tables, (encodes, scores.assign(**{column: scores[column] + 1})))
    assert len(kept) == 0
    assert len(joined)
    assert reasons == ["valence is scored against other values or frames of labels, and is not compared"]
    nearly = scores.assign(mean_gold=scores["mean_gold"] * (1 + 1e-12))
    assert not together(tables, (encodes, nearly))[2]


def test_runs_without_a_clip_in_common_leave_nothing(tables):
    other = made_tables(**SMALL, clip_name="other{}")
    encodes, scores, reasons = together(tables, other)
    assert len(encodes) == len(scores) == 0
    assert reasons == ["12 clips are in one run only and take no part"]
    assert np.isin(["encode", "payload_bits"], encodes.columns).all()
