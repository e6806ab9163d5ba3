"""Piecewise cubics through many curves at once: slopes, integrals, and the isotonic fit.

Resampling asks for the same curve hundreds of times, slightly moved. These kernels take a batch of curves
along the leading axes, and agree with scipy's one-curve interpolators to rounding.
"""

from __future__ import annotations

import numpy as np

from rdbench.typing import Array

__all__ = ["DEFAULT", "evaluate", "integrate", "isotonic", "mean_height", "slopes"]

DEFAULT = "akima"


def isotonic(values: Array) -> Array:
    """The nearest rising sequence in least squares, along the last axis.

    By the minimax formula of Barlow et al. (1972), ``max over a <= i of min over b >= i of mean(a..b)``: k
    squared numbers for k points, but all curves of a batch at once.

    Parameters
    ----------
    values : (..., k) float64

    Returns
    -------
    (..., k) float64
        Never falling; blocks are exactly flat.
    """
    rows = values.reshape(-1, values.shape[-1])
    # Most curves rise already, and need no fit.
    bent = ~(np.diff(rows, axis=-1) > _flat(rows)).all(axis=-1)
    if bent.any():
        rows = rows.copy()
        rows[bent] = _fitted(rows[bent])
    return rows.reshape(values.shape)


def _flat(rows: Array) -> Array:
    """Steps up to this size are rounding: as knots they would have endless slopes."""
    height = rows[:, -1:] - rows[:, :1]
    return np.maximum(1e-9 * height, 1e-12 * np.abs(rows[:, 1:]))


def _fitted(rows: Array) -> Array:
    count, k = rows.shape
    total = np.concatenate([np.zeros((count, 1)), np.cumsum(rows, axis=-1)], axis=-1)
    length = np.arange(1, k + 1)[None, :] - np.arange(k)[:, None]
    inside = length > 0
    mean = np.where(inside, (total[:, None, 1:] - total[:, :-1, None]) / np.where(inside, length, 1), np.inf)
    # Down the ends b: the smallest mean of a block that starts at a and ends at b or later.
    least = np.flip(np.minimum.accumulate(np.flip(mean, axis=-1), axis=-1), axis=-1)
    least = np.where(inside, least, -np.inf)
    fitted = np.diagonal(np.maximum.accumulate(least, axis=-2), axis1=-2, axis2=-1)
    step = np.diff(fitted, axis=-1)
    start = np.concatenate([np.ones((count, 1), bool), step > _flat(fitted)], axis=-1)
    block = np.maximum.accumulate(np.where(start, np.arange(k), 0), axis=-1)
    return np.take_along_axis(fitted, block, axis=-1)


def slopes(x: Array, y: Array, method: str, *, rising: bool = False) -> Array:
    """Derivatives at the knots of a piecewise cubic.

    Parameters
    ----------
    x, y : (..., k) float64
        x strictly rising along the last axis; k of 2 or more (2 is a straight line).
    method : {"akima", "pchip"}
        Akima (1970), as published; or Fritsch and Butland (1984), which keeps what rises rising.
    rising : bool
        y never falls, and the cubics shall not either: slopes are cut to three times the smaller of the steps
        beside them (Hyman 1983, de Boor and Swartz 1977). Where steps are even that changes nothing; beside a step
        that is nearly level, akima would else overshoot as far as the steep step beside it is long.

    Returns
    -------
    (..., k) float64
    """
    h = np.diff(x, axis=-1)
    m = np.diff(y, axis=-1) / h
    if m.shape[-1] == 1:
        return np.concatenate([m, m], axis=-1)
    if method == "pchip":
        return _pchip(h, m)
    if method == "akima":
        return _limited(_akima(m), m) if rising else _akima(m)
    raise ValueError(f"there is no piecewise interpolation {method!r}; there are akima and pchip")


def mean_height(x: Array, y: Array, low: Array, high: Array, method: str, *, rising: bool = False) -> Array:
    """Mean of the interpolated curve between `low` and `high`, which must lie within the knots.

    Parameters
    ----------
    x, y : (..., k) float64
        x strictly rising; k of 2 or more, 4 or more for "cubic".
    low, high : (...) float64
    method : {"akima", "pchip", "cubic"}
    rising : bool
        As in `slopes`; the one polynomial of "cubic" may fall all the same.

    Returns
    -------
    (...) float64
    """
    if method == "cubic":
        return _polynomial(x, y, low, high) / (high - low)
    return integrate(x, y, slopes(x, y, method, rising=rising), low, high) / (high - low)


