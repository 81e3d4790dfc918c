"""Building blocks of MACE: messages between neighbours, linear maps and readouts.

Features are laid out irrep after irrep with the channels last, shape (n_nodes, n_components,
n_channels). All maps are plain matrices; what e3nn and mace-torch scale paths, activations and
neighbours by is part of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..gather import Edges, gather
from ..graph import Graph
from .mace_radial import RadialNetwork, learned

MOST_SUMMED_SPECIES = 6
"""Up to this many elements at once, the first layer sums neighbours element by element."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": functional.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "identity": lambda values: values,
}
"""Activations of readouts."""

Irrep = tuple[int, int]
"""Degree and parity."""


def slices(irreps: Sequence[Irrep]) -> list[slice]:
    """Where the components of each irrep stand."""
    found, start = [], 0
    for degree, _ in irreps:
        found.append(slice(start, start + 2 * degree + 1))
        start += 2 * degree + 1
    return found


def times(features: Tensor, matrix: Tensor) -> Tensor:
    """Mix channels: (n_nodes, n_components, n_in) by (n_in, n_out) as one product of matrices."""
    mixed = features.reshape(-1, features.shape[2]) @ matrix
    return mixed.reshape(*features.shape[:2], matrix.shape[1])


@dataclass(frozen=True)
class BySpecies:
    """Nodes sorted by species, for maps that differ between elements.

    Attributes:
        kinds: Species that occur, shape (n_present,), int64.
        present: The same as a list.
        counts: Number of nodes of each.
        position: Place of the species of every node in ``present``, shape (n_nodes,).
        order: Nodes sorted by species, or None where there is only one.
        back: Where each node went, or None.
    """

    kinds: Tensor
    present: list[int]
    counts: list[int]
    position: Tensor
    order: Tensor | None
    back: Tensor | None

    @staticmethod
    def of(species: Tensor) -> BySpecies:
        """Sort nodes by species."""
        kinds, position, counts = torch.unique(species, return_inverse=True, return_counts=True)
        present, sizes = kinds.tolist(), counts.tolist()
        if len(present) < 2:
            return BySpecies(kinds, present, sizes, position, None, None)
        order = torch.argsort(position, stable=True)
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order), device=order.device)
        return BySpecies(kinds, present, sizes, position, order, back)

    def map(self, function: Callable[[Tensor, int], Tensor], nodes: Tensor) -> Tensor:
        """Apply ``function(rows, species)`` to the nodes of each species."""
        if self.order is None or self.back is None:
            return function(nodes, self.present[0]) if self.present else nodes
        parts = nodes.index_select(0, self.order).split(self.counts)
        results = [
            function(part, species) for part, species in zip(parts, self.present, strict=True)
        ]
        return torch.cat(results).index_select(0, self.back)


class Linear(nn.Module):
    """An equivariant linear map: a matrix per irrep, the same for all its components.

    Args:
        irreps_in: Irreps of the features.
        irreps_out: Irreps of the result; those that the features lack are 0.
        n_in: Channels of the features.
        n_out: Channels of the result.
        n_species: Number of elements, each with matrices of its own; 0 if they share them.
    """

    def __init__(
        self,
        irreps_in: Sequence[Irrep],
        irreps_out: Sequence[Irrep],
        *,
        n_in: int,
        n_out: int,
        n_species: int = 0,
    ) -> None:
        super().__init__()
        self.n_out = n_out
        where = dict(zip(irreps_in, slices(irreps_in), strict=True))
        self.blocks = [(where.get(irrep), 2 * irrep[0] + 1) for irrep in irreps_out]
        shape = (n_species, n_in, n_out) if n_species else (n_in, n_out)
        for index, (source, _) in enumerate(self.blocks):
            if source is not None:
                self.register_parameter(f"weight_{index}", learned(*shape))

    def forward(self, features: Tensor, species: int | None = None) -> Tensor:
        """The result, shape (n_nodes, n_components_out, n_out)."""
        parts = []
        for index, (source, size) in enumerate(self.blocks):
            if source is None:
                parts.append(features.new_zeros((len(features), size, self.n_out)))
                continue
            weight = self.get_parameter(f"weight_{index}")
            matrix = weight if species is None else weight[species]
            parts.append(times(features[:, source], matrix))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


