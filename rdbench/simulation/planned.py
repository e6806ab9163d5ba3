"""Whether runs planned from a pilot become what was wanted, by simulation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import chdtri, stdtrit

from rdbench.answers.planning import subjects_for_width
from rdbench.simulation.population import POPULATIONS, draw
from rdbench.simulation.power import _side
from rdbench.stats import bd
from rdbench.stats.intervals import jackknife_error

__all__ = ["plans"]


def plans(
    trials: int = 200,
    pilots: Sequence[int] = (8, 16),
    *,
    half_width: float = 0.02,
    population: str = "alike",
    seed: int = 0,
) -> pd.DataFrame:
    """Half-widths of BD-CCC in runs with as many subjects as pilots said.

    Parameters
    ----------
    trials : int
    pilots : sequence of int
        Subjects of the pilots.
    half_width : float
        What is wanted.
    population : str
        Of `rdbench.simulation.population.POPULATIONS`.
    seed : int

    Returns
    -------
    DataFrame
        ``pilot``; ``subjects`` and ``safe``, the medians of what pilots say; ``width`` and ``safe_width``, the median
        half-widths of runs with so many; ``kept`` and ``safe_kept``, the shares of runs within 10 % of what was wanted.
    """
    rows = []
    for pilot in pilots:
        rng = np.random.default_rng(seed)
        said: dict[str, list[float]] = {"subjects": [], "safe": []}
        got: dict[str, list[float]] = {"subjects": [], "safe": []}
        for _ in range(trials):
            sd = _error(population, pilot, rng) * pilot**0.5
            high = sd * ((pilot - 1) / float(chdtri(pilot - 1, 0.8))) ** 0.5
            for name, spread in (("subjects", sd), ("safe", high)):
                n = int(subjects_for_width(spread, half_width))
                said[name].append(n)
                got[name].append(float(stdtrit(n - 1, 0.975)) * _error(population, n, rng))
        row: dict[str, object] = {"pilot": pilot}
        for name, prefix in (("subjects", ""), ("safe", "safe_")):
            row[name] = float(np.median(said[name]))
            row[f"{prefix}width"] = float(np.median(got[name]))
            row[f"{prefix}kept"] = float(np.mean(np.array(got[name]) <= 1.1 * half_width))
        rows.append(row)
    return pd.DataFrame(rows)


def _error(population: str, subjects: int, rng: np.random.Generator) -> float:
    stats = draw(POPULATIONS[population], subjects, rng)[None]
    replicates = bd.many(_side(stats[:, :, 0]), _side(stats[:, :, 1]), measure="accuracy")[1]
    return float(jackknife_error(replicates[0]))
