"""Running FFmpeg: one place where processes are started, fed, read and ended.

An exit code is never ignored, standard error goes to a file (a pipe that nobody drains stops a process), and
no shell or network protocol is ever involved. Each works in an empty folder of its own, so that whatever an option
may write lies there and goes with it; each ends with the process that started it, and none runs for ever.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import ffmpeg

from rdbench import binary
from rdbench.errors import EncodeError, EndedError
from rdbench.machine import cache_dir, ends_with_its_parent

__all__ = [
    *("FormatError", "Output", "Process", "arguments", "end_all", "kill", "measured", "raise_if_ended"),
    *("read_frames", "run", "running", "scale", "through"),
]

_FLAGS = "accurate_rnd+bitexact"

BICUBIC: dict[str, Any] = {"flags": f"bicubic+{_FLAGS}", "param0": 0, "param1": 0.5}
"""The one resampler: Keys' cubic with a = -0.5, the same bits on every processor."""

LANCZOS: dict[str, Any] = {"flags": f"lanczos+{_FLAGS}", "param0": 3, "param1": 0}
"""The same scaler with a sharper kernel, which leaves a picture that was stored narrow nearest to what it would have been."""

TO_RGB = {
    "flags": f"{BICUBIC['flags']}+full_chroma_int",
    "in_color_matrix": "bt709",
    "in_range": "limited",
    "out_range": "full",
}
"""Options of `scale` that make RGB of our video. Without ``full_chroma_int`` all of it comes out 2 levels darker."""

PIPE_BYTES = 2**20

STALLED = 120.0
"""Seconds after which a process without a time limit is taken for hanging: it does nothing, though all is waiting for it."""

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

_live: set[subprocess.Popen[bytes]] = set()
_live_lock = threading.Lock()


class FormatError(EncodeError):
    """FFmpeg ended with an error; the text holds the last lines it wrote."""

    def __init__(self, message: str, stderr: str) -> None:
        super().__init__(message)
        self.stderr = stderr


class Output:
    """The standard output of a process, which tells whether somebody is waiting for more of it."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self.awaited = False

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, fewer at the end alone."""
        return self._awaiting(self._pipe.read, size)

    def read1(self, size: int) -> bytes:
        """At most `size` bytes, as many as are there."""
        return self._awaiting(self._pipe.read1, size)  # type: ignore[attr-defined]

    def fileno(self) -> int:
        """What the system knows it by."""
        return self._pipe.fileno()

    def close(self) -> None:
        """Read no more."""
        self._pipe.close()

    def _awaiting(self, read: Callable[[int], bytes], size: int) -> bytes:
        self.awaited = True
        try:
            return read(size)
        finally:
            self.awaited = False


@dataclass
class Process:
    """A running FFmpeg.

    Parameters
    ----------
    popen : subprocess.Popen
    log : file
        Where its standard error goes.
    cpu_seconds : float
        User and system time that it took on all its threads; 0 until it has ended.
    """

    popen: subprocess.Popen[bytes]
    log: IO[bytes]
    cpu_seconds: float = 0.0
    feeding: bool = True
    """False while whoever feeds it makes what it is fed."""

    def __post_init__(self) -> None:
        assert self.popen.stdout is not None
        self.stdout = Output(self.popen.stdout)

    @property
    def idle(self) -> bool:
        """Whether nobody but the process itself can go on."""
        return self.feeding and self.stdout.awaited

    def end(self) -> None:
        """Wait until it has ended, and note what it cost."""
        if self.popen.returncode is None:
            # Popen.wait would take the exit code and leave the account of this one child to nobody.
            _, status, usage = os.wait4(self.popen.pid, 0)
            self.popen.returncode = os.waitstatus_to_exitcode(status)
            self.cpu_seconds = usage.ru_utime + usage.ru_stime

    def stderr(self) -> str:
        """All that it wrote to standard error so far."""
        self.log.seek(0)
        return self.log.read().decode("utf-8", "replace")


