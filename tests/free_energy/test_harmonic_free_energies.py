"""Harmonic free energies against closed forms, finite differences and phonopy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_masses, atomic_numbers
from torch import Tensor

import softatoms as sa
from softatoms.errors import OptionError
from softatoms.free_energy.harmonic import perfect_crystal, vibrations
from softatoms.free_energy.harmonic_vacancy import (
    harmonic_vacancy,
    quasi_harmonic_vacancy,
)
from softatoms.free_energy.hessian import crystal_hessian, hessian_rows, smooth_hessian_rows
from softatoms.gather import gather, unchanged
from softatoms.graph import Graph
from softatoms.physics.crystals import DEFAULT, rest
from softatoms.physics.errors import PhysicsError
from softatoms.potentials.harmonic import Harmonic
from softatoms.units import BOLTZMANN_EV_PER_K, EV_PER_AMU_ANG2_FS2, HBAR_EV_FS

COPPER = sa.load_potential("gupta", elements=["Cu"])
STIFFNESS, LENGTH = 1.7, 4.05
SPRINGS = sa.load_potential("harmonic", lattice="fcc", a=LENGTH, stiffness=STIFFNESS)
MASS = atomic_masses[atomic_numbers["Al"]]


def aluminium() -> Atoms:
    return bulk("Al", a=LENGTH)


def quantum_of(square: np.ndarray) -> np.ndarray:
    """ħω in eV of squared frequencies in eV/(Å² amu)."""
    return HBAR_EV_FS * np.sqrt(square / EV_PER_AMU_ANG2_FS2)


def spring_matrix(n: int, missing: int | None) -> np.ndarray:
    """Force constants of one direction of an n×n×n crystal of springs, by counting neighbours."""
    cells = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), -1).reshape(-1, 3)
    fcc = 0.5 * LENGTH * (1.0 - np.eye(3))
    steps = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), -1).reshape(-1, 3)
    nearest = steps[np.isclose(np.linalg.norm(steps @ fcc, axis=1), LENGTH / np.sqrt(2.0))]
    assert len(nearest) == 12
    matrix = np.zeros((n**3, n**3))
    for one, cell in enumerate(cells):
        for step in nearest:
            other = np.ravel_multi_index(tuple((cell + step) % n), (n, n, n))
            if missing in (one, other):
                continue
            matrix[one, one] += STIFFNESS
            matrix[one, other] -= STIFFNESS
    if missing is not None:
        matrix = np.delete(np.delete(matrix, missing, 0), missing, 1)
    return matrix


@pytest.mark.parametrize("missing", [None, 0])
def test_vibrations_of_springs_are_those_of_their_network(missing: int | None) -> None:
    found = harmonic_vacancy(SPRINGS, aluminium(), repeat=(3, 3, 3))
    own = found.perfect if missing is None else found.broken
    squares = np.linalg.eigvalsh(spring_matrix(3, missing)) / MASS
    exact = quantum_of(np.repeat(np.sort(squares)[1:], 3))
    np.testing.assert_allclose(own.quanta, exact, rtol=1e-9, atol=1e-12)
    assert own.energy == pytest.approx(0.0, abs=1e-12)
    assert own.drift < 1e-12


def test_free_energies_of_springs_have_their_closed_forms() -> None:
    found = harmonic_vacancy(SPRINGS, aluminium(), repeat=(3, 3, 3))
    thermal = BOLTZMANN_EV_PER_K * 500.0
    sums = [
        np.log(np.linalg.eigvalsh(spring_matrix(3, missing))[1:]).sum() for missing in (None, 0)
    ]
    # ħ and the mass of an atom cancel, as each crystal has three of them per atom in all.
    count = 27
    volume = LENGTH**3 / 4.0
    scale = np.log(volume) + 1.5 * np.log(thermal / (2.0 * np.pi))
    perfect = 1.5 * sums[0] - 3.0 * (count - 1) * np.log(thermal) - scale - 1.5 * np.log(count)
    broken = 1.5 * sums[1] - 3.0 * (count - 2) * np.log(thermal) - scale - 1.5 * np.log(count - 1)
    exact = thermal * (broken - (count - 1) / count * perfect)
    assert found.formation(500.0) == pytest.approx(exact, rel=1e-9, abs=1e-12)


def test_quantum_free_energy_goes_from_zero_point_to_classical() -> None:
    _, found = perfect_crystal(COPPER, bulk("Cu"), repeat=(2, 2, 2))
    assert found.vibrational(2.0, "quantum") == pytest.approx(
        0.5 * found.quanta.sum(), rel=1e-6, abs=0.0
    )
    hot = found.vibrational(5000.0, "quantum") - found.vibrational(5000.0)
    # Wigner's first correction, the sum of (ħω)²/24 kT.
    expected = np.sum(found.quanta**2) / (24.0 * BOLTZMANN_EV_PER_K * 5000.0)
    assert hot == pytest.approx(expected, rel=1e-3, abs=0.0)


def test_second_derivatives_are_those_of_finite_differences() -> None:
    soft = sa.SoftAtoms.from_ase(bulk("Cu", cubic=True)).repeat((2, 2, 2))
    moved = np.random.default_rng(0).normal(scale=0.05, size=soft.positions.shape)
    soft = soft.with_positions(soft.positions + moved)
    rows = hessian_rows(COPPER, soft, sites=[3, 17], edges_per_batch=5000)
    step = 1e-4
    for index, site in enumerate((3, 17)):
        for axis in range(3):
            ends = []
            for sign in (1.0, -1.0):
                positions = soft.positions.copy()
                positions[site, axis] += sign * step
                ends.append(soft.with_positions(positions))
            forces = [out.forces.numpy() for out in sa.evaluate_batch(COPPER, ends)]
            expected = (forces[1] - forces[0]) / (2.0 * step)
            np.testing.assert_allclose(rows[index, axis], expected, rtol=1e-5, atol=1e-6)


class Cusped(Harmonic):
    """Springs with a rounded cusp of 1 eV/Å² at their length, which is gone after 0.001 Å."""

    def interaction(self, graph: Graph) -> Tensor:
        edges = graph.edges
        lengths = edges.vectors.norm(dim=1)
        away = lengths - LENGTH / 2.0**0.5
        rounded = torch.where(away.abs() < 0.5, 1e-4 * torch.sqrt(away**2 + 1e-8), 0.0 * away)
        cusp = gather(edges, unchanged, edge=(0.5 * rounded,), is_last=True)
        return super().interaction(graph) + cusp


def test_cusps_that_no_vibration_feels_are_looked_over() -> None:
    large = sa.SoftAtoms.from_ase(aluminium()).repeat((3, 3, 3))
    cusped = Cusped(lattice="fcc", a=LENGTH, stiffness=STIFFNESS)
    plain, is_smooth = smooth_hessian_rows(SPRINGS, large, sites=[0])
    assert is_smooth
    found, is_smooth = smooth_hessian_rows(cusped, large, sites=[0])
    assert not is_smooth
    np.testing.assert_allclose(found, plain, rtol=0.0, atol=0.02 * np.abs(plain).max())
    sharp = hessian_rows(cusped, large, sites=[0])
    assert np.abs(sharp - plain).max() > 0.1 * np.abs(plain).max()


def test_one_cell_gives_the_second_derivatives_of_all() -> None:
    soft = rest(COPPER, bulk("Cu", cubic=True), DEFAULT).soft
    large = soft.repeat((2, 1, 3))
    every = hessian_rows(COPPER, large).reshape(3 * len(large), 3 * len(large))
    first = hessian_rows(COPPER, large, sites=range(4))
    np.testing.assert_allclose(crystal_hessian(first, (2, 1, 3), 4), every, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("temperature", [50.0, 300.0, 900.0])
def test_free_energy_is_that_of_phonopy(temperature: float) -> None:
    phonopy = pytest.importorskip("phonopy")
    from phonopy.structure.atoms import PhonopyAtoms

    soft, found = perfect_crystal(COPPER, bulk("Cu"), repeat=(3, 3, 3))
    cell = PhonopyAtoms(symbols=["Cu"], cell=soft.cell, positions=soft.positions)
    phonons = phonopy.Phonopy(cell, 3 * np.eye(3, dtype=int), primitive_matrix=np.eye(3))
    phonons.generate_displacements(distance=0.001)
    forces = []
    for supercell in phonons.supercells_with_displacements:
        atoms = Atoms("Cu27", cell=supercell.cell, positions=supercell.positions, pbc=True)
        out = sa.evaluate(COPPER, sa.SoftAtoms.from_ase(atoms), properties=("forces",))
        forces.append(out.forces.numpy())
    phonons.forces = forces
    phonons.produce_force_constants()
    phonons.run_mesh([3, 3, 3], is_gamma_center=True)
    for statistics in ("quantum", "classical"):
        phonons.run_thermal_properties(
            temperatures=[temperature],
            cutoff_frequency=1e-3,
            classical=statistics == "classical",
        )
        per_cell = phonons.thermal_properties.free_energy[0]
        # In kJ/mol per primitive cell, of which there are 27.
        expected = 27 * per_cell / 96.4853321
        own = found.vibrational(temperature, statistics)
        assert own == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_vacancy_of_a_cell_of_any_shape_is_the_same() -> None:
    one = harmonic_vacancy(COPPER, bulk("Cu", cubic=True), repeat=(2, 2, 2))
    other = harmonic_vacancy(COPPER, bulk("Cu", cubic=True).repeat((2, 1, 1)), repeat=(1, 2, 2))
    assert one.cell_volume == pytest.approx(other.cell_volume, rel=1e-9, abs=0.0)
    assert one.static == pytest.approx(other.static, rel=0.0, abs=1e-5)
    assert one.formation(400.0) == pytest.approx(other.formation(400.0), rel=0.0, abs=1e-4)


def test_crystals_expand_when_they_are_hot() -> None:
    found = quasi_harmonic_vacancy(COPPER, bulk("Cu", cubic=True), repeat=(2, 2, 2))
    cold, warm, hot = (found.volume_at(kelvin) for kelvin in (1.0, 300.0, 600.0))
    assert cold == pytest.approx(found.volume, rel=1e-3, abs=0.0)
    slope = (hot - warm) / (3.0 * warm * 300.0)
    # Linear expansion: 17e-6 per K by experiment, the potential is a little softer.
    assert 1.2e-5 < slope < 3e-5
    at_rest = found.states[1]
    assert found.formation(1.0) == pytest.approx(at_rest.formation(1.0), rel=0.0, abs=1e-4)
    assert found.formation(600.0) > at_rest.formation(600.0)
    with pytest.raises(PhysicsError, match="no volume of rest between strains"):
        found.volume_at(4000.0)


def test_what_is_no_minimum_is_refused() -> None:
    # fcc copper squeezed along one axis on its way to bcc.
    atoms = bulk("Cu", cubic=True)
    atoms.set_cell(atoms.cell * [[1.0], [1.0], [0.75]], scale_atoms=True)
    soft = sa.SoftAtoms.from_ase(atoms).repeat((2, 2, 2))
    with pytest.raises(PhysicsError, match="vibrations have no restoring force"):
        vibrations(COPPER, soft, energy=0.0)


def test_what_makes_no_sense_is_refused() -> None:
    alloy = sa.load_potential("gupta", elements=["Cu", "Au"])
    atoms = Atoms("CuAu", cell=[2.8, 2.8, 3.7], positions=[[0, 0, 0], [1.4, 1.4, 1.85]], pbc=True)
    with pytest.raises(OptionError, match="needs a crystal of one element, this one holds Au, Cu"):
        harmonic_vacancy(alloy, atoms, repeat=(2, 2, 2))
    with pytest.raises(OptionError, match="site must be one of the cell, 0 to 0, got 4"):
        harmonic_vacancy(COPPER, bulk("Cu"), repeat=(3, 3, 3), site=4)
    with pytest.raises(OptionError, match="strains must be at least three different ones"):
        quasi_harmonic_vacancy(COPPER, bulk("Cu"), repeat=(3, 3, 3), strains=(0.0, 0.01))
