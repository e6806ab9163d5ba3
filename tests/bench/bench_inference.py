"""Speed of inference as it ships against the plain loop, side by side: `python tests/bench_inference.py`.

The plain loop is what everyone writes first: the same network in float32, batches in torch's default memory format.
A second one hands over frame by frame. Every way is timed in turn, several times over, so that what else the machine
does meets all of them; the ratio is that of the medians. Where the processor has no instructions for bfloat16 the
shipped way computes in float32, and no ratio is promised.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rdbench.backends.arithmetic import is_fast
from rdbench.backends.inference import BATCH
from rdbench.backends.networks import Recogniser
from rdbench.backends.protocol import Context
from rdbench.backends.recognisers import Recognisers
from rdbench.backends.weights import FACE, Card, Recipe, Size, read_weights, write_weights
from rdbench.machine import keep_memory

PROMISED = 1.3
ROUNDS = 7
FRAMES: dict[Size, int] = {"paper": BATCH, "lite": 8 * BATCH}


def shipped(network: Recogniser, size: Size, folder: Path) -> Recognisers:
    """A back-end with the network's weights, opened as those that ship."""
    tensors = {name: value.numpy() for name, value in network.state_dict().items()}
    recipe = Recipe(backend="direct", size=size, factors=(1,), targets=("arousal", "valence"))
    card = Card(
        network="Recogniser",
        recipe=recipe,
        face_px=FACE,
        dataset="none",
        content="0",
        frames=1,
        train_mean={},
        selection={},
        epoch=0,
        # Speed does not depend on the weights, and these were never scored.
        bfloat16=0.0,
        versions={},
        command="",
    )
    file = folder / f"{recipe.stem}.safetensors"
    write_weights(file, tensors, card)
    return Recognisers(f"direct@{size}", [read_weights(file)])


def plain(network: Recogniser, batch: int) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    """The loop that everyone writes first."""

    def predict(frames: NDArray[np.float32]) -> NDArray[np.float64]:
        with torch.no_grad():
            parts = [
                network(torch.from_numpy(frames[at : at + batch, None])).numpy()
                for at in range(0, len(frames), batch)
            ]
        return np.concatenate(parts).astype(np.float64)

    return predict


def main() -> int:
    torch.set_num_threads(1)
    keep_memory()
    kept = True
    name = "bfloat16" if is_fast("cpu") else "float32"
    print(f"{BATCH} frames a batch, one thread, {name} as shipped")
    for size, count in FRAMES.items():
        torch.manual_seed(0)
        network = Recogniser(size, 2).eval()
        frames = np.random.default_rng(0).random((count, FACE, FACE), np.float32)
        with tempfile.TemporaryDirectory() as folder:
            session = shipped(network, size, Path(folder)).start(Context(1, "face", FACE, 25))
        ways = {
            "as shipped": session,
            "plain loop": plain(network, BATCH),
            "frame by frame": plain(network, 1),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for way in ways.values():
            way(frames[:BATCH])
        for _ in range(ROUNDS):
            for name, way in ways.items():
                start = time.perf_counter()
                way(frames)
                seconds[name].append(time.perf_counter() - start)
        median = {name: statistics.median(values) for name, values in seconds.items()}
        for name, value in median.items():
            ratio = value / median["as shipped"]
            print(
                f"direct@{size:5}  {name:14}  {count / value:7.0f} frames/s  {ratio:5.2f} x the time as shipped"
            )
        kept &= median["plain loop"] / median["as shipped"] >= PROMISED
    if is_fast("cpu") and not kept:
        print(f"The shipped way is not {PROMISED} times as fast as the plain loop.")
    return 0 if kept or not is_fast("cpu") else 1


if __name__ == "__main__":
    sys.exit(main())
