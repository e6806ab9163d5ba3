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
from torch import Tensor, nn

import rdbench
from rdbench.backends.networks import build, choose_device
from rdbench.backends.weights import (
    SUFFIX,
    Card,
    Recipe,
    Weights,
    read_card,
    read_tensors,
    read_weights,
    write_tensors,
    write_weights,
)
from rdbench.errors import InputError
from rdbench.training.examples import FaceSet, hold_out, load_faces
from rdbench.training.log import draw, write_log
from rdbench.training.tasks import Recognition, Restoration, Task
from rdbench.video import process
from rdbench.video.clip import Dataset

__all__ = [
    "STAGE",
    "Epoch",
    "Fitted",
    "faces_of",
    "fit",
    "train",
    "training_faces",
    "versions",
]


STAGE = 2
"""Raised when the same recipe would give other weights."""


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
        On what the epoch is chosen on.
    measure : str
        What the scores are.
    seconds_left : float
    """

    stem: str
    epoch: int
    epochs: int
    loss: float
    scores: dict[str, float]
    measure: str
    seconds_left: float

    def __str__(self) -> str:
        scores = ", ".join(f"{target} {ccc:.3f}" for target, ccc in self.scores.items())
        return (
            f"{self.stem}: epoch {self.epoch} of {self.epochs}, loss {self.loss:.4g}, {self.measure} {scores}, "
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
        By epoch: epoch, loss, and the scores.
    """

    best: dict[str, Tensor]
    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


def fit(
    network: nn.Module,
    recipe: Recipe,
    task: Task,
    state: Path,
    device: torch.device,
    progress: Callable[[Epoch], None] = lambda epoch: None,
) -> Fitted:
    """Train a network; continue where an earlier, killed call with the same input stopped.

    All chance in an epoch comes from the seed and the epoch's number, so a resumed run ends with the weights of
    an undisturbed one.

    Parameters
    ----------
    network : nn.Module
        As training starts; ends with the last epoch's weights.
    recipe : Recipe
    task : Task
    state : Path
        Kept after every epoch; the caller deletes it when the result is safe.
    device : torch.device
    progress : callable

    Raises
    ------
    InputError
        If training diverges, or there are fewer frames than one batch.
    """
    if recipe.epochs and task.frames < recipe.batch:
        raise InputError(
            f"{task.frames} training faces are fewer than one batch of {recipe.batch}; "
            "give more recordings or a smaller batch."
        )
    network.to(device)
    cast(Any, network).to(memory_format=torch.channels_last)
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    fitted = Fitted(best={name: value.clone() for name, value in average.items()})
    if not recipe.epochs:
        return fitted
    key = _state_key(recipe, task, device, average)
    optimiser = _optimiser(network, recipe)
    batches = task.frames // recipe.batch
    steps = recipe.epochs * batches
    begin = _resume(state, key, network, optimiser, average, fitted)
    judge = copy.deepcopy(network)
    started = time.monotonic()
    for epoch in range(begin + 1, recipe.epochs + 1):
        torch.manual_seed(_chance(recipe.seed, epoch))
        generator = torch.Generator().manual_seed(_chance(recipe.seed, -epoch))
        order = torch.randperm(task.frames, generator=generator)
        network.train()
        total = 0.0
        for batch in range(batches):
            step = (epoch - 1) * batches + batch
            for group in optimiser.param_groups:
                group["lr"] = recipe.rate * group["share"] * _schedule(step, steps)
            came, gold = task.batch(order[batch * recipe.batch : (batch + 1) * recipe.batch], generator)
            came = came.contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, torch.bfloat16, enabled=recipe.dtype == "bfloat16"):
                predictions = network(came)
            loss = task.loss(predictions.float(), gold)
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
        scores = task.score(judge)
        fitted.history.append({"epoch": epoch, "loss": total / batches, **scores})
        if _better(fitted.history, fitted.epoch, task.columns):
            fitted.epoch = epoch
            fitted.best = {name: value.clone() for name, value in average.items()}
        _keep(state, key, network, optimiser, average, fitted)
        left = (time.monotonic() - started) / (epoch - begin) * (recipe.epochs - epoch)
        progress(Epoch(recipe.stem, epoch, recipe.epochs, total / batches, scores, task.measure, left))
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
    """Train one network and write its weights, log and learning curve.

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
    if not recipe.targets:
        learn, choose = learn.unlabelled(), choose.unlabelled()
    parents = {stem: read_weights(out / f"{stem}{SUFFIX}") for _, stem in recipe.start}
    file = out / f"{recipe.stem}{SUFFIX}"
    state = out / f".{recipe.stem}.state"
    wide = [learn.face_px[factor] for factor in recipe.factors]
    card = Card(
        network=recipe.network,
        recipe=recipe,
        face_px=float(np.exp(np.mean(np.log(wide)))),
        dataset=dataset.name,
        content=learn.of(faces_of(recipe)).content(),
        frames=len(learn),
        train_mean=_means(learn) if recipe.targets else {},
        parents={stem: parent.hash for stem, parent in parents.items()},
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
        network = build(recipe.network, recipe.size, max(1, len(recipe.targets)), recipe.dropout)
        _start(network, recipe, card, parents)
        kind = Recognition if recipe.targets else Restoration
        task: Task = kind(recipe, learn, choose, where)
        fitted = fit(network, recipe, task, state, where, progress)
        half = {name: value.half().cpu() for name, value in fitted.best.items()}
        # Scored as written: float16 is what others will load.
        network.load_state_dict(half)
        selection = task.score(network, whole=True)
        moved = None
        if recipe.targets:
            with torch.autocast(where.type, torch.bfloat16):
                rounded = task.score(network, whole=True)
            moved = max(abs(rounded[name] - value) for name, value in selection.items())
    if fitted.history:
        write_log(out / f"{recipe.stem}.csv", fitted.history)
        draw(out / f"{recipe.stem}.png", fitted.history, recipe, fitted.epoch, task.measure)
    done = card.model_copy(update={"selection": selection, "epoch": fitted.epoch, "bfloat16": moved})
    write_weights(file, {name: value.numpy() for name, value in half.items()}, done)
    state.unlink(missing_ok=True)
    return file


def faces_of(recipe: Recipe) -> tuple[int, ...]:
    """Factors whose pictures are looked at: who restores needs pristine ones too."""
    return recipe.factors if recipe.targets else tuple(sorted({1, *recipe.factors}))


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
    wanted = tuple(factors) or faces_of(recipe)
    learn = load_faces(dataset, "train", wanted, recipe.targets, recipe.stride, progress, recipe.delay)
    if recipe.select_on == "train":
        return hold_out(learn)
    dev = load_faces(dataset, "dev", wanted, recipe.targets, recipe.stride, progress, recipe.delay)
    return learn, dev


def versions() -> dict[str, str]:
    """What else decides the weights' last digits."""
    return {
        "rdbench": rdbench.__version__,
        "training": str(STAGE),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "ffmpeg": process.build(),
    }


