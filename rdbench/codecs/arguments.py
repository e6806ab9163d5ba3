"""What an encoder is told: arguments, sizes, key distances, and what its answer means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from rdbench.codecs.profiles import DEFAULT_VARIANT, EFFORTS, MUXERS, Effort, Mode, Pair, Profile, Variant
from rdbench.codecs.settings import PLACEHOLDER
from rdbench.errors import InputError
from rdbench.words import suggestion_among

__all__ = [
    "Pictures",
    "RateStatus",
    "check_rate",
    "coded_size",
    "encode_arguments",
    "key_distance_of",
    "mode_of",
    "pair_of",
    "pass_numbers",
    "quantised",
    "rate_status",
    "refused",
    "variant_of",
]


RateStatus = Literal["ok", "missed", "floor", "ceiling"]


def coded_size(profile: Profile, width: int, height: int) -> tuple[int, int]:
    """Size of the picture handed to the encoder: as asked, or the least larger one that it takes.

    Parameters
    ----------
    profile : Profile
    width, height : int
        Pixels, at least 1. Evenness for 4:2:0 is the caller's matter.
    """
    multiple = profile.multiple
    return (
        -(-max(width, profile.min_width) // multiple) * multiple,
        -(-max(height, profile.min_height) // multiple) * multiple,
    )


def check_rate(profile: Profile, mode: str, rate: float) -> None:
    """Make sure that a profile can be asked for a rate.

    Raises
    ------
    InputError
        If the profile has no such mode, or the rate is not finite, out of range or between two steps.
    """
    settings = mode_of(profile, mode)
    unit = "kbit/s" if mode in ("abr", "2pass") else mode
    if not math.isfinite(rate) or not settings.minimum <= rate <= settings.maximum:
        raise InputError(
            f"Rate {rate:g} is out of range for codec {profile.name!r} in mode {mode}: "
            f"give {settings.minimum:g} to {settings.maximum:g} {unit}."
        )
    if settings.step and not math.isclose(rate / settings.step, round(rate / settings.step), abs_tol=1e-9):
        raise InputError(
            f"Rate {rate:g} is between two steps of codec {profile.name!r} in mode {mode}: "
            f"give a multiple of {settings.step:g} {unit}."
        )


def mode_of(profile: Profile, mode: str) -> Mode:
    """Find a mode of a profile.

    Raises
    ------
    InputError
        If the profile has none of that name; the text names the nearest.
    """
    for name, settings in profile.modes.items():
        if name == mode:
            return settings
    raise InputError(f"Codec {profile.name!r} has no mode {mode!r}{suggestion_among(mode, profile.modes)}")


def variant_of(profile: Profile, variant: str) -> Variant:
    """Find a variant of a profile; ``NAME-EFFORT`` is the variant NAME at the preset of that class.

    Raises
    ------
    InputError
        If the profile has none of that name; the text names the nearest.
    """
    if variant in profile.variants:
        return profile.variants[variant]
    name, _, wanted = variant.rpartition("-")
    if name in profile.variants and wanted in EFFORTS:
        for known, effort in profile.efforts.items():
            if known == wanted:
                return _at(profile.variants[name], effort)
        raise InputError(
            f"Codec {profile.name!r} has no effort {wanted!r}: none of its presets takes about as much time as that "
            f"class. It has {', '.join(profile.efforts) or 'none'}."
        )
    raise InputError(
        f"Codec {profile.name!r} has no variant {variant!r}{suggestion_among(variant, profile.variants)}"
    )


def _at(variant: Variant, effort: Effort) -> Variant:
    changed = {
        "preset": effort.preset,
        "options": {**variant.options, **effort.options},
        "params": {**variant.params, **effort.params},
    }
    return variant.model_copy(update=changed)


def pair_of(profile: Profile, variant: str, mode: str) -> tuple[Variant, Mode, Pair]:
    """A variant, a mode, and what this mode needs in this variant.

    Raises
    ------
    InputError
        If the profile has not both together; the text says why, and which modes there are.
    """
    control, other = mode_of(profile, mode), variant_of(profile, variant)
    for name, reason in other.without.items():
        if name == mode:
            left = [known for known in profile.modes if known not in other.without]
            raise InputError(
                f"Codec {profile.name!r} has no mode {mode} in variant {variant!r}: {reason}. "
                f"Take {', '.join(left) or 'another variant'}."
            )
    for name, pair in other.modes.items():
        if name == mode:
            return other, control, pair
    return other, control, Pair()


def quantised(profile: Profile, variant: str) -> str:
    """The mode in which a profile is asked for quantisers in a variant: the first that it has of qp, crf and flat.

    Raises
    ------
    InputError
        If it has none of them.
    """
    missing = variant_of(profile, variant).without
    for mode in ("qp", "crf", "flat"):
        if mode in profile.modes and mode not in missing:
            return mode
    raise InputError(
        f"Codec {profile.name!r} has no mode with quantisers in variant {variant!r}, so no known ends."
    )


def pass_numbers(profile: Profile, variant: str, mode: str) -> tuple[int | None, ...]:
    """The values of `pass_number` for one encode in order: ``(None,)`` or ``(1, 2)``.

    Not every mode of two passes is called so: libvpx hides frames in its second pass only, in `crf` too.

    Raises
    ------
    InputError
        If the profile has not this mode in this variant.
    """
    _, control, pair = pair_of(profile, variant, mode)
    return (1, 2) if (pair.passes or control.passes) == 2 else (None,)


@dataclass(frozen=True)
class Pictures:
    """What comes to an encoder.

    Parameters
    ----------
    width, height : int
        Coded size in pixels, see `coded_size`.
    fps : Fraction
        Frames a second; gives the distance of key frames, see `key_distance_of`.
    frames : int
        Number of pictures that will come.
    """

    width: int
    height: int
    fps: Fraction
    frames: int


def encode_arguments(
    profile: Profile,
    pictures: Pictures,
    *,
    variant: str = DEFAULT_VARIANT,
    mode: str,
    rate: float,
    passlog: str | None = None,
    pass_number: int | None = None,
) -> list[str]:
    """Arguments of FFmpeg for the output side of one encode, from ``-c:v`` to the muxer; the file follows.

    Parameters
    ----------
    profile : Profile
    pictures : Pictures
    variant, mode : str
        Names in the profile.
    rate : float
        kbit/s or the quantiser, as the mode has it.
    passlog : str or None
        Prefix of the file between the passes, one for each encode; for modes of two passes.
    pass_number : {1, 2, None}
        One of `pass_numbers`; 1 writes to the null muxer.

    Raises
    ------
    InputError
        If the profile has no such variant, mode or rate, not both together, or cannot take the pictures.
    """
    check_rate(profile, mode, rate)
    other, control, pair = pair_of(profile, variant, mode)
    _check_pictures(profile, pictures)
    passes = pair.passes or control.passes
    asked = (pass_number in (1, 2), passlog is not None)
    if asked != (passes > 1, passes > 1):
        raise InputError(
            f"Mode {mode} of codec {profile.name!r} has {passes} pass(es) in {variant!r}; see pass_number."
        )
    small = [part for part in profile.small_pictures if min(pictures.width, pictures.height) < part.below]
    options: dict[str, str] = {}
    params: dict[str, str] = {}
    for part in (profile, control, other, pair, *small):
        options.update(part.options)
        params.update(part.params)
    words = _words(profile, other, rate, pictures)
    argv = ["-c:v", profile.encoder]
    for option, word in options.items():
        argv += [f"-{option}", _filled(word, words)]
    if params:
        filled = (f"{name}={_filled(word, words)}" for name, word in params.items())
        argv += [f"-{profile.params_option}", profile.params_separator.join(filled)]
    if pass_number is not None and passlog is not None:
        argv += ["-pass", str(pass_number), "-passlogfile", passlog]
        if pass_number == 1:
            return [*argv, "-f", "null"]
    if profile.remove_units:
        argv += ["-bsf:v", "filter_units=remove_types=" + "|".join(map(str, profile.remove_units))]
    return [*argv, "-f", MUXERS.get(profile.format, profile.format)]


def _check_pictures(profile: Profile, pictures: Pictures) -> None:
    size = pictures.width, pictures.height
    if size != coded_size(profile, *size) or min(size) < 1:
        raise InputError(
            f"Codec {profile.name!r} cannot code {size[0]}x{size[1]}: give at least {profile.min_width}x"
            f"{profile.min_height} in multiples of {profile.multiple}."
        )
    if pictures.fps <= 0 or pictures.frames < 1:
        raise InputError(
            f"An encode needs frames and a frame rate above 0, not {pictures.frames} at {pictures.fps}."
        )


def _words(profile: Profile, variant: Variant, rate: float, pictures: Pictures) -> dict[str, str]:
    """What the placeholders of a profile stand for."""
    return {
        "rate": f"{rate:.10g}",
        "keyint": str(key_distance_of(variant, pictures.fps) - variant.key_extra),
        "preset": variant.preset or profile.preset,
        "fps": str(pictures.fps),
        "frames": str(pictures.frames),
        "width": str(pictures.width),
        "height": str(pictures.height),
    }


def key_distance_of(variant: Variant, fps: Fraction) -> int:
    """The nearest distance that the encoder can keep, halves rounded up."""
    wanted = Fraction(variant.key_seconds) * fps - variant.key_extra
    steps = max(1, math.floor(wanted / variant.key_step + Fraction(1, 2)))
    return steps * variant.key_step + variant.key_extra


def _filled(word: str, words: Mapping[str, str]) -> str:
    return PLACEHOLDER.sub(lambda match: words[match[1]], word)


def refused(profile: Profile, stderr_text: str) -> str | None:
    """Reason why the encoder itself refused a rate, None if it did not: such a rate is not applicable.

    Parameters
    ----------
    profile : Profile
    stderr_text : str
        What FFmpeg wrote when it failed.
    """
    lowered = stderr_text.lower()
    for refusal in profile.refusals:
        if refusal.text.lower() in lowered:
            return refusal.reason
    return None


def rate_status(
    profile: Profile, mode: str, target_kbps: float, achieved_kbps: float, mean_qp: float | None
) -> RateStatus:
    """How well an encode met its target.

    Parameters
    ----------
    profile : Profile
    mode : str
        ``crf``, ``qp`` and ``flat`` have no target: always "ok".
    target_kbps, achieved_kbps : float
    mean_qp : float or None
        Mean quantiser of all coded pictures, as their headers have it.

    Returns
    -------
    {"ok", "missed", "floor", "ceiling"}
        "missed": over 10 % off. "floor" and "ceiling": missed because the quantiser is at its coarse or fine
        end, where more cannot be saved or spent.

    Notes
    -----
    The ends are data of the profile. Measured on 100 noisy frames of 16x16, 40x24, 96x96 and 320x180, in `abr`
    and `2pass`, `ra` and `ld`: libx264 misses upwards below its floor with a mean quantiser of 50.9 to 51.0, and
    libx265 with 50.2 to 51.0; above the ceiling they stay below their target with 0.1 to 5.0 (B-frames keep
    their distance from the others, so 0 is not reached). Hence 50 and 5. Under 40 pixels libx265 also misses
    upwards at 27 to 49, where headers are most of the stream: those stay "missed", as the quantiser had room.
    """
    if mode not in ("abr", "2pass") or abs(achieved_kbps - target_kbps) <= 0.1 * target_kbps:
        return "ok"
    if mean_qp is not None and profile.quantisers is not None:
        finest, coarsest = profile.quantisers
        if achieved_kbps > target_kbps and mean_qp >= coarsest:
            return "floor"
        if achieved_kbps < target_kbps and mean_qp <= finest:
            return "ceiling"
    return "missed"
