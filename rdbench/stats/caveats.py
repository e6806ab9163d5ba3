"""What makes a number doubtful, said where it is printed: what simulation has shown, and what deltas say themselves."""

from __future__ import annotations

from rdbench.stats.bd import Delta, percent

__all__ = ["HELD", "caveat", "doubts"]

HELD: dict[tuple[str, str], dict[int, float]] = {
    ("BD-CCC", "bootstrap"): {4: 84.0, 8: 87.3, 16: 89.8, 32: 92.8},
    ("BD-CCC", "jackknife"): {4: 96.2, 8: 93.2, 16: 94.1, 32: 94.6},
    ("BD-CCC of an envelope", "jackknife"): {4: 96.4, 8: 95.2, 16: 94.2, 32: 95.1},
    ("BD-rate", "bootstrap"): {4: 85.9, 8: 90.1, 16: 91.0, 32: 92.7},
    ("BD-rate", "jackknife"): {4: 95.9, 8: 93.4, 16: 92.2, 32: 92.3},
    ("CCC", "bootstrap"): {4: 79.5, 8: 88.1, 16: 90.2, 32: 91.4},
    ("CCC", "jackknife"): {4: 92.1, 8: 93.6, 16: 94.4, 32: 92.8},
    ("paired difference", "bootstrap"): {4: 83.1, 8: 85.9, 16: 88.9, 32: 91.6},
    ("paired difference", "jackknife"): {4: 95.5, 8: 93.3, 16: 92.7, 32: 94.9},
}
"""Per cent of trials in which a nominal 95 % interval held the truth, the worse of the two populations, as in
docs/simulation.md."""


def caveat(quantity: str, interval: str, subjects: int) -> str:
    """What to print beside an interval that simulation has shown not to hold what it promises.

    Parameters
    ----------
    quantity : {"CCC", "paired difference", "BD-CCC", "BD-CCC of an envelope", "BD-rate"}
    interval : {"jackknife", "bootstrap"}
    subjects : int

    Returns
    -------
    str
        "" where nominal 95 % intervals hold the truth in 92 to 98 % of the trials at the next smaller number
        of subjects that was simulated.
    """
    table = HELD[quantity, interval]
    nearest = max((n for n in table if n <= subjects), default=min(table))
    held = table[nearest]
    if 92 <= held <= 98:
        return ""
    return (
        f"the {interval} interval of {quantity} promises 95 % and held the truth in {held:.0f} % of simulated "
        f"trials with {nearest} subjects: rather believe the jackknife"
    )


def doubts(accuracy: Delta, rate: Delta) -> list[str]:
    """What two deltas of one pair of curves say against themselves or each other.

    Parameters
    ----------
    accuracy, rate : Delta

    Returns
    -------
    list of str
        A sentence where one point decides more than the interval is wide to a side, and one where both deltas differ in
        which curve is better.
    """
    doubts = []
    for name, delta in (("BD of accuracy", accuracy), ("BD-rate", rate)):
        moved, half = delta.interpolation_error, (delta.high - delta.low) / 2
        if moved > half > 0:
            text = f"{moved:.3f}" if delta is accuracy else f"{percent(moved):.1f} %"
            doubts.append(
                f"{name} moves by up to {text} without one rate, more than its interval is wide to a side"
            )
    if accuracy.value * rate.value > 0:
        doubts.append("BD-rate and BD of accuracy differ in which curve is better: the curves cross")
    return doubts
