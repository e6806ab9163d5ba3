"""On which device a recogniser is computed, and in which arithmetic: float32, or bfloat16 where that is fast and known to
be harmless."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

from rdbench.backends.weights import Weights
from rdbench.errors import InputError
from rdbench.machine import processor_flags

if TYPE_CHECKING:
    import torch

__all__ = ["TOLERANCE", "VARIABLE", "Arithmetic", "choose_arithmetic", "choose_device", "is_fast"]

Arithmetic = Literal["float32", "bfloat16"]

TOLERANCE = 0.002
"""By how much bfloat16 may move the CCC of any target, as measured when the weights were written."""

VARIABLE = "RDBENCH_DTYPE"
"""Environment variable: auto (the default), float32 or bfloat16."""


def is_fast(device: str) -> bool:
    """Whether a device has instructions for bfloat16; without them it is slower than float32.

    A processor is asked without torch where the system lists what it can do, since loading that takes seconds.

    Parameters
    ----------
    device : str
        A name of torch's.
    """
    kind = device.partition(":")[0]
    if kind == "cpu" and (listed := processor_flags()) is not None:
        return not _FAST.isdisjoint(listed)
    if kind not in ("cpu", "cuda"):
        return False
    import torch

    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    there = torch.cpu.get_capabilities()
    return any(there.get(name, False) for name in _FAST)


_FAST = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Instructions for bfloat16, as Linux and torch call them."""


def choose_arithmetic(name: str, weights: Sequence[Weights], device: str) -> Arithmetic:
    """Choose bfloat16 where it is fast and every one of the weights keeps within `TOLERANCE`, else float32.

    Parameters
    ----------
    name : str
        Of the back-end, for errors.
    weights : sequence of Weights
        Their cards say how far bfloat16 moves the CCC on what the epoch was chosen on.
    device : str
        A name of torch's.

    Raises
    ------
    InputError
        If ``$RDBENCH_DTYPE`` is something else, or asks for bfloat16 where it was measured to do harm.
    """
    asked = os.environ.get(VARIABLE) or "auto"
    known = ("auto", *get_args(Arithmetic))
    if asked not in known:
        raise InputError(f"{VARIABLE} is '{asked}'; it can be {', '.join(known[:-1])} or {known[-1]}.")
    moved = [each.card.bfloat16 for each in weights]
    worst = max((value for value in moved if value is not None), default=0.0)
    harmless = None not in moved and worst <= TOLERANCE
    if asked == "bfloat16" and not harmless:
        measured = "was never measured" if None in moved else f"moves the CCC by {worst:.4f}"
        raise InputError(
            f"{name}: bfloat16 {measured}, and {TOLERANCE} is allowed; set {VARIABLE}=float32, or train it anew."
        )
    if asked == "bfloat16" or (asked == "auto" and harmless and is_fast(device)):
        return "bfloat16"
    return "float32"


def choose_device(name: str = "auto") -> torch.device:
    """Turn "auto" into CUDA, MPS or CPU, whichever is there first, and check any other name.

    Raises
    ------
    InputError
        If there is no such device here.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"This torch cannot compute on '{name}'; use auto, cpu, cuda or mps.") from error
    return device
