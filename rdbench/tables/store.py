"""The tables of a run on disk: one SQLite file, one writer, whole units or nothing."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from rdbench.errors import InputError
from rdbench.identity import PROGRAMS, Identity, differences
from rdbench.tables.names import PLAIN
from rdbench.tables.schema import CONDITION, LATER, TABLES

__all__ = ["Store"]


Row = Mapping[str, Any]


class Store:
    """An open run that this process alone may write.

    Parameters
    ----------
    folder : Path
        Created where it is missing.
    identity : mapping of str to str
        What makes the run this run (experiment, weights, profiles, build). A folder that holds another run is
        refused, so that two experiments never mix.

    Raises
    ------
    InputError
        If the folder holds another experiment or something else, or another process is writing it.
    OSError
        If it cannot be written.
    """

    def __init__(self, folder: Path, identity: Identity) -> None:
        self.folder = folder
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file; name a folder for the run with --out.")
        file = folder / "run.sqlite"
        if (
            not file.exists()
            and folder.is_dir()
            and any((folder / n).exists() for n in ("encodes.csv", "scores.csv"))
        ):
            raise InputError(f"{folder} holds tables of a finished run; name another folder with --out.")
        folder.mkdir(parents=True, exist_ok=True)
        self._file = file
        self._lock = _lock(folder)
        try:
            # Whoever draws the tables meanwhile holds a commit up for a moment; that is no failure.
            self._connection = sqlite3.connect(file, isolation_level=None, timeout=60)
            self._begin(identity)
        except BaseException:
            self.close()
            raise

    def _begin(self, identity: Identity) -> None:
        with self._told():
            self._connection.execute("PRAGMA journal_mode = DELETE")
            self._connection.execute("PRAGMA synchronous = FULL")
        with self._transaction():
            for name, (columns, key) in TABLES.items():
                self._connection.execute(_create(name, columns, key))
                self._extend(name, columns)
            known = dict(self._connection.execute("SELECT key, value FROM meta"))
            if not known:
                self._insert("meta", [{"key": k, "value": v} for k, v in identity.items()])
                known = dict(identity)
        changed = differences(known, identity)
        if changed and PROGRAMS in identity and PROGRAMS not in known:
            raise InputError(
                f"{self.folder} holds a run that an earlier version of rdbench began, which did not note what computed "
                "it; it can be read, but not continued: name another folder with --out."
            )
        if changed:
            raise InputError(
                f"{self.folder} holds another run ({'; '.join(changed)}); name another folder with --out."
            )

    def _extend(self, name: str, columns: Mapping[str, str]) -> None:
        """Give the table of an earlier version the columns that it lacks."""
        there = {row[0] for row in self._connection.execute("SELECT name FROM pragma_table_info(?)", (name,))}
        for column, kind in columns.items():
            if column not in there and column in LATER.get(name, ()):
                self._connection.execute(f'ALTER TABLE {name} ADD COLUMN "{column}" {kind}')

    def close(self) -> None:
        """Let others write."""
        with contextlib.suppress(AttributeError):
            self._connection.close()
        self._lock.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def finished(self, kept: Path | None = None) -> set[tuple[Any, ...]]:
        """Keys (clip, region, factor, codec, variant, mode, rate) of all encodes that are done.

        Parameters
        ----------
        kept : Path, optional
            Folder of bitstreams: an encode whose file is not there is not done.
        """
        names = ("clip", *CONDITION)
        there = set() if kept is None else {file.stem for file in kept.iterdir()}
        return {
            tuple(row[name] for name in names)
            for row in self._rows(f"SELECT encode, stream_bits, {', '.join(names)} FROM encodes")  # noqa: S608
            if kept is None or row["stream_bits"] is None or row["encode"] in there
        }

    def misses(self) -> list[dict[str, Any]]:
        """By factor, ``looks`` for faces in decoded pictures that have one, and ``misses`` of these."""
        query = (
            "SELECT factor, SUM(box_looks) AS looks, SUM(box_misses) AS misses FROM encodes "
            "WHERE box_looks IS NOT NULL GROUP BY factor ORDER BY factor"
        )
        return [dict(row) for row in self._rows(query)]

    def sources(self) -> dict[str, str]:
        """Content hash of each clip that was used."""
        rows = self._rows("SELECT clip, source FROM clips WHERE state = 'used'")
        return {row["clip"]: row["source"] for row in rows}

    def clips(self) -> list[dict[str, Any]]:
        """All clips that were looked at."""
        return self._rows("SELECT * FROM clips ORDER BY clip")

    def forget_failures(self) -> None:
        """Failed units and clips are tried again by the run that follows."""
        with self._transaction():
            self._connection.execute("DELETE FROM failures")
            self._connection.execute("DELETE FROM clips WHERE state = 'failed'")

    def encodes_by_clip(self) -> dict[str, list[str]]:
        """Names of the encodes that are stored, by clip."""
        stored: dict[str, list[str]] = {}
        for row in self._rows("SELECT clip, encode FROM encodes ORDER BY encode"):
            stored.setdefault(row["clip"], []).append(row["encode"])
        return stored

    def forget_clip(self, clip: str) -> bool:
        """Remove all rows of a clip, which is not what it was.

        Rescored rows of all clips go as well: what was fitted on this clip has a say in them.

        Returns
        -------
        bool
            Whether there were rescored rows.
        """
        with self._transaction():
            execute = self._connection.execute
            for table in ("scores", "predictions", "timings"):
                execute(
                    f"DELETE FROM {table} WHERE encode IN (SELECT encode FROM encodes WHERE clip = ?)",  # noqa: S608
                    (clip,),
                )
            for table in ("encodes", "failures", "clips"):
                execute(f"DELETE FROM {table} WHERE clip = ?", (clip,))  # noqa: S608
            rescored = execute("DELETE FROM scores WHERE scoring <> ?", (PLAIN,)).rowcount
            return bool(execute("DELETE FROM fitted").rowcount + rescored)

    def note(self, values: Mapping[str, str]) -> None:
        """Put down what is said of the run as a whole, in place of what was said before."""
        self.add({"meta": [{"key": key, "value": value} for key, value in values.items()]})

    def noted(self, key: str) -> str | None:
        """What was put down of the run as a whole."""
        return next((row["value"] for row in self._rows("SELECT * FROM meta") if row["key"] == key), None)

    def failures(self) -> list[dict[str, Any]]:
        """What failed, in a fixed order."""
        return self._rows(f"SELECT * FROM failures ORDER BY clip, {', '.join(CONDITION)}")  # noqa: S608

    def add(self, rows: Mapping[str, Sequence[Row]]) -> None:
        """Add rows to tables in one transaction: after a crash all are there, or none.

        Raises
        ------
        OSError
            With ``errno.ENOSPC``, if the disk is full.
        """
        with self._transaction():
            for table, some in rows.items():
                self._insert(table, some)

    def replace(self, rows: Mapping[str, tuple[Sequence[Row], Sequence[Row]]]) -> None:
        """Take rows out of tables by their keys and put others in, in one transaction.

        Parameters
        ----------
        rows : mapping of str to pair of sequences
            For each table the old rows (their keys are enough) and the new ones.

        Raises
        ------
        OSError
            With ``errno.ENOSPC``, if the disk is full.
        """
        with self._transaction():
            for table, (old, new) in rows.items():
                key = TABLES[table][1]
                where = " AND ".join(f'"{name}" = ?' for name in key)
                self._connection.executemany(
                    f"DELETE FROM {table} WHERE {where}",  # noqa: S608
                    [tuple(_plain(row[name]) for name in key) for row in old],
                )
                self._insert(table, new)

    def _insert(self, table: str, rows: Iterable[Row]) -> None:
        columns = TABLES[table][0]
        names = ", ".join(f'"{name}"' for name in columns)
        marks = ", ".join("?" for _ in columns)
        values = [tuple(_plain(row.get(name)) for name in columns) for row in rows]
        self._connection.executemany(
            f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})",  # noqa: S608
            values,
        )

    def _rows(self, query: str) -> list[dict[str, Any]]:
        with self._told():
            cursor = self._connection.execute(query)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._told():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise _explained(error, self._file) from error


def _create(name: str, columns: Mapping[str, str], key: Sequence[str]) -> str:
    parts = [f'"{column}" {kind}' for column, kind in columns.items()]
    keys = ", ".join(f'"{column}"' for column in key)
    return f"CREATE TABLE IF NOT EXISTS {name} ({', '.join(parts)}, PRIMARY KEY ({keys})) STRICT"


def _plain(value: Any) -> Any:
    """SQLite keeps a numpy integer as a blob, and has no NaN."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value != value:
        return None
    return value


def _lock(folder: Path) -> IO[bytes]:
    lock = (folder / ".lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise InputError(
            f"Another process is writing {folder}; wait for it, or name another folder with --out."
        ) from error
    except OSError as error:
        lock.close()
        raise InputError(
            f"{folder} lies where files cannot be locked ({error.strerror}); name another folder with --out."
        ) from error
    return lock


def _explained(error: sqlite3.DatabaseError, file: Path) -> Exception:
    kind = getattr(error, "sqlite_errorname", "")
    if kind == "SQLITE_FULL":
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
    if kind.startswith("SQLITE_IOERR"):
        return OSError(errno.EIO, f"it cannot be read or written ({error})", str(file))
    if kind.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return InputError(f"{file} is no store of a run ({error}); name another folder with --out.")
    if kind.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return InputError(f"{file} cannot be written ({error}); name another folder with --out.")
    if kind.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return InputError(f"{file} is held by another program ({error}); close that and run this again.")
    if kind == "SQLITE_ERROR" and "column" in str(error):
        return InputError(
            f"{file} was not written by this version of rdbench ({error}); name another folder with --out."
        )
    return error
