"""What the weights that ship look at: the face, and nothing else of the picture."""

from __future__ import annotations

import numpy as np
import pytest

from rdbench.backends.protocol import Context
from rdbench.backends.registry import find_backend
from rdbench.datasets.synthetic import SyntheticDataset
from rdbench.stats import metrics
from rdbench.stats.intervals import jackknife
from rdbench.sweep.audience import as_float
from rdbench.video.views import face_views

PEOPLE, STRIDE = 12, 3
SIDE = 96


@pytest.fixture(scope="module")
def people():
    """Faces (n, 96, 96) and labels (n, targets) of drawn people that no shipped weights learned from."""
    dataset = SyntheticDataset(360, 3.0)
    found = []
    for name in [info.name for info in dataset.index() if info.partition == "test"][:PEOPLE]:
        clip = dataset.load(name)
        luma = face_views(clip, [1], STRIDE).luma[1]
        found.append((luma, clip.labels.values[::STRIDE][: len(luma)], clip.labels.targets))
    return found


def painted(luma):
    """The face as one grey ellipse; hair, neck and background are left in the corners."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    covered = luma.copy()
    covered[:, (x / 44) ** 2 + (y / 46) ** 2 < 1] = 126
    return covered


def agreement(backend, people, change):
    """CCC of each target over all people together, with the interval over people that holds it 99 times in 100."""
    sums = []
    for luma, labels, targets in people:
        answer = np.asarray(backend.start(Context(1, "face", float(SIDE), 25.0))(as_float(change(luma))))
        columns = [targets.index(name) for name in backend.targets]
        sums.append([metrics.moments(answer[:, i], labels[:, j]) for i, j in enumerate(columns)])
    stats = np.array(sums)
    without = np.array([metrics.ccc(metrics.merge(np.delete(stats, i, axis=0))) for i in range(len(stats))])
    value = metrics.ccc(metrics.merge(stats))
    return value, jackknife(value, without, scale="atanh", level=0.99)


SHIPPED = (
    "direct",
    "hr",
    "separate",
    "separate-tuned",
    "joint",
    "direct-mix",
    "mix-mix",
    "max-mix",
    "coded-mix",
    "wide-mix",
)
"""Recognisers that see a whole face at factor 1; the others are made for blurred ones."""


@pytest.mark.long
@pytest.mark.parametrize("name", SHIPPED)
def test_with_the_face_painted_over_nothing_is_recognised(name, people):
    backend = find_backend(f"{name}@lite", None, "cpu")
    _, seen = agreement(backend, people, lambda luma: luma)
    value, covered = agreement(backend, people, painted)
    assert (seen.low > 0.25).all()
    assert ((covered.low < 0) & (covered.high > 0)).all(), value
