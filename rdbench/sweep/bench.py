"""One unit of work, as a worker does it: one clip at one factor under some conditions.

Everything here may run in another process or on another machine; what it returns is plain rows.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import platform
import re
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdbench import binary
from rdbench.backends.protocol import Backend, Context, Input, Restoring
from rdbench.codecs import coder
from rdbench.codecs.arguments import rate_status
from rdbench.codecs.headers import by_layer
from rdbench.codecs.profiles import Profile
from rdbench.errors import ClipError, EncodeError
from rdbench.files import replacing
from rdbench.machine import work_folder
from rdbench.sweep.audience import as_float, noting, predict, shown
from rdbench.sweep.experiment import Condition
from rdbench.sweep.gold import compared, score_rows
from rdbench.sweep.limits import pass_limit
from rdbench.sweep.unit import (
    STAGE,
    Setup,
    Unit,
    UnitResult,
    backends_of,
    check_programs,
    face_margin,
    gold_of,
    prepared_clip,
    raise_if_run_ends,
)
from rdbench.tables.pictures import encode_png
from rdbench.tables.predictions import pack
from rdbench.video.clip import FACE_SIZE
from rdbench.video.faces import FaceTrack
from rdbench.video.planes import Geometry, Planes, Tally, mean_squared_error, padded_planes, psnr
from rdbench.video.prepared import Prepared
from rdbench.video.views import decoded_track, downsample, face_pictures, face_rgb, full_pictures, views

__all__ = ["evaluate", "let_go"]


def evaluate(setup: Setup, unit: Unit, lane: int = 0) -> UnitResult:
    """Carry out the conditions of a unit; what fails becomes rows of `failures`.

    The downsampled pictures are kept for the next unit of the same clip, region and factor.

    Parameters
    ----------
    setup : Setup
    unit : Unit
    lane : int
        Whose pictures are kept: those of each lane make way for its next ones.

    Raises
    ------
    OSError
        If the disk is full: the run cannot go on.
    """
    check_programs(setup)
    result = UnitResult()
    for condition in unit.conditions:
        started = time.monotonic()
        try:
            with _kept_bench(setup, unit, lane) as bench:
                encode, cpu = bench.one(condition, result)
        except (EncodeError, ClipError, OSError) as error:
            raise_if_run_ends(error)
            _fail(result, unit.clip, condition, error)
        else:
            seconds = time.monotonic() - started
            taken = {"encode": encode, "host": platform.node(), "seconds": seconds}
            result.add("timings", {**taken, **cpu})
    return result


@dataclass
class _Shelf:
    """What one lane keeps between two units."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    key: tuple[Any, ...] | None = None
    bench: _Bench | None = None
    folder: tempfile.TemporaryDirectory[str] | None = None

    def tidy(self) -> None:
        """Remove what an encode left: streams, logs of passes, decoded pictures."""
        for file in Path(self.folder.name).iterdir() if self.folder is not None else ():
            if _OF_AN_ENCODE.match(file.name):
                file.unlink()

    def clear(self) -> None:
        self.key = self.bench = None
        folder, self.folder = self.folder, None
        if folder is not None:
            folder.cleanup()


_OF_AN_ENCODE = re.compile(r"[0-9a-f]{32}\b")

_shelves: defaultdict[tuple[str, int], _Shelf] = defaultdict(_Shelf)


@contextmanager
def _kept_bench(setup: Setup, unit: Unit, lane: int) -> Iterator[_Bench]:
    shelf = _shelves[setup.identity, lane]
    key = (unit.clip, unit.region, unit.factor)
    with shelf.lock:
        if shelf.key != key or shelf.bench is None:
            shelf.clear()
            prepared = prepared_clip(setup, unit.clip)
            shelf.folder = work_folder()
            shelf.bench = _Bench(setup, prepared, unit, Path(shelf.folder.name))
            shelf.key = key
        try:
            yield shelf.bench
        finally:
            shelf.tidy()


