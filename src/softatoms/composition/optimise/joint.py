"""Composition, cell and positions moved together, without relaxing in between.

Each step solves the equations of rest, linearised, E_yy dy + E_yθ dθ = −E_y, and takes the dθ that
lowers the objective expected at rest (Gauss–Newton in the reduced space). Only the end is relaxed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ...relax import relax_batch
from .methods import FIRST_RADIUS, SHORTEST, Options, Verdict, positive, updated
from .objective import Objective, Point
from .simplex import Domain
from .surface import SurfaceError

if TYPE_CHECKING:
    from ...potentials.base import Potential
    from ...structure import SoftAtoms

LONGEST = 0.3
"""Longest way of a site in one step in Å; a strain counts as 4 Å times it."""

AT_REST = 0.02
"""Newton step to rest, in Å, below which the structure counts as near rest."""

FEW = 8
"""Evaluations of a short relaxation where the energy is not convex."""


def joint_search(
    potential: Potential,
    soft: SoftAtoms,
    objective: Objective,
    domain: Domain,
    options: Options,
    *,
    relaxation: dict[str, Any],
    told: Callable[[Point, int], None],
) -> tuple[Verdict, int]:
    """Follow one start.

    Args:
        potential: The energy function.
        soft: Where to start; it need not be relaxed.
        objective: The objective.
        domain: Allowed compositions.
        options: When to stop.
        relaxation: Options of relaxations.
        told: Told every point, and the evaluations in relaxations so far. The last one is relaxed.

    Returns:
        The verdict and the evaluations in relaxations.
    """
    relaxing = 0
    radius = FIRST_RADIUS
    before: Point | None = None
    learnt = np.zeros((len(domain.group), len(domain.group)))
    few = {**relaxation, "max_steps": FEW}
    for _ in range(options.max_steps):
        try:
            point = objective.evaluate(soft, at_rest=False)
        except SurfaceError as error:
            done = relax_batch(potential, [soft], **few)[0]
            relaxing += done.evaluations
            if done.status == "failed" or done.steps == 0:
                return Verdict("failed", done.error or str(error)), relaxing
            soft = done.soft
            continue
        if not np.isfinite(point.objective):
            return Verdict("failed", "the objective is not finite"), relaxing
        told(point, relaxing)
        left = point.surface.longest_move(point.to_rest)
        if left < AT_REST and options.met(domain, point):
            soft, end, evaluations = _relaxed(potential, point, objective, domain, relaxation)
            relaxing += evaluations
            if isinstance(end, str):
                return Verdict("failed", end), relaxing
            told(end, relaxing)
            if options.met(domain, end):
                return Verdict("ok"), relaxing
            point, left = end, 0.0
        if left < AT_REST:
            if before is not None:
                rose = point.objective > before.objective
                radius = 0.5 * radius if rose else min(1.5 * radius, 1.0)
                learnt = updated(learnt, before, point)
            before = point
        step = domain.quadratic_step(
            point.theta, point.gradient, positive(point.curvature + learnt), radius
        )
        if left < AT_REST and np.abs(step).max() < SHORTEST:
            break
        soft = point.predicted(domain, domain.nearest(point.theta + step), longest=LONGEST)
    done = relax_batch(potential, [soft], **relaxation)[0]
    relaxing += done.evaluations
    if done.status != "ok":
        return Verdict("failed", done.error), relaxing
    try:
        end = objective.evaluate(done.soft)
    except SurfaceError as error:
        return Verdict("failed", str(error)), relaxing
    told(end, relaxing)
    if options.met(domain, end):
        return Verdict("ok"), relaxing
    gap = domain.gap(end.theta, end.gradient)
    return Verdict("unconverged", f"the gap to the KKT conditions is still {gap:.3g}"), relaxing


def _relaxed(
    potential: Potential,
    point: Point,
    objective: Objective,
    domain: Domain,
    relaxation: dict[str, Any],
) -> tuple[SoftAtoms, Point | str, int]:
    """The point at rest, at its composition."""
    start = point.predicted(domain, point.theta)
    done = relax_batch(potential, [start], **relaxation)[0]
    if done.status != "ok":
        return done.soft, done.error, done.evaluations
    try:
        return done.soft, objective.evaluate(done.soft), done.evaluations
    except SurfaceError as error:
        return done.soft, str(error), done.evaluations
