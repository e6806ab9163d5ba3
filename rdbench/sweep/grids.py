"""Bitrate grids: what an encoder can do at each size, found on dev clips, which are never reported.

No common grid fits all factors: at a few pixels a side a codec has a floor of headers and a low ceiling, and
targets beyond either collapse into ties. Between them a short clip's rate control still stays below its target,
by a third at the middle rates of six seconds; so the targets are those whose *achieved* rates are evenly spread.
``python -m rdbench.sweep.grids EXPERIMENT.toml`` writes the file's grids anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from rdbench.codecs.profiles import Profile, load_profiles
from rdbench.codecs.reach import Material, achieved, limits
from rdbench.datasets.synthetic import SyntheticDataset
from rdbench.errors import InputError
from rdbench.files import replacing
from rdbench.sweep.experiment import CodecChoice, load_experiment

__all__ = ["grid", "pilots"]

MARK = (
    "# Grids: written by `make grids`; targets in kbit/s by factor, whose achieved rates on dev clips go in even "
    "steps\n# from 1.3 x floor to 0.8 x ceiling (or 400).\n"
)
CEILING = 400.0
POINTS = 5
CLIPS = 4
PILOTS = 12
BEYOND = 3.0
"""How far past the ceiling targets are tried, since rate control stays below them."""


def pilots(floor: float, ceiling: float) -> list[int]:
    """Targets to try, in whole kbit/s: even steps from the floor to well above what is wanted."""
    most = BEYOND * min(ceiling, CEILING)
    tried = np.geomspace(max(1.0, floor), max(most, floor + PILOTS), PILOTS)
    return sorted({int(np.ceil(rate)) for rate in tried})


def grid(floor: float, ceiling: float, targets: Sequence[float], reached: Sequence[float]) -> tuple[int, ...]:
    """Whole targets in kbit/s whose achieved rates go in even steps from 1.3 x floor to 0.8 x ceiling, or 400.

    Parameters
    ----------
    floor, ceiling : float
        kbit/s.
    targets, reached : sequence of float
        What was asked for in trials, rising, and what came of it; NaN where it was refused.

    Raises
    ------
    ValueError
        If there is no room between floor and ceiling.
    """
    asked, got = np.asarray(targets, dtype=float), np.asarray(reached, dtype=float)
    asked, got = asked[np.isfinite(got)], np.maximum.accumulate(got[np.isfinite(got)])
    high = min(0.8 * ceiling, CEILING, float(got.max(initial=0.0)))
    low = max(1.3 * floor, float(got.min(initial=np.inf)))
    if not high > 1.2 * low:
        raise ValueError(f"between {floor:.2f} and {ceiling:.2f} kbit/s there is no room for {POINTS} rates")
    # Where more was asked for and no more came, the smaller target is the one.
    rising = np.flatnonzero(np.diff(got, prepend=-np.inf) > 0)
    exact = np.exp(
        np.interp(np.log(np.geomspace(low, high, POINTS)), np.log(got[rising]), np.log(asked[rising]))
    )
    steps: list[int] = []
    for rate in exact:
        # Whole numbers: a step that rounds to the one before it moves up.
        steps.append(max(round(float(rate)), 1, *(step + 1 for step in steps[-1:])))
    return tuple(steps)


def _side(choice: CodecChoice) -> tuple[Profile, str]:
    if choice.mode not in ("abr", "2pass"):
        raise InputError(
            f"{choice.name} is swept in {choice.mode}, which has no bitrates; grids are for abr and 2pass."
        )
    return load_profiles()[choice.name], choice.swept


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True))
def main(file: Path) -> None:
    """Find the grids of an experiment on the dev clips of the embedded set, and write them into its file."""
    experiment = load_experiment(file)
    seconds = experiment.dataset.seconds
    dataset = SyntheticDataset(seconds=seconds)
    names = [info.name for info in dataset.index() if info.partition == "dev"][:CLIPS]
    sides = [_side(choice) for choice in experiment.codecs]
    tables: list[list[str]] = [[] for _ in sides]
    for factor in experiment.factors:
        ends = limits(Material(dataset, names, seconds), "frame", factor, sides)
        for choice, (profile, variant), (floor, ceiling), table in zip(
            experiment.codecs, sides, ends, tables, strict=True
        ):
            tried = pilots(floor, ceiling)
            came = achieved(
                Material(dataset, names, seconds),
                "frame",
                factor,
                [(profile, variant, choice.mode, rate) for rate in tried],
            )
            rates = grid(floor, ceiling, tried, came)
            click.echo(
                f"{choice.name} factor {factor}: floor {floor:.2f}, ceiling {ceiling:.1f}, grid {list(rates)}"
            )
            table.append(f"{factor} = {list(rates)}")
    text = file.read_text(encoding="utf-8").partition("# Grids: ")[0] + MARK
    for choice, table in zip(experiment.codecs, tables, strict=True):
        text += (
            f'\n[[codecs]]\nname = "{choice.name}"\nvariant = "{choice.variant}"\nmode = "{choice.mode}"\n\n'
        )
        text += "[codecs.rates]\n" + "\n".join(table) + "\n"
    with replacing(file) as part:
        part.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
