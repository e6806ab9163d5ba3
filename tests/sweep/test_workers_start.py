"""Worker processes while they start: a terminal's Ctrl-C goes to them too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from rdbench.machine import interrupts_held
from rdbench.sweep.workers import local_executor


def test_what_is_started_meanwhile_begins_with_interrupts_blocked_and_the_parent_has_them_again() -> None:
    code = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    with interrupts_held():
        held = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    free = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (held.stdout.strip(), free.stdout.strip()) == ("True", "False")


def test_worker_that_is_interrupted_while_it_starts_does_its_work() -> None:
    with local_executor(1) as fresh:
        for _ in range(3):
            executor = fresh()
            try:
                future = executor.submit(os.getpid)
                (process,) = executor._processes.values()  # type: ignore[attr-defined]
                os.kill(process.pid, signal.SIGINT)
                assert future.result(timeout=60) == process.pid
            finally:
                executor.shutdown()
