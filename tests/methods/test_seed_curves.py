from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdbench.methods.families import at_common_rates, delta_of_families, deltas_of_pairs
from rdbench.stats import bd
from rdbench.stats.bd import Side

RATES = (4.0, 8.0, 16.0, 32.0, 64.0)
RISING = np.array([0.2, 0.35, 0.5, 0.6, 0.66])
LINE = 0.2 + 0.1 * np.log2(np.array(RATES) / 4)
SUBJECTS = 7
DELTA = {"accuracy": bd.bd_accuracy, "rate": bd.bd_rate}

each_measure = pytest.mark.parametrize("measure", ["accuracy", "rate"])


def seed_side(
    value, number: int, *, rates=RATES, saving: float = 1.0, spread: float = 0.01, **options
) -> Side:
    """The curve of one seed: bent a little in its own way; subjects move it all over and a little at each point."""
    rng = np.random.default_rng([number, 1])
    # What subjects do to the rate is the same for all seeds, which are scored on the same encodes.
    moved = np.random.default_rng(0).normal(0, 0.01, (SUBJECTS, len(rates)))
    own = np.asarray(value) + rng.normal(0, spread, len(rates))
    return Side(
        np.log(np.array(rates) * saving),
        own,
        np.log(np.array(rates) * saving) + moved,
        own + rng.normal(0, spread, (SUBJECTS, 1)) + rng.normal(0, spread / 5, (SUBJECTS, len(rates))),
        **({"correlation": False} | options),
    )


def family(value, seeds: int, start: int = 0, **options) -> list[Side]:
    return [seed_side(value, start + i, **options) for i in range(seeds)]


def mean_side(sides: list[Side], *, subject: int | None = None, seed: int | None = None) -> Side:
    """The mean curve of a family, with all subjects or without one, with all seeds or without one."""
    used = [side for i, side in enumerate(sides) if i != seed]
    rates, values = (
        [getattr(s, "log_rate" if what == "rate" else "value") for s in used]
        if subject is None
        else [getattr(s, "log_rates" if what == "rate" else "values")[subject] for s in used]
        for what in ("rate", "value")
    )
    none = np.zeros((0, len(rates[0])))
    return replace(
        sides[0],
        log_rate=np.mean(rates, axis=0),
        value=np.mean(values, axis=0),
        log_rates=none,
        values=none,
    )


BETTER = family(RISING + 0.05, 4)
THAN = family(RISING, 3, start=10)


@each_measure
def test_a_delta_of_families_is_that_of_their_mean_curves(measure):
    got = delta_of_families(THAN, BETTER, measure=measure)
    wanted = DELTA[measure](mean_side(THAN), mean_side(BETTER))
    assert got.value == pytest.approx(wanted.value, rel=1e-12)
    assert got.overlap == pytest.approx(wanted.overlap)
    assert got.span == pytest.approx(wanted.span)
    assert got.knots == wanted.knots == (5, 5)
    assert got.displacement == pytest.approx(wanted.displacement, nan_ok=True)
    assert got.value > 0.03 if measure == "accuracy" else got.value < -0.1


def one_by_one(measure: str, than: list[Side], better: list[Side]) -> list[float]:
    """Deltas without each subject, each seed of `better` and each seed of `than`, the long way."""
    without = [
        *((mean_side(than, subject=i), mean_side(better, subject=i)) for i in range(SUBJECTS)),
        *((mean_side(than), mean_side(better, seed=i)) for i in range(len(better))),
        *((mean_side(than, seed=i), mean_side(better)) for i in range(len(than))),
    ]
    return [DELTA[measure](*sides).value for sides in without]


@each_measure
def test_replicates_leave_out_subjects_then_seeds_of_the_test_then_of_the_anchor(measure):
    got = delta_of_families(THAN, BETTER, measure=measure)
    wanted = one_by_one(measure, THAN, BETTER)
    assert len(set(np.round(wanted, 9))) == SUBJECTS + 4 + 3, "all of them differ"
    assert got.replicates == pytest.approx(wanted, rel=1e-9)


