"""Where atoms that do not exist yet are put."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .annealing import DIGITS, downhill
from .evaluator import Pool, PoolEvaluator
from .problem import Problem

Floats = NDArray[np.float64]
Placement = Literal["random", "voids", "grid"]

PROBE = 1e-4
"""Existence of ghosts that look for their places: they see atoms and not each other."""

_CANDIDATES = 400
_SPACING = 0.5
"""Ghosts are at least so many bond lengths apart, and at least closest × bond from atoms."""


def place_ghosts(
    problem: Problem,
    rng: np.random.Generator,
    occupied: Floats,
    radii: Floats,
    *,
    count: int,
    placement: Placement,
    within: float | None = None,
) -> Floats:
    """Points of the region for ghosts.

    Args:
        problem: What is searched.
        rng: Random numbers.
        occupied: Positions of all atoms in Å, shape (n_atoms, 3).
        radii: Their radii in Å, shape (n_atoms,).
        count: How many points at most.
        placement: ``random`` points, the largest ``voids`` first, or a ``grid``.
        within: Points must be nearer than this to an atom, in bond lengths; None for no limit.

    Returns:
        Points in Å, shape (n ≤ count, 3), none too close to an atom or to another one.
    """
    own = float(problem.species_radii.mean())
    region = problem.region
    if placement == "grid":
        points = region.grid(rng, _SPACING * 1.5 * problem.mean_bond)
        points = points[rng.permutation(len(points))]
    else:
        points = region.sample(rng, max(_CANDIDATES, 10 * count))
    room = np.full(len(points), np.inf)
    if len(occupied):
        # Distance in units of the bond that would be formed.
        room = (problem.space.distances(points, occupied) / (own + radii)).min(axis=1)
    usable = room >= problem.closest
    if within is not None and len(occupied):
        usable &= room <= within
    points, room = points[usable], room[usable]
    if placement == "voids":
        order = np.argsort(-room, kind="stable")
        points = points[order]
    return _spread(problem, points, count, _SPACING * problem.mean_bond)


def _spread(problem: Problem, points: Floats, count: int, spacing: float) -> Floats:
    """The first points of a list that keep a distance from each other."""
    if len(points) == 0:
        return points
    near = problem.space.distances(points, points) < spacing
    free = np.ones(len(points), dtype=bool)
    kept: list[int] = []
    for index in range(len(points)):
        if len(kept) == count:
            break
        if free[index]:
            kept.append(index)
            free &= ~near[index]
    return points[kept]


def settle(
    problem: Problem,
    pools: Sequence[Pool],
    mobile: Sequence[NDArray[np.bool_]],
    *,
    steps: int,
    stiffness: float,
    longest: float,
) -> tuple[list[Pool], list[Floats], list[str], list[int]]:
    """Let ghosts walk to where an atom would be bound best, everything else at rest.

    Args:
        problem: What is searched.
        pools: The pools; their ghosts have a small weight.
        mobile: Which sites of each pool are ghosts, shape (n_pool,).
        steps: Evaluations.
        stiffness: Curvature in eV/Å² that steps assume.
        longest: Longest step in Å.

    Returns:
        The pools with moved ghosts, dE/dw in eV of all their sites, errors and evaluations.
    """
    evaluator = PoolEvaluator(problem, [len(pool.weights) for pool in pools])
    current = list(pools)
    moves = [np.zeros((len(pool.weights), 3)) for pool in pools]
    slopes = [np.zeros_like(pool.weights) for pool in pools]
    errors = [""] * len(pools)
    n = problem.n_substrate
    active = list(range(len(pools)))
    for step in range(steps):
        found = evaluator.evaluate(active, [current[index] for index in active])
        for index, out in zip(active, found, strict=True):
            if isinstance(out, str):
                errors[index] = out
                continue
            slopes[index] = out.by_weights
            if step == steps - 1:
                continue
            positions, weights = current[index]
            pull = out.forces[n:] / np.maximum(weights.sum(axis=1), PROBE)[:, None]
            pull[~mobile[index]] = 0.0
            moves[index] = downhill(moves[index], pull, stiffness, longest)
            moved = positions.copy()
            moved[n:] = problem.region.project(positions[n:] + moves[index])
            current[index] = Pool(problem.rounded(moved, DIGITS), weights)
        active = [index for index in active if not errors[index]]
    return current, slopes, errors, evaluator.evaluations.tolist()
