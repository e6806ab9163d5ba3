"""What `rdbench rescore` does: a stored run gets the challenge's scoring beside its own, and both are told."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from rdbench.curves.points import default_partition
from rdbench.errors import InputError
from rdbench.sweep import corrections
from rdbench.sweep.corrections import Fitted
from rdbench.sweep.gold import PLAIN
from rdbench.sweep.rescore import Rescored, Stored, plain_scores, rescored
from rdbench.tables.reading import Run, open_run
from rdbench.tables.schema import CONDITION, MOMENTS
from rdbench.tables.store import TABLES, Store

__all__ = ["Told", "rescore_run", "scores_table", "steps_table"]

_POINT = [*CONDITION, "backend", "target"]


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
        See `rdbench.scoring.fit`.
    plain : bool
        Fit nothing, also where that could be done.

    Raises
    ------
    InputError
        If there is nothing to score or to fit on, or another process is writing the run.
    """
    opened = open_run(run)
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
    new = rescored(opened, None if fitted_on is None else open_run(fitted_on), protocol)
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


def _told_plainly(run: Run, note: str) -> Told:
    return Told(scores_table(run, None), steps_table({}), default_partition(run.encodes), 0, [note])


def scores_table(run: Stored, new: Rescored | None) -> pd.DataFrame:
    """The challenges' two scores of every condition, plain and rescored (None: plain alone).

    Returns
    -------
    DataFrame
        Columns `rdbench.tables.CONDITION`, ``backend``, ``target``, ``scoring``, ``fitted_on`` and
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
        out.append(point | corrections.challenge_scores(stats))
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
