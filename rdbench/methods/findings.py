"""What the tables of runs say of claims about ways of training.

Each factor, target and codec that a claim names is a *member* of it, with the difference of the two families,
its interval, and its simultaneous interval over the members.

- Without a codec (``ccc``, ``pcc``, ``rmse``, ``accuracy``, ``f1``) the difference is that of the families'
  means over seeds, each of the metric pooled over subjects.
- ``bd-ccc`` and ``bd-rate`` are Bjøntegaard deltas between the families' mean curves (see
  `rdbench.methods.families`). The mean of the deltas of all pairs of single seeds is told beside it.

Intervals (see `rdbench.stats.components`): the squared standard error is the sum of three components, the jackknife
over subjects (both families without the same subject) and one over the seeds of each family, with
Satterthwaite's degrees of freedom. Seeds of two families are taken for independent draws, also where their
numbers are equal. A family with one seed adds no component: what is claimed is then about this one network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from rdbench.curves.arrays import Arrays, codes
from rdbench.curves.points import Points
from rdbench.curves.scope import KEYS, Scope, Scopes
from rdbench.errors import NotComparableError
from rdbench.methods.claims import FALLING, Claim
from rdbench.methods.families import (
    Cell,
    at_common_rates,
    cells,
    delta_of_families,
    deltas_of_pairs,
    few_seeds,
)
from rdbench.stats.bd import Side, percent
from rdbench.stats.components import Bounds, Estimate, Sample, bounds, together
from rdbench.stats.intervals import LEVEL
from rdbench.tables.basis import Basis
from rdbench.tables.names import split_seed
from rdbench.tables.schema import CURVE
from rdbench.words import did_you_mean

__all__ = ["MEMBERS", "VERDICTS", "Finding", "evaluate"]


VERDICTS = ("holds", "does not hold", "cannot be told")

MEMBERS = (
    *("better", "than", "measure", "margin"),
    *("region", "codec", "variant", "mode", "factor", "target", "gold", "scoring"),
    *("better_value", "than_value", "value", "low", "high", "sim_low", "sim_high", "verdict"),
    *("better_seeds", "than_seeds", "subjects", "clips"),
    *("better_seed_variance", "than_seed_variance", "subject_variance", "freedom"),
    *("overlap", "pair_mean", "pairs", "pairs_without", "chosen_on"),
    *("remark", "warning", "reason"),
)
"""The columns of `Finding.members`. ``value`` and its ends are better minus than, in the measure's own units
(``bd-rate`` in per cent, where negative saves bits); the variances are components of that of ``value`` (of the
natural log ratio for ``bd-rate``); ``pair_mean`` is the mean of the deltas of all pairs of seeds, which are
``pairs``, of which ``pairs_without`` have none; ``remark`` marks families with fewer than 5 seeds."""


@dataclass(frozen=True)
class Finding:
    """What the tables say of a claim.

    Parameters
    ----------
    claim : Claim
    verdict : str
        One of `VERDICTS`: "holds" where every member's simultaneous interval lies above the margin, "does not
        hold" where some member's lies below it, else "cannot be told".
    reason : str
        Why it cannot be told, where that is not for the width of an interval.
    members : DataFrame
        With the columns `MEMBERS`.
    notes : list of str
        What was left out.
    """

    claim: Claim
    verdict: str
    reason: str
    members: pd.DataFrame
    notes: list[str]


def evaluate(
    claim: Claim,
    encodes: pd.DataFrame,
    scores: pd.DataFrame,
    *,
    bits: str = "payload",
    charge_boxes: bool = False,
    partition: str | None = None,
    level: float = LEVEL,
) -> Finding:
    """Hold a claim against tables.

    Parameters
    ----------
    claim : Claim
    encodes, scores : DataFrame
        With the columns of `rdbench.tables`; `rdbench.curves.several.joined` gives those of several runs.
    bits, charge_boxes
        What makes the rate, for BD.
    partition : str, optional
        By default test, else dev, else the only one there is.
    level : float

    Returns
    -------
    Finding
        What the tables do not have is a member with a reason, and the claim cannot be told.

    Raises
    ------
    InputError
        If the bits are unknown, or a row is there twice.
    """
    basis = Basis(claim.metric, bits, charge_boxes, partition).settled(encodes)
    own_encodes, own_scores, reason = _selected(claim, encodes, scores, str(basis.partition))
    members: list[_Member] = []
    notes: list[str] = []
    if not reason:
        scopes = Scopes(Arrays(own_encodes, own_scores, basis))
        try:
            if claim.coded:
                members = [member for scope in scopes.coded for member in _compared(claim, scope)]
            else:
                members = [member for points in scopes.arrays.parts() for member in _bare(claim, points)]
            parts = scopes.arrays.parts(uncoded=not claim.coded)
        except NotComparableError as error:
            parts, reason = [], str(error)
        for points in parts:
            notes += [f"left out: {row.kind} {row.name} {row.reason}" for row in points.left_out.itertuples()]
    members += [_Member(key, missing=reason or "there are no rows of it") for key in _asked(claim, members)]
    return _found(claim, members, reason, list(dict.fromkeys(notes)), level)


def _selected(
    claim: Claim, encodes: pd.DataFrame, scores: pd.DataFrame, partition: str
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """The rows that a claim is about, and why there are none."""
    families = {str(name): split_seed(str(name))[0] for name in scores["backend"].unique()}
    for wanted in (claim.better, claim.than):
        if wanted not in families.values():
            known = sorted(set(families.values()))
            hint = did_you_mean(wanted, known)
            return encodes, scores, f"no back-end {wanted!r} was scored{hint}; there are {', '.join(known)}"
    use = (encodes["region"] == claim.where) & (encodes["partition"].notna())
    if claim.coded:
        use &= encodes["codec"].isin(claim.codecs)
        for name in ("variant", "mode"):
            if getattr(claim, name) is not None:
                use &= encodes[name] == getattr(claim, name)
    else:
        use &= encodes["codec"] == "none"
    if "best" not in claim.factors:
        use &= encodes["factor"].isin(claim.factors)
    own = encodes[use]
    what = f"coded with {' or '.join(claim.codecs)}" if claim.coded else "that was never coded"
    if not (own["partition"] == partition).any():
        return encodes, scores, f"there is nothing {what} in region {claim.where}, partition {partition}"
    mine = scores["backend"].map(families).isin([claim.better, claim.than])
    mine &= (scores["gold"] == claim.gold) & (scores["scoring"] == claim.scoring)
    if claim.targets:
        mine &= scores["target"].isin(claim.targets)
    mine &= scores["encode"].isin(own["encode"])
    for wanted in (claim.better, claim.than):
        if not (scores.loc[mine, "backend"].map(families) == wanted).any():
            return (
                own,
                scores,
                f"{wanted} has no score against {claim.gold}, {claim.scoring}, of anything {what}",
            )
    return own, scores[mine], ""


@dataclass(frozen=True)
class _Member:
    """One comparison; `estimate` is better minus than."""

    key: dict[str, object]
    estimate: Estimate | None = None
    known: dict[str, object] = field(default_factory=dict)
    missing: str = ""


_KEY = ("region", "codec", "variant", "mode", "factor", "target", "gold", "scoring")


def _asked(claim: Claim, members: Sequence[_Member]) -> Iterator[dict[str, object]]:
    """Keys that a claim names and no member has."""
    columns = ("codec", "factor", "target")
    have = {tuple(str(member.key[name]) for name in columns) for member in members}
    targets = claim.targets or tuple(dict.fromkeys(str(m.key["target"]) for m in members)) or ("",)
    for target in targets:
        for codec in claim.codecs or ("none",):
            for factor in claim.factors:
                if (codec, str(factor), target) not in have:
                    yield {
                        **dict.fromkeys(_KEY, ""),
                        "region": claim.where,
                        "codec": codec,
                        "factor": factor,
                        "target": target,
                        "gold": claim.gold,
                        "scoring": claim.scoring,
                    }


def _bare(claim: Claim, points: Points) -> list[_Member]:
    """Comparisons of means over seeds at each factor."""
    families: dict[tuple[object, ...], dict[str, Cell]] = {}
    for key, cell in cells(points):
        families.setdefault(tuple(key[name] for name in _KEY), {})[cell.family] = cell
    out = []
    for values, sides in families.items():
        key = dict(zip(_KEY, values, strict=True))
        absent = [name for name in (claim.better, claim.than) if name not in sides]
        if absent:
            out.append(_Member(key, missing=f"{absent[0]} has no rows of it"))
            continue
        a, b = sides[claim.better], sides[claim.than]
        estimate = Estimate(
            a.mean() - b.mean(),
            Sample(("subjects", *points.subjects), a.by_subject() - b.by_subject()),
            tuple(
                Sample((cell.family, *cell.seeds), replicates)
                for cell, replicates in ((a, a.by_seed() - b.mean()), (b, a.mean() - b.by_seed()))
                if len(cell.seeds) > 1
            ),
        )
        known = {"better_value": a.mean(), "than_value": b.mean()}
        out.append(_Member(key, estimate, known | _counts(points, a.seeds, b.seeds)))
    return out


def _counts(points: Points, better: Sequence[int], than: Sequence[int]) -> dict[str, object]:
    return {
        "better_seeds": len(better),
        "than_seeds": len(than),
        "subjects": len(points.subjects),
        "clips": len(points.clips),
    }


@dataclass(frozen=True)
class _Curve:
    """The curve of one seed; `rates`, which envelopes do not have, must be equal for all seeds of a family."""

    side: Side
    rates: tuple[float, ...] = ()
    chosen_on: str = ""
    missing: str = ""


def _compared(claim: Claim, scope: Scope) -> list[_Member]:
    """Comparisons of mean curves for each codec and factor."""
    groups: dict[tuple[object, ...], dict[str, dict[int, _Curve]]] = {}
    for backend, values, curve in _of_claim(claim, scope):
        family, seed = split_seed(backend)
        groups.setdefault(values, {}).setdefault(family, {})[seed] = curve
    out = []
    for values, families in groups.items():
        key = dict(zip(_KEY, values, strict=True))
        if key["factor"] == "best":
            families = {name: _aligned(curves) for name, curves in families.items()}
        missing = _why_not(claim, families)
        if missing:
            out.append(_Member(key, missing=missing))
            continue
        better, than = (dict(sorted(families[name].items())) for name in (claim.better, claim.than))
        out.append(_delta_member(claim, key, better, than, scope.points))
    return out


def _aligned(curves: dict[int, _Curve]) -> dict[int, _Curve]:
    """Envelopes of seeds at common rates; as they are where one is missing."""
    if any(curve.missing for curve in curves.values()):
        return curves
    sides = at_common_rates([curve.side for curve in curves.values()])
    if not sides:
        missing = "the envelopes of its seeds share no range"
        return {seed: replace(curve, missing=missing) for seed, curve in curves.items()}
    return {
        seed: replace(curve, side=side) for (seed, curve), side in zip(curves.items(), sides, strict=True)
    }


def _of_claim(claim: Claim, scope: Scope) -> Iterator[tuple[str, tuple[object, ...], _Curve]]:
    """Curves of the claim's factors, then those of the best factor at each rate where it asks for them."""
    points = scope.points
    labels, keys = codes(points.keys, CURVE)
    rate = points.keys["rate"].to_numpy(dtype=np.float64)
    for number, key in enumerate(keys.to_dict("records")):
        if key["factor"] in claim.factors:
            side = scope.curve({name: str(key[name]) for name in KEYS}).side
            curve = _Curve(side, tuple(rate[labels == number]))
            yield str(key["backend"]), tuple(key[part] for part in _KEY), curve
    for group, _ in scope.groups if "best" in claim.factors else ():
        values = tuple("best" if part == "factor" else group[part] for part in _KEY)
        try:
            envelope = scope.envelope(group)
        except NotComparableError as error:
            none = np.zeros((len(points.subjects), 0))
            curve = _Curve(Side(none[0], none[0], none, none), missing=str(error))
        else:
            curve = _Curve(envelope.side, chosen_on=envelope.chosen_on)
        yield str(group["backend"]), values, curve


