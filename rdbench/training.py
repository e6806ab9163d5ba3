"""How recognisers learn: one loop, resumable at every epoch, the same weights from the same seed."""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import rdbench
from rdbench import ffmpeg, metrics
from rdbench.checkpoints import SUFFIX, Card, Recipe, read_card, read_tensors, write_tensors, write_weights
from rdbench.clip import Dataset
from rdbench.errors import InputError
from rdbench.learning_curve import draw, write_log
from rdbench.networks import Recogniser, Size, choose_device
from rdbench.training_set import FaceSet, hold_out, load_faces

__all__ = [
    "Epoch",
    "Fitted",
    "as_input",
    "augment",
    "concordance_loss",
    "fit",
    "predict",
    "score",
    "train",
    "training_faces",
    "versions",
]

_SELECTION_FRAMES = 500
_BATCH = 64


@dataclass(frozen=True)
class Epoch:
    """What is told after each epoch.

    Parameters
    ----------
    stem : str
        Whose weights.
    epoch, epochs : int
        From 1 on, of how many.
    loss : float
        Mean over the epoch's batches.
    scores : dict of str to float
        CCC of each target on what the epoch is chosen on.
    seconds_left : float
    """

    stem: str
    epoch: int
    epochs: int
    loss: float
    scores: dict[str, float]
    seconds_left: float

    def __str__(self) -> str:
        scores = ", ".join(f"{target} {ccc:.3f}" for target, ccc in self.scores.items())
        return (
            f"{self.stem}: epoch {self.epoch} of {self.epochs}, loss {self.loss:.3f}, CCC {scores}, "
            f"{self.seconds_left:.0f} s left"
        )


@dataclass
class Fitted:
    """Where training stands; its best epoch is what it is for.

    Parameters
    ----------
    best : dict of str to Tensor
        Weights at the best epoch.
    epoch : int
        The best one, from 1 on; 0 before the first.
    history : list of dict
        By epoch: epoch, loss, and CCC of each target.
    """

    best: dict[str, Tensor]
    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


def as_input(planes: Tensor) -> Tensor:
    """Turn uint8 limited-range Y planes (n, h, w) into what a network sees: (n, 1, h, w) float32 in 0..1."""
    return ((planes.float() - 16) / 219).clamp(0, 1).unsqueeze(1)


