"""The challenge's scoring of a whole run: new rows of `scores`, from stored predictions alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.errors import InputError
from rdbench.stats import metrics
from rdbench.sweep import corrections
from rdbench.sweep.corrections import Fitted, Recording
from rdbench.sweep.gold import PLAIN
from rdbench.tables.schema import MOMENTS, SCORES
from rdbench.tables.store import unpack

__all__ = ["Rescored", "Stored", "plain_scores", "rescored"]

_KEYS = ["encode", "backend", "gold"]
_ARRAYS = ("prediction", "gold", "times", "outputs", "targets")
_ROUNDING = 1e-6


class Stored(Protocol):
    """The tables of a run that are needed here; a `rdbench.runs.Run` has them."""

    @property
    def encodes(self) -> pd.DataFrame:
        """Columns of `rdbench.tables.ENCODES`."""
        ...

    @property
    def scores(self) -> pd.DataFrame:
        """Columns of `rdbench.tables.SCORES`."""
        ...

    @property
    def predictions(self) -> pd.DataFrame:
        """``encode``, ``backend``, ``gold`` and the packed ``data``."""
        ...


@dataclass(frozen=True)
class Rescored:
    """Scores after delay and post-processing, and what was done.

    Parameters
    ----------
    scores : DataFrame
        Columns of `rdbench.tables.SCORES`; the rows of continuous targets with labels, and no others. All have
        one scoring key, that of the procedure; where nothing was kept their moments are those of plain scores.
    fitted : dict of (region, backend, target) to Fitted
        The values that were chosen.
    """

    scores: pd.DataFrame
    fitted: dict[tuple[str, str, str], Fitted]


def plain_scores(run: Stored) -> pd.DataFrame:
    """The plain scores of continuous targets against labels, which are what can be scored again.

    Raises
    ------
    InputError
        If there are none.
    """
    scores = run.scores
    wanted = scores[
        (scores["gold"] == "labels")
        & (scores["scoring"] == PLAIN)
        & scores["confusion"].isna()
        & (scores["n"] > 0)
    ]
    if len(wanted) == 0:
        raise InputError(
            "The run has no continuous target with labels, so it has no score of the challenge's kind."
        )
    return wanted


def _plain(run: Stored) -> pd.DataFrame:
    """Plain scores with what is known of their encode and with the stored predictions."""
    wanted = plain_scores(run)
    if len(run.predictions) == 0:
        raise InputError(
            "The run has no stored predictions (it was exported); give the folder that was run, or score plainly "
            "with --plain."
        )
    where = run.encodes[["encode", "clip", "subject", "partition", "region", "factor", "codec"]]
    return wanted.merge(where, on="encode").merge(run.predictions, on=_KEYS)


def _series(rows: pd.DataFrame) -> Iterator[tuple[Any, Recording]]:
    """Predictions and gold of each row; its moments prove that blob and row belong together."""
    for _, group in rows.groupby(_KEYS, sort=False):
        arrays = unpack(group["data"].iloc[0])
        missing = [name for name in _ARRAYS if name not in arrays]
        if missing:
            raise InputError(
                f"The stored predictions of {group['clip'].iloc[0]} lack {' and '.join(missing)}: they were written "
                "by an earlier version of rdbench; run again into another folder."
            )
        prediction, gold, times = (
            np.asarray(arrays[name], np.float64) for name in ("prediction", "gold", "times")
        )
        outputs, targets = arrays["outputs"].tolist(), arrays["targets"].tolist()
        for row in group.itertuples(index=False):
            stored = np.array([getattr(row, name) for name in MOMENTS], dtype=np.float64)
            one = prediction[:, outputs.index(row.target)] if row.target in outputs else np.array([])
            other = gold[:, targets.index(row.target)] if row.target in targets else np.array([])
            if not len(one) or not len(other) or _distance(metrics.moments(one, other), stored) > _ROUNDING:
                raise InputError(
                    f"The stored predictions of {row.backend} for the clip {row.clip} are not those that were scored "
                    f"for {row.target}; the run's store is damaged."
                )
            yield (
                row,
                Recording(str(row.clip), str(row.subject), str(row.partition), times, one, other),
            )


def _distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.max(np.abs(a - b) / np.maximum(1.0, np.abs(b)), initial=0.0, where=np.isfinite(b)))


def _fit(
    rows: pd.DataFrame, protocol: Literal["loso", "avec2016"], reported: set[str]
) -> dict[tuple[str, str, str], Fitted]:
    """A scoring for each region, back-end and target, from the uncoded pictures at the smallest factor."""
    uncoded = rows[rows["codec"] == "none"]
    if len(uncoded) == 0:
        raise InputError(
            "Delay and post-processing are fitted on uncoded pictures, but the run has none of them."
        )
    uncoded = uncoded[uncoded["factor"] == uncoded.groupby(["region", "backend"])["factor"].transform("min")]
    recordings: dict[tuple[str, str, str], list[Recording]] = {}
    for row, recording in _series(uncoded):
        recordings.setdefault((str(row.region), str(row.backend), str(row.target)), []).append(recording)
    return {key: corrections.fit(made, protocol, reported) for key, made in recordings.items()}


def rescored(
    run: Stored, fitted_on: Stored | None = None, protocol: Literal["loso", "avec2016"] = "loso"
) -> Rescored:
    """Score a run again with delay and post-processing.

    They are fitted once for each region, back-end and target, on uncoded pictures at the smallest factor, and
    then applied to every condition. Nothing is scored with what was chosen on it: subjects of `run` that are
    fitted on themselves get what was chosen without them (the protocol "avec2016" aside, whose key says so).

    Parameters
    ----------
    run : Stored
        What is reported.
    fitted_on : Stored, optional
        A run of the same back-ends over the train recordings, or with "avec2016" over the dev recordings; `run`
        itself where it holds those. No subject may be in both runs.
    protocol : {"loso", "avec2016"}
        See `rdbench.scoring.fit`.

    Raises
    ------
    InputError
        If there are no stored predictions or labels, nothing to fit on, other weights were fitted on, or the runs
        share a subject.
    """
    rows = _plain(run)
    source = rows if fitted_on is None else _plain(fitted_on)
    reported = set(rows["subject"].astype(str))
    if fitted_on is not None:
        _check_apart(source[source["partition"] == corrections.FITTED_PARTITION[protocol]], reported)
    fitted = _fit(source, protocol, reported)
    weights = source.groupby("backend")["weights"].agg(set).to_dict()
    out: list[dict[str, Any]] = []
    for row, recording in _series(rows):
        key = (str(row.region), str(row.backend), str(row.target))
        if key not in fitted:
            raise InputError(
                f"Delay and post-processing of {key[1]} for {key[2]} in region {key[0]} cannot be fitted: the run to "
                f"fit on has no such rows."
            )
        if row.weights not in weights[row.backend]:
            raise InputError(
                f"{row.backend} has other weights in the run to fit on; run both with the same --weights."
            )
        chosen = fitted[key].of(str(row.subject))
        stats = metrics.moments(corrections.apply(chosen, recording.pred, recording.times), recording.gold)
        made = {name: getattr(row, name) for name in SCORES}
        made.update(zip(MOMENTS, stats.tolist(), strict=True))
        made.update(n=int(stats[0]), scoring=corrections.procedure(protocol))
        out.append(made)
    return Rescored(pd.DataFrame(out, columns=list(SCORES)), fitted)


def _check_apart(source: pd.DataFrame, reported: set[str]) -> None:
    shared = sorted(set(source["subject"].astype(str)) & reported)
    if shared:
        names = ", ".join(shared[:5]) + (", ..." if len(shared) > 5 else "")
        raise InputError(
            f"The run that is fitted on and the one that is reported share {len(shared)} of their subjects ({names}), "
            "and nothing is chosen on what is reported; leave --fitted-on out where the run holds the recordings "
            "to fit on itself, or give a run over others."
        )
