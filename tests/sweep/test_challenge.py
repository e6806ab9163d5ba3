"""`rdbench rescore` as it is called: what it prints, what it adds to a run, and what it leaves alone."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from made_ratings import both, run_of, stored

from rdbench.cli.group import main
from rdbench.curves.run import open_run
from rdbench.stats import metrics
from rdbench.sweep.corrections import procedure
from rdbench.sweep.rescore import rescored
from rdbench.tables.schema import MOMENTS


def call(*arguments: object, code: int = 0) -> tuple[str, str]:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored(run_of("train", 8, 2.8), tmp_path_factory.mktemp("train"))


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    return stored(run_of("dev", 4, 2.8, rates=(2.0, 4.0, 8.0, 16.0)), tmp_path / "dev")


def test_both_scorings_stand_side_by_side_and_are_the_scores_of_the_rows(train, dev):
    plain = open_run(dev).scores
    out, err = call("rescore", dev, "--fitted-on", train, "--format", "json")
    told = json.loads(out)
    assert "40 rows added" in err
    both = open_run(dev).scores
    assert len(both) == 2 * len(plain)
    assert told["partition"] == "dev"
    table = pd.DataFrame(told["scores"])
    assert len(table) == 2 * 2 * 5
    delays = [step for step in told["fitted"] if step["step"] == "delay"]
    assert {(step["value"], step["kept"], step["recordings"]) for step in delays} == {(2.8, True, 8)}
    assert all("train subjects" in step["fitted_on"] for step in told["fitted"])
    assert table.loc[table["scoring"] == "plain", "fitted_on"].isna().all()
    assert table.loc[table["scoring"] != "plain", "fitted_on"].str.contains("8 train subjects").all()
    encodes = open_run(dev).encodes
    for row in table.itertuples():
        rows = both[(both["target"] == row.target) & (both["scoring"] == row.scoring)].merge(
            encodes, on="encode"
        )
        stats = rows.loc[(rows["codec"] == row.codec) & (rows["rate"] == row.rate), list(MOMENTS)].to_numpy(
            float
        )
        assert row.recordings == len(stats) == 4
        assert row.ccc_concatenated == pytest.approx(float(metrics.ccc(metrics.merge(stats))), abs=1e-12)
        assert row.ccc_mean_of_recordings == pytest.approx(float(metrics.ccc(stats).mean()), abs=1e-12)
    gain = table[table["scoring"] != "plain"]["ccc_concatenated"].to_numpy() - (
        table[table["scoring"] == "plain"]["ccc_concatenated"].to_numpy()
    )
    assert (gain > 0.2).all()


def test_people_and_spreadsheets_read_the_same_numbers(train, dev):
    table, _ = call("rescore", dev, "--fitted-on", train)
    assert "ccc_concatenated" in table
    assert "ccc_mean_of_recordings" in table
    assert "leave-one-subject-out over 8 train subjects" in table
    csv, _ = call("rescore", dev, "--fitted-on", train, "--format", "csv")
    rows = pd.read_csv(io.StringIO(csv))
    uncoded = rows[(rows["codec"] == "none") & (rows["scoring"] == "plain")]
    assert all(f"{value:.4g}" in table for value in uncoded["ccc_concatenated"])


def test_the_same_call_again_changes_nothing_and_another_fit_takes_its_place(train, dev, tmp_path):
    call("rescore", dev, "--fitted-on", train)
    once = open_run(dev).scores
    call("rescore", dev, "--fitted-on", train)
    pd.testing.assert_frame_equal(open_run(dev).scores, once)
    other = stored(run_of("train", 8, 1.2), tmp_path / "other")
    call("rescore", dev, "--fitted-on", other)
    again = open_run(dev)
    assert len(again.scores) == len(once)
    fitted = again.fitted
    assert set(fitted.loc[fitted["step"] == "delay", "value"]) == {1.2}


def test_the_challenges_own_way_is_marked_and_stands_beside_ours(train, dev):
    call("rescore", dev, "--fitted-on", train)
    _, err = call("rescore", dev, "--protocol", "avec2016")
    assert "chosen on dev, which is also what is reported" in err
    run = open_run(dev)
    for keys in run.scores.groupby("target")["scoring"].unique():
        assert set(keys) == {"plain", procedure("loso"), procedure("avec2016")}
    assert run.fitted.groupby("scoring")["fitted_on"].nunique().to_dict() == {
        procedure("loso"): 1,
        procedure("avec2016"): 1,
    }
    _, err = call("rescore", dev, "--protocol", "avec2016", "--fitted-on", train, code=2)
    assert "fitted on the dev recordings" in err
    _, err = call("rescore", dev, "--protocol", "avec2016", "--fitted-on", dev, code=2)
    assert "leave --fitted-on out" in err


def test_the_challenges_own_way_chosen_on_dev_and_reported_on_test(dev, tmp_path):
    test = stored(run_of("test", 3, 2.8, rates=(2.0, 4.0)), tmp_path / "test")
    out, err = call("rescore", test, "--protocol", "avec2016", "--fitted-on", dev, "--format", "json")
    assert "chosen on dev, and what is reported is test" in err
    told = json.loads(out)
    assert told["partition"] == "test"
    rows = pd.DataFrame(told["scores"])
    marked = rows[rows["scoring"] == procedure("avec2016")]
    assert len(marked) == len(rows) / 2 == 6
    assert set(marked["fitted_on"]) == {"4 dev recordings, as in the AVEC 2016 challenge"}
    assert open_run(dev).fitted.empty


@pytest.mark.long
def test_curves_deltas_and_exports_show_both(train, tmp_path):
    rates, codecs = (2.0, 4.0, 8.0, 16.0), ("x264", "x265")
    dev = stored(run_of("dev", 4, 2.8, rates=rates, codecs=codecs), tmp_path / "dev")
    call("rescore", dev, "--fitted-on", train)
    call("export", dev, "--out", tmp_path)
    assert set(pd.read_csv(tmp_path / "scores.csv")["scoring"]) == {"plain", procedure("loso")}
    fitted = pd.read_csv(tmp_path / "fitted.csv")
    assert list(fitted.loc[fitted["step"] == "delay", "value"]) == [2.8, 2.8]
    out, _ = call("bd", dev, "--anchor", "codec=x264", "--test", "codec=x265", "--format", "json")
    deltas = pd.DataFrame(json.loads(out))
    assert len(deltas) == 4
    assert deltas["scoring"].nunique() == 2
    assert np.allclose(deltas["bd_accuracy"].astype(float), 0, atol=0.05)
    curves = open_run(dev).curves()
    assert curves.groupby("target")["scoring"].nunique().eq(2).all()
    files, _ = call("plot", dev, "--out", tmp_path / "figures", "--only", "rd")
    assert files.strip()


@pytest.mark.long
def test_back_ends_that_chose_differently_are_compared(tmp_path):
    def run(partition, count, rates=()):
        late = run_of(partition, count, 2.8, rates, backend="late", lag=0.8)
        return stored(both(run_of(partition, count, 2.8, rates), late), tmp_path / partition)

    dev = run("dev", 4, (2.0, 4.0, 8.0, 16.0))
    call("rescore", dev, "--fitted-on", run("train", 6))
    run_ = open_run(dev)
    delays = run_.fitted[run_.fitted["step"] == "delay"].groupby("backend")["value"].unique().map(list)
    assert delays.to_dict() == {"direct@lite": [2.8], "late": [2.0]}
    sides = ("--anchor", "backend=direct@lite", "--test", "backend=late")
    deltas = pd.DataFrame(json.loads(call("bd", dev, *sides, "--format", "json")[0]))
    rescored = deltas[deltas["scoring"] == procedure("loso")]
    assert set(rescored["target"] if "target" in rescored else rescored["test_target"]) == {
        "arousal",
        "valence",
    }
    # Once each has the delay that suits it, they are alike.
    assert (rescored["bd_accuracy"].astype(float).abs() < 0.05).all()
    assert (deltas.loc[deltas["scoring"] == "plain", "bd_accuracy"].astype(float).abs() > 0.1).all()


@pytest.mark.long
def test_a_train_run_is_scored_with_what_the_others_chose(tmp_path):
    run = run_of("train", 4, 2.8)
    folder = stored(run, tmp_path / "train")
    out, err = call("rescore", folder, "--format", "json")
    assert "each subject is scored with what was chosen without it" in err
    rows = pd.DataFrame(json.loads(out)["scores"])
    marked = rows[rows["scoring"] == procedure("loso")]
    assert marked["fitted_on"].str.endswith("4 train subjects, each scored with what the others chose").all()
    assert marked["chosen"].str.startswith("delay=2.8, ").all()
    assert marked["chosen"].str.contains(" to ").all()  # four choices, of which no two have one bias
    scores = open_run(folder).scores
    for number in range(1, 5):
        # One run of that subject alone, and one of all others: the same row comes of it.
        one, others = (
            replace(run, encodes=run.encodes[(run.encodes["subject"] == f"train_{number}") == alone])
            for alone in (True, False)
        )
        wanted = rescored(one, others).scores
        same = scores[(scores["scoring"] != "plain") & scores["encode"].isin(wanted["encode"])]
        same = same.set_index("target").loc[wanted["target"], list(MOMENTS)]
        np.testing.assert_array_equal(same.to_numpy(float), wanted[list(MOMENTS)].to_numpy(float))
    _, err = call("rescore", folder, "--fitted-on", folder, code=2)
    assert "share 4 of their subjects" in err


def test_both_scores_are_given_plainly_where_nothing_is_fitted(train, dev, tmp_path):
    before = open_run(dev).scores
    out, err = call("rescore", dev, "--format", "json")
    assert "the run has no train recordings" in err
    assert "rows added" not in err
    told = json.loads(out)
    assert told["fitted"] == []
    rows = pd.DataFrame(told["scores"])
    assert set(rows["scoring"]) == {"plain"}
    assert len(rows) == 2 * 5
    first = rows[(rows["codec"] == "none") & (rows["target"] == "valence")].iloc[0]
    encodes = open_run(dev).encodes
    uncoded = before[before["encode"].isin(encodes.loc[encodes["codec"] == "none", "encode"])]
    stats = uncoded.loc[uncoded["target"] == "valence", list(MOMENTS)].to_numpy(float)
    assert first["ccc_concatenated"] == pytest.approx(float(metrics.ccc(metrics.merge(stats))), abs=1e-12)
    assert first["ccc_mean_of_recordings"] == pytest.approx(float(metrics.ccc(stats).mean()), abs=1e-12)
    assert first["recordings"] == 4
    table, _ = call("rescore", dev, "--plain")
    assert f"{first['ccc_mean_of_recordings']:.4g}" in table
    assert "What was tried" not in table
    pd.testing.assert_frame_equal(open_run(dev).scores, before)
    # From tables alone, and where a fit would be possible.
    call("export", dev, "--out", tmp_path / "tables")
    out, _ = call("rescore", tmp_path / "tables", "--plain", "--format", "json")
    assert json.loads(out)["scores"] == told["scores"]
    assert "plain" in call("rescore", train, "--plain", "--format", "csv")[0]
    assert open_run(train).fitted.empty
    _, err = call("rescore", dev, "--plain", "--fitted-on", train, code=2)
    assert "--plain fits nothing" in err


def test_what_cannot_be_rescored_says_why(train, dev, tmp_path):
    call("export", dev, "--out", tmp_path / "tables")
    _, err = call("rescore", tmp_path / "tables", "--fitted-on", train, code=2)
    assert "no stored predictions" in err
    assert not (tmp_path / "tables" / "run.sqlite").exists()
    before = open_run(dev).scores
    call("rescore", dev, "--protocol", "best", code=2)
    pd.testing.assert_frame_equal(open_run(dev).scores, before)


def test_where_nothing_helps_the_score_stays_plain(tmp_path):
    folder = stored(run_of("train", 4, 0.0, gain=1.0, offset=0.0, floor=0.0), tmp_path / "run")
    before = open_run(folder).scores
    out, err = call("rescore", folder, "--format", "json")
    told = json.loads(out)
    assert not any(step["kept"] for step in told["fitted"])
    assert {row["chosen"] for row in told["scores"]} == {None, "nothing"}
    assert err.count("its scores are the plain ones") == 2
    after = open_run(folder).scores
    assert len(after) == 2 * len(before)
    same = after[after["scoring"] == "plain"].reset_index(drop=True)
    pd.testing.assert_frame_equal(same, before)
