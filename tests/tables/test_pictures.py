from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from rdbench.errors import InputError
from rdbench.tables.pictures import KINDS, encode_png, read_picture, read_samples, write_samples


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)], ids=["grey", "rgb"])
def test_pictures_come_back_as_they_were(tmp_path, shape):
    random = np.random.default_rng(1)
    pictures = {kind: random.integers(0, 256, shape, dtype=np.uint8) for kind in KINDS}
    write_samples(tmp_path, "a1b2", pictures, 12)
    found = read_samples(tmp_path)
    assert list(found) == ["a1b2"]
    for kind in KINDS:
        assert (read_picture(found["a1b2"][kind]) == pictures[kind]).all()
    assert Image.open(io.BytesIO(found["a1b2"]["input"])).text == {"frame": "12"}


def test_equal_pictures_are_equal_files_and_nothing_else_is_left(tmp_path):
    picture = np.arange(64, dtype=np.uint8).reshape(8, 8)
    assert encode_png(picture) == encode_png(picture.copy(order="F"))
    write_samples(tmp_path, "x", {"input": encode_png(picture)})
    write_samples(tmp_path, "x", {"input": picture})
    assert [file.name for file in (tmp_path / "samples").iterdir()] == ["x.input.png"]


def test_a_run_without_samples_has_none(tmp_path):
    assert read_samples(tmp_path) == {}


def test_other_files_are_no_samples(tmp_path):
    write_samples(tmp_path, "x", {"input": np.zeros((2, 2), np.uint8)})
    for name in ("notes.txt", ".y.input.png.9.part", "y.other.png", "a b.input.png"):
        (tmp_path / "samples" / name).write_bytes(b"?")
    assert list(read_samples(tmp_path)) == ["x"]


@pytest.mark.parametrize("name", ["../x", "", "a/b", "a.b"])
def test_a_name_cannot_leave_the_folder(tmp_path, name):
    with pytest.raises(ValueError, match="not the name of a sample"):
        write_samples(tmp_path / "run", name, {"input": np.zeros((2, 2), np.uint8)})


@pytest.mark.parametrize("picture", [np.zeros((2, 2)), np.zeros((2, 2, 4), np.uint8), np.zeros(4, np.uint8)])
def test_what_is_no_picture_is_refused(picture):
    with pytest.raises(ValueError, match="uint8"):
        encode_png(picture)


def test_a_damaged_file_is_named():
    good = encode_png(np.zeros((40, 40), np.uint8))
    for data in (b"", b"<svg/>", good[:50]):
        with pytest.raises(InputError, match=r"is not a PNG"):
            read_picture(data)
    with pytest.raises(InputError, match="5000x2"):
        read_picture(encode_png(np.zeros((2, 5000), np.uint8)))
