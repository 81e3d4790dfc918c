"""From free energies of crystals to those of forming defects and of changing a composition.

All at one cell, that of the perfect crystal at its pressure P, so G = F + PV differs from F by the
same PV for crystals with and without the defect. What a crystal with a defect would gain by
relaxing its volume is of second order, B ΔV²/(2V), and vanishes with the size of the supercell; so
does what its images do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..potentials.options import check_whole


@dataclass(frozen=True)
class Known:
    """A number with its standard error.

    Attributes:
        value: In eV.
        stderr: Standard error in eV.
    """

    value: float
    stderr: float = 0.0

    def __add__(self, other: Known) -> Known:
        return Known(self.value + other.value, float(np.hypot(self.stderr, other.stderr)))

    def __sub__(self, other: Known) -> Known:
        return self + other.scaled(-1.0)

    def scaled(self, factor: float) -> Known:
        """A multiple of it."""
        return Known(factor * self.value, abs(factor) * self.stderr)


def formation(
    change: Known, removed: Mapping[str, int], chemical_potentials: Mapping[str, Known]
) -> Known:
    """Free energy of forming a defect in eV.

    Args:
        change: F(with the defect) − F(perfect), of independent simulations.
        removed: Atoms of each element that were taken out; negative if put in.
        chemical_potentials: Free energy of an atom of each element where it went.
    """
    total = change
    for element, count in removed.items():
        total = total + chemical_potentials[element].scaled(count)
    return total


def vacancy_from_removal(change: Known, perfect: Known, n_atoms: int, work: float = 0.0) -> Known:
    """G of a vacancy in an elemental crystal from the alchemical path in eV.

    G_vac = [F(N−1) − F(N)] + [F(N) + PV]/N. The absolute F(N) enters by 1/N: an error of 1 meV per
    atom in F(N)/N is one of 1 meV in G_vac, and it is the only absolute number that is needed.

    Args:
        change: F(N−1) − F(N), the value of a ``removal``.
        perfect: F(N), the value of ``frenkel_ladd`` of the perfect crystal.
        n_atoms: N.
        work: PV of the perfect crystal in eV.
    """
    count = check_whole(n_atoms, "n_atoms", least=2)
    return change + perfect.scaled(1.0 / count) + Known(work / count)


def vacancy_from_crystals(
    defective: Known, perfect: Known, n_atoms: int, work: float = 0.0
) -> Known:
    """G of a vacancy from two full Frenkel–Ladd paths in eV: F(N−1) − (N−1)/N F(N) + PV/N.

    Args:
        defective: F(N−1).
        perfect: F(N).
        n_atoms: N.
        work: PV of the perfect crystal in eV.
    """
    count = check_whole(n_atoms, "n_atoms", least=2)
    return defective - perfect.scaled((count - 1) / count) + Known(work / count)
