"""Objectives of a screening, of which none is worth more than another."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import FiniteFloat, Key, Problem, Section, unknown_name

MOST_OBJECTIVES = 4
"""More leave nearly everything undominated, and no figure shows them."""


class Objective(Section):
    """A number that should be small, large, or near a target."""

    column: str = Field(description="Column of the ranking, as for filters.")
    goal: Literal["minimise", "maximise", "target"] = Field(
        description="target: as near to it as possible, in parts of the target."
    )
    target: FiniteFloat | dict[str, FiniteFloat] | None = Field(
        None,
        description="With the goal target: the value, in the unit of the column, or one for every "
        "prototype by its name, as lattice parameters need; not 0.",
    )

    def loss(self, value: float, prototype: str) -> float:
        """What is to be minimised: the value, its negative, or its relative distance.

        Args:
            value: The value in its column.
            prototype: Name of the parent lattice.
        """
        if self.goal == "target":
            assert self.target is not None
            goal = self.target[prototype] if isinstance(self.target, dict) else self.target
            return abs(value - goal) / abs(goal)
        return value if self.goal == "minimise" else -value

    def problems(
        self, key: Key, numbers: tuple[str, ...], prototypes: tuple[str, ...]
    ) -> list[Problem]:
        """What is wrong beyond types.

        Args:
            key: Where the objective stands.
            numbers: Columns that hold numbers.
            prototypes: Parent lattices that are scanned.
        """
        found = unknown_name("column", self.column, numbers, (*key, "column"))
        if (self.goal == "target") != (self.target is not None):
            message = "goes with the goal 'target', which needs it"
            return [*found, Problem((*key, "target"), message)]
        targets = self.target if isinstance(self.target, dict) else {"": self.target}
        if 0.0 in targets.values():
            message = "must not be 0, as distances are in parts of it"
            found.append(Problem((*key, "target"), message))
        if isinstance(self.target, dict):
            for name in targets:
                found += unknown_name("prototype", name, prototypes, (*key, "target", name))
            missing = [name for name in prototypes if name not in targets]
            if missing:
                message = f"says nothing of the prototype '{missing[0]}'"
                found.append(Problem((*key, "target"), message))
        return found


def objective_problems(
    objectives: list[Objective], key: Key, numbers: tuple[str, ...], prototypes: tuple[str, ...]
) -> list[Problem]:
    """What is wrong with a list of objectives.

    Args:
        objectives: The list.
        key: Where it stands.
        numbers: Columns that hold numbers.
        prototypes: Parent lattices that are scanned.
    """
    found: list[Problem] = []
    for index, objective in enumerate(objectives):
        found += objective.problems((*key, index), numbers, prototypes)
        if objective.column in [other.column for other in objectives[:index]]:
            message = f"'{objective.column}' is an objective already"
            found.append(Problem((*key, index, "column"), message))
    if len(objectives) == 1:
        found.append(Problem(key, "needs two objectives at least: one alone is a 'rank_by'"))
    return found
