"""Options and types of parameters that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

__all__ = [
    "FORMATS",
    "METRIC",
    "PACKAGE",
    "RUN",
    "FiniteRate",
    "OneOf",
    "Resamples",
    "Share",
    "tables_options",
    "words",
]


class FiniteRate(click.ParamType):
    """A rate: finite and not negative; click's own FloatRange takes NaN and infinity."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Give the number."""
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number.", param, ctx)
        if not math.isfinite(number) or number < 0:
            self.fail(f"{value!r} is not a finite rate of 0 or more.", param, ctx)
        return number


class Resamples(click.IntRange):
    """How many times a bootstrap draws: not at all, or twice and more, since one draw has no spread."""

    def __init__(self) -> None:
        super().__init__(0, 100_000)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Give the number."""
        number = int(super().convert(value, param, ctx))
        if number == 1:
            self.fail("one resample has no spread; ask for 0 or for 2 and more.", param, ctx)
        return number


FORMATS = ("table", "csv", "json", "markdown")


RUN = click.Path(path_type=Path)


class Share(click.ParamType):
    """A tolerance such as ``1%`` or ``0.01``, or ``none``."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        """Give the share: 0.01 for 1 %; None for none."""
        from rdbench.gate.check import parse_share

        return parse_share(str(value))


class OneOf(click.ParamType):
    """One of some names, which are only loaded where they are shown or held against.

    Parameters
    ----------
    name : str
    known : callable
        Gives the names.
    """

    def __init__(self, name: str, known: Callable[[], tuple[str, ...]]) -> None:
        self.name = name
        self._known = known

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Give the name."""
        return str(click.Choice(self._known()).convert(value, param, ctx))

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """The names, for the help."""
        return f"[{'|'.join(self._known())}]"


def _metrics() -> tuple[str, ...]:
    from rdbench.measures import METRICS

    return METRICS


def _packages() -> tuple[str, ...]:
    from rdbench.datasets.names import PACKAGES

    return PACKAGES


METRIC = OneOf("metric", _metrics)
PACKAGE = OneOf("package", _packages)


def tables_options(command: Any) -> Any:
    """Options that every command on curves has."""
    for option in (
        click.option("--metric", type=METRIC, help="Instead of each target's own; others take no part."),
        click.option(
            "--bits",
            type=click.Choice(["payload", "stream"]),
            default="payload",
            show_default=True,
            help="Bits that make the rate: what a decoder needs, or the whole elementary stream.",
        ),
        click.option(
            "--charge-boxes", is_flag=True, help="Add the face boxes' bits to the rate (region frame)."
        ),
        click.option("--partition", type=click.Choice(["train", "dev", "test"])),
    ):
        command = option(command)
    return command


def words(text: str) -> list[str]:
    """Words between commas, each once."""
    return list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
