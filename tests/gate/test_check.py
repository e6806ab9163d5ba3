from __future__ import annotations

import json
from collections.abc import Sequence
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from made_tables import made

from rdbench.errors import InputError
from rdbench.gate import text as verdict_formats
from rdbench.gate.check import COLUMNS, check, parse_share
from rdbench.gate.judging import judge
from rdbench.tables.schema import MOMENTS

NAME = "<img src=x onerror=alert(1)>|`@x\x00"


@pytest.fixture(scope="module")
def tables():
    encodes, scores, _ = made(factors=(1, 4), subjects=12, mode="crf", uncoded=True)
    return encodes, scores


def dearer(encodes: pd.DataFrame, share: float, codec: str = "x265", sd: float = 0.0, seed: int = 0):
    """The codec's bits times 1 + share, give or take for each subject."""
    rng = np.random.default_rng(seed)
    each = {subject: np.exp(rng.normal(0, sd)) for subject in sorted(set(encodes.subject))}
    factor = np.where(encodes.codec == codec, (1 + share) * encodes.subject.map(each), 1.0)
    bits = encodes.payload_bits.astype(float) * factor
    return encodes.assign(payload_bits=bits.round().astype("Int64"))


def test_identical_tables_are_the_same_whatever_the_tolerance(tables):
    found = check(tables, tables, max_bd_rate=0.0, max_accuracy_drop=0.0)
    assert tuple(found.rows.columns) == COLUMNS
    assert (found.overall, found.exit_code) == ("same", 0)
    assert found.rows.identical.all()
    assert set(found.rows.reason) == {"identical"}
    few = made(factors=(1,), subjects=2, rates=(8, 16))[:2]
    assert check(few, few).exit_code == 0, "however few points and subjects"


@pytest.fixture(scope="module")
def mixed():
    """Valence, and expressions in four classes, of the same encodes."""
    encodes, valence, _ = made(factors=(1,), subjects=8, mode="crf", uncoded=True)
    classes = made(factors=(1,), subjects=8, mode="crf", uncoded=True, classes=2, targets=("expression",))[1]
    return encodes, pd.concat([valence, classes], ignore_index=True)


def constant_gold(scores: pd.DataFrame) -> pd.DataFrame:
    """Gold that varies neither within clips nor between them, so that there is no CCC."""
    here = scores.mean_pred.notna()
    moments = {"mean_gold": 0.3, "m2_gold": 0.0, "cov": 0.0}
    return scores.assign(**{name: scores[name].where(~here, value) for name, value in moments.items()})


def nothing_scored(scores: pd.DataFrame, target: str = "valence") -> pd.DataFrame:
    """The rows stand, each with a reason instead of a score."""
    gone = scores.target == target
    moments = {name: scores[name].astype(float).where(~gone) for name in MOMENTS}
    return scores.assign(**moments, reason=scores.reason.where(~gone, "the reference hardly varies"))


def refused(
    pair: tuple[pd.DataFrame, pd.DataFrame], rates: Sequence[float], clips: Sequence[str] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables as the sweep leaves them where x265 will not code these rates of these clips (or of any)."""
    encodes, scores = pair
    gone = (encodes.codec == "x265") & encodes.rate.isin(rates)
    gone &= encodes["clip"].isin(encodes["clip"] if clips is None else clips)
    counts = [name for name in encodes if name.endswith("_bits") and name != "box_bits"]
    bits = {name: encodes[name].astype("Int64").mask(gone) for name in counts}
    status = encodes.rate_status.where(~gone, "refused")
    return encodes.assign(**bits, rate_status=status), scores[~scores.encode.isin(encodes.encode[gone])]


def one_byte_more(encodes: pd.DataFrame, codec: str = "x265", rate: float = 64.0) -> pd.DataFrame:
    bits = encodes.payload_bits.astype("Int64")
    row = encodes.index[(encodes.codec == codec) & (encodes.rate == rate)][0]
    bits.loc[row] += 8
    return encodes.assign(payload_bits=bits)


def incomplete(pair: tuple[pd.DataFrame, pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Each clip lacks one point of its own."""
    encodes, scores = pair
    place = encodes["clip"].astype("category").cat.codes % 5
    gone = encodes.rate == np.array([4, 8, 16, 32, 64])[place]
    return encodes[~gone].reset_index(drop=True), scores[~scores.encode.isin(encodes.encode[gone])]


@pytest.mark.parametrize("metric", [None, "ccc", "f1"])
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda pair: pair, id="continuous and classes"),
        pytest.param(incomplete, id="no complete clip"),
        pytest.param(lambda pair: (pair[0], constant_gold(pair[1])), id="constant gold"),
        pytest.param(lambda pair: (pair[0], nothing_scored(pair[1])), id="a target without a score"),
        pytest.param(lambda pair: refused(pair, [4, 8]), id="refused points"),
        pytest.param(lambda pair: refused(pair, [4, 8, 16, 32, 64]), id="a refused codec"),
        pytest.param(lambda pair: (pair[0], pair[1].iloc[:0]), id="nothing scored"),
    ],
)
def test_whatever_a_run_lacks_it_is_the_same_as_itself(mixed, spoil, metric):
    pair = spoil(mixed)
    found = check(pair, pair, metric=metric, max_bd_rate=0.0, max_accuracy_drop=0.0)
    assert (found.overall, found.exit_code) == ("same", 0)
    assert set(found.rows.reason) == {"identical"}
    assert found.left_out == []
    assert (found.rows.clips == 8).all()
    alone = check(pair, pair, rate_only=True, max_bd_rate=0.0)
    assert (alone.overall, alone.exit_code, set(alone.rows.reason)) == ("same", 0, {"identical"})


