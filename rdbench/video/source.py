"""Reading a recording: the one decoder for face boxes, labels and encodes alike.

Everything leaves here as BT.709 limited-range 8-bit 4:2:0, upright, with the time of every frame, and whole: judged by
packets, times and frames. What FFmpeg writes at level error is no proof by itself: a chapter track that is gone, or the
pictures before the first key frame of a cut recording, cost no picture that is shown. It is a reason to look, and it
names the cause.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import ffmpeg
import numpy as np
from numpy.typing import NDArray

from rdbench import binary, containers
from rdbench.errors import ClipError, EncodeError, EndedError
from rdbench.video import colour, process
from rdbench.video.description import FORMATS, Description, describe, format_of, opened, video_stream
from rdbench.video.pictures import FIRST_RATE, is_pictures, linked, reachable

__all__ = [
    "Description",
    "Timeline",
    "decode",
    "describe",
    "frame_bytes",
    "last_duration",
    "lost",
    "timeline",
]

_SAFE: dict[str, Any] = {
    "threads": 1,
    "protocol_whitelist": "file",
    "format_whitelist": FORMATS,
    "err_detect": "crccheck+bitstream+buffer",
}
_STRICT = {"vp9": "libvpx-vp9"}
"""Decoders that notice more than the usual one of a format does: that one reads beyond a damaged tile."""

# As `Description.square_width` and `square_height`, of the upright picture.
_SQUARE = (
    "if(gt(sar,1)*gte(iw*sar-iw,1),2*round(iw*sar/2),iw)",
    "if(lt(sar,1)*gte(ih/sar-ih,1),2*round(ih/sar/2),ih)",
)
_INDEXED = ("mov",)
_PREFIX = re.compile(r"^(\[[^\]]* @ 0x[0-9a-f]+\] )+")
_HARMLESS = re.compile(r"mmco: unref short failure|Last message repeated")
"""The first is bookkeeping of references that were cut off with the start; no picture is built from them."""

COMMON_RATES = tuple(
    [Fraction(n) for n in (10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 100, 120)]
    + [Fraction(n * 1000, 1001) for n in (15, 24, 30, 48, 60, 120)]
)


def last_duration(file: Path) -> float | None:
    """Seconds that a file says its last frame is shown, None where it says nothing."""
    return None if is_pictures(file) else _packets_of(file).last_duration


class Frames:
    """An open decoder: iterate to get ``(seconds, planes)`` for each frame.

    ``planes`` is a flat uint8 array of Y, U, V; `width` and `height` are those of the upright picture.
    """

    def __init__(self, container: Any, width: int, height: int) -> None:
        self._container = container
        self.width = width
        self.height = height
        self.times: list[float] = []
        self.complete = False

    def __iter__(self) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        size = frame_bytes(self.width, self.height)
        for packet in self._container.demux(video=0):
            if not packet.size:
                continue
            if packet.size != size:
                raise ClipError(
                    f"the picture size changes within the recording (after {self.width}x{self.height})"
                )
            if packet.pts is None:
                raise ClipError("a frame without a time")
            self.times.append(float(packet.pts * packet.time_base))
            yield self.times[-1], np.frombuffer(packet, np.uint8)


@contextlib.contextmanager
def decode(file: Path, description: Description) -> Iterator[Frames]:
    """Decode a whole file; a decode error anywhere fails the clip, since FFmpeg would skip the damaged part.

    Where its description says that damage is masked, whatever comes is given.

    Raises
    ------
    ClipError
        At the block's end if FFmpeg complained of the file. Leaving the block early by `break` is fine.
    """
    options = {**_SAFE, **({"max_error_rate": 1} if description.masked else {"xerror": None})}
    with contextlib.ExitStack() as stack:
        if is_pictures(file):
            options |= {"format": "image2", "framerate": FIRST_RATE}
            video = ffmpeg.input(stack.enter_context(linked(file)), **options)["0"]
        else:
            path = stack.enter_context(reachable(file))
            strict = _STRICT.get(description.codec)
            options |= {"format": kind} if (kind := format_of(file)) else {}
            options |= {"vcodec": strict} if strict and binary.has_decoder(strict) else {}
            video = ffmpeg.input(f"file:{path}", **options)[str(description.stream)]
        with _decoded(file, description, _converted(video, description)) as frames:
            yield frames


def _converted(video: Any, description: Description) -> Any:
    """Filters to progressive BT.709 pictures in square pixels, of which two never have one time."""
    # A container that rounds times may give two frames one. A jump back is none of that.
    video = video.filter("setpts", "if(lte(PTS,PREV_OUTPTS)*gt(PTS,PREV_OUTPTS-0.1/TB),PREV_OUTPTS+1,PTS)")
    if description.deinterlaced:
        if description.fields != "flagged":
            video = video.filter("setfield", "tff" if description.fields == "top" else "bff")
        only = "interlaced" if description.fields == "flagged" else "all"
        video = video.filter("bwdif", mode="send_frame", parity="auto", deint=only)
    if description.as_coloured and not description.stretched:
        return video
    size = _SQUARE if description.stretched else None
    return colour.convert(
        video, description.pixel_format, description.matrix, full_range=description.full_range, size=size
    )


def _opened(file: Path, running: process.Process) -> Any:
    """What FFmpeg writes, as a container of raw pictures."""
    try:
        return av.open(running.stdout, mode="r", format="nut")
    except av.FFmpegError as error:
        running.end()
        raise ClipError(f"{file.name}: no frame could be decoded ({_cause(running.stderr())}).") from error


@contextlib.contextmanager
def _decoded(file: Path, description: Description, video: Any) -> Iterator[Frames]:
    output = ffmpeg.output(
        video,
        "pipe:1",
        vcodec="rawvideo",
        pix_fmt="yuv420p",
        format="nut",
        fps_mode="passthrough",
        enc_time_base="demux",
        noautoscale=None,
        an=None,
        sn=None,
        dn=None,
    )
    complete = left = False
    try:
        with process.running(process.arguments(output)) as running:
            try:
                with _opened(file, running) as container:
                    stream = container.streams.video[0]
                    frames = Frames(container, stream.width, stream.height)
                    yield frames
                    complete = frames.complete = running.stdout.read(1) == b""
            except ClipError:
                if running.stdout.read(1) == b"":  # a torn picture may be that of a process that was killed
                    running.end()
                    process.raise_if_ended(running.popen.returncode, running.stderr())
                raise
            if not complete:
                left = True
                process.kill(running.popen)
            running.popen.wait()
            stderr = running.stderr()
    except process.FormatError as error:
        if complete:
            why = f"damaged or truncated ({_cause(error.stderr)})" if error.stderr.strip() else str(error)
            raise ClipError(f"{file.name}: {why}.") from error
    except EndedError:
        if not left:
            raise
    except (EncodeError, ClipError) as error:
        told = str(error)
        raise ClipError(told if told.startswith(file.name) else f"{file.name}: {told}.") from error
    if complete and not description.masked:
        _require_whole(file, description, frames.times, stderr)


@dataclass(frozen=True)
class Timeline:
    """When the frames are shown.

    Parameters
    ----------
    times : (n,) float64
        Seconds as in the source; labels are joined by these.
    fps : Fraction
        The constant rate that encoders are given.
    timing : {"constant", "retimed"}
        "retimed": the source's rate varies, so every frame is kept and shown at the mean rate, once and for
        all conditions; elementary streams carry no times, and encoders treat uneven ones unlike.
    """

    times: NDArray[np.float64]
    fps: Fraction
    timing: str

    @property
    def seconds(self) -> float:
        """Duration: last time - first time + the last frame's duration."""
        return float(len(self.times) / self.fps)


