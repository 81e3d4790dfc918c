"""Finite differences and a trajectory, for comparison with exact derivatives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

import softatoms as sa

STEP = 1e-4


def central_differences(
    measure: Callable[[list[sa.SoftAtoms]], NDArray[np.float64]],
    change: Callable[[float, int], sa.SoftAtoms],
    count: int,
) -> NDArray[np.float64]:
    """Fourth-order central differences of what ``measure`` gives, by each of ``count`` variables.

    Args:
        measure: Values of many structures at once, one row per structure.
        change: The structure with variable k changed by a step.
        count: Number of variables.
    """
    steps = (STEP, -STEP, 2 * STEP, -2 * STEP)
    values = measure([change(step, k) for step in steps for k in range(count)])
    near, back, far, far_back = values.reshape(4, count, *values.shape[1:])
    return (8.0 * (near - back) - (far - far_back)) / (12.0 * STEP)


def shifted(soft: sa.SoftAtoms, k: int, step: float) -> sa.SoftAtoms:
    """The structure with weight ``k`` changed by ``step``."""
    theta = soft.weights
    theta[k] += step
    return soft.with_weights(theta)


def strained(soft: sa.SoftAtoms, row: int, column: int, step: float) -> sa.SoftAtoms:
    """The structure under a symmetric strain of which one component is ``step``."""
    strain = np.eye(3)
    strain[row, column] += 0.5 * step
    strain[column, row] += 0.5 * step
    return soft.with_positions(soft.positions @ strain, soft.cell @ strain)


def theta_key(soft: sa.SoftAtoms, order: NDArray[np.int64], k: int) -> tuple[int, int]:
    """Original first site and species of a parameter, to match parameters across orders."""
    nodes = soft.node_parameter == k
    return int(order[soft.node_site[nodes]].min()), int(soft.groups.numbers[k])


def runge_kutta(
    acceleration: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    start: NDArray[np.float64],
    time: float,
) -> NDArray[np.float64]:
    """One fourth-order Runge–Kutta step of Newton's equations for (positions, velocities)."""

    def rate(state: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([state[1], acceleration(state[0])])

    k1 = rate(start)
    k2 = rate(start + 0.5 * time * k1)
    k3 = rate(start + 0.5 * time * k2)
    k4 = rate(start + time * k3)
    return start + time / 6.0 * (k1 + 2 * k2 + 2 * k3 + k4)
