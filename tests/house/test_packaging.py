"""The package as others install it: a wheel holds everything and works outside the checkout."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from small_runs import ONE, environment

import rdbench

CHECKOUT = Path(__file__).resolve().parents[2]
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(rdbench.__path__, "rdbench.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_all_names_exist_and_stand_once(name: str) -> None:
    module = importlib.import_module(name)
    names = getattr(module, "__all__", [])
    assert len(names) == len(set(names))
    assert [each for each in names if not hasattr(module, each)] == []


def test_each_module_with_code_says_what_is_public() -> None:
    silent = []
    for name in MODULES:
        tree = ast.parse(Path(importlib.util.find_spec(name).origin).read_text(encoding="utf-8"))  # type: ignore[union-attr, arg-type]
        public = [
            node.name
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        ]
        if public and not hasattr(importlib.import_module(name), "__all__"):
            silent.append(name)
    assert silent == []


def data_files() -> set[str]:
    found = {f"profiles/{file.name}" for file in (CHECKOUT / "codecs").glob("*.toml")}
    for folder, pattern in (("experiments", "*.toml"), ("weights", "*.safetensors")):
        found |= {f"{folder}/{file.name}" for file in (CHECKOUT / "rdbench" / folder).glob(pattern)}
    return found | {"py.typed"}


def test_a_wheel_holds_code_data_and_entry_points(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as wheel:
        names = set(wheel.namelist())
        points = wheel.read(next(n for n in names if n.endswith("entry_points.txt"))).decode()
        assert wheel.testzip() is None
    assert {f"rdbench/{name}" for name in data_files()} <= names
    assert "rdbench/profiles/x264.toml" in names
    assert {f"{name.replace('.', '/')}.py" for name in MODULES} <= {
        *names,
        *(name.replace("/__init__.py", ".py") for name in names),
    }
    assert not [name for name in names if name.startswith(("tests", "codecs", "results", "docs"))]
    assert "rdbench = rdbench.cli:main" in points
    assert "constant = rdbench.backends.constant:open_backend" in points


def test_other_data_of_the_package_is_in_the_wheel_too(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as wheel:
        names = set(wheel.namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "rdbench"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    if tracked.returncode != 0 or not tracked.stdout:
        pytest.skip("not a git checkout: what belongs to the package is not known")
    missing = {name for name in tracked.stdout.split() if (CHECKOUT / name).is_file()} - names
    assert missing == set()


def test_a_source_distribution_can_be_built_from(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.cfg", "pyproject.toml", "rdbench/cli/group.py", "rdbench/experiments/quick.toml"} <= names
    assert {f"rdbench/{name}" for name in data_files()} <= names


def test_an_installed_wheel_works_outside_the_checkout(built: tuple[Path, Path], tmp_path: Path) -> None:
    target = tmp_path / "target"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"),
            *("--target", str(target), str(built[0])),
        ],
        check=True,
        capture_output=True,
    )
    env = {**environment(tmp_path / "cache"), "PYTHONPATH": str(target)}

    def installed(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(target / "bin" / "rdbench"), *map(str, words)],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )

    where = subprocess.run(
        [sys.executable, "-c", "import rdbench; print(rdbench.__file__)"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(target)
    done = installed("list")
    assert done.returncode == 0, done.stderr
    for word in ("x264", "x265", "direct", "constant", "quick.toml"):
        assert f"  {word} " in done.stdout
    shown = [line for line in done.stdout.splitlines() if line.split()[:1] == ["direct"]]
    assert len(shown) == 1
    assert "cannot be opened" not in shown[0]
    (tmp_path / "one.toml").write_text(ONE)
    done = installed("run", "one.toml", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results" / "small" / "run.sqlite").is_file()
    done = installed("export", "results/small")
    assert done.returncode == 0, done.stderr


def test_running_needs_no_developers_tools_and_types_are_seen_in_the_editable_install():
    root = Path(__file__).parents[2]
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    runs, develops = (
        subprocess.run(
            ["make", "-n", "-W", "setup.cfg", f".venv/{stamp}"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for stamp in (".stamp", ".tools")
    )
    assert "test" not in re.search(r"-e '\.\[(.*?)\]'", runs)[1].split(",")
    assert "test" in re.search(r"-e '\.\[(.*?)\]'", develops)[1].split(",")
    # Without it setuptools writes a finder that type checkers do not follow.
    assert all("editable_mode=compat" in recipe for recipe in (runs, develops))
    for target in ("test", "test-long", "lint", "format", "bench"):
        assert f"\n{target}: $(TOOLS) " in makefile
