"""A cheap invariant description of sites, structures and frames.

The neighbours of a site form a density, weighted by what they are: once by 1, once by a fixed
number of the element. Its expansion c_nlm in radial functions sin(nπr/R)/r, cut off smoothly, and
spherical harmonics up to l = 3 gives the power spectrum Σ_m c_nlm c_n'lm, which rotations,
translations and the order of sites leave alone. Soft sites enter with their weights. Averages
over all sites do not change when the cell is repeated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from ..neighbours import Pairs, pair_vectors
from ..neighbours_many import neighbour_pairs_of_many
from ..structure import SoftAtoms

RADIUS = 5.0
"""Cutoff in Å."""

RADIAL = 4
"""Radial functions."""

_EDGES = 200_000
"""Pairs of sites to hold at a time: 200 MB."""

_CHANNELS = ((0, 0), (1, 1), (0, 1))
_DEGREES = ((0, 1), (1, 4), (4, 9), (9, 16))
"""Which of the sixteen harmonics have the degree 0, 1, 2 and 3."""

FEATURES = len(_CHANNELS) * RADIAL * RADIAL * len(_DEGREES)


@dataclass(frozen=True)
class Sites:
    """Sites of one structure.

    Attributes:
        features: Power spectrum of each site, shape (n_sites, FEATURES).
        amounts: Weight of each element on each site, shape (n_sites, n_elements).
        elements: The atomic numbers that the columns of ``amounts`` stand for.
    """

    features: NDArray[np.float64]
    amounts: NDArray[np.float64]
    elements: tuple[int, ...]


def present_elements(structures: Sequence[SoftAtoms]) -> tuple[int, ...]:
    """Atomic numbers of all elements in some structures, sorted."""
    found = {number for soft in structures for number in np.unique(soft.node_number).tolist()}
    return tuple(sorted(found))


def describe_sites(
    structures: Sequence[SoftAtoms], *, elements: Sequence[int] | None = None
) -> Iterator[Sites]:
    """Describe the sites of many structures, in their order.

    Args:
        structures: The structures.
        elements: Atomic numbers to distinguish; all that are present, if None.

    Yields:
        One description per structure.
    """
    known = present_elements(structures) if elements is None else tuple(elements)
    start = 0
    while start < len(structures):
        # Guess what fits from the number of sites; a site has about 60 neighbours.
        stop, sites = start, 0
        while stop < len(structures) and (stop == start or sites * 60 < _EDGES):
            sites += len(structures[stop])
            stop += 1
        chunk = structures[start:stop]
        pairs = neighbour_pairs_of_many(chunk, RADIUS)
        for soft, own in zip(chunk, pairs, strict=True):
            amounts = _amounts(soft, known)
            yield Sites(_power_spectrum(soft, own, amounts, known), amounts, known)
        start = stop


def describe(structures: Sequence[SoftAtoms]) -> NDArray[np.float64]:
    """One vector per structure for selection: composition, and mean environment of each element.

    Features are scaled to unit variance over the structures, elements weighted by their amount.

    Args:
        structures: The structures.

    Returns:
        Descriptors, shape (n_structures, n_elements · (1 + FEATURES)).
    """
    known = present_elements(structures)
    if not structures:
        return np.zeros((0, 0))
    rows = []
    for sites in describe_sites(structures, elements=known):
        # Roots turn products of densities into densities.
        rooted = np.sign(sites.features) * np.sqrt(np.abs(sites.features))
        share = sites.amounts / max(sites.amounts.sum(), 1e-12)
        rows.append(np.concatenate([share.sum(axis=0), (share.T @ rooted).ravel()]))
    table = np.array(rows).reshape(len(structures), len(known) * (1 + FEATURES))
    spread = table.std(axis=0)
    spread[: len(known)] = 1.0 / np.sqrt(FEATURES)
    informative = spread > 1e-9 * max(1.0, float(np.abs(table).max(initial=0.0)))
    scaled: NDArray[np.float64] = np.where(informative, table, 0.0) / np.where(
        informative, spread, 1.0
    )
    return scaled


def _amounts(soft: SoftAtoms, elements: Sequence[int]) -> NDArray[np.float64]:
    amounts = np.zeros((len(soft), len(elements)))
    column = np.searchsorted(elements, soft.node_number)
    np.add.at(amounts, (soft.node_site, column), soft.node_weight)
    return amounts


def _power_spectrum(
    soft: SoftAtoms,
    pairs: Pairs,
    amounts: NDArray[np.float64],
    elements: Sequence[int],
) -> NDArray[np.float64]:
    n_sites = len(soft)
    vectors = pair_vectors(soft.positions, soft.cell, pairs)
    distances = np.linalg.norm(vectors, axis=1)
    radial = _radial(distances)
    angular = _harmonics(vectors / distances[:, None])
    products = (radial[:, :, None] * angular[:, None, :]).reshape(-1, RADIAL * 16)

    def expanded(weight: NDArray[np.float64]) -> NDArray[np.float64]:
        seen = products * weight[pairs.senders][:, None]
        return _sum_by_receiver(seen, pairs.receivers, n_sites).reshape(n_sites, RADIAL, 16)

    expansion = [expanded(amounts.sum(axis=1)), expanded(amounts @ _element_weights(elements))]
    parts = [
        np.einsum("snm,skm->snk", expansion[a][:, :, low:high], expansion[b][:, :, low:high])
        for a, b in _CHANNELS
        for low, high in _DEGREES
    ]
    return np.stack(parts, axis=1).reshape(n_sites, FEATURES)


def _sum_by_receiver(
    values: NDArray[np.float64], receivers: NDArray[np.int64], n_sites: int
) -> NDArray[np.float64]:
    total = np.zeros((n_sites, values.shape[1]))
    if len(receivers):
        # Pairs come sorted by receiver.
        first = np.flatnonzero(np.diff(receivers, prepend=-1))
        total[receivers[first]] = np.add.reduceat(values, first, axis=0)
    return total


def _radial(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    scaled = np.pi * distances / RADIUS
    cutoff = 0.5 * (1.0 + np.cos(scaled))
    orders = np.arange(1, RADIAL + 1)
    waves: NDArray[np.float64] = np.sin(scaled[:, None] * orders) / distances[:, None]
    return waves * cutoff[:, None]


def _harmonics(unit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Real harmonics of degree 0 to 3, each degree normalised to Σ_m Y² = 1."""
    x, y, z = unit.T
    root3, root6, root10, root15 = np.sqrt([3.0, 6.0, 10.0, 15.0])
    return np.stack(
        [
            np.ones_like(x),
            x,
            y,
            z,
            root3 * x * y,
            root3 * y * z,
            root3 * x * z,
            0.5 * (3 * z * z - 1),
            0.5 * root3 * (x * x - y * y),
            0.25 * root10 * y * (3 * x * x - y * y),
            root15 * x * y * z,
            0.25 * root6 * y * (5 * z * z - 1),
            0.5 * z * (5 * z * z - 3),
            0.25 * root6 * x * (5 * z * z - 1),
            0.5 * root15 * z * (x * x - y * y),
            0.25 * root10 * x * (x * x - 3 * y * y),
        ],
        axis=1,
    )


def _element_weights(elements: Sequence[int]) -> NDArray[np.float64]:
    """A number for each element, the same in every dataset and different between any two."""
    numbers = np.asarray(elements, dtype=np.float64)
    # Multiples of the golden ratio modulo 1 are spread evenly and never coincide.
    spread: NDArray[np.float64] = 2.0 * np.mod(numbers * (np.sqrt(5.0) - 1.0) / 2.0, 1.0) - 1.0
    return spread


def formula_of(soft: SoftAtoms) -> str:
    """Chemical formula of a structure, elements by name, soft sites with their weights."""
    totals = np.bincount(soft.node_number, weights=soft.node_weight)
    named = {chemical_symbols[z]: totals[z] for z in np.flatnonzero(totals)}
    return "".join(
        f"{symbol}{amount:.6g}" if abs(amount - 1) > 1e-9 else symbol
        for symbol, amount in sorted(named.items())
    )
