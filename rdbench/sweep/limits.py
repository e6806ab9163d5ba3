"""How long work may take and will take: time limits from what is coded, and costs as they were measured."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from rdbench.sweep.experiment import Condition

__all__ = ["Costs", "pass_limit"]

SHORTEST = 120.0
SECONDS_PER_PIXEL = 2e-5
"""Ten times what the slowest encoder that ships takes on one core (libvvenc, preset slow)."""

OVERHEAD_PIXELS = 1e7
"""What an encode costs beside its pixels: processes that start, faces that are looked at."""

_FIRST_GUESS = 2e-7


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
