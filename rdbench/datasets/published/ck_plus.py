"""The extended Cohn-Kanade set (CK+): pictures from a neutral face to its peak, with emotions and FACS beside them.

Lucey et al. 2010, doi:10.1109/CVPRW.2010.5543262.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from rdbench.datasets import delimited, package
from rdbench.datasets.published.common import Entry, PublishedDataset, counted, named, one_class
from rdbench.errors import InputError
from rdbench.video.clip import Labels

__all__ = ["EMOTIONS", "CkPlusDataset"]

EMOTIONS = ("neutral", "angry", "contempt", "disgusted", "fearful", "happy", "sad", "surprised")
"""By their numbers in the set."""

RATE = 30.0
"""Pictures a second."""

_NAME = re.compile(r"(S\d+)_(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class CkPlusDataset(PublishedDataset):
    """Sequences ``S005_001``, ...; the first part is the subject. What is not labelled for the task is left out.

    Parameters
    ----------
    root : Path
        With ``cohn-kanade-images/`` and ``Emotion/`` or ``FACS/``.
    name : {"ck+", "ck+:au"}
        Emotions, or action units; both are about the sequence, which has one answer.
    """

    @property
    def _units(self) -> bool:
        return self.name.endswith(":au")

    def _beside(self) -> Path:
        names = ("FACS", "FACS_labels") if self._units else ("Emotion", "Emotion_labels")
        folder = package.folder_like(self.root, *names)
        if folder is None:
            raise InputError(f"{self.root} has no folder {names[0]}, which labels {self.name}.")
        return package.folder_like(folder, names[0]) or folder

    def found(self) -> list[Entry]:
        """Every labelled sequence."""
        sequences, labels, out = self._sequences(), self._label_files(), []
        for name, folder in sequences.items():
            there = labels.get(name.casefold(), [])
            if len(there) > 1:
                raise InputError(f"{there[0].parent}: {len(there)} files label one sequence; keep one.")
            for file in there:
                info = named(name, folder.parent.name)
                out.append(Entry(info, self.within(folder), self.within(file), rate=RATE))
        return out

    def notes(self) -> list[str]:
        """What lacks labels or pictures, and partitions."""
        sequences, labels = self._sequences(), self._label_files()
        there = {name.casefold() for name in sequences}
        bare = [name for name in sequences if name.casefold() not in labels]
        lost = [file.name for name, files in labels.items() if name not in there for file in files]
        end = f"no part: {self._beside().name} has no file of"
        return [
            *counted(bare, f"sequence takes {end} it", f"sequences take {end} them"),
            *counted(lost, "file labels no sequence of pictures", "files label no sequence of pictures"),
            *super().notes(),
        ]

    def _sequences(self) -> dict[str, Path]:
        """Every folder of pictures of a sequence, by the sequence's name."""
        images = package.folder_like(self.root, "cohn-kanade-images", "extended-cohn-kanade-images")
        if images is None:
            raise InputError(
                f"{self.root} has no folder cohn-kanade-images, so it is not CK+; --root names the folder that holds it."
            )
        every = {f"{folder.parent.name}_{folder.name}": folder for folder in self.series(images)}
        return {name: folder for name, folder in every.items() if _NAME.fullmatch(name)}

    def _label_files(self) -> dict[str, list[Path]]:
        """The files of the task by the name of their sequence in lower case."""
        ending = "_facs.txt" if self._units else "_emotion.txt"
        out: dict[str, list[Path]] = {}
        for file in sorted(self._beside().glob("*/*/*")):
            if file.name.casefold().endswith(ending) and not file.name.startswith("."):
                out.setdefault(f"{file.parts[-3]}_{file.parts[-2]}".casefold(), []).append(file)
        return out

    def labels_of(self, entry: Entry) -> Labels:
        """The emotion, or the units of the peak."""
        file = entry.labels or Path()
        if not self._units:
            rows = _rows(file, 1)
            number = int(rows[0][0]) if len(rows) == 1 else -1
            if not 0 <= number < len(EMOTIONS) or rows[0][0] != number:
                raise InputError(f"{file}: should hold one emotion, numbered 0 to {len(EMOTIONS) - 1}.")
            return one_class(EMOTIONS[number], EMOTIONS)
        every = _units(tuple(sorted(other.labels for other in self.found() if other.labels)))
        own = {_unit(row[0], file) for row in _rows(file, 2)}
        values = np.array([[float(unit in own) for unit in every]])
        return Labels(np.zeros(1), values, tuple(f"AU{unit}" for unit in every), units=True, whole=True)


@lru_cache(maxsize=8)
def _units(files: tuple[Path, ...]) -> tuple[int, ...]:
    """Every unit that any file of the set names; a sequence alone does not show them all."""
    units = set()
    for file in files:
        try:
            units |= {_unit(row[0], file) for row in _rows(file, 2)}
        except InputError:
            continue  # a bad file fails its own sequence when that one is loaded
    return tuple(sorted(units))


def _unit(number: float, file: Path) -> int:
    if number != int(number) or not 0 < number < 100:
        raise InputError(f"{file}: {number:g} is no action unit.")
    return int(number)


def _rows(file: Path, cells: int) -> list[list[float]]:
    """Lines of numbers between spaces."""
    rows = []
    for line, text in enumerate(delimited.read_text(file).splitlines(), 1):
        if not text.strip():
            continue
        try:
            row = [float(word) for word in text.split()]
        except ValueError:
            row = []
        if len(row) != cells or not all(map(math.isfinite, row)):
            raise InputError(
                f"{file}, line {line}: should hold {cells} number{'s' * (cells > 1)}, but is {text.strip()[:40]!r}."
            )
        rows.append(row)
    if not rows and cells == 1:
        raise InputError(f"{file}: is empty; one number was expected.")
    return rows
