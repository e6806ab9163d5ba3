"""A live sender's variants: bits never depend on what comes later, and they come out at once."""

from __future__ import annotations

import subprocess
import threading
from fractions import Fraction

import pytest
from made_streams import CONDITIONS, FFMPEG, PROFILES, pictures, try_encode

from rdbench.codecs.arguments import Pictures, encode_arguments, pair_of
from rdbench.codecs.bitstream import count
from rdbench.codecs.profiles import Profile
from rdbench.errors import EncodeError, InputError

SIZE = 64
PICTURE = SIZE * SIZE * 3 // 2
LIVE = [condition for condition in CONDITIONS if condition[1].startswith("ld")]
FRAMES, CHANGED = 24, 15


def rate_of(profile: Profile, mode: str) -> float:
    grid = {str(name): settings for name, settings in profile.modes.items()}[mode].grid
    return 40.0 if mode in ("abr", "2pass") else grid[len(grid) // 2]


def stream_of(name: str, variant: str, mode: str, data: bytes, monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.setattr("made_streams.pictures", lambda *_: data)
    profile = PROFILES[name]
    stream, said = try_encode(
        profile, variant, mode, rate_of(profile, mode), width=SIZE, height=SIZE, frames=FRAMES
    )
    assert stream is not None, said[-2000:]
    return stream


@pytest.mark.parametrize(("name", "variant", "mode"), LIVE)
def test_bits_up_to_a_picture_do_not_change_when_later_pictures_do(name, variant, mode, monkeypatch):
    data = pictures(SIZE, SIZE, FRAMES)
    half = CHANGED * PICTURE
    # The picture that is different from its own on is as different as can be: turned upside down, and darker.
    other = data[:half] + bytes(255 - value // 2 for value in data[half:])
    format = PROFILES[name].format
    first, second = (stream_of(name, variant, mode, source, monkeypatch) for source in (data, other))
    ours, theirs = count(first, format).frames, count(second, format).frames
    assert len(ours) == len(theirs) == FRAMES
    assert ours[:CHANGED] == theirs[:CHANGED]
    assert ours[CHANGED:] != theirs[CHANGED:]


class Sender:
    """An encoder at the end of a pipe that stays open, and what came out of it so far."""

    def __init__(self, arguments: list[str]) -> None:
        source = [
            "-f",
            "rawvideo",
            "-pix_fmt",
            "yuv420p",
            "-s",
            f"{SIZE}x{SIZE}",
            "-framerate",
            "25",
            "-i",
            "-",
        ]
        quick = ["-v", "error", "-probesize", "32", "-fflags", "nobuffer"]
        self.process = subprocess.Popen(
            [FFMPEG, *quick, *source, "-an", *arguments, "-flush_packets", "1", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.news = threading.Condition()
        self.data = b""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        while chunk := self.process.stdout.read1(65536):  # type: ignore[attr-defined]
            with self.news:
                self.data += chunk
                self.news.notify()

    def sends(self, data: bytes, format: str, wanted: int, patience: float = 60) -> int:
        """Pictures that come out of these while the pipe stays open: it is waited for `wanted` of them."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()
        with self.news:
            self.news.wait_for(lambda: self._pictures(format) >= wanted, patience)
            return self._pictures(format)

    def _pictures(self, format: str) -> int:
        try:
            return len(count(self.data, format).frames)  # type: ignore[arg-type]
        except EncodeError:
            return 0

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.mark.parametrize(("name", "variant", "mode"), LIVE)
def test_of_an_open_pipe_fed_with_n_pictures_all_but_one_come_out(name, variant, mode):
    profile, given = PROFILES[name], 12
    coming = Pictures(SIZE, SIZE, Fraction(25), given)
    arguments = encode_arguments(profile, coming, variant=variant, mode=mode, rate=rate_of(profile, mode))
    sender = Sender(arguments)
    try:
        # FFmpeg hands a picture to the encoder when it has seen that another one follows: hence one more.
        assert sender.sends(pictures(SIZE, SIZE, given + 1), profile.format, given - 1) >= given - 1
    finally:
        sender.end()


@pytest.mark.parametrize("name", PROFILES)
def test_a_live_sender_has_no_second_pass_and_says_why(name):
    profile = PROFILES[name]
    if "2pass" in profile.modes:
        with pytest.raises(
            InputError, match=r"no mode 2pass in variant 'ld': a first pass reads the whole clip"
        ):
            pair_of(profile, "ld", "2pass")
    for mode in profile.modes:
        if mode not in profile.variants["ld"].without:
            assert (pair_of(profile, "ld", mode)[2].passes or profile.modes[mode].passes) == 1