def _why_not(claim: Claim, families: dict[str, dict[int, _Curve]]) -> str:
    for name in (claim.better, claim.than):
        if name not in families:
            return f"{name} has no rows of it"
        curves = families[name].values()
        for curve in curves:
            if curve.missing:
                return f"{name}: {curve.missing}"
        if len({curve.rates for curve in curves}) > 1:
            return f"the seeds of {name} were scored at other rates"
    return ""


def _delta_member(
    claim: Claim,
    key: dict[str, object],
    better: dict[int, _Curve],
    than: dict[int, _Curve],
    points: Points,
) -> _Member:
    measure: Literal["accuracy", "rate"] = "rate" if claim.measure == "bd-rate" else "accuracy"
    sides = [[curve.side for curve in one.values()] for one in (than, better)]
    delta = delta_of_families(*sides, measure=measure)
    subjects, a, b = len(points.subjects), len(better), len(than)
    replicates = delta.replicates if len(delta.replicates) else np.full(subjects + a + b, np.nan)
    of_seeds = (
        Sample((claim.better, *better), replicates[subjects : subjects + a]),
        Sample((claim.than, *than), replicates[subjects + a :]),
    )
    estimate = Estimate(
        delta.value,
        Sample(("subjects", *points.subjects), replicates[:subjects]),
        tuple(one for one in of_seeds if len(one.replicates) > 1),
        delta.reason,
    )
    pairs = deltas_of_pairs(*sides, measure=measure)
    known = {
        **_counts(points, tuple(better), tuple(than)),
        "overlap": delta.overlap,
        "pair_mean": float(pairs.mean()),
        "pairs": len(pairs),
        "pairs_without": int(np.isnan(pairs).sum()),
        "chosen_on": next(iter(better.values())).chosen_on,
        "warning": delta.warning,
    }
    return _Member(key, estimate, known)


