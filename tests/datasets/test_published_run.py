"""Published sets from the folder on disk to a report, through the command line alone."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from published import FRAMES, LAYOUTS, write_crema
from sklearn.metrics import f1_score

from rdbench.backends.registry import GROUP
from rdbench.curves.run import Run, open_run
from rdbench.datasets.published.common import EXPRESSIONS
from rdbench.datasets.registry import open_dataset
from rdbench.tables.kinds import UNITS, kinds
from rdbench.tables.predictions import unpack

BACKENDS = {
    "affwild2": "va",
    "affwild2:expr": "expr",
    "affwild2:au": "au",
    "afew-va": "va",
    "ck+": "expr",
    "ck+:au": "au",
    "ravdess": "expr",
    "crema-d": "expr",
    "mead": "expr",
}

TESTER = f"""
from rdbench.backends.double import Double
from rdbench.backends.protocol import Input

def open_backend(size, weights, device):
    name, given = f"tester@{{size}}", Input(size=32)
    if size == "va":
        return Double(name, given)
    if size == "au":
        return Double(name, given, ("AU1", "AU2", "AU12"), units=True)
    return Double(name, given, ("expression",), {EXPRESSIONS!r})
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    """A back-end for each kind of label, as if another package offered it."""
    place = tmp_path_factory.mktemp("site")
    (place / "tester-1.0.dist-info").mkdir()
    (place / "tester-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: tester\nVersion: 1.0\n"
    )
    (place / "tester-1.0.dist-info" / "entry_points.txt").write_text(
        f"[{GROUP}]\ntester = tester:open_backend\n"
    )
    (place / "tester.py").write_text(TESTER)
    paths = [str(place), str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "OMP_NUM_THREADS": "1",
    }


def call(environment: dict[str, str], *arguments: object) -> str:
    command = [sys.executable, "-c", "from rdbench.cli import main; main()", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


def swept(environment: dict[str, str], name: str, root: Path, out: Path) -> Run:
    call(
        environment,
        *(
            "run",
            "--dataset",
            name,
            "--root",
            root,
            "--backend",
            f"tester@{BACKENDS[name]}",
            "--region",
            "face",
        ),
        *(
            "--factor",
            2,
            "--codec",
            "x264",
            "--mode",
            "crf",
            "--rate",
            25,
            "--rate",
            45,
            "--out",
            out,
            "--jobs",
            1,
        ),
    )
    return open_run(out)


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.long) for name in LAYOUTS])
def test_a_set_goes_from_its_folder_to_a_report(name, environment, tmp_path):
    root = LAYOUTS[name](tmp_path / "set")
    assert "can be used." in call(environment, "doctor", "--dataset", name, "--root", root)
    run = swept(environment, name, root, tmp_path / "run")
    kind = {"va": "continuous", "expr": "classes", "au": "units"}[BACKENDS[name]]
    assert set(kinds(run.scores)) == {kind}
    assert set(run.scores["gold"]) == {"labels"}
    whole = open_dataset(name, root).load(run.encodes["clip"].iloc[0]).labels.whole
    if whole:
        # One answer of each recording, of each unit.
        assert set(run.scores.loc[run.scores["target"] != UNITS, "n"]) == {1}
    if name == "ravdess":
        assert run.clips.set_index("clip")["state"]["01-02-01-01-01-01"] == "skipped"
    figures = call(environment, "plot", run.path, "--only", "rd,standalone", "--formats", "png").split()
    assert any("rd_" in figure for figure in figures)
    report = tmp_path / "report.html"
    call(environment, "report", run.path, "-o", report)
    assert report.stat().st_size > 100_000
    call(environment, "export", run.path)
    metrics = {"continuous": {"ccc", "pcc", "rmse"}, "classes": {"accuracy", "f1"}, "units": {"unit_f1"}}[
        kind
    ]
    with (run.path / "export" / "curves.csv").open() as file:
        assert {row["metric"] for row in csv.DictReader(file)} == metrics


@pytest.mark.long
def test_units_have_the_f1_of_all_frames_together_and_their_mean(environment, tmp_path):
    run = swept(environment, "affwild2:au", LAYOUTS["affwild2:au"](tmp_path / "set"), tmp_path / "run")
    blobs = run.predictions.set_index("encode")["data"]
    curves = run.curves()
    for rate, own in run.encodes.groupby("rate"):
        arrays = [unpack(blobs[encode]) for encode in own["encode"]]
        gold = np.concatenate([each["gold"] for each in arrays])
        found = np.concatenate([each["prediction"] for each in arrays]) >= 0.5
        seen = np.isfinite(gold).all(axis=1)
        assert 0 < seen.sum() < len(seen)
        expected = [f1_score(g, f) for g, f in zip(gold[seen].T, found[seen].T, strict=True)]
        points = curves[curves["rate"] == rate].set_index("target")
        assert set(points["metric"]) == {"unit_f1"}
        assert points.loc[["AU1", "AU2", "AU12"], "value"].tolist() == pytest.approx(expected)
        assert points.loc[UNITS, "value"] == pytest.approx(np.mean(expected))


def test_a_recording_has_one_answer_the_mean_of_its_frames(environment, tmp_path):
    run = swept(environment, "crema-d", write_crema(tmp_path / "set"), tmp_path / "run")
    blobs = run.predictions.set_index("encode")["data"]
    for row in run.scores.itertuples():
        arrays = unpack(blobs[row.encode])
        assert len(arrays["prediction"]) == FRAMES
        answer = int(np.nanmean(arrays["prediction"], axis=0).argmax())
        gold = int(arrays["gold"][0, 0])
        counts = np.array(json.loads(row.confusion))
        assert (row.n, counts.sum(), counts[gold, answer]) == (1, 1, 1)


@pytest.mark.long
def test_classes_are_learned_from_the_weights_that_ship_and_used(environment, tmp_path):
    root = write_crema(tmp_path / "set", frames=40)
    (root / "partitions.csv").write_text("subject,partition\n1001,train\n1002,test\n")
    weights, out = tmp_path / "weights", tmp_path / "run"
    package = ("--dataset", "crema-d", "--root", root)
    (root / "partitions.csv").write_text("subject,partition\n1001,train\n1002,dev\n")
    call(
        environment,
        *("train", "direct@lite", *package, "--factor", 4, "--epochs", 2, "--stride", 1, "--device", "cpu"),
        *("--start", "shipped", "--out", weights),
    )
    call(
        environment,
        *(
            "run",
            *package,
            "--partition",
            "dev",
            "--weights",
            weights,
            "--backend",
            "direct@lite",
            "--region",
            "face",
        ),
        *("--factor", 4, "--codec", "x264", "--mode", "crf", "--rate", 30, "--out", out, "--jobs", 1),
    )
    run = open_run(out)
    assert set(kinds(run.scores)) == {"classes"}
    probabilities = unpack(run.predictions["data"].iloc[0])["prediction"]
    assert np.nansum(probabilities, axis=1) == pytest.approx(1)
    assert call(environment, "plot", out, "--only", "rd", "--formats", "png")
