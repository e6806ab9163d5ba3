"""Files of claims: what they say is read as it stands, and what is wrong with one is told in one sentence."""

from __future__ import annotations

import configparser
import json
import math
import unicodedata
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rdbench.codecs.profiles import load_profiles
from rdbench.errors import InputError
from rdbench.methods.claims import FALLING, Claim, load_claims, shipped_claims

ROOT = Path(__file__).parents[2]
ONE = '[[claim]]\nsentence = "one"\nbetter = "max-mix@lite"\nthan = "hr@lite"\nfactors = [4]\n'
CODED = ONE + 'measure = "bd-ccc"\ncodecs = ["x264"]\n'


def load(tmp_path: Path, text: str | bytes) -> tuple[Claim, ...]:
    file = tmp_path / "mine.toml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_claims(file)


def fault(tmp_path: Path, text: str | bytes) -> str:
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith(str(tmp_path / "mine.toml"))
    assert message.endswith(".")
    assert len(message) < 600
    return message


# What ships


def test_the_claims_of_the_paper_ship() -> None:
    assert "paper.toml" in shipped_claims()
    for name in shipped_claims():
        claims = load_claims(name)
        assert claims
        assert len({claim.sentence for claim in claims}) == len(claims)


def test_a_shipped_file_is_the_same_by_name_and_by_path() -> None:
    for name in shipped_claims():
        assert load_claims(name) == load_claims(Path(name))
        assert load_claims(name) == load_claims(ROOT / "rdbench" / "claim_files" / name)


def test_the_claims_of_the_paper_are_about_what_ships() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    declared = config["options.entry_points"]["rdbench.backends"].splitlines()
    backends = {line.partition("=")[0].strip() for line in declared}
    claims = load_claims("paper.toml")
    for claim in claims:
        assert {claim.better.removesuffix("@lite"), claim.than.removesuffix("@lite")} <= backends
        assert set(claim.codecs) <= set(load_profiles())
    assert {claim.measure for claim in claims} == {"ccc", "bd-ccc", "bd-rate"}
    assert {claim.margin for claim in claims} == {0.0, -0.03}
    assert {claim.where for claim in claims if claim.coded} == {"frame"}
    assert {claim.where for claim in claims if not claim.coded} == {"face"}


