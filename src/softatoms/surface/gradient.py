"""Search along the gradients of Ω in positions and existences.

A round starts from ghosts spread at random, which are brought down together to whole atoms. Then
ghosts are put around the atoms and walk to the places where an atom would be bound best; one
annealing of all existences moves atoms from bad places to good ones, as many at once as the
gradient asks for. What comes out is relaxed with whole atoms only. A round that has stopped
improving is given up for a new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..potentials.options import check_positive, check_whole
from .annealing import Annealing, Task, anneal
from .evaluator import Pool
from .ghosts import PROBE, Placement, place_ghosts, settle
from .occupation import chosen_species
from .problem import Problem, Reservoir
from .walkers import Floats, Found, Proposal, Walker, Whole

SURE = 6.0
"""Logit of an atom at the beginning of an exchange, and minus that of a ghost."""

_MERGED = 0.6
"""Ghosts that come closer than so many bond lengths stand for the same place."""


@dataclass(frozen=True)
class GradientSearch:
    """Joint optimisation of positions, identities and existences.

    Temperatures are those of the existences; no atom vibrates.

    Attributes:
        placement: Where the ghosts of a new round are: ``random``, in ``voids``, or on a ``grid``.
        pool: Sites of a new round for every atom whose number is held, ...
        pool_sites: ... or how many if a reservoir decides on the numbers.
        fresh_steps: Evaluations of the annealing of a new round.
        fresh_hot: Its temperature at the start in eV.
        fresh_cold: Its temperature at the end in eV.
        ghosts: Ghosts of an exchange for every atom of the region ...
        more_ghosts: ... and how many on top.
        settle_steps: Evaluations in which ghosts look for their places.
        exchange_steps: Evaluations of the annealing of an exchange.
        hot: Highest temperature of an exchange in eV; each draws its own between this and ...
        mild: ... this part of it.
        cold: Temperature at the end of an exchange in units of that at its start.
        noise: Random preferences of sites in an exchange, in units of the temperature.
        acceptance: Temperature in eV at which a higher Ω is accepted.
        patience: Proposals without improvement after which a round is given up.
        heating: Growth of the temperature of exchanges with every proposal without improvement.
        shake: Random displacement of atoms along each axis in bond lengths, reached when patience
            ends; it grows from 0 with every proposal without improvement.
        soft_core: Repulsion between sites of the pool in units of the temperature.
        stiffness: Curvature in eV/Å² that steps of positions assume.
        longest: Longest step of a site in Å.
    """

    placement: Placement = "random"
    pool: float = 1.3
    pool_sites: int = 40
    fresh_steps: int = 60
    fresh_hot: float = 3.0
    fresh_cold: float = 0.1
    ghosts: float = 0.5
    more_ghosts: int = 6
    settle_steps: int = 10
    exchange_steps: int = 15
    hot: float = 1.0
    mild: float = 0.1
    cold: float = 0.1
    noise: float = 1.0
    acceptance: float = 0.4
    patience: int = 8
    heating: float = 0.5
    shake: float = 0.3
    soft_core: float = 1.0
    stiffness: float = 20.0
    longest: float = 0.15

    def __post_init__(self) -> None:
        for name in (
            "pool",
            "fresh_hot",
            "fresh_cold",
            "hot",
            "mild",
            "cold",
            "stiffness",
            "longest",
        ):
            check_positive(getattr(self, name), name)
        for name in ("pool_sites", "fresh_steps", "settle_steps", "exchange_steps", "patience"):
            check_whole(getattr(self, name), name, least=1)

    @property
    def name(self) -> str:
        """See :attr:`Method.name`."""
        return "gradient"

    def propose(self, problem: Problem, walkers: Sequence[Walker]) -> list[Proposal]:
        """See :meth:`Method.propose`."""
        proposals: dict[int, Proposal] = {}
        fresh = [row for row, walker in enumerate(walkers) if walker.current is None]
        going = [row for row, walker in enumerate(walkers) if walker.current is not None]
        for rows, propose in ((fresh, self._fresh), (going, self._exchange)):
            found = propose(problem, [walkers[row] for row in rows])
            proposals.update(zip(rows, found, strict=True))
        return [proposals[row] for row in range(len(walkers))]

    def receive(self, problem: Problem, walker: Walker, trial: Found | None) -> None:
        """See :meth:`Method.receive`."""
        if trial is not None:
            threshold = self.acceptance * walker.rng.exponential()
            if walker.current is None or trial.omega <= walker.current.omega + threshold:
                walker.current = trial
        if walker.stale >= self.patience:
            walker.restart()

    def _fresh(self, problem: Problem, walkers: Sequence[Walker]) -> list[Proposal]:
        """Whole atoms from ghosts all over the region."""
        tasks = []
        for walker in walkers:
            counts = walker.start.reservoir.counts_of(problem.species)
            wanted = self.pool_sites
            if np.isfinite(counts).all():
                wanted = int(self.pool * counts.sum()) + 2
            ghosts = place_ghosts(
                problem,
                walker.rng,
                problem.substrate_positions,
                problem.substrate_radii,
                count=wanted,
                placement=self.placement,
            )
            flat = np.zeros((len(ghosts), len(problem.species)))
            tasks.append(
                Task(
                    positions=np.vstack([problem.substrate_positions, ghosts]),
                    logits=flat,
                    reservoir=self._nucleating(problem, walker, len(ghosts)),
                    hot=self.fresh_hot,
                    cold=self.fresh_cold,
                    bias=np.zeros_like(flat),
                )
            )
        return self._annealed(problem, tasks, [0] * len(tasks), self.fresh_steps)

    def _nucleating(self, problem: Problem, walker: Walker, n_sites: int) -> Reservoir:
        """Where the atoms of a new round come from.

        Few atoms that bind each other only in numbers do not appear one by one: a pool would run
        empty although an island is lower. Every second round holds numbers drawn at random until
        there are whole atoms; the exchanges after it are free again.
        """
        reservoir, rng = walker.start.reservoir, walker.rng
        counts = reservoir.counts_of(problem.species)
        free = np.flatnonzero(np.isnan(counts))
        left = n_sites - int(np.nansum(counts))
        if len(free) == 0 or left < 1 or rng.random() < 0.5:
            return reservoir
        total = int(rng.integers(1, left + 1))
        drawn = rng.multinomial(total, np.full(len(free), 1.0 / len(free)))
        held = dict(reservoir.counts or {})
        held.update({problem.species[f]: int(n) for f, n in zip(free, drawn, strict=True)})
        return Reservoir(reservoir.chemical_potentials, held)

    def _exchange(self, problem: Problem, walkers: Sequence[Walker]) -> list[Proposal]:
        """Whole atoms from the ones there are and ghosts around them."""
        pools = [self._with_ghosts(problem, walker) for walker in walkers]
        mobile = [pool.weights.sum(axis=1) < 0.5 for pool in pools]
        settled, slopes, errors, evaluations = settle(
            problem,
            pools,
            mobile,
            steps=self.settle_steps,
            stiffness=0.5 * self.stiffness,
            longest=2.0 * self.longest,
        )
        failed = {row for row, error in enumerate(errors) if error}
        tasks = []
        for row, walker in enumerate(walkers):
            kept = _different_places(problem, walker, settled[row], slopes[row], mobile[row])
            positions, weights = settled[row]
            n = problem.n_substrate
            whole: NDArray[np.bool_] = np.greater(weights[kept], 0.5)
            hot = self.hot * float(np.exp(walker.rng.uniform(np.log(min(self.mild, 1.0)), 0.0)))
            hot *= 1.0 + self.heating * walker.stale
            reach = self.shake * problem.mean_bond * walker.stale / self.patience
            shaken = walker.rng.uniform(-reach, reach, (len(kept), 3)) * whole.max(
                axis=1, keepdims=True
            )
            tasks.append(
                Task(
                    positions=np.vstack([positions[:n], positions[n:][kept] + shaken]),
                    logits=np.where(whole, SURE, -SURE),
                    reservoir=walker.start.reservoir,
                    hot=hot,
                    cold=self.cold * hot,
                    bias=self.noise * walker.rng.gumbel(size=whole.shape),
                )
            )
        proposals = self._annealed(problem, tasks, evaluations, self.exchange_steps)
        for row in failed:
            proposals[row] = proposals[row]._replace(error=errors[row])
        return proposals

    def _with_ghosts(self, problem: Problem, walker: Walker) -> Pool:
        """The atoms a walker has and ghosts near them that hardly exist."""
        current = walker.current
        assert current is not None, "only walkers that stand somewhere exchange atoms"
        radii = np.concatenate([problem.substrate_radii, problem.species_radii[current.species]])
        n_atoms, n_species = len(current.species), len(problem.species)
        ghosts = place_ghosts(
            problem,
            walker.rng,
            current.positions,
            radii,
            count=int(self.ghosts * n_atoms) + self.more_ghosts,
            placement="random",
            within=1.3,
        )
        weights = np.full((n_atoms + len(ghosts), n_species), PROBE / n_species)
        weights[:n_atoms] = np.eye(n_species)[current.species]
        return Pool(np.vstack([current.positions, ghosts]), weights)

    def _annealed(
        self,
        problem: Problem,
        tasks: Sequence[Task],
        spent: Sequence[int],
        steps: int,
    ) -> list[Proposal]:
        settings = Annealing(
            steps=steps,
            stiffness=self.stiffness,
            longest=self.longest,
            soft_core=self.soft_core,
        )
        proposals = []
        outcomes = anneal(problem, tasks, settings)
        for task, outcome, before in zip(tasks, outcomes, spent, strict=True):
            positions, species = whole_atoms(problem, task.reservoir, outcome.pool)
            used = before + outcome.evaluations
            proposals.append(
                Proposal(
                    positions=positions,
                    species=species,
                    evaluations=used,
                    site_evaluations=used * len(outcome.pool.positions),
                    error=outcome.error,
                )
            )
        return proposals


def whole_atoms(problem: Problem, reservoir: Reservoir, pool: Pool) -> tuple[Floats, Whole]:
    """The atoms that are left when existences become 0 or 1, with the numbers that are held.

    Returns:
        Positions of the substrate and the atoms in Å, and the species of the atoms.
    """
    n = problem.n_substrate
    sites = pool.positions[n:]
    near = problem.closest * problem.mean_bond
    clashes = problem.space.distances(sites, sites) < near
    np.fill_diagonal(clashes, False)
    counts = reservoir.counts_of(problem.species)
    species = chosen_species(pool.weights, counts, clashes)
    taken = species >= 0
    return np.vstack([pool.positions[:n], sites[taken]]), species[taken]


def _different_places(
    problem: Problem, walker: Walker, pool: Pool, slopes: Floats, mobile: NDArray[np.bool_]
) -> Whole:
    """Atoms, and of the ghosts that came to the same place the one bound best."""
    potentials = walker.start.reservoir.potentials_of(problem.species)
    gain = (slopes - potentials).min(axis=1)
    n = problem.n_substrate
    sites = pool.positions[n:]
    apart = problem.space.distances(sites, pool.positions)
    limit = _MERGED * problem.mean_bond
    kept = np.flatnonzero(~mobile).tolist()
    for ghost in np.flatnonzero(mobile)[np.argsort(gain[mobile], kind="stable")].tolist():
        others = np.concatenate([np.arange(n), n + np.array(kept, dtype=np.int64)])
        if len(others) == 0 or apart[ghost, others].min() > limit:
            kept.append(ghost)
    return np.array(kept, dtype=np.int64)
