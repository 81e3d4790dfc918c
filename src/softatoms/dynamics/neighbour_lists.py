"""Neighbour lists of a whole batch, kept over many steps.

Whether the lists are still valid is one vectorised check for all systems, by the bound of
:class:`softatoms.neighbours.SkinnedList`. Pairs stand in an order that depends on nothing but the
pairs themselves: what a step computes is then the same however old the list is, so a run that was
resumed goes on to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import StructureError
from ..graph import PairList
from ..neighbours import Pairs
from ..neighbours_many import neighbour_pairs_of_many
from .members import Members

EARLY = 0.5
"""Part of the skin at which a list is renewed if another one has to be: laying the lists of a batch
out again costs the same for one as for all."""

_NONE = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 3), np.int32))


class _Placed(NamedTuple):
    """One system as a search wants it."""

    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    pbc: NDArray[np.bool_]


class NeighbourLists:
    """Pairs of all systems with a margin.

    Args:
        members: The systems.
        cutoff: Radius in Å within which no pair may be missed.
        skin: Margin in Å.

    Attributes:
        rebuilds: How often a list of each system was searched, shape (n_systems,).
    """

    def __init__(self, members: Members, cutoff: float, skin: float) -> None:
        self._members = members
        self._cutoff, self._skin = cutoff, skin
        self._pairs: list[Pairs] = [_NONE] * members.n_systems
        self._listed: PairList | None = None
        self._last_strains: tuple[Tensor, Tensor] | None = None
        self.rebuilds = np.zeros(members.n_systems, dtype=np.int64)

    def update(self, positions: Tensor, cells: Tensor) -> tuple[PairList, Mapping[int, str]]:
        """Pairs that include every one within the cutoff.

        Args:
            positions: Positions in Å, shape (n_sites, 3).
            cells: Cells in Å, shape (n_systems, 3, 3).

        Returns:
            The pairs, and why there are none for those systems that cannot be searched.
        """
        if self._listed is None:
            due = np.ones(self._members.n_systems, dtype=bool)
            self._reference, self._cells = positions.clone(), cells.clone()
        else:
            slack = self._slack(positions, cells)
            if bool((slack >= 0.0).all()):
                return self._listed, {}
            due = (~(slack >= EARLY * self._skin)).cpu().numpy()
        problems = self._search(due, positions, cells)
        chosen = torch.from_numpy(due).to(cells.device)
        of_sites = self._members.spread(chosen).unsqueeze(1)
        self._reference = torch.where(of_sites, positions, self._reference)
        self._cells = torch.where(chosen.reshape(-1, 1, 1), cells, self._cells)
        has_volume = torch.linalg.det(self._cells).abs() > 1e-12
        safe = torch.where(has_volume.reshape(-1, 1, 1), self._cells, torch.eye(3).to(self._cells))
        self._inverses = torch.linalg.inv(safe)
        self._last_cells, self._last_strains = self._cells, None
        self._listed = self._members.batch.lay_out(self._pairs)
        return self._listed, problems

    def pairs_of(self, row: int) -> Pairs:
        """The list of one system as it was last used."""
        return self._pairs[row]

    def _slack(self, positions: Tensor, cells: Tensor) -> Tensor:
        """How much closer pairs may come before one could be missed, in Å, shape (n_systems,)."""
        members = self._members
        reach: Tensor | float = self._cutoff + self._skin
        reference = self._reference
        if cells is not self._last_cells:
            self._last_cells = cells
            strains = self._inverses @ (cells - self._cells)
            # The smallest factor by which this deformation shortens anything is at least this.
            stretch = 1.0 - torch.linalg.matrix_norm(strains)
            self._last_strains = None
            if bool((strains != 0.0).any()):
                self._last_strains = strains, stretch
        if self._last_strains is not None:
            strains, stretch = self._last_strains
            reach = reach * stretch
            moves = (reference.unsqueeze(1) @ members.spread(strains)).squeeze(1)
            reference = reference + moves
        moved = positions - reference
        # A common drift brings no pair closer.
        moved = moved - members.spread(members.sum(moved) / members.site_counts)
        farthest = members.largest((moved * moved).sum(1)).sqrt()
        return reach - 2.0 * farthest - self._cutoff

    def _search(
        self, due: NDArray[np.bool_], positions: Tensor, cells: Tensor
    ) -> Mapping[int, str]:
        members = self._members
        parts = np.split(positions.cpu().numpy(), members.batch.site_offsets[1:])
        boxes = cells.cpu().numpy()
        rows = np.flatnonzero(due).tolist()
        placed = [_Placed(parts[row], boxes[row], members.systems[row].pbc) for row in rows]
        radius = self._cutoff + self._skin
        found: list[Pairs] = []
        problems: dict[int, str] = {}
        try:
            found = neighbour_pairs_of_many(placed, radius)
        except (StructureError, np.linalg.LinAlgError):
            for row, one in zip(rows, placed, strict=True):
                try:
                    found += neighbour_pairs_of_many([one], radius)
                except (StructureError, np.linalg.LinAlgError) as error:
                    found.append(_NONE)
                    problems[row] = str(error)
        for row, pairs in zip(rows, found, strict=True):
            self._pairs[row] = _in_order(pairs, len(parts[row]))
            self.rebuilds[row] += 1
        return problems


def _in_order(pairs: Pairs, n_sites: int) -> Pairs:
    """Pairs by receiver, sender and translation."""
    if len(pairs.senders) == 0:
        return pairs
    lowest = pairs.shifts.min(axis=0)
    spans = pairs.shifts.max(axis=0).astype(np.int64) - lowest + 1
    keys = pairs.receivers * n_sites + pairs.senders
    for axis in range(3):
        keys = keys * spans[axis] + (pairs.shifts[:, axis] - lowest[axis])
    if (np.diff(keys) >= 0).all():
        return pairs
    order = np.argsort(keys, kind="stable")
    return Pairs(pairs.receivers[order], pairs.senders[order], pairs.shifts[order])
