"""What makes a rate and a value of a run's tables: metric, bits, boxes, partition, held together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd

from rdbench.errors import InputError
from rdbench.stats.metrics import METRICS
from rdbench.tables.reading import default_partition
from rdbench.tables.schema import BITS

__all__ = ["Basis", "Boxes"]

Boxes = Literal["sent", "charged", "found"]
"""How a receiver knows where faces are: told beside the video, told at the rate's cost, or it looks for them itself."""


@dataclass(frozen=True)
class Basis:
    """What a curve is computed from; it is checked once, and arrays carry theirs.

    Parameters
    ----------
    metric : str, optional
        One of `rdbench.stats.metrics.METRICS`: whatever has no value of it takes no part. None: of every target the main
        metric of its kind (`rdbench.stats.metrics.KINDS`), such as CCC of values and accuracy of classes.
    bits : str
        One of `rdbench.tables.schema.BITS`.
    charge_boxes : bool
        Add what sending the face boxes would cost to the rate.
    partition : str, optional
        None until it is settled by the tables: test, else dev, else the only one.

    Raises
    ------
    InputError
        If the metric or the bits are unknown.
    """

    metric: str | None = None
    bits: str = "payload"
    charge_boxes: bool = False
    partition: str | None = None

    def __post_init__(self) -> None:
        if self.metric is not None and self.metric not in METRICS:
            raise InputError(f"There is no metric {self.metric!r}; there are {', '.join(METRICS)}.")
        if self.bits not in BITS:
            raise InputError(f"There are no {self.bits!r} bits; there are {', '.join(BITS)}.")

    def settled(self, encodes: pd.DataFrame) -> Basis:
        """The same with the partition that these encodes give, where it has none yet."""
        if self.partition is not None:
            return self
        return replace(self, partition=default_partition(encodes))

    @property
    def wanted(self) -> str:
        """What has to have been scored, for a sentence: ``a value of CCC``, ``a score``."""
        return "a score" if self.metric is None else f"a value of {self.metric}"

    def boxes(self, encodes: pd.DataFrame) -> Boxes:
        """How the receiver of region ``frame`` knows where faces are."""
        if "box_looks" in encodes and encodes["box_looks"].notna().any():
            return "found"
        return "charged" if self.charge_boxes else "sent"

    @property
    def charged(self) -> str:
        """What the rate holds, in one word: ``payload``, ``stream+boxes``."""
        return self.bits + ("+boxes" if self.charge_boxes else "")
