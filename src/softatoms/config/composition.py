"""Section ``composition``: which solid solutions are scanned, and how."""

from __future__ import annotations

import math
import re
from typing import Literal

from pydantic import Field

from ..composition.grid import count_simplex
from ..composition.prototypes import PROTOTYPES
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
    unknown_name,
)
from .composition_list import CompositionList
from .scan_parents import ScanParent, Supercell, supercell_problems

SUM_TOLERANCE = 1e-6
"""How far the fractions of a composition may be from 1 in sum."""

MOST_TASKS = 10_000_000
"""Compositions of one campaign; more would not fit a table that is held in memory."""

MOST_SITES = 4000
"""Sites of a supercell; the search for random ones compares all pairs of sites."""

Method = Literal["mean_field", "replica", "vegard", "sqs", "random"]

SUPERCELLS = ("sqs", "random")
"""Methods that compute explicit supercells, several per composition."""

WITH_PARENT = (
    *("cell", "supercell", "second_derivatives"),
    *("soft_bulk_modulus", "supercell_bulk_modulus"),
    *("largest_shape_change", "largest_move_ang"),
)
"""Keys of a scan that prototypes do without."""

CELLS = ("full", "isotropic", "fixed")
"""Names for the strains that the cells of a parent may take."""


class Sublattice(Section):
    """What sits on one sublattice: a regular grid of compositions, or a list of them."""

    elements: list[str] = Field(
        min_length=1, description="Elements that share the sublattice.", examples=[["Cu", "Au"]]
    )
    sites: str | list[str] | list[int] | None = Field(
        None,
        description="With parent: an element or label of the parent, a list of them, or indices of "
        "sites from 0. By default the sites whose label or element is the name of the sublattice, "
        "or which the parent shares among these elements.",
    )
    divisions: PositiveInt | None = Field(
        None,
        description="Regular grid: fractions are multiples of 1/divisions; 1 gives pure elements.",
    )
    max_elements: PositiveInt | None = Field(
        None,
        description="With divisions: only compositions of at most this many elements, and no "
        "candidates of weight 0. By default all are mixed.",
    )
    compositions: list[dict[str, FiniteFloat]] | None = Field(
        None,
        min_length=1,
        description="Instead of divisions: fractions of the elements, each entry summing to 1.",
    )

    def count(self) -> int:
        """Number of compositions."""
        if self.compositions is not None:
            return len(self.compositions)
        most = len(self.elements) if self.max_elements is None else self.max_elements
        return count_simplex(len(self.elements), self.divisions or 1, most)

    def problems(self, key: Key, *, is_listed: bool = False) -> list[Problem]:
        """What is wrong beyond types.

        Args:
            key: Where the sublattice stands.
            is_listed: Whether a file says what is scanned.
        """
        found = repeated(self.elements, (*key, "elements"))
        for index, symbol in enumerate(self.elements):
            found += element_problem(symbol, (*key, "elements", index))
        if is_listed:
            return found + [
                Problem((*key, name), "does not go with the scan's 'compositions', a file")
                for name in ("divisions", "compositions", "max_elements")
                if getattr(self, name) is not None
            ]
        if (self.divisions is None) == (self.compositions is None):
            found.append(
                Problem(key, "needs either 'divisions' or 'compositions', not both or none")
            )
        if self.max_elements is not None and self.divisions is None:
            found.append(Problem((*key, "max_elements"), "goes with 'divisions' only"))
        seen: list[tuple[float, ...]] = []
        for index, composition in enumerate(self.compositions or ()):
            found += self._composition_problems(composition, (*key, "compositions", index), seen)
        return found

    def _composition_problems(
        self, composition: dict[str, float], key: Key, seen: list[tuple[float, ...]]
    ) -> list[Problem]:
        unknown = [symbol for symbol in composition if symbol not in self.elements]
        if unknown:
            hint = suggest(unknown[0], self.elements)
            return [
                Problem((*key, unknown[0]), f"is not among the elements of the sublattice: {hint}")
            ]
        for symbol, fraction in composition.items():
            if not 0 <= fraction <= 1:
                return [Problem((*key, symbol), f"must lie between 0 and 1, got {fraction:g}")]
        total = math.fsum(composition.values())
        if abs(total - 1) > SUM_TOLERANCE:
            return [Problem(key, f"fractions must sum to 1, got {total:g}")]
        point = tuple(round(composition.get(symbol, 0.0), 9) for symbol in self.elements)
        if point in seen:
            return [Problem(key, f"repeats compositions[{seen.index(point)}]")]
        seen.append(point)
        return []


