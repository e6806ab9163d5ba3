"""The sweep: conditions become tasks, tasks go to lanes of workers, rows come back to one store one by one."""

from __future__ import annotations

import concurrent.futures
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass, field, replace
from typing import Any

from rdbench.errors import ClipError, InputError
from rdbench.machine import sweep_work, work_folder
from rdbench.sweep.bench import evaluate, let_go
from rdbench.sweep.experiment import Condition
from rdbench.sweep.limits import Costs
from rdbench.sweep.unit import Setup, Unit, UnitResult, look
from rdbench.sweep.workers import how_it_ended, killed_by, notice_interrupts, stop
from rdbench.tables.pictures import forget_samples, write_samples
from rdbench.tables.store import Store
from rdbench.video.clip import ClipInfo

__all__ = ["Progress", "Summary", "split", "sweep"]

DEPTH = 2
"""Tasks that a worker is given at once: one to do, and one so that it need not wait for the next."""

MAX_IDLE_BREAKS, MAX_DEATHS = 3, 2
TICK = 1.0


@dataclass
class Progress:
    """How far a sweep is.

    Parameters
    ----------
    total, done, failed, skipped : int
        Encodes; `skipped` counts clips.
    started : float
        On the monotonic clock.
    left : float or None
        Seconds that the rest will take, by what was measured; None where nothing was yet.
    longest : str
        What has been running longest, and for how long; empty where nothing runs.
    """

    total: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0
    started: float = field(default_factory=time.monotonic)
    left: float | None = None
    longest: str = ""


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
    misses : list of dict
        See `rdbench.tables.store.Store.misses`.
    """

    clips: list[dict[str, Any]]
    failures: list[dict[str, Any]]
    encodes: int
    misses: list[dict[str, Any]]


def split(clip: str, conditions: Sequence[Condition]) -> list[Unit]:
    """Units of one clip: conditions that share a region and a factor, and so the downsampled pictures."""
    groups: dict[tuple[str, int], list[Condition]] = {}
    for condition in conditions:
        groups.setdefault((condition.region, condition.factor), []).append(condition)
    return [Unit(clip, region, factor, tuple(members)) for (region, factor), members in groups.items()]


@dataclass
class _Task:
    """One encode, or the look at one clip.

    Parameters
    ----------
    unit : Unit or str
        A unit of one condition, or the name of a clip.
    deaths : int
        Workers that died of it, as it seems.
    started : float or None
        When it was given to a worker that had nothing else to do.
    """

    unit: Unit | str
    deaths: int = 0
    started: float | None = None

    def __str__(self) -> str:
        if isinstance(self.unit, str):
            return f"{self.unit}: its pictures and faces"
        condition = self.unit.conditions[0]
        what = f"{condition.codec} {condition.mode} {condition.rate:g}" if condition.coded else "uncoded"
        return f"{self.unit.clip}: {what}, {condition.region} factor {condition.factor}"


@dataclass
class _Lane:
    """One worker, what it is at, and the rest of the unit that it works on."""

    number: int
    executor: Executor
    running: dict[Future[Any], _Task] = field(default_factory=dict)
    rest: deque[_Task] = field(default_factory=deque)

    @property
    def depth(self) -> int:
        return int(getattr(self.executor, "depth", DEPTH))

    @property
    def lost(self) -> bool:
        alive = getattr(self.executor, "alive", None)
        return alive is not None and bool(self.running) and not alive()


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
        Gives a fresh executor that does one thing at a time; called for each worker, and again where one breaks.
    workers : int
    report : callable
        Called with the progress and, at times, a sentence to print.

    Raises
    ------
    InputError
        If a clip is not there any more, or changes while the run goes on.
    KeyboardInterrupt
        What was finished is kept.
    """
    sweep_work()
    with work_folder():
        pass  # a cache that cannot be written is no fault of any clip
    try:
        return _Sweep(setup, store, open_executor, workers, report).run(clips, conditions)
    finally:
        let_go(setup)
        sweep_work()


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
        self.pixels: dict[str, float] = {}
        self.costs = Costs()
        self.queue: deque[deque[_Task]] = deque()
        self.lanes: list[_Lane] = []
        self.idle_breaks = 0

    def run(self, clips: Sequence[ClipInfo], conditions: Sequence[Condition]) -> Summary:
        """Do everything that is left to do of these clips under these conditions."""
        self._plan(clips, conditions)
        self.report(self.progress, None)
        interrupted, restore = notice_interrupts()
        try:
            while self.queue or any(lane.running or lane.rest for lane in self.lanes):
                if interrupted.is_set():
                    raise KeyboardInterrupt
                self._hand_out()
                self._take_in()
            self._release()
        except BaseException:
            for lane in self.lanes:
                stop(lane.executor, lane.running)
            raise
        finally:
            restore()
        for lane in self.lanes:
            lane.executor.shutdown()
        store = self.store
        return Summary(store.clips(), store.failures(), len(store.finished()), store.misses())

    def _plan(self, clips: Sequence[ClipInfo], conditions: Sequence[Condition]) -> None:
        self._compare(clips)
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
                self.queue.append(deque([_Task(info.name)]))

    def _compare(self, clips: Sequence[ClipInfo]) -> None:
        """Forget the rows of clips that are not what they were; refuse to go on where one is there no more."""
        stored = self.store.encodes_by_clip()
        known = {row["clip"]: row for row in self.store.clips()}
        here = {info.name for info in clips}
        if gone := sorted({*stored, *known} - here):
            raise InputError(
                f"{self.store.folder} holds {len(stored.get(gone[0], []))} encodes of the clip {gone[0]!r}, which the "
                "dataset does not have there any more; bring it back, or name another folder with --out."
            )
        for name, content in self._contents(sorted({*stored, *known} & here), stored).items():
            if name in known and known[name]["content"] == content:
                continue
            rescored = self.store.forget_clip(name)
            encodes = stored.get(name, [])
            forget_samples(self.store.folder, encodes)
            lost = "; rescored rows are gone: run rdbench rescore again" if rescored else ""
            self.report(
                self.progress,
                f"Clip {name} is not what it was (pictures, labels, boxes, times, subject or partition): "
                f"its {len(encodes)} encodes are done anew{lost}.",
            )

    def _contents(self, names: Sequence[str], stored: Collection[str]) -> dict[str, str]:
        """What the dataset says of clips now, as content hashes."""

        def content(name: str) -> str:
            try:
                return self.setup.dataset.content(name)
            except (ClipError, OSError) as error:
                if name not in stored:
                    return ""
                raise InputError(
                    f"The clip {name!r}, of which {self.store.folder} holds encodes, cannot be read any more ({error}); "
                    "mend it, or name another folder with --out."
                ) from error

        with ThreadPoolExecutor(4) as readers:
            return dict(zip(names, readers.map(content, names), strict=True))

    def _hand_out(self) -> None:
        """Give every worker something to do, where there is anything."""
        while len(self.lanes) < self.workers and len(self.lanes) < self._tasks_left():
            self.lanes.append(_Lane(len(self.lanes), self.open_executor()))
        for lane in self.lanes:
            while len(lane.running) < lane.depth and (lane.rest or self._find_work(lane)):
                task = lane.rest.popleft()
                extra = () if isinstance(task.unit, str) else (lane.number,)
                work: Callable[..., Any] = look if isinstance(task.unit, str) else evaluate
                try:
                    future = lane.executor.submit(work, self.setup, task.unit, *extra)
                except BrokenExecutor:
                    lane.rest.appendleft(task)
                    if lane.running:
                        break  # its futures tell
                    self.idle_breaks += 1
                    if self.idle_breaks > MAX_IDLE_BREAKS:
                        raise
                    self._replace(lane)
                    continue
                task.started = None if lane.running else time.monotonic()
                lane.running[future] = task

    def _tasks_left(self) -> int:
        return sum(map(len, self.queue)) + sum(len(lane.running) + len(lane.rest) for lane in self.lanes)

    def _find_work(self, lane: _Lane) -> bool:
        """The next unit; where there is none, half of what another worker has before it."""
        if self.queue:
            lane.rest = self.queue.popleft()
            return True
        busiest = max(self.lanes, key=lambda other: len(other.rest))
        # Its pictures have to be made once more: not worth it for a task or two.
        take = len(busiest.rest) // 2 if lane.running or len(busiest.rest) > 1 else len(busiest.rest)
        for _ in range(0 if busiest is lane else take):
            lane.rest.appendleft(busiest.rest.pop())
        return bool(lane.rest)

    def _take_in(self) -> None:
        """Store what has come in, and see to workers that are gone."""
        futures = {future: lane for lane in self.lanes for future in lane.running}
        done, _ = concurrent.futures.wait(
            futures, timeout=TICK, return_when=concurrent.futures.FIRST_COMPLETED
        )
        broken: dict[int, _Lane] = {}
        for future in [future for future in futures if future in done]:
            lane = futures[future]
            task = lane.running[future]
            try:
                outcome = future.result()
            except (BrokenExecutor, concurrent.futures.CancelledError):
                broken[lane.number] = lane
                continue
            except Exception as error:
                if not killed_by(error):
                    raise
                del lane.running[future]
                self._blame(task, "every worker that tried it died (out of memory?)")
                continue
            del lane.running[future]
            self.idle_breaks = 0
            for waiting in lane.running.values():
                waiting.started = waiting.started or time.monotonic()
            if isinstance(task.unit, str):
                self._clip_known(outcome)
            else:
                self._encode_done(outcome, task.unit)
        for lane in self.lanes:
            if lane.number in broken or lane.lost:
                self._recover(lane)
        self._tell()

    def _recover(self, lane: _Lane) -> None:
        """Replace a worker that died, and see whether the task that it was at is to blame."""
        how = how_it_ended((getattr(lane.executor, "_processes", None) or {}).values())
        tasks = list(lane.running.values())
        lane.running.clear()
        culprit = tasks[0]
        culprit.deaths += 1
        again = tasks
        if culprit.deaths >= MAX_DEATHS:
            self._blame(culprit, f"its worker died twice ({how})")
            again = tasks[1:]
        else:
            self.report(self.progress, f"A worker died ({how}) at {culprit}; that is tried once more.")
        lane.rest.extendleft(reversed(again))
        self._replace(lane)

    def _replace(self, lane: _Lane) -> None:
        stop(lane.executor)
        lane.executor = self.open_executor()

    def _release(self) -> None:
        """Let workers that outlive this run remove what they keep of it."""
        with suppress(BrokenExecutor, RuntimeError):
            last = [lane.executor.submit(let_go, self.setup) for lane in self.lanes]
            concurrent.futures.wait(last, timeout=10)

    def _clip_known(self, row: dict[str, Any]) -> None:
        name = row["clip"]
        if row["state"] == "used" and self.sources.get(name, row["source"]) != row["source"]:
            raise InputError(
                f"Clip {name!r} has changed while this run went on (file, labels or boxes); run the same command again."
            )
        self.store.add({"clips": [row]})
        if row["state"] != "used":
            self._pass_over(row)
            return
        self.sources[name] = row["source"]
        self.pixels[name] = float(row["frames"] * row["width"] * row["height"])
        units = split(name, self.todo[name])
        # The units of a clip at the head of the queue: finished clips early, and what is cached of one is warm.
        for unit in reversed(units):
            self.queue.appendleft(
                deque(_Task(replace(unit, conditions=(condition,))) for condition in unit.conditions)
            )

    def _pass_over(self, row: dict[str, Any]) -> None:
        self.progress.total -= len(self.todo[row["clip"]])
        self.progress.skipped += 1
        word = "skipped" if row["state"] == "skipped" else "cannot be used"
        self.report(self.progress, f"Clip {row['clip']} {word}: {row['reason']}.")

    def _encode_done(self, result: UnitResult, unit: Unit) -> None:
        for row in result.rows.get("encodes", []):
            if row["source"] != self.sources.get(unit.clip, row["source"]):
                raise InputError(
                    f"Clip {unit.clip!r} has changed while this run went on; run the same command again."
                )
        # Pictures first: a run that dies in between makes them again.
        for sample in result.rows.pop("samples", []):
            write_samples(self.store.folder, sample["encode"], sample["pictures"], sample["frame"])
        self.store.add(result.rows)
        for timing in result.rows.get("timings", []):
            condition = unit.conditions[0]
            self.costs.note(condition, self._pixels(unit.clip, condition), timing["seconds"])
        failed = len(result.rows.get("failures", []))
        self.progress.failed += failed
        self.progress.done += len(unit.conditions) - failed
        self.progress.total -= failed

    def _pixels(self, clip: str, condition: Condition) -> float:
        usual = sum(self.pixels.values()) / len(self.pixels) if self.pixels else 0.0
        return self.pixels.get(clip, usual) / condition.factor**2

    def _tell(self) -> None:
        """Report how far it is, what has run longest, and how long the rest will take."""
        now = time.monotonic()
        running = [task for lane in self.lanes for task in lane.running.values() if task.started is not None]
        longest = min(running, key=lambda task: task.started or now, default=None)
        self.progress.longest = ""
        if longest is not None and longest.started is not None:
            self.progress.longest = f"{longest}, {now - longest.started:.0f} s"
        waiting = [task for rest in self.queue for task in rest]
        waiting += [task for lane in self.lanes for task in (*lane.rest, *lane.running.values())]
        seconds = 0.0
        for task in waiting:
            clip = task.unit if isinstance(task.unit, str) else task.unit.clip
            for condition in self.todo[clip] if isinstance(task.unit, str) else task.unit.conditions:
                seconds += self.costs.expected(condition, self._pixels(clip, condition))
        self.progress.left = seconds / max(1, self.workers) if self.progress.done else None
        self.report(self.progress, None)

    def _blame(self, task: _Task, reason: str) -> None:
        if isinstance(task.unit, str):
            row = {"clip": task.unit, "state": "failed", "reason": f"{task.unit}: {reason}"}
            self.store.add({"clips": [row]})
            self._pass_over(row)
            return
        clip = task.unit.clip
        rows = [{"clip": clip, **asdict(condition), "reason": reason} for condition in task.unit.conditions]
        self._encode_done(UnitResult({"failures": rows}), task.unit)
