"""What a worker needs does not grow with the recording: ten minutes of 1280x720, whole frames coded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from packages import write_video

from rdbench.runs import open_run

psutil = pytest.importorskip("psutil", reason="psutil tells what processes need; it comes with distributed")

SECONDS, FPS = 600, 25
WORKER, DISK = 1.5e9, 25e9


@pytest.mark.long
def test_ten_minutes_of_whole_frames_need_no_more_than_a_worker_may_have(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    if free < DISK:
        pytest.skip(
            f"decoded pictures of ten minutes need {DISK / 1e9:.0f} GB of disk, {free / 1e9:.0f} are free"
        )
    clips = tmp_path / "clips"
    write_video(clips / "long.mp4", SECONDS * FPS, "1280x720", FPS)
    (clips / "boxes").mkdir()
    boxes = "".join(f"{second},560,240,200,200\n" for second in range(SECONDS + 1))
    (clips / "boxes" / "long.csv").write_text(f"time,x,y,w,h\n{boxes}")
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
        "RDBENCH_CACHE": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", "from rdbench.cli import main; main()", "run", "--dataset", str(clips)]
    command += ["--region", "frame", "--factor", "8", "--codec", "x264", "--mode", "crf", "--rate", "35"]
    command += ["--backend", "constant", "--jobs", "1", "--out", str(tmp_path / "run")]
    with (tmp_path / "log").open("wb") as log:
        run = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        peaks: dict[str, int] = {}
        root = psutil.Process(run.pid)
        while run.poll() is None:
            for process in [root, *root.children(recursive=True)]:
                try:
                    kind = "ffmpeg" if "ffmpeg" in process.name() else "python"
                    peaks[kind] = max(peaks.get(kind, 0), process.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue
            time.sleep(0.2)
    # Constant back-ends agree with themselves, which says nothing, and is told; the encodes are what is wanted.
    assert run.returncode == 0, (tmp_path / "log").read_text()[-2000:]
    encodes = open_run(tmp_path / "run").encodes
    assert set(encodes["frames"]) == {SECONDS * FPS}
    assert (encodes["codec"] == "x264").sum() == 1
    print({kind: f"{size / 1e9:.2f} GB" for kind, size in peaks.items()})
    assert sum(peaks.values()) < WORKER, peaks
