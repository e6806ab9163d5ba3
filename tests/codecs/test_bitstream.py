from __future__ import annotations

import io
import re
from collections import Counter

import av
import pytest
from charged import charged_only
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_streams import (
    CONDITIONS,
    FRAMES,
    PROFILES,
    SIZE,
    decoded,
    encoded,
    ffmpeg,
    pictures,
    source,
    steady,
)

from rdbench.codecs.bitstream import Bits, count, escape, split_nals
from rdbench.errors import EncodeError

# An account of streams that shares nothing with rdbench.bitstream: types and sizes from the specifications'
# tables, split by regular expression (NAL units) or walked through (OBUs, IVF).

NAL = {
    # parameter sets, slices, framing, filler, adaptation sets by type
    "h264": ((7, 8), (1, 2, 3, 4, 5), (9, 10, 11), (12,), ()),
    "hevc": ((32, 33, 34), tuple(range(32)), (35, 36, 37), (38,), ()),
    "vvc": ((12, 13, 14, 15, 16), (0, 1, 2, 3, 7, 8, 9, 10, 19), (20, 21, 22), (25,), (17, 18)),
}


def nal_type(unit: bytes, format: str) -> int:
    return {"h264": unit[0] % 32, "hevc": unit[0] // 2 % 64, "vvc": unit[1 if len(unit) > 1 else 0] // 8}[
        format
    ]


def nal_units(data: bytes) -> list[bytes]:
    parts = re.split(rb"\x00*\x00\x00\x01", data)
    assert parts[0] == b""
    return [re.sub(rb"\x00+\Z", b"", part) for part in parts[1:]]


