from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as distributions

from rdbench.stats import intervals, max_t
from rdbench.stats.intervals import jackknife, simultaneous


def test_the_jackknife_of_a_mean_is_students_interval():
    x = np.random.default_rng(0).normal(3, 2, 12)
    got = intervals.jackknife(x.mean(), (x.sum() - x) / (len(x) - 1))
    low, high = distributions.t.interval(0.95, 11, x.mean(), x.std(ddof=1) / np.sqrt(12))
    assert (float(got.low), float(got.high)) == pytest.approx((low, high), rel=1e-12)


def test_scales_go_and_come_back():
    for name, values in {
        "identity": [-3.0, 0, 9],
        "atanh": [-0.9, 0, 0.99],
        "log": [0.1, 5, 1e4],
        "logit": [0.01, 0.5, 0.97],
    }.items():
        scale = intervals.SCALES[name]
        assert scale.back(scale.to(np.array(values))) == pytest.approx(values)


def test_an_interval_on_a_scale_stays_within_the_metric():
    replicates = np.array([0.97, 0.99, 0.995, 0.9, 0.98, 0.985])
    got = jackknife(0.98, replicates, scale="atanh")
    assert -1 < got.low < 0.98 < got.high < 1
    assert jackknife(0.98, replicates).high > 1


def test_points_are_independent_of_each_other():
    rng = np.random.default_rng(1)
    estimate, replicates = rng.uniform(0, 0.9, 5), rng.uniform(0, 0.9, (8, 5))
    together = jackknife(estimate, replicates, scale="atanh")
    for i in range(5):
        alone = jackknife(estimate[i], replicates[:, i], scale="atanh")
        assert together.low[i] == pytest.approx(float(alone.low))


def test_no_interval_is_invented():
    good = np.linspace(0.4, 0.6, 8)
    hole = good.copy()
    hole[3] = np.nan
    got = jackknife(np.array([0.5, 0.5, np.nan]), np.stack([good, hole, good], axis=1), scale="atanh")
    assert list(got.reason) == ["", "a leave-one-subject-out value is missing", "there is no estimate"]
    assert np.isnan(got.low[1:]).all()
    few = jackknife(0.5, good[:5])
    assert np.isnan(few.low)
    assert few.reason[()] == "only 5 subjects: an interval needs 6"
    assert "only 1 subject:" in jackknife(0.5, good[:1]).reason[()]


def test_pairing_cancels_what_subjects_have_in_common():
    rng = np.random.default_rng(2)
    common = rng.normal(0, 0.2, 10)
    first, second = 0.5 + common, 0.53 + common + rng.normal(0, 0.002, 10)
    got = intervals.paired(0.5, first, 0.53, second)
    assert got.high - got.low < 0.05
    alone = jackknife(0.53, second)
    assert alone.high - alone.low > 1


def test_delete_one_and_bootstrap_are_sums_over_subjects():
    stats = np.random.default_rng(3).normal(size=(7, 4, 6))
    assert intervals.delete_one(stats)[2] == pytest.approx(np.delete(stats, 2, axis=0).sum(axis=0))
    drawn = intervals.bootstrap(stats, replicates=400, seed=5)
    assert drawn.shape == (400, 4, 6)
    assert (drawn == intervals.bootstrap(stats, replicates=400, seed=5)).all()
    assert drawn.mean(axis=0) == pytest.approx(stats.sum(axis=0), abs=1.0)
    rng = np.random.default_rng(5)
    weights = rng.multinomial(7, np.full(7, 1 / 7), size=400)
    assert drawn[9] == pytest.approx(np.einsum("s,spk->pk", weights[9], stats))


def test_replicates_without_a_value_open_the_end_where_they_would_fall():
    x = np.random.default_rng(4).normal(size=1000)
    whole = intervals.percentile(x)
    assert whole.low == pytest.approx(np.quantile(x, 0.025), abs=0.02)
    x[:20] = np.nan
    some = intervals.percentile(x)
    assert np.isfinite([some.low, some.high]).all()
    assert some.reason[()] == "20 of 1000 replicates have no value"
    x[:40] = np.nan
    above = intervals.percentile(x)
    assert np.isfinite(above.low)
    assert above.high == np.inf
    assert above.reason[()] == "unbounded: 40 of 1000 replicates have no value"
    below = intervals.percentile(x, missing_below=True)
    assert below.low == -np.inf
    assert np.isfinite(below.high)
    none = intervals.percentile(np.full(10, np.nan))
    assert np.isnan(none.low)
    assert none.reason[()] == "no replicate has a value"


def test_a_family_of_one_is_students_t():
    replicates = np.random.default_rng(6).normal(size=(9, 1))
    family = simultaneous(np.array([0.0]), replicates)
    assert family.critical == pytest.approx(distributions.t.ppf(0.975, 8))
    assert family.interval.low == pytest.approx(jackknife(np.array([0.0]), replicates).low)


def test_a_family_costs_between_nothing_and_bonferroni():
    rng = np.random.default_rng(7)
    one = rng.normal(size=(20, 1))
    twins = simultaneous(np.zeros(8), np.repeat(one, 8, axis=1) + 1e-6 * rng.normal(size=(20, 8)))
    strangers = simultaneous(np.zeros(8), rng.normal(size=(20, 8)))
    bonferroni = distributions.t.ppf(1 - 0.05 / 16, 19)
    assert twins.critical == pytest.approx(distributions.t.ppf(0.975, 19), rel=0.05)
    assert 0.9 * bonferroni < strangers.critical <= bonferroni
    again = simultaneous(np.zeros(8), rng.normal(size=(20, 8)) * 0 + one)
    assert again.critical <= strangers.critical


