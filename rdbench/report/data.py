"""What the report shows, as plain JSON: everything is computed here, and the page only draws it.

Tables go in as columns and rows of plain values, with None for what is missing. So that a run of ordinary size stays
a page that can be mailed, traces by frame are 16-bit steps of their own range in base64, and pictures for the eye
(source and decoded) are WebP of high quality; what the recogniser saw stays as it is stored, to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from rdbench import __version__
from rdbench.curves import pooling
from rdbench.curves.arrays import Arrays
from rdbench.curves.envelope_tables import envelopes_of, gains_of, switch_points_of
from rdbench.curves.points import Points
from rdbench.curves.run import Run
from rdbench.errors import InputError, NotComparableError
from rdbench.figures.style import Look, factor_look, looks
from rdbench.report.answers import answers
from rdbench.report.comparisons import bd_rows, compared, curves_of, differences
from rdbench.report.facts import gold_spread, left_out, run_facts
from rdbench.report.pictures import Pictures, sample_pictures
from rdbench.report.plain import Json, Room, Told, columns
from rdbench.report.traces import TRACE_BYTES, SeriesPool, quantised, stored_traces
from rdbench.stats.intervals import FEW_SUBJECTS
from rdbench.stats.metrics import FROM_MOMENTS, METRIC_NAMES, siblings
from rdbench.tables.basis import Basis
from rdbench.tables.schema import GRID

__all__ = ["report_data"]


MOST_LINES = 5000
"""How many lines of relative differences a page holds; those beyond are left out, and that is told."""


def report_data(runs: Sequence[tuple[str, Run]], basis: Basis | None = None) -> Json:
    """Everything that the report of some runs shows.

    Parameters
    ----------
    runs : sequence of (name, Run)
        Names tell the runs apart and are different.
    basis : Basis, optional
        By default each target's own metric, and the payload bits.

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
    basis = basis or Basis()
    page = _Page()
    for name, run in runs:
        page.add(name, run, basis)
    reasons, between = compared(runs, basis)
    for kind, table in between.items():
        page.take(kind, table)
    reasons += page.shorten_differences()
    page.notes += [{"run": ", ".join(names), "section": "bd", "text": text} for text in reasons]
    return {
        "version": __version__,
        "runs": names,
        "metrics": METRIC_NAMES,
        "bits": basis.bits,
        "boxes": sorted({basis.boxes(run.encodes) for _, run in runs}),
        "few": FEW_SUBJECTS,
        "looks": _looks(runs),
        "tables": {kind: columns(pd.concat(parts, ignore_index=True)) for kind, parts in page.tables.items()},
        "traces": page.traces,
        "series": page.series.kept,
        "pictures": page.pictures.urls,
        "samples": page.samples,
        "answers": page.answers,
        "notes": page.notes,
        "provenance": page.provenance,
    }


class _Page:
    """What a page shows, gathered run by run within its limits of bytes."""

    def __init__(self) -> None:
        self.notes: list[Json] = []
        self.tables: dict[str, list[pd.DataFrame]] = {}
        self.traces: list[Json] = []
        self.samples: list[Json] = []
        self.provenance: list[Json] = []
        self.answers: list[Json] = []
        self.pictures = Pictures()
        self.series = SeriesPool()
        self._room = Room(TRACE_BYTES)

    def take(self, kind: str, table: pd.DataFrame) -> None:
        if len(table):
            self.tables.setdefault(kind, []).append(table)

    def add(self, name: str, run: Run, basis: Basis) -> None:
        tables, told = _tables(run, basis)
        if run.unfinished:
            told.append(
                ("rd", f"The run is unfinished: {run.unfinished} of its encodes are still to be made.")
            )
        for kind, table in tables.items():
            self.take(kind, table.assign(run=name))
        if "bd" in tables:
            self.answers += [{"run": name, **part} for part in answers(run.scopes(basis))]
        told += stored_traces(name, run, self.traces, self.series, self._room)
        told += sample_pictures(name, run, self.samples, self.pictures)
        self.notes += [{"run": name, "section": section, "text": text} for section, text in told]
        facts = run_facts(run, tables.get("points", pd.DataFrame()))
        self.provenance.append({"run": name, "facts": facts, "left_out": left_out(run, basis)})

    def shorten_differences(self) -> list[str]:
        """Keep what a page holds of lines along curves, as steps; what was left out is told."""
        if "differences" not in self.tables:
            return []
        lines = pd.concat(self.tables["differences"], ignore_index=True)
        kept = lines.head(MOST_LINES)
        steps = [self.series.add(quantised(ratio)) for ratio in kept["ratio"]]
        self.tables["differences"] = [kept.assign(ratio=steps)]
        if len(lines) == len(kept):
            return []
        left = len(lines) - len(kept)
        return [f"To keep the page small, {left} lines of relative differences are left out."]


