"""The report's traces: predictions and gold by frame, within a limit of bytes."""

from __future__ import annotations

import base64
import itertools
import json
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.curves.run import Run
from rdbench.report.plain import CONDITION, Json, Room, Told, plain_value, some_names
from rdbench.tables.predictions import unpack

__all__ = ["TRACE_BYTES", "SeriesPool", "quantised", "stored_traces"]


TRACE_BYTES = 6_000_000
"""How much all traces of a report may take; clips beyond it are left out, and that is told."""


_MISSING = -32768


def stored_traces(name: str, run: Run, out: list[Json], series: SeriesPool, room: Room) -> Told:
    """Predictions and bits by frame, whole clips at a time."""
    stored = run.predictions
    if stored.empty:
        why = "has no stored predictions" if run.has_store else "consists of tables alone"
        return [("time", f"This run {why}, so there is nothing by frame to show.")]
    encodes = {str(row["encode"]): row for row in run.encodes.to_dict("records")}
    stored = stored[stored["encode"].isin(list(encodes))]
    clip_of = np.array([encodes[encode]["clip"] for encode in stored["encode"]], dtype=object)
    scored: dict[tuple[str, str, str], list[dict[Hashable, Any]]] = {}
    for score in run.scores[run.scores["scoring"] == "plain"].to_dict("records"):
        scored.setdefault((score["encode"], score["backend"], score["gold"]), []).append(score)
    left: list[str] = []
    for clip in sorted(set(clip_of)):
        if left:
            left.append(str(clip))
            continue
        found = []
        of_clip = stored[clip_of == clip]
        for encode, backend, gold, data in zip(
            *(of_clip[column] for column in ("encode", "backend", "gold", "data")), strict=True
        ):
            rows = scored.get((encode, backend, gold))
            if rows:
                found.append(_trace(name, encodes[encode], str(backend), str(gold), unpack(data), rows))
        size = sum(len(text) for one in found for part in ("prediction", "bits") for text, *_ in one[part])
        if not room.take(size):
            left.append(str(clip))
            continue
        for one in found:
            # Gold and times are equal for all encodes of a clip: each series is kept once.
            for part in ("prediction", "gold", "times", "bits"):
                one[part] = [series.add(steps) for steps in one[part]]
        out.extend(found)
    if left:
        return [
            ("time", f"To keep the page small, {len(left)} clips are not shown by frame: {some_names(left)}.")
        ]
    return []


def _trace(
    run: str,
    row: Mapping[Hashable, Any],
    backend: str,
    gold: str,
    arrays: Mapping[str, NDArray[Any]],
    scores: Sequence[Mapping[Hashable, Any]],
) -> Json:
    prediction = np.asarray(arrays["prediction"], dtype=np.float64)
    truth = np.asarray(arrays["gold"], dtype=np.float64)
    truth = truth[:, None] if truth.ndim == 1 else truth
    prediction = prediction[:, None] if prediction.ndim == 1 else prediction
    classes = next((json.loads(one["classes"]) for one in scores if isinstance(one["classes"], str)), None)
    if classes:
        seen: NDArray[np.bool_] = np.isfinite(prediction).min(axis=1)
        chosen = np.argmax(np.where(seen[:, None], prediction, 0.0), axis=1).astype(np.float64)
        prediction = np.where(seen, chosen, np.nan)[:, None]
        lines = [(str(one["target"]), 0, 0) for one in scores]
    else:
        lines = [_place(one, prediction, truth) for one in scores]
    lines.sort()
    seconds, bits = row["seconds"], row["payload_bits"]
    payload = None if pd.isna(bits) else float(bits) / float(seconds) / 1000
    by_frame = np.asarray(arrays.get("bits", np.zeros(0)), dtype="<u4")
    if len(by_frame) and by_frame.max() < 1 << 16:
        by_frame = by_frame.astype("<u2")
    return {
        "run": run,
        **{key: plain_value(row[key]) for key in CONDITION},
        "kbps": plain_value(payload),
        "backend": backend,
        "gold_name": gold,
        "targets": [target for target, _, _ in lines],
        "classes": classes,
        "prediction": [quantised(prediction[:, p]) for _, p, _ in lines],
        "gold": [quantised(truth[:, g]) for _, _, g in lines],
        "times": [quantised(np.asarray(arrays.get("times", np.arange(len(truth))), dtype=np.float64))],
        "bits": [[base64.b64encode(by_frame.tobytes()).decode(), by_frame.itemsize]] if len(by_frame) else [],
    }


def _place(
    score: Mapping[Hashable, Any], prediction: NDArray[np.float64], truth: NDArray[np.float64]
) -> tuple[str, int, int]:
    """Which columns of prediction and gold a row of scores came from: those with its moments."""
    best = (math.inf, 0, 0)
    for p, g in itertools.product(range(prediction.shape[1]), range(truth.shape[1])):
        both = np.isfinite(prediction[:, p]) & np.isfinite(truth[:, g])
        if both.any() and pd.notna(score["mean_pred"]):
            x, y = prediction[both, p], truth[both, g]
            far = abs(x.mean() - score["mean_pred"]) + abs(y.mean() - score["mean_gold"])
            far += abs(((x - x.mean()) * (y - y.mean())).sum() - score["cov"]) / len(x)
            best = min(best, (float(far), p, g))
    return str(score["target"]), best[1], best[2]


class SeriesPool:
    """Values by frame, equal ones once."""

    def __init__(self) -> None:
        self.kept: list[list[Any]] = []
        self._known: dict[str, int] = {}

    def add(self, steps: list[Any]) -> int:
        key = json.dumps(steps)
        if key not in self._known:
            self._known[key] = len(self.kept)
            self.kept.append(steps)
        return self._known[key]


def quantised(values: NDArray[np.float64]) -> list[Any]:
    """A trace in 16-bit steps: [base64 of little-endian int16, first value, size of a step]; -32768 is missing."""
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    step = (high - low) / 65000 or 1.0
    coded = np.full(len(values), _MISSING, dtype="<i2")
    coded[np.isfinite(values)] = np.rint((known - low) / step - 32500).astype("<i2")
    return [base64.b64encode(coded.tobytes()).decode(), low + 32500 * step, step]
