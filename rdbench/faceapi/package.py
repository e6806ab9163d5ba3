"""Where the weights come from: the npm package @vladmandic/face-api (MIT), of which six files are taken and checked."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from rdbench.cache import seal
from rdbench.errors import InputError
from rdbench.files import replacing
from rdbench.machine import cache_dir, keeping

__all__ = [
    "FILES",
    "NETWORKS",
    "PACKAGE",
    "fetch",
    "find_npm",
    "folder",
    "is_complete",
    "missing",
    "read_file",
]

PACKAGE = "@vladmandic/face-api@1.7.15"

FILES = {
    "face_expression_model-weights_manifest.json": "5b349c17c7836da506e03422cd6461c74085d8bb2713ad4114647dc5d28174c8",
    "face_expression_model.bin": "9a9840f2cf1f4c7eab95f197512569345c00d2426754d4608b92af30e0300f3d",
    "face_landmark_68_model-weights_manifest.json": "ca4886639f86e99b39fed0c155f81b63317225773bd9616716e887b0153389c9",
    "face_landmark_68_model.bin": "4611ef65c87d836d03d684b30eec4d195d8b219fa1dd58fc58945831c6b9299b",
    "face_recognition_model-weights_manifest.json": "cbaffa501b0b9275a12b63357a6843e7e30c054e1c9151e1a5f879b26e32986b",
    "face_recognition_model.bin": "b413e420d6840b2775fba32008db6f3cddb07d485967fb42cfcf379c16a8c589",
}
"""What is taken, and the SHA-256 that it must have."""

NETWORKS = {
    "expression": "face_expression_model",
    "landmarks": "face_landmark_68_model",
    "identity": "face_recognition_model",
}
"""Each back-end's files, without what their names end with."""

_INSIDE = ("", "model", "package/model", "node_modules/@vladmandic/face-api/model")
_SECONDS = 300
_MOST_BYTES = 16 << 20


def folder() -> Path:
    """Where fetched weights lie: in the cache."""
    return cache_dir() / "weights" / "face-api-1.7.15"


def missing(backends: Sequence[str], weights: Path | None = None) -> bool:
    """Whether any of the back-ends is one of this package whose files are neither in a folder given nor in the cache."""
    asked = [NETWORKS[name] for name in backends if name in NETWORKS]
    places = [place for place in (weights, folder()) if place is not None]
    return any(not any((place / f"{stem}.bin").is_file() for place in places) for stem in asked)


def is_complete() -> bool:
    """Whether everything is in the cache as it should be."""
    try:
        return all(_is_right(name, (folder() / name).read_bytes()) for name in FILES)
    except OSError:
        return False


def find_npm() -> str | None:
    """The user's npm: in the path, or beside this Python, where the extra ``faces`` puts one."""
    return shutil.which("npm") or shutil.which("npm", path=str(Path(sys.executable).parent))


def fetch(given: Path | None = None) -> Path:
    """Put the weights into the cache, every file checked.

    Parameters
    ----------
    given : Path, optional
        The package as somebody brought it: the archive that ``npm pack`` writes, or a folder that holds it, unpacked or installed.
        None: taken with the user's own npm, which knows its registry.

    Returns
    -------
    Path
        The folder with the weights.

    Raises
    ------
    InputError
        If npm is missing or fails, or a file is missing or is not the one that is expected.
    """
    if given is None:
        with tempfile.TemporaryDirectory() as place:
            return _keep(dict(_in_archive(_packed(Path(place)))), PACKAGE)
    if given.is_dir():
        return _keep(dict(_in_folder(given)), str(given))
    return _keep(dict(_in_archive(given)), str(given))


def read_file(name: str, given: Path | None) -> bytes:
    """One file of the package, from the folder given where it lies there, else from the cache.

    Raises
    ------
    InputError
        If it is in neither, or is not the one that is expected.
    """
    place = given if given is not None and (given / name).is_file() else folder()
    try:
        content = (place / name).read_bytes()
    except OSError as error:
        raise InputError(
            f"{name} of {PACKAGE} is not in {place}; fetch it once with `rdbench fetch`, offline with `rdbench fetch --from DIR`."
        ) from error
    _check(name, content, str(place))
    return content


def _packed(place: Path) -> Path:
    """The package's archive, as the user's npm takes it from its registry."""
    offline = f"or bring the package's folder along and name it: `rdbench fetch --from DIR` ({PACKAGE})"
    npm = find_npm()
    if npm is None:
        raise InputError(
            f"There is no npm to fetch {PACKAGE} with; install it (pip install 'rdbench[faces]'), {offline}."
        )
    command = [npm, "pack", "--silent", "--ignore-scripts", "--pack-destination", str(place), PACKAGE]
    try:
        done = subprocess.run(
            command, cwd=place, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(
            f"npm pack {PACKAGE} did not end well ({type(error).__name__}); try again, {offline}."
        ) from error
    packed = sorted(place.glob("*.tgz"))
    if done.returncode != 0 or len(packed) != 1:
        said = " ".join(done.stderr.split())[-300:] or f"exit code {done.returncode}"
        raise InputError(f"npm pack {PACKAGE} failed ({said}); see to npm's registry, {offline}.")
    return packed[0]


def _in_archive(file: Path) -> Iterator[tuple[str, bytes]]:
    """The files wanted out of an archive; nothing is unpacked, so that no path of it matters."""
    try:
        with tarfile.open(file) as archive:
            for name in FILES:
                member = archive.getmember(f"package/model/{name}")
                stream = archive.extractfile(member) if member.size <= _MOST_BYTES else None
                yield name, b"" if stream is None else stream.read()
    except (OSError, EOFError, KeyError, tarfile.TarError) as error:
        raise InputError(
            f"{file} is not the archive of {PACKAGE} ({' '.join(str(error).split())}); make it with `npm pack {PACKAGE}`."
        ) from error


def _in_folder(given: Path) -> Iterator[tuple[str, bytes]]:
    first = next(iter(FILES))
    place = next((given / inside for inside in _INSIDE if (given / inside / first).is_file()), None)
    if place is None:
        raise InputError(
            f"{given} does not hold {PACKAGE}: there is no {first} in it, nor in its folder model; name the package's folder, or "
            f"the archive that `npm pack {PACKAGE}` writes."
        )
    for name in FILES:
        try:
            yield name, (place / name).read_bytes()
        except OSError as error:
            raise InputError(
                f"{place / name} cannot be read ({error.strerror}); take {PACKAGE} anew."
            ) from error


def _keep(found: dict[str, bytes], where: str) -> Path:
    for name, content in found.items():
        _check(name, content, where)
    with keeping():
        for name, content in found.items():
            with replacing(folder() / name, durable=True) as part:
                part.write_bytes(content)
            seal(folder() / name)
    return folder()


def _is_right(name: str, content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == FILES[name]


def _check(name: str, content: bytes, where: str) -> None:
    if not _is_right(name, content):
        raise InputError(
            f"{name} of {where} is not the file that is expected (another SHA-256); fetch {PACKAGE} anew with `rdbench fetch`."
        )
