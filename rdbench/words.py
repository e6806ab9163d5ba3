"""The nearest known name, for whoever mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["did_you_mean", "nearest"]


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that a word was most likely meant to be, letter case aside; None where none is near.

    Parameters
    ----------
    word : str
    known : iterable of str
        Of names that are equal but for letter case, the first is taken.
    """
    folded: dict[str, str] = {}
    for name in known:
        folded.setdefault(name.casefold(), name)
    near = difflib.get_close_matches(word.casefold(), folded, n=1)
    return folded[near[0]] if near else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a sentence that says what is wrong: "; did you mean 'x265'?", or nothing where none is near."""
    near = nearest(word, known)
    return "" if near is None else f"; did you mean {near!r}?"
