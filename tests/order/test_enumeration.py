"""Enumerated orders against published counts, and what they must not depend on."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from softatoms.order.enumeration import (
    enumerate_orders,
    hermite,
    operations,
    primitive,
    superlattices,
)
from softatoms.order.errors import OrderError
from softatoms.order.parents import make_parent, parent_of
from softatoms.structure import SoftAtoms


def alloy(atoms: Atoms, gold: float, sites: list[int] | None = None):
    chosen = list(range(len(atoms))) if sites is None else sites
    return make_parent(atoms, chosen, {"Cu": 1.0 - gold, "Au": gold})


def test_superlattices_of_the_fcc_lattice_are_as_many_as_published():
    # G. L. W. Hart and R. W. Forcade, Phys. Rev. B 77, 224115 (2008).
    rotations = [op.rotation for op in operations(primitive(alloy(bulk("Cu"), 0.5)))]
    assert len(rotations) == 48
    found = [len(superlattices(size, rotations)) for size in range(1, 9)]
    assert found == [1, 2, 3, 7, 5, 10, 7, 20]


def test_binary_structures_are_as_many_as_published():
    found = []
    for size in (2, 3, 4, 5):
        orders = [
            order
            for gold in range(1, size)
            for order in enumerate_orders(alloy(bulk("Cu"), gold / size), size)
            if len(order.species) == size
        ]
        found.append(len(orders))
    # Both labels count, so Cu3Au and CuAu3 are two.
    assert found == [2, 6, 19, 28]


def test_every_decoration_belongs_to_one_order():
    parent = alloy(bulk("Cu"), 0.5)
    orders = [order for order in enumerate_orders(parent, 4) if len(order.species) == 4]
    by_cell: dict[bytes, int] = {}
    for order in orders:
        key = order.matrix.tobytes()
        by_cell[key] = by_cell.get(key, 0) + order.multiplicity
    # In a cyclic supercell of four, the two decorations with half its period are left out.
    assert len(by_cell) == 5
    cyclic = by_cell[hermite(np.diag([1, 1, 4])).tobytes()]
    assert cyclic == comb(4, 2) - comb(2, 1)


def test_orders_do_not_depend_on_setting_and_origin():
    small = alloy(bulk("Cu", a=3.6), 0.25)
    cube = bulk("Cu", a=3.6, cubic=True)
    cube.positions += [0.3, 1.1, -0.7]
    cube.wrap()
    sheared = bulk("Cu", a=3.6)
    sheared.set_cell(np.array([[1, 1, 0], [0, 1, 0], [3, 0, 1]]) @ sheared.cell.array)
    counts = [len(enumerate_orders(p, 4)) for p in (small, alloy(cube, 0.25), alloy(sheared, 0.25))]
    assert counts == [7, 7, 7]


def test_other_sublattices_break_the_symmetry_of_the_mixed_one():
    # A fixed atom that stands beside the mixed sites makes their lattice tetragonal.
    atoms = Atoms("CuO", scaled_positions=[[0, 0, 0], [0, 0, 0.4]], cell=[3.0] * 3, pbc=True)
    assert len(enumerate_orders(alloy(atoms, 0.5, [0]), 2)) == 5
    plain = Atoms("Cu", cell=[3.0] * 3, pbc=True)
    assert len(enumerate_orders(alloy(plain, 0.5), 2)) == 3


def test_three_elements_and_ordinary_supercells():
    parent = make_parent(bulk("Cu"), [0], {"Cu": 1 / 3, "Au": 1 / 3, "Ni": 1 / 3})
    orders = enumerate_orders(parent, 3)
    assert [sorted(order.species) for order in orders] == [["Au", "Cu", "Ni"]] * len(orders)
    filled = primitive(parent).supercell(orders[0].matrix).decorated(orders[0].species)
    assert len(filled) == 3


def test_what_cannot_be_enumerated_is_told():
    with pytest.raises(OrderError, match="no supercell of up to 2 primitive cells fits"):
        enumerate_orders(alloy(bulk("Cu"), 0.3), 2)
    many = bulk("Cu", cubic=True).repeat((2, 2, 2))
    many.positions[0] += [0.1, 0.17, 0.23]
    with pytest.raises(OrderError, match="have 601080390 decorations"):
        enumerate_orders(alloy(many, 0.5), 1)


def test_parents_are_read_from_partial_occupancies_and_checked():
    soft = SoftAtoms.from_ase(bulk("NaCl", "rocksalt", a=5.6)).with_candidates(
        [0], {"Na": 0.5, "K": 0.5}
    )
    parent = parent_of(soft)
    assert parent.n_mixed == 1
    assert parent.fractions == pytest.approx({"Na": 0.5, "K": 0.5})
    assert len(enumerate_orders(parent, 2)) == 2
    with pytest.raises(OrderError, match="partly empty"):
        parent_of(soft.with_weights([0.5, 0.4]))
    with pytest.raises(OrderError, match="one mixed sublattice"):
        parent_of(soft.with_candidates([1], {"Cl": 0.5, "Br": 0.5}))
    with pytest.raises(OrderError, match="at least one mixed site"):
        parent_of(SoftAtoms.from_ase(bulk("Cu")))
    with pytest.raises(OrderError, match="must sum to 1"):
        make_parent(bulk("Cu"), [0], {"Cu": 0.5, "Au": 0.4})
    with pytest.raises(OrderError, match="periodic"):
        make_parent(Atoms("Cu"), [0], {"Cu": 0.5, "Au": 0.5})
