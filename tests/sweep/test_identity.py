"""Changes between two calls of one command: told and done anew, or refused with both sides named; no old number passes."""

from __future__ import annotations

import dataclasses
import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from small_runs import inside, make_video, tables, within

from rdbench.errors import InputError
from rdbench.identity import OPTIONAL, PROGRAMS
from rdbench.sweep import unit
from rdbench.sweep.experiment import load_experiment, override
from rdbench.sweep.plan import make_plan
from rdbench.tables.store import Store

__all__ = ["inside"]

BOXES = "time,x,y,w,h\n0,80,40,120,120\n"
LABELS = "time,valence,arousal\n" + "".join(f"{k / 25},{k / 50},{1 - k / 30}\n" for k in range(26))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two labelled clips with boxes, and an experiment over them."""
    clips = tmp_path / "clips"
    for kind in ("boxes", "labels"):
        (clips / kind).mkdir(parents=True)
    for name, pattern in (("a", "128x96"), ("b", "128x96")):
        make_video(
            clips / f"{name}.mkv", "-vf", f"hue=h={ord(name)}", "-c:v", "ffv1", size=pattern, seconds=1
        )
        (clips / "boxes" / f"{name}.csv").write_text(BOXES.replace("80,40,120,120", "30,10,60,60"))
        (clips / "labels" / f"{name}.csv").write_text(LABELS)
    file = tmp_path / "e.toml"
    file.write_text(
        f'factors = [4]\nbackends = ["constant"]\n[dataset]\nname = "{clips}"\npartition = "test"\n'
        '[[codecs]]\nname = "x264"\nmode = "crf"\nrates = [40]\n'
    )
    return file


def another_video(clips: Path) -> None:
    make_video(clips / "a.mkv", "-vf", "negate", "-c:v", "ffv1", size="128x96")


def one_box_moved(clips: Path) -> None:
    (clips / "boxes" / "a.csv").write_text("time,x,y,w,h\n0,31,10,60,60\n")


def one_label_moved(clips: Path) -> None:
    (clips / "labels" / "a.csv").write_text(LABELS.replace("0.0,0.0,1.0", "0.0,0.1,1.0"))


def all_boxes_moved(clips: Path) -> None:
    (clips / "boxes" / "a.csv").write_text(BOXES.replace("80,40,120,120", "20,20,50,50"))


def no_labels_any_more(clips: Path) -> None:
    (clips / "labels" / "a.csv").unlink()


def another_target(clips: Path) -> None:
    file = clips / "labels" / "a.csv"
    file.write_text(file.read_text().replace("arousal", "tension"))


def another_subject(clips: Path) -> None:
    (clips / "manifest.csv").write_text("file,subject\na.mkv,ann\nb.mkv,b\n")


def damage_masked(clips: Path) -> None:
    (clips / "manifest.csv").write_text("file,damage\na.mkv,mask\nb.mkv,\n")


ANEW = (
    another_video,
    one_label_moved,
    all_boxes_moved,
    no_labels_any_more,
    another_target,
    another_subject,
    damage_masked,
    one_box_moved,
)
CHANGES = [ANEW[0], *(pytest.param(change, marks=pytest.mark.long) for change in ANEW[1:])]


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)
def test_a_clip_that_is_another_one_is_told_and_done_anew(
    study: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    run = tmp_path / "run"
    assert within("run", study, "--out", run, "--jobs", 1).code == 0
    change(tmp_path / "clips")
    again = within("run", study, "--out", run, "--jobs", 1)
    assert again.code == 0, again
    assert "Clip a is not what it was" in again.err
    assert "its 2 encodes are done anew" in again.err
    assert "Clip b" not in again.err
    fresh = within("run", study, "--out", tmp_path / "fresh", "--jobs", 1)
    assert fresh.code == 0, fresh
    assert tables(run) == tables(tmp_path / "fresh")


@pytest.mark.usefixtures("inside")
def test_a_clip_that_is_gone_is_refused_by_name(study: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert within("run", study, "--out", run, "--jobs", 1).code == 0
    (tmp_path / "clips" / "a.mkv").unlink()
    (tmp_path / "clips" / "boxes" / "a.csv").unlink()
    (tmp_path / "clips" / "labels" / "a.csv").unlink()
    again = within("run", study, "--out", run, "--jobs", 1)
    assert again.code == 2
    assert "2 encodes of the clip 'a', which the dataset does not have there any more" in again.err


@pytest.mark.usefixtures("inside")
def test_a_clip_without_a_face_is_looked_at_again_once_it_is_another(study: Path, tmp_path: Path) -> None:
    clips, run = tmp_path / "clips", tmp_path / "run"
    good = (clips / "boxes" / "a.csv").read_text()
    (clips / "boxes" / "a.csv").write_text("time,x,y,w,h\n50,30,10,60,60\n")
    assert "Clip a skipped" in within("run", study, "--out", run, "--jobs", 1).err
    assert "Clip a skipped" in within("run", study, "--out", run, "--jobs", 1).err
    (clips / "boxes" / "a.csv").write_text(good)
    again = within("run", study, "--out", run, "--jobs", 1)
    assert "2 clips, 4 encodes done" in again.out, again


Change = Callable[[pytest.MonkeyPatch, Path], Any]


def version_of(name: str) -> Change:
    def change(patch: pytest.MonkeyPatch, study: Path) -> None:
        known = unit.version
        patch.setattr(unit, "version", lambda other: "9.9.9" if other == name else known(other))

    return change


REFUSED: dict[str, tuple[str, Change]] = {
    **{
        name: (f"{name} ", version_of(name))
        for name in ("numpy", "scipy", "av", "torch", "opencv-python-headless", "ffmpeg-python")
    },
    "rdbench": ("rdbench ", lambda patch, study: patch.setattr(unit.rdbench, "__version__", "9.9.9")),
    "stage": ("rdbench ", lambda patch, study: patch.setattr(unit, "STAGE", 99)),
    "ffmpeg by content": (
        "ffmpeg ",
        lambda patch, study: patch.setattr(unit.binary, "fingerprint", lambda: "0123456789abcdef"),
    ),
    "ffmpeg by version": ("ffmpeg ", lambda patch, study: patch.setattr(unit.binary, "build", lambda: "n1")),
    "the encoder alone": (
        "encoder of x264 ",
        lambda patch, study: patch.setattr(unit, "encoder_of", lambda profile: "x264 - core 1 00"),
    ),
    **{
        what: (
            said,
            lambda patch, study, old=old, new=new: study.write_text(study.read_text().replace(old, new)),
        )
        for what, said, old, new in (
            ("a rate", "codecs ", "[40]", "[41]"),
            ("another rate", "codecs ", "[40]", "[40, 41]"),
            ("a mode", "codecs ", '"crf"', '"qp"'),
            ("a codec", "codecs ", '"x264"', '"x265"'),
            ("a factor", "factors ", "[4]", "[2]"),
            ("a back-end's reference", "reference ", "backends", 'reference = "constant"\nbackends'),
            ("the region", "region ", "backends", 'region = ["face"]\nbackends'),
            ("seconds", "dataset ", 'partition = "test"', 'partition = "test"\nseconds = 0.5'),
            ("the selection", "dataset ", 'partition = "test"', 'partition = "test"\nclips = ["a"]'),
            ("uncoded", "uncoded ", "backends", "uncoded = false\nbackends"),
            ("a variant", "codecs ", '"crf"', '"crf"\nvariant = "ld"'),
            ("an effort", "codecs ", '"crf"', '"crf"\neffort = "fast"'),
            ("where boxes come from", "boxes ", "backends", 'boxes = "decoded"\nbackends'),
            ("what is done with fields", "dataset ", '"test"', '"test"\ninterlaced = "keep"'),
            ("the size of faces", "face_size ", "backends", 'face_size = 64\nregion = ["face"]\nbackends'),
            (
                "a second codec",
                "codecs ",
                "[40]",
                '[40]\n[[codecs]]\nname = "x265"\nmode = "crf"\nrates = [40]',
            ),
            ("the name", "name ", "factors", 'name = "other"\nfactors'),
        )
    },
}


@pytest.mark.parametrize("what", REFUSED)
def test_another_setting_or_program_is_refused_with_both_sides(
    what: str, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, change = REFUSED[what]
    plan = make_plan(load_experiment(study))
    Store(tmp_path / "run", plan.identity).close()
    Store(tmp_path / "run", make_plan(load_experiment(study)).identity).close()
    change(monkeypatch, study)
    with pytest.raises(
        InputError, match=r"holds another run \(.*there, .* now.*\); name another folder"
    ) as caught:
        Store(tmp_path / "run", make_plan(load_experiment(study)).identity)
    assert said in str(caught.value)


def test_a_grid_that_a_profile_brings_along_is_part_of_the_run(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.write_text(study.read_text().replace("rates = [40]\n", ""))
    plan = make_plan(load_experiment(study))
    Store(tmp_path / "run", plan.identity).close()
    own = tmp_path / "codecs"
    own.mkdir()
    from importlib import resources

    text = (resources.files("rdbench") / "profiles" / "x264.toml").read_text()
    head, _, tail = text.partition("[modes.crf]")
    before, _, rest = tail.partition("grid = [")
    (own / "x264.toml").write_text(f"{head}[modes.crf]{before}grid = [{rest.partition(', ')[2]}")
    monkeypatch.setenv("RDBENCH_CODECS", str(own))
    with pytest.raises(InputError, match=r"conditions: frame 4 x264 ra crf \["):
        Store(tmp_path / "run", make_plan(load_experiment(study)).identity)


def test_a_run_that_an_earlier_version_began_is_read_but_not_continued(study: Path, tmp_path: Path) -> None:
    plan = make_plan(load_experiment(study))
    Store(tmp_path / "run", {k: v for k, v in plan.identity.items() if k != PROGRAMS}).close()
    with pytest.raises(InputError, match="an earlier version of rdbench began"):
        Store(tmp_path / "run", plan.identity)
    assert within("status", tmp_path / "run", "--provenance").code == 0


def test_a_worker_with_other_programs_is_refused_by_name(study: Path) -> None:
    setup = make_plan(load_experiment(study)).setup
    unit.check_programs(dataclasses.replace(setup, verified=False, identity="same"))
    other = {**setup.programs, "numpy": "1.0"}
    unit.check_programs(dataclasses.replace(setup, programs=other, identity="trusted"))
    with pytest.raises(
        InputError, match=r"The worker on \S+ is not what planned this run \(numpy: 1\.0 there"
    ):
        unit.check_programs(dataclasses.replace(setup, programs=other, verified=False, identity="other"))


@pytest.mark.usefixtures("inside")
def test_what_computed_a_run_is_told(study: Path, tmp_path: Path) -> None:
    assert within("run", study, "--out", tmp_path / "run", "--jobs", 1).code == 0
    state = json.loads(within("status", tmp_path / "run", "--provenance", "--format", "json").out)
    assert state["programs"]["encoder of x264"].startswith("x264 - core ")
    assert {"rdbench", "ffmpeg", "numpy", "torch"} <= set(state["programs"])
    (call,) = state["calls"]
    assert {"date", "command", "host", "machine", "system", "python"} <= set(call)
    with closing(sqlite3.connect(tmp_path / "run" / "run.sqlite")) as connection:
        builds = [row[0] for row in connection.execute("SELECT build FROM encodes WHERE codec = 'x264'")]
    assert all(state["programs"]["encoder of x264"] in build for build in builds)
    assert all(state["programs"]["ffmpeg"] in build for build in builds)


@pytest.mark.parametrize("part", OPTIONAL)
@pytest.mark.parametrize("gone", [False, True], ids=["new", "gone"])
def test_what_only_some_runs_have_makes_them_others(
    part: str, gone: bool, study: Path, tmp_path: Path
) -> None:
    plain = dict(make_plan(load_experiment(study)).identity)
    more = {**plain, part: "something"}
    Store(tmp_path / "run", more if gone else plain).close()
    with pytest.raises(InputError, match=f"{part}: .*there, .*now"):
        Store(tmp_path / "run", plain if gone else more)


def test_what_decides_no_row_makes_no_other_run(study: Path, tmp_path: Path) -> None:
    plain = make_plan(load_experiment(study)).identity
    assert make_plan(load_experiment(study), time_limit=7).identity == plain
    assert make_plan(override(load_experiment(study), follow_links=True)).identity == plain
    text = study.read_text()
    study.write_text(f'description = "what it is for"\n{text}')
    assert make_plan(load_experiment(study)).identity == plain


@pytest.mark.long
def test_a_clip_that_is_new_is_done_as_well(study: Path, tmp_path: Path, inside: None) -> None:
    run, clips = tmp_path / "run", tmp_path / "clips"
    assert within("run", study, "--out", run, "--jobs", 1).code == 0
    for kind, suffix in ((".", "mkv"), ("boxes", "csv"), ("labels", "csv")):
        (clips / kind / f"c.{suffix}").write_bytes((clips / kind / f"a.{suffix}").read_bytes())
    again = within("run", study, "--out", run, "--jobs", 1)
    assert "3 clips, 6 encodes done" in again.out, again
    assert "anew" not in again.err


def test_the_table_in_the_docs_names_every_change_that_is_tested() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "output.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| (.+?) \| (?:done anew|refused) \|$", text, re.MULTILINE)
    changes = [change.__name__.replace("_", " ") for change in ANEW] + list(REFUSED)
    assert sorted(cell for row in named for cell in row.split("; ")) == sorted(changes)
