"""Codec profiles: what an encoder can take, and the command that a condition becomes.

A profile is one TOML file (`codecs/`, or a folder of the user's), so adding an encoder or other settings adds
a file and touches no Python. Profiles are untrusted: names and values are plain words that each become one
element of an argument list, never a shell's, and what reads or writes files is refused.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    model_validator,
)

from rdbench.errors import InputError
from rdbench.files import parse_toml
from rdbench.video.bitstream import Format

__all__ = [
    "DEFAULT_VARIANT",
    "MODES",
    "MUXERS",
    "PLACEHOLDER",
    "Mode",
    "Profile",
    "Variant",
    "load_profiles",
    "parse_profile",
]

ModeName = Literal["abr", "2pass", "crf", "qp"]
MODES: tuple[ModeName, ...] = get_args(ModeName)
DEFAULT_VARIANT = "ra"

_MAX_BYTES = 64 * 1024
_MAX_ENTRIES = 64

_SUFFIXES = {
    "h264": (".h264",),
    "hevc": (".hevc",),
    "vvc": (".vvc",),
    "obu": (".obu",),
    "ivf-av1": (".ivf",),
    "ivf-vp9": (".ivf",),
}
MUXERS = {"ivf-av1": "ivf", "ivf-vp9": "ivf"}

# Options of the ffmpeg program itself that would change which pictures are coded or where they go, or name
# files; an encoder's own options that name files fall to _FILE_WORD.
_PROGRAM_OPTIONS = """
    an ab ac acodec af apad apre ar aspect attach autoscale bitexact bsf c codec copyinkf
    copypriorss copytb copyts cpuflags dcodec debug dframes discard disposition dn
    dts_delta_threshold enc_time_base f filter filter_complex filter_hw_device find_stream_info
    fix_sub_duration_heartbeat fpre fps_mode fpsmax force_fps force_key_frames frames fs
    guess_layout_max hwaccel i init_hw_device isync itsoffset itsscale ivlog lavfi loglevel map
    map_chapters map_metadata max_muxing_queue_size metadata muxdelay muxpreload n noautorotate pass
    passlogfile pix_fmt pre print_graphs program progress protocol_blacklist protocol_whitelist r re
    readrate reinit_filter report s sar scodec sdp_file seek_timestamp shortest sn spre ss sseof
    stag start_at_zero stdin stream_group stream_loop streamid sws_flags t tag target time_base
    timecode timelimit timestamp to top update v vcodec vf vframes vn vpre vsync vtag xerror y
"""
_NOT_AN_ENCODERS = frozenset(_PROGRAM_OPTIONS.split())
_FILE_WORD = re.compile(
    r"file|path|stat|log(?!2)|dump|save|load|csv|recon|table|url|script|report|trace|dir|rpu|dll|plugin|opencl"
)
PLACEHOLDER = re.compile(r"\{([a-z]+)\}")
_PLACEHOLDERS = ("rate", "keyint", "preset", "fps", "frames", "width", "height")


def _word(value: object) -> object:
    """Numbers and flags become the words that they are on a command line."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    return value


Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,31}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+$")]
Option = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z][a-zA-Z0-9_-]{0,39}(:v)?$")]
Word = Annotated[
    str,
    BeforeValidator(_word),
    StringConstraints(pattern=r"^(?:[A-Za-z0-9+]|-[0-9]|\{[a-z]+\})[A-Za-z0-9_.+,|:=\{\}-]{0,199}$"),
]
Words = Annotated[dict[Option, Word], Field(max_length=_MAX_ENTRIES)]
Size = Annotated[int, Field(ge=1, le=4096)]
Real = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Settings(_Part):
    """Options of FFmpeg's encoder, each a flag and its value, and the library's own, joined in one string."""

    options: Words = Field(default_factory=dict)
    params: Words = Field(default_factory=dict)

    @model_validator(mode="after")
    def _plain(self) -> Self:
        for option, word in self.options.items():
            if option.removesuffix(":v") in _NOT_AN_ENCODERS:
                raise ValueError(f"option {option!r} belongs to the transcoder, not to a profile")
            _check_word(option, word)
            if ":" in word and not re.fullmatch(r"[0-9.:-]+", word):
                raise ValueError(f"value {word!r} of option {option!r} has a colon; use params")
        for option, word in self.params.items():
            _check_word(option, word)
            if ":" in option or ":" in word or "=" in word:
                raise ValueError(f"value {word!r} of {option!r} would end the parameter; leave out : and =")
        return self


