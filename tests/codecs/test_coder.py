"""The way through FFmpeg: no frame and no bit unaccounted for, one scaler everywhere."""

from __future__ import annotations

import functools
import json
import os
import re
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from charged import charged_only
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from made_videos import (
    FFMPEG,
    LOSSLESS,
    boxes_at,
    clip_of,
    ffmpeg,
    from_planes,
    lavfi,
    moving,
    planes_file,
    psnr_of,
    seen,
    texture,
)
from PIL import Image

from rdbench.backends.protocol import Input
from rdbench.codecs import coder
from rdbench.codecs.coder import Encoded, Refused
from rdbench.codecs.profiles import Profile, load_profiles
from rdbench.errors import EncodeError, EndedError
from rdbench.video import planes as planes_module
from rdbench.video.faces import Crop
from rdbench.video.planes import (
    Geometry,
    Planes,
    Stored,
    Tally,
    Transient,
    check_planes,
    crop_picture,
    cut_picture,
    cut_plane,
    mean_squared_error,
    pad,
    padded_planes,
    psnr,
    squared_error,
    write_planes,
)
from rdbench.video.prepared import prepare
from rdbench.video.source import frame_bytes
from rdbench.video.views import (
    _scaled_up,
    downsample,
    face_pictures,
    face_rgb,
    face_views,
    full_pictures,
    pristine_views,
    views,
)

PROFILES = load_profiles()
FPS = Fraction(25)
FACTORS = [1, 2, 3, 4, 6, 8, 12, 16]


@functools.cache
def pictures(frames: int = 30, width: int = 64, height: int = 64) -> np.ndarray:
    return texture(frames, width, height)


@pytest.fixture
def low(tmp_path):
    return planes_file(pictures(), 64, 64, tmp_path / "low.yuv")


def all_of(planes: Planes) -> np.ndarray:
    return np.concatenate(list(planes.batches()))


def there_and_back(
    low: Planes, name: str, mode: str, rate: float, variant: str = "ra"
) -> tuple[Encoded, Planes]:
    folder = low.file.parent
    done = coder.encode(low, PROFILES[name], variant, mode, rate, FPS, folder)
    assert isinstance(done, Encoded)
    back = coder.decode(done, PROFILES[name], (low.width, low.height), low.frames, folder)
    assert back.cpu_seconds > 0
    return done, back.planes


# Bits and frames

KINDS = {
    "x264": {"payload": {1, 5, 7, 8}, "info": {6}, "filler": {12}, "delimiters": {9, 10, 11}},
    "x265": {
        "payload": {*range(22), 32, 33, 34},
        "info": {39, 40},
        "filler": {38},
        "delimiters": {35, 36, 37},
    },
}


def account(stream: bytes, name: str) -> dict[str, int]:
    """Bits by kind, from start codes and the types of the standards' tables alone."""
    sums = dict.fromkeys(KINDS[name], 0)
    starts = [(found.start(), found.end()) for found in re.finditer(rb"\x00*\x00\x00\x01", stream)]
    for (_, begin), (end, _) in zip(starts, [*starts[1:], (len(stream), 0)], strict=True):
        kind = stream[begin] & 31 if name == "x264" else stream[begin] >> 1 & 63
        part = next(part for part, numbers in KINDS[name].items() if kind in numbers)
        sums[part] += 8 * (end - begin)
    sums["start codes"] = 8 * sum(end - begin for begin, end in starts)
    return sums


@pytest.mark.parametrize(
    ("mode", "rate", "variant"),
    [("abr", 60, "ra"), ("2pass", 60, "ra"), ("crf", 30, "ra"), ("qp", 32, "ra"), ("abr", 60, "ld")],
)
@pytest.mark.parametrize("name", ["x264", "x265"])
def test_payload_is_what_a_separate_account_of_the_stream_says(low, name, mode, rate, variant):
    done, back = there_and_back(low, name, mode, rate, variant)
    stream = done.file.read_bytes()
    sums = account(stream, name)
    assert done.bits.payload == sums["payload"] > 0
    assert done.bits.informational == sums["info"] == 0
    assert done.bits.filler == sums["filler"] == 0
    assert done.bits.framing == sums["start codes"] + sums["delimiters"]
    assert done.bits.stream == 8 * len(stream) == sum(sums.values())
    assert len(done.bits.frames) == low.frames == back.frames
    assert sum(done.bits.frames) == done.bits.payload
    # A decoder that sees only what is charged shows the same pictures.
    bare = charged_only(stream, PROFILES[name].format)
    assert 8 * len(bare) - done.bits.payload <= 32 * len(re.findall(rb"\x00\x00\x01", bare))
    form = ("-f", PROFILES[name].format, "-i", "-", "-fps_mode", "passthrough", "-f", "rawvideo", "-")
    assert ffmpeg(*form, data=bare) == back.file.read_bytes()
    assert done.cpu_seconds > 0
    assert done.mean_qp is not None
    if mode == "qp":
        assert done.mean_qp == pytest.approx(rate, abs=4)


