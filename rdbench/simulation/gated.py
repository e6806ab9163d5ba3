"""What `rdbench check` exits with, by simulation: the real command's verdict on the tables of two builds.

A build that is unchanged treats some subjects a little better and others a little worse, all of them by chance; one
that lost needs more bits for every subject besides. ``python -m rdbench.simulation gate`` prints the tables of
docs/simulation.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rdbench.gate.check import Verdict, check
from rdbench.simulation.population import FRAMES, PLANTED, RATES, SECONDS, Population
from rdbench.simulation.power import _family
from rdbench.tables.schema import BITS, ENCODES, SCORES
from rdbench.typing import Array

__all__ = ["DESIGNS", "Design", "exit_codes"]


@dataclass(frozen=True)
class Design:
    """What a gate is made of.

    Parameters
    ----------
    subjects, curves, primary : int
        Curves that are judged, and how many of them must be shown to be no worse.
    max_bd_rate : float
    max_accuracy_drop : float, optional
    """

    subjects: int
    curves: int = 1
    primary: int = 1
    max_bd_rate: float = 0.03
    max_accuracy_drop: float | None = 0.02

    def settings(self) -> dict[str, Any]:
        """Those of `rdbench.gate.check.check`."""
        named = [f"codec=c{i}" for i in range(self.primary)] if self.primary < self.curves else []
        return {
            "max_bd_rate": self.max_bd_rate,
            "max_accuracy_drop": self.max_accuracy_drop,
            "primary": named,
        }


DESIGNS = (
    Design(32, curves=8),
    Design(40, curves=8),
    Design(64, curves=8, primary=8),
)


def _tables(stats: Array) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables of one build from sums (curves, subjects, points, 8)."""
    curves, subjects, points = stats.shape[:3]
    curve, subject, point = (index.ravel() for index in np.indices((curves, subjects, points)))
    flat = stats.reshape(-1, stats.shape[-1])
    names = [f"c{c}-s{s:03d}-{p}" for c, s, p in zip(curve, subject, point, strict=True)]
    who = [f"s{s:03d}" for s in subject]
    bits = np.round(flat[:, 0]).astype(np.int64)
    known = {
        "encode": names, "clip": who, "subject": who, "partition": "test", "region": "frame", "factor": 1,
        "codec": [f"c{c}" for c in curve], "variant": "ra", "mode": "crf", "rate": RATES[point],
        "rate_status": "ok", "frames": int(FRAMES), "seconds": SECONDS, "box_bits": 0, "face_px": 100.0,
        "width": 320, "height": 240, "coded_width": 320, "coded_height": 240, "psnr": 35.0,
        "source": who, "profile": "p", "build": "b",
    }  # fmt: skip
    counts = {f"{name}_bits": bits if name in ("payload", "stream") else 0 for name in BITS}
    encodes = pd.DataFrame(known | counts).reindex(columns=list(ENCODES))
    n, sp, sg, spp, sgg, spg = (flat[:, i] for i in range(2, 8))
    moments = {
        "mean_pred": sp / n, "mean_gold": sg / n, "m2_pred": spp - sp * sp / n, "m2_gold": sgg - sg * sg / n,
        "cov": spg - sp * sg / n,
    }  # fmt: skip
    scored = {"encode": names, "backend": "any", "weights": "w", "target": "valence", "gold": "labels"}
    scores = pd.DataFrame(scored | {"scoring": "plain", "n": n.astype(np.int64)} | moments)
    return encodes, scores.reindex(columns=list(SCORES))


def _checked(design: Design, population: Population, loss: float, rng: np.random.Generator) -> Verdict:
    """The verdict on a build whose first curve needs this share of bits more."""
    family = _family(design.curves, design.subjects, population, rng)
    swap = rng.random(design.subjects) < 0.5
    family[:, swap] = family[:, swap][:, :, ::-1]
    family[0, :, 1, :, 0] *= 1 + loss
    reference, run = (_tables(family[:, :, side]) for side in (0, 1))
    return check(run, reference, **design.settings())


def exit_codes(
    trials: int = 300,
    designs: Sequence[Design] = DESIGNS,
    *,
    population: Population = PLANTED,
    seed: int = 0,
) -> pd.DataFrame:
    """How the exit codes of `check` are shared out for each design.

    Returns
    -------
    DataFrame
        The design; ``passes``, the share of unchanged builds with exit 0, and ``said``, the median of what the gate says of
        it; ``false``, the share with exit 1; ``at``, the share of builds that lost as much as the tolerance that exit with 1;
        ``loss``, the median of the loss that unchanged builds' gates say they find 8 times in 10 (where they can say), and
        ``found``, the share of builds that lost as much that exit with 1.
    """
    rows = []
    for design in designs:

        def shares(loss: float, key: int, design: Design = design) -> list[Verdict]:
            return [
                _checked(design, population, loss, np.random.default_rng((seed, key, trial)))
                for trial in range(trials)
            ]

        same = shares(0.0, 0)
        # Without a value of BD-rate a gate states no loss; it exits with 3, which is counted.
        loss = float(np.nanmedian([one.rows["bd_rate_detectable"].iloc[0] for one in same])) / 100
        told = float(
            np.nanmedian([one.rows["unchanged_passes"].iloc[: design.primary].min() for one in same])
        )
        rows.append(
            {
                "subjects": design.subjects,
                "curves": design.curves,
                "primary": design.primary,
                "passes": float(np.mean([one.exit_code == 0 for one in same])),
                "said": told,
                "false": float(np.mean([one.exit_code == 1 for one in same])),
                "at": float(np.mean([one.exit_code == 1 for one in shares(design.max_bd_rate, 1)])),
                "loss": loss,
                "found": float(np.mean([one.exit_code == 1 for one in shares(loss, 2)])),
            }
        )
    return pd.DataFrame(rows)
