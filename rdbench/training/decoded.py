"""What codecs leave of faces: recordings coded by the sweep's own engine, at quantisers drawn at random.

A recogniser that met only clean pictures takes blocks and smeared detail for expression; a receiver meets little else.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rdbench.backends.protocol import Input
from rdbench.cache import entry, is_sound
from rdbench.codecs.coder import Refused, decode, encode, encoder_of
from rdbench.codecs.profiles import DEFAULT_VARIANT, Profile, load_profiles
from rdbench.errors import EncodeError
from rdbench.machine import work_folder
from rdbench.video.clip import FACE_SIZE, Clip
from rdbench.video.planes import Geometry, Planes
from rdbench.video.prepared import Prepared, prepare
from rdbench.video.views import downsample, full_pictures, views

__all__ = ["CODECS", "QUANTISERS", "coded_views"]

CODECS = ("x264", "x265")
"""Learned from in turn; the others stay unseen, so that they can tell whether more was learned than two codecs."""

QUANTISERS = (18, 48)
"""Lowest and highest crf, drawn evenly: from what nobody tells from the source to what hardly shows a face."""


def coded_views(
    clip: Clip, factors: Sequence[int], stride: int, versions: int
) -> dict[tuple[int, int], NDArray[np.uint8]]:
    """The face of every `stride`-th frame as a receiver has it: whole pictures downsampled, coded, decoded, scaled up.

    Codecs take turns by version, and the quantiser follows from the clip's name, the factor and the version alone. They
    are kept beside the clip's track.

    Parameters
    ----------
    clip : Clip
    factors : sequence of int
    stride : int
    versions : int
        Of each factor.

    Returns
    -------
    dict of (factor, version) to (n, 96, 96) uint8
        Luma, 16 to 235.

    Raises
    ------
    ClipError
        If the clip cannot be used.
    EncodeError
        If an encoder fails.
    """
    prepared = prepare(clip)
    profiles = load_profiles()
    found: dict[tuple[int, int], NDArray[np.uint8]] = {}
    for factor in factors:
        wanted = {}
        for version in range(versions):
            profile = profiles.of(CODECS[version % len(CODECS)])
            rate = _rate(clip.name, factor, version)
            who = hashlib.sha256(f"{profile.model_dump_json()} {encoder_of(profile)}".encode()).hexdigest()[
                :12
            ]
            file = prepared.folder / f"coded{FACE_SIZE}-{factor}-{stride}-{profile.name}-{rate}-{who}.npy"
            wanted[factor, version] = file, profile, rate
        _make(prepared, factor, stride, [each for each in wanted.values() if not is_sound(each[0])])
        found |= {key: np.load(file, allow_pickle=False) for key, (file, _, _) in wanted.items()}
    return found


def _rate(name: str, factor: int, version: int) -> int:
    lowest, highest = QUANTISERS
    drawn = int.from_bytes(hashlib.sha256(f"{name} {factor} {version}".encode()).digest()[:8], "big")
    return lowest + drawn % (highest - lowest + 1)


def _make(prepared: Prepared, factor: int, stride: int, missing: Sequence[tuple[Path, Profile, int]]) -> None:
    if not missing:
        return
    geometry = Geometry(prepared.width, prepared.height, factor)
    with work_folder() as name:
        folder = Path(name)
        low = downsample(full_pictures(prepared, geometry, folder), geometry, folder)
        for file, profile, rate in missing:
            entry(file, functools.partial(_keep, prepared, low, geometry, stride, profile, rate))


def _keep(
    prepared: Prepared, low: Planes, geometry: Geometry, stride: int, profile: Profile, rate: int, part: Path
) -> None:
    with work_folder() as name:
        folder = Path(name)
        encoded = encode(low, profile, DEFAULT_VARIANT, "crf", rate, prepared.timeline.fps, folder)
        if isinstance(encoded, Refused):
            raise EncodeError(f"{prepared.clip.name}: {profile.name} refuses crf {rate} ({encoded.reason}).")
        decoded = decode(encoded, profile, geometry.low, prepared.frames, folder).planes
        seen = np.concatenate(list(views(decoded, geometry, prepared.track.crop(), Input(size=FACE_SIZE))))
    with part.open("wb") as stream:
        np.save(stream, seen[::stride], allow_pickle=False)
