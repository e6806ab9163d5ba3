"""Files: written beside their place and then renamed; TOML of unknown origin, read with every fault told."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from rdbench.errors import InputError
from rdbench.words import as_given, bare, did_you_mean, nearest, quoted

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

    Model = TypeVar("Model", bound=BaseModel)

__all__ = ["Place", "digest_of", "faults_of", "parse_toml", "read_toml", "replacing"]

MOST_BYTES = 1 << 20
_MOST_FAULTS = 12
_LONGEST_FAULT = 300

# What pydantic puts into a place to name one of several types that a value may have.
_BRANCH = re.compile(r"(constrained-|function-|(tuple|dict|list|set|literal|nullable|union)\[).*", re.DOTALL)
_KEY = "[key]"

Place = tuple[int | str, ...]


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """A place beside a file to write to: at the block's end it becomes the file, in one step.

    A killed process leaves the file as it was; a block that raises leaves nothing. Its name is unique, so that
    several processes may write one file, and ends as the file's does, since programs choose formats by that.

    Parameters
    ----------
    path : Path
        Its folder is made where it is missing.
    durable : bool
        Whether the content reaches the disk before the name does: after a power cut a file that was renamed may be
        empty otherwise.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{uuid.uuid4().hex}.part{path.suffix}")
    try:
        yield part
        if durable:
            with part.open("rb+") as written:
                os.fsync(written.fileno())
        os.replace(part, path)
    finally:
        # Where the folder is gone or cannot be changed any more, what went wrong before is what counts.
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def digest_of(file: Path) -> str:
    """SHA-256 of a file's content, read once for as long as the system says that the file is as it was.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    stat = file.stat()
    return _digest(file, (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino))


@functools.lru_cache(maxsize=65536)
def _digest(file: Path, state: tuple[int, ...]) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_toml(
    file: Path | Traversable,
    model: type[Model],
    *,
    name: str,
    what: str,
    most: int = MOST_BYTES,
    defaults: Mapping[str, Any] | None = None,
    where: Callable[[Place], str] | None = None,
) -> Model:
    """Read a TOML file of unknown origin as what it should be; see `parse_toml`.

    Raises
    ------
    InputError
        If it cannot be read, or for what `parse_toml` refuses.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror or error}.") from error
    return parse_toml(content, model, name=name, what=what, most=most, defaults=defaults, where=where)


def parse_toml(
    content: bytes | str,
    model: type[Model],
    *,
    name: str,
    what: str,
    most: int = MOST_BYTES,
    defaults: Mapping[str, Any] | None = None,
    where: Callable[[Place], str] | None = None,
) -> Model:
    """Hold TOML of unknown origin to what it should be.

    Parameters
    ----------
    content : bytes or str
    model : type of pydantic model
    name : str
        Of the file, in messages.
    what : str
        What to do where it is too long, or what it should be.
    most : int
        Bytes that it may have.
    defaults : mapping, optional
        Values of keys that the file may leave out.
    where : callable, optional
        Words for a place in the file; by default its parts joined by dots.

    Raises
    ------
    InputError
        If it is too long, no TOML in UTF-8, or not valid; the text names the file and all faults.
    """
    import tomllib

    from pydantic import ValidationError

    if len(content) > most:
        raise InputError(f"{name} has more than {most} bytes; {what}.")
    try:
        table = tomllib.loads(content.decode("utf-8") if isinstance(content, bytes) else content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not TOML in UTF-8: {_one_line(str(error))}.") from error
    try:
        return model.model_validate({**(defaults or {}), **table})
    except ValidationError as error:
        raise InputError(f"{name}: {faults_of(error, model, where)}.") from error
    except RecursionError as error:
        raise InputError(f"{name}: it is nested too deeply.") from error


def faults_of(
    error: ValidationError, model: type[BaseModel], where: Callable[[Place], str] | None = None
) -> str:
    """All faults of what was held to a model, each once; those that only follow from others are left out.

    Parameters
    ----------
    error : pydantic.ValidationError
    model : type of pydantic model
    where : callable, optional
        Words for a place in it; by default its parts joined by dots.
    """
    listed: dict[Place, list[tuple[Place, Mapping[str, Any]]]] = {}
    for fault in error.errors(include_url=False, include_context=False):
        place = tuple(
            part for part in fault["loc"] if not (isinstance(part, str) and _BRANCH.fullmatch(part))
        )
        listed.setdefault(place, []).append((place, fault))
    unknown = {place for place, faults in listed.items() if faults[0][1]["type"] == "extra_forbidden"}
    meant = {(*place[:-1], _nearest_field(model, place)) for place in unknown}
    bad_keys = {place[:-1] for place in listed if place[-1:] == (_KEY,)}
    texts: dict[str, None] = {}
    for place, faults in sorted(listed.items(), key=lambda item: item[0] not in unknown):
        follows = any(
            other != place and other[: len(place)] == place for other in listed if other not in unknown
        ) and all(fault["type"] not in ("value_error", "missing") for _, fault in faults)
        under_bad_key = any(place[: len(key)] == key and place != (*key, _KEY) for key in bad_keys)
        spelled_wrongly = faults[0][1]["type"] == "missing" and place in meant
        if not (follows or under_bad_key or spelled_wrongly):
            texts[_fault(place, [fault for _, fault in faults], model, where or _dotted)] = None
    shown = list(texts)[:_MOST_FAULTS]
    more = len(texts) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def _fault(
    place: Place, faults: list[Mapping[str, Any]], model: type[BaseModel], where: Callable[[Place], str]
) -> str:
    first = faults[0]
    if first["type"] in ("extra_forbidden", "missing"):
        outer, last = where(place[:-1]), str(place[-1]) if place else ""
        known = _fields(model, place)
        if first["type"] == "missing":
            text = f"the key {last!r} is missing" if last in known else "a value is missing"
        else:
            text = f"there is no key {quoted(last)}{did_you_mean(last, known)}; there are {', '.join(known)}"
        return f"{outer}: {text}" if outer else text
    words = list(dict.fromkeys(_one_line(str(f["msg"]).removeprefix("Value error, ")) for f in faults))
    given = as_given(first.get("input"))
    named = where(tuple(part for part in place if part != _KEY))
    return f"{named + ': ' if named else ''}{' or '.join(words)}{given}"


def _dotted(place: Place) -> str:
    # A key of the file may hold anything, and be of any length.
    return ".".join(bare(str(part)) for part in place)


def _fields(model: type[BaseModel], place: Place) -> list[str]:
    """Keys that there are where a place lies."""
    for part in place[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            inner = _model_in(model.model_fields[part].annotation)
            if inner is None:
                return []
            model = inner
    return list(model.model_fields)


def _nearest_field(model: type[BaseModel], place: Place) -> str:
    return nearest(str(place[-1]), _fields(model, place)) or ""


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if hasattr(annotation, "model_fields"):
        model: type[BaseModel] = annotation
        return model
    return next((inner for inner in map(_model_in, get_args(annotation)) if inner is not None), None)


def _one_line(text: str) -> str:
    line = " ".join(text.split()).rstrip(".")[:_LONGEST_FAULT].encode("utf-8", "replace").decode()
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)
