"""Small packages in the layouts of AVEC 2016 and RECOLA: real video and invented ratings, or drawn people and theirs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from rdbench.datasets.drawing.picture import Recording
from rdbench.datasets.synthetic import SyntheticDataset

__all__ = ["Drawn", "arff_text", "write_avec", "write_folder", "write_recola", "write_video"]

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def write_video(
    path: Path,
    frames: int,
    size: str = "64x48",
    fps: int = 25,
    source: Path | None = None,
    codec: str = "libx264",
    preset: str = "ultrafast",
    without: Iterable[int] = (),
) -> Path:
    """A test picture that moves, or the first frames of another file scaled to `size`, as a small video.

    Frames `without` are those that the camera missed: what is seen in them is not in the video.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    given = ["-i", str(source)] if source else ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={fps}"]
    filters = f"fps={fps},scale={size.replace('x', ':')},format=yuv420p"
    if missed := "+".join(f"eq(n,{frame})" for frame in without):
        filters += f",select='not({missed})',setpts=N/{fps}/TB"
    subprocess.run(
        [
            FFMPEG,
            "-v",
            "error",
            "-y",
            *given,
            "-vf",
            filters,
            "-frames:v",
            str(frames),
            "-an",
            "-c:v",
            codec,
            *(["-preset", preset] if codec == "libx264" else []),
            str(path),
        ],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return path


def wander(seed: int, n: int) -> NDArray[np.float64]:
    """A smooth signal between -1 and 1."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, n)
    waves = sum(rng.normal() * np.sin(2 * np.pi * (k * x + rng.uniform())) / k for k in range(1, 6))
    return np.asarray(waves / max(1e-9, np.abs(waves).max()) * 0.6)


def number(value: float) -> str:
    """As the package writes times: 0, 0.04, ... without padding."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def arff_text(
    name: str, times: Iterable[float], values: Iterable[float], *, style: str = "plain", end: str = "\n"
) -> str:
    """A gold standard file in one of two header styles."""
    if style == "plain":
        head = [
            "@relation GoldStandard",
            "",
            "@attribute Instance_name string",
            "@attribute frameTime numeric",
        ]
        head += ["@attribute GoldStandard numeric", "", "@data"]
        rows = [f"{name},{number(t)},{v:.6f}" for t, v in zip(times, values, strict=True)]
    else:
        head = ["% made for a test", "%", "@RELATION 'gold standard'", "@ATTRIBUTE 'frameTime' REAL", ""]
        head += [
            '@ATTRIBUTE "Instance_name" STRING',
            "% the value:",
            "@ATTRIBUTE GoldStandard REAL",
            "@DATA",
            "",
        ]
        rows = [
            f"{number(t)}, '{name}' ,{'?' if np.isnan(v) else v}" for t, v in zip(times, values, strict=True)
        ]
    return end.join([*head, *rows, ""])


@dataclass(frozen=True)
class Drawn:
    """Drawn people at 1280x720 under the names of AVEC's recordings (`train_1` is the subject `train_01`).

    Parameters
    ----------
    seconds : float
        Of each recording, as the camera took it.
    """

    seconds: float

    def video(self, name: str) -> Path:
        """The rendered recording, without loss."""
        partition, number = name.split("_")
        return SyntheticDataset(720, self.seconds).load(f"{partition}_{int(number):02d}").file

    def gold(self, name: str, target: str, n: int) -> NDArray[np.float64]:
        """The subject's own labels, a value every 40 ms."""
        return np.asarray(getattr(self._recording(name).affect, target)[:n])

    def boxes(self, name: str) -> NDArray[np.float64]:
        """The subject's own face boxes, one for each frame that the camera took."""
        return self._recording(name).boxes(720)

    def _recording(self, name: str) -> Recording:
        partition, number = name.split("_")
        return Recording(partition, int(number))


