"""AVEC 2016 and RECOLA from the package on disk to figures, through the command line alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from packages import Drawn, write_avec, write_recola
from small_runs import inside, within

from rdbench.curves.run import Run, open_run

__all__ = ["inside"]

FRAMES = 34
MISSING = (5, 6, 17)
BOX = (560.0, 240.0, 200.0, 200.0)
TRAIN = ("--factor", 4, "--epochs", 1, "--device", "cpu")


@pytest.fixture(autouse=True)
def alone(inside: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own, in this process: the same commands without waiting for each to load torch."""
    monkeypatch.setenv("RDBENCH_CACHE", str(tmp_path / "cache"))


def call(*arguments: object) -> str:
    done = within(*arguments)
    assert done.code == 0, done
    return done.out


def swept(package: tuple[object, ...], out: Path, weights: Path, partition: str) -> Path:
    call(
        *("run", *package, "--partition", partition, "--weights", weights, "--backend", "direct@lite"),
        *("--region", "frame", "--factor", 4, "--codec", "x264", "--mode", "crf", "--rate", 30, "--rate", 45),
        *("--out", out, "--jobs", 1),
    )
    return out


def through(folder: Path, root: Path, frames: int) -> tuple[str, Run]:
    """Doctor, train, run and plot; what doctor told, and the run of dev."""
    package = ("--dataset", "avec2016", "--root", root)
    told = call("doctor", *package)
    assert "train and dev can be used." in told
    assert told.count("1280x720") == len(list((root / "recordings_video").iterdir()))
    assert f"{frames} frames" in told

    weights = folder / "weights"
    call("train", "direct@lite", *package, *TRAIN, "--stride", 1, "--delay", 0.4, "--out", weights)
    assert [file.name for file in weights.glob("*.safetensors")] == ["direct-lite-face-x4.safetensors"]

    run = open_run(swept(package, folder / "dev", weights, "dev"))
    assert set(run.encodes["clip"]) == {path.stem for path in (root / "recordings_video").glob("dev_*")}
    assert set(run.encodes["frames"]) == {frames}
    # The camera missed frames, so the recording lasts longer than its frames say.
    assert run.encodes["seconds"].to_numpy() == pytest.approx((frames + len(MISSING)) / 25, abs=0.05)
    assert set(run.scores["target"]) == {"arousal", "valence"}
    assert set(run.scores["gold"]) == {"labels"}
    assert set(run.scores["n"]) == {frames}
    assert "exact" in run.clips["labels"].iloc[0]

    figures = call("plot", run.path, "--only", "rd").splitlines()
    assert any(name.endswith(".png") and Path(name).stat().st_size > 5000 for name in figures)
    return told, run


def test_avec_2016_from_package_to_figures(tmp_path):
    counts = {"train": 3, "dev": 1, "test": 1}
    root = write_avec(tmp_path / "avec", counts, frames=FRAMES, size="1280x720", missing=MISSING, boxes=BOX)
    headers = [
        (root / "ratings_gold_standard" / "valence" / f"{name}.arff").read_bytes()
        for name in ("train_1", "train_2")
    ]
    assert {b"\r\n" in header for header in headers} == {True, False}
    assert len({header.split(b"@")[0][:1] for header in headers}) == 2
    through(tmp_path, root, FRAMES)


@pytest.mark.long
@pytest.mark.parametrize("boxes", ["given", "found"])
def test_avec_2016_of_drawn_people_from_package_to_figures(tmp_path, boxes):
    """Faces to be seen, and the ratings that belong to them; the package has boxes, or it has none."""
    train, dev, frames = 3, 2, 50
    drawn = Drawn((frames + len(MISSING)) / 25)
    root = write_avec(
        tmp_path / "avec",
        {"train": train, "dev": dev, "test": 1},
        frames=frames,
        size="1280x720",
        missing=MISSING,
        source=drawn.video,
        gold=drawn.gold,
        boxes=drawn.boxes if boxes == "given" else None,
    )
    assert (root / "boxes").is_dir() == (boxes == "given")
    told, run = through(tmp_path, root, frames)
    assert ("6 of 6 recordings have no face boxes: they will be found" in told) == (boxes == "found")
    assert "no face in any" not in told
    assert set(run.clips["boxes"]) == {boxes}

    shot = np.setdiff1d(np.arange(frames + len(MISSING)), MISSING)
    for clip in run.clips.itertuples():
        # A found box is that of Haar's cascade, which frames a face in its own way.
        width = np.median(drawn.boxes(clip.clip)[shot, 2])
        assert clip.face_px == pytest.approx(width, rel=1e-6 if boxes == "given" else 0.25)
        encodes = run.encodes.loc[run.encodes["clip"] == clip.clip, "encode"]
        for target in ("arousal", "valence"):
            rows = run.scores[run.scores["encode"].isin(encodes) & (run.scores["target"] == target)]
            own = drawn.gold(clip.clip, target, 250)[shot]
            assert rows["mean_gold"].to_numpy() == pytest.approx(own.mean(), abs=1e-6)
            assert rows["m2_gold"].to_numpy() == pytest.approx(((own - own.mean()) ** 2).sum(), abs=1e-4)

    package = ("--dataset", "avec2016", "--root", root)
    other = swept(package, tmp_path / "train", tmp_path / "weights", "train")
    scores = json.loads(call("rescore", run.path, "--fitted-on", other, "--format", "json"))
    assert scores["partition"] == "dev"
    assert all(row["recordings"] == dev for row in scores["scores"])
    assert all(f"{train} train subjects" in step["fitted_on"] for step in scores["fitted"])


