"""The way through FFmpeg: downsample, encode, decode, bring to the recogniser's size.

Planes lie in raw files between the steps, so that a frame can neither be lost nor invented unseen: a file's
size says how many there are.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from errno import ENOSPC
from fractions import Fraction
from pathlib import Path

import cv2
import ffmpeg
import numpy as np
from numpy.typing import NDArray

from rdbench.backends.protocol import Input
from rdbench.errors import EncodeError
from rdbench.sweep.experiment import FACE_SIZE
from rdbench.video import process
from rdbench.video.bitstream import Bits, count
from rdbench.video.clip import Clip
from rdbench.video.faces import Crop
from rdbench.video.prepared import Prepared, prepare, source_frames, work_folder
from rdbench.video.profiles import Profile, coded_size, encode_arguments, mean_qp, pass_numbers, refused
from rdbench.video.source import frame_bytes

__all__ = [
    "Encoded",
    "FaceViews",
    "Geometry",
    "Planes",
    "Refused",
    "Tally",
    "decode",
    "downsample",
    "encode",
    "face_pictures",
    "face_rgb",
    "face_views",
    "full_pictures",
    "mean_squared_error",
    "padded_planes",
    "pristine_views",
    "psnr",
    "views",
]

BATCH = 8
"""Pictures that are read from FFmpeg at once: as many as a processor's cache holds, or little more."""

_DEMUXERS = {"ivf-av1": "ivf", "ivf-vp9": "ivf"}


