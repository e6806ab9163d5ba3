"""One unit of work, as a worker does it: one clip at one factor under some conditions.

Everything here may run in another process or on another machine; what it returns is plain rows.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import hashlib
import json
import platform
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdbench.backends.protocol import Backend, Context, Input, Restoring
from rdbench.backends.registry import find_backend
from rdbench.errors import ClipError, EncodeError, InputError, NoFaceError, RdbenchError
from rdbench.files import replacing
from rdbench.machine import work_folder
from rdbench.sweep.audience import as_float, noting, predict, shown
from rdbench.sweep.experiment import Condition
from rdbench.sweep.gold import Gold, gold_from_labels, gold_from_reference, score_rows
from rdbench.tables.pictures import encode_png
from rdbench.tables.predictions import pack
from rdbench.video import coder, process
from rdbench.video.arguments import rate_status
from rdbench.video.clip import FACE_SIZE, Dataset
from rdbench.video.planes import Geometry, Planes, Tally, mean_squared_error, padded_planes, psnr
from rdbench.video.prepared import Prepared, prepare
from rdbench.video.profiles import Profile
from rdbench.video.views import downsample, face_pictures, face_rgb, full_pictures, pristine_views, views

__all__ = ["Setup", "Unit", "UnitResult", "evaluate", "face_margin", "look"]

STAGE = 1
"""Raised when the same condition would give other numbers."""


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


def look(setup: Setup, name: str) -> dict[str, Any]:
    """Prepare one clip and tell what was found: a row of `clips`.

    A clip without a face is skipped and one that cannot be used has failed; neither stops a run.
    """
    info = next(info for info in setup.dataset.index() if info.name == name)
    row: dict[str, Any] = {
        "clip": name,
        "subject": info.subject,
        "partition": info.partition,
        "state": "used",
    }
    try:
        prepared = _prepared(setup, name)
        golds = [_gold(setup, prepared, backend) for backend in _backends(setup)]
    except NoFaceError as error:
        return {**row, "state": "skipped", "reason": _sentence(name, error)}
    except (ClipError, EncodeError) as error:
        return {**row, "state": "failed", "reason": _sentence(name, error)}
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        return {**row, "state": "failed", "reason": f"{name}: {error.strerror or error}"}
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


def evaluate(setup: Setup, unit: Unit) -> UnitResult:
    """Carry out all conditions of a unit; what fails becomes rows of `failures`.

    Raises
    ------
    OSError
        If the disk is full: the run cannot go on.
    """
    result = UnitResult()
    started = time.monotonic()
    try:
        with work_folder() as folder:
            prepared = _prepared(setup, unit.clip)
            bench = _Bench(setup, prepared, unit, Path(folder))
            for condition in unit.conditions:
                started = time.monotonic()
                try:
                    encode = bench.one(condition, result)
                except (EncodeError, ClipError, OSError) as error:
                    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                        raise
                    _fail(result, unit.clip, condition, error)
                else:
                    seconds = time.monotonic() - started
                    result.add("timings", {"encode": encode, "host": platform.node(), "seconds": seconds})
    except (EncodeError, ClipError) as error:
        for condition in unit.conditions:
            _fail(result, unit.clip, condition, error)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        for condition in unit.conditions:
            _fail(result, unit.clip, condition, error)
    return result


@dataclass(frozen=True)
class _Seen:
    """What became of the pictures of one stream.

    Parameters
    ----------
    quality : dict
        Columns of `encodes`.
    predictions : list of (Backend, (frames, k) float32)
    pictures : dict of str to bytes
        The sample's, by kind; empty for clips of which there are none.
    """

    quality: dict[str, float | None]
    predictions: list[tuple[Backend, NDArray[np.float32]]]
    pictures: dict[str, bytes]


class _Bench:
    """The downsampled pictures of one unit, and what is done with them for each condition."""

    def __init__(self, setup: Setup, prepared: Prepared, unit: Unit, folder: Path) -> None:
        self.setup, self.prepared, self.unit, self.folder = setup, prepared, unit, folder
        self.margin = face_margin(_backends(setup)) if unit.region == "face" else 0.0
        if unit.region == "face":
            side = setup.face_size
            self.geometry = Geometry(side, side, unit.factor)
            pictures = face_pictures(prepared, side, self.margin)
            self.full = padded_planes(pictures, self.geometry.padded, folder)
            box = prepared.track.side * (1 + self.margin)
            self.face_px = side * prepared.track.face_px / box / unit.factor
        else:
            self.geometry = Geometry(prepared.width, prepared.height, unit.factor)
            self.full = full_pictures(prepared, self.geometry, folder)
            self.face_px = prepared.track.face_px / unit.factor
        self._source_png: bytes | None = None
        self._seen: dict[tuple[str, str], _Seen] = {}
        self.low = downsample(self.full, self.geometry, folder)
        self.context = Context(unit.factor, unit.region, self.face_px, float(prepared.timeline.fps))

    def one(self, condition: Condition, result: UnitResult) -> str:
        row = self._row(condition)
        bits_by_frame: tuple[int, ...] = ()
        if condition.coded:
            profile = self.setup.profiles[condition.codec]
            encoded = coder.encode(
                self.low,
                profile,
                condition.variant,
                condition.mode,
                condition.rate,
                self.prepared.timeline.fps,
                self.folder,
            )
            row.update(
                profile=profile.digest,
                command=" ".join(encoded.command),
                coded_width=encoded.width,
                coded_height=encoded.height,
            )
            if isinstance(encoded, coder.Refused):
                row.update(rate_status="refused", reason=encoded.reason)
                result.add("encodes", row)
                return str(row["encode"])
            bits_by_frame = encoded.bits.frames
            row.update(self._bits(encoded, profile, condition))
            seen = self._decoded(encoded, profile)
            self._keep(encoded, profile, row["encode"])
        else:
            seen = self._watch(self.low)
        row.update(seen.quality)
        scores, predictions = self._score(seen, row, bits_by_frame)
        if seen.pictures:
            sample = {"encode": row["encode"], "frame": self._middle, "pictures": seen.pictures}
            result.add("samples", sample)
        result.add("scores", *({"encode": row["encode"], **score} for score in scores))
        result.add("predictions", *predictions)
        result.add("encodes", row)
        return str(row["encode"])

    def _decoded(self, encoded: coder.Encoded, profile: Profile) -> _Seen:
        """Beyond what an encoder can reach, rates end in one and the same stream: it is looked at once."""
        key = (profile.format, encoded.digest)
        if key not in self._seen:
            decoded = coder.decode(encoded, profile, self.geometry.low, self.prepared.frames, self.folder)
            coded = psnr(mean_squared_error(self.low, decoded))
            seen = self._watch(decoded)
            self._seen[key] = dataclasses.replace(seen, quality={"psnr_coded": coded, **seen.quality})
            decoded.file.unlink()
        return self._seen[key]

    def _row(self, condition: Condition) -> dict[str, Any]:
        prepared, geometry, size = self.prepared, self.geometry, self.setup.face_size
        profile = self.setup.profiles[condition.codec].digest if condition.coded else None
        identity = [
            STAGE,
            prepared.clip.name,
            prepared.source,
            *(condition.region, condition.factor, condition.codec, condition.variant),
            *(condition.mode, condition.rate, profile, process.build()),
            # Only where there is any: the rows of all others keep their names.
            *([self.margin] if self.margin else []),
            *([{"face_size": size}] if condition.region == "face" and size != FACE_SIZE else []),
        ]
        digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:20]
        return {
            "encode": digest,
            "clip": prepared.clip.name,
            "subject": prepared.clip.subject,
            "partition": prepared.clip.partition,
            **{name: getattr(condition, name) for name in ("region", "factor", "codec", "variant", "mode")},
            "rate": float(condition.rate),
            "rate_status": "uncoded",
            "frames": prepared.frames,
            "seconds": prepared.timeline.seconds,
            "box_bits": prepared.track.box_bits if condition.region == "frame" else None,
            "face_px": self.face_px,
            "width": geometry.low[0],
            "height": geometry.low[1],
            "timing": prepared.timeline.timing,
            "masked_frames": int((~prepared.track.mask).sum()),
            "source": prepared.source,
            "build": process.build(),
        }

    def _bits(self, encoded: coder.Encoded, profile: Profile, condition: Condition) -> dict[str, Any]:
        bits = encoded.bits
        achieved = bits.payload / self.prepared.timeline.seconds / 1000
        return {
            "rate_status": rate_status(profile, condition.mode, condition.rate, achieved, encoded.mean_qp),
            "payload_bits": bits.payload,
            "framing_bits": bits.framing,
            "informational_bits": bits.informational,
            "filler_bits": bits.filler,
            "stream_bits": bits.stream,
            "parameter_bits": bits.parameter,
            "first_key_bits": bits.first_key,
            "mean_qp": encoded.mean_qp,
        }

    def _keep(self, encoded: coder.Encoded, profile: Profile, encode: str) -> None:
        if self.setup.keep is None:
            encoded.file.unlink()
            return
        with replacing(self.setup.keep / f"{encode}{profile.suffix}", durable=True) as part:
            part.write_bytes(encoded.file.read_bytes())
        encoded.file.unlink()

    @functools.cached_property
    def _middle(self) -> int:
        """The middle one of the scored frames."""
        scored = np.flatnonzero(self.prepared.track.mask)
        return int(scored[len(scored) // 2])

    def _sample(self, decoded: Planes, seen: Mapping[Input, NDArray[np.uint8]]) -> dict[str, bytes]:
        """One frame as recorded, as decoded, as the first recogniser saw it, and as restored, as PNG."""
        backends = _backends(self.setup)
        wanted = backends[0].input
        crop = None if self.unit.region == "face" else self.prepared.track.crop(wanted.margin)
        if self._source_png is None:
            whole = Geometry(*self.geometry.padded, 1)
            source = face_rgb(self.full, self._middle, whole, crop)
            self._source_png = encode_png(source, self._middle)
        pictures = {
            "decoded": face_rgb(decoded, self._middle, self.geometry, crop),
            "input": shown(as_float(seen[wanted][None])),
        }
        for backend in backends:
            if isinstance(backend, Restoring):
                restored = backend.restored(as_float(seen[backend.input][None]), self.context)
                if restored is not None:
                    pictures["restored"] = shown(restored)
                    break
        named = {kind: encode_png(picture, self._middle) for kind, picture in pictures.items()}
        return {"source": self._source_png, **named}

    def _watch(self, decoded: Planes) -> _Seen:
        """Show pictures to all back-ends, in the order of what these want to see, and measure them."""
        prepared = self.prepared
        backends = _backends(self.setup)
        predictions: list[tuple[Backend, NDArray[np.float32]]] = []
        quality: dict[str, float | None] = {}
        sampled = self.unit.clip == self.setup.sample
        middle: dict[Input, NDArray[np.uint8]] = {}
        for wanted in dict.fromkeys(backend.input for backend in backends):
            first = not quality
            crop = None if self.unit.region == "face" else prepared.track.crop(wanted.margin)
            tally = Tally(self.full, self.geometry.width, self.geometry.height) if first else None
            pictures = views(decoded, self.geometry, crop, wanted, tally)
            if sampled:
                pictures = noting(pictures, self._middle, wanted, middle)
            sharing = [backend for backend in backends if backend.input == wanted]
            found = predict(sharing, self.context, prepared, pictures)
            predictions += zip(sharing, found, strict=True)
            if tally is not None:
                quality["psnr"] = tally.psnr
        return _Seen(quality, predictions, self._sample(decoded, middle) if sampled else {})

    def _score(
        self, seen: _Seen, row: dict[str, Any], bits: tuple[int, ...]
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        prepared = self.prepared
        scores: list[dict[str, Any]] = []
        blobs: list[dict[str, Any]] = []
        for backend, values in seen.predictions:
            gold = _gold(self.setup, prepared, backend)
            scores += score_rows(backend, gold, values)
            arrays: dict[str, NDArray[Any]] = {
                "prediction": values,
                "gold": gold.values,
                "mask": prepared.track.mask,
                "times": prepared.timeline.times,
                "bits": np.array(bits, dtype=np.int64),
                "outputs": np.array(backend.classes or backend.targets),
                "targets": np.array(gold.targets),
            }
            blobs.append(
                {
                    "encode": row["encode"],
                    "backend": backend.name,
                    "gold": gold.name,
                    "data": pack(arrays),
                }
            )
        return scores, blobs


def _gold(setup: Setup, prepared: Prepared, backend: Backend) -> Gold:
    labels = prepared.clip.labels
    if labels is not None:
        try:
            return gold_from_labels(labels, prepared.timeline.times, backend)
        except ClipError as error:
            raise ClipError(f"{prepared.clip.file.name}: {error}") from error
    reference = backend if setup.reference is None else _open(setup.reference, setup.weights, setup.device)
    if (reference.targets, reference.classes) != (backend.targets, backend.classes):
        raise ClipError(
            f"{prepared.clip.file.name}: no labels, and the reference {reference.name} does not predict what "
            f"{backend.name} predicts"
        )
    return gold_from_reference(
        reference.name, _pristine(setup, prepared.clip.name, reference.name), reference
    )


@functools.lru_cache(maxsize=8)
def _prepared(setup: Setup, name: str) -> Prepared:
    return prepare(setup.dataset.load(name), setup.seconds)


@functools.lru_cache(maxsize=8)
def _pristine(setup: Setup, name: str, reference: str) -> NDArray[np.float32]:
    """Predictions on the source's own frames, the same in both regions."""
    prepared = _prepared(setup, name)
    backend = _open(reference, setup.weights, setup.device)
    context = Context(1, "frame", prepared.track.face_px, float(prepared.timeline.fps))
    return predict([backend], context, prepared, pristine_views(prepared, backend.input))[0]


def _backends(setup: Setup) -> list[Backend]:
    return [_open(name, setup.weights, setup.device) for name in setup.backends]


@functools.lru_cache(maxsize=64)
def _open(name: str, weights: Path | None, device: str) -> Backend:
    return find_backend(name, weights, device)


def _fail(result: UnitResult, clip: str, condition: Condition, error: Exception) -> None:
    reason = " ".join(str(error).split())
    result.add("failures", {"clip": clip, **dataclasses.asdict(condition), "reason": reason})


def _sentence(name: str, error: RdbenchError) -> str:
    text = str(error).rstrip(".")
    return text if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) else f"{name}: {text}"
