from __future__ import annotations

import itertools
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from made_runs import FACTORS, csv_run, made_tables
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from rdbench import curves, figures, samples
from rdbench.canvas import DOUBLE, SINGLE, gold_phrase, log_ticks, ratio_ticks
from rdbench.errors import InputError, NotComparableError
from rdbench.runs import open_run
from rdbench.style import factor_look, looks


def one_curve_set(**options: object):
    encodes, scores = made_tables(targets=("valence",), backends=("direct@lite",), **options)
    return curves.pooled(encodes, scores), curves.per_subject(encodes, scores)


def lines_with(axes: Axes, colour: str, marker: str) -> list:
    return [
        line
        for line in axes.get_lines()
        if line.get_marker() == marker and to_rgb(line.get_color()) == to_rgb(colour)
    ]


def test_every_pooled_point_is_drawn_once_at_its_rate_and_value():
    table, _ = one_curve_set()
    figure = figures.rd(table)
    assert [axes.get_title("left") for axes in figure.axes] == ["x264", "x265"]
    for axes, codec in zip(figure.axes, ("x264", "x265"), strict=True):
        for factor in FACTORS:
            look = factor_look(factor)
            rows = table[(table["codec"] == codec) & (table["factor"] == factor)]
            drawn = np.concatenate([line.get_xydata() for line in lines_with(axes, look.colour, look.marker)])
            expected = rows[["bitrate_kbps", "value"]].to_numpy(dtype=float)
            np.testing.assert_allclose(drawn[drawn[:, 0].argsort()], expected[expected[:, 0].argsort()])


def test_points_off_target_are_hollow_and_no_others():
    table, _ = one_curve_set(factors=(1, 4))
    axes = figures.rd(table).axes[0]
    look = factor_look(4)
    filled, hollow = lines_with(axes, look.colour, look.marker)
    rows = table[(table["codec"] == "x264") & (table["factor"] == 4)]
    missed = rows.loc[rows["rate_status"] != "ok", "bitrate_kbps"]
    assert len(missed) == 1
    assert list(hollow.get_xdata()) == pytest.approx(list(missed))
    assert to_rgb(hollow.get_markerfacecolor()) == (1, 1, 1)
    assert len(filled.get_xdata()) == len(rows) - 1


@pytest.mark.parametrize(("subjects", "bands"), [(5, 0), (6, 2)])
def test_few_subjects_are_dots_and_many_a_band(subjects: int, bands: int):
    table, each = one_curve_set(subjects=subjects, factors=(1, 4), codecs=("x264",))
    figure = figures.rd(table, subjects=each)
    dots = [line for line in figure.axes[0].get_lines() if line.get_marker() == "."]
    assert len(figure.axes[0].collections) == bands
    assert sum(len(line.get_xdata()) for line in dots) == (0 if bands else 2 * 5 * subjects)
    assert ("a dot for each" in figure.caption) == (bands == 0)


def test_rates_are_plain_numbers_on_a_logarithmic_axis():
    figure = figures.rd(one_curve_set()[0])
    axes = figure.axes[0]
    figure.canvas.draw()
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert axes.get_xscale() == "log"
    assert labels[:3] == ["5", "10", "20"]
    assert labels[-1] == "1000"


@pytest.mark.parametrize("style", ["screen", "paper"])
@pytest.mark.parametrize("codecs", [("x264",), ("x264", "x265"), ("x264", "x265", "vp9", "vvenc")])
def test_no_text_is_cut_off_and_the_legend_covers_no_data(style, codecs):
    figure = figures.rd(one_curve_set(codecs=codecs, subjects=6)[0], style=style)
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    legend = figure.legends[0].get_window_extent(renderer)
    page = figure.bbox
    for axes in figure.axes:
        assert not axes.get_window_extent(renderer).overlaps(legend)
        if axes.axison:
            box = axes.get_tightbbox(renderer)
            assert box.x0 >= page.x0 - 1
            assert box.x1 <= page.x1 + 1
            assert box.y0 >= page.y0 - 1
            assert box.y1 <= page.y1 + 1
            ticks = [t.get_window_extent(renderer) for t in axes.get_xticklabels() if t.get_text()]
            assert not any(a.overlaps(b) for a, b in itertools.pairwise(ticks))
    assert legend.x1 <= page.x1
    if style == "paper":
        assert figure.get_figwidth() == (SINGLE if len(codecs) == 1 else DOUBLE)
        assert figure._suptitle is None


def test_agreement_is_never_shown_as_truth():
    table, _ = one_curve_set(gold="pristine:direct@paper", factors=(1, 4))
    figure = figures.rd(table)
    assert "agreement with direct@paper on pristine frames, not truth" in figure.caption
    assert figure.axes[0].get_ylabel() == "CCC with pristine"
    assert gold_phrase("labels") == "CCC against the labels"


