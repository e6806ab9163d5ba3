from __future__ import annotations

import itertools
import re
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import FACTORS, csv_run, made_tables
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from rdbench.curves import pooling
from rdbench.curves.deltas import bd_table, relative_differences
from rdbench.curves.envelope_tables import envelopes, switch_points
from rdbench.curves.run import open_run
from rdbench.errors import InputError, NotComparableError
from rdbench.figures import canvas, strip
from rdbench.figures import deltas as bd_figures
from rdbench.figures import draw as figures
from rdbench.figures.axes import log_ticks, ratio_ticks
from rdbench.figures.canvas import DOUBLE, SINGLE
from rdbench.figures.captions import gold_phrase
from rdbench.figures.deltas import _differences, differences
from rdbench.figures.envelope import _lanes
from rdbench.figures.source import Source
from rdbench.figures.style import factor_look, looks
from rdbench.measures import within_sentence
from rdbench.report.data import report_data
from rdbench.tables import pictures as samples
from rdbench.tables.basis import Basis


def one_curve_set(**options: object):
    encodes, scores = made_tables(targets=("valence",), backends=("direct@lite",), **options)
    return pooling.pooled(encodes, scores), pooling.per_subject(encodes, scores)


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
    assert len(figure.axes[0].patches) == bands
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


@pytest.mark.parametrize("dpi", [100, 150, 300])
def test_a_title_of_any_length_ends_before_the_legend(dpi):
    for length in (20, 40, 46, 49, 52, 60, 150):
        with canvas.settings("screen"):
            figure, _, _ = canvas.panels("screen", 1)
            canvas.legend(figure, "Envelope", [("factor 1", factor_look(1))])
            canvas.describe(figure, ("AU12, direct@lite: " + "what was chosen " * 20)[:length].rstrip(), "")
            figure.dpi = dpi
            figure.canvas.draw()
        renderer = figure.canvas.get_renderer()
        title, legend = (one.get_window_extent(renderer) for one in (figure._suptitle, figure.legends[0]))
        assert title.x1 < legend.x0 - 0.01 * figure.bbox.width


@pytest.mark.parametrize(
    ("metric", "words"),
    [("unit_f1", "F1 of units"), ("f1", "macro F1"), ("ccc", "CCC"), ("tar", "true-accept rate")],
)
def test_names_of_metrics_within_a_sentence(metric, words):
    assert within_sentence(metric) == words


def test_agreement_is_never_shown_as_truth():
    table, _ = one_curve_set(gold="pristine:direct@paper", factors=(1, 4))
    figure = figures.rd(table)
    assert "agreement with direct@paper on pristine frames, not truth" in figure.caption
    assert figure.axes[0].get_ylabel() == "Agreement with pristine (CCC)"
    assert gold_phrase("labels", "ccc") == "CCC against the labels"


@pytest.mark.parametrize(("region", "told"), [("frame", True), ("face", False)])
def test_what_boxes_cost_is_told_where_they_are_needed(region: str, told: bool):
    table, _ = one_curve_set(region=region, factors=(1, 4))
    assert ("Box bits are not in the rate" in figures.rd(table).caption) == told
    if told:
        assert "Box bits are in the rate" in figures.rd(table, boxes="charged").caption
        found = figures.rd(table, boxes="found").caption
        assert "Faces are found in decoded pictures; no boxes are sent." in found
        assert "Box bits" not in found


def test_standalone_has_a_line_for_each_backend_at_each_factor():
    encodes, scores = made_tables(subjects=6)
    figure = figures.standalone(pooling.pooled(encodes, scores))
    assert [axes.get_title("left") for axes in figure.axes] == ["arousal", "valence"]
    figure.canvas.draw()
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == [str(f) for f in FACTORS]
    given = looks(["direct@lite", "direct@paper"])
    for look in given.values():
        drawn = np.concatenate(
            [line.get_xdata() for line in lines_with(figure.axes[0], look.colour, look.marker)]
        )
        assert sorted(drawn) == list(FACTORS)