def _found(claim: Claim, members: Sequence[_Member], reason: str, notes: list[str], level: float) -> Finding:
    order = {str(factor): place for place, factor in enumerate(claim.factors)}
    members = sorted(
        members, key=lambda m: (str(m.key["target"]), str(m.key["codec"]), order.get(str(m.key["factor"]), 0))
    )
    have = [member for member in members if member.estimate is not None]
    estimates = [member.estimate for member in have if member.estimate is not None]
    plain = iter([bounds(one, level=level) for one in estimates])
    family = iter(together(estimates, level=level))
    rows = []
    for member in members:
        if member.estimate is None:
            rows.append(_row(claim, member, None, None))
        else:
            rows.append(_row(claim, member, next(plain), next(family)))
    table = pd.DataFrame(rows, columns=list(MEMBERS))
    verdicts = set(table["verdict"])
    if "does not hold" in verdicts:
        verdict = "does not hold"
    elif verdicts == {"holds"}:
        verdict = "holds"
    else:
        verdict = "cannot be told"
        missing = [
            f"{_place(m.key)}: {why}"
            for m, row in zip(members, rows, strict=True)
            if (why := m.missing or str(row["reason"]))
        ]
        reason = reason or next(iter(missing), "")
    return Finding(claim, verdict, reason if verdict == "cannot be told" else "", table, notes)


