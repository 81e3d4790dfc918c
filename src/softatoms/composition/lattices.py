"""Lattice points of supercells, and the neighbour shells of sites that elements share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..neighbours import neighbour_pairs, pair_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

_ON_EDGE = 1e-9
"""Lattice points as near to a face of the supercell, in fractions of it, lie on the face."""

_WIDEN = 1.3
"""Factor by which the search for shells widens."""


def lattice_points(rows: Ints) -> Ints:
    """Lattice points inside a supercell, sorted, shape (n_points, 3).

    Args:
        rows: Vectors of the supercell in units of those of the cell, shape (3, 3).
    """
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) @ rows
    low, high = corners.min(axis=0), corners.max(axis=0)
    axes = [np.arange(first, last + 1) for first, last in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = points @ np.linalg.inv(rows)
    chosen: Ints = points[((inside > -_ON_EDGE) & (inside < 1.0 - _ON_EDGE)).all(axis=1)]
    return chosen


def shell_counts(
    positions: Floats, cell: Floats, sublattice: Ints, shells: int, *, apart: float
) -> Floats:
    """How often two sites see each other in the first shells, images included.

    Shells are counted apart for each pair of sublattices.

    Args:
        positions: In Å, shape (n_sites, 3).
        cell: Lattice vectors as rows in Å, shape (3, 3).
        sublattice: Sublattice of each site, from 0, shape (n_sites,).
        shells: Number of shells of each pair of sublattices.
        apart: Distances in Å that differ by more belong to different shells.

    Returns:
        Shape (pairs of sublattices × shells, n_sites, n_sites).
    """
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
                chosen = np.flatnonzero(own)
                order = chosen[np.argsort(lengths[chosen], kind="stable")]
                starts = np.flatnonzero(np.diff(lengths[order], prepend=-np.inf) > apart)
                # One shell more than needed shows that the last one is whole.
                for k in range(shells if len(starts) > shells else 0):
                    members = order[starts[k] : starts[k + 1]]
                    shell = np.zeros((n_sites, n_sites))
                    np.add.at(shell, (pairs.receivers[members], pairs.senders[members]), 1.0)
                    found.append(shell)
        if len(found) == shells * kinds * (kinds + 1) // 2:
            return np.stack(found)
        radius *= _WIDEN