def test_a_file_in_the_working_folder_goes_before_one_that_ships(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(load_claims("paper.toml")) > 1
    (tmp_path / "paper.toml").write_text(ONE)
    assert [claim.sentence for claim in load_claims("paper.toml")] == ["one"]


@pytest.mark.parametrize("name", ["papr.toml", "paper", "Paper.TOML", "missing/paper.toml"])
def test_a_name_that_is_nearly_right_gets_a_hint(name: str) -> None:
    with pytest.raises(InputError) as caught:
        load_claims(name)
    assert str(caught.value).startswith(f"No file of claims {name!r}; did you mean 'paper.toml'?")


@pytest.mark.parametrize("name", ["", ".", "..", "zzz", "claims\0.toml", "\n", "\ud800"], ids=ascii)
def test_a_name_of_no_file_names_those_that_ship(name: str) -> None:
    with pytest.raises(InputError) as caught:
        load_claims(name)
    message = str(caught.value)
    assert message == f"No file of claims {name!r}; those that ship: {', '.join(shipped_claims())}."
    assert message.isprintable()


def test_a_folder_is_no_file_of_claims(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No file of claims"):
        load_claims(tmp_path)


def test_a_name_that_the_system_refuses_is_told() -> None:
    with pytest.raises(InputError, match=r"^a+ cannot be read: File name too long\.$"):
        load_claims("a" * 5000)


# What a claim says


def test_a_short_claim_says_the_rest_by_default(tmp_path: Path) -> None:
    (claim,) = load(tmp_path, ONE)
    assert claim == Claim(sentence="one", better="max-mix@lite", than="hr@lite", factors=(4,))
    assert (claim.measure, claim.margin, claim.gold, claim.scoring) == ("ccc", 0.0, "labels", "plain")
    assert (claim.targets, claim.codecs) == ((), ())
    assert (claim.region, claim.variant, claim.mode) == (None, None, None)


def test_claims_stay_in_the_order_of_the_file(tmp_path: Path) -> None:
    many = "".join(ONE.replace('"one"', f'"{number}"') for number in range(12))
    assert [claim.sentence for claim in load(tmp_path, many)] == [str(number) for number in range(12)]


@pytest.mark.parametrize(
    ("measure", "metric", "where"),
    [
        ("ccc", "ccc", "face"),
        ("pcc", "pcc", "face"),
        ("rmse", "rmse", "face"),
        ("accuracy", "accuracy", "face"),
        ("f1", "f1", "face"),
        ("tar", "tar", "face"),
        ("bd-ccc", "ccc", "frame"),
        ("bd-unit_f1", "unit_f1", "frame"),
        ("bd-rate", None, "frame"),
    ],
)
def test_a_measure_decides_what_is_compared_and_where(
    tmp_path: Path, measure: str, metric: str | None, where: str
) -> None:
    coded = measure.startswith("bd-")
    text = (CODED.replace("bd-ccc", measure)) if coded else ONE + f'measure = "{measure}"\n'
    (claim,) = load(tmp_path, text)
    assert (claim.metric, claim.where, claim.coded) == (metric, where, coded)
    other = {"face": "frame", "frame": "face"}[where]
    assert load(tmp_path, text + f'region = "{other}"\n')[0].where == other


def test_less_is_better_for_errors_and_for_bits() -> None:
    assert set(FALLING) == {"rmse", "bd-rmse", "bd-rate"}


def test_curves_may_have_a_variant_a_mode_and_an_envelope(tmp_path: Path) -> None:
    text = CODED.replace("[4]", '[1, "best", 64]') + 'variant = "ld"\nmode = "qp"\ntargets = ["valence"]\n'
    (claim,) = load(tmp_path, text)
    assert claim.factors == (1, "best", 64)
    assert (claim.variant, claim.mode, claim.targets) == ("ld", "qp", ("valence",))


def test_windows_line_ends_are_read(tmp_path: Path) -> None:
    assert load(tmp_path, ONE.replace("\n", "\r\n")) == load(tmp_path, ONE)


# What is wrong


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "the key 'claim' is missing"),
        ("claim = 3", "claim: "),
        ('claim = "paper"', "claim: "),
        ("claim = []", "claim: "),
        ("[claim]\nsentence = 'x'", "claim: "),
        ("claims = []", "there is no key 'claims'; did you mean 'claim'?"),
        ("zzz = 1", "there is no key 'zzz'; there are claim"),
        (ONE + "[other]\na = 1", "there is no key 'other'"),
        ("claim = [1]", "claim 1: "),
        ("claim = [[]]", "claim 1: "),
        (ONE * 1001, "claim: "),
    ],
    ids=lambda value: ascii(value[:30]),
)
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, text: str, part: str) -> None:
    assert fault(tmp_path, text).startswith(f"{tmp_path / 'mine.toml'}: {part}")


