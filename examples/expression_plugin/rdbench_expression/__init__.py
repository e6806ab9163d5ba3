"""The expression network of @vladmandic/face-api as a back-end of rdbench."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, pad, relu

from rdbench.backends.protocol import Backend, Context, Input, Session
from rdbench.errors import InputError
from rdbench_expression.weights import read_weights

__all__ = ["Expression", "open_backend"]

BATCH = 32
"""Always so many frames at once: torch's last digits change with the shape of a batch."""

MEAN = (122.782, 117.001, 104.298)


class Expression:
    """Seven probabilities for each face; frames are independent.

    Parameters
    ----------
    tensors : dict of str to Tensor
        In torch's order of axes.
    weights : str
        Their content hash.
    device : str
    """

    name = "expression"
    input = Input(size=112, colour="rgb", margin=0.0, independent=True)
    targets = ("expression",)
    classes = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
    trained_on = "faces of several public sets (face-api); nothing of rdbench"

    def __init__(self, tensors: dict[str, Tensor], weights: str, device: str) -> None:
        self.weights = weights
        self._device = device
        self._tensors = {name: tensor.to(device) for name, tensor in tensors.items()}

    def start(self, context: Context) -> Session:
        """Begin a segment; there is nothing to forget."""
        return self._predict

    def _predict(self, frames: NDArray[np.float32]) -> NDArray[np.float64]:
        out = np.empty((len(frames), len(self.classes)))
        with _one_way():
            for at in range(0, len(frames), BATCH):
                part = torch.from_numpy(frames[at : at + BATCH].copy())
                filled = torch.zeros(BATCH, *part.shape[1:])
                filled[: len(part)] = part
                logits = self._network(filled.to(self._device))[: len(part)]
                out[at : at + len(part)] = logits.double().softmax(1).cpu().numpy()
        return out

    def _network(self, pictures: Tensor) -> Tensor:
        """Logits (n, 7) of RGB pictures (n, 112, 112, 3) in 0..1."""
        x = (pictures * 255 - pictures.new_tensor(MEAN)) / 255
        x = x.permute(0, 3, 1, 2)
        for block in range(4):
            x = self._dense(x, f"dense{block}")
        x = avg_pool2d(x, 7).flatten(1)
        return x @ self._tensors["fc/weights"] + self._tensors["fc/bias"]

    def _dense(self, x: Tensor, block: str) -> Tensor:
        """Four convolutions, each of which adds to the sum of those before it."""
        first = f"{block}/conv0"
        if f"{first}/filters" in self._tensors:
            total = conv2d(_same(x, 2), *self._of(first, "filters", "bias"), stride=2)
        else:
            total = self._separable(x, first, stride=2)
        total = relu(total)
        for conv in (1, 2, 3):
            # The network applies ReLU to the sum that a convolution sees, not to the sum that goes on.
            total = total + self._separable(relu(total), f"{block}/conv{conv}")
        return relu(total)

    def _separable(self, x: Tensor, layer: str, stride: int = 1) -> Tensor:
        depthwise, pointwise, bias = self._of(layer, "depthwise_filter", "pointwise_filter", "bias")
        return conv2d(conv2d(_same(x, stride), depthwise, stride=stride, groups=x.shape[1]), pointwise, bias)

    def _of(self, layer: str, *names: str) -> list[Tensor]:
        return [self._tensors[f"{layer}/{name}"] for name in names]


def open_backend(size: str | None, weights: Path | None, device: str) -> Backend:
    """Open ``expression``; what the entry point in pyproject.toml names.

    Raises
    ------
    InputError
        If a size is asked for, or its weights have not been set up.
    """
    if size is not None:
        raise InputError(f"There is no 'expression@{size}': expression has no sizes; ask for 'expression'.")
    arrays, digest = read_weights(weights)
    return Expression({name: _in_torch_order(name, array) for name, array in arrays.items()}, digest, device)


def _same(x: Tensor, stride: int) -> Tensor:
    """TensorFlow's padding "same" for 3x3 filters: at stride 2 an even picture is padded at its ends only."""
    return pad(x, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))


def _in_torch_order(name: str, array: NDArray[np.float32]) -> Tensor:
    if name.endswith("depthwise_filter"):
        array = array.transpose(2, 3, 0, 1)
    elif array.ndim == 4:
        array = array.transpose(3, 2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(array))


@contextmanager
def _one_way() -> Iterator[None]:
    """One thread and no gradients: the same frames give the same digits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(threads)
