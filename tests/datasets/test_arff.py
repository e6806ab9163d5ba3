"""ARFF files by attribute: any header, any line end, and only our own errors."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packages import arff_text
from scipy.io import arff as scipy_arff

from rdbench.datasets import arff
from rdbench.errors import InputError

TIMES = [0, 0.04, 0.08, 300]
VALUES = [0.25, -1, 0, 1e-3]


@pytest.mark.parametrize("style", ["plain", "quoted"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_both_header_styles_and_every_line_end(style, end):
    relation = arff.parse(arff_text("train_1", TIMES, VALUES, style=style, end=end), "x.arff")
    assert relation.numbers("frametime").tolist() == TIMES
    assert relation.numbers("GoldStandard").tolist() == VALUES
    assert {cells[relation.find("instance_name")] for _, cells in relation.rows} == {"train_1"}


def test_the_same_numbers_as_scipy(tmp_path):
    rng = np.random.default_rng(0)
    text = "@relation r\n@attribute t numeric\n@attribute v real\n@data\n"
    text += "".join(f"{a!r},{'?' if a > 0.9 else repr(b)}\n" for a, b in rng.normal(size=(50, 2)).tolist())
    (tmp_path / "x.arff").write_text(text)
    data, _ = scipy_arff.loadarff(tmp_path / "x.arff")
    ours = arff.read(tmp_path / "x.arff")
    for name in ("t", "v"):
        np.testing.assert_array_equal(ours.numbers(name), data[name])
    assert np.isnan(ours.numbers("v")).any()


def test_quotes_escapes_and_missing_values():
    text = (
        "% a comment\n@relation 'my relation'\n@attribute 'the name' string\n@attribute \"it's\" numeric\n"
        "@attribute kind {a,'b c'}\n@data\n'x, \\'y\\'',1.5,a\n\n% between\n\"?\",?,'b c'\n ? , 2 ,?\n"
    )
    relation = arff.parse(text, "x.arff")
    assert relation.attributes == ("the name", "it's", "kind")
    assert relation.numeric == (False, True, False)
    assert [cells for _, cells in relation.rows] == [
        ("x, 'y'", "1.5", "a"),
        ("?", None, "b c"),
        (None, "2", None),
    ]
    np.testing.assert_array_equal(relation.numbers("it's"), [1.5, np.nan, 2])


@pytest.mark.parametrize("separator", [",", "\t", ", ", ",\t", " \t", "\t,"], ids=repr)
def test_commas_and_tabs_separate_as_they_do_for_scipy(tmp_path, separator):
    head = "@relation r\n@attribute\tt\tnumeric\n@attribute v numeric\n@attribute s {a,b}\n@data\n"
    text = head + "".join(f"{separator.join(row)}\n" for row in (("0", "1.5", "a"), ("0.04", "?", "b")))
    relation = arff.parse(text, "x.arff")
    assert relation.numbers("t").tolist() == [0, 0.04]
    np.testing.assert_array_equal(relation.numbers("v"), [1.5, np.nan])
    assert [cells[2] for _, cells in relation.rows] == ["a", "b"]
    if separator in (",", "\t"):
        (tmp_path / "x.arff").write_text(text)
        data, _ = scipy_arff.loadarff(tmp_path / "x.arff")
        np.testing.assert_array_equal(data["v"], relation.numbers("v"))
        assert data["s"].tolist() == [b"a", b"b"]


def test_quotes_keep_tabs_and_an_empty_cell_is_a_cell():
    relation = arff.parse(HEAD + "@data\n1\t2\t'a\tb'\n1,2,\n", "x.arff")
    assert [cells[2] for _, cells in relation.rows] == ["a\tb", ""]
    assert np.isnan(arff.parse(HEAD + "@data\n1,,x\n", "x.arff").numbers("v")).all()


HEAD = "@relation r\n@attribute t numeric\n@attribute v numeric\n@attribute s string\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "x.arff: has no @data line"),
        (HEAD, "has no @data line"),
        ("@data\n", "line 1: @data comes before any @attribute"),
        ("time,value\n0,1\n", "line 1: 'time,value' is no ARFF header"),
        ("@attribute t\n", "line 1: @attribute needs a name and a type"),
        ("@attribute t numeric\n@attribute T real\n@data\n", "line 2: the attribute 'T' is declared twice"),
        ("@attribute 't numeric\n@data\n", "line 1: a quote ' is not closed"),
        (HEAD + "@data\n1,2\n", "line 6: 2 values, but 3 attributes"),
        (HEAD + "@data\n{0 1}\n", "line 6: sparse rows"),
        (HEAD + "@data\n1,'2,x\n", "line 6: a quote ' is not closed"),
        (HEAD + "@data\n1,'2'3,x\n", "line 6: a comma or a tab should follow"),
    ],
)
def test_what_is_not_arff_is_told_with_its_line(text, said):
    with pytest.raises(InputError, match=said):
        arff.parse(text, "x.arff")


def test_attributes_that_are_not_there_or_not_numbers():
    relation = arff.parse(HEAD + "@data\n1,2,x\n1,high,x\n", "x.arff")
    with pytest.raises(InputError, match=r"no attribute 'GoldStandard'; the header has t, v, s"):
        relation.numbers("GoldStandard")
    with pytest.raises(InputError, match=r"'s' is not declared numeric"):
        relation.numbers("s")
    with pytest.raises(InputError, match=r"line 7: v should be a number, but is 'high'"):
        relation.numbers("v")


arff_like = st.one_of(
    st.text(max_size=200),
    st.text(alphabet="@attribudnmec ,'\"\\%{}?\r\n0123.-\t", max_size=300),
    st.builds(
        lambda head, rows: head + "@data\n" + rows,
        st.sampled_from([HEAD, HEAD.replace("\n", "\r\n"), "@attribute frameTime numeric\n"]),
        st.text(alphabet="0123456789,.'\"\\?{}% \n\rxe-", max_size=200),
    ),
)


@given(arff_like)
@settings(max_examples=500)
def test_any_text_is_a_relation_or_an_input_error(text):
    try:
        relation = arff.parse(text, "x.arff")
    except InputError:
        return
    for name in relation.attributes:
        with contextlib.suppress(InputError):
            assert len(relation.numbers(name)) == len(relation.rows)


@given(st.one_of(st.binary(max_size=200), arff_like.map(lambda t: t.encode("utf-8", "surrogatepass"))))
@settings(max_examples=150)
def test_any_bytes_are_a_relation_or_an_input_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.arff"
    path.write_bytes(content)
    with contextlib.suppress(InputError):
        arff.read(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        arff.read(tmp_path / "none.arff")
