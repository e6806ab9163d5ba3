"""What is to be reached: a share of the uncoded accuracy, or an accuracy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rdbench.errors import InputError
from rdbench.stats.metrics import higher_is_better
from rdbench.typing import Array

__all__ = ["Goal"]


@dataclass(frozen=True)
class Goal:
    """What is to be reached.

    Parameters
    ----------
    amount : float
        An accuracy in units of the metric, or a share of the uncoded one.
    relative : bool
        Whether it is a share.
    """

    amount: float
    relative: bool

    @classmethod
    def parse(cls, text: str) -> Goal:
        """From ``95%``, a share of the uncoded accuracy, or ``0.6``, an accuracy.

        Raises
        ------
        InputError
            If it is neither, or a share is not above 0 and at most 100 %.
        """
        number, percent_sign, rest = text.strip().partition("%")
        try:
            amount = float(number)
        except ValueError:
            amount = math.nan
        if rest or not math.isfinite(amount):
            raise InputError(
                f"{text!r} is no target; give a share of the uncoded accuracy (95%) or an accuracy (0.6)."
            )
        if percent_sign and not 0 < amount <= 100:
            raise InputError(
                f"{text!r} is no share of the uncoded accuracy; it is above 0 % and at most 100 %."
            )
        return cls(amount / 100, True) if percent_sign else cls(amount, False)

    def __str__(self) -> str:
        return f"{100 * self.amount:g}% of uncoded" if self.relative else f"{self.amount:g}"

    def level(self, uncoded: Array, metric: str) -> Array:
        """The accuracy to reach, from the uncoded one; NaN where a share of it means nothing."""
        if not self.relative:
            return np.full(np.shape(uncoded), self.amount)
        # An error is kept by a share where it grows to no more than one over that share.
        whole = np.where(uncoded > 0, uncoded, np.nan)
        return whole * self.amount if higher_is_better(metric) else whole / self.amount
