"""Where training stands: network, optimiser, moving average and best epoch, kept after every epoch and taken up again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from rdbench.backends.weights import Recipe, read_tensors, write_tensors
from rdbench.errors import InputError
from rdbench.training.tasks import Task

__all__ = ["Fitted", "State"]


@dataclass
class Fitted:
    """Where training stands; its best epoch is what it is for.

    Parameters
    ----------
    best : dict of str to Tensor
        Weights at the best epoch.
    epoch : int
        The best one, from 1 on; 0 before the first.
    history : list of dict
        By epoch: epoch, loss, and the scores.
    """

    best: dict[str, Tensor]
    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


class State:
    """A network as it learns, with all that its next step depends on.

    Parameters
    ----------
    network : nn.Module
        As training starts; it is changed in place.
    recipe : Recipe
    task : Task
    device : torch.device
    """

    def __init__(self, network: nn.Module, recipe: Recipe, task: Task, device: torch.device) -> None:
        self.network, self.recipe, self.task, self.device = network, recipe, task, device
        self.average = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self.fitted = Fitted(best={name: value.clone() for name, value in self.average.items()})
        self.optimiser = _optimiser(network, recipe, device)
        self._key = _key(recipe, task, device, self.average)

    def set_rate(self, share: float) -> None:
        """Set the learning rate of every group of weights to a share of its peak."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate * group["share"] * share

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Let the moving average follow the network by one step."""
        now = self.network.state_dict()
        torch._foreach_lerp_(list(self.average.values()), [now[name] for name in self.average], 1 - decay)

    def note(self, loss: float, scores: dict[str, float]) -> None:
        """Put an epoch down; where its scores are the best so far, its weights are those that training is for."""
        history = self.fitted.history
        history.append({"epoch": len(history) + 1, "loss": loss, **scores})
        if _better(history, self.fitted.epoch, self.task.columns):
            self.fitted.epoch = len(history)
            self.fitted.best = {name: value.clone() for name, value in self.average.items()}

    def keep(self, file: Path) -> None:
        """Write everything that a later call needs to go on from here."""
        moments = {
            f"{number}.{name}": value
            for number, entry in self.optimiser.state_dict()["state"].items()
            for name, value in entry.items()
        }
        groups = {
            "now": self.network.state_dict(),
            "average": self.average,
            "best": self.fitted.best,
            "optimiser": moments,
        }
        tensors = {
            f"{group}/{name}": value.detach().cpu().numpy()
            for group, content in groups.items()
            for name, value in content.items()
        }
        text = {"key": self._key, "epoch": self.fitted.epoch, "history": self.fitted.history}
        write_tensors(file, tensors, json.dumps(text))

    def resume(self, file: Path) -> int:
        """Take up what an earlier call with the same input kept, and give its last epoch; 0 where there is none."""
        try:
            tensors, text = read_tensors(file)
            kept = json.loads(text)
        except (InputError, ValueError):
            return 0
        if not isinstance(kept, dict) or kept.get("key") != self._key:
            return 0
        groups: dict[str, dict[str, Tensor]] = {"now": {}, "average": {}, "best": {}, "optimiser": {}}
        for name, value in tensors.items():
            group, _, inner = name.partition("/")
            groups[group][inner] = torch.from_numpy(value)
        self.network.load_state_dict(groups["now"])
        for name, tensor in self.average.items():
            tensor.copy_(groups["average"][name])
            self.fitted.best[name].copy_(groups["best"][name])
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in groups["optimiser"].items():
            number, _, moment = name.partition(".")
            moments.setdefault(int(number), {})[moment] = tensor
        self.optimiser.load_state_dict(self.optimiser.state_dict() | {"state": moments})
        self.fitted.epoch, self.fitted.history = kept["epoch"], kept["history"]
        return len(self.fitted.history)


def _optimiser(network: nn.Module, recipe: Recipe, device: torch.device) -> torch.optim.Optimizer:
    """AdamW with a rate for each group of weights; frozen ones are left out."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        share = next((rate for prefix, rate in recipe.rates if name.startswith(prefix)), 1.0)
        parameter.requires_grad_(share > 0)
        if share > 0:
            groups.setdefault(share, []).append(parameter)
    return torch.optim.AdamW(
        [{"params": parameters, "share": share} for share, parameters in groups.items()],
        lr=recipe.rate,
        weight_decay=recipe.decay,
        # One launch for all weights instead of one for each; on a CPU it would only change the last digits.
        fused=device.type == "cuda",
    )


def _key(recipe: Recipe, task: Task, device: torch.device, start: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(recipe.model_dump_json().encode())
    digest.update(f"{task.content} {device} {torch.__version__}".encode())
    for name, value in start.items():
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _better(history: list[dict[str, float]], best: int, targets: Sequence[str]) -> bool:
    def mean(row: dict[str, float]) -> float:
        return float(np.mean([row[target] for target in targets]))

    return best == 0 or mean(history[-1]) > mean(history[best - 1])
