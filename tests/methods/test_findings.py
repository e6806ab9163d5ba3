from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from made_tables import made
from scipy import stats as distributions

from rdbench.errors import InputError
from rdbench.methods.claims import Claim
from rdbench.methods.findings import ENDPOINT, MEMBERS, VERDICTS, evaluate, evaluate_file
from rdbench.stats import bd

GOOD, POOR = "good@lite", "poor@lite"
SUBJECTS = 8
RATES = (4.0, 8.0, 16.0, 32.0, 64.0)

# What each seed and each subject adds to the CCC of its family. Subjects add about the same to both families.
OF_SEEDS = {
    GOOD: np.array([0.004, -0.006, 0.001, 0.003, -0.002]),
    POOR: np.array([-0.002, 0.005, -0.007, 0.001, 0.002, 0.001]),
}
COMMON = np.array([0.05, -0.08, 0.02, 0.06, -0.03, -0.04, 0.01, 0.01])
OF_SUBJECTS = {
    GOOD: COMMON + np.array([0.004, -0.003, 0.002, -0.006, 0.001, 0.005, -0.001, -0.002]),
    POOR: COMMON,
}
SLOPE = 0.12
"""What the CCC of coded pictures rises by when the log rate rises by one."""


def say(**options) -> Claim:
    return Claim(**({"sentence": "so it is said", "better": GOOD, "than": POOR, "factors": (4,)} | options))


def flat(factor: int, kbps: float) -> float:
    """Both families have a CCC of 0.6 without a codec, and straight curves over the log rate with one."""
    return 0.2 + SLOPE * float(np.log(kbps / RATES[0])) if kbps else 0.6


def lower(factor: int, kbps: float) -> float:
    return flat(factor, kbps) - 0.1


def named(family: str, seed: int) -> str:
    return f"{family}#{seed}" if seed else family


