"""How recognisers learn: one loop, resumable at every epoch, the same weights from the same seed."""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

import rdbench
from rdbench import binary
from rdbench.backends.arithmetic import choose_device
from rdbench.backends.weights import (
    SUFFIX,
    Card,
    Recipe,
    read_card,
    read_weights,
    write_weights,
)
from rdbench.errors import InputError
from rdbench.training.examples import FaceSet, Sampling, hold_out, load_faces
from rdbench.training.log import draw, write_log
from rdbench.training.starts import begun, own_start
from rdbench.training.state import Fitted, State
from rdbench.training.tasks import Recognition, Restoration, Task
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


STAGE = 3
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


def fit(
    network: nn.Module,
    recipe: Recipe,
    task: Task,
    file: Path,
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
    file : Path
        Keeps the state after every epoch; the caller deletes it when the result is safe.
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
            "learn from more of their frames (--stride 1), or give more recordings."
        )
    network.to(device)
    cast(Any, network).to(memory_format=torch.channels_last)
    state = State(network, recipe, task, device)
    if not recipe.epochs:
        return state.fitted
    begin = state.resume(file)
    judge = copy.deepcopy(network)
    started = time.monotonic()
    for epoch in range(begin + 1, recipe.epochs + 1):
        loss = _learn(state, epoch)
        judge.load_state_dict(state.average)
        scores = task.score(judge)
        state.note(loss, scores)
        state.keep(file)
        left = (time.monotonic() - started) / (epoch - begin) * (recipe.epochs - epoch)
        progress(Epoch(recipe.stem, epoch, recipe.epochs, loss, scores, task.measure, left))
    return state.fitted


def _learn(state: State, epoch: int) -> float:
    """One epoch, and its mean loss; all of its chance comes from the seed and its number."""
    recipe, task = state.recipe, state.task
    batches = task.frames // recipe.batch
    torch.manual_seed(_chance(recipe.seed, epoch))
    generator = torch.Generator().manual_seed(_chance(recipe.seed, -epoch))
    order = torch.randperm(task.frames, generator=generator)
    state.network.train()
    # Summed where it is computed: asking for each batch's loss would wait for each batch.
    total = torch.zeros((), dtype=torch.float64, device=state.device)
    for batch in range(batches):
        step = (epoch - 1) * batches + batch
        state.set_rate(_schedule(step, recipe.epochs * batches))
        came, gold = task.batch(order[batch * recipe.batch : (batch + 1) * recipe.batch], generator)
        came = came.contiguous(memory_format=torch.channels_last)
        with torch.autocast(came.device.type, torch.bfloat16, enabled=recipe.dtype == "bfloat16"):
            predictions = state.network(came)
        loss = task.loss(predictions.float(), gold)
        state.optimiser.zero_grad()
        loss.backward()
        state.optimiser.step()
        total += loss.detach()
        state.follow(min(recipe.average, (1 + step) / (10 + step)))
    if not total.isfinite():
        raise InputError(
            f"Training of {recipe.stem} diverged in epoch {epoch}; lower the learning rate (it is {recipe.rate})."
        )
    return float(total) / batches


def train(
    recipe: Recipe,
    dataset: Dataset,
    out: Path,
    device: str = "auto",
    progress: Callable[[Epoch | str], None] = lambda what: None,
    *,
    command: str = "",
    faces: tuple[FaceSet, FaceSet] | None = None,
    start: Path | None = None,
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
        What makes these weights anew.
    faces : tuple of FaceSet, optional
        What `training_faces` gave for at least these factors, so that all specialists share one reading.
    start : Path, optional
        Folder with weights of the same stem to go on from; a recipe that starts from others does not.

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
    if start is not None and not recipe.start:
        parents[recipe.stem] = own_start(recipe, start)
    file = out / f"{recipe.stem}{SUFFIX}"
    state = out / f".{recipe.stem}.state"
    wide = [learn.face_px[factor] for factor in recipe.factors]
    card = Card(
        network=recipe.network,
        recipe=recipe,
        face_px=float(np.exp(np.mean(np.log(wide)))),
        dataset=dataset.name,
        content=learn.of(faces_of(recipe), recipe.coded).content(),
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
        network = begun(recipe, list(card.train_mean.values()), parents, _chance(recipe.seed, 0))
        kind = Recognition if recipe.targets else Restoration
        task: Task = kind(recipe, learn, choose, where)
        fitted = fit(network, recipe, task, state, where, progress)
        half = {name: value.half().cpu() for name, value in fitted.best.items()}
        # Scored as written: float16 is what others will load.
        network.load_state_dict(half)
        selection, moved = _selection(network, recipe, task, where)
    if fitted.history:
        write_log(out / f"{recipe.stem}.csv", fitted.history)
        draw(out / f"{recipe.stem}.png", fitted.history, recipe, fitted.epoch, task.measure)
    done = card.model_copy(update={"selection": selection, "epoch": fitted.epoch, "bfloat16": moved})
    write_weights(file, {name: value.numpy() for name, value in half.items()}, done)
    state.unlink(missing_ok=True)
    return file


def _selection(
    network: nn.Module, recipe: Recipe, task: Task, device: torch.device
) -> tuple[dict[str, float], float | None]:
    """Scores on all that the epoch was chosen on, and how far bfloat16 moves them at most (not where pictures are
    restored)."""
    selection = task.score(network, whole=True)
    if not recipe.targets:
        return selection, None
    # On some of it: where a processor has no instructions for bfloat16, it takes many times as long.
    plain = task.score(network)
    with torch.autocast(device.type, torch.bfloat16):
        rounded = task.score(network)
    return selection, max(abs(rounded[name] - value) for name, value in plain.items())


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
    every = Sampling(recipe.stride, recipe.delay, versions=recipe.coded)
    some = replace(every, people=recipe.people, seed=recipe.seed)
    learn = load_faces(dataset, "train", wanted, recipe.targets, some, progress)
    if recipe.select_on == "train":
        return hold_out(learn)
    return learn, load_faces(dataset, "dev", wanted, recipe.targets, every, progress)


def versions() -> dict[str, str]:
    """What else decides the weights' last digits."""
    return {
        "rdbench": rdbench.__version__,
        "training": str(STAGE),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "ffmpeg": binary.build(),
    }


def _means(faces: FaceSet) -> dict[str, float]:
    if faces.classes:
        shares = np.bincount(faces.values[:, 0].astype(int), minlength=len(faces.classes)) / len(faces)
        return dict(zip(faces.classes, shares.tolist(), strict=True))
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
