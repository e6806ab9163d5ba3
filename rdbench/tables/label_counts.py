"""How frames came by their labels, added up over clips: from what a run noted of each, or from a package."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass

__all__ = ["NO_LABELS", "LabelCounts", "counted"]

NO_LABELS = "no labels"
"""Begins the note of a clip whose gold is something else."""

_NOTE = re.compile(r"labels of \d+ frames: (\d+) exact, (\d+) nearest, (\d+) interpolated, (\d+) missing")


@dataclass(frozen=True)
class LabelCounts:
    """Frames by how they came by their labels; see `rdbench.video.labels.Joined`.

    A run keeps those of a clip as text, for people; `note` writes it and `of_note` reads it.

    Parameters
    ----------
    clips : int
        With labels.
    exact, nearest, interpolated, missing : int
    """

    clips: int = 0
    exact: int = 0
    nearest: int = 0
    interpolated: int = 0
    missing: int = 0

    @property
    def frames(self) -> int:
        """All frames of these clips."""
        return self.exact + self.nearest + self.interpolated + self.missing

    @property
    def note(self) -> str:
        """The text that a run keeps of one clip."""
        return f"labels of {self.frames} frames: {self._listed}"

    @classmethod
    def of_note(cls, note: object) -> LabelCounts:
        """What was noted of a clip, perhaps among other things; no clip at all where that was no label."""
        match = _NOTE.search(str(note))
        return cls(1, *map(int, match.groups())) if match else cls()

    @property
    def _listed(self) -> str:
        return (
            f"{self.exact} exact, {self.nearest} nearest, {self.interpolated} interpolated, "
            f"{self.missing} missing"
        )

    def row(self) -> dict[str, int] | None:
        """The counts by name, for a program; None where no clip has labels."""
        return {"frames": self.frames, **asdict(self)} if self.clips else None

    def __add__(self, other: LabelCounts) -> LabelCounts:
        return LabelCounts(*(a + b for a, b in zip(_values(self), _values(other), strict=True)))

    def __str__(self) -> str:
        clips = "clip" if self.clips == 1 else "clips"
        return f"labels of {self.frames} frames in {self.clips} {clips}: {self._listed}"


def counted(notes: Iterable[object]) -> LabelCounts:
    """Add up what was noted of clips, one text for each; those without labels count as none."""
    return sum(map(LabelCounts.of_note, notes), LabelCounts())


def _values(counts: LabelCounts) -> list[int]:
    return list(asdict(counts).values())