def test_the_test_partition_has_no_ratings_and_is_scored_against_pristine_frames(tmp_path):
    root = write_avec(
        tmp_path / "avec",
        {"train": 1, "dev": 1, "test": 1},
        frames=10,
        size="320x240",
        boxes=(60, 60, 120, 120),
    )
    out = tmp_path / "run"
    call(
        *("run", "--dataset", "avec2016", "--root", root, "--partition", "test", "--backend", "constant"),
        *("--region", "frame", "--factor", 2, "--codec", "x264", "--mode", "crf", "--rate", 40, "--out", out),
        *("--jobs", 1),
    )
    assert set(open_run(out).scores["gold"]) == {"pristine:constant"}


@pytest.mark.long
def test_recola_from_package_to_figures(tmp_path):
    root = write_recola(
        tmp_path / "recola",
        {"P16": "train", "P17": "train", "P18": "train", "P21": "dev", "P23": "dev"},
        frames=FRAMES,
        size="320x240",
        boxes=(100.0, 60.0, 110.0, 110.0),
    )
    package = ("--dataset", "recola", "--root", root)
    assert "train and dev can be used." in call("doctor", *package)
    weights = tmp_path / "weights"
    call("train", "direct@lite", *package, *TRAIN, "--stride", 1, "--out", weights)
    run = swept(package, tmp_path / "dev", weights, "dev")
    opened = open_run(run)
    assert set(opened.encodes["clip"]) == {"P21", "P23"}
    assert set(opened.scores["gold"]) == {"labels"}
    for clip in ("P21", "P23"):
        encode = opened.encodes.loc[
            (opened.encodes["clip"] == clip) & (opened.encodes["codec"] == "none"), "encode"
        ]
        for target in ("arousal", "valence"):
            row = opened.scores[
                (opened.scores["encode"] == encode.iloc[0]) & (opened.scores["target"] == target)
            ]
            wanted = gold_by_hand(root, clip, target)[:FRAMES]
            assert float(row["mean_gold"].iloc[0]) == pytest.approx(wanted.mean(), abs=1e-6)
            assert float(row["m2_gold"].iloc[0]) == pytest.approx(
                ((wanted - wanted.mean()) ** 2).sum(), abs=1e-6
            )
    figures = call("plot", run, "--only", "rd").splitlines()
    assert any(name.endswith(".png") for name in figures)


def gold_by_hand(root: Path, clip: str, target: str) -> np.ndarray:
    """The challenge's rule, written out with loops."""
    file = root / "RECOLA-Annotation" / "emotional_behaviour" / target / f"{clip}.csv"
    with file.open(newline="") as lines:
        rows = list(csv.reader(lines, delimiter=";"))[1:]
    ratings = np.array([[float(cell) for cell in row[1:]] for row in rows])
    means = ratings.mean(axis=0)
    weights = []
    for i in range(6):
        agreement = []
        for j in range(6):
            if i != j:
                a, b = ratings[:, i], ratings[:, j]
                covariance = ((a - a.mean()) * (b - b.mean())).mean()
                agreement.append(2 * covariance / (a.var() + b.var() + (a.mean() - b.mean()) ** 2))
        weights.append(sum(agreement) / 5)
    level = sum(w * m for w, m in zip(weights, means, strict=True)) / sum(weights)
    return np.array([sum(row[i] - means[i] + level for i in range(6)) / 6 for row in ratings])
