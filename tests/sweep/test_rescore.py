"""A whole run scored again: a delay planted in the synthetic set, fitted on train, reported on dev."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_ratings import TARGETS, Tables, both, run_of
from merged import merge_by

from rdbench.curves import pooling
from rdbench.datasets.drawing.picture import Recording as Drawn
from rdbench.errors import InputError
from rdbench.stats import metrics
from rdbench.sweep.corrections import fit, procedure
from rdbench.sweep.rescore import rescored
from rdbench.tables.predictions import pack, unpack
from rdbench.tables.schema import MOMENTS, SCORES


@pytest.fixture(scope="module")
def train() -> Tables:
    return run_of("train", 12, 2.8)


@pytest.fixture(scope="module")
def dev() -> Tables:
    return run_of("dev", 4, 2.8, rates=(2.0, 4.0, 8.0, 16.0))


def pooled_ccc(run: Tables, scores: pd.DataFrame) -> pd.DataFrame:
    """Pooled CCC for each target and rate, row by row."""
    rows = scores.merge(run.encodes[["encode", "codec", "rate"]], on="encode")
    out = merge_by(rows, ["target", "codec", "rate"])
    return out.assign(ccc=metrics.ccc(out[list(MOMENTS)].to_numpy()))


@pytest.mark.parametrize(
    "delay", [0.0, pytest.param(1.2, marks=pytest.mark.long), 2.8, pytest.param(4.0, marks=pytest.mark.long)]
)
def test_a_delay_planted_in_the_synthetic_set_is_recovered_exactly(delay):
    train = run_of("train", 12, delay)
    fitted = rescored(train).fitted
    assert set(fitted) == {("frame", "direct@lite", target) for target in TARGETS}
    assert {f.scoring.delay for f in fitted.values()} == {delay}


def test_every_condition_is_scored_again_with_what_train_chose(train, dev):
    new = rescored(dev, train)
    assert len(new.scores) == len(dev.scores)
    assert list(new.scores.columns) == list(SCORES)
    for target in TARGETS:
        chosen = new.fitted["frame", "direct@lite", target]
        assert chosen.scoring.delay == 2.8
        assert set(chosen.clips) == {f"train_{i}" for i in range(1, 13)}
        assert chosen.told([])[0].startswith("delay=2.8, ")
    assert set(new.scores["scoring"]) == {procedure("loso")}
    before, after = pooled_ccc(dev, dev.scores), pooled_ccc(dev, new.scores)
    assert (after["ccc"] > before["ccc"] + 0.2).all()
    assert after.loc[after["codec"] == "none", "ccc"].min() > 0.9
    coded = after[after["codec"] == "x264"]
    assert (coded.groupby("target")["ccc"].apply(lambda c: (np.diff(c) > 0).all())).all()


def test_new_scores_make_curves(train, dev):
    new = rescored(dev, train)
    table = pooling.pooled(dev.encodes, pd.concat([dev.scores, new.scores], ignore_index=True))
    assert set(table["scoring"]) == {"plain", procedure("loso")}


def test_back_ends_that_chose_differently_share_a_key():
    def run(partition, count, rates=()):
        late = run_of(partition, count, 2.8, rates, backend="late", lag=0.8)
        return both(run_of(partition, count, 2.8, rates), late)

    new = rescored(run("dev", 2, (2.0,)), run("train", 8))
    delays = {key[1]: fitted.scoring.delay for key, fitted in new.fitted.items() if key[2] == "valence"}
    assert delays == {"direct@lite": 2.8, "late": 2.0}
    assert set(new.scores["backend"]) == set(delays)
    assert set(new.scores["scoring"]) == {procedure("loso")}


def test_a_back_end_that_needs_nothing_has_the_key_and_its_plain_moments():
    perfect = {"gain": 1.0, "offset": 0.0, "floor": 0.0}
    dev = run_of("dev", 2, 0.0, (2.0,), **perfect)
    new = rescored(dev, run_of("train", 4, 0.0, **perfect))
    assert {fitted.told([])[0] for fitted in new.fitted.values()} == {"nothing"}
    assert set(new.scores["scoring"]) == {procedure("loso")}
    key = ["encode", "target"]
    before, after = (table.sort_values(key).reset_index(drop=True) for table in (dev.scores, new.scores))
    moments = list(MOMENTS)
    assert after[moments].to_numpy(float) == pytest.approx(before[moments].to_numpy(float), abs=1e-9)


def test_what_is_reported_has_no_say(train, dev):
    other = run_of("dev", 4, 6.0, rates=(2.0,), gain=-1)
    assert rescored(dev, train).fitted == rescored(other, train).fitted


def test_the_challenge_way_fits_on_dev_and_says_so(dev):
    new = rescored(dev, protocol="avec2016")
    assert set(new.scores["scoring"]) == {procedure("avec2016")}
    assert {f.scoring.delay for f in new.fitted.values()} == {2.8}
    assert all(f.fitted_on.endswith(": chosen on what is reported") for f in new.fitted.values())
    with pytest.raises(InputError, match="fitted on the train recordings"):
        rescored(dev)


def test_the_challenge_way_may_fit_on_one_run_and_report_another(dev):
    new = rescored(run_of("test", 3, 2.8, rates=(2.0,)), dev, "avec2016")
    assert set(new.scores["scoring"]) == {procedure("avec2016")}
    for fitted in new.fitted.values():
        assert fitted.clips == tuple(f"dev_{i}" for i in range(1, 5))
        assert fitted.fitted_on == "4 dev recordings, as in the AVEC 2016 challenge"
    with pytest.raises(InputError, match="fitted on the dev recordings"):
        rescored(run_of("test", 3, 2.8), protocol="avec2016")


def test_a_train_subject_is_scored_with_what_the_others_chose(train):
    new = rescored(train)
    again = new.scores.merge(train.encodes[["encode", "subject"]], on="encode")
    for subject in ("train_1", "train_7"):
        others = train.encodes["subject"] != subject
        alone = rescored(
            replace(train, encodes=train.encodes[~others]), replace(train, encodes=train.encodes[others])
        )
        ours = again[again["subject"] == subject][list(SCORES)].reset_index(drop=True)
        pd.testing.assert_frame_equal(ours, alone.scores.reset_index(drop=True))
        assert all(new.fitted[key].without[subject] == alone.fitted[key] for key in new.fitted)
    # What all of them chose together would be another answer.
    together = rescored(
        replace(train, encodes=train.encodes.assign(subject="x" + train.encodes["subject"])), train
    )
    assert not np.allclose(
        together.scores[list(MOMENTS)].to_numpy(float), new.scores[list(MOMENTS)].to_numpy(float), atol=1e-6
    )


def test_runs_that_share_a_subject_are_kept_apart(train, dev):
    with pytest.raises(InputError, match=r"share 12 of their subjects \(train_1, .*\.\.\.\)"):
        rescored(train, train)
    with pytest.raises(InputError, match="share 4 of their subjects"):
        rescored(dev, dev, "avec2016")
    one = train.encodes["subject"].replace("train_3", "dev_2")
    with pytest.raises(InputError, match=r"share 1 of their subjects \(dev_2\)"):
        rescored(dev, replace(train, encodes=train.encodes.assign(subject=one)))
    with pytest.raises(InputError, match="fitted on the train recordings"):
        rescored(dev, dev)
    with pytest.raises(InputError, match="at least 3 train subjects, but there are 2"):
        rescored(run_of("train", 2, 2.8))


def test_pristine_references_are_left_alone(train, dev):
    scores = dev.scores.assign(gold="pristine:direct@lite")
    with pytest.raises(InputError, match="no continuous target with labels"):
        rescored(replace(dev, scores=scores), train)


def test_what_cannot_be_rescored_is_told(train, dev):
    with pytest.raises(InputError, match="no stored predictions"):
        rescored(replace(dev, predictions=pd.DataFrame()), train)
    with pytest.raises(InputError, match="other weights"):
        rescored(dev, run_of("train", 3, 2.8, weights="other"))
    coded = train.encodes.assign(codec="x264")
    with pytest.raises(InputError, match="run has none of them"):
        rescored(dev, replace(train, encodes=coded))
    with pytest.raises(InputError, match="no such rows"):
        rescored(dev, replace(train, encodes=train.encodes.assign(region="face")))
    swapped = dev.predictions.assign(data=dev.predictions["data"].to_numpy()[::-1])
    with pytest.raises(InputError, match="the run's store is damaged"):
        rescored(replace(dev, predictions=swapped), train)
    nameless = [pack({k: v for k, v in unpack(b).items() if k != "outputs"}) for b in dev.predictions["data"]]
    with pytest.raises(
        InputError, match="do not name their targets: they were written by an earlier version"
    ):
        rescored(replace(dev, predictions=dev.predictions.assign(data=nameless)), train)


def test_the_same_as_fitting_by_hand(train):
    from rdbench.sweep.rescore import _plain, _series

    made = [recording for row, recording in _series(_plain(train)) if row.target == "valence"]
    everybody = {recording.subject for recording in made}
    assert fit(made, reported=everybody) == rescored(train).fitted["frame", "direct@lite", "valence"]
    for recording in made:
        affect = Drawn("train", int(recording.clip.split("_")[1])).affect
        seen = np.isfinite(recording.pred)
        assert np.corrcoef(recording.pred[seen], affect.valence[seen])[0, 1] > 0.9
