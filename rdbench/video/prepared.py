"""What is found out once about a clip, whatever the conditions: its times, its face, its content hash."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from numpy.typing import NDArray

from rdbench import binary, containers
from rdbench.cache import entry
from rdbench.errors import ClipError
from rdbench.files import digest_of
from rdbench.machine import cache_dir, keeping
from rdbench.video import faces
from rdbench.video.clip import Clip
from rdbench.video.description import Description, Fields, describe, opened
from rdbench.video.faces import FaceTrack
from rdbench.video.labels import require_seconds
from rdbench.video.pictures import is_pictures, picture_files
from rdbench.video.source import (
    Frames,
    Timeline,
    decode,
    last_duration,
    lost,
    timeline,
)

__all__ = ["Combing", "Prepared", "prepare", "source_frames"]

VERSION = 4
"""Raised when what is kept in the cache would come out differently."""

_COMB_STEP, _COMB_LOOKS, _FEWEST_COMBED = 8, 60, 3
_COMB_DEPTH = 12
"""Levels by which a line stands out, and a pixel changes."""


@dataclass(frozen=True)
class Prepared:
    """A clip of which everything is known that no condition changes.

    Parameters
    ----------
    clip : Clip
    source : str
        Content hash of the file, its boxes, labels and frame times, and of how much of it is used.
    width, height : int
        Of the upright source picture, pixels.
    timeline : Timeline
    track : FaceTrack
    description : Description
        What the file says of its pictures, and so what was done to them.
    folder : Path
        Where things made from this clip are cached.
    told : str
        What was seen of its pictures while they were read: those that are lost, combing that no flag tells.
    """

    clip: Clip
    source: str
    width: int
    height: int
    timeline: Timeline
    track: FaceTrack
    description: Description
    folder: Path
    told: str = ""

    @property
    def conversion(self) -> str:
        """How its pictures were brought to BT.709 and square pixels, and what was seen of them; or "none"."""
        done = self.description.conversion
        return "; ".join(part for part in ("" if done == "none" and self.told else done, self.told) if part)

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.timeline.times)


def prepare(
    clip: Clip,
    seconds: float | None = None,
    fields: Fields = "deinterlace",
    detector: Path | None = None,
) -> Prepared:
    """Decode a clip once: count its frames, read their times, follow its face.

    Parameters
    ----------
    clip : Clip
    seconds : float, optional
        Use the first seconds only.
    fields : {"deinterlace", "keep", "refuse"}
        What is done with interlaced pictures.
    detector : Path, optional
        See `rdbench.video.candidates.open_detector`.

    Raises
    ------
    ClipError
        If it cannot be decoded, or its boxes or frame times do not fit it; `NoFaceError` if it shows no face.
    """
    build = f"{binary.build()} {binary.fingerprint()}"
    description = describe(clip.file, fields, masked=clip.damage == "mask")
    seen_by = faces.detected_by(detector)
    video = hashlib.sha256(f"{VERSION} {build} {seen_by} {seconds} {description.conversion}".encode())
    for file in picture_files(clip.file):
        video.update(digest_of(file).encode())
    for array in (clip.frame_times, *((clip.boxes.times, clip.boxes.xywh) if clip.boxes else ())):
        video.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
    folder = cache_dir() / "clips" / video.hexdigest()[:24]

    def make(part: Path) -> None:
        seen = _look(clip, description, seconds, detector)
        with keeping():
            _write(part, *seen)

    with keeping():
        folder.mkdir(parents=True, exist_ok=True)
    file = entry(folder / "track.npz", make)
    width, height, line, track, told = _read(file)
    _require_units(clip, description, line, seconds)
    everything = video.copy()
    if clip.labels is not None:
        everything.update(repr((clip.labels.targets, clip.labels.classes)).encode())
        everything.update(clip.labels.times.tobytes() + clip.labels.values.tobytes())
    source = everything.hexdigest()[:16]
    return Prepared(clip, source, width, height, line, track, description, folder, told)


def source_frames(prepared: Prepared) -> Iterator[NDArray[np.uint8]]:
    """Decode a prepared clip again: flat Y, U, V planes of each frame.

    Raises
    ------
    ClipError
        If not as many frames come as the first time.
    """
    count = 0
    with decode(prepared.clip.file, prepared.description) as frames:
        for _, planes in frames:
            yield planes
            count += 1
            if count == prepared.frames:
                break
    if count != prepared.frames:
        raise ClipError(f"{prepared.clip.file.name}: {count} frames came, {prepared.frames} the first time.")


def _require_units(clip: Clip, description: Description, line: Timeline, seconds: float | None) -> None:
    """Refuse times of labels and boxes that are no seconds of this recording, of all of it where a part is used."""
    length = line.seconds if seconds is None else description.duration
    if length is None:
        return
    frames = round(length * line.fps)
    try:
        if clip.labels is not None:
            require_seconds(clip.labels.times, "labels", length, frames)
        if clip.boxes is not None:
            require_seconds(clip.boxes.times, "boxes", length, frames)
    except ClipError as error:
        raise ClipError(f"{clip.file.name}: {error}") from error


def _look(
    clip: Clip, description: Description, seconds: float | None, detector: Path | None
) -> tuple[int, int, Timeline, FaceTrack, str]:
    times: list[float] = []
    beyond: list[float] = []
    with decode(clip.file, description) as frames:
        shown = _first(frames, seconds, times, beyond)
        height, width = frames.height, frames.width
        combed = Combing()
        luma = combed.watch(planes[: width * height].reshape(height, width) for planes in shown)
        if clip.boxes is None:
            boxes = faces.find(luma, _as_they_come(times), detector=detector)
        else:
            boxes = clip.boxes
            for _ in luma:
                pass
        whole = len(times) if seconds is None or not times else None
    try:
        tail = beyond[0] - times[-1] if beyond else last_duration(clip.file)
        line = timeline(_given(clip, np.array(times), whole), tail)
    except ClipError as error:
        raise ClipError(f"{clip.file.name}: {str(error).rstrip('.')}.") from error
    hidden = _damaged(clip.file, description, np.array(frames.times)) if description.masked else None
    try:
        origin: Literal["given", "found"] = "found" if clip.boxes is None else "given"
        track = faces.track(boxes, line.times, width, height, origin, hidden)
    except ClipError as error:
        raise type(error)(f"{clip.file.name}: {error}") from error
    return (
        width,
        height,
        line,
        track,
        _told(clip.file, frames, hidden, combed.seen and not description.fields),
    )


def _damaged(file: Path, description: Description, times: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of the frames are damaged, or built from what is."""
    hidden = np.zeros(len(times), dtype=np.bool_)
    for start, end in [] if is_pictures(file) else _faulty(file, description):
        hidden |= (times > start - 1e-3) & (times < end - 1e-3)
    return hidden


