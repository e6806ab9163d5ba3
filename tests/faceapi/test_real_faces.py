"""Recordings of real people, where they lie beside the project: every recogniser loses with the rate, in both regions."""

from __future__ import annotations

import itertools
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from rdbench.cli.group import main
from rdbench.curves.run import open_run


@pytest.mark.long
def test_all_three_lose_with_the_rate(face_weights, real_clips, tmp_path):
    """From a neutral face to a smile: agreement with pristine frames, of the experiment that ships."""
    clips = tmp_path / "clips"
    clips.mkdir()
    shutil.copy(real_clips / "smile_640x360.mp4", clips)
    fewer = [
        "--factor",
        "1",
        "--factor",
        "4",
        "--codec",
        "x264",
        "--rate",
        "20",
        "--rate",
        "46",
        "--jobs",
        "1",
    ]
    command = ["run", "real.toml", "--dataset", str(clips), *fewer, "--out", str(tmp_path / "run")]
    answer = CliRunner().invoke(main, command)
    assert answer.exit_code == 0, answer.output
    run = open_run(tmp_path / "run")
    accuracy = run.curves("accuracy").set_index(["target", "region", "factor", "rate"])["value"]
    agreement = run.curves("ccc").set_index(["target", "region", "factor", "rate"])["value"]
    for region, factor in itertools.product(("face", "frame"), (1, 4)):
        assert accuracy["expression", region, factor, 20] > accuracy["expression", region, factor, 46]
        for target in ("mouth_opening", "smile_width"):
            assert agreement[target, region, factor, 20] > agreement[target, region, factor, 46]
    similar = run.scores[run.scores.target == "similarity"].merge(
        run.encodes, on="encode", suffixes=("", "_coded")
    )
    means = similar.set_index(["region", "factor", "rate"])["mean_pred"]
    assert means["frame", 1, 0] == pytest.approx(1, abs=1e-4)
    for region, factor in itertools.product(("face", "frame"), (1, 4)):
        assert means[region, factor, 20] > means[region, factor, 46]
    verified = run.scores[run.scores.target == "identity"]
    assert verified["reason"].unique().tolist() == [
        "a threshold needs 3 people besides the one that is reported"
    ]
    assert np.isfinite(means.astype(float)).all()
