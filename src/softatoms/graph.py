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
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .errors import OptionError, suggest
from .gather import Edges, Tap
from .neighbours import Pairs
from .structure import SoftAtoms
from .weight_groups import PLAIN

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
        sites: Site of each node, shape (n_nodes,), int64. Candidates of one site share it.
        weights: Weight of each node, shape (n_nodes,), float64. A potential gives energies of
            whole nodes and has no use for them, except in a switch that belongs to a system.
        held: Slots of ``edges`` that hold an edge, shape (n_held,), int64.
        images: Lattice translation from the receiver's cell to the sender's of each held edge,
            shape (n_held, 3), int64.
        by_site: Edges between sites, where that says the same in fewer words: with ``mean_field``
            coupling all candidates of a site hear the same, and what a site sends is the sum of
            what its candidates send, each times its weight. None otherwise.
    """

    numbers: Tensor
    edges: Edges
    sites: Tensor
    weights: Tensor
    held: Tensor
    images: Tensor
    by_site: Edges | None = None

    @staticmethod
    def of_isolated_atoms(numbers: Tensor, like: Tensor) -> Graph:
        """One node per atomic number and no edge, in the type and on the device of ``like``."""
        none = numbers.new_zeros(0)
        empty = like.new_zeros((0, 3))
        edges = Edges(none, empty, like.new_zeros(0), torch.zeros_like(numbers), 0)
        return Graph(
            numbers=numbers,
            edges=edges,
            sites=torch.arange(len(numbers), device=like.device),
            weights=torch.ones_like(numbers, dtype=torch.float64),
            held=none,
            images=numbers.new_zeros((0, 3)),
        )

    def listed_edges(self) -> Edges:
        """The edges one after the other, without empty slots.

        For potentials whose messages cost more than bringing them to their receivers.
        """
        edges = self.edges
        return Edges(
            senders=edges.senders.index_select(0, self.held),
            vectors=edges.vectors.index_select(0, self.held),
            factors=edges.factors.index_select(0, self.held),
            receiver_system=edges.receiver_system,
            width=0,
            tap=edges.tap,
            receivers=self.held // max(edges.width, 1),
        )


@dataclass(frozen=True)
class Geometry:
    """Pair vectors of a batch, the only way in which positions and cells enter an energy.

    Pairs stand in rows of ``width`` slots per receiving site. An empty slot holds a vector that
    reaches beyond the cutoff.

    Attributes:
        senders: Sending site of each slot, shape (n_sites × width,), int64.
        vectors: Sender minus receiver in Å, shape (n_sites × width, 3); a leaf to differentiate by.
        filled: Whether a slot holds a pair, shape (n_sites × width,), bool.
        width: Number of slots per site.
        slots: Slot of each pair, shape (n_pairs,), int64.
        images: Lattice translation of each pair, shape (n_pairs, 3), int64.
    """

    senders: Tensor
    vectors: Tensor
    filled: Tensor
    width: int
    slots: Tensor
    images: Tensor

    def with_vectors(self, vectors: Tensor) -> Geometry:
        """The same pairs with other vectors."""
        return replace(self, vectors=vectors)


@dataclass(frozen=True)
class Rows:
    """Where a list of edges, sorted by receiver or not, lands in rows of slots.

    Attributes:
        slots: Slot of each edge, shape (n_edges,).
        width: Slots per receiver.
    """

    slots: Tensor
    width: int

    @staticmethod
    def of(receivers: Tensor, n_receivers: int, *, is_sorted: bool) -> Rows:
        """Give every edge a slot of its own in the row of its receiver."""
        counts = torch.bincount(receivers, minlength=n_receivers)
        width = int(counts.max()) if len(receivers) else 0
        arrival = torch.arange(len(receivers), device=receivers.device)
        ordered = receivers
        if not is_sorted:
            order = torch.argsort(receivers, stable=True)
            ordered = receivers.index_select(0, order)
        position = arrival - (counts.cumsum(0) - counts).index_select(0, ordered)
        slots = ordered * width + position
        if not is_sorted:
            slots = torch.empty_like(slots).index_copy_(0, order, slots)
        return Rows(slots, width)

    def fill(self, values: Tensor, n_receivers: int, empty: float | Tensor) -> Tensor:
        """Spread values of edges over the slots; slots left over hold ``empty``."""
        filled = values.new_empty((n_receivers * self.width, *values.shape[1:]))
        filled[:] = empty
        return filled.index_copy_(0, self.slots, values)


class PairList:
    """Pairs of a batch laid end to end on its device.

    Laying them out again takes longer than the arithmetic on small systems; whoever evaluates the
    same lists again and again keeps this object. See :meth:`Batch.lay_out`.

    Args:
        pairs: Pairs of each system.
        offsets: Index of the first site of each system, shape (n_systems,).
        device: Where to keep them.

    Attributes:
        receivers: Site that sees, shape (n_pairs,), int64.
        senders: Site that is seen, shape (n_pairs,), int64.
        images: Lattice translation of the sender's image, shape (n_pairs, 3), int32.
    """

    def __init__(
        self, pairs: Sequence[Pairs], offsets: NDArray[np.int64], device: torch.device
    ) -> None:
        def flat(parts: list[NDArray[np.int64]]) -> Tensor:
            moved = [part + offset for part, offset in zip(parts, offsets, strict=True)]
            return torch.from_numpy(np.concatenate(moved)).to(device)

        self.receivers = flat([p.receivers for p in pairs])
        self.senders = flat([p.senders for p in pairs])
        self.images = torch.from_numpy(np.concatenate([p.shifts for p in pairs])).to(device)
        self._counts = [len(p.senders) for p in pairs]
        self._translations: tuple[Tensor, Tensor] | None = None

    def translations(self, cells: Tensor) -> Tensor:
        """Translation of every sender's image in Å, shape (n_pairs, 3), float64.

        Args:
            cells: Cells in Å, shape (n_systems, 3, 3), float64. The translations are kept as long
                as this very tensor is given, which must not be written to.
        """
        if self._translations is None or self._translations[0] is not cells:
            steps = self.images.to(torch.float64).split(self._counts)
            # One small product per system is much faster than one with a cell for every pair.
            moves = torch.cat([step @ cell for step, cell in zip(steps, cells, strict=True)])
            self._translations = cells, moves
        return self._translations[1]


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
        self.node_counts = [len(soft.node_site) for soft in systems]
        self.parameter_counts = [len(soft.groups.theta) for soft in systems]
        self.n_sites = sum(self.site_counts)
        self.site_offsets = np.cumsum([0, *self.site_counts])[:-1]

        def joined(parts: list[NDArray[np.int64]], counts: Sequence[int]) -> NDArray[np.int64]:
            """Concatenate indices, moving those of each system behind those before it."""
            offsets = np.cumsum([0, *counts])[:-1]
            indices = np.concatenate(parts)
            moved = indices + np.repeat(offsets, [len(part) for part in parts])
            return np.where(indices == PLAIN, PLAIN, moved)

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

    def lay_out(self, pairs: Sequence[Pairs]) -> PairList:
        """Pairs of each system laid end to end, for repeated use in :meth:`geometry`."""
        return PairList(pairs, self.site_offsets, self.device)

    def geometry(
        self,
        pairs: Sequence[Pairs] | PairList,
        positions: Tensor,
        cells: Tensor,
        cutoff: float,
        dtype: torch.dtype,
    ) -> Geometry:
        """Vectors of all pairs within the cutoff.

        Args:
            pairs: Pairs of each system, laid out or not; those beyond the cutoff are dropped.
            positions: Positions of all sites in Å, shape (n_sites, 3), float64.
            cells: Cells in Å, shape (n_systems, 3, 3), float64.
            cutoff: Radius in Å.
            dtype: Type of the vectors; they are computed in float64 and rounded once.
        """
        listed = pairs if isinstance(pairs, PairList) else self.lay_out(pairs)
        receivers, senders, images = listed.receivers, listed.senders, listed.images
        vectors = (
            positions.index_select(0, senders)
            - positions.index_select(0, receivers)
            + listed.translations(cells)
        )
        squares = (vectors * vectors).mv(vectors.new_ones(3))
        near = (squares < cutoff * cutoff).nonzero().squeeze(1)
        rows = Rows.of(receivers.index_select(0, near), self.n_sites, is_sorted=True)
        # What every slot holds is picked from all pairs at once; an empty one picks the pair that
        # stands behind the last and reaches beyond the cutoff.
        n_pairs = len(vectors)
        picked = rows.fill(near, self.n_sites, n_pairs)
        beyond = vectors.new_tensor([[2.0 * cutoff, 0.0, 0.0]])
        return Geometry(
            senders=torch.cat([senders, senders.new_zeros(1)]).index_select(0, picked),
            vectors=torch.cat([vectors, beyond]).index_select(0, picked).to(dtype),
            filled=picked < n_pairs,
            width=rows.width,
            slots=rows.slots,
            images=images.index_select(0, near).to(torch.int64),
        )

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
        if not self.has_soft_sites:
            return Graph(
                numbers=self.numbers,
                edges=self._edges_of_sites(geometry, self.node_system, tap),
                sites=self.node_site,
                weights=weights,
                held=geometry.slots,
                images=geometry.images,
            )
        pairs, receivers, senders = self._pairs_of_nodes(geometry)
        factors = weights.index_select(0, senders)
        if coupling == "replica":
            group = self.site_group[self.node_site[receivers]]
            inside = (group != PLAIN) & (group == self.site_group[self.node_site[senders]])
            factors = torch.where(inside, torch.ones_like(factors), factors)
            seen = ~inside | (self.numbers[receivers] == self.numbers[senders])
            kept = seen.nonzero().squeeze(1)
            pairs, receivers, senders, factors = (
                part.index_select(0, kept) for part in (pairs, receivers, senders, factors)
            )
        n_nodes = len(self.numbers)
        rows = Rows.of(receivers, n_nodes, is_sorted=self.one_node_per_site)
        # A slot left over repeats the first pair: its factor of 0 silences it.
        slots = rows.fill(geometry.slots.index_select(0, pairs), n_nodes, 0)
        edges = Edges(
            senders=rows.fill(senders, n_nodes, 0),
            vectors=geometry.vectors.index_select(0, slots),
            factors=rows.fill(factors.to(geometry.vectors.dtype), n_nodes, 0.0),
            receiver_system=self.node_system,
            width=rows.width,
            tap=tap,
        )
        by_site = None
        if coupling == "mean_field" and not self.one_node_per_site:
            by_site = self._edges_of_sites(geometry, self.site_system, tap)
        return Graph(
            numbers=self.numbers,
            edges=edges,
            sites=self.node_site,
            weights=weights,
            held=rows.slots,
            images=geometry.images.index_select(0, pairs),
            by_site=by_site,
        )

    @staticmethod
    def _edges_of_sites(geometry: Geometry, systems: Tensor, tap: Tap | None) -> Edges:
        """One edge per pair of sites, in the slots that the pairs have."""
        return Edges(
            senders=geometry.senders,
            vectors=geometry.vectors,
            factors=geometry.filled.to(geometry.vectors.dtype),
            receiver_system=systems,
            width=geometry.width,
            tap=tap,
        )

    def _pairs_of_nodes(self, geometry: Geometry) -> tuple[Tensor, Tensor, Tensor]:
        """Every combination of candidates of every pair of sites.

        Returns:
            Pair of sites, receiving node and sending node of each combination.
        """
        receiving = geometry.slots // geometry.width
        sending = geometry.senders.index_select(0, geometry.slots)
        pairs = torch.arange(len(receiving), device=self.device)
        if self.one_node_per_site:
            return pairs, receiving, sending
        per_pair = self.candidate_counts[receiving] * self.candidate_counts[sending]
        first_of_pair = per_pair.cumsum(0) - per_pair
        pairs = torch.repeat_interleave(per_pair)
        position = torch.arange(len(pairs), device=self.device) - first_of_pair[pairs]
        receiving, sending = receiving[pairs], sending[pairs]
        width = self.candidate_counts[sending]
        first_node = self.candidate_counts.cumsum(0) - self.candidate_counts
        return (
            pairs,
            first_node[receiving] + position // width,
            first_node[sending] + position % width,
        )
