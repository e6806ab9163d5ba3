"""Bits at a target and accuracy at a rate: against curves read by hand, and what is said where there is no number."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import made_tables
from made_tables import made
from scipy.interpolate import PchipInterpolator
from scipy.stats import t

from rdbench.answers.losers import losers_of, summary
from rdbench.answers.targets import RATE_COLUMNS, TARGET_COLUMNS, Goal, at_rates, at_targets
from rdbench.answers.text import losers_for_people, rates_for_people, targets_for_people
from rdbench.curves.arrays import Arrays
from rdbench.curves.deltas import deltas_of
from rdbench.curves.pooling import pooled
from rdbench.curves.scope import Scopes
from rdbench.errors import InputError
from rdbench.simulation import targets as simulated
from rdbench.stats.bd import Side
from rdbench.stats.reached import accuracy_at, rate_at, ratio
from rdbench.tables.basis import Basis


@pytest.fixture(scope="module")
def tables():
    return made_tables(
        8, factors=(1, 4), rates=6, targets=("valence",), backends=("direct@lite",), spread=0.3
    )


@pytest.fixture(scope="module")
def scopes(tables):
    return Scopes(Arrays(*tables, Basis("ccc")))


def side(rates, values, subjects=8, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    values, log_rates = np.asarray(values, float), np.log(np.asarray(rates, float))
    moved = values + noise * rng.normal(size=(subjects, len(values))) / subjects
    return Side(log_rates, values, np.tile(log_rates, (subjects, 1)), moved)


def test_a_share_is_one_of_uncoded_pictures_at_factor_1(tables, scopes):
    table = at_targets(scopes, [Goal.parse("90%")])
    points = pooled(*tables)
    level = points.loc[(points["codec"] == "none") & (points["factor"] == 1), "value"].item()
    assert tuple(table.columns) == TARGET_COLUMNS
    assert np.allclose(table["uncoded"], level)
    assert np.allclose(table["level"], 0.9 * level)
    assert set(table["factor"]) == {"1", "4", "best"}
    assert set(table["codec"]) == {"x264", "x265"}


def test_the_rate_is_where_the_curve_has_the_accuracy(tables, scopes):
    """On rising curves any monotone interpolation comes close; the two neighbours of the level bound it."""
    points = pooled(*tables)
    own = points[(points["codec"] == "x264") & (points["factor"] == 1)].sort_values("bitrate_kbps")
    value, rate = own["value"].to_numpy(), own["bitrate_kbps"].to_numpy()
    assert (np.diff(value) > 0).all()
    level = float((value[2] + value[3]) / 2)
    table = at_targets(scopes, [Goal(level, False)], {})
    row = table[(table["codec"] == "x264") & (table["factor"] == "1")].iloc[0]
    assert rate[2] < row["kbps"] < rate[3]
    assert row["kbps"] == pytest.approx(
        math.exp(float(PchipInterpolator(value, np.log(rate))(level))), rel=0.05
    )
    assert row["kbps_low"] < row["kbps"] < row["kbps_high"]
    assert row["anchor"] == ""


def test_a_codec_that_needs_less_of_the_same_pictures_saves_that(tables, scopes):
    table = at_targets(scopes, [Goal.parse("80%")], "codec=x264")
    row = table[(table["codec"] == "x265") & (table["factor"] == "1")].iloc[0]
    assert row["anchor"] == "codec x264"
    assert row["rate_difference_low"] < -25 < row["rate_difference_high"]
    assert row["rate_difference"] == pytest.approx(-25, abs=6)
    assert table.loc[table["codec"] == "x264", "rate_difference"].isna().all()


def test_the_interval_is_the_jackknife_on_log_rate_and_longer_downwards():
    curve = side([4, 8, 16, 32], [0.2, 0.4, 0.6, 0.7], noise=0.2)
    found = rate_at(curve, 0.5, np.full(8, 0.5))
    without = [rate_at(Side(x, y, np.zeros((0, 4)), np.zeros((0, 4))), 0.5, np.zeros(0)).value
               for x, y in zip(curve.log_rates, curve.values, strict=True)]  # fmt: skip
    half = t.ppf(0.975, 7) * math.sqrt(7 / 8 * np.square(without - np.mean(without)).sum())
    assert found.high - found.value == pytest.approx(half)
    assert found.value - found.low == pytest.approx(1.15 * half)


def test_nothing_is_extrapolated():
    curve = side([4, 8, 16], [0.3, 0.5, 0.6])
    above, below = (rate_at(curve, level, np.full(8, level)) for level in (0.61, 0.29))
    assert (above.reason, below.reason) == ("not reached", "reached below the lowest rate")
    assert math.isnan(above.value)
    assert (math.exp(above.least), math.exp(below.most)) == pytest.approx((16, 4))
    assert np.isnan(accuracy_at(curve, math.log(17)).value)
    assert "4 to 16" in accuracy_at(curve, math.log(3)).reason


def test_one_curve_alone_still_bounds_what_is_saved():
    low, high = side([4, 8, 16], [0.1, 0.2, 0.3]), side([4, 8, 16], [0.3, 0.5, 0.6])
    answers = [rate_at(curve, 0.5, np.full(8, 0.5)) for curve in (low, high)]
    assert math.exp(ratio(*answers).most) == pytest.approx(0.5)
    assert math.exp(ratio(*answers[::-1]).least) == pytest.approx(2)
    assert ratio(*answers).reason == "anchor: not reached"


def test_a_subject_who_decides_whether_it_is_reached_opens_the_interval():
    curve = side([4, 8, 16], [0.3, 0.5, 0.6])
    curve.values[2, 2] = 0.55
    found = rate_at(curve, 0.58, np.full(8, 0.58))
    assert math.isinf(found.high)
    assert math.isfinite(found.low)
    assert found.interval_reason == "unbounded: 1 of 8 times there is no rate without one subject"


def test_few_subjects_have_no_interval():
    found = rate_at(side([4, 8, 16], [0.3, 0.5, 0.6], subjects=4), 0.5, np.full(4, 0.5))
    assert math.isfinite(found.value)
    assert math.isnan(found.low)
    assert "only 4 subjects" in found.interval_reason


@settings(max_examples=60)
@given(st.lists(st.floats(-0.5, 0.95), min_size=2, max_size=8), st.floats(-0.4, 0.9))
def test_a_higher_level_never_needs_less(values, level):
    curve = side(np.geomspace(4, 64, len(values)), values)
    answers = [rate_at(curve, at, np.full(8, at)) for at in (level, level + 0.05)]
    places = [
        answer.value
        if not math.isnan(answer.value)
        else math.inf
        if answer.reason == "not reached"
        else -math.inf
        for answer in answers
    ]
    assert places[0] <= places[1] + 1e-9
    assert all(math.isinf(at) or math.log(4) - 1e-9 <= at <= math.log(64) + 1e-9 for at in places)


def test_errors_fall_where_accuracy_rises(tables):
    scopes = Scopes(Arrays(*tables, Basis("rmse")))
    table = at_targets(scopes, [Goal.parse("80%")], {})
    assert np.allclose(table["level"], table["uncoded"] / 0.8)
    assert table["kbps"].notna().any()


def test_classes_have_targets_too():
    encodes, scores, _ = made(subjects=8, classes=3, uncoded=True)
    table = at_targets(Scopes(Arrays(encodes, scores, Basis("accuracy"))), [Goal.parse("60%")])
    assert set(table["metric"]) == {"accuracy"}
    assert table["kbps"].notna().any()


def test_without_uncoded_pictures_a_share_says_why_and_an_accuracy_has_an_answer():
    encodes, scores, _ = made(subjects=6, factors=(1,))
    scopes = Scopes(Arrays(encodes, scores, Basis("ccc")))
    table = at_targets(scopes, [Goal.parse("90%"), Goal.parse("0.5")])
    share, amount = table[table["goal"] == "90% of uncoded"], table[table["goal"] == "0.5"]
    assert share["kbps"].isna().all()
    assert set(share["reason"]) == {"there are no uncoded pictures at factor 1 to take a share of"}
    assert amount["kbps"].notna().all()


def test_accuracy_at_a_rate_with_its_gain_and_what_that_saves(tables, scopes):
    table = at_rates(scopes, [150.0], "codec=x264")
    assert tuple(table.columns) == RATE_COLUMNS
    by = table.set_index(["codec", "factor"])
    gain = by.loc[("x265", "1"), "value"] - by.loc[("x264", "1"), "value"]
    assert by.loc[("x265", "1"), "gain"] == pytest.approx(gain)
    assert gain > 0
    assert by.loc[("x265", "1"), "rate_difference"] == pytest.approx(-25, abs=8)
    assert np.allclose(table["kept"], table["value"] / table["uncoded"], equal_nan=True)


@pytest.mark.parametrize("text", ["", "much", "0%", "101%", "nan", "inf", "-5%", "95 %%", "%"])
def test_what_is_no_target_is_refused(text):
    with pytest.raises(InputError, match="uncoded accuracy"):
        Goal.parse(text)


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_rate_is_refused(scopes, rate):
    with pytest.raises(InputError, match="above 0"):
        at_rates(scopes, [rate])


def test_an_anchor_that_is_not_there_is_refused(scopes):
    with pytest.raises(InputError, match="no codec 'x266'"):
        at_targets(scopes, [Goal.parse("90%")], "codec=x266")


def test_people_read_bounds_and_reasons(scopes):
    shown, lines = targets_for_people(at_targets(scopes, [Goal.parse("80%"), Goal.parse("0.999")]))
    assert "above" in " ".join(shown["kbit/s"])
    assert any("not reached" in line for line in lines)
    assert {"codec", "factor", "to reach", "kbit/s", "95 %", "rate over codec x264", "BD-rate"} <= set(
        shown.columns
    )
    shown, _ = rates_for_people(at_rates(scopes, [150.0]))
    assert {"CCC", "of uncoded", "over codec x264"} <= set(shown.columns)


def test_rows_are_strict_json(scopes):
    table = at_targets(scopes, [Goal.parse("99.9%")])
    rows = json.loads(table.to_json(orient="records"), parse_constant=lambda word: pytest.fail(word))
    assert len(rows) == len(table)


def test_each_subject_alone_and_what_is_left_without_it(scopes):
    table = losers_of(scopes, "codec=x264,factor=1", "codec=x265,factor=1")
    whole = deltas_of(scopes, "codec=x264,factor=1", "codec=x265,factor=1", per_clip=False).iloc[0]
    assert len(table) == whole["subjects"] == 8
    assert np.allclose(table["influence"] + table["without_bd_accuracy"], whole["bd_accuracy"])
    assert (table["loses"] == (table["bd_accuracy"] < 0)).all()
    assert table["face_px"].between(100, 200).all()


def test_a_planted_loser_is_found():
    encodes, scores = made_tables(
        8, factors=(1,), rates=6, targets=("valence",), backends=("direct@lite",), spread=0.1
    )
    lost = encodes.loc[(encodes["subject"] == "s03") & (encodes["codec"] == "x265"), "encode"]
    use = scores["encode"].isin(lost)
    scores.loc[use, "cov"] = 0.2 * scores.loc[use, "cov"]
    scopes = Scopes(Arrays(encodes, scores, Basis("ccc")))
    table = losers_of(scopes, "codec=x264", "codec=x265")
    row = summary(table).iloc[0]
    assert (row["worst"], row["most_influential"], row["losing"]) == ("s03", "s03", 1)
    assert row["without_bd_accuracy"] > 0
    _, lines = losers_for_people(table)
    assert "1 of 8 subjects lose, most s03" in lines[0]


def test_the_envelope_has_losers_too(scopes):
    table = losers_of(scopes, "codec=x264,factor=best", "codec=x265,factor=best")
    assert table["bd_accuracy"].notna().any()


def test_intervals_hold_the_truth_about_as_often_as_they_say(monkeypatch):
    monkeypatch.setattr(simulated, "_POPULATION", 20_000)
    table = simulated.target_coverage(20, (12,), shares=(0.8,))
    assert set(table["quantity"]) >= {"rate that keeps 80%", "saving where 80% is kept"}
    assert table["held"].min() > 0.7
