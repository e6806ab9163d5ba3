"""What the report shows, as plain JSON: everything is computed here, and the page only draws it.

Tables go in as columns and rows of plain values, with None for what is missing. So that a run of ordinary size stays
a page that can be mailed, traces by frame are 16-bit steps of their own range in base64, and pictures for the eye
(source and decoded) are WebP of high quality; what the recogniser saw stays as it is stored, to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from rdbench import __version__
from rdbench.curves import pooling
from rdbench.curves.arrays import Arrays
from rdbench.curves.envelope import Chooser
from rdbench.curves.envelope_tables import envelopes, gains, switch_points
from rdbench.curves.run import Run
from rdbench.errors import InputError, NotComparableError
from rdbench.figures.style import Look, factor_look, looks
from rdbench.report.comparisons import bd_rows, compared, differences, scope_sides
from rdbench.report.facts import gold_spread, left_out, run_facts
from rdbench.report.pictures import Pictures, sample_pictures
from rdbench.report.plain import Json, Room, Told, columns
from rdbench.report.traces import TRACE_BYTES, SeriesPool, quantised, stored_traces
from rdbench.stats.intervals import FEW_SUBJECTS
from rdbench.stats.metrics import FROM_MOMENTS, METRIC_NAMES
from rdbench.tables.reading import default_metric, default_partition
from rdbench.tables.schema import GRID

__all__ = ["report_data"]


MOST_LINES = 5000
"""How many lines of relative differences a page holds; those beyond are left out, and that is told."""


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
        As in `rdbench.curves.pooling.pooled`.

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
    pictures = Pictures()
    series = SeriesPool()
    room = Room(TRACE_BYTES)
    for name, run in runs:
        found, told = _tables(run, metric, options)
        if run.unfinished:
            told.append(
                ("rd", f"The run is unfinished: {run.unfinished} of its encodes are still to be made.")
            )
        for kind, table in found.items():
            if len(table):
                tables.setdefault(kind, []).append(table.assign(run=name))
        told += stored_traces(name, run, traces, series, room)
        told += sample_pictures(name, run, samples, pictures)
        notes += [{"run": name, "section": section, "text": text} for section, text in told]
        facts = run_facts(run, found.get("points", pd.DataFrame()))
        provenance.append({"run": name, "facts": facts, "left_out": left_out(run, metric, options)})
    reasons, between = compared(runs, metric, options)
    for kind, table in between.items():
        if len(table):
            tables.setdefault(kind, []).append(table)
    if "differences" in tables:
        lines = pd.concat(tables["differences"], ignore_index=True)
        kept = lines.head(MOST_LINES)
        tables["differences"] = [kept.assign(ratio=[series.add(quantised(ratio)) for ratio in kept["ratio"]])]
        if len(lines) > len(kept):
            left = len(lines) - len(kept)
            reasons.append(f"To keep the page small, {left} lines of relative differences are left out.")
    notes += [{"run": ", ".join(names), "section": "bd", "text": text} for text in reasons]
    joined = {kind: columns(pd.concat(some, ignore_index=True)) for kind, some in tables.items()}
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
    found["bd"] = bd_rows(encodes, scores, metric, options, arrays)
    chooser = Chooser(encodes, scores, metric, arrays=arrays, **options)
    sides = [list(scope_sides(points, chooser)) for points in arrays.parts(uncoded=False)]
    found["differences"] = pd.DataFrame(
        [line for by in ("codec", "backend") for of_scope in sides for line in differences(of_scope, by)]
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
    table[spread] = [value for points in arrays.parts() for value in gold_spread(points)]
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