def subject_by_subject(influence: np.ndarray, draws: int, seed: int) -> float:
    """The same critical value the long way: every draw has new subjects, with their means and errors."""
    rng = np.random.default_rng(seed)
    n = len(influence)
    unit = influence / np.linalg.norm(influence, axis=0)
    fresh = rng.standard_normal((draws, n, n)) @ unit
    ratio = fresh.mean(axis=1) / (fresh.std(axis=1, ddof=1) / np.sqrt(n))
    return float(np.quantile(np.abs(ratio).max(axis=-1), 0.95))


@pytest.mark.parametrize("shared", [0.0, 0.5, 0.95])
@pytest.mark.parametrize(("subjects", "members"), [(6, 4), (12, 3), (12, 30), (32, 8)])
def test_critical_values_are_those_of_new_subjects(subjects, members, shared):
    rng = np.random.default_rng(subjects * members)
    common, own = rng.normal(size=(subjects, 1)), rng.normal(size=(subjects, members))
    replicates = np.sqrt(shared) * common + np.sqrt(1 - shared) * own
    got = simultaneous(np.zeros(members), replicates, draws=20_000).critical
    long = subject_by_subject(replicates - replicates.mean(axis=0), 20_000, 1)
    # Both are quantiles of 20,000 draws: their noise is up to 1.3 % each where the tails are heavy.
    assert got == pytest.approx(long, rel=0.04)


def test_drawn_errors_have_the_distribution_of_standard_errors():
    rng = np.random.default_rng(13)
    x = rng.normal(size=(9, 1)) + rng.normal(size=(9, 5))
    x -= x.mean(axis=0)
    unit = x / np.linalg.norm(x, axis=0)
    loads = max_t._loadings(unit)
    correlation = unit.T @ unit
    assert loads @ loads.T == pytest.approx(correlation, abs=1e-12)
    square = max_t._drawn_errors(loads, 8, 40_000, rng) ** 2
    # A sample variance is chi-squared over its degrees of freedom; two go together as their correlation squared.
    assert square.mean(axis=0) == pytest.approx(1, abs=0.02)
    assert square.var(axis=0) == pytest.approx(2 / 8, rel=0.05)
    assert np.corrcoef(square.T) == pytest.approx(correlation**2, abs=0.03)


def test_a_family_over_many_subjects_is_nearly_normal():
    rng = np.random.default_rng(14)
    common, own = rng.normal(size=(300, 1)), rng.normal(size=(300, 36))
    strangers = simultaneous(np.zeros(36), own, draws=40_000).critical
    alike = simultaneous(np.zeros(36), common + 0.3 * own, draws=40_000).critical
    # For independent members the largest |t| has a closed form; Bonferroni's value lies just above.
    assert strangers == pytest.approx(distributions.t.ppf((1 + 0.95 ** (1 / 36)) / 2, 299), rel=0.02)
    assert alike < strangers - 0.3


@pytest.mark.long
def test_few_draws_of_errors_serve_many_members():
    own = np.random.default_rng(15).normal(size=(100, 700))
    family = simultaneous(np.zeros(700), own)
    assert family.critical == pytest.approx(distributions.t.ppf((1 + 0.95 ** (1 / 700)) / 2, 99), rel=0.03)


def test_a_family_holds_all_its_truths_together():
    rng = np.random.default_rng(8)
    trials, held = 300, 0
    for _ in range(trials):
        x = rng.normal(size=(12, 6))
        replicates = (x.sum(axis=0) - x) / 11
        got = simultaneous(x.mean(axis=0), replicates, draws=1000).interval
        held += bool(((got.low < 0) & (got.high > 0)).all())
    assert held / trials > 0.92


def test_members_without_a_value_take_no_part():
    rng = np.random.default_rng(9)
    replicates = rng.normal(size=(10, 3))
    replicates[2, 1] = np.nan
    got = simultaneous(np.zeros(3), replicates)
    assert np.isnan(got.interval.low[1])
    assert np.isfinite(got.interval.low[[0, 2]]).all()
    assert np.isnan(simultaneous(np.zeros(3), replicates[:4]).interval.low).all()


def test_crossed_bootstrap_spreads_as_both_components_do():
    rng = np.random.default_rng(12)
    table = rng.normal(0, 1, (8, 1)) + rng.normal(0, 2, (1, 30))
    stats = np.stack([table, np.ones_like(table)], axis=-1)
    drawn = intervals.crossed_bootstrap(stats, lambda sums: sums[..., 0] / sums[..., 1], replicates=3000)
    expected = table.mean(axis=1).var() / 8 + table.mean(axis=0).var() / 30
    assert drawn.var() == pytest.approx(expected, rel=0.15)


def test_no_number_makes_fewer_than_two_an_interval():
    one = intervals.jackknife([0.5], np.array([[0.4]]), min_subjects=1)
    assert list(one.reason) == ["only 1 subject: an interval needs 2"]
    assert np.isnan([one.low, one.high]).all()
