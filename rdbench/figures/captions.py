"""What captions say, in the same words everywhere."""

from __future__ import annotations

import pandas as pd

from rdbench.curves.scope import KEYS
from rdbench.measures import within_sentence
from rdbench.stats.intervals import FEW_SUBJECTS
from rdbench.stats.metrics import METRIC_NAMES
from rdbench.tables.basis import Boxes

__all__ = [
    "box_words",
    "boxes_of",
    "gold_phrase",
    "interval_words",
    "only",
    "pair_names",
    "rd_title",
    "seed_words",
    "sentences",
    "spoken",
    "subject",
    "y_label",
]


def gold_phrase(gold: str, metric: str) -> str:
    """What a score against this gold is, for captions and axes.

    Parameters
    ----------
    gold : str
        The column ``gold`` of the scores: "labels" or "pristine:NAME@SIZE".
    metric : str
    """
    name = METRIC_NAMES.get(metric, metric)
    if gold.startswith("pristine:"):
        return f"{name}: agreement with {gold.partition(':')[2]} on pristine frames, not truth"
    if gold == "labels":
        return f"{name} against the labels"
    return f"{name} against {gold}"


def only(points: pd.DataFrame, column: str) -> str:
    """The values of a column (one, as a rule) for a text."""
    values = points[column].dropna().unique()
    return ", ".join(sorted(str(value) for value in values if value != "none"))


_BOX_WORDS: dict[Boxes, str] = {
    "sent": "Box bits are not in the rate.",
    "charged": "Box bits are in the rate.",
    "found": "Faces are found in decoded pictures; no boxes are sent.",
}


def box_words(region: str, boxes: Boxes) -> str:
    """Whether rates hold what sending the face boxes costs, for a caption; "" for a region that needs none."""
    return _BOX_WORDS[boxes] if "frame" in region else ""


def boxes_of(table: pd.DataFrame, boxes: Boxes | None) -> Boxes:
    """What is said of boxes; by itself a table tells no more than what its rates hold, such as ``payload+boxes``."""
    return boxes or ("charged" if "+" in only(table, "bits") else "sent")


def interval_words(subjects: int) -> str:
    """What a figure shows of uncertainty, for a caption."""
    if subjects < FEW_SUBJECTS:
        people = "1 subject" if subjects == 1 else f"{subjects} subjects"
        return f"{people}: a dot for each; too few for an interval."
    return f"Bands: 95 % intervals over {subjects} subjects (jackknife)."


def sentences(*sentences: str) -> str:
    """Sentences that are not empty, after each other."""
    return " ".join(sentence for sentence in sentences if sentence)


def y_label(points: pd.DataFrame, metric: str) -> str:
    """What the values are, for an axis; agreement with pristine frames is never called by a word that says truth."""
    if of_pristine(points):
        return f"Agreement with pristine ({within_sentence(metric)})"
    return METRIC_NAMES.get(metric, metric)


def seed_words(points: pd.DataFrame) -> str:
    """Over how many seeds each back-end's line is a mean."""
    seeds = points.groupby("backend")["seeds"].max()
    if seeds.max() == 1:
        return "One seed of each."
    single = sorted(seeds.index[seeds == 1])
    most = int(seeds.max())
    alone = f", but one seed of {', '.join(single)}" if single else ""
    return f"Mean over up to {most} seeds, intervals over seeds and subjects{alone}."


def rd_title(points: pd.DataFrame, metric: str) -> str:
    """The title of curves of one target and recogniser against bitrate."""
    what = "agreement with pristine" if of_pristine(points) else within_sentence(metric)
    return f"{subject(only(points, 'target'), only(points, 'backend'))}: {what} against bitrate"


def subject(target: str, backend: str) -> str:
    """What a figure is of: a target and who recognises it; said once where both have one name."""
    same = target.casefold() == backend.partition("@")[0].casefold()
    words = backend if same else f"{spoken(target)}, {backend}"
    return words[:1].upper() + words[1:]


def spoken(target: str) -> str:
    """The name of a target as it is read: ``mouth_opening`` is one word for programs alone."""
    return target.replace("_", " ")


def of_pristine(points: pd.DataFrame) -> bool:
    """Whether values are agreement with a reference's answer on pristine frames."""
    return only(points, "gold").startswith("pristine:")


def pair_names(row: pd.Series) -> tuple[str, str]:
    """The test and the anchor by what they differ in."""
    names = []
    for side in ("test", "anchor"):
        words = [
            f"factor {row[f'{side}_{key}']}" if key == "factor" else str(row[f"{side}_{key}"])
            for key in KEYS
            if row[f"test_{key}"] != row[f"anchor_{key}"]
        ]
        names.append(" ".join(words).replace("factor best", "best factor"))
    return names[0], names[1]