def changed(old: str, new: str) -> str:
    assert old in ONE
    return ONE.replace(old, new)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (changed("better", "beter"), "there is no key 'beter'; did you mean 'better'?"),
        (changed("than =", "then ="), "there is no key 'then'; did you mean 'than'?"),
        (ONE + "Margin = 1", "there is no key 'Margin'; did you mean 'margin'?"),
        (ONE + "zzz = 1", "there is no key 'zzz'; there are sentence, better, than, factors, measure"),
        (ONE + '"" = 1', "there is no key ''; there are sentence"),
        (ONE + "[claim.codecs]\nx = 1", "codecs: "),
        (changed('sentence = "one"\n', ""), "the key 'sentence' is missing"),
        (changed("factors = [4]\n", ""), "the key 'factors' is missing"),
        (changed('"one"', '""'), "sentence: "),
        (changed('"one"', "3"), "sentence: "),
        (changed('"one"', "2026-01-01"), "sentence: "),
        (changed('"one"', f'"{"s" * 501}"'), "sentence: "),
        (changed('"max-mix@lite"', '""'), "better: "),
        (changed('"max-mix@lite"', '["max-mix@lite"]'), "better: "),
        (
            changed('"max-mix@lite"', '"max-mix@lite#3"'),
            "better: a claim is about all seeds, so leave out #3",
        ),
        (changed('"hr@lite"', '"hr@lite#0"'), "than: a claim is about all seeds, so leave out #0"),
        (changed('"hr@lite"', '"max-mix@lite"'), "better and than are the same back-end"),
        (changed("[4]", "[]"), "factors: "),
        (changed("[4]", "4"), "factors: "),
        (changed("[4]", "[0]"), "factors: "),
        (changed("[4]", "[-4]"), "factors: "),
        (changed("[4]", "[65]"), "factors: "),
        (changed("[4]", "[1.5]"), "factors: "),
        (changed("[4]", "[4.0]"), "factors: "),
        (changed("[4]", "[true]"), "factors: "),
        (changed("[4]", '["4"]'), "factors: "),
        (changed("[4]", '["oracle"]'), "factors: "),
        (changed("[4]", "[4, 4]"), "factors has a value twice"),
        (changed("[4]", f"[{'4, ' * 65}]"), "factors: "),
        (changed("[4]", '["best"]'), "factor best is an envelope over rates, which ccc does not have"),
        (ONE + 'measure = "cc"', "measure: a measure is one of ccc, pcc"),
        (ONE + 'measure = "CCC"', "measure: "),
        (ONE + 'margin = "much"', "margin: "),
        (ONE + "margin = nan", "margin: "),
        (ONE + "margin = -inf", "margin: "),
        (ONE + "margin = 1e999", "margin: "),
        (ONE + "margin = [1]", "margin: "),
        (ONE + 'targets = "valence"', "targets: "),
        (ONE + "targets = [3]", "targets: "),
        (ONE + 'targets = ["a", "b", "a"]', "targets has a value twice"),
        (ONE + 'region = "head"', "region: Input should be 'face' or 'frame'"),
        (ONE + "region = true", "region: "),
        (ONE + 'gold = ""', "gold: "),
        (ONE + "scoring = 1", "scoring: "),
        (ONE + 'codecs = ["x264"]', "ccc is measured without a codec, so leave out codecs"),
        (ONE + 'measure = "f1"\nvariant = "ra"', "f1 is measured without a codec, so leave out variant"),
        (ONE + 'mode = "crf"', "ccc is measured without a codec, so leave out mode"),
        (ONE + 'measure = "bd-ccc"', 'bd-ccc needs codecs, such as codecs = ["x264"]'),
        (ONE + 'measure = "bd-rate"\ncodecs = []', "bd-rate needs codecs"),
        (ONE + 'measure = "bd-rate"\ncodecs = "x264"', "codecs: "),
        (ONE + 'measure = "bd-rate"\ncodecs = ["x264", "x264"]', "codecs has a value twice"),
        (CODED + 'variant = ""', "variant: "),
        (CODED + "mode = 3", "mode: "),
    ],
    ids=lambda value: ascii(value.replace(ONE, "")[-40:]),
)
@pytest.mark.parametrize("before", [0, 2], ids=["the first", "the third"])
def test_what_is_wrong_with_a_claim_is_named(tmp_path: Path, text: str, part: str, before: int) -> None:
    message = fault(tmp_path, ONE * before + text)
    assert message.startswith(f"{tmp_path / 'mine.toml'}: claim {before + 1}: {part}")


def test_all_faults_are_told_and_a_wrong_key_explains_the_missing_one(tmp_path: Path) -> None:
    message = fault(tmp_path, changed("better", "beter").replace("[4]", "[0]"))
    assert "claim 1: there is no key 'beter'" in message
    assert "missing" not in message
    assert "; claim 1: factors: " in message
    message = fault(tmp_path, changed("[4]", "[0]") + ONE.replace('"one"', "1"))
    assert "claim 1: factors: " in message
    assert "; claim 2: sentence: " in message


@pytest.mark.parametrize("given", ["'much'", "-7", "1.5", f"'{'x' * 79}'"])
def test_what_was_given_is_repeated(tmp_path: Path, given: str) -> None:
    assert fault(tmp_path, ONE + f"region = {given}").endswith(f"(given: {given}).")


@pytest.mark.parametrize("given", [f"'{'x' * 80}'", "['face']", "2026-01-01"])
def test_what_was_given_is_not_repeated_where_it_is_long_or_no_word(tmp_path: Path, given: str) -> None:
    assert "(given" not in fault(tmp_path, ONE + f"region = {given}")


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("a\\nb", r"'a\nb'"),
        ("a\\u001b[2J", r"'a\x1b[2J'"),
        ("\\u2028", r"'\u2028'"),
        ("a'\\n", r'''"a'\n"'''),
        ("k" * 60, f"'{'k' * 60}'"),
        ("k" * 61, f"'{'k' * 60}…'"),
        ("k" * 5000, f"'{'k' * 60}…'"),
    ],
    ids=lambda value: ascii(value[:12]),
)
def test_a_key_is_shown_escaped_once_and_cut(tmp_path: Path, key: str, shown: str) -> None:
    assert f": there is no key {shown}; there are claim; the key 'claim' is missing." in fault(
        tmp_path, f'"{key}" = 1'
    )
    assert f": claim 1: there is no key {shown}; there are " in fault(tmp_path, ONE + f'"{key}" = 1')


