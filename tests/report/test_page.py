from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_runs import csv_run, store_run
from made_tables import made
from PIL import Image

from rdbench.curves import pooling
from rdbench.curves.arrays import Arrays
from rdbench.curves.deltas import bd_table
from rdbench.curves.envelope import Chooser, envelope_of
from rdbench.curves.run import open_run
from rdbench.curves.sides import groups, side_of
from rdbench.errors import InputError, NotComparableError
from rdbench.figures.axes import ratio_ticks
from rdbench.figures.style import factor_look, looks
from rdbench.report import data as report_module
from rdbench.report.data import report_data
from rdbench.report.page import build, page
from rdbench.stats.bd import relative_difference
from rdbench.tables.pictures import read_picture, read_samples
from rdbench.tables.predictions import unpack

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
EVIL = "<img src=x onerror=alert(1)>"
SMALL = {"subjects": 6, "factors": (1, 4, 16), "rates": 5}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return store_run(
        tmp_path_factory.mktemp("runs") / "made",
        **SMALL,
        clip_name=EVIL + "{}",
        gold="pristine:direct@lite",
    )


@pytest.fixture(scope="module")
def report(run, tmp_path_factory) -> Path:
    return build([(f"{EVIL}&amp;", run)], tmp_path_factory.mktemp("out") / "report.html")


@pytest.fixture(scope="module")
def csv_report(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("csv")
    run = csv_run(folder / "tables", subjects=4, factors=(1, 4), backends=("direct@lite",))
    return build([("tables", run)], folder / "report.html")


# ---- what goes onto the page ------------------------------------------------------------------------------------


def records(table: dict) -> list[dict]:
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


def test_points_are_those_of_the_library(run):
    shown = records(report_data([("a", run)])["tables"]["points"])
    table = pooling.pooled(run.encodes, run.scores)
    assert len(shown) == len(table)
    for point, (_, row) in zip(shown, table.iterrows(), strict=True):
        assert (point["codec"], point["factor"], point["rate"]) == (row["codec"], row["factor"], row["rate"])
        assert point["value"] == pytest.approx(row["value"], rel=1e-6)
        assert point["low"] == pytest.approx(row["low"], rel=1e-6)


def test_data_are_strict_json_and_hold_no_markup(run, report):
    text = report.read_text(encoding="utf-8")
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1]
    assert "<" not in block
    data = json.loads(block, parse_constant=lambda name: pytest.fail(name))
    assert any(EVIL in trace["clip"] for trace in data["traces"])
    assert EVIL not in text


def test_the_policy_names_exactly_the_scripts_of_the_page(report):
    text = report.read_text(encoding="utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert re.findall(r"'sha256-([^']+)'", policy) == hashes
    assert len(scripts) == 2
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert re.search(r"script-src [^;]*'unsafe-inline'", policy) is None


@pytest.mark.long
def test_traces_come_back_within_a_step(run):
    data = report_data([("a", run)])
    stored = run.predictions.iloc[0]
    trace = next(
        t
        for t in data["traces"]
        if t["backend"] == stored["backend"]
        and t["clip"] == run.encodes.set_index("encode").loc[stored["encode"], "clip"]
        and t["rate"] == run.encodes.set_index("encode").loc[stored["encode"], "rate"]
        and t["factor"] == run.encodes.set_index("encode").loc[stored["encode"], "factor"]
    )
    arrays = unpack(stored["data"])
    # Columns are in the order in which the back-end names its targets, which no table holds.
    columns = {"arousal": 0, "valence": 1}
    rows = run.scores[
        (run.scores["encode"] == stored["encode"]) & (run.scores["backend"] == stored["backend"])
    ]
    for place, target in enumerate(trace["targets"]):
        text, offset, step = data["series"][trace["prediction"][place]]
        values = offset + step * np.frombuffer(base64.b64decode(text), "<i2")
        mean = rows.set_index("target").loc[target, "mean_pred"]
        assert values.mean() == pytest.approx(mean, abs=2 * step + 1e-6)
        near = min(np.abs(values - arrays["prediction"][:, c]).max() for c in columns.values())
        assert near <= step
    bits = []
    if trace["bits"]:
        text, width = data["series"][trace["bits"][0]]
        bits = np.frombuffer(base64.b64decode(text), f"<u{width}")
    assert list(bits) == list(arrays["bits"])


def test_a_run_of_tables_alone_says_what_it_lacks(csv_report):
    text = csv_report.read_text(encoding="utf-8")
    assert "consists of tables alone" in text
    assert "has no sample pictures" in text