def arguments(stream: Any, *, verbosity: str = "error") -> list[str]:
    """The command of an ffmpeg-python graph, with what every command of ours has."""
    compiled: list[str] = ffmpeg.compile(stream, cmd=binary.executable(), overwrite_output=True)
    if "-filter_complex" in compiled:
        # Every core has a worker already: threads would only wait for each other.
        compiled[1:1] = ["-filter_complex_threads", "1"]
    return [compiled[0], "-nostdin", "-hide_banner", "-nostats", "-v", verbosity, *compiled[1:]]


def scale(stream: Any, width: int | str, height: int | str, **options: Any) -> Any:
    """Resample with `BICUBIC`, the one resampler of training and transcoding."""
    return stream.filter("scale", width, height, **{**BICUBIC, **options})


@contextmanager
def running(
    command: list[str], *, feed: Iterable[bytes] | None = None, limit: float | None = None
) -> Iterator[Process]:
    """Run a command while the block reads its standard output; a failure is raised at the block's end.

    Parameters
    ----------
    command : list of str
    feed : iterable of bytes, optional
        Written to standard input by a thread, so that reading and writing cannot wait for each other.
    limit : float, optional
        Seconds that it may run; by default until it does nothing for `STALLED` seconds while all is waiting for it.

    Raises
    ------
    EndedError
        If it ran into its limit, or was killed.
    FormatError
        If the exit code is not 0.
    OSError
        With ``errno.ENOSPC`` if the disk is full.
    """
    with tempfile.TemporaryFile() as log, tempfile.TemporaryDirectory(prefix="rdbench-") as empty:
        launcher = ends_with_its_parent()
        popen = subprocess.Popen(
            [*launcher, *command],
            stdin=subprocess.DEVNULL if feed is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=empty,
            start_new_session=True,
            preexec_fn=None
            if launcher or _LIBC is None
            else functools.partial(_end_with_parent, os.getpid()),
        )
        with _live_lock:
            _live.add(popen)
        _widen(popen.stdin, popen.stdout)
        problems: list[BaseException] = []
        writer = None
        process = Process(popen, log)
        if feed is not None:
            writer = threading.Thread(target=_write, args=(process, feed, problems), daemon=True)
            writer.start()
        watch = _Watch(process, limit)
        try:
            yield process
            process.stdout.read()
            if writer is not None:
                writer.join()
            process.end()
        finally:
            if popen.returncode is None:
                kill(popen)
            process.end()
            watch.end()
            process.stdout.close()
            if writer is not None:
                writer.join()
            with _live_lock:
                _live.discard(popen)
        if watch.verdict:
            raise EndedError(watch.verdict)
        if problems:
            raise problems[0]
        if popen.returncode != 0:
            _raise(command, popen.returncode, process.stderr())


def run(command: list[str], *, feed: Iterable[bytes] | None = None, limit: float | None = None) -> str:
    """Run a command to its end and give what it wrote to standard error; raises as `running` does."""
    return measured(command, feed=feed, limit=limit)[0]


def measured(
    command: list[str], *, feed: Iterable[bytes] | None = None, limit: float | None = None
) -> tuple[str, float]:
    """Run a command to its end: what it wrote to standard error, and the seconds of CPU time that it took."""
    with running(command, feed=feed, limit=limit) as process:
        process.stdout.read()
        process.end()
        return process.stderr(), process.cpu_seconds


def through(
    command: list[str], feed: Iterable[bytes] | None, frame_bytes: int, batch: int
) -> Iterator[bytes]:
    """Send frames through a command and give what comes out, `batch` frames of `frame_bytes` at a time.

    Without a feed the command reads a file.

    Raises
    ------
    EncodeError
        If the command leaves a frame unfinished.
    """
    with running(command, feed=feed) as process:
        yield from read_frames(process, frame_bytes, batch)


