from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_tables import SECONDS, made
from sklearn import metrics as sk

from rdbench.curves import pooling
from rdbench.errors import InputError, NotComparableError
from rdbench.tables.kinds import main_metrics
from rdbench.tables.schema import GRID


def ccc_of_frames(pred, gold):
    return 2 * np.mean((pred - pred.mean()) * (gold - gold.mean())) / (
        pred.var() + gold.var() + (pred.mean() - gold.mean()) ** 2
    )  # fmt: skip


@pytest.fixture(scope="module")
def run():
    return made(uncoded=True, clips_each=2, backends=("direct@lite", "constant"))


def test_a_pooled_point_is_the_concatenation_of_its_clips(run):
    encodes, scores, frames = run
    table = pooling.pooled(encodes, scores)
    row = table[(table.codec == "x265") & (table.factor == 4) & (table.rate == 16)].iloc[0]
    own = encodes[(encodes.codec == "x265") & (encodes.factor == 4) & (encodes.rate == 16)]
    parts = [frames[name, row.backend, "valence"] for name in own.encode]
    pred, gold = (np.concatenate(side) for side in zip(*parts, strict=True))
    assert row.value == pytest.approx(ccc_of_frames(pred, gold), abs=1e-9)
    assert row.bitrate_kbps == pytest.approx(own.payload_bits.sum() / (16 * SECONDS) / 1000, rel=1e-12)
    assert row.n == len(gold)
    assert (row.subjects, row.clips) == (8, 16)
    rmse = pooling.pooled(encodes, scores, "rmse")
    assert rmse.loc[row.name, "value"] == pytest.approx(sk.root_mean_squared_error(gold, pred), abs=1e-9)
    pcc = pooling.pooled(encodes, scores, "pcc")
    assert pcc.loc[row.name, "value"] == pytest.approx(np.corrcoef(pred, gold)[0, 1], abs=1e-9)


def test_each_grid_index_is_one_sorted_row(run):
    encodes, scores, _ = run
    table = pooling.pooled(encodes, scores)
    assert not table.duplicated(list(GRID)).any()
    assert len(table) == 2 * (2 * 2 * 5 + 2)
    assert (table.low < table.value).all()
    assert (table.value < table.high).all()
    shuffled = pooling.pooled(encodes.sample(frac=1, random_state=1), scores.sample(frac=1, random_state=2))
    pd.testing.assert_frame_equal(table, shuffled, rtol=1e-12)


def test_offsets_of_a_million_cost_no_digits(run):
    encodes, scores, _ = run
    moved = scores.assign(mean_pred=scores.mean_pred + 1e6, mean_gold=scores.mean_gold + 1e6)
    plain, far = pooling.pooled(encodes, scores), pooling.pooled(encodes, moved)
    assert far[["value", "low", "high"]].to_numpy() == pytest.approx(
        plain[["value", "low", "high"]].to_numpy(), abs=1e-8
    )


def test_uncoded_rows_have_accuracy_but_no_rate(run):
    encodes, scores, _ = run
    table = pooling.pooled(encodes, scores)
    bare = table[table.codec == "none"]
    assert bare.bitrate_kbps.isna().all()
    assert bare.value.notna().all()
    assert (pooling.curves_table(encodes, scores).codec != "none").all()


def test_the_exported_table_has_its_columns_in_order(run):
    encodes, scores, _ = run
    assert " ".join(pooling.curves_table(encodes, scores).columns) == (
        "backend codec variant region factor mode rate target gold scoring metric bitrate_kbps value low high n"
    )


def test_everything_compared_covers_the_same_clips(run):
    encodes, scores, _ = run
    lost = scores.index[(scores.encode == "test03a-4-x265-ra-abr-16.0".replace("16.0", "16"))]
    assert len(lost) == 2
    table = pooling.pooled(encodes, scores.drop(lost))
    assert (table.clips == 15).all()
    assert table.n.nunique() == 1
    assert table.attrs["left_out"] == ["clip test03a has no value at 2 of 44 points"]
    named = pooling.left_out(encodes, scores.drop(lost))
    assert list(named.name) == ["test03a"]


