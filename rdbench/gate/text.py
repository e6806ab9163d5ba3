"""A verdict as Markdown for a pull request, JUnit XML for a CI server, and JSON for programs."""

from __future__ import annotations

import json
import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from rdbench.gate.check import VERDICTS, Verdict
from rdbench.tables.schema import CURVE

__all__ = ["curve_name", "for_people", "to_json", "to_junit", "to_markdown"]

_SIGNS = {
    "regressed": "❌ regressed",
    "lost": "❌ lost",
    "improved": "✅ improved",
    "same": "✅ same",
    "not worse": "✅ not worse",
    "inconclusive": "⚠️ inconclusive",
    "not comparable": "➖ not comparable",
}
# What XML 1.0 cannot hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def curve_name(row: Any) -> str:
    """A curve in one line, such as ``direct@lite valence, frame x265/ra 1/4 crf``."""
    parts = {name: row.get(name) for name in CURVE}
    present = {name: str(value) for name, value in parts.items() if not pd.isna(value)}
    who = " ".join(present[name] for name in ("backend", "target") if name in present)
    if present.get("gold", "labels") != "labels":
        who += f" ({present['gold']})"
    if present.get("scoring", "plain") != "plain":
        who += f" [{present['scoring']}]"
    how = present["region"]
    if present["codec"] == "none":
        how += f" uncoded 1/{present['factor']}"
    else:
        how += f" {present['codec']}/{present['variant']} 1/{present['factor']} {present['mode']}"
    return f"{who}, {how}" if who else how


def for_people(verdict: Verdict) -> pd.DataFrame:
    """The curves as they are read, a row each; what is as it was comes last.

    Returns
    -------
    DataFrame
        Columns ``curve``, ``verdict``, ``bits at equal accuracy``, ``accuracy at equal bits`` (where bits alone are
        compared ``bits at equal quantiser`` and ``PSNR``), ``bits, exact`` and ``why``, all text.
    """
    order = {name: i for i, name in enumerate(VERDICTS)}
    rows = verdict.rows.sort_values("verdict", key=lambda names: names.map(order), kind="stable")
    shown = []
    for row in rows.to_dict("records"):
        exact = "" if pd.isna(row["payload_change"]) else f"{row['payload_change']:+.3f} %"
        if row["payload_bits"] and row["payload_bits_change"] == 0:
            exact = "equal"
        shown.append(
            {
                "curve": curve_name(row),
                "verdict": row["verdict"] + (" (underpowered)" if row["underpowered"] else ""),
                **_measured(row, verdict.settings),
                "bits, exact": exact,
                "why": "" if pd.isna(row["reason"]) else str(row["reason"]),
            }
        )
    return pd.DataFrame(shown, columns=_headings(verdict))


def _headings(verdict: Verdict) -> list[str]:
    measures = ["bits at equal accuracy", "accuracy at equal bits"]
    if verdict.settings["rate_only"]:
        measures = ["bits at equal quantiser", "PSNR"]
    if verdict.settings.get("max_target_rate") is not None:
        measures.append("bits at the target")
    return ["curve", "verdict", *measures, "bits, exact", "why"]


def _measured(row: dict[Any, Any], settings: dict[str, object]) -> dict[str, str]:
    if not settings["rate_only"]:
        shown = {
            "bits at equal accuracy": _with_ends(row, "bd_rate", "{:+.2f} %"),
            "accuracy at equal bits": _with_ends(row, "bd_accuracy", "{:+.4f}"),
        }
        if settings.get("max_target_rate") is not None:
            shown["bits at the target"] = _with_ends(row, "target_rate", "{:+.2f} %")
        return shown
    figures = {
        "bits at equal quantiser": ("quantiser_rate", "{:+.2f} %"),
        "PSNR": ("psnr_change", "{:+.2f} dB"),
    }
    return {
        head: "" if pd.isna(row[name]) else form.format(row[name]) for head, (name, form) in figures.items()
    }


def to_markdown(verdict: Verdict) -> str:
    """A heading, a table of the curves, and the notes."""
    counts = ", ".join(f"{number} {name}" for name, number in verdict.counts().items() if number)
    lines = [f"### rdbench check: {verdict.overall}", "", f"{counts or 'no curves'}.", ""]
    shown = for_people(verdict)
    if len(shown):
        lines += ["| " + " | ".join(shown.columns) + " |", "|" + "---|" * len(shown.columns)]
    for curve, judged, *figures, why in shown.itertuples(index=False, name=None):
        word, _, weak = judged.partition(" (")
        sign = _SIGNS[word] + (" (⚠️ underpowered)" if weak else "")
        lines.append("| " + " | ".join([_code(curve), sign, *figures, _plain(why)]) + " |")
    if len(shown):
        lines.append("")
    lines += [f"- {_plain(note)}" for note in verdict.notes]
    lines += [f"- left out: {_plain(one)}" for one in verdict.left_out]
    return "\n".join(lines).rstrip() + "\n"


