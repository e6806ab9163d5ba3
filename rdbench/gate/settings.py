"""What a check is asked for: tolerances, what may differ, and what the curves are computed from."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.errors import InputError
from rdbench.gate.lost import parse_allowed
from rdbench.stats.goals import Goal
from rdbench.stats.interpolation import DEFAULT
from rdbench.stats.intervals import LEVEL
from rdbench.tables.basis import Basis
from rdbench.tables.schema import CURVE
from rdbench.words import did_you_mean

__all__ = ["ACCURACY", "RATE", "TARGET", "VARY", "Settings"]

RATE, ACCURACY, TARGET = "rate", "accuracy", "rate at the target"
"""The measures that a curve may lose in."""

VARY = {"weights": "weights", "encoder": "build", "profile": "profile"}
"""What may be declared to differ, and the column that shows it."""


@dataclass(frozen=True)
class Settings:
    """What a check is asked for.

    Parameters
    ----------
    max_bd_rate : float or None
        Tolerated loss as a share of the rate (0.01 is 1 %); None: rate is not judged.
    max_accuracy_drop : float or None
        Tolerated loss in units of the metric; None: accuracy is not judged.
    max_target_rate : float, optional
        Tolerated loss of rate, as a share, where a curve reaches `keep`; None: that is not judged.
    keep : str
        As `rdbench.stats.goals.Goal.parse` takes it; a share is one of the reference's uncoded accuracy.
    vary : collection of {"weights", "encoder", "profile"}
        What is allowed to differ. Anything else that differs makes a curve not comparable.
    rate_only : bool
        Compare bits alone, exactly and without inference; scores are not looked at.
    allow_inconclusive : bool
        Inconclusive and underpowered curves do not fail the check, nor do single ones that are not comparable.
    allow_lost : collection of str
        What the reference has and the run may lack, as in `rdbench.gate.lost.parse_allowed`.
    primary : collection of str
        The curves that must be shown to be no worse, such as ``codec=x265,target=valence``; they are judged as a
        family of their own. Of the others only what regressed or was lost decides. Without any, all are primary.
    metric : str, optional
        By default each curve's own: CCC, or accuracy where the target has classes. Curves that cannot give the
        metric that is asked for are listed and do not decide.
    method : str
        As in `rdbench.curves.deltas.deltas_of`.
    bits, charge_boxes, partition
        As in `rdbench.tables.basis.Basis`.
    level : float

    Raises
    ------
    InputError
        If `vary` names what cannot vary, `allow_lost` or `primary` cannot be read, the metric or the bits are unknown, or nothing is to be judged.
    """

    max_bd_rate: float | None = 0.01
    max_accuracy_drop: float | None = 0.01
    max_target_rate: float | None = None
    keep: str = "95%"
    vary: Collection[str] = ()
    rate_only: bool = False
    allow_inconclusive: bool = False
    allow_lost: Collection[str] = ()
    primary: Collection[str] = ()
    metric: str | None = None
    method: str = DEFAULT
    bits: str = "payload"
    charge_boxes: bool = False
    partition: str | None = None
    level: float = LEVEL

    def __post_init__(self) -> None:
        for name in self.vary:
            if name not in VARY:
                raise InputError(
                    f"{name!r} cannot vary{did_you_mean(name, VARY) or '.'} There are {', '.join(VARY)}."
                )
        for text in self.allow_lost:
            parse_allowed(text)
        for text in self.primary:
            for name in parse_allowed(text):
                if name not in CURVE:
                    raise InputError(
                        f"{name!r} in {text!r} is of no whole curve; curves have {', '.join(CURVE)}."
                    )
        self.basis(self.metric)
        Goal.parse(self.keep)
        if self.rate_only and self.max_target_rate is not None:
            raise InputError(
                "The rate at a target needs accuracy, which --rate-only does not look at; leave one out."
            )
        if {self.max_bd_rate, self.max_target_rate} == {None} and (
            self.max_accuracy_drop is None or self.rate_only
        ):
            raise InputError("Nothing is judged: give a tolerance for the rate or for accuracy.")

    def is_primary(self, curves: pd.DataFrame) -> NDArray[np.bool_]:
        """Which of these curves are primary.

        Raises
        ------
        InputError
            If one of `primary` names none of them.
        """
        if not self.primary:
            return np.ones(len(curves), dtype=bool)
        chosen = np.zeros(len(curves), dtype=bool)
        for text in self.primary:
            fits = np.ones(len(curves), dtype=bool)
            for name, value in parse_allowed(text).items():
                fits &= (curves[name].astype(str) == value).to_numpy(bool)
            if not fits.any():
                raise InputError(f"--primary {text} names no curve of the run or the reference.")
            chosen |= fits
        return chosen

    def basis(self, metric: str | None) -> Basis:
        """What curves of a metric are computed from."""
        return Basis(metric, self.bits, self.charge_boxes, self.partition)

    def tolerance(self) -> dict[str, float | None]:
        """Tolerated loss by measure: log ratios of rates, and a difference of the metric; None: it is not judged."""
        return {
            RATE: None if self.max_bd_rate is None else float(np.log1p(self.max_bd_rate)),
            ACCURACY: None if self.rate_only else self.max_accuracy_drop,
            TARGET: None if self.max_target_rate is None else float(np.log1p(self.max_target_rate)),
        }

    def told(self) -> dict[str, object]:
        """The settings as a verdict repeats them."""
        return {
            "max_bd_rate": self.max_bd_rate,
            "max_accuracy_drop": None if self.rate_only else self.max_accuracy_drop,
            "max_target_rate": self.max_target_rate,
            "keep": None if self.max_target_rate is None else self.keep,
            "vary": sorted(self.vary),
            "rate_only": self.rate_only,
            "allow_inconclusive": self.allow_inconclusive,
            "allow_lost": list(self.allow_lost),
            "primary": list(self.primary),
            "level": self.level,
            "bits": self.bits,
            "charge_boxes": self.charge_boxes,
        }
