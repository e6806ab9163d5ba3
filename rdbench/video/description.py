"""What a file says of its pictures, from its header and its first frames: colours, shape, fields, dynamic range."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import av
from av.stream import Disposition

from rdbench import binary, containers
from rdbench.errors import ClipError
from rdbench.video import colour
from rdbench.video.pictures import is_pictures, picture_files, reachable

__all__ = ["FORMATS", "Description", "Fields", "describe", "extent_of", "format_of", "opened", "video_stream"]

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
        *("ogg", "mxf", "nut", "yuv4mpegpipe", "ivf", "obu", "av1", "h264", "hevc", "vvc", "gif", "apng"),
        *("mpegvideo", "m4v", "mjpeg", "mjpeg_2000", "dv", "rm", "wtv", "vc1", "vc1test", "h261", "h263"),
        *("cavsvideo", "webp_anim", "roq", "smk", "bink", "nsv", "image2"),
    )
)
"""Containers that hold their own pictures; a play list could name other files."""

Fields = Literal["deinterlace", "keep", "refuse"]
"""What is done with interlaced pictures."""

_LOOKED_AT = 24
_MOST_ASPECT = 8
_UNSPECIFIED = 2
_BRIGHT = 400.0
_TRANSFERS = {16: "PQ", 18: "HLG", 17: "ST 428", 8: "linear light", 9: "logarithmic", 10: "logarithmic"}
_STANDARD = 2


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
    stream : int
        Index of the stream in the file.
    streams : int
        Streams of pictures in the file, covers aside.
    aspect : Fraction
        Width of a pixel over its height, as coded.
    fields : {"", "flagged", "top", "bottom"}
        Empty for progressive pictures; "flagged" where each frame tells, else the field that comes first.
    telecine : str
        "soft" where frames ask for repeated fields, "hard" where repeated fields were coded, else "".
    deinterlaced : bool
    duration : float or None
        Seconds by the header.
    masked : bool
        Whether pictures that are lost or damaged are masked; else the recording is refused.
    """

    codec: str
    pixel_format: str
    width: int
    height: int
    matrix: str
    declared: bool
    full_range: bool
    rgb: bool
    stream: int = 0
    streams: int = 1
    aspect: Fraction = Fraction(1)
    fields: str = ""
    telecine: str = ""
    deinterlaced: bool = False
    duration: float | None = None
    masked: bool = False

    @property
    def conversion(self) -> str:
        """What is done to bring the pictures to upright BT.709 limited 8-bit 4:2:0 in square pixels, in words."""
        parts = []
        if not self.as_coloured:
            source = "rgb" if self.rgb else f"{self.matrix}{'' if self.declared else ' (by size)'}"
            if colour.is_grey(self.pixel_format):
                source = "grey"
            parts.append(f"{self.pixel_format} {source} {'full' if self.full_range else 'limited'} to bt709")
        if self.stretched:
            parts.append(f"pixels of {self.aspect.numerator}:{self.aspect.denominator} made square (lanczos)")
        if self.fields:
            parts.append("interlaced, " + ("deinterlaced (bwdif)" if self.deinterlaced else "left as it is"))
        if self.telecine:
            parts.append(f"{self.telecine} telecine, no frame removed")
        if colour.has_alpha(self.pixel_format):
            parts.append("alpha ignored")
        if self.streams > 1:
            parts.append(f"stream {self.stream} of {self.streams} with pictures")
        if self.masked:
            parts.append("damage masked")
        return "; ".join(parts) or "none"

    @property
    def as_coloured(self) -> bool:
        """True if the decoded codes can be used as they are."""
        return self.pixel_format == "yuv420p" and self.matrix == "bt709" and not self.full_range

    @property
    def stretched(self) -> bool:
        """True if square pixels make the picture larger."""
        return (self.square_width, self.square_height) != (self.width, self.height)

    @property
    def square_width(self) -> int:
        """Width in square pixels: wide pixels widen the picture, to an even number, and lose nothing."""
        return _even(self.width, self.aspect) if self.aspect > 1 else self.width

    @property
    def square_height(self) -> int:
        """Height in square pixels: tall pixels heighten it."""
        return _even(self.height, 1 / self.aspect) if self.aspect < 1 else self.height

    @property
    def as_wanted(self) -> bool:
        """True if the decoded planes can be used as they are."""
        return self.as_coloured and not self.stretched and not self.deinterlaced


def _even(length: int, factor: Fraction) -> int:
    """To the nearest even number; a picture that would not change by a pixel keeps its own."""
    exact = length * factor
    return length if abs(exact - length) < 1 else 2 * round(exact / 2)


