"""Commands on tables: what a program reads is strict and alone, and nothing here needs torch or FFmpeg."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest
from made_runs import SAVING, made_tables
from small_runs import ENCODES, environment, one_sentence, tiny_run, within

from rdbench.cli.compare import bd
from rdbench.errors import InputError
from rdbench.report.page import run_names
from rdbench.stats import interpolation

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
        lines = [line for line in done.out.splitlines() if line.startswith("|")]
        assert len(lines) == 2 * 4, "a table a measure"
        assert "| BD-CCC |" in lines[0]
        assert "| BD-rate |" in lines[4]
    elif kind == "table":
        assert sum(line.startswith("BD-") for line in done.out.splitlines()) == 2
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


def test_reasons_stand_below_the_tables_and_the_bootstrap_within(tmp_path: Path) -> None:
    few = save(tmp_path / "few", *made_tables(4, factors=(1,), backends=("direct@lite",)))
    words = ("bd", few, "--anchor", "codec=x264", "--test", "codec=x265")
    assert "[1] only 4 subjects: an interval needs 6\n" in within(*words).out
    assert "- [1] only 4 subjects: an interval needs 6\n" in within(*words, "--format", "markdown").out
    many = save(tmp_path / "many", *made_tables(8, factors=(1,), targets=("valence",), backends=("one",)))
    words = ("bd", many, "--anchor", "codec=x264", "--test", "codec=x265", "--format")
    done, (row,) = (
        within(*words, "table", "--bootstrap", 50),
        strict(within(*words, "json", "--bootstrap", 50).out),
    )
    assert f"{row['bd_accuracy_boot_low']:.3f} to {row['bd_accuracy_boot_high']:.3f}" in done.out


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_bd_draws_what_it_prints(made: Path, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / "deep" / f"a.b.{suffix}"
    words = ("bd", made, "--anchor", "factor=1", "--test", "factor=best,target=valence", "--format", "json")
    done = within(*words, "--plot", file)
    assert done.code == 0, done
    assert done.out == within(*words).out
    assert [one.name for one in file.parent.iterdir()] == [file.name]
    assert f"drawn: {file}" in done.err


def test_a_picture_that_cannot_be_is_told_and_nothing_is_printed(made: Path, tmp_path: Path) -> None:
    words = ("bd", made, "--anchor", "codec=x264", "--test", "codec=x265", "--plot")
    done = within(*words, tmp_path / "a.bmp")
    assert (done.code, done.out) == (2, "")
    assert ".svg" in one_sentence(done.err)
    backends = tuple(f"net{i}" for i in range(5))
    many = save(tmp_path / "many", *made_tables(2, factors=(1,), rates=4, backends=backends))
    done = within("bd", many, *words[2:], tmp_path / "a.png")
    assert (done.code, done.out) == (2, "")
    assert "narrow the keys" in one_sentence(done.err)
    assert not (tmp_path / "a.png").exists()


def test_a_table_whose_pairs_share_no_range_is_printed_all_the_same(tmp_path: Path) -> None:
    encodes, scores = made_tables(3, factors=(1,), targets=("valence",), backends=("one",))
    poor = scores["encode"].isin(encodes.loc[encodes["codec"] == "x265", "encode"])
    run = save(tmp_path / "run", encodes, scores.assign(cov=scores["cov"].mask(poor, -scores["cov"])))
    words = ("bd", run, "--anchor", "codec=x264", "--test", "codec=x265", "--plot", tmp_path / "a.png")
    done = within(*words)
    assert done.code == 3, done
    assert "BD-CCC" in done.out
    assert "share a range" in done.err
    assert not (tmp_path / "a.png").exists()


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
    assert strict(done.out)["overall"] == "same"


def dearer(encodes: pd.DataFrame, factor: float) -> pd.DataFrame:
    """The same encodes with so many times the bits, which still add up."""
    kinds = ["payload_bits", "framing_bits", "informational_bits", "filler_bits"]
    coded = encodes["codec"] != "none"
    encodes = encodes.copy()
    encodes.loc[coded, kinds] = (factor * encodes.loc[coded, kinds]).round()
    encodes.loc[coded, "stream_bits"] = encodes.loc[coded, kinds].sum(axis=1)
    return encodes


def test_check_finds_a_regression_and_tells_it_in_every_form(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encodes, scores = (pd.read_csv(made / f"{name}.csv") for name in ("encodes", "scores"))
    worse = save(tmp_path / "worse", dearer(encodes, 1.5), scores)
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
    one, other = (
        save(tmp_path / codec, encodes[encodes["codec"] == codec], scores[scores["encode"].isin(own)])
        for codec in ("x264", "x265")
        for own in [encodes.loc[encodes["codec"] == codec, "encode"]]
    )
    words = ("check", one, "--against", other, "--allow-lost", "codec=x265")
    assert within(*words).code == 3, "nothing is left to compare"
    assert within("check", one, "--against", other).code == 1, "what the reference has is lost"
    assert within("check", made, "--against", tmp_path / "missing").code == 2


@pytest.mark.parametrize("rate_only", [False, True])
def test_check_tells_what_was_left_out_in_every_form(made: Path, tmp_path: Path, rate_only: bool) -> None:
    encodes, scores = (pd.read_csv(made / f"{name}.csv") for name in ("encodes", "scores"))
    gone = (encodes["codec"] == "x265") & (encodes["factor"] == 4) & (encodes["clip"] <= "clip03")
    gone &= encodes["rate"] == encodes.loc[gone, "rate"].min()
    counts = ["payload_bits", "framing_bits", "informational_bits", "filler_bits", "stream_bits"]
    encodes.loc[gone, counts] = None
    encodes.loc[gone, "rate_status"] = "refused"
    less = save(tmp_path / "less", encodes, scores[~scores["encode"].isin(encodes["encode"][gone])])
    junit = tmp_path / "junit.xml"
    words = ("check", less, "--against", made, "--max-bd-rate", "50%", "--max-accuracy-drop", "0.2")
    words += ("--rate-only",) if rate_only else ()
    for kind in ("table", "markdown", "json"):
        done = within(*words, "--format", kind, "--junit", junit)
        assert done.code == 1, "what the reference has and the run lacks is lost"
        assert "was refused for 4 of 8 clips in the run" in done.out
    assert "left out: point frame 4 x265 ra abr" in within(*words).out
    assert "was refused for 4 of 8 clips in the run" in junit.read_text(encoding="utf-8")


def test_check_leaves_a_measure_out_where_its_tolerance_is_none(made: Path, tmp_path: Path) -> None:
    encodes, scores = (pd.read_csv(made / f"{name}.csv") for name in ("encodes", "scores"))
    worse = save(tmp_path / "worse", dearer(encodes, 1.5), scores)
    words = ("check", worse, "--against", made, "--format", "json")
    rate = within(*words, "--max-accuracy-drop", "none")
    assert rate.code == 1, rate
    found = strict(rate.out)
    assert found["settings"]["max_accuracy_drop"] is None
    assert {curve["bd_accuracy"] for curve in found["curves"] if not curve["identical"]} == {None}
    accuracy = within(*words, "--max-bd-rate", "none", "--max-accuracy-drop", "0.5")
    assert strict(accuracy.out)["settings"]["max_bd_rate"] is None
    assert {curve["bd_rate"] for curve in strict(accuracy.out)["curves"]} == {None}
    neither = within(*words, "--max-bd-rate", "none", "--max-accuracy-drop", "none")
    assert neither.code == 2
    assert "Nothing is judged" in one_sentence(neither.err)


def test_check_charges_boxes_where_asked_for(made: Path, tmp_path: Path) -> None:
    encodes, scores = (pd.read_csv(made / f"{name}.csv") for name in ("encodes", "scores"))
    dear = save(tmp_path / "dear", encodes.assign(box_bits=encodes["box_bits"] + 10_000), scores)
    words = ("check", dear, "--against", made, "--rate-only", "--format", "json")
    assert within(*words).code == 0
    done = within(*words, "--charge-boxes")
    assert done.code == 1, done
    assert strict(done.out)["settings"]["charge_boxes"] is True


def test_the_page_names_every_key_of_a_verdict(made: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "output.md").read_text(encoding="utf-8")
    section = page.split("## rdbench check --format json")[1].split("\n## ")[0]
    found = strict(within("check", made, "--against", made, "--format", "json").out)
    ends = ("_low", "_high", "_detectable")
    for key in (*found, *found["curves"][0]):
        name = next((key.removesuffix(end) for end in ends if key.endswith(end)), key)
        assert f"`{name}`" in section, key


def test_the_usual_interpolation_is_the_librarys(made: Path) -> None:
    (option,) = (one for one in bd.params if one.name == "method")
    assert option.default == interpolation.DEFAULT


# plot, report, inspect, status


def test_plot_draws_from_tables_alone(made: Path, tmp_path: Path) -> None:
    done = within("plot", made, "--out", tmp_path / "figures", "--only", "standalone")
    assert done.code == 0, done
    files = [Path(line) for line in done.out.splitlines()]
    assert {file.suffix for file in files} == {".png", ".pdf", ".svg", ".md"}
    assert all(file.stat().st_size for file in files)


def test_plot_writes_the_formats_that_are_asked_for(made: Path, tmp_path: Path) -> None:
    done = within("plot", made, "--out", tmp_path, "--only", "standalone", "--formats", "svg, png,svg")
    assert done.code == 0, done
    assert {file.name for file in tmp_path.iterdir()} == {"standalone.svg", "standalone.png", "captions.md"}
    for wrong, named in (("gif", "'gif'"), (",", "nothing at all")):
        done = within("plot", made, "--out", tmp_path / "none", "--only", "standalone", "--formats", wrong)
        assert done.code == 2
        assert named in one_sentence(done.err)
        assert "png, pdf, svg" in done.err


def test_plot_tells_what_took_no_part(tmp_path: Path) -> None:
    encodes, scores = made_tables(4, factors=(1, 4), rates=3, targets=("valence",), backends=("one",))
    gone = encodes.loc[(encodes["clip"] == "clip01") & (encodes["codec"] != "none"), "encode"].iloc[0]
    run = save(tmp_path / "run", encodes, scores[scores["encode"] != gone])
    done = within("plot", run, "--only", "standalone")
    assert done.code == 0, done
    assert done.err == "note: left out: clip clip01 has no value at 1 of 14 points\n"
    assert "Over 3 clips, 1 left out." in (run / "figures" / "captions.md").read_text()


def test_another_metric_leaves_the_figures_that_are_there(made: Path, tmp_path: Path) -> None:
    words = ("plot", made, "--out", tmp_path, "--only")
    assert within(*words, "standalone").code == 0
    before = (tmp_path / "standalone.png").read_bytes()
    done = within(*words, "standalone", "--metric", "rmse")
    assert str(tmp_path / "standalone_rmse.png") in done.out.splitlines()
    assert (tmp_path / "standalone.png").read_bytes() == before
    captions = (tmp_path / "captions.md").read_text()
    assert "**standalone** CCC" in captions
    assert "**standalone_rmse** RMSE" in captions


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


@pytest.mark.long
def test_two_runs_of_one_name_are_told_apart_by_their_folders(made: Path, tmp_path: Path) -> None:
    for place in ("before", "after"):
        shutil.copytree(made, tmp_path / place / "run")
    out = tmp_path / "r.html"
    done = within("report", tmp_path / "before" / "run", tmp_path / "after" / "run", "-o", out)
    assert done.code == 0, done
    assert "<title>before/run, after/run " in out.read_text(encoding="utf-8")
    twice = within("report", made, made, "-o", out)
    assert twice.code == 2
    assert "given twice" in one_sentence(twice.err)


def test_a_report_shows_the_metric_and_the_bits_that_are_asked_for(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.html"
    done = within("report", made, "-o", out, "--metric", "rmse", "--bits", "stream", "--charge-boxes")
    assert done.code == 0, done
    page = out.read_text(encoding="utf-8")
    # Rows of its tables name their metric: this one, and no other.
    assert re.search(r',"rmse",[\d.]', page)
    assert not re.search(r',"ccc",[\d.]', page)
    assert '"bits":"stream","boxes":["charged"]' in page


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (("--partition", "dev"), "no encodes of partition dev; it has test"),
        (("--metric", "f1"), "no value of f1"),
    ],
)
def test_a_report_of_what_a_run_lacks_is_refused(
    made: Path, tmp_path: Path, asked: tuple[str, str], says: str
) -> None:
    done = within("report", made, "-o", tmp_path / "r.html", *asked)
    assert done.code == 2, done
    assert says in one_sentence(done.err)
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/x/quick"], ["quick"]),
        (["/x/quick", "/x/main"], ["quick", "main"]),
        (["/a/quick", "/b/quick"], ["a/quick", "b/quick"]),
        (["/a/quick", "/b/quick", "/b/main"], ["a/quick", "b/quick", "main"]),
        (["/1/a/quick", "/2/a/quick", "/b/quick"], ["1/a/quick", "2/a/quick", "b/quick"]),
        (["/a/quick", "/quick"], ["a/quick", "/quick"]),
        (["/a/quick/../main", "/b/main/"], ["a/main", "b/main"]),
    ],
)
def test_runs_are_called_by_the_shortest_end_that_tells_them_apart(
    paths: list[str], names: list[str]
) -> None:
    assert run_names([Path(path) for path in paths]) == names


def test_one_folder_is_one_run_however_it_is_written() -> None:
    with pytest.raises(InputError, match="given twice"):
        run_names([Path("/a/quick"), Path("/a/b/../quick")])


# make figures-reference


@pytest.fixture
def reference(made: Path, tmp_path: Path) -> Path:
    """Reference runs as the Makefile finds them: one whole, one of which some kinds are drawn only."""
    folder = tmp_path / "reference"
    shutil.copytree(made, folder / "whole")
    shutil.copytree(made, folder / "some")
    (folder / "some" / "only.txt").write_text("standalone,strip\n")
    for name in ("whole", "some"):
        (folder / name / "figures").mkdir()
        (folder / name / "figures" / "orphan.png").touch()
    # Of the whole one a little less than everything is enough to draw here.
    (folder / "whole" / "only.txt").write_text("standalone, bd")
    return folder


def make_figures(reference: Path) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parents[2]
    stamp = reference.parent / "stamp"
    stamp.touch()
    return subprocess.run(
        [
            *("make", "-s", "-C", root, "figures-reference", f"REFERENCE={reference}", f"STAMP={stamp}"),
            f"BIN={sysconfig.get_path('scripts')}",
        ],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )


@pytest.mark.long
@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_figures_that_are_drawn_no_more_go(reference: Path) -> None:
    done = make_figures(reference)
    assert done.returncode == 0, done.stderr
    drawn = {
        name: {file.name for file in (reference / name / "figures").iterdir()} for name in ("some", "whole")
    }
    alone = {"captions.md", "standalone.pdf", "standalone.png", "standalone.svg"}
    assert drawn["some"] == alone
    assert drawn["whole"] > alone
    assert not any("orphan" in name for name in drawn["whole"])
    assert sorted(done.stdout.split()) == [f"{reference}/{name}/figures" for name in ("some", "whole")]
    assert not list(reference.rglob(".figures"))


@pytest.mark.long
@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_figures_that_cannot_be_drawn_leave_the_old_ones(reference: Path) -> None:
    (reference / "some" / "only.txt").write_text("pie\n")
    done = make_figures(reference)
    assert done.returncode != 0
    assert "pie" in done.stderr
    assert (reference / "some" / "figures" / "orphan.png").exists()
    assert not list(reference.rglob(".figures"))


REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference" / "quick"


@pytest.mark.skipif(not (REFERENCE / "figures").is_dir(), reason="no reference figures are committed here")
def test_reference_figures_need_neither_torch_nor_ffmpeg_and_come_out_equal(tmp_path: Path) -> None:
    script = f"""
