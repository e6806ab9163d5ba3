from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.special import stdtrit

from rdbench.curves.points import metric_of_sums
from rdbench.gate.judging import judge
from rdbench.simulation.__main__ import main
from rdbench.simulation.claimed import power_of_claims, size_of_claims
from rdbench.simulation.coverage import coverage, envelope_coverage, side_of_sums
from rdbench.simulation.gated import Design, exit_codes
from rdbench.simulation.optimism import optimism
from rdbench.simulation.planned import plans
from rdbench.simulation.population import PLANTED, POPULATIONS, Population, draw
from rdbench.simulation.power import (
    _DRAWS,
    ACCURACY_LIMITS,
    RATE_LIMITS,
    _family,
    _side,
    _verdicts,
    detection,
    false_alarms,
    needed,
    spreads,
    subjects_needed,
)
from rdbench.stats import bd
from rdbench.stats.caveats import caveat

PAGE = Path(__file__).parents[2] / "docs" / "simulation.md"


def test_subjects_are_as_the_population_says():
    population = Population(saving=0.8, ratio_sd=0.05)
    stats = draw(population, 20_000, np.random.default_rng(0))
    assert stats.shape == (20_000, 2, 5, 8)
    ratio = np.log(stats[:, 1, 0, 0] / stats[:, 0, 0, 0])
    assert ratio.mean() == pytest.approx(np.log(0.8), abs=0.002)
    assert ratio.std() == pytest.approx(0.05, rel=0.03)
    side = side_of_sums(stats[:50, 0])
    assert side.values.shape == (50, 5)
    assert (np.abs(side.value) <= 1).all()
    n, sp, sg, spp, sgg, spg = np.moveaxis(stats[..., 2:], -1, 0)
    cov, vp, vg = spg - sp * sg / n, spp - sp**2 / n, sgg - sg**2 / n
    assert (cov**2 <= vp * vg * (1 + 1e-9)).all(), "no correlation beyond 1"


def test_curves_of_unlike_shape_cross():
    population = POPULATIONS["crossing"]
    stats = draw(population, 20_000, np.random.default_rng(1)).sum(axis=0)
    value = metric_of_sums(stats, np.zeros(2), "ccc")
    assert value[1, 0] > value[0, 0]
    assert value[1, -1] < value[0, -1]


def test_coverage_of_a_few_trials_has_the_shape_of_the_page():
    table = coverage(40, subjects=(8,), boot=100)
    assert len(table) == 8
    jackknife = table[table.interval == "jackknife"]
    assert (jackknife.held > 0.75).all()
    assert (table.held + table.below + table.above).to_numpy() == pytest.approx(np.ones(8))


@pytest.mark.long
def test_jackknife_intervals_hold_the_truth():
    for population in POPULATIONS.values():
        table = coverage(1000, population=population, boot=0)
        assert table.held.between(0.92, 0.98).all(), table
    assert envelope_coverage(1000).held.between(0.92, 0.98).all()


@pytest.mark.long
def test_the_gate_raises_few_false_alarms_and_finds_a_planted_loss():
    assert (false_alarms(1000, (16,), (1, 8)).regressed <= 0.05).all()
    found = detection(1000, (16,), (1,), tolerances=((0.01, 0.01),))
    assert found.rate_alone.item() >= 0.9


def test_the_gate_in_a_few_trials():
    alarms = false_alarms(30, (12,), (2,))
    assert alarms.regressed.item() <= 0.2
    found = detection(20, (24,), (1,), loss=0.10, tolerances=((0.01, 0.01),))
    assert found.rate_alone.item() > 0.9


def test_detection_is_what_the_command_finds():
    """With and without a tolerance of accuracy: the same subjects, and the family that the command judges."""
    found = detection(60, (8,), (4,), tolerances=((0.01, 0.01),))
    assert found.both.item() < found.rate_alone.item(), "twice as many comparisons"
    stats = _family(4, 8, PLANTED, np.random.default_rng(0))
    sides = _side(stats[:, :, 0]), _side(stats[:, :, 1])
    rate, accuracy = (bd.many(*sides, measure=measure) for measure in ("rate", "accuracy"))
    alone, both = _verdicts([stats], [[(0.01, None)], [(0.01, 0.02)]])[0]
    assert alone == judge(rate, tolerances=[(0.01, None)], draws=_DRAWS)
    assert both == judge(rate, accuracy, tolerances=[(0.01, 0.02)], draws=_DRAWS)


