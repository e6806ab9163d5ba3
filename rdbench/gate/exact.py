"""The bits that are charged, compared exactly on these clips alone.

Fewer bits at an equal quantiser may be a better encoder or a coarser picture. So a change of bits is a loss or a gain
only where PSNR tells that the picture has not changed the other way.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rdbench.gate.cells import SIDES, Cells
from rdbench.stats.bd import percent

__all__ = ["PSNR_STEP", "Charged", "exact_rows", "named_rows"]

PSNR_STEP = 0.01
"""dB; smaller changes of a point's mean PSNR are taken for none."""


class Charged:
    """The bits that make the rate, of every cell in common.

    What an encoder refused has no bits; it is no encode of 0 bits, so sums hold only what has bits on both sides.
    """

    def __init__(self, cells: Cells, bits: str, charge_boxes: bool) -> None:
        self.bits, self.charge_boxes = bits, charge_boxes
        self.cells = cells.bits[0][["curve", "point", "clip", "subject"]]
        self.value: list[NDArray[np.int64]] = []
        self.have: list[NDArray[np.bool_]] = []
        self.psnr: list[NDArray[np.float64]] = []
        for table in cells.bits:
            count = table[f"{bits}_bits"]
            value = count.to_numpy(np.int64, na_value=0)
            if charge_boxes:
                value = value + table["box_bits"].to_numpy(np.int64, na_value=0)
            self.value.append(value)
            self.have.append(count.notna().to_numpy())
            self.psnr.append(table["psnr"].to_numpy(np.float64, na_value=np.nan))
        self.both = self.have[0] & self.have[1]

    def columns(self, cells: Cells) -> list[dict[str, object]]:
        """The exact differences of each curve."""
        number = len(cells.curves)
        curve = self.cells["curve"].to_numpy()[self.both]
        after, before = np.zeros((2, number), dtype=np.int64)
        for total, value in zip((after, before), self.value, strict=True):
            np.add.at(total, curve, value[self.both])
        with np.errstate(invalid="ignore", divide="ignore"):
            change = np.where(before > 0, 100 * (after - before) / np.maximum(before, 1), np.nan)
        return [
            {
                "identical": bool(cells.identical[i]),
                "encodes": int(cells.common[i]),
                "encodes_changed": int(cells.changed[i]),
                "payload_bits": int(before[i]),
                "payload_bits_change": int(after[i] - before[i]),
                "payload_change": float(change[i]),
            }
            for i in range(number)
        ]

    def log_ratio(self, use: NDArray[np.bool_]) -> float:
        """Mean over points of the log ratio of bits, run over reference, over these cells."""
        point = self.cells["point"].to_numpy()[use]
        label = np.unique(point, return_inverse=True)[1]
        after, before = (np.bincount(label, value[use]) for value in self.value)
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(np.log(after / before).mean())

    def psnr_change(self, use: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Mean change of PSNR over these cells, in dB, for each point; NaN where a clip has none on either side."""
        label = np.unique(self.cells["point"].to_numpy()[use], return_inverse=True)[1]
        after, before = (psnr[use] for psnr in self.psnr)
        with np.errstate(invalid="ignore"):
            # Lossless pictures have no finite PSNR, and have not changed.
            change = np.where(after == before, 0.0, after - before)
        return np.asarray(np.bincount(label, change) / np.bincount(label))

    def sizes(self, cells: Cells, use: NDArray[np.bool_] | None = None) -> list[dict[str, int]]:
        """How many points, subjects and clips the cells in common (or some of them) are of, for each curve."""
        table = self.cells if use is None else self.cells[use]
        number = table.groupby("curve").nunique().reindex(range(len(cells.curves)), fill_value=0)
        return [{f"{k}s": int(v) for k, v in row.items()} for row in number.to_dict("records")]


def exact_rows(cells: Cells, charged: Charged, tolerance: float) -> list[dict[str, object]]:
    """A row of `rows` of `rdbench.gate.check.Verdict` for each curve, by bits alone and without inference.

    Parameters
    ----------
    cells : Cells
    charged : Charged
        Of the same cells.
    tolerance : float
        Tolerated log ratio of bits.

    Returns
    -------
    list of dict
    """
    rows = named_rows(cells, charged)
    curve = charged.cells["curve"].to_numpy()
    whole, with_bits = charged.sizes(cells), charged.sizes(cells, charged.both)
    for i, (row, same) in enumerate(zip(rows, cells.same(), strict=True)):
        if cells.reason[i]:
            continue
        own = curve == i
        use = own & charged.both
        row |= whole[i] if same else with_bits[i]
        alone = [
            f"{count} encode{'s have' if count != 1 else ' has'} bits in the {name} alone"
            for have, name in zip(charged.have, SIDES, strict=True)
            if (count := int((own & have & ~charged.both).sum()))
        ]
        if same:
            row |= {"verdict": "same", "reason": "identical", "quantiser_rate": 0.0, "psnr_change": 0.0}
        elif alone:
            row |= {"verdict": "not comparable", "reason": " and ".join(alone)}
        elif not use.any():
            reason = "neither side has bits, so it does not decide"
            row |= {"verdict": "not comparable", "reason": reason, "decides": False}
        else:
            ratio, psnr = charged.log_ratio(use), charged.psnr_change(use)
            row |= {"quantiser_rate": float(percent(ratio)), "psnr_change": float(psnr.mean())}
            row |= dict(zip(("verdict", "reason"), _exact_verdict(ratio, psnr, tolerance), strict=True))
    return rows


def named_rows(cells: Cells, charged: Charged) -> list[dict[str, object]]:
    """Each curve's key and exact differences, and the verdict of what is not comparable."""
    rows = []
    keys = cells.curves.to_dict("records")
    for key, exact, reason, one_sided in zip(
        keys, charged.columns(cells), cells.reason, cells.one_sided, strict=True
    ):
        row: dict[str, object] = {str(k): v for k, v in key.items()} | exact
        row |= {"underpowered": False, "decides": not one_sided}
        if reason:
            row |= {"verdict": "not comparable", "reason": reason}
        rows.append(row)
    return rows


def _exact_verdict(ratio: float, psnr: NDArray[np.float64], tolerance: float) -> tuple[str, str]:
    if not np.isfinite(ratio):
        return "inconclusive", "there are no bits to compare"
    known = bool(np.isfinite(psnr).all())
    bits = f"{percent(ratio):+.3f} % bits at equal quantiser"
    quality = f"PSNR {psnr.min():+.2f} to {psnr.max():+.2f} dB" if known else "no PSNR on both sides"
    lower, higher = known and bool(psnr.min() < -PSNR_STEP), known and bool(psnr.max() > PSNR_STEP)
    if abs(ratio) <= tolerance:
        return ("inconclusive", f"{bits}, {quality}") if lower else ("same", "")
    if not known or (higher if ratio > 0 else lower):
        return "inconclusive", f"{bits}, {quality}: which of the two weighs more cannot be told from them"
    return "regressed" if ratio > 0 else "improved", f"{bits}, {quality}"