def test_sizes_of_identical_curves_are_those_of_their_cells(mixed):
    rows = check(mixed, mixed).rows
    coded = rows[rows.codec != "none"]
    assert {tuple(row) for row in coded[["points", "subjects", "clips"]].to_numpy()} == {(5, 8, 8)}
    assert set(rows.points[rows.codec == "none"]) == {1}


def test_what_is_identical_does_not_hold_up_what_is_not(mixed):
    """Clips that are incomplete in an unchanged curve take part in a changed one."""
    encodes, scores = mixed
    gone = (encodes.codec == "x264") & (encodes.rate == 8) & (encodes["clip"] != "test00a")
    less = encodes[~gone].reset_index(drop=True), scores[~scores.encode.isin(encodes.encode[gone])]
    found = check((dearer(less[0], 0.05), less[1]), less, max_accuracy_drop=None)
    changed = found.rows[~found.rows.identical]
    assert set(changed.codec) == {"x265"}
    assert (changed.clips == 8).all()
    assert found.exit_code == 1


def test_what_differs_but_was_not_scored_is_not_comparable(mixed):
    bare = mixed[0], mixed[1].iloc[:0]
    found = check((one_byte_more(mixed[0]), bare[1]), bare)
    assert found.exit_code == 3
    assert set(found.rows.reason[found.rows.codec == "x265"]) == {
        "nothing was scored on either side; --rate-only compares bits alone"
    }
    assert set(found.rows.verdict[found.rows.codec == "x264"]) == {"same"}


def test_each_target_is_judged_by_its_own_metric(mixed):
    encodes, scores = mixed
    changed = dearer(encodes, 0.05), scores
    wide = check(changed, mixed, max_bd_rate=0.1, max_accuracy_drop=0.1)
    assert (wide.overall, wide.exit_code) == ("same", 0), "a run of both kinds can pass"
    metric = wide.rows.groupby("target").metric.unique()
    assert (list(metric["valence"]), list(metric["expression"])) == (["ccc"], ["accuracy"])
    assert wide.settings["metric"] is None
    narrow = check(changed, mixed, max_accuracy_drop=None)
    assert narrow.exit_code == 1
    assert set(narrow.rows.target[narrow.rows.verdict == "regressed"]) == {"valence", "expression"}
    assert check(mixed, (encodes, scores[scores.target == "valence"])).exit_code == 0


@pytest.mark.parametrize(("metric", "lacks"), [("ccc", "expression"), ("f1", "valence")])
def test_curves_that_cannot_give_the_metric_are_listed_and_do_not_decide(mixed, metric, lacks):
    encodes, scores = mixed
    changed = dearer(encodes, 0.05), scores
    wide = {"max_bd_rate": 0.2, "max_accuracy_drop": 0.2}
    found = check(changed, mixed, metric=metric, **wide)
    assert (found.overall, found.exit_code) == ("same", 0)
    assert found.settings["metric"] == metric
    out = found.rows[found.rows.verdict == "not comparable"]
    assert list(out.target) == [lacks]
    assert not out.decides.any()
    assert found.rows.decides.sum() == len(found.rows) - 1
    assert set(out.reason) == {f"neither side has a value of {metric}, so it does not decide"}
    only = scores[scores.target == lacks]
    part = only[only.encode.str.contains("x265")]
    assert check((changed[0], part), (encodes, part), metric=metric).exit_code == 3


@pytest.mark.parametrize("spoil", [constant_gold, nothing_scored])
def test_a_target_without_a_value_on_either_side_does_not_decide(spoil):
    encodes, scores, _ = made(factors=(1,), subjects=8, mode="crf", targets=("arousal", "valence"))
    bare = pd.concat([scores[scores.target == "arousal"], spoil(scores[scores.target == "valence"])])
    wide = {"max_bd_rate": 0.1, "max_accuracy_drop": 0.1}
    found = check((dearer(encodes, 0.05), bare), (encodes, bare), **wide)
    out = found.rows[found.rows.verdict == "not comparable"]
    assert list(zip(out.target, out.codec, out.decides, strict=True)) == [("valence", "x265", False)]
    assert found.exit_code == 0
    none = scores.mean_pred.where(scores.target != "valence")
    lost = check((dearer(encodes, 0.05), scores.assign(mean_pred=none)), (encodes, scores), **wide)
    assert lost.exit_code == 1, "but one that has lost its value does"
    assert set(lost.rows.reason[lost.rows.target == "valence"]) == {"every score, which the reference has"}


def test_a_scope_without_a_complete_clip_leaves_the_others_judged(mixed):
    encodes, scores = mixed
    kept = incomplete(mixed)[1]
    scores = pd.concat([scores[scores.target == "valence"], kept[kept.target == "expression"]])
    found = check((dearer(encodes, 0.05), scores), (encodes, scores), max_accuracy_drop=None)
    changed = found.rows[~found.rows.identical].set_index("target")
    assert changed.verdict["valence"] == "regressed"
    assert "No clip has a value at all" in changed.reason["expression"]
    assert changed.decides["expression"]


def test_the_order_of_rows_does_not_matter(tables):
    encodes, scores = tables
    shuffled = encodes.sample(frac=1, random_state=1), scores.sample(frac=1, random_state=2)
    assert check(shuffled, tables).rows.identical.all()


