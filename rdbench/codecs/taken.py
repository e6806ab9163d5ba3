"""Whether an encoder took the settings that it was given: most only tell in their log that they did not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rdbench import binary
from rdbench.codecs.profiles import Profile, load_profiles
from rdbench.codecs.settings import of_the_program
from rdbench.words import did_you_mean

__all__ = ["misread", "not_taken", "settings_in", "whereabouts"]

_REFUSING = re.compile(
    r"\b(unknown|unrecogni[sz]ed|invalid|error (parsing|setting)|unable to parse|cannot find|not been used)\b",
    re.I,
)

_NUMBER = r"-?\d+(\.\d+)?"
_SWITCH = rf"{_NUMBER}|true|false|yes|no"
_KVAZAAR = """
    amp aud bipred clip-neighbour combine-intra-cus cpuid cross-comp-pred early-skip enable-logging erp-aqp fast-bipred
    fast-residual-cost force-inter full-intra-search high-tier implicit-rdpcm info intra-bits intra-chroma-search
    intra-qp-offset intra-rdo-et lossless ml-pu-depth-intra mv-rdo open-gop period psnr qp rd rdoq rdoq-skip set-qp-in-cu
    signhide smp subme tr-depth-intra transform-skip vaq vps-period wpp zero-coeff-rdo
"""
_ONLY: Mapping[str, Mapping[str, str]] = {
    "libx264": {
        "psy-rd": rf"{_NUMBER}([,|]{_NUMBER})?",
        "analyse": r"none|all|[a-z0-9]+(,[a-z0-9]+)*",
    },
    "libx265": {"pools": r"none|\*|[-+0-9,*]+", "hme-range": r"\d+,\d+,\d+"},
    "libkvazaar": {
        **dict.fromkeys(_KVAZAAR.split(), _SWITCH),
        "sao": rf"{_SWITCH}|off|edge|band|full",
        "gop": r"\d+|lp-g.+",
        "owf": rf"{_NUMBER}|auto",
        "threads": rf"{_NUMBER}|auto",
    },
}
"""What settings may be of which an encoder reads anything as something, without a word (a word given to each setting)."""


def settings_in(profile: Profile, arguments: Sequence[str]) -> dict[str, str]:
    """All settings in the arguments of an encode with their values, those in the library's own string among them.

    Parameters
    ----------
    profile : Profile
    arguments : sequence of str
        As `rdbench.codecs.arguments.encode_arguments` gives them.
    """
    found: dict[str, str] = {}
    for flag, word in zip(arguments, [*arguments[1:], ""], strict=True):
        if not re.fullmatch(r"-[A-Za-z][\w:-]*", flag):
            continue
        if flag[1:] == profile.params_option:
            parts = (part.partition("=") for part in word.split(profile.params_separator))
            found.update({name: value for name, _, value in parts})
        elif not of_the_program(flag[1:]):
            found[flag[1:].removesuffix(":v")] = word
    return found


def misread(encoder: str, settings: Mapping[str, str]) -> tuple[str, str] | None:
    """The first setting with a value that an encoder takes for another one without telling: its name, and a sentence."""
    for name, pattern in _ONLY.get(encoder, {}).items():
        value = settings.get(name)
        if value is not None and not re.fullmatch(pattern, value):
            return name, f"it reads {name}={value} as something else and does not tell"
    return None


def not_taken(names: Iterable[str], log: str) -> tuple[str, str] | None:
    """The setting that an encoder did not take, and the line of its log that tells; None if it took them all.

    Encoders have their own words for it, and FFmpeg has two of its own; that one of ours is named beside one of refusal
    is common to them.

    Parameters
    ----------
    names : iterable of str
    log : str
        What FFmpeg wrote at level "warning" or a lower one.
    """
    known = {_plain(name): name for name in names}
    for line in log.splitlines():
        if _REFUSING.search(line):
            told = [_plain(word) for word in re.findall(r"[A-Za-z][\w-]*", line)]
            ours = next((known[word] for word in told if word in known), None)
            if ours is not None:
                return ours, " ".join(re.sub(r"\[(\S+) @ \w+\]", r"\1:", line).split())
    return None


def whereabouts(profile: Profile, setting: str) -> str:
    """The end of a sentence about a setting: its line in the user's file, and the nearest name that the encoder knows.

    Names are those of FFmpeg's account of the encoder, and of the profiles that ship for it.
    """
    line = ""
    if Path(profile.origin).is_file():
        text = Path(profile.origin).read_text(encoding="utf-8", errors="replace")
        key = re.compile(rf"""(?<![\w-])["']?{re.escape(setting)}["']?\s*=""")
        lines = [number for number, words in enumerate(text.splitlines(), 1) if key.search(words)]
        line = f" (line {lines[0]})" if lines else ""
    near = did_you_mean(setting, sorted(_known(profile.encoder) - {setting}))
    return line + (near or "; correct it in the profile or leave it out.")


def _known(encoder: str) -> set[str]:
    """Settings of an encoder that are known to be."""
    listed = binary.told("-v", "error", "-h", f"encoder={encoder}")
    names = set(re.findall(r"^  -([A-Za-z0-9_-]+) ", listed, re.MULTILINE))
    for other in load_profiles().values():
        if other.encoder == encoder:
            settings = [other, *other.modes.values(), *other.variants.values(), *other.efforts.values()]
            names.update(name for part in settings for name in (*part.options, *part.params))
    return names


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
