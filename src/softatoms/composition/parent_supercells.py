"""Explicit supercells of any parent, with the pair correlations of each sublattice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ..structure import SoftAtoms
from .lattices import lattice_points, shell_counts
from .parent_states import State
from .sqs import decorate_sites

if TYPE_CHECKING:
    from .parents import Parent
    from .tasks import Occupation

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_APART = 0.01
"""Distances in Å that differ by more belong to different shells."""


class Shared(NamedTuple):
    """Sites of a supercell that elements share.

    Attributes:
        sites: Their indices in the supercell, shape (n,).
        sublattice: Index of the sublattice of each, shape (n,).
    """

    sites: Ints
    sublattice: Ints


class ParentSupercell:
    """An empty supercell of a parent.

    Args:
        parent: The parent.
        rows: Vectors of the supercell in terms of the parent's, shape (3, 3).
        shells: Neighbour shells whose pairs are matched, for each pair of sublattices.

    Attributes:
        names: Sublattices, in order.
        shared: The sites that elements share.
        counts: How often two of these sites see each other, images included, one entry per pair of
            sublattices and shell, shape (n_shells, n, n).
    """

    def __init__(self, parent: Parent, rows: Sequence[Sequence[int]], shells: int) -> None:
        self.parent = parent
        self.rows = np.array(rows, dtype=np.int64)
        translations = lattice_points(self.rows)
        n_sites = len(parent.start)
        self.origin = np.tile(np.arange(n_sites), len(translations))
        self.shift = np.repeat(translations, n_sites, axis=0)
        self.names = list(parent.sublattices)
        of_site = np.full(n_sites, -1)
        for index, sites in enumerate(parent.sublattices.values()):
            of_site[sites] = index
        shared: Ints = np.flatnonzero(of_site[self.origin] >= 0)
        self.shared = Shared(shared, of_site[self.origin[shared]])
        scaled = parent.start.positions @ np.linalg.inv(parent.start.cell)
        positions, cell = self._geometry(parent.start.cell, scaled)
        self.counts = shell_counts(
            positions[shared], cell, self.shared.sublattice, shells, apart=_APART
        )

    def __len__(self) -> int:
        """Number of sites."""
        return len(self.origin)

    def crystal(
        self,
        occupation: Occupation,
        cell: Floats,
        scaled: Floats,
        *,
        swaps: int,
        rng: np.random.Generator,
    ) -> tuple[SoftAtoms, float]:
        """A decorated supercell, and how far its pairs are from those of a random alloy.

        Args:
            occupation: Fractions on each sublattice; they must fit its number of sites.
            cell: Cell of the parent in Å, shape (3, 3).
            scaled: Fractional positions in it, shape (n_sites, 3).
            swaps: Exchanges that are tried at most; 0 leaves the supercell shuffled.
            rng: Source of randomness.
        """
        weights = [occupation[name] for name in self.names]
        made = decorate_sites(self.shared.sublattice, weights, self.counts, swaps=swaps, rng=rng)
        hosts = [next(iter(self.parent.start.candidates(s))) for s in range(len(self.parent.start))]
        symbols = [hosts[site] for site in self.origin.tolist()]
        for site, symbol in zip(self.shared.sites.tolist(), made.symbols, strict=True):
            symbols[site] = symbol
        positions, box = self._geometry(cell, scaled)
        return SoftAtoms.from_ase(Atoms(symbols, positions=positions, cell=box, pbc=True)), (
            made.error
        )

    def state(self, line: State) -> State:
        """The supercell of a state of the parent."""
        positions, cell = self._geometry(*line)
        return State(cell, positions @ np.linalg.inv(cell))

    def parent_cell(self, cell: Floats) -> Floats:
        """Cell of the parent, on average, in a supercell whose vectors are the rows of ``cell``."""
        return np.asarray(np.linalg.solve(self.rows.astype(np.float64), cell), dtype=np.float64)

    def _geometry(self, cell: Floats, scaled: Floats) -> tuple[Floats, Floats]:
        return (scaled[self.origin] + self.shift) @ cell, self.rows @ cell
