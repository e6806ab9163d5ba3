"""How often the intervals hold the truth, and how often the gate finds a loss, by simulation.

Subjects are drawn from a population whose truth is known: each has an own gain and bias of prediction (skewed),
an own share of the variance, own bits, and what a codec does to each is partly common to anchor and test. The
tables that subjects would leave are drawn directly, as the sums that the rest of the program works on, and go
through the very functions that make the program's numbers.

``python -m rdbench.simulation coverage``, ``... power``, ``... needed``, ``... targets``, ``... gate``, ``... optimism``, ``... plan`` and ``... claims`` print
the tables of docs/simulation.md.
"""

from __future__ import annotations

import click
import pandas as pd

from rdbench.simulation.claimed import power_of_claims, size_of_claims
from rdbench.simulation.coverage import coverage, envelope_coverage
from rdbench.simulation.gated import exit_codes
from rdbench.simulation.optimism import optimism
from rdbench.simulation.planned import plans
from rdbench.simulation.population import POPULATIONS
from rdbench.simulation.power import needed, power
from rdbench.simulation.targets import target_coverage
from rdbench.tables.text import markdown

__all__ = []


@click.group(help=__doc__)
def main() -> None:
    pass


@main.command("coverage", help="How often 95 % intervals hold the truth.")
@click.option("--trials", default=1000, show_default=True)
@click.option("--boot", default=500, show_default=True, help="Bootstrap replicates; 0 for none.")
@click.option("--seed", default=0, show_default=True)
def _coverage(trials: int, boot: int, seed: int) -> None:
    form = dict.fromkeys(("held", "below", "above", "without"), "{:.1%}")
    for name, population in POPULATIONS.items():
        table = coverage(trials, boot=boot, seed=seed, population=population)
        click.echo(f"\n{name}\n\n{_markdown(table, form)}")
    click.echo(f"\nenvelope\n\n{_markdown(envelope_coverage(trials, seed=seed), form)}")


@main.command("power", help="False alarms and detection of the gate.")
@click.option("--trials", default=1000, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--only", type=click.Choice(["false-alarms", "detection"]), help="One of the two.")
def _power(trials: int, seed: int, only: str | None) -> None:
    _print(power(trials, seed=seed, only=only))


@main.command("needed", help="Subjects that each tolerance of the gate needs.")
def _needed() -> None:
    _print(needed())


@main.command(
    "targets", help="How often intervals of bits at a target, and of what is saved there, hold the truth."
)
@click.option("--trials", default=1000, show_default=True)
@click.option("--seed", default=0, show_default=True)
def _targets(trials: int, seed: int) -> None:
    form = dict.fromkeys(("held", "below", "above", "open", "without"), "{:.1%}")
    for name, population in POPULATIONS.items():
        table = target_coverage(trials, population=population, seed=seed)
        click.echo(f"\n{name}\n\n{_markdown(table, form)}")


@main.command("gate", help="What the whole check exits with, for unchanged builds and for builds that lost.")
@click.option("--trials", default=300, show_default=True)
@click.option("--seed", default=0, show_default=True)
def _gate(trials: int, seed: int) -> None:
    form = dict.fromkeys(("passes", "said", "false", "at", "loss", "found"), "{:.1%}")
    click.echo(_markdown(exit_codes(trials, seed=seed), form))


@main.command("optimism", help="How much better the best of eight equal factors looks than it is.")
@click.option("--trials", default=1000, show_default=True)
@click.option("--seed", default=0, show_default=True)
def _optimism(trials: int, seed: int) -> None:
    click.echo(_markdown(optimism(trials, seed=seed), {"common": "{:.0%}"}))


@main.command("plan", help="What comes of runs that are planned from pilots.")
@click.option("--trials", default=200, show_default=True)
@click.option("--seed", default=0, show_default=True)
def _plan(trials: int, seed: int) -> None:
    click.echo(_markdown(plans(trials, seed=seed), dict.fromkeys(("kept", "safe_kept"), "{:.0%}")))


@main.command("claims", help="How often a file of claims errs, and how often it finds what is there.")
@click.option("--trials", default=500, show_default=True)
@click.option("--seed", default=0, show_default=True)
def _claims(trials: int, seed: int) -> None:
    shares = ("mean", "sentence", "member", "any", "on average", "at every factor", "independent")
    form = dict.fromkeys(shares, "{:.1%}") | {"worse": "{:g}"}
    click.echo(f"\nsize\n\n{_markdown(size_of_claims(trials, seed=seed), form)}")
    click.echo(f"\npower\n\n{_markdown(power_of_claims(trials // 2, seed=seed), form)}")


_FORM = {
    **dict.fromkeys(("regressed", "rate_alone", "both", "bd_rate"), "{:.1%}"),
    **dict.fromkeys(("max_bd_rate", "sd of the log ratio"), "{:.0%}"),
    **dict.fromkeys(("max_accuracy_drop", "sd of BD-CCC"), "{:g}"),
}


def _print(tables: dict[str, pd.DataFrame]) -> None:
    for name, table in tables.items():
        click.echo(f"\n{name}\n\n{_markdown(table, _FORM)}")


def _markdown(table: pd.DataFrame, form: dict[str, str]) -> str:
    def cell(name: str, value: object) -> str:
        if value is None or value != value:
            return "-"
        if name in form:
            return form[name].format(value)
        return f"{value:.3f}" if isinstance(value, float) else str(value)

    rows = [{name: cell(str(name), value) for name, value in row.items()} for row in table.to_dict("records")]
    return markdown(pd.DataFrame(rows, columns=table.columns))


if __name__ == "__main__":
    main()
