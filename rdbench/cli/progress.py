"""The progress of a run: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rdbench.sweep.loop import Progress

__all__ = ["ProgressLine", "duration"]

FIRST, EARLY, LATER = 4.0, 5, 10.0
"""Seconds between the first lines, how many these are, and between those that follow."""


class ProgressLine:
    """A bar with the time left on a terminal, plain lines elsewhere."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._bar: Any = None
        self._told = float("-inf")
        self._lines = 0
        self._finished = False

    def __enter__(self) -> Callable[[Progress, str | None], None]:
        if self._stream.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("encodes"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rest]}"),
                console=Console(file=self._stream),
            )
            self._task = self._bar.add_task("encodes", total=None, rest="")
            self._bar.start()
        return self._report

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _report(self, progress: Progress, text: str | None) -> None:
        if self._bar is not None:
            self._bar.update(self._task, total=progress.total, completed=progress.done, rest=_rest(progress))
            if text:
                self._bar.console.print(text, markup=False, highlight=False)
            return
        if text:
            click.echo(text, err=True)
        now = time.monotonic()
        finished = progress.done == progress.total and text is None
        due = FIRST if self._lines < EARLY else LATER
        if now - self._told >= due or (finished and not self._finished):
            self._told, self._lines, self._finished = now, self._lines + 1, finished
            rest = _rest(progress)
            click.echo(f"{progress.done} of {progress.total} encodes{', ' + rest if rest else ''}", err=True)


def _rest(progress: Progress) -> str:
    """Time left and what has run longest, in words; empty before anything runs and when all is done."""
    if progress.done == progress.total:
        return ""
    parts = [] if progress.left is None else [f"about {duration(progress.left)} left"]
    return "; ".join([*parts, *([f"longest: {progress.longest}"] if progress.longest else [])])


def duration(seconds: float) -> str:
    """Seconds in words, as coarse as they are known."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
