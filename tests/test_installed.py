"""What is installed is told without importing it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from rdbench.machine import installed, required


def test_what_is_required_is_what_the_package_asks_for() -> None:
    names = required()
    assert {"torch", "click", "ffmpeg-python", "opencv-python-headless", "pydantic"} <= set(names)
    assert not {"pytest", "onnxruntime", "distributed"} & set(names)


def test_each_is_told_with_its_version_or_its_cure() -> None:
    lines, good = installed(["numpy", "no-such-package"])
    assert lines == [
        f"numpy {metadata.version('numpy')}",
        "no-such-package: missing; install it with pip install no-such-package",
    ]
    assert not good
    assert installed(["numpy"])[1]


def test_doctor_names_what_is_missing_where_it_cannot_be_imported(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'cv2', 'av', 'pandas', 'imageio_ffmpeg', 'pydantic'): sys.modules[name] = None\n"
        "from importlib import metadata\n"
        "real = metadata.version\n"
        "def version(name):\n"
        "    if name in ('torch', 'pandas'): raise metadata.PackageNotFoundError(name)\n"
        "    return real(name)\n"
        "metadata.version = version\n"
        "sys.argv = ['rdbench', 'doctor']\n"
        "from rdbench.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 2
    assert "torch: missing; install it with pip install torch" in done.stdout
    assert "pandas: missing" in done.stdout
    assert "Traceback" not in done.stderr
