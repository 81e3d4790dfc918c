"""PaiNN: equivariant message passing (Schütt, Unke, Gastegger, ICML 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..gather import Edges, gather, unchanged
from ..graph import Graph
from .network import NetworkPotential
from .radial import linear, perceptron

SMOOTHING = 0.1
"""Length below which the norm of a vector feature is rounded off: the plain norm has no slope at 0,
where every isolated atom is."""


class PaiNN(NetworkPotential):
    """Scalar and vector features that exchange messages along edges."""

    name = "painn"

    def build_layers(self, n_features: int, n_radial: int) -> None:
        """See :meth:`NetworkPotential.build_layers`."""
        self.layers = nn.ModuleList(
            _Layer(
                n_features, n_radial, has_vectors=index > 0, keeps_vectors=index < self.n_layers - 1
            )
            for index in range(self.n_layers)
        )

    def scalar_features(self, graph: Graph, embedded: Tensor) -> Tensor:
        """See :meth:`NetworkPotential.scalar_features`."""
        edges = graph.edges
        distance = edges.squared_lengths().sqrt()
        direction = edges.vectors / distance.unsqueeze(1)
        basis = self.radial(distance)
        directed_basis = (basis.unsqueeze(2) * direction.unsqueeze(1)).flatten(1)
        scalars, vectors = embedded, None
        for layer in self.layers:
            scalars, vectors = layer(
                edges, basis, directed_basis, scalars, vectors, self.message_scale
            )
        return scalars


class _Layer(nn.Module):
    """One round of messages between neighbours, then an update within each node.

    The filters of PaiNN are linear in the radial functions, so neighbours are summed once per
    radial function and the learned weights come after the sum. That is the same number, without a
    filter value per edge and feature.

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
        self.keeps_vectors = keeps_vectors
        # Messages: to the scalars, along the edge to the vectors, and from vectors to vectors.
        n_messages = 3 if has_vectors else 2
        self.context = perceptron(n_features, n_features, n_messages * n_features)
        self.filters = nn.Parameter(torch.randn(n_messages, n_radial, n_features) * n_radial**-0.5)
        self.mix = linear(n_features, 2 * n_features, bias=False)
        self.update = perceptron(2 * n_features, n_features, (2 + keeps_vectors) * n_features)

    def forward(
        self,
        edges: Edges,
        basis: Tensor,
        directed_basis: Tensor,
        scalars: Tensor,
        vectors: Tensor | None,
        scale: float,
    ) -> tuple[Tensor, Tensor | None]:
        """Features after this layer.

        Args:
            edges: Edges between nodes.
            basis: Radial functions, shape (n_edges, n_radial).
            directed_basis: Radial functions times edge direction, shape (n_edges, n_radial × 3).
            scalars: Scalar features, shape (n_nodes, n_features).
            vectors: Vector features, shape (n_nodes, 3, n_features), or None in the first layer.
            scale: Factor of all messages.

        Returns:
            The new scalar and vector features.
        """
        width = scalars.shape[1]
        spoken = self.context(scalars).split(width, dim=1)
        last = not self.keeps_vectors
        heard = gather(edges, unchanged, sender=(spoken[0],), along=basis, is_last=last)
        scalars = scalars + scale * (heard * self.filters[0]).sum(1)
        pull = gather(edges, unchanged, sender=(spoken[1],), along=directed_basis, is_last=last)
        change = (pull.unflatten(1, (-1, 3)) * self.filters[1].unsqueeze(1)).sum(1)
        if vectors is not None:
            gated = vectors * spoken[2].unsqueeze(1)
            carried = gather(edges, unchanged, sender=(gated,), along=basis, is_last=last)
            change = change + (carried * self.filters[2].unsqueeze(1)).sum(1)
        vectors = scale * change if vectors is None else vectors + scale * change

        left, right = self.mix(vectors).split(width, dim=2)
        gates = self.update(torch.cat([scalars, smooth_norm(right)], dim=1)).split(width, dim=1)
        scalars = scalars + gates[0] + gates[1] * (left * right).sum(1)
        if not self.keeps_vectors:
            return scalars, None
        return scalars, vectors + gates[2].unsqueeze(1) * left


def smooth_norm(vectors: Tensor) -> Tensor:
    """√(|v|² + s²) − s over the middle axis, smooth at 0: (n, 3, n_features) to (n, n_features)."""
    return torch.sqrt((vectors * vectors).sum(1) + SMOOTHING**2) - SMOOTHING
