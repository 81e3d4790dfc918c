"""Choosing frames that cover what there is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError


def farthest_points(
    descriptors: NDArray[np.float64], count: int, *, chosen: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Points each of which was, when chosen, farthest from all chosen before.

    The first one is the point nearest to the mean, unless some are chosen already. The result is
    always the same for the same points; the first of several equally far points is taken.

    Args:
        descriptors: One row per point, shape (n_points, n_values).
        count: How many to choose, those chosen already not counted.
        chosen: Indices of points that are in anyway.

    Returns:
        Indices in the order of choice, shape (min(count, points left),).

    Raises:
        OptionError: If ``count`` is negative.
    """
    if count < 0:
        raise OptionError(f"count must be at least 0, got {count}")
    points = np.asarray(descriptors, dtype=np.float64)
    picked: list[int] = []
    taken = np.zeros(len(points), dtype=bool)
    nearest = np.full(len(points), np.inf)
    for index in [] if chosen is None else chosen.tolist():
        taken[index] = True
        nearest = np.minimum(nearest, _distances(points, index))
    while len(picked) < count and not taken.all():
        if taken.any():
            index = int(np.argmax(np.where(taken, -1.0, nearest)))
        else:
            index = int(np.argmin(((points - points.mean(axis=0)) ** 2).sum(axis=1)))
        picked.append(index)
        taken[index] = True
        nearest = np.minimum(nearest, _distances(points, index))
    return np.array(picked, dtype=np.int64)


def coverage_radius(descriptors: NDArray[np.float64], chosen: NDArray[np.int64]) -> float:
    """Largest distance from any point to the nearest chosen one, in the units of the descriptor."""
    points = np.asarray(descriptors, dtype=np.float64)
    nearest = np.full(len(points), np.inf)
    for index in chosen.tolist():
        nearest = np.minimum(nearest, _distances(points, index))
    return float(nearest.max(initial=0.0))


def _distances(points: NDArray[np.float64], index: int) -> NDArray[np.float64]:
    away: NDArray[np.float64] = np.linalg.norm(points - points[index], axis=1)
    return away
