"""What presets cost in CPU time, and what one way of holding quantisers costs in bits against another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from rdbench.codecs.arguments import mode_of, quantised
from rdbench.codecs.coder import Encoded, decode, encode
from rdbench.codecs.profiles import Profile
from rdbench.codecs.survey import SIDE, material, middle_rate
from rdbench.datasets.synthetic import SyntheticDataset
from rdbench.errors import EncodeError
from rdbench.machine import work_folder
from rdbench.stats.bd import Side, bd_rate, percent
from rdbench.video import process
from rdbench.video.planes import Planes, check_planes, mean_squared_error, psnr, write_planes

__all__ = ["MODE_PAIRS", "clip_planes", "cpu_seconds", "drawn", "mode_delta", "seconds_per_pixel"]

FRAMES = 100

MODE_PAIRS = (("crf", "qp"), ("crf", "flat"), ("qp", "flat"))
"""Ways of holding quantisers that are compared, anchor first, where a variant has both."""

_FPS = Fraction(25)


def drawn(number: int) -> list[Path]:
    """Files of the first dev clips of the drawn set."""
    dataset = SyntheticDataset()
    names = [info.name for info in dataset.index() if info.partition == "dev"]
    return [dataset.load(name).file for name in names[:number]]


def clip_planes(file: Path, size: tuple[int, int], folder: Path) -> Planes:
    """The first 100 pictures of a file, scaled until they cover a size and cut to its middle."""
    width, height = size
    stream = ffmpeg.input(f"file:{file}", protocol_whitelist="file")["v:0"]
    covering = process.scale(
        stream, f"max({width},ceil(iw*{height}/ih/2)*2)", f"max({height},ceil(ih*{width}/iw/2)*2)"
    )
    out = folder / f"{file.stem}.yuv"
    cut = covering.filter("crop", width, height)
    process.run(
        process.arguments(
            ffmpeg.output(
                *(cut, f"file:{out}"),
                **{"frames:v": FRAMES, "format": "rawvideo", "pix_fmt": "yuv420p", "fps_mode": "passthrough"},
            )
        )
    )
    return check_planes(out, width, height, out.stat().st_size // (width * height * 3 // 2))


def cpu_seconds(profile: Profile, variant: str, files: Sequence[Path]) -> float:
    """Seconds of user and system time for 100 pictures of 640x360 at the middle quantiser; mean over the clips."""
    mode = quantised(profile, variant)
    grid = mode_of(profile, mode).grid
    seconds = []
    for file in files:
        with work_folder() as name:
            planes = clip_planes(file, (640, 360), Path(name))
            done = encode(planes, profile, variant, mode, grid[len(grid) // 2], _FPS, Path(name))
            if not isinstance(done, Encoded):
                raise EncodeError(f"{profile.name} {variant} {mode} was refused: {done.reason}.")
            seconds.append(done.cpu_seconds * FRAMES / planes.frames)
    return float(np.mean(seconds))


def seconds_per_pixel(profile: Profile, variant: str, mode: str) -> float:
    """User and system time of one small encode (48 pictures of 320x192, a drifting texture with noise) over its pixels.

    Raises
    ------
    EncodeError
        If the encoder refuses it.
    """
    with work_folder() as name:
        folder = Path(name)
        pictures = (_tiled(picture) for picture in islice(material(), 48))
        planes = write_planes(pictures, 5 * SIDE, 3 * SIDE, folder / "texture.yuv", 48)
        done = encode(planes, profile, variant, mode, middle_rate(profile, mode), _FPS, folder)
    if not isinstance(done, Encoded):
        raise EncodeError(f"{profile.name} {variant} {mode} was refused: {done.reason}.")
    return done.cpu_seconds / (planes.width * planes.height * planes.frames)


def _tiled(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    luma = picture[: SIDE**2].reshape(SIDE, SIDE)
    chroma = picture[SIDE**2 :].reshape(2, SIDE // 2, SIDE // 2)
    return np.concatenate([np.tile(plane, (3, 5)).ravel() for plane in (luma, *chroma)])


def mode_delta(profile: Profile, variant: str, anchor: str, test: str, file: Path) -> float:
    """Bits that one mode needs more than another at equal luma PSNR (BD-rate, akima) on one clip at 320x180, in percent."""
    with work_folder() as name:
        folder = Path(name)
        planes = clip_planes(file, (320, 180), folder)
        sides = [_curve(planes, profile, variant, mode) for mode in (anchor, test)]
    return float(percent(bd_rate(*sides, cut=False, leave_out=False).value))


def _curve(planes: Planes, profile: Profile, variant: str, mode: str) -> Side:
    points = np.array(list(_points(planes, profile, variant, mode)))
    none = np.zeros((0, len(points)))
    return Side(np.log(points[:, 0]), points[:, 1], none, none, correlation=False)


def _points(planes: Planes, profile: Profile, variant: str, mode: str) -> Iterator[tuple[float, float]]:
    for rate in mode_of(profile, mode).grid:
        with work_folder() as name:
            folder = Path(name)
            done = encode(planes, profile, variant, mode, rate, _FPS, folder)
            if isinstance(done, Encoded):
                decoded = decode(done, profile, (planes.width, planes.height), planes.frames, folder).planes
                quality = psnr(mean_squared_error(planes, decoded))
                assert quality is not None
                yield done.bits.payload, quality
