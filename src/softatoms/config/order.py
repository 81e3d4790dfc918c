"""Section ``order``: order against disorder on mixed sublattices."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ..composition.prototypes import PROTOTYPES
from ..errors import suggest
from ..order.errors import OrderError
from ..order.experiments import BUILT_IN, Compound, read_compounds
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

DisorderedState = Literal["mean_field", "replica", "random", "sqs"]
Vector = Annotated[list[int], Field(min_length=3, max_length=3)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]

_SUM = 1e-6


class OrderParent(Section):
    """A crystal with one mixed sublattice, whose orders are enumerated."""

    prototype: str | None = Field(
        None, description=f"Crystal by name: {', '.join(PROTOTYPES)}; its primitive cell."
    )
    a_ang: PositiveFloat | None = Field(
        None, description="Lattice parameter of the prototype to start from, in Å."
    )
    sublattices: dict[str, dict[str, Share]] = Field(
        default_factory=dict,
        description="By sublattice of the prototype: share of each element. One sublattice holds "
        "several.",
    )
    file: str | None = Field(
        None,
        description="Instead of a prototype: a CIF file with partial occupancies on one "
        "sublattice.",
    )
    largest: PositiveInt = Field(
        4, le=12, description="Most primitive cells of an enumerated ordered structure."
    )

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        if (self.prototype is None) == (self.file is None):
            return [Problem(key, "needs either 'prototype' or 'file', not both or none")]
        if self.prototype is None:
            if self.sublattices or self.a_ang is not None:
                return [Problem((*key, "file"), "goes without 'sublattices' and 'a_ang'")]
            if self.file is not None and not Path(self.file).is_file():
                return [Problem((*key, "file"), f"'{self.file}' is no file")]
            return []
        if self.prototype not in PROTOTYPES:
            hint = suggest(self.prototype, tuple(PROTOTYPES))
            return [Problem((*key, "prototype"), f"unknown prototype '{self.prototype}': {hint}")]
        found = []
        if self.a_ang is None:
            found.append(Problem((*key, "a_ang"), "is required with a prototype"))
        names = tuple(PROTOTYPES[self.prototype].sublattices)
        if set(self.sublattices) != set(names):
            message = f"must name exactly {', '.join(names)}"
            return [*found, Problem((*key, "sublattices"), message)]
        mixed = 0
        for name, shares in self.sublattices.items():
            here = (*key, "sublattices", name)
            for symbol in shares:
                found += element_problem(symbol, (*here, symbol))
            if abs(sum(shares.values()) - 1.0) > _SUM:
                found.append(Problem(here, f"shares must sum to 1, got {sum(shares.values()):g}"))
            mixed += sum(share > 0 for share in shares.values()) > 1
        if mixed != 1:
            message = f"exactly one sublattice must hold several elements, got {mixed}"
            found.append(Problem((*key, "sublattices"), message))
        return found

    def elements(self) -> set[str]:
        """Elements that it names."""
        return {e for shares in self.sublattices.values() for e, x in shares.items() if x > 0}


class OrderRelaxation(Section):
    """How every state is relaxed."""

    cell: Literal["full", "isotropic", "fixed"] = Field(
        "full", description="Which strains the cell may take."
    )
    sites: bool = Field(True, description="Whether sites move.")
    fmax_ev_per_ang: PositiveFloat = Field(0.03, description="Largest force, eV/Å.")
    smax_ev_per_ang3: PositiveFloat = Field(1e-3, description="Largest stress, eV/Å³.")
    max_steps: PositiveInt = Field(200, description="Most steps.")


class Order(Section):
    """Energies of ordered and disordered states of oxides and other crystals."""

    table: str | None = Field(
        None,
        description=f"Double perovskites: '{BUILT_IN}', which comes with the package, or a CSV "
        "file with the same columns (docs/order.md).",
    )
    formulas: list[str] | None = Field(
        None, min_length=1, description="Only these compounds of the table; all if empty."
    )
    parents: dict[Identifier, OrderParent] = Field(
        default_factory=dict, description="Other crystals by name."
    )
    states: list[DisorderedState] = Field(
        ["mean_field", "replica", "sqs"],
        min_length=1,
        description="Disordered states: soft sites in both couplings, random supercells, and "
        "supercells with pairs as random as possible (sqs).",
    )
    reference: DisorderedState = Field(
        "sqs", description="Disordered state that ordering energies and classes are about."
    )
    supercell: Annotated[list[Vector], Field(min_length=3, max_length=3)] = Field(
        [[2, 0, 0], [0, 2, 0], [0, 0, 2]],
        description="Vectors of random supercells in units of the parent's.",
    )
    replicates: PositiveInt = Field(3, le=100, description="Random supercells of each kind.")
    shells: PositiveInt = Field(3, le=10, description="Neighbour shells of an sqs.")
    swaps: PositiveInt = Field(400, description="Most exchanges of atoms for an sqs.")
    tilt_deg: FiniteFloat = Field(
        0.0,
        ge=0,
        le=20,
        description="Angle by which octahedra of perovskites are turned at the start (a⁻a⁻c⁺), in "
        "degrees. With 0 all cells stay untilted by symmetry, except for random supercells.",
    )
    threshold_k: PositiveFloat = Field(
        1500.0,
        description="Estimated ordering temperature in K above which a compound counts as ordered.",
    )
    relaxation: OrderRelaxation = Field(
        default_factory=OrderRelaxation, description="Relaxation of all states."
    )
    bootstrap: PositiveInt = Field(
        2000, le=100_000, description="Bootstrap samples of the areas under ROC curves."
    )
    shard_size: PositiveInt = Field(5, description="Compounds per job.")

    def compounds(self) -> list[Compound]:
        """The chosen double perovskites, in the order of the table."""
        if self.table is None:
            return []
        listed = read_compounds(self.table)
        if self.formulas is None:
            return listed
        return [compound for compound in listed if compound.formula in self.formulas]

    def names(self) -> list[str]:
        """Names of all compounds and parents."""
        return [*(compound.formula for compound in self.compounds()), *self.parents]

    def n_shards(self) -> int:
        """Number of jobs."""
        return math.ceil(len(self.names()) / self.shard_size)

    def files(self) -> list[str]:
        """Files that the section reads, sorted."""
        listed = {parent.file for parent in self.parents.values() if parent.file is not None}
        if self.table is not None and self.table != BUILT_IN:
            listed.add(self.table)
        return sorted(listed)

    def is_compared(self) -> bool:
        """Whether there are compounds with and without order to compare with."""
        known = {compound.is_ordered for compound in self.compounds()}
        return {True, False} <= known

    def fingerprint(self) -> list[Any]:
        """Everything in it that results depend on, the chosen rows of the table included."""
        rows = repr(self.compounds()).encode()
        # How the compounds are shared out among jobs changes no number.
        values = self.model_dump(mode="json", exclude={"shard_size"})
        return [values, hashlib.sha256(rows).hexdigest()]

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        found = repeated(list(self.states), (*key, "states"))
        if self.reference not in self.states:
            found.append(Problem((*key, "reference"), f"'{self.reference}' is not among 'states'"))
        if self.table is None and not self.parents:
            found.append(Problem(key, "needs a 'table' or 'parents'"))
        if self.table is None and self.formulas is not None:
            found.append(Problem((*key, "formulas"), "goes with a 'table' only"))
        found += self._problems_of_table(key)
        (a, b, c), (d, e, f), (g, h, i) = self.supercell
        if a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g) == 0:
            found.append(Problem((*key, "supercell"), "vectors must span a volume"))
        odd = any(entry % 2 for vector in self.supercell for entry in vector)
        if self.tilt_deg > 0 and self.table is not None and odd:
            message = "must have even entries, so that tilts of octahedra fit"
            found.append(Problem((*key, "supercell"), message))
        for name, parent in self.parents.items():
            found += parent.problems((*key, "parents", name))
        return found

    def _problems_of_table(self, key: Key) -> list[Problem]:
        if self.table is None:
            return []
        try:
            known = [compound.formula for compound in read_compounds(self.table)]
        except OrderError as error:
            return [Problem((*key, "table"), str(error))]
        here = (*key, "formulas")
        found = repeated(list(self.formulas or ()), here)
        for index, formula in enumerate(self.formulas or ()):
            if formula not in known:
                hint = suggest(formula, known)
                found.append(Problem((*here, index), f"'{formula}' is not in the table: {hint}"))
        return found

    def uncovered(self, covered: tuple[str, ...], key: Key) -> list[Problem]:
        """A problem for every element that a potential does not cover."""
        wanted = {
            element
            for compound in self.compounds()
            for element in (compound.a_element, *compound.b_elements, "O")
        }
        for parent in self.parents.values():
            wanted |= parent.elements()
        missing = sorted(wanted - set(covered))
        if not covered or not missing:
            return []
        message = f"{', '.join(missing)} is not covered by the potential, which has "
        return [Problem(key, message + ", ".join(covered))]
