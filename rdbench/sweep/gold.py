"""From the predictions of one encode to rows of `scores`: pure arithmetic on arrays."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdbench.backends.protocol import Backend, descriptor_length, detects_units
from rdbench.errors import ClipError, NothingToScoreError
from rdbench.stats import metrics
from rdbench.stats.verification import FEWEST, similarities
from rdbench.tables.kinds import ACCEPTED, UNITS, unit_classes
from rdbench.tables.label_counts import NO_LABELS
from rdbench.tables.names import PLAIN
from rdbench.tables.schema import MOMENTS
from rdbench.video.clip import Labels
from rdbench.video.labels import join

__all__ = [
    "FLAT",
    "VERIFIED",
    "Gold",
    "compared",
    "gold_from_labels",
    "gold_from_reference",
    "score_rows",
]

VERIFIED = "identity"
"""The target of verification: whether a face is still accepted as the person that it shows."""


PRESENT_FROM = 0.5
"""A unit is called present from this probability on."""

FLAT = 0.01
"""A pristine reference whose standard deviation is below this (of values in -1..1) says too little to agree with."""


@dataclass(frozen=True)
class Gold:
    """What predictions are scored against, frame by frame.

    Parameters
    ----------
    name : str
        "labels", or "pristine:NAME@SIZE".
    targets : tuple of str
    values : (n, k) float64
        NaN where there is none; class indices of a categorical target.
    note : str
        How it came about, for people.
    descriptors : bool
        Whether values are descriptors, or what became of their comparison: then the one target is similarity, and gold is 1.
    units : bool
        Whether targets are units that are there (1) or not (0).
    whole : bool
        Whether gold is about the recording, which has one answer: the mean of what was predicted for its frames.
    threshold : float or None
        The similarity above which a face is accepted; None where too few other people were there to set one.
    """

    name: str
    targets: tuple[str, ...]
    values: NDArray[np.float64]
    note: str
    descriptors: bool = False
    units: bool = False
    whole: bool = False
    threshold: float | None = None


def gold_from_labels(labels: Labels, times: NDArray[np.float64], backend: Backend) -> Gold:
    """The gold standard of a labelled clip, for the targets that a back-end predicts.

    Raises
    ------
    ClipError
        If labels and back-end have no target, or not the same classes, in common, or a label is no index of a class.
    """
    joined = join(labels, times)
    note = str(joined)
    common = tuple(target for target in backend.targets if target in labels.targets)
    kinds = (bool(labels.classes), labels.units), (bool(backend.classes), detects_units(backend))
    if not common or kinds[0] != kinds[1]:
        raise ClipError(
            f"its labels are {_kind(labels.targets, labels.classes, labels.units)}, but {backend.name} predicts "
            f"{_kind(backend.targets, backend.classes, detects_units(backend))}; --backend names one that predicts what is "
            "labelled (rdbench list backends), or train one (rdbench train)"
        )
    values: NDArray[np.float64] = joined.values[:, [labels.targets.index(target) for target in common]]
    if labels.classes:
        order = _order(labels, backend)
        known = ~np.isnan(values)
        strange = known & ~np.isin(values, np.arange(len(order)))
        if strange.any():
            frame = int(np.flatnonzero(strange.any(axis=1))[0])
            raise ClipError(
                f"its label at {times[frame]:.2f} s is {values[strange][0]:g}, but its {len(order)} classes are "
                f"numbered 0 to {len(order) - 1}"
            )
        values = np.where(known, order[np.where(known, values, 0).astype(int)], np.nan)
        note += _unknown(labels, backend, joined.values, values)
    return Gold("labels", common, values, note, units=labels.units, whole=labels.whole)


def _order(labels: Labels, backend: Backend) -> NDArray[np.float64]:
    """The back-end's number of each class of labels; NaN of those that it does not know."""
    if not set(labels.classes) & set(backend.classes):
        raise ClipError(
            f"its labels have classes that {backend.name} does not know: {', '.join(labels.classes)} "
            f"(it knows {', '.join(backend.classes)})"
        )
    known = {name: float(number) for number, name in enumerate(backend.classes)}
    return np.array([known.get(name, np.nan) for name in labels.classes])


