"""The heat flux of any message-passing potential from one energy evaluation.

J = J_conv + J_pot with J_conv = Σ_n w_n (½ m_n v² + ε_n) v_n. The potential part is the rate at
which the barycentre of the energies would move if every node kept its place as a label. Everything
a node knows of another came to it along edges, so the lever arm of a contribution is the sum of the
edge vectors it came along, and moments add up gather by gather:

    J_pot = − Σ_e r_e (∂E/∂r_e · v_j) − Σ_gathers Σ_e r_e ⟨∂E/∂g_e, ġ_e⟩

for edges e = (receiver i ← sender j) with vector r_e = r_j − r_i and gathered value g_e. The
adjoint ∂E/∂g_e comes from the backward pass that also gives the forces, the rate ġ_e along the
velocities from forward-mode differentiation during the energy evaluation. Nothing is unfolded: the
result is exact for any number of layers and in cells smaller than the cutoff.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd import forward_ad

from . import units
from .gather import Edges, Tap
from .graph import Batch, Geometry


@dataclass(frozen=True)
class Gathered:
    """One gathered tensor of an energy evaluation.

    Attributes:
        values: What arrived at the edges, shape (n_edges, ...), part of the autograd graph.
        edges: The edges it came along.
        rates: Its rate of change along the velocities in 1/fs, of the shape of ``values``; None if
            it does not depend on positions, or if rates were not followed.
    """

    values: Tensor
    edges: Edges
    rates: Tensor | None


_one_at_a_time = threading.Lock()
"""torch counts dual levels per process: two threads at once would nest them."""

EnergyFunction = Callable[[Geometry, Tap], Tensor]
"""Node energies of a geometry, with its gathers recorded by a tap."""


def pair_rates(geometry: Geometry, velocities: Tensor) -> Tensor:
    """Rate of change of every pair vector in Å/fs, shape (n_pairs, 3)."""
    senders = velocities.index_select(0, geometry.senders)
    return senders - velocities.repeat_interleave(geometry.width, dim=0)


def energies_with_rates(
    energy: EnergyFunction, geometry: Geometry, velocities: Tensor
) -> tuple[Tensor, list[Gathered]]:
    """Evaluate node energies and follow how every gathered value changes in time.

    Args:
        energy: The energy function.
        geometry: Pair vectors.
        velocities: Velocities of all sites in Å/fs, shape (n_sites, 3).

    Returns:
        Node energies, and one record per gathered tensor.
    """
    tap = Tap()
    rates = pair_rates(geometry, velocities).to(geometry.vectors.dtype)
    with _one_at_a_time, forward_ad.dual_level():
        moving = forward_ad.make_dual(geometry.vectors, rates)
        node_energies = energy(geometry.with_vectors(moving), tap)
        tangents = [forward_ad.unpack_dual(values).tangent for values, _ in tap.records]
        tangents = [None if tangent is None else tangent.detach() for tangent in tangents]
    # Outside the dual level the tensors are ordinary again, so the backward pass costs no more
    # than it does for forces alone.
    return node_energies, [
        Gathered(values, edges, tangent)
        for (values, edges), tangent in zip(tap.records, tangents, strict=True)
    ]


def energies_without_rates(
    energy: EnergyFunction, geometry: Geometry
) -> tuple[Tensor, list[Gathered]]:
    """Evaluate node energies of a potential that has no forward mode."""
    tap = Tap()
    node_energies = energy(geometry, tap)
    return node_energies, [Gathered(values, edges, None) for values, edges in tap.records]


def direct_flux(batch: Batch, geometry: Geometry, gradient: Tensor, velocities: Tensor) -> Tensor:
    """− Σ_e r_e (∂E/∂r_e · v_j): what reaches a node straight from its neighbour.

    Args:
        batch: The systems.
        geometry: Pair vectors.
        gradient: ∂E/∂r_e in eV/Å, shape (n_pairs, 3).
        velocities: Velocities of all sites in Å/fs, shape (n_sites, 3).

    Returns:
        Flux of each system in eV Å/fs, shape (n_systems, 3).
    """
    power = (gradient * velocities.index_select(0, geometry.senders)).sum(1, keepdim=True)
    return -_sum_by_site(geometry.vectors.detach() * power, batch, geometry)


def gathered_flux(batch: Batch, gathered: Sequence[Gathered], adjoints: Sequence[Tensor]) -> Tensor:
    """− Σ_gathers Σ_e r_e ⟨∂E/∂g_e, ġ_e⟩: what reached a node by way of others.

    Args:
        batch: The systems.
        gathered: The gathers, with rates.
        adjoints: ∂E/∂g_e of each.

    Returns:
        Flux of each system in eV Å/fs, shape (n_systems, 3).
    """
    flux = torch.zeros((batch.n_systems, 3), dtype=torch.float64, device=batch.device)
    for record, adjoint in zip(gathered, adjoints, strict=True):
        if record.rates is not None:
            power = _per_edge(adjoint * record.rates).unsqueeze(1)
            moments = (record.edges.vectors.detach() * power).to(torch.float64)
            flux -= batch.sum_by_system(record.edges.sums(moments), record.edges.receiver_system)
    return flux


def gathered_flux_by_reverse_mode(
    batch: Batch,
    geometry: Geometry,
    gathered: Sequence[Gathered],
    adjoints: Sequence[Tensor],
    velocities: Tensor,
) -> Tensor:
    """The same as :func:`gathered_flux` without rates, by one backward pass per component.

    With a_e = r_e ∂E/∂g_e held fixed, Σ_e ⟨a_e, ġ_e⟩ is the change of Σ_e ⟨a_e, g_e⟩ along the
    velocities, which reverse mode gives. The autograd graph of the energy must still exist.
    """
    rates = pair_rates(geometry, velocities)
    components = []
    for axis in range(3):
        slope = _moment_slope(geometry, gathered, adjoints, axis)
        components.append(-_sum_by_site((slope * rates).sum(1), batch, geometry))
    return torch.stack(components, dim=1)


def flux_tensors(
    batch: Batch,
    geometry: Geometry,
    gradient: Tensor,
    gathered: Sequence[Gathered],
    adjoints: Sequence[Tensor],
) -> Tensor:
    """∂J_pot/∂v of every site: J_pot is linear in velocities, J_pot = Σ_i B_i v_i.

    B_i is the virial of a site as the heat flux sees it; the sum over sites is −V times the
    stress. It takes one backward pass per component, and the autograd graph must still exist.

    Args:
        batch: The systems.
        geometry: Pair vectors.
        gradient: ∂E/∂r_e in eV/Å, shape (n_pairs, 3).
        gathered: The gathers.
        adjoints: ∂E/∂g_e of each.

    Returns:
        B in eV, shape (n_sites, 3, 3); the first axis of a matrix is that of the flux.
    """
    tensors = torch.zeros((batch.n_sites, 3, 3), dtype=torch.float64, device=batch.device)
    levers = geometry.vectors.detach()
    for axis in range(3):
        direct = (levers[:, axis, None] * gradient).to(torch.float64)
        tensors[:, axis].index_add_(0, geometry.senders, direct, alpha=-1.0)
        slope = _moment_slope(geometry, gathered, adjoints, axis).to(torch.float64)
        tensors[:, axis].index_add_(0, geometry.senders, slope, alpha=-1.0)
        tensors[:, axis] += slope.reshape(batch.n_sites, geometry.width, 3).sum(1)
    return tensors


def convective_flux(
    batch: Batch, weights: Tensor, node_energies: Tensor, velocities: Tensor
) -> Tensor:
    """Σ_n w_n (½ m_n v² + ε_n) v_n: energy carried along by the moving sites.

    Args:
        batch: The systems.
        weights: Node weights, shape (n_nodes,).
        node_energies: Energies per node in eV, isolated-atom energies included, shape (n_nodes,).
        velocities: Velocities of all sites in Å/fs, shape (n_sites, 3).

    Returns:
        Flux of each system in eV Å/fs, shape (n_systems, 3).
    """
    moving = velocities.index_select(0, batch.node_site)
    kinetic = 0.5 * units.EV_PER_AMU_ANG2_FS2 * batch.node_mass * (moving**2).sum(1)
    carried = weights * (kinetic + node_energies)
    return batch.sum_by_system(carried.unsqueeze(1) * moving, batch.node_system)


def _moment_slope(
    geometry: Geometry, gathered: Sequence[Gathered], adjoints: Sequence[Tensor], axis: int
) -> Tensor:
    """Derivative of Σ_e ⟨r_e ∂E/∂g_e, g_e⟩ along one axis by pair vectors, r_e ∂E/∂g_e fixed."""
    moment = geometry.vectors.new_zeros(())
    for record, adjoint in zip(gathered, adjoints, strict=True):
        lever = record.edges.vectors.detach()[:, axis]
        moment = moment + (lever * _per_edge(adjoint.detach() * record.values)).sum()
    if not moment.requires_grad:
        return torch.zeros_like(geometry.vectors)
    (slope,) = torch.autograd.grad(
        moment, geometry.vectors, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return slope


def _per_edge(values: Tensor) -> Tensor:
    """Sum over all axes but the first; there need not be others."""
    return values.unsqueeze(-1).flatten(1).sum(1)


def _sum_by_site(values: Tensor, batch: Batch, geometry: Geometry) -> Tensor:
    """Sum what belongs to pairs of sites, in rows by receiver, over each system."""
    rows = values.to(torch.float64).reshape(batch.n_sites, geometry.width, *values.shape[1:])
    return batch.sum_by_system(rows.sum(1), batch.site_system)
