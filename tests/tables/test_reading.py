from __future__ import annotations

import json
import sqlite3

import pandas as pd
import pytest
from made_tables import made

from rdbench.curves.arrays import Arrays
from rdbench.curves.deltas import bd_table, deltas_of
from rdbench.curves.envelope_tables import envelopes, envelopes_of, switch_points, switch_points_of
from rdbench.curves.pooling import pooled, pooled_of
from rdbench.curves.run import open_run
from rdbench.curves.scope import Scopes
from rdbench.errors import InputError
from rdbench.gate.check import check
from rdbench.gate.text import to_json
from rdbench.tables.basis import Basis
from rdbench.tables.schema import ENCODES, SCORES


def store(folder, encodes, scores):
    with sqlite3.connect(folder / "run.sqlite") as db:
        for name, columns, table in (("encodes", ENCODES, encodes), ("scores", SCORES, scores)):
            db.execute(f"CREATE TABLE {name} ({', '.join(f'{c} {t}' for c, t in columns.items())}) STRICT")
            rows = table.astype(object).where(table.notna(), None).to_numpy().tolist()
            db.executemany(f"INSERT INTO {name} VALUES ({','.join('?' * len(columns))})", rows)
        db.execute("CREATE TABLE meta (key TEXT, value TEXT) STRICT")
        db.execute("INSERT INTO meta VALUES ('dataset', 'synthetic')")


@pytest.fixture
def tables():
    return made(subjects=6, uncoded=True, factors=(1,))[:2]


def test_a_store_and_its_csv_files_give_the_same_frames(tmp_path, tables):
    encodes, scores = tables
    (tmp_path / "store").mkdir()
    (tmp_path / "files").mkdir()
    store(tmp_path / "store", encodes, scores)
    stored = open_run(tmp_path / "store")
    stored.encodes.to_csv(tmp_path / "files" / "encodes.csv", index=False)
    stored.scores.to_csv(tmp_path / "files" / "scores.csv", index=False)
    files = open_run(str(tmp_path / "files"))
    pd.testing.assert_frame_equal(stored.encodes, files.encodes)
    pd.testing.assert_frame_equal(stored.scores, files.scores)
    pd.testing.assert_frame_equal(stored.curves(), files.curves())
    pd.testing.assert_frame_equal(stored.curves(), pooled(encodes, scores), check_dtype=False)
    assert stored.encodes["payload_bits"].dtype == "Int64"
    assert len(files.recordings("rmse")) == 6 * len(files.curves())
    assert stored.meta == {"dataset": "synthetic"}
    assert files.meta == {}
    assert stored.timings.empty
    assert files.predictions.empty
    assert stored.has_store
    assert not files.has_store


def test_what_is_read_computes_as_what_was_written(tmp_path):
    encodes, scores, _ = made(subjects=6, uncoded=True, factors=(1, 4))
    store(tmp_path, encodes, scores)
    run = open_run(tmp_path)
    read = run.encodes, run.scores
    for function in (envelopes, switch_points):
        pd.testing.assert_frame_equal(function(*read), function(encodes, scores), check_dtype=False)
    deltas = bd_table(*read, "codec=x264", "codec=x265,factor=best")
    pd.testing.assert_frame_equal(
        deltas, bd_table(encodes, scores, "codec=x264", "codec=x265,factor=best"), check_dtype=False
    )
    found = check(read, (encodes, scores))
    assert found.exit_code == 0
    assert found.rows.identical.all()
    json.loads(to_json(found))


def test_curves_are_made_once_and_say_the_same(tmp_path):
    encodes, scores, _ = made(subjects=6, uncoded=True, factors=(1, 4))
    store(tmp_path, encodes, scores)
    run = open_run(tmp_path)
    scopes = run.scopes()
    assert run.scopes(Basis(bits="payload", partition="test")) is scopes
    assert run.arrays() is scopes.arrays
    assert run.arrays(Basis("rmse")) is not scopes.arrays
    assert run.arrays(Basis("ccc", "stream")) is not scopes.arrays
    read = run.encodes, run.scores
    sides = "codec=x264", "codec=x265"
    for ours, theirs in (
        (pooled_of(scopes.arrays), pooled(*read)),
        (envelopes_of(scopes), envelopes(*read)),
        (switch_points_of(scopes), switch_points(*read)),
        (deltas_of(scopes, *sides), bd_table(*read, *sides)),
    ):
        pd.testing.assert_frame_equal(ours, theirs)


