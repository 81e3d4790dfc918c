"""Forces and stress from the derivatives of the energy by pair vectors.

F_i = Σ_(e received by i) ∂E/∂r_e − Σ_(e sent by i) ∂E/∂r_e,    V σ = Σ_e sym(r_e ⊗ ∂E/∂r_e)
"""

from __future__ import annotations

import torch
from torch import Tensor

from .graph import Batch, Geometry


def pair_forces(batch: Batch, geometry: Geometry, by_pair: Tensor) -> Tensor:
    """Forces in eV/Å from the derivatives by pair vectors.

    Args:
        batch: The systems.
        geometry: Their pairs.
        by_pair: ∂E/∂r_e in eV/Å, shape of the pair vectors.

    Returns:
        Forces on all sites, shape (n_sites, 3), float64; differentiable where ``by_pair`` is.
    """
    pull = by_pair.to(torch.float64)
    received = pull.reshape(batch.n_sites, geometry.width, 3).sum(1)
    return received.index_add_(0, geometry.senders, -pull)


def pair_stress(batch: Batch, geometry: Geometry, by_pair: Tensor, cells: Tensor) -> Tensor:
    """Stress in eV/Å³ from the derivatives by pair vectors.

    Args:
        batch: The systems.
        geometry: Their pairs.
        by_pair: ∂E/∂r_e in eV/Å, shape of the pair vectors.
        cells: Cells in Å, shape (n_systems, 3, 3).

    Returns:
        Stresses, shape (n_systems, 3, 3), float64; differentiable where ``by_pair`` is.
    """
    # The derivative by the deformation gradient, then its symmetric part.
    vectors = geometry.vectors.detach().to(torch.float64)
    slopes = by_pair.to(torch.float64)
    if len(set(batch.site_counts)) == 1:
        shape = (batch.n_systems, len(vectors) // batch.n_systems, 3)
        virial = torch.bmm(vectors.reshape(shape).transpose(1, 2), slopes.reshape(shape))
    else:
        counts = [count * geometry.width for count in batch.site_counts]
        parts = zip(vectors.split(counts), slopes.split(counts), strict=True)
        virial = torch.stack([vector.T @ slope for vector, slope in parts])
    volumes = torch.linalg.det(cells).abs().reshape(-1, 1, 1)
    return (virial + virial.transpose(1, 2)) / (2.0 * volumes)
