"""Energies of single atoms that depend on where they are: traps and walls.

They are no part of a potential, which sees vectors between neighbours only. An atom of weight w
feels w times the energy of a whole one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import OptionError


class External(Protocol):
    """An energy of every atom by itself."""

    def energies(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Energy of a whole atom at each position in eV.

        Args:
            positions: Positions in Å, shape (n, 3).

        Returns:
            Energies, shape (n,).
        """

    def gradients(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Derivatives of :meth:`energies` by the positions in eV/Å, shape (n, 3)."""


@dataclass(frozen=True)
class HarmonicTrap:
    """½ k |r − centre|².

    Attributes:
        stiffness: k in eV/Å².
        centre: Where the energy is 0, in Å.
    """

    stiffness: float
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if not np.isfinite(self.stiffness) or self.stiffness < 0.0:
            raise OptionError(f"stiffness must be a number of at least 0, got {self.stiffness!r}")

    def energies(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """See :meth:`External.energies`."""
        away = positions - np.asarray(self.centre)
        energies: NDArray[np.float64] = 0.5 * self.stiffness * (away**2).sum(axis=1)
        return energies

    def gradients(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """See :meth:`External.gradients`."""
        gradients: NDArray[np.float64] = self.stiffness * (positions - np.asarray(self.centre))
        return gradients
