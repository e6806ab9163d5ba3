"""A whole made-up run with a known structure, for what draws: eight factors, two codecs, two back-ends.

What is known: at each factor the correlation rises with the rate towards a ceiling that falls with the factor;
strong downsampling wins at low rates and loses at high ones; codec "x265" needs `SAVING` of the rate of "x264"
for the same accuracy; back-end "direct@paper" is better than "direct@lite" at every point.
"""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pandas as pd

from rdbench.tables import ENCODES, SCORES

FACTORS = (1, 2, 3, 4, 6, 8, 12, 16)
SAVING = 0.75


def _hash(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def floor_kbps(factor: int, codec: str = "x264") -> float:
    """The lowest rate that the made codec reaches, in kbit/s: headers and a part that shrinks with area."""
    return (3.0 + 60.0 / factor**1.5) * (SAVING if codec == "x265" else 1.0)


def correlation(factor: int, kbps: float, codec: str, backend: str) -> float:
    """The true correlation of prediction and gold at one point; kbps of infinity is the uncoded level."""
    top = (0.93 if backend.endswith("paper") else 0.86) - 0.05 * np.log2(factor) ** 1.4
    equal = kbps / (SAVING if codec == "x265" else 1.0)
    return float(top * (1.0 - np.exp(-((equal / (1.1 * floor_kbps(factor))) ** 0.8))))


def made_tables(
    subjects: int = 8,
    *,
    codecs: tuple[str, ...] = ("x264", "x265"),
    factors: tuple[int, ...] = FACTORS,
    rates: int = 5,
    targets: tuple[str, ...] = ("valence", "arousal"),
    backends: tuple[str, ...] = ("direct@lite", "direct@paper"),
    region: str = "frame",
    variant: str = "ra",
    mode: str = "abr",
    gold: str = "labels",
    partition: str = "test",
    clips_per_subject: int = 1,
    seconds: float = 6.0,
    fps: int = 25,
    uncoded: bool = True,
    spread: float = 1.0,
    seed: int = 0,
    clip_name: str = "clip{:02d}",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables `encodes` and `scores` of one run, with the columns and order of `rdbench.tables`.

    Rates are `rates` points for each factor and codec between 1.3 x floor and 20 x floor; `spread` scales all
    differences between subjects; `seed` is that of these differences.
    """
    random = np.random.default_rng(seed)
    frames = round(seconds * fps)
    encode_rows, score_rows = [], []
    for number in range(subjects * clips_per_subject):
        subject, clip = f"s{number // clips_per_subject:02d}", clip_name.format(number)
        bias, gain = spread * random.normal(0, 0.08), float(np.exp(spread * random.normal(0, 0.12)))
        level, width = spread * random.normal(0, 0.15), 0.35 * float(np.exp(spread * random.normal(0, 0.15)))
        bit_gain = float(np.exp(spread * random.normal(0, 0.05)))
        face = 150.0 + round(10 * spread * random.normal())
        conditions: list[tuple[int, str, int]] = list(itertools.product(factors, codecs, range(rates)))
        if uncoded:
            conditions += [(factor, "none", 0) for factor in factors]
        for factor, codec, index in conditions:
            coded = codec != "none"
            grid = floor_kbps(factor, codec) * np.geomspace(1.3, 20.0, max(rates, 2))
            asked = float(np.round(grid[index], 2)) if coded else 0.0
            actual = asked * (1 + 0.03 * spread * random.normal()) * (1.15 if index == 0 else 1.0)
            payload = round(actual * 1000 * seconds * bit_gain) if coded else None
            status = "uncoded" if not coded else "missed" if index == 0 else "ok"
            size = (round(640 / factor / 2) * 2, round(360 / factor / 2) * 2)
            encode = _hash(clip, region, factor, codec, variant, mode, asked)
            framing, informational = (frames * 32, 512) if coded else (None, None)
            encode_rows.append(
                {
                    "encode": encode,
                    "clip": clip,
                    "subject": subject,
                    "partition": partition,
                    "region": region,
                    "factor": factor,
                    "codec": codec,
                    "variant": variant if coded else "none",
                    "mode": mode if coded else "none",
                    "rate": asked,
                    "rate_status": status,
                    "frames": frames,
                    "seconds": seconds,
                    "payload_bits": payload,
                    "framing_bits": framing,
                    "informational_bits": informational,
                    "filler_bits": 0 if coded else None,
                    "stream_bits": payload + framing + informational if coded else None,
                    "parameter_bits": 400 if coded else None,
                    "first_key_bits": payload // 5 if coded else None,
                    "box_bits": frames * 3 if region == "frame" else 0,
                    "face_px": face / factor if region == "frame" else 96.0 / factor,
                    "width": size[0],
                    "height": size[1],
                    "coded_width": size[0],
                    "coded_height": size[1],
                    "mean_qp": 45.0 - 6 * index if coded else None,
                    "psnr_coded": 28.0 + 3 * index if coded else None,
                    "psnr": 27.0 + 2.5 * index - np.log2(factor) if coded else 40.0 - 3 * np.log2(factor),
                    "timing": "constant",
                    "masked_frames": 0,
                    "source": _hash(clip),
                    "profile": _hash(codec) if coded else "none",
                    "build": "made",
                    "command": f"ffmpeg -i {{source}} -c:v lib{codec} {{stream}}" if coded else "",
                    "reason": None,
                }
            )
            for backend, (place, target) in itertools.product(backends, enumerate(targets)):
                rho = correlation(factor, asked if coded else np.inf, codec, backend) * (
                    0.95 if place else 1.0
                )
                m2_gold, m2_pred = frames * width**2, frames * (width * gain * rho**0.5) ** 2
                score_rows.append(
                    {
                        "encode": encode,
                        "backend": backend,
                        "weights": _hash(backend),
                        "target": target,
                        "gold": gold,
                        "scoring": "plain",
                        "n": frames,
                        "mean_pred": level + bias,
                        "mean_gold": level,
                        "m2_pred": m2_pred,
                        "m2_gold": m2_gold,
                        "cov": rho * np.sqrt(m2_pred * m2_gold),
                        "confusion": None,
                        "classes": None,
                        "reason": None,
                    }
                )
    encodes = pd.DataFrame(encode_rows, columns=list(ENCODES))
    scores = pd.DataFrame(score_rows, columns=list(SCORES))
    counts = [name for name in encodes.columns if name.endswith("_bits")]
    encodes[counts] = encodes[counts].astype("Int64")
    return encodes, scores