def test_the_subjects_of_planted_losses_are_as_the_page_says():
    stats = _family(2, 20_000, PLANTED, np.random.default_rng(0))
    ratio = np.log(stats[:, :, 1, :, 0] / stats[:, :, 0, :, 0])
    assert ratio.std(axis=1) == pytest.approx(np.full((2, 5), 0.04), rel=0.03)
    assert np.corrcoef(ratio[..., 0])[0, 1] == pytest.approx(0.5, abs=0.03)
    assert np.log(stats[0, :, 0, 0, 0]).std() == pytest.approx(0.2, rel=0.03)
    assert (stats[:, :, 0, :, 1:] == stats[:, :, 1, :, 1:]).all(), "nobody reacts in an own way"


def test_spreads_are_those_that_subjects_were_given():
    table = spreads(100).set_index("population")
    assert table.bd_rate["planted"] == pytest.approx(0.04, rel=0.1)
    assert (table.loc["planted"] < table.loc["alike"]).all()


def test_accuracy_needs_subjects_by_the_same_formula():
    """At equal spread and tolerance rate and accuracy need the same; two measures are twice the comparisons."""
    one = subjects_needed({"x": 0.02}, (0.025,), (8,), measures=2)
    two = subjects_needed({"x": 0.02}, (0.025,), (16,))
    assert one["x"].item() == two["x"].item() == 27
    rng = np.random.default_rng(0)
    # Held against trials: of 27 subjects that lose 0.02, 8 intervals in 10 leave out 0.
    lost = rng.normal(0.02, 0.025, (4000, 27))
    low = lost.mean(1) - stdtrit(26, 1 - 0.05 / 32) * lost.std(1, ddof=1) / np.sqrt(27)
    assert (low > 0).mean() == pytest.approx(0.8, abs=0.03)


def test_subjects_needed_grow_with_spread_and_family_and_fall_with_tolerance():
    table = subjects_needed()
    one = table[(table.sd == 0.04) & (table.curves == 1)].iloc[0]
    assert one["3 %"] == 17
    assert one["1 %"] > one["2 %"] > one["3 %"] > one["5 %"] >= 6
    assert table.groupby("sd")["1 %"].apply(lambda n: n.is_monotonic_increasing).all()
    assert subjects_needed({"0.01 %": 1e-4}, limit=50).iloc[0, 2] is None


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
    done = CliRunner().invoke(main, ["coverage", "--trials", "3", "--boot", "0"])
    assert done.exit_code == 0
    assert done.output.count("| BD-rate | jackknife |") == 8
    assert done.output.count("| BD-CCC of an envelope | jackknife |") == 4


def tables(text: str) -> list[str]:
    return re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)


def test_the_page_holds_the_subjects_that_the_command_prints():
    done = CliRunner().invoke(main, ["needed"])
    assert done.exit_code == 0
    printed = tables(done.output)
    assert len(printed) == 4
    for table in printed:
        assert table in tables(PAGE.read_text())


@pytest.mark.parametrize("only", ["false-alarms", "detection"])
def test_the_page_has_the_rows_that_the_command_prints(only):
    done = CliRunner().invoke(main, ["power", "--trials", "1", "--only", only])
    assert done.exit_code == 0
    (printed,) = tables(done.output)
    columns = printed.split("\n")[0]
    (there,) = [table for table in tables(PAGE.read_text()) if table.startswith(columns + "\n")]
    shares = r"\d+\.\d%"
    assert re.sub(shares, "", there) == re.sub(shares, "", printed)


def test_the_first_shares_of_the_page_are_those_of_the_program():
    """The first numbers of subjects alone, which no other draws precede."""
    text = PAGE.read_text()
    alarms = false_alarms(1000, (8,), (1,)).regressed.item()
    assert f"| 8 | 1 | {alarms:.1%} |" in text
    for row in detection(1000, (8,), (1,)).itertuples():
        shares = f"{row.rate_alone:.1%} | {row.both:.1%}"
        assert f"| {row.max_bd_rate:.0%} | {row.max_accuracy_drop:g} | 8 | 1 | {shares} |" in text