def augment(planes: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Shift, mirror and re-light faces at random, as another camera or person might show them.

    A dozen people are few: without this, who they are is learned instead of what they show. Only whole pixels
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
    rows, columns = rows.to(planes.device), columns.to(planes.device)
    index = torch.arange(n, device=planes.device)[:, None, None]
    faces = as_input(planes[index, rows[:, :, None], columns[:, None, :]])

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


def _squared_error(predictions: Tensor, gold: Tensor) -> Tensor:
    return nn.functional.mse_loss(predictions, gold)


@torch.inference_mode()
def predict(network: nn.Module, planes: NDArray[np.uint8], device: torch.device) -> NDArray[np.float64]:
    """Predict for uint8 Y planes (n, 96, 96) in float32: (n, k)."""
    network.eval()
    parts = [
        network(as_input(torch.from_numpy(planes[at : at + _BATCH]).to(device))).cpu().numpy()
        for at in range(0, len(planes), _BATCH)
    ]
    return np.concatenate(parts).astype(np.float64)


def score(
    network: nn.Module, faces: FaceSet, device: torch.device, most: int | None = None
) -> dict[str, float]:
    """CCC of each target over all frames and factors together.

    Parameters
    ----------
    network : nn.Module
    faces : FaceSet
    device : torch.device
    most : int, optional
        Look at no more than about so many frames of each factor, evenly thinned.
    """
    step = 1 if most is None else max(1, -(-len(faces) // most))
    predicted = [predict(network, planes[::step], device) for planes in faces.luma.values()]
    gold = np.tile(faces.values[::step], (len(predicted), 1))
    together = np.concatenate(predicted)
    return {
        target: float(metrics.ccc(metrics.moments(together[:, column], gold[:, column])))
        for column, target in enumerate(faces.targets)
    }


def fit(
    network: nn.Module,
    recipe: Recipe,
    learn: FaceSet,
    choose: FaceSet,
    state: Path,
    device: torch.device,
    progress: Callable[[Epoch], None] = lambda epoch: None,
) -> Fitted:
    """Train a network; continue where an earlier, killed call with the same input stopped.

    All chance in an epoch comes from the seed and the epoch's number, so a resumed run ends with the weights of
    an undisturbed one. With several factors one is drawn at random for each frame.

    Parameters
    ----------
    network : nn.Module
        Freshly initialised; ends with the last epoch's weights.
    recipe : Recipe
    learn, choose : FaceSet
        What is learned from, and what the epoch is chosen on.
    state : Path
        Kept after every epoch; the caller deletes it when the result is safe.
    device : torch.device
    progress : callable

    Raises
    ------
    InputError
        If training diverges, or there are fewer frames than one batch.
    """
    if len(learn) < recipe.batch:
        raise InputError(
            f"{len(learn)} training faces are fewer than one batch of {recipe.batch}; "
            "give more recordings or a smaller batch."
        )
    network.to(device)
    cast(Any, network).to(memory_format=torch.channels_last)
    planes = torch.stack([torch.from_numpy(learn.luma[factor]) for factor in recipe.factors]).to(device)
    gold = torch.from_numpy(learn.values).to(device)
    optimiser = torch.optim.SGD(
        network.parameters(), lr=recipe.rate, momentum=recipe.momentum, weight_decay=recipe.decay
    )
    batches = len(learn) // recipe.batch
    steps = recipe.epochs * batches
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    fitted = Fitted(best={name: value.clone() for name, value in average.items()})
    key = _state_key(recipe, learn, choose, device)
    begin = _resume(state, key, network, optimiser, average, fitted)
    judge = copy.deepcopy(network)
    loss_of = concordance_loss if recipe.loss == "ccc" else _squared_error
    started = time.monotonic()
    for epoch in range(begin + 1, recipe.epochs + 1):
        torch.manual_seed(_chance(recipe.seed, epoch))
        generator = torch.Generator().manual_seed(_chance(recipe.seed, -epoch))
        order = torch.randperm(len(learn), generator=generator)
        network.train()
        total = 0.0
        for batch in range(batches):
            step = (epoch - 1) * batches + batch
            for group in optimiser.param_groups:
                group["lr"] = recipe.rate * _schedule(step, steps)
            rows = order[batch * recipe.batch : (batch + 1) * recipe.batch]
            which = torch.randint(len(recipe.factors), (len(rows),), generator=generator)
            faces = augment(planes[which.to(device), rows.to(device)], recipe, generator)
            faces = faces.contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, torch.bfloat16, enabled=recipe.dtype == "bfloat16"):
                predictions = network(faces)
            loss = loss_of(predictions.float(), gold[rows.to(device)])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += float(loss.detach())
            _follow(average, network, min(recipe.average, (1 + step) / (10 + step)))
        if not np.isfinite(total):
            raise InputError(
                f"Training of {recipe.stem} diverged in epoch {epoch}; lower the learning rate "
                f"(it is {recipe.rate})."
            )
        judge.load_state_dict(average)
        scores = score(judge, choose, device, _SELECTION_FRAMES)
        fitted.history.append({"epoch": epoch, "loss": total / batches, **scores})
        if _better(fitted.history, fitted.epoch, learn.targets):
            fitted.epoch = epoch
            fitted.best = {name: value.clone() for name, value in average.items()}
        _keep(state, key, network, optimiser, average, fitted)
        left = (time.monotonic() - started) / (epoch - begin) * (recipe.epochs - epoch)
        progress(Epoch(recipe.stem, epoch, recipe.epochs, total / batches, scores, left))
    return fitted


def train(
    recipe: Recipe,
    dataset: Dataset,
    out: Path,
    device: str = "auto",
    progress: Callable[[Epoch | str], None] = lambda what: None,
    *,
    command: str = "",
    faces: tuple[FaceSet, FaceSet] | None = None,
) -> Path:
    """Train one recogniser and write its weights, log and learning curve.

    Beside ``<stem>.safetensors`` stand ``<stem>.csv`` and ``<stem>.png``. Weights that were made from the same
    recipe, faces and versions before are left as they are.

    Parameters
    ----------
    recipe : Recipe
    dataset : Dataset
    out : Path
        Folder, made where it is missing.
    device : str
    progress : callable
        Called with an `Epoch` after each, and with lines of text.
    command : str
        What makes these weights anew, for their card.
    faces : tuple of FaceSet, optional
        What `training_faces` gave for this dataset and at least these factors, so that the specialists of all
        factors share one reading.

    Raises
    ------
    InputError
        If the dataset has nothing to learn from, or training diverges.
    """
    where = choose_device(device)
    learn, choose = faces if faces is not None else training_faces(recipe, dataset, progress)
    learn, choose = learn.of(recipe.factors), choose.of(recipe.factors)
    file = out / f"{recipe.stem}{SUFFIX}"
    state = out / f".{recipe.stem}.state"
    card = Card(
        network="Recogniser",
        recipe=recipe,
        face_px=float(np.exp(np.mean(np.log([learn.face_px[factor] for factor in recipe.factors])))),
        dataset=dataset.name,
        content=learn.content(),
        frames=len(learn),
        train_mean=_means(learn),
        selection={},
        epoch=0,
        versions=versions(),
        command=command,
    )
    if _made_before(file, card):
        progress(f"{file.name}: made before from the same recipe, faces and versions")
        return file
    with _repeatable(recipe, where):
        torch.manual_seed(_chance(recipe.seed, 0))
        network = Recogniser(cast(Size, recipe.size), len(recipe.targets), recipe.dropout)
        # A network that starts at the labels' mean has only their variation left to learn.
        with torch.no_grad():
            network.fc5.bias.copy_(torch.tensor(list(card.train_mean.values())))
        fitted = fit(network, recipe, learn, choose, state, where, progress)
        half = {name: value.half().cpu() for name, value in fitted.best.items()}
        # Scored as written: float16 is what others will load.
        network.load_state_dict(half)
        selection = score(network, choose, where)
    write_log(out / f"{recipe.stem}.csv", fitted.history)
    draw(out / f"{recipe.stem}.png", fitted.history, recipe, fitted.epoch)
    done = card.model_copy(update={"selection": selection, "epoch": fitted.epoch})
    write_weights(file, {name: value.numpy() for name, value in half.items()}, done)
    state.unlink(missing_ok=True)
    return file


def training_faces(
    recipe: Recipe,
    dataset: Dataset,
    progress: Callable[[str], None] = lambda text: None,
    factors: Sequence[int] = (),
) -> tuple[FaceSet, FaceSet]:
    """Read what a recipe learns from and what it chooses the epoch on.

    Parameters
    ----------
    recipe : Recipe
    dataset : Dataset
    progress : callable
    factors : sequence of int
        Those of several recipes, where one reading serves them all; by default the recipe's own.
    """
    wanted = tuple(factors) or recipe.factors
    learn = load_faces(dataset, "train", wanted, recipe.targets, recipe.stride, progress)
    if recipe.select_on == "train":
        return hold_out(learn)
    return learn, load_faces(dataset, "dev", wanted, recipe.targets, recipe.stride, progress)


def versions() -> dict[str, str]:
    """What else decides the weights' last digits."""
    return {
        "rdbench": rdbench.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "ffmpeg": ffmpeg.build(),
    }


def _means(faces: FaceSet) -> dict[str, float]:
    return dict(zip(faces.targets, faces.values.mean(axis=0, dtype=np.float64).tolist(), strict=True))


def _made_before(file: Path, card: Card) -> bool:
    try:
        before = read_card(file)
    except InputError:
        return False
    keys = ("network", "recipe", "content", "versions")
    return all(getattr(before, key) == getattr(card, key) for key in keys)


def _schedule(step: int, steps: int) -> float:
    """Share of the peak rate: up in the first tenth, down as a half cosine."""
    rise = max(1, steps // 10)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + float(np.cos(np.pi * (step - rise) / max(1, steps - rise))))


def _chance(seed: int, epoch: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {epoch}".encode()).digest()[:7], "big")


def _better(history: list[dict[str, float]], best: int, targets: Sequence[str]) -> bool:
    def mean(row: dict[str, float]) -> float:
        return float(np.mean([row[target] for target in targets]))

    return best == 0 or mean(history[-1]) > mean(history[best - 1])


@torch.no_grad()
def _follow(average: dict[str, Tensor], network: nn.Module, decay: float) -> None:
    for name, value in network.state_dict().items():
        average[name].lerp_(value, 1 - decay)


@contextmanager
def _repeatable(recipe: Recipe, device: torch.device) -> Iterator[None]:
    """Fixed threads and deterministic kernels, and the process as it was afterwards."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(recipe.threads)
    # Some kernels of CUDA and MPS have no deterministic form; they warn.
    torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


def _state_key(recipe: Recipe, learn: FaceSet, choose: FaceSet, device: torch.device) -> str:
    parts = [recipe.model_dump_json(), learn.content(), choose.content(), str(device), torch.__version__]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _keep(
    file: Path,
    key: str,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: dict[str, Tensor],
    fitted: Fitted,
) -> None:
    momenta = {
        str(number): entry["momentum_buffer"]
        for number, entry in optimiser.state_dict()["state"].items()
        if entry.get("momentum_buffer") is not None
    }
    groups = {"now": network.state_dict(), "average": average, "best": fitted.best, "momentum": momenta}
    tensors = {
        f"{group}/{name}": value.detach().cpu().numpy()
        for group, content in groups.items()
        for name, value in content.items()
    }
    told = {"key": key, "epoch": fitted.epoch, "history": fitted.history}
    write_tensors(file, tensors, json.dumps(told))


def _resume(
    file: Path,
    key: str,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: dict[str, Tensor],
    fitted: Fitted,
) -> int:
    """Take up an earlier run's state in place, and give its last epoch; 0 where there is none that fits."""
    try:
        tensors, text = read_tensors(file)
        told = json.loads(text)
    except (InputError, ValueError):
        return 0
    if not isinstance(told, dict) or told.get("key") != key:
        return 0
    groups: dict[str, dict[str, Tensor]] = {"now": {}, "average": {}, "best": {}, "momentum": {}}
    for name, value in tensors.items():
        group, _, inner = name.partition("/")
        groups[group][inner] = torch.from_numpy(value)
    network.load_state_dict(groups["now"])
    for name, kept in average.items():
        kept.copy_(groups["average"][name])
        fitted.best[name].copy_(groups["best"][name])
    momenta = {int(number): {"momentum_buffer": value} for number, value in groups["momentum"].items()}
    optimiser.load_state_dict(optimiser.state_dict() | {"state": momenta})
    fitted.epoch, fitted.history = told["epoch"], told["history"]
    return len(fitted.history)
