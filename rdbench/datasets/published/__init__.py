"""Labelled sets of faces that others publish, read as they were unpacked.

A room reads one layout (or those of sets whose names of files say everything) and gives clips. `common` holds what they
share: partitions, classes, finding files.
"""

from __future__ import annotations

__all__: list[str] = []
