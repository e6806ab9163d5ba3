from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from made_tables import made

from rdbench import verdict_formats
from rdbench.check import COLUMNS, check, parse_share
from rdbench.errors import InputError

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


def test_other_clips_are_not_comparable(tables):
    encodes, scores = tables
    for column, says in (
        ("source", "the clips differ"),
        ("subject", "another subject"),
        ("frames", "number of frames"),
    ):
        other = encodes.assign(**{column: encodes[column].astype(str) + "0" if column != "frames" else 61})
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


def test_curves_of_one_side_only_are_listed_and_do_not_decide(tables):
    encodes, scores = tables
    only = encodes[encodes.codec != "x265"]
    found = check((only, scores[scores.encode.isin(only.encode)]), tables)
    assert found.exit_code == 0
    assert set(found.rows[found.rows.codec == "x265"].reason) == {"only in the reference"}
    back = check(tables, (only, scores[scores.encode.isin(only.encode)]))
    assert set(back.rows[back.rows.codec == "x265"].reason) == {"only in the run"}
    nothing = check((only, scores), (encodes[encodes.codec == "x265"], scores))
    assert nothing.exit_code == 3
    assert nothing.overall == "not comparable"


@pytest.mark.parametrize("rate_only", [False, True])
def test_empty_tables_are_nothing_comparable(tables, rate_only):
    encodes, scores = tables
    nothing = encodes.iloc[:0], scores.iloc[:0]
    for pair in ((nothing, tables), (tables, nothing), (nothing, nothing)):
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
    assert x265.bd_rate.to_numpy() == pytest.approx(2, abs=1e-3)
    assert (
        check(
            (dearer(encodes, 0.02), nothing), (encodes, nothing), rate_only=True, max_bd_rate=0.03
        ).exit_code
        == 0
    )
    assert (found.rows.codec != "none").all()


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
    ],
)
def test_bad_settings_are_said(tables, options, says):
    with pytest.raises(InputError, match=says):
        check(tables, tables, **options)


@pytest.mark.parametrize(("text", "value"), [("1%", 0.01), ("0.01", 0.01), (" 2.5 % ", 0.025), ("0", 0.0)])
def test_tolerances_are_read(text, value):
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


def test_json_is_strict_and_complete(evil):
    def refuse(constant):
        raise AssertionError(constant)

    document = json.loads(verdict_formats.to_json(evil), parse_constant=refuse)
    assert set(document) == {
        *("schema", "overall", "exit_code", "settings", "counts", "curves", "notes", "left_out"),
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
