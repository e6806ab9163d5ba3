"""LR-direct: a recogniser trained on faces of the very size that arrives, a specialist for each factor."""

from __future__ import annotations

from pathlib import Path

from rdbench.backends.protocol import Backend
from rdbench.backends.recognisers import open_recognisers

__all__ = ["open_backend"]


def open_backend(size: str | None, weights: Path | None, device: str) -> Backend:
    """Open ``direct@lite`` or ``direct@paper``; see `rdbench.backends.protocol.Opener`."""
    return open_recognisers("direct", size, weights, device)
