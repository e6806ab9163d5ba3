"""Other people's runs: tables alone are read, within limits of time and memory, and nothing else is touched."""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from made_runs import store_run

from rdbench.curves.run import open_run
from rdbench.errors import InputError
from rdbench.tables import predictions, reading

FOREVER = "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x + 1 FROM c)"
TABLES = ("encodes", "scores", "clips", "failures", "timings", "fitted")


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> bytes:
    folder = tmp_path_factory.mktemp("good")
    store_run(folder, subjects=2, factors=(1, 4), codecs=("x264",), backends=("direct@lite",))
    return (folder / "run.sqlite").read_bytes()


def changed(folder: Path, good: bytes, *statements: str) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / "run.sqlite"
    file.write_bytes(good)
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
    return folder


def touch(folder: Path) -> None:
    """Read everything that a run has."""
    run = open_run(folder)
    for name in TABLES:
        getattr(run, name, None)
    run.curves("ccc")


@pytest.mark.parametrize("name", ["encodes", "scores"])
@pytest.mark.parametrize(
    "query",
    [
        f"{FOREVER} SELECT kept.* FROM kept, c",
        "SELECT * FROM kept",
        f"SELECT kept.* FROM kept WHERE ({FOREVER} SELECT count(*) FROM c) > 0",
    ],
    ids=["endless", "harmless", "condition"],
)
def test_a_view_in_place_of_a_table_is_refused(tmp_path, good, name, query):
    query = query.replace("kept", f"kept_{name}")
    statements = (f"ALTER TABLE {name} RENAME TO kept_{name}", f"CREATE VIEW {name} AS {query}")
    with pytest.raises(InputError, match=f"{name} is no plain table"):
        touch(changed(tmp_path / "run", good, *statements))


def test_a_virtual_table_is_refused(tmp_path, good):
    statements = ("DROP TABLE scores", "CREATE VIRTUAL TABLE scores USING fts5(encode, target)")
    with pytest.raises(InputError, match="scores is no plain table"):
        touch(changed(tmp_path / "run", good, *statements))


def test_triggers_and_generated_columns_of_a_store_do_nothing(tmp_path, good):
    folder = changed(
        tmp_path / "run",
        good,
        "CREATE TABLE told(what)",
        "CREATE TRIGGER t AFTER INSERT ON encodes BEGIN INSERT INTO told VALUES ('here'); END",
        "CREATE TRIGGER u AFTER DELETE ON encodes BEGIN DELETE FROM scores; END",
    )
    before = (folder / "run.sqlite").read_bytes()
    touch(folder)
    assert (folder / "run.sqlite").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["run.sqlite"]


def test_what_takes_for_ever_ends(tmp_path, good, monkeypatch):
    """Were a query endless after all, time would end it: asked of the connection itself."""
    folder = changed(tmp_path / "run", good)
    monkeypatch.setattr(reading, "PATIENCE", 0.2)
    file = folder / "run.sqlite"
    with (
        closing(reading._open(file, "ro")) as connection,
        pytest.raises(InputError, match="within 0 s"),
        reading._told(file),
    ):
        connection.execute(f"{FOREVER} SELECT max(x) FROM c").fetchone()


def test_functions_of_the_schema_are_not_trusted(tmp_path, good):
    folder = changed(tmp_path / "run", good)
    with closing(reading._open(folder / "run.sqlite", "ro")) as connection:
        assert connection.execute("PRAGMA trusted_schema").fetchone() == (0,)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM encodes")
        with pytest.raises((sqlite3.DataError, sqlite3.OperationalError), match="too big"):
            connection.execute(f"SELECT zeroblob({reading._LONGEST_VALUE + 1})").fetchone()


def bomb(size: int) -> bytes:
    """Little that inflates to much."""
    packer = zlib.compressobj(9)
    head = b'[["prediction", "<f8", [1, 1]]]\n'
    part = bytes(1 << 20)
    return packer.compress(head) + b"".join(packer.compress(part) for _ in range(size >> 20)) + packer.flush()


def test_a_blob_that_inflates_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(predictions, "MOST_BYTES", 1 << 22)
    with pytest.raises(InputError, match="inflates to more than 4 MiB"):
        predictions.unpack(bomb(1 << 24))
    assert "prediction" in predictions.unpack(predictions.pack({"prediction": np.zeros(1 << 18)}))


def test_a_journal_that_names_another_file_does_not_remove_it(tmp_path, good):
    folder = changed(tmp_path / "run", good)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    journal = folder / "run.sqlite-journal"
    name = str(victim).encode()
    tail = name + len(name).to_bytes(4, "big") + sum(name).to_bytes(4, "big")
    journal.write_bytes(bytes.fromhex("d9d505f920a163d7") + bytes(504) + tail + reading._NAMES_ANOTHER)
    with contextlib.suppress(InputError):
        touch(folder)
    assert victim.read_text() == "mine"
