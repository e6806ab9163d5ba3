"""Who loses: what each subject gets out of a comparison, and which of them decides it.

A delta over all subjects may be an average of gains and losses. Each subject's own two curves tell who loses, what is
left of the delta without each one tells who decides, and the width of the face tells whether it is the small ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rdbench.curves.deltas import pairs_of
from rdbench.curves.points import Points, kbps, metric_of_sums
from rdbench.curves.scope import KEYS, Curve, Scopes
from rdbench.stats.bd import Side, bd_accuracy, percent
from rdbench.stats.by_clip import clip_deltas
from rdbench.stats.interpolation import DEFAULT
from rdbench.typing import Array

__all__ = ["BANDS", "COLUMNS", "by_face", "losers_of", "summary"]

_PAIR = (
    *(f"anchor_{key}" for key in KEYS),
    *(f"test_{key}" for key in KEYS),
    "gold",
    "scoring",
    "metric",
    "bits",
)
COLUMNS = (
    *_PAIR,
    *("subject", "clips", "face_px"),
    *("anchor_value", "test_value", "bd_accuracy", "bd_rate"),
    *("without_bd_accuracy", "influence", "loses"),
)
"""The columns of `losers_of`: `face_px` is the median width of the subject's face at factor 1; `anchor_value` and
`test_value` are the means of its own accuracy over each curve's points; `without_bd_accuracy` is the delta of all others
and `influence` what the subject moves it by; `bd_rate` is in per cent."""


def losers_of(
    scopes: Scopes,
    anchor: str | Mapping[str, str],
    test: str | Mapping[str, str],
    *,
    method: str = DEFAULT,
    larger: bool = False,
) -> pd.DataFrame:
    """Each subject's own deltas, for every pair of curves that `rdbench.curves.deltas.deltas_of` gives for the same.

    Parameters
    ----------
    scopes : Scopes
    anchor, test, method, larger
        As in `rdbench.curves.deltas.deltas_of`.

    Returns
    -------
    DataFrame
        With `COLUMNS`, a row for each pair and subject; NaN where a subject's own curves have no delta.

    Raises
    ------
    InputError, NotComparableError
        As `rdbench.curves.deltas.deltas_of`.
    """
    tables = []
    for _, scope, a, b in pairs_of(scopes, anchor, test):
        points = scope.points
        curves = [scope.curve(key, larger=larger) for key in (a, b)]
        own = [_own(points, curve) for curve in curves]
        whole = bd_accuracy(*(curve.side for curve in curves), method=method, larger=larger, leave_out=False)
        deltas = {
            measure: clip_deltas(*own, measure=measure, method=method, larger=larger)
            for measure in ("accuracy", "rate")
        }
        without = whole.replicates if len(whole.replicates) else np.full(len(points.subjects), np.nan)
        fixed = {f"anchor_{key}": a[key] for key in KEYS} | {f"test_{key}": b[key] for key in KEYS}
        fixed |= {name: str(points.keys[name].iloc[0]) for name in ("gold", "scoring")}
        fixed |= {"metric": points.metric, "bits": scopes.basis.charged}
        columns = {
            "subject": points.subjects,
            **_about(scopes, points),
            **{f"{name}_value": _mean(side) for name, side in zip(("anchor", "test"), own, strict=True)},
            "bd_accuracy": deltas["accuracy"],
            "bd_rate": percent(deltas["rate"]),
            "without_bd_accuracy": without,
            "influence": whole.value - without,
            "loses": deltas["accuracy"] < 0,
        }
        tables.append(pd.DataFrame(columns).assign(**fixed))
    return pd.concat(tables, ignore_index=True)[list(COLUMNS)]


def _own(points: Points, curve: Curve) -> Side:
    """A curve with each subject's own points in place of what is left without the subject."""
    with np.errstate(invalid="ignore", divide="ignore"):
        log_rates = np.log(kbps(curve.stats))
    return replace(
        curve.side, log_rates=log_rates, values=metric_of_sums(curve.stats, curve.centre, points.metric)
    )


def _mean(side: Side) -> Array:
    return side.values.mean(axis=1) if side.values.shape[1] else np.full(len(side.values), np.nan)


