"""The embedded set: what it promises to those who measure with it."""

from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import av
import numpy as np
import pytest

from rdbench import binary
from rdbench.datasets import synthetic
from rdbench.datasets.drawing.colour import yuv420p
from rdbench.datasets.drawing.picture import Recording
from rdbench.datasets.synthetic import TARGETS, SyntheticDataset, generator_version
from rdbench.errors import ClipError, EndedError, InputError
from rdbench.machine import cache_dir
from rdbench.video.clip import PARTITIONS

SHORT = SyntheticDataset(seconds=0.2)


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RDBENCH_CACHE", str(tmp_path))
    return tmp_path


def decoded(file: Path) -> list[av.VideoFrame]:
    with av.open(str(file)) as container:
        return list(container.decode(video=0))


def test_index_names_subjects_in_three_partitions() -> None:
    index = SyntheticDataset().index()
    counts = {partition: sum(clip.partition == partition for clip in index) for partition in PARTITIONS}
    assert counts == {"train": 960, "dev": 16, "test": 224}
    assert len({clip.name for clip in index}) == 1200
    assert all(clip.subject == clip.name for clip in index)
    assert [index[0].name, index[960].name, index[976].name, index[-1].name] == [
        "train_01",
        "dev_01",
        "test_01",
        "test_224",
    ]


@pytest.mark.parametrize(("height", "name"), [(360, "synthetic"), (720, "synthetic:720p")])
def test_name_tells_the_height(height: int, name: str) -> None:
    dataset = SyntheticDataset(height)
    assert dataset.name == name
    assert pickle.loads(pickle.dumps(dataset)) == dataset


@pytest.mark.parametrize("height", [0, 480, 1080])
def test_other_heights_are_refused(height: int) -> None:
    with pytest.raises(InputError, match="360 or 720"):
        SyntheticDataset(height)


@pytest.mark.parametrize("seconds", [0, -1.0, 10.1, float("nan"), float("inf")])
def test_other_lengths_are_refused(seconds: float) -> None:
    with pytest.raises(InputError, match="last 10 s"):
        SyntheticDataset(seconds=seconds)


@pytest.mark.parametrize("name", ["", "train_961", "test_1", "../train_01"])
def test_unknown_clip_is_refused(empty_cache: Path, name: str) -> None:
    with pytest.raises(InputError, match="has no clip"):
        SHORT.load(name)
    assert not list(empty_cache.iterdir())


def test_clip_decodes_to_what_was_drawn(empty_cache: Path) -> None:
    clip = SHORT.load("train_01")
    assert clip.file.is_relative_to(empty_cache)
    frames = decoded(clip.file)
    assert [frame.time for frame in frames] == pytest.approx([k / 25 for k in range(5)])
    assert {(frame.width, frame.height, frame.format.name) for frame in frames} == {(640, 360, "yuv420p")}
    assert {(frame.colorspace, frame.color_range) for frame in frames} == {(1, 1)}
    drawn = list(Recording("train", 1).frames(360, 5))
    for frame, picture in zip(frames, drawn, strict=True):
        # ITU-R BT.709 luma in limited range, rounded; the writer's fixed-point arithmetic may round the other way.
        blue, green, red = (picture[..., k].astype(float) for k in range(3))
        luma = 16 + 219 / 255 * (0.2126 * red + 0.7152 * green + 0.0722 * blue)
        assert np.abs(frame.to_ndarray()[:360] - luma).max() <= 0.6
        back = frame.to_ndarray(format="bgr24").astype(int)
        assert np.abs(back - picture).mean() < 4


def test_labels_and_boxes_cover_every_frame(empty_cache: Path) -> None:
    clip = SHORT.load("dev_01")
    assert clip.labels is not None
    assert clip.boxes is not None
    assert clip.labels.targets == TARGETS
    assert clip.labels.times == pytest.approx(np.arange(5) / 25)
    assert clip.labels.values.shape == (5, 2)
    assert clip.boxes.xywh.shape == (5, 4)
    assert np.array_equal(clip.boxes.times, clip.labels.times)


def test_a_short_clip_is_the_beginning_of_a_long_one(empty_cache: Path) -> None:
    short, long = SHORT.load("test_01"), SyntheticDataset(seconds=0.4).load("test_01")
    assert short.file != long.file
    for first, second in zip(decoded(short.file), decoded(long.file)[:5], strict=True):
        assert np.array_equal(first.to_ndarray(), second.to_ndarray())
    assert short.labels is not None
    assert long.labels is not None
    assert np.array_equal(short.labels.values, long.labels.values[:5])


