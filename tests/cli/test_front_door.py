"""The front door: whatever is handed in, a run ends in a code and a sentence, and the good clips are done."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from made_videos import ffmpeg, moving

COUNT = int(os.environ.get("RDBENCH_FUZZ", "2000"))
"""Mutated inputs; `RDBENCH_FUZZ=200 make test-long` takes fewer."""

SOURCES = {
    "mp4": ("-c:v", "libx264"),
    "mkv": ("-c:v", "libx265", "-x265-params", "log-level=0"),
    "ts": ("-c:v", "mpeg2video"),
    "avi": ("-c:v", "mjpeg"),
    "mov": ("-c:v", "png"),
    "webm": ("-c:v", "libvpx"),
    "gif": (),
    "nut": ("-c:v", "ffv1"),
    "flv": ("-c:v", "libx264"),
    "m2ts": ("-c:v", "libx264", "-bf", "2"),
    "mpg": ("-c:v", "mpeg2video"),
    "m2v": ("-c:v", "mpeg2video"),
    "asf": ("-c:v", "mpeg4"),
    "3gp": ("-c:v", "mpeg4"),
    "ogv": ("-c:v", "libtheora"),
    "mjpeg": ("-c:v", "mjpeg"),
    "ivf": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"),
    "y4m": ("-pix_fmt", "yuv420p"),
    "apng": (),
    "h264": ("-c:v", "libx264"),
}
TABLES = {
    "labels": "time,valence\n" + "".join(f"{i * 0.04:.2f},{i / 24:.3f}\n" for i in range(25)),
    "boxes": "time,x,y,w,h\n" + "".join(f"{i * 0.04:.2f},40,30,64,64\n" for i in range(25)),
}
ALLOWED = {0, 2, 4}


def mutated(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """Bytes flipped, cut, taken out, or spliced with another file's."""
    changed = bytearray(data)
    at = int(rng.integers(len(data)))
    length = int(rng.integers(1, max(2, len(data) // 4)))
    kind = int(rng.integers(5))
    if kind == 0:
        for place in rng.integers(len(data), size=int(rng.integers(1, 30))):
            changed[place] ^= int(rng.integers(1, 256))
    elif kind == 1:
        del changed[at:]
    elif kind == 2:
        del changed[at : at + length]
    elif kind == 3:
        changed[at : at + length] = rng.bytes(length)
    else:
        changed[at : at + length] = other[at % len(other) : at % len(other) + length]
    return bytes(changed)


def run(dataset: Path, out: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """The real command line on a folder."""
    options = (
        "--codec",
        "x264",
        "--mode",
        "crf",
        "--rate",
        "40",
        "--factor",
        "8",
        "--region",
        "face",
        "--jobs",
        "2",
    )
    program = str(Path(sys.executable).parent / "rdbench")
    command = [program, "run", "--dataset", str(dataset), *options]
    command += ["--backend", "direct@lite", "--out", str(out)]
    return subprocess.run(
        command, capture_output=True, env={**os.environ, **environment}, timeout=900, check=False
    )


def held(done: subprocess.CompletedProcess[bytes], out: Path, good: set[str]) -> None:
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert done.returncode in ALLOWED, said[-2000:]
    assert "Traceback" not in said, said[-2000:]
    assert "error of rdbench" not in said, said[-2000:]
    with closing(sqlite3.connect(out / "run.sqlite")) as store:
        states = dict(store.execute("SELECT clip, state FROM clips"))
        encoded = {clip for (clip,) in store.execute("SELECT DISTINCT clip FROM encodes")}
    assert {name for name, state in states.items() if state == "used"} >= good, said[-2000:]
    assert encoded >= good


def processes_of(folder: Path) -> list[str]:
    """Commands of processes that name a folder."""
    if not Path("/proc").is_dir():
        return []
    commands = [_command(path) for path in Path("/proc").glob("[0-9]*/cmdline")]
    return [command for command in commands if str(folder) in command]


def _command(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""  # it has ended


def beside_good_ones(folder: Path) -> None:
    """A clip that is right in everything."""
    for kind, text in TABLES.items():
        (folder / kind).mkdir(parents=True)
        (folder / kind / "good.csv").write_text(text)
    shutil.copy(moving(), folder / "good.mp4")


@pytest.mark.long
def test_no_input_of_many_ends_a_run(tmp_path):
    """Mutated clips and sidecars in folders of 40, each with a good clip; the time is held to that of the good one."""
    made = {}
    for suffix, options in SOURCES.items():
        file = tmp_path / f"source.{suffix}"
        ffmpeg("-f", "lavfi", "-i", "testsrc2=s=160x120:r=25,trim=end_frame=25", *options, file)
        made[suffix] = file.read_bytes()
    rng = np.random.default_rng(1)
    alone = tmp_path / "alone"
    beside_good_ones(alone)
    start = time.monotonic()
    held(run(alone, tmp_path / "out-alone"), tmp_path / "out-alone", {"good"})
    usual = time.monotonic() - start
    for first in range(0, COUNT, 40):
        folder, out = tmp_path / f"set-{first}", tmp_path / f"out-{first}"
        beside_good_ones(folder)
        for index in range(first, min(first + 40, COUNT)):
            suffix = list(made)[index % len(made)]
            other = list(made.values())[int(rng.integers(len(made)))]
            spoilt = int(rng.integers(4))
            data = made[suffix] if spoilt > 1 else mutated(made[suffix], other, rng)
            (folder / f"bad{index}.{suffix}").write_bytes(data)
            for place, (kind, text) in enumerate(TABLES.items()):
                table = text.encode()
                if spoilt == 2 + place:
                    table = mutated(table, other, rng)
                (folder / kind / f"bad{index}.csv").write_bytes(table)
        start = time.monotonic()
        done = run(folder, out, TMPDIR=str(tmp_path))
        taken = time.monotonic() - start
        held(done, out, {"good"})
        assert taken < usual + 60 * 40
        assert not list(tmp_path.glob("rdbench-*"))
        assert not processes_of(folder)
        shutil.rmtree(folder)
        shutil.rmtree(out)


@pytest.mark.long
def test_a_manifest_of_any_bytes_is_used_or_refused(tmp_path):
    rng = np.random.default_rng(2)
    right = b"clip,file,subject,partition\ngood,good.mp4,anna,test\n"
    for index in range(max(5, COUNT // 100)):
        folder, out = tmp_path / f"set-{index}", tmp_path / f"out-{index}"
        beside_good_ones(folder)
        (folder / "manifest.csv").write_bytes(mutated(right, rng.bytes(64), rng))
        done = run(folder, out)
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        assert done.returncode in ALLOWED, said
        assert "Traceback" not in said, said


def test_bad_clips_fail_in_a_sentence_and_the_good_one_is_done(tmp_path):
    beside_good_ones(tmp_path / "set")
    (tmp_path / "set" / "bad.mp4").write_bytes(moving().read_bytes()[:2000])
    (tmp_path / "set" / os.fsdecode(b"caf\xe9.mkv")).write_bytes(b"\xff" * 100)
    (tmp_path / "set" / "labels" / "bad.csv").write_bytes(b"\xff\xfe\x00")
    done = run(tmp_path / "set", tmp_path / "out")
    assert done.returncode == 4
    held(done, tmp_path / "out", {"good"})
