from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from merged import merge_by
from sklearn import metrics as sk

from rdbench.stats import metrics
from rdbench.tables.schema import MOMENTS

TOLERANCE = 1e-9


def signals(frames: int, offset: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    gold = rng.normal(size=frames) + offset
    return 0.6 * (gold - offset) + 0.3 * rng.normal(size=frames) + 0.1 + offset, gold


def by_definition(pred: np.ndarray, gold: np.ndarray) -> float:
    covariance = np.mean((pred - pred.mean()) * (gold - gold.mean()))
    return 2 * covariance / (pred.var() + gold.var() + (pred.mean() - gold.mean()) ** 2)


@pytest.mark.parametrize("offset", [0.0, 1e6, -1e6])
def test_continuous_metrics_agree_with_the_textbook_and_scikit_learn(offset):
    pred, gold = signals(1000, offset)
    stats = metrics.moments(pred, gold)
    # The reference works about the offset: by itself it would lose the digits that are in question.
    assert metrics.ccc(stats) == pytest.approx(by_definition(pred - offset, gold - offset), abs=TOLERANCE)
    assert metrics.pcc(stats) == pytest.approx(np.corrcoef(pred - offset, gold - offset)[0, 1], abs=TOLERANCE)
    assert metrics.rmse(stats) == pytest.approx(sk.root_mean_squared_error(gold, pred), abs=TOLERANCE)


@pytest.mark.parametrize("offset", [0.0, 1e6, -1e6])
@pytest.mark.parametrize("frames", [2, 500])
def test_ccc_agrees_with_torchmetrics_but_for_its_normalisation(offset, frames):
    torch = pytest.importorskip("torch")
    from torchmetrics.functional import concordance_corrcoef, mean_squared_error, pearson_corrcoef

    pred, gold = signals(frames, offset)
    stats = metrics.moments(pred, gold)
    n, p, g, vp, vg, cov = stats
    sample = 2 * cov / (n - 1) / ((vp + vg) / (n - 1) + (p - g) ** 2)
    # Both are unchanged by an offset; theirs is taken about it, since it keeps fewer digits.
    as_tensor = torch.from_numpy(pred - offset), torch.from_numpy(gold - offset)
    assert sample == pytest.approx(float(concordance_corrcoef(*as_tensor)), abs=TOLERANCE)
    assert float(metrics.pcc(stats)) == pytest.approx(float(pearson_corrcoef(*as_tensor)), abs=TOLERANCE)
    wanted = float(mean_squared_error(*as_tensor, squared=False))
    assert float(metrics.rmse(stats)) == pytest.approx(wanted, abs=TOLERANCE)
    assert metrics.ccc(stats) != pytest.approx(sample, abs=1e-6)


def test_classification_agrees_with_torchmetrics():
    torch = pytest.importorskip("torch")
    from torchmetrics.functional import classification as tm

    rng = np.random.default_rng(3)
    gold = rng.integers(0, 7, 1000)
    pred = np.where(rng.random(1000) < 0.5, gold, rng.integers(0, 7, 1000))
    table = metrics.confusion_matrix(pred, gold, 7)
    given = torch.from_numpy(pred), torch.from_numpy(gold)
    assert (table == tm.multiclass_confusion_matrix(*given, num_classes=7).numpy()).all()
    # torchmetrics counts exactly and divides in float32; its counts are divided in float64 here, as it does.
    counts = tm.multiclass_stat_scores(*given, num_classes=7, average=None)
    right, wrong, _, missed, present = counts.to(torch.float64).T
    accuracy = right.sum() / present.sum()
    f1 = (2 * right / (2 * right + wrong + missed)).mean()
    assert metrics.accuracy(table) == pytest.approx(float(accuracy), abs=TOLERANCE)
    assert metrics.macro_f1(table) == pytest.approx(float(f1), abs=TOLERANCE)
    # So much for the formulas; that they are torchmetrics' own is seen to the digits that it keeps.
    theirs = tm.multiclass_accuracy(*given, num_classes=7, average="micro")
    assert float(accuracy) == pytest.approx(float(theirs), abs=1e-6)
    theirs = tm.multiclass_f1_score(*given, num_classes=7, average="macro")
    assert float(f1) == pytest.approx(float(theirs), abs=1e-6)


def test_classification_agrees_with_scikit_learn():
    rng = np.random.default_rng(1)
    gold = rng.integers(0, 7, 2000)
    pred = np.where(rng.random(2000) < 0.4, gold, rng.integers(0, 7, 2000))
    table = metrics.confusion_matrix(pred, gold, 7)
    assert (table == sk.confusion_matrix(gold, pred)).all()
    assert metrics.accuracy(table) == pytest.approx(sk.accuracy_score(gold, pred), abs=TOLERANCE)
    assert metrics.macro_f1(table) == pytest.approx(sk.f1_score(gold, pred, average="macro"), abs=TOLERANCE)


def test_f1_leaves_out_classes_that_occur_nowhere():
    gold, pred = [0, 0, 2, 2], [0, 2, 2, 2]
    table = metrics.confusion_matrix(pred, gold, 4)
    assert metrics.macro_f1(table) == pytest.approx(sk.f1_score(gold, pred, average="macro"), abs=TOLERANCE)
    assert np.isnan(metrics.macro_f1(np.zeros((3, 3))))
    assert np.isnan(metrics.accuracy(np.zeros((3, 3))))


def test_unlabelled_frames_are_left_out():
    assert metrics.confusion_matrix([1, 0, 1], [1, -1, 0], 2).sum() == 2
    assert metrics.moments([1.0, 2.0, np.nan, 4.0], [1.0, np.nan, 3.0, 5.0])[0] == 2


def test_constant_prediction_scores_zero_and_constant_gold_is_missing():
    varying = np.linspace(-1, 1, 7)
    constant = metrics.moments(np.full(7, 0.1), varying)
    assert metrics.ccc(constant) == 0
    assert np.isnan(metrics.pcc(constant))
    assert metrics.rmse(constant) > 0
    flat = metrics.moments(varying, np.full(7, 0.1))
    assert np.isnan(metrics.ccc(flat))
    assert np.isnan(metrics.pcc(flat))


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_one_frame_has_an_error_and_no_correlation(offset):
    one = metrics.moments([0.25 + offset], [0.75 + offset])
    assert metrics.rmse(one) == pytest.approx(sk.root_mean_squared_error([0.75], [0.25]), abs=TOLERANCE)
    assert np.isnan(metrics.ccc(one))
    assert np.isnan(metrics.pcc(one))
    table = metrics.confusion_matrix([1], [1], 3)
    assert metrics.accuracy(table) == sk.accuracy_score([1], [1]) == 1
    assert metrics.macro_f1(table) == sk.f1_score([1], [1], average="macro") == 1


def test_one_frame_and_none():
    one = metrics.moments([0.25], [0.75])
    assert np.isnan(metrics.ccc(one))
    assert metrics.rmse(one) == pytest.approx(0.5, abs=TOLERANCE)
    none = metrics.moments([], [])
    assert none[0] == 0
    assert np.isnan(metrics.ccc(none))
    assert np.isnan(metrics.rmse(none))
    assert metrics.merge(np.stack([none, one, none]))[:3] == pytest.approx(one[:3])
    assert metrics.merge(np.stack([none, none]))[0] == 0


def test_predictions_and_gold_must_match():
    with pytest.raises(ValueError, match="3 predictions"):
        metrics.moments([1, 2, 3], [1, 2])


@settings(max_examples=60)
@given(
    arrays(np.float64, st.tuples(st.integers(3, 60), st.just(2)), elements=st.floats(-100, 100, width=32)),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 1e6]),
)
def test_merging_parts_in_any_order_equals_the_whole(frames, seed, offset):
    rng = np.random.default_rng(seed)
    frames = frames + offset
    parts = np.array_split(rng.permutation(frames), rng.integers(1, len(frames) + 1))
    whole = metrics.moments(frames[:, 0], frames[:, 1])
    stats = np.stack([metrics.moments(part[:, 0], part[:, 1]) for part in parts])
    scale = 1 + np.abs(whole)
    assert np.abs(metrics.merge(stats) - whole).max(where=~np.isnan(whole), initial=0) <= 1e-9 * scale.max()
    one_by_one = stats[0]
    for part in rng.permutation(stats[1:]):
        one_by_one = metrics.merge(np.stack([one_by_one, part]))
    assert np.abs(one_by_one - whole).max() <= 1e-9 * scale.max()