def describe(file: Path, fields: Fields = "deinterlace", *, masked: bool = False) -> Description:
    """Read a file's header and first frames.

    Parameters
    ----------
    file : Path
        A video, a picture, or a folder of numbered pictures.
    fields : {"deinterlace", "keep", "refuse"}
        What is done with interlaced pictures.
    masked : bool
        Whether pictures that are lost or damaged are to be masked.

    Raises
    ------
    ClipError
        If it is missing, is no video, has a dynamic range, a colour matrix or pixels that cannot be brought to BT.709
        truly, or is interlaced where that is to be refused.
    """
    if not file.exists():
        raise ClipError(f"{file.name}: no such file.")
    if file.is_file() and file.stat().st_size == 0:
        raise ClipError(f"{file.name}: the file is empty (0 bytes).")
    try:
        with opened(file) as container:
            description = dataclasses.replace(_described(file, container), masked=masked)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if isinstance(error, av.ArgumentError):
            reason = "no container that holds its own pictures, or a damaged one"
        reason = containers.fault(file) or reason
        raise ClipError(f"{file.name}: not a video that FFmpeg can read ({reason}).") from error
    if not description.fields:
        return description
    if fields == "refuse":
        raise ClipError(
            f"{file.name}: interlaced, which this experiment refuses; deinterlace it first, or let the experiment "
            'do it (dataset.interlaced = "deinterlace").'
        )
    return dataclasses.replace(
        description,
        deinterlaced=fields == "deinterlace",
        telecine=description.telecine or _hard_telecine(file, description),
    )


def format_of(file: Path) -> str | None:
    """The container, where a file does not tell: JPEGs one after the other may pass for a single picture."""
    return "mjpeg" if file.suffix.casefold() in (".mjpeg", ".mjpg") else None


@contextlib.contextmanager
def opened(file: Path) -> Iterator[Any]:
    """A container, opened by PyAV; of a folder of pictures, the first of them."""
    options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
    kind = format_of(file)
    shown = file
    if is_pictures(file):
        shown, kind = picture_files(file)[0], "image2"
        options["pattern_type"] = "none"
    with (
        reachable(shown) as path,
        av.open(str(path), format=kind, options=options, metadata_errors="replace") as container,
    ):
        yield container


def video_stream(container: Any) -> Any:
    """The stream of pictures to take: the one flagged as default, else the first.

    The cover of a sound file is one too, for those that do not ask; a stream of one picture beside a longer one is
    a cover that nobody marked.
    """
    streams = _streams(container)
    if len(streams) > 1:
        streams = _longer_than_one(container, streams) or streams
    default = (stream for stream in streams if stream.disposition & Disposition.default)
    return next(default, next(iter(streams), None))


def _streams(container: Any) -> list[Any]:
    hidden = Disposition.attached_pic | Disposition.timed_thumbnails
    return [stream for stream in container.streams.video if not stream.disposition & hidden]


def _longer_than_one(container: Any, streams: list[Any]) -> list[Any]:
    """Streams with more than one packet."""
    count = {stream.index: 0 for stream in streams}
    for packet in container.demux(streams):
        count[packet.stream.index] += bool(packet.size)
        if min(count.values()) > 1:
            break
    container.seek(0)
    return [stream for stream in streams if count[stream.index] > 1]


def _described(file: Path, container: Any) -> Description:
    stream = video_stream(container)
    if stream is None:
        raise ClipError(f"{file.name}: no video stream (it has {_kinds(container)}).")
    frames = list(islice(_first_frames(container, stream), _LOOKED_AT))
    context = stream.codec_context
    pixel_format = frames[0].format.name if frames else context.pix_fmt
    if pixel_format is None or not context.width:
        why = containers.fault(file) or "the file is cut off or damaged"
        raise ClipError(f"{file.name}: its video stream has no picture size or pixel format; {why}.")
    header = _header(file, stream.index)
    _refuse_dynamic_range(file, context, frames, header)
    _refuse_codes(file, context, pixel_format)
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    if not Fraction(1, _MOST_ASPECT) <= aspect <= _MOST_ASPECT:
        raise ClipError(
            f"{file.name}: its pixels are said to be {aspect.numerator}:{aspect.denominator} wide; set the right "
            "sample aspect ratio in the file."
        )
    rgb = colour.is_rgb(pixel_format)
    matrix = _matrix(context)
    by_size = "bt709" if context.height >= 720 or context.width >= 1280 else "smpte170m"
    ranged = int(frames[0].color_range if frames else 0) or int(context.color_range)
    unsaid = rgb or (colour.is_grey(pixel_format) and is_pictures(file))
    return Description(
        codec=context.name,
        pixel_format=pixel_format,
        width=context.width,
        height=context.height,
        matrix=matrix or by_size,
        declared=matrix is not None,
        full_range=ranged == 2
        or pixel_format.startswith(("yuvj", "mono", "pal8"))
        or (unsaid and not ranged),
        rgb=rgb,
        stream=stream.index,
        streams=len(_streams(container)),
        aspect=aspect,
        fields=_fields(frames, header),
        telecine="soft" if any(getattr(frame, "repeat_pict", 0) for frame in frames) else "",
        duration=_duration(container, stream),
    )


