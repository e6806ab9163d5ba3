"""What a family of estimates would do with new units, by which its intervals are widened together.

A family over one sample is drawn as Gaussian units with the covariance that its members were observed to have: their
means are normal, and their standard errors the roots of a Wishart matrix's diagonal, independent of the means, so that
no unit is drawn by itself (Bartlett, 1933). Families over several samples add what each sample gives.

Formulae: Westfall and Young (1993) for max-t.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rdbench.typing import Array

__all__ = ["new_samples", "resolves"]

_FEWEST_BEYOND = 20
_FEWEST_ERRORS = 250
"""Draws of standard errors at least; their noise is then a fifth of what the draws of means leave."""
_BUDGET = 5e8
"""Multiplications that may go into drawing standard errors: about a tenth of a second."""


def resolves(draws: int, level: float) -> bool:
    """Whether so many draws tell the quantile of a level from the largest of them all, which is too small for it."""
    # Rounding of the level must not decide.
    return (1 - level) * draws >= _FEWEST_BEYOND * (1 - 1e-9)


def new_samples(
    influence: Array, draws: int, rng: np.random.Generator, *, paired: bool = False
) -> Iterator[tuple[Array, Array]]:
    """Means and standard errors of new samples, both over each member's true standard error.

    Parameters
    ----------
    influence : (units, members) float64
        What each unit does to each member, centred; 2 units or more, and no member without any influence.
    draws : int
        Of means.
    rng : Generator
    paired : bool
        Give each mean its standard errors. Otherwise, where many units make standard errors dear to draw and nearly
        constant, each serves several draws of means.

    Yields
    ------
    mean : (size, means, members) float64
    error : (size, members) float64
    """
    units, members = influence.shape
    loads = _loadings(influence / np.linalg.norm(influence, axis=0))
    rank = loads.shape[1]
    errors = draws if paired else min(draws, max(_FEWEST_ERRORS, int(_BUDGET // (members * rank**2))))
    means = -(-draws // errors)
    chunk = max(1, int(4e6 // (members * max(rank, means))))
    for start in range(0, errors, chunk):
        size = min(chunk, errors - start)
        error = _drawn_errors(loads, units - 1, size, rng)
        yield rng.standard_normal((size, means, rank)) @ loads.T, error


def _loadings(unit: Array) -> Array:
    """Square root of the members' correlations: (members, rank) with ``loads @ loads.T == unit.T @ unit``.

    A triangular one, whose signs are fixed: unlike singular vectors it moves little when the data do, so that
    machines agree.
    """
    # Its import takes a tenth of a second, and most of what is drawn or printed needs no family.
    from scipy.linalg import helmert

    triangle: Array = np.asarray(np.linalg.qr(helmert(len(unit)) @ unit, mode="r"))
    return np.ascontiguousarray((triangle * np.where(np.diag(triangle) < 0, -1.0, 1.0)[:, None]).T)


def _drawn_errors(loads: Array, dof: int, size: int, rng: np.random.Generator) -> Array:
    """Standard errors of new samples over their true values: (size, members).

    The roots of the diagonal of a Wishart matrix with `dof` degrees of freedom, by Bartlett (1933).
    """
    rank = loads.shape[1]
    root = np.tril(rng.standard_normal((size, rank, rank)), -1)
    diagonal = np.arange(rank)
    root[:, diagonal, diagonal] = np.sqrt(rng.chisquare(dof - diagonal, (size, rank)))
    drawn = loads @ root
    return np.sqrt(np.einsum("smk,smk->sm", drawn, drawn) / dof)
