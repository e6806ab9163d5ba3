"""Where rendered clips, found faces and other things that can be made again are kept."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["cache_dir"]


def cache_dir() -> Path:
    """Return the folder for everything that can be made again; it may not exist yet.

    ``$RDBENCH_CACHE`` where it is set and not empty, else ``rdbench`` in the user's cache folder:
    ``$XDG_CACHE_HOME`` or ``~/.cache``, on macOS ``~/Library/Caches``. The XDG base directory specification
    asks for relative values of its variable to be ignored.

    Returns
    -------
    Path
        An absolute path.
    """
    if chosen := os.environ.get("RDBENCH_CACHE"):
        return Path(chosen).expanduser().absolute()
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(xdg):
        return Path(xdg) / "rdbench"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "rdbench"
    return Path.home() / ".cache" / "rdbench"
