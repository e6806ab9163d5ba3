"""A million rows of scores on two cores; `python tests/test_scale.py` prints what each step takes."""

from __future__ import annotations

import itertools
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rdbench import curves, envelope
from rdbench.bd_table import bd_table
from rdbench.check import check
from rdbench.tables import ENCODES, SCORES

SUBJECTS = 32
SECONDS, GIGABYTES = 20.0, 2.0


def million() -> tuple[pd.DataFrame, pd.DataFrame]:
    """25,600 encodes and 1,024,000 scores."""
    conditions = pd.DataFrame(
        itertools.product(
            ("frame", "face"),
            (1, 2, 3, 4, 6, 8, 12, 16),
            ("x264", "x265", "kvazaar", "svtav1", "libaom"),
            ("ra", "ld"),
            ("crf",),
            (20.0, 24.0, 28.0, 32.0, 36.0),
        ),
        columns=["region", "factor", "codec", "variant", "mode", "rate"],
    )
    rng = np.random.default_rng(0)
    encodes = pd.concat([conditions] * SUBJECTS, ignore_index=True)
    person = np.repeat(np.arange(SUBJECTS), len(conditions))
    kbps = (
        2000 * np.exp(-0.15 * encodes.rate) / encodes.factor**0.8 * np.where(encodes.codec == "x264", 1, 0.8)
    )
    known = {
        "encode": [f"{i:016x}" for i in range(len(encodes))],
        "clip": [f"clip{i:02d}" for i in person],
        "subject": [f"s{i:02d}" for i in person],
        "partition": "test",
        "rate_status": "ok",
        "frames": 250,
        "seconds": 10.0,
        "payload_bits": (kbps * 1e4 * np.exp(rng.normal(0, 0.2, SUBJECTS))[person]).round().astype("int64"),
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
            np.exp(rng.normal(0, 0.3, SUBJECTS)),
            rng.normal(0, 0.1, SUBJECTS),
            rng.normal(0, 0.2, SUBJECTS),
        )
    )
    parts = []
    for backend, target in itertools.product(range(20), ("valence", "arousal")):
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


def main() -> None:
    encodes, scores = million()
    assert len(scores) > 1_000_000
    total = 0.0
    for name, step in {
        "curves": lambda: curves.pooled(encodes, scores),
        "envelopes": lambda: envelope.envelopes(encodes, scores),
        "deltas": lambda: bd_table(
            encodes,
            scores,
            "codec=x264,variant=ra,region=frame,target=valence",
            "codec=x265",
        ),
    }.items():
        start = time.process_time()
        rows = len(step())
        total += time.process_time() - start
        print(f"{name:12} {rows:6} rows {time.process_time() - start:6.1f} s")
    start = time.process_time()
    assert check((encodes, scores), (encodes, scores)).overall == "same"
    print(f"{'check':12} {'':11} {time.process_time() - start:6.1f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"total {total:.1f} peak {peak:.2f}")


@pytest.mark.long
def test_a_million_rows_take_seconds():
    done = subprocess.run([sys.executable, Path(__file__)], capture_output=True, text=True, check=True)
    _, total, _, peak = done.stdout.splitlines()[-1].split()
    # Processor time, so that a busy machine does not fail it.
    assert float(total) < SECONDS, done.stdout
    assert float(peak) < GIGABYTES, done.stdout


if __name__ == "__main__":
    main()
