"""The tables of runs whose recogniser sees true affect through noise, and whose raters lag behind the face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rdbench.datasets.drawing.picture import Recording as Drawn
from rdbench.stats import metrics
from rdbench.tables.predictions import pack
from rdbench.tables.schema import ENCODES, MOMENTS, SCORES
from rdbench.tables.store import Store

__all__ = ["FPS", "TARGETS", "Tables", "both", "run_of", "stored"]

TARGETS = ("arousal", "valence")
FPS = 25


@dataclass(frozen=True)
class Tables:
    encodes: pd.DataFrame
    scores: pd.DataFrame
    predictions: pd.DataFrame


def run_of(
    partition: str,
    count: int,
    delay: float,
    rates: Sequence[float] = (),
    weights: str = "w",
    gain: float = 0.5,
    offset: float = 0.3,
    floor: float = 0.02,
    codecs: Sequence[str] = ("x264",),
    backend: str = "direct@lite",
    lag: float = 0.0,
) -> Tables:
    """The tables of a run whose recogniser sees true affect through noise and `lag` seconds late, and whose
    raters lag by `delay`."""
    encodes, scores, blobs = [], [], []
    for number in range(1, count + 1):
        affect = Drawn(partition, number).affect
        truth = np.column_stack([affect.arousal, affect.valence])
        times = np.arange(len(truth)) / FPS
        gold = truth[np.maximum(0, np.arange(len(truth)) - round(delay * FPS))]
        late = truth[np.maximum(0, np.arange(len(truth)) - round(lag * FPS))]
        rng = np.random.default_rng(number)
        for codec, rate in [("none", 0.0), *((codec, rate) for codec in codecs for rate in rates)]:
            noise = floor + (0.4 / rate if rate else 0)
            seen = (gain * late + offset + rng.normal(0, noise, truth.shape)).astype(np.float32)
            seen[40:45] = np.nan
            encode = f"{partition}{number}{codec}{rate}"
            row = dict.fromkeys(ENCODES) | {
                "encode": encode,
                "clip": f"{partition}_{number}",
                "partition": partition,
            }
            row |= {
                "subject": f"{partition}_{number}",
                "region": "frame",
                "factor": 1,
                "codec": codec,
                "rate": rate,
            }
            row |= {
                "variant": "none",
                "mode": "none",
                "rate_status": "uncoded",
                "seconds": 10.0,
                "frames": 250,
            }
            if rate:
                row |= {"variant": "ra", "mode": "qp", "rate_status": "ok", "payload_bits": int(rate * 1e4)}
                row |= {f"{kind}_bits": 0 for kind in ("framing", "informational", "filler", "box")}
                row |= {"stream_bits": row["payload_bits"]}
            encodes.append(row)
            for i, target in enumerate(TARGETS):
                stats = metrics.moments(seen[:, i], gold[:, i])
                score = dict.fromkeys(SCORES) | dict(zip(MOMENTS, stats, strict=True))
                score |= {"encode": encode, "backend": backend, "weights": weights, "target": target}
                scores.append(score | {"gold": "labels", "scoring": "plain", "n": int(stats[0])})
            arrays = {"prediction": seen, "gold": gold, "times": times, "mask": np.isfinite(seen[:, 0])}
            data = pack(arrays | {"outputs": np.array(TARGETS), "targets": np.array(TARGETS)})
            blobs.append({"encode": encode, "backend": backend, "gold": "labels", "data": data})
    return Tables(pd.DataFrame(encodes), pd.DataFrame(scores), pd.DataFrame(blobs))


def both(one: Tables, other: Tables) -> Tables:
    """A run with the back-ends of two, over the same encodes."""
    return Tables(
        one.encodes,
        pd.concat([one.scores, other.scores], ignore_index=True),
        pd.concat([one.predictions, other.predictions], ignore_index=True),
    )


def stored(run: Tables, folder: Path) -> Path:
    """The same run as a folder with a store."""
    with Store(folder, {"experiment": "made"}) as store:
        for name in ("encodes", "scores", "predictions"):
            table = getattr(run, name).astype(object)
            store.add({name: table.where(table.notna(), None).to_dict("records")})
    return folder
