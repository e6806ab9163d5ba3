"""The sweep: units on any executor, workers that die, clusters, and the same tables whatever the number of jobs."""

from __future__ import annotations

import os
import pickle
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import (
    CLIPS,
    ENCODES,
    call,
    inside,
    make_video,
    one,
    one_sentence,
    small,
    small_run,
    tables,
    threads,
    tiny,
    within,
)

from rdbench.backends.protocol import Backend, Context, Input, Session
from rdbench.datasets.folder import FolderDataset
from rdbench.datasets.synthetic import SyntheticDataset
from rdbench.errors import InputError
from rdbench.machine import sweep_work
from rdbench.sweep import loop as sweeping
from rdbench.sweep.experiment import Condition, DatasetChoice, load_experiment
from rdbench.sweep.loop import Progress, split, sweep
from rdbench.sweep.plan import make_plan, select_clips
from rdbench.sweep.unit import Setup
from rdbench.sweep.workers import _start_worker, local_executor, remote_executor, stop
from rdbench.tables.store import Store
from rdbench.video.clip import ClipInfo, Dataset

__all__ = ["inside", "one", "small", "small_run", "tiny"]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="counts what Linux gives")
def test_several_jobs_give_the_tables_of_one(small: Path, small_run: Path, tmp_path: Path) -> None:
    done = call("run", small, "--out", tmp_path / "run", "--jobs", 2)
    assert done.code == 0, done
    assert f"2 clips, {ENCODES} encodes done, 0 failed" in done.out
    assert tables(tmp_path / "run") == tables(small_run)


def test_a_pool_that_is_stopped_at_work_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[object] = []
    monkeypatch.setattr(threading, "excepthook", said.append)
    with local_executor(2) as fresh:
        executor = fresh()
        pending = [executor.submit(time.sleep, 60) for _ in range(8)]
        while not any(future.running() for future in pending):
            time.sleep(0.01)
        thread = executor._executor_manager_thread  # type: ignore[attr-defined]
        stop(executor, pending)
        for future in pending:
            with pytest.raises((BrokenProcessPool, CancelledError)):
                future.result(timeout=60)
        thread.join(60)
    assert said == []


def much(started: Path) -> bytes:
    """More than passes in a moment."""
    started.touch()
    return b"x" * 200_000_000


@pytest.mark.long
@pytest.mark.parametrize("delay", [0.1, 0.25, 0.4])
def test_a_worker_that_is_ended_while_it_sends_its_result_holds_nobody_up(
    tmp_path: Path, delay: float
) -> None:
    with local_executor(1) as fresh:
        executor = fresh()
        future = executor.submit(much, tmp_path / "started")
        while not (tmp_path / "started").exists():
            time.sleep(0.01)
        time.sleep(delay)
        thread = executor._executor_manager_thread  # type: ignore[attr-defined]
        stop(executor, [future])
    thread.join(30)
    assert not thread.is_alive()


@pytest.mark.long
def test_rate_control_of_both_encoders_is_the_same_however_many_work(tiny: Path, tmp_path: Path) -> None:
    head = tiny.read_text(encoding="utf-8").partition("[[codecs]]")[0]
    grids = {"abr": 20, "2pass": 20, "qp": 36, "crf": 34}
    experiment = tmp_path / "modes.toml"
    experiment.write_text(
        head
        + "".join(
            f'[[codecs]]\nname = "{codec}"\nmode = "{mode}"\nrates = [{rate}]\n'
            for codec in ("x264", "x265")
            for mode, rate in grids.items()
        ),
        encoding="utf-8",
    )
    for jobs in (1, 4):
        done = call("run", experiment, "--factor", 4, "--out", tmp_path / str(jobs), "--jobs", jobs)
        assert f"{len(CLIPS) * (1 + 2 * len(grids))} encodes done, 0 failed" in done.out, done
    assert tables(tmp_path / "1") == tables(tmp_path / "4")


def test_a_dask_cluster_gives_the_same_tables(small: Path, small_run: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="dask.distributed is an extra")
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
        worker_dashboard_address=None,
        memory_limit=0,
        local_directory=str(tmp_path / "dask"),
    ) as cluster:
        done = within("run", small, "--out", tmp_path / "run", "--scheduler", cluster.scheduler_address)
    assert done.code == 0, done
    assert tables(tmp_path / "run") == tables(small_run)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://x", "no host at all"])
