"""All ordered structures on a mixed sublattice, up to symmetry, in small supercells.

Derivative structures are found as by G. L. W. Hart and R. W. Forcade, Phys. Rev. B 77, 224115
(2008): supercells are listed as Hermite normal forms and reduced by the point group, decorations
by the space-group operations and translations that carry the supercell to itself.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from itertools import combinations
from math import factorial, prod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..composition.lattices import lattice_points
from .errors import OrderError
from .parents import TOLERANCE, Parent, Supercell

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_DECORATIONS = 200_000
"""Most decorations of one supercell that are looked at."""


_NO_SYMMETRY = "the symmetry of the parent cannot be told: two of its sites may coincide"


class Derivative(NamedTuple):
    """An ordered structure.

    Attributes:
        matrix: Vectors of its supercell as rows in units of those of the parent, shape (3, 3).
        species: Element of each mixed site of the supercell, in order.
        multiplicity: Number of equivalent decorations of the supercell.
    """

    matrix: NDArray[np.int64]
    species: tuple[str, ...]
    multiplicity: int


class Operation(NamedTuple):
    """An operation of the space group.

    Attributes:
        rotation: Its rotation; fractional coordinates are columns, shape (3, 3).
        translation: Fractional translation, shape (3,).
    """

    rotation: NDArray[np.int64]
    translation: NDArray[np.float64]


def primitive(parent: Parent) -> Parent:
    """The same crystal in a primitive cell."""
    import spglib

    tolerance = TOLERANCE * _length(parent)
    with _symmetry_errors():
        cell = spglib.standardize_cell(
            _crystal(parent), to_primitive=True, no_idealize=True, symprec=tolerance
        )
    if cell is None:
        raise OrderError(_NO_SYMMETRY)
    vectors, scaled, numbers = cell
    names = dict(zip(_numbers(parent), parent.symbols, strict=True))
    return Parent(
        cell=np.array(vectors, dtype=np.float64),
        scaled=np.array(scaled, dtype=np.float64) % 1.0,
        symbols=tuple(names[number] for number in numbers),
        mixed=np.array(numbers) == _MIXED,
        fractions=parent.fractions,
    )


def operations(parent: Parent) -> list[Operation]:
    """Space-group operations of a parent whose mixed sites are all of one kind."""
    import spglib

    with _symmetry_errors():
        found = spglib.get_symmetry(_crystal(parent), symprec=TOLERANCE * _length(parent))
    if found is None:
        raise OrderError(_NO_SYMMETRY)
    pairs = zip(found["rotations"], found["translations"], strict=True)
    return [Operation(np.array(r, dtype=np.int64), np.array(t)) for r, t in pairs]


def enumerate_orders(parent: Parent, largest: int) -> list[Derivative]:
    """Ordered structures with the composition of the parent, each once.

    Args:
        parent: The crystal; its primitive cell is taken.
        largest: Largest number of primitive cells of a supercell.

    Returns:
        The structures, the smallest first; none of them repeats within its supercell. Supercells
        in which the composition gives no whole numbers are left out.

    Raises:
        OrderError: If there are too many, or none.
    """
    small = primitive(parent)
    group = operations(small)
    found: list[Derivative] = []
    for size in range(1, largest + 1):
        try:
            counts = small.counts(size * small.n_mixed)
        except OrderError:
            continue
        sites = size * small.n_mixed
        ways = factorial(sites) // prod(factorial(n) for n in counts.values())
        if ways > MOST_DECORATIONS:
            raise OrderError(
                f"{size} primitive cells have {ways} decorations, more than {MOST_DECORATIONS}: "
                "choose smaller supercells"
            )
        for matrix in superlattices(size, [op.rotation for op in group]):
            found += _decorations(small, group, matrix, counts)
    if not found:
        raise OrderError(
            f"no supercell of up to {largest} primitive cells fits the composition "
            f"{small.fractions}: allow larger ones"
        )
    return found


def superlattices(size: int, rotations: list[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """Sublattices of a given index, one of each symmetry class.

    Args:
        size: Index: number of primitive cells in a cell of the sublattice.
        rotations: Point group in fractional coordinates (columns), each of shape (3, 3).

    Returns:
        Hermite normal forms with the vectors as rows.
    """
    seen: set[bytes] = set()
    chosen = []
    for matrix in _normal_forms(size):
        if matrix.tobytes() in seen:
            continue
        chosen.append(matrix)
        seen |= {hermite(matrix @ rotation.T).tobytes() for rotation in rotations}
    return chosen


def hermite(matrix: NDArray[np.int64]) -> NDArray[np.int64]:
    """The Hermite normal form of a lattice: lower triangular, the same for every basis of it.

    Args:
        matrix: Basis as rows, shape (3, 3).
    """
    rows = matrix.astype(np.int64).copy()
    for column in (2, 1, 0):
        # Euclid's algorithm over the rows that are still free, until one entry is left.
        while np.count_nonzero(rows[: column + 1, column]) > 1:
            free = rows[: column + 1, column]
            pivot = min(np.flatnonzero(free).tolist(), key=lambda i: abs(int(free[i])))
            for row in range(column + 1):
                if row != pivot:
                    rows[row] -= (rows[row, column] // rows[pivot, column]) * rows[pivot]
        pivot = int(np.flatnonzero(rows[: column + 1, column])[0])
        rows[[pivot, column]] = rows[[column, pivot]]
        if rows[column, column] < 0:
            rows[column] *= -1
    for row in (1, 2):
        for column in range(row - 1, -1, -1):
            rows[row] -= (rows[row, column] // rows[column, column]) * rows[column]
    return rows


def _normal_forms(size: int) -> Iterator[NDArray[np.int64]]:
    for a in (n for n in range(1, size + 1) if size % n == 0):
        for c in (n for n in range(1, size // a + 1) if (size // a) % n == 0):
            f = size // (a * c)
            for b in range(a):
                for d in range(a):
                    for e in range(c):
                        yield np.array([[a, 0, 0], [b, c, 0], [d, e, f]], dtype=np.int64)


def _decorations(
    parent: Parent, group: list[Operation], matrix: NDArray[np.int64], counts: dict[str, int]
) -> Iterator[Derivative]:
    supercell = parent.supercell(matrix)
    symmetries, translations = _permutations(supercell, group, matrix)
    elements = list(counts)
    seen: set[bytes] = set()
    for labels in _colourings(len(supercell.mixed), list(counts.values())):
        if labels.tobytes() in seen:
            continue
        images = {bytes(row) for row in labels[symmetries]}
        seen |= images
        # One that a translation leaves as it is has a smaller cell and was found there.
        if any(np.array_equal(labels, labels[shift]) for shift in translations):
            continue
        species = tuple(elements[label] for label in labels)
        yield Derivative(matrix, species, len(images))


def _colourings(sites: int, counts: list[int]) -> Iterator[NDArray[np.uint8]]:
    """All ways to give labels 0, 1, … to sites, so many of each."""

    def place(label: int, free: tuple[int, ...]) -> Iterator[dict[int, int]]:
        if label == len(counts) - 1:
            yield dict.fromkeys(free, label)
            return
        for chosen in combinations(free, counts[label]):
            rest = tuple(site for site in free if site not in chosen)
            for placed in place(label + 1, rest):
                yield {**dict.fromkeys(chosen, label), **placed}

    for placed in place(0, tuple(range(sites))):
        yield np.array([placed[site] for site in range(sites)], dtype=np.uint8)


def _permutations(
    supercell: Supercell, group: list[Operation], matrix: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How symmetry permutes the mixed sites.

    Returns:
        Permutations by operations that carry the supercell to itself, shape (n, n_mixed), and
        those of them that are translations of the parent other than by the supercell.
    """
    home = matrix.tobytes()
    inverse = np.linalg.inv(matrix)
    sites = supercell.mixed
    inside = supercell.scaled[sites]
    in_parent = inside @ matrix
    shifts = [point @ inverse for point in lattice_points(matrix)]
    symmetries = []
    for operation in group:
        if hermite(matrix @ operation.rotation.T).tobytes() != home:
            continue
        moved = (in_parent @ operation.rotation.T + operation.translation) @ inverse
        symmetries += [_matched(inside, moved + shift) for shift in shifts]
    translations = [_matched(inside, inside + shift) for shift in shifts]
    others = [p for p in translations if not np.array_equal(p, np.arange(len(sites)))]
    empty = np.zeros((0, len(sites)), dtype=np.int64)
    return np.unique(symmetries, axis=0), np.array(others) if others else empty


