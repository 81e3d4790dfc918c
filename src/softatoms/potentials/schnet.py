"""SchNet: continuous-filter convolutions (Schütt et al., J. Chem. Phys. 148, 241722 (2018))."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..gather import gather
from ..graph import Graph
from .network import NetworkPotential
from .radial import linear, perceptron


class SchNet(NetworkPotential):
    """Invariant message passing with filters that are learned functions of the distance.

    Smooth everywhere: Bessel functions that vanish smoothly at the cutoff, SiLU activations.
    """

    name = "schnet"

    def build_layers(self, n_features: int, n_radial: int) -> None:
        """See :meth:`NetworkPotential.build_layers`."""
        # Without biases a filter vanishes, with its slope, where the radial functions do.
        self.filters = nn.ModuleList(
            perceptron(n_radial, n_features, n_features, bias=False) for _ in range(self.n_layers)
        )
        self.inputs = nn.ModuleList(
            linear(n_features, n_features, bias=False) for _ in range(self.n_layers)
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
        for index, (filter_network, inward, outward) in enumerate(
            zip(self.filters, self.inputs, self.outputs, strict=True)
        ):
            heard = gather(
                edges,
                torch.mul,
                sender=(inward(features),),
                edge=(filter_network(basis),),
                is_last=index == self.n_layers - 1,
            )
            features = features + outward(heard * self.message_scale)
        return features
