"""Findings on claims as people and programs read them, and which of its members decides a claim."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import made_tables

from rdbench.methods.claims import Claim
from rdbench.methods.findings import ENDPOINT, MEMBERS, VERDICTS, Finding, evaluate_file
from rdbench.methods.text import closest, members_for_people, to_csv, to_json, to_markdown, to_text

DOCS = Path(__file__).parents[2] / "docs" / "output.md"
ALL = pytest.mark.parametrize("write", [to_text, to_markdown, to_csv, to_json])


def member(**values: object) -> dict[str, object]:
    """A row as `evaluate` makes it, of a comparison that was made."""
    made = dict.fromkeys(MEMBERS, np.nan) | {
        "better": "max-mix@lite", "than": "hr@lite", "measure": "ccc", "margin": 0.0, "region": "face",
        "codec": "none", "variant": "none", "mode": "none", "factor": "4", "target": "valence",
        "gold": "labels", "scoring": "plain", "better_value": 0.5, "than_value": 0.375, "value": 0.125,
        "low": 0.1, "high": 0.15, "sim_low": 0.0625, "sim_high": 0.1875, "verdict": "holds",
        "better_seeds": 5, "than_seeds": 5, "paired_seeds": 0, "subjects": 8, "clips": 16,
        "better_seed_variance": 0.0004, "than_seed_variance": 0.0012, "seed_variance": 0.0016, "subject_variance": 0.0016, "freedom": 9.5,
        "chosen_on": "", "remark": "", "warning": "", "reason": "",
    }  # fmt: skip
    assert set(values) <= set(made)
    return made | values


def absent(**values: object) -> dict[str, object]:
    """A row as `evaluate` makes it, of a comparison that could not be made."""
    kept = ("better", "than", "measure", "margin", "region", "codec", "factor", "target", "gold", "scoring")
    words = dict.fromkeys(("variant", "mode", "chosen_on", "remark", "warning"), "")
    made = dict.fromkeys(MEMBERS, np.nan) | {name: member()[name] for name in kept} | words
    return made | {"verdict": "cannot be told", "reason": "there are no rows of it"} | values


def finding(
    *rows: dict[str, object],
    verdict: str = "holds",
    reason: str = "",
    notes: tuple[str, ...] = (),
    **claim: Any,
) -> Finding:
    said = {"sentence": "one is better", "better": "max-mix@lite", "than": "hr@lite", "factors": (4,)}
    if str(claim.get("measure", "")).startswith("bd-"):
        said["codecs"] = ("x264",)
    table = pd.DataFrame(list(rows or (member(),)), columns=list(MEMBERS))
    return Finding(Claim(**(said | claim)), verdict, reason, table, list(notes), endpoint(table))


def endpoint(table: pd.DataFrame) -> dict[str, Any]:
    """A mean over the members, as `evaluate` makes it; none where no member has an interval."""
    made: dict[str, Any] = dict.fromkeys(ENDPOINT, np.nan)
    have = int(table["low"].notna().sum())
    made |= {"verdict": "cannot be told", "members": have, "of": len(table), "reason": "" if have else "none"}
    numbers = {"value": 0.25, "low": 0.125, "high": 0.375, "p": 0.002, "p_adjusted": 0.004, "freedom": 9.5}
    return made | (numbers | {"seed_variance": 0.0016, "subject_variance": 0.0009} if have else {})


def coded(**values: object) -> dict[str, object]:
    """A row of curves."""
    own = {"measure": "bd-rate", "region": "frame", "codec": "x264", "variant": "ra", "mode": "abr"}
    delta = {"better_value": np.nan, "than_value": np.nan, "value": -12.5, "low": -20.0, "high": -5.0}
    pairs = {"overlap": 0.75, "pair_mean": -11.25, "pairs": 25, "pairs_without": 0}
    return member(**(own | delta | {"sim_low": -25.0, "sim_high": -1.5} | pairs | values))


def strict(text: str) -> Any:
    """JSON as the standard has it, without NaN or infinity."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def documented(after: str, before: str) -> list[str]:
    """Names in backquotes in the part of the page on `rdbench claims`, what stands in parentheses aside."""
    section = DOCS.read_text(encoding="utf-8").partition("## rdbench claims\n")[2].partition("\n## ")[0]
    part = section.partition(after)[2].partition(before)[0]
    names = re.findall("`([a-z_]+)`", re.sub(r"\([^)]*\)", "", part))
    assert names
    return names


