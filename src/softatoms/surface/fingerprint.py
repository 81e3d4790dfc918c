"""Which structures are the same, whatever the order, origin, orientation or images of their atoms.

A fingerprint holds the power spectrum of the surroundings of every atom within 5 Å, compared by
the best assignment of the atoms of one structure to those of the other, and the distances of the
atoms of the region from each other and their images, blurred, up to 10 Å. Both see distances and
angles only, so every translation, rotation and reflection that carries the substrate onto itself
leaves them alone, and so does everything else that moves all atoms together. Mirror images count
as the same: their energies are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ..dataset.descriptor import describe_sites
from ..neighbours import neighbour_pairs, pair_vectors
from ..structure import SoftAtoms
from .problem import Problem
from .walkers import Found

Floats = NDArray[np.float64]

REACH = 10.0
"""Distances in Å that are compared."""

_BLUR = 0.2
_GRID = np.arange(0.5, REACH, 0.1)

TOLERANCE = 0.05
"""Two structures with a smaller distance of their fingerprints are the same.

Atoms relaxed to 0.02 eV/Å from different sides stay below 0.02; see the tests for what exceeds it.
"""


@dataclass(frozen=True)
class Fingerprint:
    """Description of one structure.

    Attributes:
        numbers: Atomic number of every atom, shape (n_sites,).
        in_region: Which atoms belong to the region, shape (n_sites,).
        features: Power spectrum of every atom, shape (n_sites, n_features).
        elements: Elements of the region, sorted, shape (n_elements,).
        distances: Blurred distances between atoms of the region for every pair of elements, per
            atom of the region, shape (n_pairs_of_elements, n_grid).
    """

    numbers: NDArray[np.int64]
    in_region: NDArray[np.bool_]
    features: Floats
    elements: NDArray[np.int64]
    distances: Floats

    def distance(self, other: Fingerprint) -> float:
        """How different two structures are: 0 for the same, inf if their atoms differ."""
        mine, theirs = self._kinds(), other._kinds()
        if len(mine) != len(theirs) or sorted(mine.tolist()) != sorted(theirs.tolist()):
            return float("inf")
        scale = max(np.abs(self.features).max(), np.abs(other.features).max(), 1e-300)
        worst = float(np.abs(self.distances - other.distances).max(initial=0.0))
        for kind in np.unique(mine):
            a, b = self.features[mine == kind], other.features[theirs == kind]
            apart = np.abs(a[:, None, :] - b[None, :, :]).max(axis=-1) / scale
            rows, columns = linear_sum_assignment(apart)
            worst = max(worst, float(apart[rows, columns].max()))
        return worst

    def _kinds(self) -> NDArray[np.int64]:
        return 2 * self.numbers + self.in_region


def fingerprint(soft: SoftAtoms, in_region: NDArray[np.bool_]) -> Fingerprint:
    """Fingerprint of a structure of whole atoms.

    Args:
        soft: The structure.
        in_region: Which of its atoms belong to the region, shape (n_sites,).
    """
    numbers = soft.node_number
    elements = np.unique(numbers[in_region])
    (sites,) = describe_sites([soft], elements=tuple(np.unique(numbers).tolist()))
    # Roots turn products of densities into densities, whose differences are those of distances.
    rooted = np.sign(sites.features) * np.sqrt(np.abs(sites.features))
    return Fingerprint(
        numbers=numbers,
        in_region=np.asarray(in_region, dtype=bool),
        features=rooted,
        elements=elements,
        distances=_blurred_distances(soft, np.flatnonzero(in_region), elements),
    )


def _blurred_distances(
    soft: SoftAtoms, members: NDArray[np.int64], elements: NDArray[np.int64]
) -> Floats:
    pairs_of_elements = [(a, b) for i, a in enumerate(elements) for b in elements[i:]]
    blurred = np.zeros((len(pairs_of_elements), len(_GRID)))
    if len(members) == 0:
        return blurred
    positions = soft.positions[members]
    pairs = neighbour_pairs(positions, soft.cell, soft.pbc, REACH)
    lengths = np.sqrt((pair_vectors(positions, soft.cell, pairs) ** 2).sum(axis=1))
    first = soft.node_number[members][pairs.receivers]
    second = soft.node_number[members][pairs.senders]
    for row, (a, b) in enumerate(pairs_of_elements):
        own = lengths[(first == a) & (second == b)]
        fading = 0.5 * (1.0 + np.cos(np.pi * own / REACH))
        peaks = np.exp(-0.5 * ((_GRID[:, None] - own[None, :]) / _BLUR) ** 2)
        blurred[row] = (peaks * fading).sum(axis=1) / len(members)
    return blurred


def is_same(problem: Problem, one: Found, other: Found, same_omega: float) -> bool:
    """Whether two structures of one problem are the same.

    Args:
        problem: What is searched.
        one: A structure.
        other: Another one.
        same_omega: They are not if their Ω differ by more than this, in eV.
    """
    if abs(one.omega - other.omega) > same_omega or len(one.species) != len(other.species):
        return False
    if not np.array_equal(np.sort(one.species), np.sort(other.species)):
        return False
    if len(one.positions) == 0:
        return True
    in_region = np.arange(len(one.positions)) >= problem.n_substrate
    marks = [fingerprint(found.structure(problem), in_region) for found in (one, other)]
    return marks[0].distance(marks[1]) < TOLERANCE
