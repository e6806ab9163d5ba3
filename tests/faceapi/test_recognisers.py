from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from rdbench.backends.conformance import check_backend
from rdbench.backends.protocol import Context
from rdbench.backends.registry import find_backend
from rdbench.cli.group import main
from rdbench.errors import InputError
from rdbench.faceapi import package
from rdbench.faceapi.recognisers import face_measures


@pytest.mark.long
@pytest.mark.parametrize("name", ["expression", "landmarks", "identity"])
def test_they_keep_to_the_protocol(face_weights, name):
    backend = find_backend(name)
    assert check_backend(backend) == []
    assert (backend.name, backend.input.independent) == (name, True)
    with pytest.raises(InputError, match="has no sizes"):
        find_backend(f"{name}@lite")


@pytest.mark.parametrize(("name", "outputs"), [("expression", 7), ("landmarks", 4), ("identity", 128)])
def test_they_are_opened_by_name_and_answer_frame_by_frame(face_weights, name, outputs):
    backend = find_backend(name)
    size = backend.input.size
    frames = np.random.default_rng(5).random((2, size, size, 3), dtype=np.float32)
    found = backend.start(Context(1, "face", 96.0, 25.0))(frames)
    assert found.shape == (2, outputs)
    assert np.isfinite(found).all()
    if backend.classes:
        assert found.sum(axis=1) == pytest.approx([1, 1])


def face(mouth=0.0, lids=10.0, brows=0.0, smile=0.0) -> np.ndarray:
    """68 points of a face whose outer corners of the eyes are 100 apart."""
    points = np.zeros((68, 2))
    for first, left in ((36, 0.0), (42, 70.0)):
        points[first : first + 6] = [
            *((left, 0), (left + 10, -lids / 2), (left + 20, -lids / 2)),
            *((left + 30, 0), (left + 20, lids / 2), (left + 10, lids / 2)),
        ]
    points[17:22, 1] = points[22:27, 1] = -20 - brows
    points[48], points[54] = (25 - smile / 2, 80), (75 + smile / 2, 80)
    points[62], points[66] = (50, 80 - mouth / 2), (50, 80 + mouth / 2)
    return points


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, [0, 1 / 3, 0.2, 0.5]),
        ({"mouth": 30}, [0.3, 1 / 3, 0.2, 0.5]),
        ({"lids": 0}, [0, 0, 0.2, 0.5]),
        ({"brows": 10}, [0, 1 / 3, 0.3, 0.5]),
        ({"smile": 20}, [0, 1 / 3, 0.2, 0.7]),
    ],
)
def test_each_measure_follows_one_part_of_the_face_alone(change, expected):
    assert face_measures(face(**change)[None])[0] == pytest.approx(expected)


def test_neither_size_nor_place_nor_tilt_of_the_head_moves_them():
    points = face(mouth=12, brows=3, smile=4)
    angle = np.deg2rad(25)
    turned = points @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    assert face_measures((0.03 * turned + 7)[None]) == pytest.approx(face_measures(points[None]))


def test_a_face_without_any_extent_is_no_error():
    assert np.isfinite(face_measures(np.zeros((2, 68, 2)))).all()


def test_a_run_that_cannot_have_its_weights_says_so_in_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("RDBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(package, "find_npm", lambda: None)
    answer = CliRunner().invoke(main, ["run", "--backend", "expression", "--out", str(tmp_path / "run")])
    assert answer.exit_code == 2
    said = answer.stderr.splitlines()[-1]
    assert said.startswith("rdbench: There is no npm to fetch @vladmandic/face-api@1.7.15 with")
    assert not (tmp_path / "run").exists()


def test_fetch_tells_where_the_weights_lie(face_weights, monkeypatch, tmp_path):
    there = package.folder()
    monkeypatch.setenv("RDBENCH_CACHE", str(tmp_path))
    answer = CliRunner().invoke(main, ["fetch", "--from", str(there)])
    assert (answer.exit_code, answer.output.strip()) == (0, str(package.folder()))
    assert package.is_complete()
    assert "real faces" in CliRunner().invoke(main, ["list", "backends"]).output