def test_what_the_recogniser_saw_stays_exact_and_the_rest_is_small(run):
    data = report_data([("a", run)])
    stored = read_samples(run.path)
    sample = next(one for one in data["samples"] if one["factor"] == 4 and one["kbps"])
    rows = run.encodes
    encode = rows.loc[
        (rows["clip"] == sample["clip"]) & (rows["codec"] == sample["codec"])
        & (rows["factor"] == 4) & (rows["rate"] == sample["rate"]), "encode"
    ].iloc[0]  # fmt: skip
    url = {kind: data["pictures"][place] for kind, place in sample["pictures"].items()}
    exact = base64.b64decode(url["input"].removeprefix("data:image/png;base64,"))
    assert exact == stored[encode]["input"]
    assert url["decoded"].startswith("data:image/webp;base64,")
    with Image.open(io.BytesIO(base64.b64decode(url["decoded"].partition(",")[2]))) as image:
        shown = np.asarray(image.convert("L"), dtype=float)
    error = ((shown - read_picture(stored[encode]["decoded"])) ** 2).mean()
    assert 10 * np.log10(255**2 / max(error, 1e-9)) > 38


def test_damaged_pictures_are_left_out_and_told(tmp_path):
    run = store_run(tmp_path / "run", subjects=2, factors=(1, 4), rates=4, codecs=("x264",))
    file = next((run.path / "samples").glob("*.decoded.png"))
    file.write_bytes(file.read_bytes()[:40])
    data = report_data([("a", run)])
    assert any("left out: damaged" in note["text"] for note in data["notes"])


@pytest.mark.long
def test_two_runs_are_compared_curve_by_curve(run, tmp_path):
    tables = records(report_data([("old", run), ("new", run)])["tables"]["bd"])
    between = [row for row in tables if row["by"] == "run"]
    assert {(row["anchor"], row["test"], row["run"]) for row in between} == {("old", "new", "new")}
    curve = ("codec", "backend", "variant", "factor", "region", "mode", "target")
    own = {tuple(row[key] for key in curve) for row in records(report_data([("a", run)])["tables"]["points"])
           if row["codec"] != "none"}  # fmt: skip
    found = {tuple(row[key] for key in curve) for row in between if row["factor"] != "best"}
    assert found == {(c, b, v, str(f), r, m, t) for c, b, v, f, r, m, t in own}
    assert {row["bd_accuracy"] for row in between} == {0}
    other = csv_run(tmp_path / "other", subjects=6, factors=(1, 4), clip_name="other{}")
    notes = report_data([("old", run), ("new", other)])["notes"]
    assert any("new against old: no curve that both have" in note["text"] for note in notes)


def test_deltas_come_with_all_that_they_rest_on(run):
    shown = [row for row in records(report_data([("a", run)])["tables"]["bd"]) if row["by"] == "codec"]
    table = bd_table(run.encodes, run.scores, {"codec": "x264"}, {"codec": "x265"}, per_clip=False)
    fixed = [row for row in shown if row["factor"] != "best"]
    assert len(fixed) == len(table) > 0
    for row, (_, expected) in zip(fixed, table.iterrows(), strict=True):
        for name in ("displacement", "bd_rate_interpolation", "bd_rate_sim_low", "bd_accuracy_sim_high"):
            assert row[name] == pytest.approx(expected[name], rel=1e-6, abs=1e-9)
        assert row["bd_rate_sim_low"] < row["bd_rate_low"] < row["bd_rate_high"] < row["bd_rate_sim_high"]


def line(data: dict, **key: object) -> tuple[dict, np.ndarray]:
    """The one relative difference with this key, and its log ratios."""
    rows = records(data["tables"]["differences"])
    (found,) = (row for row in rows if all(row[name] == value for name, value in key.items()))
    text, offset, step = data["series"][found["ratio"]]
    return found, offset + step * np.frombuffer(base64.b64decode(text), "<i2")


@pytest.mark.parametrize("factor", [pytest.param("4", marks=pytest.mark.long), "best"])
def test_differences_along_the_curves_are_those_of_the_library(run, factor):
    data = report_data([("a", run)])
    arrays = Arrays(run.encodes, run.scores)
    (points,) = (one for one in arrays.parts(uncoded=False) if one.keys["target"].iloc[0] == "valence")
    chooser = Chooser(arrays)
    sides = {}
    for key, rows in groups(points):
        own = rows[(points.keys["factor"].iloc[rows] == 4).to_numpy()]
        side = side_of(points, own) if factor == "4" else envelope_of(points, rows, key, chooser).side
        sides[key["backend"], key["codec"]] = side
    for by, anchor, test, fixed in (
        ("codec", ("direct@lite", "x264"), ("direct@lite", "x265"), {"backend": "direct@lite"}),
        ("backend", ("direct@lite", "x265"), ("direct@paper", "x265"), {"codec": "x265"}),
    ):
        accuracy, percent, _ = relative_difference(sides[anchor], sides[test])
        row, ratio = line(data, by=by, factor=factor, target="valence", **fixed)
        assert (row["anchor"], row["test"]) == (
            (anchor[1], test[1]) if by == "codec" else (anchor[0], test[0])
        )
        assert (row["from"], row["to"]) == pytest.approx((accuracy[0], accuracy[-1]), rel=1e-6)
        assert ratio == pytest.approx(np.log1p(percent / 100), abs=1e-4)


