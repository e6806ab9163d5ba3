"""What moves in a recording, and when: affect, blinks, speech, head and gaze.

Every signal is made for the whole recording before a frame is drawn, so that the first frames of a long and
of a short rendering are the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rdbench.datasets.drawing import exact
from rdbench.datasets.drawing.draws import normal, uniform

__all__ = ["FPS", "FRAMES", "Affect", "Motion", "affect", "motion"]

FPS = 25
FRAMES = 250

Signal = NDArray[np.float64]

KERNEL_BITS = 20


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
    weights = exact.gaussian_weights(sigma, KERNEL_BITS)
    pad = int(4 * sigma) + 1
    edge = pad - len(weights) // 2
    white = normal(rng, 0, 1, FRAMES + 2 * pad)[edge : FRAMES + 2 * pad - edge]
    # A Gaussian kernel of width sigma has the energy 1 / (2 sqrt(pi) sigma).
    return exact.smoothed(white, weights) * math.sqrt(2 * math.sqrt(math.pi) * sigma)


def _held_smooth(signals: Signal, frames: float) -> Signal:
    """Return signals after a Gaussian blur along the last axis, before which their ends are held."""
    weights = exact.gaussian_weights(frames, KERNEL_BITS)
    edge = len(weights) // 2
    padding = [(0, 0)] * (signals.ndim - 1) + [(edge, edge)]
    return exact.smoothed(np.pad(signals, padding, mode="edge"), weights)


def affect(rng: np.random.Generator) -> Affect:
    """Return the two signals that the labels hold.

    Each runs through levels that cover -1..1 evenly, in random order, a second or two apart. Of several draws
    the one is kept in which the two signals say least about each other, over the whole and over its first six
    seconds: by chance alone, two smooth signals of ten seconds are often strongly correlated.
    """
    drawn = [_levels(rng) for _ in range(2 * 50)]
    times, levels = (np.stack(rows) for rows in zip(*drawn, strict=True))
    curves = exact.rising_curve(times, levels, np.arange(FRAMES) / FPS)
    signals = np.clip(_held_smooth(curves, 0.08 * FPS), -1, 1)
    best = int(np.argmin(_dependence(signals[0::2], signals[1::2])))
    return Affect(signals[2 * best].copy(), signals[2 * best + 1].copy())


def _levels(rng: np.random.Generator) -> tuple[Signal, Signal]:
    """Draw when a signal is where."""
    count = 8
    levels = np.linspace(-1, 1, count) + uniform(rng, -0.12, 0.12, count)
    gaps = uniform(rng, 0.8, 1.9, count - 1)
    times = np.concatenate(([0.0], np.cumsum(gaps)))
    return times * ((FRAMES / FPS) / times[-1]), rng.permutation(levels)


def _dependence(arousal: Signal, valence: Signal) -> Signal:
    """Return for each of several pairs, (pairs, FRAMES) both, how much the two say about each other."""
    cost = np.zeros(len(arousal))
    for end in (FRAMES, 6 * FPS):
        first, second = (
            np.rint(signal[:, :end] * (1 << 20)).astype(np.int64) for signal in (arousal, valence)
        )
        moments = [_covariance(a, b) for a, b in ((first, first), (second, second), (first, second))]
        cost += 2 * np.abs(moments[2]) / np.sqrt(moments[0] * moments[1])
        for whole, variance in ((first, moments[0]), (second, moments[1])):
            cost += np.maximum(0, 0.55 - np.sqrt(variance)) * 3
            cost += np.abs(whole.sum(axis=1) / (end * float(1 << 20))) * 0.5
    return cost


def _covariance(first: NDArray[np.int64], second: NDArray[np.int64]) -> Signal:
    """Return the covariance along the last axis of what has 20 bits after the point."""
    count = first.shape[-1]
    whole = count * (first * second).sum(axis=-1) - first.sum(axis=-1) * second.sum(axis=-1)
    return whole / (float(count * count) * float(1 << 40))


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
    start = uniform(rng, 0.2, 3.0)
    while (first := int(start * FPS)) < FRAMES:
        length = min(len(shape), FRAMES - first)
        closed[first : first + length] = shape[:length]
        start += uniform(rng, 1.6, 5.0)
    return closed


def _speech(rng: np.random.Generator) -> tuple[Signal, Signal]:
    """Syllables at three to five a second within phrases of one to three seconds."""
    talking = np.zeros(FRAMES)
    start = uniform(rng, -1.0, 1.0)
    while start < FRAMES / FPS:
        end = start + uniform(rng, 1.0, 3.2)
        talking[max(0, int(start * FPS)) : max(0, int(end * FPS))] = 1
        start = end + uniform(rng, 0.4, 1.6)
    talking = _held_smooth(talking, 0.08 * FPS)
    rate = 4.0 + 0.8 * smooth_noise(rng, 0.8)
    phase = np.cumsum(2 * math.pi * rate / FPS) + uniform(rng, 0, 2 * math.pi)
    loudness = np.clip(0.6 + 0.3 * smooth_noise(rng, 0.25), 0.1, 1.2)
    opening = talking * loudness * (0.5 - 0.5 * exact.cosine(phase))
    rounding = talking * np.clip(0.7 * smooth_noise(rng, 0.16), -0.6, 1.2)
    return np.clip(opening, 0, 1), rounding


def _saccades(rng: np.random.Generator) -> Signal:
    """The eyes hold a point for about a second, mostly the camera, then jump."""
    gaze = np.zeros(FRAMES)
    start = 0.0
    while start < FRAMES / FPS:
        gaze[int(start * FPS) :] = normal(rng, 0, 0.12) if rng.random() < 0.65 else uniform(rng, -0.9, 0.9)
        start += uniform(rng, 0.4, 2.0)
    return _held_smooth(gaze, 0.8)
