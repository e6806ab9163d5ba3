"""A run against a reference: has recognition got worse, or dearer?

Each curve that both have gets a verdict, and a gate that would miss losses larger than its tolerance passes nothing,
whatever the verdicts. Identical tables are the same before anything is asked of them, so they need neither a metric
nor a complete clip; the exact differences on this very set of clips are told beside the verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from rdbench.errors import InputError
from rdbench.gate.cells import paired_cells, unscored
from rdbench.gate.exact import Charged, exact_rows
from rdbench.gate.judging import judged_rows
from rdbench.gate.lost import Lost, Tables, lost_cells
from rdbench.gate.settings import RATE, Settings
from rdbench.tables.reading import default_partition
from rdbench.tables.schema import CURVE

__all__ = ["COLUMNS", "VERDICTS", "Verdict", "check", "parse_share", "verdict_on"]

VERDICTS = ("regressed", "lost", "improved", "same", "not worse", "inconclusive", "not comparable")
"""What a curve, or all of them, may be found to be."""

COLUMNS = (
    *CURVE,
    *("metric", "verdict", "reason", "decides", "identical", "points", "subjects", "clips"),
    *("bd_rate", "bd_rate_low", "bd_rate_high", "bd_rate_detectable"),
    *("bd_accuracy", "bd_accuracy_low", "bd_accuracy_high", "bd_accuracy_detectable"),
    *("target_rate", "target_rate_low", "target_rate_high", "target_rate_detectable"),
    *("unchanged_passes", "underpowered"),
    *("encodes", "encodes_changed", "payload_bits", "payload_bits_change", "payload_change"),
    *("quantiser_rate", "psnr_change"),
    *("largest_value_change", "warning"),
)
"""The columns of `Verdict.rows`. ``decides`` is whether the curve counts for the exit code: one that only one side
has, or that has no value on either, does not. ``bd_rate`` is in per cent (positive: the run needs more bits),
``bd_accuracy`` in units of the metric (negative: the run recognises worse), ``target_rate`` in per cent of the rate that the
target takes (where that is judged), their ends are simultaneous,
``_detectable`` is the loss that is called regressed 8 times in 10 (so it exceeds the tolerance),
``unchanged_passes`` how often the curve of an unchanged build is shown to be no worse, and ``underpowered`` whether
that is less than 8 times in 10. The last ones are exact: encodes in common and those that differ anywhere; the reference's bits (those
that are charged) over the encodes that have bits on both sides, the difference in bits and in per cent; where
bits alone are compared, the mean change of bits over the points at equal quantisers in per cent, and that of PSNR in
dB; and the largest change of the pooled metric at any point."""


@dataclass(frozen=True)
class Verdict:
    """What `check` found.

    Parameters
    ----------
    rows : DataFrame
        One row a curve, with the columns `COLUMNS`.
    overall : str
        One of `VERDICTS`.
    exit_code : int
        0 good; 1 regressed, or something was lost; 3 nothing comparable, inconclusive, or a curve underpowered; 4 some units of the run
        had failed.
    settings : dict
        The tolerances and what may vary.
    notes : list of str
        What a reader must know besides the rows.
    left_out : list of str
        Clips and points that take no part, each with its reason.
    failed : int
        Units of the run that had failed.
    """

    rows: pd.DataFrame
    overall: str
    exit_code: int
    settings: dict[str, object]
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    failed: int = 0

    def counts(self) -> dict[str, int]:
        """How many curves have each verdict."""
        have = self.rows["verdict"].value_counts()
        return {name: int(have.get(name, 0)) for name in VERDICTS}


def parse_share(text: str) -> float | None:
    """A tolerance such as ``1%`` or ``0.01`` as a share; None for ``none``, where nothing is to be judged.

    Raises
    ------
    InputError
        If it is no number, negative, or not finite.
    """
    stripped = text.strip()
    if stripped.lower() == "none":
        return None
    try:
        value = float(stripped.removesuffix("%")) / (100 if stripped.endswith("%") else 1)
    except ValueError:
        value = np.nan
    if not np.isfinite(value) or value < 0:
        raise InputError(f"A tolerance is a number of 0 or more, such as 1% or 0.01, or none, not {text!r}.")
    return value


def check(run_tables: Tables, reference_tables: Tables, *, failed: int = 0, **settings: Any) -> Verdict:
    """Compare a run with a reference, curve by curve.

    Parameters
    ----------
    run_tables, reference_tables : (encodes, scores)
    failed : int
        Units of the run that failed; the exit code is then 4.
    **settings
        Those of `Settings`.

    Raises
    ------
    InputError
        As `Settings`.
    """
    return verdict_on(run_tables, reference_tables, Settings(**settings), failed=failed)


def verdict_on(run_tables: Tables, reference_tables: Tables, asked: Settings, *, failed: int = 0) -> Verdict:
    """The verdict of `check`."""
    chosen = default_partition(run_tables[0]) if asked.partition is None else asked.partition
    asked = replace(asked, partition=chosen)
    scored = not asked.rate_only and _any_scores((run_tables, reference_tables), chosen)
    lost = lost_cells(
        run_tables, reference_tables, chosen, bits=asked.bits, scored=scored, allow=asked.allow_lost
    )
    cells = paired_cells(lost.run, lost.reference, chosen, asked.vary, scored=scored)
    if not asked.rate_only and not scored:
        cells = unscored(cells)
    charged = Charged(cells, asked.bits, asked.charge_boxes)
    told, tolerance = asked.told(), asked.tolerance()
    if asked.rate_only:
        rows = exact_rows(cells, charged, tolerance[RATE] or 0.0)
        notes = [
            "Bits are compared exactly at equal quantisers, on these clips alone; nothing is inferred about others, "
            "or about recognition."
        ]
        left_out = cells.left_out
    else:
        rows, notes, left_out = judged_rows(cells, charged, asked)
        used = {row["metric"] for row in rows if row["metric"]}
        told |= {
            "metric": asked.metric or (str(used.pop()) if len(used) == 1 else None),
            "method": asked.method,
        }
    for row, primary in zip(rows, asked.is_primary(cells.curves), strict=True):
        row["decides"] = bool(row["decides"]) and bool(primary)
    _mark(rows, lost)
    left_out = [*left_out, *lost.allowed]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return _verdict(table, told, notes, left_out, asked.allow_inconclusive, failed)


def _any_scores(sides: Sequence[Tables], partition: str) -> bool:
    """Whether anything of the partition was scored on either side."""
    return any(
        scores["encode"].isin(encodes.loc[encodes["partition"] == partition, "encode"]).any()
        for encodes, scores in sides
    )


def _mark(rows: list[dict[str, object]], lost: Lost) -> None:
    """Call the curves lost that have lost something, but a regression stays one."""
    for row in rows:
        text = lost.told.get(tuple(str(row[name]) for name in lost.columns))
        if text is None:
            continue
        seen = str(row.get("reason", ""))
        if row["verdict"] == "regressed":
            row["reason"] = f"{seen}; lost: {text}"
        else:
            row |= {"verdict": "lost", "reason": f"{text}, which the reference has", "decides": True}


def _verdict(
    rows: pd.DataFrame,
    settings: dict[str, object],
    notes: list[str],
    left_out: list[str],
    allow_inconclusive: bool,
    failed: int,
) -> Verdict:
    verdicts = rows["verdict"]
    lost = bool((verdicts == "lost").any())
    compared = verdicts.isin(("regressed", "improved", "same", "not worse", "inconclusive"))
    # A curve that only one side has was never asked for there; one that both have must not drop out unseen.
    decides, weak = (rows[name].to_numpy(dtype=bool) for name in ("decides", "underpowered"))
    open_ends = decides & (verdicts.isin(("inconclusive", "not comparable")).to_numpy() | weak)
    shown = verdicts[decides] if decides.any() else verdicts
    if (verdicts == "regressed").any():
        overall = "regressed"
    elif lost:
        overall = "lost"
        notes = ["The run lacks what the reference has; --allow-lost names what may be missing.", *notes]
    elif not compared.any():
        overall = "not comparable"
        notes = ["The run and the reference share nothing that may be compared.", *notes]
    elif open_ends.any():
        overall = "inconclusive"
    elif (shown == "improved").any():
        overall = "improved"
    elif (shown == "not worse").any():
        overall = "not worse"
    else:
        overall = "same"
    if failed:
        code = 4
    elif overall in ("regressed", "lost"):
        code = 1
    elif overall == "not comparable" or (open_ends.any() and not allow_inconclusive):
        code = 3
    else:
        code = 0
    if failed:
        notes = [f"{failed} units of the run had failed; what is compared is what is left.", *notes]
    return Verdict(rows, overall, code, settings, notes, left_out, failed)