def planted(
    advantage: float | Callable[[int, str], float] = 0.0,
    *,
    of_seeds: dict[str, np.ndarray] = OF_SEEDS,
    level: Callable[[int, float], float] = flat,
    **options,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of two families whose CCC is known: its level, what seeds and subjects add, and GOOD's `advantage`.

    Every row has variance 1 on both sides and no bias, so that its CCC is its covariance, and that of rows put
    together is their mean. `level` is of factor and kbit/s, `advantage` a number or of factor and target.
    """
    known = {"subjects": SUBJECTS, "codecs": (), "uncoded": True, "region": "face", "backends": ("any",)}
    encodes, scores, _ = made(**(known | {"factors": (1, 4)} | options))
    own = encodes.set_index("encode").loc[scores["encode"], ["factor", "rate", "subject"]]
    subject = own["subject"].str[-2:].astype(int).to_numpy()
    base = np.array([level(f, r) for f, r in zip(own["factor"], own["rate"], strict=True)])
    more = np.zeros(len(own)) + (0.0 if callable(advantage) else advantage)
    if callable(advantage):
        more += [advantage(f, t) for f, t in zip(own["factor"], scores["target"], strict=True)]
    n = scores["n"].to_numpy(dtype=float)
    parts = []
    for family, values in of_seeds.items():
        for seed, value in enumerate(values):
            rho = base + more * (family == GOOD) + OF_SUBJECTS[family][subject] + value
            assert (np.abs(rho) < 1).all()
            moments = {"mean_pred": 0.0, "mean_gold": 0.0, "m2_pred": n, "m2_gold": n, "cov": rho * n}
            parts.append(scores.assign(backend=named(family, seed), **moments))
    return encodes, pd.concat(parts, ignore_index=True)


def coded(advantage=0.0, **options) -> tuple[pd.DataFrame, pd.DataFrame]:
    known = {"codecs": ("x264",), "uncoded": False, "region": "frame", "rates": RATES}
    return planted(advantage, **(known | options))


def variance_of_mean(values: np.ndarray) -> float:
    return float(np.var(values, ddof=1) / len(values))


PARTS = [
    variance_of_mean(OF_SUBJECTS[GOOD] - OF_SUBJECTS[POOR]),
    variance_of_mean(OF_SEEDS[GOOD]),
    variance_of_mean(OF_SEEDS[POOR]),
]
FREE = [SUBJECTS - 1, 4, 5]
ERROR = sum(PARTS) ** 0.5
FREEDOM = sum(PARTS) ** 2 / sum(part**2 / free for part, free in zip(PARTS, FREE, strict=True))


def half_width(parts, free, level: float = 0.95) -> float:
    """Of what is decided by itself, Cochran's and Cox's: the samples' quantiles, each weighted by its component."""
    quantiles = distributions.t.ppf((1 + level) / 2, np.array(free))
    return float(np.average(quantiles, weights=parts)) * sum(parts) ** 0.5


HALF = half_width(PARTS, FREE)


def test_what_is_planted_can_be_told_from_chance():
    assert 0.002 < HALF < 0.02
    assert [values.mean() for values in OF_SEEDS.values()] == pytest.approx([0, 0], abs=1e-12)
    assert [values.mean() for values in OF_SUBJECTS.values()] == pytest.approx([0, 0], abs=1e-12)


# Without a codec


def test_a_planted_difference_is_found_with_its_components():
    found = evaluate(say(), *planted(0.05))
    assert found.verdict == "holds"
    assert found.reason == ""
    assert tuple(found.members.columns) == MEMBERS
    (row,) = found.members.to_dict("records")
    assert (row["better_value"], row["than_value"]) == pytest.approx((0.65, 0.6))
    assert row["value"] == pytest.approx(0.05)
    names = ("subject_variance", "better_seed_variance", "than_seed_variance")
    assert [row[name] for name in names] == pytest.approx(PARTS)
    assert row["freedom"] == pytest.approx(FREEDOM)
    assert (row["low"], row["high"]) == pytest.approx((0.05 - HALF, 0.05 + HALF))
    assert (row["sim_low"], row["sim_high"]) == pytest.approx((row["low"], row["high"])), "a family of one"
    counts = ("better_seeds", "than_seeds", "subjects", "clips")
    assert [row[name] for name in counts] == [5, 6, SUBJECTS, SUBJECTS]
    words = ("better", "than", "measure", "region", "codec", "factor", "target", "gold", "scoring", "remark")
    told = (GOOD, POOR, "ccc", "face", "none", "4", "valence", "labels", "plain", "")
    assert tuple(row[name] for name in words) == told
    assert row["verdict"] == "holds"


VERDICT_CASES = [
    pytest.param(0.05, 0.0, "holds", id="better"),
    pytest.param(0.0, 0.0, "cannot be told", id="the same"),
    pytest.param(-0.05, 0.0, "does not hold", id="worse"),
    pytest.param(0.05, 0.03, "holds", id="better by more than the margin"),
    pytest.param(0.05, 0.05, "cannot be told", id="better by about the margin"),
    pytest.param(0.05, 0.08, "does not hold", id="better by less than the margin"),
    pytest.param(0.0, -0.03, "holds", id="the same is not worse"),
    pytest.param(-0.01, -0.03, "holds", id="a little worse is not worse by the margin"),
    pytest.param(-0.03, -0.03, "cannot be told", id="worse by about the margin"),
    pytest.param(-0.06, -0.03, "does not hold", id="worse by more than the margin"),
]


@pytest.mark.parametrize(("advantage", "margin", "verdict"), VERDICT_CASES)
def test_verdicts_hold_the_interval_against_the_margin(advantage, margin, verdict):
    found = evaluate(say(margin=margin), *planted(advantage, factors=(4,)))
    assert found.verdict == verdict
    assert list(found.members["verdict"]) == [verdict]
    assert set(found.members["margin"]) == {margin}
    assert verdict in VERDICTS


def by_factor(**advantages: float):
    return lambda factor, target: advantages[f"x{factor}"]


@pytest.mark.parametrize(
    ("advantages", "verdict", "each"),
    [
        pytest.param((0.05, 0.04), "holds", ["holds", "holds"], id="all hold"),
        pytest.param((0.05, 0.0), "holds on average", ["holds", "cannot be told"], id="one cannot be told"),
        pytest.param((-0.05, 0.05), "does not hold", ["does not hold", "holds"], id="one does not hold"),
        pytest.param(
            (0.0, -0.05), "does not hold", ["cannot be told", "does not hold"], id="one of each bad kind"
        ),
    ],
)
def test_a_claim_holds_where_all_its_members_do_and_fails_with_one(advantages, verdict, each):
    tables = planted(by_factor(x1=advantages[0], x4=advantages[1], x9=-0.5), factors=(1, 4, 9))
    found = evaluate(say(factors=(1, 4)), *tables)
    assert found.verdict == verdict
    assert list(found.members["verdict"]) == each
    assert list(found.members["factor"]) == ["1", "4"], "what the claim does not name takes no part"
    assert list(found.members["value"]) == pytest.approx(advantages)


def test_factors_keep_the_order_in_which_they_are_claimed():
    tables = planted(by_factor(x1=0.01, x4=0.04, x9=0.09), factors=(1, 4, 9))
    found = evaluate(say(factors=(9, 1, 4)), *tables)
    assert list(found.members["factor"]) == ["9", "1", "4"]
    assert list(found.members["value"]) == pytest.approx([0.09, 0.01, 0.04])


@pytest.fixture(scope="module")
def unlike_factors():
    """Subjects differ from factor to factor, so that the members have little in common."""
    encodes, scores = planted(0.05, factors=(1, 2, 4, 8))
    own = encodes.set_index("encode").loc[scores["encode"], ["factor", "subject"]].agg(tuple, axis=1)
    rng = np.random.default_rng(1)
    noise = {key: rng.normal(0, 0.03) for key in sorted(own.unique())}
    mine = scores["backend"].str.startswith(GOOD).to_numpy()
    more = mine * own.map(noise).to_numpy()
    return encodes, scores.assign(cov=scores["cov"] + more * scores["n"])


def test_steps_are_held_at_the_plain_level_and_refuted_at_the_simultaneous_one(unlike_factors):
    factors = (1, 2, 4, 8)
    first = evaluate(say(factors=factors), *unlike_factors).members
    plain, wide = first["high"] - first["low"], first["sim_high"] - first["sim_low"]
    assert (wide > 1.1 * plain).all()
    freedom = first["freedom"].to_numpy()
    limit = distributions.t.ppf(1 - 0.025 / 4, freedom) / distributions.t.ppf(0.975, freedom)
    assert (wide <= limit * plain * (1 + 1e-9)).all()
    row = first.iloc[0]
    places = {
        # The steps hold each member at its plain level; what does not hold must lie below by the simultaneous one.
        row["sim_low"] - 1e-6: "holds",
        (row["sim_low"] + row["low"]) / 2: "holds",
        row["value"]: "cannot be told",
        (row["sim_high"] + row["high"]) / 2: "cannot be told",
        row["sim_high"] + 1e-6: "does not hold",
    }
    for margin, verdict in places.items():
        got = evaluate(say(factors=factors, margin=margin), *unlike_factors).members.iloc[0]
        assert got["verdict"] == verdict
        # An endpoint that is not decided keeps its part of the level, so that less is left for the members.
        end = evaluate(say(factors=factors, margin=margin), *unlike_factors).endpoint["verdict"]
        wider = (got["sim_high"] - got["sim_low"]) / (row["sim_high"] - row["sim_low"])
        assert wider == pytest.approx(1) if end != "cannot be told" else 1.1 < wider < 1.8


def test_the_level_is_that_of_the_intervals():
    tables = planted(0.05, factors=(4,))
    row = evaluate(say(), *tables, level=0.8).members.iloc[0]
    half = half_width(PARTS, FREE, 0.8)
    assert (row["low"], row["high"]) == pytest.approx((0.05 - half, 0.05 + half))


def test_a_claim_turned_round_has_the_other_sign():
    tables = planted(0.05, factors=(1, 4))
    there = evaluate(say(factors=(1, 4)), *tables).members
    back = evaluate(say(factors=(1, 4), better=POOR, than=GOOD), *tables).members
    for one, other in (("value", "value"), ("low", "high"), ("high", "low")):
        assert list(back[one]) == pytest.approx(list(-there[other]))
    assert list(back["sim_low"]) == pytest.approx(list(-there["sim_high"]), rel=0.05)
    assert set(back["verdict"]) == {"does not hold"}
    assert list(back["better_seed_variance"]) == pytest.approx(list(there["than_seed_variance"]))


def test_shifted_predictions_are_worse_by_what_their_frames_say():
    shift = 0.3
    names = [named(family, seed) for family in (GOOD, POOR) for seed in range(5)]
    encodes, scores, frames = made(
        subjects=SUBJECTS, codecs=(), uncoded=True, region="face", factors=(1, 4), backends=names
    )
    poor = scores["backend"].str.startswith(POOR)
    scores = scores.assign(mean_pred=scores["mean_pred"] + shift * poor)

    def ccc(backend: str) -> float:
        use = list(encodes.loc[encodes["factor"] == 4, "encode"])
        pred, gold = (np.concatenate([frames[name, backend, "valence"][i] for name in use]) for i in (0, 1))
        pred = pred + shift * backend.startswith(POOR)
        covariance = np.mean((pred - pred.mean()) * (gold - gold.mean()))
        return 2 * covariance / (pred.var() + gold.var() + (pred.mean() - gold.mean()) ** 2)

    good, bad = (np.mean([ccc(name) for name in names if name.startswith(f)]) for f in (GOOD, POOR))
    found = evaluate(say(), encodes, scores)
    row = found.members.iloc[0]
    assert (row["better_value"], row["than_value"]) == pytest.approx((good, bad))
    assert row["value"] == pytest.approx(good - bad)
    assert found.verdict == "holds"
    # Correlation does not see a shift.
    assert evaluate(say(measure="pcc"), encodes, scores).members["value"].abs().max() < 0.01


def shifted(bias: dict[str, np.ndarray]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions that follow gold exactly but for a constant: RMSE is that constant."""
    encodes, scores = planted(of_seeds=bias, factors=(4,))
    of_seed = {named(f, i): value for f, values in bias.items() for i, value in enumerate(values)}
    return encodes, scores.assign(mean_pred=scores["backend"].map(of_seed), cov=scores["n"].astype(float))


@pytest.mark.parametrize(
    ("margin", "verdict"),
    [(0.0, "holds"), (0.05, "holds"), (0.1, "cannot be told"), (0.15, "does not hold"), (-0.05, "holds")],
)
@pytest.mark.parametrize("turned", [False, True], ids=["as it is", "turned round"])
def test_of_errors_less_is_better(margin, verdict, turned):
    bias = {GOOD: 0.2 + OF_SEEDS[GOOD], POOR: 0.3 + OF_SEEDS[POOR]}
    sides = {"better": POOR, "than": GOOD} if turned else {}
    found = evaluate(say(measure="rmse", margin=margin, **sides), *shifted(bias))
    (row,) = found.members.to_dict("records")
    assert row["value"] == pytest.approx(0.1 if turned else -0.1), "better minus than, as it is"
    assert row["low"] < row["value"] < row["high"]
    assert row["subject_variance"] == pytest.approx(0, abs=1e-12)
    assert row["better_seed_variance"] == pytest.approx(variance_of_mean(OF_SEEDS[POOR if turned else GOOD]))
    assert found.verdict == ("does not hold" if turned else verdict)


def test_the_larger_error_is_not_worse_by_a_margin_that_allows_it():
    bias = {GOOD: 0.3 + OF_SEEDS[GOOD], POOR: 0.28 + OF_SEEDS[POOR]}
    assert evaluate(say(measure="rmse"), *shifted(bias)).verdict == "does not hold"
    assert evaluate(say(measure="rmse", margin=-0.05), *shifted(bias)).verdict == "holds"


@pytest.mark.parametrize("measure", ["accuracy", "f1"])
def test_classes_are_compared_by_accuracy_and_f1(measure):
    encodes, scores = planted(factors=(4,))
    right = {GOOD: np.array([50, 51, 49, 50, 50]), POOR: np.array([44, 45, 43, 44, 44, 44])}
    of_seed = {named(f, i): int(value) for f, values in right.items() for i, value in enumerate(values)}
    # As many frames of either class are right, so that F1 is the accuracy.
    tables = {
        name: json.dumps([[k / 2, 30 - k / 2], [30 - k / 2, k / 2]]) for name, k in of_seed.items()
    }  # fmt: skip
    missing = dict.fromkeys(("mean_pred", "mean_gold", "m2_pred", "m2_gold", "cov"), np.nan)
    scores = scores.assign(confusion=scores["backend"].map(tables), classes='["a", "b"]', **missing)
    found = evaluate(say(measure=measure), encodes, scores)
    (row,) = found.members.to_dict("records")
    assert (row["better_value"], row["than_value"]) == pytest.approx((50 / 60, 44 / 60))
    assert row["value"] == pytest.approx(0.1)
    assert row["than_seed_variance"] == pytest.approx(variance_of_mean(right[POOR] / 60))
    assert found.verdict == "holds"
    other = evaluate(say(measure="ccc"), encodes, scores)
    assert other.verdict == "cannot be told"
    assert other.members["reason"].tolist() == ["there are no rows of it"]


def test_every_target_is_a_member_unless_some_are_named():
    tables = planted(
        lambda factor, target: {"arousal": 0.05, "valence": -0.05}[target], targets=("valence", "arousal")
    )
    found = evaluate(say(), *tables)
    assert list(found.members["target"]) == ["arousal", "valence"]
    assert list(found.members["verdict"]) == ["holds", "does not hold"]
    assert found.verdict == "does not hold"
    assert evaluate(say(targets=("arousal",)), *tables).verdict == "holds"


def test_other_back_ends_and_the_order_of_rows_do_not_matter():
    encodes, scores = planted(0.05)
    # The other one has no score of one clip, which would cost that clip if it took part.
    other = scores[(scores["backend"] == GOOD) & ~scores["encode"].str.startswith("test03")]
    more = pd.concat([scores, other.assign(backend="other@lite")], ignore_index=True)
    wanted = evaluate(say(factors=(1, 4)), encodes, scores)
    got = evaluate(say(factors=(1, 4)), encodes[::-1], more.sample(frac=1, random_state=0))
    pd.testing.assert_frame_equal(got.members, wanted.members)
    assert got.notes == wanted.notes == []


def test_what_was_coded_is_nothing_to_a_claim_without_a_codec():
    encodes, scores = planted(0.05, codecs=("x264",), rates=RATES)
    assert set(encodes["codec"]) == {"x264", "none"}
    # A coded point that a clip lacks would cost that clip if it took part; and so the other way round.
    for lacking, claim in (
        ("test03a-4-x264-ra-abr-8", say()),
        ("test03a-4-none-none-none-0", say(measure="bd-ccc", codecs=("x264",), region="face")),
    ):
        found = evaluate(claim, encodes, scores[scores["encode"] != lacking])
        assert found.notes == []
        pd.testing.assert_frame_equal(found.members, evaluate(claim, encodes, scores).members)
        assert found.members["clips"].tolist() == [SUBJECTS]
        assert found.members["value"].tolist() == pytest.approx([0.05])


def test_what_is_left_out_is_noted_and_leaves_both_families():
    encodes, scores = planted(0.05, factors=(4,), clips_each=2)
    gone = (scores["backend"] == named(POOR, 2)) & scores["encode"].str.startswith("test03a")
    found = evaluate(say(), encodes, scores[~gone])
    assert found.notes == ["left out: clip test03a has no value at 1 of 11 points"]
    assert found.members["clips"].tolist() == [2 * SUBJECTS - 1]
    pd.testing.assert_frame_equal(
        found.members, evaluate(say(), encodes[encodes["clip"] != "test03a"], scores).members
    )


def test_test_is_reported_unless_another_partition_is_named():
    tables = [planted(0.05, factors=(4,)), planted(-0.05, factors=(4,), partition="dev")]
    encodes, scores = (pd.concat(parts, ignore_index=True) for parts in zip(*tables, strict=True))
    assert evaluate(say(), encodes, scores).verdict == "holds"
    assert evaluate(say(), encodes, scores, partition="test").verdict == "holds"
    assert evaluate(say(), encodes, scores, partition="dev").verdict == "does not hold"
    assert evaluate(say(), *tables[1]).verdict == "does not hold", "dev is all there is"


# Bjøntegaard deltas


def test_at_equal_rate_a_planted_advantage_is_found_with_its_components():
    claim = say(measure="bd-ccc", codecs=("x265", "x264"), factors=(4, 1))
    found = evaluate(claim, *coded(0.05, codecs=("x264", "x265", "av1")))
    assert found.verdict == "holds"
    rows = found.members.to_dict("records")
    assert [(row["codec"], row["factor"]) for row in rows] == [
        *(("x264", "4"), ("x264", "1"), ("x265", "4"), ("x265", "1")),
    ]
    for row in rows:
        assert row["value"] == pytest.approx(0.05)
        half = float(distributions.t.ppf(0.975, FREEDOM)) * ERROR
        assert (row["low"], row["high"]) == pytest.approx((0.05 - half, 0.05 + half), rel=1e-3)
        names = ("subject_variance", "better_seed_variance", "than_seed_variance")
        assert [row[name] for name in names] == pytest.approx(PARTS, rel=1e-3)
        assert row["freedom"] == pytest.approx(FREEDOM, rel=1e-3)
        assert row["sim_low"] <= row["low"]
        assert (row["overlap"], row["pairs"], row["pairs_without"]) == pytest.approx((1.0, 30, 0))
        assert row["pair_mean"] == pytest.approx(0.05)
        assert (row["region"], row["variant"], row["mode"]) == ("frame", "ra", "abr")
        assert (row["warning"], row["chosen_on"], row["reason"]) == ("", "", "")
        assert np.isnan([row["better_value"], row["than_value"]]).all(), "a curve is no one number"
    tight = claim.model_copy(update={"margin": 0.049})
    assert evaluate(tight, *coded(0.05, codecs=("x264", "x265"))).verdict == "cannot be told"


SAVED = -SLOPE * float(np.log(0.8))
"""The advantage in CCC of a family that needs a fifth less for the same CCC."""


def test_a_saving_of_a_fifth_is_found_in_per_cent():
    found = evaluate(say(measure="bd-rate", codecs=("x264",)), *coded(SAVED))
    (row,) = found.members.to_dict("records")
    assert (row["value"], row["pair_mean"]) == pytest.approx((-20, -20), rel=1e-4)
    # Variances are those of the log ratio; the interval is made there.
    names = ("subject_variance", "better_seed_variance", "than_seed_variance")
    assert [row[name] for name in names] == pytest.approx(np.array(PARTS) / SLOPE**2, rel=0.01)
    wanted = [100 * (0.8 * np.exp(sign * HALF / SLOPE) - 1) for sign in (-1, 1)]
    assert [row["low"], row["high"]] == pytest.approx(wanted, rel=0.01)
    assert [row["sim_low"], row["sim_high"]] == pytest.approx([row["low"], row["high"]])
    assert found.verdict == "holds"


@pytest.mark.parametrize(
    ("sides", "margin", "verdict"),
    [
        pytest.param((GOOD, POOR), 0, "holds", id="saves bits"),
        pytest.param((GOOD, POOR), 10, "holds", id="saves more than 10 %"),
        pytest.param((GOOD, POOR), 20, "cannot be told", id="saves about 20 %"),
        pytest.param((GOOD, POOR), 30, "does not hold", id="saves less than 30 %"),
        pytest.param((POOR, GOOD), 0, "does not hold", id="costs bits"),
        pytest.param((POOR, GOOD), -40, "holds", id="costs less than 40 %"),
        pytest.param((POOR, GOOD), -25, "cannot be told", id="costs about 25 %"),
        pytest.param((POOR, GOOD), -10, "does not hold", id="costs more than 10 %"),
    ],
)
def test_for_rates_negative_saves_and_the_margin_is_in_per_cent_saved(sides, margin, verdict):
    claim = say(measure="bd-rate", codecs=("x264",), margin=margin, better=sides[0], than=sides[1])
    found = evaluate(claim, *coded(SAVED, factors=(4,)))
    assert found.members["value"].item() == pytest.approx(-20 if sides[0] == GOOD else 25, rel=1e-4)
    assert found.verdict == verdict


def test_variant_and_mode_are_all_that_there_are_unless_named():
    tables = coded(0.05, factors=(4,), variants=("ra", "ld"))
    claim = say(measure="bd-ccc", codecs=("x264",))
    assert sorted(evaluate(claim, *tables).members["variant"]) == ["ld", "ra"]
    one = evaluate(claim.model_copy(update={"variant": "ld", "mode": "abr"}), *tables)
    assert list(one.members["variant"]) == ["ld"]
    assert one.verdict == "holds"
    none = evaluate(claim.model_copy(update={"mode": "crf"}), *tables)
    assert none.verdict == "cannot be told"
    assert none.reason == "there is nothing coded with x264 in region frame, partition test"


def test_bits_are_those_that_are_asked_for():
    claim = say(measure="bd-rate", codecs=("x264",))
    encodes, scores = coded(SAVED, factors=(4,))
    stream = evaluate(claim, encodes, scores, bits="stream").members
    dearer = encodes.assign(payload_bits=encodes["stream_bits"])
    pd.testing.assert_frame_equal(stream, evaluate(claim, dearer, scores).members)
    assert stream["value"].item() != pytest.approx(-20, abs=1e-3)
    boxes = evaluate(claim, encodes, scores, charge_boxes=True).members
    dearer = encodes.assign(payload_bits=encodes["payload_bits"] + encodes["box_bits"])
    pd.testing.assert_frame_equal(boxes, evaluate(claim, dearer, scores).members)
    assert boxes["value"].item() != pytest.approx(-20, abs=1e-3)
    with pytest.raises(InputError, match="no 'cheap' bits; there are payload"):
        evaluate(claim, encodes, scores, bits="cheap")


def test_pairs_without_a_delta_are_counted_where_the_mean_curves_have_one():
    outlier = {GOOD: np.array([0.0, 0.0, 0.0, 0.0, -0.7]), POOR: np.zeros(5)}
    claim = say(measure="bd-rate", codecs=("x264",))
    (row,) = evaluate(claim, *coded(0.1, factors=(4,), of_seeds=outlier)).members.to_dict("records")
    assert (row["pairs"], row["pairs_without"]) == (25, 5)
    assert np.isnan(row["pair_mean"])
    assert row["value"] == pytest.approx(100 * np.expm1((0.7 / 5 - 0.1) / SLOPE), rel=1e-4)
    (row,) = evaluate(claim, *coded(0.1, factors=(4,))).members.to_dict("records")
    assert (row["pairs"], row["pairs_without"]) == (30, 0)
    assert row["pair_mean"] == pytest.approx(row["value"])


def test_curves_that_share_little_or_nothing_say_so():
    def warned(advantage: float) -> dict:
        found = evaluate(
            say(measure="bd-rate", codecs=("x264",)), *coded(advantage, factors=(4,), level=lower)
        )
        return found.members.iloc[0].to_dict() | {"claim": found.verdict}

    little, nothing = warned(0.25), warned(0.4)
    assert "share only 25 % of the smaller range" in little["warning"]
    assert little["claim"] == "holds"
    assert nothing["claim"] == "cannot be told"
    assert nothing["reason"] == "the curves share no range of accuracy above 0"
    assert np.isnan([nothing[name] for name in ("value", "low", "sim_low", "better_seed_variance")]).all()
    assert nothing["pairs_without"] == 30


def test_too_few_rates_cannot_be_told():
    found = evaluate(say(measure="bd-ccc", codecs=("x264",)), *coded(0.05, rates=RATES[:3]))
    assert found.verdict == "cannot be told"
    assert found.members["reason"].tolist() == ["the anchor has 3 distinct points; 4 are needed"]


def test_a_delta_that_is_missing_does_not_hide_one_that_fails():
    tables = coded(lambda factor, target: {1: 0.45, 4: -0.05}[factor], level=lower)
    found = evaluate(say(measure="bd-rate", codecs=("x264",), factors=(1, 4)), *tables)
    assert list(found.members["verdict"]) == ["cannot be told", "does not hold"]
    assert found.verdict == "does not hold"
    assert found.reason == ""


# The best factor at each rate


def crossing(factor: int, kbps: float) -> float:
    """Factor 4 is better up to 12 kbit/s, factor 1 from there on."""
    return 0.35 + {1: 0.18, 4: 0.06}[factor] * float(np.log(kbps / 12))


def turned(factor: int, kbps: float) -> float:
    """The other way round."""
    return crossing(5 - factor, kbps)


def at_factor_4(factor: int, target: str = "") -> float:
    return 0.08 if factor == 4 else 0.0


def best_of(encodes: pd.DataFrame, family: str, chosen_by=crossing) -> bd.Side:
    """The envelope of what was planted, as a curve."""

    def more(factor: int) -> float:
        return at_factor_4(factor) if family == GOOD else 0.0

    values = []
    for rate in RATES:
        best = max((1, 4), key=lambda factor: chosen_by(factor, rate) + more(factor))
        values.append(crossing(best, rate) + more(best))
    own = encodes[encodes["factor"] == 4].groupby("rate")[["payload_bits", "seconds"]].sum()
    log_rate = np.log((own["payload_bits"] / own["seconds"] / 1000).to_numpy(dtype=float))
    return bd.Side(log_rate, np.array(values), np.zeros((0, 5)), np.zeros((0, 5)))


@pytest.mark.parametrize("measure", ["bd-ccc", "bd-rate"])
def test_the_best_factor_is_chosen_at_each_rate_for_each_family(measure):
    tables = coded(at_factor_4, level=crossing)
    claim = say(measure=measure, codecs=("x264",), factors=("best", 4, 1))
    rows = evaluate(claim, *tables).members.set_index("factor")
    assert list(rows.index) == ["best", "4", "1"]
    sides = [best_of(tables[0], family) for family in (POOR, GOOD)]
    if measure == "bd-ccc":
        wanted = bd.bd_accuracy(*sides).value
        assert rows["value"].drop("best").to_dict() == pytest.approx({"4": 0.08, "1": 0.0})
    else:
        wanted = bd.percent(bd.bd_rate(*sides).value)
        assert rows["value"]["4"] == pytest.approx(100 * np.expm1(-0.08 / 0.06), rel=1e-4)
    assert rows["value"]["best"] == pytest.approx(wanted, rel=1e-4)
    assert 0.01 < abs(rows["value"]["best"]) < abs(rows["value"]["4"]), "it gains at low rates alone"
    assert rows["verdict"].to_dict() == {"best": "holds", "4": "holds", "1": "cannot be told"}
    assert rows["chosen_on"].to_dict() == {"best": "other subjects", "4": "", "1": ""}


def test_the_best_factor_alone_needs_all_factors_and_has_components_too():
    found = evaluate(say(measure="bd-ccc", codecs=("x264",), factors=("best",)), *coded(0.05, level=crossing))
    (row,) = found.members.to_dict("records")
    assert row["factor"] == "best"
    assert row["value"] == pytest.approx(0.05)
    names = ("subject_variance", "better_seed_variance", "than_seed_variance")
    assert [row[name] for name in names] == pytest.approx(PARTS, rel=0.01)
    assert row["pair_mean"] == pytest.approx(0.05)
    assert found.verdict == "holds"


def test_the_best_factor_is_chosen_on_another_partition_where_there_is_one():
    test, dev = coded(at_factor_4, level=crossing), coded(at_factor_4, level=turned, partition="dev")
    encodes, scores = (pd.concat(parts, ignore_index=True) for parts in zip(test, dev, strict=True))
    claim = say(measure="bd-ccc", codecs=("x264",), factors=("best",))
    (row,) = evaluate(claim, encodes, scores).members.to_dict("records")
    assert row["chosen_on"] == "partition dev"
    sides = [best_of(test[0], family, chosen_by=turned) for family in (POOR, GOOD)]
    wanted = bd.bd_accuracy(*sides).value
    assert row["value"] == pytest.approx(wanted, rel=1e-4)
    in_sample = bd.bd_accuracy(*(best_of(test[0], family) for family in (POOR, GOOD))).value
    assert abs(wanted - in_sample) > 0.01, "what is reported would have chosen otherwise"


def test_one_subject_has_no_others_to_choose_the_best_factor_on():
    found = evaluate(say(measure="bd-ccc", codecs=("x264",), factors=("best",)), *coded(0.05, subjects=1))
    assert found.verdict == "cannot be told"
    (reason,) = found.members["reason"]
    assert reason.startswith(f"{GOOD}: No factor can be chosen on other subjects")
    assert "2 subjects or more" in found.reason


# What the tables do not have


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param(
            {"better": "god@lite"},
            "no back-end 'god@lite' was scored; did you mean 'good@lite'?",
            id="back-end",
        ),
        pytest.param({"than": "frozen@x"}, "no back-end 'frozen@x' was scored", id="the other back-end"),
        pytest.param(
            {"factors": (7,)},
            "there is nothing that was never coded in region face, partition test",
            id="factor",
        ),
        pytest.param(
            {"region": "frame"},
            "there is nothing that was never coded in region frame, partition test",
            id="region",
        ),
        pytest.param(
            {"gold": "pristine:hr@lite"},
            "good@lite has no score against pristine:hr@lite, plain, of anything that was never coded",
            id="gold",
        ),
        pytest.param(
            {"scoring": "smooth"},
            "good@lite has no score against labels, smooth, of anything that was never coded",
            id="scoring",
        ),
        pytest.param({"targets": ("liking",)}, "good@lite has no score against labels", id="target"),
        pytest.param(
            {"measure": "bd-ccc", "codecs": ("x264", "av1"), "region": "face"},
            "there is nothing coded with x264 or av1 in region face, partition test",
            id="codec",
        ),
        pytest.param({"measure": "accuracy"}, "there are no rows of it", id="metric"),
    ],
)
def test_what_was_never_scored_is_a_member_with_its_reason(options, reason):
    claim = say(**options)
    found = evaluate(claim, *planted(0.05))
    assert found.verdict == "cannot be told"
    assert reason in found.reason
    rows = found.members.to_dict("records")
    assert len(rows) == len(claim.factors) * max(len(claim.codecs), 1) * max(len(claim.targets), 1)
    for row in rows:
        assert reason in row["reason"]
        assert row["verdict"] == "cannot be told"
        assert np.isnan([row["value"], row["low"], row["sim_low"], row["sim_high"]]).all()
        assert (row["better"], row["than"]) == (claim.better, claim.than)
        assert row["factor"] == str(claim.factors[0])


@pytest.mark.parametrize("measure", ["ccc", "bd-ccc"])
def test_a_factor_that_only_one_family_has_names_the_other(measure):
    encodes, scores = (planted if measure == "ccc" else coded)(0.05)
    gone = scores["backend"].str.startswith(POOR) & scores["encode"].str.contains("-4-")
    options = {"measure": measure, "codecs": ("x264",) if measure == "bd-ccc" else ()}
    found = evaluate(say(factors=(1, 4, 9), **options), encodes, scores[~gone])
    assert found.verdict == "cannot be told"
    rows = found.members.set_index("factor")
    assert rows["verdict"].to_dict() == {"1": "holds", "4": "cannot be told", "9": "cannot be told"}
    assert rows["value"]["1"] == pytest.approx(0.05)
    assert rows["reason"].to_dict() == {
        "1": "",
        "4": "poor@lite has no rows of it",
        "9": "there are no rows of it",
    }
    assert "factor 4: poor@lite has no rows of it" in found.reason


def test_a_missing_factor_does_not_hide_one_that_fails():
    found = evaluate(say(factors=(4, 9)), *planted(-0.05))
    assert found.verdict == "does not hold"
    assert found.reason == ""
    assert list(found.members["verdict"]) == ["does not hold", "cannot be told"]


def test_a_codec_or_target_that_is_missing_is_a_member_by_itself():
    claim = say(measure="bd-ccc", codecs=("x264", "av1"), targets=("valence", "liking"))
    found = evaluate(claim, *coded(0.05))
    rows = found.members.set_index(["target", "codec"])
    assert len(rows) == 4
    assert rows.loc[("valence", "x264"), "verdict"] == "holds"
    rest = rows.drop(index=("valence", "x264"))
    assert set(rest["reason"]) == {"there are no rows of it"}
    assert found.verdict == "cannot be told"
    assert found.reason == "liking, av1, factor 4: there are no rows of it (and 2 more of 4)"


def test_clips_that_have_nothing_in_common_cannot_be_compared():
    encodes, scores = planted(0.05, factors=(4,))
    early = scores["encode"].str[4:6].astype(int) < 4
    good = scores["backend"].str.startswith(GOOD)
    found = evaluate(say(), encodes, scores[early == good])
    assert found.verdict == "cannot be told"
    assert "No clip has a value at all 11 points" in found.reason
    assert found.members["reason"].tolist() == [found.reason.split(": ", 1)[-1]]


@pytest.mark.parametrize("also", [False, True], ids=["one has fewer", "as many, but others"])
def test_seeds_at_unlike_rates_have_no_mean_curve(also):
    encodes, scores = coded(0.05, factors=(4,))
    good, one = scores["backend"].str.startswith(GOOD), scores["backend"] == named(GOOD, 3)
    lowest, highest = (scores["encode"].str.endswith(f"-{rate}") for rate in (4, 64))
    gone = one & highest | (good & ~one & lowest if also else False)
    claim = say(measure="bd-ccc", codecs=("x264",))
    found = evaluate(claim, encodes, scores[~gone])
    assert found.verdict == "cannot be told"
    assert found.members["reason"].tolist() == ["the seeds of good@lite were scored at other rates"]
    assert evaluate(claim, encodes, scores[~(good & highest)]).verdict == "holds", "families may differ"


def test_a_row_that_is_there_twice_is_refused():
    encodes, scores = planted(0.05)
    with pytest.raises(InputError, match="two scores of"):
        evaluate(say(), encodes, pd.concat([scores, scores[scores["encode"].str.contains("-4-")].head(1)]))


# Few seeds, few subjects


def first_seeds(good: int, poor: int) -> dict[str, np.ndarray]:
    return {GOOD: OF_SEEDS[GOOD][:good], POOR: OF_SEEDS[POOR][:poor]}


@pytest.mark.parametrize(
    ("good", "poor", "remark"),
    [
        (5, 5, ""),
        (1, 5, "good@lite: 1 seed: subjects only"),
        (5, 3, "poor@lite: 3 seeds: fewer than 5"),
        (2, 1, "good@lite: 2 seeds: fewer than 5; poor@lite: 1 seed: subjects only"),
    ],
)
@pytest.mark.parametrize("measure", ["ccc", "bd-ccc"])
def test_few_seeds_are_remarked_and_one_adds_no_component(good, poor, remark, measure):
    tables = (planted if measure == "ccc" else coded)(0.05, of_seeds=first_seeds(good, poor), factors=(4,))
    options = {"measure": measure, "codecs": ("x264",) if measure == "bd-ccc" else ()}
    found = evaluate(say(**options), *tables)
    (row,) = found.members.to_dict("records")
    assert row["remark"] == remark
    assert (row["better_seeds"], row["than_seeds"]) == (good, poor)
    parts, free = [PARTS[0]], [SUBJECTS - 1]
    assert row["subject_variance"] == pytest.approx(PARTS[0], rel=1e-3)
    if good == poor:
        pairs = variance_of_mean(OF_SEEDS[GOOD][:good] - OF_SEEDS[POOR][:poor])
        parts, free = [PARTS[0], pairs], [SUBJECTS - 1, good - 1]
        assert (row["seed_variance"], row["paired_seeds"]) == pytest.approx((pairs, good), rel=1e-3)
    for name, family, count in (("better_seed_variance", GOOD, good), ("than_seed_variance", POOR, poor)):
        if count == 1 or good == poor:
            assert np.isnan(row[name])
            continue
        parts.append(variance_of_mean(OF_SEEDS[family][:count]))
        free.append(count - 1)
        assert row[name] == pytest.approx(parts[-1], rel=1e-3)
    assert row["high"] - row["low"] == pytest.approx(2 * half_width(parts, free), rel=1e-3)
    few = "" if min(good, poor) == 5 else "one seed" if min(good, poor) == 1 else f"{min(good, poor)} seeds"
    assert found.verdict == ("cannot be told" if few else "holds")
    assert found.reason.startswith(f"{few} cannot hold" if few else "")
    assert found.endpoint["value"] == pytest.approx(0.05, abs=0.02), "what there is, is shown all the same"


def test_one_seed_each_is_a_paired_comparison_over_subjects():
    (row,) = evaluate(say(), *planted(0.05, of_seeds=first_seeds(1, 1))).members.to_dict("records")
    paired = distributions.ttest_rel(*(0.6 + OF_SUBJECTS[f] + OF_SEEDS[f][0] for f in (GOOD, POOR)))
    low, high = paired.confidence_interval(0.95)
    assert (row["low"] - 0.05, row["high"] - 0.05) == pytest.approx((low, high))
    assert row["freedom"] == pytest.approx(SUBJECTS - 1)


@pytest.mark.parametrize("subjects", [2, 5])
@pytest.mark.parametrize("measure", ["ccc", "bd-ccc"])
def test_few_subjects_have_a_difference_and_no_verdict(subjects, measure):
    tables = (planted if measure == "ccc" else coded)(0.3, subjects=subjects, factors=(4,))
    options = {"measure": measure, "codecs": ("x264",) if measure == "bd-ccc" else ()}
    found = evaluate(say(**options), *tables)
    (row,) = found.members.to_dict("records")
    assert row["value"] > 0.29
    assert row["reason"] == f"only {subjects} subjects: an interval needs 6"
    assert np.isnan([row["low"], row["sim_high"], row["freedom"]]).all()
    assert found.verdict == "cannot be told"
    place = "valence, factor 4" if measure == "ccc" else "valence, x264, factor 4"
    assert found.reason == f"{place}: {row['reason']}"


# The endpoint, and a file of claims


def test_the_endpoint_is_the_mean_of_the_members_with_the_components_of_a_mean():
    tables = planted(by_factor(x1=0.05, x4=0.01), factors=(1, 4), targets=("valence", "arousal"))
    end = evaluate(say(factors=(1, 4)), *tables).endpoint
    assert tuple(end) == ENDPOINT
    assert (end["value"], end["members"], end["of"]) == pytest.approx((0.03, 4, 4))
    # Subjects and seeds add the same to each member, so the mean varies as much as one.
    assert end["subject_variance"] == pytest.approx(PARTS[0])
    assert end["seed_variance"] == pytest.approx(PARTS[1] + PARTS[2])
    assert (end["low"], end["high"]) == pytest.approx((0.03 - HALF, 0.03 + HALF))
    # The level whose interval ends at 0.
    assert half_width(PARTS, FREE, 1 - end["p"]) == pytest.approx(0.03, rel=1e-6)
    assert end["verdict"] == "holds"


def test_the_mean_over_rates_is_one_of_log_ratios():
    tables = coded(by_factor(x1=SAVED, x4=2 * SAVED), factors=(1, 4))
    end = evaluate(say(measure="bd-rate", codecs=("x264",), factors=(1, 4)), *tables).endpoint
    assert end["value"] == pytest.approx(100 * (0.8**1.5 - 1), rel=1e-3)
    assert end["low"] < end["value"] < end["high"] < 0


def test_what_has_no_value_is_told_and_left_out_of_the_mean():
    tables = coded(lambda factor, target: {1: 0.45, 4: 0.05}[factor], level=lower)
    found = evaluate(say(measure="bd-rate", codecs=("x264",), factors=(1, 4)), *tables)
    assert found.verdict == "holds on average", "at every factor it cannot be said"
    assert (found.endpoint["members"], found.endpoint["of"]) == (1, 2)
    assert found.reason == "valence, x264, factor 1: the curves share no range of accuracy above 0"


def test_what_was_never_scored_must_be_before_the_mean_is_told():
    found = evaluate(say(factors=(4, 9)), *planted(0.05))
    assert found.verdict == "cannot be told"
    assert found.reason == "valence, factor 9: there are no rows of it"


def test_claims_of_a_file_share_its_level_and_the_weakest_has_most_to_show():
    tables = planted(0.05)
    (row,) = evaluate(say(), *tables).members.to_dict("records")
    # One claim that can barely be shown by itself, among others of which nothing is known.
    barely = say(margin=row["low"] - 1e-4)
    unknown = [say(margin=0.05, sentence=f"open {i}") for i in range(9)]
    assert evaluate(barely, *tables).verdict == "holds"
    assert evaluate_file([barely, *unknown], *tables)[0].verdict == "cannot be told"
    # Beside claims that are decided to their ends it has the whole level again.
    sure = [say(margin=-0.5, sentence=f"sure {i}") for i in range(9)]
    assert {one.verdict for one in evaluate_file([barely, *sure], *tables)} == {"holds"}


def test_the_order_of_the_factors_decides_how_far_it_is_shown(unlike_factors):
    members = evaluate(say(factors=(1, 2, 4, 8)), *unlike_factors).members.set_index("factor")
    weakest = members["low"].idxmin()
    margin = float(members.loc[weakest, "low"]) + 1e-6
    first = [int(weakest), *(int(f) for f in members.index if f != weakest)]
    shown = [
        set(
            evaluate(say(factors=tuple(order), margin=margin), *unlike_factors).members.query(
                "verdict == 'holds'"
            )["factor"]
        )
        for order in (first, first[::-1])
    ]
    assert weakest not in shown[0] | shown[1]
    assert shown[0] <= shown[1]
    assert shown[1] == {str(f) for f in first[1:]}


def test_the_same_seeds_are_pairs_unless_a_claim_says_they_share_nothing():
    of_seeds = {GOOD: OF_SEEDS[GOOD] * 9, POOR: OF_SEEDS[GOOD] * 9 + 0.001 * np.arange(5)}
    tables = planted(0.05, of_seeds=of_seeds)
    pairs, alone = (evaluate(say(seeds=kind), *tables) for kind in ("paired", "independent"))
    assert pairs.members["paired_seeds"].item() == 5
    assert alone.members["paired_seeds"].item() == 0
    assert pairs.endpoint["seed_variance"] == pytest.approx(variance_of_mean(0.001 * np.arange(5)))
    assert alone.endpoint["seed_variance"] == pytest.approx(sum(map(variance_of_mean, of_seeds.values())))
    both = coded(0.05, of_seeds=of_seeds, factors=(4,))
    row = evaluate(say(measure="bd-ccc", codecs=("x264",)), *both).members.iloc[0]
    assert row["seed_variance"] == pytest.approx(variance_of_mean(0.001 * np.arange(5)), rel=1e-3)
