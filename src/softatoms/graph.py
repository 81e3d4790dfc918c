"""From soft structures to the weighted graph that a potential evaluates.

Every (site, candidate) pair is a *node*. A pair of sites within the cutoff becomes one edge per
combination of their candidates, with the factor that the coupling gives it:

============  ====================================  =====================================
coupling      inside one group of tied sites        between groups, and soft → plain
============  ====================================  =====================================
mean_field    every pair of candidates, factor w_m  factor w_m
replica       same candidate only, factor 1         factor w_m
============  ====================================  =====================================

with w_m the weight of the sender. Plain sites send with factor 1. All of it is done in whole-array
operations, for one system or for many laid end to end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .errors import OptionError, suggest
from .gather import Edges, Tap
from .neighbours import Pairs
from .structure import PLAIN, SoftAtoms

Coupling = Literal["mean_field", "replica"]


def check_coupling(coupling: str) -> Coupling:
    """Return ``coupling`` if it exists.

    Raises:
        OptionError: If it does not.
    """
    for known in get_args(Coupling):
        if coupling == known:
            return known
    raise OptionError(f"unknown coupling '{coupling}': {suggest(coupling, get_args(Coupling))}")


@dataclass(frozen=True)
class Graph:
    """What a potential sees of one or several soft structures.

    Attributes:
        numbers: Atomic number of each node, shape (n_nodes,), int64.
        edges: Edges between nodes.
    """

    numbers: Tensor
    edges: Edges

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return int(self.numbers.shape[0])

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type in which the potential computes."""
        return self.edges.vectors.dtype

    @staticmethod
    def of_isolated_atoms(numbers: Tensor, like: Tensor) -> Graph:
        """One node per atomic number and no edge at all, in the type and on the device of ``like``."""
        none = torch.zeros(0, dtype=torch.int64, device=like.device)
        edges = Edges(none, none, like.new_zeros((0, 3)), None, torch.zeros_like(numbers))
        return Graph(numbers, edges)


@dataclass(frozen=True)
class Geometry:
    """Pair vectors of a batch, the only way in which positions and cells enter an energy.

    Attributes:
        receivers: Receiving site of each pair, shape (n_pairs,), int64.
        senders: Sending site of each pair, shape (n_pairs,), int64.
        vectors: Sender minus receiver in Å, shape (n_pairs, 3); a leaf to differentiate by.
    """

    receivers: Tensor
    senders: Tensor
    vectors: Tensor


