"""Running FFmpeg: one place where processes are started, fed, read and ended.

An exit code is never ignored, standard error goes to a file (a pipe that nobody drains stops a process), and
no shell or network protocol is ever involved.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import ffmpeg
import imageio_ffmpeg

from rdbench.errors import EncodeError, InputError

__all__ = [
    "FormatError",
    "Process",
    "arguments",
    "build",
    "end_all",
    "executable",
    "field_statistics",
    "header",
    "measured",
    "run",
    "running",
    "scale",
    "through",
]

BICUBIC = {"flags": "bicubic+accurate_rnd+bitexact", "param0": 0, "param1": 0.5}
"""The one resampler: Keys' cubic with a = -0.5, the same bits on every processor."""

TO_RGB = {
    "flags": f"{BICUBIC['flags']}+full_chroma_int",
    "in_color_matrix": "bt709",
    "in_range": "limited",
    "out_range": "full",
}
"""Options of `scale` that make RGB of our video. Without ``full_chroma_int`` all of it comes out 2 levels darker."""

PIPE_BYTES = 2**20

_OLDEST = 6

_live: set[subprocess.Popen[bytes]] = set()
_live_lock = threading.Lock()


class FormatError(EncodeError):
    """FFmpeg ended with an error; the text holds the last lines it wrote."""

    def __init__(self, message: str, stderr: str) -> None:
        super().__init__(message)
        self.stderr = stderr


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

    @property
    def stdout(self) -> IO[bytes]:
        """Its standard output."""
        assert self.popen.stdout is not None
        return self.popen.stdout

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


@functools.cache
def executable() -> str:
    """Path of the FFmpeg that comes with imageio-ffmpeg, or of ``$IMAGEIO_FFMPEG_EXE``.

    Raises
    ------
    InputError
        If there is none, or it is no program.
    """
    try:
        path = str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise InputError(
            f"No FFmpeg found ({error}); install imageio-ffmpeg or set IMAGEIO_FFMPEG_EXE."
        ) from error
    program = shutil.which(path)
    if program is None:
        raise InputError(
            f"FFmpeg should be {path!r}, which is no program that can be started; set IMAGEIO_FFMPEG_EXE to one that "
            "is, or unset it."
        )
    return program


