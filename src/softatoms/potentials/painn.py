"""PaiNN: equivariant message passing (Schütt, Unke, Gastegger, ICML 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..gather import gather
from ..graph import Graph
from .network import NetworkPotential
from .radial import perceptron

SMOOTHING = 0.1
"""Length below which the norm of a vector feature is rounded off: the plain norm has no slope at 0,
where every isolated atom is."""


class PaiNN(NetworkPotential):
    """Scalar and vector features that exchange messages along edges."""

    name = "painn"

    def build_layers(self, n_features: int, n_radial: int) -> None:
        """See :meth:`NetworkPotential.build_layers`."""
        self.layers = nn.ModuleList(
            _Layer(n_features, n_radial, has_vectors=index > 0, keeps_vectors=index < self.n_layers - 1)
            for index in range(self.n_layers)
        )

    def scalar_features(self, graph: Graph, embedded: Tensor) -> Tensor:
        """See :meth:`NetworkPotential.scalar_features`."""
        edges = graph.edges
        distance = torch.linalg.vector_norm(edges.vectors, dim=1)
        direction = (edges.vectors / distance.unsqueeze(1)).unsqueeze(2)
        basis = self.radial(distance)
        scalars, vectors = embedded, None
        for layer in self.layers:
            scalars, vectors = layer(graph, basis, direction, scalars, vectors, self.message_scale)
        return scalars


class _Layer(nn.Module):
    """One round of messages between neighbours, then an update within each node.

    Args:
        n_features: Number of scalar and of vector features.
        n_radial: Number of radial functions.
        has_vectors: Whether nodes carry vector features already.
        keeps_vectors: Whether a later layer wants the vector features.
    """

    def __init__(
        self, n_features: int, n_radial: int, *, has_vectors: bool, keeps_vectors: bool
    ) -> None:
        super().__init__()
        self.n_features = n_features
        self.has_vectors = has_vectors
        self.keeps_vectors = keeps_vectors
        parts = 3 if has_vectors else 2
        self.context = perceptron(n_features, n_features, parts * n_features)
        self.filter = nn.Linear(n_radial, parts * n_features, bias=False)
        self.mix = nn.Linear(n_features, 2 * n_features, bias=False)
        self.update = perceptron(2 * n_features, n_features, (2 + keeps_vectors) * n_features)

    def forward(
        self,
        graph: Graph,
        basis: Tensor,
        direction: Tensor,
        scalars: Tensor,
        vectors: Tensor | None,
        scale: float,
    ) -> tuple[Tensor, Tensor | None]:
        """New scalar features (n_nodes, n_features) and vector features (n_nodes, 3, n_features)."""
        width = self.n_features
        context = self.context(scalars)
        weights = self.filter(basis)

        def message(spoken: Tensor) -> Tensor:
            invariant = spoken[:, : 2 * width] * weights[:, : 2 * width]
            along = direction * invariant[:, None, width:]
            if vectors is not None:
                carried = spoken[:, 2 * width :].unflatten(1, (3, width))
                along = along + carried * weights[:, None, 2 * width :]
            return torch.cat([invariant[:, None, :width], along], dim=1)

        spoken = context[:, : 2 * width]
        if vectors is not None:
            gated = vectors * context[:, None, 2 * width :]
            spoken = torch.cat([spoken, gated.flatten(1)], dim=1)
        heard = gather(graph.edges, message, sender=(spoken,)) * scale
        scalars = scalars + heard[:, 0]
        vectors = heard[:, 1:] if vectors is None else vectors + heard[:, 1:]

        left, right = self.mix(vectors).split(width, dim=2)
        length = smooth_norm(right)
        gates = self.update(torch.cat([scalars, length], dim=1))
        scalars = scalars + gates[:, :width] + gates[:, width : 2 * width] * (left * right).sum(1)
        if not self.keeps_vectors:
            return scalars, None
        return scalars, vectors + gates[:, None, 2 * width :] * left


def smooth_norm(vectors: Tensor) -> Tensor:
    """√(|v|² + s²) − s over the middle axis, smooth at 0: (n, 3, n_features) to (n, n_features)."""
    return torch.sqrt((vectors * vectors).sum(1) + SMOOTHING**2) - SMOOTHING
