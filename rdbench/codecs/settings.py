"""Settings of an encoder as words: what a profile may say, and what it may not.

Names and values are plain words that each become one element of an argument list, never a shell's; what reads or
writes files is refused.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

__all__ = [
    "PLACEHOLDER",
    "Name",
    "Option",
    "Part",
    "Real",
    "Settings",
    "Size",
    "Text",
    "Word",
    "names_a_file",
    "of_the_program",
]

_MAX_ENTRIES = 64

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
    r"|cqm$|^roi|scaling-list|film-?grain|dhdr|config|debug|input|output|info|lambda|model|partition-info"
)
# Options whose values are lists of further options.
_SECOND_LANGUAGE = re.compile(
    r"(params|opts|options|x264opts|private)$|^(x26[45]|aom|svt|vvenc|kvazaar)-?(params|opts)", re.I
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
    StringConstraints(
        max_length=200,
        pattern=r"^(?:[A-Za-z0-9+]|-[0-9]|\{[a-z]+\})[A-Za-z0-9_.+,|:=\{\}-]*(?: [A-Za-z0-9-][A-Za-z0-9_.-]*)*$",
    ),
]
Words = Annotated[dict[Option, Word], Field(max_length=_MAX_ENTRIES)]
Size = Annotated[int, Field(ge=1, le=4096)]
Real = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]


class Part(BaseModel):
    """A table of a profile: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Settings(Part):
    """Options of FFmpeg's encoder, each a flag and its value, and the library's own, joined in one string."""

    options: Words = Field(default_factory=dict)
    params: Words = Field(default_factory=dict)

    @model_validator(mode="after")
    def _plain(self) -> Self:
        for option, word in self.options.items():
            if of_the_program(option):
                raise ValueError(f"option {option!r} belongs to the transcoder, not to a profile")
            _check_word(option, word)
            if _SECOND_LANGUAGE.search(option.removesuffix(":v")):
                raise ValueError(
                    f"option {option!r} takes options of its own; give them one by one as params"
                )
            if "=" in word:
                raise ValueError(f"value {word!r} of option {option!r} holds another option; leave out =")
            if ":" in word and not re.fullmatch(r"[0-9.:-]+", word):
                raise ValueError(f"value {word!r} of option {option!r} has a colon; use params")
        for option, word in self.params.items():
            _check_word(option, word)
            if ":" in option or ":" in word or "=" in word:
                raise ValueError(f"value {word!r} of {option!r} would end the parameter; leave out : and =")
        return self


def of_the_program(option: str) -> bool:
    """Whether an option belongs to the ffmpeg program itself."""
    return option.removesuffix(":v") in _NOT_AN_ENCODERS


def names_a_file(option: str) -> bool:
    """Whether an option's name sounds as if it named a file."""
    return _FILE_WORD.search(option.lower()) is not None


def _check_word(option: str, word: str) -> None:
    if names_a_file(option) and not (
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
