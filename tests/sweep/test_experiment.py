"""Experiments: files that are whatever they are, options that override them, grids of conditions."""

from __future__ import annotations

import json
import math
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rdbench.codecs.profiles import load_profiles
from rdbench.errors import InputError
from rdbench.sweep.experiment import (
    Condition,
    Experiment,
    conditions,
    load_experiment,
    override,
    shipped_experiments,
)

PROFILES = load_profiles()
QUICK = load_experiment("quick.toml")
GRID = {2: (10.0, 20.0), 4: (5.0, 9.0)}
SMALL = Experiment.model_validate(
    {
        "name": "small",
        "factors": (2, 4),
        "dataset": {"name": "synthetic", "clips": ("test_01",), "seconds": 1, "partition": "test"},
        "codecs": (
            {"name": "x264", "mode": "abr", "rates": GRID},
            {"name": "x265", "mode": "abr", "rates": GRID},
        ),
    }
)


def load(tmp_path: Path, text: str | bytes) -> Experiment:
    file = tmp_path / "mine.toml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_experiment(file)


def fault(tmp_path: Path, text: str | bytes) -> str:
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert len(message) < 600
    return message


def test_the_shipped_ones_load_and_say_what_they_are_for() -> None:
    shipped = shipped_experiments()
    assert {"quick", "standalone"} <= set(shipped)
    for name, description in shipped.items():
        assert description
        assert load_experiment(name) == load_experiment(f"{name}.toml")
        assert load_experiment(name).name == name


def test_quick_is_what_it_promises() -> None:
    assert QUICK.factors == (1, 2, 4, 8, 16)
    assert QUICK.region == ("frame",)
    assert [(c.name, c.variant, c.mode) for c in QUICK.codecs] == [
        ("x264", "ra", "crf"),
        ("x265", "ra", "crf"),
    ]
    assert len(QUICK.dataset.clips) == 16
    assert QUICK.dataset.seconds == 4
    coded = [c for c in conditions(QUICK, PROFILES) if c.coded]
    assert len(coded) == 2 * 5 * 5


def test_bitrate_targets_are_set_for_each_factor() -> None:
    coded = [c for c in conditions(load_experiment("abr"), PROFILES) if c.coded]
    by_curve: dict[tuple[str, int], list[float]] = {}
    for condition in coded:
        by_curve.setdefault((condition.codec, condition.factor), []).append(condition.rate)
    assert len(by_curve) == 16
    assert all(len(rates) >= 4 and rates == sorted(set(rates)) for rates in by_curve.values())


def test_standalone_has_no_codec() -> None:
    grid = conditions(load_experiment("standalone"), PROFILES)
    assert grid
    assert not any(condition.coded for condition in grid)
    assert {condition.region for condition in grid} == {"face"}


def test_a_file_is_named_after_itself(tmp_path: Path) -> None:
    assert load(tmp_path, "factors = [1]").name == "mine"
    assert load(tmp_path, 'name = "other"').name == "other"


