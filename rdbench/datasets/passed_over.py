"""What a folder holds beside its clips, and clips that are not as independent as their subjects say."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from rdbench.datasets.entries import SIDES, Entry, is_recording
from rdbench.errors import ClipError
from rdbench.video.pictures import picture_files

__all__ = ["notes"]

_MOST_NAMES = 5


def notes(root: Path, entries: Sequence[Entry], *, alone: bool = False) -> list[str]:
    """Sentences for whoever uses a folder.

    Parameters
    ----------
    root : Path
    entries : sequence of Entry
    alone : bool
        Whether the set is one file: its neighbours are none of it.
    """
    sentences = [] if alone else [_left_out(root, entries), *_without_clip(root, entries)]
    series = [entry for entry in entries if entry.pictures]
    if series:
        rates = _few(sorted({f"{entry.rate:g}" for entry in series}))
        sentences.append(
            f"{_count(len(series), 'folder')} of numbered pictures: taken for recordings of {rates} pictures a second "
            f"({_few(entry.info.name for entry in series)}); column fps of manifest.csv says otherwise."
        )
    return [text for text in [*sentences, *_copies(entries), *_across(entries)] if text]


def _left_out(root: Path, entries: Sequence[Entry]) -> str:
    """Files that are no clips, counted by kind in one line."""
    used = {entry.file.resolve() for entry in entries}
    if root.resolve() in used:
        used |= {path.resolve() for path in root.iterdir() if is_recording(path) and path.suffix}
    kinds: Counter[str] = Counter()
    for path in root.iterdir():
        if path.name.startswith(".") or path.name == "manifest.csv" or path.resolve() in used:
            continue
        if path.is_dir():
            if path.name not in SIDES and not any(p.is_relative_to(path.resolve()) for p in used):
                kinds["folder"] += 1
        else:
            kinds[path.suffix.casefold() or "without a suffix"] += 1
    if not kinds:
        return ""
    named = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    listed = " or not in manifest.csv" if (root / "manifest.csv").exists() else ""
    many = sum(kinds.values())
    return f"Passed over in {root}: {many} that {'is no clip' if many == 1 else 'are no clips'}{listed} ({named})."


def _without_clip(root: Path, entries: Sequence[Entry]) -> Iterable[str]:
    names = {name for entry in entries for name in (entry.info.name, entry.stem)}
    for kind in SIDES:
        spare = sorted(p.name for p in (root / kind).glob("*.csv") if p.stem not in names)
        if spare:
            yield f"Passed over in {root / kind}: {_count(len(spare), 'table')} of no clip ({_few(spare)})."


def _copies(entries: Sequence[Entry]) -> Iterable[str]:
    """Clips that are one recording."""
    for group in _same(entries):
        names = _few(entry.info.name for entry in group)
        subjects = sorted({entry.info.subject for entry in group})
        text = f"The same recording is in {len(group)} clips ({names})"
        if len(subjects) > 1:
            text += (
                f" under {len(subjects)} subjects ({_few(subjects)}): intervals take subjects for independent, so they "
                "come out too narrow"
            )
        yield f"{text}."


def _same(entries: Sequence[Entry]) -> Iterable[list[Entry]]:
    sizes: dict[tuple[int, ...], list[Entry]] = defaultdict(list)
    for entry in entries:
        try:
            sizes[tuple(p.stat().st_size for p in _files(entry))].append(entry)
        except OSError:
            continue
    for alike in sizes.values():
        if len(alike) < 2:
            continue
        contents: dict[str, list[Entry]] = defaultdict(list)
        for entry in alike:
            contents[_digest(entry)].append(entry)
        yield from (group for digest, group in contents.items() if digest and len(group) > 1)


def _files(entry: Entry) -> list[Path]:
    """The files of a clip; of a folder of pictures that is wrong in itself, none."""
    if not entry.pictures:
        return [entry.file]
    try:
        return picture_files(entry.file)
    except ClipError as error:
        raise OSError(str(error)) from error


def _digest(entry: Entry) -> str:
    whole = hashlib.sha256()
    try:
        for path in _files(entry):
            with path.open("rb") as stream:
                whole.update(hashlib.file_digest(stream, "sha256").digest())
    except OSError:
        return ""
    return whole.hexdigest()


def _across(entries: Sequence[Entry]) -> Iterable[str]:
    """Subjects that are in more than one partition."""
    where: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        where[entry.info.subject].add(entry.info.partition)
    torn = sorted(subject for subject, partitions in where.items() if len(partitions) > 1)
    if torn:
        yield (
            f"{_count(len(torn), 'subject')} in more than one partition ({_few(torn)}): what is learned or chosen in one "
            "is no news in the other."
        )


def _count(number: int, one: str) -> str:
    return f"{number} {one}{'s' * (number != 1)}"


def _few(names: Iterable[str]) -> str:
    listed = list(names)
    more = f", ... {len(listed) - _MOST_NAMES} more" if len(listed) > _MOST_NAMES else ""
    return ", ".join(listed[:_MOST_NAMES]) + more
