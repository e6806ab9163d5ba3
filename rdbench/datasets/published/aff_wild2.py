"""Aff-Wild2, as the ABAW challenges hand it out: text files with a line for each frame, official partitions.

Kollias and Zafeiriou 2019, arXiv:1811.07770; Kollias 2022, arXiv:2202.10659.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rdbench.datasets import delimited, package
from rdbench.datasets.published.common import (
    EXPRESSION,
    Entry,
    PublishedDataset,
    counted,
    named,
    numbered,
    text_files,
)
from rdbench.errors import ClipError, InputError
from rdbench.video.clip import Boxes, Labels
from rdbench.video.description import opened, video_stream
from rdbench.video.pictures import picture_files
from rdbench.words import did_you_mean

__all__ = ["AffWild2Dataset"]

_TASKS = {
    "va": ("VA_Set", "VA_Estimation_Challenge"),
    "expr": ("EXPR_Set", "EXPR_Classification_Challenge", "EXPR_Recognition_Challenge"),
    "au": ("AU_Set", "AU_Detection_Challenge"),
}
_PARTITIONS = {"train": ("Train_Set", "Training_Set"), "dev": ("Validation_Set",)}
_CROPPED = ("cropped_aligned", "cropped_aligned_images")
_MISSING = {"va": -5, "expr": -1, "au": -1}
_WORDS = {
    "anger": "angry",
    "disgust": "disgusted",
    "fear": "fearful",
    "happiness": "happy",
    "sadness": "sad",
    "surprise": "surprised",
}
_SIDES = ("_left", "_right")
_SPARE = 0.01
"""Share of the frames by which lines may be more or fewer: decoders differ by a few."""

_RATE = 30.0


@dataclass(frozen=True)
class AffWild2Dataset(PublishedDataset):
    """Recordings with the labels of one task; each is its own subject.

    Parameters
    ----------
    root : Path
        With ``VA_Set/``, ``EXPR_Set/`` or ``AU_Set/`` (or the names that they have in later challenges), itself or in a folder
        below, in which ``Train_Set/`` and ``Validation_Set/`` hold a text file for each recording; and with the videos, or
        ``cropped_aligned/<recording>/00001.jpg``, ..., which are used where there is no video.
    name : {"affwild2", "affwild2:expr", "affwild2:au"}
        Valence and arousal, expressions, or action units.
    """

    name: str = "affwild2"

    @property
    def official(self) -> bool:
        """Train_Set and Validation_Set are train and dev."""
        return True

    @property
    def _task(self) -> str:
        return self.name.partition(":")[2] or "va"

    def _annotations(self) -> Path:
        names = _TASKS[self._task]
        for folder in (self.root, *(path for path in sorted(self.root.iterdir()) if path.is_dir())):
            there = package.folder_like(folder, *names)
            if there is not None:
                return there
        raise InputError(
            f"{self.root} has no folder {names[0]}, which labels {self.name}; --root names the folder that holds it."
        )

    def found(self) -> list[Entry]:
        """Every recording with labels of the task; those without a picture of it are told when they are loaded."""
        folder, cropped = self._annotations(), package.folder_like(self.root, *_CROPPED)
        self._check_partitions(folder)
        whole = _by_name(self.videos([folder, *([cropped] if cropped else [])]))
        faces = _by_name(self.series(cropped) if cropped else ())
        where: dict[str, str] = {}
        out = []
        for partition, names in _PARTITIONS.items():
            inside = package.folder_like(folder, *names)
            for file in text_files(inside) if inside else ():
                if where.setdefault(file.stem, partition) != partition:
                    raise InputError(
                        f"{folder}: {file.stem} is in {where[file.stem]} and in {partition}; a recording has one partition."
                    )
                there = _pictures_of(file.stem.casefold(), whole, faces)
                if len(there) > 1:
                    raise InputError(
                        f"{self.root}: {there[0]} and {there[1]} are both {file.stem}; keep one."
                    )
                for pictures in there:
                    info = named(file.stem, file.stem, partition)
                    out.append(Entry(info, self.within(pictures), self.within(file), rate=_RATE))
        if not out:
            raise InputError(
                f"{self.root}: no label file of {folder.name} belongs to a video, or to a folder in {_CROPPED[0]}."
            )
        return out

    def _check_partitions(self, folder: Path) -> None:
        known = [name for names in _PARTITIONS.values() for name in names]
        for path in sorted(folder.iterdir()):
            if path.is_dir() and path not in [
                package.folder_like(folder, name) for name in (*known, "Test_Set")
            ]:
                raise InputError(
                    f"{folder}: there is no partition {path.name!r}{did_you_mean(path.name, known) or '.'} Official ones are "
                    "Train_Set and Validation_Set."
                )

    def missing(self) -> list[str]:
        """Recordings that are labelled and of which there is neither a video nor a folder of pictures."""
        used = {entry.labels for entry in self.found()}
        files = {
            file
            for names in _PARTITIONS.values()
            for inside in [package.folder_like(self._annotations(), *names)]
            if inside
            for file in text_files(inside)
        }
        return sorted(file.stem for file in files - used)

    def notes(self) -> list[str]:
        """What is labelled and cannot be seen."""
        end = "without a video or pictures"
        return [
            *counted(self.missing(), f"labelled recording is {end}", f"labelled recordings are {end}"),
            *super().notes(),
        ]

    def labels_of(self, entry: Entry) -> Labels:
        """The labels of the task; what is -5 or -1 is missing."""
        file = entry.labels or Path()
        header, rows = _lines(file)
        labels = _READERS[self._task](file, header, rows)
        times = self._times(entry, len(rows))
        kept = np.isfinite(times)
        return replace(labels, times=times[kept], values=labels.values[kept], marked=True)

    def _times(self, entry: Entry, lines: int) -> NDArray[np.float64]:
        """When each line's frame is shown, in seconds from the first picture; NaN of lines beyond the pictures.

        Raises
        ------
        InputError
            If lines and frames differ by more than decoders do.
        """
        if entry.file.is_dir():
            numbers = numbered(entry.file)
            first = 0 if numbers[0] == 0 else 1
            times = (np.arange(lines) + first - numbers[0]) / entry.rate
            if numbers[-1] - first + 1 > lines * (1 + _SPARE) + 5:
                raise InputError(
                    f"{entry.labels}: has {lines} lines, but the pictures of {entry.file.name} are numbered up to {numbers[-1]}."
                )
            return np.where(times >= 0, times, np.nan)
        shown = _shown(entry.file)
        if abs(len(shown) - lines) > _SPARE * len(shown) + 5:
            raise InputError(
                f"{entry.labels}: has {lines} lines for the {len(shown)} frames of {entry.file.name}; one for each is expected."
            )
        out = np.full(lines, np.nan)
        out[: len(shown)] = shown[:lines]
        return out

    def boxes_of(self, entry: Entry) -> Boxes | None:
        """The whole picture, where faces were cropped and aligned."""
        if not entry.file.is_dir():
            return None
        with Image.open(picture_files(entry.file)[0]) as first:
            size = first.size
        numbers = numbered(entry.file)
        return Boxes(
            (numbers - numbers[0]) / entry.rate, np.tile([0.0, 0.0, *map(float, size)], (len(numbers), 1))
        )


def _by_name(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Videos or folders of pictures by their name in lower case, without suffix."""
    out: dict[str, list[Path]] = {}
    for path in paths:
        out.setdefault((path.name if path.is_dir() else path.stem).casefold(), []).append(path)
    return out


