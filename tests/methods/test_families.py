from __future__ import annotations

import numpy as np
import pytest
from made_runs import csv_run, made_tables

from rdbench.curves.arrays import Arrays
from rdbench.curves.run import open_run
from rdbench.figures import draw
from rdbench.methods.families import COLUMNS, family_points
from rdbench.methods.table import method_table

SEEDED = ("one@lite", "one@lite#1", "one@lite#2", "two@lite")


@pytest.fixture(scope="module")
def tables():
    return made_tables(8, factors=(1, 4), targets=("valence",), backends=SEEDED)


def test_a_family_is_the_mean_of_its_seeds_at_their_common_rate(tables):
    encodes, scores = tables
    parts = Arrays(encodes, scores).parts()
    table = family_points(parts)
    assert tuple(table.columns) == COLUMNS
    (points,) = parts
    values = points.value(points.stats.sum(axis=0))
    keys = points.keys
    for _, row in table[table["codec"] == "x265"].iterrows():
        same = (keys["backend"].str.split("#").str[0] == row["backend"]).to_numpy()
        for name in ("codec", "factor", "rate"):
            same = same & (keys[name] == row[name]).to_numpy()
        assert row["seeds"] == same.sum() == (3 if row["backend"] == "one@lite" else 1)
        assert row["value"] == pytest.approx(values[same].mean(), abs=1e-12)
        assert row["low"] < row["value"] < row["high"]
        bits, seconds = points.stats[:, same, 0].sum(axis=0), points.stats[:, same, 1].sum(axis=0)
        np.testing.assert_allclose(row["bitrate_kbps"], bits / seconds / 1000)


def test_without_a_codec_it_says_what_the_table_of_methods_says(tables):
    table = family_points(Arrays(*tables).parts()).query("codec == 'none'").set_index(["backend", "factor"])
    other = method_table(*tables, metrics=["ccc"]).set_index(["backend", "factor"])
    for name in ("value", "low", "high"):
        np.testing.assert_allclose(table.loc[other.index, name], other[name])


def test_nothing_gives_no_rows():
    assert list(family_points([]).columns) == list(COLUMNS)


@pytest.mark.long
def test_seeds_are_drawn_as_families_and_not_by_themselves(tmp_path):
    run = csv_run(tmp_path / "run", subjects=8, factors=(1, 4), targets=("valence",), backends=SEEDED)
    names = {file.stem for file in draw.draw_all(run, tmp_path / "out", formats=["svg"])}
    assert {"methods_valence_frame_ra_abr_x1", "methods_valence_frame_ra_abr_x4", "standalone"} <= names
    assert "rd_valence_one-lite_frame_ra_abr" in names
    assert not any("one-lite-1" in name for name in names)
    captions = (tmp_path / "out" / "captions.md").read_text()
    assert captions.count("Mean over up to 3 seeds") == 3
    assert "but one seed of two@lite" in captions


def test_one_back_end_alone_has_no_figure_of_methods(tmp_path):
    run = csv_run(tmp_path / "run", subjects=8, factors=(4,), targets=("valence",), backends=("one@lite",))
    assert open_run(tmp_path / "run").scores["backend"].nunique() == 1
    names = {file.stem for file in draw.draw_all(run, tmp_path / "out", formats=["svg"])}
    assert not any(name.startswith("methods") for name in names)
