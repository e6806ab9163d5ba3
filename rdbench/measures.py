"""What can be measured, by name: known before anything is computed, so that a help text need not load numpy."""

from __future__ import annotations

__all__ = [
    "CORRELATIONS",
    "KINDS",
    "KIND_OF",
    "METRICS",
    "METRIC_NAMES",
    "higher_is_better",
    "siblings",
    "within_sentence",
]

KINDS: dict[str, tuple[str, ...]] = {
    "continuous": ("ccc", "pcc", "rmse"),
    "similarity": ("similarity",),
    "classes": ("accuracy", "f1"),
    "verification": ("tar",),
    "units": ("unit_f1",),
}
"""What can be scored, and the metrics that each kind gives, its main one first."""

METRICS = tuple(metric for kind in KINDS.values() for metric in kind)

KIND_OF = {metric: kind for kind, metrics in KINDS.items() for metric in metrics}

CORRELATIONS = ("ccc", "pcc")
"""Metrics that are 0 where prediction and gold have nothing to do with each other."""

METRIC_NAMES = {
    "ccc": "CCC",
    "pcc": "PCC",
    "rmse": "RMSE",
    "similarity": "Similarity",
    "accuracy": "Accuracy",
    "f1": "Macro F1",
    "tar": "True-accept rate",
    "unit_f1": "F1 of units",
}
"""What people call each metric."""


def higher_is_better(metric: str) -> bool:
    """Whether more of `metric` means better recognition (RMSE is the one where it does not)."""
    return metric != "rmse"


def within_sentence(metric: str) -> str:
    """What people call a metric in the middle of a sentence: "macro F1", but "F1 of units"."""
    name = METRIC_NAMES.get(metric, metric)
    return name if name.split()[0].isupper() else name[:1].lower() + name[1:]


def siblings(metric: str) -> tuple[str, ...]:
    """The metrics that come from the same scores as this one, itself among them."""
    return KINDS[KIND_OF[metric]]