def _unknown(
    labels: Labels, backend: Backend, given: NDArray[np.float64], values: NDArray[np.float64]
) -> str:
    """What is said of frames whose class a back-end does not know: they are not scored by it.

    Raises
    ------
    ClipError
        If that is so of all frames with a label.
    """
    lost = np.isfinite(given).any(axis=1) & ~np.isfinite(values).any(axis=1)
    if not lost.any():
        return ""
    names = sorted({labels.classes[int(value)] for value in given[lost].ravel()})
    told = f"{', '.join(names)}, which {backend.name} does not know (it knows {', '.join(backend.classes)})"
    if not np.isfinite(values).any():
        raise NothingToScoreError(f"its labels are {told}")
    return f", {int(lost.sum())} of a class ({told}) not scored"


def gold_from_reference(
    name: str,
    predictions: NDArray[np.floating[Any]],
    backend: Backend,
    threshold: float | None = None,
    lookalikes: Sequence[str] = (),
) -> Gold:
    """Predictions on pristine frames, standing in for labels: they measure agreement, not truth.

    Parameters
    ----------
    name : str
        Of the reference.
    predictions : (n, k) float
    backend : Backend
    threshold : float, optional
        Of verification.
    lookalikes : sequence of str
        Subjects of the cohort who seem to be the same person.
    """
    values: NDArray[np.float64] = np.asarray(predictions, dtype=np.float64)
    if backend.classes:
        seen = np.isfinite(values[:, 0])
        classes = np.argmax(np.where(seen[:, None], values, 0.0), axis=1).astype(np.float64)
        values = np.where(seen, classes, np.nan)[:, None]
    note = f"{NO_LABELS}: agreement with {name} on pristine frames"
    if lookalikes:
        note += (
            f", whose face is as like that of {', '.join(lookalikes)} as its own: give clips of one person one subject "
            "(manifest.csv), or the threshold is too strict"
        )
    describes, units = descriptor_length(backend) > 0, detects_units(backend)
    if units:
        values = _present(values)
    return Gold(f"pristine:{name}", backend.targets, values, note, describes, units, threshold=threshold)