@pytest.mark.parametrize(("region", "told"), [("frame", True), ("face", False)])
def test_what_boxes_cost_is_told_where_they_are_needed(region: str, told: bool):
    table, _ = one_curve_set(region=region, factors=(1, 4))
    assert ("Box bits are not in the rate" in figures.rd(table).caption) == told
    if told:
        assert "Box bits are in the rate" in figures.rd(table, boxes_charged=True).caption


def test_standalone_has_a_line_for_each_backend_at_each_factor():
    encodes, scores = made_tables(subjects=6)
    figure = figures.standalone(curves.pooled(encodes, scores))
    assert [axes.get_title("left") for axes in figure.axes] == ["arousal", "valence"]
    figure.canvas.draw()
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == [str(f) for f in FACTORS]
    given = looks(["direct@lite", "direct@paper"])
    for look in given.values():
        drawn = np.concatenate(
            [line.get_xdata() for line in lines_with(figure.axes[0], look.colour, look.marker)]
        )
        assert sorted(drawn) == list(FACTORS)


def test_drawing_twice_gives_the_same_bytes_in_every_format(tmp_path):
    run = csv_run(
        tmp_path / "run", factors=(1, 4, 16), subjects=6, targets=("valence",), backends=("direct@lite",)
    )
    again = open_run(run.path)
    first = figures.draw_all(run, tmp_path / "a")
    second = figures.draw_all(again, tmp_path / "b")
    assert [file.name for file in first] == [file.name for file in second]
    assert {file.suffix for file in first} == {".png", ".pdf", ".svg", ".md"}
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(first, second, strict=True))
    assert sorted(file.name for file in (tmp_path / "a").iterdir()) == sorted(file.name for file in first)
    kinds = {file.name.split("_")[0] for file in first}
    assert kinds == {
        "rd",
        "envelope",
        "standalone.pdf",
        "standalone.png",
        "standalone.svg",
        "bd",
        "difference",
        "captions.md",
    }
    for file in first:
        assert not re.search(rb"CreationDate|<dc:date>|Matplotlib v", file.read_bytes())


def test_other_processes_draw_the_same_bytes(tmp_path, monkeypatch):
    run = csv_run(tmp_path / "run", factors=(1, 4), rates=4, subjects=6, targets=("valence",))
    here = figures.draw_all(run, tmp_path / "a")
    monkeypatch.setattr(figures, "_FEW", 2)
    there = figures.draw_all(run, tmp_path / "b", processes=2)
    assert [file.name for file in here] == [file.name for file in there]
    assert len(here) > 3 * 2
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(here, there, strict=True))


def test_what_another_process_cannot_draw_is_said(tmp_path, monkeypatch):
    run = csv_run(tmp_path / "run", factors=(1, 4), rates=4, subjects=3)
    monkeypatch.setattr(figures, "_FEW", 0)
    with pytest.raises(InputError, match="bmp"):
        figures.draw_all(run, tmp_path / "b", only={"rd"}, formats=["bmp"], processes=2)


def test_fonts_are_embedded_in_pdf(tmp_path):
    figure = figures.rd(one_curve_set(factors=(1,))[0], style="paper")
    (file,) = figures.save(figure, tmp_path / "one", ["pdf"])
    assert b"/FontFile2" in file.read_bytes()
    assert b"/Type3" not in file.read_bytes()


def test_only_what_is_asked_for_is_drawn(tmp_path):
    run = csv_run(tmp_path / "run", factors=(1, 4), subjects=3)
    files = figures.draw_all(run, tmp_path / "out", only={"standalone"}, formats=["png"])
    assert [file.name for file in files] == ["standalone.png", "captions.md"]


@pytest.mark.parametrize(
    ("options", "word"),
    [({"only": {"rdd"}}, "rdd"), ({"style": "poster"}, "poster"), ({"formats": ["bmp"]}, "bmp")],
    ids=["kind", "style", "format"],
)
def test_what_does_not_exist_is_named(tmp_path, options, word):
    run = csv_run(tmp_path / "run", factors=(1, 4), subjects=3)
    with pytest.raises(InputError, match=word):
        figures.draw_all(run, tmp_path / "out", **options)


def test_a_run_without_what_is_asked_for_says_so(tmp_path):
    run = csv_run(tmp_path / "run", factors=(1, 4), subjects=3, uncoded=False)
    with pytest.raises(NotComparableError, match="nothing to draw of standalone"):
        figures.draw_all(run, tmp_path / "out", only={"standalone"})


