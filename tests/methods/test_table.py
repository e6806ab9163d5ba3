from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from made_tables import made
from scipy import stats as distributions
from sklearn import metrics as sk

from rdbench.errors import InputError, NotComparableError
from rdbench.measures import METRICS
from rdbench.methods.families import few_seeds
from rdbench.methods.table import COLUMNS, method_table
from rdbench.methods.text import for_people
from rdbench.stats.intervals import jackknife

SEEDS = ("one@lite", "one@lite#1", "one@lite#2")
SUBJECTS = 7


def ccc(pred: np.ndarray, gold: np.ndarray) -> float:
    covariance = np.mean((pred - pred.mean()) * (gold - gold.mean()))
    return float(2 * covariance / (pred.var() + gold.var() + (pred.mean() - gold.mean()) ** 2))


def pcc(pred: np.ndarray, gold: np.ndarray) -> float:
    return float(np.corrcoef(pred, gold)[0, 1])


def rmse(pred: np.ndarray, gold: np.ndarray) -> float:
    return float(np.sqrt(np.mean((pred - gold) ** 2)))


def accuracy(pred: np.ndarray, gold: np.ndarray) -> float:
    return float(np.mean(pred == gold))


def f1(pred: np.ndarray, gold: np.ndarray) -> float:
    return float(sk.f1_score(gold, pred, average="macro"))


BY_DEFINITION = {function.__name__: function for function in (ccc, pcc, rmse, accuracy, f1)}
SCALE = {"ccc": np.arctanh, "pcc": np.arctanh, "rmse": np.log} | dict.fromkeys(
    ("accuracy", "f1"), lambda p: np.log(p / (1 - p))
)
BACK = {"ccc": np.tanh, "pcc": np.tanh, "rmse": np.exp} | dict.fromkeys(
    ("accuracy", "f1"), lambda x: 1 / (1 + np.exp(-x))
)


def bare(**options):
    """Tables without a codec, and all frames."""
    known = {"codecs": (), "uncoded": True, "region": "face", "subjects": SUBJECTS, "clips_each": 2}
    return made(**(known | {"factors": (1, 4), "backends": (*SEEDS, "two@lite")} | options))


@pytest.fixture(scope="module")
def continuous():
    return bare(targets=("valence", "arousal"))


@pytest.fixture(scope="module")
def categorical():
    return bare(classes=3)


def pooled(
    run, metric: str, backend: str, factor: int, target: str = "valence", without: int | None = None
) -> float:
    """The metric over all frames of all clips, put one behind the other; `without` one subject."""
    names = [
        f"test{s:02d}{k}-{factor}-none-none-none-0" for s in range(SUBJECTS) if s != without for k in "ab"
    ]
    sides = zip(*(run[2][name, backend, target] for name in names), strict=True)
    return BY_DEFINITION[metric](*map(np.concatenate, sides))


def seeds_of(family: str) -> tuple[str, ...]:
    return SEEDS if family == "one@lite" else (family,)


def row_of(table: pd.DataFrame, **key) -> pd.Series:
    for name, value in key.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


each_metric = pytest.mark.parametrize(
    ("kind", "metric"),
    [
        *(pytest.param("continuous", metric, id=metric) for metric in ("ccc", "pcc", "rmse")),
        *(pytest.param("categorical", metric, id=metric) for metric in ("accuracy", "f1")),
    ],
)