def test_equal_experiments_give_equal_text(tmp_path: Path) -> None:
    one = load(tmp_path, 'name = "a"\nfactors = [1, 2]\ndescription = "first"')
    two = load(tmp_path, 'description = "second"\nfactors = [1,2]\nname = "a"')
    assert one.text() == two.text()
    assert one.text() != load(tmp_path, 'name = "a"\nfactors = [2, 1]').text()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("colour = 1", "colour"),
        ('[dataset]\nnam = "x"', "dataset: there is no key 'nam'; did you mean 'name'?"),
        ('[[codecs]]\nname = "x264"\nspeed = 1', "codecs.0: there is no key 'speed'; there are name"),
        ('[[codecs]]\nmode = "crf"', "codecs.0: the key 'name' is missing"),
        ('[[codecs]]\nname = "x264"\nmode = "vbr"', "codecs.0.mode"),
        ("factors = []", "factors"),
        ("factors = [0]", "factors.0"),
        ("factors = [-2]", "factors.0"),
        ("factors = [65]", "factors.0"),
        ("factors = [1.5]", "factors.0"),
        ("factors = [true]", "factors.0"),
        ('factors = ["2"]', "factors.0"),
        ('factors = "all"', "factors"),
        ('region = ["head"]', "region.0"),
        ("region = []", "region"),
        ("backends = []", "backends"),
        ("backends = [3]", "backends.0"),
        ("name = 3", "name"),
        ('name = "../x"', "name"),
        ('name = ""', "name"),
        ('partition = "x"', "partition"),
        ('[dataset]\npartition = "x"', "dataset.partition"),
        ("[dataset]\nseconds = 0", "dataset.seconds"),
        ("[dataset]\nseconds = -1", "dataset.seconds"),
        ("[dataset]\nseconds = nan", "dataset.seconds"),
        ("[dataset]\nseconds = inf", "dataset.seconds"),
        ("[dataset]\nclips = 3", "dataset.clips"),
        ('[[codecs]]\nname = "x264"\nrates = [nan]', "rates"),
        ('[[codecs]]\nname = "x264"\nrates = [inf]', "rates"),
        ('[[codecs]]\nname = "x264"\nrates = [-5]', "rates"),
        ('[[codecs]]\nname = "x264"\nrates = [true]', "rates"),
        ('[[codecs]]\nname = "x264"\nrates = ["20"]', "rates"),
        ('[[codecs]]\nname = "x264"\nrates = []', "rates"),
        ('[[codecs]]\nname = "x264"\n[codecs.rates]\nzero = [1]', "rates"),
        ('[[codecs]]\nname = "x264"\n[codecs.rates]\n0 = [1]', "rates"),
        ("uncoded = 2026-01-01", "uncoded"),
        ('"a\\nb\\u001b[2J" = 1', "mine.toml"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, part: str) -> None:
    message = fault(tmp_path, text)
    assert "mine.toml" in message
    assert part in message
    assert message.isprintable()


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe",
        b'name = "\xe9"',
        b"factors = [1",
        b"factors = 1\nfactors = 2",
        b"\0",
        b"\xef\xbb\xbfname = 1",
        b"a = " + b"[" * 3000 + b"]" * 3000,
        b"a = " + b"9" * 5000,
        b"a." * 3000 + b"b = 1",
    ],
    ids=[
        *("utf-16", "latin-1", "open bracket", "key twice", "nul", "byte order mark", "deep", "long number"),
        "deep key",
    ],
)
def test_what_is_no_toml_is_told(tmp_path: Path, content: bytes) -> None:
    assert "mine.toml" in fault(tmp_path, content)


HUGE = "0x" + "f" * 5000
"""TOML has no longest number; Python writes none of more than 4,300 digits."""


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (f"factors = [{HUGE}]", "factors.0: "),
        (f"name = {HUGE}", "name: "),
        (f"[dataset]\nseconds = {HUGE}", "dataset.seconds: "),
        (f'[[codecs]]\nname = "x264"\nrates = [{HUGE}]', "codecs.0.rates."),
        (f"zzz = {HUGE}", "there is no key 'zzz'; "),
    ],
    ids=lambda value: ascii(value[:30]),
)
def test_a_number_that_is_too_long_to_be_written_is_told(tmp_path: Path, text: str, part: str) -> None:
    message = fault(tmp_path, text)
    assert message.startswith(f"{tmp_path / 'mine.toml'}: {part}")
    assert "(given" not in message


def test_a_long_key_is_cut(tmp_path: Path) -> None:
    assert f": there is no key '{'k' * 60}…'; there" in fault(tmp_path, f"{'k' * 5000} = 1")
    assert f": there is no key '{'k' * 60}'; there" in fault(tmp_path, f"{'k' * 60} = 1")


def test_a_huge_file_is_not_even_read(tmp_path: Path) -> None:
    assert "1048576 bytes" in fault(tmp_path, b"#" * ((1 << 20) + 1))


