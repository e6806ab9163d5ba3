from __future__ import annotations

import json
import shutil
import struct
import subprocess
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.special import softmax

from rdbench.errors import InputError
from rdbench.faceapi import package
from rdbench.faceapi.networks import answers, descriptors, expression_logits, landmark_points
from rdbench.faceapi.tensors import read_tensors, unpacked

NETWORKS = {
    "expression": (112, expression_logits, 7),
    "landmarks": (112, landmark_points, 136),
    "identity": (150, descriptors, 128),
}
SCRIPT = Path(__file__).with_name("as_the_package_does.mjs")


def pictures(size: int, count: int) -> np.ndarray:
    """Smooth colours, and at every second place a drawn face, with a seed of their own."""
    rng = np.random.default_rng(20260)
    found = []
    for index in range(count):
        small = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
        picture = cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)
        if index % 2:
            middle = size // 2
            cv2.ellipse(picture, (middle, middle), (size // 3, 4 * size // 9), 0, 0, 360, (205, 160, 135), -1)
            for x in (middle - size // 8, middle + size // 8):
                cv2.circle(picture, (x, 2 * size // 5), size // 24, (40, 30, 30), -1)
            cv2.ellipse(
                picture, (middle, 7 * size // 10), (size // 8, size // 20), 0, 0, 180, (150, 50, 60), -1
            )
        found.append(picture)
    return np.stack(found)


def as_float(frames: np.ndarray) -> np.ndarray:
    return frames.astype(np.float32) / np.float32(255)


def test_numbers_are_unpacked_by_their_scale_and_in_their_order():
    manifest = [
        {
            "weights": [
                {"name": "a", "shape": [2, 2], "dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1}},
                {"name": "b", "shape": [1], "dtype": "float32"},
                {"name": "c", "shape": [1], "dtype": "float32", "quantization": {"dtype": "uint16", "scale": 2, "min": 0}},
            ]
        }
    ]  # fmt: skip
    content = bytes([0, 1, 2, 255]) + struct.pack("<f", 0.25) + struct.pack("<H", 300)
    found = unpacked(content, json.dumps(manifest).encode())
    assert found["a"].tolist() == [[-1.0, -0.5], [0.0, 126.5]]
    assert (found["b"].tolist(), found["c"].tolist()) == ([0.25], [600.0])


@pytest.mark.parametrize("name", NETWORKS)
def test_a_frame_is_answered_alike_in_any_company(face_weights, name):
    size, network, outputs = NETWORKS[name]
    tensors, digest = read_tensors(name, None, "cpu")
    frames = as_float(pictures(size, 3))
    together = answers(network, tensors, frames)
    assert together.shape == (3, outputs)
    assert answers(network, tensors, frames[:0]).shape == (0, outputs)
    assert np.abs(together[1:2] - answers(network, tensors, frames[1:2])).max() < 1e-5
    assert package.FILES[f"{package.NETWORKS[name]}.bin"].startswith(digest)


def test_weights_that_are_nowhere_say_how_to_get_them(monkeypatch, tmp_path):
    monkeypatch.setenv("RDBENCH_CACHE", str(tmp_path))
    with pytest.raises(
        InputError, match=r"fetch it once with `rdbench fetch`, offline with `rdbench fetch --from DIR`"
    ):
        read_tensors("expression", None, "cpu")


@pytest.fixture(scope="module")
def theirs(face_weights, tmp_path_factory) -> Path:
    """The whole package, unpacked."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: the package's own program cannot run")
    place = tmp_path_factory.mktemp("package")
    try:
        archive = package._packed(place)
    except InputError as error:
        pytest.skip(f"npm does not bring the package: {error}")
    with tarfile.open(archive) as packed:
        packed.extractall(place, filter="data")
    return place / "package"


@pytest.mark.long
@pytest.mark.parametrize("name", NETWORKS)
def test_the_networks_say_what_the_package_says(theirs, tmp_path, name):
    """Probabilities, points and descriptors of the package's own program in node, on its own arithmetic."""
    size, network, outputs = NETWORKS[name]
    shown = pictures(size, 8)
    (tmp_path / "pictures").write_bytes(shown.tobytes())
    command = ["node", SCRIPT, theirs, tmp_path / "pictures", size, name, tmp_path / "answers"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    expected = np.array(json.loads((tmp_path / "answers").read_text()))
    found = answers(network, read_tensors(name, None, "cpu")[0], as_float(shown))
    if name == "expression":
        found = softmax(found, axis=1)
    assert expected.shape == (8, outputs)
    assert np.ptp(expected, axis=0).max() > 0.1, "the pictures are answered differently"
    assert np.abs(found - expected).max() < 1e-3
    print(name, np.abs(found - expected).max())