@pytest.mark.long
def test_differences_of_two_runs_are_those_of_their_rates(run, tmp_path):
    data = report_data([("dear", run), ("cheap", cheaper(run, tmp_path / "cheap"))])
    row, ratio = line(data, by="run", factor="4", target="valence", backend="direct@lite", codec="x264")
    assert (row["anchor"], row["test"], row["run"]) == ("dear", "cheap", "cheap")
    assert ratio == pytest.approx(np.full(101, np.log(0.8)), abs=1e-4)


@pytest.mark.long
def test_what_is_too_much_of_differences_is_left_out_and_told(run, monkeypatch):
    monkeypatch.setattr(report_module, "MOST_LINES", 5)
    data = report_data([("a", run)])
    assert len(data["tables"]["differences"]["rows"]) == 5
    assert any("lines of relative differences are left out" in note["text"] for note in data["notes"])


def cheaper(run, folder: Path):
    """The same run with four fifths of the bits."""
    folder.mkdir()
    kinds = ["payload_bits", "framing_bits", "informational_bits", "filler_bits"]
    fewer = (run.encodes[kinds].astype(float) * 0.8).round().astype("Int64")
    encodes = run.encodes.assign(**fewer)
    encodes["stream_bits"] = fewer.sum(axis=1, min_count=4).astype("Int64")
    encodes.to_csv(folder / "encodes.csv", index=False)
    run.scores.to_csv(folder / "scores.csv", index=False)
    return open_run(folder)


@pytest.mark.parametrize(
    ("classes", "column", "words"),
    [
        pytest.param(0, "gold_sd", "standard deviation", marks=pytest.mark.long),
        (3, "gold_entropy", "class entropy"),
    ],
)
def test_what_gold_varies_by_is_shown_for_every_point_and_gold(tmp_path, classes, column, words):
    encodes, scores, frames = made(targets=("valence", "arousal"), classes=classes, uncoded=True)
    encodes.to_csv(tmp_path / "encodes.csv", index=False)
    scores.to_csv(tmp_path / "scores.csv", index=False)
    data = report_data([("a", open_run(tmp_path))])
    points = records(data["tables"]["points"])
    assert len(points) == 2 * (2 * 2 * 5 + 2)
    told = dict(data["provenance"][0]["facts"])["gold labels"]
    assert words in told
    for point in points:
        same = encodes[
            (encodes["codec"] == point["codec"])
            & (encodes["factor"] == point["factor"])
            & (encodes["rate"] == point["rate"])
        ]
        gold = np.concatenate([frames[name, point["backend"], point["target"]][1] for name in same["encode"]])
        share = np.unique(gold, return_counts=True)[1] / len(gold)
        expected = -(share * np.log2(share)).sum() if classes else gold.std()
        assert point[column] == pytest.approx(expected, rel=1e-6)
        assert f"{point['target']} {expected:.4g}" in told


def test_gold_that_never_varies_has_a_spread_of_nought_and_no_other_is_told(tmp_path):
    run = csv_run(tmp_path / "run", subjects=6, factors=(1, 4), spread=0)
    scores = run.scores.assign(m2_gold=0.0, cov=0.0, mean_gold=1e6 + 0.1)
    scores.loc[scores["target"] == "valence", "gold"] = "other"
    scores.loc[scores["target"] == "valence", "n"] = 0
    scores.to_csv(run.path / "scores.csv", index=False)
    data = report_data([("a", open_run(run.path))])
    assert {row["gold_sd"] for row in records(data["tables"]["points"])} == {0}
    facts = dict(data["provenance"][0]["facts"])
    assert "arousal 0" in facts["gold labels"]
    assert facts["gold other"] == "no score against it is shown"


def test_runs_need_names_of_their_own(run, tmp_path):
    with pytest.raises(InputError, match="name of its own"):
        build([("a", run), ("a", run)], tmp_path / "r.html")


@pytest.mark.long
def test_building_twice_gives_the_same_bytes(tmp_path):
    run = store_run(tmp_path / "run", subjects=2, factors=(1, 4), rates=4, codecs=("x264",))
    first, second = (build([("a", run)], tmp_path / name) for name in ("1.html", "2.html"))
    assert first.read_bytes() == second.read_bytes()
    assert {file.name for file in tmp_path.iterdir()} == {"1.html", "2.html", "run"}


def test_a_title_is_text():
    assert "<title>&lt;b&gt; – rdbench report</title>" in page({}, title="<b>")