@each_measure
def test_rates_that_differ_a_little_from_seed_to_seed_are_averaged_too(measure):
    # So it is with envelopes, where subjects may have unlike factors.
    rng = np.random.default_rng(3)
    than, better = (
        [
            replace(
                side,
                log_rate=side.log_rate + rng.normal(0, 0.02, 5),
                log_rates=side.log_rates + rng.normal(0, 0.02, (SUBJECTS, 5)),
            )
            for side in sides
        ]
        for sides in (THAN, BETTER)
    )
    got = delta_of_families(than, better, measure=measure)
    assert got.value == pytest.approx(DELTA[measure](mean_side(than), mean_side(better)).value, rel=1e-12)
    assert got.replicates == pytest.approx(one_by_one(measure, than, better), rel=1e-9)


@each_measure
def test_without_a_seed_that_stands_out_its_own_side_changes(measure):
    than = family(LINE, 3, spread=0.0)
    better = [*family(LINE, 3, spread=0.0), seed_side(LINE + 0.04, 9, spread=0.0)]
    got = delta_of_families(than, better, measure=measure)
    slope = 0.1 / np.log(2)
    unit = 1.0 if measure == "accuracy" else -1 / slope
    assert got.value == pytest.approx(0.01 * unit)
    subjects, of_test, of_anchor = np.split(got.replicates, [SUBJECTS, SUBJECTS + 4])
    assert of_test == pytest.approx(np.array([0.04 / 3, 0.04 / 3, 0.04 / 3, 0.0]) * unit, abs=1e-12)
    assert of_anchor == pytest.approx(np.full(3, 0.01) * unit)
    # The points' rates differ a little from subject to subject, but on both sides alike.
    assert subjects == pytest.approx(np.full(SUBJECTS, 0.01) * unit, rel=0.05)


@each_measure
def test_with_one_seed_a_side_it_is_the_plain_delta(measure):
    than, better = THAN[:1], BETTER[:1]
    got = delta_of_families(than, better, measure=measure)
    plain = DELTA[measure](than[0], better[0])
    for name in ("value", "overlap", "span", "displacement"):
        assert getattr(got, name) == pytest.approx(getattr(plain, name), nan_ok=True, rel=1e-12)
    assert (got.knots, got.reason, got.warning) == (plain.knots, plain.reason, plain.warning)
    assert got.replicates[:SUBJECTS] == pytest.approx(plain.replicates, rel=1e-12)
    assert got.replicates[SUBJECTS:] == pytest.approx(np.full(2, plain.value)), "one seed cannot be left out"
    assert deltas_of_pairs(than, better, measure=measure) == pytest.approx([plain.value])


@each_measure
def test_families_of_equal_seeds_differ_as_one_seed_does(measure):
    got = delta_of_families([THAN[0]] * 5, [BETTER[0]] * 2, measure=measure)
    plain = DELTA[measure](THAN[0], BETTER[0])
    assert got.value == pytest.approx(plain.value)
    assert got.replicates[:SUBJECTS] == pytest.approx(plain.replicates)
    assert got.replicates[SUBJECTS:] == pytest.approx(np.full(7, plain.value))


@each_measure
def test_the_order_of_seeds_is_that_of_their_replicates(measure):
    got = delta_of_families(THAN, BETTER, measure=measure)
    turned = delta_of_families(THAN[::-1], BETTER[::-1], measure=measure)
    assert turned.value == pytest.approx(got.value, rel=1e-12)
    subjects, of_test, of_anchor = np.split(got.replicates, [SUBJECTS, SUBJECTS + 4])
    assert turned.replicates == pytest.approx(np.r_[subjects, of_test[::-1], of_anchor[::-1]], rel=1e-9)


curves = st.lists(st.floats(0.01, 0.2), min_size=5, max_size=5).map(np.cumsum)


@settings(max_examples=40)
@given(
    st.lists(curves, min_size=1, max_size=3),
    st.lists(curves, min_size=1, max_size=3),
    st.sampled_from(["accuracy", "rate"]),
)
def test_deltas_of_families_are_antisymmetric(first, second, measure):
    one, two = ([seed_side(v, i, spread=0.001) for i, v in enumerate(values)] for values in (first, second))
    there, back = delta_of_families(one, two, measure=measure), delta_of_families(two, one, measure=measure)
    assert back.value == pytest.approx(-there.value, nan_ok=True, rel=1e-9, abs=1e-12)
    if not there.reason:
        subjects, of_two, of_one = np.split(there.replicates, [SUBJECTS, SUBJECTS + len(two)])
        wanted = -np.r_[subjects, of_one, of_two]
        assert back.replicates == pytest.approx(wanted, nan_ok=True, rel=1e-9, abs=1e-12)


