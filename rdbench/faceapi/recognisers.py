"""What rdbench measures of the networks: expressions, how far a face's parts are open, raised or wide, and who it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor

from rdbench.backends.protocol import Backend, Context, Input, Session
from rdbench.errors import InputError
from rdbench.faceapi.networks import answers, descriptors, expression_logits, landmark_points
from rdbench.faceapi.tensors import read_tensors

__all__ = ["Expression", "Identity", "Landmarks", "expression", "face_measures", "identity", "landmarks"]

SEEN = Input(size=112, colour="rgb", margin=0.0, independent=True)
"""One view serves both, so that it is cut and scaled once."""

_TINY = 1e-6


class Expression:
    """Seven probabilities for each face; frames are independent.

    Parameters
    ----------
    tensors : dict of str to Tensor
        In torch's order of axes.
    weights : str
        Their content hash.
    """

    name = "expression"
    input = SEEN
    targets: tuple[str, ...] = ("expression",)
    classes: tuple[str, ...] = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
    trained_on = "real faces of several public sets (face-api, MIT)"

    def __init__(self, tensors: dict[str, Tensor], weights: str) -> None:
        self.weights = weights
        self._tensors = tensors

    def start(self, context: Context) -> Session:
        """Begin a segment; there is nothing to forget."""

        def session(frames: NDArray[np.float32]) -> NDArray[np.float64]:
            return softmax(answers(expression_logits, self._tensors, frames), axis=1)

        return session


class Landmarks:
    """What the face does, in real values, from 68 points; frames are independent.

    Parameters
    ----------
    tensors : dict of str to Tensor
    weights : str
    """

    name = "landmarks"
    input = SEEN
    targets: tuple[str, ...] = ("mouth_opening", "eye_opening", "brow_raise", "smile_width")
    classes: tuple[str, ...] = ()
    agreement = True
    trained_on = "real faces with 68 points each (face-api, MIT)"

    def __init__(self, tensors: dict[str, Tensor], weights: str) -> None:
        self.weights = weights
        self._tensors = tensors

    def start(self, context: Context) -> Session:
        """Begin a segment; there is nothing to forget."""

        def session(frames: NDArray[np.float32]) -> NDArray[np.float64]:
            return face_measures(answers(landmark_points, self._tensors, frames).reshape(-1, 68, 2))

        return session


class Identity:
    """Who it is: a descriptor of each face, compared with that of the same pristine frame; frames are independent.

    Parameters
    ----------
    tensors : dict of str to Tensor
    weights : str
    """

    name = "identity"
    input = Input(size=150, colour="rgb", margin=0.0, independent=True)
    targets: tuple[str, ...] = ("similarity",)
    classes: tuple[str, ...] = ()
    descriptor = 128
    agreement = True
    trained_on = "real faces of many people (dlib's face descriptor, in face-api, MIT)"

    def __init__(self, tensors: dict[str, Tensor], weights: str) -> None:
        self.weights = weights
        self._tensors = tensors

    def start(self, context: Context) -> Session:
        """Begin a segment; there is nothing to forget."""

        def session(frames: NDArray[np.float32]) -> NDArray[np.float64]:
            return answers(descriptors, self._tensors, frames)

        return session


def face_measures(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measures that neither the face's size nor its tilt in the picture changes.

    All but the second are in units of the distance between the outer corners of the eyes, by which errors of landmarks are
    measured (Sagonas et al. 2013, 300 Faces in the Wild).

    Parameters
    ----------
    points : (n, 68, 2) float64
        In the order of Multi-PIE, in any unit.

    Returns
    -------
    (n, 4) float64
        How far the lips are apart; how far the eyes are open (the eye aspect ratio of Soukupova and Cech 2016, mean of both); how
        high the brows stand above the eyes, at right angles to the line through these; how far the corners of the mouth are apart.
    """
    left, right = points[:, 36:42], points[:, 42:48]
    across = points[:, 45] - points[:, 36]
    unit = np.maximum(np.linalg.norm(across, axis=1), _TINY)
    up = np.stack([across[:, 1], -across[:, 0]], axis=1) / unit[:, None]
    above = [
        np.sum((points[:, brow].mean(axis=1) - eye.mean(axis=1)) * up, axis=1)
        for brow, eye in ((slice(17, 22), left), (slice(22, 27), right))
    ]
    lips, corners = _distance(points, 62, 66), _distance(points, 48, 54)
    eyes = (_aspect(left) + _aspect(right)) / 2
    return np.stack([lips / unit, eyes, sum(above) / 2 / unit, corners / unit], axis=1)


def _distance(points: NDArray[np.float64], one: int, other: int) -> NDArray[np.float64]:
    return np.linalg.norm(points[:, one] - points[:, other], axis=1)


def _aspect(eye: NDArray[np.float64]) -> NDArray[np.float64]:
    high = _distance(eye, 1, 5) + _distance(eye, 2, 4)
    return high / np.maximum(2 * _distance(eye, 0, 3), _TINY)


def expression(size: str | None, weights: Path | None, device: str) -> Backend:
    """Open ``expression``; see `rdbench.backends.protocol.Opener`."""
    _refuse_sizes("expression", size)
    return Expression(*read_tensors("expression", weights, device))


def landmarks(size: str | None, weights: Path | None, device: str) -> Backend:
    """Open ``landmarks``; see `rdbench.backends.protocol.Opener`."""
    _refuse_sizes("landmarks", size)
    return Landmarks(*read_tensors("landmarks", weights, device))


def identity(size: str | None, weights: Path | None, device: str) -> Backend:
    """Open ``identity``; see `rdbench.backends.protocol.Opener`."""
    _refuse_sizes("identity", size)
    return Identity(*read_tensors("identity", weights, device))


def _refuse_sizes(name: str, size: str | None) -> None:
    if size is not None:
        raise InputError(f"There is no '{name}@{size}': {name} has no sizes; ask for '{name}'.")