def test_reporting_loads_neither_torch_nor_codecs():
    code = (
        "import sys, rdbench.report; "
        "print(sorted({'torch', 'cv2', 'av', 'ffmpeg', 'imageio_ffmpeg', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


# ---- the page in a browser --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Visit:
    """A page that was opened, and everything that it asked for or complained of."""

    def __init__(self, browser, file: Path, **options) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        # A machine that is busy with something else draws slowly, which is no fault of the page.
        self.context.set_default_timeout(120_000)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri())
        self.page.wait_for_selector("body[data-drawn]")
        self.file = file

    def __enter__(self):
        return self.page

    def __exit__(self, kind, *_):
        outside = [
            u for u in self.requests if not u.startswith(("data:", "blob:")) and u != self.file.as_uri()
        ]
        self.context.close()
        if kind is None:
            assert self.complaints == []
            assert outside == []


def chip(page, key: str, value: object):
    return page.locator(f'input[data-key="{key}"][data-value="{value}"]')


def lines(page, panel: int = 0) -> list[dict]:
    return page.evaluate(
        "i => document.querySelectorAll('#rd-plots .plot')[i].data.filter(t => t.meta === 'points')"
        ".map(t => ({name: t.name, colour: t.line.color, x: t.x, y: t.y, symbols: t.marker.symbol}))",
        panel,
    )


def test_curves_show_the_points_with_the_figures_colours(browser, report, run):
    table = pooling.pooled(run.encodes, run.scores)
    with Visit(browser, report) as page:
        assert page.locator("#rd-plots h3").all_text_contents() == ["x264", "x265"]
        wider = "[...document.querySelectorAll('.plot')].filter(p => p._fullLayout.width > p.clientWidth + 1).length"
        assert page.evaluate(wider) == 0
        for line in lines(page):
            rows = table[
                (table["codec"] == "x264")
                & (table["factor"] == int(line["name"]))
                & (table["target"] == "arousal")
                & (table["backend"] == "direct@lite")
            ].sort_values("bitrate_kbps")
            assert line["x"] == pytest.approx(list(rows["bitrate_kbps"]), rel=1e-6)
            assert line["y"] == pytest.approx(list(rows["value"]), rel=1e-6)
            look = factor_look(int(line["name"]))
            assert line["colour"] == look.colour
            hollow = [status != "ok" for status in rows["rate_status"]]
            assert line["symbols"] == [look.symbol + ("-open" if empty else "") for empty in hollow]


def test_filters_choose_what_every_section_shows(browser, report):
    with Visit(browser, report) as page:
        assert [line["name"] for line in lines(page)] == ["1", "4", "16"]
        chip(page, "factor", 4).uncheck()
        assert [line["name"] for line in lines(page)] == ["1", "16"]
        chip(page, "codec", "x265").uncheck()
        assert page.locator("#rd-plots h3").all_text_contents() == ["x264"]
        assert "x265" not in page.locator("#points-table tbody").inner_text()
        chip(page, "target", "valence").check()
        assert page.locator("#rd-plots h3").all_text_contents() == ["arousal, x264", "valence, x264"]
        chip(page, "backend", "direct@paper").check()
        assert page.locator("#rd-plots .plot").count() == 4
        for codec in ("x264",):
            chip(page, "codec", codec).uncheck()
        assert "No point passes" in page.locator("#rd-plots").inner_text()
        page.get_by_role("button", name="Reset filters").click()
        assert [line["name"] for line in lines(page)] == ["1", "4", "16"]
        assert page.locator("#rd-plots .plot").count() == 2


@pytest.mark.long
def test_hover_tells_every_figure_of_a_point(browser, report, run):
    with Visit(browser, report) as page:
        plot = page.locator("#rd-plots .plot").first
        plot.scroll_into_view_if_needed()
        where = page.evaluate(
            "() => { const p = document.querySelector('#rd-plots .plot'); const i = p.data.findIndex(t => t.meta === 'points');"
            "const l = p._fullLayout, t = p.data[i], b = p.getBoundingClientRect();"
            "return [b.left + l._size.l + l.xaxis.d2p(t.x[4]), b.top + l._size.t + l.yaxis.d2p(t.y[4]), t.x[4]]; }"
        )
        page.mouse.move(where[0] - 40, where[1] + 60)
        page.mouse.move(where[0], where[1], steps=4)
        page.wait_for_selector("#rd-plots .hoverlayer .hovertext")
        card = page.locator("#point").inner_text()
        tip = page.locator("#rd-plots .hoverlayer").first.text_content()
        everything = (
            *(
                "bitrate, kbit/s",
                "asked for",
                "rate status",
                "CCC",
                "low",
                "high",
                "PCC",
                "RMSE",
                "factor",
                "coded face",
            ),
            *(
                "PSNR, dB",
                "mean QP",
                "whole stream",
                "frames scored",
                "gold's standard deviation",
                "subjects",
                "clips",
                "pristine:direct@lite",
            ),
        )
        assert [word for word in everything if word not in card] == []
        main = ("bitrate, kbit/s", "rate status", "CCC", "low", "high", "factor", "frames scored", "subjects")
        assert [word for word in main if word not in tip] == []
        assert f"{where[2]:.0f}"[:3] in card


