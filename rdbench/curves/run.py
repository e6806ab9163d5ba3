"""A run opened for curves: its tables, and what is pooled from them, each made once."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pandas as pd

from rdbench.curves import pooling
from rdbench.curves.arrays import Arrays
from rdbench.curves.scope import Scopes
from rdbench.identity import PROGRAMS, SESSIONS
from rdbench.stats.intervals import LEVEL
from rdbench.tables.basis import Basis
from rdbench.tables.label_counts import counted
from rdbench.tables.reading import StoredRun, folder_of_run

__all__ = ["Run", "open_run", "run_status"]


class Run(StoredRun):
    """The tables of a run, read when they are first asked for, and its curves. Nothing is ever written.

    Parameters
    ----------
    path : Path
        The folder.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._scopes: dict[Basis, Scopes] = {}

    def basis(
        self,
        metric: str | None = None,
        *,
        bits: str = "payload",
        charge_boxes: bool = False,
        partition: str | None = None,
    ) -> Basis:
        """What curves of this run are computed from; by default each target's own metric, and the partition that is reported."""
        return Basis(metric, bits, charge_boxes, partition).settled(self.encodes)

    def scopes(self, basis: Basis | None = None) -> Scopes:
        """Every curve of the run, made once for all tables, figures and pages; by default of the targets' own metrics."""
        settled = self.basis() if basis is None else basis.settled(self.encodes)
        if settled not in self._scopes:
            self._scopes[settled] = Scopes(Arrays(self.encodes, self.scores, settled))
        return self._scopes[settled]

    def arrays(self, basis: Basis | None = None) -> Arrays:
        """The tables as arrays, made once for all that is computed from them."""
        return self.scopes(basis).arrays

    def curves(self, metric: str | None = None, **options: Any) -> pd.DataFrame:
        """Pooled points with intervals; `options` are those of `rdbench.curves.pooling.pooled`."""
        level = options.pop("level", LEVEL)
        return pooling.pooled_of(self.arrays(Basis(metric, **options)), level=level)

    def recordings(self, metric: str | None = None, **options: Any) -> pd.DataFrame:
        """Each recording's own points; `options` are those of `rdbench.curves.pooling.per_recording`."""
        return pooling.per_recording_of(self.arrays(Basis(metric, **options)))


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
    return Run(folder_of_run(path))


def run_status(path: Path) -> dict[str, Any]:
    """Counts and failures of a run, as plain values."""
    run = open_run(path)
    clips = run.clips
    failures = run.failures
    return {
        "run": str(path),
        "encodes": len(run.encodes),
        "unfinished": run.unfinished,
        "clips": int((clips["state"] == "used").sum()) if len(clips) else int(run.encodes["clip"].nunique()),
        "skipped": [str(reason) for reason in clips.loc[clips["state"] == "skipped", "reason"]]
        if len(clips)
        else [],
        "failures": [
            *(
                [str(reason) for reason in clips.loc[clips["state"] == "failed", "reason"]]
                if len(clips)
                else []
            ),
            *(
                f"{row['clip']} {row['region']} factor {row['factor']} {row['codec']} {row['rate']:g}: {row['reason']}"
                for _, row in failures.iterrows()
            ),
        ],
        "golds": sorted(run.scores["gold"].dropna().unique()),
        "labels": counted(clips.loc[clips["state"] == "used", "labels"] if len(clips) else []).row(),
    }


def run_provenance(path: Path) -> dict[str, Any]:
    """What computed a run, as it says of itself.

    Returns
    -------
    dict
        ``programs``: versions and content hashes by name; ``calls``: date, command, host, class of machine, system and
        Python of each call that computed a part of it. Both are empty where an earlier version began the run.
    """
    meta = open_run(path).meta
    found: dict[str, Any] = {"programs": {}, "calls": []}
    for name, key, kind in (("programs", PROGRAMS, dict), ("calls", SESSIONS, list)):
        with contextlib.suppress(ValueError):
            value = json.loads(meta.get(key, "null"))
            if isinstance(value, kind):
                found[name] = value
    return found
