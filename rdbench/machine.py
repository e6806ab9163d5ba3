"""Where rendered clips, found faces and other things that can be made again are kept."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from multiprocessing import resource_tracker
from pathlib import Path

from rdbench.errors import InputError

__all__ = [
    "cache_dir",
    "cores",
    "ends_with_its_parent",
    "free_bytes",
    "host_class",
    "installed",
    "interrupts_held",
    "keep_memory",
    "keeping",
    "processor_flags",
    "profiles_folder",
    "required",
    "sweep_work",
    "work_folder",
]

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1

_LARGEST = 2**31 - 1


def cache_dir() -> Path:
    """Return the folder for everything that can be made again; it may not exist yet.

    ``$RDBENCH_CACHE`` where it is set and not empty, else ``rdbench`` in the user's cache folder:
    ``$XDG_CACHE_HOME`` or ``~/.cache``, on macOS ``~/Library/Caches``. The XDG base directory specification
    asks for relative values of its variable to be ignored.

    Returns
    -------
    Path
        An absolute path.
    """
    if chosen := os.environ.get("RDBENCH_CACHE"):
        return Path(chosen).expanduser().absolute()
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(xdg):
        return Path(xdg) / "rdbench"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "rdbench"
    return Path.home() / ".cache" / "rdbench"


def keep_memory() -> bool:
    """Let this process keep large blocks that it freed instead of handing each back to the system.

    A network's activations are tens of megabytes that come and go with every batch; glibc maps and clears them
    anew each time (18,000 page faults a batch of 64 for ``direct@lite``: 40 of 110 ms).

    Returns
    -------
    bool
        False where the C library is not glibc; nothing is changed there.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, 2**30) and mallopt(_TRIM_THRESHOLD, _LARGEST))


def required() -> list[str]:
    """Names of the packages that rdbench cannot do without, as its own metadata has them."""
    try:
        asked = metadata.requires("rdbench") or []
    except metadata.PackageNotFoundError:
        return []
    return [re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for line in asked if "extra ==" not in line]


def installed(names: list[str]) -> tuple[list[str], bool]:
    """A line for each package, and whether all are there."""
    lines, good = [], True
    for name in names:
        try:
            lines.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            good = False
            lines.append(f"{name}: missing; install it with pip install {name}")
    return lines, good


@dataclass(frozen=True)
class _Owner:
    """Whose work folder it is, as the folder's name says: planes of a dead process can be removed."""

    process: int
    host: str

    @classmethod
    def here(cls) -> _Owner:
        return cls(os.getpid(), platform.node())

    @classmethod
    def of(cls, folder: Path) -> _Owner | None:
        process, _, rest = folder.name.partition("@")
        host, _, random = rest.rpartition("@")
        return cls(int(process), host) if process.isdigit() and random else None

    @property
    def prefix(self) -> str:
        return f"{self.process}@{self.host}@"


@contextlib.contextmanager
def keeping() -> Iterator[None]:
    """Tell an error while something is kept in the cache from one of the clip that it is about.

    Raises
    ------
    InputError
        If the cache cannot be written.
    OSError
        With ``errno.ENOSPC``, if the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise InputError(
            f"The cache {cache_dir()} cannot be written ({error.strerror or error}); set RDBENCH_CACHE to a folder that "
            "can."
        ) from error


def work_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for planes on their way, named after this process so that a dead one's can be removed."""
    parent = cache_dir() / "work"
    with keeping():
        parent.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix=_Owner.here().prefix, dir=parent)


def sweep_work() -> None:
    """Remove planes that dead processes of this machine left behind."""
    for folder in (cache_dir() / "work").glob("*@*@*"):
        owner = _Owner.of(folder)
        if owner is not None and owner.host == platform.node() and not _alive(owner.process):
            shutil.rmtree(folder, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = (
            Path(f"/proc/{process}/stat")
            .read_text(encoding="utf-8", errors="replace")
            .rpartition(")")[2]
            .split()[0]
        )
    except (OSError, IndexError):
        return True
    # A killed process that its parent has not asked about yet still has its number.
    return state not in ("Z", "X")


def profiles_folder() -> Path | None:
    """The user's own codec profiles: ``$RDBENCH_CODECS``, or None."""
    folder = os.environ.get("RDBENCH_CODECS")
    return Path(folder) if folder else None


def host_class() -> str:
    """What kind of processor this is, and what it can do that moves the last digits of a network."""
    text = _cpuinfo()
    if text is None:
        return f"{platform.machine()} {platform.processor()}".strip()
    named = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    flags = processor_flags() or frozenset()
    wide = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve")
    able = [flag for flag in wide if flag in flags]
    return " ".join([platform.machine(), named[1].strip() if named else "", *able]).replace("  ", " ")


def processor_flags() -> frozenset[str] | None:
    """What the first processor can do, as Linux lists it; None where nothing does."""
    line = re.search(r"^(?:flags|Features)\s*: (.+)$", _cpuinfo() or "", re.MULTILINE)
    return None if line is None else frozenset(line[1].split())


def _cpuinfo() -> str | None:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def free_bytes(folder: Path) -> int:
    """Bytes that are free where a folder is, or will be."""
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return shutil.disk_usage(there).free


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def ends_with_its_parent() -> tuple[str, ...]:
    """Words before a command that have the kernel end it with this process, without the copy of a whole worker that a function of Python
    between fork and exec costs: that made as much system time as all encoding together."""
    program = shutil.which("setpriv")
    if program is None:
        return ()
    words = (program, "--pdeathsig", "KILL", "--")
    tried = subprocess.run([*words, "true"], capture_output=True, check=False)
    return words if tried.returncode == 0 else ()


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Have processes that are started meanwhile begin with SIGINT blocked, as they inherit it: a terminal's Ctrl-C goes to all,
    and one that is still importing would print its traceback between the words of the one that was asked."""
    resource_tracker.ensure_running()  # it unblocks SIGINT where it is started, so that has to be before
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
