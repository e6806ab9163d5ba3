"""From the predictions of one encode to rows of `scores`: pure arithmetic on arrays."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdbench.backends.protocol import Backend, descriptor_length
from rdbench.errors import ClipError
from rdbench.stats import metrics
from rdbench.stats.verification import FEWEST, similarities
from rdbench.tables.kinds import ACCEPTED
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
    threshold : float or None
        The similarity above which a face is accepted; None where too few other people were there to set one.
    """

    name: str
    targets: tuple[str, ...]
    values: NDArray[np.float64]
    note: str
    descriptors: bool = False
    threshold: float | None = None


def gold_from_labels(labels: Labels, times: NDArray[np.float64], backend: Backend) -> Gold:
    """The gold standard of a labelled clip, for the targets that a back-end predicts.

    Raises
    ------
    ClipError
        If labels and back-end have no target, or not the same classes, in common, or a label is no index of a class.
    """
    joined = join(labels, times)
    common = tuple(target for target in backend.targets if target in labels.targets)
    if not common or bool(labels.classes) != bool(backend.classes):
        raise ClipError(
            f"its labels are {_kind(labels.targets, labels.classes)}, but {backend.name} predicts "
            f"{_kind(backend.targets, backend.classes)}"
        )
    values: NDArray[np.float64] = joined.values[:, [labels.targets.index(target) for target in common]]
    if labels.classes:
        unknown = [name for name in labels.classes if name not in backend.classes]
        if unknown:
            raise ClipError(
                f"its labels have classes that {backend.name} does not know: {', '.join(unknown)} "
                f"(it knows {', '.join(backend.classes)})"
            )
        order = np.array([backend.classes.index(name) for name in labels.classes], dtype=np.float64)
        known = ~np.isnan(values)
        strange = known & ~np.isin(values, np.arange(len(order)))
        if strange.any():
            frame = int(np.flatnonzero(strange.any(axis=1))[0])
            raise ClipError(
                f"its label at {times[frame]:.2f} s is {values[strange][0]:g}, but its {len(order)} classes are "
                f"numbered 0 to {len(order) - 1}"
            )
        values = np.where(known, order[np.where(known, values, 0).astype(int)], np.nan)
    return Gold("labels", common, values, str(joined))


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
    describes = descriptor_length(backend) > 0
    return Gold(f"pristine:{name}", backend.targets, values, note, describes, threshold)


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
    rows = []
    for index, target in enumerate(gold.targets):
        row: dict[str, Any] = {
            "backend": backend.name,
            "weights": backend.weights,
            "target": target,
            "gold": gold.name,
            "scoring": PLAIN,
        }
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
            row["reason"] = "no frame has both a prediction and gold"
        elif flat:
            row.update(dict.fromkeys((*MOMENTS, "confusion")))
            row.update(n=0, reason="the pristine reference hardly varies: agreement would say nothing")
        rows.append(row)
    return [*rows, _verified(rows[0], gold, predictions)] if gold.descriptors else rows


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


def _kind(targets: Sequence[str], classes: Sequence[str]) -> str:
    return f"{', '.join(targets)} ({len(classes)} classes)" if classes else ", ".join(targets)
