"""Where the face is, for every frame: found or given boxes become one smooth path and a mask.

Boxes come with a clip, or `find` sees them on the source. `track` turns either kind into one crop size and
one path for a whole recording, so that neither the detector's jitter nor its misses cost bits or scores.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from rdbench.errors import ClipError, NoFaceError
from rdbench.video.candidates import (
    CASCADE,
    GAP,
    PERSISTENT,
    Track,
    associate,
    choose,
    detector_name,
    looks_around,
    open_detector,
)
from rdbench.video.clip import Boxes

__all__ = [
    "DETECTOR",
    "GAP",
    "STEP",
    "Crop",
    "FaceTrack",
    "box_bits",
    "detect",
    "detected_by",
    "find",
    "held",
    "looked_at",
    "track",
]

STEP = 8
"""The detector looks at every eighth frame, or after `LOOK` seconds; boxes are charged at the same rate."""

LOOK = 0.5
"""Seconds: of recordings of few frames a second more than every eighth is looked at."""

RULES = 3
"""Version of the rules from boxes to the path, for cache keys."""

DETECTOR = f"{CASCADE}/{RULES}"
"""Name of the detector that ships, and of the rules."""

_SMOOTHING = 0.2
_SLACK = 0.01
_LEAST_SLACK = 1.5
_LEAST_SIDE = 6.0
_SHARE = 1.5


def detect(luma: NDArray[np.uint8]) -> list[tuple[float, float, float, float]]:
    """Every face candidate in one picture: left, top, width, height in its pixels; false ones among them.

    Parameters
    ----------
    luma : (H, W) uint8
    """
    return open_detector(None)(luma)


def looked_at(times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices of the frames that the detector looks at: every eighth, and one after half a second at most."""
    chosen: list[int] = []
    for index, time in enumerate(times):
        if not chosen or _due(index - chosen[-1], float(time - times[chosen[-1]]), STEP):
            chosen.append(index)
    return np.array(chosen, dtype=np.int64)


def _due(frames: int, seconds: float, step: int) -> bool:
    return frames >= step or seconds >= LOOK - 1e-6


def detected_by(detector: Path | None) -> str:
    """Name of a detector, and version of the rules, for cache keys."""
    return f"{detector_name(detector)}/{RULES}"


def find(
    frames: Iterable[NDArray[np.uint8]],
    times: Iterable[float],
    step: int = STEP,
    detector: Path | None = None,
) -> Boxes:
    """Find the one face of a recording in every `step`-th frame, or every half second where that is sooner.

    Boxes of OpenCV's frontal-face Haar cascade are joined over time where they overlap by 0.3 (intersection
    over union) within 2 s. What is not seen in at least 3 samples (all between two pauses, where there are fewer) and in
    a third of those it spans is dropped as a false positive. Of the rest, the face with the largest sum of
    box widths is kept, and with it tracks at other times of a similar size (half to double): the same face
    coming back. Pictures are looked at with a short side of at most 270 pixels, so a face must be 24 pixels
    wide there (64 at 1280x720). One frame is held at a time: memory does not grow with the recording.

    Parameters
    ----------
    frames : iterable of (H, W) uint8
        Luma of every frame in order, displayed orientation.
    times : iterable of float
        Seconds of each frame, as many as frames.
    step : int, optional
        1 where the caller has thinned the frames already.
    detector : Path, optional
        See `rdbench.video.candidates.open_detector`.

    Returns
    -------
    Boxes
        One row for each frame looked at, NaN where the face was not seen (everywhere, if there is none).

    Raises
    ------
    ClipError
        If there are not as many times as frames.
    """
    look = open_detector(detector)
    tracks: list[Track] = []
    sampled: list[float] = []
    last = 0
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        for i, (luma, time) in enumerate(zip(frames, times, strict=True)):
            if not sampled or _due(i - last, float(time) - sampled[-1], step):
                last = i
                tracks = associate(tracks, look(luma), len(sampled), float(time))
                sampled.append(float(time))
    except ValueError as error:
        if "zip()" not in str(error):
            raise
        raise ClipError("The video has not as many frames as frame times; give one time for each.") from error
    finally:
        cv2.setNumThreads(threads)
    xywh = np.full((len(sampled), 4), np.nan)
    chosen = choose(tracks, looks_around(sampled)) if sampled else {}
    for sample, box in chosen.items():
        xywh[sample] = box
    fleeting = {sample for track in tracks for sample in track.rows} if not chosen else ()
    return Boxes(np.array(sampled, dtype=np.float64), xywh, len(fleeting))


