"""Every exception of rdbench, and the exit code that each one becomes.

::

    RdbenchError                70   an error of ours
    ├── InputError               2   bad usage or bad input: one sentence, nothing lost
    ├── ClipError                4   one clip cannot be used; the run goes on
    │   ├── NoFaceError          0   no face in the whole clip: skipped and told
    │   └── NothingToScoreError  0   no label, or none that a recogniser knows: skipped and told
    ├── EncodeError              4   one encode failed; the run goes on
    │   └── EndedError           4   a process was ended before it could tell: nothing may be concluded from it
    ├── WorkersLostError         4   nobody is left to do the rest; what is done is kept
    └── NotComparableError       3   nothing to compare, or not like with like

An encoder's own refusal of a rate is a result, not an exception (``rate_status`` "refused").
"""

from __future__ import annotations

from rdbench.words import printable

__all__ = [
    "ClipError",
    "EncodeError",
    "EndedError",
    "InputError",
    "NoFaceError",
    "NotComparableError",
    "NothingToScoreError",
    "RdbenchError",
    "Terminated",
    "WorkersLostError",
]


class RdbenchError(Exception):
    """The root of everything that rdbench raises on purpose."""

    exit_code = 70

    def __init__(self, *parts: object) -> None:
        # Names of files may be any bytes: tables, terminals and JSON take text alone.
        super().__init__(*(printable(part) if isinstance(part, str) else part for part in parts))


class InputError(RdbenchError):
    """What the user gave cannot be used; the text names it, what was expected, and what to do."""

    exit_code = 2


class ClipError(RdbenchError):
    """One clip cannot be used (damaged file, no video stream, labels that do not fit it)."""

    exit_code = 4


class NoFaceError(ClipError):
    """No face was found anywhere in a clip, so there is nothing to score."""

    exit_code = 0


class NothingToScoreError(ClipError):
    """A clip of which nobody annotated a frame, or whose classes a recogniser does not know."""

    exit_code = 0


class EncodeError(RdbenchError):
    """One encode failed: the encoder crashed, or frames went missing on the way."""

    exit_code = 4


class EndedError(EncodeError):
    """A process was killed, or hung: what it would have told is not known, and must not be taken for "nothing"."""

    def __init__(self, message: str, stderr: str = "") -> None:
        super().__init__(message)
        self.stderr = stderr


class WorkersLostError(RdbenchError):
    """The scheduler of a cluster, or its last worker, is gone; what was finished is kept."""

    exit_code = 4


class Terminated(KeyboardInterrupt):
    """SIGTERM: as an interrupt, but whoever sent it is no person at a keyboard (exit code 143)."""


class NotComparableError(RdbenchError):
    """Two sides share nothing that may be compared."""

    exit_code = 3
