"""What moves the parameters: optimiser, learning rate, running average."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import OptionError
from .settings import TrainingSettings


def make_optimiser(
    parameters: Sequence[nn.Parameter],
    settings: TrainingSettings,
    sizes: Sequence[float] | None = None,
) -> torch.optim.Optimizer:
    """The optimiser that the settings ask for.

    Args:
        parameters: What to optimise.
        settings: How.
        sizes: Unit in which each tensor of parameters is to be moved; its gradient has to be given
            by the tensor in this unit. All are moved in the same if None.
    """
    kind = torch.optim.AdamW if settings.optimiser == "adamw" else torch.optim.Adam
    rest: dict[str, Any] = {"lr": settings.learning_rate, "amsgrad": False}
    if sizes is None:
        return kind(parameters, weight_decay=settings.weight_decay, **rest)
    groups = [
        {"params": [parameter], "size": size, "weight_decay": settings.weight_decay / size}
        for parameter, size in zip(parameters, sizes, strict=True)
    ]
    return kind(groups, **rest)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give an optimiser a learning rate, in the unit of each tensor where there are such."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("size", 1.0)


def sizes_of(parameters: Sequence[nn.Parameter]) -> list[float]:
    """Root mean square of each tensor of parameters; 1 where all are 0."""
    roots = [parameter.detach().double().square().mean().sqrt() for parameter in parameters]
    return [float(root) or 1.0 for root in roots]


def clip(
    parameters: Sequence[nn.Parameter], largest: float | None, sizes: Sequence[float] | None = None
) -> float:
    """Cut the gradient to a norm, after it is turned into one by tensors in units of their sizes.

    Returns:
        The norm before.
    """
    if sizes is not None:
        for parameter, size in zip(parameters, sizes, strict=True):
            if parameter.grad is not None:
                parameter.grad *= size
    return float(nn.utils.clip_grad_norm_(parameters, largest or math.inf))


def frozen_names(names: Sequence[str], patterns: Sequence[str]) -> set[str]:
    """Names of parameters that patterns fit.

    Raises:
        OptionError: If a pattern fits none, or nothing is left to train.
    """
    found: set[str] = set()
    for pattern in patterns:
        own = [name for name in names if fnmatchcase(name, pattern)]
        if not own:
            raise OptionError(
                f"frozen: '{pattern}' fits no parameter; there are {', '.join(names)}"
            )
        found.update(own)
    if len(found) == len(names) > 0:
        raise OptionError("frozen: fits all parameters, so that nothing is left to train")
    return found


def optimiser_tensors(
    optimiser: torch.optim.Optimizer, names: Sequence[str], parameters: Sequence[nn.Parameter]
) -> dict[str, Tensor]:
    """The state of an optimiser, by name of the parameter and of the quantity."""
    return {
        f"{name}/{key}": value
        for name, parameter in zip(names, parameters, strict=True)
        for key, value in optimiser.state[parameter].items()
    }


def restore_optimiser(
    optimiser: torch.optim.Optimizer,
    names: Sequence[str],
    parameters: Sequence[nn.Parameter],
    tensors: Mapping[str, Tensor],
) -> None:
    """Put back what :func:`optimiser_tensors` gave."""
    for name, parameter in zip(names, parameters, strict=True):
        prefix = f"{name}/"
        optimiser.state[parameter] = {
            # Adam counts its steps on the CPU.
            key.removeprefix(prefix): value.clone()
            if value.dim() == 0
            else value.to(parameter.device, copy=True)
            for key, value in tensors.items()
            if key.startswith(prefix)
        }


class LearningRate:
    """The learning rate as a function of progress, and of the validation loss on a plateau.

    Args:
        settings: What to do.
    """

    def __init__(self, settings: TrainingSettings) -> None:
        self._settings = settings
        self._factor = 1.0
        self._best = math.inf
        self._without_gain = 0

    def rate(self, epochs: float) -> float:
        """Learning rate after this many epochs, parts of one included."""
        settings = self._settings
        if epochs < settings.warm_up:
            return settings.learning_rate * max(epochs / settings.warm_up, 1e-3)
        if settings.schedule == "plateau":
            return settings.learning_rate * max(self._factor, settings.smallest_rate)
        if settings.schedule == "constant":
            return settings.learning_rate
        whole = max(settings.epochs - settings.warm_up, 1e-9)
        turn = 0.5 * (1.0 + math.cos(math.pi * min((epochs - settings.warm_up) / whole, 1.0)))
        return settings.learning_rate * (
            settings.smallest_rate + (1.0 - settings.smallest_rate) * turn
        )

    def epoch_done(self, loss: float) -> None:
        """Take note of the loss after an epoch."""
        if loss < self._best:
            self._best, self._without_gain = loss, 0
            return
        self._without_gain += 1
        if self._without_gain >= self._settings.plateau_epochs:
            self._factor *= self._settings.plateau_factor
            self._without_gain = 0

    def state(self) -> list[float]:
        """What has to be kept to go on."""
        return [self._factor, self._best, float(self._without_gain)]

    def restore(self, state: Sequence[float]) -> None:
        """Put back what :meth:`state` gave."""
        self._factor, self._best, without = state
        self._without_gain = int(without)


class RunningAverage:
    """Exponential moving average of parameters.

    It starts as the parameters are and forgets fast at first: the decay of step t is
    min(decay, (1 + t) / (10 + t)).

    Args:
        parameters: What to average.
        decay: Decay per step; 0 repeats the parameters.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        self._decay = decay
        self.values = [parameter.detach().clone() for parameter in parameters]

    @torch.no_grad()
    def update(self, parameters: Sequence[nn.Parameter], step: int) -> None:
        """Take in the parameters after a step, counted from 1."""
        decay = min(self._decay, (1.0 + step) / (10.0 + step)) if self._decay else 0.0
        for value, parameter in zip(self.values, parameters, strict=True):
            value.lerp_(parameter, 1.0 - decay)


@torch.no_grad()
def copy_into(parameters: Sequence[nn.Parameter], values: Sequence[Tensor]) -> None:
    """Give parameters these values."""
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)
