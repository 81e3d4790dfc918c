"""Section ``optimisation``: compositions that meet targets, found by gradients."""

from __future__ import annotations

from typing import Annotated, Literal

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
from .physics import Crystal

TargetQuantity = Literal[
    "a",
    "b",
    "c",
    "in_plane",
    "volume",
    "bulk_modulus",
    "energy",
    "mixing_energy",
    "exchange_energy",
]
LENGTHS = ("a", "b", "c", "in_plane")
"""Quantities that a substrate may set."""

OptimisationMethod = Literal["newton", "exponentiated_gradient", "joint"]
Bound = Annotated[list[FiniteFloat], Field(min_length=2, max_length=2)]
ALLOWED_SUM = 1e-9
"""How far sums of bounds may be on the wrong side of 1 by rounding."""


class OptimisedSublattice(Section):
    """Sites that share one composition, which is sought."""

    replaces: str | None = Field(
        None, description="Element of the crystal on whose sites the elements are."
    )
    sites: list[Annotated[int, Field(ge=0)]] | None = Field(
        None, min_length=1, description="Instead of replaces: numbers of the sites, from 0."
    )
    elements: list[str] = Field(
        min_length=2, description="Elements that share the sites.", examples=[["Al", "Sc"]]
    )
    bounds: dict[str, Bound] = Field(
        default_factory=dict,
        description="Smallest and largest fraction of an element; 0 and 1 if not given.",
    )

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        found = repeated(self.elements, (*key, "elements"))
        for index, symbol in enumerate(self.elements):
            found += element_problem(symbol, (*key, "elements", index))
        if (self.replaces is None) == (self.sites is None):
            found.append(Problem(key, "needs either 'replaces' or 'sites', not both or none"))
        for symbol, (low, high) in self.bounds.items():
            here = (*key, "bounds", symbol)
            if symbol not in self.elements:
                hint = suggest(symbol, self.elements)
                found.append(Problem(here, f"is not among the elements of the sublattice: {hint}"))
            elif not 0.0 <= low <= high <= 1.0:
                message = f"must be two numbers 0 ≤ low ≤ high ≤ 1, got {low:g}, {high:g}"
                found.append(Problem(here, message))
        if not found:
            ends = [self.bounds.get(symbol, [0.0, 1.0]) for symbol in self.elements]
            low, high = (sum(end[k] for end in ends) for k in (0, 1))
            if low > 1.0 + ALLOWED_SUM or high < 1.0 - ALLOWED_SUM:
                message = f"leave nothing: fractions between them sum to {low:g} up to {high:g}"
                found.append(Problem((*key, "bounds"), message))
        return found


class OptimisationTarget(Section):
    """One term of the objective: a quantity of the relaxed crystal, and what it should be."""

    quantity: TargetQuantity = Field(
        description="a, b, c: lengths of the conventional cell in Å; in_plane: a and b together; "
        "volume in Å³ per site; bulk_modulus in GPa; energy in eV per site; mixing_energy: energy "
        "over that of the end members in eV per site; exchange_energy: change of the relaxed "
        "energy in eV as one site changes from the second to the first of two elements."
    )
    goal: Literal["match", "minimise", "maximise"] = Field(
        "match",
        description="match costs weight × ((quantity − value)/scale)², the others "
        "± weight × quantity/scale.",
    )
    value: FiniteFloat | None = Field(
        None, description="Value to match, in the unit of the quantity."
    )
    substrate: Crystal | None = Field(
        None,
        description="Instead of value, for lengths: a crystal that is relaxed with the same "
        "potential; the value is the length of its conventional cell.",
    )
    weight: PositiveFloat = Field(1.0, description="Factor of the term.")
    scale: PositiveFloat | None = Field(
        None,
        description="Deviation, in the unit of the quantity, that costs as much as the weight. "
        "By default 0.01 Å, 0.1 Å³, 1 GPa or 0.01 eV.",
    )
    exchanged: list[str] | None = Field(
        None, min_length=2, max_length=2, description="Two elements, for exchange_energy."
    )
    sublattice: str | None = Field(
        None, description="Where they are exchanged; needed if there are several sublattices."
    )

    def problems(self, key: Key, sublattices: dict[str, OptimisedSublattice]) -> list[Problem]:
        """What is wrong beyond types."""
        found: list[Problem] = []
        given = [name for name in ("value", "substrate") if getattr(self, name) is not None]
        if self.goal == "match" and len(given) != 1:
            either = "'value' or 'substrate'" if self.quantity in LENGTHS else "'value'"
            found.append(Problem(key, f"needs {either} to match"))
        elif self.goal != "match" and given:
            found.append(Problem((*key, given[0]), "goes with the goal 'match' only"))
        if self.substrate is not None:
            if self.quantity not in LENGTHS:
                message = f"gives {', '.join(LENGTHS)} only, not {self.quantity}"
                found.append(Problem((*key, "substrate"), message))
            found += self.substrate.problems((*key, "substrate"))
        if self.quantity == "in_plane" and self.goal != "match":
            found.append(Problem((*key, "goal"), "'in_plane' can only be matched"))
        if (self.exchanged is None) == (self.quantity == "exchange_energy"):
            message = "is required for exchange_energy and goes with nothing else"
            found.append(Problem((*key, "exchanged"), message))
        elif self.exchanged is not None:
            found += self._exchange_problems(self.exchanged, key, sublattices)
        elif self.sublattice is not None:
            found.append(Problem((*key, "sublattice"), "goes with exchange_energy only"))
        return found

    def _exchange_problems(
        self, exchanged: list[str], key: Key, sublattices: dict[str, OptimisedSublattice]
    ) -> list[Problem]:
        if self.sublattice is None and len(sublattices) > 1:
            return [Problem((*key, "sublattice"), f"is required: one of {', '.join(sublattices)}")]
        name = next(iter(sublattices)) if self.sublattice is None else self.sublattice
        if name not in sublattices:
            hint = suggest(name, sublattices)
            return [Problem((*key, "sublattice"), f"unknown sublattice '{name}': {hint}")]
        held = sublattices[name].elements
        return repeated(exchanged, (*key, "exchanged")) + [
            Problem((*key, "exchanged", index), f"is not on the sublattice: {suggest(e, held)}")
            for index, e in enumerate(exchanged)
            if e not in held
        ]


