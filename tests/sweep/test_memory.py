"""What a worker needs does not grow with the recording: 150 s of 1280x720, whole frames coded, whose pictures take 5 GB."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import pytest
from packages import FFMPEG, Drawn, write_video

from rdbench.curves.run import open_run

psutil = pytest.importorskip("psutil", reason="psutil tells what processes need; it comes with distributed")

SECONDS, SHORT, FPS = 152, 4, 25
WORKER = 1.5e9
"""Bytes that one worker may have, its FFmpeg processes of the moment included: what a machine needs for each job."""

WORK_FOLDER = 1e9
"""Bytes that the work folder of one worker may take; all pictures of such a recording would take five times as much."""

EXPERIMENT = """
name = "long"
region = ["frame"]
factors = [1, 4]
uncoded = false
backends = ["direct@lite"]

[dataset]
name = "{clips}"

[[codecs]]
name = "x264"
mode = "crf"
rates = [35]

[[codecs]]
name = "x265"
mode = "crf"
rates = [35]
"""


def long_clip(file: Path) -> Path:
    """A drawn face, again and again: the packets of a short recording, copied."""
    file.parent.mkdir(parents=True)
    short = write_video(
        file.with_name("short.mp4"), SHORT * FPS, "1280x720", FPS, source=Drawn(SHORT).video("test_1")
    )
    loops = ["-stream_loop", str(SECONDS // SHORT - 1), "-i", str(short), "-c", "copy", str(file)]
    subprocess.run([FFMPEG, "-v", "error", "-y", *loops], check=True, stdin=subprocess.DEVNULL)
    short.unlink()
    return file


def needed(worker: psutil.Process) -> dict[str, int]:
    """Resident bytes of a worker and of the FFmpeg processes that it has at this moment; 0 where one is gone."""
    found = {"worker": 0, "ffmpeg": 0}
    try:
        found["worker"] = worker.memory_info().rss
        for child in worker.children(recursive=True):
            found["ffmpeg"] += child.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return found


def size_of(folder: Path) -> int:
    """Bytes of all files, as far as they are still there."""
    sizes = []
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):
            sizes.append(file.stat().st_size)
    return sum(sizes)


@pytest.mark.long
def test_a_long_recording_of_whole_frames_needs_no_more_than_a_worker_may_have(tmp_path):
    """Faces found, both codecs, whole and small pictures, a network: at each moment a worker and its FFmpegs together."""
    clip = long_clip(tmp_path / "clips" / "long.mp4")
    experiment = tmp_path / "long.toml"
    experiment.write_text(EXPERIMENT.format(clips=clip.parent))
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "RDBENCH_CACHE": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", "from rdbench.cli import main; main()", "run", str(experiment)]
    command += ["--jobs", "1", "--out", str(tmp_path / "run")]
    peaks: dict[str, int] = defaultdict(int)
    with (tmp_path / "log").open("wb") as log:
        run = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        head = psutil.Process(run.pid)
        while run.poll() is None:
            try:
                peaks["disk"] = max(peaks["disk"], size_of(tmp_path / "cache" / "work"))
                peaks["head"] = max(peaks["head"], head.memory_info().rss)
                for worker in head.children():
                    sizes = needed(worker)
                    for kind, size in {**sizes, "together": sum(sizes.values())}.items():
                        peaks[kind] = max(peaks[kind], size)
            except psutil.NoSuchProcess:
                continue
            time.sleep(0.1)
    assert run.returncode == 0, (tmp_path / "log").read_text()[-2000:]
    opened = open_run(tmp_path / "run")
    encodes = opened.encodes
    assert set(opened.clips["boxes"]) == {"found"}
    assert set(encodes["frames"]) == {SECONDS * FPS}
    assert sorted(zip(encodes["codec"], encodes["factor"], strict=True)) == [
        *(("x264", 1), ("x264", 4), ("x265", 1), ("x265", 4))
    ]
    assert set(opened.scores["backend"]) == {"direct@lite"}
    print({kind: f"{size / 1e9:.2f} GB" for kind, size in peaks.items()})
    # Both kinds of process were seen at work, so that their sum says something.
    assert peaks["worker"] > 1e8
    assert peaks["ffmpeg"] > 1e7
    assert peaks["disk"] > 1e8
    assert peaks["together"] < WORKER, dict(peaks)
    assert peaks["disk"] < WORK_FOLDER, dict(peaks)
