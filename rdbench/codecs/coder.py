"""The way through FFmpeg: downsample, encode, decode, bring to the recogniser's size.

Planes lie in raw files between the steps, so that a frame can neither be lost nor invented unseen: a file's
size says how many there are. Where such a file would be too large, pictures are made anew and counted at each reading.
"""

from __future__ import annotations

import functools
import hashlib
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from rdbench import binary
from rdbench.cache import entry, is_sound
from rdbench.codecs.arguments import Pictures, coded_size, encode_arguments, pair_of, pass_numbers, refused
from rdbench.codecs.bitstream import Bits, count
from rdbench.codecs.headers import CodedPicture, read_headers
from rdbench.codecs.profiles import DEFAULT_VARIANT, MUXERS, Profile
from rdbench.codecs.taken import misread, not_taken, settings_in, whereabouts
from rdbench.errors import EncodeError, EndedError, InputError
from rdbench.machine import cache_dir, keeping, work_folder
from rdbench.video import process
from rdbench.video.planes import (
    BATCH,
    Planes,
    Transient,
    check_planes,
    crop_picture,
    has_room,
    padded_planes,
    passing,
    require_frames,
    write_planes,
)

__all__ = ["Decoded", "Encoded", "Refused", "check_settings", "decode", "encode", "encoder_of"]

_PROBE_FRAMES, _PROBE_SIDE = 8, 64
_NAMES = (
    r"x264 - core \d+(?: r\w+(?: [0-9a-f]{6,10})?)?",
    r"HEVC encoder version [\w.+-]+",
    r"Kvazaar HEVC Encoder v\. [\w.+-]+",
    r"SVT-AV1 Encoder Lib v[\w.+-]+",
    r"\[lib(?:aom-av1|vpx-vp9) @ \w+\] v[\w.+-]+",
    r"libvvenc version: [\w.+-]+",
)
"""How encoders name themselves, in what they write into a stream or tell."""

_encoders: dict[str, str] = {}


_DEMUXERS = {"ivf-av1": "ivf", "ivf-vp9": "ivf"}


@dataclass(frozen=True)
class Encoded:
    """One encode, kept as its elementary stream, of which `digest` is the content hash."""

    file: Path
    digest: str
    bits: Bits
    command: tuple[str, ...]
    width: int
    height: int
    pictures: tuple[CodedPicture, ...]
    """Empty where FFmpeg cannot read the headers of such a stream."""
    cpu_seconds: float
    """User and system time of all passes."""
    log: str = field(default="", repr=False)
    """What FFmpeg and the encoder told in the last pass."""

    @property
    def mean_qp(self) -> float | None:
        """Mean quantiser of all coded pictures, hidden ones too."""
        return (
            sum(picture.quantiser for picture in self.pictures) / len(self.pictures)
            if self.pictures
            else None
        )


@dataclass(frozen=True)
class Decoded:
    """The pictures of one stream without the codec's padding, and what decoding took (user and system time)."""

    planes: Planes
    cpu_seconds: float


@dataclass(frozen=True)
class Refused:
    """An encoder's own refusal: this rate is not applicable, which is a result and no failure."""

    reason: str
    command: tuple[str, ...]
    width: int
    height: int


