"""The report: one HTML file that works offline, for one run or several side by side.

Nothing that comes from outside is ever markup: the page's data are JSON in a block that no browser runs, its
script puts them in as text only, and a content security policy forbids every request and every script but the
two whose hashes it names.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from rdbench.curves.run import Run
from rdbench.errors import InputError, NotComparableError
from rdbench.files import replacing
from rdbench.report.data import report_data
from rdbench.stats.metrics import KINDS
from rdbench.tables.basis import Basis
from rdbench.tables.kinds import kinds_there
from rdbench.tables.reading import require_partition

__all__ = ["build", "page", "run_names"]


def run_names(paths: Sequence[Path]) -> list[str]:
    """What to call runs in a report: the shortest end of each path that no other path has.

    Parameters
    ----------
    paths : sequence of Path
        Folders of runs, different ones; they need not exist.

    Returns
    -------
    list of str
        In the order of `paths`; just the folders' names where these differ.

    Raises
    ------
    InputError
        If two paths are one and the same folder.
    """
    whole = [path.resolve().parts for path in paths]
    for i, parts in enumerate(whole):
        if parts in whole[:i]:
            raise InputError(f"{paths[i]} is given twice; a report takes each run once.")
    names = []
    for parts in whole:
        others = [other for other in whole if other != parts]
        # A path that is itself the end of another one has no shorter name than the whole.
        alone = (n for n in range(1, len(parts)) if all(other[-n:] != parts[-n:] for other in others))
        names.append(str(Path(*parts[-next(alone, len(parts)) :])))
    return names


def build(
    runs: Sequence[tuple[str, Run]],
    out: Path,
    *,
    metric: str | None = None,
    bits: str = "payload",
    charge_boxes: bool = False,
    partition: str | None = None,
) -> Path:
    """Write the report of some runs, beside its place and then renamed.

    Parameters
    ----------
    runs : sequence of (name, Run)
        Names tell the runs apart and are different.
    out : Path
        The HTML file; its folder is made where it is missing.
    metric : str, optional
        By default each target's own: CCC of values, accuracy of classes.
    bits, charge_boxes, partition
        As in `rdbench.curves.pooling.pooled`.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    InputError
        If two runs have one name, a table cannot be read, or a run has nothing of the metric or the partition.
    NotComparableError
        If no run has an encode.
    """
    if all(run.encodes.empty for _, run in runs):
        raise NotComparableError(
            f"{', '.join(str(run.path) for _, run in runs)}: there is no encode to report on; finish the run first."
        )
    for name, run in runs:
        _check_asked(name, run, metric, partition)
    data = report_data(runs, Basis(metric, bits, charge_boxes, partition))
    text = page(data, title=", ".join(name for name, _ in runs))
    with replacing(out) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
    return out


def _check_asked(name: str, run: Run, metric: str | None, partition: str | None) -> None:
    require_partition(run.encodes, partition, f"The run {name}")
    there = [own for kind in kinds_there(run.scores) for own in KINDS[kind]]
    if metric is not None and metric not in there:
        raise InputError(
            f"The run {name} has no value of {metric}: its targets are of another kind, and give {', '.join(there)}."
        )


def page(data: dict[str, Any], *, title: str) -> str:
    """The whole page as text.

    Parameters
    ----------
    data : dict
        As `rdbench.report.data.report_data` gives it.
    title : str
        Plain text.
    """
    assets = files("rdbench") / "assets"
    style, script, body = (
        (assets / name).read_text(encoding="utf-8") for name in ("report.css", "report.js", "report.html")
    )
    plotly = get_plotlyjs()
    policy = (
        "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
        f"script-src {_hash(plotly)} {_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{html.escape(title)} – rdbench report</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f"{body}\n"
        f'<script type="application/json" id="data">{_json(data)}</script>\n'
        f"<script>{plotly}</script>\n<script>{script}</script>\n</body>\n</html>\n"
    )


def _hash(script: str) -> str:
    if "</script" in script.lower():
        raise ValueError("a script that holds its own end tag cannot stand in a page")
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _json(data: dict[str, Any]) -> str:
    text = json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
