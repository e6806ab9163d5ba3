"""The progress of a run: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rdbench.sweep.loop import Progress

__all__ = ["ProgressLine"]


class ProgressLine:
    """A bar with the time left on a terminal, plain lines elsewhere."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._bar: Any = None
        self._told = 0.0

    def __enter__(self) -> Callable[[Progress, str | None], None]:
        if self._stream.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("encodes"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=Console(file=self._stream),
            )
            self._task = self._bar.add_task("encodes", total=None)
            self._bar.start()
        return self._report

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _report(self, progress: Progress, text: str | None) -> None:
        if self._bar is not None:
            self._bar.update(self._task, total=progress.total, completed=progress.done)
            if text:
                self._bar.console.print(text, markup=False, highlight=False)
            return
        if text:
            click.echo(text, err=True)
        now = time.monotonic()
        if now - self._told >= 10 or (progress.done == progress.total and text is None):
            self._told = now
            click.echo(f"{progress.done} of {progress.total} encodes", err=True)
