"""Tables that no run can have left: each way spoils sound tables in one place, and says what must be told of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rdbench.tables.schema import ENCODES, SCORES

Tables = tuple[pd.DataFrame, pd.DataFrame]


@dataclass(frozen=True)
class Way:
    """One way to spoil tables: what does it, and the table and column that the fault names."""

    name: str
    table: str
    column: str
    spoil: Callable[[pd.DataFrame, pd.DataFrame], Tables | None]


def _put(table: str, column: str, value: Any, name: str | None = None, rows: int = 1, at: int = 3) -> Way:
    def spoil(encodes: pd.DataFrame, scores: pd.DataFrame) -> None:
        frame = encodes if table == "encodes" else scores
        frame[column] = frame[column].astype(object)
        for i in range(at, at + rows):
            frame.at[i, column] = value(frame.loc[i]) if callable(value) else value

    return Way(name or f"{table}.{column}={value!r:.20}", table, column, spoil)


def _twice(table: str, column: str) -> Way:
    def spoil(encodes: pd.DataFrame, scores: pd.DataFrame) -> None:
        frame = encodes if table == "encodes" else scores
        frame.loc[len(frame)] = frame.loc[3]

    return Way(f"a row of {table} twice", table, column, spoil)


def _uncoded(column: str, value: float, name: str) -> Way:
    def spoil(encodes: pd.DataFrame, scores: pd.DataFrame) -> None:
        encodes.loc[encodes["codec"] == "none", column] = value

    return Way(name, "encodes", column, spoil)


def _turned(confusion: str) -> str:
    return json.dumps(json.loads(confusion)[::-1])


def _orphan(encodes: pd.DataFrame, scores: pd.DataFrame) -> Tables:
    return encodes.drop(index=encodes.index[3]), scores


def _for_one(column: str, value: Callable[[pd.Series], pd.Series]) -> Callable[..., Tables]:
    def spoil(encodes: pd.DataFrame, scores: pd.DataFrame) -> Tables:
        own = scores["backend"] == scores["backend"].iloc[-1]
        return encodes, scores.assign(**{column: scores[column].where(~own, value(scores[column]))})

    return spoil


WAYS = (
    _put("encodes", "payload_bits", -8),
    _put("encodes", "payload_bits", 0),
    _put("encodes", "framing_bits", -8),
    _put("encodes", "box_bits", -1),
    _put("encodes", "stream_bits", lambda row: row["stream_bits"] + 1, "stream more than its parts"),
    _put(
        "encodes", "parameter_bits", lambda row: row["payload_bits"] + 1, "more parameter sets than payload"
    ),
    _put(
        "encodes", "first_key_bits", lambda row: row["payload_bits"] + 1, "a first key frame beyond payload"
    ),
    _put("encodes", "seconds", 0.0),
    _put("encodes", "seconds", -2.4),
    _put("encodes", "seconds", 4.8, "one clip with two lengths"),
    _put("encodes", "seconds", np.inf),
    _put("encodes", "seconds", 1e-9, "frames a nanosecond"),
    _put("encodes", "frames", 0),
    _put("encodes", "frames", 61, "one clip with two numbers of frames"),
    _put("encodes", "masked_frames", 1000),
    _put("encodes", "subject", "somebody else"),
    _put("encodes", "source", "another file"),
    _put("encodes", "partition", "dev", "one clip in two partitions"),
    _put("encodes", "partition", "validation"),
    _put("encodes", "region", "body"),
    _put("encodes", "mode", "vbr"),
    _put("encodes", "rate_status", "fine"),
    _put("encodes", "rate_status", "uncoded", "coded and uncoded"),
    _put("encodes", "factor", 0),
    _put("encodes", "factor", -4),
    _put("encodes", "rate", -1.0),
    _put("encodes", "rate", np.inf),
    _uncoded("rate", 4.0, "a rate without a codec"),
    _uncoded("payload_bits", 800, "bits without a codec"),
    _put("encodes", "face_px", -3.0),
    _put("encodes", "face_px", 1e308),
    _put("encodes", "width", 0),
    _put("encodes", "psnr", np.inf),
    _put("encodes", "build", "another build"),
    _put("encodes", "profile", "another profile"),
    _put("encodes", "clip", None),
    _put("encodes", "codec", None),
    _twice("encodes", "encode"),
    _put("scores", "n", -5),
    _put("scores", "n", 61, "more frames than there are"),
    _put("scores", "m2_pred", -1.0),
    _put("scores", "m2_gold", -1e-3),
    _put("scores", "m2_gold", np.inf),
    _put("scores", "mean_pred", np.inf),
    _put("scores", "mean_pred", 1e200),
    _put("scores", "m2_pred", 1e300),
    _put("scores", "mean_gold", -np.inf),
    _put("scores", "cov", 1e6, "CCC beyond 1"),
    _put("scores", "cov", -1e6, "CCC below -1"),
    Way("spread of one frame", "scores", "m2_pred", lambda encodes, scores: (encodes, scores.assign(n=1))),
    _put("scores", "cov", None, "no covariance"),
    _put("scores", "mean_gold", lambda row: row["mean_gold"] + 0.01, "shifted gold"),
    _put("scores", "m2_gold", lambda row: row["m2_gold"] * 1.5, "gold of another spread"),
    Way("gold of one back-end", "scores", "mean_gold", _for_one("mean_gold", lambda gold: gold + 0.01)),
    Way("spread of one back-end", "scores", "m2_gold", _for_one("m2_gold", lambda gold: gold * 1.5)),
    _put("scores", "weights", "w2"),
    _put("scores", "backend", None),
    _put("scores", "encode", "nowhere"),
    _put("scores", "confusion", "[[1, 0], [0, 1]]", "moments and classes at once"),
    _twice("scores", "encode"),
    Way("scores without encodes", "scores", "encode", _orphan),
)
"""Of tables with moments."""

CLASS_WAYS = (
    _put("scores", "confusion", "[[1, 2, 3], [4, 5, 6]]", "not square"),
    _put("scores", "confusion", "[[1, -2], [3, 4]]", "negative counts"),
    _put("scores", "confusion", "[[1, 2.5], [3, 4]]", "broken counts"),
    _put("scores", "confusion", "[[NaN, 2], [3, 4]]", "no numbers"),
    _put("scores", "confusion", "a table", "no JSON"),
    _put("scores", "confusion", "[" * 4000, "JSON without end"),
    _put("scores", "confusion", lambda row: _turned(row["confusion"]), "gold of other classes"),
    _put("scores", "n", 59, "unequal to n"),
    _put("scores", "classes", None, "without classes"),
    _put("scores", "classes", '["a", "b"]', "too few classes"),
    _put("scores", "classes", '["a", "a", "b"]', "a class twice"),
    _put("scores", "classes", json.dumps(["x", "y", "z"]), "other classes than elsewhere"),
)
"""Of tables with three classes."""


def spoiled(tables: Tables, way: Way) -> Tables:
    """Copies of sound tables, spoiled in one way."""
    encodes, scores = (table.copy() for table in tables)
    return way.spoil(encodes, scores) or (encodes, scores)


def fuzzed(tables: Tables, seed: int) -> Tables:
    """Copies with one to three cells of any column replaced by any value, or rows doubled or lost."""
    rng = np.random.default_rng(seed)
    copies = [table.copy().astype(object) for table in tables]
    values = (
        -1,
        0,
        1,
        1e300,
        -1e300,
        1e-300,
        np.nan,
        np.inf,
        "",
        "nan",
        "x",
        "none",
        "[[1]]",
        2**40,
        0.5,
        None,
    )
    for _ in range(rng.integers(1, 4)):
        which = int(rng.random() < 0.5)
        frame, columns = copies[which], list((ENCODES, SCORES)[which])
        column = columns[rng.integers(len(columns))]
        kind = rng.random()
        if kind < 0.1:
            frame.loc[len(frame) + 7] = frame.iloc[rng.integers(len(frame))]
        elif kind < 0.2:
            copies[which] = frame.drop(index=frame.index[rng.integers(len(frame), size=3)])
        elif kind < 0.4:
            frame[column] = [values[rng.integers(len(values))]] * len(frame)
        else:
            frame.at[frame.index[rng.integers(len(frame))], column] = values[rng.integers(len(values))]
    return copies[0], copies[1]


def write(folder: Any, tables: Tables) -> None:
    """The tables as the CSV files that are a run."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in zip(("encodes", "scores"), tables, strict=True):
        table.to_csv(folder / f"{name}.csv", index=False)
