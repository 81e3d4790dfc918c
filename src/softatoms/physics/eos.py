"""Equation of state: energy by volume, and what a Birch–Murnaghan fit makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from ..errors import OptionError
from ..units import GPA_PER_EV_ANG3
from .crystals import DEFAULT, Floats, Settings, relax_all, rest, strained, symmetry
from .errors import PhysicsError

if TYPE_CHECKING:
    from ..potentials.base import Potential
    from ..structure import SoftAtoms

VOLUMES = (0.96, 0.97, 0.98, 0.99, 1.0, 1.01, 1.02, 1.03, 1.04)
"""Volumes of the fit relative to that at rest."""

PARAMETERS = 4
"""Numbers that the fit determines."""


@dataclass(frozen=True)
class BirchMurnaghan:
    """A fit of E(V) to third order in V^(−2/3).

    Attributes:
        volume: Volume of lowest energy in Å³.
        energy: Energy there in eV.
        bulk_modulus: V d²E/dV² there in eV/Å³.
        derivative: dB/dP there.
        residual: Root mean square deviation of the energies in eV.
    """

    volume: float
    energy: float
    bulk_modulus: float
    derivative: float
    residual: float


@dataclass(frozen=True)
class EquationOfState:
    """Equation of state of one crystal.

    Attributes:
        soft: The crystal at rest.
        a: Lattice parameter of the conventional cell in Å if the crystal is cubic, else nan.
        n_sites: Sites of the cell.
        volume: Volume of the cell at rest by the fit in Å³.
        energy: Energy of the cell at rest by the fit in eV.
        bulk_modulus: At fixed shape of the cell, in eV/Å³.
        derivative: dB/dP.
        residual: Root mean square deviation of the fit in eV per cell.
        volumes: Volumes of the cell in Å³, shape (n_volumes,).
        energies: Energies of the cell with relaxed positions in eV, shape (n_volumes,).
    """

    soft: SoftAtoms
    a: float
    n_sites: int
    volume: float
    energy: float
    bulk_modulus: float
    derivative: float
    residual: float
    volumes: Floats
    energies: Floats

    @property
    def bulk_modulus_gpa(self) -> float:
        """Bulk modulus in GPa."""
        return self.bulk_modulus * GPA_PER_EV_ANG3


def fit_birch_murnaghan(volumes: ArrayLike, energies: ArrayLike) -> BirchMurnaghan:
    """Fit an equation of state.

    To third order it is a cubic polynomial in V^(−2/3), so the least-squares fit is linear and
    needs no start.

    Args:
        volumes: In Å³, shape (n,).
        energies: In eV, shape (n,).

    Raises:
        OptionError: If there are too few points.
        PhysicsError: If the energies have no minimum between the volumes.
    """
    v, e = np.asarray(volumes, dtype=np.float64), np.asarray(energies, dtype=np.float64)
    if v.ndim != 1 or v.shape != e.shape or len(np.unique(v)) < PARAMETERS + 1:
        raise OptionError(
            f"an equation of state needs at least {PARAMETERS + 1} different volumes with one "
            f"energy each, got shapes {v.shape} and {e.shape}"
        )
    if not (np.isfinite(v).all() and np.isfinite(e).all() and (v > 0).all()):
        raise OptionError("volumes must be positive and energies finite")
    middle, level = float(np.median(v)), float(e.mean())
    # Around 1 and without the large offset, the normal equations keep their digits.
    t = (v / middle) ** (-2.0 / 3.0) - 1.0
    c0, c1, c2, c3 = np.linalg.lstsq(np.vander(t, PARAMETERS, increasing=True), e - level)[0]
    roots = np.roots([3.0 * c3, 2.0 * c2, c1])
    real = roots[np.abs(roots.imag) < 1e-9].real
    inside = [
        float(root)
        for root in real
        if t.min() <= root <= t.max() and 2.0 * c2 + 6.0 * c3 * root > 0.0
    ]
    if not inside:
        raise PhysicsError("the energies have no minimum between the volumes")
    best = inside[0]
    x = 1.0 + best
    volume = middle * x**-1.5
    curvature = 2.0 * c2 + 6.0 * c3 * best
    bulk_modulus = float(4.0 / 9.0 * curvature * x * x / volume)
    predicted = np.polynomial.polynomial.polyval(t, [c0, c1, c2, c3])
    return BirchMurnaghan(
        volume=volume,
        energy=level + float(np.polynomial.polynomial.polyval(best, [c0, c1, c2, c3])),
        bulk_modulus=bulk_modulus,
        derivative=float(4.0 + 16.0 / 9.0 * c3 * x**3 / (volume * bulk_modulus)),
        residual=float(np.sqrt(np.mean((predicted - (e - level)) ** 2))),
    )


def equation_of_state(
    potential: Potential,
    crystal: SoftAtoms | Atoms,
    *,
    volumes: Sequence[float] = VOLUMES,
    settings: Settings = DEFAULT,
) -> EquationOfState:
    """Energy of a crystal by its volume; sites are relaxed, the shape is that at rest.

    Args:
        potential: The energy function.
        crystal: Where to start; it is brought to rest first.
        volumes: Volumes relative to that at rest.
        settings: Tolerances and precision.

    Raises:
        PhysicsError: If the crystal does not come to rest, or has no minimum.
    """
    ratios = np.asarray(volumes, dtype=np.float64)
    if ratios.ndim != 1 or not (np.isfinite(ratios).all() and (ratios > 0).all()):
        raise OptionError(f"volumes must be positive ratios, got {volumes!r}")
    soft = rest(potential, crystal, settings).soft
    systems = [strained(soft, np.eye(3) * ratio ** (1.0 / 3.0)) for ratio in ratios]
    done = relax_all(potential, systems, settings, what="volume")
    sizes = ratios * abs(np.linalg.det(soft.cell))
    energies = np.array([result.energy for result in done])
    fit = fit_birch_murnaghan(sizes, energies)
    return EquationOfState(
        soft=soft,
        a=lattice_parameter(soft, fit.volume),
        n_sites=len(soft),
        volume=fit.volume,
        energy=fit.energy,
        bulk_modulus=fit.bulk_modulus,
        derivative=fit.derivative,
        residual=fit.residual,
        volumes=sizes,
        energies=energies,
    )


def lattice_parameter(soft: SoftAtoms, volume: float) -> float:
    """Cubic lattice parameter in Å when the cell of a crystal has a volume in Å³; else nan."""
    found = symmetry(soft)
    if not found.is_cubic:
        return float("nan")
    return float((volume * found.cells_per_cube) ** (1.0 / 3.0))
