"""What a pilot says a run needs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from made_runs import csv_run, made_tables
from scipy import stats as distributions
from small_runs import within

from rdbench.answers.planning import COLUMNS, Wish, subjects_for_gate, subjects_for_width
from rdbench.errors import InputError

SIDES = ("--anchor", "codec=x264", "--test", "codec=x265")


@pytest.mark.parametrize(("sd", "half"), [(0.04, 0.02), (0.2, 0.05), (0.01, 0.05)])
def test_the_fewest_subjects_are_those_whose_interval_is_that_narrow(sd, half):
    n = int(subjects_for_width(sd, half))

    def width(k: int) -> float:
        return float(distributions.t.ppf(0.975, k - 1)) * sd / k**0.5

    assert width(n) <= half
    assert n == 6 or width(n - 1) > half
    assert subjects_for_width(sd, half, curves=8) >= n


def test_a_planned_gate_passes_as_often_as_it_was_planned_to():
    sd, tolerance = 0.05, 0.03
    n = int(subjects_for_gate(sd, tolerance))
    rng = np.random.default_rng(0)
    x = rng.normal(0, sd, (20_000, n))
    upper = x.mean(axis=1) + distributions.t.ppf(0.975, n - 1) * x.std(axis=1, ddof=1) / n**0.5
    assert (upper <= tolerance).mean() == pytest.approx(0.95, abs=0.01)
    assert subjects_for_gate(sd, tolerance, curves=8) > n


def test_what_cannot_be_reached_is_endless():
    assert subjects_for_width(1.0, 1e-6) == np.inf
    assert subjects_for_gate(1.0, 1e-6) == np.inf


@pytest.mark.parametrize("amount", [0.0, -1.0, float("nan"), float("inf")])
def test_a_wish_is_above_nothing(amount):
    with pytest.raises(InputError):
        Wish("rate", amount)


def test_the_command_plans_from_a_pilot(tmp_path):
    csv_run(tmp_path / "run", subjects=8, factors=(4,), targets=("valence",), backends=("direct@lite",))
    words = ("plan", tmp_path / "run", *SIDES, "--half-width", "5%", "--max-accuracy-drop", "0.02")
    done = within(*words, "--format", "json")
    assert done.code == 0, done
    rows = json.loads(done.out)
    assert [tuple(row) for row in rows] == [COLUMNS] * 2
    assert [row["measure"] for row in rows] == ["rate", "accuracy"]
    for row in rows:
        assert row["pilot_subjects"] == 8
        assert row["sd_high"] > row["sd"] > 0
        assert row["subjects_safe"] >= row["subjects"] >= 6
    table = within(*words)
    assert table.code == 0
    assert "± 5 % of rate" in table.out
    assert within("plan", tmp_path / "run", *SIDES).code == 2


def test_seeds_are_planned_from_both_components_of_variance(tmp_path):
    seeds = tuple(f"{name}@lite{seed}" for name in ("one", "two") for seed in ("", "#1", "#2"))
    encodes, scores = made_tables(
        8, factors=(4,), targets=("valence",), backends=seeds, codecs=(), region="face"
    )
    noise = 1 + 0.05 * np.random.default_rng(0).normal(size=len(seeds))
    scores["cov"] *= scores["backend"].map(dict(zip(seeds, noise, strict=True)))
    (tmp_path / "run").mkdir()
    encodes.to_csv(tmp_path / "run" / "encodes.csv", index=False)
    scores.to_csv(tmp_path / "run" / "scores.csv", index=False)
    words = ("plan", tmp_path / "run", "--better", "one@lite", "--than", "two@lite", "--factor", 4)
    done = within(*words, "--accuracy-half-width", "0.1", "--format", "json")
    assert done.code == 0, done
    rows = json.loads(done.out)
    subjects = [row["subjects"] or np.inf for row in rows]
    assert subjects == sorted(subjects, reverse=True), "more seeds never need more subjects"
    for row in rows:
        if row["subjects"]:
            free = row["seeds"] - 1, row["subjects"] - 1
            a, b = row["of_seeds"] ** 2, row["of_subjects"] ** 2
            freedom = (a + b) ** 2 / (a**2 / free[0] + b**2 / free[1])
            assert distributions.t.ppf(0.975, freedom) * (a + b) ** 0.5 <= 0.1 * (1 + 1e-9)
    assert within(*words).code == 2
    alone = within(
        "plan", tmp_path / "run", "--better", "one@lite", "--than", "one@lite", "--accuracy-half-width", "0.1"
    )
    assert alone.code == 2
