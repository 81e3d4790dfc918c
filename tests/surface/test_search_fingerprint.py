"""Which structures are the same."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import fcc100
from hypothesis import given, settings
from hypothesis import strategies as st

import softatoms as sa
from softatoms.surface.fingerprint import TOLERANCE, fingerprint, is_same
from softatoms.surface.problem import Problem, Reservoir
from softatoms.surface.region import Ball
from softatoms.surface.walkers import Found

RNG = np.random.default_rng(7)
CLUSTER = 2.6 * np.array(
    [[0, 0, 0], [1, 0, 0], [0.5, 0.87, 0], [0.5, 0.3, 0.8], [1.4, 0.9, 0.3], [2.0, 0.1, 0.2]]
)


def atoms_of(positions: np.ndarray, numbers: np.ndarray, slab: sa.SoftAtoms | None) -> sa.SoftAtoms:
    problem = Problem(
        potential=sa.load_potential("lj", epsilon=1.0, sigma=2.5),
        substrate=slab,
        region=Ball(20.0),
        species=("Cu", "O"),
    )
    return problem.atoms(positions, numbers)


def copper(n_layers: int = 2) -> sa.SoftAtoms:
    atoms = fcc100("Cu", (3, 3, n_layers), a=3.6, vacuum=5.0, periodic=True)
    return sa.SoftAtoms.from_ase(atoms)


def adatoms(sites: list[tuple[float, float]], species: list[int]) -> sa.SoftAtoms:
    """Cu(100) 3 × 3 with atoms on hollow sites, given in units of the surface lattice."""
    slab = copper()
    step = slab.cell[0] / 3, slab.cell[1] / 3
    top = slab.positions[slab.positions[:, 2].argmax(), 2]
    corner = slab.positions[slab.positions[:, 2] > top - 0.1][0]
    where = [corner + (u + 0.5) * step[0] + (v + 0.5) * step[1] + [0, 0, 1.7] for u, v in sites]
    return atoms_of(np.vstack([slab.positions, where]), np.array(species), slab)


def on_top(soft: sa.SoftAtoms, n: int) -> np.ndarray:
    return np.arange(len(soft)) >= len(soft) - n


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_clusters_are_the_same_however_they_are_turned_moved_mirrored_and_numbered(seed: int):
    rng = np.random.default_rng(seed)
    numbers = np.array([0, 1, 0, 0, 1, 0])
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    order = rng.permutation(6)
    moved = (CLUSTER @ turn.T + rng.normal(size=3))[order]
    marks = [
        fingerprint(atoms_of(positions, species, None), np.ones(6, dtype=bool))
        for positions, species in ((CLUSTER, numbers), (moved, numbers[order]))
    ]
    assert marks[0].distance(marks[1]) < 1e-9


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    shift=st.tuples(st.integers(-2, 2), st.integers(-2, 2)),
    turns=st.integers(0, 3),
    mirrored=st.booleans(),
)
def test_symmetries_of_the_substrate_change_nothing(
    seed: int, shift: tuple[int, int], turns: int, mirrored: bool
):
    rng = np.random.default_rng(seed)
    sites = [(0.0, 0.0), (1.1, 0.1), (0.2, 1.3)]
    species = [0, 1, 0]
    turn = np.linalg.matrix_power(np.array([[0, -1], [1, 0]]), turns)
    flip = np.diag([-1, 1]) if mirrored else np.eye(2)
    # Hollow sites are centres of the square: the group acts on their coordinates as it is.
    moved = np.array(sites) @ turn.T @ flip.T + np.array(shift)
    images = moved + 3 * rng.integers(-1, 2, size=moved.shape)
    order = rng.permutation(3)
    other = adatoms([tuple(images[i]) for i in order], [species[i] for i in order])
    one = adatoms(sites, species)
    marks = [fingerprint(soft, on_top(soft, 3)) for soft in (one, other)]
    assert marks[0].distance(marks[1]) < 1e-9


@pytest.mark.parametrize(
    ("sites", "species"),
    [
        ([(0, 0), (1, 0), (2, 0)], [0, 1, 0]),  # a row
        ([(0, 0), (1, 0), (0, 1)], [1, 0, 0]),  # the other element in another place
        ([(0, 0), (1, 1), (2, 2)], [0, 1, 0]),  # a diagonal
        ([(0, 0), (1, 0), (0.25, 1)], [0, 1, 0]),  # one atom off its site
        ([(0, 0), (1, 0), (0, 1)], [0, 1, 1]),  # another composition
        ([(0.5, 0.5), (1.5, 0.5), (0.5, 1.5)], [0, 1, 0]),  # all atoms on other sites
    ],
)
def test_different_structures_are_told_apart(sites: list[tuple[float, float]], species: list[int]):
    one, other = adatoms([(0, 0), (1, 0), (0, 1)], [0, 1, 0]), adatoms(sites, species)
    marks = [fingerprint(soft, on_top(soft, 3)) for soft in (one, other)]
    assert marks[0].distance(marks[1]) > 2.0 * TOLERANCE


def test_what_relaxations_leave_undecided_is_no_difference():
    one = adatoms([(0, 0), (1, 0), (0, 1)], [0, 1, 0])
    rattled = one.with_positions(one.positions + RNG.uniform(-0.003, 0.003, one.positions.shape))
    marks = [fingerprint(soft, on_top(soft, 3)) for soft in (one, rattled)]
    assert 0.0 < marks[0].distance(marks[1]) < 0.6 * TOLERANCE


def test_atoms_far_apart_are_seen_by_their_distances():
    near, far = np.array([[0.0, 0, 0], [6.0, 0, 0]]), np.array([[0.0, 0, 0], [7.0, 0, 0]])
    marks = [
        fingerprint(atoms_of(positions, np.array([0, 0]), None), np.ones(2, dtype=bool))
        for positions in (near, far)
    ]
    assert marks[0].distance(marks[1]) > TOLERANCE


def test_omega_must_agree_too():
    problem = Problem(sa.load_potential("lj", epsilon=1.0, sigma=2.5), None, Ball(20.0), ("Cu",))
    reservoir = Reservoir({"Cu": 0.0})
    assert problem.omega(1.0, np.array([6]), reservoir) == 1.0
    one = Found(CLUSTER, np.zeros(6, dtype=np.int64), 1.0, 1.0, 0.0, 10)
    other = Found(CLUSTER + 1.0, np.zeros(6, dtype=np.int64), 1.1, 1.1, 0.0, 12)
    assert is_same(problem, one, other, 0.2)
    assert not is_same(problem, one, other, 0.05)