def test_a_refused_point_does_not_apply_and_costs_no_clip(run):
    encodes, scores, _ = run
    refused = (encodes["clip"] == "test03a") & (encodes.codec == "x264") & (encodes.rate == 4)
    gone = encodes[refused].encode
    encodes = encodes.assign(rate_status=encodes.rate_status.mask(refused, "refused"))
    table = pooling.pooled(encodes, scores[~scores.encode.isin(gone)])
    assert (table.clips == 16).all()
    assert not ((table.codec == "x264") & (table.rate == 4)).any()
    assert "refused" in table.attrs["left_out"][0]


def test_clips_without_anything_in_common_are_not_pooled():
    encodes, scores, _ = made(subjects=2, factors=(1,), codecs=("x264",))
    half = scores[scores.encode.str.contains("test00") == scores.encode.str.contains("-4|-8")]
    with pytest.raises(NotComparableError, match="finish the run"):
        pooling.pooled(encodes, half)


def test_the_pooled_rate_decides_what_is_missed():
    encodes, scores, _ = made(codecs=("x264",), factors=(1,), rates=(8, 16), saving=lambda _: 0.8)
    assert set(pooling.pooled(encodes, scores).rate_status) == {"missed"}
    encodes, scores, _ = made(codecs=("x264",), factors=(1,), rates=(8, 16), mode="crf", saving=lambda _: 0.8)
    assert set(pooling.pooled(encodes, scores).rate_status) == {"ok"}
    encodes.loc[encodes["clip"] == "test02a", "rate_status"] = "floor"
    assert set(pooling.pooled(encodes, scores).rate_status) == {"floor"}


def test_what_is_charged_is_chosen(run):
    encodes, scores, _ = run
    plain = pooling.pooled(encodes, scores).bitrate_kbps
    boxes = pooling.pooled(encodes, scores, charge_boxes=True).bitrate_kbps
    stream = pooling.pooled(encodes, scores, bits="stream").bitrate_kbps
    coded = plain.notna()
    assert (boxes - plain)[coded].to_numpy() == pytest.approx(480 / SECONDS / 1000)
    assert (stream - plain)[coded].to_numpy() == pytest.approx(960 / SECONDS / 1000)
    with pytest.raises(InputError, match="payload"):
        pooling.pooled(encodes, scores, bits="paylod")
    with pytest.raises(InputError, match="ccc"):
        pooling.pooled(encodes, scores, "cccc")


def test_larger_coded_points_are_marked(run):
    encodes, scores, _ = run
    encodes = encodes.assign(coded_width=encodes.coded_width + 8 * (encodes.factor == 4))
    table = pooling.pooled(encodes, scores)
    assert (table.coded_larger == (table.factor == 4)).all()


def test_few_subjects_get_their_own_values_and_no_band():
    encodes, scores, frames = made(subjects=4, clips_each=2)
    table = pooling.pooled(encodes, scores)
    assert table.low.isna().all()
    assert table.reason.str.contains("only 4 subjects").all()
    own = pooling.per_subject(encodes, scores)
    assert len(own) == 4 * len(table)
    one = own[(own.subject == "test01") & (own.codec == "x264") & (own.factor == 1) & (own.rate == 8)].iloc[0]
    parts = [frames[f"test01{c}-1-x264-ra-abr-8", "direct@lite", "valence"] for c in "ab"]
    pred, gold = (np.concatenate(side) for side in zip(*parts, strict=True))
    assert one.value == pytest.approx(ccc_of_frames(pred, gold), abs=1e-9)


def test_recordings_stand_by_themselves(run):
    encodes, scores, frames = run
    table = pooling.per_recording(encodes, scores)
    one = table[(table["clip"] == "test05b") & (table.rate == 32) & (table.codec == "x264")].iloc[0]
    pred, gold = frames[f"test05b-{one.factor}-x264-ra-abr-32", one.backend, "valence"]
    assert one.subject == "test05"
    assert one.value == pytest.approx(ccc_of_frames(pred, gold), abs=1e-9)


