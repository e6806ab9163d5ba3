"""What encoders do in each variant and mode, measured from their streams and not read from their settings."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import ffmpeg
import numpy as np
from numpy.typing import NDArray

from rdbench import binary
from rdbench.codecs.arguments import Pictures, encode_arguments, mode_of, pass_numbers
from rdbench.codecs.bitstream import Bits, count
from rdbench.codecs.coder import Encoded, decode, encode
from rdbench.codecs.headers import CodedPicture, pictures_of, sections_of, traced
from rdbench.codecs.profiles import MUXERS, Profile
from rdbench.errors import EncodeError
from rdbench.machine import work_folder
from rdbench.video import process
from rdbench.video.planes import Planes, write_planes

__all__ = ["ALL", "Foresight", "Structure", "foresight", "material", "middle_rate", "structure"]

SIDE, FRAMES, FPS = 64, 110, Fraction(25)
CHANGED = 96
"""The picture from which on the other content is another: late in its group, so that a look-ahead fits in before."""
ALL = 10**9
"""Pictures that a mode of two passes reads ahead and holds back: all that there are."""
SETTLED = 3.0
"""Seconds without a byte after which an encoder at an open pipe has given what it gives."""


@dataclass(frozen=True)
class Structure:
    """One variant and mode of a codec, as its stream has it.

    Parameters
    ----------
    key_distance : int
        Pictures from one key frame to the next; 0 where there is only the first.
    closed : bool
        Whether the last group decodes to the same pictures without those before it; true where there is one.
    hidden : int
        Hidden frames for each 100 shown.
    layers, references : int
        Most of them; see `rdbench.codecs.headers.CodedPicture`.
    slices : int
        Most slices or tiles of a picture.
    by_block : bool
        Whether blocks of a picture have quantisers of their own; of H.265, H.266 and AV1 whether they may.
    tools : tuple of str
        Loop filters and film grain that a picture uses.
    surroundings : float
        Share of the stream that is no payload, in percent.
    parameters : float
        Share of the payload in parameter sets, in percent.
    """

    key_distance: int
    closed: bool
    hidden: int
    layers: int
    references: int
    slices: int
    by_block: bool
    tools: tuple[str, ...]
    surroundings: float
    parameters: float


@dataclass(frozen=True)
class Foresight:
    """How many pictures decisions read ahead, and how many an open pipe keeps back; `ALL` for the whole clip."""

    reads: int
    delay: int


def material(other: bool = False) -> Iterator[NDArray[np.uint8]]:
    """Pictures of 64x64: a drifting texture with noise; the other content has another noise from `CHANGED` on."""
    noise = np.random.default_rng(5)
    rows, columns = np.indices((2 * SIDE, 2 * SIDE))
    waves = (rows * columns // 7 + 3 * rows) % 97 + (5 * columns + rows) % 53
    for number in range(FRAMES):
        moved = np.roll(waves, (number, 2 * number), axis=(0, 1))[:SIDE, :SIDE] + 40
        grain = noise.integers(-4, 5, moved.shape)
        if other and number >= CHANGED:
            # No cut: pictures between would no longer refer to what comes.
            grain = 2 * grain[::-1]
        luma = np.clip(moved + grain, 16, 235).astype(np.uint8)
        chroma = np.clip(luma[::2, ::2] // 4 + 96, 16, 240).astype(np.uint8)
        yield np.concatenate([luma.ravel(), chroma.ravel(), chroma[::-1].ravel()])


def middle_rate(profile: Profile, mode: str) -> float:
    """A rate at which small pictures are coded neither coarsely nor finely."""
    grid = mode_of(profile, mode).grid
    return 40.0 if mode in ("abr", "2pass") else grid[len(grid) // 2]


def _coded(planes: Planes, profile: Profile, variant: str, mode: str, folder: Path) -> Encoded:
    done = encode(planes, profile, variant, mode, middle_rate(profile, mode), FPS, folder)
    if not isinstance(done, Encoded):
        raise EncodeError(f"{profile.name} {variant} {mode} was refused: {done.reason}; give another rate.")
    return done


def structure(profile: Profile, variant: str, mode: str) -> Structure:
    """Measure the structure of what a profile writes.

    Raises
    ------
    EncodeError
        If it cannot encode or its headers cannot be read.
    """
    with work_folder() as name:
        folder = Path(name)
        planes = write_planes(material(), SIDE, SIDE, folder / "in.yuv", FRAMES)
        done = _coded(planes, profile, variant, mode, folder)
        trace = traced(done.file, profile.format)
        pictures = pictures_of(trace, profile.format)
        keys = _keys(done.file, profile.format)
        shown = np.cumsum([picture.shown for picture in pictures])
        sections = list(sections_of(trace))
        return Structure(
            key_distance=keys[1] - keys[0] if len(keys) > 1 else 0,
            closed=_closed(done, profile, keys, planes, folder),
            hidden=round(100 * (len(pictures) - int(shown[-1])) / int(shown[-1])),
            layers=1 + max(picture.layer for picture in pictures),
            references=max(picture.references for picture in pictures),
            slices=_slices(sections, len(pictures)),
            by_block=_by_block(done, profile, pictures),
            tools=_tools(profile.format, sections),
            surroundings=_share(done.bits.stream - done.bits.payload, done.bits.stream),
            parameters=_share(done.bits.parameter, done.bits.payload),
        )


def _share(part: int, whole: int) -> float:
    return 100 * part / whole


def _closed(done: Encoded, profile: Profile, keys: list[int], planes: Planes, folder: Path) -> bool:
    """Whether the pictures from the last key frame on are the same without all that was coded before it."""
    if len(keys) < 2:
        return True
    size = (planes.width, planes.height)
    whole = np.concatenate(list(decode(done, profile, size, FRAMES, folder).planes.batches()))
    # The first one stays, since not every encoder repeats its parameter sets.
    cut = folder / f"cut{profile.suffix}"
    source = ffmpeg.input(f"file:{done.file}", format=MUXERS.get(profile.format, profile.format))
    drop = {"bsf:v": f"noise=drop=gt(n\\,0)*lt(n\\,{keys[-1]})"}
    copied = ffmpeg.output(
        source, f"file:{cut}", format=MUXERS.get(profile.format, profile.format), c="copy", **drop
    )
    process.run(process.arguments(copied))
    out = folder / "cut.yuv"
    stream = ffmpeg.input(f"file:{cut}", format=MUXERS.get(profile.format, profile.format))
    process.run(
        process.arguments(
            ffmpeg.output(stream, f"file:{out}", format="rawvideo", pix_fmt="yuv420p", fps_mode="passthrough")
        )
    )
    rest = np.fromfile(out, np.uint8).reshape(-1, whole.shape[1])
    return len(rest) == FRAMES - keys[-1] + 1 and bool((rest[1:] == whole[keys[-1] :]).all())


def _keys(file: Path, format: str) -> list[int]:
    """Places of key frames among the packets: one is a picture of H.26x, or a shown one with the hidden before it."""
    with av.open(str(file), format=MUXERS.get(format, format)) as container:
        keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    return [number for number, key in enumerate(keys) if key]


def _slices(sections: list[tuple[str, Mapping[str, int]]], pictures: int) -> int:
    tiles = [
        2 ** (f["tile_cols_log2"] + f.get("tile_rows_log2", 0)) for _, f in sections if "tile_cols_log2" in f
    ]
    if tiles:
        return max(tiles)
    slices = sum(title in ("Slice Header", "Slice Segment Header") for title, _ in sections)
    return -(-slices // pictures)


def _by_block(done: Encoded, profile: Profile, pictures: list[CodedPicture]) -> bool:
    """From headers; those of H.264 always allow it, so that its decoder is asked for each block's quantiser."""
    if profile.format != "h264":
        return any(picture.varies for picture in pictures)
    with av.open(str(done.file), format="h264") as container:
        container.streams.video[0].codec_context.options = {"export_side_data": "venc_params"}
        for frame in container.decode(video=0):
            told: list[Any] = list(frame.side_data)
            for data in told:
                if data.type.name == "VIDEO_ENC_PARAMS" and np.ptp(_block_quantisers(bytes(data))):
                    return True
    return False