class Scan(Section):
    """One family of solid solutions."""

    name: Identifier = Field(description="Name of the scan in tables and figures.")
    prototypes: list[str] = Field(
        [],
        description=f"Parent lattices among {', '.join(PROTOTYPES)}, with the same sublattices, of "
        "which the volume is relaxed.",
    )
    parent: ScanParent | None = Field(
        None, description="Instead of prototypes: any structure, whose cell and sites are relaxed."
    )
    sublattices: dict[str, Sublattice] = Field(
        {},
        description="One entry per sublattice of the prototypes: "
        + "; ".join(f"{p.name}: {', '.join(p.sublattices)}" for p in PROTOTYPES.values())
        + ". With parent: names of one's own; without any, the partial occupancies of its file.",
    )
    compositions: CompositionList | None = Field(
        None,
        description="Instead of divisions or compositions of every sublattice: a file that lists "
        "what is scanned.",
    )
    methods: list[Method] = Field(
        ["mean_field"],
        min_length=1,
        description="mean_field and replica: soft structures; vegard: straight line between the "
        "end members; sqs: explicit supercells with the pair correlations of a random alloy; "
        "random: shuffled supercells.",
    )
    cell: str | list[bool] = Field(
        "full",
        description="With parent: which strains are relaxed: full, isotropic, fixed, or six truth "
        "values for xx, yy, zz, yz, xz, xy.",
    )
    supercell: Supercell | None = Field(
        None,
        description="With parent: supercell of sqs and random, as three repeats of the parent's "
        "cell or three rows of whole numbers; composition.sqs.supercell if empty.",
    )
    second_derivatives: bool = Field(
        True,
        description="With parent: elastic constants, bulk modulus, and slopes of the relaxed state "
        "by the composition of soft structures, from about 3 n + 6 products with second "
        "derivatives of n sites.",
    )
    soft_bulk_modulus: bool = Field(
        False,
        description="With parent, without second_derivatives: bulk modulus of soft structures, "
        "from two more relaxations of each.",
    )
    supercell_bulk_modulus: bool = Field(
        False,
        description="With parent: bulk modulus of supercells, from two more relaxations of each.",
    )
    largest_shape_change: PositiveFloat = Field(
        0.15,
        description="With parent: longest by shortest stretch, minus 1, from which on a crystal "
        "has become another one (0.41 from bcc to fcc); end members count from the parent as "
        "given.",
    )
    largest_move_ang: PositiveFloat = Field(
        0.8,
        description="With parent: way of a site besides the strain, in Å, from which on a crystal "
        "has become another one.",
    )

    def count(self) -> int:
        """Number of compositions, over all prototypes."""
        return self.points() * len(self.parents())

    def points(self) -> int:
        """Number of compositions of one prototype."""
        if self.compositions is not None:
            return len(self.compositions.read().entries)
        return math.prod(sublattice.count() for sublattice in self.sublattices.values())

    def parents(self) -> list[str]:
        """Names of the parent lattices, as they stand in tables."""
        return self.prototypes if self.parent is None else [self.parent.label()]

    def is_binary(self) -> bool:
        """Whether two elements share one sublattice and nothing else changes."""
        return [len(own.elements) for own in self.sublattices.values()] == [2]

    def elements(self) -> tuple[str, ...]:
        """All elements that are named, in the order of their first appearance."""
        named = [e for s in self.sublattices.values() for e in s.elements]
        return tuple(dict.fromkeys([*named, *(self.parent.species if self.parent else ())]))

    def problems(self, key: Key, sqs: Sqs) -> list[Problem]:
        """What is wrong beyond types."""
        found = repeated(list(self.methods), (*key, "methods"))
        found += repeated(self.prototypes, (*key, "prototypes"))
        is_listed = self.compositions is not None
        for name, sublattice in self.sublattices.items():
            found += sublattice.problems((*key, "sublattices", name), is_listed=is_listed)
        if self.compositions is not None:
            found += self.compositions.problems((*key, "compositions"))
        if (self.parent is None) == (not self.prototypes):
            return [*found, Problem(key, "needs either 'prototypes' or 'parent', not both or none")]
        if self.parent is not None:
            return found + self._parent_problems(self.parent, key)
        found += self._problems_without_parent(key)
        for index, name in enumerate(self.prototypes):
            here = (*key, "prototypes", index)
            unknown = unknown_name("prototype", name, tuple(PROTOTYPES), here)
            found += unknown
            if unknown:
                continue
            expected = list(PROTOTYPES[name].sublattices)
            strange = [given for given in self.sublattices if given not in expected]
            missing = [needed for needed in expected if needed not in self.sublattices]
            if strange:
                message = f"{name} has no such sublattice: {suggest(strange[0], expected)}"
                found.append(Problem((*key, "sublattices", strange[0]), message))
            elif missing:
                found.append(Problem((*key, "sublattices"), f"{name} also needs '{missing[0]}'"))
        if set(SUPERCELLS) & set(self.methods) and not found:
            found += self._sqs_problems(key, sqs)
        return found

    def _parent_problems(self, parent: ScanParent, key: Key) -> list[Problem]:
        found = parent.problems((*key, "parent"))
        found += supercell_problems(self.supercell, (*key, "supercell"))
        if not self.sublattices and (parent.file is None or self.compositions is not None):
            message = "is required, unless a file has partial occupancies and no list is scanned"
            found.append(Problem((*key, "sublattices"), message))
        for name in self.sublattices:
            if not re.fullmatch(r"(?!site\d+$)[A-Za-z0-9_][A-Za-z0-9_.+-]*", name):
                message = "must be letters, digits and _ . + - only, and not 'site' with a number"
                found.append(Problem((*key, "sublattices", name), message))
        if isinstance(self.cell, str) and self.cell not in CELLS:
            found += unknown_name("cell", self.cell, CELLS, (*key, "cell"))
        elif not isinstance(self.cell, str) and len(self.cell) != 6:
            found.append(Problem((*key, "cell"), "needs six truth values: xx, yy, zz, yz, xz, xy"))
        for name in ("soft_bulk_modulus", "supercell_bulk_modulus"):
            if getattr(self, name) and self.cell == "fixed":
                found.append(Problem((*key, name), "cannot be had with a fixed cell"))
        if self.soft_bulk_modulus and self.second_derivatives:
            message = "goes with second_derivatives: false; second derivatives bring it too"
            found.append(Problem((*key, "soft_bulk_modulus"), message))
        return found

    def _problems_without_parent(self, key: Key) -> list[Problem]:
        found = [
            Problem((*key, "sublattices", name, "sites"), "goes with 'parent' only")
            for name, sublattice in self.sublattices.items()
            if sublattice.sites is not None
        ]
        found += [
            Problem((*key, name), "goes with 'parent' only")
            for name in WITH_PARENT
            if getattr(self, name) != type(self).model_fields[name].default
        ]
        if not self.sublattices:
            found.append(Problem((*key, "sublattices"), "is required with 'prototypes'"))
        return found

    def _sqs_problems(self, key: Key, sqs: Sqs) -> list[Problem]:
        found = []
        for prototype in self.prototypes:
            cubes = math.prod(sqs.supercell)
            lattice = PROTOTYPES[prototype]
            if lattice.sites_per_cube * cubes > MOST_SITES:
                message = f"{prototype} has {lattice.sites_per_cube * cubes} sites in it, more than"
                return [Problem(("composition", "sqs", "supercell"), f"{message} {MOST_SITES}")]
            per_cell = lattice.sites_per_cube * cubes // len(lattice.sites)
            for name, sites in lattice.sublattices.items():
                total = sites * per_cell
                own = self.sublattices[name]
                here = (*key, "sublattices", name)
                if own.divisions is not None and total % own.divisions:
                    found.append(
                        Problem(
                            (*here, "divisions"),
                            f"must divide the {total} sites that the sublattice has in "
                            f"composition.sqs.supercell, got {own.divisions}",
                        )
                    )
                for index, composition in enumerate(own.compositions or ()):
                    counts = [total * fraction for fraction in composition.values()]
                    if any(abs(count - round(count)) > 1e-4 for count in counts):
                        found.append(
                            Problem(
                                (*here, "compositions", index),
                                f"does not fit the {total} sites that the sublattice has in "
                                "composition.sqs.supercell",
                            )
                        )
        return found


