"""Datasets by name, and folders by path."""

from __future__ import annotations

from pathlib import Path

import pytest
from packages import write

from rdbench.datasets.avec2016 import Avec2016Dataset
from rdbench.datasets.folder import FolderDataset
from rdbench.datasets.recola import RecolaDataset
from rdbench.datasets.registry import NAMES, open_dataset
from rdbench.datasets.synthetic import SyntheticDataset
from rdbench.errors import InputError


@pytest.mark.parametrize(
    ("name", "root", "expected"),
    [
        ("synthetic", None, SyntheticDataset(height=360)),
        ("synthetic:720p", None, SyntheticDataset(height=720)),
        ("avec2016", Path("x"), Avec2016Dataset(Path("x"))),
        ("recola", Path("x"), RecolaDataset(Path("x"))),
    ],
)
def test_by_name(name, root, expected):
    dataset = open_dataset(name, root)
    assert dataset == expected
    assert dataset.name == name
    assert name in NAMES


def test_by_path(tmp_path, monkeypatch):
    write(tmp_path / "synthetic" / "a.mp4", "x")
    monkeypatch.chdir(tmp_path)
    assert open_dataset(str(tmp_path / "synthetic")) == FolderDataset(tmp_path / "synthetic")
    assert open_dataset("./synthetic") == FolderDataset(tmp_path / "synthetic")
    assert isinstance(open_dataset("synthetic"), SyntheticDataset)
    assert open_dataset(".").name == tmp_path.name


@pytest.mark.parametrize(
    ("name", "root", "said"),
    [
        ("sinthetic", None, r"neither a dataset nor a folder 'sinthetic'; did you mean 'synthetic'\?"),
        ("AVEC2016", None, r"did you mean 'avec2016'\?"),
        ("/no/such/folder/at/all", None, "neither a dataset nor a folder"),
        ("avec2016", None, "needs --root DIR"),
        ("recola", None, "needs --root DIR"),
        ("synthetic", Path("x"), "--root belongs to the datasets avec2016, recola, affwild2"),
        (".", Path("x"), "--root belongs to"),
    ],
)
def test_what_cannot_be_opened(name, root, said):
    with pytest.raises(InputError, match=said):
        open_dataset(name, root)