@dataclass(frozen=True)
class Geometry:
    """Sizes of one picture on its way.

    Parameters
    ----------
    width, height : int
        Of the picture before downsampling, without padding.
    factor : int
    """

    width: int
    height: int
    factor: int

    @property
    def padded(self) -> tuple[int, int]:
        """Size padded to multiples of twice the factor: the ratio is then exact, and 4:2:0 stays whole."""
        unit = 2 * self.factor
        return -(-self.width // unit) * unit, -(-self.height // unit) * unit

    @property
    def low(self) -> tuple[int, int]:
        """Size after downsampling."""
        width, height = self.padded
        return width // self.factor, height // self.factor


@dataclass(frozen=True)
class Planes:
    """A raw file of 8-bit 4:2:0 pictures of even size."""

    file: Path
    width: int
    height: int
    frames: int

    def batches(self) -> Iterator[NDArray[np.uint8]]:
        """All pictures as (n, bytes) arrays in order."""
        size = frame_bytes(self.width, self.height)
        with self.file.open("rb") as stream:
            while chunk := stream.read(size * BATCH):
                yield np.frombuffer(chunk, np.uint8).reshape(-1, size)

    def stream(self, fps: Fraction = Fraction(25)) -> object:
        """This file as an input of an ffmpeg-python graph."""
        return ffmpeg.input(
            f"file:{self.file}",
            format="rawvideo",
            pix_fmt="yuv420p",
            s=f"{self.width}x{self.height}",
            framerate=str(fps),
        )


@dataclass(frozen=True)
class Encoded:
    """One encode, kept as its elementary stream, of which `digest` is the content hash."""

    file: Path
    digest: str
    bits: Bits
    command: tuple[str, ...]
    width: int
    height: int
    mean_qp: float | None


@dataclass(frozen=True)
class Refused:
    """An encoder's own refusal: this rate is not applicable, which is a result and no failure."""

    reason: str
    command: tuple[str, ...]
    width: int
    height: int


@dataclass
class Tally:
    """Adds up squared luma errors while pictures pass by.

    Parameters
    ----------
    reference : Planes
        Compared with the pictures that pass, frame by frame.
    width, height : int
        Area that counts (without padding).
    """

    reference: Planes
    width: int
    height: int
    squares: int = 0
    samples: int = field(default=0)

    def watch(self, lumas: Iterator[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
        """Pass (n, H, W) luma on, having compared it."""
        references = rechunk(
            luma_of(b, self.reference.width, self.reference.height) for b in self.reference.batches()
        )
        for luma in lumas:
            wanted = references(len(luma))
            self.squares += squared_error(
                luma[:, : self.height, : self.width], wanted[:, : self.height, : self.width]
            )
            self.samples += len(luma) * self.width * self.height
            yield luma

    @property
    def psnr(self) -> float | None:
        """Luma PSNR in dB from the mean squared error; infinite is given as None, as is nothing compared."""
        return psnr(self.squares / self.samples) if self.samples else None


def psnr(mse: float) -> float | None:
    """10 log10(255^2 / mse) in dB; None for equal pictures, whose PSNR is no number."""
    return 10 * math.log10(255**2 / mse) if mse > 0 else None


def squared_error(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    """Exact sum of squared differences of two (n, H, W) arrays."""
    return sum(round(cv2.norm(x, y, cv2.NORM_L2SQR)) for x, y in zip(a, b, strict=True))


def rechunk(arrays: Iterator[NDArray[np.uint8]]) -> Callable[[int], NDArray[np.uint8]]:
    """A function that takes the next n rows off a stream of arrays, however these are cut.

    Raises
    ------
    EncodeError
        If the stream ends early.
    """
    held: list[NDArray[np.uint8]] = []

    def take(n: int) -> NDArray[np.uint8]:
        while sum(len(part) for part in held) < n:
            part = next(arrays, None)
            if part is None:
                raise EncodeError(f"{n} more frames were expected, {sum(map(len, held))} are left.")
            held.append(part)
        rows = np.concatenate(held) if len(held) > 1 else held[0]
        held[:] = [rows[n:]]
        return rows[:n]

    return take


def luma_of(pictures: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Luma planes (n, H, W) of flat 4:2:0 pictures (n, bytes)."""
    return pictures[:, : width * height].reshape(-1, height, width)


def pad(planes: NDArray[np.uint8], size: tuple[int, int], wanted: tuple[int, int]) -> NDArray[np.uint8]:
    """Repeat the right and lower edge of one flat 4:2:0 picture of any size up to an even one."""
    if size == wanted:
        return planes
    (width, height), (new_width, new_height) = size, wanted
    cut = [(width, height, new_width, new_height)]
    cut += [((width + 1) // 2, (height + 1) // 2, new_width // 2, new_height // 2)] * 2
    parts, start = [], 0
    for w, h, to_w, to_h in cut:
        plane = planes[start : start + w * h].reshape(h, w)
        parts.append(np.pad(plane, ((0, to_h - h), (0, to_w - w)), mode="edge").ravel())
        start += w * h
    return np.concatenate(parts)


def write_planes(
    frames: Iterable[NDArray[np.uint8]], width: int, height: int, file: Path, expected: int
) -> Planes:
    """Write flat pictures of one even size.

    Raises
    ------
    OSError
        With ENOSPC before anything is written, if the folder has no room for them.
    EncodeError
        If not as many came as expected.
    """
    need = expected * frame_bytes(width, height)
    if shutil.disk_usage(file.parent).free < need:
        raise OSError(ENOSPC, f"{need / 2**20:.0f} MiB are needed for decoded pictures", str(file.parent))
    written = 0
    with file.open("wb") as stream:
        for planes in frames:
            stream.write(planes.tobytes() if not planes.flags.c_contiguous else planes.data)
            written += 1
    if written != expected:
        raise EncodeError(f"{written} frames were written, {expected} expected.")
    return Planes(file, width, height, written)


def check_planes(file: Path, width: int, height: int, frames: int) -> Planes:
    """Hold a raw file to its number of frames.

    Raises
    ------
    EncodeError
        If there are more or fewer.
    """
    size = frame_bytes(width, height)
    found = file.stat().st_size if file.exists() else 0
    if found != frames * size:
        raise EncodeError(f"{found / size:g} frames of {width}x{height} came out, {frames} went in.")
    return Planes(file, width, height, frames)


def full_pictures(prepared: Prepared, geometry: Geometry, folder: Path) -> Planes:
    """Decode the source and pad it for one factor (region ``frame``)."""
    size = (prepared.width, prepared.height)
    frames = (pad(planes, size, geometry.padded) for planes in source_frames(prepared))
    return write_planes(frames, *geometry.padded, folder / "source.yuv", prepared.frames)


def face_pictures(prepared: Prepared, size: int = FACE_SIZE, margin: float = 0.0) -> Planes:
    """The face of every frame at `size` x `size` (region ``face``), cached beside the clip's track."""
    crop = prepared.track.crop(margin)
    file = prepared.folder / (f"face{size}-{crop.side}.yuv" if margin else f"face{size}.yuv")
    wanted = prepared.frames * frame_bytes(size, size)
    if not file.is_file() or file.stat().st_size != wanted:
        part = file.with_name(f".{uuid.uuid4().hex}.yuv")
        try:
            cuts = _cut_source(prepared, crop)
            stream = ffmpeg.input(
                "pipe:0", format="rawvideo", pix_fmt="yuv420p", s=f"{crop.side}x{crop.side}", framerate="25"
            )
            if crop.side != size:
                stream = process.scale(stream, size, size)
            output = ffmpeg.output(stream, f"file:{part}", format="rawvideo", pix_fmt="yuv420p")
            process.run(process.arguments(output), feed=cuts)
            check_planes(part, size, size, prepared.frames)
            os.replace(part, file)
        finally:
            part.unlink(missing_ok=True)
    return check_planes(file, size, size, prepared.frames)


def pristine_views(prepared: Prepared, wanted: Input) -> Iterator[NDArray[np.uint8]]:
    """The source's own faces at a recogniser's size, never downsampled or encoded; shapes as in `views`."""
    crop = prepared.track.crop(wanted.margin)
    rgb = wanted.colour == "rgb"
    feed = _cut_source(prepared, crop)
    if not rgb:
        feed = (cut[: crop.side**2] for cut in feed)
    return _resized(feed, crop.side, wanted)


def _cut_source(prepared: Prepared, crop: Crop) -> Iterator[bytes]:
    even = prepared.width + prepared.width % 2, prepared.height + prepared.height % 2
    for planes, (x, y) in zip(source_frames(prepared), crop.xy, strict=True):
        whole = pad(planes, (prepared.width, prepared.height), even)
        yield cut_picture(whole, even, (int(x), int(y)), crop.side).tobytes()


def cut_picture(
    planes: NDArray[np.uint8], size: tuple[int, int], xy: tuple[int, int], side: int
) -> NDArray[np.uint8]:
    """Cut a square (even place and side) out of one flat 4:2:0 picture, its edge repeated beyond it."""
    width, height = size
    luma = planes[: width * height].reshape(height, width)
    chroma = planes[width * height :].reshape(2, height // 2, width // 2)
    parts = [cut_plane(luma, xy, side)]
    parts += [cut_plane(plane, (xy[0] // 2, xy[1] // 2), side // 2) for plane in chroma]
    return np.concatenate([part.ravel() for part in parts])


def cut_plane(plane: NDArray[np.uint8], xy: tuple[int, int], side: int) -> NDArray[np.uint8]:
    """Cut a square out of one plane, its edge repeated beyond it."""
    (x, y), (height, width) = xy, plane.shape
    if x >= 0 and y >= 0 and x + side <= width and y + side <= height:
        return plane[y : y + side, x : x + side]
    rows = np.clip(np.arange(y, y + side), 0, height - 1)
    columns = np.clip(np.arange(x, x + side), 0, width - 1)
    return plane[np.ix_(rows, columns)]


def downsample(planes: Planes, geometry: Geometry, folder: Path) -> Planes:
    """Scale every picture down by the factor."""
    if geometry.factor == 1:
        return planes
    file = folder / f"{planes.file.stem}-low{geometry.factor}.yuv"
    output = ffmpeg.output(
        process.scale(planes.stream(), *geometry.low), f"file:{file}", format="rawvideo", pix_fmt="yuv420p"
    )
    process.run(process.arguments(output))
    return check_planes(file, *geometry.low, planes.frames)


def encode(
    planes: Planes, profile: Profile, variant: str, mode: str, rate: float, fps: Fraction, folder: Path
) -> Encoded | Refused:
    """Encode all pictures, and count the bits of what came out.

    Raises
    ------
    EncodeError
        If the encoder fails for another reason than refusing the rate.
    """
    width, height = coded_size(profile, planes.width, planes.height)
    width, height = width + width % 2, height + height % 2
    coded = padded_planes(planes, (width, height), folder)
    name = uuid.uuid4().hex
    file = folder / f"{name}{profile.suffix}"
    passes = pass_numbers(profile, mode)
    source = process.arguments(ffmpeg.output(coded.stream(fps), "OUT"), verbosity="info")
    source = source[: source.index("OUT")]
    command: list[str] = []
    stderr = ""
    for number in passes:
        options = encode_arguments(
            profile,
            variant=variant,
            mode=mode,
            rate=rate,
            width=width,
            height=height,
            fps=fps,
            frames=planes.frames,
            passlog=None if number is None else str(folder / name),
            pass_number=number,
        )
        call = [*source, "-an", *options, "-" if number == 1 else f"file:{file}"]
        shown = {str(folder / name): "{passlog}", f"file:{file}": "{out}", f"file:{coded.file}": "{in}"}
        command += [*(["&&"] if command else []), "ffmpeg", *(shown.get(word, word) for word in call[1:])]
        try:
            stderr = process.run(call)
        except process.FormatError as error:
            reason = refused(profile, error.stderr)
            if reason is None:
                raise
            return Refused(reason, tuple(command), width, height)
    data = file.read_bytes() if file.exists() else b""
    bits = count(data, profile.format)
    digest = hashlib.sha256(data).hexdigest()
    return Encoded(file, digest, bits, tuple(command), width, height, mean_qp(profile, stderr))


def padded_planes(planes: Planes, size: tuple[int, int], folder: Path) -> Planes:
    """Pad every picture to a larger even size; the same file where there is nothing to pad."""
    width, height = size
    if (planes.width, planes.height) == size:
        return planes
    file = folder / f"{planes.file.stem}-{width}x{height}.yuv"
    if file.exists():
        return check_planes(file, width, height, planes.frames)
    rows = (
        pad(picture, (planes.width, planes.height), size) for batch in planes.batches() for picture in batch
    )
    return write_planes(rows, width, height, file, planes.frames)


def decode(encoded: Encoded, profile: Profile, low: tuple[int, int], frames: int, folder: Path) -> Planes:
    """Decode an elementary stream and take the codec's padding off.

    Raises
    ------
    EncodeError
        If it does not decode without a fault to as many frames as went in.
    """
    file = folder / f"{encoded.file.stem}.yuv"
    stream = ffmpeg.input(
        f"file:{encoded.file}",
        format=_DEMUXERS.get(profile.format, profile.format),
        threads=1,
        xerror=None,
        protocol_whitelist="file",
    )
    output = ffmpeg.output(
        stream, f"file:{file}", format="rawvideo", pix_fmt="yuv420p", fps_mode="passthrough", an=None
    )
    process.run(process.arguments(output))
    decoded = check_planes(file, encoded.width, encoded.height, frames)
    if (encoded.width, encoded.height) == low:
        return decoded
    cropped = folder / f"{encoded.file.stem}-cropped.yuv"
    rows = (crop_picture(p, (encoded.width, encoded.height), low) for b in decoded.batches() for p in b)
    result = write_planes(rows, *low, cropped, frames)
    file.unlink()
    return result


def crop_picture(
    planes: NDArray[np.uint8], size: tuple[int, int], wanted: tuple[int, int]
) -> NDArray[np.uint8]:
    """Take padding off the right and lower edge of one flat 4:2:0 picture; all sizes even."""
    (width, height), (w, h) = size, wanted
    luma = planes[: width * height].reshape(height, width)[:h, :w]
    chroma = planes[width * height :].reshape(2, height // 2, width // 2)[:, : h // 2, : w // 2]
    return np.concatenate([luma.ravel(), chroma.ravel()])


def mean_squared_error(a: Planes, b: Planes) -> float:
    """Mean squared luma error over all frames of two files of one size."""
    total = 0
    for first, second in zip(a.batches(), b.batches(), strict=True):
        total += squared_error(luma_of(first, a.width, a.height), luma_of(second, b.width, b.height))
    return total / (a.frames * a.width * a.height)


def views(
    low: Planes,
    geometry: Geometry,
    crop: Crop | None,
    wanted: Input,
    tally: Tally | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """What a recogniser sees: pictures scaled up again, the face cut out, brought to the recogniser's size.

    Parameters
    ----------
    low : Planes
        Downsampled, and decoded where there was a codec.
    geometry : Geometry
    crop : Crop or None
        None in region ``face``, where the picture is the crop.
    wanted : Input
        Size and colour.
    tally : Tally, optional
        Sees the luma of every picture at full size.

    Returns
    -------
    iterator of (n, size, size) or (n, size, size, 3) uint8
        Luma (16 to 235) or RGB.
    """
    rgb = wanted.colour == "rgb"
    pictures = _scaled_up(low, geometry, luma_only=not rgb)
    width, height = geometry.padded
    if tally is not None:
        pictures = _tallied(pictures, tally, width, height)
    side = geometry.width if crop is None else crop.side
    cuts = (
        pictures
        if crop is None and geometry.padded == (side, side)
        else _cuts(pictures, geometry, crop, luma_only=not rgb)
    )
    return _resized((np.ascontiguousarray(cut).tobytes() for cut in cuts), side, wanted)


def _resized(feed: Iterator[bytes], side: int, wanted: Input) -> Iterator[NDArray[np.uint8]]:
    """Luma or 4:2:0 squares as a recogniser wants them."""
    rgb = wanted.colour == "rgb"
    size = wanted.size
    shape = (-1, size, size, 3) if rgb else (-1, size, size)
    if not rgb and side == size:
        yield from (np.frombuffer(cut, np.uint8).reshape(shape) for cut in feed)
        return
    stream = ffmpeg.input(
        "pipe:0", format="rawvideo", pix_fmt="yuv420p" if rgb else "gray", s=f"{side}x{side}", framerate="25"
    )
    stream = process.scale(stream, size, size, **(process.TO_RGB if rgb else {}))
    pixel_format = "rgb24" if rgb else "gray"
    output = ffmpeg.output(stream, "pipe:1", format="rawvideo", pix_fmt=pixel_format)
    for chunk in process.through(process.arguments(output), feed, size * size * (3 if rgb else 1), BATCH):
        yield np.frombuffer(chunk, np.uint8).reshape(shape)


def _scaled_up(low: Planes, geometry: Geometry, *, luma_only: bool) -> Iterator[NDArray[np.uint8]]:
    """Flat pictures, or only their luma, at full padded size."""
    width, height = geometry.padded
    if geometry.factor == 1:
        for batch in low.batches():
            yield batch[:, : width * height] if luma_only else batch
        return
    stream = low.stream()
    if luma_only:
        stream = stream.filter("extractplanes", "y")  # type: ignore[attr-defined]
    stream = process.scale(stream, width, height)
    pixel_format = "gray" if luma_only else "yuv420p"
    output = ffmpeg.output(stream, "pipe:1", format="rawvideo", pix_fmt=pixel_format)
    size = width * height if luma_only else frame_bytes(width, height)
    with process.running(process.arguments(output)) as running:
        for chunk in process.read_frames(running, size, BATCH):
            yield np.frombuffer(chunk, np.uint8).reshape(-1, size)


def _tallied(
    pictures: Iterator[NDArray[np.uint8]], tally: Tally, width: int, height: int
) -> Iterator[NDArray[np.uint8]]:
    seen: list[NDArray[np.uint8]] = []

    def lumas() -> Iterator[NDArray[np.uint8]]:
        for batch in pictures:
            seen.append(batch)
            yield luma_of(batch, width, height)

    for _ in tally.watch(lumas()):
        yield seen.pop()


def _cuts(
    pictures: Iterator[NDArray[np.uint8]], geometry: Geometry, crop: Crop | None, *, luma_only: bool
) -> Iterator[NDArray[np.uint8]]:
    width, height = geometry.padded
    side = geometry.width if crop is None else crop.side
    even = geometry.width + geometry.width % 2, geometry.height + geometry.height % 2
    index = 0
    for batch in pictures:
        for picture in batch:
            x, y = (0, 0) if crop is None else (int(v) for v in crop.xy[index])
            if luma_only:
                luma = picture.reshape(height, width)[: geometry.height, : geometry.width]
                yield cut_plane(luma, (x, y), side)[None]
            else:
                whole = crop_picture(picture, (width, height), even)
                yield cut_picture(whole, even, (x, y), side)[None]
            index += 1


def face_rgb(planes: Planes, index: int, geometry: Geometry, crop: Crop | None) -> NDArray[np.uint8]:
    """One face at full size and in colour, to look at.

    Parameters
    ----------
    planes : Planes
        Downsampled pictures.
    index : int
        Number of the frame.
    geometry : Geometry
    crop : Crop or None
        None in region ``face``.

    Returns
    -------
    (side, side, 3) uint8
    """
    width, height = geometry.padded
    size = frame_bytes(planes.width, planes.height)
    with planes.file.open("rb") as stream:
        stream.seek(index * size)
        picture = stream.read(size)
    source = ffmpeg.input(
        "pipe:0", format="rawvideo", pix_fmt="yuv420p", s=f"{planes.width}x{planes.height}", framerate="25"
    )
    output = ffmpeg.output(
        process.scale(source, width, height, **process.TO_RGB), "pipe:1", format="rawvideo", pix_fmt="rgb24"
    )
    chunks = process.through(process.arguments(output), [picture], width * height * 3, 1)
    rgb = np.frombuffer(b"".join(chunks), np.uint8).reshape(height, width, 3)
    rgb = rgb[: geometry.height, : geometry.width]
    if crop is None:
        return rgb
    x, y = (int(value) for value in crop.xy[index])
    return np.stack([cut_plane(rgb[..., channel], (x, y), crop.side) for channel in range(3)], axis=-1)


@dataclass(frozen=True)
class FaceViews:
    """Uncoded faces of one clip at several factors, as training sees them.

    Parameters
    ----------
    luma : dict
        For each factor (n, size, size) uint8, 16 to 235.
    mask : (n,) bool
        True where there is a face.
    times : (n,) float64
    """

    luma: dict[int, NDArray[np.uint8]]
    mask: NDArray[np.bool_]
    times: NDArray[np.float64]


def face_views(
    clip: Clip, factors: Sequence[int], size: int = FACE_SIZE, seconds: float | None = None
) -> FaceViews:
    """The face of every frame, scaled down by each factor and up again by the sweep's own scaler.

    Raises
    ------
    ClipError
        If the clip cannot be used.
    """
    prepared = prepare(clip, seconds)
    pictures = face_pictures(prepared, size)
    luma: dict[int, NDArray[np.uint8]] = {}
    with work_folder() as folder:
        for factor in factors:
            geometry = Geometry(size, size, factor)
            low = downsample(padded_planes(pictures, geometry.padded, Path(folder)), geometry, Path(folder))
            luma[factor] = np.concatenate(list(views(low, geometry, None, Input(size=size))))
    return FaceViews(luma, prepared.track.mask, prepared.timeline.times)
