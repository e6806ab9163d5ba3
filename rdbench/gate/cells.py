"""Which rows of a run and its reference belong together: what differs, what is refused, and what stands alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.curves.arrays import Arrays
from rdbench.curves.points import Points
from rdbench.gate.pairing import (
    RATE_CURVE,
    SIDES,
    Paired,
    all_refused,
    alone,
    must_match,
    pair_encodes,
    pair_scores,
    refused_points,
)
from rdbench.tables.basis import Basis
from rdbench.tables.schema import BITS, CURVE, SCORE_KEY

__all__ = ["Cells", "both_sides", "paired_cells", "unscored"]


_BITS = (*(f"{name}_bits" for name in BITS), "box_bits", "psnr")


@dataclass
class Cells:
    """Both sides row by row: which curves they share, and where they differ."""

    curves: pd.DataFrame  # one row a curve
    reason: list[str]  # why a curve is not comparable, "" where it is
    one_sided: NDArray[np.bool_]
    identical: NDArray[np.bool_]
    common: NDArray[np.int64]  # cells in common
    changed: NDArray[np.int64]
    kind: NDArray[np.object_]  # of `rdbench.stats.metrics.KINDS`; "" where neither side has a score
    run: tuple[pd.DataFrame, pd.DataFrame]  # the partition's encodes, all scores
    reference: tuple[pd.DataFrame, pd.DataFrame]
    bits: tuple[
        pd.DataFrame, pd.DataFrame
    ]  # curve, point, clip, subject, bit counts and PSNR of the cells in common
    left_out: list[str]  # what takes no part because one side lacks it, or an encoder refused it

    def same(self) -> NDArray[np.bool_]:
        """Curves that are the same whatever is asked of them."""
        return self.identical & np.array([not reason for reason in self.reason], dtype=bool)


def paired_cells(
    run: tuple[pd.DataFrame, pd.DataFrame],
    reference: tuple[pd.DataFrame, pd.DataFrame],
    partition: str,
    vary: Collection[str],
    *,
    scored: bool,
) -> Cells:
    """Pair the rows of both sides of one partition, clip by clip and condition by condition.

    Parameters
    ----------
    run, reference : (encodes, scores)
        Tables with the columns of `rdbench.tables.schema`.
    partition : str
    vary : collection of str
        What is allowed to differ, as in `rdbench.gate.check.check`.
    scored : bool
        Pair scores too, so that curves are those of `rdbench.tables.schema.CURVE`; else encodes alone, without uncoded ones.

    Returns
    -------
    Cells
    """
    tables = [_partition(encodes, partition, scored) for encodes, _ in (run, reference)]
    checks = must_match(vary, scored)
    coded = pair_encodes(tables, checks)
    paired = pair_scores(coded, tables, (run[1], reference[1]), checks) if scored else coded
    own, theirs = (paired.per_curve(side.curve) for side in paired.sides)
    shared = paired.sides[0].curve[paired.at]
    common, changed = paired.per_curve(shared), paired.per_curve(shared, paired.differs)
    one_sided, reason = _reasons(paired, coded, tables)
    identical = (common == own) & (common == theirs) & (changed == 0)
    compared = paired.rate_curve[np.array([not text for text in reason], dtype=bool) & ~identical]
    left_out = refused_points(tables, coded.sides, compared)
    if not scored:
        left_out = alone(tables, coded.sides, compared) + left_out
    return Cells(
        curves=paired.curves,
        reason=reason,
        one_sided=one_sided,
        identical=identical,
        common=common,
        changed=changed,
        kind=paired.kind,
        run=(tables[0], run[1]),
        reference=(tables[1], reference[1]),
        bits=_bits_in_common(paired),
        left_out=left_out,
    )


def _partition(encodes: pd.DataFrame, partition: str, scored: bool) -> pd.DataFrame:
    use = encodes["partition"] == partition
    if not scored:
        use &= encodes["codec"] != "none"
    return encodes[use].reset_index(drop=True)


def _reasons(
    paired: Paired, coded: Paired, tables: Sequence[pd.DataFrame]
) -> tuple[NDArray[np.bool_], list[str]]:
    """Which curves stand on one side alone, and why each curve is not comparable, "" where it is."""
    shared = paired.sides[0].curve[paired.at]
    counts = [paired.per_curve(side.curve) for side in paired.sides]
    common = paired.per_curve(shared)
    reason = [""] * len(paired.curves)
    for text, flag in paired.wrong.items():
        for at in np.flatnonzero(paired.per_curve(shared, flag)):
            reason[at] = reason[at] or text
    one_sided = (counts[0] == 0) | (counts[1] == 0)
    refused = [all_refused(table, side.curve) for table, side in zip(tables, coded.sides, strict=True)]
    for curve in range(len(reason)):
        if one_sided[curve]:
            lacks = 0 if counts[0][curve] == 0 else 1
            reason[curve] = "only in the run" if lacks else "only in the reference"
            # It was asked for on both sides: what an encoder now refuses altogether must not drop out unseen.
            if paired.rate_curve[curve] in refused[lacks]:
                one_sided[curve] = False
                reason[curve] = f"every encode was refused in the {SIDES[lacks]}"
        elif common[curve] == 0:
            reason[curve] = "no clip and rate in common"
    return one_sided, reason


def _bits_in_common(paired: Paired) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Curve, point, clip, subject, bit counts and PSNR of the cells that both sides have."""
    mine, side = paired.common[0], paired.sides[0]
    names = {
        "curve": side.curve[paired.at],
        "point": side.point[paired.at],
        "clip": pd.factorize(mine["clip"])[0],
        "subject": pd.factorize(mine["subject"].fillna(mine["clip"]))[0],
    }
    first, second = (table[list(_BITS)].reset_index(drop=True).assign(**names) for table in paired.common)
    return first, second


def unscored(cells: Cells) -> Cells:
    """Where neither side has a score, equal encodes are still the same, and others say nothing of recognition."""
    text = "nothing was scored on either side; --rate-only compares bits alone"
    reason = [why or ("" if same else text) for why, same in zip(cells.reason, cells.identical, strict=True)]
    return replace(cells, curves=cells.curves.reindex(columns=list(CURVE)), reason=reason)


def both_sides(cells: Cells, members: list[int], basis: Basis) -> list[Points]:
    """Both sides of the curves of one scope as one set of points, so that everything covers the same clips.

    An A stands before the names of the reference's back-ends, a B before those of the run's.
    """
    encodes, scores = [], []
    keep = cells.curves.iloc[members]
    wanted_rates, wanted = (pd.MultiIndex.from_frame(keep[list(names)]) for names in (RATE_CURVE, CURVE))
    for mark, (table, all_scores) in (("A", cells.reference), ("B", cells.run)):
        table = table[pd.MultiIndex.from_frame(table[list(RATE_CURVE)]).isin(wanted_rates)]
        row = pd.Index(table["encode"]).get_indexer(pd.Index(all_scores["encode"]))
        score = all_scores[row >= 0]
        keys = score[list(SCORE_KEY)].reset_index(drop=True)
        rates = table.iloc[row[row >= 0]][list(RATE_CURVE)].reset_index(drop=True)
        curves = pd.concat([keys, rates], axis=1)[list(CURVE)]
        score = score[pd.MultiIndex.from_frame(curves).isin(wanted)]
        encodes.append(table.assign(encode=mark + table["encode"]))
        scores.append(score.assign(encode=mark + score["encode"], backend=mark + score["backend"]))
    tables = [pd.concat(parts, ignore_index=True) for parts in (encodes, scores)]
    return Arrays(tables[0], tables[1], basis).parts()
