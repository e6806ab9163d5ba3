"""How feeling becomes movement of the face, in the units of the Facial Action Coding System (FACS).

Names and numbers follow Ekman, Friesen and Hager, Facial Action Coding System (2002). Which units go with
valence and arousal is a plain reading of the circumplex: smiling (6, 12) against frowning (4, 9, 10, 15) for
valence, wide eyes, raised brows and an open mouth (1, 2, 5, 20, 26) against drooping lids (43) for arousal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rdbench.datasets.drawing import exact
from rdbench.datasets.drawing.draws import normal
from rdbench.datasets.drawing.signals import Affect, Motion

__all__ = ["UNITS", "Expressiveness", "activations", "expressiveness", "idle"]

UNITS = {
    "AU1": "inner brow raiser",
    "AU2": "outer brow raiser",
    "AU4": "brow lowerer",
    "AU5": "upper lid raiser",
    "AU6": "cheek raiser",
    "AU7": "lid tightener",
    "AU9": "nose wrinkler",
    "AU10": "upper lip raiser",
    "AU12": "lip corner puller",
    "AU15": "lip corner depressor",
    "AU17": "chin raiser",
    "AU20": "lip stretcher",
    "AU23": "lip tightener",
    "AU25": "lips part",
    "AU26": "jaw drop",
    "AU43": "eyes closed",
}


@dataclass(frozen=True)
class Expressiveness:
    """How one subject shows what it feels.

    Parameters
    ----------
    gain : dict
        How strongly each unit answers, about 1.
    rest : dict
        What each unit does in the resting face, about 0; may be negative.
    """

    gain: dict[str, float]
    rest: dict[str, float]


def expressiveness(rng: np.random.Generator) -> Expressiveness:
    """Draw one subject's gains and resting face."""
    overall = exact.exp(normal(rng, 0, 0.1))
    gain = {unit: float(np.clip(overall * exact.exp(normal(rng, 0, 0.15)), 0.65, 1.5)) for unit in UNITS}
    rest = {unit: float(np.clip(normal(rng, 0, 0.18), -0.4, 0.4)) for unit in UNITS}
    return Expressiveness(gain, rest)


def activations(affect: Affect, subject: Expressiveness) -> dict[str, NDArray[np.float64]]:
    """Return the activation of each unit over time, about 0..1, the resting face included."""
    pleasant, unpleasant = _ramp(affect.valence), _ramp(-affect.valence)
    excited, calm = _ramp(affect.arousal), _ramp(-affect.arousal)
    felt = {
        "AU1": 1.0 * excited,
        "AU2": 1.0 * excited,
        "AU4": unpleasant,
        "AU5": excited,
        "AU6": pleasant,
        "AU7": 1.0 * excited,
        "AU9": 0.8 * unpleasant,
        "AU10": 0.5 * unpleasant,
        "AU12": pleasant,
        "AU15": unpleasant,
        "AU17": 0.8 * unpleasant,
        "AU20": 0.5 * excited,
        "AU23": 0.4 * calm,
        "AU25": 0.2 * pleasant + 0.25 * excited,
        "AU26": 0.5 * excited,
        "AU43": 0.6 * calm,
    }
    return {unit: subject.rest[unit] + subject.gain[unit] * value for unit, value in felt.items()}


def idle(units: dict[str, NDArray[np.float64]], motion: Motion) -> dict[str, NDArray[np.float64]]:
    """Return the activations that give the features their place: what is felt, and idle movement on top.

    Brows, lids and mouth move all the time, in talking most of all, without the skin being folded as it is by
    what is felt. So the place of a feature alone tells little; the fine lines tell which movement is meant.
    """
    moved = dict(units)
    for unit, movement in (
        ("AU1", motion.brows),
        ("AU2", motion.brows),
        ("AU4", -motion.brows),
        ("AU5", motion.lids),
        ("AU43", -motion.lids),
        ("AU12", motion.corners),
        ("AU15", -motion.corners),
    ):
        moved[unit] = units[unit] + movement
    return moved


def _ramp(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rise smoothly from 0 at -0.4 to 1 at 1, so that no part of the scale is without effect."""
    return exact.power(np.clip((signal + 0.4) / 1.4, 0, None), 1.2)
