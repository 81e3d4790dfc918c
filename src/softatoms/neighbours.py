"""Which sites see each other: pairs of sites and periodic images within a cutoff.

The search itself is vesin's. This module adds what a simulation needs around it: cells that are
only partly periodic, and a list with a skin that knows exactly how long it stays valid.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import vesin
from numpy.typing import NDArray


class Pairs(NamedTuple):
    """Directed pairs of sites, each pair in both directions, sorted by receiver.

    Attributes:
        receivers: Site that sees, shape (n_pairs,), int64.
        senders: Site that is seen, shape (n_pairs,), int64.
        shifts: Lattice translation of the sender's image, shape (n_pairs, 3), int32. The pair's
            vector is ``positions[senders] + shifts @ cell - positions[receivers]``.
    """

    receivers: NDArray[np.int64]
    senders: NDArray[np.int64]
    shifts: NDArray[np.int32]


def complete_cell(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace zero lattice vectors by unit vectors perpendicular to the others.

    Args:
        cell: Lattice vectors as rows in Å, shape (3, 3).

    Returns:
        A cell of rank 3 wherever the given vectors allow it, shape (3, 3).
    """
    full = np.array(cell, dtype=np.float64)
    missing = np.flatnonzero(~full.any(axis=1))
    if len(missing) == 3:
        return np.eye(3)
    if len(missing):
        # The last right-singular vectors span what the given lattice vectors leave open.
        full[missing] = np.linalg.svd(full)[2][3 - len(missing) :]
    return full


def neighbour_pairs(
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    pbc: NDArray[np.bool_],
    cutoff: float,
) -> Pairs:
    """All pairs of sites closer than a cutoff, own images included.

    Args:
        positions: Cartesian positions in Å, shape (n_sites, 3), inside the cell or not.
        cell: Lattice vectors as rows in Å, shape (3, 3).
        pbc: Periodicity along each lattice vector, shape (3,).
        cutoff: Radius in Å.

    Returns:
        The pairs, in both directions.
    """
    finder = vesin.NeighborList(cutoff=cutoff, full_list=True, sorted=True)
    i, j, shifts = finder.compute(
        points=positions, box=complete_cell(cell), periodic=pbc, quantities="ijS"
    )
    return Pairs(i.astype(np.int64), j.astype(np.int64), shifts)


def pair_vectors(
    positions: NDArray[np.float64], cell: NDArray[np.float64], pairs: Pairs
) -> NDArray[np.float64]:
    """Vector from receiver to sender of each pair in Å, shape (n_pairs, 3)."""
    return positions[pairs.senders] - positions[pairs.receivers] + pairs.shifts @ cell


class SkinnedList:
    """A pair list with a margin, rebuilt only when a pair could have been missed.

    A list made with radius cutoff + skin contains every pair within the cutoff as long as no pair
    outside can have come that close. If the cell was deformed by F and the sites moved by at most u
    on top of that deformation, a pair that was farther apart than cutoff + skin is now farther than
    σ_min(F)·(cutoff + skin) − 2u, with σ_min the smallest singular value. The list is kept exactly
    as long as this bound is at least the cutoff.

    Args:
        cutoff: Radius in Å within which no pair may be missed.
        skin: Margin in Å.
    """

    def __init__(self, cutoff: float, skin: float) -> None:
        self.cutoff = cutoff
        self.skin = skin
        self.rebuilds = 0
        self._pairs: Pairs | None = None
        self._positions = np.zeros((0, 3))
        self._cell = np.zeros((3, 3))
        self._pbc = np.zeros(3, dtype=bool)

    def pairs(
        self,
        positions: NDArray[np.float64],
        cell: NDArray[np.float64],
        pbc: NDArray[np.bool_],
    ) -> Pairs:
        """Pairs that include every one within the cutoff (and some beyond it)."""
        if self._pairs is None or not self._is_valid(positions, cell, pbc):
            self._pairs = neighbour_pairs(positions, cell, pbc, self.cutoff + self.skin)
            self._positions, self._cell, self._pbc = positions.copy(), cell.copy(), pbc.copy()
            self.rebuilds += 1
        return self._pairs

    def _is_valid(
        self, positions: NDArray[np.float64], cell: NDArray[np.float64], pbc: NDArray[np.bool_]
    ) -> bool:
        if positions.shape != self._positions.shape or not np.array_equal(pbc, self._pbc):
            return False
        reach = self.cutoff + self.skin
        moved = positions - self._positions
        if not np.array_equal(cell, self._cell):
            deformation = np.linalg.solve(complete_cell(self._cell), complete_cell(cell))
            reach *= np.linalg.svd(deformation, compute_uv=False)[-1]
            moved = positions - self._positions @ deformation
        # A common drift brings no pair closer.
        moved = moved - moved.mean(axis=0)
        return bool(reach - 2.0 * np.sqrt((moved**2).sum(axis=1).max()) >= self.cutoff)
