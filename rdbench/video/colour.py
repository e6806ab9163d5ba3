"""Colours of any source to BT.709 limited range, 8 bits, 4:2:0: which filters, and what cannot be converted truly.

FFmpeg's scaler is used throughout, since with its exact flags it gives the same bits on every processor (``zscale``
does not promise that). What it gets wrong by itself is worked around here: each way was held to the arithmetic of
Rec. ITU-T H.273 (docs/datasets.md has the figures).
"""

from __future__ import annotations

from typing import Any

from av.video.format import VideoFormat

from rdbench.video import process

__all__ = ["MATRICES", "UNSUPPORTED", "convert", "has_alpha", "is_grey", "is_rgb"]

MATRICES = {1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020"}
"""Matrix coefficients of H.273, table 4, that the scaler knows, in its words."""

UNSUPPORTED = {
    8: "YCgCo",
    10: "BT.2020 constant luminance",
    11: "YDzDx (ST 2085)",
    12: "chromaticity-derived",
    13: "chromaticity-derived constant luminance",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
"""Matrix coefficients of H.273, table 4, that it would take for another: refused by name."""

_WHOLE_CHROMA = "full_chroma_int+full_chroma_inp"
_EXACT = f"{process.BICUBIC['flags']}+{_WHOLE_CHROMA}"
_DEEP = 8
_TRUNCATED = 14
_WHITE = 65280.0


def is_grey(pixel_format: str) -> bool:
    """Whether pictures have luma and no chroma."""
    return pixel_format.startswith(("gray", "ya8", "ya16", "mono", "y400a"))


def is_rgb(pixel_format: str) -> bool:
    """Whether pictures are red, green and blue, by planes, packed or with a palette."""
    return not is_grey(pixel_format) and (pixel_format == "pal8" or VideoFormat(pixel_format).is_rgb)


def has_alpha(pixel_format: str) -> bool:
    """Whether pictures may be transparent somewhere."""
    return pixel_format.startswith(
        ("yuva", "ya8", "ya16", "rgba", "bgra", "argb", "abgr", "gbrap", "pal8", "ayuv", "vuya", "uyva")
    )


def _depth(pixel_format: str) -> int:
    return max(_DEEP, *(component.bits for component in VideoFormat(pixel_format).components))


def convert(
    video: Any, pixel_format: str, matrix: str, *, full_range: bool, size: tuple[str, str] | None = None
) -> Any:
    """Filters that bring pictures to BT.709 limited range, ready for ``yuv420p``, and to a size, resampled once.

    Parameters
    ----------
    video : ffmpeg-python stream
    pixel_format : str
    matrix : str
        In the scaler's words; not used for RGB and grey.
    full_range : bool
    size : tuple of str, optional
        Width and height as the scaler's expressions; by default they stay.
    """
    # Chroma alone is resampled where the size stays, as everywhere else.
    kernel = process.BICUBIC if size is None else process.LANCZOS
    kernel = {**kernel, "flags": f"{kernel['flags']}+{_WHOLE_CHROMA}"}
    size = size or ("iw", "ih")
    depth = _depth(pixel_format)
    wanted = {**kernel, "out_color_matrix": "bt709", "out_range": "limited"}
    if is_grey(pixel_format):
        if depth <= _DEEP:
            # The scaler takes all grey for full range: left as it is, limited stays limited.
            out = wanted if full_range else {**kernel, "out_range": "full"}
            return process.scale(video, *size, in_range="full", **out)
        # As luma with neutral chroma, whose range the scaler does not guess.
        pixel_format, matrix = f"yuv420p{depth}le", "bt709"
        video = _as_format(video, pixel_format)
    if is_rgb(pixel_format):
        video = _levelled(video, pixel_format, depth, full_range)
        return process.scale(video, *size, in_range="full", **wanted)
    if matrix == "bt709" and not full_range and depth <= _TRUNCATED:
        return process.scale(video, *size, in_color_matrix="bt709", in_range="limited", **wanted)
    if full_range and depth > _DEEP:
        video = _spread(video, pixel_format, depth)
    # By way of deep RGB: a direct change of matrix goes by way of 8 bits.
    in_range = "full" if full_range else "limited"
    video = process.scale(
        video, "iw", "ih", in_color_matrix=matrix, in_range=in_range, out_range="full", flags=_EXACT
    )
    video = video.filter("format", "gbrp16le")
    return process.scale(video, *size, in_range="full", **wanted)


def _as_format(video: Any, pixel_format: str) -> Any:
    """The same codes in another layout."""
    video = process.scale(video, "iw", "ih", in_range="full", out_range="full", flags=_EXACT)
    return video.filter("format", pixel_format)


def _levelled(video: Any, pixel_format: str, depth: int, full_range: bool) -> Any:
    """RGB of 16 bits with black at 0 and white at 255 * 256, which is what the scaler takes for white."""
    if pixel_format.startswith("gbrap") and depth > _DEEP:
        # Its way from here to pictures without alpha has other codes.
        plain = pixel_format.replace("gbrap", "gbrp")
        video = video.filter("mergeplanes", format=plain, map0p=0, map1p=1, map2p=2)
    video = _as_format(video, "gbrp16le")
    # Packed 10 bits are filled up from below, planes are shifted.
    filled = depth > _DEEP and not pixel_format.startswith("gbr")
    unit = 65535 / (2**depth - 1) if filled else 2.0 ** (16 - depth)
    black = 0.0 if full_range else 16 * 2.0 ** (depth - 8) * unit
    span = (2**depth - 1 if full_range else 219 * 2.0 ** (depth - 8)) * unit
    if (black, span) == (0.0, _WHITE):
        return video
    level = f"clip((val-{black!r})*{_WHITE!r}/{span!r}+0.5,0,65535)"
    return video.filter("lutrgb", r=level, g=level, b=level)


def _spread(video: Any, pixel_format: str, depth: int) -> Any:
    """Full range of more than 8 bits as the scaler understands it: it takes 255 * 2^(depth - 8) for white.

    White is 2^depth - 1 (H.273, 8.3), so that everything would come out 0.3 to 0.5 levels bright.
    """
    chroma = {(2, 2): "420", (2, 1): "422", (1, 1): "444", (1, 2): "440"}[
        _subsampling(VideoFormat(pixel_format))
    ]
    share = f"{255 * 2 ** (depth - 8)}/{2**depth - 1}"
    middle = 2 ** (depth - 1)
    moved = f"(val-{middle})*{share}+{middle}+0.5"
    video = _as_format(video, f"yuv{chroma}p{depth}le")
    return video.filter("lutyuv", y=f"val*{share}+0.5", u=moved, v=moved)


def _subsampling(layout: VideoFormat) -> tuple[int, int]:
    return 1024 // layout.chroma_width(1024), 1024 // layout.chroma_height(1024)