@pytest.mark.long
def test_points_are_reached_by_keyboard(browser, report):
    with Visit(browser, report) as page:
        plot = page.locator("#rd-plots .plot").first
        plot.focus()
        page.keyboard.press("ArrowRight")
        first = page.locator("#point dd").all_text_contents()
        page.keyboard.press("ArrowRight")
        second = page.locator("#point dd").all_text_contents()
        page.keyboard.press("ArrowDown")
        third = page.locator("#point dd").all_text_contents()
        assert len({tuple(first), tuple(second), tuple(third)}) == 3
        assert page.locator("#point").get_attribute("aria-live") == "polite"
        chip(page, "factor", 16).focus()
        page.keyboard.press("Space")
        assert [line["name"] for line in lines(page)] == ["1", "4"]


def test_every_control_has_a_name_and_can_be_focused(browser, report):
    with Visit(browser, report) as page:
        unnamed = page.evaluate(
            "() => [...document.querySelectorAll('input, select, button, [tabindex=\"0\"]')].filter(e => e.offsetParent && "
            "!(e.closest('label')?.textContent.trim() || e.textContent.trim() || e.getAttribute('aria-label') || "
            "e.getAttribute('aria-labelledby'))).map(e => e.outerHTML.slice(0, 80))"
        )
        assert unnamed == []
        assert page.evaluate("[...document.images].every(i => i.alt && i.complete && i.naturalWidth > 0)")


@pytest.mark.long
def test_the_slider_brings_pictures_of_that_rate(browser, report):
    with Visit(browser, report) as page:
        slider = page.get_by_role("slider", name="Bitrate")
        seen = []
        for key in ("Home", "End"):
            slider.focus()
            page.keyboard.press(key)
            asked = float(page.locator("#rate-out").text_content().split()[0])
            cards = page.evaluate(
                "() => [...document.querySelectorAll('#viewer-cards .card')].map(c => ({factor: c.dataset.factor, "
                "kbps: Number(c.dataset.kbps), pale: c.classList.contains('pale'), images: c.querySelectorAll('img').length}))"
            )
            assert [card["factor"] for card in cards] == ["1", "4", "16"]
            assert all(card["images"] == 3 for card in cards)
            for card in cards:
                assert card["pale"] == (abs(np.log(card["kbps"] / asked)) > np.log(1.5))
            seen.append([card["kbps"] for card in cards])
        assert all(low < high for low, high in zip(*seen, strict=True))


@pytest.mark.long
def test_predictions_and_bits_of_the_chosen_condition(browser, report, run):
    with Visit(browser, report) as page:
        assert EVIL in page.locator("#time-line").inner_text()
        page.locator("#time-controls").get_by_label("Codec").select_option(label="x265")
        page.locator("#time-controls").get_by_label("Factor").select_option(label="16")
        titles = page.locator("#time-plots h3").all_text_contents()
        assert titles == ["Arousal", "Valence", "Bits by frame"]
        total = page.evaluate(
            "() => [...document.querySelectorAll('#time-plots .plot')].at(-1).data[0].y.reduce((a, b) => a + b)"
        )
        kbps = float(re.search(r": ([\d.]+) kbit/s", page.locator("#time-line").inner_text())[1])
        assert total / 6 / 1000 == pytest.approx(kbps, rel=0.01)
        page.locator("#time-controls").get_by_label("Codec").select_option(label="none (uncoded)")
        assert page.locator("#time-plots h3").all_text_contents() == ["Arousal", "Valence"]


@pytest.mark.long
def test_the_bd_matrix_is_the_same_seen_from_both_sides(browser, report):
    with Visit(browser, report) as page:
        cells = page.locator("#bd-tables tbody td").all_text_contents()
        number = [float(re.match(r"[+−]?[\d.]+", c)[0].replace("−", "-")) for c in (cells[1], cells[2])]
        assert (1 + number[0] / 100) * (1 + number[1] / 100) == pytest.approx(1, abs=0.005)
        assert number[0] == pytest.approx(-25, abs=3)
        page.locator("#bd-controls").get_by_label("Compare").select_option(label="back-ends")
        assert page.locator("#bd-tables th").all_text_contents().count("direct@paper") >= 2


