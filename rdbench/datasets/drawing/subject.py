"""Who is drawn: proportions, colours and belongings of one subject, from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rdbench.datasets.drawing.action_units import Expressiveness, expressiveness
from rdbench.datasets.drawing.draws import normal, uniform

__all__ = ["Subject", "generator", "subject"]

PARTITION_KEYS = {"train": 1, "dev": 2, "test": 3}
STREAMS = ("appearance", "affect", "motion", "texture", "noise")

Colour = tuple[float, float, float]
"""Blue, green, red in 0..255, as OpenCV orders them."""


def generator(partition: str, index: int, stream: str) -> np.random.Generator:
    """Return the random numbers of one use in one recording.

    The partition is part of the seed, so that no two partitions can share a recording.
    """
    key = (20160916, PARTITION_KEYS[partition], index, STREAMS.index(stream))
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


@dataclass(frozen=True)
class Subject:
    """One subject; lengths in half face widths, `face_px` in pixels of a picture 360 high."""

    face_px: float
    centre_x: float
    centre_y: float
    jaw_width: float
    chin: float
    eye_y: float
    eye_distance: float
    eye_width: float
    eye_height: float
    eye_tilt: float
    brow_y: float
    brow_thickness: float
    brow_arch: float
    nose_length: float
    nose_width: float
    mouth_y: float
    mouth_width: float
    lip_upper: float
    lip_lower: float
    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    cloth: Colour
    wall: Colour
    hair_style: str
    cloth_style: str
    background: str
    beard: float
    glasses: bool
    age: float
    line_depth: float
    light_x: float
    light_y: float
    contrast: float
    noise: float
    expressiveness: Expressiveness


def subject(partition: str, index: int) -> Subject:
    """Draw the subject of one recording."""
    rng = generator(partition, index, "appearance")
    skins = [
        (170, 196, 232),
        (150, 178, 220),
        (128, 160, 208),
        (104, 138, 190),
        (78, 108, 158),
        (58, 80, 122),
    ]
    tone = uniform(rng, 0, len(skins) - 1)
    low = min(int(tone), len(skins) - 2)
    skin = _mix(skins[low], skins[low + 1], tone - low)
    hairs = [
        (20, 22, 26),
        (28, 38, 52),
        (40, 62, 92),
        (70, 110, 150),
        (96, 150, 190),
        (140, 140, 142),
        (34, 54, 110),
    ]
    hair = hairs[int(rng.integers(len(hairs) if tone < 3 else 2))]
    irises = [(40, 62, 92), (30, 44, 64), (120, 104, 74), (96, 112, 84), (130, 120, 96)]
    iris = irises[int(rng.integers(len(irises) if tone < 3 else 2))]
    return Subject(
        face_px=float(uniform(rng, 128, 158)),
        centre_x=float(uniform(rng, 290, 350)),
        centre_y=float(uniform(rng, 158, 182)),
        jaw_width=float(uniform(rng, 0.66, 0.84)),
        chin=float(uniform(rng, 1.2, 1.3)),
        eye_y=float(normal(rng, -0.06, 0.025)),
        eye_distance=float(uniform(rng, 0.4, 0.45)),
        eye_width=float(uniform(rng, 0.21, 0.245)),
        eye_height=float(uniform(rng, 0.085, 0.112)),
        eye_tilt=float(uniform(rng, -0.04, 0.06)),
        brow_y=float(normal(rng, -0.33, 0.025)),
        brow_thickness=float(uniform(rng, 0.05, 0.09)),
        brow_arch=float(uniform(rng, 0.03, 0.09)),
        nose_length=float(uniform(rng, 0.44, 0.54)),
        nose_width=float(uniform(rng, 0.2, 0.27)),
        mouth_y=float(normal(rng, 0.8, 0.025)),
        mouth_width=float(uniform(rng, 0.34, 0.42)),
        lip_upper=float(uniform(rng, 0.065, 0.1)),
        lip_lower=float(uniform(rng, 0.1, 0.14)),
        skin=skin,
        hair=hair,
        iris=iris,
        lips=_mix(skin, (90, 80, 190), float(uniform(rng, 0.25, 0.5))),
        cloth=_colour(rng, 30, 200),
        wall=_colour(rng, 110, 210, 9),
        hair_style=str(rng.choice(["short", "parted", "long", "curly", "buzz", "bob"])),
        cloth_style=str(rng.choice(["plain", "stripes", "knit", "check"])),
        background=str(rng.choice(["plain", "shelves", "window", "pictures"])),
        beard=float(rng.choice([0, 0, 0, 0.35, 0.8])),
        glasses=bool(rng.random() < 0.25),
        age=float(uniform(rng, 0, 1)),
        line_depth=float(uniform(rng, 0.24, 0.36)),
        light_x=float(uniform(rng, -0.8, 0.8)),
        light_y=float(uniform(rng, -0.75, -0.3)),
        contrast=float(uniform(rng, 0.4, 0.65)),
        noise=float(uniform(rng, 0.8, 1.8)),
        expressiveness=expressiveness(rng),
    )


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    blue, green, red = (float(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return (blue, green, red)


def _colour(rng: np.random.Generator, low: float, high: float, spread: float = 16) -> Colour:
    """A muted colour: one lightness, little saturation."""
    light = uniform(rng, low, high)
    blue, green, red = (float(np.clip(light + normal(rng, 0, spread), 10, 245)) for _ in range(3))
    return (blue, green, red)