def test_a_missing_file_names_those_that_ship(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"No experiment 'quik\.toml'; did you mean 'quick\.toml'\?.*standalone"
    ):
        load_experiment("quik.toml")
    with pytest.raises(InputError, match="No experiment"):
        load_experiment(tmp_path / "quick.toml")
    with pytest.raises(InputError, match="No experiment"):
        load_experiment(tmp_path)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace"))))
@example(b"")
def test_any_bytes_are_an_experiment_or_an_input_error(tmp_path: Path, content: bytes) -> None:
    message = ""
    try:
        load(tmp_path, content)
    except InputError as error:
        message = str(error)
    assert "\n" not in message


class Written(str):
    """A value as the file has it."""


values = st.recursive(
    st.one_of(
        *(st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=10), st.dates()),
        st.integers(4000, 20_000).map(lambda digits: Written(f"0x{'f' * digits}")),
        st.sampled_from(["x264", "crf", "synthetic", "frame", "face", "constant", 1, 2, 4, 30.0]),
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "mode", "rates", "2", "clips", "", "x"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
keys = st.sampled_from([*Experiment.model_fields, "other", ""])


def toml(value: Any) -> str:
    """A value as TOML writes it within a line."""
    if isinstance(value, Written):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    return value.isoformat() if isinstance(value, date) else json.dumps(value, ensure_ascii=False)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(keys, values, max_size=4))
def test_any_table_is_an_experiment_with_a_grid_or_an_input_error(
    tmp_path: Path, table: dict[str, Any]
) -> None:
    message = ""
    try:
        found = load(tmp_path, "".join(f"{toml(key)} = {toml(value)}\n" for key, value in table.items()))
        conditions(override(found, factors=(1, 3)), PROFILES)
    except InputError as error:
        message = str(error)
    else:
        assert found.factors
        assert Experiment.model_validate_json(found.model_dump_json()) == found
    assert message.isprintable()


@settings(max_examples=100)
@given(
    st.lists(st.integers(1, 64), min_size=1, max_size=5),
    st.lists(st.integers(1, 51), min_size=1, max_size=5),
    st.booleans(),
)
def test_a_grid_holds_each_condition_once(factors: list[int], rates: list[int], uncoded: bool) -> None:
    experiment = Experiment.model_validate(
        {
            "name": "x",
            "factors": factors,
            "uncoded": uncoded,
            "codecs": [{"name": "x264", "mode": "qp", "rates": rates}],
        }
    )
    grid = conditions(experiment, PROFILES)
    assert len(grid) == len(set(grid)) == len(set(factors)) * (len(set(rates)) + uncoded)
    assert {c.factor for c in grid} == set(factors)
    assert grid == conditions(experiment.model_copy(update={"factors": experiment.factors[::-1]}), PROFILES)


def rates(experiment: Experiment) -> dict[tuple[str, str, str, int], list[float]]:
    found: dict[tuple[str, str, str, int], list[float]] = {}
    for c in conditions(experiment, PROFILES):
        if c.coded:
            found.setdefault((c.codec, c.variant, c.mode, c.factor), []).append(c.rate)
    return found


def own(codec: str, mode: str) -> list[float]:
    return sorted(float(rate) for rate in PROFILES[codec].modes[mode].grid)


def test_without_options_nothing_changes() -> None:
    assert override(SMALL) == SMALL
    assert override(QUICK) == QUICK


SHIPPED_SMALL = SMALL.model_copy()
SHIPPED_SMALL._shipped = True


def test_another_dataset_leaves_the_modes_and_rates_of_a_users_experiment() -> None:
    changed = override(SMALL, dataset="/some/clips")
    assert rates(changed) == rates(SMALL)
    assert (changed.dataset.name, changed.dataset.clips) == ("/some/clips", ())
    assert changed.dataset.seconds == SMALL.dataset.seconds
    assert changed.notes == ("--dataset /some/clips: the experiment's clips are left out.",)
    assert rates(override(SMALL, regions=("face",)))["x264", "ra", "abr", 2] == list(GRID[2])


