"""Claims about ways of training, as a file says them: each one sentence, and what it says as numbers.

A claim says that one family of back-ends (all seeds of one name) is better than another, or not worse by more
than a margin, at every factor, target and codec that it names. `rdbench.methods.findings` holds a file of them against tables.
"""

from __future__ import annotations

import unicodedata
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from rdbench.errors import InputError
from rdbench.files import Place, read_toml
from rdbench.measures import METRICS, higher_is_better
from rdbench.tables.names import split_seed
from rdbench.words import did_you_mean

__all__ = ["FALLING", "Claim", "load_claims", "shipped_claims"]

Factor = Annotated[int, Field(ge=1, le=64, strict=True)] | Literal["best"]


def _one_line(text: str) -> str:
    """What a claim says ends up in tables, Markdown and terminals, which would obey a control character."""
    found = next((c for c in text if unicodedata.category(c) in ("Cc", "Zl", "Zp")), None)
    if found is not None:
        raise ValueError(
            f"text without control characters is expected, but it holds {found!r}; leave that out"
        )
    return text


Text = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_one_line)]


MEASURES = (*METRICS, "bd-rate", *(f"bd-{metric}" for metric in METRICS))
"""What a claim may be about: a metric without a codec, or a delta of curves."""

FALLING = ("bd-rate", *(name for name in MEASURES if not higher_is_better(name.removeprefix("bd-"))))
"""Measures of which less is better."""


def _known(measure: str) -> str:
    if measure not in MEASURES:
        raise ValueError(f"a measure is one of {', '.join(MEASURES)}{did_you_mean(measure, MEASURES)}")
    return measure


class Claim(BaseModel):
    """One sentence, and what it says as numbers.

    Parameters
    ----------
    sentence : str
        For people; nothing is read from it. Like all text here one line, without control characters.
    better, than : str
        Two families of back-ends, such as "max-mix@lite": all seeds of that name.
    factors : tuple of int or "best"
        "best" is the envelope over all factors (BD alone).
    measure : str
        One of `rdbench.stats.metrics.METRICS`, or "bd-rate", or "bd-" and a metric: a delta of curves. "bd-rate" is at
        equal values of each target's main metric.
    margin : float
        What the advantage of `better` must exceed, in units of the measure (per cent of saved bits for
        "bd-rate"). Below 0 it is what may be lost: -0.03 says "not worse by 0.03".
    targets : tuple of str
        Empty for all.
    codecs : tuple of str
        For BD.
    region : {"face", "frame"}, optional
        By default face without a codec, frame for BD.
    variant, mode : str, optional
        For BD; by default all that both families have.
    gold, scoring : str
        As in the table `scores`.
    seeds : {"paired", "independent"}
        Whether seeds of one number share what they start from or learn from. Paired, they are left out together
        where both families have the very same ones.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sentence: Text
    better: Text
    than: Text
    factors: Annotated[tuple[Factor, ...], Field(min_length=1, max_length=64)]
    measure: Annotated[str, AfterValidator(_known)] = METRICS[0]
    margin: Annotated[float, Field(allow_inf_nan=False, strict=True)] = 0.0
    targets: tuple[Text, ...] = ()
    codecs: tuple[Text, ...] = ()
    region: Literal["face", "frame"] | None = None
    variant: Text | None = None
    mode: Text | None = None
    gold: Text = "labels"
    scoring: Text = "plain"
    seeds: Literal["paired", "independent"] = "paired"

    @field_validator("better", "than")
    @classmethod
    def _family(cls, name: str) -> str:
        if split_seed(name)[0] != name:
            raise ValueError(f"a claim is about all seeds, so leave out #{split_seed(name)[1]}")
        return name

    @model_validator(mode="after")
    def _whole(self) -> Claim:
        if self.better == self.than:
            raise ValueError("better and than are the same back-end")
        for name, values in (("factors", self.factors), ("targets", self.targets), ("codecs", self.codecs)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} has a value twice")
        if self.coded and not self.codecs:
            raise ValueError(f'{self.measure} needs codecs, such as codecs = ["x264"]')
        if not self.coded:
            given = [name for name in ("codecs", "variant", "mode") if getattr(self, name)]
            if given:
                raise ValueError(f"{self.measure} is measured without a codec, so leave out {given[0]}")
            if "best" in self.factors:
                raise ValueError(f"factor best is an envelope over rates, which {self.measure} does not have")
        return self

    @property
    def coded(self) -> bool:
        """Whether it is about curves."""
        return self.measure.startswith("bd-")

    @property
    def metric(self) -> str | None:
        """The metric that rows must give; None for BD-rate: each target's main one."""
        return None if self.measure == "bd-rate" else self.measure.removeprefix("bd-")

    @property
    def where(self) -> str:
        """The region that is compared."""
        return self.region or ("frame" if self.coded else "face")


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    claim: Annotated[tuple[Claim, ...], Field(min_length=1, max_length=1000)]


def shipped_claims() -> list[str]:
    """Names of the files of claims that ship."""
    folder = resources.files("rdbench") / "claim_files"
    return sorted(item.name for item in folder.iterdir() if item.name.endswith(".toml"))


def load_claims(name: str | Path) -> tuple[Claim, ...]:
    """Read claims: a file, or the name of one that ships.

    Raises
    ------
    InputError
        If there is none, or it is not valid; the text names all faults.
    """
    path = Path(name)
    file: Path | Traversable = path
    try:
        if not path.is_file():
            known = shipped_claims()
            if len(path.parts) != 1 or str(name) not in known:
                hint = did_you_mean(str(name), known)
                raise InputError(
                    f"No file of claims {str(name)!r}{hint}; those that ship: {', '.join(known)}."
                )
            file = resources.files("rdbench") / "claim_files" / str(name)
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror or error}.") from error
    return read_toml(file, _File, name=str(name), what="claims are a short TOML file", where=_where).claim


def _where(place: Place) -> str:
    """Words for a place in the file: claims are counted from 1."""
    number = f"claim {int(place[1]) + 1}" if len(place) > 1 and isinstance(place[1], int) else ""
    keys = [str(part) for part in place[2 if number else 0 :] if isinstance(part, str)]
    return ": ".join(part for part in (number, *keys[:1]) if part)