def read_frames(process: Process, frame_bytes: int, batch: int) -> Iterator[bytes]:
    """Whole frames from a process, at most `batch` at a time."""
    while chunk := process.stdout.read(frame_bytes * batch):
        if len(chunk) % frame_bytes:
            process.end()
            if process.popen.returncode:
                return
            raise EncodeError(
                f"FFmpeg ended within a frame: {len(chunk) % frame_bytes} of its {frame_bytes} bytes came."
            )
        yield chunk


def end_all() -> None:
    """Kill every FFmpeg that this process has running (for a worker whose parent is gone)."""
    with _live_lock:
        for popen in _live:
            kill(popen)


def kill(popen: subprocess.Popen[bytes]) -> None:
    """Kill a process with all that it has started, such as what stands behind a script."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(popen.pid, signal.SIGKILL)


def _end_with_parent(parent: int) -> None:
    """In a child before it becomes FFmpeg: the system ends it as soon as its parent is gone, however that went."""
    assert _LIBC is not None
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class _Watch:
    """Ends a process that runs longer than it may, or that has stopped working."""

    def __init__(self, process: Process, limit: float | None) -> None:
        self.verdict = ""
        self._process, self._limit = process, limit
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Watch no longer."""
        self._over.set()
        self._thread.join()

    def _wait(self) -> None:
        if self._limit is not None:
            if not self._over.wait(self._limit):
                self._stop(f"FFmpeg had not ended after {self._limit:.0f} s, its time limit (--time-limit)")
            return
        work, since = _processor_time(self._process.popen.pid), time.monotonic()
        while not self._over.wait(STALLED / 20):
            now = _processor_time(self._process.popen.pid)
            if now is None or now != work or not self._process.idle:
                work, since = now, time.monotonic()
            elif time.monotonic() - since > STALLED:
                self._stop(f"FFmpeg did nothing for {STALLED:.0f} s")
                return

    def _stop(self, verdict: str) -> None:
        self.verdict = f"{verdict}, and was ended"
        kill(self._process.popen)


def _processor_time(process: int) -> str | None:
    """What the system says of a process's work; None where it says nothing."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return " ".join(fields.rpartition(")")[2].split()[11:13])


def _widen(*pipes: IO[bytes] | None) -> None:
    """Let pipes hold whole pictures where the system can: fewer changes between processes."""
    operation = getattr(fcntl, "F_SETPIPE_SZ", None)
    for pipe in pipes:
        if pipe is not None and operation is not None:
            with suppress(OSError):  # a user may hold so much memory in pipes and no more
                fcntl.fcntl(pipe.fileno(), operation, PIPE_BYTES)


def _write(process: Process, feed: Iterable[bytes], problems: list[BaseException]) -> None:
    popen = process.popen
    assert popen.stdin is not None
    try:
        process.feeding = False
        for chunk in feed:
            process.feeding = True
            popen.stdin.write(chunk)
            process.feeding = False
    except BrokenPipeError:
        pass  # its exit code says why it stopped reading
    except BaseException as error:
        problems.append(error)
        kill(popen)
    finally:
        close: Callable[[], None] | None = getattr(feed, "close", None)
        if close is not None:
            close()
        process.feeding = True
        with suppress(BrokenPipeError):
            popen.stdin.close()


def raise_if_ended(code: int, stderr: str) -> None:
    """Say that a process did not end by itself.

    Raises
    ------
    EndedError
    """
    if asked := binary.asked_to_end(code, stderr):
        raise EndedError(f"FFmpeg was asked to end by signal {asked}", stderr)
    if code < 0:
        cause = " (out of memory?)" if code == -signal.SIGKILL else ""
        raise EndedError(f"FFmpeg was killed by signal {-code}{cause}", stderr)


def _raise(command: list[str], code: int, stderr: str) -> None:
    if "No space left on device" in stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(cache_dir()))
    raise_if_ended(code, stderr)
    lines = [line for line in stderr.strip().splitlines() if line.strip()]
    shown = " / ".join(lines[-3:]) if lines else "it gave no reason"
    raise FormatError(f"FFmpeg ended with exit code {code}: {shown}", stderr)
