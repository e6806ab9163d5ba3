"""Families of back-ends as curves: all seeds of a name as one line, with an interval over seeds and subjects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from rdbench.curves.points import Points, kbps
from rdbench.methods.table import cells, interval_of
from rdbench.stats.intervals import LEVEL

__all__ = ["COLUMNS", "family_points"]

COLUMNS = (
    *("target", "gold", "scoring", "backend", "region", "factor", "codec", "variant", "mode", "rate"),
    *("bitrate_kbps", "value", "low", "high", "seeds", "subjects", "rate_status", "coded_larger", "face_px"),
)
"""The columns of `family_points`; those that `rdbench.curves.pooled` has mean the same."""


def family_points(parts: Sequence[Points], *, level: float = LEVEL) -> pd.DataFrame:
    """Every family at every point: the mean over its seeds, which were all scored on the same encodes.

    Parameters
    ----------
    parts : sequence of Points
        One for each scope, as `rdbench.points.Arrays.parts` gives them.
    level : float

    Returns
    -------
    DataFrame
        With the columns `COLUMNS`.
    """
    rows = []
    for points in parts:
        rate = kbps(points.stats.sum(axis=0))
        of_point = points.keys[["rate_status", "coded_larger", "face_px"]].to_dict("records")
        for key, cell in cells(points):
            first = int(cell.rows[0])
            low, high = interval_of(cell, points.metric, level)[1:]
            rows.append(
                key
                | of_point[first]
                | {
                    "backend": cell.family,
                    "bitrate_kbps": float(rate[first]),
                    "value": cell.mean(),
                    "low": low,
                    "high": high,
                    "seeds": len(cell.seeds),
                    "subjects": len(points.subjects),
                }
            )
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({"value": np.float64, "low": np.float64, "high": np.float64})
