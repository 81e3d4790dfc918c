"""Second derivatives of the energy by positions, by automatic differentiation.

One backward pass through the forces gives one column. A batch of copies of a structure, each with
another column, gives many at a time.

Networks with bond angles may have rounded cusps where angles are straight, as in many crystals.
Their second derivatives there are those of the cusp, which a vibration never notices. So a few are
compared with differences of forces over a distance like that of vibrations, and where these say
something else all are taken from such differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..evaluation import check_device, check_dtype, evaluate_batch
from ..graph import Batch, check_coupling
from ..neighbours_many import neighbour_pairs_of_many
from ..pair_sums import pair_forces
from ..physics.errors import PhysicsError
from ..physics.phonons import DISPLACEMENT
from ..potentials.base import Potential
from ..potentials.options import check_whole
from ..structure import SoftAtoms

Floats = NDArray[np.float64]

EDGES_PER_BATCH = 60_000
"""Edges of all copies in a batch: second derivatives take a few times the memory of forces."""

SMOOTH = 0.05
"""Largest difference, relative to the largest of them, between second derivatives and differences
of forces that counts as anharmonicity."""


def hessian_rows(
    potential: Potential,
    soft: SoftAtoms,
    *,
    sites: Sequence[int] | None = None,
    coupling: str = "mean_field",
    dtype: str = "float64",
    device: str = "cpu",
    edges_per_batch: int = EDGES_PER_BATCH,
) -> Floats:
    """∂²E/∂r_i∂r_j in eV/Å².

    Args:
        potential: The energy function.
        soft: The structure.
        sites: The sites i; all if None.
        coupling: Coupling of soft sites.
        dtype: Precision of the potential.
        device: Where to compute.
        edges_per_batch: Most edges of all copies in a batch.

    Returns:
        Shape (n_chosen, 3, n_sites, 3), float64.

    Raises:
        PhysicsError: If a derivative is not finite.
    """
    chosen = range(len(soft)) if sites is None else sites
    wanted = [(site, axis) for site in chosen for axis in range(3)]
    pairs = neighbour_pairs_of_many([soft], potential.cutoff)[0]
    most = check_whole(edges_per_batch, "edges_per_batch", least=1)
    per_batch = max(1, most // max(1, len(pairs.senders)))
    target, precision = check_device(device), check_dtype(dtype)
    model, rule = potential.cast(precision, target), check_coupling(coupling)
    rows = []
    for start in range(0, len(wanted), per_batch):
        part = wanted[start : start + per_batch]
        batch = Batch([soft] * len(part), target)
        positions = torch.from_numpy(np.tile(soft.positions, (len(part), 1))).to(target)
        cells = torch.from_numpy(np.tile(soft.cell, (len(part), 1, 1))).to(target)
        theta = torch.from_numpy(np.tile(soft.groups.theta, len(part))).to(target)
        with torch.inference_mode(False), torch.enable_grad():
            geometry = batch.geometry(
                [pairs] * len(part), positions, cells, potential.cutoff, precision
            )
            vectors = geometry.vectors.detach().clone().requires_grad_(True)
            geometry = geometry.with_vectors(vectors)
            weights = batch.node_weights(theta).detach()
            energy = (weights * model(batch.graph(geometry, weights, rule))).sum()
            slopes = _grad(energy, vectors, create_graph=True)
            forces = pair_forces(batch, geometry, slopes)
            index = [copy * len(soft) + site for copy, (site, _) in enumerate(part)]
            axes = [axis for _, axis in part]
            # Copies do not see each other, so each keeps the column of its own.
            columns = _grad(forces[index, axes].sum(), vectors, create_graph=False)
            found = pair_forces(batch, geometry, columns)
        rows.append(found.reshape(len(part), len(soft), 3).cpu().numpy())
    result = np.concatenate(rows).reshape(len(chosen), 3, len(soft), 3)
    if not np.isfinite(result).all():
        raise PhysicsError("second derivatives of the energy are not finite")
    return result


def smooth_hessian_rows(
    potential: Potential,
    soft: SoftAtoms,
    *,
    sites: Sequence[int] | None = None,
    coupling: str = "mean_field",
    dtype: str = "float64",
    device: str = "cpu",
    edges_per_batch: int = EDGES_PER_BATCH,
) -> tuple[Floats, bool]:
    """Second derivatives as vibrations feel them.

    Args:
        potential: The energy function.
        soft: The structure.
        sites: The sites i; all if None.
        coupling: Coupling of soft sites.
        dtype: Precision of the potential.
        device: Where to compute.
        edges_per_batch: Most edges of all copies in a batch.

    Returns:
        As :func:`hessian_rows`, and whether they are from automatic differentiation.
    """
    chosen = list(range(len(soft)) if sites is None else sites)
    options: dict[str, Any] = {"coupling": coupling, "dtype": dtype, "device": device}
    probe = sorted({chosen[0], chosen[-1]})
    batches = {"edges_per_batch": edges_per_batch, **options}
    exact = hessian_rows(potential, soft, sites=probe, **batches)
    rough = difference_rows(potential, soft, sites=probe, **batches)
    if np.abs(exact - rough).max() <= SMOOTH * np.abs(rough).max():
        return hessian_rows(potential, soft, sites=chosen, **batches), True
    return difference_rows(potential, soft, sites=chosen, **batches), False


def difference_rows(
    potential: Potential,
    soft: SoftAtoms,
    *,
    sites: Sequence[int],
    coupling: str = "mean_field",
    dtype: str = "float64",
    device: str = "cpu",
    edges_per_batch: int = EDGES_PER_BATCH,
) -> Floats:
    """Second derivatives from central differences of forces; see :func:`hessian_rows`."""
    pairs = neighbour_pairs_of_many([soft], potential.cutoff)[0]
    per_batch = max(1, edges_per_batch // max(1, len(pairs.senders)))
    moved = []
    for site in sites:
        for axis in range(3):
            for sign in (1.0, -1.0):
                positions = soft.positions.copy()
                positions[site, axis] += sign * DISPLACEMENT
                moved.append(soft.with_positions(positions))
    forces = []
    for start in range(0, len(moved), per_batch):
        outs = evaluate_batch(
            potential,
            moved[start : start + per_batch],
            properties=("forces",),
            coupling=coupling,
            dtype=dtype,
            device=device,
        )
        forces += [out.forces.cpu().numpy() for out in outs if out.forces is not None]
    ends = np.stack(forces).reshape(len(sites), 3, 2, len(soft), 3)
    result: Floats = (ends[:, :, 1] - ends[:, :, 0]) / (2.0 * DISPLACEMENT)
    if not np.isfinite(result).all():
        raise PhysicsError("forces on displaced sites are not finite")
    return result


def crystal_hessian(rows: Floats, repeat: Sequence[int], n_sites: int) -> Floats:
    """Second derivatives of a supercell from those of the sites of its first cell.

    Args:
        rows: Of the first cell, shape (n_sites, 3, n_cells n_sites, 3), in eV/Å².
        repeat: Repetitions of the cell along its vectors, in the order of ``SoftAtoms.repeat``.
        n_sites: Sites of the cell.

    Returns:
        Shape (3 n_cells n_sites, 3 n_cells n_sites).
    """
    counts = np.array(repeat)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in counts), indexing="ij"), -1).reshape(-1, 3)
    n_cells = len(grid)
    steps = (grid[None, :] - grid[:, None]) % counts
    number = (steps[..., 0] * counts[1] + steps[..., 1]) * counts[2] + steps[..., 2]
    blocks = rows.reshape(n_sites, 3, n_cells, n_sites, 3)
    every = blocks[:, :, number].transpose(2, 0, 1, 3, 4, 5)
    size = 3 * n_cells * n_sites
    return np.ascontiguousarray(every.reshape(size, size))


def _grad(of: torch.Tensor, by: torch.Tensor, *, create_graph: bool) -> torch.Tensor:
    if not of.requires_grad:
        return torch.zeros_like(by)
    (found,) = torch.autograd.grad(
        of, by, create_graph=create_graph, allow_unused=True, materialize_grads=True
    )
    return found
