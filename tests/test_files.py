"""Files are replaced in one step or not at all; what is wrong with TOML of unknown origin is told whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from rdbench.errors import InputError
from rdbench.files import parse_toml, read_toml, replacing


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_replaced_in_one_step_at_the_end(tmp_path: Path, durable: bool) -> None:
    file = tmp_path / "deep" / "kept.csv"
    for text in ("old", "new"):
        with replacing(file, durable=durable) as part:
            assert part.parent == file.parent
            assert part.suffix == file.suffix
            part.write_text(text)
            assert not file.exists() or file.read_text() == "old"
        assert file.read_text() == text
    assert [entry.name for entry in file.parent.iterdir()] == ["kept.csv"]


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt])
def test_what_goes_wrong_leaves_the_old_file_and_no_other(tmp_path: Path, error: type[BaseException]) -> None:
    file = tmp_path / "kept"
    file.write_text("old")

    def write() -> None:
        with replacing(file) as part:
            part.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_place_that_cannot_be_written_is_the_error_that_is_told(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "inside").touch()
    with pytest.raises(IsADirectoryError), replacing(tmp_path / "kept") as part:
        part.write_text("x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept"]


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    file = tmp_path / "kept"
    with replacing(file) as first, replacing(file) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert file.read_text() == "first"
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_durable_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "kept"
    seen: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda number: seen.append(file.exists()))
    with replacing(file) as part:
        part.write_text("x")
    assert seen == []
    file.unlink()
    with replacing(file, durable=True) as part:
        part.write_text("x")
    assert seen == [False]


class Wheel(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size: Annotated[int, Field(ge=1)]
    tyre: Literal["thin", "thick"] | Annotated[int, Field(ge=0)] = "thin"


class Bicycle(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    wheels: Annotated[tuple[Wheel, ...], Field(min_length=1)]
    bells: dict[Annotated[str, Field(pattern="^[a-z]+$")], Wheel] = {}
    rates: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] | dict[str, float] = (
        1.0,
    )

    @model_validator(mode="after")
    def _rolls(self) -> Bicycle:
        if len(self.wheels) != 2:
            raise ValueError("a bicycle has two wheels")
        return self


def faults(text: str) -> list[str]:
    with pytest.raises(InputError) as raised:
        parse_toml(text, Bicycle, name="mine.toml", what="shorten it")
    message = str(raised.value)
    assert message.isprintable()
    assert message.startswith("mine.toml: ")
    assert message.endswith(".")
    return message.removeprefix("mine.toml: ").removesuffix(".").split("; ")


GOOD = 'name = "x"\nwheels = [{size = 1}, {size = 2}]\n'


def test_every_fault_is_told_once() -> None:
    assert faults('wheels = [{size = 0}, {size = 1, tyre = "flat"}]\n') == [
        "the key 'name' is missing",
        "wheels.0.size: Input should be greater than or equal to 1 (given: 0)",
        "wheels.1.tyre: Input should be 'thin' or 'thick' or Input should be a valid integer, unable to parse string as "
        "an integer (given: 'flat')",
    ]


def test_a_wrong_key_comes_first_and_explains_the_missing_one() -> None:
    assert faults('nam = "x"\nwheels = [{sise = 1}]\n') == [
        *("wheels.0: there is no key 'sise'", "did you mean 'size'?", "there are size, tyre"),
        *("there is no key 'nam'", "did you mean 'name'?", "there are name, wheels, bells, rates"),
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("rates = [-1]", ["rates.0: Input should be greater than or equal to 0 (given: -1)"]),
        ("[bells]\nA1 = {size = -1}", ["bells.A1: String should match pattern '^[a-z]+$' (given: 'A1')"]),
        ("[bells]\na = {size = 0}", ["bells.a.size: Input should be greater than or equal to 1 (given: 0)"]),
    ],
)
def test_what_only_follows_from_another_fault_is_not_told(line: str, told: list[str]) -> None:
    assert faults(GOOD + line) == told


def test_what_is_wrong_as_a_whole_is_told_without_a_place() -> None:
    assert faults('name = "x"\nwheels = [{size = 1}]') == ["a bicycle has two wheels"]


def test_many_faults_are_counted() -> None:
    told = faults("name = 3\nwheels = [" + "{size = 0}, " * 40 + "]")
    assert len(told) == 13
    assert told[-1] == "and 29 more"


def test_defaults_give_way_and_places_have_words_of_their_own() -> None:
    assert (
        parse_toml(
            "wheels = [{size = 1}, {size = 1}]", Bicycle, name="a", what="b", defaults={"name": "d"}
        ).name
        == "d"
    )
    assert parse_toml(GOOD, Bicycle, name="a", what="b", defaults={"name": "d"}).name == "x"
    with pytest.raises(InputError, match=r"^a: 3 steps: Input should be greater"):
        parse_toml(
            'name = "x"\nwheels = [{size = 0}]',
            Bicycle,
            name="a",
            what="b",
            where=lambda place: f"{len(place)} steps",
        )


def test_a_file_is_read_up_to_its_limit_and_no_further(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(GOOD)
    most = len(GOOD)
    assert read_toml(file, Bicycle, name="mine", what="shorten it", most=most).name == "x"
    file.write_text(GOOD + "#")
    with pytest.raises(InputError, match=rf"^mine has more than {most} bytes; shorten it\.$"):
        read_toml(file, Bicycle, name="mine", what="shorten it", most=most)
    with pytest.raises(InputError, match=r"^gone cannot be read: No such file or directory\.$"):
        read_toml(tmp_path / "gone", Bicycle, name="gone", what="shorten it")
