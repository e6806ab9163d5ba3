"""What each row of scores was scored for: told from the row itself, so that a metric is data and not a column."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.stats.metrics import KINDS

__all__ = [
    "ABSENT",
    "ACCEPTED",
    "PRESENT",
    "UNITS",
    "kinds",
    "kinds_there",
    "main_metrics",
    "unit_classes",
    "units_of",
]

ACCEPTED = ("accepted", "rejected")
"""The classes of verification. All gold is "accepted", so that accuracy is the true-accept rate."""

ABSENT, PRESENT = " absent", " present"
"""How the two classes of a unit end, after its name."""

UNITS = "action units"
"""The target of the row that holds all units of a recogniser, and gives their mean."""


def unit_classes(units: tuple[str, ...]) -> tuple[str, ...]:
    """The classes of units side by side: absent and present of each."""
    return tuple(unit + end for unit in units for end in (ABSENT, PRESENT))


def kinds(scores: pd.DataFrame) -> NDArray[np.object_]:
    """The kind of each row, one of `rdbench.stats.metrics.KINDS`; "" where nothing was scored.

    A confusion matrix is told by the names of its classes: verification's are `ACCEPTED`, those of units come in pairs
    that end in `ABSENT` and `PRESENT`. Moments against a pristine reference that never varies are of a similarity to it.

    Parameters
    ----------
    scores : DataFrame
        With the columns of `rdbench.tables.schema.SCORES`.
    """
    confused = scores["confusion"].notna().to_numpy(dtype=bool)
    measured = (scores["n"] > 0) & scores["mean_pred"].notna()
    moments = ~confused & measured.to_numpy(dtype=bool, na_value=False)
    code, golds = pd.factorize(scores["gold"])
    alike = moments & np.array([*(str(gold).startswith("pristine:") for gold in golds), False])[code]
    alike &= (scores["m2_gold"] == 0).to_numpy(dtype=bool, na_value=False)
    code, texts = pd.factorize(scores["classes"])
    named = np.array([*map(_kind_of_classes, texts), "classes"], dtype=object)[code]
    out = np.where(confused, named, "")
    out[moments] = "continuous"
    out[alike] = "similarity"
    return out


def _kind_of_classes(text: object) -> str:
    try:
        names = json.loads(str(text))
    except (ValueError, RecursionError):
        return "classes"
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return "classes"
    if tuple(names) == ACCEPTED:
        return "verification"
    units = tuple(name.removesuffix(ABSENT) for name in names[::2])
    return "units" if units and tuple(names) == unit_classes(units) else "classes"


def units_of(scores: pd.DataFrame) -> NDArray[np.int64]:
    """How many answers of a frame each row counts: of units as many as it holds, else one."""
    code, texts = pd.factorize(scores["classes"])
    each = [len(json.loads(text)) // 2 if _kind_of_classes(text) == "units" else 1 for text in texts]
    return np.array([*each, 1], dtype=np.int64)[code]


def kinds_there(scores: pd.DataFrame) -> list[str]:
    """The kinds that a table of scores has, in the order of `rdbench.stats.metrics.KINDS`."""
    there = set(kinds(scores))
    return [kind for kind in KINDS if kind in there]


def main_metrics(scores: pd.DataFrame) -> tuple[str, ...]:
    """The main metric of each kind that a table of scores has: what its targets are measured by unless another is named."""
    return tuple(KINDS[kind][0] for kind in kinds_there(scores))
