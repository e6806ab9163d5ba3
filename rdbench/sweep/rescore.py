"""The challenge's scoring of a whole run: new rows of `scores`, from stored predictions alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.errors import InputError
from rdbench.stats import metrics
from rdbench.sweep import corrections
from rdbench.sweep.corrections import Fitted, Recording
from rdbench.tables.names import PLAIN
from rdbench.tables.predictions import read_by_frame
from rdbench.tables.reading import StoredRun, default_partition, folder_of_run
from rdbench.tables.schema import CONDITION, MOMENTS, SCORES, TABLES
from rdbench.tables.store import Store

__all__ = [
    "Rescored",
    "Stored",
    "Told",
    "plain_scores",
    "rescore_run",
    "rescored",
    "scores_table",
    "steps_table",
]

_POINT = [*CONDITION, "backend", "target"]


_KEYS = ["encode", "backend", "gold"]
_ROUNDING = 1e-6


class Stored(Protocol):
    """The tables of a run that are needed here; a `rdbench.tables.reading.StoredRun` has them."""

    @property
    def encodes(self) -> pd.DataFrame:
        """Columns of `rdbench.tables.schema.ENCODES`."""
        ...

    @property
    def scores(self) -> pd.DataFrame:
        """Columns of `rdbench.tables.schema.SCORES`."""
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
        Columns of `rdbench.tables.schema.SCORES`; the rows of continuous targets with labels, and no others. All have
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
        by_frame = read_by_frame(group["data"].iloc[0])
        if by_frame is None:
            raise InputError(
                f"The stored predictions of {group['clip'].iloc[0]} do not name their targets: they were written by an "
                "earlier version of rdbench; run again into another folder."
            )
        for row in group.itertuples(index=False):
            stored = np.array([getattr(row, name) for name in MOMENTS], dtype=np.float64)
            pair = by_frame.of(str(row.target))
            if pair is None or _distance(metrics.moments(*pair), stored) > _ROUNDING:
                raise InputError(
                    f"The stored predictions of {row.backend} for the clip {row.clip} are not those that were scored "
                    f"for {row.target}; the run's store is damaged."
                )
            yield (
                row,
                Recording(str(row.clip), str(row.subject), str(row.partition), by_frame.times, *pair),
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
        See `rdbench.sweep.corrections.fit`.

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


@dataclass(frozen=True)
class Told:
    """What a rescored run has to say.

    Parameters
    ----------
    scores : DataFrame
        See `scores_table`.
    steps : DataFrame
        See `steps_table`.
    partition : str
        Which one is reported.
    added : int
        Rows that the table `scores` gained.
    notes : list of str
        What the reader must know of these numbers.
    """

    scores: pd.DataFrame
    steps: pd.DataFrame
    partition: str
    added: int
    notes: list[str]

    def pristine(self) -> pd.DataFrame:
        """The scores of uncoded pictures, for people: what the note below or the other table says is left out."""
        uncoded = self.scores[self.scores["codec"] == "none"]
        if self.steps.empty:
            uncoded = uncoded.drop(columns=["scoring", "chosen"])
            return uncoded.drop(columns=["codec", "variant", "mode", "rate", "fitted_on"]).reset_index(
                drop=True
            )
        short = uncoded["scoring"].where(uncoded["scoring"] == PLAIN, "rescored")
        shown = uncoded.assign(scoring=short, chosen=uncoded["chosen"].fillna(""))
        return shown.drop(columns=["codec", "variant", "mode", "rate", "fitted_on"]).reset_index(drop=True)

    def json(self) -> str:
        """Strict JSON: ``partition``, ``scores``, ``fitted`` (the steps) and ``notes``."""
        parts = {
            name: json.loads(table.to_json(orient="records", double_precision=15))
            for name, table in (("scores", self.scores), ("fitted", self.steps))
        }
        whole = {"partition": self.partition, **parts, "notes": self.notes}
        return json.dumps(whole, indent=2, allow_nan=False)


def rescore_run(
    run: Path,
    fitted_on: Path | None = None,
    protocol: Literal["loso", "avec2016"] = "loso",
    *,
    plain: bool = False,
) -> Told:
    """Add the challenge's scoring to the table `scores` of a run, and what was chosen to its table `fitted`.

    Rows of an earlier call with the same protocol make way. Where there is nothing to fit on and nothing was named,
    both of the challenge's scores are told plainly, and the run stays as it is.

    Parameters
    ----------
    run : Path
        Folder with predictions; plainly, exported tables will do.
    fitted_on : Path, optional
        A run of the same back-ends over train recordings, or with "avec2016" over dev recordings.
    protocol : {"loso", "avec2016"}
        See `rdbench.sweep.corrections.fit`.
    plain : bool
        Fit nothing, also where that could be done.

    Raises
    ------
    InputError
        If there is nothing to score or to fit on, or another process is writing the run.
    """
    opened = StoredRun(folder_of_run(run))
    if plain and fitted_on is not None:
        raise InputError("--plain fits nothing; leave --fitted-on out, or --plain.")
    if plain:
        return _told_plainly(opened, "nothing was fitted: these are the plain scores.")
    if fitted_on is None and protocol == "loso" and not (opened.encodes["partition"] == "train").any():
        return _told_plainly(
            opened,
            "nothing was fitted, since the run has no train recordings: these are the plain scores; name a run over "
            "train with --fitted-on, or take --protocol avec2016.",
        )
    new = rescored(opened, None if fitted_on is None else StoredRun(folder_of_run(fitted_on)), protocol)
    key = corrections.procedure(protocol)
    steps = steps_table(new.fitted)
    made = {"scores": new.scores, "fitted": steps.assign(scoring=key, kept=steps["kept"].astype(int))}
    with Store(run, {}) as store:
        store.replace({name: (_old(getattr(opened, name), name, key), _records(made[name])) for name in made})
    partition = default_partition(opened.encodes)
    notes = [f"the key of rescored rows is {key!r}."]
    notes += [
        f"{backend} {target} ({region}): nothing that was tried raised the CCC, so its scores are the plain ones."
        for (region, backend, target), fitted in sorted(new.fitted.items())
        if all(one.scoring == corrections.PLAIN for one in (fitted, *fitted.without.values()))
    ]
    if protocol == "avec2016":
        notes.append(
            "protocol avec2016: delay and post-processing were chosen on dev, "
            + (
                "which is also what is reported, as in the challenge; such scores flatter, and their key says so."
                if partition == "dev"
                else f"and what is reported is {partition}; their key says so."
            )
        )
    elif partition == "train":
        notes.append(
            "train is reported and was fitted on: each subject is scored with what was chosen without it, and the "
            "steps are what all of them chose."
        )
    return Told(scores_table(opened, new), steps, partition, len(new.scores), notes)


def _told_plainly(run: StoredRun, note: str) -> Told:
    return Told(scores_table(run, None), steps_table({}), default_partition(run.encodes), 0, [note])


def scores_table(run: Stored, new: Rescored | None) -> pd.DataFrame:
    """The challenges' two scores of every condition, plain and rescored (None: plain alone).

    Returns
    -------
    DataFrame
        Columns `rdbench.tables.schema.CONDITION`, ``backend``, ``target``, ``scoring``, ``fitted_on`` and
        ``chosen`` (null where plain), ``ccc_concatenated``, ``ccc_mean_of_recordings`` and how many
        ``recordings`` have a CCC.
    """
    where = run.encodes.loc[
        run.encodes["partition"] == default_partition(run.encodes), ["encode", "subject", *CONDITION]
    ]
    rows = plain_scores(run)
    if new is not None:
        keys = new.scores[["encode", "backend", "target"]].drop_duplicates()
        rows = pd.concat([rows.merge(keys, on=list(keys.columns)), new.scores])
    rows = rows.merge(where, on="encode")
    out = []
    # "plain" is to stand first.
    rows["order"] = rows["scoring"] != PLAIN
    for key, group in rows.groupby([*_POINT, "order", "scoring"], sort=True):
        point = dict(zip([*_POINT, "order", "scoring"], key, strict=True))
        if point.pop("order") and new is not None:
            fitted = new.fitted[str(point["region"]), str(point["backend"]), str(point["target"])]
            chosen, fitted_on = fitted.told(sorted(set(group["subject"].astype(str))))
            point |= {"fitted_on": fitted_on, "chosen": chosen}
        stats = group[list(MOMENTS)].to_numpy(dtype=float)
        out.append(point | metrics.challenge_scores(stats))
    columns = [*_POINT, "scoring", "fitted_on", "chosen"]
    columns += ["ccc_concatenated", "ccc_mean_of_recordings", "recordings"]
    table = pd.DataFrame(out, columns=columns)
    return table.astype({"recordings": int, "factor": int})


def steps_table(fitted: dict[tuple[str, str, str], Fitted]) -> pd.DataFrame:
    """What was tried for each region, back-end and target, in its order.

    Returns
    -------
    DataFrame
        Columns ``region``, ``backend``, ``target``, ``step``, ``value`` (seconds of delay or filter, the offset
        added, or the gain), ``ccc_before``, ``ccc_after`` (where it was fitted), ``kept``, ``fitted_on``,
        ``recordings``.
    """
    columns = ["region", "backend", "target", "step", "value", "ccc_before", "ccc_after", "kept"]
    rows = [
        {
            **dict(zip(("region", "backend", "target"), key, strict=True)),
            "step": step.name,
            "value": step.value,
            "ccc_before": step.before,
            "ccc_after": step.after,
            "kept": step.kept,
            "fitted_on": found.fitted_on,
            "recordings": len(found.clips),
        }
        for key, found in sorted(fitted.items())
        for step in found.steps
    ]
    return pd.DataFrame(rows, columns=[*columns, "fitted_on", "recordings"])


def _old(table: pd.DataFrame, name: str, scoring_key: str) -> list[dict[str, object]]:
    """Keys of the rows that an earlier call with the same protocol wrote."""
    if table.empty:
        return []
    return _records(table.loc[table["scoring"] == scoring_key, list(TABLES[name][1])])


def _records(table: pd.DataFrame) -> list[dict[str, object]]:
    """Rows for the store, which has null and no NaN."""
    whole = table.astype(object)
    return [
        {str(name): value for name, value in row.items()}
        for row in whole.where(whole.notna(), None).to_dict("records")
    ]