@pytest.mark.parametrize(("factors", "bands"), [((1, 2, 4, 8), 4), ((1, 2, 4, 8, 16), 0)])
def test_a_panel_has_four_bands_or_each_factor_a_panel(factors, bands):
    encodes, scores = made_tables(
        6, factors=factors, targets=("valence",), backends=("direct@lite",), rates=4
    )
    table = pooling.pooled(encodes, scores)
    table = table[table["variant"].isin(["ra", "none"])]
    whole = figures.rd(table)
    assert [len(axes.patches) for axes in whole.axes if axes.axison] == [bands] * 2
    assert ("intervals in the figure by factor" in whole.caption) == (bands == 0)
    apart = figures.rd_by_factor(table)
    panels = [axes for axes in apart.axes if axes.axison]
    assert [axes.get_title("left") for axes in panels] == [f"factor {factor}" for factor in factors]
    assert {len(axes.patches) for axes in panels} == {2}


def test_names_keep_their_look_whatever_else_is_drawn():
    alone, among = looks(["max-mix@lite"]), looks(["a", "max-mix@lite", "separate@lite", "zz"])
    assert alone["max-mix@lite"] == among["max-mix@lite"] == looks(["max-mix@lite#3"])["max-mix@lite#3"]
    many = looks(["x264", "x265", "kvazaar", "svtav1", "libaom", "vp9", "vvenc"])
    assert len({(look.marker, look.dash) for look in many.values()}) == len(many), "told apart in grey"
    sizes = looks(["direct@lite", "direct@paper"])
    assert sizes["direct@lite"].colour == sizes["direct@paper"].colour
    assert sizes["direct@lite"].marker != sizes["direct@paper"].marker


@pytest.mark.long
def test_drawing_twice_gives_the_same_bytes_in_every_format(tmp_path):
    run = csv_run(
        tmp_path / "run", factors=(1, 4), subjects=6, targets=("valence",), backends=("direct@lite",)
    )
    again = open_run(run.path)
    formats = ("png", "pdf", "svg")
    first = figures.draw_all(run, tmp_path / "a", formats=formats)
    second = figures.draw_all(again, tmp_path / "b", formats=formats)
    assert [file.name for file in first] == [file.name for file in second]
    assert {file.suffix for file in first} == {".png", ".pdf", ".svg", ".md"}
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(first, second, strict=True))
    assert sorted(file.name for file in (tmp_path / "a").iterdir()) == sorted(file.name for file in first)
    kinds = {file.name.split("_")[0] for file in first}
    assert kinds == {
        "rd",
        "envelope",
        "target",
        "standalone.pdf",
        "standalone.png",
        "standalone.svg",
        "bd",
        "difference",
        "captions.md",
    }
    for file in first:
        assert not re.search(rb"CreationDate|<dc:date>|Matplotlib v", file.read_bytes())


@pytest.mark.long
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


def captions_of(folder) -> dict[str, str]:
    lines = (folder / "captions.md").read_text(encoding="utf-8").splitlines()
    return dict(re.match(r"\*\*(.+?)\*\* (.*)", line).groups() for line in lines if line)


def small_run(folder, **options):
    return csv_run(folder, **{"factors": (1, 4), "subjects": 3, "rates": 4, "targets": ("valence",),
                              "backends": ("direct@lite",), **options})  # fmt: skip


@pytest.mark.long
def test_captions_of_what_was_drawn_before_stay(tmp_path):
    run, out = small_run(tmp_path / "run"), tmp_path / "out"
    figures.draw_all(run, out, only={"standalone", "rd", "bd"}, formats=["svg"])
    whole = (out / "captions.md").read_bytes()
    assert [name.partition("_")[0] for name in captions_of(out)] == [
        "rd",
        "rd",
        "standalone",
        "bd",
        "difference",
    ]
    figures.draw_all(run, out, only={"rd"}, formats=["svg"])
    assert (out / "captions.md").read_bytes() == whole
    apart = tmp_path / "apart"
    for kind in ("bd", "standalone", "rd"):
        figures.draw_all(run, apart, only={kind}, formats=["svg"])
    assert (apart / "captions.md").read_bytes() == whole, "the order of drawing does not show"


