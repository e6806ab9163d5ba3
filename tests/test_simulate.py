from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from rdbench import simulate
from rdbench.caveats import caveat
from rdbench.simulate import POPULATIONS, Population

PAGE = Path(__file__).parents[1] / "docs" / "simulation.md"


def test_subjects_are_as_the_population_says():
    population = Population(saving=0.8, ratio_sd=0.05)
    stats = simulate.draw(population, 20_000, np.random.default_rng(0))
    assert stats.shape == (20_000, 2, 5, 8)
    ratio = np.log(stats[:, 1, 0, 0] / stats[:, 0, 0, 0])
    assert ratio.mean() == pytest.approx(np.log(0.8), abs=0.002)
    assert ratio.std() == pytest.approx(0.05, rel=0.03)
    side = simulate.side_of_sums(stats[:50, 0])
    assert side.values.shape == (50, 5)
    assert (np.abs(side.value) <= 1).all()
    n, sp, sg, spp, sgg, spg = np.moveaxis(stats[..., 2:], -1, 0)
    cov, vp, vg = spg - sp * sg / n, spp - sp**2 / n, sgg - sg**2 / n
    assert (cov**2 <= vp * vg * (1 + 1e-9)).all(), "no correlation beyond 1"


def test_curves_of_unlike_shape_cross():
    population = POPULATIONS["crossing"]
    stats = simulate.draw(population, 20_000, np.random.default_rng(1)).sum(axis=0)
    value = simulate.metric_of_sums(stats, np.zeros(2), "ccc")
    assert value[1, 0] > value[0, 0]
    assert value[1, -1] < value[0, -1]


def test_coverage_of_a_few_trials_has_the_shape_of_the_page():
    table = simulate.coverage(40, subjects=(8,), boot=100)
    assert len(table) == 8
    jackknife = table[table.interval == "jackknife"]
    assert (jackknife.held > 0.75).all()
    assert (table.held + table.below + table.above).to_numpy() == pytest.approx(np.ones(8))


@pytest.mark.long
def test_jackknife_intervals_hold_the_truth():
    for population in POPULATIONS.values():
        table = simulate.coverage(1000, population=population, boot=0)
        assert table.held.between(0.92, 0.98).all(), table
    assert simulate.envelope_coverage(1000).held.between(0.92, 0.98).all()


@pytest.mark.long
def test_the_gate_raises_few_false_alarms_and_finds_a_planted_loss():
    assert (simulate.false_alarms(1000, (16,), (1, 8)).regressed <= 0.05).all()
    found = simulate.detection(1000, (16,), (1,), tolerances=(0.01,))
    assert found.found.item() >= 0.9


def test_the_gate_in_a_few_trials():
    alarms = simulate.false_alarms(30, (12,), (2,))
    assert alarms.regressed.item() <= 0.2
    found = simulate.detection(20, (24,), (1,), loss=0.10, tolerances=(0.01,))
    assert found.found.item() > 0.9


def test_subjects_needed_grow_with_spread_and_family_and_fall_with_tolerance():
    table = simulate.subjects_needed()
    one = table[(table.sd == 0.04) & (table.curves == 1)].iloc[0]
    assert one["3 %"] == 17
    assert one["1 %"] > one["2 %"] > one["3 %"] > one["5 %"] >= 6
    assert table.groupby("sd")["1 %"].apply(lambda n: n.is_monotonic_increasing).all()
    assert simulate.subjects_needed(tolerances=(0.0001,), limit=50).iloc[0, 2] is None


def test_the_program_says_what_the_page_says():
    """The caveats that are printed come from the tables that are published."""
    worst: dict[tuple[str, str, int], float] = {}
    for line in PAGE.read_text().splitlines():
        found = re.match(r"\| ([\w -]+?) \| (jackknife|bootstrap) \| (\d+) \| ([\d.]+)% ", line)
        if found:
            quantity, interval, subjects, held = found.groups()
            key, value = (quantity, interval, int(subjects)), float(held)
            if key not in worst or abs(value - 95) > abs(worst[key] - 95):
                worst[key] = value
    assert len(worst) == 4 * 2 * 4 + 4
    for (quantity, interval, subjects), held in worst.items():
        text = caveat(quantity, interval, subjects)
        assert (text == "") == (92 <= held <= 98)
        if text:
            assert f"{held:.0f} %" in text
            assert f"{subjects} subjects" in text


def test_no_jackknife_needs_a_caveat():
    for quantity in ("CCC", "paired difference", "BD-CCC", "BD-rate", "BD-CCC of an envelope"):
        for subjects in (6, 10, 16, 40):
            assert caveat(quantity, "jackknife", subjects) == ""
    assert "88 %" in caveat("CCC", "bootstrap", 12)


def test_the_command_prints_tables():
    done = CliRunner().invoke(simulate.main, ["coverage", "--trials", "3", "--boot", "0"])
    assert done.exit_code == 0
    assert done.output.count("| BD-rate | jackknife |") == 8
    assert done.output.count("| BD-CCC of an envelope | jackknife |") == 4
