"""One optimisation from several starts: relaxations together, derivatives one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import OptionError, SoftatomsError, suggest
from ...relax.options import Settings, check_periodic, checked_settings
from ...structure import SoftAtoms
from ..journal import Journal
from ..surface import SurfaceError
from .joint import joint_search
from .methods import METHODS, Options, Search, Verdict
from .objective import Objective, Point, pure_combinations
from .simplex import Domain, Floats

if TYPE_CHECKING:
    from ...potentials.base import Potential
    from ...relax import Relaxation
    from .targets import Target

ALL_METHODS = (*METHODS, "joint")
"""Names of the methods."""


@dataclass(frozen=True)
class Step:
    """One composition that was looked at.

    Attributes:
        number: Counted from 0.
        theta: Weights, shape (n_parameters,).
        objective: Value of the objective; for ``joint`` the one expected at rest.
        gap: Frank–Wolfe gap, 0 where the KKT conditions hold.
        quantities: Quantities by name in their units.
        evaluations: Potential evaluations of this start up to here, derivative passes included.
    """

    number: int
    theta: Floats
    objective: float
    gap: float
    quantities: dict[str, float]
    evaluations: int


@dataclass(frozen=True)
class Outcome:
    """Where one start ended.

    Attributes:
        method: Name of the optimiser.
        start: Number of the start.
        point: The best point, with the relaxed structure; None if there is none.
        gap: Its Frank–Wolfe gap.
        steps: All that was looked at.
        relaxation_evaluations: Energies with forces and stresses in relaxations.
        derivative_passes: Further evaluations and products with second or third derivatives.
        status: ``ok``, ``unconverged`` or ``failed``.
        error: Why it is not ``ok``.
    """

    method: str
    start: int
    point: Point | None
    gap: float
    steps: list[Step]
    relaxation_evaluations: int
    derivative_passes: int
    status: str
    error: str

    @property
    def evaluations(self) -> int:
        """All evaluations of the potential, each product with second derivatives counted as one."""
        return self.relaxation_evaluations + self.derivative_passes


@dataclass
class _Live:
    """A start that is being followed."""

    number: int
    search: Search
    steps: list[Step]
    best: Point | None = None
    waiting: Floats | None = None
    verdict: Verdict | None = None
    relaxing: int = 0
    passes: int = 0


class Problem:
    """A structure, its targets and how it is relaxed.

    Args:
        potential: The energy function.
        soft: The structure; groups of tied sites are the sublattices, whose sums of weights stay.
        targets: What is sought.
        bounds: Smallest and largest weight by label (``tie:El``) or element; 0 and 1 if not given.
        axes: How many of each lattice vector of the cell make the vectors a, b and c, shape (3, 3);
            those of the cell itself if not given.
        cell: Strains that are free, as for :func:`softatoms.relax.relax_batch`.
        coupling: Coupling of soft sites.
        dtype: Precision of the potential.
        device: Where to compute.
        fmax: Force in eV/Å at which a structure is relaxed.
        smax: Stress in eV/Å³ at which it is.
        relax_steps: Most evaluations of one relaxation.
        journal: Knows the answers of the potential that were given before, and keeps new ones.

    Attributes:
        journal: The one given, or one that keeps nothing.
        domain: Allowed compositions.
        shared_evaluations: Evaluations for the end members of a mixing energy.
    """

    def __init__(
        self,
        potential: Potential,
        soft: SoftAtoms,
        targets: Sequence[Target],
        *,
        bounds: Mapping[str, tuple[float, float]] | None = None,
        axes: Floats | None = None,
        cell: str | Sequence[bool] = "full",
        coupling: str = "mean_field",
        dtype: str = "float64",
        device: str = "cpu",
        fmax: float = 1e-4,
        smax: float = 1e-6,
        relax_steps: int = 500,
        journal: Journal | None = None,
    ) -> None:
        if not targets:
            raise OptionError("targets: at least one is needed")
        if len(soft.weights) == 0:
            raise OptionError("no site of the structure is soft: there is no composition to change")
        self.potential, self.soft, self.targets = potential, soft, list(targets)
        self.journal = Journal() if journal is None else journal
        self.options: dict[str, Any] = {
            "cell": cell,
            "coupling": coupling,
            "dtype": dtype,
            "device": device,
            "fmax": fmax,
            "smax": smax,
            "max_steps": relax_steps,
        }
        self.settings: Settings = checked_settings(
            **self.options, pressure=0.0, optimiser="lbfgs", max_step_length=0.2, on_step=None
        )
        check_periodic([soft], self.settings.strains)
        self.domain = allowed(soft, bounds or {})
        if self.domain.tangent.shape[1] == 0:
            raise OptionError("every group has a single candidate: there is nothing to change")
        self.axes = np.eye(3) if axes is None else np.asarray(axes, dtype=float)
        self.shared_evaluations = 0
        self._end_members = self._relaxed_end_members()

    def objective(self) -> Objective:
        """A fresh objective, which counts its own passes."""
        return Objective(
            self.potential,
            self.soft,
            self.targets,
            self.domain,
            self.settings,
            axes=self.axes,
            end_members=self._end_members,
            journal=self.journal,
        )

    def relaxed(self, systems: Sequence[SoftAtoms], **options: Any) -> list[Relaxation]:
        """Structures relaxed together, with the options of the problem unless others are given."""
        return self.journal.relaxed(self.potential, systems, **{**self.options, **options})

    def at(self, theta: Floats) -> Point:
        """The objective of the relaxed structure at a composition.

        Raises:
            SoftatomsError: If the structure cannot be relaxed.
        """
        done = self.relaxed([self.soft.with_weights(theta)])[0]
        if done.status != "ok":
            raise SoftatomsError(f"the structure cannot be relaxed: {done.error}")
        return self.objective().evaluate(done.soft)

    def _relaxed_end_members(self) -> Floats | None:
        if not any(target.quantity == "mixing_energy" for target in self.targets):
            return None
        systems = [self.soft.with_weights(theta) for theta in pure_combinations(self.domain)]
        done = self.relaxed(systems)
        for soft, result in zip(systems, done, strict=True):
            self.shared_evaluations += result.evaluations
            if result.status != "ok":
                named = zip(soft.weight_labels, soft.weights, strict=True)
                held = [label for label, x in named if x > 0]
                raise SoftatomsError(f"end member {', '.join(held)}: {result.error}")
        energies = np.array([result.energy for result in done]) / len(self.soft)
        return energies.reshape(self.domain.incidence.sum(axis=1).astype(int))

    def starts(self, count: int, seed: int) -> list[Floats]:
        """The middle of the allowed compositions, then random ones."""
        rng = np.random.default_rng(seed)
        return [self.domain.centre(), *(self.domain.random(rng) for _ in range(count - 1))]


def allowed(soft: SoftAtoms, bounds: Mapping[str, tuple[float, float]]) -> Domain:
    """Compositions within bounds that keep the sums of a structure.

    Raises:
        OptionError: If a bound names nothing, or nothing is allowed.
    """
    labels = list(soft.weight_labels)
    known = {*labels, *(label.rsplit(":", 1)[1] for label in labels)}
    for name in bounds:
        if name not in known:
            raise OptionError(f"bounds: unknown weight '{name}': {suggest(name, sorted(known))}")
    limits = [
        bounds.get(label, bounds.get(label.rsplit(":", 1)[1], (0.0, 1.0))) for label in labels
    ]
    group = soft.groups.parameter_group.astype(np.int64)
    sums = np.asarray(np.bincount(group, weights=soft.groups.theta), dtype=np.float64)
    upper = np.minimum([high for _, high in limits], sums[group])
    return Domain(group, sums, np.array([low for low, _ in limits], dtype=float), upper)


def optimise(
    problem: Problem,
    *,
    method: str = "newton",
    starts: int | Sequence[Floats] = 3,
    seed: int = 0,
    tolerance: float = 1e-3,
    max_steps: int = 50,
    on_step: Callable[[int, Step], None] | None = None,
) -> list[Outcome]:
    """Look for the composition and the cell that meet the targets of a problem best.

    Args:
        problem: The structure and its targets.
        method: ``newton`` or ``exponentiated_gradient``, both through relaxed structures, or
            ``joint``: composition, cell and positions are moved together by Newton steps.
        starts: How many, the first one in the middle, or the weights of each.
        seed: Of the random ones.
        tolerance: Frank–Wolfe gap, in units of the objective, at which a start has converged.
        max_steps: Most steps of a start.
        on_step: Told the number of the start and the step after every evaluation of the objective.

    Returns:
        One outcome per start, in order. A start that fails does so alone.
    """
    if method not in ALL_METHODS:
        raise OptionError(f"unknown method '{method}': {suggest(method, ALL_METHODS)}")
    if isinstance(starts, int) and starts < 1:
        raise OptionError(f"starts must be at least 1, got {starts}")
    given = problem.starts(starts, seed) if isinstance(starts, int) else list(starts)
    for index, theta in enumerate(given):
        if problem.domain.violation(theta) > 1e-9:
            raise OptionError(f"start {index} is outside the allowed compositions: {theta}")
    only_matches = all(target.goal == "match" for target in problem.targets)
    options = Options(tolerance, max_steps, only_matches)
    if method == "joint":
        return [_joint(problem, k, theta, options, on_step) for k, theta in enumerate(given)]
    live = [
        _Live(number, METHODS[method](problem.domain, theta, options), [])
        for number, theta in enumerate(given)
    ]
    for run in live:
        run.waiting = next(run.search)
    while active := [run for run in live if run.waiting is not None]:
        answers = [_guided(problem, run) for run in active]
        systems = [one for one in answers if isinstance(one, SoftAtoms)]
        done = iter(problem.relaxed(systems))
        for run, answer in zip(active, answers, strict=True):
            point = _relaxed(problem, run, next(done)) if isinstance(answer, SoftAtoms) else answer
            if not isinstance(point, str):
                _note(problem, run, point, on_step)
            try:
                run.waiting = run.search.send(point)
            except StopIteration as end:
                run.waiting, run.verdict = None, end.value
    return [_outcome(problem, method, run) for run in live]


def _guided(problem: Problem, run: _Live) -> Point | str | SoftAtoms:
    """The relaxed point that is wanted, brought to rest by the second derivatives of the best one.

    If these do not lead there, the structure from which to relax.
    """
    assert run.waiting is not None
    if run.best is None:
        return problem.soft.with_weights(run.waiting)
    objective = problem.objective()
    try:
        return _finite(objective.brought_to_rest(run.best, run.waiting))
    except SurfaceError:
        return run.best.predicted(problem.domain, run.waiting)
    finally:
        run.passes += objective.passes


def _relaxed(problem: Problem, run: _Live, result: Relaxation) -> Point | str:
    run.relaxing += result.evaluations
    if result.status != "ok":
        return result.error
    objective = problem.objective()
    try:
        return _finite(objective.evaluate(result.soft))
    except SurfaceError as error:
        return str(error)
    finally:
        run.passes += objective.passes


def _finite(point: Point) -> Point | str:
    if np.isfinite(point.objective) and np.isfinite(point.gradient).all():
        return point
    return "the objective is not finite"


def _note(
    problem: Problem, run: _Live, point: Point, on_step: Callable[[int, Step], None] | None
) -> None:
    step = Step(
        number=len(run.steps),
        theta=point.theta,
        objective=point.objective,
        gap=problem.domain.gap(point.theta, point.gradient),
        quantities=point.quantities,
        evaluations=run.relaxing + run.passes,
    )
    run.steps.append(step)
    if run.best is None or point.objective <= run.best.objective:
        run.best = point
    if on_step is not None:
        on_step(run.number, step)


def _outcome(problem: Problem, method: str, run: _Live) -> Outcome:
    verdict = run.verdict or Verdict("failed", "the search did not end")
    best = run.best
    return Outcome(
        method=method,
        start=run.number,
        point=best,
        gap=float("nan") if best is None else problem.domain.gap(best.theta, best.gradient),
        steps=run.steps,
        relaxation_evaluations=run.relaxing,
        derivative_passes=run.passes,
        status=verdict.status,
        error=verdict.error,
    )


def _joint(
    problem: Problem,
    number: int,
    theta: Floats,
    options: Options,
    on_step: Callable[[int, Step], None] | None,
) -> Outcome:
    """One start in which composition, cell and positions move together."""
    run = _Live(number, iter(()), [])  # type: ignore[arg-type]
    objective = problem.objective()

    def told(point: Point, relaxing: int) -> None:
        run.relaxing, run.passes = relaxing, objective.passes
        # What counts in the end is a relaxed structure, not the lowest value expected on the way.
        run.best = None
        _note(problem, run, point, on_step)

    verdict, relaxing = joint_search(
        problem.soft.with_weights(theta),
        objective,
        problem.domain,
        options,
        relaxed=lambda soft, most: problem.relaxed(
            [soft], **({} if most is None else {"max_steps": most})
        )[0],
        told=told,
    )
    run.verdict, run.relaxing, run.passes = verdict, relaxing, objective.passes
    return _outcome(problem, "joint", run)
