"""What encoders reach on clips: rates at given settings, and the ends of their range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rdbench.codecs.arguments import mode_of, quantised
from rdbench.codecs.coder import Encoded, encode
from rdbench.codecs.profiles import Profile
from rdbench.machine import work_folder
from rdbench.video.clip import FACE_SIZE, Dataset
from rdbench.video.planes import Geometry, Planes
from rdbench.video.prepared import Prepared, prepare
from rdbench.video.views import downsample, face_pictures, full_pictures

__all__ = ["Material", "Setting", "achieved", "limits", "low_pictures"]

Setting = tuple[Profile, str, str, float]
"""Profile, variant, mode and rate."""


@dataclass(frozen=True)
class Material:
    """Clips to measure on.

    Parameters
    ----------
    dataset : Dataset
    names : sequence of str
    seconds : float or None
        Only the first seconds of each clip.
    """

    dataset: Dataset
    names: Sequence[str]
    seconds: float | None

    def clips(self) -> list[Prepared]:
        """All clips, prepared."""
        return [prepare(self.dataset.load(name), self.seconds) for name in self.names]


def low_pictures(prepared: Prepared, region: str, factor: int, folder: Path) -> Planes:
    """The pictures of a clip that an encoder is given in a region at a factor."""
    if region == "face":
        geometry = Geometry(FACE_SIZE, FACE_SIZE, factor)
        return downsample(face_pictures(prepared), geometry, folder)
    geometry = Geometry(prepared.width, prepared.height, factor)
    return downsample(full_pictures(prepared, geometry, folder), geometry, folder)


def achieved(material: Material, region: str, factor: int, wanted: Sequence[Setting]) -> list[float]:
    """Pooled rates in kbit/s: all payload bits over all seconds; NaN where an encoder refused."""
    bits = np.zeros(len(wanted))
    total = 0.0
    for prepared in material.clips():
        total += prepared.timeline.seconds
        with work_folder() as folder:
            low = low_pictures(prepared, region, factor, Path(folder))
            for place, (profile, variant, mode, rate) in enumerate(wanted):
                done = encode(low, profile, variant, mode, rate, prepared.timeline.fps, Path(folder))
                if isinstance(done, Encoded):
                    bits[place] += done.bits.payload
                    done.file.unlink()
                else:
                    bits[place] = np.nan
    return [float(value) for value in bits / (1000 * total)]


def limits(
    material: Material, region: str, factor: int, sides: Sequence[tuple[Profile, str]]
) -> list[tuple[float, float]]:
    """Floor and ceiling in kbit/s of profiles and variants: their coarsest and their finest quantiser."""
    ends: list[Setting] = []
    for profile, variant in sides:
        name = quantised(profile, variant)
        mode = mode_of(profile, name)
        ends += [(profile, variant, name, rate) for rate in (mode.maximum, max(1.0, mode.minimum))]
    found = achieved(material, region, factor, ends)
    return list(zip(found[::2], found[1::2], strict=True))
