"""Which packages are installed: told without importing any of them, since the missing ones could not be."""

from __future__ import annotations

import re
from importlib import metadata

__all__ = ["installed", "required"]


def required() -> list[str]:
    """Names of the packages that rdbench cannot do without, as its own metadata has them."""
    try:
        asked = metadata.requires("rdbench") or []
    except metadata.PackageNotFoundError:
        return []
    return [re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for line in asked if "extra ==" not in line]


def installed(names: list[str]) -> tuple[list[str], bool]:
    """A line for each package, and whether all are there."""
    lines, good = [], True
    for name in names:
        try:
            lines.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            good = False
            lines.append(f"{name}: missing; install it with pip install {name}")
    return lines, good
