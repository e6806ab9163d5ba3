"""Small videos made on the fly, and ways to look at them that share nothing with the code under test."""

from __future__ import annotations

import atexit
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from rdbench.errors import ClipError
from rdbench.video.clip import Boxes, Clip, ClipInfo, Dataset, Labels
from rdbench.video.planes import Stored
from rdbench.video.source import frame_bytes

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
LOSSLESS = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "0")
NEAR = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "12")
BT709 = ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv")
_FOLDER = Path(tempfile.mkdtemp(prefix="rdbench-videos-"))
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)


def ffmpeg(*arguments: str | Path, data: bytes | None = None) -> bytes:
    """Run FFmpeg; what it writes to standard output."""
    command = [FFMPEG, "-v", "error", "-y", *map(str, arguments)]
    if data is None:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    else:
        done = subprocess.run(command, input=data, capture_output=True)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    return done.stdout


def lavfi(graph: str, *options: str | Path, suffix: str = ".mp4") -> Path:
    """A video of a lavfi graph, made once for equal arguments; nobody may change it."""
    key = hashlib.sha256(repr((graph, options, suffix)).encode()).hexdigest()[:16]
    file = _FOLDER / f"{key}{suffix}"
    if not file.exists():
        ffmpeg("-f", "lavfi", "-i", graph, *(options or (*NEAR, *BT709)), file)
    return file


def moving(frames: int = 25, width: int = 160, height: int = 120, rate: str = "25") -> Path:
    """A moving picture of `frames` frames, nearly lossless H.264, BT.709."""
    # The pattern in the middle turns and the numbers count, so no two frames are equal.
    return lavfi(
        f"testsrc2=s={width}x{height}:r={rate},format=yuv420p,trim=end_frame={frames}",
        *(*NEAR, *BT709, "-pix_fmt", "yuv420p", "-fps_mode", "passthrough"),
    )


def from_planes(data: bytes, width: int, height: int, file: Path, *options: str, rate: str = "25") -> Path:
    """A video of raw 4:2:0 pictures."""
    ffmpeg(
        *("-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{width}x{height}", "-framerate", rate, "-i", "-"),
        *(options or ("-vf", "setparams=colorspace=bt709:range=tv", *LOSSLESS, *BT709)),
        file,
        data=data,
    )
    return file


def planes_file(pictures: NDArray[np.uint8], width: int, height: int, file: Path) -> Stored:
    """Flat 4:2:0 pictures (n, bytes) as the raw file that the transcoder works on."""
    assert pictures.shape[1] == frame_bytes(width, height)
    file.write_bytes(pictures.tobytes())
    return Stored(width, height, len(pictures), file.stem, file)


def texture(frames: int, width: int, height: int, seed: int = 1) -> NDArray[np.uint8]:
    """Flat 4:2:0 pictures of a drifting texture with noise: hard enough that quantisers differ."""
    rng = np.random.default_rng(seed)
    big = rng.uniform(16, 235, (2 * height, 2 * width))
    for axis in (0, 1):
        big = sum(np.roll(big, shift, axis) for shift in range(-3, 4)) / 7
    big = np.clip((big - 125) * 5 + 125, 16, 235)
    pictures = []
    for index in range(frames):
        luma = np.roll(big, (index, 2 * index), (0, 1))[:height, :width]
        luma = np.clip(luma + rng.normal(0, 3, luma.shape), 16, 235).astype(np.uint8)
        chroma = (luma[::2, ::2] // 4 + 96).astype(np.uint8)
        pictures.append(np.concatenate([luma.ravel(), chroma.ravel(), chroma[::-1].ravel()]))
    return np.array(pictures)


def seen(file: Path) -> tuple[list[NDArray[np.uint8]], NDArray[np.float64]]:
    """Flat yuv420p planes and times of all frames as PyAV decodes them, without any conversion."""
    planes, times = [], []
    with av.open(str(file)) as container:
        for frame in container.decode(video=0):
            assert frame.format.name == "yuv420p"
            cut = [
                np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
                for plane in frame.planes
            ]
            planes.append(np.concatenate([part.ravel() for part in cut]))
            times.append(float(frame.pts * frame.time_base))
    return planes, np.array(times)


def boxes_at(
    times: Sequence[float], xywh: tuple[float, float, float, float] = (40, 30, 64, 64), speed: float = 0.0
) -> Boxes:
    """A box for each time that drifts to the right by `speed` pixels a second."""
    at = np.asarray(times, dtype=np.float64)
    rows = np.tile(np.asarray(xywh, dtype=np.float64), (len(at), 1))
    rows[:, 0] += speed * at
    return Boxes(at, rows)


def clip_of(
    file: Path,
    boxes: Boxes | None = None,
    labels: Labels | None = None,
    name: str = "one",
    frame_times: NDArray[np.float64] | None = None,
) -> Clip:
    """A clip with a stand-in for a face: a box that drifts."""
    if boxes is None:
        boxes = boxes_at(np.arange(0, 60, 0.04), speed=6.0)
    return Clip(name, f"subject-{name}", "test", file, labels, boxes, frame_times)


class Clips(Dataset):
    """A dataset of clips that are there already.

    Parameters
    ----------
    clips : Clip
    """

    def __init__(self, *clips: Clip) -> None:
        self.clips = {clip.name: clip for clip in clips}

    name = "made"

    def index(self) -> list[ClipInfo]:
        """All clips."""
        return [ClipInfo(clip.name, clip.subject, clip.partition) for clip in self.clips.values()]

    def load(self, name: str) -> Clip:
        """One of them."""
        if name not in self.clips:
            raise ClipError(f"{name}: no such clip")
        return self.clips[name]


def psnr_of(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """From the mean squared error over everything, in floating point."""
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return float(10 * np.log10(255.0**2 / error))


RATE = Fraction(25)
