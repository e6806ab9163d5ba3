"""The report's pictures: samples of what was coded, within a limit of bytes."""

from __future__ import annotations

import base64
import io

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, features

from rdbench.curves.run import Run
from rdbench.errors import InputError
from rdbench.report.plain import CONDITION, Json, Room, Told, plain_value
from rdbench.tables.pictures import read_picture, read_samples

__all__ = ["SAMPLE_BYTES", "WEBP_QUALITY", "Pictures", "sample_pictures"]


SAMPLE_BYTES = 8_000_000
"""The same for pictures."""


WEBP_QUALITY = 95
"""Of source and decoded pictures: 42 dB or more away from what the codec left of them, at an eighth of the size."""


class Pictures:
    """Pictures as data URLs, each once."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        self._known: dict[bytes, int] = {}
        self.room = Room(SAMPLE_BYTES)

    def add(self, data: bytes, *, exact: bool) -> int | None:
        """Number of the picture that the PNG `data` holds; None where it is damaged or there is no room."""
        if data not in self._known:
            try:
                picture = read_picture(data)
            except InputError:
                return None
            kind, shown = "png", data
            if not exact and features.check("webp"):
                kind, shown = "webp", _webp(picture)
            if not self.room.take(len(shown)):
                return None
            self._known[data] = len(self.urls)
            self.urls.append(f"data:image/{kind};base64,{base64.b64encode(shown).decode()}")
        return self._known[data]


def _webp(picture: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "WEBP", quality=WEBP_QUALITY, method=4)
    return out.getvalue()


def sample_pictures(name: str, run: Run, out: list[Json], pictures: Pictures) -> Told:
    stored = read_samples(run.path)
    if not stored:
        return [("viewer", "This run has no sample pictures.")]
    full = False
    rows = run.encodes[run.encodes["encode"].isin(list(stored))]
    for _, row in rows.sort_values([*CONDITION], kind="stable").iterrows():
        kinds = {
            kind: pictures.add(data, exact=kind in ("input", "restored"))
            for kind, data in stored[row["encode"]].items()
        }
        full |= any(place is None for place in kinds.values())
        bits = row["payload_bits"]
        out.append(
            {
                "run": name,
                **{key: plain_value(row[key]) for key in CONDITION},
                "kbps": None if pd.isna(bits) else plain_value(float(bits) / float(row["seconds"]) / 1000),
                "psnr": plain_value(row["psnr"]),
                "face_px": plain_value(row["face_px"]),
                "pictures": {kind: place for kind, place in kinds.items() if place is not None},
            }
        )
    return (
        [("viewer", "Some sample pictures are left out: damaged, or too many for one page.")] if full else []
    )
