"""Colours of every format, range and matrix against the arithmetic of Rec. ITU-T H.273, and what is refused by name."""

from __future__ import annotations

import subprocess

import ffmpeg as graph
import numpy as np
import pytest
from av.video.format import VideoFormat

from rdbench import binary
from rdbench.errors import ClipError
from rdbench.video import colour, process, source

SIDE, GRID, PATCH = 320, 20, 16
WEIGHTS = {
    "bt709": (0.2126, 0.0722),
    "fcc": (0.30, 0.11),
    "smpte170m": (0.299, 0.114),
    "smpte240m": (0.212, 0.087),
    "bt2020": (0.2627, 0.0593),
}
PLANAR = {
    **{f"yuv{cut}p": (cut, 8) for cut in ("410", "411", "420", "422", "440", "444")},
    **{f"yuv{cut}p{bits}le": (cut, bits) for cut in ("420", "422", "444") for bits in (9, 10, 12, 14, 16)},
}
PACKED = {
    **dict.fromkeys(("nv12", "nv21"), ("420", 8)),
    **dict.fromkeys(("yuyv422", "uyvy422", "nv16"), ("422", 8)),
    "nv24": ("444", 8),
    "p010le": ("420", 10),
    "p210le": ("422", 10),
    "y210le": ("422", 10),
    "p016le": ("420", 16),
}
RGB = {**dict.fromkeys(("rgb24", "bgra", "0rgb", "gbrp"), 8), "gbrp10le": 10, "gbrp12le": 12, "rgb48le": 16}
GREY = {"gray": 8, "gray10le": 10, "gray12le": 12, "gray16le": 16}
FORMATS = (*PLANAR, *PACKED, *RGB, *GREY)
CUTS = {"410": (4, 4), "411": (4, 1), "420": (2, 2), "422": (2, 1), "440": (1, 2), "444": (1, 1)}
COLOURS = np.vstack(
    [np.repeat(np.linspace(0, 1, 40)[:, None], 3, 1), np.random.default_rng(0).random((360, 3))]
)


