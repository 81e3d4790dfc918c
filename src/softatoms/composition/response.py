"""Second derivatives of crystals at rest, and how the state of rest follows the composition.

With y the strains and displacements of a crystal, H = ∂²E/∂y² and B = ∂²E/∂y∂θ, the state of rest
moves by dy/dθ = −H⁻¹ B, and its energy has the curvature d²E/dθ² = ∂²E/∂θ² − Bᵀ H⁻¹ B (implicit
function theorem). H and B are central differences of forces, stresses and weight gradients that
are themselves exact; all displaced copies of a crystal are one batch. Displacing all sites alike
costs nothing and is left out.

Strains are logarithmic and symmetric, as in ``relax/coordinates.py``. A strain that was not
relaxed does not respond.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..evaluation import evaluate_batch
from ..relax.coordinates import Coordinates
from ..relax.options import strain_basis

if TYPE_CHECKING:
    from torch import Tensor

    from ..potentials.base import Potential
    from ..structure import SoftAtoms

Floats = NDArray[np.float64]

DISPLACEMENT = 4e-3
"""How far sites are displaced in Å."""

STRAIN = 1e-3
"""Size of the strains."""

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
        evaluations: Structures that were evaluated.
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
    per_batch: int = 256,
) -> Response:
    """Second derivatives of a crystal at rest.

    Args:
        potential: The energy function.
        soft: A crystal without forces, and without stresses along the free strains.
        cell: Which strains are free, as for :func:`softatoms.relax.relax_batch`.
        coupling: Coupling of soft sites.
        dtype: Precision of the potential.
        device: Where to compute.
        per_batch: Displaced copies that are evaluated together.
    """
    options: dict[str, Any] = {"coupling": coupling, "dtype": dtype, "device": device}
    strains = strain_basis(cell)
    (at_rest,) = evaluate_batch(
        potential, [soft], properties=("weight_gradient", "weight_hessian"), **options
    )
    steps = _steps(soft, len(strains))
    signed = np.stack([steps, -steps], axis=1).reshape(-1, len(steps))
    rows: list[Floats] = []
    by_theta: list[Floats] = []
    for first in range(0, len(signed), per_batch):
        chosen = signed[first : first + per_batch]
        everything = [np.ones(len(soft), dtype=bool)] * len(chosen)
        coordinates = Coordinates([soft] * len(chosen), everything, strains)
        x = chosen.ravel()
        positions, cells = coordinates.structures(x)
        copies = [soft.with_positions(p, c) for p, c in zip(positions, cells, strict=True)]
        outs = evaluate_batch(
            potential, copies, properties=("forces", "stress", "weight_gradient"), **options
        )
        forces = np.concatenate([_numbers(out.forces) for out in outs])
        stresses = np.stack([_numbers(out.stress) for out in outs])
        virials = stresses * np.abs(np.linalg.det(cells))[:, None, None]
        rows += list(coordinates.gradients(x, forces, virials).reshape(chosen.shape))
        by_theta += [_numbers(out.weight_gradient) for out in outs]
    size = np.abs(steps).max(axis=1)
    hessian = _differences(rows, size)
    return _response(
        soft,
        strains,
        0.5 * (hessian + hessian.T),
        _differences(by_theta, size),
        _numbers(at_rest.weight_gradient),
        _numbers(at_rest.weight_hessian),
        len(signed) + 1,
    )


def _numbers(values: Tensor | None) -> Floats:
    """A tensor as an array; empty if there is none."""
    return np.zeros(0) if values is None else values.detach().cpu().numpy()


def _steps(soft: SoftAtoms, n_strains: int) -> Floats:
    """One step along each variable; those of strains are in units of √n, see ``Coordinates``."""
    sizes = np.full(n_strains + 3 * len(soft), DISPLACEMENT)
    sizes[:n_strains] = STRAIN * np.sqrt(len(soft))
    return np.diag(sizes)


def _differences(values: Sequence[Floats], size: Floats) -> Floats:
    """Central differences of what stands in pairs, one row per variable."""
    pairs = np.stack(values).reshape(len(size), 2, -1)
    slopes: Floats = (pairs[:, 0] - pairs[:, 1]) / (2.0 * size[:, None])
    return slopes


def _response(
    soft: SoftAtoms,
    strains: Floats,
    hessian: Floats,
    mixed: Floats,
    gradient: Floats,
    by_weights: Floats,
    evaluations: int,
) -> Response:
    n_strains, n_sites = len(strains), len(soft)
    volume = float(abs(np.linalg.det(soft.cell)))
    # An orthonormal basis without the three displacements of all sites alike.
    rigid = np.zeros((n_strains + 3 * n_sites, 3))
    for axis in range(3):
        rigid[n_strains + axis :: 3, axis] = 1.0 / np.sqrt(n_sites)
    basis = np.linalg.svd(rigid, full_matrices=True)[0][:, 3:]
    inner = basis.T @ hessian @ basis
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
