"""Double perovskites A2BB'O6: the cubic parent, its named orders, tilts, and ionic radii.

The orders of B and B' on the simple cubic lattice of B sites are named by where the two alternate:
along all three axes (rocksalt), along one (layered), or along two (columnar).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from ..errors import suggest
from .errors import OrderError
from .parents import Parent, Supercell, make_parent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .experiments import Compound

ORDERS = {"rocksalt": (1, 1, 1), "layered": (0, 0, 1), "columnar": (1, 1, 0)}
"""Axes along which B and B' alternate."""

_SMALLEST = {
    "rocksalt": ((0, 1, 1), (1, 0, 1), (1, 1, 0)),
    "layered": ((1, 0, 0), (0, 1, 0), (0, 0, 2)),
    "columnar": ((1, -1, 0), (1, 1, 0), (0, 0, 1)),
}
"""Supercells of ten sites that hold each order, in units of the cubic cell."""

_TILTED = ((1, -1, 0), (1, 1, 0), (0, 0, 2))
"""The cell of the tilt system a⁻a⁻c⁺, which holds all three orders."""

_OXYGEN_RADIUS = 1.40
"""Shannon's radius of O2− in Å on which those of the cations rest."""

_B, _A = 0, 1


def cubic_parent(compound: Compound, a: float | None = None) -> Parent:
    """The cubic perovskite with both B cations on one site, five sites in all.

    Args:
        compound: The compound.
        a: Lattice parameter in Å; twice the mean length of a B–O bond by ionic radii if None.
    """
    if a is None:
        radii = [ionic_radius(*ion) for ion in compound.ions]
        a = 2.0 * (sum(radii) / 2.0 + _OXYGEN_RADIUS)
    places = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5)]
    first, second = compound.b_elements
    atoms = Atoms(
        [first, compound.a_element, "O", "O", "O"],
        scaled_positions=places,
        cell=[a, a, a],
        pbc=True,
    )
    return make_parent(atoms, [_B], {first: 0.5, second: 0.5})


def order_cell(order: str, tilted: bool) -> NDArray[np.int64]:
    """Supercell that holds an order, in units of the cubic cell; of ``disorder`` the smallest."""
    if tilted:
        return np.array(_TILTED, dtype=np.int64)
    if order == "disorder":
        return np.eye(3, dtype=np.int64)
    return np.array(_SMALLEST[order], dtype=np.int64)


def ordered_species(supercell: Supercell, matrix: NDArray[np.int64], order: str) -> list[str]:
    """Element of each B site of a named order.

    Args:
        supercell: Supercell of a cubic parent.
        matrix: Its vectors in units of the cubic cell.
        order: ``rocksalt``, ``layered`` or ``columnar``.
    """
    if order not in ORDERS:
        raise OrderError(f"unknown order '{order}': {suggest(order, ORDERS)}")
    cells = np.rint(supercell.scaled[supercell.mixed] @ matrix).astype(np.int64)
    odd = cells @ np.array(ORDERS[order]) % 2
    species = [supercell.parent.elements[k] for k in odd.tolist()]
    if len(set(species)) < 2 or species.count(species[0]) * 2 != len(species):
        raise OrderError(f"the supercell {matrix.tolist()} does not hold the order {order}")
    return species


def tilted(supercell: Supercell, matrix: NDArray[np.int64], degrees: float) -> Supercell:
    """Turn the octahedra as in the tilt system a⁻a⁻c⁺.

    Args:
        supercell: Supercell of a cubic parent that has an even number of cells along each axis
            along which octahedra turn in opposite directions.
        matrix: Its vectors in units of the cubic cell.
        degrees: Angle about each axis.
    """
    angle = np.radians(degrees)
    cubic = supercell.scaled @ matrix
    shift = np.zeros_like(cubic)
    for site, copy in enumerate(supercell.copies.tolist()):
        if copy in (_A, _B):
            continue
        bond = 0.5 * np.eye(3)[copy - 2]
        octahedron = np.rint(cubic[site] - bond).astype(np.int64)
        out = (-1.0) ** octahedron.sum()
        along = (-1.0) ** octahedron[:2].sum()
        shift[site] = np.cross(angle * np.array([out, out, along]), bond)
    scaled = (supercell.scaled + shift @ np.linalg.inv(matrix)) % 1.0
    return Supercell(supercell.cell, scaled, supercell.copies, supercell.parent)


def ionic_radius(element: str, charge: int) -> float:
    """Shannon's radius in Å of a cation with six neighbours, at high spin where there is a choice.

    Raises:
        OrderError: If there is none.
    """
    from pymatgen.core.periodic_table import Species

    ion = Species(element, charge)
    tabulated = ion.data["Shannon radii"].get(str(charge), {}).get("VI")
    if tabulated is None:
        raise OrderError(
            f"{element} of charge {charge:+d} has no Shannon radius with six neighbours"
        )
    spin = "High Spin" if "High Spin" in tabulated else next(iter(tabulated))
    return float(tabulated[spin]["ionic_radius"])
