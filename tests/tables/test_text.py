"""Tables for people: nothing is cut off, whatever stands in them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdbench.tables.text import markdown, plain

WORD = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=60)


def test_columns_stand_under_each_other() -> None:
    text = plain(pd.DataFrame({"name": ["a", "longer"], "value": [1.23456, np.nan], "n": [1, 20000]}))
    lines = [line.rstrip() for line in text.splitlines()]
    assert lines == ["name    value      n", "a       1.235      1", "longer         20000"]


def test_an_empty_table_is_its_header() -> None:
    assert plain(pd.DataFrame({"a": [], "b": []})).split() == ["a", "b"]
    assert markdown(pd.DataFrame({"a": [], "b": []})) == "| a | b |\n| --- | --- |"


@settings(max_examples=60)
@given(
    st.lists(st.tuples(WORD, WORD, st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=5)
)
def test_nothing_is_cut_off(rows: list[tuple[str, str, float]]) -> None:
    table = pd.DataFrame(rows, columns=["first", "second", "number"])
    text = plain(table)
    assert len(text.splitlines()) == len(rows) + 1
    for first, second, number in rows:
        assert first in text
        assert second in text
        assert f"{number:.4g}" in text


def test_wide_characters_are_not_cut_off() -> None:
    name = "録画された会議の長い名前" * 5
    text = plain(pd.DataFrame({"clip": [name], "other": ["x"]}))
    assert name in text
    assert len(text.splitlines()) == 2


def test_markup_is_shown_as_it_is() -> None:
    assert "[bold]x[/bold]" in plain(pd.DataFrame({"a": ["[bold]x[/bold]"]}))


def test_a_narrow_terminal_gets_one_block_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("NO_COLOR", "1")
    table = pd.DataFrame({"clip": ["a" * 40, "b"], "reason": ["", "it is long " * 10]})
    text = plain(table)
    assert f"clip: {'a' * 40}\n" in text
    assert "reason: " + ("it is long " * 10).strip() in text
    assert text.count("reason:") == 1  # what is empty is left out


def test_markdown_cells_stay_in_their_cells() -> None:
    text = markdown(pd.DataFrame({"a": ["x|y", "two\nlines"], "b": [[1, 2], 0.000012345]}))
    lines = text.splitlines()
    assert len(lines) == 4
    assert lines[2] == r"| x\|y | 1, 2 |"
    assert lines[3] == "| two lines | 1.234e-05 |"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), (pd.NA, ""), (np.nan, ""), (True, "True"), (np.int64(5), "5"), (0.5, "0.5"), ((), "")],
    ids=repr,
)
def test_cells(value: object, shown: str) -> None:
    line = markdown(pd.DataFrame({"a": pd.Series([value], dtype=object)})).splitlines()[2]
    assert line == f"| {shown} |"
