"""What the first screen of the report answers: bits that keep the accuracy, accuracy at a rate, and who loses."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd

from rdbench.answers.losers import losers_of
from rdbench.answers.targets import at_rates, at_targets
from rdbench.answers.text import losers_for_people, rates_for_people, targets_for_people
from rdbench.curves.scope import Scopes
from rdbench.errors import NotComparableError
from rdbench.figures.targets import GOALS, shown_factors
from rdbench.report.plain import Json

__all__ = ["answers"]


def answers(scopes: Scopes) -> list[Json]:
    """Small tables of text, each with a heading and the lines that stand below it; none where nothing is coded.

    Codecs are shown at their best factor, or at the only one there is.
    """
    try:
        needed = shown_factors(at_targets(scopes, GOALS))
    except NotComparableError:
        return []
    parts = []
    if len(needed):
        table, lines = targets_for_people(needed)
        parts.append(_part("Bits that keep the recogniser working", table, lines))
    rate = _middle_rate(scopes)
    if rate is not None:
        there = shown_factors(at_rates(scopes, [rate]))
        if len(there):
            table, lines = rates_for_people(there)
            parts.append(_part(f"How well it works at {rate:g} kbit/s", table, lines))
    lines = _losses(scopes)
    if lines:
        parts.append(_part("Who loses", pd.DataFrame(), lines))
    return parts


def _part(heading: str, table: pd.DataFrame, lines: list[str]) -> Json:
    rows = table.astype(str).to_numpy().tolist()
    return {"heading": heading, "head": list(map(str, table.columns)), "rows": rows, "lines": lines}


def _middle_rate(scopes: Scopes) -> float | None:
    """The middle of the rates that most curves cover, with two digits."""
    ends = []
    for scope in scopes.coded:
        for _, side in scope.all():
            curve = side.ready()
            if len(curve.log_rate) > 1:
                ends.append((curve.log_rate[0], curve.log_rate[-1]))
    if not ends:
        return None
    middle = math.exp(float(np.median(np.array(ends))))
    return float(f"{middle:.2g}") if math.isfinite(middle) else None


def _losses(scopes: Scopes) -> list[str]:
    """A sentence for every pair of codecs, back-end and target: how many subjects lose, and who decides."""
    codecs = sorted({str(codec) for scope in scopes.coded for codec in scope.points.keys["codec"].unique()})
    several = any(scope.points.keys["factor"].nunique() > 1 for scope in scopes.coded)
    fixed = {"factor": "best"} if several else {}
    lines: list[str] = []
    for anchor, test in itertools.combinations(codecs, 2):
        try:
            table = losers_of(scopes, {"codec": anchor, **fixed}, {"codec": test, **fixed})
        except NotComparableError:
            continue
        lines += losers_for_people(table)[1]
    return lines