def test_merging_along_an_inner_axis():
    stats = np.stack([[metrics.moments(*signals(20, 5, s)) for s in (a, b)] for a, b in ((1, 2), (3, 4))])
    assert metrics.merge(stats, axis=1).shape == (2, 6)
    assert metrics.merge(stats, axis=1)[1] == pytest.approx(metrics.merge(stats[1]))
    assert metrics.merge(metrics.merge(stats, axis=1)) == pytest.approx(metrics.merge(stats.reshape(4, 6)))


def test_groups_of_a_table_merge_like_arrays_and_keep_null_keys():
    rows = [metrics.moments(*signals(30, 1e6, seed)) for seed in range(6)]
    frame = pd.DataFrame(rows, columns=list(MOMENTS))
    frame["clip"] = ["a", "b", None, "a", "b", None]
    merged = merge_by(frame, ["clip"])
    assert len(merged) == 3
    got = merged.loc[merged["clip"] == "b", list(MOMENTS)].to_numpy()[0]
    assert got == pytest.approx(metrics.merge(np.stack([rows[1], rows[4]])), rel=1e-12)
    assert merged["n"].sum() == 180


OFFSET = 1e6


def pairs(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Recordings of one or two frames at an offset of 1e6: (rows, 2, 2), prediction and gold last; which have two."""
    rng = np.random.default_rng(seed)
    frames = rng.normal(size=(rows, 2, 2))
    frames[..., 0] *= 0.3
    frames[..., 0] += 0.6 * frames[..., 1] + 0.1
    frames += OFFSET
    return frames, rng.random(rows) < 0.5


def moments_of_pairs(frames: np.ndarray, both: np.ndarray) -> np.ndarray:
    """What `metrics.moments` gives for each row, for millions of rows at once."""
    out = np.empty((len(frames), 6))
    half = np.where(both[:, None], (frames[:, 1] - frames[:, 0]) / 2, 0.0)
    out[:, 0] = 1 + both
    out[:, 1:3] = frames[:, 0] + half
    out[:, 3:5] = 2 * half * half
    out[:, 5] = 2 * half[:, 0] * half[:, 1]
    return out


def in_long_double(frames: np.ndarray, both: np.ndarray) -> tuple[float, float, float]:
    """CCC, PCC and RMSE of all frames by their definitions, in two passes, a part at a time.

    They are those of the values without their offset, whose subtraction is exact.
    """

    def parts():
        for start in range(0, len(frames), 500_000):
            here = slice(start, start + 500_000)
            part = np.concatenate([frames[here, 0], frames[here, 1][both[here]]]) - OFFSET
            part = part.astype(np.longdouble)
            yield part[:, 0], part[:, 1]

    n = len(frames) + int(both.sum())
    mean_p = sum(p.sum() for p, _ in parts()) / n
    mean_g = sum(g.sum() for _, g in parts()) / n
    var_p = sum(((p - mean_p) ** 2).sum() for p, _ in parts()) / n
    var_g = sum(((g - mean_g) ** 2).sum() for _, g in parts()) / n
    covariance = sum(((p - mean_p) * (g - mean_g)).sum() for p, g in parts()) / n
    error = sum(((p - g) ** 2).sum() for p, g in parts()) / n
    ccc = 2 * covariance / (var_p + var_g + (mean_p - mean_g) ** 2)
    return float(ccc), float(covariance / np.sqrt(var_p * var_g)), float(np.sqrt(error))


def test_rows_made_at_once_are_those_made_one_by_one():
    frames, both = pairs(40, 6)
    one_by_one = [
        metrics.moments(*(recording[: 1 + more].T)) for recording, more in zip(frames, both, strict=True)
    ]
    np.testing.assert_allclose(moments_of_pairs(frames, both), one_by_one, rtol=1e-15, atol=1e-18)


@pytest.mark.long
def test_ten_million_rows_merge_in_any_order_to_what_all_frames_give():
    rows = 10_000_000
    frames, both = pairs(rows, 5)
    wanted = in_long_double(frames, both)
    table = moments_of_pairs(frames, both)
    del frames, both
    rng = np.random.default_rng(7)
    merged = {
        "as they come": metrics.merge(table),
        "backwards": metrics.merge(table[::-1]),
        "in halves": metrics.merge(np.stack([metrics.merge(table[1::2]), metrics.merge(table[::2])])),
        "shuffled": metrics.merge(table.take(rng.permutation(rows), axis=0)),
    }
    by_clip = pd.DataFrame(table, columns=list(MOMENTS), copy=False)
    by_clip["clip"] = rng.integers(0, 1000, rows)
    groups = merge_by(by_clip, ["clip"])
    assert len(groups) == 1000
    merged["by clip, then all"] = metrics.merge(groups[list(MOMENTS)].to_numpy())
    for order, stats in merged.items():
        got = [float(metric(stats)) for metric in (metrics.ccc, metrics.pcc, metrics.rmse)]
        assert got == pytest.approx(wanted, abs=TOLERANCE, rel=0), order


def test_confusion_matrices_are_read_back():
    assert metrics.parse_confusion("[[3, 1], [0, 2]]").sum() == 6
    for bad in ("[[1, 2]]", "[[1, -2], [0, 1]]", "[1]"):
        with pytest.raises(ValueError, match="square"):
            metrics.parse_confusion(bad)