def timeline(times: NDArray[np.float64], last_duration: float | None) -> Timeline:
    """Tell constant from variable frame rates.

    Parameters
    ----------
    times : (n,) float64
        Presentation times in seconds, in order of presentation.
    last_duration : float or None
        Seconds that the last frame is shown; None takes the median interval.

    Raises
    ------
    ClipError
        If times do not rise.

    Notes
    -----
    A rate is constant if every frame is within 1.1 ms (the rounding of containers that count milliseconds) of
    where a constant rate puts it.
    """
    if len(times) == 0:
        raise ClipError("no frame could be decoded")
    if len(times) == 1:
        rate = Fraction(1 / last_duration).limit_denominator(1001) if last_duration else Fraction(25)
        return Timeline(times, rate, "constant")
    steps = np.diff(times)
    if not np.all(steps > 0):
        raise ClipError("its frame times do not rise")
    since = times - times[0]
    mean = (len(times) - 1) / float(since[-1])
    # The nearest, not the first: over a second, 30 and 30000/1001 are within a rounding of each other.
    off = {rate: _deviation(since, rate) for rate in COMMON_RATES}
    for rate in (min(off, key=lambda rate: off[rate]), Fraction(mean).limit_denominator(1001)):
        if rate and _deviation(since, rate) <= 1.1e-3:
            return Timeline(times, rate, "constant")
    tail = last_duration if last_duration else float(np.median(steps))
    return Timeline(
        times, Fraction(len(times) / (float(since[-1]) + tail)).limit_denominator(10_000), "retimed"
    )


