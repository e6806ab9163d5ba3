"""Pictures as raw planes in files: geometry, padding, cropping, errors."""

from __future__ import annotations

import itertools
import math
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from errno import ENOSPC
from fractions import Fraction
from pathlib import Path

import cv2
import ffmpeg
import numpy as np
from numpy.typing import NDArray

from rdbench.errors import EncodeError
from rdbench.video import process
from rdbench.video.source import frame_bytes

__all__ = [
    "BATCH",
    "WORK_BYTES",
    "Geometry",
    "Planes",
    "Stored",
    "Tally",
    "Transient",
    "check_planes",
    "crop_picture",
    "cut_picture",
    "cut_plane",
    "has_room",
    "kept",
    "luma_of",
    "mean_squared_error",
    "pad",
    "padded_planes",
    "passing",
    "psnr",
    "rechunk",
    "require_frames",
    "squared_error",
    "write_planes",
]


BATCH = 8
"""Pictures that are read from FFmpeg at once: as many as a processor's cache holds, or little more."""

WORK_BYTES = 900_000_000
"""Most that files of pictures take in one work folder; what would not fit is made anew at each reading."""


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
class Planes(ABC):
    """8-bit 4:2:0 pictures of even size that can be read again and again; `name` tells those of one folder apart."""

    width: int
    height: int
    frames: int
    name: str

    @abstractmethod
    def batches(self) -> Iterator[NDArray[np.uint8]]:
        """All pictures as (n, bytes) arrays in order, `BATCH` at a time."""

    @abstractmethod
    def picture(self, index: int) -> NDArray[np.uint8]:
        """One picture, flat."""

    @abstractmethod
    def feed(self) -> Iterator[bytes] | None:
        """What has to be written to the standard input of a command that reads `stream`; None for a file."""

    @property
    def address(self) -> str:
        """Where FFmpeg reads them."""
        return "pipe:0"

    @property
    def frame_bytes(self) -> int:
        """Bytes of one picture."""
        return frame_bytes(self.width, self.height)

    def stream(self, fps: Fraction = Fraction(25)) -> object:
        """These pictures as an input of an ffmpeg-python graph."""
        size = f"{self.width}x{self.height}"
        return ffmpeg.input(self.address, format="rawvideo", pix_fmt="yuv420p", s=size, framerate=str(fps))


@dataclass(frozen=True)
class Stored(Planes):
    """Pictures in a raw file."""

    file: Path

    def batches(self) -> Iterator[NDArray[np.uint8]]:
        """All pictures as (n, bytes) arrays in order, `BATCH` at a time."""
        with self.file.open("rb") as stream:
            while chunk := stream.read(self.frame_bytes * BATCH):
                yield np.frombuffer(chunk, np.uint8).reshape(-1, self.frame_bytes)

    def picture(self, index: int) -> NDArray[np.uint8]:
        """One picture, flat."""
        with self.file.open("rb") as stream:
            stream.seek(index * self.frame_bytes)
            return np.frombuffer(stream.read(self.frame_bytes), np.uint8)

    def feed(self) -> None:
        """Nothing: FFmpeg reads the file itself."""
        return

    @property
    def address(self) -> str:
        """Where FFmpeg reads them."""
        return f"file:{self.file}"


@dataclass(frozen=True)
class Transient(Planes):
    """Pictures that are made anew whenever they are read, since a file of them would be too large.

    Parameters
    ----------
    width, height, frames : int
    name : str
    make : callable
        Gives all pictures in order, flat.
    """

    make: Callable[[], Iterator[NDArray[np.uint8]]] = field(repr=False)

    def pictures(self) -> Iterator[NDArray[np.uint8]]:
        """All pictures, flat.

        Raises
        ------
        EncodeError
            If there are more or fewer than there should be.
        """
        count = 0
        for picture in self.make():
            count += 1
            yield picture
        require_frames(count, self)

    def batches(self) -> Iterator[NDArray[np.uint8]]:
        """All pictures as (n, bytes) arrays in order, `BATCH` at a time."""
        held: list[NDArray[np.uint8]] = []
        for picture in self.pictures():
            held.append(picture)
            if len(held) == BATCH:
                yield np.stack(held)
                held.clear()
        if held:
            yield np.stack(held)

    def picture(self, index: int) -> NDArray[np.uint8]:
        """One picture, flat."""
        return next(itertools.islice(self.pictures(), index, None))

    def feed(self) -> Iterator[bytes]:
        """All pictures, to be written to a command."""
        return (picture.tobytes() for picture in self.pictures())


def passing(
    command: list[str], feed: Iterator[bytes] | None, width: int, height: int
) -> Iterator[NDArray[np.uint8]]:
    """Pictures that a command writes to its standard output, flat."""
    size = frame_bytes(width, height)
    for chunk in process.through(command, feed, size, BATCH):
        yield from np.frombuffer(chunk, np.uint8).reshape(-1, size)


def require_frames(found: float, planes: Planes) -> None:
    """Hold pictures to their number.

    Raises
    ------
    EncodeError
        If there are more or fewer.
    """
    if found != planes.frames:
        raise EncodeError(
            f"{found:g} frames of {planes.width}x{planes.height} came out, {planes.frames} went in."
        )


def has_room(folder: Path, frames: int, width: int, height: int) -> bool:
    """Whether a file of pictures may lie beside what a work folder holds already, see `WORK_BYTES`."""
    held = sum(file.stat().st_size for file in folder.iterdir())
    return held + frames * frame_bytes(width, height) <= WORK_BYTES


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
) -> Stored:
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
    return Stored(width, height, written, file.stem, file)


def check_planes(file: Path, width: int, height: int, frames: int) -> Stored:
    """Hold a raw file to its number of frames.

    Raises
    ------
    EncodeError
        If there are more or fewer.
    """
    planes = Stored(width, height, frames, file.stem, file)
    require_frames((file.stat().st_size if file.exists() else 0) / planes.frame_bytes, planes)
    return planes


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


def padded_planes(planes: Planes, size: tuple[int, int], folder: Path) -> Planes:
    """Pad every picture to a larger even size; the same planes where there is nothing to pad."""
    width, height = size
    if (planes.width, planes.height) == size:
        return planes
    name = f"{planes.name}-{width}x{height}"
    file = folder / f"{name}.yuv"
    if file.exists():
        return check_planes(file, width, height, planes.frames)

    def rows() -> Iterator[NDArray[np.uint8]]:
        return (
            pad(picture, (planes.width, planes.height), size)
            for batch in planes.batches()
            for picture in batch
        )

    return kept(Transient(width, height, planes.frames, name, rows), folder)


def kept(pictures: Transient, folder: Path) -> Planes:
    """The same pictures in a file, where there is room for it."""
    width, height, frames = pictures.width, pictures.height, pictures.frames
    if not has_room(folder, frames, width, height):
        return pictures
    return write_planes(pictures.make(), width, height, folder / f"{pictures.name}.yuv", frames)


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
