"""Section ``physics``: crystals whose properties are computed and compared."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ..errors import suggest
from .base import (
    FiniteFloat,
    Key,
    PositiveFloat,
    PositiveInt,
    Problem,
    Section,
    element_problem,
    repeated,
)
from .physics_quantities import (
    LATTICES,
    WITHOUT_LENGTH,
    examples,
    quantity,
    surface_name,
    vacancy_element,
)
from .potential import PotentialSection

Check = Literal["equation_of_state", "elastic", "vacancy", "surface", "phonons"]
Lattice = Literal[
    "fcc",
    "bcc",
    "L1_2",
    "B2",
    "hcp",
    "diamond",
    "rocksalt",
    "zincblende",
    "cesiumchloride",
    "fluorite",
    "wurtzite",
]
Facet = Annotated[list[int], Field(min_length=3, max_length=3)]
Repeat = Annotated[list[PositiveInt], Field(min_length=3, max_length=3)]


class Crystal(Section):
    """A crystal by name, or from a file."""

    prototype: Lattice | None = Field(None, description="Crystal by name; its primitive cell.")
    elements: list[str] = Field(
        [], description="Its elements in the order of sublattices or of the formula."
    )
    a_ang: PositiveFloat | None = Field(
        None,
        description="Lattice parameter to start from, in Å. May be left out for fcc, bcc, L1_2, "
        "B2, hcp and diamond: that of the volumes of the elements in nature.",
    )
    file: str | None = Field(
        None, description="Instead of prototype: a file that ASE reads, best with a primitive cell."
    )

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        if (self.prototype is None) == (self.file is None):
            return [Problem(key, "needs either 'prototype' or 'file', not both or none")]
        if self.prototype is None:
            if self.elements or self.a_ang is not None:
                return [Problem((*key, "file"), "goes without 'elements' and 'a_ang'")]
            return []
        found: list[Problem] = []
        for index, symbol in enumerate(self.elements):
            found += element_problem(symbol, (*key, "elements", index))
        needed = LATTICES[self.prototype]
        if len(self.elements) != needed:
            message = f"{self.prototype} holds {needed}, got {len(self.elements)}"
            found.append(Problem((*key, "elements"), message))
        if self.a_ang is None and self.prototype not in WITHOUT_LENGTH:
            message = f"is required for {self.prototype}: the lattice parameter in Å"
            found.append(Problem((*key, "a_ang"), message))
        return found


class CheckedCrystal(Crystal):
    """A crystal, and what is computed of it."""

    checks: list[Check] | None = Field(
        None, min_length=1, description="Instead of those of the section, for this crystal."
    )

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        return super().problems(key) + repeated(list(self.checks or ()), (*key, "checks"))


class Given(Section):
    """Published numbers to compare with, from experiment or other calculations."""

    source: str = Field(
        min_length=1,
        max_length=80,
        description="Where they come from, such as 'experiment, 4 K (Overton 1955)'.",
    )
    values: dict[str, dict[str, FiniteFloat]] = Field(
        min_length=1,
        description="By crystal and quantity, in the units of the table: Å, Å³/atom, GPa, eV, "
        "J/m², THz. See docs/physics-checks.md for the names.",
    )


class Tolerances(Section):
    """When relaxations end."""

    fmax_ev_per_ang: PositiveFloat = Field(1e-5, description="Largest force in crystals, eV/Å.")
    smax_ev_per_ang3: PositiveFloat = Field(1e-6, description="Largest stress in them, eV/Å³.")
    defect_fmax_ev_per_ang: PositiveFloat = Field(
        1e-3, description="Largest force around vacancies and in slabs, eV/Å."
    )
    defect_smax_ev_per_ang3: PositiveFloat = Field(
        1e-5, description="Largest stress in cells with a vacancy, eV/Å³."
    )
    max_steps: PositiveInt = Field(500, description="Most steps of a relaxation.")


class Physics(Section):
    """Properties of crystals by the trained model, or by the potential if none is trained."""

    crystals: dict[str, CheckedCrystal] = Field(min_length=1, description="Crystals by name.")
    checks: list[Check] = Field(
        ["equation_of_state", "elastic", "vacancy", "surface", "phonons"],
        min_length=1,
        description="What is computed of each crystal.",
    )
    facets: list[Facet] = Field(
        [[1, 0, 0], [1, 1, 0], [1, 1, 1]],
        min_length=1,
        description="Surfaces, as Miller indices of the conventional cell.",
    )
    vacancy_repeat: Repeat | None = Field(
        None, description="Supercell of vacancies; planes at least 8 Å apart if empty."
    )
    phonon_repeat: Repeat = Field(
        [2, 2, 2], description="Supercell of phonons, in primitive cells."
    )
    references: dict[str, Crystal] = Field(
        default_factory=dict,
        description="By element: crystal, or molecule in a file, that is the origin of its atoms "
        "when vacancies are made in compounds.",
    )
    against: PotentialSection | None = Field(
        None,
        description="Potential to compare with; what labels the dataset, if empty and that is one.",
    )
    given: list[Given] = Field([], description="Published numbers to compare with as well.")
    tolerances: Tolerances = Field(default_factory=Tolerances, description="Ends of relaxations.")
    dtype: Literal["float32", "float64"] = Field(
        "float64",
        description="Precision of the potentials. With float32 the tolerances have to be wider.",
    )

    def checks_of(self, name: str) -> list[Check]:
        """What is computed of one crystal."""
        return self.crystals[name].checks or self.checks

    def files(self) -> list[str]:
        """Files that crystals come from, sorted."""
        listed = [*self.crystals.values(), *self.references.values()]
        return sorted({crystal.file for crystal in listed if crystal.file is not None})

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        found = repeated(list(self.checks), (*key, "checks"))
        found += repeated([surface_name(facet) for facet in self.facets], (*key, "facets"))
        for index, facet in enumerate(self.facets):
            if not any(facet):
                found.append(Problem((*key, "facets", index), "must not be 0 in all directions"))
        for name, crystal in self.crystals.items():
            found += crystal.problems((*key, "crystals", name))
        for name, reference in self.references.items():
            here = (*key, "references", name)
            found += element_problem(name, here) + reference.problems(here)
            if reference.prototype is not None and set(reference.elements) != {name}:
                found.append(Problem((*here, "elements"), f"must be [{name}]"))
        if self.against is not None:
            found += self.against.problems((*key, "against"))
        found += repeated([given.source for given in self.given], (*key, "given"))
        for index, given in enumerate(self.given):
            for name, values in given.values.items():
                here = (*key, "given", index, "values", name)
                if name not in self.crystals:
                    hint = suggest(name, self.crystals)
                    found.append(Problem(here, f"unknown crystal '{name}': {hint}"))
                    continue
                for quantity_name in values:
                    found += self._given_problem(name, quantity_name, (*here, quantity_name))
        return found

    def _given_problem(self, crystal: str, name: str, key: Key) -> list[Problem]:
        elements = self.crystals[crystal].elements
        what = quantity(name)
        if what is None or not what.is_property:
            known = examples(elements, self.facets)
            kind = "unknown quantity" if what is None else "no quantity to compare with"
            return [Problem(key, f"{kind} '{name}': {suggest(name, known)}")]
        facets = [surface_name(facet) for facet in self.facets]
        check = "surface" if what.check.startswith("surface") else what.check
        if check not in self.checks_of(crystal):
            return [Problem(key, f"needs the check '{check}', which this crystal does not have")]
        if check == "surface" and name not in facets:
            return [Problem(key, f"is none of the facets: {suggest(name, facets)}")]
        missing = vacancy_element(name)
        if missing is not None and elements and missing not in elements:
            return [Problem(key, f"the crystal holds no {missing}: {', '.join(elements)}")]
        return []

    def settings(self) -> dict[str, Any]:
        """Arguments of ``physics.Settings`` but the device."""
        own = self.tolerances
        return {
            "fmax": own.fmax_ev_per_ang,
            "smax": own.smax_ev_per_ang3,
            "defect_fmax": own.defect_fmax_ev_per_ang,
            "defect_smax": own.defect_smax_ev_per_ang3,
            "max_steps": own.max_steps,
            "dtype": self.dtype,
        }
