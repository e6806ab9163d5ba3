"""Back-ends by name: those that ship and those that other packages add by an entry point."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import cast

from rdbench.backends.protocol import Backend, Opener
from rdbench.backends.weights import weights_folder
from rdbench.errors import InputError
from rdbench.tables.names import FIRST, folder_of, split_seed
from rdbench.words import did_you_mean

__all__ = ["GROUP", "ONNX", "find_backend", "list_backends", "name_for_workers"]

GROUP = "rdbench.backends"

ONNX = "onnx:"
"""Begins the name of a network in an ONNX file; the rest is its path."""


def list_backends() -> dict[str, str]:
    """Names of all back-ends in alphabetical order, each with the object that opens it."""
    return {name: _found()[name].value for name in sorted(_found())}


def find_backend(name: str, weights: Path | None = None, device: str = "cpu") -> Backend:
    """Open a back-end.

    Parameters
    ----------
    name : str
        ``NAME`` or ``NAME@SIZE``, such as "direct@lite", or ``onnx:FILE.onnx``. With ``#SEED`` behind it, the
        weights of that seed, from the folder ``seed-SEED`` inside the folder with weights.
    weights : Path, optional
        Folder with weights; by default those that ship.
    device : str

    Raises
    ------
    InputError
        If there is none of this name, size or weights, or the package that offers it cannot be imported.
    """
    if name.strip().startswith(ONNX):
        from rdbench.backends.onnx import open_file

        return open_file(Path(name.strip().removeprefix(ONNX)))
    unseeded, seed = split_seed(name.strip())
    if seed != FIRST:
        return _seeded(unseeded, seed, weights, device)
    family, at, size = unseeded.partition("@")
    known = _found()
    if family not in known:
        names = [f"{there}{at}{size}" for there in sorted(known)]
        hint = did_you_mean(unseeded, names) or f"; there are {', '.join(sorted(known))}."
        if name.strip().endswith(".onnx"):
            hint = f"; did you mean {ONNX + name.strip()!r}?"
        raise InputError(f"There is no back-end {family!r}{hint}")
    if at and not size:
        raise InputError(f"'{name}' names no size after the @; ask for '{family}' or '{family}@lite'.")
    entry = known[family]
    try:
        opener = cast(Opener, entry.load())
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"The back-end '{family}' cannot be opened: {entry.value} does not import ({error}); "
            "reinstall the package that offers it."
        ) from error
    return opener(size or None, weights, device)


def _seeded(name: str, seed: int, weights: Path | None, device: str) -> Backend:
    folder = weights_folder(weights) / folder_of(seed)
    if not folder.is_dir():
        raise InputError(
            f"There is no folder {folder}, where weights of {name} with seed {seed} would lie; make them with "
            f"`rdbench train {name} --seed {seed} --out {folder if weights else f'DIR/{folder.name}'}`"
            f"{'.' if weights else ' and use them with --weights DIR.'}"
        )
    backend = find_backend(name, folder, device)
    backend.name = f"{backend.name}#{seed}"
    return backend


def name_for_workers(name: str, backend: Backend) -> str:
    """What opens the same back-end again in another process, which may have another working folder."""
    if not name.strip().startswith(ONNX):
        return backend.name
    return f"{ONNX}{Path(name.strip().removeprefix(ONNX)).resolve()}"


def _found() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}
