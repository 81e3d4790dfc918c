"""Slabs against the geometry of crystals and against those of ASE."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc100, fcc110, fcc111, hcp0001, surface

import softatoms as sa
from softatoms.errors import OptionError, StructureError
from softatoms.surface.slabs import make_slab

A = 3.61


def distances(atoms: Atoms) -> np.ndarray:
    """All distances below 6 Å around every atom, sorted, as a fingerprint without a direction."""
    from ase.neighborlist import neighbor_list

    return np.sort(neighbor_list("d", atoms, 6.0))


@pytest.mark.parametrize(
    ("facet", "build", "lengths", "angle"),
    [
        ((1, 1, 0), fcc110, (A / 2**0.5, A), 90.0),
        ((1, 0, 0), fcc100, (A / 2**0.5, A / 2**0.5), 90.0),
        ((1, 1, 1), fcc111, (A / 2**0.5, A / 2**0.5), 120.0),
    ],
)
def test_primitive_surface_cells_are_those_of_ase(facet, build, lengths, angle):
    slab = make_slab(bulk("Cu", a=A), facet, planes=5)
    theirs = build("Cu", (1, 1, 5), a=A, vacuum=6.0)
    ours = slab.soft.to_ase()
    assert len(ours) == len(theirs) == 5
    assert ours.cell.lengths()[:2] == pytest.approx(lengths, rel=1e-9, abs=0)
    assert ours.cell.angles()[2] == pytest.approx(angle, rel=1e-9, abs=0)
    assert distances(ours) == pytest.approx(distances(theirs), rel=1e-9, abs=1e-9)
    assert slab.area == pytest.approx(
        np.linalg.norm(np.cross(*theirs.cell.array[:2])), rel=1e-9, abs=0
    )
    assert slab.top - slab.bottom == pytest.approx(np.ptp(theirs.positions[:, 2]), rel=1e-9, abs=0)


def test_larger_cells_repeat_the_slab():
    small = make_slab(bulk("Cu", a=A), (1, 1, 0), planes=4, frozen=2)
    large = make_slab(bulk("Cu", a=A), (1, 1, 0), planes=4, repeat=((3, 1), (-3, 1)), frozen=2)
    assert len(large.soft) == 6 * len(small.soft)
    assert large.area == pytest.approx(6 * small.area, rel=1e-12, abs=0)
    assert large.fixed.sum() == 6 * small.fixed.sum() == 12
    heights = large.soft.positions[:, 2]
    assert heights[large.fixed].max() < heights[~large.fixed].min()
    gupta = sa.load_potential("gupta", elements=["Cu"])
    one = float(sa.evaluate(gupta, small.soft).energy)
    assert float(sa.evaluate(gupta, large.soft).energy) == pytest.approx(6 * one, rel=1e-12, abs=0)


def test_energies_are_those_of_slabs_of_ase():
    gupta = sa.load_potential("gupta", elements=["Cu"])
    theirs = surface(bulk("Cu", a=A, cubic=True), (2, 1, 1), 6, vacuum=8.0)
    ours = make_slab(bulk("Cu", a=A), (2, 1, 1), planes=12)
    energies = [
        float(sa.evaluate(gupta, soft).energy) / area
        for soft, area in (
            (ours.soft, ours.area),
            (
                sa.SoftAtoms.from_ase(theirs),
                float(np.linalg.norm(np.cross(*theirs.cell.array[:2]))),
            ),
        )
    ]
    planes = len(theirs) / (np.linalg.norm(np.cross(*theirs.cell.array[:2])) / ours.area)
    assert planes == pytest.approx(12, rel=1e-9, abs=0)
    assert energies[0] == pytest.approx(energies[1], rel=1e-9, abs=0)


def test_hexagonal_crystals_and_compounds():
    magnesium = make_slab(bulk("Mg"), (0, 0, 1), planes=4)
    theirs = hcp0001("Mg", (1, 1, 4), vacuum=5.0)
    assert distances(magnesium.soft.to_ase()) == pytest.approx(
        distances(theirs), rel=1e-6, abs=1e-6
    )
    salt = bulk("NaCl", "rocksalt", a=5.64)
    slab = make_slab(salt, (1, 0, 0), planes=3)
    assert sorted(slab.soft.to_ase().get_chemical_symbols()) == ["Cl"] * 3 + ["Na"] * 3
    assert slab.area == pytest.approx(5.64**2 / 2, rel=1e-9, abs=0)
    polar = make_slab(salt, (1, 1, 1), planes=4)
    planes = [
        polar.soft.to_ase().get_chemical_symbols()[i]
        for i in np.argsort(polar.soft.positions[:, 2])
    ]
    assert planes in (["Na", "Cl", "Na", "Cl"], ["Cl", "Na", "Cl", "Na"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"planes": 0}, "planes must be a whole number of at least 1, got 0"),
        ({"planes": 3, "frozen": 4}, "frozen must be a whole number from 0 to 3, got 4"),
        ({"planes": 3, "repeat": ((1, 0), (2, 0))}, "positive determinant"),
        ({"planes": 3, "repeat": ((1.5, 0), (0, 1))}, "2 × 2 whole numbers"),
        ({"planes": 3, "vacuum": -1.0}, "vacuum must be"),
    ],
)
def test_bad_options_are_told(options, message):
    with pytest.raises(OptionError, match=message):
        make_slab(bulk("Cu", a=A), (1, 1, 0), **options)


def test_soft_crystals_are_refused():
    soft = sa.SoftAtoms.from_ase(bulk("Cu")).with_candidates([0], {"Cu": 0.5, "Au": 0.5})
    with pytest.raises(StructureError, match="without soft sites"):
        make_slab(soft, (1, 1, 0), planes=3)