@each_metric
def test_a_value_is_the_mean_over_seeds_of_the_pooled_metric(kind, metric, request):
    run = request.getfixturevalue(kind)
    table = method_table(*run[:2], metrics=[metric])
    targets = ("valence", "arousal") if kind == "continuous" else ("valence",)
    assert len(table) == 4 * len(targets)
    for family, factor, target in itertools.product(("one@lite", "two@lite"), (1, 4), targets):
        row = row_of(table, backend=family, factor=factor, target=target)
        each = [pooled(run, metric, seed, factor, target) for seed in seeds_of(family)]
        assert row["value"] == pytest.approx(np.mean(each), abs=1e-9)
        assert (row["seeds"], row["subjects"], row["clips"]) == (len(each), SUBJECTS, 2 * SUBJECTS)
        assert row["n"] == 60 * 2 * SUBJECTS
        assert (row["region"], row["gold"], row["scoring"]) == ("face", "labels", "plain")
        assert (row["metric"], row["reason"]) == (metric, "")
        if len(each) > 1:
            assert row["seed_sd"] == pytest.approx(np.std(each, ddof=1), abs=1e-9)


def component(replicates: np.ndarray) -> float:
    n = len(replicates)
    return float((n - 1) / n * ((replicates - replicates.mean()) ** 2).sum())


@each_metric
def test_an_interval_has_a_component_of_subjects_and_one_of_seeds(kind, metric, request):
    run = request.getfixturevalue(kind)
    each = np.array([pooled(run, metric, seed, 4) for seed in SEEDS])
    value, by_seed = each.mean(), np.array([np.delete(each, i).mean() for i in range(3)])
    by_subject = np.array(
        [np.mean([pooled(run, metric, seed, 4, without=s) for seed in SEEDS]) for s in range(SUBJECTS)]
    )
    # The components are told in units of the metric; the interval is made where the metric has no ends.
    to, back = SCALE[metric], BACK[metric]
    parts = component(to(by_subject)), component(to(by_seed))
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (SUBJECTS - 1) + parts[1] ** 2 / 2)
    for level in (0.95, 0.8):
        table = method_table(*run[:2], metrics=[metric], level=level)
        row = row_of(table, backend="one@lite", factor=4, target="valence")
        assert row["subject_variance"] == pytest.approx(component(by_subject), rel=1e-6)
        assert row["seed_variance"] == pytest.approx(component(by_seed), rel=1e-6)
        assert row["seed_variance"] == pytest.approx(row["seed_sd"] ** 2 / 3, rel=1e-9)
        half = distributions.t.ppf((1 + level) / 2, freedom) * sum(parts) ** 0.5
        assert row["freedom"] == pytest.approx(freedom, rel=1e-6)
        assert row["low"] == pytest.approx(back(to(value) - half), rel=1e-6)
        assert row["high"] == pytest.approx(back(to(value) + half), rel=1e-6)


def test_one_seed_has_an_interval_over_subjects_alone_and_says_so(continuous):
    row = row_of(
        method_table(*continuous[:2], metrics=["ccc"]), backend="two@lite", factor=1, target="arousal"
    )
    whole, *by_subject = (
        pooled(continuous, "ccc", "two@lite", 1, "arousal", without=s) for s in (None, *range(SUBJECTS))
    )
    wanted = jackknife(whole, np.array(by_subject), scale="atanh")
    assert (row["low"], row["high"]) == pytest.approx((float(wanted.low), float(wanted.high)), rel=1e-9)
    assert np.isnan([row["seed_sd"], row["seed_variance"]]).all()
    assert row["freedom"] == pytest.approx(SUBJECTS - 1)
    assert row["remark"] == "1 seed: subjects only"


@pytest.mark.parametrize(
    ("seeds", "remark"),
    [
        (1, "1 seed: subjects only"),
        (2, "2 seeds: fewer than 5"),
        (4, "4 seeds: fewer than 5"),
        (5, ""),
        (6, ""),
    ],
)
def test_fewer_than_five_seeds_are_remarked(seeds, remark):
    assert few_seeds(seeds) == remark
    names = [f"one@lite#{i + 3}" for i in range(seeds)]
    table = method_table(*bare(factors=(2,), backends=names, clips_each=1)[:2])
    assert set(table["backend"]) == {"one@lite"}
    assert set(table["seeds"]) == {seeds}
    assert set(table["remark"]) == {remark}
    assert table["low"].notna().all(), "a remark takes no interval away"