@pytest.mark.long
def test_the_page_holds_the_shares_that_the_command_prints():
    done = CliRunner().invoke(main, ["power"])
    printed = tables(done.output)
    assert len(printed) == 2
    for table in printed:
        assert table in tables(PAGE.read_text())


def test_the_rules_quote_the_page():
    held: dict[str, list[float]] = {"jackknife": [], "bootstrap": []}
    for kind, share in re.findall(r"\| (jackknife|bootstrap) \| \d+ \| ([\d.]+)% ", PAGE.read_text()):
        held[kind].append(float(share))
    rules = " ".join((PAGE.parent / "method.md").read_text().split())
    for shares in held.values():
        assert f"{min(shares)} % to {max(shares)} %" in rules


def test_the_tolerances_of_the_workflow_are_tabulated():
    workflow = (PAGE.parent / "ci.md").read_text()
    rate = re.search(r"--max-bd-rate (\d+)%$", workflow, re.MULTILINE)
    drop = re.search(r"--max-accuracy-drop ([\d.]+)$", workflow, re.MULTILINE)
    assert rate is not None
    assert drop is not None
    assert f"{rate.group(1)} %" in RATE_LIMITS
    assert drop.group(1) in ACCURACY_LIMITS
    assert (0.01 * int(rate.group(1)), float(drop.group(1))) == (0.03, 0.02)
    found = needed()
    rate_needs = found["max-bd-rate where accuracy is judged too"].set_index(
        ["sd of the log ratio", "curves"]
    )["3 %"]
    drop_needs = found["max-accuracy-drop where the rate is judged too"].set_index(
        ["sd of BD-CCC", "curves"]
    )["0.02"]
    needs = [max(rate_needs[0.04, curves], drop_needs[0.025, curves]) for curves in (1, 8, 32)]
    assert (
        f"{needs[0]} subjects for one curve, {needs[1]} for a family of 8 and {needs[2]} for one of 32"
        in " ".join(PAGE.read_text().split())
    )
    assert f"hold their promise with {needs[1]} subjects and 8 curves" in " ".join(workflow.split())


@pytest.mark.long
def test_a_file_of_claims_finds_what_is_there_and_says_nothing_of_what_is_not():
    table = size_of_claims(4, (8,), worlds=("better but for the last factor",))
    assert list(table.columns) == ["world", "subjects", "mean", "sentence", "member", "any"]
    assert (table["any"] >= table[["mean", "sentence", "member"]].max(axis=1)).all()
    (row,) = power_of_claims(3, (0.3,), (16,)).to_dict("records")
    assert row["on average"] == 1.0
    assert row["ccc"] > 0.1
    (row,) = power_of_claims(3, (0.0,), (16,)).to_dict("records")
    assert row["on average"] < 0.2
    assert abs(row["ccc"]) < 0.05


@pytest.mark.long
def test_the_exit_codes_are_those_of_the_whole_check():
    (row,) = exit_codes(6, (Design(24, curves=2),)).to_dict("records")
    assert row["loss"] > 0.03, "a loss that is found exceeds the tolerance"
    assert row["false"] <= 0.2
    assert row["found"] >= 0.5
    (hopeless,) = exit_codes(3, (Design(8, max_bd_rate=0.001),)).to_dict("records")
    assert hopeless["passes"] == 0


def test_the_best_of_equal_factors_looks_better_than_it_is():
    table = optimism(20, (8, 32), (0.3, 0.9))
    assert (table[["lowest", "highest"]] > 0).all(axis=None)
    few, many = (table[table["subjects"] == n]["lowest"].to_numpy() for n in (8, 32))
    assert (few > many).all()


@pytest.mark.long
def test_a_planned_run_becomes_about_what_was_wanted():
    (row,) = plans(30, (16,), half_width=0.02).to_dict("records")
    assert row["width"] == pytest.approx(0.02, rel=0.3)
    assert row["safe"] > row["subjects"]
    assert row["safe_width"] < row["width"]
