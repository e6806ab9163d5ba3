"""Commands on tables: what a program reads is strict and alone, and nothing here needs torch or FFmpeg."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest
from made_runs import SAVING, made_tables
from small_runs import ENCODES, environment, one_sentence, tiny_run, within

__all__ = ["tiny_run"]

HEAVY = ("torch", "av", "cv2", "ffmpeg", "imageio_ffmpeg")


def save(folder: Path, encodes: pd.DataFrame, scores: pd.DataFrame) -> Path:
    folder.mkdir(parents=True)
    encodes.to_csv(folder / "encodes.csv", index=False)
    scores.to_csv(folder / "scores.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as tables alone: x265 needs three quarters of x264's rate."""
    tables = made_tables(8, factors=(1, 4), backends=("direct@lite",), spread=0.3)
    return save(tmp_path_factory.mktemp("made") / "run", *tables)


def strict(text: str) -> Any:
    """JSON as the standard has it, without NaN or infinity."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


# bd


def test_bd_finds_the_saving_that_was_made(made: Path) -> None:
    done = within("bd", made, "--anchor", "codec=x264", "--test", "codec=x265", "--format", "json")
    assert done.code == 0, done
    rows = strict(done.out)
    assert len(rows) == 2 * 2  # factors and targets stay open
    for row in rows:
        assert row["bd_rate"] == pytest.approx(100 * (SAVING - 1), abs=12)  # per cent
        assert row["bd_accuracy"] > 0


@pytest.mark.parametrize("kind", ["table", "csv", "json", "markdown"])
def test_each_format_of_bd_holds_the_same_rows(made: Path, kind: str) -> None:
    words = ("bd", made, "--anchor", "codec=x264", "--test", "codec=x265,factor=4", "--format", kind)
    done = within(*words, "--anchor", "codec=x264,factor=4")
    assert done.code == 0, done
    if kind == "json":
        assert {row["test_target"] for row in strict(done.out)} == {"valence", "arousal"}
    elif kind == "csv":
        assert {row["test_target"] for row in csv.DictReader(io.StringIO(done.out))} == {"valence", "arousal"}
    elif kind == "markdown":
        assert sum(line.startswith("|") for line in done.out.splitlines()) == 4
    for target in ("valence", "arousal"):
        assert target in done.out
    assert within(*words, "--anchor", "codec=x264,factor=4").out == done.out


def test_json_keys_of_bd_stay(made: Path) -> None:
    done = within("bd", made, "--anchor", "codec=x264", "--test", "codec=x265", "--format", "json")
    for row in strict(done.out):
        sides = {
            f"{side}_{key}" for side in ("anchor", "test") for key in ("codec", "factor", "backend", "target")
        }
        assert {*sides, "bd_rate", "bd_accuracy"} <= set(row)
        assert (row["anchor_codec"], row["test_codec"]) == ("x264", "x265")


@pytest.mark.parametrize(
    ("anchor", "test"),
    [
        ("codec=x264", "codec=x999"),
        ("codec=x264", "colour=red"),
        ("codec", "codec=x265"),
        ("", "codec=x265"),
        ("factor=two", "factor=4"),
    ],
)
def test_bad_keys_of_bd_are_told(made: Path, anchor: str, test: str) -> None:
    done = within("bd", made, "--anchor", anchor, "--test", test)
    assert done.code in (2, 3), done
    assert done.out == ""
    one_sentence(done.err)


# check


def test_check_of_a_run_against_itself_is_good(made: Path) -> None:
    done = within("check", made, "--against", made, "--format", "json")
    assert done.code == 0, done
    verdict = strict(done.out)
    assert "same" in json.dumps(verdict)


def test_check_finds_a_regression_and_tells_it_in_every_form(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encodes, scores = (pd.read_csv(made / f"{name}.csv") for name in ("encodes", "scores"))
    coded = encodes["codec"] != "none"
    for column in ("payload_bits", "framing_bits", "stream_bits"):
        encodes.loc[coded, column] = (1.5 * encodes.loc[coded, column]).round()
    worse = save(tmp_path / "worse", encodes, scores)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    junit = tmp_path / "deep" / "junit.xml"
    done = within(
        "check", worse, "--against", made, "--format", "json", "--junit", junit, "--vary", "encoder"
    )
    assert done.code == 1, done
    assert "regressed" in json.dumps(strict(done.out))
    cases = list(ElementTree.parse(junit).iter("testcase"))
    assert cases
    assert any(case.find("failure") is not None for case in cases)
    assert "regressed" in (tmp_path / "summary.md").read_text()
    for kind in ("table", "markdown"):
        shown = within("check", worse, "--against", made, "--format", kind, "--vary", "encoder")
        assert shown.code == 1
        assert "regressed" in shown.out


@pytest.mark.parametrize("share", ["x", "-1%", "nan", "inf", ""])
def test_a_tolerance_that_is_none_is_told(made: Path, share: str) -> None:
    done = within("check", made, "--against", made, "--max-bd-rate", share)
    assert done.code == 2, done
    one_sentence(done.err)


def test_nothing_to_compare_is_3_and_nothing_to_read_is_2(made: Path, tmp_path: Path) -> None:
    encodes, scores = (pd.read_csv(made / f"{name}.csv") for name in ("encodes", "scores"))
    other = save(tmp_path / "other", encodes.assign(codec="vp9"), scores)
    done = within("check", other, "--against", made)
    assert done.code == 3, done
    assert within("check", made, "--against", tmp_path / "missing").code == 2


# plot, report, inspect, status


def test_plot_draws_from_tables_alone(made: Path, tmp_path: Path) -> None:
    done = within("plot", made, "--out", tmp_path / "figures", "--only", "standalone")
    assert done.code == 0, done
    files = [Path(line) for line in done.out.splitlines()]
    assert {file.suffix for file in files} >= {".png", ".pdf", ".svg"}
    assert all(file.stat().st_size for file in files)


def test_an_unknown_figure_lists_those_there_are(made: Path, tmp_path: Path) -> None:
    done = within("plot", made, "--out", tmp_path / "figures", "--only", "pie")
    assert done.code == 2
    assert "standalone" in one_sentence(done.err)


def test_a_report_is_one_offline_page(made: Path, tmp_path: Path) -> None:
    pytest.importorskip("rdbench.report")
    done = within("report", made, "-o", tmp_path / "report.html")
    assert done.code == 0, done
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert 'src="http' not in page


@pytest.mark.parametrize("kind", ["table", "csv", "json", "markdown"])
def test_inspect_shows_a_row_for_each_encode(tiny_run: Path, kind: str) -> None:
    done = within(
        "inspect", tiny_run, "--clip", "test_01", "--codec", "x264", "--factor", 4, "--format", kind
    )
    assert done.code == 0, done
    assert done.err == ""
    if kind == "json":
        rows = strict(done.out)
        assert [row["rate"] for row in rows] == [30.0, 40.0]
        assert rows[0]["stream_bits"] == rows[0]["payload_bits"] + rows[0]["framing_bits"] + (
            rows[0]["informational_bits"] + rows[0]["filler_bits"]
        )
        assert rows[0]["reason"] is None
    elif kind == "csv":
        assert len(list(csv.DictReader(io.StringIO(done.out)))) == 2
    else:
        assert sum("test_01" in line for line in done.out.splitlines()) == 2


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("--clip", "test_1", "did you mean 'test_01'"),
        ("--codec", "x256", "it has "),
        ("--factor", "3", "it has 2, 4"),
    ],
)
def test_inspect_of_what_is_not_there_is_told(tiny_run: Path, option: str, value: str, text: str) -> None:
    done = within("inspect", tiny_run, option, value)
    assert done.code == 2
    assert text in one_sentence(done.err)


def test_status_is_strict_json(tiny_run: Path) -> None:
    done = within("status", tiny_run, "--format", "json")
    assert done.code == 0
    assert strict(done.out)["encodes"] == ENCODES
    assert f"encodes: {ENCODES}" in within("status", tiny_run).out


@pytest.mark.parametrize("command", ["plot", "export", "status", "inspect", "report"])
def test_what_is_no_run_is_told(command: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for name in ("missing", "empty", "file"):
        done = within(command, tmp_path / name)
        assert done.code == 2, done
        assert name in one_sentence(done.err)
        assert done.out == ""


# What is not needed is not loaded


PROBE = f"""
import sys
from rdbench.cli import main
code = 0
try:
    main(sys.argv[1:])