@pytest.mark.parametrize(("subjects", "reason"), [(5, "only 5 subjects: an interval needs 6"), (6, "")])
def test_few_subjects_have_a_value_and_no_interval(subjects, reason):
    table = method_table(*bare(subjects=subjects, factors=(2,))[:2], boot=20)
    assert set(table["reason"]) == {reason}
    assert table["value"].notna().all()
    for name in ("low", "high", "boot_low", "boot_high", "freedom"):
        assert table[name].isna().all() == bool(reason)
    assert table["subject_variance"].notna().all()


# Which rows there are


def test_columns_and_order_are_fixed(continuous):
    table = method_table(*continuous[:2])
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 2 * 3 * 2 * 2
    assert list(table["metric"].unique()) == ["ccc", "pcc", "rmse"]
    key = table[["target", "metric", "backend", "factor"]]
    pd.testing.assert_frame_equal(key, key.sort_values(list(key.columns), ignore_index=True))
    turned = method_table(*continuous[:2], metrics=["rmse", "ccc"])
    assert list(turned["metric"].unique()) == ["rmse", "ccc"]


def test_classes_have_accuracy_and_f1_by_default(categorical):
    assert list(method_table(*categorical[:2])["metric"].unique()) == ["accuracy", "f1"]
    with pytest.raises(NotComparableError, match="No target of partition test"):
        method_table(*categorical[:2], metrics=["ccc"])


def test_classes_and_numbers_may_stand_in_one_table(continuous, categorical):
    encodes, scores = continuous[0], continuous[1]
    both = pd.concat([scores, categorical[1].assign(target="light")], ignore_index=True)
    table = method_table(encodes, both, metrics=["ccc", "accuracy"])
    assert set(zip(table["target"], table["metric"], strict=True)) == {
        ("valence", "ccc"),
        ("arousal", "ccc"),
        ("light", "accuracy"),
    }
    row = row_of(table, backend="one@lite", factor=4, target="light")
    each = [pooled(categorical, "accuracy", seed, 4) for seed in SEEDS]
    assert row["value"] == pytest.approx(np.mean(each))


def test_neither_the_order_of_rows_nor_what_was_coded_matters(continuous):
    encodes, scores, _ = continuous
    coded = bare(codecs=("x264",), rates=(8, 16), targets=("valence", "arousal"))
    some = coded[0]["codec"] != "none"
    encodes = pd.concat([encodes, coded[0][some]], ignore_index=True)
    scores = pd.concat([scores, coded[1][coded[1]["encode"].isin(coded[0].loc[some, "encode"])]])
    pd.testing.assert_frame_equal(method_table(encodes[::-1], scores[::-1]), method_table(*continuous[:2]))


def test_regions_are_apart():
    face, frame = bare(seed=1), bare(region="frame", factors=(2,), subjects=6, seed=2)
    frame[0]["encode"] += "-frame"
    frame[1]["encode"] += "-frame"
    encodes, scores = (pd.concat([a, b], ignore_index=True) for a, b in zip(face[:2], frame[:2], strict=True))
    table = method_table(encodes, scores)
    assert table.attrs["notes"] == [], "clips of one region are not asked of the other"
    assert dict(table.groupby("region")["subjects"].first()) == {"face": SUBJECTS, "frame": 6}
    one = table[table["region"] == "frame"].reset_index(drop=True)
    pd.testing.assert_frame_equal(one, method_table(*frame[:2]))


@pytest.mark.parametrize(("partition", "subjects"), [(None, SUBJECTS), ("dev", 9)])
def test_the_reported_partition_is_test_unless_another_is_named(continuous, partition, subjects):
    dev = bare(partition="dev", subjects=9, targets=("valence", "arousal"), seed=3)
    tables = [pd.concat([a, b], ignore_index=True) for a, b in zip(dev[:2], continuous[:2], strict=True)]
    table = method_table(*tables, partition=partition)
    assert set(table["subjects"]) == {subjects}
    pd.testing.assert_frame_equal(table, method_table(*(continuous if subjects == SUBJECTS else dev)[:2]))


