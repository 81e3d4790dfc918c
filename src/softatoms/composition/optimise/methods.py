"""Optimisers over allowed compositions, as generators: they yield where to look next.

What is sent back is the point there, or a text if there is none. They end with a verdict.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

import numpy as np

from .objective import Point
from .simplex import Domain, Floats

MATCHED = 1e-6
"""Objective of matched targets that is as good as 0: a thousandth of every scale."""

SHORTEST = 1e-9
"""Steps of all weights below this lead nowhere."""

FIRST_RADIUS = 0.3
"""Largest change of a weight in the first second-order step."""

MOST_SHRINKS = 8
"""Shorter steps tried in a row before an optimiser gives up."""


class Verdict(NamedTuple):
    """How an optimisation ended.

    Attributes:
        status: ``ok``, ``unconverged`` or ``failed``.
        error: Why it is not ``ok``.
    """

    status: str
    error: str = ""


class Options(NamedTuple):
    """When to stop.

    Attributes:
        tolerance: Frank–Wolfe gap at which the KKT conditions count as met.
        max_steps: Most steps.
        only_matches: Whether all targets are matched ones, so that 0 is the lowest objective.
    """

    tolerance: float
    max_steps: int
    only_matches: bool

    def met(self, domain: Domain, point: Point) -> bool:
        """Whether a point is optimal."""
        if self.only_matches and point.objective <= MATCHED:
            return True
        return domain.gap(point.theta, point.gradient) <= self.tolerance


Search = Generator[Floats, Point | str, Verdict]


def newton(domain: Domain, start: Floats, options: Options) -> Search:
    """Projected second order: Gauss–Newton with exact curvature of energies, in a trust region.

    What is not known of the curvature is learnt from gradients (symmetric rank one).
    """
    point = yield start
    if isinstance(point, str):
        return Verdict("failed", point)
    learnt = np.zeros((len(start), len(start)))
    radius = FIRST_RADIUS
    shrinks = 0
    for _ in range(options.max_steps):
        if options.met(domain, point):
            return Verdict("ok")
        theta = point.theta
        model = positive(point.curvature + learnt)
        step = domain.quadratic_step(theta, point.gradient, model, radius)
        size = float(np.abs(step).max())
        if size < SHORTEST or shrinks > MOST_SHRINKS:
            return Verdict("unconverged", _left(domain, point, "no step lowers the objective"))
        there = yield domain.nearest(theta + step)
        if isinstance(there, str):
            radius, shrinks = 0.25 * size, shrinks + 1
            continue
        moved = there.theta - theta
        promised = -float(point.gradient @ moved + 0.5 * moved @ model @ moved)
        ratio = (point.objective - there.objective) / max(promised, 1e-300)
        learnt = updated(learnt, point, there)
        if ratio < 0.25:
            radius = 0.25 * size
        elif ratio > 0.75 and size > 0.9 * radius:
            radius = min(2.0 * radius, 1.0)
        if ratio > 1e-4:
            point, shrinks = there, 0
        else:
            shrinks += 1
    if options.met(domain, point):
        return Verdict("ok")
    return Verdict("unconverged", _left(domain, point, f"after {options.max_steps} steps"))


def exponentiated_gradient(domain: Domain, start: Floats, options: Options) -> Search:
    """Mirror descent with the entropy: weights times exp(−rate × gradient), made to fit again."""
    point = yield domain.inside(start, 1e-4)
    if isinstance(point, str):
        return Verdict("failed", point)
    rate = 0.0
    shrinks = 0
    for _ in range(options.max_steps):
        if options.met(domain, point):
            return Verdict("ok")
        theta, gradient = point.theta, point.gradient
        spread = max(float(np.ptp(gradient[domain.group == k])) for k in range(len(domain.sums)))
        if not shrinks:
            rate = min(rate or 0.5 / spread, 2.0 / spread)
        proposed = domain.mirror_step(theta, gradient, rate)
        if np.abs(proposed - theta).max() < SHORTEST or shrinks > MOST_SHRINKS:
            return Verdict("unconverged", _left(domain, point, "no step lowers the objective"))
        there = yield proposed
        if isinstance(there, str):
            rate, shrinks = 0.25 * rate, shrinks + 1
            continue
        moved = there.theta - theta
        slope = float(gradient @ moved)
        change = there.objective - point.objective
        if change > 1e-4 * slope:
            # The lowest point of the parabola through what is known.
            shorter = -0.5 * slope / (change - slope) if change > slope else 0.5
            rate, shrinks = rate * min(0.5, max(0.1, shorter)), shrinks + 1
            continue
        positive_weights = (theta > 0.0) & (there.theta > 0.0)
        logs = np.log(there.theta[positive_weights] / theta[positive_weights])
        bend = float((there.gradient - gradient) @ moved)
        secant = float(logs @ moved[positive_weights]) / bend if bend > 0.0 else 4.0 * rate
        rate = min(10.0 * rate, max(0.1 * rate, secant))
        point, shrinks = there, 0
    if options.met(domain, point):
        return Verdict("ok")
    return Verdict("unconverged", _left(domain, point, f"after {options.max_steps} steps"))


def updated(learnt: Floats, point: Point, there: Point) -> Floats:
    """Curvature beyond what is known, from the gradients at two points (symmetric rank one)."""
    moved = there.theta - point.theta
    rest = there.gradient - point.gradient - (there.curvature + learnt) @ moved
    square = float(rest @ moved)
    if abs(square) <= 1e-8 * float(np.linalg.norm(rest) * np.linalg.norm(moved)):
        return learnt
    made: Floats = learnt + np.outer(rest, rest) / square
    return made


def positive(matrix: Floats) -> Floats:
    """The matrix with the absolute values of its eigenvalues, none of them 0."""
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
    sizes = np.abs(values)
    lifted = np.maximum(sizes, max(1e-10 * float(sizes.max(initial=0.0)), 1e-12))
    made: Floats = (vectors * lifted) @ vectors.T
    return made


def _left(domain: Domain, point: Point, when: str) -> str:
    gap = domain.gap(point.theta, point.gradient)
    return f"the gap to the KKT conditions is still {gap:.3g}, {when}"


METHODS = {"newton": newton, "exponentiated_gradient": exponentiated_gradient}
"""Optimisers by name."""
