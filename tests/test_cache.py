"""The cache is believed only as long as it is what was written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rdbench.cache import entries, entry, is_sound


def made(path: Path, calls: list[str]) -> Path:
    def make(part: Path) -> None:
        calls.append("made")
        part.write_bytes(b"content" * 100)

    return entry(path, make)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "emptied": lambda file: file.write_bytes(b""),
    "cut": lambda file: os.truncate(file, 30),
    "flipped": lambda file: file.write_bytes(b"d" + file.read_bytes()[1:]),
    "of the right size": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "gone": lambda file: file.unlink(),
    "without its digest": lambda file: file.with_name(file.name + ".sha256").unlink(),
    "with an empty digest": lambda file: file.with_name(file.name + ".sha256").write_bytes(b""),
    "with garbage for a digest": lambda file: file.with_name(file.name + ".sha256").write_bytes(b"\xff\xfe"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_made_again(tmp_path: Path, damage: str) -> None:
    calls: list[str] = []
    file = made(tmp_path / "deep" / "kept.npz", calls)
    made(file, calls)
    assert calls == ["made"]
    DAMAGES[damage](file)
    assert not is_sound(file)
    made(file, calls)
    assert calls == ["made", "made"]
    assert is_sound(file)
    assert file.read_bytes() == b"content" * 100


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(part: Path) -> None:
        part.write_bytes(b"half")
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        entry(tmp_path / "kept", fail)
    assert list(tmp_path.iterdir()) == []


def test_entries_are_listed_without_digests_and_parts(tmp_path: Path) -> None:
    file = made(tmp_path / "a" / "kept.npz", [])
    (tmp_path / "a" / ".0f.part.npz").touch()
    assert list(entries(tmp_path)) == [file]
