"""A run that is killed, interrupted or loses workers, at any moment: the same tables in the end."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from small_runs import (
    ENCODES,
    Done,
    finish,
    group,
    one_sentence,
    start,
    tables,
    tiny,
    tiny_run,
    wait_for,
    wait_gone,
    within,
)

from rdbench.tables.store import Store

__all__ = ["tiny", "tiny_run"]


def stored(run: Path) -> int:
    """Encodes that are safe in the store."""
    try:
        connection = sqlite3.connect(f"file:{run / 'run.sqlite'}?mode=ro", uri=True)
        try:
            return int(connection.execute("SELECT COUNT(*) FROM encodes").fetchone()[0])
        finally:
            connection.close()
    except sqlite3.Error:
        return 0


def command(experiment: Path, run: Path) -> tuple[object, ...]:
    return ("run", experiment, "--out", run, "--jobs", 2, "--keep-bitstreams")


def kill(experiment: Path, folder: Path, moment: Callable[[Path], bool], delay: float = 0) -> int:
    """Kill the whole group at a moment, and give how many encodes were stored by then."""
    run, cache = folder / "run", folder / "cache"
    process = start(*command(experiment, run), cache=cache)
    try:
        wait_for(lambda: moment(folder), process)
        time.sleep(delay)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    wait_gone(process.pid)
    return stored(run)


def resume(experiment: Path, folder: Path) -> None:
    run = folder / "run"
    done = finish(start(*command(experiment, run), cache=folder / "cache"))
    assert done.code == 0, done
    assert f"{ENCODES} encodes done, 0 failed" in done.out
    assert not list((folder / "cache" / "work").iterdir())


def hold_equal(run: Path, undisturbed: Path) -> None:
    assert tables(run) == tables(undisturbed)
    for kind in ("bitstreams", "samples"):
        ours = {file.name: file.read_bytes() for file in (run / kind).iterdir() if ".part" not in file.name}
        theirs = {file.name: file.read_bytes() for file in (undisturbed / kind).iterdir()}
        assert ours == theirs


MOMENTS = {
    "while a clip is drawn": lambda folder: any((folder / "cache").rglob("*.part.mkv")),
    "in the middle of the units": lambda folder: stored(folder / "run") >= 3,
}


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(MOMENTS["while a clip is drawn"], marks=pytest.mark.long),
        MOMENTS["in the middle of the units"],
    ],
    ids=MOMENTS.keys(),
)
def test_killed_run_goes_on_to_the_same_tables(
    moment: Callable[[Path], bool], tiny: Path, tiny_run: Path, tmp_path: Path
) -> None:
    kept = kill(tiny, tmp_path, moment)
    assert kept < ENCODES
    if kept:
        # What is stored is whole: an encode never lies there without its scores.
        with sqlite3.connect(tmp_path / "run" / "run.sqlite") as connection:
            query = "SELECT COUNT(*) FROM encodes WHERE encode NOT IN (SELECT encode FROM scores)"
            assert connection.execute(query).fetchone() == (0,)
    resume(tiny, tmp_path)
    hold_equal(tmp_path / "run", tiny_run)


def kill_at_random(random_: random.Random, experiment: Path, folder: Path) -> int:
    """Kill a run by what is done and not by the clock, so that a busy machine is killed as evenly as an idle one."""
    least = random_.randrange(-2, ENCODES)  # below 0: while it starts, before anything can be stored
    delay = random_.uniform(0, 2 if least < 0 else 0.5)
    return kill(experiment, folder, lambda folder: stored(folder / "run") >= least, delay)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_killed_at_a_random_moment(seed: int, tiny: Path, tiny_run: Path, tmp_path: Path) -> None:
    kill_at_random(random.Random(seed), tiny, tmp_path)
    resume(tiny, tmp_path)
    hold_equal(tmp_path / "run", tiny_run)


@pytest.mark.long
def test_killed_at_thirty_random_moments(tiny: Path, tiny_run: Path, tmp_path: Path) -> None:
    random_ = random.Random(20)
    early = 0
    for number in range(30):
        folder = tmp_path / str(number)
        early += kill_at_random(random_, tiny, folder) < ENCODES
        resume(tiny, folder)
        hold_equal(folder / "run", tiny_run)
    assert early >= 15


def test_store_that_was_killed_within_a_commit_is_rolled_back_by_the_next_run(
    tiny_run: Path, tmp_path: Path
) -> None:
    # A hot journal: what SQLite leaves when power goes between its two writes.
    run = tmp_path / "run"
    run.mkdir()
    source = sqlite3.connect(tiny_run / "run.sqlite")
    target = sqlite3.connect(run / "run.sqlite", isolation_level=None)
    source.backup(target)
    source.close()
    target.close()
    child = os.fork()
    if child == 0:
        connection = sqlite3.connect(run / "run.sqlite", isolation_level=None)
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE encodes SET reason = hex(zeroblob(3000))")
        os._exit(0)
    os.waitpid(child, 0)
    assert (run / "run.sqlite-journal").stat().st_size > 0
    with sqlite3.connect(tiny_run / "run.sqlite") as connection:
        identity = dict(connection.execute("SELECT key, value FROM meta"))
    with Store(run, identity) as store:
        assert len(store.finished()) == ENCODES
    assert not (run / "run.sqlite-journal").exists()
    assert tables(run) == tables(tiny_run)


def test_workers_end_when_their_parent_is_killed_alone(tiny: Path, tmp_path: Path) -> None:
    process = start(*command(tiny, tmp_path / "run"), cache=tmp_path / "cache")
    wait_for(lambda: len(group(process.pid)) >= 3, process)  # itself, workers, what keeps their resources
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    end = time.monotonic() + 20
    while group(process.pid) and time.monotonic() < end:
        time.sleep(0.1)
    left = group(process.pid)
    for worker in left:
        os.kill(worker, signal.SIGKILL)
    assert not left
    # The lock went with the parent: the next one may write, and what was stored is whole.
    done = within("status", tmp_path / "run", "--format", "json")
    assert done.code == 0, done


def unfinished(run: Path) -> int:
    return int(json.loads(within("status", run, "--format", "json").out)["unfinished"])


def interrupt(experiment: Path, folder: Path) -> Done | None:
    """Interrupt a run while its workers work, and how it ends; None where it was done before that."""
    run = folder / "run"
    process = start(*command(experiment, run), cache=folder / "cache")
    wait_for(lambda: (run / "run.sqlite").exists() and len(group(process.pid)) >= 3, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to all of them
    done = finish(process, timeout=60)
    wait_gone(process.pid)
    return None if done.code == 0 and stored(run) == ENCODES else done


@pytest.mark.long
def test_interrupted_run_says_so_and_goes_on(tiny: Path, tiny_run: Path, tmp_path: Path) -> None:
    for attempt in range(5):
        folder = tmp_path / str(attempt)
        done = interrupt(tiny, folder)
        if done is not None:
            break
    assert done is not None, "all attempts came when the run was done"
    assert done.code == 130, done
    assert one_sentence(done.err) == (
        "rdbench: Interrupted: what was finished is kept; the same command goes on from there."
    )
    made = stored(folder / "run")
    assert 0 <= made <= ENCODES
    assert unfinished(folder / "run") == ENCODES - made
    resume(tiny, folder)
    assert unfinished(folder / "run") == 0
    hold_equal(folder / "run", tiny_run)
