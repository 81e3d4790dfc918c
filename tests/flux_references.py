"""Slow but independent forms of the heat flux, for comparison only.

Both rest on an unfolded copy of the structure: all periodic images within the reach of the network
become atoms of their own in a cluster without periodicity, so every atom has one position and the
textbook expressions hold as they stand.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from softatoms.graph import Batch, check_coupling
from softatoms.neighbours import neighbour_pairs
from softatoms.potentials.base import Potential
from softatoms.structure import SoftAtoms


@dataclass
class Unfolded:
    """A cluster around the home cell.

    Attributes:
        soft: The cluster; its first ``n_home`` sites are those of the home cell.
        n_home: Number of sites of the home cell.
        source: Home site that each site is an image of.
    """

    soft: SoftAtoms
    n_home: int
    source: NDArray[np.int64]


def unfold(soft: SoftAtoms, reach: float) -> Unfolded:
    """Turn all images within ``reach`` (Å) of a home site into sites of their own."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(soft.cell), axis=0)
    extent = np.ptp(soft.positions @ np.linalg.inv(soft.cell), axis=0)
    steps = [
        range(-n, n + 1) if periodic else range(1)
        for n, periodic in zip(np.ceil(reach / heights + extent).astype(int), soft.pbc, strict=True)
    ]
    sites, positions = [np.arange(len(soft))], [soft.positions]
    for shift in itertools.product(*steps):
        if shift == (0, 0, 0):
            continue
        moved = soft.positions + np.array(shift) @ soft.cell
        distances = np.linalg.norm(moved[:, None] - soft.positions[None], axis=2)
        near = np.flatnonzero(distances.min(axis=1) < reach)
        sites.append(near)
        positions.append(moved[near])
    source = np.concatenate(sites)
    cluster = soft.select(
        source,
        positions=np.concatenate(positions),
        cell=np.zeros((3, 3)),
        pbc=np.zeros(3, dtype=bool),
    )
    return Unfolded(cluster, len(soft), source)


def home_energies(potential: Potential, unfolded: Unfolded, coupling: str) -> tuple[Tensor, Tensor]:
    """Weighted energies of the home sites, and the positions they depend on."""
    soft = unfolded.soft
    batch = Batch([soft], torch.device("cpu"))
    positions = torch.from_numpy(soft.positions.copy()).requires_grad_()
    pairs = neighbour_pairs(soft.positions, soft.cell, soft.pbc, potential.cutoff)
    geometry = batch.geometry(
        [pairs],
        positions,
        torch.zeros(1, 3, 3, dtype=torch.float64),
        potential.cutoff,
        torch.float64,
    )
    weights = batch.node_weights(soft.weights)
    energies = weights * potential(batch.graph(geometry, weights, check_coupling(coupling)))
    sites = torch.zeros(len(soft), dtype=torch.float64).index_add(0, batch.node_site, energies)
    return sites[: unfolded.n_home], positions


def hardy_flux(
    potential: Potential, soft: SoftAtoms, velocities: NDArray[np.float64], coupling: str
) -> Tensor:
    """J_pot = Σ_i Σ_j (r_i − r_j) (∂U_i/∂r_j · v_j), one backward pass per atom."""
    unfolded = unfold(soft, potential.n_layers * potential.cutoff)
    energies, positions = home_energies(potential, unfolded, coupling)
    moving = torch.from_numpy(velocities[unfolded.source])
    flux = torch.zeros(3, dtype=torch.float64)
    for i, energy in enumerate(energies):
        if not energy.requires_grad:
            continue
        (slope,) = torch.autograd.grad(energy, positions, retain_graph=True)
        power = (slope * moving).sum(1, keepdim=True)
        flux += ((positions[i] - positions) * power).sum(0).detach()
    return flux


def unfolded_flux(
    potential: Potential, soft: SoftAtoms, velocities: NDArray[np.float64], coupling: str
) -> Tensor:
    """J_pot = d/dt Σ_i r_i U_i (r_i as label) − Σ_j r_j (∂E/∂r_j · v_j) in the unfolded cell."""
    unfolded = unfold(soft, potential.n_layers * potential.cutoff)
    energies, positions = home_energies(potential, unfolded, coupling)
    moving = torch.from_numpy(velocities[unfolded.source])
    labels = positions.detach()[: unfolded.n_home]
    flux = torch.zeros(3, dtype=torch.float64)
    for axis in range(3):
        (slope,) = torch.autograd.grad(
            (labels[:, axis] * energies).sum(), positions, retain_graph=True
        )
        flux[axis] = (slope * moving).sum()
    (slope,) = torch.autograd.grad(energies.sum(), positions)
    return flux - (positions * (slope * moving).sum(1, keepdim=True)).sum(0).detach()