except SystemExit as end:
    code = end.code
assert code == 0, code
loaded = sorted(set({HEAVY!r}) & set(sys.modules))
assert not loaded, loaded
"""


def probe(*words: object) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *map(str, words)],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_help_loads_next_to_nothing() -> None:
    script = f"""
import sys
from click.testing import CliRunner
from rdbench.cli import main
for command in main.commands:
    assert CliRunner().invoke(main, [command, "--help"]).exit_code == 0
assert not set({(*HEAVY, "pandas", "numpy", "matplotlib")!r}) & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True, env=environment())


def test_modules_right_of_the_tables_load_neither_torch_nor_ffmpeg() -> None:
    names = (
        "runs curves intervals bd bd_table envelope figures check export report text_table verdict_formats"
    )
    script = "import sys, " + ", ".join(f"rdbench.{name}" for name in names.split())
    script += f"\nloaded = set({HEAVY!r}) & set(sys.modules)\nassert not loaded, loaded"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr


def test_drawing_loads_neither_torch_nor_ffmpeg(tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    shutil.copyfile(tiny_run / "run.sqlite", run / "run.sqlite")
    probe("plot", run, "--only", "rd")
    assert any((run / "figures").glob("*.png"))


@pytest.mark.skipif(os.name != "posix", reason="runs where the project runs")
def test_exporting_loads_neither_torch_nor_ffmpeg(tiny_run: Path, tmp_path: Path) -> None:
    probe("export", tiny_run, "--out", tmp_path)
