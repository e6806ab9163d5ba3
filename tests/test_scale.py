"""A million rows of scores on two cores; `python tests/test_scale.py [wide]` prints what each step takes.

Two shapes. The plain one is a large study of a few codecs: 100 subjects with 9 clips each, 3 codecs x 8 factors x
6 quantisers and the uncoded pictures, 4 recognisers of 2 targets. `rdbench plot` draws 28 figures of it, each in three
formats: 8 of curves, 8 envelopes, 8 of differences, 3 of deltas and one without a codec. The wide one has 320 times as
many curves as clips: 5 codecs in 2 variants and 2 regions, 20 recognisers; nobody looks at all figures of that, so
only its tables are made.
"""

from __future__ import annotations

import itertools
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rdbench import curves, envelope
from rdbench.bd_table import bd_table
from rdbench.check import check
from rdbench.figures import draw_all
from rdbench.runs import Run
from rdbench.tables import ENCODES, SCORES

SECONDS, GIGABYTES = 20.0, 2.0
FACTORS = (1, 2, 3, 4, 6, 8, 12, 16)


@dataclass(frozen=True)
class Shape:
    """How a million rows come about."""

    subjects: int = 100
    clips: int = 9
    regions: tuple[str, ...] = ("frame",)
    codecs: tuple[str, ...] = ("x264", "x265", "svtav1")
    variants: tuple[str, ...] = ("ra",)
    rates: tuple[float, ...] = (20.0, 24.0, 28.0, 32.0, 36.0, 40.0)
    backends: int = 4
    uncoded: bool = True


WIDE = Shape(
    32,
    1,
    ("frame", "face"),
    ("x264", "x265", "kvazaar", "svtav1", "libaom"),
    ("ra", "ld"),
    (20.0, 24.0, 28.0, 32.0, 36.0),
    20,
    uncoded=False,
)


def million(shape: Shape) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Encodes, and more than a million scores."""
    grid = list(
        itertools.product(shape.regions, FACTORS, shape.codecs, shape.variants, ("crf",), shape.rates)
    )
    if shape.uncoded:
        grid += [("frame", factor, "none", "none", "none", 0.0) for factor in FACTORS]
    conditions = pd.DataFrame(grid, columns=["region", "factor", "codec", "variant", "mode", "rate"])
    rng = np.random.default_rng(0)
    clips = shape.subjects * shape.clips
    encodes = pd.concat([conditions] * clips, ignore_index=True)
    clip = np.repeat(np.arange(clips), len(conditions))
    person = clip // shape.clips
    kbps = (
        2000 * np.exp(-0.15 * encodes.rate) / encodes.factor**0.8 * np.where(encodes.codec == "x264", 1, 0.8)
    )
    known = {
        "encode": [f"{i:016x}" for i in range(len(encodes))],
        "clip": [f"clip{i:03d}" for i in clip],
        "subject": [f"s{i:02d}" for i in person],
        "partition": "test",
        "rate_status": np.where(encodes.codec == "none", "uncoded", "ok"),
        "frames": 250,
        "seconds": 10.0,
        "payload_bits": (kbps * 1e4 * np.exp(rng.normal(0, 0.2, shape.subjects))[person])
        .round()
        .astype("int64"),
        "face_px": 150 / encodes.factor,
        "psnr": 35.0,
        **{f"{kind}width": 640 // encodes.factor for kind in ("", "coded_")},
        **{f"{kind}height": 360 // encodes.factor for kind in ("", "coded_")},
        **{f"{kind}_bits": 100 for kind in ("framing", "informational", "filler", "stream", "box")},
    }
    encodes = encodes.assign(**known).reindex(columns=list(ENCODES))
    quality = ((0.95 - 0.07 * np.log2(encodes.factor)) * kbps / (kbps + 30 / encodes.factor)).to_numpy()
    gain, bias, level = (
        draw[person]
        for draw in (
            np.exp(rng.normal(0, 0.3, shape.subjects)),
            rng.normal(0, 0.1, shape.subjects),
            rng.normal(0, 0.2, shape.subjects),
        )
    )
    parts = []
    for backend, target in itertools.product(range(shape.backends), ("valence", "arousal")):
        slope = gain * np.maximum(quality + rng.normal(0, 0.02, len(quality)), 0)
        columns = {
            "encode": encodes.encode,
            "backend": f"net{backend}@lite",
            "weights": "w",
            "target": target,
            "gold": "labels",
            "scoring": "plain",
            "n": 250,
            "mean_pred": slope * level + bias,
            "mean_gold": level,
            "m2_pred": 250 * (0.04 * slope**2 + 0.01),
            "m2_gold": 250 * 0.04,
            "cov": 250 * 0.04 * slope,
        }
        parts.append(pd.DataFrame(columns))
    return encodes, pd.concat(parts, ignore_index=True).reindex(columns=list(SCORES))


@dataclass
class Step:
    """Processor seconds of one step: of this process, which nothing runs beside, and of those that it started."""

    name: str
    rows: int
    own: float
    others: float
    wall: float

    @property
    def on_two_cores(self) -> float:
        """Wall seconds where two processes share what the others do, and nothing else runs."""
        return self.own + self.others / 2


def times() -> tuple[float, float, float]:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time(), children.ru_utime + children.ru_stime, time.perf_counter()


def main() -> None:
    wide = sys.argv[1:] == ["wide"]
    encodes, scores = million(WIDE if wide else Shape())
    assert len(scores) > 1_000_000
    pair = ("codec=x264,variant=ra,region=frame,target=valence" if wide else "codec=x264", "codec=x265")
    work: dict[str, Callable[[], int]] = {
        "curves": lambda: len(curves.pooled(encodes, scores)),
        "envelopes": lambda: len(envelope.envelopes(encodes, scores)),
        "deltas": lambda: len(bd_table(encodes, scores, *pair)),
    }
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder))
        vars(run).update(encodes=encodes, scores=scores)
        if not wide:
            work["figures"] = lambda: len(draw_all(run, run.path / "figures", processes=2))
        steps = []
        for name, step in work.items():
            before = times()
            rows = step()
            steps.append(Step(name, rows, *(now - then for now, then in zip(times(), before, strict=True))))
    for one in steps:
        print(
            f"{one.name:10} {one.rows:6} rows or files: {one.own:5.1f} s of processor here, {one.others:5.1f} s in other "
            f"processes, {one.wall:6.1f} s on the clock"
        )
    own, child = (
        resource.getrusage(who).ru_maxrss / 1e6 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(f"total {sum(one.on_two_cores for one in steps):.1f} peak {own + 2 * child:.2f}")
    before = times()
    assert check((encodes, scores), (encodes, scores)).overall == "same"
    print(f"check      besides: {times()[0] - before[0]:.1f} s")


@pytest.mark.long
@pytest.mark.parametrize("shape", ["plain", "wide"])
def test_a_million_rows_take_seconds(shape):
    command = [sys.executable, Path(__file__), *(["wide"] if shape == "wide" else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    _, total, _, peak = done.stdout.splitlines()[-2].split()
    # Processor time, so that a busy machine does not fail it.
    assert float(total) < SECONDS, done.stdout
    assert float(peak) < GIGABYTES, done.stdout


if __name__ == "__main__":
    main()