@dataclass(frozen=True)
class Crop:
    """A square window of one size that follows the face in whole, even pixels.

    Parameters
    ----------
    side : int
        Even.
    xy : (n, 2) int64
        Left and top for each frame, even. The window may lie partly outside the picture; whoever cuts it
        repeats the picture's edge there.
    """

    side: int
    xy: NDArray[np.int64]


@dataclass(frozen=True)
class FaceTrack:
    """The face of one recording, for every frame.

    Parameters
    ----------
    centre : (n, 2) float64
        Smoothed path of the box centre in source pixels; held where there is no face.
    side : float
        Side of the one square box: the median over the recording of the larger of width and height, so that
        a turned head or a few bad boxes do not change it.
    mask : (n,) bool
        True where the frame is scored.
    segment : (n,) int64
        Number of the scoring segment from 0; -1 where the frame is not scored.
    face_px : float
        Median box width in source pixels.
    origin : {"given", "found"}
    box_bits : int
        What sending the boxes would cost; see `box_bits`.
    """

    centre: NDArray[np.float64]
    side: float
    mask: NDArray[np.bool_]
    segment: NDArray[np.int64]
    face_px: float
    origin: Literal["given", "found"]
    box_bits: int

    def crop(self, margin: float = 0.0) -> Crop:
        """The window around the face, ``1 + margin`` times the box's side, rounded to even pixels."""
        side = max(2, 2 * round(self.side * (1 + margin) / 2))
        xy = 2 * np.rint((self.centre - side / 2) / 2).astype(np.int64)
        return Crop(side, xy)


def _exp_golomb_bits(values: NDArray[np.int64]) -> int:
    """Length of signed Exp-Golomb codes (H.264 9.1.1): 2 floor(log2(k + 1)) + 1, k = 2|v| - [v > 0]."""
    k = 2 * np.abs(values) - (values > 0)
    return sum(2 * (int(x) + 1).bit_length() - 1 for x in k.ravel())


def _nearest(sorted_times: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.intp]:
    """Index of the nearest entry of `sorted_times` for each time; the earlier one of two equally near."""
    after = np.clip(np.searchsorted(sorted_times, times), 0, len(sorted_times) - 1)
    before = np.maximum(after - 1, 0)
    closer = np.abs(times - sorted_times[before]) <= np.abs(times - sorted_times[after])
    return np.where(closer, before, after)


def _period(times: NDArray[np.float64]) -> float:
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.0


def box_bits(boxes: Boxes, times: NDArray[np.float64]) -> int:
    """Bits that sending the boxes beside the video would cost.

    For the frames that `find` looks at (0, 8, 16, ...): one bit tells whether there is a box (the row of `boxes` nearest in time,
    within half a row's period). If so, x, y, w, h follow in whole pixels, each as the signed Exp-Golomb code
    of its difference from the last box sent (from 0 for the first). The receiver interpolates and smooths.

    Parameters
    ----------
    boxes : Boxes
    times : (n,) float64
        Seconds of every frame.
    """
    sampled = times[looked_at(times)]
    if len(boxes.times) == 0:
        return len(sampled)
    row = _nearest(boxes.times, sampled)
    reach = max(_period(boxes.times), _period(times)) / 2 + 1e-6
    sent = np.isfinite(boxes.xywh[row]).all(axis=1) & (np.abs(boxes.times[row] - sampled) <= reach)
    whole = np.rint(boxes.xywh[row][sent]).astype(np.int64)
    return len(sampled) + _exp_golomb_bits(np.diff(whole, axis=0, prepend=np.zeros((1, 4), np.int64)))


