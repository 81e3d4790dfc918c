"""Stochastic cell rescaling as a Metropolis move: constant pressure without an error of its own.

Sampled is

    p(r, h) dr dμ(h) ∝ exp(−(E + P V)/kT) V dr dμ(h)

with dr over all N sites and μ the invariant measure of the strains that are allowed, so that the
volume itself has the measure dV: p(V) ∝ exp(−P V/kT) Q(N, V, T), for an ideal gas V^N e^(−P V/kT).
With ``full`` this is the measure det(h)^(−2) dh of the flexible cell (Martyna, Tobias and Klein,
J. Chem. Phys. 101, 4177 (1994)); it holds whether or not the centre of mass moves.

Every few steps a strain exp(ε) is proposed along the drift and with the noise of stochastic cell
rescaling (Bernetti and Bussi, J. Chem. Phys. 153, 114107 (2020); for any strain Del Tatto et al.,
Appl. Sci. 12, 1139 (2022)),

    ε = D g + √(2D) ξ,   g = ∂ log p/∂ε = 1 − (V σ − Σ m v v + P V)/kT,   D = β_T kT n dt/(3 V₀ τ)

with scaled positions and momenta held fixed: r → r exp(ε), v → v exp(−ε); where the centre of mass
is at rest, g has 2 in place of 1. It is accepted by the rule of Metropolis and Hastings, which
takes one evaluation. A step too large lowers the acceptance, but no average is wrong.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from .forces import Forces
from .members import Members
from .random import generator
from .state import State

_ROOT = 0.5**0.5

_AXES = np.array([np.diag(row) for row in np.eye(3)])
_SHEARS = np.zeros((3, 3, 3))
for _index, (_i, _j) in enumerate(((1, 2), (0, 2), (0, 1))):
    _SHEARS[_index, _i, _j] = _SHEARS[_index, _j, _i] = _ROOT

STRAINS = {
    "isotropic": np.eye(3)[None] / 3.0**0.5,
    "anisotropic": _AXES,
    "full": np.concatenate([_AXES, _SHEARS]),
}
"""Orthonormal symmetric matrices that span the strains of each kind of cell."""


class Barostat:
    """Changes of the cells of all systems.

    Args:
        members: The systems.
        forces: The potential.
    """

    def __init__(self, members: Members, forces: Forces) -> None:
        self._members, self._forces = members, forces
        first = members.settings[0]
        self.interval = first.barostat_interval
        self._strains = torch.from_numpy(STRAINS[first.cell]).to(members.device)
        self._pressure = members.per_system([s.pressure for s in members.settings])
        # D must not follow the volume, or the measure would change with it.
        volumes = [abs(np.linalg.det(soft.cell)) for soft in members.systems]
        pace = members.per_system(
            [
                s.compressibility * self.interval * s.timestep / (3.0 * volume * s.barostat_time)
                for s, volume in zip(members.settings, volumes, strict=True)
            ]
        )
        self._diffusion = (pace * members.thermal_energy).unsqueeze(1)
        # At fixed scaled momenta, what is missing to 3N degrees of freedom is missing as 1/V.
        self._measure = 1.0 + members.missing_degrees / 3.0

    def __call__(self, state: State, wanted: frozenset[str]) -> State:
        """The state with the cells changed where that was accepted.

        Args:
            state: The state at the end of a step, with stresses.
            wanted: What to evaluate.
        """
        members, width = self._members, len(self._strains)
        draws = np.empty((members.n_systems, width + 1))
        for row, (settings, step) in enumerate(
            zip(members.settings, state.steps.tolist(), strict=True)
        ):
            source = generator(settings.seed, "barostat", step)
            draws[row, :width] = source.standard_normal(width)
            draws[row, width] = np.log(source.uniform())
        noise = torch.from_numpy(draws).to(members.device)
        diffusion = self._diffusion
        slopes = self._slopes(state, state.stresses)
        proposed = diffusion * slopes + torch.sqrt(2.0 * diffusion) * noise[:, :width]
        new, problems = self._strained(state, proposed, wanted)
        gain = self._log_density(new) - self._log_density(state)
        forward = (proposed - diffusion * slopes) ** 2
        backward = (proposed + diffusion * self._slopes(new, new.stresses)) ** 2
        gain = gain + ((forward - backward) / (4.0 * diffusion)).sum(1)
        taken = noise[:, width] < gain
        taken[list(problems)] = False
        return self._merged(state, new, taken)

    def _strained(
        self, state: State, strains: Tensor, wanted: frozenset[str]
    ) -> tuple[State, tuple[int, ...]]:
        members = self._members
        matrices = torch.einsum("sk,kab->sab", strains, self._strains)
        deformations = torch.linalg.matrix_exp(matrices)
        of_sites = members.spread(deformations)
        inverses = members.spread(torch.linalg.matrix_exp(-matrices))
        # Around the centroid, which changes nothing but keeps unwrapped positions together.
        centres = members.spread(members.sum(state.positions) / members.site_counts)
        inside = state.positions - centres
        positions = centres + (inside.unsqueeze(1) @ of_sites).squeeze(1)
        velocities = (state.velocities.unsqueeze(1) @ inverses).squeeze(1)
        cells = state.cells @ deformations
        out = self._forces.evaluate(positions, cells, state.theta, state.lambdas, wanted)
        new = replace(
            state,
            positions=positions,
            velocities=velocities,
            cells=cells,
            forces=out.forces,
            energies=out.energies,
            stresses=out.stresses,
            slopes=out.slopes,
        )
        return new, tuple(out.problems)

    def _slopes(self, state: State, stresses: Tensor) -> Tensor:
        """The drift g along the allowed strains, shape (n_systems, n_strains)."""
        members = self._members
        volumes = torch.linalg.det(state.cells).abs().reshape(-1, 1, 1)
        one = torch.eye(3, dtype=torch.float64, device=members.device)
        kinetic = members.kinetic_tensors(state.velocities, state.masses)
        work = volumes * (stresses + self._pressure.reshape(-1, 1, 1) * one) - kinetic
        slopes = self._measure.reshape(-1, 1, 1) * one - work / members.thermal_energy.reshape(
            -1, 1, 1
        )
        return torch.einsum("sab,kab->sk", slopes, self._strains)

    def _log_density(self, state: State) -> Tensor:
        members = self._members
        volumes = torch.linalg.det(state.cells).abs()
        energies = state.energies + members.kinetic(state.velocities, state.masses)
        enthalpies = energies + self._pressure * volumes
        return self._measure * torch.log(volumes) - enthalpies / members.thermal_energy

    def _merged(self, old: State, new: State, taken: Tensor) -> State:
        members = self._members
        sites = members.spread(taken).unsqueeze(1)
        boxes = taken.reshape(-1, 1, 1)
        energies = torch.where(taken, new.energies, old.energies)
        velocities = torch.where(sites, new.velocities, old.velocities)
        change = members.kinetic(velocities, old.masses) - members.kinetic(
            old.velocities, old.masses
        )
        return replace(
            old,
            positions=torch.where(sites, new.positions, old.positions),
            velocities=velocities,
            forces=torch.where(sites, new.forces, old.forces),
            cells=torch.where(boxes, new.cells, old.cells),
            energies=energies,
            stresses=torch.where(boxes, new.stresses, old.stresses),
            slopes=torch.where(taken, new.slopes, old.slopes),
            heats=old.heats + energies - old.energies + change,
            accepted=old.accepted + taken.to(torch.float64),
        )
