"""Energies of soft structures and all their derivatives.

One energy is computed as a function of pair vectors and weights, and everything else is a
derivative of it. Positions and the cell enter only through the pair vectors, so one backward pass
to them gives forces and stress alike:

    F_i = Σ_(e received by i) ∂E/∂r_e − Σ_(e sent by i) ∂E/∂r_e,    V σ = Σ_e sym(r_e ⊗ ∂E/∂r_e)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from .errors import OptionError, StructureError, suggest
from .gather import Tap
from .graph import Batch, Coupling, Geometry, check_coupling
from .heat_flux import (
    Gathered,
    convective_flux,
    direct_flux,
    energies_with_rates,
    energies_without_rates,
    gathered_flux,
    gathered_flux_by_reverse_mode,
)
from .neighbours import Pairs, neighbour_pairs
from .potentials.base import Potential
from .runtime import keep_freed_memory
from .structure import SoftAtoms

PROPERTIES = (
    "energy",
    "forces",
    "stress",
    "weight_gradient",
    "heat_flux",
    "stress_weight_gradient",
    "weight_hessian",
)
DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Evaluation:
    """Properties of one soft structure; None where they were not asked for.

    All tensors are float64, whatever the precision of the potential was.

    Attributes:
        energy: Energy in eV, scalar.
        isolated_energy: The part of the energy that is isolated atoms, in eV, scalar.
        site_energies: Weighted energy of each site in eV, shape (n_sites,).
        forces: −dE/dr in eV/Å, shape (n_sites, 3).
        stress: (dE/dε)/V in eV/Å³, symmetric, shape (3, 3).
        weight_gradient: dE/dθ in eV, shape (n_parameters,).
        isolated_weight_gradient: The part of dE/dθ that is isolated atoms, shape (n_parameters,).
        heat_flux: J in eV Å/fs, not divided by the volume, shape (3,).
        convective_heat_flux: The part of J that moving sites carry along, shape (3,).
        stress_weight_gradient: d(stress)/dθ in eV/Å³, shape (n_parameters, 3, 3).
        weight_hessian: d²E/dθ² in eV, shape (n_parameters, n_parameters).
    """

    energy: Tensor
    isolated_energy: Tensor
    site_energies: Tensor
    forces: Tensor | None = None
    stress: Tensor | None = None
    weight_gradient: Tensor | None = None
    isolated_weight_gradient: Tensor | None = None
    heat_flux: Tensor | None = None
    convective_heat_flux: Tensor | None = None
    stress_weight_gradient: Tensor | None = None
    weight_hessian: Tensor | None = None

    @property
    def interaction_energy(self) -> Tensor:
        """Energy beyond that of isolated atoms, in eV."""
        return self.energy - self.isolated_energy


def evaluate(
    potential: Potential,
    soft: SoftAtoms,
    *,
    properties: Iterable[str] = ("energy", "forces"),
    velocities: ArrayLike | Tensor | None = None,
    coupling: str = "mean_field",
    dtype: str = "float64",
    device: str = "cpu",
    pairs: Pairs | None = None,
) -> Evaluation:
    """Evaluate one soft structure.

    Args:
        potential: The energy function.
        soft: The structure.
        properties: What to compute; see ``PROPERTIES``. The energy always comes along.
        velocities: Velocities in Å/fs, shape (n_sites, 3), for the heat flux; those of the
            structure if None.
        coupling: ``mean_field`` or ``replica``, see ``graph.py``.
        dtype: Precision of the potential, ``float32`` or ``float64``. Sums are always float64.
        device: Where to compute, such as ``cpu`` or ``cuda``.
        pairs: Pairs of sites that include all within the cutoff, if they are known already.

    Returns:
        The properties.
    """
    return evaluate_batch(
        potential,
        [soft],
        properties=properties,
        velocities=None if velocities is None else [velocities],
        coupling=coupling,
        dtype=dtype,
        device=device,
        pairs=None if pairs is None else [pairs],
    )[0]


def evaluate_batch(
    potential: Potential,
    systems: Sequence[SoftAtoms],
    *,
    properties: Iterable[str] = ("energy", "forces"),
    velocities: Sequence[ArrayLike | Tensor | None] | None = None,
    coupling: str = "mean_field",
    dtype: str = "float64",
    device: str = "cpu",
    pairs: Sequence[Pairs] | None = None,
) -> list[Evaluation]:
    """Evaluate many soft structures in one pass; see :func:`evaluate`.

    Args:
        potential: The energy function.
        systems: The structures, of any sizes.
        properties: What to compute for each of them.
        velocities: One entry per structure, or None.
        coupling: Coupling of soft sites.
        dtype: Precision of the potential.
        device: Where to compute.
        pairs: One entry per structure, or None.

    Returns:
        One result per structure, in the same order.
    """
    wanted = check_properties(properties)
    rule = check_coupling(coupling)
    target = check_device(device)
    for name, given in (("velocities", velocities), ("pairs", pairs)):
        if given is not None and len(given) != len(systems):
            raise OptionError(
                f"{name} must have one entry per structure: {len(systems)}, got {len(given)}"
            )
    if len(systems) == 0:
        return []
    if target.type == "cpu":
        keep_freed_memory()
    if pairs is None:
        pairs = [neighbour_pairs(s.positions, s.cell, s.pbc, potential.cutoff) for s in systems]
    batch = Batch(systems, target)
    moving = _stack_velocities(systems, velocities, target) if "heat_flux" in wanted else None
    if wanted & {"stress", "stress_weight_gradient"}:
        _check_volumes(systems)
    return BatchEvaluator(potential, batch, rule, check_dtype(dtype)).evaluate(
        positions=torch.from_numpy(np.concatenate([s.positions for s in systems])).to(target),
        cells=torch.from_numpy(np.stack([s.cell for s in systems])).to(target),
        theta=torch.from_numpy(np.concatenate([s.groups.theta for s in systems])).to(target),
        pairs=pairs,
        wanted=wanted,
        velocities=moving,
    )


class BatchEvaluator:
    """Evaluates one batch again and again, at changing positions, cells and weights.

    Args:
        potential: The energy function.
        batch: The systems.
        coupling: Coupling of soft sites.
        dtype: Precision of the potential.
    """

    def __init__(
        self, potential: Potential, batch: Batch, coupling: Coupling, dtype: torch.dtype
    ) -> None:
        self.potential = potential.cast(dtype, batch.device)
        self.potential.check_covers(batch.numbers)
        self.batch = batch
        self.coupling = coupling
        self.dtype = dtype

    def evaluate(
        self,
        *,
        positions: Tensor,
        cells: Tensor,
        theta: Tensor,
        pairs: Sequence[Pairs],
        wanted: frozenset[str],
        velocities: Tensor | None = None,
    ) -> list[Evaluation]:
        """Evaluate all systems of the batch.

        Args:
            positions: Positions of all sites in Å, shape (n_sites, 3), float64.
            cells: Cells in Å, shape (n_systems, 3, 3), float64.
            theta: Weights of all systems, shape (n_parameters,), float64.
            pairs: Pairs of each system that include all within the cutoff.
            wanted: Names of properties.
            velocities: Velocities in Å/fs, shape (n_sites, 3), float64, for the heat flux.

        Returns:
            One result per system.
        """
        batch = self.batch
        geometry = batch.geometry(pairs, positions, cells, self.potential.cutoff, self.dtype)
        by_vectors = bool(wanted & {"forces", "stress", "heat_flux", "stress_weight_gradient"})
        by_weights = bool(wanted & {"weight_gradient", "stress_weight_gradient", "weight_hessian"})
        second = bool(wanted & {"stress_weight_gradient", "weight_hessian"})
        geometry.vectors.requires_grad_(by_vectors)
        theta = theta.detach().requires_grad_(by_weights)

        with torch.set_grad_enabled(by_vectors or by_weights):
            weights = batch.node_weights(theta)
            node_energies, gathered = self._node_energies(geometry, weights, velocities)
            weighted = weights * node_energies
            leaves = [t for t in (geometry.vectors, theta) if t.requires_grad]
            adjoint_of = [record.values for record in gathered]
            # The zero terms keep every leaf in the graph when there is no edge or no soft site.
            total = weighted.sum() + sum(0.0 * leaf.sum() for leaf in leaves)
        gradients: list[Tensor] = []
        if leaves:
            gradients = list(
                torch.autograd.grad(
                    total,
                    [*leaves, *adjoint_of],
                    create_graph=second,
                    retain_graph=second or any(record.rates is None for record in gathered),
                    allow_unused=True,
                    materialize_grads=True,
                )
            )
        by_pair = gradients.pop(0) if by_vectors else None
        by_theta = gradients.pop(0) if by_weights else None

        columns: dict[str, Sequence[Tensor]] = {}
        site_energies = torch.zeros(batch.n_sites, dtype=torch.float64, device=batch.device)
        site_energies.index_add_(0, batch.node_site, weighted.detach())
        columns["site_energies"] = site_energies.split(batch.site_counts)
        columns["energy"] = batch.sum_by_system(weighted.detach(), batch.node_system).unbind()
        isolated = self.potential.isolated_energies[self.potential.species_index(batch.numbers)]
        columns["isolated_energy"] = batch.sum_by_system(
            weights.detach() * isolated, batch.node_system
        ).unbind()
        if by_pair is not None:
            first_order = by_pair.detach()
            if "forces" in wanted:
                columns["forces"] = self._forces(geometry, first_order).split(batch.site_counts)
            if "stress" in wanted:
                columns["stress"] = self._stress(geometry, first_order, cells).unbind()
            if velocities is not None:
                columns["convective_heat_flux"], columns["heat_flux"] = self._heat_flux(
                    geometry,
                    gathered,
                    first_order,
                    gradients,
                    weights.detach(),
                    node_energies.detach(),
                    velocities,
                )
        if by_theta is not None:
            if "weight_gradient" in wanted:
                columns["weight_gradient"] = by_theta.detach().split(batch.parameter_counts)
                columns["isolated_weight_gradient"] = self._by_parameter(isolated)
            if by_pair is not None and "stress_weight_gradient" in wanted:
                columns["stress_weight_gradient"] = self._stress_by_theta(
                    geometry, by_pair, cells, theta
                )
            if "weight_hessian" in wanted:
                columns["weight_hessian"] = self._hessian(by_theta, theta)
        return [
            Evaluation(**{name: values[index] for name, values in columns.items()})
            for index in range(batch.n_systems)
        ]

    def _node_energies(
        self, geometry: Geometry, weights: Tensor, velocities: Tensor | None
    ) -> tuple[Tensor, list[Gathered]]:
        def energy(at: Geometry, tap: Tap | None = None) -> Tensor:
            return self.potential(self.batch.graph(at, weights, self.coupling, tap))

        if velocities is None:
            return energy(geometry), []
        if self.potential.has_forward_mode:
            return energies_with_rates(energy, geometry, velocities)
        return energies_without_rates(energy, geometry)

    def _forces(self, geometry: Geometry, by_pair: Tensor) -> Tensor:
        pull = by_pair.to(torch.float64)
        received = pull.reshape(self.batch.n_sites, geometry.width, 3).sum(1)
        return received.index_add_(0, geometry.senders, -pull)

    def _stress(self, geometry: Geometry, by_pair: Tensor, cells: Tensor) -> Tensor:
        # The derivative by the deformation gradient, then its symmetric part.
        counts = [count * geometry.width for count in self.batch.site_counts]
        vectors = geometry.vectors.detach().to(torch.float64).split(counts)
        slopes = by_pair.to(torch.float64).split(counts)
        virial = torch.stack([r.T @ slope for r, slope in zip(vectors, slopes, strict=True)])
        volumes = torch.linalg.det(cells).abs().reshape(-1, 1, 1)
        return (virial + virial.transpose(1, 2)) / (2.0 * volumes)

    def _heat_flux(
        self,
        geometry: Geometry,
        gathered: Sequence[Gathered],
        by_pair: Tensor,
        adjoints: Sequence[Tensor],
        weights: Tensor,
        node_energies: Tensor,
        velocities: Tensor,
    ) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        convective = convective_flux(self.batch, weights, node_energies, velocities)
        flux = convective + direct_flux(self.batch, geometry, by_pair, velocities)
        if self.potential.has_forward_mode:
            flux = flux + gathered_flux(self.batch, gathered, adjoints)
        else:
            flux = flux + gathered_flux_by_reverse_mode(
                self.batch, geometry, gathered, adjoints, velocities
            )
        return convective.unbind(), flux.unbind()

    def _by_parameter(self, isolated: Tensor) -> Sequence[Tensor]:
        n_parameters = sum(self.batch.parameter_counts)
        sums = torch.zeros(n_parameters + 1, dtype=torch.float64, device=self.batch.device)
        sums.index_add_(0, self.batch.node_parameter, isolated)
        return sums[:n_parameters].split(self.batch.parameter_counts)

    def _stress_by_theta(
        self, geometry: Geometry, by_pair: Tensor, cells: Tensor, theta: Tensor
    ) -> Sequence[Tensor]:
        stress = self._stress(geometry, by_pair, cells)
        slopes = torch.zeros((len(theta), 3, 3), dtype=torch.float64, device=theta.device)
        for row in range(3):
            for column in range(row, 3):
                (slope,) = torch.autograd.grad(
                    stress[:, row, column].sum() + 0.0 * theta.sum(), theta, retain_graph=True
                )
                slopes[:, row, column] = slopes[:, column, row] = slope
        return slopes.split(self.batch.parameter_counts)

    def _hessian(self, by_theta: Tensor, theta: Tensor) -> Sequence[Tensor]:
        # Systems do not see each other: row k of all of them comes from one backward pass.
        counts = self.batch.parameter_counts
        offsets = np.cumsum([0, *counts])[:-1]
        rows: list[list[Tensor]] = [[] for _ in counts]
        for k in range(max(counts)):
            having = [index for index, count in enumerate(counts) if count > k]
            chosen = torch.tensor([offsets[index] + k for index in having], device=theta.device)
            (row,) = torch.autograd.grad(
                by_theta[chosen].sum() + 0.0 * theta.sum(), theta, retain_graph=True
            )
            parts = row.split(counts)
            for index in having:
                rows[index].append(parts[index])
        return [torch.stack(own) if own else theta.new_zeros((0, 0)) for own in rows]


def check_properties(properties: Iterable[str]) -> frozenset[str]:
    """The set of names in ``properties``.

    Raises:
        OptionError: If a name is unknown.
    """
    if isinstance(properties, str):
        raise OptionError(
            f"properties must be a list of names, such as ('{properties}',), not one text"
        )
    wanted = frozenset(properties)
    for name in sorted(wanted, key=str):
        if name not in PROPERTIES:
            raise OptionError(f"unknown property '{name}': {suggest(str(name), PROPERTIES)}")
    return wanted


def check_dtype(dtype: str) -> torch.dtype:
    """Torch's type of this name.

    Raises:
        OptionError: If it is neither ``float32`` nor ``float64``.
    """
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise OptionError(f"unknown dtype '{dtype}': {suggest(str(dtype), DTYPES)}")
    return DTYPES[dtype]


def check_device(device: str) -> torch.device:
    """Torch's device of this name.

    Raises:
        OptionError: If the name means nothing or this machine has no such device.
    """
    try:
        target = torch.device(device)
    except RuntimeError as error:
        raise OptionError(f"unknown device '{device}': use 'cpu', 'cuda' or 'cuda:<n>'") from error
    if target.type not in ("cpu", "cuda"):
        raise OptionError(f"unknown device '{device}': use 'cpu', 'cuda' or 'cuda:<n>'")
    if target.type == "cuda":
        if not torch.cuda.is_available():
            raise OptionError(f"device '{device}' is not available: torch finds no CUDA GPU here")
        if target.index is None:
            target = torch.device("cuda", torch.cuda.current_device())
        if target.index >= torch.cuda.device_count():
            raise OptionError(f"device '{device}' does not exist: {torch.cuda.device_count()} GPUs")
    return target


def _check_volumes(systems: Sequence[SoftAtoms]) -> None:
    for index, soft in enumerate(systems):
        if abs(np.linalg.det(soft.cell)) < 1e-12:
            raise StructureError(
                f"stress of structure {index} is undefined: its cell has no volume; give it a cell "
                "or leave 'stress' out of the properties"
            )


def _stack_velocities(
    systems: Sequence[SoftAtoms],
    velocities: Sequence[ArrayLike | Tensor | None] | None,
    device: torch.device,
) -> Tensor:
    parts = []
    for index, soft in enumerate(systems):
        given = None if velocities is None else velocities[index]
        if isinstance(given, Tensor):
            given = given.detach().cpu().numpy()
        moving = soft.velocities if given is None else np.asarray(given, dtype=np.float64)
        if moving is None:
            raise OptionError(
                f"heat_flux needs velocities (Å/fs): structure {index} has none and none were given"
            )
        if moving.shape != soft.positions.shape or not np.isfinite(moving).all():
            raise OptionError(
                f"velocities of structure {index} must be finite and of shape "
                f"{soft.positions.shape}, got shape {moving.shape}"
            )
        parts.append(moving)
    return torch.from_numpy(np.concatenate(parts)).to(device)
