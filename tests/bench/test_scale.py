from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

GIGABYTES = 2.0


@pytest.mark.long
@pytest.mark.parametrize("shape", ["plain", "wide"])
def test_a_million_rows_fit_into_memory(shape):
    command = [
        sys.executable,
        Path(__file__).with_name("bench_scale.py"),
        *(["wide"] if shape == "wide" else []),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *_, peak = done.stdout.splitlines()[-2].split()
    assert float(peak) < GIGABYTES, done.stdout