def test_captions_begin_with_the_title_that_paper_leaves_out(tmp_path):
    table, each = one_curve_set(subjects=6, factors=(1, 4), codecs=("x264",))
    paper, screen = (figures.rd(table, subjects=each, style=style) for style in ("paper", "screen"))
    assert paper.caption == screen.caption
    assert paper.caption.startswith("Valence, direct@lite: CCC against bitrate. CCC against the labels.")


def test_that_a_run_is_unfinished_is_told(tmp_path):
    run, told = small_run(tmp_path / "run"), []
    figures.draw_all(run, tmp_path / "out", only={"standalone"}, formats=["svg"], tell=told.append)
    assert told == []
    run.meta = {"planned_clips": "3", "planned_conditions": str(len(run.encodes) // 3 + 2)}
    figures.draw_all(run, tmp_path / "out", only={"standalone"}, formats=["svg"], tell=told.append)
    assert told == ["the run is unfinished: 6 of its encodes are still to be made"]
    for odd in ({"planned_clips": "-3", "planned_conditions": "²"}, {"planned_clips": "9" * 5000}):
        run.meta = odd
        assert run.unfinished == 0


def test_captions_of_figures_that_are_gone_go(tmp_path):
    run, out = small_run(tmp_path / "run"), tmp_path / "out"
    figures.draw_all(run, out, only={"standalone", "rd"}, formats=["svg"])
    for file in out.glob("rd_*.svg"):
        file.unlink()
    figures.draw_all(run, out, only={"standalone"}, formats=["svg"])
    assert list(captions_of(out)) == ["standalone"]


@pytest.mark.long
def test_another_metric_has_figures_of_its_own(tmp_path):
    run, out = small_run(tmp_path / "run"), tmp_path / "out"
    usual = figures.draw_all(run, out, formats=["svg"])
    before = {file: file.read_bytes() for file in usual if file.suffix == ".svg"}
    named = figures.draw_all(run, out, basis=Basis("ccc"), formats=["svg"])
    other = figures.draw_all(run, out, basis=Basis("rmse"), formats=["svg"])
    assert named == usual
    assert [file.stem for file in other[:-1]] == [f"{file.stem}_rmse" for file in usual[:-1]]
    assert all(file.read_bytes() == content for file, content in before.items())
    assert len(captions_of(out)) == 2 * len(before)


@pytest.mark.long
def test_other_bits_and_partitions_have_figures_of_their_own(tmp_path):
    run, out = small_run(tmp_path / "run"), tmp_path / "out"
    dev = run.encodes["clip"].isin(run.encodes["clip"].unique()[:1])
    run.encodes.loc[dev, "partition"] = "dev"
    draw = partial(figures.draw_all, run, out, only={"rd", "standalone"}, formats=["svg"])
    usual = draw()
    before = {file: file.read_bytes() for file in usual if file.suffix == ".svg"}
    assert draw(basis=Basis(partition="test")) == usual
    with pytest.raises(InputError, match="no encodes of partition train; it has dev, test"):
        draw(basis=Basis(partition="train"))
    stems = [file.stem for file in before]
    for options, end in (
        ({"bits": "stream", "charge_boxes": True}, "_stream_boxes"),
        ({"metric": "rmse", "bits": "stream", "partition": "dev"}, "_rmse_stream_dev"),
    ):
        alone = end.replace("_stream", "").replace("_boxes", "")
        named = [f"{stem}{alone if stem == 'standalone' else end}" for stem in stems]
        assert [file.stem for file in draw(basis=Basis(**options))[:-1]] == named
    assert all(file.read_bytes() == content for file, content in before.items())


def test_strips_do_not_depend_on_the_metric(tmp_path):
    run = small_run(tmp_path / "run")
    encode = run.encodes.loc[run.encodes["codec"] == "none", "encode"].iloc[0]
    samples.write_samples(run.path, encode, {"input": np.full((96, 96), 7, np.uint8)}, 3)
    files = figures.draw_all(run, tmp_path / "out", only={"strip"}, basis=Basis("rmse"), formats=["png"])
    assert files[0].name == "strip_frame.png"


def test_a_caption_is_one_line_whatever_a_clip_is_called(tmp_path):
    run = small_run(tmp_path / "run", clip_name="a\n\n**rd** b{}")
    encode = run.encodes.loc[run.encodes["codec"] == "none", "encode"].iloc[0]
    samples.write_samples(run.path, encode, {"input": np.full((96, 96), 7, np.uint8)}, 3)
    figures.draw_all(run, tmp_path / "out", only={"strip"}, formats=["png"])
    assert list(captions_of(tmp_path / "out")) == ["strip_frame"]


def test_factors_in_names_are_ordered_by_size():
    names = ["methods_a_x16", "strip_face", "methods_a_x2", "rd_b", "difference_a", "bd_z", "confusion_a"]
    assert sorted(names, key=figures._caption_order) == [
        *("rd_b", "methods_a_x2", "methods_a_x16", "bd_z", "difference_a", "confusion_a", "strip_face")
    ]


@pytest.mark.long
def test_what_took_no_part_is_told_and_counted_in_captions(tmp_path):
    encodes, scores = made_tables(6, factors=(1, 4), rates=4, backends=("one", "two"))
    where = encodes.set_index("encode").loc[scores["encode"]]
    lost = ((where["clip"] == "clip02") & (where["codec"] == "x264") & (where["factor"] == 4)).to_numpy() & (
        scores["target"] == "valence"
    ).to_numpy()
    bare = (where["clip"] == "clip04").to_numpy() & (where["codec"] == "none").to_numpy()
    for name, table in (("encodes", encodes), ("scores", scores[~lost & ~bare])):
        (tmp_path / "run").mkdir(exist_ok=True)
        table.to_csv(tmp_path / "run" / f"{name}.csv", index=False)
    told: list[str] = []
    out = tmp_path / "out"
    asked = set(figures.KINDS)
    figures.draw_all(open_run(tmp_path / "run"), out, formats=["svg"], only=asked, tell=told.append)
    # Of 2 back-ends: 4 rates of valence, and 2 factors uncoded.
    assert sorted(told) == [
        "left out: clip clip02 has no value at 8 of 36 points",
        "left out: clip clip04 has no value at 4 of 36 points",
    ]
    captions = captions_of(out)
    for name, caption in captions.items():
        kind = name.partition("_")[0]
        words = {
            "rd": "Over 4 clips, 2 left out." if "valence" in name else "Over 5 clips, 1 left out.",
            "methods": "Over 4 clips, 2 left out." if "valence" in name else "Over 5 clips, 1 left out.",
            # Envelopes do not need what was not coded.
            "envelope": "Over 5 clips, 1 left out." if "valence" in name else "",
            "standalone": "Over 5 clips, 1 left out (arousal); 4 clips, 2 left out (valence).",
        }.get(kind, "")
        assert words in caption, name
        assert ("left out" in caption) == bool(words), name
    assert {name.partition("_")[0] for name in captions} >= {"rd", "methods", "envelope", "standalone"}


@pytest.mark.long
def test_nothing_is_told_where_all_clips_take_part(tmp_path):
    told: list[str] = []
    figures.draw_all(small_run(tmp_path / "run"), tmp_path / "out", formats=["svg"], tell=told.append)
    assert told == []
    assert "left out" not in (tmp_path / "out" / "captions.md").read_text()


@pytest.mark.long
def test_clips_without_subjects_are_said_to_be_independent_in_captions(tmp_path):
    words = "Each clip is its own subject: clips are treated as independent."
    run = small_run(tmp_path / "run")
    figures.draw_all(run, tmp_path / "out", formats=["svg"])
    assert words not in (tmp_path / "out" / "captions.md").read_text()
    encodes = run.encodes.assign(subject=pd.NA)
    encodes.to_csv(run.path / "encodes.csv", index=False)
    figures.draw_all(open_run(run.path), tmp_path / "alone", formats=["svg"])
    captions = captions_of(tmp_path / "alone")
    for kind, number in (("rd", 2), ("envelope", 1), ("standalone", 1)):
        assert [words in text for name, text in captions.items() if name.startswith(kind)] == [True] * number


def an_envelope(**options):
    encodes, scores = made_tables(targets=("valence",), backends=("direct@lite",), **options)
    tables = envelopes(encodes, scores), switch_points(encodes, scores)
    return *tables, pooling.pooled(encodes, scores)


def test_switch_points_lie_below_the_curves_in_the_colour_of_what_they_switch_to():
    best, switches, points = an_envelope(factors=(1, 2, 4), spread=0.2)
    switches["low"], switches["high"] = switches["kbps"] / 1.3, switches["kbps"] * 1.3
    switches.loc[0, ["low", "high"]] = np.nan
    plain = figures.envelope(best, points=points)
    figure = figures.envelope(best, points=points, switches=switches)
    assert figure.axes[0].get_ylim()[0] < plain.axes[0].get_ylim()[0]
    assert "another factor is the best" in figure.caption
    assert "another factor is the best" not in plain.caption
    for axes, codec in zip(figure.axes, ("x264", "x265"), strict=False):
        rows = switches[switches["codec"] == codec].sort_values("kbps")
        assert len(rows) > 1
        ticks = [line for line in axes.get_lines() if line.get_marker() == "|"]
        assert [line.get_xdata()[0] for line in ticks] == pytest.approx(rows["kbps"].tolist())
        assert [to_rgb(line.get_color()) for line in ticks] == [
            to_rgb(factor_look(f).colour) for f in rows["to_factor"]
        ]
        bars = [line for line in axes.get_lines() if list(line.get_ydata()) == [ticks[0].get_ydata()[0]] * 2]
        bars += [line for line in axes.get_lines() if list(line.get_ydata()) == [ticks[1].get_ydata()[0]] * 2]
        ends = rows[["low", "high"]].dropna().to_numpy()
        assert {tuple(line.get_xdata()) for line in bars} <= {tuple(pair) for pair in ends}
        assert bars
        # All are below what the curves reach.
        figure.canvas.draw()
        lowest = min(axes.transData.transform((1, y))[1] for y in best["value"])
        assert max(line.get_window_extent().y1 for line in ticks) < lowest
    assert not [line for line in figure.axes[2].get_lines() if line.get_marker() == "|"], "all codecs"


def test_switch_points_that_overlap_have_lanes_of_their_own():
    rows = pd.DataFrame(
        [(10.0, 5.0, 20.0), (12.0, np.nan, np.nan), (40.0, 30.0, 50.0), (5000.0, 1.0, 2.0)],
        columns=["kbps", "low", "high"],
    )
    figure = figures.rd(one_curve_set(factors=(1, 4))[0])
    figure.axes[0].set_xlim(2, 1000)
    shown, lanes = _lanes(rows, figure.axes[0])
    assert shown["kbps"].tolist() == [10.0, 12.0, 40.0], "what lies outside the panel is not drawn"
    assert lanes == [0, 1, 0]


def test_a_run_without_switches_has_no_room_for_them():
    best, switches, points = an_envelope(factors=(1, 2))
    plain = figures.envelope(best, points=points)
    none = figures.envelope(best, points=points, switches=switches.head(0))
    assert none.axes[0].get_ylim() == plain.axes[0].get_ylim()
    assert none.caption == plain.caption


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
    figure = strip.strip([("colour", np.zeros((64, 48, 3), np.uint8)), *pictures])
    shown = [axes.images[0].get_array() for axes in figure.axes]
    assert len(shown) == 9
    assert all((a == b).all() for a, (_, b) in zip(shown[1:], pictures, strict=True))
    with pytest.raises(InputError):
        strip.strip([])


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
        "bd_accuracy_sim_low": -0.01,
        "bd_accuracy_sim_high": 0.03,
        "bd_rate_sim_low": -30.0,
        "bd_rate_sim_high": 10.0,
    }
    return pd.DataFrame(
        [row | {"test_factor": "1", "bd_rate": -10.0, "bd_rate_low": -20.0, "bd_rate_high": 0.0},
         row | {"test_factor": "4", **{f"bd_rate{end}": value for end, value in ends.items()}}]
    )  # fmt: skip


def test_an_endless_interval_of_a_rate_leaves_room_for_the_others():
    figure = bd_figures.forest(deltas(**{"": 100.0, "_low": -50.0, "_high": 3000.0}))
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
    nothing_left = bd_figures.forest(deltas(**{"": -50.0, "_low": -100.0, "_high": 0.0}))
    assert np.isfinite(nothing_left.axes[0].get_xlim()).all()


def bars_of(axes: Axes, colour: str) -> dict[float, list[float]]:
    """Width and ends of each horizontal bar of a colour."""
    return {
        line.get_linewidth(): list(line.get_xdata())
        for line in axes.get_lines()
        if to_rgb(line.get_color()) == to_rgb(colour) and len(line.get_xdata()) == 2
    }


def test_thin_bars_of_a_forest_hold_for_all_rows_at_once():
    table = deltas(**{"": 5.0, "_low": 1.0, "_high": 9.0})
    figure = bd_figures.forest(table)
    for axes, plain, thin in (
        (figure.axes[0], np.log([0.8, 1.0]), np.log([0.7, 1.1])),
        (figure.axes[1], [0.0, 0.02], [-0.01, 0.03]),
    ):
        bars = bars_of(axes, factor_look(1).colour)
        assert [bars[width] for width in sorted(bars)] == [pytest.approx(thin), pytest.approx(plain)]
        assert max(bars) > 2 * min(bars)
        low, high = axes.get_xlim()
        assert low < thin[0]
        assert thin[1] < high
    assert "Thin bars: 95 % for all curves of the two codecs at once" in figure.caption
    assert "best factors" not in figure.caption
    both = pd.concat([table, table.assign(test_factor="best")], ignore_index=True)
    assert "best factors among themselves" in bd_figures.forest(both).caption
    without = table.assign(**{name: np.nan for name in table if "_sim_" in name})
    assert "Thin bars" not in bd_figures.forest(without).caption
    assert len(bars_of(bd_figures.forest(without).axes[0], factor_look(1).colour)) == 1


@pytest.mark.parametrize(
    ("region", "bits", "told"),
    [
        ("frame", "payload", "payload bits. Box bits are not in the rate."),
        ("frame", "stream+boxes", "stream bits. Box bits are in the rate."),
        ("face", "payload", "payload bits. Bars:"),
    ],
)
def test_a_forest_tells_whether_boxes_are_in_its_rates(region, bits, told):
    table = deltas(**{"": 5.0, "_low": 1.0, "_high": 9.0}).assign(test_region=region, bits=bits)
    assert told in bd_figures.forest(table).caption


def test_the_flag_that_charges_boxes_reaches_the_captions_of_deltas(tmp_path):
    run = csv_run(tmp_path / "run", factors=(1, 4), subjects=6, targets=("valence",), backends=("a@b",))
    for charged, words in ((False, "are not in the rate"), (True, "are in the rate")):
        files = figures.draw_all(
            run, tmp_path / words, only={"bd"}, formats=["svg"], basis=Basis(charge_boxes=charged)
        )
        forest = files[-1].read_text().split("**bd_")[1].split("**difference_")[0]
        assert f"Box bits {words}." in forest
        assert "Thin bars" in forest


def test_captions_say_that_a_receiver_found_the_faces_itself(tmp_path):
    """Box bits, which nobody sends, are not spoken of; names of targets are read as words."""
    run = csv_run(tmp_path / "run", factors=(1, 4), subjects=6, targets=("mouth_opening",), backends=("a@b",))
    encodes = pd.read_csv(run.path / "encodes.csv").assign(box_looks=40, box_misses=1)
    encodes.to_csv(run.path / "encodes.csv", index=False)
    found = open_run(run.path)
    kinds = {"rd", "envelope", "bd", "target"}
    *_, captions = figures.draw_all(found, tmp_path / "figures", only=kinds, formats=["svg"])
    text = captions.read_text()
    assert "Box bits" not in text
    told = [line for line in text.splitlines() if "no boxes are sent" in line]
    assert {line.partition("_")[0].lstrip("*") for line in told} == kinds | {"difference"}
    assert "Mouth opening, a@b" in text
    assert report_data([("run", found)])["boxes"] == ["found"]


@pytest.mark.parametrize("style", ["screen", "paper"])
def test_numbers_of_small_deltas_do_not_run_into_each_other(style):
    table = deltas(**{"": 5.0, "_low": 1.0, "_high": 9.0})
    small = {"": 0.0, "_low": -0.001, "_high": 0.001, "_sim_low": -0.003, "_sim_high": 0.004}
    table = table.assign(**{f"bd_accuracy{part}": value for part, value in small.items()})
    figure = bd_figures.forest(table, style=style)
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    for axes in figure.axes:
        ticks = [t.get_window_extent(renderer) for t in axes.get_xticklabels() if t.get_text()]
        assert len(ticks) > 2
        assert not any(a.overlaps(b) for a, b in itertools.pairwise(ticks))


def test_differences_have_a_panel_for_each_pair_of_codecs():
    accuracy, told = np.linspace(0.2, 0.6, 101), np.ones(101, bool)
    flat = told & (np.arange(101) < 60)
    pairs = [
        (
            "x265",
            "x264",
            [("4", accuracy, np.full(101, -50.0), flat), ("1", accuracy, np.full(101, 300.0), told)],
        ),
        ("vp9", "x264", [("1", accuracy, np.full(101, 10.0), told)]),
        ("vp9", "x265", [("1", np.zeros(0), np.zeros(0), np.zeros(0, bool))]),
    ]
    figure = bd_figures.difference(pairs)
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "Rate of x265 over x264 (%)",
        "Rate of vp9 over x264 (%)",
    ]
    look = factor_look(4)
    faint, strong = (
        line
        for line in figure.axes[0].get_lines()
        if to_rgb(line.get_color()) == to_rgb(look.colour) and line.get_linestyle() != "None"
    )
    assert faint.get_ydata() == pytest.approx(np.full(101, np.log(0.5)))
    assert (faint.get_alpha(), strong.get_alpha()) == (bd_figures.FAINT, None)
    assert strong.get_xdata() == pytest.approx(accuracy[:60]), "beyond, the curve cannot be told to rise"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["1", "4"]
    with pytest.raises(InputError, match="share a range"):
        bd_figures.difference(pairs[2:])


