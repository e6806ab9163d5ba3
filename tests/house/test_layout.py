"""The house keeps its plan: who may import whom, how large a room may be, what must stay unloaded."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "rdbench"
GROUND = "ground"
LEFT = ("backends", "faceapi", "video", "datasets", "codecs", "training", "sweep")
RIGHT = ("curves", "answers", "methods", "gate", "figures", "report", "simulation")
FLOORS: dict[str, tuple[str, ...]] = {
    GROUND: (),
    "stats": (GROUND,),
    "tables": (GROUND, "stats"),
    "backends": (GROUND, "tables", "stats"),
    "faceapi": (GROUND, "backends"),
    "video": (GROUND, "tables", "stats", "backends"),
    "datasets": (GROUND, "tables", "stats", "backends", "video"),
    "codecs": (GROUND, "tables", "stats", "backends", "video", "datasets"),
    "training": (GROUND, "tables", "stats", "backends", "video", "datasets", "codecs"),
    "sweep": (GROUND, "tables", "stats", "backends", "video", "datasets", "codecs"),
    "curves": (GROUND, "tables", "stats"),
    "answers": (GROUND, "tables", "stats", "curves"),
    "methods": (GROUND, "tables", "stats", "curves"),
    "gate": (GROUND, "tables", "stats", "curves"),
    "figures": (GROUND, "tables", "stats", "curves", "answers", "methods"),
    "report": (GROUND, "tables", "stats", "curves", "answers", "methods", "figures"),
    "simulation": (GROUND, "tables", "stats", "curves", "answers", "gate", "methods"),
    "cli": (GROUND, "tables", "stats", *LEFT, *RIGHT),
}
"""Each wing with the wings that it may import."""

FILES = sorted(file for file in PACKAGE.rglob("*.py") if "__pycache__" not in file.parts)
MOST_FILES, MOST_LINES, MOST_FUNCTION, MOST_PARAMETERS = 12, 450, 80, 9


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def wing_of(module: str) -> str:
    _, _, rest = module.partition(".")
    first = rest.partition(".")[0]
    return first if (PACKAGE / first).is_dir() and first else GROUND


MODULES = {module_of(file): file for file in FILES}
TREES = {name: ast.parse(file.read_text(encoding="utf-8")) for name, file in MODULES.items()}


def imported(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Each module of the package that a file imports, and whether it does so while it is loaded itself."""
    inner = {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef | ast.If)
        for node in ast.walk(outer)
    }
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module:
            below = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in below]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from ((name, id(node) not in inner) for name in names if name.split(".")[0] == "rdbench")


@pytest.mark.parametrize("module", [name for name in MODULES if name != "rdbench"])
def test_a_room_imports_only_rooms_that_its_wing_may_know(module):
    own = wing_of(module)
    unknown = {
        name
        for name, _ in imported(TREES[module])
        if wing_of(name) not in (own, *FLOORS[own]) and name != "rdbench"
    }
    assert unknown == set()


def test_no_room_imports_itself_in_a_circle():
    graph = {
        module: {name for name, at_once in imported(tree) if at_once and name != module}
        for module, tree in TREES.items()
        if module != "rdbench"
    }
    tuple(TopologicalSorter(graph).static_order())


def test_wings_do_not_import_one_another_in_a_circle():
    tuple(TopologicalSorter(FLOORS).static_order())
    assert not {name for name in LEFT if set(FLOORS[name]) & set(RIGHT)}
    assert not {name for name in RIGHT if set(FLOORS[name]) & set(LEFT)}


@pytest.mark.parametrize("wing", [name for name in FLOORS if name != GROUND])
def test_a_wing_is_small_and_says_its_rule(wing):
    rooms = [file for file in (PACKAGE / wing).glob("*.py") if file.name != "__init__.py"]
    assert len(rooms) <= MOST_FILES
    first, *rule = (ast.get_docstring(TREES[f"rdbench.{wing}"]) or "").split("\n\n")
    assert first
    assert len(re.findall(r"\.(?=\s|$)", " ".join(rule))) == 2


@pytest.mark.parametrize("module", MODULES)
def test_files_functions_and_signatures_are_short(module):
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= MOST_LINES
    for node in ast.walk(TREES[module]):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        assert length <= MOST_FUNCTION, f"{node.name} has {length} lines"
        if not is_command(node):
            taken = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            number = len([name for name in taken if name.arg not in ("self", "cls")])
            assert number <= MOST_PARAMETERS, f"{node.name} has {number} parameters"


def is_command(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("click.command" in ast.unparse(decorator) for decorator in node.decorator_list)


def test_what_texts_name_is_there():
    """A name between backticks that begins with rdbench. can be imported, in docstrings and in docs."""
    texts = {file: file.read_text(encoding="utf-8") for file in (*FILES, *(ROOT / "docs").glob("*.md"))}
    for file, text in texts.items():
        for name in re.findall(r"`(rdbench(?:\.\w+)+)`", text):
            assert is_there(name), f"{file} names {name}"


def is_there(name: str) -> bool:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        module = ".".join(parts[:length])
        if module in MODULES:
            value = importlib.import_module(module)
            for attribute in parts[length:]:
                if not hasattr(value, attribute):
                    return False
                value = getattr(value, attribute)
            return True
    return False


def loaded_by(code: str) -> set[str]:
    """Every module that is loaded once some code has run in a fresh interpreter."""
    command = [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules, sep='\\n')"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines())


def test_nothing_right_of_the_tables_loads_torch_ffmpeg_or_the_writer():
    rooms = [name for name in MODULES if wing_of(name) in (*RIGHT, "tables", "stats")]
    without = [name for name in rooms if name != "rdbench.tables.store"]
    loaded = loaded_by("\n".join(f"import {name}" for name in without))
    assert loaded & {"torch", "ffmpeg", "imageio_ffmpeg", "av", "cv2", "rdbench.tables.store"} == set()


def test_help_loads_neither_pandas_nor_numpy():
    code = "import sys\nsys.argv = ['rdbench', '--help']\nfrom rdbench.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass"
    assert loaded_by(code) & {"pandas", "numpy", "torch", "pydantic"} == set()