@pytest.mark.parametrize("rate_only", [False, True])
def test_one_byte_is_never_identical(tables, rate_only):
    encodes, scores = tables
    row = encodes.index[(encodes.codec == "x265") & (encodes.factor == 4)][7]
    bits = encodes.payload_bits.astype("Int64")
    bits.loc[row] += 8
    found = check((encodes.assign(payload_bits=bits), scores), tables, rate_only=rate_only)
    changed = found.rows[~found.rows.identical]
    assert len(changed) == 1
    row = changed.iloc[0]
    assert (row.codec, row.factor, row.payload_bits_change, row.encodes_changed) == ("x265", 4, 8, 1)
    assert row.verdict == "same", "but so little is within any tolerance"
    assert found.exit_code == 0
    assert "identical" not in row.reason


@pytest.mark.parametrize("column", ["mean_pred", "cov", "n", "psnr", "seconds", "rate_status"])
def test_any_other_difference_is_seen_too(tables, column):
    encodes, scores = tables
    table = scores if column in scores else encodes
    row = table.index[5]
    value = "missed" if column == "rate_status" else table[column].loc[row] * (1 + 1e-15) + 1e-15
    if column == "n":
        value = table["n"].loc[row] + 1
    changed = table.copy()
    changed.loc[row, column] = value
    if column not in ("rate_status", "n"):
        changed.loc[row, column] = np.nextafter(table[column].loc[row], np.inf)
    pair = (encodes, changed) if table is scores else (changed, scores)
    assert not check(pair, tables).rows.identical.all()


def test_a_dearer_codec_regresses_and_a_cheaper_one_improves(tables):
    encodes, scores = tables
    worse = check((dearer(encodes, 0.05, sd=0.005), scores), tables, max_accuracy_drop=None)
    assert (worse.overall, worse.exit_code) == ("regressed", 1)
    by_codec = worse.rows.groupby("codec").verdict.unique()
    assert by_codec["x265"] == ["regressed"]
    assert by_codec["x264"] == ["same"]
    row = worse.rows[worse.rows.codec == "x265"].iloc[0]
    assert row.bd_rate_low < row.bd_rate < row.bd_rate_high
    assert row.bd_rate == pytest.approx(5, abs=1)
    better = check((dearer(encodes, -0.05, sd=0.005), scores), tables, max_accuracy_drop=None)
    assert (better.overall, better.exit_code) == ("improved", 0)


def test_any_regressed_wins_over_any_improved(tables):
    encodes, scores = tables
    both = dearer(dearer(encodes, 0.06, "x264"), -0.06, "x265")
    found = check((both, scores), tables, max_accuracy_drop=None)
    assert found.counts()["improved"] == 2
    assert found.counts()["regressed"] == 2
    assert found.exit_code == 1


def test_lost_accuracy_regresses(tables):
    encodes, scores = tables
    worse = scores.assign(cov=scores["cov"] * 0.9)
    found = check((encodes, worse), tables, max_bd_rate=None)
    coded = found.rows[found.rows.codec != "none"]
    assert set(coded.verdict) == {"regressed"}
    assert (coded.bd_accuracy < -0.02).all()
    bare = found.rows[found.rows.codec == "none"]
    assert set(bare.verdict) == {"regressed"}, "without a codec the one point is compared"
    assert coded.largest_value_change.min() > 0.01


def test_what_the_interval_cannot_decide_is_inconclusive(tables):
    encodes, scores = tables
    noisy = dearer(encodes, 0.01, sd=0.08, seed=4), scores
    found = check(noisy, tables, max_accuracy_drop=None)
    assert found.overall == "inconclusive"
    assert found.exit_code == 3
    assert check(noisy, tables, max_accuracy_drop=None, allow_inconclusive=True).exit_code == 0
    row = found.rows[found.rows.verdict == "inconclusive"].iloc[0]
    assert row.bd_rate_detectable > 1
    assert "tolerance" in row.reason
    assert any("8 times in 10" in note for note in found.notes)
    wide = check(noisy, tables, max_accuracy_drop=None, max_bd_rate=0.5)
    assert wide.exit_code == 0


def test_a_gate_that_would_miss_its_tolerance_passes_nothing(tables):
    encodes, scores = tables
    better = dearer(encodes, -0.4, sd=0.06, seed=5), scores
    found = check(better, tables, max_accuracy_drop=None)
    sure = found.rows[found.rows.codec == "x265"]
    assert set(sure.verdict) == {"improved"}
    assert sure.bd_rate_detectable.min() > 1
    assert sure.underpowered.all()
    assert not found.rows[found.rows.identical].underpowered.any()
    assert (found.overall, found.exit_code) == ("inconclusive", 3)
    assert any("the gate cannot tell" in note for note in found.notes)
    assert "improved (⚠️ underpowered)" in verdict_formats.to_markdown(found)
    suite = ElementTree.fromstring(verdict_formats.to_junit(found).encode()).find("testsuite")
    assert suite is not None
    assert int(suite.get("errors", 0)) == len(sure) == len(suite.findall("testcase/error"))
    allowed = check(better, tables, max_accuracy_drop=None, allow_inconclusive=True)
    assert allowed.exit_code == 0
    wide = check(better, tables, max_accuracy_drop=None, max_bd_rate=0.2)
    assert (wide.overall, wide.exit_code, wide.rows.underpowered.any()) == ("improved", 0, False)
    worse = check((dearer(encodes, 0.4, sd=0.06, seed=5), scores), tables, max_accuracy_drop=None)
    assert worse.rows.underpowered.any()
    assert worse.exit_code == 1, "a regression that is seen is one"
    assert check(tables, tables, max_bd_rate=0.0, max_accuracy_drop=0.0).exit_code == 0


