"""Which sites see each other: pairs of sites and periodic images within a cutoff.

The search itself is vesin's. This module adds what a simulation needs around it: cells that are
only partly periodic, and a list with a skin that knows exactly how long it stays valid.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import vesin
from numpy.typing import NDArray

from .errors import StructureError

MOST_BOXES = 1e5
"""How many boxes vesin sorts points into; beyond it coarsens all three directions alike."""

LONGEST_IN_CUTOFFS = 1e6
"""No search grid spans a longer cell."""


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


def complete_cell(cell: NDArray[np.float64], pbc: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Replace lattice vectors along which nothing repeats by unit vectors across the others.

    Args:
        cell: Lattice vectors as rows in Å, shape (3, 3).
        pbc: Periodicity along each lattice vector, shape (3,).

    Returns:
        A cell of rank 3, shape (3, 3).

    Raises:
        StructureError: If a periodic lattice vector is zero or depends on the others.
    """
    full = np.where(pbc[:, None], cell, 0.0)
    if not np.isfinite(full).all():
        raise StructureError("cell contains nan or infinite values")
    zero = pbc & ~full.any(axis=1)
    if zero.any():
        raise StructureError(
            f"cell is singular: periodic lattice vector {np.flatnonzero(zero)[0]} is zero"
        )
    # The last right-singular vectors span what the periodic lattice vectors leave open.
    full[~pbc] = np.linalg.svd(full)[2][int(pbc.sum()) :]
    if abs(np.linalg.det(full)) < 1e-8 * np.prod(np.linalg.norm(full, axis=1)):
        raise StructureError("cell is singular: its lattice vectors are linearly dependent")
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

    Raises:
        StructureError: If a position is not finite, or the periodic part of the cell is singular.
    """
    finite = np.isfinite(positions).all(axis=1)
    if not finite.all():
        raise StructureError(
            f"position of site {np.flatnonzero(~finite)[0]} contains nan or infinite values"
        )
    box = complete_cell(cell, pbc)
    points = _without_wide_gaps(positions, box[~pbc], cutoff)
    radius = _radius_that_vesin_bears(points, box, pbc, cutoff)
    finder = vesin.NeighborList(cutoff=radius, full_list=True, sorted=True)
    i, j, shifts = finder.compute(points=points, box=box, periodic=pbc, quantities="ijS")
    pairs = Pairs(i.astype(np.int64), j.astype(np.int64), shifts)
    if radius == cutoff:
        return pairs
    near = (pair_vectors(positions, cell, pairs) ** 2).sum(axis=1) < cutoff**2
    return Pairs(*(part[near] for part in pairs))


def _without_wide_gaps(
    positions: NDArray[np.float64], axes: NDArray[np.float64], cutoff: float
) -> NDArray[np.float64]:
    """Positions with the same pairs, moved together where no pair reaches across.

    An atom that left a cluster long ago, or a run that exploded, would otherwise span a space that
    no search grid can cover.

    Args:
        positions: Cartesian positions in Å, shape (n_sites, 3).
        axes: Unit vectors along which nothing repeats, shape (n_axes, 3).
        cutoff: Radius in Å.
    """
    for axis in axes:
        height = positions @ axis
        if np.ptp(height) < 100.0 * cutoff:
            continue
        order = np.argsort(height)
        gaps = np.diff(height[order])
        surplus = np.cumsum(np.where(gaps > 3.0 * cutoff, gaps - 2.0 * cutoff, 0.0))
        down = np.zeros(len(positions))
        down[order[1:]] = surplus
        positions = positions - down[:, None] * axis
    return positions


def _radius_that_vesin_bears(
    points: NDArray[np.float64], box: NDArray[np.float64], pbc: NDArray[np.bool_], cutoff: float
) -> float:
    """The cutoff, or a larger radius where vesin's grid would come to nothing.

    Too fine a grid is coarsened by one factor in all directions. Where the system is thin, as a
    sheet or a wire, less than one box is left across it, and vesin divides by 0: the process dies.
    """
    across = np.linalg.inv(box)
    extent = np.where(pbc, 1.0, np.ptp(points @ across, axis=0)) / np.linalg.norm(across, axis=0)
    if extent.max() > LONGEST_IN_CUTOFFS * cutoff:
        raise StructureError(f"cell is too large for a neighbour search: {extent.max():g} Å across")
    radius = cutoff
    while True:
        fewest = np.maximum(np.floor(extent / radius), 1.0)
        factor = MOST_BOXES / np.prod(fewest + 1.0)
        if factor >= 1.0 or fewest.min() * factor ** (1 / 3) >= 1.0:
            return radius
        radius *= 1.2


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
            # The deformation nearest to none that takes the old lattice vectors to the new ones.
            deformation = np.eye(3) + np.linalg.pinv(self._cell) @ (cell - self._cell)
            if not np.allclose((self._cell @ deformation)[pbc], cell[pbc], rtol=0.0, atol=1e-9):
                return False
            reach *= np.linalg.svd(deformation, compute_uv=False)[-1]
            moved = positions - self._positions @ deformation
        # A common drift brings no pair closer.
        moved = moved - moved.mean(axis=0)
        return bool(reach - 2.0 * np.sqrt((moved**2).sum(axis=1).max()) >= self.cutoff)
