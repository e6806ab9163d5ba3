"""Random faults in running sweeps: the tables of an undisturbed run after at most one repetition, nothing left behind.

``RDBENCH_FAULTS`` sets how many are injected.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from small_runs import TINY, call, group, one_sentence, start, tables, tiny_run, wait_gone

__all__ = ["tiny_run"]

FAULTS = int(os.environ.get("RDBENCH_FAULTS", "300"))


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """Two clips at two factors and two rates."""
    file = tmp_path / "small.toml"
    file.write_text(TINY, encoding="utf-8")
    return file


def children(leader: int) -> list[int]:
    """The program's own workers."""
    return [process for process in group(leader) if process != leader]


def ffmpegs(leader: int) -> list[int]:
    """What the workers have started: each is the head of a group of its own."""
    parents = {leader, *children(leader)}
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) in parents and int(fields[2]) == int(entry.name) and int(entry.name) != leader:
                found.append(int(entry.name))
    return found


def send(number: int, to: Callable[[int], list[int]]) -> Callable[[int, Path, random.Random], None]:
    def inject(leader: int, cache: Path, chance: random.Random) -> None:
        if targets := to(leader):
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(targets), number)

    return inject


def damage(leader: int, cache: Path, chance: random.Random) -> None:
    """Empty, cut or flip one file of the cache."""
    files = [file for file in cache.rglob("*") if file.is_file() and "work" not in file.parts]
    if not files:
        return
    file = chance.choice(files)
    try:
        data = bytearray(file.read_bytes())
        kind = chance.choice(["empty", "cut", "flip", "gone"])
        if kind == "gone":
            file.unlink()
        elif kind == "empty" or not data:
            file.write_bytes(b"")
        elif kind == "cut":
            file.write_bytes(data[: len(data) // 2])
        else:
            data[chance.randrange(len(data))] ^= 0xFF
            file.write_bytes(data)
    except OSError:
        pass


KINDS: dict[str, Callable[[int, Path, random.Random], None]] = {
    "the program is killed": send(signal.SIGKILL, lambda leader: [leader]),
    "the program is terminated": send(signal.SIGTERM, lambda leader: [leader]),
    "the program is interrupted": send(signal.SIGINT, lambda leader: [leader]),
    "a worker is killed": send(signal.SIGKILL, children),
    "a worker is terminated": send(signal.SIGTERM, children),
    "an FFmpeg is killed": send(signal.SIGKILL, ffmpegs),
    "an FFmpeg is terminated": send(signal.SIGTERM, ffmpegs),
    "an FFmpeg hangs": send(signal.SIGSTOP, ffmpegs),
    "a file of the cache is damaged": damage,
}


@pytest.mark.long
@pytest.mark.parametrize("seed", range(FAULTS))
def test_a_fault_costs_at_most_a_repetition(seed: int, short: Path, tiny_run: Path, tmp_path: Path) -> None:
    chance = random.Random(seed)
    kind = list(KINDS)[seed % len(KINDS)]
    cache, run = tmp_path / "cache", tmp_path / "run"
    words = ("run", short, "--out", run, "--jobs", 2, "--keep-bitstreams", "--time-limit", 10)
    process = start(*words, cache=cache)
    time.sleep(chance.uniform(1, 20))
    KINDS[kind](process.pid, cache, chance)
    out, err = process.communicate(timeout=300)
    # At its start and end the system's own way is as good: a shell gives 143 for either.
    killed = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT)
    assert process.returncode in (0, 4, 130, 143, *killed), (kind, out, err)
    assert "Traceback" not in err, (kind, err)
    if process.returncode not in (0, 4, *killed):
        one_sentence(err)
    wait_gone(process.pid)
    again = call(*words, cache=cache)
    assert again.code == 0, (kind, again)
    assert tables(run) == tables(tiny_run), kind
    assert list((cache / "work").iterdir()) == []
    assert not [file for file in run.rglob("*") if ".part" in file.name]
