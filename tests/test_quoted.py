from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdbench.words import as_given, bare, quoted


@given(st.text(max_size=100))
def test_any_name_is_printable_short_and_escaped_once(name):
    shown = quoted(name)
    assert shown.isprintable()
    assert len(shown) <= 63
    assert shown[1:-2] == repr(name)[1:61] if shown != repr(name) else ast.literal_eval(shown) == name
    assert bare(name) in (name, shown)
    assert bare(name).isprintable()


@given(st.one_of(st.text(max_size=100), st.integers(), st.floats(), st.booleans()))
def test_what_came_is_repeated_whole_or_not_at_all(value):
    shown = as_given(value)
    assert shown == (f" (given: {value!r})" if len(repr(value)) <= 81 else "")
    assert shown.isprintable()


@pytest.mark.parametrize("value", [None, [1], {"a": 1}, 16**5000, -(16**5000)], ids=lambda value: type(value))
def test_what_is_no_word_and_no_number_that_can_be_written_is_not_repeated(value):
    assert as_given(value) == ""
