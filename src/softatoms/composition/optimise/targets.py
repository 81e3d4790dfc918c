"""What a composition is sought for: quantities of the relaxed structure and their targets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ...errors import OptionError, suggest
from ...units import GPA_PER_EV_ANG3

Quantity = Literal[
    "a", "b", "c", "volume", "bulk_modulus", "energy", "mixing_energy", "exchange_energy"
]
Goal = Literal["match", "minimise", "maximise"]

UNITS = {
    "a": "Å",
    "b": "Å",
    "c": "Å",
    "volume": "Å³/site",
    "bulk_modulus": "GPa",
    "energy": "eV/site",
    "mixing_energy": "eV/site",
    "exchange_energy": "eV",
}
"""Unit of every quantity."""

SCALES = {
    "a": 0.01,
    "b": 0.01,
    "c": 0.01,
    "volume": 0.1,
    "bulk_modulus": 1.0,
    "energy": 0.01,
    "mixing_energy": 0.01,
    "exchange_energy": 0.01,
}
"""Deviation of every quantity, in its unit, that costs as much as its weight."""

FACTORS = {"bulk_modulus": GPA_PER_EV_ANG3}
"""From eV and Å to the unit, where that is something else."""


@dataclass(frozen=True)
class Target:
    """One term of the objective.

    ``match`` costs weight × ((quantity − value)/scale)²; ``minimise`` and ``maximise`` cost
    ± weight × quantity/scale.

    Attributes:
        quantity: ``a``, ``b``, ``c`` (Å), ``volume`` (Å³ per site), ``bulk_modulus`` (GPa),
            ``energy``, ``mixing_energy`` (eV per site, against end members), or
            ``exchange_energy``: the change of the relaxed energy in eV when one site of a group
            changes from the second to the first of ``elements``.
        goal: What to do with it.
        value: Where it should be; for ``match``.
        weight: Factor of the term.
        scale: In the unit of the quantity; None takes that of ``SCALES``.
        elements: Two elements, for ``exchange_energy``.
        tie: Group of sites they are exchanged on; may be left out if there is one group only.
    """

    quantity: Quantity
    goal: Goal = "match"
    value: float | None = None
    weight: float = 1.0
    scale: float | None = None
    elements: tuple[str, str] | None = None
    tie: str | None = None

    def __post_init__(self) -> None:
        if self.quantity not in UNITS:
            raise OptionError(
                f"unknown quantity '{self.quantity}': {suggest(self.quantity, UNITS)}"
            )
        if self.goal not in ("match", "minimise", "maximise"):
            known = ("match", "minimise", "maximise")
            raise OptionError(f"unknown goal '{self.goal}': {suggest(self.goal, known)}")
        if (self.value is None) == (self.goal == "match"):
            needs = "needs a value" if self.value is None else "takes no value"
            raise OptionError(f"target {self.quantity}: {self.goal} {needs}")
        if self.value is not None and not math.isfinite(self.value):
            raise OptionError(f"target {self.quantity}: value must be a number, got {self.value}")
        for name, number in (("weight", self.weight), ("scale", self.unit_scale)):
            if not (math.isfinite(number) and number > 0):
                raise OptionError(f"target {self.quantity}: {name} must be above 0, got {number}")
        if (self.elements is None) == (self.quantity == "exchange_energy"):
            what = "needs two elements" if self.elements is None else "takes no elements"
            raise OptionError(f"target {self.quantity} {what}")

    @property
    def unit_scale(self) -> float:
        """The scale in the unit of the quantity."""
        return SCALES[self.quantity] if self.scale is None else self.scale

    @property
    def name(self) -> str:
        """Name of the quantity, exchanged elements included."""
        if self.elements is None:
            return self.quantity
        where = "" if self.tie is None else f"{self.tie}:"
        return f"{self.quantity} {where}{self.elements[0]}–{self.elements[1]}"

    def cost(self, quantity: float) -> tuple[float, float, float]:
        """Value, first and second derivative of the term by the quantity."""
        factor = self.weight / self.unit_scale
        if self.value is None:
            sign = 1.0 if self.goal == "minimise" else -1.0
            return sign * factor * quantity, sign * factor, 0.0
        away = (quantity - self.value) / self.unit_scale
        return self.weight * away**2, 2.0 * factor * away, 2.0 * factor / self.unit_scale
