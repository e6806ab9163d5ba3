"""The example of a back-end from another package: installed into a fresh place, and used from there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rdbench.runs import open_run

PLUGIN = Path(__file__).resolve().parents[1] / "examples" / "expression_plugin"


def done(command: list[object], environment: dict[str, str], code: int = 0) -> str:
    answer = subprocess.run(
        [str(part) for part in command],
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert answer.returncode == code, answer.stdout[-2000:] + answer.stderr[-3000:]
    return answer.stdout


def rdbench(*arguments: object) -> list[object]:
    return [sys.executable, "-c", "from rdbench.cli import main; main()", *arguments]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> dict[str, str]:
    """The plug-in in a folder of its own, built from a copy so that the checkout stays as it is."""
    place = tmp_path_factory.mktemp("plugin")
    shutil.copytree(
        PLUGIN, place / "source", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    )
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    done([*pip, "--target", place / "site", place / "source"], dict(os.environ))
    paths = [str(place / "site"), str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "XDG_DATA_HOME": str(place / "data"),
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture(scope="module")
def ready(installed) -> dict[str, str]:
    """With weights, or a skip that says why there are none."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed: the example takes its weights from the npm registry")
    answer = subprocess.run(
        [sys.executable, "-c", "from rdbench_expression.weights import main; raise SystemExit(main())"],
        env=installed,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
    )
    if answer.returncode == 2 and "npm pack" in answer.stderr:
        pytest.skip(f"the npm registry does not answer: {answer.stderr[-200:]}")
    assert answer.returncode == 0, answer.stderr
    return installed


def test_without_weights_it_says_how_to_get_them(installed, tmp_path):
    environment = {**installed, "XDG_DATA_HOME": str(tmp_path)}
    told = done(rdbench("list", "backends"), environment)
    assert "fetch them once with rdbench-expression-setup" in told


def test_other_files_are_refused(ready, tmp_path):
    folder = Path(ready["XDG_DATA_HOME"]) / "rdbench-expression"
    for file in folder.iterdir():
        shutil.copy(file, tmp_path)
    content = bytearray((tmp_path / "face_expression_model.bin").read_bytes())
    content[1000] ^= 1
    (tmp_path / "face_expression_model.bin").write_bytes(bytes(content))
    code = (
        "import sys, pathlib; from rdbench.errors import InputError; from rdbench_expression import open_backend\n"
        "try: open_backend(None, pathlib.Path(sys.argv[1]), 'cpu')\n"
        "except InputError as error: print(error)"
    )
    assert "not the file that is expected" in done([sys.executable, "-c", code, tmp_path], ready)


def test_it_keeps_to_the_protocol(ready):
    code = (
        "from rdbench.backends.conformance import check_backend; from rdbench.backends.registry import find_backend\n"
        "backend = find_backend('expression'); print(check_backend(backend), backend.weights)"
    )
    assert done([sys.executable, "-c", code], ready).split() == ["[]", "9a9840f2cf1f4c7e"]


def test_real_faces_smile(ready, real_clips, tmp_path):
    """Agreement with itself on pristine frames, and a clip that goes from neutral to a smile."""
    clips = tmp_path / "clips"
    clips.mkdir()
    shutil.copy(real_clips / "smile_640x360.mp4", clips)
    out = tmp_path / "run"
    done(
        rdbench(
            *(
                "run",
                "--dataset",
                clips,
                "--backend",
                "expression",
                "--region",
                "face",
                "--factor",
                1,
                "--factor",
                4,
            ),
            *("--codec", "x264", "--mode", "crf", "--rate", 20, "--rate", 45, "--out", out, "--jobs", 1),
        ),
        {**ready, "RDBENCH_CACHE": str(tmp_path / "cache")},
    )
    run = open_run(out)
    assert set(run.scores["gold"]) == {"pristine:expression"}
    classes = json.loads(run.scores["classes"].iloc[0])
    counts = np.sum([json.loads(text) for text in run.scores["confusion"]], axis=0)
    told = dict(zip(classes, counts.sum(axis=1) / counts.sum(), strict=True))
    assert told["happy"] > 0.4
    assert told["neutral"] > 0.1
    accuracy = run.curves("accuracy").set_index(["factor", "codec", "rate"])["value"]
    assert accuracy[1, "x264", 20] > accuracy[4, "x264", 45]
    assert accuracy[1, "x264", 20] > 0.9