@pytest.mark.parametrize("wrong", [{"metric": "cc"}, {"bits": "file"}])
def test_a_basis_is_checked_once_and_carried(wrong):
    with pytest.raises(InputError, match=r"There (is|are) no"):
        Basis(**wrong)
    encodes, scores, _ = made(subjects=6)
    basis = Basis("rmse", "stream", charge_boxes=True)
    assert Arrays(encodes, scores, basis).basis == Basis("rmse", "stream", True, "test")
    table = deltas_of(Scopes(Arrays(encodes, scores, basis)), "codec=x264", "codec=x265")
    assert set(table["metric"]) == {"rmse"}
    assert set(table["bits"]) == {"stream+boxes"}


def test_by_clip_each_clip_is_a_subject():
    encodes, scores, _ = made(subjects=6, uncoded=True, factors=(1, 4))
    arrays = Arrays(encodes, scores)
    assert arrays.parts(by_clip=True) is arrays.parts(by_clip=True)
    apart = Arrays(encodes.assign(subject=encodes["clip"]), scores)
    for uncoded in (True, False):
        for ours, theirs in zip(
            arrays.parts(uncoded=uncoded, by_clip=True), apart.parts(uncoded=uncoded), strict=True
        ):
            assert ours.subjects == theirs.subjects == ours.clips
            assert (ours.stats == theirs.stats).all()
            pd.testing.assert_frame_equal(ours.keys, theirs.keys)


def test_a_clip_may_be_called_none_or_na(tmp_path, tables):
    encodes, scores = tables
    encodes = encodes.assign(clip=encodes["clip"].replace({"test00a": "NA", "test01a": "None"}))
    encodes.to_csv(tmp_path / "encodes.csv", index=False)
    scores.to_csv(tmp_path / "scores.csv", index=False)
    run = open_run(tmp_path)
    assert {"NA", "None"} <= set(run.encodes["clip"])
    assert "none" in set(run.encodes["codec"])


def test_a_run_is_never_written(tmp_path, tables):
    store(tmp_path, *tables)
    before = (tmp_path / "run.sqlite").read_bytes()
    open_run(tmp_path).curves()
    assert (tmp_path / "run.sqlite").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["run.sqlite"]


def test_odd_folder_names_open(tmp_path, tables):
    folder = tmp_path / "a b?c#d%20"
    folder.mkdir()
    store(folder, *tables)
    assert len(open_run(folder).encodes) == len(tables[0])


def test_what_is_no_run_is_said(tmp_path, tables):
    with pytest.raises(InputError, match="does not exist"):
        open_run(tmp_path / "nowhere")
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InputError, match="is a file"):
        open_run(file)
    with pytest.raises(InputError, match=r"neither run\.sqlite nor both"):
        open_run(tmp_path)
    tables[0].to_csv(tmp_path / "encodes.csv")
    with pytest.raises(InputError, match=r"neither run.sqlite nor scores\.csv"):
        open_run(tmp_path)


@pytest.mark.parametrize("column", ["payload_bits", "codec"])
def test_a_column_that_is_there_twice_is_refused(tmp_path, tables, column):
    encodes, scores = tables
    pd.concat([encodes, encodes[[column]]], axis=1).to_csv(tmp_path / "encodes.csv", index=False)
    scores.to_csv(tmp_path / "scores.csv", index=False)
    with pytest.raises(InputError, match=rf"encodes\.csv has the column {column} twice"):
        _ = open_run(tmp_path).encodes


def test_missing_and_wrong_columns_are_named(tmp_path, tables):
    encodes, scores = tables
    encodes.drop(columns=["seconds", "face_px"]).to_csv(tmp_path / "encodes.csv", index=False)
    scores.assign(n="many").to_csv(tmp_path / "scores.csv", index=False)
    run = open_run(tmp_path)
    with pytest.raises(InputError, match="lacks the columns seconds, face_px"):
        _ = run.encodes
    with pytest.raises(InputError, match="column n of the table scores"):
        _ = run.scores


def test_a_file_that_is_no_database_is_said(tmp_path):
    (tmp_path / "run.sqlite").write_text("hello, I am no database, whatever my name says" * 10)
    with pytest.raises(InputError, match="cannot be read as the store"):
        _ = open_run(tmp_path).encodes


def test_a_database_of_something_else_is_said(tmp_path):
    with sqlite3.connect(tmp_path / "run.sqlite") as db:
        db.execute("CREATE TABLE other (x)")
    with pytest.raises(InputError, match="no table encodes"):
        _ = open_run(tmp_path).encodes