def encode(
    planes: Planes,
    profile: Profile,
    variant: str,
    mode: str,
    rate: float,
    fps: Fraction,
    folder: Path,
    limit: float | None = None,
) -> Encoded | Refused:
    """Encode all pictures, and count the bits of what came out.

    Raises
    ------
    EncodeError
        If the encoder fails for another reason than refusing the rate, or one of its passes takes more seconds than
        the limit.
    """
    width, height = coded_size(profile, planes.width, planes.height)
    width, height = width + width % 2, height + height % 2
    coded = padded_planes(planes, (width, height), folder)
    name = uuid.uuid4().hex
    file = folder / f"{name}{profile.suffix}"
    passes = pass_numbers(profile, variant, mode)
    source = process.arguments(ffmpeg.output(coded.stream(fps), "OUT"), verbosity="info")
    source = source[: source.index("OUT")]
    command: list[str] = []
    seconds, log = 0.0, ""
    for number in passes:
        options = encode_arguments(
            profile,
            Pictures(width, height, fps, planes.frames),
            variant=variant,
            mode=mode,
            rate=rate,
            passlog=None if number is None else str(folder / name),
            pass_number=number,
        )
        call = [*source, "-an", *options, "-" if number == 1 else f"file:{file}"]
        shown = {str(folder / name): "{passlog}", f"file:{file}": "{out}", coded.address: "{in}"}
        command += [*(["&&"] if command else []), "ffmpeg", *(shown.get(word, word) for word in call[1:])]
        try:
            log, taken = process.measured(call, feed=coded.feed(), limit=limit)
            seconds += taken
        except (process.FormatError, EndedError) as error:
            reason = refused(profile, error.stderr)
            if reason is None:
                raise
            return Refused(reason, tuple(command), width, height)
    data = file.read_bytes() if file.exists() else b""
    bits = count(data, profile.format)
    digest = hashlib.sha256(data).hexdigest()
    pictures = _pictures(file, profile.format)
    return Encoded(file, digest, bits, tuple(command), width, height, pictures, seconds, log)


def _pictures(file: Path, format: str) -> tuple[CodedPicture, ...]:
    try:
        return tuple(read_headers(file, format))
    except EndedError:
        raise
    except EncodeError:
        # An account beside the bits: a stream that FFmpeg's decoder takes is none the worse without.
        return ()


def decode(
    encoded: Encoded,
    profile: Profile,
    low: tuple[int, int],
    frames: int,
    folder: Path,
    limit: float | None = None,
) -> Decoded:
    """Decode an elementary stream and take the codec's padding off.

    Raises
    ------
    EncodeError
        If it does not decode without a fault to as many frames as went in, or takes more seconds than the limit.
    """
    width, height = encoded.width, encoded.height
    stream = ffmpeg.input(
        f"file:{encoded.file}",
        format=_DEMUXERS.get(profile.format, profile.format),
        threads=1,
        xerror=None,
        protocol_whitelist="file",
    )

    def to(address: str) -> list[str]:
        return process.arguments(
            ffmpeg.output(
                stream, address, format="rawvideo", pix_fmt="yuv420p", fps_mode="passthrough", an=None
            )
        )

    def cropped(decoded: Planes) -> Iterator[NDArray[np.uint8]]:
        return (crop_picture(p, (width, height), low) for batch in decoded.batches() for p in batch)

    name, whole = encoded.file.stem, (width, height) == low
    if has_room(folder, frames * (1 if whole else 2), width, height):
        file = folder / f"{name}.yuv"
        _, seconds = process.measured(to(f"file:{file}"), limit=limit)
        stored = check_planes(file, width, height, frames)
        if whole:
            return Decoded(stored, seconds)
        result = write_planes(cropped(stored), *low, folder / f"{name}-cropped.yuv", frames)
        file.unlink()
        return Decoded(result, seconds)
    again = Transient(
        width, height, frames, name, functools.partial(passing, to("pipe:1"), None, width, height)
    )
    # Read once, so that it is known what decoding takes and that all of them come.
    with process.running(to("pipe:1"), limit=limit) as running:
        chunks = process.read_frames(running, again.frame_bytes, BATCH)
        require_frames(sum(len(chunk) for chunk in chunks) / again.frame_bytes, again)
        running.end()
    planes = again if whole else Transient(*low, frames, name, functools.partial(cropped, again))
    return Decoded(planes, running.cpu_seconds)


def encoder_of(profile: Profile) -> str:
    """The encoder behind a profile: as it names itself, and the hash (12 hex digits) of what it makes of a few pictures.

    The version of FFmpeg does not tell: builds link encoders as libraries of their own.

    Raises
    ------
    EndedError
        If it was killed, or hung.
    """
    if profile.digest not in _encoders:
        with work_folder() as folder:
            try:
                stream = _probe(profile, Path(folder))
                name = _own_name(profile, Path(folder))
                _encoders[profile.digest] = f"{name} {hashlib.sha256(stream).hexdigest()[:12]}"
            except EndedError:
                raise
            except EncodeError as error:
                return f"{profile.encoder} that codes nothing ({error})"
    return _encoders[profile.digest]


