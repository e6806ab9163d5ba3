"""What the parts of a face do over a recording."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rdbench.datasets.drawing.action_units import Expressiveness, activations, idle
from rdbench.datasets.drawing.signals import Affect, Motion

__all__ = ["Pose", "poses"]

Signal = NDArray[np.float64]


@dataclass(frozen=True)
class Pose:
    """What a face does, one value a frame.

    Parameters
    ----------
    felt : dict
        Action units by name, as they fold the skin.
    units : dict
        The same with idle movement, as they move brows, lids and mouth.
    closed, gaze_x, gaze_y, rounding, lip_press : (frames,) float64
        Blink, gaze and speech.
    mouth : (frames,) float64
        How far the lips are apart, in half face widths.
    """

    felt: dict[str, Signal]
    units: dict[str, Signal]
    closed: Signal
    gaze_x: Signal
    gaze_y: Signal
    rounding: Signal
    lip_press: Signal
    mouth: Signal


def poses(affect: Affect, motion: Motion, subject: Expressiveness, count: int) -> Pose:
    """Return what a face does in the first `count` frames."""
    felt = activations(affect, subject)
    units = idle(felt, motion)
    jaw = 0.2 * motion.opening * (1 - 0.3 * motion.rounding) + 0.075 * units["AU26"]
    mouth = np.clip(jaw + 0.05 * units["AU25"] - 0.06 * motion.lip_press - 0.02, 0, 0.34)
    return Pose(
        felt={name: values[:count] for name, values in felt.items()},
        units={name: values[:count] for name, values in units.items()},
        closed=motion.closed[:count],
        gaze_x=motion.gaze_x[:count],
        gaze_y=motion.gaze_y[:count],
        rounding=motion.rounding[:count],
        lip_press=motion.lip_press[:count],
        mouth=mouth[:count],
    )
