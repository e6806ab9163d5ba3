"""What training looked like: a table by epoch and a picture of it."""

from __future__ import annotations

import csv
from pathlib import Path

from rdbench.backends.weights import Recipe
from rdbench.files import replacing

__all__ = ["draw", "write_log"]


def write_log(file: Path, history: list[dict[str, float]]) -> None:
    """Write loss and scores by epoch as CSV."""
    with replacing(file) as part, part.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, fieldnames=list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)


def draw(file: Path, history: list[dict[str, float]], recipe: Recipe, chosen: int, measure: str) -> None:
    """Draw loss and scores by epoch, with the chosen epoch marked, as PNG; the same bytes from the same history."""
    # Imported here since a network is loaded far more often than a picture of its training is drawn.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(6, 3.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    accuracy = figure.add_subplot()
    for column in [name for name in history[0] if name not in ("epoch", "loss")]:
        accuracy.plot(epochs, [row[column] for row in history], label=column)
    accuracy.axvline(chosen, color="0.7", linewidth=1, zorder=0, label=f"chosen: epoch {chosen}")
    accuracy.set(xlabel="epoch", ylabel=f"{measure} ({_selection(recipe)})", title=recipe.stem)
    loss = accuracy.twinx()
    loss.plot(epochs, [row["loss"] for row in history], color="0.4", linestyle=":", label="training loss")
    loss.set_ylabel("training loss")
    lines = [*accuracy.get_lines(), *loss.get_lines()]
    accuracy.legend(lines, [str(line.get_label()) for line in lines], fontsize="small")
    with replacing(file) as part:
        figure.savefig(part, format="png", metadata={"Software": None})


def _selection(recipe: Recipe) -> str:
    return "dev subjects" if recipe.select_on == "dev" else "held-out train subjects"