@pytest.mark.parametrize("cell", ["0", "[[1, 2]]", "[[1, -1], [0, 0]]", "no JSON", "[[1, null], [0, 0]]"])
def test_a_confusion_matrix_that_is_none_is_told(cell):
    encodes, scores, _ = made(classes=3)
    at = scores.index[scores["confusion"].notna()][0]
    broken = scores.assign(confusion=scores["confusion"].where(scores.index != at, cell))
    with pytest.raises(InputError, match="a confusion matrix that is none"):
        pooling.pooled(encodes, broken, "accuracy")


def test_categorical_targets_pool_their_confusion_matrices():
    encodes, scores, frames = made(classes=5)
    table = pooling.pooled(encodes, scores, "f1")
    row = table.iloc[3]
    own = encodes[(encodes.codec == row.codec) & (encodes.factor == row.factor) & (encodes.rate == row.rate)]
    parts = [frames[name, row.backend, "valence"] for name in own.encode]
    pred, gold = (np.concatenate(side) for side in zip(*parts, strict=True))
    assert row.value == pytest.approx(sk.f1_score(gold, pred, average="macro"), abs=1e-9)
    assert row.n == len(gold)
    assert pooling.pooled(encodes, scores, "accuracy").value[3] == pytest.approx(
        sk.accuracy_score(gold, pred)
    )
    assert pooling.pooled(encodes, scores, "ccc").empty


def test_partitions_are_never_pooled_together():
    test, dev = made(subjects=6), made(subjects=7, partition="dev", seed=1)
    encodes, scores = (pd.concat([a, b], ignore_index=True) for a, b in zip(test[:2], dev[:2], strict=True))
    assert set(pooling.pooled(encodes, scores).clips) == {6}
    assert set(pooling.pooled(encodes, scores, partition="dev").clips) == {7}
    assert set(pooling.pooled(*dev[:2]).partition) == {"dev"}


def test_targets_lose_only_their_own_clips():
    encodes, scores, _ = made(targets=("valence", "arousal"))
    bare = scores[~((scores.target == "arousal") & scores.encode.str.startswith("test02a"))]
    clips = pooling.pooled(encodes, bare).groupby("target").clips.first()
    assert dict(clips) == {"arousal": 7, "valence": 8}


def test_nothing_scored_is_an_empty_table(run):
    encodes, scores, _ = run
    for nothing in (scores.iloc[:0], scores.assign(n=None, mean_pred=None)):
        table = pooling.pooled(encodes, nothing)
        assert table.empty
        assert table.attrs["left_out"] == []
        assert pooling.curves_table(encodes, nothing).empty
        assert pooling.per_subject(encodes, nothing).empty
        assert pooling.per_recording(encodes, nothing).empty
        assert pooling.left_out(encodes, nothing).empty
    assert pooling.pooled(encodes.iloc[:0], scores).empty


def test_the_metric_follows_what_was_scored():
    _, continuous, _ = made(subjects=1)
    _, classes, _ = made(subjects=1, classes=3)
    assert main_metrics(continuous) == ("ccc",)
    some = classes.assign(confusion=classes.confusion.mask(classes.index == 0))
    assert main_metrics(some) == ("accuracy",)
    assert main_metrics(pd.concat([some, continuous])) == ("ccc", "accuracy")
    assert main_metrics(continuous.iloc[:0]) == ()


def test_tables_of_two_runs_are_refused(run):
    encodes, scores, _ = run
    with pytest.raises(InputError, match="twice"):
        pooling.pooled(pd.concat([encodes, encodes]), scores)
    other = encodes.assign(encode=encodes.encode + "x")
    double = pd.concat([scores, scores.assign(encode=scores.encode + "x")])
    with pytest.raises(InputError, match="two scores"):
        pooling.pooled(pd.concat([encodes, other]), double)
