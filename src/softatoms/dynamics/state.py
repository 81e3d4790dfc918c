"""The state of all systems laid end to end, and what one system's part of it is."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .members import Members
from .random import generator

OF_SITES = ("positions", "velocities", "forces", "masses")
OF_SYSTEMS = (
    *("cells", "energies", "stresses", "lambdas", "slopes"),
    *("works", "heats", "accepted"),
)


@dataclass(frozen=True)
class State:
    """Where all systems of a batch stand; never written to.

    All tensors are float64 on the device of the run.

    Attributes:
        positions: In Å, never wrapped into the cell, shape (n_sites, 3).
        velocities: In Å/fs, shape (n_sites, 3).
        forces: In eV/Å, shape (n_sites, 3).
        masses: In amu, shape (n_sites, 1).
        cells: In Å, shape (n_systems, 3, 3).
        theta: Weights of all systems, shape (n_parameters,).
        energies: In eV, shape (n_systems,).
        stresses: (dE/dε)/V in eV/Å³, shape (n_systems, 3, 3); nan where nobody wanted it.
        lambdas: λ of each schedule, shape (n_systems,); 0 without one.
        slopes: dE/dλ in eV, shape (n_systems,); nan where nobody wanted it.
        works: Work done by the schedule so far in eV, shape (n_systems,).
        heats: Energy taken in from thermostat and barostat so far in eV, shape (n_systems,).
        accepted: Changes of the cell that were accepted so far, shape (n_systems,).
        steps: Steps of each system, shape (n_systems,), int64, on the host.
    """

    positions: Tensor
    velocities: Tensor
    forces: Tensor
    masses: Tensor
    cells: Tensor
    theta: Tensor
    energies: Tensor
    stresses: Tensor
    lambdas: Tensor
    slopes: Tensor
    works: Tensor
    heats: Tensor
    accepted: Tensor
    steps: NDArray[np.int64]

    def keep(self, members: Members, chosen: NDArray[np.bool_]) -> State:
        """Only some systems.

        Args:
            members: All systems.
            chosen: Which to keep, shape (n_systems,).
        """
        systems = torch.from_numpy(chosen).to(self.positions.device)
        sites = members.spread(systems)
        parameters = systems.index_select(0, members.parameter_system)
        return replace(
            self,
            **{name: getattr(self, name)[sites] for name in OF_SITES},
            **{name: getattr(self, name)[systems] for name in OF_SYSTEMS},
            theta=self.theta[parameters],
            steps=self.steps[chosen],
        )

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name."""
        return {
            entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "steps"
        }


class Snapshot(NamedTuple):
    """One system at the end of a step.

    Attributes:
        positions: In Å, shape (n_sites, 3).
        velocities: In Å/fs, shape (n_sites, 3).
        cell: In Å, shape (3, 3).
        theta: Weights, shape (n_parameters,).
        energy: In eV.
        kinetic: Kinetic energy in eV.
        work: Work done by the schedule in eV.
        heat: Energy taken in from thermostat and barostat in eV.
        accepted: Changes of the cell that were accepted.
        step: Number of steps.
    """

    positions: NDArray[np.float64]
    velocities: NDArray[np.float64]
    cell: NDArray[np.float64]
    theta: NDArray[np.float64]
    energy: float
    kinetic: float
    work: float
    heat: float
    accepted: int
    step: int


def snapshots(state: State, members: Members) -> list[Snapshot]:
    """Every system of a state by itself."""
    kinetic = members.kinetic(state.velocities, state.masses)
    # One transfer per quantity, not one per system.
    columns = [
        part.cpu().numpy()
        for part in (state.energies, kinetic, state.works, state.heats, state.accepted)
    ]
    cells = state.cells.cpu().numpy()
    sites = [
        np.split(part.cpu().numpy(), np.cumsum(members.batch.site_counts)[:-1])
        for part in (state.positions, state.velocities)
    ]
    theta = np.split(state.theta.cpu().numpy(), np.cumsum(members.batch.parameter_counts)[:-1])
    return [
        Snapshot(
            positions=sites[0][row].copy(),
            velocities=sites[1][row].copy(),
            cell=cells[row].copy(),
            theta=theta[row].copy(),
            energy=float(columns[0][row]),
            kinetic=float(columns[1][row]),
            work=float(columns[2][row]),
            heat=float(columns[3][row]),
            accepted=int(columns[4][row]),
            step=int(state.steps[row]),
        )
        for row in range(members.n_systems)
    ]


def starting_velocities(members: Members, masses: Tensor) -> Tensor:
    """Velocities of the structures, or drawn where they have none, in Å/fs, shape (n_sites, 3).

    They are drawn from the canonical distribution: the kinetic energy of one draw is not exactly
    its mean. Without a temperature a system without velocities is at rest.
    """
    parts = []
    for soft, settings in zip(members.systems, members.settings, strict=True):
        if soft.velocities is not None:
            parts.append(soft.velocities)
        elif settings.temperature is None:
            parts.append(np.zeros((len(soft), 3)))
        else:
            draws = generator(settings.seed, "velocities", 0).standard_normal((len(soft), 3))
            parts.append(draws)
    velocities = torch.from_numpy(np.concatenate(parts)).to(masses.device)
    pairs = zip(members.systems, members.settings, strict=True)
    are_drawn = [soft.velocities is None and s.temperature is not None for soft, s in pairs]
    drawn = torch.tensor(are_drawn, device=masses.device)
    thermal = velocities * members.thermal_speeds(masses)
    velocities = torch.where(members.spread(drawn).unsqueeze(1), thermal, velocities)
    return members.constrained(velocities, masses)
