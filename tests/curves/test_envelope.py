from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from made_tables import made

from rdbench.curves import envelope, pooling
from rdbench.curves.envelope_tables import envelopes, gains, switch_points
from rdbench.errors import InputError

FACTORS = (1, 2, 4, 8)


@pytest.fixture(scope="module")
def run():
    encodes, scores, _ = made(factors=FACTORS, subjects=9, codecs=("x264",), rates=(2, 4, 8, 16, 32, 64, 128))
    return encodes, scores


@pytest.fixture(scope="module")
def with_dev(run):
    dev = made(
        factors=FACTORS,
        subjects=7,
        codecs=("x264",),
        rates=(2, 4, 8, 16, 32, 64, 128),
        partition="dev",
        seed=9,
    )
    return tuple(pd.concat([a, b], ignore_index=True) for a, b in zip(run, dev[:2], strict=True))


@functools.cache
def one_rate(subjects: int, factors: int):
    return made(factors=range(1, factors + 1), subjects=subjects, codecs=("x264",), rates=(8,), mode="crf")[
        :2
    ]


def equal_factors(seed: int, subjects: int = 8, factors: int = 8):
    """Scores of factors that differ by chance alone."""
    encodes, scores = one_rate(subjects, factors)
    rng = np.random.default_rng(seed)
    error = rng.normal(0, 0.3, len(scores))
    n = scores["n"].to_numpy()
    scores = scores.assign(mean_pred=error, mean_gold=0.0, m2_pred=n * 0.1, m2_gold=n * 0.1, cov=n * 0.08)
    return encodes, scores


def test_the_best_factor_falls_as_the_rate_rises(run):
    table = envelopes(*run)
    assert list(table.chosen_factor) == sorted(table.chosen_factor, reverse=True)
    assert set(table.chosen_factor) == set(FACTORS)
    assert set(table.chosen_on) == {"other subjects"}
    assert (table.low < table.value).all()
    assert (table.value < table.high).all()


def test_points_of_the_envelope_are_the_runs_own_where_it_has_them(run):
    table = envelopes(*run).round({"bitrate_kbps": 6})
    plain = pooling.pooled(*run).round({"bitrate_kbps": 6})
    joined = table.merge(
        plain, left_on=["chosen_factor", "bitrate_kbps"], right_on=["factor", "bitrate_kbps"]
    )
    assert len(joined) == len(table)
    assert joined.value_x.to_numpy() == pytest.approx(joined.value_y.to_numpy(), rel=1e-9)
    assert joined.n_x.tolist() == joined.n_y.tolist()


def test_another_partition_chooses_where_there_is_one(with_dev, run):
    table = envelopes(*with_dev)
    assert set(table.chosen_on) == {"partition dev"}
    encodes, scores = with_dev
    worse = scores.encode.str.contains("dev.*-8-x264")
    spoilt = scores.assign(
        **{name: scores[name].mask(worse, 0.0) for name in ("cov", "m2_pred", "mean_pred")}
    )
    assert 8 not in set(envelopes(encodes, spoilt).chosen_factor), "dev decides"
    reported = scores.encode.str.contains("test.*-4-x264")
    spoilt = scores.assign(
        **{name: scores[name].mask(reported, 0.0) for name in ("cov", "m2_pred", "mean_pred")}
    )
    assert 4 in set(envelopes(encodes, spoilt).chosen_factor), "what is reported does not"


@pytest.mark.long
def test_choosing_in_sample_is_too_good_and_choosing_on_others_is_not():
    optimism, honest = [], []
    for seed in range(40):
        encodes, scores = equal_factors(seed)
        plain = pooling.pooled(encodes, scores).value.mean()
        optimism.append(envelopes(encodes, scores, factor="oracle").value[0] - plain)
        honest.append(envelopes(encodes, scores).value[0] - plain)
    assert np.mean(optimism) > 0.03
    assert np.mean(honest) < 0.3 * np.mean(optimism)


def test_each_subject_is_kept_out_of_its_own_choice():
    encodes, scores, _ = made(factors=(1, 2), subjects=6, codecs=("x264",), rates=(4, 8, 16, 32))
    # Without subject 0 factor 1 is the better one, with it factor 2.
    one = scores.encode.str.startswith("test00")
    first = scores.encode.str.contains("-1-x264")
    n = scores["n"].to_numpy()
    offset = np.where(one & first, 3.0, np.where(first, 0.0, 0.1))
    scores = scores.assign(mean_pred=offset, mean_gold=0.0, m2_pred=0.1 * n, m2_gold=0.1 * n, cov=0.09 * n)
    table = envelopes(encodes, scores)
    oracle = envelopes(encodes, scores, factor="oracle")
    assert set(oracle.chosen_factor) == {2}
    assert set(oracle.chosen_on) == {"in-sample"}
    assert set(table.chosen_factor) == {2}
    assert table.agreement.to_numpy() == pytest.approx(5 / 6), "subject 0 got what the others chose for it"
    assert (table.value < oracle.value).all()


