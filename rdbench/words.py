"""Words of messages: the nearest known name for whoever mistyped one, and what a faulty file holds, on one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["as_given", "bare", "did_you_mean", "nearest", "printable", "quoted", "suggestion_among"]

_LONGEST_NAME = 60

_LONGEST_VALUE = 81


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


def suggestion_among(word: str, known: Iterable[str]) -> str:
    """The end of a sentence that says that a name is unknown: the nearest one, and all that are known."""
    names = list(known)
    return f"{did_you_mean(word, names) or '.'} Known: {', '.join(names)}."


def printable(text: str) -> str:
    """Text that can be written anywhere: bytes of names that are no UTF-8, and control characters, as escapes."""
    plain = text.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in plain)


def quoted(name: str) -> str:
    """A name between quotes, cut after 60 characters."""
    text = repr(name)
    return text if len(text) <= _LONGEST_NAME + 2 else f"{text[: _LONGEST_NAME + 1]}…{text[0]}"


def bare(name: str) -> str:
    """A name as it is, or quoted where it is long or cannot be printed."""
    return name if name.isprintable() and len(name) <= _LONGEST_NAME else quoted(name)


def as_given(value: object) -> str:
    """The end of a sentence that repeats what came, such as " (given: 3)".

    Returns
    -------
    str
        Empty where it is long, or neither a word nor a number.
    """
    if not isinstance(value, str | int | float):
        return ""
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more than 4,300 digits
        return ""
    return f" (given: {text})" if len(text) <= _LONGEST_VALUE else ""
