"""Back-ends that watch one encode's pictures, in batches that depend on nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rdbench.backends.protocol import Backend, Context, Input, Session, outputs_of
from rdbench.errors import EncodeError, RdbenchError
from rdbench.video.prepared import Prepared

__all__ = ["INFERENCE_BATCH", "Audience", "as_float", "noting", "predict", "shown"]


INFERENCE_BATCH = 64


def noting(
    pictures: Iterator[NDArray[np.uint8]], index: int, wanted: Input, noted: dict[Input, NDArray[np.uint8]]
) -> Iterator[NDArray[np.uint8]]:
    """Pass pictures on, having noted one of them under what its viewers want to see."""
    at = 0
    for chunk in pictures:
        if at <= index < at + len(chunk):
            noted[wanted] = chunk[index - at].copy()
        at += len(chunk)
        yield chunk


def predict(
    backends: list[Backend], context: Context, prepared: Prepared, pictures: Iterator[NDArray[np.uint8]]
) -> list[NDArray[np.float32]]:
    """Predictions of back-ends that see the same pictures: (frames, k) each, NaN where nothing is scored.

    Batches are cut by the encode alone, since the last digits of a network's answer may change with the batch.
    """
    segments = prepared.track.segment
    found = [
        np.full((prepared.frames, outputs_of(backend)), np.nan, dtype=np.float32) for backend in backends
    ]
    at = 0
    audience: Audience | None = None
    current = -1
    for chunk in pictures:
        for picture in chunk:
            segment = int(segments[at]) if at < prepared.frames else -1
            if segment >= 0:
                if audience is None or segment != current:
                    if audience is not None:
                        audience.answer(found)
                    audience = Audience(backends, context)
                    current = segment
                audience.show(picture, at)
            at += 1
    if audience is not None:
        audience.answer(found)
    if at != prepared.frames:
        raise EncodeError(f"{at} decoded frames reached the recogniser, {prepared.frames} were coded")
    return found


class Audience:
    """Back-ends in one scoring segment: shown pictures in batches, equal ones once where frames are independent."""

    def __init__(self, backends: list[Backend], context: Context) -> None:
        self.backends = backends
        self.sessions: list[Session] = [backend.start(context) for backend in backends]
        self.once = all(backend.input.independent for backend in backends)
        self.known: dict[bytes, int] = {}
        self.held: list[NDArray[np.uint8]] = []
        self.shown = 0
        self.places: list[int] = []
        self.numbers: list[int] = []
        self.answers: list[list[NDArray[np.float64]]] = [[] for _ in backends]

    def show(self, picture: NDArray[np.uint8], place: int) -> None:
        number = self.shown
        if self.once:
            digest = hashlib.blake2b(np.ascontiguousarray(picture).data, digest_size=16).digest()
            number = self.known.setdefault(digest, self.shown)
        self.places.append(place)
        self.numbers.append(number)
        if number == self.shown:
            self.shown += 1
            # A picture may be a view of many: held alone, it does not keep these.
            self.held.append(picture.copy() if self.once else picture)
            if len(self.held) == INFERENCE_BATCH:
                self._ask()

    def answer(self, found: list[NDArray[np.float32]]) -> None:
        """Fill in what was predicted in this segment."""
        self._ask()
        for values, answers in zip(found, self.answers, strict=True):
            values[self.places] = np.concatenate(answers)[self.numbers]

    def _ask(self) -> None:
        if not self.held:
            return
        batch = as_float(np.stack(self.held))
        for session, backend, answers in zip(self.sessions, self.backends, self.answers, strict=True):
            try:
                answer = np.asarray(session(batch))
            except RdbenchError:
                raise
            except Exception as error:  # other people's code: its failure is this encode's, not the run's
                raise EncodeError(
                    f"back-end {backend.name} failed: {type(error).__name__}: {' '.join(str(error).split())}"
                ) from error
            outputs = outputs_of(backend)
            if answer.shape != (len(self.held), outputs):
                raise EncodeError(
                    f"back-end {backend.name} gave predictions of shape {answer.shape} for {len(self.held)} frames "
                    f"and {outputs} outputs"
                )
            # Copied: a session may use its output array again.
            answers.append(np.array(answer))
        self.held.clear()


def shown(frame: NDArray[np.float32]) -> NDArray[np.uint8]:
    """One frame of luma or RGB in 0..1 as a picture to look at."""
    return (255 * frame[0] + 0.5).astype(np.uint8)


def as_float(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    if pictures.ndim == 4:
        return pictures.astype(np.float32) / np.float32(255)
    return np.clip((pictures.astype(np.float32) - 16) / np.float32(219), 0, 1)