def leb128(data: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        value += (data[at] % 128) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 128:
            return value, at


def obus(data: bytes) -> list[tuple[int, bytes, bytes]]:
    """Type, whole unit, content."""
    units, at = [], 0
    while at < len(data):
        start = at
        kind, extended = data[at] // 8 % 16, data[at] // 4 % 2
        size, content = leb128(data, at + 1 + extended)
        at = content + size
        units.append((kind, data[start:at], data[content:at]))
    assert at == len(data)
    return units


def ivf_packets(data: bytes) -> list[bytes]:
    packets, at = [], 32
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        packets.append(data[at + 12 : at + 12 + size])
        at += 12 + size
    return packets


def account(data: bytes, format: str) -> dict[str, int]:
    """Bytes by kind."""
    totals: Counter[str] = Counter()
    if format in NAL:
        names = ("parameter", "picture", "delimiter", "filler", "adaptation")
        for unit in nal_units(data):
            number = nal_type(unit, format)
            kinds = [name for name, numbers in zip(names, NAL[format], strict=True) if number in numbers]
            totals[kinds[0] if kinds else "informational"] += len(unit)
    elif format == "ivf-vp9":
        totals["picture"] = sum(map(len, ivf_packets(data)))
    else:
        packets = [data] if format == "obu" else ivf_packets(data)
        kinds = {1: "parameter", 2: "delimiter", 3: "picture", 4: "picture", 6: "picture", 15: "filler"}
        for packet in packets:
            for number, unit, _ in obus(packet):
                totals[kinds.get(number, "informational")] += len(unit)
    payload = totals["parameter"] + totals["adaptation"] + totals["picture"]
    container = 32 + 12 * len(ivf_packets(data)) if format.startswith("ivf") else 0
    rest = totals["informational"] + totals["filler"] + container
    return {
        "payload": payload,
        "framing": len(data) - payload - rest,
        "informational": totals["informational"],
        "filler": totals["filler"],
        "container": container,
        "parameter": totals["parameter"],
        "adaptation": totals["adaptation"],
    }


def assert_proven(data: bytes, format: str, suffix: str, frames: int = FRAMES) -> Bits:
    bits = count(data, format)
    theirs = account(data, format)
    assert {name: getattr(bits, name) for name in theirs} == {name: 8 * n for name, n in theirs.items()}
    assert bits.stream + bits.container == 8 * len(data)
    assert len(bits.frames) == frames
    assert sum(bits.frames) == bits.payload
    assert 0 < bits.first_key < bits.payload
    whole = decoded(data, suffix)
    assert len(whole) == frames * SIZE * SIZE * 3 // 2
    charged = charged_only(data, format)
    assert decoded(charged, suffix) == whole
    again = count(charged, format)
    assert again.payload == bits.payload
    assert again.frames == bits.frames
    assert again.informational == again.filler == 0
    assert again.framing <= bits.framing
    return bits


@pytest.mark.parametrize(("name", "variant", "mode"), CONDITIONS)
def test_payload_is_that_of_an_independent_parse_and_decodes_alone(name, variant, mode):
    profile = PROFILES[name]
    bits = assert_proven(encoded(name, variant, mode), profile.format, profile.suffix)
    assert bits.informational == bits.filler == 0


# Encoders told to write everything that the profiles keep out.
TALKATIVE = {
    "x264 banner, delimiters, slices": (
        "h264",
        ".h264",
        ["libx264", "-x264-params", "aud=1:slices=3:keyint=20"],
        {"informational", "framing"},
    ),
    "x264 filler": (
        "h264",
        ".h264",
        ["libx264", "-x264-params", "nal-hrd=cbr:filler=1:bitrate=300:vbv-maxrate=300:vbv-bufsize=100"],
        {"informational", "filler"},
    ),
    "x265 banner, hash, delimiters, open": (
        "hevc",
        ".hevc",
        ["libx265", "-x265-params", "aud=1:hash=1:keyint=16:open-gop=1:hrd=1:vbv-maxrate=99:vbv-bufsize=99"],
        {"informational", "framing"},
    ),
    "kvazaar hash, slices": (
        "hevc",
        ".hevc",
        ["libkvazaar", "-kvazaar-params", "period=16"],
        {"informational"},
    ),
    "vvenc delimiters, hash": (
        "vvc",
        ".vvc",
        [
            "libvvenc",
            "-preset",
            "faster",
            "-vvenc-params",
            "internalbitdepth=8:SEIDecodedPictureHash=1:accessunitdelimiter=1",
        ],
        {"informational", "framing"},
    ),
    "svtav1 metadata": (
        "obu",
        ".obu",
        ["libsvtav1", "-preset", "10", "-svtav1-params", "lp=1:content-light=1000,400"],
        {"informational"},
    ),
    "libaom metadata": ("ivf-av1", ".ivf", ["libaom-av1", "-cpu-used", "8"], {"framing"}),
}


@pytest.mark.parametrize("case", TALKATIVE)
def test_what_a_decoder_does_not_need_is_not_payload(case, tmp_path):
    format, suffix, arguments, expected = TALKATIVE[case]
    out = tmp_path / f"out{suffix}"
    muxer = "ivf" if format.startswith("ivf") else format
    run = ffmpeg("-v", "error", *source(), "-c:v", *arguments, "-f", muxer, str(out), data=pictures())
    assert run.returncode == 0, run.stderr.decode()
    bits = assert_proven(out.read_bytes(), format, suffix)
    for kind in expected:
        assert getattr(bits, kind) > 0, kind


@pytest.mark.parametrize("name", [name for name, profile in PROFILES.items() if profile.suffix != ".vvc"])
def test_frames_are_the_access_units_that_ffmpegs_own_parser_sees(name):
    profile = PROFILES[name]
    data = encoded(name, "ra", steady(name, "ra"))
    with av.open(io.BytesIO(data), format="ivf" if profile.suffix == ".ivf" else profile.format) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    if profile.format in NAL:
        theirs = [sum(map(len, nal_units(packet))) for packet in packets]
    elif profile.format == "ivf-vp9":
        theirs = [len(packet) for packet in packets]
    else:
        theirs = [sum(len(unit) for kind, unit, _ in obus(packet) if kind != 2) for packet in packets]
    assert [8 * size for size in theirs] == list(count(data, profile.format).frames)


def test_first_key_is_the_first_pictures_slices():
    units = nal_units(encoded("x264", "ra", "qp"))
    first = next(unit for unit in units if nal_type(unit, "h264") == 5)
    assert count(encoded("x264", "ra", "qp"), "h264").first_key == 8 * len(first)


def test_slices_of_one_picture_are_one_frame():
    slices = b"".join(b"\0\0\1" + bytes([0x65, first]) + b"\x99" * 9 for first in (0x80, 0x40, 0x20))
    bits = count(b"\0\0\0\1\x67\x42\x11" + slices + slices + b"\0\0", "h264")
    assert bits.frames == (8 * (3 + 33), 8 * 33)
    assert bits.first_key == 8 * 33
    assert bits.framing == 8 * (4 + 18 + 2)


nal_bodies = st.binary(min_size=1, max_size=40).map(lambda body: body + b"\x80")
zeros = st.integers(0, 3)


@given(st.lists(st.tuples(zeros, nal_bodies, zeros), min_size=1, max_size=8))
def test_splitting_gives_back_units_and_every_byte_around_them(units):
    data = b"".join(b"\0" * a + b"\0\0\1" + escape(body) + b"\0" * z for a, body, z in units)
    split = list(split_nals(data))
    assert [unit for _, unit in split] == [escape(body) for _, body, _ in units]
    assert sum(around + len(unit) for around, unit in split) == len(data)


@given(st.one_of(nal_bodies, st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 4]), min_size=1).map(bytes)))
def test_escaped_bytes_hold_no_start_code_and_come_back(body):
    escaped = escape(body)
    assert not re.search(rb"\0\0[\0\1\2]", escaped)
    assert escaped.replace(b"\0\0\3", b"\0\0") == body


