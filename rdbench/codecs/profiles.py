"""Codec profiles: what an encoder can take, and the command that a condition becomes.

A profile is one TOML file (`codecs/`, or a folder of the user's), so adding an encoder or other settings adds
a file and touches no Python. Profiles are untrusted: names and values are plain words that each become one
element of an argument list, never a shell's, and what reads or writes files is refused.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    StringConstraints,
    model_validator,
)

from rdbench.codecs.bitstream import Format
from rdbench.codecs.settings import (
    Name,
    Option,
    Part,
    Real,
    Settings,
    Size,
    Text,
    Word,
    names_a_file,
    of_the_program,
)
from rdbench.errors import InputError
from rdbench.files import Place, parse_toml
from rdbench.words import bare, suggestion_among

__all__ = [
    "DEFAULT_VARIANT",
    "EFFORTS",
    "MODES",
    "MUXERS",
    "Effort",
    "EffortName",
    "Mode",
    "ModeName",
    "Pair",
    "Profile",
    "Profiles",
    "Variant",
    "load_profiles",
    "parse_profile",
]

ModeName = Literal["abr", "2pass", "crf", "qp", "flat"]
MODES: tuple[ModeName, ...] = get_args(ModeName)
EffortName = Literal["fast", "medium", "slow"]
EFFORTS: tuple[EffortName, ...] = get_args(EffortName)
DEFAULT_VARIANT = "ra"

_MAX_BYTES = 64 * 1024

_SUFFIXES = {
    "h264": (".h264",),
    "hevc": (".hevc",),
    "vvc": (".vvc",),
    "obu": (".obu",),
    "ivf-av1": (".ivf",),
    "ivf-vp9": (".ivf",),
}
MUXERS = {"ivf-av1": "ivf", "ivf-vp9": "ivf"}


class Mode(Settings):
    """One way of rate control.

    Parameters
    ----------
    minimum, maximum : float
        Range of the rate: kbit/s (`abr`, `2pass`) or the quantiser (`crf`, `qp`, `flat`).
    step : float
        What a rate must be a multiple of, 0 for anything: libx264 and libx265 take whole kbit/s.
    grid : tuple of float
        Rates that a run takes by default, rising.
    passes : int
        1 or 2.
    """

    minimum: Real
    maximum: Real
    step: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 0.0
    grid: Annotated[tuple[Real, ...], Field(strict=False, min_length=1, max_length=64)]
    passes: Literal[1, 2] = 1

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.minimum <= self.maximum:
            raise ValueError(f"minimum {self.minimum:g} is above maximum {self.maximum:g}")
        if list(self.grid) != sorted(set(self.grid)):
            raise ValueError("grid does not rise strictly")
        for rate in self.grid:
            if not self.minimum <= rate <= self.maximum or (self.step and rate % self.step):
                raise ValueError(f"grid rate {rate:g} is outside of minimum, maximum and step")
        return self


class Pair(Settings):
    """What one mode needs in one variant.

    Parameters
    ----------
    passes : {1, 2, None}
        In place of the mode's.
    """

    passes: Literal[1, 2] | None = None


def _sentences(value: object) -> object:
    """A list of modes, without reasons, is a table of them."""
    if isinstance(value, list | tuple) and all(isinstance(mode, str) for mode in value):
        return dict.fromkeys(value, "the profile has it not")
    return value


class Variant(Settings):
    """What else changes bits: group of pictures, reordering, and the like.

    Parameters
    ----------
    key_seconds : float
        Distance of key frames, 0 for one key frame at the start only.
    key_step, key_extra : int
        Distances that the encoder can keep are a multiple of `key_step`, plus `key_extra` frames; the nearest
        is taken, and ``{keyint}`` becomes its multiple. libkvazaar's closed groups are whole mini-groups of 8
        and the key frame.
    reorders : bool
        Whether pictures may be coded in another order than shown.
    preset : str or None
        In place of the profile's.
    modes : dict of str to Pair
        What only one mode needs in this variant.
    without : dict of str to str
        Modes that the encoder does not have in this variant, and why.
    """

    description: Text | None = None
    key_seconds: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]
    reorders: bool
    key_step: Annotated[int, Field(ge=1, le=256)] = 1
    key_extra: Annotated[int, Field(ge=0, le=1)] = 0
    preset: Word | None = None
    modes: dict[ModeName, Pair] = Field(default_factory=dict)
    without: Annotated[dict[ModeName, Text], BeforeValidator(_sentences)] = Field(default_factory=dict)


class Effort(Settings):
    """How much time an encoder may take: a preset, and what else it needs to come near the class.

    Parameters
    ----------
    preset : str
    """

    preset: Word


class SmallPicture(Settings):
    """Settings for pictures under a size.

    Parameters
    ----------
    below : int
        They hold where width or height is less than this.
    """

    below: Size


class Refusal(Part):
    """A rate that the encoder itself refuses, known by its words."""

    text: Annotated[str, StringConstraints(min_length=8, max_length=200)]
    reason: Text


class Profile(Settings):
    """How one encoder is driven, and what it can take.

    Parameters
    ----------
    name, description : str
    encoder : str
        FFmpeg's name of the encoder.
    format : {"h264", "hevc", "vvc", "obu", "ivf-av1", "ivf-vp9"}
        What it writes, as `rdbench.codecs.bitstream` counts it.
    suffix : str
        Of a kept bitstream.
    preset : str
        Fills the placeholder ``{preset}``.
    params_option : str or None
        Option that takes `params` in one string, such as ``x264-params``.
    params_separator : {":", ","}
    remove_units : tuple of int
        Types of NAL units or OBUs taken out of the stream after encoding (SEI).
    min_width, min_height : int
        Smallest picture that is coded.
    multiple : int
        Width and height must be multiples of this, where the encoder does not crop by itself.
    quantisers : (float, float) or None
        Mean quantisers at which rate control has come to its fine and coarse ends, see `rate_status`; None
        where the encoder gives no account of them.
    efforts : dict of str to Effort
        Presets by class of CPU time, see docs/codecs.md; a class that none comes near is left out.
    modes, variants, small_pictures, refusals
        A variant may say ``like = "NAME"``: it has what that one has, less the names in its ``drop``, and what it
        says itself.
    """

    name: Name
    description: Text
    encoder: Annotated[
        str,
        StringConstraints(
            pattern=r"^(lib[a-z0-9][a-z0-9_-]{1,30}|[a-z0-9]{2,8}_(nvenc|qsv|vaapi|amf|videotoolbox|mf|vulkan))$"
        ),
    ]
    format: Format
    suffix: Annotated[str, StringConstraints(pattern=r"^\.[a-z0-9]{2,8}$")]
    preset: Word = "medium"
    params_option: Option | None = None
    params_separator: Literal[":", ","] = ":"
    remove_units: Annotated[
        tuple[Annotated[int, Field(ge=0, le=63)], ...], Field(strict=False, max_length=16)
    ] = ()
    min_width: Size
    min_height: Size
    multiple: Annotated[int, Field(ge=1, le=128)] = 1
    quantisers: Annotated[tuple[Real, Real], Field(strict=False)] | None = None
    modes: Annotated[dict[ModeName, Mode], Field(min_length=1)]
    variants: Annotated[dict[Name, Variant], Field(min_length=1, max_length=32)]
    efforts: dict[EffortName, Effort] = Field(default_factory=dict)
    small_pictures: Annotated[tuple[SmallPicture, ...], Field(strict=False, max_length=16)] = ()
    refusals: Annotated[tuple[Refusal, ...], Field(strict=False, max_length=32)] = ()

    _origin: str = PrivateAttr(default="shipped")

    @property
    def origin(self) -> str:
        """Where the profile comes from: "shipped", or the path of the user's file."""
        return self._origin

    @property
    def digest(self) -> str:
        """Content hash (16 hex digits) of all that may change an encode: not of the description and grids."""
        skipped: dict[str, Any] = {"description": True, "modes": {"__all__": {"grid"}}}
        content = self.model_dump(mode="json", exclude=skipped)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @model_validator(mode="before")
    @classmethod
    def _likened(cls, table: Any) -> Any:
        if isinstance(table, dict) and isinstance(table.get("variants"), dict):
            variants = {name: _like(table["variants"], name) for name in table["variants"]}
            return {**table, "variants": variants}
        return table

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.name == "none":
            raise ValueError('name "none" stands for pictures that are not coded')
        if self.suffix not in _SUFFIXES[self.format]:
            raise ValueError(f"suffix of format {self.format} is {' or '.join(_SUFFIXES[self.format])}")
        if self.quantisers is not None and not self.quantisers[0] < self.quantisers[1]:
            raise ValueError("quantisers are not finest, then coarsest")
        if self.params_option is not None and of_the_program(self.params_option):
            raise ValueError(f"params_option {self.params_option!r} is no encoder's")
        if self.params_option is not None and names_a_file(self.params_option):
            raise ValueError(f"params_option {self.params_option!r} may name a file")
        parts: list[Settings] = [self, *self.modes.values(), *self.variants.values(), *self.small_pictures]
        parts += [part for variant in self.variants.values() for part in variant.modes.values()]
        for part in parts:
            if part.params and self.params_option is None:
                raise ValueError("params are given, but no params_option that takes them")
            for option, word in part.params.items():
                if self.params_separator in word:
                    raise ValueError(f"value {word!r} of {option!r} holds the separator of params")
        for name, variant in self.variants.items():
            parts = [variant, *variant.modes.values()]
            words = [word for part in parts for word in (*part.options.values(), *part.params.values())]
            if variant.key_seconds == 0 and any("{keyint}" in word for word in words):
                raise ValueError(f"variant {name!r} has no key frame distance for {{keyint}}")
        return self


