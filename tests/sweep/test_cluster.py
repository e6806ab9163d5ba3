"""Faults of a real Dask cluster on loopback: workers of another kind, a scheduler or a last worker that is lost."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from small_runs import environment, one, one_sentence, tables, tiny, tiny_run, within

from rdbench import binary
from rdbench.sweep import workers
from rdbench.tables.store import Store

pytest.importorskip("distributed", reason="dask.distributed is an extra")

__all__ = ["one", "tiny", "tiny_run"]

OTHERS = {
    "rdbench": 'import rdbench\nrdbench.__version__ = "9.9.9"\n',
    "ffmpeg": 'import os\nos.environ["IMAGEIO_FFMPEG_EXE"] = {wrapper!r}\n',
}


class Cluster:
    """A scheduler and one worker, each a process of its own."""

    def __init__(self, folder: Path, preload: str) -> None:
        told = folder / "scheduler.json"
        common = ("--scheduler-file", str(told), "--no-dashboard")
        self.scheduler = self._start("scheduler", *common, "--host", "127.0.0.1", "--port", "0")
        self.processes = [self.scheduler]
        _wait(told.exists)
        script = folder / "preload.py"
        script.write_text(preload)
        options = ("--nthreads", "1", "--no-nanny", "--local-directory", str(folder / "dask"))
        self.worker = self._start("worker", *common, *options, "--preload", str(script))
        self.processes.append(self.worker)
        self.address = str(json.loads(told.read_text())["address"])

    @staticmethod
    def _start(kind: str, *options: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**environment(), "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def wait(self) -> None:
        from distributed import Client

        with Client(self.address, timeout="30s") as client:
            client.wait_for_workers(1, timeout=60)


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def _end(one: subprocess.Popen[bytes]) -> None:
    one.kill()
    one.wait()


@contextmanager
def cluster(folder: Path, preload: str = "") -> Iterator[Cluster]:
    made = Cluster(folder, preload)
    try:
        made.wait()
        yield made
    finally:
        for each in made.processes:
            _end(each)


@pytest.mark.long
@pytest.mark.parametrize("what", ["rdbench", "ffmpeg"])
def test_a_worker_of_another_kind_is_refused_by_name_before_its_first_unit(
    what: str, one: Path, tmp_path: Path
) -> None:
    wrapper = tmp_path / "ffmpeg"
    wrapper.write_text(f'#!/bin/sh\nexec "{binary.executable()}" "$@"\n')
    wrapper.chmod(0o755)
    with cluster(tmp_path, OTHERS[what].format(wrapper=str(wrapper))) as made:
        done = within("run", one, "--out", tmp_path / "run", "--scheduler", made.address)
    assert done.code == 2, done
    said = one_sentence(done.err)
    assert "is not what planned this run" in said
    assert f"({what}: " in said
    assert rows(tmp_path / "run") == 0


def rows(run: Path) -> int:
    with closing(sqlite3.connect(run / "run.sqlite")) as store:
        return int(store.execute("SELECT count(*) FROM encodes").fetchone()[0])


@pytest.mark.long
@pytest.mark.parametrize(
    ("lost", "said"), [("scheduler", "is gone; start it"), ("worker", "has had no worker for")]
)
def test_what_a_cluster_loses_ends_the_run_and_another_call_goes_on(
    lost: str, said: str, tiny: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "PATIENCE", 1.0)
    with cluster(tmp_path) as made:
        add = Store.add

        def adding(store: Store, rows: Any) -> None:
            add(store, rows)
            if rows.get("encodes") and getattr(made, lost).poll() is None:
                _end(getattr(made, lost))

        with monkeypatch.context() as patch:
            patch.setattr(Store, "add", adding)
            done = within("run", tiny, "--out", tmp_path / "run", "--scheduler", made.address)
    assert done.code not in (0, 1, 70), done
    assert said in one_sentence(done.err)
    assert rows(tmp_path / "run") >= 1
    again = within("run", tiny, "--out", tmp_path / "run", "--jobs", 1)
    assert again.code == 0, again
    assert tables(tmp_path / "run") == tables(tiny_run)