def _usable(boxes: Boxes, width: int, height: int) -> NDArray[np.bool_]:
    """Rows that hold a box whose centre lies in the picture."""
    x, y, w, h = boxes.xywh.T
    with np.errstate(invalid="ignore"):
        cx, cy = x + w / 2, y + h / 2
        inside = (cx >= 0) & (cx <= width) & (cy >= 0) & (cy <= height)
        return np.isfinite(boxes.xywh).all(axis=1) & (w > 0) & (h > 0) & inside


def _reach(rows: NDArray[np.float64], frames: NDArray[np.float64], origin: str) -> float:
    """Seconds that a box stands for beyond its own time; the only look of a short clip, until the next would be."""
    alone = origin == "found" and len(rows) == 1
    look = min(LOOK, STEP * _period(frames)) if alone else 0.0
    return min(GAP, max(_period(rows), _period(frames), look)) + 1e-6


def _scored(
    boxes: Boxes, usable: NDArray[np.bool_], times: NDArray[np.float64], reach: float
) -> NDArray[np.bool_]:
    """Frames with a face: nearest to a box within one period of the boxes, or in a gap of 2 s or less."""
    row = _nearest(boxes.times, times)
    held = usable[row] & (np.abs(boxes.times[row] - times) <= reach)
    seen = boxes.times[usable]
    after = np.searchsorted(seen, times, side="right")
    within = (after > 0) & (after < len(seen))
    gap = seen[np.minimum(after, len(seen) - 1)] - seen[np.maximum(after - 1, 0)]
    return held | (within & (gap <= GAP + 1e-6))


