"""Crystals on parent lattices: soft unit cells and explicit supercells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from ase.data import atomic_numbers, covalent_radii, reference_states

from ..structure import SoftAtoms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .prototypes import Prototype
    from .tasks import Occupation


_ATOMS_PER_CELL = {"sc": 1, "bcc": 2, "bct": 2, "hcp": 2, "fcc": 4, "diamond": 8}
"""Atoms in the conventional cell of simple lattices, with the names of ASE."""


class Supercell(NamedTuple):
    """An empty supercell, made of conventional cells of lattice parameter 1.

    Attributes:
        positions: Cartesian positions in units of the lattice parameter, shape (n_sites, 3).
        cell: Lattice vectors as rows in the same unit, shape (3, 3).
        sublattice: Index of each site's sublattice in the prototype, shape (n_sites,).
    """

    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    sublattice: NDArray[np.int64]


def soft_crystal(prototype: Prototype, a: float, occupation: Occupation) -> SoftAtoms:
    """Primitive cell in which every sublattice is one group of soft sites.

    Args:
        prototype: Parent lattice.
        a: Lattice parameter of the conventional cell in Å.
        occupation: Weights on each sublattice.
    """
    labels = [sublattice for _, sublattice in prototype.sites]
    soft = plain_crystal(prototype, a, [max(occupation[label]) for label in labels])
    for name, weights in occupation.items():
        sites = [index for index, label in enumerate(labels) if label == name]
        soft = soft.with_candidates(sites, weights, tie=name)
    return soft


def plain_crystal(prototype: Prototype, a: float, symbols: list[str]) -> SoftAtoms:
    """Primitive cell of an ordered crystal.

    Args:
        prototype: Parent lattice.
        a: Lattice parameter of the conventional cell in Å.
        symbols: Element of each site.
    """
    cell = a * np.array(prototype.vectors)
    positions = np.array([position for position, _ in prototype.sites])
    return SoftAtoms.from_ase(Atoms(symbols, scaled_positions=positions, cell=cell, pbc=True))


def supercell(prototype: Prototype, repeats: list[int]) -> Supercell:
    """Supercell of conventional cubes.

    Args:
        prototype: Parent lattice.
        repeats: Number of cubes along each axis.
    """
    names = list(prototype.sublattices)
    vectors = np.array(prototype.vectors)
    primitive = Atoms(
        [1] * len(prototype.sites),
        scaled_positions=[position for position, _ in prototype.sites],
        cell=vectors,
        pbc=True,
        tags=[names.index(sublattice) for _, sublattice in prototype.sites],
    )
    # Rows of the inverse write the axes of the cube as sums of primitive vectors.
    cubes = np.diag(repeats) @ np.rint(np.linalg.inv(vectors)).astype(int)
    filled: Atoms = make_supercell(primitive, cubes)
    tags: NDArray[np.int64] = filled.arrays["tags"].astype(np.int64)
    return Supercell(filled.positions, np.array(filled.cell), tags)


def explicit_crystal(empty: Supercell, a: float, symbols: list[str]) -> SoftAtoms:
    """A supercell with one element on every site.

    Args:
        empty: The supercell.
        a: Lattice parameter of the conventional cell in Å.
        symbols: Element of each site.
    """
    atoms = Atoms(symbols, positions=a * empty.positions, cell=a * empty.cell, pbc=True)
    return SoftAtoms.from_ase(atoms)


def guessed_lattice_parameter(prototype: Prototype, element: str) -> float:
    """Lattice parameter in Å from which to relax a pure element on a parent lattice.

    It holds the atomic volume of the element as it is found in nature, which changes little between
    dense lattices. Where that is not known, neighbours touch with their covalent radii, which for
    transition metals are up to a fifth too long.
    """
    volume = experimental_volume(element)
    if volume is not None:
        return lattice_parameter(prototype, volume)
    radius = float(covalent_radii[atomic_numbers[element]])
    return 2.0 * radius / prototype.neighbour_distance


def experimental_volume(element: str) -> float | None:
    """Volume in Å³ per atom of an element's reference state, by the lattice parameters of ASE.

    None where that is no simple lattice, such as a molecule or a crystal with free coordinates.
    """
    state = reference_states[atomic_numbers[element]]
    if state is None or "basis" in state or state["symmetry"] not in _ATOMS_PER_CELL:
        return None
    lengths: dict[str, Any] = state
    cell = float(lengths["a"]) ** 3 * float(lengths.get("c/a", 1.0))
    if state["symmetry"] == "hcp":
        cell *= 0.75**0.5
    return cell / _ATOMS_PER_CELL[state["symmetry"]]


def lattice_parameter(prototype: Prototype, volume_per_atom: float) -> float:
    """Lattice parameter in Å of the conventional cell with this volume (Å³) per atom."""
    return float((prototype.sites_per_cube * volume_per_atom) ** (1.0 / 3.0))
