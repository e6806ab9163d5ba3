"""What it takes to train a back-end: which recipes, on which factors, and where the epoch is chosen."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack, cast

import numpy as np

from rdbench.backends import constant
from rdbench.backends.weights import SIZES, Card, Recipe, stem_of, weights_folder, write_weights
from rdbench.errors import ClipError, InputError
from rdbench.training.examples import Sampling, labelled_with, load_faces
from rdbench.training.loop import Epoch, faces_of, train, training_faces, versions
from rdbench.training.models import BUDGET, FACTORS, MODELS, PEOPLE, RESIDUAL, STRIDE, Model
from rdbench.training.starts import own_start
from rdbench.video.clip import FACE_SIZE, Dataset, Labels
from rdbench.words import did_you_mean

__all__ = [
    "TRAINABLE",
    "Choices",
    "recipes_for",
    "selection_of",
    "train_backends",
]

TRAINABLE = ("constant", *MODELS)


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
    onward: bool = False,
    **changes: Any,
) -> list[Recipe]:
    """The recipes of a back-end in the order of training: what others start from comes first.

    Specialists get a recipe for each factor, alike in everything but the factor, single models one for all.
    Every recogniser has the same budget, and those that start alike the same rate, so that a comparison compares
    where it started and what it saw.

    Parameters
    ----------
    backend : str
        One of `MODELS`.
    size : str
    targets : sequence of str
    factors : sequence of int
        By default `FACTORS`.
    onward : bool
        Whether they go on from weights of their own name: then what else they would start from is not needed.
    **changes
        Other fields of `rdbench.backends.weights.Recipe`.

    Raises
    ------
    InputError
        If there is no such back-end or size, or a value is out of range.
    """
    if backend not in MODELS:
        raise InputError(f"There is no way to train '{backend}'; there are {', '.join(TRAINABLE)}.")
    if size not in SIZES:
        raise InputError(f"There is no '{backend}@{size}'; sizes are {' and '.join(SIZES)}.")
    every = tuple(dict.fromkeys(factors or FACTORS))
    # One thread gives the same digits on any number of cores; small specialists can be trained side by side.
    given: dict[str, Any] = {
        "size": size,
        "targets": tuple(targets),
        "threads": 1 if size == "lite" else os.cpu_count() or 1,
    }
    given |= {"people": PEOPLE, "stride": STRIDE, "dtype": "float32"} | BUDGET[size]
    model = MODELS[backend]
    if size not in model.sizes:
        there = " and ".join(model.sizes)
        raise InputError(f"There is no '{backend}@{size}'; {backend} comes in the size {there} alone.")
    network = RESIDUAL[model.network] if size == "lite" else model.network
    learns = model.fixed.get("epochs") != 0
    # What is put together from others without an epoch has nothing of its own to go on with.
    parents = () if onward and learns else model.start
    recipes = []
    for _, parent in parents:
        recipes += recipes_for(parent, size, targets, every, onward=onward, **changes)
    start = tuple((prefix, _own(parent, size, every)[0]) for prefix, parent in parents)
    how = {"backend": backend, "network": network, "start": start, "rates": model.rates}
    fixed = dict(model.fixed)
    # What is asked for goes before a model's own.
    if learns:
        fixed |= {name: changes[name] for name in ("epochs", "people") if name in changes and name in fixed}
    try:
        for seen in _seen(model, every):
            own = given | changes | how | {"factors": seen}
            recipes.append(Recipe.model_validate(own | {"rate": own["rate"] * model.share} | fixed))
    except ValueError as error:
        raise InputError(f"{backend}@{size} cannot be trained so: {_first(error)}.") from error
    return recipes


def _seen(model: Model, factors: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Factors of each of a model's recipes."""
    if model.sees == "each":
        return [(factor,) for factor in factors]
    return [{"all": factors, "max": (max(factors),), "one": (1,)}[model.sees]]