def _whole(mask: NDArray[np.bool_], hidden: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Those of some frames that are not hidden."""
    if hidden is None or not mask.any():
        return mask
    if not (mask & ~hidden).any():
        raise ClipError("Every picture with a face is damaged.")
    return mask & ~hidden


def _segments(mask: NDArray[np.bool_], times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Number scored frames by segment: a new one after unscored frames or a pause of more than 2 s."""
    follows = np.concatenate(([False], mask[:-1] & (np.diff(times) <= GAP + 1e-6)))
    return np.where(mask, np.cumsum(mask & ~follows) - 1, -1).astype(np.int64)


def _follow(path: NDArray[np.float64], slack: float) -> NDArray[np.float64]:
    """Move only as far as needed to stay within `slack` of `path`, so that small motion moves nothing."""
    out = np.empty_like(path)
    at = path[0]
    for i, to in enumerate(path):
        at = np.clip(at, to - slack, to + slack)
        out[i] = at
    return out


def _median_of_three(path: NDArray[np.float64]) -> NDArray[np.float64]:
    # Imported where a face is tracked: half a second that who only asks what a run holds need not wait for.
    from scipy.ndimage import median_filter

    return np.asarray(median_filter(path, size=(3, 1), mode="nearest"))


def _smooth(raw: NDArray[np.float64], frame_period: float, slack: float) -> NDArray[np.float64]:
    from scipy.ndimage import gaussian_filter1d

    smooth = gaussian_filter1d(raw, _SMOOTHING / max(frame_period, 1e-3), axis=0, mode="nearest")
    return _follow(smooth, slack)


def held(boxes: Boxes, times: NDArray[np.float64], width: int, height: int) -> FaceTrack:
    """A path out of what a receiver found: where its detector misses, the last box stays.

    Before the first one that one stands; where there is none at all, the largest square in the middle of the picture. So every
    frame has a window, and what is scored does not depend on what was found.

    Parameters
    ----------
    boxes : Boxes
        As `find` gives them.
    times : (n,) float64
    width, height : int
    """
    seen = np.flatnonzero(_usable(boxes, width, height))
    if len(seen):
        last = np.searchsorted(seen, np.arange(len(boxes.times)), side="right") - 1
        filled = boxes.xywh[seen[np.maximum(last, 0)]]
    else:
        side = min(width, height)
        square = ((width - side) / 2, (height - side) / 2, side, side)
        filled = np.tile(np.array(square, dtype=np.float64), (len(boxes.times), 1))
    return track(Boxes(boxes.times, filled), times, width, height)


def _require_pixels(boxes: Boxes, width: int, height: int) -> None:
    seen = boxes.xywh[np.isfinite(boxes.xywh).all(axis=1)]
    seen = seen[(seen[:, 2:] > 0).all(axis=1)]
    if not len(seen):
        return
    side = float(np.median(seen[:, 2:].max(axis=1)))
    if side >= _LEAST_SIDE:
        return
    shares = bool((seen[:, :2] + seen[:, 2:] <= _SHARE).all())
    raise ClipError(
        f"The given boxes are {side:.2g} pixels wide in a picture of {width}x{height}: "
        + ("they are most likely shares of the picture (0..1), but " if shares else "they ")
        + "should be pixels of the upright picture."
    )


def track(
    boxes: Boxes,
    times: NDArray[np.float64],
    width: int,
    height: int,
    origin: Literal["given", "found"] = "found",
    hidden: NDArray[np.bool_] | None = None,
) -> FaceTrack:
    """Turn boxes, dense or sparse, into one box size and one smooth path over all frames.

    A frame is scored where a box is near (the nearest row holds one, at most one row's period and 2 s away),
    or inside a gap of at most 2 s between two boxes, through which they are interpolated. All others are
    masked: coded, but not scored. The path is the median of three boxes, a Gaussian of 0.2 s, and then a
    slack of 1 % of the side (at least 1.5 pixels), within which the window stays where it is, so that jitter of
    the boxes costs no bits. Against smoothed boxes of every frame, the path of boxes of every eighth stays
    within 2 % of the face's width in the median, and within 5 % in 95 % of the frames of lively faces.

    Parameters
    ----------
    boxes : Boxes
        Boxes whose centre lies outside the picture count as none.
    times : (n,) float64
        Seconds of every frame, rising.
    width, height : int
        Of the displayed source picture in pixels.
    origin : {"given", "found"}
    hidden : (n,) bool, optional
        Frames that are not scored whatever they show.

    Raises
    ------
    NoFaceError
        If no frame has a face.
    ClipError
        If there are no frames.
    """
    times = np.asarray(times, dtype=np.float64)
    if len(times) == 0:
        raise ClipError("The video has no frames, so there is no face to follow.")
    usable = _usable(boxes, width, height)
    if origin == "given":
        _require_pixels(boxes, width, height)
    if boxes.fleeting and not usable.any():
        raise NoFaceError(
            f"A face was seen in {boxes.fleeting} of {len(boxes.times)} pictures looked at, never long enough to be "
            f"followed ({PERSISTENT} looks, and a third of those it spans); boxes of your own would be used as they are."
        )
    if not usable.any():
        raise NoFaceError(f"No face was {origin} in any of {len(times)} frames of {width}x{height}.")
    reach = _reach(boxes.times, times, origin)
    mask = _whole(_scored(boxes, usable, times, reach), hidden)
    if not mask.any():
        seen = boxes.times[usable]
        raise NoFaceError(
            f"No frame has a face: boxes are {origin} from {seen[0]:.2f} s to {seen[-1]:.2f} s, "
            f"frames last from {times[0]:.2f} s to {times[-1]:.2f} s."
        )
    segment = _segments(mask, times)
    seen, xywh = boxes.times[usable], boxes.xywh[usable]
    side = float(np.median(xywh[:, 2:].max(axis=1)))
    middle = xywh[:, :2] + xywh[:, 2:] / 2
    centre = np.empty((len(times), 2))
    for number in range(segment.max() + 1):
        frames = segment == number
        rows = (seen >= times[frames][0] - reach) & (seen <= times[frames][-1] + reach)
        steady = _median_of_three(middle[rows])
        raw = np.column_stack([np.interp(times[frames], seen[rows], steady[:, axis]) for axis in (0, 1)])
        centre[frames] = _smooth(raw, _period(times), max(_LEAST_SLACK, _SLACK * side))
    last = np.maximum.accumulate(np.where(mask, np.arange(len(times)), -1))
    centre = centre[np.where(last < 0, np.argmax(mask), last)]
    return FaceTrack(
        centre=centre,
        side=side,
        mask=mask,
        segment=segment,
        face_px=float(np.median(xywh[:, 2])),
        origin=origin,
        box_bits=box_bits(Boxes(boxes.times, np.where(usable[:, None], boxes.xywh, np.nan)), times),
    )
