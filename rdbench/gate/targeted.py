"""What a run needs to reach a target, against what the reference needs, for a verdict.

The target is the reference's on both sides: a run that recognises uncoded pictures worse must not get an easier one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rdbench.curves.points import Points
from rdbench.curves.sides import side_of
from rdbench.gate.cells import Cells
from rdbench.stats.bd import Delta, Side
from rdbench.stats.goals import Goal
from rdbench.stats.reached import rate_at, ratio
from rdbench.tables.schema import CURVE, SCOPE

__all__ = ["at_target", "bare_curves"]

_UNCODED = {"codec": "none", "variant": "none", "mode": "none", "factor": 1}


def bare_curves(cells: Cells, members: list[int]) -> list[int]:
    """The curves that hold the uncoded pictures of these curves' scopes, at factor 1."""
    curves = cells.curves
    scopes = set(curves.iloc[members][list(SCOPE)].itertuples(index=False, name=None))
    bare = (curves["codec"] == "none") & (curves["factor"] == 1)
    return [
        i
        for i, scope in enumerate(curves[list(SCOPE)].itertuples(index=False, name=None))
        if bare.iloc[i] and scope in scopes and not cells.reason[i]
    ]


def at_target(
    keep: str,
    points: Points,
    at: Mapping[tuple[object, ...], NDArray[np.integer]],
    reference: tuple[object, ...],
    anchor: Side,
    test: Side,
) -> Delta:
    """The log ratio of the rates at which both sides of a curve reach a target, test over anchor.

    Parameters
    ----------
    keep : str
        As `rdbench.stats.goals.Goal.parse` takes it.
    points : Points
        Of both sides.
    at : mapping
        The points of each curve, by its side and values of `rdbench.tables.schema.CURVE`.
    reference : tuple
        The side and curve of the reference, whose uncoded pictures a share is taken of.
    anchor, test : Side
    """
    goal = Goal.parse(keep)
    name = dict(zip(("side", *CURVE), reference, strict=True)) | _UNCODED
    rows = at.get(tuple(name.values()))
    subjects = len(points.subjects)
    uncoded, without = np.array(np.nan), np.full(subjects, np.nan)
    if rows is not None:
        bare = side_of(points, rows)
        uncoded, without = bare.value[0], bare.values[:, 0]
    if goal.relative and rows is None:
        why = "the reference has no uncoded pictures at factor 1 to take a share of"
        return Delta(np.nan, reason=why, interval_reason=why)
    level, levels = float(goal.level(uncoded, points.metric)), goal.level(without, points.metric)
    found = ratio(rate_at(anchor, level, levels), rate_at(test, level, levels))
    reason = found.reason.replace("anchor:", "reference:").replace("test:", "run:")
    whole = bool(np.isfinite(found.replicates).all()) and len(found.replicates) == subjects
    return Delta(
        found.value,
        replicates=found.replicates if whole else np.zeros(0),
        reason=reason,
        interval_reason=found.interval_reason,
    )
