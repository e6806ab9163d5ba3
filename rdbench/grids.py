"""Bitrate grids: what an encoder can do at each size, found on dev clips, which are never reported.

No common grid fits all factors: at a few pixels a side a codec has a floor of headers and a low ceiling, and
targets beyond either collapse into ties. ``python -m rdbench.grids EXPERIMENT.toml`` writes the file's grids
anew.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from rdbench.clip import Dataset
from rdbench.codecs import Profile, load_profiles
from rdbench.datasets.synthetic import SyntheticDataset
from rdbench.experiment import load_experiment
from rdbench.prepare import prepare, work_folder
from rdbench.transcode import Encoded, Geometry, downsample, encode, full_pictures

__all__ = ["grid", "limits"]

MARK = "# Grids: written by `make grids`; kbit/s by factor, from 1.3 x floor to 0.8 x ceiling (or 400).\n"
CEILING = 400.0
POINTS = 5


def limits(
    dataset: Dataset, names: Sequence[str], seconds: float | None, profiles: Sequence[Profile], factor: int
) -> dict[str, tuple[float, float]]:
    """Pooled floor and ceiling in kbit/s of each codec in region ``frame``: its coarsest and finest quantiser.

    Parameters
    ----------
    dataset : Dataset
    names : sequence of str
        Clips.
    seconds : float or None
        Only the first seconds of each clip.
    profiles : sequence of Profile
    factor : int
    """
    bits = {(profile.name, end): 0 for profile in profiles for end in (0, 1)}
    total = 0.0
    for name in names:
        prepared = prepare(dataset.load(name), seconds)
        total += prepared.timeline.seconds
        geometry = Geometry(prepared.width, prepared.height, factor)
        with work_folder() as folder:
            low = downsample(full_pictures(prepared, geometry, Path(folder)), geometry, Path(folder))
            for profile in profiles:
                mode = profile.modes["qp"]
                for end, quantiser in enumerate((mode.maximum, max(1.0, mode.minimum))):
                    done = encode(low, profile, "ra", "qp", quantiser, prepared.timeline.fps, Path(folder))
                    assert isinstance(done, Encoded)
                    bits[profile.name, end] += done.bits.payload
    scale = 1000 * total
    return {p.name: (bits[p.name, 0] / scale, bits[p.name, 1] / scale) for p in profiles}


def grid(floor: float, ceiling: float) -> tuple[int, ...]:
    """Geometric steps of whole kbit/s from 1.3 x floor to 0.8 x ceiling, or to 400 where that is less.

    Raises
    ------
    ValueError
        If there is no room between floor and ceiling.
    """
    low, high = np.ceil(1.3 * floor), np.floor(min(0.8 * ceiling, CEILING))
    if high < low + POINTS - 1:
        raise ValueError(f"between {floor:.2f} and {ceiling:.2f} kbit/s there is no room for {POINTS} rates")
    steps = [int(low)]
    for index in range(1, POINTS):
        # Whole numbers: a step that rounds to the one before it moves up.
        exact = float(low * (high / low) ** (index / (POINTS - 1)))
        steps.append(max(round(exact), steps[-1] + 1))
    return tuple(steps)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True))
def main(file: Path) -> None:
    """Find the grids of an experiment on the dev clips of the embedded set, and write them into its file."""
    experiment = load_experiment(file)
    dataset = dataclasses.replace(SyntheticDataset(), seconds=experiment.dataset.seconds)
    names = [info.name for info in dataset.index() if info.partition == "dev"]
    profiles = [load_profiles()[choice.name] for choice in experiment.codecs]
    tables: dict[str, list[str]] = {profile.name: [] for profile in profiles}
    for factor in experiment.factors:
        for name, (floor, ceiling) in limits(
            dataset, names, experiment.dataset.seconds, profiles, factor
        ).items():
            rates = grid(floor, ceiling)
            click.echo(f"{name} factor {factor}: floor {floor:.2f}, ceiling {ceiling:.1f}, grid {rates}")
            tables[name].append(f"{factor} = {list(rates)}")
    text = file.read_text(encoding="utf-8").partition(MARK)[0] + MARK
    for choice in experiment.codecs:
        text += f'\n[[codecs]]\nname = "{choice.name}"\nvariant = "{choice.variant}"\nmode = "abr"\n\n[codecs.rates]\n'
        text += "\n".join(tables[choice.name]) + "\n"
    file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
