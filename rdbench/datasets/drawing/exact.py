"""Arithmetic that gives the same bits on every processor.

Libraries choose their code by the instruction set they meet, and what they choose differs in the last bit. Three
kinds of step do not differ, and nothing else is used in drawing:

- integers;
- sums, differences, products, quotients and square roots of float64 or float32, element by element, one numpy call
  each: IEEE 754 leaves one result, and numpy never fuses two calls into one;
- OpenCV on integers and on binary fractions so short that every product and every sum is a floating-point number:
  then neither the order of sums nor fused multiplication has anything to round.

Exponentials and the like are made of the second kind here. Sums over an array (``sum``, ``mean``, ``dot``, ``@``) are
only taken of integers, and no function of the C library is called but the square root.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "blurred",
    "cosine",
    "exp",
    "gaussian_weights",
    "interpolate",
    "log",
    "periodic_spline",
    "power",
    "rising_curve",
    "sine",
    "smoothed",
]

Floats = NDArray[np.float64]

# ln 2 and pi / 2 in two parts, of which the first has so few bits that small multiples of it are exact.
_LN2 = (float.fromhex("0x1.62e42feep-1"), float.fromhex("0x1.a39ef35793c76p-33"))
_QUARTER = (float.fromhex("0x1.921fb544p+0"), float.fromhex("0x1.0b4611a626331p-34"))
_PI = float.fromhex("0x1.921fb54442d18p+1")
_EXP = [1 / math.factorial(n) for n in range(14)]
_SINE = [(-1) ** n / math.factorial(2 * n + 1) for n in range(9)]
_COSINE = [(-1) ** n / math.factorial(2 * n) for n in range(9)]
_LOG = [2.0 / n for n in range(1, 22, 2)]


def _polynomial(coefficients: Sequence[float], x: Floats) -> Floats:
    value = np.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = value * x + coefficient
    return value


def exp(x: ArrayLike) -> Floats:
    """Return e to the power of `x`, which is cut to -60..60, to about 2 units in the last place."""
    x = np.clip(np.asarray(x, np.float64), -60, 60)
    times = np.rint(x * (1 / (_LN2[0] + _LN2[1])))
    rest = (x - times * _LN2[0]) - times * _LN2[1]
    return np.ldexp(_polynomial(_EXP, rest), times.astype(np.int32))


def log(x: ArrayLike) -> Floats:
    """Return the natural logarithm of `x`, above 0."""
    mantissa, exponent = np.frexp(np.asarray(x, np.float64))
    low = mantissa < 0.7
    mantissa = np.where(low, 2 * mantissa, mantissa)
    exponent = np.where(low, exponent - 1, exponent).astype(np.float64)
    ratio = (mantissa - 1) / (mantissa + 1)
    return exponent * _LN2[0] + (exponent * _LN2[1] + ratio * _polynomial(_LOG, ratio * ratio))


def power(x: ArrayLike, exponent: float) -> Floats:
    """Return `x`, not below 0, to a power above 0."""
    x = np.asarray(x, np.float64)
    positive = x > 0
    return np.where(positive, exp(exponent * log(np.where(positive, x, 1.0))), 0.0)


def sine(x: ArrayLike) -> Floats:
    """Return the sine of `x` in radians, up to some thousands."""
    x = np.asarray(x, np.float64)
    times = np.rint(x * (2 / _PI))
    rest = (x - times * _QUARTER[0]) - times * _QUARTER[1]
    square = rest * rest
    quadrant = times.astype(np.int64) & 3
    value = np.where(quadrant & 1, _polynomial(_COSINE, square), rest * _polynomial(_SINE, square))
    return np.where(quadrant & 2, -value, value)


def cosine(x: ArrayLike) -> Floats:
    """Return the cosine of `x` in radians, up to some thousands."""
    return sine(np.asarray(x, np.float64) + _PI / 2)


def interpolate(x: ArrayLike, at: Floats, values: Floats) -> Floats:
    """Return what runs straight through `values` at the rising places `at`, and is constant outside of them."""
    x = np.asarray(x, np.float64)
    after = np.clip(np.searchsorted(at, x), 1, len(at) - 1)
    share = np.clip((x - at[after - 1]) / (at[after] - at[after - 1]), 0, 1)
    return values[after - 1] + (values[after] - values[after - 1]) * share


def rising_curve(times: Floats, levels: Floats, at: Floats) -> Floats:
    """Return curves through (curves, n) points that rise and fall only where these do.

    Piecewise cubic Hermite interpolation with the slopes of Fritsch and Butland, SIAM J. Sci. Stat. Comput. 5 (1984),
    300-304, as PCHIP has them; `at` is one row of times for all curves.
    """
    step = np.diff(times)
    rise = np.diff(levels) / step
    first, second = 2 * step[:, 1:] + step[:, :-1], step[:, 1:] + 2 * step[:, :-1]
    same = rise[:, 1:] * rise[:, :-1] > 0
    harmonic = first / np.where(same, rise[:, :-1], 1) + second / np.where(same, rise[:, 1:], 1)
    inner = np.where(same, (first + second) / np.where(same, harmonic, 1), 0)
    slope = np.concatenate([_end_slope(step, rise), inner, _end_slope(step[:, ::-1], rise[:, ::-1])], axis=1)
    piece = (at[None, None, :] >= times[:, 1:-1, None]).sum(axis=1)

    def of(values: Floats, shift: int = 0) -> Floats:
        return np.take_along_axis(values, piece + shift, axis=1)

    width = of(step)
    t = (at[None, :] - of(times)) / width
    s = 1 - t
    ends = s * s * (1 + 2 * t) * of(levels) + t * t * (1 + 2 * s) * of(levels, 1)
    return ends + width * s * t * (s * of(slope) - t * of(slope, 1))


def _end_slope(step: Floats, rise: Floats) -> Floats:
    """Return the one-sided three-point slope, made to keep the shape, as (curves, 1)."""
    slope = ((2 * step[:, 0] + step[:, 1]) * rise[:, 0] - step[:, 0] * rise[:, 1]) / (step[:, 0] + step[:, 1])
    steep = (np.sign(rise[:, 0]) != np.sign(rise[:, 1])) & (np.abs(slope) > 3 * np.abs(rise[:, 0]))
    slope = np.where(steep, 3 * rise[:, 0], slope)
    return np.where(np.sign(slope) == np.sign(rise[:, 0]), slope, 0)[:, None]


def periodic_spline(along: Floats, corners: Floats, at: Floats) -> Floats:
    """Return a closed cubic spline through (n + 1, axes) corners, of which the last is the first.

    Parameters
    ----------
    along : (n + 1,) float64
        Rising parameter of the corners.
    at : (m,) float64
        Where to evaluate, within `along`.
    """
    step = np.diff(along)[:, None]
    slope = np.diff(corners, axis=0) / step
    before = np.roll(step, 1, axis=0)
    wanted = 6 * (slope - np.roll(slope, 1, axis=0))
    bend = np.zeros_like(slope)
    # The system is diagonally dominant by a factor of 2: each sweep halves the error at least.
    for _ in range(60):
        beside = before * np.roll(bend, 1, axis=0) + step * np.roll(bend, -1, axis=0)
        bend = (wanted - beside) / (2 * (before + step))
    bend = np.concatenate([bend, bend[:1]])
    piece = np.clip(np.searchsorted(along, at, side="right") - 1, 0, len(step) - 1)
    width = step[piece]
    t = (at - along[piece])[:, None] / width
    s = 1 - t
    straight = s * corners[piece] + t * corners[piece + 1]
    curved = (s * s * s - s) * bend[piece] + (t * t * t - t) * bend[piece + 1]
    return straight + width * width / 6 * curved


def gaussian_weights(sigma: float, bits: int) -> NDArray[np.int64]:
    """Return a Gaussian kernel out to 4 sigma in whole numbers, `bits` of them at its height."""
    radius = int(4 * sigma + 0.5)
    distance = np.arange(-radius, radius + 1) / sigma
    return np.rint(exp(-0.5 * (distance * distance)) * (1 << bits)).astype(np.int64)


def smoothed(signals: Floats, weights: NDArray[np.int64]) -> Floats:
    """Return the weighted mean around each place of the last axis that has all its neighbours.

    Values are below 8 in size and are rounded to 30 bits after the point.
    """
    whole = np.rint(signals * (1 << 30)).astype(np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(whole, len(weights), axis=-1)
    return (windows @ weights) / (int(weights.sum()) * float(1 << 30))


def blurred(plane: Floats, sigma: float) -> Floats:
    """Return a (rows, columns) plane of values below 16 after a Gaussian blur, rounded before to 18 bits."""
    weights = gaussian_weights(sigma, 9).astype(np.float64)
    total = float(weights.sum())
    whole = cv2.sepFilter2D(np.rint(plane * (1 << 18)), cv2.CV_64F, weights, weights)
    return np.divide(whole, total * total * (1 << 18), dtype=np.float64)