@pytest.mark.long
def test_the_matrix_tells_what_holds_for_all_at_once_and_what_a_delta_rests_on(browser, report, run):
    table = bd_table(run.encodes, run.scores, {"codec": "x264"}, {"codec": "x265"}, per_clip=False)
    keys = {"test_factor": "4", "test_target": "arousal", "test_backend": "direct@lite"}
    (expected,) = (
        row for _, row in table.iterrows() if all(row[key] == value for key, value in keys.items())
    )
    with Visit(browser, report) as page:
        page.locator("#bd-controls").get_by_label("Factor").select_option(label="4")
        there, back = (page.locator("#bd-tables tbody td").nth(place) for place in (1, 2))
        low, high = (expected[f"bd_rate_sim_{end}"] for end in ("low", "high"))
        assert there.locator("small").nth(
            1
        ).inner_text() == f"95 % of all: {low:+.1f} to {high:+.1f}".replace("-", "−")
        turned = [100 * (1 / (1 + end / 100) - 1) for end in (high, low)]
        assert (
            back.locator("small").nth(1).inner_text() == f"95 % of all: {turned[0]:+.1f} to {turned[1]:+.1f}"
        )
        more = there.locator("details")
        assert more.get_attribute("open") is None
        assert more.locator("summary").inner_text() == f"overlap {100 * expected['bd_rate_overlap']:.0f} %"
        assert more.locator("summary").get_attribute("aria-label").endswith("more of x265 against x264")
        more.locator("summary").focus()
        page.keyboard.press("Enter")
        told = more.inner_text()
        assert f"interpolation error up to {expected['bd_rate_interpolation']:.1f} %" in told
        assert re.search(r"displacement [\d.]+ CCC", told)
        page.locator("#bd-controls").get_by_label("Delta").select_option(label="CCC at equal rate")
        assert page.evaluate("document.activeElement.dataset.label") == "Delta", (
            "who came by keyboard stays there"
        )
        low, high = (expected[f"bd_accuracy_sim_{end}"] for end in ("low", "high"))
        shown = page.locator("#bd-tables tbody td").nth(1).locator("small").nth(1).inner_text()
        assert shown == f"95 % of all: {low:+.4f} to {high:+.4f}".replace("-", "−")


def differences(page, panel: int = 0) -> list[dict]:
    return page.evaluate(
        "i => document.querySelectorAll('#difference-plots .plot')[i].data"
        ".map(t => ({name: t.name, colour: t.line.color, x: t.x, y: t.y}))",
        panel,
    )


@pytest.mark.long
def test_rates_are_compared_along_the_curves_at_the_chosen_factor(browser, report, run):
    data = report_data([("a", run)])
    of = {"by": "codec", "target": "arousal", "backend": "direct@lite"}
    with Visit(browser, report) as page:
        for factor, label in (("best", "best at each rate"), ("16", "16")):
            page.locator("#bd-controls").get_by_label("Factor").select_option(label=label)
            row, ratio = line(data, factor=factor, **of)
            (drawn,) = differences(page)
            assert drawn["name"] == "x265"
            assert drawn["colour"] == looks(["x264", "x265"])["x265"].colour
            assert (drawn["x"][0], drawn["x"][-1]) == pytest.approx((row["from"], row["to"]))
            assert drawn["y"] == pytest.approx(list(ratio))
        page.locator("#difference-controls").get_by_label("Anchor").select_option(label="x265")
        (drawn,) = differences(page)
        assert drawn["name"] == "x264"
        assert drawn["y"] == pytest.approx(list(-ratio))
        axis = page.evaluate("() => { const a = document.querySelector('#difference-plots .plot')._fullLayout.yaxis;"
                             "return [a.range, a.tickvals, a.ticktext, a.title.text]; }")  # fmt: skip
        names = [float(text.replace("−", "-")) for text in axis[2]]
        assert names == pytest.approx(ratio_ticks(*axis[0], 7))
        assert axis[1] == pytest.approx([np.log1p(name / 100) for name in names]), (
            "log ratios, named in per cent"
        )
        assert axis[3] == "Rate over x265 (%)"
        chip(page, "target", "valence").check()
        assert page.locator("#difference-plots h3").all_text_contents() == ["arousal", "valence"]
        page.locator("#bd-controls").get_by_label("Compare").select_option(label="back-ends")
        assert [one["name"] for one in differences(page)] == ["direct@paper"]
        assert page.locator("#difference-plots h3").all_text_contents()[1] == "arousal, x265"
        for target in ("arousal", "valence"):
            chip(page, "target", target).uncheck()
        assert "No two curves" in page.locator("#difference-plots").inner_text()


@pytest.mark.long
def test_lines_of_differences_are_read_by_keyboard(browser, report):
    with Visit(browser, report) as page:
        page.locator("#difference-plots .plot").first.focus()
        told = []
        for _ in range(2):
            page.keyboard.press("ArrowRight")
            told.append(page.locator("#difference-point").inner_text())
        assert told[0] != told[1]
        assert re.fullmatch(r"x265 over x264 at CCC [\d.]+: −2\d % bits\.", told[0])
        assert page.locator("#difference-point").get_attribute("aria-live") == "polite"
        page.locator("#theme").click()
        assert len(differences(page)) == 1


@pytest.mark.long
def test_the_spread_of_gold_has_a_column(browser, report, run):
    expected = records(report_data([("a", run)])["tables"]["points"])[0]["gold_sd"]
    with Visit(browser, report) as page:
        place = (
            page.locator("#points-table thead button").all_text_contents().index("gold's standard deviation")
        )
        shown = page.locator("#points-table tbody tr").first.locator("td").nth(place).inner_text()
        assert float(shown) == pytest.approx(expected, abs=1e-4)
        assert "standard deviation over the scored frames: arousal" in page.locator("#facts").inner_text()