def _faulty(file: Path, description: Description) -> list[tuple[float, float]]:
    """Stretches in which pictures are lost or damaged, or are built from such: from the fault to the next key frame.

    Parameters
    ----------
    file : Path
    description : Description

    Returns
    -------
    list of (from, to)
        Seconds as `rdbench.video.source.Frames` counts them, in order.
    """
    spans: list[tuple[float, float]] = []
    since = math.inf
    with opened(file) as container:
        stream = container.streams[description.stream]
        stream.codec_context.options = {"err_detect": "crccheck+explode"}
        stream.codec_context.thread_count = 1
        start = (container.start_time or 0) / av.time_base
        for packet, faulty in _judged(container, stream):
            time = math.inf if packet.pts is None else float(packet.pts * packet.time_base) - start
            if packet.is_keyframe and not faulty and since < time < math.inf:
                spans.append((since, time))
                since = math.inf
            elif faulty or since < math.inf:
                # Those that are shown before it may be built from it.
                since = min(since, time)
    return [*spans, (since, math.inf)] if since < math.inf else spans


def _judged(container: Any, stream: Any) -> Iterator[tuple[Any, bool]]:
    """Each packet, and whether it or what is decoded of it is damaged."""
    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            faulty = bool(packet.is_corrupt)
            try:
                faulty |= any(frame.is_corrupt for frame in packet.decode())
            except av.FFmpegError:
                faulty = True
            yield packet, faulty
    except av.FFmpegError:
        return  # what cannot be read any more is lost, and gives no frame


def _told(file: Path, frames: Frames, hidden: NDArray[np.bool_] | None, combed: bool) -> str:
    """What whoever uses a clip should know of its pictures, in words."""
    parts = []
    before, gone = lost(file, frames)
    if hidden is not None:
        damage = f"{int(hidden.sum())} of {len(hidden)} pictures damaged"
        parts = [damage, f"{gone} lost", containers.fault(file)]
    elif before:
        parts = [f"{before} picture{'s' * (before > 1)} before the first key frame lost"]
    if combed:
        parts.append("combed like interlaced pictures, though no flag says so")
    return "; ".join(part for part in parts if part)


