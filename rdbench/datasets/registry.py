"""Datasets by name; anything else is a folder of clips."""

from __future__ import annotations

from pathlib import Path

from rdbench.datasets.folder import FolderDataset
from rdbench.datasets.synthetic import HEIGHTS, SyntheticDataset
from rdbench.errors import InputError
from rdbench.video.clip import Dataset
from rdbench.words import did_you_mean

__all__ = ["NAMES", "is_embedded", "open_dataset"]

NAMES = ("synthetic", "synthetic:720p", "avec2016", "recola")


def open_dataset(name_or_path: str, root: Path | None = None, *, follow_links: bool = False) -> Dataset:
    """Open a dataset by its name, or a folder of clips, or one clip, by its path.

    A name wins over a folder of the same name; write ``./synthetic`` for the folder.

    Parameters
    ----------
    name_or_path : str
        One of `NAMES`, or a path.
    root : Path or None
        Where the packages ``avec2016`` and ``recola`` lie; no other dataset has one.
    follow_links : bool
        Whether symbolic links may lead out of a folder of clips.

    Raises
    ------
    InputError
        If there is neither such a dataset nor such a folder, or a root is missing or too many.
    """
    if name_or_path in ("avec2016", "recola"):
        if root is None:
            raise InputError(
                f"The dataset {name_or_path} needs --root DIR, the folder where its package was unpacked."
            )
        return _package(name_or_path, root)
    if root is not None:
        raise InputError(
            f"--root belongs to the datasets avec2016 and recola, not to {name_or_path!r}; leave it out."
        )
    if is_embedded(name_or_path):
        return SyntheticDataset(height=720 if name_or_path.endswith("720p") else 360)
    path = Path(name_or_path)
    if not path.exists():
        raise InputError(
            f"There is neither a dataset nor a folder {name_or_path!r}{did_you_mean(name_or_path, NAMES) or '.'} "
            f"Datasets are {', '.join(NAMES)}."
        )
    if path.is_file():
        return FolderDataset(path.absolute().parent, only=path.name, follow_links=follow_links)
    return FolderDataset(path.absolute(), follow_links=follow_links)


def is_embedded(name: str) -> bool:
    """Whether a name is that of a set that the project draws: pictures alike, which one bitrate grid serves."""
    return name in HEIGHTS.values()


def _package(name: str, root: Path) -> Dataset:
    if name == "avec2016":
        from rdbench.datasets.avec2016 import Avec2016Dataset

        return Avec2016Dataset(root)
    from rdbench.datasets.recola import RecolaDataset

    return RecolaDataset(root)
