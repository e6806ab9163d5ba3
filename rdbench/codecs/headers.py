"""What the headers of a stream say of its pictures: type, order, quantiser, references.

FFmpeg's own parsers read the headers (``trace_headers``), so that one reader serves all formats and no parser of
ours has to be believed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import ffmpeg

from rdbench.codecs.profiles import MUXERS
from rdbench.errors import EncodeError
from rdbench.video import process

__all__ = ["CodedPicture", "Kind", "by_layer", "pictures_of", "read_headers", "sections_of", "traced"]

Kind = Literal["I", "P", "B"]


@dataclass(frozen=True)
class CodedPicture:
    """One coded picture, as its own header has it.

    Parameters
    ----------
    kind : {"I", "P", "B"}
        I: within itself alone; B: slices that say B, and those of AV1 that may average two references; P: others.
    key : bool
        Whether decoding can begin here.
    shown : bool
        Whether it is shown as it is decoded; a hidden one (AV1, VP9) is shown later or never.
    order : (int, int) or None
        Number of the key frame that it follows, and its place among the shown; None where the format does not
        tell (hidden pictures of VP9).
    layer : int
        0: follows all before it in time, or is hidden in VP9; n: lies between pictures of lower layers.
    quantiser : int
        Of the first slice or the frame: 0 to 51 (H.264, HEVC), 0 to 63 (VVC), quantiser index 0 to 255 (AV1, VP9).
        Blocks may differ where `varies`.
    varies : bool
        Whether blocks may have quantisers of their own.
    references : int
        Different pictures that it may refer to.
    """

    kind: Kind
    key: bool
    shown: bool
    order: tuple[int, int] | None
    layer: int
    quantiser: int
    varies: bool
    references: int


def read_headers(file: Path, format: str) -> list[CodedPicture]:
    """Read the headers of an elementary stream.

    Parameters
    ----------
    file : Path
    format : str
        As `rdbench.codecs.bitstream.count` takes it.

    Returns
    -------
    list of CodedPicture
        In decode order, hidden ones among them; a picture that is only shown again is none.

    Raises
    ------
    EncodeError
        If FFmpeg cannot read the headers.
    """
    return pictures_of(traced(file, format), format)


def traced(file: Path, format: str) -> str:
    """What FFmpeg's ``trace_headers`` writes of an elementary stream; raises as `read_headers` does."""
    stream = ffmpeg.input(f"file:{file}", format=MUXERS.get(format, format), protocol_whitelist="file")
    output = ffmpeg.output(stream, "-", format="null", c="copy", **{"bsf:v": "trace_headers"})
    return process.run(process.arguments(output, verbosity="info"))


def by_layer(pictures: Sequence[CodedPicture]) -> list[dict[str, str | int | float]]:
    """Coded pictures by type and layer: the rows of the table `coded` for one encode."""
    groups: dict[tuple[str, int], list[CodedPicture]] = {}
    for picture in pictures:
        groups.setdefault((picture.kind, picture.layer), []).append(picture)
    return [
        {
            "kind": kind,
            "layer": layer,
            "pictures": len(group),
            "hidden": sum(not picture.shown for picture in group),
            "mean_quantiser": sum(picture.quantiser for picture in group) / len(group),
            "lowest_quantiser": min(picture.quantiser for picture in group),
            "highest_quantiser": max(picture.quantiser for picture in group),
        }
        for (kind, layer), group in sorted(groups.items())
    ]


_LINE = re.compile(
    r"^\[trace_headers[^\]]*\] (?:\d+ +(?P<name>[\w.\[\]]+) +[01]* = (?P<value>-?\d+)|(?P<title>[A-Z][A-Za-z ]+))\r?$",
    re.MULTILINE,
)

_Fields = Mapping[str, int]


def pictures_of(trace: str, format: str) -> list[CodedPicture]:
    """Read what ``trace_headers`` wrote about one stream; see `read_headers`."""
    if format not in _READERS:
        raise EncodeError(f"Headers of format {format!r} cannot be read; known are {', '.join(_READERS)}.")
    try:
        return _placed(_READERS[format](sections_of(trace)))
    except (KeyError, IndexError) as error:
        raise EncodeError(f"Headers of the {format} stream lack {error}; encode it again.") from error


def sections_of(trace: str) -> Iterator[tuple[str, Mapping[str, int]]]:
    """Each header's title and its fields; of a field that comes more than once, the first."""
    title, fields = "", dict[str, int]()
    for match in _LINE.finditer(trace):
        if match["title"]:
            if fields:
                yield title, fields
            title, fields = match["title"], {}
        else:
            fields.setdefault(match["name"], int(match["value"]))
    if fields:
        yield title, fields


