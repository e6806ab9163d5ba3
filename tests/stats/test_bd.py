from __future__ import annotations

import warnings

import bjontegaard
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rdbench.stats import bd, by_clip
from rdbench.stats.bd import Side, bd_accuracy, bd_rate, percent

EXACT = 1e-4  # 0.01 %


def side(points, subjects: int = 0, noise: float = 0.0, seed: int = 0, **options) -> Side:
    """A curve from (rate, value) pairs; replicates move it at random where there are any."""
    rate, value = np.array(points, dtype=float).T
    rng = np.random.default_rng(seed)
    shape = (subjects, len(rate))
    return Side(
        np.log(rate),
        value,
        np.log(rate) + np.zeros(shape),
        value + noise * rng.normal(size=(subjects, 1)) + noise / 5 * rng.normal(size=shape),
        **({"correlation": False} | options),
    )


# Two sequences of JCTVC-E137, as the tests of Netflix/vmaf (python/test/bd_rate_calculator_test.py) and of
# Android's compatibility suite (mediapc/videoencodingquality/bdrate) have them, with their expected values.
E137 = {
    "first": (
        [(18883.6928, 34.2911), (33905.6656, 37.247), (61279.976, 40.3953), (108048.8736, 43.6471)],
        [(18910.912, 34.3147), (33928.7472, 37.2761), (61299.9936, 40.4232), (108061.2784, 43.6768)],
        -0.465215420752807,
    ),
    "second": (
        [(1017.6184, 32.0603), (2394.488, 33.8977), (7622.7456, 35.3756), (40433.8848, 37.5761)],
        [(1017.0984, 32.0822), (2390.0944, 33.9194), (7587.0024, 35.4025), (40370.12, 37.5982)],
        -1.8779823450567612,
    ),
}
# The worked example of VCEG-M33, with the values that tbr/bjontegaard_cpp (example.cpp) asserts; and the curve
# of nine points that comes with it.
M33 = (
    [(90.33, 27.95), (181.03, 31.17), (332.99, 34.44), (547.79, 38.11)],
    [(127.1719, 29.9286), (186.14, 32.4165), (307.2924, 34.7013), (481.5588, 37.4561)],
    0.800713,
    -13.261773,
)
ETRO = (
    [
        *((0.244049, 28.484), (0.29425, 29.4505), (0.495148, 32.6658), (0.596436, 33.8673)),
        *((0.745941, 35.5122), (0.99707, 38.0124), (1.49673, 41.3982), (1.99884, 43.8357)),
        (2.99899, 48.6681),
    ],
    [
        *((0.249634, 28.8244), (0.296753, 29.6851), (0.499176, 32.8318), (0.58902, 33.9057)),
        *((0.748871, 35.6375), (0.994965, 38.0001), (1.472565, 41.2727), (1.968292, 43.7318)),
        (2.997253, 48.5637),
    ],
    0.072297,
    -0.903450,
)
# The example of the README of FAU-LMS/bjontegaard (libx265 with two presets).
FAU = (
    [(1358.24, 34.851), (2486.44, 36.845), (4593.60, 38.615), (9487.76, 40.037)],
    [(1356.24, 34.987), (2451.52, 36.970), (4469.00, 38.651), (9787.80, 40.121)],
)


@pytest.mark.parametrize("name", E137)
def test_jctvc_e137(name):
    anchor, test, expected = E137[name]
    assert percent(bd_rate(side(anchor), side(test), method="pchip").value) == pytest.approx(
        expected, rel=EXACT
    )


@pytest.mark.parametrize("example", [M33, ETRO], ids=["VCEG-M33", "ETRO"])
def test_vceg_m33_and_its_companion(example):
    anchor, test, quality, rate = example
    assert bd_accuracy(side(anchor), side(test), method="cubic").value == pytest.approx(quality, rel=EXACT)
    assert percent(bd_rate(side(anchor), side(test), method="cubic").value) == pytest.approx(rate, rel=EXACT)


