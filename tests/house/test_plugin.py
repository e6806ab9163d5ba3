"""A back-end of another package, as docs/plugins.md has it: installed into a fresh place, and used from there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = (CHECKOUT / "docs" / "plugins.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files of the page, in a folder of their own, beside what this interpreter has."""
    place = tmp_path_factory.mktemp("plugin")
    files = re.findall(r"^`(\S+)`:\n\n```\w+\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert [name for name, _ in files] == ["pyproject.toml", "bright.py"]
    for name, content in files:
        (place / name).write_text(content, encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*pip, "--target", str(place / "site"), str(place)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    paths = [str(place / "site"), str(CHECKOUT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


@pytest.mark.long
def test_the_package_of_the_page_is_found_and_keeps_to_the_protocol(installed):
    code = (
        "from rdbench.backends.conformance import check_backend\n"
        "from rdbench.backends.registry import find_backend\n"
        "backend = find_backend('bright')\n"
        "print(check_backend(backend), backend.targets)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=installed, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["[]", "('brightness',)"], done.stderr
