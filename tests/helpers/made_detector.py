"""A network that OpenCV's ``FaceDetectorYN`` takes, and that takes what is bright for a face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

STRIDES = (8, 16, 32)
SIDE = 64
"""Each of its boxes is so many pixels wide."""


def write_detector(file: Path) -> Path:
    """Write it: cells of 32 pixels that are bright throughout are faces in their middle, and nothing else is."""
    nodes, constants = [], []

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(value, name))
        return name

    for stride in STRIDES:
        # Only the coarsest stride sees anything: a mean over its cell, held against nearly white.
        bright = np.full((1, 3, stride, stride), 1 / (3 * stride * stride), np.float32) * (stride == 32)
        heads = {
            "cls": (bright, np.array([-200.0 if stride == 32 else -20.0], np.float32)),
            "obj": (bright, np.array([-200.0 if stride == 32 else -20.0], np.float32)),
            "bbox": (
                np.zeros((4, 3, stride, stride), np.float32),
                np.array([0.5, 0.5, *[np.log(SIDE / stride)] * 2], np.float32),
            ),
            "kps": (np.zeros((10, 3, stride, stride), np.float32), np.zeros(10, np.float32)),
        }
        for head, (weights, bias) in heads.items():
            name, width = f"{head}_{stride}", len(bias)
            w, b = constant(f"{name}_w", weights), constant(f"{name}_b", bias)
            nodes.append(
                helper.make_node(
                    "Conv", ["input", w, b], [f"{name}_map"], strides=[stride] * 2, kernel_shape=[stride] * 2
                )
            )
            last = f"{name}_map"
            if head in ("cls", "obj"):
                nodes.append(helper.make_node("Sigmoid", [last], [f"{name}_share"]))
                last = f"{name}_share"
            nodes.append(helper.make_node("Transpose", [last], [f"{name}_last"], perm=[0, 2, 3, 1]))
            shape = constant(f"{name}_shape", np.array([1, -1, width], np.int64))
            nodes.append(helper.make_node("Reshape", [f"{name}_last", shape], [name]))
    sizes = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
    outputs = [
        helper.make_tensor_value_info(
            f"{head}_{stride}", onnx.TensorProto.FLOAT, [1, (320 // stride) ** 2, width]
        )
        for head, width in sizes.items()
        for stride in STRIDES
    ]
    given = helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, 3, 320, 320])
    graph = helper.make_graph(nodes, "bright", [given], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)])
    model.ir_version = 8
    onnx.save(model, str(file))
    return file
