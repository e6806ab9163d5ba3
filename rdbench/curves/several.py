"""The tables of several runs as those of one: back-ends that were scored in different runs meet there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from rdbench.errors import InputError
from rdbench.tables.reading import StoredRun
from rdbench.tables.schema import SCOPE, SCORE_KEY

__all__ = ["FIRST", "SECOND", "Tables", "joined", "together"]

FIRST, SECOND = "1:", "2:"
"""What the back-ends of the first and the second run are called, before their names."""

FIRST, SECOND = "1:", "2:"
"""What the back-ends of the first and the second run are called, before their names."""

_PLACE = ["clip", "region"]

Tables = tuple[pd.DataFrame, pd.DataFrame]


def joined(runs: Sequence[StoredRun]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put the tables of runs together.

    An encode is named by its content, so one that several runs have is there once, with the scores of all.

    Parameters
    ----------
    runs : sequence of StoredRun
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


def together(first: Tables, second: Tables) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """The rows of both runs that may be compared.

    Parameters
    ----------
    first, second : (encodes, scores)
        Tables with the columns of `rdbench.tables`.

    Returns
    -------
    encodes, scores : DataFrame
        Encodes and back-ends are named with `FIRST` or `SECOND`.
    reasons : list of str
        Why rows take no part.
    """
    reasons = []
    sources = [
        tables[0].drop_duplicates("clip").set_index("clip")["source"].astype(str)
        for tables in (first, second)
    ]
    common = sources[0].index.intersection(sources[1].index)
    same = set(common[(sources[0][common] == sources[1][common]).to_numpy()])
    for number, where in (
        (len(common) - len(same), "have another source"),
        (_alone(sources), "are in one run only"),
    ):
        if number:
            reasons.append(f"{number} clips {where} and take no part")
    encodes, scores = [], []
    for mark, (table, rows) in ((FIRST, first), (SECOND, second)):
        table = table[table["clip"].isin(same)]
        rows = rows[rows["encode"].isin(table["encode"])]
        place = table.set_index("encode")[_PLACE].loc[rows["encode"]]
        named = rows.assign(encode=mark + rows["encode"], backend=mark + rows["backend"])
        scores.append(named.assign(**{name: place[name].to_numpy() for name in _PLACE}))
        encodes.append(table.assign(encode=mark + table["encode"]))
    other = _other_gold(*scores)
    for target, gold, _ in other.itertuples(index=False, name=None):
        reasons.append(f"{target} is scored against other values or frames of {gold}, and is not compared")
    joined = pd.concat([table.drop(columns=_PLACE) for table in scores], ignore_index=True)
    if len(other):
        joined = joined[~pd.MultiIndex.from_frame(joined[list(SCOPE)]).isin(pd.MultiIndex.from_frame(other))]
    return pd.concat(encodes, ignore_index=True), joined.reset_index(drop=True), list(dict.fromkeys(reasons))


def _alone(sources: list[pd.Series]) -> int:
    return len(sources[0].index.symmetric_difference(sources[1].index))


def _other_gold(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Values of `SCOPE` for which the two runs were not scored against the same."""
    key = [*_PLACE, *SCOPE]
    values = ["n", "mean_gold", "m2_gold"]
    one, two = (table.drop_duplicates(key)[[*key, *values]] for table in (first, second))
    both = one.merge(two, on=key, suffixes=("", "_other"))
    differs = np.zeros(len(both), dtype=bool)
    for name in values:
        a, b = (both[column].to_numpy(np.float64, na_value=np.nan) for column in (name, f"{name}_other"))
        # Labels are resampled in floating point: another machine may have other last digits.
        differs |= ~np.isclose(a, b, rtol=1e-6, atol=1e-9, equal_nan=True)
    return both.loc[differs, list(SCOPE)].drop_duplicates()
