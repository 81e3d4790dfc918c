"""Free energies of crystals as sums of harmonic vibrations, the control of all sampled ones.

The modes are those that fit into a supercell: 3N − 3 vibrations, and the centre of mass, which is a
free particle in one primitive cell (``einstein.centre_of_mass_free_energy``). With that an absolute
free energy is the same quantity as one from a full path to an Einstein crystal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..errors import OptionError
from ..evaluation import evaluate
from ..physics.crystals import DEFAULT, Floats, Settings, as_crystal, checked_repeat, rest
from ..physics.errors import PhysicsError
from ..physics.phonons import TRANSLATIONS
from ..units import EV_PER_AMU_ANG2_FS2, HBAR_EV_FS
from .einstein import centre_of_mass_free_energy, thermal_energy
from .hessian import crystal_hessian, smooth_hessian_rows

if TYPE_CHECKING:
    from ase import Atoms

    from ..potentials.base import Potential
    from ..structure import SoftAtoms

Statistics = Literal["classical", "quantum"]

LARGEST_DRIFT = 1e-3
"""Largest force in eV/Å² that a common translation may cost before it is taken out; more means
that the energy is no function of distances alone or is too rough."""

_FLAT = 1e-6
"""ħω in eV below which a mode counts as no vibration (0.24 GHz)."""


@dataclass(frozen=True)
class Vibrations:
    """Harmonic vibrations of one crystal, perfect or not, in its supercell.

    Attributes:
        energy: Energy at rest in eV.
        quanta: ħω of the vibrations in eV, ascending, shape (3 n_sites − 3,).
        n_sites: Sites.
        mass: Of all sites in amu.
        drift: Largest force in eV/Å² that a common translation cost, before it was taken out.
        is_smooth: Whether second derivatives are from automatic differentiation; otherwise from
            differences of forces, as they were not smooth enough.
    """

    energy: float
    quanta: Floats
    n_sites: int
    mass: float
    drift: float
    is_smooth: bool = True

    def vibrational(self, temperature: float, statistics: Statistics = "classical") -> float:
        """Free energy of the vibrations alone in eV.

        Args:
            temperature: In K.
            statistics: ``classical`` for Σ kT ln(ħω/kT), ``quantum`` for the zero-point energy
                and Bose–Einstein occupations.
        """
        thermal = thermal_energy(temperature)
        ratio = self.quanta / thermal
        if statistics == "classical":
            return thermal * float(np.log(ratio).sum())
        if statistics != "quantum":
            raise OptionError(f"statistics must be classical or quantum, got {statistics!r}")
        return float((0.5 * self.quanta + thermal * np.log(-np.expm1(-ratio))).sum())

    def free_energy(
        self, temperature: float, *, cell_volume: float, statistics: Statistics = "classical"
    ) -> float:
        """Absolute Helmholtz free energy in eV, the centre of mass included.

        Args:
            temperature: In K.
            cell_volume: Volume of one primitive cell of the perfect crystal in Å³.
            statistics: Of the vibrations.
        """
        centre = centre_of_mass_free_energy(self.mass, cell_volume, temperature)
        return self.energy + self.vibrational(temperature, statistics) + centre


def vibrations(
    potential: Potential,
    soft: SoftAtoms,
    *,
    energy: float,
    settings: Settings = DEFAULT,
    first_cell: int | None = None,
    repeat: Sequence[int] = (1, 1, 1),
) -> Vibrations:
    """Vibrations of a structure at rest.

    Args:
        potential: The energy function.
        soft: The structure.
        energy: Its energy in eV.
        settings: Precision.
        first_cell: Number of sites of the first cell, if the structure is a perfect supercell:
            second derivatives of these sites give all others.
        repeat: Repetitions of that cell.

    Raises:
        PhysicsError: If a mode costs no energy or releases some, or the structure can be moved
            as a whole only at the cost of forces.
    """
    if len(soft) < 2:
        raise OptionError("a crystal of one site has no vibrations: raise repeat")
    sites = None if first_cell is None else range(first_cell)
    rows, is_smooth = smooth_hessian_rows(potential, soft, sites=sites, **settings.evaluation())
    size = 3 * len(soft)
    if first_cell is None:
        matrix = rows.reshape(size, size)
    else:
        matrix = crystal_hessian(rows, repeat, first_cell)
    masses = np.zeros(len(soft))
    np.add.at(masses, soft.node_site, soft.node_weight * soft.node_mass)
    if not (masses > 0.0).all():
        raise PhysicsError("a site without mass has no frequency")
    quanta, drift = _quanta(0.5 * (matrix + matrix.T), masses)
    return Vibrations(energy, quanta, len(soft), float(masses.sum()), drift, is_smooth)


def perfect_crystal(
    potential: Potential,
    crystal: SoftAtoms | Atoms,
    *,
    repeat: Sequence[int],
    relax: bool = True,
    settings: Settings = DEFAULT,
) -> tuple[SoftAtoms, Vibrations]:
    """Vibrations of a perfect supercell, from the second derivatives of one cell.

    Args:
        potential: The energy function.
        crystal: The cell to repeat.
        repeat: Repetitions.
        relax: Whether to bring the crystal to rest first; otherwise it has to be at rest but for
            its stress.
        settings: Tolerances and precision.

    Returns:
        The cell that was repeated, and its vibrations.
    """
    counts = checked_repeat(repeat)
    soft = rest(potential, crystal, settings).soft if relax else as_crystal(crystal)
    large = soft.repeat(counts)
    energy = float(evaluate(potential, soft, properties=(), **settings.evaluation()).energy)
    found = vibrations(
        potential,
        large,
        energy=energy * int(np.prod(counts)),
        settings=settings,
        first_cell=len(soft),
        repeat=counts,
    )
    return soft, found


def _quanta(matrix: Floats, masses: Floats) -> tuple[Floats, float]:
    """ħω of the vibrations in eV, and the largest force of a common translation in eV/Å²."""
    count = len(masses)
    together = np.tile(np.eye(3), (count, 1))
    drift = float(np.abs(matrix @ together).max())
    if drift > LARGEST_DRIFT:
        raise PhysicsError(
            f"moving the crystal as a whole costs {drift:.2g} eV/Å²: second derivatives are not "
            "reliable in this precision"
        )
    # A motion u of equal displacements is √m u in these coordinates: it is projected out exactly.
    root = np.repeat(np.sqrt(masses), 3)
    uniform, _ = np.linalg.qr(root[:, None] * together)
    dynamical = matrix / root[:, None] / root
    across = dynamical - uniform @ (uniform.T @ dynamical)
    across -= (across @ uniform) @ uniform.T
    # The three translations go to the top of the spectrum, out of the way of everything soft.
    height = 2.0 * float(np.abs(across).sum(axis=1).max())
    squares = np.linalg.eigvalsh(0.5 * (across + across.T) + height * (uniform @ uniform.T))
    squares = squares[: 3 * count - TRANSLATIONS]
    quanta = HBAR_EV_FS * np.sqrt(np.maximum(squares, 0.0) / EV_PER_AMU_ANG2_FS2)
    if quanta.min() < _FLAT:
        lost = int((quanta < _FLAT).sum())
        raise PhysicsError(
            f"{lost} of {len(quanta)} vibrations have no restoring force: the structure is no "
            "minimum of the energy"
        )
    return quanta, drift
