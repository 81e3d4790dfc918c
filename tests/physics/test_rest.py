"""A crystal that does not stay what it was when it is brought to rest is refused."""

from __future__ import annotations

import numpy as np
import pytest
from crystals_exact import argon

import softatoms as sa
from softatoms.physics import PhysicsError, Settings, crystal
from softatoms.physics.crystals import check_same_crystal, rest, strained


@pytest.fixture(scope="module")
def gupta():
    return sa.load_potential("gupta", elements=["Cu", "Au"])


def test_a_far_start_is_refused_and_a_near_one_is_not(gupta):
    near = rest(gupta, crystal("fcc", "Cu", a=3.75), Settings()).soft
    assert abs(np.linalg.det(near.cell)) * 4 == pytest.approx(3.615**3, rel=2e-3)
    # Gold starts in the cell of copper: 44 % too small.
    with pytest.raises(PhysicsError, match=r"another one .*: its volume changed by \+44 %"):
        rest(gupta, crystal("fcc", "Au", a=3.61), Settings())


def test_lost_symmetry_is_told():
    cube = crystal("bcc", "Ar", a=4.4).to_ase() * (2, 1, 1)
    start = sa.SoftAtoms.from_ase(cube)
    cube.positions[0] += (0.15, 0.0, 0.0)
    with pytest.raises(PhysicsError, match="its symmetry fell from Im-3m to "):
        check_same_crystal(start, sa.SoftAtoms.from_ase(cube))
    # As far as a file with few digits is from its symmetry, which a relaxation may then gain.
    cube.positions[0] -= (0.145, 0.0, 0.0)
    check_same_crystal(start, sa.SoftAtoms.from_ase(cube))
    check_same_crystal(sa.SoftAtoms.from_ase(cube), start)


def test_another_shape_is_told():
    """Along Bain's path from fcc to bcc the volume per atom stays, and so may the symmetry."""
    start = crystal("fcc", "Ar", a=5.3)
    ratio = 2.0 ** (-1.0 / 6.0)
    bain = np.diag([1.0 / ratio, 1.0 / ratio, ratio**2])
    assert np.linalg.det(bain) == pytest.approx(1.0)
    with pytest.raises(PhysicsError, match=r"another one .*: its shape changed by 26 %"):
        check_same_crystal(start, strained(start, bain))
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    check_same_crystal(start, strained(start, turn @ np.eye(3) * 1.05))


def test_a_site_elsewhere_is_told():
    start = crystal("B2", ["Cu", "Au"])
    shifted = start.with_positions(start.positions + 0.7, start.cell)
    check_same_crystal(start, shifted)
    positions = start.positions.copy()
    positions[1] += (1.5, 0.0, 0.0)
    with pytest.raises(PhysicsError, match=r"a site moved by 0\.75 Å"):
        check_same_crystal(start, start.with_positions(positions, start.cell))


def test_an_unstable_crystal_that_is_pushed_leaves():
    """Argon is no bcc crystal: a strained cell goes on to another one and is not called bcc."""
    start = strained(crystal("bcc", "Ar", a=4.3), np.diag([1.04, 0.98, 0.98]))
    with pytest.raises(PhysicsError, match="became another one"):
        rest(argon(cutoff=8.0, onset=6.5), start, Settings())


@pytest.mark.parametrize(("lattice", "element", "a"), [("diamond", "Si", 5.43), ("hcp", "Mg", 3.2)])
def test_elements_need_no_lattice_parameter(lattice, element, a):
    cell = crystal(lattice, element).cell
    known = crystal(lattice, element, a=a).cell
    np.testing.assert_allclose(cell, known, rtol=0.02, atol=1e-9)


def test_the_start_of_a_compound_holds_the_volumes_of_its_elements():
    a = crystal("L1_2", {"corner": "Au", "face": "Cu"}).cell[0, 0]
    assert a == pytest.approx(((4.08**3 + 3 * 3.61**3) / 4) ** (1 / 3), rel=1e-3)