def test_few_subjects_or_points_are_inconclusive():
    small = made(factors=(1,), subjects=4, codecs=("x265",), mode="crf")[:2]
    found = check((dearer(small[0], 0.5), small[1]), small, max_accuracy_drop=None)
    assert found.exit_code == 3
    assert "only 4 subjects" in found.rows.reason[0]
    short = made(factors=(1,), subjects=8, codecs=("x265",), mode="crf", rates=(8, 16, 32))[:2]
    found = check((dearer(short[0], 0.5), short[1]), short, max_accuracy_drop=None)
    assert "3 distinct points" in found.rows.reason[0]


@pytest.mark.parametrize(
    ("name", "column"), [("weights", "weights"), ("encoder", "build"), ("profile", "profile")]
)
def test_what_differs_must_be_declared(tables, name, column):
    encodes, scores = tables
    pair = (encodes.assign(build="b2"), scores)
    if column == "profile":
        pair = (encodes.assign(profile="other"), scores)
    if column == "weights":
        pair = (encodes, scores.assign(weights="w2"))
    undeclared = check(pair, tables)
    assert undeclared.exit_code == 3
    assert set(undeclared.rows.verdict) == {"not comparable"}
    assert undeclared.rows.reason.str.contains(f"--vary {name}").all()
    assert check(pair, tables, vary=[name]).exit_code == 0


def test_what_an_encoder_makes_of_a_few_pictures_may_vary_with_the_profile_and_its_build_may_not(tables):
    encodes, scores = tables
    reference = encodes.assign(build="n9.0.2 b8e9691038b7baab x264 - core 165 5dbcb882aff1"), scores
    preset = "n9.0.2 b8e9691038b7baab x264 - core 165 3e3f4cc91d5e"
    other = "n9.0.2 b8e9691038b7baab x264 - core 164 3e3f4cc91d5e"
    changed = encodes.assign(build=preset, profile="another"), scores
    assert check(changed, reference, vary=["profile"]).exit_code == 0
    undeclared = check(changed, reference)
    assert undeclared.rows.reason.str.contains("--vary profile").all()
    rebuilt = check((encodes.assign(build=other, profile="another"), scores), reference, vary=["profile"])
    assert rebuilt.rows.reason.str.contains("--vary encoder").all()
    assert check((encodes.assign(build=preset), scores), reference).exit_code != 0


def test_other_clips_are_not_comparable(tables):
    encodes, scores = tables
    for column, says in (
        ("source", "the clips differ"),
        ("subject", "another subject"),
        ("frames", "number of frames"),
        ("width", "another size"),
    ):
        changed = encodes[column] + 1 if column in ("frames", "width") else encodes[column].astype(str) + "0"
        other = encodes.assign(**{column: changed})
        found = check((other, scores), tables, vary=["weights", "encoder", "profile"])
        assert found.exit_code == 3
        assert found.rows.reason.str.contains(says).all()


def test_another_gold_is_not_comparable(tables):
    encodes, scores = tables
    found = check((encodes, scores.assign(m2_gold=scores.m2_gold * 1.01)), tables, vary=["weights"])
    assert found.rows.reason.str.contains("gold").all()
    elsewhere = scores.assign(m2_gold=scores.m2_gold * (1 + 1e-12))
    assert check((encodes, elsewhere), tables).exit_code == 0, (
        "last digits are another machine, not another gold"
    )


def test_curves_of_the_run_only_are_listed_and_do_not_decide(tables):
    encodes, scores = tables
    only = encodes[encodes.codec != "x265"]
    found = check((only, scores[scores.encode.isin(only.encode)]), tables)
    assert (found.overall, found.exit_code) == ("lost", 1)
    lost = found.rows[found.rows.codec == "x265"]
    assert set(lost.reason) == {"the whole curve, which the reference has"}
    assert set(lost.verdict) == {"lost"}
    back = check(tables, (only, scores[scores.encode.isin(only.encode)]))
    assert set(back.rows[back.rows.codec == "x265"].reason) == {"only in the run"}
    assert back.exit_code == 0
    nothing = check((only, scores), (encodes[encodes.codec == "x265"], scores), allow_lost=["codec=x265"])
    assert nothing.exit_code == 3
    assert nothing.overall == "not comparable"


@pytest.mark.parametrize("rate_only", [False, True])
def test_empty_tables_are_nothing_comparable(tables, rate_only):
    encodes, scores = tables
    nothing = encodes.iloc[:0], scores.iloc[:0]
    assert check(nothing, tables, rate_only=rate_only).exit_code == 1, "all of it is lost"
    for pair in ((tables, nothing), (nothing, nothing)):
        found = check(*pair, rate_only=rate_only)
        assert (found.overall, found.exit_code) == ("not comparable", 3)
        assert "| equal |" not in verdict_formats.to_markdown(found)
        ElementTree.fromstring(verdict_formats.to_junit(found).encode())
        assert json.loads(verdict_formats.to_json(found))["exit_code"] == 3