# Which member decides

INTERVALS = {
    # factor: value, ends of its own interval, simultaneous ends. Each end is the least or the largest once.
    "1": (0.15, (-0.05, 0.35), (-0.60, 0.90)),
    "2": (-0.14, (-0.16, -0.12), (-0.18, -0.10)),
    "3": (-0.15, (-0.32, 0.02), (-0.40, 0.10)),
    "4": (0.22, (0.18, 0.26), (0.16, 0.28)),
    "6": (0.25, (0.05, 0.45), (-0.25, 0.75)),
    "8": (0.30, (-0.35, 0.95), (-0.59, 0.89)),
}


def spread(sign: float = 1.0, **claim: Any) -> Finding:
    rows = []
    for factor, (value, plain, family) in INTERVALS.items():
        ends = [sorted(sign * end for end in pair) for pair in (plain, family)]
        rows.append(
            absent(factor=factor)
            | dict(zip(("low", "high", "sim_low", "sim_high"), (*ends[0], *ends[1]), strict=True))
            | {"value": sign * value}
        )
    return finding(*rows, **claim)


@pytest.mark.parametrize(
    ("measure", "verdict", "factor"),
    [
        ("ccc", "holds", "1"),
        ("ccc", "cannot be told", "1"),
        ("ccc", "does not hold", "2"),
        ("bd-ccc", "holds", "1"),
        ("bd-ccc", "does not hold", "2"),
        ("rmse", "holds", "1"),
        ("rmse", "cannot be told", "1"),
        ("rmse", "does not hold", "4"),
        ("bd-rate", "cannot be told", "1"),
        ("bd-rate", "does not hold", "4"),
    ],
)
def test_the_member_that_decides_is_the_worst_of_all_by_its_simultaneous_interval(
    measure: str, verdict: str, factor: str
) -> None:
    decides = closest(spread(measure=measure, verdict=verdict))
    assert decides is not None
    assert decides["factor"] == factor
    assert (decides["sim_low"], decides["sim_high"]) == INTERVALS[factor][2]


@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize(("rising", "falling"), [("ccc", "rmse"), ("bd-ccc", "bd-rate")])
def test_where_less_is_better_the_same_member_decides_with_its_ends_turned(
    verdict: str, rising: str, falling: str
) -> None:
    there = closest(spread(measure=rising, verdict=verdict))
    turned = closest(spread(-1.0, measure=falling, verdict=verdict))
    assert there is not None
    assert turned is not None
    assert turned["factor"] == there["factor"]


def test_a_member_without_an_interval_decides_nothing() -> None:
    one = finding(absent(factor="1"), member(factor="2"), absent(factor="3"), verdict="cannot be told")
    decides = closest(one)
    assert decides is not None
    assert list(decides) == list(MEMBERS)
    assert decides["factor"] == "2"
    assert closest(finding(absent(), absent(factor="8"), verdict="cannot be told")) is None
    no_interval = member(low=np.nan, high=np.nan, sim_low=np.nan, sim_high=np.nan, verdict="cannot be told")
    assert closest(finding(no_interval, verdict="cannot be told")) is None


ENDS = st.tuples(st.floats(-1, 1), st.floats(-1, 1)).map(sorted)


@settings(max_examples=40)
@given(
    st.lists(st.none() | ENDS, min_size=1, max_size=6),
    st.sampled_from(["ccc", "rmse", "bd-ccc", "bd-rate"]),
    st.sampled_from(VERDICTS),
)
def test_no_member_is_worse_than_the_one_that_decides(
    ends: list[list[float] | None], measure: str, verdict: str
) -> None:
    rows = [absent() if pair is None else member(sim_low=pair[0], sim_high=pair[1]) for pair in ends]
    decides = closest(finding(*rows, measure=measure, verdict=verdict))
    have = [pair for pair in ends if pair is not None]
    if not have:
        assert decides is None
        return
    assert decides is not None
    if measure in ("ccc", "bd-ccc"):
        end, worst = ("sim_high", min) if verdict == "does not hold" else ("sim_low", min)
    else:
        end, worst = ("sim_low", max) if verdict == "does not hold" else ("sim_high", max)
    assert decides[end] == worst(pair[end == "sim_high"] for pair in have)


