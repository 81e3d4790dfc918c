"""Composition, cell and positions moved together, without relaxing in between.

Each step solves the equations of rest, linearised, E_yy dy + E_yθ dθ = −E_y, and takes the dθ that
lowers the objective expected at rest (Gauss–Newton in the reduced space). Second derivatives are
taken once and serve as long as the structure moves as they say: then a step costs one energy with
its first derivatives, and the response dy/dθ learns from where the structures come to rest. The
end is at rest to the tolerances of a relaxation, with second derivatives of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..surface import Surface, SurfaceError
from .methods import FIRST_RADIUS, SHORTEST, Options, Verdict, positive, updated
from .objective import LONGEST, MOST_LESSONS, Objective, Point
from .simplex import Domain, Floats

if TYPE_CHECKING:
    from ...relax import Relaxation
    from ...structure import SoftAtoms

AT_REST = 0.02
"""Newton step to rest, in Å, below which the structure counts as near rest."""

TRUSTED = 0.5
"""Part of a long step by which its end may be wrong before second derivatives are taken anew."""

SLOW = 0.5
"""Ratio of Frank–Wolfe gaps above which second derivatives of another structure are given up."""

DEAR = 12
"""Products with second derivatives that are worth one step without progress."""

FEW = 20
"""Evaluations of a short relaxation where the energy is not convex."""


def joint_search(
    soft: SoftAtoms,
    objective: Objective,
    domain: Domain,
    options: Options,
    *,
    relaxed: Callable[[SoftAtoms, int | None], Relaxation],
    told: Callable[[Point, int], None],
) -> tuple[Verdict, int]:
    """Follow one start.

    Args:
        soft: Where to start; it need not be relaxed.
        objective: The objective.
        domain: Allowed compositions.
        options: When to stop.
        relaxed: Relaxes a structure, with so many evaluations at most if a number is given.
        told: Told every point, and the evaluations in relaxations so far. The last one is relaxed.

    Returns:
        The verdict and the evaluations in relaxations.
    """
    search = _Joint(objective, domain, options, relaxed, told)
    return search.follow(soft), search.relaxing


class _Joint:
    """One start; arguments as for :func:`joint_search`.

    Attributes:
        relaxing: Evaluations in relaxations so far.
    """

    def __init__(
        self,
        objective: Objective,
        domain: Domain,
        options: Options,
        relaxed: Callable[[SoftAtoms, int | None], Relaxation],
        told: Callable[[Point, int], None],
    ) -> None:
        self._objective = objective
        self._domain = domain
        self._options = options
        self._relax = relaxed
        self._told = told
        self.relaxing = 0
        self._radius = FIRST_RADIUS
        self._learnt = np.zeros((len(domain.group), len(domain.group)))
        self._before: Point | None = None
        self._doubtful = False
        self._doubts = 0
        """Steps that second derivatives explained badly, since they were taken."""
        self._cost = 0
        """Products that they took."""

    def follow(self, soft: SoftAtoms) -> Verdict:
        """Go on until the end."""
        last: Point | None = None
        step = torch.zeros(0)
        for _ in range(self._options.max_steps):
            try:
                point = self._looked_at(soft, last, step)
            except SurfaceError as error:
                done = self._relaxed(soft, FEW)
                if done.status == "failed" or done.steps == 0:
                    return Verdict("failed", done.error or str(error))
                soft, last = done.soft, None
                continue
            if not np.isfinite(point.objective):
                return Verdict("failed", "the objective is not finite")
            self._told(point, self.relaxing)
            if self._is_end(point):
                return Verdict("ok")
            theta = self._next_composition(point)
            if theta is None:
                break
            last, step = point, point.step(self._domain, theta, longest=LONGEST)
            soft = point.surface.moved(point.soft, step).with_weights(theta)
        return self._at_last(soft)

    def _looked_at(self, soft: SoftAtoms, last: Point | None, step: Tensor) -> Point:
        """The point to which a step has led."""
        objective = self._objective
        surface = objective.surface(soft)
        if last is None or not objective.can_be_guided:
            return self._exact(surface, soft)
        point = objective.followed(last, surface, soft, step)
        length = surface.longest_move(step)
        strange = length > AT_REST and surface.longest_move(point.guide.missed) > TRUSTED * length
        self._doubts += strange or self._doubtful
        # Second derivatives that cost much are worth some steps without progress, unless an optimum
        # between targets hangs on them: what is learnt tells a root, not a balance of slopes.
        patience = self._cost // DEAR if self._options.only_matches else 0
        if self._doubts > patience or point.guide.lessons > max(MOST_LESSONS, self._cost):
            return self._exact(surface, soft)
        # The end is to be judged by what is, not by what is expected.
        if surface.is_at_rest():
            point = objective.guided(surface, soft, point.guide, at_rest=True)
            if self._options.met(self._domain, point):
                return self._exact(surface, soft)
        return point

    def _exact(self, surface: Surface, soft: SoftAtoms) -> Point:
        self._doubtful, self._doubts = False, 0
        before = self._objective.passes
        point = self._objective.exact(surface, soft, at_rest=surface.is_at_rest())
        self._cost = self._objective.passes - before
        return point

    def _is_end(self, point: Point) -> bool:
        met = self._options.met(self._domain, point)
        return met and point.is_exact and point.surface.is_at_rest()

    def _next_composition(self, point: Point) -> Floats | None:
        """Weights to look at next; None if no step leads anywhere."""
        if point.surface.longest_move(point.to_rest) < AT_REST:
            self._learn(point)
        model = positive(point.curvature + self._learnt)
        step = self._domain.quadratic_step(point.theta, point.gradient, model, self._radius)
        if np.abs(step).max() < SHORTEST and point.surface.is_at_rest():
            return None
        return self._domain.nearest(point.theta + step)

    def _learn(self, point: Point) -> None:
        """Adapt the trust region and what is known of the curvature to a point near rest."""
        before, self._before = self._before, point
        if before is None:
            return
        rose = point.objective > before.objective
        if point.is_exact:
            if before.is_exact:
                self._radius = 0.5 * self._radius if rose else min(1.5 * self._radius, 1.0)
                self._learnt = updated(self._learnt, before, point)
            return
        # Without progress it is the second derivatives that are not good enough.
        gaps = [self._domain.gap(one.theta, one.gradient) for one in (before, point)]
        self._doubtful = rose or gaps[1] > SLOW * gaps[0]

    def _at_last(self, soft: SoftAtoms) -> Verdict:
        """What is said of a structure after all steps, at rest."""
        done = self._relaxed(soft)
        if done.status != "ok":
            return Verdict("failed", done.error)
        try:
            end = self._objective.evaluate(done.soft)
        except SurfaceError as error:
            return Verdict("failed", str(error))
        self._told(end, self.relaxing)
        if self._options.met(self._domain, end):
            return Verdict("ok")
        gap = self._domain.gap(end.theta, end.gradient)
        return Verdict("unconverged", f"the gap to the KKT conditions is still {gap:.3g}")

    def _relaxed(self, soft: SoftAtoms, most: int | None = None) -> Relaxation:
        done = self._relax(soft, most)
        self.relaxing += done.evaluations
        return done
