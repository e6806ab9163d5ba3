"""What can be trained: where each model starts, what it sees, and what all of them have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from rdbench.backends.weights import SIZES, Size

__all__ = ["BUDGET", "FACTORS", "MODELS", "PEOPLE", "RESIDUAL", "STRIDE", "Model"]

FACTORS = (1, 2, 3, 4, 6, 8, 12, 16)
"""Downsampling factors that are trained for unless others are asked for."""


@dataclass(frozen=True)
class Model:
    """How the weights of one name come about.

    Parameters
    ----------
    sees : {"each", "all", "max", "one"}
        A specialist for each factor, or one model that sees all of them, the largest, or pristine faces.
    network : str
        Class of the torch module of size "paper"; that of size "lite" is in its place by `RESIDUAL`.
    start : tuple of (str, str)
        Beginning of weight names, and the model whose weights these start from.
    rates : tuple of (str, float)
        See `rdbench.backends.weights.Recipe`.
    share : float
        Learning rate relative to that of models which start at random.
    fixed : dict
        Fields of the recipe that are this model's own.
    sizes : tuple of str
        That it comes in.
    """

    sees: Literal["each", "all", "max", "one"]
    network: str = "Recogniser"
    start: tuple[tuple[str, str], ...] = ()
    rates: tuple[tuple[str, float], ...] = ()
    share: float = 1.0
    fixed: dict[str, Any] = field(default_factory=dict)
    sizes: tuple[Size, ...] = SIZES


# Learned by restoring: no labels, the squared error of pictures as they are, no decay.
_RESTORING: dict[str, Any] = {
    "targets": (),
    "classes": (),
    "units": False,
    "loss": "mse",
    "rate": 0.003,
    "decay": 0.0,
    "dropout": 0.0,
    "epochs": 16,
    "shift": 0,
    "contrast": 0.0,
    "brightness": 0.0,
}
# Twice as many steps for three times as many views.
_CODED: dict[str, Any] = {"coded": 2, "epochs": 48}
# Three times as many people, and four times as many steps, for a network that has room for them.
_WIDE: dict[str, Any] = {"people": 288, "epochs": 32}
# The rest learns ten times as fast as the convolutions, which learn alike wherever they start.
_TENTH = (("conv", 0.1), ("trunk.", 0.1))
_BOTH = (("restorer.", "restorer"), ("recogniser.", "hr"))

MODELS: dict[str, Model] = {
    # What others start from.
    "sr-max": Model("max", "SuperResolver", fixed=_RESTORING),
    "sr-mix": Model("all", "SuperResolver", fixed=_RESTORING),
    "restorer": Model("all", "Restorer", fixed=_RESTORING),
    # Back-ends.
    "direct": Model("each"),
    "direct-mix": Model("all"),
    "hr": Model("one"),
    "joint": Model("each", start=(("", "sr-max"),), rates=_TENTH, share=10),
    "frozen": Model("all", start=(("", "sr-max"),), rates=(("conv", 0.0), ("trunk.", 0.0)), share=10),
    "max-mix": Model("all", start=(("", "sr-max"),), rates=_TENTH, share=10),
    "mix-mix": Model("all", start=(("", "sr-mix"),), rates=_TENTH, share=10),
    "max-max": Model("max", start=(("", "sr-max"),), rates=_TENTH, share=10),
    "coded-mix": Model("all", start=(("", "sr-max"),), rates=_TENTH, share=10, fixed=_CODED),
    "wide-mix": Model("all", "WideRecogniser", fixed=_WIDE, sizes=("lite",)),
    "separate": Model("all", "RestoredRecogniser", start=_BOTH, fixed={"epochs": 0}),
    "separate-tuned": Model("all", "RestoredRecogniser", start=_BOTH, rates=(("restorer.", 0.0),)),
}
"""All that can be trained in epochs; the first half of a name such as "max-mix" tells what the super-resolver
saw, the second what the recogniser saw."""

RESIDUAL = {
    "Recogniser": "ResidualRecogniser",
    "SuperResolver": "ResidualRestorer",
    "RestoredRecogniser": "RestoredResidualRecogniser",
    "Restorer": "Restorer",
    "WideRecogniser": "WideRecogniser",
}
"""Networks of size "lite" by those of size "paper". A restorer whose pictures a recogniser is to look at stays one that works
at full size, so that restoring first is not judged by a weaker one."""

BUDGET: dict[str, dict[str, Any]] = {
    "paper": {"rate": 0.0015, "dropout": 0.5},
    "lite": {"rate": 0.003, "dropout": 0.3, "epochs": 24},
}
"""What all recognisers of a size learn by; chosen on dev."""

PEOPLE, STRIDE = 96, 5
"""Train subjects of each model, and every n-th frame of them: who somebody is dominates what few people teach, and a frame
teaches little that the one before it did not."""