def _deviation(since: NDArray[np.float64], rate: Fraction) -> float:
    """Largest distance in seconds from where a constant rate puts the frames."""
    return float(np.max(np.abs(since - np.arange(len(since)) / float(rate))))


def frame_bytes(width: int, height: int) -> int:
    """Bytes of one 8-bit 4:2:0 picture; odd sizes have rounded-up chroma planes."""
    return width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)


def lost(file: Path, frames: Frames) -> tuple[int, int]:
    """Pictures that the container counts and that did not come.

    Returns
    -------
    before : int
        Those before the first one that came, where a cut left no key frame for them.
    all : int
        These and what damage took; of a recording that was not read to its end, as `before`.
    """
    if is_pictures(file) or not frames.times:
        return 0, 0
    packets = _packets_of(file)
    before = sum(time < frames.times[0] - 1e-3 for time in packets.times) if packets.cut else 0
    if not frames.complete:
        return before, before
    gone = max(packets.shown, 0 if packets.cut else packets.expected) - len(frames.times)
    return min(before, max(0, gone)), max(0, gone)


@dataclass(frozen=True)
class _Packets:
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
    times : tuple of float
        Seconds of those to be shown, from the container's start.
    """

    shown: int
    leading: int
    cut: bool
    corrupt: int
    expected: int
    end: float | None
    last_duration: float | None
    times: tuple[float, ...]


def _packets_of(file: Path) -> _Packets:
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
                if packet.is_discard or _hidden(stream, packet):
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
    return _Packets(
        shown=shown,
        leading=leading,
        cut=cut or leading > 0,
        corrupt=corrupt,
        expected=expected,
        end=None if last is None else last[0] - min(start, 0.0) + (last[1] or 0.0),
        last_duration=None if last is None else last[1],
        times=tuple(time - start for time, _, _ in times),
    )


def _hidden(stream: Any, packet: Any) -> bool:
    """Whether a packet of VP8 holds a picture that others are built from and that is not shown (RFC 6386, 9.1)."""
    return stream.codec_context.name == "vp8" and not memoryview(packet)[0] & 0x10


def _require_whole(file: Path, description: Description, times: Sequence[float], stderr: str) -> None:
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
            raise ClipError(f"{file.name}: damaged or truncated ({_cause(stderr)}).")
        return
    packets = _packets_of(file)
    missing = containers.fault(file) or _lost(description, packets, times, stderr)
    if missing:
        why = f"; {_cause(stderr)}" if stderr.strip() else ""
        raise ClipError(f"{file.name}: damaged or truncated ({missing}{why}).")
    # Of a cut recording it complains of what was cut off; every picture after that was counted above.
    complaints = "" if packets.cut else _of_decoder(description, stderr)
    if complaints:
        raise ClipError(f"{file.name}: damaged or truncated ({_cause(complaints)}).")


def _lost(description: Description, packets: _Packets, times: Sequence[float], stderr: str) -> str:
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


def _cause(stderr: str) -> str:
    """The first thing that FFmpeg complained of, without addresses."""
    lines = [_PREFIX.sub("", line.strip()) for line in stderr.splitlines()]
    return next((line.rstrip(".") for line in lines if line), "FFmpeg gave no reason")
