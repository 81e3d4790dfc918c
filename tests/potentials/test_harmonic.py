"""The harmonic crystal: its Hessian is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from numpy.typing import NDArray

import softatoms as sa
from softatoms.neighbours import neighbour_pairs
from tolerances import assert_close

LATTICES = {"sc": (3.0, 1.1), "fcc": (4.05, 0.8), "bcc": (2.87, 1.1)}
"""Lattice constant in Å and reach of the springs in lattice constants."""


def crystal(lattice: str) -> sa.SoftAtoms:
    constant, _ = LATTICES[lattice]
    return sa.SoftAtoms.from_ase(bulk("Al", lattice, a=constant, cubic=True) * (2, 2, 3))


def spring_matrix(soft: sa.SoftAtoms, reach: float, stiffness: float) -> NDArray[np.float64]:
    """Weighted Laplacian of the lattice: the force constants of one Cartesian direction."""
    pairs = neighbour_pairs(soft.positions, soft.cell, soft.pbc, reach)
    weights = soft.existence
    matrix = np.zeros((len(soft), len(soft)))
    for i, j in zip(pairs.receivers, pairs.senders, strict=True):
        strength = 0.5 * stiffness * weights[i] * weights[j]
        matrix[i, i] += strength
        matrix[j, j] += strength
        matrix[i, j] -= strength
        matrix[j, i] -= strength
    return matrix


@pytest.mark.parametrize("lattice", sorted(LATTICES))
@pytest.mark.parametrize("existence", [1.0, 0.4, 0.0])
def test_energy_and_forces_are_exactly_quadratic(lattice: str, existence: float) -> None:
    constant, reach = LATTICES[lattice]
    potential = sa.load_potential("harmonic", lattice=lattice, a=constant, stiffness=1.7)
    soft = crystal(lattice).with_existence([1], existence)
    matrix = spring_matrix(soft, reach * constant, 1.7)
    moves = 0.1 * np.random.default_rng(0).normal(size=soft.positions.shape)
    out = sa.evaluate(potential, soft.with_positions(soft.positions + moves))
    assert_close(out.energy, 0.5 * np.einsum("ia,ij,ja->", moves, matrix, moves), "same")
    assert_close(out.forces, -matrix @ moves, "same")


def test_stiffness_of_unlike_pairs_is_the_mean_or_what_is_given() -> None:
    atoms = bulk("Al", "sc", a=3.0, cubic=True) * (3, 3, 3)
    atoms.symbols[0] = "Sc"
    move = np.zeros((27, 3))
    move[0, 0] = 0.2
    options = {"lattice": "sc", "a": 3.0, "stiffness": {"Al": 1.0, "Sc": 3.0}}
    moved = sa.SoftAtoms.from_ase(atoms).with_positions(atoms.positions + move)
    for pairs, stiffness in ((None, 2.0), ({"Al-Sc": 5.0}, 5.0)):
        potential = sa.load_potential("harmonic", **options, pairs=pairs)
        assert_close(sa.evaluate(potential, moved).energy, 6 * 0.5 * stiffness * 0.2**2, "same")


def test_the_energy_is_quadratic_in_the_cell_too() -> None:
    potential = sa.load_potential("harmonic", lattice="sc", a=3.0, stiffness=2.0)
    soft = crystal("sc")
    strain = 1.02
    stretched = soft.with_positions(soft.positions * strain, soft.cell * strain)
    out = sa.evaluate(potential, stretched, properties=("energy", "stress"))
    springs, change = 3 * len(soft), 3.0 * (strain - 1.0)
    assert_close(out.energy, 0.5 * 2.0 * springs * change**2, "same")
    # d/dε of ½ k Σ (a(1+ε) − a)² per direction, referred to the stretched state.
    expected = 2.0 * len(soft) * change * 3.0 * strain / abs(np.linalg.det(stretched.cell))
    assert_close(out.stress, expected * np.eye(3), "same")
