from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_tables import made

from rdbench.curves import pooling
from rdbench.curves.deltas import COLUMNS, bd_table, parse_side, relative_differences
from rdbench.curves.text import for_people
from rdbench.errors import InputError, NotComparableError
from rdbench.stats.bd import Delta, Side, bd_accuracy, bd_rate, percent, relative_difference
from rdbench.stats.caveats import doubts
from rdbench.tables.text import plain


@pytest.fixture(scope="module")
def run():
    encodes, scores, _ = made(
        factors=(1, 4), subjects=8, clips_each=2, variants=("ra", "ld"), backends=("direct@lite", "other")
    )
    return encodes, scores


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("codec=x264", {"codec": "x264"}),
        (" codec = x265 , factor = 08 ", {"codec": "x265", "factor": "8"}),
        ("factor=best,backend=direct@lite", {"factor": "best", "backend": "direct@lite"}),
    ],
)
def test_sides_are_read(text, side):
    assert parse_side(text) == side


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("codek=x264", "did you mean codec"),
        ("zzz=1", "there are codec, variant"),
        ("codec", "not KEY=VALUE"),
        ("codec=", "not KEY=VALUE"),
        ("", "not KEY=VALUE"),
        ("codec=x264,", "not KEY=VALUE"),
        ("codec=x264,codec=x265", "twice"),
        ("factor=oracle", "chosen on the data it is reported on"),
        ("factor=0", "whole number"),
        ("factor=-3", "whole number"),
        ("factor=nan", "whole number"),
        ("factor=1.5", "whole number"),
    ],
)
def test_sides_that_cannot_be_read_say_why(text, says):
    with pytest.raises(InputError, match=says):
        parse_side(text)


def test_one_row_for_each_combination_of_open_keys(run):
    table = bd_table(*run, "codec=x264", "codec=x265")
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 2 * 2 * 2
    assert (table.anchor_codec == "x264").all()
    assert (table.test_codec == "x265").all()
    for key in ("variant", "backend", "factor", "region", "mode", "target"):
        assert (table[f"anchor_{key}"] == table[f"test_{key}"]).all()
    assert table.bd_rate.to_numpy() == pytest.approx(np.full(8, -20), abs=6)


def test_the_numbers_are_those_of_the_pooled_curves(run):
    table = bd_table(*run, "codec=x264,variant=ra,backend=other,factor=4", "codec=x265")
    pooled = pooling.pooled(*run)
    pooled = pooled[(pooled.variant == "ra") & (pooled.backend == "other") & (pooled.factor == 4)]
    sides = []
    for codec in ("x264", "x265"):
        own = pooled[pooled.codec == codec]
        empty = np.zeros((0, len(own)))
        sides.append(Side(np.log(own.bitrate_kbps.to_numpy()), own.value.to_numpy(), empty, empty))
    assert table.bd_accuracy.item() == pytest.approx(bd_accuracy(*sides).value)
    # Without subjects nothing is cut off, so the cut is kept out of this comparison.
    whole = percent(bd_rate(*sides).value)
    assert table.bd_rate.item() == pytest.approx(whole, abs=8)
    assert table.clips.item() == 16
    assert table.subjects.item() == 8


def test_simultaneous_intervals_are_wider_and_alone_they_are_the_same(run):
    table = bd_table(*run, "codec=x264", "codec=x265")
    assert (table.bd_accuracy_sim_low < table.bd_accuracy_low).all()
    assert (table.bd_accuracy_sim_high > table.bd_accuracy_high).all()
    one = bd_table(*run, "codec=x264,variant=ra,backend=other,factor=4", "codec=x265")
    assert one.bd_accuracy_sim_low.item() == pytest.approx(one.bd_accuracy_low.item())


def test_a_key_left_open_by_one_side_takes_the_others_value(run):
    table = bd_table(*run, "codec=x264,variant=ra", "codec=x265")
    assert set(table.test_variant) == {"ra"}


def test_unlike_variants_meet_only_when_both_are_named(run):
    table = bd_table(*run, "variant=ra", "variant=ld")
    assert set(zip(table.anchor_variant, table.test_variant, strict=True)) == {("ra", "ld")}
    everything = bd_table(*run, "codec=x264", "codec=x265")
    assert (everything.anchor_variant == everything.test_variant).all()