def _present(probabilities: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Units that are there: those whose probability is a half or more; NaN where there is none."""
    there = (probabilities >= PRESENT_FROM).astype(np.float64)
    return np.where(np.isfinite(probabilities), there, np.nan)


def compared(gold: Gold, predictions: NDArray[np.floating[Any]]) -> tuple[Gold, NDArray[np.floating[Any]]]:
    """Gold and predictions as they are scored: of descriptors the similarity of each frame's with gold's, against 1.

    Parameters
    ----------
    gold : Gold
    predictions : (n, k) float
    """
    if not gold.descriptors:
        return gold, predictions
    found = similarities(predictions, gold.values)[:, None].astype(np.float32)
    alike = np.where(np.isfinite(gold.values).all(axis=1), 1.0, np.nan)[:, None]
    return dataclasses.replace(gold, values=alike), found


def score_rows(backend: Backend, gold: Gold, predictions: NDArray[np.floating[Any]]) -> list[dict[str, Any]]:
    """One row of sufficient statistics for each target.

    Parameters
    ----------
    backend : Backend
    gold : Gold
    predictions : (n, k) float
        NaN rows where nothing is scored.

    Returns
    -------
    list of dict
        Columns of `rdbench.tables.schema.SCORES`, `encode` aside.
    """
    if gold.whole:
        gold, predictions = _one_answer(gold, predictions)
    if gold.units:
        return _unit_rows(backend, gold, predictions)
    rows = []
    for index, target in enumerate(gold.targets):
        row = _key(backend, gold, target)
        truth = gold.values[:, index]
        if backend.classes:
            seen = np.isfinite(truth) & np.isfinite(predictions).all(axis=1)
            chosen = np.argmax(predictions[seen], axis=1)
            table = metrics.confusion_matrix(chosen, truth[seen].astype(int), len(backend.classes))
            row.update(
                n=int(table.sum()),
                confusion=json.dumps(table.tolist()),
                classes=json.dumps(list(backend.classes)),
            )
            flat = gold.name != "labels" and np.count_nonzero(table.sum(axis=1)) == 1
        else:
            column = list(backend.targets).index(target)
            stats = metrics.moments(predictions[:, column], truth)
            row.update(zip(MOMENTS, (float(value) for value in stats), strict=True))
            row["n"] = int(stats[0])
            spread = float(np.sqrt(stats[4] / stats[0])) if stats[0] else 0.0
            flat = gold.name != "labels" and not gold.descriptors and spread < FLAT
        if row["n"] == 0:
            row["reason"] = _NOTHING
        elif flat:
            row.update(dict.fromkeys((*MOMENTS, "confusion")))
            row.update(n=0, reason="the pristine reference hardly varies: agreement would say nothing")
        rows.append(row)
    return [*rows, _verified(rows[0], gold, predictions)] if gold.descriptors else rows


def _key(backend: Backend, gold: Gold, target: str) -> dict[str, Any]:
    """What names a row of scores."""
    who = {"backend": backend.name, "weights": backend.weights}
    return {**who, "target": target, "gold": gold.name, "scoring": PLAIN}


def _one_answer(gold: Gold, predictions: NDArray[np.floating[Any]]) -> tuple[Gold, NDArray[np.floating[Any]]]:
    """One answer of a recording: the mean of its frames' probabilities, against the one label."""
    seen = np.isfinite(gold.values).any(axis=1) & np.isfinite(predictions).all(axis=1)
    answer = predictions[seen].astype(np.float64)
    one = answer.mean(axis=0, keepdims=True) if len(answer) else answer
    return dataclasses.replace(gold, values=gold.values[seen][: len(one)]), one


def _unit_rows(backend: Backend, gold: Gold, predictions: NDArray[np.floating[Any]]) -> list[dict[str, Any]]:
    """A row of counts for each unit, and one that holds all of them side by side, whose F1 is their mean."""
    rows, tables = [], []
    for index, unit in enumerate(gold.targets):
        truth, found = gold.values[:, index], predictions[:, backend.targets.index(unit)]
        seen = np.isfinite(truth) & np.isfinite(found)
        counts = metrics.confusion_matrix(_present(found[seen]), truth[seen], 2)
        tables.append(counts)
        rows.append(_key(backend, gold, unit) | _counted(counts, (unit,)))
    size = 2 * len(tables)
    whole = np.zeros((size, size), dtype=np.int64)
    for number, counts in enumerate(tables):
        whole[2 * number : 2 * number + 2, 2 * number : 2 * number + 2] = counts
    return [*rows, _key(backend, gold, UNITS) | _counted(whole, gold.targets)]


def _counted(counts: NDArray[np.int64], units: tuple[str, ...]) -> dict[str, Any]:
    n = int(counts.sum())
    if not n:
        return {"n": 0, "reason": _NOTHING}
    classes = json.dumps(list(unit_classes(units)))
    return {"n": n, "confusion": json.dumps(counts.tolist()), "classes": classes}


_NOTHING = "no frame has both a prediction and gold"


def _verified(similar: dict[str, Any], gold: Gold, predictions: NDArray[np.floating[Any]]) -> dict[str, Any]:
    """The row of verification beside that of similarity: how many frames are accepted as the person that they show."""
    key = {name: similar[name] for name in ("backend", "weights", "gold", "scoring")}
    row = {**key, "target": VERIFIED, "n": 0}
    if gold.threshold is None:
        told = f"a threshold needs {FEWEST} people besides the one that is reported"
        return {**row, "reason": told}
    found = predictions[np.isfinite(predictions[:, 0]) & np.isfinite(gold.values[:, 0]), 0]
    accepted = int((found > gold.threshold).sum())
    if not len(found):
        return {**row, "reason": similar["reason"]}
    table = [[accepted, len(found) - accepted], [0, 0]]
    return {**row, "n": len(found), "confusion": json.dumps(table), "classes": json.dumps(list(ACCEPTED))}


def _kind(targets: Sequence[str], classes: Sequence[str], units: bool) -> str:
    how = f" ({len(classes)} classes)" if classes else " (present or not)" if units else ""
    return ", ".join(targets) + how
