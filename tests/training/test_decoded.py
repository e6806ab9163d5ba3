from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rdbench.backends.weights import Recipe
from rdbench.training import decoded
from rdbench.training.decoded import coded_views
from rdbench.training.examples import FaceSet
from rdbench.training.tasks import Recognition
from rdbench.video.views import face_views
from tests.helpers.made_videos import clip_of, moving, psnr_of


@pytest.fixture
def clip(tmp_path, monkeypatch):
    monkeypatch.setenv("RDBENCH_CACHE", str(tmp_path / "cache"))
    return clip_of(moving(20))


def test_a_coded_face_is_that_of_its_own_frame_and_worse_than_the_uncoded_one(clip):
    plain = face_views(clip, (1, 4), 5)
    seen = coded_views(clip, (1, 4), 5, 2)
    assert set(seen) == {(factor, version) for factor in (1, 4) for version in (0, 1)}
    for (factor, _), planes in seen.items():
        assert planes.shape == (4, 96, 96)
        assert planes.dtype == np.uint8
        near = [psnr_of(planes[2], other) for other in plain.luma[factor]]
        assert np.argmax(near) == 2
        assert near[2] < 60


def test_what_was_drawn_depends_on_name_factor_and_version_alone(clip):
    once = coded_views(clip, (4,), 5, 2)
    again = coded_views(clip, (2, 4), 5, 1)
    np.testing.assert_array_equal(once[4, 0], again[4, 0])
    lowest, highest = decoded.QUANTISERS
    rates = [decoded._rate(f"train_{number}", 4, 0) for number in range(2000)]
    assert (min(rates), max(rates)) == (lowest, highest)
    counts = np.bincount(rates)[lowest:]
    expected = 2000 / len(counts)
    assert ((counts - expected) ** 2 / expected).sum() < 2 * len(counts), "chi-squared of an even draw"


def test_coarser_quantisers_leave_less(clip, monkeypatch):
    plain = face_views(clip, (1,), 5).luma[1]
    left = []
    for rate in (20, 45):
        monkeypatch.setattr(decoded, "_rate", lambda *_, rate=rate: rate)
        left.append(psnr_of(coded_views(clip, (1,), 5, 1)[1, 0], plain))
    assert left[0] > left[1] + 3


def test_a_recipe_sees_as_many_versions_as_it_asks_for():
    def level(number):
        return np.full((6, 96, 96), number, np.uint8)

    faces = FaceSet(
        {1: level(20), 4: level(40)},
        np.arange(6, dtype=np.float32)[:, None],
        ("up",),
        np.zeros(6, np.int64),
        ("a",),
        {1: 96.0, 4: 24.0},
        coded={(1, 0): level(60), (1, 1): level(80), (4, 0): level(100), (4, 1): level(120)},
    )
    assert faces.of((4,), 1).coded.keys() == {(4, 0)}
    assert not faces.of((1, 4)).coded
    assert faces.where(faces.values[:, 0] > 2).coded[1, 0].shape == (3, 96, 96)
    assert len({faces.of((1, 4), versions).content() for versions in (0, 1, 2)}) == 3
    plain = {"shift": 0, "flip": False, "contrast": 0.0, "brightness": 0.0, "backend": "x", "size": "lite"}
    for versions, levels in ((0, {20, 40}), (1, {20, 40, 60, 100}), (2, {20, 40, 60, 80, 100, 120})):
        recipe = Recipe(factors=(1, 4), targets=("up",), coded=versions, **plain)
        task = Recognition(recipe, faces, replace(faces), torch.device("cpu"))
        came, _ = task.batch(torch.zeros(400, dtype=torch.long), torch.Generator().manual_seed(0))
        assert set(torch.round(came[:, 0, 0, 0] * 219 + 16).int().tolist()) == levels
