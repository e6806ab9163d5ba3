"""What to run: a validated TOML file, what the command line changes of it, and the grid of conditions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, Unpack

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    ValidationError,
    model_validator,
)

from rdbench.codecs.arguments import check_rate, pair_of
from rdbench.codecs.profiles import DEFAULT_VARIANT, EffortName, ModeName, Profiles
from rdbench.datasets.registry import is_embedded
from rdbench.errors import InputError
from rdbench.files import faults_of, read_toml
from rdbench.video.clip import FACE_SIZE
from rdbench.words import did_you_mean

__all__ = [
    "UNCODED",
    "Changes",
    "CodecChoice",
    "Condition",
    "DatasetChoice",
    "Experiment",
    "conditions",
    "load_experiment",
    "override",
    "shipped_experiments",
]

MAX_FACTOR = 64

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Factor = Annotated[int, Field(ge=1, le=MAX_FACTOR)]
# Strict, since `true` would be factor 1 and rate 1.
ListedFactor = Annotated[int, Field(ge=1, le=MAX_FACTOR, strict=True)]
Rate = Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False, strict=True)]
BoxesFrom = Literal["source", "decoded"]
Rates = Annotated[tuple[Rate, ...], Field(min_length=1, max_length=64)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetChoice(_Part):
    """Which clips.

    Parameters
    ----------
    name : str
        ``synthetic``, ``synthetic:720p``, ``avec2016``, ``recola``, or a folder's path.
    root : str, optional
        Where a package lies.
    partition : {"train", "dev", "test"}, optional
        None: test, unless only dev has labels.
    clips : tuple of str
        Names, or patterns with ``*``, ``?`` and ``[...]``; empty for all.
    seconds : float, optional
        Only the first seconds of each clip.
    interlaced : {"deinterlace", "keep", "refuse"}
        What is done with interlaced and telecined clips.
    links : {"refuse", "follow"}
        Whether symbolic links may lead out of a folder of clips.
    """

    name: Annotated[str, Field(min_length=1, max_length=4096)] = "synthetic"
    root: str | None = None
    partition: Literal["train", "dev", "test"] | None = None
    clips: tuple[str, ...] = ()
    seconds: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] | None = None
    interlaced: Literal["deinterlace", "keep", "refuse"] = "deinterlace"
    links: Literal["refuse", "follow"] = "refuse"


class CodecChoice(_Part):
    """One encoder with its settings, and the rates it is swept over.

    Parameters
    ----------
    name : str
        Of a profile.
    variant : str
    mode : {"abr", "2pass", "crf", "qp", "flat"}
    effort : {"fast", "medium", "slow"}, optional
        Class of CPU time, see docs/codecs.md; None: the profile's own preset. It becomes part of the variant's name
        in the tables, such as ``ra-fast``.
    rates : tuple of float, or dict of factor to tuple of float, optional
        kbit/s or quantisers; None takes the profile's own grid. No grid fits all factors: at 6x6 pixels a
        codec has hardly any range.
    """

    name: Name
    variant: Name = DEFAULT_VARIANT
    mode: ModeName = "abr"
    effort: EffortName | None = None
    rates: Rates | dict[Factor, Rates] | None = None

    @property
    def swept(self) -> str:
        """The variant as the tables name it."""
        return self.variant if self.effort is None else f"{self.variant}-{self.effort}"


class Experiment(_Part):
    """One run.

    Parameters
    ----------
    name : str
        Names the run's folder.
    dataset : DatasetChoice
    region : tuple of {"face", "frame"}
    face_size : int
        Side in pixels of what is coded in region "face" at factor 1, even, 32 to 1024.
    factors : tuple of int
        Downsampling factors, 1 to 64.
    uncoded : bool
        Also score the pictures that were downsampled and never encoded.
    codecs : tuple of CodecChoice
    backends : tuple of str
        ``NAME`` or ``NAME@SIZE``.
    reference : str, optional
        The back-end whose predictions on pristine frames are the gold of unlabelled clips; None: each
        back-end's own.
    boxes : {"source", "decoded"}
        Where region "frame" finds faces: in the source, as if sent beside the video, or in what was decoded.
    """

    name: Name
    description: str = ""
    dataset: DatasetChoice = DatasetChoice()
    region: Annotated[tuple[Literal["face", "frame"], ...], Field(min_length=1)] = ("frame",)
    face_size: Annotated[int, Field(ge=32, le=1024, multiple_of=2, strict=True)] = FACE_SIZE
    factors: Annotated[tuple[ListedFactor, ...], Field(min_length=1)] = (1, 2, 3, 4, 6, 8, 12, 16)
    uncoded: bool = True
    codecs: tuple[CodecChoice, ...] = ()
    backends: Annotated[tuple[str, ...], Field(min_length=1)] = ("direct@lite",)
    reference: str | None = None
    boxes: BoxesFrom = "source"

    _shipped: bool = PrivateAttr(default=False)
    _notes: tuple[str, ...] = PrivateAttr(default=())

    @property
    def notes(self) -> tuple[str, ...]:
        """What options of the command line brought along, in sentences."""
        return self._notes

    @model_validator(mode="after")
    def _faces_are_coded(self) -> Experiment:
        if self.face_size != FACE_SIZE and "face" not in self.region:
            raise ValueError(
                "face_size (--face-size) is the size of what is coded in region face, but only whole frames are coded; "
                "add region face"
            )
        if self.boxes == "decoded" and "frame" not in self.region:
            raise ValueError(
                "boxes (--boxes) are looked for in decoded whole frames, and region face codes the box itself; add region frame"
            )
        return self

    def text(self) -> str:
        """Canonical JSON: equal experiments give equal text."""
        # What was always so is not told: runs from before it could be chosen go on.
        content = self.model_dump(mode="json", exclude={"description": True, "dataset": {"links"}})
        if self.face_size == FACE_SIZE:
            del content["face_size"]
        if self.boxes == "source":
            del content["boxes"]
        if self.dataset.interlaced == "deinterlace":
            del content["dataset"]["interlaced"]
        for choice in content["codecs"]:
            if choice["effort"] is None:
                del choice["effort"]
        return json.dumps(content, sort_keys=True)


@dataclass(frozen=True, order=True)
class Condition:
    """Region, factor, codec, variant, mode and rate, as in the table `encodes`."""

    region: str
    factor: int
    codec: str
    variant: str
    mode: str
    rate: float

    @property
    def coded(self) -> bool:
        """False for pictures that are downsampled only."""
        return self.codec != "none"


UNCODED = ("none", "none", "none", 0.0)


def shipped_experiments() -> dict[str, str]:
    """Names of the experiments that ship, and what each is for."""
    folder = resources.files("rdbench") / "experiments"
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(".toml"))
    return {name.removesuffix(".toml"): load_experiment(name).description for name in names}


def load_experiment(name: str | Path) -> Experiment:
    """Read an experiment: a file, or the name of one that ships.

    Raises
    ------
    InputError
        If there is none, or it is not valid; the text names all faults.
    """
    path = Path(name)
    shipped = resources.files("rdbench") / "experiments"
    stem = path.name.removesuffix(".toml")
    file: Path | Traversable = path
    try:
        if not path.is_file():
            file = shipped / f"{stem}.toml"
            if len(path.parts) != 1 or not file.is_file():
                known = sorted(item.name for item in shipped.iterdir() if item.name.endswith(".toml"))
                hint = did_you_mean(f"{stem}.toml", known) if len(path.parts) == 1 else ""
                raise InputError(
                    f"No experiment {str(name)!r}{hint or '.'} Those that ship: {', '.join(known)}."
                )
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror or error}.") from error
    what = "an experiment is a short TOML file"
    experiment = read_toml(file, Experiment, name=str(name), what=what, defaults={"name": stem})
    experiment._shipped = file is not path
    return experiment


class Changes(TypedDict, total=False):
    """What the command line may change of an experiment; what is left out, empty or None stays as it is.

    Parameters
    ----------
    dataset, root, partition : str or None
        See `DatasetChoice`.
    regions, factors, backends, codecs, variants : sequence
    mode : str or None
        Of every codec.
    rates : sequence of float
        Of every codec.
    reference : str or None
    face_size : int or None
    clips : sequence of str
    seconds : float or None
    effort : str or None
        Of every codec.
    boxes : str or None
    follow_links : bool
    """

    dataset: str | None
    root: str | None
    partition: str | None
    regions: Sequence[str]
    factors: Sequence[int]
    codecs: Sequence[str]
    variants: Sequence[str]
    mode: str | None
    rates: Sequence[float]
    backends: Sequence[str]
    reference: str | None
    face_size: int | None
    clips: Sequence[str]
    seconds: float | None
    follow_links: bool
    effort: str | None
    boxes: str | None


def override(experiment: Experiment, **changes: Unpack[Changes]) -> Experiment:
    """Change an experiment by options of the command line.

    An option changes what it names. What must follow is told in `Experiment.notes`: another dataset drops the selection
    of clips, and a mode or variant the rates of another one. A changed codec or factor without rates takes that codec's
    own grid. Bitrates of an experiment that ships were found on the embedded set in its own region: elsewhere it is
    swept in `crf` unless a mode or rates are given. An experiment of the user's keeps its modes and rates.

    Parameters
    ----------
    experiment : Experiment
    **changes
        See `Changes`.

    Raises
    ------
    InputError
        If the outcome is not a valid experiment.
    """
    data = experiment.model_dump()
    notes = _choose_clips(data["dataset"], changes, experiment)
    if factors := changes.get("factors"):
        data["factors"] = tuple(dict.fromkeys(factors))
    if backends := changes.get("backends"):
        data["backends"] = tuple(dict.fromkeys(backends))
    if regions := changes.get("regions"):
        data["region"] = tuple(dict.fromkeys(regions))
    for name in ("reference", "face_size", "boxes"):
        if (value := changes.get(name)) is not None:
            data[name] = value
    mode, rates = changes.get("mode"), changes.get("rates", ())
    listed = [choice.model_dump() for choice in experiment.codecs]
    data["codecs"] = _codecs(listed, changes.get("codecs", ()), changes.get("variants", ()), mode, rates)
    if changes.get("effort") is not None:
        for choice in data["codecs"]:
            choice["effort"] = changes["effort"]
    notes += _lost_rates(listed, data["codecs"], rates)
    if experiment._shipped and not rates:
        notes += _leave_bitrates(data, experiment, changes)
    try:
        changed = Experiment.model_validate(data)
    except ValidationError as error:
        raise InputError(f"These options make no experiment: {faults_of(error, Experiment)}.") from error
    changed._shipped, changed._notes = experiment._shipped, (*experiment.notes, *notes)
    return changed


def _choose_clips(chosen: dict[str, Any], changes: Changes, experiment: Experiment) -> list[str]:
    """Change which clips are taken; what has to go with that, in sentences."""
    before = dict(chosen)
    dataset, root, partition = changes.get("dataset"), changes.get("root"), changes.get("partition")
    if dataset is not None:
        chosen.update(name=dataset, root=None, clips=())
        if experiment._shipped:
            # Chosen for the embedded set alone.
            chosen.update(seconds=None, partition=None)
    if root is not None:
        chosen["root"] = root
    if partition is not None and partition != chosen["partition"]:
        chosen.update(partition=partition, clips=())
    if clips := changes.get("clips"):
        chosen["clips"] = tuple(dict.fromkeys(clips))
    if (seconds := changes.get("seconds")) is not None:
        chosen["seconds"] = seconds
    if changes.get("follow_links"):
        chosen["links"] = "follow"
    gone = [name for name in ("clips", "seconds") if before[name] and not chosen[name]]
    what = f"--dataset {dataset}" if dataset is not None else f"--partition {partition}"
    return [f"{what}: the experiment's {' and '.join(gone)} are left out."] if gone else []


def _lost_rates(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], rates: Sequence[float]
) -> list[str]:
    """Of codecs whose rates went with their mode or variant, a sentence each."""
    had = {choice["name"]: choice for choice in reversed(before) if choice["rates"]}
    lost = [choice for choice in after if not rates and choice["rates"] is None and choice["name"] in had]
    return [
        f"{choice['name']}: its rates were for {had[choice['name']]['variant']} {had[choice['name']]['mode']}; in "
        f"{choice['variant']} {choice['mode']} it takes its own grid (--rate gives others)."
        for choice in lost
    ]


def _leave_bitrates(data: dict[str, Any], experiment: Experiment, changes: Changes) -> list[str]:
    """No grid of bitrates fits all pictures: those of an experiment that ships serve where they were found."""
    dataset, mode = changes.get("dataset"), changes.get("mode")
    elsewhere = dataset is not None and not is_embedded(dataset) and mode is None
    if not elsewhere and set(data["region"]) == set(experiment.region):
        return []
    moved = [choice for choice in data["codecs"] if choice["mode"] in ("abr", "2pass")]
    for choice in moved:
        choice.update(rates=None, mode=mode or "crf")
    names = ", ".join(dict.fromkeys(str(choice["name"]) for choice in moved))
    where = f"dataset {dataset}" if elsewhere else f"region {', '.join(data['region'])}"
    text = (
        f"The bitrates of {experiment.name} were found elsewhere: in {where} {names} is swept in {mode or 'crf'} over its "
        "own grid; --mode and --rate say otherwise."
    )
    return [text] if moved else []


def _codecs(
    listed: list[dict[str, object]],
    codecs: Sequence[str],
    variants: Sequence[str],
    mode: str | None,
    rates: Sequence[float],
) -> list[dict[str, object]]:
    if codecs:
        known = {str(choice["name"]): choice for choice in reversed(listed)}
        first = listed[0] if listed else {"mode": "abr"}
        listed = [
            known.get(name, {"name": name, "mode": first["mode"], "rates": None})
            for name in dict.fromkeys(codecs)
        ]
    result = []
    for choice in listed:
        for variant in variants or (choice.get("variant", DEFAULT_VARIANT),):
            changed = {**choice, "variant": variant}
            if variant != choice.get("variant", DEFAULT_VARIANT):
                changed["rates"] = None
            if mode is not None and mode != changed["mode"]:
                changed.update(mode=mode, rates=None)
            if rates:
                changed["rates"] = tuple(dict.fromkeys(rates))
            result.append(changed)
    return result


def conditions(experiment: Experiment, profiles: Profiles) -> list[Condition]:
    """All conditions of an experiment, in a fixed order.

    Raises
    ------
    InputError
        If a codec, variant, mode or rate does not exist.
    """
    found: dict[Condition, None] = {}
    for region in experiment.region:
        for factor in sorted(experiment.factors):
            if experiment.uncoded or not experiment.codecs:
                found[Condition(region, factor, *UNCODED)] = None
            for choice in experiment.codecs:
                for rate in sorted(_rates(choice, factor, profiles)):
                    found[Condition(region, factor, choice.name, choice.swept, choice.mode, rate)] = None
    return list(found)


def _rates(choice: CodecChoice, factor: int, profiles: Profiles) -> Sequence[float]:
    profile = profiles.of(choice.name)
    _, mode, _ = pair_of(profile, choice.swept, choice.mode)
    rates = choice.rates
    if isinstance(rates, dict):
        rates = rates.get(factor)
    if rates is None:
        rates = tuple(float(rate) for rate in mode.grid)
    for rate in rates:
        check_rate(profile, choice.mode, rate)
    return tuple(float(rate) for rate in rates)
