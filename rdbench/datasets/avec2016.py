"""The package of the AVEC 2016 challenge (RECOLA), as its licence holders receive it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rdbench.datasets import arff, package
from rdbench.errors import ClipError, InputError
from rdbench.video.clip import PARTITIONS, Clip, ClipInfo, Dataset, Labels
from rdbench.video.labels import EXACT
from rdbench.words import did_you_mean

__all__ = ["RECORDINGS", "TARGETS", "Avec2016Dataset", "inspect_package"]

TARGETS = ("arousal", "valence")
RECORDINGS = 9
"""Recordings of each partition in the whole package."""

_NAME = re.compile(r"(train|dev|test)_([1-9][0-9]?)\.(mp4|avi|mkv|mov)", re.IGNORECASE)


@dataclass(frozen=True)
class Avec2016Dataset(Dataset):
    """Recordings ``train_1`` ... ``dev_1`` ... ``test_1`` ..., each of its own subject.

    Parameters
    ----------
    root : Path
        The folder that holds ``recordings_video/``, ``recordings_video_frame_time/`` and
        ``ratings_gold_standard/``. It may hold ``boxes/<recording>.csv`` (time, x, y, w, h), which are not
        part of the package.
    name : str
    """

    root: Path
    name: str = "avec2016"

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))

    def files(self) -> dict[str, Path]:
        """Video file of each recording: train, dev, test, each by number.

        Raises
        ------
        InputError
            If the folder is not the package.
        """
        if not self.root.is_dir():
            raise InputError(f"There is no folder {self.root}; --root names the unpacked AVEC 2016 package.")
        videos = self.root / "recordings_video"
        if not videos.is_dir():
            raise InputError(
                f"{self.root} has no folder recordings_video, so it is not the AVEC 2016 package; --root names "
                f"the folder that holds recordings_video and ratings_gold_standard."
            )
        found: dict[tuple[int, int], Path] = {}
        for path in sorted(videos.iterdir()):
            match = _NAME.fullmatch(path.name)
            if match is None:
                continue
            key = (PARTITIONS.index(match[1].casefold()), int(match[2]))
            if key in found:
                raise InputError(
                    f"{videos}: {found[key].name} and {path.name} are the same recording; keep one."
                )
            found[key] = path
        if not found:
            raise InputError(f"{videos} has no recording such as train_1.mp4 or dev_1.mp4.")
        return {f"{PARTITIONS[p]}_{number}": found[p, number] for p, number in sorted(found)}

    def index(self) -> list[ClipInfo]:
        """All recordings that are there; see `files`."""
        return [ClipInfo(name, name, name.partition("_")[0]) for name in self.files()]

    def load(self, name: str) -> Clip:
        """One recording with its gold standard; test recordings have none.

        Raises
        ------
        ClipError
            If its frame times or its ratings are missing or wrong.
        InputError
            If there is no such recording.
        """
        files = self.files()
        if name not in files:
            raise InputError(f"{self.root} has no recording {name!r}{did_you_mean(name, files) or '.'}")
        partition = name.partition("_")[0]
        try:
            times = package.frame_times(self.root / "recordings_video_frame_time" / f"{name}.csv")
            labels = self._labels(name, required=partition != "test")
            boxes = package.boxes_beside(self.root, name)
        except InputError as error:
            raise ClipError(str(error)) from error
        return package.from_first_frame(Clip(name, name, partition, files[name], labels, boxes, times))

    def _labels(self, name: str, required: bool) -> Labels | None:
        paths = [self.root / "ratings_gold_standard" / target / f"{name}.arff" for target in TARGETS]
        if not required and not any(path.is_file() for path in paths):
            return None
        ratings = [_rating(path) for path in paths]
        times = ratings[0][0]
        for path, (others, _) in zip(paths, ratings, strict=True):
            if len(others) != len(times) or np.abs(others - times).max() > EXACT:
                raise InputError(
                    f"{path}: its frameTime differs from that of {paths[0]}; both rate one recording."
                )
        return Labels(times, np.column_stack([values for _, values in ratings]), TARGETS)


def _rating(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times and values of one gold standard file."""
    relation = arff.read(path)
    times, values = relation.numbers("frameTime"), relation.numbers("GoldStandard")
    if not len(times):
        raise InputError(f"{path}: has a header, but no ratings.")
    wrong = np.flatnonzero(np.isnan(times) | np.concatenate(([False], np.diff(times) <= 0)))
    if len(wrong):
        line = relation.rows[int(wrong[0])][0]
        raise InputError(f"{path}, line {line}: frameTime should be a number that rises from row to row.")
    return times, values


def inspect_package(root: Path, *, look: bool = True) -> package.Inspection:
    """Check a package before a long run; see `rdbench.datasets.package.inspect`.

    Raises
    ------
    InputError
        If the folder is not the package.
    """
    dataset = Avec2016Dataset(root)
    files = dataset.files()
    notes = []
    for partition in PARTITIONS:
        there = sum(name.startswith(partition) for name in files)
        if 0 < there < RECORDINGS:
            notes.append(f"{partition} has {there} of the {RECORDINGS} recordings")
    if not (dataset.root / "ratings_individual").is_dir():
        notes.append("there are no individual ratings (ratings_individual); they are not needed")
    return package.inspect(dataset, files, notes, look=look)
