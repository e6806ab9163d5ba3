"""What published sets share: how a recording is found and named, classes, and partitions of one's own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rdbench.datasets import delimited, package
from rdbench.datasets.entries import SUFFIXES, inside, safe
from rdbench.errors import ClipError, InputError
from rdbench.video import pictures
from rdbench.video.clip import PARTITIONS, Boxes, Clip, ClipInfo, Dataset, Labels
from rdbench.words import did_you_mean

__all__ = [
    "EXPRESSION",
    "EXPRESSIONS",
    "Entry",
    "PublishedDataset",
    "counted",
    "named",
    "numbered",
    "one_class",
    "text_files",
]

EXPRESSION = "expression"
"""The target of all sets that are labelled with classes."""

EXPRESSIONS = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
"""What the classes that most sets have are called, whatever a set calls them."""

_DEPTH = 4


@dataclass(frozen=True)
class Entry:
    """One recording of a set.

    Parameters
    ----------
    info : ClipInfo
    file : Path
        A video, or a folder of numbered pictures.
    labels : Path or None
        The file that labels it.
    word : str
        Its class, where the name says it.
    rate : float
        Pictures a second, of a folder of pictures.
    """

    info: ClipInfo
    file: Path
    labels: Path | None = None
    word: str = ""
    rate: float = pictures.FIRST_RATE


@dataclass(frozen=True)
class PublishedDataset(Dataset):
    """A set as it was unpacked; a room of this wing says how its recordings are found and labelled.

    Parameters
    ----------
    root : Path
        The folder. Beside what the set has it may hold ``partitions.csv`` (columns subject or clip, and partition; for sets
        without official ones) and ``boxes/<clip>.csv`` (time, x, y, w, h).
    name : str
        As asked for, with the task behind a colon where a set has several.
    follow_links : bool
        Whether symbolic links may lead out of the folder.
    """

    root: Path
    name: str = ""
    follow_links: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))
        if not self.root.is_dir():
            raise InputError(f"There is no folder {self.root}; --root names the unpacked set {self.name}.")

    @abstractmethod
    def found(self) -> list[Entry]:
        """Every labelled recording of the set, sorted by name."""

    @abstractmethod
    def labels_of(self, entry: Entry) -> Labels:
        """The labels of a recording, with times from its first frame."""

    def boxes_of(self, entry: Entry) -> Boxes | None:
        """Face boxes that the set itself gives."""
        return None

    @property
    def official(self) -> bool:
        """Whether the set has partitions of its own."""
        return False

    def entries(self) -> dict[str, Entry]:
        """The recordings that are used, by name.

        Raises
        ------
        InputError
            If there is none, two have one name, or partitions.csv is wrong.
        """
        found: dict[str, Entry] = {}
        for entry in self.found():
            other = found.setdefault(entry.info.name, entry)
            if other is not entry:
                raise InputError(
                    f"{self.root}: {other.file} and {entry.file} are both {entry.info.name}; keep one."
                )
        if not self.official:
            found = _partitioned(self.root, found)
        if not found:
            raise InputError(f"{self.root} has no labelled recording of {self.name}.")
        return found

    def files(self) -> dict[str, Path]:
        """Video or folder of pictures of each recording."""
        return {name: entry.file for name, entry in self.entries().items()}

    def index(self) -> list[ClipInfo]:
        """All recordings that are used."""
        return [entry.info for entry in self.entries().values()]

    def load(self, name: str) -> Clip:
        """One recording with its labels.

        Raises
        ------
        ClipError
            If its pictures, labels or boxes cannot be used.
        InputError
            If there is no such recording.
        """
        entries = self.entries()
        if name not in entries:
            raise InputError(f"{self.root} has no recording {name!r}{did_you_mean(name, entries) or '.'}")
        entry = entries[name]
        try:
            for picture in pictures.picture_files(entry.file):
                if picture.is_symlink():
                    self.within(picture)
            labels = self.labels_of(entry)
            boxes = package.boxes_beside(self.root, name) or self.boxes_of(entry)
        except InputError as error:
            raise ClipError(str(error)) from error
        times = pictures.picture_times(entry.file, entry.rate) if entry.file.is_dir() else None
        return Clip(name, entry.info.subject, entry.info.partition, entry.file, labels, boxes, times)

    def notes(self) -> list[str]:
        """What whoever uses the set should know before a long run."""
        given = (self.root / "partitions.csv").is_file()
        if self.official:
            return ["partitions.csv is not read: the set has partitions of its own."] if given else []
        if given:
            return []
        return [
            "There is no partitions.csv (columns subject or clip, and partition), so every recording is test."
        ]

    def within(self, path: Path) -> Path:
        """A path of the set, refused where a link leads out of its folder."""
        return inside(self.root, str(path.relative_to(self.root)), str(self.root), follow=self.follow_links)

    def videos(self, skip: Sequence[Path] = ()) -> Iterator[Path]:
        """Every video of the folder and those in it, sorted, but for hidden ones and some folders."""
        every = _walk(self.root, _DEPTH + 2, skip, self.follow_links)
        yield from (path for path in every if path.suffix.casefold() in SUFFIXES)

    def series(self, folder: Path, depth: int = _DEPTH) -> Iterator[Path]:
        """Every folder below this one that holds pictures, sorted."""
        for path in sorted(folder.iterdir()):
            if (
                path.is_dir()
                and (self.follow_links or not path.is_symlink())
                and not path.name.startswith(".")
            ):
                if any(inner.suffix.casefold() in pictures.SUFFIXES for inner in path.iterdir()):
                    yield path
                elif depth:
                    yield from self.series(path, depth - 1)


def counted(names: Sequence[str], one: str, many: str) -> list[str]:
    """A note on some recordings, with a few of their names; none where there is none.

    Parameters
    ----------
    names : sequence of str
    one, many : str
        The end of the sentence that begins with their number.
    """
    if not names:
        return []
    few = ", ".join(sorted(names)[:5]) + (", ..." if len(names) > 5 else "")
    return [f"{len(names)} {one if len(names) == 1 else many} ({few})."]


def text_files(folder: Path) -> list[Path]:
    """The text files of a folder, sorted, but for hidden ones."""
    return sorted(p for p in folder.iterdir() if p.suffix.casefold() == ".txt" and not p.name.startswith("."))


def one_class(word: str, classes: Sequence[str]) -> Labels:
    """The labels of a recording that has one class from its beginning to its end."""
    return Labels(
        np.zeros(1), np.array([[float(classes.index(word))]]), (EXPRESSION,), tuple(classes), whole=True
    )


def _walk(folder: Path, depth: int, skip: Sequence[Path], follow: bool) -> Iterator[Path]:
    try:
        there = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be read ({error.strerror or error}).") from error
    for path in there:
        if path.is_dir():
            if depth and path not in skip and (follow or not path.is_symlink()):
                yield from _walk(path, depth - 1, skip, follow)
        else:
            yield path


def named(name: str, subject: str, partition: str = "test") -> ClipInfo:
    """A recording by names that can be part of a file's name anywhere."""
    return ClipInfo(safe(name), safe(subject), partition)


