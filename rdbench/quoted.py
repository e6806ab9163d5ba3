"""What a faulty file holds, as a message shows it: on one line, escaped once, never at full length."""

from __future__ import annotations

__all__ = ["as_given", "bare", "quoted"]

_LONGEST_NAME = 60
_LONGEST_VALUE = 81


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
