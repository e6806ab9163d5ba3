"""What headers say of pictures, held against encoders' own accounts, decoders, and parsers that share nothing."""

from __future__ import annotations

import contextlib
import io
import re
from collections import defaultdict
from pathlib import Path

import av
import pytest
from av.video.frame import PictureType
from made_streams import CONDITIONS, FRAMES, PROFILES, encoded, steady, try_encode

from rdbench.codecs.headers import CodedPicture, by_layer, pictures_of, read_headers
from rdbench.errors import EncodeError


def headers(stream: bytes, format: str, folder: Path) -> list[CodedPicture]:
    file = folder / "stream"
    file.write_bytes(stream)
    return read_headers(file, format)


@pytest.mark.parametrize(("name", "variant", "mode"), CONDITIONS)
def test_every_picture_is_read_once_and_shown_once(name, variant, mode, tmp_path):
    profile = PROFILES[name]
    read = headers(encoded(name, variant, mode), profile.format, tmp_path)
    hidden = sum(not picture.shown for picture in read)
    assert (read[0].kind, read[0].key) == ("I", True)
    # A hidden picture is shown again later (AV1), or comes with one that is (VP9): never instead of one.
    assert FRAMES <= len(read) <= FRAMES + hidden
    assert (hidden > 0) == (profile.variants[variant].reorders and name in ("svtav1", "libaom", "vp9"))
    rows = by_layer(read)
    assert sum(row["pictures"] for row in rows) == len(read)
    assert sum(row["hidden"] for row in rows) == hidden
    for row in rows:
        assert row["lowest_quantiser"] <= row["mean_quantiser"] <= row["highest_quantiser"]


@pytest.mark.parametrize("variant", ["ra", "ld"])
@pytest.mark.parametrize("name", ["x264", "x265"])
def test_quantisers_are_those_of_the_encoders_own_account(name, variant, tmp_path):
    stream, said = try_encode(PROFILES[name], variant, "qp", 30)
    assert stream is not None
    told = {
        match[1]: (int(match[2]), float(match[3]))
        for match in re.finditer(r"frame ([IPB]):\s*(\d+)\s*,?\s+Avg QP:\s*([\d.]+)", said)
    }
    read = defaultdict(list)
    for picture in headers(stream, PROFILES[name].format, tmp_path):
        read[picture.kind].append(picture.quantiser)
    assert {kind: len(of) for kind, of in read.items()} == {
        kind: number for kind, (number, _) in told.items()
    }
    for kind, (_, mean) in told.items():
        assert sum(read[kind]) / len(read[kind]) == pytest.approx(mean, abs=0.01)


@pytest.mark.parametrize("name", ["x264", "x265", "kvazaar"])
def test_types_and_order_are_what_a_decoder_shows(name, tmp_path):
    profile = PROFILES[name]
    stream = encoded(name, "ra", "qp")
    read = sorted(headers(stream, profile.format, tmp_path), key=lambda picture: picture.order or (0, 0))
    with av.open(io.BytesIO(stream), format=profile.format) as container:
        shown = [
            (PictureType(frame.pict_type).name, bool(frame.key_frame)) for frame in container.decode(video=0)
        ]
    assert [(picture.kind, picture.key) for picture in read] == shown


FLAT = [condition for condition in CONDITIONS if condition[2] == "flat"]
FIXED = [condition for condition in CONDITIONS if condition[2] == "qp"]


@pytest.mark.parametrize(("name", "variant", "mode"), FLAT)
def test_flat_is_one_quantiser_for_all_pictures(name, variant, mode, tmp_path):
    read = headers(encoded(name, variant, mode), PROFILES[name].format, tmp_path)
    assert len({picture.quantiser for picture in read}) == 1
    assert not any(picture.varies for picture in read)


@pytest.mark.parametrize(("name", "variant", "mode"), FIXED)
def test_qp_is_fixed_offsets_whatever_the_content(name, variant, mode, tmp_path, monkeypatch):
    profile = PROFILES[name]
    grid = profile.modes["qp"].grid
    # Another content: the same texture, slower and softer.
    still = b"".join(bytes(96 + value // 4 for value in data) for data in halves())
    monkeypatch.setattr("made_streams.pictures", lambda *_: still)
    stream, said = try_encode(profile, variant, mode, grid[len(grid) // 2])
    assert stream is not None, said[-2000:]
    quantisers = []
    for content in (encoded(name, variant, mode), stream):
        of: dict[tuple[str, int], set[int]] = defaultdict(set)
        for picture in headers(content, profile.format, tmp_path):
            of[picture.kind, picture.layer].add(picture.quantiser)
            # libx264 can always give blocks quantisers of their own; its account says that it does not.
            assert not picture.varies or name == "x264"
        quantisers.append(of)
    common = quantisers[0].keys() & quantisers[1].keys()
    assert {("I", 0)} < common
    assert {key: quantisers[0][key] for key in common} == {key: quantisers[1][key] for key in common}


def halves() -> list[bytes]:
    from made_streams import SIZE, pictures

    size = SIZE * SIZE * 3 // 2
    data = pictures(SIZE, SIZE, FRAMES)
    return [data[i // 2 * size : (i // 2 + 1) * size] for i in range(FRAMES)]


@pytest.mark.parametrize("name", PROFILES)
def test_pictures_lie_in_layers_only_where_they_are_reordered(name, tmp_path):
    profile = PROFILES[name]
    for variant in ("ra", "ld"):
        read = headers(encoded(name, variant, steady(name, variant)), profile.format, tmp_path)
        assert (max(picture.layer for picture in read) > 0) == profile.variants[variant].reorders


@pytest.mark.parametrize("format", ["h264", "hevc", "vvc", "obu", "ivf-av1", "ivf-vp9"])
def test_what_is_no_stream_is_an_encode_error_or_holds_no_picture(format, tmp_path):
    with contextlib.suppress(EncodeError):
        assert headers(b"nothing like a stream" * 9, format, tmp_path) == []
    assert pictures_of("", format) == []


def test_a_format_without_a_reader_is_named():
    with pytest.raises(EncodeError, match=r"'mpeg2' cannot be read; known are h264"):
        pictures_of("", "mpeg2")
