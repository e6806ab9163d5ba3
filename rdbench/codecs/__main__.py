"""The tables of docs/codecs.md, measured.

``python -m rdbench.codecs structure`` measures what encoders do from their streams, ``... limits`` floors and ceilings
by region and factor, ``... efforts`` what presets cost, ``... modes`` what holding quantisers in one way costs in bits
against another. Each prints its table, and puts it into a file (``--into docs/codecs.md``) between the lines
``<!-- NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pandas as pd

from rdbench.codecs.costs import MODE_PAIRS, cpu_seconds, drawn, mode_delta
from rdbench.codecs.profiles import Profile, load_profiles
from rdbench.codecs.reach import Material, limits
from rdbench.codecs.survey import ALL, Foresight, Structure, foresight, structure
from rdbench.datasets.synthetic import SyntheticDataset
from rdbench.errors import InputError
from rdbench.files import replacing
from rdbench.tables.text import markdown

__all__ = ["put", "structure_row"]

FACTORS = (1, 2, 3, 4, 6, 8, 12, 16)
_INTO = click.option(
    "--into", type=click.Path(path_type=Path, exists=True), help="A file that takes the table."
)
_CODEC = click.option("--codec", "codecs", multiple=True, metavar="NAME", help="Some alone  [all that ship].")


@click.group(help=__doc__)
def main() -> None:
    pass


@main.command(
    "structure", help="Groups, layers, references, look-ahead, delay, tools: for each variant and mode."
)
@_CODEC
@_INTO
def _structure(codecs: tuple[str, ...], into: Path | None) -> None:
    rows = []
    for profile in _chosen(codecs):
        for variant, mode in conditions(profile):
            click.echo(f"{profile.name} {variant} {mode}", err=True)
            row = structure_row(structure(profile, variant, mode), foresight(profile, variant, mode))
            rows.append({"codec": profile.name, "variant": variant, "mode": mode} | row)
    _tell("structure", _joined(pd.DataFrame(rows)), into)


@main.command("limits", help="Floor and ceiling in kbit/s, for each factor and region.")
@_CODEC
@click.option("--clips", default=1, show_default=True, help="So many dev clips of the drawn set.")
@click.option("--seconds", default=2.0, show_default=True)
@_INTO
def _limits(codecs: tuple[str, ...], clips: int, seconds: float, into: Path | None) -> None:
    dataset = SyntheticDataset(seconds=seconds)
    names = [info.name for info in dataset.index() if info.partition == "dev"][:clips]
    material = Material(dataset, names, seconds)
    sides = [(profile, variant) for profile in _chosen(codecs) for variant in ("ra", "ld")]
    found: dict[tuple[str, int], list[str]] = {}
    # The cheapest first.
    for region in ("face", "frame"):
        for factor in FACTORS[::-1]:
            ends = limits(material, region, factor, sides)
            found[region, factor] = [f"{_short(floor)} to {_short(ceiling)}" for floor, ceiling in ends]
            click.echo(f"{region} factor {factor}: {'; '.join(found[region, factor])}", err=True)
    rows = [
        {"region": region, "codec": profile.name, "variant": variant}
        | {str(factor): found[region, factor][place] for factor in FACTORS}
        for region in ("frame", "face")
        for place, (profile, variant) in enumerate(sides)
    ]
    _tell("limits", pd.DataFrame(rows), into)


@main.command(
    "efforts", help="CPU seconds for 100 pictures of 640x360, of each profile's own preset and its efforts."
)
@_CODEC
@click.option("--clips", default=2, show_default=True, help="So many dev clips of the drawn set.")
@_INTO
def _efforts(codecs: tuple[str, ...], clips: int, into: Path | None) -> None:
    files = drawn(clips)
    rows = []
    for profile in _chosen(codecs):
        row = {
            "codec": profile.name,
            "own preset": f"{profile.preset} {cpu_seconds(profile, 'ra', files):.2f}",
        }
        for name in ("fast", "medium", "slow"):
            click.echo(f"{profile.name} {name}", err=True)
            row[name] = "-"
            for known, effort in profile.efforts.items():
                if known == name:
                    extra = [f"{key} {word}" for key, word in {**effort.options, **effort.params}.items()]
                    words = ", ".join([effort.preset, *extra])
                    row[name] = f"{words}: {cpu_seconds(profile, f'ra-{name}', files):.2f}"
        rows.append(row)
    _tell("efforts", pd.DataFrame(rows), into)


@main.command(
    "modes", help="Bits of one way of holding quantisers against another at equal PSNR, clip by clip."
)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True))
@_CODEC
@click.option(
    "--drawn", "number", default=2, show_default=True, help="Dev clips of the drawn set besides FILES."
)
@_INTO
def _modes(files: tuple[Path, ...], codecs: tuple[str, ...], number: int, into: Path | None) -> None:
    clips = [*drawn(number), *files]
    if not clips:
        raise InputError("There is no clip to measure on; give files, or --drawn.")
    rows = []
    for profile in _chosen(codecs):
        for variant in ("ra", "ld"):
            there = [mode for one, mode in conditions(profile) if one == variant]
            for anchor, test in MODE_PAIRS:
                if anchor in there and test in there:
                    click.echo(f"{profile.name} {variant} {test} against {anchor}", err=True)
                    found = [mode_delta(profile, variant, anchor, test, file) for file in clips]
                    mean = 100 * np.expm1(np.mean(np.log1p(np.array(found) / 100)))
                    rows.append(
                        {"codec": profile.name, "variant": variant, "modes": f"`{test}` against `{anchor}`"}
                        | {"mean": f"{mean:+.1f} %", "by clip": ", ".join(f"{value:+.1f}" for value in found)}
                    )
    _tell("modes", pd.DataFrame(rows), into)


def _chosen(names: tuple[str, ...]) -> list[Profile]:
    profiles = load_profiles()
    return [profiles.of(name) for name in names or profiles]


def conditions(profile: Profile) -> Iterator[tuple[str, str]]:
    """Each variant of a profile with each mode that it has there."""
    for variant, other in profile.variants.items():
        for mode in profile.modes:
            if mode not in other.without:
                yield variant, mode


def structure_row(seen: Structure, ahead: Foresight | None = None) -> dict[str, str]:
    """One row of the table of structure as it is shown; without look-ahead and delay where they were not measured."""
    row = {
        "key frames": f"every {seen.key_distance}" if seen.key_distance else "first",
        "groups": "closed" if seen.closed else "open",
        "hidden": f"{seen.hidden} %",
        "layers": str(seen.layers),
        "references": str(seen.references),
        "slices": str(seen.slices),
        "quantiser by block": "yes" if seen.by_block else "no",
        "tools": ", ".join(seen.tools) or "none",
    }
    if ahead is not None:
        row["reads ahead"] = "all" if ahead.reads == ALL else str(ahead.reads)
        row["delay"] = "all" if ahead.delay == ALL else str(ahead.delay)
    row["surroundings, sets"] = f"{seen.surroundings:.1f} %, {seen.parameters:.1f} %"
    return row


def _joined(table: pd.DataFrame) -> pd.DataFrame:
    """Variants and modes of a codec that are alike in one row."""
    order = list(table.columns)
    alike = [name for name in order if name != "mode"]
    rows = [
        {**dict(zip(alike, key, strict=True)), "mode": ", ".join(group["mode"])}
        for key, group in table.groupby(alike, sort=False)
    ]
    return pd.DataFrame(rows)[order]


def _short(kbps: float) -> str:
    return "refused" if np.isnan(kbps) else f"{kbps:.1f}" if kbps < 10 else f"{kbps:,.0f}"


def _tell(name: str, table: pd.DataFrame, into: Path | None) -> None:
    text = markdown(table)
    click.echo(text)
    if into is not None:
        content = put(into.read_text(encoding="utf-8"), name, text)
        with replacing(into) as part:
            part.write_text(content, encoding="utf-8")


def put(page: str, name: str, table: str) -> str:
    """A page with a table in the place of that name.

    Raises
    ------
    InputError
        If it has no such place.
    """
    place = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not place.search(page):
        raise InputError(f"The page has no lines <!-- {name} --> and <!-- end --> for the table; write them.")
    return place.sub(lambda match: f"{match[1]}\n{table.strip()}\n\n{match[2]}", page)


if __name__ == "__main__":
    main()
