"""Processes are started, fed, read and ended; nothing that goes wrong with them is lost."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import ffmpeg as graph
import imageio_ffmpeg
import numpy as np
import pytest

from rdbench import binary
from rdbench.errors import EncodeError, EndedError, InputError
from rdbench.video import process as ffmpeg
from rdbench.video.process import FormatError


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-c", code]


CAT = python("import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)")


@pytest.fixture(autouse=True)
def _nothing_left_running():
    yield
    assert not ffmpeg._live


def test_the_build_is_that_of_the_wheel():
    assert binary.executable() == imageio_ffmpeg.get_ffmpeg_exe()
    assert binary.build().startswith(imageio_ffmpeg.get_ffmpeg_version().rsplit("-", 1)[0])


def test_without_ffmpeg_the_sentence_says_what_to_install(monkeypatch):
    def none() -> str:
        raise RuntimeError("No ffmpeg exe could be found")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", none)
    with pytest.raises(InputError, match="install imageio-ffmpeg or set IMAGEIO_FFMPEG_EXE"):
        binary.executable.__wrapped__()


def test_commands_neither_read_the_terminal_nor_ask():
    command = ffmpeg.arguments(graph.output(graph.input("in.yuv"), "out.yuv"))
    assert command[0] == binary.executable()
    assert {"-nostdin", "-hide_banner", "-nostats", "-y"} <= set(command)
    assert command[command.index("-v") + 1] == "error"


def test_a_filter_leaves_the_other_cores_to_other_workers():
    scaled = ffmpeg.arguments(graph.output(ffmpeg.scale(graph.input("in.yuv"), 8, 6), "out.yuv"))
    assert scaled[scaled.index("-filter_complex_threads") + 1] == "1"
    plain = ffmpeg.arguments(graph.output(graph.input("in.yuv"), "out.yuv"))
    assert "-filter_complex_threads" not in plain


@pytest.mark.parametrize("size", [2**20, -1])
def test_a_pipe_that_cannot_be_widened_serves_as_it_is(monkeypatch, size):
    monkeypatch.setattr(ffmpeg, "PIPE_BYTES", size)
    command = python("import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())")
    data = bytes(range(256)) * 1000
    assert b"".join(ffmpeg.through(command, [data], 256, 64)) == data


def test_the_resampler_says_all_of_itself():
    command = ffmpeg.arguments(graph.output(ffmpeg.scale(graph.input("in.yuv"), 8, 6), "out.yuv"))
    said = command[command.index("-filter_complex") + 1]
    assert "scale=8:6" in said
    for part in ("flags=bicubic+accurate_rnd+bitexact", "param0=0", "param1=0.5"):
        assert part in said


def test_what_is_written_comes_back_though_it_is_more_than_any_pipe_holds():
    rng = np.random.default_rng(0)
    chunks = [rng.bytes(300_000) for _ in range(10)]
    with ffmpeg.running(CAT, feed=chunks) as process:
        assert process.stdout.read() == b"".join(chunks)


def test_an_exit_code_is_an_error_with_the_last_lines():
    code = "import sys; print('one', file=sys.stderr); print('two', file=sys.stderr); sys.exit(3)"
    with pytest.raises(FormatError, match=r"exit code 3: one / two") as caught:
        ffmpeg.run(python(code))
    assert caught.value.stderr.split() == ["one", "two"]
    with pytest.raises(FormatError, match="exit code 7: it gave no reason"):
        ffmpeg.run(python("raise SystemExit(7)"))


def test_a_real_failure_says_what_failed():
    command = [
        binary.executable(),
        "-nostdin",
        "-v",
        "error",
        "-i",
        "/nowhere/at/all.mp4",
        "-f",
        "null",
        "-",
    ]
    with pytest.raises(FormatError, match="No such file or directory"):
        ffmpeg.run(command)


def test_a_talkative_process_does_not_stand_still():
    code = (
        "import sys; sys.stderr.write('x' * 5_000_000); sys.stdout.buffer.write(b'done'); sys.stdout.flush()"
    )
    with ffmpeg.running(python(code)) as process:
        assert process.stdout.read() == b"done"
        process.popen.wait()
        assert len(process.stderr()) == 5_000_000
    assert len(ffmpeg.run(python(code))) == 5_000_000


def test_a_full_disk_is_no_failed_encode():
    code = "import sys; print('Error writing: No space left on device', file=sys.stderr); sys.exit(1)"
    with pytest.raises(OSError, match="No space left") as caught:
        ffmpeg.run(python(code))
    assert caught.value.errno == errno.ENOSPC


def test_a_process_that_stops_reading_is_judged_by_its_exit_code():
    assert ffmpeg.run(python("pass"), feed=[bytes(1_000_000)] * 3) == ""
    with pytest.raises(FormatError, match="exit code 5"):
        ffmpeg.run(python("raise SystemExit(5)"), feed=[bytes(1_000_000)] * 3)


def test_what_goes_wrong_in_the_feed_comes_out_and_ends_the_process():
    def feed() -> Iterator[bytes]:
        yield b"x"
        raise ValueError("the third frame is missing")

    with pytest.raises(ValueError, match="third frame"), ffmpeg.running(CAT, feed=feed()) as process:
        process.stdout.read()
    assert process.popen.returncode is not None
    with pytest.raises(ValueError, match="third frame"):
        list(ffmpeg.through(CAT, feed(), 4, 2))


def test_a_feed_that_is_not_used_up_is_closed():
    closed = threading.Event()

    def feed() -> Iterator[bytes]:
        try:
            while True:
                yield bytes(100_000)
        finally:
            closed.set()

    ffmpeg.run(python("import sys; sys.stdin.buffer.read(10)"), feed=feed())
    assert closed.wait(10)


def test_leaving_the_block_early_kills_the_process():
    def leave() -> None:
        with ffmpeg.running(python("import time; print('up', flush=True); time.sleep(600)")) as process:
            started.append(process)
            assert process.stdout.read(3) == b"up\n"
            raise KeyError("enough")

    started: list[ffmpeg.Process] = []
    with pytest.raises(KeyError, match="enough"):
        leave()
    assert started[0].popen.returncode == -9


def test_a_stream_given_up_leaves_no_process():
    frames = ffmpeg.through(CAT, (bytes(1000) for _ in range(100_000)), 1000, 1)
    assert next(frames) == bytes(1000)
    frames.close()
    assert not ffmpeg._live


def test_all_can_be_ended_at_once():
    def end() -> None:
        time.sleep(0.2)
        ffmpeg.end_all()

    ender = threading.Thread(target=end)
    ender.start()
    with (
        pytest.raises(EndedError, match="killed by signal 9"),
        ffmpeg.running(python("import time; time.sleep(600)")) as process,
    ):
        process.stdout.read()
    ender.join()


@pytest.mark.parametrize("batch", [1, 3, 4, 100])
def test_frames_come_whole_and_in_batches(batch):
    frames = [bytes([number]) * 7 for number in range(10)]
    chunks = list(ffmpeg.through(CAT, frames, 7, batch))
    assert b"".join(chunks) == b"".join(frames)
    assert [len(chunk) // 7 for chunk in chunks[:-1]] == [batch] * (len(chunks) - 1)
    assert len(chunks) == -(-10 // batch)


def test_half_a_frame_is_an_error():
    with pytest.raises(EncodeError, match="within a frame: 3 of its 7 bytes came"):
        list(ffmpeg.through(CAT, [bytes(7), bytes(3)], 7, 4))


def test_half_a_frame_of_a_process_that_failed_is_its_failure():
    code = "import sys; sys.stdout.write('abc'); sys.stdout.flush(); sys.exit('the picture is torn')"
    with pytest.raises(FormatError, match="exit code 1: the picture is torn"):
        list(ffmpeg.through(python(code), [], 7, 4))


def test_no_frame_is_lost_between_two_processes():
    size = 16 * 16 * 3 // 2
    make = [
        *(binary.executable(), "-nostdin", "-v", "error", "-f", "lavfi"),
        *("-i", "testsrc2=s=16x16:r=25,trim=end_frame=70,format=yuv420p", "-f", "rawvideo", "-"),
    ]
    copy = [
        *(binary.executable(), "-nostdin", "-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p"),
        *("-s", "16x16", "-i", "pipe:0", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"),
    ]
    wanted = subprocess.run(make, capture_output=True, check=True).stdout
    got = b"".join(ffmpeg.through(copy, ffmpeg.through(make, [], size, 8), size, 32))
    assert got == wanted
    assert len(got) == 70 * size


# Limits, folders, ends


def runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_process_that_runs_over_its_limit_is_ended_with_all_that_it_started(tmp_path):
    script = tmp_path / "hang"
    script.write_text(
        f"#!/bin/sh\n{sys.executable} -c 'import time; time.sleep(600)' & echo $! > {tmp_path}/child\nwait\n"
    )
    script.chmod(0o755)
    with pytest.raises(
        EncodeError, match=r"had not ended after 2 s, its time limit \(--time-limit\), and was ended"
    ):
        ffmpeg.run([str(script)], limit=2)
    child = int((tmp_path / "child").read_text())
    end = time.monotonic() + 30
    while runs(child):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_process_without_a_limit_may_run_as_long_as_it_works(monkeypatch):
    monkeypatch.setattr(ffmpeg, "STALLED", 1.0)
    with pytest.raises(EncodeError, match="did nothing for 1 s, and was ended"):
        ffmpeg.run(python("import time; time.sleep(600)"))
    busy = "import time\nend = time.monotonic() + 3\nwhile time.monotonic() < end: pass"
    assert ffmpeg.run(python(busy)) == ""


def late(seconds):
    """Something to write, after a while."""
    time.sleep(seconds)
    yield b"0123"


def test_one_that_waits_for_us_is_not_taken_for_hanging(monkeypatch):
    """Nothing to read yet, or nobody who reads: whoever feeds it, or looks at what came, may take his time."""
    monkeypatch.setattr(ffmpeg, "STALLED", 0.5)
    copy = python("import sys; sys.stdout.buffer.write(sys.stdin.buffer.read() * 10**6)")
    chunks = []
    for chunk in ffmpeg.through(copy, late(1.2), 4, 500_000):
        time.sleep(0.7)
        chunks.append(chunk)
    assert b"".join(chunks) == b"0123" * 10**6


@pytest.mark.parametrize("when", ["before it has read", "after it has read"])
def test_one_that_is_stopped_while_it_is_fed_and_read_is_ended(monkeypatch, when):
    monkeypatch.setattr(ffmpeg, "STALLED", 1.0)
    read = "sys.stdin.buffer.read(); " if when.startswith("after") else ""
    stops = python(f"import os, signal, sys; {read}os.kill(os.getpid(), signal.SIGSTOP)")
    with pytest.raises(EncodeError, match="did nothing for 1 s, and was ended"):
        list(ffmpeg.through(stops, [b"x" * 10**7], 4, 8))


def test_each_works_in_an_empty_folder_that_goes_with_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = "import os; assert os.listdir() == []; open('victim', 'w').close(); raise SystemExit(os.getcwd())"
    with pytest.raises(FormatError) as caught:
        ffmpeg.run(python(code))
    place = Path(caught.value.stderr.strip())
    assert place != tmp_path
    assert not place.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone ends children with their parent")
def test_one_whose_parent_is_killed_ends_too(tmp_path):
    child_code = (
        f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    )
    code = (
        f"import sys\nfrom rdbench.video import process\nprocess.run([sys.executable, '-c', {child_code!r}])"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    end = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < end
        time.sleep(0.05)
    child = int((tmp_path / "pid").read_text())
    parent.kill()
    parent.wait()
    while runs(child):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_who_was_killed_says_so_and_not_the_last_lines_of_its_log():
    code = "import os, sys; print('frame= 12', file=sys.stderr, flush=True); os.kill(os.getpid(), {})"
    with pytest.raises(EndedError, match=r"^FFmpeg was killed by signal 9 \(out of memory\?\)$"):
        ffmpeg.run(python(code.format(9)))
    with pytest.raises(EndedError, match=r"^FFmpeg was killed by signal 11$"):
        ffmpeg.run(python(code.format(11)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_was_asked_to_end_did_not_end_by_itself(number):
    """FFmpeg ends in good order then, with an exit code of its own."""
    command = [
        binary.executable(),
        "-nostdin",
        "-v",
        "info",
        "-f",
        "lavfi",
        "-re",
        "-i",
        "testsrc",
        "-f",
        "null",
        "-",
    ]

    def ended():
        with ffmpeg.running(command) as process:
            while "frame=" not in process.stderr() and "Output #0" not in process.stderr():
                time.sleep(0.05)
            process.popen.send_signal(number)

    with pytest.raises(EndedError, match=f"was asked to end by signal {int(number)}"):
        ended()


def test_another_executable_of_the_same_name_and_version_is_another_one(tmp_path, monkeypatch):
    prints = [binary.fingerprint()]
    for number in range(2):
        script = tmp_path / str(number) / "ffmpeg"
        script.parent.mkdir()
        script.write_text(f'#!/bin/sh\n# {number}\nexec {binary.executable()} "$@"\n')
        script.chmod(0o755)
        monkeypatch.setattr(binary, "executable", lambda script=script: str(script))
        prints.append(binary.fingerprint.__wrapped__())
    assert len(set(prints)) == 3


def test_one_that_is_asked_something_and_does_not_answer_is_ended(tmp_path, monkeypatch):
    script = tmp_path / "hang"
    script.write_text("#!/bin/sh\nexec sleep 600\n")
    script.chmod(0o755)
    monkeypatch.setattr(binary, "executable", lambda: str(script))
    monkeypatch.setattr(binary, "_PATIENCE", 1.0)
    with pytest.raises(EndedError, match="had not ended after 1 s, and was ended"):
        binary.told("-encoders")
    script.write_text("#!/bin/sh\nkill -KILL $$\n")
    with pytest.raises(EndedError, match="was ended by signal 9 while it was asked something"):
        binary.told("-encoders")