def _with_ends(row: dict[Any, Any], name: str, form: str) -> str:
    if pd.isna(row[name]):
        return ""
    text = form.format(row[name])
    if np.isfinite(row[f"{name}_low"]) and np.isfinite(row[f"{name}_high"]):
        low, high = form.format(row[f"{name}_low"]), form.format(row[f"{name}_high"])
        text += f" ({low} to {high})"
    return text


def _code(text: str) -> str:
    # A code span keeps names from becoming markup or mentions; a bar would still end the cell.
    return "`" + " ".join(text.replace("`", "'").split()).replace("|", "\\|") + "`"


def _plain(text: object) -> str:
    flat = " ".join(str("" if pd.isna(text) else text).split())  # type: ignore[call-overload]
    for mark, escaped in (
        ("&", "&amp;"),
        ("<", "&lt;"),
        (">", "&gt;"),
        ("|", "\\|"),
        ("`", "'"),
        ("@", "@\u200b"),
    ):
        flat = flat.replace(mark, escaped)
    return flat


def to_junit(verdict: Verdict) -> str:
    """JUnit XML with one case a curve: regressed or lost fails, what else fails the gate is an error, the rest is skipped.

    What fails the gate and is of no single curve has a case of its own, so that no server shows green for a gate
    that is red.
    """
    strict = not verdict.settings["allow_inconclusive"]
    suite = ElementTree.Element("testsuite", name="rdbench check")
    for row in verdict.rows.to_dict("records"):
        case = _case(suite, curve_name(row))
        reason, found = _xml(row["reason"]), row["verdict"]
        if found in ("regressed", "lost"):
            ElementTree.SubElement(case, "failure", message=f"{found}: {reason}", type=found)
        elif found in ("inconclusive", "not comparable"):
            if strict and row["decides"]:
                ElementTree.SubElement(case, "error", message=f"{found}: {reason}", type=found)
            else:
                ElementTree.SubElement(case, "skipped", message=f"{found}: {reason}")
        elif row["underpowered"] and strict and row["decides"]:
            message = f"{found}, but an unchanged build would often not pass"
            ElementTree.SubElement(case, "error", message=message, type="underpowered")
        out = ElementTree.SubElement(case, "system-out")
        out.text = _xml("\n".join(f"{key}: {value}" for key, value in row.items() if not _missing(value)))
    if verdict.failed:
        message = f"{verdict.failed} units of the run had failed"
        ElementTree.SubElement(_case(suite, "units of the run"), "error", message=message, type="failed")
    if verdict.overall == "not comparable":
        message = "the run and the reference share nothing that may be compared"
        ElementTree.SubElement(_case(suite, "comparison"), "error", message=message, type="not comparable")
    kinds = {"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"}
    for name, kind in kinds.items():
        suite.set(name, str(len(list(suite.iter(kind)))))
    lines = [*verdict.notes, *(f"left out: {one}" for one in verdict.left_out)]
    ElementTree.SubElement(suite, "system-out").text = _xml("\n".join(lines))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ElementTree.Element, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname="rdbench.check", name=_xml(name))


def _xml(text: object) -> str:
    return _NOT_XML.sub("\ufffd", str("" if _missing(text) else text))


def _missing(value: object) -> bool:
    return bool(pd.isna(value))  # type: ignore[call-overload]


def to_json(verdict: Verdict) -> str:
    """Strict JSON: what is missing or endless is null. The keys stay the same between versions."""
    document = {
        "schema": 1,
        "overall": verdict.overall,
        "exit_code": verdict.exit_code,
        "settings": verdict.settings,
        "counts": verdict.counts(),
        "curves": [{str(k): _json(v) for k, v in row.items()} for row in verdict.rows.to_dict("records")],
        "notes": verdict.notes,
        "left_out": verdict.left_out,
        "failed": verdict.failed,
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def _json(value: object) -> object:
    if _missing(value):
        return None
    if isinstance(value, np.generic):
        value = value.item()
    return value if not isinstance(value, float) or np.isfinite(value) else None
