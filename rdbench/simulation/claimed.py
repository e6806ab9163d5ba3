"""How often a file of claims says anything wrong, and how often it finds what is there, by simulation.

One family is held against several others, as the claims of a file are: its seeds and subjects are in all of them. The
tables are drawn as sums, subject by subject and seed by seed, and go through the very functions of `rdbench claims`.
``python -m rdbench.simulation claims`` prints the tables of docs/simulation.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rdbench.curves.points import Points
from rdbench.methods.claims import Claim
from rdbench.methods.decisions import Decision, decide
from rdbench.methods.findings import case_of
from rdbench.methods.members import bare
from rdbench.simulation.population import CENTRE, FRAMES
from rdbench.typing import Array

__all__ = ["STEPS", "WORLDS", "World", "power_of_claims", "size_of_claims"]

STEPS = (2, 4, 8, 16)
"""The factors of each claim, in their order."""
_QUALITY = np.array([0.75, 0.65, 0.5, 0.35])
"""Of a family at each factor."""
_TARGETS = ("arousal", "valence")
_CLAIMS = 6


@dataclass(frozen=True)
class World:
    """What a file of claims is about.

    Parameters
    ----------
    worse : (claims, steps) array
        By how much quality each rival is worse at each factor; 0 where it is the same.
    subjects, seeds : int
        Seeds of each family.
    of_seeds : float
        Spread between seeds, in units of quality.
    shared : float
        Share of the variance between seeds that seeds of one number have in common.
    """

    worse: Array
    subjects: int = 16
    seeds: int = 5
    of_seeds: float = 0.04
    shared: float = 0.6


def _steps(*values: float) -> Array:
    return np.tile(np.array(values), (_CLAIMS, 1))


_HALF = np.array([[0.25] * 4] * (_CLAIMS // 2) + [[0.0] * 4] * (_CLAIMS - _CLAIMS // 2))
WORLDS = {
    "all equal": _steps(0, 0, 0, 0),
    "better but for the last factor": _steps(0.25, 0.25, 0.25, 0),
    "better but for the first factor": _steps(0, 0.25, 0.25, 0.25),
    "half of the claims true, half equal": _HALF,
}
"""What is true of the claims of each world."""


def _family(quality: Array, gain: Array, level: Array, spread: Array, bias: Array) -> Array:
    """Sums (subjects, seeds, steps, targets, 8) of a family whose quality is (subjects, seeds, steps, targets)."""
    slope = np.maximum(quality, 0.02) * gain
    mean_gold, var_gold = level + 0 * slope, spread**2 + 0 * slope
    mean_pred = slope * mean_gold + bias
    noise = 0.15 * (1.2 - np.minimum(quality, 1.2))
    var_pred, cov = slope**2 * var_gold + noise**2, slope * var_gold
    n = FRAMES
    second = (var_pred + mean_pred**2, var_gold + mean_gold**2, cov + mean_pred * mean_gold)
    sums = (np.ones_like(slope), mean_pred + 0 * slope, mean_gold, *second)
    return np.stack([0 * slope, np.full(slope.shape, 10.0), *(n * one for one in sums)], axis=-1)


def _drawn(world: World, rng: np.random.Generator) -> list[Array]:
    """Sums of the family that is claimed to be better, then of each rival."""
    n, s, k, t = world.subjects, world.seeds, len(STEPS), len(_TARGETS)
    gain = np.exp(rng.normal(0, 0.4, (n, 1, 1, 1)) - 0.08)
    bias = 0.15 * (rng.exponential(1, (n, 1, 1, t)) - 1)
    level, spread = rng.normal(0, 0.25, (n, 1, 1, t)), 0.2 * np.exp(rng.normal(0, 0.3, (n, 1, 1, t)))
    in_common = rng.normal(size=(1, s, 1, 1)), rng.normal(size=(n, 1, k, t))
    out = []
    for worse in np.vstack([np.zeros(k), world.worse]):
        own = rng.normal(size=(1, s, 1, 1)), rng.normal(size=(n, 1, k, t))
        both = rng.normal(size=(1, s, k, t)), rng.normal(size=(n, s, k, t))
        seeds = np.sqrt(world.shared) * in_common[0] + np.sqrt(1 - world.shared) * (own[0] + both[0]) / 2**0.5
        subjects = 0.7**0.5 * in_common[1] + 0.3**0.5 * own[1]
        quality = (_QUALITY - worse)[:, None] + world.of_seeds * seeds + 0.05 * subjects + 0.02 * both[1]
        out.append(_family(quality, gain, level, spread, bias))
    return out


def _points(better: Array, than: Array) -> Points:
    """Two families as what `rdbench.curves.arrays` makes of tables."""
    n, s, k, t = better.shape[:4]
    rows = [
        (f"{name}#{seed}" if seed else name, factor, target)
        for name in ("better@lite", "than@lite")
        for seed in range(s)
        for factor in STEPS[:k]
        for target in _TARGETS[:t]
    ]
    keys = pd.DataFrame(rows, columns=["backend", "factor", "target"])
    keys = keys.assign(region="face", codec="none", variant="none", mode="none", rate=0.0)
    keys = keys.assign(gold="labels", scoring="plain")
    stats = np.concatenate([one.reshape(n, s * k * t, -1) for one in (better, than)], axis=1)
    names = [f"subject{i}" for i in range(n)]
    centre = np.tile(CENTRE, (stats.shape[1], 1))
    return Points(keys, stats, centre, "ccc", names, names, pd.DataFrame(columns=["kind", "name", "reason"]))


def _decided(world: World, rng: np.random.Generator, *, seeds: str = "paired") -> list[Decision]:
    better, *rivals = _drawn(world, rng)
    claim = Claim.model_validate(
        {"sentence": "s", "better": "better@lite", "than": "than@lite", "factors": STEPS, "seeds": seeds}
    )
    members = [bare(claim, _points(better, rival)) for rival in rivals]
    order = {factor: place for place, factor in enumerate(STEPS)}
    for of_claim in members:
        of_claim.sort(key=lambda m: (str(m.key["target"]), order[int(str(m.key["factor"]))]))
    return decide([case_of(claim, of_claim) for of_claim in members])


def _wrong(decision: Decision, worse: Array) -> tuple[bool, bool, bool]:
    """Whether the mean, the sentence or a member is called what it is not; one that is equal must not be called anything."""

    def false(verdict: str, truth: float) -> bool:
        return (verdict == "holds" and truth <= 1e-9) or (verdict == "does not hold" and truth >= -1e-9)

    each = list(worse) * len(_TARGETS)
    mean, sentence = float(np.mean(worse)), float(np.min(worse))
    members = any(false(verdict, truth) for verdict, truth in zip(decision.members, each, strict=True))
    return false(decision.endpoint_verdict, mean), false(decision.verdict, sentence), members


def size_of_claims(
    trials: int = 500,
    subjects: Sequence[int] = (8, 32),
    *,
    worlds: Sequence[str] = tuple(WORLDS),
    seed: int = 0,
) -> pd.DataFrame:
    """Share of files that say anything wrong: of a mean, of a sentence, of a member, and of any of them.

    What is equal counts as wrong whichever way it is called.

    Returns
    -------
    DataFrame
        ``world``, ``subjects``, ``mean``, ``sentence``, ``member``, ``any``.
    """
    rows = []
    for name in worlds:
        for n in subjects:
            rng = np.random.default_rng(seed)
            world = World(WORLDS[name], subjects=n)
            found = np.zeros(3)
            anything = 0
            for _ in range(trials):
                pairs = zip(_decided(world, rng), world.worse, strict=True)
                wrong = np.array([_wrong(decision, worse) for decision, worse in pairs]).any(axis=0)
                found += wrong
                anything += bool(wrong.any())
            shares = dict(zip(("mean", "sentence", "member"), found / trials, strict=True))
            rows.append({"world": name, "subjects": n, **shares, "any": anything / trials})
    return pd.DataFrame(rows)


def power_of_claims(
    trials: int = 300,
    worse: Sequence[float] = (0.05, 0.1, 0.2),
    subjects: Sequence[int] = (8, 32),
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """Share of claims that are found, of a file where every rival is worse by as much at every factor.

    Returns
    -------
    DataFrame
        ``worse`` (in units of quality), ``subjects``, ``ccc`` (the mean difference that it makes), ``on average`` (share
        of claims whose mean is shown), ``at every factor`` (share that hold), ``independent`` (share whose mean is shown
        where seeds are not compared as pairs).
    """
    rows = []
    for much in worse:
        for n in subjects:
            world = World(_steps(*[much] * len(STEPS)), subjects=n)
            found = {"on average": 0, "at every factor": 0, "independent": 0}
            values = []
            for trial in range(trials):
                decisions = _decided(world, np.random.default_rng((seed, trial)))
                alone = _decided(world, np.random.default_rng((seed, trial)), seeds="independent")
                found["on average"] += sum(one.endpoint_verdict == "holds" for one in decisions)
                found["at every factor"] += sum(one.verdict == "holds" for one in decisions)
                found["independent"] += sum(one.endpoint_verdict == "holds" for one in alone)
                values += [one.endpoint.value for one in decisions if one.endpoint is not None]
            shares = {name: count / trials / _CLAIMS for name, count in found.items()}
            rows.append({"worse": much, "subjects": n, "ccc": float(np.mean(values)), **shares})
    return pd.DataFrame(rows)
