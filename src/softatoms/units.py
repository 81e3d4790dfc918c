"""The only place with conversion factors.

softatoms works in eV, Å, fs, K and amu; velocities are in Å/fs, stresses in eV/Å³. ASE keeps the
same units except for time, where it uses Å·√(amu/eV). The constants are ASE's, so that a kinetic
energy computed here and one computed by ASE from the same atoms agree to the last digit.
"""

from __future__ import annotations

import ase.units
import numpy as np
from numpy.typing import NDArray

ASE_TIME_PER_FS: float = float(ase.units.fs)
"""One femtosecond in ASE's unit of time."""

FS_PER_ASE_TIME: float = 1.0 / ASE_TIME_PER_FS
"""ASE's unit of time in fs (about 10.18)."""

EV_PER_AMU_ANG2_FS2: float = FS_PER_ASE_TIME**2
"""Energy of m·v² with m in amu and v in Å/fs, in eV (about 103.64)."""

BOLTZMANN_EV_PER_K: float = float(ase.units.kB)

HBAR_EV_FS: float = float(ase.units._hbar * ase.units.J * 1e15)
"""Reduced Planck constant in eV fs (about 0.658), from its SI value."""

GPA_PER_EV_ANG3: float = 1.0 / float(ase.units.GPa)
"""Pressure of 1 eV/Å³ in GPa (about 160.2)."""

EV_PER_KJ_PER_MOL: float = float(ase.units.kJ / ase.units.mol)
"""One kJ/mol in eV (about 0.01036)."""

J_PER_M2_PER_EV_ANG2: float = float(ase.units.m) ** 2 / float(ase.units.J)
"""Surface energy of 1 eV/Å² in J/m² (about 16.02)."""

THZ_PER_ROOT_EV_AMU_ANG: float = 1000.0 * ASE_TIME_PER_FS / (2.0 * np.pi)
"""Frequency ω/2π of ω = 1 √(eV/amu)/Å in THz (about 15.63)."""

THZ_PER_INVERSE_FS: float = 1000.0
"""Frequency of 1/fs in THz."""

W_PER_M_K_PER_EV_FS_ANG_K: float = float(ase.units._e) * 1e25
"""Thermal conductivity of 1 eV/(fs Å K) in W/(m K) (about 1.602e6)."""


def velocity_from_ase(velocity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert a velocity from ASE's unit to Å/fs."""
    return velocity * ASE_TIME_PER_FS


def velocity_to_ase(velocity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert a velocity from Å/fs to ASE's unit."""
    return velocity * FS_PER_ASE_TIME