def test_cached_clip_is_not_drawn_again(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = SHORT.load("train_02")

    def refuse(*_: object) -> None:
        raise AssertionError("drawn again")

    monkeypatch.setattr(synthetic, "_render", refuse)
    assert SHORT.load("train_02").file == first.file


def _load(name: str) -> bytes:
    return SHORT.load(name).file.read_bytes()


def test_two_processes_at_once_do_not_clash(empty_cache: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        contents = set(pool.map(_load, ["train_03"] * 4))
    assert len(contents) == 1
    assert [file.name for file in (cache_dir() / "synthetic").rglob("*.mkv")] == ["train_03_360p_5.mkv"]


def test_same_bytes_in_another_process(empty_cache: Path, tmp_path: Path) -> None:
    here = _load("train_04")
    code = "import sys; sys.path.insert(0, sys.argv[1]); from test_synthetic import _load; "
    code += "sys.stdout.buffer.write(_load('train_04'))"
    environment = {"RDBENCH_CACHE": str(tmp_path / "other"), "PYTHONHASHSEED": "7"}
    there = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent)],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=True,
    )
    assert there.stdout == here


def stand_in(folder: Path, script: str) -> Path:
    """A program that does this whatever FFmpeg is asked to do."""
    program = folder / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def test_an_encoder_that_fails_leaves_nothing_behind(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = stand_in(tmp_path, "echo 'No space left on device' >&2; exit 1")
    monkeypatch.setattr(binary, "executable", lambda: str(program))
    with pytest.raises(ClipError, match=r"train_01.*No space left on device.*RDBENCH_CACHE"):
        SHORT.load("train_01")
    assert not [file for file in (empty_cache / "synthetic").rglob("*") if file.is_file()]


def test_an_encoder_that_is_killed_says_nothing_of_the_clip(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever leaves out what cannot be used must not take it for that."""
    program = stand_in(tmp_path, "kill -KILL $$")
    monkeypatch.setattr(binary, "executable", lambda: str(program))
    with pytest.raises(EndedError, match="killed by signal 9"):
        SHORT.load("train_01")
    assert not [file for file in (empty_cache / "synthetic").rglob("*") if file.is_file()]


def test_a_cache_that_cannot_be_made_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RDBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(ClipError, match="cannot be written"):
        SHORT.load("train_01")


def test_a_clip_holds_the_planes_that_were_drawn_to_the_bit_on_any_processor(empty_cache: Path) -> None:
    file = SHORT.load("test_02").file
    planes = [yuv420p(frame) for frame in Recording("test", 2).frames(360, 5)]
    old = [binary.executable(), "-v", "error", "-cpuflags", "0"]
    decode = [*old, "-i", str(file), "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]
    assert subprocess.run(decode, capture_output=True, check=True).stdout == b"".join(planes)
    assert [frame.to_ndarray().tobytes() for frame in decoded(file)] == planes
    again = empty_cache / "again.mkv"
    without = ["-nostdin", "-y", "-i", str(file), "-c:v", "utvideo", "-threads", "1", "-fflags", "+bitexact"]
    subprocess.run([*old, *without, "-flags:v", "+bitexact", str(again)], check=True)
    with av.open(str(file)) as first, av.open(str(again)) as second:
        packets = [[bytes(packet) for packet in container.demux(video=0)] for container in (first, second)]
    assert packets[0] == packets[1]


def test_generator_version_holds_every_source_that_decides_what_a_clip_is() -> None:
    assert generator_version() == synthetic._version(synthetic._sources())
    code = (
        "import sys; import rdbench.datasets.synthetic; print(*(m for m in sys.modules if 'datasets' in m))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    names = {module.rpartition(".")[2] for module in loaded.split()} - {"datasets", "drawing"}
    sources = synthetic._sources()
    assert {f"{name}.py" for name in names} | {"__init__.py"} == set(sources)
    versions = {synthetic._version(sources | {name: sources[name] + b"#"}) for name in sources}
    assert len(versions | {generator_version()}) == len(sources) + 1


def test_the_set_can_grow(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grown = {"train": 96, "dev": 16, "test": 160}
    for partition, count in grown.items():
        monkeypatch.setitem(synthetic.COUNTS, partition, count)
    index = SHORT.index()
    assert {clip.partition: int(clip.name.rpartition("_")[2]) for clip in index} == grown
    assert len({clip.name for clip in index}) == 272
    clip = SHORT.load("test_160")
    assert (clip.partition, clip.subject) == ("test", "test_160")
    assert len(decoded(clip.file)) == 5
    with pytest.raises(InputError, match=r"train_01 to train_96, dev_01 to dev_16 and test_01 to test_160\."):
        SHORT.load("test_161")


class TestCacheDir:
    def test_chosen_by_the_user(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("RDBENCH_CACHE", str(tmp_path / "mine"))
        assert cache_dir() == tmp_path / "mine"

    def test_relative_choice_is_made_absolute(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("RDBENCH_CACHE", "mine")
        assert cache_dir() == tmp_path / "mine"

    def test_xdg(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("RDBENCH_CACHE", "")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert cache_dir() == tmp_path / "rdbench"

    def test_relative_xdg_is_ignored(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("RDBENCH_CACHE", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", "somewhere")
        assert cache_dir().is_relative_to(Path.home())
        assert cache_dir().name == "rdbench"
