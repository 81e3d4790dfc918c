"""What the trainable potentials have in common: options, embedding, readout and reference."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..graph import Graph
from .base import Potential
from .options import check_elements, check_positive, check_whole
from .radial import DRAWN_IN, RadialBasis, perceptron, seed_cpu

FRESH_ENERGY = 0.3
"""Spread of the energies of a fresh network in eV: of the order of real interactions."""


class NetworkPotential(Potential):
    """A message-passing network with species embedding and an energy readout per node.

    The readout of the same network at an isolated atom is subtracted, so an isolated atom has
    exactly its isolated-atom energy whatever the network has learned.

    Args:
        elements: Chemical symbols the network shall know.
        cutoff: Radius in Å.
        n_features: Number of features per node. The default is small enough for a few CPU cores.
        n_layers: Number of message-passing layers.
        n_radial: Number of radial functions.
        typical_neighbours: A constant number of neighbours for which messages are scaled to order
            1. The actual number of neighbours must not be used: it would count ghosts.
        isolated_energies: Energy of an isolated atom of each element in eV; 0 if not given.
        seed: Seed of the initial parameters.
    """

    def __init__(
        self,
        *,
        elements: Sequence[str],
        cutoff: float = 5.0,
        n_features: int = 32,
        n_layers: int = 3,
        n_radial: int = 8,
        typical_neighbours: float = 30.0,
        isolated_energies: Mapping[str, float] | None = None,
        seed: int = 0,
    ) -> None:
        species = check_elements(elements)
        counts = {"n_features": n_features, "n_layers": n_layers, "n_radial": n_radial}
        for option, value in counts.items():
            check_whole(value, option, least=1)
        check_whole(seed, "seed", least=0)
        options: dict[str, Any] = {
            "elements": list(species),
            "cutoff": check_positive(cutoff, "cutoff"),
            **counts,
            "typical_neighbours": check_positive(typical_neighbours, "typical_neighbours"),
            "seed": seed,
            **self.own_options(),
        }
        super().__init__(
            cutoff=cutoff, species=species, isolated_energies=isolated_energies, options=options
        )
        self.n_layers = n_layers
        self.message_scale = float(typical_neighbours) ** -0.5
        with torch.random.fork_rng(devices=[]):
            seed_cpu(seed)
            self.embedding = nn.Embedding(len(species), n_features, dtype=DRAWN_IN)
            self.radial = RadialBasis(n_radial, self.cutoff)
            self.readout = perceptron(n_features, n_features // 2 + 1, 1, gain=FRESH_ENERGY)
            self.build_layers(n_features, n_radial)
        self.to(torch.float64)

    def own_options(self) -> dict[str, Any]:
        """Options that only one kind of network has."""
        return {}

    @abstractmethod
    def build_layers(self, n_features: int, n_radial: int) -> None:
        """Create the message-passing layers."""

    @abstractmethod
    def scalar_features(self, graph: Graph, embedded: Tensor) -> Tensor:
        """Invariant features of every node after all layers, shape (n_nodes, n_features)."""

    def interaction(self, graph: Graph) -> Tensor:
        """See :meth:`Potential.interaction`."""
        index = self.species_index(graph.numbers)
        energies = self._readout(graph, index)
        kinds = torch.arange(len(self.species), device=index.device)
        lone_numbers = torch.zeros_like(kinds)
        alone = Graph.of_isolated_atoms(lone_numbers, like=graph.edges.vectors)
        return energies - self._readout(alone, kinds).index_select(0, index)

    def _readout(self, graph: Graph, index: Tensor) -> Tensor:
        features: Tensor = self.readout(self.scalar_features(graph, self.embedding(index)))
        return features.squeeze(1)
