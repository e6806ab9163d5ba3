"""What the report shows, as plain JSON: everything is computed here, and the page only draws it.

Tables go in as columns and rows of plain values, with None for what is missing. So that a run of ordinary size stays
a page that can be mailed, traces by frame are 16-bit steps of their own range in base64, and pictures for the eye
(source and decoded) are WebP of high quality; what the recogniser saw stays as it is stored, to the last bit.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, features

from rdbench import __version__
from rdbench.curves import pooling
from rdbench.curves.deltas import bd_table
from rdbench.curves.envelope import Chooser, envelopes, gains, groups, side_of, switch_points
from rdbench.curves.points import GRID, Arrays, Points, default_metric, default_partition
from rdbench.errors import InputError, NotComparableError
from rdbench.figures.canvas import FEW_SUBJECTS, METRIC_NAMES
from rdbench.figures.style import Look, factor_look, looks
from rdbench.stats.bd import Side, relative_difference
from rdbench.stats.metrics import FROM_MOMENTS
from rdbench.tables.pictures import read_picture, read_samples
from rdbench.tables.reading import Run
from rdbench.tables.side_by_side import FIRST, SECOND, together
from rdbench.tables.store import unpack

__all__ = ["report_data"]

Json = dict[str, Any]

TRACE_BYTES = 6_000_000
"""How much all traces of a report may take; clips beyond it are left out, and that is told."""
SAMPLE_BYTES = 8_000_000
"""The same for pictures."""
WEBP_QUALITY = 95
"""Of source and decoded pictures: 42 dB or more away from what the codec left of them, at an eighth of the size."""
MOST_LINES = 5000
"""How many lines of relative differences a page holds; those beyond are left out, and that is told."""
_MISSING = -32768


def report_data(
    runs: Sequence[tuple[str, Run]],
    *,
    metric: str | None = None,
    bits: str = "payload",
    charge_boxes: bool = False,
    partition: str | None = None,
) -> Json:
    """Everything that the report of some runs shows.

    Parameters
    ----------
    runs : sequence of (name, Run)
        Names tell the runs apart and are different.
    metric : str, optional
        By default CCC, or accuracy where everything is categorical.
    bits, charge_boxes, partition
        As in `rdbench.curves.pooled`.

    Returns
    -------
    dict
        Strict JSON: no NaN, no infinity.

    Raises
    ------
    InputError
        If two runs have one name, or there is none.
    """
    names = [name for name, _ in runs]
    if not names or len(set(names)) != len(names):
        raise InputError("A report takes one run or more, each with a name of its own.")
    metric = metric or default_metric(pd.concat([run.scores[["mean_pred", "confusion"]] for _, run in runs]))
    options: Json = {"bits": bits, "charge_boxes": charge_boxes, "partition": partition}
    notes: list[Json] = []
    tables: dict[str, list[pd.DataFrame]] = {}
    traces: list[Json] = []
    samples: list[Json] = []
    provenance: list[Json] = []
    pictures = _Pictures()
    series = _Series()
    room = _Room(TRACE_BYTES)
    for name, run in runs:
        found, told = _tables(run, metric, options)
        if run.unfinished:
            told.append(
                ("rd", f"The run is unfinished: {run.unfinished} of its encodes are still to be made.")
            )
        for kind, table in found.items():
            if len(table):
                tables.setdefault(kind, []).append(table.assign(run=name))
        told += _traces(name, run, traces, series, room)
        told += _samples(name, run, samples, pictures)
        notes += [{"run": name, "section": section, "text": text} for section, text in told]
        facts = _facts(run, found.get("points", pd.DataFrame()))
        provenance.append({"run": name, "facts": facts, "left_out": _left_out(run, metric, options)})
    reasons, between = _between(runs, metric, options)
    for kind, table in between.items():
        if len(table):
            tables.setdefault(kind, []).append(table)
    if "differences" in tables:
        lines = pd.concat(tables["differences"], ignore_index=True)
        kept = lines.head(MOST_LINES)
        tables["differences"] = [kept.assign(ratio=[series.add(_steps(ratio)) for ratio in kept["ratio"]])]
        if len(lines) > len(kept):
            left = len(lines) - len(kept)
            reasons.append(f"To keep the page small, {left} lines of relative differences are left out.")
    notes += [{"run": ", ".join(names), "section": "bd", "text": text} for text in reasons]
    joined = {kind: _columns(pd.concat(some, ignore_index=True)) for kind, some in tables.items()}
    return {
        "version": __version__,
        "runs": names,
        "metric": metric,
        "metric_name": METRIC_NAMES.get(metric, metric),
        "bits": bits,
        "boxes_charged": charge_boxes,
        "few": FEW_SUBJECTS,
        "looks": _looks(runs),
        "tables": joined,
        "traces": traces,
        "series": series.kept,
        "pictures": pictures.urls,
        "samples": samples,
        "notes": notes,
        "provenance": provenance,
    }


Told = list[tuple[str, str]]


def _tables(run: Run, metric: str, options: Json) -> tuple[dict[str, pd.DataFrame], Told]:
    encodes, scores = run.encodes, run.scores
    found: dict[str, pd.DataFrame] = {}
    arrays = run.arrays(metric, **options)
    try:
        if not arrays.parts():
            return {}, [("rd", f"Nothing was scored in this run that has a value of {metric}.")]
        points = _points(encodes, scores, metric, options, arrays)
    except NotComparableError as error:
        return {}, [("rd", str(error))]
    found["points"] = points
    if len(points) and int(points["subjects"].min()) < FEW_SUBJECTS:
        found["dots"] = pooling.per_subject(encodes, scores, metric, **options)
    told: Told = []
    if points["codec"].eq("none").all():
        return found, [("rd", "Nothing is coded in this run, so there are no curves over rate.")]
    if points.loc[points["codec"] != "none", "factor"].nunique() < 2:
        told.append(("envelope", "One factor only, so there is nothing to choose from."))
    else:
        found["envelope"] = envelopes(encodes, scores, metric, arrays=arrays, **options)
        found["switches"] = switch_points(encodes, scores, metric, arrays=arrays, **options)
        found["gains"] = gains(encodes, scores, metric, arrays=arrays, **options)
    found["bd"] = _bd(encodes, scores, metric, options, arrays)
    chooser = Chooser(encodes, scores, metric, arrays=arrays, **options)
    sides = [list(_sides(points, chooser)) for points in arrays.parts(uncoded=False)]
    found["differences"] = pd.DataFrame(
        [line for by in ("codec", "backend") for of_scope in sides for line in _differences(of_scope, by)]
    )
    if found["bd"].empty:
        told.append(("bd", "No two codecs or back-ends have curves that can be compared."))
    return found, told


def _points(
    encodes: pd.DataFrame, scores: pd.DataFrame, metric: str, options: Json, arrays: Arrays
) -> pd.DataFrame:
    """Pooled points, and for each the other metrics and where its bits go."""
    table = pooling.pooled(encodes, scores, metric, arrays=arrays, **options)
    spread = "gold_sd" if metric in FROM_MOMENTS else "gold_entropy"
    table[spread] = [value for points in arrays.parts() for value in _gold_spread(points)]
    family = ("ccc", "pcc", "rmse") if metric in ("ccc", "pcc", "rmse") else ("accuracy", "f1")
    keys = list(GRID)
    for other in family:
        if other != metric:
            more = pooling.pooled(encodes, scores, other, **options)[[*keys, "value"]]
            table = table.merge(more.rename(columns={"value": other}), on=keys, how="left")
    for kind in ("stream", "framing", "informational"):
        if kind != options["bits"]:
            more = pooling.pooled(encodes, scores, metric, **{**options, "bits": kind})[
                [*keys, "bitrate_kbps"]
            ]
            table = table.merge(more.rename(columns={"bitrate_kbps": f"{kind}_kbps"}), on=keys, how="left")
    used = encodes[encodes["partition"] == (options["partition"] or default_partition(encodes))]
    condition = ["region", "factor", "codec", "variant", "mode", "rate"]
    means = used.groupby(condition, as_index=False)[["mean_qp", "psnr_coded"]].mean()
    return table.merge(means, on=condition, how="left")


def _gold_spread(points: Points) -> NDArray[np.float64]:
    """What the gold of each point varies by: its standard deviation over all frames, or its class entropy in bits.

    Agreement with a gold that hardly varies says nothing, and no score shows that by itself.
    """
    total = points.stats[..., 2:].sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        if points.metric in FROM_MOMENTS:
            n, about, squares = total[:, 0], total[:, 2], total[:, 4]
            variance = squares / n - (about / n) ** 2
            # A constant leaves rounding, not variance.
            return np.asarray(np.sqrt(np.where(variance * n > 1e-12 * squares, variance, 0.0)))
        classes = math.isqrt(total.shape[-1])
        counts = total.reshape(-1, classes, classes).sum(axis=-1)
        share = counts / counts.sum(axis=-1, keepdims=True)
        return np.asarray(-(share * np.log2(np.where(share > 0, share, 1.0))).sum(axis=-1) + 0.0)


def _bd(
    encodes: pd.DataFrame, scores: pd.DataFrame, metric: str, options: Json, arrays: Arrays
) -> pd.DataFrame:
    coded = encodes[encodes["codec"] != "none"]
    sides: list[tuple[str, list[str]]] = [
        ("codec", sorted(coded["codec"].dropna().unique())),
        ("backend", sorted(scores["backend"].dropna().unique())),
    ]
    tables = []
    for (key, values), factor in itertools.product(sides, _FACTORS):
        for anchor, test in itertools.combinations(values, 2):
            try:
                table = bd_table(
                    encodes,
                    scores,
                    {key: anchor, **factor},
                    {key: test, **factor},
                    metric=metric,
                    per_clip=False,
                    arrays=arrays,
                    **options,
                )
            except (NotComparableError, InputError):
                continue
            tables.append(table.assign(by=key, anchor=anchor, test=test))
    return _matrix(tables)


_FACTORS: tuple[dict[str, str], ...] = ({}, {"factor": "best"})


def _between(
    runs: Sequence[tuple[str, Run]], metric: str, options: Json
) -> tuple[list[str], dict[str, pd.DataFrame]]:
    """Deltas of each curve of a run (the anchor) and the same curve of a later one, and what must be told of them."""
    told, tables = [], []
    lines: list[Json] = []
    for (first, one), (second, other) in itertools.combinations(runs, 2):
        encodes, scores, why = together((one.encodes, one.scores), (other.encodes, other.scores))
        arrays = Arrays(encodes, scores, metric, **options)
        found = []
        shared = sorted(set(one.scores["backend"].dropna()) & set(other.scores["backend"].dropna()))
        for backend, factor in itertools.product(shared, _FACTORS):
            try:
                table = bd_table(
                    encodes,
                    scores,
                    {"backend": FIRST + backend, **factor},
                    {"backend": SECOND + backend, **factor},
                    metric=metric,
                    per_clip=False,
                    arrays=arrays,
                    **options,
                )
            except (NotComparableError, InputError):
                continue
            found.append(table.assign(by="run", anchor=first, test=second, run=second, test_backend=backend))
        if found:
            chooser = Chooser(encodes, scores, metric, arrays=arrays, **options)
            for points in arrays.parts(uncoded=False):
                sides = _sides(points, chooser)
                lines += _differences((_of_run(key, side, first, second) for key, side in sides), "run")
        else:
            why.append("no curve that both have can be compared")
        told += [f"{second} against {first}: {reason}." for reason in why]
        tables += found
    return told, {"bd": _matrix(tables), "differences": pd.DataFrame(lines)}


Curve = tuple[dict[str, object], Side]
"""What names a curve, and the curve."""


def _sides(points: Points, chooser: Chooser) -> Iterator[Curve]:
    """Every coded curve of a scope, and the envelope of each group of factors."""
    for key, rows in groups(points):
        factor = points.keys["factor"].to_numpy()[rows]
        for one in np.unique(factor):
            yield {**key, "factor": str(one)}, side_of(points, rows[factor == one])
        try:
            yield {**key, "factor": "best"}, chooser.envelope(points, rows, key).side
        except NotComparableError:
            continue


def _of_run(key: dict[str, object], side: Side, first: str, second: str) -> Curve:
    """A curve of tables that `together` joined, named by its run."""
    backend = str(key["backend"])
    mark, run = (FIRST, first) if backend.startswith(FIRST) else (SECOND, second)
    return {**key, "backend": backend.removeprefix(mark), "run": run}, side


def _differences(sides: Iterable[Curve], by: str) -> Iterator[Json]:
    """Where along accuracy the rates of two curves differ that have all but the key `by` in common.

    Each is the natural log of the test's rate over the anchor's, evenly over accuracy ``from`` to ``to``. Pairs
    that share no range of accuracy have no line.
    """
    alike: dict[tuple[object, ...], list[Curve]] = {}
    for key, side in sides:
        alike.setdefault(tuple(value for name, value in key.items() if name != by), []).append((key, side))
    for curves_alike in alike.values():
        for (anchor, first), (test, second) in itertools.combinations(curves_alike, 2):
            accuracy, percent = relative_difference(first, second)
            if not len(accuracy):
                continue
            ends = {"from": float(accuracy[0]), "to": float(accuracy[-1])}
            ratio = np.log1p(percent / 100)
            yield {"by": by, "anchor": anchor[by], "test": test[by], **test, **ends, "ratio": ratio}


def _matrix(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """What the page shows of tables of deltas."""
    if not tables:
        return pd.DataFrame()
    table = pd.concat(tables, ignore_index=True)
    renamed = {
        f"test_{name}": name for name in ("codec", "backend", "variant", "factor", "region", "mode", "target")
    }
    keep = [
        *("by", "anchor", "test", "gold", "scoring", "subjects", "chosen_on", "warning", "displacement"),
        *(
            f"bd_{what}{part}"
            for what in ("rate", "accuracy")
            for part in (
                "",
                "_low",
                "_high",
                "_sim_low",
                "_sim_high",
                "_overlap",
                "_interpolation",
                "_reason",
                "_interval_reason",
            )
        ),
        *renamed.values(),
        *(["run"] if "run" in table else []),
    ]
    return table.rename(columns=renamed)[keep]


def _columns(table: pd.DataFrame) -> Json:
    return {"columns": list(table.columns), "rows": [[_plain(v) for v in row] for row in _values(table)]}


def _values(table: pd.DataFrame) -> Iterable[tuple[Any, ...]]:
    return table.astype(object).itertuples(index=False, name=None)


def _plain(value: Any) -> Any:
    """What strict JSON can hold: numbers to 7 digits, None for what is missing."""
    if value is None or value is pd.NA:
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return float(f"{value:.7g}")
    return value


def _looks(runs: Sequence[tuple[str, Run]]) -> Json:
    factors = sorted({int(f) for _, run in runs for f in run.encodes["factor"].dropna().unique()})
    codecs = {str(c) for _, run in runs for c in run.encodes["codec"].dropna().unique()} - {"none"}
    backends = {str(b) for _, run in runs for b in run.scores["backend"].dropna().unique()}
    return {
        "factor": {str(factor): _look(factor_look(factor)) for factor in factors},
        "codec": {name: _look(look) for name, look in looks(codecs).items()},
        "backend": {name: _look(look) for name, look in looks(backends).items()},
        "run": {name: _look(look) for name, look in looks(name for name, _ in runs).items()},
    }


def _look(look: Look) -> Json:
    return {"colour": look.colour, "symbol": look.symbol, "dash": look.plotly_dash}


class _Room:
    """How much may still go onto the page."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, size: int) -> bool:
        if size > self.left:
            return False
        self.left -= size
        return True


