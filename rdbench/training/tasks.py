"""What a network learns: to recognise, or to restore. Batches, loss and score of each."""

from __future__ import annotations

import hashlib
import math
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rdbench.backends.weights import FACE, Recipe
from rdbench.stats import metrics
from rdbench.training.examples import FaceSet

__all__ = [
    "PATCH",
    "Recognition",
    "Restoration",
    "Task",
    "as_input",
    "augment",
    "concordance_loss",
    "predict",
    "score",
]

PATCH = 32
"""Side in pixels of the patches that restoration is learned on, but for a network whose last map holds a whole face; their
outer 8 pixels are context, not target."""

_CONTEXT = 8
_SELECTION_FRAMES = 500
_RESTORED_FRAMES = 1000
"""Restoring at full size takes as long as recognising ten times; so many frames tell its gain."""
_BATCH = 64


class Task(Protocol):
    """What the training loop needs to know of a task."""

    frames: int
    """Training faces."""
    columns: tuple[str, ...]
    """Names of the scores; higher is better, and the epoch with the highest mean is chosen."""
    measure: str
    """What the scores are, for people."""
    content: str
    """Content hash of all that is learned from and chosen on."""

    def batch(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Give what goes in and what should come out for some of the training faces."""
        ...

    def loss(self, predictions: Tensor, gold: Tensor) -> Tensor:
        """Give one number to be made small."""
        ...

    def score(self, network: nn.Module, *, whole: bool = False) -> dict[str, float]:
        """Score on what the epoch is chosen on; `whole` on all of it, or on as much as can be afforded."""
        ...


def as_input(planes: Tensor) -> Tensor:
    """Turn uint8 limited-range Y planes (n, h, w) into what a network sees: (n, 1, h, w) float32 in 0..1."""
    return ((planes.float() - 16) / 219).clamp(0, 1).unsqueeze(1)


def augment(planes: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Shift, mirror and re-light faces at random, as another camera or person might show them.

    People are few: without this, who they are is learned instead of what they show. Only whole pixels
    are shifted, since interpolation would blur what downsampling left.

    Parameters
    ----------
    planes : (n, h, w) uint8 Tensor
    recipe : Recipe
        Gives `shift`, `flip`, `contrast`, `brightness` and `noise`.
    generator : torch.Generator
        On the CPU; the only source of chance.

    Returns
    -------
    (n, 1, h, w) float32 Tensor in 0..1
    """
    n, height, width = planes.shape
    steps = torch.randint(-recipe.shift, recipe.shift + 1, (2, n, 1), generator=generator)
    rows = (torch.arange(height) + steps[0]).clamp(0, height - 1)
    columns = (torch.arange(width) + steps[1]).clamp(0, width - 1)
    mirrored = torch.rand(n, 1, generator=generator) < (0.5 if recipe.flip else 0.0)
    columns = torch.where(mirrored, columns.flip(1), columns)
    faces = as_input(_taken(planes, rows, columns))

    def uniform(reach: float) -> Tensor:
        return ((torch.rand(n, 1, 1, 1, generator=generator) * 2 - 1) * reach).to(planes.device)

    mean = faces.mean(dim=(1, 2, 3), keepdim=True)
    faces = (faces - mean) * (1 + uniform(recipe.contrast)) + mean + uniform(recipe.brightness)
    if recipe.noise:
        spread = uniform(recipe.noise).abs()
        faces = faces + spread * torch.randn(faces.shape, generator=generator).to(planes.device)
    return faces.clamp(0, 1)


def concordance_loss(predictions: Tensor, gold: Tensor) -> Tensor:
    """Mean over targets of 1 - CCC of a batch (Lin 1989, population moments), 0..2.

    Parameters
    ----------
    predictions, gold : (n, k) Tensor
    """
    mean_p, mean_g = predictions.mean(0), gold.mean(0)
    dev_p, dev_g = predictions - mean_p, gold - mean_g
    covariance = (dev_p * dev_g).mean(0)
    spread = (dev_p**2).mean(0) + (dev_g**2).mean(0) + (mean_p - mean_g) ** 2
    return (1 - 2 * covariance / (spread + 1e-8)).mean()


@torch.inference_mode()
def predict(network: nn.Module, planes: NDArray[np.uint8], device: torch.device) -> NDArray[np.float64]:
    """Run a network on uint8 Y planes (n, 96, 96) in float32; the first dimension of what it gives is n."""
    network.eval()
    parts = [
        network(as_input(torch.from_numpy(planes[at : at + _BATCH]).to(device))).cpu().numpy()
        for at in range(0, len(planes), _BATCH)
    ]
    return np.concatenate(parts).astype(np.float64)


def score(
    network: nn.Module, faces: FaceSet, device: torch.device, most: int | None = None
) -> dict[str, float]:
    """CCC of each target over all frames and factors together; accuracy where it has classes, F1 where it is a unit.

    Parameters
    ----------
    network : nn.Module
    faces : FaceSet
    device : torch.device
    most : int, optional
        Look at no more than about so many frames, evenly thinned; every factor gets its share of them.
    """
    predicted, gold = [], []
    for planes, rows in _shares(faces, most):
        predicted.append(predict(network, planes[rows], device))
        gold.append(faces.values[rows])
    together, values = np.concatenate(predicted), np.concatenate(gold)
    if faces.classes:
        found = metrics.confusion_matrix(together.argmax(axis=1), values[:, 0], len(faces.classes))
        return {faces.targets[0]: float(metrics.accuracy(found))}
    if faces.units:
        there = [metrics.confusion_matrix(p > 0, g, 2) for p, g in zip(together.T, values.T, strict=True)]
        return {
            unit: float(np.nan_to_num(metrics.unit_f1(counts)))
            for unit, counts in zip(faces.targets, there, strict=True)
        }
    return {
        target: float(metrics.ccc(metrics.moments(together[:, column], values[:, column])))
        for column, target in enumerate(faces.targets)
    }


class Recognition:
    """From faces to labels; with several factors or coded versions, one is drawn at random for each face.

    Parameters
    ----------
    recipe : Recipe
    learn, choose : FaceSet
        What is learned from, and what the epoch is chosen on.
    device : torch.device
    """

    def __init__(self, recipe: Recipe, learn: FaceSet, choose: FaceSet, device: torch.device) -> None:
        self.frames = len(learn)
        self.columns = learn.targets
        self.measure = "accuracy" if learn.classes else "F1" if learn.units else "CCC"
        self._recipe, self._device, self._choose = recipe, device, choose.of(recipe.factors, recipe.coded)
        seen = learn.of(recipe.factors, recipe.coded)
        self._planes = _stacked(seen).to(device)
        self._gold = torch.from_numpy(learn.values).to(device)
        self.content = _content(seen, self._choose)

    def batch(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Augmented faces (n, 1, 96, 96) and their labels (n, k)."""
        which = torch.randint(len(self._planes), (len(rows),), generator=generator).to(self._device)
        rows = rows.to(self._device)
        return augment(self._planes[which, rows], self._recipe, generator), self._gold[rows]

    def loss(self, predictions: Tensor, gold: Tensor) -> Tensor:
        """1 - CCC, the squared error, or the cross-entropy of classes or of each unit."""
        if self._recipe.loss == "cross-entropy":
            if self._recipe.classes:
                return nn.functional.cross_entropy(predictions, gold[:, 0].long())
            return nn.functional.binary_cross_entropy_with_logits(predictions, gold)
        if self._recipe.loss == "ccc":
            return concordance_loss(predictions, gold)
        return nn.functional.mse_loss(predictions, gold)

    def score(self, network: nn.Module, *, whole: bool = False) -> dict[str, float]:
        """CCC of each target, or what stands for it."""
        return score(network, self._choose, self._device, None if whole else _SELECTION_FRAMES)


class Restoration:
    """From patches of downsampled faces to the same patches of pristine ones.

    Parameters
    ----------
    recipe : Recipe
        Its factors are those of the downsampled faces.
    learn, choose : FaceSet
        With factor 1 beside them.
    device : torch.device
    """

    measure = "PSNR gain, dB"
    columns: tuple[str, ...] = ("restored",)

    def __init__(self, recipe: Recipe, learn: FaceSet, choose: FaceSet, device: torch.device) -> None:
        self.frames = len(learn)
        self._recipe, self._device, self._choose = recipe, device, choose
        self._side = FACE if recipe.network == "ResidualRestorer" else PATCH
        self._planes = _stacked(learn.of(recipe.factors)).to(device)
        self._pristine = torch.from_numpy(learn.luma[1]).to(device)
        both = sorted({1, *recipe.factors})
        self.content = _content(learn.of(both), choose.of(both))

    def batch(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Patches (n, 1, s, s) and the centres (n, 1, s - 16, s - 16) that they should become."""
        n, (height, width), side = len(rows), self._planes.shape[2:], self._side
        which = torch.randint(len(self._planes), (n,), generator=generator).to(self._device)
        top = torch.randint(height - side + 1, (n, 1), generator=generator) + torch.arange(side)
        left = torch.randint(width - side + 1, (n, 1), generator=generator) + torch.arange(side)
        if self._recipe.flip:
            left = torch.where(torch.rand(n, 1, generator=generator) < 0.5, left.flip(1), left)
        rows = rows.to(self._device)
        patches = as_input(_taken(self._planes[which, rows], top, left))
        return patches, _centre(as_input(_taken(self._pristine[rows], top, left)), side - 2 * _CONTEXT)

    def loss(self, predictions: Tensor, gold: Tensor) -> Tensor:
        """Mean squared error of luma, of the centre alone."""
        return nn.functional.mse_loss(_centre(predictions, gold.shape[-1]), gold)

    @torch.inference_mode()
    def score(self, network: nn.Module, *, whole: bool = False) -> dict[str, float]:
        """PSNR of restored faces less that of those that came in, without an edge of 8 pixels."""
        network.eval()
        before = after = 0.0
        most = _RESTORED_FRAMES if whole else _SELECTION_FRAMES // 4
        for planes, rows in _shares(self._choose.of(self._recipe.factors), most):
            for at in range(0, len(rows), _BATCH):
                part = rows[at : at + _BATCH]
                came = as_input(torch.from_numpy(planes[part]).to(self._device))
                wanted = as_input(torch.from_numpy(self._choose.luma[1][part]).to(self._device))
                side = wanted.shape[-1] - 2 * _CONTEXT
                wanted = _centre(wanted, side)
                before += float(((_centre(came, side) - wanted) ** 2).double().sum())
                restored = _centre(network(came), side).clamp(0, 1)
                after += float(((restored - wanted) ** 2).double().sum())
        # Nothing is lost and nothing gained where the faces came in pristine.
        gain = 10 * math.log10(before / after) if before and after else 0.0
        return {"restored": gain}


def _stacked(faces: FaceSet) -> Tensor:
    return torch.stack([torch.from_numpy(planes) for planes in faces.planes])


def _taken(planes: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Rows and columns by index, other ones for each plane."""
    index = torch.arange(len(planes), device=planes.device)[:, None, None]
    return planes[index, rows.to(planes.device)[:, :, None], columns.to(planes.device)[:, None, :]]


def _centre(planes: Tensor, side: int) -> Tensor:
    margin = (planes.shape[-1] - side) // 2
    return planes[..., margin : margin + side, margin : margin + side]


def _shares(faces: FaceSet, most: int | None) -> list[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """For each view its planes and which of them to look at: another share of the frames each."""
    every = np.arange(len(faces))
    if most is None:
        return [(planes, every) for planes in faces.planes]
    step = max(1, -(-len(faces) * len(faces.planes) // most))
    return [(planes, every[number % step :: step]) for number, planes in enumerate(faces.planes)]


def _content(*faces: FaceSet) -> str:
    return hashlib.sha256(" ".join(each.content() for each in faces).encode()).hexdigest()[:16]
