"""Bits by kind: what a decoder needs, and what only surrounds it.

Pure functions over the bytes of an elementary stream. Nothing is decoded beyond the first bits of a slice or
frame header, which tell where a coded picture begins.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from rdbench.errors import EncodeError

__all__ = ["Bits", "Format", "count", "escape", "split_nals"]

Format = Literal["h264", "hevc", "vvc", "obu", "ivf-av1", "ivf-vp9"]

Kind = Literal["parameter", "adaptation", "picture", "framing", "container", "informational", "filler"]
_PAYLOAD: tuple[Kind, ...] = ("parameter", "adaptation", "picture")


@dataclass(frozen=True)
class Bits:
    """The size of one elementary stream, in bits, by kind.

    The kinds are apart because small streams are mostly surroundings: start codes, delimiters and banners can
    be half of what lies in the file, and differ between encoders for reasons that have nothing to do with
    coding.

    Parameters
    ----------
    payload : int
        What a decoder needs: parameter sets, slices or tiles with their headers, hidden frames, superframe
        indices. NAL bytes with emulation prevention and without start codes; whole OBUs.
    framing : int
        Start codes and the zero bytes around them, access unit and temporal delimiters, ends of sequence.
    informational : int
        SEI, metadata OBUs, and units of types that a decoder must ignore.
    filler : int
        Filler data NAL units and padding OBUs.
    container : int
        Headers of IVF. They are no part of the elementary stream: another container has others, or none.
    parameter : int
        Share of `payload` in parameter sets and sequence headers: what a long recording pays once, or once a key
        frame.
    adaptation : int
        Share of `payload` in adaptation parameter sets (VVC): filters that are sent for single pictures.
    first_key : int
        Share of `payload` in the slices or tiles of the first key frame.
    frames : tuple of int
        Payload bits of each access unit in decode order, with the parameter sets before it. An access unit is
        a coded picture of H.264, HEVC and VVC, a temporal unit of AV1, a frame or superframe of VP9: one
        output picture each, as long as the video is progressive. They sum to `payload`.
    """

    payload: int
    framing: int
    informational: int
    filler: int
    container: int
    parameter: int
    adaptation: int
    first_key: int
    frames: tuple[int, ...]

    @property
    def stream(self) -> int:
        """Bits of the elementary stream as a file, the sum of the four kinds without the container's."""
        return self.payload + self.framing + self.informational + self.filler


class _Unit(NamedTuple):
    """One unit of a stream, its surroundings apart."""

    kind: Kind
    body: bytes
    around: int
    """Bytes of framing that stand before or after `body` and belong to no unit."""
    begins: bool
    """Whether an access unit begins here (a picture unit) or at the next one (anything else)."""
    key: bool
    trails: bool
    """Whether a non-picture unit belongs to the access unit before it."""


def count(data: bytes, format: Format) -> Bits:
    """Count the bits of an elementary stream by kind.

    Parameters
    ----------
    data : bytes
        The whole stream.
    format : {"h264", "hevc", "vvc", "obu", "ivf-av1", "ivf-vp9"}
        Byte streams of ITU-T H.264, H.265 and H.266 (Annex B), the AV1 low-overhead format, or IVF.

    Raises
    ------
    EncodeError
        If the bytes are not such a stream, or hold no coded picture.
    """
    totals: dict[Kind, int] = dict.fromkeys(get_args(Kind), 0)
    frames: list[int] = []
    waiting = 0
    first_key = 0
    first_key_frame: int | None = None
    for unit in _units(data, format):
        size = len(unit.body)
        totals[unit.kind] += size
        totals["framing"] += unit.around
        if unit.kind == "picture":
            if unit.begins or not frames:
                frames.append(waiting)
                waiting = 0
            frames[-1] += size
            if unit.key and first_key_frame in (None, len(frames)):
                first_key_frame = len(frames)
                first_key += size
        elif unit.kind in _PAYLOAD:
            if unit.trails and frames:
                frames[-1] += size
            else:
                waiting += size
    if not frames:
        raise EncodeError(
            f"The {format} stream of {len(data)} bytes holds no coded picture; encode it again."
        )
    frames[-1] += waiting
    return Bits(
        payload=8 * sum(totals[kind] for kind in _PAYLOAD),
        framing=8 * totals["framing"],
        informational=8 * totals["informational"],
        filler=8 * totals["filler"],
        container=8 * totals["container"],
        parameter=8 * totals["parameter"],
        adaptation=8 * totals["adaptation"],
        first_key=8 * first_key,
        frames=tuple(8 * size for size in frames),
    )


def _units(data: bytes, format: Format) -> Iterator[_Unit]:
    if format in _NAL_KINDS:
        return _nal_units(data, format)
    if format == "obu":
        return _obus(data)
    if format in get_args(Format):
        return _ivf_units(data, format)
    raise EncodeError(
        f"Bits of format {format!r} cannot be counted; known are {', '.join(get_args(Format))}."
    )


