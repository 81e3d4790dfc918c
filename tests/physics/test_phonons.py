"""Phonons: springs in closed form, lattice sums, and the Hessian of the whole supercell."""

from __future__ import annotations

import numpy as np
import pytest
from ase.data import atomic_masses, atomic_numbers
from crystals_exact import argon, bond_matrices, lattice_vectors

import softatoms as sa
from softatoms.errors import OptionError
from softatoms.physics import crystal, phonons
from softatoms.units import THZ_PER_ROOT_EV_AMU_ANG

MASS = atomic_masses[atomic_numbers["Ar"]]


def test_springs_are_exact():
    k, a = 1.7, 4.0
    potential = sa.load_potential("harmonic", lattice="fcc", a=a, stiffness=k)
    out = phonons(potential, crystal("fcc", "Ar", a=a))
    # k Σ (1 − cos q·δ) over 12 springs: 8 turn their sign at X, 6 at L.
    for point, number in (("X", 16.0), ("L", 12.0)):
        expected = np.sqrt(number * k / MASS) * THZ_PER_ROOT_EV_AMU_ANG
        np.testing.assert_allclose(out.frequencies[point], expected, rtol=1e-7)
    np.testing.assert_allclose(out.frequencies["Γ"], 0.0, atol=1e-4)
    assert set(out.points) == {"Γ", "X", "L"}
    assert out.sum_rule < 1e-9
    assert out.is_stable
    assert out.lowest == pytest.approx(out.frequencies["L"][0], rel=1e-9)
    assert out.vibrations("Γ").shape == (0,)
    np.testing.assert_array_equal(out.vibrations("X"), out.frequencies["X"])


def test_unit_of_frequency():
    # 1 eV/Å²/amu, in SI.
    omega = np.sqrt(1.602176634e-19 / 1e-20 / 1.66053906660e-27)
    assert pytest.approx(omega / (2 * np.pi) * 1e-12, rel=1e-6) == THZ_PER_ROOT_EV_AMU_ANG


def test_pairs_against_a_lattice_sum():
    points = {"X": (0.5, 0.5, 0.0), "L": (0.5, 0.5, 0.5), "third": (1 / 3, 0.0, 0.0)}
    out = phonons(
        argon(), crystal("fcc", "Ar", a=5.3), repeat=(6, 6, 6), points=points, displacement=1e-3
    )
    vectors = lattice_vectors(out.soft.cell)
    springs = bond_matrices(vectors)
    for name, wave in points.items():
        q = 2 * np.pi * np.linalg.inv(out.soft.cell) @ wave
        matrix = ((1 - np.cos(vectors @ q))[:, None, None] * springs).sum(0) / MASS
        expected = np.sqrt(np.linalg.eigvalsh(matrix)) * THZ_PER_ROOT_EV_AMU_ANG
        np.testing.assert_allclose(out.frequencies[name], expected, rtol=1e-5)


def test_all_waves_of_a_compound_are_the_modes_of_its_supercell():
    potential = sa.load_potential("gupta", elements=["Cu", "Au"])
    counts = (2, 1, 3)
    points = {f"{i}{k}": (i / 2, 0.0, k / 3) for i in range(2) for k in range(3)}
    out = phonons(potential, crystal("B2", ["Cu", "Au"]), repeat=counts, points=points)
    found = np.sort(np.concatenate(list(out.frequencies.values())))
    large = out.soft.repeat(counts)
    step, n = 0.01, 3 * len(large)
    moved = []
    for index in range(n):
        for sign in (1, -1):
            positions = large.positions.copy()
            positions.reshape(-1)[index] += sign * step
            moved.append(large.with_positions(positions))
    forces = [out.forces.numpy().ravel() for out in sa.evaluate_batch(potential, moved)]
    hessian = np.array([(forces[2 * i + 1] - forces[2 * i]) / (2 * step) for i in range(n)])
    masses = np.repeat(large.node_mass, 3)
    squares = np.linalg.eigvalsh(0.5 * (hessian + hessian.T) / np.sqrt(np.outer(masses, masses)))
    # Squares, because the roots of the three translations are rounding errors.
    unit = THZ_PER_ROOT_EV_AMU_ANG**2
    np.testing.assert_allclose(np.sort(np.sign(found) * found**2), squares * unit, atol=1e-4)
    assert out.lowest == pytest.approx(np.sort(found[np.abs(found) > 1e-5])[0], abs=1e-6)


def test_sum_rule_is_applied_and_reported():
    potential = sa.load_potential("gupta", elements=["Cu"])
    out = phonons(potential, crystal("fcc", "Cu"), displacement=0.1)
    assert np.abs(out.force_constants.sum(axis=(0, 3))).max() < 1e-12
    assert np.abs(out.frequencies["Γ"]).max() < 1e-5


def test_sum_rule_holds_where_large_displacements_break_it():
    potential = sa.load_potential("gupta", elements=["Cu", "Au"])
    start = crystal("L1_2", ["Au", "Cu"])
    rough, fine = (phonons(potential, start, displacement=d) for d in (0.2, 0.01))
    assert rough.sum_rule > 1e-3
    assert fine.sum_rule < 0.01 * rough.sum_rule
    for out in (rough, fine):
        assert np.abs(out.frequencies["Γ"][:3]).max() < 1e-5
        constants = out.force_constants.sum(axis=0)
        assert np.abs(constants.sum(axis=0)).max() < 1e-10
        assert np.abs(constants.sum(axis=2)).max() < 1e-10


def test_unstable_crystal_is_reported():
    out = phonons(argon(cutoff=5.0, onset=4.5), crystal("bcc", "Ar", a=4.4), repeat=(3, 3, 3))
    assert not out.is_stable
    assert out.lowest < -0.1
    assert any(out.lowest_at)


def test_imaginary_modes_of_gamma_are_not_taken_for_translations():
    potential, start = argon(cutoff=5.0, onset=4.5), crystal("bcc", "Ar", a=4.4)
    # Γ of a large cell has all the modes of the small one at the waves that fit into the large.
    folded = phonons(potential, start.repeat((3, 3, 3)), repeat=(1, 1, 1), points={"Γ": (0, 0, 0)})
    small = phonons(potential, start, repeat=(3, 3, 3))
    assert folded.frequencies["Γ"].shape == (81,)
    assert folded.vibrations("Γ").shape == (78,)
    assert np.abs(folded.vibrations("Γ")).min() > 1e-3
    assert folded.lowest == pytest.approx(small.lowest, rel=1e-4)
    assert not folded.is_stable


def test_bad_input():
    start = crystal("fcc", "Ar", a=5.3)
    with pytest.raises(OptionError, match="does not fit into a supercell of 2 × 2 × 2"):
        phonons(argon(), start, points={"W": (0.5, 0.25, 0.75)})
    with pytest.raises(OptionError, match="three numbers"):
        phonons(argon(), start, points={"W": (0.5, 0.25)})
    with pytest.raises(OptionError, match="repeat"):
        phonons(argon(), start, repeat=(2, 2, 0))
    with pytest.raises(OptionError, match="three whole numbers"):
        phonons(argon(), start, repeat=(2, 2))
    with pytest.raises(OptionError, match="one site has no vibrations"):
        phonons(argon(), start, repeat=(1, 1, 1))
    with pytest.raises(OptionError, match="displacement"):
        phonons(argon(), start, displacement=0.0)
