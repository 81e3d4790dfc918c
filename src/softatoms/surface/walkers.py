"""What a search knows of each of its starts, and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..structure import SoftAtoms
from .problem import Problem, Reservoir

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Status = Literal["ok", "failed"]


@dataclass(frozen=True)
class Start:
    """One search of its own.

    Attributes:
        seed: Its random numbers depend on nothing else.
        reservoir: Where the atoms come from.
    """

    seed: int
    reservoir: Reservoir

    def check(self, species: tuple[str, ...]) -> None:
        """Raise unless it makes sense.

        Raises:
            OptionError: Naming what does not.
        """
        if isinstance(self.seed, bool) or int(self.seed) != self.seed or self.seed < 0:
            raise OptionError(f"seed must be a whole number of at least 0, got {self.seed!r}")
        self.reservoir.check(species)


@dataclass(frozen=True)
class Found:
    """A relaxed structure of whole atoms.

    Attributes:
        positions: Of the substrate and the atoms in Å, shape (n_substrate + n, 3).
        species: Index of the species of each atom, shape (n,).
        energy: In eV, external energy included.
        omega: Ω in eV.
        fmax: Largest force on an atom that may move, in eV/Å.
        evaluations: How many evaluations of the potential the start had taken when it was found.
    """

    positions: Floats
    species: Whole
    energy: float
    omega: float
    fmax: float
    evaluations: int

    def structure(self, problem: Problem) -> SoftAtoms:
        """The structure.

        Raises:
            StructureError: If there is no atom at all.
        """
        return problem.atoms(self.positions, self.species)

    def counts(self, problem: Problem) -> dict[str, int]:
        """Number of atoms of each species in the region."""
        numbers = np.bincount(self.species, minlength=len(problem.species))
        return dict(zip(problem.species, numbers.tolist(), strict=True))


class Tried(NamedTuple):
    """One structure that was relaxed, for the record.

    Attributes:
        evaluations: Evaluations of the start after its relaxation.
        omega: Its Ω in eV, nan if there is none.
        outcome: ``found``, ``detached``, ``unconverged`` or ``failed``.
    """

    evaluations: int
    omega: float
    outcome: str


@dataclass
class Walker:
    """State of one start.

    Attributes:
        start: What it is.
        rng: Its random numbers.
        current: Where it stands, None before the first structure.
        found: Different structures with the lowest Ω so far, the lowest first.
        tried: All structures that were relaxed.
        evaluations: Evaluations of the potential, those with ghosts included.
        site_evaluations: The same, each times its number of sites.
        stale: Proposals since the round last improved.
        round_best: Lowest Ω of the round in eV.
        last_error: Why the last proposal came to nothing, empty if it did not.
        notes: What a method remembers; numbers and lists of numbers.
    """

    start: Start
    rng: np.random.Generator
    current: Found | None = None
    found: list[Found] = field(default_factory=list)
    tried: list[Tried] = field(default_factory=list)
    evaluations: int = 0
    site_evaluations: int = 0
    stale: int = 0
    round_best: float = float("inf")
    last_error: str = ""
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def best(self) -> Found | None:
        """The lowest structure so far."""
        return self.found[0] if self.found else None

    def restart(self) -> None:
        """Begin a new round from nothing."""
        self.current, self.stale, self.round_best = None, 0, float("inf")


@dataclass(frozen=True)
class SearchResult:
    """What one start gave.

    Attributes:
        start: What it was.
        method: How it searched.
        found: Different structures, the lowest Ω first; empty if it failed.
        tried: All structures that were relaxed, in order.
        evaluations: How often the potential was evaluated for this start, in whatever batch.
        site_evaluations: The same, each times its number of sites, ghosts included.
        status: ``ok`` if there is a structure.
        error: Why there is none, empty otherwise.
    """

    start: Start
    method: str
    found: tuple[Found, ...]
    tried: tuple[Tried, ...]
    evaluations: int
    site_evaluations: int
    status: Status
    error: str = ""

    @property
    def best(self) -> Found:
        """The lowest structure.

        Raises:
            OptionError: If the start failed.
        """
        if not self.found:
            raise OptionError(f"start with seed {self.start.seed} found nothing: {self.error}")
        return self.found[0]

    def evaluations_to(self, omega: float) -> int | None:
        """Evaluations until a structure with Ω of at most ``omega`` eV was known; None if never."""
        for tried in self.tried:
            if tried.outcome == "found" and tried.omega <= omega:
                return tried.evaluations
        return None


class Proposal(NamedTuple):
    """A structure of whole atoms to relax.

    Attributes:
        positions: Of the substrate and the atoms in Å, shape (n_substrate + n, 3).
        species: Index of the species of each atom, shape (n,).
        evaluations: Evaluations that it took to come to it.
        site_evaluations: The same, each times its number of sites.
        error: Why there is no structure, empty if there is.
    """

    positions: Floats
    species: Whole
    evaluations: int = 0
    site_evaluations: int = 0
    error: str = ""
