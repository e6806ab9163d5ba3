"""The store: whole units or nothing, one writer, and one sentence for whatever is wrong with the file."""

from __future__ import annotations

import errno
import multiprocessing
import os
import sqlite3
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rdbench.errors import InputError
from rdbench.tables.predictions import pack, unpack
from rdbench.tables.schema import CLIPS, CONDITION, ENCODES, FAILURES, SCORES
from rdbench.tables.store import Store

IDENTITY = {"experiment": "one", "weights": "none"}


def encode(number: int, **changes: Any) -> dict[str, Any]:
    row = dict.fromkeys(ENCODES)
    row.update(encode=f"e{number}", clip="a", region="frame", factor=2, codec="x264", variant="ra")
    row.update(mode="crf", rate=float(number), payload_bits=100 * number, stream_bits=110 * number)
    return {**row, **changes}


def score(number: int, **changes: Any) -> dict[str, Any]:
    row = dict.fromkeys(SCORES)
    row.update(
        encode=f"e{number}", backend="constant", target="valence", gold="labels", scoring="plain", n=25
    )
    return {**row, **changes}


def rows(folder: Path, table: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(folder / "run.sqlite")
    try:
        return connection.execute(f"SELECT * FROM {table}").fetchall()
    finally:
        connection.close()


def test_a_run_is_found_again(tmp_path: Path) -> None:
    with Store(tmp_path / "deep" / "run", IDENTITY) as store:
        assert store.finished() == set()
        store.add({"encodes": [encode(1)], "scores": [score(1)]})
        store.add(
            {"clips": [{"clip": "a", "state": "used", "source": "s"}, {"clip": "b", "state": "skipped"}]}
        )
    with Store(tmp_path / "deep" / "run", IDENTITY) as store:
        assert store.finished() == {("a", "frame", 2, "x264", "ra", "crf", 1.0)}
        assert store.sources() == {"a": "s"}
        assert [row["clip"] for row in store.clips()] == ["a", "b"]
        assert set(store.clips()[0]) == set(CLIPS)


def test_adding_a_row_again_changes_nothing(tmp_path: Path) -> None:
    with Store(tmp_path, IDENTITY) as store:
        for _ in range(2):
            store.add({"encodes": [encode(1)], "scores": [score(1)]})
    assert len(rows(tmp_path, "encodes")) == len(rows(tmp_path, "scores")) == 1


def test_a_transaction_is_whole_or_nothing(tmp_path: Path) -> None:
    with Store(tmp_path, IDENTITY) as store:
        with pytest.raises(sqlite3.Error):
            store.add({"encodes": [encode(1)], "scores": [score(1), score(2, n="many")]})
        assert store.finished() == set()
        store.add({"encodes": [encode(2)]})
        assert len(store.finished()) == 1


def test_numbers_of_numpy_are_numbers_and_nan_is_nothing(tmp_path: Path) -> None:
    with Store(tmp_path, IDENTITY) as store:
        row = encode(
            1, payload_bits=np.int64(7), psnr=np.float32(1.5), psnr_coded=np.nan, mean_qp=float("nan")
        )
        store.add({"encodes": [row]})
    connection = sqlite3.connect(tmp_path / "run.sqlite")
    found = connection.execute(
        "SELECT payload_bits, typeof(payload_bits), psnr, psnr_coded, mean_qp FROM encodes"
    ).fetchone()
    connection.close()
    assert found == (7, "integer", 1.5, None, None)


def test_tables_are_strict_and_hold_the_agreed_columns(tmp_path: Path) -> None:
    Store(tmp_path, IDENTITY).close()
    connection = sqlite3.connect(tmp_path / "run.sqlite")
    try:
        strict = dict(connection.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'"))
        for name in ("meta", "clips", "encodes", "scores", "fitted", "predictions", "failures", "timings"):
            assert strict[name] == 1
        for name, columns in (("encodes", ENCODES), ("scores", SCORES)):
            have = connection.execute("SELECT name, type FROM pragma_table_info(?)", (name,)).fetchall()
            assert dict(have) == columns
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    finally:
        connection.close()


def test_failures_are_forgotten_and_the_rest_stays(tmp_path: Path) -> None:
    failure = {**dict.fromkeys(FAILURES), **{name: encode(1)[name] for name in ("clip", *CONDITION)}}
    with Store(tmp_path, IDENTITY) as store:
        clips = [{"clip": "a", "state": "failed"}, {"clip": "b", "state": "skipped"}]
        store.add({"failures": [failure], "clips": clips, "encodes": [encode(2)]})
        assert [row["rate"] for row in store.failures()] == [1.0]
        store.forget_failures()
        assert store.failures() == []
        assert [row["clip"] for row in store.clips()] == ["b"]
        assert len(store.finished()) == 1


def test_an_encode_whose_kept_file_is_gone_is_not_finished(tmp_path: Path) -> None:
    kept = tmp_path / "bitstreams"
    kept.mkdir()
    (kept / "e1.h264").touch()
    uncoded = encode(3, codec="none", mode="none", variant="none", rate=0.0, stream_bits=None)
    with Store(tmp_path, IDENTITY) as store:
        store.add({"encodes": [encode(1), encode(2), uncoded]})
        assert {key[-1] for key in store.finished()} == {1.0, 2.0, 0.0}
        assert {key[-1] for key in store.finished(kept)} == {1.0, 0.0}


def test_another_experiment_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    with Store(tmp_path, IDENTITY) as store:
        store.add({"encodes": [encode(1)]})
    before = (tmp_path / "run.sqlite").read_bytes()
    with pytest.raises(InputError, match=r"another run \(weights: none there, x+\.\.\. now\)"):
        Store(tmp_path, {**IDENTITY, "weights": "x" * 200})
    assert (tmp_path / "run.sqlite").read_bytes() == before
    Store(tmp_path, IDENTITY).close()


@pytest.mark.parametrize("name", ["encodes.csv", "scores.csv"])
def test_tables_of_a_finished_run_are_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("encode\n")
    with pytest.raises(InputError, match="tables of a finished run"):
        Store(tmp_path, IDENTITY)
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="is a file; name a folder"):
        Store(tmp_path / "out", IDENTITY)
    assert (tmp_path / "out").read_text() == "mine"


def _hold(folder: Path, ready: Any, leave: Any) -> None:
    with Store(folder, IDENTITY):
        ready.set()
        leave.wait(60)


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, leave = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(tmp_path, ready, leave))
    process.start()
    try:
        assert ready.wait(60)
        with pytest.raises(InputError, match="Another process is writing"):
            Store(tmp_path, IDENTITY)
    finally:
        leave.set()
        process.join()
    assert process.exitcode == 0
    Store(tmp_path, IDENTITY).close()


