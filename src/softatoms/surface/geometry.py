"""Distances of a few atoms across periodic boundaries, and who hangs together with whom."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from ..neighbours import complete_cell

Floats = NDArray[np.float64]


class Space:
    """A cell in which distances are taken to the nearest image.

    Args:
        cell: Lattice vectors as rows in Å, shape (3, 3).
        pbc: Periodicity along each lattice vector, shape (3,).
    """

    def __init__(self, cell: Floats, pbc: NDArray[np.bool_]) -> None:
        self.pbc = np.asarray(pbc, dtype=bool)
        self.cell = complete_cell(np.asarray(cell, dtype=np.float64), self.pbc)
        self._inverse = np.linalg.inv(self.cell)
        # After wrapping to the nearest lattice point along each vector, the nearest image is one of
        # these unless the cell is far from reduced.
        reach = [range(-1, 2) if repeats else range(1) for repeats in self.pbc]
        self._shifts = np.array(list(itertools.product(*reach)), dtype=np.float64) @ self.cell

    def vectors(self, start: Floats, end: Floats) -> Floats:
        """Shortest vectors from each start to each end in Å, shape (n_start, n_end, 3)."""
        away = end[None, :, :] - start[:, None, :]
        if not self.pbc.any():
            return away
        turns = np.where(self.pbc, np.round(away @ self._inverse), 0.0)
        away = away - turns @ self.cell
        images = away[:, :, None, :] + self._shifts
        nearest = (images**2).sum(axis=-1).argmin(axis=-1)
        shortest: Floats = np.take_along_axis(images, nearest[:, :, None, None], axis=2)[:, :, 0]
        return shortest

    def distances(self, start: Floats, end: Floats) -> Floats:
        """Distances to the nearest images in Å, shape (n_start, n_end)."""
        vectors = self.vectors(start, end)
        distances: Floats = np.sqrt((vectors**2).sum(axis=-1))
        return distances

    def wrapped(self, positions: Floats) -> Floats:
        """The images inside the cell of some positions in Å, shape (n, 3)."""
        turns = np.where(self.pbc, np.floor(positions @ self._inverse), 0.0)
        inside: Floats = positions - turns @ self.cell
        return inside


def parts(space: Space, positions: Floats, radii: Floats, *, reach: float) -> NDArray[np.int64]:
    """Which connected part each atom belongs to.

    Args:
        space: The cell.
        positions: Positions in Å, shape (n, 3).
        radii: Radius of each atom in Å, shape (n,).
        reach: Two atoms hang together up to ``reach`` times the sum of their radii.

    Returns:
        Number of the part, shape (n,).
    """
    if len(positions) == 0:
        return np.zeros(0, dtype=np.int64)
    limits = reach * (radii[:, None] + radii[None, :])
    near = space.distances(positions, positions) <= limits
    return connected_components(csr_array(near), directed=False)[1].astype(np.int64)
