"""The report's traces: predictions and gold by frame, within a limit of bytes."""

from __future__ import annotations

import base64
import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.curves.run import Run
from rdbench.report.plain import CONDITION, Json, Room, Told, plain_value, some_names
from rdbench.tables.predictions import ByFrame, read_by_frame

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
    older = 0
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
            if not rows:
                continue
            by_frame = read_by_frame(data)
            if by_frame is None:
                older += 1
                continue
            found.append(_trace(name, encodes[encode], str(backend), str(gold), by_frame, rows))
        size = sum(len(text) for one in found for part in ("prediction", "bits") for text, *_ in one[part])
        if not room.take(size):
            left.append(str(clip))
            continue
        for one in found:
            # Gold and times are equal for all encodes of a clip: each series is kept once.
            for part in ("prediction", "gold", "times", "bits"):
                one[part] = [series.add(steps) for steps in one[part]]
        out.extend(found)
    told: Told = []
    if older:
        text = f"{older} stored predictions do not name their targets (an earlier version wrote them)"
        told.append(("time", f"{text}, so they are not shown by frame."))
    if left:
        text = f"To keep the page small, {len(left)} clips are not shown by frame: {some_names(left)}."
        told.append(("time", text))
    return told


def _trace(
    run: str,
    row: Mapping[Hashable, Any],
    backend: str,
    gold: str,
    by_frame: ByFrame,
    scores: Sequence[Mapping[Hashable, Any]],
) -> Json:
    classes = next(
        (json.loads(score["classes"]) for score in scores if isinstance(score["classes"], str)), None
    )
    series: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    for target in sorted({str(score["target"]) for score in scores}):
        pair = by_frame.of_class(target) if classes else by_frame.of(target)
        if pair is not None:
            series[target] = pair
    seconds, bits = row["seconds"], row["payload_bits"]
    payload = None if pd.isna(bits) else float(bits) / float(seconds) / 1000
    frame_bits = by_frame.bits.astype("<u4")
    if len(frame_bits) and frame_bits.max() < 1 << 16:
        frame_bits = frame_bits.astype("<u2")
    return {
        "run": run,
        **{key: plain_value(row[key]) for key in CONDITION},
        "kbps": plain_value(payload),
        "backend": backend,
        "gold_name": gold,
        "targets": list(series),
        "classes": classes,
        "prediction": [quantised(prediction) for prediction, _ in series.values()],
        "gold": [quantised(gold_values) for _, gold_values in series.values()],
        "times": [quantised(by_frame.times)],
        "bits": (
            [[base64.b64encode(frame_bits.tobytes()).decode(), frame_bits.itemsize]]
            if len(frame_bits)
            else []
        ),
    }


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