def test_what_an_option_brings_along_is_told() -> None:
    assert override(SMALL, factors=(4,)).notes == ()
    (x264, x265) = override(SMALL, mode="crf").notes
    assert x264 == "x264: its rates were for ra abr; in ra crf it takes its own grid (--rate gives others)."
    assert x265.startswith("x265: ")
    assert override(SMALL, mode="crf", rates=(30.0,)).notes == ()
    assert "ld abr" in override(SMALL, variants=("ld",)).notes[0]
    (note,) = override(SHIPPED_SMALL, regions=("face",)).notes
    assert "swept in crf" in note


def test_another_dataset_of_a_shipped_experiment_drops_the_selection_and_takes_crf() -> None:
    changed = override(SHIPPED_SMALL, dataset="/some/clips")
    assert changed.dataset.model_dump() == {
        "name": "/some/clips",
        "root": None,
        "partition": None,
        "clips": (),
        "seconds": None,
        "interlaced": "deinterlace",
        "links": "refuse",
    }
    assert {mode for _, _, mode, _ in rates(changed)} == {"crf"}
    assert rates(changed)["x265", "ra", "crf", 4] == own("x265", "crf")


def test_another_embedded_set_keeps_the_bitrates() -> None:
    changed = override(SMALL, dataset="synthetic:720p")
    assert changed.dataset.clips == ()
    assert {mode for _, _, mode, _ in rates(changed)} == {"abr"}


def test_a_mode_or_a_rate_wins_over_crf_for_folders() -> None:
    changed = override(SMALL, dataset="/some/clips", mode="qp")
    assert rates(changed)["x264", "ra", "qp", 2] == own("x264", "qp")
    changed = override(SMALL, dataset="/some/clips", rates=(50.0,))
    assert set(rates(changed)) == {(c, "ra", "abr", f) for c in ("x264", "x265") for f in (2, 4)}
    assert all(values == [50.0] for values in rates(changed).values())


def test_a_changed_factor_takes_its_own_grid() -> None:
    changed = rates(override(SMALL, factors=(4, 8)))
    assert changed["x264", "ra", "abr", 4] == list(GRID[4])
    assert changed["x264", "ra", "abr", 8] == own("x264", "abr")


def test_a_changed_codec_takes_its_own_grid() -> None:
    changed = rates(override(SMALL, codecs=("x265", "kvazaar")))
    assert {codec for codec, *_ in changed} == {"x265", "kvazaar"}
    assert changed["x265", "ra", "abr", 2] == list(GRID[2])
    assert changed["kvazaar", "ra", "abr", 2] == own("kvazaar", "abr")


def test_a_changed_mode_or_variant_takes_its_own_grid() -> None:
    assert rates(override(SMALL, mode="crf"))["x264", "ra", "crf", 2] == own("x264", "crf")
    assert rates(override(SMALL, variants=("ld",)))["x264", "ld", "abr", 2] == own("x264", "abr")
    both = rates(override(SMALL, variants=("ra", "ld")))
    assert both["x264", "ra", "abr", 2] == list(GRID[2])
    assert both["x264", "ld", "abr", 2] == own("x264", "abr")
    assert override(SMALL, mode="abr") == SMALL


def test_a_rate_is_for_all() -> None:
    changed = rates(
        override(SMALL, mode="crf", rates=(33.0, 23.0, 33.0), codecs=("x264", "vp9"), factors=(1, 16))
    )
    assert len(changed) == 4
    assert all(values == [23.0, 33.0] for values in changed.values())


def test_a_bitrate_grid_belongs_to_its_region() -> None:
    small = SHIPPED_SMALL
    assert rates(override(small, regions=("face",)))["x264", "ra", "crf", 2] == own("x264", "crf")
    assert rates(override(small, regions=("face",), mode="abr"))["x264", "ra", "abr", 2] == own("x264", "abr")
    crf = override(SMALL, mode="crf", rates=(30.0,))
    assert rates(override(crf, regions=("face",)))["x264", "ra", "crf", 2] == [30.0]