_CONDITION = ("clip", "region", "codec", "variant", "factor", "mode", "rate", "rate_status")


def _traces(name: str, run: Run, out: list[Json], series: _Series, room: _Room) -> Told:
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
        return [("time", f"To keep the page small, {len(left)} clips are not shown by frame: {_some(left)}.")]
    return []


def _some(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


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
        **{key: _plain(row[key]) for key in _CONDITION},
        "kbps": _plain(payload),
        "backend": backend,
        "gold_name": gold,
        "targets": [target for target, _, _ in lines],
        "classes": classes,
        "prediction": [_steps(prediction[:, p]) for _, p, _ in lines],
        "gold": [_steps(truth[:, g]) for _, _, g in lines],
        "times": [_steps(np.asarray(arrays.get("times", np.arange(len(truth))), dtype=np.float64))],
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


class _Series:
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


def _steps(values: NDArray[np.float64]) -> list[Any]:
    """A trace in 16-bit steps: [base64 of little-endian int16, first value, size of a step]; -32768 is missing."""
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    step = (high - low) / 65000 or 1.0
    coded = np.full(len(values), _MISSING, dtype="<i2")
    coded[np.isfinite(values)] = np.rint((known - low) / step - 32500).astype("<i2")
    return [base64.b64encode(coded.tobytes()).decode(), low + 32500 * step, step]


class _Pictures:
    """Pictures as data URLs, each once."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        self._known: dict[bytes, int] = {}
        self.room = _Room(SAMPLE_BYTES)

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


def _samples(name: str, run: Run, out: list[Json], pictures: _Pictures) -> Told:
    stored = read_samples(run.path)
    if not stored:
        return [("viewer", "This run has no sample pictures.")]
    full = False
    rows = run.encodes[run.encodes["encode"].isin(list(stored))]
    for _, row in rows.sort_values([*_CONDITION], kind="stable").iterrows():
        kinds = {
            kind: pictures.add(data, exact=kind in ("input", "restored"))
            for kind, data in stored[row["encode"]].items()
        }
        full |= any(place is None for place in kinds.values())
        bits = row["payload_bits"]
        out.append(
            {
                "run": name,
                **{key: _plain(row[key]) for key in _CONDITION},
                "kbps": None if pd.isna(bits) else _plain(float(bits) / float(row["seconds"]) / 1000),
                "psnr": _plain(row["psnr"]),
                "face_px": _plain(row["face_px"]),
                "pictures": {kind: place for kind, place in kinds.items() if place is not None},
            }
        )
    return (
        [("viewer", "Some sample pictures are left out: damaged, or too many for one page.")] if full else []
    )


def _facts(run: Run, points: pd.DataFrame) -> list[list[str]]:
    """Where the numbers come from, as pairs of words for people; `points` are those that are shown."""
    encodes, scores = run.encodes, run.scores
    facts = [[f"run: {key}", value] for key, value in sorted(run.meta.items())]
    for partition, rows in encodes.groupby("partition"):
        people, clips = rows["subject"].nunique(), rows["clip"].nunique()
        facts.append([f"partition {partition}", f"{people} subjects, {clips} clips, {len(rows)} encodes"])
    for backend, rows in scores.groupby("backend"):
        facts.append([f"back-end {backend}", f"weights {_some(sorted(rows['weights'].dropna().unique()))}"])
    for codec, rows in encodes[encodes["codec"] != "none"].groupby("codec"):
        facts.append([f"codec {codec}", f"profile {_some(sorted(rows['profile'].dropna().unique()))}"])
        command = rows["command"].dropna()
        if len(command):
            facts.append([f"a command of {codec}", str(command.iloc[0])])
    facts.append(["FFmpeg", _some(sorted(encodes["build"].dropna().unique()))])
    facts += [
        [f"gold {gold}", _spread_words(points, gold)] for gold in sorted(scores["gold"].dropna().unique())
    ]
    facts.append(["scoring", _some(sorted(scores["scoring"].dropna().unique()))])
    counts = encodes["rate_status"].value_counts().sort_index()
    facts.append(["rate status", ", ".join(f"{count} {status}" for status, count in counts.items())])
    return [[str(key), str(value)] for key, value in facts]


def _spread_words(points: pd.DataFrame, gold: str) -> str:
    """What a gold varies by, for each target; what differs between points (other frames are scored) as a range."""
    words = []
    for column, what, unit in (
        ("gold_sd", "standard deviation", ""),
        ("gold_entropy", "class entropy", " bits"),
    ):
        if column not in points:
            continue
        each = []
        for target, values in points.loc[points["gold"] == gold].groupby("target")[column]:
            ends = [f"{value:.4g}" for value in (values.min(), values.max())]
            each.append(f"{target} {' to '.join(dict.fromkeys(ends))}{unit}")
        if each:
            words.append(f"{what} over the scored frames: {', '.join(each)}")
    return "; ".join(words) or "no score against it is shown"


def _left_out(run: Run, metric: str, options: Json) -> list[str]:
    lines = []
    for title, table in (("Clip", run.clips), ("Encode", run.failures)):
        if table.empty:
            continue
        bad = table[table["state"] != "used"] if "state" in table else table
        for _, row in bad.head(200).iterrows():
            what = (
                row["clip"]
                if title == "Clip"
                else f"{row['clip']} {row['codec']} {row['mode']} {row['rate']:g}"
            )
            lines.append(f"{title} {what}: {row.get('state', 'failed')}: {row['reason']}")
    try:
        table = pooling.left_out(run.encodes, run.scores, metric, partition=options["partition"])
    except NotComparableError:
        return lines
    found = (table["kind"] + " " + table["name"] + ": " + table["reason"]).drop_duplicates()
    return lines + list(found.head(200))
