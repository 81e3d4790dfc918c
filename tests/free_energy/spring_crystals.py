"""Crystals of springs, whose free energies are known exactly."""

from __future__ import annotations

import numpy as np
from ase.build import bulk

import softatoms as sa
from softatoms.free_energy.einstein import thermal_energy
from softatoms.free_energy.paths import site_masses
from softatoms.units import EV_PER_AMU_ANG2_FS2, HBAR_EV_FS

A = 4.05
STIFFNESS = {"Al": 2.0, "Sc": 4.0}


def springs() -> sa.Potential:
    return sa.load_potential("harmonic", lattice="fcc", a=A, stiffness=STIFFNESS)


def crystal(element: str = "Al") -> sa.SoftAtoms:
    """Eight atoms; no spring reaches from a site to its own image."""
    return sa.SoftAtoms.from_ase(bulk(element, "fcc", a=A) * (2, 2, 2))


CELL_VOLUME = A**3 / 4.0


def force_constants(soft: sa.SoftAtoms, potential: sa.Potential) -> np.ndarray:
    """Second derivatives in eV/Å²; differences of forces that are linear are exact."""
    rows, step = [], 1e-2
    for index in range(3 * len(soft)):
        moved = soft.positions.copy()
        moved.ravel()[index] += step
        out = sa.evaluate(potential, soft.with_positions(moved), properties=("forces",))
        assert out.forces is not None
        rows.append(-out.forces.numpy().ravel() / step)
    return np.stack(rows)


def exact_free_energy(soft: sa.SoftAtoms, temperature: float) -> float:
    """F in eV by the integral over all positions, the centre of mass within one primitive cell.

    ∫ dr e^(−U/kT) = v N^(3/2) Π (2πkT/λ)^(1/2) over the eigenvalues λ > 0 of the force constants,
    divided by one thermal wavelength per momentum.
    """
    thermal = thermal_energy(temperature)
    values = np.linalg.eigvalsh(force_constants(soft, springs()))
    assert (values[:3] < 1e-9).all()
    assert values[3] > 1e-3
    positions = np.log(CELL_VOLUME) + 1.5 * np.log(len(soft))
    positions += 0.5 * np.log(2.0 * np.pi * thermal / values[3:]).sum()
    waves = 2.0 * np.pi * HBAR_EV_FS
    waves = waves / np.sqrt(2.0 * np.pi * thermal * site_masses(soft) * EV_PER_AMU_ANG2_FS2)
    return float(-thermal * (positions - 3.0 * np.log(waves).sum()))
