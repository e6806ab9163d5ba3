"""What can be made again and is kept: files that are believed only as long as they are what was written.

Beside each lies its digest (``NAME.sha256``), written after it: a file that was cut by a full disk or a power cut,
emptied, or changed by anybody has another one, and is made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from rdbench.files import digest_of, replacing

__all__ = ["entries", "entry", "is_sound", "seal"]

_SEAL = ".sha256"


def entry(file: Path, make: Callable[[Path], object]) -> Path:
    """A file of the cache, made where it is not there or is not what was written.

    Parameters
    ----------
    file : Path
    make : callable
        Writes the content to the path that it is given; what it raises leaves nothing behind.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    if not is_sound(file):
        with replacing(file, durable=True) as part:
            make(part)
        seal(file)
    return file


def seal(file: Path) -> None:
    """Put down what a file was when it was written."""
    with replacing(file.with_name(file.name + _SEAL), durable=True) as part:
        part.write_text(digest_of(file), encoding="ascii")


def is_sound(file: Path) -> bool:
    """Whether a file is there and is what was written."""
    try:
        return file.with_name(file.name + _SEAL).read_text(encoding="ascii") == digest_of(file)
    except (OSError, UnicodeDecodeError):
        return False


def entries(folder: Path) -> Iterator[Path]:
    """Everything that is kept below a folder, in a fixed order."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.is_symlink() and file.suffix != _SEAL and ".part" not in file.suffixes:
            yield file
