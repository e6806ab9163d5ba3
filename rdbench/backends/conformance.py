"""Whether a back-end keeps to the protocol; for the tests of those that ship and of those that others write."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from rdbench.backends.protocol import (
    Backend,
    Context,
    Input,
    descriptor_length,
    detects_units,
    outputs_of,
)

__all__ = ["check_backend"]

FRAMES = 70
"""More than the 64 frames that a sweep hands over at once."""

CONTEXTS = (Context(1, "face", 96.0, 25.0), Context(16, "frame", 6.5, 30000 / 1001))


def check_backend(backend: Backend, *, tolerance: float = 1e-4) -> list[str]:
    """Try a back-end on invented pictures and list what it should do otherwise.

    It is held to what a sweep relies on: what it says of itself, one finite prediction for each frame in any
    batch, also an empty one, probabilities where it has classes, the same answers again, nothing kept from one
    segment to the next, and answers that do not depend on where a recording is cut into batches. A back-end
    that has a memory passes all of this too.

    Parameters
    ----------
    backend : Backend
    tolerance : float
        How far answers may differ between batches: arithmetic may, behaviour may not.

    Returns
    -------
    list of str
        One sentence for each fault; empty where there is none.
    """
    said = list(_said(backend))
    if said:
        return said
    frames = _pictures(backend.input, FRAMES)
    faults: list[str] = []
    for context in CONTEXTS:
        for fault in _tried(backend, context, frames, tolerance):
            if fault not in faults:
                faults.append(fault)
    return faults


def _said(backend: Backend) -> Iterator[str]:
    """What is wrong with what it says of itself."""
    for attribute in ("name", "input", "targets", "classes", "weights", "trained_on", "start"):
        if not hasattr(backend, attribute):
            yield f"it has no attribute '{attribute}'"
            return
    if not isinstance(backend.name, str) or not backend.name.strip():
        yield f"its name should be a text, but is {backend.name!r}"
    if not isinstance(backend.input, Input):
        yield f"its input should be a rdbench.backends.protocol.Input, but is {backend.input!r}"
    elif backend.input.size < 1 or backend.input.colour not in ("luma", "rgb") or backend.input.margin < 0:
        yield f"its input should be at least 1 pixel of luma or rgb, and is {backend.input}"
    for what, names in (("targets", backend.targets), ("classes", backend.classes)):
        if not isinstance(names, tuple) or not all(isinstance(name, str) and name for name in names):
            yield f"its {what} should be a tuple of texts, but are {names!r}"
            return
        if len(set(names)) < len(names):
            yield f"its {what} should differ, but are {', '.join(names)}"
    if not backend.targets:
        yield "it should have a target"
    if backend.classes and (len(backend.targets) != 1 or len(backend.classes) < 2):
        yield "with classes it should have one target and at least two classes"
    if backend.classes and detects_units(backend):
        yield "it should give classes or units, not both"
    if descriptor_length(backend) and (backend.classes or len(backend.targets) != 1):
        yield "with descriptors it should have one target, their similarity, and no classes"
    if backend.weights != "none" and not re.fullmatch(r"[0-9a-f]{16}", str(backend.weights)):
        yield f"its weights should be 16 hex digits or 'none', but are {backend.weights!r}"
    if not isinstance(backend.trained_on, str) or not backend.trained_on.strip():
        yield "it should say what it was trained on"


def _tried(
    backend: Backend, context: Context, frames: NDArray[np.float32], tolerance: float
) -> Iterator[str]:
    """What is wrong with what it does."""
    outputs = outputs_of(backend)
    before = frames.copy()
    whole = np.asarray(backend.start(context)(frames))
    if not np.array_equal(frames, before):
        yield "it changes the frames that it is given"
    if whole.shape != (len(frames), outputs):
        yield f"for {len(frames)} frames it gave {whole.shape}, not ({len(frames)}, {outputs})"
        return
    if not np.issubdtype(whole.dtype, np.floating):
        yield f"its predictions should be floating point, but are {whole.dtype}"
    if not np.isfinite(whole).all():
        yield "it gave NaN or infinite predictions"
        return
    if backend.classes and (whole.min() < -1e-6 or np.abs(whole.sum(axis=1) - 1).max() > 1e-3):
        yield "its classes should be probabilities that add up to 1"
    if detects_units(backend) and (whole.min() < 0 or whole.max() > 1):
        yield "its units should be probabilities, from 0 to 1"
    empty = np.asarray(backend.start(context)(frames[:0]))
    if empty.shape != (0, outputs):
        yield f"for no frame it gave {empty.shape}, not (0, {outputs})"
    if not np.array_equal(np.asarray(backend.start(context)(frames)), whole):
        yield "the same frames should give the same predictions again, to the last digit"
    used = backend.start(context)
    used(frames[::-1].copy())
    if not np.array_equal(np.asarray(backend.start(context)(frames)), whole):
        yield "a new segment should start without anything from the one before"
    for cut in (1, 64):
        parts = _in_parts(backend.start(context), frames, cut)
        if parts.shape != whole.shape or np.abs(parts - whole).max() > tolerance:
            yield f"batches of {cut} should give what one batch gives, within {tolerance:g}"


def _in_parts(
    session: Callable[[NDArray[np.float32]], NDArray[np.float64]], frames: NDArray[np.float32], cut: int
) -> NDArray[np.float64]:
    return np.concatenate(
        [np.asarray(session(frames[at : at + cut])) for at in range(0, len(frames), cut)], axis=0
    )


def _pictures(wanted: Input, count: int) -> NDArray[np.float32]:
    """Smooth pictures in 0..1, each another one."""
    colours = 1 if wanted.colour == "luma" else 3
    rng = np.random.default_rng(0)
    place = np.linspace(0, 1, wanted.size)
    waves = rng.uniform(1, 6, (2, count, 1, 1, colours))
    phase = rng.uniform(0, 2 * np.pi, (count, 1, 1, colours))
    across, down = place[None, None, :, None], place[None, :, None, None]
    pictures = 0.5 + 0.4 * np.sin(waves[0] * across + waves[1] * down + phase)
    shape = (count, wanted.size, wanted.size) + ((3,) if colours == 3 else ())
    return pictures.reshape(shape).astype(np.float32)
