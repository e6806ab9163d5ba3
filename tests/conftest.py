"""One cache for a whole test session, never the user's own; real clips where they lie beside the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from rdbench.errors import InputError
from rdbench.faceapi.package import fetch, find_npm, is_complete

# No test depends on time.
settings.register_profile("timeless", deadline=None)
settings.load_profile("timeless")

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


@pytest.fixture(scope="session")
def face_weights(session_cache: Path) -> Path:
    """The session's cache, with the weights of the recognisers of real faces in it, or a skip that says why not."""
    if not is_complete():
        if find_npm() is None:
            pytest.skip("npm is not installed: the weights of real faces come from its registry")
        try:
            fetch()
        except InputError as error:
            pytest.skip(f"npm does not bring the weights: {error}")
    return session_cache
