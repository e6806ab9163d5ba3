"""One small real run (two drawn people, one second, two factors, two rates), made once for a whole session."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import pytest
from click.testing import CliRunner

from rdbench import binary
from rdbench.cli.group import main
from rdbench.sweep import plan

LEARNED = any(
    item.name.startswith("direct-lite")
    for item in (resources.files("rdbench") / "weights").iterdir()
    if item.name.endswith(".safetensors")
)
BACKENDS = ("constant", "direct@lite") if LEARNED else ("constant",)
FACTORS = (2, 4)
RATES = (30.0, 40.0)
CLIPS = ("test_01", "test_02")
ENCODES = len(CLIPS) * len(FACTORS) * (1 + len(RATES))

SMALL = f"""
name = "small"
factors = {list(FACTORS)}
backends = {list(BACKENDS)}

[dataset]
name = "synthetic"
partition = "test"
clips = {list(CLIPS)}
seconds = 1

[[codecs]]
name = "x264"
mode = "crf"
rates = {list(RATES)}
""".replace("'", '"')

TINY = SMALL.replace(str(list(BACKENDS)).replace("'", '"'), '["constant"]')
"""The same without a network: what is asked of the sweep, not of a recogniser."""

ONE = TINY.replace(', "test_02"', "").replace("[2, 4]", "[4]").replace("[30.0, 40.0]", "[40.0]")
"""One clip at one factor and one rate: two encodes."""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


def program() -> list[str]:
    """The command as it was installed."""
    script = Path(sysconfig.get_path("scripts")) / "rdbench"
    return (
        [str(script)] if script.is_file() else [sys.executable, "-c", "from rdbench.cli import main; main()"]
    )


def environment(cache: Path | None = None) -> dict[str, str]:
    """One thread a process: the suite itself is parallel."""
    chosen = {} if cache is None else {"RDBENCH_CACHE": str(cache)}
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", **chosen}


def start(*words: object, cache: Path | None = None, cwd: Path | None = None) -> subprocess.Popen[str]:
    """Start the program as the head of a process group of its own."""
    return subprocess.Popen(
        [*program(), *map(str, words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(cache),
        cwd=cwd,
        start_new_session=True,
        # In the background of a shell without job control interrupts are ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finish(process: subprocess.Popen[str], timeout: float = 300) -> Done:
    """Wait for the end; on failure the whole group is killed."""
    try:
        out, err = process.communicate(timeout=timeout)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        raise
    return Done(process.returncode, out, err)


def call(*words: object, cache: Path | None = None, cwd: Path | None = None) -> Done:
    """Run the program in a process of its own."""
    return finish(start(*words, cache=cache, cwd=cwd))


def within(*words: object) -> Done:
    """Run the program in this process, its workers as threads: the same path without the start-up."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    return Done(result.exit_code, result.stdout, result.stderr)


@contextlib.contextmanager
def threads(jobs: int) -> Iterator[Callable[[], Executor]]:
    """Stands in for `rdbench.sweep.local_executor`."""
    yield lambda: ThreadPoolExecutor(jobs)


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweeps of this test run in threads of this process."""
    monkeypatch.setattr(plan, "local_executor", threads)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The small experiment's file."""
    file = tmp_path / "small.toml"
    file.write_text(SMALL, encoding="utf-8")
    return file


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """The small experiment without a network."""
    file = tmp_path / "small.toml"
    file.write_text(TINY, encoding="utf-8")
    return file


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """The smallest experiment."""
    file = tmp_path / "small.toml"
    file.write_text(ONE, encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def small_run(session_cache: Path) -> Path:
    """The small experiment, finished by one worker process and exported; never to be changed."""
    return _once(session_cache.parent / "small-run", SMALL, session_cache)


@pytest.fixture(scope="session")
def tiny_run(session_cache: Path) -> Path:
    """The small experiment without a network, with its bitstreams kept, from a cache of its own."""
    folder = session_cache.parent / "tiny-run"
    return _once(folder, TINY, folder / "cache", "--keep-bitstreams")


def _once(folder: Path, experiment: str, cache: Path, *options: str) -> Path:
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            (folder / "small.toml").write_text(experiment, encoding="utf-8")
            done = call(
                *("run", folder / "small.toml", "--out", folder / "run", "--jobs", 1, *options), cache=cache
            )
            assert done.code == 0, done
            exported = within("export", folder / "run")
            assert exported.code == 0, exported
            (folder / "done").touch()
    return folder / "run"


def tables(run: Path) -> dict[str, bytes]:
    """The exported tables of a run, byte for byte."""
    done = within("export", run, "--out", run / "export")
    assert done.code == 0, done
    return {name: (run / "export" / f"{name}.csv").read_bytes() for name in ("encodes", "scores", "curves")}


def one_sentence(text: str) -> str:
    """The message of a failed command, held to what every message must be: told once, no traceback."""
    assert "Traceback" not in text, text
    lines = [line for line in text.splitlines() if line.startswith(("rdbench:", "Error:"))]
    assert len(lines) == 1, text
    assert lines[0].startswith("Error:") or lines[0].endswith((".", "?")), text
    return lines[0]


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 120) -> None:
    """Wait until something is there, or the process has ended."""
    end = time.monotonic() + seconds
    while not condition() and process.poll() is None:
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def group(leader: int) -> list[int]:
    """Processes of a group that still run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[2]) == leader and fields[0] != "Z":
                    found.append(int(entry.name))
    return found


def make_video(file: Path, *options: str, size: str = "320x180", seconds: float = 1) -> Path:
    """A film without a face, made by the real FFmpeg."""
    subprocess.run(
        [
            *(binary.executable(), "-v", "error", "-nostdin", "-y", "-f", "lavfi"),
            *("-i", f"testsrc2=size={size}:rate=25:duration={seconds}", *options, "-pix_fmt", "yuv420p"),
            str(file),
        ],
        check=True,
    )
    return file


def wait_gone(leader: int, seconds: float = 60) -> None:
    """Wait until no process of a group runs: on a busy machine a killed one takes its time to go."""
    end = time.monotonic() + seconds
    while group(leader):
        assert time.monotonic() < end, group(leader)
        time.sleep(0.05)