def _pictures_of(name: str, whole: dict[str, list[Path]], faces: dict[str, list[Path]]) -> list[Path]:
    """A recording's video; of one of two people in a video the cropped pictures, since only these tell who is meant."""
    if name in whole:
        return whole[name]
    for side in _SIDES:
        if name.endswith(side):
            return faces.get(name) or whole.get(name.removesuffix(side), [])
    return faces.get(name, [])


@lru_cache(maxsize=256)
def _shown(file: Path) -> NDArray[np.float64]:
    """When each frame of a video is shown, in seconds from the first, without decoding any."""
    try:
        with opened(file) as container:
            stream = video_stream(container)
            if stream is None:
                raise ClipError(f"{file}: has no video stream.")
            packets = [p.pts for p in container.demux(stream) if p.size and not p.is_discard]
            base, rate = float(stream.time_base or 1), float(stream.average_rate or _RATE)
    except (av.FFmpegError, OSError) as error:
        raise ClipError(f"{file}: cannot be read as video ({error.strerror or error}).") from error
    if not packets or None in packets:
        return np.arange(len(packets)) / rate
    times = np.sort(np.array(packets, dtype=np.float64)) * base
    return np.asarray(times - times[0])


def _lines(file: Path) -> tuple[list[str], list[str]]:
    """The names of the first line, and the lines of the frames.

    Raises
    ------
    InputError
        If there is none, or one is empty: the lines after it would be those of other frames.
    """
    header, *rows = delimited.read_text(file).rstrip().splitlines() or [""]
    names = [name.strip() for name in header.split(",") if name.strip()]
    if not names or not rows or names[0].lstrip("-").replace(".", "").isdigit():
        raise InputError(
            f"{file}: should begin with the columns' names, and have a line for each frame below."
        )
    empty = next((line for line, row in enumerate(rows, 2) if not row.strip()), None)
    if empty is not None:
        raise InputError(
            f"{file}, line {empty}: is empty; a frame without a label has -1 or -5, so that lines stay frames."
        )
    return names, rows


