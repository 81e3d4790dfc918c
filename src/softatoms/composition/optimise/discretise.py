"""From optimal weights to supercells with one element on every site, relaxed like any crystal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from ...errors import StructureError
from ...structure import SoftAtoms
from ...weight_groups import PLAIN
from ..prototypes import Prototype
from ..sqs import decorate, shell_counts
from ..structures import Supercell
from ..surface import Surface, SurfaceError
from .simplex import Domain, Floats
from .targets import FACTORS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...relax import Relaxation
    from .problem import Problem

_VACANCY = "X"

EQUAL = 1e-4
"""Relative difference of two lengths of the disordered crystal up to which they are one."""


@dataclass(frozen=True)
class Explicit:
    """One relaxed supercell.

    Attributes:
        theta: Its composition, shape (n_parameters,).
        correlation_error: Root mean square deviation of pair probabilities from randomness.
        soft: The structure, relaxed if the status is ``ok``.
        quantities: Quantities by name in their units; no exchange energies.
        objective: Value of the objective; None if a target is no quantity of a supercell.
        evaluations: Energy evaluations and derivative passes.
        status: ``ok``, ``unconverged`` or ``failed``.
        error: Why it is not ``ok``.
    """

    theta: Floats
    correlation_error: float
    soft: SoftAtoms
    quantities: dict[str, float]
    objective: float | None
    evaluations: int
    status: str
    error: str


def realisable(theta: Floats, domain: Domain, sites: Sequence[int]) -> list[list[int]]:
    """Whole numbers of sites nearest to weights, within the bounds if any such fit.

    What a group's weights lack to 1 is vacancies, and rounded along with them.

    Args:
        theta: Weights, shape (n_parameters,).
        domain: Allowed compositions.
        sites: Sites of each group in the supercell.

    Returns:
        For each group the number of sites of each candidate, in order; vacancies are the rest.
    """
    found = []
    for k, total in enumerate(sites):
        members = domain.group == k
        vacant = max(0.0, 1.0 - float(domain.sums[k]))
        exact = total * np.append(theta[members], vacant)
        low = np.append(np.ceil(total * domain.lower[members] - 1e-9), 0.0).astype(int)
        high = np.append(np.floor(total * domain.upper[members] + 1e-9), total).astype(int)
        if vacant < 1e-9:
            high[-1] = 0
        if (low > high).any() or not low.sum() <= total <= high.sum():
            low, high = np.zeros_like(low), np.full_like(high, total)
        counts = low.copy()
        # One site at a time where most is lacking: the sum of squares is as small as it can be.
        for _ in range(total - int(counts.sum())):
            lacking = np.where(counts < high, exact - counts, -np.inf)
            counts[int(np.argmax(lacking))] += 1
        found.append([int(count) for count in counts[:-1]])
    return found


def supercells(
    soft: SoftAtoms,
    counts: Sequence[Sequence[int]],
    repeat: Sequence[int],
    *,
    replicates: int,
    shells: int,
    swaps: int,
    seed: int,
) -> list[tuple[SoftAtoms, float]]:
    """Plain supercells whose soft sites are decorated to look random.

    Args:
        soft: A cell with tied groups of soft sites.
        counts: Number of sites of each candidate of each group in the supercell.
        repeat: Cells along each lattice vector.
        replicates: How many supercells.
        shells: Neighbour shells among soft sites whose pairs are matched.
        swaps: Exchanges tried at most; with 0 the decoration is random.
        seed: Of the random numbers.

    Returns:
        Each with the deviation of its pair probabilities from randomness.
    """
    large = soft.repeat(repeat)
    members = np.flatnonzero(large.site_group != PLAIN)
    length = (2.0 * abs(np.linalg.det(large.cell)) / len(members)) ** (1.0 / 3.0)
    groups = large.site_group[members].astype(np.int64)
    empty = Supercell(large.positions[members] / length, large.cell / length, groups)
    names = [str(k) for k in range(len(counts))]
    lattice = Prototype(
        "parent", (), tuple(((0.0, 0.0, 0.0), names[k]) for k in sorted(set(groups))), 0, 0.0, ""
    )
    numbers = large.groups.numbers
    occupation = {}
    for k, own in enumerate(counts):
        total = int((groups == k).sum())
        held = [chemical_symbols[n] for n in numbers[large.groups.parameter_group == k]]
        filled = {symbol: count / total for symbol, count in zip(held, own, strict=True)}
        occupation[names[k]] = {**filled, _VACANCY: 1.0 - sum(own) / total}
    pairs = shell_counts(empty, shells)
    made = []
    for replicate in range(replicates):
        rng = np.random.default_rng([seed, replicate])
        decoration = decorate(empty, lattice, occupation, pairs, swaps=swaps, rng=rng)
        made.append((_filled(large, members, decoration.symbols), decoration.error))
    return made


def _filled(large: SoftAtoms, members: NDArray[np.int64], symbols: Sequence[str]) -> SoftAtoms:
    """The supercell with one element on every site and without vacant ones."""
    numbers = large.site_number.copy()
    numbers[members] = [atomic_numbers[symbol] for symbol in symbols]
    kept = numbers > 0
    if not kept.any():
        raise StructureError("a supercell without any atom cannot be relaxed")
    return SoftAtoms(
        positions=large.positions[kept],
        cell=large.cell,
        pbc=large.pbc,
        site_number=numbers[kept],
        site_mass=np.where(np.isnan(large.site_mass), _masses(numbers), large.site_mass)[kept],
    )


def _masses(numbers: NDArray[np.int64]) -> Floats:
    from ase.data import atomic_masses

    return np.asarray(atomic_masses[numbers], dtype=np.float64)


def verify(
    problem: Problem,
    theta: Floats,
    cell: SoftAtoms,
    repeat: Sequence[int],
    *,
    replicates: int = 3,
    shells: int = 3,
    swaps: int = 2000,
    seed: int = 0,
) -> list[Explicit]:
    """Relax explicit supercells at the composition nearest to an optimum.

    Args:
        problem: What was sought.
        theta: The optimum.
        cell: The relaxed soft structure there, at which supercells start.
        repeat: Cells along each lattice vector.
        replicates: Independent supercells.
        shells: Neighbour shells whose pairs are matched.
        swaps: Exchanges tried per supercell.
        seed: Of the random numbers.

    Returns:
        One result per supercell; one that fails does so alone.
    """
    if replicates == 0:
        return []
    images = int(np.prod(repeat))
    sites = [images * int((cell.site_group == k).sum()) for k in range(len(problem.domain.sums))]
    counts = realisable(theta, problem.domain, sites)
    held = np.concatenate([np.array(own) / total for own, total in zip(counts, sites, strict=True)])
    made = supercells(
        cell, counts, repeat, replicates=replicates, shells=shells, swaps=swaps, seed=seed
    )
    done = problem.relaxed([soft for soft, _ in made])
    found = []
    for (soft, error), result in zip(made, done, strict=True):
        quantities: dict[str, float] = {}
        status, text, evaluations = str(result.status), result.error, result.evaluations
        objective = None
        if result.status == "ok":
            try:
                quantities, passes = _quantities(problem, held, cell, result, repeat)
                evaluations += passes
                objective = _objective(problem, quantities)
            except SurfaceError as wrong:
                status, text = "failed", str(wrong)
        found.append(
            Explicit(held, error, result.soft, quantities, objective, evaluations, status, text)
        )
        assert len(soft) == len(result.soft)
    return found


def _quantities(
    problem: Problem,
    theta: Floats,
    parent: SoftAtoms,
    relaxed: Relaxation,
    repeat: Sequence[int],
) -> tuple[dict[str, float], int]:
    """Quantities of a supercell, and passes for derivatives.

    Lengths that are equal in the disordered crystal are averaged: their difference in a supercell
    comes from its small size.
    """
    soft, energy = relaxed.soft, relaxed.energy
    n_sites = float(np.prod(repeat)) * len(problem.soft)
    vectors = problem.axes @ (soft.cell / np.array(repeat, dtype=float)[:, None])
    lengths = np.linalg.norm(vectors, axis=1)
    disordered = np.linalg.norm(problem.axes @ parent.cell, axis=1)
    alike = np.abs(disordered[:, None] - disordered) < EQUAL * disordered
    lengths = (alike @ lengths) / alike.sum(axis=1)
    found = dict(zip("abc", lengths.tolist(), strict=True))
    found["volume"] = abs(float(np.linalg.det(soft.cell))) / n_sites
    found["energy"] = energy / n_sites
    wanted = {target.quantity for target in problem.targets}
    passes = 0
    if "mixing_energy" in wanted:
        found["mixing_energy"] = found["energy"] - problem.objective().mixture(theta)
    if "bulk_modulus" in wanted:
        surface = Surface(problem.potential, soft, problem.settings, problem.journal)
        modulus = surface.bulk_modulus().value
        found["bulk_modulus"] = FACTORS["bulk_modulus"] * modulus
        passes = surface.passes
    return found, passes


def _objective(problem: Problem, quantities: dict[str, float]) -> float | None:
    if any(target.name not in quantities for target in problem.targets):
        return None
    return sum(target.cost(quantities[target.name])[0] for target in problem.targets)