@dataclass(frozen=True)
class _Header:
    """A picture's header before its place among the others is known."""

    kind: Kind
    key: bool
    shown: bool
    count: int | None
    """Picture order count or order hint, of which only the last `bits` bits are there."""
    bits: int
    referenced: bool
    quantiser: int
    varies: bool
    references: int


def _h264(sections: Iterator[tuple[str, _Fields]]) -> Iterator[_Header]:
    sequence: _Fields = {}
    sets: dict[int, _Fields] = {}
    for title, fields in sections:
        if title == "Sequence Parameter Set":
            sequence = fields
        elif title == "Picture Parameter Set":
            sets[fields["pic_parameter_set_id"]] = fields
        elif title == "Slice Header" and fields["first_mb_in_slice"] == 0:
            kind = _kind("PBIPI"[fields["slice_type"] % 5])
            chosen = sets[fields["pic_parameter_set_id"]]
            yield _Header(
                kind=kind,
                key=fields["nal_unit_type"] == 5,
                shown=True,
                count=fields.get("pic_order_cnt_lsb"),
                bits=sequence.get("log2_max_pic_order_cnt_lsb_minus4", 0) + 4,
                referenced=fields["nal_ref_idc"] > 0,
                quantiser=26 + chosen["pic_init_qp_minus26"] + fields["slice_qp_delta"],
                varies=True,
                # Lists may name one picture twice, with other weights.
                references=min(
                    _active(fields, chosen, kind, "num_ref_idx_l{}_active_minus1"),
                    sequence.get("max_num_ref_frames", 16),
                ),
            )


def _kind(letter: str) -> Kind:
    return "I" if letter == "I" else "B" if letter == "B" else "P"


def _active(fields: _Fields, chosen: _Fields, kind: Kind, name: str) -> int:
    """References of both lists, the longer of the two: B-pictures list the same pictures twice."""
    defaults = {"0": "num_ref_idx_l0_default_active_minus1", "1": "num_ref_idx_l1_default_active_minus1"}
    lists = {"I": "", "P": "0", "B": "01"}[kind]
    return max((fields.get(name.format(i), chosen.get(defaults[i], 0)) + 1 for i in lists), default=0)


def _hevc(sections: Iterator[tuple[str, _Fields]]) -> Iterator[_Header]:
    sequence: _Fields = {}
    sets: dict[int, _Fields] = {}
    for title, fields in sections:
        if title == "Sequence Parameter Set":
            sequence = fields
        elif title == "Picture Parameter Set":
            sets[fields["pps_pic_parameter_set_id"]] = fields
        elif title == "Slice Segment Header" and fields["first_slice_segment_in_pic_flag"]:
            kind = _kind("BPI"[fields["slice_type"]])
            chosen = sets[fields["slice_pic_parameter_set_id"]]
            number = fields["nal_unit_type"]
            used = sum(value for name, value in fields.items() if name.startswith("used_by_curr_pic_s"))
            yield _Header(
                kind=kind,
                key=16 <= number <= 21,
                shown=True,
                # An IDR picture has no count: it is where counting begins.
                count=fields.get("slice_pic_order_cnt_lsb", 0),
                bits=sequence["log2_max_pic_order_cnt_lsb_minus4"] + 4,
                # Table 7-1: even types below 16 are not referred to within their sub-layer.
                referenced=number >= 16 or number % 2 == 1,
                quantiser=26 + chosen["init_qp_minus26"] + fields["slice_qp_delta"],
                varies=bool(chosen["cu_qp_delta_enabled_flag"]),
                references=used or _active(fields, chosen, kind, "num_ref_idx_l{}_active_minus1"),
            )


def _vvc(sections: Iterator[tuple[str, _Fields]]) -> Iterator[_Header]:
    sequence: _Fields = {}
    sets: dict[int, _Fields] = {}
    picture: _Fields = {}
    for title, fields in sections:
        if title == "Sequence Parameter Set":
            sequence = fields
        elif title == "Picture Parameter Set":
            sets[fields["pps_pic_parameter_set_id"]] = fields
        elif title == "Picture Header":
            picture = fields
        elif title == "Slice Header" and (fields["sh_picture_header_in_slice_header_flag"] or picture):
            head = {**picture, **fields}
            picture = {}
            chosen = sets[head["ph_pic_parameter_set_id"]]
            kind = _kind("BPI"[head["sh_slice_type"]]) if "sh_slice_type" in head else "I"
            name = "sh_num_ref_idx_active_minus1[{}]"
            lists = {"I": "", "P": "0", "B": "01"}[kind]
            default = "pps_num_ref_idx_default_active_minus1[{}]"
            yield _Header(
                kind=kind,
                key=head["nal_unit_type"] in (7, 8, 9),
                shown=True,
                count=head["ph_pic_order_cnt_lsb"],
                bits=sequence["sps_log2_max_pic_order_cnt_lsb_minus4"] + 4,
                referenced=not head.get("ph_non_ref_pic_flag", 0),
                quantiser=26
                + chosen["pps_init_qp_minus26"]
                + head.get("ph_qp_delta", head.get("sh_qp_delta", 0)),
                varies=bool(chosen["pps_cu_qp_delta_enabled_flag"]),
                references=max(
                    (head.get(name.format(i), chosen.get(default.format(i), 0)) + 1 for i in lists), default=0
                ),
            )


