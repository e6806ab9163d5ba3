"""From blue, green and red to what is written: planar YCbCr, BT.709, limited range, 4:2:0."""

from __future__ import annotations

import cv2
import numpy as np

from rdbench.datasets.drawing.canvas import Image

__all__ = ["yuv420p"]

# ITU-R BT.709-6, items 3.2 to 3.5, for blue, green, red in 0..255.
_LUMA = np.array([0.0722, 0.7152, 0.2126])
_MATRIX = np.stack(
    [
        219 / 255 * _LUMA,
        224 / 255 * (np.array([1.0, 0.0, 0.0]) - _LUMA) / 1.8556,
        224 / 255 * (np.array([0.0, 0.0, 1.0]) - _LUMA) / 1.5748,
    ]
)
# OpenCV keeps ten bits of weights for bytes, or takes float32, which has then nothing to round: half of the last bit
# leaves no tie, so that rounding up and rounding to even are one.
_STEPS = 1 << 10
_TO_YCBCR = np.column_stack([np.rint(_MATRIX * _STEPS), np.array([16, 128, 128]) * _STEPS + 0.5]) / _STEPS


def yuv420p(picture: Image) -> bytes:
    """Return a (height, width, 3) picture of even size as three planes, chroma in the middle of four pixels."""
    height, width = picture.shape[:2]
    halved = cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    luma = cv2.extractChannel(cv2.transform(picture, _TO_YCBCR), 0)
    chroma = cv2.split(cv2.transform(halved, _TO_YCBCR))[1:]
    return b"".join(plane.tobytes() for plane in (luma, *chroma))