def _block_quantisers(data: bytes) -> NDArray[np.int32]:
    """Differences of each block's quantiser from the picture's: the last of the five numbers of AVVideoBlockParams."""
    number, offset, size = (int.from_bytes(data[at : at + 8], "little") for at in (0, 8, 16))
    number &= 0xFFFFFFFF
    blocks = np.frombuffer(data[offset : offset + number * size], np.uint8).reshape(number, size)
    return np.ascontiguousarray(blocks[:, 16:20]).view(np.int32).ravel()


_ON: dict[str, tuple[tuple[str, str], ...]] = {
    "h264": (),
    "hevc": (("SAO", "slice_sao_luma_flag"),),
    "vvc": (
        ("SAO", "sh_sao_luma_used_flag"),
        ("ALF", "sh_alf_enabled_flag"),
        ("CC-ALF", "sh_alf_cc_cb_enabled_flag"),
        ("LMCS", "sh_lmcs_used_flag"),
    ),
    "av1": (
        ("deblocking", "loop_filter_level[0]"),
        ("CDEF", "cdef_y_pri_strength[0]"),
        ("CDEF", "cdef_y_sec_strength[0]"),
        ("restoration", "lr_type[0]"),
        ("film grain", "apply_grain"),
    ),
    "vp9": (("deblocking", "loop_filter_level"),),
}
_DEBLOCKING = {
    "h264": ("Slice Header", "disable_deblocking_filter_idc"),
    "hevc": ("Slice Segment Header", "slice_deblocking_filter_disabled_flag"),
    "vvc": ("Slice Header", "sh_deblocking_filter_disabled_flag"),
}
"""Where a slice says that it is not deblocked: 1."""


