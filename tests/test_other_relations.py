"""Gathers that the built-in potentials do not use: a line graph of bonds, and bare scalars.

The heat flux must listen to any relation whose entities have their reference points where the pair
vectors they read are received, and to values with any number of axes.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from torch import Tensor

import softatoms as sa
from flux_references import hardy_flux, unfolded_flux
from softatoms.gather import Edges, gather, unchanged
from softatoms.graph import Graph
from softatoms.potentials.base import Potential
from tolerances import assert_close


class BondAngles(Potential):
    """A scalar per node hears its neighbours, then bonds hear the bonds of their far ends.

    A bond is one directed edge and belongs to its receiver, where its reference point is. Bond
    (i ← j) hears the bonds (j ← k), from reference point i to reference point j.
    """

    name = "bond-angles"
    n_layers = 3

    def __init__(self, cutoff: float) -> None:
        super().__init__(cutoff=cutoff, options={"cutoff": cutoff})

    def interaction(self, graph: Graph) -> Tensor:
        edges = graph.edges
        switch = (1.0 - (edges.squared_lengths() / self.cutoff**2).clamp_max(1.0)) ** 3
        # One bare scalar per node, gathered as such.
        density = gather(edges, unchanged, edge=(switch,))
        density = torch.tanh(density + gather(edges, torch.mul, sender=(density,), edge=(switch,)))

        bonds = edges.factors.nonzero().squeeze(1)
        far_end = edges.senders[bonds]
        near_end = edges.to_edges(torch.arange(edges.n_receivers))[bonds]
        strength = switch[bonds]
        middle = strength * (1.0 + density[near_end])
        pairs = (far_end.unsqueeze(1) == near_end.unsqueeze(0)).nonzero()
        line = rows_of_pairs(pairs, bonds, edges)
        turned = gather(line, torch.sin, sender=(middle,))
        energy = middle * (1.0 + 0.3 * turned) - 0.1 * strength
        per_slot = torch.zeros_like(switch).index_copy(0, bonds, energy)
        return gather(edges, unchanged, edge=(per_slot,), is_last=True)


def rows_of_pairs(pairs: Tensor, bonds: Tensor, edges: Edges) -> Edges:
    """Line graph: bond pairs[:, 0] hears bond pairs[:, 1], with the factor of the far atom."""
    count = len(bonds)
    heard = torch.bincount(pairs[:, 0], minlength=count)
    width = int(heard.max()) if len(pairs) else 0
    slots = pairs[:, 0] * width + (
        torch.arange(len(pairs)) - (heard.cumsum(0) - heard)[pairs[:, 0]]
    )
    senders = torch.zeros(count * width, dtype=torch.int64).index_copy(0, slots, pairs[:, 1])
    factors = edges.factors.new_zeros(count * width).index_copy(
        0, slots, edges.factors[bonds][pairs[:, 1]]
    )
    system = edges.to_edges(edges.receiver_system)[bonds]
    vectors = edges.vectors[bonds].repeat_interleave(width, dim=0)
    return Edges(senders, vectors, factors, system, width, edges.tap)


def crystal() -> sa.SoftAtoms:
    atoms = bulk("Cu", "fcc", a=3.7) * (2, 2, 1)
    atoms.positions += 0.1 * np.random.default_rng(0).normal(size=(4, 3))
    return sa.SoftAtoms.from_ase(atoms).with_existence([1], 0.6).with_existence([2], 0.3)


@pytest.mark.parametrize("has_forward_mode", [True, False])
@pytest.mark.parametrize("coupling", ["mean_field", "replica"])
def test_flux_through_a_line_graph(coupling: str, has_forward_mode: bool) -> None:
    potential, soft = BondAngles(3.1), crystal()
    potential.has_forward_mode = has_forward_mode
    velocity = 0.01 * np.random.default_rng(1).normal(size=(4, 3))
    out = sa.evaluate(
        potential, soft, properties=("heat_flux",), velocities=velocity, coupling=coupling
    )
    flux = out.heat_flux - out.convective_heat_flux
    assert float(flux.norm()) > 1e-4
    assert_close(flux, hardy_flux(potential, soft, velocity, coupling), "flux")
    assert_close(flux, unfolded_flux(potential, soft, velocity, coupling), "flux")


@pytest.mark.parametrize("has_forward_mode", [True, False])
def test_no_bond_at_all(has_forward_mode: bool) -> None:
    lone = sa.SoftAtoms.from_ase(Atoms("Cu2", [[0, 0, 0], [9, 0, 0]])).with_existence([1], 0.5)
    potential = BondAngles(3.1)
    potential.has_forward_mode = has_forward_mode
    velocity = np.full((2, 3), 0.01)
    out = sa.evaluate(
        potential,
        lone,
        properties=("forces", "weight_gradient", "heat_flux"),
        velocities=velocity,
    )
    assert_close(out.forces, np.zeros((2, 3)), "same")
    assert_close(out.heat_flux, out.convective_heat_flux, "same")
