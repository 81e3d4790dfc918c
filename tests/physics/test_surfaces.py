"""Surface energies: bonds counted, thicknesses, facets."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk, surface
from ase.neighborlist import neighbor_list
from crystals_exact import argon

import softatoms as sa
from softatoms.errors import OptionError, StructureError
from softatoms.physics import crystal, surface_energy
from softatoms.physics.crystals import DEFAULT, rest
from softatoms.physics.surfaces import cut_at_widest_gap

# Bonds that are cut per atom of the surface, and that atom's area in a².
BROKEN = {
    (1, 0, 0): (4, 1 / 2),
    (1, 1, 0): (6, 1 / 2**0.5),
    (1, 1, 1): (3, 3**0.5 / 4),
}


@pytest.mark.parametrize("facet", sorted(BROKEN))
def test_nearest_neighbours_by_counting_bonds(facet):
    potential = argon(cutoff=5.0, onset=4.5)
    start = crystal("fcc", "Ar", a=5.4)
    out = surface_energy(potential, start, facet)
    done = rest(potential, start, DEFAULT)
    bond, a = -done.energy / 6, (4 * abs(np.linalg.det(done.soft.cell))) ** (1 / 3)
    bonds, area = BROKEN[facet]
    expected = 0.5 * bonds * bond / (area * a * a)
    assert out.unrelaxed == pytest.approx(expected, rel=1e-7)
    assert out.relaxed == pytest.approx(expected, rel=1e-4)
    assert abs(out.bulk_error) < 1e-8
    assert out.residual < 1e-9


def test_facets_of_copper():
    potential = sa.load_potential("gupta", elements=["Cu"])
    found = {
        facet: surface_energy(potential, crystal("fcc", "Cu"), facet)
        for facet in ((1, 1, 1), (1, 0, 0), (1, 1, 0))
    }
    energies = [out.relaxed for out in found.values()]
    assert energies == sorted(energies)
    for out in found.values():
        assert 0 < out.relaxed < out.unrelaxed
        assert abs(out.bulk_error) < 2e-5
        assert out.relaxed_j_per_m2 == pytest.approx(16.0218 * out.relaxed, rel=1e-5)
    # The line does not depend on where it is taken.
    thick = surface_energy(potential, crystal("fcc", "Cu"), (1, 0, 0), thicknesses=(14, 18, 22))
    assert thick.relaxed == pytest.approx(found[(1, 0, 0)].relaxed, rel=1e-3)


def test_any_cell_gives_the_same_facet():
    potential = argon()
    start = crystal("fcc", "Ar", a=5.3)
    one, other = (
        surface_energy(potential, soft, (1, 1, 1)) for soft in (start, start.repeat((2, 1, 1)))
    )
    assert one.relaxed == pytest.approx(other.relaxed, rel=1e-6)


def test_where_a_cell_begins_does_not_decide_where_it_is_cut():
    potential, start = argon(), crystal("hcp", "Ar", a=3.7)
    # Planes of (1 0 1) are 1/6 and 5/6 of their spacing apart, so there are two ways to cut.
    moved = [
        start.with_positions(start.positions + shift, start.cell)
        for shift in ((0.0, 0.0, 0.0), (0.7, 0.4, 1.1), (-1.3, 0.2, 2.9), (0.1, 1.9, 0.3))
    ]
    moved.append(start.select(np.array([1, 0])))
    found = [surface_energy(potential, soft, (1, 0, 1), thicknesses=(8.0, 12.0)) for soft in moved]
    first = found[0]
    for one in found[1:]:
        assert one.relaxed == pytest.approx(first.relaxed, rel=1e-5)
        assert one.unrelaxed == pytest.approx(first.unrelaxed, rel=1e-5)


@pytest.mark.parametrize("facet", [(1, 1, 1), (-1, 1, 1), (1, 1, -1)])
@pytest.mark.parametrize("shift", [0.0, 0.1, -0.3])
def test_diamond_is_cut_through_single_bonds(facet, shift):
    unit = bulk("C", "diamond", a=3.57, cubic=True)
    unit.positions += shift * np.array(facet)
    slab = surface(cut_at_widest_gap(unit, facet), facet, 3, vacuum=5.0)
    number = np.bincount(neighbor_list("i", slab, 1.7), minlength=len(slab))
    # One of the four bonds of each atom at the two ends, not three.
    assert set(number.tolist()) == {3, 4}


@pytest.mark.parametrize("facet", [(2, 2, 2), (-3, 0, 0)])
def test_common_factors_of_indices_change_nothing(facet):
    start = crystal("fcc", "Ar", a=5.3)
    plain = tuple(np.sign(facet).tolist())
    one, other = (
        surface_energy(argon(), start, indices, thicknesses=(8.0, 12.0))
        for indices in (plain, facet)
    )
    assert other.facet == facet
    assert other.relaxed == pytest.approx(one.relaxed, rel=1e-9)
    assert other.area == pytest.approx(one.area, rel=1e-9)


def test_thicknesses_that_coincide_are_told_apart():
    out = surface_energy(argon(), crystal("fcc", "Ar", a=5.3), (1, 0, 0), thicknesses=(15.0, 15.5))
    assert len(set(out.n_sites.tolist())) == 2


@pytest.mark.parametrize("facet", [(0, 0, 0), (1, 0), (1, 0.5, 0), (True, 0, 0)])
def test_bad_facets(facet):
    with pytest.raises(OptionError, match="three whole numbers"):
        surface_energy(argon(), crystal("fcc", "Ar"), facet)


def test_bad_input():
    with pytest.raises(OptionError, match="at least 2"):
        surface_energy(argon(), crystal("fcc", "Ar"), (1, 0, 0), thicknesses=(10.0,))
    soft = crystal("fcc", "Ar").with_existence([0], 0.5)
    with pytest.raises(StructureError, match="without soft sites"):
        surface_energy(argon(), soft, (1, 0, 0))
