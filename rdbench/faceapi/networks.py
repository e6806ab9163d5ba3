"""The networks themselves, as functions of pictures and tensors, after the TypeScript sources of the package.

Two of them share one extractor of features (four blocks of separable convolutions that add to one another, 112x112); the third
is the residual network of dlib's face descriptor (King 2017, "dlib_face_recognition_resnet_model_v1", 150x150).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, max_pool2d, pad, relu

__all__ = ["answers", "descriptors", "expression_logits", "landmark_points"]

BATCH = 8
"""Always so many frames at once: torch's last digits change with the shape of a batch, and more at once are no faster."""

MEAN = (122.782, 117.001, 104.298)

Tensors = Mapping[str, Tensor]


def answers(
    network: Callable[[Tensors, Tensor], Tensor], tensors: Tensors, frames: NDArray[np.float32]
) -> NDArray[np.float64]:
    """What a network says to frames, in batches of one size and on one thread: the same frames give the same digits.

    Parameters
    ----------
    network : callable
        One of those below.
    tensors : mapping of str to Tensor
    frames : (n, size, size, 3) float32
        RGB in 0..1.

    Returns
    -------
    (n, k) float64
    """
    device = next(iter(tensors.values())).device
    found = []
    with _one_way():
        for at in range(0, max(len(frames), 1), BATCH):
            part = torch.from_numpy(frames[at : at + BATCH].copy())
            filled = torch.zeros(BATCH, *part.shape[1:])
            filled[: len(part)] = part
            found.append(network(tensors, _centred(filled.to(device)))[: len(part)].double().cpu().numpy())
    return np.concatenate(found)


def expression_logits(tensors: Tensors, x: Tensor) -> Tensor:
    """Logits (n, 7) of pictures (n, 3, 112, 112)."""
    return _features(tensors, x) @ tensors["fc/weights"] + tensors["fc/bias"]


def landmark_points(tensors: Tensors, x: Tensor) -> Tensor:
    """Points (n, 136) of pictures (n, 3, 112, 112): x and y of 68 points by turns, as shares of the picture."""
    return _features(tensors, x) @ tensors["fc/weights"] + tensors["fc/bias"]


def descriptors(tensors: Tensors, x: Tensor) -> Tensor:
    """Descriptors (n, 128) of pictures (n, 3, 150, 150)."""
    x = max_pool2d(_scaled(tensors, "conv32_down", x, stride=2).relu(), 3, 2)
    for block in ("conv32_1", "conv32_2", "conv32_3"):
        x = _residual(tensors, block, x)
    for width, blocks in (("64", 3), ("128", 2), ("256", 2)):
        x = _residual_down(tensors, f"conv{width}_down", x)
        for number in range(1, blocks + 1):
            x = _residual(tensors, f"conv{width}_{number}", x)
    x = _residual_down(tensors, "conv256_down_out", x)
    return x.mean((2, 3)) @ tensors["fc"]


def _centred(pictures: Tensor) -> Tensor:
    x = (pictures * 255 - pictures.new_tensor(MEAN)) / 255
    return x.permute(0, 3, 1, 2)


def _features(tensors: Tensors, x: Tensor) -> Tensor:
    for block in range(4):
        x = _dense(tensors, f"dense{block}", x)
    return avg_pool2d(x, 7).flatten(1)


def _dense(tensors: Tensors, block: str, x: Tensor) -> Tensor:
    """Four convolutions, each of which adds to the sum of those before it."""
    first = f"{block}/conv0"
    if f"{first}/filters" in tensors:
        total = conv2d(_same(x, 2), tensors[f"{first}/filters"], tensors[f"{first}/bias"], stride=2)
    else:
        total = _separable(tensors, first, x, stride=2)
    total = relu(total)
    for conv in (1, 2, 3):
        # The network applies ReLU to the sum that a convolution sees, not to the sum that goes on.
        total = total + _separable(tensors, f"{block}/conv{conv}", relu(total))
    return relu(total)


def _separable(tensors: Tensors, layer: str, x: Tensor, stride: int = 1) -> Tensor:
    depthwise, pointwise, bias = (
        tensors[f"{layer}/{name}"] for name in ("depthwise_filter", "pointwise_filter", "bias")
    )
    return conv2d(conv2d(_same(x, stride), depthwise, stride=stride, groups=x.shape[1]), pointwise, bias)


def _same(x: Tensor, stride: int) -> Tensor:
    """TensorFlow's padding "same" for 3x3 filters: at stride 2 an even picture is padded at its ends only."""
    return pad(x, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))


def _scaled(tensors: Tensors, layer: str, x: Tensor, stride: int = 1) -> Tensor:
    """A convolution, unpadded where it thins out, and behind it a gain and an offset for each channel."""
    filters, bias = tensors[f"{layer}/conv/filters"], tensors[f"{layer}/conv/bias"]
    x = conv2d(x, filters, bias, stride=stride, padding=0 if stride == 2 else filters.shape[-1] // 2)
    gain, offset = tensors[f"{layer}/scale/weights"], tensors[f"{layer}/scale/biases"]
    return x * gain[:, None, None] + offset[:, None, None]


def _residual(tensors: Tensors, block: str, x: Tensor) -> Tensor:
    out = relu(_scaled(tensors, f"{block}/conv1", x))
    return relu(_scaled(tensors, f"{block}/conv2", out) + x)


def _residual_down(tensors: Tensors, block: str, x: Tensor) -> Tensor:
    out = relu(_scaled(tensors, f"{block}/conv1", x, stride=2))
    out = _scaled(tensors, f"{block}/conv2", out)
    pooled = avg_pool2d(x, 2)
    # Whichever is smaller is filled up with zeros: the picture's far edges, and the new channels.
    out = pad(out, (0, pooled.shape[3] - out.shape[3], 0, pooled.shape[2] - out.shape[2]))
    pooled = pad(pooled, (0, 0, 0, 0, 0, out.shape[1] - pooled.shape[1]))
    return relu(pooled + out)


@contextmanager
def _one_way() -> Iterator[None]:
    """One thread and no gradients."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(threads)