def split_nals(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Split a byte stream of Annex B into NAL units.

    Yields
    ------
    around : int
        Bytes before and after the unit that are not part of it: start code, leading and trailing zeros.
    unit : bytes
        The NAL unit as it stands in the stream, emulation prevention included, at least one byte.

    Raises
    ------
    EncodeError
        If the stream begins with anything but a start code, or a unit is empty.
    """
    start = data.find(b"\0\0\1")
    if start < 0 or data[:start].strip(b"\0"):
        raise EncodeError(f"A stream of {len(data)} bytes does not begin with a start code; encode it again.")
    leading = start
    while start >= 0:
        following = data.find(b"\0\0\1", start + 3)
        end = len(data) if following < 0 else following
        unit = data[start + 3 : end].rstrip(b"\0")
        if not unit:
            raise EncodeError(f"The NAL unit at byte {start} of {len(data)} is empty; encode it again.")
        yield leading + end - start - len(unit), unit
        leading = 0
        start = following


def escape(rbsp: bytes) -> bytes:
    """Put emulation prevention bytes into the bytes of a NAL unit, as Annex B wants them.

    Parameters
    ----------
    rbsp : bytes
        Header and raw byte sequence payload; no last byte of zero.
    """
    out = bytearray()
    zeros = 0
    for byte in rbsp:
        if zeros == 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)


def _kinds(
    parameter: set[int],
    picture: set[int],
    framing: set[int],
    filler: set[int],
    adaptation: Collection[int] = (),
) -> dict[int, Kind]:
    table: dict[int, Kind] = {}
    table.update(dict.fromkeys(parameter, "parameter"))
    table.update(dict.fromkeys(adaptation, "adaptation"))
    table.update(dict.fromkeys(picture, "picture"))
    table.update(dict.fromkeys(framing, "framing"))
    table.update(dict.fromkeys(filler, "filler"))
    return table


# Types that are in none of these sets (SEI, reserved, unspecified) are ignored by a decoder: informational.
_NAL_KINDS: dict[str, dict[int, Kind]] = {
    # Rec. ITU-T H.264, table 7-1
    "h264": _kinds({7, 8, 13, 14, 15}, {1, 2, 3, 4, 5, 19, 20, 21}, {9, 10, 11}, {12}),
    # Rec. ITU-T H.265, table 7-1
    "hevc": _kinds({32, 33, 34}, {*range(10), *range(16, 22)}, {35, 36, 37}, {38}),
    # Rec. ITU-T H.266, table 5
    "vvc": _kinds(set(range(12, 17)), {*range(4), *range(7, 11), 19}, {20, 21, 22}, {25}, {17, 18}),
}

_NAL_HEADER = {"h264": 1, "hevc": 2, "vvc": 2}
_NAL_TYPE: dict[str, Callable[[bytes], int]] = {
    "h264": lambda unit: unit[0] & 0x1F,
    "hevc": lambda unit: unit[0] >> 1 & 0x3F,
    "vvc": lambda unit: unit[1] >> 3,
}
_KEY = {"h264": {5}, "hevc": set(range(16, 22)), "vvc": {7, 8, 9}}
# A decoder needs the end of a sequence: it resets what the next picture may refer to.
_END = {"h264": {10, 11}, "hevc": {36, 37}, "vvc": {21, 22}}
_SUFFIX = {"h264": {19}, "hevc": set(), "vvc": {18}}
_PICTURE_HEADER = 19


def _nal_units(data: bytes, format: str) -> Iterator[_Unit]:
    header = _NAL_HEADER[format]
    pictured = False
    for around, body in split_nals(data):
        if len(body) < header or body[0] & 0x80:
            raise EncodeError(f"A NAL unit of the {format} stream has a damaged header; encode it again.")
        number = _NAL_TYPE[format](body)
        kind = _NAL_KINDS[format].get(number, "informational")
        if kind == "picture" and len(body) == header:
            raise EncodeError(f"A slice of the {format} stream is empty; encode it again.")
        begins = False
        if kind == "picture":
            # The first bit tells in all three: first_mb_in_slice is 0 (H.264),
            # first_slice_segment_in_pic_flag (HEVC), sh_picture_header_in_slice_header_flag (VVC, where a
            # picture header unit begins one too).
            begins = bool(body[header] & 0x80)
            if format == "vvc" and number == _PICTURE_HEADER:
                begins, pictured = True, True
            elif format == "vvc":
                begins, pictured = begins and not pictured, False
            if format == "h264" and number in (3, 4, 19, 20, 21):
                begins = False
        trails = number in _END[format] or number in _SUFFIX[format]
        yield _Unit(kind, body, around, begins, number in _KEY[format], trails)


# AV1 specification, section 6.2.2
_OBU_KINDS: dict[int, Kind] = {
    1: "parameter",
    2: "framing",
    3: "picture",
    4: "picture",
    6: "picture",
    7: "picture",
    8: "picture",
    15: "filler",
}
_DELIMITER, _FRAME_HEADER, _FRAME = 2, 3, 6


def _obus(data: bytes) -> Iterator[_Unit]:
    position = 0
    fresh = True
    key = False
    while position < len(data):
        end, number, body_at = _obu(data, position)
        kind = _OBU_KINDS.get(number, "informational")
        body = data[position:end]
        if number == _DELIMITER:
            fresh = True
        if number in (_FRAME_HEADER, _FRAME):
            if body_at >= end:
                raise EncodeError("A frame header of the AV1 stream is empty; encode it again.")
            # show_existing_frame, then frame_type in two bits, of which 0 is a key frame
            key = not data[body_at] & 0xE0
        yield _Unit(
            kind, body, 0, kind == "picture" and fresh, kind == "picture" and key, number == _DELIMITER
        )
        if kind == "picture":
            fresh = False
        position = end


def _obu(data: bytes, position: int) -> tuple[int, int, int]:
    """Where an OBU ends, its type, and where its content begins."""
    damaged = EncodeError(f"The OBU at byte {position} of {len(data)} is damaged; encode it again.")
    header = data[position]
    if header & 0x80 or not header & 0x02:
        raise damaged
    at = position + (2 if header & 0x04 else 1)
    size = 0
    for shift in range(0, 56, 7):
        if at >= len(data):
            raise damaged
        byte = data[at]
        at += 1
        size |= (byte & 0x7F) << shift
        if not byte & 0x80:
            break
    else:
        raise damaged
    if at + size > len(data):
        raise damaged
    return at + size, header >> 3 & 0x0F, at


_FOURCC = {"ivf-av1": b"AV01", "ivf-vp9": b"VP90"}
_IVF_HEADER, _IVF_FRAME_HEADER = 32, 12


def _ivf(data: bytes, format: str) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The file header, and the time stamp (8 bytes) and content of each frame."""
    if len(data) < _IVF_HEADER or data[:4] != b"DKIF" or data[6:8] != b"\x20\0":
        raise EncodeError(
            f"A stream of {len(data)} bytes does not begin with an IVF header; encode it again."
        )
    if data[8:12] != _FOURCC[format]:
        raise EncodeError(f"An IVF stream holds {data[8:12]!r}, not {_FOURCC[format]!r}; see the format key.")
    packets = []
    position = _IVF_HEADER
    while position < len(data):
        content = position + _IVF_FRAME_HEADER
        end = content + int.from_bytes(data[position : position + 4], "little")
        if content >= end or end > len(data):
            raise EncodeError(f"The IVF frame at byte {position} of {len(data)} is damaged; encode it again.")
        packets.append((data[position + 4 : content], data[content:end]))
        position = end
    return data[:_IVF_HEADER], packets


def _ivf_units(data: bytes, format: str) -> Iterator[_Unit]:
    header, packets = _ivf(data, format)
    yield _Unit("container", header, 0, False, False, False)
    for stamp, packet in packets:
        if format == "ivf-vp9":
            yield from _vp9_frames(packet)
        else:
            yield from _obus(packet)
        yield _Unit("container", len(packet).to_bytes(4, "little") + stamp, 0, False, False, False)


def _vp9_frames(packet: bytes) -> Iterator[_Unit]:
    """The frames of one VP9 packet, then the superframe index (VP9 specification, annex B)."""
    marker = packet[-1]
    sizes = [len(packet)]
    index = 0
    if marker & 0xE0 == 0xC0:
        width = (marker >> 3 & 3) + 1
        number = (marker & 7) + 1
        index = 2 + width * number
        if len(packet) >= index and packet[-index] == marker:
            table = packet[1 - index : -1]
            sizes = [int.from_bytes(table[i * width : (i + 1) * width], "little") for i in range(number)]
        else:
            index = 0
    if sum(sizes) + index != len(packet):
        raise EncodeError(f"A VP9 superframe of {len(packet)} bytes has a damaged index; encode it again.")
    position = 0
    for i, size in enumerate(sizes):
        frame = packet[position : position + size]
        if not frame or frame[0] & 0xC0 != 0x80:
            raise EncodeError(f"A VP9 frame of {size} bytes has a damaged header; encode it again.")
        # frame_marker, profile (and a reserved bit where it is 3), show_existing_frame, frame_type
        bit = 4 if frame[0] & 0x30 != 0x30 else 5
        key = not frame[0] << bit & 0xC0
        yield _Unit("picture", frame, 0, i == 0, key, False)
        position += size
    if index:
        yield _Unit("picture", packet[position:], 0, False, False, False)