class OptimisationSearch(Section):
    """A crystal, the sublattices whose composition is sought, and the targets."""

    name: Identifier = Field(description="Name of the search in tables and figures.")
    crystal: Crystal = Field(description="Crystal to start from, its cell and positions included.")
    sublattices: dict[Identifier, OptimisedSublattice] = Field(
        min_length=1, description="Sublattices by name."
    )
    targets: list[OptimisationTarget] = Field(min_length=1, description="Terms of the objective.")
    supercell: list[PositiveInt] = Field(
        [2, 2, 2],
        min_length=3,
        max_length=3,
        description="Cells along each vector in the supercells that verify the result.",
    )

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        found = self.crystal.problems((*key, "crystal"))
        replaced: list[str] = []
        for name, own in self.sublattices.items():
            here = (*key, "sublattices", name)
            found += own.problems(here)
            held = self.crystal.elements
            if own.replaces is not None and held and own.replaces not in held:
                message = f"the crystal holds no {own.replaces}: {', '.join(held)}"
                found.append(Problem((*here, "replaces"), message))
            if own.replaces is not None and own.replaces in replaced:
                message = f"{own.replaces} is replaced by another sublattice already"
                found.append(Problem((*here, "replaces"), message))
            replaced += [] if own.replaces is None else [own.replaces]
        for index, target in enumerate(self.targets):
            found += target.problems((*key, "targets", index), self.sublattices)
        return found


class OptimisationRelaxation(Section):
    """When relaxations end, and what they may change."""

    cell: Literal["full", "isotropic"] = Field("full", description="Strains that cells may take.")
    fmax_ev_per_ang: PositiveFloat = Field(1e-3, description="Largest force, eV/Å.")
    smax_ev_per_ang3: PositiveFloat = Field(1e-5, description="Largest stress, eV/Å³.")
    max_steps: PositiveInt = Field(300, description="Most steps of a relaxation.")


class Verification(Section):
    """Explicit supercells at the nearest composition that fits."""

    replicates: Annotated[int, Field(ge=0)] = Field(
        3, description="Supercells with the pair correlations of a random alloy; 0 for none."
    )
    shells: PositiveInt = Field(
        3, le=12, description="Neighbour shells of the sublattices whose pairs are matched."
    )
    swaps: Annotated[int, Field(ge=0)] = Field(
        2000, description="Exchanges tried per supercell, at most; 0 for random ones."
    )


class Optimisation(Section):
    """Compositions and cells that meet targets, found by gradients."""

    searches: list[OptimisationSearch] = Field(
        min_length=1, description="What is sought; one job each."
    )
    methods: list[OptimisationMethod] = Field(
        ["newton"],
        min_length=1,
        description="newton: projected Gauss–Newton; exponentiated_gradient: mirror descent; both "
        "through relaxed crystals. joint: composition, cell and positions move together.",
    )
    starts: PositiveInt = Field(
        3, le=1000, description="Starts per method: the middle of what is allowed, then random."
    )
    tolerance: PositiveFloat = Field(
        1e-3,
        description="Frank–Wolfe gap, in units of the objective, at which a start has converged.",
    )
    max_steps: PositiveInt = Field(50, description="Most steps of a start.")
    coupling: Literal["mean_field", "replica"] = Field(
        "mean_field", description="Coupling of the soft sites."
    )
    relaxation: OptimisationRelaxation = Field(
        default_factory=OptimisationRelaxation, description="Relaxations."
    )
    verification: Verification = Field(
        default_factory=Verification, description="Explicit supercells."
    )

    def names(self) -> list[str]:
        """Names of the searches."""
        return [one.name for one in self.searches]

    def files(self) -> list[str]:
        """Files that crystals come from, sorted."""
        crystals = [one.crystal for one in self.searches]
        crystals += [t.substrate for one in self.searches for t in one.targets if t.substrate]
        return sorted({crystal.file for crystal in crystals if crystal.file is not None})

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        found = repeated(list(self.methods), (*key, "methods"))
        names = self.names()
        for index, one in enumerate(self.searches):
            here = (*key, "searches", index)
            if one.name in names[:index]:
                found.append(
                    Problem((*here, "name"), f"'{one.name}' is the name of another search")
                )
            found += one.problems(here)
        return found

    def uncovered(self, key: Key, covered: tuple[str, ...]) -> list[Problem]:
        """Elements that a potential does not have."""
        return [
            Problem(
                (*key, "searches", index, "sublattices", name, "elements", number),
                f"{element} is not covered by the potential, which has {', '.join(covered)}",
            )
            for index, one in enumerate(self.searches)
            for name, own in one.sublattices.items()
            for number, element in enumerate(own.elements)
            if element not in covered
        ]