# For people


def test_text_is_the_verdict_the_sentence_what_decides_and_the_members() -> None:
    marks = "max-mix@lite: 3 seeds: fewer than 5; hr@lite: 1 seed: subjects only"
    one = finding(
        member(remark=marks),
        member(factor="8", sim_low=0.03125, remark=marks.partition("; ")[0]),
        factors=(4, 8),
    )
    lines = [line.rstrip() for line in to_text([one]).splitlines()]
    assert lines[:6] == [
        "HOLDS: one is better",
        "  mean of 2: +0.250 (+0.125 to +0.375), p 0.004 over the file",
        "  worst, valence, factor 8: +0.125 (+0.031 to +0.188)",
        "  hr@lite: 1 seed: subjects only",
        "  max-mix@lite: 3 seeds: fewer than 5",
        "",
    ]
    assert lines[6].split() == members_text(one)[0]
    assert [line.split() for line in lines[7:]] == members_text(one)[1:]
    assert len(lines) == 6 + 1 + 2


def members_text(one: Finding) -> list[list[str]]:
    shown = members_for_people(one)
    return [
        " ".join(map(str, row)).split() for row in (shown.columns, *shown.itertuples(index=False, name=None))
    ]


def test_text_of_several_claims_has_an_empty_line_between_them() -> None:
    text = to_text([finding(), finding(sentence="another", verdict="does not hold")])
    first, second = text.split("\n\nDOES NOT HOLD: another\n")
    assert first.startswith("HOLDS: one is better\n")
    assert "max-mix@lite" in second


def test_text_says_why_it_cannot_be_told() -> None:
    one = finding(absent(), verdict="cannot be told", reason="hr@lite was not scored")
    lines = to_text([one]).splitlines()
    assert lines[:3] == ["CANNOT BE TOLD: one is better", "  hr@lite was not scored", ""]


@pytest.mark.parametrize(
    ("row", "claim", "says"),
    [
        (member(), {}, "  worst, valence, factor 4: +0.125 (+0.062 to +0.188)"),
        (
            member(value=-0.0126, sim_low=-0.5, sim_high=0.0),
            {"measure": "rmse"},
            "  worst, valence, factor 4: -0.013 (-0.500 to +0.000)",
        ),
        (coded(), {"measure": "bd-rate"}, "  worst, valence, x264, factor 4: -12.5 % (-25.0 % to -1.5 %)"),
        (
            coded(factor="best", value=0.0625, sim_low=0.03125, sim_high=0.125),
            {"measure": "bd-ccc"},
            "  worst, valence, x264, factor best: +0.062 (+0.031 to +0.125)",
        ),
    ],
    ids=["ccc", "rmse", "bd-rate", "bd-ccc"],
)
def test_numbers_have_a_sign_and_bits_are_in_per_cent(row: dict, claim: dict, says: str) -> None:
    assert says in to_text([finding(row, **claim)]).splitlines()


def test_members_of_uncoded_pictures_show_both_families() -> None:
    shown = members_for_people(finding())
    assert dict(shown.iloc[0]) == {
        "target": "valence",
        "factor": "4",
        "max-mix@lite": "0.500",
        "hr@lite": "0.375",
        "difference": "+0.125",
        "95 %": "+0.100 to +0.150",
        "95 % of all": "+0.062 to +0.188",
        "± seeds": "0.040",
        "± subjects": "0.040",
        "seeds": "5 and 5",
        "subjects": "8",
        "verdict": "holds",
    }


def test_members_of_curves_show_the_codec_and_the_pairs() -> None:
    row = coded(better_seeds=3, than_seeds=3, paired_seeds=3, seed_variance=0.0009)
    shown = members_for_people(finding(row, measure="bd-rate"))
    assert dict(shown.iloc[0]) == {
        "target": "valence",
        "codec": "x264",
        "factor": "4",
        "bd-rate": "-12.5 %",
        "95 %": "-20.0 % to -5.0 %",
        "95 % of all": "-25.0 % to -1.5 %",
        "± seeds": "0.030",
        "± subjects": "0.040",
        "seeds": "3 pairs",
        "subjects": "8",
        "pairs of seeds": "-11.2 %",
        "verdict": "holds",
    }