def _own(backend: str, size: str, factors: tuple[int, ...]) -> list[str]:
    """Stems of a model's own weights."""
    return [stem_of(backend, size, seen) for seen in _seen(MODELS[backend], factors)]


class Choices(TypedDict, total=False):
    """What may be chosen of a training.

    Parameters
    ----------
    factors : sequence of int
        By default `FACTORS`.
    targets : sequence of str
        By default all that the dataset is labelled with.
    seed : int
        0 by default.
    epochs : int or None
        By default the recipe's own.
    stride : int or None
        Every n-th frame of a recording is used: time and memory fall with it; `STRIDE` by default.
    people : int or None
        Train subjects of each model, drawn by the seed; `PEOPLE` by default, 0 for all.
    delay : float
        Seconds that labels are moved back, to the frames that they are about.
    start : Path or None
        Folder with weights of the same names, from which training goes on; another one than weights are written to.
    """

    factors: Sequence[int]
    targets: Sequence[str]
    seed: int
    epochs: int | None
    stride: int | None
    people: int | None
    delay: float
    start: Path | None


def train_backends(
    names: Sequence[str],
    dataset: Dataset,
    out: Path,
    *,
    device: str = "auto",
    progress: Callable[[Epoch | str], None] = lambda what: None,
    **choices: Unpack[Choices],
) -> list[Path]:
    """Train back-ends by name: what `rdbench train` does.

    What several of them start from is trained once, and the faces are read once. A call that was killed goes on
    at the epoch where it stopped.

    Parameters
    ----------
    names : sequence of str
        Such as "direct@lite"; "lite" by default.
    dataset : Dataset
        With a train partition.
    out : Path
        Folder for the weights.
    device : str
    progress : callable
        Called with an `Epoch` after each, and with lines of text.
    **choices
        See `Choices`.

    Returns
    -------
    list of Path
        The weights.

    Raises
    ------
    InputError
        If a back-end cannot be trained, or not on this dataset.
    """
    for name in names:
        _check_name(name)
    factors, targets = choices.get("factors", ()), choices.get("targets", ())
    epochs, delay = choices.get("epochs"), choices.get("delay", 0.0)
    labels = labelled_with(dataset)
    wanted = tuple(targets) or labels.targets
    changes: dict[str, Any] = _kind(labels) | {
        "seed": choices.get("seed", 0),
        "select_on": selection_of(dataset),
        "delay": delay,
    }
    if (start := choices.get("start")) is not None:
        changes["onward"] = True
    if epochs is not None:
        changes["epochs"] = epochs
    for name in ("stride", "people"):
        if (chosen := choices.get(name)) is not None:
            changes[name] = chosen
    recipes: dict[str, Recipe] = {}
    files = []
    for name in names:
        backend, _, size = name.partition("@")
        if backend == "constant":
            files.append(_train_constant(dataset, wanted, out, changes, progress))
            continue
        for recipe in recipes_for(backend, size or "lite", wanted, factors, **changes):
            recipes.setdefault(recipe.stem, recipe)
    if not recipes:
        return files
    _check_start(recipes.values(), start, out)
    # Models that learn from as many people learn from the same ones.
    for people in dict.fromkeys(recipe.people for recipe in recipes.values()):
        alike = [recipe for recipe in recipes.values() if recipe.people == people]
        files += _train_alike(alike, dataset, out, device, progress, **choices)
    return files


def _train_alike(
    recipes: Sequence[Recipe],
    dataset: Dataset,
    out: Path,
    device: str,
    progress: Callable[[Epoch | str], None],
    **choices: Unpack[Choices],
) -> list[Path]:
    """Train what learns from the same people, whose faces are read once."""
    every = tuple(sorted({factor for recipe in recipes for factor in faces_of(recipe)}))
    # Those that have labels tell which are read; restoring does without.
    labelled = max(recipes, key=lambda recipe: (len(recipe.targets), recipe.coded))
    faces = training_faces(labelled, dataset, progress, every)
    start = choices.get("start")
    files = []
    for recipe in recipes:
        command = _command(
            recipe, dataset, choices.get("factors", ()), choices.get("targets", ()), choices.get("epochs")
        )
        if start is not None:
            command += " --start " + ("shipped" if start == weights_folder(None) else str(start))
        files.append(train(recipe, dataset, out, device, progress, command=command, faces=faces, start=start))
    return files


