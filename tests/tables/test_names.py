"""Names of back-ends with a seed behind them: split, put together again, and the folders of their weights."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdbench.tables.names import FIRST, folder_of, split_seed

LINE = st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=20)
SEED = st.integers(0, 10**18 - 1)


@pytest.mark.parametrize(
    ("backend", "name", "seed"),
    [
        ("max-mix@lite", "max-mix@lite", FIRST),
        ("max-mix@lite#3", "max-mix@lite", 3),
        ("max-mix@lite#0", "max-mix@lite", 0),
        ("max-mix#12", "max-mix", 12),
        ("a#007", "a", 7),
        ("a#1#2", "a#1", 2),
        ("onnx:nets/face#2.onnx", "onnx:nets/face#2.onnx", FIRST),
        ("a#", "a#", FIRST),
        ("#3", "#3", FIRST),
        ("a#-1", "a#-1", FIRST),
        ("a#1.5", "a#1.5", FIRST),
        ("a#1 ", "a#1 ", FIRST),
        ("a#1\n", "a#1\n", FIRST),
        ("a#x3", "a#x3", FIRST),
        ("a#٣", "a#٣", FIRST),
        ("a#" + "9" * 18, "a", 10**18 - 1),
        ("a#" + "9" * 19, "a#" + "9" * 19, FIRST),
        ("", "", FIRST),
    ],
)
def test_a_name_is_split_from_its_seed(backend: str, name: str, seed: int) -> None:
    assert split_seed(backend) == (name, seed)


@given(LINE.filter(bool), SEED)
def test_what_was_put_together_comes_apart(name: str, seed: int) -> None:
    assert split_seed(f"{name}#{seed}") == (name, seed)


@given(st.one_of(LINE, LINE.map("a#1{}".format), st.from_regex(r"[a#@]*[0-9]{0,20}", fullmatch=True)))
def test_nothing_is_lost_from_any_name(backend: str) -> None:
    name, seed = split_seed(backend)
    rest = backend.removeprefix(name)
    assert backend.startswith(name)
    assert rest == "" or re.fullmatch("#[0-9]+", rest)
    assert seed == int(rest.removeprefix("#") or FIRST)


def test_a_name_without_a_seed_stands_for_the_first() -> None:
    assert split_seed("hr@lite")[1] == split_seed(f"hr@lite#{FIRST}")[1] == FIRST


def test_weights_of_the_first_seed_lie_in_the_open_and_others_in_folders() -> None:
    assert folder_of(FIRST) == ""
    assert folder_of(1) == "seed-1"
    assert folder_of(23) == "seed-23"


@given(st.lists(SEED, unique=True, min_size=2, max_size=5))
def test_each_seed_has_a_folder_of_its_own(seeds: list[int]) -> None:
    folders = [folder_of(seed) for seed in seeds]
    assert len(set(folders)) == len(seeds)
    assert all(PurePosixPath(folder).name == folder for folder in folders)
