"""The way through FFmpeg: downsample, encode, decode, bring to the recogniser's size.

Planes lie in raw files between the steps, so that a frame can neither be lost nor invented unseen: a file's
size says how many there are.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import ffmpeg

from rdbench.video import process
from rdbench.video.arguments import coded_size, encode_arguments, mean_qp, pass_numbers, refused
from rdbench.video.bitstream import Bits, count
from rdbench.video.planes import Planes, check_planes, crop_picture, padded_planes, write_planes
from rdbench.video.profiles import Profile

__all__ = ["Encoded", "Refused", "decode", "encode"]


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
    mean_qp: float | None


@dataclass(frozen=True)
class Refused:
    """An encoder's own refusal: this rate is not applicable, which is a result and no failure."""

    reason: str
    command: tuple[str, ...]
    width: int
    height: int


def encode(
    planes: Planes, profile: Profile, variant: str, mode: str, rate: float, fps: Fraction, folder: Path
) -> Encoded | Refused:
    """Encode all pictures, and count the bits of what came out.

    Raises
    ------
    EncodeError
        If the encoder fails for another reason than refusing the rate.
    """
    width, height = coded_size(profile, planes.width, planes.height)
    width, height = width + width % 2, height + height % 2
    coded = padded_planes(planes, (width, height), folder)
    name = uuid.uuid4().hex
    file = folder / f"{name}{profile.suffix}"
    passes = pass_numbers(profile, mode)
    source = process.arguments(ffmpeg.output(coded.stream(fps), "OUT"), verbosity="info")
    source = source[: source.index("OUT")]
    command: list[str] = []
    stderr = ""
    for number in passes:
        options = encode_arguments(
            profile,
            variant=variant,
            mode=mode,
            rate=rate,
            width=width,
            height=height,
            fps=fps,
            frames=planes.frames,
            passlog=None if number is None else str(folder / name),
            pass_number=number,
        )
        call = [*source, "-an", *options, "-" if number == 1 else f"file:{file}"]
        shown = {str(folder / name): "{passlog}", f"file:{file}": "{out}", f"file:{coded.file}": "{in}"}
        command += [*(["&&"] if command else []), "ffmpeg", *(shown.get(word, word) for word in call[1:])]
        try:
            stderr = process.run(call)
        except process.FormatError as error:
            reason = refused(profile, error.stderr)
            if reason is None:
                raise
            return Refused(reason, tuple(command), width, height)
    data = file.read_bytes() if file.exists() else b""
    bits = count(data, profile.format)
    digest = hashlib.sha256(data).hexdigest()
    return Encoded(file, digest, bits, tuple(command), width, height, mean_qp(profile, stderr))


def decode(encoded: Encoded, profile: Profile, low: tuple[int, int], frames: int, folder: Path) -> Planes:
    """Decode an elementary stream and take the codec's padding off.

    Raises
    ------
    EncodeError
        If it does not decode without a fault to as many frames as went in.
    """
    file = folder / f"{encoded.file.stem}.yuv"
    stream = ffmpeg.input(
        f"file:{encoded.file}",
        format=_DEMUXERS.get(profile.format, profile.format),
        threads=1,
        xerror=None,
        protocol_whitelist="file",
    )
    output = ffmpeg.output(
        stream, f"file:{file}", format="rawvideo", pix_fmt="yuv420p", fps_mode="passthrough", an=None
    )
    process.run(process.arguments(output))
    decoded = check_planes(file, encoded.width, encoded.height, frames)
    if (encoded.width, encoded.height) == low:
        return decoded
    cropped = folder / f"{encoded.file.stem}-cropped.yuv"
    rows = (crop_picture(p, (encoded.width, encoded.height), low) for b in decoded.batches() for p in b)
    result = write_planes(rows, *low, cropped, frames)
    file.unlink()
    return result
