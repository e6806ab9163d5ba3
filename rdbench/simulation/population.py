"""Synthetic subjects whose truth is known, for simulating verdicts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rdbench.typing import Array

__all__ = ["CENTRE", "FACTORS", "FRAMES", "PLANTED", "POPULATIONS", "RATES", "SECONDS", "Population", "draw"]


RATES = np.array([4.0, 8.0, 16.0, 32.0, 64.0])


SECONDS = 10.0


FRAMES = 250.0


CENTRE = np.zeros(2)


@dataclass(frozen=True)
class Population:
    """What subjects are like.

    Parameters
    ----------
    gain_sd, bias_sd : float
        Spread between subjects of log gain, and of the (skewed, exponential) bias in units of gold.
    common : float
        Share of a subject's own reaction to each point that anchor and test have in common.
    own_sd : float
        Spread of a subject's own reaction to each point, in units of quality.
    bits_sd : float
        Spread between subjects of log bits.
    ratio_sd : float
        Spread between subjects of the log ratio of the test's bits to the anchor's.
    saving : float
        The test's bits over the anchor's.
    half : tuple of float
        Rates in kbit/s at which anchor and test (or any number of sides) reach half of their quality.
    ceiling : tuple of float
        What their quality tends to; where halves and ceilings differ, the curves cross.
    """

    gain_sd: float = 0.4
    bias_sd: float = 0.15
    common: float = 0.7
    own_sd: float = 0.05
    bits_sd: float = 0.35
    ratio_sd: float = 0.08
    saving: float = 0.85
    half: tuple[float, ...] = (7.0, 7.0)
    ceiling: tuple[float, ...] = (0.92, 0.92)


POPULATIONS = {
    "alike": Population(),
    "crossing": Population(saving=1.0, half=(7.0, 5.0), ceiling=(0.94, 0.89)),
}
"""Curves of one shape whose rates differ by a factor, and curves that cross."""


PLANTED = Population(saving=1.0, ratio_sd=0.04, own_sd=0.0, bits_sd=0.2)
"""In which a loss of rate is planted: the log ratio of rates alone differs between subjects, by 4 %, as the gate's
power is stated for; no subject reacts to a point in a way of its own."""


FACTORS = Population(saving=1.0, ratio_sd=0.0, half=(14.0, 6.0, 2.5), ceiling=(0.95, 0.85, 0.70))
"""Three factors, each the best one somewhere."""


def _quality(population: Population) -> Array:
    """Of all sides at all rates: (sides, points)."""
    half, ceiling = np.array([population.half]).T, np.array([population.ceiling]).T
    return ceiling * RATES / (RATES + half)


def draw(population: Population, subjects: int, rng: np.random.Generator) -> Array:
    """Sums of subjects: (subjects, sides, points, bits and seconds and six sums)."""
    points, sides = len(RATES), len(population.half)
    gain = np.exp(rng.normal(0, population.gain_sd, (subjects, 1, 1)) - population.gain_sd**2 / 2)
    bias = population.bias_sd * (rng.exponential(1, (subjects, 1, 1)) - 1)
    level = rng.normal(0, 0.25, (subjects, 1, 1))
    spread = 0.2 * np.exp(rng.normal(0, 0.3, (subjects, 1, 1)))
    shared = rng.normal(0, 1, (subjects, 1, points))
    alone = rng.normal(0, 1, (subjects, sides, points))
    own = population.own_sd * (np.sqrt(population.common) * shared + np.sqrt(1 - population.common) * alone)
    quality = np.maximum(_quality(population) + own, 0.0)
    slope = quality * gain
    mean_gold, var_gold = level + 0 * slope, spread**2 + 0 * slope
    mean_pred = slope * mean_gold + bias
    noise = 0.15 * (1.2 - np.minimum(quality, 1.2))
    var_pred = slope**2 * var_gold + noise**2
    cov = slope * var_gold
    ratio = np.log(population.saving) + rng.normal(0, population.ratio_sd, (subjects, sides - 1, 1))
    log_bits = np.log(1000 * RATES * SECONDS) + rng.normal(0, population.bits_sd, (subjects, 1, 1))
    log_bits = log_bits + np.concatenate([0 * ratio[:, :1], ratio], axis=1)
    n = FRAMES
    return np.stack(
        [
            np.exp(log_bits),
            np.full(slope.shape, SECONDS),
            np.full(slope.shape, n),
            n * mean_pred,
            n * mean_gold,
            n * (var_pred + mean_pred**2),
            n * (var_gold + mean_gold**2),
            n * (cov + mean_pred * mean_gold),
        ],
        axis=-1,
    )
