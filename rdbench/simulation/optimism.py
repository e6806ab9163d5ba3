"""How much better the best of several equal factors looks than it is, by simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from rdbench.curves.points import metric_of_sums
from rdbench.simulation.population import CENTRE, RATES, Population, draw

__all__ = ["optimism"]


def optimism(
    trials: int = 1000,
    subjects: Sequence[int] = (8, 16, 32),
    commons: Sequence[float] = (0.3, 0.7, 0.9),
    *,
    factors: int = 8,
    seed: int = 0,
) -> pd.DataFrame:
    """By how much the largest CCC of equal factors exceeds their mean, at the lowest and the highest rate.

    Parameters
    ----------
    trials : int
    subjects : sequence of int
    commons : sequence of float
        Share of a subject's own reaction to a rate that all factors have in common.
    factors, seed : int

    Returns
    -------
    DataFrame
        ``common``, ``subjects``, and the mean excess at the ``lowest`` and the ``highest`` rate.
    """
    rows = []
    for common in commons:
        population = replace(
            Population(common=common, saving=1.0, ratio_sd=0.0),
            half=(7.0,) * factors,
            ceiling=(0.92,) * factors,
        )
        for n in subjects:
            rng = np.random.default_rng(seed)
            excess = np.zeros(len(RATES))
            for _ in range(trials):
                value = metric_of_sums(draw(population, n, rng).sum(axis=0), CENTRE, "ccc")
                excess += (value.max(axis=0) - value.mean(axis=0)) / trials
            rows.append({"common": common, "subjects": n, "lowest": excess[0], "highest": excess[-1]})
    return pd.DataFrame(rows)
