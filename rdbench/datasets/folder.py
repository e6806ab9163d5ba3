"""A folder of anybody's video files, with labels and face boxes beside them where there are any."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from rdbench.datasets import delimited
from rdbench.errors import ClipError, InputError
from rdbench.video.clip import PARTITIONS, Boxes, Clip, ClipInfo, Dataset, Labels
from rdbench.words import did_you_mean

__all__ = ["SUFFIXES", "FolderDataset", "parse_boxes", "parse_labels"]

SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("3gp", "asf", "avi", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "mxf", "nut"),
        *("ogv", "ts", "vob", "webm", "wmv", "y4m", "h264", "264", "hevc", "265", "ivf", "obu"),
    )
)
"""Files with other suffixes are ignored; whether one of these holds video is seen when it is opened."""

_UNSAFE = re.compile(r"[^\w.\-]+")
_LONGEST = 100


@dataclass(frozen=True)
class _Entry:
    """One clip of a folder: what it is called, and where its files lie."""

    info: ClipInfo
    file: Path
    stem: str


def _safe(name: str) -> str:
    """A clip name that can be part of a file name anywhere."""
    return _UNSAFE.sub("_", name).strip("._")[:_LONGEST] or "clip"


def _inside(root: Path, relative: str, named_by: str) -> Path:
    """A path of the folder, refused if it leads out of it by ``..``, a link, or from the root."""
    path = root / relative
    try:
        resolved = path.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{named_by}: {relative!r} is not a usable path ({error}).") from error
    if not resolved.is_relative_to(root.resolve()):
        raise InputError(
            f"{named_by}: {relative!r} leads out of the folder {root}; copy the file into the folder instead."
        )
    return path


def _scan(root: Path) -> list[_Entry]:
    """The videos of a folder by suffix, sorted by name."""
    files = sorted(
        p for p in root.iterdir() if p.suffix.casefold() in SUFFIXES and not p.name.startswith(".")
    )
    files = [p for p in files if p.is_file() or (p.is_symlink() and not p.is_dir())]
    if not files:
        deeper = next((p for p in sorted(root.glob("*/*")) if p.suffix.casefold() in SUFFIXES), None)
        advice = (
            f"videos in subfolders, such as {deeper.relative_to(root)}, must be named in manifest.csv"
            if deeper
            else f"put video files ({', '.join(sorted(SUFFIXES)[:8])} ...) there"
        )
        raise InputError(f"The folder {root} has no video file; {advice}.")
    entries = []
    for path in files:
        name = _safe(path.stem)
        entries.append(_Entry(ClipInfo(name, name, "test"), _inside(root, path.name, str(root)), path.stem))
    return entries


def _manifest(root: Path) -> list[_Entry]:
    """The clips that manifest.csv lists, in its order of names."""
    table = delimited.read(root / "manifest.csv")
    known = {"clip", "file", "subject", "partition"}
    columns = {name.casefold(): i for i, name in enumerate(table.header)}
    strange = [name for name in table.header if name.casefold() not in known]
    if strange:
        hint = did_you_mean(strange[0], known) or "."
        raise InputError(
            f"{table.source}: unknown column {strange[0]!r}{hint} Known are clip, file, subject, partition."
        )
    table.column("file")
    entries = []
    for line, cells in table.rows:
        row = {name: cells[i] for name, i in columns.items()}
        where = f"{table.source}, line {line}"
        if not row["file"]:
            raise InputError(f"{where}: file is empty; each row names one video file.")
        path = _inside(root, row["file"], where)
        if not path.is_file():
            raise InputError(f"{where}: the file {row['file']!r} is not in {root}.")
        name = row.get("clip") or _safe(path.stem)
        if name != _safe(name):
            raise InputError(
                f"{where}: the clip name {name!r} should have letters, digits, '-', '_' and '.' only "
                f"(up to {_LONGEST}), such as {_safe(name)!r}."
            )
        partition = (row.get("partition") or "test").casefold()
        if partition not in PARTITIONS:
            hint = did_you_mean(partition, PARTITIONS) or "."
            raise InputError(f"{where}: partition should be train, dev or test, but is {partition!r}{hint}")
        entries.append(_Entry(ClipInfo(name, row.get("subject") or name, partition), path, path.stem))
    if not entries:
        raise InputError(
            f"{table.source}: lists no clip; add rows, or remove it to use every video file there."
        )
    return sorted(entries, key=lambda e: e.info.name)


def _entries(root: Path) -> list[_Entry]:
    if not root.exists():
        raise InputError(
            f"There is no folder {root}; give a folder of video files, or the name of a dataset."
        )
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; give a folder of video files, or the name of a dataset.")
    try:
        entries = _manifest(root) if (root / "manifest.csv").exists() else _scan(root)
    except OSError as error:
        raise InputError(f"The folder {root} cannot be read ({error.strerror or error}).") from error
    seen: dict[str, Path] = {}
    for entry in entries:
        other = seen.setdefault(entry.info.name, entry.file)
        if other is not entry.file:
            raise InputError(
                f"Two clips of {root} are called {entry.info.name!r}: {other.name} and {entry.file.name}; "
                f"rename one, or give them names in manifest.csv."
            )
    return entries


def _beside(root: Path, kind: str, entry: _Entry) -> Path | None:
    """The file ``<kind>/<clip>.csv`` of a clip, or the one named as its video file, if there is one."""
    for name in dict.fromkeys((entry.info.name, entry.stem)):
        path = _inside(root, f"{kind}/{name}.csv", str(root))
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
    return frozenset(v for v in values if v[:1].isalpha() and v.casefold() not in delimited.MISSING)


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
    if not any(_categorical(table, i) for i in targets):
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
        if word.casefold() in delimited.MISSING:
            continue
        if not word[0].isalpha():
            raise InputError(
                f"{table.source}, line {line}: {names[0]} is {word[:40]!r}, but holds words in other lines; "
                f"use numbers or class names, not both."
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
    for path, _, _ in files:
        try:
            words |= _words(delimited.read(path))
        except InputError:
            continue  # a bad file fails its own clip when that one is loaded
    return tuple(sorted(words))


@dataclass(frozen=True)
class FolderDataset(Dataset):
    """Every video file of a folder, or those that its manifest.csv lists.

    Parameters
    ----------
    root : Path
        The folder. Beside the videos it may hold ``manifest.csv`` (columns clip, file, subject, partition;
        only file is needed), ``labels/<clip>.csv`` (time and one column a target) and ``boxes/<clip>.csv``
        (time, x, y, w, h). No path may lead out of it.
    name : str
        By default the folder's name.
    """

    root: Path
    name: str = field(default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))
        if not self.name:
            object.__setattr__(self, "name", _safe(self.root.resolve().name))

    def index(self) -> list[ClipInfo]:
        """All clips, sorted by name; no video is opened.

        Raises
        ------
        InputError
            If the folder is missing or has no video, its manifest is wrong, or label or box files are there
            and none of them belongs to a clip.
        """
        entries = _entries(self.root)
        for kind in ("labels", "boxes"):
            files = sorted((self.root / kind).glob("*.csv"))
            if files and not any(_beside(self.root, kind, entry) for entry in entries):
                raise InputError(
                    f"{self.root / kind}: none of its {len(files)} files belongs to a clip; {files[0].name} "
                    f"should be called {entries[0].info.name}.csv for the clip {entries[0].info.name!r}."
                )
        return [entry.info for entry in entries]

    def load(self, name: str) -> Clip:
        """One clip with the labels and boxes that lie beside it.

        Raises
        ------
        ClipError
            If its labels or boxes cannot be used; its video is judged by whoever decodes it.
        InputError
            If there is no clip of this name.
        """
        entries = {entry.info.name: entry for entry in _entries(self.root)}
        if name not in entries:
            raise InputError(f"{self.root} has no clip {name!r}{did_you_mean(name, entries) or '.'}")
        entry = entries[name]
        try:
            labels = self._labels(entry)
            boxes_file = _beside(self.root, "boxes", entry)
            boxes = parse_boxes(delimited.read(boxes_file)) if boxes_file else None
        except InputError as error:
            raise ClipError(str(error)) from error
        return Clip(name, entry.info.subject, entry.info.partition, entry.file, labels, boxes)

    def _labels(self, entry: _Entry) -> Labels | None:
        path = _beside(self.root, "labels", entry)
        if path is None:
            return None
        stats = [(p, p.stat()) for p in sorted((self.root / "labels").glob("*.csv"))]
        key = tuple((p, s.st_mtime_ns, s.st_size) for p, s in stats)
        return parse_labels(delimited.read(path), _classes(self.root, key))
