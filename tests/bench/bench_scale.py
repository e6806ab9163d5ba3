"""A million rows of scores on two cores; `python tests/bench_scale.py [wide]` prints what each step takes.

Two shapes. The plain one is a large study of a few codecs: 100 subjects with 9 clips each, 3 codecs x 8 factors x
6 quantisers and the uncoded pictures, 4 recognisers of 2 targets. `rdbench plot` draws 28 figures of it: 8 of curves,
8 envelopes, 8 of differences, 3 of deltas and one without a codec. The wide one has 320 times as many curves as clips:
5 codecs in 2 variants and 2 regions, 20 recognisers; nobody looks at all figures of that, so only its tables are made.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from rdbench.curves import pooling
from rdbench.curves.deltas import deltas_of
from rdbench.curves.envelope_tables import envelopes_of
from rdbench.curves.run import Run
from rdbench.figures.draw import draw_all
from rdbench.gate.check import check
from rdbench.tables.basis import Basis
from rdbench.tables.schema import ENCODES, SCORES
from rdbench.tables.validation import faults_of_encodes, faults_of_scores

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
        **{f"{kind}_bits": 100 for kind in ("framing", "informational", "filler", "box")},
    }
    encodes = encodes.assign(**known)
    encodes = encodes.assign(stream_bits=encodes.payload_bits + 300).reindex(columns=list(ENCODES))
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


class Peak:
    """Largest memory of this process and those that it started, together, looked at five times a second.

    What the system reports of a child's peak will not do: it starts from what the parent held when it was started.
    """

    def __enter__(self) -> Peak:
        self.bytes, self._over = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._over.wait(0.2):
            held = 0
            for process in (me, *me.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    held += process.memory_info().rss
            self.bytes = max(self.bytes, held)


def processor() -> float:
    used = psutil.Process().cpu_times()
    return used.user + used.system + used.children_user + used.children_system


def main() -> None:
    wide = sys.argv[1:] == ["wide"]
    encodes, scores = million(WIDE if wide else Shape())
    assert len(scores) > 1_000_000
    pair = ("codec=x264,variant=ra,region=frame,target=valence" if wide else "codec=x264", "codec=x265")
    total = 0.0
    with tempfile.TemporaryDirectory() as folder, Peak() as peak:
        run = Run(Path(folder))
        vars(run).update(encodes=encodes, scores=scores)
        scopes = run.scopes(Basis("ccc"))
        work: dict[str, Callable[[], int]] = {
            "validation": lambda: len(faults_of_encodes(encodes) + faults_of_scores(scores, encodes)),
            "curves": lambda: len(pooling.pooled_of(scopes.arrays)),
            "envelopes": lambda: len(envelopes_of(scopes)),
            "deltas": lambda: len(deltas_of(scopes, *pair)),
        }
        if not wide:
            work["figures"] = lambda: len(draw_all(run, run.path / "figures", processes=2))
        for name, step in work.items():
            start, used = time.perf_counter(), processor()
            rows = step()
            wall = time.perf_counter() - start
            total += wall
            print(
                f"{name:10} {rows:6} rows or files: {wall:5.1f} s, {processor() - used:5.1f} s of processor"
            )
    print(f"total {total:.1f} peak {peak.bytes / 1e9:.2f}")
    start = time.perf_counter()
    assert check((encodes, scores), (encodes, scores)).overall == "same"
    print(f"check      besides: {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