def coded(values: np.ndarray, depth: int, full: bool, chroma: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Codes of values in 0..1 (chroma -0.5..0.5), and the values that they stand for (H.273, 8.3)."""
    step = 2.0 ** (depth - 8)
    zero = (128 if chroma else 0 if full else 16) * step
    span = 2.0**depth - 1 if full else (224 if chroma else 219) * step
    codes = np.clip(np.rint(values * span + zero), 0, 2**depth - 1)
    return codes, (codes - zero) / span


def plane(codes: np.ndarray, depth: int, cut: tuple[int, int] = (1, 1)) -> bytes:
    """Squares of one code each."""
    picture = np.kron(codes.reshape(GRID, GRID), np.ones((PATCH, PATCH)))[:: cut[1], :: cut[0]]
    return picture.astype("<u2" if depth > 8 else "u1").tobytes()


def made(pixel_format: str, matrix: str, full: bool) -> tuple[bytes, np.ndarray]:
    """A raw picture, and the exact BT.709 luma codes of its squares."""
    if pixel_format in GREY:
        codes, values = coded(COLOURS[:, 0], GREY[pixel_format], full)
        return plane(codes, GREY[pixel_format]), 16 + 219 * values
    if pixel_format in RGB:
        depth = RGB[pixel_format]
        codes, values = coded(COLOURS, depth, full)
        raw = b"".join(plane(codes[:, part], depth) for part in (1, 2, 0))
        base = "gbrp" + (f"{depth}le" if depth > 8 else "")
        red, blue = WEIGHTS["bt709"]
        return repacked(raw, base, pixel_format), 16 + 219 * values @ np.array([red, 1 - red - blue, blue])
    cut, depth = {**PLANAR, **PACKED}[pixel_format]
    red, blue = WEIGHTS[matrix]
    luma = COLOURS @ np.array([red, 1 - red - blue, blue])
    y, luma = coded(luma, depth, full)
    u, cb = coded(
        (COLOURS[:, 2] - COLOURS @ np.array([red, 1 - red - blue, blue])) / 2 / (1 - blue), depth, full, True
    )
    v, cr = coded(
        (COLOURS[:, 0] - COLOURS @ np.array([red, 1 - red - blue, blue])) / 2 / (1 - red), depth, full, True
    )
    b, r = luma + 2 * (1 - blue) * cb, luma + 2 * (1 - red) * cr
    g = (luma - red * r - blue * b) / (1 - red - blue)
    raw = plane(y, depth) + plane(u, depth, CUTS[cut]) + plane(v, depth, CUTS[cut])
    base = f"yuv{cut}p" + (f"{depth}le" if depth > 8 else "")
    return repacked(raw, base, pixel_format), 16 + 219 * (0.2126 * r + 0.7152 * g + 0.0722 * b)


def repacked(raw: bytes, base: str, pixel_format: str) -> bytes:
    """The same codes in another layout."""
    if base == pixel_format:
        return raw
    options = ("-f", "rawvideo", "-s", f"{SIDE}x{SIDE}", "-pix_fmt")
    same = (
        "scale=in_range=limited:out_range=limited:flags=accurate_rnd+bitexact+full_chroma_int+full_chroma_inp"
    )
    command = [
        binary.executable(),
        "-v",
        "error",
        *options,
        base,
        "-i",
        "-",
        "-vf",
        same,
        *options,
        pixel_format,
        "-",
    ]
    return subprocess.run(command, input=raw, capture_output=True, check=True).stdout


def converted(raw: bytes, pixel_format: str, matrix: str, full: bool) -> np.ndarray:
    """Mean luma of each square after the reader's own filters."""
    video = graph.input("pipe:0", format="rawvideo", pix_fmt=pixel_format, s=f"{SIDE}x{SIDE}")["v"]
    video = colour.convert(video, pixel_format, matrix, full_range=full)
    output = graph.output(video, "pipe:1", format="rawvideo", pix_fmt="yuv420p")
    done = subprocess.run(process.arguments(output), input=raw, capture_output=True, check=True)
    luma = np.frombuffer(done.stdout, np.uint8)[: SIDE * SIDE].reshape(GRID, PATCH, GRID, PATCH)
    return luma[:, 4:12, :, 4:12].mean((1, 3)).ravel()


def errors(pixel_format: str, matrix: str, full: bool) -> tuple[float, float, float]:
    """Mean error and largest error of luma in codes, and the contrast against the exact one."""
    raw, wanted = made(pixel_format, matrix, full)
    got = converted(raw, pixel_format, matrix, full)
    return (
        float(np.mean(got - wanted)),
        float(np.abs(got - wanted).max()),
        float(np.polyfit(wanted, got, 1)[0]),
    )


def assert_exact(pixel_format: str, matrix: str, full: bool) -> None:
    mean, largest, contrast = errors(pixel_format, matrix, full)
    assert abs(mean) < 0.05
    assert largest < 1.5
    assert contrast == pytest.approx(1, abs=0.005)


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize(
    ("pixel_format", "matrix"),
    [
        *(
            ("yuv420p", "smpte170m"),
            ("yuv420p10le", "bt2020"),
            ("p010le", "bt709"),
            ("yuv444p12le", "smpte240m"),
        ),
        *(
            ("yuyv422", "fcc"),
            ("gray", "bt709"),
            ("gray10le", "bt709"),
            ("gbrp", "bt709"),
            ("rgb48le", "bt709"),
        ),
    ],
)
def test_colours_are_those_of_the_standard(pixel_format, matrix, full):
    assert_exact(pixel_format, matrix, full)


@pytest.mark.long
@pytest.mark.parametrize("pixel_format", FORMATS)
def test_colours_of_every_format_range_and_matrix(pixel_format):
    one = pixel_format in RGB or pixel_format in GREY
    for matrix in ("bt709",) if one else WEIGHTS:
        for full in (False, True):
            assert_exact(pixel_format, matrix, full)


def test_there_are_forty_formats_and_their_kinds_are_told_apart():
    assert len(FORMATS) >= 40
    assert {name for name in FORMATS if colour.is_rgb(name)} == set(RGB)
    assert {name for name in FORMATS if colour.is_grey(name)} == set(GREY)
    assert [name for name in FORMATS if colour.has_alpha(name)] == ["bgra"]
    assert all(VideoFormat(name).name == name for name in FORMATS)


def test_a_matrix_that_cannot_be_converted_is_named(tmp_path):
    file = tmp_path / "ycgco.mp4"
    options = (
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=64x64:d=0.2",
        "-vf",
        "setparams=colorspace=ycgco,format=yuv420p",
    )
    command = [
        binary.executable(),
        "-v",
        "error",
        *options,
        "-c:v",
        "libx264",
        "-colorspace",
        "ycgco",
        str(file),
    ]
    subprocess.run(command, capture_output=True, check=True)
    with pytest.raises(ClipError, match="colour matrix is YCgCo"):
        source.describe(file)
