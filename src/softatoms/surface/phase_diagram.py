"""Which of several surface structures is the most stable, as a function of a chemical potential.

Ω/A of a structure is a straight line in Δμ: its slope is minus the number of atoms from the
reservoir per area. The stable structures are the lower envelope of the lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from .thermochemistry import Gas, delta_mu

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """Ω per area of one structure.

    Attributes:
        name: Of the structure.
        omega: Ω/A in eV/Å² at Δμ = 0.
        excess: Atoms taken from the reservoir per area, in 1/Å².
    """

    name: str
    omega: float
    excess: float

    def at(self, delta_mu_ev: Floats | float) -> Floats:
        """Ω/A in eV/Å² at Δμ in eV."""
        return np.asarray(self.omega - self.excess * np.asarray(delta_mu_ev), dtype=np.float64)


@dataclass(frozen=True)
class Window:
    """Where a structure is the most stable one.

    Attributes:
        name: Of the structure.
        low: Lower end in eV.
        high: Upper end in eV.
    """

    name: str
    low: float
    high: float


def stable_windows(lines: Sequence[Line], low: float, high: float) -> list[Window]:
    """Stable structures from the lowest to the highest Δμ, with the ends of their windows.

    Of structures with equal lines the first one counts.

    Args:
        lines: The structures.
        low: Lowest Δμ in eV.
        high: Highest Δμ in eV.
    """
    if not lines:
        raise OptionError("a phase diagram needs at least one structure")
    if not low < high:
        raise OptionError(f"Δμ must go from a lower to a higher value, got {low:g} to {high:g} eV")
    windows: list[Window] = []
    # At the lowest Δμ the lowest line, of equal ones that which falls fastest.
    current = min(lines, key=lambda line: (float(line.at(low)), -line.excess))
    begin = low
    while True:
        steeper = [line for line in lines if line.excess > current.excess]
        crossings = [
            ((line.omega - current.omega) / (line.excess - current.excess), -line.excess, line)
            for line in steeper
        ]
        ahead = [one for one in crossings if one[0] < high]
        if not ahead:
            windows.append(Window(current.name, begin, high))
            return windows
        crossing, _, following = min(ahead, key=lambda one: one[:2])
        if crossing > begin:
            windows.append(Window(current.name, begin, crossing))
        current, begin = following, max(crossing, begin)


def stable_at(lines: Sequence[Line], delta_mu_ev: Floats) -> NDArray[np.int64]:
    """Index of the most stable structure at each Δμ in eV."""
    values = np.stack([line.at(delta_mu_ev) for line in lines])
    return np.asarray(values.argmin(axis=0), dtype=np.int64)


def stable_in_gas(
    lines: Sequence[Line], gas: Gas, temperatures_k: Floats, pressures_bar: Floats
) -> NDArray[np.int64]:
    """Index of the most stable structure at temperatures and pressures.

    Args:
        lines: The structures.
        gas: The reservoir.
        temperatures_k: Shape (n_temperatures,).
        pressures_bar: Shape (n_pressures,).

    Returns:
        Shape (n_temperatures, n_pressures).
    """
    potentials = np.array(
        [[delta_mu(gas, t, p) for p in pressures_bar.tolist()] for t in temperatures_k.tolist()]
    )
    return stable_at(lines, potentials.ravel()).reshape(potentials.shape)
