"""What docs/codecs.md says of streams is what streams are; the measurements find what is known to be there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_streams import CONDITIONS, FFMPEG, PROFILES, steady

from rdbench.codecs import survey
from rdbench.codecs.__main__ import main, put, structure_row
from rdbench.codecs.profiles import Profile
from rdbench.codecs.survey import ALL, foresight, structure
from rdbench.errors import InputError

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "codecs.md").read_text(encoding="utf-8")


def table(name: str) -> list[dict[str, str]]:
    inside = PAGE.partition(f"<!-- {name} -->")[2].partition("<!-- end -->")[0]
    lines = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in inside.strip().splitlines()]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def told(codec: str, variant: str, mode: str) -> dict[str, str]:
    rows = [
        row
        for row in table("structure")
        if (row["codec"], row["variant"]) == (codec, variant) and mode in row["mode"].split(", ")
    ]
    assert len(rows) == 1
    return rows[0]


def altered(name: str, table: str, **settings: object) -> Profile:
    """A profile with other settings of its `ra`."""
    profile = PROFILES[name]
    variant = profile.variants["ra"]
    words = {key.replace("_", "-"): str(word) for key, word in settings.items()}
    changed = variant.model_copy(update={table: {**getattr(variant, table), **words}})
    return profile.model_copy(update={"variants": {**profile.variants, "ra": changed}})


QUICK = [(name, variant) for name in PROFILES if name != "vvenc" for variant in ("ra", "ld")]


@pytest.mark.parametrize(("name", "variant"), QUICK)
def test_the_structure_that_the_page_tells_is_that_of_the_stream(name, variant):
    mode = steady(name, variant)
    assert (
        structure_row(structure(PROFILES[name], variant, mode)).items() <= told(name, variant, mode).items()
    )


@pytest.mark.long
@pytest.mark.parametrize(("name", "variant", "mode"), CONDITIONS)
def test_all_that_the_page_tells_is_so(name, variant, mode):
    profile, row = PROFILES[name], told(name, variant, mode)
    assert structure_row(structure(profile, variant, mode)).items() <= row.items()
    ahead = foresight(profile, variant, mode)
    assert row["reads ahead"] == ("all" if ahead.reads == ALL else str(ahead.reads))
    assert row["delay"] == ("all" if ahead.delay == ALL else str(ahead.delay))


def test_every_variant_and_mode_has_its_row_and_live_ones_read_nothing_ahead():
    rows = [(row["codec"], row["variant"], m) for row in table("structure") for m in row["mode"].split(", ")]
    assert sorted(rows) == sorted(CONDITIONS)
    for row in table("structure"):
        if row["variant"].startswith("ld"):
            assert row["reads ahead"] == "0"
            assert int(row["delay"]) <= 1
            assert row["key frames"] == "first"
        else:
            assert row["groups"] == "closed"


def test_floors_and_ceilings_are_told_for_every_factor_region_and_codec():
    rows = table("limits")
    assert {(row["region"], row["codec"], row["variant"]) for row in rows} == {
        (region, name, variant)
        for region in ("frame", "face")
        for name in PROFILES
        for variant in ("ra", "ld")
    }
    for row in rows:
        for factor in ("1", "2", "3", "4", "6", "8", "12", "16"):
            floor, ceiling = row[factor].split(" to ")
            assert floor == "refused" or ceiling == "refused" or number(floor) < number(ceiling)


def number(text: str) -> float:
    return float(text.replace(",", ""))


def test_efforts_are_those_of_the_profiles_and_of_like_cost():
    rows = {row["codec"]: row for row in table("efforts")}
    assert set(rows) == set(PROFILES)
    for name in ("fast", "medium", "slow"):
        seconds = []
        for codec, row in rows.items():
            effort = {str(key): value for key, value in PROFILES[codec].efforts.items()}.get(name)
            assert (row[name] == "-") == (effort is None)
            if effort is not None:
                assert row[name].startswith(effort.preset)
                seconds.append(float(row[name].rpartition(": ")[2]))
        assert max(seconds) <= 1.5 * min(seconds)


def test_what_is_open_hidden_in_slices_or_moved_by_block_is_seen():
    usual = structure(PROFILES["x265"], "ra", "crf")
    opened = structure(altered("x265", "params", open_gop=1), "ra", "crf")
    assert usual.closed
    assert not opened.closed
    # Pictures of libx265 are not adapted here, but what looks ahead moves blocks; a fixed quantiser does not.
    assert usual.by_block
    assert not structure(PROFILES["x265"], "ra", "qp").by_block
    x264 = structure(altered("x264", "params", slices=2, ref=2, no_deblock=1, bframes=0), "ra", "qp")
    assert (x264.slices, x264.references, x264.layers, x264.tools) == (2, 2, 1, ())
    assert not x264.by_block
    assert structure(PROFILES["x264"], "ra-visual", "crf").by_block


@pytest.mark.long
@pytest.mark.parametrize("ahead", [5, 20])
def test_an_encoder_that_keeps_n_pictures_back_is_found_to(ahead):
    profile = altered("x264", "params", rc_lookahead=ahead, bframes=0)
    seen = foresight(profile, "ra", "crf")
    assert seen.delay == ahead
    assert 0 < seen.reads <= ahead


def test_two_passes_read_and_keep_all():
    assert foresight(PROFILES["x264"], "ra", "2pass").reads == ALL


def test_both_contents_are_one_up_to_the_change():
    pairs = zip(survey.material(), survey.material(other=True), strict=True)
    equal = [bool((one == other).all()) for one, other in pairs]
    assert equal == [number < survey.CHANGED for number in range(survey.FRAMES)]


def test_a_table_takes_its_place_and_nothing_else():
    page = "a\n<!-- structure -->\nold\n<!-- end -->\nb\n<!-- limits -->\n<!-- end -->\n"
    new = put(page, "structure", "| x \\1 |")
    assert new == "a\n<!-- structure -->\n\n| x \\1 |\n\n<!-- end -->\nb\n<!-- limits -->\n<!-- end -->\n"
    assert put(new, "structure", "| x \\1 |") == new
    with pytest.raises(InputError, match="no lines <!-- other -->"):
        put(page, "other", "")


def test_tables_of_the_page_are_those_that_are_measured_anew():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = re.search(r"for table in ([a-z ]+); do \$\(BIN\)/python -m rdbench\.codecs", makefile)
    assert named
    # Modes are measured on clips that are not ours to give.
    there = set(re.findall("<!-- ([a-z]+) -->", PAGE)) - {"end"}
    assert {*named[1].split(), "modes"} == there == set(main.commands)


@pytest.mark.long
def test_every_measurement_gives_a_table(tmp_path):
    clip = tmp_path / "clip.mkv"
    source = ("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-frames:v", "12")
    subprocess.run([FFMPEG, "-v", "error", *source, "-c:v", "ffv1", str(clip)], check=True)
    for words in (
        ["modes", "--codec", "x264", "--drawn", "0", str(clip)],
        ["limits", "--seconds", "0.2", "--codec", "x264"],
    ):
        done = CliRunner().invoke(main, words, catch_exceptions=False)
        assert done.exit_code == 0
        assert "| x264 | ra |" in done.output
