"""Classical Helmholtz free energies of oscillators, Einstein crystals and centres of mass.

All are absolute: ħ is in eV fs and masses are converted, so that kT ln(ħω/kT) is no number in units
of its own. Particles sit in wells and are told apart by them; nothing is counted for exchanging
them. See ``docs/free-energies.md`` for the terms of the centre of mass.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import OptionError
from ..potentials.options import check_positive
from ..units import BOLTZMANN_EV_PER_K, EV_PER_AMU_ANG2_FS2, HBAR_EV_FS

Floats = NDArray[np.float64]


def oscillator_free_energies(stiffness: ArrayLike, masses: ArrayLike, temperature: float) -> Floats:
    """3 kT ln(ħω/kT) of three-dimensional classical oscillators, ω = √(k/m).

    Args:
        stiffness: Spring constants in eV/Å².
        masses: Masses in amu, of a shape that goes with it.
        temperature: In K.

    Returns:
        Free energy of each in eV.
    """
    springs = _positive(stiffness, "stiffness", "eV/Å²")
    weights = _positive(masses, "masses", "amu")
    thermal = thermal_energy(temperature)
    frequencies = np.sqrt(springs / (weights * EV_PER_AMU_ANG2_FS2))
    return 3.0 * thermal * np.log(HBAR_EV_FS * frequencies / thermal)


def einstein_free_energy(stiffness: ArrayLike, masses: ArrayLike, temperature: float) -> float:
    """Free energy of an Einstein crystal whose springs are fixed in space.

    Args:
        stiffness: Spring constant of each site in eV/Å², shape (n_sites,).
        masses: Mass of each site in amu, shape (n_sites,).
        temperature: In K.

    Returns:
        In eV.
    """
    return float(np.sum(oscillator_free_energies(stiffness, masses, temperature)))


def einstein_free_energy_at_rest(
    stiffness: ArrayLike, masses: ArrayLike, temperature: float
) -> float:
    """Free energy of an Einstein crystal whose centre of mass is held at its place and at rest.

    Position and momentum of the centre of mass are taken out of the partition function (Polson,
    Trizac, Pronk and Frenkel, J. Chem. Phys. 112, 5339 (2000), for any springs and masses). In the
    free crystal the centre of mass is spread with the variance kT Σ μ²/k along each axis,
    μ = m/M. What is left out is therefore one oscillator of the mass M and the frequency
    1/√(M Σ μ²/k).

    Args:
        stiffness: Spring constant of each site in eV/Å², shape (n_sites,).
        masses: Mass of each site in amu, shape (n_sites,).
        temperature: In K.

    Returns:
        In eV.
    """
    springs = _positive(stiffness, "stiffness", "eV/Å²")
    weights = _positive(masses, "masses", "amu")
    springs, weights = np.broadcast_arrays(springs, weights)
    total = float(np.sum(weights))
    centre = 1.0 / np.sum((weights / total) ** 2 / springs)
    whole = einstein_free_energy(springs, weights, temperature)
    return whole - einstein_free_energy(centre, total, temperature)


def centre_of_mass_free_energy(mass: float, volume: float, temperature: float) -> float:
    """−kT ln[v (2πMkT/h²)^(3/2)]: a free particle of the mass of the crystal.

    Args:
        mass: Total mass M in amu.
        volume: Volume v in Å³ in which the centre of mass is: that of one primitive cell, as a
            crystal moved by a lattice vector is the same crystal.
        temperature: In K.

    Returns:
        In eV.
    """
    thermal = thermal_energy(temperature)
    converted = check_positive(mass, "mass") * EV_PER_AMU_ANG2_FS2
    # h = 2πħ, so 2πMkT/h² = MkT/(2πħ²).
    wave = converted * thermal / (2.0 * np.pi * HBAR_EV_FS**2)
    return -thermal * float(np.log(check_positive(volume, "volume")) + 1.5 * np.log(wave))


def thermal_energy(temperature: float) -> float:
    """Thermal energy kT in eV at a temperature in K."""
    return BOLTZMANN_EV_PER_K * check_positive(temperature, "temperature")


def _positive(given: ArrayLike, name: str, unit: str) -> Floats:
    values = np.asarray(given, dtype=np.float64)
    if values.size == 0 or not np.isfinite(values).all() or (values <= 0.0).any():
        raise OptionError(f"{name} must be positive numbers ({unit}), got {given!r}")
    return values