def test_names_with_markup_are_text_and_stay_in_the_folder(tmp_path):
    run = csv_run(
        tmp_path / "run",
        factors=(1, 4),
        subjects=3,
        backends=("$\\frac{$@../../etc",),
        targets=("顔 <b>",),
        clip_name="<img src=x onerror=alert(1)>{}",
    )
    files = figures.draw_all(run, tmp_path / "out", formats=["svg"])
    assert all(file.parent == tmp_path / "out" and file.is_file() for file in files)


def test_a_strip_shows_each_picture_as_it_is():
    random = np.random.default_rng(0)
    pictures = [(str(f), random.integers(0, 256, (96, 96), dtype=np.uint8)) for f in FACTORS]
    figure = figures.strip([("colour", np.zeros((64, 48, 3), np.uint8)), *pictures])
    shown = [axes.images[0].get_array() for axes in figure.axes]
    assert len(shown) == 9
    assert all((a == b).all() for a, (_, b) in zip(shown[1:], pictures, strict=True))
    with pytest.raises(InputError):
        figures.strip([])


def test_the_strip_of_a_run_comes_from_its_samples(tmp_path):
    run = csv_run(tmp_path / "run", factors=(1, 4), subjects=2)
    rows = run.encodes[(run.encodes["codec"] == "none") & (run.encodes["clip"] == "clip00")]
    for encode in rows["encode"]:
        samples.write_samples(run.path, encode, {"input": np.full((96, 96), 7, np.uint8)}, 3)
    files = figures.draw_all(run, tmp_path / "out", only={"strip"}, formats=["png"])
    assert [file.name for file in files] == ["strip_frame.png", "captions.md"]


def test_restored_faces_stand_below_those_that_came_in(tmp_path):
    run = csv_run(tmp_path / "run", factors=(1, 4), subjects=2)
    rows = run.encodes[(run.encodes["codec"] == "none") & (run.encodes["clip"] == "clip00")]
    for encode in rows["encode"]:
        pictures = {kind: np.full((96, 96), value, np.uint8) for kind, value in
                    (("source", 9), ("input", 7), ("restored", 8))}  # fmt: skip
        samples.write_samples(run.path, encode, pictures, 3)
    files = figures.draw_all(run, tmp_path / "out", only={"strip"}, formats=["png"])
    assert [file.name for file in files] == ["strip_frame.png", "strip_restored_frame.png", "captions.md"]
    assert "below, the same restored" in files[-1].read_text()


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (4, 1500, 10, [5, 10, 20, 50, 100, 200, 500, 1000]),
        (4, 1500, 6, [10, 30, 100, 300, 1000]),
        (12, 18, 8, [12, 13, 14, 15, 16, 17, 18]),
        (9, 31, 8, [10, 15, 20, 30]),
        (1, 1, 8, [1]),
    ],
)
def test_log_ticks(low, high, most, expected):
    assert log_ticks(low, high, most) == expected


@pytest.mark.parametrize("seed", range(20))
def test_log_ticks_lie_within_and_are_few(seed):
    random = np.random.default_rng(seed)
    low = 10 ** random.uniform(-1, 3)
    high = low * 10 ** random.uniform(0.05, 4)
    ticks = log_ticks(low, high, 8)
    assert 1 <= len(ticks) <= 8
    assert all(low <= tick <= high for tick in ticks)
    assert ticks == sorted(set(ticks))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-2.0, 4.0, [-75, 0, 300, 1000, 3000]),
        (-1.6, 1.6, [-75, -50, 0, 100, 300]),
        (-0.06, 0.03, [-4, -2, 0, 2]),
        (0.8, 1.0, [130, 140, 150, 160, 170]),
        (5.0, 9.5, [30_000, 100_000, 1_000_000]),
    ],
)
def test_ratio_ticks(low, high, expected):
    ticks = ratio_ticks(low, high, 8)
    assert ticks == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(20))
def test_ratio_ticks_lie_within_and_apart(seed):
    random = np.random.default_rng(seed)
    low, high = -random.uniform(0.001, 5), random.uniform(0.001, 8)
    ticks = np.array(ratio_ticks(low, high, 7))
    at = np.log1p(ticks / 100)
    assert 0 in ticks
    assert ((low <= at) & (at <= high)).all()
    assert (np.diff(at) > (high - low) / 15).all()


