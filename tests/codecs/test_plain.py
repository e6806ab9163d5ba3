"""The streams of libx264 and libx265 are those of command lines that anybody may type, byte for byte."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from made_streams import FFMPEG, PROFILES, pictures

from rdbench.codecs.coder import Encoded, encode
from rdbench.video.planes import write_planes

SIDE, FRAMES = 64, 60
X264 = "-c:v libx264 -preset medium -threads 1"
X264_ALL = "cpu-independent=1:force-cfr=1"
X264_RA = "-g 50 -keyint_min 50 -sc_threshold 0 -flags +cgop -psy 0 -aq-mode 0"
X264_LD = "-g 9999999 -sc_threshold 0 -bf 0 -rc-lookahead 0 -mbtree 0 -psy 0 -aq-mode 0"
X264_OUT = "-bsf:v filter_units=remove_types=6 -f h264"
X265 = "-c:v libx265 -preset medium -threads 1"
X265_ALL = "log-level=info:pools=none:frame-threads=1:wpp=0:info=0:scenecut=0"
X265_RA = "open-gop=0:psy-rd=0:psy-rdoq=0:aq-mode=0"
X265_LD = "keyint=-1:bframes=0:rc-lookahead=0:cutree=0:psy-rd=0:psy-rdoq=0:aq-mode=0"

LINES = [
    ("x264", "ra", "crf", 33, f"{X264} -crf 33 {X264_RA} -x264-params {X264_ALL} {X264_OUT}"),
    ("x264", "ra", "qp", 33, f"{X264} -qp 33 {X264_RA} -x264-params {X264_ALL} {X264_OUT}"),
    (
        *("x264", "ra", "abr", 40),
        f"{X264} -b:v 40k -maxrate 40k -bufsize 40k {X264_RA} -x264-params {X264_ALL} {X264_OUT}",
    ),
    ("x264", "ra", "2pass", 40, f"{X264} -b:v 40k {X264_RA} -x264-params {X264_ALL} {{pass}} {X264_OUT}"),
    ("x264", "ld", "crf", 33, f"{X264} -crf 33 {X264_LD} -x264-params {X264_ALL} {X264_OUT}"),
    (
        "x265",
        "ra",
        "crf",
        33,
        f"{X265} -crf 33 -g 50 -keyint_min 50 -x265-params {X265_ALL}:{X265_RA} -f hevc",
    ),
    ("x265", "ra", "qp", 33, f"{X265} -qp 33 -g 50 -keyint_min 50 -x265-params {X265_ALL}:{X265_RA} -f hevc"),
    (
        "x265",
        "ra",
        "abr",
        40,
        f"{X265} -b:v 40k -g 50 -keyint_min 50 -x265-params {X265_ALL}:{X265_RA} -f hevc",
    ),
    (
        *("x265", "ra", "2pass", 40),
        f"{X265} -b:v 40k -g 50 -keyint_min 50 -x265-params {X265_ALL}:{X265_RA} {{pass}} -f hevc",
    ),
    ("x265", "ld", "crf", 33, f"{X265} -crf 33 -x265-params {X265_ALL}:{X265_LD} -f hevc"),
]


def plain(line: str, file: Path, folder: Path) -> bytes:
    source = f"-y -v error -f rawvideo -pix_fmt yuv420p -s {SIDE}x{SIDE} -framerate 25 -i {file} -an"
    passes = (1, 2) if "{pass}" in line else (None,)
    for number in passes:
        words = line.replace("{pass}", f"-pass {number} -passlogfile {folder / 'log'}")
        subprocess.run([FFMPEG, *f"{source} {words} {folder / 'plain'}".split()], check=True)
    return (folder / "plain").read_bytes()


@pytest.mark.parametrize(("name", "variant", "mode", "rate", "line"), LINES)
def test_streams_equal_those_of_a_plain_command_line(name, variant, mode, rate, line, tmp_path):
    frames = np.frombuffer(pictures(SIDE, SIDE, FRAMES), np.uint8).reshape(FRAMES, -1)
    planes = write_planes(iter(frames), SIDE, SIDE, tmp_path / "in.yuv", FRAMES)
    ours = encode(planes, PROFILES[name], variant, mode, rate, Fraction(25), tmp_path)
    assert isinstance(ours, Encoded)
    assert ours.file.read_bytes() == plain(line, planes.file, tmp_path)
