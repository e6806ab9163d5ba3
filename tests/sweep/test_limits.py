"""Time limits and costs: in proportion to what is coded, and to what was measured."""

from __future__ import annotations

import pytest

from rdbench.sweep.experiment import Condition
from rdbench.sweep.limits import OVERHEAD_PIXELS, SHORTEST, Costs, pass_limit


def condition(codec: str, mode: str = "crf") -> Condition:
    return Condition("frame", 1, codec, "ra", mode, 30.0)


def test_a_limit_grows_with_what_is_coded_unless_one_is_given() -> None:
    assert pass_limit(0) == SHORTEST
    assert pass_limit(1280 * 720 * 250) > 20 * SHORTEST
    assert pass_limit(10**12, 5.0) == 5.0


def test_costs_are_those_that_were_measured_of_the_same_encoder() -> None:
    costs = Costs()
    before = costs.expected(condition("x264"), 1e6)
    assert before > 0
    costs.note(condition("x264"), 9 * OVERHEAD_PIXELS, 10.0)
    costs.note(condition("vvenc"), 9 * OVERHEAD_PIXELS, 1000.0)
    assert costs.expected(condition("x264"), 9 * OVERHEAD_PIXELS) == pytest.approx(10)
    assert costs.expected(condition("x264"), 19 * OVERHEAD_PIXELS) == pytest.approx(20)
    assert costs.expected(condition("vvenc"), 9 * OVERHEAD_PIXELS) == pytest.approx(1000)
    assert costs.expected(condition("x265"), 9 * OVERHEAD_PIXELS) == pytest.approx(505)
