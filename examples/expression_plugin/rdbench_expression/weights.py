"""Where the weights come from: the npm package @vladmandic/face-api, of which two files are taken and checked."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rdbench.errors import InputError

__all__ = ["FILES", "PACKAGE", "fetch", "folder", "main", "read_weights"]

PACKAGE = "@vladmandic/face-api@1.7.15"

FILES = {
    "face_expression_model.bin": "9a9840f2cf1f4c7eab95f197512569345c00d2426754d4608b92af30e0300f3d",
    "face_expression_model-weights_manifest.json": (
        "5b349c17c7836da506e03422cd6461c74085d8bb2713ad4114647dc5d28174c8"
    ),
}
"""What is taken, and the SHA-256 that it must have."""


def folder() -> Path:
    """Where weights lie unless another folder is named: in the user's data folder."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "rdbench-expression"


def fetch(into: Path) -> None:
    """Take the two files from the npm package and put them into a folder.

    Raises
    ------
    InputError
        If npm is missing or fails, or a file is not the one that is expected.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise InputError("npm is not installed; it is needed once, to take the weights from its registry.")
    with tempfile.TemporaryDirectory() as place:
        done = subprocess.run(
            [npm, "pack", "--silent", "--pack-destination", place, PACKAGE], capture_output=True, text=True
        )
        packed = sorted(Path(place).glob("*.tgz"))
        if done.returncode != 0 or len(packed) != 1:
            raise InputError(f"npm pack {PACKAGE} failed: {' '.join(done.stderr.split())[-500:]}")
        into.mkdir(parents=True, exist_ok=True)
        with tarfile.open(packed[0]) as archive:
            for name in FILES:
                member = archive.extractfile(f"package/model/{name}")
                content = b"" if member is None else member.read()
                _check(name, content, PACKAGE)
                part = into / f".{name}.part"
                part.write_bytes(content)
                os.replace(part, into / name)


def read_weights(given: Path | None) -> tuple[dict[str, NDArray[np.float32]], str]:
    """Read the tensors by name, as TensorFlow orders their axes, and their content hash.

    Parameters
    ----------
    given : Path or None
        A folder that may hold them; otherwise `folder`.

    Raises
    ------
    InputError
        If they are not there, or are not what they should be.
    """
    binary, manifest = FILES
    place = given if given is not None and (given / binary).is_file() else folder()
    try:
        content, told = (place / binary).read_bytes(), (place / manifest).read_bytes()
    except OSError as error:
        raise InputError(
            f"The weights of expression are not in {place}; fetch them once with rdbench-expression-setup."
        ) from error
    for name, data in ((binary, content), (manifest, told)):
        _check(name, data, str(place))
    tensors, at = {}, 0
    for entry in json.loads(told)[0]["weights"]:
        count, packed = int(np.prod(entry["shape"])), entry.get("quantization")
        kind = np.dtype(packed["dtype"] if packed else entry["dtype"]).newbyteorder("<")
        values = np.frombuffer(content, kind, count, at).astype(np.float32)
        if packed:
            values = values * np.float32(packed["scale"]) + np.float32(packed["min"])
        tensors[entry["name"]] = values.reshape(entry["shape"])
        at += count * kind.itemsize
    return tensors, hashlib.sha256(content).hexdigest()[:16]


def _check(name: str, content: bytes, where: str) -> None:
    if hashlib.sha256(content).hexdigest() != FILES[name]:
        raise InputError(
            f"{name} of {where} is not the file that is expected (another SHA-256); fetch it anew."
        )


def main() -> int:
    """Fetch the weights: the command ``rdbench-expression-setup``."""
    parser = argparse.ArgumentParser(
        description=f"Take the weights of the expression network from {PACKAGE}."
    )
    parser.add_argument("--out", type=Path, default=folder(), help="Folder for them (default: %(default)s).")
    out = parser.parse_args().out
    try:
        fetch(out)
    except InputError as error:
        print(f"rdbench-expression-setup: {error}", file=sys.stderr)
        return error.exit_code
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
