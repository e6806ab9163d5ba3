"""Sets whose names of files say everything: RAVDESS, CREMA-D and MEAD. Each recording has one class and one actor."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rdbench.datasets.published.common import (
    EXPRESSIONS,
    Entry,
    PublishedDataset,
    counted,
    named,
    one_class,
)
from rdbench.errors import InputError
from rdbench.video.clip import Labels

__all__ = ["LAYOUTS", "ByNameDataset", "Layout"]


@dataclass(frozen=True)
class Layout:
    """How a set names its recordings.

    Parameters
    ----------
    pattern : Pattern
        Of the path below the set's folder, with the groups ``subject`` and ``word``, and ``take`` for what one recording that
        is there twice (with and without sound) has in common.
    words : dict
        Class by what the name has for it.
    example : str
    """

    pattern: re.Pattern[str]
    words: dict[str, str]
    example: str

    @property
    def classes(self) -> tuple[str, ...]:
        """All classes, those that other sets have too first."""
        own = set(self.words.values())
        return (*(name for name in EXPRESSIONS if name in own), *sorted(own - set(EXPRESSIONS)))


_VIDEO = r"\.(?:mp4|flv|avi|mov|mkv|webm)"

LAYOUTS = {
    # Modality (01 with sound, 02 without, 03 sound alone), channel, emotion, intensity, statement, repetition, actor.
    "ravdess": Layout(
        re.compile(
            rf"(?:.*/)?0[12]-(?P<take>0[12]-(?P<word>0[1-8])-0[12]-0[12]-0[12]-(?P<subject>\d\d)){_VIDEO}",
            re.I,
        ),
        {
            "01": "neutral",
            "02": "calm",
            "03": "happy",
            "04": "sad",
            "05": "angry",
            "06": "fearful",
            "07": "disgusted",
            "08": "surprised",
        },
        "Actor_01/01-01-03-01-02-01-01.mp4",
    ),
    # Actor, sentence, emotion, intensity.
    "crema-d": Layout(
        re.compile(
            rf"(?:.*/)?(?P<take>(?P<subject>\d{{4}})_[A-Z]{{3}}_(?P<word>ANG|DIS|FEA|HAP|NEU|SAD)_(?:LO|MD|HI|XX?)){_VIDEO}",
            re.I,
        ),
        {
            "ang": "angry",
            "dis": "disgusted",
            "fea": "fearful",
            "hap": "happy",
            "neu": "neutral",
            "sad": "sad",
        },
        "VideoFlash/1001_DFA_ANG_XX.flv",
    ),
    # Actor, view, emotion, intensity, number. Other views than from the front show no frontal face.
    "mead": Layout(
        re.compile(
            r"(?:.*/)?(?P<take>(?P<subject>[MW]\d{3})/video/front/"
            rf"(?P<word>angry|contempt|disgusted|fear|happy|neutral|sad|surprised)/level_\d/\d+){_VIDEO}",
            re.I,
        ),
        {
            **{
                name: name
                for name in ("angry", "contempt", "disgusted", "happy", "neutral", "sad", "surprised")
            },
            "fear": "fearful",
        },
        "M003/video/front/angry/level_1/001.mp4",
    ),
}


@dataclass(frozen=True)
class ByNameDataset(PublishedDataset):
    """Recordings of actors, each with one class; the set has no partitions, see `PublishedDataset`.

    Parameters
    ----------
    root : Path
    name : {"ravdess", "crema-d", "mead"}
    """

    @property
    def _layout(self) -> Layout:
        return LAYOUTS[self.name]

    def found(self) -> list[Entry]:
        """Every video whose path is of the set's form; of one with and one without sound, the first.

        Raises
        ------
        InputError
            If there is none, or one recording is there twice.
        """
        takes: dict[str, Entry] = {}
        for path in self.videos():
            below = path.relative_to(self.root).as_posix()
            match = self._layout.pattern.fullmatch(below)
            if match is None:
                continue
            take = match["take"].replace("/", "_")
            entry = Entry(
                named(take, match["subject"]),
                self.within(path),
                word=self._layout.words[match["word"].casefold()],
            )
            other = takes.setdefault(take.casefold(), entry)
            if other is not entry and other.file.name == path.name:
                raise InputError(f"{self.root}: {other.file} and {path} are the same recording; keep one.")
        if not takes:
            raise InputError(
                f"{self.root} has no recording such as {self._layout.example}, so it is not the set {self.name}; --root "
                "names the folder that holds it."
            )
        return [takes[take] for take in sorted(takes)]

    def labels_of(self, entry: Entry) -> Labels:
        """The class that the name says."""
        return one_class(entry.word, self._layout.classes)

    def notes(self) -> list[str]:
        """What takes no part, and partitions."""
        used = {entry.file for entry in self.found()}
        spare = [path.relative_to(self.root).as_posix() for path in self.videos() if path not in used]
        why = f"no part: named otherwise than {self._layout.example}, or there twice"
        return [*counted(spare, f"other video takes {why}", f"other videos take {why}"), *super().notes()]
