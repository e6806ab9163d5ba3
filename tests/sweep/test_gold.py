"""From predictions to rows of statistics, against direct computation."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rdbench.errors import ClipError, NothingToScoreError
from rdbench.sweep.gold import ACCEPTED, FLAT, compared, gold_from_labels, gold_from_reference, score_rows
from rdbench.tables.schema import MOMENTS, SCORES
from rdbench.video.clip import Labels

TIMES = np.arange(50) / 25
RNG = np.random.default_rng(7)
FEELINGS = ("angry", "happy", "neutral")


def backend(targets=("arousal", "valence"), classes=()):
    return SimpleNamespace(name="stub@lite", targets=targets, classes=classes, weights="0123456789abcdef")


def labels(targets=("arousal", "valence"), classes=(), values=None):
    if values is None:
        values = RNG.integers(0, len(classes), (50, 1)) if classes else RNG.uniform(-1, 1, (50, len(targets)))
    return Labels(TIMES, np.asarray(values, dtype=np.float64), targets, classes)


# Gold from labels


def test_targets_are_joined_by_name_in_the_back_ends_order():
    given_labels = labels(("dominance", "valence", "arousal"))
    gold = gold_from_labels(given_labels, TIMES, backend())
    assert gold.name == "labels"
    assert gold.targets == ("arousal", "valence")
    assert np.array_equal(gold.values, given_labels.values[:, [2, 1]])
    assert gold.note == "labels of 50 frames: 50 exact, 0 nearest, 0 interpolated, 0 missing"


def test_a_part_of_the_targets_is_enough():
    given_labels = labels(("valence",))
    gold = gold_from_labels(given_labels, TIMES, backend())
    assert gold.targets == ("valence",)
    rows = score_rows(backend(), gold, RNG.uniform(-1, 1, (50, 2)))
    assert [row["target"] for row in rows] == ["valence"]


def test_predictions_of_a_part_of_the_targets_are_taken_from_their_own_column():
    given_labels = labels(("valence",))
    gold = gold_from_labels(given_labels, TIMES, backend())
    predictions = np.column_stack([np.full(50, 9.0), given_labels.values[:, 0]])
    (row,) = score_rows(backend(), gold, predictions)
    assert row["m2_pred"] == pytest.approx(row["cov"]) == pytest.approx(row["m2_gold"])


def test_classes_are_mapped_by_name():
    order = ("neutral", "angry", "happy")
    given_labels = labels(("emotion",), order)
    given_labels.values[7] = np.nan
    gold = gold_from_labels(given_labels, TIMES, backend(("emotion",), FEELINGS))
    for index in range(50):
        value = given_labels.values[index, 0]
        if index == 7:
            assert np.isnan(gold.values[index, 0])
        else:
            assert FEELINGS[int(gold.values[index, 0])] == order[int(value)]


@pytest.mark.parametrize("value", [3.0, -1.0, 0.5, np.inf, 1e300])
def test_a_label_that_is_no_class_is_told(value):
    given_labels = labels(("emotion",), FEELINGS)
    given_labels.values[7] = value
    with pytest.raises(
        ClipError, match=r"^its label at 0\.28 s is \S+, but its 3 classes are numbered 0 to 2$"
    ):
        gold_from_labels(given_labels, TIMES, backend(("emotion",), FEELINGS))


@pytest.mark.parametrize(
    ("given_labels", "asked", "text"),
    [
        (labels(("pain",)), backend(), r"its labels are pain, but stub@lite predicts arousal, valence"),
        (
            labels(("emotion",), FEELINGS),
            backend(),
            r"its labels are emotion \(3 classes\), but stub@lite predicts arousal, valence",
        ),
        (
            labels(("emotion",)),
            backend(("emotion",), FEELINGS),
            r"its labels are emotion, but stub@lite predicts emotion \(3 classes\)",
        ),
        (
            labels(("emotion",), ("bored", "tired")),
            backend(("emotion",), FEELINGS),
            r"classes that stub@lite does not know: bored, tired \(it knows angry, happy, neutral\)",
        ),
    ],
)
def test_labels_that_do_not_fit_the_back_end_are_told(given_labels, asked, text):
    with pytest.raises(ClipError, match=text):
        gold_from_labels(given_labels, TIMES, asked)


def test_labels_of_another_time_are_told():
    with pytest.raises(ClipError, match="at least half"):
        gold_from_labels(labels(), TIMES + 60, backend())


# Gold from a pristine reference


def test_a_reference_is_taken_as_it_is():
    predictions = RNG.uniform(-1, 1, (50, 2)).astype(np.float32)
    gold = gold_from_reference("stub@lite", predictions, backend())
    assert gold.name == "pristine:stub@lite"
    assert gold.targets == ("arousal", "valence")
    assert np.array_equal(gold.values, predictions.astype(np.float64))
    assert "agreement with stub@lite on pristine frames" in gold.note


def test_of_a_classifier_the_most_likely_class_counts():
    predictions = RNG.dirichlet(np.ones(3), 50)
    predictions[4] = np.nan
    gold = gold_from_reference("stub@lite", predictions, backend(("emotion",), FEELINGS))
    assert gold.values.shape == (50, 1)
    assert np.isnan(gold.values[4, 0])
    seen = np.arange(50) != 4
    assert np.array_equal(gold.values[seen, 0], predictions[seen].argmax(1))


# Descriptors


def described(threshold):
    """A back-end of descriptors, its gold, and predictions that are turned away from it by 0 to 90 degrees."""
    angles = np.deg2rad(np.arange(0, 91, 10))
    pristine = np.column_stack([np.full(10, 3.0), np.zeros(10)])
    predictions = np.column_stack([np.cos(angles), np.sin(angles)])
    one = backend(("similarity",))
    one.descriptor = 2
    return one, gold_from_reference("stub@lite", pristine, one, threshold), predictions, np.cos(angles)


def test_descriptors_become_similarities_and_faces_that_are_accepted_or_not():
    one, gold, predictions, cosines = described(0.7)
    predictions[9] = np.nan
    gold, found = compared(gold, predictions)
    assert found[:, 0] == pytest.approx([*cosines[:9], np.nan], nan_ok=True)
    similar, verified = score_rows(one, gold, found)
    assert_columns(similar)
    assert_columns(verified)
    assert (similar["target"], similar["n"], similar["mean_gold"]) == ("similarity", 9, 1.0)
    assert similar["mean_pred"] == pytest.approx(cosines[:9].mean())
    assert (verified["target"], json.loads(verified["classes"])) == ("identity", list(ACCEPTED))
    assert json.loads(verified["confusion"]) == [[5, 4], [0, 0]], "0 to 40 degrees are above .7"


def test_without_a_threshold_nobody_is_verified_and_the_row_says_why():
    one, gold, predictions, _ = described(None)
    gold, found = compared(gold, predictions)
    _, verified = score_rows(one, gold, found)
    assert verified["n"] == 0
    assert verified["reason"] == "a threshold needs 3 people besides the one that is reported"
    assert "confusion" not in verified


def test_who_seems_to_be_one_person_under_two_names_is_told():
    one = described(0.7)[0]
    gold = gold_from_reference("stub@lite", np.ones((4, 2)), one, 0.7, ["other"])
    assert "as like that of other as its own: give clips of one person one subject" in gold.note


# Rows


def assert_columns(row):
    assert set(row) <= set(SCORES)
    assert {"backend", "weights", "target", "gold", "scoring", "n"} <= set(row)
    json.dumps(row)


@given(
    hnp.arrays(np.float64, (30, 2), elements=st.floats(-3, 3)),
    hnp.arrays(np.float64, (30, 2), elements=st.floats(-3, 3)),
    hnp.arrays(np.bool_, 30),
)
def test_moments_are_those_of_a_direct_computation(predictions, truth, hidden):
    predictions = predictions.copy()
    predictions[hidden] = np.nan
    gold = gold_from_labels(labels(values=np.vstack([truth, truth[:20]])), TIMES[:30], backend())
    rows = score_rows(backend(), gold, predictions)
    for index, row in enumerate(rows):
        p, g = predictions[~hidden, index], truth[~hidden, index]
        assert row["n"] == len(p)
        if not len(p):
            assert row["reason"] == "no frame has both a prediction and gold"
            continue
        assert_columns(row)
        assert "reason" not in row
        assert row["mean_pred"] == pytest.approx(p.mean(), abs=1e-12)
        assert row["mean_gold"] == pytest.approx(g.mean(), abs=1e-12)
        assert row["m2_pred"] == pytest.approx(((p - p.mean()) ** 2).sum(), abs=1e-9)
        assert row["m2_gold"] == pytest.approx(((g - g.mean()) ** 2).sum(), abs=1e-9)
        assert row["cov"] == pytest.approx(((p - p.mean()) * (g - g.mean())).sum(), abs=1e-9)


@given(hnp.arrays(np.float64, (40, 3), elements=st.floats(0, 1)), st.integers(0, 2**31), st.integers(0, 39))
def test_confusions_are_counted_gold_by_prediction(predictions, seed, hidden):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, (50, 1)).astype(float)
    truth[hidden] = np.nan
    predictions = predictions.copy()
    predictions[(hidden + 1) % 40] = np.nan
    classifier = backend(("emotion",), FEELINGS)
    gold = gold_from_labels(labels(("emotion",), FEELINGS, truth), TIMES[:40], classifier)
    (row,) = score_rows(classifier, gold, predictions)
    assert_columns(row)
    wanted = [[0] * 3 for _ in range(3)]
    for index in range(40):
        if index not in (hidden, (hidden + 1) % 40):
            best = max(range(3), key=lambda number: (predictions[index, number], -number))
            wanted[int(truth[index, 0])][best] += 1
    assert json.loads(row["confusion"]) == wanted
    assert json.loads(row["classes"]) == list(FEELINGS)
    assert row["n"] == 38
    assert not set(MOMENTS[1:]) & set(row)


def test_a_back_end_agrees_with_itself_entirely():
    predictions = RNG.uniform(-1, 1, (50, 2)).astype(np.float32)
    gold = gold_from_reference("stub@lite", predictions, backend())
    for row in score_rows(backend(), gold, predictions):
        assert row["m2_pred"] == row["m2_gold"] == row["cov"] > 0
        assert row["mean_pred"] == row["mean_gold"]
        assert row["gold"] == "pristine:stub@lite"


@pytest.mark.parametrize(("spread", "flat"), [(0.0, True), (0.9 * FLAT, True), (1.1 * FLAT, False)])
def test_a_flat_reference_scores_nothing_and_says_why(spread, flat):
    wave = np.tile([-spread, spread], 25)[:, None] + 0.3
    gold = gold_from_reference("stub@lite", np.hstack([wave, wave]), backend())
    for row in score_rows(backend(), gold, RNG.uniform(-1, 1, (50, 2))):
        assert_columns(row)
        if flat:
            assert row["n"] == 0
            assert row["reason"] == "the pristine reference hardly varies: agreement would say nothing"
            assert all(row[name] is None for name in (*MOMENTS[1:], "confusion"))
        else:
            assert row["n"] == 50


def test_a_classifier_that_always_says_one_thing_is_a_flat_reference():
    classifier = backend(("emotion",), FEELINGS)
    constant = np.tile([0.1, 0.2, 0.7], (50, 1))
    gold = gold_from_reference("stub@lite", constant, classifier)
    (row,) = score_rows(classifier, gold, RNG.dirichlet(np.ones(3), 50))
    assert (row["n"], row["confusion"]) == (0, None)
    assert "hardly varies" in row["reason"]
    (row,) = score_rows(
        classifier, gold_from_labels(labels(("emotion",), FEELINGS, np.full((50, 1), 2)), TIMES, classifier), constant
    )  # fmt: skip
    assert row["n"] == 50


def test_flat_labels_are_the_truth_all_the_same():
    gold = gold_from_labels(labels(values=np.full((50, 2), 0.5)), TIMES, backend())
    for row in score_rows(backend(), gold, RNG.uniform(-1, 1, (50, 2))):
        assert (row["n"], row["m2_gold"]) == (50, 0.0)


def test_without_any_frame_there_is_a_reason():
    gold = gold_from_labels(labels(), TIMES, backend())
    for row in score_rows(backend(), gold, np.full((50, 2), np.nan)):
        assert (row["n"], row["reason"]) == (0, "no frame has both a prediction and gold")


def test_frames_of_a_class_that_the_back_end_does_not_know_are_not_scored():
    given_labels = labels(("emotion",), ("angry", "bored", "happy"))
    given_labels.values[:4, 0] = [0, 1, 1, 2]
    gold = gold_from_labels(given_labels, TIMES, backend(("emotion",), FEELINGS))
    bored = given_labels.values[:, 0] == 1
    assert (np.isnan(gold.values[:, 0]) == bored).all()
    assert f"{bored.sum()} of a class (bored, which stub@lite does not know" in gold.note
    given_labels.values[:] = 1
    with pytest.raises(NothingToScoreError, match="its labels are bored, which stub@lite does not know"):
        gold_from_labels(given_labels, TIMES, backend(("emotion",), FEELINGS))
