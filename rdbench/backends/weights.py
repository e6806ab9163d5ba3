"""Weights on disk: safetensors files that carry their whole recipe, and nothing that could run code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from rdbench.errors import InputError
from rdbench.files import replacing

__all__ = [
    "FACE",
    "SIZES",
    "Card",
    "Recipe",
    "Size",
    "Weights",
    "content_hash",
    "read_card",
    "read_tensors",
    "read_weights",
    "stem_of",
    "weights_folder",
    "write_tensors",
    "write_weights",
]

FACE = 96
"""Width and height in pixels of the faces that networks look at."""

Size = Literal["paper", "lite"]
SIZES: tuple[Size, ...] = get_args(Size)

SUFFIX = ".safetensors"
_KEY = "rdbench"

Tensors = dict[str, NDArray[np.generic]]


class Recipe(BaseModel):
    """Everything that decides how weights are trained, the data aside.

    The same recipe serves all factors, so that a comparison of factors compares nothing else.

    Parameters
    ----------
    backend, size : str
        What the weights are for, such as "direct" and "lite".
    region : {"face"}
        Where the training faces come from: cropped at full size, then downsampled.
    factors : tuple of int
        Downsampling factors of the training faces, 1 or more each.
    targets : tuple of str
        Names of the labels that are learned, in the order of the outputs; none where pictures are restored.
    classes : tuple of str
        Of the one target, where it has any: then these are the outputs.
    units : bool
        Whether targets are there or not, each by itself.
    seed : int
    epochs, batch : int
        Without any epoch, weights stay as they start.
    rate : float
        Peak of the learning rate, which rises over the first tenth of the steps and falls as a cosine.
    decay : float
        Decoupled decay of the weights, relative to the learning rate (AdamW; Loshchilov and Hutter 2019).
    dropout : float
        Share of the hidden units.
    loss : {"ccc", "mse", "cross-entropy"}
        1 - CCC of each batch and target, which is what is reported, or the paper's squared error; classes and units are
        learned by cross-entropy.
    average : float
        Decay by step of the moving average of the weights, which is what is kept; 0 keeps the last ones.
    shift : int
        Largest random shift in pixels of 96x96.
    flip : bool
        Mirror half of the faces.
    contrast, brightness : float
        Largest relative change of contrast, largest shift of luma (0..1).
    noise : float
        Largest standard deviation of added noise (luma 0..1).
    stride : int
        Every n-th frame of a recording is used.
    people : int
        Train subjects that are learned from, drawn by the seed without another seed meeting the same ones as long as
        there are others; 0 stands for all.
    coded : int
        How often each face is also seen as codecs leave it, at each factor.
    select_on : {"dev", "train"}
        The epoch is chosen on dev, or on a fixed quarter of the train subjects (where dev is reported).
    delay : float
        Seconds that labels are moved back before they are learned: raters lag behind the face.
    network : str
        Class of the torch module.
    start : tuple of (str, str)
        Where training starts from, instead of at random: the weights whose names begin with the first text are
        taken from the file with the second as its stem (there without that beginning).
    rates : tuple of (str, float)
        Learning rate of the weights whose names begin with the text, relative to `rate`; 0 freezes them.
    dtype : {"float32", "bfloat16"}
        Arithmetic of the convolutions in training; sums and weights stay in float32.
    threads : int
        Threads of torch: the last digits depend on them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    backend: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    size: str = Field(pattern=r"^[a-z0-9]+$")
    region: Literal["face"] = "face"
    factors: tuple[int, ...] = Field(min_length=1)
    targets: tuple[str, ...]
    classes: tuple[str, ...] = ()
    units: bool = False
    seed: int = Field(default=0, ge=0, lt=2**63)
    epochs: int = Field(default=12, ge=0)
    batch: int = Field(default=64, ge=2)
    rate: float = Field(default=0.0015, gt=0)
    decay: float = Field(default=0.05, ge=0)
    dropout: float = Field(default=0.5, ge=0, lt=1)
    loss: Literal["ccc", "mse", "cross-entropy"] = "ccc"
    average: float = Field(default=0.99, ge=0, lt=1)
    shift: int = Field(default=4, ge=0, le=32)
    flip: bool = True
    contrast: float = Field(default=0.3, ge=0, lt=1)
    brightness: float = Field(default=0.1, ge=0, lt=1)
    noise: float = Field(default=0.0, ge=0, lt=1)
    stride: int = Field(default=1, ge=1)
    people: int = Field(default=0, ge=0)
    coded: int = Field(default=0, ge=0, le=16)
    select_on: Literal["dev", "train"] = "dev"
    delay: float = Field(default=0.0, ge=0, le=8)
    network: str = "Recogniser"
    start: tuple[tuple[str, str], ...] = ()
    rates: tuple[tuple[str, float], ...] = ()
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    threads: int = Field(default=1, ge=1)

    @field_validator("factors")
    @classmethod
    def _usable(cls, factors: tuple[int, ...]) -> tuple[int, ...]:
        if min(factors) < 1 or len(set(factors)) < len(factors):
            raise ValueError("factors are whole numbers from 1 on, each once")
        return tuple(sorted(factors))

    @property
    def outputs(self) -> int:
        """How many numbers the network gives for a face; 0 where it restores."""
        return len(self.classes or self.targets)

    @property
    def stem(self) -> str:
        """File name without suffix, such as ``direct-lite-face-x4``; a single model names no factor."""
        return stem_of(self.backend, self.size, self.factors, self.region)


def stem_of(backend: str, size: str, factors: Sequence[int], region: str = "face") -> str:
    """File name without suffix; see `Recipe.stem`."""
    factor = f"-x{factors[0]}" if len(factors) == 1 else ""
    return f"{backend}-{size}-{region}{factor}"


