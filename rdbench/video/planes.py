"""Pictures as raw planes in files: geometry, padding, cropping, errors."""

from __future__ import annotations

import math
import shutil
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
from rdbench.video.source import frame_bytes

__all__ = [
    "BATCH",
    "Combing",
    "Geometry",
    "Planes",
    "Tally",
    "check_planes",
    "crop_picture",
    "cut_picture",
    "cut_plane",
    "luma_of",
    "mean_squared_error",
    "pad",
    "padded_planes",
    "psnr",
    "rechunk",
    "squared_error",
    "write_planes",
]


BATCH = 8
"""Pictures that are read from FFmpeg at once: as many as a processor's cache holds, or little more."""

_COMB_STEP, _COMB_LOOKS, _FEWEST_COMBED = 8, 60, 3
_COMB_DEPTH = 12
"""Levels by which a line stands out, and a pixel changes."""


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
