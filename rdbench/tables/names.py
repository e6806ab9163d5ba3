"""Names of back-ends that were trained several times: ``max-mix@lite#3`` is ``max-mix@lite`` trained with seed 3.

A claim about a way of training is a claim about all its seeds, so tables keep them apart and join them by name.
"""

from __future__ import annotations

import re

__all__ = ["FIRST", "PLAIN", "folder_of", "split_seed"]

PLAIN = "plain"
"""The scoring key where nothing was done to predictions or gold."""


FIRST = 0
"""The seed that a name without ``#`` stands for."""

_SEEDED = re.compile(r"(?P<name>.+)#(?P<seed>[0-9]{1,18})")


def split_seed(backend: str) -> tuple[str, int]:
    """Split the name of a back-end into what was trained and its seed.

    Parameters
    ----------
    backend : str
        Such as "max-mix@lite" or "max-mix@lite#3".

    Returns
    -------
    tuple of (str, int)
        Name without seed, and the seed; `FIRST` where none is named.
    """
    found = _SEEDED.fullmatch(backend)
    return (found["name"], int(found["seed"])) if found else (backend, FIRST)


def folder_of(seed: int) -> str:
    """Folder inside a folder of weights that holds those of a seed; empty for `FIRST`, whose lie in the open."""
    return "" if seed == FIRST else f"seed-{seed}"