def _check_word(option: str, word: str) -> None:
    if _FILE_WORD.search(option.lower()) and not (
        re.fullmatch(r"-?[0-9.]+", word) or option.lower() in ("log-level", "loglevel")
    ):
        raise ValueError(f"{option!r} may name a file; a profile names none")
    if ".." in word:
        raise ValueError(f"value {word!r} of {option!r} has two dots in a row")
    for name in PLACEHOLDER.findall(word):
        if name not in _PLACEHOLDERS:
            raise ValueError(f"placeholder {{{name}}} is unknown; known are {', '.join(_PLACEHOLDERS)}")
    if re.search(r"[{}]", PLACEHOLDER.sub("", word)):
        raise ValueError(f"value {word!r} of {option!r} has a brace without its partner")


class Mode(_Settings):
    """One way of rate control.

    Parameters
    ----------
    minimum, maximum : float
        Range of the rate: kbit/s (`abr`, `2pass`) or the quantiser (`crf`, `qp`).
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


class Variant(_Settings):
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
    modes : dict
        Settings that only one mode needs in this variant.
    without : tuple of str
        Modes that the encoder does not have in this variant.
    """

    description: Text | None = None
    key_seconds: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]
    reorders: bool
    key_step: Annotated[int, Field(ge=1, le=256)] = 1
    key_extra: Annotated[int, Field(ge=0, le=1)] = 0
    preset: Word | None = None
    modes: Annotated[dict[ModeName, _Settings], Field(max_length=4)] = Field(default_factory=dict)
    without: Annotated[tuple[ModeName, ...], Field(strict=False, max_length=4)] = ()


class SmallPicture(_Settings):
    """Settings for pictures under a size.

    Parameters
    ----------
    below : int
        They hold where width or height is less than this.
    """

    below: Size


class Refusal(_Part):
    """A rate that the encoder itself refuses, known by its words."""

    text: Annotated[str, StringConstraints(min_length=8, max_length=200)]
    reason: Text


class Profile(_Settings):
    """How one encoder is driven, and what it can take.

    Parameters
    ----------
    name, description : str
    encoder : str
        FFmpeg's name of the encoder.
    format : {"h264", "hevc", "vvc", "obu", "ivf-av1", "ivf-vp9"}
        What it writes, as `rdbench.video.bitstream` counts it.
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
    modes, variants, small_pictures, refusals
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

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.name == "none":
            raise ValueError('name "none" stands for pictures that are not coded')
        if self.suffix not in _SUFFIXES[self.format]:
            raise ValueError(f"suffix of format {self.format} is {' or '.join(_SUFFIXES[self.format])}")
        if self.quantisers is not None and not self.quantisers[0] < self.quantisers[1]:
            raise ValueError("quantisers are not finest, then coarsest")
        if self.params_option is not None and self.params_option in _NOT_AN_ENCODERS:
            raise ValueError(f"params_option {self.params_option!r} is no encoder's")
        if self.params_option is not None and _FILE_WORD.search(self.params_option.lower()):
            raise ValueError(f"params_option {self.params_option!r} may name a file")
        parts: list[_Settings] = [self, *self.modes.values(), *self.variants.values(), *self.small_pictures]
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
    profile = parse_toml(content, Profile, name=f"Codec profile {origin}", what="shorten it", most=_MAX_BYTES)
    profile._origin = origin
    return profile


def load_profiles(extra_dir: Path | None = None) -> dict[str, Profile]:
    """Read all profiles that ship, and a user's.

    Parameters
    ----------
    extra_dir : Path or None
        Folder of ``*.toml``; a profile there hides one that ships, as `Profile.origin` tells.

    Returns
    -------
    dict
        Profiles by name, sorted.

    Raises
    ------
    InputError
        If the folder or a profile cannot be read, or two files of one folder give the same name.
    """
    profiles: dict[str, Profile] = {}
    shipped = resources.files("rdbench") / "profiles"
    for entry in sorted(shipped.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".toml"):
            profile = parse_profile(entry.read_bytes())
            profiles[profile.name] = profile
    if extra_dir is not None:
        profiles.update(_user_profiles(extra_dir))
    return dict(sorted(profiles.items()))


def _user_profiles(folder: Path) -> dict[str, Profile]:
    if not folder.is_dir():
        raise InputError(f"Folder of codec profiles {folder} does not exist; give a folder of .toml files.")
    profiles: dict[str, Profile] = {}
    try:
        for file in sorted(folder.glob("*.toml")):
            with file.open("rb") as stream:
                profile = parse_profile(stream.read(_MAX_BYTES + 1), str(file))
            if profile.name in profiles:
                other = profiles[profile.name].origin
                raise InputError(f"Codec {profile.name!r} is in {other} and in {file}; rename one of them.")
            profiles[profile.name] = profile
    except OSError as error:
        raise InputError(f"Codec profiles in {folder} cannot be read: {error.strerror or error}.") from error
    return profiles
