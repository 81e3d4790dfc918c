"""Systems and small helpers that the tests of dynamics share."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import bulk

import softatoms as sa
from softatoms.dynamics import Outcome
from softatoms.potentials.base import Potential
from softatoms.units import BOLTZMANN_EV_PER_K

KB = BOLTZMANN_EV_PER_K


def lennard_jones() -> Potential:
    """Argon."""
    return sa.load_potential("lj", epsilon=0.01042, sigma=3.405, cutoff=8.5, onset=7.0)


def argon(seed: int, cells: int = 2, a: float = 5.3, rattle: float = 0.05) -> sa.SoftAtoms:
    """Rattled fcc argon of 4 × cells³ atoms."""
    atoms = bulk("Ar", "fcc", a=a, cubic=True) * (cells, cells, cells)
    atoms.rattle(rattle, seed=seed)
    return sa.SoftAtoms.from_ase(atoms)


def copper(
    seed: int, times: tuple[int, int, int] = (1, 1, 2), *, soft: bool = False
) -> sa.SoftAtoms:
    """Rattled fcc copper, with an alloyed sublattice and a half vacancy if soft."""
    atoms = bulk("Cu", "fcc", a=3.65, cubic=True) * times
    atoms.rattle(0.03, seed=seed)
    system = sa.SoftAtoms.from_ase(atoms)
    if soft:
        system = system.with_candidates([0, 1], {"Cu": 0.7, "Au": 0.3}, tie="alloy")
        system = system.with_existence([3], 0.4)
    return system


def gas(seed: int, n_atoms: int, volume: float) -> sa.SoftAtoms:
    """Atoms anywhere in a cube."""
    length = volume ** (1 / 3)
    positions = np.random.default_rng(seed).random((n_atoms, 3)) * length
    return sa.SoftAtoms.from_ase(
        Atoms(f"Ar{n_atoms}", positions=positions, cell=[length] * 3, pbc=True)
    )


def no_interaction() -> Potential:
    """A potential whose atoms practically never meet."""
    return sa.load_potential("lj", epsilon=1e-12, sigma=0.1, cutoff=0.3, onset=0.2)


def sampled(outcome: Outcome, observer: str, column: str) -> np.ndarray:
    """One column of the samples of a run without a folder."""
    return np.array(outcome.samples[observer][column].to_pylist())