def test_envelopes_stand_on_either_side(run):
    both = bd_table(*run, "codec=x264", "codec=x265,factor=best")
    assert set(both.anchor_factor) == {"best"}
    assert (both.chosen_on == "other subjects").all()
    against = bd_table(*run, "factor=1", "factor=best")
    assert set(against.anchor_factor) == {"1"}
    assert (against.bd_accuracy > 0).all()
    assert against.clip_bd_rate.isna().all()


def test_per_clip_deltas_count_their_clips(run):
    table = bd_table(*run, "codec=x264", "codec=x265")
    assert (table.clip_bd_accuracy_n <= 16).all()
    assert table.clip_bd_accuracy_n.max() > 10
    assert table.clip_bd_accuracy.to_numpy() == pytest.approx(table.bd_accuracy.to_numpy(), abs=0.05)
    assert bd_table(*run, "codec=x264", "codec=x265", per_clip=False).clip_bd_rate.isna().all()


def test_the_bootstrap_is_a_second_opinion(run):
    table = bd_table(*run, "codec=x264,factor=4", "codec=x265", boot=500)
    wide = table.bd_accuracy_high - table.bd_accuracy_low
    boot = table.bd_accuracy_boot_high - table.bd_accuracy_boot_low
    assert (boot > 0.3 * wide).all()
    assert (boot < 1.3 * wide).all()


def test_what_a_reader_must_know_is_noted(run):
    table = bd_table(*run, "codec=x264,factor=best", "codec=x265", boot=50)
    notes = " / ".join(table.attrs["notes"])
    assert "chosen on other subjects" in notes
    assert "bootstrap interval of BD-CCC promises 95 %" in notes
    assert bd_table(*run, "codec=x264", "codec=x265").attrs["notes"] == []
    few = made(factors=(1,), subjects=4)[:2]
    assert "only 4 subjects" in bd_table(*few, "codec=x264", "codec=x265").attrs["notes"][0]


def test_swapping_the_sides_turns_the_signs(run):
    there = bd_table(*run, "codec=x264", "codec=x265")
    back = bd_table(*run, "codec=x265", "codec=x264")
    assert back.bd_accuracy.to_numpy() == pytest.approx(-there.bd_accuracy.to_numpy(), rel=1e-9)
    assert np.log1p(back.bd_rate / 100).to_numpy() == pytest.approx(-np.log1p(there.bd_rate / 100).to_numpy())


@pytest.mark.parametrize(
    ("anchor", "test", "says"),
    [
        ("codec=x264", "codec=x266", "did you mean x26"),
        ("codec=x264", "codec=x265,factor=3", "no factor '3'"),
        ("codec=x264", "codec=x264", "same curves"),
        ("codec=x264", "backend=direct@lit", "did you mean direct@lite"),
    ],
)
def test_what_the_run_lacks_is_said(run, anchor, test, says):
    with pytest.raises(InputError, match=says):
        bd_table(*run, anchor, test)


def test_sides_without_a_common_combination_are_not_comparable(run):
    encodes, scores = run
    half = encodes[(encodes.codec == "x264") == (encodes.variant == "ra")]
    scores = scores[scores.encode.isin(half.encode)]
    with pytest.raises(NotComparableError, match="no curve in common"):
        bd_table(half, scores, "codec=x264", "codec=x265")


def test_a_run_without_values_is_not_comparable(run):
    encodes, scores = run
    with pytest.raises(NotComparableError, match="nothing coded that has a score"):
        bd_table(encodes, scores.iloc[:0], "codec=x264", "codec=x265")


def test_different_pristine_references_refuse_to_compare(run):
    encodes, scores = run
    own = scores.assign(gold="pristine:" + scores.backend)
    with pytest.raises(NotComparableError, match="one common --reference"):
        bd_table(encodes, own, "backend=direct@lite", "backend=other")
    assert len(bd_table(encodes, own, "codec=x264,backend=other", "codec=x265")) == 4
    common = scores.assign(gold="pristine:direct@lite")
    assert len(bd_table(encodes, common, "backend=direct@lite", "backend=other")) == 8


def test_what_cannot_be_computed_is_missing_with_its_reason():
    encodes, scores, _ = made(factors=(1,), subjects=6, rates=(8, 16, 32))
    row = bd_table(encodes, scores, "codec=x264", "codec=x265").iloc[0]
    assert np.isnan(row.bd_accuracy)
    assert row.bd_accuracy_reason == "the anchor has 3 distinct points; 4 are needed"
    few = made(factors=(1,), subjects=4)
    row = bd_table(*few[:2], "codec=x264", "codec=x265").iloc[0]
    assert np.isfinite(row.bd_accuracy)
    assert np.isnan(row.bd_accuracy_low)
    assert "only 4 subjects" in row.bd_accuracy_interval_reason


