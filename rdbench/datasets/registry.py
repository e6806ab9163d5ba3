"""Datasets by name; anything else is a folder of clips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rdbench.datasets.folder import FolderDataset
from rdbench.datasets.names import NAMES, PACKAGES
from rdbench.datasets.synthetic import HEIGHTS, SyntheticDataset
from rdbench.errors import InputError
from rdbench.video.clip import Dataset
from rdbench.words import did_you_mean

if TYPE_CHECKING:
    from rdbench.datasets.package import Inspection
    from rdbench.datasets.published.common import PublishedDataset

__all__ = ["NAMES", "PACKAGES", "inspect_package", "is_embedded", "open_dataset"]


def open_dataset(name_or_path: str, root: Path | None = None, *, follow_links: bool = False) -> Dataset:
    """Open a dataset by its name, or a folder of clips, or one clip, by its path.

    A name wins over a folder of the same name; write ``./synthetic`` for the folder.

    Parameters
    ----------
    name_or_path : str
        One of `NAMES`, or a path.
    root : Path or None
        Where one of `PACKAGES` lies; no other dataset has one.
    follow_links : bool
        Whether symbolic links may lead out of a folder of clips or a published set.

    Raises
    ------
    InputError
        If there is neither such a dataset nor such a folder, or a root is missing or too many.
    """
    if name_or_path in PACKAGES:
        if root is None:
            raise InputError(
                f"The dataset {name_or_path} needs --root DIR, the folder where its package was unpacked."
            )
        return _package(name_or_path, root, follow_links)
    if root is not None:
        raise InputError(
            f"--root belongs to the datasets {', '.join(PACKAGES)}, not to {name_or_path!r}; leave it out."
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


def _package(name: str, root: Path, follow_links: bool) -> Dataset:
    if name == "avec2016":
        from rdbench.datasets.avec2016 import Avec2016Dataset

        return Avec2016Dataset(root)
    if name == "recola":
        from rdbench.datasets.recola import RecolaDataset

        return RecolaDataset(root)
    return _published(name, root, follow_links)


def _published(name: str, root: Path, follow_links: bool) -> PublishedDataset:
    if name.startswith("affwild2"):
        from rdbench.datasets.published.aff_wild2 import AffWild2Dataset

        return AffWild2Dataset(root, name, follow_links)
    if name == "afew-va":
        from rdbench.datasets.published.afew_va import AfewVaDataset

        return AfewVaDataset(root, name, follow_links)
    if name.startswith("ck+"):
        from rdbench.datasets.published.ck_plus import CkPlusDataset

        return CkPlusDataset(root, name, follow_links)
    from rdbench.datasets.published.by_name import ByNameDataset

    return ByNameDataset(root, name, follow_links)


def inspect_package(name: str, root: Path, *, look: bool = True, follow_links: bool = False) -> Inspection:
    """Check one of `PACKAGES` before a long run; see `rdbench.datasets.package.inspect`.

    Raises
    ------
    InputError
        If the folder is not the package.
    """
    if name in ("avec2016", "recola"):
        from rdbench.datasets import avec2016, recola

        return (avec2016 if name == "avec2016" else recola).inspect_package(root, look=look)
    from rdbench.datasets import package

    dataset = _published(name, root, follow_links)
    needed = tuple(dict.fromkeys(info.partition for info in dataset.index()))
    return package.inspect(dataset, dataset.files(), dataset.notes(), look=look, needed=needed)