@pytest.mark.parametrize("method", ["akima", "pchip", "cubic"])
@pytest.mark.parametrize(
    ("anchor", "test"), [FAU, M33[:2], E137["first"][:2]], ids=["FAU-LMS", "VCEG-M33", "E137"]
)
def test_the_bjontegaard_package(anchor, test, method):
    sides = [np.array(one).T for one in (anchor, test)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rate = bjontegaard.bd_rate(*sides[0], *sides[1], method=method)
        quality = bjontegaard.bd_psnr(*sides[0], *sides[1], method=method)
    got = bd_rate(side(anchor), side(test), method=method)
    assert percent(got.value) == pytest.approx(rate, rel=1e-7)
    assert bd_accuracy(side(anchor), side(test), method=method).value == pytest.approx(
        # The package integrates over log10, which the mean does not feel.
        quality,
        rel=1e-7,
    )


RISING = [(4, 0.2), (8, 0.35), (16, 0.5), (32, 0.6), (64, 0.66)]


def moved(points, rate=1.0, value=0.0):
    return [(r * rate, v + value) for r, v in points]


@pytest.mark.parametrize("method", ["akima", "pchip", "cubic"])
def test_a_curve_moved_sideways_or_up_has_that_delta(method):
    cheaper = bd_rate(side(RISING), side(moved(RISING, rate=0.8)), method=method)
    assert percent(cheaper.value) == pytest.approx(-20)
    better = bd_accuracy(side(RISING), side(moved(RISING, value=0.03)), method=method)
    assert better.value == pytest.approx(0.03)
    assert better.overlap == pytest.approx(1)
    assert better.span == pytest.approx((4, 64))


def test_a_dip_is_levelled_and_its_size_is_told():
    dip = [(4, 0.2), (8, 0.4), (16, 0.36), (32, 0.5), (64, 0.6)]
    flat = [(4, 0.2), (8, 0.38), (32, 0.5), (64, 0.6)]
    got = bd_rate(side(RISING), side(dip), method="pchip")
    assert got.displacement == pytest.approx(0.02)
    assert got.knots == (5, 4)
    assert got.value == pytest.approx(bd_rate(side(RISING), side(flat), method="pchip").value)
    assert np.isfinite(bd_accuracy(side(RISING), side(dip)).value)


def test_a_flat_block_is_its_lowest_rate():
    tied = [(4, 0.2), (8, 0.4), (16, 0.4), (32, 0.5), (64, 0.6)]
    same = [point for point in tied if point[0] != 16]
    assert bd_rate(side(RISING), side(tied)).value == pytest.approx(bd_rate(side(RISING), side(same)).value)
    assert bd_rate(side(RISING), side(tied)).displacement == pytest.approx(0, abs=1e-12)


def test_saturation_adds_no_rate():
    saturated = [*RISING, (128, 0.66), (256, 0.66)]
    got = bd_rate(side(RISING), side(saturated))
    assert percent(got.value) == pytest.approx(0, abs=1e-9)
    assert got.knots == (5, 5)


def test_an_end_that_cannot_be_told_from_flat_is_cut():
    creeping = [*RISING, (128, 0.665), (512, 0.668)]
    rng = np.random.default_rng(3)
    noisy = side(creeping, subjects=10)
    noisy = Side(
        noisy.log_rate, noisy.value, noisy.log_rates, noisy.value + 0.004 * rng.normal(size=(10, 7)),
        correlation=False,
    )  # fmt: skip
    with_cut = bd_rate(side(RISING, subjects=10, noise=1e-4), noisy)
    without = bd_rate(side(RISING, subjects=10, noise=1e-4), noisy, cut=False)
    assert with_cut.knots == (5, 5)
    assert without.knots == (5, 7)
    assert bd_rate(side(RISING), side(creeping)).knots == (5, 7), "without subjects nothing can be judged"


def test_dense_grids_are_not_eaten_up_point_by_point():
    rate = np.geomspace(4, 64, 60)
    value = 0.2 + 0.1 * np.log2(rate / 4)
    rng = np.random.default_rng(4)
    noisy = Side(
        np.log(rate), value, np.log(rate) + np.zeros((10, 60)), value + 0.005 * rng.normal(size=(10, 60)),
        correlation=False,
    )  # fmt: skip
    assert min(bd_rate(noisy, noisy).knots) > 40


def test_equal_rates_are_one_point():
    ties = [(4, 0.2), (8, 0.33), (8.001, 0.37), (16, 0.5), (32, 0.6), (64, 0.66)]
    assert bd_accuracy(side(RISING), side(ties)).knots == (5, 5)
    assert bd_accuracy(side(RISING), side(ties)).value == pytest.approx(0, abs=1e-4)


def test_crossing_curves_have_a_delta_and_a_difference_by_accuracy():
    steep = [(4, 0.1), (8, 0.3), (16, 0.52), (32, 0.65), (64, 0.72)]
    got = bd_rate(side(RISING), side(steep))
    assert np.isfinite(got.value)
    at, difference, told = bd.relative_difference(side(RISING), side(steep))
    assert told.all(), "without subjects no slope is judged"
    assert difference[0] > 0 > difference[-1]
    assert np.log1p(difference / 100).mean() == pytest.approx(got.value, abs=0.01)
    assert at[0] == pytest.approx(0.2)


@pytest.mark.parametrize("delta", [bd_accuracy, bd_rate])
def test_no_overlap_is_missing_with_its_reason(delta):
    far = moved(RISING, rate=100) if delta is bd_accuracy else moved(RISING, value=5)
    got = delta(side(RISING), side(far))
    assert np.isnan(got.value)
    assert "share no range" in got.reason
    assert got.overlap == 0


@pytest.mark.parametrize("delta", [bd_accuracy, bd_rate])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_points_are_missing_with_their_number(delta, count):
    got = delta(side(RISING), side(RISING[:count] or np.zeros((0, 2)).reshape(0, 2)))
    assert np.isnan(got.value)
    assert got.reason == f"the test has {count} distinct points; 4 are needed"


def test_little_overlap_is_warned_of():
    got = bd_accuracy(side(RISING), side(moved(RISING, rate=8)))
    assert got.overlap == pytest.approx(0.25)
    assert "25 %" in got.warning
    assert bd_accuracy(side(RISING), side(RISING)).warning == ""


def test_accuracy_of_zero_or_less_is_no_range_for_rates():
    negative = [(4, -0.2), (8, -0.1), (16, 0.1), (32, 0.3), (64, 0.5)]
    whole = bd_rate(side(negative), side(moved(negative, rate=0.5)))
    above = bd_rate(*(side(p, correlation=True) for p in (negative, moved(negative, rate=0.5))))
    assert whole.span == pytest.approx((-0.2, 0.5))
    assert above.span == pytest.approx((0, 0.5))
    hopeless = moved(negative, value=-0.6)
    got = bd_rate(side(hopeless, correlation=True), side(hopeless, correlation=True))
    assert "above 0" in got.reason


def test_for_errors_less_is_more():
    errors = [(r, 1 - v) for r, v in RISING]
    got = bd_accuracy(side(errors, rising=False), side(moved(errors, value=-0.05), rising=False))
    assert got.value == pytest.approx(0.05)
    rate = bd_rate(side(errors, rising=False), side(moved(errors, rate=0.5), rising=False))
    assert percent(rate.value) == pytest.approx(-50)
    assert rate.span == pytest.approx((0.34, 0.8))


def test_larger_coded_points_stay_out_unless_asked():
    larger = np.array([True, False, False, False, False])
    marked = side(RISING, larger=larger)
    assert bd_accuracy(marked, side(RISING)).knots == (4, 5)
    assert bd_accuracy(marked, side(RISING), larger=True).knots == (5, 5)


def test_the_interpolation_error_is_what_a_point_changes():
    got = bd_accuracy(side(RISING), side(moved(RISING, value=0.03)))
    changes = []
    for i in (1, 2, 3):
        less = [point for j, point in enumerate(RISING) if j != i]
        changes.append(bd_accuracy(side(less), side(moved(RISING, value=0.03))).value - 0.03)
        changes.append(bd_accuracy(side(RISING), side(moved(less, value=0.03))).value - 0.03)
    assert got.interpolation_error == pytest.approx(max(np.abs(changes)))


def test_intervals_are_paired_over_subjects():
    a = side(RISING, subjects=12, noise=0.05, seed=1)
    b = Side(a.log_rate - 0.1, a.value, a.log_rates - 0.1, a.values, correlation=False)
    got = bd_rate(a, b)
    assert got.value == pytest.approx(-0.1)
    assert got.high - got.low < 1e-9
    assert bd_rate(a, side(RISING, subjects=12, noise=0.05, seed=2)).error > 0.01
    few = bd_rate(side(RISING, subjects=5), side(RISING, subjects=5))
    assert "only 5 subjects" in few.interval_reason


def test_a_replicate_without_a_value_means_no_interval():
    a = side(RISING, subjects=8, noise=0.001)
    values = a.values.copy()
    values[2] += 3
    b = Side(a.log_rate, a.value, a.log_rates, values, correlation=False)
    got = bd_rate(a, b)
    assert np.isfinite(got.value)
    assert np.isnan(got.low)
    assert got.interval_reason == "a leave-one-subject-out value is missing"
    boot = bd.bootstrap_interval(a, b, measure="rate")
    assert boot.low == -np.inf, "a test curve wholly above saves bits without end"
    assert np.isfinite(boot.high)


def test_the_mean_over_clips_is_of_log_ratios_and_counts_them():
    values = np.log([0.8, 1.25, 1.0, 1.0, 1.0, 1.0, np.nan])
    got = by_clip.mean_over_clips(values, np.arange(7))
    assert got.value == pytest.approx(0)
    assert got.knots == (6, 7)
    assert got.low < 0 < got.high
    nothing = by_clip.mean_over_clips(np.full(3, np.nan), np.arange(3))
    assert "no clip" in nothing.reason
    twice = by_clip.mean_over_clips(np.repeat(values[:6], 2), np.repeat(np.arange(6), 2))
    assert twice.error == pytest.approx(got.error), "clips of one subject are not independent"


def test_clips_have_their_own_deltas():
    a = side(RISING, subjects=4, noise=0.01, seed=5)
    b = Side(a.log_rate, a.value + 0.02, a.log_rates, a.values + 0.02, correlation=False)
    b.values[3] = np.nan
    got = by_clip.clip_deltas(a, b, measure="accuracy")
    assert got[:3] == pytest.approx(np.full(3, 0.02))
    assert np.isnan(got[3])


curves = st.lists(
    st.tuples(st.floats(0.02, 1.5), st.integers(-50, 300).map(lambda v: v / 1000)), min_size=4, max_size=9
).map(
    lambda steps: [
        (float(r), float(v))
        for r, v in zip(
            np.exp(np.cumsum([s[0] for s in steps])), np.cumsum([s[1] for s in steps]), strict=True
        )
    ]
)  # fmt: skip


@settings(max_examples=60)
@given(curves, curves, st.sampled_from(["akima", "pchip"]))
def test_deltas_are_antisymmetric(first, second, method):
    for delta in (bd_accuracy, bd_rate):
        there, back = (delta(side(x), side(y), method=method) for x, y in ((first, second), (second, first)))
        assert there.value == pytest.approx(-back.value, nan_ok=True, rel=1e-9, abs=1e-12)
        assert there.overlap == pytest.approx(back.overlap, nan_ok=True)


@settings(max_examples=40)
@given(curves, curves, st.floats(1e-3, 1e3))
def test_the_unit_of_rate_does_not_matter(first, second, unit):
    for delta in (bd_accuracy, bd_rate):
        plain = delta(side(first), side(second))
        scaled = delta(side(moved(first, rate=unit)), side(moved(second, rate=unit)))
        assert scaled.value == pytest.approx(plain.value, nan_ok=True, rel=1e-6, abs=1e-9)


@settings(max_examples=40)
@given(curves, st.floats(0.3, 3))
def test_a_curve_against_itself_moved_has_that_ratio(points, ratio):
    got = bd_rate(side(points), side(moved(points, rate=ratio)))
    assume(not got.reason)
    assert got.value == pytest.approx(np.log(ratio), rel=1e-6, abs=1e-9)


def test_many_pairs_at_once_are_what_each_is_alone():
    rng = np.random.default_rng(12)
    creeping = [*RISING, (128, 0.664), (256, 0.666)]
    pairs = []
    for i in range(30):
        a = side(creeping, subjects=10, noise=0.01, seed=i, correlation=True)
        b = side(moved(creeping, rate=0.9), subjects=10, noise=0.01, seed=100 + i, correlation=True)
        bent = a.value + rng.normal(0, 0.02, 7), a.values + rng.normal(0, 0.02, (10, 7))
        pairs.append((Side(a.log_rate, bent[0], a.log_rates, bent[1]), b))
    stacked = [
        Side(*(np.stack([getattr(pair[i], name) for pair in pairs]) for name in bd_fields)) for i in (0, 1)
    ]
    for measure, alone in (("accuracy", bd_accuracy), ("rate", bd_rate)):
        value, replicates = bd.many(*stacked, measure=measure)
        assert np.isfinite(value).any()
        for i, pair in enumerate(pairs):
            one = alone(*pair)
            assert value[i] == pytest.approx(one.value, nan_ok=True)
            if not one.reason:
                assert replicates[i] == pytest.approx(one.replicates, nan_ok=True)


bd_fields = ("log_rate", "value", "log_rates", "values")