def test_missing_clips_are_left_out_on_both_sides_and_told(tables):
    encodes, scores = tables
    less = encodes[encodes["clip"] != "test03a"]
    found = check((dearer(less, 0.05), scores), tables, max_accuracy_drop=None)
    assert (found.rows.clips == 11).all()
    assert found.rows.loc[found.rows.codec == "x265", "bd_rate"].to_numpy() == pytest.approx(5, abs=0.01)
    assert any("test03a" in line for line in found.left_out)
    assert not found.rows.identical.any()


def test_failed_units_are_told_by_the_exit_code(tables):
    encodes, scores = tables
    assert check(tables, tables, failed=3).exit_code == 4
    assert check((dearer(encodes, 0.05), scores), tables, failed=3).exit_code == 4


def test_bits_alone_are_compared_exactly(tables):
    encodes, scores = tables
    nothing = scores.iloc[:0]
    found = check((dearer(encodes, 0.02), nothing), (encodes, nothing), rate_only=True)
    assert found.exit_code == 1
    x265 = found.rows[found.rows.codec == "x265"]
    assert x265.quantiser_rate.to_numpy() == pytest.approx(2, abs=1e-3)
    assert (
        check(
            (dearer(encodes, 0.02), nothing), (encodes, nothing), rate_only=True, max_bd_rate=0.03
        ).exit_code
        == 0
    )
    assert (found.rows.codec != "none").all()


FOUR = ("test00a", "test01a", "test02a", "test03a")


def test_a_refused_encode_is_none_of_zero_bits(mixed):
    lost = refused(mixed, [4], FOUR)
    alone = "not comparable", "4 encodes have bits in the run alone", 3
    bits = [f"bit count of clip {clip} at rate 4" for clip in FOUR]
    gone = "lost", f"{', '.join(bits)}, which the reference has", 1
    for run, reference, expected in ((lost, mixed, gone), (mixed, lost, alone)):
        found = check(run, reference, rate_only=True, max_bd_rate=0.05)
        row = found.rows.set_index("codec").loc["x265"]
        assert (row.verdict, row.reason, found.exit_code) == expected
        assert row.payload_bits_change == 0, "what is summed has bits on both sides"
        assert row.decides


def test_points_refused_on_both_sides_are_dropped(mixed):
    reference = refused(mixed, [4])
    found = check((one_byte_more(reference[0]), reference[1]), reference, rate_only=True)
    row = found.rows.set_index("codec").loc["x265"]
    assert (row.verdict, row.points, row.payload_bits_change) == ("same", 4, 8)
    assert 0 < row.quantiser_rate < 0.01
    assert found.exit_code == 0
    dear = check((dearer(reference[0], 0.02), reference[1]), reference, rate_only=True)
    assert dear.rows.set_index("codec").quantiser_rate["x265"] == pytest.approx(2, abs=1e-3)
    some = refused(mixed, [4], FOUR)
    found = check((one_byte_more(some[0]), some[1]), some, rate_only=True)
    assert found.rows.set_index("codec").points["x265"] == 5, "of the clips that have bits on both sides"
    assert found.exit_code == 0
    assert found.left_out == [
        "point frame 1 x265 ra crf 4 was refused for 4 of 8 clips in the run and 4 of 8 clips in the reference"
    ]
    nothing = refused(mixed, [4, 8, 16, 32, 64])
    other = nothing[0].assign(reason=nothing[0].rate_status.where(nothing[0].rate_status == "refused"))
    found = check((other, nothing[1]), nothing, rate_only=True)
    assert not found.rows.set_index("codec").decides["x265"]
    assert found.exit_code == 0


def test_bits_alone_list_what_one_side_lacks(mixed):
    encodes, scores = mixed
    gone = (encodes["clip"] == "test00a") | (
        (encodes.codec == "x265") & (encodes.rate == 8) & encodes["clip"].isin(FOUR)
    )
    found = check((encodes[~gone], scores), mixed, rate_only=True)
    assert found.left_out == [
        "clip test00a is only in the reference",
        "point frame 1 x265 ra crf 8 is only in the reference for 3 clips",
    ]
    assert found.exit_code == 1
    assert found.rows.reason[1].startswith("subject test00, row of clip test01a at rate 8, row of")
    some = check(
        (encodes[~gone], scores), mixed, rate_only=True, allow_lost=["clip=test00a", "codec=x265,rate=8"]
    )
    assert (some.overall, some.exit_code) == ("same", 0)
    assert found.rows.clips.tolist() == [7, 7]
    assert (
        check(mixed, (encodes[~gone], scores), rate_only=True).left_out[0]
        == "clip test00a is only in the run"
    )


def test_a_newly_refused_point_is_left_out_and_told(mixed):
    lost = refused(mixed, [4], FOUR)
    found = check(lost, mixed, max_bd_rate=0.1, max_accuracy_drop=0.1)
    assert found.exit_code == 1
    assert "point frame 1 x265 ra crf 4 was refused for 4 of 8 clips in the run" in found.left_out
    changed = found.rows[~found.rows.identical]
    assert set(changed.points) == {4}
    for text in (
        verdict_formats.to_markdown(found),
        verdict_formats.to_junit(found),
        verdict_formats.to_json(found),
    ):
        assert "was refused for 4 of 8 clips in the run" in text


@pytest.mark.parametrize("rate_only", [False, True])
def test_a_codec_that_is_refused_altogether_does_not_drop_out_unseen(mixed, rate_only):
    found = check(refused(mixed, [4, 8, 16, 32, 64]), mixed, rate_only=rate_only)
    gone = found.rows[found.rows.codec == "x265"]
    assert found.exit_code == 1
    assert gone.decides.all()
    assert set(gone.verdict) == {"lost"}
    back = check(mixed, refused(mixed, [4, 8, 16, 32, 64]), rate_only=rate_only)
    assert back.exit_code == 3
    assert (
        back.rows[back.rows.codec == "x265"]
        .reason.str.contains("every encode was refused in the reference|have bits in the run alone")
        .all()
    )


