"""What no run can have measured is told, and no number is made of it."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from impossible import CLASS_WAYS, WAYS, Way, fuzzed, spoiled, write
from made_runs import made_tables
from made_tables import made

from rdbench.cli import main
from rdbench.curves.run import open_run
from rdbench.errors import InputError
from rdbench.faults import MOST, SHOWN
from rdbench.tables.kinds import ACCEPTED
from rdbench.tables.validation import faults_of_encodes, faults_of_scores

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
CLAIM = """
[[claim]]
sentence = "it is better"
better = "direct@lite"
than = "other@lite"
factors = [1]
"""


@pytest.fixture(scope="module")
def moments():
    return made(
        subjects=3, rates=(4, 8, 16, 32), factors=(1,), backends=("direct@lite", "other@lite"), uncoded=True
    )[:2]


@pytest.fixture(scope="module")
def classes():
    return made(subjects=3, rates=(4, 8, 16, 32), factors=(1,), classes=3, uncoded=True)[:2]


@pytest.mark.parametrize("name", sorted(path.parent.name for path in REFERENCE.glob("*/encodes.csv")))
def test_every_table_of_the_reference_is_sound(name):
    assert [str(fault) for fault in open_run(REFERENCE / name).faults().described] == []


def test_made_tables_are_sound(moments, classes):
    for tables in (moments, classes, made_tables(3)):
        assert len(faults_of_encodes(tables[0]) + faults_of_scores(tables[1], tables[0])) == 0


def told(tmp_path, tables):
    write(tmp_path / "run", tables)
    return open_run(tmp_path / "run").faults()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_fault_is_told_with_table_row_and_column(tmp_path, moments, way):
    faults = told(tmp_path, spoiled(moments, way)).described
    assert any((fault.table, fault.column) == (way.table, way.column) for fault in faults), faults
    assert all(str(fault).endswith(".") and "\n" not in str(fault) for fault in faults)


@pytest.mark.parametrize("way", CLASS_WAYS, ids=lambda way: way.name)
def test_a_fault_of_classes_is_told(tmp_path, classes, way):
    faults = told(tmp_path, spoiled(classes, way)).described
    assert any((fault.table, fault.column) == (way.table, way.column) for fault in faults), faults


def test_nobody_verified_is_a_stranger_by_the_gold():
    encodes, scores = made(subjects=2, rates=(4, 8), factors=(1,), classes=2, targets=("identity",))[:2]
    scores = scores.assign(classes=json.dumps(ACCEPTED))
    faults = faults_of_scores(scores, encodes).described
    assert {fault.column for fault in faults} == {"confusion"}
    assert len(faults_of_scores(scores.assign(confusion="[[50, 10], [0, 0]]"), encodes)) == 0


def test_a_sentence_names_what_was_expected_and_what_came(tmp_path, moments):
    way = next(way for way in WAYS if way.name == "one clip with two lengths")
    (sentence,) = {str(fault) for fault in told(tmp_path, spoiled(moments, way)).described}
    encode = moments[0]["encode"].iloc[3]
    assert sentence == (
        f"encodes, encode '{encode}': seconds should be 2.4 as elsewhere for clip 'test00a', but is 4.8."
    )


def test_many_faults_are_counted_and_few_are_told(tmp_path, moments):
    encodes, scores = (table.copy() for table in moments)
    scores = pd.concat([scores] * 40, ignore_index=True).assign(n=-1)
    write(tmp_path / "run", (encodes, scores))
    run = open_run(tmp_path / "run")
    assert len(run.faults()) > 2 * MOST > len(run.faults().described) - 1
    with pytest.raises(InputError) as caught:
        _ = run.scores
    assert str(caught.value).count(" should be ") == SHOWN
    assert f"And {len(run.faults()) - SHOWN} more" in str(caught.value)


def test_gold_may_differ_by_frames_that_a_condition_lacks(moments):
    encodes, scores = (table.copy() for table in moments)
    scores.loc[3, ["n", "mean_gold", "m2_gold"]] = (
        59,
        scores.loc[3, "mean_gold"] + 0.005,
        scores.loc[3, "m2_gold"] * 0.99,
    )
    scores.loc[3, ["m2_pred", "cov"]] = (scores.loc[3, "m2_pred"], 0.0)
    assert len(faults_of_scores(scores, encodes)) == 0


def test_what_is_missing_is_no_fault(moments):
    encodes, scores = (table.copy() for table in moments)
    encodes.loc[2, "payload_bits"] = np.nan
    scores.loc[4, ["mean_pred", "mean_gold", "m2_pred", "m2_gold", "cov"]] = np.nan
    assert len(faults_of_encodes(encodes) + faults_of_scores(scores, encodes)) == 0


def test_scores_that_came_since_the_encodes_were_read_take_no_part(tmp_path, moments):
    encodes, scores = moments
    with sqlite3.connect(tmp_path / "run.sqlite") as store:
        first = encodes.iloc[:-1]
        first.to_sql("encodes", store, index=False)
        scores[scores["encode"].isin(first["encode"])].to_sql("scores", store, index=False)
    run = open_run(tmp_path)
    assert len(run.encodes) == len(encodes) - 1
    with sqlite3.connect(tmp_path / "run.sqlite") as store:
        encodes.to_sql("encodes", store, index=False, if_exists="replace")
        scores.to_sql("scores", store, index=False, if_exists="replace")
    assert set(run.scores["encode"]) == set(run.encodes["encode"])


def test_older_stores_may_lack_columns_but_not_keys(tmp_path, moments):
    encodes, scores = moments
    with sqlite3.connect(tmp_path / "run.sqlite") as store:
        encodes.to_sql("encodes", store, index=False)
        scores.to_sql("scores", store, index=False)
        pd.DataFrame({"clip": ["a"], "state": ["used"]}).to_sql("clips", store, index=False)
        pd.DataFrame({"reason": ["it broke"]}).to_sql("failures", store, index=False)
    run = open_run(tmp_path)
    assert run.clips["labels"].isna().all()
    with pytest.raises(InputError, match="failures"):
        _ = run.failures


def code(*arguments):
    """The exit code of the program, run in this very process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["rdbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    return ended.value.code


def commands(tmp_path, sound):
    run, out = tmp_path / "run", tmp_path / "out"
    (tmp_path / "claims.toml").write_text(CLAIM)
    sides = ("--anchor", "codec=x264", "--test", "codec=x265")
    return {
        "plot": (
            "plot",
            run,
            "--out",
            out,
            "--formats",
            "svg",
            "--only",
            "rd,envelope,bd,target,confusion,standalone",
        ),
        "bd": ("bd", run, *sides),
        "bd --by": ("bd", run, *sides, "--by", "subject"),
        "check": ("check", run, "--against", sound),
        "report": ("report", run, "-o", out / "report.html"),
        "export": ("export", run, "--out", out),
        "methods": ("methods", run),
        "claims": ("claims", run, "--claims", tmp_path / "claims.toml"),
        "target": ("target", run),
        "target --at": ("target", run, "--at", "10"),
        "inspect": ("inspect", run),
        "status": ("status", run),
        "validate": ("validate", run),
    }


ALL = [*((way, "moments") for way in WAYS), *((way, "classes") for way in CLASS_WAYS)]


@pytest.mark.parametrize(("way", "kind"), ALL[::5], ids=lambda value: getattr(value, "name", value))
def test_no_command_makes_a_number_of_an_impossible_table(tmp_path, request, capsys, way, kind):
    tables = request.getfixturevalue(kind)
    write(tmp_path / "sound", tables)
    write(tmp_path / "run", spoiled(tables, way))
    refused_by(tmp_path, capsys, way, ("bd", "target", "check", "methods", "export"))


def refused_by(tmp_path, capsys, way: Way, names):
    for name, arguments in commands(tmp_path, tmp_path / "sound").items():
        if name not in names:
            continue
        capsys.readouterr()
        ended, (out, error) = code(*arguments), capsys.readouterr()
        # What is wrong with scores alone does not concern a command that never reads them.
        if name == "inspect" and way.table == "scores":
            continue
        assert ended == 2, (name, way.name, error)
        assert (out if name == "validate" else error).count(" should be ") >= 1, (name, error)
        assert name == "validate" or not out, (name, out)


@pytest.mark.long
@pytest.mark.parametrize(("way", "kind"), ALL, ids=lambda value: getattr(value, "name", value))
def test_no_command_at_all_does(tmp_path, request, capsys, way, kind):
    tables = request.getfixturevalue(kind)
    write(tmp_path / "sound", tables)
    write(tmp_path / "run", spoiled(tables, way))
    refused_by(tmp_path, capsys, way, list(commands(tmp_path, tmp_path)))


def never_ours(tmp_path, capsys, tables, seed, names):
    write(tmp_path / "sound", tables)
    write(tmp_path / "run", fuzzed(tables, seed))
    for name, arguments in commands(tmp_path, tmp_path / "sound").items():
        if name in names:
            ended = code(*arguments)
            assert ended in (0, 1, 2, 3, 4), (name, seed, ended, capsys.readouterr().err[-2000:])


@pytest.mark.parametrize("seed", range(6))
def test_fuzzed_tables_are_no_error_of_ours(tmp_path, request, capsys, seed):
    tables = request.getfixturevalue(("moments", "classes")[seed % 2])
    never_ours(tmp_path, capsys, tables, seed, ("bd", "target", "check", "methods", "export", "status"))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(140))
def test_fuzzed_tables_are_no_error_of_ours_in_any_command(tmp_path, request, capsys, seed):
    tables = request.getfixturevalue(("moments", "classes")[seed % 2])
    never_ours(tmp_path, capsys, tables, seed, list(commands(tmp_path, tmp_path)))