@pytest.mark.parametrize("name", ["variant", "mode"])
def test_a_column_that_says_the_same_everywhere_is_left_out(name: str) -> None:
    rows = [coded(), coded(**{name: "other"})]
    assert name in members_for_people(finding(*rows, measure="bd-rate"))
    assert name not in members_for_people(finding(coded(), coded(), measure="bd-rate"))
    lacking = absent(codec="x264", measure="bd-rate")
    assert lacking[name] == ""
    assert name not in members_for_people(finding(coded(), lacking, measure="bd-rate"))


def test_what_a_member_lacks_is_empty_and_has_its_reason() -> None:
    shown = members_for_people(finding(member(), absent(factor="8"), verdict="cannot be told"))
    assert list(shown["why"]) == ["", "there are no rows of it"]
    lacking = dict(shown.iloc[1])
    assert {name for name, value in lacking.items() if value} == {"target", "factor", "verdict", "why"}
    assert "why" not in members_for_people(finding())


def test_a_warning_stands_beside_the_reason() -> None:
    rows = [
        coded(warning="little overlap", reason="only 4 subjects"),
        coded(warning="little overlap"),
        coded(reason="only 4 subjects"),
    ]
    shown = members_for_people(finding(*rows, measure="bd-rate"))
    assert list(shown["why"]) == ["only 4 subjects; little overlap", "little overlap", "only 4 subjects"]


def test_pairs_of_seeds_without_a_delta_are_counted() -> None:
    row = coded(pair_mean=np.nan, pairs=25, pairs_without=4)
    shown = members_for_people(finding(row, measure="bd-rate"))
    assert shown["pairs of seeds"].item() == "4 of 25 have none"


def test_markdown_is_a_table_of_claims_and_a_table_of_members_for_each() -> None:
    holds = finding(member(remark="hr@lite: 1 seed: subjects only"), margin=-0.03)
    bits = finding(coded(), sentence="fewer bits", measure="bd-rate", verdict="does not hold", margin=5)
    silent = finding(absent(), sentence="silent", verdict="cannot be told", reason="hr@lite was not scored")
    lines = to_markdown([holds, bits, silent]).splitlines()
    assert lines[:5] == [
        (
            "| claim | verdict | on average (95 %) | p over the file | holds in | worst "
            "| difference there (95 % of all) | margin | remark |"
        ),
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        (
            "| one is better | **holds** | +0.250 (+0.125 to +0.375) | 0.004 | 1 of 1 | valence, factor 4 "
            "| +0.125 (+0.062 to +0.188) | -0.03 | hr@lite: 1 seed: subjects only |"
        ),
        (
            "| fewer bits | **does not hold** | +0.2 % (+0.1 % to +0.4 %) | 0.004 | 1 of 1 | valence, x264, factor 4 "
            "| -12.5 % (-25.0 % to -1.5 %) | 5 % |  |"
        ),
        "| silent | **cannot be told** | hr@lite was not scored | - | 0 of 1 |  |  | 0 |  |",
    ]
    headings = [place for place, line in enumerate(lines) if line.startswith("#")]
    assert [lines[place] for place in headings] == ["### one is better", "### fewer bits", "### silent"]
    said = [lines[place + 2 : place + 5] for place in headings]
    assert said[0][:2] == ["Holds.", ""]
    assert said[1][:2] == ["Does not hold.", ""]
    assert said[2] == ["Cannot be told.", "hr@lite was not scored.", ""]
    assert sum(line.startswith("| valence |") for line in lines) == 3


def test_markdown_cells_stay_in_their_cells() -> None:
    odd = finding(
        member(target="a|b", remark="x|y"),
        absent(target="c|d", reason="e|f\ng"),
        sentence="p|q",
        reason="s|t",
    )
    text = to_markdown([odd, finding(sentence="plain")])
    widths: list[int] = []
    for line in text.splitlines():
        if line.startswith("|"):
            widths.append(len(re.findall(r"(?<!\\)\|", line)))
        else:
            assert len(set(widths)) <= 1, text
            widths = []
    assert r"| p\|q | **holds** | +0.250 (+0.125 to +0.375) | 0.004 | 1 of 2 | a\|b, factor 4 |" in text


# For programs


