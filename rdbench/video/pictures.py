"""Numbered pictures in a folder as one recording, and a picture as a recording of one frame."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rdbench.errors import ClipError

__all__ = [
    "FIRST_RATE",
    "SUFFIXES",
    "is_pictures",
    "linked",
    "number_of",
    "picture_files",
    "picture_times",
    "reachable",
]

SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in ("png", "jpg", "jpeg", "bmp", "tif", "tiff", "webp", "ppm", "pgm", "pnm", "jp2", "tga")
)
"""Files that are one picture each."""

FIRST_RATE = 25.0
"""Pictures a second where nobody says."""

_NUMBER = re.compile(r"(\d+)(?!.*\d)")


def is_pictures(file: Path) -> bool:
    """Whether a clip's file is a picture or a folder of them."""
    return file.suffix.casefold() in SUFFIXES or file.is_dir()


def number_of(file: Path) -> int | None:
    """The last number in a picture's name, None where it has none."""
    found = _NUMBER.search(file.stem)
    return int(found[1]) if found else None


def picture_files(file: Path) -> list[Path]:
    """Pictures of a recording by their numbers; a picture by itself is the only one.

    Raises
    ------
    ClipError
        If a folder has none, of several kinds, without a number, or two of one number.
    """
    if not file.is_dir():
        return [file]
    files = [p for p in file.iterdir() if p.suffix.casefold() in SUFFIXES and not p.name.startswith(".")]
    if not files:
        raise ClipError(f"{file.name}: the folder has no pictures.")
    kinds = sorted({p.suffix.casefold() for p in files})
    if len(kinds) > 1:
        raise ClipError(
            f"{file.name}: the folder has pictures of several kinds ({', '.join(kinds)}); keep one."
        )
    numbered: dict[int, Path] = {}
    for path in sorted(files):
        number = number_of(path)
        if number is None:
            raise ClipError(f"{file.name}: the picture {path.name!r} has no number in its name.")
        other = numbered.setdefault(number, path)
        if other is not path:
            raise ClipError(f"{file.name}: {other.name!r} and {path.name!r} have the same number.")
    return [numbered[number] for number in sorted(numbered)]


def picture_times(file: Path, rate: float) -> NDArray[np.float64]:
    """Seconds of each picture since the first: a number that is missing is a picture that is missing."""
    numbers = [number_of(path) or 0 for path in picture_files(file)]
    return (np.array(numbers, dtype=np.float64) - numbers[0]) / rate


@contextlib.contextmanager
def linked(file: Path) -> Iterator[str]:
    """A pattern of names that FFmpeg's reader of pictures takes: links, numbered without a gap, for a while."""
    files = picture_files(file)
    with tempfile.TemporaryDirectory(prefix="rdbench-") as folder:
        for index, path in enumerate(files):
            (Path(folder) / f"{index:08d}{path.suffix.casefold()}").symlink_to(path.resolve())
        yield f"{folder}/%08d{files[0].suffix.casefold()}"


@contextlib.contextmanager
def reachable(file: Path) -> Iterator[Path]:
    """The file by a name that is UTF-8, which libraries ask for: its own, or for a while that of a link."""
    try:
        str(file.resolve()).encode()
    except UnicodeEncodeError:
        with tempfile.TemporaryDirectory(prefix="rdbench-") as folder:
            link = Path(folder) / f"clip{file.suffix if file.suffix.isascii() else ''}"
            link.symlink_to(file.resolve())
            yield link
    else:
        yield file.resolve()
