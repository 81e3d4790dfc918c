"""What the two couplings mean, on models where it is known exactly."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.data import chemical_symbols

import softatoms as sa
from softatoms.graph import Batch, check_coupling
from softatoms.neighbours import neighbour_pairs
from softatoms.potentials.base import Potential
from tolerances import assert_close


def alloy(theta: float) -> sa.SoftAtoms:
    """A fully soft lattice of one group."""
    atoms = bulk("Cu", "fcc", a=3.8) * (2, 2, 2)
    atoms.positions += 0.05 * np.random.default_rng(1).normal(size=(8, 3))
    soft = sa.SoftAtoms.from_ase(atoms)
    return soft.with_candidates(range(8), {"Cu": 1 - theta, "Au": theta}, tie="metal")


def pure(element: str) -> sa.SoftAtoms:
    return alloy(0.5).with_candidates(range(8), {element: 1.0}, tie="metal")


def backends() -> list[Potential]:
    return [
        sa.load_potential(
            "lj", epsilon={"Cu": 0.4, "Au": 0.3}, sigma={"Cu": 2.3, "Au": 2.6}, cutoff=5.0
        ),
        sa.load_potential("gupta", elements=["Cu", "Au"]),
        sa.load_potential("schnet", elements=["Cu", "Au"], n_features=8, cutoff=4.0),
        sa.load_potential("painn", elements=["Cu", "Au"], n_features=8, cutoff=4.0),
    ]


@pytest.mark.parametrize("potential", backends(), ids=lambda potential: potential.name)
def test_replica_is_linear_on_a_fully_soft_lattice(potential: Potential) -> None:
    properties = ("energy", "forces", "stress", "weight_gradient", "weight_hessian")
    ends = [sa.evaluate(potential, pure(e), properties=properties) for e in ("Cu", "Au")]
    for theta in (0.0, 0.25, 0.7, 1.0):
        out = sa.evaluate(potential, alloy(theta), properties=properties, coupling="replica")
        for name in ("energy", "forces", "stress"):
            mixed = (1 - theta) * getattr(ends[0], name) + theta * getattr(ends[1], name)
            assert_close(getattr(out, name), mixed, "same")
        assert_close(out.weight_gradient, [float(end.energy) for end in ends], "same")
        assert_close(out.weight_hessian, np.zeros((2, 2)), "same")


@pytest.mark.parametrize("potential", backends(), ids=lambda potential: potential.name)
def test_mean_field_meets_the_end_members_and_sees_unlike_pairs(potential: Potential) -> None:
    for theta, element in ((0.0, "Cu"), (1.0, "Au")):
        soft = sa.evaluate(potential, alloy(theta), coupling="mean_field")
        end = sa.evaluate(potential, pure(element))
        assert_close(soft.energy, end.energy, "same")
        assert_close(soft.forces, end.forces, "same")
    half = {
        c: float(sa.evaluate(potential, alloy(0.5), coupling=c).energy)
        for c in ("mean_field", "replica")
    }
    assert abs(half["mean_field"] - half["replica"]) > 1e-4


def edge_factors(soft: sa.SoftAtoms, coupling: str) -> dict[tuple[str, str], set[float]]:
    """Factors of the edges between nodes, named by their site and species."""
    batch = Batch([soft], torch.device("cpu"))
    cutoff = 3.0
    geometry = batch.geometry(
        [neighbour_pairs(soft.positions, soft.cell, soft.pbc, cutoff)],
        torch.from_numpy(soft.positions),
        torch.from_numpy(soft.cell).unsqueeze(0),
        cutoff,
        torch.float64,
    )
    weights = batch.node_weights(soft.weights)
    edges = batch.graph(geometry, weights, check_coupling(coupling)).edges
    names = [
        f"{site}{chemical_symbols[number]}"
        for site, number in zip(soft.node_site, soft.node_number, strict=True)
    ]
    factors: dict[tuple[str, str], set[float]] = {}
    receivers = edges.to_edges(torch.arange(len(names)))
    for i, j, factor in zip(
        receivers.tolist(), edges.senders.tolist(), edges.factors.tolist(), strict=True
    ):
        if factor:
            factors.setdefault((names[i], names[j]), set()).add(factor)
    return factors


def test_every_edge_has_the_factor_of_the_table() -> None:
    """Sites 0 and 1 tied, site 2 a group of its own, site 3 plain, in a row with own images."""
    atoms = Atoms(
        "Cu4",
        positions=[[2.0 * x, 0, 0] for x in range(4)],
        cell=[8.0, 2.5, 9.0],
        pbc=[True, True, False],
    )
    soft = (
        sa.SoftAtoms.from_ase(atoms)
        .with_candidates([0, 1], {"Cu": 0.7, "Au": 0.2}, tie="pair")
        .with_candidates([2], {"Cu": 0.4, "Au": 0.5})
    )
    w = {"0Cu": 0.7, "0Au": 0.2, "1Cu": 0.7, "1Au": 0.2, "2Cu": 0.4, "2Au": 0.5, "3Cu": 1.0}
    group = {"0": "pair", "1": "pair", "2": "own", "3": None}
    mean_field, replica = edge_factors(soft, "mean_field"), edge_factors(soft, "replica")
    # Along x every site sees the next ones; along y it sees its own images.
    near = {(a, b) for a in range(4) for b in range(4) if (a - b) % 4 in (0, 1, 3)}
    for receiver, sender in itertools.product(w, w):
        key = (receiver, sender)
        if (int(receiver[0]), int(sender[0])) not in near:
            assert key not in mean_field
            assert key not in replica
            continue
        assert mean_field[key] == {w[sender]}
        inside = group[receiver[0]] is not None and group[receiver[0]] == group[sender[0]]
        if not inside:
            assert replica[key] == {w[sender]}
        elif receiver[1:] == sender[1:]:
            assert replica[key] == {1.0}
        else:
            assert key not in replica
