"""Worker processes, here or on a Dask cluster: started, watched, stopped at once."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, InvalidStateError, ProcessPoolExecutor
from types import FrameType
from typing import Any

from rdbench.errors import InputError, WorkersLostError
from rdbench.machine import interrupts_held, keep_memory
from rdbench.video.process import end_all

__all__ = ["how_it_ended", "killed_by", "local_executor", "notice_interrupts", "remote_executor", "stop"]


def notice_interrupts() -> tuple[threading.Event, Callable[[], None]]:
    """An event that SIGINT and SIGTERM set, and what puts the old handlers back.

    Where Python happens to be in a callback, the exception of a signal is printed and lost.
    """
    noticed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        return noticed, lambda: None
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    restorable = {number: handler for number, handler in before.items() if callable(handler)}

    def notice(number: int, frame: FrameType | None) -> None:
        noticed.set()
        handler = restorable[signal.Signals(number)]
        assert callable(handler)
        handler(number, frame)

    for number in restorable:
        signal.signal(number, notice)

    def restore() -> None:
        for number, handler in restorable.items():
            signal.signal(number, handler)

    return noticed, restore


def how_it_ended(processes: Iterable[Any]) -> str:
    """How the first of some worker processes ended, in words."""
    for process in processes:
        process.join(5)
        code = process.exitcode
        if code is not None and code < 0:
            cause = ", out of memory?" if code == -signal.SIGKILL else ""
            return f"killed by signal {-code}{cause}"
        if code:
            return f"exit code {code}"
    return "out of memory?"


def killed_by(error: Exception) -> bool:
    """Whether Dask gave a task up since workers died of it; it has tried more than once by then."""
    distributed = sys.modules.get("distributed")
    return distributed is not None and isinstance(error, distributed.scheduler.KilledWorker)


def stop(executor: Executor, pending: Iterable[Future[Any]] = ()) -> None:
    # Taken before: an executor that is shut down knows its processes no more.
    workers = list((getattr(executor, "_processes", None) or {}).values())
    results = getattr(executor, "_result_queue", None)
    if not workers:
        for future in pending:
            future.cancel()
    # Those of a pool are left to fail with it: its own thread stumbles over cancelled ones, and prints that.
    executor.shutdown(wait=False)
    for worker in workers:
        worker.terminate()
    # What a worker keeps on the disk can be removed once it is gone.
    for worker in workers:
        worker.join(5)
    if results is not None:
        # Of a worker that was ended while it sent a result, the pool's thread awaits the rest for as long as anybody
        # could still send it: this process would never end.
        results._writer.close()


class _Spawning(ProcessPoolExecutor):
    """A pool whose processes cannot be interrupted, not even while they start."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have a process do something; it is started here, where there is none yet."""
        with interrupts_held():
            return super().submit(fn, *args, **kwargs)


@contextlib.contextmanager
def local_executor(jobs: int) -> Iterator[Callable[[], Executor]]:
    """Executors of one spawned process each on this machine, which ends when this one does."""
    context = multiprocessing.get_context("spawn")

    def fresh() -> Executor:
        return _Spawning(1, mp_context=context, initializer=_start_worker, initargs=(os.getpid(),))

    yield fresh


@contextlib.contextmanager
def remote_executor(address: str) -> Iterator[tuple[Callable[[], Executor], int]]:
    """Executors of one worker each of a Dask cluster, and how many threads these have; each needs rdbench and the data.

    Raises
    ------
    InputError
        If dask.distributed is not installed, or nobody answers at the address.
    WorkersLostError
        When an executor is asked for and there has been no worker for `PATIENCE` seconds, or no scheduler.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError("--scheduler needs dask.distributed: pip install 'rdbench[dask]'.") from error
    try:
        client = Client(address, timeout="10s")
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(f"No Dask scheduler answers at {address!r} ({error}); start one first.") from error
    with contextlib.ExitStack() as stack:
        # A client whose scheduler is gone waits for it for minutes.
        stack.callback(lambda: client.close(timeout=2))
        workers = client.scheduler_info(n_workers=-1)["workers"]
        if not workers:
            raise InputError(f"The Dask scheduler at {address!r} has no workers; start some first.")
        cluster = _Cluster(client, address)
        yield cluster.fresh, sum(int(worker["nthreads"]) for worker in workers.values())


PATIENCE = 60.0
"""Seconds that a run waits for a worker of a cluster that has lost its last one."""


class _Cluster:
    """The workers of a Dask cluster, each with as many executors as it has threads."""

    def __init__(self, client: Any, address: str) -> None:
        self.client, self.address = client, address
        self.taken: Counter[str] = Counter()

    def workers(self) -> dict[str, int]:
        """Threads of each worker that is there now.

        Raises
        ------
        WorkersLostError
            If the scheduler is gone.
        """
        if self.client.status != "running":
            raise WorkersLostError(
                f"The Dask scheduler at {self.address!r} is gone; start it and run the same command again, which goes on "
                "from what was finished."
            )
        listed = self.client.scheduler_info(n_workers=-1)["workers"]
        return {address: int(worker["nthreads"]) for address, worker in listed.items()}

    def fresh(self) -> Executor:
        """An executor on the worker that has the most threads to spare."""
        end = time.monotonic() + PATIENCE
        while not (there := self.workers()):
            if time.monotonic() > end:
                raise WorkersLostError(
                    f"The Dask scheduler at {self.address!r} has had no worker for {PATIENCE:.0f} s; start some and run "
                    "the same command again, which goes on from what was finished."
                )
            time.sleep(0.5)
        place = max(there, key=lambda address: there[address] - self.taken[address])
        self.taken[place] += 1
        return _OneWorker(self, place)


class _OneWorker(Executor):
    """One thread of one worker of a cluster: what it is given does not wander."""

    depth = 1

    def __init__(self, cluster: _Cluster, place: str) -> None:
        self.cluster, self.place = cluster, place
        self._futures: list[Any] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have the worker do something."""
        remote = self.cluster.client.submit(fn, *args, **kwargs, workers=[self.place], pure=False, retries=0)
        local: Future[Any] = Future()
        local.set_running_or_notify_cancel()
        self._futures = [*(future for future in self._futures if not future.done()), remote]

        def hand_over(done: Any) -> None:
            error = done.exception() if not done.cancelled() else BrokenExecutor("it was cancelled")
            with contextlib.suppress(InvalidStateError):
                if error is None:
                    local.set_result(done.result())
                else:
                    local.set_exception(error)

        remote.add_done_callback(hand_over)
        return local

    def alive(self) -> bool:
        """Whether the worker is still there."""
        return self.place in self.cluster.workers()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Give the thread back; what it is at is cancelled."""
        self.cluster.taken[self.place] -= 1
        with contextlib.suppress(Exception):  # a scheduler that is gone cancels nothing
            self.cluster.client.cancel(self._futures, force=True)


def _start_worker(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # FFmpeg takes notice of an ignored signal all the same, but not of one that is blocked: a terminal's Ctrl-C would
    # end it half-way, and its clip would pass for a damaged one.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    keep_memory()
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    end_all()
    os._exit(1)
