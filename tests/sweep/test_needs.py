from __future__ import annotations

from dataclasses import replace

import pytest
from click.testing import CliRunner
from made_videos import Clips, clip_of, moving

from rdbench.cli import main
from rdbench.datasets.synthetic import SyntheticDataset
from rdbench.sweep.experiment import Condition
from rdbench.sweep.limits import needs

CODED = Condition("frame", 1, "x264", "ra", "crf", 30.0)


def speed(*_):
    """A microsecond a pixel."""
    return 1e-6


def test_disk_is_what_lies_in_a_work_folder_at_its_fullest():
    picture = 640 * 360 * 3 // 2
    one = needs(SyntheticDataset(), ["test_01"], [CODED], speed)
    assert one.disk == 250 * 3 * picture
    half = needs(SyntheticDataset(), ["test_01"], [replace(CODED, factor=2)], speed)
    assert half.disk == 250 * (picture + 3 * picture // 4)
    face = needs(SyntheticDataset(), ["test_01"], [replace(CODED, region="face")], speed, face_size=128)
    assert face.disk == 250 * 3 * (128 * 128 * 3 // 2)


def test_time_is_that_of_all_clips_and_conditions_and_follows_what_was_timed():
    one = needs(SyntheticDataset(), ["test_01"], [CODED], speed)
    pixels = 250 * 640 * 360
    assert one.cpu_seconds == pytest.approx(0.2 + pixels * (1e-6 + 6e-9))
    more = needs(SyntheticDataset(), ["test_01", "test_02"], [CODED, replace(CODED, rate=40.0)], speed)
    assert more.cpu_seconds == pytest.approx(4 * one.cpu_seconds)
    short = needs(SyntheticDataset(seconds=2), ["test_01"], [CODED], speed, seconds=2)
    assert short.cpu_seconds == pytest.approx(0.2 + 50 * 640 * 360 * (1e-6 + 6e-9))


def test_files_say_how_long_they_are_and_those_that_cannot_be_used_are_counted(tmp_path):
    good = clip_of(moving(20), name="good")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all")
    found = needs(Clips(good, clip_of(broken, name="bad")), ["good", "bad"], [CODED], speed)
    assert found.disk == 20 * 3 * (160 * 120 * 3 // 2)
    assert found.unknown == 1
    alone = needs(Clips(good), ["good"], [CODED], speed)
    assert found.cpu_seconds == pytest.approx(2 * alone.cpu_seconds)
    assert needs(Clips(clip_of(broken, name="bad")), ["bad"], [CODED], speed) is None


def test_a_dry_run_tells_them(tmp_path):
    out = tmp_path / "x"
    command = ["run", "--clip", "test_01", "--factor", "4", "--dry-run", "--jobs", "3", "--out", str(out)]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0
    assert "with 3 workers" in done.stdout
    assert "GB of memory" in done.stdout
    assert "GB free" in done.stdout
    assert not out.exists()
