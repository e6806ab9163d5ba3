"""AFEW-VA: clips of films as numbered pictures, with valence, arousal and 68 landmarks for each.

Kossaifi et al. 2017, doi:10.1016/j.imavis.2017.02.001.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdbench.datasets import delimited
from rdbench.datasets.published.common import Entry, PublishedDataset, counted, named, numbered
from rdbench.errors import InputError
from rdbench.video import pictures
from rdbench.video.clip import Boxes, Labels

__all__ = ["TARGETS", "AfewVaDataset"]

TARGETS = ("arousal", "valence")
HIGHEST = 10
"""Values are from minus this to this; they are brought to -1..1."""

_SIDE, _TOP = 0.1, 0.25
"""What a box is larger than the landmarks, as shares of their width and height: landmarks end at brows and chin."""


@dataclass(frozen=True)
class AfewVaDataset(PublishedDataset):
    """Clips ``001`` to ``600``; the subject is the actor that the JSON names.

    Parameters
    ----------
    root : Path
        With a folder for each clip, at any depth, in which ``00000.png``, ... and ``<clip>.json`` lie.
    name : str
    """

    name: str = "afew-va"

    def found(self) -> list[Entry]:
        """Every folder of pictures with a JSON file of its name."""
        out = []
        for folder in self.series(self.root):
            file = _beside(folder)
            if file is not None:
                actor = str(_read(self.within(file)).get("actor") or folder.name)
                out.append(Entry(named(folder.name, actor), self.within(folder), file))
        if not out:
            raise InputError(
                f"{self.root} has no folder of pictures with its JSON file, such as 001/001.json, so it is not AFEW-VA; "
                "--root names the folder that holds them."
            )
        return sorted(out, key=lambda entry: entry.info.name)

    def notes(self) -> list[str]:
        """What lacks labels or pictures, and partitions."""
        folders = list(self.series(self.root))
        bare = [folder.name for folder in folders if _beside(folder) is None]
        labelled = {path.parent for path in self.root.glob("**/*.json") if path == _beside(path.parent)}
        lost = [folder.name for folder in labelled - set(folders)]
        end = "no part: there is no JSON file of"
        return [
            *counted(
                bare,
                f"folder of pictures takes {end} its name",
                f"folders of pictures take {end} their names",
            ),
            *counted(lost, "JSON file has no pictures beside it", "JSON files have no pictures beside them"),
            *super().notes(),
        ]

    def labels_of(self, entry: Entry) -> Labels:
        """Arousal and valence, from -1 to 1, of the frames that the JSON has."""
        frames, numbers = self._frames(entry)
        values = np.full((len(numbers), len(TARGETS)), np.nan)
        for i, (number, frame) in enumerate(sorted(frames.items())):
            for k, target in enumerate(TARGETS):
                value = _number(frame.get(target))
                if abs(value) > HIGHEST:
                    raise InputError(
                        f"{entry.labels}: {target} of frame {number} is {value:g}; -{HIGHEST} to {HIGHEST} is expected."
                    )
                values[i, k] = value / HIGHEST
        first = numbered(entry.file)[0]
        return Labels((numbers - first) / entry.rate, values, TARGETS)

    def boxes_of(self, entry: Entry) -> Boxes | None:
        """Around the landmarks of each frame, and a forehead above."""
        frames, numbers = self._frames(entry)
        xywh = np.stack([_box(frames[number]) for number in numbers.tolist()])
        if np.isnan(xywh).all():
            return None
        return Boxes((numbers - numbered(entry.file)[0]) / entry.rate, xywh)

    def _frames(self, entry: Entry) -> tuple[dict[int, dict[str, Any]], NDArray[np.int64]]:
        """What the JSON says of each frame, by number, and the numbers, rising.

        Raises
        ------
        InputError
            If it has no frames, or numbers them otherwise than the pictures are numbered.
        """
        file = entry.labels or Path()
        given = _read(file).get("frames")
        if not isinstance(given, dict) or not given:
            raise InputError(f"{file}: has no frames; an object of one for each picture is expected.")
        frames = {}
        for name, frame in given.items():
            number = pictures.number_of(Path(name))
            if number is None or not isinstance(frame, dict):
                raise InputError(f"{file}: {name[:40]!r} is no numbered frame.")
            frames[number] = frame
        numbers, there = np.array(sorted(frames)), numbered(entry.file)
        shift = int(there[0] - numbers[0])
        if shift and len(numbers) == len(there) and (there - numbers == shift).all():
            raise InputError(
                f"{file}: frames are numbered from {numbers[0]}, the pictures of {entry.file.name} from {there[0]}: one of "
                "them is shifted, and nothing tells which frame a label is of."
            )
        return frames, numbers


def _beside(folder: Path) -> Path | None:
    """The JSON file of a folder's name in it, whatever its case."""
    wanted = f"{folder.name}.json".casefold()
    return next((path for path in sorted(folder.iterdir()) if path.name.casefold() == wanted), None)


def _read(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(delimited.read_text(file))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: is no JSON ({error}).") from error
    if not isinstance(value, dict):
        raise InputError(f"{file}: should hold an object.")
    return value


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else np.nan


def _box(frame: dict[str, Any]) -> NDArray[np.float64]:
    """Left, top, width and height; NaN where landmarks are missing or no points."""
    try:
        points = np.array(frame.get("landmarks"), dtype=np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        return np.full(4, np.nan)
    if len(points) < 3 or not np.isfinite(points).all():
        return np.full(4, np.nan)
    low, size = points.min(axis=0), np.ptp(points, axis=0)
    grown = size * [1 + 2 * _SIDE, 1 + _TOP]
    return np.concatenate([low - size * [_SIDE, _TOP], grown]) if grown.min() > 0 else np.full(4, np.nan)