class Relaxation(Section):
    """How cells are relaxed."""

    max_steps: PositiveInt = Field(60, description="Most evaluations of one structure.")
    pressure_tolerance_gpa: PositiveFloat = Field(
        1e-3,
        description="A cell counts as relaxed below this pressure, or stress of a parent, in GPa.",
    )
    fmax_ev_per_ang: PositiveFloat = Field(
        1e-3, description="Largest force on a site of a relaxed parent, in eV/Å."
    )
    parent_max_steps: PositiveInt = Field(
        500, description="Most evaluations of one structure with a parent."
    )
    squeeze_gpa: PositiveFloat = Field(
        0.5,
        description="Pressure in GPa, with both signs, from whose volumes soft_bulk_modulus and "
        "supercell_bulk_modulus are taken; a larger one smooths a bumpy potential.",
    )


class Sqs(Section):
    """Explicit supercells that stand for a random alloy."""

    supercell: list[PositiveInt] = Field(
        [4, 4, 4], min_length=3, max_length=3, description="Conventional cells along each axis."
    )
    replicates: PositiveInt = Field(
        3, description="Independent supercells per composition; their spread is the uncertainty."
    )
    shells: PositiveInt = Field(3, le=12, description="Neighbour shells whose pairs are matched.")
    swaps: PositiveInt = Field(
        2000, description="Exchanges of two atoms tried per supercell, at most."
    )


