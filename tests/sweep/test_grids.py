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

from rdbench.codecs import coder, reach
from rdbench.codecs.profiles import load_profiles
from rdbench.codecs.reach import Material, achieved, limits
from rdbench.sweep import grids
from rdbench.sweep.experiment import conditions, load_experiment
from rdbench.sweep.grids import CEILING, MARK, POINTS, grid, pilots
from rdbench.video.planes import Geometry
from rdbench.video.prepared import prepare
from rdbench.video.views import downsample, full_pictures

PROFILES = load_profiles()


@given(st.floats(0.5, 300), st.floats(1.0, 1e5), st.floats(0.3, 1.2))
def test_targets_are_those_whose_achieved_rates_go_in_even_steps(floor, ceiling, share):
    assume(min(0.8 * ceiling, CEILING) > 3 * floor + POINTS)
    targets = pilots(floor, ceiling)
    reached = [float(np.clip(share * target, floor, ceiling)) for target in targets]
    rates = grid(floor, ceiling, targets, reached)
    assert len(rates) == POINTS
    assert all(type(rate) is int for rate in rates)
    assert list(rates) == sorted(set(rates))
    came = np.exp(np.interp(np.log(rates), np.log(targets), np.log(reached)))
    low, high = max(1.3 * floor, reached[0]), min(0.8 * ceiling, CEILING, reached[-1])
    wanted = np.geomspace(low, high, POINTS)
    # A target is a whole number, and no smaller than the one before it and one.
    assert all(
        abs(np.log(got / want)) < 0.7 / rate + 0.15 or rate == before + 1
        for got, want, rate, before in zip(came[1:], wanted[1:], rates[1:], rates, strict=False)
    )


def test_a_grid_by_hand():
    # Half of what is asked for comes; nothing below 2 and above 60; the third was refused.
    targets = [2, 4, 8, 16, 32, 64, 128, 256]
    reached = [2.0, 2.0, np.nan, 8.0, 16.0, 32.0, 60.0, 60.0]
    rates = grid(2.0, 60.0, targets, reached)
    came = [2.6 * (48 / 2.6) ** (i / 4) for i in range(5)]
    assert rates[-1] == round(64 * 2 ** (np.log(48 / 32) / np.log(60 / 32)))
    assert rates[2] == round(2 * came[2])
    assert rates[3] == round(2 * came[3])


@pytest.mark.parametrize(("floor", "ceiling"), [(3.1, 4.4), (400.0, 1e6), (10.0, 5.0)])
def test_without_room_there_is_no_grid(floor, ceiling):
    with pytest.raises(ValueError, match=rf"between {floor:.2f} and {ceiling:.2f} kbit/s there is no room"):
        grid(floor, ceiling, [1, 1000], [floor, ceiling])


def test_limits_are_the_pooled_rates_of_the_coarsest_and_the_finest_quantiser(tmp_path):
    clips = [clip_of(moving(12), name="a"), clip_of(moving(12, rate="50"), name="b")]
    names = ["x264", "x265"]
    found = dict(
        zip(
            names,
            limits(
                Material(Clips(*clips), ["a", "b"], None), "frame", 8, [(PROFILES[n], "ra") for n in names]
            ),
            strict=True,
        )
    )
    for name in names:
        for end, quantiser in enumerate((51, 1)):
            bits, seconds = 0, Fraction(0)
            for clip in clips:
                prepared = prepare(clip)
                geometry = Geometry(160, 120, 8)
                full = full_pictures(prepared, geometry, tmp_path)
                low = downsample(full, geometry, tmp_path)
                fps = prepared.timeline.fps
                done = coder.encode(low, PROFILES[name], "ra", "qp", quantiser, fps, tmp_path)
                assert isinstance(done, coder.Encoded)
                bits += done.bits.payload
                seconds += prepared.frames / fps
            assert found[name][end] == pytest.approx(bits / float(seconds) / 1000)
        assert found[name][0] < found[name][1] / 5
    assert limits(Material(Clips(*clips), ["a"], 0.2), "frame", 4, [(PROFILES["x264"], "ld")])[0][0] > 0


def test_what_an_encoder_refuses_is_missing_and_the_rest_is_not():
    clip = clip_of(moving(12), name="a")
    wanted = [(PROFILES["x264"], "ra", "2pass", rate) for rate in (1, 200)]
    refused, done = achieved(Material(Clips(clip), ["a"], None), "frame", 1, wanted)
    assert np.isnan(refused)
    assert done > 0


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

    def known(material, region, factor, wanted):
        assert region == "frame"
        asked.append((sorted(material.names), material.seconds, factor))
        return [
            {51: 4.0, 1: 800.0}[rate] / factor if mode == "qp" else min(0.7 * rate, 790 / factor)
            for _, variant, mode, rate in wanted
        ]

    monkeypatch.setattr(grids, "achieved", known)
    monkeypatch.setattr(reach, "achieved", known)
    file = tmp_path / "small.toml"
    file.write_text(HEAD + MARK + "\n" + CODEC)
    done = CliRunner().invoke(grids.main, [str(file)], catch_exceptions=False)
    assert done.exit_code == 0
    assert "x264 factor 8: floor 0.50, ceiling 100.0, grid" in done.output
    assert [(seconds, factor) for _, seconds, factor in asked] == [(2.0, 1), (2.0, 1), (2.0, 8), (2.0, 8)]
    # Found on people who are never reported.
    assert {name.partition("_")[0] for names, _, _ in asked for name in names} == {"dev"}
    once = file.read_text()
    assert once.startswith(HEAD + MARK)
    rates = {}
    for condition in conditions(load_experiment(Path(file)), PROFILES):
        rates.setdefault((condition.codec, condition.factor), []).append(condition.rate)
    assert rates["x264", 1] == pytest.approx(np.geomspace(5.2, 400, POINTS) / 0.7, abs=1.5, rel=0.03)
    assert rates["x264", 8] == sorted(set(rates["x264", 8]))
    CliRunner().invoke(grids.main, [str(file)], catch_exceptions=False)
    assert file.read_text() == once