def _kind(labels: Labels) -> dict[str, Any]:
    """What a recipe says of labels that are no numbers."""
    if not (labels.classes or labels.units):
        return {}
    return {"classes": labels.classes, "units": labels.units, "loss": "cross-entropy"}


def _check_name(name: str) -> None:
    backend, at, size = name.partition("@")
    if backend not in TRAINABLE:
        hint = did_you_mean(name, [f"{there}{at}{size}" for there in TRAINABLE])
        there = f"; there are {', '.join(TRAINABLE)}."
        raise InputError(f"There is no way to train {backend!r}{hint or there}")
    if backend == "constant" and at:
        raise InputError(f"There is no '{name}': constant has no sizes; ask for 'constant'.")


def _check_start(recipes: Iterable[Recipe], start: Path | None, out: Path) -> None:
    """What has to be there to go on from, before faces are read, which takes long.

    Raises
    ------
    InputError
        If it is not, or would be written over: the same command could not be given again.
    """
    if start is None:
        return
    if start.resolve() == out.resolve():
        raise InputError(f"--start and --out are both {out}; write to another folder.")
    for recipe in recipes:
        if not recipe.start:
            own_start(recipe, start)


def _train_constant(
    dataset: Dataset,
    targets: Sequence[str],
    out: Path,
    changes: dict[str, Any],
    progress: Callable[[str], None],
) -> Path:
    if changes.get("loss") == "cross-entropy":
        raise InputError(
            f"constant says one number a target, and {dataset.name} is labelled with classes or units; train another."
        )
    how = {"stride": STRIDE, "people": PEOPLE} | {
        name: changes[name] for name in ("stride", "people", "seed", "delay") if name in changes
    }
    faces = load_faces(dataset, "train", (1,), targets, Sampling(**how), progress)
    means = faces.values.mean(axis=0, dtype=np.float64)
    recipe = Recipe(
        backend="constant",
        size="none",
        factors=(1,),
        targets=tuple(targets),
        epochs=1,
        **how,
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
        command=f"rdbench train constant --dataset {dataset.name} --seed {recipe.seed}{_sampling(recipe)}",
    )
    file = out / constant.FILE
    write_weights(file, {"mean": means}, card)
    return file


def _command(
    recipe: Recipe, dataset: Dataset, asked: Sequence[int], targets: Sequence[str], epochs: int | None
) -> str:
    parts = [f"rdbench train {recipe.backend}@{recipe.size} --dataset {dataset.name}"]
    # Specialists that start from the largest factor need all that were asked for, not only their own.
    factors = asked if MODELS[recipe.backend].sees == "each" and recipe.start else recipe.factors
    parts += [f"--factor {factor}" for factor in factors]
    parts += [f"--target {target}" for target in targets]
    parts += [f"--seed {recipe.seed}"] + ([] if epochs is None else [f"--epochs {epochs}"])
    return " ".join(parts) + _sampling(recipe)


def _sampling(recipe: Recipe) -> str:
    """Options that tell which people, frames and labels are learned from."""
    usual = {"stride": STRIDE, "people": PEOPLE, "delay": 0.0}
    chosen = {name: getattr(recipe, name) for name in usual}
    return "".join(f" --{name} {value:g}" for name, value in chosen.items() if value != usual[name])


def _first(error: ValueError) -> str:
    details = cast(Any, error).errors()[0] if hasattr(error, "errors") else {"loc": (), "msg": str(error)}
    return f"{'.'.join(str(part) for part in details['loc'])}: {details['msg']}, got {details.get('input')!r}"
