"""Is it the same person? Descriptors of faces compared by cosine similarity, and the threshold that this takes.

As in ISO/IEC 19795-1: a *genuine* comparison is of one person with himself, an *impostor* one of two people. The threshold is
what a stated share of the impostor comparisons passes (false accepts); what counts is the share of genuine ones that passes
it (true accepts).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from rdbench.typing import Array

__all__ = ["FALSE_ACCEPTS", "FEWEST", "impostor_similarities", "lookalikes", "similarities", "threshold"]

FALSE_ACCEPTS = 0.01
"""Share of the impostor comparisons that the threshold lets pass."""

FEWEST = 3
"""People whose comparisons set a threshold: fewer are one or no pair."""


def similarities(one: ArrayLike, other: ArrayLike) -> Array:
    """Cosine of the angle between descriptors.

    Parameters
    ----------
    one, other : (..., d) array_like
        NaN where there is none.

    Returns
    -------
    (...) float64
        In -1..1; NaN where either is missing or has no length.
    """
    a, b = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
        return np.clip(np.sum(a * b, axis=-1) / lengths, -1, 1)


def impostor_similarities(people: Sequence[Array]) -> Array:
    """Every descriptor of each person with every one of each other person.

    Parameters
    ----------
    people : sequence of (k, d) float
        The descriptors of each.

    Returns
    -------
    (n,) float64
    """
    pairs = itertools.combinations(people, 2)
    compared = [similarities(one[:, None], other[None]).ravel() for one, other in pairs]
    return np.concatenate(compared) if compared else np.empty(0)


def lookalikes(person: Array, others: Mapping[str, Array]) -> list[str]:
    """Who is as like a person as either of the two is to himself: most likely one person under two names.

    Parameters
    ----------
    person : (k, d) float
        Descriptors of one.
    others : mapping of str to (k, d) float

    Returns
    -------
    list of str
        Names, sorted.
    """
    own = _within(person)
    return sorted(
        name
        for name, other in others.items()
        if np.nanmean(similarities(person[:, None], other[None])) >= min(own, _within(other))
    )


def _within(person: Array) -> float:
    """Mean similarity of different descriptors of one; infinite where there is one alone."""
    one, other = np.triu_indices(len(person), 1)
    return float(np.nanmean(similarities(person[one], person[other]))) if len(one) else float("inf")


def threshold(people: Sequence[Array], false_accepts: float = FALSE_ACCEPTS) -> float | None:
    """The similarity that at most a share of the impostor comparisons among people exceeds.

    Parameters
    ----------
    people : sequence of (k, d) float
        None of whom is reported with it.
    false_accepts : float
        In 0..1.

    Returns
    -------
    float or None
        A face is accepted above it; None where there are fewer than `FEWEST` people.
    """
    if len(people) < FEWEST:
        return None
    found = impostor_similarities(people)
    found = found[np.isfinite(found)]
    return float(np.quantile(found, 1 - false_accepts, method="higher")) if found.size else None