def test_differences_of_codecs_have_a_line_of_the_best_factors_too(tmp_path):
    run = small_run(tmp_path / "run", subjects=6, rates=5)
    source = Source(run, run.basis(), "screen")
    ((_, draw),) = list(_differences(source, ["x264", "x265"]))
    figure = draw()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["1", "4", "best"]
    assert "chosen on other subjects" in figure.caption
    line, *_ = (line for line in figure.axes[0].get_lines() if line.get_linestyle() == "--")
    expected = relative_differences(
        run.encodes, run.scores, "codec=x264,factor=best", {"codec": "x265", "factor": "best"}
    )
    np.testing.assert_allclose(line.get_xdata(), expected[0][0])
    np.testing.assert_allclose(np.expm1(line.get_ydata()) * 100, expected[0][1])
    one = small_run(tmp_path / "one", factors=(4,))
    source = Source(one, one.basis(), "screen")
    ((_, draw),) = list(_differences(source, ["x264", "x265"]))
    assert [text.get_text() for text in draw().legends[0].get_texts()] == ["4"]


def drawn_pairs(anchor: str, test: str, **options):
    tables = made_tables(4, **{"factors": (1, 4), "rates": 5, **options})
    table = bd_table(*tables, anchor, test, per_clip=False)
    return differences(table, relative_differences(*tables, anchor, test))


