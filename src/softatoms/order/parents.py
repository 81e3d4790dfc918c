"""A crystal with a mixed sublattice, and its supercells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from ..composition.lattices import lattice_points
from ..structure import SoftAtoms
from .errors import OrderError

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE = 1e-4
"""Fractional coordinates closer than this are the same."""

_WHOLE = 1e-6
"""Amounts of atoms closer than this to a whole number are whole."""

TIE = "mixed"
"""Name under which the mixed sites of a soft structure share their weights."""


@dataclass(frozen=True)
class Parent:
    """A periodic crystal, some of whose sites are shared by several elements.

    Attributes:
        cell: Lattice vectors as rows in Å, shape (3, 3).
        scaled: Fractional positions, shape (n_sites, 3).
        symbols: Element of each site; of mixed sites it is not looked at.
        mixed: Whether a site is mixed, shape (n_sites,).
        fractions: Share of each element of the mixed sites; they sum to 1.
    """

    cell: NDArray[np.float64]
    scaled: NDArray[np.float64]
    symbols: tuple[str, ...]
    mixed: NDArray[np.bool_]
    fractions: dict[str, float]

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements of the mixed sites, in order."""
        return tuple(self.fractions)

    @property
    def n_mixed(self) -> int:
        """Number of mixed sites in the cell."""
        return int(self.mixed.sum())

    def counts(self, sites: int) -> dict[str, int]:
        """Number of atoms of each element on so many mixed sites.

        Raises:
            OrderError: If that is no whole number.
        """
        found = {}
        for element, fraction in self.fractions.items():
            amount = fraction * sites
            if abs(amount - round(amount)) > _WHOLE * max(1.0, sites):
                raise OrderError(
                    f"{fraction:g} of {sites} mixed sites is no whole number of {element}: choose "
                    "another supercell"
                )
            found[element] = round(amount)
        return found

    def supercell(self, matrix: NDArray[np.int64]) -> Supercell:
        """The sites of a supercell, in the order of their lattice points.

        Args:
            matrix: Its vectors as rows in units of those of this cell, shape (3, 3).
        """
        points = lattice_points(matrix)
        inverse = np.linalg.inv(matrix)
        scaled = (points[:, None, :] + self.scaled[None, :, :]).reshape(-1, 3) @ inverse
        copies = np.tile(np.arange(len(self.scaled)), len(points))
        return Supercell(matrix @ self.cell, scaled % 1.0, copies, self)


@dataclass(frozen=True)
class Supercell:
    """A supercell of a parent.

    Attributes:
        cell: Lattice vectors as rows in Å, shape (3, 3).
        scaled: Fractional positions, shape (n_sites, 3).
        copies: Site of the parent that each one is a copy of, shape (n_sites,).
        parent: The parent.
    """

    cell: NDArray[np.float64]
    scaled: NDArray[np.float64]
    copies: NDArray[np.int64]
    parent: Parent

    @property
    def mixed(self) -> NDArray[np.int64]:
        """Indices of the mixed sites."""
        return np.flatnonzero(self.parent.mixed[self.copies])

    def decorated(self, species: Sequence[str]) -> SoftAtoms:
        """Explicit structure.

        Args:
            species: Element of each mixed site, in order.
        """
        symbols = [self.parent.symbols[copy] for copy in self.copies]
        for site, symbol in zip(self.mixed.tolist(), species, strict=True):
            symbols[site] = symbol
        return self._structure(symbols)

    def soft(self) -> SoftAtoms:
        """Structure whose mixed sites hold all elements at once, with shared weights."""
        symbols = [self.parent.symbols[copy] for copy in self.copies]
        for site in self.mixed.tolist():
            symbols[site] = self.parent.elements[0]
        return self._structure(symbols).with_candidates(self.mixed, self.parent.fractions, tie=TIE)

    def _structure(self, symbols: list[str]) -> SoftAtoms:
        positions = self.scaled @ self.cell
        return SoftAtoms.from_ase(Atoms(symbols, positions=positions, cell=self.cell, pbc=True))


def make_parent(atoms: Atoms, sites: Sequence[int], fractions: Mapping[str, float]) -> Parent:
    """A parent from a structure.

    Args:
        atoms: Periodic structure.
        sites: Indices of the mixed sites.
        fractions: Share of each element on them.

    Raises:
        OrderError: If the structure, the sites or the shares are not usable.
    """
    if not atoms.pbc.all() or abs(np.linalg.det(np.array(atoms.cell))) < TOLERANCE:
        raise OrderError("a parent must be periodic in all directions")
    if not sites:
        raise OrderError("a parent needs at least one mixed site")
    shares = {element: float(share) for element, share in fractions.items() if share > 0.0}
    if len(shares) < 2 or any(share < 0.0 for share in fractions.values()):
        raise OrderError(f"mixed sites need at least two elements, got {dict(fractions)}")
    if abs(sum(shares.values()) - 1.0) > 1e-6:
        raise OrderError(f"the shares of the mixed sites must sum to 1, got {dict(fractions)}")
    mixed = np.zeros(len(atoms), dtype=bool)
    mixed[list(sites)] = True
    return Parent(
        cell=np.array(atoms.cell, dtype=np.float64),
        scaled=atoms.get_scaled_positions(wrap=True),
        symbols=tuple(atoms.get_chemical_symbols()),
        mixed=mixed,
        fractions=shares,
    )


def parent_of(soft: SoftAtoms) -> Parent:
    """The parent of a structure with partial occupancies, such as one from a disordered CIF.

    Raises:
        OrderError: If the soft sites do not all hold the same elements in the same shares, or are
            partly empty.
    """
    sites = [site for site in range(len(soft)) if len(soft.candidates(site)) > 1]
    held = [soft.candidates(site) for site in sites]
    for site, occupancies in zip(sites, held, strict=True):
        if set(occupancies) != set(held[0]) or any(
            abs(occupancies[element] - held[0][element]) > 1e-4 for element in occupancies
        ):
            raise OrderError(
                f"site {site} holds {occupancies}, but site {sites[0]} {held[0]}: one mixed "
                "sublattice is treated, all of whose sites hold the same"
            )
    if np.abs(soft.existence - 1.0).max(initial=0.0) > 1e-4:
        raise OrderError("sites that are partly empty are not treated")
    return make_parent(soft.to_ase(), sites, held[0] if held else {})
