"""The command line: exit codes, one sentence for whatever is wrong, and nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from small_runs import (
    ENCODES,
    call,
    finish,
    inside,
    make_video,
    one,
    one_sentence,
    program,
    start,
    tables,
    tiny,
    tiny_run,
    wait_for,
    within,
)

from rdbench import __version__, binary, errors
from rdbench.cli.group import main
from rdbench.cli.listing import KINDS
from rdbench.cli.progress import ProgressLine
from rdbench.datasets.synthetic import SyntheticDataset
from rdbench.tables.store import Store

__all__ = ["inside", "one", "tiny", "tiny_run"]

SMALLEST = ("--codec", "x264", "--mode", "crf", "--rate", "40", "--factor", "4", "--backend", "constant")


@pytest.fixture(scope="session")
def film(session_cache: Path) -> Path:
    """A second of a drawn face."""
    return SyntheticDataset(seconds=1).load("test_01").file


@pytest.fixture
def clips(tmp_path: Path, film: Path) -> Path:
    """A folder with one good clip, its face given."""
    folder = tmp_path / "clips"
    (folder / "boxes").mkdir(parents=True)
    shutil.copyfile(film, folder / "good.mkv")
    (folder / "boxes" / "good.csv").write_text("time,x,y,w,h\n0,240,80,160,160\n1,240,80,160,160\n")
    return folder


def run(dataset: object, out: Path, *options: object) -> Any:
    return within("run", "--dataset", dataset, *SMALLEST, "--out", out, *options)


def clip_states(out: Path) -> dict[str, tuple[str, str]]:
    connection = sqlite3.connect(out / "run.sqlite")
    try:
        rows = connection.execute("SELECT clip, state, reason FROM clips").fetchall()
        return {clip: (state, reason) for clip, state, reason in rows}
    finally:
        connection.close()


# Help and versions


COMMANDS = sorted(main.commands)


def test_all_commands_are_there() -> None:
    promised = {"run", "train", "plot", "bd", "report", "check", "export", "inspect", "status", "cache"}
    assert promised | {"list", "doctor"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_each_command_has_help_with_an_example(command: str, option: str) -> None:
    done = within(command, option)
    assert done.code == 0
    assert done.out.startswith(f"Usage: main {command}")
    examples = [line.split() for line in done.out.splitlines() if line.strip().startswith("rdbench ")]
    assert any(words[:2] == ["rdbench", command] for words in examples), done.out
    for words in examples:
        known = {name for p in main.commands[command].params for name in p.opts}
        used = [word for word in words[2:] if word.startswith("-")]
        assert set(used) <= known


@pytest.mark.parametrize("command", COMMANDS)
def test_each_option_says_what_it_is(command: str) -> None:
    done = within(command, "--help")
    for parameter in main.commands[command].params:
        if isinstance(parameter, click.Option):
            assert max(parameter.opts, key=len) in done.out


def test_help_of_the_whole_and_version() -> None:
    done = within("--help")
    assert done.code == 0
    assert all(command in done.out for command in COMMANDS)
    assert within("--version").out.strip().endswith(__version__)


def test_no_command_is_bad_usage() -> None:
    assert within().code == 2


@pytest.mark.parametrize(
    "words",
    [
        ("nothing",),
        ("run", "--nothing"),
        ("run", "a.toml", "b.toml"),
        ("run", "--factor", "0"),
        ("run", "--factor", "-4"),
        ("run", "--factor", "65"),
        ("run", "--factor", "two"),
        ("run", "--rate", "nan"),
        ("run", "--rate", "inf"),
        ("run", "--rate", "-inf"),
        ("run", "--rate", "-5"),
        ("run", "--rate", "many"),
        ("run", "--mode", "vbr"),
        ("run", "--region", "head"),
        ("run", "--partition", "all"),
        ("run", "--jobs", "0"),
        ("run", "--codec"),
        ("plot",),
        ("export", "x", "--format", "xlsx"),
        ("bd", "x"),
        ("list", "everything"),
        ("doctor", "--dataset", "avec2016"),
    ],
    ids=" ".join,
)
def test_bad_usage_is_2_and_told(words: tuple[str, ...]) -> None:
    done = within(*words)
    assert done.code == 2
    assert done.out == ""
    one_sentence(done.err)


# Names that do not exist


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--codec", "x-264"), "did you mean 'x264'"),
        (("--codec", "zzz"), "Known: "),
        (("--backend", "direkt"), "did you mean 'direct'"),
        (("--backend", "constant@huge"), "constant"),
        (("--backend", "direct@huge"), "huge"),
        (("--dataset", "syntetic"), "did you mean 'synthetic'"),
        (("--variant", "ra2"), "did you mean 'ra'"),
        (("--reference", "constnat"), "did you mean 'constant'"),
        (("--mode", "qp", "--rate", "99"), "99"),
        (("--root", "/tmp"), "--root belongs to"),
        (("--dataset", "avec2016"), "--root DIR"),
        (("--dataset", "recola", "--root", "/nonexistent"), "/nonexistent"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_does_not_exist_is_told_with_the_nearest(
    options: tuple[str, ...], text: str, tmp_path: Path
) -> None:
    done = within("run", *options, "--out", tmp_path / "out")
    assert done.code == 2, done
    assert text in one_sentence(done.err)
    assert not (tmp_path / "out").exists()


def test_an_unknown_clip_is_told_with_the_nearest(tiny: Path, tmp_path: Path) -> None:
    tiny.write_text(tiny.read_text().replace("test_02", "tset_02"))
    done = within("run", tiny, "--out", tmp_path / "out")
    assert done.code == 2
    assert "did you mean 'test_02'" in one_sentence(done.err)


def test_a_missing_experiment_is_told() -> None:
    done = within("run", "qick.toml")
    assert done.code == 2
    assert "did you mean 'quick.toml'" in one_sentence(done.err)


@pytest.mark.parametrize("content", [b"colour = 1", b"factors = [0]", b"\xff\xfe", b"name = "], ids=repr)
def test_an_experiment_that_is_none_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "e.toml").write_bytes(content)
    done = within("run", tmp_path / "e.toml", "--out", tmp_path / "out")
    assert done.code == 2
    assert "e.toml" in one_sentence(done.err)


def test_unreadable_weights_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "direct-lite-face-x4.safetensors").write_bytes(b"no weights at all")
    (folder / "constant.safetensors").write_bytes(b"\xff" * 100)
    for name in ("direct@lite", "constant"):
        done = within("run", "--backend", name, "--weights", folder, "--out", tmp_path / "out")
        assert done.code == 2, done
        assert str(folder) in one_sentence(done.err)
    done = within(
        "run", "--backend", "direct@lite", "--weights", tmp_path / "none", "--out", tmp_path / "out"
    )
    assert done.code == 2, done
    assert "none" in one_sentence(done.err)
    assert not (tmp_path / "out").exists()


# Folders of clips


@pytest.mark.usefixtures("inside")
def test_a_missing_or_empty_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "readme.txt").write_text("no video")
    for name in ("missing", "empty", "notes"):
        done = run(tmp_path / name, tmp_path / "out")
        assert done.code == 2, done
        assert name in one_sentence(done.err)
        assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("inside")
def test_a_folder_without_any_usable_clip_is_told(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "letter.mp4").write_text("Dear reader, this is no film.\n" * 50)
    done = run(tmp_path / "clips", tmp_path / "out")
    assert done.code == 2, done
    message = one_sentence(done.err)
    assert "No clip can be used" in message
    assert "letter" in message


@pytest.mark.usefixtures("inside")
def test_one_good_clip_among_broken_ones_is_done(clips: Path, tmp_path: Path) -> None:
    (clips / "letter.mp4").write_text("Dear reader, this is no film.\n" * 50)
    (clips / "nothing.mp4").touch()
    whole = make_video(tmp_path / "whole.mp4", "-c:v", "libx264", "-movflags", "+faststart")
    (clips / "half.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    late = make_video(tmp_path / "late.mp4", "-c:v", "libx264")
    (clips / "headless.mp4").write_bytes(late.read_bytes()[: late.stat().st_size * 6 // 10])
    subprocess.run(
        [
            *(binary.executable(), "-v", "error", "-nostdin", "-f", "lavfi", "-i", "sine=duration=1"),
            str(clips / "song.m4a.mp4"),
        ],
        check=True,
    )
    (clips / "gone.mp4").symlink_to(clips / "nowhere.mp4")
    done = run(clips, tmp_path / "out")
    assert done.code == 4, done
    assert "1 clip, 2 encodes done, 0 failed" in done.out
    assert "Traceback" not in done.err
    states = clip_states(tmp_path / "out")
    bad = {"letter", "nothing", "half", "headless", "song.m4a", "gone"}
    assert {name for name, (state, _) in states.items() if state == "failed"} == bad
    assert states["good"][0] == "used"
    for name in bad:
        told = [line for line in done.err.splitlines() if line.startswith(f"Clip {name} cannot be used: ")]
        assert len(told) == 1
        assert told[0].endswith(".")
    # Told again, and not forgotten: the same command tries them again.
    assert run(clips, tmp_path / "out").code == 4
    (clips / "letter.mp4").write_bytes(whole.read_bytes())
    (clips / "boxes" / "letter.csv").write_text("time,x,y,w,h\n0,80,40,100,100\n1,80,40,100,100\n")
    again = run(clips, tmp_path / "out")
    assert again.code == 4
    assert "2 clips, 4 encodes done" in again.out


@pytest.mark.usefixtures("inside")
def test_labels_that_do_not_fit_fail_their_clip_alone(clips: Path, tmp_path: Path) -> None:
    (clips / "labels").mkdir()
    header = "time,arousal,valence\n"
    (clips / "labels" / "good.csv").write_text(
        header + "".join(f"{i / 10},{i / 20},{-i / 20}\n" for i in range(11))
    )
    for name, text in (
        ("late", header + "100,0.1,0.2\n101,0.1,0.2\n"),
        ("empty", header + "0,nan,nan\n0.5,nan,nan\n1,nan,nan\n"),
        ("words", header + "0,high,low\n1,low,high\n"),
        ("backwards", header + "1,0.1,0.2\n0,0.1,0.2\n"),
        ("header", header),
    ):
        shutil.copyfile(clips / "good.mkv", clips / f"{name}.mkv")
        shutil.copyfile(clips / "boxes" / "good.csv", clips / "boxes" / f"{name}.csv")
        (clips / "labels" / f"{name}.csv").write_text(text)
    done = run(clips, tmp_path / "out")
    assert done.code == 4, done
    states = clip_states(tmp_path / "out")
    assert {name for name, (state, _) in states.items() if state == "used"} == {"good"}, states
    for name in ("late", "empty", "words", "backwards", "header"):
        told = [line for line in done.err.splitlines() if line.startswith(f"Clip {name} cannot be used: ")]
        assert len(told) == 1
    assert "Traceback" not in done.err


@pytest.mark.usefixtures("inside")
def test_a_clip_without_a_face_is_skipped_and_told(clips: Path, tmp_path: Path) -> None:
    make_video(clips / "empty_room.mkv", "-c:v", "ffv1")
    done = run(clips, tmp_path / "out")
    assert done.code == 0, done
    assert "Clip empty_room skipped: " in done.err
    assert "1 clip skipped" in done.out
    assert "no labels" in done.out
    again = run(clips, tmp_path / "out")
    assert again.code == 0
    assert "Clip empty_room skipped: " in again.err


# The folder of the run


@pytest.mark.usefixtures("inside")
def test_the_folder_of_another_experiment_is_refused(tiny: Path, tiny_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(tiny_run, out)
    before = tables(out)
    done = within("run", tiny, "--factor", "8", "--out", out)
    assert done.code == 2
    assert "holds another run" in one_sentence(done.err)
    assert "factors [2, 4] there, [8] now" in done.err
    assert tables(out) == before


def test_an_output_that_is_a_file_is_refused(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    for out in (tmp_path / "out", tmp_path / "out" / "deeper"):
        done = within("run", tiny, "--out", out)
        assert done.code == 2, done
        one_sentence(done.err)
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_output_is_refused(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o500)
    for out in (tmp_path / "out", tmp_path / "out" / "deeper"):
        done = within("run", tiny, "--out", out)
        assert done.code == 2, done
        assert "cannot be" in one_sentence(done.err)


@pytest.mark.parametrize("name", ["x" * 300, "loop/run"], ids=["too long", "loop"])
def test_a_name_that_cannot_be_a_folder_is_refused(name: str, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    done = within("run", tiny, "--out", tmp_path / name)
    assert done.code == 2, done
    one_sentence(done.err)


def test_a_run_that_is_being_written_is_left_alone(tiny: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "out", {"experiment": "another"}):
        done = within("run", tiny, "--out", tmp_path / "out")
    assert done.code == 2
    assert "Another process is writing" in one_sentence(done.err)


@pytest.mark.parametrize("share", [None, 0.3, 0.8], ids=["text", "cut early", "cut late"])
def test_a_damaged_store_is_told_by_all(
    share: float | None, tiny: Path, tiny_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    whole = (tiny_run / "run.sqlite").read_bytes()
    damaged = b"no database " * 100 if share is None else whole[: int(share * len(whole))]
    (out / "run.sqlite").write_bytes(damaged)
    for words in (("run", tiny, "--out", out), ("export", out), ("status", out)):
        done = within(*words)
        assert done.code == 2, done
        assert "run.sqlite" in one_sentence(done.err)
    assert (out / "run.sqlite").read_bytes() == damaged


@pytest.fixture
def cramped(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for next to nothing."""
    folder = tmp_path / "cramped"
    folder.mkdir()
    mounted = os.geteuid() == 0 and (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
        ).returncode
        == 0
    )
    if not mounted:
        pytest.skip("only root may mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.usefixtures("inside")
def test_a_full_disk_is_told_and_the_run_goes_on_later(
    tiny: Path, tiny_run: Path, tmp_path: Path, cramped: Path
) -> None:
    done = within("run", tiny, "--out", cramped / "run")
    assert done.code == 2, done
    message = one_sentence(done.err)
    assert "No space left" in message
    assert "what was finished is kept" in message
    shutil.copytree(cramped / "run", tmp_path / "run")
    done = within("run", tiny, "--out", tmp_path / "run")
    assert done.code == 0, done
    assert tables(tmp_path / "run") == tables(tiny_run)


# A run that goes well


@pytest.mark.usefixtures("inside")
def test_the_same_command_again_does_nothing_twice(tiny: Path, tiny_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(tiny_run, out)
    before = tables(out)
    done = within("run", tiny, "--out", out)
    assert done.code == 0
    assert f"2 clips, {ENCODES} encodes done, 0 failed, 0 clips skipped, 0 clips unusable." in done.out
    assert f"Next: rdbench plot {out}" in done.out
    assert f"{ENCODES} of {ENCODES} encodes" in done.err
    assert tables(out) == before
    connection = sqlite3.connect(out / "run.sqlite")
    assert connection.execute("SELECT COUNT(*) FROM timings").fetchone() == (ENCODES,)
    connection.close()


@pytest.mark.usefixtures("inside")
def test_bitstreams_that_were_not_kept_are_made_again_when_asked_for(one: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert within("run", one, "--out", out).code == 0
    before = tables(out)
    assert not (out / "bitstreams").exists()
    assert within("run", one, "--out", out, "--keep-bitstreams").code == 0
    assert [file.suffix for file in (out / "bitstreams").iterdir()] == [".h264"]
    assert tables(out) == before


def test_one_file_for_each_coded_row_of_the_size_that_the_row_says(tiny_run: Path) -> None:
    connection = sqlite3.connect(tiny_run / "run.sqlite")
    rows = connection.execute("SELECT encode, stream_bits FROM encodes").fetchall()
    connection.close()
    wanted = {f"{encode}.h264": bits // 8 for encode, bits in rows if bits is not None}
    assert len(wanted) == 8
    assert all(bits % 8 == 0 for _, bits in rows if bits is not None)
    have = {file.name: file.stat().st_size for file in (tiny_run / "bitstreams").iterdir()}
    assert have == wanted


@pytest.mark.usefixtures("inside")
def test_each_codec_keeps_its_own_kind_of_file(one: Path, tmp_path: Path) -> None:
    done = within(
        *("run", one, "--codec", "x265", "--codec", "vp9", "--mode", "crf", "--rate", "40"),
        *("--out", tmp_path / "run", "--keep-bitstreams"),
    )
    assert done.code == 0, done
    connection = sqlite3.connect(tmp_path / "run" / "run.sqlite")
    rows = connection.execute(
        "SELECT codec, encode, stream_bits + ifnull(container_bits, 0) FROM encodes WHERE codec != 'none'"
    ).fetchall()
    connection.close()
    suffix = {"x265": ".hevc", "vp9": ".ivf"}
    for codec, encode, bits in rows:
        assert 8 * (tmp_path / "run" / "bitstreams" / f"{encode}{suffix[codec]}").stat().st_size == bits
    assert len(list((tmp_path / "run" / "bitstreams").iterdir())) == len(rows) == 2


def test_a_dry_run_prints_the_plan_and_does_nothing(tiny: Path, tmp_path: Path) -> None:
    done = within("run", tiny, "--out", tmp_path / "out", "--dry-run")
    assert done.code == 0
    assert done.out.splitlines()[0] == "2 clips x 6 conditions, partition test:"
    assert "  frame factor 4: x264 ra crf 30 40" in done.out
    assert "  frame factor 2: uncoded" in done.out
    assert not (tmp_path / "out").exists()


def test_what_the_user_should_know_is_told(tiny: Path) -> None:
    done = within("run", tiny, "--dry-run")
    assert "Back-end constant: " in done.err
    assert "weights" in done.err
    assert "Region frame: " in done.err


def test_an_own_profile_that_hides_one_is_told(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = Path(__file__).parents[2] / "codecs" / "x264.toml"
    (tmp_path / "own").mkdir()
    shutil.copyfile(shipped, tmp_path / "own" / "x264.toml")
    monkeypatch.setenv("RDBENCH_CODECS", str(tmp_path / "own"))
    done = within("run", tiny, "--dry-run")
    assert done.code == 0, done
    assert "Codec x264 is your own profile" in done.err


@pytest.mark.usefixtures("inside")
def test_the_default_folder_is_named_after_the_experiment(
    one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = within("run", one)
    assert done.code == 0, done
    assert (tmp_path / "results" / "small" / "run.sqlite").is_file()
    assert "results/small: 1 clip, 2 encodes done" in done.out
    assert (
        "Gold: labels of 25 frames in 1 clip: 25 exact, 0 nearest, 0 interpolated, 0 missing.\n" in done.out
    )
    kept = json.loads((tmp_path / "results" / "small" / "experiment.json").read_text())
    assert kept["dataset"]["clips"] == ["test_01"]


# Errors become exit codes


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (errors.InputError("Bad input."), 2, "rdbench: Bad input."),
        (errors.ClipError("Bad clip."), 4, "rdbench: Bad clip."),
        (errors.EncodeError("Bad encode."), 4, "rdbench: Bad encode."),
        (errors.NotComparableError("Nothing."), 3, "rdbench: Nothing."),
        (errors.NoFaceError("No face."), 0, "rdbench: No face."),
        (KeyboardInterrupt(), 130, "Interrupted: what was finished is kept"),
        (click.UsageError("Odd."), 2, "Error: Odd."),
        (click.FileError("a.txt", "odd"), 2, "rdbench: Could not open file"),
        (OSError(28, "full", "/x"), 2, "No space left on the disk (/x)"),
        (PermissionError(13, "Permission denied", "/x"), 2, "/x cannot be used: Permission denied."),
        (OSError(5, "Input/output error", "/x"), 2, "/x cannot be used: Input/output error."),
        (ValueError("ours"), 70, "This is an error of rdbench (ValueError)"),
        (OSError(22, "odd"), 2, "odd"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_an_error_becomes_its_exit_code(
    error: BaseException, code: int, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setitem(KINDS, "codecs", fail)
    done = within("list")
    assert done.code == code
    assert text in done.err
    assert done.out == ""
    assert ("Traceback" in done.err) == (code == 70)


def test_failed_units_are_4_and_told(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rdbench.sweep.loop import Summary

    failure = {"clip": "a", "codec": "x264", "mode": "crf", "rate": 30.0, "factor": 2, "reason": "It broke."}
    summary = Summary([{"clip": "a", "state": "used", "labels": "x"}], [failure] * 12, 5, [])
    monkeypatch.setattr("rdbench.sweep.plan.run_plan", lambda *_, **__: summary)
    done = within("run", tiny, "--out", tmp_path / "out")
    assert done.code == 4
    assert "5 encodes done, 12 failed" in done.out
    assert "Failed: a, x264 crf 30 factor 2: It broke." in done.err


def test_output_into_a_closed_pipe_is_no_error() -> None:
    first = subprocess.Popen([*program(), "run", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert first.stdout is not None
    assert first.stderr is not None
    first.stdout.close()
    text = first.stderr.read().decode()
    first.stderr.close()
    first.wait()
    assert "Traceback" not in text


# Lists, cache, doctor


def test_list_knows_what_ships() -> None:
    done = within("list")
    assert done.code == 0
    for word in (
        "x264",
        "x265",
        "constant",
        "direct",
        "synthetic",
        "avec2016",
        "quick.toml",
        "standalone.toml",
    ):
        assert f"\n  {word} " in done.out
    done = within("list", "codecs")
    assert done.out.startswith("codecs:")
    assert "constant" not in done.out


def test_doctor_tells_versions_and_exits_0() -> None:
    done = within("doctor")
    assert done.code == 0, done
    for word in (
        __version__,
        "torch is a",
        "FFmpeg ",
        "cores: ",
        "codec x264: libx264 x264 - core ",
        "cache: ",
    ):
        assert word in done.out


def test_cache_clears_what_it_made_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RDBENCH_CACHE", str(tmp_path))
    (tmp_path / "clips" / "a").mkdir(parents=True)
    (tmp_path / "clips" / "a" / "track.npz").write_bytes(bytes(1 << 20))
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "final.txt").write_text("mine")
    done = within("cache")
    assert done.code == 0
    assert "clips: 1.0 MiB" in done.out
    assert (tmp_path / "clips").is_dir()
    done = within("cache", "--clear")
    assert done.code == 0
    assert not (tmp_path / "clips").exists()
    assert (tmp_path / "thesis" / "final.txt").read_text() == "mine"


def test_doctor_names_what_is_missing_in_a_package(tmp_path: Path) -> None:
    for dataset in ("avec2016", "recola"):
        done = within("doctor", "--dataset", dataset, "--root", tmp_path)
        assert done.code == 2
        assert "Traceback" not in done.err


# Progress


class Terminal:
    """Just enough of a terminal."""

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


def test_a_terminal_gets_a_bar_and_messages_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    from rdbench.sweep.loop import Progress

    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    with ProgressLine(terminal) as report:
        report(Progress(total=4, done=2), None)
        report(Progress(total=4, done=4), "Clip [bold]x[/bold] skipped: no face.")
    assert "4/4" in terminal.text
    assert "Clip [bold]x[/bold] skipped: no face." in terminal.text


def test_elsewhere_lines_come_at_times(capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    from rdbench.sweep.loop import Progress

    with ProgressLine(sys.stderr) as report:
        for done in range(101):
            report(Progress(total=100, done=done), None)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "100 of 100 encodes"
    assert len(lines) < 20


def test_two_runs_at_once_into_one_folder(one: Path, tmp_path: Path) -> None:
    first = start("run", one, "--out", tmp_path / "run", "--jobs", 1)
    wait_for(lambda: (tmp_path / "run" / "run.sqlite").is_file(), first)
    second = within("run", one, "--out", tmp_path / "run")
    assert second.code == 2, second
    assert "Another process is writing" in one_sentence(second.err)
    assert finish(first).code == 0


def test_the_runner_of_these_tests_is_the_program(tiny_run: Path) -> None:
    # Once through the real entry point, so that nothing hangs on how these tests call it.
    done = call("status", tiny_run / "missing")
    assert done.code == 2
    assert one_sentence(done.err) == one_sentence(within("status", tiny_run / "missing").err)
    assert CliRunner().invoke(main, ["--help"]).exit_code == 0
    assert time.monotonic() > 0


def test_what_several_clips_share_of_their_gold_is_said_once(capsys):
    from rdbench.cli.make import _tell
    from rdbench.sweep.loop import Summary
    from rdbench.tables.label_counts import NO_LABELS

    shared = f"{NO_LABELS}: agreement with landmarks on pristine frames"
    notes = [f"{shared}; {NO_LABELS}: agreement with identity, {odd}" for odd in ("a", "b")]
    clips = [{"state": "used", "labels": note} for note in notes]
    _tell(Path("out"), Summary(clips, failures=[], encodes=1, misses=[]))
    assert capsys.readouterr().out.count(shared) == 1