@pytest.mark.parametrize("rate_only", [False, True])
def test_boxes_are_charged_where_asked_for(mixed, rate_only):
    encodes, scores = mixed
    # As many bits as the payload of the reference: without boxes nothing has changed.
    run = encodes.assign(box_bits=(encodes.box_bits.astype("Int64") + encodes.payload_bits.astype("Int64")))
    options = {"rate_only": rate_only, "max_bd_rate": 0.5, "max_accuracy_drop": 0.2}
    free = check((run, scores), mixed, **options)
    assert (free.overall, free.exit_code, free.settings["charge_boxes"]) == ("same", 0, False)
    assert (free.rows.payload_bits_change == 0).all()
    charged = check((run, scores), mixed, charge_boxes=True, **options)
    coded = charged.rows[charged.rows.codec != "none"]
    assert set(coded.verdict) == {"regressed"}
    measure = coded.quantiser_rate if rate_only else coded.bd_rate
    assert measure.to_numpy() == pytest.approx(100, abs=6)
    own = encodes[encodes.codec == "x265"]
    expected = own.payload_bits.sum() + own.box_bits.sum()
    assert set(coded.payload_bits[coded.codec == "x265"]) == {expected}


def test_either_tolerance_may_be_none(tables):
    encodes, scores = tables
    dear = dearer(encodes, 0.05, sd=0.005), scores.assign(mean_pred=scores.mean_pred + 1e-9)
    rate = check(dear, tables, max_accuracy_drop=None)
    assert rate.rows.bd_accuracy.isna().all()
    bare = rate.rows[rate.rows.codec == "none"]
    assert (set(bare.verdict), bare.decides.any()) == ({"not comparable"}, False), (
        "without a codec nothing is left"
    )
    assert rate.exit_code == 1
    assert check(dear, tables, max_accuracy_drop=None, max_bd_rate=0.1).exit_code == 0
    accuracy = check(dear, tables, max_bd_rate=None, max_accuracy_drop=0.1)
    assert accuracy.rows.bd_rate.isna().all()
    assert accuracy.exit_code == 0


def test_fewer_comparisons_make_a_sharper_gate(tables):
    encodes, scores = tables
    noisy = dearer(encodes, 0.02, sd=0.03, seed=1), scores
    both, rate = check(noisy, tables), check(noisy, tables, max_accuracy_drop=None)
    changed = ~both.rows.identical
    assert (rate.rows.bd_rate_detectable < both.rows.bd_rate_detectable)[changed].all()


def test_classes_are_judged_by_accuracy():
    pair = made(factors=(1,), subjects=8, classes=4, mode="crf")[:2]
    found = check((dearer(pair[0], 0.3), pair[1]), pair, max_accuracy_drop=None)
    assert found.settings["metric"] == "accuracy"
    assert found.exit_code == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"vary": ["weight"]}, "did you mean 'weights'"),
        ({"vary": ["x"]}, "There are weights, encoder, profile"),
        ({"max_bd_rate": None, "max_accuracy_drop": None}, "Nothing is judged"),
        ({"max_bd_rate": None, "rate_only": True}, "Nothing is judged"),
        ({"metric": "mae"}, "no metric 'mae'; there are ccc"),
        ({"bits": "box"}, "no 'box' bits; there are payload"),
    ],
)
def test_bad_settings_are_said(tables, options, says):
    with pytest.raises(InputError, match=says):
        check(tables, tables, **options)


@pytest.mark.parametrize(("text", "value"), [("1%", 0.01), ("0.01", 0.01), (" 2.5 % ", 0.025), ("0", 0.0)])
def test_tolerances_are_read(text, value):
    assert parse_share("none") is parse_share(" None") is None
    assert parse_share(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "one", "-1%", "nan", "inf", "1%%"])
def test_tolerances_that_are_none_are_refused(text):
    with pytest.raises(InputError, match="tolerance is a number"):
        parse_share(text)


@pytest.fixture(scope="module")
def evil(tables):
    encodes, scores = tables
    scores = scores.assign(backend=NAME)
    found = check((dearer(encodes, 0.05), scores), (encodes, scores))
    assert found.exit_code == 1
    return found


def test_markdown_holds_what_is_in_it(evil):
    text = verdict_formats.to_markdown(evil)
    assert text.startswith("### rdbench check: regressed\n")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(evil.rows)
    for line in table[2:]:
        bare = line.replace("\\|", "")
        assert bare.count("|") == 7
        cell = bare.split("|")[1].strip()
        assert cell.startswith("`")
        assert cell.endswith("`")
        assert "`" not in cell[1:-1], "a name stays inside of its code span"
    assert "regressed" in table[2], "the worst comes first"


def test_junit_has_one_case_a_curve(evil, tables):
    root = ElementTree.fromstring(verdict_formats.to_junit(evil).encode())
    suite = root.find("testsuite")
    assert suite is not None
    cases = suite.findall("testcase")
    assert len(cases) == int(suite.get("tests", 0)) == len(evil.rows)
    assert int(suite.get("failures", 0)) == len(suite.findall("testcase/failure")) == 2
    assert "<img src=x onerror=alert(1)>" in cases[0].get("name", "")
    noisy = check((dearer(tables[0], 0.01, sd=0.08, seed=4), tables[1]), tables, max_accuracy_drop=None)
    root = ElementTree.fromstring(verdict_formats.to_junit(noisy).encode())
    suite = root.find("testsuite")
    assert suite is not None
    assert int(suite.get("errors", 0)) == len(suite.findall("testcase/error")) > 0
    assert int(suite.get("skipped", 0)) == len(suite.findall("testcase/skipped"))