def test_a_folder_that_cannot_be_locked_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(InputError, match="cannot be locked"):
        Store(tmp_path, IDENTITY)


def test_a_file_that_was_just_begun_is_a_new_store(tmp_path: Path) -> None:
    (tmp_path / "run.sqlite").touch()
    with Store(tmp_path, IDENTITY) as store:
        assert store.finished() == set()


def test_text_in_place_of_a_store_is_told(tmp_path: Path) -> None:
    text = "this is no database at all, and longer than a header " * 10
    (tmp_path / "run.sqlite").write_text(text)
    with pytest.raises(InputError, match=r"run\.sqlite is no store of a run .*name another folder"):
        Store(tmp_path, IDENTITY)
    assert (tmp_path / "run.sqlite").read_text() == text


def test_a_store_of_another_version_is_told(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "run.sqlite")
    connection.execute("CREATE TABLE encodes (clip TEXT)")
    connection.commit()
    connection.close()
    with pytest.raises(InputError, match="not written by this version"), Store(tmp_path, IDENTITY) as store:
        store.finished()


def _filled(folder: Path) -> Path:
    with Store(folder, IDENTITY) as store:
        store.add({"encodes": [encode(n) for n in range(200)], "scores": [score(n) for n in range(200)]})
    return folder / "run.sqlite"