@pytest.mark.long
def test_two_runs_have_a_matrix_with_the_first_as_anchor(browser, run, tmp_path):
    other = cheaper(run, tmp_path / "cheaper")
    with Visit(browser, build([("z old", run), ("a new", other)], tmp_path / "r.html")) as page:
        page.locator("#bd-controls").get_by_label("Compare").select_option(label="runs")
        table = page.locator("#bd-tables table").first
        assert table.locator("thead th").all_text_contents()[1:] == ["z old", "a new"]
        cells = table.locator("tbody td").all_text_contents()
        assert cells[1].startswith("−20.0 %")
        assert cells[2].startswith("+25.0 %")
        (drawn,) = differences(page)
        assert drawn["name"] == "a new"
        assert drawn["y"] == pytest.approx([np.log(0.8)] * 101, abs=1e-4)
        page.set_viewport_size({"width": 390, "height": 800})
        assert settled_width(page, 390) <= 390


@pytest.mark.long
def test_the_table_sorts_both_ways_by_button(browser, report):
    with Visit(browser, report) as page:
        button = page.locator('#points-table button[data-sort="value"]')
        column = page.locator("#points-table thead button").all_text_contents().index("CCC")
        for times, sign in ((1, 1), (2, -1)):
            button.press("Enter")
            values = page.evaluate(
                "i => [...document.querySelectorAll('#points-table tbody tr')].map(r => Number(r.cells[i].textContent))",
                column,
            )
            assert values == sorted(values, key=lambda v: sign * v)
            assert len(values) > 20
            expected = "ascending" if times == 1 else "descending"
            assert page.locator("#points-table th").nth(column).get_attribute("aria-sort") == expected


def test_the_table_is_saved_as_csv_that_no_spreadsheet_runs(browser, report, tmp_path):
    with Visit(browser, report) as page:
        with page.expect_download() as download:
            page.get_by_role("button", name="Save as CSV").click()
        download.value.save_as(tmp_path / "points.csv")
        lines = (tmp_path / "points.csv").read_text().splitlines()
        assert lines[0].startswith("backend,target,")
        assert len(lines) == 1 + int(page.locator("#table-count").inner_text().split()[0])


def settled(page, read, good):
    """What `read` gives once it is `good`, or after 10 s: a page hears of another screen with its next picture."""
    # Polled from here, since the page lets nothing evaluate.
    for _ in range(100):
        seen = read()
        if good(seen):
            return seen
        page.wait_for_timeout(100)
    return read()


@pytest.mark.long
def test_theme_follows_the_system_and_the_button(browser, report):
    with Visit(browser, report, color_scheme="light") as page:

        def shown() -> tuple[bool, bool]:
            ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
            text = page.evaluate("getComputedStyle(document.querySelector('#rd-plots .xtick text')).fill")
            return ground == "rgb(21, 24, 29)", text == "rgb(232, 234, 237)"

        def becomes(dark: bool) -> bool:
            return settled(page, shown, lambda seen: seen == (dark, dark)) == (dark, dark)

        assert becomes(dark=False)
        page.emulate_media(color_scheme="dark")
        assert becomes(dark=True)
        page.locator("#theme").click()
        assert page.locator("#theme").inner_text() == "Theme: light"
        assert becomes(dark=False)
        page.emulate_media(color_scheme="light")
        page.locator("#theme").click()
        assert page.locator("#theme").inner_text() == "Theme: dark"
        assert becomes(dark=True)


@pytest.mark.long
def test_lines_are_lighter_on_the_dark_page_where_they_must_be(browser, report):
    look = factor_look(1)
    plain, lighter = ("rgb({}, {}, {})".format(*bytes.fromhex(c[1:])) for c in (look.colour, look.on_dark))

    def colours(page, place: str, what: str) -> set[str]:
        return set(
            page.evaluate(f"[...document.querySelectorAll('{place}')].map((e) => getComputedStyle(e).{what})")
        )

    places = (("#rd-plots .points path.point", "fill"), (".chip svg path", "fill"))
    with Visit(browser, report, color_scheme="light") as page:

        def read() -> list[set[str]]:
            return [colours(page, *place) for place in places]

        for scheme, there, gone in (
            ("light", plain, lighter),
            ("dark", lighter, plain),
            ("light", plain, lighter),
        ):
            page.emulate_media(color_scheme=scheme)

            def good(seen: list[set[str]], there: str = there, gone: str = gone) -> bool:
                return all(there in one and gone not in one for one in seen)

            assert good(settled(page, read, good))


def settled_width(page, width: int) -> int:
    """How wide the page is, once plots have followed a turned screen or after 10 s."""
    return settled(
        page, lambda: page.evaluate("document.documentElement.scrollWidth"), lambda wide: wide <= width
    )