def junit(verdict):
    """The number of errors, and each case with the kind of its outcome."""
    suite = ElementTree.fromstring(verdict_formats.to_junit(verdict).encode()).find("testsuite")
    cases = {}
    for case in suite.findall("testcase"):
        outcome = [part.tag for part in case if part.tag in ("failure", "error", "skipped")]
        assert len(outcome) <= 1
        cases[case.get("name")] = outcome[0] if outcome else "passed"
    for attribute, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(suite.get(attribute)) == list(cases.values()).count(kind)
    assert int(suite.get("tests")) == len(cases)
    return int(suite.get("errors")), cases


def test_junit_is_red_where_the_gate_is(tables):
    encodes, scores = tables
    undeclared = check((encodes.assign(profile="other"), scores), tables)
    assert undeclared.exit_code == 3
    errors, cases = junit(undeclared)
    assert errors == len(undeclared.rows) + 1, "each curve, and that nothing was compared"
    assert cases["comparison"] == "error"
    some = encodes.profile.where(encodes.codec != "x265", "other")
    part = check((encodes.assign(profile=some), scores), tables)
    errors, cases = junit(part)
    assert (part.exit_code, errors, list(cases.values()).count("passed")) == (3, 2, 4)
    allowed = check((encodes.assign(profile=some), scores), tables, allow_inconclusive=True)
    errors, cases = junit(allowed)
    assert (allowed.exit_code, errors, list(cases.values()).count("skipped")) == (0, 0, 2)


def test_junit_tells_failed_units(tables):
    failed = check(tables, tables, failed=3)
    assert failed.exit_code == 4
    errors, cases = junit(failed)
    assert (errors, cases["units of the run"]) == (1, "error")
    assert "3 units" in verdict_formats.to_junit(failed)
    assert json.loads(verdict_formats.to_json(failed))["failed"] == 3
    assert "units of the run" not in junit(check(tables, tables))[1]


@pytest.mark.parametrize("rate_only", [False, True])
def test_junit_skips_what_does_not_decide(tables, rate_only):
    encodes, scores = tables
    only = encodes[encodes.codec != "x265"]
    less = only, scores[scores.encode.isin(only.encode)]
    found = check(tables, less, rate_only=rate_only)
    errors, cases = junit(found)
    assert (found.exit_code, errors, list(cases.values()).count("skipped")) == (0, 0, 2)
    errors, cases = junit(check(less, tables, rate_only=rate_only))
    assert (errors, list(cases.values()).count("failure")) == (0, 2)
    other = encodes[encodes.codec == "x265"], scores
    nothing = check((only, scores), other, rate_only=rate_only, allow_lost=["codec=x265"])
    errors, cases = junit(nothing)
    assert (nothing.exit_code, errors) == (3, 1)
    assert cases.pop("comparison") == "error"
    assert set(cases.values()) == {"skipped"}


def test_json_is_strict_and_complete(evil):
    def refuse(constant):
        raise AssertionError(constant)

    document = json.loads(verdict_formats.to_json(evil), parse_constant=refuse)
    assert set(document) == {
        *("schema", "overall", "exit_code", "settings", "counts", "curves", "notes", "left_out", "failed"),
    }
    assert document["exit_code"] == 1
    assert [set(curve) == set(COLUMNS) for curve in document["curves"]] == [True] * len(evil.rows)
    assert document["curves"][0]["backend"] == NAME
    assert any(curve["payload_change"] is None for curve in document["curves"])


def test_every_format_takes_a_verdict_of_bits_alone(tables):
    encodes, scores = tables
    found = check((dearer(encodes, 0.02), scores), tables, rate_only=True)
    assert "frame x265/ra 1/4 crf" in verdict_formats.to_markdown(found)
    ElementTree.fromstring(verdict_formats.to_junit(found).encode())
    json.loads(verdict_formats.to_json(found))


def test_fewer_bits_at_a_quantiser_are_no_gain_where_the_picture_is_coarser(tables):
    encodes, scores = tables
    for share, decibels, verdict in (
        (-0.19, -0.6, "inconclusive"),
        (-0.19, 0.6, "improved"),
        (0.19, 0.6, "inconclusive"),
        (0.19, -0.6, "regressed"),
        (0.19, np.nan, "inconclusive"),
        (0.0, -0.6, "inconclusive"),
        (0.0, 0.6, "same"),
    ):
        psnr = encodes.psnr.astype(float) + np.where(encodes.codec == "x265", decibels, 0.0)
        run = dearer(encodes, share).assign(psnr=psnr), scores
        found = check(run, tables, rate_only=True).rows
        x265 = found[found.codec == "x265"]
        assert set(x265.verdict) == {verdict}
        assert x265.bd_rate.isna().all(), "nothing is said of bits at equal accuracy"
        assert x265.quantiser_rate.to_numpy() == pytest.approx(100 * share, abs=0.01)
    shown = verdict_formats.for_people(check(run, tables, rate_only=True))
    assert "bits at equal quantiser" in shown
    assert "bits at equal accuracy" not in shown


