"""What there is to choose from, and what is told of a machine that lacks something."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner
from packages import write_avec
from small_runs import within

from rdbench import binary
from rdbench.backends import registry
from rdbench.backends.registry import list_backends
from rdbench.cli.diagnosis import _encoders, _torch, diagnosis, package
from rdbench.cli.group import main
from rdbench.cli.listing import cache_report, everything
from rdbench.codecs.profiles import load_profiles
from rdbench.datasets.registry import NAMES
from rdbench.errors import InputError


def test_everything_is_what_there_is() -> None:
    found = {kind: dict(rows) for kind, rows in everything().items()}
    assert set(found) == {"codecs", "backends", "datasets", "experiments"}
    assert set(found["codecs"]) == set(load_profiles())
    assert set(list_backends()) <= {name.partition(":")[0] for name in found["backends"]}
    assert set(found["datasets"]) == {*NAMES, "PATH"}
    assert {"quick.toml", "standalone.toml"} <= set(found["experiments"])
    assert all(text for rows in found.values() for text in rows.values())
    assert "variants ra, ld" in found["codecs"]["x264"]


def test_an_own_codec_says_where_it_is_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = (Path(__file__).parents[2] / "codecs" / "x265.toml").read_text()
    (tmp_path / "x265.toml").write_text(shipped)
    monkeypatch.setenv("RDBENCH_CODECS", str(tmp_path))
    assert f"yours, from {tmp_path}" in dict(everything()["codecs"])["x265"]


def test_a_back_end_that_does_not_open_is_listed_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise InputError("No weights.")

    monkeypatch.setattr(registry, "find_backend", fail)
    assert dict(everything()["backends"])["constant"] == "cannot be opened: No weights."


def test_a_healthy_machine() -> None:
    lines, good = diagnosis()
    assert good
    assert lines[-1] == "Everything a run needs is there."
    assert f"numpy {metadata.version('numpy')}" in lines
    told = {line.split(":")[0].removeprefix("codec "): line for line in lines if line.startswith("codec ")}
    assert re.search(r"libx264 x264 - core \d+", told["x264"])
    for name in ("x265", "svtav1", "libaom", "vp9", "vvenc"):
        assert re.search(r" \d+\.\d+\S*, ok$", told[name]), told[name]


def test_a_missing_package_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rdbench.cli.diagnosis.required", lambda: ["numpy", "no-such-package"])
    lines, good = diagnosis()
    assert not good
    assert "no-such-package: missing; install it with pip install no-such-package" in lines


def test_a_missing_ffmpeg_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise InputError("No FFmpeg found.")

    monkeypatch.setattr(binary, "build", fail)
    lines, good = diagnosis()
    assert not good
    assert "install imageio-ffmpeg" in lines[-1]


@pytest.mark.parametrize(("missing", "fine"), [("libx264", False), ("libvvenc", True)])
def test_an_encoder_that_ffmpeg_lacks(missing: str, fine: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {profile.encoder for profile in load_profiles().values()}
    assert _encoders() >= known
    monkeypatch.setattr("rdbench.cli.diagnosis._encoders", lambda: known - {missing})
    lines, good = diagnosis()
    assert good == fine
    assert any(f"has no {missing}" in line for line in lines)


@pytest.mark.parametrize(
    ("cuda", "gpu", "text"),
    [
        (None, False, "torch is a CPU build"),
        ("13.0", True, "sees A Card"),
        ("13.0", False, "but there is no GPU; a CPU build is smaller"),
    ],
)
def test_a_cuda_build_without_a_gpu_is_named(
    cuda: str | None, gpu: bool, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "cuda", cuda)
    card = SimpleNamespace(is_available=lambda: gpu, get_device_name=lambda: "A Card")
    monkeypatch.setattr(torch, "cuda", card)
    assert text in _torch()


def test_a_package_tells_how_labels_meet_frames(tmp_path: Path) -> None:
    root = write_avec(tmp_path, {"train": 1, "dev": 1, "test": 1}, frames=10, boxes=(10, 8, 20, 24))
    times = root / "recordings_video_frame_time" / "dev_1.csv"
    times.write_text("frame;time\n" + "".join(f"{i};{i / 25 + 0.01 * (i > 5)}\n" for i in range(10)))
    lines, usable = package("avec2016", root)
    assert usable
    assert "cover 100.0 % of frames (6 exact, 4 nearest, 0 interpolated, 0 missing)" in lines[1]
    assert "boxes given for 100.0 % of frames" in lines[1]
    assert lines[3] == "labels of 20 frames in 2 clips: 16 exact, 4 nearest, 0 interpolated, 0 missing"
    assert lines[-1] == "train and dev can be used."


def test_a_package_in_which_nobody_is_seen_cannot_be_used(tmp_path: Path) -> None:
    root = write_avec(tmp_path, {"train": 1, "dev": 1}, frames=10)
    done = within("doctor", "--dataset", "avec2016", "--root", root)
    assert done.code == 2
    assert "problem: no recording of dev shows a face" in done.out
    assert done.out.endswith("train and dev cannot be used: see above.\n")


def test_an_empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RDBENCH_CACHE", str(tmp_path / "none"))
    assert cache_report(False) == [f"cache: {tmp_path / 'none'}"]
    assert cache_report(True) == [f"cache: {tmp_path / 'none'}", "removed"]


def test_a_cache_behind_a_link_loses_the_link_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RDBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "film.mkv").touch()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "synthetic").symlink_to(tmp_path / "disk")
    cache_report(True)
    assert (tmp_path / "disk" / "film.mkv").exists()
    assert not (tmp_path / "cache" / "synthetic").exists()


def test_words_are_completed_as_the_readme_says(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert 'eval "$(_RDBENCH_COMPLETE=bash_source rdbench)"' in readme
    asked = {"_RDBENCH_COMPLETE": "bash_complete", "COMP_WORDS": "rdbench re", "COMP_CWORD": "1"}
    done = CliRunner().invoke(main, [], env=asked, prog_name="rdbench")
    assert {"plain,report", "plain,rescore"} <= set(done.output.split())
