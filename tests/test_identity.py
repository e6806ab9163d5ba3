"""What decides rows: any change of it has another text, and both sides are named."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdbench.identity import change_of, content_of, differences

texts = st.text(max_size=6)


@given(st.lists(texts, max_size=4), st.lists(texts, max_size=4))
def test_other_parts_have_another_hash(first: list[str], second: list[str]) -> None:
    assert (content_of(*first) == content_of(*second)) == (first == second)


def test_where_a_part_ends_counts_and_so_do_types_and_shapes() -> None:
    values = np.arange(6.0)
    hashes = {
        *(content_of("ab", "c"), content_of("a", "bc"), content_of(None), content_of(), content_of("-")),
        *(content_of(values), content_of(values.reshape(2, 3)), content_of(values.astype(np.float32))),
        *(content_of(values[::-1]), content_of(("a", "b")), content_of("ab")),
    }
    assert len(hashes) == 11


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("a", "b", "a there, b now"),
        (None, "b", "nothing there, b now"),
        (json.dumps({"x": 1, "y": 2}), json.dumps({"x": 1, "y": 3}), "y 2 there, 3 now"),
        (json.dumps({"x": 1}), json.dumps({"z": 1}), "x 1 there, nothing now, z nothing there, 1 now"),
        ("x" * 200, "y", f"{'x' * 77}... there, y now"),
    ],
)
def test_both_sides_are_named(before: str | None, after: str, said: str) -> None:
    assert change_of(before, after) == said
    assert differences({} if before is None else {"part": before}, {"part": after}) == [f"part: {said}"]


def test_what_only_the_stored_run_says_is_not_compared() -> None:
    assert differences({"a": "1", "noted": "2"}, {"a": "1"}) == []