def _av1(sections: Iterator[tuple[str, _Fields]]) -> Iterator[_Header]:
    sequence: _Fields = {}
    for title, fields in sections:
        if title == "Sequence Header":
            sequence = fields
        elif title == "Frame Header" and not fields.get("show_existing_frame", 0) and "base_q_idx" in fields:
            intra = fields.get("frame_type", 0) in (0, 2)
            slots = {value for name, value in fields.items() if name.startswith("ref_frame_idx[")}
            yield _Header(
                kind="I" if intra else "B" if fields.get("reference_select", 0) else "P",
                key=fields.get("frame_type", 0) == 0,
                shown=bool(fields.get("show_frame", 1)),
                count=fields.get("order_hint"),
                bits=sequence.get("order_hint_bits_minus_1", 0) + 1,
                referenced=fields.get("refresh_frame_flags", 255) > 0,
                quantiser=fields["base_q_idx"],
                varies=bool(fields.get("delta_q_present", 0) or fields.get("segmentation_enabled", 0)),
                references=0 if intra else len(slots),
            )


def _vp9(sections: Iterator[tuple[str, _Fields]]) -> Iterator[_Header]:
    for title, fields in sections:
        if title == "Frame" and not fields.get("show_existing_frame", 0) and "base_q_idx" in fields:
            key = fields["frame_type"] == 0
            intra = key or bool(fields.get("intra_only", 0))
            slots = {value for name, value in fields.items() if name.startswith("ref_frame_idx[")}
            yield _Header(
                kind="I" if intra else "P",
                key=key,
                shown=bool(fields["show_frame"]),
                count=None,
                bits=0,
                referenced=fields.get("refresh_frame_flags", 255) > 0,
                quantiser=fields["base_q_idx"],
                varies=bool(fields.get("segmentation_enabled", 0)),
                references=0 if intra else len(slots),
            )


_READERS: dict[str, Callable[[Iterator[tuple[str, _Fields]]], Iterator[_Header]]] = {
    "h264": _h264,
    "hevc": _hevc,
    "vvc": _vvc,
    "obu": _av1,
    "ivf-av1": _av1,
    "ivf-vp9": _vp9,
}


def _placed(headers: Iterator[_Header]) -> list[CodedPicture]:
    """Put each picture in its place: counts unwrapped within each key frame's group, layers by who lies between."""
    pictures: list[CodedPicture] = []
    group, before = -1, 0
    layers: dict[int, int] = {}
    hides = False
    for number, header in enumerate(headers):
        if header.key:
            group, layers, before, hides = group + 1, {}, header.count or 0, False
        hides |= not header.shown
        if header.count is None:
            # The format tells no order: pictures are shown in the order in which they are coded, hidden ones apart.
            place = number if header.shown else None
            layer = 1 if hides and header.shown and not header.key else 0
        else:
            half = 1 << header.bits >> 1
            place = before + (header.count - before + half) % (2 * half) - half
            layer = _layer(place, layers)
            if header.referenced:
                layers.setdefault(place, layer)
            before = max(layers, default=place)
        pictures.append(
            CodedPicture(
                kind=header.kind,
                key=header.key,
                shown=header.shown,
                order=None if place is None else (max(group, 0), place),
                layer=layer,
                quantiser=header.quantiser,
                varies=header.varies,
                references=header.references,
            )
        )
    return pictures


def _layer(place: int, layers: Mapping[int, int]) -> int:
    """One more than the neighbours' in time, 0 where nothing that is referred to follows in time."""
    if place in layers:
        return layers[place]
    after = [other for other in layers if other > place]
    if not after:
        return 0
    earlier = [other for other in layers if other < place]
    neighbours = [min(after), *([max(earlier)] if earlier else [])]
    return 1 + max(layers[other] for other in neighbours)