def _tables(run: Run, basis: Basis) -> tuple[dict[str, pd.DataFrame], Told]:
    tables: dict[str, pd.DataFrame] = {}
    scopes = run.scopes(basis)
    arrays = scopes.arrays
    try:
        if not arrays.parts():
            return {}, [("rd", f"Nothing was scored in this run that has {basis.wanted}.")]
        points = _points(run, arrays)
    except NotComparableError as error:
        return {}, [("rd", str(error))]
    tables["points"] = points
    if len(points) and int(points["subjects"].min()) < FEW_SUBJECTS:
        tables["dots"] = pooling.per_subject_of(arrays)
    told: Told = []
    if points["codec"].eq("none").all():
        return tables, [("rd", "Nothing is coded in this run, so there are no curves over rate.")]
    if points.loc[points["codec"] != "none", "factor"].nunique() < 2:
        told.append(("envelope", "One factor only, so there is nothing to choose from."))
    else:
        tables["envelope"] = envelopes_of(scopes)
        tables["switches"] = switch_points_of(scopes)
        tables["gains"] = gains_of(scopes)
    tables["bd"] = bd_rows(scopes)
    curves = [curves_of(scope) for scope in scopes.coded]
    tables["differences"] = pd.DataFrame(
        [line for by in ("codec", "backend") for of_scope in curves for line in differences(of_scope, by)]
    )
    if tables["bd"].empty:
        told.append(("bd", "No two codecs or back-ends have curves that can be compared."))
    return tables, told


def _points(run: Run, arrays: Arrays) -> pd.DataFrame:
    """Pooled points, and for each the other metrics and where its bits go."""
    basis = arrays.basis
    table = pooling.pooled_of(arrays)
    spread = pd.concat([_beside(points) for points in arrays.parts()], ignore_index=True)
    table = pd.concat([table, spread], axis=1)
    keys = list(GRID)
    for kind in ("stream", "framing", "informational"):
        if kind != basis.bits:
            more = pooling.pooled_of(run.arrays(replace(basis, bits=kind)))[[*keys, "bitrate_kbps"]]
            table = table.merge(more.rename(columns={"bitrate_kbps": f"{kind}_kbps"}), on=keys, how="left")
    used = run.encodes[run.encodes["partition"] == basis.settled(run.encodes).partition]
    condition = ["region", "factor", "codec", "variant", "mode", "rate"]
    means = used.groupby(condition, as_index=False)[["mean_qp", "psnr_coded"]].mean()
    return table.merge(means, on=condition, how="left")


def _beside(points: Points) -> pd.DataFrame:
    """What stands beside the value of each point: how much its gold varies, and the other metrics of the same scores."""
    total = points.stats.sum(axis=0)
    spread = "gold_sd" if points.metric in FROM_MOMENTS else "gold_entropy"
    others = {
        other: replace(points, metric=other).value(total)
        for other in siblings(points.metric)
        if other != points.metric
    }
    return pd.DataFrame({spread: gold_spread(points), **others})


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
    return {"colour": look.colour, "dark": look.on_dark, "symbol": look.symbol, "dash": look.plotly_dash}
