"""Labels meet frames by time: exact, nearest, interpolated or missing, and never invented."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdbench.errors import ClipError
from rdbench.video.clip import Labels
from rdbench.video.labels import join, require_seconds


def line(times, targets=("valence",)) -> Labels:
    """Labels whose value is their time."""
    times = np.asarray(times, dtype=float)
    return Labels(times, np.repeat(times[:, None], len(targets), axis=1), targets)


def counts(joined) -> tuple[int, int, int, int]:
    return joined.exact, joined.nearest, joined.interpolated, joined.missing


def test_exact():
    times = np.arange(100) / 25
    joined = join(line(np.arange(7501) * 0.04), times)
    assert counts(joined) == (100, 0, 0, 0)
    np.testing.assert_allclose(joined.values[:, 0], times, atol=1e-12)


def test_times_rounded_to_milliseconds_are_exact():
    assert join(line(np.arange(100) / 30), np.round(np.arange(100) / 30, 3)).exact == 100


def test_nearest_within_half_a_period():
    joined = join(line([0, 1, 2, 3]), np.array([0.4, 0.6, 1.5, 2.0]))
    assert counts(joined) == (1, 3, 0, 0)
    assert joined.values[:, 0].tolist() == [0, 1, 1, 2]


def test_interpolated_in_a_hole_of_the_labels():
    at = np.concatenate([np.arange(10) * 0.1, 2 + np.arange(10) * 0.1])
    joined = join(line(at), np.arange(30) / 10 + 0.02)
    assert joined.interpolated == 10  # 1.02 ... 1.92; the ones at the rims are nearest to a label
    np.testing.assert_allclose(joined.values[10:20, 0], np.arange(10, 20) / 10 + 0.02, atol=1e-12)
    assert joined.missing == 0


def test_long_holes_are_not_bridged():
    at = np.concatenate([np.arange(50) * 0.1, 10 + np.arange(50) * 0.1])
    joined = join(line(at), np.arange(0, 15, 0.1))
    assert joined.interpolated == 0
    assert joined.missing == 50
    assert np.isnan(joined.values[51:99]).all()


def test_nothing_beyond_the_labels():
    joined = join(line(np.arange(10) / 10), np.arange(16) / 10 - 0.2)
    assert np.isnan(joined.values[[0, 1, -1, -2, -3, -4]]).all()
    assert joined.missing == 6


def test_less_than_half_is_refused():
    with pytest.raises(
        ClipError, match=r"Labels cover 0.00 s to 4.00 s, the video lasts from 0.00 s to 9.90 s.*41 %"
    ):
        join(line(np.arange(41) / 10), np.arange(100) / 10)
    with pytest.raises(ClipError, match="only 0 %"):
        join(line([1000.0, 2000.0]), np.arange(100) / 10)


def test_labels_that_are_mostly_no_numbers_are_refused():
    values = np.full((50, 1), np.nan)
    values[20:44] = 0.5
    with pytest.raises(ClipError, match=r"hold a value for only 48 % of the video's frames \(valence\)"):
        join(Labels(np.arange(50) / 25, values, ("valence",)), np.arange(50) / 25)
    values[44] = 0.5
    assert join(Labels(np.arange(50) / 25, values, ("valence",)), np.arange(50) / 25).missing == 25


def test_missing_values_stay_missing():
    labels = Labels(np.arange(10) / 10, np.array([[np.nan, 1.0]] * 5 + [[0.5, 1.0]] * 5), ("a", "b"))
    joined = join(labels, np.arange(10) / 10)
    assert np.isnan(joined.values[:5, 0]).all()
    assert (joined.values[:, 1] == 1).all()
    assert counts(joined) == (10, 0, 0, 0)


def test_labels_without_any_value_are_refused():
    labels = Labels(np.arange(10) / 10, np.full((10, 1), np.nan), ("valence",))
    with pytest.raises(ClipError, match=r"only 0 %.*valence"):
        join(labels, np.arange(10) / 10)


def test_no_labels_or_no_frames():
    with pytest.raises(ClipError, match="0 labels for 3 frames"):
        join(line([]), np.arange(3.0))
    with pytest.raises(ClipError, match="for 0 frames"):
        join(line([0.0]), np.zeros(0))


def test_classes_are_held_and_never_mixed():
    labels = Labels(
        np.array([0, 0.1, 0.2, 1.7, 1.8]), np.array([[0], [0], [2], [1], [1]], float), ("e",), tuple("abc")
    )
    joined = join(labels, np.arange(19) / 10)
    assert set(joined.values[:, 0]) == {0, 1, 2}
    assert (joined.values[3:16, 0] == 2).all()
    assert joined.interpolated == 14


def test_a_single_label_counts_for_its_own_frame_only():
    with pytest.raises(ClipError, match="10 %"):
        join(line([0.5]), np.arange(10) / 10)
    assert join(line([0.0]), np.zeros(1)).exact == 1


@given(
    steps=st.lists(st.floats(0.001, 5), min_size=1, max_size=40),
    frames=st.lists(st.floats(0.001, 1), min_size=1, max_size=60),
    start=st.floats(-3, 3),
    categorical=st.booleans(),
)
@settings(max_examples=150)
def test_every_value_comes_from_near_labels(steps, frames, start, categorical):
    at = np.cumsum(steps)
    times = start + np.cumsum(frames)
    labels = (
        line(at, ("a", "b"))
        if not categorical
        else Labels(at, np.arange(len(at))[:, None] * 1.0, ("e",), ("x",))
    )
    try:
        joined = join(labels, times)
    except ClipError:
        return
    assert sum(counts(joined)) == len(times)
    assert joined.missing == np.isnan(joined.values[:, 0]).sum()
    there = np.isfinite(joined.values[:, 0])
    period = np.median(np.diff(at)) if len(at) > 1 else 0
    if categorical:
        assert set(joined.values[there, 0]) <= set(range(len(at)))
    else:
        assert (np.abs(joined.values[there, 0] - times[there]) <= period / 2 + 1e-3).all()
    outside = (times < at[0] - period / 2 - 1e-3) | (times > at[-1] + period / 2 + 1e-3)
    assert not there[outside].any()


UNITS = {1e2: "hundredths of a second", 1e3: "milliseconds", 1e6: "microseconds", 25: "frame numbers"}


@given(
    unit=st.sampled_from(sorted(UNITS)),
    frames=st.integers(20, 5000),
    every=st.integers(1, 5),
    share=st.floats(0.85, 1.0),
)
def test_times_of_another_unit_are_refused_with_its_name_and_seconds_are_not(unit, frames, every, share):
    times = np.arange(0, max(2 * every + 1, int(frames * share)), every) / 25
    require_seconds(times, "labels", frames / 25, frames)
    with pytest.raises(ClipError, match=UNITS[unit]):
        require_seconds(np.round(times * unit), "labels", frames / 25, frames)


def test_labels_of_a_longer_recording_are_no_other_unit():
    require_seconds(np.arange(7500) * 0.04, "labels", 3.0, 75)
    require_seconds(np.arange(300) * 1.0, "labels", 3.0, 75)
