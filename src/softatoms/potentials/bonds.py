"""Short edges as bonds, and the angles between bonds that meet at a node.

A bond here has a direction: it belongs to its receiver, where its reference point is, and the edge
back is its partner. Two relations between bonds follow:

- *angles*: bond (i ← j) hears every other bond (i ← k) of the same node, with the factor of k.
  The reference points coincide, so what passes carries no energy along.
- *turns*: bond (i ← j) hears its partner (j ← i), from reference point j at reference point i.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..gather import Edges
from ..graph import Graph


@dataclass(frozen=True)
class Bonds:
    """The bonds of a graph and what they hear of each other.

    Attributes:
        edges: Which of the listed edges are bonds, shape (n_bonds,), int64.
        nodes: Node that each bond belongs to, shape (n_bonds,), int64.
        turns: From the partner of each bond to the bond.
        angles: From the other bonds of its node to each bond.
    """

    edges: Tensor
    nodes: Tensor
    turns: Edges
    angles: Edges

    @staticmethod
    def of(graph: Graph, edges: Edges, lengths: Tensor, cutoff: float) -> Bonds:
        """Find all bonds and angles.

        Args:
            graph: The graph.
            edges: Its edges as a list.
            lengths: Length of each edge in Å, shape (n_edges,).
            cutoff: Length in Å below which an edge is a bond.
        """
        assert edges.receivers is not None, "bonds are made from a list of edges"
        short = (lengths.detach() < cutoff).nonzero().squeeze(1)
        nodes, ends = edges.receivers[short], edges.senders[short]
        image, opposite = _image_labels(graph.images[short])
        short, partners, kept = _with_partners(short, nodes, ends, image, opposite)
        nodes, ends, image = nodes[kept], ends[kept], image[kept]
        # Candidates of one site at one image never meet in an angle.
        end_sites = graph.sites[ends] * (1 + image.max() if len(image) else 1) + image
        hearing, heard = _pairs_at_nodes(nodes, len(graph.numbers))
        apart = (end_sites[hearing] != end_sites[heard]).nonzero().squeeze(1)
        hearing, heard = hearing[apart], heard[apart]
        system = edges.receiver_system[nodes]
        turns = Edges(
            senders=partners,
            vectors=edges.vectors.index_select(0, short),
            factors=edges.factors.new_ones(len(short)),
            receiver_system=system,
            width=1,
            tap=edges.tap,
        )
        angles = Edges(
            senders=heard,
            vectors=edges.vectors.new_zeros((1, 3)).expand(len(heard), 3),
            factors=edges.factors.index_select(0, short).index_select(0, heard),
            receiver_system=system,
            width=0,
            receivers=hearing,
        )
        return Bonds(short, nodes, turns, angles)


def _image_labels(images: Tensor) -> tuple[Tensor, Tensor]:
    """Small whole numbers for lattice translations and for the opposite translations."""
    if not len(images):
        return images.new_zeros(0), images.new_zeros(0)
    span = 2 * int(images.abs().max()) + 1
    code = (images[:, 0] * span + images[:, 1]) * span + images[:, 2]
    labels = torch.unique(torch.cat([code, -code]), return_inverse=True)[1]
    first, second = labels.chunk(2)
    return first, second


def _with_partners(
    short: Tensor, nodes: Tensor, ends: Tensor, image: Tensor, opposite: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Match the two directions of every bond.

    Rounding can make one direction longer than the cutoff and not the other; such bonds are
    dropped, as their weight is 0 anyway.

    Returns:
        Edges that are bonds, the partner of each among them, and which of the given ones they are.
    """
    n_labels = int(torch.maximum(image, opposite).max()) + 1 if len(short) else 1
    n_nodes = int(torch.maximum(nodes, ends).max()) + 1 if len(short) else 1
    forward = (nodes * n_nodes + ends) * n_labels + image
    backward = (ends * n_nodes + nodes) * n_labels + opposite
    ordered, order = torch.sort(forward)
    place = torch.searchsorted(ordered, backward).clamp_max(max(len(short) - 1, 0))
    matched = ordered[place] == backward
    partners = order[place]
    kept = matched.nonzero().squeeze(1)
    if len(kept) < len(short):
        renumbered = torch.empty_like(order)
        renumbered[kept] = torch.arange(len(kept), device=kept.device)
        short, partners = short[kept], renumbered[partners[kept]]
    return short, partners, kept


def _pairs_at_nodes(nodes: Tensor, n_nodes: int) -> tuple[Tensor, Tensor]:
    """All ordered pairs of bonds of the same node, a bond with itself included."""
    order = torch.argsort(nodes, stable=True)
    counts = torch.bincount(nodes, minlength=n_nodes)
    first = counts.cumsum(0) - counts
    own = nodes[order]
    repeats = counts[own]
    position = torch.repeat_interleave(repeats)
    step = torch.arange(len(position), device=nodes.device)
    step = step - (repeats.cumsum(0) - repeats)[position]
    hearing = order[position]
    heard = order[first[own[position]] + step]
    return hearing, heard
