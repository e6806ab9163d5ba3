from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from rdbench.backends import arithmetic
from rdbench.backends.arithmetic import TOLERANCE, VARIABLE, choose_arithmetic
from rdbench.backends.networks import Recogniser
from rdbench.backends.paper import direct
from rdbench.backends.protocol import Context
from rdbench.backends.weights import Card, Recipe, read_weights, write_weights
from rdbench.errors import InputError

CPU = "cpu"


@pytest.fixture
def write(tmp_path):
    def write(*moved):
        torch.manual_seed(0)
        files = []
        for factor, value in enumerate(moved, 1):
            tensors = {name: each.numpy() for name, each in Recogniser("lite", 2).state_dict().items()}
            recipe = Recipe(backend="direct", size="lite", factors=(factor,), targets=("a", "v"))
            card = Card(
                network="Recogniser",
                recipe=recipe,
                face_px=96 / factor,
                dataset="mine",
                content="0",
                frames=1,
                train_mean={},
                selection={},
                epoch=1,
                bfloat16=value,
                versions={},
                command="",
            )
            files.append(tmp_path / f"direct-lite-face-x{factor}.safetensors")
            write_weights(files[-1], tensors, card)
        return [read_weights(file) for file in files]

    return write


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(arithmetic, "is_fast", lambda device: True)


@pytest.mark.parametrize(
    ("moved", "chosen"),
    [
        ((0.0,), "bfloat16"),
        ((TOLERANCE,), "bfloat16"),
        ((TOLERANCE * 1.01,), "float32"),
        ((None,), "float32"),
        ((0.0, TOLERANCE, 0.0005), "bfloat16"),
        ((0.0, 0.5), "float32"),
        ((0.0, None), "float32"),
    ],
)
def test_rounding_is_used_only_where_all_weights_were_measured_to_bear_it(write, quick, moved, chosen):
    assert choose_arithmetic("direct@lite", write(*moved), CPU) == chosen


def test_a_processor_without_the_instructions_computes_in_float32(write, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(arithmetic, "is_fast", lambda device: False)
    assert choose_arithmetic("direct@lite", write(0.0), CPU) == "float32"


@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
def test_who_asks_for_one_gets_it(write, monkeypatch, asked):
    monkeypatch.setenv(VARIABLE, asked)
    assert choose_arithmetic("direct@lite", write(0.0), CPU) == asked


@pytest.mark.parametrize(
    ("asked", "moved", "said"),
    [
        ("bfloat16", None, "direct@lite: bfloat16 was never measured"),
        ("bfloat16", 0.25, "direct@lite: bfloat16 moves the CCC by 0.2500"),
        ("half", 0.0, "RDBENCH_DTYPE is 'half'; it can be auto, float32 or bfloat16"),
    ],
)
def test_what_cannot_be_had_is_told(write, monkeypatch, asked, moved, said):
    monkeypatch.setenv(VARIABLE, asked)
    with pytest.raises(InputError, match=said):
        choose_arithmetic("direct@lite", write(moved), CPU)


@pytest.mark.long
def test_it_is_said_and_changes_predictions_a_little(write, tmp_path, monkeypatch):
    write(0.0)
    frames = np.random.default_rng(0).random((70, 96, 96), np.float32)
    answers = {}
    for name in ("float32", "bfloat16"):
        monkeypatch.setenv(VARIABLE, name)
        backend = direct("lite", tmp_path, "cpu")
        assert backend.arithmetic == name
        assert ("computed in bfloat16" in backend.trained_on) == (name == "bfloat16")
        answers[name] = backend.start(Context(1, "face", 96.0, 25.0))(frames)
    apart = np.abs(answers["float32"] - answers["bfloat16"]).max()
    assert 0 < apart < 0.05 * np.abs(answers["float32"]).max()


def test_a_device_of_another_kind_is_not_taken_to_be_fast():
    assert not arithmetic.is_fast("mps")


def test_what_the_system_lists_of_the_processor_is_what_torch_finds():
    able = torch.cpu.get_capabilities()
    fast = any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    assert arithmetic.is_fast(CPU) == fast


@pytest.mark.long
def test_weights_that_were_built_once_are_described_without_torch(write, tmp_path, monkeypatch):
    monkeypatch.setenv("RDBENCH_CACHE", str(tmp_path / "cache"))
    write(0.0)
    code = (
        "import sys, pathlib; from rdbench.backends.paper import direct; "
        "print(direct('lite', pathlib.Path(sys.argv[1]), 'cpu').name, 'torch' in sys.modules)"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]
    assert told == ["direct@lite True\n", "direct@lite False\n"]
