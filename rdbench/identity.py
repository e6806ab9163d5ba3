"""What decides the rows of a run, as texts that are stored with it and compared before anything is called done.

A run is one experiment, computed by one set of programs: where any of these is another one now, the run is refused, and
both sides are named. Clips are known one by one: of a clip that is not as it was, the rows are made anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["PROGRAMS", "SESSIONS", "Identity", "change_of", "content_of", "differences"]

Identity = Mapping[str, str]
"""Texts by what they are about."""

PROGRAMS = "programs"
"""The part that names what computed the rows; runs of earlier versions lack it."""

SESSIONS = "sessions"
"""What a run says of each call that computed a part of it; never compared."""

OPTIONAL = ("cohort", "detector", "face_margin")
"""Parts that only some runs have: one that had them is another run than one without, and the other way round."""

_LONGEST = 80


def differences(there: Identity, now: Identity) -> list[str]:
    """Each part of a run's identity that is another one now, with both sides; parts of no version today are let be."""
    parts = dict.fromkeys((*now, *OPTIONAL))
    return [
        f"{part}: {change_of(there.get(part), now.get(part))}"
        for part in parts
        if there.get(part) != now.get(part)
    ]


def change_of(before: str | None, after: str | None) -> str:
    """What differs between two texts; of two JSON objects the parts that do."""
    try:
        there, now = json.loads(before or ""), json.loads(after or "")
    except ValueError:
        there = now = None
    if isinstance(there, dict) and isinstance(now, dict):
        names = [name for name in sorted({*there, *now}) if there.get(name) != now.get(name)]
        return ", ".join(f"{name} {_json(there, name)} there, {_json(now, name)} now" for name in names[:3])
    return f"{_short(before)} there, {_short(after)} now"


def content_of(*parts: str | bytes | NDArray[Any] | Iterable[str] | None) -> str:
    """Content hash (16 hex digits) of parts in their order; where one ends and the next begins counts, too."""
    digest = hashlib.sha256()
    for part in parts:
        if part is None:
            data = b"-"
        elif isinstance(part, np.ndarray):
            data = f"{part.dtype.str} {part.shape} ".encode() + np.ascontiguousarray(part).tobytes()
        elif isinstance(part, bytes):
            data = part
        else:
            data = json.dumps(part if isinstance(part, str) else list(part)).encode()
        digest.update(f"{len(data)}:".encode() + data)
    return digest.hexdigest()[:16]


def _json(values: Mapping[str, Any], name: str) -> str:
    return _short(json.dumps(values[name]) if name in values else None)


def _short(text: str | None) -> str:
    words = "nothing" if text is None else text
    return words if len(words) <= _LONGEST else words[: _LONGEST - 3] + "..."
