"""Mistyped names are answered with the nearest known one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdbench.words import did_you_mean, nearest

CODECS = ("x264", "x265", "kvazaar", "svtav1")


@pytest.mark.parametrize(
    ("word", "wanted"), [("kvazar", "kvazaar"), ("SVT-AV1", "svtav1"), ("KVAZAAR", "kvazaar"), ("png", None)]
)
def test_the_nearest_name(word, wanted):
    assert nearest(word, CODECS) == wanted
    assert did_you_mean(word, CODECS) == (f"; did you mean {wanted!r}?" if wanted else "")


def test_names_keep_their_letter_case():
    assert nearest("avec_2016", ["AVEC2016", "avec2016"]) == "AVEC2016"
    assert nearest("", CODECS) is None
    assert nearest("x264", iter(())) is None


@given(st.text(max_size=20), st.lists(st.text(max_size=20), max_size=5))
def test_what_is_suggested_exists(word, known):
    found = nearest(word, iter(known))
    assert found is None or found in known
    if word in known:
        assert found is not None
        assert found.casefold() == word.casefold()
