"""Moments of tables merged by groups, written apart from what the program does with arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.tables.schema import MOMENTS
from rdbench.typing import Array


def merge_by(scores: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Merge the moments of all rows of each group.

    Parameters
    ----------
    scores : DataFrame
        With the columns of `rdbench.tables.schema.MOMENTS` and those named in `by`.
    by : sequence of str
        Null keys form a group of their own.

    Returns
    -------
    DataFrame
        One row a group: the columns `by` and the six moments, sorted by `by`.
    """
    rows = scores[[*by, *MOMENTS]]
    rows = rows[rows["n"] > 0]
    groups = rows.groupby(list(by), sort=True, dropna=False)
    label = groups.ngroup().to_numpy()
    keys = rows[list(by)].iloc[np.unique(label, return_index=True)[1]].reset_index(drop=True)
    merged = _merge_labelled(rows[list(MOMENTS)].to_numpy(dtype=np.float64), label, len(keys))
    return pd.concat([keys, pd.DataFrame(merged, columns=list(MOMENTS))], axis=1)


def _merge_labelled(rows: Array, label: NDArray[np.integer], groups: int) -> Array:
    def total(values: Array) -> Array:
        return np.bincount(label, values, groups).astype(np.float64, copy=False)

    n = rows[:, 0]
    count = total(n)
    first = np.unique(label, return_index=True)[1]
    out = np.empty((groups, 6))
    out[:, 0] = count
    scatter = []
    for column in (1, 2):
        anchor = rows[first, column]
        offset = rows[:, column] - anchor[label]
        shift = total(n * offset) / count
        out[:, column] = anchor + shift
        scatter.append(offset - shift[label])
    p, g = scatter
    for column, product in ((3, p * p), (4, g * g), (5, p * g)):
        out[:, column] = total(rows[:, column] + n * product)
    return out
