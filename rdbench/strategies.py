"""What it takes to train a back-end: which recipes, on which factors, and where the epoch is chosen."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from rdbench.backends import constant
from rdbench.checkpoints import Card, Recipe, write_weights
from rdbench.clip import Dataset
from rdbench.errors import ClipError, InputError
from rdbench.networks import SIZES
from rdbench.training import Epoch, train, training_faces, versions
from rdbench.training_set import load_faces, targets_of
from rdbench.transcode import FACE_SIZE

__all__ = ["FACTORS", "TRAINABLE", "recipes_for", "selection_of", "train_backend"]

FACTORS = (1, 2, 3, 4, 6, 8, 12, 16)
"""Downsampling factors that are trained for unless others are asked for."""

TRAINABLE = ("constant", "direct")


def selection_of(dataset: Dataset) -> Literal["dev", "train"]:
    """Where the epoch may be chosen: on dev, unless dev is what will be reported.

    That is so where the test recordings have no labels, or there are none: then a fixed quarter of the train
    subjects serves.
    """
    partitions = {info.partition for info in dataset.index()}
    if "dev" not in partitions:
        return "train"
    for info in dataset.index():
        if info.partition == "test":
            try:
                return "train" if dataset.load(info.name).labels is None else "dev"
            except ClipError:
                continue
    return "train"


def recipes_for(
    backend: str,
    size: str,
    targets: Sequence[str],
    factors: Sequence[int] = (),
    **changes: Any,
) -> list[Recipe]:
    """The recipes of a back-end: a specialist for each factor, alike in everything but the factor.

    Parameters
    ----------
    backend, size : str
    targets : sequence of str
    factors : sequence of int
        By default `FACTORS`.
    **changes
        Other fields of `rdbench.checkpoints.Recipe`.

    Raises
    ------
    InputError
        If there is no such back-end or size, or a value is out of range.
    """
    if size not in SIZES:
        raise InputError(f"There is no '{backend}@{size}'; sizes are {' and '.join(SIZES)}.")
    # The large network keeps all cores busy; the small one hardly gains from a second.
    threads = 1 if size == "lite" else os.cpu_count() or 1
    given: dict[str, Any] = {"backend": backend, "size": size, "targets": tuple(targets), "threads": threads} | changes
    try:
        return [Recipe.model_validate(given | {"factors": (factor,)}) for factor in dict.fromkeys(factors or FACTORS)]
    except ValueError as error:
        raise InputError(f"{backend}@{size} cannot be trained so: {_first(error)}.") from error


def train_backend(
    name: str,
    dataset: Dataset,
    out: Path,
    *,
    factors: Sequence[int] = (),
    targets: Sequence[str] = (),
    seed: int = 0,
    epochs: int | None = None,
    delay: float = 0.0,
    device: str = "auto",
    progress: Callable[[Epoch | str], None] = lambda what: None,
) -> list[Path]:
    """Train a back-end by name: what `rdbench train` does.

    A call that was killed goes on at the epoch where it stopped.

    Parameters
    ----------
    name : str
        Such as "direct@lite"; "lite" by default.
    dataset : Dataset
        With a train partition.
    out : Path
        Folder for the weights.
    factors : sequence of int
        By default `FACTORS`.
    targets : sequence of str
        By default all that the dataset is labelled with.
    seed : int
    epochs : int, optional
    delay : float
        Seconds that labels are moved back, to the frames that they are about.
    device : str
    progress : callable
        Called with an `Epoch` after each, and with lines of text.

    Returns
    -------
    list of Path
        The weights.

    Raises
    ------
    InputError
        If the back-end cannot be trained, or not on this dataset.
    """
    backend, at, size = name.partition("@")
    if backend not in TRAINABLE:
        near = difflib.get_close_matches(backend, TRAINABLE, n=1)
        hint = f"did you mean '{near[0]}{at}{size}'?" if near else f"there are {', '.join(TRAINABLE)}."
        raise InputError(f"There is no way to train '{backend}'; {hint}")
    wanted = tuple(targets) or targets_of(dataset)
    if backend == "constant":
        if at:
            raise InputError(f"There is no '{name}': constant has no sizes; ask for 'constant'.")
        return [_train_constant(dataset, wanted, out, delay, progress)]
    changes: dict[str, Any] = {"seed": seed, "select_on": selection_of(dataset), "delay": delay}
    if epochs is not None:
        changes["epochs"] = epochs
    recipes = recipes_for(backend, size or "lite", wanted, factors, **changes)
    every = tuple(sorted({factor for recipe in recipes for factor in recipe.factors}))
    faces = training_faces(recipes[0], dataset, progress, every)
    return [
        train(
            recipe,
            dataset,
            out,
            device,
            progress,
            command=_command(recipe, dataset, targets, epochs),
            faces=faces,
        )
        for recipe in recipes
    ]


def _train_constant(
    dataset: Dataset, targets: Sequence[str], out: Path, delay: float, progress: Callable[[str], None]
) -> Path:
    faces = load_faces(dataset, "train", (1,), targets, progress=progress, delay=delay)
    means = faces.values.mean(axis=0, dtype=np.float64)
    recipe = Recipe(
        backend="constant",
        size="none",
        factors=(1,),
        targets=tuple(targets),
        epochs=1,
        stride=1,
        delay=delay,
    )
    card = Card(
        network="Constant",
        recipe=recipe,
        face_px=FACE_SIZE,
        dataset=dataset.name,
        content=faces.content(),
        frames=len(faces),
        train_mean=dict(zip(targets, means.tolist(), strict=True)),
        selection=dict.fromkeys(targets, 0.0),
        epoch=0,
        versions=versions(),
        command=f"rdbench train constant --dataset {dataset.name}{_delayed(recipe)}",
    )
    file = out / constant.FILE
    write_weights(file, {"mean": means}, card)
    return file


def _command(recipe: Recipe, dataset: Dataset, targets: Sequence[str], epochs: int | None) -> str:
    parts = [f"rdbench train {recipe.backend}@{recipe.size} --dataset {dataset.name}"]
    parts += [f"--factor {factor}" for factor in recipe.factors]
    parts += [f"--target {target}" for target in targets]
    parts += [f"--seed {recipe.seed}"] + ([] if epochs is None else [f"--epochs {epochs}"])
    return " ".join(parts) + _delayed(recipe)


def _delayed(recipe: Recipe) -> str:
    return f" --delay {recipe.delay:g}" if recipe.delay else ""


def _first(error: ValueError) -> str:
    details = cast(Any, error).errors()[0] if hasattr(error, "errors") else {"loc": (), "msg": str(error)}
    return f"{'.'.join(str(part) for part in details['loc'])}: {details['msg']}, got {details.get('input')!r}"
