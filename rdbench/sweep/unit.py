"""What units of work share, and what is found out of a clip before any of them.

Everything here may run in another process or on another machine; what it returns is plain rows.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import platform
import re
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import rdbench
from rdbench import binary
from rdbench.backends.protocol import Backend, Context, by_agreement, descriptor_length
from rdbench.backends.registry import find_backend
from rdbench.cache import entry
from rdbench.codecs.coder import encoder_of
from rdbench.codecs.profiles import Profile
from rdbench.errors import (
    ClipError,
    EncodeError,
    EndedError,
    InputError,
    NoFaceError,
    NothingToScoreError,
    RdbenchError,
)
from rdbench.identity import differences
from rdbench.machine import cache_dir, keeping
from rdbench.stats.verification import lookalikes, threshold
from rdbench.sweep.audience import as_float, predict
from rdbench.sweep.experiment import BoxesFrom, Condition
from rdbench.sweep.gold import Gold, gold_from_labels, gold_from_reference
from rdbench.typing import Array
from rdbench.video.clip import FACE_SIZE, Dataset
from rdbench.video.description import Fields
from rdbench.video.prepared import Prepared, prepare
from rdbench.video.views import pristine_views
from rdbench.words import printable

STAGE = 2
"""Raised when the same condition would give other numbers."""

DESCRIBED = 16
"""Frames of each clip of the cohort, evenly spaced, whose descriptors set the threshold of verification."""

_RUN_ENDING = frozenset((errno.ENOSPC, errno.EDQUOT))
_OF_THE_CACHE = frozenset((errno.EROFS, errno.EACCES, errno.EPERM))

_LIBRARIES = ("numpy", "scipy", "opencv-python-headless", "av", "torch", "ffmpeg-python")

__all__ = [
    "STAGE",
    "Setup",
    "Unit",
    "UnitResult",
    "backends_of",
    "check_programs",
    "face_margin",
    "gold_of",
    "look",
    "prepared_clip",
    "programs",
    "raise_if_run_ends",
]


@dataclass(frozen=True, eq=False)
class Setup:
    """What every unit of a run shares; picklable.

    Parameters
    ----------
    dataset : Dataset
    seconds : float or None
        Only the first seconds of each clip.
    profiles : dict of str to Profile
    backends : tuple of str
    weights : Path or None
    reference : str or None
        Common pristine reference; None: each back-end's own.
    keep : Path or None
        Folder for bitstreams.
    sample : str or None
        The clip of which each encode leaves a few pictures to look at.
    device : str
    face_size : int
        Side in pixels of what is coded in region ``face`` at factor 1.
    fields : {"deinterlace", "keep", "refuse"}
        What is done with interlaced pictures.
    programs : mapping of str to str
        What computes this run, see `programs`.
    verified : bool
        False where a worker may have other programs than whoever planned the run: it looks before its first unit.
    cohort : tuple of str
        Clips of different people whose comparisons set the threshold of verification; for each reported one, those of others.
    boxes : {"source", "decoded"}
        Where region ``frame`` finds faces: in the source, as if sent beside the video, or in what was decoded.
    detector : Path or None
        Finds faces, see `rdbench.video.candidates.open_detector`.
    time_limit : float or None
        Seconds that one pass of an encoder or decoder may take; None: from its cost.
    identity : str
        Tells one setup from another where results are kept for the units that follow.
    """

    dataset: Dataset
    seconds: float | None
    profiles: dict[str, Profile]
    backends: tuple[str, ...]
    weights: Path | None = None
    reference: str | None = None
    keep: Path | None = None
    sample: str | None = None
    device: str = "cpu"
    face_size: int = FACE_SIZE
    fields: Fields = "deinterlace"
    programs: Mapping[str, str] = field(default_factory=dict)
    verified: bool = True
    cohort: tuple[str, ...] = ()
    boxes: BoxesFrom = "source"
    detector: Path | None = None
    time_limit: float | None = None
    identity: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __hash__(self) -> int:
        return hash(self.identity)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Setup) and other.identity == self.identity


@dataclass(frozen=True)
class Unit:
    """Conditions of one clip, region and factor that share the downsampled pictures."""

    clip: str
    region: str
    factor: int
    conditions: tuple[Condition, ...]


@dataclass
class UnitResult:
    """Rows for the store, by table."""

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, table: str, *rows: dict[str, Any]) -> None:
        """Append rows to a table."""
        self.rows.setdefault(table, []).extend(rows)


def face_margin(backends: Sequence[Backend]) -> float:
    """How much around the face box is coded in region ``face``: as much as all back-ends ask for.

    What was not coded cannot be seen, so one crop serves only those that want the same.

    Raises
    ------
    InputError
        If they ask for different margins.
    """
    first = backends[0]
    for other in backends[1:]:
        if other.input.margin != first.input.margin:
            raise InputError(
                f"In region face all back-ends see one coded crop, but {first.name} asks for a margin of "
                f"{first.input.margin:g} around the face and {other.name} for one of {other.input.margin:g}; give "
                "each a run of its own, or take region frame."
            )
    return first.input.margin


def programs(profiles: Mapping[str, Profile]) -> dict[str, str]:
    """What computes rows here: each of these may move their digits.

    FFmpeg is known by its content, encoders by their own names and by what they make of a few pictures.
    """
    libraries = {name: version(name) for name in _LIBRARIES}
    encoders = {f"encoder of {name}": encoder_of(profile) for name, profile in sorted(profiles.items())}
    ffmpeg = f"{binary.build()} {binary.fingerprint()}"
    return {"rdbench": f"{rdbench.__version__} stage {STAGE}", "ffmpeg": ffmpeg, **encoders, **libraries}


@functools.lru_cache(maxsize=8)
def check_programs(setup: Setup) -> None:
    """Refuse to compute anything here that whoever planned the run would compute otherwise.

    Raises
    ------
    InputError
        The text names this host and both sides.
    """
    other = [] if setup.verified else differences(setup.programs, programs(setup.profiles))
    if other:
        raise InputError(
            f"The worker on {platform.node()} is not what planned this run ({'; '.join(other)}); install the same "
            "there, or leave that worker out."
        )


def raise_if_run_ends(error: Exception) -> None:
    """Raise again what every other encode would meet as well: a full disk, a cache that cannot be written.

    Raises
    ------
    OSError
        The text names the place.
    """
    if not isinstance(error, OSError):
        return
    place = str(error.filename or "")
    if error.errno in _RUN_ENDING:
        raise OSError(error.errno, error.strerror, place or str(cache_dir())) from error
    if error.errno in _OF_THE_CACHE and place.startswith(str(cache_dir())):
        raise error


def look(setup: Setup, name: str) -> dict[str, Any]:
    """Prepare one clip and tell what was found: a row of `clips`.

    A clip without a face is skipped and one that cannot be used has failed; neither stops a run.
    """
    info = next(info for info in setup.dataset.index() if info.name == name)
    check_programs(setup)
    row: dict[str, Any] = {
        "clip": name,
        "subject": info.subject,
        "partition": info.partition,
        "state": "used",
    }
    with suppress(ClipError, OSError):  # what cannot be used is told below
        row["content"] = setup.dataset.content(name)
    try:
        prepared = prepared_clip(setup, name)
        golds = [gold_of(setup, prepared, backend) for backend in backends_of(setup)]
    except (NoFaceError, NothingToScoreError) as error:
        return {**row, "state": "skipped", "reason": _sentence(name, error)}
    except (ClipError, EncodeError) as error:
        return {**row, "state": "failed", "reason": _sentence(name, error)}
    except RdbenchError:
        raise
    except Exception as error:  # whatever a clip's bytes do to libraries, the others are done
        raise_if_run_ends(error)
        return {**row, "state": "failed", "reason": _strange(name, error)}
    return {
        **row,
        "source": prepared.source,
        "width": prepared.width,
        "height": prepared.height,
        "frames": prepared.frames,
        "fps": str(prepared.timeline.fps),
        "timing": prepared.timeline.timing,
        "conversion": prepared.conversion,
        "face_px": prepared.track.face_px,
        "boxes": prepared.track.origin,
        "labels": "; ".join(dict.fromkeys(gold.note for gold in golds)),
    }


def gold_of(setup: Setup, prepared: Prepared, backend: Backend) -> Gold:
    """What a back-end's predictions of a clip are scored against.

    Raises
    ------
    ClipError
        If its labels, or what the reference predicts, are not what the back-end predicts.
    """
    labels = prepared.clip.labels
    if labels is not None and not (by_agreement(backend) and not set(backend.targets) & set(labels.targets)):
        try:
            return gold_from_labels(labels, prepared.timeline.times, backend)
        except ClipError as error:
            raise type(error)(f"{prepared.clip.file.name}: {error}") from error
    name = setup.reference or _opened_as(setup, backend)
    reference = _open(name, setup.weights, setup.device)
    if (reference.targets, reference.classes) != (backend.targets, backend.classes):
        raise ClipError(
            f"{prepared.clip.file.name}: no labels, and the reference {reference.name} does not predict what "
            f"{backend.name} predicts"
        )
    pristine = _pristine(setup, prepared.clip.name, name)
    if not descriptor_length(reference):
        return gold_from_reference(reference.name, pristine, reference)
    limit, alike = _verification(setup, prepared.clip.subject, name)
    return gold_from_reference(reference.name, pristine, reference, limit, alike)


@functools.lru_cache(maxsize=1024)
def _verification(setup: Setup, subject: str, reference: str) -> tuple[float | None, tuple[str, ...]]:
    """The threshold of verification for one subject, set on others, and who of these seems to be the same person."""
    others = dict(_cohort(setup, reference))
    own = others.pop(subject, None)
    alike = () if own is None else tuple(lookalikes(own, others))
    return threshold(list(others.values())), alike


@functools.lru_cache(maxsize=8)
def _cohort(setup: Setup, reference: str) -> dict[str, Array]:
    """Descriptors of pristine frames by subject; a clip that cannot be used, which is told elsewhere, is left out."""
    found = {}
    for name in setup.cohort:
        try:
            prepared = prepared_clip(setup, name)
            found[prepared.clip.subject] = _described(setup, prepared, reference)
        except EndedError:
            raise  # without it the threshold would be another one
        except (ClipError, EncodeError):
            continue
    return found


def _described(setup: Setup, prepared: Prepared, reference: str) -> Array:
    """Descriptors of a few pristine frames of a clip, kept beside its track."""
    backend = _open(reference, setup.weights, setup.device)
    scored = np.flatnonzero(prepared.track.mask)
    chosen = set(scored[np.linspace(0, len(scored) - 1, DESCRIBED).astype(int)].tolist())

    def make(part: Path) -> None:
        pictures = (picture for chunk in pristine_views(prepared, backend.input) for picture in chunk)
        taken = [picture for index, picture in enumerate(pictures) if index in chosen]
        context = Context(1, "frame", prepared.track.face_px, float(prepared.timeline.fps))
        with part.open("wb") as stream:
            np.save(stream, backend.start(context)(as_float(np.stack(taken))))

    with keeping():
        who = f"{backend.name} {backend.weights} {backend.input} {DESCRIBED}"
        file = entry(prepared.folder / f"described-{hashlib.sha256(who.encode()).hexdigest()[:16]}.npy", make)
    return np.asarray(np.load(file, allow_pickle=False), dtype=np.float64)


@functools.lru_cache(maxsize=8)
def prepared_clip(setup: Setup, name: str) -> Prepared:
    """A clip of the run, prepared once in each process."""
    return prepare(setup.dataset.load(name), setup.seconds, setup.fields, setup.detector)


@functools.lru_cache(maxsize=8)
def _pristine(setup: Setup, name: str, reference: str) -> NDArray[np.float32]:
    """Predictions on the source's own frames, the same in both regions."""
    prepared = prepared_clip(setup, name)
    backend = _open(reference, setup.weights, setup.device)
    context = Context(1, "frame", prepared.track.face_px, float(prepared.timeline.fps))
    return predict([backend], context, prepared, pristine_views(prepared, backend.input))[0]


def backends_of(setup: Setup) -> list[Backend]:
    """The back-ends of a run, opened once in each process."""
    return [_open(name, setup.weights, setup.device) for name in setup.backends]


def _opened_as(setup: Setup, backend: Backend) -> str:
    """What opened a back-end: the name that tables give it may find another one, or none."""
    return next(name for name in setup.backends if _open(name, setup.weights, setup.device) is backend)


@functools.cache
def _open(name: str, weights: Path | None, device: str) -> Backend:
    return find_backend(name, weights, device)


def _strange(name: str, error: Exception) -> str:
    """A sentence of what nobody foresaw.

    Raises
    ------
    OSError
        With ``errno.ENOSPC``: the run cannot go on.
    """
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        raise error
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return printable(f"{name}: it cannot be used ({type(error).__name__}: {' '.join(str(said).split())})")


def _sentence(name: str, error: RdbenchError) -> str:
    text = str(error).rstrip(".")
    return text if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) else f"{name}: {text}"
