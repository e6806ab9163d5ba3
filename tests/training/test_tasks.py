from __future__ import annotations

import numpy as np
import pytest
import torch
import torchmetrics
from hypothesis import given, settings
from hypothesis import strategies as st
from made_faces import blobs, recipe
from torch import nn

from rdbench.stats import metrics
from rdbench.training import tasks
from rdbench.training.examples import FaceSet

CPU = torch.device("cpu")
PLAIN = {"shift": 0, "flip": False, "contrast": 0.0, "brightness": 0.0}


def test_luma_is_what_the_sweep_hands_to_a_back_end():
    planes = torch.tensor([[[0, 16, 235, 255, 126]]], dtype=torch.uint8)
    expected = torch.tensor([[[[0, 0, 1, 1, 110 / 219]]]])
    torch.testing.assert_close(tasks.as_input(planes), expected)


def test_augmentation_that_is_switched_off_changes_nothing():
    planes = torch.from_numpy(blobs(5, 0).luma[4])
    faces = tasks.augment(planes, recipe(**PLAIN), torch.Generator())
    torch.testing.assert_close(faces, tasks.as_input(planes))


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.integers(0, 6), st.booleans())
def test_shifts_and_mirrors_move_whole_pixels(seed, reach, flip):
    planes = torch.randint(
        16, 236, (3, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )
    changed = PLAIN | {"shift": reach, "flip": flip}
    faces = tasks.augment(planes, recipe(**changed), torch.Generator().manual_seed(seed))
    source = tasks.as_input(planes)
    padded = torch.nn.functional.pad(source, [reach] * 4, mode="replicate")
    for number in range(3):
        candidates = [
            padded[number, :, y : y + 20, x : x + 20]
            for y in range(2 * reach + 1)
            for x in range(2 * reach + 1)
        ]
        if flip:
            candidates += [each.flip(-1) for each in candidates]
        assert any(torch.allclose(faces[number], each, atol=1e-6) for each in candidates)


def test_augmented_luma_stays_luma_and_both_mirrorings_occur():
    planes = torch.from_numpy(blobs(64, 0).luma[4])
    strong = recipe(shift=0, contrast=0.9, brightness=0.9, noise=0.5)
    faces = tasks.augment(planes, strong, torch.Generator().manual_seed(1))
    assert faces.shape == (64, 1, 96, 96)
    assert faces.min() >= 0
    assert faces.max() <= 1
    mirrored = tasks.augment(planes, recipe(**(PLAIN | {"flip": True})), torch.Generator().manual_seed(1))
    same = (mirrored - tasks.as_input(planes)).abs().amax(dim=(1, 2, 3)) < 1e-6
    assert 10 < int(same.sum()) < 54


def test_the_concordance_loss_is_one_minus_ccc():
    rng = np.random.default_rng(0)
    predictions, gold = rng.normal([0.3, -0.1], size=(2, 50, 2))
    loss = float(tasks.concordance_loss(torch.from_numpy(predictions), torch.from_numpy(gold)))
    ours = [float(metrics.ccc(metrics.moments(predictions[:, k], gold[:, k]))) for k in (0, 1)]
    assert loss == pytest.approx(1 - np.mean(ours), abs=1e-6)
    # torchmetrics divides moments by n - 1, which 10,000 equal copies make no difference.
    many = torchmetrics.functional.concordance_corrcoef(
        torch.from_numpy(predictions[:, 0]).repeat(10_000), torch.from_numpy(gold[:, 0]).repeat(10_000)
    )
    assert ours[0] == pytest.approx(float(many), abs=1e-5)


class Says(nn.Module):
    """Says of each face what its mean luma is, for both targets."""

    def forward(self, faces):
        return faces.mean(dim=(1, 2, 3))[:, None].repeat(1, 2)


def seen(count, factors=(1, 4), frames=8):
    """Faces whose every pixel tells their number and factor."""
    rng = np.random.default_rng(count)
    luma = {
        factor: np.stack(
            [np.full((96, 96), 20 + 10 * (number % 20) + factor, np.uint8) for number in range(frames)]
        )
        for factor in factors
    }
    values = rng.normal(size=(frames, 2)).astype(np.float32)
    subject = np.arange(frames) % 2
    return FaceSet(luma, values, ("up", "side"), subject, ("a", "b"), {f: 96 / f for f in factors})


def test_recognition_hands_out_faces_with_their_own_labels():
    learn = seen(0)
    task = tasks.Recognition(recipe(factors=(1, 4), **PLAIN), learn, seen(1), CPU)
    rows = torch.tensor([5, 0, 7, 5] * 10)
    came, gold = task.batch(rows, torch.Generator().manual_seed(0))
    levels = torch.round(came[:, 0, 0, 0] * 219 + 16).int() - 20
    assert torch.equal(levels // 10, rows.int())
    assert set((levels % 10).tolist()) == {1, 4}, "every factor gets its turn"
    np.testing.assert_array_equal(gold.numpy(), learn.values[rows])


def test_recognition_is_scored_over_all_factors_together():
    choose = seen(1)
    task = tasks.Recognition(recipe(factors=(1, 4)), seen(0), choose, CPU)
    said = np.concatenate([(choose.luma[f].mean(axis=(1, 2)) - 16) / 219 for f in (1, 4)])
    gold = np.tile(choose.values[:, 0], 2)
    expected = metrics.ccc(metrics.moments(said, gold))
    assert task.score(Says(), whole=True)["up"] == pytest.approx(float(expected), abs=1e-6)


def test_thinned_scores_give_every_factor_its_share():
    shares = tasks._shares(seen(1, (1, 2, 4), frames=100), 50)
    assert [len(rows) for _, rows in shares] == [17, 17, 17]
    assert [int(rows[0]) for _, rows in shares] == [0, 1, 2]


def test_the_loss_asked_for_is_the_loss_used():
    predictions, gold = torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    squared = tasks.Recognition(recipe(loss="mse"), seen(0), seen(1), CPU).loss(predictions, gold)
    concordance = tasks.Recognition(recipe(loss="ccc"), seen(0), seen(1), CPU).loss(predictions, gold)
    assert float(squared) == pytest.approx(0.5)
    # Perfect agreement of the first target, perfect disagreement of the second.
    assert float(concordance) == pytest.approx((0 + 2) / 2, abs=1e-5)


def pictures(frames=6):
    """Pristine noise, and at factor 4 the same with half its contrast."""
    rng = np.random.default_rng(0)
    pristine = rng.integers(56, 196, (frames, 96, 96)).astype(np.uint8)
    dull = ((pristine.astype(int) - 126) // 2 + 126).astype(np.uint8)
    values = np.zeros((frames, 2), np.float32)
    return FaceSet(
        {1: pristine, 4: dull}, values, ("up", "side"), np.arange(frames), ("a",) * frames, {1: 96, 4: 24}
    )


def test_restoration_pairs_a_patch_with_its_own_centre():
    faces = pictures()
    restoring = recipe(backend="sr", network="SuperResolver", targets=(), factors=(4,))
    task = tasks.Restoration(restoring, faces, faces, CPU)
    came, gold = task.batch(torch.arange(6), torch.Generator().manual_seed(0))
    assert came.shape == (6, 1, 32, 32)
    assert gold.shape == (6, 1, 16, 16)
    doubled = (came - 110 / 219) * 2 + 110 / 219
    np.testing.assert_allclose(doubled[..., 8:24, 8:24], gold, atol=2 / 219)
    assert float(task.loss(doubled, gold)) < 1e-4 < float(task.loss(came, gold))
    assert float(task.loss(gold, gold)) == 0


class Doubles(nn.Module):
    """Undoes the dulling, and has its own opinion of the edge."""

    def forward(self, faces):
        out = (faces - 110 / 219) * 2 + 110 / 219
        out[..., :8, :] = 0
        return out


def test_restoration_is_scored_by_the_psnr_it_gains():
    faces = pictures()
    task = tasks.Restoration(recipe(backend="sr", targets=(), factors=(4,)), faces, faces, CPU)
    assert task.score(nn.Identity(), whole=True) == {"restored": pytest.approx(0)}
    middle = slice(8, 88)
    level = {f: (planes[:, middle, middle].astype(float) - 16) / 219 for f, planes in faces.luma.items()}
    doubled = (level[4] - 110 / 219) * 2 + 110 / 219
    gain = 10 * np.log10(((level[4] - level[1]) ** 2).mean() / ((doubled - level[1]) ** 2).mean())
    assert task.score(Doubles(), whole=True)["restored"] == pytest.approx(gain, abs=1e-3)
    assert gain > 20


def test_restoring_pristine_faces_gains_nothing():
    faces = pictures()
    task = tasks.Restoration(recipe(backend="sr", targets=(), factors=(1,)), faces, faces, CPU)
    assert task.score(nn.Identity(), whole=True) == {"restored": 0.0}


def test_the_content_of_a_task_follows_faces_and_kind():
    faces = pictures()
    contents = {
        tasks.Recognition(recipe(factors=(4,)), faces, faces, CPU).content,
        tasks.Recognition(recipe(factors=(1,)), faces, faces, CPU).content,
        tasks.Restoration(recipe(targets=(), factors=(4,)), faces, faces, CPU).content,
        tasks.Recognition(recipe(factors=(4,)), faces, seen(3), CPU).content,
    }
    assert len(contents) == 4
