"""Findings on claims as text, Markdown, CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from rdbench.methods.claims import FALLING
from rdbench.methods.findings import ENDPOINT, MEMBERS, Finding
from rdbench.tables.text import markdown, plain

__all__ = ["closest", "for_people", "members_for_people", "to_csv", "to_json", "to_markdown", "to_text"]


def closest(finding: Finding) -> dict[str, Any] | None:
    """The worst member: of a claim that does not hold the one furthest below the margin, else the one
    whose simultaneous interval ends lowest; None where no member has an interval."""
    table = finding.members
    better, worse = ("sim_low", "sim_high") if finding.claim.measure in FALLING else ("sim_high", "sim_low")
    end = better if finding.verdict == "does not hold" else worse
    sign = -1.0 if finding.claim.measure in FALLING else 1.0
    ends = sign * table[end].to_numpy(dtype=np.float64)
    if not np.isfinite(ends).any():
        return None
    return {str(name): value for name, value in table.iloc[int(np.nanargmin(ends))].items()}


def to_text(findings: Sequence[Finding]) -> str:
    """Each sentence with its verdict, and its members below."""
    blocks = []
    for finding in findings:
        lines = [f"{finding.verdict.upper()}: {finding.claim.sentence}", *_words(finding), ""]
        blocks.append("\n".join(lines) + "\n" + plain(members_for_people(finding)))
    return "\n".join(blocks)


def _words(finding: Finding) -> list[str]:
    lines = [f"  {finding.reason}"] if finding.reason else []
    if np.isfinite(finding.endpoint["value"]):
        lines.append(f"  {_average(finding)}: {_endpoint(finding)}, p {_p(finding)} over the file")
    decides = closest(finding)
    if decides is not None:
        lines.append(f"  worst, {_place(decides)}: {_interval(finding, decides)}")
    return lines + [f"  {mark}" for mark in _marks(finding)]


def _average(finding: Finding) -> str:
    members, of = finding.endpoint["members"], finding.endpoint["of"]
    return f"mean of {members}" + (f" of {of}" if members < of else "")


def _endpoint(finding: Finding) -> str:
    if not np.isfinite(finding.endpoint["value"]):
        return ""
    value, low, high = (_number(finding, finding.endpoint[name]) for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})" if low else value


def _p(finding: Finding) -> str:
    p = finding.endpoint["p_adjusted"]
    return "-" if not np.isfinite(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _marks(finding: Finding) -> list[str]:
    return sorted({mark for text in finding.members["remark"] for mark in str(text).split("; ") if mark})


def _place(row: dict[str, Any]) -> str:
    parts = [str(row["target"])] + ([str(row["codec"])] if row["codec"] != "none" else [])
    return ", ".join([*parts, f"factor {row['factor']}"])


def _interval(finding: Finding, row: dict[str, Any]) -> str:
    value, low, high = (_number(finding, row[name]) for name in ("value", "sim_low", "sim_high"))
    return f"{value} ({low} to {high})"


def _number(finding: Finding, value: float) -> str:
    if not np.isfinite(value):
        return ""
    return f"{value:+.1f} %" if finding.claim.measure == "bd-rate" else f"{value:+.3f}"


def members_for_people(finding: Finding) -> pd.DataFrame:
    """The members as they are read: intervals in one cell, standard errors instead of variances."""
    table, claim = finding.members, finding.claim

    def ends(low: str, high: str) -> list[str]:
        pairs = zip(table[low], table[high], strict=True)
        return ["" if pd.isna(a) else f"{_number(finding, a)} to {_number(finding, b)}" for a, b in pairs]

    shown = pd.DataFrame({"target": table["target"]})
    for name in ("codec", "variant", "mode"):
        if claim.coded and (name == "codec" or table[name].replace("", np.nan).nunique() > 1):
            shown[name] = table[name]
    shown["factor"] = table["factor"]
    if not claim.coded:
        for name, column in ((claim.better, "better_value"), (claim.than, "than_value")):
            shown[name] = [_plain(v) for v in table[column]]
    shown["difference" if not claim.coded else claim.measure] = [_number(finding, v) for v in table["value"]]
    shown["95 %"] = ends("low", "high")
    shown["95 % of all"] = ends("sim_low", "sim_high")
    shown["± seeds"] = [_plain(v**0.5) for v in table["seed_variance"].astype(float)]
    shown["± subjects"] = [_plain(v**0.5) for v in table["subject_variance"].astype(float)]
    counts = zip(table["better_seeds"], table["than_seeds"], table["paired_seeds"], strict=True)
    shown["seeds"] = [
        "" if pd.isna(a) else f"{pairs:.0f} pairs" if pairs else f"{a:.0f} and {b:.0f}"
        for a, b, pairs in counts
    ]
    shown["subjects"] = ["" if pd.isna(n) else f"{n:.0f}" for n in table["subjects"]]
    if claim.coded:
        shown["pairs of seeds"] = [
            "" if pd.isna(of) else _number(finding, v) or f"{gone:.0f} of {of:.0f} have none"
            for v, gone, of in zip(
                _nan(table["pair_mean"]), table["pairs_without"], table["pairs"], strict=True
            )
        ]
    shown["verdict"] = table["verdict"]
    reasons = [
        f"{a}; {b}" if a and b else a or b for a, b in zip(table["reason"], table["warning"], strict=True)
    ]
    return shown.assign(why=reasons) if any(reasons) else shown


def _nan(values: pd.Series) -> list[float]:
    return [float(v) for v in values.astype(float)]


def _plain(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.3f}"


def to_markdown(findings: Sequence[Finding]) -> str:
    """A table of the sentences, each with its verdict, its mean and its worst member; then all members."""
    rows = []
    for finding in findings:
        decides = closest(finding)
        rows.append(
            {
                "claim": finding.claim.sentence,
                "verdict": f"**{finding.verdict}**",
                "on average (95 %)": _endpoint(finding) or finding.reason,
                "p over the file": _p(finding),
                "holds in": _share(finding),
                "worst": _place(decides) if decides else "",
                "difference there (95 % of all)": _interval(finding, decides) if decides else "",
                "margin": _margin(finding),
                "remark": "; ".join(_marks(finding)),
            }
        )
    lines = [markdown(pd.DataFrame(rows)), ""]
    for finding in findings:
        lines += [f"### {finding.claim.sentence}", "", f"{finding.verdict.capitalize()}."]
        lines += [finding.reason + "."] if finding.reason else []
        lines += ["", markdown(members_for_people(finding)), ""]
    return "\n".join(lines)


def _share(finding: Finding) -> str:
    """How many of the members were shown, in their order or by the level that all of them share."""
    return f"{int((finding.members['verdict'] == 'holds').sum())} of {len(finding.members)}"


def _margin(finding: Finding) -> str:
    return f"{finding.claim.margin:g}" + (" %" if finding.claim.measure == "bd-rate" else "")


def to_csv(findings: Sequence[Finding]) -> str:
    """One row a member, with the number, the sentence, the verdict and the endpoint of its claim in front."""
    tables = []
    for number, finding in enumerate(findings, 1):
        table = finding.members.astype(object)
        table.insert(0, "claim", number)
        table.insert(1, "sentence", finding.claim.sentence)
        table.insert(2, "claim_verdict", finding.verdict)
        for name in ENDPOINT:
            table[f"endpoint_{name}"] = finding.endpoint[name]
        tables.append(table)
    columns = ["claim", "sentence", "claim_verdict", *(f"endpoint_{name}" for name in ENDPOINT), *MEMBERS]
    return pd.concat(tables, ignore_index=True)[columns].to_csv(index=False, lineterminator="\n")


def to_json(findings: Sequence[Finding]) -> str:
    """Strict JSON: what is missing is null. The keys stay the same between versions."""
    claims = [
        {
            "sentence": finding.claim.sentence,
            "verdict": finding.verdict,
            "reason": finding.reason,
            **{name: getattr(finding.claim, name) for name in ("better", "than", "measure", "margin")},
            "endpoint": {name: _json(name, value) for name, value in finding.endpoint.items()},
            "members": [
                {str(name): _json(str(name), value) for name, value in row.items()}
                for row in finding.members.to_dict("records")
            ],
            "notes": finding.notes,
        }
        for finding in findings
    ]
    return json.dumps({"schema": 1, "claims": claims}, ensure_ascii=False, allow_nan=False, indent=2)


_COUNTS = (
    "better_seeds",
    "than_seeds",
    "paired_seeds",
    "members",
    "of",
    "subjects",
    "clips",
    "pairs",
    "pairs_without",
)


def _json(name: str, value: Any) -> Any:
    if pd.isna(value):
        return None
    value = value.item() if isinstance(value, np.generic) else value
    if name in _COUNTS:
        return int(value)
    return value if not isinstance(value, float) or np.isfinite(value) else None


def for_people(table: pd.DataFrame) -> pd.DataFrame:
    """The table as it is read: the interval in one cell, standard errors instead of variances."""
    shown = pd.DataFrame({"back-end": table["backend"]})
    for name in ("region", "gold", "scoring"):
        if table[name].nunique() > 1:
            shown[name] = table[name]
    for name in ("target", "factor", "metric"):
        shown[name] = table[name]
    shown["value"] = [_rounded(v) for v in table["value"]]
    shown["95 %"] = [
        "" if np.isnan(a) or np.isnan(b) else f"{_rounded(a)} to {_rounded(b)}"
        for a, b in zip(table["low"], table["high"], strict=True)
    ]
    if table["boot_low"].notna().any():
        ends = zip(table["boot_low"], table["boot_high"], strict=True)
        shown["bootstrap"] = ["" if np.isnan(a) else f"{_rounded(a)} to {_rounded(b)}" for a, b in ends]
    shown["± seeds"] = [_rounded(v**0.5) for v in table["seed_variance"]]
    shown["± subjects"] = [_rounded(v**0.5) for v in table["subject_variance"]]
    shown["seeds"] = table["seeds"]
    shown["subjects"] = table["subjects"]
    remarks = [a or b for a, b in zip(table["remark"], table["reason"], strict=True)]
    return shown.assign(remark=remarks) if any(remarks) else shown


def _rounded(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"
