"""Tables of a run that never was: every frame is kept, so that tests can recompute what the tables say."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from rdbench.stats import metrics
from rdbench.tables.schema import ENCODES, MOMENTS, SCORES

FRAMES = 60
SECONDS = 2.4


def hidden_quality(factor: int, kbps: float) -> float:
    """A plausible curve: strong factors start higher at low rates and saturate lower."""
    ceiling = 0.95 - 0.09 * np.log2(factor)
    half = 24.0 / factor
    return float(ceiling * kbps / (kbps + half))


def made(
    *,
    subjects: int = 8,
    clips_each: int = 1,
    factors: Sequence[int] = (1, 4),
    codecs: Sequence[str] = ("x264", "x265"),
    variants: Sequence[str] = ("ra",),
    rates: Sequence[float] = (4, 8, 16, 32, 64),
    backends: Sequence[str] = ("direct@lite",),
    targets: Sequence[str] = ("valence",),
    mode: str = "abr",
    region: str = "frame",
    partition: str = "test",
    classes: int = 0,
    uncoded: bool = False,
    seed: int = 0,
    saving: Callable[[str], float] = lambda codec: 0.8 if codec == "x265" else 1.0,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[tuple[str, str, str], tuple[np.ndarray, np.ndarray]]]:
    """Encodes, scores, and frames by (encode, backend, target): (prediction, gold).

    `saving` multiplies the bits that a codec needs for the same pictures.
    """
    rng = np.random.default_rng(seed)
    encodes, scores, frames = [], [], {}
    conditions = [(f, c, v, mode, float(r)) for f in factors for c in codecs for v in variants for r in rates]
    if uncoded:
        conditions += [(f, "none", "none", "none", 0.0) for f in factors]
    for s in range(subjects):
        gain, bias = rng.lognormal(0, 0.25), rng.normal(0, 0.1)
        for k in range(clips_each):
            clip = f"{partition}{s:02d}{'abcdef'[k]}"
            gold = {t: np.cumsum(rng.normal(size=FRAMES)) / 5 for t in targets}
            noise = {(b, t): rng.normal(size=FRAMES) * 0.5 for b in backends for t in targets}
            busy = rng.lognormal(0, 0.03)
            for factor, codec, variant, how, rate in conditions:
                name = f"{clip}-{factor}-{codec}-{variant}-{how}-{rate:g}"
                coded = codec != "none"
                quality = hidden_quality(factor, rate if coded else 1e9)
                bits = round(rate * 1000 * SECONDS * busy * saving(codec)) if coded else None
                encodes.append(
                    dict.fromkeys(ENCODES)
                    | {
                        "encode": name, "clip": clip, "subject": f"{partition}{s:02d}",
                        "partition": partition, "region": region, "factor": factor, "codec": codec,
                        "variant": variant, "mode": how, "rate": rate,
                        "rate_status": "ok" if coded else "uncoded", "frames": FRAMES, "seconds": SECONDS,
                        "payload_bits": bits, "framing_bits": 800 if coded else None,
                        "informational_bits": 160 if coded else None, "filler_bits": 0 if coded else None,
                        "stream_bits": bits + 960 if coded else None, "box_bits": 480 if coded else None,
                        "face_px": 150 / factor, "width": 640 // factor, "height": 360 // factor,
                        "coded_width": 640 // factor, "coded_height": 360 // factor,
                        "psnr": 30 + 10 * quality, "source": clip, "profile": "p-" + codec, "build": "b1",
                    }
                )  # fmt: skip
                for backend in backends:
                    for target in targets:
                        y = gold[target]
                        good = quality * y * gain + bias
                        pred = good + (1 - quality) * noise[backend, target] + 0.02 * rng.normal(size=FRAMES)
                        row = dict.fromkeys(SCORES) | {
                            "encode": name, "backend": backend, "weights": "w1", "target": target,
                            "gold": "labels", "scoring": "plain", "n": FRAMES,
                        }  # fmt: skip
                        if classes:
                            cut = np.linspace(-1, 1, classes + 1)[1:-1]
                            y, pred = np.digitize(y, cut), np.digitize(pred, cut)
                            row["confusion"] = json.dumps(metrics.confusion_matrix(pred, y, classes).tolist())
                            row["classes"] = json.dumps([f"c{i}" for i in range(classes)])
                        else:
                            row |= dict(zip(MOMENTS, metrics.moments(pred, y), strict=True))
                        scores.append(row)
                        frames[name, backend, target] = (pred, y)
    return pd.DataFrame(encodes), pd.DataFrame(scores), frames
