"""The one place where information moves from a node to its neighbours.

Every potential collects what it wants to know about its surroundings through :func:`gather`. Two
things therefore need to be right only here:

- *soft atoms*: the factor of an edge multiplies the message that runs along it, so a neighbour that
  exists by one half is heard by one half and a neighbour of weight 0 is not heard at all;
- *heat flux*: a tap records what every edge gathered. The energy current is a sum over edges of the
  edge vector times (adjoint of the gathered value) · (its rate of change), see ``heat_flux.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor


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
    """Directed edges from senders to receivers.

    The senders and receivers are the nodes of a graph, or entities built from them (bonds, say);
    each entity has a reference point, and ``vectors`` run from that of the receiver to that of the
    sender.

    Attributes:
        senders: Index of the sender of each edge, shape (n_edges,), int64.
        receivers: Index of the receiver of each edge, shape (n_edges,), int64.
        vectors: Sender minus receiver in Å, shape (n_edges, 3).
        factors: Edge factor of each message, shape (n_edges,), or None when all are 1.
        receiver_system: System of each entity that can receive, shape (n_receivers,), int64.
        tap: Where to record gathered values, or None when nobody listens.
    """

    senders: Tensor
    receivers: Tensor
    vectors: Tensor
    factors: Tensor | None
    receiver_system: Tensor
    tap: Tap | None = None

    def __len__(self) -> int:
        return int(self.senders.shape[0])


def gather(
    edges: Edges,
    message: Callable[..., Tensor],
    *,
    sender: Sequence[Tensor] = (),
) -> Tensor:
    """Sum the weighted messages that arrive at every receiver.

    Args:
        edges: The edges to run along.
        message: Called with one tensor per entry of ``sender``, each picked at the sender of every
            edge, shape (n_edges, ...). Returns the messages, shape (n_edges, ...). It may also use
            properties of the edge or of its receiver, which it closes over.
        sender: Tensors with one row per sender. Everything a message needs to know about its
            sender beyond its species and position must come through here.

    Returns:
        Σ over incoming edges of factor · message, shape (n_receivers, ...).
    """
    picked = [values.index_select(0, edges.senders) for values in sender]
    if edges.tap is not None:
        edges.tap.records.extend((values, edges) for values in picked)
    messages = message(*picked)
    if edges.factors is not None:
        messages = messages * edges.factors.reshape(-1, *[1] * (messages.dim() - 1))
    received = messages.new_zeros((len(edges.receiver_system), *messages.shape[1:]))
    return received.index_add(0, edges.receivers, messages)