def _about(scopes: Scopes, points: Points) -> dict[str, NDArray[Any]]:
    """Clips of each subject, and the median width of its face in uncoded pictures at factor 1 (or scaled up to it)."""
    encodes = scopes.arrays.encodes
    rows = encodes[encodes["clip"].isin(points.clips)]
    subject = rows["subject"].fillna(rows["clip"])
    width = rows["face_px"] * rows["factor"].astype("float64")
    by_subject = pd.DataFrame({"clip": rows["clip"], "width": width}).groupby(subject.to_numpy())
    return {
        "clips": by_subject["clip"].nunique().reindex(points.subjects).to_numpy(),
        "face_px": by_subject["width"].median().reindex(points.subjects).to_numpy(dtype=np.float64),
    }


BANDS = (0.0, 32.0, 64.0, 96.0, 128.0, 192.0, np.inf)
"""Widths of a face in pixels at factor 1 that `by_face` puts together."""


def by_face(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy and deltas of each pair by the width of the face: whether it is the small ones who lose.

    Parameters
    ----------
    table : DataFrame
        As `losers_of` gives it.

    Returns
    -------
    DataFrame
        The columns that name a pair, then ``from_px`` and ``to_px``, ``subjects``, ``losing``, and the means over the
        band's subjects of ``anchor_value``, ``test_value``, ``bd_accuracy`` and ``bd_rate`` (in per cent, of those that have
        one). Bands without a subject have no row.
    """
    rows = []
    band = pd.cut(table["face_px"], list(BANDS), right=False, labels=False)
    for _, own in table.assign(band=band).groupby([*_PAIR, "band"], sort=False, dropna=True):
        place = int(own["band"].iloc[0])
        row = own.iloc[0][list(_PAIR)].to_dict() | {"from_px": BANDS[place], "to_px": BANDS[place + 1]}
        row |= {"subjects": len(own), "losing": int(own["loses"].sum())}
        means = {name: float(own[name].mean()) for name in ("anchor_value", "test_value", "bd_accuracy")}
        means["bd_rate"] = float(percent(np.log1p(own["bd_rate"].dropna() / 100).mean()))
        rows.append(row | means)
    names = [
        *("from_px", "to_px", "subjects", "losing", "anchor_value", "test_value", "bd_accuracy", "bd_rate")
    ]
    return pd.DataFrame(rows, columns=[*_PAIR, *names]).sort_values([*_PAIR, "from_px"], ignore_index=True)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each pair: how many subjects lose, who decides, and how the delta goes with the width of the face.

    Parameters
    ----------
    table : DataFrame
        As `losers_of` gives it.

    Returns
    -------
    DataFrame
        The columns that name a pair, then ``subjects``, ``with_delta`` (those that have one of their own), ``losing``,
        ``worst`` and ``worst_bd_accuracy`` (who loses most), ``most_influential``, ``without_bd_accuracy`` (the delta
        without that one) and ``face_correlation`` (Spearman's, of the width of the face and the delta; NaN under 4
        subjects or where all faces are equally wide).
    """
    rows = []
    for _, own in table.groupby(list(_PAIR), sort=False, dropna=False):
        delta = own["bd_accuracy"]
        row = {
            **own.iloc[0][list(_PAIR)].to_dict(),
            "subjects": len(own),
            "with_delta": int(delta.notna().sum()),
        }
        row |= {"losing": int(own["loses"].sum()), "worst": "", "most_influential": ""}
        if delta.notna().any():
            worst = own.iloc[int(np.nanargmin(delta))]
            row |= {"worst": worst["subject"], "worst_bd_accuracy": worst["bd_accuracy"]}
        if own["influence"].notna().any():
            most = own.iloc[int(np.nanargmax(own["influence"].abs()))]
            row |= {"most_influential": most["subject"], "without_bd_accuracy": most["without_bd_accuracy"]}
        row["face_correlation"] = _correlation(own["face_px"], delta)
        rows.append(row)
    names = [*("subjects", "with_delta", "losing", "worst", "worst_bd_accuracy"), "most_influential"]
    return pd.DataFrame(rows).reindex(columns=[*_PAIR, *names, "without_bd_accuracy", "face_correlation"])


def _correlation(width: pd.Series, delta: pd.Series) -> float:
    use = width.notna() & delta.notna()
    ranks = [column[use].rank() for column in (width, delta)]
    if use.sum() < 4 or any(rank.nunique() < 2 for rank in ranks):
        return float("nan")
    return float(ranks[0].corr(ranks[1]))