@pytest.mark.parametrize(
    ("character", "shown"),
    [
        (r"\n", r"'\n'"),
        (r"\r", r"'\r'"),
        (r"\t", r"'\t'"),
        (r"\u001b", r"'\x1b'"),
        (r"\u007f", r"'\x7f'"),
        (r"\u0085", r"'\x85'"),
        (r"\u2028", r"'\u2028'"),
    ],
)
@pytest.mark.parametrize(
    ("line", "place"),
    [
        (ONE.replace('"one"', '"o{}e"'), "sentence"),
        (ONE.replace("max-mix@lite", "max{}mix"), "better"),
        (ONE + 'targets = ["a", "b{}"]\n', "targets"),
        (CODED + 'variant = "{}"\n', "variant"),
    ],
    ids=["sentence", "better", "targets", "variant"],
)  # fmt: skip
def test_control_characters_are_refused_since_terminals_would_obey_them(
    tmp_path: Path, line: str, place: str, character: str, shown: str
) -> None:
    message = fault(tmp_path, line.replace("{}", character))
    assert (
        f": claim 1: {place}: text without control characters is expected, but it holds {shown}; leave that out"
        in message
    )


def test_a_sentence_over_several_lines_of_the_file_is_one_line_where_toml_joins_them(tmp_path: Path) -> None:
    (claim,) = load(tmp_path, changed('"one"', '"""\none \\\n   two"""'))
    assert claim.sentence == "one two"


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe",
        ONE.replace("one", "\xe9").encode("latin-1"),
        b"\xef\xbb\xbf" + ONE.encode(),
        b"[[claim]",
        ONE.encode() + b"factors = [1]\n",
        b"\0",
        b"a = " + b"[" * 3000 + b"]" * 3000,
        ONE.encode() + b"margin = " + b"9" * 5000,
        ONE.encode() + b"[claim]\n",
    ],
    ids=[
        *("utf-16", "latin-1", "byte order mark", "open bracket", "key twice", "nul", "deep"),
        *("long number", "claim as list and table"),
    ],
)
def test_what_is_no_toml_is_told(tmp_path: Path, content: bytes) -> None:
    assert fault(tmp_path, content).startswith(f"{tmp_path / 'mine.toml'} is not TOML in UTF-8: ")


@pytest.mark.parametrize(
    "text",
    [
        "a." * 3000 + "b = 1",
        ONE + "x." + "a." * 900 + "b = 1",
        ONE + "gold = " + "[" * 200 + "]" * 200,
        ONE + "margin = " + "9" * 4000,
    ],
    ids=["deep key", "deep key of a claim", "deep list", "number beyond floats"],
)
def test_what_is_deep_or_long_is_told_in_short(tmp_path: Path, text: str) -> None:
    fault(tmp_path, text)


@pytest.mark.parametrize("line", ["margin = {}", "region = {}", "zzz = {}"])
def test_a_long_hexadecimal_number_is_told(tmp_path: Path, line: str) -> None:
    fault(tmp_path, ONE + line.format("0x" + "f" * 5000))


@pytest.mark.parametrize("margin", ["true", "false", "'0.5'"])
def test_a_margin_that_is_no_number_is_refused(tmp_path: Path, margin: str) -> None:
    assert "claim 1: margin: " in fault(tmp_path, ONE + f"margin = {margin}")


def test_a_file_of_a_mebibyte_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    most = ONE.encode() + b"#" * ((1 << 20) - len(ONE))
    assert len(load(tmp_path, most)) == 1
    message = fault(tmp_path, most + b"#")
    assert message == f"{tmp_path / 'mine.toml'} has more than 1048576 bytes; claims are a short TOML file."


def test_a_huge_file_is_not_even_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(self: Path) -> bytes:
        raise AssertionError(f"{self} was read")

    monkeypatch.setattr(Path, "read_bytes", never)
    with (tmp_path / "huge.toml").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(InputError, match="has more than 1048576 bytes"):
        load_claims(tmp_path / "huge.toml")


# Anything at all

ANY = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


@ANY
@given(
    st.one_of(
        *(st.binary(max_size=200), st.binary(max_size=40).map(lambda tail: ONE.encode() + tail)),
        st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")),
        st.text(max_size=40).map(lambda tail: (ONE + tail).encode("utf-8", "replace")),
    )
)
@example(b"")
def test_any_bytes_are_claims_or_an_input_error(tmp_path: Path, content: bytes) -> None:
    message = ""
    try:
        assert load(tmp_path, content)
    except InputError as error:
        message = str(error)
    assert message.isprintable()