def test_csv_has_a_row_for_each_member_with_its_claim_in_front() -> None:
    first = finding(member(), member(factor="8", value=-0.1 - 0.2), sentence='a, "quoted" sentence')
    second = finding(absent(), sentence="second", verdict="cannot be told")
    text = to_csv([first, second])
    rows = list(csv.DictReader(io.StringIO(text)))
    assert text.endswith("\n")
    assert "\r" not in text
    assert list(rows[0]) == [
        *("claim", "sentence", "claim_verdict"),
        *(f"endpoint_{name}" for name in ENDPOINT),
        *MEMBERS,
    ]
    assert [row["claim"] for row in rows] == ["1", "1", "2"]
    assert [row["sentence"] for row in rows] == ['a, "quoted" sentence'] * 2 + ["second"]
    assert [row["claim_verdict"] for row in rows] == ["holds", "holds", "cannot be told"]
    assert [row["factor"] for row in rows] == ["4", "8", "4"]
    assert float(rows[1]["value"]) == -0.1 - 0.2
    assert (rows[0]["better_seeds"], rows[0]["subjects"], rows[0]["overlap"]) == ("5", "8", "")
    assert {name for name in MEMBERS if rows[2][name]} == {
        *("better", "than", "measure", "margin", "region", "codec", "factor", "target", "gold", "scoring"),
        *("verdict", "reason"),
    }


def test_writing_leaves_the_finding_as_it_was() -> None:
    one = finding(member(), absent())
    before = one.members.copy()
    for write in (to_csv, to_json, to_text, to_markdown):
        write([one])
        pd.testing.assert_frame_equal(one.members, before)


def test_json_has_the_keys_that_are_documented() -> None:
    told = strict(to_json([finding(member(), absent()), finding(coded(), measure="bd-rate")]))
    assert list(told) == documented("`--format json`: ", ", one object each")
    assert told["schema"] == 1
    for claim in told["claims"]:
        assert list(claim) == documented("one object each: ", "`endpoint` is the mean")
        for row in claim["members"]:
            assert list(row) == documented("A member is one comparison: ", "`--format csv`")
        assert list(claim["endpoint"]) == documented(
            "`endpoint` is the mean over the members: ", "A member is"
        )


def test_csv_has_the_columns_that_are_documented() -> None:
    columns = next(csv.reader(io.StringIO(to_csv([finding()]))))
    extra = ["claim", *documented("with `claim` (number), ", " in front")]
    ends = [
        f"endpoint_{name}" for name in documented("`endpoint` is the mean over the members: ", "A member is")
    ]
    assert columns == extra + ends + documented("A member is one comparison: ", "`--format csv`")


def test_json_holds_the_numbers_themselves() -> None:
    row = member(value=-0.1 - 0.2, better_seeds=5.0, subjects=np.float64(8), clips=np.int64(16), freedom=9.5)
    notes = ("left out: clip a", "left out: clip b")
    text = to_json([finding(row, margin=-0.03, notes=notes, sentence="größer – 大")])
    (claim,) = strict(text)["claims"]
    assert "größer – 大" in text
    assert claim["sentence"] == "größer – 大"
    assert (claim["verdict"], claim["reason"], claim["measure"], claim["margin"]) == (
        "holds",
        "",
        "ccc",
        -0.03,
    )
    assert (claim["better"], claim["than"]) == ("max-mix@lite", "hr@lite")
    assert claim["notes"] == list(notes)
    (told,) = claim["members"]
    assert told["value"] == -0.1 - 0.2
    assert told["factor"] == "4"
    counts = {name: told[name] for name in ("better_seeds", "than_seeds", "subjects", "clips")}
    assert json.dumps(counts) == '{"better_seeds": 5, "than_seeds": 5, "subjects": 8, "clips": 16}'
    assert told["overlap"] is None
    assert told["pairs"] is None
    assert told["remark"] == ""


def test_counts_stay_whole_beside_members_that_have_none() -> None:
    rows = [coded(pairs=25, pairs_without=4), absent()]
    told = strict(to_json([finding(*rows, measure="bd-rate")]))["claims"][0]["members"]
    assert finding(*rows, measure="bd-rate").members["pairs"].dtype == np.float64
    assert [json.dumps([row["pairs"], row["pairs_without"]]) for row in told] == ["[25, 4]", "[null, null]"]