def test_classes_are_compared_by_accuracy():
    encodes, scores, _ = made(factors=(1,), subjects=6, classes=4)
    row = bd_table(encodes, scores, "codec=x264", "codec=x265").iloc[0]
    assert row.metric == "accuracy"
    assert row.bd_accuracy > 0


def test_subjects_without_a_name_are_their_clips():
    encodes, scores, _ = made(factors=(1,), subjects=8)
    nameless = encodes.assign(subject=pd.Series([None] * len(encodes), dtype=object))
    named = bd_table(encodes, scores, "codec=x264", "codec=x265").iloc[0]
    row = bd_table(nameless, scores, "codec=x264", "codec=x265").iloc[0]
    assert row.subjects == 8
    assert row.clip_bd_accuracy_low == pytest.approx(named.clip_bd_accuracy_low)


def test_clips_without_subjects_are_said_to_be_treated_as_independent():
    encodes, scores, _ = made(factors=(1,), subjects=8)
    nameless = encodes.assign(subject=encodes["clip"])
    notes = bd_table(nameless, scores, "codec=x264", "codec=x265").attrs["notes"]
    assert notes == ["each clip is its own subject, so clips are treated as independent"]
    assert bd_table(encodes, scores, "codec=x264", "codec=x265").attrs["notes"] == []


# What people are shown


def test_people_see_all_that_is_known_of_a_delta(run):
    table = bd_table(*run, "codec=x264", "codec=x265", boot=200)
    ((_, accuracy), (_, rate)), footnotes = for_people(table)
    keys = ["codec", "variant", "backend", "factor"]
    same = ["95 %", "95 % of all", "bootstrap", "overlap", "interpolation"]
    assert list(accuracy.columns) == [*keys, "BD-CCC", *same, "mean of clips"]
    assert list(rate.columns) == [*keys, "BD-rate", *same, "displacement", "mean of clips"]
    assert set(accuracy["codec"]) == {"x265 over x264"}
    for shown, row in zip(accuracy.to_dict("records"), table.to_dict("records"), strict=True):
        name = "bd_accuracy"
        assert shown["BD-CCC"] == f"{row[name]:.3f}"
        assert shown["95 %"] == f"{row[f'{name}_low']:.3f} to {row[f'{name}_high']:.3f}"
        assert shown["95 % of all"] == f"{row[f'{name}_sim_low']:.3f} to {row[f'{name}_sim_high']:.3f}"
        assert shown["bootstrap"] == f"{row[f'{name}_boot_low']:.3f} to {row[f'{name}_boot_high']:.3f}"
        assert shown["overlap"] == f"{100 * row[f'{name}_overlap']:.0f} %"
        assert shown["interpolation"] == f"{row[f'{name}_interpolation']:.3f}"
        assert shown["mean of clips"].startswith(f"{row[f'clip_{name}']:.3f} (")
        assert shown["mean of clips"].endswith(f"), {row[f'clip_{name}_n']:.0f} of 16")
    for shown, row in zip(rate.to_dict("records"), table.to_dict("records"), strict=True):
        assert shown["BD-rate"] == f"{row['bd_rate']:.1f}"
        assert shown["displacement"] == f"{row['displacement']:.3f}"
    assert all(f"[{number}] " in line for number, line in enumerate(footnotes, 1))


def test_what_people_are_shown_fits_a_wide_terminal(run):
    encodes, scores = run
    usual = encodes[encodes["variant"] == "ra"], scores[scores["backend"] == "direct@lite"]
    tables, _ = for_people(bd_table(*usual, "codec=x264", "codec=x265", boot=200))
    assert all(len(line.rstrip()) <= 160 for _, shown in tables for line in plain(shown).splitlines())


def test_a_reason_is_told_once_and_named_where_something_is_missing():
    few = made(factors=(1, 4), subjects=4)[:2]
    table = bd_table(*few, "codec=x264", "codec=x265", per_clip=False)
    ((_, accuracy), (_, rate)), footnotes = for_people(table)
    assert footnotes == ["[1] only 4 subjects: an interval needs 6"]
    for shown in (accuracy, rate):
        assert set(shown["95 %"]) == {"none [1]"}
        assert not {"95 % of all", "bootstrap", "mean of clips"} & set(shown.columns), "nothing to show"
    three = made(factors=(1,), subjects=6, rates=(8, 16, 32))[:2]
    ((_, accuracy), _), footnotes = for_people(bd_table(*three, "codec=x264", "codec=x265"))
    assert accuracy["BD-CCC"].tolist() == ["none [1]"]
    assert footnotes == ["[1] the anchor has 3 distinct points; 4 are needed"]


