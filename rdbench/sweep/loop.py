"""The sweep: conditions become units of work, units go to an executor, rows come back to one store."""

from __future__ import annotations

import concurrent.futures
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import asdict, astuple, dataclass, field
from typing import Any

from rdbench.errors import InputError
from rdbench.machine import sweep_work
from rdbench.sweep.bench import evaluate
from rdbench.sweep.experiment import Condition
from rdbench.sweep.unit import Setup, Unit, UnitResult, look
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


@dataclass
class Progress:
    """How far a sweep is."""

    total: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0
    started: float = field(default_factory=time.monotonic)


Report = Callable[[Progress, str | None], None]


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
    """A unit, or the name of a clip that is to be looked at."""


def sweep(
    setup: Setup,
    clips: Sequence[ClipInfo],
    conditions: Sequence[Condition],
    store: Store,
    open_executor: Callable[[], Executor],
    workers: int,
    report: Report,
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
    return _Sweep(setup, store, open_executor, workers, report).run(clips, conditions)


class _Sweep:
    """What is still to do, what is being done, and by whom."""

    def __init__(
        self,
        setup: Setup,
        store: Store,
        open_executor: Callable[[], Executor],
        workers: int,
        report: Report,
    ) -> None:
        self.setup, self.store, self.report = setup, store, report
        self.open_executor, self.workers = open_executor, workers
        self.progress = Progress()
        self.todo: dict[str, list[Condition]] = {}
        self.sources: dict[str, str] = {}
        self.queue: deque[_Task] = deque()
        self.pending: dict[Future[Any], _Task] = {}
        # Tasks that ran when a worker died: until all of them have ended, one runs at a time.
        self.suspects = 0
        self.idle_breaks = 0

    def run(self, clips: Sequence[ClipInfo], conditions: Sequence[Condition]) -> Summary:
        """Do everything that is left to do of these clips under these conditions."""
        self._plan(clips, conditions)
        self.report(self.progress, None)
        interrupted, restore = notice_interrupts()
        self.executor = self.open_executor()
        try:
            while self.queue or self.pending:
                if interrupted.is_set():
                    raise KeyboardInterrupt
                self._submit_more()
                broken = self._take_results()
                if broken:
                    self._recover(broken)
        except BaseException:
            stop(self.executor, self.pending)
            raise
        finally:
            restore()
        self.executor.shutdown()
        return Summary(self.store.clips(), self.store.failures(), len(self.store.finished()))

    def _plan(self, clips: Sequence[ClipInfo], conditions: Sequence[Condition]) -> None:
        self.store.forget_failures()
        finished, self.sources = self.store.finished(self.setup.keep), self.store.sources()
        known = {row["clip"]: row for row in self.store.clips()}
        self.todo = {
            info.name: [c for c in conditions if (info.name, *astuple(c)) not in finished] for info in clips
        }
        self.progress.total = len(clips) * len(conditions)
        self.progress.done = self.progress.total - sum(map(len, self.todo.values()))
        for info in clips:
            row = known.get(info.name)
            if row is not None and row["state"] == "skipped":
                self._pass_over(row)
            elif self.todo[info.name]:
                self.queue.append(_Task(info.name))

    def _submit_more(self) -> None:
        """Hand out as many tasks as workers and one or two more each can have at once."""
        while self.queue and len(self.pending) < (1 if self.suspects else IN_FLIGHT * self.workers):
            task = self.queue.popleft()
            work: Callable[..., Any] = look if isinstance(task.unit, str) else evaluate
            try:
                self.pending[self.executor.submit(work, self.setup, task.unit)] = task
            except BrokenExecutor:
                self.queue.appendleft(task)
                if not self.pending:
                    # It broke while idle, so no future will tell.
                    self.idle_breaks += 1
                    if self.idle_breaks > MAX_IDLE_BREAKS:
                        raise
                    stop(self.executor)
                    self.executor = self.open_executor()
                return

    def _take_results(self) -> list[_Task]:
        """Store what has come in, and give the tasks that their executor broke under."""
        done, _ = concurrent.futures.wait(
            self.pending, timeout=1, return_when=concurrent.futures.FIRST_COMPLETED
        )
        broken: list[_Task] = []
        # Submitted first, handled first: nothing that is kept depends on it, but progress reads better.
        for future in sorted(done, key=list(self.pending).index):
            task = self.pending.pop(future)
            try:
                outcome = future.result()
            except BrokenExecutor:
                broken.append(task)
                continue
            except Exception as error:
                if not killed_by(error):
                    raise
                self._blame(task)
                continue
            self.idle_breaks = 0
            self.suspects = max(0, self.suspects - 1)
            if isinstance(task.unit, str):
                self._clip_known(outcome)
            else:
                self._unit_done(outcome, task.unit)
            self.report(self.progress, None)
        return broken

    def _recover(self, broken: list[_Task]) -> None:
        """Replace an executor that broke; who broke it is found out by running one task at a time."""
        stop(self.executor)
        self.executor = self.open_executor()
        if self.suspects and len(broken) == 1:
            self._blame(broken[0])
            self.suspects -= 1
            return
        broken += self.pending.values()
        self.pending.clear()
        self.queue.extendleft(reversed(broken))
        self.suspects = len(broken)
        self.report(self.progress, "A worker died (out of memory?); what it was at is tried once more.")

    def _clip_known(self, row: dict[str, Any]) -> None:
        name = row["clip"]
        if row["state"] == "used" and self.sources.get(name, row["source"]) != row["source"]:
            raise InputError(
                f"Clip {name!r} has changed since this run began (file, labels or boxes); "
                "name another folder with --out."
            )
        self.store.add({"clips": [row]})
        if row["state"] != "used":
            self._pass_over(row)
            return
        units = split(name, self.todo[name], row["frames"], row["width"] * row["height"])
        # The units of a clip at the head of the queue: finished clips early, and what is cached of one is warm.
        self.queue.extendleft(_Task(unit) for unit in reversed(units))

    def _pass_over(self, row: dict[str, Any]) -> None:
        self.progress.total -= len(self.todo[row["clip"]])
        self.progress.skipped += 1
        word = "skipped" if row["state"] == "skipped" else "cannot be used"
        self.report(self.progress, f"Clip {row['clip']} {word}: {row['reason']}.")

    def _unit_done(self, result: UnitResult, unit: Unit) -> None:
        # Pictures first: a run that dies in between makes them again.
        for sample in result.rows.pop("samples", []):
            write_samples(self.store.folder, sample["encode"], sample["pictures"], sample["frame"])
        self.store.add(result.rows)
        failed = len(result.rows.get("failures", []))
        self.progress.failed += failed
        self.progress.done += len(unit.conditions) - failed
        self.progress.total -= failed

    def _blame(self, task: _Task) -> None:
        reason = "its worker died twice (out of memory?)"
        if isinstance(task.unit, str):
            row = {"clip": task.unit, "state": "failed", "reason": f"{task.unit}: {reason}"}
            self.store.add({"clips": [row]})
            self._pass_over(row)
            return
        clip = task.unit.clip
        rows = [{"clip": clip, **asdict(condition), "reason": reason} for condition in task.unit.conditions]
        self._unit_done(UnitResult({"failures": rows}), task.unit)
