"""The sweep: conditions become units of work, units go to an executor, rows come back to one store."""

from __future__ import annotations

import concurrent.futures
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import asdict, dataclass, field
from typing import Any

from rdbench.errors import InputError
from rdbench.machine import sweep_work
from rdbench.sweep.experiment import Condition
from rdbench.sweep.unit import Setup, Unit, UnitResult, evaluate, look
from rdbench.sweep.workers import killed_by, notice_interrupts, stop
from rdbench.tables.pictures import write_samples
from rdbench.tables.store import Store
from rdbench.video.clip import ClipInfo

__all__ = ["Progress", "Summary", "split", "sweep"]

UNIT_PIXELS = 1.5e9
"""Pixels coded in one unit (about half a minute): more is lost when a run is killed, less costs more start-up."""

OVERHEAD_PIXELS = 1e7
IN_FLIGHT = 3
MAX_IDLE_BREAKS = 3

Key = tuple[Any, ...]


@dataclass
class Progress:
    """How far a sweep is."""

    total: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0
    started: float = field(default_factory=time.monotonic)


@dataclass
class Summary:
    """How a sweep ended.

    Parameters
    ----------
    clips : list of dict
        Rows of `clips`.
    failures : list of dict
        Rows of `failures`.
    encodes : int
        Encodes that are done, earlier runs included.
    """

    clips: list[dict[str, Any]]
    failures: list[dict[str, Any]]
    encodes: int


def split(clip: str, conditions: Sequence[Condition], frames: int, pixels: int) -> list[Unit]:
    """Units of one clip: conditions that share a region and a factor, no more than a unit may lose.

    Parameters
    ----------
    clip : str
    conditions : sequence of Condition
    frames : int
    pixels : int
        Of one picture at factor 1.
    """
    groups: dict[tuple[str, int], list[Condition]] = {}
    for condition in conditions:
        groups.setdefault((condition.region, condition.factor), []).append(condition)
    units = []
    for (region, factor), members in groups.items():
        cost = frames * pixels / factor**2 + OVERHEAD_PIXELS
        size = max(1, int(UNIT_PIXELS / cost))
        for start in range(0, len(members), size):
            units.append(Unit(clip, region, factor, tuple(members[start : start + size])))
    return units


@dataclass
class _Task:
    unit: Unit | str


def sweep(
    setup: Setup,
    clips: Sequence[ClipInfo],
    conditions: Sequence[Condition],
    store: Store,
    open_executor: Callable[[], Executor],
    workers: int,
    report: Callable[[Progress, str | None], None],
) -> Summary:
    """Carry out everything that the store does not hold yet.

    Parameters
    ----------
    setup : Setup
    clips : sequence of ClipInfo
    conditions : sequence of Condition
    store : Store
    open_executor : callable
        Gives a fresh executor; called again if one breaks.
    workers : int
    report : callable
        Called with the progress and, at times, a sentence to print.

    Raises
    ------
    InputError
        If a clip has changed since an earlier part of this run.
    KeyboardInterrupt
        What was finished is kept.
    """
    sweep_work()
    store.forget_failures()
    finished, sources = store.finished(setup.keep), store.sources()
    told = {row["clip"]: row for row in store.clips()}
    todo = {info.name: [c for c in conditions if _key(info.name, c) not in finished] for info in clips}
    progress = Progress(total=len(clips) * len(conditions))
    progress.done = progress.total - sum(map(len, todo.values()))
    queue: deque[_Task] = deque()
    for info in clips:
        known = told.get(info.name)
        if known is not None and known["state"] == "skipped":
            _pass_over(progress, known, len(todo[info.name]), report)
        elif todo[info.name]:
            queue.append(_Task(info.name))
    report(progress, None)
    interrupted, restore = notice_interrupts()
    executor = open_executor()
    pending: dict[Future[Any], _Task] = {}
    suspects = idle_breaks = 0
    try:
        while queue or pending:
            if interrupted.is_set():
                raise KeyboardInterrupt
            while queue and len(pending) < (1 if suspects else IN_FLIGHT * workers):
                task = queue.popleft()
                try:
                    pending[_submit(executor, setup, task)] = task
                except BrokenExecutor:
                    queue.appendleft(task)
                    if not pending:
                        # It broke while idle, so no future will tell.
                        idle_breaks += 1
                        if idle_breaks > MAX_IDLE_BREAKS:
                            raise
                        stop(executor)
                        executor = open_executor()
                    break
            done, _ = concurrent.futures.wait(
                pending, timeout=1, return_when=concurrent.futures.FIRST_COMPLETED
            )
            broken: list[_Task] = []
            # Submitted first, handled first: nothing that is kept depends on it, but progress reads better.
            for future in sorted(done, key=list(pending).index):
                task = pending.pop(future)
                try:
                    outcome = future.result()
                except BrokenExecutor:
                    broken.append(task)
                    continue
                except Exception as error:
                    if not killed_by(error):
                        raise
                    _blame(task, todo, store, progress, report)
                    continue
                idle_breaks = 0
                suspects = max(0, suspects - 1)
                if isinstance(task.unit, str):
                    _clip_known(outcome, todo, sources, store, progress, queue, report)
                else:
                    _unit_done(outcome, task.unit, store, progress)
                report(progress, None)
            if broken:
                stop(executor)
                executor = open_executor()
                if suspects and len(broken) == 1:
                    _blame(broken[0], todo, store, progress, report)
                    suspects -= 1
                else:
                    # One of these killed its worker; one at a time tells which.
                    broken += pending.values()
                    pending.clear()
                    queue.extendleft(reversed(broken))
                    suspects = len(broken)
                    report(progress, "A worker died (out of memory?); what it was at is tried once more.")
    except BaseException:
        stop(executor, pending)
        raise
    finally:
        restore()
    executor.shutdown()
    return Summary(store.clips(), store.failures(), len(store.finished()))