@pytest.mark.parametrize(("mode", "rates"), [("qp", (18, 30, 42)), ("abr", (400, 120, 30))])
@pytest.mark.parametrize("name", ["x264", "x265"])
def test_quality_rises_with_the_rate(low, name, mode, rates):
    source = all_of(low)
    bits, quality = [], []
    for rate in rates:
        done, back = there_and_back(low, name, mode, rate)
        bits.append(done.bits.payload)
        quality.append(psnr_of(source[:, : 64 * 64], all_of(back)[:, : 64 * 64]))
        error = mean_squared_error(low, back)
        assert psnr(error) == pytest.approx(quality[-1], abs=1e-9)
    assert bits == sorted(bits, reverse=True)
    assert quality == sorted(quality, reverse=True)
    assert len(set(bits)) == 3
    assert quality[0] - quality[-1] > 6


@pytest.mark.parametrize("name", ["x264", "x265"])
def test_a_target_is_met_where_there_is_room(low, name):
    done, _ = there_and_back(low, name, "2pass", 120)
    assert done.bits.payload / 1.2 / 1000 == pytest.approx(120, rel=0.1)


def test_a_refusal_is_a_result_and_no_failure(tmp_path):
    short = planes_file(pictures()[:6], 64, 64, tmp_path / "short.yuv")
    refused = coder.encode(short, PROFILES["x264"], "ra", "2pass", 20, FPS, tmp_path)
    assert isinstance(refused, Refused)
    assert refused.reason == "libx264 refuses a two-pass target below its floor for this clip"
    assert (refused.width, refused.height) == (64, 64)
    assert isinstance(coder.encode(short, PROFILES["x264"], "ra", "crf", 30, FPS, tmp_path), Encoded)


def test_another_failure_is_one(tmp_path, low):
    broken = PROFILES["x264"].model_copy(update={"encoder": "libnothing"})
    with pytest.raises(EncodeError, match="Encoder not found"):
        coder.encode(low, broken, "ra", "crf", 30, FPS, tmp_path)