import sys
from rdbench.cli import main
for place in sys.argv[2:]:
    try:
        main(["plot", sys.argv[1], "--out", place, "--only", "standalone"])
    except SystemExit as end:
        assert end.code == 0, end.code
print("loaded", sorted(set({HEAVY!r}) & set(sys.modules)))
"""
    places = [tmp_path / "a", tmp_path / "b"]
    done = subprocess.run(
        [sys.executable, "-c", script, REFERENCE, *places],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded []"
    first, second = ({file.name: file.read_bytes() for file in place.iterdir()} for place in places)
    assert {"standalone.png", "standalone.pdf", "standalone.svg", "captions.md"} == set(first)
    assert first == second


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
    told = within("status", tiny_run).out
    assert f"encodes: {ENCODES}" in told
    assert "labels: 50 frames, 2 clips, 50 exact, 0 nearest, 0 interpolated, 0 missing\n" in told
    assert "failures: none\n" in told
    # Tables alone do not say how labels met frames.
    assert "labels: none\n" in within("status", tiny_run / "export").out


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


@pytest.mark.long
def test_drawing_loads_neither_torch_nor_ffmpeg(tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    shutil.copyfile(tiny_run / "run.sqlite", run / "run.sqlite")
    probe("plot", run, "--only", "rd")
    assert any((run / "figures").glob("*.png"))


@pytest.mark.skipif(os.name != "posix", reason="runs where the project runs")
def test_exporting_loads_neither_torch_nor_ffmpeg(tiny_run: Path, tmp_path: Path) -> None:
    probe("export", tiny_run, "--out", tmp_path)