def _matched(inside: NDArray[np.float64], moved: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index of the site at each moved position."""
    difference = moved[:, None, :] - inside[None, :, :]
    difference -= np.round(difference)
    places: NDArray[np.int64] = np.abs(difference).max(axis=2).argmin(axis=1)
    if len(set(places.tolist())) != len(places):
        raise OrderError("an operation of the parent does not permute its mixed sites")
    return places


@contextlib.contextmanager
def _symmetry_errors() -> Iterator[None]:
    """Errors of spglib as ours, and no words on how it will raise them one day."""
    import spglib

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            yield
        except getattr(spglib, "SpglibError", RuntimeError) as error:
            raise OrderError(f"{_NO_SYMMETRY} ({error})") from None


_MIXED = 0
"""Number that stands for a mixed site where symmetry is sought."""


def _numbers(parent: Parent) -> list[int]:
    names = sorted(set(parent.symbols))
    pairs = zip(parent.symbols, parent.mixed, strict=True)
    return [_MIXED if mixed else 1 + names.index(symbol) for symbol, mixed in pairs]


def _crystal(parent: Parent) -> tuple[list[list[float]], list[list[float]], list[int]]:
    """The crystal as spglib wants it."""
    return parent.cell.tolist(), parent.scaled.tolist(), _numbers(parent)


def _length(parent: Parent) -> float:
    """A length of the cell in Å, by which tolerances are scaled."""
    return float(abs(np.linalg.det(parent.cell)) / len(parent.scaled)) ** (1.0 / 3.0)