def test_nothing_is_extrapolated():
    encodes, scores, _ = made(factors=FACTORS, subjects=6, codecs=("x264",), rates=(2, 4, 8, 16, 32, 64))
    short = (encodes.factor == 8) & (encodes.rate > 8)
    encodes, gone = encodes[~short], encodes[short].encode
    table = envelopes(encodes, scores[~scores.encode.isin(gone)])
    assert table.loc[table.chosen_factor == 8, "bitrate_kbps"].max() < 8.5
    assert table.bitrate_kbps.max() > 60


def test_switch_points_lie_where_the_curves_cross(run):
    table = switch_points(*run)
    assert list(zip(table.from_factor, table.to_factor, strict=True)) == [(8, 4), (4, 2), (2, 1)]
    plain = pooling.pooled(*run)
    for row in table.itertuples():
        before, after = (
            plain[plain.factor == factor].sort_values("bitrate_kbps")
            for factor in (row.from_factor, row.to_factor)
        )
        below = (before.value.to_numpy() > after.value.to_numpy()) & (
            before.bitrate_kbps < row.kbps
        ).to_numpy()
        assert below[(before.bitrate_kbps < row.kbps).to_numpy()].all()
        assert row.low <= row.kbps <= row.high or row.reason
    assert table.kbps.is_monotonic_increasing


def test_gain_over_the_best_single_factor(run):
    table = gains(*run)
    assert set(table.factor) == set(FACTORS)
    assert (table.gain > -0.005).all()
    assert table.best_single.sum() == 1
    assert table.loc[table.best_single, "gain"].item() == table.gain.min()


def test_rates_of_factors_need_not_match():
    encodes, scores, _ = made(factors=(1, 4), subjects=8, codecs=("x264",), rates=(4, 8, 16, 32, 64))
    moved = encodes.factor == 4
    encodes = encodes.assign(payload_bits=encodes.payload_bits.where(~moved, (encodes.payload_bits * 1.4)))
    table = envelopes(encodes, scores)
    assert len(table) == 10
    assert table.bitrate_kbps.is_monotonic_increasing


def test_larger_coded_points_stay_out():
    encodes, scores, _ = made(factors=(1, 8), subjects=6, codecs=("x264",))
    encodes = encodes.assign(coded_width=encodes.coded_width + 64 * (encodes.factor == 8))
    assert set(envelopes(encodes, scores).chosen_factor) == {1}
    assert 8 in set(envelopes(encodes, scores, larger=True).chosen_factor)


def test_few_subjects_have_an_envelope_and_no_band():
    encodes, scores, _ = made(factors=(1, 4), subjects=3, codecs=("x264",))
    table = envelopes(encodes, scores)
    assert table.low.isna().all()
    assert table.value.notna().all()
    alone = made(factors=(1, 4), subjects=1, codecs=("x264",))
    assert envelopes(*alone[:2]).empty, "one subject has no others to choose on"


def test_errors_choose_the_smallest(run):
    table = envelopes(*run, "rmse")
    plain = pooling.pooled(*run, "rmse")
    for row in table.itertuples():
        near = plain[np.isclose(plain.bitrate_kbps, row.bitrate_kbps, rtol=1e-3)]
        assert row.value == pytest.approx(near.value.min(), abs=0.02)


def test_only_two_kinds_of_factor_are_chosen(run):
    with pytest.raises(InputError, match="best or oracle"):
        envelopes(*run, factor="worst")


def test_no_value_leaves_its_range_between_points_that_nearly_tie():
    x = np.log(np.array([2.3, 2.38, 6.0, 25.0]))
    at = np.linspace(x[0], x[-1], 200)
    weights = envelope._weights(x, at)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    rng = np.random.default_rng(3)
    pred, gold = rng.normal(size=(4, 50)), rng.normal(size=(4, 50)) * 3 + 1
    # Sums of 1, p, g, pp, gg, pg: what a mixture of recordings has, and so a CCC that is one.
    sums = np.stack(
        [np.stack([v.mean() for v in (p, g, p * p, g * g, p * g)]) for p, g in zip(pred, gold, strict=True)]
    )
    p, g, pp, gg, pg = (weights @ sums).T
    ccc = 2 * (pg - p * g) / (pp - p * p + gg - g * g + (p - g) ** 2)
    assert np.abs(ccc).max() <= 1
