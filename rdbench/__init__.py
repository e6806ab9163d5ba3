"""Rate-distortion benchmarking of recognition: how much accuracy does each bit of video buy?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rdbench.curves.run import Run, open_run

__all__ = ["Run", "__version__", "open_run"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load what is asked for, and pandas with it, only then."""
    if name in ("Run", "open_run"):
        from rdbench.curves import run

        return getattr(run, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
