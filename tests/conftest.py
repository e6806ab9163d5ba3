"""One cache for a whole test session, never the user's own; real clips where they lie beside the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REAL_CLIPS = Path(__file__).resolve().parents[2] / "shared" / "clips"


@pytest.fixture(scope="session", autouse=True)
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The parallel workers of one session share what was rendered."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "rdbench-cache"
    os.environ["RDBENCH_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def real_clips() -> Path:
    """Recordings of real faces, or a skip that says why."""
    if not REAL_CLIPS.is_dir():
        pytest.skip("no folder shared/clips beside the project: real recordings are not part of it")
    return REAL_CLIPS