def _first(
    frames: Frames, seconds: float | None, times: list[float], beyond: list[float]
) -> Iterator[NDArray[np.uint8]]:
    """The frames of the first seconds; their times, and that of the first frame not taken, are put down.

    Every time counts from the first frame: containers start where they like, behind the sound, at what an edit list
    says, or at hours of a broadcast.
    """
    start: float | None = None
    for at, planes in frames:
        start = at if start is None else start
        time = at - start
        if seconds is not None and times and time >= seconds - 1e-6:
            beyond.append(time)
            return
        times.append(time)
        yield planes


def _as_they_come(times: list[float]) -> Iterator[float]:
    """Times for a reader that takes a frame first and its time second."""
    index = 0
    while index < len(times):
        yield times[index]
        index += 1


def _given(clip: Clip, times: NDArray[np.float64], whole: int | None) -> NDArray[np.float64]:
    if clip.frame_times is None:
        return times
    if len(clip.frame_times) < len(times) or (whole is not None and len(clip.frame_times) != whole):
        raise ClipError(
            f"{len(times)} frames were decoded, but {len(clip.frame_times)} frame times are given; "
            "one is needed for each frame"
        )
    return np.asarray(clip.frame_times[: len(times)], dtype=np.float64)


def _write(file: Path, width: int, height: int, line: Timeline, track: FaceTrack, told: str) -> None:
    np.savez(
        file,
        size=np.array([width, height]),
        times=line.times,
        fps=np.array([line.fps.numerator, line.fps.denominator]),
        timing=np.array(line.timing),
        centre=track.centre,
        side=np.array(track.side),
        mask=track.mask,
        segment=track.segment,
        face_px=np.array(track.face_px),
        origin=np.array(track.origin),
        box_bits=np.array(track.box_bits),
        told=np.array(told),
    )


def _read(file: Path) -> tuple[int, int, Timeline, FaceTrack, str]:
    with np.load(file, allow_pickle=False) as kept:
        width, height = (int(value) for value in kept["size"])
        fps = Fraction(int(kept["fps"][0]), int(kept["fps"][1]))
        line = Timeline(kept["times"], fps, str(kept["timing"]))
        track = FaceTrack(
            centre=kept["centre"],
            side=float(kept["side"]),
            mask=kept["mask"],
            segment=kept["segment"],
            face_px=float(kept["face_px"]),
            origin="given" if str(kept["origin"]) == "given" else "found",
            box_bits=int(kept["box_bits"]),
        )
        told = str(kept["told"])
    return width, height, line, track, told


class Combing:
    """Whether pictures are two moments woven line by line, seen from the pictures alone.

    Where something moves, a line of a woven picture stands out from both its neighbours, which are of the other moment,
    but not from the next lines of its own. Fine texture stands out from either.
    """

    def __init__(self) -> None:
        self._combed = 0
        self._moving = 0

    @property
    def seen(self) -> bool:
        """True if a quarter of the pictures in which something moves are combed; some move too little to show it."""
        return self._combed > self._moving / 4 and self._combed >= _FEWEST_COMBED

    def watch(self, pictures: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
        """Hand on pictures of luma, and look at a pair of them now and then."""
        before = None
        for index, luma in enumerate(pictures):
            if index % _COMB_STEP == 0 and index < _COMB_STEP * _COMB_LOOKS:
                before = luma.astype(np.int16)
            elif before is not None:
                self._look(before, luma.astype(np.int16))
                before = None
            yield luma

    def _look(self, before: NDArray[np.int16], luma: NDArray[np.int16]) -> None:
        if luma.shape != before.shape or len(luma) < 16:
            return
        moving = np.abs(luma - before)[2:-2] > _COMB_DEPTH
        if moving.mean() < 0.002:
            return
        self._moving += 1
        near, far = (self._stands_out(luma, step)[moving].mean() for step in (1, 2))
        self._combed += bool(near > 0.05 and near > 1.3 * far)

    @staticmethod
    def _stands_out(luma: NDArray[np.int16], step: int) -> NDArray[np.bool_]:
        line = luma[2:-2]
        above, below = luma[2 - step : -2 - step] - line, luma[2 + step : len(luma) - 2 + step] - line
        return (np.minimum(above, below) > _COMB_DEPTH) | (np.maximum(above, below) < -_COMB_DEPTH)