def test_overlap_is_that_of_the_measure_beside_it(run):
    table = bd_table(*run, "codec=x264", "codec=x265", per_clip=False)
    table = table.assign(bd_rate=np.nan, bd_rate_overlap=np.nan, bd_accuracy_overlap=0.42)
    ((_, accuracy), (_, rate)), footnotes = for_people(table)
    (number,) = (i for i, line in enumerate(footnotes, 1) if "less than half" in line)
    assert set(accuracy["overlap"]) == {f"42 % [{number}]"}
    assert "overlap" not in rate.columns


def test_keys_that_differ_are_told_together_and_one_row_is_no_family(run):
    table = bd_table(*run, "factor=1,codec=x264,variant=ra,backend=other", "factor=best", per_clip=False)
    tables, _ = for_people(table)
    assert tables[0][1]["factor"].tolist() == ["best over 1"]
    assert tables[0][1]["codec"].tolist() == ["x264"]
    assert "95 % of all" not in tables[0][1].columns
    assert tables[0][0].endswith("over 8 subjects in 16 clips")


@pytest.mark.parametrize(
    ("metric", "value", "shown"),
    [("ccc", -0.0004, "0.000"), ("rmse", 12.345, "12.3"), ("ccc", -0.25, "-0.250")],
)
def test_numbers_have_the_digits_that_matter(run, metric, value, shown):
    table = bd_table(*run, "codec=x264,factor=4", "codec=x265", per_clip=False)
    ((_, accuracy), _), _ = for_people(table.assign(metric=metric, bd_accuracy=value))
    assert set(accuracy[f"BD-{metric.upper()}"]) == {shown}


def test_endless_ends_of_the_bootstrap_are_shown_with_their_reason(run):
    table = bd_table(*run, "codec=x264,factor=4", "codec=x265", per_clip=False)
    reason = "unbounded: 20 of 500 replicates have no value"
    table = table.assign(bd_rate_boot_low=-40.0, bd_rate_boot_high=np.inf, bd_rate_boot_reason=reason)
    (_, (_, rate)), footnotes = for_people(table)
    assert set(rate["bootstrap"]) == {"-40.0 to ∞ [1]"}
    assert footnotes[0] == f"[1] {reason}"


def test_relative_differences_belong_to_the_rows_of_the_table(run):
    sides = "codec=x264,backend=other", "codec=x265"
    table, along = bd_table(*run, *sides, per_clip=False), relative_differences(*run, *sides)
    assert len(along) == len(table) == 4
    pooled = pooling.pooled(*run)
    for row, (accuracy, difference, _) in zip(table.to_dict("records"), along, strict=True):
        two = []
        for codec in ("x264", "x265"):
            own = pooled[
                (pooled.codec == codec)
                & (pooled.variant == row["anchor_variant"])
                & (pooled.factor == int(row["anchor_factor"]))
                & (pooled.backend == "other")
            ]
            empty = np.zeros((0, len(own)))
            two.append(Side(np.log(own.bitrate_kbps.to_numpy()), own.value.to_numpy(), empty, empty))
        expected = relative_difference(*two)
        np.testing.assert_allclose(accuracy, expected[0])
        np.testing.assert_allclose(difference, expected[1])
    best = relative_differences(*run, "factor=1,codec=x264,variant=ra,backend=other", "factor=best")
    assert len(best[0][0])


def test_a_pair_is_doubted_where_its_deltas_contradict_each_other_or_one_rate_decides():
    better, dearer = Delta(0.02, 0.01, 0.03), Delta(0.1, 0.05, 0.15)
    assert doubts(better, Delta(-0.1, -0.15, -0.05)) == []
    assert doubts(Delta(float("nan")), dearer) == []
    (crossed,) = doubts(better, dearer)
    assert "the curves cross" in crossed
    (hangs,) = doubts(replace(better, interpolation_error=0.015), Delta(-0.1, -0.15, -0.05))
    assert hangs.startswith("BD of accuracy moves by up to 0.015 without one rate")
