"""Settings that an encoder does not take: told before anything is coded, in whatever way the encoder says it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from rdbench.cli.group import main
from rdbench.codecs.arguments import Pictures, encode_arguments, pass_numbers
from rdbench.codecs.coder import check_settings
from rdbench.codecs.profiles import Profile, load_profiles, parse_profile
from rdbench.codecs.taken import not_taken, settings_in
from rdbench.errors import InputError

PROFILES = load_profiles()
SHIPPED = {file.stem: file.read_text() for file in (Path(__file__).parents[2] / "codecs").glob("*.toml")}

MISSPELT = [
    ("x264", "params", "keyintt = 50"),
    ("x264", "params", "rc_lookahaed = 20"),
    ("x264", "params", 'me = "hexx"'),
    ("x264", "options", "cqp-offset = 3"),
    ("x264", "options", "bframes = 3"),
    ("x265", "params", "bframe = 3"),
    ("x265", "params", "aqmode = 1"),
    ("x265", "params", 'rdoq-level = "none"'),
    ("x265", "options", "aq-strenght = 1"),
    ("svtav1", "params", "keyintt = 50"),
    ("svtav1", "params", "enable-tff = 1"),
    ("svtav1", "options", "la-depth = 20"),
    ("libaom", "params", "enable-cdeff = 1"),
    ("libaom", "params", 'enable-cdef = "yes"'),
    ("libaom", "options", "lag-in-frame = 19"),
    ("vp9", "options", "auto-alt-reff = 1"),
    ("vp9", "options", "row-mtt = 0"),
    ("vp9", "options", "motion-est = 3"),
    ("kvazaar", "params", "periodd = 50"),
    ("kvazaar", "params", "no-such-tool = 1"),
    ("kvazaar", "options", "qpp = 3"),
    ("kvazaar", "params", 'subme = "abc"'),
    ("kvazaar", "params", 'rd = "2x"'),
    ("kvazaar", "params", 'sao = "fulll"'),
    ("x264", "params", 'psy-rd = "much"'),
    ("x265", "params", 'pools = "nonee"'),
    ("vvenc", "params", "intraperiodd = 50"),
    ("vvenc", "params", 'qpa = "much"'),
    ("vvenc", "options", "subjective-qpa = 1"),
]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RDBENCH_CACHE", str(tmp_path / "cache"))


def altered(codec: str, table: str, line: str) -> Profile:
    content = SHIPPED[codec]
    header = f"[{table}]\n"
    if header in content:
        return parse_profile(content.replace(header, header + line + "\n", 1), f"{codec}.toml")
    first = content.index("[modes.")
    return parse_profile(content[:first] + header + line + "\n\n" + content[first:], f"{codec}.toml")


@pytest.mark.parametrize(("codec", "table", "line"), MISSPELT)
def test_a_setting_that_is_not_taken_is_an_error(codec: str, table: str, line: str) -> None:
    try:
        profile = altered(codec, table, line)
    except InputError:
        return  # the profile's own grammar refuses it
    mode = "crf" if "crf" in profile.modes else next(iter(profile.modes))
    with pytest.raises(InputError, match=line.partition(" ")[0]) as raised:
        check_settings(profile, "ra", mode)
    assert "does not take a setting" in str(raised.value)
    assert f"{codec}.toml" in str(raised.value)


@pytest.mark.parametrize("codec", PROFILES)
def test_what_ships_is_taken_and_tried_once(
    codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = PROFILES[codec]
    mode = "crf" if "crf" in profile.modes else next(iter(profile.modes))
    check_settings(profile, "ra", mode)
    monkeypatch.setattr("rdbench.codecs.coder.encode", lambda *_, **__: pytest.fail("tried again"))
    check_settings(profile, "ra", mode)


@pytest.mark.long
@pytest.mark.parametrize("codec", PROFILES)
def test_all_that_ships_is_taken(codec: str) -> None:
    profile = PROFILES[codec]
    for variant, other in profile.variants.items():
        for mode in profile.modes:
            if mode not in other.without:
                check_settings(profile, variant, mode)


def test_settings_are_those_of_the_encoder_alone() -> None:
    profile = PROFILES["x264"]
    pictures = Pictures(64, 64, 25, 8)
    assert pass_numbers(profile, "ra", "crf") == (None,)
    names = settings_in(profile, encode_arguments(profile, pictures, mode="crf", rate=30))
    assert {"preset", "threads", "crf", "keyint", "scenecut"} <= set(names)
    assert not {"f", "c", "bsf", "x264-params"} & set(names)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[libx264 @ 0x5] Error parsing option 'rc_lookahead = x'.", True),
        ("[libx265 @ 0x5] Unknown option: rc-lookahead.", True),
        ("[out#0/null @ 0x1] Codec AVOption rc-lookahead (Look) has not been used for any stream.", True),
        ("[libx264 @ 0x5] Unknown option: rc-lookahead-more.", False),
        ("[libx264 @ 0x5] rc-lookahead is 20", False),
        ("x265 [warning]: Source height < 720p; disabling lookahead-slices", False),
    ],
)
def test_a_line_tells_by_a_word_of_refusal_beside_a_setting_of_ours(line: str, told: bool) -> None:
    assert (not_taken(["rc-lookahead"], f"something\n{line}\n") is not None) is told


def test_the_command_line_says_so_before_the_sweep(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    content = (
        SHIPPED["x264"].replace('name = "x264"', 'name = "mine"').replace("scenecut = 0", "scenecutt = 0")
    )
    (tmp_path / "mine" / "mine.toml").write_text(content)
    words = ["run", "quick.toml", "--codec", "mine", "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(main, words, env={"RDBENCH_CODECS": str(tmp_path / "mine")})
    assert done.exit_code == 2, done.output
    line = content.splitlines().index("scenecutt = 0") + 1
    assert f"'scenecutt = 0' (line {line}); did you mean 'scenecut'?" in done.stderr
    assert not (tmp_path / "run").exists()
