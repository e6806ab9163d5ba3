"""Labelled faces to learn from, made by the sweep's own decoder and scaler.

A network that sees one resampler in training and another in use is measured on the difference of the two.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdbench.errors import ClipError, EncodeError, EndedError, InputError
from rdbench.training.decoded import coded_views
from rdbench.video import labels
from rdbench.video.clip import FACE_SIZE, Clip, ClipInfo, Dataset, Labels
from rdbench.video.labels import shift_labels
from rdbench.video.views import face_views

__all__ = ["FaceSet", "Sampling", "drawn_people", "hold_out", "labelled_with", "load_faces"]


@dataclass(frozen=True)
class FaceSet:
    """Faces of several recordings with their labels; frames without a face or a label are left out.

    Parameters
    ----------
    luma : dict of int to (n, 96, 96) uint8
        By downsampling factor, the Y plane of limited-range BT.709 video, scaled down and up again.
    values : (n, k) float32
        Labels.
    targets : tuple of str
        Names of the k labels.
    subject : (n,) int64
        Index into `subjects`.
    subjects : tuple of str
        In the dataset's order.
    face_px : dict of int to float
        By factor, coded width of the face in pixels, the median over recordings.
    classes : tuple of str
        Of the one target, whose labels are then indices into them.
    units : bool
        Whether targets are there (1) or not (0).
    coded : dict of (int, int) to (n, 96, 96) uint8
        By factor and version, the same faces as codecs leave them; see `rdbench.training.decoded`.
    """

    luma: dict[int, NDArray[np.uint8]]
    values: NDArray[np.float32]
    targets: tuple[str, ...]
    subject: NDArray[np.int64]
    subjects: tuple[str, ...]
    face_px: dict[int, float]
    classes: tuple[str, ...] = ()
    units: bool = False
    coded: dict[tuple[int, int], NDArray[np.uint8]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def planes(self) -> list[NDArray[np.uint8]]:
        """Every view of the faces, uncoded ones first."""
        return [*self.luma.values(), *self.coded.values()]

    def of(self, factors: Sequence[int], versions: int = 0) -> FaceSet:
        """The same frames at some of the factors only, and so many coded versions of each."""
        return replace(
            self,
            luma={factor: self.luma[factor] for factor in factors},
            face_px={factor: self.face_px[factor] for factor in factors},
            coded={
                (factor, version): self.coded[factor, version]
                for factor in factors
                for version in range(versions)
            },
        )

    def where(self, keep: NDArray[np.bool_]) -> FaceSet:
        """Some of the frames."""
        luma = {factor: planes[keep] for factor, planes in self.luma.items()}
        coded = {key: planes[keep] for key, planes in self.coded.items()}
        return replace(self, luma=luma, coded=coded, values=self.values[keep], subject=self.subject[keep])

    def unlabelled(self) -> FaceSet:
        """The same faces without labels: restoring them needs none, and does not depend on them."""
        nothing = np.zeros((len(self), 0), np.float32)
        return FaceSet(self.luma, nothing, (), self.subject, self.subjects, self.face_px)

    def content(self) -> str:
        """Content hash of faces, labels and who they belong to (16 hex digits)."""
        kind = (self.classes, self.units) if self.classes or self.units else ()
        digest = hashlib.sha256(repr((self.targets, self.subjects, *kind)).encode())
        arrays: list[NDArray[Any]] = [self.values, self.subject, *(self.luma[f] for f in sorted(self.luma))]
        arrays += [self.coded[key] for key in sorted(self.coded)]
        for array in arrays:
            digest.update(f"{array.dtype.str}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]


def labelled_with(dataset: Dataset) -> Labels:
    """The labels of a dataset's first train recording that can be read: what is learned, whether it has classes or units.

    Raises
    ------
    InputError
        If it has no train recording, none can be read, or that one has no labels.
    """
    wrong: ClipError | None = None
    for info in _recordings(dataset, "train"):
        try:
            return _labels(dataset.load(info.name), dataset)
        except ClipError as error:
            wrong = wrong or error
    raise InputError(f"No train recording of {dataset.name} can be read: {wrong}")


@dataclass(frozen=True)
class Sampling:
    """What is taken of a partition.

    Parameters
    ----------
    stride : int
        Every n-th frame.
    delay : float
        Seconds that labels are moved back; see `rdbench.video.labels.shift_labels`.
    people, seed : int
        How many subjects, and the number of their draw; see `drawn_people`.
    versions : int
        How often each face is there as codecs leave it; see `rdbench.training.decoded`.
    """

    stride: int = 1
    delay: float = 0.0
    people: int = 0
    seed: int = 0
    versions: int = 0


def load_faces(
    dataset: Dataset,
    partition: str,
    factors: Sequence[int],
    targets: Sequence[str],
    sampling: Sampling = Sampling(),
    progress: Callable[[str], None] = lambda text: None,
) -> FaceSet:
    """Crop, scale and label the faces of a partition, or of some of its people.

    Parameters
    ----------
    dataset : Dataset
    partition : {"train", "dev", "test"}
    factors : sequence of int
    targets : sequence of str
        Which labels, in this order.
    sampling : Sampling
    progress : callable
        Called with one line for each recording.

    Raises
    ------
    InputError
        If there is no such partition, target or label, or no recording can be used.
    """
    recordings = drawn_people(_recordings(dataset, partition), sampling.people, sampling.seed)
    subjects = tuple(dict.fromkeys(info.subject for info in recordings))
    luma: dict[int, list[NDArray[np.uint8]]] = {factor: [] for factor in factors}
    coded: dict[tuple[int, int], list[NDArray[np.uint8]]] = {}
    values, subject = [], []
    kind: tuple[tuple[str, ...], bool] | None = None
    for number, info in enumerate(recordings, 1):
        try:
            clip = dataset.load(info.name)
            gold = shift_labels(_labels(clip, dataset, targets), sampling.delay)
            # The one place where training meets pictures: the sweep's own way to them.
            views = face_views(clip, factors, sampling.stride)
            decoded = coded_views(clip, factors, sampling.stride, sampling.versions)
            joined = labels.join(gold, views.times).values
        except EndedError:
            raise  # the clip is good, and the next call finds what is there already
        except (ClipError, EncodeError) as error:
            progress(f"{info.name} is left out: {error}")
            continue
        own = gold.classes, gold.units
        kind = kind or own
        if own != kind:
            raise InputError(
                f"{info.name} of {dataset.name} has other classes ({', '.join(own[0]) or 'none'}) than the recordings before "
                f"it ({', '.join(kind[0]) or 'none'}); one network learns one kind of label."
            )
        columns = joined[:, [gold.targets.index(target) for target in targets]]
        keep = np.flatnonzero(views.mask & np.isfinite(columns).all(axis=1))
        if not len(keep):
            progress(f"{info.name} is left out: no frame has both a face and a label")
            continue
        for factor in factors:
            luma[factor].append(views.luma[factor][keep])
        for key, planes in decoded.items():
            coded.setdefault(key, []).append(planes[keep])
        values.append(columns[keep].astype(np.float32))
        subject.append(np.full(len(keep), subjects.index(info.subject)))
        progress(f"{info.name}: {len(keep)} faces ({number} of {len(recordings)} recordings of {partition})")
    if not values:
        raise InputError(
            f"No {partition} recording of {dataset.name} has a frame with both a face and labels for "
            f"{' and '.join(targets)}; see the lines above."
        )
    return FaceSet(
        {factor: np.concatenate(parts) for factor, parts in luma.items()},
        np.concatenate(values),
        tuple(targets),
        np.concatenate(subject).astype(np.int64),
        subjects,
        {factor: FACE_SIZE / factor for factor in factors},
        *(kind or ((), False)),
        {key: np.concatenate(parts) for key, parts in coded.items()},
    )


def drawn_people(recordings: Sequence[ClipInfo], people: int, seed: int) -> list[ClipInfo]:
    """The recordings of some subjects: each seed has its own, as long as there are enough of them.

    An interval over seeds that all learned from the same people does not hold what other people would have taught.

    Parameters
    ----------
    recordings : sequence of ClipInfo
    people : int
        How many subjects; all where it is 0, or there are no more.
    seed : int
        Seeds take their shares of one fixed order in turn, and begin again at its end.
    """
    subjects = list(dict.fromkeys(info.subject for info in recordings))
    if not people or people >= len(subjects):
        return list(recordings)
    order = np.random.default_rng(0).permutation(len(subjects))
    chosen = {subjects[order[(seed * people + number) % len(subjects)]] for number in range(people)}
    return [info for info in recordings if info.subject in chosen]


def hold_out(faces: FaceSet) -> tuple[FaceSet, FaceSet]:
    """Split off a fixed quarter of the subjects, every fourth in the dataset's order (at least one).

    An epoch chosen on them leaves dev untouched where dev is what will be reported.

    Returns
    -------
    FaceSet, FaceSet
        What is learned from, and what the epoch is chosen on; no subject is in both.

    Raises
    ------
    InputError
        If there are fewer than two subjects.
    """
    present = np.unique(faces.subject)
    if len(present) < 2:
        raise InputError(
            "A quarter of the train subjects is to be held out, but there is only one; choose the epoch on dev."
        )
    held = present[3::4] if len(present) >= 4 else present[-1:]
    chosen = np.isin(faces.subject, held)
    return faces.where(~chosen), faces.where(chosen)


def _recordings(dataset: Dataset, partition: str) -> list[ClipInfo]:
    found = [info for info in dataset.index() if info.partition == partition]
    if not found:
        raise InputError(
            f"{dataset.name} has no recordings in its {partition} partition; training needs train and dev "
            "(a folder names them in manifest.csv, a published set in partitions.csv)."
        )
    return found


def _labels(clip: Clip, dataset: Dataset, targets: Sequence[str] = ()) -> Labels:
    if clip.labels is None:
        raise InputError(f"{clip.name} of {dataset.name} has no labels; training needs them.")
    for target in targets:
        if target not in clip.labels.targets:
            raise InputError(
                f"{clip.name} of {dataset.name} has no target '{target}'; it has "
                f"{', '.join(clip.labels.targets)}."
            )
    return clip.labels
