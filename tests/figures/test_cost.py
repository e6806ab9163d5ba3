"""Bits at equal accuracy against the encoder's CPU time."""

from __future__ import annotations

from pathlib import Path

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest
from made_runs import csv_run

from rdbench.answers.targets import Goal, at_targets
from rdbench.curves.run import Run
from rdbench.errors import NotComparableError
from rdbench.figures.draw import draw_all
from rdbench.figures.source import Source
from rdbench.figures.targets import cost_figures

GOAL = Goal(0.8, True)
COST = {"x264": 0.25, "x265": 2.0}


def timed(folder: Path, **options: object) -> Run:
    """A run whose encoders take so much time for a second of video, divided by the factor."""
    wanted = {"factors": (1, 2, 4), "subjects": 6, "targets": ("valence",), "backends": ("direct@lite",)}
    run = csv_run(folder, **(wanted | options))
    coded = run.encodes[run.encodes["codec"] != "none"]
    seconds = coded["seconds"] * coded["codec"].map(COST) / coded["factor"]
    run.__dict__["timings"] = pd.DataFrame(
        {"encode": coded["encode"], "encode_cpu_seconds": seconds, "seconds": 99.0}
    )
    return run


def source_of(run: Run) -> Source:
    return Source(run, run.basis(), "screen")


def test_marks_stand_at_the_time_and_the_rate_of_each_codec_and_factor(tmp_path):
    run = timed(tmp_path)
    source = source_of(run)
    [(name, draw)] = list(cost_figures(source, GOAL))
    assert name == ("cost", "valence", "direct@lite", "frame")
    figure = draw()
    table = at_targets(source.scopes, [GOAL], {})
    table = table[(table["factor"] != "best") & table["kbps"].notna()]
    wanted = sorted((COST[row.codec] / int(row.factor), float(row.kbps)) for row in table.itertuples())
    marks = [line for line in figure.axes[0].get_lines() if line.get_marker() not in ("None", None, "")]
    found = sorted((float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in marks)
    np.testing.assert_allclose(found, wanted)
    assert len(wanted) > 2
    assert len({matplotlib.colors.to_hex(line.get_color()) for line in marks}) == 2
    assert sorted(text.get_text() for text in figure.axes[0].texts) == sorted(table["factor"])
    assert "80% of uncoded" in figure.axes[0].get_ylabel()
    assert "CPU seconds" in figure.axes[0].get_xlabel()
    assert np.isfinite(figure.axes[0].get_xlim()).all()


def test_it_is_drawn_only_where_times_of_two_are_known(tmp_path):
    run = timed(tmp_path / "a")
    run.__dict__["timings"] = run.timings.assign(encode_cpu_seconds=np.nan)
    assert list(cost_figures(source_of(run))) == []
    assert list(cost_figures(source_of(timed(tmp_path / "b", codecs=("x264",))))) == []
    plain = csv_run(tmp_path / "c", factors=(1, 4), subjects=6, targets=("valence",))
    assert list(cost_figures(source_of(plain))) == []
    with pytest.raises(NotComparableError):
        draw_all(plain, tmp_path / "out", only=["cost"])


def test_presets_of_one_codec_are_told_apart(tmp_path):
    run = timed(tmp_path)
    slow = run.encodes["codec"] == "x265"
    run.encodes.loc[slow, "codec"], run.encodes.loc[slow, "variant"] = "x264", "ra-slow"
    [(_, draw)] = list(cost_figures(source_of(run)))
    figure = draw()
    told = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert sorted(told) == ["x264 ra abr", "x264 ra-slow abr"]


def test_a_figure_of_it_is_drawn_and_captioned(tmp_path):
    files = draw_all(timed(tmp_path / "run"), tmp_path / "out", only=["cost"], formats=("png",))
    assert [file.name for file in files] == ["cost_valence_direct-lite_frame.png", "captions.md"]
    assert "user and system time of the encoder" in files[1].read_text()
