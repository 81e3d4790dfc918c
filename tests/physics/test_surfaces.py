"""Surface energies: bonds counted, thicknesses, facets."""

from __future__ import annotations

import numpy as np
import pytest
from crystals_exact import argon

import softatoms as sa
from softatoms.errors import OptionError, StructureError
from softatoms.physics import crystal, surface_energy
from softatoms.physics.crystals import DEFAULT, rest

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
