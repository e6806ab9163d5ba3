"""What there is to choose from, and what a bug report needs."""

from __future__ import annotations

from pathlib import Path

import click

from rdbench.cli.options import PACKAGE

__all__ = ["cache", "doctor", "list_"]


@click.command("list")
@click.argument("what", required=False, type=click.Choice(["codecs", "backends", "datasets", "experiments"]))
def list_(what: str | None) -> None:
    """List codecs, back-ends, datasets and experiments.

    \b
    rdbench list codecs
    """
    from rdbench.cli.listing import KINDS

    for title, listed in KINDS.items():
        if what not in (None, title):
            continue
        rows = listed()
        click.echo(f"{title}:")
        width = max((len(name) for name, _ in rows), default=0)
        for name, text in rows:
            click.echo(f"  {name:<{width}}  {text}")


@click.command()
@click.option("--dataset", type=PACKAGE, help="Check a package before a long run.")
@click.option("--root", type=click.Path(path_type=Path))
@click.option("--follow-links", is_flag=True, help="Links may lead out of the folder (git-annex, DVC).")
def doctor(dataset: str | None, root: Path | None, follow_links: bool) -> int:
    """Print what a bug report needs, and what is missing.

    \b
    rdbench doctor
    rdbench doctor --dataset avec2016 --root /data/AVEC2016
    rdbench doctor --dataset affwild2:expr --root /data/Aff-Wild2
    """
    from rdbench.machine import installed, required

    packages, whole = installed(required())
    if not whole:
        for line in packages:
            click.echo(line)
        return 2
    # Nothing that could be missing is imported before.
    from rdbench.cli.diagnosis import diagnosis, package

    if dataset is not None:
        if root is None:
            raise click.UsageError(f"--dataset {dataset} needs --root DIR.")
        lines, usable = package(dataset, root, follow_links)
        for line in lines:
            click.echo(line)
        return 0 if usable else 2
    lines, good = diagnosis()
    for line in lines:
        click.echo(line)
    return 0 if good else 2


@click.command()
@click.option("--clear", is_flag=True, help="Remove everything that can be made again.")
@click.option("--verify", is_flag=True, help="Read everything and remove what is not what was written.")
def cache(clear: bool, verify: bool) -> int:
    """Tell where the cache lies and how large it is.

    A run checks what it takes from the cache by itself, and makes anew what is damaged. Exit code 4: something was.

    \b
    rdbench cache --clear
    rdbench cache --verify
    """
    from rdbench.cli.listing import cache_report, verify_cache

    damaged = 0
    if verify:
        lines, damaged = verify_cache()
        for line in lines:
            click.echo(line)
    for line in cache_report(clear):
        click.echo(line)
    return 4 if damaged else 0