def test_clips_that_miss_a_value_are_left_out_everywhere_and_told(continuous):
    encodes, scores, _ = continuous
    gone = (scores["encode"] == "test03a-4-none-none-none-0") & (scores["backend"] == "one@lite#1")
    gone &= scores["target"] == "valence"
    assert gone.sum() == 1
    table = method_table(encodes, scores[~gone])
    assert table.attrs["notes"] == ["left out of region face: clip test03a has no value at 1 of 8 points"]
    clips = table.groupby("target")["clips"].unique()
    assert list(clips["valence"]) == [2 * SUBJECTS - 1]
    assert list(clips["arousal"]) == [2 * SUBJECTS]
    wanted = method_table(encodes[encodes["clip"] != "test03a"], scores)
    valence = (t[t["target"] == "valence"].reset_index(drop=True) for t in (table, wanted))
    pd.testing.assert_frame_equal(*valence)
    assert method_table(encodes, scores).attrs["notes"] == []


@pytest.mark.parametrize("metrics", [["loss"], ["ccc", "loss"]], ids=["alone", "among others"])
def test_an_unknown_metric_is_refused_with_those_that_there_are(continuous, metrics):
    with pytest.raises(InputError, match="no metric 'loss'; there are " + ", ".join(METRICS)):
        method_table(*continuous[:2], metrics=metrics)


def test_without_anything_uncoded_it_says_how_to_get_it():
    with pytest.raises(NotComparableError, match="uncoded = true"):
        method_table(*made(factors=(1,), codecs=("x264",), subjects=6)[:2])


def why_none(encodes: pd.DataFrame, scores: pd.DataFrame, **options) -> str:
    with pytest.raises(NotComparableError) as caught:
        method_table(encodes, scores, **options)
    return str(caught.value)


def test_a_partition_without_anything_uncoded_names_those_that_have(continuous):
    encodes, scores, _ = continuous
    assert why_none(encodes, scores, partition="dev") == (
        "Partition dev has nothing that was downsampled only (codec none); name a partition that has (test)."
    )
    coded = made(codecs=("x264",), subjects=6, partition="dev")
    both = [pd.concat(pair, ignore_index=True) for pair in zip(continuous[:2], coded[:2], strict=True)]
    assert "name a partition that has (test)" in why_none(*both, partition="dev"), "dev was coded alone"


@pytest.mark.parametrize(
    ("kind", "metrics", "words"),
    [
        ("continuous", ["accuracy"], "gives accuracy; name a metric that they give (ccc, pcc, rmse)"),
        ("continuous", ["f1", "accuracy"], "gives f1 or accuracy; name a metric that they give (ccc, pcc, "),
        ("categorical", ["ccc"], "gives ccc; name a metric that they give (accuracy, f1)"),
    ],
)
def test_a_metric_that_no_target_gives_names_those_that_there_are(kind, metrics, words, request):
    message = why_none(*request.getfixturevalue(kind)[:2], metrics=metrics)
    assert message.startswith("No target of partition test that was scored without a codec ")
    assert words in message


@pytest.mark.parametrize("gone", ["no row", "no frame"])
def test_what_was_never_scored_is_told_apart_from_what_was_never_made(continuous, gone):
    encodes, scores, _ = continuous
    scores = scores.head(0) if gone == "no row" else scores.assign(n=0, mean_pred=np.nan)
    assert why_none(encodes, scores) == (
        "Nothing of partition test that was downsampled only (codec none) has been scored; run the experiment "
        "to its end."
    )


def test_a_score_that_is_there_twice_is_refused(continuous):
    encodes, scores, _ = continuous
    with pytest.raises(InputError, match="two scores of"):
        method_table(encodes, pd.concat([scores, scores.head(1)]))


