"""How frames came by their labels, added up over clips: from what a run noted of each, or from a package."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass

__all__ = ["LabelCounts", "counted"]

# What `rdbench.video.labels.Joined` says of itself; a run keeps it as text, for people.
_NOTE = re.compile(r"labels of \d+ frames: (\d+) exact, (\d+) nearest, (\d+) interpolated, (\d+) missing")


@dataclass(frozen=True)
class LabelCounts:
    """Frames by how they came by their labels; see `rdbench.video.labels.Joined`.

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

    def row(self) -> dict[str, int] | None:
        """The counts by name, for a program; None where no clip has labels."""
        return {"frames": self.frames, **asdict(self)} if self.clips else None

    def __add__(self, other: LabelCounts) -> LabelCounts:
        return LabelCounts(*(a + b for a, b in zip(_values(self), _values(other), strict=True)))

    def __str__(self) -> str:
        return (
            f"labels of {self.frames} frames in {self.clips} {'clip' if self.clips == 1 else 'clips'}: "
            f"{self.exact} exact, {self.nearest} nearest, {self.interpolated} interpolated, {self.missing} missing"
        )


def counted(notes: Iterable[object]) -> LabelCounts:
    """Add up what was noted of clips, one text for each; those without labels count as none."""
    found = (_NOTE.search(str(note)) for note in notes)
    counts = (LabelCounts(1, *map(int, match.groups())) for match in found if match)
    return sum(counts, LabelCounts())


def _values(counts: LabelCounts) -> list[int]:
    return list(asdict(counts).values())
