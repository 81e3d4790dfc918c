"""SchNet: continuous-filter convolutions (Schütt et al., J. Chem. Phys. 148, 241722 (2018))."""

from __future__ import annotations

from torch import Tensor, nn

from ..gather import gather
from ..graph import Graph
from .network import NetworkPotential
from .radial import perceptron


class SchNet(NetworkPotential):
    """Invariant message passing with filters that are learned functions of the distance.

    Smooth everywhere: Bessel functions that vanish smoothly at the cutoff, SiLU activations.
    """

    name = "schnet"

    def build_layers(self, n_features: int, n_radial: int) -> None:
        """See :meth:`NetworkPotential.build_layers`."""
        self.filters = nn.ModuleList(
            _FilterNetwork(n_radial, n_features) for _ in range(self.n_layers)
        )
        self.inputs = nn.ModuleList(
            nn.Linear(n_features, n_features, bias=False) for _ in range(self.n_layers)
        )
        self.outputs = nn.ModuleList(
            perceptron(n_features, n_features, n_features) for _ in range(self.n_layers)
        )

    def scalar_features(self, graph: Graph, embedded: Tensor) -> Tensor:
        """See :meth:`NetworkPotential.scalar_features`."""
        edges = graph.edges
        distance = edges.squared_lengths().sqrt()
        basis = self.radial(distance)
        features = embedded
        for filter_network, inward, outward in zip(
            self.filters, self.inputs, self.outputs, strict=True
        ):
            weights = filter_network(basis)
            heard = gather(edges, lambda x, w=weights: x * w, sender=(inward(features),))
            features = features + outward(heard * self.message_scale)
        return features


class _FilterNetwork(nn.Module):
    """Filter of a distance that vanishes, with its slope, where the radial functions do.

    A perceptron without biases and with f(0) = 0 keeps the smooth cutoff of its input.
    """

    def __init__(self, n_radial: int, n_features: int) -> None:
        super().__init__()
        self.first = nn.Linear(n_radial, n_features, bias=False)
        self.second = nn.Linear(n_features, n_features, bias=False)

    def forward(self, basis: Tensor) -> Tensor:
        """Filter values, shape (n_edges, n_features)."""
        weights: Tensor = self.second(nn.functional.silu(self.first(basis)))
        return weights
