"""The one step that all integrators share.

B A S O A B, with B: half a step of the forces (kick), A: half a step of the velocities (drift),
S: the weights go on to their next values, O: a thermostat may act on the velocities. Without S and
O this is velocity Verlet, with a Langevin thermostat in O it is BAOAB. The potential is called
once, before the last B.

The work of a schedule is summed by the trapezoidal rule over the same points at which the forces
are known, W += ½ (dE/dλ|ₙ + dE/dλ|ₙ₊₁) (λₙ₊₁ − λₙ). Both it and the step are symmetric in time, so
ΔH − W vanishes as dt². Where masses follow weights, momenta stay what they are, and the change of
the kinetic energy is added to the work exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from torch import Tensor

from .forces import Forces
from .guards import Guards
from .members import Members
from .state import State


class Bath(Protocol):
    """A thermostat in the middle of a step."""

    def __call__(self, velocities: Tensor, state: State, masses: Tensor) -> Tensor:
        """New velocities in Å/fs, shape (n_sites, 3), at the given masses."""


def propagate(
    state: State,
    members: Members,
    forces: Forces,
    guards: Guards,
    wanted: frozenset[str],
    bath: Bath | None = None,
) -> tuple[State, Mapping[int, str]]:
    """One step of all systems.

    Args:
        state: Where they are.
        members: What stays the same.
        forces: The potential.
        guards: Limits that positions must keep before they are evaluated.
        wanted: What to evaluate at the end of the step.
        bath: Thermostat in the middle of the step, or None.

    Returns:
        Where they are then, and the problems of systems that could not be moved, by row.
    """
    steps = state.steps + 1
    velocities = state.velocities + members.kicks(state.forces, state.masses)
    positions = state.positions + members.half_step * velocities
    lambdas, theta, masses, works = state.lambdas, state.theta, state.masses, state.works
    if members.switches:
        lambdas = members.lambdas(steps)
        theta = members.theta(lambdas)
        if members.masses_change:
            masses = members.masses_at(theta)
            before = members.kinetic(velocities, state.masses)
            velocities = velocities * (state.masses / masses)
            works = works + members.kinetic(velocities, masses) - before
    heats = state.heats
    if bath is not None:
        before = members.kinetic(velocities, masses)
        velocities = bath(velocities, state, masses)
        heats = heats + members.kinetic(velocities, masses) - before
    positions = positions + members.half_step * velocities
    positions, problems = guards.check_moves(state.positions, positions)
    out = forces.evaluate(positions, state.cells, theta, lambdas, wanted)
    if members.switches:
        works = works + 0.5 * (state.slopes + out.slopes) * (lambdas - state.lambdas)
    moved = replace(
        state,
        positions=positions,
        velocities=velocities + members.kicks(out.forces, masses),
        forces=out.forces,
        masses=masses,
        theta=theta,
        energies=out.energies,
        stresses=out.stresses,
        lambdas=lambdas,
        slopes=out.slopes,
        works=works,
        heats=heats,
        steps=steps,
    )
    return moved, {**out.problems, **problems}
