"""What the figures of one run are made from, and which rows of its tables share a figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from rdbench.curves import pooling
from rdbench.curves.arrays import Arrays
from rdbench.curves.deltas import clips_are_subjects
from rdbench.curves.points import Points
from rdbench.curves.run import Run
from rdbench.curves.scope import Scopes
from rdbench.figures.canvas import Drawing, Style
from rdbench.figures.captions import spoken
from rdbench.methods.families import family_points
from rdbench.stats.intervals import FEW_SUBJECTS
from rdbench.tables.basis import Basis, Boxes
from rdbench.tables.names import FIRST, split_seed
from rdbench.tables.schema import SCOPE

__all__ = ["PANEL", "Named", "Source", "clip_words", "matching", "panel_rows", "uncoded"]

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
    basis : Basis
        What the curves are computed from, with the partition settled.
    style : {"screen", "paper"}
    """

    run: Run
    basis: Basis
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

    @property
    def boxes(self) -> Boxes:
        """How the receiver of region ``frame`` knows where faces are."""
        return self.basis.boxes(self.run.encodes)

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
        return self._used(self.run.arrays(self.basis).parts())

    def _used(self, parts: list[Points]) -> list[Points]:
        for points in parts:
            for one in points.left_out.itertuples():
                self.left_out.setdefault(f"{one.kind} {one.name}", str(one.reason))
        return parts

    @cached_property
    def families(self) -> pd.DataFrame:
        """As `rdbench.methods.families.family_points` gives them, of all seeds."""
        return family_points(self.of_families)

    @cached_property
    def scopes(self) -> Scopes:
        """Every curve of the first seeds."""
        if not self.seeded:
            return self.run.scopes(self.basis)
        return Scopes(Arrays(self.run.encodes, self.scores, self.basis))

    @property
    def arrays(self) -> Arrays:
        """Of the first seeds."""
        return self.scopes.arrays

    @cached_property
    def pooled(self) -> pd.DataFrame:
        """As `rdbench.curves.pooling.pooled` gives it, of the first seeds."""
        table = pooling.pooled_of(self.arrays)
        table.attrs = {}  # each figure's rows would carry them along
        return table

    @cached_property
    def per_subject(self) -> pd.DataFrame:
        """As `rdbench.curves.pooling.per_subject` gives it; without rows where subjects are many."""
        # Only drawn where subjects are few; with many it would be a large table for nothing.
        if self.pooled.empty or int(self.pooled["subjects"].min()) >= FEW_SUBJECTS:
            return self.pooled.head(0)
        return pooling.per_subject_of(self.arrays)


def panel_rows(table: pd.DataFrame) -> Iterator[tuple[tuple[str, ...], pd.DataFrame]]:
    """Rows that share a figure, with the words that tell it from the others."""
    keys = table[list(PANEL)].drop_duplicates()
    telling = [name for name in PANEL if name not in ("gold", "scoring") or keys[name].nunique() > 1]
    for key, rows in table.groupby(list(PANEL), sort=True):
        named = dict(zip(PANEL, key, strict=True))
        yield tuple(str(named[name]) for name in telling), rows


def clip_words(parts: Sequence[Points], rows: pd.DataFrame) -> str:
    """What a caption says of the clips of these rows: how many took no part, and that each is its own subject."""
    scopes = set(rows[list(SCOPE)].itertuples(index=False, name=None))
    used = [points for points in parts if tuple(points.keys[list(SCOPE)].iloc[0]) in scopes]
    lost = {
        str(points.keys["target"].iloc[0]): (len(points.clips), int(points.left_out["kind"].eq("clip").sum()))
        for points in used
    }
    words = []
    if any(number for _, number in lost.values()):
        alike = len(set(lost.values())) == 1
        each = [
            f"{there} clip{'s' * (there != 1)}, {gone} left out" + ("" if alike else f" ({spoken(target)})")
            for target, (there, gone) in sorted(lost.items())
        ]
        words.append(f"Over {each[0] if alike else '; '.join(each)}.")
    if used and all(clips_are_subjects(points) for points in used):
        words.append("Each clip is its own subject: clips are treated as independent.")
    return " ".join(words)


def uncoded(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of `table` without a codec that belong to the same recogniser and region."""
    use = table["codec"] == "none"
    for name in ("target", "backend", "gold", "scoring", "region"):
        use &= table[name] == rows[name].iloc[0]
    return table[use]


def matching(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of `table` that belong into the same figure."""
    use = pd.Series(True, index=table.index)
    for name in PANEL:
        use &= table[name] == rows[name].iloc[0]
    return table[use]
