"""Section ``screening``: how scanned compositions are filtered and ranked."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..errors import suggest
from .base import (
    FiniteFloat,
    Key,
    PositiveFloat,
    PositiveInt,
    Problem,
    Section,
    repeated,
    unknown_name,
)
from .composition import Composition, Method
from .objectives import MOST_OBJECTIVES, Objective, objective_problems

BULK_MODULUS = "bulk_modulus_gpa"
"""The number that straight lines between end members do not have."""

NUMBERS = (
    "n_elements",
    "a_ang",
    "volume_ang3_per_atom",
    "energy_ev_per_atom",
    "mixing_ev_per_atom",
    "formation_ev_per_atom",
    "mixing_free_energy_ev_per_atom",
    BULK_MODULUS,
)
"""Numbers by which compositions can be filtered and ranked; fractions ``x_<El>`` come on top."""

DISTANCE = "target_distance"
"""Relative distance from the targets of objectives."""

FRONT = "pareto_front"
"""Front on which a composition stands."""

WORDS = ("scan", "prototype", "method")
"""Texts by which compositions can be filtered."""


class Filter(Section):
    """One condition that a composition must meet."""

    column: str = Field(
        description=f"One of {', '.join((*NUMBERS, *WORDS))}, or x_<El>, a fraction; "
        f"{DISTANCE} too where an objective has a target."
    )
    at_least: FiniteFloat | None = Field(None, description="Smallest value that passes.")
    at_most: FiniteFloat | None = Field(None, description="Largest value that passes.")
    one_of: list[str] | None = Field(None, min_length=1, description="Texts that pass.")

    def problems(
        self, key: Key, numbers: tuple[str, ...], words: dict[str, tuple[str, ...]]
    ) -> list[Problem]:
        """What is wrong beyond types, given numbers and the texts that can stand in a column."""
        bounded = self.at_least is not None or self.at_most is not None
        if self.column in WORDS:
            if self.one_of is None or bounded:
                return [Problem(key, f"'{self.column}' is a text: give 'one_of' and no bounds")]
            return [
                problem
                for index, word in enumerate(self.one_of)
                for problem in unknown_name(
                    self.column, word, words[self.column], (*key, "one_of", index)
                )
            ]
        if self.column not in numbers:
            known = (*numbers, *WORDS)
            return [
                Problem(
                    (*key, "column"),
                    f"unknown column '{self.column}': {suggest(self.column, known)}",
                )
            ]
        if self.one_of is not None or not bounded:
            return [Problem(key, f"'{self.column}' is a number: give 'at_least' or 'at_most'")]
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            return [
                Problem(key, f"at_least ({self.at_least:g}) is above at_most ({self.at_most:g})")
            ]
        return []


class Screening(Section):
    """Filters and ranking."""

    methods: list[Method] = Field(
        ["mean_field"], min_length=1, description="Methods whose rows are ranked."
    )
    best_prototype_only: bool = Field(
        False, description="Of each composition, keep only the prototype with the lowest energy."
    )
    temperature_k: PositiveFloat = Field(
        1000.0, description="Temperature of the ideal entropy of mixing in K."
    )
    filters: list[Filter] = Field(default_factory=list, description="All must be met.")
    objectives: list[Objective] = Field(
        [],
        max_length=MOST_OBJECTIVES,
        description="Two or more numbers to weigh against each other: what no other composition "
        "that passes the filters beats in all of them is the first Pareto front.",
    )
    rank_by: str = Field(
        "mixing_free_energy_ev_per_atom",
        description=f"Column that orders the compositions; {FRONT} too with objectives.",
    )
    order: Literal["ascending", "descending"] = Field(
        "ascending", description="ascending puts the smallest value first."
    )
    keep: PositiveInt | None = Field(
        None,
        description="How many compositions the ranking lists; all that pass if empty. The first "
        "Pareto front always stays.",
    )

    def has_targets(self) -> bool:
        """Whether an objective has a target."""
        return any(objective.goal == "target" for objective in self.objectives)

    def problems(self, key: Key, composition: Composition) -> list[Problem]:
        """What is wrong beyond types, given what is scanned."""
        elements = composition.elements()
        scans = composition.scans
        words: dict[str, tuple[str, ...]] = {
            "scan": tuple(scan.name for scan in scans),
            "prototype": tuple(dict.fromkeys(name for scan in scans for name in scan.parents())),
            "method": tuple(self.methods),
        }
        numbers = (*NUMBERS, *(f"x_{element}" for element in elements))
        found = repeated(list(self.methods), (*key, "methods"))
        found += objective_problems(
            self.objectives, (*key, "objectives"), numbers, words["prototype"]
        )
        if self.has_targets():
            numbers = (*numbers, DISTANCE)
        orders = (*numbers, FRONT) if self.objectives else numbers
        if self.rank_by not in orders:
            hint = suggest(self.rank_by, orders)
            found.append(Problem((*key, "rank_by"), f"unknown column '{self.rank_by}': {hint}"))
        for index, condition in enumerate(self.filters):
            found += condition.problems((*key, "filters", index), numbers, words)
        if set(self.methods) == {"vegard"}:
            used = [((*key, "rank_by"), self.rank_by)]
            used += [((*key, "filters", i, "column"), f.column) for i, f in enumerate(self.filters)]
            used += [
                ((*key, "objectives", i, "column"), o.column) for i, o in enumerate(self.objectives)
            ]
            message = "'bulk_modulus_gpa' needs a method other than vegard in screening.methods"
            found += [Problem(here, message) for here, column in used if column == BULK_MODULUS]
        used_methods = {method for scan in scans for method in scan.methods}
        return found + [
            Problem((*key, "methods", index), f"no scan uses the method '{method}'")
            for index, method in enumerate(self.methods)
            if method not in used_methods
        ]