def _place(key: dict[str, object]) -> str:
    parts = [str(key[name]) for name in ("target", "codec") if key[name] not in ("", "none")]
    return ", ".join([*parts, f"factor {key['factor']}"])


def _row(claim: Claim, member: _Member, plain: Bounds | None, family: Bounds | None) -> dict[str, object]:
    row: dict[str, object] = {"better": claim.better, "than": claim.than, "measure": claim.measure}
    row |= {"margin": claim.margin, **member.key, **member.known}
    row |= {"factor": str(member.key["factor"]), "verdict": "cannot be told", "reason": member.missing}
    for name in ("chosen_on", "remark", "warning"):
        row.setdefault(name, "")
    if member.estimate is None or plain is None or family is None:
        return row
    estimate = member.estimate
    scale: Callable[[float], Any] = percent if claim.measure == "bd-rate" else float
    row |= {
        "value": float(scale(estimate.value)),
        "low": float(scale(plain.low)),
        "high": float(scale(plain.high)),
        "sim_low": float(scale(family.low)),
        "sim_high": float(scale(family.high)),
        "subject_variance": estimate.subjects.variance,
        "freedom": plain.freedom if np.isfinite(plain.freedom) else np.nan,
        "reason": estimate.reason or plain.reason,
    }
    if claim.measure == "bd-rate":
        row["pair_mean"] = float(percent(row["pair_mean"]))
    named = {
        str(sample.name[0]): sample.variance for sample in estimate.seeds if isinstance(sample.name, tuple)
    }
    row["better_seed_variance"] = named.get(claim.better, np.nan)
    row["than_seed_variance"] = named.get(claim.than, np.nan)
    marks = [
        f"{name}: {few_seeds(int(str(row[count])))}"
        for name, count in ((claim.better, "better_seeds"), (claim.than, "than_seeds"))
        if few_seeds(int(str(row[count])))
    ]
    row["remark"] = "; ".join(marks)
    ends = [float(str(row["sim_low"])), float(str(row["sim_high"]))]
    worst, best = ends if claim.measure not in FALLING else [-ends[1], -ends[0]]
    if worst > claim.margin:
        row["verdict"] = "holds"
    elif best < claim.margin:
        row["verdict"] = "does not hold"
    return row
