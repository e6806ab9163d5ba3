"""A whole run scored again: a delay planted in the synthetic set, fitted on train, reported on dev."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_ratings import TARGETS, Tables, run_of

from rdbench import curves, metrics
from rdbench.datasets.drawing.picture import Recording as Drawn
from rdbench.errors import InputError
from rdbench.rescoring import rescored
from rdbench.scoring import fit
from rdbench.store import pack, unpack
from rdbench.tables import MOMENTS, SCORES


@pytest.fixture(scope="module")
def train() -> Tables:
    return run_of("train", 12, 2.8)


@pytest.fixture(scope="module")
def dev() -> Tables:
    return run_of("dev", 4, 2.8, rates=(2.0, 4.0, 8.0, 16.0))


def pooled_ccc(run: Tables, scores: pd.DataFrame) -> pd.DataFrame:
    """Pooled CCC for each target and rate, row by row."""
    rows = scores.merge(run.encodes[["encode", "codec", "rate"]], on="encode")
    out = metrics.merge_by(rows, ["target", "codec", "rate"])
    return out.assign(ccc=metrics.ccc(out[list(MOMENTS)].to_numpy()))


@pytest.mark.parametrize("delay", [0.0, 1.2, 2.8, 4.0])
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
        keys = new.scores.loc[new.scores["target"] == target, "scoring"].unique()
        assert list(keys) == [chosen.scoring.key]
        assert keys[0].startswith("delay=2.8")
    before, after = pooled_ccc(dev, dev.scores), pooled_ccc(dev, new.scores)
    assert (after["ccc"] > before["ccc"] + 0.2).all()
    assert after.loc[after["codec"] == "none", "ccc"].min() > 0.9
    coded = after[after["codec"] == "x264"]
    assert (coded.groupby("target")["ccc"].apply(lambda c: (np.diff(c) > 0).all())).all()


def test_new_scores_make_curves(train, dev):
    new = rescored(dev, train)
    table = curves.pooled(dev.encodes, pd.concat([dev.scores, new.scores], ignore_index=True))
    assert table["scoring"].nunique() == 1 + new.scores["scoring"].nunique()


def test_what_is_reported_has_no_say(train, dev):
    other = run_of("dev", 4, 6.0, rates=(2.0,), gain=-1)
    assert rescored(dev, train).fitted == rescored(other, train).fitted


def test_the_challenge_way_fits_on_dev_and_says_so(dev):
    new = rescored(dev, protocol="avec2016")
    assert new.scores["scoring"].str.endswith(",fit=dev").all()
    assert {f.scoring.delay for f in new.fitted.values()} == {2.8}
    with pytest.raises(InputError, match="fitted on the train recordings"):
        rescored(dev)


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
    with pytest.raises(InputError, match="lack outputs: they were written by an earlier version"):
        rescored(replace(dev, predictions=dev.predictions.assign(data=nameless)), train)


def test_the_same_as_fitting_by_hand(train):
    from rdbench.rescoring import _plain, _series

    made = [recording for row, recording in _series(_plain(train)) if row.target == "valence"]
    assert fit(made) == rescored(train).fitted["frame", "direct@lite", "valence"]
    for recording in made:
        affect = Drawn("train", int(recording.clip.split("_")[1])).affect
        seen = np.isfinite(recording.pred)
        assert np.corrcoef(recording.pred[seen], affect.valence[seen])[0, 1] > 0.9