@ANY
@given(st.text(max_size=60))
def test_any_name_is_a_file_or_an_input_error(name: str) -> None:
    message = ""
    try:
        assert load_claims(name)
    except InputError as error:
        message = str(error)
    assert "\n" not in message


VALUES = st.recursive(
    st.one_of(
        *(st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.dates()),
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=10),
        st.sampled_from(["best", "bd-ccc", "bd-rate", "rmse", "x264", "face", "a", "b", "a#1", 1, 4, 16]),
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["claim", "", "x"]), inner, max_size=2)
    ),
    max_leaves=5,
)
KEYS = st.sampled_from([*Claim.model_fields, "other", ""])


def toml(value: Any) -> str:
    """A value as TOML writes it within a line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    return value.isoformat() if isinstance(value, date) else json.dumps(value, ensure_ascii=False)


def written(table: dict[str, Any]) -> str:
    return "[[claim]]\n" + "".join(f"{toml(key)} = {toml(value)}\n" for key, value in table.items())


@ANY
@given(st.dictionaries(KEYS, VALUES, max_size=5), st.booleans())
def test_any_table_is_a_claim_or_an_input_error_that_names_it(
    tmp_path: Path, table: dict[str, Any], whole: bool
) -> None:
    base = {"sentence": "s", "better": "x", "than": "y", "factors": [1]} if whole else {}
    message = start = f"{tmp_path / 'mine.toml'}: claim 2: "
    try:
        (claim,) = load(tmp_path, ONE + written(base | table))[1:]
    except InputError as error:
        message = str(error)
    else:
        assert claim.better != claim.than
        assert claim.coded == bool(claim.codecs)
        assert math.isfinite(claim.margin)
    assert message.startswith(start)
    assert message.isprintable()


OBEYED = ["Cc", "Zl", "Zp"]
"""Categories of characters that what is printed does not hold."""
WORD = st.text(st.characters(codec="utf-8", exclude_categories=OBEYED, exclude_characters="#"), min_size=1)
FACTORS = st.lists(st.integers(1, 64), min_size=1, max_size=8, unique=True)
BARE = st.fixed_dictionaries(
    {"measure": st.sampled_from(["ccc", "pcc", "rmse", "accuracy", "f1"]), "factors": FACTORS}
)
CURVES = st.fixed_dictionaries(
    {
        "measure": st.sampled_from(["bd-ccc", "bd-rate"]),
        "factors": FACTORS.flatmap(lambda some: st.sampled_from([some, [*some, "best"]])),
        "codecs": st.lists(WORD, min_size=1, max_size=3, unique=True),
    },
    optional={"variant": WORD, "mode": WORD},
)
ALWAYS = st.fixed_dictionaries(
    {"sentence": WORD, "better": WORD.map("a{}".format), "than": WORD.map("b{}".format)},
    optional={
        "margin": st.floats(allow_nan=False, allow_infinity=False),
        "targets": st.lists(WORD, max_size=3, unique=True),
        "region": st.sampled_from(["face", "frame"]),
        "gold": WORD,
        "scoring": WORD,
    },
)


@ANY
@given(st.lists(st.builds(lambda a, b: a | b, ALWAYS, st.one_of(BARE, CURVES)), min_size=1, max_size=3))
def test_what_was_written_is_read_back(tmp_path: Path, tables: list[dict[str, Any]]) -> None:
    claims = load(tmp_path, "".join(map(written, tables)))
    assert len(claims) == len(tables)
    for claim, table in zip(claims, tables, strict=True):
        said = claim.model_dump(exclude_unset=True)
        assert {key: list(value) if isinstance(value, tuple) else value for key, value in said.items()} == (
            table
        )


@ANY
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=10))
def test_a_sentence_is_read_as_it_is_or_refused_for_one_of_its_characters(tmp_path: Path, text: str) -> None:
    # JSON leaves in what TOML forbids as it is: DEL.
    line = changed('"one"', json.dumps(text, ensure_ascii=False).replace("\x7f", r"\u007f"))
    if any(unicodedata.category(character) in OBEYED for character in text):
        assert ": claim 1: sentence: " in fault(tmp_path, line)
    else:
        assert [claim.sentence for claim in load(tmp_path, line)] == [text]
