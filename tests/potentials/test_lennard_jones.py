"""Lennard-Jones against ASE's independent implementation, and its exact product form."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.lj import LennardJones
from numpy.typing import NDArray

import softatoms as sa
from softatoms.neighbours import neighbour_pairs, pair_vectors
from tolerances import assert_close

ARGON = {"epsilon": 0.01042, "sigma": 3.405}
SMALL, LARGE = {"cutoff": 6.5, "onset": 5.0}, {"cutoff": 10.5, "onset": 9.0}


def argon(seed: int) -> Atoms:
    """Rattled argon in a random triclinic cell, with thermal velocities."""
    rng = np.random.default_rng(seed)
    atoms = bulk("Ar", "fcc", a=5.3) * (2, 2, 2 + seed % 2)
    strain = np.eye(3) + 0.05 * rng.normal(size=(3, 3))
    atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
    atoms.positions += 0.15 * rng.normal(size=atoms.positions.shape)
    atoms.set_velocities(0.02 * rng.normal(size=atoms.positions.shape))
    return atoms


def attach_ase(atoms: Atoms, radii: dict[str, float]) -> None:
    atoms.calc = LennardJones(**ARGON, rc=radii["cutoff"], ro=radii["onset"], smooth=True)


@pytest.mark.parametrize("radii", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("seed", range(4))
def test_energy_forces_and_stress_equal_those_of_ase(seed: int, radii: dict[str, float]) -> None:
    atoms = argon(seed)
    attach_ase(atoms, radii)
    potential = sa.load_potential("lj", **ARGON, **radii)
    out = sa.evaluate(
        potential, sa.SoftAtoms.from_ase(atoms), properties=("energy", "forces", "stress")
    )
    assert_close(out.energy, atoms.get_potential_energy(), "same")
    assert_close(out.site_energies, atoms.get_potential_energies(), "same")
    assert_close(out.forces, atoms.get_forces(), "same")
    assert_close(out.stress, atoms.get_stress(voigt=False), "same")


@pytest.mark.parametrize("seed", range(4))
def test_heat_flux_equals_the_pairwise_formula_from_per_atom_stresses(seed: int) -> None:
    atoms = argon(seed)
    attach_ase(atoms, SMALL)
    atoms.get_potential_energy()
    virials = full_tensors(atoms.get_stresses()) * atoms.get_volume()
    velocities = atoms.get_velocities() * units.fs
    kinetic = 0.5 * atoms.get_masses() * (atoms.get_velocities() ** 2).sum(axis=1)
    carried = kinetic + atoms.get_potential_energies()
    # A pair energy shared equally: J_pot = −Σ_i (virial of i) · v_i.
    expected = (carried[:, None] * velocities).sum(0)
    expected -= np.einsum("nij,nj->i", virials, velocities)
    out = sa.evaluate(
        sa.load_potential("lj", **ARGON, **SMALL),
        sa.SoftAtoms.from_ase(atoms),
        properties=("heat_flux",),
    )
    assert_close(out.heat_flux, expected, "same")


def full_tensors(voigt: NDArray[np.float64]) -> NDArray[np.float64]:
    """Voigt vectors (n, 6) to tensors (n, 3, 3)."""
    tensors = np.zeros((len(voigt), 3, 3))
    for k, (i, j) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
        tensors[:, i, j] = tensors[:, j, i] = voigt[:, k]
    return tensors


def mixed_pair_energy(r: float, a: str, b: str) -> float:
    """φ_ab(r) written out with plain numbers."""
    epsilon, sigma = {"Ar": 0.0104, "Kr": 0.0141}, {"Ar": 3.405, "Kr": 3.65}
    depth = (epsilon[a] * epsilon[b]) ** 0.5
    width = 0.5 * (sigma[a] + sigma[b])
    rc, ro = 6.5, 5.0
    switch = 1.0
    if r > ro:
        switch = (rc**2 - r**2) ** 2 * (rc**2 + 2 * r**2 - 3 * ro**2) / (rc**2 - ro**2) ** 3
    return switch * 4 * depth * ((width / r) ** 12 - (width / r) ** 6)


def test_mean_field_energy_is_half_the_weighted_sum_over_pairs() -> None:
    soft = (
        sa.SoftAtoms.from_ase(argon(1))
        .with_candidates([0, 3, 4], {"Ar": 0.5, "Kr": 0.3}, tie="rare")
        .with_existence([5], 0.4)
        .with_candidates([7], {"Kr": 0.35, "Ar": 0.45})
    )
    potential = sa.load_potential(
        "lj",
        epsilon={"Ar": 0.0104, "Kr": 0.0141},
        sigma={"Ar": 3.405, "Kr": 3.65},
        cutoff=6.5,
        onset=5.0,
    )
    pairs = neighbour_pairs(soft.positions, soft.cell, soft.pbc, 6.5)
    distances = np.linalg.norm(pair_vectors(soft.positions, soft.cell, pairs), axis=1)
    expected = 0.0
    for i, j, r in zip(pairs.receivers, pairs.senders, distances, strict=True):
        held = itertools.product(soft.candidates(i).items(), soft.candidates(j).items())
        for (a, weight_a), (b, weight_b) in held:
            expected += 0.5 * weight_a * weight_b * mixed_pair_energy(r, a, b)
    out = sa.evaluate(potential, soft, properties=("energy",), coupling="mean_field")
    assert_close(out.energy, expected, "same")


def test_a_pair_given_explicitly_replaces_the_mixing_rule() -> None:
    dimer = sa.SoftAtoms.from_ase(Atoms("ArKr", [[0, 0, 0], [0, 0, 3.9]]))
    options = {"epsilon": {"Ar": 0.01, "Kr": 0.02}, "sigma": {"Ar": 3.4, "Kr": 3.6}}
    given = {"Kr-Ar": {"epsilon": 0.03, "sigma": 3.3}}
    potential = sa.load_potential("lj", **options, cutoff=9.0, onset=8.0, pairs=given)
    out = sa.evaluate(potential, dimer, properties=("energy",))
    assert_close(out.energy, 4 * 0.03 * ((3.3 / 3.9) ** 12 - (3.3 / 3.9) ** 6), "same")


def test_defaults_are_those_of_ase() -> None:
    atoms = argon(0)
    atoms.calc = LennardJones(**ARGON, smooth=True)
    out = sa.evaluate(sa.load_potential("lj", **ARGON), sa.SoftAtoms.from_ase(atoms))
    assert_close(out.energy, atoms.get_potential_energy(), "same")