class Batch:
    """One or several soft structures laid end to end.

    It holds all that stays the same while atoms move and weights change.

    Args:
        systems: The structures; only their sites, candidates and groups are used.
        device: Where to compute.
    """

    def __init__(self, systems: Sequence[SoftAtoms], device: torch.device) -> None:
        self.device = device
        self.n_systems = len(systems)
        self.site_counts = [len(soft) for soft in systems]
        self.parameter_counts = [len(soft.groups.theta) for soft in systems]
        self.n_sites = sum(self.site_counts)
        self.site_offsets = np.cumsum([0, *self.site_counts])[:-1]

        def joined(parts: list[NDArray[np.int64]], counts: Sequence[int]) -> NDArray[np.int64]:
            """Concatenate indices, moving those of each system behind those before it."""
            offsets = np.cumsum([0, *counts])[:-1]
            moved = [np.where(p == PLAIN, PLAIN, p + o) for p, o in zip(parts, offsets, strict=True)]
            return np.concatenate(moved)

        numbers = np.concatenate([soft.node_number for soft in systems])
        node_site = joined([soft.node_site for soft in systems], self.site_counts)
        node_parameter = joined([soft.node_parameter for soft in systems], self.parameter_counts)
        site_group = joined(
            [soft.site_group for soft in systems], [len(soft.groups.sizes) for soft in systems]
        )
        counts = np.concatenate([soft.candidate_counts for soft in systems])
        self.has_soft_sites = bool((node_parameter != PLAIN).any())
        self.one_node_per_site = len(node_site) == self.n_sites

        self.numbers = torch.from_numpy(numbers).to(device)
        self.node_site = torch.from_numpy(node_site).to(device)
        self.site_group = torch.from_numpy(site_group).to(device)
        self.candidate_counts = torch.from_numpy(counts).to(device)
        self.site_system = torch.from_numpy(
            np.repeat(np.arange(self.n_systems), self.site_counts)
        ).to(device)
        self.node_system = self.site_system.index_select(0, self.node_site)
        # Plain nodes read a constant 1 that stands behind the last parameter.
        self.node_parameter = torch.from_numpy(
            np.where(node_parameter == PLAIN, sum(self.parameter_counts), node_parameter)
        ).to(device)
        self.node_mass = torch.from_numpy(np.concatenate([s.node_mass for s in systems])).to(device)

    def node_weights(self, theta: Tensor) -> Tensor:
        """Weight of every node from the parameters of all systems, shape (n_nodes,)."""
        return torch.cat([theta, theta.new_ones(1)]).index_select(0, self.node_parameter)

    def geometry(
        self,
        pairs: Sequence[Pairs],
        positions: Tensor,
        cells: Tensor,
        cutoff: float,
        dtype: torch.dtype,
    ) -> Geometry:
        """Vectors of all pairs within the cutoff.

        Args:
            pairs: Pairs of each system; those beyond the cutoff are dropped.
            positions: Positions of all sites in Å, shape (n_sites, 3), float64.
            cells: Cells in Å, shape (n_systems, 3, 3), float64.
            cutoff: Radius in Å.
            dtype: Type of the vectors; they are computed in float64 and rounded once.
        """
        receivers = self._flat([p.receivers for p in pairs])
        senders = self._flat([p.senders for p in pairs])
        shifts = torch.from_numpy(np.concatenate([p.shifts for p in pairs])).to(self.device)
        translations = shifts.to(torch.float64)
        if self.n_systems == 1:
            translations = translations @ cells[0]
        else:
            own_cell = cells.index_select(0, self.site_system.index_select(0, receivers))
            translations = torch.bmm(translations.unsqueeze(1), own_cell).squeeze(1)
        vectors = (
            positions.index_select(0, senders) - positions.index_select(0, receivers) + translations
        )
        near = ((vectors * vectors).sum(1) < cutoff * cutoff).nonzero().squeeze(1)
        if len(near) < len(vectors):
            vectors = vectors.index_select(0, near)
            receivers, senders = receivers.index_select(0, near), senders.index_select(0, near)
        return Geometry(receivers, senders, vectors.to(dtype))

    def sum_by_system(self, values: Tensor, systems: Tensor) -> Tensor:
        """Add up in float64 what belongs to each system.

        Args:
            values: Contributions, shape (n, ...).
            systems: System of each contribution, shape (n,).

        Returns:
            Sums, shape (n_systems, ...).
        """
        sums = torch.zeros(
            (self.n_systems, *values.shape[1:]), dtype=torch.float64, device=values.device
        )
        return sums.index_add(0, systems, values.to(torch.float64))

    def _flat(self, parts: list[NDArray[np.int64]]) -> Tensor:
        moved = [part + offset for part, offset in zip(parts, self.site_offsets, strict=True)]
        return torch.from_numpy(np.concatenate(moved)).to(self.device)

    def graph(
        self, geometry: Geometry, weights: Tensor, coupling: Coupling, tap: Tap | None = None
    ) -> Graph:
        """Expand pairs of sites into edges between nodes.

        Args:
            geometry: Pair vectors.
            weights: Weight of every node, shape (n_nodes,).
            coupling: Rule for the edge factors.
            tap: Where the potential's gathers are recorded.
        """
        receivers, senders, vectors = geometry.receivers, geometry.senders, geometry.vectors
        receiving_site, sending_site = receivers, senders
        if not self.one_node_per_site:
            per_pair = self.candidate_counts[receivers] * self.candidate_counts[senders]
            pair = torch.repeat_interleave(per_pair)
            position = torch.arange(len(pair), device=self.device)
            position = position - (per_pair.cumsum(0) - per_pair)[pair]
            receiving_site, sending_site = receivers[pair], senders[pair]
            width = self.candidate_counts[sending_site]
            first_node = self.candidate_counts.cumsum(0) - self.candidate_counts
            receivers = first_node[receiving_site] + position // width
            senders = first_node[sending_site] + position % width
            vectors = vectors.index_select(0, pair)
        factors = None
        if self.has_soft_sites:
            factors = weights.index_select(0, senders)
            if coupling == "replica":
                group = self.site_group[receiving_site]
                inside = (group != PLAIN) & (group == self.site_group[sending_site])
                factors = torch.where(inside, torch.ones_like(factors), factors)
                if not self.one_node_per_site:
                    seen = ~inside | (self.numbers[receivers] == self.numbers[senders])
                    kept = seen.nonzero().squeeze(1)
                    receivers, senders, vectors, factors = (
                        part.index_select(0, kept) for part in (receivers, senders, vectors, factors)
                    )
            factors = factors.to(vectors.dtype)
        edges = Edges(senders, receivers, vectors, factors, self.node_system, tap)
        return Graph(self.numbers, edges)
