"""Anybody's network in an ONNX file: ``onnx:FILE.onnx``, with ``FILE.toml`` beside it that tells how to use it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from rdbench.backends.protocol import Context, Input, Session
from rdbench.backends.registry import ONNX
from rdbench.errors import EncodeError, InputError
from rdbench.files import read_toml

__all__ = ["OnnxBackend", "Settings", "open_file", "read_settings"]


_LONGEST_SETTINGS = 64 * 1024
_LARGEST_MODEL = 2**31
_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}

Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}$")]


class Settings(BaseModel):
    """What an ONNX file does not say of itself.

    The network gets ``(range * picture - mean) / scale`` of pictures in 0..1.

    Parameters
    ----------
    size : int
        Width and height of its pictures.
    colour : {"luma", "rgb", "bgr"}
    layout : {"NCHW", "NHWC"}
    range : {1, 255}
        What white is before `mean` and `scale`.
    mean, scale : float, or three of them
        For all colours, or for each in the network's order.
    margin : float
        The crop's side is ``1 + margin`` times the face box's.
    targets : tuple of str
        What the outputs are, in their order; with `classes` the one name of what is classified.
    classes : tuple of str
        Where the outputs are classes, their names in order.
    softmax : bool
        Whether outputs become probabilities only by a softmax.
    batch : int, optional
        Frames at once; by default what the file says, or 32.
    output : str, optional
        Which of several outputs.
    trained_on : str
        For people.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(ge=4, le=1024, strict=True)
    colour: Literal["luma", "rgb", "bgr"] = "luma"
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    range: Literal[1, 255] = 1
    mean: Number | tuple[Number, Number, Number] = 0.0
    scale: Number | tuple[Number, Number, Number] = 1.0
    margin: float = Field(default=0.0, ge=0, le=4, allow_inf_nan=False)
    targets: tuple[Name, ...] = Field(min_length=1, max_length=32)
    classes: tuple[Name, ...] = Field(default=(), max_length=1000)
    softmax: bool = Field(default=False, strict=True)
    batch: int | None = Field(default=None, ge=1, le=4096, strict=True)
    output: str | None = Field(default=None, min_length=1, max_length=200)
    trained_on: str = Field(default="unknown data (an ONNX file)", min_length=1, max_length=300)

    @model_validator(mode="after")
    def _fits(self) -> Settings:
        for what, names in (("targets", self.targets), ("classes", self.classes)):
            if len(set(names)) < len(names):
                raise ValueError(f"{what} should differ from each other")
        if self.classes and (len(self.targets) > 1 or len(self.classes) < 2):
            raise ValueError("with classes there is one target and at least two classes")
        if self.softmax and not self.classes:
            raise ValueError("softmax needs classes")
        if self.colour == "luma" and (isinstance(self.mean, tuple) or isinstance(self.scale, tuple)):
            raise ValueError("luma has one mean and one scale")
        if 0 in np.atleast_1d(self.scale):
            raise ValueError("scale cannot be 0")
        return self