def _key(clip: str, condition: Condition) -> Key:
    return (
        clip,
        condition.region,
        condition.factor,
        condition.codec,
        condition.variant,
        condition.mode,
        condition.rate,
    )


def _submit(executor: Executor, setup: Setup, task: _Task) -> Future[Any]:
    if isinstance(task.unit, str):
        return executor.submit(look, setup, task.unit)
    return executor.submit(evaluate, setup, task.unit)


def _clip_known(
    row: dict[str, Any],
    todo: dict[str, list[Condition]],
    sources: dict[str, str],
    store: Store,
    progress: Progress,
    queue: deque[_Task],
    report: Callable[[Progress, str | None], None],
) -> None:
    name = row["clip"]
    if row["state"] == "used" and sources.get(name, row["source"]) != row["source"]:
        raise InputError(
            f"Clip {name!r} has changed since this run began (file, labels or boxes); "
            "name another folder with --out."
        )
    store.add({"clips": [row]})
    if row["state"] != "used":
        _pass_over(progress, row, len(todo[name]), report)
        return
    units = split(name, todo[name], row["frames"], row["width"] * row["height"])
    # The units of a clip at the head of the queue: finished clips early, and what is cached of one is warm.
    queue.extendleft(_Task(unit) for unit in reversed(units))


def _pass_over(
    progress: Progress, row: dict[str, Any], left: int, report: Callable[[Progress, str | None], None]
) -> None:
    progress.total -= left
    progress.skipped += 1
    word = "skipped" if row["state"] == "skipped" else "cannot be used"
    report(progress, f"Clip {row['clip']} {word}: {row['reason']}.")


def _unit_done(result: UnitResult, unit: Unit, store: Store, progress: Progress) -> None:
    # Pictures first: a run that dies in between makes them again.
    for sample in result.rows.pop("samples", []):
        write_samples(store.folder, sample["encode"], sample["pictures"], sample["frame"])
    store.add(result.rows)
    failed = len(result.rows.get("failures", []))
    progress.failed += failed
    progress.done += len(unit.conditions) - failed
    progress.total -= failed


def _blame(
    task: _Task,
    todo: dict[str, list[Condition]],
    store: Store,
    progress: Progress,
    report: Callable[[Progress, str | None], None],
) -> None:
    reason = "its worker died twice (out of memory?)"
    if isinstance(task.unit, str):
        row = {"clip": task.unit, "state": "failed", "reason": f"{task.unit}: {reason}"}
        store.add({"clips": [row]})
        _pass_over(progress, row, len(todo[task.unit]), report)
        return
    clip = task.unit.clip
    rows = [{"clip": clip, **asdict(condition), "reason": reason} for condition in task.unit.conditions]
    _unit_done(UnitResult({"failures": rows}), task.unit, store, progress)
