"""Tables as files: equal runs give equal files, whoever reads them gets what was stored."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pandas as pd
import pytest
from made_runs import made_tables
from made_tables import made as with_classes
from pandas.testing import assert_frame_equal
from small_runs import ENCODES, tables, tiny_run, within

from rdbench.curves.envelope_tables import envelopes, gains, switch_points
from rdbench.curves.export import export_run
from rdbench.curves.run import open_run, run_status
from rdbench.errors import InputError
from rdbench.tables.schema import ENCODES as COLUMNS
from rdbench.tables.schema import SCORES
from rdbench.tables.store import Store

__all__ = ["tiny_run"]

TABLES = ("encodes", "scores", "curves", "envelopes", "switches", "gains")
"""Of a run of several factors."""

CURVES = [
    "backend",
    "codec",
    "variant",
    "region",
    "factor",
    "mode",
    "rate",
    "target",
    "gold",
    "scoring",
    "metric",
    "bitrate_kbps",
    "value",
    "low",
    "high",
    "n",
]


def made(folder: Path, order: int = 1) -> Path:
    encodes, scores = made_tables(3, factors=(1, 4), rates=3)
    folder.mkdir()
    encodes.iloc[::order].to_csv(folder / "encodes.csv", index=False)
    scores.iloc[::order].to_csv(folder / "scores.csv", index=False)
    return folder


def test_files_hold_the_agreed_columns(tiny_run: Path, tmp_path: Path) -> None:
    files = export_run(tiny_run, tmp_path / "out", "csv")
    assert [file.name for file in files] == [f"{name}.csv" for name in TABLES]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == sorted(file.name for file in files)
    read = {file.stem: pd.read_csv(file) for file in files}
    assert list(read["encodes"].columns) == list(COLUMNS)
    assert list(read["scores"].columns) == list(SCORES)
    assert list(read["curves"].columns) == CURVES
    assert len(read["encodes"]) == ENCODES
    assert len(read["scores"]) == 2 * ENCODES
    assert set(read["scores"]["encode"]) == set(read["encodes"]["encode"])
    # Two codecs' points alone: what was never coded has no rate. Bitrates by hand, from the store.
    curves = read["curves"]
    coded = read["encodes"][read["encodes"]["codec"] != "none"]
    assert set(curves["metric"]) == {"ccc", "pcc", "rmse"}
    curves = curves[curves["metric"] == "ccc"]
    assert len(curves) == 2 * coded.groupby(["factor", "rate"]).ngroups
    for (factor, rate), group in coded.groupby(["factor", "rate"]):
        point = curves[(curves["factor"] == factor) & (curves["rate"] == rate)]
        kbps = group["payload_bits"].sum() / group["seconds"].sum() / 1000
        assert point["bitrate_kbps"].tolist() == pytest.approx([kbps, kbps])
        assert point["n"].tolist() == [50, 50]
    assert pd.api.types.is_integer_dtype(curves["factor"])


def test_an_export_is_a_run_itself(tiny_run: Path, tmp_path: Path) -> None:
    export_run(tiny_run, tmp_path / "once", "csv")
    export_run(tmp_path / "once", tmp_path / "twice", "csv")
    for name in (f"{table}.csv" for table in TABLES):
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes()


def test_parquet_holds_what_csv_holds(tiny_run: Path, tmp_path: Path) -> None:
    for name in ("encodes", "scores"):
        export_run(tiny_run, tmp_path / "csv", "csv")
        export_run(tiny_run, tmp_path / "parquet", "parquet")
        parquet = pd.read_parquet(tmp_path / "parquet" / f"{name}.parquet")
        stored = getattr(open_run(tmp_path / "csv"), name)
        assert_frame_equal(parquet.convert_dtypes(), stored.convert_dtypes(), check_dtype=False)


def test_the_order_of_rows_in_a_run_does_not_show(tmp_path: Path) -> None:
    one, two = made(tmp_path / "one"), made(tmp_path / "two", order=-1)
    export_run(one, tmp_path / "a", "csv")
    export_run(two, tmp_path / "b", "csv")
    for name in (f"{table}.csv" for table in TABLES):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


KEY = ["backend", "target", "gold", "scoring", "region", "codec", "variant", "mode", "metric"]


def saved(folder: Path, encodes: pd.DataFrame, scores: pd.DataFrame) -> Path:
    folder.mkdir()
    encodes.to_csv(folder / "encodes.csv", index=False)
    scores.to_csv(folder / "scores.csv", index=False)
    return folder


def test_several_factors_have_envelopes_switches_and_gains(tmp_path: Path) -> None:
    encodes, scores = made_tables(8, factors=(1, 4), backends=("direct@lite",), spread=0.3)
    run = saved(tmp_path / "run", encodes, scores)
    read = {file.stem: pd.read_csv(file) for file in export_run(run, tmp_path / "out", "csv")}
    assert tuple(read) == TABLES
    for name, made_here in (
        ("envelopes", envelopes),
        ("switches", switch_points),
        ("gains", gains),
    ):
        expected = made_here(encodes, scores)
        table = read[name]
        assert list(table.columns[: len(KEY)]) == KEY
        assert set(table.columns) == {*expected.columns, "metric"}
        assert len(table) == len(expected) > 0
        for column in expected.columns.intersection(["value", "kbps", "gain", "chosen_factor", "to_factor"]):
            assert table[column].tolist() == pytest.approx(expected[column].tolist(), nan_ok=True), column
    assert set(read["envelopes"]["chosen_on"]) == {"other subjects"}
    assert set(read["switches"]["from_factor"]) == {4}
    assert not read["gains"].loc[read["gains"]["best_single"], "gain"].isna().any()


def test_one_factor_has_nothing_to_choose_from(tmp_path: Path) -> None:
    run = saved(tmp_path / "run", *made_tables(3, factors=(4,), rates=3))
    files = export_run(run, tmp_path / "out", "csv")
    assert [file.stem for file in files] == ["encodes", "scores", "curves"]


@pytest.mark.parametrize("subjects", [1, 6])
def test_factors_of_classes_are_chosen_by_accuracy(tmp_path: Path, subjects: int) -> None:
    encodes, scores, _ = with_classes(factors=(1, 4), subjects=subjects, classes=4)
    run = saved(tmp_path / "run", encodes, scores)
    for kind in ("csv", "parquet"):
        read = {file.stem: file for file in export_run(run, tmp_path / kind, kind)}
        assert set(TABLES) == set(read)
        curves = (pd.read_csv if kind == "csv" else pd.read_parquet)(read["curves"])
        assert set(curves["metric"]) == {"accuracy", "f1"}
    table = pd.read_parquet(read["envelopes"])
    # One subject has no others to choose on.
    assert set(table["metric"]) == ({"accuracy"} if subjects > 1 else set())
    if subjects > 1:
        assert table["value"].dtype == float
        assert table["value"].between(0, 1).all()


def test_scores_without_encodes_are_not_exported(tmp_path: Path) -> None:
    folder = made(tmp_path / "run")
    encodes = pd.read_csv(folder / "encodes.csv")
    encodes.iloc[:-3].to_csv(folder / "encodes.csv", index=False)
    with pytest.raises(InputError, match="encode should be one of the table encodes"):
        export_run(folder, tmp_path / "out", "csv")
    assert not (tmp_path / "out").exists()


def test_a_failed_export_leaves_the_last_one(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_run(tiny_run, tmp_path, "csv")
    before = (tmp_path / "encodes.csv").read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", fail)
    with pytest.raises(OSError, match="No space"):
        export_run(tiny_run, tmp_path, "csv")
    assert (tmp_path / "encodes.csv").read_bytes() == before


def test_a_run_without_encodes_is_told(tmp_path: Path) -> None:
    Store(tmp_path, {"experiment": "x"}).close()
    with pytest.raises(InputError, match="has no encodes yet"):
        export_run(tmp_path, tmp_path / "out", "csv")
    assert not (tmp_path / "out").exists()
    assert run_status(tmp_path)["encodes"] == 0


def test_the_state_of_a_run(tiny_run: Path, tmp_path: Path) -> None:
    assert run_status(tiny_run) == {
        "run": str(tiny_run),
        "encodes": ENCODES,
        "unfinished": 0,
        "clips": 2,
        "skipped": [],
        "failures": [],
        "golds": ["labels"],
        "labels": {"frames": 50, "clips": 2, "exact": 50, "nearest": 0, "interpolated": 0, "missing": 0},
    }
    run = tmp_path / "run"
    run.mkdir()
    shutil.copyfile(tiny_run / "run.sqlite", run / "run.sqlite")
    with sqlite3.connect(run / "run.sqlite") as connection:
        connection.execute("INSERT INTO clips (clip, state, reason) VALUES ('a', 'failed', 'a: no video')")
        connection.execute("INSERT INTO clips (clip, state, reason) VALUES ('b', 'skipped', 'b: no face')")
        connection.execute(
            "INSERT INTO failures VALUES ('c', 'frame', 2, 'x264', 'ra', 'crf', 30, 'It broke.')"
        )
    connection.close()
    state = run_status(run)
    assert state["clips"] == 2
    assert state["skipped"] == ["b: no face"]
    assert state["failures"] == ["a: no video", "c frame factor 2 x264 30: It broke."]


def test_the_state_of_tables_alone(tmp_path: Path) -> None:
    state = run_status(made(tmp_path / "run"))
    assert state["clips"] == 3
    assert state["failures"] == []
    assert state["labels"] is None


def test_by_default_files_lie_in_the_run(tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    shutil.copyfile(tiny_run / "run.sqlite", run / "run.sqlite")
    done = within("export", run, "--format", "parquet")
    assert done.code == 0, done
    assert done.out.split() == [str(run / "export" / f"{name}.parquet") for name in TABLES]
    assert tables(run)
