"""What the report compares: deltas within a run and between runs, and differences along curves."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from rdbench.curves.arrays import Arrays
from rdbench.curves.deltas import deltas_of
from rdbench.curves.run import Run
from rdbench.curves.scope import Scope, Scopes
from rdbench.curves.several import FIRST, SECOND, together
from rdbench.errors import NotComparableError
from rdbench.report.plain import Json
from rdbench.stats.bd import Side, relative_difference
from rdbench.tables.basis import Basis

__all__ = ["Curve", "bd_rows", "compared", "curves_of", "differences"]


def bd_rows(scopes: Scopes) -> pd.DataFrame:
    """Deltas between every two codecs and every two back-ends of a run, at each factor and for the envelopes."""
    encodes, scores = scopes.arrays.encodes, scopes.arrays.scores
    sides: list[tuple[str, list[str]]] = [
        ("codec", sorted(encodes.loc[encodes["codec"] != "none", "codec"].dropna().unique())),
        ("backend", sorted(scores["backend"].dropna().unique())),
    ]
    tables = []
    for (key, values), factor in itertools.product(sides, _FACTORS):
        there = [value for value in values if _has(scopes, key, value)]
        for anchor, test in itertools.combinations(there, 2):
            try:
                table = deltas_of(scopes, {key: anchor, **factor}, {key: test, **factor}, per_clip=False)
            except NotComparableError:
                continue
            tables.append(table.assign(by=key, anchor=anchor, test=test))
    return _matrix(tables)


def _has(scopes: Scopes, key: str, value: str) -> bool:
    """Whether any coded curve has this value: a side that is not there is no error here, only nothing to compare."""
    return any((scope.points.keys[key].astype(str) == value).any() for scope in scopes.coded)


_FACTORS: tuple[dict[str, str], ...] = ({}, {"factor": "best"})


def compared(runs: Sequence[tuple[str, Run]], basis: Basis) -> tuple[list[str], dict[str, pd.DataFrame]]:
    """Deltas of each curve of a run (the anchor) and the same curve of a later one, and what must be told of them."""
    told, tables = [], []
    lines: list[Json] = []
    for (first, run), (second, other) in itertools.combinations(runs, 2):
        encodes, scores, why = together((run.encodes, run.scores), (other.encodes, other.scores))
        scopes = Scopes(Arrays(encodes, scores, basis))
        of_pair = []
        shared = sorted(set(run.scores["backend"].dropna()) & set(other.scores["backend"].dropna()))
        for backend, factor in itertools.product(shared, _FACTORS):
            if not all(_has(scopes, "backend", mark + backend) for mark in (FIRST, SECOND)):
                continue
            sides = {"backend": FIRST + backend, **factor}, {"backend": SECOND + backend, **factor}
            try:
                table = deltas_of(scopes, *sides, per_clip=False)
            except NotComparableError:
                continue
            of_pair.append(
                table.assign(by="run", anchor=first, test=second, run=second, test_backend=backend)
            )
        if of_pair:
            for scope in scopes.coded:
                named = (_of_run(key, side, first, second) for key, side in curves_of(scope))
                lines += differences(named, "run")
        else:
            why.append("no curve that both have can be compared")
        told += [f"{second} against {first}: {reason}." for reason in why]
        tables += of_pair
    return told, {"bd": _matrix(tables), "differences": pd.DataFrame(lines)}


Curve = tuple[dict[str, object], Side]
"""What names a curve, and the curve."""


def curves_of(scope: Scope) -> list[Curve]:
    """Every curve of a scope, named by its metric too."""
    return [({**key, "metric": scope.points.metric}, side) for key, side in scope.all()]


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
            accuracy, percent, _ = relative_difference(first, second)
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
        *(
            "by",
            "anchor",
            "test",
            "gold",
            "scoring",
            "metric",
            "subjects",
            "chosen_on",
            "warning",
            "displacement",
        ),
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
