"""What the report says of a run: where it comes from, and what took no part."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.curves import pooling
from rdbench.curves.points import Points
from rdbench.curves.run import Run
from rdbench.errors import NotComparableError
from rdbench.report.plain import some_names
from rdbench.stats.metrics import FROM_MOMENTS
from rdbench.tables.basis import Basis

__all__ = ["gold_spread", "left_out", "run_facts"]


def gold_spread(points: Points) -> NDArray[np.float64]:
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


def run_facts(run: Run, points: pd.DataFrame) -> list[list[str]]:
    """Where the numbers come from, as pairs of words for people; `points` are those that are shown."""
    encodes, scores = run.encodes, run.scores
    facts = [[f"run: {key}", value] for key, value in sorted(run.meta.items())]
    for partition, rows in encodes.groupby("partition"):
        people, clips = rows["subject"].nunique(), rows["clip"].nunique()
        facts.append([f"partition {partition}", f"{people} subjects, {clips} clips, {len(rows)} encodes"])
    for backend, rows in scores.groupby("backend"):
        facts.append(
            [f"back-end {backend}", f"weights {some_names(sorted(rows['weights'].dropna().unique()))}"]
        )
    for codec, rows in encodes[encodes["codec"] != "none"].groupby("codec"):
        facts.append([f"codec {codec}", f"profile {some_names(sorted(rows['profile'].dropna().unique()))}"])
        command = rows["command"].dropna()
        if len(command):
            facts.append([f"a command of {codec}", str(command.iloc[0])])
    facts.append(["FFmpeg", some_names(sorted(encodes["build"].dropna().unique()))])
    facts += [
        [f"gold {gold}", _spread_words(points, gold)] for gold in sorted(scores["gold"].dropna().unique())
    ]
    facts.append(["scoring", some_names(sorted(scores["scoring"].dropna().unique()))])
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


def left_out(run: Run, basis: Basis) -> list[str]:
    """Clips, encodes and points of a run that take no part, with their reasons, in lines for people."""
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
        table = pooling.left_out_of(run.arrays(basis))
    except NotComparableError:
        return lines
    found = (table["kind"] + " " + table["name"] + ": " + table["reason"]).drop_duplicates()
    return lines + list(found.head(200))
