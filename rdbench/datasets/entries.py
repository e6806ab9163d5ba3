"""The recordings of a folder: what is one, what it is called, whose it is."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from rdbench.datasets import delimited
from rdbench.errors import InputError
from rdbench.video import pictures
from rdbench.video.clip import PARTITIONS, ClipInfo, Damage
from rdbench.words import did_you_mean

__all__ = ["SIDES", "SUFFIXES", "Entry", "entries_of", "inside", "is_recording", "one_entry", "safe"]

SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *(
            "3g2",
            "3gp",
            "apng",
            "asf",
            "av1",
            "avi",
            "divx",
            "dv",
            "f4v",
            "flv",
            "gif",
            "m1v",
            "m2t",
            "m2ts",
            "m2v",
        ),
        *(
            "m4v",
            "mj2",
            "mjpeg",
            "mjpg",
            "mkv",
            "mod",
            "mov",
            "mp4",
            "mpeg",
            "mpg",
            "mpv",
            "mts",
            "mxf",
            "nut",
            "ogg",
        ),
        *("ogm", "ogv", "qt", "rm", "rmvb", "tod", "ts", "vc1", "vob", "webm", "wmv", "wtv", "y4m"),
        *("h261", "h263", "h264", "264", "hevc", "265", "h265", "ivf", "obu", "vvc", "266", "h266"),
    )
)
"""Files that are videos by their names; whether one holds any is seen when it is opened."""

SIDES = ("labels", "boxes")
"""Folders beside the recordings that hold tables of them."""

_UNSAFE = re.compile(r"[^\w.\-]+")
_LONGEST = 100
_COLUMNS = ("clip", "file", "subject", "partition", "fps", "damage")
_DAMAGE: tuple[Damage, ...] = ("refuse", "mask")
_NOBODY = "na"


@dataclass(frozen=True)
class Entry:
    """One clip of a folder: what it is called, and where its files lie.

    Parameters
    ----------
    info : ClipInfo
    file : Path
        A video, a picture, or a folder of numbered pictures.
    stem : str
        Name of the file without its suffix.
    rate : float
        Pictures a second, of a folder of pictures.
    fault : str
        Why it cannot be used, where its name alone tells.
    damage : {"refuse", "mask"}
        What is done where pictures are lost or damaged.
    """

    info: ClipInfo
    file: Path
    stem: str
    rate: float = pictures.FIRST_RATE
    fault: str = ""
    damage: Damage = "refuse"

    @property
    def pictures(self) -> bool:
        """Whether its frames are pictures of a folder."""
        return self.file.is_dir()


def safe(name: str) -> str:
    """A clip name that can be part of a file name anywhere."""
    return _UNSAFE.sub("_", name).strip("._")[:_LONGEST] or "clip"


def inside(root: Path, relative: str, named_by: str, *, follow: bool = False) -> Path:
    """A path of the folder, refused if it leads out of it by ``..``, a link, or from the root.

    With `follow`, links may lead out of it, as those of git-annex and DVC do: whoever asks for that trusts the folder.

    Raises
    ------
    InputError
        If it does.
    """
    path = root / relative
    try:
        resolved = Path(os.path.normpath(root.resolve() / relative)) if follow else path.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{named_by}: {relative!r} is not a usable path ({error}).") from error
    if not resolved.is_relative_to(root.resolve()):
        raise InputError(
            f"{named_by}: {relative!r} leads out of the folder {root}; copy the file into the folder"
            + (" instead." if follow else ", or take links as they are with --follow-links.")
        )
    return path


def is_recording(path: Path) -> bool:
    """Whether a file is a video or a picture by its name."""
    return path.suffix.casefold() in SUFFIXES | pictures.SUFFIXES


def one_entry(root: Path, name: str) -> Entry:
    """The one clip of a set of one file."""
    stem = Path(name).stem
    return Entry(ClipInfo(safe(stem), safe(stem), "test"), root / name, stem)


def entries_of(root: Path, *, follow: bool = False) -> list[Entry]:
    """All clips of a folder, sorted by name.

    Raises
    ------
    InputError
        If the folder cannot be read, has none, its manifest is wrong, or two clips have one name.
    """
    if not root.exists():
        raise InputError(
            f"There is no folder {root}; give a folder of video files, or the name of a dataset."
        )
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; give a folder of video files, or the name of a dataset.")
    try:
        entries = _manifest(root, follow) if (root / "manifest.csv").exists() else _scan(root, follow)
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


def _scan(root: Path, follow: bool) -> list[Entry]:
    """The recordings of a folder: videos and pictures by suffix, folders of numbered pictures; sorted by name."""
    there = sorted(path for path in root.iterdir() if not path.name.startswith("."))
    files = [path for path in there if path.suffix.casefold() in SUFFIXES and not path.is_dir()]
    files += [path for path in there if path.is_dir() and path.name not in SIDES and _numbered(path)]
    still = [path for path in there if path.suffix.casefold() in pictures.SUFFIXES and path.is_file()]
    files += [root] if _one_series(still) else still
    if not files:
        deeper = next((path for path in sorted(root.glob("*/*")) if path.suffix.casefold() in SUFFIXES), None)
        advice = (
            f"videos in subfolders, such as {deeper.relative_to(root)}, must be named in manifest.csv"
            if deeper
            else f"put video files ({', '.join(sorted(SUFFIXES)[:8])} ...) or folders of numbered pictures there"
        )
        raise InputError(f"The folder {root} has no video file; {advice}.")
    entries = []
    stems = {path: path.name if path.is_dir() else path.stem for path in files}
    alike = Counter(safe(stem) for stem in set(stems.values()))
    for path in files:
        stem = stems[path] if path != root else root.resolve().name
        name = safe(stem)
        if alike[name] > 1:
            # Names that differ only in what a clip's name cannot have.
            name = f"{name[: _LONGEST - 7]}-{hashlib.sha256(os.fsencode(stem)).hexdigest()[:6]}"
        fault = ""
        if path != root:
            try:
                inside(root, path.name, str(root), follow=follow)
            except InputError as error:
                fault = str(error)
        entries.append(Entry(ClipInfo(name, name, "test"), path, stem, fault=fault))
    return sorted(entries, key=lambda entry: entry.info.name)


def _numbered(folder: Path) -> bool:
    """Whether a folder holds pictures, each with a number."""
    try:
        files = [p for p in folder.iterdir() if p.suffix.casefold() in pictures.SUFFIXES]
    except OSError:
        return False
    return bool(files) and all(pictures.number_of(p) is not None for p in files)


def _one_series(files: list[Path]) -> bool:
    """Whether pictures differ in the last number of their names alone."""
    if len(files) < 2 or any(pictures.number_of(p) is None for p in files):
        return False
    return len({(re.sub(r"\d+(?!.*\d)", "", p.stem), p.suffix.casefold()) for p in files}) == 1


def _manifest(root: Path, follow: bool) -> list[Entry]:
    """The clips that manifest.csv lists, in its order of names."""
    table = delimited.read(root / "manifest.csv")
    columns = {name.casefold(): i for i, name in enumerate(table.header)}
    strange = [name for name in table.header if name.casefold() not in _COLUMNS]
    if strange:
        hint = did_you_mean(strange[0], _COLUMNS) or "."
        raise InputError(
            f"{table.source}: unknown column {strange[0]!r}{hint} Known are {', '.join(_COLUMNS)}."
        )
    table.column("file")
    entries = []
    nobody = _names_nobody(table, columns.get("subject"))
    for line, cells in table.rows:
        row = {name: cells[i] for name, i in columns.items() if not (nobody and name == "subject")}
        given = {name: text for name, text in row.items() if text not in delimited.UNSAID}
        where = f"{table.source}, line {line}"
        path = _named(root, row["file"], where, follow)
        entries.append(_listed(path, given, where))
    if not entries:
        raise InputError(
            f"{table.source}: lists no clip; add rows, or remove it to use every video file there."
        )
    return sorted(entries, key=lambda e: e.info.name)


def _names_nobody(table: delimited.Table, column: int | None) -> bool:
    """Whether a column of subjects says of everybody that he is not known; beside other names, NA is one."""
    words = {cells[column].casefold() for _, cells in table.rows} if column is not None else set()
    return _NOBODY in words and words <= {_NOBODY, *delimited.UNSAID}


def _named(root: Path, file: str, where: str, follow: bool) -> Path:
    """The file or folder that a row names."""
    if not file:
        raise InputError(f"{where}: file is empty; each row names one video file.")
    path = inside(root, file, where, follow=follow)
    if path.is_symlink() and not path.exists():
        raise InputError(f"{where}: {file!r} is a link to a file that is not there; fetch it first.")
    if not path.is_file() and not path.is_dir():
        raise InputError(f"{where}: the file {file!r} is not in {root}.")
    return path


def _listed(path: Path, given: dict[str, str], where: str) -> Entry:
    """The clip of one row: `given` holds the cells that are not missing."""
    stem = path.resolve().name if path.is_dir() else path.stem
    name = given.get("clip") or safe(stem)
    if name != safe(name):
        raise InputError(
            f"{where}: the clip name {name!r} should have letters, digits, '-', '_' and '.' only "
            f"(up to {_LONGEST}), such as {safe(name)!r}."
        )
    partition = given.get("partition", "test").casefold()
    if partition not in PARTITIONS:
        hint = did_you_mean(partition, PARTITIONS) or "."
        raise InputError(f"{where}: partition should be train, dev or test, but is {partition!r}{hint}")
    damage = given.get("damage", "refuse").casefold()
    if damage not in _DAMAGE:
        hint = did_you_mean(damage, _DAMAGE) or "."
        raise InputError(f"{where}: damage should be refuse or mask, but is {damage!r}{hint}")
    entry = Entry(
        ClipInfo(name, given.get("subject", name), partition),
        path,
        stem,
        damage="mask" if damage == "mask" else "refuse",
    )
    return entry if "fps" not in given else replace(entry, rate=_rate(given["fps"], path, where))


def _rate(text: str, path: Path, where: str) -> float:
    if not path.is_dir():
        raise InputError(f"{where}: fps is for folders of pictures; {path.name} has times of its own.")
    try:
        rate = float(Fraction(text))
    except (ValueError, ZeroDivisionError, OverflowError):
        rate = math.nan
    if not 0 < rate <= 1000:
        raise InputError(
            f"{where}: fps should be pictures a second, such as 25 or 30000/1001, but is {text[:40]!r}."
        )
    return rate
