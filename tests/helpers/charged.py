"""A stream again with nothing but what is charged: the proof behind `Bits.payload`."""

from __future__ import annotations

from collections.abc import Iterable

from rdbench.codecs.bitstream import _NAL_KINDS, Format, _ivf, _nal_units, _obus, _Unit


def charged_only(data: bytes, format: Format) -> bytes:
    """Write a stream again with nothing but its payload and the least framing that a decoder needs.

    The proof behind `Bits.payload`: the result must decode to the same frames, or something that a decoder
    needs was not charged.

    Parameters
    ----------
    data : bytes
    format : {"h264", "hevc", "vvc", "obu", "ivf-av1", "ivf-vp9"}

    Raises
    ------
    EncodeError
        If the bytes are not such a stream.
    """
    if format in _NAL_KINDS:
        return _byte_stream(unit for unit in _nal_units(data, format) if _kept(unit))
    if format == "obu":
        return b"".join(unit.body for unit in _obus(data) if _kept(unit))
    header, packets = _ivf(data, format)
    if format == "ivf-vp9":
        return data
    out = [header]
    for stamp, packet in packets:
        body = b"".join(unit.body for unit in _obus(packet) if _kept(unit))
        out.append(len(body).to_bytes(4, "little") + stamp + body)
    return b"".join(out)


def _kept(unit: _Unit) -> bool:
    return unit.kind in ("parameter", "adaptation", "picture") or (unit.kind == "framing" and unit.trails)


def _byte_stream(units: Iterable[_Unit]) -> bytes:
    """NAL units with the start codes that Annex B wants: long at parameter sets and new access units."""
    out = []
    before: _Unit | None = None
    for unit in units:
        follows = before is None or before.kind == "picture" or before.trails
        opens = follows and (unit.begins or (unit.kind in ("parameter", "adaptation") and not unit.trails))
        out.append(b"\0\0\0\1" if opens or unit.kind == "parameter" else b"\0\0\1")
        out.append(unit.body)
        before = unit
    return b"".join(out)
