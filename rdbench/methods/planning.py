"""How many seeds and subjects a comparison of two ways of training needs, from a pilot with a few of both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from rdbench.methods.findings import Finding
from rdbench.stats.intervals import LEVEL, MIN_SEEDS, MIN_SUBJECTS

__all__ = ["SEEDS", "seeds_and_subjects"]

SEEDS = (5, 8, 12, 20, 32)
_MOST = 100_000


def seeds_and_subjects(
    finding: Finding, half_width: float, *, seeds: Sequence[int] = SEEDS, level: float = LEVEL
) -> pd.DataFrame:
    """The subjects that each number of seeds needs for an interval of the mean difference of that half-width.

    Each component of variance falls with the number of its units; Satterthwaite's degrees of freedom follow.

    Parameters
    ----------
    finding : Finding
        Of a claim on the pilot; its endpoint has both components.
    half_width : float
        In units of the measure.
    seeds : sequence of int
        Of each family, `rdbench.stats.intervals.MIN_SEEDS` or more.
    level : float

    Returns
    -------
    DataFrame
        ``seeds``, ``subjects`` (infinite where the seeds alone make it too wide), ``of_seeds`` and ``of_subjects`` (standard
        errors there), ``pilot_seeds`` and ``pilot_subjects``. Without rows where the pilot has no two seeds.
    """
    known = finding.members.dropna(subset=["seed_variance", "subject_variance"])
    rows = []
    if len(known):
        had = int(known[["better_seeds", "than_seeds"]].min(axis=1).iloc[0]), int(known["subjects"].iloc[0])
        of_seed = float(finding.endpoint["seed_variance"]) * had[0]
        of_subject = float(finding.endpoint["subject_variance"]) * had[1]
        n = np.unique(np.round(np.geomspace(MIN_SUBJECTS, _MOST, 4000)).astype(int))
        for k in (k for k in seeds if k >= MIN_SEEDS):
            a, b = of_seed / k, of_subject / n
            freedom = (a + b) ** 2 / np.maximum(a**2 / (k - 1) + b**2 / (n - 1), 1e-300)
            enough = np.flatnonzero(stdtrit(freedom, (1 + level) / 2) * np.sqrt(a + b) <= half_width)
            subjects = float(n[enough[0]]) if len(enough) else np.inf
            errors = {"of_seeds": a**0.5, "of_subjects": (of_subject / subjects) ** 0.5}
            row = {"seeds": k, "subjects": subjects, **errors}
            rows.append(row | {"pilot_seeds": had[0], "pilot_subjects": had[1]})
    names = ["seeds", "subjects", "of_seeds", "of_subjects", "pilot_seeds", "pilot_subjects"]
    return pd.DataFrame(rows, columns=names)
