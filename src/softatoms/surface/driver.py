"""The part that all searches share: relax what a method proposes, judge it, keep the books."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..potentials.options import check_positive, check_whole
from ..relax import Relaxation, relax_batch
from .checkpoint import load_walkers, save_walkers
from .fingerprint import is_same
from .geometry import parts
from .problem import Problem
from .walkers import Floats, Found, Proposal, SearchResult, Start, Tried, Walker, Whole

DIGITS = 6
"""Decimals of relaxed positions in Å: what is beyond depends on the batch they were relaxed in."""

MOST_FAILURES = 20
"""A start that has found nothing after so many proposals is given up."""


class Method(Protocol):
    """How structures are proposed."""

    @property
    def name(self) -> str:
        """What it is called in tables."""

    def propose(self, problem: Problem, walkers: Sequence[Walker]) -> list[Proposal]:
        """One structure to relax for each walker; random numbers come from the walker."""

    def receive(self, problem: Problem, walker: Walker, trial: Found | None) -> None:
        """Decide where the walker goes on from.

        Args:
            problem: What is searched.
            walker: The walker.
            trial: What its proposal relaxed to, None if that was rejected.
        """


@dataclass(frozen=True)
class SearchOptions:
    """Options that all methods share.

    Attributes:
        max_evaluations: A start ends when it has taken so many evaluations of the potential.
        stop_at: A start also ends when it knows a structure with Ω of at most this, in eV.
        fmax: Largest force left after a relaxation in eV/Å.
        max_steps: Most evaluations of a relaxation after its first.
        max_step_length: Longest step of an atom in a relaxation in Å.
        keep: How many different structures to keep of each start.
        same_omega: Structures may be the same if their Ω differ by less than this, in eV.
    """

    max_evaluations: int = 2000
    stop_at: float | None = None
    fmax: float = 0.02
    max_steps: int = 300
    max_step_length: float = 0.3
    keep: int = 10
    same_omega: float = 5e-3

    def __post_init__(self) -> None:
        check_whole(self.max_evaluations, "max_evaluations", least=1)
        check_whole(self.max_steps, "max_steps", least=1)
        check_whole(self.keep, "keep", least=1)
        check_positive(self.fmax, "fmax")
        check_positive(self.max_step_length, "max_step_length")
        check_positive(self.same_omega, "same_omega")


def run_search(
    problem: Problem,
    starts: Sequence[Start],
    method: Method,
    *,
    options: SearchOptions | None = None,
    checkpoint: Path | None = None,
    should_stop: Callable[[], str] | None = None,
) -> list[SearchResult]:
    """Run many starts in one batch; a start is what it would be alone.

    Args:
        problem: What is searched.
        starts: The starts, of any reservoirs.
        method: How structures are proposed.
        options: What all methods share.
        checkpoint: File to go on from and to write to after every round of proposals.
        should_stop: Asked after every round; a text that is not empty ends the run early, to be
            gone on with from the checkpoint.

    Returns:
        One result per start, in the same order; of a run that was stopped, what there is so far.

    Raises:
        OptionError: If an option or a start is unusable.
        CheckpointError: If the checkpoint is damaged or belongs to another search.
    """
    chosen = options or SearchOptions()
    for start in starts:
        start.check(problem.species)
    walkers = [Walker(start, np.random.default_rng([start.seed])) for start in starts]
    if checkpoint is not None:
        walkers = load_walkers(checkpoint, problem, method, chosen, walkers)
    while True:
        active = [walker for walker in walkers if not _has_ended(walker, chosen)]
        if not active:
            break
        _round(problem, active, method, chosen)
        if checkpoint is not None:
            save_walkers(checkpoint, problem, method, chosen, walkers)
        if should_stop is not None and should_stop():
            break
    return [_result(walker, method.name) for walker in walkers]


def _has_ended(walker: Walker, options: SearchOptions) -> bool:
    if walker.evaluations >= options.max_evaluations:
        return True
    if not walker.found:
        return len(walker.tried) >= MOST_FAILURES
    return options.stop_at is not None and walker.found[0].omega <= options.stop_at


def _round(
    problem: Problem, walkers: Sequence[Walker], method: Method, options: SearchOptions
) -> None:
    proposals = method.propose(problem, walkers)
    for walker, proposal in zip(walkers, proposals, strict=True):
        walker.evaluations += proposal.evaluations
        walker.site_evaluations += proposal.site_evaluations
    relaxed = _relaxed(problem, proposals, options)
    for walker, proposal, done in zip(walkers, proposals, relaxed, strict=True):
        trial = _judged(problem, walker, proposal, done)
        if trial is not None:
            _keep(problem, walker, trial, options)
            if trial.omega < walker.round_best - 1e-5:
                walker.round_best, walker.stale = trial.omega, -1
        walker.stale += 1
        method.receive(problem, walker, trial)


def _relaxed(
    problem: Problem, proposals: Sequence[Proposal], options: SearchOptions
) -> list[Relaxation | None]:
    """Relax what can be relaxed; None for what has no atoms or no structure."""
    rows = [row for row, one in enumerate(proposals) if not one.error and len(one.positions)]
    done: list[Relaxation | None] = [None] * len(proposals)
    found = relax_batch(
        problem.potential,
        [problem.atoms(proposals[row].positions, proposals[row].species) for row in rows],
        dtype=problem.dtype,
        device=problem.device,
        fixed_sites=[np.flatnonzero(problem.fixed_substrate) for _ in rows],
        external=problem.external,
        fmax=options.fmax,
        max_steps=options.max_steps,
        max_step_length=options.max_step_length,
    )
    for row, one in zip(rows, found, strict=True):
        done[row] = one
    return done


def _judged(
    problem: Problem, walker: Walker, proposal: Proposal, done: Relaxation | None
) -> Found | None:
    """Note what became of a proposal; the structure if it counts."""
    walker.last_error = ""
    if proposal.error:
        walker.last_error = proposal.error
        walker.tried.append(Tried(walker.evaluations, float("nan"), "failed"))
        return None
    if done is None:
        # Nothing in empty space: its energy is 0.
        return _noted(problem, walker, proposal.positions, proposal.species, 0.0, 0.0)
    walker.evaluations += done.evaluations
    walker.site_evaluations += done.evaluations * len(proposal.positions)
    if done.status == "failed" or not np.isfinite(done.energy):
        walker.last_error = done.error
        walker.tried.append(Tried(walker.evaluations, float("nan"), "failed"))
        return None
    numbers = np.bincount(proposal.species, minlength=len(problem.species))
    omega = problem.omega(done.energy, numbers, walker.start.reservoir)
    if is_detached(problem, done.soft.positions, proposal.species):
        walker.last_error = "atoms have left the rest"
        walker.tried.append(Tried(walker.evaluations, omega, "detached"))
        return None
    if not done.converged:
        walker.last_error = done.error
        walker.tried.append(Tried(walker.evaluations, omega, "unconverged"))
        return None
    positions = problem.rounded(done.soft.positions, DIGITS)
    return _noted(problem, walker, positions, proposal.species, done.energy, done.fmax)


def _noted(
    problem: Problem, walker: Walker, positions: Floats, species: Whole, energy: float, fmax: float
) -> Found:
    numbers = np.bincount(species, minlength=len(problem.species))
    omega = problem.omega(energy, numbers, walker.start.reservoir)
    walker.tried.append(Tried(walker.evaluations, omega, "found"))
    return Found(positions, species, energy, omega, fmax, walker.evaluations)


def is_detached(problem: Problem, positions: Floats, species: NDArray[np.int64]) -> bool:
    """Whether some atom hangs neither on the substrate nor, without one, on the other atoms.

    Args:
        problem: What is searched.
        positions: Of the substrate and the atoms in Å, shape (n_substrate + n, 3).
        species: Index of the species of each atom, shape (n,).
    """
    radii = np.concatenate([problem.substrate_radii, problem.species_radii[species]])
    part = parts(problem.space, positions, radii, reach=problem.linked)
    if problem.n_substrate == 0:
        return len(part) > 0 and bool((part != part[0]).any())
    held = np.unique(part[: problem.n_substrate])
    return not bool(np.isin(part[problem.n_substrate :], held).all())


def _keep(problem: Problem, walker: Walker, trial: Found, options: SearchOptions) -> None:
    """Put a structure among the lowest of its start unless it is there already."""
    for other in walker.found:
        if is_same(problem, other, trial, options.same_omega):
            return
    walker.found.append(trial)
    walker.found.sort(key=lambda found: found.omega)
    del walker.found[options.keep :]


def _result(walker: Walker, method: str) -> SearchResult:
    has_any = bool(walker.found)
    error = "" if has_any else walker.last_error or "no structure was tried"
    return SearchResult(
        start=walker.start,
        method=method,
        found=tuple(walker.found),
        tried=tuple(walker.tried),
        evaluations=walker.evaluations,
        site_evaluations=walker.site_evaluations,
        status="ok" if has_any else "failed",
        error=error,
    )
