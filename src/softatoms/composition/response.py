"""Second derivatives of crystals at rest, and how the state of rest follows the composition.

With y the strains and displacements of a crystal, H = ∂²E/∂y² and B = ∂²E/∂y∂θ, the state of rest
moves by dy/dθ = −H⁻¹ B, and its energy has the curvature d²E/dθ² = ∂²E/∂θ² − Bᵀ H⁻¹ B (implicit
function theorem). H and B are exact, one product with second derivatives per column; the columns
are those of :class:`Surface`. Displacing all sites alike costs nothing and is left out.

A strain that was not relaxed does not respond.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ..relax.options import checked_settings
from .surface import Surface

if TYPE_CHECKING:
    from ..potentials.base import Potential
    from ..structure import SoftAtoms

Floats = NDArray[np.float64]

SOFTEST = 1e-3
"""Curvature in eV/Å² below which a crystal does not hold its shape, and nothing is derived."""

AXES = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
"""Voigt's order."""


@dataclass(frozen=True)
class Response:
    """Derivatives of a crystal at rest.

    Attributes:
        lowest: Smallest curvature along any strain or displacement in eV/Å²; strains count as
            displacements of √n × 1 Å for n sites.
        elastic: Elastic constants in Voigt's order with sites relaxed, in eV/Å³, shape (6, 6); nan
            unless all strains are free.
        bulk_modulus: −dP/dlnV with everything free relaxed, in eV/Å³; nan if the cell is fixed.
        strain: Change of the logarithmic strain at rest by each weight, shape (n_parameters, 3, 3).
        displacements: Change of positions beside the strain in Å, shape (n_parameters, n_sites, 3).
        weight_gradient: dE/dθ in eV, shape (n_parameters,).
        weight_hessian: d²E/dθ² of the relaxed energy in eV, shape (n_parameters, n_parameters).
        evaluations: Energies with first derivatives, and products with second ones.
    """

    lowest: float
    elastic: Floats
    bulk_modulus: float
    strain: Floats
    displacements: Floats
    weight_gradient: Floats
    weight_hessian: Floats
    evaluations: int

    @property
    def is_stable(self) -> bool:
        """Whether every strain and displacement costs energy."""
        return self.lowest > SOFTEST


def response(
    potential: Potential,
    soft: SoftAtoms,
    *,
    cell: str | Sequence[bool] = "full",
    coupling: str = "mean_field",
    dtype: str = "float64",
    device: str = "cpu",
) -> Response:
    """Second derivatives of a crystal at rest.

    Args:
        potential: The energy function.
        soft: A crystal without forces, and without stresses along the free strains.
        cell: Which strains are free, as for :func:`softatoms.relax.relax_batch`.
        coupling: Coupling of soft sites.
        dtype: Precision of the potential.
        device: Where to compute.
    """
    settings = checked_settings(
        coupling=coupling,
        dtype=dtype,
        device=device,
        cell=cell,
        pressure=0.0,
        fmax=1.0,
        smax=None,
        max_steps=0,
        optimiser="lbfgs",
        max_step_length=1.0,
        on_step=None,
    )
    surface = Surface(potential, soft, settings)
    unity = torch.eye(len(soft.weights), dtype=torch.float64, device=settings.device)
    mixed = [surface.mixed_product(column) for column in unity]
    basis = _without_translations(len(settings.strains), len(soft))
    columns = [
        surface.product(torch.from_numpy(column).to(unity)).cpu().numpy() for column in basis.T
    ]
    inner = basis.T @ np.stack(columns, axis=1)
    return _response(
        soft,
        settings.strains,
        basis,
        0.5 * (inner + inner.T),
        np.stack([by_y.cpu().numpy() for by_y, _ in mixed], axis=1),
        surface.by_weights.cpu().numpy(),
        np.stack([by_theta.cpu().numpy() for _, by_theta in mixed]),
        surface.passes,
    )


def _without_translations(n_strains: int, n_sites: int) -> Floats:
    """An orthonormal basis without the three displacements of all sites alike, as columns."""
    rigid = np.zeros((n_strains + 3 * n_sites, 3))
    for axis in range(3):
        rigid[n_strains + axis :: 3, axis] = 1.0 / np.sqrt(n_sites)
    basis: Floats = np.linalg.svd(rigid, full_matrices=True)[0][:, 3:]
    return basis


def _response(
    soft: SoftAtoms,
    strains: Floats,
    basis: Floats,
    inner: Floats,
    mixed: Floats,
    gradient: Floats,
    by_weights: Floats,
    evaluations: int,
) -> Response:
    n_strains, n_sites = len(strains), len(soft)
    volume = float(abs(np.linalg.det(soft.cell)))
    values, vectors = np.linalg.eigh(inner)
    lowest = float(values[0]) if len(values) else float("inf")
    count = mixed.shape[1]
    nothing = np.full((count, 3, 3), np.nan)
    if lowest <= SOFTEST:
        return Response(
            lowest,
            np.full((6, 6), np.nan),
            float("nan"),
            nothing,
            np.full((count, n_sites, 3), np.nan),
            gradient,
            np.full((count, count), np.nan),
            evaluations,
        )
    ways = basis @ vectors
    inverse = (ways / values) @ ways.T
    change = -inverse @ mixed
    relaxed = by_weights - mixed.T @ inverse @ mixed
    # From variables to strains: ε = Σ_k x_k B_k / √n.
    scale = 1.0 / np.sqrt(n_sites)
    strain = np.einsum("kp,kab->pab", change[:n_strains], strains) * scale
    compliance = np.einsum(
        "kl,kab,lcd->abcd", inverse[:n_strains, :n_strains], strains, strains
    ) * (scale**2 * volume)
    squeezed = float(np.einsum("aabb->", compliance))
    elastic = np.full((6, 6), np.nan)
    if n_strains == 6:
        elastic = np.linalg.inv(_voigt_compliance(compliance))
    return Response(
        lowest,
        elastic,
        1.0 / squeezed if n_strains and squeezed > 0.0 else float("nan"),
        strain,
        change[n_strains:].T.reshape(count, n_sites, 3),
        gradient,
        0.5 * (relaxed + relaxed.T),
        evaluations,
    )


def _voigt_compliance(compliance: Floats) -> Floats:
    """The tensor in Voigt's notation, where shears of strains count twice."""
    voigt = np.zeros((6, 6))
    for i, (a, b) in enumerate(AXES):
        for j, (c, d) in enumerate(AXES):
            voigt[i, j] = compliance[a, b, c, d] * (1 + (i > 2)) * (1 + (j > 2))
    return voigt
