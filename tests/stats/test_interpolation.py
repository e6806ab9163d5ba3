from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.interpolate import Akima1DInterpolator, PchipInterpolator
from scipy.optimize import isotonic_regression

from rdbench.stats import interpolation

PIECEWISE = ("akima", "pchip")
SCIPY = {"akima": Akima1DInterpolator, "pchip": PchipInterpolator}


def curves(batch: int, k: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.uniform(0.1, 2, (batch, k)), axis=-1), rng.normal(size=(batch, k))


@pytest.mark.parametrize("method", PIECEWISE)
@pytest.mark.parametrize("k", [3, 4, 5, 9])
def test_each_curve_of_a_batch_agrees_with_scipy(method, k):
    x, y = curves(20, k)
    slope = interpolation.slopes(x, y, method)
    low, high = x[:, 0] + 0.07, x[:, -1] - 0.2
    got = interpolation.integrate(x, y, slope, low, high)
    for i in range(20):
        reference = SCIPY[method](x[i], y[i])
        assert got[i] == pytest.approx(float(reference.integrate(low[i], high[i])), rel=1e-9, abs=1e-12)
        at = np.linspace(x[i, 0], x[i, -1], 31)
        assert interpolation.evaluate(x[i], y[i], slope[i], at) == pytest.approx(reference(at), abs=1e-10)


@pytest.mark.parametrize("method", PIECEWISE)
def test_a_straight_line_stays_one(method):
    x = np.array([0.0, 1.0, 2.5, 4.0])
    assert interpolation.slopes(x, 3 * x + 1, method) == pytest.approx(np.full(4, 3.0))
    assert interpolation.slopes(x[:2], 3 * x[:2], method) == pytest.approx([3, 3])


steps = arrays(np.float64, st.integers(1, 8), elements=st.floats(0, 3).map(lambda v: 10.0 ** (-2 * v)))


@settings(max_examples=200)
@given(steps, st.data())
def test_what_rises_keeps_rising(rise, data):
    run = data.draw(arrays(np.float64, len(rise), elements=st.floats(0.1, 2)))
    x, y = (np.append(0, np.cumsum(step)) for step in (run, rise))
    at = np.linspace(x[0], x[-1], 401)[1:-1]
    for method in PIECEWISE:
        got = interpolation.evaluate(x, y, interpolation.slopes(x, y, method, rising=True), at)
        assert (np.diff(got) >= -1e-9).all()
        between = np.searchsorted(x, at, side="right") - 1
        assert (got >= y[between] - 1e-9).all()
        assert (got <= y[between + 1] + 1e-9).all()


def test_only_steps_of_unlike_size_are_limited():
    x = np.arange(6.0)
    even = np.cumsum([0, 1, 1.4, 1.1, 1.7, 1.2])
    plain, limited = (interpolation.slopes(x, even, "akima", rising=rising) for rising in (False, True))
    assert (plain == limited).all()
    # A level step of 1e-6 before a long one: by hand 3e-6 where akima has half of the long step.
    uneven = np.array([0.0, 1e-6, 2.0, 2.5, 3.0, 3.2])
    assert interpolation.slopes(x, uneven, "akima")[1] > 0.5
    assert interpolation.slopes(x, uneven, "akima", rising=True)[1] == pytest.approx(3e-6)


def test_nothing_is_extrapolated():
    x, y = np.array([0.0, 1, 2]), np.array([1.0, 1, 1])
    slope = interpolation.slopes(x, y, "pchip")
    assert interpolation.integrate(x, y, slope, np.array(-5.0), np.array(9.0)) == pytest.approx(2)
    assert np.isnan(interpolation.evaluate(x, y, slope, np.array([-0.1, 2.1]))).all()


def test_unknown_methods_are_refused():
    with pytest.raises(ValueError, match="akima and pchip"):
        interpolation.slopes(*curves(1, 4), "cubic")


@settings(max_examples=200)
@given(arrays(np.float64, st.integers(1, 12), elements=st.floats(-1, 1).map(lambda v: round(v, 3))))
def test_isotonic_fit_agrees_with_scipy_and_has_flat_blocks(y):
    got = interpolation.isotonic(y)
    assert got == pytest.approx(isotonic_regression(y).x, abs=1e-12)
    step = np.diff(got)
    assert ((step == 0) | (step > 1e-13)).all()
    assert (interpolation.isotonic(np.stack([y, -y]))[0] == got).all()
