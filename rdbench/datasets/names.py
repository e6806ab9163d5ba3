"""What sets are called: known before anything is read, so that a help text need not load a reader."""

from __future__ import annotations

__all__ = ["NAMES", "PACKAGES"]

PACKAGES = (
    *("avec2016", "recola", "affwild2", "affwild2:expr", "affwild2:au", "afew-va", "ck+", "ck+:au"),
    *("ravdess", "crema-d", "mead"),
)
"""Sets that others publish; each lies in a folder of its own."""

NAMES = ("synthetic", "synthetic:720p", *PACKAGES)