def _polynomial(x: Array, y: Array, low: Array, high: Array) -> Array:
    # Centred and scaled, or the normal equations of rates in the thousands lose their digits.
    middle = x.mean(axis=-1, keepdims=True)
    spread = (x[..., -1:] - x[..., :1]) / 2
    powers = np.arange(4)
    vandermonde = ((x - middle) / spread)[..., None] ** powers
    coefficients = np.linalg.pinv(vandermonde) @ y[..., None]
    a = (low[..., None] - middle) / spread
    b = (high[..., None] - middle) / spread
    terms = coefficients[..., 0] * (b ** (powers + 1) - a ** (powers + 1)) / (powers + 1)
    return terms.sum(axis=-1) * spread[..., 0]


def _pchip(h: Array, m: Array) -> Array:
    left, right = m[..., :-1], m[..., 1:]
    w1 = 2 * h[..., 1:] + h[..., :-1]
    w2 = h[..., 1:] + 2 * h[..., :-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        inner = np.where(left * right > 0, (w1 + w2) / (w1 / left + w2 / right), 0.0)
    first = _pchip_end(h[..., 0], h[..., 1], m[..., 0], m[..., 1])
    last = _pchip_end(h[..., -1], h[..., -2], m[..., -1], m[..., -2])
    return np.concatenate([first[..., None], inner, last[..., None]], axis=-1)


def _pchip_end(h0: Array, h1: Array, m0: Array, m1: Array) -> Array:
    d = ((2 * h0 + h1) * m0 - h0 * m1) / (h0 + h1)
    d = np.where(np.sign(d) != np.sign(m0), 0.0, d)
    return np.where((np.sign(m0) != np.sign(m1)) & (np.abs(d) > 3 * np.abs(m0)), 3 * m0, d)


def _akima(m: Array) -> Array:
    before = 2 * m[..., :1] - m[..., 1:2]
    after = 2 * m[..., -1:] - m[..., -2:-1]
    m = np.concatenate([2 * before - m[..., :1], before, m, after, 2 * after - m[..., -1:]], axis=-1)
    change = np.abs(np.diff(m, axis=-1))
    right, left = change[..., 2:], change[..., :-2]
    weight = right + left
    plain = (m[..., 3:] + m[..., :-3]) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        value = (right * m[..., 1:-2] + left * m[..., 2:-1]) / weight
    return np.where(weight > 1e-9 * weight.max(axis=-1, keepdims=True), value, plain)


def _limited(slope: Array, m: Array) -> Array:
    beside = np.minimum(np.concatenate([m[..., :1], m], axis=-1), np.concatenate([m, m[..., -1:]], axis=-1))
    return np.clip(slope, 0.0, 3 * beside)


def integrate(x: Array, y: Array, slope: Array, low: Array, high: Array) -> Array:
    """Integral of the piecewise cubic from `low` to `high`, which must lie within the knots.

    Parameters
    ----------
    x, y, slope : (..., k) float64
    low, high : (...) float64
        What lies outside of the knots adds nothing: nothing is extrapolated.

    Returns
    -------
    (...) float64
    """
    h, c2, c3 = _cubics(x, y, slope)
    a = np.clip(low[..., None] - x[..., :-1], 0, h)
    b = np.clip(high[..., None] - x[..., :-1], 0, h)
    y0, d0 = y[..., :-1], slope[..., :-1]

    def primitive(t: Array) -> Array:
        return t * (y0 + t * (d0 / 2 + t * (c2 / 3 + t * c3 / 4)))

    return (primitive(b) - primitive(a)).sum(axis=-1)


def evaluate(x: Array, y: Array, slope: Array, at: Array) -> Array:
    """Values of one piecewise cubic; NaN outside of its knots.

    Parameters
    ----------
    x, y, slope : (k,) float64
    at : (n,) float64

    Returns
    -------
    (n,) float64
    """
    _, c2, c3 = _cubics(x, y, slope)
    segment = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(x) - 2)
    t = at - x[segment]
    value = y[segment] + t * (slope[segment] + t * (c2[segment] + t * c3[segment]))
    return np.where((at >= x[0]) & (at <= x[-1]), value, np.nan)


def _cubics(x: Array, y: Array, slope: Array) -> tuple[Array, Array, Array]:
    h = np.diff(x, axis=-1)
    m = np.diff(y, axis=-1) / h
    d0, d1 = slope[..., :-1], slope[..., 1:]
    return h, (3 * m - 2 * d0 - d1) / h, (d0 + d1 - 2 * m) / h**2