# Both measures


def test_a_family_that_needs_a_fifth_less_has_that_delta():
    than = family(LINE, 5, spread=0.0)
    better = family(LINE, 5, spread=0.0, saving=0.8)
    got = delta_of_families(than, better, measure="rate")
    assert bd.percent(got.value) == pytest.approx(-20)
    assert bd.percent(got.replicates) == pytest.approx(np.full(SUBJECTS + 10, -20), rel=0.05)
    gain = delta_of_families(than, better, measure="accuracy")
    assert gain.value == pytest.approx(0.1 * np.log2(1 / 0.8))


def test_for_errors_less_is_better():
    than, better = (
        [replace(side, value=1 - side.value, values=1 - side.values, rising=False) for side in sides]
        for sides in (THAN, BETTER)
    )
    for measure in ("accuracy", "rate"):
        got = delta_of_families(than, better, measure=measure)
        wanted = delta_of_families(THAN, BETTER, measure=measure)
        assert got.value == pytest.approx(wanted.value)
        assert got.replicates == pytest.approx(wanted.replicates)
        pairs = deltas_of_pairs(than, better, measure=measure)
        assert pairs == pytest.approx(deltas_of_pairs(THAN, BETTER, measure=measure))


@each_measure
def test_points_coded_larger_than_asked_stay_out(measure):
    larger = np.array([True, False, False, False, False])
    than = [replace(side, larger=larger) for side in THAN]
    got = delta_of_families(than, BETTER, measure=measure)
    assert got.knots == (4, 5)
    less = [
        replace(
            side,
            log_rate=side.log_rate[1:],
            value=side.value[1:],
            log_rates=side.log_rates[:, 1:],
            values=side.values[:, 1:],
        )
        for side in THAN
    ]
    wanted = delta_of_families(less, BETTER, measure=measure)
    assert got.value == pytest.approx(wanted.value)
    assert got.replicates == pytest.approx(wanted.replicates)
    assert deltas_of_pairs(than, BETTER, measure=measure) == pytest.approx(
        deltas_of_pairs(less, BETTER, measure=measure)
    )


@each_measure
def test_too_few_points_have_neither_a_delta_nor_pairs(measure):
    few = family(RISING[:3], 2, rates=RATES[:3])
    got = delta_of_families(few, BETTER, measure=measure)
    assert np.isnan(got.value)
    assert got.reason == "the anchor has 3 distinct points; 4 are needed"
    assert len(got.replicates) == 0
    assert np.isnan(deltas_of_pairs(few, BETTER, measure=measure)).all()


def test_curves_that_share_no_range_have_no_delta():
    far = family(RISING + 5, 2)
    got = delta_of_families(THAN, far, measure="rate")
    assert np.isnan(got.value)
    assert "share no range of accuracy" in got.reason
    assert delta_of_families(THAN, far, measure="accuracy").value == pytest.approx(5, abs=0.1)


def test_where_correlations_are_zero_there_is_no_rate():
    low, high = (
        family(values, 2, spread=0.0, correlation=True) for values in (LINE - 0.3, LINE - 0.3 + 0.02)
    )
    assert delta_of_families(low, high, measure="rate").span == pytest.approx((0, 0.3))
    free = [[replace(side, correlation=False) for side in sides] for sides in (low, high)]
    assert delta_of_families(*free, measure="rate").span == pytest.approx((-0.08, 0.3))


def ending(own: float, of_subjects: float, number: int) -> Side:
    """A curve that hardly rises at its end, where seeds differ by `own` and subjects by `of_subjects`."""
    rng = np.random.default_rng(number)
    rates = (*RATES, 128.0, 256.0)
    value = np.r_[RISING, 0.663, 0.666] + np.r_[np.zeros(5), rng.normal(0, own, 2)]
    noise = np.c_[np.zeros((SUBJECTS, 5)), rng.normal(0, of_subjects, (SUBJECTS, 2))]
    return Side(
        np.log(rates), value, np.log(rates) + np.zeros((SUBJECTS, 7)), value + noise, correlation=False
    )