def _probe(profile: Profile, folder: Path) -> bytes:
    """The stream of a few pictures under the profile's own settings."""
    mode = next((name for name in ("qp", "crf") if name in profile.modes), next(iter(profile.modes)))
    variants = [name for name, other in profile.variants.items() if mode not in other.without]
    variant = DEFAULT_VARIANT if DEFAULT_VARIANT in variants else variants[0]
    grid = profile.modes[mode].grid
    done = encode(
        _slope(folder), profile, variant, mode, grid[len(grid) // 2], Fraction(25), folder, limit=60
    )
    return done.file.read_bytes() if isinstance(done, Encoded) else done.reason.encode()


def check_settings(profile: Profile, variant: str, mode: str) -> None:
    """Try once whether the encoder takes all settings of a profile; what it once took is not tried again.

    Raises
    ------
    InputError
        If it does not: most encoders leave a misspelt setting out with a line in their log, and code without it.
    """
    key = f"{profile.digest} {binary.fingerprint()} {variant} {mode}"
    file = cache_dir() / "settings" / hashlib.sha256(key.encode()).hexdigest()[:24]
    if is_sound(file):
        return
    grid = pair_of(profile, variant, mode)[1].grid
    rate = grid[len(grid) // 2]
    with work_folder() as name:
        pictures, log = _slope(Path(name)), ""
        number = pass_numbers(profile, variant, mode)[-1]
        asked = encode_arguments(
            profile,
            Pictures(*coded_size(profile, _PROBE_SIDE, _PROBE_SIDE), Fraction(25), _PROBE_FRAMES),
            variant=variant,
            mode=mode,
            rate=rate,
            passlog=None if number is None else "log",
            pass_number=number,
        )
        settings = settings_in(profile, asked)
        told = misread(profile.encoder, settings)
        try:
            if told is None:
                done = encode(pictures, profile, variant, mode, rate, Fraction(25), Path(name), limit=60)
                log = done.log if isinstance(done, Encoded) else ""
        except process.FormatError as error:
            log = error.stderr
        except EncodeError:
            return  # it takes too long, or ends half-way: each encode will tell, and a setting need not be why
    told = told or not_taken(settings, log)
    if told is not None:
        setting, words = told
        raise InputError(
            f"Codec {profile.name!r} ({profile.origin}), variant {variant}, mode {mode}: {profile.encoder} does not take "
            f"a setting: {words.rstrip('.')}{whereabouts(profile, setting)}"
        )
    with keeping():
        file.parent.mkdir(parents=True, exist_ok=True)
        entry(file, lambda part: part.write_text("taken\n", encoding="ascii"))


def _own_name(profile: Profile, folder: Path) -> str:
    """What the encoder calls itself where nothing keeps it from telling."""
    file = folder / "named"
    source = process.arguments(ffmpeg.output(_slope(folder).stream(), "OUT"), verbosity="info")
    muxer = MUXERS.get(profile.format, profile.format)
    call = [*source[: source.index("OUT")], "-an", "-c:v", profile.encoder, "-f", muxer, f"file:{file}"]
    text = process.run(call, limit=60) + file.read_bytes().decode("latin-1")
    found = next((match[0] for match in (re.search(name, text) for name in _NAMES) if match), "")
    return " ".join(re.sub(r"\[(\S+) @ \w+\]", r"\1", found).split()) or profile.encoder


def _slope(folder: Path) -> Planes:
    """A slope that moves."""
    side = _PROBE_SIDE
    steps = np.arange(side)
    frames = []
    for frame in range(_PROBE_FRAMES):
        luma = (steps[:, None] * 2 + (steps[None, :] * 5 + 7 * frame) % 64 + 16).astype(np.uint8)
        frames.append(np.concatenate([luma.ravel(), np.full(side * side // 2, 120, np.uint8)]))
    return write_planes(iter(frames), side, side, folder / "probe.yuv", _PROBE_FRAMES)