def _first_frames(container: Any, stream: Any) -> Iterator[Any]:
    """The first frames; where they cannot be decoded, none: whoever decodes the whole file judges that."""
    try:
        yield from container.decode(stream)
    except av.FFmpegError:
        return


def _header(file: Path, stream: int) -> str:
    """What FFmpeg tells of one stream: PyAV shows no side data of streams."""
    shown = picture_files(file)[0] if is_pictures(file) else file
    text = binary.header(shown, FORMATS)
    parts = re.split(r"^  Stream #0:(\d+)", text, flags=re.MULTILINE)
    return next(
        (said for number, said in zip(parts[1::2], parts[2::2], strict=True) if int(number) == stream), ""
    )


def _refuse_dynamic_range(file: Path, context: Any, frames: list[Any], header: str) -> None:
    """Refuse what is not shown as BT.709 is, by whatever sign the file has of it."""
    transfer = (
        int(frames[0].color_trc) if frames and hasattr(frames[0], "color_trc") else int(context.color_trc)
    )
    if transfer == _UNSPECIFIED:
        transfer = int(context.color_trc)
    sign = _TRANSFERS.get(transfer, "")
    record = re.search(
        r"^\s*DOVI configuration record: .*profile: (\d+).*compatibility id: (\d+)", header, re.M
    )
    beside = {str(getattr(data.type, "name", "")) for frame in frames[:1] for data in frame.side_data}
    if not sign and record and int(record[2]) != _STANDARD:
        sign = f"Dolby Vision, profile {record[1]}"
    if not sign and not record and transfer == _UNSPECIFIED and any("DOVI" in name for name in beside):
        sign = "Dolby Vision"
    if not sign and transfer == _UNSPECIFIED:
        luminance = re.search(r"max_luminance\s*[=:]\s*([\d.]+)", header)
        level = re.search(r"MaxCLL\s*[=:]\s*(\d+)", header)
        if any("DYNAMIC_HDR" in name for name in beside):
            sign = "dynamic metadata"
        elif any(found and float(found[1]) > _BRIGHT for found in (luminance, level)):
            sign = "mastered for a bright display"
    if sign:
        raise ClipError(
            f"{file.name}: high dynamic range ({sign}); tone-map it to BT.709 first, "
            "since the tone mapping would decide the scores."
        )


def _refuse_codes(file: Path, context: Any, pixel_format: str) -> None:
    coloured = not colour.is_rgb(pixel_format) and not colour.is_grey(pixel_format)
    unsupported = colour.UNSUPPORTED.get(int(context.colorspace))
    if coloured and unsupported and _matrix(context) is None:
        raise ClipError(
            f"{file.name}: its colour matrix is {unsupported}, which cannot be converted exactly; "
            "convert it to BT.709 first."
        )
    if re.search(r"f(16|32)(le|be)?$|^bayer|^xyz", pixel_format):
        raise ClipError(
            f"{file.name}: its pictures are {pixel_format}: linear light or raw of a sensor, not video; "
            "convert it to BT.709 first."
        )


def _matrix(context: Any) -> str | None:
    """The declared matrix; one that is derived from the primaries is theirs."""
    number = int(context.colorspace)
    if number == 12:
        return {1: "bt709", 9: "bt2020"}.get(int(context.color_primaries))
    return colour.MATRICES.get(number)


def _fields(frames: list[Any], header: str) -> str:
    if any(frame.interlaced_frame for frame in frames):
        return "flagged"
    said = re.search(r"Video: .*?\b(top|bottom) (?:coded )?first", header.split("\n", 1)[0])
    return said[1] if said else ""


def _hard_telecine(file: Path, description: Description) -> str:
    """Whether fields repeat in the pattern of film: in 2 of 5 frames, where a detector counts a tenth or more."""
    text = binary.field_statistics(file, description.stream, FORMATS)
    counts = re.findall(r"Repeated Fields: Neither:\s*(\d+) Top:\s*(\d+) Bottom:\s*(\d+)", text)
    if not counts:
        return ""
    neither, top, bottom = (int(count) for count in counts[-1])
    return "hard" if top + bottom > 0.1 * (neither + top + bottom) else ""


def extent_of(file: Path) -> tuple[int, int, int] | None:
    """Width, height and frames as a file's header has them; None where it does not say how long it is.

    Raises
    ------
    ClipError
        If it has no pictures that can be used.
    """
    description = describe(file)
    with opened(file) as container:
        rate = video_stream(container).average_rate
    if is_pictures(file):
        frames = len(picture_files(file))
    elif description.duration is None or not rate:
        return None
    else:
        frames = max(1, round(description.duration * float(rate)))
    return description.square_width, description.square_height, frames


def _duration(container: Any, stream: Any) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _kinds(container: Any) -> str:
    kinds = sorted({"a cover" if s.type == "video" else str(s.type) for s in container.streams})
    return " and ".join(kinds) + " only" if kinds else "no streams at all"
