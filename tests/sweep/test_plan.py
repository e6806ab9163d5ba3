"""Plans: what is checked before the first clip is opened, and what makes two runs the same."""

from __future__ import annotations

import json
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pytest
from made_videos import moving
from small_runs import CLIPS, inside, one, tiny

from rdbench import binary
from rdbench.backends.double import Double
from rdbench.backends.protocol import Input
from rdbench.errors import InputError
from rdbench.machine import cores, profiles_folder
from rdbench.sweep import plan as running
from rdbench.sweep.experiment import load_experiment, override
from rdbench.sweep.plan import make_plan, run_plan

__all__ = ["inside", "one", "tiny"]


def test_a_plan_holds_everything(tiny: Path) -> None:
    plan = make_plan(load_experiment(tiny))
    assert [clip.name for clip in plan.clips] == list(CLIPS)
    assert len(plan.conditions) == 6
    assert plan.setup.dataset.seconds == 1  # nothing is drawn that nobody looks at
    assert set(plan.setup.profiles) == {"x264"}
    assert plan.experiment.dataset.partition == "test"
    assert plan.identity["ffmpeg"] == binary.build()
    assert plan.identity["profiles"].startswith("x264:")


def test_equal_plans_have_one_identity_and_others_another(tiny: Path) -> None:
    experiment = load_experiment(tiny)
    same = make_plan(experiment).identity
    assert make_plan(experiment.model_copy(update={"description": "other words"})).identity == same
    for changes in ({"factors": (8,)}, {"codecs": ("x265",)}, {"rates": (31.0,)}, {"mode": "qp"}):
        assert make_plan(override(experiment, **changes)).identity != same  # type: ignore[arg-type]


def test_a_changed_profile_is_another_run(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = make_plan(load_experiment(tiny)).identity
    shipped = (Path(__file__).parents[2] / "codecs" / "x264.toml").read_text()
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "x264.toml").write_text(shipped.replace('preset = "medium"', 'preset = "slow"', 1))
    monkeypatch.setenv("RDBENCH_CODECS", str(tmp_path / "own"))
    plan = make_plan(load_experiment(tiny))
    assert {key for key in before if before[key] != plan.identity[key]} == {"profiles", "programs"}
    assert any("x264 is your own profile" in note for note in plan.notes)


def test_who_learned_on_drawn_faces_says_so_of_other_clips_and_proposes_the_real_one(
    tiny: Path, tmp_path: Path
) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "mine.mp4").write_bytes(moving(2).read_bytes())
    drawn = load_experiment(tiny)
    mine = override(drawn, dataset=str(tmp_path / "clips"))
    (told,) = [note for note in make_plan(mine).notes if "learned on drawn faces" in note]
    assert told.startswith("constant ")
    assert "`--backend expression`" in told
    assert not [note for note in make_plan(drawn).notes if "learned on drawn faces" in note]


@pytest.mark.parametrize(
    ("partitions", "chosen", "said"),
    [
        ({"test": 3, "train": 4}, "train", "4 subjects, none of whom is reported"),
        ({"test": 4, "train": 2}, "test", "4 subjects, each of them without himself"),
        ({"test": 4}, "test", "4 subjects, each of them without himself"),
    ],
)
def test_the_threshold_of_verification_is_set_on_subjects_that_are_not_reported(
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    partitions: dict[str, int],
    chosen: str,
    said: str,
) -> None:
    """One clip of each subject: of another partition where it has enough, else of the reported one."""
    folder = tmp_path / "clips"
    folder.mkdir()
    rows = ["file,subject,partition"]
    for partition, count in partitions.items():
        for number in range(count):
            for take in "ab":
                name = f"{partition}{number}{take}.mp4"
                (folder / name).write_bytes(moving(2).read_bytes())
                rows.append(f"{name},{partition}-{number},{partition}")
    (folder / "manifest.csv").write_text("\n".join(rows))
    double = Double(input=Input(size=32), targets=("similarity",))
    double.descriptor = 1  # type: ignore[attr-defined]
    monkeypatch.setattr(running, "find_backend", lambda name, weights, device: double)
    plan = make_plan(override(load_experiment(tiny), dataset=str(folder)))
    assert plan.setup.cohort == tuple(f"{chosen}{number}a" for number in range(partitions[chosen]))
    assert any(said in note and "true-accept rate" in note for note in plan.notes)
    before = plan.identity["cohort"]
    (folder / f"{chosen}1a.mp4").write_bytes(moving(3).read_bytes())
    assert make_plan(override(load_experiment(tiny), dataset=str(folder))).identity["cohort"] != before


