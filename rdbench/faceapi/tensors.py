"""Weights as TensorFlow.js keeps them: a manifest in JSON, and one binary file of numbers, most of them packed into 8 bits."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rdbench.faceapi.package import NETWORKS, read_file

__all__ = ["read_tensors", "unpacked"]


def read_tensors(backend: str, given: Path | None, device: str) -> tuple[dict[str, Tensor], str]:
    """The tensors of one network by name, in torch's order of axes, and their content hash.

    Parameters
    ----------
    backend : str
        One of `NETWORKS`.
    given : Path or None
        A folder that may hold the files; otherwise they come from the cache.
    device : str

    Raises
    ------
    InputError
        If the files are not there, or are not what they should be.
    """
    stem = NETWORKS[backend]
    content = read_file(f"{stem}.bin", given)
    arrays = unpacked(content, read_file(f"{stem}-weights_manifest.json", given))
    tensors = {name: _in_torch_order(name, array).to(device) for name, array in arrays.items()}
    return tensors, hashlib.sha256(content).hexdigest()[:16]


def unpacked(content: bytes, manifest: bytes) -> dict[str, NDArray[np.float32]]:
    """Numbers by name, as TensorFlow orders their axes: ``scale * q + min`` where they are packed.

    Parameters
    ----------
    content : bytes
        All tensors one after the other, little-endian, in the manifest's order.
    manifest : bytes
        JSON: a list of one group, whose ``weights`` have name, shape, dtype and, where packed, quantization.
    """
    tensors, at = {}, 0
    for entry in json.loads(manifest)[0]["weights"]:
        count, packed = int(np.prod(entry["shape"])), entry.get("quantization")
        kind = np.dtype(packed["dtype"] if packed else entry["dtype"]).newbyteorder("<")
        values = np.frombuffer(content, kind, count, at).astype(np.float32)
        if packed:
            values = values * np.float32(packed["scale"]) + np.float32(packed["min"])
        tensors[entry["name"]] = values.reshape(entry["shape"])
        at += count * kind.itemsize
    return tensors


def _in_torch_order(name: str, array: NDArray[np.float32]) -> Tensor:
    if name.endswith("depthwise_filter"):
        array = array.transpose(2, 3, 0, 1)
    elif array.ndim == 4:
        array = array.transpose(3, 2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(array))