def write_avec(
    root: Path,
    counts: dict[str, int] | None = None,
    *,
    frames: int = 50,
    size: str = "64x48",
    missing: Iterable[int] = (),
    boxes: tuple[float, float, float, float] | Callable[[str], NDArray[np.float64]] | None = None,
    source: Callable[[str], Path | None] = lambda name: None,
    gold: Callable[[str, str, int], NDArray[np.float64]] | None = None,
) -> Path:
    """A package in the AVEC 2016 layout; both line ends and both header styles take turns.

    `missing` frames (of those the camera took) are not in the video, so that frame times have gaps. Boxes are
    one for all frames, or one for each frame that the camera took.
    """
    counts = counts or {"train": 2, "dev": 1, "test": 1}
    names = [f"{partition}_{i + 1}" for partition, n in counts.items() for i in range(n)]
    for seed, name in enumerate(names):
        file = root / "recordings_video" / f"{name}.mp4"
        write_video(file, frames, size, source=source(name), without=missing)
        shot = np.setdiff1d(np.arange(frames + len(set(missing))), list(missing))[:frames]
        taken = shot / 25
        write(
            root / "recordings_video_frame_time" / f"{name}.csv",
            "frame;time\r\n" + "".join(f"{i};{number(t)}\r\n" for i, t in enumerate(taken)),
        )
        n = round(taken[-1] * 25) + 26
        times = np.arange(n) / 25
        for j, target in enumerate(("arousal", "valence")):
            rating = gold(name, target, n) if gold else wander(7 * seed + j, n)
            text = arff_text(
                name, times, rating, style=("plain", "quoted")[seed % 2], end=("\n", "\r\n")[(seed + j) % 2]
            )
            if not name.startswith("test"):
                write(root / "ratings_gold_standard" / target / f"{name}.arff", text)
                raters = rating[:, None] + np.linspace(-0.2, 0.2, 6)
                lines = [
                    ";".join([number(t), *(f"{v:.4f}" for v in row)])
                    for t, row in zip(times, raters, strict=True)
                ]
                write(
                    root / "ratings_individual" / target / f"{name}.csv",
                    "\n".join(["time;FM1 ;FM2 ;FM3 ;FF1 ;FF2 ;FF3", *lines, ""]),
                )
        if boxes:
            each = boxes(name)[shot] if callable(boxes) else [boxes] * frames
            rows = "".join(
                f"{number(t)},{','.join(map(str, box))}\n" for t, box in zip(taken, each, strict=True)
            )
            write(root / "boxes" / f"{name}.csv", "time,x,y,w,h\n" + rows)
    return root


def write_recola(
    root: Path,
    partitions: dict[str, str] | None = None,
    *,
    frames: int = 50,
    size: str = "64x48",
    dash: str = "-",
    boxes: tuple[float, float, float, float] | None = None,
    source: Callable[[str], Path | None] = lambda name: None,
) -> Path:
    """A package in the layout of the public RECOLA release, with a partition file beside it."""
    partitions = partitions or {"P16": "train", "P17": "train", "P21": "dev"}
    for seed, name in enumerate(partitions):
        write_video(
            root / f"RECOLA{dash}Video{dash}recordings" / f"{name}.mp4", frames, size, source=source(name)
        )
        times = np.arange(frames + 25) / 25
        write(
            root / f"RECOLA{dash}Video{dash}timings" / f"{name}.csv",
            "frame;time in seconds\n" + "".join(f"{i};{number(i / 25)}\n" for i in range(frames)),
        )
        for j, target in enumerate(("arousal", "valence")):
            rng = np.random.default_rng(100 + seed)
            signal = wander(13 * seed + j, len(times))
            raters = signal[:, None] * rng.uniform(0.7, 1.2, 6) + rng.normal(0, 0.1, 6)
            lines = [
                ";".join([number(t), *(f"{v:.4f}" for v in row)])
                for t, row in zip(times, raters, strict=True)
            ]
            write(
                root / f"RECOLA{dash}Annotation" / "emotional_behaviour" / target / f"{name}.csv",
                "\r\n".join(["time;FM1 ;FM2 ;FM3 ;FF1 ;FF2 ;FF3", *lines, ""]),
            )
        if boxes:
            rows = "".join(f"{number(i / 25)},{','.join(map(str, boxes))}\n" for i in range(frames))
            write(root / "boxes" / f"{name}.csv", "time,x,y,w,h\n" + rows)
    write(root / "partitions.csv", "clip,partition\n" + "".join(f"{n},{p}\n" for n, p in partitions.items()))
    return root


def write_folder(root: Path, names: Iterable[str] = ("a", "b"), frames: int = 25) -> Path:
    """A folder of videos and nothing else."""
    for name in names:
        write_video(root / f"{name}.mp4", frames)
    return root


def write(path: Path, text: str) -> Path:
    """A text file, its line ends as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path
