"""Relaxation in an energy that depends on places."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

import softatoms as sa
from softatoms.errors import OptionError
from softatoms.external import HarmonicTrap

TRAP = HarmonicTrap(stiffness=0.4, centre=(1.0, -2.0, 0.5))


def argon() -> sa.Potential:
    return sa.load_potential("lj", epsilon=0.5, sigma=2.5, cutoff=30.0, onset=29.0)


def test_one_atom_goes_to_the_centre_of_the_trap():
    done = sa.relax_batch(
        argon(),
        [sa.SoftAtoms.from_ase(Atoms("Ar", [[3.0, 1.0, 0.0]]))],
        external=TRAP,
        fmax=1e-8,
    )[0]
    assert done.status == "ok"
    np.testing.assert_allclose(done.soft.positions[0], TRAP.centre, rtol=0, atol=1e-7)
    assert done.energy == pytest.approx(0.0, abs=1e-12)


def test_pair_in_a_trap_has_the_energy_of_the_one_dimensional_problem():
    done = sa.relax_batch(
        argon(),
        [sa.SoftAtoms.from_ase(Atoms("Ar2", [[0.0, 0.0, 0.0], [2.2, 0.3, 0.1]]))],
        external=TRAP,
        fmax=1e-8,
    )[0]
    # By hand: the centre of mass rests at the centre, so E(r) = φ(r) + k r²/4.
    r = np.linspace(2.4, 3.2, 400001)
    pair = 4 * 0.5 * ((2.5 / r) ** 12 - (2.5 / r) ** 6)
    best = (pair + 0.25 * TRAP.stiffness * r**2).min()
    assert done.energy == pytest.approx(best, rel=1e-9, abs=1e-9)
    np.testing.assert_allclose(done.soft.positions.mean(axis=0), TRAP.centre, rtol=0, atol=1e-6)


def test_existence_scales_the_external_energy_and_structures_keep_their_own():
    whole = sa.SoftAtoms.from_ase(Atoms("Ar", [[2.0, 0.0, 0.0]]))
    half = whole.with_existence([0], 0.5)
    trap = HarmonicTrap(stiffness=1.0)
    for done in sa.relax_batch(argon(), [whole, half], external=trap, max_steps=0):
        q = float(done.soft.existence[0])
        assert done.energy == pytest.approx(q * 2.0, rel=1e-14, abs=1e-14)
        np.testing.assert_allclose(done.forces, [[-2.0 * q, 0.0, 0.0]], rtol=1e-14, atol=1e-14)


def test_gradient_of_the_trap_is_the_difference_of_its_energies():
    rng = np.random.default_rng(0)
    places, h = rng.normal(size=(5, 3)), 1e-5
    for axis in range(3):
        step = h * np.eye(3)[axis]
        difference = (TRAP.energies(places + step) - TRAP.energies(places - step)) / (2 * h)
        np.testing.assert_allclose(
            TRAP.gradients(places)[:, axis], difference, rtol=1e-8, atol=1e-8
        )


def test_a_cell_that_strains_has_no_place_for_it():
    crystal = Atoms("Ar", cell=[4.0] * 3, pbc=True)
    with pytest.raises(OptionError, match="cell='fixed'"):
        sa.relax_batch(argon(), [sa.SoftAtoms.from_ase(crystal)], external=TRAP, cell="full")


def test_stiffness_must_be_a_number_that_holds():
    with pytest.raises(OptionError, match="stiffness"):
        HarmonicTrap(stiffness=-1.0)
