"""What a camera adds: exposure that drifts, and noise."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from rdbench.datasets.drawing.canvas import Image
from rdbench.datasets.drawing.draws import white_noise

__all__ = ["Camera"]

STEPS = 1 << 12
"""Of exposure; half of one more leaves no half to round in what is exposed."""
ROAM = 64
"""Each frame takes its noise from another part of a sheet larger than the picture by so many pixels."""
STRENGTH = 1.026 / 5618
"""Deviation of the noise for a strength of 1, in steps of the picture, over that of the sheet as it is drawn."""


class Camera:
    """The camera of one recording.

    Parameters
    ----------
    height : int
        Of the picture, a multiple of 360; the noise of larger pictures is as coarse.
    exposure : (frames,) float64
        About 1, rounded to `STEPS`.
    noise : float
        Deviation of the noise.
    sheet, roaming : numpy.random.Generator
        Draw the sheet of noise and where on it each frame is.
    """

    def __init__(
        self, height: int, exposure: NDArray[np.float64], noise: float,
        sheet: np.random.Generator, roaming: np.random.Generator,
    ) -> None:  # fmt: skip
        self.height, self.width = height, height * 16 // 9
        self.exposure = np.rint(exposure * STEPS) / STEPS
        white = white_noise(sheet, 360 + ROAM, 640 + ROAM).astype(np.float32)
        kernel = np.array([1, 6, 1], np.float32)
        grain = cv2.sepFilter2D(white, cv2.CV_32F, kernel, kernel)
        scale = height // 360
        if scale > 1:
            grain = cv2.resize(grain, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        steps = np.rint(grain * (noise * STRENGTH))
        self.lighter, self.darker = (
            cv2.cvtColor(np.clip(sign * steps, 0, 255).astype(np.uint8), cv2.COLOR_GRAY2BGR)
            for sign in (1, -1)
        )
        self.corners = roaming.integers(0, ROAM, (len(exposure), 2)) * scale

    def take(self, picture: Image, k: int) -> Image:
        """Return what the camera makes of the picture of frame `k`."""
        top, left = self.corners[k].tolist()
        place = slice(top, top + self.height), slice(left, left + self.width)
        lit = cv2.convertScaleAbs(picture, alpha=float(self.exposure[k]), beta=0.5 / STEPS)
        cv2.add(lit, self.lighter[place], dst=lit)
        cv2.subtract(lit, self.darker[place], dst=lit)
        return lit