@functools.cache
def build() -> str:
    """The build of FFmpeg in use, such as ``n9.0.2-17-g2a571b6068``; bits may differ between builds.

    Raises
    ------
    InputError
        If the program is not FFmpeg, or too old.
    """
    try:
        done = subprocess.run(
            [executable(), "-version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(
            f"{executable()} cannot be started as FFmpeg ({getattr(error, 'strerror', None) or 'it does not answer'}); "
            "set IMAGEIO_FFMPEG_EXE to FFmpeg, or unset it."
        ) from error
    words = done.stdout.decode("utf-8", "replace").split()
    if done.returncode or words[:2] != ["ffmpeg", "version"] or len(words) < 3:
        raise InputError(
            f"{executable()} is not FFmpeg: it does not tell its version; set IMAGEIO_FFMPEG_EXE to FFmpeg, or unset it."
        )
    number = re.match(r"n?(\d+)\.", words[2])
    if number and int(number[1]) < _OLDEST:
        raise InputError(
            f"{executable()} is FFmpeg {words[2]}; {_OLDEST} or newer is needed: unset IMAGEIO_FFMPEG_EXE, or set it to "
            "a newer one."
        )
    return words[2]


def header(file: Path, formats: str) -> str:
    """What FFmpeg tells of a file before it does anything: streams, tags, side data."""
    return _told("-protocol_whitelist", "file", "-format_whitelist", formats, "-i", f"file:{file.resolve()}")


def field_statistics(file: Path, stream: int, formats: str, seconds: int = 10) -> str:
    """What FFmpeg's detector of interlaced pictures counts in the first seconds of a file."""
    whitelists = ("-protocol_whitelist", "file", "-format_whitelist", formats)
    opened = ("-t", str(seconds), "-threads", "1", *whitelists, "-i", f"file:{file.resolve()}")
    return _told(*opened, "-map", f"0:{stream}", "-vf", "idet", "-f", "null", "-")


def _told(*options: str) -> str:
    command = [executable(), "-nostdin", "-hide_banner", "-nostats", *options]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.stderr.decode("utf-8", "replace")


def arguments(stream: Any, *, verbosity: str = "error") -> list[str]:
    """The command of an ffmpeg-python graph, with what every command of ours has."""
    compiled: list[str] = ffmpeg.compile(stream, cmd=executable(), overwrite_output=True)
    if "-filter_complex" in compiled:
        # Every core has a worker already: threads would only wait for each other.
        compiled[1:1] = ["-filter_complex_threads", "1"]
    return [compiled[0], "-nostdin", "-hide_banner", "-nostats", "-v", verbosity, *compiled[1:]]


def scale(stream: Any, width: int | str, height: int | str, **options: Any) -> Any:
    """Resample with `BICUBIC`, the one resampler of training and transcoding."""
    return stream.filter("scale", width, height, **{**BICUBIC, **options})


@contextmanager
def running(command: list[str], *, feed: Iterable[bytes] | None = None) -> Iterator[Process]:
    """Run a command while the block reads its standard output; a failure is raised at the block's end.

    Parameters
    ----------
    command : list of str
    feed : iterable of bytes, optional
        Written to standard input by a thread, so that reading and writing cannot wait for each other.

    Raises
    ------
    FormatError
        If the exit code is not 0.
    OSError
        With ``errno.ENOSPC`` if the disk is full.
    """
    with tempfile.TemporaryFile() as log:
        popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if feed is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        with _live_lock:
            _live.add(popen)
        _widen(popen.stdin, popen.stdout)
        problems: list[BaseException] = []
        writer = None
        if feed is not None:
            writer = threading.Thread(target=_write, args=(popen, feed, problems), daemon=True)
            writer.start()
        process = Process(popen, log)
        try:
            yield process
            process.stdout.read()
            if writer is not None:
                writer.join()
            process.end()
        finally:
            if popen.returncode is None:
                popen.kill()
            process.end()
            process.stdout.close()
            if writer is not None:
                writer.join()
            with _live_lock:
                _live.discard(popen)
        if problems:
            raise problems[0]
        if popen.returncode != 0:
            _raise(command, popen.returncode, process.stderr())


def run(command: list[str], *, feed: Iterable[bytes] | None = None) -> str:
    """Run a command to its end and give what it wrote to standard error; raises as `running` does."""
    return measured(command, feed=feed)[0]


def measured(command: list[str], *, feed: Iterable[bytes] | None = None) -> tuple[str, float]:
    """Run a command to its end: what it wrote to standard error, and the seconds of CPU time that it took."""
    with running(command, feed=feed) as process:
        process.stdout.read()
        process.end()
        return process.stderr(), process.cpu_seconds


def through(command: list[str], feed: Iterable[bytes], frame_bytes: int, batch: int) -> Iterator[bytes]:
    """Send frames through a command and give what comes out, `batch` frames of `frame_bytes` at a time.

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
            popen.kill()


def _widen(*pipes: IO[bytes] | None) -> None:
    """Let pipes hold whole pictures where the system can: fewer changes between processes."""
    operation = getattr(fcntl, "F_SETPIPE_SZ", None)
    for pipe in pipes:
        if pipe is not None and operation is not None:
            with suppress(OSError):  # a user may hold so much memory in pipes and no more
                fcntl.fcntl(pipe.fileno(), operation, PIPE_BYTES)


def _write(popen: subprocess.Popen[bytes], feed: Iterable[bytes], problems: list[BaseException]) -> None:
    assert popen.stdin is not None
    try:
        for chunk in feed:
            popen.stdin.write(chunk)
    except BrokenPipeError:
        pass  # its exit code says why it stopped reading
    except BaseException as error:
        problems.append(error)
        popen.kill()
    finally:
        close: Callable[[], None] | None = getattr(feed, "close", None)
        if close is not None:
            close()
        with suppress(BrokenPipeError):
            popen.stdin.close()


def _raise(command: list[str], code: int, stderr: str) -> None:
    if "No space left on device" in stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    lines = [line for line in stderr.strip().splitlines() if line.strip()]
    shown = " / ".join(lines[-3:]) if lines else "it gave no reason"
    raise FormatError(f"FFmpeg ended with exit code {code}: {shown}", stderr)
