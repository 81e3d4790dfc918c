"""Sections of one generator of structures, each with what it needs."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from ..composition.prototypes import PROTOTYPES
from .base import (
    FiniteFloat,
    Identifier,
    Key,
    PositiveFloat,
    PositiveInt,
    Problem,
    Section,
    element_problem,
)

LATTICES = {
    "sc": 1,
    "fcc": 1,
    "bcc": 1,
    "hcp": 1,
    "diamond": 1,
    "rocksalt": 2,
    "zincblende": 2,
    "cesiumchloride": 2,
    "wurtzite": 2,
    "fluorite": 2,
}
"""Crystals to start from, and how many species each holds."""

Lattice = Literal[
    "sc",
    "fcc",
    "bcc",
    "hcp",
    "diamond",
    "rocksalt",
    "zincblende",
    "cesiumchloride",
    "wurtzite",
    "fluorite",
]
KINDS = (
    "volumes",
    "strained",
    "rattled",
    "substituted",
    "random_alloys",
    "vacancies",
    "slabs",
    "ghosts",
    "dimers",
    "atoms",
    "dynamics",
)
"""Keys of a generator of which it has exactly one."""

WITHOUT_PARENT = ("random_alloys", "dimers", "atoms")
PositiveFloats = list[PositiveFloat]


class Parent(Section):
    """The structure a generator starts from: a crystal by name, or a file."""

    lattice: Lattice | None = Field(None, description="Crystal; conventional cell.")
    species: list[str] = Field([], description="Its elements in order, such as [Na, Cl].")
    a_ang: PositiveFloat | None = Field(
        None,
        description="Lattice parameter in Å. If empty, that of the volume of an element in nature, "
        "if that is this lattice or one as dense; else that of touching covalent spheres.",
    )
    file: str | None = Field(
        None, description="Instead of lattice: a file that ASE reads (CIF, POSCAR, extended XYZ)."
    )
    repeat: list[PositiveInt] = Field(
        [1, 1, 1], min_length=3, max_length=3, description="Cells along each axis."
    )

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        if (self.lattice is None) == (self.file is None):
            return [Problem(key, "needs either 'lattice' or 'file', not both or none")]
        found: list[Problem] = []
        for index, symbol in enumerate(self.species):
            found += element_problem(symbol, (*key, "species", index))
        if self.lattice is not None and len(self.species) != LATTICES[self.lattice]:
            needed = LATTICES[self.lattice]
            found.append(
                Problem(
                    (*key, "species"), f"{self.lattice} holds {needed}, got {len(self.species)}"
                )
            )
        if self.file is not None and (self.species or self.a_ang is not None):
            found.append(Problem((*key, "file"), "goes without 'species' and 'a_ang'"))
        return found


class Volumes(Section):
    """The parent at several volumes."""

    factors: PositiveFloats = Field(
        [0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15],
        min_length=1,
        description="Volumes over that of the parent.",
    )


class Strained(Section):
    """The parent in randomly strained cells, atoms moved along and rattled a little."""

    count: PositiveInt = Field(20, description="Frames.")
    strain: PositiveFloat = Field(0.04, le=0.3, description="Largest component of the strain.")
    rattle_ang: float = Field(0.0, ge=0, le=1, description="Displacement (Å, per direction).")


class Rattled(Section):
    """The parent with randomly displaced atoms."""

    count: PositiveInt = Field(20, description="Frames.")
    displacements_ang: PositiveFloats = Field(
        [0.05, 0.15],
        min_length=1,
        description="Standard deviations (Å, per direction), used in turn.",
    )


class Substituted(Section):
    """The parent with random elements on the sites of one of its species."""

    count: PositiveInt = Field(20, description="Frames.")
    species: str = Field(description="Element whose sites are filled anew.")
    elements: list[str] = Field(min_length=1, description="Elements to draw from.")
    rattle_ang: float = Field(0.0, ge=0, le=1, description="Displacement (Å, per direction).")


class RandomAlloys(Section):
    """Supercells with the pair correlations of a random alloy (see composition.sqs)."""

    prototype: Literal["fcc", "bcc"] = Field("fcc", description="Parent lattice.")
    compositions: list[dict[str, FiniteFloat]] = Field(
        min_length=1, description="Fractions of the elements, each entry summing to 1."
    )
    replicates: PositiveInt = Field(1, description="Independent supercells per composition.")
    supercell: list[PositiveInt] = Field(
        [2, 2, 2], min_length=3, max_length=3, description="Conventional cells along each axis."
    )
    shells: PositiveInt = Field(2, le=12, description="Neighbour shells whose pairs are matched.")
    swaps: PositiveInt = Field(500, description="Exchanges of two atoms tried at most.")
    rattle_ang: float = Field(0.0, ge=0, le=1, description="Displacement (Å, per direction).")

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        found: list[Problem] = []
        cubes = self.supercell[0] * self.supercell[1] * self.supercell[2]
        sites = PROTOTYPES[self.prototype].sites_per_cube * cubes
        for index, composition in enumerate(self.compositions):
            here = (*key, "compositions", index)
            for symbol in composition:
                found += element_problem(symbol, (*here, symbol))
            if abs(sum(composition.values()) - 1) > 1e-6 or min(composition.values()) < 0:
                found.append(Problem(here, "fractions must be positive and sum to 1"))
            elif any(abs(sites * x - round(sites * x)) > 1e-4 for x in composition.values()):
                found.append(Problem(here, f"does not fit the {sites} sites of the supercell"))
        return found


class Vacancies(Section):
    """The parent with some atoms missing."""

    count: PositiveInt = Field(10, description="Frames.")
    missing: PositiveInt = Field(1, description="Atoms that are missing.")
    rattle_ang: float = Field(0.05, ge=0, le=1, description="Displacement (Å, per direction).")


class Slabs(Section):
    """Slabs cut from the parent, bare or with adsorbed atoms and added rows."""

    count: PositiveInt = Field(10, description="Frames.")
    miller: list[int] = Field(
        [1, 1, 0], min_length=3, max_length=3, description="Miller indices of the surface."
    )
    layers: PositiveInt = Field(
        4,
        description="Layers of cells of the parent, of which the cubic fcc cell has two atomic "
        "ones along [100] and [110], one along [111]; atomic layers below an added row.",
    )
    size: list[PositiveInt] = Field(
        [2, 2], min_length=2, max_length=2, description="Surface cells along both directions."
    )
    vacuum_ang: PositiveFloat = Field(8.0, description="Vacuum on either side in Å.")
    adsorbate: str | None = Field(None, description="Element to adsorb; none if empty.")
    most_adsorbed: PositiveInt = Field(2, description="Adsorbed atoms, one to this many.")
    added_row: bool = Field(
        False,
        description="On (110) of an fcc metal: start from the p(2×1) added-row structure, whose "
        "adsorbate sits between the added atoms.",
    )
    rattle_ang: float = Field(0.05, ge=0, le=1, description="Displacement (Å, per direction).")

    def problems(self, key: Key, parent: Parent | None) -> list[Problem]:
        """What is wrong beyond types."""
        found: list[Problem] = []
        if self.adsorbate is not None:
            found += element_problem(self.adsorbate, (*key, "adsorbate"))
        if not any(self.miller):
            found.append(Problem((*key, "miller"), "must not be all zero"))
        elif (factor := math.gcd(*self.miller)) > 1:
            plane = [index // factor for index in self.miller]
            message = f"must have no common factor: {plane} is the same plane"
            found.append(Problem((*key, "miller"), message))
        if parent is not None and len(set(parent.repeat)) > 1:
            message = "indices count for the repeated parent: repeat it equally, and use 'size'"
            found.append(Problem((*key, "miller"), message))
        if self.added_row:
            is_fcc = parent is not None and parent.lattice == "fcc"
            if not is_fcc or self.adsorbate is None or self.miller != [1, 1, 0]:
                message = "needs an fcc parent, miller [1, 1, 0] and an adsorbate"
                found.append(Problem((*key, "added_row"), message))
        return found


class Ghosts(Section):
    """The parent with extra atoms, of which a random part is removed again.

    The frames are those that a soft structure with ghost atoms passes through: crowded interstitial
    sites with some of the atoms gone.
    """

    count: PositiveInt = Field(20, description="Frames.")
    species: list[str] = Field(min_length=1, description="Elements of the extra atoms.")
    extra: PositiveInt = Field(4, description="Extra atoms before some are removed.")
    keep: float = Field(0.5, ge=0, le=1, description="Chance of an extra atom to stay.")
    closest: PositiveFloat = Field(
        0.7, le=1.5, description="Closest approach over the sum of covalent radii."
    )
    rattle_ang: float = Field(0.05, ge=0, le=1, description="Displacement (Å, per direction).")


class Dimers(Section):
    """Two atoms in vacuum at several distances."""

    pairs: list[list[str]] = Field(min_length=1, description="Pairs such as [Cu, O].")
    closest: PositiveFloat = Field(
        0.7, description="Shortest distance over the sum of covalent radii."
    )
    farthest_ang: PositiveFloat = Field(5.0, description="Longest distance in Å.")
    count: PositiveInt = Field(15, ge=2, description="Distances per pair.")


class Atoms(Section):
    """Isolated atoms."""

    species: list[str] = Field(min_length=1, description="Elements.")


class Dynamics(Section):
    """Snapshots of short molecular dynamics at constant temperature and volume."""

    temperatures_k: PositiveFloats = Field(
        [300.0, 1000.0], min_length=1, description="Temperatures in K, one trajectory each."
    )
    snapshots: PositiveInt = Field(10, description="Frames per trajectory.")
    every: PositiveInt = Field(50, description="Steps between frames.")
    equilibration: int = Field(100, ge=0, description="Steps before the first frame.")
    timestep_fs: PositiveFloat = Field(2.0, le=20, description="Step in fs.")
    friction_per_fs: PositiveFloat = Field(0.01, description="Friction of the thermostat in 1/fs.")


class Generator(Section):
    """One source of structures: a parent and what is done to it."""

    name: Identifier = Field(description="Name of the generator; frames and groups start with it.")
    parent: Parent | None = Field(None, description="The structure to start from.")
    volumes: Volumes | None = Field(None, description="The parent at several volumes.")
    strained: Strained | None = Field(None, description="Strained cells.")
    rattled: Rattled | None = Field(None, description="Displaced atoms.")
    substituted: Substituted | None = Field(None, description="Random elements on some sites.")
    random_alloys: RandomAlloys | None = Field(None, description="Random alloys; no parent.")
    vacancies: Vacancies | None = Field(None, description="Missing atoms.")
    slabs: Slabs | None = Field(None, description="Surfaces.")
    ghosts: Ghosts | None = Field(None, description="Extra atoms, some removed again.")
    dimers: Dimers | None = Field(None, description="Two atoms; no parent.")
    atoms: Atoms | None = Field(None, description="Isolated atoms; no parent.")
    dynamics: Dynamics | None = Field(None, description="Short molecular dynamics.")

    @property
    def kind(self) -> str:
        """Which of :data:`KINDS` it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            some = f"has {', '.join(given)}" if given else "has none"
            return [Problem(key, f"needs exactly one of {', '.join(KINDS)}; it {some}")]
        kind = given[0]
        if kind in WITHOUT_PARENT and self.parent is not None:
            return [Problem((*key, "parent"), f"'{kind}' starts from nothing: leave it out")]
        if kind not in WITHOUT_PARENT and self.parent is None:
            return [Problem((*key, "parent"), f"is required for '{kind}'")]
        found = [] if self.parent is None else self.parent.problems((*key, "parent"))
        here = (*key, kind)
        if self.random_alloys is not None:
            found += self.random_alloys.problems(here)
        if self.slabs is not None:
            found += self.slabs.problems(here, self.parent)
        named: list[tuple[Key, str]] = []
        if self.substituted is not None:
            named.append(((*here, "species"), self.substituted.species))
            elements = self.substituted.elements
            named += [((*here, "elements", i), e) for i, e in enumerate(elements)]
        for section in (self.ghosts, self.atoms):
            if section is not None:
                named += [((*here, "species", i), e) for i, e in enumerate(section.species)]
        if self.dimers is not None:
            for index, pair in enumerate(self.dimers.pairs):
                if len(pair) != 2:
                    found.append(Problem((*here, "pairs", index), "must name two elements"))
                named += [((*here, "pairs", index, i), e) for i, e in enumerate(pair)]
        for where, symbol in named:
            found += element_problem(symbol, where)
        return found