def test_a_changed_partition_drops_the_selection() -> None:
    assert override(SMALL, partition="dev").dataset.clips == ()
    assert override(SMALL, partition="test").dataset.clips == ("test_01",)


@pytest.mark.parametrize("rate", [math.nan, math.inf, -1.0, 1e9])
def test_an_impossible_rate_is_refused(rate: float) -> None:
    with pytest.raises(InputError) as caught:
        conditions(override(SMALL, rates=(rate,)), PROFILES)
    assert "\n" not in str(caught.value)


def test_a_quantiser_out_of_range_is_refused() -> None:
    with pytest.raises(InputError, match="52"):
        conditions(override(SMALL, mode="qp", rates=(52.0,)), PROFILES)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"codecs": ("x-264",)}, "did you mean 'x264'"),
        ({"codecs": ("../x264",)}, "codecs.0.name"),
        ({"variants": ("ra2",)}, "did you mean 'ra'"),
        ({"variants": ("zz",)}, "Known: ra, ld"),
        ({"codecs": ("svtav1",), "mode": "2pass"}, "has no mode '2pass'. Known: "),
        ({"factors": (0,)}, "factors.0"),
        ({"factors": (-3,)}, "factors.0"),
        ({"dataset": ""}, "dataset.name"),
        ({"regions": ("head",)}, "region.0"),
    ],
    ids=str,
)
def test_unknown_words_are_refused_with_the_nearest(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError) as caught:
        conditions(override(SMALL, **changes), PROFILES)
    assert text in str(caught.value)


def test_an_uncoded_condition_is_told_from_coded_ones() -> None:
    grid = conditions(SMALL, PROFILES)
    assert [c for c in grid if not c.coded] == [
        Condition("frame", factor, "none", "none", "none", 0.0) for factor in (2, 4)
    ]
    assert not [c for c in conditions(SMALL.model_copy(update={"uncoded": False}), PROFILES) if not c.coded]


def test_the_shipped_files_are_plain_toml() -> None:
    folder = Path(__file__).parents[2] / "rdbench" / "experiments"
    for file in folder.glob("*.toml"):
        assert tomllib.loads(file.read_text(encoding="utf-8"))["name"] == file.stem


def test_the_size_of_faces_belongs_to_an_experiment():
    usual = load_experiment("quick.toml")
    assert usual.face_size == 96
    assert "face_size" not in usual.text(), "runs from before it could be chosen go on"
    faces = override(usual, regions=["face"])
    large = override(faces, face_size=128)
    assert large.face_size == 128
    assert json.loads(large.text()) == {**json.loads(faces.text()), "face_size": 128}
    for wrong in (33, 16, 2000):
        with pytest.raises(InputError, match="face_size"):
            override(faces, face_size=wrong)
    with pytest.raises(InputError, match="only whole frames are coded"):
        override(usual, face_size=128)


def test_the_experiment_for_real_faces_takes_any_folder(tmp_path):
    chosen = override(load_experiment("real"), dataset=str(tmp_path))
    assert (chosen.dataset.name, chosen.dataset.clips, chosen.dataset.seconds) == (str(tmp_path), (), None)
    assert (chosen.region, chosen.factors) == (("frame", "face"), (1, 2, 4, 8))
    assert chosen.backends == ("expression", "landmarks", "identity")
    assert [(codec.name, codec.mode) for codec in chosen.codecs] == [
        (name, "crf") for name in ("x264", "x265", "svtav1")
    ]
    assert conditions(chosen, load_profiles())


def test_boxes_are_looked_for_in_decoded_frames_alone():
    quick = load_experiment("quick")
    assert '"boxes"' not in quick.text(), "runs from before it could be chosen go on"
    assert override(quick, boxes="decoded").text() != quick.text()
    with pytest.raises(InputError, match="add region frame"):
        override(quick, regions=("face",), boxes="decoded")
