"""The tables of a run as files that anyone can read, and a run's state in a few lines."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from rdbench.curves.arrays import Arrays
from rdbench.curves.envelope_tables import envelopes_of, gains_of, switch_points_of
from rdbench.curves.pooling import curves_table
from rdbench.curves.run import open_run
from rdbench.curves.scope import Scopes
from rdbench.curves.sides import GROUP
from rdbench.errors import InputError
from rdbench.files import replacing
from rdbench.tables.basis import Basis

__all__ = ["export_run"]


def export_run(path: Path, out: Path, kind: str) -> list[Path]:
    """Write `encodes`, `scores` and `curves`, sorted, so that equal runs give equal files.

    A run that was coded at several factors has `envelopes`, `switches` and `gains` too, and one that was rescored has
    `fitted`.

    Parameters
    ----------
    path : Path
        The run.
    out : Path
    kind : {"csv", "parquet"}

    Raises
    ------
    InputError
        If it is not a run, or has no rows.
    """
    run = open_run(path)
    if run.encodes.empty:
        raise InputError(f"{path} has no encodes yet; there is nothing to export.")
    order = ["clip", "region", "factor", "codec", "variant", "mode", "rate"]
    encodes = run.encodes.sort_values(order, kind="stable")
    rank = {encode: index for index, encode in enumerate(encodes["encode"])}
    keyed = run.scores.assign(order=run.scores["encode"].map(rank))
    scores = keyed.sort_values(["order", "backend", "target", "gold", "scoring"], kind="stable").drop(
        columns="order"
    )
    tables = {"encodes": encodes, "scores": scores, "curves": curves_table(run.encodes, scores)}
    coded = run.encodes.loc[run.encodes["codec"] != "none", "factor"]
    if coded.nunique() > 1:
        tables |= _best_factors(run.encodes, scores)
    if not run.fitted.empty:
        tables["fitted"] = run.fitted.sort_values(["scoring", "region", "backend", "target"], kind="stable")
    out.mkdir(parents=True, exist_ok=True)
    return [_write(table.reset_index(drop=True), out / f"{name}.{kind}") for name, table in tables.items()]


def _best_factors(encodes: pd.DataFrame, scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The best factor at each rate, where it changes, and what that gains; by each target's main metric."""
    scopes = Scopes(Arrays(encodes, scores, Basis()))
    made = {
        "envelopes": envelopes_of(scopes),
        "switches": switch_points_of(scopes),
        "gains": gains_of(scopes),
    }
    return {name: table[_with_metric(table)] for name, table in made.items()}


def _with_metric(table: pd.DataFrame) -> list[str]:
    """The table's columns with the metric behind those that name a curve."""
    rest = [str(name) for name in table.columns if name not in (*GROUP, "metric")]
    return [*GROUP, "metric", *rest]


def _write(table: pd.DataFrame, file: Path) -> Path:
    with replacing(file) as part:
        if file.suffix == ".csv":
            table.to_csv(part, index=False, lineterminator="\n")
        else:
            table.to_parquet(part, index=False)
    return file