class OnnxBackend:
    """A network in an ONNX file; frames are independent.

    Parameters
    ----------
    file : Path
    settings : Settings

    Raises
    ------
    InputError
        If onnxruntime is missing, or the file is unreadable or not what the settings say: its declared shapes
        and types are compared with them, and one batch is run.
    """

    def __init__(self, file: Path, settings: Settings) -> None:
        content = _content(file)
        self.name = f"{ONNX}{file.name}"
        self.targets, self.classes = settings.targets, settings.classes
        self.trained_on = settings.trained_on
        colour: Literal["luma", "rgb"] = "luma" if settings.colour == "luma" else "rgb"
        self.input = Input(settings.size, colour, settings.margin, independent=True)
        said = settings.model_dump_json(exclude={"trained_on"}).encode()
        self.weights = hashlib.sha256(content + said).hexdigest()[:16]
        self._settings, self._file = settings, file
        self._session = _opened(content, file)
        self._feed, self._type, self._batch = self._checked_input()
        self._fetch = self._checked_output()
        self._try()

    def start(self, context: Context) -> Session:
        """Begin a segment; there is nothing to forget."""
        return self._predict

    def _predict(self, frames: NDArray[np.float32]) -> NDArray[np.float64]:
        outputs = len(self.classes or self.targets)
        out = np.empty((len(frames), outputs))
        for at in range(0, len(frames), self._batch):
            part = frames[at : at + self._batch]
            # Filled up: last digits may change with a batch's shape, and must not with a frame's neighbours.
            filled = np.zeros((self._batch, *part.shape[1:]), np.float32)
            filled[: len(part)] = part
            found = self._run(filled)
            if found.size != self._batch * outputs or found.shape[0] != self._batch:
                raise EncodeError(
                    f"{self.name} gave {found.shape} for {self._batch} frames and {outputs} outputs"
                )
            out[at : at + len(part)] = found.reshape(self._batch, outputs)[: len(part)]
        if not np.isfinite(out).all():
            raise EncodeError(f"{self.name} gave NaN or infinite predictions")
        return _softmax(out) if self._settings.softmax else out

    def _run(self, frames: NDArray[np.float32]) -> NDArray[np.float64]:
        chosen = self._settings
        pictures = frames if frames.ndim == 4 else frames[..., None]
        if chosen.colour == "bgr":
            pictures = pictures[..., ::-1]
        mean, scale = np.asarray(chosen.mean, np.float32), np.asarray(chosen.scale, np.float32)
        pictures = (pictures * np.float32(chosen.range) - mean) / scale
        if chosen.layout == "NCHW":
            pictures = pictures.transpose(0, 3, 1, 2)
        fed = np.ascontiguousarray(pictures, dtype=self._type)
        return np.asarray(self._session.run([self._fetch], {self._feed: fed})[0], dtype=np.float64)

    def _checked_input(self) -> tuple[str, Any, int]:
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise InputError(
                f"{self._file} takes {len(inputs)} inputs ({', '.join(each.name for each in inputs)}); a back-end takes "
                "one, a batch of pictures."
            )
        only, chosen = inputs[0], self._settings
        if only.type not in _FLOATS:
            raise InputError(
                f"{self._file} takes {only.type}, but pictures are floating point; export it with a float input."
            )
        colours = 1 if chosen.colour == "luma" else 3
        wanted = (colours, chosen.size, chosen.size)
        wanted = wanted if chosen.layout == "NCHW" else (*wanted[1:], colours)
        fixed = [size if isinstance(size, int) and size > 0 else None for size in only.shape]
        if len(fixed) != 4 or any(a not in (None, b) for a, b in zip(fixed[1:], wanted, strict=True)):
            raise InputError(
                f"{self._file} takes pictures of shape {_shown(only.shape)}, but {self._toml()} says "
                f"(n, {', '.join(map(str, wanted))}): size {chosen.size}, {chosen.colour}, {chosen.layout}; "
                "correct one of the two."
            )
        if fixed[0] is not None and chosen.batch not in (None, fixed[0]):
            raise InputError(
                f"{self._file} takes batches of {fixed[0]}, but {self._toml()} says batch = {chosen.batch}; "
                "leave batch out."
            )
        return only.name, _FLOATS[only.type], fixed[0] or chosen.batch or 32

    def _checked_output(self) -> str:
        outputs = self._session.get_outputs()
        names = [each.name for each in outputs]
        asked = self._settings.output
        if asked is None and len(outputs) > 1:
            raise InputError(
                f"{self._file} has the outputs {', '.join(names)}; say in {self._toml()} which one: "
                f'output = "{names[0]}".'
            )
        if asked is not None and asked not in names:
            raise InputError(f"{self._file} has no output '{asked}'; it has {', '.join(names)}.")
        chosen = outputs[0 if asked is None else names.index(asked)]
        if chosen.type not in _FLOATS:
            raise InputError(
                f"The output '{chosen.name}' of {self._file} is {chosen.type}, but predictions are floating point."
            )
        return str(chosen.name)

    def _try(self) -> None:
        """Run one batch: what is declared may still be wrong."""
        size, colours = self._settings.size, 1 if self._settings.colour == "luma" else 3
        grey = np.full((self._batch, size, size, colours), 0.5, np.float32)
        try:
            found = self._run(grey)
        except Exception as error:
            raise InputError(
                f"{self._file} cannot be run on {self._batch} pictures of {size}x{size}: {_first(error)}."
            ) from error
        outputs = self.classes or self.targets
        kind = "classes" if self.classes else "targets"
        if found.shape[:1] != (self._batch,) or found.size != self._batch * len(outputs):
            raise InputError(
                f"{self._file} gives {_shown(found.shape)} for {self._batch} pictures, but {self._toml()} names "
                f"{len(outputs)} {kind} ({', '.join(outputs)}); name as many as it has outputs."
            )
        if not np.isfinite(found).all():
            raise InputError(
                f"{self._file} gives NaN or infinite values for a grey picture; check mean and scale."
            )
        rows = found.reshape(self._batch, -1)
        shares = rows.min() >= -1e-6 and np.abs(rows.sum(axis=1) - 1).max() <= 1e-2
        if self.classes and not (self._settings.softmax or shares):
            raise InputError(
                f"{self._file} gives no probabilities (they add up to {rows[0].sum():.3g}); say softmax = true in "
                f"{self._toml()}."
            )

    def _toml(self) -> str:
        return self._file.with_suffix(".toml").name


def open_file(file: Path) -> OnnxBackend:
    """Open an ONNX file with the TOML file of the same name beside it.

    Raises
    ------
    InputError
        See `OnnxBackend` and `read_settings`.
    """
    if not file.is_file():
        raise InputError(f"There is no file {file}; a network is named as {ONNX}FILE.onnx.")
    return OnnxBackend(file, read_settings(file.with_suffix(".toml")))


def read_settings(file: Path) -> Settings:
    """Read the TOML file that belongs to an ONNX file.

    Raises
    ------
    InputError
        If there is none, or it is not valid.
    """
    if not file.is_file():
        raise InputError(
            f"There is no {file}; it tells how to use the network: at least size = ... and targets = [...]."
        )
    what = "it should be a few lines of TOML"
    return read_toml(file, Settings, name=str(file), what=what, most=_LONGEST_SETTINGS)


def _content(file: Path) -> bytes:
    try:
        if file.stat().st_size > _LARGEST_MODEL:
            raise InputError(f"{file} is larger than 2 GiB, which no ONNX file can be.")
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}.") from error


def _opened(content: bytes, file: Path) -> Any:
    """A session on one thread. From bytes, so that the file cannot draw in others, and the hash covers it all."""
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(f"{file} needs onnxruntime: pip install 'rdbench[onnx]'.") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise InputError(
            f"{file} cannot be opened as an ONNX network ({_first(error)}); export it with its weights inside."
        ) from error


def _softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    raised = np.exp(values - values.max(axis=1, keepdims=True, initial=-np.inf))
    shares: NDArray[np.float64] = raised / raised.sum(axis=1, keepdims=True)
    return shares


def _shown(shape: Any) -> str:
    return f"({', '.join(str(size) if size else 'n' for size in shape)})"


def _first(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
