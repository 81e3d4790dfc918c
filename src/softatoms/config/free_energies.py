"""Section ``free_energies``: vacancies and changes of composition at temperatures."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field

from ..errors import suggest
from .base import (
    FiniteFloat,
    Identifier,
    Key,
    PositiveFloat,
    PositiveInt,
    Problem,
    Section,
    element_problem,
    repeated,
)
from .physics import Crystal, Repeat

Quantity = Literal["vacancy", "composition_change"]
Method = Literal["alchemical", "frenkel_ladd", "harmonic", "static"]
CellKind = Literal["static", "isotropic", "anisotropic", "full"]

SAMPLED = ("alchemical", "frenkel_ladd")
"""Methods that need molecular dynamics."""

FEWEST_DRAWS = 50
"""Bootstrap samples that know a standard error to a tenth."""

Whole = Annotated[int, Field(ge=0)]
AtLeastTwo = Annotated[int, Field(ge=2)]


class Equilibration(Section):
    """How crystals are brought to their mean cell, and how far their sites move there."""

    cell: CellKind = Field(
        "isotropic",
        description="What is averaged at constant pressure; static keeps the cell at rest.",
    )
    steps: Whole = Field(
        5_000, description="Steps before sampling, at constant pressure and in the mean cell."
    )
    sampling_steps: PositiveInt = Field(10_000, description="Steps of sampling, likewise twice.")
    replicas: AtLeastTwo = Field(4, description="Independent runs.")
    sample_every: PositiveInt = Field(10, description="Steps between samples.")
    barostat_fs: PositiveFloat = Field(500.0, description="Relaxation time of the volume, fs.")
    compressibility_ang3_per_ev: PositiveFloat = Field(
        1.0, description="Estimate that sets the pace of the barostat, Å³/eV (copper 1)."
    )

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        if self.sampling_steps < 4 * self.sample_every:
            message = f"must be at least four times sample_every, {4 * self.sample_every}"
            return [Problem((*key, "sampling_steps"), message)]
        return []


class SwitchingRuns(Section):
    """How replicas are led from one end to the other."""

    timestep_fs: PositiveFloat = Field(2.0, description="Timestep of all dynamics, fs.")
    friction_per_fs: PositiveFloat = Field(
        0.01, description="Friction of the Langevin thermostat, 1/fs."
    )
    equilibration_steps: Whole = Field(5_000, description="Steps at the end where a run starts.")
    steps: PositiveInt = Field(10_000, description="Steps from one end to the other.")
    replicas: AtLeastTwo = Field(4, description="Runs in each direction.")
    function: Literal["smooth", "linear"] = Field(
        "smooth", description="How λ goes with time; smooth is flat at both ends."
    )


class Target(Section):
    """More and longer runs until free energies are good enough."""

    stderr_ev: PositiveFloat = Field(
        description="Standard error of the ΔF of each path that is enough, eV."
    )
    budget_steps: PositiveInt = Field(
        description="Steps of all replicas together that a path may take at one temperature."
    )
    most_rounds: PositiveInt = Field(8, description="Most rounds of more or longer runs.")


class FreeEnergyRun(Section):
    """One free energy of one crystal at several temperatures."""

    crystal: Crystal = Field(description="The crystal, by name or from a file.")
    repeat: Repeat = Field(
        description="Supercell, in conventional cells of a prototype or cells of the file."
    )
    quantity: Quantity = Field(
        description="vacancy: of forming one; composition_change: per atom of the crystal, of "
        "turning elements into others."
    )
    site: Whole = Field(0, description="vacancy: site of the cell that is left empty.")
    changes: dict[str, str] = Field(
        default_factory=dict,
        description="composition_change: new element by element, such as {Pb: Sn}.",
    )
    share: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = Field(
        1.0, description="composition_change: part of these atoms, chosen at random by the seed."
    )
    temperatures_k: list[PositiveFloat] = Field(min_length=1, description="Temperatures, K.")
    methods: list[Method] = Field(
        ["alchemical", "frenkel_ladd", "harmonic", "static"],
        min_length=1,
        description="alchemical: atoms fade or turn into others; frenkel_ladd: crystals are turned "
        "into Einstein crystals; harmonic: vibrations; static: energies at rest.",
    )
    equilibration: Equilibration | None = Field(
        None, description="Instead of that of the section, for this run."
    )
    switching: SwitchingRuns | None = Field(
        None, description="Instead of that of the section, for this run."
    )

    def is_sampled(self) -> bool:
        """Whether there is molecular dynamics in it."""
        return any(method in SAMPLED for method in self.methods)

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        found = self.crystal.problems((*key, "crystal"))
        found += repeated(
            [f"{kelvin:g}" for kelvin in self.temperatures_k], (*key, "temperatures_k")
        )
        found += repeated(list(self.methods), (*key, "methods"))
        elements = self.crystal.elements
        if self.equilibration is not None:
            found += self.equilibration.problems((*key, "equilibration"))
        if self.quantity == "vacancy":
            if self.changes or self.share != 1.0:
                wrong = "changes" if self.changes else "share"
                message = "goes with the quantity 'composition_change' only"
                found.append(Problem((*key, wrong), message))
            if len(set(elements)) > 1:
                message = "must be one element for a vacancy: another goes to an unknown place"
                found.append(Problem((*key, "crystal", "elements"), message))
            return found
        if self.site:
            found.append(Problem((*key, "site"), "goes with the quantity 'vacancy' only"))
        if not self.changes:
            message = "is required for a composition_change, such as {Pb: Sn}"
            found.append(Problem((*key, "changes"), message))
        for old, new in self.changes.items():
            here = (*key, "changes", old)
            found += element_problem(old, here) + element_problem(new, here)
            if old == new:
                found.append(Problem(here, "must be another element"))
            elif elements and old not in elements:
                message = f"the crystal holds no {old}: {', '.join(elements)}"
                found.append(Problem(here, message))
        return found


class PhaseStability(Section):
    """Two polymorphs whose composition is changed alike."""

    first: list[Identifier] = Field(
        min_length=1, description="Runs that change the first polymorph, to different shares."
    )
    second: list[Identifier] = Field(
        min_length=1, description="Runs that change the second polymorph, to the same shares."
    )
    reference_ev: FiniteFloat = Field(
        description="Free energy of the second minus the first polymorph before any change, "
        "eV/atom."
    )
    reference_stderr_ev: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        0.0, description="Its standard error, eV/atom."
    )


class FreeEnergies(Section):
    """Free energies of vacancies and of changes of composition."""

    runs: dict[Identifier, FreeEnergyRun] = Field(min_length=1, description="Runs by name.")
    equilibration: Equilibration = Field(
        default_factory=Equilibration, description="Mean cells and springs."
    )
    switching: SwitchingRuns = Field(default_factory=SwitchingRuns, description="Switching runs.")
    target: Target | None = Field(
        None, description="When to stop; every path is switched once if empty."
    )
    stability: dict[Identifier, PhaseStability] = Field(
        default_factory=dict, description="Polymorphs to compare, by name."
    )
    bootstrap: Whole = Field(
        500, le=100_000, description="Bootstrap samples of errors; analytic errors if 0."
    )
    temperatures_per_job: PositiveInt | None = Field(
        None,
        description="Temperatures of a run that one job computes in one batch; all if empty.",
    )
    checkpoint_minutes: PositiveFloat = Field(10.0, description="Minutes between checkpoints.")

    def jobs(self) -> list[tuple[str, tuple[float, ...]]]:
        """Run and temperatures of each job."""
        found = []
        for name, run in self.runs.items():
            size = self.temperatures_per_job or len(run.temperatures_k)
            count = math.ceil(len(run.temperatures_k) / size)
            for index in range(count):
                part = tuple(run.temperatures_k[index * size : (index + 1) * size])
                found.append((name, part))
        return found

    def n_shards(self) -> int:
        """Number of jobs."""
        return len(self.jobs())

    def files(self) -> list[str]:
        """Files that crystals come from, sorted."""
        runs = self.runs.values()
        return sorted({run.crystal.file for run in runs if run.crystal.file is not None})

    def equilibration_of(self, name: str) -> Equilibration:
        """How the crystal of a run is equilibrated."""
        return self.runs[name].equilibration or self.equilibration

    def switching_of(self, name: str) -> SwitchingRuns:
        """How replicas of a run are switched."""
        return self.runs[name].switching or self.switching

    def quantities(self) -> set[str]:
        """Quantities of all runs."""
        return {run.quantity for run in self.runs.values()}

    def is_sampled(self) -> bool:
        """Whether any run has molecular dynamics in it."""
        return any(run.is_sampled() for run in self.runs.values())

    def values(self) -> dict[str, Any]:
        """Everything in it that results depend on."""
        # How temperatures are shared out among jobs, and how often those save, changes no number.
        return self.model_dump(mode="json", exclude={"temperatures_per_job", "checkpoint_minutes"})

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        found = self.equilibration.problems((*key, "equilibration"))
        if 0 < self.bootstrap < FEWEST_DRAWS:
            message = f"must be 0 or at least {FEWEST_DRAWS}: the error of fewer is itself unknown"
            found.append(Problem((*key, "bootstrap"), message))
        for name, run in self.runs.items():
            here = (*key, "runs", name)
            found += run.problems(here)
            switching = self.switching_of(name)
            least = switching.equilibration_steps + switching.steps
            cost = 2 * switching.replicas * least
            if self.target is not None and run.is_sampled() and cost > self.target.budget_steps:
                message = f"must be at least {cost}, which the first round of '{name}' takes"
                found.append(Problem((*key, "target", "budget_steps"), message))
        for name, pair in self.stability.items():
            found += self._problems_of_stability(pair, (*key, "stability", name))
        return found

    def _problems_of_stability(self, pair: PhaseStability, key: Key) -> list[Problem]:
        found = []
        for side in ("first", "second"):
            for index, name in enumerate(getattr(pair, side)):
                here = (*key, side, index)
                if name not in self.runs:
                    hint = suggest(name, self.runs)
                    found.append(Problem(here, f"unknown run '{name}': {hint}"))
                elif self.runs[name].quantity != "composition_change":
                    found.append(Problem(here, f"'{name}' is no composition_change"))
                elif "alchemical" not in self.runs[name].methods:
                    found.append(Problem(here, f"'{name}' lacks the method 'alchemical'"))
        if found:
            return found
        shares = [
            sorted(self.runs[name].share for name in side) for side in (pair.first, pair.second)
        ]
        if shares[0] != shares[1] or len(set(shares[0])) < len(shares[0]):
            message = (
                "both polymorphs need runs to the same shares, each once; "
                f"got {shares[0]} and {shares[1]}"
            )
            return [Problem(key, message)]
        changes = [self.runs[name].changes for name in (*pair.first, *pair.second)]
        if any(each != changes[0] for each in changes):
            message = f"all its runs must make the same changes; got {changes}"
            return [Problem(key, message)]
        kelvins = [set(self.runs[name].temperatures_k) for name in (*pair.first, *pair.second)]
        if not set.intersection(*kelvins):
            return [Problem(key, "its runs have no temperature in common")]
        return []

    def uncovered(self, covered: tuple[str, ...], key: Key) -> list[Problem]:
        """A problem for every run with an element that a potential does not cover."""
        found = []
        for name, run in self.runs.items():
            wanted = {*run.crystal.elements, *run.changes.values()}
            missing = sorted(wanted - set(covered))
            if covered and missing:
                message = f"{', '.join(missing)} is not covered by the potential, which has "
                found.append(Problem((*key, "runs", name), message + ", ".join(covered)))
        return found
