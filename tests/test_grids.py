"""Grids lie between what an encoder can do at its coarsest and at its finest."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import assume, given
from hypothesis import strategies as st
from made_videos import Clips, clip_of, moving

from rdbench import grids, transcode
from rdbench.codecs import load_profiles
from rdbench.experiment import conditions, load_experiment
from rdbench.grids import CEILING, MARK, POINTS, grid, limits
from rdbench.prepare import prepare

PROFILES = load_profiles()


@given(st.floats(0.1, 500), st.floats(1.0, 1e5))
def test_a_grid_rises_in_whole_steps_from_above_the_floor_to_below_the_ceiling(floor, ceiling):
    low, high = np.ceil(1.3 * floor), np.floor(min(0.8 * ceiling, CEILING))
    assume(high >= low + POINTS - 1)
    rates = grid(floor, ceiling)
    assert len(rates) == POINTS
    assert all(type(rate) is int for rate in rates)
    assert (rates[0], rates[-1]) == (low, high)
    assert list(rates) == sorted(set(rates))
    exact = [low * (high / low) ** (index / (POINTS - 1)) for index in range(POINTS)]
    assert all(
        abs(rate - wanted) <= 0.5 or rate == before + 1
        for rate, wanted, before in zip(rates[1:], exact[1:], rates, strict=False)
    )


@pytest.mark.parametrize(("floor", "ceiling"), [(3.1, 9.9), (400.0, 1e6), (10.0, 5.0)])
def test_without_room_there_is_no_grid(floor, ceiling):
    with pytest.raises(ValueError, match=rf"between {floor:.2f} and {ceiling:.2f} kbit/s there is no room"):
        grid(floor, ceiling)


def test_limits_are_the_pooled_rates_of_the_coarsest_and_the_finest_quantiser(tmp_path):
    clips = [clip_of(moving(12), name="a"), clip_of(moving(12, rate="50"), name="b")]
    names = ["x264", "x265"]
    found = limits(Clips(*clips), ["a", "b"], None, [PROFILES[name] for name in names], 8)
    for name in names:
        for end, quantiser in enumerate((51, 1)):
            bits, seconds = 0, Fraction(0)
            for clip in clips:
                prepared = prepare(clip)
                geometry = transcode.Geometry(160, 120, 8)
                full = transcode.full_pictures(prepared, geometry, tmp_path)
                low = transcode.downsample(full, geometry, tmp_path)
                fps = prepared.timeline.fps
                done = transcode.encode(low, PROFILES[name], "ra", "qp", quantiser, fps, tmp_path)
                assert isinstance(done, transcode.Encoded)
                bits += done.bits.payload
                seconds += prepared.frames / fps
            assert found[name][end] == pytest.approx(bits / float(seconds) / 1000)
        assert found[name][0] < found[name][1] / 5
    assert limits(Clips(*clips), ["a"], 0.2, [PROFILES["x264"]], 4)["x264"][0] > 0


HEAD = """name = "small"
factors = [1, 8]
backends = ["constant"]

[dataset]
seconds = 2

"""
CODEC = """[[codecs]]
name = "x264"
"""


def test_an_experiment_gets_its_grids_and_keeps_the_rest(tmp_path, monkeypatch):
    asked = []

    def known(dataset, names, seconds, profiles, factor):
        asked.append((sorted(names), seconds, factor))
        return {profile.name: (4.0 / factor, 800.0 / factor) for profile in profiles}

    monkeypatch.setattr(grids, "limits", known)
    file = tmp_path / "small.toml"
    file.write_text(HEAD + MARK + "\n" + CODEC)
    done = CliRunner().invoke(grids.main, [str(file)], catch_exceptions=False)
    assert done.exit_code == 0
    assert "x264 factor 8: floor 0.50, ceiling 100.0, grid" in done.output
    assert [(seconds, factor) for _, seconds, factor in asked] == [(2.0, 1), (2.0, 8)]
    # Found on people who are never reported.
    assert {name.partition("_")[0] for names, _, _ in asked for name in names} == {"dev"}
    once = file.read_text()
    assert once.startswith(HEAD + MARK)
    rates = {}
    for condition in conditions(load_experiment(Path(file)), PROFILES):
        rates.setdefault((condition.codec, condition.factor), []).append(condition.rate)
    assert tuple(rates["x264", 1]) == grid(4.0, 800.0)
    assert tuple(rates["x264", 8]) == grid(0.5, 100.0)
    CliRunner().invoke(grids.main, [str(file)], catch_exceptions=False)
    assert file.read_text() == once