def _like(variants: Mapping[str, Any], name: str) -> Any:
    """A variant with what it has from the one that it is like."""
    own = variants[name]
    if not isinstance(own, dict) or "like" not in own:
        return own
    pattern = variants.get(own["like"]) if isinstance(own["like"], str) else None
    if not isinstance(pattern, dict) or "like" in pattern:
        raise ValueError(f"variant {name!r} is like none that is given in full")
    dropped = own.get("drop", [])
    if not isinstance(dropped, list):
        raise ValueError(f"drop of variant {name!r} is no list of names")
    merged: dict[str, Any] = {}
    for key, value in pattern.items():
        kept = value
        if key in ("options", "params") and isinstance(value, dict):
            kept = {option: word for option, word in value.items() if option not in dropped}
        merged[key] = kept
    for key, value in own.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = {**merged[key], **value}
        elif key not in ("like", "drop"):
            merged[key] = value
    return merged


def parse_profile(content: bytes | str, origin: str = "shipped") -> Profile:
    """Read one profile.

    Parameters
    ----------
    content : bytes or str
        TOML in UTF-8.
    origin : str
        Named in errors, and kept as `Profile.origin`.

    Raises
    ------
    InputError
        If it is no TOML, or no valid profile; the text names the file and all faults.
    """
    profile = parse_toml(
        content,
        Profile,
        name=f"Codec profile {origin}",
        what="shorten it",
        most=_MAX_BYTES,
        where=functools.partial(_place, content),
    )
    profile._origin = origin
    return profile


