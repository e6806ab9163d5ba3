"""A whole made-up run with a known structure, for what draws: eight factors, two codecs, two back-ends.

What is known: at each factor the correlation rises with the rate towards a ceiling that falls with the factor;
strong downsampling wins at low rates and loses at high ones; codec "x265" needs `SAVING` of the rate of "x264"
for the same accuracy; back-end "direct@paper" is better than "direct@lite" at every point.
"""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rdbench.curves.run import Run, open_run
from rdbench.tables.pictures import write_samples
from rdbench.tables.predictions import pack
from rdbench.tables.schema import ENCODES, SCORES
from rdbench.tables.store import Store

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


def csv_run(folder: Path, **options: Any) -> Run:
    """A run that consists of `encodes.csv` and `scores.csv` alone; options are those of `made_tables`."""
    encodes, scores = made_tables(**options)
    folder.mkdir(parents=True, exist_ok=True)
    encodes.to_csv(folder / "encodes.csv", index=False)
    scores.to_csv(folder / "scores.csv", index=False)
    return open_run(folder)


def store_run(folder: Path, **options: Any) -> Run:
    """A run with a store: tables, predictions whose moments are those of the scores, and sample pictures."""
    encodes, scores = made_tables(**options)
    with Store(folder, {"experiment": "[made]\nregion = 'frame'\n", "ffmpeg": "made"}) as store:
        store.add(
            {
                "encodes": _records(encodes),
                "scores": _records(scores),
                "predictions": list(_predictions(encodes, scores)),
                "clips": [
                    {"clip": clip, "subject": "?", "partition": "test", "state": "used"}
                    for clip in sorted(encodes["clip"].unique())
                ]
                + [{"clip": "empty <b>room</b>", "state": "skipped", "reason": "no face was found in it"}],
            }
        )
    first = encodes[encodes["clip"] == encodes["clip"].min()]
    for _, row in first.iterrows():
        write_samples(folder, row["encode"], _pictures(int(row["factor"]), float(row["rate"])), 75)
    return open_run(folder)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    plain = table.astype(object).where(table.notna(), None)
    return [{str(key): value for key, value in row.items()} for row in plain.to_dict("records")]


def _predictions(encodes: pd.DataFrame, scores: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    info = encodes.set_index("encode")
    for (encode, backend, gold), group in scores.groupby(["encode", "backend", "gold"]):
        frames = int(group["n"].iloc[0])
        coded = pd.notna(info.loc[encode, "payload_bits"])
        columns = {"prediction": [], "gold": []}
        for place, (_, row) in enumerate(group.iterrows()):
            z, w = _waves(str(info.loc[encode, "clip"]), place, frames)
            rho = row["cov"] / np.sqrt(row["m2_pred"] * row["m2_gold"])
            mixed = rho * z + np.sqrt(1 - rho**2) * w
            columns["prediction"].append(row["mean_pred"] + np.sqrt(row["m2_pred"]) * mixed)
            columns["gold"].append(row["mean_gold"] + np.sqrt(row["m2_gold"]) * z)
        share = np.where(np.arange(frames) % 50 == 0, 12.0, 1.0)
        bits = info.loc[encode, "payload_bits"] * share / share.sum() if coded else np.zeros(0)
        rows.append(
            {
                "encode": encode,
                "backend": backend,
                "gold": gold,
                "data": pack(
                    {
                        "prediction": np.stack(columns["prediction"], axis=1).astype(np.float32),
                        "gold": np.stack(columns["gold"], axis=1),
                        "mask": np.ones(frames, dtype=bool),
                        "times": np.arange(frames) / 25.0,
                        "bits": np.asarray(bits, dtype=np.int64),
                        "outputs": np.array(group["target"], dtype=str),
                        "targets": np.array(group["target"], dtype=str),
                    }
                ),
            }
        )
    return rows


def _waves(clip: str, place: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Two unit vectors without mean, at right angles: a smooth signal, and what disturbs it."""
    random = np.random.default_rng([place, *clip.encode()])
    time = np.linspace(0, 1, frames)
    z = sum(random.normal() * np.sin(2 * np.pi * k * time + random.uniform(0, 6)) for k in range(1, 5))
    w = np.convolve(random.normal(size=frames + 8), np.ones(9) / 9, mode="valid")
    z = z - z.mean()
    z /= np.linalg.norm(z)
    w = w - w.mean()
    w -= (w @ z) * z
    return z, w / np.linalg.norm(w)


def _pictures(factor: int, rate: float) -> dict[str, np.ndarray]:
    """A round face, as recorded, as decoded (blocky) and as the recogniser sees it (coarse steps of grey)."""
    y, x = np.mgrid[-1:1:144j, -1:1:144j]
    face = 60 + 130 * (x**2 / 0.5 + y**2 / 0.8 < 1) - 90 * ((abs(x) - 0.28) ** 2 + (y + 0.2) ** 2 < 0.012)
    face = face - 80 * ((abs(y - 0.4 + 0.15 * np.cos(3 * x)) < 0.05) & (abs(x) < 0.35))
    small = face[factor // 2 :: factor, factor // 2 :: factor]
    big = np.kron(small, np.ones((factor, factor)))[:144, :144]
    big = np.pad(big, ((0, 144 - big.shape[0]), (0, 144 - big.shape[1])), mode="edge")
    step = 4 if rate == 0 else max(4, int(200 / (1 + rate)))
    seen = (big // step * step).clip(0, 255).astype(np.uint8)
    return {
        "source": face.astype(np.uint8),
        "decoded": seen,
        "input": seen[::3, ::3][:48, :48].repeat(2, 0).repeat(2, 1),
    }