@dataclass(frozen=True)
class Speakers:
    """Who sends and who hears: the nodes, or the sites they are candidates of.

    Where all candidates of a site hear the same, one message serves them all, and what they send
    is added up before.

    Attributes:
        edges: Edges between speakers.
        sites: Site of each node, shape (n_nodes,), int64; None if nodes speak for themselves.
        weights: Weight of each node, shape (n_nodes,).
    """

    edges: Edges
    sites: Tensor | None
    weights: Tensor

    @staticmethod
    def of(graph: Graph, *, may_be_sites: bool) -> Speakers:
        """Sites if that is possible, otherwise nodes.

        Args:
            graph: The graph.
            may_be_sites: Whether messages are the same for receivers and linear in senders.
        """
        weights = graph.weights.to(graph.edges.vectors.dtype)
        if graph.by_site is None or not may_be_sites:
            return Speakers(graph.edges, None, weights)
        return Speakers(graph.by_site, graph.sites, weights)

    def sent(self, of_nodes: Tensor) -> Tensor:
        """What speakers send, from what nodes send, shape (n_speakers, ...)."""
        if self.sites is None:
            return of_nodes
        weights = self.weights.reshape(-1, *[1] * (of_nodes.dim() - 1))
        sums = of_nodes.new_zeros((self.edges.n_receivers, *of_nodes.shape[1:]))
        return sums.index_add(0, self.sites, weights * of_nodes)

    def heard(self, of_speakers: Tensor) -> Tensor:
        """What nodes hear, from what speakers hear, shape (n_nodes, ...)."""
        return of_speakers if self.sites is None else of_speakers.index_select(0, self.sites)

    def counting_edges(self) -> Edges:
        """Edges along which every node behind a speaker counts by its weight."""
        if self.sites is None:
            return self.edges
        existence = self.sent(torch.ones_like(self.weights)).index_select(0, self.edges.senders)
        return replace(self.edges, factors=self.edges.factors * existence)


@dataclass(frozen=True)
class Path:
    """One way in which features of a neighbour and a direction make up a message.

    Attributes:
        sender: Which of the sender's irreps.
        degree: Degree of the spherical harmonic.
        result: Which of the irreps of the message.
    """

    sender: int
    degree: int
    result: int


@dataclass(frozen=True)
class Surroundings:
    """What all layers know of the edges.

    Attributes:
        speakers: Who sends and hears along the edges.
        basis: Radial functions, shape (n_edges, n_functions).
        fading: Factor of every message, shape (n_edges, 1), or None if the basis has it.
        harmonics: Spherical harmonics by degree, shape (n_edges, 2 × degree + 1) each.
    """

    speakers: Speakers
    basis: Tensor
    fading: Tensor | None
    harmonics: list[Tensor]

    def edge_inputs(self) -> tuple[Tensor, ...]:
        """What a message starts from."""
        return (self.basis,) if self.fading is None else (self.basis, self.fading)


