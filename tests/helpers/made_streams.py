"""Real elementary streams for tests: small moving pictures, encoded by what a profile says."""

from __future__ import annotations

import subprocess
import tempfile
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from rdbench.codecs.arguments import Pictures, encode_arguments, pass_numbers, quantised
from rdbench.codecs.profiles import Profile, load_profiles

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
FPS = Fraction(10)
FRAMES = 45
SIZE = 64
CUT = 27
PROFILES = load_profiles()
CONDITIONS = [
    (name, variant, mode)
    for name, profile in PROFILES.items()
    for variant, settings in profile.variants.items()
    for mode in profile.modes
    if mode not in settings.without
]
STEADY = [
    (name, variant)
    for name, profile in PROFILES.items()
    for variant, settings in profile.variants.items()
    if {"qp", "crf", "flat"} & (profile.modes.keys() - settings.without.keys())
]


@lru_cache(maxsize=16)
def pictures(width: int = SIZE, height: int = SIZE, frames: int = FRAMES) -> bytes:
    """yuv420p planes: a drifting texture with noise, another one from frame `CUT` on."""
    rng = np.random.default_rng(5)
    planes = []
    textures = [_smooth(rng.uniform(16, 235, (2 * height, 2 * width))) for _ in range(2)]
    for i in range(frames):
        moved = np.roll(textures[int(i >= CUT)], (i, 2 * i), axis=(0, 1))[:height, :width]
        luma = np.clip(moved + rng.normal(0, 4, moved.shape), 16, 235).astype(np.uint8)
        chroma = np.clip(luma[::2, ::2] / 4 + 96, 16, 240).astype(np.uint8)
        planes += [luma.tobytes(), chroma.tobytes(), chroma[::-1].tobytes()]
    return b"".join(planes)


def _smooth(texture: np.ndarray) -> np.ndarray:
    for axis in (0, 1):
        texture = sum(np.roll(texture, shift, axis) for shift in range(-3, 4)) / 7
    return np.clip((texture - 125) * 5 + 125, 16, 235)


def ffmpeg(*arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run FFmpeg with `data` on its standard input, whatever comes of it."""
    return subprocess.run([FFMPEG, "-hide_banner", "-y", *arguments], input=data, capture_output=True)


def source(width: int = SIZE, height: int = SIZE, fps: Fraction = FPS) -> list[str]:
    """Input arguments for `pictures`."""
    size = f"{width}x{height}"
    return ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", size, "-framerate", str(fps), "-i", "-", "-an"]


def try_encode(
    profile: Profile,
    variant: str,
    mode: str,
    rate: float,
    *,
    width: int = SIZE,
    height: int = SIZE,
    frames: int = FRAMES,
    fps: Fraction = FPS,
    muxer: str | None = None,
) -> tuple[bytes | None, str]:
    """The stream (None if FFmpeg failed) and what FFmpeg wrote about the last pass."""
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "out")
        for number in pass_numbers(profile, variant, mode):
            arguments = encode_arguments(
                profile,
                Pictures(width, height, fps, frames),
                variant=variant,
                mode=mode,
                rate=rate,
                passlog=None if number is None else str(Path(folder) / "passlog"),
                pass_number=number,
            )
            if muxer is not None and number != 1:
                arguments[-1] = muxer
            data = pictures(width, height, frames)
            run = ffmpeg(
                "-v", "info", *source(width, height, fps), *arguments, "-" if number == 1 else out, data=data
            )
            said = run.stderr.decode(errors="replace")
            if run.returncode:
                return None, said
        return Path(out).read_bytes(), said


def steady(name: str, variant: str) -> str:
    """The mode in which a profile is asked for quantisers in this variant."""
    return quantised(PROFILES[name], variant)


@lru_cache(maxsize=128)
def encoded(name: str, variant: str, mode: str, muxer: str | None = None) -> bytes:
    """The stream of `pictures` under a shipped profile at a middling rate."""
    grid = PROFILES[name].modes[mode].grid
    rate = 40.0 if mode in ("abr", "2pass") else grid[len(grid) // 2]
    stream, said = try_encode(PROFILES[name], variant, mode, rate, muxer=muxer)
    assert stream is not None, said[-2000:]
    return stream


def decoded(stream: bytes, suffix: str) -> bytes:
    """All planes of a stream; fails where the decoder finds fault with it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"in{suffix}"
        path.write_bytes(stream)
        out = ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]
        run = ffmpeg("-v", "error", "-xerror", "-threads", "1", "-i", str(path), *out)
    assert run.returncode == 0, run.stderr.decode(errors="replace")[-2000:]
    return run.stdout
