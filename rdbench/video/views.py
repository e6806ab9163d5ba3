"""What a recogniser sees of a clip: pictures scaled down and up by the sweep's one scaler, faces cut out."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from rdbench.backends.protocol import Input
from rdbench.cache import entry, is_sound
from rdbench.machine import work_folder
from rdbench.video import process
from rdbench.video.clip import FACE_SIZE, Clip
from rdbench.video.faces import Crop, FaceTrack, find, held, looked_at
from rdbench.video.planes import (
    BATCH,
    Geometry,
    Planes,
    Stored,
    Tally,
    Transient,
    check_planes,
    crop_picture,
    cut_picture,
    cut_plane,
    has_room,
    kept,
    luma_of,
    pad,
    padded_planes,
    passing,
    write_planes,
)
from rdbench.video.prepared import Prepared, prepare, source_frames
from rdbench.video.source import frame_bytes

__all__ = [
    "FaceViews",
    "decoded_track",
    "downsample",
    "face_pictures",
    "face_rgb",
    "face_views",
    "full_pictures",
    "pristine_views",
    "views",
]


def full_pictures(prepared: Prepared, geometry: Geometry, folder: Path) -> Planes:
    """Decode the source and pad it for one factor (region ``frame``)."""
    size = (prepared.width, prepared.height)

    def frames() -> Iterator[NDArray[np.uint8]]:
        return (pad(planes, size, geometry.padded) for planes in source_frames(prepared))

    return kept(Transient(*geometry.padded, prepared.frames, "source", frames), folder)


def face_pictures(prepared: Prepared, size: int = FACE_SIZE, margin: float = 0.0) -> Stored:
    """The face of every frame at `size` x `size` (region ``face``), cached beside the clip's track."""
    crop = prepared.track.crop(margin)
    file = prepared.folder / (f"face{size}-{crop.side}.yuv" if margin else f"face{size}.yuv")

    def make(part: Path) -> None:
        cuts = _cut_source(prepared, crop)
        stream = ffmpeg.input(
            "pipe:0", format="rawvideo", pix_fmt="yuv420p", s=f"{crop.side}x{crop.side}", framerate="25"
        )
        if crop.side != size:
            stream = process.scale(stream, size, size)
        output = ffmpeg.output(stream, f"file:{part}", format="rawvideo", pix_fmt="yuv420p")
        process.run(process.arguments(output), feed=cuts)
        check_planes(part, size, size, prepared.frames)

    return check_planes(entry(file, make), size, size, prepared.frames)


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


def downsample(planes: Planes, geometry: Geometry, folder: Path) -> Planes:
    """Scale every picture down by the factor."""
    if geometry.factor == 1:
        return planes
    name, (width, height) = f"{planes.name}-low{geometry.factor}", geometry.low
    scaled = process.scale(planes.stream(), width, height)

    def to(address: str) -> list[str]:
        return process.arguments(ffmpeg.output(scaled, address, format="rawvideo", pix_fmt="yuv420p"))

    if not has_room(folder, planes.frames, width, height):

        def make() -> Iterator[NDArray[np.uint8]]:
            return passing(to("pipe:1"), planes.feed(), width, height)

        return Transient(width, height, planes.frames, name, make)
    file = folder / f"{name}.yuv"
    process.run(to(f"file:{file}"), feed=planes.feed())
    return check_planes(file, width, height, planes.frames)


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


def decoded_track(
    low: Planes, geometry: Geometry, prepared: Prepared, detector: Path | None
) -> tuple[FaceTrack, int, int]:
    """The face as a receiver finds it by itself, in decoded pictures that were scaled up again.

    Parameters
    ----------
    low : Planes
    geometry : Geometry
    prepared : Prepared
    detector : Path or None
        See `rdbench.video.candidates.open_detector`.

    Returns
    -------
    track : FaceTrack
        Where the detector misses, the last box is held; see `rdbench.video.faces.held`.
    looks, misses : int
        How often it looked where the source has a face, and how often it saw none there.
    """
    width, height = geometry.padded
    lumas = (
        luma[: geometry.height, : geometry.width]
        for batch in _scaled_up(low, geometry, luma_only=True)
        for luma in luma_of(batch, width, height)
    )
    times = prepared.timeline.times
    boxes = find(lumas, times, detector=detector)
    there = prepared.track.mask[looked_at(times)]
    missed = there & ~np.isfinite(boxes.xywh).all(axis=1)
    found = held(boxes, times, geometry.width, geometry.height)
    return found, int(there.sum()), int(missed.sum())


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
    for chunk in process.through(process.arguments(output), low.feed(), size, BATCH):
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
    source = ffmpeg.input(
        "pipe:0", format="rawvideo", pix_fmt="yuv420p", s=f"{planes.width}x{planes.height}", framerate="25"
    )
    output = ffmpeg.output(
        process.scale(source, width, height, **process.TO_RGB), "pipe:1", format="rawvideo", pix_fmt="rgb24"
    )
    chunks = process.through(
        process.arguments(output), [planes.picture(index).tobytes()], width * height * 3, 1
    )
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
    clip: Clip, factors: Sequence[int], stride: int = 1, size: int = FACE_SIZE, seconds: float | None = None
) -> FaceViews:
    """The face of every `stride`-th frame, scaled down by each factor and up again by the sweep's own scaler.

    They are kept beside the clip's track: every model that learns from the clip asks for them.

    Raises
    ------
    ClipError
        If the clip cannot be used.
    """
    prepared = prepare(clip, seconds)
    luma: dict[int, NDArray[np.uint8]] = {}
    with work_folder() as folder:
        thin: Planes | None = None
        for factor in factors:
            file = prepared.folder / f"views{size}-{factor}-{stride}.npy"
            if not is_sound(file):
                thin = thin or _thinned(face_pictures(prepared, size), stride, Path(folder) / "thin.yuv")
                entry(file, functools.partial(_keep_views, thin, Geometry(size, size, factor), Path(folder)))
            luma[factor] = np.load(file, allow_pickle=False)
    return FaceViews(luma, prepared.track.mask[::stride], prepared.timeline.times[::stride])


def _thinned(pictures: Stored, stride: int, file: Path) -> Planes:
    """Every `stride`-th picture."""
    if stride == 1:
        return pictures
    shape = pictures.frames, pictures.frame_bytes
    some = np.memmap(pictures.file, np.uint8, "r", shape=shape)[::stride]
    return write_planes(iter(some), pictures.width, pictures.height, file, len(some))


def _keep_views(pictures: Planes, geometry: Geometry, folder: Path, part: Path) -> None:
    low = downsample(padded_planes(pictures, geometry.padded, folder), geometry, folder)
    seen = np.concatenate(list(views(low, geometry, None, Input(size=geometry.width))))
    with part.open("wb") as stream:
        np.save(stream, seen, allow_pickle=False)