class Messages(nn.Module):
    """Messages of one layer, summed over neighbours and mixed.

    A message is a learned function of the distance times the sender's features times a spherical
    harmonic. Neighbours are summed first, for every pair of a feature's and a harmonic's component;
    Clebsch–Gordan coefficients come after the sum, once per node instead of once per edge.

    Args:
        senders: Channels, degree and parity of the sender's irreps.
        results: Degree and parity of the irreps of the message.
        paths: Ways in which messages are made.
        n_channels: Channels of the message.
        widths: Inputs and hidden neurons of the radial network.
        has_density: Whether messages are divided by 1 + a learned count of neighbours.
    """

    def __init__(
        self,
        *,
        senders: Sequence[tuple[int, int, int]],
        results: Sequence[Irrep],
        paths: Sequence[Path],
        n_channels: int,
        widths: Sequence[int],
        has_density: bool,
    ) -> None:
        super().__init__()
        self.senders, self.results = list(senders), list(results)
        self.n_channels, self.has_density = n_channels, has_density
        # Paths with the same features and harmonic share a block: one product, one sum.
        blocks: dict[tuple[int, int], list[int]] = {}
        for number, path in enumerate(paths):
            blocks.setdefault((path.sender, path.degree), []).append(number)
        self.paths, self.blocks = list(paths), list(blocks.items())
        self.radial = RadialNetwork(list(widths))
        if has_density:
            self.density = learned(widths[0])
        for index, ((sender, _), numbers) in enumerate(self.blocks):
            size = len(numbers) * senders[sender][0]
            self.register_parameter(f"last_{index}", learned(widths[-1], size))
        for number, path in enumerate(paths):
            channels, degree, _ = senders[path.sender]
            if degree and path.degree:
                size = (2 * path.degree + 1) * (2 * degree + 1)
                rows = 2 * results[path.result][0] + 1
                self.register_buffer(f"coupling_{number}", torch.zeros(rows, size).double())
            self.register_parameter(f"mix_{number}", learned(channels, n_channels))

    def forward(self, around: Surroundings, features: Sequence[Tensor], *, is_last: bool) -> Tensor:
        """Sum messages of neighbours that each have features of their own.

        Args:
            around: The edges.
            features: Features to send, one tensor (n_nodes, 2 l + 1, n_channels) per irrep.
            is_last: Whether no later layer depends on the result.

        Returns:
            Messages, shape (n_nodes, n_components, n_channels).
        """
        n_senders = len(features)

        def message(*arrived: Tensor) -> tuple[Tensor, ...]:
            hidden = self._hidden(*arrived[n_senders:])
            parts = []
            for index, ((sender, _), numbers) in enumerate(self.blocks):
                weights = hidden @ self.get_parameter(f"last_{index}")
                weights = weights.unflatten(1, (1, len(numbers), -1))
                parts.append(weights * arrived[sender].unsqueeze(2))
            return tuple(parts)

        edges = around.speakers.edges
        sums = gather(
            edges,
            message,
            sender=[around.speakers.sent(values) for values in features],
            edge=around.edge_inputs(),
            along=tuple(around.harmonics[degree] for (_, degree), _ in self.blocks),
            is_last=is_last,
        )
        collected: list[list[Tensor]] = [[] for _ in self.results]
        mixes: list[list[Tensor]] = [[] for _ in self.results]
        for moments, (_, numbers) in zip(sums, self.blocks, strict=True):
            for place, number in enumerate(numbers):
                moment = moments[:, :, :, place].flatten(1, 2)
                result = self.paths[number].result
                collected[result].append(self._coupled(number, moment))
                mixes[result].append(self.get_parameter(f"mix_{number}"))
        parts = [
            times(torch.cat(values, dim=2), torch.cat(mix))
            if values
            else around.basis.new_zeros((edges.n_receivers, 2 * irrep[0] + 1, self.n_channels))
            for irrep, values, mix in zip(self.results, collected, mixes, strict=True)
        ]
        return self._normalised(around, torch.cat(parts, dim=1), is_last=is_last)

    def of_species(
        self, around: Surroundings, table: Tensor, nodes: BySpecies, *, is_last: bool
    ) -> Tensor:
        """Sum messages of neighbours whose features depend on their species alone.

        The learned functions are linear in the hidden neurons of the radial network, so neighbours
        of a species are summed per neuron and harmonic. Channels appear only after the sum.

        Args:
            around: The edges.
            table: Scalars that each species sends, shape (n_present, n_channels).
            nodes: Nodes by species.
            is_last: Whether no later layer depends on the result.
        """
        speakers, edges = around.speakers, around.speakers.edges
        n_present = len(table)
        if n_present > MOST_SUMMED_SPECIES:
            sent = table.index_select(0, nodes.position).unsqueeze(1)
            return self.forward(around, [sent], is_last=is_last)
        along = torch.cat(around.harmonics, dim=1)
        if n_present > 1 or speakers.sites is not None:
            which = functional.one_hot(nodes.position, n_present).to(along.dtype)
            which = speakers.sent(which).index_select(0, edges.senders)
            along = (along.unsqueeze(2) * which.unsqueeze(1)).flatten(1)
        sums = gather(
            edges, self._hidden, edge=around.edge_inputs(), along=along, is_last=is_last
        ).unflatten(1, (-1, n_present))
        parts: list[Tensor | None] = [None] * len(self.results)
        for index, ((_, degree), numbers) in enumerate(self.blocks):
            moments = sums[:, degree**2 : (degree + 1) ** 2].flatten(2)
            last = self.get_parameter(f"last_{index}").unflatten(1, (len(numbers), -1))
            for place, number in enumerate(numbers):
                mix = self.get_parameter(f"mix_{number}")
                weights = (last[:, place].unsqueeze(0) * table.unsqueeze(1)) @ mix
                value = times(moments, weights.flatten(0, 1))
                result = self.paths[number].result
                before = parts[result]
                parts[result] = value if before is None else before + value
        filled = [
            sums.new_zeros((len(sums), 2 * irrep[0] + 1, self.n_channels)) if part is None else part
            for irrep, part in zip(self.results, parts, strict=True)
        ]
        return self._normalised(around, torch.cat(filled, dim=1), is_last=is_last)

    def _coupled(self, number: int, moment: Tensor) -> Tensor:
        """Clebsch–Gordan coefficients of a path; with a scalar it is a number, kept in the mix."""
        path = self.paths[number]
        if self.senders[path.sender][1] == 0 or path.degree == 0:
            return moment
        return self.get_buffer(f"coupling_{number}") @ moment

    def _hidden(self, basis: Tensor, fading: Tensor | None = None) -> Tensor:
        hidden: Tensor = self.radial(basis)
        return hidden if fading is None else hidden * fading

    def _normalised(self, around: Surroundings, messages: Tensor, *, is_last: bool) -> Tensor:
        speakers = around.speakers
        if not self.has_density:
            return speakers.heard(messages)

        def density(basis: Tensor, fading: Tensor | None = None) -> Tensor:
            counted = torch.tanh(basis.mv(self.density) ** 2)
            return counted if fading is None else counted * fading.squeeze(1)

        edges = speakers.counting_edges()
        count = gather(edges, density, edge=around.edge_inputs(), is_last=is_last)
        return speakers.heard(messages / (1.0 + count).reshape(-1, 1, 1))


class Readout(nn.Module):
    """Energy of a node from its scalars.

    Args:
        widths: Inputs, neurons per hidden layer, and 1.
        activation: Activation of hidden layers.
        biases: Which layers have a bias.
    """

    def __init__(self, *, widths: Sequence[int], activation: str, biases: Sequence[bool]) -> None:
        super().__init__()
        self.activation, self.biases = activation, list(biases)
        for index, (before, after) in enumerate(itertools.pairwise(widths)):
            self.register_parameter(f"weight_{index}", learned(before, after))
            if biases[index]:
                self.register_parameter(f"bias_{index}", learned(after))

    def forward(self, scalars: Tensor) -> Tensor:
        """Energies in eV, shape (n_nodes,)."""
        for index, has_bias in enumerate(self.biases):
            if index:
                scalars = ACTIVATIONS[self.activation](scalars)
            scalars = scalars @ self.get_parameter(f"weight_{index}")
            if has_bias:
                scalars = scalars + self.get_parameter(f"bias_{index}")
        return scalars.squeeze(1)
