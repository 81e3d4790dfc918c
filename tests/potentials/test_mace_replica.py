"""Replica coupling on MACE is the alchemical scheme of Nam et al., arXiv 2404.10746.

The reference knows nothing of the engine: an alchemical graph built by hand, with loops, and the
original modules of mace-torch, whose messages are multiplied by the edge factors.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from torch import Tensor

import softatoms as sa
from potentials.mace_package import NUMBERS, build, converted, mace_torch
from tolerances import assert_close

SOFT = (0, 2, 3)
CANDIDATES = {"Cu": 0.35, "Au": 0.6}


def structure() -> Atoms:
    atoms = bulk("Cu", "fcc", a=3.8, cubic=True)
    atoms.symbols[1] = "O"
    rng = np.random.default_rng(2)
    atoms.set_cell(
        atoms.cell.array @ (np.eye(3) + 0.02 * rng.normal(size=(3, 3))), scale_atoms=True
    )
    atoms.positions += 0.1 * rng.normal(size=(4, 3))
    return atoms


def alchemical_energy(
    model: Any, atoms: Atoms, positions: Tensor, weights: Tensor, reach: float
) -> Tensor:
    """Energy of the weighted graph.

    Args:
        model: The original.
        atoms: Its cell and its plain atoms.
        positions: Positions of the atoms in Å, shape (n_atoms, 3).
        weights: Weight of each candidate, shape (2,).
        reach: Cutoff in Å.
    """
    symbols = list(CANDIDATES)
    nodes: list[tuple[int, str, int | None]] = []
    for site, symbol in enumerate(atoms.symbols):
        if site in SOFT:
            nodes += [(site, candidate, k) for k, candidate in enumerate(symbols)]
        else:
            nodes.append((site, symbol, None))
    senders, receivers, shifts, factors = [], [], [], []
    for (i, (site_i, _, of_i)), (j, (site_j, _, of_j)) in itertools.product(
        enumerate(nodes), repeat=2
    ):
        if of_i is not None and of_j is not None and of_i != of_j:
            continue
        for step in itertools.product((-2, -1, 0, 1, 2), repeat=3):
            shift = torch.tensor(np.array(step) @ atoms.cell.array)
            if site_i == site_j and step == (0, 0, 0):
                continue
            if float((positions[site_j] + shift - positions[site_i]).norm()) >= reach:
                continue
            senders.append(j)
            receivers.append(i)
            # From the sender's image to the receiver, as mace-torch counts shifts.
            shifts.append(-shift)
            is_weighted = of_j is not None and of_i is None
            factors.append(weights[of_j] if is_weighted else torch.ones(()).double())
    sites = torch.tensor([site for site, _, _ in nodes])
    elements = [NUMBERS.index(Atoms(symbol).numbers[0]) for _, symbol, _ in nodes]
    attributes = torch.nn.functional.one_hot(torch.tensor(elements), len(NUMBERS)).double()
    node_weights = torch.stack(
        [torch.ones(()).double() if k is None else weights[k] for _, _, k in nodes]
    )
    at = positions[sites]
    edges = torch.tensor([senders, receivers])
    vectors = at[edges[1]] - at[edges[0]] + torch.stack(shifts)
    factor = torch.stack(factors).unsqueeze(1)
    heads = torch.zeros(len(nodes), dtype=torch.int64)

    features = model.node_embedding(attributes)
    lengths = vectors.norm(dim=1, keepdim=True)
    radial, cutoff = model.radial_embedding(lengths, attributes, edges, model.atomic_numbers)
    harmonics = model.spherical_harmonics(vectors)
    energies = torch.zeros(len(nodes)).double()
    for interaction, product, readout in zip(
        model.interactions, model.products, model.readouts, strict=True
    ):
        messages, kept = interaction(
            node_attrs=attributes,
            node_feats=features,
            edge_attrs=harmonics,
            edge_feats=radial,
            edge_index=edges,
            cutoff=factor if cutoff is None else factor * cutoff,
        )
        features = product(node_feats=messages, sc=kept, node_attrs=attributes)
        energies = energies + readout(features, heads).squeeze(1)
    if hasattr(model, "scale_shift"):
        energies = model.scale_shift(energies, heads)
    energies = energies + model.atomic_energies_fn(attributes).squeeze(1)
    return (node_weights * energies).sum()


@pytest.mark.parametrize(
    "options",
    [
        {"blocks": "AgnosticDensityResidual", "first_block": "AgnosticDensity"},
        {"blocks": "AgnosticResidual", "apply_cutoff": False, "scale_shift": False},
        {"blocks": "AgnosticResidual", "first_block": "Agnostic", "num_interactions": 3},
    ],
    ids=["density", "agnostic", "three layers"],
)
def test_replica_coupling_is_the_published_scheme(options: dict[str, Any]) -> None:
    model = build(hidden="3x0e + 3x1o", **options)
    atoms = structure()
    potential = converted(model)
    soft = sa.SoftAtoms.from_ase(atoms).with_candidates(list(SOFT), CANDIDATES, tie="metal")
    out = sa.evaluate(
        potential,
        soft,
        properties=("energy", "forces", "weight_gradient"),
        coupling="replica",
    )
    positions = torch.tensor(atoms.positions, requires_grad=True)
    order = [soft.weight_labels.index(f"metal:{symbol}") for symbol in CANDIDATES]
    weights = soft.weights[order].clone().requires_grad_()
    with mace_torch():
        energy = alchemical_energy(model, atoms, positions, weights, potential.cutoff)
        slopes, by_weight = torch.autograd.grad(energy, (positions, weights))
    assert_close(out.energy, energy, "mace")
    assert_close(out.forces, -slopes, "mace")
    assert_close(out.weight_gradient[order], by_weight, "mace")
    others = sa.evaluate(potential, soft, coupling="mean_field")
    assert abs(float(others.energy - energy.detach())) > 1e-4
