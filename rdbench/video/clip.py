"""The few types that everything left of the tables hangs on: a clip, its labels, its face boxes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from rdbench.files import digest_of
from rdbench.identity import content_of
from rdbench.video.pictures import picture_files

__all__ = ["FACE_SIZE", "Boxes", "Clip", "ClipInfo", "Dataset", "Labels"]

FACE_SIZE = 96
"""Side in pixels of the faces that the paper's networks see, and of what is coded in region "face" unless told
otherwise."""


PARTITIONS = ("train", "dev", "test")

Damage = Literal["refuse", "mask"]
"""What is done with a recording of which pictures are lost or damaged."""


@dataclass(frozen=True)
class Labels:
    """Gold values over time.

    Parameters
    ----------
    times : (n,) float64
        Seconds from the start of the recording, strictly rising.
    values : (n, k) float64
        One column a target; NaN where a label is missing. For a categorical target the value is the
        index into `classes`.
    targets : tuple of str
        Names of the k columns.
    classes : tuple of str
        Class names where the one target is categorical, else empty.
    units : bool
        Whether the targets are units that are there (1) or not (0), such as action units.
    whole : bool
        Whether the one row is about the whole recording, which then has one answer, not one for each frame.
    marked : bool
        Whether frames that nobody annotated are marked one by one, so that any number of them may be missing.
    """

    times: NDArray[np.float64]
    values: NDArray[np.float64]
    targets: tuple[str, ...]
    classes: tuple[str, ...] = ()
    units: bool = False
    whole: bool = False
    marked: bool = False


@dataclass(frozen=True)
class Boxes:
    """Face boxes over time, in pixels of the displayed (rotated) source picture.

    Parameters
    ----------
    times : (n,) float64
        Seconds, strictly rising.
    xywh : (n, 4) float64
        Left, top, width, height; a row of NaN where no face was seen.
    fleeting : int
        Rows in which a face was seen that did not stay; 0 where one did.
    """

    times: NDArray[np.float64]
    xywh: NDArray[np.float64]
    fleeting: int = 0


@dataclass(frozen=True)
class ClipInfo:
    """What is known of a clip before any video is touched."""

    name: str
    subject: str
    partition: str


@dataclass(frozen=True)
class Clip:
    """One recording, ready to be decoded.

    Parameters
    ----------
    name, subject, partition : str
    file : Path
        A video file that FFmpeg decodes.
    labels : Labels or None
        None: scored against a pristine reference.
    boxes : Boxes or None
        None: found by `rdbench.video.faces`.
    frame_times : (frames,) float64 or None
        Given times of the frames in seconds, where they do not come from the file itself.
    damage : {"refuse", "mask"}
        What is done where pictures are lost or damaged.
    """

    name: str
    subject: str
    partition: str
    file: Path
    labels: Labels | None = None
    boxes: Boxes | None = None
    frame_times: NDArray[np.float64] | None = None
    damage: Damage = "refuse"


class Dataset(Protocol):
    """Where clips come from. Instances are picklable, so that a worker can load a clip by itself.

    Whoever inherits from it needs `name`, `index` and `load` alone.
    """

    @property
    def name(self) -> str:
        """As asked for on the command line."""
        ...

    def index(self) -> list[ClipInfo]:
        """All clips in a fixed order, without touching video (fast)."""
        ...

    def load(self, name: str) -> Clip:
        """One clip with its labels and boxes; may render or read for seconds.

        Raises
        ------
        ClipError
            If this clip cannot be used; others may be.
        """
        ...

    def content(self, name: str) -> str:
        """Content hash of all that this set says of a clip: its pictures, labels, boxes, times, subject, partition.

        Raises
        ------
        ClipError
            If this clip cannot be used.
        OSError
            If its file cannot be read.
        """
        clip = self.load(name)
        digests = [digest_of(file) for file in picture_files(clip.file)]
        labels, boxes = clip.labels, clip.boxes
        return content_of(
            *(clip.name, clip.subject, clip.partition, digests, clip.frame_times),
            *((None,) if labels is None else (labels.times, labels.values, labels.targets, labels.classes)),
            *((None,) if boxes is None else (boxes.times, boxes.xywh)),
            *(() if clip.damage == "refuse" else (clip.damage,)),
        )

    def has_labels(self, partition: str) -> bool:
        """Whether the clips of a partition are labelled, as its first one is.

        Raises
        ------
        ClipError
            If that cannot be used.
        """
        first = next(info for info in self.index() if info.partition == partition)
        return self.load(first.name).labels is not None

    def extent(self, name: str) -> tuple[int, int, int] | None:
        """Width, height and frames of a clip where these are known before its file is there."""
        return None

    def notes(self) -> list[str]:
        """What whoever uses the set should know of it before a long run: sentences."""
        return []

    def shortened(self, seconds: float) -> Dataset:
        """The same set for whoever looks at the first seconds only; itself where that saves nothing."""
        return self