def _start(network: nn.Module, recipe: Recipe, card: Card, parents: dict[str, Weights]) -> None:
    """Give a network what it starts from.

    Raises
    ------
    InputError
        If a parent has nothing that fits.
    """
    head = getattr(getattr(network, "recogniser", network), "fc5", None)
    if head is not None:
        # A network that starts at the labels' mean has only their variation left to learn.
        with torch.no_grad():
            head.bias.copy_(torch.tensor(list(card.train_mean.values())))
    own = network.state_dict()
    for prefix, stem in recipe.start:
        taken = {
            prefix + name: torch.from_numpy(value.astype(np.float32))
            for name, value in parents[stem].tensors.items()
            if prefix + name in own and own[prefix + name].shape == value.shape
        }
        if not taken:
            raise InputError(f"{parents[stem].file} has no weights that {recipe.stem} could start from.")
        network.load_state_dict(taken, strict=False)


def _optimiser(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW with a rate for each group of weights; frozen ones are left out."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        share = next((rate for prefix, rate in recipe.rates if name.startswith(prefix)), 1.0)
        parameter.requires_grad_(share > 0)
        if share > 0:
            groups.setdefault(share, []).append(parameter)
    return torch.optim.AdamW(
        [{"params": parameters, "share": share} for share, parameters in groups.items()],
        lr=recipe.rate,
        weight_decay=recipe.decay,
    )


def _means(faces: FaceSet) -> dict[str, float]:
    return dict(zip(faces.targets, faces.values.mean(axis=0, dtype=np.float64).tolist(), strict=True))


def _made_before(file: Path, card: Card) -> bool:
    try:
        before = read_card(file)
    except InputError:
        return False
    keys = ("network", "recipe", "content", "parents", "versions")
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
    # Nothing here reads memory before it is written; filling it takes a fifteenth of the time.
    fill = cast(Any, torch.utils.deterministic)
    filled, fill.fill_uninitialized_memory = fill.fill_uninitialized_memory, False
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
        fill.fill_uninitialized_memory = filled


def _state_key(recipe: Recipe, task: Task, device: torch.device, start: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(recipe.model_dump_json().encode())
    digest.update(f"{task.content} {device} {torch.__version__}".encode())
    for name, value in start.items():
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _keep(
    file: Path,
    key: str,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: dict[str, Tensor],
    fitted: Fitted,
) -> None:
    moments = {
        f"{number}.{name}": value
        for number, entry in optimiser.state_dict()["state"].items()
        for name, value in entry.items()
    }
    groups = {"now": network.state_dict(), "average": average, "best": fitted.best, "optimiser": moments}
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
    groups: dict[str, dict[str, Tensor]] = {"now": {}, "average": {}, "best": {}, "optimiser": {}}
    for name, value in tensors.items():
        group, _, inner = name.partition("/")
        groups[group][inner] = torch.from_numpy(value)
    network.load_state_dict(groups["now"])
    for name, kept in average.items():
        kept.copy_(groups["average"][name])
        fitted.best[name].copy_(groups["best"][name])
    moments: dict[int, dict[str, Tensor]] = {}
    for name, kept in groups["optimiser"].items():
        number, _, moment = name.partition(".")
        moments.setdefault(int(number), {})[moment] = kept
    optimiser.load_state_dict(optimiser.state_dict() | {"state": moments})
    fitted.epoch, fitted.history = told["epoch"], told["history"]
    return len(fitted.history)
