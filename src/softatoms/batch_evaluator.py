"""Derivatives of the energy of a batch.

One energy is computed as a function of pair vectors and weights, and everything else is a
derivative of it. Positions and the cell enter only through the pair vectors, so one backward pass
to them gives forces and stress alike, see :mod:`.pair_sums`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .gather import Tap
from .graph import Batch, Coupling, Geometry, PairList
from .heat_flux import (
    Gathered,
    convective_flux,
    direct_flux,
    energies_with_rates,
    energies_without_rates,
    flux_tensors,
    gathered_flux,
    gathered_flux_by_reverse_mode,
)
from .neighbours import Pairs
from .pair_sums import pair_forces, pair_stress
from .potentials.base import Potential

BY_VECTORS = frozenset({"forces", "stress", "heat_flux", "flux_tensors", "stress_weight_gradient"})
"""Properties that need the derivative by pair vectors."""

BY_WEIGHTS = frozenset({"weight_gradient", "stress_weight_gradient", "weight_hessian"})
"""Properties that need the derivative by weights."""

SECOND_ORDER = frozenset({"stress_weight_gradient", "weight_hessian"})

PROPERTIES = ("energy", *sorted(BY_VECTORS | BY_WEIGHTS))
"""All that can be asked for."""


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
        node_weight_gradient: dE/dw of every node of a soft site by itself, as if nothing was tied,
            in eV, shape (n_nodes,); nan at plain sites. See ``SoftAtoms.node_site`` and
            ``node_number`` for what the nodes are.
        isolated_weight_gradient: The part of dE/dθ that is isolated atoms, shape (n_parameters,).
        heat_flux: J in eV Å/fs, not divided by the volume, shape (3,).
        convective_heat_flux: The part of J that moving sites carry along, shape (3,).
        flux_tensors: ∂J/∂v of every site without the convective part, in eV, shape (n_sites, 3, 3).
        stress_weight_gradient: d(stress)/dθ in eV/Å³, shape (n_parameters, 3, 3).
        weight_hessian: d²E/dθ² in eV, shape (n_parameters, n_parameters).
    """

    energy: Tensor
    isolated_energy: Tensor
    site_energies: Tensor
    forces: Tensor | None = None
    stress: Tensor | None = None
    weight_gradient: Tensor | None = None
    node_weight_gradient: Tensor | None = None
    isolated_weight_gradient: Tensor | None = None
    heat_flux: Tensor | None = None
    convective_heat_flux: Tensor | None = None
    flux_tensors: Tensor | None = None
    stress_weight_gradient: Tensor | None = None
    weight_hessian: Tensor | None = None

    @property
    def interaction_energy(self) -> Tensor:
        """Energy beyond that of isolated atoms, in eV."""
        return self.energy - self.isolated_energy


@dataclass(frozen=True)
class _Pass:
    """One evaluation of the energy and its first derivatives.

    Attributes:
        geometry: Pair vectors, a leaf where their derivative was wanted.
        cells: Cells in Å, shape (n_systems, 3, 3).
        theta: Weights of all systems, a leaf where their derivative was wanted.
        weights: Node weights, shape (n_nodes,).
        node_energies: Energy of every node in eV, shape (n_nodes,).
        gathered: What was gathered, if the heat flux is wanted.
        by_vectors: ∂E/∂r_e in eV/Å, shape of the pair vectors, or None.
        by_theta: ∂E/∂θ in eV, shape of theta, or None.
        by_weights: ∂E/∂w of every node in eV, shape (n_nodes,), or None.
        adjoints: ∂E/∂g_e of every entry of ``gathered``.
        places: Number of each of them among all gathers, in the order in which they are made.
    """

    geometry: Geometry
    cells: Tensor
    theta: Tensor
    weights: Tensor
    node_energies: Tensor
    gathered: list[Gathered]
    by_vectors: Tensor | None
    by_theta: Tensor | None
    by_weights: Tensor | None
    adjoints: list[Tensor]
    places: list[int]


