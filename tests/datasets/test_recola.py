"""The public RECOLA release: folder variants, six raters, the gold standard by hand."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from packages import write, write_recola

from rdbench.datasets.recola import RecolaDataset, gold_standard, inspect_package
from rdbench.errors import ClipError, InputError
from rdbench.video.labels import join


def test_the_gold_standard_by_hand():
    # Three raters at four times. Means 1, 2, 0; variances 1, 1, 1/4 (population).
    #   a: 0 0 2 2    b: 1 1 3 3    c: -0.5 0.5 -0.5 0.5
    # cov(a, b) = 1, cov(a, c) = cov(b, c) = 0.
    # CCC(a, b) = 2 / (1 + 1 + (1 - 2)^2) = 2/3; CCC(a, c) = CCC(b, c) = 0.
    # Weights (mean of two CCCs each): 1/3, 1/3, 0. Weighted mean of the means: (1 + 2) / 2 = 1.5.
    # Centred ratings: a -1 -1 1 1, b the same, c as it is; their mean: (-2.5, -1.5, 1.5, 2.5) / 3.
    ratings = np.array([[0, 1, -0.5], [0, 1, 0.5], [2, 3, -0.5], [2, 3, 0.5]])
    expected = np.array([-2.5, -1.5, 1.5, 2.5]) / 3 + 1.5
    np.testing.assert_allclose(gold_standard(ratings), expected, atol=1e-15)


def reference(ratings: np.ndarray) -> np.ndarray:
    """The rule once more, rater by rater, for complete ratings."""
    n = ratings.shape[1]
    pairs: dict[int, list[float]] = {r: [] for r in range(n)}
    for a, b in itertools.combinations(range(n), 2):
        x, y = ratings[:, a], ratings[:, b]
        value = 2 * np.cov(x, y, ddof=0)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
        pairs[a].append(value)
        pairs[b].append(value)
    weights = np.array([np.mean(pairs[r]) for r in range(n)])
    level = sum(weights[r] * ratings[:, r].mean() for r in range(n)) / weights.sum()
    return np.mean([ratings[:, r] - ratings[:, r].mean() + level for r in range(n)], axis=0)


@pytest.mark.parametrize("seed", range(4))
def test_six_raters_against_a_second_writing(seed):
    rng = np.random.default_rng(seed)
    truth = np.cumsum(rng.normal(size=300)) / 20
    ratings = truth[:, None] * rng.uniform(0.5, 1.5, 6) + rng.normal(0, 0.3, 6) + rng.normal(0, 0.1, (300, 6))
    np.testing.assert_allclose(gold_standard(ratings), reference(ratings), atol=1e-12)


def test_raters_who_said_nothing_do_not_count():
    ratings = np.column_stack([[0.0, 1, 2, 3], [1.0, 2, 3, 5], [np.nan] * 4])
    np.testing.assert_allclose(gold_standard(ratings), gold_standard(ratings[:, :2]))
    assert np.isnan(gold_standard(np.full((3, 2), np.nan))).all()
    np.testing.assert_allclose(gold_standard(np.array([[1.0], [2.0]])), [1, 2])
    holes = ratings[:, :2].copy()
    holes[2] = np.nan
    assert np.isnan(gold_standard(holes)).tolist() == [False, False, True, False]


def test_raters_who_disagree_give_the_plain_mean():
    ratings = np.array([[0.0, 1], [1, 0], [0, 1], [1, 0]])
    np.testing.assert_allclose(gold_standard(ratings), 0.5)


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 6)), elements=st.floats(-1, 1)))
def test_the_gold_standard_is_always_a_number(ratings):
    assert np.isfinite(gold_standard(ratings)).all()


@pytest.fixture(scope="module", params=["-", "_"])
def made(request, tmp_path_factory) -> Path:
    return write_recola(tmp_path_factory.mktemp("recola"), dash=request.param, boxes=(10, 8, 20, 24))


def test_a_release_from_files_to_frames(made):
    dataset = RecolaDataset(made)
    assert [(i.name, i.subject, i.partition) for i in dataset.index()] == [
        ("P16", "P16", "train"),
        ("P17", "P17", "train"),
        ("P21", "P21", "dev"),
    ]
    clip = dataset.load("P16")
    assert len(clip.frame_times) == 50
    assert clip.boxes.xywh.shape == (50, 4)
    joined = join(clip.labels, clip.frame_times)
    assert joined.exact == 50
    folder = next(made.glob("RECOLA?Annotation")) / "emotional_behaviour" / "valence"
    raw = np.genfromtxt(folder / "P16.csv", delimiter=";", skip_header=1)
    np.testing.assert_allclose(joined.values[:, 1], reference(raw[:, 1:])[:50], atol=1e-9)


def test_a_release_is_inspected(made):
    inspection = inspect_package(made, look=False)
    assert inspection.usable
    assert [r.boxes for r in inspection.recordings] == ["given"] * 3
    assert inspection.notes == ("there is no recording in test",)


def test_partitions_are_the_users(made, tmp_path):
    for path in made.iterdir():
        if path.name != "partitions.csv":
            (tmp_path / path.name).symlink_to(path)
    assert {i.partition for i in RecolaDataset(tmp_path).index()} == {"test"}
    assert any("no partitions.csv" in note for note in inspect_package(tmp_path, look=False).notes)
    assert not inspect_package(tmp_path, look=False).usable
    write(tmp_path / "partitions.csv", "clip;partition\np17;Dev\n")
    assert [(i.name, i.partition) for i in RecolaDataset(tmp_path).index()] == [("P17", "dev")]
    with pytest.raises(InputError, match="no recording 'P16'"):
        RecolaDataset(tmp_path).load("P16")
    for text, said in [
        ("clip,partition\nP99,dev\n", "lists P99, but there is no video of it; there are P16, P17, P21"),
        ("clip,partition\nP17,eval\n", "line 2: partition should be train, dev or test, but is 'eval'"),
        ("clip,partition\nP17,dev\nP17,train\n", "line 3: P17 is listed twice"),
        ("clip,partition\n", "lists no recording"),
        ("clip\nP17\n", "there is no column 'partition'"),
    ]:
        write(tmp_path / "partitions.csv", text)
        with pytest.raises(InputError, match=said):
            RecolaDataset(tmp_path).index()


def test_what_is_missing_fails_its_recording(tmp_path):
    root = write_recola(tmp_path, {"P1": "train", "P2": "dev"}, frames=5)
    behaviour = root / "RECOLA-Annotation" / "emotional_behaviour"
    (behaviour / "arousal" / "P1.csv").unlink()
    with pytest.raises(ClipError, match=r"arousal/P1.csv: cannot be read"):
        RecolaDataset(root).load("P1")
    write(behaviour / "arousal" / "P2.csv", "time;FM1 \n0;x\n")
    with pytest.raises(ClipError, match=r"line 2: FM1 should be a number, but is 'x'"):
        RecolaDataset(root).load("P2")
    write(behaviour / "arousal" / "P2.csv", "time;FM1 \n0;1\n")
    with pytest.raises(ClipError, match="its times differ from those of"):
        RecolaDataset(root).load("P2")
    write(behaviour / "arousal" / "P2.csv", "time\n0\n")
    with pytest.raises(ClipError, match="one for each rater"):
        RecolaDataset(root).load("P2")


def test_folders_that_are_no_release(tmp_path):
    with pytest.raises(InputError, match="There is no folder"):
        RecolaDataset(tmp_path / "nowhere").index()
    with pytest.raises(
        InputError, match="has no folder RECOLA-Video-recordings, so it is not the RECOLA release"
    ):
        RecolaDataset(tmp_path).index()
    (tmp_path / "recola_video_recordings").mkdir()
    with pytest.raises(InputError, match=r"no recording such as P16.mp4"):
        RecolaDataset(tmp_path).index()
