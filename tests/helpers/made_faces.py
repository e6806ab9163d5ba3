"""Faces that a network can learn from in seconds, and the recipe for it."""

from __future__ import annotations

import numpy as np

from rdbench.backends.weights import Recipe
from rdbench.training.examples import FaceSet


def recipe(**changes):
    given = {"backend": "direct", "size": "lite", "factors": (4,), "targets": ("up", "side")}
    return Recipe(**(given | {"epochs": 3, "batch": 16, "dtype": "float32"} | changes))


def blobs(n, seed, factors=(4,), subjects=4):
    """Faces in place of which a bright spot moves; its height and its distance from the middle are the labels."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(-1, 1, (n, 2)).astype(np.float32)
    grid = np.arange(96)
    rows = np.exp(-(((grid - (48 - 30 * values[:, :1])) / 10) ** 2))
    columns = np.exp(-(((grid - (48 + 20 * (values[:, 1:] + 1))) / 10) ** 2))
    planes = (16 + 200 * rows[:, :, None] * columns[:, None, :]).astype(np.uint8)
    subject = np.arange(n) % subjects
    names = tuple(f"{seed}-{number}" for number in range(subjects))
    luma = dict.fromkeys(factors, planes)
    return FaceSet(luma, values, ("up", "side"), subject, names, {f: 96 / f for f in factors})