def use(folder: Path) -> None:
    """All that a run does with a store."""
    with Store(folder, IDENTITY) as store:
        store.forget_failures()
        store.finished()
        store.sources()
        store.clips()
        store.add({"encodes": [encode(n) for n in range(300)]})
        store.failures()


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_store_that_was_cut_off_is_told_in_a_sentence(tmp_path: Path, share: float) -> None:
    file = _filled(tmp_path)
    os.truncate(file, int(share * file.stat().st_size))
    with pytest.raises(InputError, match="is no store of a run"):
        use(tmp_path)


def test_a_store_with_garbage_inside_never_raises_anything_else(tmp_path: Path) -> None:
    file = _filled(tmp_path / "good")
    content = file.read_bytes()
    told = 0
    for place in range(1, 9):
        folder = tmp_path / str(place)
        folder.mkdir()
        start = place * len(content) // 9
        noise = np.random.default_rng(place).bytes(4000)
        (folder / "run.sqlite").write_bytes(content[:start] + noise + content[start + len(noise) :])
        try:
            use(folder)
        except InputError:
            told += 1
    assert told


def test_a_full_disk_is_told_and_what_was_stored_stays(tmp_path: Path) -> None:
    with Store(tmp_path, IDENTITY) as store:
        store.add({"encodes": [encode(1)]})
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(OSError, match="No space left") as caught:
            store.add({"encodes": [encode(n) for n in range(2, 500)]})
        assert caught.value.errno == errno.ENOSPC
        assert caught.value.filename == str(tmp_path / "run.sqlite")
        assert {key[-1] for key in store.finished()} == {1.0}
    with Store(tmp_path, IDENTITY) as store:
        store.add({"encodes": [encode(n) for n in range(2, 500)]})
        assert len(store.finished()) == 499


def test_a_reader_holds_a_writer_up_and_no_more(tmp_path: Path) -> None:
    with Store(tmp_path, IDENTITY) as store:
        store._connection.execute("PRAGMA busy_timeout = 50")
        reader = sqlite3.connect(tmp_path / "run.sqlite", isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM encodes").fetchall()
        with pytest.raises(InputError, match="held by another program"):
            store.add({"encodes": [encode(1)]})
        reader.close()
        store.add({"encodes": [encode(1)]})
        assert len(store.finished()) == 1


kinds = st.one_of(
    hnp.floating_dtypes(sizes=(32, 64)),
    hnp.integer_dtypes(),
    hnp.boolean_dtypes(),
    hnp.unsigned_integer_dtypes(),
)
arrays = kinds.flatmap(lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0)))


@given(st.dictionaries(st.text(max_size=8), arrays, max_size=4))
def test_packed_arrays_come_back(given_arrays: dict[str, np.ndarray]) -> None:
    found = unpack(pack(given_arrays))
    assert list(found) == list(given_arrays)
    for name, array in given_arrays.items():
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


@given(st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(zlib.compress)))
def test_what_is_no_packed_array_is_an_input_error(blob: bytes) -> None:
    with pytest.raises(InputError, match="damaged"):
        unpack(blob)


@pytest.mark.parametrize(
    "head",
    [
        '[["a", "|O", [1]]]',
        '[["a", "<f8", [1000000]]]',
        '[["a", "<f8", [-1]]]',
        '[["a", "<f8", ["x"]]]',
        '[["a", "<f8", [1e300]]]',
        '[["a", "f8,(", [1]]]',
        '[["a", ["b"], [1]]]',
        '[["a", null, 0]]',
        '{"a": 1}',
        "[1]",
        "7",
        "[" * 5000,
    ],
)
def test_a_forged_header_is_an_input_error(head: str) -> None:
    with pytest.raises(InputError, match="damaged"):
        unpack(zlib.compress(head.encode() + b"\n" + bytes(8)))