def _tools(format: str, sections: list[tuple[str, Mapping[str, int]]]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    if format in _DEBLOCKING:
        title, flag = _DEBLOCKING[format]
        if any(name == title and fields.get(flag, 0) != 1 for name, fields in sections):
            found["deblocking"] = None
    for tool, field in _ON[{"obu": "av1", "ivf-av1": "av1", "ivf-vp9": "vp9"}.get(format, format)]:
        if any(fields.get(field, 0) for _, fields in sections):
            found[tool] = None
    return tuple(found)


def foresight(profile: Profile, variant: str, mode: str) -> Foresight:
    """Measure how far ahead decisions read, and what an open pipe keeps back.

    Two contents that are equal up to a picture tell the first: the first decoded picture that differs. The second is
    what has not come out when nothing comes any more, FFmpeg's own picture apart.
    """
    if pass_numbers(profile, variant, mode) != (None,):
        return Foresight(ALL, ALL)
    with work_folder() as name:
        folder = Path(name)
        decoded = []
        for other in (False, True):
            planes = write_planes(material(other), SIDE, SIDE, folder / f"in{other}.yuv", FRAMES)
            done = _coded(planes, profile, variant, mode, folder)
            out = decode(done, profile, (SIDE, SIDE), FRAMES, folder).planes
            decoded.append(np.concatenate(list(out.batches())))
        first = int(np.flatnonzero((decoded[0] != decoded[1]).any(axis=1))[0])
    return Foresight(ALL if first == 0 else CHANGED - first, _kept_back(profile, variant, mode))


def _kept_back(profile: Profile, variant: str, mode: str) -> int:
    pictures = Pictures(SIDE, SIDE, FPS, FRAMES)
    asked = encode_arguments(profile, pictures, variant=variant, mode=mode, rate=middle_rate(profile, mode))
    source = ("-probesize", "32", "-fflags", "nobuffer", "-f", "rawvideo", "-pix_fmt", "yuv420p")
    shape = ("-s", f"{SIDE}x{SIDE}", "-framerate", str(FPS), "-i", "-", "-an")
    command = [binary.executable(), "-v", "error", *source, *shape, *asked, "-flush_packets", "1", "-"]
    over, fed = threading.Event(), threading.Event()

    def feed() -> Iterator[bytes]:
        for picture in material():
            yield picture.tobytes()
        fed.set()
        over.wait()

    data = b""
    with process.running(command, feed=feed()) as running:
        try:
            while select.select([running.stdout], [], [], SETTLED)[0] or not fed.is_set():
                data += running.stdout.read1(1 << 20)
        finally:
            over.set()
    return FRAMES - 1 - len(_frames(data, profile).frames)


def _frames(data: bytes, profile: Profile) -> Bits:
    """Bits of a stream that may end within a unit."""
    for end in range(len(data), 0, -1):
        try:
            return count(data[:end], profile.format)
        except EncodeError:
            continue
    raise EncodeError("Nothing came out of the open pipe; encode it again.")
