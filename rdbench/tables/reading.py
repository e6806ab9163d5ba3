"""A run as it lies on disk, opened for reading: its tables as pandas frames.

A run is one folder with ``run.sqlite``; a folder that has only ``encodes.csv`` and ``scores.csv`` is a run
too, and what it lacks is empty.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import pandas_dtype

from rdbench.errors import InputError
from rdbench.faults import Faults, refuse
from rdbench.tables.schema import ENCODES, LATER, SCORES, TABLES
from rdbench.tables.validation import faults_of_encodes, faults_of_scores

__all__ = ["StoredRun", "default_partition", "folder_of_run", "require_partition"]

PATIENCE = 120.0
"""Seconds that reading one table may take."""

_LONGEST_VALUE = 1 << 28
_NAMES_ANOTHER = bytes.fromhex("d9d505f920a163d7")
"""Ends a journal of SQLite that belongs to a change over several files."""

_PANDAS = {"TEXT": "str", "INTEGER": "Int64", "REAL": "float64", "BLOB": "object"}


class StoredRun:
    """The tables of a run, read when they are first asked for. Nothing is ever written.

    Parameters
    ----------
    path : Path
        The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.resolve().name

    @property
    def has_store(self) -> bool:
        """Whether there is a ``run.sqlite``, and not CSV files alone."""
        return (self.path / "run.sqlite").is_file()

    @cached_property
    def encodes(self) -> pd.DataFrame:
        """One row a clip and condition, with the columns of `rdbench.tables.schema.ENCODES`.

        A table that cannot have been measured raises InputError; so does `scores`.
        """
        refuse(self._encodes[1], str(self.path))
        return self._encodes[0]

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row an encode, back-end, target and scoring: `rdbench.tables.schema.SCORES`."""
        refuse(self._scores[1], str(self.path))
        return self._scores[0]

    def faults(self) -> Faults:
        """Everything that is wrong with the tables of encodes and scores.

        Raises
        ------
        InputError
            If a table or a column is missing, or holds values of another type.
        """
        return self._encodes[1] + self._scores[1]

    @cached_property
    def _encodes(self) -> tuple[pd.DataFrame, Faults]:
        table = self._table("encodes", ENCODES)
        return table, faults_of_encodes(table)

    @cached_property
    def _scores(self) -> tuple[pd.DataFrame, Faults]:
        table, encodes = self._table("scores", SCORES), self._encodes[0]
        known = set(encodes["encode"])
        alone = ~table["encode"].isin(known).to_numpy(dtype=bool)
        if alone.any() and self.has_store:
            # The run may have gone on since its encodes were read: their new scores take no part.
            since = set(self._table("encodes", ENCODES)["encode"]) - known
            table = table[~table["encode"].isin(since).to_numpy(dtype=bool)].reset_index(drop=True)
        return table, faults_of_scores(table, encodes)

    @cached_property
    def timings(self) -> pd.DataFrame:
        """Wall seconds, hosts and paths as stored; empty where the run has none. Never compared."""
        return self._optional("timings")

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """Compressed values by frame as stored; empty where the run has none."""
        return self._optional("predictions")

    @cached_property
    def fitted(self) -> pd.DataFrame:
        """What `rdbench rescore` tried and chose for each region, back-end and target; empty where it was not run."""
        return self._optional("fitted")

    @cached_property
    def clips(self) -> pd.DataFrame:
        """What became of each clip as stored (used, skipped, failed, and why); empty where the run has none."""
        return self._optional("clips")

    @cached_property
    def failures(self) -> pd.DataFrame:
        """Encodes that failed, with their reasons; empty where the run has none."""
        return self._optional("failures")

    @cached_property
    def meta(self) -> dict[str, str]:
        """What the run says of itself; empty where it says nothing."""
        table = self._optional("meta")
        if not {"key", "value"} <= set(table.columns):
            return {}
        return dict(zip(table["key"], table["value"], strict=True))

    @property
    def unfinished(self) -> int:
        """Encodes that were planned and are neither made nor failed, nor of a clip that cannot be used.

        0 where the run does not say what was planned.
        """
        planned = [str(self.meta.get(f"planned_{what}", "")) for what in ("clips", "conditions")]
        if not all(number.isascii() and number.isdigit() and len(number) < 10 for number in planned):
            return 0
        clips, conditions = map(int, planned)
        gone = int((self.clips["state"] != "used").sum()) if "state" in self.clips else 0
        return max((clips - gone) * conditions - len(self.encodes) - len(self.failures), 0)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def _table(self, name: str, columns: dict[str, str]) -> pd.DataFrame:
        table = self._query(name, list(columns)) if self.has_store else self._csv(name, columns)
        return _typed(table, columns, self.path, name)

    def _query(self, name: str, columns: Sequence[str]) -> pd.DataFrame:
        file = self.path / "run.sqlite"
        with closing(_connect(file)) as connection, _told(file):
            have = _columns(connection, name, file)
            if not have:
                raise InputError(f"{file} has no table {name}, so it is not the store of a run.")
            absent = _later(name, have)
            _complete([*have, *absent], columns, f"The table {name} of {file}")
            names = ", ".join(f'NULL AS "{c}"' if c in absent else f'"{c}"' for c in columns)
            return _selected(connection, f'SELECT {names} FROM "{name}"', file)  # noqa: S608

    def _csv(self, name: str, columns: dict[str, str]) -> pd.DataFrame:
        file = self.path / f"{name}.csv"
        text = {column for column, kind in columns.items() if kind == "TEXT"}
        try:
            head = pd.read_csv(file, header=None, nrows=1, dtype="str", keep_default_na=False).iloc[0]
            table = pd.read_csv(file, dtype=dict.fromkeys(text, "str"), keep_default_na=False, na_values=[""])
        except (OSError, ValueError) as error:
            raise InputError(f"{file} cannot be read as a table: {error}.") from error
        twice = [column for column in columns if (head == column).sum() > 1]
        if twice:
            raise InputError(
                f"{file} has the column {twice[0]} twice, and nothing says which of them counts; leave one out."
            )
        table = table.assign(**dict.fromkeys(_later(name, list(table.columns)), None))
        _complete(list(table.columns), list(columns), str(file))
        return table[list(columns)]

    def _optional(self, name: str) -> pd.DataFrame:
        if not self.has_store:
            return pd.DataFrame()
        file = self.path / "run.sqlite"
        with closing(_connect(file)) as connection, _told(file):
            have = _columns(connection, name, file)
            if not have:
                return pd.DataFrame()
            columns, key = TABLES[name]
            _complete(have, key, f"The table {name} of {file}")
            table = _selected(connection, f'SELECT * FROM "{name}"', file)  # noqa: S608
        # Older runs lack columns that came later.
        table = table.reindex(columns=[*columns, *(other for other in have if other not in columns)])
        return _typed(table, columns, self.path, name)


@contextmanager
def _told(file: Path) -> Iterator[None]:
    """A query that ran into a limit, in a sentence."""
    try:
        yield
    except (sqlite3.OperationalError, pd.errors.DatabaseError) as error:
        if "interrupted" not in str(error):
            raise
        raise InputError(
            f"{file} could not be read within {PATIENCE:.0f} s; it is no store that rdbench wrote."
        ) from error


def _open(file: Path, mode: str) -> sqlite3.Connection:
    """Open a store that anybody may have written: its schema may compute nothing, and time and memory have limits."""
    connection = sqlite3.connect(f"{file.resolve().as_uri()}?mode={mode}", uri=True, timeout=30)
    end = time.monotonic() + PATIENCE
    connection.set_progress_handler(lambda: time.monotonic() > end, 100_000)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _check_journal(file: Path) -> None:
    """Refuse to roll back a journal that names another file: SQLite would remove that one."""
    journal = file.with_name(file.name + "-journal")
    if journal.is_file():
        with journal.open("rb") as stream:
            stream.seek(max(0, journal.stat().st_size - len(_NAMES_ANOTHER)))
            if stream.read() == _NAMES_ANOTHER:
                raise InputError(
                    f"{journal} names another file, which no journal of rdbench does; remove it."
                )


def _connect(file: Path) -> sqlite3.Connection:
    connection = _open(file, "ro")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        if "readonly" not in str(error):
            return connection
        # A writer was killed within a commit: what it left half done is rolled back, which takes writing.
        connection.close()
        _check_journal(file)
        connection = _open(file, "rw")
    except sqlite3.DatabaseError:
        pass  # whoever reads a table says what is wrong with the file
    return connection


def _selected(connection: sqlite3.Connection, query: str, file: Path) -> pd.DataFrame:
    try:
        return pd.read_sql_query(query, connection)
    except (sqlite3.Error, pd.errors.DatabaseError) as error:
        reason = str(error).rpartition(": ")[2]
        raise InputError(
            f"{file} is damaged ({reason}); take it from a backup, or run again into another folder."
        ) from error


def _columns(connection: sqlite3.Connection, table: str, file: Path) -> list[str]:
    try:
        kinds = connection.execute(
            "SELECT type, sql FROM sqlite_master WHERE name = ? COLLATE NOCASE AND type IN ('table', 'view')",
            (table,),
        ).fetchall()
        if any(kind != "table" or "VIRTUAL" in str(sql).upper().split("(")[0] for kind, sql in kinds):
            raise InputError(f"{file}: {table} is no plain table, so it is not the store of a run.")
        return [str(row[0]) for row in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))]
    except sqlite3.Error as error:
        raise InputError(f"{file} cannot be read as the store of a run: {error}.") from error


def _later(table: str, have: Sequence[str]) -> list[str]:
    """Columns that this table has nowadays, and that runs of earlier versions may lack."""
    return [column for column in LATER.get(table, ()) if column not in have]


def _complete(have: Sequence[str], wanted: Sequence[str], where: str) -> None:
    missing = [column for column in wanted if column not in have]
    if missing:
        raise InputError(
            f"{where} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; "
            "it was not written by this version of rdbench."
        )


def _typed(table: pd.DataFrame, columns: dict[str, str], path: Path, name: str) -> pd.DataFrame:
    for column, kind in columns.items():
        try:
            # Numbers too large for an integer are refused by what pandas raises; numpy's warning says no more.
            with np.errstate(invalid="ignore"):
                table[column] = table[column].astype(pandas_dtype(_PANDAS[kind]))
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"The column {column} of the table {name} in {path} should hold {kind.lower()} values: "
                f"{error}."
            ) from error
    return table


def folder_of_run(path: str | Path) -> Path:
    """Hold a path to what a run is: a folder with ``run.sqlite``, or with ``encodes.csv`` and ``scores.csv``.

    Raises
    ------
    InputError
        If there is no such folder, or it is not a run. Columns are checked when a table is first read.
    """
    folder = Path(path)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise InputError(f"{folder} {what}; a run is a folder, as `rdbench run --out` makes it.")
    if (folder / "run.sqlite").is_file():
        return folder
    missing = [name for name in ("encodes.csv", "scores.csv") if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"{folder} is not a run: it has neither run.sqlite nor "
            f"{'both encodes.csv and scores.csv' if len(missing) == 2 else missing[0]}."
        )
    return folder


def default_partition(encodes: pd.DataFrame) -> str:
    """The partition that is reported: test, else dev, else the only one there is."""
    present = list(pd.unique(encodes["partition"].dropna()))
    return next((name for name in ("test", "dev", *present) if name in present), "test")


def require_partition(encodes: pd.DataFrame, partition: str | None, where: str) -> None:
    """Refuse a partition that the encodes of `where` do not have; None asks for none in particular.

    Raises
    ------
    InputError
    """
    there = sorted(encodes["partition"].dropna().unique())
    if partition is not None and partition not in there:
        raise InputError(
            f"{where} has no encodes of partition {partition}; it has {', '.join(there) or 'none'}."
        )
