"""What the report compares: deltas within a run and between runs, and differences along curves."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from rdbench.curves.arrays import Arrays
from rdbench.curves.deltas import bd_table
from rdbench.curves.envelope import Chooser
from rdbench.curves.points import Points
from rdbench.curves.run import Run
from rdbench.curves.sides import groups, side_of
from rdbench.errors import InputError, NotComparableError
from rdbench.report.plain import Json
from rdbench.stats.bd import Side, relative_difference
from rdbench.tables.several import FIRST, SECOND, together

__all__ = ["Curve", "bd_rows", "compared", "differences", "scope_sides"]


def bd_rows(
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


def compared(
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
                sides = scope_sides(points, chooser)
                lines += differences((_of_run(key, side, first, second) for key, side in sides), "run")
        else:
            why.append("no curve that both have can be compared")
        told += [f"{second} against {first}: {reason}." for reason in why]
        tables += found
    return told, {"bd": _matrix(tables), "differences": pd.DataFrame(lines)}


Curve = tuple[dict[str, object], Side]
"""What names a curve, and the curve."""


def scope_sides(points: Points, chooser: Chooser) -> Iterator[Curve]:
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


def differences(sides: Iterable[Curve], by: str) -> Iterator[Json]:
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
