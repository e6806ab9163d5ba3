"""Whether a media file ends where its own container says, and holds what its check sums say.

Readers go on at the next piece that they understand, and decoders show whatever comes out: of a file that was cut off
in its last picture, or of which bytes were flipped, nobody may complain. Containers keep account of their pieces, and
that is read here: bytes alone, no library that may stumble.

Sources: RFC 8794 and RFC 9559 (Matroska), ISO/IEC 14496-12 (MP4), ISO/IEC 13818-1 (MPEG-TS and PS), RFC 3533 (Ogg),
Adobe FLV 10.1, Microsoft ASF 01.20.06, GIF89a.
"""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

__all__ = ["fault"]

_MATROSKA_SEGMENT = 0x18538067
_MATROSKA_CLUSTER = 0x1F43B675
_LARGEST = 2**28
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_MP4_BOXES = frozenset((b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"))


def fault(file: Path) -> str:
    """What is wrong with a file by its container's own account, in words.

    Parameters
    ----------
    file : Path

    Returns
    -------
    str
        Empty where nothing is, or where the container keeps no account.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    if not file.is_file() or file.stat().st_size < 32:
        return ""
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        judge = _judge_of(data)
        try:
            return judge(data) if judge else ""
        except IndexError:
            return _cut(len(data))


def _judge_of(data: mmap.mmap) -> Callable[[mmap.mmap], str] | None:
    start = data[:16]
    if start[:4] == b"\x1a\x45\xdf\xa3":
        return _matroska
    if start[4:8] in _MP4_BOXES:
        return _mp4
    if start[:4] == b"RIFF" and start[8:12] == b"AVI ":
        return _avi
    if start == _ASF:
        return _asf
    if len(data) > 600 and any(_synchronous(data, size) for size in (188, 192)):
        return _transport
    if start[:4] == b"\x00\x00\x01\xba":
        return _program
    known = {b"DKIF": _ivf, b"OggS": _ogg, b"FLV\x01": _flv, b"GIF8": _gif}
    return known.get(start[:4])


def _cut(at: int, whole: int | None = None) -> str:
    return f"the file is cut off at byte {at}" + (f" of {whole}" if whole else "")


def _beyond(at: int, data: mmap.mmap) -> str:
    return _cut(len(data)) if at > len(data) else ""


def _number(data: mmap.mmap, at: int, size: int, order: Literal["big", "little"] = "big") -> int:
    """A number of `size` bytes; an index error where they are not there."""
    if at + size > len(data):
        raise IndexError
    return int.from_bytes(data[at : at + size], order)


def _element(data: mmap.mmap, at: int) -> tuple[int, int, int | None]:
    """ID of an EBML element, where its content begins, and how long it is; None where it does not say."""
    first = _number(data, at, 1)
    length = 9 - first.bit_length()
    if length > 4:
        raise ValueError
    name = _number(data, at, length)
    at += length
    first = _number(data, at, 1)
    length = 9 - first.bit_length()
    if length > 8:
        raise ValueError
    size = _number(data, at, length) & ((1 << 7 * length) - 1)
    return name, at + length, None if size == (1 << 7 * length) - 1 else size


def _matroska(data: mmap.mmap) -> str:
    """The size of the segment, and the check sums of clusters that have one; other elements hold no pictures."""
    try:
        _, at, size = _element(data, 0)
        name, at, size = _element(data, at + (size or 0))
        if name != _MATROSKA_SEGMENT or size is None:
            return ""
        end = at + size
        if end > len(data):
            return _cut(len(data), end)
        while at < end:
            name, content, length = _element(data, at)
            if length is None or content + length > end:
                return ""
            summed = name == _MATROSKA_CLUSTER and data[content : content + 2] == b"\xbf\x84"
            if summed and 6 < length < _LARGEST:
                said = _number(data, content + 2, 4, "little")
                if zlib.crc32(data[content + 6 : content + length]) != said:
                    return f"the check sum of a cluster of {length} bytes at byte {at} does not hold"
            at = content + length
    except ValueError:
        pass  # no element: the reader goes on at the next one, and what is lost shows in its times
    return ""


def _mp4(data: mmap.mmap) -> str:
    """Whether there is an index. Pictures that the index has and the file lacks are counted by whoever reads it."""
    at, names = 0, set()
    while at + 8 <= len(data):
        size, name = _number(data, at, 4), data[at + 4 : at + 8]
        if size == 1:
            size = _number(data, at + 8, 8)
        names.add(name)
        if size and size < 8:
            return ""
        if not size:
            break
        at += size
    if b"moov" in names:
        return ""
    where = _cut(len(data), at) if at > len(data) else "the file is cut off"
    return f"{where}: it has no index (moov)"


def _avi(data: mmap.mmap) -> str:
    end = 8 + _number(data, 4, 4, "little")
    return _cut(len(data), end) if end > len(data) and end - 8 < 0xFFFFFFFF else ""


def _asf(data: mmap.mmap) -> str:
    at = data.find(_ASF_FILE, 0, 65536)
    size = _number(data, at + 40, 8, "little") if at > 0 else 0
    return _cut(len(data), size) if size > len(data) else ""


def _synchronous(data: mmap.mmap, size: int) -> bool:
    return all(data[size - 188 + size * number] == 0x47 for number in range(3))


def _transport(data: mmap.mmap) -> str:
    """A last packet that is not whole; what follows the last packet and is none is let be."""
    size = next(size for size in (188, 192) if _synchronous(data, size))
    left = len(data) % size
    begun = left > size - 188 and data[len(data) - left + size - 188] == 0x47
    return _cut(len(data), len(data) - left + size) if begun else ""


def _program(data: mmap.mmap) -> str:
    at = 0
    while at + 4 <= len(data) and data[at : at + 3] == b"\x00\x00\x01":
        code = data[at + 3]
        if code == 0xBA:
            at += 14 + (data[at + 13] & 7) if data[at + 4] & 0xC0 == 0x40 else 12
        elif code == 0xB9:
            at += 4
        elif code < 0xBB:
            return ""
        else:
            at += 6 + _number(data, at + 4, 2)
    return _beyond(at, data)


def _ivf(data: mmap.mmap) -> str:
    at = _number(data, 6, 2, "little")
    while at < len(data):
        at += 12 + _number(data, at, 4, "little")
    return _beyond(at, data)


def _ogg(data: mmap.mmap) -> str:
    at = 0
    while data[at : at + 4] == b"OggS":
        table = data[at + 26]
        if at + 27 + table > len(data):
            return _cut(len(data))
        at += 27 + table + sum(data[at + 27 : at + 27 + table])
    return _beyond(at, data)


def _flv(data: mmap.mmap) -> str:
    at = _number(data, 5, 4) + 4
    while at < len(data):
        if data[at] & 0x1F not in (8, 9, 18):
            return ""
        at += 15 + _number(data, at + 1, 3)
    return _beyond(at, data)


def _gif(data: mmap.mmap) -> str:
    """Whether the last picture is whole; the byte that ends the file may be missing."""

    def colours(flags: int) -> int:
        return 3 << ((flags & 7) + 1) if flags & 0x80 else 0

    at = 13 + colours(data[10])
    while at < len(data) and data[at] in (0x21, 0x2C):
        at += 2 if data[at] == 0x21 else 11 + colours(data[at + 9])
        while data[at]:
            at += 1 + data[at]
        at += 1
    return _beyond(at, data)
