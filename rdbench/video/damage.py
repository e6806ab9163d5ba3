"""Whether a recording is whole: judged by its packets, their times and the frames that came of them.

What FFmpeg writes at level error is no proof by itself: a chapter track that is gone, or the pictures before the first
key frame of a cut recording, cost no picture that is shown. It is a reason to look, and it names the cause.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from rdbench.errors import ClipError
from rdbench.video.description import Description, opened, video_stream
from rdbench.video.pictures import is_pictures

__all__ = ["Packets", "cause", "packets_of", "require_whole"]

_INDEXED = ("mov",)
_PREFIX = re.compile(r"^(\[[^\]]* @ 0x[0-9a-f]+\] )+")
_HARMLESS = re.compile(r"mmco: unref short failure|Last message repeated")
"""The first is bookkeeping of references that were cut off with the start; no picture is built from them."""


@dataclass(frozen=True)
class Packets:
    """The packets of one stream, without decoding.

    Parameters
    ----------
    shown : int
        Those that are to be shown.
    leading : int
        Of these, how many are shown before the first key frame, which a cut left undecodable.
    cut : bool
        Whether the start is cut: it holds packets that cannot be shown.
    corrupt : int
        Those that the container itself calls damaged.
    expected : int
        Packets by the container's index; 0 where it has none.
    end : float or None
        Seconds at which the last one ends, from the container's start or from 0, whichever is later.
    last_duration : float or None
        Seconds that the last one is shown, None where the file does not say.
    """

    shown: int
    leading: int
    cut: bool
    corrupt: int
    expected: int
    end: float | None
    last_duration: float | None


def packets_of(file: Path) -> Packets:
    """Read all packets of the stream of pictures.

    Raises
    ------
    ClipError
        If the container cannot be read.
    """
    times: list[tuple[float, float | None, bool]] = []
    shown = corrupt = 0
    cut = False
    try:
        with opened(file) as container:
            stream = video_stream(container)
            start = (container.start_time or 0) / av.time_base
            for packet in container.demux(stream):
                if not packet.size:
                    continue
                corrupt += packet.is_corrupt
                cut |= packet.is_discard or (shown == 0 and not packet.is_keyframe)
                if packet.is_discard:
                    continue
                shown += 1
                if packet.pts is not None:
                    length = float(packet.duration * packet.time_base) if packet.duration else None
                    times.append((float(packet.pts * packet.time_base), length, packet.is_keyframe))
            expected = stream.frames if container.format.name.split(",")[0] in _INDEXED else 0
    except av.FFmpegError as error:
        raise ClipError(f"{file.name}: damaged or truncated ({error.strerror or error}).") from error
    keys = sorted(time for time, _, key in times if key)
    leading = sum(time < keys[0] for time, _, _ in times) if keys else 0
    last = max(times, default=None)
    return Packets(
        shown=shown,
        leading=leading,
        cut=cut or leading > 0,
        corrupt=corrupt,
        expected=expected,
        end=None if last is None else last[0] - min(start, 0.0) + (last[1] or 0.0),
        last_duration=None if last is None else last[1],
    )


def require_whole(file: Path, description: Description, times: Sequence[float], stderr: str) -> None:
    """Refuse a recording of which pictures are lost or damaged.

    Parameters
    ----------
    file : Path
    description : Description
    times : sequence of float
        Seconds of the frames that were decoded, in order.
    stderr : str
        What FFmpeg complained of.

    Raises
    ------
    ClipError
        Names what is lost, and the complaint where there is one.
    """
    if is_pictures(file):
        if stderr.strip():
            raise ClipError(f"{file.name}: damaged or truncated ({cause(stderr)}).")
        return
    packets = packets_of(file)
    lost = _lost(description, packets, times, stderr)
    if lost:
        why = f"; {cause(stderr)}" if stderr.strip() else ""
        raise ClipError(f"{file.name}: damaged or truncated ({lost}{why}).")
    # Of a cut recording it complains of what was cut off; every picture after that was counted above.
    complaints = "" if packets.cut else _of_decoder(description, stderr)
    if complaints:
        raise ClipError(f"{file.name}: damaged or truncated ({cause(complaints)}).")


def _lost(description: Description, packets: Packets, times: Sequence[float], stderr: str) -> str:
    """What is missing, in words; empty if nothing is."""
    complained = bool(stderr.strip())
    if packets.corrupt:
        return f"{packets.corrupt} of {packets.shown} packets are incomplete"
    if packets.shown < packets.expected and not packets.cut:
        return f"{packets.shown} of {packets.expected} pictures are there"
    steps = np.diff(np.asarray(times, dtype=np.float64))
    step = float(np.median(steps)) if len(steps) else 0.0
    if description.duration and packets.end is not None:
        short = description.duration - packets.end
        if short > max(1.0, 0.05 * description.duration) or (
            complained and not packets.cut and short > 2.5 * step > 0
        ):
            return f"it should last {description.duration:.2f} s, but ends at {packets.end:.2f} s"
    if not complained:
        return ""
    if len(times) < packets.shown - packets.leading:
        return f"{len(times)} of {packets.shown} pictures can be decoded"
    if not packets.expected and len(steps) and steps.max() > 1.9 * step:
        return f"no picture for {steps.max():.2f} s after {times[int(np.argmax(steps))]:.2f} s"
    return ""


def _of_decoder(description: Description, stderr: str) -> str:
    """The lines that the decoder of the pictures wrote, but for harmless ones."""
    names = {description.codec, description.codec.removeprefix("lib"), "vist", "dec"}
    lines = []
    for line in stderr.splitlines():
        by = re.match(r"\[(?:vist#[\d:]+/)?(\w+)", line.strip())
        if by and not _HARMLESS.search(line) and (by[1] in names or by[1].startswith(description.codec[:4])):
            lines.append(line)
    return "\n".join(lines)


def cause(stderr: str) -> str:
    """The first thing that FFmpeg complained of, without addresses."""
    lines = [_PREFIX.sub("", line.strip()) for line in stderr.splitlines()]
    return next((line.rstrip(".") for line in lines if line), "FFmpeg gave no reason")