LINES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1, max_size=30)
NUMBERS = [name for name in MEMBERS if isinstance(coded()[name], float)]


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from(NUMBERS), st.floats(), max_size=6), LINES)
def test_whatever_the_numbers_json_is_strict_and_csv_has_its_rows(
    values: dict[str, float], sentence: str
) -> None:
    one = finding(coded(**values), absent(codec="x264"), measure="bd-rate", sentence=sentence)
    told = strict(to_json([one]))["claims"][0]
    assert told["sentence"] == sentence
    for name, value in values.items():
        shown = told["members"][0][name]
        assert shown == value if np.isfinite(value) else shown is None
    rows = list(csv.DictReader(io.StringIO(to_csv([one]), newline="")))
    assert [row["sentence"] for row in rows] == [sentence, sentence]


@pytest.mark.parametrize("end", [np.nan, np.inf, -np.inf])
def test_ends_without_a_number_are_shown_as_nothing(end: float) -> None:
    row = coded(low=end, high=end, sim_low=end, sim_high=end)
    shown = members_for_people(finding(row, measure="bd-rate"))
    assert not re.search("nan|inf", " ".join(shown.iloc[0]))
    assert closest(finding(row, measure="bd-rate")) is None
    assert not re.search(r"\b(nan|inf)\b", to_text([finding(row, measure="bd-rate")]))


# What the tables say, in every form


@pytest.fixture(scope="module")
def found() -> list[Finding]:
    seeds = ("", "#1", "#2", "#3", "#4")
    backends = tuple(f"{family}@lite{seed}" for family in ("max-mix", "separate") for seed in seeds)
    encodes, scores = made_tables(
        6, factors=(4,), codecs=("x264",), targets=("valence",), backends=backends, region="frame"
    )
    random = np.random.default_rng(3)
    worse = scores["backend"].str.startswith("separate@lite")
    scores["cov"] *= np.where(worse, 0.7, 1 + 0.005 * random.normal(size=len(scores)))
    said = {"better": "max-mix@lite", "than": "separate@lite", "factors": (4,), "region": "frame"}
    curves = {"codecs": ("x264",), "measure": "bd-rate"}
    claims = [
        Claim(sentence="at equal accuracy fewer bits", **(said | curves)),
        Claim(sentence="more accurate", **said),
        Claim(sentence="the other way round", **(said | {"better": said["than"], "than": said["better"]})),
        Claim(sentence="also at factor 8", **(said | {"factors": (4, 8)})),
        Claim(sentence="than what is not there", **(said | {"than": "hr@lite"})),
    ]
    return evaluate_file(claims, encodes, scores)


def test_a_real_finding_is_the_same_in_every_form(found: list[Finding]) -> None:
    verdicts = ["holds", "holds", "does not hold", "cannot be told", "cannot be told"]
    told = strict(to_json(found))["claims"]
    rows = list(csv.DictReader(io.StringIO(to_csv(found))))
    table = [line.split(" | ") for line in to_markdown(found).splitlines()[2 : 2 + len(found)]]
    heads = [line for line in to_text(found).splitlines() if re.match("[A-Z ]{5,}: ", line)]
    assert [claim["verdict"] for claim in told] == verdicts
    assert [row[1] for row in table] == [f"**{verdict}**" for verdict in verdicts]
    assert heads == [f"{one.verdict.upper()}: {one.claim.sentence}" for one in found]
    assert len(rows) == sum(len(claim["members"]) for claim in told) == 6
    flat = [(number, one) for number, claim in enumerate(told, 1) for one in claim["members"]]
    for row, (number, one) in zip(rows, flat, strict=True):
        assert row["claim"] == str(number)
        assert row["claim_verdict"] == verdicts[number - 1]
        for name, value in one.items():
            if isinstance(value, str):
                assert row[name] == value
            else:
                assert value == (float(row[name]) if row[name] else None), name
    assert told[0]["members"][0]["value"] < -10
    assert told[1]["members"][0]["value"] == pytest.approx(-told[2]["members"][0]["value"], rel=1e-9)
    assert told[0]["members"][0]["pairs"] == 25
    assert told[0]["members"][0]["paired_seeds"] == 5
    assert told[3]["reason"] == "valence, factor 8: there are no rows of it"
    assert told[4]["members"][0]["better_value"] is None


@ALL
def test_the_same_finding_gives_the_same_text(found: list[Finding], write: Any) -> None:
    text = write(found)
    assert text == write(found)
    for one in found:
        assert one.claim.sentence in text
