from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cosine

from rdbench.stats.verification import impostor_similarities, lookalikes, similarities, threshold

RNG = np.random.default_rng(11)


def people(count: int, spread: float = 0.1) -> list[np.ndarray]:
    """Descriptors of people who are as unlike one another as chance has it, and vary a little."""
    return [RNG.normal(size=6) + spread * RNG.normal(size=(8, 6)) for _ in range(count)]


def test_similarities_are_cosines():
    one, other = RNG.normal(size=(20, 5)), RNG.normal(size=(20, 5))
    expected = [1 - cosine(a, b) for a, b in zip(one, other, strict=True)]
    assert similarities(one, other) == pytest.approx(expected)
    assert similarities(one, 7 * one) == pytest.approx(1)
    assert np.isnan(similarities(one * np.nan, other)).all()
    assert np.isnan(similarities(np.zeros((1, 5)), other)).all()


def test_only_different_people_are_compared_and_each_pair_once():
    found = impostor_similarities(people(4))
    assert len(found) == 6 * 8 * 8
    assert impostor_similarities(people(1)).size == 0


@given(st.integers(3, 6), st.floats(0.001, 0.5))
def test_the_threshold_lets_pass_no_more_than_the_share_and_is_the_least_that_does(count, share):
    some = people(count)
    limit = threshold(some, share)
    pairs = itertools.combinations(some, 2)
    found = np.array([1 - cosine(a, b) for one, other in pairs for a in one for b in other])
    assert limit is not None
    assert (found > limit + 1e-12).mean() <= share
    assert (found > limit - 1e-9).mean() > share - 1 / len(found)


def test_too_few_people_set_no_threshold():
    assert threshold(people(2)) is None


def test_one_person_under_two_names_is_found():
    one, two, three = people(3)
    again = one[::-1] + 1e-9
    assert lookalikes(one, {"two": two, "again": again, "three": three}) == ["again"]
    assert lookalikes(one[:1], {"two": two}) == []
