"""Compositions within bounds: projections, steps and optimality, against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from softatoms.composition.optimise import Domain
from softatoms.errors import OptionError

Floats = NDArray[np.float64]


def two_groups() -> Domain:
    """Three elements on one group, two on another, with bounds."""
    return Domain(
        group=np.array([0, 0, 0, 1, 1]),
        sums=np.array([1.0, 0.8]),
        lower=np.array([0.1, 0.0, 0.0, 0.0, 0.2]),
        upper=np.array([0.7, 1.0, 0.5, 0.8, 0.8]),
    )


def allowed_points(domain: Domain, divisions: int = 40) -> Floats:
    """All points of a fine grid that are allowed."""
    first = np.array(
        [(i, j, divisions - i - j) for i in range(divisions + 1) for j in range(divisions + 1 - i)]
    )
    second = np.array([(i, divisions - i) for i in range(divisions + 1)])
    points = np.hstack(
        [
            np.repeat(first, len(second), axis=0) / divisions,
            0.8 * np.tile(second, (len(first), 1)) / divisions,
        ]
    )
    inside = (points >= domain.lower - 1e-12) & (points <= domain.upper + 1e-12)
    return np.asarray(points[inside.all(axis=1)])


@pytest.mark.parametrize("seed", range(5))
def test_nearest_point_is_allowed_and_nearer_than_any_other(seed: int) -> None:
    domain = two_groups()
    given = np.random.default_rng(seed).normal(0.4, 0.6, 5)
    nearest = domain.nearest(given)
    assert domain.violation(nearest) < 1e-12
    distances = np.linalg.norm(allowed_points(domain) - given, axis=1)
    assert np.linalg.norm(nearest - given) <= distances.min() + 1e-12


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("radius", [0.05, 1.0])
def test_quadratic_step_is_lower_than_any_allowed_step(seed: int, radius: float) -> None:
    domain = two_groups()
    rng = np.random.default_rng(seed)
    theta = domain.random(rng)
    gradient, factor = rng.normal(size=5), rng.normal(size=(5, 5 - seed % 3))
    curvature = factor @ factor.T + 1e-8 * np.eye(5)
    step = domain.quadratic_step(theta, gradient, curvature, radius)
    assert domain.violation(theta + step) < 1e-9
    assert np.abs(step).max() <= radius + 1e-12

    def cost(steps: Floats) -> Floats:
        bent = np.einsum("...a,ab,...b->...", steps, curvature, steps)
        return np.asarray(steps @ gradient + 0.5 * bent)

    others = allowed_points(domain) - theta
    others = others[np.abs(others).max(axis=1) <= radius]
    assert cost(step) <= cost(others).min(initial=0.0) + 1e-10


def test_mirror_step_is_the_softmax_without_bounds() -> None:
    free = Domain(np.zeros(3, dtype=np.int64), np.ones(1), np.zeros(3), np.ones(3))
    theta, gradient = np.array([0.2, 0.5, 0.3]), np.array([1.0, -2.0, 0.5])
    expected = theta * np.exp(-0.7 * gradient)
    np.testing.assert_allclose(
        free.mirror_step(theta, gradient, 0.7), expected / expected.sum(), rtol=1e-12, atol=1e-14
    )


def test_mirror_step_stays_within_bounds() -> None:
    domain = two_groups()
    moved = domain.mirror_step(domain.centre(), np.array([9.0, 1.0, -9.0, -5.0, 5.0]), 10.0)
    assert domain.violation(moved) < 1e-12
    np.testing.assert_allclose(moved, [0.1, 0.4, 0.5, 0.6, 0.2], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_gap_is_that_of_the_best_corner(seed: int) -> None:
    domain = two_groups()
    rng = np.random.default_rng(seed)
    theta, gradient = domain.random(rng), rng.normal(size=5)
    best = (allowed_points(domain) @ gradient).min()
    assert domain.gap(theta, gradient) == pytest.approx(theta @ gradient - best, rel=1e-9, abs=1e-9)


def test_gap_vanishes_at_an_optimal_corner_only() -> None:
    domain = two_groups()
    gradient = np.array([1.0, 0.0, 3.0, 2.0, 0.0])
    assert domain.gap(np.array([0.1, 0.9, 0.0, 0.0, 0.8]), gradient) == pytest.approx(
        0.0, abs=1e-12
    )
    assert domain.gap(np.array([0.1, 0.4, 0.5, 0.0, 0.8]), gradient) > 1.0


def test_random_points_are_allowed_and_differ() -> None:
    domain = two_groups()
    points = [domain.random(np.random.default_rng(seed)) for seed in range(20)]
    assert max(domain.violation(point) for point in points) < 1e-12
    assert np.ptp(points, axis=0).min() > 0.1


def test_bounds_that_leave_nothing_are_refused() -> None:
    with pytest.raises(OptionError, match=r"upper ones to 0\.4"):
        Domain(np.zeros(2, dtype=np.int64), np.ones(1), np.zeros(2), np.full(2, 0.2))
    with pytest.raises(OptionError, match="lower"):
        Domain(np.zeros(2, dtype=np.int64), np.ones(1), np.ones(2), np.zeros(2))


def test_starts_lie_inside_the_bounds_not_on_them() -> None:
    """Bounds that cut off most of a simplex would else catch most random starts."""
    narrow = Domain(
        np.zeros(2, dtype=np.int64), np.ones(1), np.array([0.0, 0.0]), np.array([1.0, 0.4])
    )
    np.testing.assert_allclose(narrow.centre(), [0.8, 0.2], rtol=0, atol=1e-12)
    draws = np.array([narrow.random(np.random.default_rng(seed))[1] for seed in range(40)])
    assert draws.max() < 0.4
    assert 0.1 < draws.mean() < 0.3
