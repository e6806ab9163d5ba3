"""`rdbench methods` and `rdbench claims`: exit codes, what is printed where, and what is written to a file."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_runs import made_tables
from small_runs import Done, environment, one_sentence, within

from rdbench.curves.run import open_run
from rdbench.methods.claims import Claim
from rdbench.methods.findings import evaluate
from rdbench.methods.table import COLUMNS

HEAVY = ("torch", "av", "cv2", "ffmpeg", "imageio_ffmpeg")
DOCS = Path(__file__).parents[2] / "docs" / "output.md"
KINDS = ("table", "csv", "json", "markdown")
SEEDS = {"max-mix@lite": 6, "separate@lite": 5, "hr@lite": 1}
BACKENDS = tuple(f"{name}#{seed}" if seed else name for name, seeds in SEEDS.items() for seed in range(seeds))
WORTH = {"max-mix@lite": 1.0, "separate@lite": 0.75, "hr@lite": 1.0}
"""What the covariance of each family is multiplied by: max-mix and hr are equal but for noise."""

CLAIM = """
[[claim]]
sentence = "{}"
better = "{}@lite"
than = "{}@lite"
factors = [4]
"""
HOLDS = CLAIM.format("it is better", "max-mix", "separate")
FAILS = CLAIM.format("it is better the other way round", "separate", "max-mix")
OPEN = CLAIM.format("it is better than its equal", "max-mix", "hr")
ABSENT = CLAIM.format("it is better than nothing", "max-mix", "joint")
CURVES = HOLDS + 'measure = "bd-rate"\ncodecs = ["x264"]\n'


def made(backends: tuple[str, ...] = BACKENDS, **options: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables with a known order of families, and with seeds that differ a little."""
    encodes, scores = made_tables(7, targets=("valence",), backends=backends, **options)
    random = np.random.default_rng(7)
    noise = 1 + 0.01 * random.normal(size=len(scores))
    scores["cov"] *= scores["backend"].str.partition("#")[0].map(WORTH) * noise
    return encodes, scores