def test_a_scheduler_that_does_not_answer_is_told(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed", reason="dask.distributed is an extra")
    real = distributed.Client
    monkeypatch.setattr(distributed, "Client", lambda where, timeout: real(where, timeout="1s"))
    with pytest.raises(InputError, match="No Dask scheduler answers at"), remote_executor(address):
        pass


def test_dask_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'rdbench\[dask\]'"), remote_executor("tcp://x:1"):
        pass


class Fatal:
    """A back-end whose process dies on every encode at one factor, as one that runs out of memory does."""

    input = Input()
    targets = ("arousal", "valence")
    classes: tuple[str, ...] = ()
    weights = "none"
    trained_on = "nothing"
    name = "fatal"

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def start(self, context: Context) -> Session:
        if context.factor == self.factor:
            os._exit(9)
        return lambda frames: np.zeros((len(frames), 2))


def arm(factor: int, parent: int) -> None:
    """Give a worker that back-end in place of `constant`."""
    _start_worker(parent)
    from rdbench.sweep import unit

    def find(name: str, weights: Path | None = None, device: str = "cpu") -> Backend:
        backend = Fatal(factor)
        backend.name = name
        return backend

    unit.find_backend = find


def fatal(factor: int, opened: list[Executor]) -> Callable[[], Executor]:
    import multiprocessing

    def fresh() -> Executor:
        opened.append(
            ProcessPoolExecutor(
                1,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=arm,
                initargs=(factor, os.getpid()),
            )
        )
        return opened[-1]

    return fresh


def run_sweep(
    file: Path, out: Path, open_executor: Callable[[], Executor], workers: int
) -> tuple[sweeping.Summary, list[str], Progress]:
    plan = make_plan(load_experiment(file))
    told: list[str] = []
    last = Progress()

    def report(progress: Progress, text: str | None) -> None:
        nonlocal last
        last = progress
        if text:
            told.append(text)

    with Store(out, plan.identity) as store:
        summary = sweep(plan.setup, plan.clips, plan.conditions, store, open_executor, workers, report)
    return summary, told, last


def test_a_unit_that_kills_its_worker_fails_and_the_innocent_are_done(tiny: Path, tmp_path: Path) -> None:
    tiny.write_text(tiny.read_text().replace(', "test_02"', "").replace("[30.0, 40.0]", "[40.0]"))
    opened: list[Executor] = []
    summary, told, progress = run_sweep(tiny, tmp_path / "run", fatal(4, opened), 2)
    assert {row["factor"] for row in summary.failures} == {4}
    assert len(summary.failures) == 2
    assert all("died" in row["reason"] for row in summary.failures)
    assert summary.encodes == 2
    assert any("tried once more" in text for text in told)
    assert (progress.done, progress.failed, progress.total) == (2, 2, 2)
    done = within("status", tmp_path / "run")
    assert done.code == 4
    assert "died" in done.out


class Breaking(Executor):
    """Breaks while idle: no future tells, only the next submission does."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        raise BrokenProcessPool("a worker died")

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        pass


def test_a_pool_that_broke_while_idle_is_replaced(one: Path, tmp_path: Path) -> None:
    executors: list[Executor] = [Breaking(), Breaking(), ThreadPoolExecutor(1)]
    summary, _, progress = run_sweep(one, tmp_path / "run", lambda: executors.pop(0), 1)
    assert not executors
    assert (summary.encodes, progress.done, progress.total) == (2, 2, 2)


def test_a_pool_that_never_works_ends_the_run(one: Path, tmp_path: Path) -> None:
    with pytest.raises(BrokenProcessPool):
        run_sweep(one, tmp_path / "run", Breaking, 1)


class Interrupting(ThreadPoolExecutor):
    """The user presses Ctrl-C after some tasks."""

    def __init__(self, after: int) -> None:
        super().__init__(1)
        self.left = after
        self.closed: dict[str, bool] = {}

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.closed = {"wait": wait, "cancel_futures": cancel_futures}
        super().shutdown(wait=True)


def test_an_interrupted_sweep_keeps_what_it_has(tiny: Path, tmp_path: Path) -> None:
    executor = Interrupting(3)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(tiny, tmp_path / "run", lambda: executor, 1)
    # Dask's executor knows no `cancel_futures`.
    assert executor.closed == {"wait": False, "cancel_futures": False}
    summary, _, progress = run_sweep(tiny, tmp_path / "run", lambda: ThreadPoolExecutor(1), 1)
    assert summary.encodes == progress.done == progress.total == ENCODES
    untouched = run_sweep(tiny, tmp_path / "run", lambda: Breaking(), 1)[0]
    assert untouched.encodes == ENCODES


def test_interrupted_workers_are_ended_at_once() -> None:
    with local_executor(1) as fresh:
        executor = fresh()
        # Until it has answered once, a worker may still be starting.
        executor.submit(time.sleep, 0).result(60)
        future = executor.submit(time.sleep, 600)
        end = time.monotonic() + 60
        while not future.running():
            assert time.monotonic() < end
            time.sleep(0.05)
        workers = list(executor._processes.values())  # type: ignore[attr-defined]
        stop(executor)
    for worker in workers:
        worker.join(60)
        # The pool's own thread asks too, and only one of two who ask at once is told.
        while worker.exitcode is None and time.monotonic() < end:
            time.sleep(0.05)
        assert worker.exitcode == -signal.SIGTERM, worker.exitcode


class Killed(Executor):
    """Dask gives up on what kills its workers, with an exception of its own."""

    def __init__(self, culprit: Callable[..., Any]) -> None:
        self.culprit = culprit

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if fn is self.culprit:
            killed = pytest.importorskip("distributed").scheduler.KilledWorker("task", None, 3)
            future.set_exception(killed)
        else:
            future.set_result(fn(*args, **kwargs))
        return future

    def shutdown(self, wait: bool = True) -> None:  # type: ignore[override]
        pass


@pytest.mark.parametrize("culprit", [sweeping.look, sweeping.evaluate])
def test_what_kills_the_workers_of_a_cluster_fails_alone(
    culprit: Callable[..., Any], one: Path, tmp_path: Path
) -> None:
    summary, told, _ = run_sweep(one, tmp_path / "run", lambda: Killed(culprit), 1)
    if culprit is sweeping.look:
        assert [row["state"] for row in summary.clips] == ["failed"]
        assert any("died" in text for text in told)
    else:
        assert len(summary.failures) == 2


def test_a_clip_that_is_another_one_is_done_anew_and_that_is_told(tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    (clips / "boxes").mkdir(parents=True)
    make_video(clips / "a.mkv", "-c:v", "ffv1")
    (clips / "boxes" / "a.csv").write_text("time,x,y,w,h\n0,80,40,120,120\n")
    file = tmp_path / "e.toml"
    text = f'factors = [4]\nbackends = ["constant"]\nuncoded = true\n[dataset]\nname = "{clips}"\n'
    file.write_text(text + '[[codecs]]\nname = "x264"\nmode = "crf"\nrates = [40]\n')
    run_sweep(file, tmp_path / "run", lambda: ThreadPoolExecutor(1), 1)
    (clips / "boxes" / "a.csv").write_text("time,x,y,w,h\n0,90,40,120,120\n")
    _, told, _ = run_sweep(file, tmp_path / "run", lambda: ThreadPoolExecutor(1), 1)
    assert any(
        text.startswith("Clip a is not what it was") and "2 encodes are done anew" in text for text in told
    )
    run_sweep(file, tmp_path / "fresh", lambda: ThreadPoolExecutor(1), 1)
    assert tables(tmp_path / "run") == tables(tmp_path / "fresh")
    (clips / "boxes" / "a.csv").unlink()
    (clips / "a.mkv").rename(clips / "b.mkv")
    with pytest.raises(InputError, match="holds 2 encodes of the clip 'a', which the dataset does not have"):
        run_sweep(file, tmp_path / "run", lambda: ThreadPoolExecutor(1), 1)


def test_planes_of_dead_processes_are_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RDBENCH_CACHE", str(tmp_path))
    dead = os.fork()
    if dead == 0:
        os._exit(0)
    os.waitpid(dead, 0)
    here = platform.node()
    kept = {f"{os.getpid()}@{here}@x", "other", f"1@{here}@x", f"{dead}@{here}-elsewhere@x"}
    for name in (f"{dead}@{here}@x", *kept):
        (tmp_path / "work" / name).mkdir(parents=True)
    sweep_work()
    left = {folder.name for folder in (tmp_path / "work").iterdir()}
    assert left == kept


grid = st.lists(
    st.builds(
        Condition,
        st.sampled_from(["face", "frame"]),
        st.sampled_from([1, 2, 16]),
        st.sampled_from(["none", "x264", "x265"]),
        st.just("ra"),
        st.just("crf"),
        st.floats(0, 50),
    ),
    max_size=30,
    unique=True,
)


@given(grid)
def test_units_hold_each_condition_once(conditions: list[Condition]) -> None:
    units = split("clip", conditions)
    assert sorted(c for unit in units for c in unit.conditions) == sorted(conditions)
    for unit in units:
        assert unit.clip == "clip"
        assert {(c.region, c.factor) for c in unit.conditions} == {(unit.region, unit.factor)}
    assert len({(unit.region, unit.factor) for unit in units}) == len(units)


class Listed(Dataset):
    """A dataset that is only an index."""

    name = "listed"

    def __init__(self, labels: object = None, **counts: int) -> None:
        self.labels = labels
        self._index = [ClipInfo(f"{p}{n}", f"s{n}", p) for p, count in counts.items() for n in range(count)]

    def index(self) -> list[ClipInfo]:
        return self._index

    def load(self, name: str) -> Any:
        return self


@pytest.mark.parametrize(
    ("dataset", "partition"),
    [
        (Listed(test=2, dev=1, labels="some"), "test"),
        (Listed(test=2, dev=1), "dev"),
        (Listed(test=2, train=1), "test"),
        (Listed(dev=2, train=1), "dev"),
        (Listed(train=1), "train"),
    ],
    ids=["labelled test", "test without labels", "no dev", "no test", "train alone"],
)
def test_the_partition_that_can_be_scored_is_chosen(dataset: Listed, partition: str) -> None:
    clips, chosen = select_clips(dataset, DatasetChoice())  # type: ignore[arg-type]
    assert chosen == partition
    assert {clip.partition for clip in clips} == {partition}


def test_clips_are_taken_as_listed_and_unknown_ones_are_told() -> None:
    clips, _ = select_clips(SyntheticDataset(), DatasetChoice(clips=("test_02", "test_01", "test_02")))
    assert [clip.name for clip in clips] == list(CLIPS[::-1])
    with pytest.raises(InputError, match=r"no clip 'test_999'; did you mean 'test_\d+'"):
        select_clips(SyntheticDataset(), DatasetChoice(clips=("test_999",)))
    with pytest.raises(InputError, match="no clip in partition dev; it has test"):
        select_clips(Listed(test=1), DatasetChoice(partition="dev"))  # type: ignore[arg-type]


def test_what_goes_to_a_worker_is_picklable(tiny: Path, tmp_path: Path) -> None:
    setup = make_plan(load_experiment(tiny)).setup
    again = pickle.loads(pickle.dumps(setup))
    assert isinstance(again, Setup)
    assert again == setup
    assert hash(again) == hash(setup)
    (tmp_path / "a.mkv").touch()
    folder = pickle.loads(pickle.dumps(FolderDataset(tmp_path)))
    assert [clip.name for clip in folder.index()] == ["a"]


def test_threads_are_an_executor_too(one: Path, tmp_path: Path) -> None:
    with threads(2) as fresh:
        summary, _, _ = run_sweep(one, tmp_path / "run", fresh, 2)
    assert summary.encodes == 2


@pytest.fixture(autouse=True)
def _quiet_dask() -> Iterator[None]:
    import logging

    before = logging.getLogger("distributed").level
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("distributed").setLevel(before)


def test_the_message_of_a_dead_scheduler_is_one_sentence(one: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="dask.distributed is an extra")
    done = within("run", one, "--out", tmp_path / "run", "--scheduler", "nonsense://x")
    assert done.code == 2
    assert "nonsense://x" in one_sentence(done.err)
