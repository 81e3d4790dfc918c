"""Parent structures of composition scans, and the choice of their soft sublattices."""

from __future__ import annotations

from pydantic import Field

from ..composition.prototypes import PROTOTYPES
from .base import Key, PositiveFloat, Problem, Section, element_problem, unknown_name

COMPOUNDS = {
    "rocksalt": 2,
    "zincblende": 2,
    "cesiumchloride": 2,
    "fluorite": 2,
    "wurtzite": 2,
    "diamond": 1,
    "hcp": 1,
}
"""Crystals with a lattice parameter of their own, and how many species each holds."""

WITHOUT_LENGTH = (*PROTOTYPES, "diamond", "hcp")
"""Crystals whose lattice parameter can be guessed from their elements."""

Supercell = list[int] | list[list[int]]


class ScanParent(Section):
    """A structure whose sublattices are shared by elements: a crystal by name, or a file."""

    prototype: str | None = Field(
        None,
        description=f"Crystal by name; its primitive cell: {', '.join((*PROTOTYPES, *COMPOUNDS))}.",
    )
    species: list[str] = Field(
        [], description="With prototype: its elements in order, such as [Ce, O]."
    )
    a_ang: PositiveFloat | None = Field(
        None, description="With prototype: lattice parameter in Å from which to relax."
    )
    file: str | None = Field(
        None,
        description="Instead of prototype: CIF, POSCAR or extended XYZ, best with a primitive "
        "cell. Partial occupancies in a CIF or extended XYZ file make sublattices.",
    )
    name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        max_length=64,
        description="Name in tables and figures; that of the prototype or file if empty.",
    )
    conventional: bool | None = Field(
        None,
        description="Whether lengths and angles are those of the conventional cell rather than of "
        "the cell as given; by default for prototypes only.",
    )

    def label(self) -> str:
        """Name in tables and figures."""
        if self.name is not None:
            return self.name
        if self.prototype is not None:
            return self.prototype
        stem = (self.file or "").replace("\\", "/").rpartition("/")[2].partition(".")[0]
        return "".join(c if c.isalnum() or c in "_-" else "-" for c in stem) or "parent"

    def is_conventional(self) -> bool:
        """Whether lengths are those of the conventional cell."""
        return self.prototype is not None if self.conventional is None else self.conventional

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        if (self.prototype is None) == (self.file is None):
            return [Problem(key, "needs either 'prototype' or 'file', not both or none")]
        if self.file is not None:
            if self.species or self.a_ang is not None:
                return [Problem((*key, "file"), "goes without 'species' and 'a_ang'")]
            return []
        prototype = self.prototype or ""
        known = (*PROTOTYPES, *COMPOUNDS)
        found = unknown_name("prototype", prototype, known, (*key, "prototype"))
        for index, symbol in enumerate(self.species):
            found += element_problem(symbol, (*key, "species", index))
        if found:
            return found
        needed = COMPOUNDS.get(prototype) or len(PROTOTYPES[prototype].sublattices)
        if len(self.species) != needed:
            message = f"{prototype} holds {needed}, got {len(self.species)}"
            return [Problem((*key, "species"), message)]
        if self.a_ang is None and prototype not in WITHOUT_LENGTH:
            message = f"is required for {prototype}: the lattice parameter in Å"
            return [Problem((*key, "a_ang"), message)]
        return []


def supercell_problems(given: Supercell | None, key: Key) -> list[Problem]:
    """What is wrong with three numbers of repeats, or three rows of a matrix."""
    if given is None:
        return []
    rows = [row for row in given if isinstance(row, list)]
    if len(given) == 3 and not rows:
        whole = [count for count in given if isinstance(count, int)]
        return [] if min(whole) >= 1 else [Problem(key, "repeats must be at least 1")]
    if len(given) == 3 and len(rows) == 3 and all(len(row) == 3 for row in rows):
        return [] if determinant(rows) > 0 else [Problem(key, "must have a positive determinant")]
    return [Problem(key, "must be three repeats, or three rows of three whole numbers")]


def determinant(rows: list[list[int]]) -> int:
    """Determinant of a matrix of three rows: the number of parent cells in a supercell."""
    (a, b, c), (d, e, f), (g, h, i) = rows
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def supercell_rows(given: Supercell) -> list[list[int]]:
    """Three rows of a matrix, whichever way the supercell was given."""
    rows = [list(row) for row in given if isinstance(row, list)]
    if rows:
        return rows
    counts = [count for count in given if isinstance(count, int)]
    return [[count if k == j else 0 for k in range(3)] for j, count in enumerate(counts)]