def test_a_detector_of_ones_own_is_part_of_the_run_by_its_content(tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx writes the network that the test names")
    from made_detector import write_detector

    network = write_detector(tmp_path / "mine.onnx")
    plan = make_plan(load_experiment(tiny), detector=network)
    assert plan.identity["detector"].startswith("yunet-")
    assert plan.setup.detector == network
    assert "detector" not in make_plan(load_experiment(tiny)).identity
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(InputError, match="is no network"):
        make_plan(load_experiment(tiny), detector=tmp_path / "text.onnx")


def test_one_back_end_under_two_names_is_one(tiny: Path) -> None:
    experiment = override(load_experiment(tiny), backends=("constant", "constant"))
    assert make_plan(experiment).setup.backends == ("constant",)


def test_regions_are_told_apart(tiny: Path) -> None:
    notes = make_plan(load_experiment(tiny)).notes
    assert any(note.startswith("Region frame: ") for note in notes)
    notes = make_plan(override(load_experiment(tiny), regions=("face",))).notes
    assert not any(note.startswith("Region frame: ") for note in notes)


def test_one_margin_widens_the_coded_face_and_two_are_refused(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    margins = {"narrow": 0.0, "wide": 0.4, "as-wide": 0.4}
    monkeypatch.setattr(
        running, "find_backend", lambda name, *_: Double(name, Input(32, margin=margins[name]))
    )
    monkeypatch.setattr(running, "name_for_workers", lambda name, backend: name)

    def plan(region: str, *backends: str, reference: str | None = None) -> running.Plan:
        chosen = override(load_experiment(tiny), regions=(region,), backends=backends, reference=reference)
        return make_plan(chosen)

    wide = plan("face", "wide", "as-wide")
    assert wide.identity["face_margin"] == "0.4"
    assert "Region face: the coded crop is 1.4 times the face box, as every back-end asks for." in wide.notes
    # A reference looks at the source, where it sees as much as it likes.
    for other in (plan("face", "narrow", reference="wide"), plan("frame", "narrow", "wide")):
        assert "face_margin" not in other.identity
    with pytest.raises(
        InputError, match=r"narrow asks for a margin of 0 .* wide for one of 0\.4; give each a run"
    ):
        plan("face", "narrow", "wide")


def test_profiles_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RDBENCH_CODECS", raising=False)
    assert profiles_folder() is None
    monkeypatch.setenv("RDBENCH_CODECS", "/some/where")
    assert profiles_folder() == Path("/some/where")


def test_there_is_a_core() -> None:
    assert cores() >= 1


@pytest.mark.usefixtures("inside")
def test_the_experiment_is_kept_as_it_was_run(one: Path, tmp_path: Path) -> None:
    plan = make_plan(load_experiment(one))
    summary = run_plan(plan, tmp_path / "run", jobs=1, report=lambda *_: None)
    assert summary.encodes == 2
    kept = tmp_path / "run" / "experiment.json"
    assert json.loads(kept.read_text()) == plan.experiment.model_dump(mode="json")
    assert [file.name for file in (tmp_path / "run").iterdir() if file.name.endswith(".part")] == []
    assert (tmp_path / "run" / "samples").is_dir()


def test_a_run_without_any_clip_is_bad_input(
    one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rdbench.sweep.loop import Summary

    def nothing(*_: Any) -> Summary:
        return Summary([{"clip": "a", "state": "skipped", "reason": "a: no face"}], [], 0, [])

    monkeypatch.setattr(running, "sweep", nothing)
    with pytest.raises(InputError, match=r"No clip can be used \(a: no face\)"):
        run_plan(make_plan(load_experiment(one)), tmp_path / "run", jobs=1, report=lambda *_: None)


def test_jobs_reach_the_executor(one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import contextlib
    from collections.abc import Callable, Iterator
    from concurrent.futures import ThreadPoolExecutor

    asked: list[int] = []

    @contextlib.contextmanager
    def executor(jobs: int) -> Iterator[Callable[[], Executor]]:
        asked.append(jobs)
        yield lambda: ThreadPoolExecutor(1)

    monkeypatch.setattr(running, "local_executor", executor)
    run_plan(make_plan(load_experiment(one)), tmp_path / "run", jobs=7, report=lambda *_: None)
    assert asked == [7]


def test_a_run_goes_on_however_its_folder_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "one.mp4").write_bytes(moving(5).read_bytes())
    monkeypatch.chdir(tmp_path)
    experiment = load_experiment("quick.toml")
    plans = [
        make_plan(override(experiment, dataset=name, backends=["constant"])).identity
        for name in ("clips", "./clips/", str(tmp_path / "clips"))
    ]
    assert plans[0] == plans[1] == plans[2]


def test_other_arithmetic_is_another_run(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = override(load_experiment(tiny), backends=["max-mix@lite"])
    found = []
    for asked in ("float32", "bfloat16"):
        monkeypatch.setenv("RDBENCH_DTYPE", asked)
        found.append(make_plan(experiment).identity)
    assert {key for key in found[0] if found[0][key] != found[1][key]} == {"arithmetic"}
    assert found[0]["torch"].endswith(" on cpu")
