"""Profiles with any options that this FFmpeg's encoders list: no file outside the work folder is touched.

``RDBENCH_FUZZED`` sets how many are tried.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
from fractions import Fraction
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from rdbench import binary
from rdbench.codecs import coder
from rdbench.codecs.profiles import load_profiles, parse_profile
from rdbench.errors import RdbenchError
from rdbench.video.planes import write_planes

FUZZED = int(os.environ.get("RDBENCH_FUZZED", "5000"))
VALUES = (
    "victim.txt",
    "victim",
    "1",
    "0",
    "on",
    "file",
    "a=victim.txt",
    "dump-yuv=victim.txt",
    "2pass",
    "+victim",
)
PARAMS = (
    *(
        "dump-yuv",
        "stats",
        "qpfile",
        "cqm",
        "csv",
        "recon",
        "log-file",
        "analysis-save",
        "zonefile",
        "lambda-file",
    ),
    *(
        "scaling-list",
        "output",
        "config",
        "c",
        "b",
        "o",
        "roi",
        "debug",
        "trace",
        "statsfile",
        "errlog",
        "fgs-table",
    ),
)


def options_of(encoder: str) -> list[str]:
    text = subprocess.run(
        [binary.executable(), "-hide_banner", "-h", f"encoder={encoder}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return re.findall(r"^  -([A-Za-z0-9_-]+) ", text, re.MULTILINE)


@pytest.mark.long
def test_no_profile_touches_a_file_outside_its_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victims = tmp_path / "victims"
    victims.mkdir()
    for name in ("victim", "victim.txt", "1", "0", "on", "file"):
        (victims / name).write_text("mine")
    monkeypatch.chdir(victims)
    monkeypatch.setenv("RDBENCH_CACHE", str(tmp_path / "cache"))
    work = tmp_path / "work"
    work.mkdir()
    frames = iter([np.full(64 * 64 * 3 // 2, 100, np.uint8)] * 2)
    planes = write_planes(frames, 64, 64, work / "in.yuv", 2)
    folder = resources.files("rdbench") / "profiles"
    names = {name: options_of(profile.encoder) for name, profile in load_profiles().items()}
    chance = random.Random(0)
    coded = 0
    for _ in range(FUZZED):
        name = chance.choice(sorted(names))
        text = (folder / f"{name}.toml").read_text(encoding="utf-8")
        option, value = chance.choice(names[name]), chance.choice(VALUES)
        if chance.random() < 0.3 and "\n[params]\n" in text:
            text = text.replace("\n[params]\n", f'\n[params]\n"{chance.choice(PARAMS)}" = "{value}"\n', 1)
        elif "\n[options]\n" in text:
            text = text.replace("\n[options]\n", f'\n[options]\n"{option}" = "{value}"\n', 1)
        else:
            text = text.replace("\n[modes.", f'\n[options]\n"{option}" = "{value}"\n\n[modes.', 1)
        try:
            profile = parse_profile(text, "fuzzed")
            mode = next(iter(profile.modes))
            grid = profile.modes[mode].grid
            coder.encode(planes, profile, "ra", mode, grid[0], Fraction(25), work, limit=30)
            coded += 1
        except RdbenchError:
            pass
        there = {file.name: file.read_text() for file in victims.iterdir()}
        assert there == dict.fromkeys(("victim", "victim.txt", "1", "0", "on", "file"), "mine"), text
        for file in work.iterdir():
            if file.name != "in.yuv":
                file.unlink()
    assert coded > FUZZED / 100
