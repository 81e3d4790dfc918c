"""Weights as a function of time: θ(t) = (1 − λ) θ_start + λ θ_end with λ = λ(step)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from ..errors import OptionError, suggest
from ..potentials.options import check_finite, check_whole
from ..weight_groups import WEIGHT_TOLERANCE
from .tethers import check_ends

if TYPE_CHECKING:
    from ..structure import SoftAtoms

Switching = Literal["smooth", "linear", "constant"]


def _smooth(s: float) -> float:
    return s**5 * (70.0 * s**4 - 315.0 * s**3 + 540.0 * s**2 - 420.0 * s + 126.0)


_FUNCTIONS: dict[Switching, Callable[[float], float]] = {"smooth": _smooth, "linear": lambda s: s}


@dataclass(frozen=True)
class Schedule:
    """How the weights of one system change.

    Attributes:
        start: Weights θ at λ = 0, shape (n_parameters,).
        end: Weights θ at λ = 1, shape (n_parameters,).
        n_steps: Steps from one to the other; what comes later stays at λ = 1.
        function: λ(s) with s the part of the steps that has passed: ``smooth`` for
            s⁵ (70 s⁴ − 315 s³ + 540 s² − 420 s + 126), whose first four derivatives vanish at both
            ends, ``linear`` for s, ``constant`` for λ = ``at`` all the time.
        at: λ of a constant schedule.
        delay: Steps at λ = 0 before the switching starts.
        backward: Run from λ = 1 to λ = 0 instead.
        scale: Factor of the whole potential at λ = 0 and at λ = 1.
    """

    start: tuple[float, ...]
    end: tuple[float, ...]
    n_steps: int = 0
    function: Switching = "smooth"
    at: float = 0.0
    delay: int = 0
    backward: bool = False
    scale: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            object.__setattr__(self, name, _weights(getattr(self, name), name))
        if len(self.start) != len(self.end):
            raise OptionError(
                f"schedule: start and end must have one weight each per entry of weight_labels, "
                f"got {len(self.start)} and {len(self.end)}"
            )
        if self.function not in get_args(Switching):
            raise OptionError(
                f"schedule: unknown function '{self.function}': "
                f"{suggest(self.function, get_args(Switching))}"
            )
        least = {"delay": 0, "n_steps": 0 if self.function == "constant" else 1}
        for name, lowest in least.items():
            value = check_whole(getattr(self, name), f"schedule: {name}", least=lowest)
            object.__setattr__(self, name, value)
        object.__setattr__(self, "scale", check_ends(self.scale, "schedule: scale"))
        object.__setattr__(self, "at", check_finite(self.at, "schedule: at"))
        if not 0.0 <= self.at <= 1.0:
            raise OptionError(f"schedule: at must lie between 0 and 1, got {self.at!r}")

    @property
    def changes(self) -> bool:
        """Whether λ is anything but constant."""
        return self.function != "constant"

    def value(self, step: int) -> float:
        """λ at a step."""
        if self.function == "constant":
            return self.at
        passed = min(max((step - self.delay) / self.n_steps, 0.0), 1.0)
        return _FUNCTIONS[self.function](1.0 - passed if self.backward else passed)

    def reversed(self) -> Schedule:
        """The same path run the other way."""
        return replace(self, backward=not self.backward)

    def check_fits(self, soft: SoftAtoms, where: str) -> None:
        """Raise unless the weights are those of a structure.

        Raises:
            OptionError: Naming the structure.
        """
        expected = len(soft.groups.theta)
        if len(self.start) != expected:
            raise OptionError(
                f"schedule of {where} has {len(self.start)} weights, the structure has {expected} "
                f"({', '.join(soft.weight_labels) or 'no soft site'})"
            )
        for name, values in (("start", self.start), ("end", self.end)):
            sums = np.bincount(soft.groups.parameter_group, weights=np.array(values))
            if sums.size and sums.max() > 1.0 + WEIGHT_TOLERANCE:
                raise OptionError(
                    f"schedule of {where}: weights of one site sum to {sums.max():g} at its {name},"
                    " more than 1"
                )


def _weights(given: Any, name: str) -> tuple[float, ...]:
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.full((1, 1), np.nan)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise OptionError(f"schedule: {name} must be a list of weights, got {given!r}")
    if ((values < -WEIGHT_TOLERANCE) | (values > 1.0 + WEIGHT_TOLERANCE)).any():
        raise OptionError(f"schedule: {name} has weights outside [0, 1]: {values.tolist()}")
    return tuple(values.tolist())
