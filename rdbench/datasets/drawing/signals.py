"""What moves in a recording, and when: affect, blinks, speech, head and gaze.

Every signal is made for the whole recording before a frame is drawn, so that the first frames of a long and
of a short rendering are the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d

__all__ = ["FPS", "FRAMES", "Affect", "Motion", "affect", "motion"]

FPS = 25
FRAMES = 250

Signal = NDArray[np.float64]


@dataclass(frozen=True)
class Affect:
    """What the labels say: two signals in -1..1, one value a frame."""

    arousal: Signal
    valence: Signal


@dataclass(frozen=True)
class Motion:
    """What moves without meaning anything to the labels, one value a frame.

    Lengths are in half face widths, angles in radians, `closed` and the speech signals in 0..1. `brows`, `lids`
    and `corners` are idle movements (up, open, up) in units of an action unit's full activation, about as large
    as what is felt, so that the place of a feature alone tells little.
    """

    x: Signal
    y: Signal
    roll: Signal
    yaw: Signal
    pitch: Signal
    zoom: Signal
    gaze_x: Signal
    gaze_y: Signal
    closed: Signal
    opening: Signal
    rounding: Signal
    lip_press: Signal
    brows: Signal
    lids: Signal
    corners: Signal
    exposure: Signal


def smooth_noise(rng: np.random.Generator, seconds: float) -> Signal:
    """Return Gaussian noise of unit variance that changes on a scale of `seconds`."""
    sigma = seconds * FPS
    pad = int(4 * sigma) + 1
    white = rng.standard_normal(FRAMES + 2 * pad)
    # A Gaussian kernel of width sigma has the energy 1 / (2 sqrt(pi) sigma).
    return gaussian_filter1d(white, sigma)[pad:-pad] * np.sqrt(2 * np.sqrt(np.pi) * sigma)


def affect(rng: np.random.Generator) -> Affect:
    """Return the two signals that the labels hold.

    Each runs through levels that cover -1..1 evenly, in random order, a second or two apart. Of several draws
    the one is kept in which the two signals say least about each other, over the whole and over its first six
    seconds: by chance alone, two smooth signals of ten seconds are often strongly correlated.
    """
    draws = [Affect(_through_levels(rng), _through_levels(rng)) for _ in range(50)]
    return min(draws, key=_dependence)


def _through_levels(rng: np.random.Generator) -> Signal:
    count = 8
    levels = np.linspace(-1, 1, count) + rng.uniform(-0.12, 0.12, count)
    gaps = rng.uniform(0.8, 1.9, count - 1)
    times = np.concatenate(([0.0], np.cumsum(gaps)))
    times *= (FRAMES / FPS) / times[-1]
    curve = PchipInterpolator(times, rng.permutation(levels))(np.arange(FRAMES) / FPS)
    return np.clip(gaussian_filter1d(curve, 0.08 * FPS, mode="nearest"), -1, 1)


def _dependence(pair: Affect) -> float:
    cost = 0.0
    for end in (FRAMES, 6 * FPS):
        arousal, valence = pair.arousal[:end], pair.valence[:end]
        cost += 2 * abs(float(np.corrcoef(arousal, valence)[0, 1]))
        cost += sum(max(0.0, 0.55 - float(np.std(signal))) * 3 for signal in (arousal, valence))
        cost += sum(abs(float(np.mean(signal))) * 0.5 for signal in (arousal, valence))
    return cost


def motion(rng: np.random.Generator) -> Motion:
    """Return everything that moves and carries no label."""
    opening, rounding = _speech(rng)
    return Motion(
        x=0.13 * smooth_noise(rng, 0.9),
        y=0.07 * smooth_noise(rng, 0.8),
        roll=0.05 * smooth_noise(rng, 0.9),
        yaw=0.11 * smooth_noise(rng, 0.8),
        pitch=0.07 * smooth_noise(rng, 0.7),
        zoom=1 + 0.018 * smooth_noise(rng, 1.5),
        gaze_x=_saccades(rng),
        gaze_y=0.5 * _saccades(rng),
        closed=_blinks(rng),
        opening=opening,
        rounding=rounding,
        lip_press=np.clip(smooth_noise(rng, 0.3) - 1.0, 0, 1),
        brows=0.42 * smooth_noise(rng, 0.35),
        lids=0.4 * smooth_noise(rng, 0.35),
        corners=0.5 * smooth_noise(rng, 0.35),
        exposure=1 + 0.012 * smooth_noise(rng, 1.2),
    )


def _blinks(rng: np.random.Generator) -> Signal:
    """Closing takes two frames, opening four; one every two to five seconds."""
    closed = np.zeros(FRAMES)
    shape = np.array([0.5, 1.0, 1.0, 0.75, 0.4, 0.15])
    start = rng.uniform(0.2, 3.0)
    while (first := int(start * FPS)) < FRAMES:
        length = min(len(shape), FRAMES - first)
        closed[first : first + length] = shape[:length]
        start += rng.uniform(1.6, 5.0)
    return closed


def _speech(rng: np.random.Generator) -> tuple[Signal, Signal]:
    """Syllables at three to five a second within phrases of one to three seconds."""
    talking = np.zeros(FRAMES)
    start = rng.uniform(-1.0, 1.0)
    while start < FRAMES / FPS:
        end = start + rng.uniform(1.0, 3.2)
        talking[max(0, int(start * FPS)) : max(0, int(end * FPS))] = 1
        start = end + rng.uniform(0.4, 1.6)
    talking = gaussian_filter1d(talking, 0.08 * FPS, mode="nearest")
    rate = 4.0 + 0.8 * smooth_noise(rng, 0.8)
    phase = np.cumsum(2 * np.pi * rate / FPS) + rng.uniform(0, 2 * np.pi)
    loudness = np.clip(0.6 + 0.3 * smooth_noise(rng, 0.25), 0.1, 1.2)
    opening = talking * loudness * (0.5 - 0.5 * np.cos(phase))
    rounding = talking * np.clip(0.7 * smooth_noise(rng, 0.16), -0.6, 1.2)
    return np.clip(opening, 0, 1), rounding


def _saccades(rng: np.random.Generator) -> Signal:
    """The eyes hold a point for about a second, mostly the camera, then jump."""
    gaze = np.zeros(FRAMES)
    start = 0.0
    while start < FRAMES / FPS:
        gaze[int(start * FPS) :] = rng.normal(0, 0.12) if rng.random() < 0.65 else rng.uniform(-0.9, 0.9)
        start += rng.uniform(0.4, 2.0)
    return gaussian_filter1d(gaze, 0.8, mode="nearest")
