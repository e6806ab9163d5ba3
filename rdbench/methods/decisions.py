"""What is decided of the claims of one file, so that about 5 % of files err in a mean, and as many in a sentence.

A claim says that something lies above 0 at every step (a factor, over targets and codecs). It is decided in two stages:

1. Its **primary endpoint**, the mean over all its members, by Holm's (1979) step-down test over the claims of the
   file, in both directions. A mean below 0 refutes the claim, since some member must then lie below.
2. Where the mean lies above, its **steps in their fixed order**, each a conjunction: a step is shown where every member
   by itself lies above at the plain one-sided level (intersection-union, Berger 1982), and the first step that is not
   ends it. A single member that lies below by the *simultaneous* interval refutes the claim whatever the mean says.

Stage 2 is done at the claim's share of the file's level; a claim that is decided to its end gives its share to the
others, as in Holm's test. Each stage errs in the wrong direction in at most half of the level, so that both together keep
to it; docs/simulation.md has what a simulation of files finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from rdbench.stats.components import DRAWS, Bounds, Estimate, Family, average, bounds, family
from rdbench.stats.intervals import LEVEL

__all__ = ["Case", "Decision", "decide", "holm", "p_value"]

UNKNOWN = "cannot be told"


@dataclass(frozen=True)
class Case:
    """What one claim is decided by.

    Parameters
    ----------
    members : sequence of Estimate
        By how much each exceeds what is claimed; above 0 it holds.
    steps : sequence of int
        The step of each member, from 0.
    whole : bool
        Whether all that is claimed has a member here; what has none cannot be said to hold.
    open : bool
        Whether it may be decided at all.
    complete : bool
        Whether all that is claimed was scored; until it is, there is no endpoint to decide.
    """

    members: Sequence[Estimate]
    steps: Sequence[int]
    whole: bool = True
    open: bool = True
    complete: bool = True


@dataclass(frozen=True)
class Decision:
    """What became of a claim.

    Parameters
    ----------
    verdict : str
        "holds", "holds on average", "does not hold" or "cannot be told".
    endpoint : Estimate or None
        The mean over the members that have an interval; None where there is none.
    endpoint_verdict : str
        "holds", "does not hold" or "cannot be told".
    p, p_holm : float
        Of the endpoint, two-sided: by itself, and over the file.
    level : float
        At which the members were looked at: 1 less the claim's share.
    members : list of str
        The verdict of each.
    together : list of Bounds
        The simultaneous intervals at that level.
    """

    verdict: str
    endpoint: Estimate | None
    endpoint_verdict: str
    p: float
    p_holm: float
    level: float
    members: list[str]
    together: list[Bounds]


def p_value(estimate: Estimate) -> float:
    """Two-sided, of 0; NaN where there is no interval."""
    own = bounds(estimate)
    if own.reason:
        return np.nan
    if own.error == 0:
        return float(own.low == 0)
    return float(2 * stdtr(own.freedom, -abs(estimate.value) / own.error))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values; one that is missing counts as a test that finds nothing, and stays missing."""
    values = np.array(p, dtype=np.float64)
    order = np.argsort(np.where(np.isnan(values), np.inf, values), kind="stable")
    adjusted = np.empty(len(values))
    stepped = np.nan_to_num(values[order], nan=1.0) * np.arange(len(values), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return [float(a) for a in np.where(np.isnan(values), np.nan, adjusted)]


def decide(cases: Sequence[Case], *, level: float = LEVEL, draws: int = DRAWS) -> list[Decision]:
    """Decide the claims of a file.

    Parameters
    ----------
    cases : sequence of Case
        All of the file, also those that are not open: what is left out of a file cannot widen what remains.
    level : float
        1 less the chance of a wrong word anywhere.
    draws : int
        Of simultaneous intervals.
    """
    usable = [[one for one in case.members if not bounds(one).reason] for case in cases]
    endpoints = [average(own) if own else None for own in usable]
    p = [p_value(one) if one is not None else np.nan for one in endpoints]
    adjusted = holm(
        [value if case.open and case.complete else np.nan for value, case in zip(p, cases, strict=True)]
    )
    first = [
        UNKNOWN if end is None or not value <= 1 - level else ("holds" if end.value > 0 else "does not hold")
        for end, case, value in zip(endpoints, cases, adjusted, strict=True)
    ]
    families = [family(case.members, draws=draws) for case in cases]
    left = list(range(len(cases)))
    found: dict[int, tuple[str, float, list[str], list[Bounds]]] = {}
    while left:
        share = 1 - (1 - level) / len(left)
        now = {i: _within(cases[i], first[i], families[i], share) for i in left}
        found |= now
        done = [i for i in left if now[i][0] in ("holds", "does not hold")]
        if not done:
            break
        left = [i for i in left if i not in done]
    return [
        Decision(found[i][0], endpoints[i], first[i], p[i], adjusted[i], *found[i][1:])
        for i in range(len(cases))
    ]


def _within(
    case: Case, endpoint: str, members: Family, level: float
) -> tuple[str, float, list[str], list[Bounds]]:
    """Verdict, level, verdicts of the members and simultaneous intervals of one claim at its share."""
    together = members.at(level)
    if not case.open:
        return UNKNOWN, level, [UNKNOWN] * len(case.members), together
    each = ["holds" if b.low > 0 else "does not hold" if b.high < 0 else UNKNOWN for b in together]
    shown = endpoint == "holds"
    for step in sorted(set(case.steps)):
        own = [i for i, s in enumerate(case.steps) if s == step]
        shown = shown and all(bounds(case.members[i], level=level).low > 0 for i in own)
        for i in own if shown else []:
            each[i] = "holds"
    if "does not hold" in (endpoint, *each):
        verdict = "does not hold"
    elif shown and case.whole and each:
        verdict = "holds"
    else:
        verdict = "holds on average" if endpoint == "holds" else UNKNOWN
    return verdict, level, each, together
