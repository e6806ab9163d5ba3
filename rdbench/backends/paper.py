"""The models of arXiv 1709.03126, and the ablations that tell which part of them earns what.

All open in the same way; what makes them different is how they were trained (`rdbench.training.models.MODELS`).
"""

from __future__ import annotations

from pathlib import Path

from rdbench.backends.protocol import Backend
from rdbench.backends.recognisers import open_recognisers

__all__ = [
    "coded_mix",
    "direct",
    "direct_mix",
    "frozen",
    "hr",
    "joint",
    "max_max",
    "max_mix",
    "mix_mix",
    "separate",
    "separate_tuned",
    "wide_mix",
]


def direct(size: str | None, weights: Path | None, device: str) -> Backend:
    """Open ``direct@lite`` or ``direct@paper``; see `rdbench.backends.protocol.Opener`."""
    return open_recognisers("direct", size, weights, device)


def hr(size: str | None, weights: Path | None, device: str) -> Backend:
    """Open the naive deployment: trained on pristine faces, applied to whatever arrives."""
    return open_recognisers("hr", size, weights, device)


def direct_mix(size: str | None, weights: Path | None, device: str) -> Backend:
    """Open one model trained on a mixture of factors: what the mixture alone gives."""
    return open_recognisers("direct-mix", size, weights, device)


def separate(size: str | None, weights: Path | None, device: str) -> Backend:
    """Open a restorer, and behind it the recogniser that was trained on pristine faces."""
    return open_recognisers("separate", size, weights, device)


def separate_tuned(size: str | None, weights: Path | None, device: str) -> Backend:
    """Open a restorer, and behind it a recogniser tuned on restored faces."""
    return open_recognisers("separate-tuned", size, weights, device)


def frozen(size: str | None, weights: Path | None, device: str) -> Backend:
    """Open the paper's "non-joint": the super-resolver's convolutions as they are, only the rest learned."""
    return open_recognisers("frozen", size, weights, device)


def joint(size: str | None, weights: Path | None, device: str) -> Backend:
    """Open specialists that started from the super-resolver's convolutions and tuned them at a tenth of the
    rate."""
    return open_recognisers("joint", size, weights, device)


def max_mix(size: str | None, weights: Path | None, device: str) -> Backend:
    """Open One-for-All: super-resolution learned at the largest factor, recognition on a mixture of factors."""
    return open_recognisers("max-mix", size, weights, device)


def mix_mix(size: str | None, weights: Path | None, device: str) -> Backend:
    """Open the ablation of the first half of "max-mix": super-resolution learned on the mixture, too."""
    return open_recognisers("mix-mix", size, weights, device)


def max_max(size: str | None, weights: Path | None, device: str) -> Backend:
    """Open the ablation of the second half of "max-mix": recognition learned at the largest factor, too."""
    return open_recognisers("max-max", size, weights, device)


def coded_mix(size: str | None, weights: Path | None, device: str) -> Backend:
    """Open One-for-All that has also seen what codecs leave of faces; the paper has no such model."""
    return open_recognisers("coded-mix", size, weights, device)


def wide_mix(size: str | None, weights: Path | None, device: str) -> Backend:
    """Open one wide model for all factors that learned from more people; the paper has no such model."""
    return open_recognisers("wide-mix", size, weights, device)
