"""Tables of several runs as those of one: what belongs together meets, what contradicts itself is told."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from made_runs import csv_run, made_tables
from pandas.testing import assert_frame_equal

from rdbench.curves.run import Run, open_run
from rdbench.curves.several import joined
from rdbench.errors import InputError
from rdbench.methods.table import method_table
from rdbench.tables.schema import ENCODES, SCORE_KEY, SCORES

MIXED, SEPARATE = ("max-mix@lite", "max-mix@lite#1"), ("separate@lite", "separate@lite#1")
SMALL = {"factors": (1, 4), "targets": ("valence",), "codecs": ("x264",), "rates": 2, "region": "face"}
KEY = ["encode", *SCORE_KEY]


def made_run(folder: Path, backends: tuple[str, ...] = MIXED, **options: object) -> Run:
    return csv_run(folder, **(SMALL | {"subjects": 6, "backends": backends} | options))


def save(folder: Path, encodes: pd.DataFrame, scores: pd.DataFrame) -> Run:
    folder.mkdir()
    encodes.to_csv(folder / "encodes.csv", index=False)
    scores.to_csv(folder / "scores.csv", index=False)
    return open_run(folder)


def in_order(table: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    return table.sort_values(key).reset_index(drop=True)


def refusal(*runs: Run) -> str:
    with pytest.raises(InputError) as caught:
        joined(runs)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def test_one_run_is_as_it_is(tmp_path: Path) -> None:
    run = made_run(tmp_path / "one")
    encodes, scores = joined([run])
    assert encodes is run.encodes
    assert scores is run.scores


def test_an_encode_of_two_runs_is_there_once_with_the_scores_of_both(tmp_path: Path) -> None:
    one, two = made_run(tmp_path / "one", MIXED), made_run(tmp_path / "two", SEPARATE)
    encodes, scores = joined([one, two])
    assert_frame_equal(encodes, one.encodes)
    assert_frame_equal(scores, pd.concat([one.scores, two.scores], ignore_index=True))
    assert list(encodes.columns) == list(ENCODES)
    assert list(scores.columns) == list(SCORES)
    assert dict(encodes.dtypes) == dict(one.encodes.dtypes)
    assert dict(scores.dtypes) == dict(one.scores.dtypes)


def test_two_parts_say_what_the_whole_says(tmp_path: Path) -> None:
    encodes, scores = made_tables(6, backends=(*MIXED, *SEPARATE), **SMALL)
    first = encodes["clip"] < "clip03"
    runs = [
        save(tmp_path / name, encodes[mine], scores[scores["encode"].isin(encodes.loc[mine, "encode"])])
        for name, mine in (("one", first), ("two", ~first))
    ]
    assert len(runs[0].encodes) + len(runs[1].encodes) == len(encodes)
    table = method_table(*joined(runs))
    assert set(table["subjects"]) == {6}
    whole = method_table(*joined([save(tmp_path / "whole", encodes, scores)]))
    assert_frame_equal(table, whole)


def test_the_same_run_twice_is_that_run(tmp_path: Path) -> None:
    run = made_run(tmp_path / "one")
    assert run.encodes["payload_bits"].isna().any(), "uncoded rows have no bits, and agree"
    again = joined([run, open_run(run.path)])
    assert_frame_equal(again[0], run.encodes)
    assert_frame_equal(again[1], run.scores)


def test_a_run_has_its_index_even_where_rows_fell_away(tmp_path: Path) -> None:
    one, two = made_run(tmp_path / "one", MIXED), made_run(tmp_path / "two", (*MIXED, *SEPARATE), subjects=7)
    for table in joined([one, two]):
        assert list(table.index) == list(range(len(table)))
    assert joined([one, two])[0]["clip"].nunique() == 7


def test_the_order_of_runs_is_that_of_rows_alone(tmp_path: Path) -> None:
    tables = made_tables(6, backends=(*MIXED, *SEPARATE), **SMALL)
    stronger = tables[0][tables[0]["factor"] == 4]
    parts = {
        "one": (tables[0], tables[1][tables[1]["backend"].isin(MIXED)]),
        "two": made_tables(6, backends=SEPARATE, **(SMALL | {"region": "frame"})),
        "three": (stronger, tables[1][tables[1]["encode"].isin(stronger["encode"])]),
    }
    runs = [save(tmp_path / name, *part) for name, part in parts.items()]
    there, back = joined(runs), joined(runs[::-1])
    assert not there[0]["encode"].duplicated().any()
    assert not there[1].duplicated(KEY).any()
    assert len(there[0]) == len(tables[0]) + len(parts["two"][0])
    both = tables[1]["backend"].isin(MIXED) | tables[1]["encode"].isin(stronger["encode"])
    assert len(there[1]) == both.sum() + len(parts["two"][1])
    assert_frame_equal(in_order(there[0], ["encode"]), in_order(back[0], ["encode"]))
    assert_frame_equal(in_order(there[1], KEY), in_order(back[1], KEY))


def test_the_runs_themselves_are_not_changed(tmp_path: Path) -> None:
    one, two = made_run(tmp_path / "one", MIXED), made_run(tmp_path / "two", SEPARATE)
    before = [table.copy() for run in (one, two) for table in (run.encodes, run.scores)]
    joined([one, two])
    for table, copy in zip(
        [table for run in (one, two) for table in (run.encodes, run.scores)], before, strict=True
    ):
        assert_frame_equal(table, copy)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("backend", "hr@lite"),
        ("target", "arousal"),
        ("gold", "pristine:hr@lite"),
        ("scoring", "fitted"),
    ],
)
def test_what_was_scored_otherwise_stands_beside(tmp_path: Path, column: str, value: str) -> None:
    encodes, scores = made_tables(6, backends=MIXED[:1], **SMALL)
    one = save(tmp_path / "one", encodes, scores)
    two = save(tmp_path / "two", encodes, scores.assign(**{column: value}, weights="others"))
    table = joined([one, two])[1]
    assert len(table) == 2 * len(scores)
    assert (table[column] == value).sum() == len(scores)


def test_other_weights_for_the_same_encode_are_refused(tmp_path: Path) -> None:
    encodes, scores = made_tables(6, backends=MIXED, **SMALL)
    other = scores.assign(weights=scores["weights"].mask(scores["backend"] == MIXED[1], "retrained"))
    one, two = save(tmp_path / "one", encodes, scores), save(tmp_path / "two", encodes, other)
    old = scores.loc[scores["backend"] == MIXED[1], "weights"].iloc[0]
    assert refusal(one, two) == (
        f"{one.path} and {two.path} do not belong together: {MIXED[1]} (valence) was scored with the weights "
        f"{old} in the one and retrained in the other (weights); name one of them only."
    )
    assert f"weights retrained in the one and {old} in the other" in refusal(two, one)


def test_other_bits_for_the_same_encode_are_refused(tmp_path: Path) -> None:
    encodes, scores = made_tables(6, backends=MIXED, **SMALL)
    row = encodes.index[(encodes["clip"] == "clip02") & (encodes["codec"] == "x264")][0]
    bits = int(encodes.loc[row, "payload_bits"])
    other = encodes.copy()
    other.loc[row, ["payload_bits", "stream_bits"]] += 1
    message = refusal(save(tmp_path / "one", encodes, scores), save(tmp_path / "two", other, scores))
    assert f"the encode {encodes.loc[row, 'encode']} of clip clip02 has {bits} in the one and " in message
    assert f"{bits + 1} in the other (payload_bits)" in message


def test_of_three_runs_the_two_that_disagree_are_named(tmp_path: Path) -> None:
    encodes, scores = made_tables(6, backends=MIXED, **SMALL)
    fine = save(tmp_path / "fine", encodes, scores)
    away = save(tmp_path / "away", *made_tables(6, backends=SEPARATE, **SMALL))
    bad = save(tmp_path / "bad", encodes, scores.assign(weights="retrained"))
    assert f"{fine.path} and {bad.path} do not belong together" in refusal(fine, away, bad)


@pytest.mark.parametrize("missing_in", ["second", "first"])
@pytest.mark.parametrize("column", ["weights", "payload_bits"])
def test_what_only_one_run_has_is_told_with_both_runs(tmp_path: Path, column: str, missing_in: str) -> None:
    encodes, scores = made_tables(6, backends=MIXED, uncoded=False, **SMALL)
    tables = [(encodes, scores), (encodes, scores)]
    lacking = tuple(table.assign(**{column: None}) if column in table else table for table in tables[0])
    tables[1 if missing_in == "second" else 0] = (lacking[0], lacking[1])
    one, two = save(tmp_path / "one", *tables[0]), save(tmp_path / "two", *tables[1])
    assert f"{one.path} and {two.path} do not belong together" in refusal(one, two)