def _table(file: Path, rows: Sequence[str], cells: int, missing: int) -> NDArray[np.float64]:
    """Numbers of each line; NaN for what was not annotated."""
    out = np.empty((len(rows), cells))
    for i, row in enumerate(rows):
        try:
            numbers = [float(word) for word in row.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) != cells or not all(map(math.isfinite, numbers)):
            raise InputError(
                f"{file}, line {i + 2}: should hold {cells} numbers, but is {row.strip()[:40]!r}."
            )
        out[i] = numbers
    return np.where(out == missing, np.nan, out)


def _refuse(file: Path, values: NDArray[np.float64], wrong: NDArray[np.bool_], expected: str) -> None:
    if wrong.any():
        line = int(np.flatnonzero(wrong.any(axis=1))[0])
        raise InputError(
            f"{file}, line {line + 2}: {values[wrong][0]:g} is no label; {expected} is expected."
        )


def _read_va(file: Path, header: list[str], rows: list[str]) -> Labels:
    names = tuple(name.casefold() for name in header)
    if set(names) != {"valence", "arousal"}:
        raise InputError(
            f"{file}: the first line should name valence and arousal, but is {', '.join(header)[:60]!r}."
        )
    values = _table(file, rows, 2, _MISSING["va"])
    _refuse(file, values, np.abs(values) > 1, "-1 to 1, or -5 for what was not annotated,")
    return Labels(np.zeros(0), values, names)


def _read_expressions(file: Path, header: list[str], rows: list[str]) -> Labels:
    classes = tuple(_WORDS.get(name.casefold(), name.casefold()) for name in header)
    values = _table(file, rows, 1, _MISSING["expr"])
    _refuse(
        file,
        values,
        np.isfinite(values) & ~np.isin(values, np.arange(len(classes))),
        f"0 to {len(classes) - 1}, or -1,",
    )
    return Labels(np.zeros(0), values, (EXPRESSION,), classes)


def _read_units(file: Path, header: list[str], rows: list[str]) -> Labels:
    values = _table(file, rows, len(header), _MISSING["au"])
    _refuse(file, values, np.isfinite(values) & ~np.isin(values, (0, 1)), "0, 1 or -1")
    return Labels(np.zeros(0), values, tuple(name.upper() for name in header), units=True)


_READERS = {"va": _read_va, "expr": _read_expressions, "au": _read_units}
