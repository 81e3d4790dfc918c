"""PaiNN: equivariant message passing (Schütt, Unke, Gastegger, ICML 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ..errors import OptionError
from ..gather import Edges, gather, unchanged
from ..graph import Graph
from .network import NetworkPotential
from .options import check_whole
from .radial import DRAWN_IN, linear, perceptron

SMOOTHING = 0.1
"""Length below which the norm of a vector feature is rounded off: the plain norm has no slope at 0,
where every isolated atom is."""


class PaiNN(NetworkPotential):
    """Scalar and vector features that exchange messages along edges.

    Where sites are centres of inversion, as in fcc, bcc or rocksalt, vector features vanish: the
    network as published then knows distances alone, and no angles. With ``max_order`` 2 nodes also
    have symmetric traceless tensors (five components), which do not vanish in strained crystals.

    Args:
        elements: See :class:`NetworkPotential`, as for all others but the next.
        cutoff: Radius in Å.
        n_features: Number of features per node.
        n_layers: Number of message-passing layers.
        n_radial: Number of radial functions.
        typical_neighbours: Number of neighbours for which messages are scaled to order 1.
        max_order: 1 for scalars and vectors, as published; 2 for tensors too.
        isolated_energies: Energy of an isolated atom of each element in eV.
        seed: Seed of the initial parameters.
    """

    name = "painn"

    def __init__(
        self,
        *,
        elements: Sequence[str],
        cutoff: float = 5.0,
        n_features: int = 32,
        n_layers: int = 3,
        n_radial: int = 8,
        typical_neighbours: float = 30.0,
        max_order: int = 1,
        isolated_energies: Mapping[str, float] | None = None,
        seed: int = 0,
    ) -> None:
        if check_whole(max_order, "max_order", least=1) > 2:
            raise OptionError(f"max_order must be 1 or 2, got {max_order!r}")
        # Known before the layers are built, which the base class asks for.
        self.has_tensors = max_order == 2
        super().__init__(
            elements=elements,
            cutoff=cutoff,
            n_features=n_features,
            n_layers=n_layers,
            n_radial=n_radial,
            typical_neighbours=typical_neighbours,
            isolated_energies=isolated_energies,
            seed=seed,
        )

    def own_options(self) -> dict[str, int]:
        """See :meth:`NetworkPotential.own_options`."""
        return {"max_order": 2} if self.has_tensors else {}

    def build_layers(self, n_features: int, n_radial: int) -> None:
        """See :meth:`NetworkPotential.build_layers`."""
        self.layers = nn.ModuleList(
            _Layer(
                n_features,
                n_radial,
                has_vectors=index > 0,
                keeps_vectors=index < self.n_layers - 1,
                has_tensors=self.has_tensors,
            )
            for index in range(self.n_layers)
        )

    def scalar_features(self, graph: Graph, embedded: Tensor) -> Tensor:
        """See :meth:`NetworkPotential.scalar_features`."""
        edges = graph.edges
        distance = edges.squared_lengths().sqrt()
        direction = edges.vectors / distance.unsqueeze(1)
        basis = self.radial(distance)
        moments = [basis, (basis.unsqueeze(2) * direction.unsqueeze(1)).flatten(1)]
        if self.has_tensors:
            moments.append((basis.unsqueeze(2) * quadrupoles(direction).unsqueeze(1)).flatten(1))
        scalars, vectors, tensors = embedded, None, None
        for layer in self.layers:
            scalars, vectors, tensors = layer(
                edges, moments, scalars, vectors, tensors, self.message_scale
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
        has_tensors: Whether nodes get tensor features. They sum over neighbours what scalars say,
            and stay where they are.
    """

    def __init__(
        self,
        n_features: int,
        n_radial: int,
        *,
        has_vectors: bool,
        keeps_vectors: bool,
        has_tensors: bool,
    ) -> None:
        super().__init__()
        self.keeps_vectors = keeps_vectors
        # Messages: to the scalars, along the edge to the vectors and tensors, and from vectors to
        # vectors.
        n_messages = (3 if has_vectors else 2) + has_tensors
        n_invariants = 2 + has_tensors
        self.context = perceptron(n_features, n_features, n_messages * n_features)
        drawn = torch.randn(n_messages, n_radial, n_features, dtype=DRAWN_IN)
        self.filters = nn.Parameter(drawn * n_radial**-0.5)
        self.mix = linear(n_features, 2 * n_features, bias=False)
        self.mix_tensors = linear(n_features, 2 * n_features, bias=False) if has_tensors else None
        self.update = perceptron(
            n_invariants * n_features, n_features, (n_invariants + keeps_vectors) * n_features
        )

    def forward(
        self,
        edges: Edges,
        moments: Sequence[Tensor],
        scalars: Tensor,
        vectors: Tensor | None,
        tensors: Tensor | None,
        scale: float,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Features after this layer.

        Args:
            edges: Edges between nodes.
            moments: Radial functions, shape (n_edges, n_radial), these times the components of the
                edge direction, shape (n_edges, n_radial × 3), and, for tensors, times those of its
                quadrupole, shape (n_edges, n_radial × 5).
            scalars: Scalar features, shape (n_nodes, n_features).
            vectors: Vector features, shape (n_nodes, 3, n_features), or None in the first layer.
            tensors: Tensor features, shape (n_nodes, 5, n_features), or None in the first layer.
            scale: Factor of all messages.

        Returns:
            The new scalar, vector and tensor features.
        """
        width = scalars.shape[1]
        spoken = list(self.context(scalars).split(width, dim=1))
        filters = list(self.filters)
        last = not self.keeps_vectors
        heard = gather(edges, unchanged, sender=(spoken[0],), along=moments[0], is_last=last)
        scalars = scalars + scale * (heard * filters[0]).sum(1)
        change = _directed(edges, spoken[1], moments[1], filters[1], last)
        if vectors is not None:
            gated = vectors * spoken[2].unsqueeze(1)
            carried = gather(edges, unchanged, sender=(gated,), along=moments[0], is_last=last)
            change = change + (carried * filters[2].unsqueeze(1)).sum(1)
        vectors = scale * change if vectors is None else vectors + scale * change

        left, right = self.mix(vectors).split(width, dim=2)
        invariants = [scalars, smooth_norm(right)]
        if self.mix_tensors is not None:
            drawn = scale * _directed(edges, spoken[-1], moments[2], filters[-1], last)
            tensors = drawn if tensors is None else tensors + drawn
            one, other = self.mix_tensors(tensors).split(width, dim=2)
            invariants.append(smooth_norm(other))
        gates = self.update(torch.cat(invariants, dim=1)).split(width, dim=1)
        scalars = scalars + gates[0] + gates[1] * (left * right).sum(1)
        if self.mix_tensors is not None:
            scalars = scalars + gates[-1] * (one * other).sum(1)
        if not self.keeps_vectors:
            return scalars, None, None
        return scalars, vectors + gates[2].unsqueeze(1) * left, tensors


def _directed(
    edges: Edges, spoken: Tensor, moments: Tensor, filters: Tensor, is_last: bool
) -> Tensor:
    """Sums over neighbours along components of a direction, (n_nodes, n_components, n_features)."""
    heard = gather(edges, unchanged, sender=(spoken,), along=moments, is_last=is_last)
    return (heard.unflatten(1, (len(filters), -1)) * filters.unsqueeze(1)).sum(1)


def quadrupoles(direction: Tensor) -> Tensor:
    """Five components of n n − 1/3 with the norm 1: (n, 3) to (n, 5)."""
    x, y, z = direction.unbind(1)
    root = 3.0**0.5
    parts = [root * x * y, root * y * z, root * z * x, root / 2 * (x * x - y * y)]
    return torch.stack([*parts, 1.5 * z * z - 0.5], dim=1)


def smooth_norm(vectors: Tensor) -> Tensor:
    """√(|v|² + s²) − s over the middle axis, smooth at 0: (n, 3, n_features) to (n, n_features)."""
    return torch.sqrt((vectors * vectors).sum(1) + SMOOTHING**2) - SMOOTHING
