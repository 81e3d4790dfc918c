"""Explicit supercells of any parent, with the pair correlations of each sublattice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ..neighbours import neighbour_pairs, pair_vectors
from ..structure import SoftAtoms
from .parent_states import State
from .sqs import decorate_sites

if TYPE_CHECKING:
    from .parents import Parent
    from .tasks import Occupation

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_APART = 0.01
"""Distances in Å that differ by more belong to different shells."""

_WIDEN = 1.3
"""Factor by which the search for shells widens."""


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
        translations = _translations(self.rows)
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
        self.counts = _shell_counts(positions[shared], cell, self.shared.sublattice, shells)

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


def _translations(rows: Ints) -> Ints:
    """Lattice translations inside a supercell, in terms of the vectors of the parent's cell."""
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) @ rows
    low, high = corners.min(axis=0), corners.max(axis=0)
    axes = [np.arange(first, last + 1) for first, last in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = points @ np.linalg.inv(rows)
    chosen: Ints = points[((inside > -1e-9) & (inside < 1.0 - 1e-9)).all(axis=1)]
    return chosen


def _shell_counts(positions: Floats, cell: Floats, sublattice: Ints, shells: int) -> Floats:
    """See :class:`ParentSupercell`; shells are counted apart for each pair of sublattices."""
    n_sites = len(positions)
    kinds = int(sublattice.max()) + 1
    radius = 2.0 * (abs(np.linalg.det(cell)) / n_sites) ** (1.0 / 3.0)
    while True:
        pairs = neighbour_pairs(positions, cell, np.ones(3, dtype=bool), radius)
        lengths = np.linalg.norm(pair_vectors(positions, cell, pairs), axis=1)
        first, second = sublattice[pairs.receivers], sublattice[pairs.senders]
        found: list[Floats] = []
        for low in range(kinds):
            for high in range(low, kinds):
                own = ((first == low) & (second == high)) | ((first == high) & (second == low))
                found += _own_shells(pairs.receivers, pairs.senders, lengths, own, shells, n_sites)
        # One shell more than needed shows that the last one is whole.
        if len(found) == shells * kinds * (kinds + 1) // 2:
            return np.stack(found)
        radius *= _WIDEN


def _own_shells(
    receivers: Ints, senders: Ints, lengths: Floats, own: NDArray[np.bool_], shells: int, n: int
) -> list[Floats]:
    """Counts of each shell of one pair of sublattices; none if some are not whole yet."""
    chosen = np.flatnonzero(own)
    order = chosen[np.argsort(lengths[chosen], kind="stable")]
    starts = np.flatnonzero(np.diff(lengths[order], prepend=-1.0) > _APART)
    if len(starts) <= shells:
        return []
    counts = []
    for k in range(shells):
        members = order[starts[k] : starts[k + 1]]
        shell = np.zeros((n, n))
        np.add.at(shell, (receivers[members], senders[members]), 1.0)
        counts.append(shell)
    return counts