def lines_of(axes: Axes) -> int:
    return sum(line.get_alpha() is not None and len(line.get_xdata()) > 3 for line in axes.get_lines())


def test_pairs_of_a_table_that_differ_in_the_factor_only_share_a_panel():
    figure = drawn_pairs("codec=x264", "codec=x265")
    titles = [axes.get_title("left") for axes in figure.axes if axes.axison]
    assert titles == [
        "direct@lite, arousal",
        "direct@paper, arousal",
        "direct@lite, valence",
        "direct@paper, valence",
    ]
    assert {axes.get_ylabel() for axes in figure.axes if axes.axison} == {"Rate of x265 over x264 (%)"}
    assert [lines_of(axes) for axes in figure.axes if axes.axison] == [2] * 4


def test_pairs_are_named_by_what_they_differ_in():
    figure = drawn_pairs("factor=1,codec=x264,target=valence", "factor=best", backends=("direct@lite",))
    (axes,) = figure.axes
    assert axes.get_ylabel() == "Rate of best factor over factor 1 (%)"
    assert axes.get_title("left") == ""
    assert "chosen on other subjects" in figure.caption
    backends = drawn_pairs("backend=direct@lite,target=valence,factor=4", "backend=direct@paper")
    assert [axes.get_ylabel() for axes in backends.axes] == ["Rate of direct@paper over direct@lite (%)"] * 2
    assert [axes.get_title("left") for axes in backends.axes] == ["x264", "x265"]
    mixed = drawn_pairs("codec=x264,factor=4,target=valence", "codec=x265,factor=1", backends=("one",))
    assert [axes.get_ylabel() for axes in mixed.axes] == ["Rate of x265 factor 1 over x264 factor 4 (%)"]