def save(folder: Path, encodes: pd.DataFrame, scores: pd.DataFrame) -> Path:
    folder.mkdir(parents=True)
    encodes.to_csv(folder / "encodes.csv", index=False)
    scores.to_csv(folder / "scores.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without a codec."""
    tables = made(factors=(1, 4), codecs=(), region="face")
    return save(tmp_path_factory.mktemp("bare") / "bare", *tables)


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of coded frames alone."""
    tables = made(BACKENDS[:11], factors=(4,), codecs=("x264",), uncoded=False)
    return save(tmp_path_factory.mktemp("coded") / "coded", *tables)


@pytest.fixture(scope="module")
def gappy(bare: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run without a codec, of which one seed lacks a clip at factor 4."""
    encodes, scores = (pd.read_csv(bare / f"{name}.csv") for name in ("encodes", "scores"))
    lost = encodes.loc[(encodes["clip"] == "clip02") & (encodes["factor"] == 4), "encode"].item()
    gone = (scores["encode"] == lost) & (scores["backend"] == "max-mix@lite#1")
    assert gone.sum() == 1
    return save(tmp_path_factory.mktemp("gappy") / "gappy", encodes, scores[~gone])


def claims_file(tmp_path: Path, *claims: str) -> Path:
    file = tmp_path / "mine.toml"
    file.write_text("".join(claims), encoding="utf-8")
    return file


def strict(text: str) -> Any:
    """JSON as the standard has it, without NaN or infinity."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def good(done: Done) -> Done:
    assert done.code == 0, done
    assert done.err == ""
    return done


# methods


def test_methods_have_a_row_for_each_family_factor_and_metric(bare: Path) -> None:
    rows = strict(good(within("methods", bare, "--format", "json")).out)
    keys = [(row["metric"], row["backend"], row["factor"]) for row in rows]
    assert keys == [
        (metric, backend, factor)
        for metric in ("ccc", "pcc", "rmse")
        for backend in sorted(SEEDS)
        for factor in (1, 4)
    ]
    for row in rows:
        assert row["seeds"] == SEEDS[row["backend"]]
        assert row["subjects"] == row["clips"] == 7
        assert row["low"] < row["value"] < row["high"]
        assert (row["seed_sd"] is None) == (row["backend"] == "hr@lite")
        assert row["remark"] == ("1 seed: subjects only" if row["backend"] == "hr@lite" else "")
    value = {(row["metric"], row["backend"], row["factor"]): row["value"] for row in rows}
    assert value["ccc", "max-mix@lite", 4] > value["ccc", "separate@lite", 4] + 0.1
    assert value["rmse", "max-mix@lite", 4] < value["rmse", "separate@lite", 4]


def test_the_keys_of_methods_are_those_that_are_documented(bare: Path) -> None:
    section = DOCS.read_text(encoding="utf-8").partition("## rdbench methods\n")[2].partition("\n## ")[0]
    keys = re.findall("`([a-z_]+)`", re.sub(r"\([^)]*\)", "", section))
    assert keys == list(COLUMNS)
    for row in strict(good(within("methods", bare, "--format", "json")).out):
        assert list(row) == keys
    columns = next(csv.reader(io.StringIO(good(within("methods", bare, "--format", "csv")).out)))
    assert columns == keys


@pytest.mark.parametrize("kind", KINDS)
def test_each_format_of_methods_holds_the_same_rows(bare: Path, kind: str) -> None:
    words = ("methods", bare, "--metric", "ccc", "--format", kind)
    out = good(within(*words)).out
    assert within(*words).out == out
    expected = strict(within("methods", bare, "--metric", "ccc", "--format", "json").out)
    assert len(expected) == 6
    if kind == "json":
        assert strict(out) == expected
    elif kind == "csv":
        rows = list(csv.DictReader(io.StringIO(out)))
        assert [float(row["value"]) for row in rows] == pytest.approx([row["value"] for row in expected])
        assert [row["backend"] for row in rows] == [row["backend"] for row in expected]
        assert {row["boot_low"] for row in rows} == {""}
    else:
        lines = out.splitlines()[2 if kind == "markdown" else 1 :]
        assert len(lines) == len(expected)
        for line, row in zip(lines, expected, strict=True):
            words = line.replace("|", " ").split()
            assert words[:5] == [row["backend"], "valence", str(row["factor"]), "ccc", f"{row['value']:.3f}"]
            assert f"{row['low']:.3f} to {row['high']:.3f}" in line
            assert row["remark"] in line
    assert out.startswith(
        {"table": "back-end", "csv": "backend,", "json": "[", "markdown": "| back-end"}[kind]
    )


def test_metrics_are_those_asked_for_in_their_order(bare: Path) -> None:
    rows = strict(
        good(within("methods", bare, "--metric", "rmse", "--metric", "ccc", "--format", "json")).out
    )
    assert [row["metric"] for row in rows] == ["rmse"] * 6 + ["ccc"] * 6


def test_the_bootstrap_is_a_second_opinion_that_stays(bare: Path) -> None:
    words = ("methods", bare, "--metric", "ccc", "--bootstrap", 100, "--format", "json")
    done = good(within(*words))
    for row in strict(done.out):
        assert row["boot_low"] < row["value"] < row["boot_high"]
    assert within(*words).out == done.out
    assert "bootstrap" in good(within("methods", bare, "--metric", "ccc", "--bootstrap", 5)).out
    assert "bootstrap" not in good(within("methods", bare, "--metric", "ccc")).out


def test_families_of_several_runs_meet_in_one_table(bare: Path, tmp_path: Path) -> None:
    encodes, scores = (pd.read_csv(bare / f"{name}.csv") for name in ("encodes", "scores"))
    mixed = scores["backend"].str.startswith("max-mix")
    one, two = save(tmp_path / "1", encodes, scores[mixed]), save(tmp_path / "2", encodes, scores[~mixed])
    words = ("--metric", "ccc", "--format", "json")
    whole = pd.DataFrame(strict(good(within("methods", bare, *words)).out))
    for runs in ((one, two), (two, one, two)):
        rows = strict(good(within("methods", *runs, *words)).out)
        # The order of rows moves the last digits.
        pd.testing.assert_frame_equal(pd.DataFrame(rows), whole, rtol=1e-9)
    assert "separate" not in good(within("methods", one)).out


def test_a_partition_is_chosen(bare: Path, tmp_path: Path) -> None:
    encodes, scores = (pd.read_csv(bare / f"{name}.csv") for name in ("encodes", "scores"))
    encodes["partition"] = np.where(encodes["clip"] < "clip03", "dev", "test")
    run = save(tmp_path / "run", encodes, scores)
    for words, clips in ((("--partition", "dev"), 3), (("--partition", "test"), 4), ((), 4)):
        rows = strict(good(within("methods", run, "--metric", "ccc", "--format", "json", *words)).out)
        assert {row["clips"] for row in rows} == {clips}


# claims


def test_verdicts_are_told_and_a_contradicted_claim_is_no_error(bare: Path, tmp_path: Path) -> None:
    file = claims_file(tmp_path, HOLDS, FAILS, OPEN)
    told = strict(good(within("claims", bare, "--claims", file, "--format", "json")).out)
    assert [claim["verdict"] for claim in told["claims"]] == ["holds", "does not hold", "cannot be told"]
    assert [claim["than"] for claim in told["claims"]] == ["separate@lite", "max-mix@lite", "hr@lite"]
    there, back = (claim["members"][0] for claim in told["claims"][:2])
    assert there["value"] == pytest.approx(-back["value"], rel=1e-9)
    assert (there["better_seeds"], there["than_seeds"], there["subjects"]) == (6, 5, 7)
    assert within("claims", bare, "--claims", claims_file(tmp_path, FAILS)).code == 0
    assert within("claims", bare, "--claims", claims_file(tmp_path, OPEN)).code == 0


@pytest.mark.parametrize("kind", KINDS)
def test_each_format_of_claims_says_the_same(bare: Path, tmp_path: Path, kind: str) -> None:
    file = claims_file(tmp_path, HOLDS, ABSENT, FAILS)
    words = ("claims", bare, "--claims", file, "--format", kind)
    out = good(within(*words)).out
    assert within(*words).out == out
    assert out.endswith("\n")
    verdicts = ["holds", "cannot be told", "does not hold"]
    if kind == "json":
        assert [claim["verdict"] for claim in strict(out)["claims"]] == verdicts
    elif kind == "csv":
        assert [row["claim_verdict"] for row in csv.DictReader(io.StringIO(out))] == verdicts
    elif kind == "markdown":
        assert re.findall(r"\*\*(.*?)\*\*", out) == verdicts
        assert out.startswith("| claim | verdict |")
    else:
        assert [word.lower() for word in re.findall(r"^([A-Z ]+): it is", out, re.MULTILINE)] == verdicts
    assert "no back-end 'joint@lite' was scored" in out


@pytest.mark.parametrize("command", ["methods", "claims"])
def test_a_table_is_the_default(bare: Path, tmp_path: Path, command: str) -> None:
    words = (command, bare, *(("--claims", claims_file(tmp_path, HOLDS)) if command == "claims" else ()))
    assert good(within(*words)).out == good(within(*words, "--format", "table")).out


def test_a_claim_finds_its_rows_in_whichever_run_has_them(bare: Path, coded: Path, tmp_path: Path) -> None:
    file = claims_file(tmp_path, HOLDS, CURVES.replace("it is better", "it needs fewer bits"))

    def verdicts(*runs: Path) -> list[str]:
        told = strict(good(within("claims", *runs, "--claims", file, "--format", "json")).out)
        return [claim["verdict"] for claim in told["claims"]]

    assert verdicts(bare, coded) == verdicts(coded, bare) == ["holds", "holds"]
    assert verdicts(bare) == ["holds", "cannot be told"]
    assert verdicts(coded) == ["cannot be told", "holds"]


def test_the_claims_of_the_paper_are_asked_for_by_name(bare: Path) -> None:
    claims = strict(good(within("claims", bare, "--claims", "paper.toml", "--format", "json")).out)["claims"]
    assert len(claims) > 5
    assert "factor 3: there are no rows of it" in claims[0]["reason"]
    assert {claim["verdict"] for claim in claims} == {"cannot be told"}
    assert [row["value"] is None for row in claims[0]["members"]] == [True, False, True, True, True, True]


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ((), {}),
        (("--bits", "stream"), {"bits": "stream"}),
        (("--charge-boxes",), {"charge_boxes": True}),
    ],
    ids=["payload by default", "stream", "boxes"],
)
def test_what_is_charged_is_what_was_asked_for(
    coded: Path, tmp_path: Path, words: tuple[str, ...], options: dict[str, Any]
) -> None:
    file = claims_file(tmp_path, CURVES)
    done = good(within("claims", coded, "--claims", file, "--format", "json", *words))
    (row,) = strict(done.out)["claims"][0]["members"]
    run = open_run(coded)
    claim = Claim(
        sentence="it",
        better="max-mix@lite",
        than="separate@lite",
        factors=(4,),
        measure="bd-rate",
        codecs=("x264",),
    )
    value = evaluate(claim, run.encodes, run.scores, **options).members["value"].item()
    assert row["value"] == pytest.approx(value, rel=1e-9)
    payload = evaluate(claim, run.encodes, run.scores, bits="payload").members["value"].item()
    assert (abs(value - payload) > 0.01) == bool(options)


def test_claims_are_held_against_one_partition(bare: Path, tmp_path: Path) -> None:
    encodes, scores = (pd.read_csv(bare / f"{name}.csv") for name in ("encodes", "scores"))
    run = save(tmp_path / "run", encodes.assign(partition="dev"), scores)
    words = ("claims", run, "--claims", claims_file(tmp_path, HOLDS), "--format", "json")
    for chosen in ((), ("--partition", "dev")):
        assert strict(good(within(*words, *chosen)).out)["claims"][0]["verdict"] == "holds"
    done = within(*words, "--partition", "test")
    assert done.code == 3
    assert "partition test" in strict(done.out)["claims"][0]["reason"]


# What was left out is told beside


@pytest.mark.parametrize("kind", KINDS)
def test_notes_of_methods_go_to_standard_error_alone(gappy: Path, kind: str) -> None:
    done = within("methods", gappy, "--format", kind)
    assert done.code == 0
    # Once, though each metric leaves it out.
    assert done.err == "note: left out of region face: clip clip02 has no value at 1 of 24 points\n"
    assert "note" not in done.out
    assert "clip02" not in done.out
    if kind == "json":
        assert {row["clips"] for row in strict(done.out)} == {6}


def test_notes_of_claims_go_to_standard_error_once(gappy: Path, tmp_path: Path) -> None:
    file = claims_file(tmp_path, HOLDS, FAILS)
    done = within("claims", gappy, "--claims", file, "--format", "json")
    assert done.code == 0
    assert done.err == "note: left out: clip clip02 has no value at 1 of 11 points\n"
    for claim in strict(done.out)["claims"]:
        assert claim["notes"] == ["left out: clip clip02 has no value at 1 of 11 points"]
        assert claim["members"][0]["clips"] == 6
    assert "clip02" not in within("claims", gappy, "--claims", file, "--format", "csv").out


# Files


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("command", "option"), [("methods", "-o"), ("claims", "--out")])
def test_a_file_holds_what_would_have_been_printed(
    bare: Path, tmp_path: Path, command: str, kind: str, option: str
) -> None:
    given = ("--claims", claims_file(tmp_path, HOLDS, ABSENT)) if command == "claims" else ("--metric", "ccc")
    words = (command, bare, *given, "--format", kind)
    file = tmp_path / "new" / "deep" / f"out.{kind}"
    done = good(within(*words, option, file))
    assert done.out == f"{file}\n"
    printed = within(*words).out
    assert printed.endswith("\n")
    assert file.read_text(encoding="utf-8") == printed
    assert [one.name for one in file.parent.iterdir()] == [file.name]


def test_a_file_takes_the_place_of_an_older_one_and_notes_are_still_told(gappy: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    file.write_text("an older table " * 1000)
    done = within("methods", gappy, "--metric", "ccc", "--format", "csv", "-o", file)
    assert done.code == 0
    assert done.out == f"{file}\n"
    assert done.err.startswith("note: ")
    assert file.read_text().startswith("backend,region,")
    assert "older" not in file.read_text()


def test_a_failed_command_leaves_the_older_file(coded: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    file.write_text("old")
    assert within("methods", coded, "-o", file).code == 3
    assert within("claims", coded, "--claims", "zzz.toml", "-o", file).code == 2
    assert file.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.parametrize("command", ["methods", "claims"])
def test_a_folder_is_no_file_to_write_and_nothing_is_left_beside_it(
    bare: Path, tmp_path: Path, command: str
) -> None:
    folder = tmp_path / "out" / "folder"
    folder.mkdir(parents=True)
    given = ("--claims", claims_file(tmp_path, HOLDS)) if command == "claims" else ()
    done = within(command, bare, *given, "-o", folder)
    assert done.code == 2, done
    assert done.out == ""
    one_sentence(done.err)
    assert list(folder.parent.iterdir()) == [folder]
    assert not list(folder.iterdir())


def test_a_folder_that_cannot_be_written_as_a_file_is_named(bare: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    done = within("methods", bare, "-o", tmp_path / "folder")
    assert f"{tmp_path / 'folder'} " in one_sentence(done.err)


@pytest.mark.parametrize("place", ["", ".", "/"])
def test_a_path_without_a_name_is_bad_usage(bare: Path, place: str) -> None:
    done = within("methods", bare, "--metric", "ccc", "-o", place)
    assert done.code == 2
    one_sentence(done.err)


# What cannot be done


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("methods", "Missing argument 'RUN...'"),
        ("methods RUN --metric mse", "'mse' is not one of 'ccc', 'pcc'"),
        ("methods RUN --format xml", "'xml' is not one of 'table', 'csv', 'json', 'markdown'"),
        ("methods RUN --partition all", "'all' is not one of 'train', 'dev', 'test'"),
        ("methods RUN --bootstrap -1", "-1 is not in the range"),
        ("methods RUN --bootstrap 1", "one resample has no spread"),
        ("bd RUN --anchor codec=x264 --test codec=x265 --bootstrap 1", "one resample has no spread"),
        ("claims RUN", "Missing option '--claims'"),
        ("claims --claims paper.toml", "Missing argument 'RUN...'"),
        ("claims RUN --claims paper.toml --format xml", "'xml' is not one of"),
        ("claims RUN --claims paper.toml --bits some", "'some' is not one of 'payload', 'stream'"),
        ("claims RUN --claims papr.toml", "did you mean 'paper.toml'?"),
        ("claims RUN --claims RUN", "No file of claims"),
    ],
)
def test_bad_usage_is_2_and_prints_nothing(bare: Path, words: str, says: str) -> None:
    done = within(*(bare if word == "RUN" else word for word in words.split()))
    assert done.code == 2, done
    assert done.out == ""
    assert says in one_sentence(done.err)


def test_a_fault_in_a_file_of_claims_is_told_before_any_run_is_read(tmp_path: Path) -> None:
    file = claims_file(tmp_path, HOLDS, OPEN.replace("than", "thn"))
    done = within("claims", tmp_path / "no run", "--claims", file)
    assert done.code == 2
    message = one_sentence(done.err)
    assert f"{file}: claim 2: there is no key 'thn'; did you mean 'than'?" in message


@pytest.mark.parametrize("command", ["methods", "claims"])
@pytest.mark.parametrize("name", ["missing", "empty", "file"])
def test_what_is_no_run_is_told(bare: Path, tmp_path: Path, command: str, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    given = ("--claims", "paper.toml") if command == "claims" else ()
    done = within(command, bare, tmp_path / name, *given)
    assert done.code == 2, done
    assert done.out == ""
    assert str(tmp_path / name) in one_sentence(done.err)


@pytest.mark.parametrize("command", ["methods", "claims"])
def test_runs_that_contradict_each_other_are_bad_input(bare: Path, tmp_path: Path, command: str) -> None:
    encodes, scores = (pd.read_csv(bare / f"{name}.csv") for name in ("encodes", "scores"))
    other = save(tmp_path / "other", encodes, scores.assign(weights="retrained"))
    given = ("--claims", "paper.toml") if command == "claims" else ()
    done = within(command, bare, other, *given)
    assert done.code == 2, done
    assert done.out == ""
    assert f"{bare} and {other} do not belong together" in one_sentence(done.err)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "Nothing was downsampled only (codec none)"),
        (("--metric", "accuracy"), "gives accuracy; name a metric that they give (ccc, pcc, rmse)"),
        (("--partition", "train"), "Partition train has nothing"),
    ],
    ids=["coded", "metric", "partition"],
)
def test_methods_without_a_row_are_3(bare: Path, coded: Path, words: tuple[str, ...], says: str) -> None:
    done = within("methods", bare if words else coded, *words, "--format", "json")
    assert done.code == 3, done
    assert done.out == ""
    assert says in one_sentence(done.err)


@pytest.mark.parametrize("kind", KINDS)
def test_claims_without_a_single_comparison_are_3_and_still_printed(
    bare: Path, coded: Path, tmp_path: Path, kind: str
) -> None:
    for run, text, reason in (
        (bare, ABSENT, "no back-end 'joint@lite' was scored"),
        (bare, CURVES, "nothing coded with x264"),
        (coded, HOLDS, "nothing that was never coded"),
    ):
        done = within("claims", run, "--claims", claims_file(tmp_path, text), "--format", kind)
        assert done.code == 3, done
        assert done.err == ""
        assert reason in done.out
        if kind == "json":
            assert strict(done.out)["claims"][0]["verdict"] == "cannot be told"
    file = tmp_path / "out"
    done = within("claims", bare, "--claims", claims_file(tmp_path, ABSENT), "--format", kind, "-o", file)
    assert done.code == 3
    assert "joint@lite" in file.read_text()


def test_one_comparison_among_claims_is_enough_for_0(bare: Path, tmp_path: Path) -> None:
    assert within("claims", bare, "--claims", claims_file(tmp_path, ABSENT, HOLDS)).code == 0


# What is not needed is not loaded

PROBE = f"""
import sys
from rdbench.cli import main
for words in (sys.argv[1:3], ["claims", sys.argv[2], "--claims", "paper.toml"]):
    try:
        main(words)
    except SystemExit as end:
        assert end.code == 0, end.code
loaded = sorted(set({HEAVY!r}) & set(sys.modules))
assert not loaded, loaded
"""


@pytest.mark.long
def test_neither_command_loads_torch_or_ffmpeg(bare: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, "methods", str(bare)],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "CANNOT BE TOLD: max-mix is better than separate" in done.stdout
