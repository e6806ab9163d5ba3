"""Reading a recording: the one decoder for face boxes, labels and encodes alike.

Everything leaves here as BT.709 limited-range 8-bit 4:2:0, upright, with the time of every frame.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import ffmpeg
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

from rdbench.errors import ClipError
from rdbench.video import process

__all__ = ["Description", "Timeline", "decode", "describe", "frame_bytes", "last_duration", "timeline"]

FORMATS = ",".join(
    (
        *(
            "mov",
            "mp4",
            "m4a",
            "3gp",
            "3g2",
            "mj2",
            "matroska",
            "webm",
            "avi",
            "mpegts",
            "mpeg",
            "flv",
            "asf",
        ),
        *("asf", "ogg", "mxf", "nut", "yuv4mpegpipe", "ivf", "obu", "h264", "hevc", "vvc"),
    )
)
"""Containers that hold their own pictures; a play list could name other files."""

MATRICES = {1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
HIGH_DYNAMIC_RANGE = {16: "PQ", 18: "HLG"}
RGB = ("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "x2rgb", "x2bgr", "pal8")
COMMON_RATES = tuple(
    [Fraction(n) for n in (10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 100, 120)]
    + [Fraction(n * 1000, 1001) for n in (15, 24, 30, 48, 60, 120)]
)


@dataclass(frozen=True)
class Description:
    """What a file says of its pictures.

    Parameters
    ----------
    codec, pixel_format : str
    width, height : int
        As coded, before rotation.
    matrix : str
        Colour matrix in FFmpeg's words.
    declared : bool
        False where the file has no matrix and it was taken from the picture's size.
    full_range : bool
    rgb : bool
    """

    codec: str
    pixel_format: str
    width: int
    height: int
    matrix: str
    declared: bool
    full_range: bool
    rgb: bool

    @property
    def conversion(self) -> str:
        """What is done to bring the pictures to BT.709 limited 8-bit 4:2:0, in words."""
        if self.as_wanted:
            return "none"
        source = "rgb" if self.rgb else f"{self.matrix}{'' if self.declared else ' (by size)'}"
        return f"{self.pixel_format} {source} {'full' if self.full_range else 'limited'} to bt709"

    @property
    def as_wanted(self) -> bool:
        """True if the decoded planes can be used as they are."""
        return self.pixel_format == "yuv420p" and self.matrix == "bt709" and not self.full_range


def describe(file: Path) -> Description:
    """Read a file's header.

    Raises
    ------
    ClipError
        If it is missing, is no video, or is in a high dynamic range.
    """
    if not file.is_file():
        raise ClipError(f"{file.name}: no such file.")
    if file.stat().st_size == 0:
        raise ClipError(f"{file.name}: the file is empty (0 bytes).")
    try:
        with _opened(file) as container:
            stream = _video(container)
            if stream is None:
                raise ClipError(f"{file.name}: no video stream (it has {_kinds(container)}).")
            context = stream.codec_context
            pixel_format = context.pix_fmt
            if pixel_format is None or not context.width:
                raise ClipError(f"{file.name}: its video stream has no picture size or pixel format.")
            rgb = pixel_format.startswith(RGB)
            transfer = HIGH_DYNAMIC_RANGE.get(int(context.color_trc))
            if transfer:
                raise ClipError(
                    f"{file.name}: high dynamic range ({transfer}); tone-map it to BT.709 first, "
                    "since the tone mapping would decide the scores."
                )
            declared = int(context.colorspace) in MATRICES
            by_size = "bt709" if context.height >= 720 or context.width >= 1280 else "smpte170m"
            return Description(
                codec=context.name,
                pixel_format=pixel_format,
                width=context.width,
                height=context.height,
                matrix=MATRICES.get(int(context.colorspace), by_size),
                declared=declared,
                full_range=rgb or int(context.color_range) == 2 or pixel_format.startswith("yuvj"),
                rgb=rgb,
            )
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if isinstance(error, av.ArgumentError):
            reason = "no container that holds its own pictures, or a damaged one"
        raise ClipError(f"{file.name}: not a video that FFmpeg can read ({reason}).") from error


def _opened(file: Path) -> Any:
    return av.open(
        str(file.resolve()),
        options={"protocol_whitelist": "file", "format_whitelist": FORMATS},
        metadata_errors="replace",
    )


def _video(container: Any) -> Any:
    """The first video stream; the cover of a sound file is one too, for those that do not ask."""
    streams = (s for s in container.streams.video if not s.disposition & Disposition.attached_pic)
    return next(streams, None)


def last_duration(file: Path) -> float | None:
    """Seconds that a file says its last frame is shown, None where it says nothing."""
    last: tuple[int, float | None] | None = None
    with _opened(file) as container:
        for packet in container.demux(_video(container)):
            if packet.pts is not None and not packet.is_discard and (last is None or packet.pts > last[0]):
                last = packet.pts, float(packet.duration * packet.time_base) if packet.duration else None
    return None if last is None else last[1]


class Frames:
    """An open decoder: iterate to get ``(seconds, planes)`` for each frame.

    ``planes`` is a flat uint8 array of Y, U, V; `width` and `height` are those of the upright picture.
    """

    def __init__(self, container: Any, width: int, height: int) -> None:
        self._container = container
        self.width = width
        self.height = height

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
            yield float(packet.pts * packet.time_base), np.frombuffer(packet, np.uint8)


@contextlib.contextmanager
def decode(file: Path, description: Description) -> Iterator[Frames]:
    """Decode a whole file; a decode error anywhere fails the clip, since FFmpeg would skip the damaged part.

    Raises
    ------
    ClipError
        At the block's end if FFmpeg complained of the file. Leaving the block early by `break` is fine.
    """
    video = ffmpeg.input(
        f"file:{file.resolve()}", threads=1, protocol_whitelist="file", format_whitelist=FORMATS, xerror=None
    )["V:0"]
    if not description.as_wanted:
        matrix = {} if description.rgb else {"in_color_matrix": description.matrix}
        video = process.scale(
            video,
            "iw",
            "ih",
            **matrix,
            in_range="full" if description.full_range else "limited",
            out_color_matrix="bt709",
            out_range="limited",
        )
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
    complete = False
    stderr = ""
    try:
        with process.running(process.arguments(output)) as running:
            try:
                container = av.open(running.stdout, mode="r", format="nut")
            except av.FFmpegError as error:
                running.popen.wait()
                raise ClipError(
                    f"{file.name}: no frame could be decoded ({_cause(running.stderr())})."
                ) from error
            with container:
                stream = container.streams.video[0]
                yield Frames(container, stream.width, stream.height)
                complete = running.stdout.read(1) == b""
            if not complete:
                running.popen.kill()
            running.popen.wait()
            stderr = running.stderr()
    except process.FormatError as error:
        if complete or error.stderr:
            raise ClipError(f"{file.name}: damaged or truncated ({_cause(error.stderr)}).") from error
    except ClipError as error:
        raise ClipError(
            str(error) if str(error).startswith(file.name) else f"{file.name}: {error}."
        ) from error
    if stderr.strip():
        raise ClipError(f"{file.name}: damaged or truncated ({_cause(stderr)}).")


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


def _cause(stderr: str) -> str:
    lines = [re.sub(r"^(\[[^\]]* @ 0x[0-9a-f]+\] )+", "", line.strip()) for line in stderr.splitlines()]
    return next((line.rstrip(".") for line in lines if line), "FFmpeg gave no reason")


def _kinds(container: Any) -> str:
    kinds = sorted({"a cover" if s.type == "video" else str(s.type) for s in container.streams})
    return " and ".join(kinds) + " only" if kinds else "no streams at all"
