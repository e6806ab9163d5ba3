"""The comparisons that a claim asks for, as estimates with the samples that they rest on.

Each factor, target and codec that a claim names is a *member* of it:

- Without a codec (``ccc``, ``accuracy`` or another metric) the difference is that of the families' means over seeds,
  each of the metric pooled over subjects.
- ``bd-rate``, ``bd-ccc`` and its like are Bjøntegaard deltas between the families' mean curves (see
  `rdbench.methods.families`). The mean of the deltas of all pairs of single seeds is told beside it.

An estimate rests on subjects (both families without the same subject) and on seeds. Where both families have the very
same seeds, these are left out as pairs: a seed draws whom both learn from, which lifts or lowers both. That is valid
whatever they share, and costs a few degrees of freedom where they share nothing. Otherwise, or where a claim says
``seeds = "independent"``, each family is a sample by itself. A family with one seed adds no component.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pandas as pd

from rdbench.curves.arrays import Arrays, codes
from rdbench.curves.points import Points
from rdbench.curves.scope import KEYS, Scope, Scopes
from rdbench.errors import NotComparableError
from rdbench.methods.claims import Claim
from rdbench.methods.families import Cell, at_common_rates, cells, delta_of_families, deltas_of_pairs
from rdbench.stats.bd import Side
from rdbench.stats.components import Estimate, Sample
from rdbench.tables.basis import Basis
from rdbench.tables.names import split_seed
from rdbench.tables.schema import CURVE
from rdbench.words import did_you_mean

__all__ = ["Member", "bare", "members_of"]


@dataclass(frozen=True)
class Member:
    """One comparison; `estimate` is better minus than.

    Parameters
    ----------
    key : dict
        ``region codec variant mode factor target gold scoring``.
    estimate : Estimate, optional
    known : dict
        Other columns of `rdbench.methods.findings.MEMBERS`.
    missing : str
        Why there is no estimate.
    scored : bool
        Whether both families have rows of it.
    """

    key: dict[str, object]
    estimate: Estimate | None = None
    known: dict[str, object] = field(default_factory=dict)
    missing: str = ""
    scored: bool = True


_KEY = ("region", "codec", "variant", "mode", "factor", "target", "gold", "scoring")


def members_of(
    claim: Claim, encodes: pd.DataFrame, scores: pd.DataFrame, basis: Basis
) -> tuple[list[Member], list[str], str]:
    """All members of a claim in the order of its factors, what was left out, and why there are none.

    Parameters
    ----------
    claim : Claim
    encodes, scores : DataFrame
    basis : Basis
        Settled.

    Raises
    ------
    InputError
        If a row is there twice.
    """
    own_encodes, own_scores, reason = _selected(claim, encodes, scores, str(basis.partition))
    members: list[Member] = []
    notes: list[str] = []
    if not reason:
        scopes = Scopes(Arrays(own_encodes, own_scores, basis))
        try:
            if claim.coded:
                members = [member for scope in scopes.coded for member in _compared(claim, scope)]
            else:
                members = [member for points in scopes.arrays.parts() for member in bare(claim, points)]
            parts = scopes.arrays.parts(uncoded=not claim.coded)
        except NotComparableError as error:
            parts, reason = [], str(error)
        for points in parts:
            notes += [f"left out: {row.kind} {row.name} {row.reason}" for row in points.left_out.itertuples()]
    absent = reason or "there are no rows of it"
    members += [Member(key, missing=absent, scored=False) for key in _asked(claim, members)]
    order = {str(factor): place for place, factor in enumerate(claim.factors)}
    members.sort(
        key=lambda m: (str(m.key["target"]), str(m.key["codec"]), order.get(str(m.key["factor"]), 0))
    )
    return members, list(dict.fromkeys(notes)), reason


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


def _asked(claim: Claim, members: Sequence[Member]) -> Iterator[dict[str, object]]:
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


def bare(claim: Claim, points: Points) -> list[Member]:
    """Comparisons of means over seeds at each factor."""
    families: dict[tuple[object, ...], dict[str, Cell]] = {}
    for key, cell in cells(points):
        families.setdefault(tuple(key[name] for name in _KEY), {})[cell.family] = cell
    out = []
    for values, sides in families.items():
        key = dict(zip(_KEY, values, strict=True))
        absent = [name for name in (claim.better, claim.than) if name not in sides]
        if absent:
            out.append(Member(key, missing=f"{absent[0]} has no rows of it", scored=False))
            continue
        a, b = sides[claim.better], sides[claim.than]
        if paired_seeds(claim, a.seeds, b.seeds):
            of_seeds = [Sample("pairs of seeds", a.by_seed() - b.by_seed(), a.seeds)]
        else:
            of_seeds = [
                Sample(a.family, a.by_seed() - b.mean(), a.seeds),
                Sample(b.family, a.mean() - b.by_seed(), b.seeds),
            ]
        estimate = Estimate(
            a.mean() - b.mean(),
            Sample("subjects", a.by_subject() - b.by_subject(), tuple(points.subjects)),
            tuple(sample for sample in of_seeds if len(sample.units) > 1),
        )
        known = {"better_value": a.mean(), "than_value": b.mean()}
        out.append(Member(key, estimate, known | _counts(claim, points, a.seeds, b.seeds)))
    return out


def paired_seeds(claim: Claim, better: Sequence[int], than: Sequence[int]) -> bool:
    """Whether seeds are left out as pairs."""
    return claim.seeds == "paired" and len(better) > 1 and tuple(better) == tuple(than)


def _counts(claim: Claim, points: Points, better: Sequence[int], than: Sequence[int]) -> dict[str, object]:
    return {
        "better_seeds": len(better),
        "than_seeds": len(than),
        "paired_seeds": len(better) if paired_seeds(claim, better, than) else 0,
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


def _compared(claim: Claim, scope: Scope) -> list[Member]:
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
        missing, scored = _why_not(claim, families)
        if missing:
            out.append(Member(key, missing=missing, scored=scored))
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


def _why_not(claim: Claim, families: dict[str, dict[int, _Curve]]) -> tuple[str, bool]:
    """Why there is no comparison, and whether it was scored as it must be."""
    for name in (claim.better, claim.than):
        if name not in families:
            return f"{name} has no rows of it", False
        curves = families[name].values()
        for curve in curves:
            if curve.missing:
                return f"{name}: {curve.missing}", True
        if len({curve.rates for curve in curves}) > 1:
            return f"the seeds of {name} were scored at other rates", False
    return "", True


def _delta_member(
    claim: Claim,
    key: dict[str, object],
    better: dict[int, _Curve],
    than: dict[int, _Curve],
    points: Points,
) -> Member:
    measure: Literal["accuracy", "rate"] = "rate" if claim.measure == "bd-rate" else "accuracy"
    sides = [[curve.side for curve in one.values()] for one in (than, better)]
    paired = paired_seeds(claim, tuple(better), tuple(than))
    delta = delta_of_families(*sides, measure=measure, paired=paired)
    subjects, a, b = len(points.subjects), len(better), len(than)
    replicates = delta.replicates if len(delta.replicates) else np.full(subjects + a + b, np.nan)
    if paired:
        of_seeds = [Sample("pairs of seeds", replicates[subjects : subjects + a], tuple(better))]
    else:
        of_seeds = [
            Sample(claim.better, replicates[subjects : subjects + a], tuple(better)),
            Sample(claim.than, replicates[subjects + a :], tuple(than)),
        ]
    estimate = Estimate(
        delta.value,
        Sample("subjects", replicates[:subjects], tuple(points.subjects)),
        tuple(one for one in of_seeds if len(one.replicates) > 1),
        delta.reason,
    )
    pairs = deltas_of_pairs(*sides, measure=measure)
    known = {
        **_counts(claim, points, tuple(better), tuple(than)),
        "overlap": delta.overlap,
        "pair_mean": float(pairs.mean()),
        "pairs": len(pairs),
        "pairs_without": int(np.isnan(pairs).sum()),
        "chosen_on": next(iter(better.values())).chosen_on,
        "warning": delta.warning,
    }
    return Member(key, estimate, known)
