"""A run as it lies on disk, opened for reading: its tables as pandas frames.

A run is one folder with ``run.sqlite``; a folder that has only ``encodes.csv`` and ``scores.csv`` is a run
too, and what it lacks is empty.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import pandas_dtype

from rdbench.curves import pooling as _curves
from rdbench.curves.points import Arrays
from rdbench.errors import InputError
from rdbench.tables.schema import ENCODES, SCORES

__all__ = ["Run", "open_run"]

_PANDAS = {"TEXT": "str", "INTEGER": "Int64", "REAL": "float64"}


class Run:
    """The tables of a run, read when they are first asked for. Nothing is ever written.

    Parameters
    ----------
    path : Path
        The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.resolve().name
        self._arrays: dict[tuple[object, ...], Arrays] = {}

    @property
    def has_store(self) -> bool:
        """Whether there is a ``run.sqlite``, and not CSV files alone."""
        return (self.path / "run.sqlite").is_file()

    @cached_property
    def encodes(self) -> pd.DataFrame:
        """One row a clip and condition, with the columns of `rdbench.tables.ENCODES`."""
        return self._table("encodes", ENCODES)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row an encode, back-end, target and scoring: `rdbench.tables.SCORES`."""
        return self._table("scores", SCORES)

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

    def arrays(
        self,
        metric: str = "ccc",
        *,
        bits: str = "payload",
        charge_boxes: bool = False,
        partition: str | None = None,
    ) -> Arrays:
        """The tables as arrays, made once for all that is computed from them.

        Functions of the two tables (curves, envelopes, deltas) take them as ``arrays=``, with the same metric and
        options. Parameters are those of `rdbench.points.Arrays`.
        """
        key = (metric, bits, charge_boxes, partition)
        if key not in self._arrays:
            self._arrays[key] = Arrays(
                *(self.encodes, self.scores, metric),
                bits=bits,
                charge_boxes=charge_boxes,
                partition=partition,
            )
        return self._arrays[key]

    def curves(self, metric: str = "ccc", **options: Any) -> pd.DataFrame:
        """Pooled points with intervals; `options` are those of `rdbench.curves.pooled`."""
        return _curves.pooled(self.encodes, self.scores, metric, **options)

    def recordings(self, metric: str = "ccc", **options: Any) -> pd.DataFrame:
        """Each recording's own points; `options` are those of `rdbench.curves.per_recording`."""
        return _curves.per_recording(self.encodes, self.scores, metric, **options)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def _table(self, name: str, columns: dict[str, str]) -> pd.DataFrame:
        table = self._query(name, list(columns)) if self.has_store else self._csv(name, columns)
        return _typed(table, columns, self.path, name)

    def _query(self, name: str, columns: Sequence[str]) -> pd.DataFrame:
        file = self.path / "run.sqlite"
        with closing(_connect(file)) as connection:
            have = _columns(connection, name, file)
            if not have:
                raise InputError(f"{file} has no table {name}, so it is not the store of a run.")
            _complete(have, columns, f"The table {name} of {file}")
            names = ", ".join(f'"{column}"' for column in columns)
            return pd.read_sql_query(f'SELECT {names} FROM "{name}"', connection)  # noqa: S608

    def _csv(self, name: str, columns: dict[str, str]) -> pd.DataFrame:
        file = self.path / f"{name}.csv"
        text = {column for column, kind in columns.items() if kind == "TEXT"}
        try:
            table = pd.read_csv(file, dtype=dict.fromkeys(text, "str"), keep_default_na=False, na_values=[""])
        except (OSError, ValueError) as error:
            raise InputError(f"{file} cannot be read as a table: {error}.") from error
        _complete(list(table.columns), list(columns), str(file))
        return table[list(columns)]

    def _optional(self, name: str) -> pd.DataFrame:
        if not self.has_store:
            return pd.DataFrame()
        file = self.path / "run.sqlite"
        with closing(_connect(file)) as connection:
            if not _columns(connection, name, file):
                return pd.DataFrame()
            return pd.read_sql_query(f'SELECT * FROM "{name}"', connection)  # noqa: S608


def open_run(path: str | Path) -> Run:
    """Open a run for reading.

    Parameters
    ----------
    path : str or Path
        A folder with ``run.sqlite``, or with ``encodes.csv`` and ``scores.csv``.

    Returns
    -------
    Run

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
        return Run(folder)
    missing = [name for name in ("encodes.csv", "scores.csv") if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"{folder} is not a run: it has neither run.sqlite nor "
            f"{'both encodes.csv and scores.csv' if len(missing) == 2 else missing[0]}."
        )
    return Run(folder)


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=30)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        if "readonly" not in str(error):
            return connection
        # A writer was killed within a commit: what it left half done is rolled back, which takes writing.
        connection.close()
        connection = sqlite3.connect(f"{file.resolve().as_uri()}?mode=rw", uri=True, timeout=30)
    except sqlite3.DatabaseError:
        pass  # whoever reads a table says what is wrong with the file
    return connection


def _columns(connection: sqlite3.Connection, table: str, file: Path) -> list[str]:
    try:
        return [str(row[0]) for row in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))]
    except sqlite3.Error as error:
        raise InputError(f"{file} cannot be read as the store of a run: {error}.") from error


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
            table[column] = table[column].astype(pandas_dtype(_PANDAS[kind]))
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"The column {column} of the table {name} in {path} should hold {kind.lower()} values: "
                f"{error}."
            ) from error
    return table
