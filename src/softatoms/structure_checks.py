"""What makes a structure impossible, and how to say so."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import StructureError
from .neighbours import neighbour_pairs, pair_vectors

COINCIDENCE_DISTANCE = 0.1
"""Two sites closer than this (Å) lie on top of each other."""


def check_geometry(
    *,
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    pbc: NDArray[np.bool_],
    velocities: NDArray[np.float64] | None,
    masses: NDArray[np.float64],
    is_soft: NDArray[np.bool_],
) -> None:
    """Raise unless the sites of a structure could be somewhere.

    Args:
        positions: Positions in Å, shape (n_sites, 3).
        cell: Lattice vectors as rows in Å, shape (3, 3).
        pbc: Periodicity along each lattice vector, shape (3,).
        velocities: Velocities in Å/fs, shape (n_sites, 3), or None.
        masses: Masses in amu, shape (n_sites,); soft sites may have nan.
        is_soft: Which sites are soft, shape (n_sites,).

    Raises:
        StructureError: Naming the site or the lattice vector.
    """
    if positions.ndim != 2 or positions.shape[1] != 3 or len(positions) == 0:
        raise StructureError(
            f"positions must have shape (n_sites, 3) with n_sites > 0, got {positions.shape}"
        )
    if cell.shape != (3, 3):
        raise StructureError(f"cell must have shape (3, 3), got {cell.shape}")
    if not np.isfinite(cell).all():
        raise StructureError("cell contains nan or infinite values")
    finite = np.isfinite(positions).all(axis=1)
    if not finite.all():
        raise StructureError(
            f"position of site {np.flatnonzero(~finite)[0]} contains nan or infinite values"
        )
    if velocities is not None:
        if velocities.shape != positions.shape:
            raise StructureError(
                f"velocities must have shape {positions.shape}, got {velocities.shape}"
            )
        moving = np.isfinite(velocities).all(axis=1)
        if not moving.all():
            raise StructureError(
                f"velocity of site {np.flatnonzero(~moving)[0]} contains nan or infinite values"
            )
    massless = ~(masses > 0) & ~(np.isnan(masses) & is_soft)
    if massless.any():
        site = np.flatnonzero(massless)[0]
        raise StructureError(f"mass of site {site} must be above 0 amu, got {masses[site]:g}")
    # A search with a tiny radius would make a grid of tiny boxes; this one is far faster.
    near = neighbour_pairs(positions, cell, pbc, 10 * COINCIDENCE_DISTANCE)
    vectors = pair_vectors(positions, cell, near)
    coincident = np.flatnonzero((vectors**2).sum(axis=1) < COINCIDENCE_DISTANCE**2)
    if coincident.size:
        pair = coincident[0]
        if near.receivers[pair] == near.senders[pair]:
            raise StructureError(
                f"site {near.receivers[pair]} lies on top of its own periodic image "
                f"(closer than {COINCIDENCE_DISTANCE} Å): the cell is too small"
            )
        raise StructureError(
            f"sites {near.receivers[pair]} and {near.senders[pair]} lie on top of each other "
            f"(closer than {COINCIDENCE_DISTANCE} Å): a position that may hold several species "
            "is one site with several candidates"
        )


def real_array(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """A fresh float64 array.

    Raises:
        StructureError: If the values are not real numbers in a regular shape.
    """
    try:
        array = np.array(values)
    except ValueError as error:
        raise StructureError(f"{name} must be a regular array of numbers: {error}") from None
    if array.dtype.kind not in "fiu":
        raise StructureError(f"{name} must be real numbers, got {array.dtype} values")
    return array.astype(np.float64)


def shorten(sites: Iterable[int]) -> str:
    """A list of sites, cut where it gets long."""
    listed = [int(site) for site in sites]
    if len(listed) <= 6:
        return str(listed)
    return f"[{', '.join(map(str, listed[:5]))}, ... {len(listed)} in all]"
