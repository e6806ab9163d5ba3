"""The public RECOLA release: raw ratings of six raters, turned into the challenge's gold standard."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rdbench.datasets import delimited, package
from rdbench.errors import ClipError, InputError
from rdbench.stats import metrics
from rdbench.video.clip import PARTITIONS, Clip, ClipInfo, Dataset, Labels
from rdbench.video.labels import EXACT
from rdbench.words import did_you_mean

__all__ = ["TARGETS", "RecolaDataset", "gold_standard", "inspect_package"]

TARGETS = ("arousal", "valence")
_NAME = re.compile(r"(P[0-9]+)\.(mp4|avi|mkv|mov)", re.IGNORECASE)


def gold_standard(ratings: NDArray[np.float64]) -> NDArray[np.float64]:
    """One value for each time from the ratings of several raters, as the AVEC challenges made it.

    A rater's weight is the mean of the CCCs with each of the others. Every rating is centred on its own mean
    and moved to the weighted mean of all raters' means; the gold standard is the mean over raters:
    ``mean_r(y_r(t) - m_r + M)`` with ``M = sum(w_r m_r) / sum(w_r)``. So agreement decides where the level
    lies, and not one rater's offset.

    Parameters
    ----------
    ratings : (n, raters) float64
        NaN where a rater said nothing; all statistics leave those out.

    Returns
    -------
    (n,) float64
        NaN where nobody rated. Where weights do not add up to more than 0 (nobody agrees), or there is one
        rater, M is the plain mean of the means.
    """
    rated = np.isfinite(ratings).any(axis=0)
    used = ratings[:, rated]
    raters = used.shape[1]
    if not raters:
        return np.full(len(ratings), np.nan)
    agreement = np.full((raters, raters), np.nan)
    for a, b in combinations(range(raters), 2):
        agreement[a, b] = agreement[b, a] = metrics.ccc(metrics.moments(used[:, a], used[:, b]))
    known = np.isfinite(agreement)
    weights = np.where(known, agreement, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    if weights.sum() <= 0:
        weights = np.ones(raters)
    means = np.nanmean(used, axis=0)
    level = float(weights @ means / weights.sum())
    there = np.isfinite(used)
    centred = np.where(there, used - means, 0).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return centred / there.sum(axis=1) + np.where(there.any(axis=1), level, np.nan)


@dataclass(frozen=True)
class RecolaDataset(Dataset):
    """Recordings ``P16``, ``P17``, ..., each of its own subject.

    Parameters
    ----------
    root : Path
        The folder that holds ``RECOLA-Video-recordings/``, ``RECOLA-Annotation/`` and
        ``RECOLA-Video-timings/`` (dashes or underscores). The release has no partitions: where the folder
        holds ``partitions.csv`` (columns clip and partition), the recordings that it lists are used; without
        it, all are test. ``boxes/<recording>.csv`` (time, x, y, w, h) may lie beside it.
    name : str
    """

    root: Path
    name: str = "recola"

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))

    def _folder(self, *names: str) -> Path:
        path = package.folder_like(self.root, *names)
        if path is None:
            raise InputError(
                f"{self.root} has no folder {names[0]}, so it is not the RECOLA release; --root names the folder "
                f"that holds it."
            )
        return path

    def files(self) -> dict[str, Path]:
        """Video file of each recording, by number.

        Raises
        ------
        InputError
            If the folder is not the release, or its partitions.csv is wrong.
        """
        partitions = self._partitions()
        found = self._videos()
        for name in partitions or ():
            if name not in found:
                raise InputError(
                    f"{self.root / 'partitions.csv'}: lists {name}, but there is no video of it; there are "
                    f"{', '.join(found)}."
                )
        return {name: path for name, path in found.items() if partitions is None or name in partitions}

    def _videos(self) -> dict[str, Path]:
        if not self.root.is_dir():
            raise InputError(f"There is no folder {self.root}; --root names the unpacked RECOLA release.")
        videos = self._folder("RECOLA-Video-recordings", "RECOLA-Video-recording")
        found: dict[str, Path] = {}
        for path in sorted(videos.iterdir()):
            match = _NAME.fullmatch(path.name)
            if match and found.setdefault(match[1].upper(), path) != path:
                raise InputError(f"{videos}: two files are called {match[1]}; keep one.")
        if not found:
            raise InputError(f"{videos} has no recording such as P16.mp4.")
        return dict(sorted(found.items(), key=lambda item: int(item[0][1:])))

    def _partitions(self) -> dict[str, str] | None:
        path = self.root / "partitions.csv"
        if not path.is_file():
            return None
        table = delimited.read(path)
        clip, partition = table.column("clip"), table.column("partition")
        out: dict[str, str] = {}
        for line, cells in table.rows:
            name, part = cells[clip].upper(), cells[partition].casefold()
            if part not in PARTITIONS:
                raise InputError(
                    f"{path}, line {line}: partition should be train, dev or test, but is {part[:40]!r}."
                )
            if name in out:
                raise InputError(
                    f"{path}, line {line}: {name} is listed twice; a recording has one partition."
                )
            out[name] = part
        if not out:
            raise InputError(f"{path}: lists no recording; add rows such as P16,train, or remove it.")
        return out

    def index(self) -> list[ClipInfo]:
        """All recordings that are there, or those that partitions.csv lists; see `files`."""
        partitions = self._partitions() or {}
        return [ClipInfo(name, name, partitions.get(name, "test")) for name in self.files()]

    def load(self, name: str) -> Clip:
        """One recording with the gold standard of its raters.

        Raises
        ------
        ClipError
            If its frame times or its ratings are missing or wrong.
        InputError
            If there is no such recording.
        """
        infos = {info.name: info for info in self.index()}
        if name not in infos:
            raise InputError(f"{self.root} has no recording {name!r}{did_you_mean(name, infos) or '.'}")
        try:
            timings = self._folder("RECOLA-Video-timings", "RECOLA-Video-timing") / f"{name}.csv"
            times = package.frame_times(timings, "second")
            labels = self._labels(name)
            boxes = package.boxes_beside(self.root, name)
        except InputError as error:
            raise ClipError(str(error)) from error
        clip = Clip(name, name, infos[name].partition, self.files()[name], labels, boxes, times)
        return package.from_first_frame(clip)

    def _labels(self, name: str) -> Labels:
        annotation = self._folder("RECOLA-Annotation", "RECOLA-Annotations")
        behaviour = package.folder_like(annotation, "emotional_behaviour", "emotional_behavior")
        if behaviour is None:
            raise InputError(f"{annotation} has no folder emotional_behaviour with the ratings.")
        paths = [behaviour / target / f"{name}.csv" for target in TARGETS]
        ratings = [_rating(path) for path in paths]
        times = ratings[0][0]
        for path, (others, _) in zip(paths, ratings, strict=True):
            if len(others) != len(times) or np.abs(others - times).max() > EXACT:
                raise InputError(
                    f"{path}: its times differ from those of {paths[0]}; both rate one recording."
                )
        return Labels(times, np.column_stack([values for _, values in ratings]), TARGETS)


def _rating(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times and gold standard of one file of raw ratings."""
    table = delimited.read(path)
    time = table.column("time")
    raters = [i for i in range(len(table.header)) if i != time]
    if not raters or not table.rows:
        raise InputError(f"{path}: should have a column time and one for each rater, with rows.")
    return delimited.rising(table, time), gold_standard(np.column_stack([table.numbers(i) for i in raters]))


def inspect_package(root: Path, *, look: bool = True) -> package.Inspection:
    """Check a release before a long run; see `rdbench.datasets.package.inspect`.

    Raises
    ------
    InputError
        If the folder is not the release.
    """
    dataset = RecolaDataset(root)
    notes: Iterable[str] = ()
    if not (dataset.root / "partitions.csv").is_file():
        notes = ("there is no partitions.csv (columns clip, partition), so every recording is test",)
    return package.inspect(dataset, dataset.files(), tuple(notes), look=look)
