"""Slabs of crystals: a facet, a number of atomic planes, a surface cell, and what is held in place.

The in-plane vectors are those of the primitive surface cell, the shortest there are, so a p(2×1)
cell of fcc(110) is ``((2, 0), (0, 1))``: twice a₀/√2 along [1-10] and a₀ along [001].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ..errors import OptionError, StructureError
from ..physics.crystals import as_crystal, conventional, primitive
from ..physics.surfaces import checked_facet, lowest_terms
from ..potentials.options import check_positive
from ..structure import SoftAtoms

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SAME_PLANE = 0.1
"""Atoms whose heights in Å differ by less are in one plane."""

_REACH = 4
"""Lattice vectors are looked for up to this multiple of the primitive ones and of the indices."""

_NOISE = 1e-6


@dataclass(frozen=True)
class Slab:
    """A slab, periodic in the plane, with its surface towards +z.

    Attributes:
        soft: The atoms.
        fixed: Which of them are held in place, shape (n_atoms,).
        area: Area of the surface cell in Å².
        bottom: Height of the lowest plane in Å.
        top: Height of the highest plane in Å.
        primitive_vectors: Vectors of the primitive surface cell as rows in Å, shape (2, 3).
    """

    soft: SoftAtoms
    fixed: NDArray[np.bool_]
    area: float
    bottom: float
    top: float
    primitive_vectors: Floats


def make_slab(
    crystal: SoftAtoms | Atoms,
    facet: Sequence[int],
    *,
    planes: int,
    repeat: Sequence[Sequence[int]] = ((1, 0), (0, 1)),
    frozen: int = 0,
    vacuum: float = 12.0,
) -> Slab:
    """Cut a slab out of a crystal.

    Args:
        crystal: The crystal at rest; no site may be soft.
        facet: Miller indices of the conventional cell.
        planes: Number of atomic planes.
        repeat: Vectors of the surface cell in terms of the primitive surface cell, shape (2, 2).
        frozen: Planes at the bottom whose atoms are held in place.
        vacuum: Height of the cell above the thickness of the slab in Å. Nothing repeats across the
            slab, so it is for viewers alone.

    Raises:
        OptionError: If a number is out of range.
        StructureError: If the crystal has soft sites.
    """
    start = as_crystal(crystal)
    if (start.site_number == 0).any():
        raise StructureError("slabs are cut from crystals without soft sites")
    if isinstance(planes, bool) or planes != int(planes) or planes < 1:
        raise OptionError(f"planes must be a whole number of at least 1, got {planes!r}")
    if isinstance(frozen, bool) or frozen != int(frozen) or not 0 <= frozen <= planes:
        raise OptionError(f"frozen must be a whole number from 0 to {planes}, got {frozen!r}")
    check_positive(vacuum, "vacuum")
    matrix = _surface_matrix(repeat)
    unit = _oriented(start, lowest_terms(checked_facet(facet)))
    atoms = _stack(unit, planes)
    wide = np.eye(3, dtype=np.int64)
    wide[:2, :2] = matrix
    atoms = _repeated(atoms, wide)
    heights = atoms.positions[:, 2]
    atoms.positions[:, 2] += 0.5 * vacuum - heights.min()
    level = _levels(atoms.positions[:, 2])
    top = float(atoms.positions[:, 2].max())
    cell = atoms.cell.array.copy()
    cell[2] = (0.0, 0.0, top + 0.5 * vacuum)
    atoms.set_cell(cell)
    atoms.pbc = (True, True, False)
    return Slab(
        soft=SoftAtoms.from_ase(atoms),
        fixed=level < frozen,
        area=float(np.linalg.norm(np.cross(cell[0], cell[1]))),
        bottom=float(atoms.positions[:, 2].min()),
        top=top,
        primitive_vectors=unit.cell.array[:2].copy(),
    )


def _surface_matrix(repeat: Sequence[Sequence[int]]) -> Ints:
    matrix = np.array(repeat)
    if matrix.shape != (2, 2) or not np.issubdtype(matrix.dtype, np.integer):
        raise OptionError(f"repeat must be 2 × 2 whole numbers, got {repeat!r}")
    if round(np.linalg.det(matrix)) <= 0:
        raise OptionError(f"repeat must have a positive determinant, got {repeat!r}")
    return matrix.astype(np.int64)


def _oriented(start: SoftAtoms, facet: tuple[int, int, int]) -> Atoms:
    """The primitive cell with two vectors in the plane along x and y, and one out of it."""
    unit = primitive(start).to_ase()
    lattice = unit.cell.array
    normal = np.linalg.inv(conventional(start).cell.array) @ np.array(facet, dtype=np.float64)
    indices = lattice @ normal
    smallest = np.abs(indices[np.abs(indices) > _NOISE]).min()
    scaled = indices / smallest
    factor = next(n for n in range(1, 13) if np.allclose(n * scaled, np.round(n * scaled)))
    own = np.round(factor * scaled).astype(np.int64)
    own //= np.gcd.reduce(own)
    reach = _REACH * max(1, int(np.abs(own).max()))
    axis = np.arange(-reach, reach + 1)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    along = grid @ own
    first, second = _plane_vectors(grid[along == 0] @ lattice)
    out = grid[along == 1] @ lattice
    up = np.cross(first, second)
    up /= np.linalg.norm(up)
    if out[0] @ up < 0.0:
        # Exchanging vectors of one length keeps their angle.
        equal = np.isclose(np.linalg.norm(first), np.linalg.norm(second))
        first, second, up = (second, first, -up) if equal else (first, -second, -up)
    in_plane = out - np.outer(out @ up, up)
    third = out[np.argmin(np.linalg.norm(in_plane, axis=1))]
    x = first / np.linalg.norm(first)
    rotation = np.stack([x, np.cross(up, x), up])
    cell = np.stack([first, second, third]) @ rotation.T
    turned = Atoms(unit.numbers, positions=unit.positions @ rotation.T, cell=cell, pbc=True)
    turned.wrap(eps=_NOISE)
    return turned


def _plane_vectors(vectors: Floats) -> tuple[Floats, Floats]:
    """The two shortest vectors of a plane lattice that span it; right angles where there are."""
    lengths = np.linalg.norm(vectors, axis=1)
    order = np.argsort(np.round(lengths, 6), kind="stable")
    vectors = vectors[order][lengths[order] > _NOISE]
    first = vectors[0]
    areas = np.linalg.norm(np.cross(vectors, first), axis=1)
    smallest = areas[areas > _NOISE].min()
    spanning = vectors[np.abs(areas - smallest) < _NOISE * smallest]
    sizes = np.linalg.norm(spanning, axis=1)
    shortest = spanning[sizes < sizes.min() + _NOISE]
    # Of equally short ones an obtuse or right angle, as is usual for hexagonal cells.
    second = shortest[np.argmin(shortest @ first)]
    return first, second


def _stack(unit: Atoms, planes: int) -> Atoms:
    """So many planes, counted from the bottom of the gap that is widest."""
    heights = unit.positions[:, 2]
    spacing = unit.cell.array[2, 2]
    folded = np.sort((heights + _NOISE) % spacing - _NOISE)
    gaps = np.append(folded[1:], folded[0] + spacing) - folded
    widest = int(np.flatnonzero(gaps > gaps.max() - 0.02)[0])
    begin = (folded[widest] + 0.5 * gaps[widest]) % spacing
    stacked = unit.copy()
    stacked.positions -= begin / spacing * unit.cell.array[2]
    stacked.wrap(eps=_NOISE)
    stacked = stacked.repeat((1, 1, planes + 1))
    stacked = stacked[np.argsort(np.round(stacked.positions[:, 2], 6), kind="stable")]
    return stacked[_levels(stacked.positions[:, 2]) < planes]


def _levels(heights: Floats) -> Ints:
    """Number of the plane of each atom, from 0 at the bottom."""
    order = np.argsort(heights, kind="stable")
    steps = np.diff(heights[order], prepend=heights[order[0]]) > SAME_PLANE
    levels = np.empty(len(heights), dtype=np.int64)
    levels[order] = np.cumsum(steps)
    return levels


def _repeated(atoms: Atoms, matrix: Ints) -> Atoms:
    """The atoms in a larger surface cell, plane by plane."""
    low, high = min(0, matrix.min()) * 2, max(1, matrix.max()) * 2 + 1
    steps = [(i, j) for i in range(low, high) for j in range(low, high)]
    cell = matrix @ atoms.cell.array
    inverse = np.linalg.inv(matrix[:2, :2])
    inside = [
        step for step in steps if all(-_NOISE < x < 1.0 - _NOISE for x in np.array(step) @ inverse)
    ]
    shifts = np.array(inside) @ atoms.cell.array[:2]
    positions = (atoms.positions[:, None, :] + shifts[None, :, :]).reshape(-1, 3)
    large = Atoms(np.repeat(atoms.numbers, len(inside)), positions=positions, cell=cell, pbc=True)
    scaled = positions[:, :2] @ np.linalg.inv(cell[:2, :2])
    large.positions[:, :2] = ((scaled + _NOISE) % 1.0 - _NOISE) @ cell[:2, :2]
    return large
