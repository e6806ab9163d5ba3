"""Worker processes, here or on a Dask cluster: started, watched, stopped at once."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from types import FrameType
from typing import Any

from rdbench.errors import InputError
from rdbench.machine import keep_memory
from rdbench.video.process import end_all

__all__ = ["killed_by", "local_executor", "notice_interrupts", "remote_executor", "stop"]


def notice_interrupts() -> tuple[threading.Event, Callable[[], None]]:
    """An event that an interrupt sets, and what puts the old handler back.

    Where Python happens to be in a callback, the exception of an interrupt is printed and lost.
    """
    noticed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        return noticed, lambda: None
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        return noticed, lambda: None

    def notice(number: int, frame: FrameType | None) -> None:
        noticed.set()
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, notice)

    def restore() -> None:
        signal.signal(signal.SIGINT, before)

    return noticed, restore


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
    if results is not None:
        # Of a worker that was ended while it sent a result, the pool's thread awaits the rest for as long as anybody
        # could still send it: this process would never end.
        results._writer.close()


@contextlib.contextmanager
def local_executor(jobs: int) -> Iterator[Callable[[], Executor]]:
    """Spawned worker processes on this machine, which end when this one does."""
    context = multiprocessing.get_context("spawn")

    def fresh() -> Executor:
        return ProcessPoolExecutor(
            jobs, mp_context=context, initializer=_start_worker, initargs=(os.getpid(),)
        )

    yield fresh


@contextlib.contextmanager
def remote_executor(address: str) -> Iterator[tuple[Callable[[], Executor], int]]:
    """Workers of a Dask cluster; each needs rdbench and the data at the same paths.

    Raises
    ------
    InputError
        If dask.distributed is not installed, or nobody answers at the address.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError("--scheduler needs dask.distributed: pip install 'rdbench[dask]'.") from error
    try:
        client = Client(address, timeout="10s")
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(f"No Dask scheduler answers at {address!r} ({error}); start one first.") from error
    with client:
        workers = len(client.scheduler_info(n_workers=-1)["workers"])
        if workers == 0:
            raise InputError(f"The Dask scheduler at {address!r} has no workers; start some first.")
        yield (lambda: client.get_executor(pure=False)), workers


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