formats = st.sampled_from(["h264", "hevc", "vvc", "obu", "ivf-av1", "ivf-vp9"])


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=80).map(lambda b: b"\0\0\1" + b)), formats)
def test_garbage_is_an_encode_error_or_counted_to_the_last_bit(data, format):
    try:
        bits = count(data, format)
    except EncodeError:
        return
    assert bits.stream + bits.container == 8 * len(data)
    assert sum(bits.frames) == bits.payload


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(PROFILES)), st.data())
def test_damaged_streams_are_an_encode_error_or_counted_to_the_last_bit(name, draw):
    data = bytearray(encoded(name, "ra", steady(name, "ra")))
    for _ in range(draw.draw(st.integers(0, 4))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    damaged = bytes(data[: draw.draw(st.integers(0, len(data)))])
    try:
        bits = count(damaged, PROFILES[name].format)
    except EncodeError:
        return
    assert bits.stream + bits.container == 8 * len(damaged)
    assert sum(bits.frames) == bits.payload
    assert charged_only(damaged, PROFILES[name].format)


@pytest.mark.parametrize("data", [b"", b"\0\0\0", b"not a stream", b"\0\0\1", b"\0\0\1\xe5\x80"])
@pytest.mark.parametrize("format", ["h264", "hevc", "vvc", "obu", "ivf-av1", "ivf-vp9"])
def test_what_holds_no_picture_is_an_encode_error(data, format):
    with pytest.raises(EncodeError):
        count(data, format)


@pytest.mark.parametrize(
    ("format", "unit"), [("h264", b"\x06\x05\x80"), ("hevc", b"\x4e\1\x80"), ("vvc", b"\0\xb9\x80")]
)
def test_a_stream_of_nothing_but_sei_holds_no_picture(format, unit):
    with pytest.raises(EncodeError, match="no coded picture"):
        count(b"\0\0\1" + unit, format)


def test_unknown_format_is_named():
    with pytest.raises(EncodeError, match="mpeg2"):
        count(b"\0\0\1", "mpeg2")  # type: ignore[arg-type]


def test_ivf_of_another_codec_is_refused():
    with pytest.raises(EncodeError, match="VP90"):
        count(encoded("libaom", "ra", "crf"), "ivf-vp9")
