"""Section ``active_learning``: rounds of exploration, selection, labels and training."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from .base import Identifier, Key, PositiveFloat, PositiveInt, Problem, Section, repeated
from .generators import Parent, PositiveFloats

KINDS = ("dynamics",)
"""Ways to explore, of which an exploration has exactly one."""

FEWEST_MODELS = 2
"""Models that it takes to disagree."""

BAROSTAT_INTERVAL = 10
"""Steps between changes of the cell."""

UNITS = {"largest_force": "eV/Å", "mean_force": "eV/Å", "energy": "eV/atom"}
"""Measures of uncertainty and their units."""

Measure = Literal["largest_force", "mean_force", "energy"]


class Uncertainty(Section):
    """How far the models of the ensemble disagree about a structure, and what that leads to."""

    measure: Measure = Field(
        "largest_force",
        description="Standard deviation between models: largest_force and mean_force: of the "
        "forces, largest and mean over atoms, in eV/Å; energy: of the energy in eV/atom.",
    )
    lower: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        0.0, description="Below this a structure is not worth a label; unit of the measure."
    )
    upper: PositiveFloat = Field(
        description="Above this a structure counts as unphysical, and the exploration of this "
        "trajectory ends; unit of the measure."
    )

    @property
    def unit(self) -> str:
        """Unit of the measure."""
        return UNITS[self.measure]

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        if self.lower < self.upper:
            return []
        message = f"must be above 'lower', which is {self.lower:g}, got {self.upper:g}"
        return [Problem((*key, "upper"), message)]


class ExploringDynamics(Section):
    """Molecular dynamics driven by the first model of the ensemble, all trajectories in a batch."""

    temperatures_k: PositiveFloats = Field(
        [300.0, 1000.0], min_length=1, description="Temperatures in K."
    )
    replicas: PositiveInt = Field(1, description="Trajectories at each temperature.")
    snapshots: PositiveInt = Field(20, description="Structures looked at in each trajectory.")
    every: PositiveInt = Field(50, description="Steps between them.")
    timestep_fs: PositiveFloat = Field(2.0, le=20, description="Step in fs.")
    friction_per_fs: PositiveFloat = Field(0.01, description="Friction of the thermostat in 1/fs.")
    cell: Literal["fixed", "isotropic", "anisotropic", "full"] = Field(
        "fixed", description="How the cell may move at constant pressure; or not at all."
    )
    pressure_gpa: Annotated[float, Field(allow_inf_nan=False)] = Field(
        0.0, description="Pressure in GPa of a cell that moves."
    )

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        found: list[Problem] = []
        if self.cell == "fixed" and self.pressure_gpa != 0.0:
            found.append(
                Problem((*key, "pressure_gpa"), "does nothing to a fixed cell: set 'cell'")
            )
        if self.cell != "fixed" and self.every < BAROSTAT_INTERVAL:
            message = f"must be at least {BAROSTAT_INTERVAL} if the cell moves, got {self.every}"
            found.append(Problem((*key, "every"), message))
        return found


class Exploration(Section):
    """One search for structures that the models do not know."""

    name: Identifier = Field(description="Name; frames and groups carry it.")
    parent: Parent | None = Field(None, description="The structure to start from.")
    missing: Annotated[int, Field(ge=0)] = Field(
        0, description="Atoms of the parent that are left out, at random in each trajectory."
    )
    frames: str | None = Field(
        None,
        description="Instead of parent: group or pattern, such as 'cu110-o*', of training frames "
        "to start from, one drawn for each trajectory.",
    )
    dynamics: ExploringDynamics | None = Field(None, description="By molecular dynamics.")

    @property
    def kind(self) -> str:
        """Which of :data:`KINDS` it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        found: list[Problem] = []
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            found.append(Problem(key, f"needs one of: {', '.join(KINDS)}"))
        if (self.parent is None) == (self.frames is None):
            found.append(Problem(key, "needs either 'parent' or 'frames', not both or none"))
        if self.parent is not None:
            found += self.parent.problems((*key, "parent"))
        elif self.missing:
            found.append(Problem((*key, "missing"), "goes with 'parent' only"))
        if self.dynamics is not None:
            found += self.dynamics.problems((*key, "dynamics"))
        return found


class ActiveLearning(Section):
    """Rounds of exploration, selection, labels and training after the first training."""

    rounds: PositiveInt = Field(le=10, description="Rounds after the first training.")
    per_round: PositiveInt = Field(description="Structures labelled in each round at most.")
    explore: list[Exploration] = Field(min_length=1, description="Where to look.")
    uncertainty: Uncertainty = Field(description="What the models do not know.")
    closest: PositiveFloat = Field(
        0.6,
        le=1,
        description="Shortest distance over the sum of covalent radii; a trajectory that comes "
        "below it ends, as networks may agree about atoms in one place.",
    )
    choose: Literal["uncertain", "random"] = Field(
        "uncertain",
        description="uncertain: what the models agree least about; random: any structure between "
        "the limits, as a control.",
    )
    pool: PositiveInt = Field(
        3,
        le=100,
        description="Uncertain structures per structure to label; those farthest from each other "
        "are labelled. 1 takes the most uncertain ones, however alike.",
    )
    validation: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.1,
        description="Share of the trajectories of each round, rounded, whose frames validate; the "
        "others train.",
    )
    start: Literal["scratch", "previous"] = Field(
        "scratch",
        description="scratch: each training starts as the first one did; previous: it goes on from "
        "the models of the round before.",
    )
    epochs: PositiveInt | None = Field(
        None, description="Epochs of each round; those of the section training if empty."
    )

    def values(self) -> dict[str, Any]:
        """Everything the result of a round depends on; it does not know how many will follow."""
        return self.model_dump(mode="json", exclude={"rounds"})

    def files(self) -> list[str]:
        """Files of structures that explorations start from, sorted."""
        parents = [one.parent for one in self.explore]
        return sorted({parent.file for parent in parents if parent and parent.file})

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        found = repeated([one.name for one in self.explore], (*key, "explore"))
        for index, one in enumerate(self.explore):
            found += one.problems((*key, "explore", index))
        return found + self.uncertainty.problems((*key, "uncertainty"))
