"""Whether a rotation, reflection and translation carry one structure onto another.

A motion is fixed by where it takes one site and two of the neighbours of that site. All choices
that keep distances and elements are tried, and a motion counts if every site of either structure,
and every lattice vector, lands where the other structure has the same. The site is the one whose
surroundings occur least often: in a large crystal with one displaced atom, this atom.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..neighbours import Pairs, complete_cell, neighbour_pairs, pair_vectors
from ..structure import SoftAtoms
from .descriptor import RADIUS

CLOSE = 0.01
"""How far a site may land from its counterpart, in Å."""

_MOST_DISTANCES = 200_000
"""Distances to hold at a time; the first wrong part of a motion ends the comparison early."""

_MOST_NEIGHBOURS = 60
_REACHES = (RADIUS, 2 * RADIUS, 4 * RADIUS, 8 * RADIUS)
"""Where to look for a second direction in Å; linear molecules have it in their periodic images."""

_PARALLEL = 0.1
"""Sine below which two directions count as the same."""


def same_structure(one: SoftAtoms, other: SoftAtoms, *, close: float = CLOSE) -> bool:
    """Whether two structures differ by a motion, the choice of cell and the order of sites only.

    Args:
        one: A structure.
        other: Another one.
        close: How far sites may be apart in Å.
    """
    if int(one.pbc.sum()) != int(other.pbc.sum()):
        return False
    first, second = _Sites(one), _Sites(other)
    kinds = {tuple(row) for row in first.kinds}
    if kinds != {tuple(row) for row in second.kinds}:
        return False
    targets = _possible_targets(first, second, close)
    if targets is None:
        return False
    origin = int(np.argmin([len(row) for row in targets]))
    for target in targets[origin].tolist():
        for rotation in _rotations(first, origin, second, target, close):
            shift = second.positions[target] - first.positions[origin] @ rotation
            if first.lands_on(second, rotation, shift, close) and second.lands_on(
                first, rotation.T, -shift @ rotation.T, close
            ):
                return True
    return False


class _Sites:
    """Sites of a structure, and a test of what stands at some places."""

    def __init__(self, soft: SoftAtoms) -> None:
        self.positions = soft.positions
        self.cell = complete_cell(soft.cell, soft.pbc)
        self.pbc = soft.pbc
        self.inverse = np.linalg.inv(self.cell)
        elements = np.unique(soft.node_number)
        amounts = np.zeros((len(soft), 120))
        np.add.at(amounts, (soft.node_site, soft.node_number), soft.node_weight)
        # Elements and amounts as text-like rows; absent elements would only be zeros.
        self.kinds = np.round(amounts[:, : int(elements.max()) + 1], 9)
        self.kind: NDArray[np.int64] = np.unique(self.kinds, axis=0, return_inverse=True)[1].ravel()
        self.soft = soft
        self._surroundings: dict[float, tuple[Pairs, NDArray[np.float64]]] = {}

    def surroundings(self, reach: float) -> tuple[Pairs, NDArray[np.float64]]:
        """Pairs of sites within ``reach`` (Å) and the vectors between them."""
        if reach not in self._surroundings:
            pairs = neighbour_pairs(self.positions, self.soft.cell, self.pbc, reach)
            vectors = pair_vectors(self.positions, self.soft.cell, pairs)
            self._surroundings[reach] = pairs, vectors
        return self._surroundings[reach]

    @cached_property
    def _ranked(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Pairs by receiver, kind of sender and length, and their rank among those of a kind."""
        pairs, vectors = self.surroundings(RADIUS)
        lengths = np.linalg.norm(vectors, axis=1)
        kind = self.kind[pairs.senders]
        order = np.lexsort([lengths, kind, pairs.receivers])
        place = pairs.receivers[order] * (int(self.kind.max()) + 1) + kind[order]
        first = np.flatnonzero(np.diff(place, prepend=-1))
        counts = np.diff(np.append(first, len(place)))
        return place, np.arange(len(place)) - np.repeat(first, counts), lengths[order]

    @property
    def most_of_a_kind(self) -> int:
        """Most neighbours of one kind that a site has."""
        return int(self._ranked[1].max(initial=-1)) + 1

    def distances(self, width: int) -> NDArray[np.float64]:
        """Sorted distances to the neighbours of each kind, shape (n_sites, n_kinds · width).

        What is missing is as far as neighbours are looked for, so that a neighbour just inside
        equals one just outside.
        """
        place, rank, lengths = self._ranked
        table = np.full(((int(self.kind.max()) + 1) * len(self.kind), width), RADIUS)
        table[place, rank] = lengths
        return table.reshape(len(self.kind), -1)

    def neighbours(
        self, site: int, reach: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Vectors to the neighbours of a site, their lengths and kinds, nearest first."""
        pairs, every_vector = self.surroundings(reach)
        mine = slice(*np.searchsorted(pairs.receivers, [site, site + 1]))
        vectors = every_vector[mine]
        senders = pairs.senders[mine]
        lengths = np.linalg.norm(vectors, axis=1)
        nearest = np.argsort(lengths, kind="stable")[:_MOST_NEIGHBOURS]
        return vectors[nearest], lengths[nearest], self.kinds[senders[nearest]]

    def holds(self, places: NDArray[np.float64], kinds: NDArray[np.float64], close: float) -> bool:
        """Whether sites of these kinds stand at these places (Å, shape (n, 3))."""
        step = max(1, _MOST_DISTANCES // len(self.positions))
        return all(
            self._holds_some(places[i : i + step], kinds[i : i + step], close)
            for i in range(0, len(places), step)
        )

    def _holds_some(
        self, places: NDArray[np.float64], kinds: NDArray[np.float64], close: float
    ) -> bool:
        away = (places[:, None, :] - self.positions[None, :, :]) @ self.inverse
        away = np.where(self.pbc, away - np.round(away), away) @ self.cell
        square = (away**2).sum(axis=2)
        nearest = np.argmin(square, axis=1)
        if square[np.arange(len(places)), nearest].max() > close**2:
            return False
        return bool((self.kinds[nearest] == kinds).all())

    def lands_on(
        self,
        other: _Sites,
        rotation: NDArray[np.float64],
        shift: NDArray[np.float64],
        close: float,
    ) -> bool:
        """Whether all sites, moved by ``x @ rotation + shift``, stand on sites of another one."""
        if not other.holds(self.positions @ rotation + shift, self.kinds, close):
            return False
        return all(
            other.holds(other.positions + vector @ rotation, other.kinds, close)
            for vector in self.soft.cell[self.pbc]
        )


def _possible_targets(
    first: _Sites, second: _Sites, close: float
) -> list[NDArray[np.int64]] | None:
    """For each site those of the other structure with the same surroundings, None if any has none.

    Distances of sites that are ``close`` to their counterparts differ by twice as much at most.
    """
    width = max(first.most_of_a_kind, second.most_of_a_kind)
    theirs = second.distances(width)
    reached = np.zeros(len(second.kind), dtype=bool)
    found: list[NDArray[np.int64]] = []
    for kind, row in zip(first.kind, first.distances(width), strict=True):
        same = second.kind == kind
        same[same] = np.abs(theirs[same] - row).max(axis=1, initial=0.0) < 2 * close
        if not same.any():
            return None
        reached |= same
        found.append(np.flatnonzero(same))
    return found if reached.all() else None


def _rotations(
    first: _Sites, origin: int, second: _Sites, target: int, close: float
) -> Iterator[NDArray[np.float64]]:
    """Rotations and reflections that carry two neighbours of one site to neighbours of the other.

    Rows are rotated: ``x @ rotation``.
    """
    for reach in _REACHES:
        vectors, lengths, kinds = first.neighbours(origin, reach)
        across = np.zeros(0, dtype=np.int64)
        if len(vectors):
            a = vectors[0]
            sines = np.linalg.norm(np.cross(a, vectors), axis=1) / (np.linalg.norm(a) * lengths)
            across = np.flatnonzero(sines > _PARALLEL)
        if len(across):
            break
    theirs, their_lengths, their_kinds = second.neighbours(target, reach)
    if len(vectors) == 0:
        yield np.eye(3)
        return
    starts = _alike(their_lengths, their_kinds, lengths[0], kinds[0], close)
    if len(across) == 0:
        own = _frame(a, _any_across(a))
        for i in starts:
            yield own.T @ _frame(theirs[i], _any_across(theirs[i]))
        return
    b = vectors[across[0]]
    own = _frame(a, b)
    ends = _alike(their_lengths, their_kinds, lengths[across[0]], kinds[across[0]], close)
    angle = float(a @ b)
    tolerance = close * float(np.linalg.norm(a) + np.linalg.norm(b))
    for i in starts:
        for j in ends:
            if abs(float(theirs[i] @ theirs[j]) - angle) < tolerance:
                image = _frame(theirs[i], theirs[j])
                yield own.T @ image
                yield own.T @ (image * np.array([[1.0], [1.0], [-1.0]]))


def _alike(
    lengths: NDArray[np.float64],
    kinds: NDArray[np.float64],
    length: float,
    kind: NDArray[np.float64],
    close: float,
) -> list[int]:
    same = (np.abs(lengths - length) < close) & (kinds == kind).all(axis=1)
    found: list[int] = np.flatnonzero(same).tolist()
    return found


def _any_across(a: NDArray[np.float64]) -> NDArray[np.float64]:
    """Some vector that is not along ``a``."""
    return np.eye(3)[int(np.argmin(np.abs(a)))]


def _frame(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Orthonormal vectors as rows: along a, in the plane of a and b, and across both."""
    x = a / np.linalg.norm(a)
    z = np.cross(a, b)
    z /= np.linalg.norm(z)
    return np.stack([x, np.cross(z, x), z])