def deltas(**ends: float) -> pd.DataFrame:
    row = {
        **{
            f"test_{key}": value
            for key, value in (("target", "valence"), ("backend", "a"), ("region", "frame"))
        },
        "test_variant": "ra",
        "test_mode": "crf",
        "test_codec": "x265",
        "anchor_codec": "x264",
        "gold": "labels",
        "metric": "ccc",
        "method": "akima",
        "bits": "payload",
        "subjects": 8,
        "chosen_on": "",
        "bd_accuracy": 0.01,
        "bd_accuracy_low": 0.0,
        "bd_accuracy_high": 0.02,
    }
    return pd.DataFrame(
        [row | {"test_factor": "1", "bd_rate": -10.0, "bd_rate_low": -20.0, "bd_rate_high": 0.0},
         row | {"test_factor": "4", **{f"bd_rate{end}": value for end, value in ends.items()}}]
    )  # fmt: skip


def test_an_endless_interval_of_a_rate_leaves_room_for_the_others():
    figure = figures.forest(deltas(**{"": 100.0, "_low": -50.0, "_high": 3000.0}))
    left = figure.axes[0]
    (bar,) = (
        line for line in left.get_lines() if list(line.get_xdata()) == pytest.approx(np.log([0.8, 1.0]))
    )
    low, high = left.get_xlim()
    assert np.ptp(bar.get_xdata()) / (high - low) > 0.04, "on an axis of per cent it would be 0.006"
    figure.canvas.draw()
    labels = {label.get_text(): label.get_position()[0] for label in left.get_xticklabels()}
    assert labels["0"] == 0
    assert labels["−50"] == pytest.approx(-labels["100"]), "half as many bits, or twice"
    nothing_left = figures.forest(deltas(**{"": -50.0, "_low": -100.0, "_high": 0.0}))
    assert np.isfinite(nothing_left.axes[0].get_xlim()).all()


def test_differences_have_a_panel_for_each_pair_of_codecs():
    accuracy = np.linspace(0.2, 0.6, 101)
    pairs = [
        ("x265", "x264", [("4", accuracy, np.full(101, -50.0)), ("1", accuracy, np.full(101, 300.0))]),
        ("vp9", "x264", [("1", accuracy, np.full(101, 10.0))]),
        ("vp9", "x265", [("1", np.zeros(0), np.zeros(0))]),
    ]
    figure = figures.difference(pairs)
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "Rate of x265 over x264 (%)",
        "Rate of vp9 over x264 (%)",
    ]
    look = factor_look(4)
    (line,) = (
        line
        for line in figure.axes[0].get_lines()
        if to_rgb(line.get_color()) == to_rgb(look.colour) and line.get_linestyle() != "None"
    )
    assert line.get_ydata() == pytest.approx(np.full(101, np.log(0.5)))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["1", "4"]
    with pytest.raises(InputError, match="share a range"):
        figures.difference(pairs[2:])


# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
MACHADO = {
    "normal": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear(colour: str) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ rgb.clip(
        0, 1
    )
    f = np.cbrt(xyz / [0.9505, 1.0, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("eye", MACHADO)
def test_factors_stay_apart_and_in_order_for_every_eye(eye):
    seen = [lab(np.array(MACHADO[eye]) @ linear(factor_look(f).colour)) for f in FACTORS]
    lightness = [colour[0] for colour in seen]
    assert lightness == sorted(lightness)
    distance = [np.linalg.norm(a - b) for a, b in itertools.pairwise(seen)]
    assert min(distance) > 3.0
    assert np.linalg.norm(seen[0] - seen[-1]) > 60
    assert len({factor_look(f).marker for f in FACTORS}) == len(FACTORS)


@pytest.mark.parametrize("eye", MACHADO)
def test_codecs_are_told_apart_by_every_eye(eye):
    given = looks(["x264", "x265", "kvazaar", "svtav1", "libaom", "vp9", "vvenc"]).values()
    seen = [lab(np.array(MACHADO[eye]) @ linear(look.colour)) for look in given]
    closest = min(np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i])
    assert closest > 8
    assert len({look.marker for look in given}) == 7


@pytest.mark.parametrize("factor", FACTORS)
def test_lines_stand_out_on_white_and_on_dark(factor):
    luminance = linear(factor_look(factor).colour) @ [0.2126, 0.7152, 0.0722]
    dark = linear("#15181d") @ [0.2126, 0.7152, 0.0722]
    assert 1.05 / (luminance + 0.05) > 2.2
    assert (luminance + 0.05) / (dark + 0.05) > 2.2


def test_a_codec_keeps_its_colour_whatever_stands_beside_it():
    assert looks(["x265"])["x265"] == looks(["x264", "x265", "mine"])["x265"]
    many = looks(f"codec{i}" for i in range(20))
    assert len({(look.colour, look.dash) for look in many.values()}) == 20


def test_drawing_loads_neither_torch_nor_codecs():
    code = (
        "import sys, rdbench.figures, rdbench.samples; "
        "print(sorted({'torch', 'cv2', 'av', 'ffmpeg', 'imageio_ffmpeg', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
