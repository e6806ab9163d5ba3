"""What is decided of the claims of one file, so that at most 5 % of files say anything wrong: of a mean, a sentence or a member.

A claim says that something lies above 0 at every step (a factor, over targets and codecs). Each has a share of the file's
level, and uses it in this order:

1. Its **primary endpoint**, the mean over all its members, is tested in both directions at `ENDPOINT` of the share. A mean
   below 0 refutes the claim, since some member must then lie below.
2. An endpoint that is decided hands its share on to the **members**, else they have what is left of it. Where the mean lies
   above, the steps follow in their fixed order, each a conjunction: a step is shown where every member by itself lies
   above at the plain one-sided level (intersection-union, Berger 1982), and the first step that is not ends it. A
   single member that lies below by the *simultaneous* interval refutes the claim whatever the mean says; what its share
   still held goes back to the endpoint.
3. A claim that is decided to its end gives its share to the others, as in Holm's test (1979).

The endpoint, and a member that is its own mean, are tested by the `cautious` intervals of `rdbench.stats.components`, since
a single interval far out is what too many degrees of freedom do most to. No part of the level is used twice (the graphs of
Bretz et al. 2009), and each stage errs in the wrong direction in at most half of its part; docs/simulation.md has what a
simulation of files finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rdbench.stats.components import DRAWS, Bounds, Estimate, Family, average, bounds, family, p_value
from rdbench.stats.intervals import LEVEL

__all__ = ["Case", "Decision", "decide"]

HOLDS = "holds"
FAILS = "does not hold"
UNKNOWN = "cannot be told"
_TOLD = frozenset((HOLDS, FAILS))
ENDPOINT = 0.9
"""The part of a claim's share of the level at which its endpoint is tested; the rest is for single members that lie below
although the mean cannot be told."""


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
    p, p_adjusted : float
        Of the endpoint, two-sided: by itself, and over the file, of which at most 1 less the level decides.
    members : list of str
        The verdict of each.
    apart : list of Bounds
        The interval of each by itself, at the file's level.
    together : list of Bounds
        The simultaneous intervals at what the claim has left for its members.
    """

    verdict: str
    endpoint: Estimate | None
    endpoint_verdict: str
    p: float
    p_adjusted: float
    members: list[str]
    apart: list[Bounds]
    together: list[Bounds]


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
    claims = [_of_case(case, level, draws) for case in cases]
    left = list(range(len(cases)))
    found: dict[int, Decision] = {}
    while left:
        share = (1 - level) / len(left)
        now = {i: _decided(claims[i], share, level) for i in left}
        found |= now
        ended = [
            i
            for i in left
            if now[i].verdict in _TOLD and (now[i].endpoint_verdict in _TOLD or not claims[i].tested)
        ]
        if not ended:
            break
        left = [i for i in left if i not in ended]
    return [found[i] for i in range(len(cases))]


@dataclass(frozen=True)
class _Claim:
    """What is the same at any share of the level."""

    case: Case
    endpoint: Estimate | None
    p: float
    members: Family
    apart: list[Bounds]

    @property
    def tested(self) -> bool:
        """Whether there is an endpoint to decide."""
        return self.case.open and self.case.complete and bool(np.isfinite(self.p))

    @property
    def alone(self) -> bool:
        """Whether a single member is its own mean, so that one and the same test decides both."""
        return len(self.members.members) < 2

    def endpoint_at(self, share: float) -> str:
        """The endpoint's verdict at a share of the level."""
        if self.endpoint is None or not self.tested or self.p > share:
            return UNKNOWN
        return HOLDS if self.endpoint.value > 0 else FAILS


def _of_case(case: Case, level: float, draws: int) -> _Claim:
    usable = [one for one in case.members if not bounds(one).reason]
    endpoint = average(usable) if usable else None
    members = family(case.members, draws=draws)
    cautious = len(members.members) < 2
    apart = [bounds(one, level=level, cautious=cautious) for one in case.members]
    return _Claim(case, endpoint, np.nan if endpoint is None else p_value(endpoint), members, apart)


def _decided(claim: _Claim, share: float, level: float) -> Decision:
    """A claim at its share of the file's level."""
    part = (1.0 if claim.alone else ENDPOINT) if claim.tested else 0.0
    first = claim.endpoint_at(part * share)
    rest = share if claim.alone or first != UNKNOWN else (1 - part) * share
    verdict, each, together = _within(claim, first, rest)
    if claim.tested and first == UNKNOWN and verdict == FAILS:
        # A member has refuted the claim: its part of the share is the endpoint's now.
        part, first = 1.0, claim.endpoint_at(share)
    adjusted = float(min(claim.p * (1 - level) / (part * share), 1.0)) if claim.tested else np.nan
    return Decision(verdict, claim.endpoint, first, claim.p, adjusted, each, claim.apart, together)


def _within(claim: _Claim, endpoint: str, share: float) -> tuple[str, list[str], list[Bounds]]:
    """Verdict, verdicts of the members and simultaneous intervals of one claim at what is left for members."""
    case, cautious = claim.case, claim.alone
    together = claim.members.at(1 - share, cautious=cautious)
    if not case.open:
        return UNKNOWN, [UNKNOWN] * len(case.members), together
    each = [HOLDS if b.low > 0 else FAILS if b.high < 0 else UNKNOWN for b in together]
    shown = endpoint == HOLDS
    for step in sorted(set(case.steps)):
        own = [i for i, s in enumerate(case.steps) if s == step]
        shown = shown and all(
            bounds(case.members[i], level=1 - share, cautious=cautious).low > 0 for i in own
        )
        for i in own if shown else []:
            each[i] = HOLDS
    if FAILS in (endpoint, *each):
        verdict = FAILS
    elif shown and case.whole and each:
        verdict = HOLDS
    else:
        verdict = "holds on average" if endpoint == HOLDS else UNKNOWN
    return verdict, each, together
