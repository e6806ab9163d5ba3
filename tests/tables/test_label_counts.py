"""Counts of how frames came by their labels: what is read back is what was joined."""

from __future__ import annotations

import numpy as np

from rdbench.tables.label_counts import LabelCounts, counted
from rdbench.video.clip import Labels
from rdbench.video.labels import join


def test_what_was_joined_is_read_back_and_added_up():
    values = np.zeros((50, 1))
    values[:5] = np.nan
    at = np.delete(np.arange(50), slice(20, 30)) / 25
    labels = Labels(at, np.delete(values, slice(20, 30), axis=0), ("valence",))
    one = join(labels, np.arange(50) / 25)
    other = join(labels, np.arange(50) / 25 + 0.01)
    assert (one.exact, one.interpolated, one.missing) == (35, 10, 5)
    assert other.nearest > 30
    total = counted([str(one), "no labels: agreement with x on pristine frames", None, str(other)])
    assert total == LabelCounts(
        2,
        one.exact + other.exact,
        one.nearest + other.nearest,
        one.interpolated + other.interpolated,
        one.missing + other.missing,
    )
    assert total.frames == 100
    assert total.row() == {
        "frames": 100,
        "clips": 2,
        "exact": total.exact,
        "nearest": total.nearest,
        "interpolated": total.interpolated,
        "missing": total.missing,
    }
    assert str(counted([str(one)])) == (
        "labels of 50 frames in 1 clip: 35 exact, 0 nearest, 10 interpolated, 5 missing"
    )


def test_a_clip_counts_once_however_many_back_ends_saw_it():
    note = "labels of 3 frames: 1 exact, 1 nearest, 1 interpolated, 0 missing"
    assert counted([f"{note}; no labels: agreement with x on pristine frames"]) == LabelCounts(1, 1, 1, 1, 0)


def test_where_there_are_no_labels_there_are_no_counts():
    assert counted([]).row() is None
    assert counted(["no labels"]) == LabelCounts()
