"""The tables of several runs as those of one: back-ends that were scored in different runs meet there."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from rdbench.errors import InputError
from rdbench.tables.reading import Run
from rdbench.tables.schema import SCORE_KEY

__all__ = ["joined"]


def joined(runs: Sequence[Run]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put the tables of runs together.

    An encode is named by its content, so one that several runs have is there once, with the scores of all.

    Parameters
    ----------
    runs : sequence of Run
        One or more.

    Returns
    -------
    encodes, scores : DataFrame
        With the columns of `rdbench.tables`.

    Raises
    ------
    InputError
        If two runs scored one encode by the same back-end with different weights, or measured it differently.
    """
    if len(runs) == 1:
        return runs[0].encodes, runs[0].scores
    encodes = pd.concat([run.encodes.assign(run=str(run.path)) for run in runs], ignore_index=True)
    scores = pd.concat([run.scores.assign(run=str(run.path)) for run in runs], ignore_index=True)
    _agree(encodes, ["encode"], "payload_bits", "the encode {encode} of clip {clip} has")
    _agree(scores, ["encode", *SCORE_KEY], "weights", "{backend} ({target}) was scored with the weights")
    encodes = encodes.drop_duplicates("encode").drop(columns="run")
    scores = scores.drop_duplicates(["encode", *SCORE_KEY]).drop(columns="run")
    return encodes.reset_index(drop=True), scores.reset_index(drop=True)


def _agree(table: pd.DataFrame, key: list[str], column: str, what: str) -> None:
    again = table[table.duplicated(key, keep=False)]
    unlike = again[again.groupby(key, dropna=False)[column].transform("nunique", dropna=False) > 1]
    if unlike.empty:
        return
    first = unlike.iloc[0]
    same = unlike[(unlike[key] == first[key]).all(axis=1)]
    missing = bool(pd.isna(first[column]))
    differs = same[column].notna() if missing else same[column].ne(first[column]).fillna(True)
    other = same[differs.astype(bool)].iloc[0]
    told = what.format_map({str(name): value for name, value in first.items()})
    raise InputError(
        f"{first['run']} and {other['run']} do not belong together: {told} {first[column]} in the one and "
        f"{other[column]} in the other ({column}); name one of them only."
    )
