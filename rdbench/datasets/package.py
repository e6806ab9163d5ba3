"""What packages of labelled recordings share: frame times, boxes beside them, and a check before a long run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rdbench.datasets import delimited
from rdbench.datasets.folder import parse_boxes
from rdbench.errors import ClipError, InputError, NothingToScoreError
from rdbench.video import faces
from rdbench.video.clip import Boxes, Clip, ClipInfo, Dataset
from rdbench.video.description import opened, video_stream
from rdbench.video.labels import join
from rdbench.video.pictures import picture_files
from rdbench.video.source import decode, describe

__all__ = [
    "Inspection",
    "Recording",
    "boxes_beside",
    "folder_like",
    "frame_times",
    "from_first_frame",
    "inspect",
]

GLIMPSES = 12


def folder_like(root: Path, *names: str) -> Path | None:
    """A subfolder by name, whatever its case and whether it is written with dashes, underscores or spaces."""

    def plain(name: str) -> str:
        return "".join(c for c in name.casefold() if c.isalnum())

    if not root.is_dir():
        return None
    wanted = {plain(name) for name in names}
    return next((p for p in sorted(root.iterdir()) if plain(p.name) in wanted and p.is_dir()), None)


def frame_times(path: Path, column: str = "") -> NDArray[np.float64]:
    """Times of the encoded frames in seconds: a table with a header and one row for each frame.

    Parameters
    ----------
    path : Path
    column : str
        Part of the wanted column's name; where no name has it, the second column is taken, or the only one.

    Raises
    ------
    InputError
        If it cannot be read, or times do not rise.
    """
    table = delimited.read(path)
    named = [i for i, name in enumerate(table.header) if column and column in name.casefold()]
    index = named[0] if named else min(1, len(table.header) - 1)
    if not table.rows:
        raise InputError(f"{path}: has a header, but no frame times.")
    return delimited.rising(table, index)


def from_first_frame(clip: Clip) -> Clip:
    """The same clip with every time counted from its first frame, as everything after it counts them.

    A camera's first frame need not lie at 0 of the ratings' clock.
    """
    if clip.frame_times is None or clip.frame_times[0] == 0:
        return clip
    first = clip.frame_times[0]
    return replace(
        clip,
        frame_times=clip.frame_times - first,
        labels=clip.labels and replace(clip.labels, times=clip.labels.times - first),
        boxes=clip.boxes and replace(clip.boxes, times=clip.boxes.times - first),
    )


def boxes_beside(root: Path, name: str) -> Boxes | None:
    """Face boxes from ``boxes/<clip>.csv`` of a package, if there are any.

    Raises
    ------
    InputError
        If the file is not a table of boxes.
    """
    path = root / "boxes" / f"{name}.csv"
    return parse_boxes(delimited.read(path)) if path.is_file() else None


@dataclass(frozen=True)
class Recording:
    """What one recording of a package has; problems keep it from being used, notes do not.

    Parameters
    ----------
    frames : int or None
        Frames in the file, counted without decoding them.
    fps, seconds : float or None
        From the frame times.
    covered : float or None
        Share of the frames that have a label.
    exact, nearest, interpolated, missing : int or None
        How frames come by their labels.
    boxes : {"given", "to be found"}
    faced : float or None
        Share of the frames that have a face by the given boxes.
    faces : str
        In how many of the pictures looked at a face was seen, such as "11 of 12"; "" where not looked for.
    """

    clip: str
    partition: str
    size: str
    frames: int | None
    fps: float | None
    seconds: float | None
    labels: str
    covered: float | None
    exact: int | None
    nearest: int | None
    interpolated: int | None
    missing: int | None
    boxes: str
    faced: float | None
    faces: str
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def faceless(self) -> bool:
        """Whether faces were looked for, in vain, and no boxes stand in for them."""
        return self.boxes != "given" and self.faces.startswith("0 ")

    def row(self) -> dict[str, Any]:
        """The same as a plain dictionary, for printing."""
        return asdict(self)


@dataclass(frozen=True)
class Inspection:
    """A package seen before a long run.

    Parameters
    ----------
    recordings : tuple of Recording
    problems : tuple of str
        Why the partitions that are needed cannot be used; empty if they can.
    notes : tuple of str
        What optional parts are missing.
    needed : tuple of str
        The partitions without which the package is of no use.
    """

    recordings: tuple[Recording, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    needed: tuple[str, ...] = ("train", "dev")

    @property
    def usable(self) -> bool:
        """Whether the partitions that are needed can be used."""
        return not self.problems


def _video(path: Path, look: bool) -> tuple[str, int, float | None, str]:
    """Size, frames, rate and glimpses of the face, without decoding the whole file."""
    if path.is_dir():
        return _pictures(path, look)
    try:
        with opened(path) as container:
            stream = video_stream(container)
            if stream is None:
                raise ClipError(f"{path}: has no video stream.")
            size = f"{stream.width}x{stream.height}"
            rate = float(stream.average_rate) if stream.average_rate else None
            count = sum(1 for packet in container.demux(stream) if packet.size and not packet.is_discard)
            return size, count, rate, _glimpse(container, stream) if look else ""
    except (av.FFmpegError, OSError) as error:
        raise ClipError(f"{path}: cannot be read as video ({error.strerror or error}).") from error


def _pictures(path: Path, look: bool) -> tuple[str, int, float | None, str]:
    """The same of a folder of numbered pictures."""
    there = picture_files(path)
    some = [there[int((i + 0.5) / GLIMPSES * len(there))] for i in range(GLIMPSES)] if look else [there[0]]
    seen, size = 0, ""
    some = list(dict.fromkeys(some))
    for file in some:
        try:
            with Image.open(file) as picture:
                size = f"{picture.width}x{picture.height}"
                seen += bool(look and faces.detect(np.asarray(picture.convert("L"))))
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise ClipError(f"{file}: cannot be read as a picture ({error}).") from error
    return size, len(there), None, f"{seen} of {len(some)}" if look else ""


def _glimpse(container: Any, stream: Any) -> str:
    """Look for a face in a few pictures spread over the recording."""
    length = float(container.duration or 0) / av.time_base
    seen = looked = 0
    for i in range(GLIMPSES):
        container.seek(int((i + 0.5) / GLIMPSES * length / stream.time_base), stream=stream)
        frame = next(container.decode(stream), None)
        if frame is not None:
            looked += 1
            seen += bool(faces.detect(frame.to_ndarray(format="gray")))
    return f"{seen} of {looked}"


def _faced(clip: Clip, boxes: Boxes, times: NDArray[np.float64]) -> float:
    """Share of the frames that have a face by the given boxes, as a run will find it.

    Raises
    ------
    ClipError
        If there is none.
    """
    with decode(clip.file, describe(clip.file)) as frames:
        size = frames.width, frames.height
    return float(faces.track(boxes, times - times[0], *size, "given").mask.mean())


def _inspect_clip(dataset: Dataset, info: ClipInfo, file: Path, look: bool) -> Recording:
    problems: list[str] = []
    notes: list[str] = []
    size, frames, rate, glimpses = "", None, None, ""
    clip: Clip | None = None
    try:
        size, frames, rate, glimpses = _video(file, look)
    except ClipError as error:
        problems.append(str(error))
    try:
        clip = dataset.load(info.name)
    except (ClipError, InputError) as error:
        problems.append(str(error))
    times = clip.frame_times if clip else None
    if times is not None and frames is not None and len(times) != frames:
        problems.append(f"{info.name}: {len(times)} frame times for {frames} frames; one for each is needed.")
    if times is None and frames and rate:
        times = np.arange(frames) / rate
    joined = None
    if clip is not None and clip.labels is not None and times is not None:
        try:
            joined = join(clip.labels, times)
        except NothingToScoreError as error:
            notes.append(str(error))
        except ClipError as error:
            problems.append(f"{info.name}: {error}")
    if clip is not None and clip.labels is None:
        notes.append("no ratings: scored against a pristine reference only")
    faced = None
    if clip is not None and clip.boxes is not None:
        if times is not None and not problems:
            try:
                faced = _faced(clip, clip.boxes, times)
            except ClipError as error:
                problems.append(f"{info.name}: its boxes cannot be used: {str(error).rstrip('.')}.")
    elif glimpses.startswith("0 "):
        notes.append("no face in any of the pictures looked at")
    span = None if times is None else float(times[-1] - times[0])
    return Recording(
        clip=info.name,
        partition=info.partition,
        size=size,
        frames=frames,
        fps=round((len(times) - 1) / span, 3) if times is not None and span else rate,
        seconds=span,
        labels=", ".join(clip.labels.targets) if clip and clip.labels else "none",
        covered=1 - joined.missing / len(joined.values) if joined else None,
        exact=joined.exact if joined else None,
        nearest=joined.nearest if joined else None,
        interpolated=joined.interpolated if joined else None,
        missing=joined.missing if joined else None,
        boxes="given" if clip and clip.boxes else "to be found",
        faced=faced,
        faces=glimpses,
        problems=tuple(problems),
        notes=tuple(notes),
    )


def inspect(
    dataset: Dataset,
    files: dict[str, Path],
    notes: Sequence[str] = (),
    *,
    look: bool = True,
    needed: Sequence[str] = ("train", "dev"),
) -> Inspection:
    """Check every recording of a package: what can be used, what is missing, and how labels meet frames.

    No video is decoded but for 12 pictures of each, in which a face is looked for. A partition is a problem where
    none of its recordings has boxes or shows a face; boxes that are given have to be good for a frame at least.

    Parameters
    ----------
    dataset : Dataset
    files : dict
        Video file of each clip.
    notes : sequence of str
        What the package itself lacks.
    look : bool
        Whether to look for faces.
    needed : sequence of str
        The partitions whose faults are problems; those of others are notes.
    """
    recordings = tuple(_inspect_clip(dataset, info, files[info.name], look) for info in dataset.index())
    problems: list[str] = []
    remarks = list(notes)
    for partition in ("train", "dev", "test"):
        there = [r for r in recordings if r.partition == partition]
        if not there:
            if partition in needed or needed == ("train", "dev"):
                (problems if partition in needed else remarks).append(f"there is no recording in {partition}")
        elif all(recording.faceless for recording in there):
            text = (
                f"no recording of {partition} shows a face in the {GLIMPSES} pictures of it that were looked at, so "
                "most likely none can be used; put boxes/<recording>.csv (time,x,y,w,h) beside them"
            )
            (problems if partition in needed else remarks).append(text)
        for recording in there:
            (problems if partition in needed else remarks).extend(recording.problems)
            if partition in needed and not recording.problems and recording.labels == "none":
                problems.append(f"{recording.clip}: has no ratings, which {partition} needs")
    without = [r.clip for r in recordings if r.boxes != "given"]
    if without:
        remarks.append(
            f"{len(without)} of {len(recordings)} recordings have no face boxes: they will be found"
        )
    return Inspection(recordings, tuple(problems), tuple(remarks), tuple(needed))