@pytest.mark.long
def test_a_phone_shows_everything_without_scrolling_sideways(browser, report):
    with Visit(
        browser, report, viewport={"width": 390, "height": 800}, is_mobile=True, has_touch=True
    ) as page:
        for width in (390, 320):
            page.set_viewport_size({"width": width, "height": 800})
            assert settled_width(page, width) <= width
            wide = page.evaluate(
                "w => [...document.querySelectorAll('.plot, .card, select, .panel, #difference p')]"
                ".filter(e => e.getBoundingClientRect().right > w + 1).length",
                width,
            )
            assert wide == 0
        assert page.locator("#filter-box").get_attribute("open") is None
        page.locator("#filter-box summary").tap()
        chip(page, "factor", 4).tap()
        assert [line["name"] for line in lines(page)] == ["1", "16"]


def test_names_that_look_like_markup_are_spelt_out(browser, report):
    with Visit(browser, report) as page:
        assert page.locator("h1").inner_text() == f"{EVIL}&amp;"
        assert page.title().startswith(EVIL)
        assert page.locator("img[src=x]").count() == 0
        assert EVIL in page.locator("#time-controls select").first.inner_text()


@pytest.mark.long
def test_labels_of_plots_are_spelt_out_too(browser, tmp_path):
    run = csv_run(
        tmp_path / "run", subjects=3, factors=(1, 4), backends=("<b>a</b>@x", "c&amp;"), targets=("<i>t</i>",)
    )
    with Visit(browser, build([("<s>r</s>", run)], tmp_path / "r.html")) as page:
        chip(page, "backend", "c&amp;").check()
        names = page.locator("#standalone-plots .legendtext").all_text_contents()
        assert names == ["<b>a</b>@x", "c&amp;"]
        assert page.locator("#rd-plots h3").first.text_content() == "<b>a</b>@x, x264"


@pytest.mark.long
def test_tables_alone_show_their_curves_and_say_what_is_missing(browser, csv_report):
    with Visit(browser, csv_report) as page:
        assert page.locator("#rd-plots .plot").count() == 2
        assert "tables alone" in page.locator("#time").inner_text()
        assert "no sample pictures" in page.locator("#viewer").inner_text()
        assert page.locator("#time-plots .plot").count() == 0
        dots = page.evaluate(
            "document.querySelector('#rd-plots .plot').data.filter(t => t.mode === 'markers').length"
        )
        assert dots == 2


@pytest.mark.long
def test_runs_stand_side_by_side(browser, run, tmp_path):
    other = csv_run(tmp_path / "other", subjects=6, factors=(1, 4), backends=("direct@paper",))
    with Visit(browser, build([("a", run), ("b", other)], tmp_path / "r.html")) as page:
        titles = page.locator("#rd-plots h3").all_text_contents()
        assert any(title.startswith("a, ") for title in titles)
        assert any(title.startswith("b, ") for title in titles)
        assert "must not be compared" in page.locator("#gold").inner_text()


def test_a_run_without_an_encode_has_no_report(tmp_path):
    run = csv_run(tmp_path / "run", subjects=3)
    run.encodes, run.scores = run.encodes.head(0), run.scores.head(0)
    with pytest.raises(NotComparableError, match="no encode to report on"):
        build([("a", run)], tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


@pytest.mark.long
def test_runs_of_values_and_of_classes_are_shown_each_by_its_own_metric(browser, tmp_path):
    encodes, scores = made(subjects=6, factors=(1, 4), classes=3)[:2]
    (tmp_path / "run").mkdir()
    encodes.to_csv(tmp_path / "run" / "encodes.csv", index=False)
    scores.to_csv(tmp_path / "run" / "scores.csv", index=False)
    other = csv_run(
        tmp_path / "other", subjects=6, factors=(1, 4), backends=("direct@lite",), targets=("valence",)
    )
    with Visit(
        browser, build([("a", other), ("b", open_run(tmp_path / "run"))], tmp_path / "r.html")
    ) as page:
        assert page.locator("#rd-plots .plot").count() == 4
        labels = page.eval_on_selector_all(
            "#rd-plots .plot", "plots => plots.map((p) => p.layout.yaxis.title.text)"
        )
        assert sorted(labels) == ["Accuracy", "Accuracy", "CCC", "CCC"]
        assert "Scores are CCC or Accuracy against the labels." in page.locator("#gold").inner_text()


@pytest.mark.long
def test_a_run_without_codecs_shows_accuracy_against_factor(browser, tmp_path):
    run = csv_run(tmp_path / "run", subjects=6, factors=(1, 2, 4), codecs=(), region="face")
    with Visit(browser, build([("standalone", run)], tmp_path / "r.html")) as page:
        assert page.locator("#standalone-plots .plot").count() == 1
        assert "Nothing is coded" in page.locator("#rd").inner_text()