def _place(content: bytes | str, place: Place) -> str:
    """A place in a profile, with its line where only one has a key or table of that name."""
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
    keys = [str(part) for part in place if isinstance(part, str)]
    named = ".".join(bare(str(part)) for part in place)
    if not keys:
        return named
    key = re.compile(rf"""^\s*\[*[^\n=]*(?<![\w-])["']?{re.escape(keys[-1])}["']?(?![\w-])""")
    lines = [number for number, line in enumerate(text.splitlines(), 1) if key.search(line.partition("=")[0])]
    return f"{named} (line {lines[0]})" if len(lines) == 1 else named


class Profiles(dict[str, Profile]):
    """Profiles by name, and why others cannot be used: one broken file stops only what asks for it."""

    def __init__(self, usable: Mapping[str, Profile], unusable: Mapping[str, InputError]) -> None:
        super().__init__(sorted(usable.items()))
        self.unusable = dict(sorted(unusable.items()))

    def of(self, name: str) -> Profile:
        """The profile of a codec.

        Raises
        ------
        InputError
            If there is none, or its file cannot be used.
        """
        if name in self.unusable:
            raise self.unusable[name]
        if name not in self:
            broken = "".join(f" {error}" for error in self.unusable.values())
            raise InputError(f"Codec {name!r} is unknown{suggestion_among(name, self)}{broken}")
        return self[name]


def load_profiles(extra_dir: Path | None = None) -> Profiles:
    """Read all profiles that ship, and a user's.

    Parameters
    ----------
    extra_dir : Path or None
        Folder of ``*.toml``; a profile there hides one that ships, as `Profile.origin` tells, also where it cannot be used.

    Raises
    ------
    InputError
        If the folder cannot be read.
    """
    profiles: dict[str, Profile] = {}
    shipped = resources.files("rdbench") / "profiles"
    for entry in sorted(shipped.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".toml"):
            profile = parse_profile(entry.read_bytes())
            profiles[profile.name] = profile
    if extra_dir is None:
        return Profiles(profiles, {})
    own, unusable = _user_profiles(extra_dir)
    return Profiles({n: p for n, p in {**profiles, **own}.items() if n not in unusable}, unusable)


def _user_profiles(folder: Path) -> tuple[dict[str, Profile], dict[str, InputError]]:
    """Profiles of a folder, and the faults of those that cannot be used, by the name that they give themselves."""
    if not folder.is_dir():
        raise InputError(f"Folder of codec profiles {folder} does not exist; give a folder of .toml files.")
    profiles: dict[str, Profile] = {}
    unusable: dict[str, InputError] = {}
    for file in sorted(folder.glob("*.toml")):
        content = b""
        try:
            with file.open("rb") as stream:
                content = stream.read(_MAX_BYTES + 1)
            profile = parse_profile(content, str(file))
        except OSError as error:
            unusable[file.stem] = InputError(
                f"Codec profile {file} cannot be read: {error.strerror or error}."
            )
        except InputError as error:
            named = re.search(rb'^name\s*=\s*"([a-z0-9._-]{1,32})"', content, re.MULTILINE)
            unusable[named[1].decode() if named else file.stem] = error
        else:
            if profile.name in profiles:
                other = profiles[profile.name].origin
                unusable[profile.name] = InputError(
                    f"Codec {profile.name!r} is in {other} and in {file}; rename one of them."
                )
            profiles[profile.name] = profile
    return profiles, unusable
