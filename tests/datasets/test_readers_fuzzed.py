"""Whatever lies in the files of a run, a package or a release: only our own errors come out.

The readers of labels, boxes and manifests (test_folder.py), ARFF (test_arff.py) and experiments
(test_experiment.py) are held to the same beside their other tests.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from made_tables import made

from rdbench.curves.run import open_run
from rdbench.datasets import package
from rdbench.datasets.recola import TARGETS, RecolaDataset
from rdbench.errors import RdbenchError
from rdbench.tables.schema import ENCODES, SCORES
from rdbench.video.clip import PARTITIONS

# Numbers at the end of what a float holds may overflow on their way; that is told, and is no error.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

WORDS = (
    *("", "0", "1", "-1", "0.04", "1e3", "1e308", "1e999", "-1e308", "nan", "inf", "-inf", "NaN", "NA", "?"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809", "18446744073709551616"),
    *(
        "9" * 400,
        "0x10",
        "1_000",
        "1,5",
        "٣",
        "½",
        "True",
        "false",
        "null",
        "[[1, 0], [0, 1]]",
        "[[1",
        "x264",
        "labels",
    ),
    *("2020-01-01", "1+2j", "\ufeff", "\0", '"', "'", "\x1a", "\u2028", "é", "=1+1", "train", "P16"),
)
cells = st.one_of(st.sampled_from(WORDS), st.text(max_size=12), st.floats().map(repr), st.integers().map(str))


def as_csv(rows: list[list[str]], delimiter: str, end: str) -> bytes:
    """Rows with quotes where they are needed."""
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator=end, escapechar="\\").writerows(rows)
    return out.getvalue().encode("utf-8", "surrogatepass")


def tables(*headers: list[str]) -> st.SearchStrategy[bytes]:
    """Bytes, text and tables: with the right header and any cells, or with cells, lines or columns amiss."""
    header = st.sampled_from(headers)
    rows = header.flatmap(
        lambda names: st.builds(
            lambda body, delimiter, end: as_csv([names, *body], delimiter, end),
            st.lists(
                st.one_of(
                    st.lists(cells, min_size=len(names), max_size=len(names)),
                    st.lists(cells, max_size=len(names) + 2),
                ),
                max_size=4,
            ),
            st.sampled_from(",;\t"),
            st.sampled_from(["\n", "\r\n", "\r"]),
        )
    )
    text = st.builds(
        lambda names, body: (",".join(names) + "\n" + body).encode("utf-8", "surrogatepass"),
        header,
        st.text(alphabet="0123456789.,;\n\r\t\"'-+einfax?\0 ", max_size=120),
    )
    damaged = st.builds(
        lambda whole, at, byte: whole[:at] + byte + whole[at:],
        rows,
        st.integers(0, 200),
        st.binary(max_size=3),
    )
    return st.one_of(
        st.binary(max_size=200),
        st.text(max_size=100).map(lambda t: t.encode("utf-8", "surrogatepass")),
        rows,
        text,
        damaged,
    )


listed = st.lists(
    st.tuples(
        st.sampled_from(["P16", "p17", "P18", ""]), st.sampled_from(["train", "Dev", "test", "eval", ""])
    ),
    max_size=3,
).map(lambda rows: as_csv([["clip", "partition"], *map(list, rows)], ";", "\n"))


def attempted(read, *arguments):
    """What a reader gives, or None where it says in an error of our own why it does not."""
    try:
        return read(*arguments)
    except RdbenchError:
        return None


ENCODE_ROWS, SCORE_ROWS, _ = made(subjects=1, factors=(4,), codecs=("x264",), rates=(8, 16))
GOOD = {
    "encodes": ENCODE_ROWS[list(ENCODES)].to_csv(index=False).encode(),
    "scores": SCORE_ROWS[list(SCORES)].to_csv(index=False).encode(),
}


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    for name, content in GOOD.items():
        (folder / f"{name}.csv").write_bytes(content)
    return folder


def with_every_number(name: str, cell: str) -> bytes:
    """A good table in which the cells of all columns of numbers hold one and the same thing."""
    names, *rows = csv.reader(io.StringIO(GOOD[name].decode()))
    kinds = [{"encodes": ENCODES, "scores": SCORES}[name][column] for column in names]
    changed = [
        [old if kind == "TEXT" else cell for old, kind in zip(row, kinds, strict=True)] for row in rows
    ]
    return as_csv([names, *changed], ",", "\n")


def changed_cells(name: str) -> st.SearchStrategy[bytes]:
    """A good table in which a few cells hold something else."""
    rows = list(csv.reader(io.StringIO(GOOD[name].decode())))
    place = st.tuples(st.integers(0, len(rows) - 1), st.integers(0, len(rows[0]) - 1), cells)

    def put(changes: list[tuple[int, int, str]]) -> bytes:
        new = [list(row) for row in rows]
        for row, column, cell in changes:
            new[row][column] = cell
        return as_csv(new, ",", "\n")

    return st.lists(place, min_size=1, max_size=3).map(put)


@pytest.mark.parametrize(
    ("name", "columns"), [pytest.param("encodes", ENCODES, marks=pytest.mark.long), ("scores", SCORES)]
)
def test_a_run_of_csv_files(run_folder, name, columns):
    @given(st.one_of(tables(list(columns)), changed_cells(name)))
    @settings(max_examples=100)
    @example(b"")
    @example(GOOD[name])
    @example(with_every_number(name, "1e999"))
    @example(with_every_number(name, "1e300"))
    @example(with_every_number(name, "x"))
    def hold(content):
        (run_folder / f"{name}.csv").write_bytes(content)
        run = open_run(run_folder)
        table = attempted(lambda: getattr(run, name))
        if table is None:
            assert content != GOOD[name]
            return
        assert list(table.columns) == list(columns)
        for column, kind in columns.items():
            assert kind == "TEXT" or table[column].dtype.kind in "if"

    try:
        hold()
    finally:
        (run_folder / f"{name}.csv").write_bytes(GOOD[name])


TIMES = tables(["frame", "time"], ["frame", "time in seconds"], ["time"], [""])


@given(TIMES, st.sampled_from(["", "second"]))
@settings(max_examples=120)
@example(b"frame;time\r\n0;0\r\n1;0.04\r\n", "")
@example(b"time\n0\n1e308\n", "")
def test_frame_times(tmp_path_factory, content, column):
    file = tmp_path_factory.getbasetemp() / "any_times.csv"
    file.write_bytes(content)
    times = attempted(package.frame_times, file, column)
    if times is not None:
        assert len(times)
        assert np.isfinite(times).all()
        assert (times[1:] > times[:-1]).all()


@given(tables(["time", "x", "y", "w", "h"]))
@settings(max_examples=100)
def test_boxes_beside_a_package(tmp_path_factory, content):
    root = tmp_path_factory.getbasetemp() / "any_boxes"
    (root / "boxes").mkdir(parents=True, exist_ok=True)
    (root / "boxes" / "train_1.csv").write_bytes(content)
    boxes = attempted(package.boxes_beside, root, "train_1")
    assert boxes is None or boxes.xywh.shape == (len(boxes.times), 4)


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Path:
    """A release of two recordings; nothing here opens their videos."""
    root = tmp_path_factory.mktemp("release")
    for name in ("P16", "P17"):
        put(root / "RECOLA-Video-recordings" / f"{name}.mp4", b"x")
        put(root / "RECOLA-Video-timings" / f"{name}.csv", b"frame;time in seconds\n0;0\n1;0.04\n")
        for target in TARGETS:
            put(ratings(root, target, name), b"time;FM1 ;FM2 \n0;0.1;0.2\n0.04;0.2;0.4\n")
    return root


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def ratings(root: Path, target: str, name: str = "P16") -> Path:
    return root / "RECOLA-Annotation" / "emotional_behaviour" / target / f"{name}.csv"


RATINGS = tables(
    ["time", "FM1 ", "FM2 ", "FM3 ", "FF1 ", "FF2 ", "FF3"], ["time", "FM1"], ["FM1", "time"], ["time"]
)


@given(RATINGS, st.booleans())
@settings(max_examples=120)
@example(b"time;a;b\n0;1e308;-1e308\n1;-1e308;1e308\n", True)
@example(b"time;a;b\n-1e308;1;2\n1e308;2;3\n", True)
def test_ratings_of_a_release(release, content, both):
    kept = {target: ratings(release, target).read_bytes() for target in TARGETS}
    try:
        for target in TARGETS if both else TARGETS[:1]:
            ratings(release, target).write_bytes(content)
        clip = attempted(RecolaDataset(release).load, "P16")
    finally:
        for target, good in kept.items():
            ratings(release, target).write_bytes(good)
    if clip is not None:
        assert clip.labels.values.shape == (len(clip.labels.times), len(TARGETS))
        assert (clip.labels.times[1:] > clip.labels.times[:-1]).all()
    assert RecolaDataset(release).load("P17").labels is not None


@given(st.one_of(tables(["clip", "partition"], ["partition", "clip"], ["Clip", "Partition", "note"]), listed))
@settings(max_examples=120)
@example(b"clip,partition\nP16,dev\n")
@example(b"clip,partition\nP16,dev\nP16,dev\n")
def test_partitions_of_a_release(release, content):
    put(release / "partitions.csv", content)
    try:
        clips = attempted(RecolaDataset(release).index)
        loaded = attempted(RecolaDataset(release).load, "P16")
    finally:
        (release / "partitions.csv").unlink()
    if clips is None:
        assert loaded is None
        return
    assert clips
    assert {clip.name for clip in clips} <= {"P16", "P17"}
    assert {clip.partition for clip in clips} <= set(PARTITIONS)
    assert (loaded is not None) == any(clip.name == "P16" for clip in clips)