@dataclass(frozen=True)
class Kept:
    """What an evaluation of the forces leaves for the heat flux at the same positions.

    Attributes:
        geometry: Pair vectors.
        weights: Node weights, shape (n_nodes,).
        node_energies: Energy of every node in eV, shape (n_nodes,).
        slopes: ∂E/∂r_e in eV/Å, shape of the pair vectors.
        adjoints: ∂E/∂g_e by the number of the gather.
    """

    geometry: Geometry
    weights: Tensor
    node_energies: Tensor
    slopes: Tensor
    adjoints: dict[int, Tensor]


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

    # A caller's inference mode would make tensors that cannot be differentiated.
    @torch.inference_mode(False)
    def evaluate(
        self,
        *,
        positions: Tensor,
        cells: Tensor,
        theta: Tensor,
        pairs: Sequence[Pairs] | PairList,
        wanted: frozenset[str],
        velocities: Tensor | None = None,
    ) -> list[Evaluation]:
        """Evaluate all systems of the batch.

        Args:
            positions: Positions of all sites in Å, shape (n_sites, 3), float64.
            cells: Cells in Å, shape (n_systems, 3, 3), float64.
            theta: Weights of all systems, shape (n_parameters,), float64.
            pairs: Pairs of each system that include all within the cutoff, laid out or not.
            wanted: Names of properties.
            velocities: Velocities in Å/fs, shape (n_sites, 3), float64, for the heat flux.

        Returns:
            One result per system.
        """
        joined, done = self._first_derivatives(positions, cells, theta, pairs, wanted, velocities)
        columns: dict[str, Sequence[Tensor]] = {
            **{name: self._split(name, values) for name, values in joined.items()},
            **self._second_order(done, wanted),
        }
        return [
            Evaluation(**{name: values[index] for name, values in columns.items()})
            for index in range(self.batch.n_systems)
        ]

    @torch.inference_mode(False)
    def evaluate_joined(
        self,
        *,
        positions: Tensor,
        cells: Tensor,
        theta: Tensor,
        pairs: Sequence[Pairs] | PairList,
        wanted: frozenset[str],
        velocities: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Like :meth:`evaluate`, without taking the systems apart.

        Args:
            positions: Positions of all sites in Å, shape (n_sites, 3), float64.
            cells: Cells in Å, shape (n_systems, 3, 3), float64.
            theta: Weights of all systems, shape (n_parameters,), float64.
            pairs: Pairs of each system that include all within the cutoff, laid out or not.
            wanted: Names of properties, first derivatives only.
            velocities: Velocities in Å/fs, shape (n_sites, 3), float64, for the heat flux.

        Returns:
            Fields of :class:`Evaluation` by name, those of all systems one after the other: one
            entry per system, site, node or parameter.
        """
        return self._first_derivatives(positions, cells, theta, pairs, wanted, velocities)[0]

    @torch.inference_mode(False)
    def evaluate_keeping(
        self,
        *,
        positions: Tensor,
        cells: Tensor,
        theta: Tensor,
        pairs: Sequence[Pairs] | PairList,
        wanted: frozenset[str],
    ) -> tuple[dict[str, Tensor], Kept]:
        """Like :meth:`evaluate_joined`, and what :meth:`flux_of` needs.

        In dynamics velocities are known only after the forces. The adjoints are those of the
        forces, so that the heat flux takes no further backward pass.
        """
        joined, done = self._first_derivatives(
            positions, cells, theta, pairs, wanted | {"forces"}, None, keeps=True
        )
        assert done.by_vectors is not None
        kept = Kept(
            geometry=done.geometry.with_vectors(done.geometry.vectors.detach()),
            weights=done.weights.detach(),
            node_energies=done.node_energies.detach(),
            slopes=done.by_vectors.detach(),
            adjoints=dict(zip(done.places, done.adjoints, strict=True)),
        )
        return joined, kept

    @torch.inference_mode(False)
    @torch.no_grad()
    def flux_of(self, kept: Kept, velocities: Tensor) -> tuple[Tensor, Tensor]:
        """Heat flux and its convective part by one forward-mode pass.

        Args:
            kept: Of an evaluation by a potential with forward mode.
            velocities: Velocities in Å/fs, shape (n_sites, 3), float64.

        Returns:
            In eV Å/fs, each of shape (n_systems, 3).
        """

        def energy(at: Geometry, tap: Tap) -> Tensor:
            return self.potential(self.batch.graph(at, kept.weights, self.coupling, tap))

        _, gathered = energies_with_rates(energy, kept.geometry, velocities)
        flux = direct_flux(self.batch, kept.geometry, kept.slopes, velocities)
        flux = flux + gathered_flux(
            self.batch, [gathered[place] for place in kept.adjoints], list(kept.adjoints.values())
        )
        convective = convective_flux(self.batch, kept.weights, kept.node_energies, velocities)
        return flux + convective, convective

    def _first_derivatives(
        self,
        positions: Tensor,
        cells: Tensor,
        theta: Tensor,
        pairs: Sequence[Pairs] | PairList,
        wanted: frozenset[str],
        velocities: Tensor | None,
        *,
        keeps: bool = False,
    ) -> tuple[dict[str, Tensor], _Pass]:
        geometry = self.batch.geometry(pairs, positions, cells, self.potential.cutoff, self.dtype)
        done = self._differentiate(geometry, cells, theta, wanted, velocities, keeps=keeps)
        return {**self._energies(done), **self._first_order(done, wanted, velocities)}, done

    def _split(self, name: str, values: Tensor) -> Sequence[Tensor]:
        """What belongs to each system of a property of all."""
        batch = self.batch
        counts = {
            "site_energies": batch.site_counts,
            "forces": batch.site_counts,
            "flux_tensors": batch.site_counts,
            "weight_gradient": batch.parameter_counts,
            "isolated_weight_gradient": batch.parameter_counts,
            "node_weight_gradient": batch.node_counts,
        }
        return values.split(counts[name]) if name in counts else values.unbind()

    def _differentiate(
        self,
        geometry: Geometry,
        cells: Tensor,
        theta: Tensor,
        wanted: frozenset[str],
        velocities: Tensor | None,
        *,
        keeps: bool,
    ) -> _Pass:
        by_vectors, by_weights = bool(wanted & BY_VECTORS), bool(wanted & BY_WEIGHTS)
        second = bool(wanted & SECOND_ORDER)
        geometry.vectors.requires_grad_(by_vectors)
        theta = theta.detach().requires_grad_(by_weights)
        gradients: list[Tensor] = []
        with torch.set_grad_enabled(by_vectors or by_weights):
            weights = self.batch.node_weights(theta)
            node_energies, gathered = self._node_energies(
                geometry, weights, velocities, taps=keeps or "flux_tensors" in wanted
            )
            # What depends on nothing here, such as the embedding of frozen networks, carries none.
            places = [n for n, record in enumerate(gathered) if record.values.requires_grad]
            gathered = [gathered[place] for place in places]
            leaves = [geometry.vectors] if by_vectors else []
            leaves += [theta, weights] if by_weights else []
            inputs = [*leaves, *(record.values for record in gathered)] if leaves else []
            total = (weights * node_energies).sum()
            if inputs and total.requires_grad:
                gradients = list(
                    torch.autograd.grad(
                        total,
                        inputs,
                        create_graph=second,
                        retain_graph=(
                            second
                            or "flux_tensors" in wanted
                            or (
                                velocities is not None
                                and any(record.rates is None for record in gathered)
                            )
                        ),
                        allow_unused=True,
                        materialize_grads=True,
                    )
                )
            else:
                # Nothing depends on anything: isolated plain atoms.
                gradients = [torch.zeros_like(tensor) for tensor in inputs]
        return _Pass(
            geometry=geometry,
            cells=cells,
            theta=theta,
            weights=weights,
            node_energies=node_energies,
            gathered=gathered,
            by_vectors=gradients.pop(0) if by_vectors else None,
            by_theta=gradients.pop(0) if by_weights else None,
            by_weights=gradients.pop(0) if by_weights else None,
            adjoints=[adjoint.detach() for adjoint in gradients],
            places=places,
        )

    def _node_energies(
        self,
        geometry: Geometry,
        weights: Tensor,
        velocities: Tensor | None,
        *,
        taps: bool,
    ) -> tuple[Tensor, list[Gathered]]:
        def energy(at: Geometry, tap: Tap | None = None) -> Tensor:
            return self.potential(self.batch.graph(at, weights, self.coupling, tap))

        if velocities is None and not taps:
            return energy(geometry), []
        if velocities is not None and self.potential.has_forward_mode:
            return energies_with_rates(energy, geometry, velocities)
        return energies_without_rates(energy, geometry)

    def _energies(self, done: _Pass) -> dict[str, Tensor]:
        batch = self.batch
        weights = done.weights.detach()
        weighted = weights * done.node_energies.detach()
        sites = torch.zeros(batch.n_sites, dtype=torch.float64, device=batch.device)
        sites.index_add_(0, batch.node_site, weighted)
        isolated = weights * self._isolated_energies()
        return {
            "energy": batch.sum_by_system(weighted, batch.node_system),
            "isolated_energy": batch.sum_by_system(isolated, batch.node_system),
            "site_energies": sites,
        }

    def _first_order(
        self, done: _Pass, wanted: frozenset[str], velocities: Tensor | None
    ) -> dict[str, Tensor]:
        batch = self.batch
        columns: dict[str, Tensor] = {}
        if done.by_vectors is not None:
            slopes = done.by_vectors.detach()
            if "forces" in wanted:
                columns["forces"] = pair_forces(self.batch, done.geometry, slopes)
            if "stress" in wanted:
                columns["stress"] = pair_stress(self.batch, done.geometry, slopes, done.cells)
            if "flux_tensors" in wanted:
                columns["flux_tensors"] = flux_tensors(
                    batch, done.geometry, slopes, done.gathered, done.adjoints
                )
            if velocities is not None:
                convective = convective_flux(
                    batch, done.weights.detach(), done.node_energies.detach(), velocities
                )
                flux = convective + self._potential_flux(done, slopes, velocities)
                columns["convective_heat_flux"] = convective
                columns["heat_flux"] = flux
        if (
            done.by_theta is not None
            and done.by_weights is not None
            and "weight_gradient" in wanted
        ):
            columns["weight_gradient"] = done.by_theta.detach()
            plain = batch.node_parameter == sum(batch.parameter_counts)
            columns["node_weight_gradient"] = done.by_weights.detach().masked_fill(
                plain, float("nan")
            )
            columns["isolated_weight_gradient"] = self._isolated_weight_gradient()
        return columns

    def _second_order(self, done: _Pass, wanted: frozenset[str]) -> dict[str, Sequence[Tensor]]:
        columns: dict[str, Sequence[Tensor]] = {}
        if done.by_theta is None:
            return columns
        if done.by_vectors is not None and "stress_weight_gradient" in wanted:
            stress = pair_stress(self.batch, done.geometry, done.by_vectors, done.cells)
            columns["stress_weight_gradient"] = self._stress_by_theta(stress, done.theta)
        if "weight_hessian" in wanted:
            columns["weight_hessian"] = self._hessian(done.by_theta, done.theta)
        return columns

    def _isolated_energies(self) -> Tensor:
        species = self.potential.species_index(self.batch.numbers)
        return self.potential.isolated_energies.index_select(0, species)

    def _potential_flux(self, done: _Pass, slopes: Tensor, velocities: Tensor) -> Tensor:
        flux = direct_flux(self.batch, done.geometry, slopes, velocities)
        if self.potential.has_forward_mode:
            return flux + gathered_flux(self.batch, done.gathered, done.adjoints)
        return flux + gathered_flux_by_reverse_mode(
            self.batch, done.geometry, done.gathered, done.adjoints, velocities
        )

    def _isolated_weight_gradient(self) -> Tensor:
        n_parameters = sum(self.batch.parameter_counts)
        sums = torch.zeros(n_parameters + 1, dtype=torch.float64, device=self.batch.device)
        sums.index_add_(0, self.batch.node_parameter, self._isolated_energies())
        return sums[:n_parameters]

    def _stress_by_theta(self, stress: Tensor, theta: Tensor) -> Sequence[Tensor]:
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
