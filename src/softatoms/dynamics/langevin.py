"""The Langevin thermostat of BAOAB (Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34).

In the middle of the step velocities go through an Ornstein–Uhlenbeck process, exactly:

    v ← e^(−γ dt) v + √(1 − e^(−2γ dt)) √(kT/m) ξ

Configurations of a harmonic system are sampled without any error of the time step.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .members import Members
from .random import generator
from .state import State


class Langevin:
    """Ornstein–Uhlenbeck process of all velocities.

    Args:
        members: The systems.
    """

    def __init__(self, members: Members) -> None:
        self._members = members
        decays = members.per_system([-s.friction * s.timestep for s in members.settings])
        self._kept = members.spread(torch.exp(decays)).unsqueeze(1)
        self._added = members.spread(torch.sqrt(-torch.expm1(2.0 * decays))).unsqueeze(1)

    def __call__(self, velocities: Tensor, state: State, masses: Tensor) -> Tensor:
        """See :class:`softatoms.dynamics.verlet.Bath`."""
        members = self._members
        draws = [
            generator(s.seed, "thermostat", step).standard_normal((count, 3))
            for s, step, count in zip(
                members.settings, state.steps.tolist(), members.batch.site_counts, strict=True
            )
        ]
        noise = torch.from_numpy(np.concatenate(draws)).to(members.device)
        thermal = members.thermal_speeds(masses) * noise
        return members.constrained(self._kept * velocities + self._added * thermal, masses)
