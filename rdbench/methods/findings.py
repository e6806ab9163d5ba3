"""What the tables of runs say of a file of claims about ways of training.

Each factor, target and codec that a claim names is a *member* of it (`rdbench.methods.members`), with the difference
of the two families, its interval, and its simultaneous interval over the members. The mean over the members is the
claim's *primary endpoint*. What is decided of them, for all claims of a file together, is in
`rdbench.methods.decisions`.

Intervals (see `rdbench.stats.components`): the squared standard error is the sum of components, the jackknife over
subjects and one over pairs of seeds, or over the seeds of each family, with Satterthwaite's degrees of freedom. A way of
training with fewer than 5 seeds is told that they cannot hold a claim about it: the interval is then about these very
networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from rdbench.methods.claims import FALLING, Claim
from rdbench.methods.decisions import Case, Decision, decide
from rdbench.methods.families import few_seeds
from rdbench.methods.members import Member, members_of
from rdbench.stats.bd import percent
from rdbench.stats.components import Bounds, Estimate, Sample, bounds
from rdbench.stats.intervals import LEVEL, MIN_SEEDS
from rdbench.tables.basis import Basis

__all__ = ["ENDPOINT", "MEMBERS", "VERDICTS", "Finding", "case_of", "evaluate", "evaluate_file"]


VERDICTS = ("holds", "holds on average", "does not hold", "cannot be told")

MEMBERS = (
    *("better", "than", "measure", "margin"),
    *("region", "codec", "variant", "mode", "factor", "target", "gold", "scoring"),
    *("better_value", "than_value", "value", "low", "high", "sim_low", "sim_high", "verdict"),
    *("better_seeds", "than_seeds", "paired_seeds", "subjects", "clips"),
    *("better_seed_variance", "than_seed_variance", "seed_variance", "subject_variance", "freedom"),
    *("overlap", "pair_mean", "pairs", "pairs_without", "chosen_on"),
    *("remark", "warning", "reason"),
)
"""The columns of `Finding.members`. ``value`` and its ends are better minus than, in the measure's own units
(``bd-rate`` in per cent, where negative saves bits); the variances are components of that of ``value`` (of the
natural log ratio for ``bd-rate``), ``seed_variance`` that of all seeds and those of the two families where these are
not ``paired_seeds``; ``sim_low`` and ``sim_high`` are simultaneous over the members, at the claim's share of the file's
level; ``pair_mean`` is the mean of the deltas of all pairs of seeds, which are ``pairs``, of which ``pairs_without``
have none; ``remark`` marks families with fewer than 5 seeds."""

ENDPOINT = (
    *("value", "low", "high", "p", "p_adjusted", "verdict", "members", "of"),
    *("seed_variance", "subject_variance", "freedom", "reason"),
)
"""The keys of `Finding.endpoint`: the mean over ``members`` of the ``of`` comparisons that the claim names, with its own
95 % interval; ``p`` is two-sided, of the margin, ``p_adjusted`` the same over all claims of the file."""


@dataclass(frozen=True)
class Finding:
    """What the tables say of a claim.

    Parameters
    ----------
    claim : Claim
    verdict : str
        One of `VERDICTS`: "holds" where every member was shown to lie above the margin, "holds on average" where the
        endpoint was and not every member, "does not hold" where the endpoint or some member lies below, else "cannot
        be told".
    reason : str
        Why it cannot be told, or not of every member, where that is not for the width of an interval.
    members : DataFrame
        With the columns `MEMBERS`.
    notes : list of str
        What was left out.
    endpoint : dict
        With the keys `ENDPOINT`; numbers that are missing are NaN.
    """

    claim: Claim
    verdict: str
    reason: str
    members: pd.DataFrame
    notes: list[str]
    endpoint: dict[str, Any]


def evaluate(claim: Claim, encodes: pd.DataFrame, scores: pd.DataFrame, **options: Any) -> Finding:
    """Hold one claim against tables, as a file of its own; see `evaluate_file`."""
    return evaluate_file([claim], encodes, scores, **options)[0]


def evaluate_file(
    claims: Sequence[Claim],
    encodes: pd.DataFrame,
    scores: pd.DataFrame,
    *,
    bits: str = "payload",
    charge_boxes: bool = False,
    partition: str | None = None,
    level: float = LEVEL,
) -> list[Finding]:
    """Hold the claims of a file against tables, all together.

    Parameters
    ----------
    claims : sequence of Claim
    encodes, scores : DataFrame
        With the columns of `rdbench.tables`; `rdbench.curves.several.joined` gives those of several runs.
    bits, charge_boxes
        What makes the rate, for BD.
    partition : str, optional
        By default test, else dev, else the only one there is.
    level : float
        1 less the chance of a wrong word in the file.

    Returns
    -------
    list of Finding
        What the tables do not have is a member with a reason. What was not scored must be, before the claim can be
        told; what was scored and has no value (curves that share no range) is told, and the rest is decided without it.

    Raises
    ------
    InputError
        If the bits are unknown, or a row is there twice.
    """
    gathered = []
    for claim in claims:
        basis = Basis(claim.metric, bits, charge_boxes, partition).settled(encodes)
        gathered.append(members_of(claim, encodes, scores, basis))
    cases = [case_of(claim, members) for claim, (members, _, _) in zip(claims, gathered, strict=True)]
    decisions = decide(cases, level=level)
    return [
        _found(claim, members, decision, reason, notes, level)
        for claim, (members, notes, reason), decision in zip(claims, gathered, decisions, strict=True)
    ]


def _limit(claim: Claim) -> float:
    """The margin on the scale of the estimates."""
    if claim.measure != "bd-rate":
        return claim.margin
    return float(-np.log1p(-claim.margin / 100)) if claim.margin < 100 else np.inf


def _gain(claim: Claim, estimate: Estimate) -> Estimate:
    """By how much an estimate exceeds what is claimed."""
    sign = -1.0 if claim.measure in FALLING else 1.0
    limit = _limit(claim)

    def turned(sample: Sample) -> Sample:
        return replace(sample, replicates=sign * sample.replicates - limit)

    return replace(
        estimate,
        value=sign * estimate.value - limit,
        subjects=turned(estimate.subjects),
        seeds=tuple(turned(one) for one in estimate.seeds),
    )


def case_of(claim: Claim, members: Sequence[Member]) -> Case:
    """What a claim is decided by: its members as what they exceed the margin by, in the steps of its factors."""
    order = {str(factor): place for place, factor in enumerate(claim.factors)}
    have = [(m, m.estimate) for m in members if m.estimate is not None]
    estimates = [_gain(claim, estimate) for _, estimate in have]
    whole = len(have) == len(members) and all(not bounds(one).reason for one in estimates)
    scored = all(member.scored for member in members)
    steps = [order[str(member.key["factor"])] for member, _ in have]
    # A member that fails by itself refutes the sentence also where others were never scored.
    return Case(estimates, steps, whole=whole and scored, open=not _too_few(members), complete=scored)


def _too_few(members: Sequence[Member]) -> str:
    """Why seeds cannot hold a claim about a way of training."""
    counts: dict[str, int] = {}
    for member in members:
        for side in ("better_seeds", "than_seeds"):
            if side in member.known:
                counts[side] = min(counts.get(side, MIN_SEEDS), int(str(member.known[side])))
    least = min(counts.values(), default=MIN_SEEDS)
    if least >= MIN_SEEDS:
        return ""
    few = "one seed" if least == 1 else f"{least} seeds"
    return (
        f"{few} cannot hold a claim about a way of training, which takes {MIN_SEEDS} of each family; the intervals "
        + (
            "are of these networks over other subjects, not over other trainings"
            if least == 1
            else "are shown all the same"
        )
    )


def _found(
    claim: Claim, members: Sequence[Member], decision: Decision, reason: str, notes: list[str], level: float
) -> Finding:
    said = iter(zip(decision.members, decision.apart, decision.together, strict=True))
    rows = [_row(claim, m, *(next(said) if m.estimate is not None else ())) for m in members]
    table = pd.DataFrame(rows, columns=list(MEMBERS))
    why = ""
    if decision.verdict in ("cannot be told", "holds on average"):
        missing = [
            f"{_place(m.key)}: {row['reason']}" for m, row in zip(members, rows, strict=True) if row["reason"]
        ]
        more = f" (and {len(missing) - 1} more of {len(members)})" if len(missing) > 1 else ""
        why = reason or _too_few(members) or "".join([*missing[:1], more])
    return Finding(claim, decision.verdict, why, table, notes, _endpoint(claim, rows, decision, level))


def _endpoint(
    claim: Claim, rows: Sequence[dict[str, object]], decision: Decision, level: float
) -> dict[str, Any]:
    out: dict[str, Any] = dict.fromkeys(ENDPOINT, np.nan)
    out |= {"verdict": decision.endpoint_verdict, "members": 0, "of": len(rows), "reason": ""}
    end = decision.endpoint
    if end is None:
        return out | {"reason": "no member has an interval"}
    own = bounds(end, level=level, cautious=True)
    sign, limit = (-1.0 if claim.measure in FALLING else 1.0), _limit(claim)
    scale: Callable[[float], Any] = percent if claim.measure == "bd-rate" else float
    low, high = sorted(sign * (edge + limit) for edge in (own.low, own.high))
    return out | {
        "value": float(scale(sign * (end.value + limit))),
        "low": float(scale(low)),
        "high": float(scale(high)),
        "p": decision.p,
        "p_adjusted": decision.p_adjusted,
        "members": sum(1 for row in rows if not row["reason"]),
        "seed_variance": sum(sample.variance for sample in end.seeds) if end.seeds else np.nan,
        "subject_variance": end.subjects.variance,
        "freedom": own.freedom if np.isfinite(own.freedom) else np.nan,
        "reason": own.reason,
    }


def _place(key: dict[str, object]) -> str:
    parts = [str(key[name]) for name in ("target", "codec") if key[name] not in ("", "none")]
    return ", ".join([*parts, f"factor {key['factor']}"])


def _row(
    claim: Claim,
    member: Member,
    verdict: str = "cannot be told",
    plain: Bounds | None = None,
    family: Bounds | None = None,
) -> dict[str, object]:
    row: dict[str, object] = {"better": claim.better, "than": claim.than, "measure": claim.measure}
    row |= {"margin": claim.margin, **member.key, **member.known}
    row |= {"factor": str(member.key["factor"]), "verdict": verdict, "reason": member.missing}
    for name in ("chosen_on", "remark", "warning"):
        row.setdefault(name, "")
    if member.estimate is None or plain is None or family is None:
        return row
    estimate = member.estimate
    scale: Callable[[float], Any] = percent if claim.measure == "bd-rate" else float
    sign, limit = (-1.0 if claim.measure in FALLING else 1.0), _limit(claim)
    (low, high), (sim_low, sim_high) = (
        sorted(sign * (edge + limit) for edge in (one.low, one.high)) for one in (plain, family)
    )
    row |= {
        "value": float(scale(estimate.value)),
        "low": float(scale(low)),
        "high": float(scale(high)),
        "sim_low": float(scale(sim_low)),
        "sim_high": float(scale(sim_high)),
        "subject_variance": estimate.subjects.variance,
        "seed_variance": sum(sample.variance for sample in estimate.seeds) if estimate.seeds else np.nan,
        "freedom": plain.freedom if np.isfinite(plain.freedom) else np.nan,
        "reason": estimate.reason or plain.reason,
    }
    if claim.measure == "bd-rate":
        row["pair_mean"] = float(percent(row["pair_mean"]))
    named = {sample.name: sample.variance for sample in estimate.seeds}
    row["better_seed_variance"] = named.get(claim.better, np.nan)
    row["than_seed_variance"] = named.get(claim.than, np.nan)
    marks = [
        f"{name}: {few_seeds(int(str(row[count])))}"
        for name, count in ((claim.better, "better_seeds"), (claim.than, "than_seeds"))
        if few_seeds(int(str(row[count])))
    ]
    row["remark"] = "; ".join(marks)
    return row
