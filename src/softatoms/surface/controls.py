"""Searches without gradients of existence, on the same potential and the same relaxation.

Random structure search draws and relaxes. Basin hopping (D. J. Wales and J. P. K. Doye, J. Phys.
Chem. A 101, 5111 (1997)) displaces all atoms at random, relaxes and accepts by Metropolis' rule at
fixed numbers. Grand-canonical Monte Carlo with relaxation also inserts, removes, moves and changes
atoms, and decides on Ω.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..potentials.options import check_positive, check_whole
from .ghosts import place_ghosts
from .problem import Problem
from .walkers import Floats, Found, Proposal, Walker, Whole


def random_atoms(problem: Problem, walker: Walker, most: int) -> tuple[Floats, Whole]:
    """Atoms at random points of the region.

    Numbers that no one holds are drawn evenly from 0 to ``most`` in sum, the species evenly.

    Returns:
        Positions of the substrate and the atoms in Å, and the species of the atoms.
    """
    counts = walker.start.reservoir.counts_of(problem.species)
    free = np.flatnonzero(np.isnan(counts))
    held = np.repeat(np.arange(len(counts)), np.nan_to_num(counts).astype(np.int64))
    drawn = np.zeros(0, dtype=np.int64)
    if len(free):
        drawn = free[walker.rng.integers(len(free), size=walker.rng.integers(most + 1))]
    species = np.concatenate([held, drawn])
    points = place_ghosts(
        problem,
        walker.rng,
        problem.substrate_positions,
        problem.substrate_radii,
        count=len(species),
        placement="random",
    )
    missing = len(species) - len(points)
    if missing:
        points = np.vstack([points, problem.region.sample(walker.rng, missing)])
    return np.vstack([problem.substrate_positions, points]), species


def _metropolis(walker: Walker, trial: Found | None, temperature: float) -> None:
    if trial is None:
        return
    threshold = temperature * walker.rng.exponential()
    if walker.current is None or trial.omega <= walker.current.omega + threshold:
        walker.current = trial


@dataclass(frozen=True)
class RandomSearch:
    """Random structures, each relaxed by itself.

    Attributes:
        most: Most atoms to draw where the number is free.
    """

    most: int = 20

    def __post_init__(self) -> None:
        check_whole(self.most, "most", least=0)

    @property
    def name(self) -> str:
        """See :attr:`Method.name`."""
        return "random"

    def propose(self, problem: Problem, walkers: Sequence[Walker]) -> list[Proposal]:
        """See :meth:`Method.propose`."""
        return [Proposal(*random_atoms(problem, walker, self.most)) for walker in walkers]

    def receive(self, problem: Problem, walker: Walker, trial: Found | None) -> None:
        """See :meth:`Method.receive`."""
        if trial is not None:
            walker.current = trial


@dataclass(frozen=True)
class BasinHopping:
    """Random displacements of all atoms of the region, at the numbers of the first structure.

    Attributes:
        step: Largest displacement along each axis in Å.
        temperature: kT of the acceptance in eV.
        patience: Proposals without improvement after which a start begins anew; 0 for never.
        most: Most atoms to draw where the number is free.
    """

    step: float = 0.5
    temperature: float = 0.2
    patience: int = 0
    most: int = 20

    def __post_init__(self) -> None:
        check_positive(self.step, "step")
        check_positive(self.temperature, "temperature")
        check_whole(self.patience, "patience", least=0)

    @property
    def name(self) -> str:
        """See :attr:`Method.name`."""
        return "basin_hopping"

    def propose(self, problem: Problem, walkers: Sequence[Walker]) -> list[Proposal]:
        """See :meth:`Method.propose`."""
        return [self._one(problem, walker) for walker in walkers]

    def _one(self, problem: Problem, walker: Walker) -> Proposal:
        if walker.current is None:
            return Proposal(*random_atoms(problem, walker, self.most))
        positions = walker.current.positions.copy()
        n = problem.n_substrate
        moved = positions[n:] + walker.rng.uniform(-self.step, self.step, positions[n:].shape)
        positions[n:] = problem.region.project(moved)
        return Proposal(positions, walker.current.species)

    def receive(self, problem: Problem, walker: Walker, trial: Found | None) -> None:
        """See :meth:`Method.receive`."""
        _metropolis(walker, trial, self.temperature)
        if self.patience and walker.stale >= self.patience:
            walker.restart()


@dataclass(frozen=True)
class GrandCanonicalMonteCarlo:
    """Insertions, removals, moves to other places, changes of species and displacements, relaxed.

    Attributes:
        step: Largest displacement along each axis in Å.
        temperature: kT of the acceptance in eV.
        most: Most atoms to draw at the start where the number is free.
    """

    step: float = 0.5
    temperature: float = 0.2
    most: int = 20

    def __post_init__(self) -> None:
        check_positive(self.step, "step")
        check_positive(self.temperature, "temperature")

    @property
    def name(self) -> str:
        """See :attr:`Method.name`."""
        return "gcmc"

    def propose(self, problem: Problem, walkers: Sequence[Walker]) -> list[Proposal]:
        """See :meth:`Method.propose`."""
        return [self._one(problem, walker) for walker in walkers]

    def receive(self, problem: Problem, walker: Walker, trial: Found | None) -> None:
        """See :meth:`Method.receive`."""
        _metropolis(walker, trial, self.temperature)

    def _one(self, problem: Problem, walker: Walker) -> Proposal:
        current, rng = walker.current, walker.rng
        if current is None:
            return Proposal(*random_atoms(problem, walker, self.most))
        free = np.flatnonzero(np.isnan(walker.start.reservoir.counts_of(problem.species)))
        n = problem.n_substrate
        atoms, species = current.positions[n:], current.species
        moves = ["displace", "move"] if len(species) else []
        moves += ["insert"] if len(free) else []
        removable = np.flatnonzero(np.isin(species, free))
        moves += ["remove"] if len(removable) else []
        moves += ["change"] if len(removable) and len(free) > 1 else []
        kind = moves[rng.integers(len(moves))] if moves else "displace"
        if kind == "displace":
            shifted = atoms + rng.uniform(-self.step, self.step, atoms.shape)
            return self._proposal(problem, current, problem.region.project(shifted), species)
        if kind == "remove":
            left = np.arange(len(species)) != rng.choice(removable)
            return self._proposal(problem, current, atoms[left], species[left])
        if kind == "change":
            changed = species.copy()
            one = rng.choice(removable)
            changed[one] = rng.choice(free[free != species[one]])
            return self._proposal(problem, current, atoms, changed)
        if kind == "move":
            one = rng.integers(len(species))
            left = np.arange(len(species)) != one
            atoms, new, species = atoms[left], species[one], species[left]
        else:
            new = rng.choice(free)
        point = self._place(problem, walker, current.positions[:n], atoms, species)
        return self._proposal(problem, current, np.vstack([atoms, point]), np.append(species, new))

    @staticmethod
    def _place(
        problem: Problem, walker: Walker, substrate: Floats, atoms: Floats, species: Whole
    ) -> Floats:
        """One free point of the region near other atoms, or any point if there is none."""
        radii = np.concatenate([problem.substrate_radii, problem.species_radii[species]])
        point = place_ghosts(
            problem,
            walker.rng,
            np.vstack([substrate, atoms]),
            radii,
            count=1,
            placement="random",
            within=1.3,
        )
        return point if len(point) else problem.region.sample(walker.rng, 1)

    @staticmethod
    def _proposal(problem: Problem, current: Found, atoms: Floats, species: Whole) -> Proposal:
        substrate = current.positions[: problem.n_substrate]
        return Proposal(np.vstack([substrate, atoms]), species)
