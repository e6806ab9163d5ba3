"""The embedded set: talking, expressive faces that the project draws itself.

Nobody has to fetch or license anything, no face belongs to anyone, and the labels are exact.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path

import cv2
import numpy as np

from rdbench import binary
from rdbench.cache import is_sound, seal
from rdbench.datasets.drawing.colour import yuv420p
from rdbench.datasets.drawing.picture import Recording
from rdbench.datasets.drawing.signals import FPS, FRAMES
from rdbench.errors import ClipError, EncodeError, EndedError, InputError
from rdbench.identity import content_of
from rdbench.machine import cache_dir
from rdbench.video import process
from rdbench.video.clip import Boxes, Clip, ClipInfo, Dataset, Labels

__all__ = ["TARGETS", "SyntheticDataset", "generator_version"]

TARGETS = ("arousal", "valence")
COUNTS = {"train": 960, "dev": 16, "test": 224}
"""Ten seeds can learn from 96 people each, and none from another's; test_161 to test_192 and test_217 to test_224 are in no
table."""

HEIGHTS = {360: "synthetic", 720: "synthetic:720p"}


@dataclass(frozen=True)
class SyntheticDataset(Dataset):
    """1,200 drawn subjects, 10 s each at 25 fps, with exact labels and face boxes.

    Parameters
    ----------
    height : {360, 720}
        Height of the picture; both heights show the same people doing the same.
    seconds : float, optional
        Only the first seconds of each clip, above 0 and up to 10; the frames are the same as those of the
        whole clip. Rendering takes time, and short runs need not wait for what they do not look at.

    Raises
    ------
    InputError
        If there is no such height, or `seconds` is out of range.
    """

    height: int = 360
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.height not in HEIGHTS:
            raise InputError(
                f"The synthetic set is drawn 360 or 720 pixels high, not {self.height}: "
                "use the dataset 'synthetic' or 'synthetic:720p'."
            )
        if self.seconds is not None and not 1 / FPS <= self.seconds <= FRAMES / FPS:
            raise InputError(
                f"Clips of the synthetic set last {FRAMES // FPS} s, so {self.seconds} s of them cannot be "
                f"drawn: ask for {1 / FPS} to {FRAMES // FPS} seconds."
            )

    @property
    def name(self) -> str:
        """As asked for on the command line."""
        return HEIGHTS[self.height]

    @property
    def frames(self) -> int:
        """Frames in each clip."""
        return FRAMES if self.seconds is None else max(1, round(self.seconds * FPS))

    def content(self, name: str) -> str:
        """What is drawn follows from this: nothing need be drawn to know."""
        info = next(info for info in self.index() if info.name == name)
        return content_of(
            info.name, info.subject, info.partition, generator_version(), f"{self.height} {self.frames}"
        )

    def extent(self, name: str) -> tuple[int, int, int]:
        """The same for all: nothing need be drawn to know."""
        return self.height * 16 // 9, self.height, self.frames

    def has_labels(self, partition: str) -> bool:
        """Always: nothing need be drawn to know."""
        return True

    def shortened(self, seconds: float) -> SyntheticDataset:
        """The same people, drawn for the first seconds only."""
        return replace(self, seconds=seconds)

    def index(self) -> list[ClipInfo]:
        """All clips; each is its own subject."""
        return [
            ClipInfo(name, name, partition)
            for partition, count in COUNTS.items()
            for name in (f"{partition}_{number:02d}" for number in range(1, count + 1))
        ]

    def load(self, name: str) -> Clip:
        """One clip, rendered into the cache where it is not there yet.

        Two processes may render the same clip at the same time: each writes its own file beside the final
        one and renames it, and both files are equal.

        Raises
        ------
        InputError
            If there is no clip of this name.
        ClipError
            If the rendered clip cannot be written.
        """
        info = {clip.name: clip for clip in self.index()}.get(name)
        if info is None:
            *others, last = (f"{part}_01 to {part}_{count:02d}" for part, count in COUNTS.items())
            raise InputError(
                f"The synthetic set has no clip '{name}': clips are called {', '.join(others)} and {last}."
            )
        recording = Recording(info.partition, int(name.rpartition("_")[2]))
        file = cache_dir() / "synthetic" / generator_version() / f"{name}_{self.height}p_{self.frames}.mkv"
        if not is_sound(file):
            _render(recording, self.height, self.frames, file)
        times = np.arange(self.frames) / FPS
        values = np.stack([getattr(recording.affect, target) for target in TARGETS], axis=1)[: self.frames]
        boxes = recording.boxes(self.height)[: self.frames]
        return Clip(
            name, info.subject, info.partition, file, Labels(times, values, TARGETS), Boxes(times, boxes)
        )


@cache
def generator_version() -> str:
    """Content hash of everything that decides what a clip's file holds (16 hex digits).

    The source itself is hashed, so that no change of the drawing or of the writing can meet clips of an older one
    in the cache. OpenCV and numpy are named too: what they promise is exact steps, not the same steps in every
    version.
    """
    return _version(_sources())


def _sources() -> dict[str, bytes]:
    here = resources.files("rdbench.datasets")
    files = [here / "synthetic.py", *(here / "drawing").iterdir()]
    return {file.name: file.read_bytes() for file in files if file.name.endswith(".py")}


def _version(sources: dict[str, bytes]) -> str:
    digest = hashlib.sha256(f"{cv2.__version__} {np.__version__}".encode())
    for name, source in sorted(sources.items()):
        digest.update(name.encode() + b"\0" + source + b"\0")
    return digest.hexdigest()[:16]


def _render(recording: Recording, height: int, count: int, file: Path) -> None:
    part = file.with_name(f".{file.stem}.{uuid.uuid4().hex}.part.mkv")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        planes = (yuv420p(frame) for frame in recording.frames(height, count))
        _write_lossless(planes, height * 16 // 9, height, part)
        os.replace(part, file)
        seal(file)
    except EndedError:
        raise  # the place is as good as before
    except (OSError, EncodeError) as error:
        raise ClipError(
            f"The clip {file.stem} of the synthetic set cannot be written to {file.parent}: {error}. "
            "Free some space, or name another folder in RDBENCH_CACHE."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _write_lossless(planes: Iterable[bytes], width: int, height: int, file: Path) -> None:
    colour = ["-color_range", "tv", "-colorspace", "bt709", "-color_primaries", "bt709"]
    colour += ["-color_trc", "bt709"]
    command = [binary.executable(), "-v", "error", "-nostdin", "-y"]
    command += ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{width}x{height}", "-framerate", str(FPS)]
    command += [*colour, "-i", "-", "-an", "-c:v", "utvideo"]
    command += ["-threads", "1", "-fflags", "+bitexact", "-flags:v", "+bitexact", *colour]
    command += ["-f", "matroska", str(file)]
    process.run(command, feed=planes)
