"""Positions and existences of many pools brought down together, from blurred to 0 or 1.

What goes down is Ω(r, w) − T S(w) + κ Σ (1 − r²/d²)², with S the entropy of a lattice gas. At a
high T an atom is spread over many sites. As T falls, existence flows along −∂Ω/∂w from bad places
to good ones, wherever they are, while every site moves along the force per existence.

Half-existing atoms collapse if nothing is done: what a site feels of another is scaled with the
weight of the other, so the repulsion that keeps two atoms apart fades with w while the attraction
of all whole atoms around stays. Two halves then share one hole, and pay a quarter of the repulsion
for all of the binding; in metals it is worse, because bands go with √w. The soft core κ between
sites of the pool keeps them apart while they are blurred, and is gone when they are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .evaluator import Pool, PoolEvaluator
from .occupation import weights_of
from .problem import Problem, Reservoir

Floats = NDArray[np.float64]

SMALLEST_EXISTENCE = 1e-6
"""Forces are divided by the existence of their site, but not by less than this."""

LARGEST_PULL = 1e6
"""Forces are cut off here, in eV/Å."""

TINY = 1e-30
"""Smaller forces and moves count as this: their squares would vanish."""

DIGITS = 7
"""Decimals of positions in Å that a step keeps: what is beyond depends on the batch."""


@dataclass(frozen=True)
class Annealing:
    """How to bring pools down.

    Attributes:
        steps: Evaluations of each pool.
        mixing: Part of the new logits in each step.
        stiffness: Curvature in eV/Å² that steps of positions assume.
        longest: Longest step of a site in Å.
        soft_core: κ in units of T.
    """

    steps: int
    mixing: float = 0.5
    stiffness: float = 20.0
    longest: float = 0.15
    soft_core: float = 1.0


@dataclass
class Task:
    """One pool to bring down.

    Attributes:
        positions: Of the substrate and the pool in Å, shape (n_substrate + n_pool, 3).
        logits: Of the weights at the start, shape (n_pool, n_species).
        reservoir: Where the atoms come from.
        hot: T at the start in eV.
        cold: T at the end in eV.
        bias: Added to ∂E/∂w while T is above ``cold``, in units of T, shape (n_pool, n_species).
    """

    positions: Floats
    logits: Floats
    reservoir: Reservoir
    hot: float
    cold: float
    bias: Floats


@dataclass
class Outcome:
    """One pool that was brought down.

    Attributes:
        pool: Where it ended.
        error: Why it did not, empty if it did.
        evaluations: How often its energy was computed.
    """

    pool: Pool
    error: str
    evaluations: int


def anneal(problem: Problem, tasks: Sequence[Task], settings: Annealing) -> list[Outcome]:
    """Bring many pools down together; each is what it would be alone.

    Args:
        problem: What is searched.
        tasks: The pools.
        settings: How.

    Returns:
        One outcome per pool.
    """
    evaluator = PoolEvaluator(problem, [len(task.logits) for task in tasks])
    runs = [_Run(problem, task, settings) for task in tasks]
    errors = [""] * len(tasks)
    active = list(range(len(tasks)))
    for step in range(settings.steps):
        if not active:
            break
        found = evaluator.evaluate(active, [runs[index].pool for index in active])
        for index, slopes in zip(active, found, strict=True):
            if isinstance(slopes, str):
                errors[index] = slopes
                continue
            part = step / max(settings.steps - 1, 1)
            runs[index].advance(slopes.forces, slopes.by_weights, part)
        active = [index for index in active if not errors[index]]
    return [
        Outcome(run.pool, error, int(count))
        for run, error, count in zip(runs, errors, evaluator.evaluations, strict=True)
    ]


class _Run:
    """State of one pool."""

    def __init__(self, problem: Problem, task: Task, settings: Annealing) -> None:
        self._problem, self._task, self._settings = problem, task, settings
        self._potentials = task.reservoir.potentials_of(problem.species)
        self._counts = task.reservoir.counts_of(problem.species)
        self._logits = task.logits
        self._moves = np.zeros_like(task.positions)
        self.pool = Pool(task.positions, weights_of(task.logits, self._counts))

    def advance(self, forces: Floats, by_weights: Floats, part: float) -> None:
        """One step of weights and positions.

        Args:
            forces: In eV/Å, shape (n_sites, 3).
            by_weights: dE/dw in eV, shape (n_pool, n_species).
            part: Part of the way that is done, from 0 to 1.
        """
        task, settings, problem = self._task, self._settings, self._problem
        temperature = task.hot * (task.cold / task.hot) ** part
        n = problem.n_substrate
        positions, weights = self.pool
        wanted = -(by_weights - self._potentials) / temperature
        wanted = wanted + task.bias * (1.0 - part)
        wanted = np.clip(wanted, -500.0, 500.0)
        self._logits = (1.0 - settings.mixing) * self._logits + settings.mixing * wanted
        pull = forces.copy()
        pull[:n][problem.fixed_substrate] = 0.0
        existence = np.maximum(weights.sum(axis=1), SMALLEST_EXISTENCE)
        pull[n:] /= existence[:, None]
        core = settings.soft_core * temperature * (1.0 - part)
        if core > 0.0:
            pull[n:] += self._soft_core(positions[n:], core)
        self._moves = downhill(self._moves, pull, settings.stiffness, settings.longest)
        moved = positions + self._moves
        moved[n:] = problem.region.project(moved[n:])
        self.pool = Pool(
            self._problem.rounded(moved, DIGITS), weights_of(self._logits, self._counts)
        )

    def _soft_core(self, positions: Floats, strength: float) -> Floats:
        """Forces of κ Σ (1 − r²/d²)² between the sites of the pool in eV/Å, shape (n_pool, 3)."""
        reach = self._problem.closest * self._problem.mean_bond
        vectors = self._problem.space.vectors(positions, positions)
        inside = 1.0 - (vectors**2).sum(axis=-1) / reach**2
        np.fill_diagonal(inside, 0.0)
        factors = -4.0 * strength / reach**2 * np.maximum(inside, 0.0)
        forces: Floats = (factors[:, :, None] * vectors).sum(axis=1)
        return forces


def downhill(moves: Floats, pull: Floats, stiffness: float, longest: float) -> Floats:
    """Next moves of sites that go on in the direction of their force while it stays the same.

    Args:
        moves: Last moves in Å, shape (n, 3).
        pull: Forces per existence in eV/Å, shape (n, 3).
        stiffness: Curvature in eV/Å² that a move assumes.
        longest: Longest move in Å.
    """
    # Atoms on top of each other push so hard that squares would overflow.
    force = np.clip(pull, -LARGEST_PULL, LARGEST_PULL)
    size = np.linalg.norm(force, axis=1, keepdims=True)
    direction = force / np.maximum(size, TINY)
    along = np.maximum((moves * direction).sum(axis=1, keepdims=True), 0.0)
    new = (0.8 * along + size / stiffness) * direction
    length = np.linalg.norm(new, axis=1, keepdims=True)
    clipped: Floats = new * np.minimum(1.0, longest / np.maximum(length, TINY))
    return clipped
