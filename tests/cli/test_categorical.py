"""Classes from labels to deltas, through the command line alone: a classifier that can be worked out by hand."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_videos import LOSSLESS, from_planes, texture
from sklearn import metrics as sk

from rdbench.backends.registry import GROUP
from rdbench.curves.run import open_run
from rdbench.stats.metrics import parse_confusion
from rdbench.tables.predictions import unpack

CLASSES = ("dark", "dim", "bright")
LEVELS = (60, 126, 190)
FRAMES, SIDE = 24, 64
CLIPS = ("p1", "p2", "p3")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Three people who go from dark to bright; some labels are wrong on purpose, one is missing."""
    root = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for number, name in enumerate(CLIPS):
        pictures = texture(FRAMES, SIDE, SIDE, seed=number)
        luma = pictures[:, : SIDE * SIDE].astype(int)
        truth = np.repeat(np.roll(np.arange(3), number), FRAMES // 3)
        luma += np.array(LEVELS)[truth][:, None] - luma.mean(axis=1, keepdims=True).astype(int)
        pictures[:, : SIDE * SIDE] = np.clip(luma, 16, 235)
        pictures[:, SIDE * SIDE :] = 128
        from_planes(pictures.tobytes(), SIDE, SIDE, root / f"{name}.mkv", *LOSSLESS)
        said = np.where(rng.random(FRAMES) < 0.25, rng.integers(0, 3, FRAMES), truth)
        words = [CLASSES[i] for i in said]
        words[5] = ""
        rows = "".join(f"{i / 25:.2f},{word}\n" for i, word in enumerate(words))
        write(root / "labels" / f"{name}.csv", f"time,light\n{rows}")
        boxes = "".join(f"{i / 25:.2f},8,8,48,48\n" for i in range(FRAMES))
        write(root / "boxes" / f"{name}.csv", f"time,x,y,w,h\n{boxes}")
    return root


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    """The double as if another package offered it by an entry point."""
    place = tmp_path_factory.mktemp("site")
    write(place / "double-1.0.dist-info" / "METADATA", "Metadata-Version: 2.1\nName: double\nVersion: 1.0\n")
    declared = f"[{GROUP}]\ndouble = rdbench.backends.double:open_backend\n"
    write(place / "double-1.0.dist-info" / "entry_points.txt", declared)
    paths = [str(place), str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "OMP_NUM_THREADS": "1",
    }


def call(environment: dict[str, str], *arguments: object, code: int = 0) -> str:
    command = [sys.executable, "-c", "from rdbench.cli import main; main()", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == code, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def run(folder, environment, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    call(
        environment,
        *("run", "--dataset", folder, "--backend", "double@classes", "--region", "face", "--factor", 1),
        *("--codec", "x264", "--codec", "x265", "--mode", "crf", "--out", out, "--jobs", 1),
        *(part for rate in (20, 30, 40, 50) for part in ("--rate", rate)),
    )
    return out


def test_confusion_matrices_are_those_of_the_predictions(run):
    opened = open_run(run)
    assert len(opened.scores) == len(CLIPS) * 9
    blobs = opened.predictions.set_index("encode")["data"]
    for row in opened.scores.itertuples():
        arrays = unpack(blobs[row.encode])
        assert tuple(arrays["outputs"]) == tuple(json.loads(row.classes)) == CLASSES
        gold = arrays["gold"][:, 0]
        seen = np.isfinite(gold)
        predicted = arrays["prediction"].argmax(axis=1)
        table = sk.confusion_matrix(gold[seen], predicted[seen], labels=range(3))
        assert (parse_confusion(row.confusion) == table).all()
        assert row.n == FRAMES - 1
        assert (row.target, row.gold, row.backend) == ("light", "labels", "double@classes")


def test_labels_reach_the_classes_of_the_back_end_whatever_their_order(run, folder):
    """Labels are sorted by name (bright, dark, dim), the back-end counts from dark."""
    opened = open_run(run)
    uncoded = opened.encodes[opened.encodes["codec"] == "none"].set_index("clip")["encode"]
    blobs = opened.predictions.set_index("encode")["data"]
    for name in CLIPS:
        with (folder / "labels" / f"{name}.csv").open() as file:
            words = [row["light"] for row in csv.DictReader(file)]
        gold = unpack(blobs[uncoded[name]])["gold"][:, 0]
        assert [("" if np.isnan(value) else CLASSES[int(value)]) for value in gold] == words


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
def test_curves_hold_accuracy_and_macro_f1_of_all_frames_together(run, metric):
    opened = open_run(run)
    curve = opened.curves(metric)
    assert len(curve) == 9
    blobs = opened.predictions.set_index("encode")["data"]
    for point in curve.itertuples():
        same = opened.encodes[
            (opened.encodes["codec"] == point.codec) & (opened.encodes["rate"] == point.rate)
        ]
        arrays = [unpack(blobs[encode]) for encode in same["encode"]]
        gold = np.concatenate([each["gold"][:, 0] for each in arrays])
        predicted = np.concatenate([each["prediction"].argmax(axis=1) for each in arrays])
        seen = np.isfinite(gold)
        wanted = (
            sk.accuracy_score(gold[seen], predicted[seen])
            if metric == "accuracy"
            else sk.f1_score(gold[seen], predicted[seen], average="macro")
        )
        assert point.value == pytest.approx(wanted, abs=1e-9)
        assert 0.5 < point.value < 1


def test_plots_deltas_and_exports_take_classes(run, environment, tmp_path):
    kinds = ("--only", "rd,confusion")
    figures = call(environment, "plot", run, "--out", tmp_path / "figures", *kinds).splitlines()
    assert any("rd_" in name and name.endswith(".png") for name in figures)
    assert any("confusion" in name for name in figures)
    assert "accuracy" in (tmp_path / "figures" / "captions.md").read_text().lower()
    call(environment, "plot", run, "--out", tmp_path / "f1", "--metric", "f1", "--only", "rd")
    sides = ("--anchor", "codec=x264", "--test", "codec=x265", "--format", "json")
    for extra in ((), ("--metric", "f1")):
        deltas = json.loads(call(environment, "bd", run, *sides, *extra))
        assert len(deltas) == 1
        assert deltas[0]["metric"] == (extra[1] if extra else "accuracy")
        assert abs(deltas[0]["bd_accuracy"]) < 0.2
    call(environment, "export", run, "--out", tmp_path / "tables")
    scores = list(csv.DictReader(io.StringIO((tmp_path / "tables" / "scores.csv").read_text())))
    assert all(json.loads(row["classes"]) == list(CLASSES) for row in scores)
    curves = list(csv.DictReader((tmp_path / "tables" / "curves.csv").open()))
    for metric in ("accuracy", "f1"):
        pooled = open_run(run).curves(metric)
        coded = pooled[pooled["codec"] != "none"]
        found = [float(row["value"]) for row in curves if row["metric"] == metric]
        assert sorted(found) == pytest.approx(sorted(coded["value"]))


def test_labels_that_the_back_end_does_not_know_fail_the_clip(folder, environment, tmp_path):
    call(
        environment,
        *("run", "--dataset", folder, "--backend", "double@values", "--factor", 1, "--region", "face"),
        *("--codec", "x264", "--rate", 40, "--mode", "crf", "--out", tmp_path / "run", "--jobs", 1),
        code=2,
    )
