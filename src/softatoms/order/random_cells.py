"""Supercells in which the elements of the mixed sites look random."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from ..neighbours import neighbour_pairs, pair_vectors
from .errors import OrderError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .parents import Supercell

_PERFECT = 1e-12
"""Deviation that is only rounding."""

_SAME_SHELL = 0.05
"""Distances closer than this, in units of the shortest, belong to one shell."""


class Decoration(NamedTuple):
    """Elements on the mixed sites of a supercell.

    Attributes:
        species: Element of each mixed site.
        error: Root mean square deviation of the pair probabilities in the neighbour shells from
            those of a random alloy.
    """

    species: tuple[str, ...]
    error: float


def random_cell(
    supercell: Supercell,
    kind: Literal["random", "sqs"],
    *,
    shells: int,
    swaps: int,
    rng: np.random.Generator,
) -> Decoration:
    """One supercell with the composition of its parent.

    Args:
        supercell: The supercell.
        kind: ``random`` for a shuffle, ``sqs`` to exchange atoms until pairs are as random as the
            supercell allows.
        shells: Neighbour shells that are looked at.
        swaps: Exchanges that are tried at most.
        rng: Source of randomness.

    Raises:
        OrderError: If the composition gives no whole numbers of atoms, or there are fewer shells.
    """
    counts = pair_counts(supercell, shells)
    elements = supercell.parent.elements
    numbers = supercell.parent.counts(len(supercell.mixed))
    filling = np.repeat(np.arange(len(elements)), [numbers[element] for element in elements])
    species = rng.permutation(filling)
    fractions = np.array([supercell.parent.fractions[element] for element in elements])
    target = np.outer(fractions, fractions)
    error = _deviation(counts, species, target)
    for _ in range(swaps if kind == "sqs" else 0):
        if error < _PERFECT:
            break
        i, j = rng.choice(len(species), size=2, replace=False)
        if species[i] == species[j]:
            continue
        species[[i, j]] = species[[j, i]]
        proposed = _deviation(counts, species, target)
        # Equal ones are taken as well: they lead out of flat regions.
        if proposed <= error:
            error = proposed
        else:
            species[[i, j]] = species[[j, i]]
    return Decoration(tuple(elements[index] for index in species.tolist()), error)


def pair_counts(supercell: Supercell, shells: int) -> NDArray[np.float64]:
    """How often mixed sites see each other in the first shells, images included.

    Returns:
        Shape (shells, n_mixed, n_mixed).
    """
    positions = (supercell.scaled @ supercell.cell)[supercell.mixed]
    periodic = np.ones(3, dtype=bool)
    spacing = (abs(np.linalg.det(supercell.cell)) / len(positions)) ** (1.0 / 3.0)
    radius = (1.3 + 0.5 * shells) * spacing
    pairs = neighbour_pairs(positions, supercell.cell, periodic, radius)
    lengths = np.sqrt((pair_vectors(positions, supercell.cell, pairs) ** 2).sum(axis=1))
    sorted_lengths = np.sort(lengths)
    jumps = np.diff(sorted_lengths) > _SAME_SHELL * sorted_lengths[0]
    starts = sorted_lengths[np.concatenate([[True], jumps])]
    # The last shell may be cut off by the radius.
    if len(starts) <= shells:
        raise OrderError(f"shells: only {len(starts) - 1} neighbour shells are found, not {shells}")
    shell_of = np.searchsorted(starts, lengths + 1e-9, side="right") - 1
    near = shell_of < shells
    counts = np.zeros((shells, len(positions), len(positions)))
    np.add.at(counts, (shell_of[near], pairs.receivers[near], pairs.senders[near]), 1.0)
    return counts


def _deviation(
    counts: NDArray[np.float64], species: NDArray[np.int64], target: NDArray[np.float64]
) -> float:
    hot = np.eye(len(target))[species]
    found = hot.T @ counts @ hot / counts.sum(axis=(1, 2), keepdims=True)
    return float(np.sqrt(((found - target) ** 2).mean()))
