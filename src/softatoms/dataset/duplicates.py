"""Frames that hold the same structure, whatever its orientation, origin, order of sites or cell.

Fingerprints tell which structures may be the same. They see distances and angles, and decorations
of one supercell exist that agree in all of these and still differ; so each candidate is checked
by looking for the motion that carries one structure onto the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..structure import SoftAtoms
from .descriptor import describe_sites, present_elements
from .equivalence import same_structure

TOLERANCE = 3e-5
"""Relative difference of fingerprints above which no motion is looked for.

Coordinates rounded to five decimals stay below it; one atom of 54 that moves by 0.02 Å exceeds it.
"""


def fingerprints(structures: Sequence[SoftAtoms]) -> NDArray[np.float64]:
    """Vectors that are equal for equivalent structures.

    Amounts of the elements, mean existence of a site, and for each element the mean and the mean
    square of the description of its sites. Two cells of one crystal agree, and so do mirror images,
    whose energies are the same.

    Args:
        structures: The structures.

    Returns:
        Fingerprints, shape (n_structures, n_values).
    """
    known = present_elements(structures)
    rows = []
    for sites in describe_sites(structures, elements=known):
        share = sites.amounts / max(sites.amounts.sum(), 1e-12)
        existence = (share.sum(axis=1) * sites.amounts.sum(axis=1)).sum()
        mean, square = share.T @ sites.features, share.T @ sites.features**2
        rows.append(
            np.concatenate([share.sum(axis=0), [existence], mean.ravel(), np.sqrt(square).ravel()])
        )
    return np.stack(rows) if rows else np.zeros((0, 0))


def representatives(
    structures: Sequence[SoftAtoms], *, tolerance: float = TOLERANCE
) -> NDArray[np.int64]:
    """The first structure that each structure is the same as.

    Args:
        structures: The structures.
        tolerance: Relative difference of fingerprints up to which structures are compared.

    Returns:
        For each structure its own index or that of an earlier one, shape (n_structures,).
    """
    own = np.arange(len(structures))
    for later, earlier in _candidates(fingerprints(structures), tolerance):
        both_stand_alone = own[later] == later and own[earlier] == earlier
        if both_stand_alone and same_structure(structures[earlier], structures[later]):
            own[later] = earlier
    return own


def _candidates(table: NDArray[np.float64], tolerance: float) -> list[tuple[int, int]]:
    """Pairs of rows that are nearly equal, the later one first, ordered by it."""
    if len(table) < 2:
        return []
    # Rows that are alike have projections that are close, so only neighbours are compared.
    direction = np.random.default_rng(0).normal(size=table.shape[1])
    projected = table @ (direction / np.abs(direction).sum())
    order = np.argsort(projected, kind="stable")
    arranged = projected[order]
    reaches = tolerance * np.maximum(np.abs(table).max(axis=1)[order], 1.0)
    ends = np.searchsorted(arranged, arranged + reaches, side="right")
    found: list[tuple[int, int]] = []
    for place, index in enumerate(order.tolist()):
        near = order[place + 1 : ends[place]]
        away = np.abs(table[near] - table[index]).max(axis=1, initial=0.0)
        found += [(max(index, j), min(index, j)) for j in near[away <= reaches[place]].tolist()]
    return sorted(found)