def test_more_pairs_than_a_page_holds_are_refused():
    backends = tuple(f"net{i}" for i in range(5))
    with pytest.raises(InputError, match="10 pairs of curves to draw, factors aside, and a figure holds 9"):
        drawn_pairs("codec=x264", "codec=x265", backends=backends)
    figure = drawn_pairs("codec=x264", "codec=x265", backends=backends[:4])
    assert sum(axes.axison for axes in figure.axes) == 8


def test_pairs_without_a_common_range_are_not_drawn():
    tables = made_tables(4, factors=(1, 4), targets=("valence",), backends=("one",))
    table = bd_table(*tables, "codec=x264", "codec=x265", per_clip=False)
    (whole, empty), nothing = relative_differences(*tables, "codec=x264", "codec=x265"), np.zeros(0)
    figure = differences(table, [whole, (nothing, nothing)])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["1"]
    with pytest.raises(NotComparableError, match="share a range"):
        differences(table, [(nothing, nothing)] * 2)
    assert len(empty[0])


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


def test_a_codec_keeps_its_colour_whatever_stands_beside_it():
    assert looks(["x265"])["x265"] == looks(["x264", "x265", "mine"])["x265"]
    many = looks(f"codec{i}" for i in range(20))
    assert len({(look.colour, look.dash) for look in many.values()}) == 20


