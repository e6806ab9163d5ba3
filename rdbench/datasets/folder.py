"""A folder of anybody's video files, with labels and face boxes beside them where there are any."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from rdbench.datasets import delimited, passed_over
from rdbench.datasets.entries import SUFFIXES, Entry, entries_of, inside, one_entry, safe
from rdbench.errors import ClipError, InputError
from rdbench.video.clip import Boxes, Clip, ClipInfo, Dataset, Labels
from rdbench.video.pictures import picture_times
from rdbench.words import did_you_mean

__all__ = ["SUFFIXES", "FolderDataset", "parse_boxes", "parse_labels"]


def _beside(root: Path, kind: str, entry: Entry, *, follow: bool = False) -> Path | None:
    """The file ``<kind>/<clip>.csv`` of a clip, or the one named as its video file, if there is one."""
    for name in dict.fromkeys((entry.info.name, entry.stem)):
        path = inside(root, f"{kind}/{name}.csv", str(root), follow=follow)
        if path.is_file():
            return path
    return None


def _categorical(table: delimited.Table, column: int) -> bool:
    """Whether a label column holds class names: its first value begins with a letter and is no number."""
    for _, cells in table.rows:
        if cells[column].casefold() not in delimited.MISSING:
            try:
                float(cells[column])
            except ValueError:
                return cells[column][0].isalpha()
            return False
    return False


def _words(table: delimited.Table) -> frozenset[str]:
    columns = [
        i for i, name in enumerate(table.header) if name.casefold() != "time" and _categorical(table, i)
    ]
    values = {cells[i] for i in columns for _, cells in table.rows}
    return frozenset(v for v in values if v[:1].isalpha() and v.casefold() != "nan")


def parse_labels(table: delimited.Table, classes: tuple[str, ...] = ()) -> Labels:
    """Labels from a table with a column ``time`` and one column for each target.

    Parameters
    ----------
    table : Table
    classes : tuple of str
        Classes of the whole dataset where its target is categorical; else those of this table, sorted.

    Raises
    ------
    InputError
        If there is no target, a value is not a number, or numbers and words are mixed.
    """
    time = table.column("time")
    targets = [i for i in range(len(table.header)) if i != time]
    if not targets:
        raise InputError(
            f"{table.source}: has no column beside time; add one for each target, such as valence."
        )
    if not table.rows:
        raise InputError(f"{table.source}: has a header, but no rows.")
    times = delimited.rising(table, time)
    names = tuple(table.header[i] for i in targets)
    # Where other clips have classes, a clip may show one alone that looks like a missing number.
    alone = len(targets) == 1 and {cells[targets[0]] for _, cells in table.rows} - delimited.UNSAID <= {
        *classes
    }
    if not any(_categorical(table, i) for i in targets) and not (classes and alone):
        return Labels(times, np.column_stack([table.numbers(i) for i in targets]), names)
    if len(targets) > 1:
        raise InputError(
            f"{table.source}: {', '.join(names)} hold words; a categorical target must be the only column "
            f"beside time."
        )
    classes = tuple(sorted({*classes, *_words(table)}))
    values = np.full((len(times), 1), np.nan)
    for i, (line, cells) in enumerate(table.rows):
        word = cells[targets[0]]
        if word in delimited.UNSAID:
            continue
        if not word[0].isalpha() or word.casefold() == "nan":
            raise InputError(
                f"{table.source}, line {line}: {names[0]} is {word[:40]!r}, but holds words in other lines; "
                f"use numbers or class names, not both, and leave cells empty where nothing is known."
            )
        values[i, 0] = classes.index(word)
    return Labels(times, values, names, classes)


def parse_boxes(table: delimited.Table) -> Boxes:
    """Face boxes from a table with the columns time, x, y, w, h (pixels of the displayed picture).

    A row with any missing cell, or without area, is a frame without a face.

    Raises
    ------
    InputError
        If a column is missing, or a cell is not a number.
    """
    times = delimited.rising(table, table.column("time"))
    xywh = np.column_stack([table.numbers(table.column(name)) for name in "xywh"])
    with np.errstate(invalid="ignore"):
        seen = np.isfinite(xywh).all(axis=1) & (xywh[:, 2] > 0) & (xywh[:, 3] > 0)
    xywh[~seen] = np.nan
    return Boxes(times, xywh)


@lru_cache(maxsize=16)
def _classes(root: Path, files: tuple[tuple[Path, int, int], ...]) -> tuple[str, ...]:
    """Every class that any label file of a folder names; a clip alone may not show them all."""
    words: set[str] = set()
    unclear: set[str] = set()
    for path, _, _ in files:
        try:
            table = delimited.read(path)
        except InputError:
            continue  # a bad file fails its own clip when that one is loaded
        words |= _words(table)
        if len(table.header) == 2:
            unclear |= {cell for _, cells in table.rows for cell in cells if cell.casefold() == "na"}
    return tuple(sorted(words | unclear)) if words else ()


@dataclass(frozen=True)
class FolderDataset(Dataset):
    """Every recording of a folder, or those that its manifest.csv lists, or one file alone.

    Parameters
    ----------
    root : Path
        The folder. Beside the videos it may hold ``manifest.csv`` (columns clip, file, subject, partition, fps,
        damage; only file is needed), ``labels/<clip>.csv`` (time and one column a target) and ``boxes/<clip>.csv``
        (time, x, y, w, h). No path may lead out of it.
    name : str
        By default the folder's name, or that of the one clip.
    only : str
        Name of the one file that is used, as the manifest has it where it does; empty for all.
    follow_links : bool
        Whether symbolic links may lead out of the folder, as those of git-annex and DVC do.
    """

    root: Path
    name: str = field(default="")
    only: str = ""
    follow_links: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))
        if not self.name:
            own = Path(self.only).stem if self.only else self.root.resolve().name
            object.__setattr__(self, "name", safe(own))

    def _entries(self) -> list[Entry]:
        if not self.only:
            return entries_of(self.root, follow=self.follow_links)
        try:
            listed = entries_of(self.root, follow=self.follow_links)
        except InputError:
            listed = []  # what is wrong with others is no matter of this one
        return [e for e in listed if e.file == self.root / self.only] or [one_entry(self.root, self.only)]

    def index(self) -> list[ClipInfo]:
        """All clips, sorted by name; no video is opened.

        Raises
        ------
        InputError
            If the folder is missing or has no recording, its manifest is wrong, or label or box files are there
            and none of them belongs to a clip.
        """
        entries = self._entries()
        for kind in () if self.only else ("labels", "boxes"):
            files = sorted((self.root / kind).glob("*.csv"))
            if files and not any(self._has(kind, entry) for entry in entries):
                raise InputError(
                    f"{self.root / kind}: none of its {len(files)} files belongs to a clip; {files[0].name} "
                    f"should be called {entries[0].info.name}.csv for the clip {entries[0].info.name!r}."
                )
        return [entry.info for entry in entries]

    def _has(self, kind: str, entry: Entry) -> bool:
        try:
            return _beside(self.root, kind, entry, follow=self.follow_links) is not None
        except InputError:
            return True  # its fault is told when this clip is loaded

    def load(self, name: str) -> Clip:
        """One clip with the labels and boxes that lie beside it.

        Raises
        ------
        ClipError
            If its labels or boxes cannot be used; its video is judged by whoever decodes it.
        InputError
            If there is no clip of this name.
        """
        entries = {entry.info.name: entry for entry in self._entries()}
        if name not in entries:
            raise InputError(f"{self.root} has no clip {name!r}{did_you_mean(name, entries) or '.'}")
        entry = entries[name]
        if entry.fault:
            raise ClipError(entry.fault)
        try:
            labels = self._labels(entry)
            boxes_file = _beside(self.root, "boxes", entry, follow=self.follow_links)
            boxes = parse_boxes(delimited.read(boxes_file)) if boxes_file else None
        except InputError as error:
            raise ClipError(str(error)) from error
        times = picture_times(entry.file, entry.rate) if entry.pictures else None
        who, where = entry.info.subject, entry.info.partition
        return Clip(name, who, where, entry.file, labels, boxes, times, entry.damage)

    def notes(self) -> list[str]:
        """What is passed over, and what makes clips less independent than their subjects say."""
        return passed_over.notes(self.root, self._entries(), alone=bool(self.only))

    def _labels(self, entry: Entry) -> Labels | None:
        path = _beside(self.root, "labels", entry, follow=self.follow_links)
        if path is None:
            return None
        stats = [(p, p.stat()) for p in sorted((self.root / "labels").glob("*.csv")) if p.is_file()]
        key = tuple((p, s.st_mtime_ns, s.st_size) for p, s in stats)
        return parse_labels(delimited.read(path), _classes(self.root, key))
