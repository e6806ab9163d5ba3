"""Pictures of a run to look at: a few faces for each encode, as small PNG files.

Layout: ``RUN/samples/ENCODE.KIND.png``, where ENCODE is the row of `encodes` and KIND one of

- ``source``: the face as recorded, at source size (equal for all encodes of a clip and region);
- ``decoded``: the same crop of the decoded picture, brought back to source size;
- ``input``: what the first recogniser saw, at its own size;
- ``restored``: what the first back-end that restores pictures made of what it saw, where there is one. It has a
  size, and in region ``frame`` a margin, of its own.

All show one frame (the middle one of those that are scored) of one clip of the run. The number of the frame
stands in the PNG's text under ``frame``.
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from rdbench.errors import InputError
from rdbench.files import replacing

__all__ = ["KINDS", "encode_png", "forget_samples", "read_picture", "read_samples", "write_samples"]

KINDS = ("source", "decoded", "input", "restored")
_NAME = re.compile(rf"(?P<encode>[0-9a-zA-Z_-]{{1,100}})\.(?P<kind>{'|'.join(KINDS)})\.png")
_LARGEST = 4096


def encode_png(picture: NDArray[np.uint8], frame: int | None = None) -> bytes:
    """A picture as PNG; equal pictures give equal bytes.

    Parameters
    ----------
    picture : (h, w) or (h, w, 3) uint8
        Grey 0..255, or RGB.
    frame : int, optional
        Number of the frame, kept as text.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if (
        picture.dtype != np.uint8
        or picture.ndim not in (2, 3)
        or (picture.ndim == 3 and picture.shape[2] != 3)
    ):
        raise ValueError(f"a picture is uint8 (h, w) or (h, w, 3), not {picture.dtype} {picture.shape}")
    text = PngImagePlugin.PngInfo()
    if frame is not None:
        text.add_text("frame", str(frame))
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(out, "PNG", pnginfo=text, compress_level=6)
    return out.getvalue()


def write_samples(
    run: Path, encode: str, pictures: Mapping[str, NDArray[np.uint8] | bytes], frame: int | None = None
) -> None:
    """Write the pictures of one encode, each beside its place and then renamed.

    Parameters
    ----------
    run : Path
        The folder of the run.
    encode : str
        As in the table `encodes`.
    pictures : mapping from kind to picture
        Kinds are `KINDS`; arrays as `encode_png` takes them, or what it gave (so that a worker elsewhere can
        send bytes).
    frame : int, optional
        Number of the frame.

    Raises
    ------
    ValueError
        If a name is not one that can be read again.
    """
    folder = run / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    for kind, picture in pictures.items():
        name = f"{encode}.{kind}.png"
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name} is not the name of a sample")
        data = picture if isinstance(picture, bytes) else encode_png(picture, frame)
        with replacing(folder / name) as part:
            part.write_bytes(data)


def forget_samples(run: Path, encodes: Collection[str]) -> None:
    """Remove the samples of some encodes."""
    folder = run / "samples"
    for file in folder.iterdir() if encodes and folder.is_dir() else ():
        name = _NAME.fullmatch(file.name)
        if name and name["encode"] in encodes:
            file.unlink()


def read_samples(run: Path) -> dict[str, dict[str, bytes]]:
    """All samples of a run: PNG bytes by encode and kind, in a fixed order; empty where there are none."""
    found: dict[str, dict[str, bytes]] = {}
    folder = run / "samples"
    if not folder.is_dir():
        return found
    for file in sorted(folder.iterdir()):
        name = _NAME.fullmatch(file.name)
        if name and file.is_file():
            found.setdefault(name["encode"], {})[name["kind"]] = file.read_bytes()
    return found


def read_picture(data: bytes, name: str = "A sample") -> NDArray[np.uint8]:
    """A PNG as grey (h, w) or RGB (h, w, 3) uint8.

    Raises
    ------
    InputError
        If it is no PNG, or larger than 4096 pixels in a direction.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if max(image.size) > _LARGEST:
                raise InputError(
                    f"{name} is {image.size[0]}x{image.size[1]} pixels; samples are at most {_LARGEST}."
                )
            return np.asarray(image.convert("L" if image.mode in ("L", "1", "I;16") else "RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{name} is not a PNG picture: {error}.") from error