def numbered(file: Path) -> NDArray[np.int64]:
    """The numbers of a folder's pictures, rising.

    Raises
    ------
    ClipError
        If the folder is no series of pictures.
    """
    return np.array([pictures.number_of(path) for path in pictures.picture_files(file)], dtype=np.int64)


def _partitioned(root: Path, entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """The recordings that partitions.csv lists, with their partitions; all, as they are, where there is no such file."""
    path = root / "partitions.csv"
    if not path.is_file():
        return dict(entries)
    table = delimited.read(path)
    by = "subject" if "subject" in [name.casefold() for name in table.header] else "clip"
    who, where = table.column(by), table.column("partition")
    known = {getattr(entry.info, "subject" if by == "subject" else "name") for entry in entries.values()}
    listed: dict[str, str] = {}
    for line, cells in table.rows:
        name, part = safe(cells[who]), cells[where].casefold()
        if part not in PARTITIONS:
            raise InputError(
                f"{path}, line {line}: partition should be train, dev or test, but is {part[:40]!r}."
            )
        if name not in known:
            hint = did_you_mean(name, known) or "."
            raise InputError(f"{path}, line {line}: the set has no {by} {name[:40]!r}{hint}")
        if listed.setdefault(name, part) != part:
            raise InputError(
                f"{path}, line {line}: {name} is in {listed[name]} too; a {by} has one partition."
            )
    out = {}
    for name, entry in entries.items():
        key = entry.info.subject if by == "subject" else name
        if key in listed:
            out[name] = replace(entry, info=replace(entry.info, partition=listed[key]))
    _refuse_torn(path, [entry.info for entry in out.values()])
    return out


def _refuse_torn(path: Path, infos: Sequence[ClipInfo]) -> None:
    where: dict[str, str] = {}
    for info in infos:
        if where.setdefault(info.subject, info.partition) != info.partition:
            raise InputError(
                f"{path}: subject {info.subject} is in {where[info.subject]} and in {info.partition}; what is learned of a "
                "person in one is no news in the other, so give all clips of a subject one partition."
            )