def luminance(colour: str) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_every_line_has_a_contrast_of_three_on_light_and_dark_pages():
    css = (Path(figures.__file__).parents[1] / "assets" / "report.css").read_text(encoding="utf-8")
    light, _, dark = css.partition("prefers-color-scheme: dark")
    white, grounds = (
        [re.search(rf"--{name}: (#[0-9a-f]{{6}})", mode)[1] for name in ("paper", "card")]
        for mode in (light, dark)
    )
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    names = [
        "x264",
        "x265",
        "kvazaar",
        "svtav1",
        "libaom",
        "vp9",
        "vvenc",
        "direct@lite",
        "frozen@lite",
        "mine",
    ]
    drawn = [*looks(names).values(), *map(factor_look, (*FACTORS, 5, 32))]
    for look in drawn:
        assert min(contrast(look.on_dark, ground) for ground in grounds) >= 3
        assert min(contrast(look.colour, ground) for ground in white) >= 3
    # What is light enough stays as it is in all figures.
    kept = [look for look in drawn if min(contrast(look.colour, ground) for ground in grounds) >= 3]
    assert kept
    assert all(look.on_dark == look.colour for look in kept)


def test_a_curve_of_one_point_shows_its_interval():
    table, _ = one_curve_set(subjects=6, factors=(1,), codecs=("x264",))
    one = table[(table["codec"] == "none") | (table["bitrate_kbps"] == table["bitrate_kbps"].median())]
    row = one[one["codec"] == "x264"].iloc[0]
    bars = [
        line.get_ydata()
        for axes in figures.rd(one).axes
        for line in axes.get_lines()
        if list(line.get_xdata()) == [row["bitrate_kbps"]] * 2
    ]
    assert len(bars) == 1
    np.testing.assert_allclose(bars[0], [row["low"], row["high"]])
