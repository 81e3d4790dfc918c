"""Absolute free energies of oscillators, against formulas written out in SI units."""

from __future__ import annotations

import math

import numpy as np
import pytest
from ase.units import create_units

from softatoms.errors import OptionError
from softatoms.free_energy.einstein import (
    centre_of_mass_free_energy,
    einstein_free_energy,
    einstein_free_energy_at_rest,
    oscillator_free_energies,
)
from softatoms.units import BOLTZMANN_EV_PER_K, HBAR_EV_FS

# CODATA 2014, which ASE takes by default.
PLANCK, ELECTRON, BOLTZMANN = 6.626070040e-34, 1.6021766208e-19, 1.38064852e-23
DALTON = 1.660539040e-27


def in_si(stiffness: float, mass: float, temperature: float) -> float:
    """3 kT ln(hν/kT) in eV, from N/m, kg and Hz."""
    frequency = math.sqrt(stiffness * ELECTRON / 1e-20 / (mass * DALTON)) / (2.0 * math.pi)
    thermal = BOLTZMANN * temperature
    return 3.0 * thermal * math.log(PLANCK * frequency / thermal) / ELECTRON


def test_the_constants_of_the_test_are_those_of_ase() -> None:
    table = create_units("2014")
    assert (table["_hplanck"], table["_e"], table["_k"], table["_amu"]) == (
        PLANCK,
        ELECTRON,
        BOLTZMANN,
        DALTON,
    )
    assert pytest.approx(0.6582119514, rel=1e-9, abs=0.0) == HBAR_EV_FS


@pytest.mark.parametrize(
    ("stiffness", "mass", "temperature"), [(4.1, 55.845, 50.0), (0.3, 196.97, 900.0)]
)
def test_an_oscillator_has_its_absolute_free_energy(
    stiffness: float, mass: float, temperature: float
) -> None:
    found = float(oscillator_free_energies(stiffness, mass, temperature))
    assert found == pytest.approx(in_si(stiffness, mass, temperature), rel=1e-10, abs=0.0)
    # Springs of some eV/Å² are 1 to 10 THz: at these temperatures a classical one is near ħω = kT,
    # far from the 236 kT that a wrong unit of ħ makes.
    assert abs(found) < 15.0 * BOLTZMANN_EV_PER_K * temperature


def test_a_crystal_is_the_sum_of_its_sites() -> None:
    springs, masses = [1.0, 2.0, 3.0], [10.0, 20.0, 30.0]
    expected = sum(in_si(k, m, 300.0) for k, m in zip(springs, masses, strict=True))
    assert einstein_free_energy(springs, masses, 300.0) == pytest.approx(expected, rel=1e-10)


def test_at_rest_a_crystal_of_equal_sites_lacks_one_of_them() -> None:
    found = einstein_free_energy_at_rest(np.full(7, 2.0), 40.0, 200.0)
    assert found == pytest.approx(6 * in_si(2.0, 40.0, 200.0), rel=1e-10, abs=0.0)


def test_at_rest_a_crystal_of_unlike_sites_has_the_modes_of_its_constrained_matrix() -> None:
    """ω² of the matrix of springs, projected on Σ m u = 0 in coordinates weighted by √m."""
    springs, masses = np.array([1.0, 2.0, 5.0, 0.7]), np.array([10.0, 60.0, 200.0, 30.0])
    away = np.sqrt(masses / masses.sum())
    rest = np.eye(4) - np.outer(away, away)
    squares = np.linalg.eigvalsh(rest @ np.diag(springs / masses) @ rest)[1:]
    expected = sum(in_si(square, 1.0, 150.0) for square in squares)
    found = einstein_free_energy_at_rest(springs, masses, 150.0)
    assert found == pytest.approx(expected, rel=1e-10, abs=0.0)


def test_a_centre_of_mass_is_a_free_particle() -> None:
    mass, volume, temperature = 500.0, 11.8, 120.0
    thermal = BOLTZMANN * temperature
    wave = PLANCK / math.sqrt(2.0 * math.pi * mass * DALTON * thermal)
    expected = -thermal * math.log(volume * 1e-30 / wave**3) / ELECTRON
    found = centre_of_mass_free_energy(mass, volume, temperature)
    assert found == pytest.approx(expected, rel=1e-10, abs=0.0)


def test_a_wide_spring_is_a_free_particle_in_its_volume() -> None:
    """The parts fit together: √(2πkT/k)³ as volume gives the free energy of the spring."""
    stiffness, mass, temperature = 0.02, 80.0, 250.0
    volume = (2.0 * np.pi * BOLTZMANN_EV_PER_K * temperature / stiffness) ** 1.5
    assert centre_of_mass_free_energy(mass, volume, temperature) == pytest.approx(
        einstein_free_energy(stiffness, mass, temperature), rel=1e-12, abs=0.0
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1.0, 10.0, 300.0), "stiffness must be positive"),
        ((1.0, [10.0, np.nan], 300.0), "masses must be positive"),
        ((1.0, 10.0, 0.0), "temperature"),
    ],
)
def test_numbers_without_sense_are_refused(arguments: tuple, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(OptionError, match=message):
        einstein_free_energy(*arguments)
