"""Energies, forces and stresses that can be differentiated by the parameters of a potential.

The same formulae as in ``batch_evaluator.py``, of which only the end differs: there the results are
cut off from what made them, here the graph of the first derivative is kept, so that a loss of
forces and stresses has a gradient (double backward).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..graph import Batch, Coupling, Geometry
from ..pair_sums import pair_forces, pair_stress
from ..potentials.base import Potential


class Predicted(NamedTuple):
    """What a potential says of a batch; all float64.

    Attributes:
        energies: In eV, shape (n_systems,).
        forces: In eV/Å, shape (n_sites, 3), or None.
        stresses: In eV/Å³, shape (n_systems, 3, 3), or None.
    """

    energies: Tensor
    forces: Tensor | None
    stresses: Tensor | None


def predict(
    potential: Potential,
    batch: Batch,
    geometry: Geometry,
    weights: Tensor,
    cells: Tensor,
    *,
    coupling: Coupling = "mean_field",
    forces: bool = True,
    stresses: bool = True,
    differentiable: bool = True,
) -> Predicted:
    """Energies and, if wanted, their first derivatives.

    Args:
        potential: The energy function, in the precision of the geometry.
        batch: The systems.
        geometry: Their pairs.
        weights: Weight of every node, shape (n_nodes,), float64.
        cells: Cells in Å, shape (n_systems, 3, 3), float64.
        coupling: Coupling of soft sites.
        forces: Whether forces are wanted.
        stresses: Whether stresses are wanted.
        differentiable: Whether the results shall have gradients by the parameters.
    """
    by_vectors = forces or stresses
    vectors = geometry.vectors.detach().requires_grad_(by_vectors)
    geometry = geometry.with_vectors(vectors)
    with torch.set_grad_enabled(by_vectors or differentiable):
        weighted = weights * potential(batch.graph(geometry, weights, coupling))
        energies = batch.sum_by_system(weighted, batch.node_system)
        if not by_vectors:
            return Predicted(energies, None, None)
        (slopes,) = torch.autograd.grad(
            weighted.sum(),
            vectors,
            create_graph=differentiable,
            allow_unused=True,
            materialize_grads=True,
        )
        if not differentiable:
            energies, slopes = energies.detach(), slopes.detach()
        return Predicted(
            energies,
            pair_forces(batch, geometry, slopes) if forces else None,
            pair_stress(batch, geometry, slopes, _with_volume(cells)) if stresses else None,
        )


def _with_volume(cells: Tensor) -> Tensor:
    """Cells, and unit cubes where there is no volume to divide by.

    Such frames have no stress and their numbers are not used, but the gradient of a quotient by 0
    is not finite whatever it is multiplied with.
    """
    has_volume = (torch.linalg.det(cells) != 0.0).reshape(-1, 1, 1)
    return torch.where(has_volume, cells, torch.eye(3, dtype=cells.dtype, device=cells.device))