def let_go(setup: Setup) -> None:
    """Remove what this process keeps of a run."""
    for name in [name for name in _shelves if name[0] == setup.identity]:
        shelf = _shelves.pop(name)
        with shelf.lock:
            shelf.clear()


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
    decode_seconds : float
        CPU time of the decoder.
    """

    quality: dict[str, float | None]
    predictions: list[tuple[Backend, NDArray[np.float32]]]
    pictures: dict[str, bytes]
    decode_seconds: float = 0.0


class _Bench:
    """The downsampled pictures of one unit, and what is done with them for each condition."""

    def __init__(self, setup: Setup, prepared: Prepared, unit: Unit, folder: Path) -> None:
        self.setup, self.prepared, self.unit, self.folder = setup, prepared, unit, folder
        self.margin = face_margin(backends_of(setup)) if unit.region == "face" else 0.0
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
        low_pixels = self.low.width * self.low.height * self.low.frames
        self.limit = pass_limit(low_pixels, setup.time_limit)
        self.context = Context(unit.factor, unit.region, self.face_px, float(prepared.timeline.fps))

    def one(self, condition: Condition, result: UnitResult) -> tuple[str, dict[str, float]]:
        """Carry out one condition: its encode's name, and the CPU seconds of encoding and decoding by column."""
        row = self._row(condition)
        bits_by_frame: tuple[int, ...] = ()
        cpu: dict[str, float] = {}
        groups: list[dict[str, str | int | float]] = []
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
                self.limit,
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
                return str(row["encode"]), cpu
            bits_by_frame = encoded.bits.frames
            row.update(self._bits(encoded, profile, condition))
            groups = by_layer(encoded.pictures)
            seen = self._decoded(encoded, profile)
            cpu = {"encode_cpu_seconds": encoded.cpu_seconds, "decode_cpu_seconds": seen.decode_seconds}
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
        if groups:
            result.add("coded", *({"encode": row["encode"], **group} for group in groups))
        result.add("encodes", row)
        return str(row["encode"]), cpu

    def _decoded(self, encoded: coder.Encoded, profile: Profile) -> _Seen:
        """Beyond what an encoder can reach, rates end in one and the same stream: it is looked at once."""
        key = (profile.format, encoded.digest)
        if key not in self._seen:
            decoded = coder.decode(
                encoded, profile, self.geometry.low, self.prepared.frames, self.folder, self.limit
            )
            coded = psnr(mean_squared_error(self.low, decoded.planes))
            seen = self._watch(decoded.planes)
            quality = {"psnr_coded": coded, **seen.quality}
            self._seen[key] = dataclasses.replace(seen, quality=quality, decode_seconds=decoded.cpu_seconds)
        return self._seen[key]

    def _row(self, condition: Condition) -> dict[str, Any]:
        prepared, geometry, size = self.prepared, self.geometry, self.setup.face_size
        profile = self.setup.profiles[condition.codec].digest if condition.coded else None
        identity = [
            STAGE,
            prepared.clip.name,
            prepared.source,
            *(condition.region, condition.factor, condition.codec, condition.variant),
            *(condition.mode, condition.rate, profile, self._build(condition)),
            # Only where there is any: the rows of all others keep their names.
            *([self.margin] if self.margin else []),
            *([{"boxes": "decoded"}] if self._finds_by_itself else []),
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
            "box_bits": self._box_bits,
            "face_px": self.face_px,
            "width": geometry.low[0],
            "height": geometry.low[1],
            "timing": prepared.timeline.timing,
            "masked_frames": int((~prepared.track.mask).sum()),
            "source": prepared.source,
            "build": self._build(condition),
        }

    @property
    def _finds_by_itself(self) -> bool:
        """Whether faces are looked for in what was decoded."""
        return self.unit.region == "frame" and self.setup.boxes == "decoded"

    @property
    def _box_bits(self) -> int | None:
        """What sending the boxes would cost: nothing where none are sent."""
        if self.unit.region == "face":
            return None
        return 0 if self._finds_by_itself else self.prepared.track.box_bits

    def _build(self, condition: Condition) -> str:
        """What made a stream, and decoded it."""
        encoder = self.setup.programs.get(f"encoder of {condition.codec}", "")
        return " ".join(filter(None, (binary.build(), binary.fingerprint(), encoder)))

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
            "container_bits": bits.container,
            "parameter_bits": bits.parameter,
            "adaptation_bits": bits.adaptation,
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

    def _sample(
        self, decoded: Planes, seen: Mapping[Input, NDArray[np.uint8]], track: FaceTrack
    ) -> dict[str, bytes]:
        """One frame as recorded, as decoded, as the first recogniser saw it, and as restored, as PNG."""
        backends = backends_of(self.setup)
        wanted = backends[0].input
        crop = None if self.unit.region == "face" else track.crop(wanted.margin)
        if self._source_png is None:
            whole = Geometry(*self.geometry.padded, 1)
            sent = None if crop is None else self.prepared.track.crop(wanted.margin)
            source = face_rgb(self.full, self._middle, whole, sent)
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
        backends = backends_of(self.setup)
        track, context, boxes = prepared.track, self.context, {}
        if self._finds_by_itself:
            track, looks, misses = decoded_track(decoded, self.geometry, prepared, self.setup.detector)
            context = dataclasses.replace(context, face_px=track.face_px / self.unit.factor)
            boxes = {"box_looks": looks, "box_misses": misses}
        predictions: list[tuple[Backend, NDArray[np.float32]]] = []
        quality: dict[str, float | None] = {}
        sampled = self.unit.clip == self.setup.sample
        middle: dict[Input, NDArray[np.uint8]] = {}
        for wanted in dict.fromkeys(backend.input for backend in backends):
            first = not quality
            crop = None if self.unit.region == "face" else track.crop(wanted.margin)
            tally = Tally(self.full, self.geometry.width, self.geometry.height) if first else None
            pictures = views(decoded, self.geometry, crop, wanted, tally)
            if sampled:
                pictures = noting(pictures, self._middle, wanted, middle)
            sharing = [backend for backend in backends if backend.input == wanted]
            found = predict(sharing, context, prepared, pictures)
            predictions += zip(sharing, found, strict=True)
            if tally is not None:
                quality["psnr"] = tally.psnr
        sample = self._sample(decoded, middle, track) if sampled else {}
        return _Seen({**quality, **boxes}, predictions, sample)

    def _score(
        self, seen: _Seen, row: dict[str, Any], bits: tuple[int, ...]
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        prepared = self.prepared
        scores: list[dict[str, Any]] = []
        blobs: list[dict[str, Any]] = []
        for backend, values in seen.predictions:
            gold, values = compared(gold_of(self.setup, prepared, backend), values)
            scores += score_rows(backend, gold, values)
            arrays: dict[str, NDArray[Any]] = {
                "prediction": values,
                "gold": gold.values,
                "mask": prepared.track.mask,
                "times": prepared.timeline.times,
                "bits": np.array(bits, dtype=np.int64),
                "outputs": np.array(backend.classes or backend.targets),
                "targets": np.array(gold.targets),
                **({} if gold.threshold is None else {"threshold": np.array(gold.threshold)}),
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


def _fail(result: UnitResult, clip: str, condition: Condition, error: Exception) -> None:
    reason = " ".join(str(error).split())
    result.add("failures", {"clip": clip, **dataclasses.asdict(condition), "reason": reason})
