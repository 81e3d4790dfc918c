"""Explicit supercells whose neighbours look random.

Atoms are exchanged until the probabilities of all kinds of pairs in the first neighbour shells are
as close as the supercell allows to those of a random alloy of infinite size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..neighbours import neighbour_pairs, pair_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .prototypes import Prototype
    from .structures import Supercell
    from .tasks import Occupation

_SEARCH_RADIUS = 4.0
"""Radius in units of the lattice parameter that holds twelve shells of every prototype."""


_PERFECT = 1e-12
"""Deviation that is only rounding."""


class Decoration(NamedTuple):
    """Elements on the sites of a supercell.

    Attributes:
        symbols: Element of each site.
        error: Root mean square deviation of the pair probabilities from randomness.
    """

    symbols: list[str]
    error: float


def decorate(
    empty: Supercell,
    prototype: Prototype,
    occupation: Occupation,
    counts: NDArray[np.float64],
    *,
    swaps: int,
    rng: np.random.Generator,
) -> Decoration:
    """Distribute elements over a supercell of a prototype; see :func:`decorate_sites`.

    Args:
        empty: The supercell.
        prototype: Its parent lattice.
        occupation: Fractions on each sublattice; they must fit its number of sites.
        counts: Pairs of sites in the shells that are matched, see :func:`shell_counts`.
        swaps: Exchanges that are tried at most; fewer if nothing is left to gain.
        rng: Source of randomness.
    """
    weights = [occupation[name] for name in prototype.sublattices]
    return decorate_sites(empty.sublattice, weights, counts, swaps=swaps, rng=rng)


def decorate_sites(
    sublattice: NDArray[np.int64],
    occupation: Sequence[Mapping[str, float]],
    counts: NDArray[np.float64],
    *,
    swaps: int,
    rng: np.random.Generator,
) -> Decoration:
    """Distribute elements over sites.

    Args:
        sublattice: Sublattice of each site, shape (n_sites,).
        occupation: Fractions on each sublattice; they must fit its number of sites.
        counts: Pairs of sites in the shells that are matched, shape (shells, n_sites, n_sites).
        swaps: Exchanges that are tried at most; fewer if nothing is left to gain.
        rng: Source of randomness.
    """
    elements = sorted({e for weights in occupation for e in weights})
    species, mean = _random_start(sublattice, occupation, elements, rng)
    target = _pair_probabilities(counts, mean)
    hot = np.eye(len(elements))[species]
    error = _deviation(counts, hot, target)
    members = [np.flatnonzero(sublattice == s) for s in range(len(occupation))]
    mixed = [sites for sites in members if len(np.unique(species[sites])) > 1]
    for _ in range(swaps if mixed else 0):
        if error < _PERFECT:
            break
        sites = mixed[rng.integers(len(mixed))]
        i, j = rng.choice(sites, size=2, replace=False)
        if species[i] == species[j]:
            continue
        hot[[i, j]] = hot[[j, i]]
        proposed = _deviation(counts, hot, target)
        if proposed <= error:
            error = proposed
            species[[i, j]] = species[[j, i]]
        else:
            hot[[i, j]] = hot[[j, i]]
    return Decoration([elements[index] for index in species], error)


def shell_counts(empty: Supercell, shells: int) -> NDArray[np.float64]:
    """How often each pair of sites sees each other in each shell, images included.

    Args:
        empty: The supercell.
        shells: Number of shells.

    Returns:
        Counts, shape (shells, n_sites, n_sites).
    """
    pairs = neighbour_pairs(empty.positions, empty.cell, np.ones(3, dtype=bool), _SEARCH_RADIUS)
    squares = (pair_vectors(empty.positions, empty.cell, pairs) ** 2).sum(axis=1)
    shell_of = np.unique(np.round(squares, 6), return_inverse=True)[1]
    n_sites = len(empty.positions)
    counts = np.zeros((shells, n_sites, n_sites))
    near = shell_of < shells
    np.add.at(counts, (shell_of[near], pairs.receivers[near], pairs.senders[near]), 1.0)
    return counts


def _random_start(
    sublattice: NDArray[np.int64],
    occupation: Sequence[Mapping[str, float]],
    elements: list[str],
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Shuffled species of each site, and the mean occupation of each site."""
    species = np.zeros(len(sublattice), dtype=np.int64)
    mean = np.zeros((len(sublattice), len(elements)))
    for index, weights in enumerate(occupation):
        sites = np.flatnonzero(sublattice == index)
        numbers = {element: round(len(sites) * x) for element, x in weights.items()}
        filling = [elements.index(e) for e, number in numbers.items() for _ in range(number)]
        species[sites] = rng.permutation(np.array(filling, dtype=np.int64))
        for element, x in weights.items():
            mean[sites, elements.index(element)] = x
    return species, mean


def _pair_probabilities(
    counts: NDArray[np.float64], occupations: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Probability of each ordered pair of species in each shell, shape (shells, n, n)."""
    pairs: NDArray[np.float64] = occupations.T @ counts @ occupations
    total: NDArray[np.float64] = counts.sum(axis=(1, 2), keepdims=True)
    return pairs / total


def _deviation(
    counts: NDArray[np.float64], hot: NDArray[np.float64], target: NDArray[np.float64]
) -> float:
    return float(np.sqrt(((_pair_probabilities(counts, hot) - target) ** 2).mean()))