class Card(BaseModel):
    """What weights say of themselves.

    Parameters
    ----------
    network : str
        Class of the torch module, such as "Recogniser", or "Constant".
    recipe : Recipe
    face_px : float
        Coded width of the training faces in pixels, the median over recordings (and factors).
    dataset : str
    content : str
        Content hash of the training faces and labels.
    frames : int
        Training faces of each factor.
    train_mean : dict of str to float
        Mean of each target's labels, or the share of each class.
    parents : dict of str to str
        Content hashes of the weights that training started from, by stem.
    selection : dict of str to float
        At the chosen epoch: CCC (accuracy of classes, F1 of units) of each target on all that it was chosen on, or PSNR gain in dB on up to 1,000 faces
        of it.
    epoch : int
        The chosen one, from 1 on; 0 where nothing is learned in epochs.
    bfloat16 : float or None
        How far the score on about 500 faces of `selection` moves, at most over targets, when the convolutions are computed in
        bfloat16 instead of float32; None where that was not tried, as for networks that restore.
    versions : dict of str to str
        Of rdbench, its way of training, torch, numpy and FFmpeg's build.
    command : str
        What makes these weights anew.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str
    recipe: Recipe
    face_px: float = Field(gt=0)
    dataset: str
    content: str
    frames: int = Field(ge=1)
    train_mean: dict[str, float]
    parents: dict[str, str] = {}
    selection: dict[str, float]
    epoch: int = Field(ge=0)
    bfloat16: float | None = None
    versions: dict[str, str]
    command: str


@dataclass(frozen=True)
class Weights:
    """Weights as read: tensors by name, in the file's own precision, their card and content hash."""

    file: Path
    tensors: Tensors
    card: Card
    hash: str


def weights_folder(given: Path | None) -> Path:
    """The folder that was given, or that of the weights that ship.

    Raises
    ------
    InputError
        If it is no folder.
    """
    folder = given or Path(str(resources.files("rdbench") / "weights"))
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; name the one that `rdbench train` wrote weights to.")
    return folder


def content_hash(tensors: Mapping[str, NDArray[np.generic]], card: Card) -> str:
    """Hash what decides predictions (16 hex digits): tensors, network, size, targets, and the face width by
    which a specialist is picked; not when, where or by which command they were made."""
    digest = hashlib.sha256()
    said = [card.network, card.recipe.size, list(card.recipe.targets), card.face_px]
    if card.recipe.classes or card.recipe.units:
        said += [list(card.recipe.classes), card.recipe.units]
    digest.update(json.dumps(said).encode())
    for name in sorted(tensors):
        value = np.ascontiguousarray(tensors[name])
        digest.update(f"\0{name} {value.dtype.str} {value.shape}\0".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()[:16]


def write_tensors(file: Path, tensors: Mapping[str, NDArray[np.generic]], text: str) -> None:
    """Write tensors and one text beside the file's place, then rename; a killed process leaves no half file.

    Raises
    ------
    OSError
        If the folder cannot be written to, or the disk is full.
    """
    content = save({name: np.ascontiguousarray(value) for name, value in tensors.items()}, {_KEY: text})
    with replacing(file, durable=True) as part:
        part.write_bytes(content)


def read_tensors(file: Path, *, header_only: bool = False) -> tuple[Tensors, str]:
    """Read what `write_tensors` wrote; with `header_only` no tensor.

    Raises
    ------
    InputError
        If the file is missing, damaged, or not one of ours.
    """
    if not file.is_file():
        raise InputError(f"{file} is no file; name a folder with weights that `rdbench train` wrote.")
    try:
        with safe_open(file, framework="numpy") as opened:
            text = (opened.metadata() or {}).get(_KEY)
            tensors = {} if header_only else {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{file} cannot be read as safetensors ({error}); it is damaged or of another kind, "
            "write it anew with `rdbench train`."
        ) from error
    if text is None:
        raise InputError(
            f"{file} has no recipe of rdbench inside; only weights of `rdbench train` can be used."
        )
    return tensors, text


def write_weights(file: Path, tensors: Mapping[str, NDArray[np.floating]], card: Card) -> str:
    """Write weights as float16 with their card inside, and return their content hash.

    Raises
    ------
    InputError
        If a weight is not finite, or does not fit into float16.
    """
    with np.errstate(over="ignore"):
        half = {name: np.asarray(value).astype(np.float16) for name, value in tensors.items()}
    for name, value in half.items():
        if not np.isfinite(value).all():
            raise InputError(
                f"{file.name}: '{name}' holds values that are not finite or beyond 65504; "
                "training diverged, lower the learning rate."
            )
    write_tensors(file, half, card.model_dump_json())
    return content_hash(half, card)


def _card(file: Path, text: str) -> Card:
    try:
        return Card.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "text"
        raise InputError(
            f"{file} was written by another version of rdbench: {where} of its recipe, {first['msg']}; "
            "train it anew with this version."
        ) from error


def read_card(file: Path) -> Card:
    """Read the card alone, which is fast; raises as `read_weights` does."""
    return _card(file, read_tensors(file, header_only=True)[1])


def read_weights(file: Path) -> Weights:
    """Read weights and their card.

    Raises
    ------
    InputError
        If the file is missing, damaged, not one of ours, or holds values that are not finite.
    """
    tensors, text = read_tensors(file)
    card = _card(file, text)
    for name, value in tensors.items():
        if not np.issubdtype(value.dtype, np.floating) or not np.isfinite(value).all():
            raise InputError(f"{file}: '{name}' holds values that are no finite numbers; train it anew.")
    return Weights(file, tensors, card, content_hash(tensors, card))
