"""What can be sampled along a trajectory, and how its columns are declared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch

from ..errors import OptionError, suggest
from ..potentials.options import check_whole
from ..table_columns import Column
from ..tables import arrow_schema
from .forces import Forces
from .members import Members
from .state import State

TABLE, VERSION = "dynamics_samples", 1


class Quantity(NamedTuple):
    """One thing to sample.

    Attributes:
        columns: Its columns.
        needs: Property that the potential has to be asked for, or empty.
        is_list: Whether its one column holds a list of numbers.
    """

    columns: tuple[Column, ...]
    needs: str = ""
    is_list: bool = False


def _real(name: str, unit: str, description: str) -> Column:
    return Column(name, "real", unit, description)


def _components(stem: str, axes: Sequence[str], ending: str, unit: str, what: str) -> Any:
    return tuple(_real(f"{stem}_{axis}_{ending}", unit, f"{axis} {what}") for axis in axes)


_VOIGT = {"xx": (0, 0), "yy": (1, 1), "zz": (2, 2), "yz": (1, 2), "xz": (0, 2), "xy": (0, 1)}
_CELL = [f"{vector}{axis}" for vector in "abc" for axis in "xyz"]
_FLUX = "ev_ang_per_fs"

QUANTITIES: dict[str, Quantity] = {
    "energy": Quantity((_real("energy_ev", "eV", "potential energy"),)),
    "kinetic": Quantity((_real("kinetic_ev", "eV", "kinetic energy"),)),
    "temperature": Quantity((_real("temperature_k", "K", "2 K/(n k) of n degrees of freedom"),)),
    "pressure": Quantity(
        (_real("pressure_ev_per_ang3", "eV/Å³", "(Σ m v²/V − tr σ)/3, kinetic part included"),),
        "stress",
    ),
    "stress": Quantity(
        _components("stress", list(_VOIGT), "ev_per_ang3", "eV/Å³", "component of (dE/dε)/V"),
        "stress",
    ),
    "cell": Quantity(_components("cell", _CELL, "ang", "Å", "component of a lattice vector")),
    "volume": Quantity((_real("volume_ang3", "Å³", "volume of the cell"),)),
    "heat_flux": Quantity(
        (
            *_components("heat_flux", "xyz", _FLUX, "eV Å/fs", "component of J, not divided by V"),
            *_components(
                "convective_heat_flux", "xyz", _FLUX, "eV Å/fs", "component of the convective part"
            ),
        ),
        "heat_flux",
    ),
    "species_currents": Quantity(
        (
            _real(
                "species_currents_ang_per_fs",
                "Å/fs",
                "x, y, z of Σ w v of every species, by atomic number",
            ),
        ),
        is_list=True,
    ),
    "lambda": Quantity((_real("lambda", "1", "λ of the schedule"),)),
    "de_dlambda": Quantity(
        (_real("de_dlambda_ev", "eV", "derivative of the energy by λ"),), "weight_gradient"
    ),
    "work": Quantity((_real("work_ev", "eV", "work done by the schedule so far"),)),
    "heat": Quantity(
        (_real("heat_ev", "eV", "energy taken in from thermostat and barostat so far"),)
    ),
    "conserved": Quantity(
        (_real("conserved_ev", "eV", "energy + kinetic − work − heat: constant but for dt"),)
    ),
    "weights": Quantity((_real("weights", "1", "weights θ"),), is_list=True),
    "positions": Quantity(
        (_real("positions_ang", "Å", "x, y, z of every site, not wrapped"),), is_list=True
    ),
    "velocities": Quantity(
        (_real("velocities_ang_per_fs", "Å/fs", "x, y, z of every site"),), is_list=True
    ),
    "forces": Quantity(
        (_real("forces_ev_per_ang", "eV/Å", "x, y, z of every site"),), is_list=True
    ),
}
"""Everything that can be sampled, by name."""

INDEX = (
    Column("system", "text", "", "name of the system"),
    Column("step", "whole", "1", "steps since the start"),
    Column("time_fs", "real", "fs", "time since the start"),
)
"""Columns of every table of samples; system and step identify a row."""


@dataclass(frozen=True)
class Observer:
    """Something to sample every few steps.

    Attributes:
        name: Name of the table it fills.
        quantities: Names from :data:`QUANTITIES`.
        every: Steps from one sample to the next; step 0 is sampled too.
    """

    name: str
    quantities: tuple[str, ...]
    every: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.replace("-", "").isidentifier():
            raise OptionError(
                f"observer: name must be made of letters, digits, '-' and '_', got {self.name!r}"
            )
        if self.name == "frames":
            raise OptionError("observer: 'frames' is what whole structures are called: rename it")
        if isinstance(self.quantities, str) or not isinstance(self.quantities, Sequence):
            raise OptionError(
                f"observer '{self.name}': quantities must be a list of names such as ('energy',), "
                f"got {self.quantities!r}"
            )
        object.__setattr__(self, "quantities", tuple(self.quantities))
        for quantity in self.quantities:
            if quantity not in QUANTITIES:
                raise OptionError(
                    f"observer '{self.name}': unknown quantity '{quantity}': "
                    f"{suggest(quantity, QUANTITIES)}"
                )
        if not self.quantities or len(set(self.quantities)) < len(self.quantities):
            raise OptionError(
                f"observer '{self.name}': quantities must be at least one, each once, "
                f"got {self.quantities!r}"
            )
        every = check_whole(self.every, f"observer '{self.name}': every", least=1)
        object.__setattr__(self, "every", every)

    def is_due(self, step: int) -> bool:
        """Whether it samples at a step."""
        return step % self.every == 0

    @property
    def needs(self) -> frozenset[str]:
        """Properties that the potential has to be asked for."""
        return frozenset(QUANTITIES[name].needs for name in self.quantities) - {""}

    @cached_property
    def schema(self) -> pa.Schema:
        """Its columns as Arrow fields, with units in their metadata."""
        fields = list(arrow_schema(INDEX))
        for name in self.quantities:
            quantity = QUANTITIES[name]
            own = list(arrow_schema(quantity.columns))
            fields += (
                [f.with_type(pa.list_(pa.float64())) for f in own] if quantity.is_list else own
            )
        return pa.schema(fields)

    def sample(
        self, state: State, members: Members, forces: Forces, names: Sequence[str]
    ) -> pa.RecordBatch:
        """One row per system.

        Args:
            state: Where they are.
            members: The systems.
            forces: The potential, for the heat flux.
            names: Name of each.
        """
        steps = state.steps
        times = steps * np.array([s.timestep for s in members.settings])
        arrays: list[Any] = [pa.array(names), pa.array(steps), pa.array(times)]
        for name in self.quantities:
            values = _values(name, state, members, forces)
            if QUANTITIES[name].is_list:
                arrays.append(pa.array(values, type=pa.list_(pa.float64())))
            else:
                columns = np.asarray(values).reshape(members.n_systems, -1)
                arrays += [pa.array(columns[:, index]) for index in range(columns.shape[1])]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def check_observers(given: Any) -> tuple[Observer, ...]:
    """The observers as a tuple.

    Raises:
        OptionError: If they are no observers, or two have one name.
    """
    observers = (given,) if isinstance(given, Observer) else given
    if not isinstance(observers, Sequence) or not all(isinstance(o, Observer) for o in observers):
        raise OptionError(f"observers must be a list of Observer(...), got {given!r}")
    names = [observer.name for observer in observers]
    if len(set(names)) < len(names):
        raise OptionError(f"observers must have different names, got {names}")
    return tuple(observers)


def _values(name: str, state: State, members: Members, forces: Forces) -> Any:
    """Values of one quantity: an array with one row per system, or a list of arrays."""
    of_sites: Mapping[str, torch.Tensor] = {
        "positions": state.positions,
        "velocities": state.velocities,
        "forces": state.forces,
    }
    if name in of_sites:
        parts = np.split(of_sites[name].cpu().numpy(), members.batch.site_offsets[1:])
        return [part.ravel() for part in parts]
    if name == "species_currents":
        return _species_currents(state, members)
    if name == "weights":
        ends = np.cumsum(members.batch.parameter_counts)[:-1]
        return np.split(state.theta.cpu().numpy(), ends)
    return _of_systems(name, state, members, forces).cpu().numpy()


def _species_currents(state: State, members: Members) -> list[np.ndarray[Any, Any]]:
    """Σ w v of every species, one flat array per system."""
    batch = members.batch
    weights = batch.node_weights(state.theta).unsqueeze(1)
    moving = (weights * state.velocities.index_select(0, batch.node_site)).cpu().numpy()
    parts = zip(
        np.split(moving, np.cumsum(batch.node_counts)[:-1]),
        np.split(batch.numbers.cpu().numpy(), np.cumsum(batch.node_counts)[:-1]),
        strict=True,
    )
    currents = []
    for own, numbers in parts:
        species, which = np.unique(numbers, return_inverse=True)
        sums = np.zeros((len(species), 3))
        np.add.at(sums, which, own)
        currents.append(sums.ravel())
    return currents


def _of_systems(name: str, state: State, members: Members, forces: Forces) -> torch.Tensor:
    kinetic = members.kinetic(state.velocities, state.masses)
    volumes = torch.linalg.det(state.cells).abs()
    if name == "temperature":
        return members.temperatures(kinetic)
    if name == "pressure":
        traces = state.stresses.diagonal(dim1=1, dim2=2).sum(1)
        return (2.0 * kinetic / volumes - traces) / 3.0
    if name == "stress":
        return torch.stack([state.stresses[:, i, j] for i, j in _VOIGT.values()], dim=1)
    if name == "heat_flux":
        fluxes = forces.heat_flux(state.positions, state.cells, state.theta, state.velocities)
        return torch.cat(fluxes, dim=1)
    if name == "conserved":
        return state.energies + kinetic - state.works - state.heats
    return {
        "energy": state.energies,
        "kinetic": kinetic,
        "cell": state.cells.flatten(1),
        "volume": volumes,
        "lambda": state.lambdas,
        "de_dlambda": state.slopes,
        "work": state.works,
        "heat": state.heats,
    }[name]