class Composition(Section):
    """Lattice parameters and energies of solid solutions over grids of compositions."""

    scans: list[Scan] = Field(min_length=1, description="Families of solid solutions.")
    shard_size: PositiveInt = Field(
        256, description="Tasks per job, on average; the jobs are balanced by their cost."
    )
    relaxation: Relaxation = Field(
        default_factory=Relaxation, description="Relaxation of the cell."
    )
    sqs: Sqs = Field(default_factory=Sqs, description="Supercells of the method sqs.")

    def count(self) -> int:
        """Number of tasks, without listing them."""
        return sum(
            scan.count() * sum(self.replicates(method) for method in scan.methods)
            for scan in self.scans
        )

    def replicates(self, method: str) -> int:
        """Number of tasks per composition."""
        return self.sqs.replicates if method in SUPERCELLS else 1

    def files(self) -> tuple[str, ...]:
        """Files of parents."""
        named = [scan.parent.file for scan in self.scans if scan.parent is not None]
        return tuple(dict.fromkeys(file for file in named if file is not None))

    def sources(self) -> tuple[str, ...]:
        """All files whose content decides what is computed: parents and lists of compositions."""
        lists = [scan.compositions.file for scan in self.scans if scan.compositions is not None]
        return tuple(dict.fromkeys([*self.files(), *lists]))

    def elements(self) -> tuple[str, ...]:
        """All elements that are named, sorted; files of parents may bring more."""
        return tuple(sorted({element for scan in self.scans for element in scan.elements()}))

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        names = [scan.name for scan in self.scans]
        found = [
            Problem((*key, "scans", index, "name"), f"'{name}' is the name of another scan")
            for index, name in enumerate(names)
            if name in names[:index]
        ]
        for index, scan in enumerate(self.scans):
            found += scan.problems((*key, "scans", index), self.sqs)
        if not found and self.count() > MOST_TASKS:
            count = str(self.count()) if self.count() < 10**18 else "over 10^18"
            message = f"{count} compositions are more than {MOST_TASKS}: use coarser grids"
            found.append(Problem((*key, "scans"), message))
        return found
