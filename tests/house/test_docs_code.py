"""The code on the pages runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from made_tables import made

import rdbench
from rdbench.curves.run import open_run
from rdbench.sweep.experiment import Experiment

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)
    assert found
    return found


@pytest.fixture
def quick(tmp_path, monkeypatch):
    encodes, scores, _ = made(factors=(1, 4), subjects=6)
    folder = tmp_path / "results" / "quick"
    folder.mkdir(parents=True)
    encodes.to_csv(folder / "encodes.csv", index=False)
    scores.to_csv(folder / "scores.csv", index=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setattr(rdbench, "open_run", open_run, raising=False)
    return tmp_path


@pytest.mark.parametrize("number", range(3))
def test_the_library_page_runs(quick, capsys, number):
    code = blocks("library.md", "python")[number]
    exec(compile(code, "library.md", "exec"), {})
    if "savefig" in code:
        assert (quick / "subjects.svg").stat().st_size > 10_000
    if "print(" in code:
        low, high, *reason = capsys.readouterr().out.split()
        assert float(low) < float(high) < 1, "factor 4 errs less than factor 1 at the lowest rate"
        assert reason == []


def test_the_gates_experiment_is_one(tmp_path):
    import tomllib

    experiment = Experiment.model_validate(tomllib.loads(blocks("ci.md", "toml")[0]))
    assert experiment.name == "gate"


def test_the_workflow_gives_a_verdict_at_the_tolerance_that_the_page_recommends():
    yaml = pytest.importorskip("yaml")
    workflow = yaml.safe_load(blocks("ci.md", "yaml")[0])
    steps = workflow["jobs"]["gate"]["steps"]
    verdict = next(step["run"] for step in steps if step.get("name") == "Verdict")
    assert "--max-bd-rate 3%" in verdict
    assert "rdbench check" in verdict
    for step in steps:
        assert ("uses" in step) != ("run" in step)
        assert "continue-on-error" not in step


def test_the_workflows_commands_have_these_options():
    from click.testing import CliRunner

    from rdbench.cli import group

    workflow = blocks("ci.md", "yaml")[0]
    commands = re.findall(r"rdbench (run|check) (.*?)(?=\n {6}- |\Z)", workflow, re.DOTALL)
    assert [name for name, _ in commands] == ["run", "run", "check"]
    for name, rest in commands:
        shown = CliRunner().invoke(group.main, [name, "--help"]).output
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in shown
