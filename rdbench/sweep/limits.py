"""How long work may take and will take, and what room it needs: limits from what is coded, costs as they were measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from rdbench.errors import ClipError
from rdbench.machine import cache_dir, free_bytes
from rdbench.sweep.experiment import Condition
from rdbench.video.clip import Dataset
from rdbench.video.description import extent_of
from rdbench.video.planes import WORK_BYTES, Geometry
from rdbench.video.source import frame_bytes

__all__ = ["Costs", "Needs", "needs", "pass_limit"]

SHORTEST = 120.0
SECONDS_PER_PIXEL = 2e-5
"""Ten times what the slowest encoder that ships takes on one core (libvvenc, preset slow)."""

OVERHEAD_PIXELS = 1e7
"""What an encode costs beside its pixels: processes that start, faces that are looked at."""

_FIRST_GUESS = 2e-7

# Measured: processes that start, pictures that are decoded, scaled up and recognised, and a worker with torch in it.
_SECONDS_AN_ENCODE, _SECONDS_A_PIXEL_SEEN = 0.2, 6e-9
_WORKER_BYTES, _PICTURES_AHEAD = 450_000_000, 200


def pass_limit(pixels: int, chosen: float | None = None) -> float:
    """Seconds that one pass of an encoder or a decoder may take before it is taken for hanging.

    Parameters
    ----------
    pixels : int
        Of all pictures together.
    chosen : float, optional
        What the user says instead.
    """
    return SHORTEST + SECONDS_PER_PIXEL * pixels if chosen is None else chosen


@dataclass
class Costs:
    """Seconds an encode takes, by what was measured of the same encoder, in proportion to its pixels."""

    _seconds: defaultdict[tuple[str, str, str], float] = field(default_factory=lambda: defaultdict(float))
    _pixels: defaultdict[tuple[str, str, str], float] = field(default_factory=lambda: defaultdict(float))

    def note(self, condition: Condition, pixels: float, seconds: float) -> None:
        """Put down what one encode took."""
        key = (condition.codec, condition.variant, condition.mode)
        self._seconds[key] += seconds
        self._pixels[key] += pixels + OVERHEAD_PIXELS

    def expected(self, condition: Condition, pixels: float) -> float:
        """Seconds that an encode will take; what was never measured costs as the rest does."""
        key = (condition.codec, condition.variant, condition.mode)
        seconds, seen = self._seconds.get(key, 0.0), self._pixels.get(key, 0.0)
        if not seen:
            seconds, seen = sum(self._seconds.values()), sum(self._pixels.values())
        rate = seconds / seen if seen else _FIRST_GUESS
        return rate * (pixels + OVERHEAD_PIXELS)


@dataclass(frozen=True)
class Needs:
    """What a run takes that starts from nothing.

    Parameters
    ----------
    cpu_seconds : float
        Of one core, for all encodes; drawing clips and looking for faces come on top.
    disk : int
        Bytes of the largest work folder of one worker.
    memory : int
        Bytes of one worker with its encoder.
    free : int
        Bytes that are free where the work folders are.
    unknown : int
        Clips of which nobody knows how long they are before they are decoded; they are taken for the mean of the rest.
    """

    cpu_seconds: float
    disk: int
    memory: int
    free: int
    unknown: int


def needs(
    dataset: Dataset,
    names: Sequence[str],
    conditions: Sequence[Condition],
    speed: Callable[[str, str, str], float],
    seconds: float | None = None,
    face_size: int = 96,
) -> Needs | None:
    """Estimate what a run takes: from headers of its clips, and from how fast each encoder is.

    Parameters
    ----------
    dataset : Dataset
    names : sequence of str
        Of the clips.
    conditions : sequence of Condition
    speed : callable
        Seconds of one core for a pixel, of a codec, variant and mode; called once for each.
    seconds : float, optional
        Of each clip.
    face_size : int
        Side of what is coded in region ``face``.

    Returns
    -------
    Needs or None
        None where no clip says how long it is.
    """
    extents = [each for each in (_extent(dataset, name) for name in names) if each is not None]
    if not extents:
        return None
    if seconds is not None:
        extents = [(w, h, min(frames, max(1, round(seconds * 25)))) for w, h, frames in extents]
    ways = {(c.codec, c.variant, c.mode) for c in conditions if c.coded}
    speeds = {way: speed(*way) for way in sorted(ways)}
    cpu, disk, memory = 0.0, 0, 0
    for width, height, frames in extents:
        for condition in conditions:
            size = (width, height) if condition.region == "frame" else (face_size, face_size)
            geometry = Geometry(*size, condition.factor)
            whole, low = frame_bytes(*geometry.padded), frame_bytes(*geometry.low)
            own = speeds.get((condition.codec, condition.variant, condition.mode), 0.0)
            pixels = geometry.low[0] * geometry.low[1], geometry.padded[0] * geometry.padded[1]
            cpu += _SECONDS_AN_ENCODE + frames * (own * pixels[0] + _SECONDS_A_PIXEL_SEEN * pixels[1])
            # The source, what is downsampled of it, padded for its codec, and decoded; what would not fit is made anew.
            disk = max(disk, min(WORK_BYTES, frames * (whole + (3 if condition.factor > 1 else 2) * low)))
            memory = max(memory, _WORKER_BYTES + _PICTURES_AHEAD * low)
    unknown = len(names) - len(extents)
    cpu *= len(names) / len(extents)
    free = free_bytes(cache_dir())
    return Needs(cpu, disk, memory, free, unknown)


def _extent(dataset: Dataset, name: str) -> tuple[int, int, int] | None:
    found = dataset.extent(name)
    if found is None:
        # A clip that cannot be used says so when the run comes to it.
        with suppress(ClipError, OSError):
            found = extent_of(dataset.load(name).file)
    return found
