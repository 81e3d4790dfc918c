"""Neighbour search in many small systems at once.

A search grid is made for large systems; for a few dozen sites setting it up takes longer than
comparing all pairs. Systems of one size are therefore laid side by side, and the distances of all
their pairs and images come out of one batched matrix product.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from .neighbours import Pairs, complete_cell, neighbour_pairs

MOST_SITES = 64
"""Systems with more sites are searched one by one, on a grid."""

FEWEST_SYSTEMS = 4
"""Fewer systems of a kind are not worth laying side by side."""

MOST_DISTANCES = 2**22
"""Distances to hold at a time: 32 MB."""


class Placed(Protocol):
    """What a search looks at: a soft structure, or anything that is placed like one."""

    @property
    def positions(self) -> NDArray[np.float64]:
        """Cartesian positions in Å, shape (n_sites, 3)."""

    @property
    def cell(self) -> NDArray[np.float64]:
        """Lattice vectors as rows in Å, shape (3, 3)."""

    @property
    def pbc(self) -> NDArray[np.bool_]:
        """Periodicity along each lattice vector, shape (3,)."""


class _Kind(NamedTuple):
    """What systems searched together have in common.

    Attributes:
        n_sites: Number of sites.
        pbc: Periodicity along each lattice vector.
        reach: Images to look at along each lattice vector, in both directions.
    """

    n_sites: int
    pbc: tuple[bool, ...]
    reach: tuple[int, ...]

    def steps(self) -> NDArray[np.int64]:
        """Lattice translations of the images, shape (n_images, 3)."""
        ranges = [range(-count, count + 1) for count in self.reach]
        return np.array(list(itertools.product(*ranges)), dtype=np.int64)

    @property
    def distances_per_system(self) -> int:
        """Number of distances between sites and images."""
        return self.n_sites**2 * int(np.prod([2 * count + 1 for count in self.reach]))


def neighbour_pairs_of_many(systems: Sequence[Placed], cutoff: float) -> list[Pairs]:
    """Pairs of each system that include all closer than a cutoff.

    Args:
        systems: The structures.
        cutoff: Radius in Å. A pair at this very distance may be listed too.

    Returns:
        One list per system, in the same order.
    """
    found: dict[int, Pairs] = {}
    small = [index for index, soft in enumerate(systems) if len(soft.positions) <= MOST_SITES]
    if len(small) < FEWEST_SYSTEMS:
        small = []
    boxes = _boxes([systems[index] for index in small])
    for kind, members in _by_kind([systems[index] for index in small], boxes, cutoff).items():
        fits = kind.distances_per_system <= MOST_DISTANCES // FEWEST_SYSTEMS
        if fits and len(members) >= FEWEST_SYSTEMS:
            at_a_time = MOST_DISTANCES // kind.distances_per_system
            for start in range(0, len(members), at_a_time):
                part = members[start : start + at_a_time]
                indices = [small[member] for member in part]
                pairs = _side_by_side([systems[i] for i in indices], boxes[part], kind, cutoff)
                found.update(zip(indices, pairs, strict=True))
    return [
        found[index]
        if index in found
        else neighbour_pairs(soft.positions, soft.cell, soft.pbc, cutoff)
        for index, soft in enumerate(systems)
    ]


def _boxes(systems: Sequence[Placed]) -> NDArray[np.float64]:
    """Cells of full rank, shape (n_systems, 3, 3)."""
    return np.array(
        [s.cell if s.pbc.all() else complete_cell(s.cell, s.pbc) for s in systems]
    ).reshape(-1, 3, 3)


def _by_kind(
    systems: Sequence[Placed], boxes: NDArray[np.float64], cutoff: float
) -> dict[_Kind, list[int]]:
    """Indices of the systems of each kind."""
    # Wrapped sites differ by less than a lattice vector: one image more than the cutoff spans.
    reaches = np.ceil(cutoff * np.sqrt((np.linalg.inv(boxes) ** 2).sum(axis=1)))
    kinds: dict[_Kind, list[int]] = {}
    for index, (soft, reach) in enumerate(zip(systems, reaches.astype(int).tolist(), strict=True)):
        pbc = soft.pbc.tolist()
        images = [count if periodic else 0 for count, periodic in zip(reach, pbc, strict=True)]
        kinds.setdefault(_Kind(len(soft.positions), tuple(pbc), tuple(images)), []).append(index)
    return kinds


def _side_by_side(
    systems: Sequence[Placed], cells: NDArray[np.float64], kind: _Kind, cutoff: float
) -> list[Pairs]:
    positions = np.stack([soft.positions for soft in systems])
    wraps = np.where(kind.pbc, np.floor(positions @ np.linalg.inv(cells)), 0.0)
    wrapped = positions - wraps @ cells
    wrapped -= wrapped.mean(axis=1, keepdims=True)
    steps = kind.steps()
    images = (wrapped[:, None] + (steps @ cells)[:, :, None]).reshape(len(systems), -1, 3)

    # |x − y|² = (x, |x|², 1) · (−2y, 1, |y|²)
    x, y = torch.from_numpy(wrapped), torch.from_numpy(images)
    one = torch.ones_like
    left = torch.cat([x, (x * x).sum(2, keepdim=True), one(x[..., :1])], dim=2)
    right = torch.cat([-2.0 * y, one(y[..., :1]), (y * y).sum(2, keepdim=True)], dim=2)
    rounding = 64.0 * np.finfo(np.float64).eps * float(right[..., 4].max())
    near = torch.bmm(left, right.transpose(1, 2)) < cutoff**2 * (1.0 + 1e-9) + rounding
    near = near.reshape(len(systems), kind.n_sites, len(steps), kind.n_sites)
    here = len(steps) // 2
    near[:, :, here].diagonal(dim1=1, dim2=2).fill_(False)

    system, receiver, step, sender = near.nonzero().unbind(1)
    turns = torch.from_numpy(wraps.astype(np.int32)).reshape(-1, 3)
    first = system * kind.n_sites
    shifts = torch.from_numpy(steps.astype(np.int32)).index_select(0, step)
    shifts += turns.index_select(0, first + receiver) - turns.index_select(0, first + sender)
    counts = torch.bincount(system, minlength=len(systems)).tolist()
    columns = (receiver.split(counts), sender.split(counts), shifts.split(counts))
    return [Pairs(*(part.numpy() for part in parts)) for parts in zip(*columns, strict=True)]