# A second opinion


def test_the_crossed_bootstrap_is_there_where_it_is_asked_for(continuous):
    plain = method_table(*continuous[:2], metrics=["ccc"])
    assert plain[["boot_low", "boot_high"]].isna().all(axis=None)
    table = method_table(*continuous[:2], metrics=["ccc"], boot=400)
    pd.testing.assert_frame_equal(
        table.drop(columns=["boot_low", "boot_high"]), plain.drop(columns=["boot_low", "boot_high"])
    )
    assert (table["boot_low"] < table["value"]).all()
    assert (table["value"] < table["boot_high"]).all()
    again = method_table(*continuous[:2], metrics=["ccc"], boot=400)
    pd.testing.assert_frame_equal(table, again)
    narrow = method_table(*continuous[:2], metrics=["ccc"], boot=400, level=0.5)
    width = [t["boot_high"] - t["boot_low"] for t in (table, narrow)]
    assert (width[1] < 0.7 * width[0]).all()


def test_the_bootstrap_spreads_about_as_far_as_the_components_say():
    run = bare(subjects=30, clips_each=1, factors=(4,), backends=[f"one@lite#{i}" for i in range(12)])
    row = method_table(*run[:2], metrics=["rmse"], boot=1000).iloc[0]
    error = (row["seed_variance"] + row["subject_variance"]) ** 0.5
    assert (row["boot_high"] - row["boot_low"]) / (2 * 1.96) == pytest.approx(error, rel=0.2)


# For people


def test_for_people_the_interval_is_one_cell_and_errors_are_no_variances(continuous):
    table = method_table(*continuous[:2], metrics=["ccc", "rmse"])
    shown = for_people(table)
    assert list(shown.columns) == [
        *("back-end", "target", "factor", "metric", "value", "95 %"),
        *("± seeds", "± subjects", "seeds", "subjects", "remark"),
    ]
    assert len(shown) == len(table)
    for (_, row), (_, cells) in zip(table.iterrows(), shown.iterrows(), strict=True):
        assert cells["back-end"] == row["backend"]
        assert cells["value"] == f"{row['value']:.3f}"
        assert cells["95 %"] == f"{row['low']:.3f} to {row['high']:.3f}"
        assert cells["± subjects"] == f"{np.sqrt(row['subject_variance']):.3f}"
        one = row["backend"] == "two@lite"
        assert cells["± seeds"] == ("" if one else f"{np.sqrt(row['seed_variance']):.3f}")
        assert cells["remark"] == ("1 seed: subjects only" if one else "3 seeds: fewer than 5")


def test_for_people_there_is_no_column_that_says_nothing():
    names = [f"one@lite#{i}" for i in range(5)]
    table = method_table(*bare(factors=(2,), backends=names, clips_each=1)[:2], boot=30)
    shown = for_people(table)
    assert not {"remark", "region", "gold", "scoring"} & set(shown.columns)
    assert shown["bootstrap"].iloc[0] == f"{table['boot_low'][0]:.3f} to {table['boot_high'][0]:.3f}"
    other = table.assign(region="frame", gold="pristine:one@lite", scoring="smooth")
    wide = for_people(pd.concat([table, other], ignore_index=True))
    assert list(wide.columns[:4]) == ["back-end", "region", "gold", "scoring"]
    assert list(wide["region"].unique()) == ["face", "frame"]


def test_for_people_what_is_missing_is_empty_and_has_its_reason():
    names = [f"one@lite#{i}" for i in range(5)]
    shown = for_people(method_table(*bare(subjects=3, factors=(2,), backends=names)[:2]))
    assert set(shown["95 %"]) == {""}
    assert set(shown["remark"]) == {"only 3 subjects: an interval needs 6"}
    assert "nan" not in shown.to_string().lower()