def processors() -> set[str]:
    try:
        found = re.search(r"flags\s*:(.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        return set()
    return set(found[1].split()) if found else set()


CLASSES = {
    "x264": {"none": "0", "SSE": "SSE2,SSSE3,SSE4", "AVX2": "AVX2", "AVX-512": "AVX512"},
    "x265": {"none": "0", "SSE": "SSE4.1", "AVX2": "AVX2", "AVX-512": "avx512"},
}
NEEDS = {"none": set(), "SSE": {"sse4_1"}, "AVX2": {"avx2"}, "AVX-512": {"avx512f", "avx512bw", "avx512vl"}}


@pytest.mark.parametrize(("mode", "rate"), [("abr", 60), ("2pass", 60), ("crf", 30)])
@pytest.mark.parametrize("name", ["x264", "x265"])
def test_bits_are_the_same_on_every_processor(tmp_path, name, mode, rate):
    low = planes_file(texture(16, 112, 80), 112, 80, tmp_path / "low.yuv")
    profile = PROFILES[name]
    streams = {}
    machine = processors()
    for label, value in CLASSES[name].items():
        if not NEEDS[label] <= machine:
            continue
        # Settings that win over all others of the profile; a model's copy is not checked again.
        small = SimpleNamespace(below=4096, options={}, params={"asm": value})
        limited: Profile = profile.model_copy(update={"small_pictures": (small,)})
        done = coder.encode(low, limited, "ra", mode, rate, FPS, tmp_path)
        assert any(f"asm={value}" in word for word in done.command)
        streams[label] = done.file.read_bytes()
    done = coder.encode(low, profile, "ra", mode, rate, FPS, tmp_path)
    assert not any("asm=" in word for word in done.command)
    streams["default"] = done.file.read_bytes()
    if len(streams) < 3:
        pytest.skip("this machine has one class of instructions only")
    assert {label for label, stream in streams.items() if stream != streams["none"]} == set()


def test_frame_rates_reach_the_encoder(tmp_path, low):
    """The same pictures faster leave fewer bits for each at one target."""
    bits = []
    for fps in (Fraction(12), FPS, Fraction(45151, 909)):
        done = coder.encode(low, PROFILES["x264"], "ra", "abr", 120, fps, tmp_path)
        assert done.command[done.command.index("-framerate") + 1] == str(fps)
        bits.append(done.bits.payload)
    assert bits[0] > 1.3 * bits[1] > 1.3**2 * bits[2]


def test_commands_hold_no_path(tmp_path, low):
    for mode in ("2pass", "crf"):
        done = coder.encode(low, PROFILES["x265"], "ra", mode, 30, FPS, tmp_path)
        again = coder.encode(low, PROFILES["x265"], "ra", mode, 30, FPS, tmp_path)
        said = json.dumps(done.command)
        assert done.command == again.command
        assert done.file != again.file
        assert done.file.read_bytes() == again.file.read_bytes()
        assert str(tmp_path) not in said
        assert FFMPEG not in said
        assert {"{in}", "{out}"} <= set(done.command)
        assert ("&&" in done.command) == ("{passlog}" in done.command) == (mode == "2pass")


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_a_stream_is_the_same_whether_pictures_lie_in_a_file_or_are_made_anew(name, tmp_path, monkeypatch):
    """Through every encoder, of a size that some of them pad."""
    profile = PROFILES[name]
    stored = planes_file(pictures(9, 40, 24), 40, 24, tmp_path / "low.yuv")
    anew = Transient(40, 24, 9, "low", lambda: (row for batch in stored.batches() for row in batch))
    for mode in profile.modes:
        grid = profile.modes[mode].grid
        variant = next(
            variant for variant in profile.variants if mode not in profile.variants[variant].without
        )
        found = []
        for planes, room in ((stored, 10**9), (anew, 0)):
            monkeypatch.setattr(planes_module, "WORK_BYTES", room)
            done = coder.encode(planes, profile, variant, mode, grid[len(grid) // 2], FPS, tmp_path)
            if isinstance(done, Refused):
                found.append(done)
                continue
            back = coder.decode(done, profile, (40, 24), 9, tmp_path)
            assert isinstance(back.planes, Stored if room else Transient)
            assert back.cpu_seconds > 0
            found.append((done.digest, done.command, done.bits, all_of(back.planes).tobytes()))
        assert found[0] == found[1]


def test_headers_that_were_not_read_to_the_end_are_not_taken_for_none(low, tmp_path, monkeypatch):
    """Whoever killed the reader said nothing of the stream; one that FFmpeg cannot read is told without quantisers."""

    def killed(file, kind):
        raise EndedError("FFmpeg was killed by signal 9")

    def unreadable(file, kind):
        raise EncodeError("nothing")

    monkeypatch.setattr(coder, "read_headers", unreadable)
    assert coder.encode(low, PROFILES["x264"], "ra", "crf", 30, FPS, tmp_path).pictures == ()
    monkeypatch.setattr(coder, "read_headers", killed)
    with pytest.raises(EndedError):
        coder.encode(low, PROFILES["x264"], "ra", "crf", 30, FPS, tmp_path)
    monkeypatch.setattr(coder, "_encoders", {})
    with pytest.raises(EndedError):
        coder.encoder_of(PROFILES["x264"])


def test_pictures_made_anew_are_counted_at_each_reading(tmp_path):
    def short():
        return iter(pictures()[:29])

    low = Transient(64, 64, 30, "low", short)
    with pytest.raises(EncodeError, match="29 frames of 64x64 came out, 30 went in"):
        all_of(low)
    with pytest.raises(EncodeError, match="29 frames of 64x64 came out, 30 went in"):
        coder.encode(low, PROFILES["x264"], "ra", "crf", 30, FPS, tmp_path)
    assert np.array_equal(Transient(64, 64, 30, "low", lambda: iter(pictures())).picture(17), pictures()[17])


@pytest.mark.parametrize("name", ["x264", "x265"])
@pytest.mark.parametrize("size", [(6, 6), (40, 24), (2, 4)])
def test_tiny_pictures_come_back_at_their_size(tmp_path, name, size):
    width, height = size
    source = texture(10, *size)
    low = planes_file(source, width, height, tmp_path / "low.yuv")
    done, back = there_and_back(low, name, "qp", 1)
    least = PROFILES[name].min_width
    assert (done.width, done.height) == (max(width, least), max(height, least))
    assert (back.width, back.height, back.frames) == (width, height, 10)
    assert np.abs(all_of(back).astype(int) - source).max() <= 4


def test_two_clips_in_one_folder_do_not_mix(tmp_path):
    sources = [texture(5, 8, 8, seed) for seed in (1, 2)]
    for number, source in enumerate(sources):
        low = planes_file(source, 8, 8, tmp_path / f"clip{number}.yuv")
        _, back = there_and_back(low, "x265", "qp", 1)
        assert np.abs(all_of(back).astype(int) - source).max() <= 4


def test_a_stream_that_lost_frames_is_no_encode(tmp_path, low):
    done, _ = there_and_back(low, "x264", "crf", 30)
    with pytest.raises(EncodeError, match=r"30 frames of 64x64 came out, 31 went in"):
        coder.decode(done, PROFILES["x264"], (64, 64), 31, tmp_path)
    stream = done.file.read_bytes()
    done.file.write_bytes(stream[: len(stream) * 2 // 3])
    with pytest.raises(EncodeError):
        coder.decode(done, PROFILES["x264"], (64, 64), 30, tmp_path)
    done.file.write_bytes(b"nothing like a stream")
    with pytest.raises(EncodeError):
        coder.decode(done, PROFILES["x264"], (64, 64), 30, tmp_path)


# Geometry and cutting


@given(width=st.integers(1, 4000), height=st.integers(1, 4000), factor=st.integers(1, 64))
def test_sizes_are_exact_multiples_and_no_larger_than_needed(width, height, factor):
    geometry = Geometry(width, height, factor)
    for size, padded, small in zip((width, height), geometry.padded, geometry.low, strict=True):
        assert padded % (2 * factor) == 0
        assert 0 <= padded - size < 2 * factor
        assert small * factor == padded
        assert small % 2 == 0


@st.composite
def flat_pictures(draw, even: bool = False):
    sides = st.integers(1, 12).map(lambda n: 2 * n) if even else st.integers(1, 25)
    width, height = draw(sides), draw(sides)
    planes = draw(hnp.arrays(np.uint8, frame_bytes(width, height)))
    return planes, (width, height)


def split(planes, size):
    width, height = size
    chroma = (height + 1) // 2, (width + 1) // 2
    luma, rest = planes[: width * height].reshape(height, width), planes[width * height :]
    return luma, *rest.reshape(2, *chroma)


@given(flat_pictures(), st.integers(0, 20), st.integers(0, 20))
def test_padding_repeats_the_edge_and_comes_off_again(flat, right, below):
    planes, (width, height) = flat
    wanted = width + width % 2 + 2 * right, height + height % 2 + 2 * below
    padded = pad(planes, (width, height), wanted)
    assert len(padded) == frame_bytes(*wanted)
    for before, after in zip(split(planes, (width, height)), split(padded, wanted), strict=True):
        rows = np.minimum(np.arange(after.shape[0]), before.shape[0] - 1)
        columns = np.minimum(np.arange(after.shape[1]), before.shape[1] - 1)
        assert np.array_equal(after, before[rows][:, columns])
    even = width + width % 2, height + height % 2
    back = crop_picture(padded, wanted, even)
    assert np.array_equal(back, pad(planes, (width, height), even))


@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=20)),
    st.integers(-30, 30),
    st.integers(-30, 30),
    st.integers(1, 30),
)
def test_a_cut_repeats_the_edge_beyond_the_picture(plane, x, y, side):
    around = np.pad(plane, 70, mode="edge")
    wanted = around[70 + y : 70 + y + side, 70 + x : 70 + x + side]
    assert np.array_equal(cut_plane(plane, (x, y), side), wanted)


@given(flat_pictures(even=True), st.integers(-10, 10), st.integers(-10, 10), st.integers(1, 12))
def test_a_picture_is_cut_in_all_planes_alike(flat, x, y, half):
    planes, size = flat
    cut = cut_picture(planes, size, (2 * x, 2 * y), 2 * half)
    parts = split(cut, (2 * half, 2 * half))
    for plane, part, scale in zip(split(planes, size), parts, (2, 1, 1), strict=True):
        assert np.array_equal(part, cut_plane(plane, (scale * x, scale * y), scale * half))


# Quality


@given(hnp.arrays(np.uint8, (2, 5, 4, 6)))
def test_errors_are_exact(both):
    a, b = both
    wanted = int(((a.astype(np.int64) - b) ** 2).sum())
    assert squared_error(a, b) == wanted
    if wanted:
        assert psnr(wanted / a.size) == pytest.approx(psnr_of(a, b), rel=1e-12)
    else:
        assert psnr(0.0) is None


def test_errors_of_a_whole_video_do_not_overflow():
    worst = np.full((40, 1000, 1000), 255, np.uint8)
    assert squared_error(worst, np.zeros_like(worst)) == 40 * 10**6 * 255**2


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    width=st.integers(1, 12),
    height=st.integers(1, 10),
)
def test_a_tally_sees_every_frame_without_its_padding(tmp_path, cuts, width, height):
    rng = np.random.default_rng(sum(cuts))
    frames = sum(cuts)
    reference = rng.integers(0, 256, (frames, frame_bytes(12, 10)), dtype=np.uint8)
    shown = rng.integers(0, 256, (frames, 10, 12), dtype=np.uint8)
    tally = Tally(planes_file(reference, 12, 10, tmp_path / "r.yuv"), width, height)
    batches = np.split(shown, np.cumsum(cuts)[:-1])
    passed = list(tally.watch(iter(batches)))
    assert all(a is b for a, b in zip(passed, batches, strict=True))
    luma = reference[:, :120].reshape(-1, 10, 12)
    wanted = psnr_of(luma[:, :height, :width], shown[:, :height, :width])
    assert tally.psnr == pytest.approx(wanted, rel=1e-12)


def test_a_tally_of_nothing_or_of_equal_pictures_has_no_number(tmp_path):
    reference = planes_file(pictures(), 64, 64, tmp_path / "r.yuv")
    tally = Tally(reference, 64, 64)
    assert tally.psnr is None
    luma = pictures()[:, : 64 * 64].reshape(-1, 64, 64)
    list(tally.watch(iter([luma])))
    assert tally.psnr is None
    with pytest.raises(EncodeError, match="1 more frames were expected, 0 are left"):
        list(tally.watch(iter([luma, luma[:1]])))


def test_files_of_planes_are_held_to_their_frames(tmp_path):
    planes = write_planes(iter(pictures()), 64, 64, tmp_path / "a.yuv", 30)
    assert np.array_equal(all_of(planes), pictures())
    assert check_planes(planes.file, 64, 64, 30) == planes
    with pytest.raises(EncodeError, match="29 frames were written, 30 expected"):
        write_planes(iter(pictures()[:29]), 64, 64, tmp_path / "b.yuv", 30)
    os.truncate(planes.file, 1000)
    with pytest.raises(EncodeError, match=r"0\.16\d* frames of 64x64 came out, 30 went in"):
        check_planes(planes.file, 64, 64, 30)
    with pytest.raises(EncodeError, match="0 frames"):
        check_planes(tmp_path / "missing.yuv", 64, 64, 30)


def test_a_full_disk_is_seen_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("rdbench.video.planes.shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match="MiB are needed for decoded pictures"):
        write_planes(iter(pictures()), 64, 64, tmp_path / "a.yuv", 30)
    assert not (tmp_path / "a.yuv").exists()


# The scaler


@functools.cache
def natural(width: int = 96, height: int = 96, frames: int = 3) -> np.ndarray:
    """Pictures with edges and texture, no values at the ends (where the two roundings would clip apart)."""
    source = seen(lavfi(f"mandelbrot=s={width}x{height}:r=25:start_scale=2,trim=start_frame=5:end_frame={5 + frames},"
                        "format=yuv420p", *LOSSLESS, "-fps_mode", "passthrough"))[0]  # fmt: skip
    return np.clip(np.array(source), 30, 225)


def luma(pictures: np.ndarray, width: int, height: int) -> np.ndarray:
    return pictures[:, : width * height].reshape(-1, height, width)


def bicubic(picture: np.ndarray, side: int) -> np.ndarray:
    """PIL's antialiased cubic (a = -0.5), with the picture's edge repeated around it."""
    ratio = Fraction(side, len(picture))
    margin = 3 * ratio.denominator
    around = Image.fromarray(np.pad(picture, margin, mode="edge"))
    size, start = int((len(picture) + 2 * margin) * ratio), int(margin * ratio)
    resized = np.asarray(around.resize((size, size), Image.Resampling.BICUBIC))
    return resized[start : start + side, start : start + side].astype(int)


@pytest.mark.parametrize("factor", FACTORS[1:])
def test_luma_is_scaled_down_as_an_independent_bicubic_does(tmp_path, factor):
    full = planes_file(natural(), 96, 96, tmp_path / "full.yuv")
    low = downsample(full, Geometry(96, 96, factor), tmp_path)
    side = 96 // factor
    assert (low.width, low.height, low.frames) == (side, side, 3)
    for picture, small in zip(luma(natural(), 96, 96), luma(all_of(low), side, side), strict=True):
        assert np.abs(small - bicubic(picture, side)).max() <= 1


@pytest.mark.parametrize("factor", FACTORS[1:])
def test_and_up_again(tmp_path, factor):
    geometry = Geometry(96, 96, factor)
    low = downsample(planes_file(natural(), 96, 96, tmp_path / "full.yuv"), geometry, tmp_path)
    got = np.concatenate(list(views(low, geometry, None, Input(size=96))))
    for small, large in zip(luma(all_of(low), low.width, low.height), got, strict=True):
        # PIL rounds between its two directions.
        assert np.abs(large - bicubic(small, 96)).max() <= 2
        assert np.abs(large - bicubic(small, 96)).mean() < 0.5


@pytest.mark.parametrize(("width", "height"), [(40, 40), (24, 60)])
def test_a_plane_alone_is_scaled_as_the_luma_of_a_picture(tmp_path, width, height):
    low = planes_file(texture(4, width, height), width, height, tmp_path / "low.yuv")
    geometry = Geometry(3 * width, 3 * height, 3)
    crop = Crop(2 * min(width, height), np.array([[2, 4]] * 4))
    from_picture = np.concatenate(list(_scaled_up(low, geometry, luma_only=False)))
    from_plane = np.concatenate(list(_scaled_up(low, geometry, luma_only=True)))
    assert np.array_equal(from_picture[:, : 9 * width * height], from_plane)
    # The same for a face on its way to the recogniser's size, by a graph of another kind.
    side = crop.side
    got = np.concatenate(list(views(low, geometry, crop, Input(size=50))))
    cuts = luma(from_plane, 3 * width, 3 * height)[:, 4 : 4 + side, 2 : 2 + side]
    grey = np.full((4, side * side // 2), 128, np.uint8)
    flat = np.concatenate([np.ascontiguousarray(cuts).reshape(4, -1), grey], axis=1)
    scaled = ffmpeg(
        *("-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{side}x{side}", "-i", "-"),
        *("-vf", "scale=50:50:flags=bicubic+accurate_rnd+bitexact:param0=0:param1=0.5"),
        *("-f", "rawvideo", "-pix_fmt", "yuv420p", "-"),
        data=flat.tobytes(),
    )
    wanted = np.frombuffer(scaled, np.uint8).reshape(4, -1)[:, :2500].reshape(4, 50, 50)
    assert np.array_equal(got, wanted)


def test_the_scaler_gives_the_same_on_every_processor(tmp_path):
    frames = texture(2, 96, 96).tobytes()
    flags = "flags=bicubic+accurate_rnd+bitexact:param0=0:param1=0.5"
    down_up = f"scale=32:32:{flags},scale=96:96:{flags}"
    results = {
        ffmpeg(
            *("-cpuflags", cpu, "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "96x96", "-i", "-"),
            *("-vf", down_up, "-f", "rawvideo", "-"),
            data=frames,
        )
        for cpu in ("0", "sse2", "sse4.1", "avx2", "all")
        if NEEDS.get({"sse4.1": "SSE", "avx2": "AVX2"}.get(cpu, "none"), set()) <= processors()
    }
    assert len(results) == 1


# What a recogniser sees


@functools.cache
def talking(width: int = 161, height: int = 121):
    """A recording of odd size with a drifting box that leaves the picture on the right."""
    file = lavfi(
        f"testsrc2=s={width + 1}x{height + 1}:r=25,trim=end_frame=40,crop={width}:{height}:exact=1,format=yuv420p",
        *("-c:v", "ffv1", "-colorspace", "bt709", "-color_range", "tv", "-fps_mode", "passthrough"),
        suffix=".mkv",
    )
    return clip_of(file, boxes_at(np.arange(0, 2, 0.04), (50, 20, 70, 80), speed=30))


def views_of(clip, region: str, factor: int, wanted: Input, folder: Path, coded: bool = False):
    prepared = prepare(clip)
    if region == "face":
        geometry = Geometry(96, 96, factor)
        full = padded_planes(face_pictures(prepared), geometry.padded, folder)
        crop = None
    else:
        geometry = Geometry(prepared.width, prepared.height, factor)
        full = full_pictures(prepared, geometry, folder)
        crop = prepared.track.crop(wanted.margin)
    low = downsample(full, geometry, folder)
    if coded:
        done = coder.encode(low, PROFILES["x264"], "ra", "qp", 1, prepared.timeline.fps, folder)
        low = coder.decode(done, PROFILES["x264"], geometry.low, prepared.frames, folder).planes
    tally = Tally(full, geometry.width, geometry.height)
    shown = np.concatenate(list(views(low, geometry, crop, wanted, tally)))
    return shown, tally


def test_pristine_faces_are_those_of_factor_1_in_both_regions(tmp_path):
    prepared = prepare(talking())
    pristine = np.concatenate(list(pristine_views(prepared, Input())))
    assert pristine.shape == (40, 96, 96)
    for region in ("face", "frame"):
        shown, tally = views_of(talking(), region, 1, Input(), tmp_path)
        assert np.array_equal(shown, pristine)
        assert tally.psnr is None
        assert tally.samples > 0


@pytest.mark.parametrize("wanted", [Input(size=48, margin=0.4), Input(size=112, colour="rgb", margin=0.2)])
def test_other_sizes_margins_and_colours_in_region_frame(tmp_path, wanted):
    prepared = prepare(talking())
    pristine = np.concatenate(list(pristine_views(prepared, wanted)))
    colours = (3,) if wanted.colour == "rgb" else ()
    assert pristine.shape == (40, wanted.size, wanted.size, *colours)
    assert np.array_equal(views_of(talking(), "frame", 1, wanted, tmp_path)[0], pristine)


def test_faces_are_cut_where_the_box_is(tmp_path):
    """Against cutting and scaling by other means, on the frame's own luma."""
    prepared = prepare(talking())
    crop = prepared.track.crop()
    source, _ = seen(talking().file)
    pristine = np.concatenate(list(pristine_views(prepared, Input())))
    for index in (0, 17, 39):
        picture = np.pad(source[index][: 161 * 121].reshape(121, 161), 200, mode="edge")
        x, y = crop.xy[index] + 200
        face = Image.fromarray(picture[y : y + crop.side, x : x + crop.side])
        wanted = np.asarray(face.resize((96, 96), Image.Resampling.BICUBIC)).astype(int)
        assert np.abs(pristine[index].astype(int) - wanted).max() <= 2
    assert (crop.xy[-1, 0] + crop.side) > 161


@pytest.mark.parametrize("region", ["face", "frame"])
def test_rgb_is_that_of_bt709_limited_video(tmp_path, region):
    codes = [(120, 90, 160), (60, 160, 110)] * 3
    flat = b"".join(bytes([y] * 4096 + [cb] * 1024 + [cr] * 1024) for y, cb, cr in codes)
    clip = clip_of(
        from_planes(flat, 64, 64, tmp_path / "flat.mp4"), boxes_at([0, 0.1, 0.2], (16, 16, 30, 30))
    )
    shown, _ = views_of(clip, region, 2, Input(colour="rgb"), tmp_path)
    for picture, (y, cb, cr) in zip(shown, codes, strict=True):
        grey, b, r = (y - 16) / 219, (cb - 128) / 224, (cr - 128) / 224
        red, blue = grey + 1.5748 * r, grey + 1.8556 * b
        green = (grey - 0.2126 * red - 0.0722 * blue) / 0.7152
        assert np.abs(picture - 255 * np.array([red, green, blue])).max() <= 1


@pytest.mark.parametrize("factor", [1, 3, 16])
def test_training_sees_exactly_what_the_sweep_shows_uncoded(tmp_path, factor):
    trained = face_views(talking(), [factor])
    shown, tally = views_of(talking(), "face", factor, Input(), tmp_path)
    assert np.array_equal(trained.luma[factor], shown)
    assert trained.mask.all()
    assert np.array_equal(trained.times, prepare(talking()).timeline.times)
    pristine = face_views(talking(), [1]).luma[1]
    if factor > 1:
        assert tally.psnr == pytest.approx(psnr_of(pristine, shown), abs=1e-9)


@pytest.mark.parametrize("region", ["face", "frame"])
@pytest.mark.parametrize("factor", [1, 5, 16])
def test_and_within_a_few_levels_of_a_nearly_lossless_encode(tmp_path, region, factor):
    uncoded, before = views_of(talking(), region, factor, Input(), tmp_path)
    coded, after = views_of(talking(), region, factor, Input(), tmp_path, coded=True)
    assert coded.shape == uncoded.shape == (40, 96, 96)
    assert np.abs(coded.astype(int) - uncoded).max() <= 3
    assert np.abs(coded.astype(int) - uncoded).mean() < 0.6
    if factor > 1:
        assert after.psnr == pytest.approx(before.psnr, abs=0.1)
    else:
        assert after.psnr > 50


def test_many_factors_at_once_are_each_as_alone():
    every = face_views(talking(), FACTORS, seconds=0.4)
    assert {len(shown) for shown in every.luma.values()} == {10}
    for factor in (3, 16):
        alone = face_views(talking(), [factor], seconds=0.4)
        assert np.array_equal(every.luma[factor], alone.luma[factor])
    quality = [psnr_of(every.luma[1], every.luma[factor]) for factor in FACTORS[1:]]
    assert quality == sorted(quality, reverse=True)


def test_psnr_of_a_whole_picture_counts_no_padding(tmp_path):
    """161x121 at factor 16 is padded to 192x128, and only the source's own area counts."""
    prepared = prepare(talking())
    geometry = Geometry(161, 121, 16)
    _, tally = views_of(talking(), "frame", 16, Input(), tmp_path)
    assert geometry.padded == (192, 128)
    source, _ = seen(talking().file)
    low = downsample(full_pictures(prepared, geometry, tmp_path), geometry, tmp_path)
    up = np.concatenate(list(_scaled_up(low, geometry, luma_only=True))).reshape(-1, 128, 192)
    wanted = psnr_of(np.array(source)[:, : 161 * 121].reshape(-1, 121, 161), up[:, :121, :161])
    assert tally.psnr == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("region", ["face", "frame"])
def test_a_face_to_look_at_is_the_pristine_one_at_factor_1(tmp_path, region):
    prepared = prepare(talking())
    crop = None if region == "face" else prepared.track.crop()
    geometry = Geometry(96, 96, 1) if region == "face" else Geometry(161, 121, 1)
    full = face_pictures(prepared) if region == "face" else full_pictures(prepared, geometry, tmp_path)
    shown = face_rgb(full, 7, Geometry(full.width, full.height, 1), crop)
    side = 96 if crop is None else crop.side
    assert shown.shape == (side, side, 3)
    wanted = np.concatenate(list(pristine_views(prepared, Input(size=side, colour="rgb"))))[7]
    # Chroma is cut before it is scaled up in one and after in the other.
    assert np.abs(shown.astype(int) - wanted).mean() < 6


def test_faces_are_made_once_and_kept(tmp_path):
    prepared = prepare(clip_of(moving(12)))
    first = face_pictures(prepared)
    stamp = first.file.stat().st_mtime_ns
    again = face_pictures(prepared)
    assert again == first
    assert again.file.stat().st_mtime_ns == stamp
    whole = first.file.read_bytes()
    first.file.write_bytes(whole[:1000])
    assert face_pictures(prepared).file.read_bytes() == whole
    assert [file.name for file in prepared.folder.iterdir() if file.name.startswith(".")] == []
