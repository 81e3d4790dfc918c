"""Stochastic velocity rescaling (Bussi, Donadio and Parrinello, J. Chem. Phys. 126, 014101 (2007)).

After every step of velocity Verlet the kinetic energy K of n degrees of freedom is propagated
exactly over dt towards its canonical distribution, and all velocities are multiplied by

    α² = c + (1 − c) (R₁² + S) K̄/(n K) + 2 R₁ √(c (1 − c) K̄/(n K)),  c = e^(−dt/τ), K̄ = n kT/2

with R₁ normal and S a sum of n − 1 squared normal numbers.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from .members import Members
from .random import generator
from .state import State


class Rescaling:
    """Exact propagation of kinetic energies.

    Args:
        members: The systems.
    """

    def __init__(self, members: Members) -> None:
        self._members = members
        kept = [np.exp(-s.timestep / s.relaxation_time) for s in members.settings]
        self._kept = members.per_system(kept)

    def __call__(self, state: State) -> State:
        """The state with rescaled velocities.

        Args:
            state: The state at the end of a step of velocity Verlet.
        """
        members, kept = self._members, self._kept
        draws = np.empty((members.n_systems, 2))
        for row, (settings, step) in enumerate(
            zip(members.settings, state.steps.tolist(), strict=True)
        ):
            source = generator(settings.seed, "thermostat", step)
            draws[row, 0] = source.standard_normal()
            draws[row, 1] = 2.0 * source.standard_gamma(0.5 * (members.n_degrees[row] - 1))
        normal, others = torch.from_numpy(draws).to(members.device).unbind(1)
        kinetic = members.kinetic(state.velocities, state.masses)
        # Nothing can be said of the direction of velocities that are all 0: they stay.
        moving = kinetic > 0.0
        part = 0.5 * members.thermal_energy / torch.where(moving, kinetic, torch.ones_like(kinetic))
        along = torch.sqrt(kept) + normal * torch.sqrt((1.0 - kept) * part)
        squared = along * along + (1.0 - kept) * others * part
        # The component along the old direction keeps its sign.
        factors = torch.where(moving, torch.sqrt(squared) * torch.sign(along), 1.0)
        velocities = state.velocities * members.spread(factors).unsqueeze(1)
        return replace(
            state,
            velocities=velocities,
            heats=state.heats + kinetic * (squared - 1.0) * moving,
        )
