"""Whether an encoder took the settings that it was given: most only tell in their log that they did not."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rdbench.codecs.profiles import Profile
from rdbench.codecs.settings import of_the_program

__all__ = ["not_taken", "settings_in"]

_REFUSING = re.compile(
    r"\b(unknown|unrecogni[sz]ed|invalid|error (parsing|setting)|unable to parse|cannot find|not been used)\b",
    re.I,
)


def settings_in(profile: Profile, arguments: Sequence[str]) -> list[str]:
    """Names of all settings in the arguments of an encode, those in the string of the library's own among them.

    Parameters
    ----------
    profile : Profile
    arguments : sequence of str
        As `rdbench.codecs.arguments.encode_arguments` gives them.
    """
    names: dict[str, None] = {}
    for flag, word in zip(arguments, [*arguments[1:], ""], strict=True):
        if not re.fullmatch(r"-[A-Za-z][\w:-]*", flag):
            continue
        if flag[1:] == profile.params_option:
            names.update(
                dict.fromkeys(part.partition("=")[0] for part in word.split(profile.params_separator))
            )
        elif not of_the_program(flag[1:]):
            names[flag[1:].removesuffix(":v")] = None
    return list(names)


def not_taken(names: Sequence[str], log: str) -> str | None:
    """The line of a log by which an encoder tells that it did not take one of some settings; None if it took them all.

    Encoders have their own words for it, and FFmpeg has two of its own; that one of ours is named beside one of refusal
    is common to them.

    Parameters
    ----------
    names : sequence of str
    log : str
        What FFmpeg wrote at level "warning" or a lower one.
    """
    known = {_plain(name) for name in names}
    for line in log.splitlines():
        if _REFUSING.search(line) and known & {_plain(word) for word in re.findall(r"[A-Za-z][\w-]*", line)}:
            return " ".join(re.sub(r"\[(\S+) @ \w+\]", r"\1:", line).split())
    return None


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
