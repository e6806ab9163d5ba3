"""Delay and post-processing: planted ones are recovered, nothing is chosen on what is reported."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import medfilt

from rdbench.errors import InputError
from rdbench.stats import metrics
from rdbench.sweep import corrections
from rdbench.sweep.corrections import PLAIN, Recording, Scoring
from rdbench.video.clip import Labels
from rdbench.video.labels import DELAYS, join, shift_labels

FPS = 25


def wander(seed: int, frames: int, seconds: float = 3.0) -> np.ndarray:
    """A smooth random signal, different for each seed, with an own level."""
    rng = np.random.default_rng(seed)
    kernel = np.hanning(round(seconds * FPS))
    noise = np.convolve(rng.standard_normal(frames + len(kernel)), kernel / kernel.sum(), "same")[:frames]
    return noise / noise.std() * 0.3 + 0.1 * rng.standard_normal()


def recordings(delay: float, gain: float = 1.0, offset: float = 0.0, noise: float = 0.0, frames: int = 1500):
    """Six train and two dev subjects whose gold lags their predictions by `delay`."""
    made = []
    for i in range(8):
        signal = wander(i, frames + 250)
        lag = round(delay * FPS)
        gold, pred = signal[250 - lag : 250 - lag + frames], signal[250 : 250 + frames]
        pred = gain * pred + offset + noise * np.random.default_rng(90 + i).standard_normal(frames)
        partition = "train" if i < 6 else "dev"
        made.append(Recording(f"{partition}_{i}", f"s{i}", partition, np.arange(frames) / FPS, pred, gold))
    return made


@pytest.mark.parametrize("delay", [0.0, 0.4, 2.8, 4.0, 8.0])
@pytest.mark.parametrize("protocol", ["loso", "avec2016"])
def test_a_planted_delay_is_recovered_exactly(delay, protocol):
    fitted = corrections.fit(recordings(delay), protocol)
    assert fitted.scoring.delay == delay
    step = fitted.steps[0]
    assert step.name == "delay"
    assert step.kept == (delay > 0)
    if delay:
        assert step.after > step.before + 0.05


@pytest.mark.parametrize("delay", [1.2, 6.0])
def test_a_planted_delay_is_recovered_from_noisy_predictions(delay):
    assert corrections.fit(recordings(delay, noise=0.3)).scoring.delay == delay


def test_level_and_spread_are_recovered():
    made = recordings(2.8, gain=0.25, offset=0.7)
    fitted = corrections.fit(made).scoring
    assert (fitted.bias, fitted.scale) == (True, True)
    assert fitted.delay == 2.8
    assert fitted.gain == pytest.approx(4, rel=0.1)
    dev = [r for r in made if r.partition == "dev"]
    plain = metrics.merge([metrics.moments(r.pred, r.gold) for r in dev])
    better = metrics.merge([metrics.moments(corrections.apply(fitted, r.pred, r.times), r.gold) for r in dev])
    assert metrics.ccc(better) > 0.9 > metrics.ccc(plain) + 0.4


def test_noise_is_filtered_only_where_it_helps():
    assert corrections.fit(recordings(0.0, noise=0.5)).scoring.median > 0
    assert corrections.fit(recordings(0.0)).scoring == PLAIN


def test_perfect_predictions_stay_as_they_are():
    fitted = corrections.fit(recordings(0.0))
    assert fitted.scoring == PLAIN
    assert fitted.told([])[0] == "nothing"
    assert not any(step.kept for step in fitted.steps)
    assert [step.name for step in fitted.steps] == ["delay", "median", "bias", "scale"]


def test_what_is_reported_has_no_say():
    made = recordings(2.8)
    other = [replace(r, gold=-r.gold, pred=r.pred * 5) if r.partition == "dev" else r for r in made]
    assert corrections.fit(made) == corrections.fit(other)
    assert set(corrections.fit(made).clips) == {r.clip for r in made if r.partition == "train"}


def test_the_challenge_way_is_marked():
    fitted = corrections.fit(recordings(2.8), "avec2016", reported={"s6", "s7"})
    assert fitted.fitted_on == "2 dev recordings, as in the AVEC 2016 challenge: chosen on what is reported"
    assert all(clip.startswith("dev") for clip in fitted.clips)
    # On dev, for other subjects: that is no more than the challenge's choice.
    assert corrections.fit(recordings(2.8), "avec2016", reported={"s8"}).fitted_on.endswith("challenge")


def test_a_subject_that_is_reported_has_no_say_in_what_it_is_scored_with():
    made = recordings(2.8, gain=0.25, offset=0.7)
    fitted = corrections.fit(made, reported={"s0", "s6"})
    assert list(fitted.without) == ["s0"]  # s6 is in dev, on which nothing is fitted
    spoiled = [replace(r, gold=-r.gold, pred=r.pred * 5 + 3) if r.subject == "s0" else r for r in made]
    other = corrections.fit(spoiled, reported={"s0", "s6"})
    assert (
        other.of("s0") == fitted.of("s0") == corrections.fit([r for r in made if r.subject != "s0"]).scoring
    )
    assert other.scoring != fitted.scoring == fitted.of("s6")
    assert "s0" not in {clip.partition("_")[2] for clip in fitted.without["s0"].clips}


def test_what_subjects_were_scored_with_is_told_as_ranges():
    made = recordings(2.8, gain=0.25, offset=0.7)
    subjects = [f"s{i}" for i in range(6)]
    fitted = corrections.fit(made, reported=subjects)
    chosen, fitted_on = fitted.told(subjects)
    assert fitted_on.endswith("over 6 train subjects, each scored with what the others chose")
    delay, bias, *_ = chosen.split(", ")
    offsets = sorted(
        step.value for one in fitted.without.values() for step in one.steps if step.name == "bias"
    )
    assert (delay, bias) == ("delay=2.8", f"bias={offsets[0]:.4g} to {offsets[-1]:.4g}")
    assert fitted.told(["s7"]) == (fitted.told([])[0], fitted.fitted_on)
    nothing = replace(fitted.without["s1"], steps=())
    some = replace(fitted, without={**fitted.without, "s1": nothing})
    assert some.told(subjects)[0].startswith("delay=2.8 (5 of 6), bias=")


def test_what_others_chose_takes_three_subjects():
    made = [r for r in recordings(2.8) if r.subject in ("s0", "s1")]
    assert corrections.fit(made, reported={"s7"}).without == {}
    with pytest.raises(InputError, match="at least 3 train subjects, but there are 2"):
        corrections.fit(made, reported={"s0"})


def test_a_correction_that_only_suits_the_ones_it_was_fitted_on_is_dropped():
    made = []
    for i in range(4):  # each subject's level is off in another direction: the others' bias does harm
        gold = wander(i, 500) - wander(i, 500).mean()
        made.append(
            Recording(f"c{i}", f"s{i}", "train", np.arange(500) / FPS, gold + [1, -1, 1, -1.2][i], gold)
        )
    bias = next(step for step in corrections.fit(made).steps if step.name == "bias")
    assert bias.value != 0
    assert not bias.kept
    pooled = metrics.merge([metrics.moments(r.pred + bias.value, r.gold) for r in made])
    assert metrics.ccc(pooled) > bias.before  # in sample it would have looked like a gain


def test_subjects_with_several_clips_are_left_out_whole():
    made = [replace(r, subject="same") for r in recordings(2.8)]
    with pytest.raises(InputError, match="at least 2 train subjects"):
        corrections.fit(made)


def test_nothing_to_fit_on():
    dev = [r for r in recordings(2.8) if r.partition == "dev"]
    with pytest.raises(InputError, match="fitted on the train recordings"):
        corrections.fit(dev)
    with pytest.raises(InputError, match="loso, avec2016"):
        corrections.fit(dev, "interspeech")


def test_shifting_labels_back_and_predictions_forward_are_inverse():
    times = np.arange(500) / FPS
    signal = wander(3, 500)
    labels = Labels(times, signal[:, None], ("valence",))
    trained = join(shift_labels(labels, 2.8), times).values[:, 0]
    assert np.array_equal(trained[: 500 - 70], signal[70:])  # 70 frames = 2.8 s
    assert np.isnan(trained[500 - 70 :]).all()
    scored = corrections.shift_predictions(trained, times, 2.8)
    assert np.array_equal(scored[70:430], signal[70:430])
    assert (scored[:70] == trained[0]).all()
    assert np.isnan(scored[430:]).all()  # what has no prediction of its own is not scored


@given(
    delay=st.sampled_from(DELAYS),
    n=st.integers(2, 60),
    seed=st.integers(0, 1000),
    columns=st.integers(0, 3),
)
@settings(max_examples=60)
def test_shifted_predictions_come_from_the_past(delay, n, seed, columns):
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.01, 0.2, n))
    values = np.repeat(times[:, None], columns, axis=1) if columns else times
    out = corrections.shift_predictions(values, times, delay)
    assert out.shape == values.shape
    expected = np.maximum(times - delay, times[0])
    half = np.median(np.diff(times)) / 2 + 2e-6
    assert (np.abs(out.reshape(n, -1) - expected[:, None]) <= half).all()


def test_gaps_stay_gaps():
    times = np.arange(100) / FPS
    pred = wander(0, 100)
    pred[40:60] = np.nan
    out = corrections.apply(Scoring(delay=0.4, gain=2, offset=1), pred, times)
    assert np.isnan(out[40:60]).all()
    np.testing.assert_array_equal(out[10:40], 2 * pred[:30] + 1)
    # 0.4 s before, there was no face: the last prediction until then is held.
    assert (out[60:70] == 2 * pred[39] + 1).all()
    np.testing.assert_array_equal(out[70:], 2 * pred[60:90] + 1)


@pytest.mark.parametrize(
    "faceless", [[0], [0, 1, 2], range(300, 420), [*range(50), *range(700, 750)]], ids=str
)
def test_every_delay_is_scored_over_the_same_frames(faceless):
    """Seen before: 7499, 7429 and 7299 frames at 0, 2.8 and 8 s, with the first frame alone faceless."""
    times = np.arange(750) / FPS
    gold, pred = wander(1, 750), wander(2, 750)
    pred[list(faceless)] = np.nan
    mask = np.isfinite(pred)
    for delay in DELAYS:
        for median in (0.0, 0.4, 12.8):
            out = corrections.apply(Scoring(delay=delay, median=median), pred, times)
            assert np.array_equal(np.isfinite(out), mask)
            stats = metrics.moments(out, gold)
            assert stats[0] == mask.sum()
            assert np.array_equal(stats[[0, 2, 4]], metrics.moments(pred, gold)[[0, 2, 4]])


def test_columns_have_masks_of_their_own():
    times = np.arange(50) / FPS
    values = np.column_stack([wander(1, 50), wander(2, 50), np.full(50, np.nan)])
    values[20:25, 0] = np.nan
    together = corrections.shift_predictions(values, times, 0.4)
    for column in range(3):
        np.testing.assert_array_equal(
            together[:, column], corrections.shift_predictions(values[:, column], times, 0.4)
        )
    assert np.isnan(together[:, 2]).all()


def test_a_median_does_not_reach_through_a_gap():
    times = np.arange(200) / FPS
    pred = np.where(np.arange(200) < 100, -1.0, 1.0)
    pred[90:160] = np.nan
    out = corrections.apply(Scoring(median=1.2), pred, times)
    assert set(out[:90]) == {-1.0}
    assert set(out[160:]) == {1.0}


def test_the_median_filter_is_the_usual_one():
    times = np.arange(200) / FPS
    pred = np.random.default_rng(0).standard_normal(200)
    out = corrections.apply(Scoring(median=0.2), pred, times)
    assert np.array_equal(out[2:-2], medfilt(pred, 5)[2:-2])


def test_moments_of_rescaled_predictions_equal_a_second_pass():
    rng = np.random.default_rng(5)
    pred, gold = rng.standard_normal(400) + 3, rng.standard_normal(400)
    stats = metrics.moments(pred, gold)
    np.testing.assert_allclose(
        corrections._affine(stats, 2.5, -1.25), metrics.moments(2.5 * pred - 1.25, gold), rtol=1e-12
    )


@pytest.mark.parametrize("delay", [-0.4, 8.4, float("nan"), float("inf")])
def test_impossible_delays_are_refused(delay):
    with pytest.raises(InputError, match="0 to 8 s"):
        corrections.shift_predictions(np.zeros(3), np.arange(3.0), delay)


def test_the_key_names_the_procedure_and_the_values_stand_beside_it():
    assert corrections.procedure("loso") == (
        "delay+median+bias+scale, chosen by leave-one-subject-out on train"
    )
    assert corrections.procedure("avec2016") == "delay+median+bias+scale, chosen on dev as in AVEC 2016"
    with pytest.raises(InputError, match="loso, avec2016"):
        corrections.procedure("best")
    fitted = corrections.fit(recordings(2.8, gain=0.25, offset=0.7))
    names = [part.split("=")[0] for part in fitted.told([])[0].split(", ")]
    assert names == [step.name for step in fitted.steps if step.kept]
    assert fitted.told([])[0].startswith("delay=2.8, ")


def test_both_challenge_scores_side_by_side():
    rng = np.random.default_rng(1)
    parts = [(rng.standard_normal(50) + i, rng.standard_normal(50) + i) for i in range(3)]
    parts.append((rng.standard_normal(50), np.zeros(50)))
    stats = np.array([metrics.moments(p, g) for p, g in parts])

    def plain_ccc(p, g):
        return 2 * np.cov(p, g, ddof=0)[0, 1] / (p.var() + g.var() + (p.mean() - g.mean()) ** 2)

    scores = metrics.challenge_scores(stats)
    joined = [np.concatenate(side) for side in zip(*parts, strict=True)]
    assert scores["ccc_concatenated"] == pytest.approx(plain_ccc(*joined), abs=1e-12)
    assert scores["ccc_mean_of_recordings"] == pytest.approx(np.mean([plain_ccc(*p) for p in parts[:3]]))
    assert scores["recordings"] == 3
