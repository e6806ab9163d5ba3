"""How often the intervals of bits at a target, of savings there and of accuracy at a rate hold the truth, by simulation.

The subjects are those of `rdbench.simulation.population`; uncoded pictures are a further side of theirs whose quality is the
ceiling. ``python -m rdbench.simulation.targets`` prints the table of docs/simulation.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from rdbench.curves.points import kbps, metric_of_sums
from rdbench.simulation.population import CENTRE, POPULATIONS, Population, draw
from rdbench.stats.bd import Side
from rdbench.stats.intervals import delete_one
from rdbench.stats.reached import Answer, accuracy_at, difference, rate_at, ratio
from rdbench.typing import Array

__all__ = ["target_coverage"]

_POPULATION = 200_000
_KBPS = 20.0


def _drawn(population: Population, subjects: int, rng: np.random.Generator) -> Array:
    """Sums (subjects, anchor and test and uncoded, points, 8)."""
    # Uncoded pictures are a side that reaches half of its quality at once.
    three = replace(
        population, half=(*population.half, 1e-6), ceiling=(*population.ceiling, max(population.ceiling))
    )
    return draw(three, subjects, rng)


def _sides(stats: Array) -> tuple[list[Side], float, Array]:
    """Anchor and test, and the CCC of uncoded pictures, whole and without each subject."""
    total, without = stats.sum(axis=0), delete_one(stats)
    with np.errstate(invalid="ignore", divide="ignore"):
        log_rate, log_rates = np.log(kbps(total)), np.log(kbps(without))
    value, values = metric_of_sums(total, CENTRE, "ccc"), metric_of_sums(without, CENTRE, "ccc")
    sides = [Side(log_rate[i], value[i], log_rates[:, i], values[:, i]) for i in (0, 1)]
    return sides, float(value[2, -1]), values[:, 2, -1]


def _answers(stats: Array, shares: Sequence[float]) -> dict[str, Answer]:
    (anchor, test), uncoded, uncoded_without = _sides(stats)
    out = {}
    for share in shares:
        first, second = (
            rate_at(side, share * uncoded, share * uncoded_without, min_subjects=2) for side in (anchor, test)
        )
        out[f"rate that keeps {share:.0%}"] = first
        out[f"saving where {share:.0%} is kept"] = ratio(first, second, min_subjects=2)
    pair = [accuracy_at(side, float(np.log(_KBPS)), scale="atanh", min_subjects=2) for side in (anchor, test)]
    out[f"CCC at {_KBPS:g} kbit/s"] = pair[0]
    out[f"gain in CCC at {_KBPS:g} kbit/s"] = difference(*pair, min_subjects=2)
    return out


def target_coverage(
    trials: int = 1000,
    subjects: Sequence[int] = (6, 8, 16, 32),
    *,
    population: Population | None = None,
    shares: Sequence[float] = (0.7, 0.8, 0.9),
    seed: int = 0,
) -> pd.DataFrame:
    """How often nominal 95 % intervals hold the population's value.

    Parameters
    ----------
    trials : int
    subjects : sequence of int
    population : Population, optional
    shares : sequence of float
        Of the uncoded accuracy, that are to be kept.
    seed : int

    Returns
    -------
    DataFrame
        ``quantity``, ``subjects``, ``held`` (share of the trials with an interval whose interval holds the truth),
        ``below``, ``above`` (share where the truth lies below or above it), ``open`` (share whose interval is open at
        an end), ``width`` (median, of the closed ones), ``without`` (share of trials without a value).
    """
    population = population or POPULATIONS["alike"]
    whole = _drawn(population, _POPULATION, np.random.default_rng(seed)).sum(axis=0, keepdims=True)
    truth = _answers(whole, shares)
    rng = np.random.default_rng(seed + 1)
    rows = []
    for n in subjects:
        drawn = [_answers(_drawn(population, n, rng), shares) for _ in range(trials)]
        for name, true in truth.items():
            found = [one[name] for one in drawn]
            rows.append({"quantity": name, "subjects": n, **_held(true.value, found)})
    return pd.DataFrame(rows).sort_values(["quantity", "subjects"], ignore_index=True)


def _held(truth: float, found: list[Answer]) -> dict[str, float]:
    low, high = np.array([(one.low, one.high) for one in found]).T
    have = ~(np.isnan(low) | np.isnan(high))
    below, above = truth < low[have], truth > high[have]
    width = high[have] - low[have]
    closed = np.isfinite(width)
    return {
        "held": float(1 - (below | above).mean()),
        "below": float(below.mean()),
        "above": float(above.mean()),
        "open": float(1 - closed.mean()),
        "width": float(np.median(width[closed])) if closed.any() else np.nan,
        "without": float(1 - have.mean()),
    }
