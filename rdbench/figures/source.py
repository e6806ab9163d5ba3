"""What the figures of one run are made from, and which rows of its tables share a figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from rdbench.curves import pooling
from rdbench.curves.points import Arrays, Points
from rdbench.figures.canvas import FEW_SUBJECTS, Drawing, Style
from rdbench.methods.families import family_points
from rdbench.tables.names import FIRST, split_seed
from rdbench.tables.reading import Run

__all__ = ["PANEL", "Named", "Source", "panel_rows"]

PANEL = ("target", "backend", "gold", "scoring", "region", "variant", "mode")
"""What the rows of one figure have in common."""

Named = tuple[tuple[str, ...], Callable[[], Drawing]]
"""The words that name a figure, and what draws it: plain enough to be sent to another process."""


@dataclass
class Source:
    """What the figures of one run are made from; tables are computed once, and only when asked for.

    Parameters
    ----------
    run : Run
    metric : str
    options : dict
        ``bits``, ``charge_boxes`` and ``partition``, as in `rdbench.curves.pooled`.
    style : {"screen", "paper"}
    """

    run: Run
    metric: str
    options: dict[str, Any]
    style: Style
    left_out: dict[str, str] = field(default_factory=dict)
    """What took no part in the points that were asked for so far, with the reason."""

    @cached_property
    def seeded(self) -> bool:
        """Whether a back-end was trained several times; its seeds are then drawn together, as a family."""
        return any(split_seed(str(name))[1] != FIRST for name in self.run.scores["backend"].unique())

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Of the first seeds: a further one by itself says nothing that its family does not."""
        scores = self.run.scores
        if not self.seeded:
            return scores
        first = {name: split_seed(str(name))[1] == FIRST for name in scores["backend"].unique()}
        return scores[scores["backend"].map(first).astype(bool)]

    @cached_property
    def points(self) -> list[Points]:
        """Of everything, one for each scope."""
        return self._used(self.arrays.parts())

    @cached_property
    def coded(self) -> list[Points]:
        """Of what was coded; more clips may be whole there than among `points`."""
        return self._used(self.arrays.parts(uncoded=False))

    @cached_property
    def of_families(self) -> list[Points]:
        """Of all seeds, whose clips need not be those of the first seeds."""
        if not self.seeded:
            return self.points
        return self._used(self.run.arrays(self.metric, **self.options).parts())

    def _used(self, parts: list[Points]) -> list[Points]:
        for points in parts:
            for one in points.left_out.itertuples():
                self.left_out.setdefault(f"{one.kind} {one.name}", str(one.reason))
        return parts

    @cached_property
    def families(self) -> pd.DataFrame:
        """As `rdbench.family_points.family_points` gives them, of all seeds."""
        return family_points(self.of_families)

    @cached_property
    def arrays(self) -> Arrays:
        """Of the first seeds."""
        if not self.seeded:
            return self.run.arrays(self.metric, **self.options)
        return Arrays(self.run.encodes, self.scores, self.metric, **self.options)

    @cached_property
    def pooled(self) -> pd.DataFrame:
        """As `rdbench.curves.pooled` gives it, of the first seeds."""
        table = pooling.pooled(self.run.encodes, self.scores, self.metric, arrays=self.arrays, **self.options)
        table.attrs = {}  # each figure's rows would carry them along
        return table

    @cached_property
    def per_subject(self) -> pd.DataFrame:
        """As `rdbench.curves.per_subject` gives it; without rows where subjects are many."""
        # Only drawn where subjects are few; with many it would be a large table for nothing.
        if self.pooled.empty or int(self.pooled["subjects"].min()) >= FEW_SUBJECTS:
            return self.pooled.head(0)
        return pooling.per_subject(self.run.encodes, self.scores, self.metric, **self.options)


def panel_rows(table: pd.DataFrame) -> Iterator[tuple[tuple[str, ...], pd.DataFrame]]:
    """Rows that share a figure, with the words that tell it from the others."""
    keys = table[list(PANEL)].drop_duplicates()
    telling = [name for name in PANEL if name not in ("gold", "scoring") or keys[name].nunique() > 1]
    for key, rows in table.groupby(list(PANEL), sort=True):
        named = dict(zip(PANEL, key, strict=True))
        yield tuple(str(named[name]) for name in telling), rows