@pytest.mark.parametrize(
    ("drop", "spread", "verdict"),
    [(0.0, 0.001, "improved"), (0.0, 0.05, "inconclusive"), (0.1, 0.001, "regressed")],
)
def test_improved_needs_that_nothing_may_have_got_worse(drop, spread, verdict):
    rng = np.random.default_rng(2)
    cheaper, accuracy = rng.normal(-0.4, 0.01, 12), rng.normal(0, spread, 12)
    accuracy += -drop - accuracy.mean()
    measures = [(x.mean(keepdims=True), ((x.sum() - x) / (len(x) - 1))[None]) for x in (cheaper, accuracy)]
    assert judge(*measures, tolerances=[(0.03, 0.01)]) == [[verdict]]
    assert judge(measures[0], tolerances=[(0.03, None)]) == [["improved"]]


def test_only_primary_curves_must_be_shown_to_be_no_worse(tables):
    encodes, scores = tables
    noisy = dearer(encodes, 0.01, sd=0.08, seed=4), scores
    options = {"max_accuracy_drop": None}
    assert check(noisy, tables, **options).exit_code == 3
    found = check(noisy, tables, primary=["codec=x264"], **options)
    assert (found.overall, found.exit_code) == ("same", 0)
    assert set(found.rows.codec[found.rows.decides]) == {"x264"}
    assert check(noisy, tables, primary=["codec=x265,factor=4"], **options).exit_code == 3
    worse = dearer(encodes, 0.4), scores
    assert check(worse, tables, primary=["codec=x264"], **options).exit_code == 1, "what is seen is seen"
    for text, says in (("codec=vp9", "names no curve"), ("rate=4", "of no whole curve")):
        with pytest.raises(InputError, match=says):
            check(noisy, tables, primary=[text])


def test_a_gain_that_may_be_large_is_no_reason_to_fail(tables):
    encodes, scores = tables
    found = check(
        (dearer(encodes, -0.03, sd=0.012, seed=4), scores), tables, max_bd_rate=0.03, max_accuracy_drop=None
    )
    assert set(found.rows.verdict[found.rows.codec == "x265"]) == {"not worse"}
    assert (found.overall, found.exit_code) == ("not worse", 0)


@pytest.fixture(scope="module")
def reaching():
    encodes, scores, _ = made(
        factors=(1,), subjects=12, mode="crf", rates=(8, 16, 32, 64, 128, 256), uncoded=True
    )
    return encodes, scores


def test_the_rate_at_a_target_is_judged_where_it_is_asked_for(reaching):
    encodes, scores = reaching
    dear = dearer(encodes, 0.2, sd=0.005), scores
    wide = {"max_bd_rate": 0.5, "max_accuracy_drop": 0.5}
    assert check(dear, reaching, **wide).exit_code == 0
    found = check(dear, reaching, **wide, max_target_rate=0.1, keep="80%")
    row = found.rows[found.rows.codec == "x265"].iloc[0]
    assert (row.verdict, row.reason) == ("regressed", "rate at the target")
    assert found.exit_code == 1
    assert row.target_rate_low < row.target_rate < row.target_rate_high
    assert row.target_rate == pytest.approx(20, abs=1.5)
    assert check(dear, reaching, **wide, max_target_rate=0.5, keep="80%").exit_code == 0
    assert "bits at the target" in verdict_formats.to_markdown(found)


def test_a_target_that_is_not_reached_is_no_pass(reaching):
    encodes, scores = reaching
    wide = {"max_bd_rate": 0.5, "max_accuracy_drop": 0.5, "max_target_rate": 0.1}
    found = check((dearer(encodes, 0.01), scores), reaching, **wide, keep="0.999")
    row = found.rows[found.rows.codec == "x265"].iloc[0]
    assert (row.verdict, found.exit_code) == ("inconclusive", 3)
    assert "not reached" in row.reason


def test_a_share_needs_uncoded_pictures_of_the_reference(reaching):
    encodes, scores = reaching
    coded = encodes[encodes.codec != "none"]
    bare = coded, scores[scores.encode.isin(coded.encode)]
    found = check(
        (dearer(coded, 0.01), bare[1]), bare, max_bd_rate=0.5, max_accuracy_drop=0.5, max_target_rate=0.1
    )
    assert found.exit_code == 3
    assert "no uncoded pictures" in " ".join(found.rows.reason)


def test_curves_over_unlike_subjects_are_one_family():
    encodes, scores, _ = made(factors=(1,), subjects=16, mode="crf", targets=("arousal", "valence"))
    who = scores.encode.map(encodes.set_index("encode").subject)
    part = scores[(scores.target == "arousal") | (who < "test12")]
    noisy = dearer(encodes, 0.0, sd=0.05), part
    rows = check(noisy, (encodes, part), max_accuracy_drop=None).rows.set_index(["target", "codec"])
    assert rows.loc[("arousal", "x265"), "subjects"] == 16
    assert rows.loc[("valence", "x265"), "subjects"] == 12
    one = check(
        (noisy[0], part[part.target == "arousal"]),
        (encodes, part[part.target == "arousal"]),
        max_accuracy_drop=None,
    )
    alone = one.rows.set_index("codec").loc["x265"]
    both = rows.loc[("arousal", "x265")]
    ratio = (both.bd_rate_high - both.bd_rate_low) / (alone.bd_rate_high - alone.bd_rate_low)
    # They go together, so a family of two costs less than halving the allowance for each would.
    assert 1.0 <= ratio < 1.16