@pytest.mark.parametrize(
    ("own", "of_subjects", "knots"),
    [
        pytest.param(0.0, 1e-6, 7, id="sure of both"),
        pytest.param(1e-3, 1e-6, 7, id="seeds differ, subjects do not"),
        pytest.param(0.0, 0.02, 5, id="subjects differ"),
    ],
)
def test_subjects_and_not_seeds_judge_whether_an_end_rises(own, of_subjects, knots):
    sides = [ending(own, of_subjects, i) for i in range(6)]
    got = delta_of_families(sides[:3], sides[3:], measure="rate")
    means = [
        replace(
            mean_side(part),
            log_rates=np.mean([s.log_rates for s in part], axis=0),
            values=np.mean([s.values for s in part], axis=0),
        )
        for part in (sides[:3], sides[3:])
    ]
    assert got.knots == bd.bd_rate(*means).knots == (knots, knots)


# Pairs of single seeds


@each_measure
def test_pairs_are_those_of_every_anchor_with_every_test(measure):
    got = deltas_of_pairs(THAN, BETTER, measure=measure)
    wanted = [DELTA[measure](a, b).value for a, b in itertools.product(THAN, BETTER)]
    assert got == pytest.approx(wanted, rel=1e-9)
    assert len(got) == 12


def test_where_curves_are_straight_the_mean_of_pairs_is_the_delta_of_means():
    rng = np.random.default_rng(5)
    than, better = (
        [seed_side(LINE + shift + rng.normal(0, 0.02), i, spread=0.0) for i in range(n)]
        for n, shift in ((5, 0.0), (4, 0.03))
    )
    for measure in ("accuracy", "rate"):
        pairs = deltas_of_pairs(than, better, measure=measure)
        assert pairs.std() > 0.01
        assert pairs.mean() == pytest.approx(delta_of_families(than, better, measure=measure).value)


def test_means_have_a_delta_where_noisy_pairs_have_none():
    rng = np.random.default_rng(6)
    shift = np.array([-0.5, -0.25, 0.0, 0.25, 0.5])
    than = [seed_side(LINE + d, i, spread=0.001) for i, d in enumerate(shift)]
    better = [seed_side(LINE + 0.02 + d, 10 + i, spread=0.001) for i, d in enumerate(rng.permutation(shift))]
    pairs = deltas_of_pairs(than, better, measure="rate")
    assert 0 < np.isnan(pairs).sum() < 25
    wanted = [bd.bd_rate(a, b).value for a, b in itertools.product(than, better)]
    assert pairs == pytest.approx(wanted, nan_ok=True)
    got = delta_of_families(than, better, measure="rate")
    assert got.value == pytest.approx(-0.02 / (0.1 / np.log(2)), abs=0.01)
    assert np.isfinite(got.replicates).all()


def test_envelopes_of_seeds_are_read_at_common_rates_within_what_all_have():
    sides = [seed_side(LINE, 0, spread=0.0), seed_side(LINE[:4] + 0.1 * np.log2(1.1), 1, rates=np.array(RATES[:4]) * 1.1, spread=0.0)]  # fmt: skip
    aligned = at_common_rates(sides)
    for side in aligned:
        np.testing.assert_array_equal(side.log_rate, aligned[0].log_rate)
        assert len(side.log_rate) == 5
        # A straight line over log rate stays what it is, wherever it is read.
        np.testing.assert_allclose(
            side.value, 0.2 + 0.1 * (side.log_rate - np.log(4)) / np.log(2), atol=1e-12
        )
        for row, values, rates in zip(side.log_rates, side.values, aligned[0].log_rates, strict=True):
            np.testing.assert_array_equal(row, rates)
            assert np.isfinite(values).all()
    low, high = aligned[0].log_rate[[0, -1]]
    for side in sides:
        rows = np.vstack([side.log_rate, side.log_rates])
        assert rows.min(axis=1).max() <= low
        assert rows.max(axis=1).min() >= high
    # Pairs and families can be formed, whatever the seeds' own points were.
    assert np.isfinite(deltas_of_pairs(aligned, aligned, measure="accuracy")).all()
    assert delta_of_families(aligned, aligned, measure="accuracy").value == pytest.approx(0, abs=1e-12)


def test_envelopes_without_a_common_range_have_no_common_rates():
    assert at_common_rates([seed_side(LINE, 0), seed_side(LINE, 1, rates=np.array(RATES) * 100)]) == []
    assert len(at_common_rates([seed_side(LINE, 0)])) == 1
