"""The one place where information moves from a node to its neighbours.

Every potential collects what it wants to know about its surroundings through :func:`gather`. Two
things therefore need to be right only here:

- *soft atoms*: the factor of an edge multiplies the message that runs along it, so a neighbour that
  exists by one half is heard by one half and a neighbour of weight 0 is not heard at all;
- *heat flux*: a tap records what every edge gathered. The energy current is a sum over edges of the
  edge vector times (adjoint of the gathered value) · (its rate of change), see ``heat_flux.py``.

Edges are stored in rows: every receiver has the same number of slots, one per incoming edge, and
slots that are left over carry the factor 0. Summing weighted messages is then a batched matrix
product, which is several times faster than scattering them, and the factors come for free.
Where numbers of edges differ much and messages are dear, edges stand in a list instead, without
empty slots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import overload

import torch
from torch import Tensor
from torch.autograd import forward_ad


@dataclass
class Tap:
    """What the edges gathered during one energy evaluation.

    Attributes:
        records: One entry per gathered tensor: the values as they arrived at the edges, shape
            (n_edges, ...), and these edges.
    """

    records: list[tuple[Tensor, Edges]] = field(default_factory=list)


@dataclass(frozen=True)
class Edges:
    """Directed edges from senders to receivers, in rows of ``width`` slots or in a list.

    The senders and receivers are the nodes of a graph, or entities built from them (bonds, say);
    each entity has a reference point, and ``vectors`` run from that of the receiver to that of the
    sender. An empty slot has factor 0; its sender and vector are arbitrary but harmless.

    For the heat flux, what is read off a vector between nodes counts as known at the receiving
    node. An entity that uses it must have its reference point there (a bond at the node it belongs
    to, say), or collect it through a gather whose vector is the way to that node.

    Attributes:
        senders: Index of the sender of each edge, shape (n_edges,), int64.
        vectors: Sender minus receiver in Å, shape (n_edges, 3).
        factors: Edge factor of each message, shape (n_edges,).
        receiver_system: System of each receiver, shape (n_receivers,), int64.
        width: Number of slots per receiver; n_edges = n_receivers × width. Unused in a list.
        tap: Where to record gathered values, or None when nobody listens.
        receivers: Index of the receiver of each edge, shape (n_edges,), int64, for edges in a list
            in any order; None for edges in rows.
    """

    senders: Tensor
    vectors: Tensor
    factors: Tensor
    receiver_system: Tensor
    width: int
    tap: Tap | None = None
    receivers: Tensor | None = None

    @property
    def n_receivers(self) -> int:
        """Number of receivers."""
        return int(self.receiver_system.shape[0])

    def squared_lengths(self) -> Tensor:
        """Squared length of each edge in Å², shape (n_edges,)."""
        # A matrix-vector product: summing over an axis of length 3 is many times slower.
        return (self.vectors * self.vectors).mv(self.vectors.new_ones(3))

    def to_edges(self, of_receiver: Tensor) -> Tensor:
        """Repeat what belongs to each receiver for each of its edges, shape (n_edges, ...)."""
        if self.receivers is not None:
            return of_receiver.index_select(0, self.receivers)
        return of_receiver.repeat_interleave(self.width, dim=0)

    def sums(self, of_edges: Tensor) -> Tensor:
        """Add up at each receiver what belongs to its edges, shape (n_receivers, ...)."""
        if self.receivers is None:
            return self.rows(of_edges).sum(1)
        sums = of_edges.new_zeros((self.n_receivers, *of_edges.shape[1:]))
        return sums.index_add(0, self.receivers, of_edges)

    def rows(self, of_edges: Tensor) -> Tensor:
        """View what belongs to edges in rows so, shape (n_receivers, width, ...)."""
        return of_edges.reshape(self.n_receivers, self.width, *of_edges.shape[1:])


def unchanged(values: Tensor) -> Tensor:
    """The message that repeats what was picked at the sender."""
    return values


@overload
def gather(
    edges: Edges,
    message: Callable[..., Tensor],
    *,
    sender: Sequence[Tensor] = (),
    edge: Sequence[Tensor] = (),
    along: Tensor | None = None,
    is_last: bool = False,
) -> Tensor: ...


@overload
def gather(
    edges: Edges,
    message: Callable[..., tuple[Tensor, ...]],
    *,
    sender: Sequence[Tensor] = (),
    edge: Sequence[Tensor] = (),
    along: tuple[Tensor, ...],
    is_last: bool = False,
) -> tuple[Tensor, ...]: ...


def gather(
    edges: Edges,
    message: Callable[..., Tensor | tuple[Tensor, ...]],
    *,
    sender: Sequence[Tensor] = (),
    edge: Sequence[Tensor] = (),
    along: Tensor | tuple[Tensor, ...] | None = None,
    is_last: bool = False,
) -> Tensor | tuple[Tensor, ...]:
    """Sum the weighted messages that arrive at every receiver.

    Args:
        edges: The edges to run along.
        message: Makes the messages, shape (n_edges, ...), from the entries of ``sender``, each
            picked at the sender of every edge, followed by the entries of ``edge``. It may make
            several from what was picked once: a tuple, with a tuple ``along`` of that length.
        sender: Tensors with one row per sender. Everything a message needs to know about its
            sender beyond its species and position must come through here.
        edge: Tensors with one row per edge.
        along: Coefficients of each edge, shape (n_edges, n_moments), such as its direction: the
            sum then has one entry per coefficient, in front of the axes of the message.
        is_last: No later gather depends on the result. Rates of change, which only the heat flux
            of later gathers needs, are then not followed any further.

    Returns:
        Σ over incoming edges of factor · message, shape (n_receivers, ...), or of
        factor · coefficient · message, shape (n_receivers, n_moments, ...); a tuple of such sums
        if ``along`` is a tuple.
    """
    picked = [values.index_select(0, edges.senders) for values in sender]
    coefficients = along if isinstance(along, tuple) else () if along is None else (along,)
    if edges.tap is not None:
        edges.tap.records.extend((values, edges) for values in picked)
        if is_last:
            picked = [_without_rate(values) for values in picked]
            edge = [_without_rate(values) for values in edge]
            rateless = {id(values): _without_rate(values) for values in coefficients}
            coefficients = tuple(rateless[id(values)] for values in coefficients)
    messages = message(*picked, *edge)
    if isinstance(messages, tuple):
        # Several messages often run along the same coefficients: weigh those once.
        weights = {id(values): _weighted(edges, values) for values in coefficients}
        return tuple(
            _moments(edges, weights[id(values)], part)
            for part, values in zip(messages, coefficients, strict=True)
        )
    if coefficients:
        return _moments(edges, _weighted(edges, coefficients[0]), messages)
    if messages.dim() == 1:
        return edges.sums(edges.factors * messages)
    return _moments(edges, edges.factors.unsqueeze(1), messages).squeeze(1)


def _weighted(edges: Edges, coefficients: Tensor) -> Tensor:
    return edges.factors.unsqueeze(1) * coefficients


def _moments(edges: Edges, weights: Tensor, messages: Tensor) -> Tensor:
    """Σ over incoming edges of weight · message, shape (n_receivers, n_weights, ...)."""
    shape = messages.shape[1:]
    if edges.receivers is not None:
        spread = weights.reshape(*weights.shape, *(1,) * len(shape))
        return edges.sums(spread * messages.unsqueeze(1))
    columns = edges.rows(messages.flatten(1) if len(shape) else messages.unsqueeze(1))
    received = torch.bmm(edges.rows(weights).transpose(1, 2), columns)
    return received.reshape(edges.n_receivers, weights.shape[1], *shape)


def _without_rate(values: Tensor) -> Tensor:
    primal: Tensor = forward_ad.unpack_dual(values).primal
    return primal
