"""Small sets in the layouts that others publish: drawn people, invented labels, nothing of anybody's."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from packages import FFMPEG, write_video

from rdbench.datasets.synthetic import SyntheticDataset

__all__ = [
    "FRAMES",
    "LAYOUTS",
    "write_afew",
    "write_affwild",
    "write_ck",
    "write_crema",
    "write_mead",
    "write_ravdess",
]

FRAMES = 12
SIZE = "320x180"


def drawn(number: int, frames: int = FRAMES) -> Path:
    """A drawn person, without loss."""
    return SyntheticDataset(360, frames / 25).load(f"test_{number:02d}").file


def pictures(folder: Path, number: int, names: Iterable[str], size: str = SIZE) -> Path:
    """A drawn person as pictures of these names."""
    names = list(names)
    folder.mkdir(parents=True, exist_ok=True)
    suffix = Path(names[0]).suffix
    made = folder / f"made-%d{suffix}"
    scaled = ["-vf", f"scale={size.replace('x', ':')}", "-frames:v", str(len(names)), "-start_number", "0"]
    command = [FFMPEG, "-v", "error", "-y", "-i", str(drawn(number, len(names))), *scaled, str(made)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    for i, name in enumerate(names):
        (folder / f"made-{i}{suffix}").rename(folder / name)
    return folder


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def person(path: Path, number: int, frames: int = FRAMES) -> Path:
    return write_video(path, frames, SIZE, source=drawn(number, frames))


CLASSES = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"
UNITS = "AU1,AU2,AU12"


def write_affwild(root: Path, frames: int = FRAMES) -> Path:
    """One recording a partition as a video, and one as cropped pictures, of which one is missing; all three tasks."""
    people = {"Train_Set": ["1-30-1280x720"], "Validation_Set": ["video2", "10-60-1280x720_right"]}
    for number, name in enumerate(name for names in people.values() for name in names):
        if name.endswith("_right"):
            numbers = [i for i in range(1, frames + 1) if i != 4]
            pictures(
                root / "cropped_aligned" / name, number + 1, (f"{i:05d}.jpg" for i in numbers), "112x112"
            )
        else:
            person(root / "batch1" / f"{name}.mp4", number + 1, frames)
    for partition, names in people.items():
        for name in names:
            wave = np.sin(np.arange(frames))
            va = [f"{v:.3f},{-v:.3f}" for v in wave]
            va[2] = "-5,-5"
            write(root / "VA_Set" / partition / f"{name}.txt", "\n".join(["valence,arousal", *va]) + "\n")
            expressions = [str(i % 8) for i in range(frames)]
            expressions[1] = "-1"
            write(root / "EXPR_Set" / partition / f"{name}.txt", "\n".join([CLASSES, *expressions]) + "\n")
            units = [f"{i % 2},{int(i % 3 == 0)},{int(i > 5)}" for i in range(frames)]
            units[3] = "-1,-1,-1"
            write(root / "AU_Set" / partition / f"{name}.txt", "\n".join([UNITS, *units]) + "\n")
    return root


def write_afew(root: Path, frames: int = FRAMES, first: int = 0) -> Path:
    """Two clips of two actors; pictures and JSON are numbered from `first`."""
    for number, (name, actor) in enumerate((("001", "One Actor"), ("014", "Another")), 1):
        folder = pictures(root / name, number, (f"{i + first:05d}.png" for i in range(frames)))
        points = [[110.0 + x, 50.0 + y] for x, y in ((0, 0), (70, 5), (40, 80), (20, 40))]
        values = {
            f"{i + first:05d}": {"landmarks": points, "valence": float(i % 21 - 10), "arousal": 2.0}
            for i in range(frames)
        }
        write(folder / f"{name}.json", json.dumps({"video_id": name, "actor": actor, "frames": values}))
    return root


def write_ck(root: Path, frames: int = FRAMES) -> Path:
    """Three sequences of two people, one without an emotion; names as the set has them, from 1 on."""
    for number, (who, take, emotion) in enumerate(
        (("S005", "001", 5), ("S010", "002", 7), ("S010", "004", None)), 1
    ):
        names = [f"{who}_{take}_{i:08d}.png" for i in range(1, frames + 1)]
        pictures(root / "cohn-kanade-images" / who / take, number, names)
        last = Path(names[-1]).stem
        if emotion is not None:
            write(root / "Emotion" / who / take / f"{last}_emotion.txt", f"   {emotion:.7e}\n")
        rows = "".join(f"   {unit:.7e}   {3:.7e}\n" for unit in ((6, 12) if emotion == 5 else (1, 2)))
        write(root / "FACS" / who / take / f"{last}_facs.txt", rows)
    return root


def write_ravdess(root: Path, frames: int = FRAMES) -> Path:
    """Two actors; one recording is there with and without sound, one is calm, one file is sound alone."""
    for number, name in enumerate(
        ("01-01-03-01-01-01-01", "02-01-03-01-01-01-01", "01-01-02-01-01-01-01", "01-01-05-02-02-01-12"), 1
    ):
        person(root / f"Actor_{name[-2:]}" / f"{name}.mp4", number, frames)
    write(root / "Actor_01" / "03-01-03-01-01-01-01.wav", "no picture")
    return root


def write_crema(root: Path, frames: int = FRAMES) -> Path:
    for number, name in enumerate(("1001_DFA_ANG_XX", "1001_IEO_HAP_LO", "1002_TIE_NEU_XX"), 1):
        person(root / "VideoFlash" / f"{name}.mp4", number, frames)
    return root


def write_mead(root: Path, frames: int = FRAMES) -> Path:
    """Two actors from the front, one from the side too."""
    for number, name in enumerate(
        (
            "M003/video/front/happy/level_1/001",
            "W009/video/front/fear/level_3/002",
            "W009/video/left_30/fear/level_3/002",
        ),
        1,
    ):
        person(root / f"{name}.mp4", number, frames)
    return root


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "affwild2": write_affwild,
    "affwild2:expr": write_affwild,
    "affwild2:au": write_affwild,
    "afew-va": write_afew,
    "ck+": write_ck,
    "ck+:au": write_ck,
    "ravdess": write_ravdess,
    "crema-d": write_crema,
    "mead": write_mead,
}
"""What writes a set, by the name that it is asked for."""
